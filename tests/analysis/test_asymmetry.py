"""Frontal alpha asymmetry, and a peak's shift against the site's test-retest."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.asymmetry import compare_asymmetry
from analysis.power import RecordingSpectra, measure
from analysis.shift import PeakShift, shift_cautions
from analysis.statistics import stationary_weights
from tests.analysis.made_outcome import made_uv

BAND = (8.0, 12.0)
NAMES = ("F3", "F4", "F8", "O1")


def _side(seed: int, gains: tuple[float, float] = (1.0, 1.0)) -> RecordingSpectra:
    data = made_uv(seed, duration_s=120.0, channels=NAMES, alpha_uv=20.0)
    data[:2] *= np.sqrt(np.array(gains))[:, None]
    return measure(data, 160.0, [0], BAND)


def _weights(sides: tuple[RecordingSpectra, RecordingSpectra]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    first, second = (
        stationary_weights(side.n_segments, side.n_segments / 6, 400, rng) for side in sides
    )
    return first, second


def test_the_fixed_point_of_the_literature() -> None:
    # Left 4, right 5: ln 5 - ln 4 = .223.
    side = _side(1)
    band = np.ones((side.n_segments, 4)) * np.array([4.0, 5.0, 1.0, 1.0])
    made = RecordingSpectra(
        side.freqs_hz, side.starts_s, side.step_s, side.region, side.channels, band
    )
    found = compare_asymmetry(made, made, NAMES, BAND, _weights((made, made)))
    (pair,) = found.pairs
    assert (pair.right, pair.left) == ("F4", "F3")
    assert pair.pre == pytest.approx(0.223, abs=5e-4)
    assert pair.change == 0.0


def test_a_planted_change_of_asymmetry_is_held_by_its_interval() -> None:
    held = 0
    for seed in range(10):
        sides = _side(2 * seed), _side(2 * seed + 1, (1.0, 1.5))
        found = compare_asymmetry(*sides, NAMES, BAND, _weights(sides), carried_current=("F3",))
        (pair,) = found.pairs
        assert pair.change == pytest.approx(np.log(1.5), abs=0.25)
        held += pair.interval[0] <= np.log(1.5) <= pair.interval[1]
        assert pair.carried_current == ("F3",)
        assert set(found.to_dict()["pairs"]) == {"F4-F3"}
    assert held >= 9


def test_without_a_pair_or_outside_alpha_there_is_none() -> None:
    sides = _side(1), _side(2)
    weights = _weights(sides)
    lone = compare_asymmetry(*sides, ("F3", "C4", "F8", "O1"), BAND, weights)
    assert lone.pairs == ()
    assert "F4 and F3" in str(lone.reason)
    theta = compare_asymmetry(*sides, NAMES, (4.0, 8.0), weights)
    assert theta.pairs == ()
    assert "6.0 Hz, which is not alpha" in str(theta.reason)


@pytest.mark.parametrize(
    ("shift_hz", "half_hz", "retest_sd_hz", "beyond", "told"),
    [
        (0.5, 0.2, 0.2, True, "more than twice the site's test-retest deviation of 0.2 Hz"),
        (0.3, 0.2, 0.2, False, None),
        (0.3, 0.2, None, None, "its interval excludes 0"),
        (0.1, 0.2, None, None, None),
    ],
)
def test_a_shift_is_held_against_test_and_retest(
    shift_hz: float, half_hz: float, retest_sd_hz: float | None, beyond: bool | None, told: str
) -> None:
    interval = (shift_hz - half_hz, shift_hz + half_hz)
    shift = PeakShift(10.0, 10.0 + shift_hz, shift_hz, interval, None, retest_sd_hz)
    assert shift.beyond_retest is beyond
    assert shift.se_hz == pytest.approx(half_hz / 1.96, rel=1e-3)
    lines = shift_cautions(shift)
    assert len(lines) == (told is not None)
    if told is not None:
        assert told in lines[0]
        assert "no shift is expected" in lines[0]
    assert shift.to_dict()["beyond_retest"] is beyond
