"""A server in this process, its people, and what a browser of each would send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tacs.clock import MonotonicClock
from tacs.dataset import ensure_dataset
from tacs.serve.app import make_app
from tacs.serve.gate import Gate
from tacs.serve.logins import Logins, Person
from tacs.serve.place import Place, Worker
from tacs.serve.roles import Role
from tests.tacs.made import protocol

PORT = 8765
ORIGIN = f"http://127.0.0.1:{PORT}"


@dataclass
class Lasting:
    """The worker of all tests, which no server closes."""

    worker: Worker

    async def call(self, *arguments: Any) -> Any:
        """As it does."""
        return await self.worker.call(*arguments)

    def close(self) -> None:
        """Not yet."""


@dataclass
class Site:
    """A server with a data set behind it."""

    place: Place
    logins: Logins
    gate: Gate
    clients: list[TestClient] = field(default_factory=list)

    def anybody(self, **headers: str) -> TestClient:
        """A client that nobody has logged in at."""
        client = TestClient(self.gate, base_url=ORIGIN, headers={"Origin": ORIGIN, **headers})
        self.clients.append(client)
        return client

    def login(self, role: Role = "operator", name: str = "") -> TestClient:
        """A client of somebody who is logged in."""
        token = self.logins.invite(Person(name or role, role))
        client = self.anybody()
        client.__enter__()
        done = client.post("/api/v1/login", json={"token": token})
        assert done.status_code == 200, done.text
        client.headers["X-CSRF-Token"] = done.json()["csrf"]
        return client


@pytest.fixture
def brisk(tmp_path: Path, site_folder: Path) -> Path:
    """A site whose ramps may be short, and a folder of protocols of seconds."""
    (site_folder / "site.toml").write_text(
        'site = "test"\napproved_by = "test"\nreason = "short sessions on an emulator"\n'
        "[limits]\nramp_up_shortest_s = 5.0\nramp_down_shortest_s = 2.0\n"
        "envelope_slew_ma_per_s = 1.0\n"
    )
    folder = tmp_path / "protocols"
    folder.mkdir()
    protocol(name="brisk", duration_s=9.0, ramp_up_s=5.0, ramp_down_s=2.0).to_toml(
        folder / "brisk.toml"
    )
    (folder / "not-one.toml").write_text("nonsense = 1\n")
    return folder


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    """One worker for all: starting one takes longer than most tests."""
    found = Worker()
    yield found
    found.close()


@pytest.fixture
def made_site(tmp_path: Path, site_folder: Path, brisk: Path, worker: Worker) -> Iterator[Any]:
    """Make a server for a data set; everything but the worker is closed in the end."""
    made: list[Site] = []

    def make(dataset: Path | None = None, **changes: Any) -> Site:
        place = Place(
            **{
                "dataset": ensure_dataset(dataset or tmp_path / "data"),
                "site": site_folder,
                "protocols": brisk,
                "devices": ("emulated:synthpal",),
                "rigs": ("emulated-synthpal-monitored",),
                **changes,
            }
        )
        logins = Logins(MonotonicClock().now_s)
        made.append(Site(place, logins, make_app(place, logins, PORT)))
        app: Any = made[-1].gate.inner
        app.state.worker = Lasting(worker)
        return made[-1]

    yield make
    for site in made:
        for client in site.clients:
            client.close()
        app: Any = site.gate.inner
        app.state.desk.close()
        app.state.strip.close()


@pytest.fixture
def site(made_site: Any) -> Site:
    """A server with an empty data set."""
    found: Site = made_site()
    return found
