"""What the tests of the readers share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis import RecordingError, load_recording


def refused(path: Path, *words: str, **options: Any) -> None:
    """`path` must be refused in one line that names it and holds every word."""
    with pytest.raises(RecordingError) as caught:
        load_recording(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text.replace(str(path.parent), "")) < 330
    for word in (path.name, *words):
        assert word in text


def gap_onsets(raw: Any) -> list[float]:
    """Onsets of the gap marks in seconds from the start."""
    offset = raw.first_time if raw.annotations.orig_time is not None else 0.0
    return [m["onset"] - offset for m in raw.annotations if m["description"] == "bad_gap"]
