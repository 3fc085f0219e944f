"""Power over the time after a session: bins, their intervals, and the fading."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from analysis.decay import fit_decay
from analysis.errors import AnalysisError, UnusableRecording
from analysis.figures_course import plot_time_course
from analysis.outcome import compare
from analysis.timecourse import Later, TimeCourse, bin_edges_s, time_course
from tests.analysis.made_outcome import made_raw, made_series, made_uv

FEW = ("P3", "P4", "O1", "O2")


def _course(
    seed: int, minutes: float, w0: float, tau_s: float = 1200.0, *, cut: tuple[float, ...] = ()
) -> TimeCourse:
    """Course of a made series that fades; `cut` gives minutes where a new recording begins."""
    rng = np.random.default_rng(seed)
    power, starts_s = made_series(rng, 300.0, 3.0, sd=0.3)
    after, later_s = made_series(rng, 60.0 * minutes, 3.0, sd=0.3)
    after = after * (1.0 + w0 * np.exp(-later_s / tau_s))
    edges = [0, *(int(np.searchsorted(later_s, 60.0 * at)) for at in cut), later_s.size]
    return time_course(
        Later("before", starts_s, power),
        [
            Later(f"part {first}", later_s[first:last], after[first:last])
            for first, last in pairwise(edges)
        ],
        window_s=4.0,
        step_s=2.0,
        n_bootstrap=500,
    )


def test_bins_follow_the_clinical_windows_or_are_finer() -> None:
    assert bin_edges_s(3.0, 82.0) == ()
    assert bin_edges_s(3.0, 183.0) == tuple(3.0 + 30.0 * step for step in range(7))
    assert np.diff(bin_edges_s(0.0, 600.0)) == pytest.approx(60.0)
    assert [edge / 60.0 for edge in bin_edges_s(3.0, 5400.0)[:7]] == [0, 3, 10, 20, 30, 60, 90]
    assert bin_edges_s(0.0, 15000.0)[-1] >= 15000.0


def test_a_fading_effect_is_found_with_its_time_constant() -> None:
    held_w, held_tau, band, pointwise = 0, 0, 0, []
    for seed in range(8):
        found = _course(seed, 90.0, 0.6)
        assert found.decay.identified, found.decay.reason
        assert found.decay.w0_interval is not None
        assert found.decay.tau_interval_s is not None
        held_w += found.decay.w0_interval[0] <= 0.6 <= found.decay.w0_interval[1]
        low_s, high_s = found.decay.tau_interval_s
        held_tau += high_s is not None and low_s <= 1200.0 <= high_s
        truth = [
            np.log(np.mean(1.0 + 0.6 * np.exp(-np.arange(one.from_s, one.to_s - 2.0, 2.0) / 1200)))
            for one in found.bins
        ]
        inside = [
            one.simultaneous_ln[0] <= true <= one.simultaneous_ln[1]
            for one, true in zip(found.bins, truth, strict=True)
        ]
        band += all(inside)
        pointwise += [
            one.interval_ln[0] <= true <= one.interval_ln[1]
            for one, true in zip(found.bins, truth, strict=True)
        ]
        for one in found.bins:
            assert one.simultaneous_ln[0] <= one.interval_ln[0] < one.ln_ratio
            assert one.ln_ratio < one.interval_ln[1] <= one.simultaneous_ln[1]
        assert [round(one.from_s / 60.0) for one in found.bins] == [0, 3, 10, 20, 30, 60]
    # Fewer than 6 of 8 come by chance with probability .006 where 95 % hold the truth.
    least = int(binom.ppf(0.01, 8, 0.95))
    assert held_w >= least
    assert held_tau >= least
    assert band >= 7
    assert np.mean(pointwise) >= 0.9


def test_no_effect_has_no_time_constant() -> None:
    found = [_course(100 + seed, 45.0, 0.0) for seed in range(8)]
    assert sum(one.decay.identified for one in found) <= 1
    silent = next(one.decay for one in found if "too small" in str(one.decay.reason))
    assert silent.w0 is None
    assert silent.tau_s is None
    assert "likelihood ratio" in str(silent.reason)


def test_an_effect_that_does_not_fade_has_a_lower_bound_alone() -> None:
    times = [np.arange(60.0 * low, 60.0 * (low + 3), 2.0) for low in (0, 5, 15, 25, 40, 55)]
    covariance = np.diag(np.full(6, 0.03**2)) + 0.02**2
    found = fit_decay(times, np.full(6, np.log(1.4)), covariance)
    assert not found.identified
    assert found.tau_s is None
    assert found.w0 == pytest.approx(0.4, abs=0.05)
    assert found.tau_interval_s is not None
    assert found.tau_interval_s[0] > 3600.0
    assert found.tau_interval_s[1] is None
    assert "no fading is shown within 58 min" in str(found.reason)


def test_exact_bins_give_the_exact_parameters() -> None:
    times = [np.arange(60.0 * low, 60.0 * (low + 3), 2.0) for low in (0, 5, 15, 25, 40, 60, 90)]
    exact = np.log([np.mean(1.0 - 0.4 * np.exp(-one / 1500.0)) for one in times])
    drift = 0.002 / 60.0 * np.array([one.mean() for one in times])
    covariance = np.diag(np.full(7, 0.004**2))
    found = fit_decay(times, exact, covariance)
    assert found.w0 == pytest.approx(-0.4, abs=0.005)
    assert found.tau_s == pytest.approx(1500.0, rel=0.03)
    drifted = fit_decay(times, exact + drift, covariance, drift=True)
    assert drifted.drift_ln_per_min == pytest.approx(0.002, abs=2e-4)
    assert drifted.drift_interval is not None
    assert drifted.drift_interval[0] < 0.002 < drifted.drift_interval[1]
    assert drifted.tau_s == pytest.approx(1500.0, rel=0.1)
    poor = fit_decay(times, exact + np.array([0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1]), covariance)
    assert not poor.identified
    assert "does not follow an exponential" in str(poor.reason)


def test_too_few_bins_or_minutes_are_not_fitted() -> None:
    found = _course(1, 6.0, 0.6)
    assert len(found.bins) == 6
    assert "4 bins over 20 min are the least" in str(found.decay.reason)
    none = _course(1, 1.0, 0.6)
    assert none.bins == ()
    assert "no course" in str(none.reason)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["decay"]["tau_min"] is None
    assert {"from_min", "ci95_percent", "ci95_simultaneous_percent"} <= set(told["bins"][0])
    assert "sham" in told["caution"]


def test_several_recordings_are_one_course_and_may_not_overlap() -> None:
    whole, parts = _course(3, 60.0, 0.6), _course(3, 60.0, 0.6, cut=(12.0, 40.0))
    assert [one.to_dict() for one in parts.bins] == [one.to_dict() for one in whole.bins]
    series = Later("a", np.arange(0.0, 600.0, 2.0), np.ones(300))
    late = Later("b", np.arange(500.0, 900.0, 2.0), np.ones(200))
    with pytest.raises(AnalysisError, match="check the minutes"):
        time_course(series, [series, late], window_s=4.0, step_s=2.0)


def _raw(seed: int, seconds: float, **more: Any) -> Any:
    return made_raw(made_uv(seed, duration_s=seconds, channels=FEW, **more), 160.0, FEW)


def test_compare_takes_later_recordings_on_the_clock_of_the_session() -> None:
    pre, post, late = _raw(1, 90.0), _raw(2, 120.0, alpha_uv=11.0), _raw(3, 60.0)
    given = {"peak_hz": 10.0, "n_bootstrap": 200, "after_s": 60.0}
    found = compare(pre, post, later=[(late, 1500.0)], **given)
    course = found.time_course
    assert course.start_known
    assert course.channels == FEW
    # The whole recordings, not the stretch compared: 0-3 and 20-30 min are covered.
    assert [round(one.from_s) for one in course.bins] == [63, 1503]
    assert course.bins[0].to_s == pytest.approx(179.0, abs=2.0)
    assert course.bins[0].ln_ratio > course.bins[1].ln_ratio
    assert "4 bins" in str(course.decay.reason)
    assert not any("fading" in text for text in found.warnings)
    late.info["bads"] = ["O1"]
    less = compare(pre, post, later=[(late, 1500.0)], **given)
    assert less.time_course.channels == ("P3", "P4", "O2")
    assert less.power.raw.ln_ratio == found.power.raw.ln_ratio
    assert any("course over time without O1" in text for text in less.warnings)
    with pytest.raises(AnalysisError, match="check the minutes"):
        compare(pre, post, later=[(late, 120.0)], **given)
    with pytest.raises(AnalysisError, match="0 or more seconds"):
        compare(pre, post, later=[(late, -1.0)], **given)
    with pytest.raises(UnusableRecording, match="the recording at 25 min"):
        compare(pre, post, later=[(late.copy().crop(0.0, 10.0), 1500.0)], **given)
    title = plot_time_course(found).axes[0].get_title()
    assert title.startswith("8.0-12.0 Hz power over time, 4 channels")


def test_a_short_recording_has_no_course_and_its_figure_says_so() -> None:
    found = compare(_raw(5, 40.0), _raw(6, 40.0), peak_hz=10.0, n_bootstrap=200)
    assert found.time_course.bins == ()
    assert "No course over time" in plot_time_course(found).texts[0].get_text()
    assert found.to_dict()["time_course"]["caution"] is None
