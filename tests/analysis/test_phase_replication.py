"""phastimate and educated temporal prediction, on signals whose phase is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.errors import AnalysisError, UnusableRecording
from analysis.phase_choice import circular_sd
from analysis.phase_replication import ETP, phastimate
from tests.analysis.test_phase import RATE, wandering

BAND_HZ = (8.0, 12.0)


@pytest.mark.parametrize("rate", [500.0, 1000.0])
@pytest.mark.parametrize("frequency_hz", [9.1, 10.3, 11.0])
def test_a_clean_sine(rate: float, frequency_hz: float) -> None:
    time_s = np.arange(round(90 * rate)) / rate
    phase = 2.0 * np.pi * frequency_hz * time_s
    wave = 8.0 * np.cos(phase)
    prediction = ETP(wave, rate, BAND_HZ)
    assert prediction.period_s == pytest.approx(1.0 / frequency_hz, rel=0.02)
    size = round(rate)
    errors = []
    for end in range(3000, 3000 + 13 * 40, 13):
        window, truth = wave[end - size : end], phase[end - 1]
        told = phastimate(window, rate, BAND_HZ), prediction.phase(window)
        errors.append([math.remainder(one - truth, 2.0 * math.pi) for one in told])
    by_model, by_period = np.degrees(np.array(errors)).T
    assert np.max(np.abs(by_model)) < 4.5
    # A peak is a whole sample, and the filter moves the last one with the window's edge.
    assert abs(np.mean(by_period)) < 4.0
    assert np.std(by_period) < 11.0


def test_a_wandering_rhythm() -> None:
    made = wandering(6)
    prediction = ETP(made.signal_uv[: round(130 * RATE)], RATE, BAND_HZ)
    ends = np.arange(round(140 * RATE), round(230 * RATE), 160)
    size = round(RATE)
    for told in (lambda w: phastimate(w, RATE, BAND_HZ), prediction.phase):
        error = [told(made.signal_uv[e - size : e]) - made.phase_rad[e - 1] for e in ends]
        assert math.degrees(circular_sd(np.array(error))) < 45.0


def test_ahead_and_waiting() -> None:
    time_s = np.arange(round(60 * RATE)) / RATE
    wave = np.cos(2.0 * np.pi * 10.0 * time_s)
    window = wave[-round(RATE) :]
    prediction = ETP(wave, RATE, BAND_HZ)
    for told in (
        lambda ahead: phastimate(window, RATE, BAND_HZ, ahead),
        lambda ahead: prediction.phase(window, ahead),
    ):
        turned = math.remainder(told(0.025) - told(0.0) - math.pi / 2.0, 2.0 * math.pi)
        assert turned == pytest.approx(0.0, abs=0.06)
    for target in np.linspace(0.0, 2.0 * math.pi, 25):
        wait_s = prediction.wait_s(window, float(target))
        assert 0.0 <= wait_s <= prediction.period_s
        left = math.remainder(prediction.phase(window, wait_s) - target, 2.0 * math.pi)
        assert left == pytest.approx(0.0, abs=1e-9)


def test_refusals() -> None:
    with pytest.raises(AnalysisError, match="needs 0"):
        phastimate(np.ones(100), RATE, BAND_HZ)
    with pytest.raises(UnusableRecording, match="flat"):
        phastimate(np.ones(300), RATE, BAND_HZ)
    with pytest.raises(UnusableRecording, match="60 s"):
        ETP(np.ones(100), RATE, BAND_HZ)
    with pytest.raises(UnusableRecording, match="no peaks"):
        ETP(np.zeros(round(70 * RATE)), RATE, BAND_HZ)
    prediction = ETP(np.cos(20.0 * np.pi * np.arange(70 * RATE) / RATE), RATE, BAND_HZ)
    with pytest.raises(UnusableRecording, match="no peak"):
        prediction.phase(np.zeros(250))
