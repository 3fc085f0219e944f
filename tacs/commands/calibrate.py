"""Calibrate: one channel of a rig, with a known resistor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tacs import console
from tacs.commands.upkeep import LOAD_ATTACHED, load_confirmation
from tacs.console import FaultOption, RigOption, SiteOption
from tacs.errors import InputError


def calibrate(
    device: Annotated[
        str, typer.Argument(help="emulated:synthpal, synthpal:/dev/ttyACM0, …; no person attached")
    ],
    channel: Annotated[int, typer.Option("--channel", help="channel of the rig, from 1")],
    out: Annotated[
        str, typer.Option("--out", help="new rig file (.toml); its record is written beside it")
    ],
    by: Annotated[str, typer.Option("--by", help="who calibrates, for the rig file")],
    rig: RigOption = "",
    load_kohm: Annotated[
        float, typer.Option("--load-kohm", help="the resistor between the two leads")
    ] = 10.0,
    steps: Annotated[int, typer.Option("--steps", help="rising steps, 3 to 20")] = 5,
    max_ma: Annotated[
        float,
        typer.Option(
            "--max-ma",
            help="largest step, zero-to-peak; if left out the largest allowed, at most 1",
            show_default=False,
        ),
    ] = 0.0,
    frequency_hz: Annotated[float, typer.Option("--frequency-hz", help="of the sine")] = 10.0,
    kind: Annotated[
        str, typer.Option("--kind", help="what is read: peak, pp or rms; asked if left out")
    ] = "",
    reading: Annotated[
        list[str] | None,
        typer.Option(
            "--reading", help="of a step, such as '4.02 V'; one for each; emulated devices only"
        ),
    ] = None,
    from_oscilloscope: Annotated[
        bool,
        typer.Option("--from-oscilloscope", help="read by the emulated device's oscilloscope"),
    ] = False,
    from_monitor: Annotated[
        bool, typer.Option("--from-monitor", help="read by the rig's current monitor")
    ] = False,
    nominal_gain: Annotated[
        float,
        typer.Option(
            "--nominal-gain",
            help="mA/V from the stimulator's data sheet, where it is not the rig's",
            show_default=False,
        ),
    ] = 0.0,
    new_stimulator: Annotated[
        bool,
        typer.Option("--new-stimulator", help="another stimulator: its gain may differ by more"),
    ] = False,
    valid_days: Annotated[int, typer.Option("--valid-days", help="until it expires")] = 365,
    return_channel: Annotated[
        int,
        typer.Option(
            "--return-channel",
            help="of a device that drives each electrode: output at the resistor's other end",
            show_default=False,
        ),
    ] = 0,
    fault: FaultOption = None,
    confirm: Annotated[
        str, typer.Option("--confirm", help=f"'{LOAD_ATTACHED}', instead of typing it")
    ] = "",
    site: SiteOption = "",
) -> None:
    """Measure a channel's gain with a resistor and write a rig file with the dated calibration.

    Plays rising steps of at most 1 mA; each is read in volts across the resistor. Ctrl-C: STOP.
    """
    from tacs.calibrating import calibrate as run
    from tacs.calibration_bench import CalibrationRequest
    from tacs.checking import prepare

    setup = prepare(device, rig=rig or None, site_file=site or None)
    request = CalibrationRequest(
        setup=setup,
        channel=channel,
        out=Path(out),
        by=by,
        load_kohm=load_kohm,
        n_steps=steps,
        max_ma=max_ma or None,
        frequency_hz=frequency_hz,
        nominal_gain_ma_per_v=nominal_gain or None,
        new_stimulator=new_stimulator,
        valid_days=valid_days,
        return_channel=return_channel or None,
        faults=tuple(fault or ()),
    )
    meter = _meter(request, kind, reading or [], from_oscilloscope, from_monitor)
    result = run(
        request,
        meter,
        say=console.output.say,
        confirm=load_confirmation(confirm),
    )
    console.output.result(result.to_dict(), _prose(result.to_dict()))


def _meter(
    request: Any, kind: str, readings: list[str], from_oscilloscope: bool, from_monitor: bool
) -> Any:
    """Where the readings come from."""
    from tacs.calibration_meters import (
        GivenReadings,
        MonitorMeter,
        OscilloscopeMeter,
        TypedReadings,
    )

    emulated = request.setup.device.emulated
    if sum([bool(readings), from_oscilloscope, from_monitor]) > 1:
        raise InputError("give one of --reading, --from-oscilloscope and --from-monitor")
    if kind and (from_oscilloscope or from_monitor):
        raise InputError("--kind: an instrument says itself what it measures")
    if from_monitor:
        return MonitorMeter(request.frequency_hz)
    if (readings or from_oscilloscope) and not emulated:
        raise InputError(
            "--reading and --from-oscilloscope are for emulated devices: what a real one delivers "
            "is read while it plays"
        )
    if from_oscilloscope:
        return OscilloscopeMeter(request.frequency_hz)
    if readings:
        return GivenReadings(readings, kind or "missing", request.n_steps)
    if emulated:
        raise InputError(
            "an emulated resistor cannot be read by hand: give --from-oscilloscope, or --reading "
            "for each step with --kind"
        )
    if not sys.stdin.isatty():
        raise InputError("the readings are typed: run it at a terminal, or give --from-monitor")
    return TypedReadings(input, console.output.say, kind, request.n_steps, request.load_kohm)


def _prose(data: dict[str, Any]) -> str:
    """The readings as a table, and what they come to."""
    rows = [
        f"{'commanded':>10} {'reading':>12} {'':<5} {'as peak':>9} {'as p-p':>9} {'as rms':>9}"
        f"   residual"
    ]
    for point, residual in zip(data["readings"], data["fit"]["residuals_ma"], strict=True):
        as_ma = point["as_ma"]
        rows.append(
            f"{point['commanded_peak_ma']:7.4f} mA {point['reading']:9.4f} {point['unit']:<2} "
            f"{point['kind']:<5} {as_ma['peak']:6.4f} mA {as_ma['pp']:6.4f} mA "
            f"{as_ma['rms']:6.4f} mA {1000 * residual:+7.2f} µA"
        )
    if data["gain_ma_per_v"] is None:
        found = f"measured over commanded: {data['ratio']:.5f} (was {data['present']:.5g})"
    else:
        found = f"gain: {data['gain_ma_per_v']:.5g} mA/V (was {data['present']:.5g})"
    return "\n".join(
        [
            *rows,
            f"{found}, largest residual {100 * data['nonlinearity']:.2f} %, "
            f"offset {1000 * data['offset_ma']:.1f} µA",
            f"valid until {data['expires_on']}",
            f"rig: {data['out']}",
            f"calibration: {data['calibration']}",
        ]
    )
