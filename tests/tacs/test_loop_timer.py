"""Percentiles of a loop's periods, against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from tacs.loop_timer import LoopTimer


def test_percentiles_are_right_to_the_width_of_a_bin():
    rng = np.random.default_rng(1)
    periods_s = 0.02 + rng.exponential(0.002, 20_000)
    timer, now_s = LoopTimer(), 0.0
    timer.round(0.0, 0.0)
    for period_s in periods_s:
        now_s += period_s
        timer.round(now_s - 0.001, now_s)
    found = timer.to_dict()
    assert found["rounds"] == 20_001
    for name, percent in (("p50", 50), ("p99", 99), ("p99.9", 99.9)):
        exact_ms = 1e3 * np.percentile(periods_s, percent)
        assert found["period_ms"][name] == pytest.approx(exact_ms, rel=0.025)
    assert found["period_ms"]["max"] == pytest.approx(1e3 * periods_s.max(), abs=1e-3)
    assert found["late_ms"]["p50"] == pytest.approx(1.0, rel=0.025)


def test_a_loop_that_is_never_late_and_one_that_stalls():
    timer = LoopTimer()
    for at_s in (0.0, 0.02, 0.04):
        timer.round(at_s, at_s)
    assert timer.to_dict()["late_ms"] == {"p50": 0.0, "p99": 0.0, "p99.9": 0.0, "max": 0.0}
    timer.round(0.06, 1000.0)
    assert timer.to_dict()["late_ms"]["max"] == pytest.approx(999_940.0)


def test_an_empty_timer_has_nothing_to_say():
    assert LoopTimer().to_dict()["rounds"] == 0
