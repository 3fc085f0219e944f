"""What every request passes before anything else looks at it.

A page in the same browser can send requests to this server and, by a rebound name, even read the
answers; another program of this computer can connect to its port. So: the Host must be one of ours
(rebinding), a change must come from our own page (Origin, and a token that only it can read), a
WebSocket too, bodies are small and flat, and every answer forbids the browser to guess, frame,
keep, or load anything from elsewhere.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from tacs.serve.logins import Login, Logins

__all__ = ["CSRF_HEADER", "HEADERS", "Gate", "too_deep"]

BODY_MAX = 64 * 1024
DEPTH_MAX = 12
CSRF_HEADER = "x-csrf-token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=()",
}
LOGIN_PATH = "/api/v1/login"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Gate:
    """ASGI middleware in front of everything.

    Parameters
    ----------
    app : ASGI application
        Behind the gate.
    port : int
        That the server listens on.
    logins : Logins
        Who is in.
    """

    def __init__(self, app: App, *, port: int, logins: Logins) -> None:
        self.inner = app
        self._logins = logins
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        self._origins = {f"http://{host}" for host in self._hosts}
        self.cookie = cookie_name(port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] == "websocket":
            await self._channel(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await self.inner(scope, receive, send)

    async def _channel(self, scope: Scope, receive: Receive, send: Send) -> None:
        login = self._known(scope)
        if (
            _header(scope, "host") not in self._hosts
            or _header(scope, "origin") not in self._origins
            or login is None
        ):
            await receive()
            await send({"type": "websocket.close", "code": 4403})
            return
        scope.setdefault("state", {})["login"] = login
        await self.inner(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = {bytes(name).lower() for name, _ in message.get("headers", ())}
                own = [
                    (name.encode(), value.encode())
                    for name, value in HEADERS.items()
                    if name.encode() not in told
                ]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        refused = self._refused(scope)
        body: bytes | None = b""
        if refused is None and scope["method"] == "POST":
            body = await _body(receive)
            if body is None:
                refused = 413, f"the request is larger than {BODY_MAX} bytes"
            elif body and too_deep(body):
                refused = 400, f"the request is nested deeper than {DEPTH_MAX} levels"
        if refused is not None or body is None:
            status, text = refused or (413, "too large")
            await _answer(sealed, status, text)
            return
        given = False

        async def again() -> Message:
            nonlocal given
            if given or scope["method"] != "POST":
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        scope.setdefault("state", {})["login"] = self._known(scope)
        await self.inner(scope, again, sealed)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        """Return why a request is refused before it is read, with its status."""
        if _header(scope, "host") not in self._hosts:
            return 421, "this server answers to 127.0.0.1 and localhost only"
        site = _header(scope, "sec-fetch-site")
        if scope["path"].startswith("/api/") and site not in {None, "same-origin", "none"}:
            return 403, "the request comes from another site"
        if scope["method"] in {"GET", "HEAD"}:
            return None
        if scope["method"] != "POST":
            return 405, "only GET, HEAD and POST are taken"
        if _header(scope, "origin") not in self._origins:
            return 403, "the request does not come from this server's own page (Origin)"
        kind = (_header(scope, "content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return 415, "the body must be application/json"
        if scope["path"] == LOGIN_PATH:
            return None
        login = self._known(scope)
        if login is None:
            return 401, "log in first, with the link that the terminal shows"
        shown = _header(scope, CSRF_HEADER) or ""
        if not hmac.compare_digest(shown.encode("latin-1", "replace"), login.csrf.encode()):
            return 403, "the token against forged requests (X-CSRF-Token) is missing or wrong"
        return None

    def _known(self, scope: Scope) -> Login | None:
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(_header(scope, "cookie") or "")
        except CookieError:
            return None
        found = jar.get(self.cookie)
        return None if found is None else self._logins.of(found.value)


def cookie_name(port: int) -> str:
    """Return the cookie's name: browsers keep one jar for all ports of a host."""
    return f"tacs_login_{port}"


def too_deep(body: bytes, most: int = DEPTH_MAX) -> bool:
    """Whether JSON is nested too deep, before anything parses it."""
    depth, quoted, escaped = 0, False, False
    for byte in body:
        if escaped:
            escaped = False
        elif quoted:
            escaped = byte == 0x5C
            quoted = byte != 0x22
        elif byte == 0x22:
            quoted = True
        elif byte in b"[{":
            depth += 1
            if depth > most:
                return True
        elif byte in b"]}":
            depth -= 1
    return False


def _header(scope: Scope, name: str) -> str | None:
    """Return a header; one that stands there twice counts as none of ours."""
    found = [value for key, value in scope["headers"] if key.lower() == name.encode()]
    if len(found) != 1:
        return None if not found else "\x00"
    return str(found[0].decode("latin-1"))


async def _body(receive: Receive) -> bytes | None:
    """Read the whole body, or None where it is too large."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += bytes(message.get("body", b""))
        if len(body) > BODY_MAX:
            return None
        if not message.get("more_body", False):
            return body


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 413:
        headers.append((b"connection", b"close"))
    if status == 405:
        headers.append((b"allow", b"GET, HEAD, POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
