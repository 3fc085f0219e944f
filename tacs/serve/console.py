"""Routes of the session console. STOP is everybody's; the rest is the operator's."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from tacs.serve.desk import ARMED_S, ConsoleError, Desk, Wish
from tacs.serve.guests import REFUSALS, guest, needs
from tacs.serve.logins import Login
from tacs.serve.models import (
    Armed,
    ArmedTold,
    Checked,
    Choice,
    Choices,
    Confirmation,
    ConsoleState,
    Discomfort,
    Done,
    Say,
    Start,
)

__all__ = ["console"]

console = APIRouter(prefix="/api/v1/console", responses=REFUSALS, tags=["console"])


def desk_of(request: Request) -> Desk:
    """Return the console's end of the session."""
    desk: Desk = request.app.state.desk
    return desk


At = Annotated[Desk, Depends(desk_of)]
Operator = Annotated[Login, Depends(needs("run"))]
Anybody = Annotated[Login, Depends(guest)]


def _wish(choice: Choice) -> Wish:
    return Wish(**choice.model_dump(exclude={"confirmation"}))


@console.get("")
def state(desk: At, who: Anybody) -> ConsoleState:
    """Show what the session does."""
    return ConsoleState(**desk.state())


@console.get("/choices")
def choices(desk: At, who: Operator) -> Choices:
    """List the protocols, devices and rigs that are offered."""
    return Choices(**desk.choices())


@console.post("/check")
def check(desk: At, who: Operator, choice: Choice) -> Checked:
    """Hold a choice against every limit, every breach listed; nothing is opened."""
    return Checked(**desk.check(_wish(choice)))


@console.post("/arm")
def arm(desk: At, who: Operator, armed: Armed) -> ArmedTold:
    """Arm with the typed words SUBJECT:HASH; nothing flows before it is started."""
    arming = desk.arm(_wish(armed), armed.confirmation, who.person.name)
    return ArmedTold(arming=arming, valid_s=ARMED_S)


@console.post("/start", status_code=202)
def start(request: Request, desk: At, who: Operator, asked: Start) -> Done:
    """Start what was armed; the page behind the channel holds the session from then on."""
    channels: dict[str, Any] = request.app.state.channels
    if channels.get(asked.channel) != who.key:
        raise ConsoleError("the page has no live channel; reload it and arm again")
    desk.start(asked.arming, asked.channel, who.person.name)
    return Done()


@console.post("/confirm")
def confirm(desk: At, who: Operator, words: Confirmation) -> Done:
    """Type the words once more for a real device, once it is connected."""
    desk.confirm(words.words)
    return Done()


@console.post("/say")
def say(desk: At, who: Operator, said: Say) -> Done:
    """Pause, resume, or steer a titration."""
    desk.say(said.say)
    return Done()


@console.post("/discomfort")
def discomfort(desk: At, who: Operator, rating: Discomfort) -> Done:
    """Pass on a discomfort rating: 6 pauses, 7 stops."""
    desk.say(f"rating:{rating.nrs}")
    return Done()


@console.post("/stop")
def stop(desk: At, who: Anybody) -> Done:
    """STOP, without a question; done is false where nothing ran."""
    return Done(done=desk.stop(f"STOP on the page, {who.person.name}"))
