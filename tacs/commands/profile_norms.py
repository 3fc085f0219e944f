"""``tacs profile norm`` and ``compare``: a site's reference; visits of one person and several."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tacs import console
from tacs.errors import InputError

__all__ = ["norm", "norm_lines"]


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
            f"{a:.3g} to {b:.3g}" for a, b in (row["low_limit_ci90"], row["high_limit_ci90"])
        )
        lines.append(
            f"{row['label']}: median {row['median']:.3g}{unit}, 95 % range {low:.3g} to "
            f"{high:.3g}{unit} (n {row['n']}; ends of the population's within {ends})"
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
        lines.append(
            f"  {row['label']}: {row['value']:.3g}{unit}, 95 % of the reference {low:.3g} to "
            f"{high:.3g}{unit}: {row['words']}"
        )
    if told["reason"]:
        lines.append(f"  {told['reason']}")
    else:
        lines.append(
            f"  judged for {told['n_compared']} quantities together: a person of the reference's "
            "population deviates in any of them in 5 % at most"
        )
    return [*lines, *(f"warning: {text}" for text in told["warnings"])]
