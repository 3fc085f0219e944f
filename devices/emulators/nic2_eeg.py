"""The EEG that an emulated NIC2 streams: alpha, noise, and the artefact of what it stimulates with.

A link that only speaks: 500 samples a second, each a 32-bit number for every channel, then a
trigger and a 64-bit time stamp where they are on. One count is a nanovolt here; what it is in a
real NIC, the published files do not say, nor in which order its bytes come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from devices.emulators.sine_output import SineOutput

__all__ = ["EegStream"]

RATE_HZ = 500
ALPHA_HZ = 10.0
ALPHA_NV = 20_000.0
NOISE_NV = 4_000.0
NOISE_KEEPS = 0.95
ARTEFACT_NV_PER_MA = 20e6
OFFSET_NV = 3e6  # electrodes are never at rest


class EegStream:
    """NIC's port 1234.

    Parameters
    ----------
    outputs : sequence of SineOutput
        What stimulates at each channel.
    start_s : float
        Clock time of the first sample.
    advance : callable
        Lets the device get on to an instant, so that what it plays by then is settled.
    byte_order : {"little", "big"}
        Of the numbers.
    trigger, timestamp : bool
        What follows the channels of a sample.
    """

    linked = True

    def __init__(
        self,
        outputs: Sequence[SineOutput],
        start_s: float,
        advance: Callable[[float], None],
        *,
        byte_order: Literal["little", "big"] = "little",
        trigger: bool = True,
        timestamp: bool = True,
    ) -> None:
        mark = "<" if byte_order == "little" else ">"
        fields = [("eeg", f"{mark}i4", (len(outputs),))]
        self._trigger, self._timestamp = trigger, timestamp
        kinds: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [*fields]
        kinds += [("trigger", f"{mark}i4")] if trigger else []
        kinds += [("timestamp", f"{mark}i8")] if timestamp else []
        self._dtype = np.dtype(kinds)
        self._outputs = outputs
        self._start_s = start_s
        self._let_pass = advance
        self._n_sent = 0
        self._rng = np.random.default_rng(1234)
        self._noise = np.zeros(len(outputs))

    def advance(self, now_s: float) -> None:
        """Let time pass."""
        self._let_pass(now_s)

    def receive(self, data: bytes, now_s: float) -> None:
        """Take no notice: the stream has no commands."""

    def take(self, now_s: float) -> bytes:
        """Give the samples that have been taken by now."""
        n = math.floor((now_s - self._start_s) * RATE_HZ + 1e-6) - self._n_sent
        if n <= 0:
            return b""
        self._let_pass(now_s)
        index = self._n_sent + np.arange(n)
        frames = np.zeros(n, self._dtype)
        frames["eeg"] = np.rint(self._signals(index)).astype(np.int64).clip(-(2**31), 2**31 - 1)
        if self._timestamp:
            frames["timestamp"] = 1_700_000_000_000 + index * (1000 // RATE_HZ)
        self._n_sent += n
        return frames.tobytes()

    def next_due_s(self) -> float:
        """Return when the next sample is due."""
        return self._start_s + (self._n_sent + 1) / RATE_HZ

    def _signals(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Nanovolts, shape (n, n_channels)."""
        seconds = index / RATE_HZ
        waxing = 0.7 + 0.3 * np.sin(2.0 * np.pi * 0.3 * seconds)
        alpha = ALPHA_NV * waxing * np.sin(2.0 * np.pi * ALPHA_HZ * seconds)
        found = np.empty((len(index), len(self._outputs)))
        for row in range(len(index)):
            self._noise = NOISE_KEEPS * self._noise + self._rng.normal(
                0.0, NOISE_NV, found.shape[1]
            )
            found[row] = self._noise
        found += alpha[:, None] + OFFSET_NV
        for column, output in enumerate(self._outputs):
            found[:, column] += ARTEFACT_NV_PER_MA * output.values(self._start_s + seconds)
        return found
