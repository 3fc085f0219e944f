"""Allocation and assignment: drawn outside, closed at the site, never drawn twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacs import blinding as module
from tacs.allocation import (
    Allocated,
    Design,
    Row,
    Study,
    allocate,
    open_table,
    read_site_key,
    read_table,
)
from tacs.blinding import SiteStudy, import_study, load_study, resolve
from tacs.clock import utc_now
from tacs.errors import FileProblems, InputError, RecordError
from tacs.record import read_record
from tacs.sealing import generate_keys, read_private_key, read_public_key
from tests.tacs.made import protocol

PLANNED = protocol(blinding={"label": "ALPHA1"})
WHY = "seizure, needs treatment now"
Keys = tuple[bytes, bytes]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    public, private = generate_keys(tmp_path_factory.mktemp("keys"))
    return read_public_key(public), read_private_key(private)


def design(**changes: Any) -> Design:
    data: dict[str, Any] = {
        "study": "ALPHA1",
        "arms": [
            {"code": "V", "waveform": "tacs"},
            {"code": "S", "waveform": "active_sham", "sham_plateau_s": 20.0},
        ],
        "strata": [{"name": "young", "planned": 10}, {"name": "old", "planned": 7}],
        "block_sizes": [2, 4, 6],
    }
    return Design.from_data({**data, **changes}, "design")


@pytest.fixture
def made(tmp_path: Path, keys: Keys) -> Allocated:
    return allocate(design(), keys[0], tmp_path / "out")


@pytest.fixture
def study(made: Allocated) -> SiteStudy:
    return import_study(made.study, made.site_key)


# -- the table -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.binary(min_size=8, max_size=8), st.integers(1, 3), st.integers(1, 40))
def test_blocks_are_balanced_and_the_table_is_long_enough(seed: bytes, share: int, planned: int):
    plan = design(
        arms=[
            {"code": "V", "waveform": "tacs", "share": share},
            {"code": "S", "waveform": "passive_sham"},
        ],
        strata=[{"name": "a", "planned": planned}, {"name": "b", "planned": 1}],
        block_sizes=[],
    )
    from tacs.allocation import _drawn

    rows = _drawn(plan, seed)
    assert rows == _drawn(plan, seed)
    own = [row for row in rows if row.stratum == "a"]
    assert [row.number for row in own] == list(range(1, len(own) + 1))
    counts = Counter(row.arm for row in own)
    assert counts["V"] == share * counts["S"]
    assert 1.2 * planned <= len(own) < 1.2 * planned + 1 + 3 * (share + 1)
    # Never further out of balance than half of the largest block.
    ahead = [0]
    for row in own:
        ahead.append(ahead[-1] + (1 if row.arm == "V" else -share))
    assert max(map(abs, ahead)) <= 3 * share


def test_two_draws_differ_and_so_do_the_strata(keys: Keys, tmp_path: Path):
    plan = design(strata=[{"name": "a", "planned": 60}, {"name": "b", "planned": 60}])
    tables = []
    for name in ("1", "2"):
        made = allocate(plan, keys[0], tmp_path / name)
        tables.append(open_table(made.table, keys[1], Study.from_toml(made.study)))
    arms = ["".join(r.arm for r in t.rows if r.stratum == s) for t in tables for s in "ab"]
    assert len({text[:60] for text in arms}) == 4
    sizes = {r.arm for r in tables[0].rows}
    assert sizes == {"V", "S"}


def test_no_file_of_the_team_tells_an_arm(made: Allocated, study: SiteStudy):
    study.assign("P01", "young")
    study.request_unblinding("P01", person="Dr A", role="physician", reason=WHY)
    files = [made.study, *study.folder.iterdir()]
    assert {f.name for f in study.folder.iterdir()} >= {"study.toml", "site.key", "journal.jsonl"}
    for file in files:
        content = file.read_text()
        for word in ('tacs"', "active_sham", "plateau", "seed", "salt", '"V"', '"S"'):
            assert word not in content, file
    boxes = [slot.box for slot in study.study.slots]
    assert len(set(map(len, boxes))) == 1
    assert len(set(boxes)) == len(boxes)
    assert made.site_key.stat().st_mode & 0o777 == 0o600
    assert (study.folder / "site.key").stat().st_mode & 0o777 == 0o600
    assert study.folder.stat().st_mode & 0o777 == 0o700


def test_the_table_is_the_one_that_was_committed_to(made: Allocated, keys: Keys, tmp_path: Path):
    closed = Study.from_toml(made.study)
    table = open_table(made.table, keys[1], closed)
    assert table.commitment_sha256 == closed.commitment_sha256 == made.commitment_sha256
    assert len(table.seed) == 64
    key = read_site_key(made.site_key)
    for slot in closed.slots:
        assert closed.arm(slot, key).waveform == table.waveform_of(slot.stratum, slot.number)
    other = allocate(design(), keys[0], tmp_path / "other")
    with pytest.raises(InputError, match="is not the table that study ALPHA1 committed to"):
        open_table(other.table, keys[1], closed)
    raw = made.table.read_bytes()
    made.table.write_bytes(raw[:-5000])
    with pytest.raises(InputError, match=r"torn, .* it is not whole"):
        open_table(made.table, keys[1])


def test_a_table_made_elsewhere(made: Allocated, keys: Keys, tmp_path: Path):
    (tmp_path / "t.csv").write_text(
        "\ufeffredcap_randomization_number,Stratum,redcap_randomization_group\n"
        "1,young,V\n2,old,S\n3,young,S\n4,old,V\n",
        encoding="utf-8",
    )
    rows = read_table(tmp_path / "t.csv")
    assert rows[1] == Row(2, "old", "S")
    found = allocate(design(), keys[0], tmp_path / "x", rows=rows)
    table = open_table(found.table, keys[1])
    assert table.seed == ""
    assert table.rows == (
        Row(1, "young", "V"), Row(2, "young", "S"), Row(1, "old", "S"), Row(2, "old", "V"),
    )  # fmt: skip
    assert found.warnings == (
        "stratum young: 2 slots for 10 participants; at least 12 (20 % more) leave room for those "
        "who drop out",
        "stratum old: 2 slots for 7 participants; at least 9 (20 % more) leave room for those "
        "who drop out",
    )
    (tmp_path / "t.toml").write_text(
        '[[slots]]\nnumber = 1\narm = "V"\n[[slots]]\nnumber = 2\nstratum = "all"\narm = "S"\n'
    )
    assert read_table(tmp_path / "t.toml") == [Row(1, "all", "V"), Row(2, "all", "S")]


def test_what_is_no_table_is_refused(keys: Keys, tmp_path: Path):
    path = tmp_path / "t.csv"
    for text, reason in (
        ("a,b\n1,2\n", "needs the columns number and arm"),
        ("number,arm\n", "has no slots"),
        ("number,arm\n1,\nx,V\n", "slot 1: needs a number and an arm"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=reason):
            read_table(path)
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.csv")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not a text file"):
        read_table(path)
    (tmp_path / "t.toml").write_text("slots = 3\n")
    with pytest.raises(InputError, match="needs \\[\\[slots\\]\\]"):
        read_table(tmp_path / "t.toml")
    rows = [Row(1, "young", "X"), Row(1, "young", "V"), Row(2, "middle", "S")]
    with pytest.raises(FileProblems) as caught:
        allocate(design(), keys[0], tmp_path / "x", rows=rows)
    assert caught.value.problems == (
        "slot 1: arm 'X' is not one of the design (S, V)",
        "stratum 'middle' is not one of the design (old, young)",
        "stratum 'old' has no slots",
        "a number stands twice in one stratum",
    )
    assert not (tmp_path / "x").exists()


def test_designs_that_cannot_be(keys: Keys):
    with pytest.raises(FileProblems) as caught:
        design(
            arms=[
                {"code": "V", "waveform": "tacs", "sham_plateau_s": 3.0},
                {"code": "V", "waveform": "active_sham"},
            ],
            strata=[{"name": "a", "planned": 1}, {"name": "a", "planned": 1}],
            block_sizes=[2, 3],
        )
    text = str(caught.value)
    for part in (
        "arms: a code is used twice",
        "strata: a name is used twice",
        "arms[0].sham_plateau_s: only an active_sham has one",
        "arms[1].sham_plateau_s: missing (seconds)",
        "block_sizes: 3 is not a multiple of 2",
    ):
        assert part in text


def test_designs_worth_a_warning(keys: Keys, tmp_path: Path):
    arms = [
        {"code": "A", "waveform": "passive_sham"},
        {"code": "B", "waveform": "active_sham", "sham_plateau_s": 1.0},
    ]
    made = allocate(design(arms=arms, block_sizes=[4, 4]), keys[0], tmp_path / "x")
    assert made.warnings == (
        "no arm is active (waveform tacs)",
        "one block size only: the last of a block can be guessed",
    )


def test_a_study_is_allocated_once(made: Allocated, keys: Keys):
    before = made.site_key.read_bytes()
    with pytest.raises(InputError, match="a study is allocated once"):
        allocate(design(), keys[0], made.study.parent)
    assert made.site_key.read_bytes() == before


# -- import ----------------------------------------------------------------------------------------


def test_a_study_is_imported_once(made: Allocated, keys: Keys, tmp_path: Path):
    first = import_study(made.study, made.site_key)
    first.assign("P01", "young")
    again = import_study(made.study, made.site_key)
    assert [a.subject for a in again.assignments()] == ["P01"]
    other = allocate(design(), keys[0], tmp_path / "other")
    with pytest.raises(InputError, match="is here already with another table"):
        import_study(other.study, other.site_key)
    assert load_study("ALPHA1").study == first.study


def test_a_crash_in_the_import_is_taken_up(made: Allocated, site_folder: Path):
    folder = import_study(made.study, made.site_key).folder
    (folder / "study.toml").unlink()
    (folder / "rehearsals.jsonl").unlink()
    assert import_study(made.study, made.site_key).assign("P01", "old").slot == 1


def test_another_key_or_a_changed_slot_is_refused(made: Allocated, keys: Keys, tmp_path: Path):
    other = allocate(design(), keys[0], tmp_path / "other")
    with pytest.raises(InputError, match="not the key of this study, or the file was changed"):
        import_study(made.study, other.site_key)
    closed = Study.from_toml(made.study)
    data = closed.to_data()
    data["slots"][0]["box"], data["slots"][1]["box"] = (
        data["slots"][1]["box"], data["slots"][0]["box"],
    )  # fmt: skip
    swapped, key = Study.from_data(data, "swapped"), read_site_key(made.site_key)
    with pytest.raises(InputError, match="holds another slot; the file was changed"):
        swapped.arm(swapped.slots[0], key)
    for text in ("x\ny\n", "one line\n", "# t\nnot base64\n"):
        (tmp_path / "k").write_text(text)
        with pytest.raises(InputError, match="is not a site key"):
            read_site_key(tmp_path / "k")
    with pytest.raises(InputError, match="the statistician has the site key"):
        read_site_key(tmp_path / "none")


# -- assignment ------------------------------------------------------------------------------------


def test_a_participant_keeps_the_first_slot(study: SiteStudy):
    first = study.assign("P01", "young")
    assert (first.slot, first.new) == (1, True)
    assert study.assign("P02", "young").slot == 2
    assert study.assign("P03", "old").slot == 1
    again = load_study("ALPHA1").assign("P01", "young")
    assert (again.slot, again.new) == (1, False)
    assert [(a.subject, a.stratum, a.slot) for a in study.assignments()] == [
        ("P01", "young", 1), ("P02", "young", 2), ("P03", "old", 1),
    ]  # fmt: skip
    with pytest.raises(InputError, match="was assigned in stratum young, not old"):
        study.assign("P01", "old")


def test_labels_are_labels(study: SiteStudy):
    with pytest.raises(InputError, match=r"subject '\.\./P01': must be 1 to 32 letters"):
        study.assign("../P01", "young")
    with pytest.raises(InputError, match=r"study '\.\./ALPHA1': must be 1 to 32 letters"):
        load_study("../ALPHA1")
    with pytest.raises(FileProblems, match="public_key"):
        Study.from_data({**study.study.to_data(), "public_key": "x"}, "study")


def test_strata_must_be_known(study: SiteStudy, keys: Keys, tmp_path: Path):
    with pytest.raises(InputError, match="needs a stratum; there are: young, old"):
        study.assign("P01")
    with pytest.raises(InputError, match="has no stratum 'middle'"):
        study.assign("P01", "middle")
    one = allocate(
        design(study="ONE", strata=[{"name": "all", "planned": 4}]), keys[0], tmp_path / "one"
    )
    assert import_study(one.study, one.site_key).assign("P01").stratum == "all"


def test_an_exhausted_stratum_refuses(study: SiteStudy):
    n = sum(slot.stratum == "old" for slot in study.study.slots)
    for i in range(n):
        study.assign(f"P{i}", "old")
    with pytest.raises(InputError, match="stratum old has no slot left"):
        study.assign("late", "old")
    assert len(study.assignments()) == n


def test_an_assignment_is_on_disk_before_it_is_told(
    study: SiteStudy, monkeypatch: pytest.MonkeyPatch
):
    class Full(module.RecordAppender):
        def append(self, *args: Any, **options: Any) -> None:
            raise RecordError("No space left on device")

    monkeypatch.setattr(module, "RecordAppender", Full)
    with pytest.raises(RecordError, match="No space left"):
        resolve(study, "P01", "young", PLANNED, emulated=False)
    assert study.assignments() == ()


@pytest.mark.parametrize("how", ["edit", "cut", "exchange", "no anchor", "bad anchor", "gone"])
def test_a_tampered_journal_gives_no_slots(study: SiteStudy, how: str):
    for i in range(3):
        study.assign(f"P{i}", "young")
    path = study.folder / "journal.jsonl"
    anchor = path.with_suffix(".anchor")
    whole = path.read_text().splitlines(keepends=True)
    if how == "edit":
        path.write_text("".join(whole).replace("P1", "P9"))
    elif how == "cut":
        path.write_text("".join(whole[:-1]))
    elif how == "exchange":
        fresh = study.folder.parent / "fresh"
        shutil.copytree(study.folder, fresh)
        (fresh / "journal.jsonl").write_text(whole[0])
        (fresh / "journal.anchor").unlink()
        copy = SiteStudy(study=study.study, folder=fresh)
        for i in (5, 6, 7):
            copy.assign(f"P{i}", "young")
        path.write_bytes((fresh / "journal.jsonl").read_bytes())
    elif how == "no anchor":
        anchor.unlink()
    elif how == "bad anchor":
        anchor.write_text("{}")
    else:
        path.unlink()
    reason = {
        "edit": "its hash does not match",
        "cut": "has 3 lines where its anchor has 4",
        "exchange": "line 4 is not the one that was anchored",
        "no anchor": "its anchor is gone",
        "bad anchor": "its anchor cannot be read",
        "gone": "the journal is gone",
    }[how]
    for attempt in (lambda: study.assign("P0", "young"), study.guesses):
        with pytest.raises(RecordError, match=f"{reason}.*no slot can be given"):
            attempt()


def test_a_crash_between_journal_and_anchor_is_no_tampering(study: SiteStudy):
    study.assign("P01", "young")
    anchor = study.folder / "journal.anchor"
    before = anchor.read_bytes()
    study.assign("P02", "young")
    anchor.write_bytes(before)
    with (study.folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"torn')
    assert study.assign("P02", "young").slot == 2
    assert study.assign("P03", "young").slot == 3


def test_an_exchanged_study_file_is_refused(study: SiteStudy, keys: Keys, tmp_path: Path):
    study.assign("P01", "young")
    other = allocate(design(), keys[0], tmp_path / "other")
    shutil.copy(other.study, study.folder / "study.toml")
    with pytest.raises(RecordError, match="belongs to another study file; the table was exchanged"):
        load_study("ALPHA1").assign("P02", "young")


# -- resolving -------------------------------------------------------------------------------------


def test_every_participant_gets_the_arm_of_the_table(study: SiteStudy, made: Allocated, keys: Keys):
    table = open_table(made.table, keys[1])
    for i in range(8):
        found = resolve(study, f"P{i}", "young", PLANNED, emulated=False)
        waveform = table.waveform_of("young", i + 1)
        assert found.waveform == waveform
        assert found.sham_plateau_s == (20.0 if waveform == "active_sham" else None)
        same = {"waveform": "tacs", "sham_plateau_s": None}
        assert found.model_copy(update=same) == PLANNED
        assert resolve(study, f"P{i}", "young", PLANNED, emulated=False) == found
    assert {table.waveform_of("young", i + 1) for i in range(8)} == {"tacs", "active_sham"}


def test_without_its_allocation_nothing_runs(study: SiteStudy):
    with pytest.raises(InputError, match=r"its allocation is not on this computer .* no blinded"):
        load_study("BETA2")
    (study.folder / "site.key").unlink()
    with pytest.raises(InputError, match="the statistician has the site key"):
        resolve(study, "P01", "young", PLANNED, emulated=False)
    assert study.assignments() == ()


def test_only_the_studys_own_active_protocol_is_resolved(study: SiteStudy):
    for planned, reason in (
        (protocol(), "its blinding label is None, the study is ALPHA1; plan it with"),
        (protocol(blinding={"label": "BETA2"}), "its blinding label is BETA2"),
        (
            protocol(waveform="passive_sham", blinding={"label": "ALPHA1"}),
            "is a sham; a blinded study plans the active protocol",
        ),
    ):
        with pytest.raises(InputError, match=reason):
            resolve(study, "P01", "young", planned, emulated=False)
    assert study.assignments() == ()


def test_a_protocol_that_one_arm_does_not_fit_is_refused_for_everybody(study: SiteStudy):
    planned = protocol(duration_s=50.0, blinding={"label": "ALPHA1"})  # 30 + 15 + 20 s of sham
    told = set()
    for i in range(8):
        with pytest.raises(InputError) as caught:
            resolve(study, f"P{i}", "young", planned, emulated=False)
        told.add(str(caught.value))
    assert told == {
        "protocol made: some arm of study ALPHA1 does not fit into 50 s with these ramps; plan a "
        "longer session"
    }
    assert study.assignments() == ()


def test_a_rehearsal_has_a_draw_of_its_own(study: SiteStudy):
    found = [resolve(study, f"R{i}", "young", PLANNED, emulated=True) for i in range(24)]
    assert [resolve(study, f"R{i}", "young", PLANNED, emulated=True) for i in range(24)] == found
    assert {p.waveform for p in found} == {"tacs", "active_sham"}
    assert study.assignments() == ()
    text = (study.folder / "rehearsals.jsonl").read_text()
    assert "sham" not in text
    assert "plateau" not in text
    lines, _ = read_record(study.folder / "rehearsals.jsonl")
    assert len({len(json.dumps(x.data)) for x in lines[1:10]}) == 1


# -- unblinding ------------------------------------------------------------------------------------


def test_unblinding_takes_two_steps_and_both_are_kept(
    study: SiteStudy, made: Allocated, keys: Keys
):
    study.assign("P01", "young")
    token = study.request_unblinding("P01", person="Dr A", role="physician", reason=WHY)
    assert study.unblinded() == ()
    arm = study.confirm_unblinding("P01", token=token, person="Dr A", reason=WHY)
    assert arm.waveform == open_table(made.table, keys[1]).waveform_of("young", 1)
    assert study.unblinded() == ("P01",)
    kinds = [line.kind for line in study.lines()]
    assert kinds == ["study", "assigned", "unblinding-requested", "unblinded"]
    asked, done = study.lines()[2].data, study.lines()[3].data
    assert (asked["person"], asked["role"], asked["reason"]) == ("Dr A", "physician", WHY)
    assert (done["person"], done["reason"]) == ("Dr A", WHY)
    text = (study.folder / "journal.jsonl").read_text()
    assert token not in text
    assert arm.waveform not in text.replace("tacs-", "")
    # A token is good for once.
    with pytest.raises(InputError, match="not the token of an open request"):
        study.confirm_unblinding("P01", token=token, person="Dr A", reason=WHY)
    assert study.lines()[-1].kind == "unblinding-refused"


def test_a_token_is_for_one_participant_and_one_hour(
    study: SiteStudy, monkeypatch: pytest.MonkeyPatch
):
    study.assign("P01", "young")
    study.assign("P02", "young")
    token = study.request_unblinding("P01", person="Dr A", role="physician", reason=WHY)
    for subject, wrong in (("P02", token), ("P01", "00000000")):
        with pytest.raises(InputError, match="not the token"):
            study.confirm_unblinding(subject, token=wrong, person="Dr A", reason=WHY)
    now = utc_now()
    for hours in (1.01, -0.5):
        monkeypatch.setattr(module, "utc_now", lambda h=hours: now + timedelta(hours=h))
        with pytest.raises(InputError, match="not the token"):
            study.confirm_unblinding("P01", token=token, person="Dr A", reason=WHY)
    monkeypatch.setattr(module, "utc_now", lambda: now + timedelta(hours=0.9))
    assert study.confirm_unblinding("P01", token=f" {token}\n", person="Dr A", reason=WHY)
    assert study.unblinded() == ("P01",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"person": " "}, "needs the person's name and a reason of at least 10"),
        ({"reason": "because"}, "needs the person's name and a reason of at least 10"),
        ({"role": "king"}, "role 'king': must be one of investigator, physician"),
        ({"subject": "P99"}, "subject P99: has no slot in study ALPHA1"),
    ],
)
def test_unblinding_needs_who_and_why(study: SiteStudy, changes: dict[str, str], reason: str):
    study.assign("P01", "young")
    asked = {"subject": "P01", "person": "Dr A", "role": "physician", "reason": WHY, **changes}
    with pytest.raises(InputError, match=reason):
        study.request_unblinding(**asked)
    assert [line.kind for line in study.lines()] == ["study", "assigned"]


# -- guesses ---------------------------------------------------------------------------------------


def test_guesses_are_kept_and_the_first_answer_stands(study: SiteStudy):
    study.assign("P01", "young")
    one = study.record_guess(
        "P01", "01", who="participant", guess="active", confidence=7, reason=" tingling "
    )
    two = study.record_guess("P01", "01", who="operator", guess="unknown", confidence=0)
    three = study.record_guess("P01", "02", who="participant", guess="sham", confidence=10)
    assert one.reason == "tingling"
    assert load_study("ALPHA1").guesses() == (one, two, three)
    with pytest.raises(InputError, match="the participant has answered already"):
        study.record_guess("P01", "01", who="participant", guess="sham", confidence=1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"who": "mother"}, "who 'mother': must be one of participant, operator, rater"),
        ({"guess": "maybe"}, "guess 'maybe': must be one of active, sham, unknown"),
        ({"confidence": 11}, "confidence 11: must be a whole number from 0 to 10"),
        ({"confidence": float("nan")}, "confidence nan"),
        ({"confidence": 5.5}, "confidence 5.5"),
        ({"confidence": True}, "confidence True"),
        ({"subject": "P99"}, "has no slot in study"),
    ],
)
def test_what_is_no_answer_is_refused(study: SiteStudy, changes: dict[str, Any], reason: str):
    study.assign("P01", "young")
    answer = {
        "subject": "P01", "session": "01", "who": "rater", "guess": "sham", "confidence": 5,
    } | changes  # fmt: skip
    with pytest.raises(InputError, match=reason):
        study.record_guess(answer.pop("subject"), answer.pop("session"), **answer)
    assert study.guesses() == ()
