"""What the tests of sessions and courses share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tacs.courses import Clinic


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    """A data set that is written at any time of the past."""
    return Clinic(tmp_path / "data", monkeypatch)
