"""An oscilloscope on the electrodes: the current actually produced, whoever commanded it.

It samples at 1 kHz through a function of time that the device under test provides, and writes
tab-separated milliampere, one column per contact, in steps of 0.1 µA, as one gzip stream that is
flushed every ten seconds: memory stays bounded, and a file that was cut short can be read up to its
last block. The bytes depend on the samples alone: no time and no name in the header.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tacs.driver import TraceInfo
from tacs.errors import InputError, RecordError
from tacs.files import write_text

__all__ = ["Oscilloscope", "encode_block", "read_sidecar", "sidecar_path"]

SAMPLING_FREQUENCY_HZ = 1000.0
BLOCK_SAMPLES = 10_000
STEPS_PER_MA = 10_000  # 0.1 µA
_DECIMALS = 4
_GZIP = 31  # zlib's window bits for a gzip stream

Source = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Oscilloscope:
    """Record currents lazily, in blocks.

    Parameters
    ----------
    path : Path
        ``….tsv.gz``; a ``….json`` beside it says what is in it and whether it was closed.
    columns : sequence of str
        Contacts.
    start_s : float
        Clock time of the first sample.
    source : callable
        Clock times, shape (n,), to currents in mA, shape (n_columns, n). Asked once for every
        instant, in order, and never for the future.

    Raises
    ------
    InputError
        The file cannot be made.
    """

    def __init__(self, path: Path, columns: Sequence[str], start_s: float, source: Source) -> None:
        self._path = path
        self._columns = tuple(columns)
        self._start_s = start_s
        self._source = source
        self._n = 0
        self._info: TraceInfo | None = None
        self._gzip = zlib.compressobj(level=1, wbits=_GZIP)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        except OSError as exc:
            raise InputError(f"{path}: cannot be written ({exc.strerror})") from exc
        self._write_sidecar(clean=False)

    @property
    def read_to_s(self) -> float:
        """Clock time of the next sample; it asks for none before."""
        return self._start_s + self._n / SAMPLING_FREQUENCY_HZ

    def run_to(self, now_s: float) -> None:
        """Write the blocks that are complete by ``now_s``."""
        while self._n_until(now_s) - self._n >= BLOCK_SAMPLES:
            self._write(BLOCK_SAMPLES)
            self._write_sidecar(clean=False)

    def close(self, now_s: float, *, clean: bool) -> TraceInfo:
        """Write the rest up to ``now_s``, and whether the output was silent by then."""
        if self._info is None:
            self.run_to(now_s)
            self._write(self._n_until(now_s) - self._n)
            self._append(self._gzip.flush(zlib.Z_FINISH))
            self._write_sidecar(clean=clean)
            self._info = TraceInfo(
                path=self._path,
                columns=self._columns,
                sampling_frequency_hz=SAMPLING_FREQUENCY_HZ,
                start_s=self._start_s,
                n_samples=self._n,
                clean=clean,
            )
        return self._info

    def _n_until(self, now_s: float) -> int:
        """Number of sampling instants before ``now_s``."""
        # The small number keeps an instant that is ``now_s`` but for rounding in the future.
        return max(math.ceil((now_s - self._start_s) * SAMPLING_FREQUENCY_HZ - 1e-6), 0)

    def _write(self, n: int) -> None:
        if n == 0:
            return
        instants = np.arange(self._n, self._n + n, dtype=np.float64)
        block = encode_block(self._source(self._start_s + instants / SAMPLING_FREQUENCY_HZ))
        self._append(self._gzip.compress(block) + self._gzip.flush(zlib.Z_FULL_FLUSH))
        self._n += n

    def _append(self, content: bytes) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(content)
        except OSError as exc:
            raise RecordError(
                f"{self._path}: the trace cannot be written ({exc.strerror})"
            ) from exc

    def _write_sidecar(self, *, clean: bool) -> None:
        data = {
            "columns": list(self._columns),
            "sampling_frequency_hz": SAMPLING_FREQUENCY_HZ,
            "start_s": self._start_s,
            "n_samples": self._n,
            "clean": clean,
        }
        write_text(sidecar_path(self._path), json.dumps(data, indent=1) + "\n")


def sidecar_path(trace: Path) -> Path:
    """Return the path of the JSON file beside a trace."""
    return trace.with_name(trace.name.removesuffix(".tsv.gz") + ".json")


def read_sidecar(trace: Path) -> TraceInfo:
    """Read what a trace holds, and whether it was closed with the output silent.

    Raises
    ------
    RecordError
        Missing or not readable.
    """
    path = sidecar_path(trace)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return TraceInfo(
            path=trace,
            columns=tuple(data["columns"]),
            sampling_frequency_hz=float(data["sampling_frequency_hz"]),
            start_s=float(data["start_s"]),
            n_samples=int(data["n_samples"]),
            clean=data["clean"] is True,
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise RecordError(f"{path}: not the description of a trace ({exc})") from exc


def encode_block(currents_ma: NDArray[np.float64]) -> bytes:
    """Return currents as tab-separated text.

    Parameters
    ----------
    currents_ma : ndarray, shape (n_columns, n)
        Milliampere.

    Returns
    -------
    bytes
        One line per instant, four decimals.
    """
    steps = np.rint(currents_ma.T * STEPS_PER_MA).astype(np.int32)
    magnitude = np.abs(steps)
    whole = magnitude // STEPS_PER_MA
    n_digits = max(len(str(int(whole.max(initial=0)))), 1)
    width = 1 + n_digits + 1 + _DECIMALS + 1  # sign, digits, point, decimals, separator
    text = np.zeros((*steps.shape, width), dtype=np.uint8)  # a zero byte is left out at the end
    text[..., 0] = np.where(steps < 0, ord("-"), 0)
    for place in range(n_digits):
        power = 10 ** (n_digits - 1 - place)
        shown = (whole >= power) | (power == 1)
        text[..., 1 + place] = np.where(shown, ord("0") + whole // power % 10, 0)
    text[..., 1 + n_digits] = ord(".")
    decimals = magnitude % STEPS_PER_MA
    for place in range(_DECIMALS):
        digit = decimals // 10 ** (_DECIMALS - 1 - place) % 10
        text[..., 2 + n_digits + place] = ord("0") + digit
    text[..., -1] = ord("\t")
    text[:, -1, -1] = ord("\n")
    return bytes(text[text != 0].tobytes())
