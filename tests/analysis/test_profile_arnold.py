"""The locking region: the oscillator's exact locking, and its half-width found again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from analysis.profile import analyze_profile
from analysis.profile_arnold import arnold_of, fit_arnold
from analysis.profile_curve import Measured
from analysis.profile_oscillator import Oscillator, stiffness_of
from analysis.profile_rest import RestLine
from devices.rhythm import Rhythm, driven_moments, integrate, locking_half_width_hz

made = pytest.importorskip("benchmarks.profile_made", reason="benchmarks are not here")


def rest_line(**changes: Any) -> RestLine:
    fwhm_hz = Oscillator(5.0).line_width
    given = {
        "centre_hz": 10.0, "fwhm_hz": fwhm_hz, "share": 1.0, "memory_s": 0.25,
        "envelope_cv": 0.36, "kurtosis": 1.4, "seconds": 300.0, **changes,
    }  # fmt: skip
    return RestLine(**given)


@pytest.mark.parametrize("current_ma", [0.5, 2.0, 4.0])
def test_locking_without_detuning_is_the_exact_one(current_ma: float) -> None:
    rhythm = Rhythm()
    width_hz = locking_half_width_hz(rhythm, current_ma)
    exact = driven_moments(rhythm, current_ma).plv
    assert Oscillator(5.0).locking(0.0, width_hz) == pytest.approx(exact, rel=1e-3)
    assert Oscillator(5.0).power == pytest.approx(driven_moments(rhythm, 0.0).power, rel=1e-4)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_locking_with_detuning_and_noise_is_that_of_a_simulation(noise: float) -> None:
    rng = np.random.default_rng(3)
    n_steps, hz = 12_000, 10.6
    drive_ma = 3.0 * np.cos(2.0 * np.pi * hz * np.arange(n_steps) / 1000.0)
    kept, _ = integrate(
        np.ones((300, 1), dtype=complex), Rhythm(), n_steps, rng, drive_ma=drive_ma, keep_every=10
    )
    state = kept[200:, :, 0]
    sd = np.sqrt(0.5 * noise * Oscillator(5.0).power)
    state = state + sd * (rng.standard_normal(state.shape) + 1j * rng.standard_normal(state.shape))
    turns = np.exp(-2j * np.pi * hz * np.arange(n_steps)[::10][200:] / 1000.0)
    seen = abs(np.mean(state / np.abs(state) * turns[:, None]))
    width_hz = locking_half_width_hz(Rhythm(), 3.0)
    assert Oscillator(5.0, noise).locking(0.6, width_hz) == pytest.approx(seen, abs=0.012)


def test_stiffness_comes_back_from_the_kurtosis_and_bursts_have_none() -> None:
    rng = np.random.default_rng(4)
    kept, _ = integrate(np.ones((400, 1), dtype=complex), Rhythm(), 8_000, rng, keep_every=20)
    squared = np.abs(kept[100:]) ** 2
    found = stiffness_of(float(np.mean(squared**2) / np.mean(squared) ** 2))
    assert found == pytest.approx(5.0, rel=0.15)
    assert stiffness_of(1.9) is None
    assert stiffness_of(1.0) == 200.0


def test_a_planted_region_comes_back_with_an_interval_that_holds_it() -> None:
    rng = np.random.default_rng(5)
    level = np.repeat([0.5, 1.0, 2.0], 9)
    hz = np.tile(np.linspace(7.0, 13.0, 9), 3)
    oscillator = Oscillator(5.0)
    truth = np.array(
        [oscillator.locking(f - 10.1, 0.16 * v) ** 2 for f, v in zip(hz, level, strict=True)]
    )
    null = np.full(27, 0.003)
    slopes, held = [], 0
    for _ in range(20):
        noise = rng.standard_normal((2, 27)) * np.sqrt(null / 2.0)
        plv2 = (np.sqrt(truth) + noise[0]) ** 2 + noise[1] ** 2
        measured = Measured(hz, level, plv2, null, np.arange(27.0), np.ones(27))
        found = fit_arnold(measured, oscillator, rest_line())
        slopes.append(found.slope_hz_per_level)
        low, high = found.slope_ci95
        held += (low is None or low <= 0.16) and (high is None or 0.16 <= high)
    assert np.mean(slopes) == pytest.approx(0.16, rel=0.05)
    assert held >= 16  # 95 % of 20, less three standard errors


def test_what_gives_no_region_says_why() -> None:
    hz = np.tile(np.linspace(7.0, 13.0, 9), 3)
    level = np.repeat([0.5, 1.0, 2.0], 9)
    flat = Measured(hz, level, np.full(27, 0.01), np.full(27, 0.01), np.arange(27.0), np.ones(27))
    assert "bursts" in arnold_of(flat, rest_line(kurtosis=1.8))[1]
    assert "needs 3" in arnold_of(flat.only(level > 0.6), rest_line())[1]
    assert "rest" in arnold_of(flat, None)[1]


def test_a_profile_of_three_levels_has_a_locking_region() -> None:
    (one,) = made.made_sweeps(1, (1.0, 2.0, 4.0), 31, block_s=60.0, sham_blocks=2)
    profile = analyze_profile(one.raw, one.blocks, mode="virtual", n_permutations=200)
    assert profile.arnold is not None
    assert profile.arnold_reason == ""
    truth_hz = locking_half_width_hz(Rhythm(), 1.0)
    assert profile.arnold.slope_hz_per_level == pytest.approx(truth_hz, rel=0.2)
    data = json.loads(json.dumps(profile.to_dict()["arnold"], allow_nan=False))
    assert [row["level"] for row in data["levels"]] == [1.0, 2.0, 4.0]
    assert data["levels"][2]["half_width_hz"] == pytest.approx(4.0 * data["slope_hz_per_level"])
