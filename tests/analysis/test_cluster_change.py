"""When the cluster test is asked, and what it says of a planted change."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import binom

from analysis.cluster_change import ClusterChange, cluster_change
from analysis.pairing import make_pair as prepare
from analysis.power import measure
from analysis.power_change import compare_power
from benchmarks.made_pairs import CHANNELS, PairCase, make_pair

BAND_HZ = (7.5, 12.5)
REGION = ("P3", "P4", "O1", "O2")


def _found(seed: int, *, barred: str | None = None, **case: Any) -> ClusterChange:
    made = make_pair(PairCase(seed, **{"duration_s": 150.0, "sfreq_hz": 100.0, **case}))
    pair = prepare(made.before, made.after)
    rows = [CHANNELS.index(name) for name in REGION]
    sides = (
        measure(pair.before_uv, 100.0, rows, BAND_HZ, bad=pair.bad_before),
        measure(pair.after_uv, 100.0, rows, BAND_HZ, bad=pair.bad_after),
    )
    power = compare_power(*sides, pair.channels, REGION, BAND_HZ, n_bootstrap=200)
    return cluster_change(pair, power, sides, barred=barred, n_permutations=200)


@pytest.mark.parametrize(("ratio", "direction"), [(2.5, "increase"), (0.4, "decrease")])
def test_a_planted_change_is_found_in_its_place(ratio: float, direction: str) -> None:
    asked = [_found(seed, alpha_ratio=ratio) for seed in (1, 2, 3)]
    asked = [one for one in asked if one.reason is None]
    assert asked, "all three were declined"
    for one in asked:
        first = one.clusters[0]
        assert first.direction == direction
        assert first.p < 0.05
        assert {"O1", "O2", "P3", "P4"} <= set(first.channels)
        assert first.high_hz > 8.5
        assert first.low_hz < 11.5
        assert first.high_hz - first.low_hz < 12.0
        assert direction in one.text


def test_without_a_change_clusters_are_rare() -> None:
    n = 24
    found = [_found(100 + seed, duration_s=110.0) for seed in range(n)]
    asked = [one for one in found if one.reason is None]
    hits = sum(bool(one.clusters) for one in asked)
    assert hits <= binom.isf(1e-3, len(asked), 0.05)
    # Declined where it need not be: about one in eight.
    assert len(asked) >= binom.ppf(1e-3, n, 0.8)


def test_slow_fluctuation_declines() -> None:
    n = 10
    found = [_found(seed, tau_s=40.0) for seed in range(n)]
    declined = [one for one in found if one.reason is not None]
    assert len(declined) >= binom.ppf(1e-3, n, 0.9)
    assert all("slowly" in str(one.reason) for one in declined)
    assert all(one.p_smallest is None and not one.clusters for one in declined)


def test_too_few_blocks_decline() -> None:
    found = _found(5, duration_s=70.0)
    assert found.reason is not None
    assert "blocks" in found.reason or "slowly" in found.reason
    assert found.to_dict()["clusters"] == []


def test_a_reason_found_elsewhere_declines() -> None:
    assert _found(6, barred="declined: a line").reason == "declined: a line"
