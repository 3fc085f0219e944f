"""Settings every test shares."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")
os.environ.setdefault("MNE_LOGGING_LEVEL", "ERROR")


@pytest.fixture(autouse=True)
def site_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test its own site folder: no test touches the dose ledger of the user."""
    folder = tmp_path_factory.mktemp("site")
    monkeypatch.setenv("TACS_SITE_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def socket_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give every test its own folder for sockets, with a path short enough for one."""
    folder = Path(tempfile.mkdtemp(prefix="tacs-"))
    monkeypatch.setenv("TACS_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
