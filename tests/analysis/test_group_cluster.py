"""Cluster tests between patients, and folders of results of tacs compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import AnalysisError, compare_groups
from analysis.group_cluster import adjacency_of, cluster_test
from analysis.group_outputs import read_outputs

CHANNELS = tuple("Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split())
BACK = ("P3", "Pz", "P4", "O1", "O2")


def maps(n: int, effect: float, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    found = rng.normal(0.0, 0.3, (n, len(CHANNELS))) + rng.normal(0.0, 0.1, (n, 1))
    found[:, [CHANNELS.index(name) for name in BACK]] += effect
    return found


def test_a_planted_region_is_found_between_arms():
    found = cluster_test(
        maps(12, 0.6, 1), maps(12, 0.0, 2), CHANNELS, comparison="arms", n_permutations=300
    )
    assert found.p < 0.01
    assert set(BACK) <= set(found.clusters[0].channels)
    assert found.clusters[0].mass > 0.0
    assert found.clusters[0].peak in BACK
    assert found.n == (12, 12)


def test_a_planted_fall_within_patients_has_its_sign():
    found = cluster_test(
        maps(12, -0.6, 3), None, CHANNELS, comparison="before, after", n_permutations=300
    )
    assert found.p < 0.02
    assert found.clusters[0].mass < 0.0


def test_the_whole_map_has_one_false_alarm_in_twenty():
    alarms = sum(
        cluster_test(
            maps(8, 0.0, 100 + k), maps(8, 0.0, 900 + k), CHANNELS, comparison="null",
            n_permutations=100, seed=k,
        ).p <= 0.05
        for k in range(60)
    )  # fmt: skip
    # Binomial(60, .05): more than 8 in less than one run of two hundred.
    assert alarms <= 8


def test_frequencies_stand_beside_channels():
    rng = np.random.default_rng(4)
    data = rng.normal(0.0, 0.3, (10, 6, len(CHANNELS)))
    data[:, 2:4, -3:] += 0.8
    freqs = np.array([6.0, 8.0, 10.0, 12.0, 14.0, 16.0])
    found = cluster_test(data, None, CHANNELS, comparison="x", freqs_hz=freqs, n_permutations=200)
    assert found.clusters[0].p < 0.05
    low, high = found.clusters[0].frequencies_hz or (0.0, 0.0)
    # A neighbouring row may join by chance; the ends of the axis do not.
    assert 6.0 < low <= 10.0
    assert 12.0 <= high < 16.0
    assert {"O1", "O2"} <= set(found.clusters[0].channels)


def test_names_without_a_place_are_left_out_and_too_few_refused():
    data = np.column_stack([maps(8, 0.6, 1), np.zeros(8)])
    found = cluster_test(data, None, (*CHANNELS, "EOG"), comparison="x", n_permutations=100)
    assert found.left_out == ("EOG",)
    with pytest.raises(AnalysisError, match="4 channels with standard names; got 2"):
        adjacency_of(("O1", "O2", "X1", "X2"))
    with pytest.raises(AnalysisError, match="5 patients on each side; got 4"):
        cluster_test(maps(4, 0.0, 1), None, CHANNELS, comparison="x")


def result(values: Any, shift: float | None = 0.1) -> dict[str, Any]:
    return {
        "power": {
            "ln_ratio": float(np.mean(values[-5:])),
            "per_channel": {
                c: {"ln_ratio": float(v)} for c, v in zip(CHANNELS, values, strict=True)
            },
        },
        "peak_shift_hz": shift,
    }


def folder(tmp_path: Path, n: int = 16, effect: float = 0.6) -> Path:
    """A folder of results, arms by turns, one folder for each arm."""
    for i in range(n):
        arm = "active" if i % 2 else "sham"
        (tmp_path / arm).mkdir(exist_ok=True)
        values = maps(1, effect if i % 2 else 0.0, 50 + i)[0]
        text = json.dumps(result(values, None if i == 3 else 0.1 * (i % 5)))
        (tmp_path / arm / f"sub-{i:02d}_ses-1.json").write_text(text)
    return tmp_path


def test_a_folder_of_results_is_a_trial(tmp_path: Path):
    found = read_outputs(folder(tmp_path), outcomes=("power.ln_ratio", "peak_shift_hz"))
    assert found.records[0]["arm"] == "active"
    assert found.files[0] == "active/sub-01_ses-1.json"
    trial = compare_groups(found, expected="increase", n_permutations=200)
    assert trial.plan is not None
    assert (trial.plan.design, trial.plan.is_change) == ("between", True)
    assert trial.direction == "increase"
    assert [o.name for o in trial.outcomes] == ["power.ln_ratio", "peak_shift_hz"]
    assert trial.outcomes[1].attendance[0].lost == 1
    (clusters,) = trial.clusters
    assert clusters.p < 0.05
    assert any("whole map" in warning for warning in trial.warnings)
    assert "%" in trial.summary
    assert json.loads(json.dumps(trial.to_dict(), allow_nan=False))["clusters"]


def test_a_table_says_whose_results_they_are(tmp_path: Path):
    root = folder(tmp_path / "results" if (tmp_path / "results").mkdir() is None else tmp_path)
    table = tmp_path / "unblinded.csv"
    lines = [
        f"{i},{'verum' if i % 2 else 'sham'},{'active' if i % 2 else 'sham'}/sub-{i:02d}_ses-1.json"
        for i in range(16)
    ]
    table.write_text("\n".join(["subject,arm,file", *lines]))
    trial = compare_groups(read_outputs(root, table), n_permutations=100)
    assert trial.plan is not None
    assert trial.plan.arms == ("verum",)
    table.write_text("subject,arm,file\n1,sham,none.json\n")
    with pytest.raises(AnalysisError, match=r"line 2: .*no such file"):
        read_outputs(root, table)
    table.write_text("subject,arm\n1,sham\n")
    with pytest.raises(AnalysisError, match="no column 'file'"):
        read_outputs(root, table)


def test_one_arm_of_results_is_held_against_no_change(tmp_path: Path):
    for i in range(8):
        text = json.dumps(result(maps(1, 0.5, i)[0]))
        (tmp_path / f"sub-{i}.json").write_text(text)
    trial = compare_groups(read_outputs(tmp_path), n_permutations=100)
    assert trial.plan is not None
    assert trial.plan.design == "paired"
    assert trial.clusters[0].comparison == "after against before"
    assert any("without a control arm" in warning for warning in trial.warnings)


def test_results_of_two_conditions_in_periods_are_a_crossover(tmp_path: Path):
    for i in range(10):
        for session, arm in enumerate(("active", "sham") if i % 2 else ("sham", "active"), 1):
            values = maps(1, 0.6 if arm == "active" else 0.0, 10 * i + session)[0]
            name = f"sub-{i}_ses-{session}_arm-{arm}.json"
            (tmp_path / name).write_text(json.dumps(result(values)))
    trial = compare_groups(read_outputs(tmp_path), n_permutations=200)
    assert trial.plan is not None
    assert (trial.plan.design, trial.plan.is_change) == ("crossover", True)
    assert trial.direction == "increase"
    assert trial.clusters[0].p < 0.05


def test_several_sessions_of_a_patient_are_one_mean(tmp_path: Path):
    values = {}
    for i in range(8):
        for session in (1, 2):
            arm = "active" if i % 2 else "sham"
            numbers = maps(1, 0.4 if i % 2 else 0.0, 10 * i + session)[0]
            values.setdefault((arm, i), []).append(float(np.mean(numbers[-5:])))
            name = f"sub-{i}_ses-{session}_arm-{arm}.json"
            (tmp_path / name).write_text(json.dumps(result(numbers)))
    trial = compare_groups(read_outputs(tmp_path), n_permutations=50)
    assert trial.plan is not None
    assert trial.plan.design == "between"
    found = trial.outcomes[0].contrasts[0].primary
    assert found is not None
    means = {
        arm: np.mean([np.mean(v) for (a, _), v in values.items() if a == arm])
        for arm in ("active", "sham")
    }
    assert found.estimate == pytest.approx(means["active"] - means["sham"])
    assert found.n == 8


def test_no_change_worth_having_is_that_of_compare(tmp_path: Path):
    rng = np.random.default_rng(0)
    for i in range(12):
        values = 0.02 * rng.normal(size=len(CHANNELS))
        (tmp_path / f"sub-{i}_arm-{'active' if i % 2 else 'sham'}.json").write_text(
            json.dumps(result(values))
        )
    trial = compare_groups(read_outputs(tmp_path), n_permutations=50)
    assert trial.direction == "none"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("P1.json", "{}", "whose result"),
        ("sub-1.json", "{", "not a JSON file"),
        ("sub-1.json", "{}", "it has no 'power'"),
        ("sub-1.json", '{"power": {}}', "no 'power.ln_ratio'; power has no parts"),
        ("sub-1.json", '{"power": {"ln_ratio": "x"}}', "not a number"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, name: str, text: str, words: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(AnalysisError, match=words):
        read_outputs(tmp_path)


def test_files_that_say_less_than_others_are_named(tmp_path: Path):
    good = json.dumps(result(np.zeros(len(CHANNELS))))
    (tmp_path / "sub-1_arm-sham.json").write_text(good)
    (tmp_path / "sub-2.json").write_text(good)
    with pytest.raises(AnalysisError, match=r"sub-2\.json: other files name their arm"):
        read_outputs(tmp_path)
    with pytest.raises(AnalysisError, match="no such folder"):
        read_outputs(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnalysisError, match=r"no \.json files"):
        read_outputs(tmp_path / "empty")
