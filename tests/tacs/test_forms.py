"""Forms: what ships, what an answer may be, and that every problem is named at once."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacs.emergency_card import emergency_card
from tacs.errors import FileProblems, InputError
from tacs.forms import Form, Item, load_form, shipped_form, shipped_forms, text_problem

SCREENING = (
    "seizure", "metal", "implant", "skull", "brain", "skin", "pregnancy", "mania", "medication",
    "rest", "earlier_stimulation", "migraine", "eyes", "other_study", "capacity", "suicidality",
)  # fmt: skip
CLEAR: dict[str, Any] = {**dict.fromkeys(SCREENING, "no"), "capacity": "yes"}


def form_data(*items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": "made", "version": "1", "language": "en", "title": "Made", "source": "made",
        "licence": "BSD-3-Clause",
        "items": [{"title": "T", "text": "Question?", **item} for item in items], **changes,
    }  # fmt: skip


def form(*items: dict[str, Any], **changes: Any) -> Form:
    return Form.from_data(form_data(*items, **changes), "made")


def problems(made: Form, answers: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(FileProblems) as caught:
        made.answer(answers)
    return caught.value.problems


# -- what ships -----------------------------------------------------------------------------------


def test_the_forms_that_ship():
    assert set(shipped_forms()) == {
        "screening", "adverse_effects", "consent", "preflight", "discomfort", "identifiers",
    }  # fmt: skip
    for name, made in shipped_forms().items():
        assert made.id == name
        assert made.source
        assert made.licence
        for item in made.questions:
            assert item.text[-1] in ".?", (name, item.id)


def test_the_screening_has_its_sixteen_items_and_five_hard_blocks():
    made = shipped_form("screening")
    assert tuple(item.id for item in made.items) == SCREENING
    hard = {"seizure", "metal", "implant", "pregnancy", "suicidality"}
    assert {item.id for item in made.items if item.hard_block} == hard
    for item in made.items:
        assert item.type == "yes_no_unknown"
        assert "unknown" in item.blocks, item.id
        assert item.hard_block in {(), ("yes",)}
    assert {item.id for item in made.items if item.cautions} == {"mania", "migraine", "eyes"}
    assert {item.id for item in made.items if item.second_person} == {"suicidality"}
    assert made.answer(CLEAR).answers == CLEAR


def test_the_questions_of_the_day():
    made = shipped_form("screening").part(daily=True, name="recheck", title="Of the day")
    assert [i.id for i in made.items] == [
        "pregnancy", "medication", "rest", "other_study", "suicidality",
    ]  # fmt: skip
    assert (made.id, made.title) == ("recheck", "Of the day")
    rest = shipped_form("screening").part(daily=False)
    assert len(made.items) + len(rest.items) == 16


def test_unwanted_effects_before_and_after():
    made = shipped_form("adverse_effects")
    before, after = made.at("before"), made.at("after")
    symptoms = {i.id for i in made.items if i.scale == "severity"}
    assert symptoms >= {
        "headache", "neck_pain", "scalp_pain", "tingling", "itching", "burning", "skin_redness",
        "sleepiness", "concentration", "mood", "other", "phosphenes", "dizziness",
        "metallic_taste", "fatigue", "nausea",
    }  # fmt: skip
    none = dict.fromkeys(symptoms, 1)
    assert before.answer(none).answers == none
    assert problems(after, none) == (
        "intervention: missing; yes, no or unknown",
        "serious: missing; yes, no or unknown",
    )
    told = {**none, "headache": 3, "intervention": "no", "serious": "no"}
    assert problems(after, told) == ("headache_relation: missing; 1, 2, 3, 4 or 5",)
    assert after.answer({**told, "headache_relation": 4}).answers["headache_relation"] == 4
    assert problems(after, {**told, "headache": 1, "headache_relation": 4}) == (
        "headache_relation: is asked only where headache is 2, 3 or 4; leave it out",
    )
    assert problems(before, {**none, "headache": 3, "headache_relation": 4})[0].startswith(
        "headache_relation: no such item"
    )
    assert problems(after, {**told, "headache": 5}) == ("headache: must be 1, 2, 3 or 4, not 5",)
    for value in (True, 1.0, "1"):
        assert problems(before, {**none, "headache": value}) == (
            f"headache: must be 1, 2, 3 or 4, not {value!r}",
        )
    other = {**none, "other": 2, "other_relation": 1, "intervention": "no", "serious": "no"}
    assert problems(after, other) == ("other_what: missing; a text",)
    with pytest.raises(InputError, match="when 'noon': must be before, after or next_visit"):
        made.at("noon")


def test_consent_asks_for_date_and_hand_only_where_it_was_given():
    made = shipped_form("consent")
    given_ = {
        "sheet_version": "3.1", "agrees": "yes", "signed_on": date(2026, 1, 5),
        "signed_by": "participant",
    }  # fmt: skip
    assert made.answer(given_).answers["signed_on"] == "2026-01-05"
    assert made.answer({"sheet_version": "3.1", "agrees": "no"}).answers["agrees"] == "no"
    assert problems(made, {"sheet_version": "3.1", "agrees": "yes"}) == (
        "signed_on: missing; a date as YYYY-MM-DD",
        "signed_by: missing; participant or representative",
    )


def test_the_emergency_card_says_the_local_protocol_goes_first():
    text = emergency_card().text()
    assert "The local protocol goes first" in text
    assert "SEIZURE" in text
    assert "FAINTING" in text
    assert "Put nothing into the mouth" in text
    assert max(len(line) for line in text.splitlines()) <= 78
    assert "Research use only".lower() in " ".join(text.split()).lower()


def test_a_form_is_found_by_name_or_file(tmp_path: Path):
    assert load_form("screening") == shipped_form("screening")
    path = tmp_path / "made.toml"
    shipped_form("screening").to_toml(path)
    assert load_form(path).sha256() == shipped_form("screening").sha256()
    with pytest.raises(InputError, match="no such form and no such file; shipped forms: adverse"):
        load_form("soup")


# -- answers --------------------------------------------------------------------------------------


def test_every_problem_of_the_answers_is_listed():
    answers = {**CLEAR, "metl": "no", "implant": True, "skull": "maybe"}
    del answers["metal"]
    assert problems(shipped_form("screening"), answers) == (
        "metl: no such item; did you mean metal?",
        "metal: missing; yes, no or unknown",
        "implant: must be yes, no or unknown, not True",
        "skull: must be yes, no or unknown, not 'maybe'",
    )
    with pytest.raises(FileProblems, match=r"^my\.toml: metl"):
        shipped_form("screening").answer(answers, "my.toml")


def test_what_is_kept_of_a_form():
    made = shipped_form("discomfort")
    done = made.answer({"nrs": 4, "what": "  pricking at Oz "})
    assert done.to_dict() == {
        "form": "discomfort", "version": "1", "form_sha256": made.sha256(),
        "answers": {"nrs": 4, "what": "pricking at Oz"},
    }  # fmt: skip
    assert made.answer({"nrs": 4, "what": ""}).answers == {"nrs": 4}


INTEGER = {"id": "n", "type": "integer", "minimum": 0, "maximum": 10}
NUMBER = {"id": "n", "type": "number", "minimum": 0.1, "maximum": 4}
TEXT = {"id": "n", "type": "text", "max_length": 5}
DATE = {"id": "n", "type": "date"}
CODE = {**TEXT, "pattern": "[A-Z]+", "pattern_says": "capital letters"}


@pytest.mark.parametrize(
    ("item", "value", "told"),
    [
        (INTEGER, 11, "must be a whole number from 0 to 10, not 11"),
        (INTEGER, -1, "must be a whole number from 0 to 10, not -1"),
        (INTEGER, 3.0, "must be a whole number from 0 to 10, not 3.0"),
        (INTEGER, True, "must be a whole number from 0 to 10, not True"),
        (INTEGER, "3", "must be a whole number from 0 to 10, not '3'"),
        (NUMBER, float("nan"), "must be a number from 0.1 to 4, not nan"),
        (NUMBER, float("inf"), "must be a number from 0.1 to 4, not inf"),
        (NUMBER, 0.05, "must be a number from 0.1 to 4, not 0.05"),
        (TEXT, 3, "must be a text, not 3"),
        (TEXT, "", "is empty"),
        (TEXT, "  ", "is empty"),
        (TEXT, "sixsix", "is 6 characters long; at most 5"),
        (TEXT, "a\x1bb", "holds the control character U+001B; type one line of plain text"),
        (CODE, "ab", "must be capital letters, not 'ab'"),
        (DATE, "2026-02-30", "must be a date as YYYY-MM-DD, not '2026-02-30'"),
        (DATE, "20260228", "must be a date as YYYY-MM-DD, not '20260228'"),
        (DATE, "2026-W01-1", "must be a date as YYYY-MM-DD, not '2026-W01-1'"),
        (DATE, 5, "must be a date as YYYY-MM-DD, not 5"),
        (DATE, ["x" * 99], "must be a date as YYYY-MM-DD, not ['" + "x" * 55 + "…"),
    ],
)
def test_a_value_outside_is_refused(item: dict[str, Any], value: Any, told: str):
    assert problems(form(item), {"n": value}) == (f"n: {told}",)


@pytest.mark.parametrize(
    ("item", "typed", "value"),
    [
        ({"id": "n", "type": "yes_no_unknown"}, "y", "yes"),
        ({"id": "n", "type": "yes_no_unknown"}, "N", "no"),
        ({"id": "n", "type": "yes_no_unknown"}, "unk", "unknown"),
        ({"id": "n", "type": "yes_no_unknown"}, "", None),
        ({"id": "n", "type": "yes_no_unknown"}, "yep", None),
        (INTEGER, " 7 ", 7),
        (INTEGER, "7.0", None),
        (INTEGER, "1_0", None),
        (INTEGER, "9" * 5000, None),
        (NUMBER, "1,02", 1.02),
        (NUMBER, "2", 2.0),
        (NUMBER, "nan", None),
        (NUMBER, "1e0", None),
        (DATE, "2026-01-05", "2026-01-05"),
        (TEXT, "b", "b"),
    ],
)
def test_what_is_typed(item: dict[str, Any], typed: str, value: Any):
    got, problem = form(item).questions[0].typed(typed)
    assert got == value
    assert type(got) is type(value)
    assert bool(problem) is (value is None)


def test_a_choice_is_typed_by_its_beginning():
    choices = [{"value": v, "text": v} for v in ("photograph", "second", "second_person")]
    question = form({"id": "n", "type": "choice", "choices": choices}).questions[0]
    assert question.typed("P")[0] == "photograph"
    assert question.typed("second")[0] == "second"
    assert question.typed("second_")[0] == "second_person"
    for typed in ("s", "", "x"):
        assert question.typed(typed)[0] is None
    scored = shipped_form("adverse_effects").questions[0]
    assert scored.typed("4")[0] == 4
    assert scored.typed("5")[1] == "must be 1, 2, 3 or 4, not '5'"
    assert scored.worded(4) == "4 severe"
    assert scored.worded(None) == "–"


@given(text=st.text(max_size=40))
def test_no_text_that_is_kept_holds_control_characters(text: str):
    value, problem = Item(id="n", title="T", text="Q?", type="text", required=False).check(text)
    if value is None:
        assert problem
    else:
        assert str(value).isprintable() or text_problem(str(value)) is None
        assert "\n" not in str(value)
        assert "\x1b" not in str(value)
        assert json.loads(json.dumps(value)) == value


@given(value=st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5,
))  # fmt: skip
def test_no_answer_of_any_type_gets_past_an_item(value: Any):
    for question in (*shipped_form("screening").questions, *shipped_form("preflight").questions):
        kept, problem = question.check(value)
        if kept is None:
            assert problem
            assert "\n" not in problem
        elif question.values:
            assert kept in question.values
        else:
            assert question.type == "text" or 0.0 <= float(kept) <= 20.0


# -- form files -----------------------------------------------------------------------------------


def test_every_problem_of_a_form_file_is_listed():
    data = form_data(
        {"id": "a", "type": "yes_no_unknown", "blocks": ["perhaps"], "hard_block": ["yes"]},
        {"id": "a", "type": "integer", "minimum": 0},
        {"id": "b", "type": "choice"},
        {"id": "c", "type": "text", "scale": "nowhere", "pattern": "["},
        {"id": "d", "type": "date", "asked_if": {"item": "z", "values": ["yes"]}, "when": ["noon"]},
    )
    with pytest.raises(FileProblems) as caught:
        Form.from_data(data, "f.toml")
    assert caught.value.problems == (
        "items[0] (a): blocks: 'perhaps' is not an answer of this item",
        "items[0] (a): hard_block: what hard-blocks stands under blocks, too",
        "items[1] (a): this id stands twice",
        "items[1] (a): a number needs minimum and maximum",
        "items[2] (b): a choice needs either choices or a scale",
        "items[3] (c): scale 'nowhere': no such scale",
        "items[3] (c): only a choice has choices, a scale or a follow-up",
        "items[3] (c): pattern: is not a regular expression (unterminated character set at "
        "position 0)",
        "items[4] (d): asked_if: 'z' is not an item before this one",
        "items[4] (d): when: 'noon' is not one of the form's times",
    )
    with pytest.raises(FileProblems, match="colour: unknown key"):
        form({"id": "a", "type": "date", "colour": "red"})
    with pytest.raises(FileProblems, match="items: needs at least 1 entries"):
        form()


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_number_without_bounds_is_still_finite(value: float):
    item = Item(id="n", title="T", text="Q?", type="number")
    assert item.check(value) == (None, f"must be a number, not {value}")
    assert item.check(1e9) == (1e9, "")
