"""Serve: the local page from which a session is run and a course is followed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from tacs import console
from tacs.errors import InputError

NEEDED = ("fastapi", "uvicorn", "websockets")


def serve(
    dataset: Annotated[str, typer.Argument(help="data set (BIDS); made where there is none")],
    port: Annotated[
        int, typer.Option("--port", help="of this computer; 0 takes a free one")
    ] = 8765,
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            help="NAME=ROLE, a link each: operator, rater, unblinded-statistician, read-only; "
            "repeatable; one operator where left out",
        ),
    ] = None,
    protocols: Annotated[
        str, typer.Option("--protocols", help="folder whose protocol files the console offers")
    ] = ".",
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device", help="offered by the console, repeatable; every emulated one if left out"
        ),
    ] = None,
    rig: Annotated[
        list[str] | None,
        typer.Option("--rig", help="rig file or shipped rig that the console offers; repeatable"),
    ] = None,
    eeg: Annotated[
        str, typer.Option("--eeg", help="live EEG to show: lsl:NAME, replay:FILE, virtual:SEED, …")
    ] = "",
    table: Annotated[
        str, typer.Option("--table", help="the statistician's sealed table; needs --key")
    ] = "",
    key: Annotated[
        str, typer.Option("--key", help="the statistician's private key; on no one else's computer")
    ] = "",
) -> None:
    """Serve the local page: patients, courses, ratings, the session console. Ctrl-C ends it.

    It answers on 127.0.0.1 alone. Each person gets a link that works once. STOP: button, Esc or
    space bar, on every page. The session stops when the page that started it goes away.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(f"tacs serve needs {', '.join(missing)}: pip install 'tacs-suite[serve]'")
    if not 0 <= port <= 65535 or 0 < port < 1024:
        raise InputError(f"--port {port}: give 0, or 1024 to 65535")
    if bool(table) != bool(key):
        raise InputError("--table and --key belong together; give both or none")
    from tacs.dataset import ensure_dataset
    from tacs.driver import DeviceName, find_driver, installed
    from tacs.rig import load_rig
    from tacs.serve.logins import people_of
    from tacs.serve.place import Place
    from tacs.serve.server import serve as run
    from tacs.sitelog import site_folder

    people = people_of(role or ())
    if not Path(protocols).is_dir():
        raise InputError(f"--protocols {protocols}: no such folder")
    offered = device or [
        f"emulated:{name}"
        for name in sorted(installed("tacs.emulators"))
        if find_driver(name).capabilities.machine_verified
    ]
    for name in offered:
        find_driver(DeviceName.parse(name).driver)
    for name in rig or ():
        load_rig(name)
    if eeg:
        from tacs.clock import MonotonicClock
        from tacs.eeg import open_source

        open_source(eeg, MonotonicClock())
    place = Place(
        dataset=ensure_dataset(dataset),
        site=site_folder(),
        protocols=Path(protocols),
        devices=tuple(offered),
        rigs=tuple(rig or ()),
        eeg=eeg,
        table=Path(table) if table else None,
        key=Path(key) if key else None,
    )
    console.output.say(
        "Research use only. Not a medical device. Each link works once; Ctrl-C ends the server, "
        "and with it any session that it runs."
    )
    run(place, people, port=port, say=console.output.say)
    console.output.result({"served": str(dataset)}, "the server has ended")
