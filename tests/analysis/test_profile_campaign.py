"""The campaign on virtual patients: what it counts, and that it runs with a few."""

from __future__ import annotations

import json

import numpy as np
import pytest

campaign = pytest.importorskip("benchmarks.profile", reason="benchmarks are not here")


def test_a_share_has_its_interval_and_an_open_end_holds_its_side() -> None:
    told = campaign.share([True] * 57 + [False] * 3)
    assert told["share"] == 0.95
    assert told["ci95"] == pytest.approx([0.863, 0.983], abs=0.001)  # Wilson, 57 of 60
    assert campaign.words(told) == "57 of 60 (95 %, 86 to 98)"
    assert campaign.words(campaign.share([])) == "0 of 0"
    assert campaign.holds((9.0, 11.0), 10.0)
    assert not campaign.holds((9.0, 11.0), 11.1)
    assert campaign.holds((9.0, None), 99.0)
    assert not campaign.holds((9.0, None), 8.0)


def test_the_interval_of_a_root_mean_square_holds_it() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        low, high = campaign.rms_ends(campaign.rms(rng.standard_normal(20).tolist()), 20)
        held += low < 1.0 < high
    assert 0.92 < held / 400 < 0.98


def test_two_patients_with_the_stimulator_off_go_through_the_campaign() -> None:
    out = campaign.run(["off"], 2, 100)["off"]
    assert out["no_response"]["of"] == 2
    assert out["holds_zero"]["of"] == 18
    assert out["no_response"]["count"] == sum(p >= 0.05 for p in out["p"]) == 2
    json.dumps(out, allow_nan=False)
