"""Text files of numbers: their lines, their fields, and clear refusals."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.errors import RecordingError
from analysis.filecheck import unreadable

Array = NDArray[np.float64]

_NUMBER = re.compile(
    r"^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$|^[-+]?(?:nan|inf)$", re.IGNORECASE
)


def is_number(text: str) -> bool:
    """Whether a field of a table is a number."""
    return bool(_NUMBER.match(text.strip()))


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked when it is gzipped.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    RecordingError
        If it cannot be read or unpacked.
    """
    try:
        with path.open("rb") as file:
            content = file.read()
        return gzip.decompress(content) if path.suffix.lower() == ".gz" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
        raise RecordingError(
            f"{path} cannot be unpacked: it is damaged or cut off; copy it again from the recorder"
        ) from exc
    except OSError as exc:
        raise unreadable(path, exc) from exc


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, without blank ones at the end.

    Parameters
    ----------
    path : Path
        The file; UTF-8, UTF-16 with a mark, or else Latin-1; gzipped when its name ends in `.gz`.

    Returns
    -------
    list of str
        Lines without their ends.

    Raises
    ------
    RecordingError
        If the file holds binary data or cannot be read.
    """
    content = read_bytes(path)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", errors="replace")
    elif b"\x00" in content:
        raise RecordingError(
            f"{path} is not a text table: it holds binary data; give the recorder's own file"
        )
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
    return text.rstrip().splitlines()


def fields(line: str, delimiter: str | None) -> list[str]:
    """Split a line of a table; quotes around a field are dropped."""
    return [part.strip().strip("\"'").strip() for part in line.strip("\r\n").split(delimiter)]


def numbers(
    path: Path, lines: Sequence[str], delimiter: str | None, columns: Sequence[int] | None = None
) -> Array:
    """Return the columns of a table of numbers.

    Parameters
    ----------
    path : Path
        The file, for the message.
    lines : sequence of str
        Rows.
    delimiter : str or None
        Between fields; white space where None.
    columns : sequence of int, optional
        Columns to read, counted from 0.

    Returns
    -------
    ndarray, shape (n_columns, n_rows)
        Values.

    Raises
    ------
    RecordingError
        If a field is no number, rows differ in length, or there are fewer than two rows.
    """
    try:
        # An empty list makes loadtxt warn rather than raise.
        body = np.loadtxt(lines, delimiter=delimiter, usecols=columns, ndmin=2, comments=None)
    except (ValueError, IndexError) as exc:
        reason = str(exc).split("\n")[0].split("; use")[0].rstrip(".")
        raise RecordingError(
            f"{path} cannot be read as a table of numbers ({reason}); it may be cut off or edited: "
            "export it again"
        ) from exc
    if body.shape[0] < 2:
        raise RecordingError(f"{path} holds no samples, only a header; export it again")
    return np.asarray(body.T, dtype=float)


def stated_rate(path: Path, text: str, pattern: str) -> float:
    """Return the sampling rate in a header.

    Parameters
    ----------
    path : Path
        The file, for the message.
    text : str
        The header.
    pattern : str
        Regular expression whose first group is the rate.

    Returns
    -------
    float
        Hertz.

    Raises
    ------
    RecordingError
        If there is none.
    """
    match = re.search(pattern, text, re.IGNORECASE)
    rate = float(match.group(1)) if match else 0.0
    if not 0.0 < rate < 1e6:
        raise RecordingError(f"{path} states no sampling rate in its header; export it again")
    return rate
