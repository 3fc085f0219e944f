"""Who may steer a guardian, who may look, and that everybody may STOP."""

from __future__ import annotations

import gc
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tacs.clock import MonotonicClock
from tacs.errors import InputError
from tacs.front_door import GONE, FrontDoor
from tacs.guardian import event_of
from tacs.guardian_main import _Desk
from tacs.local_link import (
    LONGEST_QUEUE,
    Connection,
    Contact,
    connect,
    listen,
    running_guardians,
    runtime_folder,
)
from tacs.session import Trigger


@pytest.fixture(params=["unix", "tcp"])
def door(request: pytest.FixtureRequest) -> Iterator[tuple[FrontDoor, Contact]]:
    server, contact, note = listen("sub-P01 ses-01", unix=request.param == "unix")
    opened = FrontDoor(server, contact, note)
    yield opened, contact
    opened.close()
    while LINKS:
        LINKS.pop().close()


LINKS: list[Connection] = []


def come(
    door: tuple[FrontDoor, Contact], role: str, name: str = "test", contact: Contact | None = None
) -> Connection:
    link = connect(contact or door[1], role=role, name=name)
    LINKS.append(link)
    door[0].collect(0.0)
    door[0].collect(0.0)
    return link


def heard(link: Connection) -> list[dict[str, object]]:
    link.wait(1.0)
    return link.receive()


def said(door: tuple[FrontDoor, Contact]) -> list[str]:
    door[0].block(1.0)
    return door[0].collect(0.0)


def test_the_first_operator_holds_the_lease_and_the_second_may_look(door):
    first, second = come(door, "operator"), come(door, "operator")
    assert heard(first)[0]["welcome"]["control"] is True
    assert heard(second)[0]["welcome"]["control"] is False
    first.send({"say": "alive"})
    assert said(door) == ["alive"]
    second.send({"say": "pause"})
    assert said(door) == []
    assert "another front end holds the session" in str(heard(second)[0]["refused"])


def test_whoever_looks_may_stop_and_is_named(door):
    come(door, "operator")
    viewer = come(door, "viewer", "second terminal")
    heard(viewer)
    viewer.send({"say": "stop:smoke"})
    assert said(door) == ["stop:smoke (from second terminal)"]


def test_an_operator_that_goes_away_is_a_stop_at_once_and_cannot_come_back(door):
    first = come(door, "operator")
    first.close()
    assert said(door) == [GONE]
    again = come(door, "operator")
    assert heard(again)[0]["welcome"]["control"] is False


def test_in_the_end_a_guardian_leaves_with_its_operator(door):
    """A message that nobody takes any more kept it there, busy, for two seconds."""
    desk = _Desk(door[0], MonotonicClock(), blinded=False)
    operator = come(door, "operator")
    operator.send({"say": "alive"})
    door[0].block(1.0)
    operator.close()
    desk.see_out()
    assert not door[0].controller_present


@pytest.mark.parametrize("order", ["before", "after", "gone"])
def test_a_stop_that_comes_along_with_the_confirmation_is_not_lost(door, order: str):
    """All of it is there when the guardian reads: whatever the order, nothing is armed."""
    desk = _Desk(door[0], MonotonicClock(), blinded=False)
    operator, viewer = come(door, "operator"), come(door, "viewer", "ward")
    if order == "before":
        viewer.send({"say": "stop:smoke"})
        door[0].block(1.0)
    operator.send({"say": "confirm:P01:abcd1234"})
    door[0].block(1.0)
    if order == "after":
        viewer.send({"say": "stop:smoke"})
        door[0]._poll(1.0)
    if order == "gone":
        operator.close()
        door[0]._poll(1.0)
    with pytest.raises(InputError, match=r"not armed: (smoke|the operator's front end)"):
        desk.confirm("P01:abcd1234", [])


def test_the_confirmation_arms_where_nobody_stopped(door):
    desk = _Desk(door[0], MonotonicClock(), blinded=False)
    operator = come(door, "operator")
    operator.send({"say": "alive"})
    operator.send({"say": "confirm:P01:abcd1234"})
    desk.confirm("P01:abcd1234", [])
    operator.send({"say": "confirm:P01:abcd1235"})
    with pytest.raises(InputError, match="'P01:abcd1235' is not P01:abcd1234"):
        desk.confirm("P01:abcd1234", [])


def test_a_viewer_that_goes_away_changes_nothing(door):
    come(door, "operator")
    come(door, "viewer").close()
    assert said(door) == []
    assert door[0].controller_present


def test_a_wrong_token_is_refused(door):
    forged = Contact(address=door[1].address, token="0" * 32, pid=1, title="x")
    stranger = come(door, "operator", "stranger", forged)
    assert heard(stranger) == [{"refused": "the token is wrong"}]
    assert not door[0].controlled
    stranger.receive()
    assert not stranger.open


@pytest.mark.parametrize(
    "line", [b"no json\n", b"[1, 2]\n", b'"stop"\n', b"[" * 50_000 + b"\n"], ids=range(4)
)
def test_a_line_that_is_no_message_ends_the_connection(door, line: bytes):
    link = come(door, "operator")
    heard(link)
    link._peer.setblocking(True)
    link._peer.sendall(line)
    assert said(door) == [GONE]
    assert "refused" in heard(link)[0]


@pytest.mark.parametrize(
    "line",
    [
        b'{"say": "mark:half \xf0\x9f"}\n', b'{"say": "mark:half \xff"}\n',
        b'{"say": "mark:half \\ud83d"}\n',
    ],
)  # fmt: skip
def test_half_a_character_drops_one_message_and_nothing_more(door, line: bytes):
    link = come(door, "operator")
    heard(link)
    link._peer.setblocking(True)
    link._peer.sendall(line + b'{"say": "mark:whole"}\n')
    assert said(door) == ["mark:whole"]
    assert heard(link)[0]["refused"] == "mark: dropped, half a character is in it; send it again"
    assert link.open
    assert door[0].controller_present


def test_a_stop_with_half_a_character_is_a_stop(door):
    come(door, "operator")
    viewer = come(door, "viewer", "half \udcf0")
    viewer._peer.setblocking(True)
    viewer._peer.sendall(b'{"say": "stop:smoke \xf0"}\n')
    (message,) = said(door)
    assert event_of(message).trigger is Trigger.STOP
    assert message.endswith("(from half \ufffd)")


def test_a_front_end_that_sends_half_a_character_sends_the_rest(door):
    link = come(door, "operator")
    heard(link)
    link.send({"say": "mark:half \udcf0"})
    assert said(door) == ["mark:half \ufffd"]


def test_a_front_end_that_does_not_read_is_cut_off_and_the_session_stops(door):
    come(door, "operator")
    message = {"telemetry": "x" * 100_000}
    for _ in range(200 + LONGEST_QUEUE // 50_000):
        door[0].broadcast(message)
    assert door[0].collect(0.0) == [GONE]


def test_what_is_said_must_be_a_short_text(door):
    link = come(door, "operator")
    heard(link)
    for what in (7, None, "mark:" + "x" * 600):
        link.send({"say": what})
        assert said(door) == []
        assert heard(link)[0]["refused"] == "a message must be a short text"


@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_a_stop_is_heard_however_long_its_cause(door, role: str):
    come(door, "operator")
    link = come(door, role, "ward")
    link.send({"say": "stop:" + "x" * 600})
    (message,) = said(door)
    assert message == "stop:" + "x" * 495 + " (from ward)"


@pytest.mark.parametrize("line", [b"no json\n", b"[1]\n"])
def test_a_stop_before_a_line_that_is_no_message_is_heard(door, line: bytes):
    come(door, "operator")
    viewer = come(door, "viewer", "ward")
    heard(viewer)
    viewer._peer.setblocking(True)
    viewer._peer.sendall(b'{"say": "stop:smoke"}\n' + line + b'{"say": "stop:again"}\n')
    assert said(door) == ["stop:smoke (from ward)"]
    assert "refused" in heard(viewer)[0]
    assert door[0].controller_present


def test_a_stranger_gets_one_try(door):
    """A second token in the same breath is not looked at."""
    peer = connect(Contact(**{**door[1].to_dict(), "token": "0" * 32}), role="operator", name="x")
    LINKS.append(peer)
    peer.send({"hello": {"token": door[1].token, "role": "operator", "name": "x", "version": 1}})
    door[0].collect(0.0)
    door[0].collect(0.0)
    assert not door[0].controlled


def test_a_signal_handler_wakes_whoever_waits(door):
    door[0].put("stop:SIGTERM")
    assert said(door) == ["stop:SIGTERM"]


def test_many_strangers_cannot_use_up_the_door(door):
    links = [come(door, "viewer", str(i)) for i in range(20)]
    for link in links:
        link.receive()
        link.receive()
    assert [link.open for link in links] == [True] * 16 + [False] * 4


def test_running_guardians_are_found_and_dead_ones_forgotten(door, socket_folder: Path):
    dead = socket_folder / "1-dead.json"
    contact = Contact(address="unix:/nonexistent.sock", token="t", pid=1, title="dead")
    dead.write_text(json.dumps(contact.to_dict()))
    (socket_folder / "2-torn.json").write_text("{")
    assert [found.title for found in running_guardians()] == ["sub-P01 ses-01"]
    assert not dead.exists()


def test_closing_takes_the_door_away(socket_folder: Path):
    server, contact, note = listen("x")
    FrontDoor(server, contact, note).close()
    assert list(socket_folder.iterdir()) == []
    with pytest.raises(InputError, match="does not answer"):
        connect(contact, role="operator", name="late")


@pytest.mark.parametrize("unix", [True, False])
def test_a_door_that_cannot_be_opened_leaves_nothing(
    socket_folder: Path, monkeypatch: pytest.MonkeyPatch, unix: bool
):
    """A socket that nobody closes would be a warning here, which is an error."""

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tacs.local_link.os.open", full)
    with pytest.raises(InputError, match="no socket can be opened there"):
        listen("x", unix=unix)
    monkeypatch.undo()
    gc.collect()
    assert list(socket_folder.iterdir()) == []


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tmp_path.chmod(0o755)
    monkeypatch.setenv("TACS_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(InputError, match="only you can enter"):
        runtime_folder()


def test_a_line_without_end_is_bounded():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link = Connection(ours)
    theirs.setblocking(False)
    from tacs.errors import ProtocolViolation

    def flood() -> None:
        for _ in range(100):
            try:
                theirs.send(b"x" * 65_536)
            except BlockingIOError:
                pass
            link.receive()

    with pytest.raises(ProtocolViolation, match="too long"):
        flood()
    assert len(link._in) <= (1 << 20) + 65_536
    link.close()
    theirs.close()
