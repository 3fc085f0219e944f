"""What stimulation leaves behind, against its closed form."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.aftereffect import AfterEffect, AfterEffectTruth
from devices.delivered import sine_current
from tacs.errors import InputError


def effect_after(
    duration_s: float,
    current_peak_ma: float = 1.0,
    frequency_hz: float = 10.0,
    eyes: str = "open",
    sfreq_hz: float = 1000.0,
) -> float:
    """Return w at the end of one train on a 10 Hz rhythm of 1 Hz width."""
    effect = AfterEffect(AfterEffectTruth(), 10.0, 1.0)
    trace = sine_current(duration_s, current_peak_ma, frequency_hz, sfreq_hz=sfreq_hz)
    effect.feed(trace.samples_ma, sfreq_hz, 0.0, eyes)
    return effect.at(duration_s)


@pytest.mark.parametrize(("minutes", "w"), [(5, 0.085), (10, 0.162), (20, 0.300), (40, 0.515)])
def test_growth_follows_the_closed_form(minutes: int, w: float) -> None:
    assert AfterEffectTruth().grown(60.0 * minutes) == pytest.approx(w, abs=0.0006)
    assert effect_after(60.0 * minutes) == pytest.approx(w, abs=0.0008)


@pytest.mark.parametrize(("minutes", "w"), [(10, 0.254), (30, 0.182), (70, 0.093)])
def test_fading_follows_the_closed_form(minutes: int, w: float) -> None:
    effect = AfterEffect(AfterEffectTruth(), 10.0, 1.0)
    effect.feed(sine_current(1200.0, 1.0, 10.0).samples_ma, 1000.0, 0.0, "open")
    assert effect.at(1200.0 + 60.0 * minutes) == pytest.approx(w, abs=0.0008)
    assert AfterEffectTruth().faded(0.300, 60.0 * minutes) == pytest.approx(w, abs=0.0006)


@pytest.mark.parametrize(
    ("frequency_hz", "share"), [(10.0, 1.0), (10.5, 0.5), (9.5, 0.5), (11.0, 0.2), (12.0, 1 / 17)]
)
def test_mismatch_follows_the_spectral_line(frequency_hz: float, share: float) -> None:
    assert effect_after(300.0, frequency_hz=frequency_hz) == pytest.approx(
        share * effect_after(300.0), rel=0.01
    )


@pytest.mark.parametrize(("current_peak_ma", "share"), [(0.25, 0.25), (0.5, 0.5), (2.0, 1.0)])
def test_dose_grows_up_to_saturation(current_peak_ma: float, share: float) -> None:
    assert effect_after(300.0, current_peak_ma) == pytest.approx(
        share * effect_after(300.0), rel=0.005
    )


def test_eyes_closed_leaves_little() -> None:
    assert effect_after(300.0, eyes="closed") == pytest.approx(0.075 * effect_after(300.0))


def test_direct_current_and_noise_leave_nothing_much() -> None:
    effect = AfterEffect(AfterEffectTruth(), 10.0, 1.0)
    effect.feed(np.full(300_000, 1.0), 1000.0, 0.0, "open")
    assert effect.at(300.0) == pytest.approx(0.0, abs=1e-12)
    noise_ma = np.random.default_rng(0).normal(0.0, 0.5, 300_000)
    effect.feed(noise_ma, 1000.0, 300.0, "open")
    assert effect.at(600.0) < 0.02 * effect_after(300.0)


@pytest.mark.parametrize(
    ("train_s", "share"), [(1.0, 0.0), (3.0, 0.0), (4.9, 0.0), (5.2, 1.0), (8.0, 1.0), (30.0, 1.0)]
)
def test_only_trains_of_five_seconds_count(train_s: float, share: float) -> None:
    effect = AfterEffect(AfterEffectTruth(), 10.0, 1.0)
    train_ma = sine_current(train_s, 1.0, 10.0).samples_ma
    cycle_ma = np.concatenate([np.zeros(1500), train_ma, np.zeros(1500)])
    effect.feed(np.tile(cycle_ma, 10), 1000.0, 0.0, "open")
    expected = share * AfterEffectTruth().grown(10.0 * train_s)
    assert effect.at(len(cycle_ma) * 10e-3) == pytest.approx(expected, rel=0.03, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 19_999), max_size=12, unique=True),
    off_s=st.floats(0.2, 3.0),
    sfreq_hz=st.sampled_from([1000.0, 2500.0]),
)
def test_how_a_trace_is_cut_does_not_matter(cuts, off_s: float, sfreq_hz: float) -> None:
    trace_ma = np.concatenate(
        [
            sine_current(8.0, 1.0, 10.2, ramp_s=1.0, sfreq_hz=sfreq_hz).samples_ma,
            np.zeros(round(off_s * sfreq_hz)),
            sine_current(12.0, 1.0, 10.2, sfreq_hz=sfreq_hz).samples_ma,
        ]
    )
    parts = AfterEffect(AfterEffectTruth(), 10.0, 1.0)
    edges = [0, *sorted(cuts), len(trace_ma)]
    for low, high in itertools.pairwise(edges):
        parts.feed(trace_ma[low:high], sfreq_hz, low / sfreq_hz, "open")
    # 19 s of full current at 0.2 Hz from the peak. Up to half a second of a train may be misjudged
    # where a short piece on a ramp is read with the second before it.
    truth = AfterEffectTruth()
    exact = truth.grown(19.0) / (1.0 + 0.4**2)
    assert parts.at(len(trace_ma) / sfreq_hz) == pytest.approx(exact, abs=truth.grown(0.6))


@pytest.mark.parametrize("chunk", [7, 50, 333])
def test_small_chunks_of_a_live_trace_count_alike(chunk: int) -> None:
    trace_ma = sine_current(20.0, 0.8, 10.3).samples_ma
    whole = AfterEffect(AfterEffectTruth(), 10.0, 1.0)
    whole.feed(trace_ma, 1000.0, 0.0, "open")
    parts = AfterEffect(AfterEffectTruth(), 10.0, 1.0)
    for low in range(0, len(trace_ma), chunk):
        parts.feed(trace_ma[low : low + chunk], 1000.0, low / 1000.0, "open")
    assert parts.at(20.0) == pytest.approx(whole.at(20.0), rel=0.01)


@pytest.mark.parametrize(
    "changes", [{"tau_s": 0.0}, {"gain_20min": -0.1}, {"saturation_ma": math.nan}]
)
def test_bad_parameters_are_refused(changes) -> None:
    with pytest.raises(InputError, match="after-effect"):
        AfterEffectTruth(**changes)
