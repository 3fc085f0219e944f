"""Annotations in seconds from the first sample, wherever the recording begins, dated or not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import mne
import numpy as np
import pytest

from analysis.marks import add_marks, onsets_s, set_marks
from analysis.quality import annotated_mask
from analysis.timing import Gap, mark_gaps


def recording(*, dated: bool, begin_s: float) -> Any:
    """A minute at 100 Hz, cut at its front, with one mark 5 s after its new first sample."""
    info = mne.create_info(["O1"], 100.0, "eeg")
    raw = mne.io.RawArray(np.zeros((1, 6000)), info, verbose="ERROR")
    if dated:
        raw.set_meas_date(datetime(2026, 1, 31, tzinfo=UTC))
    raw.crop(begin_s)
    raw.set_annotations(mne.Annotations([5.0], [1.0], ["BAD_here"]))
    return raw


@pytest.mark.parametrize("dated", [False, True])
@pytest.mark.parametrize("begin_s", [0.0, 20.0])
def test_marks_stay_where_they_are(*, dated: bool, begin_s: float) -> None:
    raw = recording(dated=dated, begin_s=begin_s)
    np.testing.assert_allclose(onsets_s(raw), [5.0])
    assert np.flatnonzero(annotated_mask(raw))[[0, -1]].tolist() == [500, 599]
    add_marks(raw, [12.0], [0.5], "BAD_more")
    mark_gaps(raw, [Gap(3000, 1.0)])
    np.testing.assert_allclose(onsets_s(raw), [5.0, 12.0, 29.99])
    assert list(raw.annotations.description[:2]) == ["BAD_here", "BAD_more"]
    events, _ = mne.events_from_annotations(raw, regexp=None, verbose="ERROR")
    assert sorted(events[:, 0] - raw.first_samp) == [500, 1200, 2999]
    set_marks(raw, onsets_s(raw) + 1.0, raw.annotations.duration, raw.annotations.description)
    np.testing.assert_allclose(onsets_s(raw), [6.0, 13.0, 30.99])
