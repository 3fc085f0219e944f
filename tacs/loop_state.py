"""The state before each block of a loop: the latest signal without current, told and gated."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from analysis.errors import UnusableRecording
from analysis.state_vector import StateGate, StateReference, StateVector, state_vector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tacs.eeg import EEGBlock

__all__ = ["StateKeeper"]

EVERY_S: Final = 0.5  # a state that did not pass is told anew no sooner
LEAST_S: Final = 2.0


class StateKeeper:
    """Keeps the latest signal and tells the state from it.

    Parameters
    ----------
    rows : sequence of int
        Channels that are looked at.
    sfreq_hz, peak_hz : float
        Rate, and the person's peak.
    seconds : float
        Of signal, at most; at least 2.
    references : sequence of StateReference
        Of this person.
    said : {"open", "closed"}, optional
        State of the eyes that was asked for.
    gate : StateGate
        What lets a block begin.
    """

    def __init__(
        self,
        rows: Sequence[int],
        sfreq_hz: float,
        peak_hz: float,
        *,
        seconds: float,
        references: Sequence[StateReference],
        said: Literal["open", "closed"] | None,
        gate: StateGate,
    ) -> None:
        self._rows, self._sfreq_hz, self._peak_hz = list(rows), sfreq_hz, peak_hz
        self._most = round(seconds * sfreq_hz)
        self._references, self._said, self._gate = references, said, gate
        self._blocks: deque[NDArray[np.float64]] = deque()
        self._n = 0
        self._looked_s = -math.inf
        self._last: StateVector | None = None
        self._why = ""

    def add(self, block: EEGBlock) -> None:
        """Take a block that is free of current; a gap makes what was before it worthless."""
        if block.missing or block.restarted:
            self.drop()
        self._blocks.append(block.signal_uv[self._rows])
        self._n += len(block)
        while self._n - self._blocks[0].shape[1] >= self._most:
            self._n -= self._blocks.popleft().shape[1]

    def drop(self) -> None:
        """Forget the signal."""
        self._blocks.clear()
        self._n = 0
        self._looked_s = -math.inf

    def why_not(self, now_s: float, current_s: float) -> str:
        """Why no block may begin now; empty where one may. Tells the state, too.

        Parameters
        ----------
        now_s : float
            Present time.
        current_s : float
            When current flowed last; minus infinity where none did.
        """
        gated = self._gate != StateGate()
        if self._why and now_s - self._looked_s < EVERY_S:
            return self._why
        self._looked_s = now_s
        self._last = None
        since_s = now_s - current_s if math.isfinite(current_s) else None
        try:
            self._last = self._tell(since_s)
        except UnusableRecording as exc:
            self._why = str(exc) if gated else ""
            return self._why
        self._why = self._gate.why_not(self._last)
        return self._why

    def to_dict(self) -> dict[str, Any]:
        """Return the state that was told last, plain JSON types; empty where it could not be."""
        return {} if self._last is None else self._last.to_dict()

    def _tell(self, since_s: float | None) -> StateVector:
        import numpy as np

        if self._n < LEAST_S * self._sfreq_hz:
            raise UnusableRecording(f"{self._n / self._sfreq_hz:.1f} s of signal without current")
        return state_vector(
            np.concatenate(list(self._blocks), axis=1),
            self._sfreq_hz,
            self._peak_hz,
            references=self._references,
            said=self._said,
            since_dose_s=since_s,
        )
