"""Tables of a comparison's page: connectivity measures, and how the recordings were prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tacs.report_words import interval, joined, number

__all__ = ["measure_rows", "preparation_rows"]

MEASURES: Mapping[str, str] = {
    "imcoh": "Imaginary coherence, absolute (primary)",
    "wpli2_debiased": "Debiased wPLI, squared (primary)",
    "coh": "Coherence",
    "plv": "Phase locking value",
    "ciplv": "Corrected imaginary phase locking value",
    "pli": "Phase lag index",
    "wpli": "Weighted phase lag index",
    "ppc": "Pairwise phase consistency",
    "aec": "Envelope correlation, orthogonalised",
}
MANY = 12


def measure_rows(found: Mapping[str, Any]) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Return the connectivity measures that were taken, the primary ones first.

    Parameters
    ----------
    found : mapping
        ``connectivity`` of ``tacs compare --json``.
    """
    return tuple(
        (words, found[name])
        for name, words in MEASURES.items()
        if isinstance(found.get(name), Mapping)
    )


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
        ("Range of relative power", interval(found["total_hz"], 0, "Hz")),
        ("Range of the background's fit", interval(found["fit_hz"], 0, "Hz")),
    ]
    for one in found.get("same_state") or ():
        ok = {True: "alike", False: "differ", None: "not known"}[one.get("ok")]
        note = f": {one['note']}" if one.get("note") else ""
        rows.append((f"Same state: {one['check']}", f"{ok}{note}"))
    return tuple(rows)


def _some(names: Sequence[str]) -> str:
    """Names, or their number where they are many."""
    return joined(list(names)) if len(names) <= MANY else f"{len(names)} channels"
