"""The driver on the emulated card: what it sends, and what the oscilloscope saw of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from devices.emulators.nidaq import EmulatedNiDaq
from devices.nidaq import NiDaq
from devices.nidaq_player import QUEUE_S
from devices.nidaq_wire import NAMES
from tacs.clock import MonotonicClock, VirtualClock
from tacs.driver import Driver, find_driver
from tacs.errors import (
    DeviceBusy,
    DeviceError,
    DeviceNotFound,
    DeviceRefused,
    FileProblems,
    InputError,
    LinkLost,
    SafetyRefusal,
    TacsError,
    UncertainDelivery,
)
from tacs.rig import shipped_rigs
from tests.devices.bench import read_trace
from tests.devices.nidaq_bench import INTERLOCKED, UNWATCHED, WATCHED, Session, program

STEP_MA = 2.0 * 20.0 / 65_536


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def asked(session: Session) -> list[str]:
    """Record what is asked of the card from now on, by name."""
    sent: list[str] = []
    write = session.emulator.transport.write

    def spy(data: bytes) -> None:
        sent.append(NAMES.get(data[3], ""))
        write(data)

    session.emulator.transport.write = spy
    return sent


# opening and connecting


def test_it_is_found():
    assert find_driver("nidaq") is NiDaq
    assert issubclass(NiDaq, Driver)


def test_a_voltage_source_needs_a_rig_that_fits():
    with pytest.raises(InputError, match="voltage source: give the rig file"):
        NiDaq.over(None, None)
    with pytest.raises(InputError, match="for the device 'other', not for nidaq"):
        NiDaq.over(None, WATCHED.model_copy(update={"device": "other"}))
    with pytest.raises(InputError, match=r"needs \[\[channels\]\]"):
        NiDaq.over(None, WATCHED.model_copy(update={"channels": ()}))
    with pytest.raises(FileProblems, match=r"options.bits"):
        NiDaq.over(None, WATCHED.model_copy(update={"options": {"bits": 1}}))


def test_addresses_of_cards_and_of_links():
    with pytest.raises(InputError, match="names no outputs of a card; write nidaq:DEVICE/ao0:1"):
        NiDaq.open("", WATCHED, MonotonicClock())
    with pytest.raises(DeviceNotFound, match="no such port"):
        NiDaq.open("/dev/ttyNONE9", WATCHED, MonotonicClock())
    with pytest.raises(InputError, match="write it as socket://HOST:PORT"):
        NiDaq.open("socket://", WATCHED, MonotonicClock())
    with pytest.raises(InputError, match="virtual clock"):
        NiDaq.open("Dev1/ao0", WATCHED, VirtualClock())


def test_connecting_silences_what_an_earlier_host_left(session: Session) -> None:
    session.card.hold({1: 0.25, 3: -0.5})
    session.pass_time(0.5)
    sent = asked(session)
    identity = session.driver.connect()
    assert sent == ["identify", "release", "unwatch", "hold", "enable"]
    assert "emulated" in identity.model
    assert identity.details["serial"]
    assert session.driver.status().playing == ()
    connected_s = session.clock.now_s()
    session.pass_time(0.5)
    trace = session.finish()
    assert trace.between(100.1, 100.4).max() == pytest.approx(0.5, abs=1e-3)
    assert not trace.between(connected_s, connected_s + 0.5).any()


def test_connecting_unlocks_a_card_whose_timer_ran_out(session: Session) -> None:
    session.begin()
    session.to(0.5, level=0.2)
    session.pass_time(1.0)
    assert session.card.expired
    again = NiDaq.over(session.emulator.transport, WATCHED)
    again.connect()
    assert not session.card.expired
    again.configure(program())
    again.start(1.0)
    assert again.status().playing == (1,)


def test_a_rig_with_more_channels_than_outputs_is_refused(tmp_path: Path) -> None:
    beyond = WATCHED.channels[0].model_copy(update={"channel": 5})
    rig = WATCHED.model_copy(update={"channels": (beyond,)})
    session = Session(tmp_path, rig=rig, contacts=("Oz", "Cz"))
    with pytest.raises(InputError, match="has 4 outputs and the rig has a channel 5"):
        session.driver.connect()


def test_another_version_is_refused_and_nothing_else_is_sent(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["wrong_version=2"])
    sent = asked(session)
    with pytest.raises(DeviceNotFound, match="version 2"):
        session.driver.connect()
    session.driver.close()
    assert sent == ["identify"]


# configuring and starting


def test_what_is_sent_in_which_order(session: Session) -> None:
    """The timer comes before anything that holds the card; the samples before the start."""
    session.driver.connect()
    sent = asked(session)
    session.driver.configure(program())
    assert sent == ["watch", "unwatch", "prepare", "release"]
    sent.clear()
    session.driver.start(1.0)
    assert sent == ["watch", "prepare", "write", "feed", "enable", "start"]
    sent.clear()
    session.clock.wait(session.clock.now_s() + 0.02)
    session.driver.pump(session.clock.now_s())
    assert sent == ["state", "write", "feed"]
    sent.clear()
    session.driver.set_level(0.1)
    session.driver.extend_lease(0.1, 1.0)
    session.driver.set_frequency(11.0)
    assert sent == []
    session.driver.soft_stop()
    session.driver.soft_stop()
    assert sent == ["finish"]
    session.until_silent()
    assert sent[-3:] == ["enable", "release", "unwatch"]
    sent.clear()
    session.driver.close()
    session.driver.close()
    assert sent == ["release", "unwatch", "hold", "enable"]


def test_without_a_timer_none_is_asked_for(tmp_path: Path) -> None:
    session = Session(tmp_path, rig=UNWATCHED)
    session.driver.connect()
    sent = asked(session)
    session.driver.configure(program())
    session.driver.start(1.0)
    session.to(0.1)
    assert "watch" not in sent
    assert "feed" not in sent


def test_a_timer_that_the_card_does_not_have_is_refused_before_arming(session: Session) -> None:
    session.card._watchdog = False
    session.driver.connect()
    with pytest.raises(DeviceRefused, match=r"watch: refused .NI -200662: Watchdog timer is not"):
        session.driver.configure(program())


def test_currents_are_rounded_down_to_the_converter(session: Session) -> None:
    session.driver.connect()
    achieved = session.driver.configure(program({1: 1.0, 2: 0.5, 3: 0.0}, frequency_hz=10.274321))
    assert achieved.frequency_hz == 10.274321
    for channel, wanted in ((1, 1.0), (2, 0.5), (3, 0.0)):
        got = achieved.currents_peak_ma[channel]
        assert wanted - STEP_MA < got <= wanted
        assert got / STEP_MA == pytest.approx(round(got / STEP_MA), abs=1e-3)


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"frequency_hz": 0.09}, InputError, "outside 0.1 to 200 Hz, which is what 2000 samples"),
        ({"frequency_hz": 200.1}, InputError, "outside"),
        ({"frequency_hz": math.nan}, InputError, "outside"),
        ({"carrier_hz": 201.0}, InputError, "outside"),
        ({"currents_peak_ma": {4: 1.0}}, InputError, "no channel 4; it has 1, 2, 3"),
        ({"currents_peak_ma": {}}, InputError, "without channels"),
        ({"currents_peak_ma": {1: math.nan}}, InputError, "not a zero-to-peak current"),
        ({"currents_peak_ma": {1: 4.1}}, SafetyRefusal, "rig_current_max_ma"),
        ({"phases_deg": {1: math.inf}}, InputError, "inf° is no phase"),
        ({"soft_stop_s": 0.16}, InputError, "soft_stop_s: 0.16 s cannot be kept"),
        ({"soft_stop_s": 1.9}, InputError, "at most 1.8 s"),
        ({"emergency_stop_s": 0.02}, InputError, "emergency_stop_s: 0.02 s cannot be kept"),
        ({"emergency_stop_s": math.nan}, InputError, "cannot be kept"),
    ],
)
def test_what_cannot_be_played_is_refused(session: Session, change, error, told) -> None:
    session.driver.connect()
    with pytest.raises(error, match=told):
        session.driver.configure(program(**change))
    with pytest.raises(InputError, match="configure a programme before starting"):
        session.driver.start(1.0)


def test_verbs_out_of_order_are_refused(session: Session) -> None:
    session.driver.connect()
    with pytest.raises(InputError, match="configure a programme before changing its frequency"):
        session.driver.set_frequency(10.0)
    with pytest.raises(DeviceRefused, match="no level can be set"):
        session.driver.set_level(0.5)
    session.driver.pump(1.0)
    session.driver.soft_stop()
    session.driver.emergency_stop()
    session.driver.configure(program())
    for lease_s in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="would be none"):
            session.driver.start(lease_s)
        with pytest.raises(InputError, match="cannot be set"):
            session.driver.extend_lease(1.0, lease_s)
    session.driver.start(1.0)
    with pytest.raises(DeviceRefused, match="play already"):
        session.driver.start(1.0)
    with pytest.raises(DeviceRefused, match="still play"):
        session.driver.configure(program())
    for level in (-0.1, 1.1, math.nan, True):
        with pytest.raises(InputError, match="no number from 0 to 1"):
            session.driver.set_level(level)
    with pytest.raises(InputError, match="outside"):
        session.driver.set_frequency(500.0)
    session.driver.soft_stop()
    with pytest.raises(DeviceRefused, match="no level can be set"):
        session.driver.set_level(0.5)


def test_the_card_is_given_the_stimulators_limit_as_its_own(session: Session) -> None:
    session.driver.connect()
    session.driver.configure(program())
    session.driver.start(1.0)
    assert session.card._limits_v.tolist() == [[2.0]]
    with pytest.raises(DeviceRefused, match="-200561"):
        session.driver.card.write(np.array([[2.5]]))


# a session


def test_a_whole_session_by_the_oscilloscope(session: Session) -> None:
    currents, phases = {1: 1.0, 2: 0.5, 3: 0.25}, {1: 0.0, 2: 90.0, 3: 212.0}
    session.begin(program(currents, phases_deg=phases))
    session.to(5.0, level=1.0)
    session.to(15.0, tick_s=0.04)
    session.to(18.0, level=0.0)
    session.driver.soft_stop()
    session.until_silent()
    session.driver.close()
    trace = session.finish()
    loops = {"Oz": (1.0, 0.0), "F3": (0.5, 90.0), "F4": (0.25, 212.0)}
    start_s = session.start_s + 6.0
    times_s = trace.times_s[(trace.times_s >= start_s) & (trace.times_s < start_s + 8.0)]
    for name, (peak_ma, phase_deg) in loops.items():
        held = trace.between(start_s, start_s + 8.0, name)
        assert np.abs(trace.currents_ma[name]).max() <= peak_ma
        assert np.abs(held).max() > peak_ma - 2 * STEP_MA - 2e-4
        turns = 2 * np.pi * 10.27 * (times_s - session.start_s)
        wanted = peak_ma * np.sin(turns + math.radians(phase_deg))
        late = 2 * np.pi * 10.27 * 0.0005 * peak_ma  # each sample is held for half a millisecond
        assert np.abs(held - wanted).max() < late + 2 * STEP_MA
        cycles = held[: round(1000 * 82 / 10.27)]
        assert abs(cycles.mean()) < 2e-3
    total = sum(trace.currents_ma[name] for name in ("Oz", "Cz", "F3", "F4"))
    assert np.abs(total).max() < 1e-3
    assert trace.last_above_s(0.0) - session.start_s < 18.0 + QUEUE_S + 0.03
    assert trace.currents_ma["Oz"][-1] == 0.0


def test_the_frequency_by_fitting_the_phase(session: Session) -> None:
    session.begin(program(frequency_hz=10.2713))
    session.to(2.0, level=1.0)
    session.to(42.0, tick_s=0.04)
    session.driver.close()
    trace = session.finish()
    start_s = session.start_s + 3.0
    found = []
    for begin_s in (start_s, start_s + 36.0):
        held = trace.between(begin_s, begin_s + 2.0)
        times_s = trace.times_s[(trace.times_s >= begin_s) & (trace.times_s < begin_s + 2.0)]
        found.append(np.angle(np.sum(held * np.exp(-2j * np.pi * 10.2713 * times_s))))
    drift_cycles = (found[1] - found[0] + math.pi) % (2 * math.pi) - math.pi
    assert abs(drift_cycles / (2 * math.pi) / 36.0) < 1e-4  # hertz


def test_a_ramp_is_a_straight_line_without_steps(session: Session) -> None:
    session.begin()
    session.to(10.0, level=1.0)
    session.to(11.0)
    session.driver.close()
    trace = session.finish()
    tops = []
    for k in range(100):
        begin_s = session.start_s + QUEUE_S + k / 10.27
        tops.append(np.abs(trace.between(begin_s, begin_s + 1 / 10.27)).max())
    tops = np.array(tops)
    assert np.all(np.diff(tops) > 0.0)
    slopes = np.diff(tops) * 10.27  # mA per second where 0.1 is commanded
    assert slopes.max() < 0.115
    assert np.abs(np.diff(trace.currents_ma["Oz"])).max() < 2 * np.pi * 10.27 / 1000 + 3 * STEP_MA


def test_a_new_frequency_is_phase_continuous_and_comes_after_the_queue(session: Session) -> None:
    session.begin()
    session.to(2.0, level=1.0)
    session.to(3.0)
    changed_s = session.clock.now_s()
    assert session.driver.set_frequency(20.5) == 20.5
    session.to(5.0)
    session.driver.close()
    trace = session.finish()
    steps = np.abs(np.diff(trace.between(changed_s - 0.5, changed_s + 1.0)))
    assert steps.max() < 2 * np.pi * 20.5 / 1000 + 3 * STEP_MA
    before = trace.between(changed_s, changed_s + QUEUE_S - 0.03)
    after = trace.between(changed_s + QUEUE_S, changed_s + QUEUE_S + 1.0)
    assert np.abs(np.diff(before)).max() < 2 * np.pi * 10.27 / 1000 + 3 * STEP_MA
    assert np.sum(np.diff(np.sign(after)) != 0) == pytest.approx(41, abs=1)


def test_a_modulated_carrier_has_neither_its_rhythm_nor_a_mean(session: Session) -> None:
    session.begin(program(frequency_hz=10.0, carrier_hz=100.0))
    session.to(2.0, level=1.0)
    session.to(5.0)
    session.driver.close()
    trace = session.finish()
    held = trace.between(session.start_s + 3.0, session.start_s + 4.0)
    spectrum = np.abs(np.fft.rfft(held)) * 2 / len(held)
    assert np.abs(held).max() <= 1.0
    assert spectrum[100] == pytest.approx(0.5, abs=0.01)
    assert spectrum[[90, 110]] == pytest.approx([0.25, 0.25], abs=0.01)
    assert spectrum[[0, 10]].max() < 1e-3


def test_a_status_says_what_is_known(session: Session) -> None:
    session.begin(program({1: 1.0, 3: 0.5}))
    session.to(1.0, level=0.5)
    status = session.driver.status()
    assert status.playing == (1, 3)
    assert status.current_peak_ma is None
    assert status.impedance_kohm is None
    assert status.details["queued_s"] == pytest.approx(QUEUE_S, abs=0.002)
    assert status.details["samples_played"] == pytest.approx(2000, abs=5)
    assert status.details["stray_bytes"] == 0


def test_it_can_be_started_again(session: Session) -> None:
    session.begin()
    session.to(1.0, level=0.5)
    session.driver.soft_stop()
    session.until_silent()
    session.driver.configure(program(frequency_hz=12.0))
    session.driver.start(1.0)
    session.start_s = session.clock.now_s()
    session.to(1.0, level=0.5)
    assert session.driver.status().playing == (1,)
    session.driver.close()
    assert session.finish().currents_ma["Oz"][-1] == 0.0


# stops


@pytest.mark.parametrize("at_s", [3.0, 3.013, 3.04, 3.061])
def test_a_soft_stop_ends_in_0_8_s(session: Session, at_s: float) -> None:
    session.begin()
    session.to(2.0, level=1.0)
    session.to(3.0)
    session.clock.wait(session.start_s + at_s)
    stopped_s = session.clock.now_s()
    session.driver.soft_stop()
    session.until_silent()
    session.driver.close()
    trace = session.finish()
    assert 0.6 < trace.last_above_s(0.0) - stopped_s <= 0.801
    tops = [
        np.abs(trace.between(stopped_s + 0.16 + t, stopped_s + 0.26 + t)).max()
        for t in np.arange(0.0, 0.6, 0.1)
    ]
    assert np.all(np.diff(tops) < 0.0)
    assert np.abs(np.diff(trace.currents_ma["Oz"])).max() < 2 * np.pi * 10.27 / 1000 + 3 * STEP_MA


def test_a_soft_stop_needs_neither_pump_nor_host(session: Session) -> None:
    """The whole ramp is in the card when the call returns."""
    session.begin()
    session.to(2.0, level=1.0)
    stopped_s = session.clock.now_s()
    session.driver.soft_stop()
    session.card._timer_s = None
    session.pass_time(3.0)
    trace = session.finish()
    assert trace.last_above_s(0.0) - stopped_s <= 0.801
    assert session.card.fault  # it ran dry at zero


@pytest.mark.parametrize("at_s", [3.0, 3.013, 3.025, 3.061])
def test_an_emergency_stop_ends_in_0_1_s_without_a_jump(session: Session, at_s: float) -> None:
    session.begin()
    session.to(2.0, level=1.0)
    session.to(3.0)
    session.clock.wait(session.start_s + at_s)
    stopped_s = session.clock.now_s()
    session.driver.emergency_stop()
    session.driver.emergency_stop()
    session.driver.soft_stop()
    session.until_silent()
    session.driver.close()
    trace = session.finish()
    assert trace.last_above_s(0.0) - stopped_s <= 0.1
    # What was played while the question was answered is played once more: less than a millisecond.
    assert np.abs(np.diff(trace.currents_ma["Oz"])).max() < 1.6 * 2 * np.pi * 10.27 / 1000


def test_an_emergency_stop_overtakes_a_soft_one(session: Session) -> None:
    session.begin()
    session.to(2.0, level=1.0)
    session.driver.soft_stop()
    session.to(2.3)
    stopped_s = session.clock.now_s()
    session.driver.emergency_stop()
    session.until_silent()
    session.driver.close()
    trace = session.finish()
    assert trace.last_above_s(0.0) - stopped_s <= 0.1


@pytest.mark.parametrize("fault", ["drop_reply@2=99", "delay_reply@2=5"])
def test_an_emergency_stop_without_answers_plays_the_queue_first(tmp_path: Path, fault) -> None:
    session = Session(tmp_path, faults=[fault])
    session.begin()
    session.to(1.98, level=1.0)
    session.pass_time(0.02)
    stopped_s = session.clock.now_s()
    session.driver.emergency_stop()
    called_s = session.clock.now_s() - stopped_s
    session.card._timer_s = None
    session.pass_time(1.0)
    trace = session.finish()
    assert called_s <= 0.12 + 1e-9
    assert trace.last_above_s(0.0) - stopped_s <= 0.25
    assert np.abs(np.diff(trace.currents_ma["Oz"])).max() < 2 * np.pi * 10.27 / 1000 + 3 * STEP_MA


def test_closing_while_it_plays_is_a_soft_stop(session: Session) -> None:
    session.begin()
    session.to(2.0, level=1.0)
    closed_s = session.clock.now_s()
    session.driver.close()
    trace = session.finish()
    assert 0.5 < trace.last_above_s(0.0) - closed_s <= 0.801
    assert not session.card.loud
    assert session.card._task is None
    assert not session.card.outputs[0].value(session.clock.now_s())


def test_zeros_are_confirmed_before_the_card_is_let_go(session: Session) -> None:
    session.begin()
    session.to(1.0, level=0.5)
    sent = asked(session)
    session.driver.close()
    assert sent.index("finish") < sent.index("state") < sent.index("release")
    assert session.card.outputs[0].value(session.clock.now_s()) == 0.0
    with pytest.raises(LinkLost):
        session.emulator.transport.write(b"gone")


# starvation, and what becomes of the current when the host is gone


def test_starvation_holds_a_direct_current_and_is_a_fault(tmp_path: Path) -> None:
    session = Session(tmp_path, rig=UNWATCHED)
    session.begin()
    session.to(2.0, level=1.0)
    dry_s = session.clock.now_s() + QUEUE_S
    session.pass_time(3.0)
    for ask in (lambda: session.driver.pump(session.clock.now_s()), session.driver.status):
        with pytest.raises(DeviceError, match=r"ran out of samples .NI -200290.*a direct current"):
            ask()
    assert session.card.starts == 1  # nobody started it again
    session.driver.emergency_stop()
    session.until_silent()
    session.driver.close()
    trace = session.finish()
    held = trace.between(dry_s + 0.01, dry_s + 2.8)
    assert np.ptp(held) == 0.0
    assert abs(held[0]) > 0.01
    ends = trace.between(dry_s + 2.8, dry_s + 4.0)
    assert np.abs(np.diff(ends)).max() < 2 * np.pi * 10.27 / 1000 + 3 * STEP_MA  # a ramp, no step
    assert ends[-1] == 0.0


@pytest.mark.parametrize("rig", [WATCHED, INTERLOCKED])
def test_with_a_timer_the_current_ends_in_its_time(tmp_path: Path, rig) -> None:
    session = Session(tmp_path, rig=rig)
    session.begin()
    session.to(2.0, level=1.0)
    gone_s = session.clock.now_s()
    session.pass_time(3.0)
    assert not session.card.loud
    with pytest.raises(DeviceError, match="watchdog was not fed in time"):
        session.driver.pump(session.clock.now_s())
    session.driver.emergency_stop()
    assert session.driver.status().playing == ()
    session.driver.close()
    trace = session.finish()
    assert trace.last_above_s(0.0) - gone_s <= NiDaq.capabilities_on(rig).host_loss_worst_case_s
    assert session.card.outputs[0].value(session.clock.now_s()) == 0.0


def test_a_host_that_dies_in_the_ramp_leaves_no_more_than_its_level(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.begin()
    session.to(2.0, level=0.3)
    session.pass_time(1.0)
    trace = session.finish()
    assert np.abs(trace.currents_ma["Oz"]).max() <= 0.3


@pytest.mark.parametrize(("value", "code"), [("fifo", -200621), ("dac", -200018)])
def test_an_underflow_of_the_card_itself(tmp_path: Path, value: str, code: int) -> None:
    session = Session(tmp_path, rig=UNWATCHED, faults=[f"underflow@2={value}"])
    session.begin()
    with pytest.raises(DeviceError, match=f"NI {code}"):
        session.to(3.0, level=1.0)
    session.driver.emergency_stop()
    session.until_silent()
    session.driver.close()
    trace = session.finish()
    assert trace.last_above_s(0.0) - session.start_s < 2.2
    assert np.abs(np.diff(trace.currents_ma["Oz"])).max() < 2 * np.pi * 10.27 / 1000 + 3 * STEP_MA


def test_a_sample_clock_that_stands_still_is_noticed(tmp_path: Path) -> None:
    session = Session(tmp_path, rig=UNWATCHED, faults=["clock_stops@2"])
    session.begin()
    with pytest.raises(DeviceError, match="sample clock stands still"):
        session.to(3.0, level=1.0)
    assert session.elapsed_s < 2.3
    session.driver.emergency_stop()
    assert session.driver.status().playing == ()
    session.driver.close()
    assert session.finish().last_above_s(0.0) - session.start_s < 2.35


def test_outputs_that_play_on_are_told(tmp_path: Path) -> None:
    session = Session(tmp_path, rig=UNWATCHED, faults=["stuck_output@2"])
    session.begin()
    session.to(1.99, level=1.0)
    session.driver.soft_stop()
    with pytest.raises(TacsError):
        session.driver.close()
    assert not session.emulator.bench.silent


def test_a_card_that_was_reset_is_told(tmp_path: Path) -> None:
    session = Session(tmp_path, rig=UNWATCHED, faults=["reboot@2"])
    session.begin()
    with pytest.raises(DeviceError, match="plays no more although nobody stopped it"):
        session.to(3.0, level=1.0)
    session.driver.emergency_stop()
    session.driver.close()
    assert session.finish().last_above_s(0.0) - session.start_s <= 2.0


# the link


@pytest.mark.parametrize("fault", ["duplicate_reply@1=9", "garbage@1=64", "late@1=0.02"])
def test_what_only_disturbs_the_link_ends_nothing(tmp_path: Path, fault: str) -> None:
    session = Session(tmp_path, faults=[fault])
    session.begin()
    session.to(3.0, level=1.0)
    session.driver.soft_stop()
    session.until_silent()
    session.driver.close()
    trace = session.finish()
    assert np.abs(np.diff(trace.currents_ma["Oz"])).max() < 2 * np.pi * 10.27 / 1000 + 3 * STEP_MA


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        ("drop_reply@1=1", UncertainDelivery, "no answer to"),
        ("corrupt_reply@1=1", UncertainDelivery, "no answer to"),
        ("reorder@1=1", UncertainDelivery, "no answer to"),
        ("corrupt_command@1=1", UncertainDelivery, "no answer to"),
        ("delay_reply@1=0.5", UncertainDelivery, "no answer to"),
        ("stall@1=1", UncertainDelivery, "no answer to"),
        ("refuse@1=1", DeviceRefused, "refused .NI -200077"),
        ("link_loss@1", LinkLost, "gone"),
    ],
)
def test_what_nobody_knows_the_fate_of_is_a_fault(tmp_path: Path, fault, error, told) -> None:
    session = Session(tmp_path, faults=[fault])
    session.begin()
    with pytest.raises(error, match=told):
        session.to(2.0, level=1.0)
    fault_s = session.elapsed_s
    for end in (session.driver.emergency_stop, session.driver.close):
        try:
            end()
        except TacsError:
            continue
    session.pass_time(0.5)
    trace = session.finish()
    assert trace.last_above_s(0.0) - session.start_s < fault_s + 0.5
    assert trace.currents_ma["Oz"][-1] == 0.0


def test_a_soft_stop_that_was_lost_is_found_out(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["corrupt_command@2=1"])
    session.begin()
    session.to(1.98, level=1.0)
    session.pass_time(0.03)
    session.driver.soft_stop()
    with pytest.raises(UncertainDelivery, match="no answer to 'finish'"):
        session.until_silent()
    session.driver.emergency_stop()
    session.until_silent()
    session.driver.close()
    trace = session.finish()
    assert trace.last_above_s(0.0) - session.start_s < 2.5


def test_an_emergency_stop_after_a_soft_one_that_was_lost(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["corrupt_command@2=1"])
    session.begin()
    session.to(1.98, level=1.0)
    session.pass_time(0.03)
    session.driver.soft_stop()
    session.driver.emergency_stop()
    session.until_silent()
    session.driver.close()
    trace = session.finish()
    assert trace.last_above_s(0.0) - session.start_s < 2.01 + 0.25


def test_where_nothing_arrives_any_more_the_stops_say_so(tmp_path: Path) -> None:
    session = Session(tmp_path, rig=UNWATCHED, faults=["link_loss@1"])
    session.begin()
    session.to(0.98, level=0.5)
    session.pass_time(0.04)
    for end in (session.driver.soft_stop, session.driver.emergency_stop, session.driver.close):
        with pytest.raises(LinkLost):
            end()
    session.driver.close()


# a process of its own, on the real clock


def test_on_the_real_clock_against_a_process_that_outlives_its_host(tmp_path: Path) -> None:
    clock = MonotonicClock()
    rig = shipped_rigs()["emulated-nidaq"]
    trace = tmp_path / "current.tsv.gz"
    process = EmulatedNiDaq().as_process(rig, ["Oz", "Cz"], trace, [])
    driver = NiDaq.open(process.address, WATCHED, clock)
    try:
        driver.connect()
        driver.configure(program())
        driver.start(1.0)
        with pytest.raises(DeviceBusy):
            NiDaq.open(process.address, WATCHED, clock)
        start_s = clock.now_s()
        for tick in range(1, 41):
            clock.wait(start_s + tick * 0.02)
            driver.set_level(min(tick / 20, 1.0))
            driver.pump(clock.now_s())
    finally:
        driver.card.close()  # the host is gone: nobody stops anything
        info = process.finish()
    assert info is not None
    found = read_trace(info)
    assert np.abs(found.currents_ma["Oz"]).max() > 0.5
    assert np.abs(found.currents_ma["Oz"]).max() <= 1.0
    assert found.currents_ma["Oz"][-1] == 0.0
