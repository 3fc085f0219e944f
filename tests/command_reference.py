"""Write ``docs/commands.md`` from the commands' own help: ``python -m tests.command_reference``."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
HEAD = """\
# Commands

Written from the commands' own `--help` by `python -m tests.command_reference`.

`--json` with any command prints one JSON object on standard output and nothing else there; progress
and prose go to standard error. With an error the object has the keys `error` and `exit_code`.

| exit code | means |
|---|---|
| 0 | done |
| 2 | bad input or usage; one line says what, where and how to mend it |
| 3 | the recording does not support an answer |
| 4 | refused by a safety limit, every breach listed; or a rating's alert is still open |
| 5 | stopped or faulted during a session |

| variable | means |
|---|---|
| `TACS_SITE_DIR` | the site's folder: `site.toml`, dose ledgers, courses, studies, anchors |
| `TACS_RUNTIME_DIR` | folder for the sockets of running sessions; only its owner may enter it |
| `TACS_STORE_URL` | database of `tacs store rebuild`; keeps a password off the command line |
| `TACS_TEST_DATA` | real recordings for the tests |
| `TACS_DEBUG` | show where a defect of the suite arose |
"""


def _name(command: Any) -> str:
    """Name of a command as it is typed."""
    return str(command.name or command.callback.__name__.rstrip("_").replace("_", "-"))


def reference() -> str:
    """Return the page."""
    from tacs.cli import app_of, call

    os.environ["COLUMNS"] = "96"
    app = app_of()
    names = [_name(c) for c in app.registered_commands if c.callback]
    for group in app.registered_groups:
        if group.typer_instance is not None:
            of_group = group.typer_instance.registered_commands
            names += [f"{group.name} {_name(c)}" for c in of_group]
    parts = [HEAD]
    for name in names:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            call([*name.split(), "--help"])
        parts.append(f"## tacs {name}\n\n```\n{out.getvalue().strip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
