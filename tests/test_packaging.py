"""What the wheel holds, who may stand beside it, and what importing it costs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(out),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    return next(out.glob("*.whl"))


def test_the_wheel_has_exactly_three_packages_at_its_top_level(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    packages = {name for name in top if not name.endswith(".dist-info")}
    assert packages == {"tacs", "devices", "analysis"}


def test_the_wheel_brings_its_data_files_and_no_tests(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for needed in (
        "tacs/py.typed",
        "devices/py.typed",
        "analysis/py.typed",
        "tacs/rigs/emulated-synthpal.toml",
        "tacs/recipes/posterior-alpha.toml",
        "tacs/serve/static/index.html",
        "tacs/serve/static/vendor/uPlot-LICENSE.txt",
    ):
        assert needed in names
    assert not [n for n in names if n.startswith("tests/") or Path(n).name.startswith("test_")]


def run_python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{cwd}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["analysis", "devices"])
def test_a_stranger_of_the_same_name_is_refused_with_one_clear_line(tmp_path: Path, name: str):
    (tmp_path / f"{name}.py").write_text("stranger = True\n")
    done = run_python("import tacs", tmp_path)
    assert done.returncode != 0
    assert f"'{name}' resolves to {tmp_path / name}.py" in done.stderr


def test_importing_the_packages_loads_nothing_heavy(tmp_path: Path):
    code = (
        "import sys, tacs, analysis, devices, tacs.cli;"
        "heavy = {'mne', 'scipy', 'fooof', 'matplotlib', 'numpy', 'pydantic'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = run_python(code, tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_public_name_exists():
    import analysis
    import tacs

    for module in (tacs, analysis):
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_drivers_and_emulators_and_patients_arrive_by_entry_point():
    for group, name in (
        ("tacs.drivers", "synthpal"),
        ("tacs.emulators", "synthpal"),
        ("tacs.patients", "virtual"),
    ):
        assert entry_points(group=group)[name].load() is not None


def test_the_layers_hold():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports; lint_imports()"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout
