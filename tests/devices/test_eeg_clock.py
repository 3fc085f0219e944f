"""Samples in time: rate, drift, jitter and gaps of streams whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.eeg_clock import Run, SampleClock

RATE_HZ = 500.0
CHUNK = 10


def played(
    seconds: float,
    *,
    ppm: float = 0.0,
    jitter_s: float = 0.0,
    gaps: dict[int, int] | None = None,
    start_s: float = 1000.0,
    **options: bool,
) -> tuple[SampleClock, list[Run], np.ndarray]:
    """Feed chunks, each stamped at once and late by chance; the truth is in the last answer."""
    rng = np.random.default_rng(7)
    clock = SampleClock(RATE_HZ, **options)
    runs, truth_s, lost = [], [], 0
    for chunk in range(round(seconds * RATE_HZ / CHUNK)):
        lost += (gaps or {}).get(chunk, 0)
        k = chunk * CHUNK + lost + np.arange(CHUNK)
        true_s = start_s + k / (RATE_HZ * (1.0 + ppm * 1e-6))
        # As liblsl has it: one stamp for the chunk, the others counted back from it.
        stamps_s = true_s[-1] - np.arange(CHUNK - 1, -1, -1) / RATE_HZ
        runs += clock.place(stamps_s + jitter_s * rng.standard_normal())
        truth_s.append(true_s)
    return clock, runs, np.concatenate(truth_s)


def test_regular_stamps_are_kept():
    clock, runs, truth_s = played(30.0)
    times_s = np.concatenate([run.times_s for run in runs])
    np.testing.assert_allclose(times_s, truth_s, atol=1e-9)
    assert (clock.n_samples, clock.n_missing, clock.n_gaps, clock.n_restarts) == (15000, 0, 0, 0)
    assert clock.next_index == 15000
    assert clock.measured_hz == pytest.approx(RATE_HZ, abs=1e-9)
    assert clock.jitter_s == pytest.approx(0.0, abs=1e-9)
    assert clock.smallest_gap_s == pytest.approx(0.5 / RATE_HZ)


def test_what_is_not_known_yet_is_not_said():
    clock, _, _ = played(1.0)
    assert math.isnan(clock.jitter_s)
    assert math.isnan(clock.drift_ppm)
    assert clock.smallest_gap_s == pytest.approx(0.1)


@pytest.mark.parametrize("ppm", [-80.0, 0.0, 150.0])
def test_drift_and_jitter_are_measured(ppm: float):
    clock, runs, truth_s = played(300.0, ppm=ppm, jitter_s=0.004)
    assert clock.drift_ppm == pytest.approx(ppm, abs=10.0)
    assert clock.jitter_s == pytest.approx(0.004, rel=0.1)
    assert clock.n_gaps == 0
    times_s = np.concatenate([run.times_s for run in runs])
    late = truth_s > truth_s[0] + 60.0
    assert np.std((times_s - truth_s)[late]) < 0.0002  # of stamps that are 4 ms about
    assert np.abs((times_s - truth_s)[late]).max() < 0.001


@pytest.mark.parametrize("missing", [1, 2, 7, 50, 5000])
def test_regular_stamps_show_every_missing_sample(missing: int):
    clock, runs, truth_s = played(10.0, ppm=40.0, gaps={300: missing})
    assert clock.n_missing == missing
    assert [(run.first, run.missing) for run in runs if run.missing] == [(3000 + missing, missing)]
    (gap,) = clock.gaps
    assert gap.n_samples == missing
    assert gap.at_s == pytest.approx(truth_s[2999] + 1.0 / RATE_HZ, abs=1e-4)
    times_s = np.concatenate([run.times_s for run in runs])
    np.testing.assert_allclose(times_s, truth_s, atol=2e-4)


@pytest.mark.parametrize("missing", [50, 500, 5000])
def test_jittering_stamps_show_dropouts(missing: int):
    clock, _, _ = played(120.0, jitter_s=0.003, gaps={3000: missing})
    (gap,) = clock.gaps
    assert gap.n_samples == pytest.approx(missing, abs=5)  # 3 ms are 1.5 samples
    assert clock.smallest_gap_s == pytest.approx(0.05)
    assert clock.drift_ppm == pytest.approx(0.0, abs=60.0)


def test_what_jitter_hides_is_said():
    clock, _, _ = played(60.0, jitter_s=0.012, gaps={2000: 5})
    assert clock.n_gaps == 0
    assert clock.smallest_gap_s == pytest.approx(6 * 0.012, rel=0.15)


def test_a_gap_inside_what_came_at_once():
    clock = SampleClock(RATE_HZ)
    for first in range(0, 1500, 50):
        clock.place(np.arange(first, first + 50) / RATE_HZ)
    stamps = np.array([*range(1500, 1510), *range(1530, 1560)]) / RATE_HZ
    one, two = clock.place(stamps)
    assert (one.start, one.stop, one.first, one.missing) == (0, 10, 1500, 0)
    assert (two.start, two.stop, two.first, two.missing) == (10, 40, 1530, 20)


def test_time_that_jumps_back_begins_anew():
    clock = SampleClock(RATE_HZ)
    for second in range(10):
        clock.place(second + np.arange(500) / RATE_HZ)
    (run,) = clock.place(3.0 + np.arange(500) / RATE_HZ)
    assert run.restarted
    assert (run.first, run.missing) == (5000, 0)
    assert run.times_s[0] > 9.998  # never back, whatever the source says
    assert clock.n_restarts == 1
    assert clock.gaps[0].n_samples == 0


def test_nothing_is_missing_from_a_stream_that_loses_nothing():
    rng = np.random.default_rng(3)
    clock = SampleClock(RATE_HZ, lossless=True)
    late_s = np.abs(0.005 * rng.standard_normal(6000))
    late_s[3000:3050] += np.arange(1.0, 0.0, -0.02)  # a stall of a second, then all at once
    for chunk, delay_s in enumerate(late_s):
        clock.place((chunk * CHUNK + np.arange(CHUNK)) / RATE_HZ + delay_s)
    assert (clock.n_gaps, clock.n_missing, clock.n_restarts) == (0, 0, 0)
    assert clock.smallest_gap_s == math.inf
    assert clock.drift_ppm == pytest.approx(0.0, abs=30.0)


def test_a_stream_that_was_stopped_for_long_begins_anew():
    clock = SampleClock(RATE_HZ, lossless=True)
    for first in range(0, 20000, 50):
        clock.place(np.arange(first, first + 50) / RATE_HZ + (60.0 if first >= 5000 else 0.0))
    assert clock.n_restarts == 1
    assert clock.n_missing == 0


def test_nothing_comes_too_soon():
    clock = SampleClock(RATE_HZ, lossless=True)
    clock.place(np.arange(50) / RATE_HZ + 0.8)  # the first bytes had waited
    for first in range(50, 5000, 50):
        (run,) = clock.place(np.arange(first, first + 50) / RATE_HZ)
        assert not run.restarted
    assert clock.n_restarts == 0
    assert run.times_s[-1] == pytest.approx(4999 / RATE_HZ, abs=1e-6)


@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8).map(np.array), min_size=1, max_size=8
    ),
    st.booleans(),
)
def test_whatever_the_stamps_time_goes_on(stamps: list[np.ndarray], lossless: bool):
    clock = SampleClock(250.0, lossless=lossless)
    runs = [run for part in stamps for run in clock.place(part)]
    times_s = np.concatenate([run.times_s for run in runs])
    assert np.isfinite(times_s).all()
    assert (np.diff(times_s) > 0.0).all()
    assert len(times_s) == sum(map(len, stamps)) == clock.n_samples
    firsts = [run.first for run in runs]
    assert firsts == sorted(firsts)
    assert clock.next_index == clock.n_samples + clock.n_missing
