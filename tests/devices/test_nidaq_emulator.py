"""The emulated card by itself: sample clock, buffer, starvation, what is held, timer, line."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.emulators import nidaq as module
from devices.emulators.nidaq import EmulatedNiDaq
from devices.emulators.nidaq_card import EmulatedCard, Refusal
from devices.emulators.nidaq_link import CardFirmware
from devices.emulators.nidaq_output import HeldOutput
from tacs.clock import VirtualClock
from tacs.driver import find_emulator
from tacs.errors import InputError
from tests.devices.nidaq_bench import UNWATCHED, WATCHED

RATE_HZ = 1000.0
STEP_V = 20.0 / 65_536


def prepared(now_s: float = 10.0, n_outputs: int = 1, **has: bool) -> EmulatedCard:
    card = EmulatedCard(now_s, **has)
    card.prepare(dict.fromkeys(range(1, n_outputs + 1), 2.0), RATE_HZ, 1000, False)
    return card


def playing(values: list[float], **has: bool) -> EmulatedCard:
    card = EmulatedCard(10.0, **has)
    if has:
        card.watch(0.25)
    card.prepare({1: 2.0}, RATE_HZ, 1000, False)
    card.write(np.array([values]))
    card.start()
    return card


def refused(call: Callable[[], object]) -> int:
    with pytest.raises(Refusal) as found:
        call()
    return found.value.code


def at(card: EmulatedCard, time_s: float, output: int = 1) -> float:
    return float(card.outputs[output - 1].values(np.array([time_s]))[0])


# buffer and clock


def test_samples_come_out_one_by_one_and_none_twice():
    card = playing([0.5, 1.0, -1.0])
    assert [round(at(card, 10.0 + t), 3) for t in (-0.001, 0.0, 0.0009, 0.0011, 0.0021)] == [
        0.0, 0.5, 0.5, 1.0, -1.0,
    ]  # fmt: skip
    counts = []
    for t in (10.0, 10.0005, 10.001, 10.0021):
        card.advance(t)
        counts.append((card.generated, card.running, card.fault))
    assert counts == [(1, True, 0), (1, True, 0), (2, True, 0), (3, True, 0)]


def test_starvation_stops_it_and_the_last_value_is_held_for_ever():
    card = playing([0.5, 1.0])
    card.advance(10.0019)
    assert card.running
    card.advance(10.5)
    assert (card.running, card.fault, card.generated) == (False, -200290, 2)
    assert card.loud
    assert card.silent_at_s() == math.inf
    assert refused(lambda: card.write(np.zeros((1, 1)))) == -200290
    for t in (10.002, 11.0, 9999.0):
        assert at(card, t) == pytest.approx(1.0, abs=STEP_V)


def test_what_is_written_in_time_goes_on_without_a_gap():
    card = playing([0.5, 1.0])
    card.advance(10.0015)
    card.write(np.array([[1.5, 0.25]]))
    card.advance(10.0035)
    assert card.running
    assert at(card, 10.0025) == pytest.approx(1.5, abs=STEP_V)


@pytest.mark.parametrize("code", [-200621, -200018])
def test_underflows_of_other_kinds(code):
    card = playing([0.5] * 100)
    card.advance(10.01)
    card.underflow(code)
    card.advance(10.05)
    assert (card.running, card.fault) == (False, code)
    assert card.generated < 100
    card.underflow(-200290)
    assert card.fault == code


def test_the_rules_of_writing_and_starting():
    card = EmulatedCard(10.0)
    zeros = np.zeros((1, 1))
    assert refused(lambda: card.write(zeros)) == -200088
    assert refused(card.start) == -200088
    card.prepare({1: 2.0}, RATE_HZ, 10, False)
    assert refused(card.start) == -200462  # nothing was written before
    assert refused(lambda: card.write(np.zeros((2, 1)))) == -200561
    assert refused(lambda: card.write(np.array([[2.01]]))) == -200561
    assert refused(lambda: card.write(np.array([[math.nan]]))) == -200561
    assert refused(lambda: card.write(np.zeros((1, 11)))) == -200292  # no room
    card.write(np.zeros((1, 10)))
    assert refused(lambda: card.write(zeros)) == -200292
    card.start()
    card.start()
    assert card.starts == 1
    card.advance(10.003)
    card.write(np.zeros((1, 3)))
    assert refused(lambda: card.hold({1: 0.0})) == -50103  # the clock has the outputs


@pytest.mark.parametrize(
    ("limits_v", "rate_hz", "room", "code"),
    [
        ({}, 1000.0, 10, -200170),
        ({5: 1.0}, 1000.0, 10, -200170),
        ({0: 1.0}, 1000.0, 10, -200170),
        ({1: 10.1}, 1000.0, 10, -200077),
        ({1: 0.0}, 1000.0, 10, -200077),
        ({1: 1.0}, 0.0, 10, -200077),
        ({1: 1.0}, 2e6, 10, -200077),
        ({1: 1.0}, 1000.0, 0, -200077),
    ],
)
def test_settings_that_it_refuses(limits_v, rate_hz, room, code):
    card = EmulatedCard(10.0)
    assert refused(lambda: card.prepare(limits_v, rate_hz, room, False)) == code


def test_a_stop_drops_what_was_not_played_and_holds():
    card = playing([1.0] * 10 + [-1.0] * 10)
    card.advance(10.0055)
    card.stop()
    assert (card.running, card.generated, card.written) == (False, 0, 0)
    assert at(card, 10.015) == pytest.approx(1.0, abs=STEP_V)
    card.write(np.array([[0.5, 0.0]]))
    card.start()
    card.advance(10.0066)
    assert (card.generated, card.starts) == (2, 2)
    assert at(card, 10.0066) == 0.0


def test_release_keeps_the_value_and_hold_changes_it():
    card = playing([1.0] * 10)
    card.advance(10.002)
    card.release()
    assert card.loud
    assert refused(lambda: card.hold({5: 0.0})) == -200170
    assert refused(lambda: card.hold({1: 10.5})) == -200561
    card.hold({1: 0.0, 2: 0.5})
    assert (at(card, 10.002), at(card, 10.002, 2)) == (0.0, pytest.approx(0.5, abs=STEP_V))
    card.hold({2: 0.0})
    assert not card.loud
    assert card.silent_at_s() == -math.inf


def test_when_it_comes_to_rest_by_itself():
    card = playing([1.0, 0.0])
    assert card.silent_at_s() == pytest.approx(10.002)
    card.advance(10.01)
    assert not card.loud


def test_an_idle_output_goes_to_zero_where_that_is_supported():
    card = EmulatedCard(10.0)
    assert refused(lambda: card.prepare({1: 2.0}, RATE_HZ, 10, True)) == -200197
    card.idle_zero_supported = True
    card.hold({1: 0.5})
    card.prepare({1: 2.0}, RATE_HZ, 10, True)
    card.write(np.array([[1.0, 1.0]]))
    card.start()
    card.advance(10.0015)
    card.stop()
    assert at(card, 10.0015) == 0.0


@given(st.lists(st.floats(-2.0, 2.0), min_size=1, max_size=20))
@settings(max_examples=50)
def test_the_converter_takes_the_nearest_step(values):
    card = playing([round(v, 6) for v in values])
    for i, value in enumerate(values):
        made = at(card, 10.0 + (i + 0.5) / RATE_HZ)
        assert abs(made - round(value, 6)) <= STEP_V / 2 + 1e-12
        assert abs(made / STEP_V - round(made / STEP_V)) < 1e-9


def test_a_fast_sample_clock():
    card = EmulatedCard(10.0)
    card.clock_ppm = 1000.0
    card.prepare({1: 2.0}, RATE_HZ, 5000, False)
    card.write(np.zeros((1, 3000)))
    card.start()
    card.advance(12.0005)
    assert card.generated == 2003


# timer and line


def test_a_card_without_a_timer_has_none_and_the_order_of_tasks_counts():
    assert refused(lambda: EmulatedCard(10.0).watch(0.25)) == -200662
    card = prepared(watchdog=True)
    assert refused(lambda: card.watch(0.25)) == -201477
    card.release()
    assert refused(lambda: card.watch(0.0)) == -200077
    assert refused(lambda: card.watch(108.0)) == -200077


def test_the_timer_sets_the_outputs_to_0_and_locks_them():
    card = playing([1.0] * 1000, watchdog=True)
    card.advance(10.2)
    card.feed()
    card.advance(10.449)
    assert not card.expired
    card.advance(10.5)
    assert card.expired
    assert [round(at(card, t), 3) for t in (10.4499, 10.4501, 10.9)] == [1.0, 0.0, 0.0]
    assert refused(card.feed) == -200644
    assert refused(lambda: card.write(np.zeros((1, 1)))) == -200678
    assert refused(card.start) == -200678
    card.release()
    assert refused(lambda: card.hold({1: 0.0})) == -200678
    assert not card.loud
    card.unlock()
    card.hold({1: 0.0})


def test_starvation_with_a_timer_ends_at_0():
    card = playing([1.0, 1.0], watchdog=True)
    card.advance(10.1)
    assert card.fault == -200290
    assert card.silent_at_s() == pytest.approx(10.25)
    card.advance(10.3)
    assert at(card, 10.3) == 0.0
    assert not card.loud


def test_a_timer_that_is_stopped_does_nothing():
    card = playing([0.0] * 900, watchdog=True)
    card.unwatch()
    card.advance(10.8)
    assert not card.expired
    card.feed()


def test_the_line_is_taken_low_and_the_outputs_play_on():
    card = EmulatedCard(10.0, interlock=True)
    card.watch(0.25)
    card.prepare({1: 2.0}, RATE_HZ, 1000, False)
    card.write(np.ones((1, 1000)))
    card.enable(True)
    card.start()
    card.advance(10.3)
    assert card.expired
    assert card.line.value(10.3) == 0.0
    assert at(card, 10.3) == pytest.approx(1.0, abs=STEP_V)
    assert not card.loud
    assert refused(lambda: card.enable(True)) == -200678
    card.enable(False)


def test_behind_an_open_interlock_nothing_arrives():
    firmware = CardFirmware(10.0, interlock=True)
    firmware.card.hold({1: 1.0})
    times_s = np.array([10.5, 10.9])
    assert not firmware.drive(1, times_s).any()
    firmware.advance(10.6)
    firmware.card.enable(True)
    course = firmware.sources[0].course
    assert firmware.drive(1, times_s).tolist() == [0.0, pytest.approx(1.0, abs=STEP_V)]
    firmware.card.enable(False)
    assert firmware.sources[0].course != course


# faults


def test_a_clock_that_stands_still_tells_nobody():
    card = playing([0.5] * 5 + [1.0] * 5)
    card.advance(10.0045)
    card.stand_still()
    card.advance(11.0)
    assert (card.running, card.fault, card.generated) == (True, 0, 5)
    assert at(card, 11.0) == pytest.approx(0.5, abs=STEP_V)
    card.stop()
    card.hold({1: 0.0})
    assert at(card, 11.0) == 0.0


def test_a_stuck_card_plays_its_last_second_over_and_over():
    card = EmulatedCard(10.0)
    card.prepare({1: 2.0}, RATE_HZ, 3000, False)
    card.write(np.sin(2 * np.pi * 10.0 * np.arange(2500) / RATE_HZ)[None])
    card.start()
    card.advance(12.0)
    card.stick()
    card.stop()
    card.hold({1: 0.0})
    card.release()
    found = card.outputs[0].values(12.0 + np.arange(5000) / RATE_HZ)
    assert np.abs(found).max() == pytest.approx(1.0, abs=0.01)
    assert np.allclose(found[:1000], found[3000:4000])
    EmulatedCard(10.0).stick()


def test_a_restart_is_0_at_once_and_everything_is_forgotten():
    card = playing([1.0] * 100, watchdog=True)
    card.advance(10.05)
    card.reboot()
    assert at(card, 10.05) == 0.0
    assert (card.running, card.expired) == (False, False)
    assert refused(card.start) == -200088
    card.advance(20.0)
    assert not card.expired


# outputs


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=8))
@settings(max_examples=60)
def test_an_output_is_a_staircase(parts):
    output, t, expected = HeldOutput(0.0), 0.0, [(0.0, 0.0)]
    rest = 0.0
    for n, cut in parts:
        start = t + 0.0105
        values = np.arange(1.0, n + 1.0)
        output.play(start, 0.01, values)
        expected += [(start + 0.01 * k, float(v)) for k, v in enumerate(values)]
        t = start + 0.01 * (n - 1)
        if cut:
            t = start + 0.01 * (n // 2) + 0.005
            output.cut(t)
            expected = [(s, v) for s, v in expected if s <= t]
        rest = max(rest, t)
    times_s = np.arange(0.0, rest + 0.1, 0.003) + 1e-4
    found = output.values(times_s)
    for time_s, value in zip(times_s, found, strict=True):
        assert value == [v for s, v in expected if s <= time_s + 1e-9][-1]
        assert output.value(float(time_s)) == value
    output.forget(rest)
    assert output.value(rest + 1.0) == expected[-1][1]


# frames


def frame(number: int, op: int, payload: bytes = b"") -> bytes:
    body = b"NI" + struct.pack("<BBI", number, op, len(payload)) + payload
    return body + struct.pack("<I", zlib.crc32(body))


def told(
    firmware: CardFirmware, data: bytes, now_s: float = 10.0
) -> list[tuple[int, int, int, bytes]]:
    """What it answers: number, operation, status, payload."""
    firmware.receive(data, now_s)
    found, data = [], firmware.take(now_s + 1.0)
    while data:
        mark, number, op, length = struct.unpack_from("<2sBBI", data)
        body, rest = data[: 8 + length], data[8 + length :]
        assert mark == b"ni"
        assert struct.unpack_from("<I", rest)[0] == zlib.crc32(body)
        found.append((number, op, struct.unpack_from("<i", body, 8)[0], body[12:]))
        data = rest[4:]
    return found


def samples(first: int, *rows: list[float]) -> bytes:
    volts = np.array(rows)
    return struct.pack("<QI", first, volts.shape[1]) + volts.astype("<f8").tobytes()


ONE = struct.pack("<dIBBBd", 1000.0, 1000, 0, 1, 1, 2.0)


def test_who_it_says_it_is():
    [(number, op, status, payload)] = told(CardFirmware(10.0), frame(3, 1))
    assert (number, op, status, payload[:2]) == (3, 1, 0, b"\x01\x04")
    assert b"emulated" in payload


def test_a_whole_session_in_frames():
    firmware = CardFirmware(10.0, watchdog=True)
    data = frame(1, 8, struct.pack("<d", 0.25)) + frame(2, 2, ONE)
    data += frame(3, 3, samples(0, [0.5, 1.0])) + frame(4, 4) + frame(5, 9) + frame(6, 5)
    assert [answer[2] for answer in told(firmware, data)] == [0] * 6
    assert firmware.first_start_s == 10.0
    [(_, _, status, state)] = told(firmware, frame(7, 5), 10.0011)
    assert (status, struct.unpack("<BQiI", state)) == (0, (1, 2, 0, 1))
    assert told(firmware, frame(8, 3, samples(2, [0.0])), 10.0015)[0][2] == 0
    [(_, _, _, state)] = told(firmware, frame(9, 5), 10.1)
    assert struct.unpack("<BQiI", state) == (0, 3, -200290, 1)
    [(_, _, _, state)] = told(firmware, frame(9, 5), 10.3)
    assert struct.unpack("<BQiI", state) == (2, 3, -200290, 1)
    data = (
        frame(10, 6) + frame(11, 10) + frame(12, 7, b"\x01\x01" + bytes(8)) + frame(13, 11, b"\x00")
    )
    assert [answer[2] for answer in told(firmware, data, 10.3)] == [0] * 4


def test_what_ends_a_stream_is_appended_or_played_by_itself():
    firmware = CardFirmware(10.0)
    told(firmware, frame(1, 2, ONE) + frame(2, 3, samples(0, [1.0] * 5)) + frame(3, 4))
    assert told(firmware, frame(4, 12, samples(5, [0.5, 0.0])), 10.001)[0][2] == 0
    assert firmware.card.starts == 1
    firmware.advance(10.1)
    assert firmware.card.fault
    assert told(firmware, frame(5, 12, samples(7, [0.5] * 9)), 10.1)[0][2] == 0
    assert (firmware.card.starts, firmware.card.running) == (2, True)
    assert told(firmware, frame(6, 3, samples(16, [0.0])), 10.101)[0][2] == 0
    assert told(firmware, frame(7, 13, samples(0, [0.25] * 4)), 10.102)[0][2] == 0
    assert firmware.card.starts == 3
    assert told(firmware, frame(8, 3, samples(4, [0.0])), 10.103)[0][2] == 0


@pytest.mark.parametrize(
    ("op", "payload"),
    [
        (99, b""),
        (2, b"\x00"),
        (3, b""),
        (3, samples(1, [0.0])),  # the first is missing
        (3, struct.pack("<QI", 0, 0)),
        (3, struct.pack("<QI", 0, 3) + bytes(16)),
        (3, samples(0, [math.inf])),
        (7, b""),
        (7, b"\x01\x01" + struct.pack("<d", math.nan)),
        (8, b"\x00"),
        (11, b""),
    ],
)
def test_frames_of_another_form_change_nothing(op, payload):
    firmware = CardFirmware(10.0, watchdog=True)
    told(firmware, frame(1, 2, ONE))
    [(_, _, status, _)] = told(firmware, frame(2, op, payload))
    assert status < 0
    assert not firmware.playing


def test_broken_frames_are_no_frames():
    firmware = CardFirmware(10.0)
    good = frame(1, 1)
    for place in range(8 * len(good)):
        broken = bytearray(good)
        broken[place // 8] ^= 1 << place % 8
        assert told(firmware, bytes(broken), 20.0 + place) == []
    assert len(told(firmware, b"NI\xff" + b"N" + good, 9e6)) <= 1
    assert len(told(firmware, good, 9e6 + 1.0)) == 1


def test_half_a_frame_is_forgotten_after_a_while():
    firmware = CardFirmware(10.0)
    assert told(firmware, frame(1, 1)[:6], 10.0) == []
    assert len(told(firmware, frame(2, 1), 10.2)) == 1
    assert told(firmware, frame(3, 1)[:6], 10.3) == []
    assert len(told(firmware, frame(3, 1)[6:], 10.35)) == 1


def test_settings_can_be_refused_and_questions_cannot():
    firmware = CardFirmware(10.0)
    firmware.faults.refuse = 1
    data = frame(1, 5) + frame(2, 2, ONE) + frame(3, 2, ONE)
    assert [answer[2] for answer in told(firmware, data)] == [0, -200077, 0]


# entry point


def test_it_is_found_and_says_what_can_be_wrong():
    emulator = find_emulator("nidaq")
    assert isinstance(emulator, EmulatedNiDaq)
    assert {"underflow", "clock_stops", "clock_ppm", "open_electrode", "link_loss"} <= set(
        emulator.faults
    )


@pytest.mark.parametrize("fault", ["underflow=dma", "clock_ppm", "clock_ppm@3=1", "wrong_version"])
def test_a_bad_fault_is_told(tmp_path: Path, fault: str):
    with pytest.raises(InputError, match=fault.split("=")[0].split("@")[0]):
        EmulatedNiDaq().in_memory(WATCHED, VirtualClock(), ["Oz", "Cz"], None, [fault])


def test_what_it_has_is_what_the_rig_says(tmp_path: Path):
    for rig, has in ((WATCHED, True), (UNWATCHED, False)):
        device = EmulatedNiDaq().in_memory(rig, VirtualClock(), ["Oz", "Cz"], None, [])
        card = device.bench.firmware.card
        if has:
            card.watch(0.25)
        else:
            assert refused(lambda card=card: card.watch(0.25)) == -200662


def test_help_lists_the_faults(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as found:
        module.main(["--help"])
    assert found.value.code == 0
    assert "clock_stops" in capsys.readouterr().out
