"""VISA addresses: what is imported when, what is read when, and a session through pyvisa-py."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from devices.emulators.scpi import EmulatedScpi
from devices.emulators.server import EmulatorProcess
from devices.scpi import Scpi
from devices.visa import VisaTransport, is_visa_address
from tacs.clock import MonotonicClock
from tacs.errors import DeviceBusy, DeviceNotFound, InputError, LinkLost
from tacs.rig import shipped_rigs
from tests.devices.bench import read_trace
from tests.devices.scpi_session import program, rig_for

# Of this process alone: other tests must not hold it.
ADDRESS = f"USB0::0x1AB1::0x0642::DG1ZA{os.getpid():09}::INSTR"


class Refused(Exception):  # noqa: N818 - stands for a foreign name
    """Stands for pyvisa.Error."""


class Resource:
    """An instrument that answers queries."""

    timeout = 0

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.problem: Exception | None = None

    def write(self, line: str) -> None:
        self.calls.append(f"> {line}")
        if self.problem:
            raise self.problem

    def read_raw(self) -> bytes:
        self.calls.append("<")
        if self.problem:
            raise self.problem
        return b"ON\n"

    def close(self) -> None:
        self.calls.append("closed")


@pytest.fixture
def resource(monkeypatch: pytest.MonkeyPatch) -> Resource:
    found = Resource()

    def open_resource(address: str, **options: object) -> Resource:
        if found.problem:
            raise found.problem
        return found

    manager = SimpleNamespace(open_resource=open_resource)
    fake = SimpleNamespace(Error=Refused, ResourceManager=lambda backend: manager)
    monkeypatch.setitem(sys.modules, "pyvisa", fake)
    return found


@pytest.mark.parametrize(
    ("address", "visa"),
    [
        ("USB0::0x1AB1::0x0642::DG1ZA000000000::INSTR", True),
        ("TCPIP0::10.0.0.7::INSTR", True),
        ("tcpip::10.0.0.7::5555::socket", True),
        ("socket://10.0.0.7:5555", False),
        ("/dev/ttyACM0", False),
        ("USB0", False),
    ],
)
def test_which_addresses_are_visas(address: str, visa: bool):
    assert is_visa_address(address) is visa


def test_without_pyvisa_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyvisa", None)
    with pytest.raises(InputError, match=r"pip install 'tacs-suite\[visa\]'") as refusal:
        Scpi.open(ADDRESS, rig_for(), MonotonicClock())
    assert "\n" not in str(refusal.value)


def test_a_query_is_read_at_once(resource: Resource):
    port = VisaTransport(ADDRESS)
    port.write(b"OUTP1 OFF\nOUTP1?\nOUTP2?\n")
    assert resource.calls == ["> OUTP1 OFF", "> OUTP1?", "<", "> OUTP2?", "<"]
    assert port.read(2, 0.5) == b"ON"
    assert port.read(100, 0.5) == b"\nON\n"
    assert port.read(100, 0.5) == b""
    port.write(b"OUTP1?\n")
    port.discard_input()
    assert port.read(100, 0.0) == b""
    port.close()


def test_a_query_without_an_answer_is_for_the_reader_to_miss(resource: Resource):
    port = VisaTransport(ADDRESS)
    resource.problem = Refused("VI_ERROR_TMO (-1073807339): Timeout expired")
    port.write(b"OUTP1?\n")
    assert port.read(100, 0.5) == b""
    port.close()


def test_a_resource_is_not_shared_however_it_is_written(resource: Resource):
    port = VisaTransport(ADDRESS)
    for other in (ADDRESS, ADDRESS.lower().replace("usb0", "USB").replace("0x1ab1", "6833")):
        with pytest.raises(DeviceBusy, match=rf"process {os.getpid()}"):
            VisaTransport(other)
    resource.problem = Refused("VI_ERROR_CONN_LOST")
    with pytest.raises(LinkLost):
        port.write(b"OUTP1?\n")
    with pytest.raises(DeviceNotFound):
        port.reconnect()
    resource.problem = None
    with pytest.raises(DeviceBusy):
        VisaTransport(ADDRESS)  # one that broke is still its own
    port.reconnect()
    port.write(b"OUTP1?\n")
    assert port.read(100, 0.5) == b"ON\n"
    port.close()
    VisaTransport(ADDRESS).close()


def test_a_broken_link_is_lost(resource: Resource):
    port = VisaTransport(ADDRESS)
    for problem in (Refused("VI_ERROR_CONN_LOST"), OSError("gone")):
        resource.problem = problem
        with pytest.raises(LinkLost, match="is gone"):
            port.write(b"OUTP1 OFF\n")
    port.close()
    port.close()
    for call in (lambda: port.write(b"X\n"), lambda: port.read(1, 0.0)):
        with pytest.raises(LinkLost, match="was closed"):
            call()


@pytest.mark.parametrize(
    ("problem", "error", "message"),
    [
        (Refused("VI_ERROR_RSRC_NFOUND"), DeviceNotFound, "pyvisa-info"),
        (Refused("VI_ERROR_RSRC_BUSY"), DeviceBusy, "another program holds it"),
        (OSError(errno.EBUSY, "Resource busy"), DeviceBusy, "another program holds it"),
        (ValueError("no backend"), DeviceNotFound, "cannot be opened"),
    ],
)
def test_what_cannot_be_opened(
    resource: Resource, problem: Exception, error: type[InputError], message: str
):
    resource.problem = problem
    with pytest.raises(error, match=message):
        VisaTransport(ADDRESS)
    resource.problem = None
    VisaTransport(ADDRESS).close()  # nothing of it is left claimed


@pytest.fixture
def process(tmp_path: Path) -> Iterator[EmulatorProcess]:
    pytest.importorskip("pyvisa_py", reason="pyvisa-py is not installed (extra visa)")
    emulator = EmulatedScpi().as_process(
        shipped_rigs()["emulated-scpi"], ["Oz=5", "Cz"], tmp_path / "current.tsv.gz", []
    )
    yield emulator
    emulator.finish()


def test_a_session_through_pyvisa(process: EmulatorProcess):
    clock = MonotonicClock()
    port = process.address.rpartition(":")[2]
    driver = Scpi.open(f"TCPIP0::127.0.0.1::{port}::SOCKET", rig_for(), clock)
    assert driver.connect().model == "Rigol Technologies DG1062Z"
    driver.configure(program(ramp_s=2.0, hold_s=1.0))
    driver.start(1.0)
    start_s = clock.now_s()
    for tick in range(1, 31):
        clock.wait(start_s + tick * 0.02)
        driver.set_level(tick * 0.01)
        driver.pump(start_s + tick * 0.02)
    assert driver.status().playing == (1,)
    top_s = clock.now_s()
    driver.emergency_stop()
    assert driver.status().playing == ()
    driver.close()
    info = process.finish()
    assert info is not None
    trace = read_trace(info)
    assert np.abs(trace.between(top_s - 0.1, top_s)).max() == pytest.approx(0.3, abs=0.03)
    assert not trace.between(top_s + 0.3, np.inf).any()
