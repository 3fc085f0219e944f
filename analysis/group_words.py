"""One plain sentence about a comparison of groups, and what must be said with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.contingency import NumberNeeded, OddsRatio, ResponderTable
from analysis.group_contrast import GroupContrast, OutcomeResult
from analysis.group_design import Attendance, Plan
from analysis.group_responders import Responders
from analysis.power import percent_of_ln

if TYPE_CHECKING:
    from analysis.group import GroupResult

__all__ = ["group_lines", "number", "p_text", "responder_sentence", "summarise"]

_ARMS = "it is the effect of the treatment only if the arms were drawn at random and the blind held"
CAUSE = {
    "mixed": _ARMS,
    "between": _ARMS,
    "crossover": "it is the effect of the condition only if the orders were drawn at random",
    "n_of_1": "it is about this person alone, and only if the order was drawn at random",
    "paired": "what caused it cannot be told from this design",
}
EXPECTED = {
    "predicted": "as predicted",
    "opposite": "opposite to what was predicted",
    "none": "what was predicted is not shown",
}


def number(value: float) -> str:
    """A number for reading: three significant digits."""
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e" in text and 1.0 <= abs(value) < 1e7 else text


def p_text(p: float) -> str:
    """A p value for reading."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}"


def summarise(
    outcomes: Sequence[OutcomeResult],
    plan: Plan,
    label: str | None,
    n_tests: int,
    responders: Sequence[Responders] = (),
) -> str:
    """One plain sentence about the primary contrast, and who was lost.

    Parameters
    ----------
    outcomes : sequence of OutcomeResult
        The first is the primary one.
    plan : Plan
        The design.
    label : str or None
        "predicted", "opposite" or "none"; None where nothing was predicted.
    n_tests : int
        Comparisons corrected together.
    responders : sequence of Responders
        Told where there is no outcome.
    """
    if not outcomes:
        return " ".join(responder_sentence(found) for found in responders)
    first = outcomes[0]
    contrast = first.contrasts[0]
    if contrast.primary is None:
        reason = str(contrast.reason).removeprefix(f"{contrast.quantity}: ")
        return f"{contrast.quantity}: no answer ({reason})."
    low, high = contrast.primary.interval
    told = _found(contrast, plan)
    p = contrast.p_holm if contrast.p_holm is not None else contrast.primary.p
    corrected = f", Holm over {n_tests} comparisons" if n_tests > 1 else ""
    if first.name.endswith("ln_ratio"):
        told += f", which is {percent_of_ln(contrast.primary.estimate):+.0f} %"
    text = (
        f"{told} (95 % interval {number(low)} to {number(high)}, {p_text(p)}{corrected}, "
        f"n = {contrast.primary.n})"
    )
    meaning = {
        "increase": "an increase",
        "decrease": "a decrease",
        "none": "no difference worth having in either direction",
        "undetermined": "too uncertain to tell a difference from chance",
    }[contrast.direction]
    expected = f", {EXPECTED[label]}" if label is not None else ""
    cause = f"; {CAUSE[plan.design]}" if contrast.direction in ("increase", "decrease") else ""
    return f"{text}: {meaning}{expected}{cause}.{_lost(first.attendance)}"


def _found(contrast: GroupContrast, plan: Plan) -> str:
    """What was found, without saying whether it is anything."""
    value = contrast.primary.estimate if contrast.primary is not None else 0.0
    size = number(abs(value))
    if plan.control is None:
        way = "higher" if value >= 0.0 else "lower"
        return f"{contrast.quantity}: {size} {way} in {contrast.arm} than in {contrast.against}"
    way = "above" if value >= 0.0 else "below"
    return f"{contrast.quantity}: {contrast.arm} {size} {way} {contrast.against}"


def _lost(attendance: Sequence[Attendance]) -> str:
    """Who has no last value."""
    lost = [f"{arm.lost} of {arm.n} in {arm.arm}" for arm in attendance if arm.lost]
    return f" Without a last value: {', '.join(lost)}." if lost else ""


def responder_sentence(found: Responders) -> str:
    """One sentence about a responder table."""
    table = found.observed
    if not isinstance(table, ResponderTable):
        difference = table.risk_difference
        low, high = (100.0 * end for end in difference.interval)
        return (
            f"Responders ({found.definition}): {table.both + table.only_first} under "
            f"{table.conditions[0]}, {table.both + table.only_second} under {table.conditions[1]}, "
            f"difference {100.0 * difference.estimate:.0f} percentage points (95 % interval "
            f"{low:.0f} to {high:.0f}, exact McNemar {p_text(table.p)})."
        )
    shares = ", ".join(f"{r} of {n} in {arm}" for arm, r, n in table.arms)
    text = f"Responders ({found.definition}): {shares}; "
    if table.pearson is not None:
        text += f"Pearson {p_text(table.pearson.p)}, "
    text += f"{table.exact.method} {p_text(table.exact.p)}"
    if len(table.contrasts) == 1:
        contrast = table.contrasts[0]
        low, high = (100.0 * end for end in contrast.risk_difference.interval)
        text += (
            f"; difference {100.0 * contrast.risk_difference.estimate:.0f} percentage points "
            f"(95 % interval {low:.0f} to {high:.0f}), {contrast.number_needed.text}"
        )
    return f"{text}."


def group_lines(result: GroupResult) -> list[str]:
    """Lines for a terminal: the sentence, each comparison, responders, warnings.

    Parameters
    ----------
    result : GroupResult
        From `analysis.compare_groups`.
    """
    lines = [result.summary]
    for outcome in result.outcomes:
        lines += ["", outcome.name]
        lines += _attended(outcome.attendance)
        for contrast in outcome.contrasts:
            lines += _contrast_lines(contrast)
        if outcome.joint is not None:
            lines.append(
                f"  all arms together: F = {outcome.joint['f']:.2f}, {p_text(outcome.joint['p'])} "
                f"({outcome.joint['method']})"
            )
        if outcome.carry_over is not None:
            kind, p = outcome.carry_over["kind"], outcome.carry_over["p"]
            lines.append(f"  {kind}: {p_text(p)}")
    for found in result.responders:
        if result.outcomes:
            lines += ["", responder_sentence(found)]
        lines += _responder_lines(found)
    for test in result.clusters:
        lines.append(
            f"clusters over {len(test.channels)} channels, {test.comparison}: {p_text(test.p)}"
            + (f" ({', '.join(test.clusters[0].channels)})" if test.clusters else "")
        )
    return [*lines, *(f"warning: {warning}" for warning in result.warnings)]


def _attended(attendance: Sequence[Attendance]) -> list[str]:
    """Patients of each arm and visit."""
    lines = []
    for arm in attendance:
        seen = ", ".join(f"{name} {n}" for name, n in arm.seen)
        lines.append(f"  {arm.arm}: {arm.n} in the table; {seen}; {arm.lost} without a last value")
    return lines


def _contrast_lines(contrast: GroupContrast) -> list[str]:
    """Every analysis of one comparison."""
    lines = [f"  {contrast.arm} against {contrast.against}: {contrast.quantity}"]
    if contrast.primary is None:
        lines.append(f"    no answer: {contrast.reason}")
    rows = [contrast.primary] if contrast.primary is not None else []
    for place, row in enumerate([*rows, *contrast.beside]):
        low, high = row.interval
        main = "primary" if place == 0 and contrast.primary is not None else "beside"
        lines.append(
            f"    {main}: {number(row.estimate)} (95 % interval {number(low)} to {number(high)}), "
            f"t({row.df:.0f}) = {row.statistic:.2f}, {p_text(row.p)}, n = {row.n}: {row.method}"
        )
    if contrast.primary is not None and contrast.p_holm is not None:
        if contrast.p_holm != contrast.primary.p:
            lines.append(f"    corrected after Holm: {p_text(contrast.p_holm)}")
    if contrast.permutation is not None:
        test = contrast.permutation
        lines.append(
            f"    randomisation test: {p_text(test.p)} ({test.method}, {test.n} arrangements; the "
            f"smallest possible p is {test.smallest_p:.2g})"
        )
    if contrast.effect is not None:
        effect = contrast.effect
        low, high = effect.interval
        lines.append(
            f"    {effect.name} = {effect.estimate:.2f} (95 % interval {low:.2f} to {high:.2f}), "
            f"Hedges g = {effect.corrected:.2f}, in {effect.unit}"
        )
    if contrast.detectable is not None:
        lines.append(
            f"    these numbers find an effect of {contrast.detectable:.2f} with a power of 80 %, "
            "smaller ones less often"
        )
    return lines


def _responder_lines(found: Responders) -> list[str]:
    """Every measure of a responder table."""
    table = found.observed
    lines: list[str] = []
    if not isinstance(table, ResponderTable):
        return lines
    if len(table.contrasts) > 1 and table.pearson is not None:
        lines.append(
            f"  all arms: chi2({table.pearson.df}) = {table.pearson.statistic:.3f}, Pearson "
            f"{p_text(table.pearson.p)}; {table.exact.method} {p_text(table.exact.p)}"
        )
    for contrast in table.contrasts:
        lines.append(f"  {contrast.arm} against {contrast.control}:")
        if contrast.pearson is not None and contrast.yates is not None:
            lines.append(
                f"    chi2 {contrast.pearson.statistic:.3f}, Pearson {p_text(contrast.pearson.p)}, "
                f"Yates {p_text(contrast.yates.p)}, Fisher {p_text(contrast.exact.p)}"
            )
        low, high = contrast.risk_difference.interval
        lines.append(
            f"    risk difference {contrast.risk_difference.estimate:.2f} (95 % interval {low:.2f} "
            f"to {high:.2f}), number needed to treat: {_needed(contrast.number_needed)}"
        )
        lines.append(f"    odds ratio {_odds(contrast.odds_ratio)}")
    if found.missing_as_failure is not None:
        lines.append(f"  with missing counted as not responding: {_shares(found)}")
    return lines


def _shares(found: Responders) -> str:
    table = found.missing_as_failure
    if table is None:
        return ""
    shares = ", ".join(f"{r} of {n} in {arm}" for arm, r, n in table.arms)
    return f"{shares}; {table.exact.method} {p_text(table.exact.p)}"


def _needed(needed: NumberNeeded) -> str:
    if needed.value is None:
        return f"none, the shares are equal (95 % interval {needed.text})"
    name = "NNTB" if needed.kind == "benefit" else "NNTH"
    return f"{name} {needed.value:.2f} (95 % interval {needed.text})"


def _odds(odds: OddsRatio) -> str:
    """Both odds ratios."""
    parts = []
    if odds.estimate is not None and odds.interval is not None:
        low, high = odds.interval
        parts.append(f"{number(odds.estimate)} (95 % interval {number(low)} to {number(high)})")
    if odds.exact_interval is not None:
        value = "infinite" if odds.conditional is None else number(odds.conditional)
        end = odds.exact_interval[1]
        high_text = "infinity" if end is None else number(end)
        parts.append(
            f"conditional {value} (exact interval {number(odds.exact_interval[0])} to {high_text})"
        )
    if odds.reason is not None:
        parts.append(odds.reason)
    return "; ".join(parts)
