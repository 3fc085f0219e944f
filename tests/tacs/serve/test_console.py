"""A session from the console: armed by typing, held by its page, stopped by anybody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from tacs.clock import QueueInbox
from tacs.dataset import SessionPaths
from tacs.driver import DeviceName
from tacs.errors import InputError
from tacs.protocol import Protocol
from tacs.record import read_record, verify_record
from tacs.serve.channel import FRESH
from tacs.serve.desk import Wish, _Run, protocols_of
from tests.tacs.made import protocol
from tests.tacs.serve.conftest import ORIGIN, PORT, Site

LIVE = f"ws://127.0.0.1:{PORT}/api/v1/live"
AT = "/api/v1/console"
ROUNDS = 3000  # messages of a tenth of a second: far longer than any session here


def wish(**changes: Any) -> dict[str, Any]:
    return {
        "protocol": "brisk", "device": "emulated:synthpal", "subject": "P01", "session": "01",
        **changes,
    }  # fmt: skip


class Page:
    """What the page does with its live channel."""

    def __init__(self, client: Any, channel: Any) -> None:
        self.client, self.channel = client, channel
        self.now: dict[str, Any] = {}
        self.states: list[str] = []
        self.answers = True
        channel.send_json({"hello": client.headers["X-CSRF-Token"]})
        self.key = channel.receive_json()["welcome"]["channel"]

    def round(self) -> None:
        told = self.channel.receive_json()
        self.now = told.get("console", self.now)
        state = (self.now.get("telemetry") or {}).get("state")
        if state and state not in self.states[-1:]:
            self.states.append(state)
        if self.answers:
            self.channel.send_json({"alive": told["n"]})

    def until(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for _ in range(ROUNDS):
            self.round()
            if self.now and true(self.now):
                return self.now
        raise AssertionError(f"it did not come to that: {self.now}")

    def over(self) -> dict[str, Any]:
        found: dict[str, Any] = self.until(lambda now: now["phase"] == "over")
        return found

    def start(self, **changes: Any) -> None:
        asked = wish(**changes)
        told = self.client.post(f"{AT}/check", json=asked).json()
        assert told["ok"], told["breaches"]
        armed = self.client.post(f"{AT}/arm", json={**asked, "confirmation": told["words"]})
        assert armed.status_code == 200, armed.text
        begun = self.client.post(
            f"{AT}/start", json={"arming": armed.json()["arming"], "channel": self.key}
        )
        assert begun.status_code == 202, begun.text

    def at_level(self, least: float) -> None:
        self.until(
            lambda now: (
                now["phase"] == "over"
                or ((now["telemetry"] or {}).get("planned_ma") or {"Oz": 0.0})["Oz"] >= least
            )
        )
        assert self.now["phase"] == "running", self.now


@pytest.fixture
def page(site: Site) -> Iterator[Page]:
    client = site.login("operator", "M. Curie")
    with client.websocket_connect(LIVE, headers={"Origin": ORIGIN}) as channel:
        yield Page(client, channel)


def record_of(site: Site, session: str = "01") -> list[Any]:
    found = SessionPaths.of(site.place.dataset, "P01", session).record
    assert verify_record(found) is None
    return list(read_record(found)[0])


def test_a_whole_session(site: Site, page: Page):
    page.start(rig="emulated-synthpal-monitored")
    page.at_level(0.5)
    shown = page.now["telemetry"]
    assert page.now["mine"] is True
    assert set(shown["impedance_kohm"]) == {"Oz", "Cz"}
    assert shown["measured_ma"]["Oz"] == pytest.approx(shown["planned_ma"]["Oz"], abs=0.2)
    found = page.over()
    assert found["result"]["outcome"] == "done", found
    delivered = found["result"]["delivered"]["rectified_charge_c"]
    assert found["telemetry"]["commanded_charge_c"] == pytest.approx(delivered, rel=0.05)
    assert page.states[:2] == ["ramp_up", "hold"]
    assert "record" not in found["result"]
    first = record_of(site)[0].data
    assert (first["operator"], first["role"]) == ("M. Curie", "operator")


def test_stop_on_the_channel(site: Site, page: Page):
    page.start()
    page.at_level(0.2)
    page.channel.send_json({"stop": True})
    found = page.over()
    assert (found["result"]["outcome"], found["result"]["cause"]) == (
        "stopped", "STOP on the page, M. Curie",
    )  # fmt: skip
    assert found["result"]["quiet_after_stop_s"] < 1.0


def test_anybody_may_stop_and_nobody_else_may_steer(site: Site, page: Page):
    page.start()
    page.at_level(0.1)
    looking = site.login("read-only", "V")
    assert looking.get(AT).json()["phase"] == "running"
    assert looking.post(f"{AT}/say", json={"say": "pause"}).status_code == 403
    assert (
        page.client.post(f"{AT}/start", json={"arming": "x", "channel": page.key}).status_code
        == 409
    )
    assert looking.post(f"{AT}/stop", json={}).json() == {"done": True}
    assert page.over()["result"]["cause"] == "STOP on the page, V"
    assert looking.post(f"{AT}/stop", json={}).json() == {"done": False}


def test_discomfort_of_seven_stops(site: Site, page: Page):
    page.start()
    page.at_level(0.1)
    assert page.client.post(f"{AT}/discomfort", json={"nrs": 11}).status_code == 422
    assert page.client.post(f"{AT}/discomfort", json={"nrs": 7}).status_code == 200
    assert "discomfort 7 of 10" in page.over()["result"]["cause"]


def test_a_page_that_goes_away_is_a_stop(site: Site):
    client = site.login()
    watching = site.login("read-only", "V")
    with watching.websocket_connect(LIVE, headers={"Origin": ORIGIN}) as other:
        witness = Page(watching, other)
        with client.websocket_connect(LIVE, headers={"Origin": ORIGIN}) as channel:
            page = Page(client, channel)
            page.start()
            page.at_level(0.1)
        found = witness.over()
    assert found["result"]["outcome"] == "stopped"
    assert "went away" in found["result"]["cause"]


def test_a_page_that_hangs_ends_the_session_by_the_lease(site: Site):
    """Its connection stays, its answers do not; what it answers late counts for nothing."""
    client = site.login()
    watching = site.login("read-only", "V")
    with (
        watching.websocket_connect(LIVE, headers={"Origin": ORIGIN}) as other,
        client.websocket_connect(LIVE, headers={"Origin": ORIGIN}) as channel,
    ):
        witness, page = Page(watching, other), Page(client, channel)
        page.start()
        page.at_level(0.1)
        page.answers = False
        for _ in range(ROUNDS):
            page.channel.send_json({"alive": 1})
            witness.round()
            if witness.now.get("phase") == "over":
                break
        assert witness.now["result"]["outcome"] in {"stopped", "fault"}
        assert (
            "lease" in witness.now["result"]["cause"] or "silent" in witness.now["result"]["cause"]
        )
    assert FRESH < 10  # younger than the lease of one second


def test_the_wrong_words_do_not_arm(site: Site, page: Page):
    words = page.client.post(f"{AT}/check", json=wish()).json()["words"]
    for typed in ("", "yes", words[:-1], words.replace("P01", "P02"), words.upper() + "x"):
        told = page.client.post(f"{AT}/arm", json={**wish(), "confirmation": typed})
        assert told.status_code == 409
        assert "not armed" in told.json()["error"]
    assert page.client.get(AT).json()["phase"] == "free"


def test_an_arming_is_good_once_and_for_its_person(site: Site, page: Page):
    other = site.login("operator", "Other")
    words = page.client.post(f"{AT}/check", json=wish()).json()["words"]
    arming = page.client.post(f"{AT}/arm", json={**wish(), "confirmation": words}).json()["arming"]
    foreign = other.post(f"{AT}/start", json={"arming": arming, "channel": page.key})
    assert foreign.status_code == 409  # that channel is not theirs
    without = page.client.post(f"{AT}/start", json={"arming": arming, "channel": "none"})
    assert without.status_code == 409
    stopped = page.client.post(f"{AT}/stop", json={})
    assert stopped.status_code == 200
    late = page.client.post(f"{AT}/start", json={"arming": arming, "channel": page.key})
    assert late.status_code == 409  # a STOP disarms


def test_what_is_not_offered_cannot_be_run(site: Site, page: Page):
    for changes in (
        {"protocol": "../brisk"}, {"protocol": "not-one"}, {"device": "synthpal:/dev/ttyACM0"},
        {"rig": "/etc/passwd"}, {"device": "emulated:stimjim"},
    ):  # fmt: skip
        told = page.client.post(f"{AT}/check", json=wish(**changes))
        assert told.status_code == 400
        assert "is offered here" in told.json()["error"] or "not offered" in told.json()["error"]
    offered = page.client.get(f"{AT}/choices").json()
    assert [p["name"] for p in offered["protocols"]] == ["brisk"]


def test_a_broken_limit_is_listed_and_does_not_arm(site: Site, page: Page, brisk: Path):
    protocol(name="long", duration_s=4000.0).to_toml(brisk / "long.toml")
    told = page.client.post(f"{AT}/check", json=wish(protocol="long")).json()
    assert told["ok"] is False
    assert told["breaches"]
    words = {**wish(protocol="long"), "confirmation": told["words"]}
    refused = page.client.post(f"{AT}/arm", json=words)
    assert refused.status_code == 409
    assert refused.json()["breaches"] == told["breaches"]


def test_a_blinded_session_shows_time_and_nothing_else(site: Site, page: Page, brisk: Path):
    from tests.tacs.studies import study

    study("TRIAL")
    protocol(
        name="blind", duration_s=13.0, ramp_up_s=5.0, ramp_down_s=2.0, blinding={"label": "TRIAL"}
    ).to_toml(brisk / "blind.toml")
    page.start(protocol="blind", rig="emulated-synthpal-monitored")
    seen: list[dict[str, Any]] = []
    for _ in range(ROUNDS):
        page.round()
        if page.now["phase"] == "over":
            break
        if page.now["telemetry"]:
            seen.append(page.now["telemetry"])
    assert page.now["result"], page.now
    assert page.now["result"]["outcome"] == "done", page.now
    assert page.now["result"]["delivered"] is None
    assert seen
    withheld = ("level", "measured_ma", "impedance_kohm", "planned_ma", "commanded_charge_c",
                "frequency_hz", "measured_at_s", "ceiling")  # fmt: skip
    for told in seen:
        assert [told[name] for name in withheld] == [None] * len(withheld)
        assert told["state"] in {"between_trains", "stopping", "done", "armed"}


def test_a_blinded_sessions_eeg_is_not_sent(
    site: Site, page: Page, monkeypatch: pytest.MonkeyPatch
):
    app: Any = site.gate.inner
    strip = app.state.strip
    strip.source, strip.head = "virtual:1", {"channels": ["Oz"], "sfreq_hz": 100.0}
    strip._count = 1
    strip._blocks.append((1, {"samples_uv": [[1.0]]}))
    monkeypatch.setattr(type(app.state.desk), "blinded_now", property(lambda self: True))
    told = [page.channel.receive_json() for _ in range(5)]
    assert not any("eeg" in one for one in told[2:])
    assert "would tell the arm" in told[-1]["eeg_error"]


def test_logging_out_closes_the_channel(site: Site, page: Page):
    page.client.post("/api/v1/logout", json={})

    def wait() -> None:
        for _ in range(ROUNDS):
            page.channel.receive_json()

    with pytest.raises(WebSocketDisconnect) as ended:
        wait()
    assert ended.value.code == 4401


def test_files_that_are_no_protocols_are_not_offered(brisk: Path):
    found = protocols_of(brisk)
    assert list(found) == ["brisk"]
    assert found["brisk"] == Protocol.from_toml(brisk / "brisk.toml")


def test_live_eeg_comes_from_a_process_of_its_own(made_site: Any):
    site: Site = made_site(eeg="virtual:3")
    client = site.login()
    app: Any = site.gate.inner
    with client.websocket_connect(LIVE, headers={"Origin": ORIGIN}) as channel:
        page = Page(client, channel)
        head: dict[str, Any] = {}
        spectrum: dict[str, Any] = {}
        samples = 0
        for _ in range(ROUNDS):
            told = channel.receive_json()
            assert "eeg_error" not in told, told
            head = told.get("eeg_head", head)
            for block in told.get("eeg", ()):
                samples += len(block["samples_uv"][0]) if "samples_uv" in block else 0
                spectrum = block.get("spectrum", spectrum)
            if spectrum:
                break
        assert page.key
    assert samples > 2 * head["sfreq_hz"]
    power = dict(zip(spectrum["freqs_hz"], spectrum["power_db"], strict=True))
    inside = [db for hz, db in power.items() if 8 <= hz <= 12]
    beyond = [db for hz, db in power.items() if 15 <= hz <= 19]
    assert max(inside) > max(beyond) + 3.0
    assert app.state.strip._process.pid


def test_a_real_device_asks_for_the_words_once_more(
    site: Site, page: Page, monkeypatch: pytest.MonkeyPatch
):
    """No real device here: what stands in for the run asks as the guardian of one does."""
    told: list[str] = []

    def asking(*args: Any, confirm: Any, **options: Any) -> Any:
        confirm("P01:abcd1234", ["connected: SynthPal 7"])
        told.append("armed")
        raise InputError("nothing is connected")

    app: Any = site.gate.inner
    monkeypatch.setattr("tacs.serve.desk.run", asking)
    desk = app.state.desk
    request = desk._request(Wish(**wish(), rig=""), "AB")
    object.__setattr__(request.setup, "device", DeviceName.parse("synthpal:/dev/null"))
    desk._run = _Run(request, page.key, QueueInbox())
    desk._thread = threading.Thread(target=desk._conduct, args=(desk._run,))
    desk._thread.start()
    now = page.until(lambda now: now["phase"] == "asking")
    assert now["asked"] == {"words": "P01:abcd1234", "told": ["connected: SynthPal 7"]}
    wrong = page.client.post(f"{AT}/confirm", json={"words": "P01:abcd1235"})
    assert wrong.status_code == 409
    assert told == []
    assert page.client.post(f"{AT}/confirm", json={"words": "P01:abcd1234"}).status_code == 200
    assert page.over()["error"] == "nothing is connected"
    assert told == ["armed"]


def test_a_stop_refuses_what_waits_for_the_words(
    site: Site, page: Page, monkeypatch: pytest.MonkeyPatch
):
    def asking(*args: Any, confirm: Any, **options: Any) -> Any:
        confirm("P01:abcd1234", [])

    app: Any = site.gate.inner
    monkeypatch.setattr("tacs.serve.desk.run", asking)
    desk = app.state.desk
    request = desk._request(Wish(**wish(), rig=""), "AB")
    object.__setattr__(request.setup, "device", DeviceName.parse("synthpal:/dev/null"))
    desk._run = _Run(request, page.key, QueueInbox())
    desk._thread = threading.Thread(target=desk._conduct, args=(desk._run,))
    desk._thread.start()
    page.until(lambda now: now["phase"] == "asking")
    page.channel.send_json({"stop": True})
    assert "stopped before it was confirmed" in page.over()["error"]


def test_a_stop_that_comes_along_with_the_words_is_not_lost(
    site: Site, page: Page, monkeypatch: pytest.MonkeyPatch
):
    """Both are there before the thread that waits looks again."""
    armed: list[str] = []

    def asking(*args: Any, confirm: Any, **options: Any) -> Any:
        confirm("P01:abcd1234", [])
        armed.append("armed")

    app: Any = site.gate.inner
    monkeypatch.setattr("tacs.serve.desk.run", asking)
    desk = app.state.desk
    request = desk._request(Wish(**wish(), rig=""), "AB")
    object.__setattr__(request.setup, "device", DeviceName.parse("synthpal:/dev/null"))
    desk._run = _Run(request, page.key, QueueInbox())
    desk._thread = threading.Thread(target=desk._conduct, args=(desk._run,))
    desk._thread.start()
    page.until(lambda now: now["phase"] == "asking")
    with desk._lock:
        desk.confirm("P01:abcd1234")
        desk.stop("STOP on the page")
    assert "stopped before it was confirmed" in page.over()["error"]
    assert armed == []


def test_what_was_confirmed_is_run_whatever_becomes_of_its_file(
    site: Site, page: Page, brisk: Path
):
    asked = wish()
    words = page.client.post(f"{AT}/check", json=asked).json()["words"]
    armed = page.client.post(f"{AT}/arm", json={**asked, "confirmation": words}).json()
    before = protocols_of(brisk)["brisk"]
    changed = protocol(name="brisk", duration_s=10.0, ramp_up_s=5.0, ramp_down_s=2.0)
    changed.to_toml(brisk / "brisk.toml")
    begun = page.client.post(f"{AT}/start", json={"arming": armed["arming"], "channel": page.key})
    assert begun.status_code == 202, begun.text
    page.at_level(0.1)
    page.channel.send_json({"stop": True})
    page.over()
    first = record_of(site)[0].data
    assert first["protocol_sha256"] == before.sha256() != changed.sha256()
    assert first["protocol_sha256"].startswith(words.partition(":")[2])
    assert first["protocol"]["duration_s"] == before.duration_s
