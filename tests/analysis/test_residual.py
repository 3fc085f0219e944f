"""Lines narrower than a rhythm: found where they are, and not in rhythms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from analysis.residual import find_lines, residual_lines
from tests.analysis.noise import coloured

Array = NDArray[np.float64]

SFREQ_HZ = 100.0
BAND_HZ = (8.0, 12.0)
NAMES = ("O1", "O2")


def _rhythm(seed: int, duration_s: float = 120.0, width_hz: float = 0.5, n: int = 2) -> Array:
    """Gaussian rhythm at 10 Hz, 5 µV, in noise."""
    rng = np.random.default_rng(seed)
    size = round(duration_s * SFREQ_HZ)
    freqs = np.fft.rfftfreq(size, 1.0 / SFREQ_HZ)
    psd = 25.0 * np.exp(-0.5 * ((freqs - 10.0) / width_hz) ** 2) / (width_hz * 2.5066)
    return coloured(rng, psd + 0.5, n, size, SFREQ_HZ)


def _sine(size: int, hz: float, uv: float) -> Array:
    return np.asarray(uv * np.sin(2.0 * np.pi * hz * np.arange(size) / SFREQ_HZ + 0.4))


def _none(data: Array) -> NDArray[np.bool_]:
    return np.zeros(data.shape[1], dtype=bool)


def test_a_sine_is_found_where_it_is_and_measured() -> None:
    data = _rhythm(1)
    data[1] += _sine(data.shape[1], 9.63, 4.0)
    (line,), power = find_lines(data, _none(data), SFREQ_HZ, BAND_HZ, NAMES, "after")
    assert line.hz == pytest.approx(9.63, abs=1.0 / 120.0)
    assert line.channels == ("O2",)
    assert line.amplitude_uv == pytest.approx(4.0, abs=1.0)
    assert power[0] == 0.0
    assert power[1] == pytest.approx(8.0, abs=4.0)


@pytest.mark.parametrize("width_hz", [0.2, 0.5, 1.5])
def test_rhythms_are_not_taken_for_lines(width_hz: float) -> None:
    n = 60
    hits = 0
    for seed in range(n):
        data = _rhythm(100 + seed, width_hz=width_hz)
        hits += bool(find_lines(data, _none(data), SFREQ_HZ, BAND_HZ, NAMES, "before")[0])
    # One in a thousand recordings is the design; five times that for the narrowest.
    assert hits <= binom.isf(1e-3, n, 0.005)


def test_bad_samples_do_not_hide_or_make_a_line() -> None:
    data = _rhythm(2)
    bad = _none(data)
    bad[3000:4500] = True
    data[:, bad] = 500.0
    assert find_lines(data, bad, SFREQ_HZ, BAND_HZ, NAMES, "after")[0] == []
    data[0, ~bad] += _sine(data.shape[1], 10.0, 5.0)[~bad]
    (line,), _ = find_lines(data, bad, SFREQ_HZ, BAND_HZ, NAMES, "after")
    assert line.amplitude_uv == pytest.approx(5.0, abs=1.2)


def test_two_lines_are_two() -> None:
    data = _rhythm(3, n=1)
    data[0] += _sine(data.shape[1], 9.0, 5.0) + _sine(data.shape[1], 11.0, 3.0)
    lines, _ = find_lines(data, _none(data), SFREQ_HZ, BAND_HZ, ("Oz",), "after")
    assert [round(line.hz, 1) for line in lines] == [9.0, 11.0]


def test_the_effect_on_the_ratio_is_that_of_the_line() -> None:
    before, after = _rhythm(4), _rhythm(5)
    after[0] += _sine(after.shape[1], 10.4, 6.0)
    powers = tuple(float(np.mean(one**2)) for one in (before, after))
    found = residual_lines(
        ((before, _none(before)), (after, _none(after))),
        SFREQ_HZ,
        BAND_HZ,
        NAMES,
        NAMES,
        (powers[0], powers[1]),
    )
    assert found.matters
    # 18 µV² in one of two channels, that is 9 of the mean.
    assert found.effect_ln == pytest.approx(math.log(powers[1] / (powers[1] - 9.0)), abs=0.08)
    assert "10.40 Hz after in O1" in found.text


def test_too_short_or_too_bad_says_nothing() -> None:
    data = _rhythm(6, duration_s=15.0)
    data[0] += _sine(data.shape[1], 10.0, 50.0)
    assert find_lines(data, _none(data), SFREQ_HZ, BAND_HZ, NAMES, "after")[0] == []
    data = _rhythm(6) + _sine(12000, 10.0, 50.0)
    assert find_lines(data, np.arange(12000) < 7000, SFREQ_HZ, BAND_HZ, NAMES, "after")[0] == []


def test_no_line_has_no_words() -> None:
    data = _rhythm(7)
    sides = ((data, _none(data)), (data, _none(data)))
    found = residual_lines(sides, SFREQ_HZ, BAND_HZ, NAMES, NAMES, (25.0, 25.0))
    assert found.text == ""
    assert not found.matters
