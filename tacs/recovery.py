"""Close what a crash left open: measure or bound the dose, close the record, book it.

A record without its last line belongs to a session whose host died. What it delivered is measured
where an oscilloscope outlived the host; else the upper bound is booked: everything that was
commanded, the half second of lines that may not have reached the disk, and what the device would
have gone on to deliver until its lease and its stop ramp had run out.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tacs.bids import SessionPaths, find_records, left_trace, store_trace
from tacs.clock import MonotonicClock
from tacs.dose import Delivered, measure, quiet_after_s, read_trace
from tacs.guardian import SYNC_S
from tacs.ledger import Dose, Ledger, dose_at_level, site_folder
from tacs.protocol import Protocol
from tacs.record import Line, RecordAppender, read_record

__all__ = ["Recovered", "recover"]

SETTLE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A session that was closed after the fact.

    Parameters
    ----------
    record : Path
        Its record.
    outcome : str
        ``interrupted``, what the record says where only the booking was missing, or ``damaged``.
    delivered : Delivered or None
        Measured or bounded; None where nothing was ever started.
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
        is evidence: it is left as it is, byte for byte, and told as ``damaged``.

    Raises
    ------
    InputError
        No such data set.
    """
    found = []
    for paths in find_records(dataset):
        lines, problem = read_record(paths.record, allow_torn_tail=True)
        if problem is not None:
            note = f"{problem}; it is evidence and was left as it is"
            found.append(
                Recovered(record=paths.record, outcome="damaged", delivered=None, note=note)
            )
        elif lines and (closed := _close(paths, lines)) is not None:
            found.append(closed)
    return found


def _close(paths: SessionPaths, lines: list[Line]) -> Recovered | None:
    first, key = lines[0].data, lines[0].hash
    ledger = Ledger(site_folder(), emulated=bool(first["emulated"]))
    protocol = Protocol.from_data(first["protocol"], str(paths.record))
    ended = next((line for line in lines if line.kind == "end"), None)
    if ended is not None:
        if not ledger.is_open(key):
            return None
        delivered = _from_dict(ended.data["delivered"])
        dose = _dose(protocol, delivered, lines)
        _book(ledger, key, dose, str(ended.data["outcome"]), ended.utc, lines[-1].hash)
        note = "the session had ended; its dose was not booked yet, and is now"
        return Recovered(
            record=paths.record, outcome=ended.data["outcome"], delivered=delivered, note=note
        )
    started = [line for line in lines if line.kind == "intent" and line.data["verb"] == "start"]
    _settle(paths)
    measured, quiet_s, start_s = _measured(paths, lines, started)
    delivered = measured if measured is not None else _upper_bound(protocol, lines, started)
    how = {"measured": "as measured", "upper bound": "an upper bound", "commanded": "nothing"}
    note = (
        f"the host was lost in state {_last_state(lines)}; dose booked: "
        f"{how[delivered.source if started else 'commanded']}"
    )
    if quiet_s is not None:
        note += f"; below 50 µA {quiet_s:.2f} s after the last command that reached the record"
    with RecordAppender(paths.record) as record:
        record.append(
            "end",
            lines[-1].t_s,
            {
                "outcome": "interrupted",
                "cause": "the host was lost",
                "delivered": delivered.to_dict(),
                "quiet_after_last_command_s": quiet_s,
                "recovered": True,
            },
            sync=True,
        )
        head = record.head
    if ledger.is_open(key):
        _book(ledger, key, _dose(protocol, delivered, lines), "interrupted", lines[-1].utc, head)
    info = left_trace(paths)
    if info is not None:
        store_trace(paths, info, start_s, protocol)
    return Recovered(record=paths.record, outcome="interrupted", delivered=delivered, note=note)


def _settle(paths: SessionPaths) -> None:
    """Give an oscilloscope that outlived its host a few seconds to close its file.

    It writes ``clean`` into its description once the output is silent.
    """
    info = left_trace(paths)
    if info is None:
        return
    clock = MonotonicClock()
    description = info.path.with_name(info.path.name.removesuffix(".tsv.gz") + ".json")
    until_s = clock.now_s() + SETTLE_S
    while clock.now_s() < until_s:
        if json.loads(description.read_text(encoding="utf-8")).get("clean", True):
            break
        clock.wait(clock.now_s() + 0.1)


def _measured(
    paths: SessionPaths, lines: list[Line], started: list[Line]
) -> tuple[Delivered | None, float | None, float]:
    """Measure the trace that an oscilloscope went on writing, where there is one."""
    info = left_trace(paths)
    if info is None or not started:
        return None, None, math.nan
    trace = read_trace(info.path, len(info.columns))
    delivered = measure(trace, info.columns, info.sampling_frequency_hz)
    zero_s = float(lines[0].data["clock_zero_s"])
    start_s = zero_s + started[0].t_s
    since_s = zero_s + lines[-1].t_s - info.start_s
    return delivered, quiet_after_s(trace, info.sampling_frequency_hz, since_s), start_s


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
    level, at_s, area = 0.0, started[0].t_s, 0.0
    for t_s, new in steps:
        area += (t_s - at_s) * max(level, new)
        level, at_s = new, t_s
    highest = min(level + SYNC_S / protocol.ramp_up_s, 1.0) if level > 0.0 else 0.0
    limits, capabilities = lines[0].data["limits"], lines[0].data["capabilities"]
    tail_s = SYNC_S + limits["lease_ttl_s"] + capabilities["soft_stop_s"]
    area += (lines[-1].t_s - at_s + tail_s) * highest
    on_s = lines[-1].t_s - started[0].t_s + tail_s
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


def _dose(protocol: Protocol, delivered: Delivered, lines: list[Line]) -> Dose:
    if protocol.is_sham:
        elapsed_s = lines[-1].t_s
        return dose_at_level(protocol, elapsed_s, elapsed_s, "upper bound")
    return Dose(
        current_on_s=delivered.duration_s,
        rectified_charge_c=delivered.rectified_charge_c,
        basis=delivered.source,
    )


def _book(ledger: Ledger, key: str, dose: Dose, outcome: str, utc: str, head: str) -> None:
    ledger.book(key, dose=dose, outcome=outcome, ended=datetime.fromisoformat(utc), head=head)


def _last_state(lines: list[Line]) -> str:
    states = [line.data["to"] for line in lines if line.kind == "state"]
    return str(states[-1]) if states else "idle"


def _from_dict(data: dict[str, Any]) -> Delivered:
    """A Delivered from the JSON of a record's last line."""
    return Delivered(
        duration_s=data["duration_s"],
        frequency_hz=data["frequency_hz"],
        current_peak_ma=data["current_peak_ma"],
        electrodes=data["electrodes"],
        rectified_charge_c=data["electrode_charge_c"],
        mean_ma=data["mean_ma"],
        balance_ma=data["balance_ma"],
        source=data["source"],
    )
