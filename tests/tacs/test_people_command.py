"""The commands for people: from a form at the terminal to the journal, and what they say."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tacs.cli import call
from tacs.forms import shipped_form
from tacs.journal import Journal
from tacs.people import people_breaches
from tests.data import ROOT
from tests.tacs.test_people import BEFORE_SESSION, CLEAR, DAY, NO_EFFECTS, TODAY, without_hashes

AB = ("--operator", "AB", "--role", "operator")
DR = ("--operator", "Dr C", "--role", "investigator")
SIGN = ("s", "yes")


class Desk:
    """A data set and a person who types."""

    def __init__(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.folder = folder
        self.dataset = folder / "data"
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def run(self, *arguments: object, typed: tuple[str, ...] = ()) -> tuple[int, str, str]:
        lines = io.StringIO("".join(f"{line}\n" for line in typed))
        self._monkeypatch.setattr("sys.stdin", lines)
        code = call([str(a) for a in arguments])
        out, err = self._capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    def form(self, command: str, *arguments: object, typed: tuple[str, ...] = ()) -> Any:
        return self.run(command, "--dataset", self.dataset, *arguments, typed=typed)

    def told(self, command: str, *arguments: object, typed: tuple[str, ...] = ()) -> Any:
        code, out, err = self.form(command, *arguments, "--json", typed=typed)
        assert code == 0, err
        return json.loads(out)

    def answers(self, content: dict[str, Any]) -> tuple[str, str]:
        path = self.folder / "answers.json"
        path.write_text(json.dumps(content))
        return "--answers", str(path)

    @property
    def journal(self) -> Journal:
        return Journal(self.dataset)

    @property
    def drafts(self) -> list[Path]:
        return list((self.dataset / "sourcedata" / "tacs").glob(".drafts/*"))


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Desk:
    return Desk(tmp_path, capsys, monkeypatch)


P01 = ("--subject", "P01")
S01 = (*P01, "--session", "01")


def test_a_whole_morning(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    told = desk.told("screen", *P01, *AB, typed=("u", *["n"] * 13, "y", "n", *SIGN))
    assert told["entry"]["kind"] == "screening"
    assert told["not_cleared"] == [{"item": "seizure", "value": "unknown", "hard_block": False}]
    reason = "a febrile fit at two, seen by neurology"
    told = desk.told("override", *P01, *DR, typed=("seizure", reason, *SIGN))
    assert told["entry"]["data"]["entries"] == [desk.journal.entries()[0].hash]
    assert told["still_open"] == []
    told = desk.told("consent", *P01, *AB, typed=("3.1", "y", "2026-01-05", "participant", *SIGN))
    assert told["agrees"] == "yes"
    told = desk.told("identify", *P01, "--enrol", *AB, typed=("1990", "", "JD", "", *SIGN))
    assert told["identifiers"] == ["birth_year", "initials", "subject"]
    assert desk.told("preflight", *AB, *desk.answers(DAY))["passed"] is True
    code, out, err = desk.form("preflight", *S01, *AB, *desk.answers(BEFORE_SESSION))
    assert (code, out.splitlines()[1]) == (0, "every check passed")
    assert "checks of the day: taken over from journal entry 4" in err
    told = desk.told("adverse", *S01, *AB, "--when", "before", *desk.answers(NO_EFFECTS))
    assert (told["when"], told["serious"]) == ("before", "no")
    told = desk.told("identify", *S01, *AB, typed=("", "1990", "j.d.", *SIGN))
    assert told["passed"] is True
    code, out, _ = desk.run("journal", desk.dataset, *S01, "--json")
    seen = json.loads(out)
    assert (code, seen["ready"]["ok"], seen["ready"]["breaches"]) == (0, True, [])
    assert seen["head"] == desk.journal.head() == seen["ready"]["journal_head"]
    assert [e["kind"] for e in seen["entries"]] == [
        "screening", "override", "consent", "identifiers", "preflight", "adverse_effects",
        "identity_check",
    ]  # fmt: skip
    now = desk.journal.entries()[-1].at
    assert people_breaches(desk.dataset, subject="P01", session="01", now=now) == []
    assert desk.drafts == []
    code, out, _ = desk.run("journal", desk.dataset, *S01)
    assert "session 01: nothing is missing" in out
    assert reason in out


def test_a_form_that_was_left_goes_on_and_its_draft_goes_with_the_signature(desk: Desk):
    code, out, err = desk.form("screen", *P01, *AB, typed=("n", "n", "q"))
    assert (code, out) == (2, "")
    assert "2 answer(s) are kept" in err
    assert len(desk.drafts) == 1
    assert desk.journal.entries() == []
    code, out, err = desk.form("screen", *P01, *AB, typed=(*["n"] * 12, "y", "n", *SIGN))
    assert code == 0, err
    assert "going on with the draft" in err
    assert out.splitlines()[1] == "every item is cleared"
    assert desk.drafts == []


def test_the_draft_stays_where_the_journal_refuses(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    desk.form("preflight", *AB, *desk.answers(DAY))
    desk.form("screen", *P01, *AB, typed=(*["n"] * 14, "y", "n", "q"))
    with monkeypatch.context() as patch:
        patch.setattr("tacs.record.os.write", full)
        code, _, err = desk.form("screen", *P01, *AB, typed=SIGN)
    assert (code, "No space left on device" in err) == (5, True)
    assert len(desk.drafts) == 1
    assert desk.form("screen", *P01, *AB, typed=SIGN)[0] == 0


def test_the_questions_of_the_day_and_the_alert(desk: Desk):
    code, out, err = desk.form(
        "screen", *P01, *AB, "--today", typed=("n", "n", "n", "n", "y", *SIGN)
    )
    assert code == 0
    assert "Questions of the day (form recheck" in err
    assert "call the responsible clinician now" in " ".join(err.split())
    assert "not cleared: Suicidal thoughts: yes" in out
    assert desk.journal.entries()[0].kind == "recheck"
    assert set(desk.journal.entries()[0].data["answers"]) == set(TODAY)


def test_suicidal_thoughts_need_another_investigator(desk: Desk):
    desk.form("screen", *P01, *AB, "--today", *desk.answers({**TODAY, "suicidality": "yes"}))
    for typed, name in ((("suicidality", "talked it over", *SIGN), ()), ((), ("--operator", "ab"))):
        extra = ("AB",) if not name else ()
        lines = (*typed[:3], *extra, *typed[3:])
        code, _, err = desk.form("override", *P01, *name, "--role", "investigator", typed=lines)
        assert code == 2
        assert "took the form; another investigator has to decide on it" in err
    assert len(desk.journal.entries()) == 1
    answer = desk.answers({"item": "suicidality", "reason": "seen by Dr C, no plan"})
    assert desk.form("override", *P01, *DR, *answer)[0] == 0


def test_only_an_investigator_decides_and_only_where_something_waits(desk: Desk):
    code, _, err = desk.form("override", *P01, *DR)
    assert (code, err) == (2, "tacs: subject P01: no answer waits for a decision\n")
    desk.form("screen", *P01, *AB, *desk.answers({**CLEAR, "skin": "yes"}))
    code, _, err = desk.form("override", *P01, *AB)
    assert code == 2
    assert "skin: Skin or allergy: yes, journal entry 0 by AB" in err
    assert "--role: must be investigator, not 'operator'" in err
    for answer, told in (
        ({"item": "metal", "reason": "none of it"}, "item: must be skin, not 'metal'"),
        ({"item": "skin", "reason": "ok"}, "reason: must be a reason in words, not 'ok'"),
        ({"item": "skin"}, "reason: missing; a reason in words"),
    ):
        code, _, err = desk.form("override", *P01, *DR, *desk.answers(answer))
        assert (code, told in err) == (2, True), err


def test_a_correction_names_what_it_corrects_and_both_are_shown(desk: Desk):
    desk.form("consent", *P01, *AB, *desk.answers({"sheet_version": "3", "agrees": "no"}))
    first = desk.journal.entries()[0]
    again = desk.answers(
        {"sheet_version": "3", "agrees": "yes", "signed_on": "2026-01-05",
         "signed_by": "participant"}
    )  # fmt: skip
    code, _, err = desk.form("consent", *P01, *AB, *again, "--corrects", "0000")
    assert (code, "no entry with a hash that begins with '0000'" in err) == (2, True)
    assert desk.form("consent", *P01, *AB, *again, "--corrects", first.hash[:8])[0] == 0
    _, out, _ = desk.run("journal", desk.dataset)
    assert "corrected by entry 1" in out
    assert "corrects entry 0" in out
    code, _, err = desk.form("consent", *P01, *AB, *again, "--corrects", first.hash[:8])
    assert (code, "entry 0 was corrected by entry 1" in err) == (2, True)


def test_consent_that_was_withdrawn_is_said(desk: Desk):
    answer = desk.answers({"sheet_version": "3", "agrees": "no"})
    code, out, _ = desk.form("consent", *P01, *AB, *answer)
    assert (code, out.splitlines()[1]) == (0, "no consent: no")


def test_a_failed_check_is_kept_and_said(desk: Desk):
    code, out, _ = desk.form("preflight", *AB, *desk.answers({**DAY, "hardware_stop": "no"}))
    assert code == 0
    assert "not passed: mend what failed" in out
    whole = {**DAY, **BEFORE_SESSION, "dummy_load_read_ma": 2.0}
    told = desk.told("preflight", *S01, *AB, *desk.answers(whole))
    assert told["passed"] is False
    assert len(desk.journal.entries("preflight")) == 2
    code, _, err = desk.form("preflight", *P01, *AB)
    assert (code, "belong together" in err) == (2, True)
    code, _, err = desk.form("preflight", *S01, *AB, *desk.answers(BEFORE_SESSION))
    assert (code, "hardware_stop: missing" in err) == (2, True)


def test_a_serious_event_is_said(desk: Desk):
    with pytest.raises(AssertionError):
        desk.told("adverse", *S01, *AB, "--when", "after", *desk.answers(NO_EFFECTS))
    answer = {**NO_EFFECTS, "serious": "yes", "intervention": "yes"}
    code, out, _ = desk.form("adverse", *S01, *AB, "--when", "after", *desk.answers(answer))
    assert (code, out.splitlines()[1]) == (0, "serious event: yes; tell the investigator now")
    code, _, err = desk.form("adverse", *S01, *AB, "--when", "noon")
    assert (code, "must be before, after or next_visit" in err) == (2, True)


def test_identifiers_that_do_not_match_are_refused_and_kept_in_the_journal(desk: Desk):
    code, _, err = desk.form("identify", *P01, *AB)
    assert (code, "give --session to check identifiers" in err) == (2, True)
    code, _, err = desk.form("identify", *S01, *AB)
    assert (code, "no identifiers are kept" in err) == (2, True)
    assert not desk.dataset.exists()
    desk.form(
        "identify", *P01, "--enrol", *AB, *desk.answers({"birth_year": 1990, "initials": "JD"})
    )
    wrong = desk.answers({"birth_year": 1991, "initials": "JD"})
    code, out, _ = desk.form("identify", *S01, *AB, *wrong, "--json")
    told = json.loads(out)
    assert (code, [b["limit"] for b in told["breaches"]]) == (4, ["identifiers"])
    assert desk.journal.entries()[-1].data["passed"] is False
    code, _, err = desk.form("identify", *S01, *AB, *desk.answers({"initials": "JD"}))
    assert (code, "1 typed, allowed two" in err) == (4, True)
    right = desk.answers({"subject": "P01", "initials": "jd"})
    assert desk.form("identify", *S01, *AB, *right)[0] == 0
    _, out, _ = desk.run("journal", desk.dataset)
    assert out.count("DO NOT MATCH") == 2
    text = without_hashes(desk.dataset)
    assert "1990" not in text
    assert "1991" not in text


def test_enrolling_again_needs_an_investigator(desk: Desk):
    desk.form("identify", *P01, "--enrol", *AB, *desk.answers({"birth_year": 1990}))
    code, _, err = desk.form("identify", *P01, "--enrol", *AB, *desk.answers({"birth_year": 1991}))
    assert (code, "must be investigator" in err) == (2, True)
    code, _, _ = desk.form("identify", *P01, "--enrol", *DR, *desk.answers({"birth_year": 1991}))
    assert code == 0
    assert desk.journal.entries()[1].corrects == desk.journal.entries()[0].hash
    right = desk.answers({"subject": "P01", "birth_year": 1991})
    assert desk.form("identify", *S01, *AB, *right)[0] == 0


def test_the_journal_verifies_and_says_where_not(desk: Desk):
    code, _, err = desk.run("journal", desk.dataset)
    assert (code, "no such data set" in err) == (2, True)
    desk.form("screen", *P01, *AB, *desk.answers(CLEAR))
    desk.form("screen", "--subject", "P02", *AB, *desk.answers(CLEAR))
    head = desk.journal.head()
    assert desk.run("journal", desk.dataset, "--head", head)[0] == 0
    code, out, err = desk.run("journal", desk.dataset, "--head", "0123456789", "--json")
    assert (code, json.loads(out)["verified"]) == (5, False)
    assert "entries were cut off or replaced" in err
    _, out, _ = desk.run("journal", desk.dataset, "--subject", "P02", "--json")
    assert [e["subject"] for e in json.loads(out)["entries"]] == ["P02"]
    code, _, err = desk.run("journal", desk.dataset, "--session", "01")
    assert (code, "--session needs --subject" in err) == (2, True)
    path = desk.journal.path
    path.write_bytes(path.read_bytes().replace(b'"metal":"no"', b'"metal":"na"', 1))
    for arguments in (("journal", desk.dataset), ("screen", "--dataset", desk.dataset, *P01, *AB)):
        code, out, err = desk.run(*arguments)
        assert (code, out) == (5, "")
        assert err.count("\n") == 1
        assert "journal.jsonl: line 1: its hash does not match" in err


def test_nothing_is_asked_where_the_labels_cannot_be_used(desk: Desk):
    for arguments, what in (
        (("screen", "--subject", "../P"), "subject '../P'"),
        (("adverse", *P01, "--session", "a b", "--when", "before"), "session 'a b'"),
    ):
        code, _, err = desk.form(arguments[0], *arguments[1:], *AB)
        assert code == 2
        assert err.startswith(f"tacs: {what}: must be 1 to 32 letters")


def test_the_card(desk: Desk):
    code, out, _ = desk.run("card")
    assert code == 0
    assert out.startswith("EMERGENCY: SEIZURE OR FAINTING")
    _, out, _ = desk.run("card", "--json")
    assert len(json.loads(out)["card"]["sections"]) == 2


def test_a_form_at_the_terminal_leaves_standard_output_to_the_json(desk: Desk):
    code, out, err = desk.form("screen", *P01, *AB, "--json", typed=(*["n"] * 14, "y", "n", *SIGN))
    assert code == 0
    assert json.loads(out)["entry"]["data"]["answers"] == CLEAR
    assert "Review" in err


@pytest.mark.parametrize(
    "command",
    ["screen", "consent", "preflight", "adverse", "identify", "override", "card", "journal"],
)
def test_every_command_explains_itself(desk: Desk, command: str):
    code, out, _ = desk.run(command, "--help")
    assert code == 0
    assert "Usage: tacs" in out


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from tacs.cli import call; call(['screen', '--help']);"
        "print([m for m in ('mne', 'scipy', 'numpy', 'tacs.forms') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_form_can_be_answered_from_a_file(desk: Desk):
    assert set(CLEAR) == {i.id for i in shipped_form("screening").items}
    assert desk.told("screen", *P01, *AB, *desk.answers(CLEAR))["not_cleared"] == []
