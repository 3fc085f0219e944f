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

CURRENT_ON = "current on"  # current flows
AT_REST = "at rest"  # recorded to know the undriven rhythm
KEPT_TEXTS = (CURRENT_ON, AT_REST)  # that a recording keeps in its own file, whatever its format


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


def spans_of(raw: Any, text: str) -> list[tuple[float, float]]:
    """Return where a recording is marked with a text.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    text : str
        What the annotation says, in any case; what a format puts before it (``Comment/``) is passed
        over.

    Returns
    -------
    list of (float, float)
        From and to, seconds from the first sample, in their order.
    """
    wanted = text.casefold()
    marks = zip(onsets_s(raw), raw.annotations.duration, raw.annotations.description, strict=True)
    return [
        (float(onset), float(onset + duration))
        for onset, duration, said in marks
        if str(said).rpartition("/")[2].casefold() == wanted
    ]
