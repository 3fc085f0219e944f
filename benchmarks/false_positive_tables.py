"""What `benchmarks.false_positives` counts and prints: answers, exact ranges, rows, goals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DECLINED_AT_LEAST = {
    *("drift, 20 s", "drift, 60 s", "drift, 180 s", "drowsy after", "drowsy before"),
}
PATIENTS = "virtual patients"


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of one pair."""

    direction: str
    withheld: bool
    codes: tuple[str, ...]
    verdict: str
    p: float | None
    ln_ratio: float
    interval_ln: tuple[float, float]
    truth_ln: float
    family_called: bool
    epochs_p: float
    welch_p: float


def clopper_pearson(hits: int, n: int) -> tuple[float, float]:
    """Exact 95 % range of a share."""
    from scipy.stats import beta

    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, n - hits + 1))
    high = 1.0 if hits == n else float(beta.ppf(0.975, hits + 1, n - hits))
    return low, high


def share(said: Sequence[Said], test: Callable[[Said], bool]) -> tuple[int, int]:
    """How many of how many."""
    return sum(map(test, said)), len(said)


def is_call(one: Said) -> bool:
    """Whether a direction was called."""
    return one.direction in ("increase", "decrease")


def is_declined(one: Said) -> bool:
    """Whether the method said that it cannot tell."""
    return not is_call(one) and (one.withheld or one.direction == "undetermined")


def holds(one: Said) -> bool:
    """Whether the interval holds the truth."""
    return one.interval_ln[0] <= one.truth_ln <= one.interval_ln[1]


def goals(name: str, said: Sequence[Said]) -> list[str]:
    """Goals of one row: met, within chance, or short."""
    found = []

    def goal(text: str, count: tuple[int, int], limit: float, *, at_least: bool) -> None:
        hits, n = count
        value, (low, high) = hits / n, clopper_pearson(hits, n)
        met = value >= limit if at_least else value <= limit
        chance = high >= limit if at_least else low <= limit
        sign = ">=" if at_least else "<="
        word = "met" if met else "within chance" if chance else "short"
        found.append(f"{text} {sign} {100 * limit:g} %: {word}")

    if name in ("stationary", "waxing and waning, 2 s", PATIENTS):
        goal("called", share(said, is_call), 0.05, at_least=False)
        if name == "stationary":
            goal("withheld", share(said, lambda one: one.withheld), 0.10, at_least=False)
            goal("held", share(said, holds), 0.93, at_least=True)
    if name == "drift, 5 s":
        goal("called", share(said, is_call), 0.07, at_least=False)
    if name in DECLINED_AT_LEAST:
        goal("declined", share(said, is_declined), 0.90, at_least=True)
    if name.startswith(("exponent", "background")):
        osc = share(said, lambda one: one.verdict == "oscillation")
        goal("oscillation", osc, 0.05, at_least=False)
    if name.startswith("line"):
        goal("called", share(said, is_call), 0.05, at_least=False)
    return found


HEAD = (
    f"{'what is true':24s} {'called':>7s} {'95 % range':>12s} {'none':>6s} {'undet.':>6s} "
    f"{'withheld':>8s} {'declined':>8s} {'oscill.':>7s} {'aperiod.':>8s} {'p<.05':>6s} "
    f"{'epochs':>6s} {'Welch':>6s}"
)


def row(name: str, said: Sequence[Said]) -> str:
    """One line of the table, in percent."""
    n = len(said)
    hits, _ = share(said, is_call)
    low, high = clopper_pearson(hits, n)

    def percent(test: Callable[[Said], bool]) -> float:
        return 100.0 * share(said, test)[0] / n

    return (
        f"{name:24s} {100 * hits / n:7.1f} {100 * low:5.1f}-{100 * high:<6.1f} "
        f"{percent(lambda one: one.direction == 'none'):6.1f} "
        f"{percent(lambda one: one.direction == 'undetermined'):6.1f} "
        f"{percent(lambda one: one.withheld):8.1f} {percent(is_declined):8.1f} "
        f"{percent(lambda one: one.verdict == 'oscillation'):7.1f} "
        f"{percent(lambda one: one.verdict.startswith('aperiodic')):8.1f} "
        f"{percent(lambda one: one.p is not None and one.p < 0.05):6.1f} "
        f"{percent(lambda one: one.epochs_p < 0.05):6.1f} "
        f"{percent(lambda one: one.welch_p < 0.05):6.1f}"
    )


POWER_HEAD = (
    f"{'planted':24s} {'found':>7s} {'95 % range':>12s} {'opposite':>8s} {'none':>6s} "
    f"{'undet.':>6s} {'withheld':>8s} {'held':>6s} {'range':>12s} {'bias ln':>8s} {'SD ln':>6s} "
    f"{'epochs':>6s}"
)


def power_row(name: str, said: Sequence[Said]) -> str:
    """One line of the power curve, in percent."""
    n = len(said)
    wanted = "increase" if said[0].truth_ln > 0.0 else "decrease"
    hits, _ = share(said, lambda one: one.direction == wanted)
    low, high = clopper_pearson(hits, n)
    held, _ = share(said, holds)
    held_low, held_high = clopper_pearson(held, n)
    errors = np.array([one.ln_ratio - one.truth_ln for one in said])

    def percent(test: Callable[[Said], bool]) -> float:
        return 100.0 * share(said, test)[0] / n

    return (
        f"{name:24s} {100 * hits / n:7.1f} {100 * low:5.1f}-{100 * high:<6.1f} "
        f"{percent(lambda one: is_call(one) and one.direction != wanted):8.1f} "
        f"{percent(lambda one: one.direction == 'none'):6.1f} "
        f"{percent(lambda one: one.direction == 'undetermined'):6.1f} "
        f"{percent(lambda one: one.withheld):8.1f} {100 * held / n:6.1f} "
        f"{100 * held_low:5.1f}-{100 * held_high:<6.1f} {errors.mean():+8.3f} {errors.std():6.3f} "
        f"{percent(lambda one: one.epochs_p < 0.05):6.1f}"
    )
