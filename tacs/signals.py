"""The signals that would end a process, turned into a stop of its session."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

__all__ = ["MessageBox", "signals_to"]


class MessageBox(Protocol):
    """Where a signal handler may leave a message."""

    def put(self, message: str) -> None:
        """Leave a message."""


@contextmanager
def signals_to(inbox: MessageBox) -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP leave ``stop:NAME`` while the block runs.

    Outside the main thread signals cannot be caught, and the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        inbox.put(f"stop:{signal.Signals(number).name}")

    names = [n for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n)]
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
