"""Tables, sidecars and records with nothing in them but numbers and words that tell nobody.

Everything here keeps what is listed and drops the rest: a text that is not one of a known set is
free text, and free text may be a name.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from tacs.bids_stimulation import EVENT_COLUMNS, STATES, parameters
from tacs.deidentify_headers import channel_name, mark_text
from tacs.electrodes import SITES
from tacs.errors import FileProblems, InputError, TacsError
from tacs.journal import KINDS, ROLES, Entry
from tacs.protocol import Protocol
from tacs.record import read_record
from tacs.tables import MISSING, table_text

__all__ = [
    "derived",
    "entry_summary",
    "plain_rows",
    "plain_tsv",
    "record_summary",
    "shifted",
    "sidecar",
]

DEVICES = {"synthpal", "nic2", "stimjim", "nidaq", "scpi", "manual"}
OUTCOMES = {"done", "stopped", "fault", "interrupted", "refused"}
WORDS = {
    "found", "no_peak", "unusable", "increase", "decrease", "none", "undetermined", "measured",
    "commanded", "upper bound", "continuous", "discontinuous", "n/a", "EEG", "EOG", "ECG", "EMG",
    "MISC", "TRIG", "VEOG", "HEOG", "REF", "µV", "uV", "mV", "V", "good", "bad", "s", "Hz", "mA",
    "kOhm", "stimulation", "pad", "conductive_rubber_paste", "rubber_saline_sponge", "ag_agcl_gel",
    "hydrogel", "other", "alpha", "theta", "beta", "gamma", "delta", "F", "M", "O", "R", "L", "A",
    "left", "right", *STATES, *EVENT_COLUMNS,
}  # fmt: skip
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
IDENTIFYING = re.compile(
    r"sha256|hash|subject|path|recording$|^file|serial|address|_at$|^at$|date|time|birth|name"
    r"|(^|_)id$|mrn|number|institution|operator|comment|note|reason|warning|summary|text",
    re.IGNORECASE,
)
SIDECAR_KEYS = {
    "SamplingFrequency", "PowerLineFrequency", "RecordingDuration", "RecordingType",
    "EEGChannelCount", "EOGChannelCount", "ECGChannelCount", "EMGChannelCount",
    "MiscChannelCount", "MISCChannelCount", "TriggerChannelCount", "ElectricalStimulation",
    "HeadCircumference",
}  # fmt: skip
COLUMNS = {
    "channels": {
        "name", "type", "units", "sampling_frequency", "low_cutoff", "high_cutoff", "status",
        "notch",
    },
    "events": {"onset", "duration", "trial_type", "value", "sample"},
    "electrodes": {"name", "x", "y", "z", "type", "material", "impedance", "impedance_max",
                   "area_cm2"},
    "participants": {"age", "sex", "hand", "handedness"},
}  # fmt: skip
OLDEST_Y = 89.0
CODE_DIGITS = 3  # a longer number may be a hospital's


def shifted(text: str, days: int) -> str:
    """Return an ISO 8601 time moved by whole days; ``n/a`` where it is none.

    Parameters
    ----------
    text : str
        With or without its offset.
    days : int
        Same for everything of one person, so that intervals stay.
    """
    try:
        at = datetime.fromisoformat(text.strip()) + timedelta(days=days)
    except (ValueError, OverflowError):
        return "n/a"
    return at.isoformat().replace("+00:00", "Z")


def plain_tsv(text: str, kind: str) -> str:
    """Return a table with its known columns, and in them numbers and known words.

    Parameters
    ----------
    text : str
        Tab-separated.
    kind : str
        ``channels``, ``events``, ``electrodes`` or ``participants``.

    Raises
    ------
    InputError
        It is no table.
    """
    reader = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    header, rows = plain_rows(reader.fieldnames or [], reader, kind)
    if not header:
        raise InputError(f"a table of {kind} without a column that is known")
    return table_text(header, rows)


def plain_rows(
    header: Sequence[str], rows: Iterable[Mapping[str, str]], kind: str
) -> tuple[list[str], list[list[str]]]:
    """Return the known columns of a table, none where there is none, and every row's cells.

    Parameters
    ----------
    header : sequence of str
        All columns.
    rows : iterable of mapping of str to str
        By column.
    kind : str
        As for :func:`plain_tsv`.
    """
    known = [name for name in header if name in COLUMNS[kind]]
    return known, [
        [_cell(kind, name, row.get(name) or MISSING, number) for name in known]
        for number, row in enumerate(rows, 1)
    ]


def _cell(kind: str, column: str, value: str, number: int) -> str:
    """One cell: a number, a known word, or n/a."""
    value = value.strip()
    if column == "name":
        return channel_name(value, number)
    if kind == "participants" and column == "age":
        age = _number(value)
        if age is None or not 0.0 <= age < 130.0:
            return "n/a"
        return "89+" if age > OLDEST_Y else f"{age:g}"
    if kind == "events" and column == "trial_type":
        return value if value in EVENT_COLUMNS["trial_type"]["Levels"] else mark_text(value)  # type: ignore[index]
    if value in WORDS:
        return value
    if column in {"sex", "hand", "handedness", "status", "type", "units", "material"}:
        return "n/a"
    if column == "value" and len(value) > CODE_DIGITS:
        return "n/a"
    return value if _number(value) is not None else "n/a"


def _number(text: str) -> float | None:
    if not re.fullmatch(r"[+-]?\d{1,12}(\.\d{1,17})?([eE][+-]?\d{1,3})?", text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def sidecar(data: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return a sidecar with its numbers; the reference only where it is a channel's name."""
    kept = {k: v for k, v in data.items() if k in SIDECAR_KEYS and _is_plain(v)}
    kept["TaskName"] = task
    for key in ("EEGReference", "EEGGround"):
        if key in data:
            kept[key] = data[key] if str(data[key]) in SITES else "n/a"
    if "SoftwareFilters" in data:
        kept["SoftwareFilters"] = "n/a"
    return kept


def derived(value: Any) -> Any:
    """Return results with their numbers and known words; ``None`` where nothing is left of one."""
    if isinstance(value, Mapping):
        return {
            k: derived(v)
            for k, v in value.items()
            if isinstance(k, str) and _may_stay(k) and derived(v) is not None
        }
    if isinstance(value, list):
        kept = [derived(v) for v in value]
        return kept if all(x is not None for x in kept) else [x for x in kept if x is not None]
    return value if _is_plain(value) else None


def _may_stay(key: str) -> bool:
    if key in SITES:
        return True
    return KEY.fullmatch(key) is not None and IDENTIFYING.search(key) is None and key.islower()


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return value in WORDS or value in SITES
    return value is None or isinstance(value, bool | int | float)


def record_summary(path: Path, days: int, operator: Callable[[str], str]) -> dict[str, Any]:
    """Say what a run record says, in numbers; the record and its chain are not exported.

    Parameters
    ----------
    path : Path
        The record.
    days : int
        Shift of the dates.
    operator : callable
        Gives the code of a person's name.

    Returns
    -------
    dict
        Labelled as derived.
    """
    lines, problem = read_record(path, allow_torn_tail=True)
    first = lines[0].data if lines and lines[0].kind == "session" else {}
    end = lines[-1].data if lines and lines[-1].kind == "end" else {}
    plan = _plan(first.get("protocol"))
    who = str(first.get("operator") or "")
    role, device = str(first.get("role") or ""), str(first.get("device") or "")
    outcome = str(end.get("outcome", "interrupted"))
    return {
        "derived": "Summary made for a de-identified export. It is not the run record: the record, "
        "its hash chain and whatever is sealed were left out.",
        "record_verified_at_export": problem is None and bool(lines),
        "record_lines": len(lines),
        "began": shifted(lines[0].utc, days) if lines else "n/a",
        "outcome": outcome if outcome in OUTCOMES else "n/a",
        "emulated": first.get("emulated") is True,
        "device": device if device in DEVICES else "other",
        "operator": operator(who) if who else "n/a",
        "role": role if role in ROLES else "n/a",
        "blinded": bool(first.get("protocol", {}).get("blinding"))
        if isinstance(first.get("protocol"), Mapping) else None,
        "planned": plan,
        "delivered": derived(end.get("delivered") or {}) or None,
        "states": [
            {"t_s": round(x.t_s, 3), "to": str(x.data.get("to"))}
            for x in lines
            if x.kind == "state" and re.fullmatch(r"[a-z_]{1,20}", str(x.data.get("to")))
        ],
    }  # fmt: skip


def _plan(data: Any) -> dict[str, Any] | None:
    """A protocol's numbers."""
    try:
        plan = Protocol.from_data(data, "protocol")
    except (FileProblems, TacsError, TypeError, AttributeError):
        return None
    whole = plan.to_data()
    kept = {
        k: v
        for k, v in whole.items()
        if k in {"waveform", "frequency_hz", "carrier_hz", "duration_s", "ramp_up_s", "ramp_down_s",
                 "sham_plateau_s", "montage"}
    }  # fmt: skip
    kept["parameters"] = parameters(plan)
    kept["expected_direction"] = plan.expected_effect.direction
    if plan.individual is not None:
        kept["peak_hz"] = plan.individual.peak_hz
        kept["peak_ci95_hz"] = list(plan.individual.ci95_hz)
    return kept


def entry_summary(
    entry: Entry, days: int, operator: Callable[[str], str], session: str | None
) -> dict[str, Any]:
    """Say an entry of the journal in numbers: its kind, when, by whom, numeric answers."""
    told: dict[str, Any] = {
        "kind": entry.kind if entry.kind in KINDS else "other",
        "at": shifted(entry.utc, days),
        "session": session,
        "operator": operator(entry.operator),
        "role": entry.role if entry.role in ROLES else "n/a",
    }
    data = entry.data
    if entry.kind == "rating":
        scale = str(data.get("scale", ""))
        told["scale"] = scale if _is_shipped(scale) else "own"
        when = data.get("at")
        told["rated_at"] = shifted(when, days) if isinstance(when, str) else "n/a"
        answers = data.get("answers")
        if isinstance(answers, Mapping):
            told["answers"] = {
                str(k): v
                for k, v in answers.items()
                if re.fullmatch(r"\d{1,3}", str(k)) and isinstance(v, int) and abs(v) < 1000
            }
    return told


def _is_shipped(scale: str) -> bool:
    """Whether a scale ships; the name of a site's own may be anything."""
    files = resources.files("tacs") / "scales_data"
    return (
        re.fullmatch(r"[a-z0-9_-]{1,32}", scale) is not None and (files / f"{scale}.toml").is_file()
    )
