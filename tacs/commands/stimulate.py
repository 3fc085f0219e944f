"""Stimulate: devices, a session, and what a crash left open."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tacs import console
from tacs.console import (
    DeviceOption,
    ParticipantOption,
    RigOption,
    SessionLabel,
    SiteOption,
    Subject,
)
from tacs.errors import InputError


def devices() -> None:
    """List drivers and emulators: verified or not, and what each can do."""
    from tacs.driver import find_driver, installed

    entries = []
    for name in sorted(installed("tacs.drivers")):
        capabilities = find_driver(name).capabilities
        entries.append({**capabilities.to_dict(), "name": name, "emulated": False})
        if name in installed("tacs.emulators"):
            entries.append({**capabilities.to_dict(), "name": f"emulated:{name}", "emulated": True})
    prose = []
    for e in entries:
        state = "emulated" if e["emulated"] else "verified" if e["verified"] else "NOT VERIFIED"
        prose.append(
            f"{e['name']:<24} {state:<13} {e['n_channels']} channels, "
            f"{e['frequency_min_hz']:g} to {e['frequency_max_hz']:g} Hz\n"
            f"    host loss: {e['on_host_loss']}"
        )
    console.output.result({"devices": entries}, "\n".join(prose))


def run(
    protocol: Annotated[str, typer.Argument(help="protocol file")],
    device: DeviceOption,
    subject: Subject,
    session: SessionLabel,
    out: Annotated[str, typer.Option("--out", help="data set (BIDS); made where there is none")],
    rig: RigOption = "",
    clock: Annotated[
        str, typer.Option("--clock", help="real, or virtual (emulated only)")
    ] = "real",
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", help="NAME[@SECONDS][=VALUE], emulated devices only; repeatable"),
    ] = None,
    confirm: Annotated[
        str, typer.Option("--confirm", help="SUBJECT:HASH, instead of typing it for a real device")
    ] = "",
    site: SiteOption = "",
    participant: ParticipantOption = "",
) -> None:
    """Run one session: check, arm, ramp, hold, ramp down, record. Space bar, Ctrl-C: STOP."""
    from tacs.checking import prepare
    from tacs.clock import QueueInbox
    from tacs.live import LiveView
    from tacs.protocol import Protocol
    from tacs.runner import run as run_session
    from tacs.safety import cautions

    prescription = Protocol.from_toml(protocol)
    setup = prepare(
        device, rig=rig or None, site_file=site or None, participant_file=participant or None
    )
    for text in cautions(prescription, setup.capabilities):
        console.output.say(f"caution: {text}")
    inbox = QueueInbox()
    real = clock == "real"
    keys = real and sys.stdin.isatty()
    view = LiveView(prescription, inbox, stream=sys.stderr, keys=keys)
    with view.running():
        record = run_session(
            prescription,
            setup,
            subject=subject,
            session=session,
            dataset=out,
            clock=clock,
            faults=fault or (),
            confirm=None if setup.device.emulated else _confirmation(confirm),
            inbox=inbox,
            watch=view.watch,
            operator_lease=real,
        )
    console.output.result(record.to_dict(), _run_prose(record.to_dict()))
    if record.outcome != "done":
        raise typer.Exit(5)


def _confirmation(given: str) -> Any:
    """The confirmation a real device needs: typed now, or given and compared."""

    def confirm(words: str, told: Sequence[str]) -> None:
        for text in told:
            console.output.say(f"before arming: {text}")
        if not given and not sys.stdin.isatty():
            raise InputError(f"arming a real device needs --confirm {words}")
        answer = given or input(f"current will flow through a person; to arm, type {words}: ")
        if answer.strip() != words:
            raise InputError(f"not armed: {answer.strip()!r} is not {words}; the protocol changed?")

    return confirm


def _run_prose(data: dict[str, Any]) -> str:
    lines = [f"session {data['outcome']}{': ' + data['cause'] if data['cause'] else ''}"]
    if data["outcome"] == "fault":
        lines.append("take the electrode leads off the stimulator before anything else")
    got = data["delivered"]
    if got is None:
        lines.append("delivered: withheld (blinded)")
    else:
        at = ", ".join(f"{name} {ma:.3f} mA" for name, ma in got["electrodes"].items())
        frequency = "–" if got["frequency_hz"] is None else f"{got['frequency_hz']:.4f} Hz"
        lines.append(
            f"delivered ({got['source']}): {got['duration_s']:.1f} s at {frequency}, peak {at}, "
            f"{got['rectified_charge_c']:.3f} C"
        )
    if data["quiet_after_stop_s"] is not None:
        lines.append(f"below 50 µA {data['quiet_after_stop_s']:.3f} s after the stop")
    lines.append(f"record: {data['record']}")
    return "\n".join(lines)


def recover(
    dataset: Annotated[str, typer.Argument(help="data set")],
) -> None:
    """Close what a crash left open: measure or bound the dose, close the record, book it."""
    from tacs.recovery import recover as close_open

    found = [session.to_dict() for session in close_open(dataset)]
    prose = [f"{s['record']}: {s['outcome']}; {s['note']}" for s in found]
    console.output.result({"sessions": found}, "\n".join(prose) or "nothing was left open")
    if any(session["outcome"] == "damaged" for session in found):
        raise typer.Exit(5)
