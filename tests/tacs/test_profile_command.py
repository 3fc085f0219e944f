"""``tacs profile``: the contract of its JSON, its exit codes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("benchmarks.profile_made", reason="benchmarks are not here")

from benchmarks.profile_made import made_sweeps
from tacs.cli import call


def tacs(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    code = call([*(str(a) for a in arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with its table, a recording without drive, and the table of a session of current."""
    place = tmp_path_factory.mktemp("profile")
    one = made_sweeps(1, (2.0,), 21, block_s=60.0)[0]
    one.raw.save(place / "sweep_raw.fif", verbose="ERROR")
    off = made_sweeps(1, (2.0,), 21, block_s=60.0, real_ma=0.0)[0]
    off.raw.save(place / "off_raw.fif", verbose="ERROR")
    lines = ["frequency_hz\tlevel\tkind\tstart_s\tstop_s"]
    lines += [f"{b.frequency_hz}\t{b.level}\t{b.kind}\t{b.start_s}\t{b.stop_s}" for b in one.blocks]
    (place / "blocks.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    back = [f"10\t1\tdrive\t{2 * i}\t{2 * i + 2}" for i in range(12)]
    (place / "back.tsv").write_text("\n".join([lines[0], *back]) + "\n", encoding="utf-8")
    return place


def test_a_sweep_gives_its_curve_and_a_figure(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, data, _ = tacs(
        capsys, "profile", "analyze", folder / "sweep_raw.fif", "--blocks", folder / "blocks.tsv",
        "--mode", "virtual", "--figures", tmp_path / "new",
    )  # fmt: skip
    assert code == 0
    assert data["verdict"] == "response"
    assert len(data["curve"]) == 9
    assert set(data["curve"][0]) >= {"plv2", "null_plv2", "response_ci95_plv2", "p_corrected"}
    assert data["resonance"][0]["centre_ci95_hz"][0] < data["resonance"][0]["centre_hz"]
    assert data["reliability"]["individual"] is False
    assert data["arnold"] is None
    assert data["arnold_reason"]
    assert Path(data["figure"]).stat().st_size > 10_000


def test_the_stimulator_off_and_sham_from_a_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, data, _ = tacs(
        capsys, "profile", "analyze", folder / "off_raw.fif", "--blocks", folder / "blocks.tsv",
        "--sham", folder / "off_raw.fif",
    )  # fmt: skip
    assert code == 0
    assert data["verdict"] == "no_response"
    assert data["resonance"] == []
    assert "no response" in data["resonance_reason"]
    assert data["sham_p"] > 0.05
    assert call(
        ["profile", "analyze", str(folder / "off_raw.fif"), "--blocks", str(folder / "blocks.tsv")]
    ) == 0  # fmt: skip
    assert "this is not proof of none" in capsys.readouterr().out


def test_current_without_gaps_is_exit_3_with_the_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, data, err = tacs(
        capsys, "profile", "analyze", folder / "off_raw.fif", "--blocks", folder / "back.tsv",
        "--mode", "electrical",
    )  # fmt: skip
    assert code == 3
    assert "artefact has exactly the phase" in data["error"]
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--mode", "laser"), "photic"),
        (("--mode", "electrical", "--sham", "x.fif"), "table of blocks"),
        (("--permutations", "10"), "200"),
        (("--picks", "Fp9"), "Fp9"),
    ],
)
def test_bad_input_is_exit_2(
    folder: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], word: str
) -> None:
    code, data, _ = tacs(
        capsys, "profile", "analyze", folder / "off_raw.fif", "--blocks", folder / "blocks.tsv",
        *more,
    )  # fmt: skip
    assert code == 2
    assert word in data["error"]


def test_a_plan_says_what_it_cannot_detect(capsys: pytest.CaptureFixture[str]) -> None:
    code, data, _ = tacs(
        capsys, "profile", "plan", "--peak-hz", "10", "--mode", "electrical", "--trains", "12"
    )
    assert code == 0
    assert data["detects"] is False
    assert data["needed"] > 600
    assert any("trains needed" in text for text in data["warnings"])
    again = tacs(capsys, "profile", "plan", "--peak-hz", "10", "--seed", "3")[1]
    assert again["detects"] is True
    assert again["order_hz"] == tacs(capsys, "profile", "plan", "--peak-hz", "10", "--seed", "3")[
        1
    ]["order_hz"]  # fmt: skip


def test_a_report_and_a_result_carry_whose_they_are(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = tmp_path / "sub-03_blocks.tsv"
    table.write_bytes((folder / "blocks.tsv").read_bytes())
    plan = {"plan": {"seed": 5, "peak_hz": 10.2, "expected_plv": 0.16}}
    (tmp_path / "sub-03_profile.json").write_text(json.dumps(plan), encoding="utf-8")
    code, data, _ = tacs(
        capsys, "profile", "analyze", folder / "sweep_raw.fif", "--blocks", table, "--subject",
        "03", "--report", tmp_path / "p.html", "--out", tmp_path / "r.json",
    )  # fmt: skip
    assert code == 0
    assert data["subject"] == "03"
    assert data["plan"]["seed"] == 5
    assert "Seed of the order" in (tmp_path / "p.html").read_text("utf-8")
    kept = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert kept == data
    code, data, _ = tacs(
        capsys, "profile", "analyze", folder / "sweep_raw.fif", "--blocks", table, "--subject",
        "no name",
    )  # fmt: skip
    assert code == 2
    assert "letters and digits" in data["error"]


def test_recordings_after_the_session_are_read_in_bins(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (folder / "blocks.tsv").read_text("utf-8").splitlines()
    late = [line for line in lines[1:] if float(line.split("\t")[3]) > 80.0]
    (folder / "late.tsv").write_text("\n".join([lines[0], *late]) + "\n", encoding="utf-8")
    base = ("profile", "analyze", folder / "sweep_raw.fif", "--blocks", folder / "late.tsv")
    code, data, _ = tacs(capsys, *base, "--after", folder / "off_raw.fif", "--after-min", "2")
    assert code == 0
    bins = data["after_session"]["bins"]
    assert bins[0]["from_s"] == 120.0
    assert len(bins) >= 4
    assert data["after_session"]["recordings"][0]["start_from"] == "stated"
    for more, word in (
        (("--after-min", "2"), "name --after too"),
        (("--after", folder / "off_raw.fif"), "give --after-min"),
        (("--after", folder / "off_raw.fif", "--after-min", "2", "--after-min", "9"), "2 for 1"),
    ):
        code, data, err = tacs(capsys, *base, *more)
        assert code == 2
        assert word in data["error"]
        assert err.count("\n") == 1
