"""A site's own reference of profiles, and one person held against it.

The range of each quantity is a prediction interval for the next person, ``m ± t s sqrt(1 + 1/n)``
(ratios on the natural log), so that it is as much wider as few people are. A single case against a
sample is this very test (Crawford and Howell), exact where the values are normal on their scale,
which is tested and warned of. How far off the ends of the range may be is told beside it: 90 %
limits of the population's 2.5 and 97.5 % points, from the non-central t distribution.

What is judged is wider than what is shown: with m quantities the error of each is 5 %/m
(Bonferroni), so that a person of the same population deviates in any of them in 5 % at most.

References
----------
Crawford and Howell 1998, Clin. Neuropsychol. 12:482-486. Hahn and Meeker 1991, Statistical
Intervals, ch. 4 (limits of a percentile). CLSI EP28-A3c 2010 (reference intervals: 20 people at the
least, 120 for one without a model).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.profile_design import difference_of
from analysis.profile_quantities import NAMES, Quantity, quantities_of, scaled, unscaled, whose

__all__ = ["FORMAT", "LEAST_PEOPLE", "hold_against", "make_norm", "read_norm"]

FORMAT = "tacs profile norm 1"
LEAST_PEOPLE = 20
FAMILY_LEVEL = 0.05
NOT_NORMAL_P = 0.01
WORDS: Mapping[str, str] = {
    "within": "within the reference",
    "above": "deviates from the reference (above)",
    "below": "deviates from the reference (below)",
    "undetermined": "cannot be said: the interval overlaps the limit",
}


def make_norm(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make a reference of one result of each of many people.

    Parameters
    ----------
    results : sequence of mapping
        As `read_result`.

    Returns
    -------
    dict
        The norm file: the design, everybody's values, and of each quantity with 20 values or more
        median, range and the uncertainty of its ends. Results without a response are counted and
        not averaged.

    Raises
    ------
    AnalysisError
        If a person or a recording is there twice, a subject is not stated, modes, designs or
        channels differ, or fewer than 20 people responded.
    """
    seen: dict[str, str] = {}
    for one in results:
        named = {f"subject {whose(one)}", f"recording {one.get('recording_sha256') or one['file']}"}
        for key in sorted(named):
            if key in seen:
                raise AnalysisError(
                    f"{one['file']} and {seen[key]}: both are of {key[:80]}; give one result of "
                    "each person"
                )
            seen[key] = str(one["file"])
        if other := difference_of(results[0], one):
            raise AnalysisError(
                f"{one['file']}: not comparable with {results[0]['file']}: {other}; make one "
                "reference for each design"
            )
    counts = {v: sum(one["verdict"] == v for one in results)
              for v in ("response", "no_response", "undetermined")}  # fmt: skip
    if counts["response"] < LEAST_PEOPLE:
        raise AnalysisError(
            f"{len(results)} people, {counts['response']} of them with a response: a reference "
            f"needs {LEAST_PEOPLE} who responded, because the limits of fewer lie anywhere "
            "(CLSI EP28-A3c)"
        )
    people = [
        {
            "subject": whose(one),
            "recording_sha256": one.get("recording_sha256"),
            "verdict": one["verdict"],
            "values": {name: found.value for name, found in quantities_of(one).items()},
        }
        for one in results
    ]
    first = results[0]
    design = {name: value for name, value in first["design"].items() if name != "order"}
    return {
        "format": FORMAT,
        "mode": first["mode"],
        "channels": list(first["channels"]),
        "design": design,
        "n_people": len(results),
        "n_by_verdict": counts,
        "quantities": _described(people),
        "people": people,
    }


def read_norm(path: str | Path) -> dict[str, Any]:
    """Read a norm file.

    Parameters
    ----------
    path : path
        Written by ``tacs profile norm``.

    Returns
    -------
    dict
        As `make_norm`.

    Raises
    ------
    AnalysisError
        If the file cannot be read, is none, or holds too few people.
    """
    try:
        norm = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        if not isinstance(norm, dict) or norm.get("format") != FORMAT:
            raise ValueError(f'its "format" is not "{FORMAT}"')
        for person in norm["people"]:
            if unknown := set(person["values"]) - set(NAMES):
                raise ValueError(f"unknown quantity {sorted(unknown)[0]}")
            values = [scaled(name, float(value)) for name, value in person["values"].items()]
            if not (isinstance(person["subject"], str) and all(map(math.isfinite, values))):
                raise ValueError("a person's values are no numbers")
        n = sum(person["verdict"] == "response" for person in norm["people"])
        difference_of(norm, norm)
    except (OSError, UnicodeDecodeError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise AnalysisError(
            f"{path}: no norm file ({exc}); make one with tacs profile norm RESULT.json… --out"
        ) from exc
    if n < LEAST_PEOPLE:
        raise AnalysisError(f"{path}: {n} people with a response, {LEAST_PEOPLE} are the least")
    return {**norm, "file": str(path)}


def hold_against(norm: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Hold one person's profile against a reference.

    Parameters
    ----------
    norm : mapping
        As `read_norm`.
    result : mapping
        As `ResponseProfile.to_dict`, with `subject` where it is known.

    Returns
    -------
    dict
        `quantities` (each with value, interval, median, `range95`, `judged_range`, `verdict` and
        `words`), `n_compared`, `n_people`, `response_words` and `warnings`. A value deviates only
        where its whole interval lies beyond the judged range, and is within only where all of it
        lies inside; what is between cannot be said. A person who is in the reference is left out
        of it.

    Raises
    ------
    AnalysisError
        If the two are not comparable, or fewer than 20 people are left.
    """
    if other := difference_of(norm, result):
        raise AnalysisError(f"{norm['file']}: not comparable with this profile: {other}")
    subject, sha256 = result.get("subject"), result.get("recording_sha256")
    people = [
        one
        for one in norm["people"]
        if one["subject"] != subject and (sha256 is None or one.get("recording_sha256") != sha256)
    ]
    warnings = []
    if len(people) < len(norm["people"]):
        warnings.append("the person is in the reference, and was left out of it")
    if not subject:
        warnings.append("whose profile this is is not stated: the person may be in the reference")
    answered = sum(one["verdict"] == "response" for one in people)
    if answered < LEAST_PEOPLE:
        raise AnalysisError(
            f"{norm['file']}: without this person {answered} people with a response are left; "
            f"{LEAST_PEOPLE} are the least"
        )
    known = {one["name"]: one for one in _described(people) if one["reason"] is None}
    mine = {n: q for n, q in quantities_of(result).items() if n in known}
    rows = [_judged(known[name], one, len(mine)) for name, one in mine.items()]
    skewed = [known[row["name"]]["label"] for row in rows if known[row["name"]]["not_normal"]]
    warnings += [f"{label}: the reference's values are not normal; its range is rough"
                 for label in skewed]  # fmt: skip
    same = sum(one["verdict"] == result["verdict"] for one in people)
    words = {"response": "a response", "no_response": "no response"}
    return {
        "norm": norm["file"],
        "n_people": len(people),
        "n_compared": len(rows),
        "error_each": FAMILY_LEVEL / max(1, len(rows)),
        "response_words": f"{words.get(result['verdict'], 'an undetermined finding')}, as in "
        f"{same} of {len(people)} people of the reference",
        "quantities": rows,
        "reason": None
        if rows
        else "nothing to compare: the reference holds numbers of responses alone",
        "warnings": warnings,
    }


def _described(people: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every quantity of the reference, or why there are too few values of it."""
    from scipy.stats import nct, norm, shapiro, t

    rows: list[dict[str, Any]] = []
    for name, (label, unit, is_ratio) in NAMES.items():
        values = np.array([one["values"][name] for one in people if name in one["values"]])
        row: dict[str, Any] = {"name": name, "label": label, "unit": unit, "n": int(values.size)}
        rows.append(row)
        if values.size < LEAST_PEOPLE:
            row["reason"] = f"{values.size} people have it; {LEAST_PEOPLE} are the least"
            continue
        x = np.log(values) if is_ratio else values
        n, mean, sd = x.size, float(x.mean()), float(x.std(ddof=1))
        if sd == 0.0:
            row["reason"] = "everybody has the same value: are these results of different people?"
            continue
        half = float(t.ppf(0.975, n - 1)) * sd * math.sqrt(1.0 + 1.0 / n)
        far = float(norm.ppf(0.975)) * math.sqrt(n)
        near, away = (float(nct.ppf(p, n - 1, far)) * sd / math.sqrt(n) for p in (0.05, 0.95))
        back = [unscaled(name, mean + z)
                for z in (-half, half, -away, -near, near, away)]  # fmt: skip
        row |= {
            "scale": "ln" if is_ratio else "linear",
            "mean": mean,
            "sd": sd,
            "median": float(np.median(values)),
            "range95": back[:2],
            "low_limit_ci90": back[2:4],
            "high_limit_ci90": back[4:],
            "not_normal": bool(shapiro(x).pvalue < NOT_NORMAL_P),
            "reason": None,
        }
    return rows


def _judged(known: Mapping[str, Any], one: Quantity, n_compared: int) -> dict[str, Any]:
    """One quantity of one person beside the reference."""
    from scipy.stats import t

    n, level = known["n"], FAMILY_LEVEL / n_compared
    half = float(t.ppf(1.0 - 0.5 * level, n - 1)) * known["sd"] * math.sqrt(1.0 + 1.0 / n)
    least, most = known["mean"] - half, known["mean"] + half
    low, high = one.scaled_ends
    verdict = "undetermined"
    if low > most:
        verdict = "above"
    elif high < least:
        verdict = "below"
    elif least <= low and high <= most:
        verdict = "within"
    return {
        **{key: known[key] for key in ("name", "label", "unit", "n", "median", "range95")},
        "low_limit_ci90": known["low_limit_ci90"],
        "high_limit_ci90": known["high_limit_ci90"],
        "value": one.value,
        "ci95": [one.low, one.high],
        "judged_range": [unscaled(one.name, least), unscaled(one.name, most)],
        "verdict": verdict,
        "words": WORDS[verdict],
    }
