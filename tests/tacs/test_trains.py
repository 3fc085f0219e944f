"""Trains of a protocol: what may be written, what it comes to, and which limits it is held to."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tacs.errors import FileProblems
from tacs.history import DoseHistory
from tacs.ledger import whole_dose
from tacs.limits import LIMITS, EffectiveLimits, effective_limits
from tacs.protocol import Protocol
from tacs.safety import (
    cautions,
    command_breaches,
    device_breaches,
    margins,
    person_breaches,
    protocol_breaches,
)
from tacs.trains import Trains
from tacs.waveform import Waveform
from tests.tacs.made import capabilities, channel_data, protocol, protocol_data, rig
from tests.tacs.test_safety_exact import NOW

TRAINS = {"on_s": 2.0, "off_s": 1.5, "edge_s": 0.5, "settle_s": 10.0}


def made(trains: dict[str, Any] | None = None, **changes: Any) -> Protocol:
    data = {"duration_s": 90.0, "trains": {**TRAINS, **(trains or {})}, **changes}
    return protocol(**data)


def test_a_session_with_trains_has_a_run_in_and_as_many_trains_as_fit():
    one = made()
    # 30 s ramp, 10 s settled, 0.5 s edge; 49.5 s are left for periods of 3.5 s.
    assert one.n_trains == 14
    assert one.current_on_s == pytest.approx(40.5 + 14 * 2.0)
    assert made({"count": 3}).n_trains == 3
    assert protocol().n_trains == 0
    assert protocol().current_on_s == 1200.0


def test_the_envelope_of_trains_is_gap_free_and_back_at_zero_after_each():
    one = made({"count": 3})
    waveform = Waveform(one)
    for before, after in itertools.pairwise(waveform.segments):
        assert before.end_s == after.start_s
        assert before.end_level == after.start_level
    assert waveform.segments[-1].end_s == 90.0
    assert waveform.current_on_s == pytest.approx(one.current_on_s)
    # Half the ramp, 10 s, half an edge; each train 1 s on top and half of both edges.
    assert waveform.full_current_equivalent_s == pytest.approx(25.25 + 3 * 1.5)
    for at_s, level in ((15.0, 0.5), (35.0, 1.0), (40.25, 0.5), (41.0, 0.0), (42.25, 0.5),
                        (43.0, 1.0), (43.75, 0.5), (44.5, 0.0), (80.0, 0.0)):  # fmt: skip
        assert waveform.envelope(at_s) == pytest.approx(level), at_s
    dose = whole_dose(one, "commanded")
    assert dose.current_on_s == pytest.approx(46.5)
    assert dose.rectified_charge_c["Oz"] == pytest.approx(2e-3 / np.pi * 29.75)


def test_a_sweep_plays_its_steps_in_turn_without_a_jump_in_phase():
    steps = [{"frequency_hz": 9.0, "level": 0.5}, {"frequency_hz": 11.0}]
    one = made({"count": 4, "steps": steps})
    waveform = Waveform(one)
    tops = [s for s in waveform.segments if s.kind == "train_on"]
    assert [s.start_level for s in tops] == [0.5, 1.0, 0.5, 1.0]
    assert [waveform.phase.frequency_hz(s.start_s) for s in tops] == [9.0, 11.0, 9.0, 11.0]
    times_s = np.arange(0.0, 90.0, 1e-3)
    current = waveform.sample(times_s)[0]
    assert np.abs(np.diff(current)).max() < 2.0 * np.pi * 11.0 * 1e-3 + 2e-3


def test_a_seeded_order_is_a_new_one_in_every_round_and_the_same_for_a_seed():
    steps = [{"frequency_hz": hz} for hz in (8.0, 9.0, 10.0, 11.0, 12.0)]
    data = {**TRAINS, "steps": steps, "order": "seeded", "seed": 3}
    course = [s.frequency_hz for s in Trains.from_data(data, "x").course(12) if s is not None]
    again = [s.frequency_hz for s in Trains.from_data(data, "x").course(12) if s is not None]
    other = Trains.from_data({**data, "seed": 4}, "x").course(12)
    assert course == again != [s.frequency_hz for s in other if s is not None]
    assert sorted(course[:5]) == sorted(course[5:10]) == [8.0, 9.0, 10.0, 11.0, 12.0]
    assert course[:5] != course[5:10]


@pytest.mark.parametrize(
    ("trains", "changes", "told"),
    [
        ({"on_s": 0.9}, {}, "trains.on_s: 0.9 s is shorter than its two edges of 0.5 s"),
        ({"off_s": 1.51}, {}, "trains.off_s: 1.51 s is not a whole number of 0.02 s"),
        ({"count": 15}, {}, "and 15 trains of 3.5 s with the gap (93 s in all)"),
        ({"count": 0}, {}, "trains.count"),
        ({"on_s": 0.0}, {}, "trains.on_s"),
        ({}, {"duration_s": 43.0}, "duration_s: 43 s is shorter than the run-in of 40.5 s"),
        ({}, {"duration_s": 50.0}, "leaves no ordinary ramp_down_s of 15 s after the run-in"),
        ({"order": "seeded"}, {}, "trains.seed: missing"),
        ({"order": "seeded", "seed": 1}, {}, "there are no steps to be put in an order"),
        ({"seed": 1}, {}, "only the order 'seeded' has one"),
        ({"steps": [{"frequency_hz": 9.0, "level": 1.5}]}, {}, "trains.steps[0].level"),
        ({}, {"blinding": {"label": "A"}}, "a blinded session cannot have trains yet"),
        ({}, {"blinding": {"label": "A"}, "retune": {"within_hz": 1.0}}, "cannot be retuned"),
        ({"steps": [{"frequency_hz": 9.0}]}, {"retune": {"within_hz": 1.0}}, "have one of both"),
        ({"on_s": 0.04, "off_s": 0.02, "edge_s": 0.02}, {"duration_s": 9e3}, "more than 5000"),
    ],
)
def test_what_does_not_fit_is_told(trains: dict[str, Any], changes: dict[str, Any], told: str):
    with pytest.raises(FileProblems) as caught:
        made(trains, **changes)
    assert told in str(caught.value)


@pytest.mark.parametrize("bad", [7, "x", [], {"on_s": "a"}, {"on_s": True}, {}])
def test_senseless_trains_are_told_and_nothing_breaks(bad: Any):
    with pytest.raises(FileProblems, match="trains"):
        Protocol.from_data(protocol_data(trains=bad), "made")


def test_a_protocol_without_trains_keeps_its_hash():
    assert "trains" not in protocol().to_data()
    assert "retune" not in protocol().to_data()


def limits(**changes: float) -> EffectiveLimits:
    values = {name: row.default for name, row in LIMITS.items()} | changes
    return EffectiveLimits(values, dict.fromkeys(LIMITS, "default"))


@pytest.mark.parametrize(
    ("trains", "limit", "value"),
    [
        ({"edge_s": 0.48}, "train_edge_s", 0.48),
        ({"edge_s": 0.48}, "train_envelope_slew_ma_per_s", 1.0 / 0.48),
        ({"settle_s": 9.98}, "train_tolerated_s", 9.98),
        ({"off_s": 0.48}, "train_duty_cycle", 2.0 / 2.48),
        ({"steps": [{"frequency_hz": 0.4}]}, "frequency_lowest_hz", 0.4),
        ({"steps": [{"frequency_hz": 101.0}]}, "frequency_highest_hz", 101.0),
    ],
)
def test_each_limit_of_trains(trains: dict[str, Any], limit: str, value: float):
    assert protocol_breaches(made(), limits()) == []
    broken = {b.limit: b for b in protocol_breaches(made(trains), limits())}
    assert broken[limit].value == pytest.approx(value)
    assert broken[limit].allowed == LIMITS[limit].default


def test_trains_at_their_limits_are_allowed():
    at = made({"off_s": 0.5, "settle_s": 10.0, "edge_s": 0.5})
    assert at.trains is not None
    assert at.trains.duty_cycle == LIMITS["train_duty_cycle"].default
    assert protocol_breaches(at, limits()) == []


def test_the_session_limit_counts_the_whole_and_the_day_what_is_on():
    one = made(duration_s=1201.0)
    assert [b.limit for b in protocol_breaches(one, limits())] == ["session_duration_min"]
    found = {m.limit: m.value for m in margins(one, limits())}
    assert found["session_duration_min"] == pytest.approx(1201.0 / 60.0)
    history = DoseHistory(current_on_24h_min=40.0 - one.current_on_s / 60.0 + 1e-9)
    told = person_breaches(one, limits(), subject="01", history=history, now=NOW)
    assert [b.limit for b in told] == ["daily_duration_min"]
    fits = DoseHistory(current_on_24h_min=40.0 - one.current_on_s / 60.0)
    assert person_breaches(one, limits(), subject="01", history=fits, now=NOW) == []


def test_a_command_of_a_train_is_held_to_the_limits_of_an_edge_and_of_a_step() -> None:
    at = limits()
    # A hundredth more, for a host that makes up for a late tick.
    assert command_breaches(at, edge_slews_ma_per_s={"Oz": 2.0 * 1.01}) == []
    (steep,) = command_breaches(at, edge_slews_ma_per_s={"Oz": 2.0 * 1.011})
    assert (steep.limit, steep.where) == ("train_envelope_slew_ma_per_s", "Oz")
    assert steep.value == pytest.approx(2.0 * 1.011 / 1.01)
    assert command_breaches(at, retune_hz=0.5) == []
    (far,) = command_breaches(at, retune_hz=0.51)
    assert (far.limit, far.value, far.where) == ("retune_step_hz", 0.51, "frequency")


def test_an_operator_is_told_of_trains_before_arming() -> None:
    def told(**trains: Any) -> list[str]:
        return [text for text in cautions(made(trains)) if "trains" in text]

    assert told() == [
        "14 trains of 2 s, at least 1.5 s apart: each rises within 0.5 s, once the full current "
        "was held for 10 s"
    ]
    (asked,) = told(start="request")
    assert asked.startswith("14 trains of 2 s at most, each on request, at least 1.5 s apart")
    sham = made(waveform="active_sham", sham_plateau_s=5.0)
    assert not any("trains" in text for text in [*cautions(sham), *cautions(protocol())])


def test_both_ends_of_what_may_be_retuned_are_held_to_the_limits() -> None:
    def told(within_hz: float) -> list[tuple[str, object]]:
        one = protocol(retune={"within_hz": within_hz})
        return [(b.limit, b.value) for b in protocol_breaches(one, limits())]

    assert told(9.0) == []
    assert told(10.0) == [("frequency_lowest_hz", pytest.approx(0.27))]
    high = protocol(frequency_hz=99.0, retune={"within_hz": 2.0})
    found = protocol_breaches(high, limits())
    assert [(b.limit, b.value) for b in found] == [("frequency_highest_hz", 101.0)]
    assert "device_frequency_max_hz" in device(
        protocol(retune={"within_hz": 1.0}), frequency_max_hz=11.0,
        frequency_change="phase_continuous",
    )  # fmt: skip
    assert "device_frequency_min_hz" in device(
        protocol(retune={"within_hz": 1.0}), frequency_min_hz=10.0,
        frequency_change="phase_continuous",
    )  # fmt: skip


def test_the_frequency_that_a_device_misses_most_is_told() -> None:
    steps = [{"frequency_hz": 10.0}, {"frequency_hz": 10.4}]
    one = made({"steps": steps}, frequency_hz=10.0)
    told = device(one, no_trains="", frequency_step_hz=1.0, frequency_change="glitch")
    assert "frequency_error_hz (made): 0.4 Hz" in told["frequency_error_hz"]


def device(one: Protocol, **changes: Any) -> dict[str, str]:
    told = device_breaches(
        one,
        capabilities(**changes),
        rig(channel_data(1, "Oz", "Cz")),
        effective_limits(),
        today=NOW.date(),
        emulated=False,
    )
    return {b.limit: str(b) for b in told}


def test_a_device_that_cannot_play_trains_is_refused_with_its_reason():
    assert device(made(), no_trains="") == {}
    told = device(made(), no_trains="it plays one ramp up and one down")
    assert "it plays one ramp up and one down" in told["device_trains"]
    assert "does not declare" in device(made())["device_trains"]
    assert device(protocol()) == {}
    steep = device(made(), no_trains="", train_edge_min_s=2.0)
    assert "0.5 s, allowed 2 s" in steep["device_train_edge_s"]
    assert device(made(), no_trains="", train_edge_min_s=0.5) == {}


def test_a_device_that_cannot_retune_is_refused_where_that_is_asked():
    sweep = made({"steps": [{"frequency_hz": 9.0}]})
    retuned = protocol(retune={"within_hz": 1.0})
    for one, what in ((sweep, "trains.steps"), (retuned, "retune")):
        assert device(one, no_trains="", frequency_change="phase_continuous") == {}
        told = device(one, no_trains="", frequency_change="stop_first")
        assert what in told["device_frequency_change"]
    far = protocol(retune={"within_hz": 10.0})
    assert "frequency_lowest_hz" in {b.limit for b in protocol_breaches(far, limits())}
    coarse = device(sweep, no_trains="", frequency_step_hz=2.0, frequency_change="glitch")
    assert "frequency_error_hz" in coarse
    low = device(sweep, no_trains="", frequency_min_hz=9.5)
    assert "device_frequency_min_hz" in low
