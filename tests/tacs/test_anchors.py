"""What the site knows of its records: cut, changed and missing ones are found, and block."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tacs.anchors import (
    acknowledge,
    anchor,
    record_breaches,
    verify_dataset,
)
from tacs.clock import utc_now
from tacs.dataset import SessionPaths, ensure_dataset
from tacs.errors import InputError, RecordError
from tacs.ledger import Dose, Ledger
from tacs.ledger_renewal import acknowledge_ledger
from tacs.printed_anchor import anchor_line, check_anchor_line
from tacs.record import RecordWriter, canonical, chain_hash, read_record
from tacs.recovery import acknowledge_damage, recover
from tests.tacs.made import protocol as made_protocol

PROTOCOL = made_protocol(duration_s=60.0)
WHO = {"operator": "N. N.", "role": "data manager", "reason": "disk replaced"}


class Site:
    """A site with one data set, and sessions put there without running them."""

    def __init__(self, dataset: Path, folder: Path) -> None:
        self.dataset, self.folder = ensure_dataset(dataset), folder

    def session(
        self, subject: str = "P01", session: str = "01", *, end: bool = True, book: bool = True,
        anchored: bool = True, emulated: bool = True,
    ) -> Path:  # fmt: skip
        paths = SessionPaths.of(self.dataset, subject, session)
        ledger = Ledger(self.folder, emulated=emulated)
        with RecordWriter(paths.record) as record:
            record.append("session", 0.0, {"emulated": emulated, "subject": subject}, sync=True)
            key = record.head
            ledger.reserve(
                key, subject=subject, session=session, dataset=self.dataset, protocol=PROTOCOL,
                now=utc_now(),
            )  # fmt: skip
            record.append("intent", 1.0, {"verb": "start"}, sync=True)
            for i in range(8):
                record.append("intent", 1.0 + i, {"verb": "set_level", "level": i}, sync=False)
            if end:
                record.append("end", 10.0, {"outcome": "done", "delivered": None}, sync=True)
            head = record.head
        if book:
            dose = Dose(current_on_s=50.0, rectified_charge_c={"Oz": 0.1}, basis="measured")
            ledger.book(key, dose=dose, outcome="done", ended=utc_now(), head=head)
        if anchored:
            anchor(paths.record, self.folder)
        return paths.record

    def found(self) -> list[tuple[str, int | None, bool]]:
        problems = verify_dataset(self.dataset, self.folder)
        return [(p.kind, p.first_bad_line, p.acknowledged) for p in problems]

    def blocked(self, subject: str = "P01", *, emulated: bool = True) -> list[str]:
        found = record_breaches(self.dataset, subject, self.folder, emulated=emulated)
        assert all(b.limit == "record_damaged" for b in found)
        return [Path(b.where).name for b in found]


@pytest.fixture
def site(tmp_path: Path, site_folder: Path) -> Site:
    return Site(tmp_path / "data", site_folder)


def cut(record: Path, n_lines: int) -> None:
    record.write_bytes(b"".join(record.read_bytes().splitlines(keepends=True)[:n_lines]))


def rewrite(record: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change a record and compute its chain anew, as somebody would who knows how."""
    bodies = [json.loads(text) for text in record.read_text(encoding="utf-8").splitlines()]
    change(bodies)
    previous, texts = "0" * 64, []
    for body in bodies:
        del body["hash"]
        previous = chain_hash(previous, body)
        texts.append(canonical({**body, "hash": previous}) + "\n")
    record.write_text("".join(texts), encoding="utf-8")


def level(number: int) -> Callable[[list[dict[str, Any]]], None]:
    return lambda bodies: bodies[number]["data"].update(level=0.25)


@pytest.mark.parametrize("anchored", [True, False])
def test_sessions_as_they_were_left_are_no_problem(site: Site, anchored: bool):
    site.session(session="01", anchored=anchored)
    site.session(session="02", anchored=anchored)
    assert site.found() == []
    assert site.blocked() == []


@pytest.mark.parametrize("anchored", [True, False])
@pytest.mark.parametrize("n_lines", [1, 2, 7, 10])
def test_a_tail_that_was_cut_off_is_found_at_its_line(site: Site, n_lines: int, anchored: bool):
    record = site.session(anchored=anchored)
    cut(record, n_lines)
    assert read_record(record)[1] is None  # the chain alone does not show it
    assert site.found() == [("damaged", n_lines + 1, False)]
    assert site.blocked() == [record.name]
    assert site.blocked("P02") == []


@pytest.mark.parametrize("content", [b"", b'{"data":{"emul'])
def test_a_record_that_was_emptied_is_found(site: Site, content: bytes):
    record = site.session()
    record.write_bytes(content)
    assert site.found() == [("damaged", 1, False)]
    assert site.blocked() == [record.name]


def test_the_first_bad_line_of_an_edit_and_of_a_deletion(site: Site):
    record = site.session()
    whole = record.read_bytes()
    lines = whole.splitlines(keepends=True)
    for number in (0, 1, 5, 10):
        record.write_bytes(b"".join([*lines[:number], *lines[number + 1 :]]))
        assert site.found() == [("damaged", number + 1, False)]
        spoiled = lines[number].replace(b'"kind":"', b'"kind":"x', 1)
        record.write_bytes(b"".join([*lines[:number], spoiled, *lines[number + 1 :]]))
        assert site.found() == [("damaged", number + 1, False)]
    record.write_bytes(whole + b"{")
    assert site.found() == [("damaged", 12, False)]


@pytest.mark.parametrize("anchored", [True, False])
def test_a_record_that_was_written_anew_is_found_although_its_chain_holds(
    site: Site, anchored: bool
):
    record = site.session(anchored=anchored)
    printed = anchor_line(record)
    rewrite(record, level(4))
    assert read_record(record)[1] is None
    assert site.found() == [("damaged", 2, False)]
    assert check_anchor_line(printed, record) == (
        "line 11: another hash than was printed; the record was written anew"
    )
    rewrite(record, lambda bodies: bodies[0]["data"].update(subject="P09"))
    assert site.found() == [("damaged", 1, False)]


def test_lines_after_the_booked_head_are_not_damage(site: Site):
    """A late gap of the disk may be written after the end."""
    from tacs.record import RecordAppender

    record = site.session(anchored=False)
    with RecordAppender(record) as more:
        more.append("gap", 10.0, {"from_line": 1}, sync=True)
    assert site.found() == []


def test_a_missing_record_is_found_wherever_the_rest_is(site: Site):
    record = site.session()
    site.session(subject="P02")
    record.unlink()
    assert site.found() == [("missing", None, False)]
    assert site.blocked() == [record.name]
    assert site.blocked("P02") == []
    shutil.rmtree(site.dataset)
    assert [kind for kind, _, _ in site.found()] == ["missing", "missing"]


def test_a_data_set_that_was_moved_is_verified_where_it_is_now(site: Site, tmp_path: Path):
    record = site.session()
    moved = tmp_path / "moved"
    site.dataset.rename(moved)
    assert verify_dataset(moved, site.folder) == []
    cut(moved / record.relative_to(site.dataset), 5)
    assert [p.first_bad_line for p in verify_dataset(moved, site.folder)] == [6]


def test_damage_in_another_data_set_of_the_same_person_blocks_too(site: Site, tmp_path: Path):
    cut(site.session(), 5)
    other = tmp_path / "new"
    assert len(record_breaches(other, "P01", site.folder, emulated=True)) == 1
    assert record_breaches(other, "P02", site.folder, emulated=True) == []


def test_rehearsals_and_real_sessions_do_not_block_each_other(site: Site):
    record = site.session(emulated=False)
    cut(record, 5)
    assert site.blocked(emulated=True) == []
    assert site.blocked(emulated=False) == [record.name]


def test_a_record_that_was_never_closed_says_what_closes_it(site: Site):
    record = site.session(end=False, book=False, anchored=False)
    assert site.found() == [("open", None, False)]
    (breach,) = record_breaches(site.dataset, "P01", site.folder, emulated=True)
    assert str(breach) == (
        f"record_damaged ({record}): was never closed; `tacs recover` does that, allowed records "
        f"as they were left [look at it, then: tacs recover {site.dataset.resolve()}]"
    )
    problem = verify_dataset(site.dataset, site.folder)[0]
    with pytest.raises(InputError, match="was never closed; `tacs recover` does that"):
        acknowledge(problem, site.folder, **WHO)


def test_a_record_that_is_being_written_is_left_out(site: Site):
    paths = SessionPaths.of(site.dataset, "P01", "01")
    with RecordWriter(paths.record) as record:
        record.append("session", 0.0, {"emulated": True}, sync=True)
        record.append("intent", 0.0, {"verb": "start"}, sync=True)
        assert site.found() == []
    assert site.found() == [("open", None, False)]


def test_the_breach_says_which_line_and_what_to_type(site: Site):
    record = site.session()
    cut(record, 5)
    (breach,) = record_breaches(site.dataset, "P01", site.folder, emulated=True)
    assert breach.value == "line 6: cut off; the head that was booked is gone"
    assert breach.source.endswith(
        f"tacs recover {site.dataset.resolve()} --acknowledge {record.resolve()} --operator NAME "
        f"--role ROLE --reason TEXT"
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: cut(record, 5),
        lambda record: record.write_bytes(record.read_bytes().replace(b"set_level", b"set_lever")),
        lambda record: record.write_bytes(b""),
        lambda record: record.unlink(),
        lambda record: rewrite(record, level(4)),
    ],
)
def test_what_a_person_has_looked_at_no_longer_blocks_until_it_changes_again(
    site: Site, spoil: Callable[[Path], Any]
):
    record = site.session()
    spoil(record)
    (problem,) = verify_dataset(site.dataset, site.folder)
    acknowledge(problem, site.folder, **WHO)
    assert [p.acknowledged for p in verify_dataset(site.dataset, site.folder)] == [True]
    assert site.blocked() == []
    entry = read_record(site.folder / "anchors.jsonl")[0][-1]
    assert entry.kind == "acknowledge"
    assert {k: entry.data[k] for k in ("operator", "role", "reason")} == WHO
    assert entry.data["sha256"] == problem.sha256
    assert entry.data["first_bad_line"] == problem.first_bad_line
    record.write_bytes(b'{"data":{}}\n')
    assert [p.acknowledged for p in verify_dataset(site.dataset, site.folder)] == [False]
    assert site.blocked() == [record.name]


@pytest.mark.parametrize("missing", ["operator", "role", "reason"])
def test_an_acknowledgement_has_a_name_a_role_and_a_reason(site: Site, missing: str):
    cut(site.session(), 5)
    (problem,) = verify_dataset(site.dataset, site.folder)
    with pytest.raises(InputError, match=f"an acknowledgement needs --{missing}"):
        acknowledge(problem, site.folder, **{**WHO, missing: " "})
    assert site.found() == [("damaged", 6, False)]


def test_an_open_session_whose_record_is_damaged_is_booked_whole_once_acknowledged(site: Site):
    """Else the participant could never be stimulated again."""
    record = site.session(book=False, anchored=False, end=False)
    record.write_bytes(record.read_bytes().replace(b"set_level", b"set_lever", 1))
    ledger = Ledger(site.folder, emulated=True)
    assert [s.outcome for s in recover(site.dataset)] == ["damaged"]
    assert ledger.history("P01", utc_now()).open_sessions != ()
    told = acknowledge_damage(site.dataset, record.name, **WHO)
    assert told.first_bad_line == 3
    history = ledger.history("P01", utc_now())
    assert history.open_sessions == ()
    assert history.current_on_24h_min == pytest.approx(1.0)
    assert recover(site.dataset) == []
    assert site.found() == [("damaged", 3, True)]
    assert acknowledge_damage(site.dataset, str(record), **WHO).acknowledged  # nothing to do


def test_only_what_is_damaged_can_be_acknowledged(site: Site):
    record = site.session()
    with pytest.raises(InputError, match="is not damaged; damaged here: none"):
        acknowledge_damage(site.dataset, str(record), **WHO)


# -- the site's own files --------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 1, 2, 3])
def test_a_ledger_that_was_cut_is_told_by_the_anchors_until_accepted(site: Site, keep: int):
    site.session(session="01")
    record = site.session(session="02")
    ledger = Ledger(site.folder, emulated=True).path
    cut(ledger, keep)
    (problem,) = [p for p in verify_dataset(site.dataset, site.folder) if p.kind == "site"]
    assert (problem.record, problem.first_bad_line) == (ledger, keep + 1)
    assert "its tail was cut off" in problem.problem
    assert ledger.name in site.blocked("P77")  # whose session is gone from it, nobody knows
    anchor(record, site.folder)  # another session must not cover it up
    assert ledger.name in site.blocked("P77")
    acknowledge_ledger(site.folder, emulated=True, **WHO)
    assert site.blocked("P77") == []


def test_a_ledger_that_was_written_anew_is_told(site: Site):
    site.session()
    ledger = Ledger(site.folder, emulated=True).path
    rewrite(ledger, lambda bodies: bodies[1]["data"]["dose"].update(current_on_s=1.0))
    assert ("site", 1, False) in site.found()


def test_anchors_that_were_changed_are_told_and_kept_when_accepted(site: Site):
    site.session(session="01")
    site.session(session="02")
    path = site.folder / "anchors.jsonl"
    spoiled = path.read_bytes().replace(b'"n_lines":11', b'"n_lines":12', 1)
    path.write_bytes(spoiled)
    assert site.found() == [("site", 1, False)]
    with pytest.raises(RecordError, match="line 1"):
        anchor(SessionPaths.of(site.dataset, "P01", "01").record, site.folder)
    (problem,) = verify_dataset(site.dataset, site.folder)
    acknowledge(problem, site.folder, **WHO)
    assert site.found() == []
    (kept,) = site.folder.glob("anchors-damaged-*.jsonl")
    assert kept.read_bytes() == spoiled
    assert read_record(path)[0][0].data["sha256"] == problem.sha256


# -- on paper --------------------------------------------------------------------------------------


def test_the_printed_line(site: Site):
    record = site.session()
    text = anchor_line(record)
    head = read_record(record)[0][-1].hash
    assert re.fullmatch(r"TACS1 P01 01 11 ([0-9a-f]{4}-){7}[0-9a-f]{4} [0-9a-f]{4}", text)
    assert text.split()[4].replace("-", "") == head[:32]
    assert len(text) < 80
    assert check_anchor_line(f"  {text} ", record) is None
    assert anchor(record, site.folder) == text


def test_a_mistyped_line_is_not_a_damaged_record(site: Site):
    record = site.session()
    text = anchor_line(record)
    for at, letter in enumerate(text):
        if letter in "0123456789abcdef" and at > 5:
            typed = text[:at] + ("0" if letter != "0" else "1") + text[at + 1 :]
            with pytest.raises(InputError, match="mistyped"):
                check_anchor_line(typed, record)
    with pytest.raises(InputError, match="begins with TACS1 and has six parts"):
        check_anchor_line("hello", record)


def test_paper_knows_of_a_tail_that_was_cut_off_and_of_an_edit(site: Site):
    record = site.session()
    text = anchor_line(record)
    whole = record.read_bytes()
    cut(record, 5)
    assert check_anchor_line(text, record) == "line 6: cut off; 11 lines were printed"
    record.write_bytes(whole.replace(b"set_level", b"set_lever", 1))
    assert check_anchor_line(text, record) == (
        "line 3: its hash does not match; it or a line before changed"
    )


def test_what_does_not_verify_is_not_anchored(site: Site):
    record = site.session(anchored=False)
    record.write_bytes(record.read_bytes() + b"{")
    for call in (anchor_line, lambda path: anchor(path, site.folder)):
        with pytest.raises(RecordError, match="line 12: not a whole line of a record"):
            call(record)
    record.write_bytes(b"")
    with pytest.raises(RecordError, match="line 1: it has none"):
        anchor_line(record)
    with pytest.raises(InputError, match="no such record"):
        anchor_line(record.with_name("none.jsonl"))
