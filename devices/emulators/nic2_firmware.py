"""The emulated NIC2: its remote control, from the table of its protocol and nothing of the driver.

Codes are written down here a second time, on purpose: a slip in the driver's table then shows as a
disagreement instead of being repeated.

Where the table is silent, this is assumed: an online change of the amplitudes goes on from where
the one under way has got to; one that cannot be read, or comes while no protocol stimulates, is
ignored; the frequency keeps its place in the cycle (148) or begins anew with the phases (150); an
abort takes 0.3 s to zero; a protocol ends in a second.

References
----------
MatNIC 4.07, function files by Neuroelectrics as published in public repositories (facts only), and
the operational notes of klabhub/neurostim, ``+stimuli/starstim.m``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from devices.emulators.monitor_probe import Source
from devices.emulators.replies import Replies
from devices.emulators.sine_output import SineOutput

__all__ = ["Firmware", "Library"]

N_CHANNELS = 8
LATENCY_S = 0.003
SYNC_S = 1.2
PERMISSION_S = 0.5
LOAD_S = 0.4
START_S = 0.2
PROTOCOL_RAMP_S = 1.0
ABORT_S = 0.3
CHECK_S = 6.0
FRAGMENT_S = 0.01
WITH_TEXT = {131, 133, 135, 140, *range(143, 154), 155, 158}
ENDS = b"\0\n\r"
BANNER = "04.07"

Library = Callable[[str], float | None]


class Quirks:
    """What may be odd about this NIC; everything is off at first.

    Attributes
    ----------
    early_full, stale_full : bool
        Full stimulation is reported before a change has ended, and after an impedance check.
    decimals_are_zero : bool
        A number with decimals anywhere makes all amplitudes of its command zero.
    deaf_in_transition, strict_slope : bool
        An online change is ignored while another is under way, or where a channel moves by less
        than 0.061 µA/ms.
    fragment : bool
        Answers come byte by byte.
    no_protocol, start_fails, rejects : bool
        No protocol is found; a start ends in an error; the person at NIC says no.
    """

    def __init__(self) -> None:
        self.early_full = self.stale_full = self.decimals_are_zero = False
        self.deaf_in_transition = self.strict_slope = self.fragment = False
        self.no_protocol = self.start_fails = self.rejects = False
        self.sync_s, self.permission_s = SYNC_S, PERMISSION_S
        self.load_s, self.start_s = LOAD_S, START_S
        self.unmeasured: frozenset[int] = frozenset()


class Firmware:
    """Bytes in, bytes out, and a current source for each channel; it is told the time.

    Parameters
    ----------
    now_s : float
        Clock time of power-on.
    library : callable
        Name of a protocol to its length in seconds; None where there is none.

    Attributes
    ----------
    impedance_kohm : callable
        Impedance at a channel, counted from 1, at an instant.
    ignored : int
        Online changes that were not carried out.
    """

    def __init__(self, now_s: float, library: Library) -> None:
        self._replies = Replies(LATENCY_S)
        self.faults = self._replies.faults
        self.quirks = Quirks()
        self.banner = BANNER
        self.n_channels = N_CHANNELS
        self.first_start_s: float | None = None
        self.impedance_kohm: Callable[[int, float], float] = lambda channel, now_s: math.nan
        self.ignored = 0
        self._library = library
        self._now_s = now_s
        self.outputs = [SineOutput(now_s) for _ in range(N_CHANNELS)]
        self._stuck = False
        self._op: int | None = None
        self._status = 204
        self._due_s = self._ends_s = math.inf
        self._then: Callable[[], None] = lambda: None
        self._rest()
        self._plain: dict[int, Callable[[], None]] = {
            128: self._say_status,
            129: lambda: self._say(bytes([self._protocol_status()])),
            130: lambda: self._say(f"{self.banner}\n".encode()),
            132: lambda: self._say(bytes([self.n_channels])),
            136: self._unload,
            137: self._start,
            138: self._abort,
            139: self._pause,
            141: self._end_check,
            142: self._say_impedances,
            159: lambda: self._say(b"1.2.3\t00:07:80:00:00:01\tBluetooth\tSTARSTIM8\n"),
        }
        self._with_text: dict[int, Callable[[str], None]] = {
            131: self._hello,
            135: self._load,
            140: self._check,
            147: self._set_amplitudes,
            148: self._set_frequencies,
            149: self._set_phases,
            150: self._set_all,
        }

    @property
    def sources(self) -> Sequence[Source]:
        """Its outputs as a current monitor senses them."""
        return self.outputs

    @property
    def playing(self) -> bool:
        """Whether current flows from any output, or is on its way up."""
        return any(output.loud for output in self.outputs)

    @property
    def status(self) -> int:
        """What NIC says of itself now."""
        return self._status

    def drive(self, number: int, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return milliampere of an output, counted from 1."""
        return self.outputs[number - 1].values(times_s)

    def silent_at_s(self) -> float:
        """Return when the outputs come to rest if no command comes; infinite where they do not."""
        if not self.playing:
            return -math.inf
        if self._stuck:
            return math.inf
        return self._moves_until_s if self._to_zero else self._ends_s + PROTOCOL_RAMP_S

    def stick(self) -> None:
        """Have what plays play on, whatever is commanded."""
        self._stuck = self.playing
        for output in self.outputs:
            output.stuck = output.loud

    def forget(self, seen_s: float) -> None:
        """Drop what both instruments have seen."""
        for output in self.outputs:
            output.forget(seen_s)

    def advance(self, now_s: float) -> None:
        """Let time pass: whatever NIC is in the middle of goes on."""
        while self._due_s <= now_s:
            self._now_s = max(self._due_s, self._now_s)
            then, self._due_s = self._then, math.inf
            then()
        if now_s >= self._ends_s and self._status == 208 and not self._stuck:
            self._now_s = self._ends_s
            self._protocol_over()
            self.advance(now_s)
        self._now_s = max(self._now_s, now_s)
        for output in self.outputs:
            output.advance(now_s)

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host and carry out the commands that are complete."""
        self.advance(now_s)
        for byte in data:
            if self._op is None:
                if byte in WITH_TEXT:
                    self._op, self._text = byte, bytearray()
                elif byte in self._plain:
                    self._plain[byte]()
            elif byte in ENDS:
                op, text, self._op = self._op, self._text.decode("latin-1"), None
                if op in self._with_text:
                    self._with_text[op](text)
            else:
                self._text.append(byte)

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""
        return self._replies.take(now_s)

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due."""
        return self._replies.next_due_s()

    def click(self, now_s: float) -> None:
        """Press Abort in NIC."""
        self.advance(now_s)
        self._abort()

    def pause_by_hand(self, now_s: float) -> None:
        """Press Pause in NIC."""
        self.advance(now_s)
        self._pause()

    def reboot(self, now_s: float) -> None:
        """Lose power and come back: outputs at zero at once, nothing loaded, nobody allowed."""
        self.advance(now_s)
        for output in self.outputs:
            output.cut(now_s)
        self._replies.clear()
        self._rest()

    # -- state -----------------------------------------------------------------------------------

    def _rest(self) -> None:
        self._op = None
        self._text = bytearray()
        self._status = 204
        self._synced_s = math.inf
        self._asked_s = math.nan
        self._allowed = False
        self._length_s: float | None = None
        self._full_s = math.inf
        self._ends_s = math.inf
        self._moves_until_s = -math.inf
        self._moves_down = self._ending = False
        self._to_zero = True
        self._stale = False
        self._checked: Mapping[int, float] = {}
        self._due_s = math.inf

    def _later(self, after_s: float, then: Callable[[], None]) -> None:
        self._due_s, self._then = self._now_s + after_s, then

    def _become(self, status: int) -> None:
        self._status = status
        self._ending = self._ending and status == 208

    def _say(self, reply: bytes) -> None:
        if not self.quirks.fragment:
            self._replies.send(reply, self._now_s)
            return
        for n, byte in enumerate(reply):
            self._replies.send(bytes([byte]), self._now_s + n * FRAGMENT_S)

    def _say_status(self) -> None:
        """The state; the first question of a client has NIC ask the person in front of it."""
        if not self._allowed:
            if math.isnan(self._asked_s):
                self._asked_s = self._now_s
            if self._now_s >= self._asked_s + self.quirks.permission_s:
                self._allowed = not self.quirks.rejects
                answer = 200 if self._allowed else 201
                if self._status in (201, 204, 205):
                    self._status = answer
                self._say(bytes([answer]))
                return
        self._say(bytes([self._status]))

    def _protocol_status(self) -> int:
        if self._status == 213 or self._ending:
            return 218
        if self._status == 208:
            if self.quirks.early_full:
                return 217
            if self._now_s < self._full_s:
                return 216
            return 217 if self._now_s >= self._moves_until_s else 218 if self._moves_down else 216
        if self._stale:
            return 217
        return 219 if self._status in (210, 212) else self._status

    # -- protocols -------------------------------------------------------------------------------

    def _hello(self, version: str) -> None:
        """A client says who it is; the person at NIC is asked about each one."""
        self._allowed, self._asked_s = False, math.nan
        if self._synced_s == math.inf:
            self._synced_s = self._now_s + self.quirks.sync_s
        self._say(bytes([203 if self._now_s < self._synced_s else self._status]))

    def _load(self, name: str) -> None:
        if not self._allowed or self._status in (206, 208, 213, 221):
            return
        length_s = None if self.quirks.no_protocol else self._library(name)
        if self.faults.refuse:
            self.faults.refuse -= 1
            length_s = None
        self._length_s, self._stale = length_s, False
        self._become(206)
        self._later(self.quirks.load_s, lambda: self._become(205 if length_s is None else 207))

    def _unload(self) -> None:
        if self._allowed and self._length_s is not None and self._status not in (208, 213, 221):
            self._length_s, self._due_s = None, math.inf
            self._become(205)

    def _start(self) -> None:
        if self._allowed and self._length_s is not None and self._status not in (208, 213, 221):
            self._later(self.quirks.start_s, self._run)

    def _run(self) -> None:
        if self.quirks.start_fails or self._length_s is None:
            self._become(209)
            return
        self._become(208)
        self._stale = self._ending = False
        self._full_s = self._now_s + PROTOCOL_RAMP_S
        self._ends_s = self._now_s + self._length_s - PROTOCOL_RAMP_S

    def _protocol_over(self) -> None:
        self._ends_s = math.inf
        self._ending = True
        self._all_to_zero(PROTOCOL_RAMP_S)
        self._later(PROTOCOL_RAMP_S, lambda: self._become(210))

    def _abort(self) -> None:
        if self._stuck or not self._allowed:
            return
        if self._status in (208, 211):
            self._become(213)
            self._all_to_zero(ABORT_S)
            self._later(ABORT_S, lambda: self._become(212))
        elif self._due_s < math.inf and self._status == 207:
            self._due_s = math.inf  # before it began
            self._become(212)

    def _pause(self) -> None:
        if self._status == 208 and not self._stuck:
            self._become(211)
            self._all_to_zero(PROTOCOL_RAMP_S)

    def _all_to_zero(self, over_s: float) -> None:
        """Down, by a way that is faster where one is under way."""
        if self._to_zero:
            over_s = min(over_s, max(self._moves_until_s - self._now_s, 0.0))
        self._glide([0.0] * N_CHANNELS, over_s)

    def _glide(self, amplitudes_ma: Sequence[float], over_s: float) -> None:
        """Move all amplitudes in straight lines, together."""
        before = [output.amplitude(self._now_s) for output in self.outputs]
        pairs = list(zip(before, amplitudes_ma, strict=False))
        if any(old != new for old, new in pairs):
            self._moves_until_s = self._now_s + over_s
            self._moves_down = all(new <= old for old, new in pairs)
        self._to_zero = not any(amplitudes_ma)
        for output, amplitude_ma in zip(self.outputs, amplitudes_ma, strict=False):
            output.move_to(amplitude_ma, over_s, self._now_s)

    # -- contacts --------------------------------------------------------------------------------

    def _check(self, kind: str) -> None:
        if kind in ("DC", "AC") and self._allowed and self._length_s is not None:
            if self._status not in (206, 208, 213):
                self._become(221)
                self._later(CHECK_S, self._checked_all)

    def _checked_all(self) -> None:
        every = range(1, self.n_channels + 1)
        self._checked = {n: self.impedance_kohm(n, self._now_s) for n in every}
        self._stale = self.quirks.stale_full
        self._become(222)

    def _end_check(self) -> None:
        if self._status == 221:
            self._become(223)
            self._later(ABORT_S, lambda: self._become(224))

    def _say_impedances(self) -> None:
        found = dict(self._checked)
        for number, output in enumerate(self.outputs, start=1):
            if output.amplitude(self._now_s) > 0.0:
                found[number] = self.impedance_kohm(number, self._now_s)
        words = []
        for number in range(1, self.n_channels + 1):
            kohm = math.nan if number in self.quirks.unmeasured else found.get(number, 0.0)
            words.append(f"{1e3 * kohm:.1f}" if math.isfinite(kohm) else "NaN")
        self._say((" ".join(words) + "\n").encode())

    # -- online changes --------------------------------------------------------------------------

    def _set_amplitudes(self, text: str) -> None:
        values = self._numbers(text, self.n_channels + 1)
        if values is None or not self._takes(values[:-1], values[-1]):
            self.ignored += 1
            return
        self._move(values[:-1], values[-1], values)

    def _set_frequencies(self, text: str) -> None:
        values = self._numbers(text, self.n_channels)
        if values is None or not self._stimulates() or not all(0 <= v <= 150 for v in values):
            self.ignored += 1
            return
        for output, hz in zip(self.outputs, values, strict=False):
            output.retune(hz, self._now_s)

    def _set_phases(self, text: str) -> None:
        values = self._numbers(text, self.n_channels)
        if values is None or not self._stimulates() or not all(0 <= v <= 359 for v in values):
            self.ignored += 1
            return
        for output, degrees in zip(self.outputs, values, strict=False):
            output.set_phase(degrees, self._now_s)

    def _set_all(self, text: str) -> None:
        n = self.n_channels
        values = self._numbers(text, 3 * n + 1)
        if values is None or not self._takes(values[:n], values[-1]):
            self.ignored += 1
            return
        hz, degrees = values[n : 2 * n], values[2 * n : 3 * n]
        if not all(0 <= v <= 150 for v in hz) or not all(0 <= v <= 359 for v in degrees):
            self.ignored += 1
            return
        if self.first_start_s is None:
            self.first_start_s = self._now_s  # the protocol itself begins at 0 µA, and earlier
        for output, frequency_hz, phase_deg in zip(self.outputs, hz, degrees, strict=False):
            output.retune(frequency_hz, self._now_s)
            output.restart(self._now_s)
            output.set_phase(phase_deg, self._now_s)
        self._move(values[:n], values[-1], values)

    def _numbers(self, text: str, count: int) -> list[float] | None:
        try:
            values = [float(word) for word in text.split(";")]
        except ValueError:
            return None
        return values if len(values) == count and all(map(math.isfinite, values)) else None

    def _stimulates(self) -> bool:
        """Whether an online change is heard at all."""
        if self.faults.refuse:
            self.faults.refuse -= 1
            return False
        running = self._allowed and self._status == 208 and not self._ending
        return running and self._now_s >= self._full_s

    def _takes(self, amplitudes_ua: Sequence[float], transition_ms: float) -> bool:
        """Whether a change of the amplitudes is carried out."""
        if not (self._stimulates() and 100 <= transition_ms <= 10_000):
            return False
        if not all(0 <= value <= 2000 for value in amplitudes_ua):
            return False
        if self.quirks.deaf_in_transition and self._now_s < self._moves_until_s:
            return False
        moves = [
            abs(value / 1e3 - output.amplitude(self._now_s))
            for value, output in zip(amplitudes_ua, self.outputs, strict=False)
        ]
        slow = [m for m in moves if m > 1e-9 and 1e3 * m / transition_ms < 0.061 - 1e-9]
        return not (self.quirks.strict_slope and slow)

    def _move(
        self, amplitudes_ua: Sequence[float], transition_ms: float, all_of_it: Sequence[float]
    ) -> None:
        if self.quirks.decimals_are_zero and any(value % 1.0 for value in all_of_it):
            amplitudes_ua = [0.0] * len(amplitudes_ua)
        self._glide([value / 1e3 for value in amplitudes_ua], transition_ms / 1e3)
