"""``tacs profile norm`` and ``compare``: a site's reference; visits of one person and several."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tacs import console
from tacs.errors import InputError
from tacs.report_words import brief

__all__ = ["compare", "norm", "norm_lines"]


def norm(
    results: Annotated[
        list[str],
        typer.Argument(help="one result of each person (tacs profile analyze --out)"),
    ],
    out: Annotated[str, typer.Option("--out", help="norm file (JSON) to write")] = "",
) -> None:
    """Make a site's own reference of profiles, of 20 people who responded or more."""
    import tacs
    from analysis.profile_norm import make_norm
    from analysis.profile_quantities import read_result
    from tacs.clock import utc_now
    from tacs.files import write_text

    if not out:
        raise InputError("--out: name the norm file to write, such as NORM.json")
    made = make_norm([read_result(path) for path in results])
    made |= {
        "made_at": utc_now().isoformat(timespec="seconds"),
        "method": f"tacs-suite {tacs.__version__}",
    }
    write_text(out, json.dumps(made, indent=1, allow_nan=False) + "\n")
    counts = made["n_by_verdict"]
    lines = [
        f"{made['n_people']} people: {counts['response']} responded, {counts['no_response']} did "
        f"not, {counts['undetermined']} undetermined (counted, not averaged)"
    ]
    for row in made["quantities"]:
        if row["reason"] is not None:
            lines.append(f"{row['label']}: no range ({row['reason']})")
            continue
        low, high = row["range95"]
        unit = f" {row['unit']}" if row["unit"] else ""
        ends = " and ".join(
            f"{brief(a)} to {brief(b)}" for a, b in (row["low_limit_ci90"], row["high_limit_ci90"])
        )
        lines.append(
            f"{row['label']}: median {brief(row['median'])}{unit}, 95 % range {brief(low)} to "
            f"{brief(high)}{unit} (n {row['n']}; ends of the population's within {ends})"
        )
        if row["not_normal"]:
            lines.append(f"warning: {row['label']}: values are not normal; the range is rough")
    console.output.result({**made, "norm": out}, "\n".join([*lines, f"norm: {out}"]))


def norm_lines(told: Mapping[str, Any]) -> list[str]:
    """Lines for a person: how a profile stands to the reference."""
    lines = [f"reference of {told['n_people']} people: {told['response_words']}"]
    for row in told["quantities"]:
        low, high = row["range95"]
        unit = f" {row['unit']}" if row["unit"] else ""
        ends = ", ".join(map(brief, row["ci95"]))
        lines.append(
            f"  {row['label']}: {brief(row['value'])}{unit} [{ends}], "
            f"95 % of the reference {brief(low)} to {brief(high)}{unit}: {row['words']}"
        )
    if told["reason"]:
        lines.append(f"  {told['reason']}")
    else:
        lines.append(
            f"  judged for {told['n_compared']} quantities together: a person of the reference's "
            "population deviates in any of them in 5 % at most"
        )
    return [*lines, *(f"warning: {text}" for text in told["warnings"])]


def compare(
    results: Annotated[
        list[str],
        typer.Argument(help="results of two visits or more, of one person or of several"),
    ],
    out: Annotated[
        str, typer.Option("--out", help="comparison (JSON), for tacs profile analyze --reliability")
    ] = "",
) -> None:
    """Compare visits: changes of one person; over several people, what is individual (ICC)."""
    from analysis.profile_quantities import read_result
    from analysis.profile_reliability import compare_visits
    from tacs.files import write_text

    found = compare_visits([read_result(path) for path in results])
    lines = []
    for person in found["people"]:
        responded = sum(visit["verdict"] == "response" for visit in person["visits"])
        lines.append(f"{person['subject']}: response at {responded} of {len(person['visits'])}")
        for pair in person["pairs"]:
            lines += _pair_lines(pair)
    for row in found["reliability"]:
        if row["icc21"] is None:
            if found["n_people"] > 1:
                lines.append(f"{row['label']}: no ICC ({row['reason']})")
            continue
        low, high = row["icc21_interval"]
        word = "individual" if row["individual"] else "not individual"
        lines.append(
            f"{row['label']}: ICC(2,1) {row['icc21']:.2f} [{low:.2f}, {high:.2f}] over "
            f"{row['n_people']} people, ICC(3,1) {row['icc31']:.2f}: {word} (lower limit "
            f"{row['judged_low']:.2f} corrected for the number of quantities; 0.5 needed)"
        )
    if found["n_people"] == 1:
        lines.append(
            "not individual: visits of one person do not show that others differ; give two visits "
            "of several people"
        )
    lines += [f"warning: {text}" for text in found["warnings"]]
    if out:
        write_text(out, json.dumps(found, indent=1, allow_nan=False) + "\n")
        lines.append(f"comparison: {out}")
    console.output.result({**found, "comparison": out or None}, "\n".join(lines))


def _pair_lines(pair: Mapping[str, Any]) -> list[str]:
    """Lines of two visits of one person."""
    i, j = pair["visits"]
    r = (
        f"curves correlate with r {pair['curve_r']:.2f} over {pair['curve_n']} frequencies"
        if pair["curve_r"] is not None
        else f"no correlation of the curves ({pair['curve_reason']})"
    )
    lines = [f"  visit {j} against {i}: {r}"]
    for row in pair["quantities"]:
        first, second = row["values"]
        ends = ", ".join(map(brief, row["ci95"]))
        word = "differs" if row["differs"] else "no difference shown"
        lines.append(
            f"    {row['label']}: {brief(first)} and {brief(second)}, {row['change_is']} "
            f"{brief(row['change'])} [{ends}]: {word}"
        )
    if not pair["both_responded"]:
        lines.append("    one of them holds no response: its numbers are not compared")
    return lines
