"""An independent witness: a client of NIC written from the protocol's table alone.

It shares nothing with the driver: no codes, no framing, no waiting. Where driver and emulator have
the same slip in common, this client and the current that the oscilloscope saw disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devices.emulators.nic2 import EmulatedNic2
from devices.transport import MemoryTransport, Transport, open_transport
from tacs.clock import Clock, MonotonicClock, VirtualClock
from tacs.rig import load_rig, shipped_rigs
from tests.devices.bench import Trace, read_trace

RIG = load_rig("emulated-nic2")
PAIR_FULL = "1000;1000;0;0;0;0;0;0"
PAIR_HZ = "10;10;0;0;0;0;0;0"
PAIR_DEG = "0;180;0;0;0;0;0;0"
ALL_ZERO = "0;0;0;0;0;0;0;0"


class Client:
    """Byte out, byte or line in, as the table says."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self.transport, self.clock = transport, clock

    def byte(self, code: int, text: str | None = None) -> int:
        self.tell(code, text)
        (answer,) = self.transport.read(1, 10.0)
        return answer

    def line(self, code: int) -> str:
        self.tell(code)
        text = b""
        while not text.endswith(b"\n"):
            text += self.transport.read(1, 10.0)
        return text.decode("ascii").strip()

    def tell(self, code: int, text: str | None = None) -> None:
        self.transport.write(bytes([code]) + (b"" if text is None else text.encode() + b"\x00"))

    def wait(self, seconds: float) -> None:
        self.clock.wait(self.clock.now_s() + seconds)

    def until(self, wanted: int, ask: Callable[[], int], every_s: float = 0.1) -> list[int]:
        """Every different answer until the one that is waited for."""
        heard: list[int] = []
        for _ in range(400):
            answer = ask()
            if not heard or heard[-1] != answer:
                heard.append(answer)
            if answer == wanted:
                return heard
            self.wait(every_s)
        raise AssertionError(f"{wanted} never came: {heard}")

    def begin(self, protocol: str = "tacs zero 1 min") -> None:
        self.until(204, lambda: self.byte(131, "04.07"), 1.0)
        self.until(200, lambda: self.byte(128), 1.0)
        self.tell(135, protocol)
        self.until(207, lambda: self.byte(128))
        self.tell(137)
        self.until(208, lambda: self.byte(128))
        self.until(217, lambda: self.byte(129))


class Desk:
    """An emulated NIC in memory with the client in front of it."""

    def __init__(self, folder: Path, *faults: str, contacts: tuple[str, ...] = ("Oz", "Cz")):
        self.clock = VirtualClock(start_s=50.0)
        self.device = EmulatedNic2().in_memory(
            RIG, self.clock, contacts, folder / "scope.tsv.gz", faults
        )
        self.client = Client(MemoryTransport(self.device.bench, self.clock), self.clock)

    def finish(self) -> Trace:
        info = self.device.finish()
        assert info is not None
        return read_trace(info)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_handshake(desk: Desk) -> None:
    client = desk.client
    assert client.until(204, lambda: client.byte(131, "04.07"), 1.0) == [203, 204]
    assert client.until(200, lambda: client.byte(128), 1.0) == [204, 200]
    assert client.line(130) == "04.07"
    assert client.byte(132) == 8
    firmware, address, link, device = client.line(159).split("\t")
    assert (firmware, link, device) == ("1.2.3", "Bluetooth", "STARSTIM8")
    assert address.count(":") == 5


def test_nothing_is_done_without_permission(desk: Desk) -> None:
    client = desk.client
    client.until(204, lambda: client.byte(131, "04.07"), 1.0)
    client.tell(135, "tacs zero 1 min")
    client.wait(2.0)
    assert client.byte(128) == 204


def test_a_rejection(tmp_path: Path) -> None:
    client = Desk(tmp_path, "permission_denied").client
    client.until(204, lambda: client.byte(131, "04.07"), 1.0)
    assert client.until(201, lambda: client.byte(128), 1.0) == [204, 201]


def test_load_start_abort_unload(desk: Desk) -> None:
    client = desk.client
    client.until(204, lambda: client.byte(131, "04.07"), 1.0)
    client.until(200, lambda: client.byte(128), 1.0)
    client.tell(135, "no such protocol")
    assert client.until(205, lambda: client.byte(128))[-2:] == [206, 205]
    client.tell(137)
    client.wait(1.0)
    assert client.byte(128) == 205  # nothing was loaded
    client.tell(135, "tacs zero 1 min")
    assert client.until(207, lambda: client.byte(128)) == [206, 207]
    client.tell(137)
    assert client.until(208, lambda: client.byte(128), 0.02) == [207, 208]
    assert client.until(217, lambda: client.byte(129)) == [216, 217]
    client.tell(136)
    assert client.byte(128) == 208  # not while it runs
    client.tell(138)
    assert client.until(212, lambda: client.byte(128)) == [213, 212]
    client.tell(136)
    assert client.byte(128) == 205
    assert not desk.finish().currents_ma["Oz"].any()


def test_the_published_ramp_in_and_out(desk: Desk) -> None:
    client = desk.client
    client.begin()
    began_s = desk.clock.now_s()
    client.tell(150, f"{PAIR_FULL};{PAIR_HZ};{PAIR_DEG};5000")
    assert client.byte(129) == 216
    client.wait(4.9)
    assert client.byte(129) == 216
    client.wait(0.2)
    assert client.byte(129) == 217
    client.wait(10.0)
    out_s = desk.clock.now_s()
    client.tell(147, f"{ALL_ZERO};5000")
    assert client.byte(129) == 218
    client.wait(6.0)
    client.tell(138)
    client.until(212, lambda: client.byte(128))
    trace = desk.finish()
    oz, cz = trace.currents_ma["Oz"], trace.currents_ma["Cz"]
    np.testing.assert_array_equal(oz, -cz)
    steady = trace.between(began_s + 5.0, out_s)
    assert np.abs(steady).max() == pytest.approx(1.0, abs=1e-4)
    t = np.arange(len(steady)) / 1000.0
    bins = [abs(np.exp(-2j * np.pi * f * t) @ steady) for f in 10.0 + np.arange(-50, 51) * 1e-3]
    assert np.argmax(bins) == 50
    assert trace.last_above_s(0.0) - out_s == pytest.approx(5.0, abs=0.01)
    half = trace.between(began_s + 2.45, began_s + 2.55)
    assert np.abs(half).max() == pytest.approx(0.5, abs=0.02)


def test_ramping_down_with_150_breaks_the_balance_and_with_147_does_not(tmp_path: Path) -> None:
    worst = {}
    for code in (147, 150):
        desk = Desk(tmp_path / str(code))
        desk.client.begin()
        desk.client.tell(150, f"{PAIR_FULL};{PAIR_HZ};{PAIR_DEG};1000")
        desk.client.wait(3.0)
        text = {147: ALL_ZERO, 150: f"{ALL_ZERO};{PAIR_HZ};{ALL_ZERO}"}[code]
        desk.client.tell(code, f"{text};1000")
        desk.client.wait(2.0)
        trace = desk.finish()
        worst[code] = np.abs(sum(trace.currents_ma.values())).max()
    assert worst[147] == 0.0
    assert worst[150] > 1.5  # what would go through the reference electrodes


def test_frequency_and_phase_alone(desk: Desk) -> None:
    client = desk.client
    client.begin()
    client.tell(150, f"{PAIR_FULL};{PAIR_HZ};{PAIR_DEG};100")
    client.wait(2.0)
    client.tell(148, "20;20;0;0;0;0;0;0")
    client.wait(0.005)
    turned_s = desk.clock.now_s()
    client.wait(2.0)
    client.tell(149, "0;90;0;0;0;0;0;0")
    client.wait(0.005)
    last_s = desk.clock.now_s()
    client.wait(1.0)
    trace = desk.finish()
    fast = trace.between(turned_s, turned_s + 1.9)
    crossings = np.count_nonzero(np.diff(np.signbit(fast)))
    assert crossings == pytest.approx(2 * 20 * 1.9, abs=1)
    assert np.abs(np.diff(fast)).max() < 2 * np.pi * 20 * 1e-3 * 1.01
    quarter = trace.between(last_s, last_s + 0.9, "Cz")
    oz = trace.between(last_s, last_s + 0.9, "Oz")
    assert abs(np.corrcoef(oz, quarter)[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (147, f"{PAIR_FULL};99"),
        (147, f"{PAIR_FULL};10001"),
        (147, "1000;1000;500"),
        (147, "2001;2001;0;0;0;0;0;0;500"),
        (147, "1000;x;0;0;0;0;0;0;500"),
        (147, ""),
        (148, "151;0;0;0;0;0;0;0"),
        (149, "360;0;0;0;0;0;0;0"),
        (150, f"{PAIR_FULL};{PAIR_HZ};500"),
        (150, f"{PAIR_FULL};200;10;0;0;0;0;0;0;{PAIR_DEG};500"),
    ],
)  # fmt: skip
def test_changes_that_cannot_be_carried_out_are_not(desk: Desk, code: int, text: str) -> None:
    desk.client.begin()
    desk.client.tell(code, text)
    desk.client.wait(2.0)
    assert desk.client.byte(129) == 217
    assert desk.device.bench.firmware.ignored == 1
    assert not desk.finish().currents_ma["Oz"].any()


@pytest.mark.parametrize("end", [b"\x00", b"\n", b"\r"])
def test_three_bytes_end_a_text(desk: Desk, end: bytes) -> None:
    desk.client.begin()
    text = f"{PAIR_FULL};{PAIR_HZ};{PAIR_DEG};100".encode()
    for part in (b"\x96", text[:20], text[20:], end):  # as TCP may cut it
        desk.client.transport.write(part)
    desk.client.wait(1.0)
    assert np.abs(desk.finish().currents_ma["Oz"]).max() > 0.99


def test_changes_before_full_stimulation_are_ignored(desk: Desk) -> None:
    client = desk.client
    client.until(204, lambda: client.byte(131, "04.07"), 1.0)
    client.until(200, lambda: client.byte(128), 1.0)
    client.tell(135, "tacs zero 1 min")
    client.until(207, lambda: client.byte(128))
    client.tell(137)
    client.until(208, lambda: client.byte(128))
    assert client.byte(129) == 216
    client.tell(150, f"{PAIR_FULL};{PAIR_HZ};{PAIR_DEG};100")
    client.wait(3.0)
    assert not desk.finish().currents_ma["Oz"].any()


def test_a_protocol_ends_by_itself_and_takes_the_current_with_it(desk: Desk) -> None:
    client = desk.client
    client.begin()
    started_s = desk.clock.now_s() - 1.2  # it was at full stimulation a little more than 1 s later
    client.tell(150, f"{PAIR_FULL};{PAIR_HZ};{PAIR_DEG};1000")
    heard = client.until(210, lambda: client.byte(128), 0.2)
    assert heard == [208, 210]
    trace = desk.finish()
    assert trace.last_above_s(0.0) - started_s == pytest.approx(60.0, abs=0.25)
    assert np.abs(trace.between(started_s + 50.0, started_s + 58.9)).max() == pytest.approx(1.0)


def test_impedances_and_the_full_stimulation_that_they_leave_behind(tmp_path: Path) -> None:
    for faults, left in (((), 222), (("stale_217",), 217)):
        desk = Desk(tmp_path / str(left), *faults, contacts=("Oz=4", "Cz=7.25"))
        client = desk.client
        client.until(204, lambda c=client: c.byte(131, "04.07"), 1.0)
        client.until(200, lambda c=client: c.byte(128), 1.0)
        client.tell(135, "tacs zero 1 min")
        client.until(207, lambda c=client: c.byte(128))
        assert set(client.line(142).split()) == {"0.0"}  # nothing flows, nothing is measured
        client.tell(140)
        client.wait(1.0)
        client.transport.write(b"DC\x00")
        assert client.until(222, lambda c=client: c.byte(128), 5.0) == [221, 222]
        assert client.byte(129) == left
        ohms = client.line(142).split()
        assert [float(word) for word in ohms[:2]] == [4000.0, 7250.0]
        assert ohms[2:] == ["NaN"] * 6
        assert not desk.finish().currents_ma["Oz"].any()


def test_impedances_are_measured_where_current_flows(desk: Desk) -> None:
    desk.client.begin()
    desk.client.tell(150, f"{PAIR_FULL};{PAIR_HZ};{PAIR_DEG};100")
    desk.client.wait(1.0)
    assert desk.client.line(142).split() == ["5000.0", "5000.0", *["0.0"] * 6]


def test_an_impedance_check_can_be_ended(desk: Desk) -> None:
    client = desk.client
    client.until(204, lambda: client.byte(131, "04.07"), 1.0)
    client.until(200, lambda: client.byte(128), 1.0)
    client.tell(135, "tacs zero 1 min")
    client.until(207, lambda: client.byte(128))
    client.tell(140, "AC")
    assert client.byte(128) == 221
    client.tell(141)
    assert client.until(224, lambda: client.byte(128)) == [223, 224]


@pytest.mark.parametrize(
    ("fault", "text", "peak_ma"),
    [
        (None, "500.5;500.5;0;0;0;0;0;0", 0.5005),
        ("float_zero@on", "500.5;500.5;0;0;0;0;0;0", 0.0),
        ("float_zero@on", "500;500;0;0;0;0;0;0", 0.5),
    ],
)
def test_decimals(tmp_path: Path, fault: str | None, text: str, peak_ma: float) -> None:
    desk = Desk(tmp_path, *([fault] if fault else []))
    desk.client.begin()
    desk.client.tell(150, f"{text};{PAIR_HZ};{PAIR_DEG};100")
    desk.client.wait(2.0)
    assert np.abs(desk.finish().currents_ma["Oz"]).max() == pytest.approx(peak_ma, abs=1e-4)


@pytest.mark.parametrize(
    ("fault", "second", "peak_ma"),
    [
        ("deaf_in_transition@on", f"{PAIR_FULL};100", 0.5),
        ("strict_slope@on", "505;505;0;0;0;0;0;0;100", 0.5),
        ("strict_slope@on", "507;507;0;0;0;0;0;0;100", 0.507),
        ("early_217@on", f"{PAIR_FULL};100", 1.0),
    ],
)
def test_oddities_of_online_changes(
    tmp_path: Path, fault: str, second: str, peak_ma: float
) -> None:
    desk = Desk(tmp_path, fault)
    desk.client.begin()
    desk.client.wait(1.0)
    desk.client.tell(150, f"500;500;0;0;0;0;0;0;{PAIR_HZ};{PAIR_DEG};500")
    if "early" in fault:
        assert desk.client.byte(129) == 217
    desk.client.wait(0.1 if "deaf" in fault else 1.0)
    desk.client.tell(147, second)
    desk.client.wait(2.0)
    assert np.abs(desk.finish().currents_ma["Oz"]).max() == pytest.approx(peak_ma, abs=1e-4)


def test_answers_byte_by_byte(tmp_path: Path) -> None:
    client = Desk(tmp_path, "fragment@on").client
    client.until(204, lambda: client.byte(131, "04.07"), 1.0)
    began_s = client.clock.now_s()
    assert client.line(130) == "04.07"
    assert client.clock.now_s() - began_s == pytest.approx(0.053, abs=1e-6)


def test_a_pause_takes_the_current_away(desk: Desk) -> None:
    desk.client.begin()
    desk.client.tell(150, f"{PAIR_FULL};{PAIR_HZ};{PAIR_DEG};100")
    desk.client.wait(1.0)
    desk.client.tell(139)
    assert desk.client.byte(128) == 211
    desk.client.wait(1.5)
    assert desk.client.byte(128) == 211
    assert not desk.device.bench.firmware.playing
    desk.client.tell(138)
    assert desk.client.until(212, lambda: desk.client.byte(128)) == [213, 212]


def test_codes_that_it_does_not_know_and_text_that_it_does_not_use(desk: Desk) -> None:
    desk.client.begin()
    for code in (133, 143, 144, 145, 146, 151, 152, 153, 155, 158):
        desk.client.tell(code, "1;2;3")
    desk.client.transport.write(bytes([134, 154, 156, 157, 7, 255]))
    assert desk.client.byte(129) == 217
    assert not desk.device.bench.firmware.playing


def test_over_tcp(tmp_path: Path) -> None:
    process = EmulatedNic2().as_process(
        shipped_rigs()["emulated-nic2"], ["Oz", "Cz"], tmp_path / "scope.tsv.gz", [], eeg=True
    )
    clock = MonotonicClock()
    try:
        assert process.address.startswith("socket://127.0.0.1:")
        client = Client(open_transport(process.address, clock), clock)
        eeg = open_transport(process.streams["eeg"], clock)
        client.begin()
        client.tell(150, f"{PAIR_FULL};{PAIR_HZ};{PAIR_DEG};100")
        client.wait(0.5)
        client.tell(147, f"{ALL_ZERO};100")
        assert len(eeg.read(44 * 500, 5.0)) == 44 * 500
        client.transport.close()
        eeg.close()
    finally:
        info = process.finish()
    assert info is not None
    trace = read_trace(info)
    assert np.abs(trace.currents_ma["Oz"]).max() == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_array_equal(trace.currents_ma["Oz"], -trace.currents_ma["Cz"])
