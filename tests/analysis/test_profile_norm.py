"""A site's reference: who may be in it, what its range is worth, and how rarely it is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from analysis.errors import AnalysisError
from analysis.profile_norm import hold_against, make_norm, read_norm
from analysis.profile_quantities import quantities_of, read_result
from tests.analysis.made_profiles import DESIGN, made_people, made_result


@pytest.fixture
def people() -> list[dict[str, Any]]:
    return made_people(30, np.random.default_rng(1))


def norm_of(people: list[dict[str, Any]]) -> dict[str, Any]:
    return {**make_norm(people), "file": "NORM.json"}


def test_the_range_is_the_prediction_interval_of_the_values(people: list[dict[str, Any]]) -> None:
    rows = {row["name"]: row for row in make_norm(people)["quantities"]}
    centres = np.array([one["resonance"][0]["centre_hz"] for one in people])
    half = t.ppf(0.975, 29) * centres.std(ddof=1) * math.sqrt(1.0 + 1.0 / 30)
    assert rows["centre_hz"]["range95"] == pytest.approx(
        [centres.mean() - half, centres.mean() + half]
    )
    assert rows["centre_hz"]["median"] == pytest.approx(np.median(centres))
    widths = np.log([one["resonance"][0]["half_width_hz"] for one in people])
    half = t.ppf(0.975, 29) * widths.std(ddof=1) * math.sqrt(1.0 + 1.0 / 30)
    assert rows["half_width_hz"]["range95"][1] == pytest.approx(math.exp(widths.mean() + half))
    assert rows["echo_tau_s"]["reason"].startswith("0 people")
    assert "range95" not in rows["echo_tau_s"]


def test_the_ends_of_the_range_are_as_uncertain_as_is_said() -> None:
    rng = np.random.default_rng(2)
    truth = 10.0 + 1.959964 * 0.8
    held = 0
    for _ in range(300):
        row = make_norm(made_people(25, rng))["quantities"][0]
        low, high = row["high_limit_ci90"]
        held += low <= truth <= high
    assert abs(held / 300 - 0.9) < 3.0 * math.sqrt(0.09 / 300)


def test_people_of_the_same_population_deviate_in_five_of_a_hundred_at_most() -> None:
    rng = np.random.default_rng(3)
    wrong = within = 0
    n_norms, n_people = 40, 50
    for _ in range(n_norms):
        norm = norm_of(made_people(22, rng))
        for other in made_people(n_people, rng, "new"):
            # Intervals of no width are the hardest case: nothing is left undetermined.
            for key in ("centre_ci95_hz", "half_width_ci95_hz", "height_ci95_plv2"):
                value = other["resonance"][0][key.replace("_ci95", "")]
                other["resonance"][0][key] = [value, value]
            rest = other["frequency_tolerance"]
            rest["tolerance_ci95_hz"] = [rest["tolerance_hz"]] * 2
            other["rest"]["seconds"] = 1e12
            told = hold_against(norm, other)
            assert told["n_compared"] == 5
            assert told["error_each"] == pytest.approx(0.01)
            found = [row["verdict"] for row in told["quantities"]]
            wrong += any(one in ("above", "below") for one in found)
            within += all(one == "within" for one in found)
    n = n_norms * n_people
    assert wrong + within == n
    # Norms are shared by 50 people each; their spread is bounded by that of so few norms.
    assert wrong / n <= 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / n)
    assert wrong / n > 0.01  # the test can fail: it is not that nothing ever deviates


def test_a_planted_outlier_is_found_and_told_without_a_diagnosis() -> None:
    norm = norm_of(made_people(30, np.random.default_rng(4)))
    told = hold_against(norm, made_result("new", centre_hz=14.5, half_width_hz=0.15))
    rows = {row["name"]: row for row in told["quantities"]}
    assert rows["centre_hz"]["verdict"] == "above"
    assert rows["centre_hz"]["words"] == "deviates from the reference (above)"
    assert rows["half_width_hz"]["words"] == "deviates from the reference (below)"
    assert rows["height_plv2"]["words"] == "within the reference"
    assert " has " not in json.dumps(told)


def test_what_overlaps_a_limit_cannot_be_said() -> None:
    norm = norm_of(made_people(30, np.random.default_rng(5)))
    far = hold_against(norm, made_result("new", centre_hz=14.5, sd_hz=1.5))["quantities"][0]
    assert far["value"] > far["judged_range"][1]
    assert far["verdict"] == "undetermined"
    assert "cannot be said" in far["words"]
    wide = made_result("new", centre_hz=10.0)
    wide["resonance"][0]["centre_ci95_hz"] = [9.8, None]
    assert hold_against(norm, wide)["quantities"][0]["verdict"] == "undetermined"


def test_those_without_a_response_are_counted_and_not_averaged(
    people: list[dict[str, Any]],
) -> None:
    silent = [made_result(f"s{i}", verdict="no_response", fwhm_hz=9.0) for i in range(4)]
    norm = norm_of([*people, *silent])
    assert norm["n_by_verdict"] == {"response": 30, "no_response": 4, "undetermined": 0}
    assert norm["quantities"] == make_norm(people)["quantities"]
    told = hold_against(norm, made_result("new", verdict="no_response"))
    assert told["quantities"] == []
    assert "4 of 34 people" in told["response_words"]
    assert "responses alone" in told["reason"]


def test_a_person_in_the_reference_is_left_out_of_it(people: list[dict[str, Any]]) -> None:
    norm = norm_of(people)
    told = hold_against(norm, people[3])
    assert told["n_people"] == 29
    assert any("left out" in text for text in told["warnings"])
    with pytest.raises(AnalysisError, match="without this person 19"):
        hold_against(norm_of(people[:20]), people[3])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"mode": "virtual"}, "mode"),
        ({"design": {**DESIGN, "levels": [2.0]}}, "levels"),
        ({"design": {**DESIGN, "seconds_per_block": 60.0}}, "blocks of"),
        ({"channels": ["Pz"]}, "channels"),
        ({"subject": "p1"}, "both are of subject p1"),
        ({"subject": None}, "--subject"),
    ],
)
def test_what_does_not_belong_is_refused(
    people: list[dict[str, Any]], change: dict[str, Any], word: str
) -> None:
    with pytest.raises(AnalysisError, match=word):
        make_norm([*people, {**made_result("other"), **change}])


def test_the_same_recording_under_two_names_is_refused(people: list[dict[str, Any]]) -> None:
    again = {**people[0], "subject": "somebody", "file": "again.json"}
    with pytest.raises(AnalysisError, match="both are of recording"):
        make_norm([*people, again])


def test_too_few_are_refused_with_the_reason(people: list[dict[str, Any]]) -> None:
    with pytest.raises(AnalysisError, match=r"19 people, 19 of them .* needs 20"):
        make_norm(people[:19])
    silent = [made_result(f"s{i}", verdict="no_response") for i in range(9)]
    with pytest.raises(AnalysisError, match=r"28 people, 19 of them"):
        make_norm([*people[:19], *silent])


def test_values_that_are_not_normal_are_warned_of(people: list[dict[str, Any]]) -> None:
    for one in people[:3]:
        one["rest"]["fwhm_hz"] = 60.0
    told = hold_against(norm_of(people), made_result("new"))
    assert any("Width of the line at rest" in text for text in told["warnings"])


def test_files_that_are_none_are_named(tmp_path: Path, people: list[dict[str, Any]]) -> None:
    path = tmp_path / "x.json"
    for text in ("", "[]", "{}", '{"format": "tacs profile norm 1"}', '{"error": "no"}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(AnalysisError, match=r"x\.json"):
            read_norm(path)
        with pytest.raises(AnalysisError, match=r"x\.json"):
            read_result(path)
    norm = make_norm(people)
    path.write_text(json.dumps(norm), encoding="utf-8")
    assert read_norm(path) == {**norm, "file": str(path)}
    for value in (-1.0, "x", None, float("nan")):
        broken = json.loads(json.dumps(norm))
        broken["people"][0]["values"]["rest_fwhm_hz"] = value
        path.write_text(json.dumps(broken), encoding="utf-8")
        with pytest.raises(AnalysisError, match=r"x\.json: no norm file"):
            read_norm(path)
    norm["people"] = norm["people"][:12]
    path.write_text(json.dumps(norm), encoding="utf-8")
    with pytest.raises(AnalysisError, match="12 people"):
        read_norm(path)


@pytest.mark.parametrize(
    "change",
    [
        {"design": {}},
        {"design": 3},
        {"curve": [{"level": 1.0}]},
        {"curve": []},
        {"resonance": [{"level": 1.0}]},
        {"rest": {"fwhm_hz": 0.0, "seconds": 10.0}},
        {"subject": 7},
        {"recorded_at": 20260101},
        {"echo": None},
    ],
)
def test_a_result_that_was_edited_is_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "edited.json"
    path.write_text(json.dumps({**made_result("a"), **change}), encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"edited\.json: not as .* writes it") as caught:
        read_result(path)
    assert "\n" not in str(caught.value)


def test_the_echo_of_the_lowest_p_counts_and_sham_never() -> None:
    echoes = [
        {"kind": "sham", "tau_s": 9.0, "tau_ci95_s": [1.0, None], "p": 1e-9},
        {"kind": "drive", "tau_s": 0.5, "tau_ci95_s": [0.3, None], "p": 0.01},
        {"kind": "drive", "tau_s": 0.3, "tau_ci95_s": [0.2, 0.4], "p": 1e-6},
    ]
    echoes = [{**one, "reportable": True} for one in echoes]
    found = quantities_of(made_result("a", echo=echoes))["echo_tau_s"]
    few = [{**one, "reportable": False} for one in echoes]
    assert "echo_tau_s" not in quantities_of(made_result("a", echo=few))
    assert (found.value, found.low, found.high) == (0.3, 0.2, 0.4)
