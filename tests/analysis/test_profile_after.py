"""After-effects in bins: planted changes come back where they are, and nothing where nothing is."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import mne
import numpy as np
import pytest

from analysis.errors import AnalysisError, UnusableRecording
from analysis.profile_after import after_session, start_after_s
from analysis.profile_blocks import Block, gap_after_s
from analysis.profile_power import after_effects, bins_within

FS = 200.0
BAND = (8.5, 11.5)


def rhythm(seconds: float, rng: np.random.Generator, gain: Any = 1.0) -> np.ndarray:
    """A filtered rhythm about 10 Hz over noise, its power times `gain` (function of seconds)."""
    n = round(seconds * FS)
    freqs = np.fft.rfftfreq(n, 1.0 / FS)
    shape = np.exp(-0.5 * ((freqs - 10.0) / 0.6) ** 2)
    wave = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * shape, n)
    times = np.arange(n) / FS
    size = np.sqrt(gain(times) if callable(gain) else np.full(n, gain))
    return np.asarray((size * wave / wave.std() + 0.05 * rng.standard_normal(n))[None])


def raw_of(data: np.ndarray, at: datetime | None = None) -> Any:
    raw = mne.io.RawArray(1e-5 * data, mne.create_info(["Oz"], FS, "eeg"), verbose="ERROR")
    return raw.set_meas_date(at)


def holds(one: dict[str, Any], truth: float) -> bool:
    low, high = one["ci95_ln"]
    return bool(low <= truth <= high)


@pytest.mark.parametrize(
    ("available", "bins"),
    [
        (9.0, []),
        (12.0, [(0.5, 12.0)]),
        (60.0, [(0.5, 60.0)]),
        (85.0, [(0.5, 60.0)]),
        (95.0, [(0.5, 60.0), (60.0, 95.0)]),
        (400.0, [(0.5, 60.0), (60.0, 180.0), (180.0, 300.0), (300.0, 400.0)]),
    ],
)
def test_bins_are_a_minute_and_then_two_as_far_as_the_gap_goes(
    available: float, bins: list[tuple[float, float]]
) -> None:
    assert bins_within(available) == bins


def test_a_planted_after_effect_fades_over_the_bins_and_sham_is_taken_away() -> None:
    """Power after drives is 3 times for 60 s, then 1.5 times; after sham it is 1.2 times."""
    rng = np.random.default_rng(1)
    table = [
        Block(10.0, 1.0, kind, 70.0 + 330.0 * i, 130.0 + 330.0 * i)
        for i, kind in enumerate(("drive", "sham", "drive", "drive", "sham"))
    ]

    def gain(times: np.ndarray) -> np.ndarray:
        size = np.ones(times.size)
        for block in table:
            since = times - block.stop_s
            first, later = (3.0, 1.5) if block.kind == "drive" else (1.2, 1.2)
            size[(since >= 0.0) & (since < 60.0)] = first
            size[(since >= 60.0) & (since < 195.0)] = later
        return size

    data = rhythm(70.0 + 330.0 * 5, rng, gain)
    gaps = gap_after_s(table, data.shape[1] / FS)
    (row,) = after_effects(data, FS, table, gaps, {10.0: BAND})
    first, second, third = row["bins"]
    assert (first["from_s"], first["to_s"]) == (0.5, 60.0)
    assert (second["from_s"], second["to_s"]) == (60.0, 180.0)
    assert third["from_s"] == 180.0
    assert first["n_blocks"] == second["n_blocks"] == 3
    assert all(one["minus_sham"] for one in row["bins"])
    assert holds(first, math.log(3.0 / 1.2))
    assert first["ci95_ln"][0] > 0.4
    assert holds(second, math.log(1.5 / 1.2))
    assert holds(third, 0.0)
    assert (row["ln_ratio"], row["ci95_ln"]) == (first["ln_ratio"], first["ci95_ln"])


def test_nothing_planted_is_held_by_the_intervals() -> None:
    rng = np.random.default_rng(2)
    table = [Block(10.0, 1.0, "drive", 70.0, 100.0)]
    held = n = 0
    for _ in range(60):
        data = rhythm(300.0, rng)
        (row,) = after_effects(data, FS, table, np.array([200.0]), {10.0: BAND})
        held += sum(holds(one, 0.0) for one in row["bins"])
        n += len(row["bins"])
    assert n == 120
    assert held / n >= 0.95 - 3.0 * math.sqrt(0.05 * 0.95 / n)


def test_recordings_after_a_session_fill_the_bins_that_they_reach() -> None:
    rng = np.random.default_rng(3)
    raw, table = raw_of(rhythm(200.0, rng)), [Block(10.0, 1.0, "drive", 90.0, 150.0)]
    soon = raw_of(rhythm(150.0, rng, lambda t: np.where(t < 40.0, 3.0, 2.0)))
    late = raw_of(rhythm(120.0, rng))
    found = after_session(raw, table, ["Oz"], BAND, [(late, 600.0, "late"), (soon, 20.0, "soon")])
    bins = found["bins"]
    assert [(one["from_s"], one["to_s"]) for one in bins] == [
        (20.0, 60.0), (60.0, 170.0), (600.0, 660.0), (660.0, 720.0),
    ]  # fmt: skip
    assert found["before_s"] == 90.0
    assert holds(bins[0], math.log(3.0))
    assert holds(bins[1], math.log(2.0))
    assert holds(bins[2], 0.0)
    assert bins[1]["ci95_ln"][0] > 0.2
    assert not bins[0]["minus_sham"]
    assert "power rises by itself" in found["caution"]


def test_a_sham_visit_is_taken_away_where_it_reaches() -> None:
    rng = np.random.default_rng(4)
    raw, table = raw_of(rhythm(100.0, rng)), [Block(10.0, 1.0, "drive", 90.0, 100.0)]
    after = raw_of(rhythm(300.0, rng, 2.0))
    sham = raw_of(rhythm(90.0, rng)), raw_of(rhythm(180.0, rng, 2.0))
    found = after_session(raw, table, ["Oz"], BAND, [(after, 0.0, "after")], sham=sham)
    first, second, third = found["bins"]
    assert first["minus_sham"]
    assert second["minus_sham"]
    assert holds(first, 0.0)
    assert holds(second, 0.0)
    assert not third["minus_sham"]
    assert holds(third, math.log(2.0))
    assert found["caution"] is not None
    whole = after_session(
        raw, table, ["Oz"], BAND, [(after.copy().crop(0.0, 170.0), 0.0, "after")], sham=sham
    )
    assert whole["caution"] is None


def test_bad_spans_are_left_out_and_without_data_there_is_no_bin() -> None:
    rng = np.random.default_rng(5)
    raw, table = raw_of(rhythm(100.0, rng)), [Block(10.0, 1.0, "drive", 90.0, 100.0)]
    after = raw_of(rhythm(60.0, rng))
    after.set_annotations(mne.Annotations([10.0], [45.0], ["bad_gap"]))
    (one,) = after_session(raw, table, ["Oz"], BAND, [(after, 0.0, "a")])["bins"]
    assert one["n_segments"] == 14  # 1 to 9 and 55 to 59 s; the first half second settles
    after.set_annotations(mne.Annotations([5.0], [55.0], ["BAD_move"]))
    found = after_session(raw, table, ["Oz"], BAND, [(after, 0.0, "a")])
    assert found["bins"] == []
    assert "no bin" in found["reason"]


def test_when_a_recording_began_is_stated_marked_or_read_off_the_clocks() -> None:
    rng = np.random.default_rng(6)
    begun = datetime(2026, 1, 31, 10, tzinfo=UTC)
    table = [Block(10.0, 1.0, "drive", 20.0, 50.0)]
    raw = raw_of(rhythm(60.0, rng), begun)
    after = raw_of(rhythm(60.0, rng), begun + timedelta(seconds=80))
    assert start_after_s(raw, table, after, 4.0, "a") == (240.0, "stated")
    assert start_after_s(raw, table, after, None, "a") == (30.0, "clock")
    marked = after.copy().set_annotations(
        mne.Annotations([5.0, 9.0], [1.0, 3.0], ["current on"] * 2, orig_time=None)
    )
    start_s, source = start_after_s(raw, table, marked, None, "a")
    assert (start_s, source) == (pytest.approx(-12.0), "annotation")
    for at, minutes, word in (
        (None, None, "--after-min"),
        (begun - timedelta(hours=1), None, "--after-min"),
        (begun + timedelta(days=3), None, "--after-min"),
        (begun, -1.0, "0 to 360"),
        (begun, math.nan, "0 to 360"),
    ):
        with pytest.raises(AnalysisError, match=word):
            start_after_s(raw, table, raw_of(rhythm(60.0, rng), at), minutes, "a")


def test_what_cannot_be_held_against_anything_is_refused() -> None:
    rng = np.random.default_rng(7)
    raw, late = raw_of(rhythm(100.0, rng)), [Block(10.0, 1.0, "drive", 10.0, 100.0)]
    after = raw_of(rhythm(60.0, rng))
    with pytest.raises(UnusableRecording, match="before the first block"):
        after_session(raw, late, ["Oz"], BAND, [(after, 0.0, "a")])
    table = [Block(10.0, 1.0, "drive", 90.0, 100.0)]
    with pytest.raises(AnalysisError, match="b begins before a is over"):
        after_session(raw, table, ["Oz"], BAND, [(after, 0.0, "a"), (after, 30.0, "b")])
    with pytest.raises(AnalysisError, match="Pz"):
        after_session(raw, table, ["Pz"], BAND, [(after, 0.0, "a")])


def test_rest_before_a_sweep_is_that_of_the_eyes_after() -> None:
    """Closed eyes have four times the power; the recording after is with closed eyes."""
    rng = np.random.default_rng(8)
    raw = raw_of(rhythm(200.0, rng, lambda t: np.where((t >= 60.0) & (t < 120.0), 4.0, 1.0)))
    table = [
        Block(0.0, 0.0, "rest", 0.0, 60.0, eyes="open"),
        Block(0.0, 0.0, "rest", 60.0, 120.0, eyes="closed"),
        Block(10.0, 1.0, "drive", 140.0, 200.0),
    ]
    after = [(raw_of(rhythm(60.0, rng, 4.0)), 0.0, "a")]
    closed = after_session(raw, table, ["Oz"], BAND, after, eyes="closed")
    assert closed["before_s"] == 60.0
    assert holds(closed["bins"][0], 0.0)
    opened = after_session(raw, table, ["Oz"], BAND, after, eyes="open")
    assert opened["bins"][0]["ci95_ln"][0] > 0.5
    with pytest.raises(AnalysisError, match="--after-eyes"):
        after_session(raw, table, ["Oz"], BAND, after)
    with pytest.raises(AnalysisError, match="there is open"):
        after_session(raw, table[::2], ["Oz"], BAND, after, eyes="closed")
    with pytest.raises(AnalysisError, match="write open or closed"):
        after_session(raw, table, ["Oz"], BAND, after, eyes="shut")
    assert start_after_s(raw, table[::2], after[0][0], 1.0, "a") == (60.0, "stated")
