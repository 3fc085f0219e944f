"""The conformance suite passes a right driver and names what is wrong with a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from devices.synthpal import SynthPal
from tacs.capabilities import Capabilities
from tacs.driver import Achieved, Identity, Program
from tacs.errors import InputError
from tacs.scenarios.bench import Bench
from tacs.scenarios.conformance import CHECKS
from tacs.verify_device import verify_device


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench.of("emulated:synthpal", None, tmp_path)
    monkeypatch.setenv("TACS_SITE_DIR", str(made.setup.site))
    return made


@pytest.mark.parametrize("name", list(CHECKS))
def test_the_reference_driver_conforms(bench: Bench, name: str):
    verdict = CHECKS[name](bench)
    assert verdict.outcome == "pass", (verdict.reason, verdict.figures)
    assert verdict.bounds


class TwiceTheCurrent(SynthPal):
    """Takes peak-to-peak for zero-to-peak; the guard is told what was asked for."""

    def set_level(self, level: float) -> None:
        self.link.set_amplitudes(tuple(2 * a for a in self._amplitudes(self._currents(), level)))

    def _currents(self) -> Any:
        return self._currents_peak_ma


class HalfTheCurrent(SynthPal):
    def set_level(self, level: float) -> None:
        super().set_level(0.5 * level)


class AnotherFrequency(SynthPal):
    def configure(self, program: Program) -> Achieved:
        told = super().configure(replace(program, frequency_hz=program.frequency_hz + 0.01))
        return replace(told, frequency_hz=program.frequency_hz)


class StepsAtOnce(SynthPal):
    """Reaches the full level with the first rise."""

    def set_level(self, level: float) -> None:
        super().set_level(1.0 if level > 0.5 else level)


class StartsLate(SynthPal):
    """Plays what was due a second ago."""

    def start(self, lease_s: float) -> None:
        self._due: list[float] = [0.0] * 50
        super().start(lease_s)

    def set_level(self, level: float) -> None:
        self._due.append(level)
        super().set_level(self._due.pop(0))


class NoStop(SynthPal):
    def soft_stop(self) -> None:
        """Nothing is sent."""


class SlowStop(SynthPal):
    def soft_stop(self) -> None:
        self._stop(1.6)


class SlowEmergency(SynthPal):
    def emergency_stop(self) -> None:
        self._stop(0.6)


class LeavesItPlaying(SynthPal):
    def connect(self) -> Identity:
        letter, version = self.link.handshake()
        self._connected = True
        return Identity(model=chr(letter), firmware=str(version), details={})


class DirectCurrent(SynthPal):
    def start(self, lease_s: float) -> None:
        self.link.set_means((10_000, 0, 0, 0))
        super().start(lease_s)


class SaysPhases(SynthPal):
    """Declares phases that it does not set."""

    capabilities: ClassVar[Capabilities] = replace(SynthPal.capabilities, phase_step_deg=1.0)

    def configure(self, program: Program) -> Achieved:
        return super().configure(
            replace(program, phases_deg=dict.fromkeys(program.phases_deg, 0.0))
        )


class SaysModulation(SynthPal):
    capabilities: ClassVar[Capabilities] = replace(
        SynthPal.capabilities, waveforms=("tacs", "am_tacs")
    )


class Glitches(SynthPal):
    """Falls silent for a moment with a new frequency."""

    def set_frequency(self, frequency_hz: float) -> float:
        achieved_hz = super().set_frequency(frequency_hz)
        self.link.set_amplitudes((0, 0, 0, 0))
        return achieved_hz


class LeavesACurrent(SynthPal):
    """Does not come down to zero between trains."""

    def set_level(self, level: float) -> None:
        super().set_level(max(level, 0.02))


class StepsInTrains(SynthPal):
    """Knows two levels only, once it has been at the full current."""

    high = False

    def set_level(self, level: float) -> None:
        self.high = self.high or level == 1.0
        super().set_level(float(level > 0.5) if self.high else level)


WRONG: list[tuple[type[SynthPal], str, str]] = [
    (TwiceTheCurrent, "current", "peak_over"),
    (HalfTheCurrent, "current", "peak_of"),
    (AnotherFrequency, "frequency", "error_mhz"),
    (StepsAtOnce, "ramp", "step_ma"),
    (StartsLate, "ramp", "late_s"),
    (NoStop, "soft stop", "quiet_s"),
    (SlowStop, "soft stop", "quiet_s"),
    (SlowEmergency, "emergency stop", "quiet_s"),
    (LeavesItPlaying, "left playing", "quiet_s"),
    (DirectCurrent, "no direct current", "mean_ma"),
    (SaysPhases, "phase", "phase_error_deg"),
    (SaysModulation, "modulated carrier", "at_carrier_ma"),
    (Glitches, "retune", "largest_step_ma"),
    (LeavesACurrent, "trains", "gap_ma_1"),
    (StepsInTrains, "trains", "largest_step_ma"),
]


@pytest.mark.parametrize(
    ("driver", "name", "figure"), WRONG, ids=lambda x: getattr(x, "__name__", x)
)
def test_a_wrong_driver_is_named(bench: Bench, driver: type[SynthPal], name: str, figure: str):
    wrong = replace(bench, setup=replace(bench.setup, driver=driver))
    verdict = CHECKS[name](wrong)
    assert verdict.outcome == "fail"
    assert figure in verdict.reason


class Retries(SynthPal):
    """Hides a lost link from the guardian."""

    def _quietly(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            return

    def set_level(self, level: float) -> None:
        self._quietly(lambda: super(Retries, self).set_level(min(1.2 * level, 1.0)))


def test_a_driver_that_rises_on_a_bad_link_is_named(bench: Bench):
    wrong = replace(bench, setup=replace(bench.setup, driver=Retries))
    verdict = CHECKS["lost reply"](wrong)
    assert verdict.outcome == "fail"
    assert "above_plan_ma_in_ramp" in verdict.reason


@pytest.mark.parametrize("device", ["nidaq", "scpi", "stimjim", "nic2"])
def test_trains_are_played_or_refused_by_the_other_drivers(tmp_path: Path, device: str):
    bench = Bench.of(f"emulated:{device}", None, tmp_path / "bench")
    verdict = CHECKS["trains"](bench)
    assert verdict.outcome == "pass", verdict.reason
    played = device in {"nidaq", "scpi"}
    assert ("gap_ma_2" in verdict.figures) is played
    assert ("refused at planning" in verdict.reason) is not played


def test_the_parts_of_a_verification():
    found = verify_device("emulated:synthpal", parts=("conformance",))
    assert found.ok
    assert found.checks == ()
    assert [check.name for check in found.conformance] == list(CHECKS)
    told = found.to_dict()
    assert {check["outcome"] for check in told["conformance"]} == {"pass"}
    assert "conformance: 23 pass" in found.text()
    with pytest.raises(InputError, match="there are conformance and scenarios"):
        verify_device("emulated:synthpal", parts=("everything",))


def test_a_device_that_a_person_works_is_not_verified_by_a_machine():
    with pytest.raises(InputError, match="a person sets, starts and stops this device"):
        verify_device("emulated:manual")
