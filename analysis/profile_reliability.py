"""Profiles of several visits: of one person, do they agree; of several, do they tell people apart.

Only the second may call a quantity individual: ICC(2,1) over people, where the lower limit of its
interval, corrected for the number of quantities, is 0.5 or more ("not poor", Koo and Li). That one
person's visits agree says nothing of others, who may all be alike.

References
----------
Koo and Li 2016, J. Chiropr. Med. 15:155-163. Intervals of differences: Zou and Donner 2008, Stat.
Med. 27:1693-1702 (from the intervals of both). Limits of a change: `analysis.retest`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.icc import intraclass_correlation
from analysis.profile_design import difference_of
from analysis.profile_quantities import NAMES, Quantity, quantities_of, scaled, unscaled, whose
from analysis.retest import agreement_limits

__all__ = ["FORMAT", "compare_visits", "individual_words", "read_visits"]

FORMAT = "tacs profile visits 1"
LEAST_PEOPLE = 5
LEAST_ICC = 0.5
LEAST_FREQUENCIES = 5
NEAR_HZ = 0.25
FAMILY_LEVEL = 0.05


def compare_visits(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare visits.

    Parameters
    ----------
    results : sequence of mapping
        As `read_result`; the visits of a person in the order recorded where all of them tell when,
        else in the order given.

    Returns
    -------
    dict
        `people` (for each, `pairs` of visits with difference or ratio of every quantity, and the
        correlation of the curves), `reliability` (of every quantity over people: `icc21`, `icc31`,
        limits of a change, `individual`) and `warnings`.

    Raises
    ------
    AnalysisError
        If a subject is not stated, a recording is there twice, designs differ, or nobody has two
        visits.
    """
    people: dict[str, list[Mapping[str, Any]]] = {}
    seen: dict[str, str] = {}
    for one in results:
        key = str(one.get("recording_sha256") or one["file"])
        if key in seen:
            raise AnalysisError(f"{one['file']} and {seen[key]}: both are of one recording")
        seen[key] = str(one["file"])
        if other := difference_of(results[0], one):
            raise AnalysisError(f"{one['file']}: not comparable with {results[0]['file']}: {other}")
        people.setdefault(whose(one), []).append(one)
    alone = [name for name, visits in people.items() if len(visits) < 2]
    several = {name: _in_order(v) for name, v in people.items() if len(v) > 1}
    if not several:
        raise AnalysisError(
            f"{len(results)} result(s), nobody with two visits: give two results of a person"
        )
    warnings = [f"{name}: one visit only, left out" for name in alone]
    for name, visits in several.items():
        days = {str(one.get("recorded_at") or "")[:10] for one in visits}
        if len(days) == 1 and "" not in days:
            warnings.append(f"{name}: all visits are of one day, and tell nothing of other days")
    k = min(len(visits) for visits in several.values())
    if any(len(visits) > k for visits in several.values()) and len(several) > 1:
        warnings.append(f"over people, the first {k} visits of each count")
    first = results[0]
    return {
        "format": FORMAT,
        "mode": first["mode"],
        "channels": list(first["channels"]),
        "design": {key: value for key, value in first["design"].items() if key != "order"},
        "n_people": len(several),
        "n_visits": k,
        "people": [
            {
                "subject": name,
                "visits": [
                    {key: one.get(key) for key in ("file", "recorded_at", "verdict")}
                    for one in visits
                ],
                "pairs": [
                    _pair(visits[i], visits[j], i, j)
                    for i, j in itertools.combinations(range(len(visits)), 2)
                ],
            }
            for name, visits in several.items()
        ],
        "reliability": _over_people([visits[:k] for visits in several.values()]),
        "warnings": warnings,
    }


def read_visits(path: str | Path) -> dict[str, Any]:
    """Read what `compare_visits` found; AnalysisError where the file is none such."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f'its "format" is not "{FORMAT}"')
        for row in found["reliability"]:
            if row["name"] not in NAMES or not isinstance(row["individual"], bool):
                raise ValueError("its reliability is not that of quantities of a profile")
        difference_of(found, found)
    except (OSError, UnicodeDecodeError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise AnalysisError(
            f"{path}: holds no comparison of visits ({exc}); make one with tacs profile compare "
            "RESULT.json… --out"
        ) from exc
    return {**found, "file": str(path)}


def individual_words(visits: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[bool, str]:
    """Say what of a profile may be called individual, from visits of several people.

    Parameters
    ----------
    visits : mapping
        As `read_visits`.
    result : mapping
        A profile of the same design.

    Returns
    -------
    individual : bool
        Whether anything may.
    reason : str

    Raises
    ------
    AnalysisError
        If the designs differ.
    """
    if other := difference_of(visits, result):
        raise AnalysisError(f"{visits['file']}: not comparable with this profile: {other}")
    mine = quantities_of(result)
    if not mine:
        return False, "no response to call individual"
    rows = [row for row in visits["reliability"] if row["name"] in mine]
    told = [
        f"{row['label'].lower()} (ICC(2,1) {row['icc21']:.2f}, {row['icc21_interval'][0]:.2f} to "
        f"{row['icc21_interval'][1]:.2f}, {row['n_people']} people)"
        for row in rows
        if row["individual"]
    ]
    if told:
        return True, f"by {visits['n_visits']} visits of each: {'; '.join(told)}"
    return False, (
        f"over {visits['n_people']} people no quantity tells one from others for certain "
        f"(lower limit of ICC(2,1) under {LEAST_ICC:g}, or fewer than {LEAST_PEOPLE} people)"
    )


def _in_order(visits: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Visits by the time recorded, where all tell it."""
    if all(one.get("recorded_at") for one in visits):
        return sorted(visits, key=lambda one: str(one["recorded_at"]))
    return list(visits)


def _pair(one: Mapping[str, Any], other: Mapping[str, Any], i: int, j: int) -> dict[str, Any]:
    """Two visits of one person: every quantity's change, and the correlation of the curves."""
    from scipy.special import ndtri

    a, b = quantities_of(one), quantities_of(other)
    both = [name for name in NAMES if name in a and name in b]
    wider = float(ndtri(1.0 - 0.5 * FAMILY_LEVEL / max(1, len(both)))) / 1.959964
    r, n, reason = _curves(one, other)
    return {
        "visits": [i + 1, j + 1],
        "both_responded": bool(a) and bool(b),
        "curve_r": r,
        "curve_n": n,
        "curve_reason": reason,
        "quantities": [_change(a[name], b[name], wider) for name in both],
    }


def _change(one: Quantity, other: Quantity, wider: float) -> dict[str, Any]:
    """Difference (of the centre) or ratio of two visits, with its interval."""
    label, unit, is_ratio = NAMES[one.name]
    (low1, high1), (low2, high2) = one.scaled_ends, other.scaled_ends
    x1, x2 = one.scaled, other.scaled
    change = x2 - x1
    down, up = math.hypot(x2 - low2, high1 - x1), math.hypot(high2 - x2, x1 - low1)
    ends = [change - down, change + up]
    return {
        "name": one.name,
        "label": label,
        "unit": "" if is_ratio else unit,
        "values": [one.value, other.value],
        "change": unscaled(one.name, change),
        "change_is": "ratio" if is_ratio else "difference",
        "ci95": [None if math.isinf(v) else unscaled(one.name, v) for v in ends],
        # Corrected for the number of quantities.
        "differs": bool(change - wider * down > 0.0 or change + wider * up < 0.0),
    }


def _curves(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> tuple[float | None, int, str | None]:
    """Correlation of two curves over the frequencies and levels that both have."""
    pairs = []
    for row in one["curve"]:
        near = [
            (abs(row["frequency_hz"] - second["frequency_hz"]), second["response_plv2"])
            for second in other["curve"]
            if second["level"] == row["level"]
        ]
        if near and min(near)[0] <= NEAR_HZ:
            pairs.append((row["response_plv2"], min(near)[1]))
    if len(pairs) < LEAST_FREQUENCIES:
        return None, len(pairs), f"{len(pairs)} frequencies in common, {LEAST_FREQUENCIES} needed"
    first, second = np.array(pairs).T
    if first.std() == 0.0 or second.std() == 0.0:
        return None, len(pairs), "one of the curves is flat"
    return float(np.corrcoef(first, second)[0, 1]), len(pairs), None


def _over_people(visits: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """ICC of every quantity, or why there is none."""
    found = [[quantities_of(one) for one in of] for of in visits]
    tables = {}
    for name in NAMES:
        whole = [of for of in found if all(name in one for one in of)]
        tables[name] = np.array([[scaled(name, one[name].value) for one in of] for of in whole])
    n_judged = sum(len(table) >= LEAST_PEOPLE for table in tables.values())
    rows = []
    for name, table in tables.items():
        label, unit, is_ratio = NAMES[name]
        row: dict[str, Any] = {"name": name, "label": label, "unit": unit, "individual": False}
        rows.append(row)
        row |= {"n_people": len(table), "n_left_out": len(found) - len(table), "icc21": None}
        if len(table) < LEAST_PEOPLE:
            row["reason"] = (
                f"{len(table)} people have it at every visit; {LEAST_PEOPLE} are the least"
            )
            continue
        try:
            icc = intraclass_correlation(table)
            judged = intraclass_correlation(table, level=1.0 - FAMILY_LEVEL / n_judged)
            limits = agreement_limits((table[:, 1] - table[:, 0]).tolist())
        except AnalysisError as exc:
            row["reason"] = str(exc)
            continue
        low = judged.agreement_interval[0]
        row |= {
            **icc.to_dict(),
            "judged_low": low,
            "limits_of_change": [unscaled(name, value) for value in limits],
            "change_is": "ratio" if is_ratio else "difference",
            "individual": bool(low >= LEAST_ICC),
            "reason": None,
        }
    return rows
