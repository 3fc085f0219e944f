"""What people have to have done before current may flow: each gap, each way round it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tacs.errors import FileProblems, InputError, RecordError
from tacs.forms import shipped_form
from tacs.identity import check_identifiers, identifier_data, youngest_age_y
from tacs.journal import Entry, Journal
from tacs.people import (
    REQUIREMENTS,
    cautions_of_people,
    day_checks,
    open_items,
    people_breaches,
    session_ready,
)
from tacs.ratings import acknowledge, open_alerts, rate
from tacs.safety import Breach
from tacs.scales import load_scale

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CLEAR: dict[str, Any] = {
    **dict.fromkeys((i.id for i in shipped_form("screening").items), "no"),
    "capacity": "yes",
}
TODAY = {i.id: "no" for i in shipped_form("screening").part(daily=True).items}
NO_EFFECTS = {i.id: 1 for i in shipped_form("adverse_effects").items if i.scale}
DAY: dict[str, Any] = {
    "stimulator": "Made 1", "hardware_stop": "yes", "dummy_load_set_ma": 1.0,
    "dummy_load_read_ma": 1.02, "calibration": "yes", "emergency_card": "yes",
}  # fmt: skip
BEFORE_SESSION = {"leads": "yes", "skin": "yes", "montage": "photograph"}
HARD = {"seizure", "metal", "implant", "pregnancy", "suicidality"}
PERSON = {"birth_year": 1990, "initials": "J. D."}


class Site:
    """A data set whose journal is written at any time of day."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dataset = folder
        self.at = NOW
        monkeypatch.setattr("tacs.record.utc_now", lambda: self.at)

    def add(
        self,
        kind: str,
        answers: Mapping[str, Any],
        *,
        hours_ago: float = 1.0,
        subject: str | None = "P01",
        session: str | None = None,
        operator: str = "AB",
        role: str = "operator",
        corrects: Entry | None = None,
        **more: Any,
    ) -> Entry:
        self.at = NOW - timedelta(hours=hours_ago)
        return Journal(self.dataset).append(
            kind,
            {"answers": dict(answers), **more},
            operator=operator,
            role=role,
            subject=subject,
            session=session,
            corrects=None if corrects is None else corrects.hash,
        )

    def screening(self, hours_ago: float = 1.0, **answers: Any) -> Entry:
        return self.add("screening", {**CLEAR, **answers}, hours_ago=hours_ago)

    def recheck(self, hours_ago: float = 1.0, **answers: Any) -> Entry:
        return self.add("recheck", {**TODAY, **answers}, hours_ago=hours_ago)

    def effects(self, when: str = "before", session: str = "01", **answers: Any) -> Entry:
        return self.add("adverse_effects", {**NO_EFFECTS, **answers}, session=session, when=when)

    def override(self, item: str, *entries: Entry, **changes: Any) -> Entry:
        return self.add(
            "override",
            {"item": item, "reason": "seen and discussed"},
            entries=[e.hash for e in entries],
            **{"operator": "Dr C", "role": "investigator", **changes},
        )

    def enrol(self, **changes: Any) -> Entry:
        self.at = NOW - timedelta(days=30)
        return Journal(self.dataset).append(
            "identifiers",
            identifier_data("P01", {**PERSON, **changes}, self.at),
            subject="P01",
            operator="AB",
            role="operator",
        )

    def identified(
        self, hours_ago: float = 0.1, subject: str = "P01", session: str = "01", passed: bool = True
    ) -> Entry:
        return self.add(
            "identity_check", {}, hours_ago=hours_ago, subject=subject, session=session,
            passed=passed,
        )  # fmt: skip

    def everything(self) -> None:
        self.screening()
        self.add(
            "consent",
            {"sheet_version": "3.1", "agrees": "yes", "signed_on": "2026-11-01",
             "signed_by": "participant"},
        )  # fmt: skip
        self.add("preflight", DAY, subject=None)
        self.add("preflight", BEFORE_SESSION, session="01")
        self.effects()
        self.enrol()
        self.identified()

    def breaches(self, *required: str, **changes: Any) -> list[Breach]:
        return people_breaches(
            self.dataset,
            **{
                "subject": "P01", "session": "01", "now": NOW,
                "required": required or tuple(REQUIREMENTS), **changes,
            },
        )  # fmt: skip

    def names(self, *required: str, **changes: Any) -> list[str]:
        return [b.limit for b in self.breaches(*required, **changes)]

    def cautions(self, **changes: Any) -> list[str]:
        return cautions_of_people(
            self.dataset, **{"subject": "P01", "session": "01", "now": NOW, **changes}
        )


def without_hashes(dataset: Path) -> str:
    """The text of a journal; a hash may hold any four digits."""
    return re.sub("[0-9a-f]{32,}", "", Journal(dataset).path.read_text())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path / "my data", monkeypatch)


# -- the whole ------------------------------------------------------------------------------------


def test_without_a_journal_everything_is_missing_and_says_how_to_mend_it(site: Site):
    found = site.breaches()
    assert [b.limit for b in found] == [
        "screening", "recheck", "consent", "preflight", "preflight", "adverse_effects_before",
        "identifiers",
    ]  # fmt: skip
    quoted = f"'{site.dataset}'"
    for breach, words in zip(
        found,
        ("screen", "screen", "consent", "preflight", "preflight", "adverse", "identify"),
        strict=True,
    ):
        assert f"`tacs {words} --dataset {quoted} --subject P01" in breach.where
        assert breach.source
        assert "\n" not in str(breach)
    assert "--today`" in found[1].where
    assert "--session 01 --when before`" in found[5].where
    assert not site.dataset.exists()


def test_with_everything_done_nothing_speaks_against_it(site: Site):
    site.everything()
    assert site.names(consent_version="3.1") == []
    ready = session_ready(site.dataset, subject="P01", session="01", now=NOW, consent_version="3.1")
    assert ready.ok
    assert ready.cautions == ()
    assert ready.journal_head == Journal(site.dataset).head()
    assert set(ready.entries) == {
        "screening", "recheck", "consent", "preflight", "adverse_effects", "identifiers",
        "identity_check",
    }  # fmt: skip
    hashes = {e.hash for e in Journal(site.dataset).entries()}
    assert set(ready.entries.values()) <= hashes
    assert ready.to_dict()["ok"] is True


def test_each_requirement_is_looked_at_by_itself(site: Site):
    site.everything()
    assert site.names(subject="P02") == [
        "screening", "recheck", "consent", "preflight", "adverse_effects_before", "identifiers",
    ]  # fmt: skip
    assert site.names(session="02", required=("preflight", "adverse_before")) == [
        "preflight", "adverse_effects_before",
    ]  # fmt: skip
    assert site.names(subject="P02", required=()) == []
    with pytest.raises(InputError, match="no such requirement luck; there are: screening"):
        site.names("luck")
    for label in ({"subject": "../x"}, {"session": "a b"}):
        with pytest.raises(InputError, match="must be 1 to 32 letters"):
            site.names(**label)


def test_a_broken_journal_is_an_error_and_not_an_empty_one(site: Site):
    site.everything()
    journal = Journal(site.dataset)
    journal.path.write_bytes(
        journal.path.read_bytes().replace(b'"seizure":"no"', b'"seizure":"NO"')
    )
    for call in (site.breaches, site.cautions):
        with pytest.raises(RecordError, match="line 1"):
            call()


# -- screening ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "expected"), [(89.9, []), (90.1, ["screening"]), (-0.1, ["screening"])]
)
def test_a_screening_holds_for_ninety_days_and_never_from_the_future(
    site: Site, days: float, expected: list[str]
):
    site.screening(hours_ago=24.0 * days)
    site.recheck()
    assert site.names("screening") == expected
    if days < 0:
        assert "dated in the future: set the clock" in site.breaches("screening")[0].where


@pytest.mark.parametrize("item", [i.id for i in shipped_form("screening").items])
@pytest.mark.parametrize("value", ["yes", "unknown", "no"])
def test_what_each_answer_does(site: Site, item: str, value: str):
    site.screening(**{item: value})
    question = shipped_form("screening").question(item)
    assert question is not None
    found = site.breaches("screening", "recheck")
    blocks = value in question.blocks
    assert bool(found) is blocks
    # Unknown is never cleared; no clears everything but the capacity to consent.
    assert blocks is (
        value == "unknown"
        or (
            value == ("no" if item == "capacity" else "yes")
            and item not in {"mania", "migraine", "eyes"}
        )
    )
    if found:
        hard = value == "yes" and item in HARD
        assert [b.limit for b in found] == ["screening_hard_block" if hard else "screening_item"]
        assert (found[0].value, found[0].allowed) == (
            value, " or ".join(str(v) for v in question.clear),
        )  # fmt: skip
        assert found[0].where.startswith(f"{item}, {question.title}, 2026-11-22")
        assert "`tacs override" in found[0].where
        assert ("answer again" in found[0].where) is not hard


def test_a_question_that_an_older_form_did_not_ask_is_not_cleared(site: Site):
    answers = {k: v for k, v in CLEAR.items() if k != "eyes"}
    site.add("screening", answers)
    (found,) = site.breaches("screening")
    assert (found.limit, found.value, found.allowed) == ("screening_item", "not asked", "yes or no")


def test_unknown_is_cleared_by_a_later_form_and_yes_to_a_hard_item_is_not(site: Site):
    site.screening(hours_ago=50, seizure="unknown", metal="yes")
    site.screening(hours_ago=2)
    (found,) = site.breaches("screening")
    assert (found.limit, found.value) == ("screening_hard_block", "yes")
    assert found.where.startswith("metal, Metal in head or neck, 2026-11-20")
    assert "Metal in head or neck: was answered yes on 2026-11-20" in site.cautions()


def test_the_questions_of_the_day_are_asked_within_twelve_hours(site: Site):
    site.screening(hours_ago=11.9)
    assert site.names("recheck") == []
    site.screening(hours_ago=12.1)
    assert site.names("recheck") == ["recheck"]
    site.recheck(hours_ago=0.5)
    assert site.names("recheck") == []


def test_a_day_later_a_pregnancy_that_was_ruled_out_no_longer_blocks_but_is_told(site: Site):
    site.screening(hours_ago=13, pregnancy="yes")
    site.recheck(hours_ago=1)
    assert site.names("screening", "recheck") == []
    assert "Pregnancy possible: was answered yes on 2026-11-21" in site.cautions()


def test_of_two_answers_on_one_day_the_one_that_blocks_counts(site: Site):
    site.screening(hours_ago=3)
    site.recheck(hours_ago=2, suicidality="yes")
    site.recheck(hours_ago=1)
    assert site.names("recheck") == ["screening_hard_block"]


def test_a_recheck_today_clears_what_changed_since_the_screening(site: Site):
    site.screening(hours_ago=200, medication="yes")
    site.recheck()
    assert site.names("screening", "recheck") == []


# -- decisions ------------------------------------------------------------------------------------


def test_an_investigator_decides_with_a_reason_that_is_told(site: Site):
    entry = site.screening(seizure="yes")
    assert [o.item.id for o in open_items(site.dataset, subject="P01", now=NOW)] == ["seizure"]
    site.override("seizure", entry)
    assert site.names("screening") == []
    assert open_items(site.dataset, subject="P01", now=NOW) == []
    assert site.cautions() == [
        "seizure: cleared by Dr C, investigator, 2026-11-22: seen and discussed"
    ]


@pytest.mark.parametrize("role", ["operator", "rater", "participant", "statistician", "monitor"])
def test_nobody_else_decides(site: Site, role: str):
    entry = site.screening(seizure="unknown")
    site.override("seizure", entry, role=role)
    assert site.names("screening") == ["screening_item"]


def test_a_decision_is_about_one_answer_of_one_entry_of_one_person(site: Site):
    first = site.screening(hours_ago=3, seizure="yes", skin="yes")
    site.override("skin", first)
    assert site.names("screening") == ["screening_hard_block"]
    site.override("seizure", first, subject="P02")
    assert site.names("screening") == ["screening_hard_block"]
    site.override("seizure", first)
    assert site.names("screening") == []
    site.screening(hours_ago=1, seizure="yes", skin="yes")
    assert site.names("screening") == ["screening_hard_block", "screening_item"]


def test_a_decision_that_was_corrected_no_longer_holds(site: Site):
    entry = site.screening(skin="yes")
    other = site.screening()
    decision = site.override("skin", site.screening(skin="yes"), entry)
    assert site.names("screening") == []
    site.override("skin", other, corrects=decision)
    assert site.names("screening") == ["screening_item"]


def test_suicidal_thoughts_are_decided_on_by_somebody_else_than_took_the_form(site: Site):
    entry = site.recheck(suicidality="yes")
    for name in ("AB", " ab", "AB  "):
        site.override("suicidality", entry, operator=name)
        assert site.names("recheck") == ["screening_hard_block"]
    assert "not the one who took the form" in site.breaches("recheck")[0].where
    site.override("suicidality", entry)
    assert site.names("recheck") == []


def test_a_hard_answer_is_corrected_by_an_investigator_only(site: Site):
    wrong = site.screening(hours_ago=3, metal="yes")
    again = site.add("screening", CLEAR, hours_ago=2, corrects=wrong)
    assert site.names("screening") == ["screening_hard_block"]
    site.override("metal", wrong)
    assert site.names("screening") == []
    second = site.screening(hours_ago=1, metal="yes")
    site.add("screening", CLEAR, corrects=second, operator="Dr C", role="investigator")
    assert site.names("screening") == []
    assert again.corrects == wrong.hash


def test_whoever_took_the_form_cannot_correct_suicidal_thoughts_away(site: Site):
    site.screening(hours_ago=5)
    told = site.recheck(hours_ago=2, suicidality="yes")
    site.add("recheck", TODAY, corrects=told, role="investigator")
    assert site.names("recheck") == ["screening_hard_block"]
    other = site.recheck(hours_ago=2, suicidality="yes")
    site.override("suicidality", told)
    site.add("recheck", TODAY, corrects=other, operator="Dr C", role="investigator")
    assert site.names("recheck") == []


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_sequence_of_forms_by_operators_clears_a_hard_answer(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    with pytest.MonkeyPatch.context() as patch:
        site = Site(tmp_path_factory.mktemp("site"), patch)
        entries = [site.screening(hours_ago=10.0, implant="yes")]
        for step in range(data.draw(st.integers(1, 4))):
            what = data.draw(st.sampled_from(["again", "correct", "override"]))
            hours = 9.0 - step
            if what == "again":
                entries.append(site.screening(hours_ago=hours))
            elif what == "correct":
                entries.append(site.add("screening", CLEAR, hours_ago=hours, corrects=entries[-1]))
            else:
                site.override("implant", entries[0], role="operator", hours_ago=hours)
        assert "screening_hard_block" in site.names("screening")


# -- consent --------------------------------------------------------------------------------------


def consent(site: Site, **answers: Any) -> None:
    whole = {"sheet_version": "3.1", "agrees": "yes", "signed_on": "2026-11-01", **answers}
    site.add("consent", whole)


def test_consent_is_there_current_and_not_withdrawn(site: Site):
    assert site.names("consent") == ["consent"]
    consent(site)
    assert site.names("consent") == []
    assert site.names("consent", consent_version="3.1") == []
    (old,) = site.breaches("consent", consent_version="4")
    assert (old.limit, old.value, old.allowed) == ("consent_version", "3.1", "4")
    consent(site, sheet_version="4")
    assert site.names("consent", consent_version="4") == []
    consent(site, agrees="no")
    (withdrawn,) = site.breaches("consent", consent_version="4")
    assert (withdrawn.limit, withdrawn.value, withdrawn.allowed) == (
        "consent", "no, 2026-11-22", "yes",
    )  # fmt: skip


def test_consent_signed_in_the_future_is_refused(site: Site):
    consent(site, signed_on="2026-11-23")  # where it is tomorrow already
    assert site.names("consent") == []
    consent(site, signed_on="2026-11-24")
    assert site.names("consent") == ["consent_date"]


def test_without_a_current_version_any_will_do_and_that_is_told(site: Site):
    consent(site)
    told = "consent: the site has not said which version of the sheet is current"
    assert told in site.cautions()
    assert told not in site.cautions(consent_version="3.1")


# -- pre-flight -----------------------------------------------------------------------------------


def preflight(site: Site, hours_ago: float = 1.0, **answers: Any) -> None:
    site.add("preflight", {**DAY, **BEFORE_SESSION, **answers}, session="01", hours_ago=hours_ago)


@pytest.mark.parametrize(
    ("item", "value"),
    [
        *itertools.product(
            ("hardware_stop", "calibration", "emergency_card", "leads", "skin"), ("no", "unknown")
        ),
        ("montage", "none"),
    ],
)
def test_a_check_that_failed_blocks(site: Site, item: str, value: str):
    preflight(site)
    assert site.names("preflight") == []
    preflight(site, **{item: value})
    (found,) = site.breaches("preflight")
    assert (found.limit, found.value) == ("preflight_check", value)
    assert found.where.startswith(f"{item}, ")


@pytest.mark.parametrize(
    ("read_ma", "passed"), [(0.9, True), (1.1, True), (0.89, False), (1.11, False), (2.0, False)]
)
def test_the_dummy_load_is_read_within_a_tenth(site: Site, read_ma: float, passed: bool):
    preflight(site, dummy_load_read_ma=read_ma)
    assert site.names("preflight") == ([] if passed else ["preflight_dummy_load_ma"])
    if not passed:
        assert "allowed 0.9 to 1.1 mA" in str(site.breaches("preflight")[0])


def test_checks_of_the_day_serve_every_session_of_the_day(site: Site):
    site.add("preflight", DAY, subject=None, hours_ago=11)
    assert site.names("preflight") == ["preflight"]
    site.add("preflight", BEFORE_SESSION, session="01")
    assert site.names("preflight") == []
    assert day_checks(site.dataset, now=NOW) is not None
    assert day_checks(site.dataset, now=NOW + timedelta(hours=2)) is None
    assert site.names("preflight", now=NOW + timedelta(hours=2)) == ["preflight"]


def test_a_later_check_that_failed_takes_the_day_back_for_everybody(site: Site):
    preflight(site, hours_ago=2)
    site.add("preflight", {**DAY, "hardware_stop": "no"}, subject=None)
    assert site.names("preflight") == ["preflight_check"]
    assert day_checks(site.dataset, now=NOW) is None


def test_checks_of_the_day_that_were_corrected_away_are_gone(site: Site):
    whole = site.add("preflight", {**DAY, **BEFORE_SESSION}, session="01", hours_ago=2)
    site.add("preflight", BEFORE_SESSION, session="01", corrects=whole)
    assert site.names("preflight") == ["preflight"]


def test_a_check_that_was_not_answered_has_not_passed(site: Site):
    site.add("preflight", {"hardware_stop": "yes", "leads": "yes"}, session="01")
    assert [b.value for b in site.breaches("preflight")] == ["not answered"] * 7


def test_yesterdays_checks_are_none(site: Site):
    preflight(site, hours_ago=24)
    assert site.names("preflight") == ["preflight", "preflight"]


# -- unwanted effects -----------------------------------------------------------------------------


def test_the_form_before_is_of_this_session_and_of_today(site: Site):
    site.effects("after")
    assert site.names("adverse_before") == ["adverse_effects_before"]
    site.effects("before", session="02")
    assert site.names("adverse_before") == ["adverse_effects_before"]
    site.effects()
    assert site.names("adverse_before") == []
    assert site.names("adverse_before", now=NOW + timedelta(hours=12)) == ["adverse_effects_before"]


def test_a_serious_event_blocks_every_later_session_until_somebody_has_decided(site: Site):
    site.effects("after", serious="no", intervention="no")
    assert site.names("serious_event") == []
    event = site.effects("after", serious="yes", intervention="yes")
    (found,) = site.breaches("serious_event", session="02")
    assert (found.limit, found.value) == ("adverse_effects_hard_block", "yes")
    site.effects("next_visit", serious="no", intervention="no")
    assert site.names("serious_event") == ["adverse_effects_hard_block"]
    site.override("serious", event, operator="AB")
    assert site.names("serious_event") == ["adverse_effects_hard_block"]
    site.override("serious", event)
    assert site.names("serious_event") == []


def rated(site: Site, suicidality: int, subject: str = "P01", **more: Any) -> Entry:
    answers = {**dict.fromkeys(range(1, 9), 1), 9: suicidality}
    site.at = NOW - timedelta(days=200)
    return rate(
        site.dataset, load_scale("phq9"), answers, subject=subject, at=site.at, now=site.at,
        operator="AB", role="rater", **more,
    ).entry  # fmt: skip


def test_a_suicidality_alert_blocks_until_somebody_has_acknowledged_it(site: Site):
    rated(site, 0)
    rated(site, 3, subject="P02")
    assert site.names("suicidality_alert") == []
    alarming = rated(site, 1)
    (found,) = site.breaches("suicidality_alert", session="02")
    assert (found.limit, found.value) == ("suicidality_alert", "phq9 item 9 = 1, 2026-05-06")
    assert "tacs track acknowledge" in found.where
    assert site.names("suicidality_alert", now=NOW + timedelta(days=900)) == ["suicidality_alert"]
    # Neither a correction nor an override of something else opens it.
    rated(site, 0, corrects=alarming.hash)
    site.override("suicidality", alarming)
    assert site.names("suicidality_alert") == ["suicidality_alert"]
    acknowledge(site.dataset, open_alerts(site.dataset, "P02"), name="Dr C", role="investigator")
    assert site.names("suicidality_alert") == ["suicidality_alert"]
    acknowledge(site.dataset, open_alerts(site.dataset, "P01"), name="Dr C", role="investigator")
    assert site.names("suicidality_alert") == []


def test_an_open_alert_alone_keeps_a_session_that_is_ready_from_being_armed(site: Site):
    site.everything()
    assert site.names() == []
    rated(site, 2)
    assert site.names() == ["suicidality_alert"]


def test_an_event_that_nobody_knows_of_is_asked_about_again(site: Site):
    site.effects("after", serious="unknown", intervention="no")
    assert site.names("serious_event") == ["adverse_effects_item"]
    site.effects("next_visit", serious="no", intervention="no")
    assert site.names("serious_event") == []


def test_cautions_of_answers_that_do_not_block(site: Site):
    site.screening(mania="yes", migraine="yes", eyes="yes")
    site.effects(headache=4, itching=3)
    assert site.names("screening", "recheck") == []
    assert site.cautions() == [
        "Mania or hypomania: yes; watch the mood, tell the investigator of any high",
        "Migraine: yes; ask for headache during and after the session",
        "Eye disease: yes; light may be seen; some recipes rule out a disease of the retina",
        "Headache: 4 severe",
    ]


def test_a_session_after_which_nobody_asked_is_told(site: Site):
    site.effects("before", session="01")
    site.effects("before", session="02")
    assert site.cautions(session="03") == [
        "session 01: unwanted effects were not asked for afterwards",
        "session 02: unwanted effects were not asked for afterwards",
    ]
    assert site.cautions(session="02")[0].startswith("session 01:")
    site.effects("next_visit", session="01", serious="no", intervention="no")
    assert site.cautions(session="02") == []


# -- who it is ------------------------------------------------------------------------------------


def test_two_identifiers_match_in_any_spelling(site: Site):
    site.enrol()
    for answers in (
        {"birth_year": 1990, "initials": "jd"},
        {"birth_year": 1990, "initials": "J.-D."},
        {"subject": "P01", "initials": "J D"},
        {"subject": "P01", "birth_year": 1990},
        {"subject": "P01", "birth_year": 1990, "initials": "Jd"},
    ):
        assert check_identifiers(site.dataset, "P01", answers) == []


@pytest.mark.parametrize(
    "answers",
    [
        {"birth_year": 1991, "initials": "jd"},
        {"birth_year": 1990, "initials": "jx"},
        {"subject": "P02", "initials": "jd"},
        {"subject": "P01", "birth_year": 1990, "initials": "jx"},
    ],
)
def test_one_that_is_wrong_is_enough(site: Site, answers: dict[str, Any]):
    site.enrol()
    (found,) = check_identifiers(site.dataset, "P01", answers)
    assert found.limit == "identifiers"
    assert "do not match" in str(found.value)
    assert "the wrong participant is loaded" in found.where


def test_one_identifier_is_not_enough_and_one_that_was_never_kept_is_none(site: Site):
    assert check_identifiers(site.dataset, "P01", PERSON)[0].value == "none kept"
    site.enrol()
    for answers in ({}, {"birth_year": 1990}, {"birth_year": 1990, "house_number": "7"}):
        (found,) = check_identifiers(site.dataset, "P01", answers)
        assert found.value == f"{min(len(answers), 1)} typed"
        assert "kept are birth_year, initials, subject" in found.where


def test_no_identifier_is_readable_in_the_journal_and_two_salts_differ(site: Site):
    first, second = site.enrol(), site.enrol()
    text = without_hashes(site.dataset)
    assert "1990" not in text
    assert "J. D." not in text
    assert '"jd"' not in text
    assert set(first.data["pairs"]) == {
        "birth_year+initials", "birth_year+subject", "initials+subject",
    }  # fmt: skip
    assert not set(first.data["pairs"].values()) & set(second.data["pairs"].values())
    assert first.data["age_at_least_y"] == 25


def test_identifiers_that_cannot_be_kept():
    with pytest.raises(FileProblems, match="give at least one of year of birth, initials"):
        identifier_data("P01", {}, NOW)
    with pytest.raises(FileProblems, match="birth_year: 2027 cannot be the year of birth"):
        identifier_data("P01", {"birth_year": 2027}, NOW)


def test_the_check_is_of_this_session_and_of_the_last_hour(site: Site):
    assert site.names("identity") == ["identifiers"]
    site.enrol()
    assert site.names("identity") == ["identity"]
    site.identified(hours_ago=0.9)
    assert site.names("identity") == []
    assert site.names("identity", now=NOW + timedelta(minutes=10)) == ["identity"]
    assert site.names("identity", session="02") == ["identity"]
    site.identified(passed=False)
    (found,) = site.breaches("identity")
    assert (found.limit, found.value) == ("identity", "did not match")


def test_another_participant_since_then_blocks(site: Site):
    site.enrol()
    site.identified(hours_ago=0.5)
    site.identified(hours_ago=0.2, subject="P02")
    (found,) = site.breaches("identity")
    assert (found.limit, found.value, found.allowed) == (
        "participant_changed", "subject P02, session 01 since then", "subject P01, session 01",
    )  # fmt: skip
    site.identified(hours_ago=0.1)
    assert site.names("identity") == []


def test_age_is_the_youngest_possible_one(site: Site):
    assert youngest_age_y({"birth_year": 2008}, NOW) == 17
    assert youngest_age_y({"birth_year": 2008, "birthday_passed": "unknown"}, NOW) == 17
    assert youngest_age_y({"birth_year": 2008, "birthday_passed": "yes"}, NOW) == 18
    assert youngest_age_y({}, NOW) is None
    assert site.names("age") == []
    site.enrol(birth_year=2008)
    (found,) = site.breaches("age")
    assert (found.limit, found.value, found.allowed, found.unit) == ("age_y", 17.0, 18.0, "years")
    assert "17 years, allowed at least 18 years" in str(found)
    assert site.names("age", now=NOW + timedelta(days=334)) == ["age_y"]
    assert site.names("age", now=NOW + timedelta(days=336)) == []
    site.enrol(birth_year=2008, birthday_passed="yes")
    assert site.names("age") == []
    assert site.names("age", age_limit_y=21.0) == ["age_y"]
    assert site.names("age", age_limit_y=float("nan")) == ["age_y"]


def test_an_age_that_nobody_entered_is_told(site: Site):
    site.at = NOW
    data = identifier_data("P01", {"initials": "JD"}, NOW)
    Journal(site.dataset).append("identifiers", data, subject="P01", operator="AB", role="operator")
    assert site.names("age") == []
    assert "age: the year of birth was not entered, so the age was not checked" in site.cautions()
