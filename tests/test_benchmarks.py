"""The peak benchmark on a few recordings: what it counts, and that its figures are sane."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path

import pytest

pytest.importorskip("benchmarks.peak", reason="benchmarks are not here")

from benchmarks import peak, peak_cases
from benchmarks.made import Case, floor_hz
from benchmarks.peak_cases import Plan
from benchmarks.peak_tables import (
    Accuracy,
    Outcome,
    Share,
    accuracy_checks,
    compare,
    coverage_checks,
    false_answers,
    share_at_most,
    verdict,
)

SMALL = Plan(
    seed=3,
    per_cell=5,
    recordings=3,
    timed=2,
    snrs=("high", "medium"),
    durations_s=(30.0, 60.0),
    exponents=(0.8, 1.6),
    knees_hz=(8.0,),
    generators=("bursts",),
    peers=("Welch maximum", "restingIAF (replication)"),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small run writes its figures."""
    return tmp_path_factory.mktemp("benchmark") / "peak.json"


@pytest.fixture(scope="module")
def report(file: Path) -> peak.Report:
    """One small run of every part."""
    return peak.run(SMALL, file)


def said(
    *frequencies_hz: float,
    ci95_hz: tuple[float, float] | None = None,
    provisional: bool = False,
    **case: object,
) -> Outcome:
    """An outcome made by hand; the truth is 10 Hz."""
    return Outcome(
        case=Case(**({"seed": 0, "peak_hz": 10.0} | case)),
        status="found" if frequencies_hz else "no_peak",
        frequencies_hz=frequencies_hz,
        ci95_hz=ci95_hz,
        provisional=provisional,
        cpu_s=0.1,
    )


def test_a_run_has_every_table_and_is_written(report: peak.Report, file: Path) -> None:
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written["tables"] == json.loads(json.dumps(report.tables))
    assert set(written["goals"]) == set(peak_cases.PARTS)
    assert set(report.tables) == set(peak_cases.PARTS)
    assert set(report.checks) == set(peak_cases.PARTS)
    assert written["tables"]["accuracy"].keys() == {
        *(f"{snr} {length} s" for snr in SMALL.snrs for length in (30, 60)), "all",
    }  # fmt: skip
    assert set(report.tables["coverage"]) == {"gauss", "bursts"}
    assert len(report.tables["absent"]) == 4
    assert [row["name"] for row in report.tables["peers"]] == ["ours", *SMALL.peers]
    assert all(check.measured and check.goal for part in report.checks.values() for check in part)


def test_the_figures_of_a_run_are_sane(report: peak.Report) -> None:
    whole = report.tables["accuracy"]["all"]
    assert whole["answered"]["of"] == 20
    assert whole["answered"]["range_percent"][1] >= 90.0
    assert whole["median_hz"] < 0.2
    assert 0.5 < whole["over_floor"] < 3.0
    assert whole["gross"]["count"] <= 2
    for generator in report.tables["coverage"].values():
        assert generator["all"]["coverage"]["range_percent"][1] >= 90.0
    absent = report.tables["absent"].values()
    false, of = (sum(row["all"][key] for row in absent) for key in ("count", "of"))
    assert of == 2 * 2 * 2 + 1 * 2 * 2
    assert Share(false, of).range_percent[0] <= 5.0
    split = report.tables["split"]["all"]
    assert split["flagged"]["range_percent"][1] >= 50.0
    assert split["intervals"]["count"] == 0
    welch = report.tables["peers"][1]
    assert welch["none"]["count"] == 0
    assert welch["false"]["count"] == SMALL.recordings
    ours = report.tables["cost"]["ours"]
    assert ours["cpu_median_s"] > 0.0
    assert 1.0 < ours["memory_mib"] < 200.0


def test_split_and_no_peak_are_withheld_and_an_error_is_of_the_answers() -> None:
    rows = [
        said(10.1, ci95_hz=(9.9, 10.3)),
        said(12.0, ci95_hz=(11.8, 12.2), provisional=True),
        said(9.0, 11.0),
        said(),
    ]
    cell = Accuracy.of(rows)
    assert (cell.answered.count, cell.answered.of, cell.split.count) == (2, 4, 1)
    assert cell.median_hz == pytest.approx(1.05)
    assert (cell.gross.count, cell.coverage.count, cell.provisional.count) == (1, 1, 1)
    assert cell.half_width_hz == pytest.approx(0.2)
    ratio = 1.05 / floor_hz(rows[0].case)
    assert cell.over_floor == pytest.approx(ratio)


def test_two_frequencies_are_right_only_if_both_are() -> None:
    pair = {"second": (2.0, 0.7)}
    assert said(12.2, 9.9, **pair).pair_found
    assert not said(12.4, 9.9, **pair).pair_found
    assert not said(10.0, **pair).pair_found
    assert not said(10.0, 12.0).pair_found


def test_a_split_answer_without_a_rhythm_is_a_false_answer() -> None:
    rows = [said(peak_hz=None), said(9.0, 11.0, peak_hz=None), said(10.0, peak_hz=None)]
    assert false_answers(rows) == Share(2, 3)


def test_an_ar2_rhythm_is_held_against_the_maximum_of_its_spectrum() -> None:
    row = said(10.0, generator="ar2", width_hz=1.0)
    assert row.case.truth_hz is not None
    assert row.error_hz == pytest.approx(abs(10.0 - row.case.truth_hz))
    assert row.error_hz > 0.01


def test_the_floor_falls_with_the_root_of_the_length() -> None:
    short = Case(0, 10.0, duration_s=30.0)
    assert floor_hz(short) == pytest.approx(
        2.0 * floor_hz(dataclasses.replace(short, duration_s=120.0))
    )
    assert math.isnan(floor_hz(Case(0, None)))


def test_shares_have_exact_ranges_and_nothing_is_no_share() -> None:
    assert Share(0, 10).range_percent == pytest.approx((0.0, 30.85), abs=0.01)
    assert Share(95, 100).range_percent == pytest.approx((88.72, 98.36), abs=0.01)
    assert math.isnan(Share(0, 0).percent)
    assert share_at_most("x", Share(0, 0), 5.0) == []


def test_goals_are_met_short_or_short_within_chance() -> None:
    assert share_at_most("x", Share(5, 100), 5.0)[0].met
    near, far = share_at_most("x", Share(6, 100), 5.0) + share_at_most("x", Share(40, 100), 5.0)
    assert (near.met, near.chance, far.met, far.chance) == (False, True, False, False)
    assert verdict([share_at_most("x", Share(5, 100), 5.0)[0]]) == "met"
    assert "within chance" in verdict([near])
    assert "within chance" not in verdict([far])


def test_a_goal_below_the_floor_is_said_to_be_so() -> None:
    rows = [said(10.3, ci95_hz=(9.9, 10.7), snr="low", duration_s=30.0)] * 20
    checks = {check.name: check for check in accuracy_checks(Accuracy.of(rows), easy=False)}
    assert not checks["median error"].met
    assert "floor" in checks["median error"].goal
    assert accuracy_checks(Accuracy.of([said()]), easy=False) == []
    assert [c.met for c in accuracy_checks(Accuracy.of([said()]), easy=True)] == [False]


def test_answers_of_a_cell_that_seldom_answers_must_be_provisional() -> None:
    rows = [said(10.0, ci95_hz=(9.9, 10.1)), said(), said()]
    cell = Accuracy.of(rows)
    short = [check.name for check in coverage_checks({"low": cell}, cell) if not check.met]
    assert any(name.startswith("provisional, low") for name in short)


def test_seeds_differ_between_cells_and_stay_when_more_are_asked_for() -> None:
    plan = dataclasses.replace(SMALL, per_cell=3, recordings=5)
    makers = [
        peak_cases.present_cases(plan),
        *(peak_cases.present_cases(plan, name) for name in plan.generators),
        *(peak_cases.absent_cases(plan, knee=knee) for knee in (False, True)),
        peak_cases.split_cases(plan),
        peak_cases.peer_cases(plan),
    ]
    cases = list(itertools.chain(*makers))
    assert len({(case.seed, case.peak_hz is None) for case in cases}) == len(cases)
    more = set(peak_cases.present_cases(dataclasses.replace(plan, per_cell=5)))
    assert set(peak_cases.present_cases(plan)) < more
    other = peak_cases.present_cases(dataclasses.replace(plan, seed=plan.seed + 1))
    assert not {case.seed for case in other} & {case.seed for case in cases}


def test_two_rhythms_lie_in_the_band_and_apart_as_said() -> None:
    cases = list(peak_cases.split_cases(Plan(per_cell=100)))
    assert {case.snr for case in cases} == {"high", "medium"}
    for case in cases:
        assert case.second is not None
        assert case.peak_hz is not None
        assert 1.5 <= abs(case.second[0]) <= 2.5
        assert 7.5 <= case.peak_hz + case.second[0] <= 12.75


def test_a_peer_that_breaks_down_is_counted_and_has_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setitem(peak.PEERS, "broken", broken)
    plan = dataclasses.replace(SMALL, durations_s=(30.0,))
    case = next(peak_cases.present_cases(plan))
    table = compare([peak.measure((case, ("broken",)))])
    assert (table[1].failed, table[1].none.count, table[0].failed) == (1, 1, 0)


def test_two_processes_say_what_one_says() -> None:
    cases = list(itertools.islice(peak_cases.present_cases(SMALL), 2))
    alone, shared = (
        peak.outcomes(dataclasses.replace(SMALL, jobs=jobs), "test", iter(cases)) for jobs in (1, 2)
    )
    assert [o.frequencies_hz for o in alone] == [o.frequencies_hz for o in shared]
    assert [o.case for o in shared] == cases


@pytest.mark.parametrize(
    "words", [["--parts", "speed"], ["--per-cell", "0"], ["--seed", "-1"], ["--jobs", "3"]]
)
def test_nonsense_on_the_command_line_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        peak.arguments(words)
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_fast_peers_leave_the_slow_ones_out() -> None:
    fast, file = peak.arguments(["--peers", "fast"])
    assert file is None
    assert fast.peers
    assert not set(fast.peers) & set(peak.SLOW_PEERS)
    assert peak.arguments(["--peers", "none"])[0].peers == ()
