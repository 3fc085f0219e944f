"""Two kinds of sessions in one person: an exact randomisation test, and what it can reach.

The test is exact where the order of the sessions was drawn at random and each of the kinds could
have fallen on each of the sessions, as often as it did. It then asks how many of all orders show a
difference of means at least as large. With few sessions there are few orders: three against three
have 20, and the smallest two-sided p is 0.10, whatever the data.

References
----------
Edgington and Onghena 2007, Randomization tests, 4th ed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

__all__ = ["NOf1", "design_power", "least_p", "n_of_1"]

Array = NDArray[np.float64]
EXACT_MAX_ORDERS = 200_000
SAMPLED_ORDERS = 49_999
POWER_MAX_ORDERS = 20_000
ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class NOf1:
    """Two kinds of sessions of one person.

    Parameters
    ----------
    n_first, n_second : int
        Sessions of either kind.
    difference : float
        Mean of the first kind minus mean of the second.
    p : float or None
        Two-sided; None where a kind has no session.
    least_p : float
        The smallest p that so many sessions can give.
    exact : bool
        Whether every order was looked at, or a sample of them.
    session_sd : float or None
        Standard deviation of sessions of one kind, pooled; None with one session each.
    power : float or None
        Share of such series that would give p below .05 for an effect of `effect`, given
        `session_sd`; None where the spread is not known.
    effect : float
        Effect that the power is stated for.
    statement : str
        All of it in words.
    """

    n_first: int
    n_second: int
    difference: float
    p: float
    least_p: float
    exact: bool
    session_sd: float | None
    power: float | None
    effect: float
    statement: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def least_p(n_first: int, n_second: int) -> float:
    """Return the smallest two-sided p of a randomisation test of two kinds of sessions.

    Two over the number of orders where both kinds have as many sessions, since an order and its
    mirror image then differ by the sign alone; else one over it.

    Raises
    ------
    AnalysisError
        A kind without a session.
    """
    if n_first < 1 or n_second < 1:
        raise AnalysisError("two kinds of sessions are needed, each with one session or more")
    orders = math.comb(n_first + n_second, n_first)
    return (2.0 if n_first == n_second else 1.0) / orders


def n_of_1(
    first: Sequence[float],
    second: Sequence[float],
    *,
    effect: float = math.log(1.25),
    seed: int = 0,
) -> NOf1:
    """Compare two kinds of sessions of one person.

    Parameters
    ----------
    first, second : sequence of float, shapes (n_first,) and (n_second,)
        The measure of every session, such as the log power ratio.
    effect : float
        Effect that the power is stated for, in the unit of the measure; +25 % power where left out.
    seed : int
        Of the sampled orders and of the power.

    Raises
    ------
    AnalysisError
        A kind without a session, or values that are not numbers.
    """
    values = np.array([*first, *second], dtype=np.float64)
    if not np.all(np.isfinite(values)):
        raise AnalysisError("sessions: every value must be a finite number")
    n_first, n_second = len(first), len(second)
    smallest = least_p(n_first, n_second)
    orders = math.comb(values.size, n_first)
    exact = orders <= EXACT_MAX_ORDERS
    rng = np.random.default_rng(seed)
    weights = _orders(n_first, n_second) if exact else _sampled(n_first, n_second, rng)
    differences = np.abs(weights @ values)
    observed = float(np.mean(values[:n_first]) - np.mean(values[n_first:]))
    at_least = int(np.sum(differences >= abs(observed) - _rounding(values)))
    p = at_least / orders if exact else (at_least + 1) / (weights.shape[0] + 1)
    spread = _pooled_sd(values[:n_first], values[n_first:])
    power = 0.0 if smallest >= ALPHA else None
    if power is None and spread:
        power = design_power(n_first, n_second, sd=spread, effect=effect, seed=seed)
    return NOf1(
        n_first=n_first,
        n_second=n_second,
        difference=observed,
        p=p,
        least_p=smallest,
        exact=exact,
        session_sd=spread,
        power=power,
        effect=effect,
        statement=_statement(n_first, n_second, p, smallest, spread, power, effect),
    )


def design_power(
    n_first: int,
    n_second: int,
    *,
    sd: float,
    effect: float,
    n_series: int = 4000,
    seed: int = 0,
) -> float:
    """Return how often a series of sessions gives p below .05.

    Parameters
    ----------
    n_first, n_second : int
        Sessions of either kind.
    sd : float
        Of sessions of one kind, normal and independent, above 0.
    effect : float
        Difference of means.
    n_series : int
        Simulated series; 4000 give the power to within 2 points.
    seed : int
        Of the simulation.

    Raises
    ------
    AnalysisError
        Not two kinds of sessions, or an `sd` that is not above 0.
    """
    if not (sd > 0.0 and math.isfinite(sd) and math.isfinite(effect)):
        raise AnalysisError(f"standard deviation {sd} of a session: must be more than 0")
    if least_p(n_first, n_second) >= ALPHA:
        return 0.0
    rng = np.random.default_rng(seed)
    n_orders = math.comb(n_first + n_second, n_first)
    whole = n_orders <= POWER_MAX_ORDERS
    weights = _orders(n_first, n_second) if whole else _sampled(n_first, n_second, rng, 4999)
    series = rng.normal(0.0, sd, (n_series, n_first + n_second))
    series[:, :n_first] += effect
    seen = np.abs(series[:, :n_first].mean(axis=1) - series[:, n_first:].mean(axis=1))
    hits = 0
    for start in range(0, n_series, 200):
        block = slice(start, start + 200)
        at_least = np.sum(
            np.abs(series[block] @ weights.T) >= seen[block, None] * (1.0 - 1e-12), axis=1
        )
        extra = 0 if whole else 1
        hits += int(np.sum((at_least + extra) / (weights.shape[0] + extra) < ALPHA))
    return hits / n_series


def _orders(n_first: int, n_second: int) -> Array:
    """Weights of the difference of means under every order, one a row."""
    n = n_first + n_second
    chosen = np.array(list(combinations(range(n), n_first)))
    weights = np.full((chosen.shape[0], n), -1.0 / n_second)
    np.put_along_axis(weights, chosen, 1.0 / n_first, axis=1)
    return weights


def _sampled(
    n_first: int, n_second: int, rng: np.random.Generator, count: int = SAMPLED_ORDERS
) -> Array:
    """The same under orders drawn at random."""
    one = np.concatenate([np.full(n_first, 1.0 / n_first), np.full(n_second, -1.0 / n_second)])
    return rng.permuted(np.tile(one, (count, 1)), axis=1)


def _rounding(values: Array) -> float:
    """What sums of the same numbers in another order differ by."""
    return 1e-12 * (1.0 + float(np.abs(values).max()))


def _pooled_sd(first: Array, second: Array) -> float | None:
    free = first.size + second.size - 2
    if free < 1:
        return None
    squares = np.sum((first - first.mean()) ** 2) + np.sum((second - second.mean()) ** 2)
    return float(np.sqrt(squares / free))


def _statement(
    n_first: int,
    n_second: int,
    p: float,
    smallest: float,
    spread: float | None,
    power: float | None,
    effect: float,
) -> str:
    """What may be said, in words."""
    count = f"{n_first} against {n_second} sessions"
    if smallest >= ALPHA:
        return (
            f"{count} can never reach p < .05: the smallest possible p is {smallest:.2g}, "
            f"whatever the data. Read the difference as a description"
        )
    told = f"{count}: p = {p:.3g}, the smallest possible {smallest:.2g}"
    if power is None or spread is None:
        return f"{told}; how likely an effect would be seen cannot be said from these sessions"
    return (
        f"{told}. With the spread of these sessions (SD {spread:.2g}) an effect of {effect:.2g} "
        f"would be seen in {100.0 * power:.0f} % of such series"
    )
