"""What a search begins with: band, channels, reference, sampling rate, and why it may not begin."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import AnalysisError, load_recording
from analysis.selection import AVERAGE_REFERENCE_CHANNELS, REFERENCES, Selection, select
from tests.analysis.simulate import POSTERIOR, make_eeg
from tests.data import recording

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
FRONT = ("Fp1", "Fp2", "F3", "F4", "Fz", "C3", "C4", "Cz")
HEAD = (*FRONT, "T7", "T8", "P3", "P4", "Pz", "O1", "Oz", "O2")


def chosen(raw: Any, **options: Any) -> Selection:
    defaults: dict[str, Any] = {
        "band_hz": (7.0, 13.0),
        "picks": None,
        "subject": None,
        "now": NOW,
    }
    return select(raw, **(defaults | options))


@pytest.fixture(scope="module")
def head() -> Any:
    return make_eeg(1, ch_names=HEAD, duration_s=40.0).raw()


@settings(max_examples=40, deadline=None)
@given(low=st.floats(-10.0, 60.0), high=st.floats(-10.0, 60.0))
def test_a_band_is_taken_or_refused_in_one_line(head: Any, low: float, high: float) -> None:
    if 3.0 <= low and high <= 48.0 and high - low >= 2.0:
        assert chosen(head, band_hz=(low, high)).blank.band_hz == (low, high)
        return
    with pytest.raises(AnalysisError, match="between 3 and 48 Hz, at least 2 Hz apart") as caught:
        chosen(head, band_hz=(low, high))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "band_hz", [(math.nan, 13.0), (7.0, math.nan), (7.0, math.inf), (-math.inf, 13.0)]
)
def test_a_band_that_is_no_number_is_refused(head: Any, band_hz: tuple[float, float]) -> None:
    with pytest.raises(AnalysisError, match="give a lower and an upper end"):
        chosen(head, band_hz=band_hz)


def test_posterior_channels_are_the_region(head: Any) -> None:
    task = chosen(head)
    assert task.used == ("P3", "P4", "Pz", "O1", "Oz", "O2")
    assert task.blank.channels == task.used
    assert task.blank.n_channels_used == 6
    assert task.blank.status == "unusable"
    assert task.blank.reasons == ()
    assert not any("every EEG channel" in text for text in task.blank.warnings)


def test_every_channel_where_none_is_posterior_or_all_of_those_are_bad(head: Any) -> None:
    front = chosen(make_eeg(2, ch_names=FRONT, duration_s=40.0).raw())
    assert front.used == FRONT
    assert any("every EEG channel is used" in text for text in front.blank.warnings)
    raw = head.copy()
    raw.info["bads"] = ["P3", "P4", "Pz", "O1", "Oz", "O2"]
    task = chosen(raw)
    assert set(task.used) == {*FRONT, "T7", "T8"}
    assert any("every EEG channel is used" in text for text in task.blank.warnings)


def test_picks_are_used_once_whatever_their_case(head: Any) -> None:
    task = chosen(head, picks=["o1", "O1", "cz"])
    assert task.used == ("O1", "Cz")
    assert not any("every EEG channel" in text for text in task.blank.warnings)


@pytest.mark.parametrize(
    ("picks", "said"),
    [
        (["C9"], "no EEG channel C9 in the recording; it has Fp1, Fp2"),
        (["O1", "Xy", "Q7"], r"no EEG channel \S+, \S+ in the recording"),
        ([], "none given"),
    ],
)
def test_picks_that_are_not_there(head: Any, picks: list[str], said: str) -> None:
    with pytest.raises(AnalysisError, match=said) as caught:
        chosen(head, picks=picks)
    assert "\n" not in str(caught.value)


def test_a_pick_that_is_no_eeg_is_not_taken_for_one(head: Any) -> None:
    raw = head.copy()
    raw.set_channel_types({"T8": "eog"}, verbose="ERROR")
    with pytest.raises(AnalysisError, match="no EEG channel T8"):
        chosen(raw, picks=["T8"])


def test_bad_channels_are_left_out_and_none_left_is_a_reason(head: Any) -> None:
    raw = head.copy()
    raw.info["bads"] = ["O1"]
    assert chosen(raw).used == ("P3", "P4", "Pz", "Oz", "O2")
    none = chosen(raw, picks=["O1"])
    assert none.used == ()
    assert "every channel to be used is bad" in none.blank.reasons
    assert none.blank.n_channels_used == 0


def test_reference(head: Any) -> None:
    assert len(HEAD) == AVERAGE_REFERENCE_CHANNELS
    assert REFERENCES == ("auto", "average", "recorded")
    assert chosen(head).average
    assert chosen(head, reference="average").average
    assert not chosen(head, reference="recorded").average
    raw = head.copy()
    raw.info["bads"] = ["T7"]
    assert not chosen(raw).average
    assert chosen(raw, reference="average").average


def test_sampling_rate_must_carry_the_band() -> None:
    slow = make_eeg(3, duration_s=40.0, sfreq_hz=100.0).raw()
    assert chosen(slow).blank.reasons == ()
    beta = chosen(slow, band_hz=(13.0, 30.0)).blank.reasons
    assert any("100 Hz is too low: 120 Hz is the least" in text for text in beta)
    stated = chosen(slow, least_hz=110.0).blank.reasons
    assert any("100 Hz is too low: 110 Hz is the least" in text for text in stated)


def test_short_recordings_are_refused_or_provisional() -> None:
    short = chosen(make_eeg(4, duration_s=20.0).raw()).blank
    assert any("20.0 s" in text for text in short.reasons)
    assert chosen(make_eeg(4, duration_s=45.0).raw()).blank.provisional
    assert not chosen(make_eeg(4, duration_s=75.0).raw()).blank.provisional


def test_subject_time_and_quality_are_in_the_blank(head: Any) -> None:
    zone = timezone(timedelta(hours=-5))
    blank = chosen(head, subject="07", now=datetime(2026, 1, 31, 7, 0, tzinfo=zone)).blank
    assert blank.subject == "07"
    assert blank.measured_at == "2026-01-31T12:00:00+00:00"
    assert blank.recorded_at is None
    assert blank.quality is not None
    assert set(blank.quality["good_channels"]) == set(HEAD)
    assert chosen(head).blank.subject is None
    numbers = (blank.frequency_hz, blank.ci95_hz, blank.center_of_gravity_hz, blank.prominence_db)
    assert numbers == (None,) * 4


def test_a_search_changes_nothing_in_the_recording(head: Any) -> None:
    before = head.get_data().copy()
    info = (tuple(head.info["bads"]), tuple(head.ch_names))
    chosen(head, reference="average")
    np.testing.assert_array_equal(head.get_data(), before)
    assert (tuple(head.info["bads"]), tuple(head.ch_names)) == info


def test_defaults_of_made_recordings_are_posterior() -> None:
    assert chosen(make_eeg(5, duration_s=40.0).raw()).used == POSTERIOR


def test_a_suspect_clock_is_a_reason_until_the_rate_is_stated() -> None:
    path = recording("biosppy/eeg_ec.txt")
    asked = chosen(load_recording(path)).blank
    assert any(text.startswith("sampling_rate_suspect") for text in asked.reasons)
    told = chosen(load_recording(path, sfreq_hz=250.0)).blank
    assert told.reasons == ()
