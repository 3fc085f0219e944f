"""Calibrate one channel with a known resistor: rising steps through the guarded driver.

Nobody is attached. It uses the same guard, kernel, record and stops as a session, but no person's
ledger and no forms. Every step is a session of its own that a reading ends, so that what the
device's grid made of the step is known exactly, and devices that run their own envelope can be
calibrated too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tacs.calibration import (
    GAIN_CHANGE,
    Fit,
    Point,
    as_peak,
    fit_breaches,
    fit_points,
    reading_breach,
    recalibrated,
)
from tacs.calibration_bench import CalibrationBench, CalibrationRequest
from tacs.calibration_meters import TAKEN, Meter
from tacs.clock import Clock, MonotonicClock, QueueInbox, VirtualClock, utc_now
from tacs.driver import Achieved, EmulatedDevice, Identity, find_emulator
from tacs.errors import DeviceError, InputError, SafetyRefusal, TacsError
from tacs.files import write_text
from tacs.guard import GuardedDriver
from tacs.guardian import Guardian, Telemetry, kernel_plan
from tacs.record import RecordWriter, canonical
from tacs.rig import Calibration, Rig
from tacs.safety import Breach
from tacs.session import Session, State
from tacs.signals import signals_to

__all__ = ["CalibrationResult", "calibrate"]

AHEAD = 1.0 + GAIN_CHANGE  # how far past its bound a next step may be expected to go


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationResult:
    """What a calibration came to.

    Parameters
    ----------
    rig : Rig
        As written to ``out``.
    out, calibration, record : Path
        The new rig file, the calibration's own JSON, and the chained record of what was played.
    data : mapping
        What the JSON holds.
    """

    rig: Rig
    out: Path
    calibration: Path
    record: Path
    data: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs calibrate``."""
        return {
            **self.data,
            "out": str(self.out),
            "calibration": str(self.calibration),
            "record": str(self.record),
        }


def calibrate(
    request: CalibrationRequest,
    meter: Meter,
    *,
    say: Callable[[str], None] = lambda text: None,
    confirm: Callable[[Sequence[str]], None] | None = None,
) -> CalibrationResult:
    """Play rising steps into a resistor, read each, and write a rig with the new calibration.

    Parameters
    ----------
    request : CalibrationRequest
        What is to be calibrated.
    meter : Meter
        Where the readings come from.
    say : callable, optional
        Told of every step.
    confirm : callable, optional
        Asked before current flows out of a real device; returns or raises.

    Raises
    ------
    InputError
        Bad usage, a file that is there already, a real device without a confirmation.
    SafetyRefusal
        A step is not allowed, or the readings are not believed; no rig is written.
    DeviceError
        The device failed, or somebody stopped it.
    """
    bench = CalibrationBench(request, utc_now().date())
    files = _files(request.out)
    if not request.setup.device.emulated:
        if confirm is None:
            raise InputError("a real device needs --confirm 'dummy load attached'")
        confirm(_told(bench))
    run = _Run(bench, meter, say)
    with RecordWriter(files[2]) as record:
        record.append("calibration", 0.0, run.first_line(), sync=True)
        try:
            fit = run.through(record)
        except BaseException as exc:
            breaches = [b.to_dict() for b in exc.breaches] if isinstance(exc, SafetyRefusal) else []
            text = str(exc) or type(exc).__name__
            say(f"refused or stopped; what was played and read is in {files[2]}")
            with contextlib.suppress(TacsError):
                end = {"outcome": "refused", "cause": text, "breaches": breaches}
                record.append("end", run.elapsed_s, end, sync=True)
            raise
        record.append("end", run.elapsed_s, {"outcome": "done", "fit": fit.to_dict()}, sync=True)
        head = record.head
    return _write(run, fit, files, head)


def _files(out: Path) -> tuple[Path, Path, Path]:
    """The rig, the calibration and the record; none of them may be there."""
    if out.suffix != ".toml":
        raise InputError(f"--out {out}: a rig file ends in .toml")
    files = (out, out.with_suffix(".calibration.json"), out.with_suffix(".calibration.jsonl"))
    for path in files:
        if path.exists():
            raise InputError(f"{path}: is there already; give another --out")
    return files


def _told(bench: CalibrationBench) -> list[str]:
    """What a person must know before current is sent into the resistor."""
    request = bench.request
    return [
        f"{request.load_kohm:g} kΩ between the leads of {bench.ends[0]} and {bench.ends[1]} "
        f"(channel {request.channel}); take every person off the leads",
        f"{len(bench.steps_ma)} steps up to {bench.steps_ma[-1]:.3g} mA peak at "
        f"{request.frequency_hz:g} Hz",
        f"if this computer dies: {request.setup.capabilities.on_host_loss}",
    ]


class _Run:
    """The steps of one calibration."""

    def __init__(self, bench: CalibrationBench, meter: Meter, say: Callable[[str], None]) -> None:
        self.bench, self.meter, self.say = bench, meter, say
        emulated = bench.request.setup.device.emulated
        self.clock: Clock = VirtualClock() if emulated else MonotonicClock()
        self.zero_s = self.clock.now_s()
        self.points: list[Point] = []
        self.identity: Identity | None = None

    @property
    def elapsed_s(self) -> float:
        """Time of the record."""
        return self.clock.now_s() - self.zero_s

    def first_line(self) -> dict[str, Any]:
        """What the record begins with."""
        request, rig = self.bench.request, self.bench.rig
        return {
            "suite": version("tacs-suite"),
            "device": str(request.setup.device),
            "rig": rig.to_data(),
            "rig_sha256": rig.sha256(),
            "channel": request.channel,
            "electrodes": list(self.bench.ends),
            "load_kohm": request.load_kohm,
            "frequency_hz": request.frequency_hz,
            "steps_ma": self.bench.steps_ma,
            "assumed_gain_ma_per_v": self.bench.gain,
            "present": self.bench.present,
            "new_stimulator": request.new_stimulator,
            "source": self.meter.source,
            "by": request.by,
            "faults": list(request.faults),
        }

    def through(self, record: RecordWriter) -> Fit:
        """Play and read every step; stop at the first that is not believed."""
        load_kohm = self.bench.request.load_kohm
        with tempfile.TemporaryDirectory(prefix="tacs-calibrate-") as folder:
            for number, current_ma in enumerate(self.bench.steps_ma, start=1):
                self.say(f"step {number} of {len(self.bench.steps_ma)}: {current_ma:.3g} mA peak")
                point = self._step(number, current_ma, record, Path(folder))
                self.points.append(point)
                record.append("reading", self.elapsed_s, point.to_dict(load_kohm), sync=True)
                if found := self._objections(number, point):
                    raise SafetyRefusal(found)
        fit = fit_points(self.points)
        if found := self._disbelieved(fit):
            raise SafetyRefusal(found)
        return fit

    def _disbelieved(self, fit: Fit) -> list[Breach]:
        """Why a fit, or what one reading comes to by itself, is not believed."""
        request = self.bench.request
        return fit_breaches(
            fit,
            self.bench.present,
            "" if self.bench.gain is None else "mA/V",
            request.setup.limits["measured_dc_offset_ma"],
            nominal=request.nominal_gain_ma_per_v,
            new_stimulator=request.new_stimulator,
        )

    def _objections(self, number: int, point: Point) -> list[Breach]:
        """What speaks against going on to a larger step after this reading."""
        request, where = self.bench.request, f"step {number}"
        wrong_kind = reading_breach(point, request.load_kohm, where)
        found = [] if wrong_kind is None else [wrong_kind]
        basis = point.commanded_peak_ma if point.input_peak_v is None else point.input_peak_v
        alone = Fit(
            slope=point.measured_peak_ma / basis,
            offset_ma=point.mean_ma or 0.0,
            nonlinearity=0.0,
            residuals_ma=(),
        )
        found += self._disbelieved(alone)
        if number < len(self.bench.steps_ma):
            expected_ma = (
                point.measured_peak_ma / point.commanded_peak_ma * self.bench.steps_ma[number]
            )
            allowed_ma = min(self.bench.bounds().values())
            if not expected_ma <= AHEAD * allowed_ma:
                found.append(
                    Breach(
                        limit="calibration_current_ma",
                        value=expected_ma,
                        allowed=allowed_ma,
                        unit="mA",
                        source="by the reading of the step before",
                        where=f"step {number + 1}; give the stimulator's --nominal-gain",
                    )
                )
        return found

    def _step(self, number: int, current_ma: float, record: RecordWriter, folder: Path) -> Point:
        """Play one step until it was read."""
        bench, meter = self.bench, self.meter
        device = self._emulated(folder / f"step-{number}.tsv.gz")
        try:
            meter.begin(number, self.clock, bench.true_rig, device)
            session, achieved = self._play(current_ma, record, device)
        except BaseException:
            meter.close()
            if device is not None:
                with contextlib.suppress(TacsError):
                    device.finish()
            raise
        trace = None if device is None else device.finish()
        if session.state is not State.STOPPED or session.cause != TAKEN:
            meter.close()
            raise _ended(session)
        reading = meter.end(trace, bench.ends[0], session.stopping_since_s)
        current = reading / bench.request.load_kohm if meter.unit == "V" else reading
        commanded = achieved.currents_peak_ma[bench.request.channel]
        return Point(
            commanded_peak_ma=commanded,
            input_peak_v=None if bench.gain is None else commanded / bench.gain,
            measured_peak_ma=as_peak(current, meter.kind),
            reading=reading,
            unit=meter.unit,
            kind=meter.kind,
            source=meter.source,
            mean_ma=meter.mean_ma,
        )

    def _play(
        self, current_ma: float, record: RecordWriter, device: EmulatedDevice | None
    ) -> tuple[Session, Achieved]:
        """One step through guard and kernel, until the meter or somebody ends it."""
        setup, rig = self.bench.request.setup, self.bench.play_rig
        protocol = self.bench.protocol(current_ma)
        if device is None:
            driver = setup.driver.open(setup.device.address, rig, self.clock)
        else:
            driver = setup.driver.over(device.transport, rig)
        inbox = QueueInbox()
        held_from_s: float | None = None
        ended = False

        def watch(telemetry: Telemetry) -> None:
            nonlocal held_from_s, ended
            now_s = self.clock.now_s()
            if telemetry.state is not State.HOLD or ended:
                return
            held_from_s = now_s if held_from_s is None else held_from_s
            try:
                message = self.meter.poll(now_s, now_s - held_from_s)
            except TacsError as exc:
                message = f"fault:{exc}"
            if message:
                ended = True
                inbox.put(message)

        guardian = Guardian(
            lambda journal: GuardedDriver.of(driver, protocol, rig, setup.limits, journal),
            kernel_plan(protocol, setup.limits, setup.capabilities),
            self.clock,
            record,
            watch,
            zero_s=self.zero_s,
        )
        try:
            self.identity, achieved = guardian.prepare()
            guardian.arm()
        except BaseException:
            with contextlib.suppress(TacsError):
                driver.close()
            raise
        with signals_to(inbox):
            return guardian.run(inbox), achieved

    def _emulated(self, trace: Path) -> EmulatedDevice | None:
        """A new emulated device for a step; None where the device is real."""
        request = self.bench.request
        if not request.setup.device.emulated:
            return None
        return find_emulator(request.setup.device.driver).in_memory(
            self.bench.true_rig, self.clock, self.bench.contacts, trace, request.faults
        )


def _ended(session: Session) -> TacsError:
    """Why a step ended without a reading."""
    if session.state is State.DONE:
        return InputError("no reading came within three minutes; nothing was written")
    return DeviceError(f"{session.cause}; nothing was written")


def _write(run: _Run, fit: Fit, files: tuple[Path, Path, Path], head: str) -> CalibrationResult:
    """Write the new rig, and the calibration with its hash beside it."""
    bench, request = run.bench, run.bench.request
    today: date = utc_now().date()
    ratio = float(f"{fit.slope:.6g}") if bench.gain is None else None
    calibration = Calibration(
        calibrated_on=today,
        expires_on=today + timedelta(days=request.valid_days),
        load_kohm=request.load_kohm,
        by=request.by,
        ratio=ratio,
    )
    rig = recalibrated(bench.rig, request.channel, fit.slope, calibration)
    body: dict[str, Any] = {
        **run.first_line(),
        "model": "" if run.identity is None else run.identity.model,
        "firmware": "" if run.identity is None else run.identity.firmware,
        "readings": [point.to_dict(request.load_kohm) for point in run.points],
        "fit": fit.to_dict(),
        "gain_ma_per_v": None if bench.gain is None else float(f"{fit.slope:.6g}"),
        "ratio": ratio,
        "offset_ma": round(fit.offset_ma, 6),
        "nonlinearity": round(fit.nonlinearity, 6),
        "calibrated_on": today.isoformat(),
        "expires_on": calibration.expires_on.isoformat(),
        "record_head": head,
        "new_rig_sha256": rig.sha256(),
    }
    body["sha256"] = hashlib.sha256(canonical(body).encode()).hexdigest()
    for path in files[:2]:
        if path.exists():
            raise InputError(f"{path}: came up meanwhile; nothing is overwritten")
    write_text(files[1], json.dumps(body, ensure_ascii=False, indent=1) + "\n")
    rig.to_toml(
        files[0],
        comment=f"channel {request.channel} calibrated on {today.isoformat()} by {request.by}; "
        f"every reading is in {files[1].name}",
    )
    return CalibrationResult(
        rig=rig, out=files[0], calibration=files[1], record=files[2], data=body
    )
