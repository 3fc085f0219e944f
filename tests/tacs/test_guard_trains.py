"""The guard of a session with trains: a second barrier, with a memory of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tacs.capabilities import Capabilities
from tacs.guard import GuardedDriver
from tacs.limits import effective_limits
from tacs.protocol import Protocol
from tacs.rig import load_rig
from tests.tacs.made import protocol
from tests.tacs.test_guard_exact import HALF, Port, guarded, refused

TRAINS = replace(HALF, trains=True)
# 0.75 mA at Cz: 0.2 mA/s is a level of 0.2667 per second, 2 mA/s one of 2.667.
ORDINARY_S, EDGE_S = 3.75, 0.375


def held(for_s: float = 10.0, *, trains: bool = True, level: float = 1.0) -> GuardedDriver:
    """Risen by an ordinary ramp, held, and down at zero half a second later, at 20.5 s and held."""
    guard, _ = guarded(TRAINS if trains else HALF)
    guard.start(1.0, 0.0)
    guard.set_level(level, 10.0)
    guard.set_level(0.5 * level, 10.0 + for_s)
    guard.set_level(0.0, 10.5 + for_s)
    return guard


def edge(guard: GuardedDriver, from_s: float, to: float = 1.0, edge_s: float = EDGE_S) -> None:
    """Rise in twenty steps."""
    for step in range(1, 21):
        guard.set_level(to * step / 20.0, from_s + step * edge_s / 20.0)


def test_a_train_may_rise_by_its_edge_up_to_what_was_held():
    guard = held()
    edge(guard, 20.5)
    assert guard.level == 1.0
    found = refused(lambda: edge(held(), 20.5, edge_s=0.98 * EDGE_S))
    assert set(found) == {"train_envelope_slew_ma_per_s"}
    assert found["train_envelope_slew_ma_per_s"][1:] == (2.0, "Cz")


def test_a_gap_does_not_make_up_for_an_edge():
    # A tenth of a second is made up for, however long ago the last command was: 2 mA/s, 0.75 mA.
    guard = held()
    guard.set_level(0.2 / 0.75, 60.0)
    assert set(refused(lambda: held().set_level(0.21 / 0.75, 60.0))) == {
        "train_envelope_slew_ma_per_s"
    }


def test_what_was_held_too_short_or_not_at_all_is_an_ordinary_rise():
    for guard in (held(9.99), held(trains=False)):
        assert set(refused(lambda g=guard: g.set_level(1.0, 21.5))) == {"envelope_slew_ma_per_s"}
        guard.set_level(1.0, 20.49 + ORDINARY_S)
    fresh, _ = guarded(TRAINS)
    fresh.start(1.0, 0.0)
    assert "envelope_slew_ma_per_s" in refused(lambda: fresh.set_level(1.0, EDGE_S))
    edge(held(10.0 - 5e-7), 20.5)


def test_above_what_was_held_the_ordinary_limit_holds():
    guard = held(level=0.5)
    edge(guard, 20.5, 0.5)
    found = refused(lambda: guard.set_level(0.51, 20.5 + EDGE_S + 0.02))
    assert set(found) == {"envelope_slew_ma_per_s"}


def test_a_train_goes_on_in_steps_and_the_next_one_too():
    guard = held()
    for train in range(2):
        from_s = 20.5 + 10.0 * train
        edge(guard, from_s)
        guard.set_level(0.5, from_s + 5.0)
        assert set(refused(lambda s=from_s: guard.set_level(1.0, s + 5.01))) == {
            "train_envelope_slew_ma_per_s"
        }
        guard.set_level(0.0, from_s + 10.0)


def test_a_pause_takes_back_what_was_held_and_so_does_a_start():
    guard = held()
    guard.forget_tolerated()
    assert set(refused(lambda: guard.set_level(1.0, 21.5))) == {"envelope_slew_ma_per_s"}
    again = held()
    again.start(1.0, 21.0)
    assert set(refused(lambda: again.set_level(1.0, 22.0))) == {"envelope_slew_ma_per_s"}
    midway = held()
    midway.set_level(0.1, 20.6)
    midway.forget_tolerated()
    assert set(refused(lambda: midway.set_level(0.2, 20.7))) == {"envelope_slew_ma_per_s"}


def test_outside_of_a_train_what_was_held_gives_no_steep_rise():
    guard, _ = guarded(TRAINS)
    guard.start(1.0, 0.0)
    guard.set_level(1.0, 10.0)
    guard.set_level(0.5, 20.0)
    assert set(refused(lambda: guard.set_level(1.0, 20.3))) == {"envelope_slew_ma_per_s"}


class Tuned(Port):
    capabilities = replace(Port.capabilities, frequency_change="phase_continuous")


def tuned() -> GuardedDriver:
    _, port = guarded()
    guard, _ = guarded()
    made = GuardedDriver(
        Tuned(),  # type: ignore[arg-type]
        guard._limits,
        HALF,
        guard._areas_cm2,
        guard._electrodes_of,
        port,
    )
    made.start(1.0, 0.0)
    return made


def test_under_current_a_frequency_moves_by_a_step_at_most():
    guard = tuned()
    guard.set_frequency(20.0)  # at zero: another train
    guard.set_level(0.01, 1.0)
    guard.set_frequency(20.5)
    assert refused(lambda: guard.set_frequency(21.1)) == {
        "retune_step_hz": (pytest.approx(0.6), 0.5, "frequency")
    }
    guard.set_frequency(20.0)
    guard.set_frequency(20.5)


def test_what_a_device_makes_of_a_frequency_may_be_off_by_little():
    guard = tuned()
    guard.check_achieved(10.0, 10.05)
    guard.check_achieved(10.0, 9.95)
    assert refused(lambda: guard.check_achieved(10.0, 10.06)) == {
        "frequency_error_hz": (
            pytest.approx(0.06), 0.05, "10 Hz asked for, 10.06 Hz achieved",
        )
    }  # fmt: skip
    assert refused(lambda: guard.check_achieved(10.0, float("nan")))


def test_before_a_start_nothing_was_held():
    guard, _ = guarded(TRAINS)
    assert (guard._tolerated, guard._in_train) == (0.0, False)


class Rigged(Port):
    @classmethod
    def capabilities_on(cls, rig: object) -> Capabilities:
        return cls.capabilities


def test_only_a_protocol_with_trains_has_them_and_no_sham():
    def told(made: Protocol) -> bool:
        rig = load_rig("emulated-synthpal")
        guard = GuardedDriver.of(Rigged(), made, rig, effective_limits(), Port())  # type: ignore[arg-type]
        return guard._program.trains

    trains = {"on_s": 2.0, "off_s": 1.5, "edge_s": 0.5, "settle_s": 10.0, "count": 1}
    one = {"duration_s": 70.0, "trains": trains}
    assert told(protocol(**one)) is True
    assert told(protocol(**one, waveform="active_sham", sham_plateau_s=1.0)) is False
    assert told(protocol()) is False
