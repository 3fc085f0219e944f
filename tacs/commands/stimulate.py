"""Stimulate: devices, a session, and what a crash left open."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tacs import console
from tacs.console import (
    ConfirmOption,
    DeviceOption,
    FaultOption,
    OperatorOption,
    ParticipantOption,
    RigOption,
    RoleOption,
    SessionLabel,
    SiteOption,
    Subject,
)
from tacs.errors import InputError


def devices() -> None:
    """List drivers and emulators: verified or not, and what each can do."""
    from tacs.driver import find_driver, installed
    from tacs.rig import load_rig, shipped_rigs

    entries = []
    for name in sorted(installed("tacs.drivers")):
        driver = find_driver(name)
        capabilities = driver.capabilities
        entries.append({**capabilities.to_dict(), "name": name, "emulated": False})
        if name in installed("tacs.emulators"):
            if (rig := f"emulated-{name}") in shipped_rigs():
                capabilities = driver.capabilities_on(load_rig(rig))
            entries.append({**capabilities.to_dict(), "name": f"emulated:{name}", "emulated": True})
    console.output.result({"devices": entries}, _device_table(entries))


RETUNE = {"phase_continuous": "phase-continuous", "glitch": "with a glitch", "stop_first": "no"}


def _device_table(entries: list[dict[str, Any]]) -> str:
    """One row per device, and what becomes of its current without the host."""
    rows = [
        ("device", "state", "out", "waveforms", "step", "ramp", "soft stop", "retune", "reads back")
    ]
    for e in entries:
        state = "emulated" if e["emulated"] else "verified" if e["verified"] else "NOT VERIFIED"
        read = [
            word
            for word, has in (
                ("state", e["status_readback"]),
                ("current", e["current_readback"]),
                ("impedance", e["impedance"]),
            )
            if has
        ]
        rows.append(
            (
                e["name"],
                state,
                f"{e['n_channels']} {e['wiring']}",
                ", ".join(e["waveforms"]),
                f"{e['frequency_step_hz']:g} Hz",
                "by the host" if e["level_control"] else "in the device",
                f"{e['soft_stop_s']:g} s" if e["soft_stop"] else "none, a step",
                RETUNE[e["frequency_change"]],
                ", ".join(read) or "nothing",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    told = [line.rstrip() for line in lines] + ["", "Without its host:"]
    for e in entries:
        if e["emulated"]:
            continue
        worst_s = e["host_loss_worst_case_s"]
        bound = "WITHOUT END" if worst_s is None else f"at most {worst_s:g} s"
        if e["host_loss"] == "programme":
            bound += " after the programme's end"
        told.append(f"  {e['name']}: {e['on_host_loss']} ({bound})")
    return "\n".join(told)


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
    fault: FaultOption = None,
    confirm: ConfirmOption = "",
    operator: OperatorOption = "",
    role: RoleOption = "operator",
    titrate: Annotated[
        bool,
        typer.Option(
            "--titrate",
            help="raise the current step by step with the + key; the level accepted is the ceiling",
        ),
    ] = False,
    stratum: Annotated[
        str, typer.Option("--stratum", help="of a blinded study with more than one")
    ] = "",
    people: Annotated[
        bool,
        typer.Option(
            "--people",
            help="rehearse with screening, consent, checklist and identity required, as on a "
            "real device",
        ),
    ] = False,
    override: Annotated[
        list[str] | None,
        typer.Option("--override", help="LIMIT=REASON, recorded; host_loss only; needs --operator"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--settings",
            help="of a device that a person sets: what was read off its panel (TOML); twice, by "
            "two people; typed at the terminal where left out",
        ),
    ] = None,
    site: SiteOption = "",
    participant: ParticipantOption = "",
) -> None:
    """Run one session: check, arm, ramp, hold, ramp down, record. Space bar, Ctrl-C: STOP.

    Keys: p pause, r resume, 0-9 and x a discomfort rating of 0-9 and 10 (6 pauses, 7 stops).
    """
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
    told = cautions(prescription, setup.capabilities, setup.rig)
    for text in told:
        console.output.say(f"caution: {text}")
    inbox = QueueInbox()
    real = clock == "real"
    keys = real and sys.stdin.isatty()
    entries = _read_back(prescription, setup, settings or ())
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
            confirm=None if setup.device.emulated else console.confirmation(confirm),
            inbox=inbox,
            watch=view.watch,
            say=console.output.say,
            operator_lease=real,
            titrate=titrate,
            operator=operator,
            role=role,
            stratum=stratum,
            people=people,
            overrides=dict(_pair(text) for text in override or ()),
            settings=entries,
        )
    console.output.result(record.to_dict(), _run_prose(record.to_dict(), told))
    if record.outcome != "done":
        raise typer.Exit(5)


def _read_back(protocol: Any, setup: Any, files: Sequence[str]) -> Sequence[Any]:
    """What two people read off the panel of a device that a person sets."""
    from tacs.by_hand import hand_breaches, sheet_of
    from tacs.double_entry import Entry, ask_twice
    from tacs.errors import SafetyRefusal

    entries = [Entry.from_toml(path) for path in files]
    if setup.capabilities.machine_verified or setup.rig is None:
        return entries
    if breaches := hand_breaches(protocol, setup.rig, setup.limits):
        raise SafetyRefusal(breaches)
    sheet = sheet_of(protocol, setup.rig)
    console.output.say(sheet.text())
    if setup.device.emulated:
        return entries
    if not sys.stdin.isatty():
        raise InputError(
            f"{sheet.device_name} is worked by a person, who must be at a terminal to be told when "
            f"to press start and stop"
        )
    if entries:
        return entries
    input("set the device; then press Enter (the sheet goes away): ")
    return ask_twice(sheet, input, _on_a_clean_screen)


def _on_a_clean_screen(text: str) -> None:
    """Say something where nothing of what was typed before can be read."""
    sys.stderr.write("\x1b[2J\x1b[3J\x1b[H")
    console.output.say(text)


def _pair(text: str) -> tuple[str, str]:
    """``LIMIT=REASON`` as a pair."""
    name, equals, reason = text.partition("=")
    if not (name and equals and reason.strip()):
        raise InputError(f"--override {text!r}: write LIMIT=REASON")
    return name, reason


def _run_prose(data: dict[str, Any], known: Sequence[str]) -> str:
    from tacs.frequencies import several_in_words

    lines = [f"session {data['outcome']}{': ' + data['cause'] if data['cause'] else ''}"]
    if data["outcome"] == "fault":
        lines.append("take the electrode leads off the stimulator before anything else")
    got = data["delivered"]
    if got is None:
        lines.append(f"delivered: {'withheld (blinded)' if data['blinded'] else 'not known yet'}")
    else:
        at = ", ".join(f"{name} {ma:.3f} mA" for name, ma in got["electrodes"].items())
        frequency = several_in_words(got.get("frequencies_hz", ())) or (
            "–" if got["frequency_hz"] is None else f"{got['frequency_hz']:.4f} Hz"
        )
        lines.append(
            f"delivered ({got['source']}): {got['duration_s']:.1f} s at {frequency}, peak {at}, "
            f"{got['rectified_charge_c']:.3f} C"
        )
    if data["titration"]:
        found = ", ".join(f"{name} {ma:g} mA" for name, ma in data["titration"].items())
        lines.append(f"titration (largest electrode): {found}")
    if data["quiet_after_stop_s"] is not None:
        lines.append(f"below 50 µA {data['quiet_after_stop_s']:.3f} s after the stop")
    lines += [f"warning: {text}" for text in data["warnings"] if text not in known]
    lines.append(f"record: {data['record']}")
    if data["record_anchor"]:
        lines.append(
            f"to be kept elsewhere, it shows that nothing was cut off: {data['record_anchor']}"
        )
    return "\n".join(lines)


def recover(
    dataset: Annotated[str, typer.Argument(help="data set")],
    acknowledge: Annotated[
        str, typer.Option("--acknowledge", help="damaged record that a person has looked at")
    ] = "",
    operator: Annotated[str, typer.Option("--operator", help="who has looked at it")] = "",
    role: Annotated[str, typer.Option("--role", help="as what")] = "",
    reason: Annotated[str, typer.Option("--reason", help="why sessions may go on")] = "",
    anchor: Annotated[
        str,
        typer.Option(
            "--anchor", help="'TACS1 …' as printed after a session: hold its record against it only"
        ),
    ] = "",
) -> None:
    """Close what a crash left open and book its dose; list damaged records, or acknowledge one."""
    if anchor:
        if acknowledge:
            raise InputError("--anchor only looks; give it without --acknowledge")
        _hold_against(dataset, anchor)
        return
    from tacs.anchors import verify_dataset
    from tacs.ledger import site_folder
    from tacs.recovery import acknowledge_damage
    from tacs.recovery import recover as close_open

    if acknowledge:
        acknowledge_damage(dataset, acknowledge, operator=operator, role=role, reason=reason)
    found = [session.to_dict() for session in close_open(dataset)]
    problems = verify_dataset(dataset, site_folder())
    damaged = [problem.to_dict() for problem in problems]
    prose = [f"{s['record']}: {s['outcome']}; {s['note']}" for s in found]
    for p in problems:
        who = "everybody" if p.kind == "site" else "the participant"
        state = "acknowledged" if p.acknowledged else f"NOT ACKNOWLEDGED, blocks {who}"
        if p.cure:
            state += f"; see `{p.cure}`"
        prose.append(f"{p.record}: {p.kind}; {p.problem}; {state}")
    data = {"sessions": found, "damaged": damaged}
    console.output.result(data, "\n".join(prose) or "nothing was left open")
    if any(not d["acknowledged"] for d in damaged):
        raise typer.Exit(5)


def _hold_against(dataset: str, text: str) -> None:
    """Hold a record against its printed line; nothing is closed or written."""
    from tacs.errors import SafetyRefusal
    from tacs.printed_anchor import check_printed

    found = check_printed(dataset, text)
    whose = f"{found.record}: session {found.session} of {found.subject}"
    lines = [f"{whose} is as it was printed, up to line {found.n_lines}"]
    if found.later:
        lines.append(f"after that: {found.later}")
    if not found.holds:
        lines = [f"{whose} is NOT as it was printed: {found.problem}"]
    console.output.result(found.to_dict(), "\n".join(lines))
    if not found.holds:
        raise typer.Exit(SafetyRefusal.exit_code)
