"""Listening on the loopback interface, and what the terminal is told."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import uvicorn
from fastapi import FastAPI

from tacs.clock import MonotonicClock
from tacs.errors import InputError
from tacs.serve.app import make_app
from tacs.serve.gate import Gate
from tacs.serve.logins import Logins, Person
from tacs.serve.place import Place

__all__ = ["Served", "serve"]

WORD_MAX = 16 * 1024


class Served(uvicorn.Server):
    """The server; tells how people get in once it answers.

    Parameters
    ----------
    config : uvicorn.Config
        Of the server.
    tell : callable
        Called then.
    """

    def __init__(self, config: uvicorn.Config, tell: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = tell

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in order on a signal, and not by it: the session is stopped, the rest is closed."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        names = [n for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n)]
        before = {n: signal.signal(getattr(signal, n), self.handle_exit) for n in names}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(getattr(signal, name), handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets=sockets)
        if self.started:
            self._tell()


def serve(
    place: Place,
    people: Sequence[Person],
    *,
    port: int = 0,
    say: Callable[[str], None],
) -> None:
    """Serve until the process is told to end.

    Parameters
    ----------
    place : Place
        What is served.
    people : sequence of Person
        Each gets a link of their own.
    port : int
        Of the loopback interface; 0 for a free one.
    say : callable
        Shows a line to the person at the terminal.

    Raises
    ------
    InputError
        The port is taken.
    """
    os.umask(0o077)
    with _listening(port) as sock:
        port = int(sock.getsockname()[1])
        logins = Logins(MonotonicClock().now_s)
        gate = make_app(place, logins, port)

        def link(person: Person) -> str:
            where = f"http://127.0.0.1:{port}/#token={logins.invite(person)}"
            return f"{person.name} ({person.role}): {where}"

        _inner(gate).state.renewed = lambda person: say(f"new link for {link(person)}")

        def tell() -> None:
            for person in people:
                say(link(person))

        config = uvicorn.Config(
            gate,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=WORD_MAX,
            timeout_graceful_shutdown=3,
            lifespan="on",
        )
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
        Served(config, tell).run(sockets=[sock])


def _inner(gate: Gate) -> FastAPI:
    app = gate.inner
    if not isinstance(app, FastAPI):
        raise TypeError("the gate stands before something else")
    return app


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """A socket on the loopback interface, and on no other."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as exc:
            raise InputError(
                f"--port {port}: cannot be used ({exc.strerror}); give another, or 0 for a free one"
            ) from exc
        yield sock
    finally:
        sock.close()
