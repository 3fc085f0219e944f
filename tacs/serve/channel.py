"""The live channel: ten messages a second out, answers to them and STOP in.

Every message has a number. A page that answers the latest ones is alive; one that hangs and answers
later is not: its old numbers count for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from tacs.serve.desk import Desk
from tacs.serve.logins import Login, Logins
from tacs.serve.strip import Strip

__all__ = ["EVERY_S", "FRESH", "live"]

live = APIRouter()
EVERY_S = 0.1
FRESH = 5  # messages back: half a second
GREETED_WITHIN_S = 10.0
WORD_MAX = 4096


@live.websocket("/api/v1/live")
async def channel(socket: WebSocket) -> None:
    """Serve one page; the gate has looked at Host, Origin and cookie."""
    login: Login = socket.state.login
    state = socket.app.state
    await socket.accept()
    key = secrets.token_urlsafe(16)
    try:
        hello = await asyncio.wait_for(socket.receive_text(), GREETED_WITHIN_S)
        shown = _word(hello).get("hello")
        if not isinstance(shown, str) or not hmac.compare_digest(
            shown.encode("utf-8", "replace"), login.csrf.encode()
        ):
            await socket.close(4403)
            return
        state.channels[key] = login.key
        await socket.send_text(json.dumps({"welcome": {"channel": key}}))
        counter = [0]
        told = asyncio.create_task(_tell(socket, key, login, counter))
        try:
            await _hear(socket, state.desk, key, login, counter)
        finally:
            told.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await told
    except (WebSocketDisconnect, TimeoutError, RuntimeError):
        return
    finally:
        # Whatever ended it, the session must not go on without its page.
        state.channels.pop(key, None)
        state.desk.gone(key)


async def _hear(socket: WebSocket, desk: Desk, key: str, login: Login, counter: list[int]) -> None:
    while True:
        word = _word(await socket.receive_text())
        if "stop" in word:
            desk.stop(f"STOP on the page, {login.person.name}")
        number = word.get("alive")
        if type(number) is int and counter[0] - FRESH <= number <= counter[0]:
            desk.alive(key)


async def _tell(socket: WebSocket, key: str, login: Login, counter: list[int]) -> None:
    state: Any = socket.app.state
    desk: Desk = state.desk
    strip: Strip = state.strip
    logins: Logins = state.logins
    seen, headed, before = 0, False, None
    while True:
        if not logins.holds(login.key):
            await socket.close(4401)
            return
        counter[0] += 1
        message: dict[str, Any] = {"n": counter[0]}
        now = desk.state()
        if now != before:
            message["console"] = {**now, "mine": desk.holder() == key}
            before = now
        if strip.source and not desk.blinded_now:
            seen, blocks = strip.since(seen)
            if strip.head is not None and not headed:
                headed, message["eeg_head"] = True, strip.head
            if blocks:
                message["eeg"] = blocks
            if strip.error:
                message["eeg_error"] = strip.error
        elif strip.source:
            message["eeg_error"] = "not shown: a blinded session's EEG would tell the arm"
            seen, _ = strip.since(seen)
        await socket.send_text(json.dumps(message))
        await asyncio.sleep(EVERY_S)


def _word(text: str) -> dict[str, Any]:
    """Take one message of a page; what is none is empty."""
    if len(text) > WORD_MAX:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
