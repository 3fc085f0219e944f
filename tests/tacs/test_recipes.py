"""The recipes that ship: sound, honest about their evidence, and within the default limits."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tacs.driver import find_driver
from tacs.errors import FileProblems, InputError
from tacs.limits import effective_limits
from tacs.planning import make_plan
from tacs.recipe import GRADES, Recipe, load_recipe, recipes
from tacs.rig import load_rig
from tacs.safety import device_breaches, protocol_breaches
from tacs.waveform import Waveform
from tests.tacs.made import peak

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
NAMES = [
    "bifrontal-10hz-depression",
    "bifrontal-alpha-depression",
    "bifrontal-alpha-depression-sham",
    "posterior-alpha",
    "posterior-alpha-sham",
    "posterior-alpha-trains",
]


def problems(**changes: Any) -> tuple[str, ...]:
    data = load_recipe("posterior-alpha").to_data()
    for key, value in changes.items():
        if value is None:
            del data[key]
        else:
            data[key] = value
    with pytest.raises(FileProblems) as caught:
        Recipe.from_data(data, "recipe.toml")
    return caught.value.problems


def test_what_ships() -> None:
    assert sorted(recipes()) == NAMES
    assert all(recipe.name == name for name, recipe in recipes().items())


@pytest.mark.parametrize("name", NAMES)
def test_no_shipped_recipe_breaks_a_default_limit_on_the_shipped_rig(name: str) -> None:
    rig = load_rig("emulated-synthpal")
    capabilities = find_driver("synthpal").capabilities
    made = make_plan(peak(10.27), name, now=NOW, subject="01", rig=rig)
    assert made.breaches == ()
    limits = effective_limits()
    assert protocol_breaches(made.protocol, limits) == []
    found = device_breaches(
        made.protocol, capabilities, rig, limits, today=NOW.date(), emulated=True
    )
    assert found == []
    fixed = name == "bifrontal-10hz-depression"
    assert made.frequency_hz == made.achieved_frequency_hz == (10.0 if fixed else 10.27)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_says_what_it_rests_on(name: str) -> None:
    recipe = recipes()[name]
    assert recipe.executable
    assert recipe.evidence.grade in GRADES
    assert recipe.conflicts
    assert recipe.references
    assert any("epilepsy" in text for text in recipe.contraindications)
    assert any("implant" in text for text in recipe.contraindications)
    assert any(reference.finding == "against" for reference in recipe.references) or (
        "null" in recipe.evidence.note
    )
    assert recipe.duration_s == 1200.0
    assert (recipe.ramp_up_s, recipe.ramp_down_s) == (30.0, 15.0)
    data = recipe.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert {"name", "waveform", "sham", "evidence", "expected_direction"} <= set(data)


def test_no_tacs_recipe_claims_more_than_was_found() -> None:
    assert {recipe.evidence.grade for recipe in recipes().values()} == {"C/N", "sham"}


def test_the_predicted_direction_differs_by_site() -> None:
    found = {
        n: (r.expected_effect.direction, r.expected_effect.region) for n, r in recipes().items()
    }
    assert found == {
        "posterior-alpha": ("increase", "posterior"),
        "posterior-alpha-sham": ("none", "posterior"),
        "posterior-alpha-trains": ("none", "posterior"),
        "bifrontal-alpha-depression": ("decrease", "left_frontal"),
        "bifrontal-alpha-depression-sham": ("none", "left_frontal"),
        "bifrontal-10hz-depression": ("decrease", "left_frontal"),
    }


def test_the_montages() -> None:
    posterior = recipes()["posterior-alpha"].montage
    assert [(loop.source, loop.sink, loop.current_peak_ma) for loop in posterior.loops] == [
        ("Oz", "Cz", 1.0)
    ]
    frontal = recipes()["bifrontal-alpha-depression"].montage
    assert {e.name: frontal.current_peak_ma(e.name) for e in frontal.electrodes} == {
        "F3": 0.5,
        "F4": 0.5,
        "Cz": 1.0,
    }
    assert [loop.phase_deg for loop in frontal.loops] == [0.0, 0.0]
    assert "site file" in recipes()["bifrontal-alpha-depression"].published_dose


@pytest.mark.parametrize("name", ["posterior-alpha", "bifrontal-alpha-depression"])
def test_a_sham_differs_from_its_active_arm_in_nothing_that_is_felt_before(name: str) -> None:
    active, sham = recipes()[name], recipes()[f"{name}-sham"]
    assert sham.sham_of == name
    assert sham.waveform == "active_sham"
    for field in ("montage", "frequency_rule", "duration_s", "ramp_up_s", "ramp_down_s"):
        assert getattr(sham, field) == getattr(active, field)
    made = make_plan(peak(10.27), sham, now=NOW).protocol
    assert Waveform(made).current_on_s == 30.0 + 10.0 + 15.0
    assert Waveform(made).duration_s == 1200.0


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_the_file(tmp_path: Path, name: str) -> None:
    recipe = recipes()[name]
    recipe.to_toml(tmp_path / "recipe.toml")
    assert load_recipe(tmp_path / "recipe.toml") == recipe


def test_a_recipe_with_trains_gives_a_protocol_with_trains() -> None:
    made = make_plan(peak(10.27), "posterior-alpha-trains", now=NOW).protocol
    assert made.trains is not None
    assert made.n_trains == 331
    assert made.current_on_s == 40.5 + 331 * 2.0
    assert Waveform(made).current_on_s == pytest.approx(702.5)
    assert make_plan(peak(10.27), "posterior-alpha", now=NOW).protocol.trains is None


RULE = {"rule": "match", "band_hz": [7.0, 13.0]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"conflicts": []}, "conflicts: needs at least 1 entries"),
        ({"references": None}, "references: missing"),
        ({"modality": "tDCS"}, "modality: must be 'tACS'"),
        ({"name": "Posterior Alpha"}, "name: "),
        ({"evidence": {"grade": "A+", "note": "x"}}, "evidence.grade: must be 'A', 'B', 'C'"),
        ({"frequency_rule": {**RULE, "rule": "fixed"}}, "frequency_rule.fixed_hz: missing"),
        ({"frequency_rule": {**RULE, "rule": "offset"}}, "frequency_rule.offset_hz: missing"),
        ({"frequency_rule": {**RULE, "fixed_hz": 10.0}}, "fixed_hz: only the rule 'fixed' has one"),
        ({"frequency_rule": {**RULE, "offset_hz": 0.1}}, "only the rule 'offset' has one"),
        ({"frequency_rule": {**RULE, "band_hz": [13.0, 7.0]}}, "13.0 is not below 7.0"),
        ({"frequency_rule": {**RULE, "band": [7.0, 13.0]}}, "write band_hz (hertz)"),
        ({"references": [{"text": "x", "finding": "for", "doi": "doi:1"}]}, "references[0].doi"),
        ({"duration_s": 40.0}, "duration_s: 40 s is shorter than its ramps together"),
        ({"sham_plateau_s": 10.0}, "only an active_sham has one"),
        ({"executable": "yes"}, "executable: must be true or false"),
    ],
)
def test_every_kind_of_mistake(changes: dict[str, Any], expected: str) -> None:
    found = problems(**changes)
    assert len(found) == 1, found
    assert expected in found[0]


def test_an_unknown_recipe_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no such recipe and no such file; shipped.*posterior-a"):
        load_recipe("nowhere")
