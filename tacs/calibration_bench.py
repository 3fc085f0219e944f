"""A calibration before anything flows: which channel, which steps, and what speaks against them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tacs.checking import Setup
from tacs.errors import InputError, SafetyRefusal
from tacs.protocol import Protocol
from tacs.rig import Rig, RigChannel, RigOutput
from tacs.safety import Breach, device_breaches

__all__ = ["MOST_MA", "CalibrationBench", "CalibrationRequest"]

MOST_MA = 1.0
LEAST_TOP_MA = 0.05
AREA_CM2 = 25.0  # of the made electrodes; a resistor has none
READING_WITHIN_S = 180.0
# What a calibration is for, and what only matters where a person is attached.
NOT_HERE = frozenset({"calibration_expiry", "compliance_use", "host_loss"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRequest:
    """One channel to be calibrated.

    Parameters
    ----------
    setup : Setup
        Device, rig and limits.
    channel : int
        Of the rig.
    out : Path
        Rig file to be written; its record goes beside it. Neither may be there.
    by : str
        Who calibrates.
    load_kohm : float
        The resistor.
    n_steps : int
        Rising steps.
    max_ma : float or None
        Largest step, zero-to-peak; None takes the largest allowed, at most 1 mA.
    frequency_hz : float
        Of the sine.
    nominal_gain_ma_per_v : float or None
        From the stimulator's data sheet; where left out, the rig's present gain is assumed.
    new_stimulator : bool
        Whether another gain than the rig's is expected.
    valid_days : int
        Until the calibration expires.
    return_channel : int or None
        Of a device that drives each electrode: the output at the other end of the resistor.
    faults : tuple of str
        For emulated devices only.
    """

    setup: Setup
    channel: int
    out: Path
    by: str
    load_kohm: float = 10.0
    n_steps: int = 5
    max_ma: float | None = None
    frequency_hz: float = 10.0
    nominal_gain_ma_per_v: float | None = None
    new_stimulator: bool = False
    valid_days: int = 365
    return_channel: int | None = None
    faults: tuple[str, ...] = ()


class CalibrationBench:
    """The channel, its pair of electrodes, and the steps that may flow through the resistor.

    Parameters
    ----------
    request : CalibrationRequest
        What is asked for.
    today : date
        Of the calibration.

    Raises
    ------
    InputError
        Bad usage: no rig, no such channel, a device that a person works, no gain to begin with.
    SafetyRefusal
        A step that a limit, the stimulator or the device does not allow.
    """

    def __init__(self, request: CalibrationRequest, today: date) -> None:
        _usable(request)
        self.request = request
        rig = request.setup.rig
        if rig is None:
            raise InputError("tacs calibrate needs --rig: the channels that there are")
        self.rig = rig
        self.wired, others = _channel(rig, request)
        if isinstance(self.wired, RigChannel):
            self.ends = (self.wired.positive, self.wired.negative)
        else:
            self.ends = (self.wired.electrode, others[0].electrode)
        self.gain = self._assumed_gain()
        self.true_rig = _only(rig, self.wired, others, None)
        self.play_rig = _only(rig, self.wired, others, self.gain)
        top_ma = self._top_ma()
        self.steps_ma = [
            round(top_ma * k / request.n_steps, 6) for k in range(1, request.n_steps + 1)
        ]
        self._refuse(today)

    @property
    def present(self) -> float:
        """Gain or ratio of the rig up to now."""
        if self.gain is None:
            return self.wired.calibration.ratio or 1.0
        present = self.wired.gain_ma_per_v if isinstance(self.wired, RigChannel) else None
        return present or self.gain

    @property
    def contacts(self) -> list[str]:
        """The emulated load: half of the resistor at each end."""
        return [f"{name}={self.request.load_kohm / 2.0:g}" for name in self.ends]

    def bounds(self) -> dict[str, float]:
        """Return what the largest step may be, mA, by what says so."""
        limits, wired = self.request.setup.limits, self.wired
        found = {
            "tacs calibrate": MOST_MA,
            "electrode_current_peak_ma": limits["electrode_current_peak_ma"],
            "rig_current_max_ma": wired.current_max_ma,
            "compliance_use": limits["compliance_use"]
            * wired.compliance_v
            / self.request.load_kohm,
        }
        if self.gain is not None and isinstance(wired, RigChannel):
            capabilities = self.request.setup.capabilities
            found["rig_input_max_v"] = (wired.input_max_v or 0.0) * self.gain
            found["device_amplitude_v"] = capabilities.amplitude_max_v * self.gain
        return found

    def protocol(self, current_ma: float) -> Protocol:
        """Return what one step plays."""
        limits = self.request.setup.limits
        ramp_s = max(2.0 * current_ma / limits["envelope_slew_ma_per_s"], 1.0)
        electrodes = [
            {"name": name, "area_cm2": AREA_CM2, "material": "other"} for name in self.ends
        ]
        data: dict[str, Any] = {
            "name": "calibration",
            "waveform": "tacs",
            "frequency_hz": self.request.frequency_hz,
            "ramp_up_s": ramp_s,
            "ramp_down_s": ramp_s,
            "duration_s": 2.0 * ramp_s + READING_WITHIN_S,
            "montage": {
                "electrodes": electrodes,
                "loops": [
                    {
                        "source": self.ends[0],
                        "sink": self.ends[1],
                        "current_peak_ma": current_ma,
                    }
                ],
            },
            "expected_effect": {"direction": "none", "measure": "a resistor", "region": "all"},
        }
        return Protocol.from_data(data, "calibration")

    def _assumed_gain(self) -> float | None:
        """Gain that the steps are played with; None of a current source."""
        if self.request.setup.capabilities.output == "current":
            if self.request.nominal_gain_ma_per_v is not None:
                raise InputError("--nominal-gain: a current source has no gain")
            return None
        wired = self.wired
        present = wired.gain_ma_per_v if isinstance(wired, RigChannel) else None
        gain = self.request.nominal_gain_ma_per_v or present
        if gain is None:
            raise InputError(
                f"channel {wired.channel} of rig {self.rig.name!r} has no gain_ma_per_v yet: give "
                f"--nominal-gain, in mA/V, from the stimulator's data sheet"
            )
        if isinstance(wired, RigChannel) and wired.input_max_v is None:
            raise InputError(
                f"channel {wired.channel} of rig {self.rig.name!r} has no input_max_v: write the "
                f"largest input of the stimulator into the rig first"
            )
        return gain

    def _top_ma(self) -> float:
        bounds = self.bounds()
        allowed_ma = min(bounds.values())
        wanted_ma = self.request.max_ma
        if wanted_ma is None:
            if not allowed_ma >= LEAST_TOP_MA:
                by = min(bounds, key=bounds.__getitem__)
                raise InputError(
                    f"only {allowed_ma:.3g} mA may flow ({by}); a calibration needs "
                    f"{LEAST_TOP_MA:g} mA at least; take a smaller resistor with --load-kohm"
                )
            return allowed_ma
        if not wanted_ma >= LEAST_TOP_MA:
            raise InputError(f"--max-ma {wanted_ma:g}: at least {LEAST_TOP_MA:g} mA")
        broken = [
            Breach(
                limit="calibration_current_ma",
                value=wanted_ma,
                allowed=bound,
                unit="mA",
                source=name,
                where="--max-ma",
            )
            for name, bound in bounds.items()
            if not wanted_ma <= bound
        ]
        if broken:
            raise SafetyRefusal(broken)
        return wanted_ma

    def _refuse(self, today: date) -> None:
        """Hold the largest step against everything that holds without a person."""
        setup = self.request.setup
        found = device_breaches(
            self.protocol(self.steps_ma[-1]),
            setup.capabilities,
            self.play_rig,
            setup.limits,
            today=today,
            emulated=setup.device.emulated,
        )
        if broken := [breach for breach in found if breach.limit not in NOT_HERE]:
            raise SafetyRefusal(broken)


def _usable(request: CalibrationRequest) -> None:
    """Raise for bad usage that needs no rig to be seen."""
    if not request.setup.capabilities.machine_verified:
        raise InputError(
            f"{request.setup.capabilities.name}: a person sets this device; measure its current by "
            f"hand and write the calibration into the rig"
        )
    checks = (
        (bool(request.by.strip()), "--by: say who calibrates"),
        (3 <= request.n_steps <= 20, f"--steps {request.n_steps}: from 3 to 20"),
        (request.load_kohm > 0.0, f"--load-kohm {request.load_kohm:g}: more than 0"),
        (1 <= request.valid_days <= 730, f"--valid-days {request.valid_days}: from 1 to 730"),
        (
            request.nominal_gain_ma_per_v is None or request.nominal_gain_ma_per_v > 0.0,
            "--nominal-gain: more than 0 mA/V",
        ),
        (
            request.setup.device.emulated or not request.faults,
            "--fault is for emulated devices only",
        ),
    )
    for ok, problem in checks:
        if not ok:
            raise InputError(problem)


def _channel(
    rig: Rig, request: CalibrationRequest
) -> tuple[RigChannel | RigOutput, list[RigOutput]]:
    """The channel, and of a device that drives each electrode the one at the other end."""
    entries: dict[int, RigChannel | RigOutput] = {c.channel: c for c in rig.channels}
    entries |= {output.channel: output for output in rig.outputs}
    if request.channel not in entries:
        have = ", ".join(str(number) for number in entries)
        raise InputError(f"--channel {request.channel}: rig {rig.name!r} has {have}")
    wired = entries[request.channel]
    if isinstance(wired, RigChannel):
        if request.return_channel is not None:
            raise InputError("--return-channel: an isolated loop returns by itself")
        return wired, []
    others = [output for output in rig.outputs if output.channel != request.channel]
    if request.return_channel is not None:
        others = [output for output in others if output.channel == request.return_channel]
    if not others:
        raise InputError(
            f"--return-channel: rig {rig.name!r} has no other output for the resistor's other end"
        )
    return wired, others[:1]


def _only(
    rig: Rig, wired: RigChannel | RigOutput, others: list[RigOutput], gain: float | None
) -> Rig:
    """The rig with one channel, or one pair of outputs, and perhaps another gain."""
    data = rig.to_data()
    numbers = {wired.channel, *(other.channel for other in others)}
    for name in ("channels", "outputs"):
        if name in data:
            data[name] = [entry for entry in data[name] if entry["channel"] in numbers]
    if gain is not None:
        data["channels"][0]["gain_ma_per_v"] = gain
    if "monitor" in data:
        kept = Rig.from_data({k: v for k, v in data.items() if k != "monitor"}, "bench").electrodes
        inputs = [entry for entry in data["monitor"]["inputs"] if entry["electrode"] in kept]
        data["monitor"] = {**data["monitor"], "inputs": inputs}
    return Rig.from_data(data, f"rig {rig.name}")
