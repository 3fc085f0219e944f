"""Real recordings for tests, found through TACS_TEST_DATA; the tests skip where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def recording(name: str) -> Path:
    """Path of one real recording, or skip the test with one clear line."""
    folder = Path(os.environ.get("TACS_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / name
    if not path.exists():
        pytest.skip(f"real recording {name} not found under TACS_TEST_DATA ({folder})")
    return path
