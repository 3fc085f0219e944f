"""The guardian's side of the local socket: who may steer, who may look, and that all may STOP.

The first front end that comes as an operator holds the lease. When its connection ends, a stop is
in the inbox at once; when it hangs, the kernel's lease catches it. Everybody else may look, and may
stop. All of it is polled from the guardian's own loop: there is no second thread and no lock.
"""

from __future__ import annotations

import queue
import select
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacs.errors import ProtocolViolation
from tacs.local_link import Connection, Contact, shows_token
from tacs.texts import is_whole, mended

__all__ = ["FrontDoor"]

MOST_CLIENTS = 16
GONE = "stop:the operator's front end went away"


@dataclass(slots=True)
class _Client:
    """One front end."""

    link: Connection
    name: str = ""
    known: bool = False
    controls: bool = False


class FrontDoor:
    """An inbox that front ends fill; see :class:`tacs.clock.Inbox`.

    Parameters
    ----------
    server : socket
        Listening, not blocking.
    contact : Contact
        With the token to be shown.
    note : Path
        The contact's file, removed on closing.
    """

    def __init__(self, server: socket.socket, contact: Contact, note: Path) -> None:
        self._server = server
        self._contact = contact
        self._note = note
        self._clients: list[_Client] = []
        self._own: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._messages: list[str] = []
        self.welcome: dict[str, Any] = {}
        self.controlled = False

    @property
    def pid(self) -> int:
        """Number of the guardian process."""
        return self._contact.pid

    @property
    def controller_present(self) -> bool:
        """Whether the operator's front end is connected."""
        return any(client.controls for client in self._clients)

    # -- the inbox --------------------------------------------------------------------------------

    def put(self, message: str) -> None:
        """Leave a message of this process itself; safe inside a signal handler."""
        self._own.put(message)
        try:
            self._wake_in.send(b"!")
        except OSError:
            return

    def next_due_s(self) -> float | None:
        """Return None: nobody knows when a person will press a key."""
        return None

    def collect(self, now_s: float) -> list[str]:
        """Take every message that has arrived."""
        self._poll(0.0)
        messages, self._messages = self._messages, []
        return messages

    def block(self, timeout_s: float) -> None:
        """Return when a message is there or after ``timeout_s`` real seconds."""
        if not self._messages:
            self._poll(timeout_s)

    # -- what goes out ----------------------------------------------------------------------------

    def broadcast(self, message: dict[str, Any]) -> None:
        """Tell every front end."""
        for client in self._clients:
            if client.known:
                client.link.send(message)
        self._forget_the_gone()

    def close(self) -> None:
        """Hang up on everybody and take the door away."""
        for client in self._clients:
            client.link.flush()
            client.link.close()
        self._clients.clear()
        self._server.close()
        self._wake_in.close()
        self._wake_out.close()
        self._note.unlink(missing_ok=True)
        kind, _, where = self._contact.address.partition(":")
        if kind == "unix":
            Path(where).unlink(missing_ok=True)

    # -- polling ----------------------------------------------------------------------------------

    def _poll(self, timeout_s: float) -> None:
        watched: list[socket.socket | Connection] = [self._server, self._wake_out]
        watched += [client.link for client in self._clients]
        ready, _, _ = select.select(watched, [], [], max(timeout_s, 0.0))
        if self._wake_out in ready:
            self._wake_out.recv(4096)
        while True:
            try:
                self._messages.append(self._own.get_nowait())
            except queue.Empty:
                break
        if self._server in ready:
            self._admit()
        for client in list(self._clients):
            if client.link in ready:
                self._hear(client)
        self._forget_the_gone()

    def _admit(self) -> None:
        try:
            peer, _ = self._server.accept()
        except OSError:
            return
        peer.setblocking(False)
        client = _Client(Connection(peer))
        if len(self._clients) >= MOST_CLIENTS:
            client.link.close()
            return
        self._clients.append(client)

    def _hear(self, client: _Client) -> None:
        try:
            messages = client.link.receive()
        except ProtocolViolation as exc:
            client.link.send({"refused": str(exc)})
            client.link.close()
            return
        for message in messages:
            if client.known:
                self._say(client, message.get("say"))
            else:
                self._greet(client, message.get("hello"))

    def _greet(self, client: _Client, hello: Any) -> None:
        if not shows_token(hello, self._contact.token):
            client.link.send({"refused": "the token is wrong"})
            client.link.close()
            return
        client.known = True
        client.name = mended(str(hello.get("name", "")))[:80]
        if hello.get("role") == "operator" and not self.controlled:
            # Whoever lost the lease does not get it back: the session is stopping by then.
            client.controls = self.controlled = True
        client.link.send({"welcome": {"control": client.controls, **self.welcome}})

    def _say(self, client: _Client, said: Any) -> None:
        if not isinstance(said, str) or len(said) > 500:
            client.link.send({"refused": "a message must be a short text"})
        elif not is_whole(said) and said.split(":")[0] != "stop":
            told = f"{said.split(':')[0]}: dropped, half a character is in it; send it again"
            client.link.send({"refused": told})
        elif client.controls:
            self._messages.append(said)
        elif said.split(":")[0] == "stop":
            self._messages.append(f"{said} (from {client.name or 'another front end'})")
        else:
            client.link.send(
                {"refused": f"{said.split(':')[0]}: another front end holds the session; "
                            f"you may look, and stop"}
            )  # fmt: skip

    def _forget_the_gone(self) -> None:
        gone = [client for client in self._clients if not client.link.open]
        for client in gone:
            self._clients.remove(client)
            if client.controls:
                self._messages.append(GONE)
