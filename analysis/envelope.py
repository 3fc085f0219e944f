"""Correlation of amplitude envelopes after each pair is made orthogonal.

What reaches two electrodes at the same instant makes their envelopes alike. Of every pair, the part
of one signal that is in phase with the other is therefore taken off before the envelopes are
correlated, both ways round (Hipp et al. 2012, Nat. Neurosci. 15:884-890).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.compiled import Engine, kernels
from analysis.errors import AnalysisError

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

COMPILED_PAYS = 3e8  # samples of all pairs; below, loading numba takes longer
PARALLEL = 1e-12  # of the product of amplitudes: below, what is left of a signal is rounding
_TEMPORARY_BYTES = 600_000


@dataclass(frozen=True, slots=True)
class EnvelopeCorrelation:
    """Orthogonalised envelope correlation of all pairs.

    Parameters
    ----------
    per_epoch : ndarray, shape (n_epochs, n_channels, n_channels)
        Symmetric matrices, diagonal 0. A pair with a flat channel, or of two channels that are the
        same up to a factor, is 0.
    engine : {"numpy", "numba"}
        What computed it; values agree to rounding.
    """

    per_epoch: Array
    engine: Engine

    @property
    def values(self) -> Array:
        """Mean over epochs: (n_channels, n_channels)."""
        return np.asarray(self.per_epoch.mean(axis=0))


def envelope_correlation(
    epochs: Array | ComplexArray,
    *,
    absolute: bool = True,
    compiled: bool | None = None,
    progress: Callable[[float], None] | None = None,
) -> EnvelopeCorrelation:
    """Correlate the amplitude envelopes of all pairs of channels, orthogonalised pair by pair.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_samples)
        Signals filtered to the band of interest, or their analytic signals if complex. Filter the
        continuous recording and cut it into epochs of many cycles of the envelope (10 s or more).
    absolute : bool
        Take the absolute value of both directions before their mean.
    compiled : bool, optional
        True: compiled, or an error where numba is missing. False: NumPy. None: compiled where
        numba is installed and there is enough to do.
    progress : callable, optional
        Called with the share done.

    Returns
    -------
    EnvelopeCorrelation
        One matrix for each epoch.

    Raises
    ------
    AnalysisError
        If the shape is wrong, there are fewer than two channels or three samples, or a sample is
        not a finite number.

    Notes
    -----
    Equal to `mne_connectivity.envelope_correlation(orthogonalize="pairwise")` (0.9) to 1e-12; a
    flat channel is 0 here and NaN there. Only `|Im(x conj(y))|` of a pair is needed: over one
    amplitude and over the other it serves both directions.
    """
    if epochs.ndim != 3:
        raise AnalysisError(
            f"epochs have {epochs.ndim} dimensions: give epochs, channels and samples"
        )
    n_epochs, n_channels, n_samples = epochs.shape
    if n_epochs < 1 or n_channels < 2 or n_samples < 3:
        raise AnalysisError(
            f"{n_epochs} epochs of {n_channels} channels and {n_samples} samples: envelope "
            "correlation needs two channels and three samples or more"
        )
    work = 0.5 * n_epochs * n_channels**2 * n_samples
    module = kernels("envelope_numba", compiled, work, COMPILED_PAYS)
    found = np.zeros((n_epochs, n_channels, n_channels))
    for number, epoch in enumerate(epochs):
        if not np.isfinite(epoch).all():
            raise AnalysisError(f"epoch {number} has samples that are not finite numbers")
        amplitude = _amplitudes(*analytic(epoch))
        one_way = _one_epoch(amplitude) if module is None else module.one_epoch(amplitude)
        if absolute:
            one_way = np.abs(one_way)
        found[number] = 0.5 * (one_way + one_way.T)
        if progress is not None:
            progress((number + 1) / n_epochs)
    engine: Engine = "numpy" if module is None else "numba"
    return EnvelopeCorrelation(found, engine)


def analytic(epoch: Array | ComplexArray) -> tuple[Array, Array]:
    """Real and imaginary part of the analytic signals of one epoch, zero-padded to a fast length.

    Parameters
    ----------
    epoch : ndarray, shape (n_channels, n_samples)
        Signals; complex ones are taken as they are.

    Returns
    -------
    real, imag : ndarray, shape (n_channels, n_samples)
        The signal and its Hilbert transform.
    """
    from mne.filter import next_fast_len
    from scipy.fft import irfft, rfft

    if np.iscomplexobj(epoch):
        return np.ascontiguousarray(epoch.real), np.ascontiguousarray(epoch.imag)
    real = np.ascontiguousarray(epoch, dtype=np.float64)
    n_samples = real.shape[1]
    n_fft = next_fast_len(n_samples)
    # A quarter turn of every frequency: half of what the complex transforms would compute.
    spectrum = rfft(real, n_fft, axis=1)
    spectrum *= -1j
    spectrum[:, 0] = 0.0
    if n_fft % 2 == 0:
        spectrum[:, -1] = 0.0
    return real, np.ascontiguousarray(irfft(spectrum, n_fft, axis=1)[:, :n_samples])


@dataclass(frozen=True, slots=True)
class Amplitudes:
    """One epoch, ready for every pair; all (n_channels, n_samples) but the last.

    Parameters
    ----------
    real, imag : ndarray
        Analytic signals.
    over : ndarray
        One over their amplitude, 0 where that is 0.
    weighted : ndarray
        Their amplitude without its mean, to a norm of 1; 0 where it never changes.
    total : ndarray, shape (n_channels,)
        Sum of the amplitude.
    """

    real: Array
    imag: Array
    over: Array
    weighted: Array
    total: Array


def _amplitudes(real: Array, imag: Array) -> Amplitudes:
    """What every pair of an epoch needs of each channel."""
    size = real * real
    size += imag * imag
    np.sqrt(size, out=size)
    total = size.sum(axis=1)
    weighted = size - (total / size.shape[1])[:, None]
    spread = np.sqrt(np.einsum("ct,ct->c", weighted, weighted))
    weighted *= np.where(spread > 0.0, 1.0 / np.where(spread > 0.0, spread, 1.0), 0.0)[:, None]
    nothing = size == 0.0
    size[nothing] = np.inf
    return Amplitudes(real, imag, 1.0 / size, weighted, total)


def _one_epoch(amplitude: Amplitudes) -> Array:
    """Correlations of one epoch: in row i and column j, i orthogonal to j against j's envelope."""
    real, imag, over = amplitude.real, amplitude.imag, amplitude.over
    weighted, total = amplitude.weighted, amplitude.total
    n_channels, n_samples = real.shape
    found = np.zeros((n_channels, n_channels))
    ones = np.ones(n_samples)
    at_once = max(1, min(n_channels, _TEMPORARY_BYTES // (8 * n_samples)))
    buffers = np.empty((2, at_once, n_samples))
    for i in range(1, n_channels):
        for begin in range(0, i, at_once):
            rest = slice(begin, min(begin + at_once, i))
            crossed, spare = buffers[:, : rest.stop - begin]
            np.multiply(imag[i], real[rest], out=crossed)
            crossed -= np.multiply(real[i], imag[rest], out=spare)
            np.abs(crossed, out=crossed)
            np.multiply(crossed, over[i], out=spare)
            left = spare @ ones
            there = left > PARALLEL * total[rest]
            towards = _correlation(left, spare, spare @ weighted[i])
            crossed *= over[rest]
            back = _correlation(
                crossed @ ones, crossed, np.einsum("jt,jt->j", crossed, weighted[rest])
            )
            found[rest, i] = np.where(there, towards, 0.0)
            found[i, rest] = np.where(there, back, 0.0)
    return found


def _correlation(total: Array, rest: Array, above: Array) -> Array:
    """Correlation from the sum of products with an envelope of norm 1, 0 without any spread."""
    square = np.einsum("jt,jt->j", rest, rest) - total * total / rest.shape[1]
    safe = np.where(square > 0.0, square, 1.0)
    return np.asarray(np.where(square > 0.0, above / np.sqrt(safe), 0.0))
