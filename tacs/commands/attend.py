"""Attend: look at a session that another terminal runs, and stop it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from tacs import console
from tacs.errors import InputError


def stop(
    subject: Annotated[
        str, typer.Option("--subject", help="only the session of this participant")
    ] = "",
    cause: Annotated[str, typer.Option("--cause", help="why, for the record")] = "tacs stop",
) -> None:
    """Stop every session that runs on this computer, or that of one participant."""
    from tacs.local_link import connect

    stopped = []
    for contact in _running(subject):
        link = connect(contact, role="viewer", name="tacs stop")
        link.send({"say": f"stop:{cause}"})
        # What is left of the session tells whether it was heard.
        outcome = _until_over(link)
        stopped.append({"title": contact.title, "pid": contact.pid, **outcome})
    prose = [f"{s['title']}: {s['outcome']}" for s in stopped]
    console.output.result({"stopped": stopped}, "\n".join(prose))


def attach(
    subject: Annotated[str, typer.Option("--subject", help="the participant")] = "",
) -> None:
    """Watch a running session from a second terminal; Ctrl-C leaves it running."""
    from tacs.front import telemetry_of
    from tacs.live import WORDS
    from tacs.local_link import connect

    contacts = _running(subject)
    if len(contacts) > 1:
        titles = ", ".join(contact.title for contact in contacts)
        raise InputError(f"several sessions run ({titles}): choose one with --subject")
    link = connect(contacts[0], role="viewer", name="tacs attach")
    last: dict[str, Any] = {}
    while link.open:
        link.wait(0.5)
        for message in link.receive():
            if "telemetry" in message:
                now = telemetry_of(message["telemetry"])
                word = WORDS.get(now.state, now.state.value)
                line = f"{word:<12}  {now.elapsed_s:6.0f} of {now.duration_s:.0f} s  "
                line += now.instruction or now.cause
                end = "\r" if sys.stderr.isatty() else "\n"
                changed = last.get("state") != message["telemetry"]["state"]
                if sys.stderr.isatty() or changed:
                    sys.stderr.write(line + end)
                last = message["telemetry"]
            elif "result" in message or "error" in message:
                last = message.get("result") or message["error"]
                link.close()
    told = last.get("outcome") or last.get("text") or "the guardian is gone"
    console.output.result({"title": contacts[0].title, "last": last}, f"session {told}")


def _running(subject: str) -> list[Any]:
    from tacs.local_link import running_guardians

    found = [
        contact
        for contact in running_guardians()
        if not subject or contact.title.split()[0] == f"sub-{subject}"
    ]
    if not found:
        whose = f" of subject {subject}" if subject else ""
        raise InputError(f"no session{whose} runs on this computer under your account")
    return found


def _until_over(link: Any) -> dict[str, Any]:
    """Wait, at most ten seconds, for what became of a session."""
    from tacs.clock import MonotonicClock

    clock = MonotonicClock()
    until_s = clock.now_s() + 10.0
    while link.open and clock.now_s() < until_s:
        link.wait(0.2)
        for message in link.receive():
            if "result" in message:
                result = message["result"]
                return {"outcome": result["outcome"], "cause": result["cause"]}
            if "error" in message:
                return {"outcome": "refused", "cause": message["error"]["text"]}
    return {"outcome": "asked to stop; no answer yet", "cause": ""}
