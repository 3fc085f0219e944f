"""The guard to the letter: what it passes on, what it gives back, and where each limit begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tacs.capabilities import Capabilities
from tacs.driver import Achieved, Identity, Program, Status
from tacs.errors import SafetyRefusal
from tacs.guard import GuardedDriver
from tacs.limits import EffectiveLimits, effective_limits
from tests.tacs.made import capabilities

IDENTITY = Identity(model="made", firmware="1", details={"port": "none"})
STATUS = Status(playing=(1,), current_peak_ma=None, impedance_kohm=None, details={"late": 0})
HALF = Program(
    frequency_hz=10.0,
    currents_peak_ma={1: 0.5, 2: 0.25},
    phases_deg={1: 0.0, 2: 0.0},
    soft_stop_s=0.8,
    emergency_stop_s=0.1,
)
ELECTRODES = {1: ("Oz", "Cz"), 2: ("Pz", "Cz")}
AREAS_CM2 = {"Oz": 25.0, "Cz": 25.0, "Pz": 25.0}


class Port:
    """What the guard drives and writes to, in one list."""

    capabilities: Capabilities = capabilities(frequency_change="glitch")
    gain = 1.0
    retuned_hz = 9.99

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    def intent(self, verb: str, data: Mapping[str, Any], *, sync: bool) -> None:
        self.log.append(("intent", verb, dict(data), sync))

    def answer(self, verb: str, data: Mapping[str, Any]) -> None:
        self.log.append(("answer", verb, dict(data)))

    def connect(self) -> Identity:
        return IDENTITY

    def configure(self, program: Program) -> Achieved:
        self.log.append(("configure", program))
        return Achieved(
            frequency_hz=10.0,
            currents_peak_ma={k: v * self.gain for k, v in program.currents_peak_ma.items()},
        )

    def start(self, lease_s: float) -> None:
        self.log.append(("start", lease_s))

    def set_level(self, level: float) -> None:
        self.log.append(("level", level))

    def extend_lease(self, elapsed_s: float, lease_s: float) -> None:
        self.log.append(("lease", elapsed_s, lease_s))

    def set_frequency(self, frequency_hz: float) -> float:
        return self.retuned_hz

    def soft_stop(self) -> None:
        self.log.append(("soft stop",))

    def emergency_stop(self) -> None:
        self.log.append(("emergency stop",))

    def told(self, word: str) -> None:
        self.log.append(("told", word))

    def status(self) -> Status:
        return STATUS

    def close(self) -> None:
        self.log.append(("close",))


def guarded(
    program: Program = HALF, areas_cm2: Mapping[str, float] = AREAS_CM2, **limits: float
) -> tuple[GuardedDriver, Port]:
    port = Port()
    default = effective_limits()
    tight = EffectiveLimits({**default, **limits}, dict.fromkeys(default, "default"))
    guard = GuardedDriver(port, tight, program, areas_cm2, ELECTRODES, port)  # type: ignore[arg-type]
    return guard, port


def refused(call: Any) -> dict[str, tuple[Any, Any, str]]:
    with pytest.raises(SafetyRefusal) as found:
        call()
    return {b.limit: (b.value, b.allowed, b.where) for b in found.value.breaches}


def test_what_the_device_says_is_given_back_and_written_down():
    guard, port = guarded()
    assert guard.connect() is IDENTITY
    achieved = guard.configure()
    assert achieved.currents_peak_ma == {1: 0.5, 2: 0.25}
    assert guard.set_frequency(10.0) == 9.99
    assert guard.status() is STATUS
    assert guard.capabilities is Port.capabilities
    answers = [entry[1:] for entry in port.log if entry[0] == "answer"]
    assert answers == [
        ("connect", {"model": "made", "firmware": "1", "details": {"port": "none"}}),
        ("configure", {"frequency_hz": 10.0, "currents_peak_ma": {1: 0.5, 2: 0.25}}),
        ("set_frequency", {"frequency_hz": 9.99}),
    ]


def test_a_programme_that_breaks_a_limit_is_not_sent():
    guard, port = guarded(electrode_current_peak_ma=0.7)
    assert refused(guard.configure) == {"electrode_current_peak_ma": (0.75, 0.7, "Cz")}
    assert port.log == []
    guard, port = guarded(areas_cm2={**AREAS_CM2, "Oz": 0.5})
    assert refused(guard.configure) == {"current_density_peak_a_m2": (10.0, 6.5, "Oz")}
    guard, port = guarded(total_injected_current_peak_ma=0.7)
    assert refused(guard.configure) == {"total_injected_current_peak_ma": (0.75, 0.7, "montage")}


def test_the_level_scales_what_the_limits_see():
    guard, port = guarded(electrode_current_peak_ma=0.375)
    guard.start(1.0, 0.0)
    guard.set_level(0.5, 5.0)
    assert port.log[-1] == ("level", 0.5)
    assert refused(lambda: guard.set_level(0.6, 9.0)) == {
        "electrode_current_peak_ma": (pytest.approx(0.45), 0.375, "Cz")
    }


def test_a_device_may_round_down_and_no_more():
    guard, port = guarded()
    port.gain = 1.0 + 1e-9
    assert guard.configure().currents_peak_ma[1] == pytest.approx(0.5)
    port.gain = 1.0 + 1e-8
    found = refused(guard.configure)
    assert found == {"quantised_current_ma": (pytest.approx(0.5), 0.5, "channel 1")} or found == {
        "quantised_current_ma": (pytest.approx(0.25), 0.25, "channel 2")
    }


def test_the_grid_is_exact_to_a_picoampere():
    guard, port = guarded()
    port.configure = lambda program: Achieved(  # type: ignore[method-assign]
        frequency_hz=10.0, currents_peak_ma={1: 0.5 + 1e-9, 2: 0.25}
    )
    assert guard.configure().currents_peak_ma[1] == 0.5 + 1e-9


def test_a_start_begins_from_nothing_again():
    guard, port = guarded()
    guard.start(1.0, 0.0)
    guard.set_level(0.1, 1.0)
    guard.start(0.9, 5.0)
    assert port.log[-1] == ("start", 0.9)
    assert guard.level == 0.0
    assert "envelope_slew_ma_per_s" in refused(lambda: guard.set_level(0.1, 5.0))
    guard.set_level(0.1, 6.0)
    assert guard.level == 0.1


def test_the_rise_of_each_electrode_is_told():
    guard, _ = guarded(envelope_slew_ma_per_s=0.15)
    guard.start(1.0, 0.0)
    guard.set_level(0.2, 10.0)
    with pytest.raises(SafetyRefusal) as found:
        guard.set_level(1.0, 12.0)  # 0.8 of 0.5, 0.75 and 0.25 mA in 2 s
    told = {b.where: b.value for b in found.value.breaches}
    assert told == {
        "Oz": pytest.approx(0.2 / 1.01),
        "Cz": pytest.approx(0.3 / 1.01),
    }


def test_the_same_level_again_is_no_rise():
    guard, port = guarded()
    guard.start(1.0, 0.0)
    guard.set_level(0.5, 10.0)
    guard.set_level(0.5, 10.0)
    assert port.log[-1] == ("level", 0.5)


@pytest.mark.parametrize("stop", ["soft_stop", "emergency_stop"])
def test_after_a_stop_every_level_is_a_rise(stop: str):
    guard, _ = guarded()
    guard.start(1.0, 0.0)
    guard.set_level(0.5, 10.0)
    getattr(guard, stop)()
    assert guard.level == 0.0
    assert "envelope_slew_ma_per_s" in refused(lambda: guard.set_level(0.5, 10.1))


def test_a_level_above_the_protocol_is_refused_where_every_current_is_allowed():
    guard, _ = guarded()
    guard.start(1.0, 0.0)
    assert refused(lambda: guard.set_level(1.01, 60.0)) == {"level": (1.01, 1.0, "command")}
    assert refused(lambda: guard.set_level(-0.01, 1.0)) == {"level": (-0.01, 1.0, "command")}
    guard.set_level(1.0, 60.0)
    assert guard.level == 1.0


def test_what_is_written_of_a_command():
    guard, port = guarded()
    guard.start(1.0, 0.0)
    guard.set_level(0.123456789, 1.0)
    guard.extend_lease(0.123456, 1.0)
    guard.soft_stop()
    guard.emergency_stop()
    guard.close()
    assert port.log == [
        ("intent", "start", {"lease_s": 1.0}, True),
        ("start", 1.0),
        ("intent", "set_level", {"level": 0.123457}, False),
        ("level", 0.123456789),
        ("intent", "extend_lease", {"elapsed_s": 0.1235, "lease_s": 1.0}, False),
        ("lease", 0.123456, 1.0),
        ("intent", "soft_stop", {}, False),
        ("soft stop",),
        ("emergency stop",),
        ("intent", "emergency_stop", {}, False),
        ("close",),
    ]


def test_a_person_who_is_asked_to_start_is_on_disk_before_and_their_words_reach_the_device():
    guard, port = guarded()
    guard.ask_start()
    guard.told("silent")
    assert port.log == [("intent", "start", {"by": "hand"}, True), ("told", "silent")]


def test_a_frequency_change_under_current_says_where():
    guard, _ = guarded()
    guard.start(1.0, 0.0)
    guard.set_frequency(10.5)
    guard.set_level(0.01, 1.0)
    assert refused(lambda: guard.set_frequency(10.0)) == {
        "phase_jump_rad": ("glitch", "phase_continuous", "frequency change while current flows")
    }
