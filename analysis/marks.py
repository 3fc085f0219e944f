"""Annotations of a recording in seconds from its first sample.

MNE keeps the onsets of a recording that does not begin at sample 0 (cropped, or so recorded) with
the time of its first sample added, dated or not, and adds that time again to annotations without an
origin whenever they are set. Here is the one place that knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def onsets_s(raw: Any) -> Array:
    """Onsets of the annotations.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.

    Returns
    -------
    ndarray, shape (n_annotations,)
        Seconds from the first sample, in the order of `raw.annotations`.
    """
    return np.asarray(raw.annotations.onset - raw.first_time, dtype=np.float64)


def set_marks(
    raw: Any,
    onset_s: Array | Sequence[float],
    duration_s: Array | Sequence[float],
    text: Sequence[str],
) -> None:
    """Replace the annotations, in place.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    onset_s, duration_s : array-like, shape (n,)
        Seconds from the first sample, and length.
    text : sequence of str
        What they say.
    """
    import mne

    raw.set_annotations(mne.Annotations(onset_s, duration_s, list(text)), verbose="ERROR")


def add_marks(
    raw: Any,
    onset_s: Array | Sequence[float],
    duration_s: Array | Sequence[float],
    text: str,
) -> None:
    """Add annotations of one text to those that are there, in place.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    onset_s, duration_s : array-like, shape (n,)
        Seconds from the first sample, and length.
    text : str
        What they say.
    """
    import mne

    marks = raw.annotations
    there = mne.Annotations(
        onsets_s(raw), marks.duration, marks.description, ch_names=marks.ch_names
    )
    added = mne.Annotations(onset_s, duration_s, [text] * len(onset_s))
    raw.set_annotations(there + added, verbose="ERROR")
