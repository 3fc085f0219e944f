"""What every phase estimator is: a fixed linear filter from samples to a complex number.

The complex number at now plus the horizon has the rhythm's phase as its angle and its amplitude as
its size. A filter is fed and read; it looks at nothing but what it was fed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


class PhaseFilter(ABC):
    """A causal linear filter whose output is the rhythm as a complex number.

    Parameters
    ----------
    sfreq_hz : float
        Rate of the samples.
    horizon_s : float
        How far ahead of the newest sample the output is.
    frequency_hz : float
        Centre of the rhythm.
    sigma_uv : float
        Standard deviation of the error of the real part, and of the imaginary part; NaN where
        nothing was learned about it.
    settle_samples : int
        How many samples the output needs until it no longer depends on how the filter began.
    """

    name: ClassVar[str]

    def __init__(
        self,
        *,
        sfreq_hz: float,
        horizon_s: float,
        frequency_hz: float,
        sigma_uv: float,
        settle_samples: int,
    ) -> None:
        self.sfreq_hz = sfreq_hz
        self.horizon_s = horizon_s
        self.frequency_hz = frequency_hz
        self.sigma_uv = sigma_uv
        self.settle_samples = settle_samples

    @abstractmethod
    def reset(self) -> None:
        """Forget everything that was fed."""

    @abstractmethod
    def feed(self, samples_uv: Array) -> None:
        """Take samples, shape (n_samples,), any number of them."""

    @abstractmethod
    def read(self) -> complex:
        """Return the rhythm at the newest sample plus the horizon, in uV."""

    @abstractmethod
    def run(self, samples_uv: Array) -> Complex:
        """Return what `read` would say after each sample, begun anew; leaves the state alone."""


class WindowFilter(PhaseFilter):
    """A filter with a finite window.

    Parameters
    ----------
    taps : ndarray, shape (n_taps,)
        Complex weight of each sample of the window, the newest sample last.
    name : str
        What it is called in a report.
    **options
        Of :class:`PhaseFilter`, but for ``settle_samples``, which is the window.
    """

    name = "window"

    def __init__(
        self,
        taps: Complex,
        *,
        sfreq_hz: float,
        horizon_s: float,
        frequency_hz: float,
        sigma_uv: float,
    ) -> None:
        super().__init__(
            sfreq_hz=sfreq_hz,
            horizon_s=horizon_s,
            frequency_hz=frequency_hz,
            sigma_uv=sigma_uv,
            settle_samples=taps.size,
        )
        self.taps = taps
        self._rows = np.ascontiguousarray(np.stack([taps.real, taps.imag]))
        self._size = taps.size
        self._held = np.zeros(8 * taps.size)
        self._end = taps.size

    def reset(self) -> None:
        """Fill the window with zeros."""
        self._held[: self._size] = 0.0
        self._end = self._size

    def feed(self, samples_uv: Array) -> None:
        """Append; move the window to the front where the store is full."""
        n = samples_uv.size
        if n >= self._size:
            self._held[: self._size] = samples_uv[n - self._size :]
            self._end = self._size
            return
        if self._end + n > self._held.size:
            kept = self._size
            self._held[:kept] = self._held[self._end - kept : self._end].copy()
            self._end = kept
        self._held[self._end : self._end + n] = samples_uv
        self._end += n

    def read(self) -> complex:
        """Weigh the window."""
        real, imaginary = (self._rows @ self._held[self._end - self._size : self._end]).tolist()
        return complex(real, imaginary)

    def run(self, samples_uv: Array) -> Complex:
        """Convolve."""
        whole = oaconvolve(samples_uv, self.taps[::-1], mode="full")
        return np.asarray(whole[: samples_uv.size], dtype=np.complex128)
