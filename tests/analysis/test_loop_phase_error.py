"""Phase read afterwards, against a known truth; and the rule that ends a loop which misses it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.loop_phase_error import PERIODS, PhaseErrors, phase_afterwards
from analysis.loop_terms import wrapped

FS = 250.0
T = 100.0 + np.arange(round(4.0 * FS)) / FS


def sine(hz: float, phase_rad: float, at_s: float) -> np.ndarray:
    return 10.0 * np.cos(2.0 * np.pi * hz * (T - at_s) + phase_rad)


@pytest.mark.parametrize("phase_rad", [-3.1, -1.0, 0.0, 1.5708, 3.0])
@pytest.mark.parametrize("at_s", [101.5, 102.0021, 102.7])
def test_the_phase_of_a_sine_is_read_to_a_degree_at_any_instant(phase_rad, at_s):
    drift = 200.0 + 30.0 * (T - 100.0)
    found = phase_afterwards(sine(10.0, phase_rad, at_s) + drift, T, at_s, 10.0)
    assert abs(math.degrees(wrapped(found - phase_rad))) < 1.0
    # A frequency that is half a hertz off turns nothing: the window is the same on either side.
    off = phase_afterwards(sine(10.5, phase_rad, at_s), T, at_s, 10.0)
    assert abs(math.degrees(wrapped(off - phase_rad))) < 1.0


def test_what_does_not_cover_the_window_or_holds_an_artefact_is_not_read():
    signal, half_s = sine(10.0, 0.0, 102.0), PERIODS / 10.0
    assert math.isfinite(phase_afterwards(signal, T, 100.0 + half_s, 10.0))
    assert math.isnan(phase_afterwards(signal, T, 100.0 + 0.8 * half_s, 10.0))
    assert math.isnan(phase_afterwards(signal, T, T[-1] - 0.8 * half_s, 10.0))
    hole = (T < 101.95) | (T > 102.05)
    broken = np.where(hole, signal, np.nan)
    assert math.isnan(phase_afterwards(broken, T, 102.0, 10.0))
    pulse = signal + np.where(np.abs(T - 102.1) < 0.002, 300.0, 0.0)
    assert math.isnan(phase_afterwards(pulse, T, 102.0, 10.0, max_step_uv=50.0))
    assert math.isfinite(phase_afterwards(signal, T, 102.0, 10.0, max_step_uv=50.0))
    assert math.isnan(phase_afterwards(np.zeros_like(T), T, 102.0, 10.0))


def test_the_value_is_that_of_the_latest_errors():
    errors = PhaseErrors(0.5, 10)
    for _ in range(9):
        errors.add(3.0)
    assert not errors.full
    assert not errors.lost
    errors.add(3.0)
    assert errors.plv == pytest.approx(1.0)
    for i in range(10):
        errors.add(2.0 * math.pi * i / 10)
    assert errors.plv == pytest.approx(0.0, abs=1e-9)
    assert errors.lost
    assert not PhaseErrors(0.0, 10).lost
    assert errors.to_dict()["lowest_plv"] == pytest.approx(0.0, abs=1e-3)


def test_a_spread_of_40_degrees_never_aborts_and_a_uniform_one_does_at_once():
    """Over 2000 triggers each; a spread of 40 degrees has a value of 0.78."""
    rng = np.random.default_rng(3)
    narrow, wide = PhaseErrors(0.5, 50), PhaseErrors(0.5, 50)
    lost = []
    for i in range(2000):
        narrow.add(rng.normal(0.0, math.radians(40.0)))
        wide.add(rng.uniform(0.0, 2.0 * math.pi))
        assert not narrow.lost
        lost.append(wide.lost)
        assert lost[-1] == (i >= 49)
    assert narrow.least == pytest.approx(0.66, abs=0.08)


def test_events_that_cannot_be_read_are_counted_and_told():
    errors = PhaseErrors(0.5, 10)
    for _ in range(10):
        errors.add(math.nan)
    assert errors.blind
    assert not errors.lost
    assert errors.to_dict()["plv"] is None
    assert errors.to_dict()["unreadable"] == 10
    for _ in range(10):
        errors.add(0.0)
    assert not errors.blind


@pytest.mark.parametrize(("threshold", "after"), [(1.0, 50), (-0.1, 50), (math.nan, 50), (0.5, 5)])
def test_a_rule_that_makes_no_sense_is_refused(threshold, after):
    with pytest.raises(AnalysisError, match="abort"):
        PhaseErrors(threshold, after)
