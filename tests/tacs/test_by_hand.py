"""What a person has to set: units, grids, peak against peak-to-peak, and what cannot be set."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacs.by_hand import hand_breaches, instruction, sheet_of
from tacs.errors import FileProblems
from tacs.hand_panel import Panel, exact, shown
from tacs.limits import effective_limits
from tests.tacs.hand import hand_rig, texts
from tests.tacs.made import montage_data, protocol

LIMITS = effective_limits()


def panel(*without: str, **changes: Any) -> Panel:
    return Panel.of(hand_rig(*without, **changes))


def broken(made: Any, *without: str, **changes: Any) -> dict[str, str]:
    found = hand_breaches(made, hand_rig(*without, **changes), LIMITS)
    return {breach.limit: str(breach) for breach in found}


def test_the_sheet_has_everything_as_the_panel_shows_it():
    sheet = sheet_of(protocol(), hand_rig())
    assert texts(sheet) == {
        "waveform": "sine",
        "frequency": "10.27 Hz",
        "ramp_up": "30 s",
        "duration": "1155 s",
        "ramp_down": "15 s",
        "channel_1_electrodes": "Oz-Cz",
        "channel_1_amplitude": "2.000 mA",
        "channel_1_phase": "0 deg",
    }
    text = sheet.text()
    assert "= 1 mA zero-to-peak = 2 mA peak-to-peak; the panel asks for PEAK-TO-PEAK" in text
    assert "! the panel asks for the PEAK-TO-PEAK current; peak-to-peak is twice" in text
    assert "! the panel's duration counts without the ramps" in text


@pytest.mark.parametrize(
    ("without", "changes", "key", "text"),
    [
        ("", {"amplitude_display": "peak"}, "channel_1_amplitude", "1.000 mA"),
        ("amplitude_step_ma", {"amplitude_step_ua": 5}, "channel_1_amplitude", "2000 µA"),
        ("frequency_step_hz", {"frequency_step_mhz": 10}, "frequency", "10270 mHz"),
        ("frequency_step_hz", {"period_step_ms": 0.1}, "frequency", "97.4 ms"),
        ("", {"frequency_step_hz": 0.1}, "frequency", "10.3 Hz"),
        ("", {"duration_includes_ramps": True}, "duration", "1200 s"),
        (
            "duration_step_s",
            {"duration_step_min": 0.25, "duration_includes_ramps": True},
            "duration",
            "20.00 min",
        ),
        ("", {"waveform_name": "SIN"}, "waveform", "SIN"),
    ],
)
def test_units_and_grids_of_the_panel(without: str, changes: dict[str, Any], key: str, text: str):
    assert texts(sheet_of(protocol(), hand_rig(without, **changes)))[key] == text


def test_the_current_is_rounded_down_and_both_numbers_are_shown():
    made = protocol(montage=montage_data(("Oz", "Cz", 0.99)))
    sheet = sheet_of(made, hand_rig())
    (amplitude,) = (s for s in sheet.settings if s.kind == "amplitude")
    assert amplitude.text == "1.975 mA"
    assert "= 0.9875 mA zero-to-peak = 1.975 mA peak-to-peak" in amplitude.note


@given(
    current_ma=st.floats(0.0, 4.0),
    step=st.sampled_from([0.001, 0.005, 0.01, 0.025, 0.1]),
    display=st.sampled_from(["peak", "peak_to_peak"]),
)
def test_a_setting_is_never_more_than_was_asked(current_ma: float, step: float, display: str):
    made = panel(amplitude_step_ma=step, amplitude_display=display)
    amplitude = made.amplitude(current_ma)
    assert (amplitude / exact(step)).denominator == 1
    assert exact(made.current_peak_ma(amplitude)) <= exact(current_ma) + Fraction(1, 10**15)
    left = exact(current_ma) * made.peaks - amplitude
    assert left < exact(step)


@given(st.integers(0, 10**7), st.sampled_from([1, 0.5, 0.25, 0.01, 0.001]))
def test_a_number_is_shown_with_the_decimals_of_its_grid(n: int, step: float):
    number = n * exact(step)
    assert Fraction(shown(number, exact(step))) == number


def test_opposite_phase_and_a_swapped_pair():
    made = protocol(montage=montage_data(("Oz", "Cz", 0.5), ("Cz", "F3", 0.5)))
    found = texts(sheet_of(made, hand_rig()))
    assert (found["channel_2_electrodes"], found["channel_2_phase"]) == ("F3-Cz", "180 deg")
    assert "phase_deg" in broken(made, "phase_step_deg")
    assert broken(made) == {}
    same = protocol(montage=montage_data(("Oz", "Cz", 0.5), ("F3", "Cz", 0.5)))
    assert broken(same, "phase_step_deg") == {}
    assert "channel_1_phase" not in texts(sheet_of(same, hand_rig("phase_step_deg")))


@pytest.mark.parametrize(
    ("made", "changes", "limit"),
    [
        ({}, {"frequency_step_hz": 1}, "frequency_error_hz"),
        ({"ramp_up_s": 30.5}, {}, "hand_grid"),
        ({"duration_s": 1200.5}, {}, "hand_grid"),
        ({}, {"phase_step_deg": 7, "device_stop_s": 0.05}, ""),
        ({}, {"device_stop_s": 0.2}, "emergency_stop_s"),
        ({}, {"device_stop_s": 1.5}, "soft_stop_s"),
        ({"waveform": "active_sham", "sham_plateau_s": 5.0}, {}, "device_waveform"),
        ({"blinding": {"label": "A"}}, {}, "hand_blinding"),
        ({"montage": montage_data(("Oz", "Cz", 0.01))}, {}, "hand_grid"),
    ],
)
def test_what_cannot_be_set_is_refused(made: dict[str, Any], changes: dict[str, Any], limit: str):
    found = broken(protocol(**made), **changes)
    assert (limit in found) if limit else found == {}


def test_a_rig_without_a_panel_names_everything_that_is_missing():
    bare = hand_rig().model_copy(update={"options": {}})
    with pytest.raises(FileProblems) as told:
        Panel.of(bare)
    text = str(told.value)
    needed = ("device_name", "amplitude_display", "duration_includes_ramps", "ramp_step_s")
    grids = ("device_stop_s", "amplitude_step_ua", "period_step_ms", "duration_step_min")
    assert all(name in text for name in needed + grids)


@pytest.mark.parametrize(
    ("without", "changes", "problem"),
    [
        ("", {"amplitude_display": "pp"}, "options.amplitude_display: must be peak or peak_to"),
        ("", {"amplitude_step_ua": 5}, "write one of amplitude_step_ma, amplitude_step_ua"),
        ("", {"frequency_step_hz": 0}, "options.frequency_step_hz: must be a number above 0"),
        ("", {"frequency_step_hz": "0.1"}, "options.frequency_step_hz: must be a number above 0"),
        ("", {"device_stop_s": -1}, "options.device_stop_s: must be seconds, 0 or more"),
        ("", {"duration_includes_ramps": 1}, "must be true or false"),
        ("", {"device_name": " "}, "options.device_name: must be a text in quotes"),
        ("", {"phase_step_deg": True}, "options.phase_step_deg: must be a number above 0"),
        ("", {"ramp_step": 1}, "options.ramp_step: unknown; known: device_name"),
        ("ramp_step_s", {}, "options.ramp_step_s: missing; grid of the panel's ramps"),
    ],
)
def test_a_wrong_option_is_one_clear_line(without: str, changes: dict[str, Any], problem: str):
    with pytest.raises(FileProblems, match=r"^rig made: ") as told:
        panel(without, **changes)
    assert problem in str(told.value)


def test_instructions():
    assert instruction("", "X") == ""
    assert "press START on X NOW" in instruction("started", "X")
    assert "press STOP on X NOW" in instruction("silent", "X")
    assert "the session is over" in instruction("silent", "X", ended=True)
