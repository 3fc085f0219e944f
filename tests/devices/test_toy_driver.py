"""The example of docs/write-a-driver.md, installed as a package of its own and run."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tacs.clock import VirtualClock
from tacs.driver import Program, find_driver, find_emulator
from tacs.errors import (
    DeviceNotFound,
    DeviceRefused,
    InputError,
    LinkLost,
    ProtocolViolation,
    SafetyRefusal,
    TacsError,
    UncertainDelivery,
)
from tacs.rig import load_rig
from tests.devices.bench import Trace, read_trace
from tests.devices.test_stimjim_wire import Line

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "toy_driver"
RIG_FILE = SOURCE / "emulated-toy.toml"
EXAMPLE = ROOT / "examples" / "protocols" / "posterior-alpha.toml"

GOLDEN = [
    (lambda link: link.who(), b"\nWHO\n", b"TOY 1\n"),
    (lambda link: link.set("F", 10_270), b"F 10270\n", b"OK F 10270\n"),
    (lambda link: link.set("A", 2000), b"A 2000\n", b"OK A 2000\n"),
    (lambda link: link.set("GO", 1000), b"GO 1000\n", b"OK GO 1000\n"),
    (lambda link: link.set("KEEP", 1000), b"KEEP 1000\n", b"OK KEEP 1000\n"),
    (lambda link: link.state(), b"?\n", b"? 1 2000 10270\n"),
    (lambda link: link.end(800), b"\nEND 800\n", b"OK END 800\n"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy installed, as a laboratory would install it; no network."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed: the toy cannot be built without a network")
    target = tmp_path_factory.mktemp("toy")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    command = [sys.executable, "-m", "pip", "install", "-q", *options, str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return target


@pytest.fixture
def toy(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The toy's driver module, importable for one test."""
    monkeypatch.syspath_prepend(str(place))
    yield importlib.import_module("toy_stimulator.driver")
    for name in [name for name in sys.modules if name.split(".")[0] == "toy_stimulator"]:
        del sys.modules[name]


def tacs(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, "-m", "tacs", "--json", *arguments],
        env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def program(current_ma: float = 1.0, frequency_hz: float = 10.27) -> Program:
    return Program(
        frequency_hz=frequency_hz,
        currents_peak_ma={1: current_ma},
        phases_deg={1: 0.0},
        soft_stop_s=0.8,
        emergency_stop_s=0.1,
    )


class Session:
    """The toy's driver on its emulator."""

    def __init__(self, folder: Path, *faults: str) -> None:
        self.clock, rig = VirtualClock(start_s=50.0), load_rig(RIG_FILE)
        self.emulator: Any = find_emulator("toy").in_memory(
            rig, self.clock, ["Oz", "Cz"], folder / "current.tsv.gz", faults
        )
        self.driver: Any = find_driver("toy").over(self.emulator.transport, rig)

    @property
    def firmware(self) -> Any:
        return self.emulator.bench.firmware

    def begin(self) -> None:
        self.driver.connect()
        self.driver.configure(program())
        self.driver.start(1.0)

    def to(self, elapsed_s: float, ramp_s: float = 5.0) -> None:
        start_s = self.firmware.first_start_s
        while (at_s := self.clock.now_s() - start_s) < elapsed_s - 1e-9:
            self.driver.set_level(min(at_s / ramp_s, 1.0))
            self.driver.extend_lease(at_s, 1.0)
            self.clock.wait(min(self.clock.now_s() + 0.02, start_s + elapsed_s))

    def finish(self) -> Trace:
        return read_trace(self.emulator.finish())


# from outside


def test_it_is_listed_once_it_is_installed(place: Path):
    done = tacs(place, "devices")
    assert done.returncode == 0, done.stderr
    names = {entry["name"] for entry in json.loads(done.stdout)["devices"]}
    assert {"toy", "emulated:toy", "synthpal"} <= names


def test_a_session_on_it_is_delivered(place: Path, tmp_path: Path):
    protocol = tmp_path / "protocol.toml"
    text = EXAMPLE.read_text(encoding="utf-8").replace("duration_s = 1200.0", "duration_s = 60.0")
    protocol.write_text(text, encoding="utf-8")
    done = tacs(
        place, "run", str(protocol), "--device", "emulated:toy", "--rig", str(RIG_FILE),
        "--clock", "virtual", "--subject", "P01", "--session", "01", "--out", str(tmp_path / "d"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["outcome"] == "done"
    assert result["delivered"]["current_peak_ma"] == pytest.approx(1.0, abs=2e-3)
    assert result["delivered"]["frequency_hz"] == pytest.approx(10.0, abs=1e-3)


def test_its_rig_is_asked_for(place: Path):
    done = tacs(place, "check", str(EXAMPLE), "--device", "emulated:toy")
    assert done.returncode == 4
    assert "rig" in done.stdout


def test_its_firmware_knows_nothing_of_its_wire():
    text = (SOURCE / "toy_stimulator" / "firmware.py").read_text(encoding="utf-8")
    assert "toy_stimulator" not in text


def test_the_guide_shows_the_files_as_they_are():
    guide = (ROOT / "docs" / "write-a-driver.md").read_text(encoding="utf-8")
    assert RIG_FILE.read_text(encoding="utf-8") in guide
    pyproject = (SOURCE / "pyproject.toml").read_text(encoding="utf-8")
    points = pyproject[pyproject.index("[project.entry-points") : pyproject.index("[tool.")]
    assert points.strip() in guide


# its wire


def test_golden_lines(toy: ModuleType):
    firmware = importlib.import_module("toy_stimulator.firmware").Firmware(0.0)
    for ask, sent, reply in GOLDEN:
        line = Line(reply)
        ask(toy.ToyLink(line))
        assert line.written == [sent]
        firmware.receive(sent, 0.0)
        assert firmware.take(1.0) == reply


@pytest.mark.parametrize(
    ("number", "answers", "error"),
    [
        (0, [b""], DeviceNotFound),
        (0, [b"PULSE 7\n"], DeviceNotFound),
        (1, [b""], UncertainDelivery),
        (1, [b"NO frequency while playing\n"], DeviceRefused),
        (1, [b"OK F 10271\n"], ProtocolViolation),
        (1, [b"OK"], UncertainDelivery),
        (5, [b""], LinkLost),
        (5, [b"? 1 x 3\n"], ProtocolViolation),
        (5, [b"? 2 0 10000\n"], ProtocolViolation),
        (5, [b"\xff" * 100], LinkLost),
    ],
)
def test_answers_that_are_none(
    toy: ModuleType, number: int, answers: list[bytes], error: type[TacsError]
):
    with pytest.raises(error) as refusal:
        GOLDEN[number][0](toy.ToyLink(Line(*answers)))
    assert "\n" not in str(refusal.value)


def test_an_answer_that_came_twice_is_not_the_next_one(toy: ModuleType):
    line = Line(b"? 1 0 10000\n? 1 0 10000\n", b"TOY 1\n", b"? 0 0 10000\n")
    link = toy.ToyLink(line)
    assert link.state()[0]
    assert not link.state()[0]
    assert line.written == [b"?\n", b"\nWHO\n", b"?\n"]


# its driver


def test_half_the_peak_to_peak_current_never_more_than_asked(toy: ModuleType):
    assert [toy.microampere_pp(ma) for ma in (0.0, 0.0009, 0.001, 0.57, 1.0, 1.9999)] == [
        0, 0, 2, 1140, 2000, 3998,
    ]  # fmt: skip
    for current_ma in np.random.default_rng(1).uniform(0.0, 2.0, 500).tolist():
        assert current_ma - 0.001 < toy.microampere_pp(current_ma) / 2000 <= current_ma
    with pytest.raises(InputError):
        toy.microampere_pp(float("nan"))


@pytest.mark.usefixtures("toy")
def test_a_session_by_hand_and_its_soft_stop(tmp_path: Path):
    session = Session(tmp_path)
    session.begin()
    session.to(8.0)
    stop_s = session.clock.now_s()
    session.driver.soft_stop()
    assert session.clock.now_s() == stop_s
    session.driver.close()
    trace, start_s = session.finish(), session.firmware.first_start_s
    assert np.abs(trace.currents_ma["Oz"]).max() <= 1.0
    hold = trace.between(start_s + 5.1, stop_s)
    assert np.abs(hold).max() == pytest.approx(1.0, abs=2e-3)
    assert trace.last_above_s(1e-9) - stop_s == pytest.approx(0.8, abs=0.01)


@pytest.mark.usefixtures("toy")
def test_a_soft_stop_does_not_slow_an_emergency_stop(tmp_path: Path):
    session = Session(tmp_path)
    session.begin()
    session.to(6.0)
    stop_s = session.clock.now_s()
    session.driver.emergency_stop()
    session.driver.soft_stop()
    assert session.driver.status().playing == (1,)
    session.clock.wait(stop_s + 1.0)
    assert session.driver.status().playing == ()
    assert session.finish().last_above_s(1e-9) - stop_s == pytest.approx(0.1, abs=0.01)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("at_s", [3.0, 7.0])
def test_without_its_host_it_ends_within_what_it_declares(tmp_path: Path, at_s: float):
    session = Session(tmp_path)
    session.begin()
    session.to(at_s)
    trace = session.finish()
    worst_s = session.driver.capabilities.host_loss_worst_case_s
    over_s = trace.last_above_s(1e-9) - session.firmware.first_start_s - at_s
    assert 0.0 < over_s <= worst_s


@pytest.mark.usefixtures("toy")
def test_what_it_refuses(tmp_path: Path):
    session = Session(tmp_path)
    session.driver.connect()
    with pytest.raises(InputError, match="configure"):
        session.driver.start(1.0)
    with pytest.raises(SafetyRefusal, match="device_current_ma"):
        session.driver.configure(program(2.1))
    with pytest.raises(InputError, match="outside the toy's"):
        session.driver.configure(program(frequency_hz=0.5))
    session.driver.configure(program())
    session.firmware.reboot(session.clock.now_s())
    with pytest.raises(ProtocolViolation, match="did it restart"):
        session.driver.start(1.0)
    assert not session.firmware.playing
    with pytest.raises(InputError, match="for the device 'other'"):
        find_driver("toy").over(None, load_rig(RIG_FILE).model_copy(update={"device": "other"}))
