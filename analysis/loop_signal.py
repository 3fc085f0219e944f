"""Whether what an amplifier sends is a signal: not flat, not at its limits, all of it numbers.

An amplifier that the artefact of a current drives to its limits goes on sending samples. Their
phase is that of the current; a loop that read it would follow itself.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["SignalWatch"]

Array = NDArray[np.float64]

WINDOW_S: Final = 0.5  # five periods of 10 Hz
LEAST_S: Final = 0.1  # a shorter stretch shows nothing
RAILED: Final = 0.25  # of the samples at the largest or the smallest value


class SignalWatch:
    """Looks at the latest half second of some channels.

    Parameters
    ----------
    sfreq_hz : float
        Rate.
    """

    def __init__(self, sfreq_hz: float) -> None:
        self._most = round(WINDOW_S * sfreq_hz)
        self._least = round(LEAST_S * sfreq_hz)
        self._parts: deque[Array] = deque()
        self._n = 0

    def reset(self) -> None:
        """Forget what came."""
        self._parts.clear()
        self._n = 0

    def problem(self, signal_uv: Array) -> str:
        """Take samples, and say why they carry no signal; empty where they do.

        Parameters
        ----------
        signal_uv : ndarray, shape (n_channels, n_samples)
            Of the channels that are used.

        Notes
        -----
        A quarter of the samples of half a second at a channel's largest or smallest value: a sine
        has two or three there, whatever its rate; one that is clipped at 70 % of its peak half.
        """
        if not bool(np.isfinite(signal_uv).all()):
            self.reset()
            return "a sample is not a number"
        self._parts.append(signal_uv)
        self._n += signal_uv.shape[1]
        while self._n - self._parts[0].shape[1] >= self._most:
            self._n -= self._parts.popleft().shape[1]
        if self._n < self._least:
            return ""
        seen = np.concatenate(list(self._parts), axis=1)
        top, bottom = seen.max(axis=1, keepdims=True), seen.min(axis=1, keepdims=True)
        if bool((top == bottom).any()):
            return "a channel is flat"
        at_limits = ((seen == top) | (seen == bottom)).mean(axis=1)
        return "a channel is at its limits" if bool((at_limits > RAILED).any()) else ""
