"""The stimulator's clock: how far it turns the current, and what the artefact shows of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.loop_drift import ArtefactDrift, DeviceClock, degrees_per_minute
from analysis.loop_terms import Carrier

FS = 250.0
TURN = 2.0 * math.pi


def measured(
    ppm: float, *, artefact_uv: float = 5000.0, wander_hz: float = 0.0
) -> dict[str, object]:
    """Ten minutes of trains, one every 6 s, of a device whose clock is off; EEG of 20 µV."""
    rng, drift = np.random.default_rng(2), ArtefactDrift()
    carrier, true = Carrier(0.0, -0.5 * math.pi, 10.0), 0.0
    for i in range(100):
        at_s = 6.0 * i
        hz = 10.0 + wander_hz * rng.uniform(-1.0, 1.0)
        # What is reckoned goes on by nominal frequencies, what is played by the device's clock.
        true += (carrier.phase_at(at_s) - carrier.phase_rad) * (1.0 + 1e-6 * ppm)
        carrier = carrier.retuned(at_s, hz)
        times_s = at_s + 0.5 + np.arange(round(2.0 * FS)) / FS
        played = -0.5 * math.pi + true + TURN * hz * (1.0 + 1e-6 * ppm) * (times_s - at_s)
        delay_rad = -TURN * hz * 0.02  # of the amplifier
        eeg = 20.0 * rng.standard_normal(times_s.size)
        signal = artefact_uv * np.cos(played + delay_rad) + eeg + 100.0
        for part in np.array_split(np.arange(times_s.size), 50):
            drift.add(signal[part], times_s[part], carrier)
        drift.end()
    return drift.to_dict()


@pytest.mark.parametrize("ppm", [0.0, 12.0, -50.0, 200.0])
@pytest.mark.parametrize("wander_hz", [0.0, 0.5])
def test_the_artefact_shows_how_fast_the_devices_clock_is(ppm, wander_hz):
    found = measured(ppm, wander_hz=wander_hz)
    assert found["stretches"] == 100
    assert found["measured_ppm"] == pytest.approx(ppm, abs=0.5)
    assert found["measured_sd_ppm"] < 0.3


def test_what_is_no_artefact_measures_nothing():
    assert measured(12.0, artefact_uv=20.0)["measured_ppm"] is None
    assert ArtefactDrift().to_dict()["measured_ppm"] is None


def test_a_clock_that_is_known_corrects_the_phase():
    device = DeviceClock(ppm=50.0, bound_ppm=2.0)
    reckoned = Carrier(600.0, 0.3, 10.0)
    right = device.corrected(reckoned, 6000.0)
    assert right.phase_at(600.0) - 0.3 == pytest.approx(TURN * 6000.0 * 50e-6)
    assert right.frequency_hz == pytest.approx(10.0005)
    assert DeviceClock().corrected(reckoned, 6000.0) == reckoned


def test_twenty_parts_per_million_are_four_degrees_a_minute():
    assert degrees_per_minute(10.0, 20.0) == pytest.approx(4.32)
    assert DeviceClock().left_deg(10.0, 20.0 * 60.0) == pytest.approx(86.4)
