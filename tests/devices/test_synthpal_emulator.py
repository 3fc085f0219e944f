from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from devices.emulators.synthpal import EmulatedSynthPal
from devices.emulators.synthpal_bench import FAULTS, SynthPalBench
from devices.emulators.synthpal_firmware import Firmware
from tacs.clock import VirtualClock
from tacs.driver import find_driver, find_emulator
from tacs.errors import InputError
from tests.devices.bench import RIG, Session, read_trace

STEP_5V = 10.0 / 65_536


class Device:
    """The firmware alone, spoken to in values."""

    def __init__(self) -> None:
        self.firmware = Firmware(0.0)
        self.now_s = 0.0

    def send(self, op: int, layout: str = "", *values: int) -> bytes:
        self.firmware.receive(bytes([213, op]) + struct.pack("<" + layout, *values), self.now_s)
        return self.firmware.take(self.now_s + 0.01)

    def ok(self, op: int, layout: str, *values: int) -> None:
        assert self.send(op, layout, *values)[:1] == b"\x01"

    def settings(self) -> bytes:
        return self.send(82)

    def playing(self) -> int:
        return self.send(71)[0]

    def to(self, now_s: float) -> Device:
        self.now_s = now_s
        self.firmware.advance(now_s)
        return self

    def volts(self, start_s: float, end_s: float, channel: int = 1, rate_hz: float = 1000.0):
        times_s = np.arange(round((end_s - start_s) * rate_hz)) / rate_hz + start_s
        return self.firmware.channels[channel - 1].volts(times_s)


def tuned(on_us: int = 0, play_us: int = 2_000_000, off_us: int = 0) -> Device:
    """1 Vpp at 10 Hz on every output."""
    device = Device()
    device.ok(70, "I", 1000)
    device.ok(65, "4i", *[1_000_000] * 4)
    device.ok(68, "4I", *[play_us] * 4)
    device.ok(66, "4I", *[on_us] * 4)
    device.ok(69, "4I", *[off_us] * 4)
    return device


def sine(times_s: NDArray[np.float64], frequency_hz: float = 10.0) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * times_s)


def last_nonzero_s(volts: NDArray[np.float64], rate_hz: float = 1000.0) -> float:
    return float(np.flatnonzero(np.abs(volts) > STEP_5V / 2)[-1]) / rate_hz


def test_after_power_on_a_trigger_gives_five_volts_for_a_second() -> None:
    device = Device()
    device.firmware.ttl(1, True, 1.0)
    assert device.to(1.0).playing() == 0b1111
    volts = device.to(3.0).volts(0.0, 3.0, channel=3, rate_hz=10_000)
    assert volts.max() == pytest.approx(2.5, abs=STEP_5V)
    assert volts.min() == pytest.approx(-2.5, abs=STEP_5V)
    assert not volts[:10_000].any()
    assert last_nonzero_s(volts, 10_000) == pytest.approx(2.0, abs=0.001)
    assert device.playing() == 0


@pytest.mark.parametrize(
    ("centihz", "samples_per_cycle"),
    [(100, 100_000), (10_000, 1000), (30_000, 332), (50_000, 200), (1_260_000, 4), (2_000_000, 4)],
)
def test_samples_per_cycle_of_the_protocol_page(centihz: int, samples_per_cycle: int) -> None:
    assert Device().send(70, "I", centihz) == b"\x01" + struct.pack("<I", samples_per_cycle)


@pytest.mark.parametrize(
    ("op", "layout", "values"),
    [
        (70, "I", [99]),
        (70, "I", [2_000_001]),
        (87, "4B", [0, 0, 0, 5]),
        (65, "4i", [20_000_001, 0, 0, 0]),
        (65, "4i", [0, -1, 0, 0]),
        (77, "4i", [7_500_001, 0, 0, 0]),  # with the 5 Vpp that the output holds
        (77, "4i", [0, -10_000_001, 0, 0]),
        (86, "4i", [0, 0, 10_000_001, 0]),
        (68, "4I", [3_600_000_001, 0, 0, 0]),
        (66, "4I", [0, 3_600_000_001, 0, 0]),
        (69, "4I", [0, 0, 0, 3_600_000_001]),
        (84, "2B", [0, 4]),
        (73, "8B", [0, 0, 2, 0, 0, 0, 0, 0]),
        (85, "I4B4i4i4i4I4I4I8B2B", [1000, *[0] * 4, *[20_000_001] * 4, *[0] * 30]),
        (
            85,
            "I4B4i4i4i4I4I4I8B2B",
            [1000, *[0] * 4, *[1_000_000] * 4, *[9_500_001] * 4, *[0] * 26],
        ),
        (99, "BH", [2, 10]),
        (99, "BH", [1, 0]),
    ],
)
def test_a_refused_command_changes_nothing(op: int, layout: str, values: list[int]) -> None:
    device = Device()
    before = device.settings()
    reply = device.send(op, layout, *values)
    assert reply == (b"\x00\xe8\x03\x00\x00" if op == 70 else b"\x00")
    assert device.settings() == before


def test_levels_are_checked_against_what_is_held() -> None:
    device = Device()
    assert device.send(77, "4i", *[7_500_000] * 4) == b"\x01"
    assert device.send(65, "4i", *[5_000_001] * 4) == b"\x00"
    assert device.send(77, "4i", *[0] * 4) == b"\x01"
    assert device.send(65, "4i", *[20_000_000] * 4) == b"\x01"
    assert device.send(87, "4B", *[4] * 4) == b"\x00"  # 20 V fixed is beyond 10 V
    assert device.send(65, "4i", *[10_000_000] * 4) == b"\x01"
    assert device.send(87, "4B", *[4] * 4) == b"\x01"
    assert device.send(65, "4i", *[-10_000_000] * 4) == b"\x01"
    assert device.send(87, "4B", *[0] * 4) == b"\x00"  # a sine takes no negative amplitude


def test_bytes_before_a_command_and_unknown_ops_are_ignored() -> None:
    device = Device()
    device.firmware.receive(b"\x00\x48\xff" + b"\xd5\x01" + b"\xd5\x48", 0.0)
    assert device.firmware.take(0.01) == b"S\x01\x00\x00\x00"


def test_a_command_may_come_in_pieces_less_than_a_tenth_of_a_second_apart() -> None:
    device = Device()
    command = bytes([213, 70]) + struct.pack("<I", 1000)
    for k, byte in enumerate(command):
        device.firmware.receive(bytes([byte]), 0.09 * k)
    assert device.firmware.take(1.0) == b"\x01" + struct.pack("<I", 10_000)


def test_a_gap_inside_a_command_stops_everything_and_locks_until_a_click() -> None:
    device = tuned(play_us=0, off_us=500_000)
    device.send(80, "B", 0b1111)
    device.to(1.0).firmware.receive(b"\xd5\x41\x00", 1.0)
    device.to(1.09)
    assert not device.firmware.locked
    device.to(1.11)
    assert device.firmware.locked
    assert device.firmware.screen == "COMM. FAILURE!"
    assert device.send(72) == b""
    volts = device.to(3.0).volts(0.0, 3.0)
    assert last_nonzero_s(volts) == pytest.approx(1.6, abs=0.003)  # gap at 1.1 s, off-ramp 0.5 s
    device.firmware.click(3.0)
    assert device.send(72) == b"S\x01\x00\x00\x00"
    assert device.settings() == Device().settings()


def test_play_duration_counts_from_the_end_of_the_on_ramp() -> None:
    device = tuned(on_us=300_000, play_us=400_000, off_us=200_000)
    device.send(80, "B", 0b0010)
    assert device.to(0.899).playing() == 0b0010  # the off-ramp counts as playing
    assert device.to(0.901).playing() == 0
    times_s = np.arange(1000) / 1000.0
    envelope = np.interp(times_s, [0.0, 0.3, 0.7, 0.9], [0.0, 1.0, 1.0, 0.0])
    np.testing.assert_allclose(
        device.volts(0.0, 1.0, channel=2), envelope * sine(times_s), atol=STEP_5V
    )
    assert not device.volts(0.0, 1.0, channel=1).any()


def test_a_stop_in_the_on_ramp_falls_from_there_at_the_rate_of_the_off_ramp() -> None:
    device = tuned(on_us=1_000_000, off_us=800_000)
    device.send(80, "B", 1)
    device.to(0.5).send(88, "B", 1)
    assert device.to(0.899).playing() == 1
    assert device.to(0.901).playing() == 0
    times_s = np.arange(1000) / 1000.0
    envelope = np.interp(times_s, [0.0, 0.5, 0.9], [0.0, 0.5, 0.0])
    np.testing.assert_allclose(device.volts(0.0, 1.0), envelope * sine(times_s), atol=STEP_5V)


def test_a_start_in_the_off_ramp_rises_from_there_and_keeps_its_place_in_the_cycle() -> None:
    device = tuned(on_us=1_000_000, play_us=10_000_000, off_us=1_000_000)
    device.send(80, "B", 1)
    device.to(2.03).send(88, "B", 1)
    device.to(2.53).send(80, "B", 1)
    times_s = np.arange(4000) / 1000.0
    envelope = np.interp(times_s, [0.0, 1.0, 2.03, 2.53, 3.03], [0.0, 1.0, 1.0, 0.5, 1.0])
    volts = device.to(4.0).volts(0.0, 4.0)
    np.testing.assert_allclose(volts, envelope * sine(times_s), atol=STEP_5V)


def test_without_an_on_ramp_such_a_start_is_at_full_amplitude_at_once() -> None:
    device = tuned(off_us=1_000_000)
    device.send(80, "B", 1)
    device.to(0.5).send(88, "B", 1)
    device.to(1.0).send(80, "B", 1)
    assert device.to(2.0).volts(1.0, 2.0).max() == pytest.approx(0.5, abs=STEP_5V)


def test_settings_take_effect_at_once_while_playing() -> None:
    device = tuned(play_us=10_000_000, off_us=1_000_000)
    device.send(80, "B", 1)
    device.to(1.025).ok(65, "4i", 500_000, 0, 0, 0)
    device.to(1.525).ok(68, "4I", *[1_000_000] * 4)  # already played longer: falls from here
    device.to(2.025).ok(69, "4I", *[100_000] * 4)  # from level 0.5 in half of 0.1 s
    times_s = np.arange(3000) / 1000.0
    envelope = np.interp(times_s, [0.0, 1.525, 2.025, 2.075], [1.0, 1.0, 0.5, 0.0])
    amplitude = np.where(times_s < 1.025, 1.0, 0.5)
    volts = device.to(3.0).volts(0.0, 3.0)
    np.testing.assert_allclose(volts, amplitude * envelope * sine(times_s), atol=STEP_5V)


def test_a_new_on_ramp_goes_on_from_the_level_reached() -> None:
    device = tuned(on_us=2_000_000)
    device.send(80, "B", 1)
    device.to(1.0).ok(66, "4I", *[500_000] * 4)  # from 0.5 in a quarter of a second
    times_s = np.arange(2000) / 1000.0
    envelope = np.interp(times_s, [0.0, 1.0, 1.25], [0.0, 0.5, 1.0])
    np.testing.assert_allclose(
        device.to(2.0).volts(0.0, 2.0), envelope * sine(times_s), atol=STEP_5V
    )


def test_a_new_frequency_keeps_the_place_in_the_cycle_and_the_time_left() -> None:
    device = tuned(play_us=1_500_000)
    device.send(80, "B", 1)
    device.to(0.537).ok(70, "I", 1_313)
    volts = device.to(2.0).volts(0.0, 2.0, rate_hz=10_000)
    times_s = np.arange(20_000) / 10_000
    cycles = np.where(times_s < 0.537, 10.0 * times_s, 5.37 + 13.13 * (times_s - 0.537))
    expected = np.where(times_s < 1.5, 0.5 * np.sin(2 * np.pi * cycles), 0.0)
    slope_v = 0.5 * 2 * np.pi * 13.13 / 76_160 / 13.13  # half a volt, one held sample
    np.testing.assert_allclose(volts, expected, atol=STEP_5V + 10 * slope_v)
    assert last_nonzero_s(volts, 10_000) == pytest.approx(1.5, abs=0.001)


@pytest.mark.parametrize(
    ("amplitude_uv", "mean_uv", "resting_uv", "output_range", "step_v"),
    [
        (5_000_000, 2_500_000, 0, 0, 5 / 65_536),
        (5_000_000, 2_500_001, 0, 1, 10 / 65_536),
        (5_000_000, 0, 0, 2, 10 / 65_536),
        (1_000_000, 2_000_000, -1, 2, 10 / 65_536),
        (10_000_002, 0, 0, 3, 20 / 65_536),
        (0, 0, 0, 0, 5 / 65_536),
    ],
)
def test_the_first_range_that_holds_the_levels_sets_the_step(
    amplitude_uv: int, mean_uv: int, resting_uv: int, output_range: int, step_v: float
) -> None:
    device = tuned()
    device.ok(77, "4i", *[mean_uv] * 4)
    device.ok(65, "4i", *[amplitude_uv] * 4)
    device.ok(86, "4i", *[resting_uv] * 4)
    assert device.send(71)[5:9] == bytes([output_range] * 4)
    device.send(80, "B", 1)
    volts = device.to(1.0).volts(0.0, 1.0)
    codes = volts / step_v
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-6)
    # The top of a range is one step above the highest code.
    assert volts.max() == pytest.approx((mean_uv + amplitude_uv / 2) / 1e6, abs=step_v)


@pytest.mark.parametrize(
    ("code", "quarters"),
    [(1, [0.0, 0.5, 0.0, -0.5]), (2, [0.5, 0.5, -0.5, -0.5]), (3, [-0.5, -0.25, 0.0, 0.25])],
)
def test_other_waveforms(code: int, quarters: list[float]) -> None:
    device = tuned()
    device.ok(87, "4B", *[code] * 4)
    device.send(80, "B", 1)
    volts = device.to(0.2).volts(0.0, 0.1)
    np.testing.assert_allclose(volts[[0, 25, 50, 75]], quarters, atol=STEP_5V + 1e-4)


def test_a_fixed_voltage_ramps_from_the_resting_voltage() -> None:
    device = tuned(on_us=500_000, play_us=500_000)
    device.ok(87, "4B", *[4] * 4)
    device.ok(65, "4i", *[-2_000_000] * 4)
    device.ok(86, "4i", *[1_000_000] * 4)
    device.send(80, "B", 1)
    volts = device.to(2.0).volts(0.0, 2.0)
    np.testing.assert_allclose(
        volts[[0, 250, 500, 900, 1100]], [1.0, -0.5, -2.0, -2.0, 1.0], atol=STEP_5V
    )


def test_trigger_modes() -> None:
    device = tuned(play_us=0)
    device.ok(84, "2B", 1, 2)
    device.ok(73, "8B", 1, 0, 0, 0, 0, 1, 1, 0)
    device.firmware.ttl(1, True, 0.1)
    device.firmware.ttl(1, False, 0.2)
    assert device.to(0.3).playing() == 0b0001
    device.firmware.ttl(1, True, 0.4)  # toggle
    assert device.to(0.5).playing() == 0
    device.firmware.ttl(2, True, 0.6)
    assert device.to(0.7).playing() == 0b0110
    device.firmware.ttl(2, False, 0.8)  # gated
    assert device.to(0.9).playing() == 0


def test_param_sync_stores_a_set_until_the_edge() -> None:
    device = tuned(play_us=500_000)
    device.ok(84, "2B", 0, 3)
    before = device.settings()
    device.send(80, "B", 1)
    stored = [2000, *[2] * 4, *[500_000] * 4, *[0] * 8, *[900_000] * 4, *[0] * 8, *[0] * 8, 0, 0]
    device.to(0.1).ok(85, "I4B4i4i4i4I4I4I8B2B", *stored)
    assert device.settings() == before
    device.firmware.ttl(2, True, 0.2)
    held = struct.unpack("<I4B4i4i4i4I4I4I8B2B", device.to(0.3).settings())
    assert held[0] == 2000
    assert held[1:5] == (0, 2, 2, 2)  # output 1 plays on with the old ones
    assert held[37:] == (0, 0)
    assert struct.unpack("<I4B", device.to(0.6).settings()[:8])[1:] == (2, 2, 2, 2)


def test_checksums_count_the_samples_and_sum_their_codes() -> None:
    device = tuned(play_us=250_000)
    device.send(80, "B", 0b0001)
    reply = struct.unpack("<8I", device.to(1.0).send(90))
    k = np.arange(25_000)  # 100 kHz for a quarter of a second
    offset = 0.5 * np.sin(2 * np.pi * (k % 10_000) / 10_000) / STEP_5V
    codes = 32_768 + np.copysign(np.floor(np.abs(offset) + 0.5), offset)
    assert reply[0] == 25_000
    assert reply[1:4] == (0, 0, 0)
    assert reply[4] == pytest.approx(int(codes.sum()) % 2**32, abs=2)


@given(data=st.lists(st.binary(max_size=40) | st.sampled_from([b"\xd5P\x0f", b"\xd5A", b"\xd5"])))
@example(data=[b"\xd5P", b"\x01"])
@example(data=[b"\xd5A", b"\xd5P\x0f"])
def test_no_stream_of_bytes_raises_or_starts_without_a_start(data: list[bytes]) -> None:
    firmware = Firmware(0.0)
    for k, piece in enumerate(data):
        firmware.receive(piece, 0.05 * k)
        if firmware.playing:
            assert b"\xd5P" in b"".join(data[: k + 1])
        firmware.take(0.05 * k)
    firmware.advance(1e4)
    assert all(math.isfinite(c.level(1e4)) for c in firmware.channels)


def test_the_trace_is_the_analytic_waveform_within_one_step(tmp_path: Path) -> None:
    session = Session(tmp_path, contacts=["Oz", "Cz"])
    session.begin()
    session.to(3.0, ramp_s=2.0)
    trace = session.finish()  # the lease of 2.8 + 1 s runs out, then 0.8 s of off-ramp
    t = trace.times_s - session.start_s
    level = np.floor(np.clip(t, 0.0, 2.0) * 50 + 1e-6) / 100.0
    level *= np.interp(t, [3.8, 4.6], [1.0, 0.0])
    expected = np.where(t > 0.0, level * np.sin(2 * np.pi * 10.27 * t), 0.0)
    steps = (t > 0) & (t < 2.03) & (np.abs(t * 50 - np.rint(t * 50)) < 0.02)
    slope = 2 * np.pi * 10.27 * 1e-5  # mA in one sample of 10 µs
    error = np.abs(trace.currents_ma["Oz"] - expected)[~steps]
    assert error.max() < 2.0 * STEP_5V + slope + 1e-4
    np.testing.assert_array_equal(trace.currents_ma["Oz"], -trace.currents_ma["Cz"])


def test_two_runs_are_the_same_to_the_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        session = Session(tmp_path / name)
        session.begin()
        session.to(1.0, ramp_s=0.5)
        session.driver.close()
        session.finish()
    files = [(tmp_path / name / "current.tsv.gz").read_bytes() for name in ("a", "b")]
    assert files[0] == files[1]


def held(tmp_path: Path, fault: str, *, seconds: float = 2.0, contacts=("Oz", "Cz", "F3")):
    """One second at full level, the fault, one second more; currents 0.1 s after the fault on."""
    session = Session(tmp_path, contacts=contacts, faults=[fault])
    session.begin()
    session.to(seconds)
    start_s = session.start_s
    session.driver.close()
    trace = session.finish()
    before = trace.between(start_s + 0.3, start_s + 1.0)
    after = trace.between(start_s + 1.1, start_s + seconds)
    return before, after


def test_faults_of_the_chain_show_on_the_trace(tmp_path: Path) -> None:
    peak_ma = pytest.approx(1.0, abs=4e-4)
    for number, (fault, peak_after_ma, mean_after_ma) in enumerate(
        [
            ("open_electrode@1=Oz", 0.0, 0.0),
            ("short@1=Oz", 1.0, 0.0),  # a current source does not feel it
            ("impedance@1=Cz:115", 0.5, 0.0),  # 60 V over 120 kΩ
            ("gain@1=1.5", 1.5, 0.0),
            ("dc_offset@1=0.2", 1.2, 0.2),
        ]
    ):
        before, after = held(tmp_path / str(number), fault)
        assert np.abs(before).max() == peak_ma
        assert np.abs(after).max() == pytest.approx(peak_after_ma, abs=1e-3)
        assert after.mean() == pytest.approx(mean_after_ma, abs=0.03)


def test_a_loop_without_a_contact_stays_open(tmp_path: Path) -> None:
    session = Session(tmp_path, contacts=["Oz", "F3"])
    session.begin()
    session.to(1.0)
    assert session.driver.status().playing == (1,)
    assert not session.finish().currents_ma["Oz"].any()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("melt", "unknown; known: battery, comm_failure"),
        ("open_electrode", "write open_electrode=VALUE"),
        ("open_electrode=F4", "not attached"),
        ("impedance@3=Oz", "NAME:KOHM"),
        ("impedance=Oz:0", "more than 0"),
        ("impedance=Oz:x", "could not convert"),
        ("gain=much", "could not convert"),
        ("gain=nan", "finite"),
        ("drop_reply=0", "1 or more"),
        ("drop_reply@-1", "@SECONDS"),
        ("drop_reply@soon", "@SECONDS"),
        ("delay_reply=-0.1", "negative"),
        ("reboot=5", "takes no value"),
        ("wrong_firmware@3=K", "takes no time"),
        ("wrong_firmware=S", "neither K"),
    ],
)
def test_faults_that_cannot_be(fault: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        SynthPalBench(RIG, ["Oz", "Cz"], None, [fault], 0.0)
    assert fault in str(refusal.value)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_faults_strike_at_their_times_in_order(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["gain@1.5=3", "gain@0.5=2"])
    session.begin()
    session.to(2.0)
    trace, start_s = session.finish(), session.start_s
    peaks = [np.abs(trace.between(start_s + a, start_s + a + 0.3)).max() for a in (0.15, 0.6, 1.6)]
    assert peaks == pytest.approx([1.0, 2.0, 3.0], abs=2e-3)


def test_without_a_trace_there_is_none() -> None:
    emulator = EmulatedSynthPal().in_memory(RIG, VirtualClock(), ["Oz", "Cz"], None, [])
    assert emulator.finish() is None


def test_an_output_that_never_ends_is_not_waited_for(tmp_path: Path) -> None:
    clock = VirtualClock()
    trace = tmp_path / "x.tsv.gz"
    emulator = EmulatedSynthPal().in_memory(RIG, clock, ["Oz", "Cz"], trace, [])
    emulator.transport.write(b"\xd5\x44" + bytes(16) + b"\xd5\x50\x01")
    info = emulator.finish(timeout_s=5.0)
    assert info is not None
    assert info.n_samples == 5000
    assert '"clean": false' in (tmp_path / "x.json").read_text()
    peak_ma = 5.0 * math.sin(math.radians(72.0))  # ten samples in a cycle of the default 100 Hz
    assert read_trace(info).currents_ma["Oz"].max() == pytest.approx(peak_ma, abs=1e-3)


def test_entry_points_find_driver_and_emulator() -> None:
    assert find_driver("synthpal").capabilities.name == "synthpal"
    emulator = find_emulator("synthpal")
    assert emulator.faults == {name: kind.sentence for name, kind in FAULTS.items()}
    assert all(len(sentence) > 10 for sentence in emulator.faults.values())
