"""Slots of the emulated StimJim: the lines that define them, and the objections to a line.

Written down here a second time, from the protocol page alone: a slip in the driver's own reading
then shows as a disagreement instead of being repeated.

References
----------
tncslab, stimjimAWG serial protocol reference (commit 48322de), sections 2, 4 and 5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

__all__ = ["EMPTY", "N_SLOTS", "Objection", "Slot", "decimal"]

N_SLOTS = 100
U32 = 4_294_967_295
DELAY_MAX_US = 2_000_000_000
UNMEASURED = 90


class Objection(Exception):  # noqa: N818 - what the device says, no error of the program
    """Why a line is refused, in the device's own words."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What one slot holds; at power-on an empty train of steps that drives no channel."""

    sine: bool = False
    modes: tuple[int, int] = (3, 3)
    period_us: int = 10_000
    duration_us: int = 500_000
    delay_us: int = 0
    amplitudes: tuple[int, int] = (0, 0)
    burst_us: int = 0
    millihertz: tuple[int, int] = (0, 0)
    millidegrees: tuple[int, int] = (0, 0)
    ramps_us: tuple[int, int] = (0, 0)
    what: tuple[int, int] = (3, 3)
    when: int = 0
    report: int = 0
    fit: int = 1

    @property
    def driven(self) -> tuple[int, ...]:
        """Channels that it drives, from 0."""
        return tuple(c for c in (0, 1) if self.sine and self.modes[c] <= 1)

    def canonical(self, index: int) -> str:
        """Return the line that reproduces it."""
        modes = [
            UNMEASURED + mode if mode <= 1 and not what else mode
            for mode, what in zip(self.modes, self.what, strict=True)
        ]
        head = f"{index},{modes[0]},{modes[1]},{self.period_us},{self.duration_us}"
        if self.delay_us:
            head += f",{self.delay_us}"
        if not self.sine:
            return f"S{head}"
        hertz = ",".join(thousandths(value) for value in self.millihertz)
        degrees = ",".join(thousandths(value) for value in self.millidegrees)
        return (
            f"W{head};{self.amplitudes[0]},{self.amplitudes[1]},{self.burst_us};{hertz},0;"
            f"{degrees},0;{self.ramps_us[0]},{self.ramps_us[1]},0"
        )

    def measures(self, index: int) -> str:
        """Return its ``MEAS`` line."""
        return f"MEAS{index},{self.what[0]},{self.what[1]},{self.when},-1,{self.report},{self.fit}"

    def defined_by(self, body: str) -> tuple[Slot, str]:
        """Return the slot after a ``W`` line, and a warning; nothing changes on an objection.

        Parameters
        ----------
        body : str
            What follows the slot's number, from the first comma on.
        """
        parts = body.split(";")
        head = parts[0].split(",")[1:]
        mode0, what0 = _mode(head, 0, self.what[0])
        mode1, what1 = _mode(head, 1, self.what[1])
        period_us = _unsigned(head, 2, "bad or missing period_us")
        duration_us = _unsigned(head, 3, "bad or missing duration_us")
        if period_us == 0:
            raise Objection("period_us must be > 0")
        delay_us = _unsigned(head, 4, "bad delay_us") if len(head) > 4 else 0
        if delay_us > DELAY_MAX_US:
            raise Objection("delay_us exceeds 2000000000 us (2000 s)")
        if len(head) > 5:
            raise Objection("unexpected text after last field")
        triplets = [part.split(",") for part in parts[1:]]
        amplitude = _triplet(triplets, 0)
        amplitudes = (
            _signed(amplitude, 0, "bad amplitude triplet (amp0)"),
            _signed(amplitude, 1, "bad amplitude triplet (amp1)"),
        )
        burst_us = _unsigned(amplitude, 2, "bad amplitude triplet (burst_us)")
        frequency = _triplet(triplets, 1)
        millihertz = (
            decimal(frequency, 0, "bad frequency triplet (freq0)"),
            decimal(frequency, 1, "bad frequency triplet (freq1)"),
        )
        _signed(frequency, 2, "frequency triplet needs its 3rd (reserved) field")
        phase = _triplet(triplets, 2)
        millidegrees = (
            decimal(phase, 0, "bad phase triplet (phase0)"),
            decimal(phase, 1, "bad phase triplet (phase1)"),
        )
        _signed(phase, 2, "phase triplet needs its 3rd (reserved) field")
        ramps_us, shape = (0, 0), 0
        if len(triplets) > 3:
            envelope = _triplet(triplets, 3)
            ramps_us = (
                _unsigned(envelope, 0, "bad envelope triplet (rampIn_us)"),
                _unsigned(envelope, 1, "bad envelope triplet (rampOut_us)"),
            )
            shape = _unsigned(envelope, 2, "bad envelope triplet (shape)")
        if min(millihertz) < 0:
            raise Objection("negative frequency not supported")
        if shape:
            raise Objection("envelope shape 1 (raised-cosine) is reserved, use 0")
        if len(triplets) > 4 or any(len(triplet) > 3 for triplet in triplets):
            raise Objection("unexpected text after last field")
        if sum(ramps_us) > duration_us:
            raise Objection("envelope rampIn+rampOut exceeds duration_us")
        warnings = []
        if any(m == 1 and abs(a) > 3000 for m, a in zip((mode0, mode1), amplitudes, strict=True)):
            warnings.append("amplitudes above 3000 uA convert incorrectly on the DAC")
        if burst_us > period_us:
            warnings.append("burst_us exceeds period_us")
        slot = replace(
            self,
            sine=True,
            modes=(mode0, mode1),
            period_us=period_us,
            duration_us=duration_us,
            delay_us=delay_us,
            amplitudes=amplitudes,
            burst_us=burst_us,
            millihertz=millihertz,
            millidegrees=millidegrees,
            ramps_us=ramps_us,
            what=(what0, what1),
            when=self.when if 1 <= self.when <= 3 else 3,
        )
        return slot, "; ".join(warnings)

    def measured_by(self, fields: list[str]) -> tuple[Slot, str]:
        """Return the slot after a ``MEAS`` line, and a warning."""
        if not 4 <= len(fields) <= 6:
            raise Objection("need <what0>,<what1>,<when>,<stage>[,<report>[,<fit>]]")
        values = [_signed(fields, i, "field out of range") for i in range(len(fields))]
        what, when, stage = (values[0], values[1]), values[2], values[3]
        report = values[4] if len(values) > 4 else 0
        fit = values[5] if len(values) > 5 else 1
        if not (all(0 <= w <= 3 for w in what) and 0 <= report <= 3 and fit in (0, 1)):
            raise Objection("field out of range")
        if self.sine and not 1 <= when <= 3:
            raise Objection("sine slots require when 1 (+peak), 2 (-peak) or 3 (both)")
        if self.sine and stage != -1:
            raise Objection("sine slots have no stages — stage must be -1")
        if not self.sine and when:
            raise Objection("S/L slots require when=0 (near stage end)")
        idle = any(mode > 1 and w for mode, w in zip(self.modes, what, strict=True))
        slot = replace(self, what=what, when=when, report=report, fit=fit)
        return slot, "channel not driven (mode 2/3) — nothing to measure" if idle else ""


EMPTY = Slot()


def thousandths(value: int) -> str:
    """Write thousandths with no more decimals than are needed."""
    sign, value = ("-" if value < 0 else ""), abs(value)
    text = f"{sign}{value // 1000}"
    return f"{text}.{value % 1000:03d}".rstrip("0") if value % 1000 else text


def decimal(fields: list[str], place: int, objection: str) -> int:
    """Read a decimal as thousandths; a fourth decimal place that is not 0 is refused."""
    text = fields[place].strip() if place < len(fields) else ""
    found = re.fullmatch(r"([+-]?)(\d*)(?:\.(\d*))?", text)
    if found is None or not (found[2] or found[3]):
        raise Objection(objection)
    whole, part = found[2] or "0", found[3] or ""
    if part[3:].strip("0") or int(whole) > 4_400_000_000:
        raise Objection(objection)
    value = int(whole) * 1000 + int(part[:3].ljust(3, "0"))
    return -value if found[1] == "-" else value


def _triplet(triplets: list[list[str]], place: int) -> list[str]:
    return triplets[place] if place < len(triplets) else []


def _signed(fields: list[str], place: int, objection: str) -> int:
    text = fields[place].strip() if place < len(fields) else ""
    if re.fullmatch(r"[+-]?\d{1,10}", text) is None:
        raise Objection(objection)
    return int(text)


def _unsigned(fields: list[str], place: int, objection: str) -> int:
    value = _signed(fields, place, objection)
    if not 0 <= value <= U32:
        raise Objection(objection)
    return value


def _mode(fields: list[str], place: int, what: int) -> tuple[int, int]:
    """Mode of a channel, and what is measured there: 90 and 91 measure nothing."""
    value = _signed(fields, place, f"bad or missing mode{place}")
    if value in (90, 91):
        return value - UNMEASURED, 0
    if not 0 <= value <= 3:
        raise Objection("mode must be 0-3 or 90/91 (V/I without measurement)")
    return value, 3 if value <= 1 and not what else what
