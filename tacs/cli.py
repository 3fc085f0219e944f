"""The command line: parse, call, print. Everything it can do is one public function away.

``--json`` anywhere prints one JSON object on standard output and nothing else there; progress and
prose go to standard error. Exit codes: 0 done, 2 bad input or usage, 3 the recording does not
support an answer, 4 refused by a safety limit, 5 stopped or faulted during a session.

Only the module of the command asked for is imported, and heavy ones inside the commands, so that
``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated

import typer

from tacs import console
from tacs.errors import InputError, NoAnswer, SafetyRefusal, TacsError

# In the order of the help: what is typed, and where it is defined.
COMMANDS: Mapping[str, str] = {
    "import": "find:import_",
    "peak": "find:peak",
    "watch": "watch:watch",
    "recipes": "plan:recipes",
    "plan": "plan:plan",
    "check": "plan:check",
    "limits": "plan:limits",
    "schema": "plan:schema",
    "screen": "people:screen",
    "consent": "people:consent",
    "preflight": "people:preflight",
    "adverse": "people:adverse",
    "identify": "people:identify",
    "override": "people:override",
    "card": "people:card",
    "journal": "people:journal",
    "devices": "stimulate:devices",
    "run": "stimulate:run",
    "loop": "loop:loop",
    "calibrate": "calibrate:calibrate",
    "stop": "attend:stop",
    "attach": "attend:attach",
    "serve": "serve:serve",
    "recover": "stimulate:recover",
    "clean": "clean:clean",
    "compare": "quantify:compare",
    "group": "group:group",
    "report": "quantify:report",
    "demo": "upkeep:demo",
    "scales": "track:scales",
    "doctor": "upkeep:doctor",
    "profile": "profile:app",
    "verify": "upkeep:verify_app",
    "course": "course:course_app",
    "ledger": "course:ledger_app",
    "blind": "blind:app",
    "track": "track:track_app",
    "store": "track:store_app",
    "export": "export:app",
}
PAIRED = ("compare",)  # has an option that takes two values and may be repeated


def app_of(words: Sequence[str] = ()) -> typer.Typer:
    """Return the command line, with the command that is asked for or with all of them.

    Parameters
    ----------
    words : sequence of str
        The command line; only the module of its command is imported.

    Returns
    -------
    typer.Typer
    """
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
    app.callback()(_root)
    asked = next((word for word in words if not word.startswith("-")), "")
    for name in [asked] if asked in COMMANDS else COMMANDS:
        module, _, attribute = COMMANDS[name].partition(":")
        found = getattr(import_module(f"tacs.commands.{module}"), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name, cls=console.PairsCommand if name in PAIRED else None)(found)
    return app


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
            code = app_of(words)(words, prog_name="tacs", standalone_mode=False)
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


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    pass
