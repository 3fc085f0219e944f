"""Visits of one frequency: what is rest, and several visits read together."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import mne
import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.marks import add_marks, spans_of
from analysis.profile_blocks import Block, same_end
from analysis.profile_input import append_visit, rest_spans
from analysis.profile_plan import plan_profile
from analysis.profile_visits import edge_share, latin_row

FS = 100.0


def recording(seconds: float, names: tuple[str, ...] = ("Oz", "Pz"), fs: float = FS) -> Any:
    rng = np.random.default_rng(len(names))
    data = rng.standard_normal((len(names), round(seconds * fs))) * 1e-6
    return mne.io.RawArray(data, mne.create_info(list(names), fs, "eeg"), verbose="ERROR")


def rows(*starts_s: float, kind: Any = "drive") -> list[Block]:
    return [Block(10.0, 1.0, kind, s, s + 2.0, i + 1) for i, s in enumerate(starts_s)]


def test_what_is_marked_as_rest_is_rest_and_nothing_under_current_is():
    raw = recording(200.0)
    gaps = np.array([20.0, 130.0])
    table = rows(50.0, 72.0, kind="sham")
    assert rest_spans(raw, table, gaps) == [
        (50.0, 52.0), (72.0, 74.0), (54.0, 72.0), (76.0, 204.0), (0.0, 50.0),
    ]  # fmt: skip
    add_marks(raw, [30.0, 60.0], [15.0, 1.0], "current on")
    assert rest_spans(raw, table, gaps) == [
        (50.0, 52.0), (72.0, 74.0), (54.0, 60.0), (63.0, 72.0), (76.0, 204.0), (0.0, 30.0),
        (47.0, 50.0),
    ]  # fmt: skip
    add_marks(raw, [0.0], [40.0], "at rest")
    assert rest_spans(raw, table, gaps) == [(0.0, 30.0)]
    assert rest_spans(recording(20.0), [], gaps[:0]) == [(0.0, 20.0)]


def test_a_second_visit_stands_behind_the_first_with_its_marks_and_rows():
    first, second = recording(60.0, ("Oz", "Pz", "Cz")), recording(40.0, ("Pz", "Oz"))
    add_marks(first, [5.0], [2.0], "current on")
    add_marks(second, [7.0], [3.0], "current on")
    second.set_meas_date(1e9)
    both, table = append_visit(first, second, rows(5.0, 9.0), rows(7.0, kind="sham"))
    assert both.ch_names == ["Oz", "Pz"]
    assert both.n_times == 10_000
    assert both.get_data("Pz")[0, 6000:] == pytest.approx(second.get_data("Pz")[0])
    assert spans_of(both, "current on") == [(5.0, 7.0), (67.0, 70.0)]
    assert [(b.start_s, b.stop_s, b.order, b.kind) for b in table] == [
        (5.0, 7.0, 1, "drive"), (9.0, 11.0, 2, "drive"), (67.0, 69.0, 3, "sham"),
    ]  # fmt: skip
    assert spans_of(first, "current on") == [(5.0, 7.0)]


@pytest.mark.parametrize(
    ("visit", "at_s", "word"),
    [
        (recording(40.0, ("Fz",)), 7.0, "0 channels"),
        (recording(40.0, fs=250.0), 7.0, "250 Hz"),
        (recording(40.0), 39.0, "outside its recording of 40 s"),
    ],
)
def test_visits_that_do_not_go_together(visit: Any, at_s: float, word: str):
    with pytest.raises(AnalysisError, match=word):
        append_visit(recording(60.0), visit, rows(5.0), rows(at_s))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
def test_every_condition_is_as_often_at_every_place_and_behind_every_other(n: int):
    rows = [latin_row(n, row) for row in range(n if n % 2 == 0 else 2 * n)]
    assert {tuple(sorted(row)) for row in rows} == {tuple(range(n))}
    places = Counter((i, one) for row in rows for i, one in enumerate(row))
    behind = Counter(pair for row in rows for pair in pairwise(row))
    assert len(places) == n * n
    assert len(behind) == n * (n - 1)
    assert len(set(places.values())) == len(set(behind.values())) == 1
    assert latin_row(n, len(rows)) == rows[0]


def test_a_plan_with_current_is_of_visits_and_persons_go_through_them_in_other_orders():
    plans = [plan_profile("electrical", 10.2, seed=seed) for seed in range(4)]
    assert {tuple(sorted(p.order_hz)) for p in plans} == {(0.0, 8.2, 10.2, 12.2)}
    assert sorted(p.order_hz[0] for p in plans) == [0.0, 8.2, 10.2, 12.2]
    data = plans[1].to_dict()
    assert [v["visit"] for v in data["visits"]] == [1, 2, 3, 4]
    assert [v["frequency_hz"] if v["kind"] == "drive" else 0.0 for v in data["visits"]] == data[
        "order_hz"
    ]
    sham = next(v for v in data["visits"] if v["kind"] == "sham")
    assert (sham["frequency_hz"], sham["trains"], sham["on_s"], sham["off_s"]) == (
        10.2, 190, 2.0, 1.5,
    )  # fmt: skip
    assert data["hours_between_visits"] == 48.0
    after = [r["after_min"] for r in data["recordings"] if r["when"] == "post"]
    assert sorted(set(after)) == [0.0, 10.0, 30.0]
    assert len({r["task"] for r in data["recordings"]}) == len(data["recordings"])
    assert any("48 h" in text for text in data["warnings"])
    twice = plan_profile("electrical", 10.2, repeats=2)
    assert len(twice.visits) == 8
    assert twice.order_hz[:4] != twice.order_hz[4:]
    assert "visits" not in plan_profile("photic", 10.2).to_dict()


@pytest.mark.parametrize("peak_hz", [10.0, 10.2, 9.5, 12.0, 8.57])
def test_trains_end_at_all_phases_of_the_drive(peak_hz: float):
    for visit in plan_profile("electrical", peak_hz).visits:
        period_s = visit.on_s + visit.off_s
        assert 1.5 <= visit.off_s <= 1.7
        assert visit.off_s / 0.02 == pytest.approx(round(visit.off_s / 0.02))
        ends = 2.0 * np.pi * visit.frequency_hz * period_s * np.arange(visit.trains)
        assert abs(np.exp(1j * ends).mean()) <= 0.1
    assert {v.off_s for v in plan_profile("electrical", 10.2).visits} == {1.5}


def test_trains_that_end_at_one_phase_are_warned_of():
    alike = [replace(b, phase_rad=0.3) for b in rows(*np.arange(0.0, 70.0, 3.5).tolist())]
    assert "same phase (resultant 1.00)" in same_end(alike)
    spread = [replace(b, phase_rad=0.7 * i) for i, b in enumerate(alike)]
    assert same_end(spread) == ""


@pytest.mark.parametrize(("edge_s", "memory_s"), [(0.5, 0.318), (0.25, 0.318), (0.5, 1.2)])
def test_a_drive_that_fades_leaves_less(edge_s: float, memory_s: float):
    ago_s = np.arange(0.0, 20.0, 1e-4) + 5e-5
    level = np.minimum(ago_s / edge_s, 1.0)
    expected = float((level * np.exp(-ago_s / memory_s)).sum() * 1e-4 / memory_s)
    assert edge_share(edge_s, memory_s) == pytest.approx(expected, abs=1e-4)
    plan = plan_profile("electrical", 10.0, fwhm_hz=1.0)
    asked = 0.16 * math.exp(-0.2 * math.pi) * edge_share(0.5, 1.0 / math.pi)
    assert plan.expected_plv == pytest.approx(asked)


def test_a_short_visit_says_that_it_can_report_no_echo():
    short = plan_profile("electrical", 10.0, trains=12)
    assert short.detectable_plv == pytest.approx(0.632, abs=0.001)
    assert any("0.63" in text and "no echo may" in text for text in short.warnings)
    enough = plan_profile("electrical", 10.0, trains=54)
    assert not any("no echo may" in text for text in enough.warnings)
