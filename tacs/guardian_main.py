"""The guardian's process: it owns the device port, and nobody's terminal can take it along.

Started by a front end (:mod:`tacs.front`) in a session of its own, with the request on standard
input. It opens a door, says on standard output how it is reached, waits for its operator, conducts
the session, and ends. Ctrl-C and a closed terminal do not reach it; SIGTERM stops the session.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tacs.blinded_record import WITHHELD, visible_cause
from tacs.clock import MonotonicClock
from tacs.conduct import Conduct
from tacs.errors import InputError, SafetyRefusal, TacsError
from tacs.front_door import FrontDoor
from tacs.guardian import Telemetry
from tacs.local_link import listen
from tacs.session import RUNNING, State
from tacs.session_request import SessionRequest

__all__ = ["main", "telemetry_to_data"]

OPERATOR_WITHIN_S = 15.0
ANSWER_WITHIN_S = 600.0
LINGER_S = 2.0
TELL_EVERY_S = 0.1
LONGEST_REQUEST = 4 << 20


@dataclass
class _Desk:
    """What the session needs of its operator: the door, and what goes out through it."""

    door: FrontDoor
    clock: MonotonicClock
    blinded: bool
    told_s: float = float("-inf")
    state: State | None = None

    def await_operator(self) -> None:
        """Wait until a front end holds the lease."""
        until_s = self.clock.now_s() + OPERATOR_WITHIN_S
        while not self.door.controlled:
            if self.clock.now_s() > until_s:
                raise InputError("no front end came to operate the session")
            self.door.block(0.2)

    def confirm(self, words: str, told: Sequence[str]) -> None:
        """Have the words typed at the front end; compared here, not there."""
        self.door.broadcast({"ask": {"words": words, "told": list(told)}})
        until_s = self.clock.now_s() + ANSWER_WITHIN_S
        while self.clock.now_s() < until_s:
            confirmed = False
            # All of them first: a stop may have come along with the confirmation, before or after.
            for message in self.clock.wait(self.clock.now_s() + 0.2, self.door):
                word, _, text = message.partition(":")
                if word == "confirm":
                    if text != words:
                        raise InputError(f"not armed: {text!r} is not {words}")
                    confirmed = True
                elif word not in {"alive", "pause", "resume"}:
                    raise InputError(f"not armed: {text or message}")
            if confirmed:
                return
        raise InputError("not armed: nobody confirmed within ten minutes")

    def see_out(self) -> None:
        """Wait until the operator's front end has left, for two seconds at most."""
        until_s = self.clock.now_s() + LINGER_S
        while self.door.controller_present and (now_s := self.clock.now_s()) < until_s:
            # What it still says is taken: with a message left in the door, nothing would wait.
            self.clock.wait(min(now_s + 0.1, until_s), self.door)

    def watch(self, telemetry: Telemetry) -> None:
        """Tell the front ends, ten times a second and at every change of state."""
        now_s = self.clock.now_s()
        if telemetry.state is self.state and now_s - self.told_s < TELL_EVERY_S:
            return
        self.state, self.told_s = telemetry.state, now_s
        data = telemetry_to_data(telemetry, blinded=self.blinded)
        self.door.broadcast({"telemetry": data})


def telemetry_to_data(telemetry: Telemetry, *, blinded: bool) -> dict[str, Any]:
    """Return telemetry as plain JSON types; of a blinded session, nothing that tells the arm."""
    state = telemetry.state
    if blinded and state in RUNNING:
        state = State.PAUSED if state is State.PAUSED else State.BETWEEN_TRAINS
    measured, contacts = telemetry.measured_ma, telemetry.impedance_kohm
    return {
        "state": state.value,
        "elapsed_s": round(telemetry.elapsed_s, 3),
        "duration_s": telemetry.duration_s,
        "level": None if blinded else round(telemetry.level, 6),
        "measured_ma": None
        if blinded or measured is None
        else {str(k): round(v, 4) for k, v in measured.items()},
        "impedance_kohm": None
        if blinded or contacts is None
        else {k: round(v, 2) if v < 1e6 else None for k, v in contacts.items()},
        "cause": visible_cause(telemetry.cause)
        if blinded and not telemetry.by_person
        else telemetry.cause,
        "ceiling": None if blinded else telemetry.ceiling,
        "measures": telemetry.measures,
        "measured_at_s": None if blinded else telemetry.measured_at_s,
        "warnings": [] if blinded else list(telemetry.warnings),
        "word": telemetry.word,
        "instruction": telemetry.instruction,
        "played": None if blinded or telemetry.played is None else telemetry.played.to_dict(),
        "trains": telemetry.trains,
        "refused": telemetry.refused,
        # Why tells the state, and the state the arm.
        "refusal": WITHHELD if blinded and telemetry.refusal else telemetry.refusal,
        "frequency_hz": None if blinded else telemetry.frequency_hz,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Read a request from standard input, conduct the session, tell what became of it."""
    for name in ("SIGINT", "SIGHUP", "SIGPIPE"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        request = _request(sys.stdin.buffer.read(LONGEST_REQUEST))
        server, contact, note = listen(f"sub-{request.subject} ses-{request.session}")
    except TacsError as exc:
        _say({"error": error_to_data(exc)})
        return exc.exit_code
    door = FrontDoor(server, contact, note)
    _say({"contact": contact.to_dict()})
    try:
        return _serve(request, door)
    finally:
        door.close()


def _serve(request: SessionRequest, door: FrontDoor) -> int:
    clock = MonotonicClock()
    desk = _Desk(door, clock, blinded=request.protocol.blinding is not None)
    door.welcome = {
        "pid": door.pid,
        "subject": request.subject,
        "session": request.session,
        "protocol": request.protocol.name,
        "blinded": desk.blinded,
    }
    code = 0
    try:
        desk.await_operator()
        outcome = Conduct.of(
            request,
            clock=clock,
            inbox=door,
            confirm=desk.confirm,
            watch=desk.watch,
            operator_lease=True,
        ).run()
        message = {"result": outcome.to_dict()}
    except TacsError as exc:
        message, code = {"error": error_to_data(exc)}, exc.exit_code
    except Exception as exc:
        # A defect: the device is silent by now. The front end says so; the log has the rest.
        text = f"a defect in the guardian ({type(exc).__name__}: {exc}); run `tacs recover`"
        door.broadcast({"error": {"kind": "TacsError", "text": text}})
        raise
    door.broadcast(message)
    desk.see_out()
    return code


def error_to_data(error: TacsError) -> dict[str, Any]:
    """Return an error as plain JSON types; a refusal with every breach."""
    data: dict[str, Any] = {"kind": type(error).__name__, "text": str(error)}
    if isinstance(error, SafetyRefusal):
        data["breaches"] = [breach.to_dict() for breach in error.breaches]
    return data


def _request(content: bytes) -> SessionRequest:
    try:
        return SessionRequest.from_data(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise InputError(f"the request is no session ({exc!r})") from exc


def _say(data: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(json.dumps(data) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
