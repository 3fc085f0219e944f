"""What the commands share: where results go, and the options that several of them have."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperCommand

from tacs.errors import InputError

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
ConfirmOption = Annotated[
    str, typer.Option("--confirm", help="SUBJECT:HASH, instead of typing it for a real device")
]
OperatorOption = Annotated[str, typer.Option("--operator", help="who runs it, for the record")]
RoleOption = Annotated[str, typer.Option("--role", help="the operator's role")]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", help="NAME[@SECONDS][=VALUE], emulated devices only; repeatable"),
]


class Output:
    """Where results go: JSON or prose on standard output, everything else on standard error."""

    def __init__(self) -> None:
        self.as_json = False
        self._stream: TextIO | None = None

    @contextlib.contextmanager
    def running(self, *, as_json: bool) -> Iterator[None]:
        """Keep standard output for the one JSON object: what libraries print goes to the error."""
        self.as_json, self._stream = as_json, sys.stdout
        try:
            with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
                yield
        finally:
            self._stream = None

    def result(self, data: dict[str, Any], prose: str) -> None:
        """Print the result of a command once."""
        text = json.dumps(data, allow_nan=False) if self.as_json else prose
        stream = self._stream or sys.stdout
        stream.write(text + "\n")
        stream.flush()

    def failed(self, data: dict[str, Any], prose: str, why: str, exit_code: int) -> NoReturn:
        """Print what there is all the same, say why that is not all, and leave with a code."""
        self.result(data | {"error": why, "exit_code": exit_code}, prose)
        self.say(f"tacs: {why}")
        raise typer.Exit(exit_code)

    def error(self, message: str, exit_code: int, **more: Any) -> None:
        """Print the one JSON object of a command that failed; the prose has been said already."""
        if self.as_json:
            self.result({"error": message, "exit_code": exit_code, **more}, "")

    def say(self, text: str) -> None:
        """Tell a person something beside the result."""
        sys.stderr.write(text + "\n")


output = Output()


PAIR_OPTIONS = ("--retest", "--visit")


class PairsCommand(TyperCommand):
    """A command whose options in `PAIR_OPTIONS` take two words each and may be repeated.

    Typer knows no list of pairs, so the second word gets the option's name too: the command
    receives a flat list, which `pairs` folds.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write the option before the second word of every pair."""
        told, rest = [], list(args)
        while rest:
            word = rest.pop(0)
            told.append(word)
            if word not in PAIR_OPTIONS:
                continue
            if len(rest) < 2 or any(name.startswith("--") for name in rest[:2]):
                raise InputError(f"{word} takes two recordings: {word} A B")
            told += [rest.pop(0), word, rest.pop(0)]
        return super().parse_args(ctx, told)


def pairs(flat: Sequence[str] | None, option: str) -> list[tuple[str, str]]:
    """Fold what a `PairsCommand` received under one option."""
    given = list(flat or ())
    if len(given) % 2:
        raise InputError(f"{option} takes two recordings: {option} A B")
    return list(zip(given[::2], given[1::2], strict=True))


def names(text: str) -> list[str] | None:
    """Split a list of channels; None where it is empty."""
    return [name.strip() for name in text.split(",") if name.strip()] or None


def save(figure: Any, path: str) -> None:
    """Save a figure; a folder that is missing is made."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as exc:
        raise InputError(f"{path}: cannot be written ({exc})") from exc
    output.say(f"figure: {path}")


def confirmation(given: str) -> Callable[[str, Sequence[str]], None]:
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
