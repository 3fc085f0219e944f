"""Messages of the operator side, and what they mean to the kernel."""

from __future__ import annotations

import json
import math

from tacs.session import Event, Trigger
from tacs.texts import mended

__all__ = ["ASKS", "event_of"]

ASKS = {"train": Trigger.TRAIN, "retune": Trigger.RETUNE}


def event_of(message: str) -> Event:
    """Return one message of the operator side as an event; an unknown word is a stop.

    A request for a train or another frequency carries one JSON object after its colon:
    ``train:{"at_s": 61.24, "reason": "..."}`` with the session time of its beginning, or without
    ``at_s`` for one as soon as it may come, and ``retune:{"frequency_hz": 10.1, "reason": "..."}``.
    What is no such object is a request that the kernel refuses.
    """
    word, _, cause = message.partition(":")
    if word in ASKS:
        return _request(word, cause)
    trigger = {
        "pause": Trigger.PAUSE,
        "resume": Trigger.RESUME,
        "alive": Trigger.ALIVE,
        "fault": Trigger.FAULT,
        "acknowledge": Trigger.ACKNOWLEDGE,
        "higher": Trigger.HIGHER,
        "lower": Trigger.LOWER,
        "accept": Trigger.ACCEPT,
        "rating": Trigger.RATING,
    }.get(word, Trigger.STOP)
    if trigger is Trigger.RATING:
        return Event(trigger, value=_number(cause))
    if trigger is Trigger.STOP and word != "stop":
        cause = f"unknown message {message!r}"
    return Event(trigger, cause or "the operator")


def _request(word: str, text: str) -> Event:
    """A request as an event; one that cannot be read has the value NaN."""
    try:
        data = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        return Event(ASKS[word], "unreadable", math.nan)
    given = data.get("at_s" if word == "train" else "frequency_hz")
    value = math.nan
    if given is None and word == "train":
        value = -math.inf
    elif isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < 1e9:
        value = float(given)
    return Event(ASKS[word], mended(str(data.get("reason", "")))[:200], value)


def _number(text: str) -> float:
    """A rating as a number; what is none is NaN, which the kernel takes as the worst."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if 0.0 <= value <= 10.0 else math.nan
