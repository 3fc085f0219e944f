"""What BIDS wants to know of the stimulation: states as events, contacts with impedance, sessions.

Everything here is taken from the run record. Of a blinded session only the day is told.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from tacs.dataset import SessionPaths, write_json
from tacs.errors import InputError
from tacs.files import write_text
from tacs.frequencies import several_in_words, several_of
from tacs.protocol import Protocol
from tacs.record import Line, read_record
from tacs.tables import read_table, table_text, write_table

__all__ = [
    "EVENT_COLUMNS",
    "event_rows",
    "impedances",
    "note_scores",
    "note_session",
    "parameters",
    "write_contacts",
]

STATES = {
    "ramp_up": "the current rises",
    "hold": "the current as prescribed",
    "ramp_down": "the current falls as prescribed, until the device says that it is silent",
    "paused": "a pause: no current once it has fallen",
    "train_rise": "a train begins: the current rises by its edge",
    "train_on": "a train at its full current",
    "train_fall": "a train, or the run-in, ends: the current falls by the edge",
    "between_trains": "between two trains: no current",
    "stopping": "a stop: the current falls in the device's stop ramp",
}
EVENT_COLUMNS = {
    "onset": {"Description": "From the first sample of the current trace", "Units": "s"},
    "duration": {"Description": "From the first to the last instant", "Units": "s"},
    "trial_type": {
        "Description": "What happened",
        "Levels": {
            "stimulation": "transcranial alternating current stimulation, ramps included",
            **STATES,
        },
    },
}
CONTACT_COLUMNS = {
    "impedance": {
        "Description": "Last reading before the current began; n/a where nothing measures it",
        "Units": "kOhm",
    },
    "impedance_max": {
        "Description": "Largest reading while the session ran; n/a where nothing measures it",
        "Units": "kOhm",
    },
    "area_cm2": {"Description": "Area of the contact", "Units": "cm^2"},
}
NO_POSITIONS = {
    "EEGCoordinateSystem": "Other",
    "EEGCoordinateUnits": "n/a",
    "EEGCoordinateSystemDescription": "Positions were not measured; names are of the 10-10 system.",
}
SESSION_COLUMNS = ("session_id", "acq_time")


def event_rows(
    lines: Sequence[Line], onset_s: float, duration_s: float, end_s: float
) -> list[tuple[float, float, str]]:
    """Return the stimulation and its states on the trace's time.

    Parameters
    ----------
    lines : sequence of Line
        Of the record, as far as it verifies; may be empty.
    onset_s, duration_s : float
        When the stimulation began on the trace, and how long it lasted.
    end_s : float
        Length of the trace.

    Returns
    -------
    list of (float, float, str)
        Onset and duration in seconds, and what; the stimulation as a whole comes first.
    """
    rows = [(onset_s, duration_s, "stimulation")]
    started = next((x for x in lines if x.kind == "intent" and x.data.get("verb") == "start"), None)
    changes = [(x.t_s, str(x.data.get("to"))) for x in lines if x.kind == "state"]
    if started is None or not changes:  # a crash may have come between the order and the state
        return rows
    last_s = max(lines[-1].t_s, changes[-1][0])
    for (at_s, state), (until_s, _) in zip(changes, [*changes[1:], (last_s, "")], strict=True):
        if state not in STATES:
            continue
        first = min(max(onset_s + at_s - started.t_s, 0.0), end_s)
        last = min(max(onset_s + until_s - started.t_s, first), end_s)
        rows.append((round(first, 6), round(last - first, 6), state))
    return rows


def impedances(lines: Sequence[Line]) -> dict[str, tuple[float | None, float]]:
    """Return the impedance of every electrode that was measured.

    Parameters
    ----------
    lines : sequence of Line
        Of the record.

    Returns
    -------
    dict of str to (float or None, float)
        By the name under which it was read: an electrode, or a loop like ``Oz-Cz``. Last
        reading before the start, None where there was none, and the largest of all, in kΩ.
    """
    found: dict[str, tuple[float | None, float]] = {}
    started = False
    for line in lines:
        started = started or (line.kind == "intent" and line.data.get("verb") == "start")
        if line.kind != "answer":
            continue
        for key in ("impedance_before_kohm", "impedance_kohm"):
            for name, value in (line.data.get(key) or {}).items():
                kohm = float(value)
                before, most = found.get(str(name), (None, -math.inf))
                now = before if started and key == "impedance_kohm" else kohm
                found[str(name)] = (now, max(most, kohm))
    return found


def parameters(protocol: Protocol, lines: Sequence[Line] = ()) -> str:
    """Say a protocol in the one line that ``ElectricalStimulationParameters`` holds.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    lines : sequence of Line
        Of the session's record: where it was retuned, the frequencies are told too.
    """
    carrier = "" if protocol.carrier_hz is None else f", carrier {protocol.carrier_hz:g} Hz"
    loops = "; ".join(
        f"{x.source} to {x.sink} {x.current_peak_ma:g} mA zero-to-peak at {x.phase_deg:g} deg"
        for x in protocol.montage.loops
    )
    return (
        f"{protocol.waveform}, {protocol.frequency_hz:g} Hz{carrier}, {loops}; "
        f"{protocol.duration_s:g} s, of which {protocol.ramp_up_s:g} s ramp up and "
        f"{protocol.ramp_down_s:g} s ramp down"
        f"{f'; played at {several}' if (several := several_in_words(several_of(lines))) else ''}"
    )


def write_contacts(paths: SessionPaths, lines: Sequence[Line], protocol: Protocol) -> None:
    """Write the electrodes of the stimulation with their impedance.

    Raises
    ------
    InputError
        They cannot be written.
    """
    measured = impedances(lines)
    head = ("name", "x", "y", "z", "type", "material", "impedance", "impedance_max", "area_cm2")
    rows: list[tuple[str, ...]] = []
    for contact in protocol.montage.electrodes:
        before, most = measured.get(contact.name, (None, None))
        kohm = [_number(before), _number(most)]
        rows.append(
            (contact.name, "n/a", "n/a", "n/a", "stimulation", contact.material, *kohm,
             _number(contact.area_cm2))
        )  # fmt: skip
    table = paths.eeg / f"{paths.stem}_task-tacs_electrodes.tsv"
    write_text(table, table_text(head, rows))
    write_json(table.with_suffix(".json"), CONTACT_COLUMNS)
    write_json(paths.eeg / f"{paths.stem}_task-tacs_coordsystem.json", NO_POSITIONS)


def note_session(paths: SessionPaths) -> None:
    """Enter a session that has a record, and its person, into the tables of the data set.

    Rows and columns that stand there already are kept. The tables get the time of the session's
    start: when a blinded session's were written would tell what its record does not.

    Raises
    ------
    InputError
        The record or the table cannot be read, or the table not be written.
    """
    lines, _ = read_record(paths.record, allow_torn_tail=True)
    if not lines:
        return
    table = paths.dataset / f"sub-{paths.subject}" / f"sub-{paths.subject}_sessions.tsv"
    header, rows = read_table(table)
    header = list(dict.fromkeys([*header, *SESSION_COLUMNS]))
    label = f"ses-{paths.session}"
    row = next((x for x in rows if x.get("session_id") == label), None)
    if row is None:
        row = {"session_id": label}
        rows.append(row)
    if row.get("acq_time", "n/a") in {"", "n/a"}:
        row["acq_time"] = lines[0].utc.replace("+00:00", "Z")
    rows.sort(key=lambda x: x.get("session_id", ""))
    began_s = datetime.fromisoformat(lines[0].utc).timestamp()
    _write(table, header, rows, began_s)
    people = paths.dataset / "participants.tsv"
    header, rows = read_table(people)
    if all(x.get("participant_id") != f"sub-{paths.subject}" for x in rows):
        rows.append({"participant_id": f"sub-{paths.subject}"})
        _write(people, header or ["participant_id"], rows, began_s)


def note_scores(
    dataset: Path, subject: str, scores: Mapping[str, Mapping[str, str]], ours: Collection[str]
) -> None:
    """Enter scores into a person's table of sessions.

    Parameters
    ----------
    dataset : Path
        The data set.
    subject : str
        Label.
    scores : mapping of str to mapping of str to str
        By session label, column and value.
    ours : collection of str
        Columns that this fills; those without any score left are taken out. Other columns, and the
        table's time (see :func:`note_session`), stay.

    Raises
    ------
    InputError
        The table cannot be read or written.
    """
    table = dataset / f"sub-{subject}" / f"sub-{subject}_sessions.tsv"
    before_s = table.stat().st_mtime if table.exists() else None
    header, rows = read_table(table)
    filled = sorted({name for columns in scores.values() for name in columns})
    if not filled and not set(header) & set(ours):
        return
    kept = [name for name in header if name not in ours]
    by_label = {row.get("session_id", ""): row for row in rows}
    for session in scores:
        by_label.setdefault(f"ses-{session}", {"session_id": f"ses-{session}"})
    made = []
    for label, row in sorted(by_label.items()):
        own = {name: value for name, value in row.items() if name not in ours}
        made.append({**own, **scores.get(label.removeprefix("ses-"), {})})
    header = list(dict.fromkeys([*kept, *SESSION_COLUMNS, *filled]))
    _write(table, header, made, before_s)


def _write(
    path: Path, header: Sequence[str], rows: Sequence[Mapping[str, str]], time_s: float | None
) -> None:
    """Write a table, with the time that it is to have where there is one."""
    write_table(path, header, rows)
    try:
        if time_s is not None:
            os.utime(path, (time_s, time_s))
    except OSError as exc:
        raise InputError(f"{path}: its time cannot be set ({exc.strerror})") from exc


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.6g}"
