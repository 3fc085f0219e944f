"""The toy's firmware, from the table in its README and from nothing of the driver."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from devices.emulators.replies import Replies
from devices.emulators.sine_output import SineOutput

OWN_RAMP_S = 0.5
MA_PER_UA_PP = 0.0005


class Firmware:
    """Lines in, lines out, and one output; it is told the time."""

    def __init__(self, now_s: float) -> None:
        self._replies = Replies(ascii_garbage=True)
        self.faults = self._replies.faults
        self.first_start_s: float | None = None
        self.output = SineOutput(now_s)
        self.sources = [self.output]
        self._now_s = now_s
        self._buffer = b""
        self._switch_on()

    def _switch_on(self) -> None:
        self._amplitude_ua_pp = 0
        self._frequency_mhz = 10_000
        self._lease_s = math.inf  # when it begins to end by itself
        self._silent_s = math.inf  # when the ramp of an end is over
        self._on = False

    @property
    def playing(self) -> bool:
        return self._on

    def drive(self, number: int, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.output.values(times_s)

    def silent_at_s(self) -> float:
        if not self._on:
            return -math.inf
        if self.output.stuck:
            return math.inf
        return self._silent_s if math.isfinite(self._silent_s) else self._lease_s + OWN_RAMP_S

    def stick(self) -> None:
        self.output.stuck = self._on

    def forget(self, seen_s: float) -> None:
        self.output.forget(seen_s)

    def click(self, now_s: float) -> None:
        """It has no button."""

    def reboot(self, now_s: float) -> None:
        self.advance(now_s)
        self.output.cut(now_s)
        self._buffer = b""
        self._replies.clear()
        self._switch_on()

    def advance(self, now_s: float) -> None:
        """Let time pass; what is due inside happens at its own time."""
        if self._lease_s <= now_s:
            self._end(OWN_RAMP_S, self._lease_s)
        if self._silent_s <= now_s and not self.output.stuck:
            self.output.advance(self._silent_s)
            self._on, self._silent_s = False, math.inf
        self.output.advance(now_s)
        self._now_s = max(self._now_s, now_s)

    def receive(self, data: bytes, now_s: float) -> None:
        self.advance(now_s)
        self._buffer += data
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            if text := line.decode("latin-1").strip():
                self._replies.send(f"{self._answer(text)}\n".encode(), self._now_s)

    def take(self, now_s: float) -> bytes:
        return self._replies.take(now_s)

    def next_due_s(self) -> float | None:
        return self._replies.next_due_s()

    def _answer(self, line: str) -> str:
        if line == "WHO":
            return "TOY 1"
        if line == "?":
            return f"? {self._on:d} {self._amplitude_ua_pp} {self._frequency_mhz}"
        found = re.fullmatch(r"(F|A|GO|KEEP|END) ([0-9]{1,9})", line)
        if found is None:
            return "NO such command"
        word, value = found[1], int(found[2])
        if self.faults.refuse and word != "END":
            self.faults.refuse -= 1
            return "NO not now"
        return self._carry_out(word, value) or f"OK {line}"

    def _carry_out(self, word: str, value: int) -> str:
        """Do it; why not, where it is not done."""
        now_s = self._now_s
        if word == "F":
            if self._on or not 1000 <= value <= 100_000:
                return "NO frequency while playing" if self._on else "NO such frequency"
            self._frequency_mhz = value
        elif word == "A":
            if value > 4000 or value % 2:
                return "NO such amplitude"
            self._amplitude_ua_pp = value
            if self._on and math.isinf(self._silent_s):
                self.output.move_to(MA_PER_UA_PP * value, 0.0, now_s)
        elif word == "GO":
            if self._on or not value:
                return "NO it plays" if self._on else "NO time"
            self._on, self._lease_s = True, now_s + value / 1000
            self.output.retune(self._frequency_mhz / 1000, now_s)
            self.output.restart(now_s)
            self.output.move_to(MA_PER_UA_PP * self._amplitude_ua_pp, 0.0, now_s)
            if self.first_start_s is None:
                self.first_start_s = now_s
        elif word == "KEEP":
            if not self._on or math.isfinite(self._silent_s):
                return "NO it does not play"
            self._lease_s = now_s + value / 1000
        else:
            self._end(value / 1000, now_s)
        return ""

    def _end(self, ramp_s: float, now_s: float) -> None:
        """Fall to zero, unless a shorter fall is under way."""
        self._lease_s = math.inf
        if self._on and now_s + ramp_s < self._silent_s:
            self._silent_s = now_s + ramp_s
            self.output.move_to(0.0, ramp_s, now_s)
