"""``tacs profile run`` in mode electrical: a visit's session, its recording, what comes next."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs import console
from tacs.errors import InputError, NoAnswer, TacsError

if TYPE_CHECKING:
    from analysis.profile_visits import Visit
    from tacs.profile_blocks import RunPlan
    from tacs.profile_ran import RanVisit, VisitPlaces

__all__ = ["run_electrical"]


def run_electrical(
    plan: RunPlan,
    *,
    number: int,
    protocol: str,
    device: str,
    source: str,
    labels: Mapping[str, str],
    rest_s: float,
    eeg_delay_ms: float | None,
    clock: str,
    files: Mapping[str, str],
    confirm: str,
    people: bool,
    faults: Sequence[str],
    operator: str,
    role: str,
) -> None:
    """Run a visit of a plan of mode electrical.

    Raises
    ------
    TacsError
        What cannot be run; nothing flows then.
    typer.Exit
        5 where the session was stopped or EEG was lost, 3 where no train can be read.
    """
    from tacs.checking import prepare
    from tacs.clock import utc_now
    from tacs.dataset import write_json
    from tacs.live import LiveView
    from tacs.loop_inbox import WakingInbox
    from tacs.profile_electrical import run_visit
    from tacs.profile_ran import VisitPlaces
    from tacs.profile_visit import visit_of, visit_protocol
    from tacs.protocol import Protocol
    from tacs.safety import cautions

    if clock not in {"real", "virtual"}:
        raise InputError(f"clock {clock!r}: write real or virtual")
    needed = {"--visit": number, "--protocol": protocol, "--device": device, "--source": source}
    if missing := [name for name, value in needed.items() if not value]:
        raise InputError(f"{missing[0]}: a plan of mode electrical is run visit by visit, with it")
    if source.startswith(("virtual:", "replay:")) and not device.startswith("emulated:"):
        raise InputError(f"--source {source}: is nobody whom {device} could reach; name live EEG")
    visit, share = visit_of(plan, number)
    made = visit_protocol(Protocol.from_toml(protocol), visit, share)
    setup = prepare(
        device, rig=files["rig"] or None, site_file=files["site"] or None,
        participant_file=files["participant"] or None,
    )  # fmt: skip
    places = VisitPlaces(
        dataset=Path(labels["out"]), subject=labels["subject"], session=labels["session"],
        task=labels["task"],
    )  # fmt: skip
    told = [*cautions(made, setup.capabilities, setup.rig), *_about(plan, visit, places)]
    if source.startswith("virtual:") and clock == "real":
        told.append("this virtual patient feels the stimulator with --clock virtual only")
    console.output.say(
        f"visit {visit.visit} of {len(plan.blocks)}: {visit.words}; {visit.trains} trains of "
        f"{visit.on_s:g} s, {visit.off_s:g} s apart; the session lasts "
        f"{made.duration_s / 60.0:.1f} min"
    )
    for text in told:
        console.output.say(f"caution: {text}")
    for line in _recordings(plan, "pre", source, places):
        console.output.say(f"before: {line}")
    began = utc_now()
    inbox = WakingInbox()
    keys = clock == "real" and sys.stdin.isatty()
    view = LiveView(made, inbox, stream=sys.stderr, keys=keys)
    try:
        with view.running():
            ran = run_visit(
                visit, made, setup, source, places, rest_s=rest_s,
                eeg_delay_s=None if eeg_delay_ms is None else 1e-3 * eeg_delay_ms, clock=clock,
                inbox=inbox, watch=view.watch, say=console.output.say,
                options={
                    "operator": operator, "role": role, "faults": faults, "people": people,
                    "confirm": None if setup.device.emulated else console.confirmation(confirm),
                },
            )  # fmt: skip
    finally:
        inbox.close()
    steps = _next(plan, ran, source, places)
    data = {
        **ran.to_dict(),
        "began_at": began.isoformat(),
        "ended_at": utc_now().isoformat(),
        "plan": plan.data,
        "base_protocol": protocol,
        "protocol": made.to_data(),
        "next": steps,
    }
    if ran.recording is not None:
        write_json(places.result, data)
    _tell(ran, data, steps, told)


def _tell(ran: RanVisit, data: dict[str, Any], steps: Sequence[str], told: Sequence[str]) -> None:
    """Print the result, and leave with the code that it deserves."""
    counts = ran.counts
    lines = [
        f"visit {ran.visit.visit} ({ran.visit.words}): {counts.in_table} of {counts.planned} "
        f"trains can be read; {counts.given} given, {counts.lost_to_gaps} lost to gaps of the EEG, "
        f"{counts.cut_short} cut short, {counts.not_recorded} beyond the recording"
    ]
    if ran.record is not None:
        lines.append(
            f"session {ran.record.outcome}{': ' + ran.record.cause if ran.record.cause else ''}"
        )
        lines += [f"warning: {text}" for text in ran.record.warnings if text not in told]
        lines.append(f"record: {ran.record.record}")
    lines += [f"warning: {text}" for text in (ran.recording.warnings if ran.recording else ())]
    lines += [f"warning: {text}" for text in (*ran.warnings, *_short(ran))]
    lines += [f"next: {text}" for text in steps]
    code, why = 0, ""
    if ran.eeg_ended:
        code, why = TacsError.exit_code, f"EEG ended: {ran.eeg_ended}"
    elif ran.record is None:
        code, why = TacsError.exit_code, "ended by hand before the session; no current was given"
    elif ran.record.outcome != "done":
        code, why = TacsError.exit_code, f"session {ran.record.outcome}: {ran.record.cause}"
    elif not ran.trains:
        code, why = NoAnswer.exit_code, "no train can be read"
    if code:
        console.output.failed(data, "\n".join(lines), why, code)
    console.output.result(data, "\n".join(lines))


def _short(ran: RanVisit) -> list[str]:
    """What so few trains may not report."""
    from analysis.profile_echo import may_report_echo, too_few_for_echo

    n = len(ran.trains)
    return [] if not n or may_report_echo(n) else [too_few_for_echo(n)]


def _about(plan: RunPlan, visit: Visit, places: VisitPlaces) -> list[str]:
    """What a person should know of this visit before it begins."""
    from analysis.profile_echo import may_report_echo, too_few_for_echo
    from tacs.clock import utc_now

    told = []
    if visit.kind == "sham":
        told.append("sham: the ramps, then no current; trains are virtual, and nothing is blinded")
    if not may_report_echo(visit.trains):
        told.append(too_few_for_echo(visit.trains))
    hours = float(plan.data.get("hours_between_visits", 48.0))
    for session, number, ended in _earlier(places):
        if number == visit.visit:
            told.append(f"visit {number} was run already, in session {session}")
        elif utc_now() - ended < timedelta(hours=hours):
            since_h = (utc_now() - ended).total_seconds() / 3600.0
            told.append(
                f"visit {number} (session {session}) ended {since_h:.0f} h ago: the plan wants "
                f"{hours:g} h between visits"
            )
    return told


def _earlier(places: VisitPlaces) -> list[tuple[str, int, datetime]]:
    """Session, number and end of the visits of this person that the data set has."""
    import json

    found = []
    for path in sorted(places.paths.source.parent.glob("ses-*/*_profile.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["mode"] == "electrical":
                ended = datetime.fromisoformat(data["ended_at"])
                session = path.parent.name.removeprefix("ses-")
                found.append((session, int(data["visit"]["visit"]), ended))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # of another mode, or of an older version: it says of no visit
    return found


def _recordings(plan: RunPlan, when: str, source: str, places: VisitPlaces) -> list[str]:
    """Commands of the recordings at rest that the plan has and the data set has not."""
    from tacs.dataset import task_label

    lines = []
    for one in plan.data.get("recordings", ()):
        stem = places.paths.recording_stem(task_label(one["task"]), when)
        if one["when"] != when or any(places.paths.eeg.glob(f"{stem}_*")):
            continue
        at = f"{one['after_min']:g} min after the trains: " if when == "post" else ""
        words = [
            "tacs", "watch", source, "--seconds", f"{60.0 * one['minutes']:g}", "--out",
            str(places.dataset), "--subject", places.subject, "--session", places.session,
            "--when", when, "--task", one["task"],
        ]  # fmt: skip
        lines.append(at + shlex.join(words))
    return lines


def _next(plan: RunPlan, ran: RanVisit, source: str, places: VisitPlaces) -> list[str]:
    """What is to be done after the visit."""
    steps = _recordings(plan, "post", source, places) if ran.record is not None else []
    if ran.recording is None or ran.table is None:
        return steps
    recording, table = shlex.quote(str(ran.recording.path)), shlex.quote(str(ran.table))
    analyze = "tacs profile analyze"
    if ran.visit.kind == "sham":
        beside = "RECORDING --blocks TABLE --mode electrical"
        return [
            *steps,
            f"beside a visit with a drive: {analyze} {beside} --visit {recording} {table}",
        ]
    return [*steps, f"{analyze} {recording} --blocks {table} --mode electrical"]
