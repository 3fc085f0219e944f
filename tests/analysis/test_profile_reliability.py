"""Visits: published intraclass correlations, planted people, and when "individual" may be said."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.icc import intraclass_correlation
from analysis.profile_reliability import compare_visits, individual_words, read_visits
from tests.analysis.made_profiles import DESIGN, made_result

# Shrout and Fleiss 1979, table 2: six targets, four judges.
JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def test_the_published_example_comes_out() -> None:
    found = intraclass_correlation(JUDGES)
    assert found.agreement == pytest.approx(0.290, abs=0.0005)
    assert found.consistency == pytest.approx(0.715, abs=0.0005)
    # As McGraw and Wong's formulas give them (also `psych::ICC` in R).
    assert found.agreement_interval == pytest.approx((0.019, 0.761), abs=0.001)
    assert found.consistency_interval == pytest.approx((0.342, 0.946), abs=0.001)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(600):
        people = rng.standard_normal((14, 1))
        visit = 0.2 * rng.standard_normal((1, 2))
        values = people + visit + math.sqrt(0.4) * rng.standard_normal((14, 2))
        low, high = intraclass_correlation(values).agreement_interval
        held += low <= 1.0 / (1.0 + 0.04 + 0.4) <= high
    assert 0.93 <= held / 600 <= 0.985  # 95 %, with Satterthwaite's approximation


def test_what_has_no_correlation_is_refused() -> None:
    for values in (JUDGES[:2], JUDGES[:, :1], np.ones((5, 2)), np.tile(JUDGES[:, :1], 2)):
        with pytest.raises(AnalysisError):
            intraclass_correlation(values)
    broken = JUDGES.copy()
    broken[0, 0] = np.nan
    with pytest.raises(AnalysisError, match="finite"):
        intraclass_correlation(broken)


def visits_of(
    n: int, seed: int, *, between_hz: float = 0.9, within_hz: float = 0.2, **more: Any
) -> list[dict[str, Any]]:
    """Two visits of each; the centre is the person's own, the width and height nobody's."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        own = between_hz * rng.standard_normal()
        for visit in (1, 2):
            found.append(
                made_result(
                    f"p{i}",
                    centre_hz=10.0 + own + within_hz * rng.standard_normal(),
                    half_width_hz=0.8 * math.exp(0.2 * rng.standard_normal()),
                    height=0.1 * math.exp(0.2 * rng.standard_normal()),
                    file=f"p{i}_{visit}.json",
                    recorded_at=f"2026-0{visit}-03T09:00:00+00:00",
                    noise=rng,
                    **more,
                )
            )
    return found


def rows(found: dict[str, Any]) -> dict[str, Any]:
    return {row["name"]: row for row in found["reliability"]}


def test_a_persons_own_centre_is_individual_and_what_is_nobodys_is_not() -> None:
    found = compare_visits(visits_of(20, 2))
    centre = rows(found)["centre_hz"]
    assert centre["individual"]
    assert centre["icc21_interval"][0] < 0.81 / (0.81 + 0.04) < centre["icc21_interval"][1]
    assert centre["judged_low"] < centre["icc21_interval"][0]
    low, high = centre["limits_of_change"]
    assert low == pytest.approx(-high)
    assert 0.3 < high < 1.0  # 2 sqrt(2) times 0.2 Hz is 0.57 Hz
    assert not rows(found)["half_width_hz"]["individual"]
    assert rows(found)["half_width_hz"]["limits_of_change"][1] > 1.0
    assert found["warnings"] == []


def test_people_who_are_all_alike_are_hardly_ever_called_individual() -> None:
    called = sum(
        any(row["individual"] for row in compare_visits(visits_of(8, 10 + i, between_hz=0.0))[
            "reliability"
        ])
        for i in range(60)
    )  # fmt: skip
    assert called <= 1


def test_one_person_is_compared_and_never_individual() -> None:
    one, two = visits_of(1, 3, within_hz=0.05)
    found = compare_visits([two, one])
    (person,) = found["people"]
    assert [visit["file"] for visit in person["visits"]] == ["p0_1.json", "p0_2.json"]
    (pair,) = person["pairs"]
    assert pair["curve_r"] > 0.9
    assert pair["curve_n"] == 9
    centre = pair["quantities"][0]
    assert centre["change"] == pytest.approx(centre["values"][1] - centre["values"][0])
    half = math.sqrt(2.0) * 1.96 * 0.1
    assert centre["ci95"] == pytest.approx([centre["change"] - half, centre["change"] + half])
    assert not centre["differs"]
    assert not any(row["individual"] for row in found["reliability"])
    assert "1 people" in rows(found)["centre_hz"]["reason"]


def test_a_centre_that_moved_is_told_and_an_open_end_stays_open() -> None:
    one = made_result("a", file="1")
    two = made_result("a", file="2", centre_hz=11.0)
    pair = compare_visits([one, two])["people"][0]["pairs"][0]
    assert pair["quantities"][0]["differs"]
    assert pair["curve_r"] < 0.8
    two["resonance"][0]["centre_ci95_hz"] = [None, 11.2]
    centre = compare_visits([one, two])["people"][0]["pairs"][0]["quantities"][0]
    assert centre["ci95"][0] is None
    assert not centre["differs"]


def test_differences_hold_the_truth_for_asymmetric_intervals() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        values = 0.8 * np.exp(0.3 * rng.standard_normal(2))
        one, two = (
            made_result("a", half_width_hz=float(v), sd_ln=0.3, file=str(i))
            for i, v in enumerate(values)
        )
        ratio = compare_visits([one, two])["people"][0]["pairs"][0]["quantities"][1]
        held += ratio["ci95"][0] <= 1.0 <= ratio["ci95"][1]
    assert abs(held / 400 - 0.95) < 3.0 * math.sqrt(0.95 * 0.05 / 400)


def test_a_visit_without_a_response_is_left_out_and_counted() -> None:
    made = visits_of(7, 4)
    made[0] |= {"verdict": "no_response", "resonance": []}
    centre = rows(compare_visits(made))["centre_hz"]
    assert (centre["n_people"], centre["n_left_out"]) == (6, 1)
    assert "4 people" in rows(compare_visits(made[:10]))["centre_hz"]["reason"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"subject": None}, "--subject"),
        ({"design": {**DESIGN, "levels": [3.0]}}, "levels"),
        ({"recording_sha256": "same"}, "both are of one recording"),
    ],
)
def test_what_cannot_be_compared_is_refused(change: dict[str, Any], word: str) -> None:
    one, two = visits_of(1, 6)
    one |= {"recording_sha256": "same"}
    with pytest.raises(AnalysisError, match=word):
        compare_visits([one, {**two, **change}])
    with pytest.raises(AnalysisError, match="nobody with two visits"):
        compare_visits([one, {**two, "subject": "other"}])


def test_what_is_left_out_is_said() -> None:
    made = visits_of(6, 7)
    extra = made_result("p0", file="third", recorded_at="2026-05-01T09:00:00+00:00")
    alone = made_result("single", file="alone")
    found = compare_visits([*made, extra, alone])
    assert any("single: one visit only" in text for text in found["warnings"])
    assert any("first 2 visits" in text for text in found["warnings"])
    assert len(found["people"][0]["pairs"]) == 3
    same = [{**one, "recorded_at": "2026-01-03T09:00:00+00:00"} for one in visits_of(1, 8)]
    assert any("one day" in text for text in compare_visits(same)["warnings"])


def test_visits_of_a_site_let_a_profile_be_called_individual(tmp_path: Path) -> None:
    path = tmp_path / "visits.json"
    path.write_text(json.dumps(compare_visits(visits_of(20, 2))), encoding="utf-8")
    visits = read_visits(path)
    individual, reason = individual_words(visits, made_result("new"))
    assert individual
    assert reason.startswith("by 2 visits of each: centre of the resonance (ICC(2,1) 0.9")
    assert "half-width" not in reason
    assert individual_words(visits, made_result("new", verdict="no_response"))[0] is False
    with pytest.raises(AnalysisError, match="levels"):
        individual_words(visits, made_result("x", design={**DESIGN, "levels": [3.0]}))
    path.write_text(json.dumps(compare_visits(visits_of(1, 2))), encoding="utf-8")
    assert "no quantity tells one" in individual_words(read_visits(path), made_result("new"))[1]
    for text in ("", "[]", "{}", '{"format": "tacs profile visits 1", "reliability": [{}]}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(AnalysisError, match=r"visits\.json"):
            read_visits(path)
