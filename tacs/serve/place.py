"""What one server serves, and the processes in which it has things worked out.

Whatever reads the journal or signals, or draws figures, runs in a worker process: inside the event
loop it would hold up a STOP by its whole length.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tacs.errors import InputError, TacsError
from tacs.front import error_of
from tacs.guardian_main import error_to_data

__all__ = ["Place", "Worker"]

PROCESSES = 2  # so that a report does not hold up an alert


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is served.

    Parameters
    ----------
    dataset : Path
        The data set.
    site : Path
        The site's folder.
    protocols : Path
        Folder whose protocol files the console offers.
    devices, rigs : tuple of str
        Names and addresses that the console offers, and rig files beside the device's own.
    eeg : str
        Source of live EEG, or empty.
    table, key : Path or None
        The statistician's sealed table and private key.
    """

    dataset: Path
    site: Path
    protocols: Path
    devices: tuple[str, ...]
    rigs: tuple[str, ...] = ()
    eeg: str = ""
    table: Path | None = None
    key: Path | None = None


@dataclass(slots=True)
class Worker:
    """Two processes that work things out (:mod:`tacs.serve.work`), begun when first needed."""

    _pool: ProcessPoolExecutor | None = field(default=None)

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Have a function of this package called in the worker; its errors arrive as they were."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                PROCESSES, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
            )
        loop = asyncio.get_running_loop()
        try:
            told = await loop.run_in_executor(self._pool, _guarded, function, arguments)
        except BrokenProcessPool as exc:
            self._pool = None
            raise TacsError("the worker process ended; try again") from exc
        if "error" in told:
            raise error_of(told["error"])
        return told["result"]

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _begin() -> None:
    """Ctrl-C in the terminal is the server's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _guarded(function: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
    from analysis.errors import AnalysisError

    try:
        return {"result": function(*arguments)}
    except TacsError as exc:
        return {"error": error_to_data(exc)}
    except AnalysisError as exc:
        return {"error": error_to_data(InputError(str(exc)))}
    except Exception as exc:
        text = f"a defect of the suite: {type(exc).__name__}: {exc}; please report it"
        return {"error": error_to_data(TacsError(text))}
