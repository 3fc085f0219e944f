"""Guardian, front end and emulator as processes of their own, on the real clock."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tacs.checking import prepare
from tacs.clock import MonotonicClock, QueueInbox
from tacs.errors import InputError, SafetyRefusal
from tacs.front import _stay, error_of, operate, telemetry_of
from tacs.guardian import Telemetry
from tacs.guardian_main import error_to_data, telemetry_to_data
from tacs.limits import LIMITS
from tacs.local_link import Connection, connect, running_guardians
from tacs.record import canonical, read_record, verify_record
from tacs.recovery import recover
from tacs.runner import run
from tacs.session import State
from tacs.session_request import SessionRequest
from tests.tacs.made import individual_data
from tests.tacs.made import protocol as made_protocol

BRISK = made_protocol(duration_s=9.0, ramp_up_s=5.0, ramp_down_s=2.0)


@pytest.fixture
def brisk_site(site_folder: Path) -> Path:
    """A site whose ramps may be short: sessions of seconds."""
    (site_folder / "site.toml").write_text(
        'site = "test"\napproved_by = "test"\nreason = "short sessions on an emulator"\n'
        "[limits]\nramp_up_shortest_s = 5.0\nramp_down_shortest_s = 2.0\n"
        "envelope_slew_ma_per_s = 1.0\n"
    )
    return site_folder


def session(tmp_path: Path, **options: Any) -> Any:
    return run(
        BRISK,
        "emulated:synthpal",
        subject="P01",
        session="01",
        dataset=tmp_path / "data",
        **options,
    )


class Watcher:
    """Acts once, when a level is reached."""

    def __init__(self, level: float, act: Any) -> None:
        self.level, self.act, self.seen = level, act, list[Telemetry]()

    def __call__(self, telemetry: Telemetry) -> None:
        self.seen.append(telemetry)
        if self.act is not None and telemetry.level >= self.level:
            act, self.act = self.act, None
            act()


def kinds(record: Path) -> list[str]:
    return [line.kind for line in read_record(record)[0]]


def cause(record: Path) -> str:
    return str(read_record(record)[0][-1].data["cause"])


def test_a_session_runs_to_its_end_in_a_process_of_its_own(tmp_path: Path, brisk_site: Path):
    watcher = Watcher(2.0, None)
    found = session(tmp_path, watch=watcher, operator="M. Curie", role="operator")
    assert found.outcome == "done"
    assert found.delivered.source == "measured"
    assert found.delivered.current_peak_ma == pytest.approx(1.0, rel=0.01)
    assert {t.state for t in watcher.seen} >= {State.RAMP_UP, State.HOLD, State.RAMP_DOWN}
    assert verify_record(found.record) is None
    first = read_record(found.record)[0][0].data
    assert (first["operator"], first["role"]) == ("M. Curie", "operator")
    assert read_record(found.record)[0][-1].hash == found.record_head
    assert running_guardians() == []


def test_a_stop_of_the_operator_and_one_of_a_second_terminal(tmp_path: Path, brisk_site: Path):
    def second_terminal() -> None:
        (contact,) = running_guardians()
        link = connect(contact, role="viewer", name="second terminal")
        link.send({"say": "stop:smoke"})
        LINKS.append(link)

    found = session(tmp_path, watch=Watcher(0.1, second_terminal))
    assert (found.outcome, found.cause) == ("stopped", "smoke (from second terminal)")
    assert found.quiet_after_stop_s < 1.0


LINKS: list[Connection] = []


@pytest.fixture(autouse=True)
def close_links() -> Iterator[None]:
    yield
    while LINKS:
        LINKS.pop().close()


def test_a_killed_guardian_leaves_no_current_and_recovery_measures(
    tmp_path: Path, brisk_site: Path
):
    def kill() -> None:
        (contact,) = running_guardians()
        os.kill(contact.pid, signal.SIGKILL)

    found = session(tmp_path, watch=Watcher(0.3, kill))
    assert (found.outcome, found.delivered) == ("interrupted", None)
    assert "take the electrode leads off" in found.warnings[0]
    (closed,) = recover(tmp_path / "data")
    assert closed.outcome == "interrupted"
    assert closed.delivered is not None
    assert closed.delivered.source == "measured"
    end = read_record(found.record)[0][-1].data
    assert end["quiet_after_last_command_s"] < 2.5


def start_tacs(tmp_path: Path) -> tuple[subprocess.Popen[str], Connection]:
    """`tacs run` in a process, and a viewer at its guardian once current flows."""
    BRISK.to_toml(tmp_path / "p.toml")
    command = [
        sys.executable, "-m", "tacs", "run", str(tmp_path / "p.toml"),
        "--device", "emulated:synthpal", "--subject", "P01", "--session", "01",
        "--out", str(tmp_path / "data"),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("RAMP UP"):
            break
    (contact,) = running_guardians()
    link = connect(contact, role="viewer", name="test")
    LINKS.append(link)
    await_message(link, lambda m: m.get("telemetry", {}).get("level", 0.0) > 0.1)
    return process, link


def await_message(link: Connection, wanted: Any) -> dict[str, Any]:
    clock = MonotonicClock()
    until_s = clock.now_s() + 30.0
    while clock.now_s() < until_s and link.open:
        link.wait(1.0)
        for message in link.receive():
            if wanted(message):
                return message
    raise AssertionError("the message did not come")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (signal.SIGKILL, "the operator's front end went away"),
        (signal.SIGSTOP, "the operator side fell silent"),
        (signal.SIGINT, "SIGINT"),
        (signal.SIGHUP, "SIGHUP"),
    ],
)
def test_whatever_happens_to_the_front_end_the_guardian_ramps_down(
    tmp_path: Path, brisk_site: Path, sent: signal.Signals, expected: str
):
    process, link = start_tacs(tmp_path)
    process.send_signal(sent)
    result = await_message(link, lambda m: "result" in m)["result"]
    assert (result["outcome"], result["cause"]) == ("stopped", expected)
    assert result["quiet_after_stop_s"] < 1.0
    if sent is signal.SIGSTOP:
        process.kill()
    _, told = process.communicate(timeout=30)
    assert "Traceback" not in told
    if sent in {signal.SIGINT, signal.SIGHUP}:
        assert process.returncode == 5


def test_the_commands_stop_and_attach(tmp_path: Path, brisk_site: Path):
    process, _ = start_tacs(tmp_path)
    tacs = [sys.executable, "-m", "tacs"]
    watching = subprocess.Popen([*tacs, "attach", "--json"], stdout=subprocess.PIPE, text=True)
    stopped = subprocess.run(
        [*tacs, "stop", "--subject", "P01", "--cause", "fire alarm", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    (told,) = json.loads(stopped.stdout)["stopped"]
    assert told["outcome"] == "stopped"
    assert told["cause"] == "fire alarm (from tacs stop)"
    out, _ = watching.communicate(timeout=30)
    assert json.loads(out)["title"] == "sub-P01 ses-01"
    process.communicate(timeout=30)
    nothing = subprocess.run([*tacs, "stop"], capture_output=True, text=True, check=False)
    assert nothing.returncode == 2
    assert "no session runs" in nothing.stderr


def test_folders_of_the_user_with_our_names_do_not_matter(
    tmp_path: Path, brisk_site: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("analysis", "devices", "tacs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    monkeypatch.chdir(tmp_path)
    found = session(tmp_path, inbox=QueueInbox([(0.0, "stop:at once")]))
    assert (found.outcome, found.cause) == ("stopped", "at once")


def test_what_the_guardian_refuses_arrives_as_it_was(tmp_path: Path, brisk_site: Path):
    (tmp_path / "data").mkdir()
    session(tmp_path, watch=Watcher(0.0, None), inbox=QueueInbox([(0.0, "stop:at once")]))
    with pytest.raises(InputError, match="has a record already"):
        session(tmp_path)


def request_for(tmp_path: Path, **changes: Any) -> SessionRequest:
    fields: dict[str, Any] = {
        "protocol": BRISK,
        "setup": prepare("emulated:synthpal"),
        "subject": "P01",
        "session": "01",
        "dataset": tmp_path / "data",
        **changes,
    }
    return SessionRequest(**fields)


def test_a_guardian_checks_what_a_front_end_left_unchecked(tmp_path: Path, brisk_site: Path):
    of_another = made_protocol(
        duration_s=9.0, ramp_up_s=5.0, ramp_down_s=2.0, individual=individual_data(subject="P02")
    )
    request = request_for(tmp_path, protocol=of_another)
    with pytest.raises(SafetyRefusal) as caught:
        operate(request, inbox=QueueInbox())
    assert "peak_subject" in [breach.limit for breach in caught.value.breaches]
    assert not (tmp_path / "data").exists()


def test_a_request_survives_the_way_and_is_not_trusted(tmp_path: Path, brisk_site: Path):
    request = request_for(tmp_path, overrides={"host_loss": "bench"}, operator="M. Curie")
    data = json.loads(json.dumps(request.to_data()))
    again = SessionRequest.from_data(data)
    assert again.protocol == request.protocol
    assert again.setup == request.setup
    assert again.overrides == {"host_loss": "bench"}
    spoiled = {**data, "protocol": {**data["protocol"], "frequency_hz": 11.0}}
    with pytest.raises(InputError, match="not the one that was approved"):
        SessionRequest.from_data(spoiled)
    for name, row in LIMITS.items():
        beyond = row.ceiling * 1.01 + 0.001 if row.sense == "max" else row.ceiling * 0.99 - 0.001
        limits = {**data["limits"], name: beyond}
        with pytest.raises(InputError, match="not those that were approved"):
            SessionRequest.from_data({**data, "limits": limits})
        digest = hashlib.sha256(canonical(limits).encode()).hexdigest()
        with pytest.raises(InputError, match=name):
            SessionRequest.from_data({**data, "limits": limits, "limits_sha256": digest})


def test_nonsense_on_standard_input_is_one_clear_line(brisk_site: Path):
    for content in (b"", b"{}", b"[1]", b'{"protocol": 3}', b"\xff"):
        process = subprocess.run(
            [sys.executable, "-m", "tacs.guardian_main"], input=content, capture_output=True,
            check=False,
        )  # fmt: skip
        assert process.returncode == 2
        assert json.loads(process.stdout)["error"]["kind"] in {"InputError", "FileProblems"}
        assert process.stderr == b""


def test_an_error_keeps_its_kind_and_its_breaches():
    from tacs import errors

    for kind in (InputError, errors.LinkLost, errors.DeviceBusy, errors.RecordError):
        again = error_of(error_to_data(kind("what is wrong")))
        assert type(again) is kind
        assert str(again) == "what is wrong"
    assert isinstance(error_of({"kind": "os", "text": "x"}), errors.TacsError)


def test_a_blinded_front_end_is_told_nothing_that_tells_the_arm():
    told = [
        telemetry_to_data(
            Telemetry(
                state=state,
                elapsed_s=12.0,
                duration_s=60.0,
                level=level,
                measured_ma=measured,
                impedance_kohm=measured,
                cause="",
                ceiling=ceiling,
            ),
            blinded=True,
        )
        for state, level, measured, ceiling in (
            (State.HOLD, 1.0, {"Oz": 1.0}, 1.0),
            (State.RAMP_UP, 0.4, {"Oz": 0.4}, 1.0),
            (State.BETWEEN_TRAINS, 0.0, None, 0.0),
        )
    ]
    assert told[0] == told[1] == told[2]
    assert telemetry_of(told[0]).level == 0.0


def test_people_work_an_emulated_device_that_is_a_process_of_its_own(
    tmp_path: Path, brisk_site: Path
):
    told: list[str] = []

    def watch(telemetry: Telemetry) -> None:
        if telemetry.instruction and telemetry.instruction not in told:
            told.append(telemetry.instruction)

    found = run(
        BRISK,
        "emulated:manual",
        subject="P01",
        session="01",
        dataset=tmp_path / "data",
        watch=watch,
    )
    assert (found.outcome, found.machine_verified) == ("done", False)
    assert found.delivered.source == "measured"
    assert found.delivered.current_peak_ma == pytest.approx(1.0, rel=0.01)
    assert "press START on emulated panel NOW" in told[0]
    assert "the session is over" in told[-1]
    assert verify_record(found.record) is None


class _Link:
    """A guardian's end that notes what a wait watched, and ends the session with an error."""

    open = True

    def __init__(self) -> None:
        self.watched: list[Any] = []

    def send(self, message: dict[str, Any]) -> None:
        """Nobody listens."""

    def wait(self, timeout_s: float, also: Any = None) -> None:
        self.watched.append(also)

    def receive(self) -> list[dict[str, Any]]:
        return [{"error": {"kind": "InputError", "text": "over"}}]


class _Readable(QueueInbox):
    """An inbox of somebody else's that ``select`` can wait for."""

    def fileno(self) -> int:
        return 0


@pytest.mark.parametrize(("kind", "watched"), [(QueueInbox, False), (_Readable, True)])
def test_any_inbox_that_can_be_waited_for_ends_a_wait(kind: type[QueueInbox], watched: bool):
    inbox, link = kind(), _Link()
    with pytest.raises(InputError, match="over"):
        _stay(link, None, inbox, None, None, own_lease=True)  # type: ignore[arg-type]
    assert link.watched == [inbox if watched else None]
