"""The report of a comparison: what it says first, what could explain it, its methods, its files."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from analysis.outcome import Outcome, compare
from tacs.errors import InputError
from tacs.outcome_doubts import doubts
from tacs.outcome_methods import method_section
from tacs.outcome_page_words import banners, key_figures, title
from tacs.outcome_report import outcome_report
from tacs.outcome_tables import measure_rows, preparation_rows
from tests.analysis.made_outcome import made_pair


@pytest.fixture(scope="module")
def rise() -> Outcome:
    """Alpha power doubled."""
    before, after = made_pair(3, alpha_ratio=3.0)
    return compare(
        before,
        after,
        peak_hz=10.0,
        n_bootstrap=200,
        protocol_info={"expected_direction": "decrease", "stimulated_electrodes": ["Cz"]},
    )


@pytest.fixture
def data(rise: Outcome) -> dict[str, Any]:
    return copy.deepcopy(rise.to_dict())


def by_what(data: dict[str, Any], start: str) -> tuple[str, str]:
    known = {"protocol_known": True, **data}
    (one,) = [one for one in doubts(known) if one.what.startswith(start)]
    return one.weight, one.evidence


class Text(HTMLParser):
    """Tags that were opened and never closed, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "img", "br", "link", "input", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_whole_and_its_numbers_lie_beside_it(rise: Outcome, tmp_path: Any) -> None:
    page, numbers = outcome_report(
        rise, tmp_path / "r.html", before="<b>pre.edf", after="post.edf", protocol="p.toml"
    )
    html = page.read_text("utf-8")
    reader = Text()
    reader.feed(html)
    assert reader.open == []
    words = " ".join(" ".join(reader.words).split())
    assert "<b>pre.edf" in words
    assert "Research use only. Not a medical device." in words
    assert "p.toml" in words
    assert rise.to_dict()["summary"] in words
    assert "What could explain it otherwise" in words
    assert "<script" not in html
    assert not re.search(r"(src|href)=\"(?!data:)", html)
    assert html.count('src="data:image') >= 3
    assert json.loads(numbers.read_text("utf-8")) == json.loads(json.dumps(rise.to_dict()))


@pytest.mark.parametrize("name", ["report.txt", "report"])
def test_another_ending_is_refused_and_nothing_is_written(
    rise: Outcome, tmp_path: Any, name: str
) -> None:
    with pytest.raises(InputError, match=r"ends in \.html"):
        outcome_report(rise, tmp_path / name, before="a", after="b")
    assert list(tmp_path.iterdir()) == []


def test_what_comes_first_of_a_rise_that_was_not_predicted(data: dict[str, Any]) -> None:
    assert data["direction"] == "increase"
    assert title(data) == "The rhythm was stronger after the session"
    assert [one.title for one in banners(data)] == [
        "Not as predicted",
        "A change, not yet an effect",
    ]
    power, adjusted, _, peak = key_figures(data)
    assert power.value == f"+{data['power']['percent']:.0f}\u202f%"
    assert adjusted.value == f"+{data['power']['adjusted']['percent']:.0f}\u202f%"
    assert "95 % interval" in power.note
    assert peak.label == "Peak frequency"


def test_what_comes_first_of_no_change_and_of_too_little(data: dict[str, Any]) -> None:
    data["as_predicted"] = None
    data["direction"] = "none"
    assert [(one.kind, one.title) for one in banners(data)] == [("good", "No change")]
    data["direction"] = "undetermined"
    assert [one.title for one in banners(data)] == ["Undetermined"]
    data["power"]["aperiodic"]["verdict"] = "aperiodic shift, not oscillation"
    assert [one.title for one in banners(data)] == ["The background, not the rhythm"]


def test_a_change_within_test_retest_says_so_first(data: dict[str, Any]) -> None:
    data["retest"] = {"n": 4, "beyond": False, "limits_percent": [-40.0, 70.0]}
    assert "Within test-retest" in [one.title for one in banners(data)]
    weight, evidence = by_what(data, "Ordinary change")
    assert (weight, "\u221240 to +70" in evidence) == ("open", True)
    data["retest"]["beyond"] = True
    assert by_what(data, "Ordinary change")[0] == "against"
    data["retest"] = {"n": 1, "beyond": None, "reason": "one pair is too few"}
    assert by_what(data, "Ordinary change") == ("unknown", "One pair is too few.")


def test_a_slow_drift_is_never_ruled_out(data: dict[str, Any]) -> None:
    data["power"]["fluctuation"]["slow"] = False
    weight, evidence = by_what(data, "Slow drift")
    assert weight == "open"
    assert "fluctuates" not in evidence
    data["power"]["fluctuation"]["slow"] = True
    assert "fluctuates slowly by itself" in by_what(data, "Slow drift")[1]


def test_chance_is_open_where_the_interval_holds_zero(data: dict[str, Any]) -> None:
    assert by_what(data, "Chance")[0] == "against"
    data["power"]["ci95_percent"] = [-3.0, 12.0]
    weight, evidence = by_what(data, "Chance")
    assert (weight, "holds zero" in evidence) == ("open", True)
    data["power"]["ci95_percent"] = [-9.0, -3.0]
    assert by_what(data, "Chance")[0] == "against"
    data["power"]["ci95_percent"] = None
    assert by_what(data, "Chance")[0] == "unknown"


def test_the_background_is_against_only_where_the_rhythm_moved(data: dict[str, Any]) -> None:
    data["power"]["aperiodic"]["verdict"] = "oscillation"
    assert by_what(data, "A change of the background")[0] == "against"
    for verdict in ("aperiodic shift, not oscillation", "unclear: adjusted power is too uncertain"):
        data["power"]["aperiodic"]["verdict"] = verdict
        weight, evidence = by_what(data, "A change of the background")
        assert weight == "open"
        assert verdict in evidence
    data["power"]["adjusted"]["percent"] = None
    data["power"]["adjusted"]["reason"] = "before: the fit explains too little"
    assert by_what(data, "A change of the background") == (
        "unknown",
        "Before: the fit explains too little.",
    )


def check(name: str, ok: bool | None, note: str = "") -> dict[str, Any]:
    return {"check": name, "before": "x", "after": "y", "ok": ok, "note": note}


def test_the_state_and_the_recording_follow_their_checks(data: dict[str, Any]) -> None:
    data["preparation"]["same_state"] = [
        check("eyes", False, "open before, closed after"),
        check("reference", True),
        check("sampling_rate", True),
    ]
    assert by_what(data, "Another state") == ("open", "Open before, closed after.")
    assert by_what(data, "Different recording") == (
        "against",
        "Checked and alike: reference and sampling rate.",
    )
    data["preparation"]["same_state"] = [
        check("eyes", None, "nobody says"),
        check("filter", False, "0.5-40 Hz before, 1-100 Hz after"),
        check("rank", None),
    ]
    assert by_what(data, "Another state")[0] == "unknown"
    assert by_what(data, "Different recording") == ("open", "0.5-40 Hz before, 1-100 Hz after.")
    data["preparation"]["same_state"] = [check("eyes", True), check("rank", None)]
    assert by_what(data, "Another state")[0] == "against"
    assert by_what(data, "Different recording") == ("unknown", "Rank: x before, y after.")


def test_arousal_and_a_line_that_is_left_are_named(data: dict[str, Any]) -> None:
    data["preparation"]["same_state"] = [check("eyes", True)]
    data["inference"]["reasons"] = [
        {"code": "arousal", "text": "theta rose"},
        {"code": "residual_line", "text": "a line at 10.0 Hz"},
    ]
    assert by_what(data, "Another state") == ("open", "Theta rose.")
    assert by_what(data, "Gel") == ("open", "A line at 10.0 Hz.")


def test_electrodes_are_known_only_with_a_protocol(data: dict[str, Any]) -> None:
    assert by_what(data, "Gel")[0] == "against"
    assert "Cz" in by_what(data, "Gel")[1]
    data["protocol_known"] = False
    assert by_what(data, "Gel")[0] == "unknown"


def test_a_peak_that_went_far_is_another_explanation(data: dict[str, Any]) -> None:
    data["peak_shift_hz"] = 0.1
    assert by_what(data, "A peak that moved")[0] == "against"
    data["peak_shift_hz"] = -0.8
    assert by_what(data, "A peak that moved")[0] == "open"
    data["peak_shift_hz"] = None
    data["peak_shift"]["reason"] = "no peak after"
    assert by_what(data, "A peak that moved") == ("unknown", "No peak after.")


def test_what_is_open_stands_above_what_is_ruled_out(data: dict[str, Any]) -> None:
    data["protocol_known"] = True
    weights = [one.weight for one in doubts(data)]
    assert weights == sorted(weights, key=("open", "unknown", "against").index)
    assert len({one.what for one in doubts(data)}) == len(weights)


def test_the_methods_name_what_was_done_and_only_that(data: dict[str, Any]) -> None:
    section = method_section(
        data, (("tacs-suite", "1.2.3"), ("numpy", "9.9"), ("x", "not installed"))
    )
    text = section.text
    low, high = data["power"]["band_hz"]
    assert f"{low:.2f} to {high:.2f} Hz".replace(" Hz", "") in text
    assert "tacs-suite 1.2.3" in text
    assert "not installed" not in text
    for reference in section.references:
        assert reference.split(",")[0].split()[0] in text
    assert "independent component" not in text
    assert not any("Perrin" in one for one in section.references)
    data["preparation"]["interpolated"]["channels"] = ["Oz"]
    again = method_section(data, ())
    assert "Oz were interpolated" in again.text
    assert any(one.startswith("Perrin") for one in again.references)


def test_methods_without_connectivity_do_not_describe_it(data: dict[str, Any]) -> None:
    data["connectivity"] = {"n_epochs": 0, "reason": "too short"}
    text = method_section(data, ()).text
    assert "onnectivity" not in text
    assert "Nolte" not in text


def test_tables_take_the_measures_that_are_there(data: dict[str, Any]) -> None:
    names = [words for words, _ in measure_rows(data["connectivity"])]
    assert [name.endswith("(primary)") for name in names] == [True] * 2 + [False] * 7
    assert measure_rows({"n_epochs": 0, "reason": "too short"}) == ()
    rows = dict(preparation_rows(data["preparation"]))
    assert rows["Bad in one, left out of both"] == "none"
    assert rows["Left out at the start of each"] == "3.0\u202fs"
    data["preparation"]["bad_channels"] = [f"E{k}" for k in range(13)]
    assert dict(preparation_rows(data["preparation"]))["Bad in one, left out of both"] == (
        "13 channels"
    )
