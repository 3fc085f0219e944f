"""What a rig of a NIC may say, and what of a programme NIC's grid can follow."""

from __future__ import annotations

import dataclasses
import math

import pytest

from devices.nic2_plan import plan_of
from devices.nic2_rig import MARGIN_S, Nic2Rig
from tacs.errors import InputError, SafetyRefusal
from tacs.limits import LIMITS
from tacs.rig import load_rig
from tests.devices.nic2_bench import BIFRONTAL, RIG, program, rig


def test_the_shipped_rig():
    found = Nic2Rig.of(RIG)
    assert found.electrodes[1] == "Oz"
    assert set(found.electrodes.values()) >= {"Oz", "Cz", "F3", "F4", "Fp1", "Fp2", "O1", "O2"}
    assert found.impedance_check == "none"
    assert found.impedance_max_kohm == LIMITS["impedance_start_kohm"].default


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": None}, "options.protocol: None is no name"),
        ({"protocol": ""}, "options.protocol: '' is no name"),
        ({"protocol": "a;b"}, "options.protocol: 'a;b' is no name"),
        ({"protocol": "a\nb"}, "is no name"),
        ({"protocol": 7}, "options.protocol: 7 is no name"),
        ({"protocol": "zero"}, "protocol_duration_s: None is no length"),
        ({"protocol": "zero", "protocol_duration_s": 0.0}, "0.0 is no length"),
        ({"protocol": "zero", "protocol_duration_s": math.inf}, "inf is no length"),
        ({"protocol": "zero", "protocol_duration_s": True}, "True is no length"),
        ({"protocol": "zero", "protocol_duration_s": "60"}, "'60' is no length"),
        ({"protocol_duration_s": 60.0}, "leave it out"),
        ({"impedance_check": "dc"}, "'dc' is none of 'none', 'AC', 'DC'"),
        ({"impedance_max_kohm": 21.0}, "at most 20"),
        ({"impedance_max_kohm": 0}, "at most 20"),
        ({"impedance_max_kohm": "x"}, "at most 20"),
        ({"slope_min_ua_per_ms": 0.062}, "at most 0.061 µA/ms"),
        ({"slope_min_ua_per_ms": 0.0}, "not more than 0"),
        ({"gain": 2.0}, "gain is unknown; known: protocol"),
    ],
)
def test_options_that_cannot_be(options: dict, message: str):
    with pytest.raises(InputError, match=message) as refusal:
        Nic2Rig.of(rig(**options))
    assert "\n" not in str(refusal.value)


def test_rigs_that_do_not_fit():
    with pytest.raises(InputError, match="give the rig file"):
        Nic2Rig.of(None)
    with pytest.raises(InputError, match="for the device 'synthpal', not for nic2"):
        Nic2Rig.of(load_rig("emulated-synthpal"))
    loops = load_rig("emulated-synthpal").model_copy(update={"device": "nic2"})
    with pytest.raises(InputError, match=r"write one \[\[outputs\]\] table per electrode"):
        Nic2Rig.of(loops)
    beyond = RIG.outputs[0].model_copy(update={"channel": 33})
    with pytest.raises(InputError, match="channel 33 does not exist"):
        Nic2Rig.of(RIG.model_copy(update={"outputs": (beyond,)}))


@pytest.mark.parametrize(
    ("session_s", "minutes"), [(1.0, 3), (58.0, 3), (58.1, 4), (1200.0, 23), (1198.0, 22)]
)
def test_a_series_of_protocols_is_named_by_its_minutes(session_s: float, minutes: int):
    name, length_s = Nic2Rig.of(RIG).protocol_for(session_s)
    assert name == f"tacs zero {minutes} min"
    assert length_s == 60.0 * minutes
    assert session_s + 2.0 <= length_s <= session_s + MARGIN_S


def test_one_protocol_of_a_length():
    found = Nic2Rig.of(rig(protocol="zero", protocol_duration_s=300))
    assert found.protocol_for(298.0) == ("zero", 300.0)
    assert found.protocol_for(100.0) == ("zero", 300.0)
    with pytest.raises(InputError, match=r"ends after 300 s, before the session of 298\.5 s"):
        found.protocol_for(298.5)
    with pytest.raises(InputError, match="may be at most 200 s longer"):
        found.protocol_for(99.9)


# programmes


def test_a_pair():
    plan = plan_of(program(), Nic2Rig.of(RIG), 8)
    assert plan.currents_ua == (1000.0, 1000.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert plan.frequencies == (10, 10, 0, 0, 0, 0, 0, 0)
    assert plan.phases_deg == (0, 180, 0, 0, 0, 0, 0, 0)
    assert plan.protocol == "tacs zero 4 min"
    assert plan.wait_max_s == 178.0
    assert plan.planned_per_s == pytest.approx(1 / 30)
    assert (plan.soft_stop_ms, plan.emergency_stop_ms) == (800, 100)


def test_microamperes_are_rounded_down_and_balance():
    plan = plan_of(program({1: 0.4104, 3: 0.6009, 2: 1.0113}), Nic2Rig.of(RIG), 8)
    assert plan.staircase().top_ua == (410, 1010, 600, 0, 0, 0, 0, 0)


def test_three_phases():
    plan = plan_of(
        program({1: 0.5, 3: 0.5, 4: 0.5}, {1: 0.0, 3: 120.0, 4: -120.0}), Nic2Rig.of(RIG), 8
    )
    assert plan.phases_deg[:4] == (0, 0, 120, 240)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frequency_hz": 10.27}, "10.27 Hz: NIC is given whole hertz only"),
        ({"frequency_hz": 10.5}, "take 10 Hz by your own decision"),
        ({"frequency_hz": 0.5}, "outside NIC's 1 to 150"),
        ({"frequency_hz": 151.0}, "outside NIC's"),
        ({"frequency_hz": math.nan}, "outside NIC's"),
        ({"carrier_hz": 100.0}, "plain sines"),
        ({"currents_peak_ma": {9: 1.0, 2: 1.0}}, "no channel 9; it has 1, 2"),
        ({"currents_peak_ma": {1: math.nan, 2: 1.0}}, "not a zero-to-peak current"),
        ({"currents_peak_ma": {1: -1.0, 2: 1.0}}, "not a zero-to-peak current"),
        ({"currents_peak_ma": {1: 0.0, 2: 0.0}}, "no current"),
        ({"currents_peak_ma": {1: 0.0069, 2: 0.0069}}, "no channel more slowly than 0.061"),
        ({"phases_deg": {1: 0.5, 2: 180.5}}, "Oz: the phase 0.5° has decimals"),
        ({"phases_deg": {1: math.inf, 2: 180.0}}, "is no phase"),
        ({"soft_stop_s": 0.05}, "soft_stop_s: 0.05 s is outside NIC's transitions"),
        ({"emergency_stop_s": math.nan}, "emergency_stop_s"),
    ],
)
def test_what_nic_cannot_follow_is_refused_in_one_line(change: dict, message: str):
    with pytest.raises(InputError, match=message) as refusal:
        plan_of(dataclasses.replace(program(), **change), Nic2Rig.of(RIG), 8)
    assert "\n" not in str(refusal.value)


def test_currents_too_far_apart_are_refused():
    uneven = program({1: 0.1, 3: 0.9, 2: 1.0})
    with pytest.raises(InputError, match="Oz: 100 µA beside 1000 µA"):
        plan_of(uneven, Nic2Rig.of(RIG), 8)
    assert plan_of(program(BIFRONTAL), Nic2Rig.of(RIG), 8)
    ring = program({3: 0.25, 4: 0.25, 7: 0.25, 8: 0.25, 2: 1.0})
    with pytest.raises(InputError, match="write slope_min_ua_per_ms"):
        plan_of(ring, Nic2Rig.of(RIG), 8)
    assert plan_of(ring, Nic2Rig.of(rig(slope_min_ua_per_ms=0.03)), 8)


@pytest.mark.parametrize(
    ("currents", "phases", "limit", "value"),
    [
        ({1: 1.0, 2: 1.0}, {1: 0.0, 2: 0.0}, "current_balance_residual_ma", 2.0),
        ({1: 1.0}, {1: 0.0}, "current_balance_residual_ma", 1.0),
        ({1: 1.0, 2: 0.98}, {1: 0.0, 2: 180.0}, "current_balance_residual_ma", 0.02),
        ({1: 1.0, 2: 1.0}, {1: 0.0, 2: 179.0}, "current_balance_residual_ma", 0.01745),
        ({1: 2.1, 2: 2.1}, {1: 0.0, 2: 180.0}, "device_current_ma", 2.1),
    ],
)
def test_currents_that_do_not_add_up_or_are_too_large(currents, phases, limit, value):
    with pytest.raises(SafetyRefusal) as refusal:
        plan_of(program(currents, phases), Nic2Rig.of(RIG), 8)
    breach = next(b for b in refusal.value.breaches if b.limit == limit)
    assert breach.value == pytest.approx(value, abs=1e-4)


def test_a_little_imbalance_is_rounded_away():
    plan = plan_of(program({1: 1.0, 2: 0.995}), Nic2Rig.of(RIG), 8)
    assert plan.staircase().top_ua[:2] == (995, 995)


def test_a_rig_limit_is_refused():
    small = RIG.outputs[0].model_copy(update={"current_max_ma": 0.9})
    limited = RIG.model_copy(update={"outputs": (small, *RIG.outputs[1:])})
    with pytest.raises(SafetyRefusal, match="rig_current_max_ma"):
        plan_of(program(), Nic2Rig.of(limited), 8)


def test_stops_never_take_longer_than_asked_for():
    plan = plan_of(dataclasses.replace(program(), soft_stop_s=0.7999), Nic2Rig.of(RIG), 8)
    assert plan.soft_stop_ms == 799
