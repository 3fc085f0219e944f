"""The chunks of an XDF file: whether it is whole, and which streams it holds."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from analysis.errors import RecordingError

COPY = "copy it again from the recorder"
XML_BYTES_MAX = 16 * 1024 * 1024  # a header names channels; a whole session's offsets are less
CHUNK_BYTES_MAX = 1024**3
UNPACKED_BYTES_MAX = 64 * 1024**3
_XML = (1, 2, 6)  # file header, stream header, stream footer
_LISTED = 6


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream, as its header describes it.

    Parameters
    ----------
    stream_id : int
        Number in the file.
    name, kind, source_id : str
        Name, content type and source, as the sender set them.
    n_channels : int
        Channels.
    sfreq_hz : float
        Nominal rate; 0 for events.
    numeric : bool
        False for text.
    """

    stream_id: int
    name: str
    kind: str
    source_id: str
    n_channels: int
    sfreq_hz: float
    numeric: bool

    def __str__(self) -> str:
        """Describe the stream in a few words."""
        rate = f"{self.sfreq_hz:g} Hz" if self.sfreq_hz else "events"
        return (
            f"{self.stream_id} {self.name} ({self.kind or 'no type'}, {self.n_channels} ch, {rate})"
        )


def list_streams(path: Path) -> list[Stream]:
    """List the streams of an XDF file, and check that it is whole.

    Parameters
    ----------
    path : Path
        The file, `.xdf`, `.xdfz` or `.xdf.gz`.

    Returns
    -------
    list of Stream
        In the order of the file.

    Raises
    ------
    RecordingError
        If it is no XDF file, cut off or damaged.

    References
    ----------
    XDF 1.0, https://github.com/sccn/xdf/wiki/Specifications: chunks of a length, a tag (1 file
    header, 2 stream header, 3 samples, 4 clock offset, 5 boundary, 6 stream footer) and content.
    """
    found: list[Stream] = []
    try:
        with open_xdf(path) as file:
            packed = isinstance(file, gzip.GzipFile)
            if file.read(4) != b"XDF:":
                raise RecordingError(f"{path} is not an XDF file although it is named so; {COPY}")
            size = None if packed else path.stat().st_size
            while (chunk := _next_chunk(path, file, size)) is not None:
                if chunk[0] == 2:
                    found.append(_stream(chunk[1], chunk[2]))
    except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
        raise RecordingError(
            f"{path} is damaged or cut off within its packed data; {COPY}"
        ) from exc
    except (ElementTree.ParseError, ValueError) as exc:
        raise RecordingError(
            f"{path} is damaged: a stream header is no XML ({exc}); {COPY}"
        ) from exc
    if not found:
        raise RecordingError(f"{path} holds no stream; {COPY}")
    return found


def open_xdf(path: Path) -> Any:
    """Open an XDF file for reading, packed or not.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    file object
        In binary mode.
    """
    with path.open("rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")


def describe(streams: Sequence[Stream]) -> str:
    """Return the first six streams in words."""
    more = f" and {len(streams) - _LISTED} more" if len(streams) > _LISTED else ""
    return ", ".join(str(stream) for stream in streams[:_LISTED]) + more


def _next_chunk(path: Path, file: Any, size: int | None) -> tuple[int, int, bytes] | None:
    """Tag, stream number and, of stream headers, content of the next chunk; None at the end."""
    width = file.read(1)
    if not width:
        return None
    if width[0] not in (1, 4, 8):
        raise RecordingError(f"{path} is damaged: a chunk has no valid length; {COPY}")
    raw = file.read(width[0])
    begin = file.tell()
    length = int.from_bytes(raw, "little")
    if len(raw) < width[0] or (size is not None and begin + length > size):
        raise RecordingError(f"{path} is cut off within its last chunk; {COPY}")
    if length > CHUNK_BYTES_MAX or begin + length > UNPACKED_BYTES_MAX:
        raise RecordingError(f"{path} unpacks to more than a recording can be; {COPY}")
    tag = int.from_bytes(file.read(2), "little")
    if tag not in range(1, 7):
        raise RecordingError(f"{path} is damaged: a chunk of unknown kind {tag}; {COPY}")
    number, content = 0, b""
    if tag in _XML:
        if length > XML_BYTES_MAX:
            raise RecordingError(f"{path} has a header of {length} bytes, which none has; {COPY}")
        number = int.from_bytes(file.read(4), "little") if tag != 1 else 0
        content = file.read(max(length - (2 if tag == 1 else 6), 0))
        # As the library parses them: of a stream's header the text, of the others the bytes, whose
        # declaration may say another encoding.
        _refuse_entities(path, content.decode("utf-8", "replace") if tag == 2 else content)
    file.seek(begin + length)
    if file.tell() < begin + length:
        raise EOFError
    return tag, number, content


def _refuse_entities(path: Path, content: str | bytes) -> None:
    """Refuse a header that declares entities: they can unpack to anything, or name other files.

    The library that reads the samples parses the same text without looking.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        fromstring(content, forbid_dtd=True)
    except DefusedXmlException as exc:
        raise RecordingError(
            f"{path}: a header declares a document type or entities, which no recorder writes; "
            "the file was not opened"
        ) from exc
    except ValueError as exc:  # an encoding that the parser does not have
        raise RecordingError(f"{path} has a header that cannot be read ({exc}); {COPY}") from exc
    except ElementTree.ParseError:
        pass  # a footer may be cut off; of a header that is said where it is read


def _stream(number: int, content: bytes) -> Stream:
    """Parse a stream header."""
    root = ElementTree.fromstring(content.decode("utf-8", "replace"))

    def said(key: str) -> str:
        return (root.findtext(key) or "").strip()

    return Stream(
        number,
        said("name") or f"stream {number}",
        said("type"),
        said("source_id"),
        int(said("channel_count") or 0),
        float(said("nominal_srate") or 0.0),
        said("channel_format") != "string",
    )
