"""Tables of trials: what is read, and what is refused, in one line with the line's number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import AnalysisError
from analysis.group_design import attendance, choose_design
from analysis.group_table import as_table

GOOD = """subject,arm,time,madrs,age
P1,active,pre,30,40
P1,active,post,20,40
P2,sham,pre,31,50
P2,sham,post,,50
"""


def write(tmp_path: Path, text: str, name: str = "trial.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def refused(source: Any, *words: str, **options: Any) -> None:
    with pytest.raises(AnalysisError) as caught:
        as_table(source, **{"outcomes": ("madrs",), **options})
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_a_table_is_read_with_its_missing_value(tmp_path: Path):
    table = as_table(write(tmp_path, GOOD), outcomes=("madrs",))
    assert table.subjects == ("P1", "P2")
    assert table.arms == ("active", "sham")
    assert table.times == ("pre", "post")
    assert [row.values[0] for row in table.rows] == [30.0, 20.0, 31.0, None]
    assert [row.line for row in table.rows] == [2, 3, 4, 5]
    plan = choose_design(table)
    assert (plan.design, plan.arms, plan.control) == ("mixed", ("active",), "sham")
    active, sham = attendance(table, plan, 0)
    assert (active.n, active.seen, active.complete, active.lost) == (
        1, (("pre", 1), ("post", 1)), 1, 0,
    )  # fmt: skip
    assert (sham.n, sham.seen, sham.complete, sham.lost) == (1, (("pre", 1), ("post", 0)), 0, 1)


@pytest.mark.parametrize(("mark", "name"), [("\t", "t.tsv"), (";", "t.csv")])
def test_tabs_and_semicolons_are_read_too(tmp_path: Path, mark: str, name: str):
    table = as_table(write(tmp_path, GOOD.replace(",", mark), name), outcomes=("madrs",))
    assert len(table.rows) == 4


def test_python_tables_are_the_same_table(tmp_path: Path):
    from_file = as_table(write(tmp_path, GOOD), outcomes=("madrs",))
    frame = pd.read_csv(tmp_path / "trial.csv")
    columns = {name: list(frame[name]) for name in frame.columns}
    for source in (frame, columns, frame.to_dict("records")):
        table = as_table(source, outcomes=("madrs",))
        assert [r.values for r in table.rows] == [r.values for r in from_file.rows]
        assert table.times == from_file.times


def test_weeks_are_in_order_of_their_numbers(tmp_path: Path):
    text = "patient,group,week,bdi\nA,tau,10,1\nA,tau,2,3\nA,tau,0,4\n"
    table = as_table(write(tmp_path, text))
    assert (table.times, table.time_values) == (("0", "2", "10"), (0.0, 2.0, 10.0))
    assert table.columns.to_dict() == {
        "subject": "patient", "arm": "group", "time": "week", "period": None, "responder": None,
    }  # fmt: skip
    assert table.outcomes == ("bdi",)


def test_a_session_is_a_visit_or_a_period(tmp_path: Path):
    visit = "subject,arm,session,x\nA,active,1,1\nA,active,2,2\nB,sham,1,1\nB,sham,2,1\n"
    assert as_table(write(tmp_path, visit)).columns.time == "session"
    period = "subject,arm,session,x\nA,active,1,1\nA,sham,2,2\nB,sham,1,1\nB,active,2,1\n"
    table = as_table(write(tmp_path, period))
    assert (table.columns.time, table.periods) == (None, ("1", "2"))


def test_times_choose_and_order_visits(tmp_path: Path):
    text = GOOD.replace("pre", "V1").replace("post", "V2")
    path = write(tmp_path, text)
    refused(path, "order of the visits V1, V2", "--times")
    table = as_table(path, outcomes=("madrs",), times=("V2", "V1"))
    assert table.times == ("V2", "V1")
    assert [r.time for r in as_table(path, outcomes=("madrs",), times=("V1",)).rows] == ["V1", "V1"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("30,40", "thirty,40", ("line 2", "'madrs'", "'thirty'", "not a number")),
        ("30,40", "inf,40", ("line 2", "not a number")),
        ("P2,sham,post", "P2,sham,pre", ("line 5", "P2 (sham, pre)", "line 4")),
        ("P2,sham,post", ",sham,post", ("line 5", "no subject")),
        ("P2,sham,post", "P2,,post", ("line 5", "no arm")),
        ("P1,active,post,20,40", "P1,active,post,20", ("line 3", "4 values for 5 columns")),
        ("age", "madrs", ("two columns are called 'madrs'",)),
        ("subject,arm", "who,arm", ("--subject", "who, arm")),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, old: str, new: str, words: tuple[str, ...]):
    refused(write(tmp_path, GOOD.replace(old, new, 1)), "trial.csv", *words)


def test_a_decimal_comma_is_explained(tmp_path: Path):
    text = "subject;arm;madrs\nA;active;12,5\nB;sham;3\n"
    refused(write(tmp_path, text), "line 2", "decimals need a point")


def test_a_missing_column_is_refused_with_the_nearest(tmp_path: Path):
    path = write(tmp_path, GOOD)
    refused(path, "no column 'madr'", "nearest: madrs", outcomes=("madr",))
    refused(path, "no column 'grup' (arm)", "there are subject", arm="grup")
    refused(path, "says whose value", outcomes=("time",))
    refused(path, "no visit 'week 3'", "pre, post", times=("week 3",))


def test_several_outcomes_must_be_chosen_from(tmp_path: Path):
    with pytest.raises(AnalysisError, match="--outcome, one of madrs, age"):
        as_table(write(tmp_path, GOOD))


@pytest.mark.parametrize(
    ("text", "words"),
    [("", ("empty",)), ("subject,arm,x\n", ("no rows",)), ("subject,x\nA,a\n", ("no numeric",))],
)
def test_a_table_without_content_is_refused(tmp_path: Path, text: str, words: tuple[str, ...]):
    refused(write(tmp_path, text), *words, outcomes=())


def test_no_file_and_a_folder_are_refused(tmp_path: Path):
    refused(tmp_path / "none.csv", "no such file")
    refused(tmp_path, "a folder", "--from-compare")
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00\x81")
    refused(path, "cannot be read")
    refused(7, "give a path")


def test_a_responder_is_yes_or_no(tmp_path: Path):
    text = "subject,arm,better\nA,active,yes\nB,sham,No\nC,sham,NA\n"
    table = as_table(write(tmp_path, text), responder="better")
    assert [row.responder for row in table.rows] == [True, False, None]
    assert table.outcomes == ()
    bad = write(tmp_path, text.replace("No", "perhaps"))
    refused(bad, "line 3", "'perhaps'", "yes or no", responder="better", outcomes=())


def rows(*cells: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [{"subject": s, "arm": a, "time": t, "x": k} for k, (s, a, t) in enumerate(cells)]


def test_one_patient_in_two_arms_is_named():
    data = rows(
        ("A", "active", "pre"), ("A", "active", "post"), ("B", "sham", "pre"), ("B", "sham", "end"),
        ("C", "sham", "pre"), ("C", "active", "post"), ("D", "sham", "pre"), ("D", "sham", "end"),
    )  # fmt: skip
    table = as_table(data, times=("pre", "post", "end"))
    with pytest.raises(AnalysisError, match="C is in two arms \\(sham in line 5, active in line 6"):
        choose_design(table)
    with pytest.raises(AnalysisError, match="--design mixed allows one"):
        choose_design(table, "mixed")


@pytest.mark.parametrize(
    ("design", "words"),
    [
        ("paired", "nobody is in two arms"),
        ("crossover", "nobody is in two"),
        ("n_of_1", "nobody is in two"),
        ("anova", "give one of auto, paired"),
    ],
)
def test_a_design_that_the_table_does_not_hold_is_refused(design: str, words: str):
    table = as_table(rows(("A", "active", "pre"), ("B", "sham", "pre")))
    with pytest.raises(AnalysisError, match=words):
        choose_design(table, design)


def test_one_value_and_one_arm_is_nothing_to_compare():
    table = as_table(rows(("A", "active", "pre"), ("B", "active", "pre")))
    with pytest.raises(AnalysisError, match="nothing to compare"):
        choose_design(table)


def test_which_arm_is_the_control_is_asked_where_the_names_do_not_say():
    table = as_table(rows(("A", "ten", "pre"), ("B", "forty", "pre")))
    with pytest.raises(AnalysisError, match="--control, one of ten, forty"):
        choose_design(table)
    assert choose_design(table, control="ten").arms == ("forty",)
    with pytest.raises(AnalysisError, match="no arm 'six'"):
        choose_design(table, control="six")
