"""The driver of a device that a person works, and the emulated panel, each by itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from devices.emulators.manual import EmulatedManual
from devices.emulators.manual_panel import PanelFirmware
from devices.emulators.manual_people import ScriptedPerson, type_settings
from devices.manual import Manual
from tacs.clock import MonotonicClock, VirtualClock
from tacs.driver import AttendedDevice, AttendedEmulator, Program
from tacs.errors import DeviceRefused, InputError, UncertainDelivery
from tacs.rig import Rig, load_rig
from tests.tacs.hand import hand_rig

RIG = load_rig("emulated-manual")


def program(frequency_hz: float = 10.27, **changes: object) -> Program:
    fields = {
        "frequency_hz": frequency_hz,
        "currents_peak_ma": {1: 0.99},
        "phases_deg": {1: 0.0},
        "soft_stop_s": 0.8,
        "emergency_stop_s": 0.1,
        **changes,
    }
    return Program(**fields)  # type: ignore[arg-type]


# -- the driver ------------------------------------------------------------------------------------


def test_it_declares_what_it_is():
    c = Manual.capabilities
    assert (c.machine_verified, c.level_control, c.verified, c.host_loss) == (
        False, False, False, "programme",
    )  # fmt: skip
    assert c.after_host_loss_s(1200.0) == 1260.0
    json.dumps(c.to_dict(), allow_nan=False)


def test_what_the_grids_of_the_panel_make_of_a_programme():
    driver = Manual.open("neuroconn", hand_rig(frequency_step_hz=0.1), MonotonicClock())
    identity = driver.connect()
    assert identity.model == "made panel"
    assert identity.details == {"address": "neuroconn", "machine_verified": False}
    achieved = driver.configure(program())
    assert achieved.frequency_hz == 10.3
    assert achieved.currents_peak_ma == {1: 0.9875}


def test_it_plays_from_the_start_until_the_word():
    driver = Manual.over(None, hand_rig())
    with pytest.raises(InputError, match="configure a programme"):
        driver.start(1.0)
    driver.configure(program())
    driver.start(1.0)
    assert driver.status().playing == (1,)
    with pytest.raises(DeviceRefused, match="nobody said that it is silent"):
        driver.configure(program())
    driver.set_level(0.5)
    driver.extend_lease(1.0, 1.0)
    driver.pump(500.0)
    for stop in (driver.soft_stop, driver.emergency_stop, driver.soft_stop):
        stop()
    assert driver.status().playing == (1,)
    driver.told("louder")
    assert driver.status().playing == (1,)
    driver.told("silent")
    assert driver.status().playing == ()
    driver.pump(1000.0)
    driver.close()
    driver.close()


def test_the_word_is_due_within_half_a_minute_of_the_first_stop():
    driver = Manual.over(None, hand_rig())
    driver.configure(program())
    driver.start(1.0)
    driver.soft_stop()
    driver.pump(100.0)
    driver.emergency_stop()
    driver.pump(130.0)
    with pytest.raises(UncertainDelivery, match=r"^nobody confirmed that the device is silent$"):
        driver.pump(130.1)
    with pytest.raises(UncertainDelivery, match="made panel: nobody confirmed"):
        driver.close()
    driver.close()


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan"), True])
def test_a_level_that_is_none(level: float):
    with pytest.raises(InputError, match="no number from 0 to 1"):
        Manual.over(None, hand_rig()).set_level(level)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"currents_peak_ma": {3: 1.0}, "phases_deg": {3: 0.0}}, "has no channel"),
        ({"carrier_hz": 40.0}, "a plain sine only"),
        ({"currents_peak_ma": {1: -1.0}}, "not a zero-to-peak current"),
        ({"currents_peak_ma": {1: float("nan")}}, "not a zero-to-peak current"),
        ({"phases_deg": {1: 0.5}}, "off its grid"),
    ],
)
def test_a_programme_that_cannot_be(changes: dict[str, object], problem: str):
    with pytest.raises(InputError, match=problem):
        Manual.over(None, hand_rig()).configure(program(**changes))


def test_no_phases_on_a_panel_without_them():
    made = program(currents_peak_ma={1: 0.5, 2: 0.5}, phases_deg={1: 0.0, 2: 180.0})
    with pytest.raises(InputError, match="no phase setting"):
        Manual.over(None, hand_rig("phase_step_deg")).configure(made)
    Manual.over(None, hand_rig()).configure(made)


def test_a_frequency_is_set_at_rest():
    with pytest.raises(DeviceRefused, match="set by hand"):
        Manual.over(None, hand_rig()).set_frequency(10.0)


def test_rigs_that_do_not_fit():
    with pytest.raises(InputError, match="give --rig"):
        Manual.over(None, None)
    with pytest.raises(InputError, match="is for synthpal"):
        Manual.over(None, load_rig("emulated-synthpal"))
    monitored = load_rig("emulated-synthpal-monitored").to_data()
    data = {**RIG.to_data(), "monitor": monitored["monitor"]}
    with pytest.raises(InputError, match=r"take \[monitor\] out"):
        Manual.over(None, Rig.from_data(data, "made"))


# -- the emulated panel ----------------------------------------------------------------------------


class Hand:
    """Somebody at the panel, and what comes out of it."""

    def __init__(self, rig: Rig = RIG) -> None:
        self.firmware = PanelFirmware(rig, 0.0)
        self.now_s = 0.0

    def press(self, line: str) -> str:
        self.firmware.receive(line.encode() + b"\n", self.now_s)
        return self.firmware.take(self.now_s + 1.0).decode().strip()

    def set(self, **settings: str) -> None:
        for key, text in settings.items():
            assert self.press(f"SET {key}={text}") == "OK"

    def go_to(self, now_s: float) -> None:
        self.now_s = now_s
        self.firmware.advance(now_s)

    def peak_ma(self, start_s: float, end_s: float, channel: int = 1) -> float:
        times_s = np.arange(start_s, end_s, 0.0005)
        return float(np.abs(self.firmware.drive(channel, times_s)).max())


SETTINGS = {
    "waveform": "sine",
    "frequency": "10.00 Hz",
    "ramp_up": "30 s",
    "duration": "100 s",
    "ramp_down": "15 s",
    "channel_1_electrodes": "Oz-Cz",
    "channel_1_amplitude": "2.000 mA",
    "channel_1_phase": "0 deg",
}


def test_the_panel_plays_its_programme_and_ends_by_itself():
    hand = Hand()
    hand.set(**SETTINGS)
    hand.go_to(10.0)
    assert not hand.firmware.playing
    assert hand.press("START") == "OK"
    assert hand.firmware.first_start_s == 10.0
    assert hand.firmware.silent_at_s() == 155.0
    assert hand.press("START") == "ERR it plays"
    assert hand.press("SET frequency=5 Hz").startswith("ERR it plays")
    hand.go_to(200.0)
    assert not hand.firmware.playing
    assert hand.peak_ma(25.0, 25.2) == pytest.approx(0.5, abs=0.01)
    assert hand.peak_ma(40.0, 140.0) == pytest.approx(1.0, abs=1e-6)  # 2 mA peak-to-peak
    assert hand.peak_ma(155.0, 199.0) == 0.0


def test_a_panel_that_asks_for_the_peak_and_counts_its_ramps():
    rig = Rig.from_data(
        {
            **RIG.to_data(),
            "options": {
                **RIG.options,
                "amplitude_display": "peak",
                "duration_includes_ramps": True,
            },
        },
        "made",
    )
    hand = Hand(rig)
    hand.set(**{**SETTINGS, "channel_1_amplitude": "500 µA", "frequency": "100 ms"})
    hand.press("START")
    assert hand.firmware.silent_at_s() == 100.0
    hand.go_to(100.0)
    assert hand.peak_ma(31.0, 80.0) == pytest.approx(0.5, abs=1e-6)


def test_stop_ends_it_over_the_panels_own_ramp():
    hand = Hand()
    hand.set(**SETTINGS)
    hand.press("START")
    hand.go_to(50.0)
    assert hand.press("STOP") == "OK"
    assert hand.firmware.silent_at_s() == pytest.approx(50.1)
    hand.go_to(60.0)
    assert hand.peak_ma(50.1, 60.0) == 0.0
    assert hand.press("STOP") == "OK"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("DANCE", "is no key of this panel"),
        ("START", "not set: frequency, ramp_up, duration, ramp_down"),
        ("SET frequency=ten", "is no value"),
        ("SET channel_9_amplitude=1 mA", "no channel 9"),
        ("SET channel_1_electrodes=Cz-Oz", "is not what is wired"),
        ("SET volume=3 dB", "nothing here is called volume"),
    ],
)
def test_what_the_panel_does_not_take(line: str, answer: str):
    assert answer in Hand().press(line)


def test_a_stuck_and_a_restarted_panel():
    hand = Hand()
    hand.set(**SETTINGS)
    hand.press("START")
    hand.go_to(50.0)
    hand.firmware.stick()
    hand.press("STOP")
    hand.go_to(400.0)
    assert hand.firmware.playing
    assert hand.peak_ma(300.0, 300.5) > 0.9
    other = Hand()
    other.set(**SETTINGS)
    other.press("START")
    other.go_to(50.0)
    other.firmware.reboot(50.0)
    assert not other.firmware.playing
    assert "not set" in other.press("START")


# -- the scripted people ---------------------------------------------------------------------------


def test_what_the_people_type():
    both, second = type_settings(SETTINGS, ["second_differs=channel_1_amplitude"], ("Oz", "Cz"))
    assert both == SETTINGS
    assert second["channel_1_amplitude"] == "4.000 mA"
    first, second = type_settings(SETTINGS, ["wrong_entry=channel_1_electrodes"], ("Oz", "Cz"))
    assert first == second == {**SETTINGS, "channel_1_electrodes": "Cz-Oz"}
    with pytest.raises(InputError, match="gain is no setting of this session"):
        type_settings(SETTINGS, ["wrong_entry=gain"], ("Oz", "Cz"))
    with pytest.raises(InputError, match="no setting, such as frequency"):
        type_settings(SETTINGS, ["wrong_entry=A B"], ("Oz", "Cz"))


def person(*faults: str) -> tuple[ScriptedPerson, VirtualClock, PanelFirmware]:
    clock = VirtualClock()
    emulated = EmulatedManual().in_memory(RIG, clock, ("Oz", "Cz"), None, faults)
    assert isinstance(emulated, AttendedDevice)
    emulated.attendant.set_up(SETTINGS)
    return emulated.attendant, clock, emulated.bench.firmware


def heard(who: ScriptedPerson, clock: VirtualClock, word: str, seconds: float) -> list[str]:
    """What a person says who is asked for a word for a while."""
    said, until_s = [], clock.now_s() + seconds
    while clock.now_s() < until_s:
        said += who.hear(word, clock.now_s())
        clock.wait(clock.now_s() + 0.04)
    return said


def test_a_person_starts_and_stops_when_asked():
    assert isinstance(EmulatedManual(), AttendedEmulator)
    who, clock, panel = person()
    assert heard(who, clock, "", 5.0) == []
    assert heard(who, clock, "started", 3.0) == ["started"]
    assert panel.playing
    assert heard(who, clock, "", 60.0) == []
    assert heard(who, clock, "silent", 3.0) == ["silent"]
    panel.advance(clock.now_s())
    assert not panel.playing


def test_people_who_do_not():
    who, clock, panel = person("no_start")
    assert heard(who, clock, "started", 60.0) == []
    assert not panel.playing
    who, clock, panel = person("forgets_stop")
    heard(who, clock, "started", 3.0)
    assert heard(who, clock, "silent", 20.0) == []
    assert panel.playing
    who, clock, panel = person("false_silent")
    heard(who, clock, "started", 3.0)
    assert heard(who, clock, "silent", 20.0) == ["silent"]
    assert panel.playing


def test_a_panel_that_does_not_take_a_setting_is_said(tmp_path: Path):
    emulated = EmulatedManual().in_memory(RIG, VirtualClock(), ("Oz", "Cz"), None, ())
    with pytest.raises(InputError, match="the emulated panel: volume = '3 dB': ERR"):
        emulated.attendant.set_up({"volume": "3 dB"})
