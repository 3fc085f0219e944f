"""A front end: start a guardian, hold its lease, pass messages on, take the result.

The front end decides nothing. If it is killed, the connection ends and the guardian stops the
session; if it hangs, the lease runs out; if the guardian is killed, the device's own lease ends the
current, and this side says so.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tacs.errors
from tacs.bids import SessionPaths
from tacs.clock import MonotonicClock, QueueInbox
from tacs.errors import InputError, SafetyRefusal, TacsError
from tacs.guardian import Telemetry
from tacs.local_link import Connection, Contact, HasFileno, connect
from tacs.played import Played
from tacs.run_record import RunRecord
from tacs.safety import Breach
from tacs.session import State
from tacs.session_request import SessionRequest
from tacs.signals import signals_to

__all__ = ["operate", "telemetry_of"]

ROUND_S = 0.02
ALIVE_EVERY_S = 0.25

Confirm = Callable[[str, Sequence[str]], None]


def operate(
    request: SessionRequest,
    *,
    inbox: QueueInbox,
    watch: Callable[[Telemetry], None] | None = None,
    confirm: Confirm | None = None,
    own_lease: bool = True,
) -> RunRecord:
    """Run a session in a guardian process and stay with it to the end.

    Parameters
    ----------
    request : SessionRequest
        What is to be run.
    inbox : QueueInbox
        Messages for the guardian; signals of this process arrive there too.
    watch : callable, optional
        Given telemetry as it comes.
    confirm : callable, optional
        Asked before a real device is armed; returns or raises.
    own_lease : bool
        Whether this loop says ``alive``; else whoever fills the inbox does, so that a display that
        hangs ends the session.

    Returns
    -------
    RunRecord
        ``interrupted`` where the guardian was lost.

    Raises
    ------
    TacsError
        What the guardian refused, or what failed before the device was armed.
    """
    log = request.setup.site / "guardian.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as exc:
        raise InputError(
            f"{log.parent}: the site's folder cannot be written ({exc.strerror}); "
            f"set TACS_SITE_DIR to one that can"
        ) from exc
    try:
        process = subprocess.Popen(
            # -P: a folder of the user's called `analysis` or `devices` is none of its business.
            [sys.executable, "-P", "-m", "tacs.guardian_main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    finally:
        os.close(errors)
    contact = _hand_over(process, request, log)
    link = connect(contact, role="operator", name="tacs run")
    try:
        with signals_to(inbox):
            return _stay(link, request, inbox, watch, confirm, own_lease=own_lease)
    finally:
        link.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10.0)


def _hand_over(process: subprocess.Popen[bytes], request: SessionRequest, log: Path) -> Contact:
    """Give the guardian its request; return how it is reached."""
    if process.stdin is None or process.stdout is None:
        raise InputError("the guardian has no pipes")
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(json.dumps(request.to_data()).encode())
    with process.stdout as answers:
        first = answers.readline()
    try:
        said = json.loads(first)
    except ValueError as exc:
        raise InputError(f"the guardian did not start; its reason is in {log}") from exc
    if "error" in said:
        raise error_of(said["error"])
    return Contact(**said["contact"])


def _stay(
    link: Connection,
    request: SessionRequest,
    inbox: QueueInbox,
    watch: Callable[[Telemetry], None] | None,
    confirm: Confirm | None,
    *,
    own_lease: bool,
) -> RunRecord:
    clock = MonotonicClock()
    alive_s = float("-inf")
    while True:
        now_s = clock.now_s()
        for message in inbox.collect(now_s):
            link.send({"say": message})
        if own_lease and now_s - alive_s >= ALIVE_EVERY_S:
            link.send({"say": "alive"})
            alive_s = now_s
        link.wait(ROUND_S, inbox if isinstance(inbox, HasFileno) else None)
        for told in link.receive():
            if "telemetry" in told and watch is not None:
                watch(telemetry_of(told["telemetry"]))
            elif "ask" in told:
                _answer(link, confirm, told["ask"])
            elif "result" in told:
                return RunRecord.from_dict(told["result"])
            elif "error" in told:
                raise error_of(told["error"])
        if not link.open:
            return _lost(request)


def _answer(link: Connection, confirm: Confirm | None, asked: dict[str, Any]) -> None:
    """Have a person confirm; whatever objects ends the session before it is armed."""
    if confirm is None:
        raise InputError("arming a real device needs a confirmation (--confirm SUBJECT:HASH)")
    confirm(asked["words"], asked["told"])
    link.send({"say": f"confirm:{asked['words']}"})


def _lost(request: SessionRequest) -> RunRecord:
    """The guardian is gone without a word."""
    capabilities = request.setup.capabilities
    paths = SessionPaths.of(request.dataset, request.subject, request.session)
    longest_s = capabilities.after_host_loss_s(request.protocol.duration_s)
    bound = f"at most {longest_s:g} s" if math.isfinite(longest_s) else "WITHOUT END"
    return RunRecord(
        outcome="interrupted",
        cause="the guardian process was lost",
        delivered=None,
        blinded=request.protocol.blinding is not None,
        quiet_after_stop_s=None,
        record=paths.record,
        trace=None,
        subject=request.subject,
        session=request.session,
        warnings=(
            f"{capabilities.on_host_loss}: {bound}; "
            f"take the electrode leads off, then run `tacs recover {request.dataset}`",
        ),
    )


def telemetry_of(data: dict[str, Any]) -> Telemetry:
    """Take what the guardian tells; a blinded one has no level."""
    contacts = data["impedance_kohm"]
    return Telemetry(
        state=State(data["state"]),
        elapsed_s=data["elapsed_s"],
        duration_s=data["duration_s"],
        level=data["level"] if data["level"] is not None else 0.0,
        measured_ma=data["measured_ma"],
        impedance_kohm=None
        if contacts is None
        else {k: float("inf") if v is None else v for k, v in contacts.items()},
        cause=data["cause"],
        ceiling=data["ceiling"] if data["ceiling"] is not None else 0.0,
        measures=data["measures"],
        measured_at_s=data["measured_at_s"],
        warnings=tuple(data["warnings"]),
        word=data["word"],
        instruction=data["instruction"],
        played=Played.from_dict(data["played"]),
        trains=data["trains"],
        refused=data["refused"],
        refusal=data["refusal"],
        frequency_hz=data["frequency_hz"],
    )


def error_of(data: dict[str, Any]) -> TacsError:
    """Return the error that the guardian raised."""
    if "breaches" in data:
        fields = ("limit", "value", "allowed", "unit", "source", "where")
        return SafetyRefusal([Breach(**{f: b[f] for f in fields}) for b in data["breaches"]])
    kind = getattr(tacs.errors, str(data["kind"]), TacsError)
    plain = (
        isinstance(kind, type)
        and issubclass(kind, TacsError)
        and (kind.__init__ is TacsError.__init__)
    )
    error = kind(data["text"]) if plain else InputError(data["text"])
    return error
