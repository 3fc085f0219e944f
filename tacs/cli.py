"""The command line: parse, call, print. Everything it can do is one public function away.

``--json`` anywhere prints one JSON object on standard output and nothing else there; progress and
prose go to standard error. Exit codes: 0 done, 2 bad input or usage, 3 the recording does not
support an answer, 4 refused by a safety limit, 5 stopped or faulted during a session.

Heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tacs.errors import InputError, NoAnswer, SafetyRefusal, TacsError

app = typer.Typer(
    name="tacs",
    help="Individualized tACS: find the peak, plan, check, stimulate, compare, report. "
    "Research use only. Not a medical device.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--json with any command prints one JSON object on standard output.",
)

Subject = Annotated[str, typer.Option("--subject", help="participant label, letters and digits")]
SessionLabel = Annotated[str, typer.Option("--session", help="session label, letters and digits")]
Picks = Annotated[str, typer.Option("--picks", help="channels, separated by commas")]
RigOption = Annotated[str, typer.Option("--rig", help="rig file, or the name of a shipped rig")]
SiteOption = Annotated[str, typer.Option("--site", help="site file with the site's own limits")]
ParticipantOption = Annotated[
    str, typer.Option("--participant", help="participant file; it may only tighten limits")
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="emulated:synthpal, synthpal:/dev/ttyACM0, …")
]


class Output:
    """Where results go: JSON or prose on standard output, everything else on standard error."""

    def __init__(self) -> None:
        self.as_json = False

    def result(self, data: dict[str, Any], prose: str) -> None:
        """Print the result of a command once."""
        sys.stdout.write((json.dumps(data, allow_nan=False) if self.as_json else prose) + "\n")

    def say(self, text: str) -> None:
        """Tell a person something beside the result."""
        sys.stderr.write(text + "\n")


output = Output()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    raise SystemExit(call(sys.argv[1:] if arguments is None else list(arguments)))


def call(arguments: list[str]) -> int:
    """Run one command line; return its exit code. No traceback reaches a user."""
    output.as_json = "--json" in arguments
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("MNE_LOGGING_LEVEL", "ERROR")
    try:
        words = [a for a in arguments if a != "--json"]
        code = app(words, prog_name="tacs", standalone_mode=False)
    except TacsError as exc:
        return _failed(exc)
    except typer.Exit as exc:
        return exc.exit_code
    except typer.Abort:
        output.say("tacs: aborted")
        return 2
    except KeyboardInterrupt:
        output.say("tacs: interrupted")
        return 5
    except BrokenPipeError:
        sys.stderr.close()
        return 2
    except Exception as exc:
        return _unexpected(exc)
    return int(code or 0)


def _failed(exc: TacsError) -> int:
    breaches = [b.to_dict() for b in exc.breaches] if isinstance(exc, SafetyRefusal) else []
    lines = str(exc).splitlines() or [type(exc).__name__]
    if breaches:
        output.say(f"tacs: refused, {len(lines)} limit(s) broken:")
    for line in lines:
        output.say(f"  {line}" if breaches else f"tacs: {line}")
    if output.as_json:
        body: dict[str, Any] = {"error": str(exc), "exit_code": exc.exit_code}
        if breaches:
            body["breaches"] = breaches
        sys.stdout.write(json.dumps(body) + "\n")
    return exc.exit_code


def _unexpected(exc: Exception) -> int:
    """Usage errors of the parser, errors of the analysis package, and defects."""
    show = getattr(exc, "show", None)
    if show is not None:  # click's own usage errors know how to print themselves
        show()
        if output.as_json:
            message = getattr(exc, "format_message", lambda: str(exc))()
            sys.stdout.write(json.dumps({"error": message, "exit_code": 2}) + "\n")
        return 2
    known = _from_analysis(exc)
    if known is not None:
        return _failed(known)
    if isinstance(exc, OSError):
        where = f"{exc.filename}: " if exc.filename else ""
        return _failed(InputError(f"{where}{exc.strerror or exc}"))
    if os.environ.get("TACS_DEBUG"):
        raise exc
    output.say(
        f"tacs: a defect of the suite: {type(exc).__name__}: {exc}; "
        f"set TACS_DEBUG=1 to see where, and please report it"
    )
    if output.as_json:
        sys.stdout.write(json.dumps({"error": str(exc), "exit_code": 5}) + "\n")
    return 5


def _from_analysis(exc: Exception) -> TacsError | None:
    """Errors of the analysis package, which knows nothing of this one, as ours."""
    from analysis.errors import AnalysisError, UnusableRecording

    if isinstance(exc, UnusableRecording):
        return NoAnswer(str(exc))
    if isinstance(exc, AnalysisError):
        return InputError(str(exc))
    return None


def _version(wanted: bool) -> None:
    if wanted:
        from tacs import __version__

        sys.stdout.write(f"tacs {__version__}\n")
        raise typer.Exit(0)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    pass


# -- find ---------------------------------------------------------------------------------------


@app.command("import")
def import_(
    recording: Annotated[str, typer.Argument(help="recording in any format that MNE reads")],
    out: Annotated[str, typer.Option("--out", help="data set (BIDS); made where there is none")],
    subject: Subject,
    session: SessionLabel,
    when: Annotated[str, typer.Option("--when", help="pre or post")],
    task: Annotated[str, typer.Option("--task", help="state, such as rest-closed")] = "rest-closed",
    sfreq: Annotated[
        float, typer.Option("--sfreq", help="true sampling rate, Hz", show_default=False)
    ] = 0.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace an earlier import")
    ] = False,
) -> None:
    """Bring a clinic's recording into the data set, with a summary of its quality."""
    from tacs.bids import import_recording

    imported = import_recording(
        recording,
        out,
        subject=subject,
        session=session,
        when=when,
        task=task,
        sfreq_hz=sfreq or None,
        overwrite=overwrite,
    )
    lines = [f"imported: {imported.path}", *(f"warning: {w}" for w in imported.warnings)]
    output.result(imported.to_dict(), "\n".join(lines))


@app.command()
def peak(
    recording: Annotated[str, typer.Argument(help="recording in any format that MNE reads")],
    band: Annotated[
        tuple[float, float], typer.Option("--band", help="where to look, Hz", metavar="LOW HIGH")
    ] = (7.0, 13.0),
    picks: Picks = "",
    tmin: Annotated[float, typer.Option("--tmin", help="from, seconds", show_default=False)] = 0.0,
    tmax: Annotated[
        float, typer.Option("--tmax", help="to, seconds; 0 is the end", show_default=False)
    ] = 0.0,
    sfreq: Annotated[
        float,
        typer.Option(
            "--sfreq", help="true sampling rate where the header's is wrong, Hz", show_default=False
        ),
    ] = 0.0,
    subject: Annotated[str, typer.Option("--subject", help="whose recording it is")] = "",
    out: Annotated[str, typer.Option("--out", help="also write the JSON to this file")] = "",
    figure: Annotated[str, typer.Option("--figure", help="write a figure (.png, .svg, .pdf)")] = "",
) -> None:
    """Find the endogenous peak frequency of a recording, with an interval, or say why not."""
    from tacs.analyses import estimate_peak

    estimate = estimate_peak(
        recording,
        band_hz=band,
        picks=_names(picks),
        tmin_s=tmin or None,
        tmax_s=tmax or None,
        sfreq_hz=sfreq or None,
        subject=subject or None,
    )
    data = estimate.to_dict()
    if out:
        from tacs.files import write_text

        write_text(out, json.dumps(data, indent=2, allow_nan=False) + "\n")
    if figure:
        _save(estimate.plot(), figure)
    output.result(data, _peak_prose(data))
    if data["status"] != "found":
        raise typer.Exit(NoAnswer.exit_code)


def _peak_prose(data: dict[str, Any]) -> str:
    if data["status"] == "found":
        low, high = data["ci95_hz"]
        lines = [
            f"peak {data['frequency_hz']:.2f} Hz (95 % interval {low:.2f} to {high:.2f} Hz)",
            f"prominence {data['prominence_db']:.1f} dB, "
            f"centre of gravity {data['center_of_gravity_hz']:.2f} Hz, "
            f"{data['n_channels_used']} channels, {data['seconds_used']:.0f} s",
        ]
    else:
        head = "no reliable peak" if data["status"] == "no_peak" else "unusable recording"
        lines = [head, *(f"reason: {reason}" for reason in data["reasons"])]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in data["warnings"])])


# -- plan ---------------------------------------------------------------------------------------


@app.command()
def recipes() -> None:
    """List the recipes that ship: what they do, and how good the evidence is."""
    from tacs.planning import recipes as all_recipes

    entries = [recipe.to_dict() for recipe in all_recipes().values()]
    prose = "\n".join(
        f"{r['name']:<32} {r['waveform']:<12} evidence {r['evidence']}  "
        f"expects {r['expected_direction']}\n    {r['title']}"
        for r in entries
    )
    output.result({"recipes": entries}, prose)


@app.command()
def plan(
    recipe: Annotated[str, typer.Option("--recipe", help="name of a recipe, or a recipe file")],
    out: Annotated[str, typer.Option("--out", help="protocol file to write")],
    peak: Annotated[str, typer.Option("--peak", help="JSON of `tacs peak`")] = "",
    rig: RigOption = "",
    subject: Annotated[str, typer.Option("--subject", help="participant it is meant for")] = "",
    site: SiteOption = "",
    participant: ParticipantOption = "",
    blinding_label: Annotated[
        str, typer.Option("--blinding-label", help="opaque code of the arm")
    ] = "",
    frequency_hz: Annotated[
        float,
        typer.Option(
            "--frequency-hz", help="another frequency; needs --fallback-note", show_default=False
        ),
    ] = 0.0,
    fallback_note: Annotated[
        str, typer.Option("--fallback-note", help="why the frequency is not the individual one")
    ] = "",
    preview: Annotated[str, typer.Option("--preview", help="write a figure of the waveform")] = "",
) -> None:
    """Turn a peak and a recipe into a checked protocol; where a limit objects, write nothing."""
    from tacs.clock import utc_now
    from tacs.limits import effective_limits
    from tacs.planning import make_plan, read_peak

    made = make_plan(
        read_peak(peak) if peak else None,
        recipe,
        now=utc_now(),
        subject=subject or None,
        rig=rig or None,
        limits=effective_limits(site or None, participant or None),
        frequency_hz=frequency_hz or None,
        fallback_note=fallback_note or None,
    )
    if blinding_label:
        made = made.blinded(blinding_label)
    data = made.to_dict()
    if made.breaches:
        for breach in made.breaches:
            output.say(f"  {breach}")
        output.result(data, f"refused: {len(made.breaches)} limit(s) broken; nothing was written")
        raise typer.Exit(SafetyRefusal.exit_code)
    made.protocol.to_toml(out, comment="\n".join(made.reasons))
    if preview:
        from tacs.report_figures import plot_waveform

        _save(plot_waveform(made.protocol), preview)
    lines = [f"protocol: {out}", *(f"- {r}" for r in made.reasons)]
    lines += [f"caution: {c}" for c in made.cautions]
    output.result({**data, "protocol": str(out)}, "\n".join(lines))


@app.command()
def check(
    protocol: Annotated[str, typer.Argument(help="protocol file")],
    device: DeviceOption,
    rig: RigOption = "",
    subject: Annotated[str, typer.Option("--subject", help="participant it is meant for")] = "",
    site: SiteOption = "",
    participant: ParticipantOption = "",
) -> None:
    """Hold a protocol against every limit and list every breach."""
    from tacs.protocol import Protocol
    from tacs.runner import check as find_breaches
    from tacs.runner import prepare
    from tacs.safety import cautions

    prescription = Protocol.from_toml(protocol)
    setup = prepare(
        device, rig=rig or None, site_file=site or None, participant_file=participant or None
    )
    breaches = find_breaches(prescription, setup, subject=subject or None)
    told = cautions(prescription, setup.capabilities)
    prose = [f"refused: {len(breaches)} limit(s) broken" if breaches else "every limit respected"]
    prose += [f"  {breach}" for breach in breaches] + [f"caution: {text}" for text in told]
    output.result(
        {
            "ok": not breaches,
            "breaches": [b.to_dict() for b in breaches],
            "cautions": told,
            "protocol_sha256": prescription.sha256(),
        },
        "\n".join(prose),
    )
    if breaches:
        raise typer.Exit(SafetyRefusal.exit_code)


@app.command()
def limits(site: SiteOption = "", participant: ParticipantOption = "") -> None:
    """List every limit: in force, default, hard ceiling, unit and source."""
    from tacs.limits import LIMITS, effective_limits

    force = effective_limits(site or None, participant or None)
    rows = [
        {
            "limit": name,
            "sense": row.sense,
            "in_force": force[name],
            "default": row.default,
            "ceiling": row.ceiling,
            "unit": row.unit,
            "meaning": row.meaning,
            "source": force.source(name),
        }
        for name, row in LIMITS.items()
    ]
    prose = "\n".join(
        f"{r['limit']:<32} {r['sense']} {r['in_force']:>7g} (ceiling {r['ceiling']:g}) "
        f"{r['unit']:<8} {r['meaning']} [{r['source']}]"
        for r in rows
    )
    output.result({"limits": rows}, prose)


@app.command()
def schema(
    what: Annotated[
        str, typer.Argument(help="protocol, rig, recipe, site or participant")
    ] = "protocol",
) -> None:
    """Print the JSON schema of a settings file."""
    from tacs.files import StrictModel
    from tacs.limits import ParticipantFile, SiteFile
    from tacs.planning import Recipe
    from tacs.protocol import Protocol
    from tacs.rig import Rig

    models: dict[str, type[StrictModel]] = {
        "protocol": Protocol,
        "rig": Rig,
        "recipe": Recipe,
        "site": SiteFile,
        "participant": ParticipantFile,
    }
    if what not in models:
        raise InputError(f"no schema named {what!r}; there are: {', '.join(models)}")
    data = models[what].model_json_schema()
    output.result(data, json.dumps(data, indent=2))


# -- stimulate ----------------------------------------------------------------------------------


@app.command()
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
    output.result({"devices": entries}, "\n".join(prose))


@app.command()
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
    from tacs.clock import QueueInbox
    from tacs.live import LiveView
    from tacs.protocol import Protocol
    from tacs.runner import prepare
    from tacs.runner import run as run_session
    from tacs.safety import cautions

    prescription = Protocol.from_toml(protocol)
    setup = prepare(
        device, rig=rig or None, site_file=site or None, participant_file=participant or None
    )
    for text in cautions(prescription, setup.capabilities):
        output.say(f"caution: {text}")
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
    output.result(record.to_dict(), _run_prose(record.to_dict()))
    if record.outcome != "done":
        raise typer.Exit(5)


def _confirmation(given: str) -> Any:
    """The confirmation a real device needs: typed now, or given and compared."""

    def confirm(words: str, told: Sequence[str]) -> None:
        for text in told:
            output.say(f"before arming: {text}")
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


@app.command()
def recover(
    dataset: Annotated[str, typer.Argument(help="data set")],
) -> None:
    """Close what a crash left open: measure or bound the dose, close the record, book it."""
    from tacs.recovery import recover as close_open

    found = [session.to_dict() for session in close_open(dataset)]
    prose = [f"{s['record']}: {s['outcome']}; {s['note']}" for s in found]
    output.result({"sessions": found}, "\n".join(prose) or "nothing was left open")


# -- quantify -----------------------------------------------------------------------------------


@app.command()
def compare(
    pre: Annotated[str, typer.Argument(help="recording before the session")],
    post: Annotated[str, typer.Argument(help="recording after it, in the same state")],
    peak_hz: Annotated[
        float, typer.Option("--peak-hz", help="peak that fixes the band, Hz", show_default=False)
    ] = 0.0,
    peak: Annotated[str, typer.Option("--peak", help="JSON of `tacs peak`")] = "",
    protocol: Annotated[str, typer.Option("--protocol", help="protocol file")] = "",
    picks: Picks = "",
    figures: Annotated[str, typer.Option("--figures", help="folder for figures")] = "",
) -> None:
    """Compare power and connectivity before and after a session."""
    from tacs.analyses import compare_recordings

    outcome = compare_recordings(
        pre,
        post,
        peak_hz=peak_hz or None,
        peak_file=peak or None,
        protocol_file=protocol or None,
        picks=_names(picks),
    )
    data = outcome.to_dict()
    if figures:
        from analysis.figures_outcome import plot_connectivity, plot_spectra, plot_topographies

        for name, draw in (
            ("spectra", plot_spectra),
            ("topographies", plot_topographies),
            ("connectivity", plot_connectivity),
        ):
            _save(draw(outcome), str(Path(figures) / f"{name}.png"))
    lines = [data["summary"], *(f"warning: {warning}" for warning in data["warnings"])]
    output.result(data, "\n".join(lines))


@app.command()
def report(
    dataset: Annotated[str, typer.Argument(help="data set")],
    subject: Subject,
    session: Annotated[
        str, typer.Option("--session", help="session label; all where left out")
    ] = "",
    out: Annotated[str, typer.Option("--out", help="file to write instead of the usual one")] = "",
) -> None:
    """Write the HTML report of a session."""
    from tacs.report import write_report

    path = write_report(dataset, subject, session or None, out=out or None)
    output.result({"path": str(path)}, f"report: {path}")


@app.command()
def demo(
    out: Annotated[str, typer.Option("--out", help="folder to make")] = "tacs-demo",
    seed: Annotated[int, typer.Option("--seed", help="of the virtual patient")] = 1,
) -> None:
    """Run the whole chain on a virtual patient and an emulated stimulator, ending in a report."""
    from tacs.demo import run_demo

    summary = run_demo(Path(out), seed, say=output.say)
    output.result(summary, summary["text"])


verify_app = typer.Typer(
    help="Try to break the suite on this computer.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(verify_app, name="verify")


@verify_app.command("kernel")
def verify_kernel(
    sequences: Annotated[int, typer.Option("--sequences", help="how many, of 50 steps")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", help="same seed, same sequences")] = 0,
) -> None:
    """Throw random sequences of events at the session's state machine, and count broken rules."""
    from tacs.clock import MonotonicClock
    from tacs.verify import verify_kernel as campaign

    clock = MonotonicClock()
    start_s = clock.now_s()
    found = campaign(sequences, seed)
    seconds = round(clock.now_s() - start_s, 2)
    lines = [f"{n:>6} x {rule}" for rule, n in found.by_rule.items()]
    lines.append(
        f"{found.steps} steps in {found.sequences} sequences: {found.violations} violations"
    )
    if found.first:
        lines.append(found.first)
    output.result({**found.to_dict(), "seconds": seconds, "seed": seed}, "\n".join(lines))
    if found.violations:
        raise typer.Exit(5)


@app.command()
def doctor() -> None:
    """Look at the installation: files, optional parts, ports, permissions."""
    from tacs.doctor import examine

    findings = examine()
    ok = all(f["ok"] for f in findings)
    prose = "\n".join(f"{'ok ' if f['ok'] else 'BAD'} {f['what']}: {f['text']}" for f in findings)
    output.result({"ok": ok, "findings": findings}, prose)
    if not ok:
        raise typer.Exit(2)


def _names(text: str) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] or None


def _save(figure: Any, path: str) -> None:
    """Save a figure; a folder that is missing is made."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as exc:
        raise InputError(f"{path}: cannot be written ({exc})") from exc
    output.say(f"figure: {path}")
