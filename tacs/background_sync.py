"""Have a file on disk without waiting for it: one thread that syncs when it is asked.

A disk may take seconds to confirm a write, and who sends commands to a stimulator must not wait for
it. What may not go unnoticed is how long a line has been waiting: :meth:`oldest_unsynced_s` is the
age of the oldest one that is not known to be on disk, and the owner decides when that is too long.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["BackgroundSync"]


class BackgroundSync:
    """Sync one file in a thread of its own.

    Every method but :meth:`drain` and :meth:`close` returns at once, whatever the disk does. An
    error of the thread is raised once, by the next :meth:`request` or :meth:`oldest_unsynced_s`.

    Parameters
    ----------
    fd_sync : callable
        Returns when everything written before the call is on disk; raises OSError.
    clock_now : callable
        Gives the present time in seconds.
    at_end : callable, optional
        Called in the thread after its last sync.

    Notes
    -----
    The thread is a daemon: a disk that never answers cannot keep the program from ending.
    """

    def __init__(
        self,
        fd_sync: Callable[[], None],
        clock_now: Callable[[], float],
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self._fd_sync = fd_sync
        self._now = clock_now
        self._at_end = at_end
        self._changed = threading.Condition()
        self._n_written = 0
        self._n_confirmed = 0
        self._waiting_since_s: float | None = None  # oldest line that no sync has begun for
        self._syncing_since_s: float | None = None  # oldest line of the sync that is under way
        self._asked = False
        self._closing = False
        self._error: OSError | None = None
        self._worst = (0.0, 0)
        self._thread = threading.Thread(target=self._run, name="record-sync", daemon=True)
        self._thread.start()

    @property
    def n_confirmed(self) -> int:
        """How many of the lines written are known to be on disk."""
        return self._n_confirmed

    def written(self, now_s: float) -> None:
        """Say that a line was written; its wait for the disk counts from ``now_s``."""
        with self._changed:
            self._n_written += 1
            if self._waiting_since_s is None:
                self._waiting_since_s = now_s

    def request(self) -> None:
        """Have everything written so far synced soon.

        Raises
        ------
        OSError
            An earlier sync failed.
        """
        with self._changed:
            self._asked = self._waiting_since_s is not None
            self._changed.notify_all()
            self._raise_once()

    def confirm(self) -> None:
        """Say that the owner has synced everything written so far itself."""
        with self._changed:
            self._note_wait(self._oldest_s(), self._now())
            self._n_confirmed = self._n_written
            self._waiting_since_s = self._syncing_since_s = None
            self._asked = False
            self._changed.notify_all()

    def oldest_unsynced_s(self, now_s: float) -> float:
        """Return the age in seconds of the oldest line not known to be on disk; 0 where none is.

        Raises
        ------
        OSError
            An earlier sync failed.
        """
        with self._changed:
            self._raise_once()
            oldest_s = self._oldest_s()
            return 0.0 if oldest_s is None else max(now_s - oldest_s, 0.0)

    def take_worst(self, now_s: float) -> tuple[float, int]:
        """Return the longest wait of any line since this was asked last.

        Returns
        -------
        waited_s : float
            Until it was confirmed, or until now; 0 where no line waited.
        line : int
            The first that waited so, counted from 0.
        """
        with self._changed:
            self._note_wait(self._oldest_s(), now_s)
            worst, self._worst = self._worst, (0.0, 0)
            return worst

    def drain(self, timeout_s: float) -> bool:
        """Have everything written so far on disk; wait for it at most ``timeout_s`` real seconds.

        Returns
        -------
        bool
            Whether it is. False where the disk is late or a sync failed.
        """
        with self._changed:
            self._asked = self._waiting_since_s is not None
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._error is not None or self._oldest_s() is None, timeout_s
            )
            return self._error is None and self._oldest_s() is None

    def close(self, timeout_s: float) -> bool:
        """End the thread after a last sync; wait for it at most ``timeout_s`` real seconds.

        Returns
        -------
        bool
            Whether it has ended. Where it has not, it ends by itself when the disk answers.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _oldest_s(self) -> float | None:
        since_s = (self._syncing_since_s, self._waiting_since_s)
        return min((s for s in since_s if s is not None), default=None)

    def _note_wait(self, since_s: float | None, now_s: float) -> None:
        if since_s is not None:
            self._worst = max(self._worst, (now_s - since_s, self._n_confirmed))

    def _raise_once(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        while (n_lines := self._take()) is not None:
            error: OSError | None = None
            try:
                self._fd_sync()
            except OSError as exc:
                error = exc
            self._finish(n_lines, error)
        if self._at_end is not None:
            self._at_end()

    def _take(self) -> int | None:
        """Wait for lines to sync; return how many were written by then, None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked or self._closing)
            if self._waiting_since_s is None or (self._closing and self._error is not None):
                return None
            self._asked = False
            self._syncing_since_s, self._waiting_since_s = self._waiting_since_s, None
            return self._n_written

    def _finish(self, n_lines: int, error: OSError | None) -> None:
        with self._changed:
            if error is None:
                self._note_wait(self._syncing_since_s, self._now())
                self._n_confirmed = max(self._n_confirmed, n_lines)
            else:
                # What failed is as old as it was: its lines go on waiting for the next sync.
                self._error = error
                self._waiting_since_s = self._oldest_s()
            self._syncing_since_s = None
            self._changed.notify_all()
