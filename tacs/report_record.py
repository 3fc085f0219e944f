"""What a run record says, read once for the report; only lines that verify are believed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from tacs.errors import FileProblems
from tacs.frequencies import tunings
from tacs.limits import LIMITS, EffectiveLimits
from tacs.protocol import Protocol
from tacs.record import Line, canonical, read_record
from tacs.waveform import Waveform

__all__ = ["Commanded", "RecordView", "StateChange", "file_sha256"]


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """One change of state.

    Parameters
    ----------
    at_s : float or None
        Seconds since the start of the programme; None where it never started.
    utc : str
        Wall-clock label.
    before, after, cause : str
        States, and why.
    """

    at_s: float | None
    utc: str
    before: str
    after: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commanded:
    """The level that was commanded over time.

    Parameters
    ----------
    times_s, levels : tuple of float
        Corners of the level, from the start of the programme; straight lines between.
    peaks_ma : mapping of str to float
        Zero-to-peak current of each electrode at level 1.
    frequency_hz : float
        Of the sine, or of a carrier's envelope, as the device achieved it; of a retuned
        session the first one.
    tunings : tuple of (float, float)
        When which frequency began to flow, from the start of the programme; see
        :func:`tacs.frequencies.tunings`.
    rectified : float
        Mean size of the waveform at full level, as a part of its peak.
    carrier_hz : float or None
        Of a modulated carrier.
    """

    times_s: tuple[float, ...]
    levels: tuple[float, ...]
    peaks_ma: Mapping[str, float]
    frequency_hz: float
    rectified: float = 2.0 / math.pi
    carrier_hz: float | None = None
    tunings: tuple[tuple[float, float], ...] = ()

    @property
    def frequencies_hz(self) -> tuple[float, ...]:
        """Each frequency that flowed, in order; one, where nothing was retuned."""
        return tuple(dict.fromkeys(hz for _, hz in self.tunings)) or (self.frequency_hz,)

    def frequency_at(self, at_s: float) -> float:
        """Return the frequency that flowed at a time from the start of the programme."""
        so_far = [hz for from_s, hz in self.tunings if from_s <= at_s]
        return so_far[-1] if so_far else self.frequency_hz

    @property
    def current_peak_ma(self) -> float:
        """Largest zero-to-peak current that was commanded at any electrode."""
        return max(self.levels) * max(self.peaks_ma.values())

    @property
    def current_on_s(self) -> float:
        """From the first to the last instant above zero, the device's stop ramp included."""
        loud = [
            (start_s, end_s)
            for (start_s, end_s), (low, high) in zip(
                pairwise(self.times_s), pairwise(self.levels), strict=True
            )
            if low > 0.0 or high > 0.0
        ]
        return loud[-1][1] - loud[0][0] if loud else 0.0

    @property
    def with_current_s(self) -> float:
        """Time above zero alone, without gaps and pauses."""
        return sum(
            end_s - start_s
            for (start_s, end_s), (low, high) in zip(
                pairwise(self.times_s), pairwise(self.levels), strict=True
            )
            if low > 0.0 or high > 0.0
        )

    @property
    def rectified_charge_c(self) -> float:
        """Charge of the commanded waveform through the electrode with most of it.

        ``(2/π)·∫I dt`` of a sine with the envelope ``I``.
        """
        area_s = sum(
            0.5 * (low + high) * (end_s - start_s)
            for (start_s, end_s), (low, high) in zip(
                pairwise(self.times_s), pairwise(self.levels), strict=True
            )
        )
        return self.rectified * 1e-3 * max(self.peaks_ma.values()) * area_s


class RecordView:
    """A run record as far as it verifies.

    Parameters
    ----------
    path : path
        The record.

    Raises
    ------
    InputError
        The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines, self.problem = read_record(path)
        self.sha256 = file_sha256(path)
        if not self.lines and self.problem is None:
            self.problem = "it is empty"

    @property
    def head(self) -> str | None:
        """Hash of the last line that verifies."""
        return self.lines[-1].hash if self.lines else None

    @cached_property
    def first(self) -> Mapping[str, Any]:
        """The first line's particulars; empty where it does not verify."""
        return self.lines[0].data if self.lines and self.lines[0].kind == "session" else {}

    @cached_property
    def started(self) -> Line | None:
        """The command that started the programme."""
        return self._first_of("intent", "start")

    @cached_property
    def end(self) -> Mapping[str, Any] | None:
        """The last line's particulars; None where the record was not closed."""
        ends = [line.data for line in self.lines if line.kind == "end"]
        return ends[-1] if ends else None

    @property
    def outcome(self) -> str:
        """What the last line says; ``open`` without one, ``unknown`` where it does not verify."""
        if self.end is None:
            return "open" if self.problem is None else "unknown"
        return str(self.end["outcome"])

    @property
    def cause(self) -> str:
        """Why it stopped; empty where it ended as planned or is open."""
        return "" if self.end is None else str(self.end.get("cause", ""))

    @cached_property
    def protocol(self) -> Protocol | None:
        """The protocol as run; None where this version cannot read it (see `misfits`)."""
        try:
            return Protocol.from_data(self.first["protocol"], "protocol in the record")
        except (KeyError, FileProblems):
            return None

    @cached_property
    def limits(self) -> EffectiveLimits | None:
        """The limits in force; None where the table has names that the record lacks."""
        values, set_by = self.first.get("limits", {}), self.first.get("limits_set_by", {})
        if not (LIMITS.keys() <= values.keys() and LIMITS.keys() <= set_by.keys()):
            return None
        return EffectiveLimits(values, set_by)

    @cached_property
    def misfits(self) -> tuple[str, ...]:
        """What in a verified record does not fit itself or this version, one line each."""
        found = []
        if self.first and self.protocol is None:
            found.append(
                f"the protocol in the record was written by suite {self.first.get('suite')} and "
                f"cannot be read by this version"
            )
        if self.first and self.limits is None:
            found.append(
                f"the limits in the record were written by suite {self.first.get('suite')} and "
                f"lack limits of this version"
            )
        if self.protocol and self.protocol.sha256() != self.first.get("protocol_sha256"):
            found.append("the protocol's hash does not fit the protocol in the record")
        limits = self.first.get("limits")
        if limits is not None:
            digest = hashlib.sha256(canonical(limits).encode()).hexdigest()
            if digest != self.first.get("limits_sha256"):
                found.append("the limits' hash does not fit the limits in the record")
        return tuple(found)

    @property
    def blinded(self) -> bool:
        """Whether the arm must not be shown; a record that cannot be read counts as blinded."""
        data = self.first.get("protocol")
        return not isinstance(data, Mapping) or data.get("blinding") is not None

    @cached_property
    def states(self) -> tuple[StateChange, ...]:
        """Every change of state."""
        zero_s = None if self.started is None else self.started.t_s
        return tuple(
            StateChange(
                at_s=None if zero_s is None else line.t_s - zero_s,
                utc=line.utc,
                before=str(line.data.get("from", "")),
                after=str(line.data["to"]),
                cause=str(line.data.get("cause", "")),
            )
            for line in self.lines
            if line.kind == "state"
        )

    @cached_property
    def trains(self) -> tuple[int, int]:
        """Trains that were begun, and those of them that came to their planned end."""
        course = [s.after for s in self.states]
        begun = course.count("train_rise")
        whole = sum(
            course[i : i + 4] == ["train_rise", "train_on", "train_fall", "between_trains"]
            for i in range(len(course))
        )
        return begun, whole

    @cached_property
    def hold_s(self) -> tuple[float, float] | None:
        """The longest stretch at full current and one frequency, from the programme's start."""
        edges = [(s.at_s, s.after) for s in self.states if s.at_s is not None]
        tuned_s = [] if self.commanded is None else [at_s for at_s, _ in self.commanded.tunings]
        holds = [
            part
            for (start_s, state), (end_s, _) in pairwise(edges)
            if state == "hold"
            for part in pairwise([start_s, *(t for t in tuned_s if start_s < t < end_s), end_s])
        ]
        return max(holds, key=lambda hold: hold[1] - hold[0], default=None)

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """Who answered: model, firmware, details; empty where nobody did."""
        line = self._first_of("answer", "connect")
        return {} if line is None else line.data

    @cached_property
    def achieved_hz(self) -> float | None:
        """Frequency that the device's grid made of the protocol's."""
        line = self._first_of("answer", "configure")
        return None if line is None else float(line.data["frequency_hz"])

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the guardian noted."""
        return tuple(str(line.data["text"]) for line in self.lines if line.kind == "note")

    @cached_property
    def impedance_kohm(self) -> Mapping[str, tuple[float, float]]:
        """Smallest and largest reading at each electrode; empty where nothing measures it."""
        readings: dict[str, list[float]] = {}
        for line in self.lines:
            if line.kind == "answer" and line.data.get("verb") == "status":
                for name, kohm in (line.data.get("impedance_kohm") or {}).items():
                    readings.setdefault(name, []).append(float(kohm))
        return {name: (min(values), max(values)) for name, values in readings.items()}

    @cached_property
    def commanded(self) -> Commanded | None:
        """The level over time; None where nothing was started or the protocol is unreadable."""
        if self.started is None or self.protocol is None:
            return None
        waveform = Waveform(self.protocol)
        times_s, levels = self._corners(self.started)
        return Commanded(
            times_s=times_s,
            levels=levels,
            peaks_ma={name: waveform.peak_ma(name) for name in waveform.electrodes},
            frequency_hz=self.achieved_hz or self.protocol.frequency_hz,
            rectified=waveform.rectified,
            carrier_hz=self.protocol.carrier_hz,
            tunings=tuple((t_s - self.started.t_s, hz) for t_s, hz in tunings(self.lines)),
        )

    def _corners(self, started: Line) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Steps of the level as sent, and the device's own ramp after a stop."""
        capabilities = self.first["capabilities"]
        stops_s = {
            "soft_stop": float(capabilities["soft_stop_s"]),
            "emergency_stop": float(capabilities["emergency_stop_s"]),
        }
        times_s, levels = [0.0], [0.0]
        for line in self.lines[self.lines.index(started) + 1 :]:
            verb, at_s = line.data.get("verb"), line.t_s - started.t_s
            if line.kind != "intent" or verb not in {"set_level", *stops_s}:
                continue
            if at_s < times_s[-1]:
                # A second stop while the ramp of the first still ran: cut that ramp here.
                share = (at_s - times_s[-2]) / (times_s[-1] - times_s[-2])
                times_s[-1], levels[-1] = at_s, levels[-2] + share * (levels[-1] - levels[-2])
            else:
                times_s.append(at_s)
                levels.append(levels[-1])
            level = float(line.data["level"]) if verb == "set_level" else 0.0
            times_s.append(at_s + stops_s.get(verb, 0.0))
            levels.append(level)
        last_s = self.lines[-1].t_s - started.t_s
        if last_s > times_s[-1]:
            times_s.append(last_s)
            levels.append(levels[-1])
        return tuple(times_s), tuple(levels)

    def _first_of(self, kind: str, verb: str) -> Line | None:
        lines: Sequence[Line] = self.lines
        return next((x for x in lines if x.kind == kind and x.data.get("verb") == verb), None)

    @property
    def began(self) -> datetime | None:
        """When the programme started, else when the record was opened."""
        line = self.started or (self.lines[0] if self.lines else None)
        return None if line is None else datetime.fromisoformat(line.utc)
