"""The emulated current monitor: what it measures, and every fault on its wire."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.current_monitor import ReferenceMonitor
from devices.current_monitor_wire import HELLO, START, FrameReader, encode
from devices.emulators.server import EmulatorProcess, start_process
from devices.emulators.synthpal import EmulatedSynthPal
from devices.emulators.synthpal_bench import FAULTS, SynthPalBench
from devices.emulators.synthpal_faults import MONITOR_FAULTS
from devices.synthpal import SynthPal
from tacs.clock import MonotonicClock, VirtualClock
from tacs.errors import DeviceError, DeviceNotFound, InputError, LinkLost, UncertainDelivery
from tacs.monitor import ContactFrame, CurrentFrame, MonitorStatus
from tacs.rig import Rig, load_rig, shipped_rigs
from tests.devices.bench import RIG, Session, Trace, program

MONITORED = load_rig("emulated-synthpal-monitored")
ALL = ("Oz", "Cz", "F3", "F4")
NONCE = 0x5EED


class Monitored(Session):
    """A session whose monitor is read fifty times a second."""

    def __init__(
        self, folder: Path, *, contacts: Sequence[str] = ALL, faults: Sequence[str] = ()
    ) -> None:
        super().__init__(folder, contacts=contacts, faults=faults, rig=MONITORED)
        assert MONITORED.monitor is not None
        self.monitor = ReferenceMonitor.over(
            self.emulator.monitor_transport, MONITORED.monitor.electrodes
        )
        self.currents: list[CurrentFrame] = []
        self.contacts: list[ContactFrame] = []
        self.statuses: list[MonitorStatus] = []

    @property
    def monitor_firmware(self):
        return self.emulator.bench.monitor.firmware

    def begin(self, *arguments, **options) -> None:
        self.monitor.connect()
        self.monitor.start(NONCE)
        self.stream_s = self.monitor_firmware._probe.end_s(0)
        super().begin(*arguments, **options)

    def to(self, elapsed_s: float, **options: float) -> None:
        for tick in range(math.floor(self.elapsed_s * 50) + 1, round(elapsed_s * 50) + 1):
            super().to(tick / 50, **options)
            self.hear()

    def hear(self) -> None:
        for message in self.monitor.poll(self.clock.now_s()):
            if isinstance(message, CurrentFrame):
                self.currents.append(message)
            elif isinstance(message, ContactFrame):
                self.contacts.append(message)
            else:
                self.statuses.append(message)

    def frames(self, start_s: float, end_s: float) -> list[CurrentFrame]:
        """Frames received in a span of the session."""
        first_s, last_s = self.start_s + start_s, self.start_s + end_s
        return [f for f in self.currents if first_s < f.received_s <= last_s]

    def peak_ma(self, start_s: float, end_s: float, name: str = "Oz") -> float:
        return max(f.peak_ma[name] for f in self.frames(start_s, end_s))

    def mean_ma(self, start_s: float, end_s: float, name: str = "Oz") -> float:
        return float(np.mean([f.mean_ma[name] for f in self.frames(start_s, end_s)]))


def run(tmp_path: Path, *faults: str, contacts: Sequence[str] = ALL, until_s: float = 2.0):
    """Full level from the start, to ``until_s``; the session, and what its oscilloscope saw."""
    session = Monitored(tmp_path, contacts=contacts, faults=faults)
    session.begin(program({1: 1.0, 2: 0.5}, frequency_hz=10.0))
    session.to(until_s)
    return session, session.finish()


# what it measures


def resampled(session: Monitored, trace: Trace, n: int, name: str):
    """The oscilloscope's samples at 50 instants of each of the monitor's first frames."""
    times_s = session.stream_s + (np.arange(50 * n) + 0.5) / 5000.0
    return np.interp(times_s, trace.times_s, trace.currents_ma[name]).reshape(n, 50)


def test_it_agrees_with_the_oscilloscope_frame_by_frame(tmp_path: Path) -> None:
    session = Monitored(tmp_path)
    session.begin(program({1: 1.0, 2: 0.5}, frequency_hz=10.27))
    session.to(12.0, ramp_s=6.0)
    session.driver.emergency_stop()
    session.to(12.5)
    trace = session.finish()
    frames = session.currents
    assert len(frames) > 1250
    for name in ALL:
        seen = resampled(session, trace, len(frames), name)
        for field, expected in (
            ("mean_ma", seen.mean(axis=1)),
            ("peak_ma", np.abs(seen).max(axis=1)),
            ("rms_ma", np.sqrt((seen**2).mean(axis=1))),
        ):
            measured = np.array([getattr(frame, field)[name] for frame in frames])
            error = np.abs(measured - expected)
            # Within 0.5 % of a milliampere; only where a stop begins between two samples of the
            # oscilloscope is a frame further off.
            assert np.quantile(error, 0.99) < 0.005
            assert error.max() < 0.05
        whole = np.sqrt(np.mean(seen[700:1190] ** 2))
        rms_ma = np.sqrt(np.mean([f.rms_ma[name] ** 2 for f in frames[700:1190]]))
        assert rms_ma == pytest.approx(whole, rel=0.005)
    assert frames[700].peak_ma["F4"] == 0.0


@pytest.mark.parametrize("frequency_hz", [1.0, 10.27, 40.0, 100.0])
def test_the_crest_is_met_at_every_frequency(tmp_path: Path, frequency_hz: float) -> None:
    session = Monitored(tmp_path)
    session.begin(program({1: 1.0, 2: 0.5}, frequency_hz=frequency_hz))
    session.to(3.0)
    trace = session.finish()
    for name, peak_ma in (("Oz", 1.0), ("F3", 0.5), ("Cz", 1.5)):
        assert session.peak_ma(1.0, 3.0, name) == pytest.approx(peak_ma, rel=0.005)
        seen = np.abs(trace.between(session.start_s + 1.0, session.start_s + 3.0, name))
        assert np.sqrt((seen**2).mean()) == pytest.approx(peak_ma / math.sqrt(2.0), rel=0.005)
        rms_ma = np.sqrt(np.mean([f.rms_ma[name] ** 2 for f in session.frames(1.0, 3.0)]))
        assert rms_ma == pytest.approx(peak_ma / math.sqrt(2.0), rel=0.005)
        assert abs(session.mean_ma(1.0, 3.0, name)) < 0.005


def test_the_instruments_do_not_disturb_each_other(tmp_path: Path) -> None:
    for name, rig in (("with", MONITORED), ("without", RIG)):
        session = Session(tmp_path / name, contacts=ALL, rig=rig)
        clock = session.clock
        if rig is MONITORED:
            monitor = ReferenceMonitor.over(
                session.emulator.monitor_transport, rig.monitor.electrodes
            )
            monitor.connect()
            monitor.start(NONCE)
        clock.wait(101.0)
        session.begin(program({1: 1.0, 2: 0.5}))
        session.to(23.0, ramp_s=10.0)
        session.driver.close()
        session.finish()
    traces = [(tmp_path / name / "current.tsv.gz").read_bytes() for name in ("with", "without")]
    assert traces[0] == traces[1]
    bench = session.emulator.bench
    assert len(bench.electrodes._states) == 1


@pytest.mark.parametrize("scoped", [True, False])
def test_what_both_have_seen_is_forgotten(tmp_path: Path, scoped: bool) -> None:
    clock = VirtualClock()
    trace = tmp_path / "t.tsv.gz" if scoped else None
    faults = [f"gain@{k}=1" for k in range(1, 60)]
    emulator = EmulatedSynthPal().in_memory(MONITORED, clock, ["Oz", "Cz"], trace, faults)
    emulator.transport.write(b"\xd5\x50\x01")
    clock.wait(60.5)
    emulator.transport.read(0, 0.0)
    clock.wait(75.0)
    emulator.transport.read(0, 0.0)
    assert len(emulator.bench.electrodes._states) == 1


def test_two_runs_are_the_same_to_the_byte(tmp_path: Path) -> None:
    heard = []
    for name in ("a", "b"):
        session, _ = run(tmp_path / name, "drying=Oz:30", "monitor_corrupt@1=3", until_s=1.5)
        heard.append((session.currents, session.contacts, session.statuses, session.monitor.counts))
    assert heard[0] == heard[1]


def test_times_numbers_and_periods(tmp_path: Path) -> None:
    session, _ = run(tmp_path, until_s=3.0)
    device_s = np.array([f.device_s for f in session.currents])
    np.testing.assert_allclose(np.diff(device_s), 0.01, atol=0.0011)
    assert device_s[-1] - device_s[0] == pytest.approx(0.01 * (len(device_s) - 1), abs=0.0011)
    boot_s = 100.0
    age_s = np.array([f.received_s - f.device_s for f in session.currents[60:]]) - boot_s
    assert 0.0 <= age_s.min() < age_s.max() < 0.022
    assert len(session.contacts) == len(session.currents) // 10
    assert len(session.statuses) == len(session.currents) // 100
    assert session.monitor.counts.accepted == sum(
        map(len, (session.currents, session.contacts, session.statuses))
    )
    assert session.currents[-1].seq + 1 >= session.monitor.counts.accepted - 2
    assert session.statuses[0] == MonitorStatus(session.statuses[0].received_s, 0.95, 7, ())


def test_what_the_host_does_not_fetch_is_lost_and_counted(tmp_path: Path) -> None:
    session = Monitored(tmp_path)
    session.begin()
    session.clock.wait(session.start_s + 60.0)
    session.hear()
    assert 0 < session.monitor.counts.accepted < 600
    session.clock.wait(session.clock.now_s() + 0.1)
    session.hear()
    assert session.monitor.counts.lost > 5000
    assert session.monitor.counts.corrupted == 0


# electrodes and stimulators


def impedance(session: Monitored, at_s: float, name: str) -> float:
    """Impedance that was known at an instant of the session."""
    found = [c for c in session.contacts if c.received_s <= session.start_s + at_s]
    return found[-1].impedance_kohm[name]


def test_impedances(tmp_path: Path) -> None:
    session, _ = run(
        tmp_path,
        "short@0.5=Oz",
        "open_electrode@1=F3",
        "impedance@1=Cz:12.5",
        contacts=["Oz=5", "Cz=7.5", "F3"],
    )
    assert [impedance(session, 0.45, name) for name in ALL] == [5.0, 7.5, 5.0, math.inf]
    assert impedance(session, 0.9, "Oz") == 0.1
    assert [impedance(session, 1.5, name) for name in ALL] == [0.1, 12.5, math.inf, math.inf]


def test_drying_raises_the_impedance_until_the_tops_are_cut_off(tmp_path: Path) -> None:
    session, trace = run(
        tmp_path, "drying@1=Oz:1200", contacts=["Oz=5", "Cz=5"], until_s=5.0
    )  # 20 kΩ a second: 1 mA needs 60 V in 60 kΩ, reached 2.5 s later
    for at_s in (2.0, 3.0, 4.5):
        measured = impedance(session, at_s, "Oz")
        assert measured == pytest.approx(5.0 + 20.0 * (at_s - 1.0), abs=20.0 * 0.13)
    assert impedance(session, 4.5, "Cz") == 5.0
    assert session.peak_ma(1.5, 3.4) == pytest.approx(1.0, rel=0.005)
    limit_ma = 60.0 / (10.0 + 20.0 * 3.5)
    assert session.peak_ma(4.5, 4.55) < limit_ma * 1.03
    seen = np.abs(trace.between(session.start_s + 4.5, session.start_s + 4.6))
    assert seen.max() == pytest.approx(limit_ma, rel=0.01)


def test_an_impedance_set_by_hand_ends_the_drying(tmp_path: Path) -> None:
    session, _ = run(tmp_path, "drying@0=Oz:60", "impedance@1=Oz:9", until_s=2.0)
    assert impedance(session, 0.9, "Oz") == pytest.approx(5.9, abs=0.15)
    assert impedance(session, 1.9, "Oz") == 9.0


def test_one_of_four_open(tmp_path: Path) -> None:
    session, trace = run(tmp_path, "open_electrode@1=F3")
    assert session.peak_ma(0.3, 1.0, "Cz") == pytest.approx(1.5, rel=0.005)
    assert session.peak_ma(1.1, 2.0, "F3") == 0.0
    assert session.peak_ma(1.1, 2.0, "Cz") == pytest.approx(1.0, rel=0.005)
    assert not trace.between(session.start_s + 1.002, session.start_s + 2.0, "F3").any()


def test_compliance_cuts_the_tops_off(tmp_path: Path) -> None:
    session, trace = run(tmp_path, "compliance@1=4", contacts=["Oz=5", "Cz=5"])
    assert session.peak_ma(0.3, 1.0) == pytest.approx(1.0, rel=0.005)
    assert session.peak_ma(1.1, 2.0) == pytest.approx(0.4, rel=0.005)
    rms_ma = np.sqrt(np.mean([f.rms_ma["Oz"] ** 2 for f in session.frames(1.1, 1.9)]))
    seen = trace.between(session.start_s + 1.1, session.start_s + 1.9)
    assert rms_ma == pytest.approx(np.sqrt(np.mean(seen**2)), rel=0.005)
    assert rms_ma > 0.4 / math.sqrt(2.0) * 1.1  # no sine any more


def test_a_leak_unbalances_the_currents(tmp_path: Path) -> None:
    session, trace = run(tmp_path, "leak@1=Oz:0.3", contacts=["Oz", "Cz"])
    before = trace.between(session.start_s, session.start_s + 1.0, "Oz") + trace.between(
        session.start_s, session.start_s + 1.0, "Cz"
    )
    after = trace.between(session.start_s + 1.0, session.start_s + 2.0, "Oz") + trace.between(
        session.start_s + 1.0, session.start_s + 2.0, "Cz"
    )
    assert not before.any()
    assert np.abs(after).max() == pytest.approx(0.3, abs=0.001)
    assert session.peak_ma(1.1, 2.0, "Oz") == pytest.approx(0.7, rel=0.005)
    assert session.peak_ma(1.1, 2.0, "Cz") == pytest.approx(1.0, rel=0.005)
    balance = [f.mean_ma["Oz"] + f.mean_ma["Cz"] for f in session.currents]
    assert max(map(abs, balance[-80:])) > 0.2
    assert max(map(abs, balance[:80])) < 1e-5


@pytest.mark.parametrize(
    ("fault", "peak_ma", "mean_ma"), [("gain@1=1.2", 1.2, 0.0), ("dc_offset@1=0.1", 1.1, 0.1)]
)
def test_wrong_stimulators_show_on_both(
    tmp_path: Path, fault: str, peak_ma: float, mean_ma: float
) -> None:
    session, trace = run(tmp_path, fault, contacts=["Oz", "Cz"])
    seen = trace.between(session.start_s + 1.1, session.start_s + 1.9)
    assert np.abs(seen).max() == pytest.approx(peak_ma, rel=0.005)
    assert session.peak_ma(1.1, 1.9) == pytest.approx(peak_ma, rel=0.005)
    assert session.mean_ma(1.1, 1.9) == pytest.approx(mean_ma, abs=0.002)


def test_stuck_outputs_and_a_restart_show(tmp_path: Path) -> None:
    session = Monitored(tmp_path / "stuck", faults=["stuck_output@1"])
    session.begin()
    session.to(1.5)
    session.driver.emergency_stop()
    session.clock.wait(session.clock.now_s() + 0.5)
    session.hear()
    assert session.currents[-1].peak_ma["Oz"] > 0.0
    assert max(f.peak_ma["Oz"] for f in session.currents[-30:]) == pytest.approx(1.0, rel=0.005)
    session = Monitored(tmp_path / "reboot", faults=["reboot@1"])
    session.begin()
    session.to(0.98)
    session.clock.wait(session.start_s + 1.5)
    session.hear()
    assert session.peak_ma(0.5, 0.98) == pytest.approx(1.0, rel=0.005)
    assert max(f.peak_ma["Oz"] for f in session.currents[-40:]) == 0.0


# the monitor's own faults


def test_a_stuck_monitor_repeats_its_values_with_new_numbers(tmp_path: Path) -> None:
    session, trace = run(tmp_path, "monitor_stuck@1")
    last = session.frames(1.1, 2.0)
    assert len({(f.mean_ma["Oz"], f.peak_ma["Oz"], f.rms_ma["Oz"]) for f in last}) == 1
    assert all(b.seq > a.seq and b.device_s > a.device_s for a, b in pairwise(last))
    assert len({f.peak_ma["Oz"] for f in session.frames(0.5, 1.0)}) > 3
    assert np.ptp(trace.between(session.start_s + 1.1, session.start_s + 2.0)) > 1.9
    assert session.monitor.counts.duplicated == 0


def test_a_frozen_monitor_repeats_its_last_frame(tmp_path: Path) -> None:
    session, _ = run(tmp_path, "monitor_stuck@1=frozen")
    assert session.frames(1.1, 2.0) == []
    assert session.monitor.counts.duplicated > 80


def test_a_silent_monitor(tmp_path: Path) -> None:
    session, _ = run(tmp_path, "monitor_silent@1")
    assert session.frames(1.02, 2.0) == []
    with pytest.raises(LinkLost, match="does not answer"):
        session.monitor.stop()


def test_a_monitor_silent_from_power_on_is_not_found(tmp_path: Path) -> None:
    session = Monitored(tmp_path, faults=["monitor_silent@on"])
    with pytest.raises(DeviceNotFound, match="no reference monitor answers"):
        session.monitor.connect()


@pytest.mark.parametrize(
    ("fault", "counts"),
    [
        ("monitor_lose@1=5", {"lost": 5}),
        ("monitor_corrupt@1=5", {"lost": 5, "corrupted": 5}),
        ("monitor_duplicate@1=5", {"duplicated": 5}),
        ("monitor_reorder@1=5", {"lost": 5, "reordered": 5}),
        ("monitor_replay@1=5", {"foreign": 5}),
        ("monitor_garbage@1=300", {"corrupted": 1}),
    ],
)
def test_frames_that_go_wrong_are_counted_as_what_they_are(
    tmp_path: Path, fault: str, counts: dict[str, int]
) -> None:
    session, _ = run(tmp_path, fault)
    found = session.monitor.counts
    expected = {"corrupted": 0, "lost": 0, "duplicated": 0, "reordered": 0, "foreign": 0} | counts
    assert {name: getattr(found, name) for name in expected} == expected
    assert all(b.seq > a.seq for a, b in pairwise(session.currents))
    assert session.peak_ma(1.5, 2.0) == pytest.approx(1.0, rel=0.005)


def test_replayed_frames_have_good_checks_and_the_nonce_of_an_earlier_stream(
    tmp_path: Path,
) -> None:
    session = Monitored(tmp_path, faults=["monitor_replay@0.1=3"])
    session.monitor.connect()
    session.monitor.start(0xE4)
    session.begin()
    session.to(0.3)
    assert session.monitor_firmware._earlier_nonce == 0xE4
    assert session.monitor.counts.foreign == 3
    assert session.monitor.counts.corrupted == 0


def test_late_frames_keep_their_device_time(tmp_path: Path) -> None:
    session, _ = run(tmp_path, "monitor_delay@1=0.4")
    boot_s = 100.0
    age_s = [f.received_s - f.device_s - boot_s for f in session.frames(1.5, 2.0)]
    assert min(age_s) >= 0.4
    assert max(age_s) < 0.425
    assert session.monitor.counts.lost == 0


def test_an_unplugged_monitor(tmp_path: Path) -> None:
    session = Monitored(tmp_path, faults=["monitor_unplug@0.5"])
    session.begin()
    with pytest.raises(LinkLost, match="gone"):
        session.to(1.0)
    session.driver.extend_lease(session.elapsed_s, 1.0)  # the stimulator has a link of its own
    session.monitor.close()


def test_a_restarted_monitor_says_so_and_waits(tmp_path: Path) -> None:
    session, _ = run(tmp_path, "monitor_reboot@1", until_s=2.5)
    assert session.frames(1.05, 2.5) == []
    assert [s.boot_count for s in session.statuses] == [7] * (len(session.statuses) - 1) + [8]
    assert session.statuses[-1].received_s - session.start_s == pytest.approx(1.5, abs=0.025)
    assert session.monitor.connect().details["boot_count"] == 8
    session.monitor.start(NONCE + 1)
    session.clock.wait(session.clock.now_s() + 0.1)
    assert session.monitor.poll(0.0) != []


def test_a_monitor_off_its_calibration_does_not_change_the_current(tmp_path: Path) -> None:
    session, trace = run(tmp_path, "monitor_gain@1=1.15")
    seen = trace.between(session.start_s + 1.1, session.start_s + 1.9)
    assert np.abs(seen).max() == pytest.approx(1.0, rel=0.005)
    assert session.peak_ma(0.5, 1.0) == pytest.approx(1.0, rel=0.005)
    assert session.peak_ma(1.1, 1.9) == pytest.approx(1.15, rel=0.005)


def test_battery(tmp_path: Path) -> None:
    session, _ = run(tmp_path, "battery@on=420", "battery@1.5=150", until_s=3.0)
    assert [(s.battery, s.flags) for s in session.statuses] == [
        (0.42, ()),
        (0.15, ("low_battery",)),
        (0.15, ("low_battery",)),
    ]


def test_currents_beyond_the_range_are_cut_off_and_flagged(tmp_path: Path) -> None:
    session, _ = run(
        tmp_path, "gain@0=40", "gain@2.1=1", contacts=["Oz=0.5", "Cz=0.5"], until_s=4.5
    )
    assert session.peak_ma(1.0, 2.0) == 25.0
    assert [s.flags for s in session.statuses][:2] == [("over_range",)] * 2
    assert session.statuses[-1].flags == ()


def test_another_version_is_refused_by_name(tmp_path: Path) -> None:
    session = Monitored(tmp_path, faults=["monitor_version=2"])
    with pytest.raises(DeviceNotFound, match="another version of the protocol"):
        session.monitor.connect()


def test_requests_with_a_turned_bit_are_not_answered(tmp_path: Path) -> None:
    session = Monitored(tmp_path)
    firmware = session.monitor_firmware
    for request in (encode(HELLO, 3), encode(START, 4, (9).to_bytes(8, "little"))):
        for place in range(8 * len(request)):
            turned = bytearray(request)
            turned[place // 8] ^= 1 << place % 8
            firmware.receive(bytes(turned), 200.0)
            firmware._buffer.clear()
    assert firmware.take(300.0) == b""
    assert not firmware.streaming
    firmware.receive(b"\xa5\xa5" + encode(HELLO, 3), 200.0)
    assert len(FrameReader().feed(firmware.take(300.0))) == 1


@given(st.lists(st.binary(max_size=200) | st.sampled_from([b"\xa5\x5a", encode(HELLO, 1)[:20]])))
def test_no_request_raises_and_little_is_held(pieces: list[bytes]) -> None:
    bench = SynthPalBench(MONITORED, ["Oz", "Cz"], None, [], 0.0)
    assert bench.monitor is not None
    for piece in pieces:
        bench.monitor.receive(piece, 1.0)
        assert len(bench.monitor.firmware._buffer) <= 64


def test_a_repeated_start_changes_nothing(tmp_path: Path) -> None:
    session = Monitored(tmp_path)
    session.begin()
    session.to(0.5)
    session.emulator.monitor_transport.write(encode(START, 99, NONCE.to_bytes(8, "little")))
    session.to(1.0)
    assert session.monitor.counts.lost == session.monitor.counts.duplicated == 0
    assert len(session.currents) > 95


# the link of the stimulator


def amplitude_uv(session: Session) -> int:
    return session.firmware.channels[0].settings.amplitude_uv


def test_late_commands_are_carried_out_in_order_when_they_arrive(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["late@1=0.4"])
    session.begin()
    session.to(0.98)
    session.clock.wait(session.start_s + 1.1)
    with pytest.raises(UncertainDelivery, match="no full answer"):
        session.driver.set_level(0.5)
    assert amplitude_uv(session) == pytest.approx(1_000_000, abs=400)
    session.clock.wait(session.start_s + 1.49)
    session.emulator.transport.read(0, 0.0)
    assert amplitude_uv(session) == pytest.approx(1_000_000, abs=400)
    session.clock.wait(session.start_s + 1.51)
    session.emulator.transport.read(0, 0.0)
    assert amplitude_uv(session) == pytest.approx(500_000, abs=400)


def test_a_reply_that_comes_after_the_next_one(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["reorder@1"])
    session.begin()
    session.to(0.98)
    session.clock.wait(session.start_s + 1.1)
    transport = session.emulator.transport
    transport.write(b"\xd5\x48")
    assert transport.read(5, 0.2) == b""
    transport.write(b"\xd5\x47")
    heard = transport.read(100, 0.2)
    assert len(heard) == 17 + 5
    assert heard.endswith(b"S\x01\x00\x00\x00")
    assert heard[0] == 1  # output 1 plays: the status came first
    session.driver.set_level(0.5)  # and the link is in step
    assert amplitude_uv(session) == pytest.approx(500_000, abs=400)


def test_a_turned_bit_in_a_command_is_not_seen_by_the_device(tmp_path: Path) -> None:
    changed = 0
    for n in range(24):
        bench = SynthPalBench(RIG, ["Oz", "Cz"], None, ["corrupt_command@on=99"], 0.0)
        bench.line._n_flipped = n
        before = bench.firmware.channels[0].settings
        bench.receive(b"\xd5\x41" + (1_000_000).to_bytes(4, "little") * 4, 0.0)
        settings = [channel.settings.amplitude_uv for channel in bench.firmware.channels]
        answer = bench.take(0.1)
        if answer == b"\x01" and settings != [1_000_000] * 4:
            changed += 1
        assert settings != [1_000_000] * 4 or before != bench.firmware.channels[0].settings
    assert changed > 8  # taken, confirmed, and wrong


def test_a_stalled_device_loses_what_is_sent(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["stall@1=0.5"])
    session.begin()
    session.to(0.98)
    session.clock.wait(session.start_s + 1.1)
    with pytest.raises(UncertainDelivery):
        session.driver.set_level(0.5)
    session.clock.wait(session.start_s + 1.6)
    assert amplitude_uv(session) == pytest.approx(1_000_000, abs=400)
    session.driver.set_level(0.25)
    assert amplitude_uv(session) == pytest.approx(250_000, abs=400)


def test_a_flapping_link_loses_bytes_half_of_the_time(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["link_flap@1=1"])
    session.begin(lease_s=30.0)
    session.clock.wait(session.start_s + 0.9)
    transport = session.emulator.transport
    answered = []
    for tenth in range(9, 40):
        session.clock.wait(session.start_s + tenth / 10 + 0.05)
        transport.write(b"\xd5\x48")
        answered.append(len(transport.read(5, 0.02)) == 5)
    assert answered == [True] + ([False] * 5 + [True] * 5) * 3
    session.clock.wait(session.start_s + 4.05)
    with pytest.raises(DeviceError):
        session.driver.set_level(0.5)


# the table


def test_faults_of_a_monitor_need_one() -> None:
    for name in MONITOR_FAULTS:
        with pytest.raises(InputError, match="has no current monitor") as refusal:
            SynthPalBench(RIG, ["Oz", "Cz"], None, [f"{name}=1"], 0.0)
        assert "emulated-synthpal-monitored" in str(refusal.value)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("drying=Oz", "could not convert"),
        ("drying=Oz:-3", "more than 0"),
        ("leak=Oz:1.5", "at most 1"),
        ("leak=Oz:0", "more than 0"),
        ("leak=P9:0.5", "not attached"),
        ("compliance=0", "more than 0"),
        ("link_flap=0", "more than 0"),
        ("stall=-1", "negative"),
        ("late=-1", "negative"),
        ("battery=1001", "from 0 to 1000"),
        ("monitor_stuck=sometimes", "neither values nor frozen"),
        ("monitor_delay=nan", "finite"),
        ("monitor_version@3=2", "takes no time"),
        ("gain@off=2", "@on"),
    ],
)
def test_values_that_cannot_be(fault: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        SynthPalBench(MONITORED, ["Oz", "Cz"], None, [fault], 0.0)
    assert fault in str(refusal.value)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_whole_table_can_be_read_with_its_defaults() -> None:
    values = {"open_electrode": "Oz", "short": "Oz", "leak": "Oz:0.1", "wrong_firmware": "K"}
    values |= {"impedance": "Oz:9", "drying": "Oz:9", "link_flap": "1", "compliance": "9"}
    for name, kind in FAULTS.items():
        value = kind.default if kind.default is not None else values.get(name, "1")
        text = f"{name}={value}" if value else name
        bench = SynthPalBench(MONITORED, ["Oz", "Cz"], None, [text], 0.0)
        bench.receive(b"\xd5\x50\x01", 0.5)
        bench.advance(2.0)
        assert bench._to_come == []


def test_faults_from_power_on_are_there_before_anything_plays() -> None:
    bench = SynthPalBench(MONITORED, ["Oz", "Cz"], None, ["short@on=Oz", "impedance=Cz:9"], 0.0)
    assert bench.electrodes.impedance_kohm("Oz", 0.0) == 0.1
    assert bench.electrodes.impedance_kohm("Cz", 10.0) == 5.0  # not before the start


def changed_rig(**monitor: object) -> Rig:
    data = MONITORED.to_data()
    return Rig.from_data({**data, "monitor": {**data["monitor"], **monitor}}, "rig")


def test_monitors_without_an_emulator() -> None:
    with pytest.raises(InputError, match="'other': has no emulator; emulated: refmonitor"):
        SynthPalBench(changed_rig(device="other"), ["Oz", "Cz"], None, [], 0.0)
    inputs = [{"input": 6 + k, "electrode": name} for k, name in enumerate(ALL)]
    with pytest.raises(InputError, match=r"input 9 \(F4\): the emulated refmonitor has 8"):
        SynthPalBench(changed_rig(inputs=inputs), ["Oz", "Cz"], None, [], 0.0)


def test_a_rig_without_a_monitor_has_no_second_link() -> None:
    emulator = EmulatedSynthPal().in_memory(RIG, VirtualClock(), ["Oz", "Cz"], None, [])
    assert emulator.monitor_transport is None
    assert emulator.monitor_address is None


# processes on real ports


def held(process: EmulatorProcess) -> None:
    """Play for half a second and compare what the monitor says of it."""
    clock = MonotonicClock()
    assert process.monitor_transport is None
    assert process.monitor_address is not None
    assert process.monitor_address != process.address
    driver = SynthPal.open(process.address, MONITORED, clock)
    monitor = ReferenceMonitor.open(process.monitor_address, MONITORED.monitor.electrodes, clock)
    driver.connect()
    assert monitor.connect().model == "Reference monitor"
    driver.configure(program())
    monitor.start(NONCE)
    driver.start(2.0)
    driver.set_level(1.0)
    full_s = clock.now_s()
    frames: list[CurrentFrame] = []
    deadline_s = full_s + 10.0
    while len(frames) < 60:
        assert clock.now_s() < deadline_s
        clock.wait(clock.now_s() + 0.02)
        heard = monitor.poll(clock.now_s())
        frames += [m for m in heard if isinstance(m, CurrentFrame) and m.received_s > full_s + 0.1]
    driver.emergency_stop()
    driver.close()
    assert max(f.peak_ma["Oz"] for f in frames) == pytest.approx(1.0, rel=0.005)
    assert max(f.peak_ma["F3"] for f in frames) == 0.0
    counts = monitor.counts
    assert (counts.corrupted, counts.lost, counts.duplicated, counts.foreign) == (0, 0, 0, 0)
    monitor.close()


@pytest.mark.parametrize("tcp", [True, False])
def test_the_process_has_a_second_port(tmp_path: Path, tcp: bool) -> None:
    rig = shipped_rigs()["emulated-synthpal-monitored"]
    trace = tmp_path / "current.tsv.gz"
    process = start_process("devices.emulators.synthpal", rig, ALL, trace, [], tcp=tcp)
    try:
        held(process)
    finally:
        info = process.finish()
    assert info is not None
    assert info.columns == ALL


def listen(monitor: ReferenceMonitor, clock: MonotonicClock, until_s: float) -> None:
    while clock.now_s() < until_s:
        clock.wait(clock.now_s() + 0.02)
        monitor.poll(clock.now_s())


def test_a_monitor_unplugged_from_its_process(tmp_path: Path) -> None:
    rig = shipped_rigs()["emulated-synthpal-monitored"]
    process = EmulatedSynthPal().as_process(rig, ["Oz", "Cz"], None, ["monitor_unplug@0.2"])
    clock = MonotonicClock()
    try:
        driver = SynthPal.open(process.address, MONITORED, clock)
        monitor = ReferenceMonitor.open(process.monitor_address, {1: "Oz"}, clock)
        driver.connect()
        monitor.connect()
        monitor.start(NONCE)
        driver.configure(program())
        driver.start(1.0)
        deadline_s = clock.now_s() + 10.0
        with pytest.raises(LinkLost):
            listen(monitor, clock, deadline_s)
        assert driver.status() is not None
        monitor.close()
        driver.close()
    finally:
        process.finish()


def test_a_rig_without_a_monitor_starts_no_second_port() -> None:
    process = EmulatedSynthPal().as_process(
        shipped_rigs()["emulated-synthpal"], ["Oz", "Cz"], None, []
    )
    try:
        assert process.monitor_address is None
    finally:
        process.finish()
