"""One rhythm or two: two sources with maps of their own are told from one, however it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import find_peak
from analysis.rhythm import fit_rhythm
from analysis.split import (
    EVIDENCE,
    EVIDENCE_ONE,
    LEAST_APART_HZ,
    LEAST_HEIGHT,
    TwoBumps,
    _contrasts,
    _Stack,
    two_bumps,
)
from tests.analysis.made_segments import FREQS_HZ, line, made_segments
from tests.analysis.simulate import make_eeg

BAND_HZ = (7.0, 13.0)
LIMITS_HZ = (6.0, 14.0)
LEVEL = 1.0 / FREQS_HZ
FRONT = (0.05, 0.2, 0.6, 1.0)
BACK = FRONT[::-1]

places = st.floats(7.0, 13.0)
logs = st.floats(-2.0, 1.0)
widths = st.floats(-1.3, 0.6)


def two_of(
    seed: int, rhythms: Sequence[tuple[float, float, tuple[float, ...]]], count: int = 60
) -> TwoBumps:
    """Two bumps for rhythms of given centre, height and map (power in each channel)."""
    rng = np.random.default_rng(seed)
    sources = [(line(center, height, 0.5), site) for center, height, site in rhythms]
    return fit_rhythm(FREQS_HZ, made_segments(rng, LEVEL, sources, count), BAND_HZ).two


# --- the model -------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    background=st.lists(st.floats(-0.5, 0.5), min_size=4, max_size=4),
    one=st.tuples(logs, logs, places, widths),
    two=st.none() | st.tuples(logs, logs, places, widths),
    single=st.booleans(),
)
def test_derivatives(
    background: list[float],
    one: tuple[float, ...],
    two: tuple[float, ...] | None,
    single: bool,
) -> None:
    bumps = [one] if two is None else [one, two]
    if single:
        stack = _Stack(FREQS_HZ, LEVEL, 1, LIMITS_HZ)
        values = [*background[:2], *(v for bump in bumps for v in bump[1:])]
    else:
        stack = _Stack(FREQS_HZ, LEVEL, 2, LIMITS_HZ)
        values = [*background, *(v for bump in bumps for v in bump)]
    row = np.array([values])
    total, slopes = stack.jacobian(row)
    assert total.shape == (1, FREQS_HZ.size * stack.n_contrasts)
    np.testing.assert_allclose(total, stack.spectrum(row))
    for i in range(row.shape[1]):
        step = np.zeros_like(row)
        step[0, i] = 1e-6
        numeric = (np.log(stack.spectrum(row + step)) - np.log(stack.spectrum(row - step))) / 2e-6
        np.testing.assert_allclose(slopes[0, i], numeric[0], atol=1e-6)


def test_rows_are_kept_in_their_ranges() -> None:
    stack = _Stack(FREQS_HZ, LEVEL, 2, LIMITS_HZ)
    wild = np.array([[5.0, -5.0, 5.0, -5.0, 99.0, -99.0, 3.0, -9.0, 0.0, 0.0, 30.0, 9.0]])
    tame = stack.clip(wild)
    np.testing.assert_array_equal(tame[0, :4], wild[0, :4])
    np.testing.assert_array_equal(tame[0, 4:7], [12.0, -12.0, 6.0])
    assert tame[0, 10] == 14.0
    np.testing.assert_allclose(np.exp(tame[0, [7, 11]]), [0.25, 2.0])
    np.testing.assert_array_equal(stack.clip(tame), tame)


def test_contrasts_part_channels_by_where_their_peak_leans() -> None:
    centers = (9.4, 9.8, 10.2, 10.6)
    channels = np.array([LEVEL + line(center, 4.0, 0.5) for center in centers])
    bump = (float(np.log(0.4)), 10.0, float(np.log(0.6)))
    down, up = _contrasts(channels, FREQS_HZ, LEVEL, bump, (6.0, 14.0))
    np.testing.assert_allclose([down.sum(), up.sum()], 1.0)
    assert np.all(down > 0.0)
    assert np.all(up > 0.0)
    assert down[0] > 0.5 > 0.05 > down[3]
    assert up[3] > 0.5 > 0.05 > up[0]
    assert np.argmax(_contrasts(channels[:, ::1], FREQS_HZ, LEVEL, bump, (6.0, 14.0))[0]) == 0


# --- what is made of it ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("centers_hz", "second"),
    [((8.8, 11.2), 4.0), ((9.4, 11.0), 4.0), ((11.6, 9.2), 4.0), ((8.5, 11.5), 5.0)],
)
def test_two_sources_are_found_at_both_centres(
    centers_hz: tuple[float, float], second: float
) -> None:
    """Near or far apart: a peak at one of two is no person's peak."""
    flagged = []
    for seed in range(8):
        low_hz, high_hz = centers_hz
        found = two_of(seed, [(low_hz, 5.0, FRONT), (high_hz, second, BACK)])
        flagged.append(found.is_split(BAND_HZ))
        np.testing.assert_allclose(sorted(found.centers_hz), sorted(centers_hz), atol=0.3)
        assert found.enough == EVIDENCE
        assert found.ratio == pytest.approx(found.heights[1] / found.heights[0])
        assert found.heights[0] >= found.heights[1]
    assert all(flagged)


def test_one_source_is_seldom_flagged_whatever_its_map() -> None:
    flagged = 0
    maps = (BACK, (1.0, 1.0, 1.0, 1.0), (1.0, 0.0, 0.0, 0.0))
    for seed in range(90):
        center = 8.0 + 4.0 * (seed / 90.0)
        found = two_of(100 + seed, [(center, (2.0, 5.0, 10.0)[seed % 3], maps[seed // 3 % 3])], 45)
        flagged += found.is_split(BAND_HZ)
    assert flagged <= 4


def test_one_source_that_is_not_gaussian_is_seldom_flagged() -> None:
    """A resonance with long feet, and a bump twice as wide below its top as above."""
    flagged = 0
    for seed in range(30):
        center = 9.5 + 0.03 * seed
        offset = FREQS_HZ - center
        for shape in (
            1.0 / (1.0 + (offset / 0.6) ** 2),
            np.exp(-0.5 * (offset / np.where(offset < 0.0, 0.8, 0.4)) ** 2),
        ):
            rng = np.random.default_rng(300 + seed)
            segments = made_segments(rng, LEVEL, [(6.0 / center * shape, BACK)], 45)
            flagged += fit_rhythm(FREQS_HZ, segments, BAND_HZ).two.is_split(BAND_HZ)
    assert flagged <= 3


def test_evidence_of_two_grows_with_length_and_that_of_one_does_not() -> None:
    def median(rhythms: Sequence[tuple[float, float, tuple[float, ...]]], count: int) -> float:
        return float(np.median([two_of(400 + i, rhythms, count).evidence for i in range(7)]))

    two = [(9.0, 4.0, FRONT), (11.0, 4.0, BACK)]
    assert median(two, 120) > 2.0 * median(two, 30) > 2.0 * EVIDENCE
    one = [(10.0, 6.0, BACK)]
    assert median(one, 120) < 0.7 * EVIDENCE


def test_a_single_channel_needs_both_in_its_spectrum() -> None:
    both, alone = 0, 0
    for seed in range(12):
        found = two_of(500 + seed, [(8.8, 5.0, (1.0,)), (11.2, 4.0, (1.0,))])
        assert found.enough == EVIDENCE_ONE
        np.testing.assert_allclose(sorted(found.centers_hz), [8.8, 11.2], atol=0.35)
        both += found.is_split(BAND_HZ)
    for seed in range(60):
        alone += two_of(600 + seed, [(10.0, 5.0, (1.0,))], 45).is_split(BAND_HZ)
    assert both == 12
    assert alone <= 3


SPLIT = TwoBumps(
    centers_hz=np.array([10.5, 9.0]),
    widths_hz=np.array([0.5, 0.5]),
    heights=np.array([2.0, 1.0]),
    site_ratio=0.6,
    evidence=30.0,
    enough=15.0,
)


def test_conditions_of_a_split() -> None:
    def split(**changes: object) -> bool:
        return replace(SPLIT, **changes).is_split(BAND_HZ)  # type: ignore[arg-type]

    low = LEAST_HEIGHT
    assert split()
    assert split(evidence=15.0)
    assert not split(evidence=14.99)
    assert split(centers_hz=np.array([10.5, 10.5 - LEAST_APART_HZ]))
    assert split(centers_hz=np.array([9.0, 9.0 + LEAST_APART_HZ]))
    assert not split(centers_hz=np.array([10.5, 10.51 - LEAST_APART_HZ]))
    assert not split(centers_hz=np.array([10.5, 6.99]))
    assert not split(centers_hz=np.array([13.01, 10.0]))
    # Either in the region's mean or at the place that shows it best.
    assert split(heights=np.array([2.0, 0.1]), site_ratio=low)
    assert split(heights=np.array([2.0, 2.0 * low]), site_ratio=0.0)
    assert not split(heights=np.array([2.0, 1.98 * low]), site_ratio=0.99 * low)


def test_order_and_unit_of_channels_do_not_matter() -> None:
    rng = np.random.default_rng(700)
    sources = [(line(9.0, 4.0, 0.5), FRONT), (line(11.0, 4.0, 0.5), BACK)]
    segments = made_segments(rng, LEVEL, sources, 60)
    level = segments.mean(axis=(0, 1)).min() * 30.0 / FREQS_HZ
    bump = (float(np.log(level[20])), 10.0, 0.0)
    one = two_bumps(FREQS_HZ, segments, level, bump, 60.0, LIMITS_HZ)
    two = two_bumps(FREQS_HZ, segments[:, ::-1], level, bump, 60.0, LIMITS_HZ)
    np.testing.assert_allclose(one.centers_hz, two.centers_hz, atol=1e-6)
    np.testing.assert_allclose(one.heights, two.heights, rtol=1e-6)
    assert one.evidence == pytest.approx(two.evidence, rel=1e-6)


# --- through the peak finder -----------------------------------------------------------------


def test_a_split_has_both_frequencies_and_no_interval() -> None:
    for seed in range(3):
        made = make_eeg(
            800 + seed, peak_hz=8.8, second=(2.4, 1.3), width_hz=0.4, duration_s=150.0, burst=False
        )
        found = find_peak(made.raw())
        assert found.status == "found"
        assert found.ci95_hz is None
        assert found.stability is None
        assert len(found.peaks) == 2
        assert found.frequency_hz == found.peaks[0].frequency_hz
        assert found.peaks[0].relative_height == 1.0
        assert 0.0 < found.peaks[1].relative_height <= 1.0
        both = sorted(peak.frequency_hz for peak in found.peaks)
        np.testing.assert_allclose(both, [8.8, 11.2], atol=0.3)
        said = [text for text in found.warnings if text.startswith("split peak")]
        assert len(said) == 1
        assert all(f"{peak.frequency_hz:.2f} Hz" in said[0] for peak in found.peaks)


def test_made_recordings_of_one_source_are_seldom_split() -> None:
    """Every generator of the benchmarks but the bursts, posterior nine channels, one minute."""
    made = pytest.importorskip("benchmarks.made", reason="benchmarks are not here")
    split = found = 0
    for seed in range(60):
        case = made.draw(
            9000 + seed,
            with_peak=True,
            n_channels=9,
            duration_s=60.0,
            snr=("high", "medium")[seed % 2],
            generator=("gauss", "ar2", "wander")[seed % 3],
            sfreq_hz=125.0,
        )
        estimate = find_peak(made.make(case).raw())
        found += estimate.status == "found"
        split += len(estimate.peaks) > 1
    assert found >= 57
    assert split <= 3
