"""Close what a crash left open: measure or bound the dose, close the record, book it.

A record without its last line belongs to a session whose host died. What it delivered is measured
where an oscilloscope outlived the host and saw the current end; else the upper bound is booked:
everything that was commanded, what the lines that may not have reached the disk could have
commanded, and what the device would have gone on to deliver until its lease and its stop ramp, or
the programme that it holds, had run out. A trace that is not whole (cut off with its host, not
closed yet, a sample missing, or the session not within it) is a lower bound only.

Every step may be cut off in its turn and is done again by the next `tacs recover`: close the
record, book the dose, anchor the head, store the trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tacs.anchors import RecordProblem, acknowledge, anchor, verify_dataset
from tacs.bids import SessionPaths, find_records, left_trace, store_trace
from tacs.bids_stimulation import note_session
from tacs.blinding import load_study
from tacs.clock import MonotonicClock, moment_now, utc_now
from tacs.dose import Delivered, at_least, is_whole, measure, quiet_after_s, read_trace
from tacs.errors import InputError, RecordError, TacsError
from tacs.frequencies import several_of
from tacs.guardian import SYNC_S
from tacs.ledger import Dose, Ledger, dose_at_level, site_folder
from tacs.protocol import Protocol
from tacs.record import LATE_AFTER_S, Line, RecordAppender, in_use, read_record, reserve_of
from tacs.sealed_trace import seal_trace

__all__ = ["Recovered", "acknowledge_damage", "recover"]

SETTLE_S = 5.0
# What may not have reached the disk: lines until the next sync was asked for, and those that a slow
# disk had not confirmed by the time that it stops a session.
LOST_S = SYNC_S + LATE_AFTER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A session that was closed after the fact.

    Parameters
    ----------
    record : Path
        Its record.
    outcome : str
        ``interrupted``; what the record says where only the booking or the trace was missing;
        ``damaged``; ``running`` where a program writes it now; ``open`` where closing it failed.
    delivered : Delivered or None
        Measured or bounded; None where nothing was ever started, or nothing is known.
    note : str
        One sentence for a person.
    """

    record: Path
    outcome: str
    delivered: Delivered | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs recover``."""
        return {
            "record": str(self.record),
            "outcome": self.outcome,
            "delivered": None if self.delivered is None else self.delivered.to_dict(),
            "note": self.note,
        }


def recover(dataset: str | Path) -> list[Recovered]:
    """Close every session of a data set that a crash left open.

    Parameters
    ----------
    dataset : path
        The data set.

    Returns
    -------
    list of Recovered
        One per session that was open; empty where there was none. A record that does not verify
        is evidence: it is left as it is, byte for byte, and told as ``damaged`` until a person
        has acknowledged it. What cannot be closed does not keep the others from it. Empty for a
        data set that is gone and that the site's ledger knows.

    Raises
    ------
    InputError
        No such data set.
    """
    problems = verify_dataset(dataset, site_folder())
    if not Path(dataset).exists() and any(p.kind == "missing" for p in problems):
        return []
    damaged = {p.record: p for p in problems if p.kind == "damaged"}
    found = []
    for paths in find_records(dataset):
        try:
            closed = _look_at(paths, damaged.get(paths.record))
        except (TacsError, OSError, KeyError, TypeError, ValueError) as exc:
            reason = str(exc) if isinstance(exc, TacsError) else f"{type(exc).__name__} {exc}"
            note = f"could not be closed: {' '.join(reason.split())}"
            closed = Recovered(record=paths.record, outcome="open", delivered=None, note=note)
        if closed is not None:
            found.append(closed)
    return found


def acknowledge_damage(
    dataset: str | Path, record: str, *, operator: str, role: str, reason: str
) -> RecordProblem:
    """Write that a person has looked at a damaged record; its whole planned dose is booked.

    Parameters
    ----------
    dataset : path
        The data set.
    record : str
        Path of the record as ``tacs recover`` lists it, or its file name.
    operator, role, reason : str
        Who, as what, and why sessions may go on.

    Returns
    -------
    RecordProblem
        What was acknowledged.

    Raises
    ------
    InputError
        No such damaged record, or one of the three is empty.
    RecordError
        The acknowledgement cannot be written.
    """
    site = site_folder()
    problems = verify_dataset(dataset, site)
    match = [p for p in problems if record in {str(p.record), p.record.name}] or [
        p for p in problems if Path(record).resolve() == p.record.resolve()
    ]
    if not match:
        damaged = ", ".join(str(p.record) for p in problems) or "none"
        raise InputError(f"{record}: is not damaged; damaged here: {damaged}")
    problem = match[0]
    if not problem.acknowledged:
        acknowledge(problem, site, operator=operator, role=role, reason=reason)
    if problem.key:
        _book_whole(site, problem.key)
    return problem


def _book_whole(site: Path, key: str) -> None:
    """Book all that was reserved for a session whose record cannot tell what it had."""
    for emulated in (False, True):
        ledger = Ledger(site, emulated=emulated)
        if not ledger.path.exists() or not ledger.is_open(key):
            continue
        lines, _ = read_record(ledger.path, allow_torn_tail=True)
        data = next(x.data for x in lines if x.kind == "reserve" and x.data["key"] == key)
        whole = data["reserved"]
        dose = Dose(
            current_on_s=whole["current_on_s"],
            rectified_charge_c=whole["rectified_charge_c"],
            basis="upper bound",
        )
        _book(ledger, key, dose, "interrupted", data["latest_end"], "")


def _look_at(paths: SessionPaths, damage: RecordProblem | None) -> Recovered | None:
    """Close one session where it is open."""
    if damage is not None:
        note = f"{damage.problem}; it is evidence and was left as it is"
        told = Recovered(record=paths.record, outcome="damaged", delivered=None, note=note)
        return None if damage.acknowledged else told
    if in_use(paths.record):
        return Recovered(
            record=paths.record,
            outcome="running",
            delivered=None,
            note="a session is writing it now; it was left alone",
        )
    lines, problem = read_record(paths.record, allow_torn_tail=True)
    if problem is not None:
        raise RecordError(f"{problem}; it changed a moment ago")
    reserve_of(paths.record).unlink(missing_ok=True)
    return _close(paths, lines) if lines else None


def _close(paths: SessionPaths, lines: list[Line]) -> Recovered | None:
    first, key = lines[0].data, lines[0].hash
    ledger = Ledger(site_folder(), emulated=bool(first["emulated"]))
    protocol = Protocol.from_data(first["protocol"], str(paths.record))
    started = [line for line in lines if line.kind == "intent" and line.data["verb"] == "start"]
    ended = next((line for line in lines if line.kind == "end"), None)
    if ended is not None:
        return _finish(paths, ledger, protocol, lines, started, ended)
    _settle(paths)
    seen, quiet_s = _seen(paths, lines, started)
    delivered = _upper_bound(protocol, lines, started)
    if seen is not None:
        # Where the trace is no measurement, more may have flowed than it shows.
        delivered = at_least(delivered, seen) if quiet_s is None else seen
    delivered = delivered.of_several(several_of(lines))
    how = {"measured": "as measured", "upper bound": "an upper bound"}
    blinded = _is_blinded(lines)
    note = (
        f"the host was lost in state {_last_state(lines)}; dose booked: "
        f"{how[delivered.source if started and not blinded else 'upper bound']}"
    )
    if not started:
        note = f"the host was lost in state {_last_state(lines)}; nothing had been started"
    elif quiet_s is not None and not blinded:
        note += f"; below 50 µA {quiet_s:.2f} s after the last command that reached the record"
    end: dict[str, Any] = {
        "outcome": "interrupted",
        "cause": "the host was lost",
        "delivered": None if blinded else delivered.to_dict(),
        "recovered": True,
    }
    end |= {"blinded": True} if blinded else {"quiet_after_last_command_s": quiet_s}
    with RecordAppender(paths.record) as record:
        record.append("end", lines[-1].t_s, end, sync=True)
        head = record.head
    if ledger.is_open(key):
        _book(
            ledger,
            key,
            _dose(protocol, delivered, lines, started),
            "interrupted",
            lines[-1].utc,
            head,
        )
    anchor(paths.record, site_folder())
    try:
        _store_left_trace(paths, protocol, lines, started)
    except TacsError as exc:
        note += f"; its trace stays where it is: {exc}"
    try:
        note_session(paths)
    except TacsError as exc:
        note += f"; the session is not in the table of sessions: {exc}"
    return Recovered(
        record=paths.record,
        outcome="interrupted",
        delivered=None if blinded else delivered,
        note=note,
    )


def _finish(
    paths: SessionPaths,
    ledger: Ledger,
    protocol: Protocol,
    lines: list[Line],
    started: list[Line],
    ended: Line,
) -> Recovered | None:
    """Do what a crash after the last line left undone."""
    key, data = lines[0].hash, ended.data["delivered"]
    delivered = None if data is None else Delivered.from_dict(data)
    done = []
    if ledger.is_open(key):
        known = delivered or _upper_bound(protocol, lines, started)
        dose = _dose(protocol, known, lines, started)
        _book(ledger, key, dose, str(ended.data["outcome"]), ended.utc, lines[-1].hash)
        anchor(paths.record, site_folder())
        done.append("its dose was not booked yet, and is now")
    if started and _store_left_trace(paths, protocol, lines, started):
        done.append("its trace was not stored yet, and is now")
    if not done:
        return None
    return Recovered(
        record=paths.record,
        outcome=str(ended.data["outcome"]),
        delivered=delivered,
        note=f"the session had ended; {', and '.join(done)}",
    )


def _store_left_trace(
    paths: SessionPaths, protocol: Protocol, lines: list[Line], started: list[Line]
) -> bool:
    """Store the trace that was left, where one was; whether there was one."""
    stored, described = paths.trace, _description(paths.oscilloscope)
    if described.exists() and stored.exists() and not paths.oscilloscope.exists():
        # Moved, and cut off before its description had gone: begin anew.
        stored.replace(paths.oscilloscope)
    info = left_trace(paths)
    if info is None:
        return False
    if protocol.blinding is not None:
        seal_trace(load_study(protocol.blinding.label), protocol, info)
        return True
    store_trace(paths, info, _start_s(lines, started), protocol)
    return True


def _start_s(lines: list[Line], started: list[Line]) -> float:
    """Clock time of the start; NaN where it never started."""
    return float(lines[0].data["clock_zero_s"]) + started[0].t_s if started else math.nan


def _description(trace: Path) -> Path:
    """The JSON file beside a trace."""
    return trace.with_name(trace.name.removesuffix(".tsv.gz") + ".json")


def _settle(paths: SessionPaths) -> None:
    """Give an oscilloscope that outlived its host a few seconds to close its file."""
    clock = MonotonicClock()
    until_s = clock.now_s() + SETTLE_S
    while paths.oscilloscope.exists() and clock.now_s() < until_s:
        info = left_trace(paths)
        if info is not None and info.clean:
            return
        clock.wait(clock.now_s() + 0.1)


def _seen(
    paths: SessionPaths, lines: list[Line], started: list[Line]
) -> tuple[Delivered | None, float | None]:
    """What a trace shows, and how long after the last line it was quiet; None if it is no measure.

    It is none where it was not closed, where a sample is missing, where it is loud to its end, and
    where it does not span the session from its start to the last line.
    """
    # Read before the trace: one that was closed by then is not written to any more.
    info = left_trace(paths)
    if info is None or not started:
        return None, None
    try:
        trace = read_trace(info.path, len(info.columns))
    except (OSError, ValueError):
        return None, None
    rate_hz = info.sampling_frequency_hz
    last_s = float(lines[0].data["clock_zero_s"]) + lines[-1].t_s - info.start_s
    spans = info.start_s <= _start_s(lines, started) and last_s <= trace.shape[1] / rate_hz
    quiet_s = quiet_after_s(trace, rate_hz, last_s) if spans and is_whole(info, trace) else None
    protocol = Protocol.from_data(lines[0].data["protocol"], str(paths.record))
    seen = measure(
        trace, info.columns, rate_hz, carrier_hz=protocol.carrier_hz, gap_s=protocol.gap_s
    )
    return seen, quiet_s


def _upper_bound(protocol: Protocol, lines: list[Line], started: list[Line]) -> Delivered:
    """Everything commanded, plus what may have followed the last line on disk."""
    names = [e.name for e in protocol.montage.electrodes]
    if not started:
        nothing = dict.fromkeys(names, 0.0)
        return Delivered(
            duration_s=0.0,
            frequency_hz=None,
            current_peak_ma=0.0,
            electrodes=nothing,
            rectified_charge_c=nothing,
            mean_ma=nothing,
            balance_ma=0.0,
            source="upper bound",
        )
    steps = [(line.t_s, float(line.data["level"])) for line in lines if "level" in line.data]
    level, at_s, area, silent_s, zeros = 0.0, started[0].t_s, 0.0, 0.0, 0
    for t_s, new in steps:
        area += (t_s - at_s) * max(level, new)
        zeros = zeros + 1 if new == 0.0 else 0
        if zeros > 2:  # not the first stretch: what was on its way still came then
            silent_s += max(t_s - at_s, 0.0)
        level, at_s = new, t_s
    if _is_blinded(lines):
        # Its open record tells no levels: full current from the start, in every arm.
        level, at_s = 1.0, started[0].t_s
    # The level may have risen after the last line on disk, also from zero: a start, a resumption.
    fastest_s = protocol.ramp_up_s
    if protocol.trains is not None:
        fastest_s = min(fastest_s, protocol.trains.edge_s)
    highest = min(level + LOST_S / fastest_s, 1.0)
    if not lines[0].data["capabilities"].get("level_control", True):
        highest = 1.0  # the device follows an envelope of its own
    if protocol.waveform == "passive_sham":
        highest = 0.0
    tail_s = _tail_s(protocol, lines, started)
    # What would not end holds its last value: direct current, π/2 of the charge of a sine.
    held = 1.0 if _ends_by_itself(lines) else 0.5 * math.pi
    area += (lines[-1].t_s - at_s + held * tail_s) * highest
    on_s = lines[-1].t_s - started[0].t_s + tail_s
    if protocol.trains is not None and not _is_blinded(lines):
        on_s -= silent_s  # the gaps that are on record from both sides
    dose = dose_at_level(protocol, on_s, area, "upper bound")
    top = max([highest, *(new for _, new in steps)], default=0.0)
    peaks = {name: protocol.montage.current_peak_ma(name) * top for name in names}
    return Delivered(
        duration_s=on_s,
        frequency_hz=protocol.frequency_hz,
        current_peak_ma=max(peaks.values()),
        electrodes=peaks,
        rectified_charge_c=dose.rectified_charge_c,
        mean_ma=dict.fromkeys(names, 0.0),
        balance_ma=0.0,
        source="upper bound",
    )


def _is_blinded(lines: list[Line]) -> bool:
    """Whether this is the open record of a session whose whole record is sealed."""
    return "sealed" in lines[0].data


def _dose(protocol: Protocol, delivered: Delivered, lines: list[Line], started: list[Line]) -> Dose:
    """The dose to book; whether a sham was given must not be seen in it."""
    if started and (protocol.is_sham or _is_blinded(lines)):
        on_s = lines[-1].t_s - started[0].t_s + _tail_s(protocol, lines, started)
        return dose_at_level(protocol, on_s, on_s, "upper bound")
    return Dose(
        current_on_s=delivered.duration_s,
        rectified_charge_c=delivered.rectified_charge_c,
        basis=delivered.source,
    )


def _ends_by_itself(lines: list[Line]) -> bool:
    """Whether the device's current ends without its host."""
    worst_s: float | None = lines[0].data["capabilities"].get("host_loss_worst_case_s", 0.0)
    return worst_s is not None


def _tail_s(protocol: Protocol, lines: list[Line], started: list[Line]) -> float:
    """How long current may have flowed after the last line on disk."""
    limits, capabilities = lines[0].data["limits"], lines[0].data["capabilities"]
    if not _ends_by_itself(lines):
        # Until somebody ended it, and nobody knows when: until now.
        last = datetime.fromisoformat(lines[-1].utc)
        return LOST_S + max((utc_now() - last).total_seconds(), 0.0)
    if capabilities.get("host_loss", "lease") == "programme":
        left_s = protocol.duration_s - (lines[-1].t_s - started[0].t_s) if started else 0.0
        return LOST_S + max(left_s, 0.0) + float(capabilities["host_loss_worst_case_s"])
    return LOST_S + float(limits["lease_ttl_s"]) + float(capabilities["soft_stop_s"])


def _book(ledger: Ledger, key: str, dose: Dose, outcome: str, utc: str, head: str) -> None:
    ledger.book(
        key,
        dose=dose,
        outcome=outcome,
        ended=datetime.fromisoformat(utc),
        head=head,
        now=moment_now(),
    )


def _last_state(lines: list[Line]) -> str:
    states = [line.data["to"] for line in lines if line.kind == "state"]
    return str(states[-1]) if states else "idle"
