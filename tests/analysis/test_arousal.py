"""Signs of arousal: blind to alpha's power and to the background, sharp for theta."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from analysis.arousal import ArousalChange, arousal_change, theta_over_background
from analysis.power import RecordingSpectra
from analysis.shift import PeakShift
from analysis.statistics import stationary_weights

Array = NDArray[np.float64]

FREQS_HZ = np.arange(0.0, 41.0, 0.25)
STEADY = PeakShift(10.0, 10.0, 0.0, (-0.2, 0.2), None)


def _psd(
    exponent: float = 1.3, level: float = 1.0, alpha: float = 1.0, theta: float = 0.0
) -> Array:
    safe = np.maximum(FREQS_HZ, 0.25)
    bump = 8.0 * alpha * np.exp(-0.5 * (safe - 10.0) ** 2)
    slow = theta * 5.5**-exponent * np.exp(-0.5 * (safe - 5.5) ** 2)
    return np.asarray(level * safe**-exponent + bump * 0.1 + level * slow)


def _spectra(rng: np.random.Generator, psd: Array, n: int = 88) -> RecordingSpectra:
    """Segments whose bins scatter as the mean of four channels does."""
    region = psd * rng.gamma(2.0, 0.5, (n, psd.size))
    starts = 2.0 * np.arange(n)
    return RecordingSpectra(FREQS_HZ, starts, 2.0, region, region.mean(axis=0)[None], region[:, :1])


def _change(
    seed: int, before: Array, after: Array, shift: PeakShift = STEADY, **more: object
) -> ArousalChange:
    rng = np.random.default_rng(seed)
    sides = _spectra(rng, before), _spectra(rng, after)
    weights = (stationary_weights(88, 15.0, 300, rng), stationary_weights(88, 15.0, 300, rng))
    return arousal_change(*sides, weights, shift, 10.0, **more)  # type: ignore[arg-type]


@given(st.floats(0.3, 2.5), st.floats(0.01, 100.0))
def test_a_power_law_has_no_theta_whatever_its_slope_and_level(slope: float, level: float) -> None:
    fine_hz = np.arange(1.0, 41.0, 0.05)
    found = float(theta_over_background(fine_hz, level * fine_hz**-slope, 7.0))
    same = float(theta_over_background(fine_hz, fine_hz**-1.0, 7.0))
    # Bands have a width, so a straight line is met to some hundredths.
    assert found == pytest.approx(same, abs=0.05)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (_psd(), _psd()),
        (_psd(), _psd(alpha=1.5)),
        (_psd(alpha=2.0), _psd(alpha=0.5)),
        (_psd(), _psd(exponent=1.1)),
        (_psd(), _psd(level=2.0)),
    ],
)
def test_alpha_power_and_background_alone_say_nothing(before: Array, after: Array) -> None:
    n = 60
    found = [_change(seed, before, after) for seed in range(n)]
    # |z| > 1.96 is 5 % of a standard normal, and the errors allow for more than is in here.
    assert sum(one.differs for one in found) <= binom.isf(1e-3, n, 0.02)


def test_more_theta_and_a_slower_peak_are_drowsiness() -> None:
    slower = PeakShift(10.0, 9.4, -0.6, (-0.8, -0.4), None)
    found = _change(1, _psd(), _psd(alpha=0.5, theta=0.8), slower)
    assert found.differs
    assert found.z is not None
    assert found.z > 2.5
    assert "peak -0.60 Hz" in found.text
    assert "theta beside the background +" in found.text
    waking = PeakShift(9.4, 10.0, 0.6, (0.4, 0.8), None)
    back = _change(1, _psd(alpha=0.5, theta=0.8), _psd(), waking)
    assert back.differs
    assert back.z is not None
    assert back.z < -2.5


def test_a_shift_of_the_peak_alone_never_decides() -> None:
    far = PeakShift(10.0, 9.0, -1.0, (-1.05, -0.95), None)
    for seed in range(10):
        found = _change(seed, _psd(), _psd(), far)
        assert found.z is not None
        assert found.theta_z is not None
        assert found.z == pytest.approx((found.theta_z + 2.5) / math.sqrt(2.0))
        assert found.theta_ln is not None
        # Nothing but theta that moved by a tenth by itself could still have been called.
        assert not found.differs or abs(found.theta_ln) >= math.log(1.1)


@pytest.mark.parametrize(("dozing", "differs"), [((True, False), True), ((True, True), False)])
def test_drowsy_spans_on_one_side_alone_count(dozing: tuple[bool, bool], differs: bool) -> None:
    found = _change(2, _psd(), _psd(), dozing=dozing)
    assert found.differs is differs
    assert ("drowsy spans before alone" in found.text) is differs


@pytest.mark.parametrize("alpha_hz", [6.0, 6.5, 20.0])
def test_where_theta_cannot_be_told_from_the_rhythm_nothing_is_said(alpha_hz: float) -> None:
    rng = np.random.default_rng(3)
    sides = _spectra(rng, _psd()), _spectra(rng, _psd(theta=2.0))
    weights = (stationary_weights(88, 15.0, 200, rng), stationary_weights(88, 15.0, 200, rng))
    gone = PeakShift(None, None, None, None, "no peak")
    found = arousal_change(*sides, weights, gone, alpha_hz)
    assert found.z is None
    assert not found.differs
    assert found.to_dict()["theta_percent"] is None
