"""A PostgreSQL server of the tests' own, or one line that says why there is none."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def _program(name: str) -> str | None:
    """A program of the newest installed server."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return str(installed[0]) if installed else shutil.which(name)


def _as_server(folder: Path) -> list[str]:
    """What goes before a command: the server does not run as root."""
    if os.getuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    runuser = shutil.which("runuser")
    if runuser is None:
        pytest.skip("PostgreSQL does not run as root, and there is no runuser")
    return [runuser, "-u", "postgres", "--"]


def serve() -> Iterator[str]:
    """Yield the URL of an empty server; it listens on a socket in its own folder only."""
    given = os.environ.get("TACS_TEST_POSTGRES")
    if given:
        yield given
        return
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL server: neither initdb nor TACS_TEST_POSTGRES")
    folder = Path(tempfile.mkdtemp(prefix="tacs-pg-", dir="/tmp"))
    before = _as_server(folder)
    data = folder / "data"

    def run(*command: str) -> None:
        done = subprocess.run(
            [*before, *command], cwd="/", capture_output=True, text=True, timeout=120,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"PostgreSQL does not start: {done.stderr.strip()[-200:]}")

    try:
        run(initdb, "-D", str(data), "-U", "tester", "--auth=trust", "-E", "UTF8", "--no-locale")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run(pg_ctl, "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://tester@/postgres?host={folder}"
        finally:
            run(pg_ctl, "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
