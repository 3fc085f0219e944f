"""Triggers at a phase: uniform across the wrap, never in the past."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.phase import PhaseEstimate, untrained
from analysis.phase_targets import PhaseTarget

RATE, FREQUENCY_HZ, HORIZON_S = 500.0, 10.3, 0.02


def _estimate(phase_rad: float, valid: bool = True) -> PhaseEstimate:
    return PhaseEstimate(phase_rad, 10.0, 5.0, 0.5, valid, "" if valid else "an artefact")


def test_every_target_is_met_equally_often_across_the_wrap() -> None:
    time_s = np.arange(round(30 * RATE)) / RATE
    wave_uv = 10.0 * np.cos(2.0 * np.pi * FREQUENCY_HZ * time_s)
    for degrees in (0.0, 3.0, 45.0, 90.0, 177.0, 180.0, 183.0, 270.0, 357.0, 360.0):
        engine = untrained(FREQUENCY_HZ, RATE, horizon_s=HORIZON_S)
        target = PhaseTarget(math.radians(degrees), horizon_s=HORIZON_S, refractory_s=0.05)
        found = []
        for end in range(10, time_s.size + 1, 10):
            sample_s = time_s[end - 1]
            decided = target.decide(engine.update(wave_uv[end - 10 : end]), sample_s, sample_s)
            if decided.at_s is not None:
                assert decided.at_s >= sample_s
                found.append(decided.at_s)
        # One in every period of the 29 s that are left once the engine has settled.
        assert len(found) == pytest.approx(29.0 * FREQUENCY_HZ, abs=2)
        error = 2.0 * np.pi * FREQUENCY_HZ * np.array(found) - math.radians(degrees)
        assert np.degrees(np.max(np.abs(np.angle(np.exp(1j * error))))) < 1.0


def test_nothing_is_planned_in_the_past() -> None:
    rng = np.random.default_rng(1)
    planned = 0
    for _ in range(10_000):
        target = PhaseTarget(rng.uniform(-10.0, 10.0), horizon_s=0.01, max_wait_s=0.2)
        late_s = rng.uniform(0.0, 0.1)
        decided = target.decide(_estimate(rng.uniform(-math.pi, math.pi)), 5.0, 5.0 + late_s)
        if decided.at_s is None:
            assert "too late" in decided.reason
        else:
            planned += 1
            assert decided.at_s >= 5.0 + late_s
    assert 2000 < planned < 9000


def test_reasons() -> None:
    target = PhaseTarget(0.0, horizon_s=0.02, refractory_s=1.0)
    assert target.decide(_estimate(0.0, valid=False), 1.0, 1.0).reason == "an artefact"
    assert "further ahead" in target.decide(_estimate(1.0), 1.0, 1.0).reason
    first = target.decide(_estimate(-0.2), 1.0, 1.0)
    assert first.at_s == pytest.approx(1.02 + 0.2 / (2.0 * math.pi * 10.0))
    assert target.decide(_estimate(-0.2), 1.1, 1.1).reason.startswith("refractory for 0.9")
    assert target.decide(_estimate(-0.2), 2.1, 2.1).at_s is not None
    backwards = PhaseEstimate(0.0, -3.0, 5.0, 0.5, True, "")
    assert "frequency -3.00" in target.decide(backwards, 9.0, 9.0).reason


@pytest.mark.parametrize(
    ("target_rad", "horizon_s", "max_wait_s"),
    [(math.nan, 0.0, 0.1), (0.0, -1.0, 0.1), (0.0, 0.0, 0.0)],
)
def test_arguments_without_sense(target_rad: float, horizon_s: float, max_wait_s: float) -> None:
    with pytest.raises(AnalysisError, match="write"):
        PhaseTarget(target_rad, horizon_s=horizon_s, max_wait_s=max_wait_s)
