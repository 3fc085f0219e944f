"""The operator's view: what it shows, what it must not show, and its keys."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import threading
import tty
from collections.abc import Iterator

import pytest

from tacs import live
from tacs.clock import QueueInbox
from tacs.guardian import Telemetry
from tacs.live import LiveView
from tacs.session import State
from tests.tacs.made import protocol as made_protocol


def snapshot(state: State, elapsed_s: float, level: float, **changes: object) -> Telemetry:
    fields: dict[str, object] = {
        "state": state,
        "elapsed_s": elapsed_s,
        "duration_s": 1200.0,
        "level": level,
        "measured_ma": None,
        "impedance_kohm": None,
        "cause": "",
        **changes,
    }
    return Telemetry(**fields)  # type: ignore[arg-type]


class Stream(io.StringIO):
    """Standard error that is a terminal, or is not."""

    def __init__(self, *, tty: bool) -> None:
        super().__init__()
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty


def shown(view: LiveView, stream: Stream, *telemetry: Telemetry) -> str:
    for one in telemetry:
        view.watch(one)
        view.draw()
    return stream.getvalue()


def test_time_state_planned_and_measured_current(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    stream = Stream(tty=True)
    view = LiveView(made_protocol(), QueueInbox(), stream=stream, keys=True)
    text = shown(view, stream, snapshot(State.RAMP_UP, 15.0, 0.5))
    assert "RAMP UP" in text
    assert "0:15/20:00" in text
    assert "planned 0.500 mA peak at 10.27 Hz" in text
    assert "measured: not by this device" in text
    assert "STOP: space bar" in text
    retuned = shown(view, stream, snapshot(State.HOLD, 30.0, 1.0, frequency_hz=10.4))
    assert "mA peak at 10.4 Hz" in retuned
    measured = snapshot(
        State.HOLD, 60.0, 1.0, measured_ma={1: 0.998}, impedance_kohm={"Oz": 4.2, "Cz": 6.1}
    )
    text = shown(view, stream, measured)
    assert "measured 0.998 mA" in text
    assert "6.1 kΩ" in text


def test_one_measurement_in_a_session_is_shown_with_its_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")

    def line(elapsed_s: float, **changes: object) -> str:
        stream = Stream(tty=True)
        view = LiveView(made_protocol(), QueueInbox(), stream=stream, keys=True)
        return shown(view, stream, snapshot(State.HOLD, elapsed_s, 1.0, **changes))

    assert "measured: not yet" in line(20.0, measures=True)
    once = {"measures": True, "measured_ma": {1: 0.998}, "measured_at_s": 32.0}
    assert "measured 0.998 mA" in line(33.0, **once)
    assert " at 0:32" not in line(33.0, **once)
    assert "measured 0.998 mA at 0:32" in line(300.0, **once)


def test_what_a_loop_says_stands_at_the_end_of_the_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    stream = Stream(tty=True)
    view = LiveView(made_protocol(), QueueInbox(), stream=stream, keys=True)
    view.show("PLV 0.81 over 50")
    assert shown(view, stream, snapshot(State.TRAIN_ON, 15.0, 1.0)).endswith("PLV 0.81 over 50")
    view.show("")
    assert "PLV" not in shown(view, stream, snapshot(State.TRAIN_ON, 16.0, 1.0))[-60:]


def test_a_narrow_terminal_still_shows_state_time_and_stop(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "60")
    stream = Stream(tty=True)
    view = LiveView(made_protocol(), QueueInbox(), stream=stream, keys=True)
    text = shown(view, stream, snapshot(State.HOLD, 600.0, 1.0))
    line = text.rpartition("\x1b[2K")[2]
    assert len(line) < 60
    assert "FULL CURRENT" in line
    assert "10:00/20:00" in line
    assert "STOP: space bar" in line


def test_the_cause_of_a_stop_is_shown():
    stream = Stream(tty=False)
    view = LiveView(made_protocol(), QueueInbox(), stream=stream, keys=False)
    assert "link lost" in shown(view, stream, snapshot(State.FAULT, 20.0, 0.0, cause="link lost"))


def test_a_log_gets_a_line_per_state_and_one_every_ten_seconds():
    stream = Stream(tty=False)
    view = LiveView(made_protocol(), QueueInbox(), stream=stream, keys=False)
    telemetry = [snapshot(State.HOLD, 30.0 + i, 1.0) for i in range(25)]
    lines = shown(view, stream, *telemetry, snapshot(State.RAMP_DOWN, 55.0, 0.9)).splitlines()
    assert [line.split()[0] for line in lines] == ["FULL", "FULL", "FULL", "RAMP"]


def test_a_blinded_view_is_the_same_for_every_arm():
    texts = []
    for waveform in ("tacs", "active_sham"):
        plateau = {"sham_plateau_s": 5.0} if waveform == "active_sham" else {}
        protocol = made_protocol(waveform=waveform, blinding={"label": "A"}, **plateau)
        stream = Stream(tty=False)
        view = LiveView(protocol, QueueInbox(), stream=stream, keys=False)
        sham = waveform != "tacs"
        states = [
            snapshot(State.RAMP_UP, 10.0, 0.3),
            snapshot(State.RAMP_DOWN if sham else State.HOLD, 40.0, 0.6 if sham else 1.0),
            snapshot(State.BETWEEN_TRAINS if sham else State.HOLD, 300.0, 0.0 if sham else 1.0),
        ]
        texts.append(shown(view, stream, *states))
    assert texts[0] == texts[1]
    assert "mA" not in texts[0]


def test_a_terminal_that_is_gone_does_not_raise():
    class Gone(Stream):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    stream = Gone(tty=True)
    view = LiveView(made_protocol(), QueueInbox(), stream=stream, keys=False)
    view.watch(snapshot(State.HOLD, 40.0, 1.0))
    view.draw()


@pytest.mark.skipif(os.name != "posix", reason="terminals are POSIX")
@pytest.mark.parametrize(
    ("key", "message"),
    [(b" ", "stop:the STOP key"), (b"s", "stop:the STOP key"), (b"\x1b", "stop:the STOP key"),
     (b"p", "pause"), (b"r", "resume")],
)  # fmt: skip
def test_keys(key: bytes, message: str):
    inbox = QueueInbox()
    ours, theirs = pty.openpty()
    try:
        os.write(ours, key + b"\n")
        LiveView(made_protocol(), inbox, stream=Stream(tty=True), keys=True).read_key(theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert inbox.collect(0.0) == [message]


def hand(word: str, instruction: str) -> Telemetry:
    state = State.ARMED if word == "started" else State.STOPPING
    return snapshot(state, 0.0, 0.0, word=word, instruction=instruction)


@pytest.mark.skipif(os.name != "posix", reason="terminals are POSIX")
@pytest.mark.parametrize(
    ("word", "typed", "messages"),
    [
        ("started", b"started\n", ["started"]),
        ("started", b"STARTED\r", ["started"]),
        ("started", b"statr\x7f\x7frted\n", ["started"]),
        ("silent", b"silent\n", ["silent"]),
        ("silent", b"started\n", []),
        ("started", b"no\nstarted\n", ["started"]),
        ("started", b"star ", ["stop:the STOP key"]),
        ("silent", b"\x1b", ["stop:the STOP key"]),
        ("started", b"star", []),
    ],
)
def test_a_word_that_is_wanted_is_typed(word: str, typed: bytes, messages: list[str]):
    inbox = QueueInbox()
    view = LiveView(made_protocol(), inbox, stream=Stream(tty=True), keys=True)
    view.watch(hand(word, "do it"))
    ours, theirs = pty.openpty()
    try:
        tty.setcbreak(theirs)
        os.write(ours, typed)
        view.read_key(theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert inbox.collect(0.0) == messages


def test_what_to_do_at_the_device_is_told_once_and_rings_until_it_is_done():
    stream = Stream(tty=True)
    view = LiveView(made_protocol(), QueueInbox(), stream=stream, keys=True)
    text = shown(view, stream, *[hand("started", "press START on X NOW")] * 3)
    assert text.count("*** press START on X NOW ***") == 1
    assert "type started: " in text
    assert "\a" not in text
    text = shown(view, stream, *[hand("silent", "STOP: press STOP on X NOW")] * 3)
    assert text.count("*** STOP: press STOP on X NOW ***") == 1
    assert text.count("\a") == 3


def test_the_keyboard_is_left_alone_until_the_session_has_started(
    monkeypatch: pytest.MonkeyPatch,
):
    taken = threading.Event()

    @contextlib.contextmanager
    def keyboard(wanted: bool) -> Iterator[None]:
        taken.set()
        yield None

    monkeypatch.setattr(live, "raw_keyboard", keyboard)
    inbox = QueueInbox()
    view = LiveView(made_protocol(), inbox, stream=Stream(tty=False), keys=True)
    with view.running():
        inbox.block(30.0)  # a refresh has passed: somebody may be typing a confirmation
        assert not taken.is_set()
        view.watch(snapshot(State.RAMP_UP, 0.1, 0.0))
        assert taken.wait(30.0)


def test_it_says_alive_while_it_runs():
    inbox = QueueInbox()
    view = LiveView(made_protocol(), inbox, stream=Stream(tty=False), keys=False)
    with view.running():
        inbox.block(30.0)
    assert "alive" in inbox.collect(0.0)
