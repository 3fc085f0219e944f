"""The link between a guardian and its front ends: JSON lines over a local socket.

A Unix socket in a folder that only its owner can enter; where there are none (Windows), a TCP port
of the loopback interface. Either way whoever connects first shows the guardian's token. Lines are
bounded, so that a broken peer can fill neither memory nor time.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import select
import socket
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tacs.errors import InputError, ProtocolViolation
from tacs.texts import mended

__all__ = [
    "Connection",
    "Contact",
    "HasFileno",
    "connect",
    "listen",
    "running_guardians",
    "runtime_folder",
]

LONGEST_LINE = 1 << 20
LONGEST_QUEUE = 1 << 20
UNIX = hasattr(socket, "AF_UNIX") and os.name == "posix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """How a guardian is reached.

    Parameters
    ----------
    address : str
        ``unix:PATH`` or ``tcp:PORT`` (loopback).
    token : str
        Shown by whoever connects.
    pid : int
        The guardian's process.
    title : str
        What it runs, for a person.
    """

    address: str
    token: str
    pid: int
    title: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


def runtime_folder() -> Path:
    """Return the folder of the sockets: ``TACS_RUNTIME_DIR``, or one of this user's own.

    Raises
    ------
    InputError
        It cannot be made, or somebody else could enter it.
    """
    chosen = os.environ.get("TACS_RUNTIME_DIR")
    owner = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"tacs-{owner}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as exc:
        raise InputError(
            f"{folder}: cannot be used ({exc.strerror}); set TACS_RUNTIME_DIR to a folder of yours"
        ) from exc
    if not stat.S_ISDIR(found.st_mode) or (
        os.name == "posix" and (found.st_uid != owner or found.st_mode & 0o077)
    ):
        raise InputError(
            f"{folder}: must be a folder that only you can enter (chmod 700), "
            f"or set TACS_RUNTIME_DIR to one"
        )
    return folder


def listen(title: str, *, unix: bool = UNIX) -> tuple[socket.socket, Contact, Path]:
    """Open a door for front ends, and leave a note of how it is reached.

    Parameters
    ----------
    title : str
        What the guardian runs.
    unix : bool
        Whether to use a Unix socket.

    Returns
    -------
    server : socket
        Listening.
    contact : Contact
        How it is reached.
    note : Path
        File with the contact, for ``tacs stop`` and ``tacs attach``; removed by whoever closes.

    Raises
    ------
    InputError
        No socket can be opened.
    """
    folder = runtime_folder()
    name = f"{os.getpid()}-{secrets.token_hex(4)}"
    path, note = folder / f"{name}.sock", folder / f"{name}.json"
    server = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if unix:
            server.bind(str(path))
            os.chmod(path, 0o600)
            address = f"unix:{path}"
        else:
            server.bind(("127.0.0.1", 0))
            address = f"tcp:{server.getsockname()[1]}"
        server.listen(8)
        server.setblocking(False)
        contact = Contact(
            address=address, token=secrets.token_hex(16), pid=os.getpid(), title=title
        )
        fd = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(contact.to_dict(), file)
    except OSError as exc:
        server.close()
        for left in (path, note):
            left.unlink(missing_ok=True)
        raise InputError(f"{folder}: no socket can be opened there ({exc})") from exc
    return server, contact, note


def running_guardians() -> list[Contact]:
    """Return the guardians of this user that answer; notes of dead ones are removed."""
    found = []
    for note in sorted(runtime_folder().glob("*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            contact = Contact(**json.loads(note.read_text(encoding="utf-8")))
            try:
                connect(contact, role="viewer", name="looking").close()
            except InputError:
                note.unlink(missing_ok=True)
                note.with_suffix(".sock").unlink(missing_ok=True)
            else:
                found.append(contact)
    return found


def connect(contact: Contact, *, role: str, name: str) -> Connection:
    """Connect to a guardian and show its token.

    Parameters
    ----------
    contact : Contact
        From the guardian, or from :func:`running_guardians`.
    role : {"operator", "viewer"}
        The first operator holds the lease; whoever else comes may look, and STOP.
    name : str
        Of the front end, for the record.

    Raises
    ------
    InputError
        Nobody answers there.
    """
    kind, _, where = contact.address.partition(":")
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    peer = socket.socket(family, socket.SOCK_STREAM)
    try:
        peer.connect(where if kind == "unix" else ("127.0.0.1", int(where)))
    except OSError as exc:
        peer.close()
        raise InputError(f"guardian {contact.pid}: does not answer ({exc.strerror})") from exc
    peer.setblocking(False)
    link = Connection(peer)
    link.send({"hello": {"token": contact.token, "role": role, "name": name, "version": 1}})
    return link


def shows_token(hello: Any, token: str) -> bool:
    """Whether a first message shows the token; compared in constant time."""
    shown = hello.get("token") if isinstance(hello, dict) else None
    return isinstance(shown, str) and hmac.compare_digest(shown.encode(), token.encode())


@runtime_checkable
class HasFileno(Protocol):
    """What ``select`` can wait for; whether something can be is asked by ``isinstance``."""

    def fileno(self) -> int:
        """Return its number."""


class Connection:
    """One end of a link; neither sending nor receiving ever waits on the other side.

    Parameters
    ----------
    peer : socket
        Connected, not blocking.
    """

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._in = bytearray()
        self._out = bytearray()
        self._broken: ProtocolViolation | None = None
        self.open = True

    def fileno(self) -> int:
        """Return the socket's number, for ``select``."""
        return self._peer.fileno()

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message and send what the other side takes; one that takes nothing is cut off."""
        if not self.open:
            return
        self._out += (mended(json.dumps(message, ensure_ascii=False)) + "\n").encode()
        self.flush()
        if len(self._out) > LONGEST_QUEUE:
            self.close()

    def flush(self) -> None:
        """Send what the other side takes now."""
        try:
            while self._out:
                done = self._peer.send(self._out)
                del self._out[:done]
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def receive(self) -> list[dict[str, Any]]:
        """Return the whole messages that are there; ``open`` turns false at the end.

        What came before a line that is none is returned first, and the next call raises:
        :attr:`broken` tells that it will.

        Raises
        ------
        ProtocolViolation
            A line that is too long, or no JSON object.
        """
        if self._broken is not None:
            raise self._broken
        self.flush()
        if not self.open:
            return []
        try:
            data = self._peer.recv(65_536)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.close()
        self._in += data
        *lines, rest = self._in.split(b"\n")
        self._in = bytearray(rest)
        found: list[dict[str, Any]] = []
        try:
            for line in lines:
                found.append(_message(bytes(line)))
            if len(rest) > LONGEST_LINE:
                raise ProtocolViolation("a message on the local socket is too long")
        except ProtocolViolation as exc:
            self._broken = exc
            if not found:
                raise
        return found

    @property
    def broken(self) -> bool:
        """Whether something came that is no message: nothing after it is taken."""
        return self._broken is not None

    def wait(self, timeout_s: float, also: HasFileno | None = None) -> None:
        """Return when something is there to be read, or after ``timeout_s`` seconds.

        ``also`` ends the wait too, when it can be read.
        """
        if self.open:
            watched: list[HasFileno] = [self._peer] if also is None else [self._peer, also]
            select.select(watched, [], [], max(timeout_s, 0.0))

    def close(self) -> None:
        """Hang up."""
        if self.open:
            self.open = False
            self._peer.close()


def _message(line: bytes) -> dict[str, Any]:
    try:
        # A byte that is no UTF-8 stays as half a character; see :mod:`tacs.texts`.
        message = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as exc:
        raise ProtocolViolation("a message on the local socket is no JSON") from exc
    if not isinstance(message, dict):
        raise ProtocolViolation("a message on the local socket is no JSON object")
    return message
