"""The server as a process: what the terminal says, how it ends, and what its death does."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tacs.cli import call
from tacs.dataset import SessionPaths
from tacs.local_link import running_guardians
from tacs.record import read_record, verify_record
from tests.tacs.serve.served import Served


class Client:
    """A program that speaks the documented API."""

    def __init__(self, served: Served, name: str) -> None:
        self.base = served.base
        self.headers = {"Origin": self.base, "Content-Type": "application/json"}
        token = served.links[name].partition("#token=")[2]
        told = self.post("/login", {"token": token}, keep=True)
        self.headers["X-CSRF-Token"] = told["csrf"]

    def post(self, path: str, body: Any, *, keep: bool = False) -> Any:
        request = urllib.request.Request(
            f"{self.base}/api/v1{path}", json.dumps(body).encode(), self.headers
        )
        with urllib.request.urlopen(request, timeout=30.0) as told:
            if keep:
                self.headers["Cookie"] = told.headers["set-cookie"].split(";")[0]
            return json.loads(told.read())

    def live(self) -> ClientConnection:
        cookie = {"Cookie": self.headers["Cookie"]}
        where = self.base.replace("http", "ws") + "/api/v1/live"
        return connect(where, origin=self.base, additional_headers=cookie)  # type: ignore[arg-type]


def begin(client: Client, channel: ClientConnection) -> None:
    """Start a session and stay with it until current flows."""
    channel.send(json.dumps({"hello": client.headers["X-CSRF-Token"]}))
    key = json.loads(channel.recv())["welcome"]["channel"]
    wish = {
        "protocol": "longer", "device": "emulated:synthpal", "subject": "P01", "session": "01",
    }  # fmt: skip
    words = client.post("/console/check", wish)["words"]
    arming = client.post("/console/arm", {**wish, "confirmation": words})["arming"]
    client.post("/console/start", {"arming": arming, "channel": key})
    level = 0.0
    while level < 0.1:
        told = json.loads(channel.recv())
        channel.send(json.dumps({"alive": told["n"]}))
        now = told.get("console") or {}
        assert now.get("phase") != "over", now
        level = (now.get("telemetry") or {}).get("level") or level


def last_of(served: Served) -> Any:
    record = SessionPaths.of(served.dataset, "P01", "01").record
    assert verify_record(record) is None
    return read_record(record)[0][-1].data


@pytest.fixture
def served(tmp_path: Path) -> Any:
    with Served(tmp_path) as running:
        yield running


def test_a_killed_server_ends_the_session(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TACS_RUNTIME_DIR", served.run)
    client = Client(served, "AB")
    with client.live() as channel:
        begin(client, channel)
        guardian = os.pidfd_open(running_guardians()[0].pid)
        assert served.end(signal.SIGKILL) == -signal.SIGKILL
    assert select.select([guardian], [], [], 30.0)[0]
    os.close(guardian)
    end = last_of(served)
    assert (end["outcome"], end["cause"]) == ("stopped", "the operator's front end went away")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_ending_the_server_ends_the_session_in_order(served: Served, number: int):
    client = Client(served, "AB")
    with client.live() as channel:
        begin(client, channel)
        assert served.end(number) == 0
    end = last_of(served)
    assert end["outcome"] == "stopped"
    assert "page that held the session went away" in end["cause"] or "closing" in end["cause"]


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's table of sockets")
def test_it_listens_on_the_loopback_interface_alone(served: Served):
    port = int(served.base.rpartition(":")[2])
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    bound = {
        row.split()[1].split(":")[0]
        for row in table
        if row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A"
    }
    assert bound == {"0100007F"}
    everywhere = Path("/proc/net/tcp6").read_text()
    assert f":{port:04X} 00000000000000000000000000000000:0000 0A" not in everywhere


def test_what_it_writes_only_its_owner_can_read(served: Served):
    client = Client(served, "AB")
    rating = {"scale": "phq9", "items": {str(n): 1 for n in range(1, 10)}}
    client.post("/patients/P01/ratings", rating)
    journal = served.dataset / "sourcedata" / "tacs" / "journal.jsonl"
    assert stat.S_IMODE(journal.stat().st_mode) & 0o077 == 0


def test_a_link_works_once_over_the_wire(served: Served):
    Client(served, "AB")
    with pytest.raises(urllib.error.HTTPError) as refused:
        Client(served, "AB")
    assert refused.value.code == 401
    refused.value.close()


def test_a_port_that_is_taken_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert call(["serve", str(tmp_path / "data"), "--port", port]) == 2
    assert f"tacs: --port {port}: cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "80"], "--port 80: give 0, or 1024 to 65535"),
        (["--role", "AB"], "write NAME=ROLE"),
        (["--protocols", "nowhere"], "no such folder"),
        (["--device", "nothing:1"], "no driver"),
        (["--rig", "nowhere.toml"], "nowhere.toml"),
        (["--eeg", "nothing:1"], "no EEG source"),
        (["--key", "k"], "belong together"),
    ],
)
def test_usage_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
):
    assert call(["serve", str(tmp_path / "data"), *options]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_without_the_extra_it_says_what_to_install(tmp_path: Path):
    code = (
        "import sys\nsys.modules['fastapi'] = None\nimport importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'fastapi' else found(n, *a)\n"
        "from tacs.cli import call\nsys.exit(call(['serve', 'data']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "tacs serve needs fastapi: pip install 'tacs-suite[serve]'" in done.stderr
    assert not (tmp_path / "data").exists()
