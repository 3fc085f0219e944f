"""Tables of a comparison's page: connectivity measures, and how the recordings were prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tacs.report_words import interval, joined, number

__all__ = ["measure_rows", "preparation_rows"]

MANY = 12


def measure_rows(found: Mapping[str, Any]) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Return the connectivity measures that were taken, the primary ones first.

    Parameters
    ----------
    found : mapping
        ``connectivity`` of ``tacs compare --json``.
    """
    if found.get("reason"):
        return ()
    names = sorted(found["measures"], key=lambda name: not found[name]["primary"])
    return tuple((_title(found[name]), found[name]) for name in names)


def _title(one: Mapping[str, Any]) -> str:
    """Name of a measure for the table."""
    text = str(one["title"])
    text = text[:1].upper() + text[1:]
    return f"{text} (primary)" if one["primary"] else text


def preparation_rows(found: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return how the recordings were prepared, as name and value.

    Parameters
    ----------
    found : mapping
        ``preparation`` of ``tacs compare --json``.
    """
    channels = list(found["channels"])
    bad, lost = list(found["bad_channels"]), list(found["channels_in_one_only"])
    seconds = found["bad_seconds"]
    rows = [
        ("Compared", f"{number(found['seconds_used'], 0, 's')} of each recording"),
        ("Left out at the start of each", number(found["discarded_s"], 1, "s")),
        ("Sampling rate", number(found["sfreq_hz"], 0, "Hz")),
        ("Channels compared", _some(channels)),
        ("Bad in one, left out of both", _some(bad) or "none"),
        ("In one recording only", _some(lost) or "none"),
        (
            "Time with gross artefacts",
            f"{number(seconds[0], 1, 's')} before, {number(seconds[1], 1, 's')} after",
        ),
        (
            "Segments of 4 s used",
            f"{found['n_segments'][0]} before, {found['n_segments'][1]} after",
        ),
        ("Handling of artefacts", _handling(found["artefacts"])),
        ("Filled in for maps alone", _some(found["interpolated"]["channels"]) or "none"),
        ("Range of relative power", interval(found["total_hz"], 0, "Hz")),
        ("Range of the background's fit", interval(found["fit_hz"], 0, "Hz")),
    ]
    near = found["stimulation_electrodes"]
    touched = [*near["under"], *near["beside"]]
    rows.append(("At a stimulation electrode, no say in the verdict", _some(touched) or "none"))
    for one in found["same_state"]:
        ok = {True: "alike", False: "differ", None: "not known"}[one["ok"]]
        note = f": {one['note']}" if one["note"] else ""
        rows.append((f"Alike? {str(one['check']).replace('_', ' ')}", f"{ok}{note}"))
    return tuple(rows)


def _handling(found: Mapping[str, Any]) -> str:
    """What was done to artefacts."""
    parts = [f"gross ones left out; method: {found['method']}"]
    if found.get("ica"):
        removed = found["ica"]["removed"]
        named = joined([f"{one['label']} at {one['strongest_at']}" for one in removed])
        parts.append(f"{len(removed)} components removed" + (f" ({named})" if named else ""))
    return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    """Names, or their number where they are many."""
    return joined(list(names)) if len(names) <= MANY else f"{len(names)} channels"
