"""The command line: parse, call, print. Everything it can do is one public function away.

``--json`` anywhere prints one JSON object on standard output and nothing else there; progress and
prose go to standard error. Exit codes: 0 done, 2 bad input or usage, 3 the recording does not
support an answer, 4 refused by a safety limit, 5 stopped or faulted during a session.

Heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tacs import console
from tacs.commands import (
    attend,
    blind,
    calibrate,
    clean,
    course,
    find,
    group,
    people,
    plan,
    profile,
    quantify,
    stimulate,
    track,
    upkeep,
    watch,
)
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    raise SystemExit(call(sys.argv[1:] if arguments is None else list(arguments)))


def call(arguments: list[str]) -> int:
    """Run one command line; return its exit code. No traceback reaches a user."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("MNE_LOGGING_LEVEL", "ERROR")
    words = [a for a in arguments if a != "--json"]
    with console.output.running(as_json="--json" in arguments):
        try:
            code = app(words, prog_name="tacs", standalone_mode=False)
        except TacsError as exc:
            return _failed(exc)
        except typer.Exit as exc:
            return exc.exit_code
        except typer.Abort:
            console.output.say("tacs: aborted")
            return 2
        except KeyboardInterrupt:
            console.output.say("tacs: interrupted")
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
        console.output.say(f"tacs: refused, {len(lines)} limit(s) broken:")
    for line in lines:
        console.output.say(f"  {line}" if breaches else f"tacs: {line}")
    console.output.error(str(exc), exc.exit_code, **({"breaches": breaches} if breaches else {}))
    return exc.exit_code


def _unexpected(exc: Exception) -> int:
    """Usage errors of the parser, errors of the analysis package, and defects."""
    show = getattr(exc, "show", None)
    if show is not None:  # click's own usage errors know how to print themselves
        show()
        console.output.error(getattr(exc, "format_message", lambda: str(exc))(), 2)
        return 2
    known = _from_analysis(exc)
    if known is not None:
        return _failed(known)
    if isinstance(exc, OSError):
        where = f"{exc.filename}: " if exc.filename else ""
        return _failed(InputError(f"{where}{exc.strerror or exc}"))
    if os.environ.get("TACS_DEBUG"):
        raise exc
    console.output.say(
        f"tacs: a defect of the suite: {type(exc).__name__}: {exc}; "
        f"set TACS_DEBUG=1 to see where, and please report it"
    )
    console.output.error(str(exc), 5)
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


verify_app = typer.Typer(
    help="Try to break the suite on this computer.", no_args_is_help=True, rich_markup_mode=None
)
verify_app.command("kernel")(upkeep.verify_kernel)
verify_app.command("device")(upkeep.verify_device)

app.command("import")(find.import_)
app.command()(find.peak)
app.command()(watch.watch)
app.command()(plan.recipes)
app.command()(plan.plan)
app.command()(plan.check)
app.command()(plan.limits)
app.command()(plan.schema)
app.command()(people.screen)
app.command()(people.consent)
app.command()(people.preflight)
app.command()(people.adverse)
app.command()(people.identify)
app.command()(people.override)
app.command()(people.card)
app.command()(people.journal)
app.command()(stimulate.devices)
app.command()(stimulate.run)
app.command()(calibrate.calibrate)
app.command()(attend.stop)
app.command()(attend.attach)
app.command()(stimulate.recover)
app.command()(clean.clean)
app.command(cls=console.PairsCommand)(quantify.compare)
app.command()(group.group)
app.command()(quantify.report)
app.command()(upkeep.demo)
app.add_typer(profile.app, name="profile")
app.add_typer(verify_app, name="verify")
app.add_typer(course.course_app, name="course")
app.add_typer(course.ledger_app, name="ledger")
app.add_typer(blind.app, name="blind")
app.command()(track.scales)
app.add_typer(track.track_app, name="track")
app.add_typer(track.store_app, name="store")
app.command()(upkeep.doctor)
