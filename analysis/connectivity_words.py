"""What is said of a connectivity change, so that power alone is never called connectivity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.metric_change import MetricChange
    from analysis.pairwise import PairwiseChange
    from analysis.snr_matching import SnrMatch
    from analysis.statistics import Direction


def note_of(power_ln_ratio: float, match: SnrMatch) -> str:
    """How to read a connectivity change beside this power change.

    Parameters
    ----------
    power_ln_ratio : float
        Change of band power in the epochs compared.
    match : SnrMatch
        The match, or why there is none.
    """
    text = (
        f"band power changed by {100.0 * math.expm1(power_ln_ratio):+.0f} % in the same epochs; "
        "connectivity estimates rise with power even when coupling stays the same"
    )
    if match.reason is None and match.ln_ratio is not None:
        return (
            f"{text}, so read the power-matched change, in which the rhythm stands equally far "
            f"above the background (as recorded {100.0 * math.expm1(match.ln_ratio):+.0f} %)"
        )
    return f"{text}, and this could not be taken out: {match.reason}"


def summary_of(
    band_hz: tuple[float, float],
    power_ln_ratio: float,
    metrics: Mapping[str, MetricChange],
    direction: Direction,
    match: SnrMatch,
) -> str:
    """One plain sentence on connectivity.

    Parameters
    ----------
    band_hz : (float, float)
        Band.
    power_ln_ratio : float
        Change of band power in the epochs compared.
    metrics : mapping of str to MetricChange
        The measures.
    direction : {"increase", "decrease", "none", "undetermined"}
        Of the primary measures together.
    match : SnrMatch
        The match, or why there is none.
    """
    band = f"{band_hz[0]:.1f}-{band_hz[1]:.1f} Hz"
    primary = [one for one in metrics.values() if one.primary] or list(metrics.values())
    moved = [one for one in primary if one.ci95_change[0] > 0.0 or one.ci95_change[1] < 0.0]
    power = f"power changed by {100.0 * math.expm1(power_ln_ratio):+.0f} %"
    if match.reason is not None:
        if moved:
            return (
                f"Mean connectivity at {band} is undetermined: {_listed(moved)} moved, but {power} "
                f"and its share in this cannot be taken out ({match.reason})."
            )
        return f"Mean connectivity at {band} is undetermined: {match.reason}."
    if direction in ("increase", "decrease"):
        called = [one for one in primary if one.direction == direction]
        values = ", ".join(f"{one.title} {_interval(one)}" for one in called)
        word = "more" if direction == "increase" else "less"
        return (
            f"Mean connectivity at {band} was {word} after than before at equal signal-to-noise "
            f"ratio ({values}); {power}."
        )
    told = "; ".join(f"{one.title} {_interval(one)}" for one in primary)
    if moved:
        return (
            f"Mean connectivity at {band} is not shown to have changed: {_listed(moved)} moved as "
            f"recorded, but not at equal signal-to-noise ratio ({told}), and {power}."
        )
    if direction == "none":
        return (
            f"Mean connectivity at {band} shows no change worth having at equal signal-to-noise "
            f"ratio ({told})."
        )
    return (
        f"Mean connectivity at {band} is undetermined: the change at equal signal-to-noise ratio "
        f"is too uncertain to tell ({told})."
    )


def with_pairs(summary: str, pairs: PairwiseChange) -> str:
    """Summary with the pairs that changed.

    Parameters
    ----------
    summary : str
        Of the mean over pairs.
    pairs : PairwiseChange
        The test of all pairs.
    """
    if not pairs.found:
        return summary
    changed = len({one.channels for one in pairs.found})
    first = pairs.found[0]
    word = "pair" if changed == 1 else "pairs"
    return (
        f"{summary[:-1]}; {changed} {word} of {pairs.n_pairs} changed at equal signal-to-noise "
        f"ratio, corrected for all of them, most {'-'.join(first.channels)}."
    )


def _interval(one: MetricChange) -> str:
    """Matched change with its corrected interval."""
    if one.matched_change is None or one.corrected_matched_change is None:
        return "not matched"
    low, high = one.corrected_matched_change
    return f"{one.matched_change:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}"


def _listed(metrics: list[MetricChange]) -> str:
    """Titles in words."""
    return " and ".join(one.title for one in metrics)
