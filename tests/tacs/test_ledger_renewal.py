"""A damaged ledger is begun anew by a person, and opens no way around a limit of the day."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tacs.anchors import acknowledge, record_breaches, verify_dataset
from tacs.cli import call
from tacs.clock import utc_now
from tacs.errors import FileProblems, InputError, RecordError
from tacs.ledger import Ledger
from tacs.ledger_damage import LedgerDamage, ledger_damage
from tacs.ledger_renewal import Renewal, acknowledge_ledger
from tacs.record import canonical, chain_hash, loose_lines, read_record
from tacs.recovery import acknowledge_damage, recover
from tests.tacs.ledgers import PastSite, change_lines

WHO = {"operator": "N. N.", "role": "data manager", "reason": "disk replaced"}
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def site(tmp_path: Path, site_folder: Path, now: datetime) -> PastSite:
    """P01 ten days ago, P02 three hours ago, P03 one hour ago: six lines."""
    made = PastSite(tmp_path / "data", site_folder, now - 30 * DAY)
    made.session("P01", "01", now - 10 * DAY)
    made.session("P02", "01", now - 3 * HOUR)
    made.session("P03", "01", now - HOUR)
    return made


def renew(site: PastSite, now: datetime, **changes: str) -> Renewal:
    said = {**WHO, **changes}
    return acknowledge_ledger(site.folder, emulated=False, now=site.at(now), **said)


def damage(site: PastSite, now: datetime) -> LedgerDamage:
    found = ledger_damage(site.folder, emulated=False, now=site.at(now))
    assert found is not None
    return found


def edit(number: int, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        def replaced(lines: list[bytes]) -> None:
            assert old in lines[number - 1]
            lines[number - 1] = lines[number - 1].replace(old, new, 1)

        change_lines(path, replaced)

    return change


def delete(first: int, last: int) -> Callable[[Path], None]:
    return lambda path: change_lines(path, lambda lines: lines.__delitem__(slice(first - 1, last)))


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(3000) + b"\n")


def forge(path: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change a ledger and compute its chain anew, as somebody would who knows how."""
    bodies = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    change(bodies)
    previous, texts = "0" * 64, []
    for seq, body in enumerate(bodies):
        del body["hash"]
        body["seq"] = seq
        previous = chain_hash(previous, body)
        texts.append(canonical({**body, "hash": previous}) + "\n")
    path.write_text("".join(texts), encoding="utf-8")


# How a ledger is damaged, its first bad line, and whose session is then open.
DAMAGE: dict[str, tuple[Callable[[Path], Any], int, set[str]]] = {
    "edited reservation": (edit(5, b'"P03"', b'"P09"'), 5, set()),  # its record tells whose
    "edited booking": (edit(6, b'"current_on_s":1200.0', b'"current_on_s":0012.0'), 6, {"P03"}),
    "edited dose": (edit(6, b'"current_on_s":1200.0', b'"current_on_s":1.0'), 6, {"P03"}),
    "edited time": (edit(5, b'"moment":{', b'"moment":{"x":1,'), 5, set()),
    "unreadable line": (edit(5, b'"data"', b'\xff"data"'), 5, {"P03"}),
    "deleted reservation": (delete(5, 5), 5, {"P03"}),
    "deleted booking": (delete(6, 6), 6, {"P03"}),
    "deleted session": (delete(5, 6), 5, {"P03"}),
    "deleted in the middle": (delete(3, 3), 3, {"P02"}),
    "truncated inside a line": (lambda path: path.write_bytes(path.read_bytes()[:-40]), 6, {"P03"}),
    "garbage": (garbage, 1, {"P01", "P02", "P03"}),
    "emptied": (lambda path: path.write_bytes(b""), 1, {"P01", "P02", "P03"}),
    "missing": (Path.unlink, 1, {"P01", "P02", "P03"}),
    "session forged away": (
        lambda path: forge(path, lambda bodies: bodies.__delitem__(slice(4, 6))), 5, {"P03"},
    ),
    "dose forged": (
        lambda path: forge(path, lambda b: b[5]["data"]["dose"].update(current_on_s=1.0)),
        5, {"P03"},
    ),
}  # fmt: skip


@pytest.fixture(params=DAMAGE)
def damaged(request: pytest.FixtureRequest, site: PastSite) -> tuple[PastSite, int, set[str]]:
    spoil, first, concerned = DAMAGE[request.param]
    spoil(site.ledger.path)
    return site, first, concerned


def test_until_it_is_acknowledged_everybody_is_blocked(
    damaged: tuple[PastSite, int, set[str]], now: datetime, tmp_path: Path
):
    site, first, concerned = damaged
    found = damage(site, now)
    assert found.first_bad_line == first
    assert found.problem.startswith(f"line {first}: ")
    assert {x["subject"] for x in found.open_sessions} == concerned
    breaches = record_breaches(tmp_path / "new", "P77", site.folder, emulated=False)
    assert [b.limit for b in breaches] == ["record_damaged"]
    assert breaches[0].source == "look at it, then: tacs ledger acknowledge"


def test_after_it_whoever_may_be_concerned_is_still_refused(
    damaged: tuple[PastSite, int, set[str]], now: datetime, tmp_path: Path
):
    site, _, concerned = damaged
    before = site.ledger.path.read_bytes() if site.ledger.path.exists() else None
    renewal = renew(site, now)
    if before is None:
        assert renewal.kept is None
    else:
        assert renewal.kept == site.folder / "damaged-ledger-1.jsonl"
        assert renewal.kept.read_bytes() == before
    assert verify_dataset(site.dataset, site.folder) == []
    for subject in concerned:
        assert "open_session" in site.refused(subject, now)
    # Too early before, too early now; and a lost line may have been anybody's.
    assert {"ledger_renewed", "inter_session_interval_h"} <= set(site.refused("P02", now))
    assert {"ledger_renewed", "inter_session_interval_h"} <= set(site.refused("P03", now))
    assert "ledger_renewed" in site.refused("P77", now)
    # The records close it, and the doses are those that were given.
    assert {r.outcome for r in recover(site.dataset)} <= {"done"}
    minutes = {
        name: site.ledger.history(name, site.at(now)).current_on_24h_min for name in ("P02", "P03")
    }
    assert minutes == {"P02": pytest.approx(20.0, abs=0.3), "P03": pytest.approx(20.0, abs=0.3)}
    assert {"ledger_renewed", "inter_session_interval_h"} <= set(site.refused("P03", now))
    assert "open_session" not in site.refused("P03", now)
    assert site.ledger.history("P01", site.at(now)).sessions_90d == 1
    # A day later everybody may go on, and nothing is left to be looked at.
    assert [site.refused(x, now + DAY + HOUR) for x in ("P01", "P02", "P03", "P77")] == [[]] * 4
    assert verify_dataset(site.dataset, site.folder) == []
    assert record_breaches(tmp_path / "new", "P03", site.folder, emulated=False) == []


def test_the_new_ledger_is_one_chain_that_says_why(site: PastSite, now: datetime):
    whole = site.ledger.path.read_bytes()
    edit(5, b'"P03"', b'"P09"')(site.ledger.path)
    spoiled = site.ledger.path.read_bytes()
    renew(site, now)
    content = site.ledger.path.read_bytes()
    valid = b"".join(whole.splitlines(keepends=True)[:4])
    assert content.startswith(valid)  # byte for byte, so that copies and anchors still fit
    lines, problem = read_record(site.ledger.path)
    assert problem is None
    assert [x.kind for x in lines[4:]] == ["reserve", "book", "renewed"]
    said = lines[-1].data
    assert {name: said[name] for name in WHO} == WHO
    assert said["valid_lines"] == 4
    assert said["head"] == lines[3].hash
    assert said["damaged_file"] == "damaged-ledger-1.jsonl"
    assert said["damaged_sha256"] == hashlib.sha256(spoiled).hexdigest()
    assert said["moment"] == site.at(now).to_dict()
    entry = read_record(site.folder / "anchors.jsonl")[0][-1]
    assert (entry.kind, entry.data["operator"]) == ("acknowledge", "N. N.")
    assert entry.data["ledgers"]["ledger.jsonl"] == {"n_lines": 7, "head": lines[-1].hash}


def test_a_line_that_a_later_anchor_vouches_for_counts_as_it_is(site: PastSite, now: datetime):
    edit(3, b'"P02"', b'"P09"')(site.ledger.path)
    found = damage(site, now)
    assert [n for n, _ in found.as_written] == [4, 5, 6]
    assert found.lost_lines == 1
    assert [(x.subject, x.named_by, x.line) for x in found.sessions] == [("P02", "record", 3)]
    renew(site, now)
    assert site.ledger.history("P02", site.at(now)).open_sessions == ()
    assert site.ledger.history("P09", site.at(now)).sessions == ()
    assert set(site.refused("P02", now)) == {"ledger_renewed", "inter_session_interval_h"}


def test_a_line_lost_long_ago_keeps_nobody_waiting(site: PastSite, now: datetime):
    edit(1, b'"P01"', b'"P09"')(site.ledger.path)
    found = damage(site, now)
    assert found.doubt.utc < now - 9 * DAY
    renew(site, now)
    assert site.refused("P77", now) == []
    assert site.refused("P01", now) == []
    assert site.ledger.history("P01", site.at(now)).sessions_90d == 1
    assert site.refused("P03", now) == ["inter_session_interval_h"]


def test_a_wall_clock_set_forward_does_not_end_the_wait(site: PastSite, now: datetime):
    site.ledger.path.unlink()
    renew(site, now)
    forward = site.at(now + HOUR)
    moved = type(forward)(forward.utc + 3 * DAY, forward.boot)
    assert site.ledger.history("P77", moved).since_doubt_s == pytest.approx(3600.0)


def test_a_wall_clock_set_back_goes_on_to_block(site: PastSite, now: datetime):
    edit(6, b'"current_on_s":1200.0', b'"current_on_s":12.0')(site.ledger.path)
    back = now - 2 * DAY
    renew(site, back)
    assert "clock_backwards" in site.refused("P77", back)


def test_a_longer_interval_of_the_site_is_waited_for(site: PastSite, now: datetime, tmp_path: Path):
    from tacs.limits import effective_limits
    from tacs.safety import person_breaches
    from tests.tacs.ledgers import PROTOCOL

    delete(5, 6)(site.ledger.path)
    renew(site, now)
    participant = tmp_path / "p.toml"
    participant.write_text('subject = "P77"\n[limits]\ninter_session_interval_h = 48.0\n')
    later = now + 25 * HOUR
    history = site.ledger.history("P77", site.at(later))
    limits = effective_limits(None, participant)
    found = person_breaches(PROTOCOL, limits, subject="P77", history=history, now=later)
    assert [b.limit for b in found] == ["ledger_renewed"]
    until = now + 48 * HOUR + timedelta(seconds=59)
    assert f"wait until {until:%Y-%m-%d %H:%M} UTC" in str(found[0])


def test_a_session_without_record_counts_from_the_acknowledgement_and_whole(
    site: PastSite, now: datetime
):
    site.ledger.path.unlink()
    record = site.dataset / "sourcedata/tacs/sub-P01"
    shutil.rmtree(record)
    renew(site, now)
    history = site.ledger.history("P01", site.at(now))
    assert history.current_on_24h_min == 60.0
    assert len(history.open_sessions) == 1
    assert [r.record.name[:7] for r in recover(site.dataset)] == ["sub-P02", "sub-P03"]
    (problem,) = verify_dataset(site.dataset, site.folder)
    assert (problem.kind, problem.subject) == ("missing", "P01")
    acknowledge_damage(site.dataset, str(problem.record), **WHO)
    assert "daily_duration_min" in site.refused("P01", now)
    assert site.refused("P01", now + 3 * DAY) == []


def test_a_lying_line_without_record_does_not_say_when_or_how_much(site: PastSite, now: datetime):
    """The session of today is edited to a brief one of last week, and its record moved away."""
    site.session("P04", "01", now - HOUR / 2, anchored=False)
    old = site.at(now - 7 * DAY).to_dict()

    def lie(lines: list[bytes]) -> None:
        body = json.loads(lines[6])
        body["data"].update(moment=old, reserved={"current_on_s": 1.0, "rectified_charge_c": {}})
        lines[6] = (canonical(body) + "\n").encode()

    change_lines(site.ledger.path, lie)
    shutil.rmtree(site.dataset / "sourcedata/tacs/sub-P04")
    renew(site, now)
    history = site.ledger.history("P04", site.at(now))
    (past,) = history.sessions
    assert past.counts
    assert past.since_start_s == 0.0
    assert past.current_on_s == 1200.0  # the booking is no better than the line, but says more
    assert past.outcome is None


def test_a_session_that_was_never_anchored_is_found_in_its_data_set(site: PastSite, now: datetime):
    site.session("P04", "01", now - HOUR / 2, anchored=False, booked=False)
    garbage(site.ledger.path)
    renew(site, now)
    assert "open_session" in site.refused("P04", now)
    recover(site.dataset)
    assert {"ledger_renewed", "inter_session_interval_h"} <= set(site.refused("P04", now))
    assert "open_session" not in site.refused("P04", now)


def test_rehearsals_are_not_taken_for_real_sessions(site: PastSite, now: datetime):
    site.session("P08", "01", now - HOUR, emulated=True)
    site.ledger.path.unlink()
    assert {x.subject for x in damage(site, now).sessions} == {"P01", "P02", "P03"}
    emulated = Ledger(site.folder, emulated=True)
    garbage(emulated.path)
    found = ledger_damage(site.folder, emulated=True)
    assert found is not None
    assert {x.subject for x in found.sessions} == {"P08"}


def test_what_a_running_session_left_open_before_the_bad_line_stays_open(
    site: PastSite, now: datetime
):
    site.session("P04", "01", now - HOUR / 2, anchored=False)
    delete(8, 8)(site.ledger.path)
    edit(6, b'"current_on_s":1200.0', b'"current_on_s":12.0')(site.ledger.path)
    renew(site, now)
    assert "open_session" in site.refused("P03", now)
    assert "open_session" in site.refused("P04", now)


def test_it_can_happen_again(site: PastSite, now: datetime):
    for number in (1, 2, 3):
        edit(5, b'"moment":{', b'"moment":{"x":1,')(site.ledger.path)
        spoiled = site.ledger.path.read_bytes()
        renewal = renew(site, now + number * HOUR)
        assert renewal.kept == site.folder / f"damaged-ledger-{number}.jsonl"
        assert renewal.kept.read_bytes() == spoiled
        recover(site.dataset)
        assert "inter_session_interval_h" in site.refused("P03", now + number * HOUR)
        assert "ledger_renewed" in site.refused("P77", now + number * HOUR)
    assert not list(site.folder.glob("*.part"))
    assert site.ledger.history("P03", site.at(now)).conflicts == ()


def test_twice_in_a_row_there_is_nothing_to_acknowledge(site: PastSite, now: datetime):
    with pytest.raises(InputError, match="there is nothing to acknowledge"):
        renew(site, now)
    delete(5, 6)(site.ledger.path)
    renew(site, now)
    before = site.ledger.path.read_bytes()
    with pytest.raises(InputError, match="there is nothing to acknowledge"):
        renew(site, now)
    assert site.ledger.path.read_bytes() == before


@pytest.mark.parametrize("missing", ["operator", "role", "reason"])
def test_who_as_what_and_why_are_needed(site: PastSite, now: datetime, missing: str):
    delete(5, 6)(site.ledger.path)
    before = {p.name: p.read_bytes() for p in site.folder.iterdir()}
    with pytest.raises(FileProblems, match=f"--{missing}: missing"):
        renew(site, now, **{missing: "  "})
    assert {p.name: p.read_bytes() for p in site.folder.iterdir()} == before


def test_what_hides_in_a_reason_is_refused(site: PastSite, now: datetime):
    delete(5, 6)(site.ledger.path)
    with pytest.raises(FileProblems, match=r"--reason: holds the control character U\+000A"):
        renew(site, now, reason="a\nb")
    with pytest.raises(FileProblems, match="--operator: is 81 characters long"):
        renew(site, now, operator="x" * 81)


def test_the_old_way_to_accept_a_ledger_is_closed(site: PastSite):
    """It forgot the doses that were cut off."""
    delete(5, 6)(site.ledger.path)
    (problem,) = verify_dataset(site.dataset, site.folder)
    with pytest.raises(InputError, match="is a dose ledger; use `tacs ledger acknowledge`"):
        acknowledge(problem, site.folder, **WHO)
    with pytest.raises(InputError, match="is a dose ledger"):
        acknowledge_damage(site.dataset, str(site.ledger.path), **WHO)


def test_damaged_anchors_come_first_and_do_not_forget_the_ledger(site: PastSite, now: datetime):
    path = site.folder / "anchors.jsonl"
    edit(1, b'"n_lines":4', b'"n_lines":5')(path)
    site.ledger.path.unlink()
    with pytest.raises(InputError, match=r"anchors\.jsonl: line 1: .*; look at it first"):
        renew(site, now)
    problem = next(p for p in verify_dataset(site.dataset, site.folder) if p.record == path)
    acknowledge(problem, site.folder, **WHO)
    found = damage(site, now)  # the new anchors still tell that it had six lines
    assert "it had 6 lines" in found.problem
    renew(site, now)
    assert "open_session" in site.refused("P03", now)


def test_a_program_that_dies_before_the_anchors_are_written_can_be_run_again(
    site: PastSite, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    from tacs import ledger_renewal

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    delete(5, 6)(site.ledger.path)
    with monkeypatch.context() as patched:
        patched.setattr(ledger_renewal, "accept_ledger", die)
        with pytest.raises(KeyboardInterrupt):
            renew(site, now)
    if ledger_damage(site.folder, emulated=False, now=site.at(now)) is not None:
        renew(site, now)
    assert "open_session" in site.refused("P03", now)
    assert "ledger_renewed" in site.refused("P77", now)


def test_a_disk_that_refuses_leaves_the_old_ledger(
    site: PastSite, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    from tacs import ledger_renewal

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    delete(5, 6)(site.ledger.path)
    before = site.ledger.path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(ledger_renewal, "_write_synced", full)
        with pytest.raises(RecordError, match=r"cannot be written \(No space left on device\)"):
            renew(site, now)
    assert site.ledger.path.read_bytes() == before
    renew(site, now)


def test_any_single_change_is_survived_and_frees_nobody(site: PastSite, now: datetime):
    """Whatever byte is changed, cut or put in: begun anew, P03 may not have a second session."""
    whole = {p.name: p.read_bytes() for p in site.folder.iterdir()}
    content, draw = whole["ledger.jsonl"], random.Random(3)
    tried = 0
    for _ in range(60):
        at, length = draw.randrange(len(content)), draw.choice((1, 1, 30, 700))
        spoiled = draw.choice((
            content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :],
            content[:at] + content[at + length :],
            content[:at],
            content[:at] + draw.randbytes(length) + content[at:],
        ))  # fmt: skip
        for path in site.folder.iterdir():
            path.unlink()
        for name, data in whole.items():
            (site.folder / name).write_bytes(data)
        site.ledger.path.write_bytes(spoiled)
        if ledger_damage(site.folder, emulated=False, now=site.at(now)) is None:
            assert spoiled[: len(content)] == content  # something torn behind the last line
            continue
        tried += 1
        renew(site, now)
        assert "inter_session_interval_h" in site.refused("P03", now), spoiled
        assert "ledger_renewed" in site.refused("P77", now) or at < len(content) / 3
        assert ledger_damage(site.folder, emulated=False, now=site.at(now)) is None
    assert tried > 50


def test_lines_are_read_one_by_one_whatever_stands_before_them(site: PastSite):
    content = site.ledger.path.read_bytes()
    assert [fits for _, fits in loose_lines(content)] == [True] * 6
    lines = content.splitlines(keepends=True)
    lines[1] = b"[" * 3000 + b"\n"
    lines[3] = lines[3].replace(b'"outcome":"done"', b'"outcome":"gone"')
    found = loose_lines(b"".join(lines) + b'{"torn')
    assert [line is not None for line, _ in found] == [True, False, True, True, True, True]
    assert [fits for _, fits in found] == [True, False, False, False, True, True]
    assert loose_lines(b"") == loose_lines(b"garbage") == []


def test_a_hash_that_is_no_text_is_survived(site: PastSite):
    """Half a surrogate pair cannot be encoded; found by mutated bytes."""
    edit(1, b'"hash":"', b'"hash":"\\ud800')(site.ledger.path)
    assert [fits for _, fits in loose_lines(site.ledger.path.read_bytes())] == [
        False, False, True, True, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "lie",
    [
        {"dataset": "x" * 5000}, {"dataset": "a\0b"}, {"dataset": 7}, {"subject": "../../etc"},
        {"subject": None}, {"key": "\ud800"}, {"moment": 3}, {"moment": {"utc": "2026-01-01"}},
        {"moment": {"utc": "2026-01-01T00:00:00", "boot_id": None, "since_boot_s": None}},
        {"moment": {"utc": "2026-01-01T00:00:00Z", "boot_id": "b", "since_boot_s": float("inf")}},
        {"boot_id": "\ud800"}, {"since_boot_s": float("nan")},
        {"moment": {"utc": "9999-12-31T23:59:59Z", "boot_id": None, "since_boot_s": None}},
        {"reserved": {"current_on_s": 10**400, "rectified_charge_c": {"Oz": float("nan")}}},
        {"reserved": {"current_on_s": -1.0}}, {"reserved": {"current_on_s": True}},
        {"reserved": {"current_on_s": 9.0, "rectified_charge_c": {"\ud800": 1.0, "Oz": "x"}}},
    ],
)  # fmt: skip
def test_whatever_a_changed_line_says_it_can_be_begun_anew(
    site: PastSite, now: datetime, lie: dict[str, Any]
):
    def change(lines: list[bytes]) -> None:
        body = json.loads(lines[4])
        place = body["data"]
        (place["moment"] if lie.keys() <= place["moment"].keys() else place).update(lie)
        lines[4] = json.dumps(body, sort_keys=True).encode() + b"\n"

    change_lines(site.ledger.path, change)
    renew(site, now)
    assert {"ledger_renewed", "inter_session_interval_h"} <= set(site.refused("P03", now))


# -- the command -----------------------------------------------------------------------------------


def tacs(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = call([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


SIGNED = ("--operator", "N. N.", "--role", "data manager", "--reason", "disk replaced")


def test_the_command_shows_what_is_lost_before_it_is_signed(
    capsys: pytest.CaptureFixture[str], site: PastSite
):
    code, _, err = tacs(capsys, "ledger", "acknowledge", *SIGNED)
    assert code == 2
    assert "verifies and is no shorter than it was anchored" in err
    delete(5, 6)(site.ledger.path)
    code, out, err = tacs(capsys, "ledger", "acknowledge", *SIGNED[:4])
    assert (code, out) == (2, "")
    told = err.splitlines()
    assert told[0] == (
        f"{site.ledger.path}: line 5: its tail was cut off; it had 6 lines when a session was last "
        f"anchored"
    )
    assert told[1].startswith("4 lines before it verify; of the later ones 2 are lost")
    assert told[2] == (
        f"in doubt: session 01 of P03 in {site.dataset}; it counts whole and blocks P03 until "
        f"`tacs recover` has closed it"
    )
    assert told[3].startswith("a lost line may have been anybody's, of ")
    assert told[4].endswith("--reason: missing; the ledger keeps who, as what and why")
    assert len(told) == 5
    code, out, _ = tacs(capsys, "ledger", "acknowledge", *SIGNED)
    assert code == 0
    assert out.splitlines() == [
        f"{site.ledger.path}: begun anew with 4 valid lines and 0 later ones",
        f"the damaged file is {site.folder / 'damaged-ledger-1.jsonl'}",
        f"next: tacs recover {site.dataset}",
        "look at it with `tacs ledger show`",
    ]
    assert tacs(capsys, "recover", site.dataset)[0] == 0
    assert tacs(capsys, "ledger", "verify")[0] == 0
    assert tacs(capsys, "ledger", "acknowledge", *SIGNED)[0] == 2


def test_the_json_of_the_command(capsys: pytest.CaptureFixture[str], site: PastSite):
    edit(5, b'"P03"', b'"P09"')(site.ledger.path)
    code, out, _ = tacs(capsys, "ledger", "verify", "--json")
    told = json.loads(out)
    assert (code, told["ok"], told["first_bad_line"], told["lines"]) == (5, False, 5, 4)
    assert told["exit_code"] == 5
    code, out, _ = tacs(capsys, "ledger", "acknowledge", *SIGNED, "--json")
    told = json.loads(out)
    assert code == 0
    assert told["kept"] == str(site.folder / "damaged-ledger-1.jsonl")
    assert (told["first_bad_line"], told["valid_lines"], told["later_lines_kept"]) == (5, 4, 1)
    assert [x["subject"] for x in told["sessions"]] == ["P03"]
    assert told["open_sessions"] == []


def test_at_the_terminal_it_asks(
    capsys: pytest.CaptureFixture[str], site: PastSite, monkeypatch: pytest.MonkeyPatch
):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    delete(5, 6)(site.ledger.path)
    monkeypatch.setattr(sys, "stdin", Terminal("N. N.\ndata manager\ndisk replaced\n"))
    code, _, err = tacs(capsys, "ledger", "acknowledge")
    assert code == 0
    assert "who has looked at it: as what (clinician, data manager, …): why sessions may go" in err
    assert site.ledger.lines()[-1].data["reason"] == "disk replaced"


def test_a_data_set_that_is_gone_for_good_is_no_dead_end(
    capsys: pytest.CaptureFixture[str], site: PastSite
):
    site.ledger.path.unlink()
    shutil.rmtree(site.dataset)
    assert tacs(capsys, "ledger", "acknowledge", *SIGNED)[0] == 0
    code, out, _ = tacs(capsys, "recover", site.dataset, "--json")
    damaged = json.loads(out)["damaged"]
    assert (code, [d["kind"] for d in damaged]) == (5, ["missing"] * 3)
    for told in damaged:
        code, _, _ = tacs(capsys, "recover", site.dataset, "--acknowledge", told["record"], *SIGNED)
    assert code == 0
    assert site.ledger.history("P03", utc_now()).open_sessions == ()
    assert tacs(capsys, "recover", site.dataset.with_name("other"))[0] == 2


def test_the_next_session_of_a_course_waits_too(capsys: pytest.CaptureFixture[str], site: PastSite):
    site.ledger.path.unlink()
    tacs(capsys, "ledger", "acknowledge", *SIGNED)
    code, out, _ = tacs(capsys, "course", "next", "--subject", "P77")
    assert code == 0
    assert "blocked: ledger_renewed (subject P77; wait until " in out


def test_doctor_tells_of_a_ledger_that_is_gone(capsys: pytest.CaptureFixture[str], site: PastSite):
    site.ledger.path.unlink()
    _, out, _ = tacs(capsys, "doctor", "--json")
    (found,) = [f for f in json.loads(out)["findings"] if f["what"] == "dose ledger"]
    assert not found["ok"]
    assert found["text"].endswith("see `tacs ledger acknowledge`")
