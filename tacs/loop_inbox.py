"""Messages of a loop to the guardian: those of its thread wake whoever waits, at once."""

from __future__ import annotations

import contextlib
import socket

from tacs.clock import QueueInbox

__all__ = ["WakingInbox"]


class WakingInbox(QueueInbox):
    """An inbox whose ``put`` ends a wait on :meth:`fileno`."""

    def __init__(self) -> None:
        super().__init__()
        self._out, self._in = socket.socketpair()
        self._out.setblocking(False)
        self._in.setblocking(False)

    def fileno(self) -> int:
        """Return the number of what turns readable when a message is put, for ``select``."""
        return self._out.fileno()

    def put(self, message: str) -> None:
        """Leave a message and wake."""
        super().put(message)
        # A full pipe wakes as well; a closed one has nobody to wake.
        with contextlib.suppress(OSError):
            self._in.send(b"!")

    def collect(self, now_s: float) -> list[str]:
        """Take every message that has arrived."""
        with contextlib.suppress(OSError):
            self._out.recv(4096)
        return super().collect(now_s)

    def close(self) -> None:
        """Let go of the pipe."""
        self._in.close()
        self._out.close()
