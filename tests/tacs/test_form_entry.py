"""Filling in a form at a terminal: keys, review, signature, and nothing lost on the way."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacs.errors import FileProblems, InputError
from tacs.form_entry import Draft, Signed, Terminal, fill, read_answers, sign_as
from tacs.forms import Form, shipped_form

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DATA: dict[str, Any] = {
    "id": "made", "version": "1", "language": "en", "title": "Made form", "source": "made",
    "licence": "BSD-3-Clause",
    "items": [
        {"id": "well", "title": "Well", "text": "Are you well?", "type": "yes_no_unknown",
         "blocks": ["no", "unknown"], "hard_block": ["no"], "alert": "Call somebody."},
        {"id": "what", "title": "What", "text": "What is it?", "type": "text",
         "asked_if": {"item": "well", "values": ["no"]}, "help": "In a few words."},
        {"id": "pain", "title": "Pain", "text": "How much does it hurt?", "type": "integer",
         "minimum": 0, "maximum": 10},
        {"id": "more", "title": "More", "text": "Anything else?", "type": "text",
         "required": False},
    ],
}  # fmt: skip
FORM = Form.from_data(DATA, "made")
SIGNATURE = ("s", "AB", "operator", "yes")


def entered(
    *lines: str, form: Form = FORM, draft: Draft | None = None, now: datetime = NOW, **who: Any
) -> tuple[Signed, str]:
    out = io.StringIO()
    source = io.StringIO("".join(f"{line}\n" for line in lines))
    return fill(form, Terminal(source, out), now=now, draft=draft, **who), out.getvalue()


def left(*lines: str, draft: Draft | None = None, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        entered(*lines, draft=draft, **options)
    return str(caught.value)


def answers(*lines: str, **options: Any) -> dict[str, Any]:
    return dict(entered(*lines, **options)[0].completed.answers)


def test_a_form_from_the_first_question_to_the_signature():
    signed, said = entered("y", "3", "", *SIGNATURE)
    assert signed.completed.answers == {"well": "yes", "pain": 3}
    assert (signed.operator, signed.role, signed.method) == ("AB", "operator", "typed")
    assert signed.to_dict() == {
        "form": "made", "version": "1", "form_sha256": FORM.sha256(),
        "answers": {"well": "yes", "pain": 3}, "signed": "typed",
    }  # fmt: skip
    assert "1/3  Are you well?" in said
    assert "3/3  Anything else?" in said
    assert "AB, operator: these are the answers that were given." in said


def test_a_follow_up_is_asked_and_falls_away_with_its_reason():
    assert answers("n", "headache", "3", "", *SIGNATURE) == {
        "well": "no", "what": "headache", "pain": 3,
    }  # fmt: skip
    signed, said = entered("n", "headache", "3", "", "1", "y", *SIGNATURE)
    assert signed.completed.answers == {"well": "yes", "pain": 3}
    assert "! Call somebody." in said
    assert "(blocks until an investigator has decided)" in said


def test_what_is_wrong_is_said_and_asked_again():
    lines = ("maybe", "", "n", "", "a\x1b[A", "fine", "11", "ten", "3", "")
    _, said = entered(*lines, *SIGNATURE)
    assert "Well: must be yes, no or unknown, not 'maybe'" in said
    assert "Well: must be yes, no or unknown, not ''" in said
    assert "What: is empty" in said
    assert "What: holds the control character U+001B" in said
    assert "Pain: must be a whole number from 0 to 10, not 11" in said
    assert "Pain: must be a whole number from 0 to 10, not 'ten'" in said


def test_keys_are_letters_where_letters_are_no_answers():
    signed, said = entered("b", "n", "/?", "b", "b", "", "4", "", *SIGNATURE)
    assert "this is the first question" in said
    assert "In a few words." in said
    # A lone b is a text here and a key at the next question; Enter keeps it on the way back.
    assert signed.completed.answers == {"well": "no", "what": "b", "pain": 4}


def test_the_review_changes_an_answer():
    signed, said = entered(
        "y", "3", "", "9", "x", "2", "b", "y", "5", "", "s", "AB", "operator", "yes"
    )
    assert "a number from 1 to 3, s or q" in said
    assert signed.completed.answers["pain"] == 5


def test_a_signature_needs_a_name_a_role_and_a_typed_yes():
    signed, said = entered(
        "y", "3", "", "s", "", "x" * 81, "AB", "king", "operator", "y", "s", "CD", "rater", "YES"
    )
    assert (signed.operator, signed.role) == ("CD", "rater")
    assert "the name is missing" in said
    assert "the name is 81 characters long; at most 80" in said
    assert "one of operator, investigator" in said
    assert "not signed" in said


def test_a_name_and_a_role_that_were_given_are_not_asked_for():
    signed, _ = entered("y", "3", "", "s", "yes", operator=" Dr C ", role="investigator")
    assert (signed.operator, signed.role) == ("Dr C", "investigator")
    told = left(operator="AB", role="operator", roles=("investigator",))
    assert told == "signature: --role: must be investigator, not 'operator'"
    assert "--role: must be one of operator, investigator" in left(role="king")


def test_leaving_keeps_every_answer_and_the_next_time_goes_on(tmp_path: Path):
    draft = Draft.of(tmp_path, "made", "P01", None)
    assert draft.path == tmp_path / "sourcedata" / "tacs" / ".drafts" / "form-made_P01.json"
    told = left("n", "headache", "q", draft=draft)
    assert told == (
        f"form made was left unsigned; 2 answer(s) are kept for 12 h in {draft.path}; "
        f"run the command again to go on"
    )
    assert draft.path.parent.stat().st_mode & 0o077 == 0
    signed, said = entered("3", "", *SIGNATURE, draft=draft)
    assert "going on with the draft of 2026-11-22 12:00 UTC" in said
    assert "Are you well?" not in said
    assert signed.completed.answers == {"well": "no", "what": "headache", "pain": 3}
    assert draft.path.exists()  # until the journal has it
    draft.clear()
    draft.clear()
    assert not draft.path.parent.exists()


@pytest.mark.parametrize("lines", [(), ("n",), ("n", "x", "3"), ("n", "x", "3", "", "s", "AB")])
def test_wherever_the_input_ends_nothing_is_lost(tmp_path: Path, lines: tuple[str, ...]):
    draft = Draft.of(tmp_path, "made")
    told = left(*lines, draft=draft)
    assert told.startswith("form made was left unsigned")
    kept, _ = draft.load(FORM, NOW)
    assert list(kept) == ["well", "what", "pain"][: len(lines)]


def test_without_a_draft_leaving_says_that_nothing_was_kept():
    assert left("y", "q") == (
        "form made was left unsigned; nothing was kept, run the command again to begin anew"
    )


def test_an_interrupt_is_leaving(tmp_path: Path):
    class Interrupted(io.StringIO):
        def readline(self, size: int | None = -1, /) -> str:
            line = super().readline()
            if not line:
                raise KeyboardInterrupt
            return line

    draft = Draft.of(tmp_path, "made")
    with pytest.raises(InputError, match=r"1 answer\(s\) are kept"):
        fill(FORM, Terminal(Interrupted("y\n"), io.StringIO()), now=NOW, draft=draft)


def test_a_draft_that_is_old_broken_or_of_other_questions_is_not_gone_on_with(tmp_path: Path):
    draft = Draft.of(tmp_path, "made")
    left("y", "q", draft=draft)
    for later in (timedelta(hours=12.1), timedelta(hours=-1)):
        assert draft.load(FORM, NOW + later) == (
            {}, "there is a draft of 2026-11-22, too old; the form begins anew",
        )  # fmt: skip
    other = FORM.model_copy(update={"version": "2"})
    assert draft.load(other, NOW) == (
        {}, "there is a draft of other questions; the form begins anew",
    )  # fmt: skip
    data = json.loads(draft.path.read_text())
    draft.path.write_text(json.dumps({**data, "answers": {"well": "perhaps", "pain": 4, "x": 1}}))
    assert draft.load(FORM, NOW)[0] == {"pain": 4}
    for broken in ("", "{", "[]", '{"saved": 5}'):
        draft.path.write_text(broken)
        kept, told = draft.load(FORM, NOW)
        assert kept == {}
        assert told == f"the draft {draft.path} cannot be read; the form begins anew"


def test_a_draft_that_cannot_be_written_is_said_at_once(tmp_path: Path):
    (tmp_path / "sourcedata").write_text("a file where a folder is due")
    told = left("y", "3", draft=Draft.of(tmp_path, "made"))
    assert "cannot be written" in told


LINES = st.lists(
    st.sampled_from(["y", "n", "u", "b", "/b", "?", "3", "", "s", "1", "2", "yes", "AB",
                     "operator", "word"]),
    max_size=40,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(lines=LINES)
def test_whatever_is_typed_ends_in_a_valid_form_or_in_leaving(lines: list[str]):
    try:
        signed, _ = entered(*lines)
    except InputError as exc:
        assert str(exc).startswith("form made was left unsigned")  # noqa: PT017
    else:
        assert FORM.answer(signed.completed.answers) == signed.completed
        assert signed.operator
        assert signed.role == "operator"


def test_the_whole_screening_can_be_typed():
    lines = ["n"] * 14 + ["y", "n"]
    signed, said = entered(*lines, *SIGNATURE, form=shipped_form("screening"))
    assert len(signed.completed.answers) == 16
    assert "16/16" in said
    assert max(len(line) for line in said.splitlines() if " > " not in line) < 100


# -- from a file ----------------------------------------------------------------------------------


def test_answers_from_toml_and_json(tmp_path: Path):
    (tmp_path / "a.toml").write_text('well = "no"\nwhat = "cold"\npain = 2\n')
    (tmp_path / "a.json").write_text('{"well": "no", "what": "cold", "pain": 2}')
    for name in ("a.toml", "a.json"):
        given_ = read_answers(tmp_path / name)
        signed = sign_as(FORM, given_, name, operator="AB ", role="rater")
        assert signed.completed.answers == {"well": "no", "what": "cold", "pain": 2}
        assert (signed.operator, signed.role, signed.method) == ("AB", "rater", "answers file")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", "[1]", "must be an object of items and answers"),
        ("a.json", "{", "is not valid JSON"),
        ("a.json", "[" * 100_000, "is not valid JSON"),
        ("a.toml", "well =", "is not valid TOML"),
        ("a.toml", "x = 1\n" * 50_000, "is larger than any form"),
    ],
)
def test_a_file_that_is_no_answers(tmp_path: Path, name: str, content: str, told: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"^{tmp_path / name}: {told}"):
        read_answers(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path):
    for name in ("none.json", "none.toml"):
        with pytest.raises(InputError, match=r"none\.\w+: no such file"):
            read_answers(tmp_path / name)


def test_answers_from_a_file_need_a_name_and_a_role():
    with pytest.raises(FileProblems) as caught:
        sign_as(FORM, {}, "a.toml", operator="", role="")
    assert caught.value.problems == (
        "--operator: is missing; a name or a code says who signs",
        "--role: must be one of operator, investigator, rater, participant, statistician, "
        "monitor, not ''",
    )
    with pytest.raises(FileProblems) as caught:
        sign_as(FORM, {"well": "no"}, "a.toml", operator="AB", role="operator")
    assert caught.value.problems == (
        "what: missing; a text",
        "pain: missing; a whole number from 0 to 10",
    )
