"""Scales: what ships, reference values worked by hand, and strict files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.longitudinal import reliable_change
from tacs.errors import FileProblems, InputError
from tacs.scale_score import score
from tacs.scales import Scale, all_scales, load_scale

SHIPPED = ("bdi2", "gad7", "hamd17", "isi", "madrs", "panss", "pcl5", "phq9", "ybocs")


def answers(name: str, text: str) -> dict[int, int]:
    """Answers in the order of the items; a dash is a missing one."""
    return {n: int(sign) for n, sign in enumerate(text.replace(" ", ""), 1) if sign != "-"}


def made(**changes: Any) -> dict[str, Any]:
    return {
        "id": "made", "version": "1", "title": "Made", "about": "mood", "rater": "self",
        "total_minimum": 0, "total_maximum": 6, "source": "made", "licence": "BSD-3-Clause",
        "item_text": "licensed",
        "items": [{"number": n, "minimum": 0, "maximum": 3} for n in (1, 2)],
        "missing": {"rule": "none", "source": "made", "read_at_source": True},
        **changes,
    }  # fmt: skip


SOURCED = {"source": "made", "read_at_source": True}


def test_these_ship():
    assert tuple(all_scales()) == SHIPPED


# Vignettes worked out by hand: answers, total, band, remission, subscales, alerts.
VIGNETTES: tuple[tuple[Any, ...], ...] = (
    ("phq9", "222 211 110", 12, "moderate", False, {}, {}),
    ("phq9", "111 100 000", 4, "none or minimal", True, {}, {}),
    ("phq9", "333 333 332", 26, "severe", False, {}, {9: 2}),
    ("gad7", "2221 110", 9, "mild", False, {}, {}),
    ("gad7", "3333 333", 21, "severe", False, {}, {}),
    ("hamd17", "323 111 222 10 111 100", 22, "moderate", False, {}, {3: 3}),
    ("hamd17", "100 110 110 10 100 000", 7, "none", True, {}, {}),
    ("hamd17", "444 222 44444 222 4 22", 52, "severe", False, {}, {3: 4}),
    ("madrs", "4433 433 321", 30, "moderate", False, {}, {10: 1}),
    ("madrs", "1111 111 110", 9, "mild", True, {}, {}),
    ("madrs", "1111 111 120", 10, "mild", False, {}, {}),
    ("bdi2", "211 111 210 111 111 221 111", 24, "moderate", False, {}, {}),
    ("bdi2", "100 000 002 000 000 000 000", 3, "minimal", True, {}, {9: 2}),
    ("ybocs", "33322 32222", 24, "severe", False, {"obsessions": 13, "compulsions": 11}, {}),
    ("ybocs", "11111 22111", 12, "mild", True, {"obsessions": 5, "compulsions": 7}, {}),
    (
        "pcl5", "22222 33 2222222 111111", 36, "above the cut-off", False,
        {"intrusion": 10, "avoidance": 6, "cognition_and_mood": 14, "arousal": 6}, {},
    ),
    ("isi", "322 2222", 15, "moderate", False, {}, {}),
    ("isi", "111 1111", 7, "none", True, {}, {}),
    (
        "panss", "3333333 4444444 2222222222222222", 81, None, False,
        {"positive": 21, "negative": 28, "general": 32}, {},
    ),
    (
        "panss", "3334444 3443434 2222422232222222", 85, None, False,
        {"positive": 25, "negative": 25, "general": 35}, {},
    ),
    (
        "panss", "3334444 3443434 2222322232222222", 84, None, True,
        {"positive": 25, "negative": 25, "general": 34}, {},
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given_answers", "total", "band", "remission", "parts", "alerts"), VIGNETTES
)
def test_reference_values(
    name: str,
    given_answers: str,
    total: float,
    band: str | None,
    remission: bool | None,
    parts: dict[str, float],
    alerts: dict[int, int],
):
    found = score(load_scale(name), answers(name, given_answers))
    assert (found.total, found.band, found.in_remission) == (total, band, remission)
    assert (dict(found.subscales), dict(found.alerts), found.missing) == (parts, alerts, ())


def test_remission_of_the_panss_looks_at_its_eight_items():
    # P1 P2 P3 N1 N4 N6 G5 G9 are items 1 2 3 8 11 13 19 (G5: 14+5) 23 (G9: 14+9).
    at_three = dict.fromkeys(range(1, 31), 7) | dict.fromkeys((1, 2, 3, 8, 11, 13, 19, 23), 3)
    scale = load_scale("panss")
    assert score(scale, at_three).in_remission is True
    for number in (1, 2, 3, 8, 11, 13, 19, 23):
        assert score(scale, at_three | {number: 4}).in_remission is False
        left_out = {n: v for n, v in at_three.items() if n != number}
        assert score(scale, left_out).in_remission is None


@pytest.mark.parametrize("name", SHIPPED)
def test_the_ends_of_every_scale(name: str):
    scale = load_scale(name)
    low = score(scale, {item.number: item.minimum for item in scale.items})
    high = score(scale, {item.number: item.maximum for item in scale.items})
    assert (low.total, high.total) == (scale.total_minimum, scale.total_maximum)
    if scale.bands is not None:
        assert low.band == scale.bands.levels[0].name
        assert high.band == scale.bands.levels[-1].name
        for before, level in zip(scale.bands.levels, scale.bands.levels[1:], strict=False):
            assert scale.band(level.start) == level.name
            assert scale.band(level.start - 1) == before.name


def test_ranges_and_bands_are_those_of_the_table():
    ranges = {
        "hamd17": (17, 0, 52), "madrs": (10, 0, 60), "phq9": (9, 0, 27), "gad7": (7, 0, 21),
        "bdi2": (21, 0, 63), "ybocs": (10, 0, 40), "pcl5": (20, 0, 80), "panss": (30, 30, 210),
        "isi": (7, 0, 28),
    }  # fmt: skip
    bands = {
        "hamd17": [0, 8, 17, 24], "madrs": [0, 7, 20, 35], "phq9": [0, 5, 10, 15, 20],
        "gad7": [0, 5, 10, 15], "bdi2": [0, 14, 20, 29], "ybocs": [0, 8, 16, 24, 32],
        "isi": [0, 8, 15, 22],
    }  # fmt: skip
    for name, scale in all_scales().items():
        assert (len(scale.items), scale.total_minimum, scale.total_maximum) == ranges[name]
        if name in bands:
            assert scale.bands is not None
            assert [level.start for level in scale.bands.levels] == bands[name]
    assert load_scale("panss").percent_floor == 30


def test_item_text_ships_only_where_the_licence_allows_it():
    with_text = {name for name, s in all_scales().items() if any(i.text for i in s.items)}
    assert with_text == {"phq9", "gad7", "pcl5"}


def test_suicidality_items():
    flagged = {
        name: {i.number: i.alert_at for i in scale.items if i.alert_at is not None}
        for name, scale in all_scales().items()
    }
    assert {name: found for name, found in flagged.items() if found} == {
        "phq9": {9: 1}, "bdi2": {9: 1}, "hamd17": {3: 1}, "madrs": {10: 1},
    }  # fmt: skip


def test_missing_items_follow_the_scale():
    phq9 = load_scale("phq9")
    two = score(phq9, answers("phq9", "222 2-- 222"))
    assert (two.total, two.prorated, two.missing) == (18.0, True, (5, 6))
    mixed = score(phq9, answers("phq9", "210 210 21-"))
    assert mixed.total == pytest.approx(9 * 9 / 8)  # 9 points on 8 items
    three = score(phq9, answers("phq9", "222 --- 222"))
    assert (three.total, three.prorated, three.band, three.in_remission) == (None,) * 1 + (
        False, None, None,
    )  # fmt: skip
    gad7 = score(load_scale("gad7"), answers("gad7", "222 222 -"))
    assert (gad7.total, gad7.prorated) == (None, False)
    parts = score(load_scale("ybocs"), answers("ybocs", "33322 3222-"))
    assert dict(parts.subscales) == {"obsessions": None, "compulsions": None}


def test_a_suicidality_item_left_out_is_told_and_one_with_a_missing_total_still_alerts():
    assert score(load_scale("phq9"), answers("phq9", "111 111 11-")).unanswered_alerts == (9,)
    alone = score(load_scale("madrs"), {10: 4})
    assert (alone.total, dict(alone.alerts)) == (None, {10: 4})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({1: 4}, "item 1: must be a whole number from 0 to 3, not 4"),
        ({1: -1}, "item 1: must be a whole number from 0 to 3, not -1"),
        ({1: True}, "item 1: must be a whole number from 0 to 3, not True"),
        ({1: 1.0}, "item 1: must be a whole number from 0 to 3, not 1.0"),
        ({10: 1}, "item 10: phq9 has items 1 to 9"),
        ({}, "no item of phq9 is answered"),
    ],
)
def test_answers_out_of_range_are_refused_not_clipped(wrong: dict[int, Any], said: str):
    with pytest.raises(FileProblems) as caught:
        score(load_scale("phq9"), wrong)
    assert caught.value.problems == (said,)


@given(st.data())
def test_a_total_lies_between_the_ends(data: st.DataObject):
    scale = load_scale(data.draw(st.sampled_from(SHIPPED)))
    given_answers = {
        item.number: data.draw(st.integers(item.minimum, item.maximum)) for item in scale.items
    }
    total = score(scale, given_answers).total
    assert total == sum(given_answers.values())
    assert scale.total_minimum <= total <= scale.total_maximum


def test_a_scale_of_the_site(site_folder: Path):
    (site_folder / "scales").mkdir()
    Scale.from_data(made(), "made").to_toml(site_folder / "scales" / "made.toml")
    assert load_scale("made").id == "made"
    assert tuple(all_scales())[-1] == "made"


def test_a_site_may_not_take_the_name_of_a_shipped_scale(site_folder: Path):
    (site_folder / "scales").mkdir()
    Scale.from_data(made(id="phq9"), "made").to_toml(site_folder / "scales" / "phq9.toml")
    with pytest.raises(InputError, match="phq9 ships with the suite"):
        load_scale("phq9")


def test_a_file_under_another_name_is_refused(tmp_path: Path):
    path = tmp_path / "other.toml"
    Scale.from_data(made(), "made").to_toml(path)
    with pytest.raises(InputError, match=r"name the file made\.toml"):
        Scale.read(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"total_maximum": 7}, "the items add up to 0 to 6, not 0 to 7"),
        (
            {"items": [{"number": n, "minimum": 0, "maximum": 3} for n in (1, 3)]},
            "must be numbered 1, 2, 3",
        ),
        ({"item_text": "shipped"}, "text stands in the file exactly where"),
        ({"percent_floor": 1}, "percent_floor: must be at most the lowest total, 0"),
        ({"anchors": ["a", "b"]}, "2 anchors do not name 0 to 3"),
        ({"subscales": [{"id": "a", "items": [1, 3]}]}, "subscales[0]: items must be numbers"),
        ({"response": SOURCED}, "response: needs either percent or points"),
        ({"remission": SOURCED}, "remission: needs either maximum, or items"),
        ({"reliable_change": {**SOURCED, "sd": 3.0}}, "needs either sd and reliability, or points"),
        (
            {"bands": {**SOURCED, "levels": [{"from": 1, "name": "a"}, {"from": 2, "name": "b"}]}},
            "bands: must rise from 0",
        ),
        ({"missing": {**SOURCED, "rule": "prorate"}}, "most_missing belongs to the rule prorate"),
        ({"licence": ""}, "licence"),
        ({"colour": "red"}, "colour: unknown key"),
    ],
)
def test_a_scale_file_is_held_against_itself(changes: dict[str, Any], said: str):
    with pytest.raises(FileProblems) as caught:
        Scale.from_data(made(**changes), "made.toml")
    assert any(said in problem for problem in caught.value.problems), caught.value.problems


def test_an_unknown_scale_names_those_there_are():
    with pytest.raises(InputError, match="no such scale; there are: bdi2, gad7"):
        load_scale("mood")


@pytest.mark.parametrize(
    ("written", "scale"),
    [
        ("MADRS", "madrs"), ("PHQ-9", "phq9"), ("phq_9", "phq9"), ("GAD-7", "gad7"),
        ("HAM-D17", "hamd17"), ("HAMD-17", "hamd17"), ("BDI-II", "bdi2"), ("Y-BOCS", "ybocs"),
        ("PCL-5", "pcl5"), ("Panss", "panss"), ("ISI", "isi"),
    ],
)  # fmt: skip
def test_the_name_of_a_scale_may_be_written_as_papers_write_it(written: str, scale: str):
    assert load_scale(written).id == scale


def test_a_scale_of_the_site_is_scored_as_the_others(site_folder: Path):
    (site_folder / "scales").mkdir()
    own = made(
        id="mood_4", total_maximum=12,
        items=[{"number": n, "minimum": 0, "maximum": 3} for n in (1, 2, 3)]
        + [{"number": 4, "minimum": 0, "maximum": 3, "alert_at": 2}],
        subscales=[{"id": "a", "items": [1, 2]}, {"id": "b", "items": [3, 4]}],
        missing={"rule": "prorate", "most_missing": 1, **SOURCED},
        bands={**SOURCED, "levels": [{"from": 0, "name": "low"}, {"from": 7, "name": "high"}]},
        remission={"maximum": 3, **SOURCED},
    )  # fmt: skip
    Scale.from_data(own, "made").to_toml(site_folder / "scales" / "mood_4.toml")
    scale = load_scale("Mood-4")
    found = score(scale, {1: 3, 2: 1, 3: 1, 4: 2})
    assert (found.total, found.band, found.in_remission) == (7.0, "high", False)
    assert (dict(found.subscales), dict(found.alerts)) == ({"a": 4.0, "b": 3.0}, {4: 2})
    # By hand: three answers of 1 + 0 + 2 stand for four: 3 · 4/3.
    part = score(scale, {1: 1, 2: 0, 4: 2})
    assert (part.total, part.prorated, part.missing) == (pytest.approx(4.0), True, (3,))
    assert score(scale, {1: 1, 2: 0}).total is None


@pytest.mark.parametrize(
    ("name", "points", "source"),
    [
        # 1.96 · √2 · SD · √(1 - r): 6 and 0.85, 5 and 0.80, 10 and 0.93.
        ("madrs", 6.441, "sd"), ("hamd17", 6.198, "sd"), ("bdi2", 7.3335, "sd"),
        ("phq9", 6.0, "points"), ("gad7", 4.0, "points"), ("pcl5", 15.0, "points"),
    ],
)  # fmt: skip
def test_reliable_change_of_every_scale_that_has_one(name: str, points: float, source: str):
    rule = load_scale(name).reliable_change
    assert rule is not None
    assert (rule.sd is None) == (source == "points")
    found = reliable_change(
        20.0, 20.0 - points - 0.01, sd=rule.sd, reliability=rule.reliability,
        threshold_points=rule.points,
    )  # fmt: skip
    assert (found.threshold_points, found.verdict) == (pytest.approx(points, abs=5e-4), "improved")
    less = reliable_change(
        20.0, 20.0 - points + 0.01, sd=rule.sd, reliability=rule.reliability,
        threshold_points=rule.points,
    )  # fmt: skip
    assert less.verdict == "not reliable"


def test_scales_without_a_known_reliability_have_no_reliable_change():
    without = {name for name, scale in all_scales().items() if scale.reliable_change is None}
    assert without == {"isi", "panss", "ybocs"}
