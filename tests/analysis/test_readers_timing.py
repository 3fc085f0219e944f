"""Gaps and rates from time stamps."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.timing import (
    Gap,
    find_gaps,
    gap_warning,
    mark_gaps,
    rate_warning,
    smooth_stamps,
    steady_rate,
)

RATES = st.sampled_from([125.0, 200.0, 250.0, 256.0, 500.0, 512.0, 1000.0])


@settings(deadline=None, max_examples=60)
@given(
    RATES,
    st.lists(
        st.tuples(st.integers(2, 57), st.integers(1, 400)), max_size=4, unique_by=lambda x: x[0]
    ),
    st.booleans(),
)
def test_every_gap_is_found_and_none_invented(
    rate: float, holes: list[tuple[int, int]], rounded: bool
) -> None:
    """Gaps are at least a second apart; a lost sample is found even in millisecond stamps."""
    n = round(60 * rate)
    stamps = np.arange(n) / rate
    keep = np.ones(n, dtype=bool)
    for second, lost in holes:
        keep[round(second * rate) : round(second * rate) + min(lost, round(rate / 2))] = False
    stamps = stamps[keep]
    want = np.flatnonzero(np.diff(stamps) > 1.5 / rate) + 1
    gaps = find_gaps(np.round(stamps, 3) if rounded else stamps, rate)
    assert [gap.sample for gap in gaps] == want.tolist()
    for gap, at in zip(gaps, want, strict=True):
        assert gap.lost_s == pytest.approx(stamps[at] - stamps[at - 1] - 1 / rate, abs=1.1e-3)


def test_late_chunks_and_jitter_are_no_gaps() -> None:
    rng = np.random.default_rng(2)
    stamps = np.arange(15000) / 250.0
    chunks = np.ceil(np.arange(1, 15001) / 20) * 20 / 250.0
    assert find_gaps(chunks, 250.0) == ()
    jitter = stamps + rng.normal(0.0, 0.002, stamps.size)
    assert find_gaps(jitter, 250.0) == ()
    late = stamps.copy()
    for start in range(500, 15000, 1250):
        late[start : start + 20] = np.maximum(late[start : start + 20], stamps[start] + 0.15)
    assert find_gaps(late, 250.0) == ()


def test_rate_within_the_stretches() -> None:
    stamps = np.arange(10000) / 251.0
    stamps[5000:] += 3.0
    gaps = find_gaps(stamps, 250.0)
    assert [gap.sample for gap in gaps] == [5000]
    smooth, rate = smooth_stamps(stamps, gaps)
    assert rate == pytest.approx(251.0)
    np.testing.assert_allclose(smooth, stamps, atol=1e-9)


@pytest.mark.parametrize(("rate", "want"), [(250.003, 250.0), (250.2, 250.2), (62.5, 62.5)])
def test_steady_rate(rate: float, want: float) -> None:
    assert steady_rate(np.arange(5000) / rate) == pytest.approx(want, rel=1e-9)


def test_no_steady_rate() -> None:
    rng = np.random.default_rng(3)
    assert steady_rate(np.cumsum(rng.exponential(0.004, 1000))) is None
    assert steady_rate(np.zeros(100)) is None
    assert steady_rate(np.array([0.0])) is None
    assert steady_rate(np.array([0.0, np.nan, 1.0])) is None
    assert steady_rate(-np.arange(100.0)) is None


def test_marks_join_those_that_are_there() -> None:
    raw = mne.io.RawArray(
        np.zeros((1, 1000)), mne.create_info(["O1"], 100.0, "eeg"), verbose="ERROR"
    )
    raw.set_annotations(mne.Annotations([1.0], [0.5], ["eyes"]))
    mark_gaps(raw, [Gap(300, 0.5), Gap(500, 0.009), Gap(700, float("nan"))])
    assert sorted(raw.annotations.description) == ["bad_gap", "bad_gap", "eyes"]
    onset = sorted(m["onset"] for m in raw.annotations if m["description"] == "bad_gap")
    np.testing.assert_allclose(onset, [2.99, 6.99])


def test_words() -> None:
    text = gap_warning([Gap(300, 0.5), Gap(500, 2.0)], 100.0)
    assert "2 gaps" in text
    assert "2.5 s missing, the longest 2 s at 5.0 s" in text
    assert "1 gap in" in gap_warning([Gap(300, float("nan"))], 100.0)
    assert rate_warning(250.0, 250.4, 0.002) is None
    assert rate_warning(250.0, None, 0.002) is None
    said = rate_warning(250.0, 251.0, 0.002)
    assert said is not None
    assert "250 Hz" in said
    assert "251 Hz" in said
    assert "+0.4 %" in said
