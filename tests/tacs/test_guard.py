"""The guard: limits hold, everything is written first, and a stop always goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacs.capabilities import Capabilities
from tacs.clock import Clock
from tacs.driver import Achieved, Driver, Identity, Program, Status
from tacs.errors import LinkLost, RecordError, SafetyRefusal
from tacs.guard import GuardedDriver
from tacs.limits import effective_limits
from tacs.rig import Rig, load_rig
from tests.tacs.made import capabilities, protocol


class Recorder(Driver):
    """A driver that writes down what it is told."""

    capabilities: ClassVar[Capabilities] = capabilities(name="synthpal")

    def __init__(self, log: list[str], gain: float = 1.0) -> None:
        self.log = log
        self.gain = gain

    @classmethod
    def open(cls, address: str, rig: Rig | None, clock: Clock) -> Driver:
        raise NotImplementedError

    @classmethod
    def over(cls, transport: Any, rig: Rig | None) -> Driver:
        raise NotImplementedError

    def connect(self) -> Identity:
        self.log.append("sent connect")
        return Identity(model="made", firmware="1", details={})

    def configure(self, program: Program) -> Achieved:
        self.log.append("sent configure")
        currents = {k: v * self.gain for k, v in program.currents_peak_ma.items()}
        return Achieved(frequency_hz=program.frequency_hz, currents_peak_ma=currents)

    def start(self, lease_s: float) -> None:
        self.log.append("sent start")

    def set_level(self, level: float) -> None:
        self.log.append(f"sent level {level:g}")

    def extend_lease(self, elapsed_s: float, lease_s: float) -> None:
        self.log.append("sent lease")

    def set_frequency(self, frequency_hz: float) -> float:
        self.log.append("sent frequency")
        return frequency_hz

    def pump(self, now_s: float) -> None:
        self.log.append(f"pumped at {now_s:g}")

    def soft_stop(self) -> None:
        self.log.append("sent soft stop")

    def emergency_stop(self) -> None:
        self.log.append("sent emergency stop")

    def status(self) -> Status:
        return Status(playing=(), current_peak_ma=None, impedance_kohm=None, details={})

    def close(self) -> None:
        self.log.append("sent close")


class Log:
    """A journal in the same list, so that the order shows."""

    def __init__(self, log: list[str], *, broken: bool = False) -> None:
        self.log = log
        self.broken = broken

    def intent(self, verb: str, data: Mapping[str, Any], *, sync: bool) -> None:
        if self.broken:
            raise RecordError("the disk is gone")
        self.log.append(f"wrote {verb}{' at once' if sync else ''}")

    def answer(self, verb: str, data: Mapping[str, Any]) -> None:
        self.log.append(f"wrote answer {verb}")


def guarded(
    *, gain: float = 1.0, broken: bool = False, **declared: Any
) -> tuple[GuardedDriver, list[str]]:
    log: list[str] = []
    driver = Recorder(log, gain)
    if declared:
        changed = replace(Recorder.capabilities, **declared)
        driver = type("Changed", (Recorder,), {"capabilities": changed})(log, gain)
    rig = load_rig("emulated-synthpal")
    guard = GuardedDriver.of(driver, protocol(), rig, effective_limits(), Log(log, broken=broken))
    return guard, log


def breaches(refused: pytest.ExceptionInfo[SafetyRefusal]) -> set[str]:
    return {breach.limit for breach in refused.value.breaches}


def test_every_command_is_written_before_it_is_sent():
    guard, log = guarded()
    guard.connect()
    guard.configure()
    guard.start(1.0, 0.0)
    guard.set_level(0.001, 10.0)
    guard.extend_lease(0.5, 1.0)
    guard.set_frequency(10.0)
    guard.soft_stop()
    guard.close()
    assert log == [
        "wrote connect at once", "sent connect", "wrote answer connect",
        "wrote configure at once", "sent configure", "wrote answer configure",
        "wrote start at once", "sent start",
        "wrote set_level", "sent level 0.001",
        "wrote extend_lease", "sent lease",
        "wrote set_frequency", "sent frequency", "wrote answer set_frequency",
        "wrote soft_stop", "sent soft stop",
        "sent close",
    ]  # fmt: skip


@given(st.floats() | st.sampled_from([float("nan"), float("inf"), -0.1, 1.0000001]))
def test_a_level_outside_the_protocol_never_reaches_the_wire(level: float):
    guard, log = guarded()
    guard.start(1.0, 0.0)
    before = list(log)
    if 0.0 <= level <= 1.0:
        guard.set_level(level, 10.0)
        assert log[-1] == f"sent level {level:g}"
    else:
        with pytest.raises(SafetyRefusal):
            guard.set_level(level, 10.0)
        assert log == before
        assert guard.level == 0.0


def test_true_is_no_level():
    guard, log = guarded()
    guard.start(1.0, 0.0)
    before = list(log)
    with pytest.raises(SafetyRefusal):
        guard.set_level(True, 10.0)
    assert log == before


def test_the_first_rise_after_a_start_is_held_to_the_slew_limit_too():
    guard, _ = guarded()
    guard.start(1.0, 10.0)
    with pytest.raises(SafetyRefusal) as refused:
        guard.set_level(1.0, 10.02)
    assert breaches(refused) == {"envelope_slew_ma_per_s"}
    fresh, _ = guarded()
    with pytest.raises(SafetyRefusal):
        fresh.set_level(0.5, 10.0)  # never started


def test_a_rise_that_is_too_fast_is_refused_and_a_fall_is_not():
    guard, log = guarded()
    guard.start(1.0, 0.0)
    guard.set_level(0.1, 10.0)
    guard.set_level(0.3, 11.0)  # 0.2 mA/s, the limit
    with pytest.raises(SafetyRefusal) as refused:
        guard.set_level(0.51, 12.0)
    assert breaches(refused) == {"envelope_slew_ma_per_s"}
    with pytest.raises(SafetyRefusal):
        guard.set_level(0.31, 11.0)  # no time has passed
    guard.set_level(0.0, 11.0)
    assert log[-1] == "sent level 0"


def test_a_lease_longer_than_the_limit_is_refused():
    guard, log = guarded()
    for call in (lambda: guard.start(1.5, 0.0), lambda: guard.extend_lease(1.0, 1.5)):
        with pytest.raises(SafetyRefusal) as refused:
            call()
        assert breaches(refused) == {"lease_ttl_s"}
    assert log == []


@pytest.mark.parametrize("frequency_hz", [0.1, 101.0, float("nan"), float("inf")])
def test_a_frequency_outside_the_limits_is_refused(frequency_hz: float):
    guard, log = guarded()
    with pytest.raises(SafetyRefusal):
        guard.set_frequency(frequency_hz)
    assert log == []


@pytest.mark.parametrize("change", ["glitch", "stop_first"])
def test_a_device_that_breaks_the_phase_cannot_be_retuned_under_current(change: str):
    guard, log = guarded(frequency_change=change)
    guard.set_frequency(10.5)
    guard.start(1.0, 0.0)
    guard.set_level(0.01, 10.0)
    with pytest.raises(SafetyRefusal) as refused:
        guard.set_frequency(10.0)
    assert breaches(refused) == {"phase_jump_rad"}
    assert log.count("sent frequency") == 1


def test_a_device_that_would_play_more_than_was_asked_is_refused():
    guard, _ = guarded(gain=1.001)
    with pytest.raises(SafetyRefusal) as refused:
        guard.configure()
    assert breaches(refused) == {"quantised_current_ma"}


def test_stops_are_sent_although_the_journal_fails():
    guard, log = guarded(broken=True)
    with pytest.raises(RecordError):
        guard.soft_stop()
    with pytest.raises(RecordError):
        guard.emergency_stop()
    assert log == ["sent soft stop", "sent emergency stop"]


def test_nothing_that_raises_the_current_is_sent_when_the_journal_fails():
    guard, log = guarded(broken=True)
    guard._level_at_s = 0.0  # as after a start whose line could still be written
    for call in (
        lambda: guard.start(1.0, 0.0),
        lambda: guard.set_level(0.001, 1.0),
        lambda: guard.extend_lease(0.1, 1.0),
        lambda: guard.set_frequency(10.0),
    ):
        with pytest.raises(RecordError):
            call()
    assert log == []


def test_a_stop_that_the_link_refuses_is_still_written():
    guard, log = guarded()

    def lost() -> None:
        raise LinkLost("gone")

    guard._driver.emergency_stop = lost  # type: ignore[method-assign]
    with pytest.raises(LinkLost):
        guard.emergency_stop()
    assert log == ["wrote emergency_stop"]


def test_the_driver_gets_its_turn_through_the_guard() -> None:
    guard, log = guarded()
    guard.pump(3.25)
    assert log[-1] == "pumped at 3.25"


def test_the_programme_that_is_loaded_has_the_whole_envelope() -> None:
    seen: list[Program] = []

    class Seeing(Recorder):
        def configure(self, program: Program) -> Achieved:
            seen.append(program)
            return super().configure(program)

    made = protocol(duration_s=60.0)
    GuardedDriver.of(Seeing([]), made, load_rig("emulated-synthpal"), effective_limits(), Log([]))\
        .configure()  # fmt: skip
    (program,) = seen
    assert program.envelope == ((0.0, 0.0), (30.0, 1.0), (45.0, 1.0), (60.0, 0.0))
    assert program.duration_s == 60.0
    assert program.carrier_hz is None


def test_the_programme_that_is_loaded_has_the_carrier() -> None:
    seen: list[Program] = []

    class Seeing(Recorder):
        capabilities = replace(Recorder.capabilities, waveforms=("tacs", "am_tacs"))

        def configure(self, program: Program) -> Achieved:
            seen.append(program)
            return super().configure(program)

    made = protocol(waveform="am_tacs", carrier_hz=220.0)
    GuardedDriver.of(Seeing([]), made, load_rig("emulated-synthpal"), effective_limits(), Log([]))\
        .configure()  # fmt: skip
    assert [program.carrier_hz for program in seen] == [220.0]


class Refined(Recorder):
    """A driver that can stop faster on some rigs."""

    @classmethod
    def capabilities_on(cls, rig: Rig | None) -> Capabilities:
        quick = rig is not None and rig.name == "emulated-synthpal"
        return replace(cls.capabilities, emergency_stop_s=0.05 if quick else 0.1)


def test_what_a_device_can_do_may_depend_on_its_rig():
    assert Recorder.capabilities_on(None) is Recorder.capabilities
    rig, log = load_rig("emulated-synthpal"), []
    guard = GuardedDriver.of(Refined(log), protocol(), rig, effective_limits(), Log(log))
    assert guard.capabilities == Refined.capabilities_on(rig)
    assert guard._program.emergency_stop_s == 0.05
    other = rig.model_copy(update={"name": "other"})
    guard = GuardedDriver.of(Refined(log), protocol(), other, effective_limits(), Log(log))
    assert guard._program.emergency_stop_s == 0.1
