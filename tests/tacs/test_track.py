"""A person's course: what stands side by side, what it rests on, and what is not claimed."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import spearmanr

from analysis.errors import AnalysisError
from tacs.cli import call
from tacs.clock import Moment
from tacs.course import Courses
from tacs.decisions import decide
from tacs.errors import InputError
from tacs.ledger import Ledger
from tacs.limits import effective_limits
from tacs.scales import load_scale
from tacs.schedule import load_schedule
from tacs.track import track
from tacs.track_figure import plot_track
from tacs.track_words import track_words
from tests.tacs.courses import START, Clinic
from tests.tacs.test_decisions import far


def made_course(clinic: Clinic, n: int = 10) -> Clinic:
    """Ten sessions, alternately stimulation and sham, with ratings on two scales."""
    rng = np.random.default_rng(7)
    clinic.rated("madrs", 31, -3.0, rater_blinded="yes")
    clinic.rated("phq9", 19, -3.0, role="participant", operator="P01", rater_blinded="yes")
    for number in range(n):
        active = number % 2 == 0
        clinic.session(
            f"{number + 1:02d}",
            number * 2.0,
            waveform="tacs" if active else "active_sham",
            ln_ratio=float((0.22 if active else 0.0) + rng.normal(0.0, 0.08)),
            peak_hz=float(10.2 + rng.normal(0.0, 0.08)),
        )
    for day, madrs, phq in ((4.1, 27, 17), (10.1, 21, 12), (16.1, 15, 8), (30.0, 9, 4)):
        clinic.rated("madrs", madrs, day, rater_blinded="yes")
        clinic.rated("phq9", phq, day, rater_blinded="yes")
    return clinic


def test_response_remission_and_reliable_change_side_by_side(clinic: Clinic):
    found = track(made_course(clinic).dataset, "P01")
    madrs, phq9 = found.scales
    assert madrs.baseline is not None
    assert (madrs.baseline.total, madrs.baseline_is) == (
        31.0, "the last rating before the first session",
    )  # fmt: skip
    told = [
        (p.total, p.response, p.in_remission, None if p.reliable is None else p.reliable["verdict"])
        for p in madrs.points
    ]
    # 31 → 27 is 13 %, -4 of 6.44 points; → 21 is 32 %; → 15 is 52 %; → 9 is 71 % and ≤ 9.
    assert told == [
        (31.0, None, False, None),
        (27.0, "no response", False, "not reliable"),
        (21.0, "partial response", False, "improved"),
        (15.0, "response", False, "improved"),
        (9.0, "response", True, "improved"),
    ]
    last = madrs.points[-1]
    assert last.percent_improvement == pytest.approx(100 * 22 / 31)
    assert last.reliable is not None
    assert last.reliable["threshold_points"] == pytest.approx(6.44, abs=0.005)
    assert last.reliable["index"] == pytest.approx(-22 / (math.sqrt(2) * 6 * math.sqrt(0.15)))
    assert any("SD 6, reliability 0.85; assumed" in text for text in madrs.assumptions)
    assert phq9.points[-1].reliable is not None
    assert phq9.points[-1].reliable["index"] is None
    assert phq9.points[-1].in_remission is True


@pytest.mark.parametrize(
    ("scale", "base", "later", "percent", "response"),
    [
        ("panss", 90, 60, 50.0, "response"),  # (90-60)/(90-30), not 33 %
        ("panss", 90, 61, 100 * 29 / 60, "partial response"),
        ("ybocs", 30, 19, 100 * 11 / 30, "response"),  # 35 % or more
        ("ybocs", 30, 20, 100 / 3, "partial response"),
        ("isi", 20, 12, 40.0, "response"),  # 8 points
        ("isi", 20, 13, 35.0, "no response"),
        ("pcl5", 50, 40, 20.0, "response"),  # 10 points
        ("hamd17", 24, 12, 50.0, "response"),
        ("hamd17", 24, 13, 100 * 11 / 24, "partial response"),
    ],
)
def test_the_rule_of_each_scale(
    clinic: Clinic,
    scale: str,
    base: int,
    later: int,
    percent: float,
    response: str,
):
    clinic.rated(scale, base, -1.0)
    clinic.session("01", 0.0)
    clinic.rated(scale, later, 7.0)
    (course,) = track(clinic.dataset, "P01").scales
    last = course.points[-1]
    assert last.percent_improvement == pytest.approx(percent)
    assert last.response == response


def test_a_correction_counts_and_the_corrected_rating_does_not(clinic: Clinic):
    wrong = clinic.rated("madrs", 13, -1.0)
    clinic.rated("madrs", 31, -1.0, corrects=wrong.entry.hash)
    (course,) = track(clinic.dataset, "P01").scales
    assert [p.total for p in course.points] == [31.0]


def test_a_site_gives_its_own_reliability(clinic: Clinic):
    clinic.rated("isi", 20, -1.0)
    clinic.rated("isi", 15, 3.0)
    (course,) = track(clinic.dataset, "P01").scales
    assert course.points[-1].reliable is None
    assert any("give --reliable SCALE=SD/R" in text for text in course.assumptions)
    (course,) = track(clinic.dataset, "P01", reliable={"isi": (4.0, 0.9)}).scales
    assert course.points[-1].reliable is not None
    limit = 1.959964 * math.sqrt(2) * 4.0 * math.sqrt(0.1)
    assert course.points[-1].reliable["threshold_points"] == pytest.approx(limit)
    assert course.points[-1].reliable["verdict"] == "improved"
    with pytest.raises(AnalysisError, match="reliability 1"):
        track(clinic.dataset, "P01", reliable={"isi": (4.0, 1.0)})
    with pytest.raises(InputError, match="no rating of this scale"):
        track(clinic.dataset, "P01", reliable={"madrs": (6.0, 0.85)})


def test_peak_drift_beside_both_limits(clinic: Clinic):
    for number, peak_hz in enumerate((10.0, 10.05, 10.3, 11.0)):
        clinic.session(f"{number:02d}", float(number), peak_hz=peak_hz, ci_half_hz=0.15)
    found = track(clinic.dataset, "P01")
    drifts = [p.drift for p in found.peaks]
    assert drifts[0] is None
    told = [(d["beyond_own"], d["beyond_detectable"]) for d in drifts[1:] if d is not None]
    # Own error: √2·0.15 = 0.21 Hz; detectable: 1.96·√2·0.9·√0.1 = 0.79 Hz.
    assert told == [(False, False), (True, False), (True, True)]
    assert "0.9 Hz between persons" in found.peak_assumption


def test_three_against_three_can_never_reach_significance(clinic: Clinic):
    for number in range(6):
        clinic.session(
            f"{number:02d}", float(number), waveform="tacs" if number < 3 else "active_sham",
            ln_ratio=5.0 + number if number < 3 else number / 10,
        )  # fmt: skip
    found = track(clinic.dataset, "P01")
    assert found.n_of_1 is not None
    assert found.n_of_1.p == pytest.approx(0.1)
    assert "can never reach p < .05" in found.n_of_1.statement
    assert found.n_of_1_kinds == ("stimulation", "sham")
    assert any("can never reach p < .05" in line for line in track_words(found))


def test_two_kinds_of_sessions(clinic: Clinic):
    found = track(made_course(clinic).dataset, "P01")
    assert found.n_of_1 is not None
    assert (found.n_of_1.n_first, found.n_of_1.n_second) == (5, 5)
    active = [s.ln_ratio for s in found.sessions if s.waveform == "tacs"]
    sham = [s.ln_ratio for s in found.sessions if s.waveform == "active_sham"]
    assert found.n_of_1.difference == pytest.approx(np.mean(active) - np.mean(sham))
    named = {s.session: "b" if s.waveform == "tacs" else "a" for s in found.sessions}
    again = track(clinic.dataset, "P01", kinds=named)
    assert again.n_of_1 is not None
    assert again.n_of_1.difference == pytest.approx(-found.n_of_1.difference)
    assert again.n_of_1.p == found.n_of_1.p
    for wrong, said in (({"77": "a", "01": "b"}, "no session '77'"), ({"01": "a"}, "two kinds")):
        with pytest.raises(InputError, match=said):
            track(clinic.dataset, "P01", kinds=wrong)


def test_blinded_sessions_are_not_compared_by_kind(clinic: Clinic):
    for number in range(4):
        clinic.session(f"{number:02d}", float(number), ln_ratio=0.1, blinding={"label": "A"})
    found = track(clinic.dataset, "P01")
    assert (found.n_of_1, found.n_of_1_kinds) == (None, None)
    assert "blinded sessions" in str(found.n_of_1_reason)
    assert all(s.charge_c is None and s.waveform is None for s in found.sessions)
    assert any("withheld until unblinding" in note for note in found.notes)
    text = json.dumps(found.to_dict())
    assert '"tacs"' not in text
    assert plot_track(found) is not None


def test_the_link_is_exploratory_and_has_no_p(clinic: Clinic):
    found = track(made_course(clinic).dataset, "P01")
    assert {link["scale"] for link in found.links} == {"madrs", "phq9"}
    for link in found.links:
        assert link["label"] == "exploratory"
        assert "p" not in link
        assert link["n"] == 4
    ln = [s.ln_ratio for s in found.sessions]
    power = [np.mean(ln[:3]), np.mean(ln[3:6]), np.mean(ln[6:9]), ln[9]]
    change = [-4.0, -6.0, -6.0, -6.0]
    assert found.links[0]["spearman"] == pytest.approx(spearmanr(power, change).statistic)


def test_events_of_the_course(clinic: Clinic):
    clinic.session("01", 0.0, outcome="fault")
    clinic.rated("phq9", 27, 1.0)
    clinic.day(2.0)
    clinic.journal.append(
        "adverse_effects",
        {"form": "adverse_effects", "version": "1", "when": "after", "answers": {"serious": "yes"}},
        subject="P01", session="01", operator="AB", role="operator",
    )  # fmt: skip
    found = track(clinic.dataset, "P01")
    assert [(e.kind, e.at - START) for e in found.events] == [
        ("session", timedelta(0)), ("alert", timedelta(days=1)), ("adverse", timedelta(days=2)),
    ]  # fmt: skip
    assert found.events[1].what.endswith("OPEN")


def test_a_rating_without_a_total_is_shown_as_such(clinic: Clinic):
    clinic.rated("madrs", 30, -1.0)
    at = clinic.day(1.0)
    from tacs.ratings import rate

    rate(
        clinic.dataset, load_scale("madrs"), {1: 3}, subject="P01", at=at, now=at, operator="AB",
        role="rater",
    )  # fmt: skip
    found = track(clinic.dataset, "P01")
    assert found.scales[0].points[-1].total is None
    assert any("no total: items are missing" in line for line in track_words(found))
    plot_track(found)


def test_nobody_of_that_name(clinic: Clinic):
    clinic.rated("madrs", 30, 0.0)
    with pytest.raises(InputError, match="nothing of subject 'P07'; there is: P01"):
        track(clinic.dataset, "P07")
    with pytest.raises(InputError, match="--measure p: give"):
        track(clinic.dataset, "P01", measure="p")
    with pytest.raises(AnalysisError, match="reliability 2"):
        track(clinic.dataset, "P01", peak_reliability=2.0)


def test_the_figure_has_a_panel_for_everything(clinic: Clinic):
    figure = plot_track(track(made_course(clinic).dataset, "P01"))
    labels = [axis.get_ylabel().split("\n")[0] for axis in figure.axes]
    assert labels == [
        "peak (Hz)", "band power,", "connectivity,", "charge per", "madrs", "phq9",
    ]  # fmt: skip
    shared = {axis.get_xlim() for axis in figure.axes}
    assert len(shared) == 1
    assert "Not a medical device" in figure.get_suptitle()
    plt.close("all")


def enrolled(site: Path) -> Courses:
    """P01 on twenty sessions from START on, on real devices."""
    courses = Courses(site, emulated=False)
    courses.enrol(
        "P01", load_schedule("classic-20"), start=START.date(), time_zone="UTC", operator="AB",
        limits=effective_limits(), history=Ledger(site, emulated=False).history("P01", START),
        now=Moment(START),
    )  # fmt: skip
    return courses


def test_the_calendar_says_what_was_missed_and_what_stands_still(clinic: Clinic, site_folder: Path):
    clinic.rated("madrs", 31, 0.0)
    assert track(clinic.dataset, "P01").course is None
    assert track(clinic.dataset, "P01").course_reason == "on no course of this site"
    courses = enrolled(site_folder)
    found = track(clinic.dataset, "P01", now=START + timedelta(days=2)).course
    assert found is not None
    assert (found["counts"]["missed"], found["counts"]["planned"]) == (2, 20)
    assert (found["emulated"], found["next"]["allowed"], found["standing"]) == (False, True, [])
    # The fourth day: three sessions missed in a row stop the course.
    now = START + timedelta(days=3)
    found = track(clinic.dataset, "P01", now=now).course
    assert found is not None
    assert [b["limit"] for b in found["standing"]] == ["course_stop_rule"]
    assert "3 sessions missed in a row" in found["standing"][0]["value"]
    courses.stop("P01", operator="Dr C", role="clinician", reason="holiday", now=Moment(now))
    shown = track(clinic.dataset, "P01", now=now + timedelta(hours=1))
    assert shown.course is not None
    assert shown.course["counts"]["planned"] == 0
    assert shown.course["standing"][0]["limit"] == "course_stopped"
    (entry,) = shown.course["entries"]
    assert (entry["kind"], entry["operator"], entry["role"], entry["reason"]) == (
        "stop", "Dr C", "clinician", "holiday",
    )  # fmt: skip
    assert [e.what for e in shown.events] == ["course: stop by Dr C (holiday)"]
    assert any("STANDS STILL: course_stopped" in line for line in track_words(shown))
    courses.resume("P01", operator="Dr C", role="investigator", reason="back", now=Moment(now))
    # Half a year later every working day since was missed: three weeks of them are drawn.
    late = track(clinic.dataset, "P01", now=START + timedelta(days=180))
    figure = plot_track(late)
    told = [text.get_text() for text in figure.axes[0].texts]
    assert any("more missed until 2026-08-29" in text for text in told)
    low, high = figure.axes[0].get_xlim()
    assert high - low < 30.0


def test_a_course_that_does_not_verify_is_told_and_the_rest_is_shown(
    clinic: Clinic, site_folder: Path
):
    clinic.rated("madrs", 31, 0.0)
    courses = enrolled(site_folder)
    rows = track(clinic.dataset, "P01")
    assert rows.course is not None
    ledger = Ledger(site_folder, emulated=False)
    ledger.path.write_text("{}\n")
    found = track(clinic.dataset, "P01")
    assert found.course is None
    assert "the course is not shown" in str(found.course_reason)
    assert [len(s.points) for s in found.scales] == [1]
    assert courses.path.exists()


def test_a_retuning_is_an_event_and_the_frequency_is_drawn(clinic: Clinic):
    clinic.session("01", 1.0, peak_hz=10.2)
    clinic.day(2.0)
    decide(
        clinic.dataset, far(), subject="P01", session="02", operator="AB", role="operator",
        choice="retune", reason="moved",
    )  # fmt: skip
    clinic.session("02", 2.0, peak_hz=11.5)
    found = track(clinic.dataset, "P01")
    assert [e.what for e in found.events if e.kind == "decision"] == [
        "retuned from 10.27 to 11.5 Hz before session 02 by AB (moved)"
    ]
    assert found.to_dict()["decisions"][0]["choice"] == "retune"
    assert any("retune 11.5 Hz" in line for line in track_words(found))
    labels = plot_track(found).axes[0].get_legend_handles_labels()[1]
    assert {"frequency decided on", "retuned"} <= set(labels)


def test_an_after_effect_over_the_minutes(clinic: Clinic):
    paths = clinic.session("01", 0.0, ln_ratio=0.2)
    data = json.loads(paths.outcome.read_text())
    bins = [
        {"from_min": a, "to_min": b, "percent": p, "ci95_percent": [p - 9.0, p + 9.0]}
        for a, b, p in ((2.0, 3.0, 28.0), (20.0, 22.0, 21.0), (40.0, 42.0, 15.0))
    ]
    decay = {"w0": 0.3, "w0_ci95": [0.2, 0.4], "tau_min": 60.0, "reason": None}
    data["time_course"] = {"bins": bins, "decay": decay, "start_known": True}
    paths.outcome.write_text(json.dumps(data))
    (shown,) = track(clinic.dataset, "P01").after_effects
    assert (shown["w0"], shown["w0_ci95"], shown["tau_min"]) == (0.3, [0.2, 0.4], 60.0)
    assert shown["bins"] == bins
    text = "\n".join(track_words(track(clinic.dataset, "P01")))
    assert "40 to 42 min +15 %; +30 % fading with a time constant of 60 min" in text
    foot = plot_track(track(clinic.dataset, "P01")).axes
    assert any(axis.get_xlabel() == "minutes after the current ended" for axis in foot)
    # A bin without a number is none: it has nothing to show.
    data["time_course"]["bins"] = [*bins, {**bins[0], "from_min": 60.0, "percent": None}]
    paths.outcome.write_text(json.dumps(data))
    found = track(clinic.dataset, "P01")
    assert found.after_effects[0]["bins"] == bins
    assert track_words(found) == text.splitlines()
    # Without the time of the first sample the bins have no place.
    data["time_course"]["start_known"] = False
    paths.outcome.write_text(json.dumps(data))
    assert track(clinic.dataset, "P01").after_effects == ()


def test_show_from_the_command_line(
    clinic: Clinic,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    made_course(clinic)
    figure = tmp_path / "out" / "course.png"
    line = ["track", "show", str(clinic.dataset), "--subject", "P01"]
    assert call([*line, "--figure", str(figure), "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert len(told["peaks"]) == len(told["sessions"]) == 10
    assert told["n_of_1"]["n_first"] == 5
    assert figure.stat().st_size > 10_000
    assert call([*line, "--reliable", "madrs=7.5/0.8"]) == 0
    prose = capsys.readouterr().out
    assert "reliable change: SD 7.5, reliability 0.8; given by the site" in prose
    assert "EXPLORATORY" in prose
    for wrong in (["--reliable", "madrs=7"], ["--kinds", "01"], ["--peak-sd", "-1"]):
        assert call([*line, *wrong]) == 2
        assert "Traceback" not in capsys.readouterr().err
