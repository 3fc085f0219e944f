"""``tacs doctor`` finds what is wrong with an installation."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tacs import doctor
from tacs.clock import utc_now
from tacs.ledger import Ledger
from tests.tacs.made import protocol as made_protocol

ROOT = Path(__file__).resolve().parents[2]


def findings() -> dict[str, dict[str, object]]:
    return {str(f["what"]): f for f in doctor.examine()}


def test_this_installation_is_sound():
    bad = [f for f in doctor.examine() if not f["ok"] and f["what"] not in {"disk", "serial ports"}]
    assert bad == []


def test_a_ledger_that_was_changed_is_found(site_folder: Path):
    ledger = Ledger(site_folder, emulated=True)
    ledger.reserve(
        "k", subject="P01", session="01", dataset=Path("x"), protocol=made_protocol(), now=utc_now()
    )
    assert findings()["dose ledger"]["ok"]
    ledger.path.write_text(ledger.path.read_text().replace("P01", "P02"))
    assert not findings()["dose ledger"]["ok"]


def test_a_missing_library_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "NEEDED", ("mne", "no-such-library"))
    told = findings()["libraries"]
    assert not told["ok"]
    assert "no-such-library" in str(told["text"])


def test_files_that_another_wheel_wrote_over_are_found(tmp_path: Path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=120)
    site = tmp_path / "site"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r});"
        "from tacs.doctor import examine;"
        "print([f['text'] for f in examine() if f['what'] == 'files'][0])"
    )

    def told() -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        return done.stdout

    assert "as the wheel brought them" in told()
    (site / "analysis" / "__init__.py").write_text('"""Somebody else\'s."""\n')
    assert "analysis/__init__.py" in told()
