"""What the live EEG process says, kept for the pages."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections import deque
from typing import Any

__all__ = ["Strip"]

BLOCKS = 50
CLOSING_S = 5.0


class Strip:
    """Live EEG of one source, read in a process of its own.

    Parameters
    ----------
    source : str
        As :func:`tacs.eeg.open_source` takes it; empty for none.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.head: dict[str, Any] | None = None
        self.error: str | None = None
        self._blocks: deque[tuple[int, dict[str, Any]]] = deque(maxlen=BLOCKS)
        self._count = 0
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start the process, where a source is given."""
        if not self.source:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tacs.serve.strip_process", self.source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._read, name="eeg", daemon=True)
        self._thread.start()

    def since(self, count: int) -> tuple[int, list[dict[str, Any]]]:
        """Return the blocks after the one with a number, and the number of the last."""
        with self._lock:
            return self._count, [block for n, block in self._blocks if n > count]

    def close(self) -> None:
        """End the process."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(CLOSING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._thread is not None:
            self._thread.join(CLOSING_S)
        if process.stdout is not None:
            process.stdout.close()

    def _read(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                if "error" in told:
                    self.error = str(told["error"])
                elif "channels" in told:
                    self.head = told
                else:
                    with self._lock:
                        self._count += 1
                        self._blocks.append((self._count, told))
        self.error = self.error or "the EEG source ended"
