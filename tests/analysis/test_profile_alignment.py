"""The artefact of a recording tells whether the table's phases are right."""

from __future__ import annotations

import math

import mne
import numpy as np
import pytest

from analysis.profile_alignment import TrainAlignment, align_trains
from analysis.profile_blocks import Block

FS, HZ, N = 250.0, 10.3, 40


def made(
    *, ppm: float = 0.0, artefact: float = 500.0, late_s: float = 0.0, jitter_rad: float = 0.0
) -> TrainAlignment | None:
    """Trains of 2 s, 1.5 s apart, of a device whose clock is off; the table believes it is not."""
    rng = np.random.default_rng(3)
    rows = [
        Block(HZ, 1.0, "drive", 5.0 + 3.5 * i, 7.0 + 3.5 * i, i + 1,
              2.0 * math.pi * HZ * (5.0 + 3.5 * i) + 0.3)
        for i in range(N)
    ]  # fmt: skip
    times_s = np.arange(round((10.0 + 3.5 * N) * FS)) / FS
    current = np.zeros(times_s.size)
    for row in rows:
        edges = np.interp(times_s - row.start_s - late_s, [0, 0.5, 1.5, 2], [0, 1, 1, 0])
        turn = 0.3 + rng.normal(0.0, jitter_rad)
        current += edges * np.cos(2.0 * np.pi * HZ * (1.0 + 1e-6 * ppm) * times_s + turn)
    noise = 10e-6 * rng.standard_normal((2, times_s.size))
    gains = artefact * 1e-6 * np.array([[0.3], [-1.0]])
    info = mne.create_info(["Oz", "Cz"], FS, "eeg")
    raw = mne.io.RawArray(noise + gains * current, info, verbose="ERROR")
    return align_trains(raw, rows, 0.5, 1.5)


def test_phases_that_are_right_keep_all_locking_whatever_the_polarity():
    found = made()
    assert found is not None
    assert (found.channel, found.n_trains) == ("Cz", N)
    assert found.kept > 0.999
    assert abs(found.offset_deg) == pytest.approx(180.0, abs=0.5)
    assert found.drift_deg_per_min == pytest.approx(0.0, abs=0.5)
    assert found.scatter_deg < 1.0
    assert found.settled_s < 0.05
    assert found.warnings(0.1) == []


def test_a_clock_that_is_off_is_seen_in_degrees_a_minute():
    found = made(ppm=100.0)
    assert found is not None
    assert found.drift_deg_per_min == pytest.approx(360.0 * HZ * 60.0 * 1e-4, abs=0.6)
    assert found.scatter_deg < 1.0
    # Over 2.3 minutes the phases turn by 51 degrees: sin(x)/x of half of it.
    half = math.radians(0.5 * 360.0 * HZ * 3.5 * (N - 1) * 1e-4)
    assert found.kept == pytest.approx(math.sin(half) / half, abs=0.003)
    worse = made(ppm=400.0)
    assert worse is not None
    assert "--drive-channel Cz" in worse.warnings(0.1)[0]


def test_phases_that_scatter_are_told():
    found = made(jitter_rad=1.0)
    assert found is not None
    assert found.kept == pytest.approx(math.exp(-0.5), abs=0.15)
    assert len(found.warnings(0.1)) == 1


def test_stamps_that_are_late_reach_into_the_gap():
    found = made(late_s=0.2)
    assert found is not None
    assert 0.15 < found.settled_s < 0.25
    assert "--eeg-delay" in found.warnings(0.1)[0]
    assert found.warnings(0.3) == []


def test_without_an_artefact_nothing_is_told():
    assert made(artefact=2.0) is None
