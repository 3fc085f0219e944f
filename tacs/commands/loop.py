"""Loop: stimulation that listens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from tacs import console
from tacs.console import (
    ConfirmOption,
    FaultOption,
    OperatorOption,
    ParticipantOption,
    RigOption,
    RoleOption,
    SessionLabel,
    SiteOption,
    Subject,
)
from tacs.errors import InputError, TacsError

if TYPE_CHECKING:
    from tacs.loop_plan import LoopPlan
    from tacs.loop_session import LoopResult, Prescribed


def loop(
    subject: Subject,
    session: SessionLabel,
    out: Annotated[str, typer.Option("--out", help="data set (BIDS); made where there is none")],
    eeg: Annotated[
        str,
        typer.Option(
            "--eeg",
            help="lsl:NAME, brainflow:BOARD[?key=value], nic2:HOST?electrodes=…, replay:FILE, "
            "virtual:SEED",
        ),
    ],
    rule: Annotated[
        str,
        typer.Option(
            "--rule",
            help="onoff: trains, by what was seen in the gap before; lock: continuous phase lock "
            "(am_tacs or a peripheral sensor only); burst: a train or trigger at a phase",
        ),
    ],
    protocol: Annotated[
        str, typer.Argument(help="protocol file; left out with --trigger", show_default=False)
    ] = "",
    device: Annotated[
        str, typer.Option("--device", help="emulated:synthpal, synthpal:/dev/ttyACM0, …")
    ] = "",
    trigger: Annotated[
        str,
        typer.Option(
            "--trigger",
            help="instead of a current of ours, triggers to another stimulator: "
            "serial:PORT[?byte=1], lsl:NAME, emulated:",
        ),
    ] = "",
    seconds: Annotated[
        float, typer.Option("--seconds", help="with --trigger: how long", show_default=False)
    ] = 0.0,
    follow: Annotated[
        str,
        typer.Option("--follow", help="onoff: frequency, phase, both, or none (a fixed frequency)"),
    ] = "none",
    signal: Annotated[
        str,
        typer.Option("--signal", help="what the phase is read from: scalp, am, or peripheral"),
    ] = "scalp",
    control: Annotated[
        str, typer.Option("--control", help="closed, open-loop, random-phase, or sham")
    ] = "closed",
    picks: Annotated[str, typer.Option("--picks", help="channels whose mean is followed")] = "",
    against: Annotated[
        str, typer.Option("--against", help="channels whose mean is taken off it")
    ] = "",
    rest: Annotated[
        float, typer.Option("--rest", help="rest that is learned from, before, seconds")
    ] = 120.0,
    rest_eyes: Annotated[
        str,
        typer.Option(
            "--rest-eyes",
            help="rest in these states of the eyes, in this order, each as long as --rest: "
            "open,closed; alpha then tells the eyes by this person's own",
            show_default=False,
        ),
    ] = "",
    rest_marks: Annotated[
        str,
        typer.Option(
            "--rest-marks",
            help="stream that says when the eyes are so (lsl:NAME); else Return is pressed",
            show_default=False,
        ),
    ] = "",
    band: Annotated[
        tuple[float, float],
        typer.Option("--band", help="where the rhythm is, Hz", metavar="LOW HIGH"),
    ] = (7.0, 13.0),
    lag: Annotated[
        str,
        typer.Option(
            "--lag",
            help="degrees that the current comes after the rhythm: 90 peaks a quarter of a period "
            "later; of a burst the phase at which it begins, 0 is the positive peak, or none",
        ),
    ] = "0",
    blanking: Annotated[
        float, typer.Option("--blanking", help="onoff: after current has ended, seconds")
    ] = 0.5,
    window: Annotated[
        float, typer.Option("--window", help="onoff: EEG that decides, seconds")
    ] = 2.0,
    refractory: Annotated[
        float, typer.Option("--refractory", help="burst: from one to the next, seconds")
    ] = 2.0,
    most: Annotated[
        int, typer.Option("--most", help="burst: how many in all", show_default=False)
    ] = 0,
    min_amplitude: Annotated[
        float, typer.Option("--min-amplitude", help="of the rhythm, µV")
    ] = 0.0,
    min_for: Annotated[
        float, typer.Option("--min-for", help="burst: as large for so long, seconds")
    ] = 0.0,
    gate_amplitude: Annotated[
        float | None,
        typer.Option(
            "--gate-amplitude",
            help="only where the rhythm is larger than in this share of rest; 0.5 for a burst or "
            "train at a phase, else 0",
            show_default=False,
        ),
    ] = None,
    max_width: Annotated[
        float, typer.Option("--max-width", help="95 % width of the phase, degrees")
    ] = 360.0,
    output_delay: Annotated[
        float,
        typer.Option(
            "--output-delay", help="of the output, from command to current, ms; as measured"
        ),
    ] = 0.0,
    device_ppm: Annotated[
        tuple[float, float],
        typer.Option(
            "--device-ppm",
            help="by how much the stimulator's clock is fast, as measured, and by how much that "
            "may be wrong, parts per million",
            metavar="PPM BOUND",
        ),
    ] = (0.0, 20.0),
    stale: Annotated[
        tuple[float, float],
        typer.Option(
            "--stale",
            help="EEG this old: hold; this old: ramp down (seconds)",
            metavar="HOLD RAMP_DOWN",
        ),
    ] = (0.25, 2.0),
    eyes: Annotated[
        str, typer.Option("--eyes", help="what was asked for: open or closed", show_default=False)
    ] = "",
    gate_eyes: Annotated[
        str,
        typer.Option(
            "--gate-eyes", help="trains only with eyes open or closed", show_default=False
        ),
    ] = "",
    gate_alpha: Annotated[
        tuple[float, float],
        typer.Option(
            "--gate-alpha", help="trains only with alpha in these quantiles", metavar="LOW HIGH"
        ),
    ] = (0.0, 1.0),
    gate_drowsy: Annotated[
        float,
        typer.Option(
            "--gate-drowsy", help="no trains above this drowsiness (z)", show_default=False
        ),
    ] = float("inf"),
    abort_plv: Annotated[
        float,
        typer.Option(
            "--abort-plv",
            help="phase-locking value of the error, read afterwards, below which the loop asks "
            "for nothing more; 0: whatever it is",
        ),
    ] = 0.5,
    abort_after: Annotated[
        int, typer.Option("--abort-after", help="triggers, trains or corrections it is told from")
    ] = 50,
    abort: Annotated[
        str,
        typer.Option(
            "--abort", help="then: hold (ask for nothing more), or end (ramp down, session over)"
        ),
    ] = "hold",
    schedule: Annotated[
        str,
        typer.Option(
            "--schedule", help="open-loop bursts: log of another loop, whose times are repeated"
        ),
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="of what is drawn")] = 0,
    clock: Annotated[
        str, typer.Option("--clock", help="real, or virtual (emulated and virtual only)")
    ] = "real",
    rig: RigOption = "",
    site: SiteOption = "",
    participant: ParticipantOption = "",
    operator: OperatorOption = "",
    role: RoleOption = "operator",
    confirm: ConfirmOption = "",
    fault: FaultOption = None,
) -> None:
    """Run a session that listens: rest, then trains, a lock or bursts by what EEG shows.

    The loop only asks; current is the guardian's, with every limit of `tacs run`. Tracking has not
    been shown to beat a fixed frequency (Stecher et al. 2021): the default follows nothing.
    Space bar, Ctrl-C: STOP; p pause, r resume.
    """
    from analysis.errors import AnalysisError
    from tacs.loop_session import run_loop

    if bool(protocol) == bool(trigger):
        raise InputError("give PROTOCOL and --device, or --trigger and --seconds")
    if bool(protocol) != bool(device):
        raise InputError("PROTOCOL and --device belong together")
    if clock not in {"real", "virtual"}:
        raise InputError(f"clock {clock!r}: write real or virtual")
    try:
        plan = _plan(
            rule=rule, follow=follow, signal=signal, control=control, picks=picks,
            against=against, rest=rest, band=band, lag=lag, blanking=blanking, window=window,
            refractory=refractory, most=most, min_amplitude=min_amplitude, min_for=min_for,
            max_width=max_width, output_delay=output_delay, stale=stale, eyes=eyes,
            gate_eyes=gate_eyes, gate_alpha=gate_alpha, gate_drowsy=gate_drowsy,
            rest_eyes=rest_eyes, gate_amplitude=gate_amplitude, abort_plv=abort_plv,
            abort_after=abort_after, abort=abort, schedule=schedule, seed=seed,
            device_ppm=device_ppm,
        )  # fmt: skip
        prescribed = None
        if protocol:
            prescribed = _prescribed(
                protocol, device, rig=rig, site=site, participant=participant,
                options={
                    "operator": operator, "role": role, "faults": fault or (),
                    "say": console.output.say,
                },
                confirm=confirm,
            )  # fmt: skip
        if prescribed is not None and eeg.startswith("virtual:") and clock != "virtual":
            console.output.say(
                "caution: on the real clock this virtual patient is not wired to the stimulator; "
                "it shows neither artefact nor response"
            )
        result = _run(
            run_loop, prescribed, plan, eeg, subject=subject, session=session, dataset=out,
            clock=clock, trigger=trigger, seconds=seconds, rest_marks=rest_marks,
        )  # fmt: skip
    except AnalysisError as exc:
        raise _translated(exc) from exc
    data = result.to_dict()
    if result.failed:
        why = data["aborted"] or result.why
        console.output.failed(data, _prose(data), why, TacsError.exit_code)
    console.output.result(data, _prose(data))
    if result.record is not None and result.record.outcome != "done":
        raise typer.Exit(TacsError.exit_code)


def _translated(exc: Exception) -> Exception:
    from analysis.errors import UnusableRecording
    from tacs.errors import NoAnswer

    return NoAnswer(str(exc)) if isinstance(exc, UnusableRecording) else InputError(str(exc))


def _run(
    run_loop: Any, prescribed: Prescribed | None, plan: LoopPlan, eeg: str, **options: Any
) -> LoopResult:
    """Run, with the view of `tacs run` where there is a session."""
    from tacs.live import LiveView
    from tacs.loop_inbox import WakingInbox
    from tacs.signals import signals_to

    inbox = WakingInbox()
    try:
        if prescribed is None:
            with signals_to(inbox):
                return cast(
                    "LoopResult",
                    run_loop(plan, eeg, inbox=inbox, say=console.output.say, **options),
                )
        keys = options["clock"] == "real" and sys.stdin.isatty()
        view = LiveView(prescribed.protocol, inbox, stream=sys.stderr, keys=keys)
        with view.running():
            return cast(
                "LoopResult",
                run_loop(
                    plan, eeg, inbox=inbox, prescribed=prescribed, watch=view.watch,
                    show=view.show, say=console.output.say, **options,
                ),
            )  # fmt: skip
    finally:
        inbox.close()


def _prescribed(
    protocol: str,
    device: str,
    *,
    rig: str,
    site: str,
    participant: str,
    options: dict[str, Any],
    confirm: str,
) -> Prescribed:
    from tacs.checking import prepare
    from tacs.loop_session import Prescribed
    from tacs.protocol import Protocol
    from tacs.safety import cautions

    prescription = Protocol.from_toml(protocol)
    setup = prepare(
        device, rig=rig or None, site_file=site or None, participant_file=participant or None
    )
    for text in cautions(prescription, setup.capabilities, setup.rig):
        console.output.say(f"caution: {text}")
    asked = None if setup.device.emulated else console.confirmation(confirm)
    return Prescribed(protocol=prescription, setup=setup, options={**options, "confirm": asked})


def _one_of(name: str, text: str, allowed: tuple[str, ...]) -> Any:
    if text not in allowed:
        raise InputError(f"--{name} {text}: write {', '.join(allowed)}")
    return text


def _plan(**given: Any) -> LoopPlan:
    """The plan from the options."""
    import math

    from analysis.loop_control import checked_control
    from analysis.loop_drift import DeviceClock
    from analysis.loop_stale import StaleRule
    from analysis.phase import Gates
    from analysis.state_vector import StateGate
    from tacs.loop_log import schedule_of
    from tacs.loop_plan import LoopPlan

    either = ("open", "closed")
    lag_deg = None
    if given["lag"] != "none":
        try:
            lag_deg = float(given["lag"])
        except ValueError:
            raise InputError(f"--lag {given['lag']}: write degrees, or none") from None
    control = checked_control(given["control"])
    schedule = given["schedule"]
    if schedule and not (control == "open-loop" and given["rule"] == "burst"):
        raise InputError("--schedule belongs to --control open-loop of --rule burst")
    return LoopPlan(
        rule=_one_of("rule", given["rule"], ("onoff", "lock", "burst")),
        follow=_one_of("follow", given["follow"], ("frequency", "phase", "both", "none")),
        signal=_one_of("signal", given["signal"], ("scalp", "am", "peripheral")),
        control=control,
        picks=console.names(given["picks"]) or (),
        against=console.names(given["against"]) or (),
        rest_s=given["rest"],
        band_hz=given["band"],
        lag_deg=lag_deg,
        blanking_s=given["blanking"],
        window_s=given["window"],
        refractory_s=given["refractory"],
        for_s=given["min_for"],
        most=given["most"] or None,
        output_ms=given["output_delay"],
        device=DeviceClock(ppm=given["device_ppm"][0], bound_ppm=given["device_ppm"][1]),
        gates=Gates(
            min_amplitude_uv=given["min_amplitude"],
            max_width_rad=min(math.radians(given["max_width"]), 2.0 * math.pi),
        ),
        stale=StaleRule(stale_s=given["stale"][0], ramp_down_s=given["stale"][1]),
        eyes=_one_of("eyes", given["eyes"], either) if given["eyes"] else None,
        gate=StateGate(
            eyes=_one_of("gate-eyes", given["gate_eyes"], either) if given["gate_eyes"] else None,
            alpha_quantiles=given["gate_alpha"],
            max_drowsiness_z=given["gate_drowsy"],
        ),
        rest_eyes=tuple(
            _one_of("rest-eyes", word, either) for word in console.names(given["rest_eyes"]) or ()
        ),
        amplitude=given["gate_amplitude"],
        abort_plv=given["abort_plv"],
        abort_after=given["abort_after"],
        abort=_one_of("abort", given["abort"], ("hold", "end")),
        schedule_s=schedule_of(Path(schedule)) if schedule else (),
        seed=given["seed"],
    )


def _prose(data: dict[str, Any]) -> str:
    lines = []
    if "outcome" in data:
        cause = f": {data['cause']}" if data["cause"] else ""
        lines.append(f"session {data['outcome']}{cause}")
    learned = data["learned"]
    lines.append(
        f"rest: {learned['peak_hz']:.2f} Hz, {learned['width_hz']:.2f} Hz wide; phase known to "
        f"±{learned['phase_error_deg']:.0f} degrees (SD) {learned['horizon_ms']:.0f} ms ahead"
    )
    lines.append(
        f"decisions {data['decisions']}, retunes {data['retunes']}, trains {data['trains']}, "
        f"triggers {data['triggers']}, refused {data['refused']}, for the past {data['past']}"
    )
    lag = data["lag"]
    if lag["n"]:
        lines.append(
            f"lag by the loop's own estimate: {lag['mean_deg']:+.1f} ± {lag['sd_deg']:.1f} degrees "
            f"off the one wanted ({lag['n']} times)"
        )
    if data["phase_check"] and data["phase_check"]["plv"] is not None:
        found = data["phase_check"]
        lines.append(
            f"phase read afterwards: PLV {found['plv']:.2f} over the last {found['over']}, lowest "
            f"{_or_none(found['lowest_plv'])}; {found['unreadable']} could not be read "
            f"({found['of']})"
        )
    clock = data["device_clock"]
    if clock and clock["measured_ppm"] is not None:
        lines.append(
            f"the stimulator's clock, by the artefact in EEG: {clock['measured_ppm']:+.1f} ± "
            f"{clock['measured_sd_ppm']:.1f} ppm ({clock['assumed_ppm']:g} were assumed)"
        )
    if data["aborted"]:
        lines.append(f"asked for nothing more: {data['aborted']}")
    lines.append(f"ended: {data['loop_ended']}")
    lines += [f"{n} x {reason}" for reason, n in sorted(data["reasons"].items(), key=_most)]
    lines.append(f"log: {data['loop_log']}")
    if "record" in data:
        lines.append(f"record: {data['record']}")
    return "\n".join(lines)


def _or_none(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f}"


def _most(item: tuple[str, int]) -> tuple[int, str]:
    return (-item[1], item[0])
