"""Records read once: the same rows, and any changed byte is noticed whatever the times say."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tacs import projection
from tacs.cli import call
from tacs.dataset import SessionPaths
from tacs.projection import project
from tacs.sitelog import site_folder
from tests.tacs.courses import Clinic


@pytest.fixture
def filled(clinic: Clinic) -> Clinic:
    clinic.session("01", 0.0, peak_hz=10.2)
    clinic.session("02", 1.0, outcome="stopped")
    clinic.session("01", 2.0, subject="P02", blinding={"label": "A"})
    return clinic


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which records are verified."""
    seen: list[str] = []
    facts = projection._record_facts

    def noted(paths: SessionPaths) -> dict[str, Any]:
        seen.append(f"{paths.subject}/{paths.session}")
        return facts(paths)

    monkeypatch.setattr(projection, "_record_facts", noted)
    return seen


ALL = ["P01/01", "P01/02", "P02/01"]


def test_what_did_not_change_is_not_verified_again(filled: Clinic, read: list[str]):
    first = project(filled.dataset)
    assert read == ALL
    read.clear()
    assert project(filled.dataset).tables == first.tables
    assert project(filled.dataset, "P01").rows("doses") == first.rows("doses", subject="P01")
    assert read == []
    assert project(filled.dataset, use_cache=False).tables == first.tables
    assert read == ALL


def test_a_disk_that_refuses_the_cache_leaves_no_part_of_it(
    filled: Clinic, monkeypatch: pytest.MonkeyPatch
):
    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        tables = project(filled.dataset).tables
    cache = site_folder() / "cache"
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    assert project(filled.dataset).tables == tables


def test_a_changed_byte_is_noticed_with_size_and_times_as_they_were(
    filled: Clinic, read: list[str]
):
    project(filled.dataset)
    read.clear()
    record = SessionPaths.of(filled.dataset, "P01", "02").record
    before = record.stat()
    record.write_bytes(record.read_bytes().replace(b"stopped", b"stOpped"))
    os.utime(record, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (record.stat().st_size, record.stat().st_mtime_ns) == (
        before.st_size, before.st_mtime_ns,
    )  # fmt: skip
    found = project(filled.dataset)
    assert read == ["P01/02"]
    assert found.rows("sessions", subject="P01", session="02")[0]["record_verifies"] == 0
    assert found.tables == project(filled.dataset, use_cache=False).tables


def test_a_new_session_and_one_that_is_gone(filled: Clinic, read: list[str]):
    project(filled.dataset)
    read.clear()
    filled.session("03", 3.0)
    SessionPaths.of(filled.dataset, "P01", "01").record.unlink()
    found = project(filled.dataset)
    assert read == ["P01/03"]
    assert [r["session"] for r in found.rows("sessions", subject="P01") if r["outcome"]] == [
        "02", "03",
    ]  # fmt: skip


def test_another_version_and_a_spoiled_cache_are_not_believed(
    filled: Clinic, read: list[str], site_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = project(filled.dataset).tables
    files = sorted(site_folder.glob("cache/projection/*/*.json"))
    assert [file.stem for file in files] == ["P01", "P02"]
    read.clear()
    files[0].write_text("{")
    files[1].write_text(json.dumps({"stamp": "another", "records": {"x": 1}}))
    assert project(filled.dataset).tables == expected
    assert read == ALL
    read.clear()
    monkeypatch.setattr(projection, "SCHEMA", projection.SCHEMA + 1)
    project(filled.dataset)
    assert read == ALL


def test_another_data_set_has_a_cache_of_its_own(
    filled: Clinic, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project(filled.dataset)
    other = Clinic(tmp_path / "other", monkeypatch)
    other.session("01", 0.0, outcome="fault")
    read.clear()
    assert project(other.dataset).rows("sessions")[0]["outcome"] == "fault"
    assert read == ["P01/01"]


def test_a_site_that_cannot_be_written_is_read_all_the_same(filled: Clinic, site_folder: Path):
    (site_folder / "cache").write_text("in the way")
    assert len(project(filled.dataset).rows("sessions")) == 3


def test_verify_all_from_the_command_line(
    filled: Clinic, read: list[str], capsys: pytest.CaptureFixture[str]
):
    line = ["store", "rebuild", str(filled.dataset), "--json"]
    digests = []
    for more, expected in (([], ALL), ([], []), (["--verify-all"], ALL)):
        read.clear()
        assert call([*line, *more]) == 0
        assert read == expected
        digests.append(json.loads(capsys.readouterr().out)["digest"])
    assert len(set(digests)) == 1
