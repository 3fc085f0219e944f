"""Groups: patients against each other, or conditions within patients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tacs import console
from tacs.errors import InputError

Text = typer.Option


def group(
    table: Annotated[
        str, typer.Argument(help="CSV or TSV: a row for each patient, visit and condition")
    ] = "",
    outcome: Annotated[
        list[str], Text("--outcome", help="outcome column, repeatable; the first is the primary")
    ] = [],  # noqa: B006 - read by the parser, never changed
    subject: Annotated[str, Text("--subject", help="column of patients")] = "",
    arm: Annotated[str, Text("--arm", help="column of arms or conditions")] = "",
    time: Annotated[str, Text("--time", help="column of visits: pre and post, or weeks")] = "",
    period: Annotated[str, Text("--period", help="column of periods of a crossover")] = "",
    times: Annotated[str, Text("--times", help="visits to use, in order, by commas")] = "",
    design: Annotated[
        str, Text("--design", help="auto, paired, between, mixed, crossover or n_of_1")
    ] = "auto",
    control: Annotated[str, Text("--control", help="arm the others are held against")] = "",
    direction: Annotated[
        str, Text("--direction", help="declared beforehand: increase or decrease; only a label")
    ] = "",
    none_within: Annotated[
        float,
        Text("--none-within", help="a difference not worth having; else never 'none'"),
    ] = 0.0,
    responder: Annotated[str, Text("--responder", help="column of yes and no")] = "",
    response_limit: Annotated[
        float, Text("--response-limit", help="responder from this share of improvement, as 0.5")
    ] = 0.0,
    remission_limit: Annotated[
        str, Text("--remission-limit", help="in remission up to this value at the last visit")
    ] = "",
    scale_floor: Annotated[
        float, Text("--scale-floor", help="value that means nothing, as 30 of the PANSS")
    ] = 0.0,
    better: Annotated[str, Text("--better", help="lower or higher values")] = "lower",
    from_compare: Annotated[
        str, Text("--from-compare", help="folder of results of `tacs compare --json`")
    ] = "",
    counts: Annotated[
        str, Text("--counts", help="no table: responders, as active=27/50,sham=9/50")
    ] = "",
    permutations: Annotated[
        int, Text("--permutations", help="of the cluster test over channels")
    ] = 1000,
    seed: Annotated[int, Text("--seed", help="of everything random")] = 0,
    figures: Annotated[str, Text("--figures", help="folder for figures")] = "",
) -> None:
    """Compare arms, or conditions within patients: models, tests, responders.

    Long format: one row for each patient, visit and condition, with columns for
    the patient, the arm and the visit. Two-sided throughout.
    """
    if counts:
        if table or from_compare:
            raise InputError("--counts stands alone: leave out the table and --from-compare")
        result = _from_counts(counts, control)
    else:
        result = _from_table(
            table,
            from_compare,
            tuple(outcome),
            {
                "subject": subject or None,
                "arm": arm or None,
                "time": time or None,
                "period": period or None,
                "times": tuple(console.names(times) or ()),
                "design": design,
                "control": control or None,
                "expected": direction or None,
                "none_within": none_within or None,
                "responder": responder or None,
                "rules": _rules(response_limit, remission_limit, scale_floor, better),
                "n_permutations": permutations,
                "seed": seed,
            },
        )
    data = result.to_dict()
    if figures:
        from analysis.figures_group import figures_of

        for name, figure in figures_of(result).items():
            console.save(figure, str(Path(figures) / f"{name}.png"))
    from analysis.group_words import group_lines

    console.output.result(data, "\n".join(group_lines(result)))


def _rules(response: float, remission: str, floor: float, better: str) -> Any:
    """Limits of response and remission."""
    from analysis.group_responders import ResponderRules

    if better not in ("lower", "higher"):
        raise InputError(f"--better {better}: give lower or higher")
    limit = None
    if remission:
        try:
            limit = float(remission)
        except ValueError as exc:
            raise InputError(f"--remission-limit {remission}: give a number") from exc
    return ResponderRules(
        response_limit=response or None,
        remission_limit=limit,
        scale_floor=floor,
        lower_is_better=better == "lower",
    )


def _from_counts(text: str, control: str) -> Any:
    """Responders given as NAME=RESPONDERS/PATIENTS."""
    from analysis.group import compare_counts

    arms: dict[str, tuple[int, int]] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        responders, _, n = share.partition("/")
        if not (name.strip() and responders.strip().isdigit() and n.strip().isdigit()):
            raise InputError(
                f"--counts {text}: {part.strip()!r} is not NAME=RESPONDERS/PATIENTS, as "
                "active=27/50,sham=9/50"
            )
        if name.strip() in arms:
            raise InputError(f"--counts {text}: {name.strip()} stands there twice")
        arms[name.strip()] = (int(responders), int(n))
    return compare_counts(arms, control=control or None)


def _from_table(table: str, folder: str, outcomes: tuple[str, ...], options: dict[str, Any]) -> Any:
    """A table, or a folder of results with or without a table that says whose they are."""
    from analysis.group import compare_groups

    if folder:
        from analysis.group_outputs import PRIMARY, read_outputs

        chosen = outcomes or (PRIMARY,)
        found = read_outputs(folder, table or None, chosen)
        return compare_groups(found, outcomes=chosen, **options)
    if not table:
        raise InputError("give a table, --from-compare with a folder, or --counts")
    return compare_groups(table, outcomes=outcomes, **options)
