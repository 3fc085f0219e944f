"""Marks over the Lab Streaming Layer: what a presentation sends when it begins something."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from devices.eeg_lsl import lsl_library, lsl_to_session_s
from tacs.clock import Clock
from tacs.errors import DeviceNotFound, InputError, LinkLost
from tacs.marks import Mark

__all__ = ["LslMarks"]

OPEN_S: Final = 5.0
KIND: Final = "Markers"


class LslMarks:
    """A stream of type Markers, one text or number per mark.

    A sender whose process ends is noticed at once. One that destroys its outlet and lives on may
    not be: its connection can stay open, and then only no more marks come.

    Parameters
    ----------
    clock : Clock
        Of the session; real time.
    name : str
        Of the stream.
    wait_s : float
        How long to look for it.
    """

    def __init__(self, clock: Clock, *, name: str, wait_s: float = 5.0) -> None:
        self._session = clock
        self._name = name
        self._wait_s = wait_s
        self._lsl: Any = None
        self._inlet: Any = None
        self._correction_s = 0.0

    def open(self) -> str:
        """Reach the stream; return what it is.

        Raises
        ------
        DeviceNotFound
            There is no such stream.
        InputError
            It is not the only one, or MNE-LSL is missing.
        """
        if self._session.virtual:
            raise InputError("LSL marks are read in real time; use --clock real")
        lsl = self._lsl = lsl_library()
        found = [
            one
            for one in lsl.resolve_streams(self._wait_s, minimum=1, name=self._name or None)
            if one.stype.lower() == KIND.lower()
        ]
        if not found:
            raise DeviceNotFound(
                f"no LSL stream of type {KIND} named {self._name!r} within {self._wait_s:g} s"
            )
        if len(found) > 1:
            raise InputError(f"{len(found)} LSL streams of type {KIND} are named {self._name!r}")
        try:
            # Not recovered: marks that were sent meanwhile are lost, and nobody would know.
            self._inlet = lsl.StreamInlet(found[0], max_buffered=360, recover=False)
            self._inlet.open_stream(timeout=OPEN_S)
            self._correction_s = float(self._inlet.time_correction(timeout=OPEN_S))
        except (RuntimeError, OSError, ValueError) as exc:
            self.close()
            raise DeviceNotFound(f"LSL stream {self._name!r}: cannot be opened ({exc})") from exc
        return f"LSL marks {found[0].name!r}"

    def collect(self) -> list[Mark]:
        """Return the marks that have come since the last time.

        Raises
        ------
        LinkLost
            The stream is gone.
        """
        inlet, lsl = self._inlet, self._lsl
        if inlet is None or lsl is None:
            raise LinkLost("the stream of marks was closed")
        try:
            samples, stamps_s = inlet.pull_chunk(timeout=0.0)
        except (RuntimeError, OSError) as exc:
            raise LinkLost(f"LSL marks {self._name!r}: the stream is gone ({exc})") from exc
        if not len(stamps_s):
            return []
        with contextlib.suppress(RuntimeError, OSError):
            self._correction_s = float(inlet.time_correction(timeout=OPEN_S))
        offset_s = self._correction_s + lsl_to_session_s(self._session, lsl)
        return [
            Mark(time_s=float(stamp) + offset_s, text=str(sample[0]).strip())
            for sample, stamp in zip(samples, stamps_s, strict=True)
        ]

    def close(self) -> None:
        """Let go of the stream; safe to repeat."""
        if self._inlet is not None:
            with contextlib.suppress(RuntimeError, OSError):
                self._inlet.close_stream()
            self._inlet = None
