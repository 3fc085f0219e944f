"""Checks of a recording file before and after it is read: kind, and whole or cut off."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from analysis.edfplus import read_layout
from analysis.errors import RecordingError

_PICTURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or office document",
}
# Continuous versions of EGI simple binary (even numbers), and the bytes of a sample in each.
_EGI_BYTES = {2: 2, 4: 4, 6: 8}


def unreadable(path: Path, exc: OSError) -> RecordingError:
    """Return the error for a file that the system will not let us read.

    Parameters
    ----------
    path : Path
        The file.
    exc : OSError
        What the system said.

    Returns
    -------
    RecordingError
        One line with the cure.
    """
    if isinstance(exc, PermissionError):
        return RecordingError(f"{path} may not be read: permission denied; change its permissions")
    return RecordingError(f"{path} cannot be read: {exc.strerror or exc}; copy it again")


def check_content(path: Path) -> None:
    """Refuse a file whose first bytes do not match its name, or that is shorter than announced.

    Parameters
    ----------
    path : Path
        The file, not empty.

    Raises
    ------
    RecordingError
        If it is a picture or document, of another kind than its extension, or cut off.

    Notes
    -----
    EDF header: `analysis.edfplus.read_layout`. GDF header: Schloegl 2006, arXiv:cs/0608052. EGI
    simple binary: the header as `mne.io.read_raw_egi` reads it.
    """
    if path.is_dir():
        return
    try:
        with path.open("rb") as file:
            head = file.read(256)
        size = path.stat().st_size
    except OSError as exc:
        raise unreadable(path, exc) from exc
    for magic, kind in _PICTURES.items():
        if head.startswith(magic):
            raise RecordingError(f"{path} is {kind}, not a recording; give the recorder's file")
    suffix = path.suffix.lower()
    magics: dict[str, tuple[bytes, ...]] = {
        ".edf": (b"0       ",),
        ".bdf": (b"\xffBIOSEMI",),
        ".gdf": (b"GDF ",),
        ".set": (b"MATLAB", b"\x89HDF"),
        ".vhdr": (b"Brain", b"\xef\xbb\xbfBrain"),
        ".ahdr": (b"Brain", b"\xef\xbb\xbfBrain"),
        ".fif": (b"\x00\x00\x00\x64",),
        ".cnt": (b"Version", b"RIFF", b"RF64"),
        ".nedf": (b"<",),
        ".xdf": (b"XDF:",),
        ".xdfz": (b"\x1f\x8b",),
        ".gz": (b"\x1f\x8b",),
    }
    if suffix in magics and not head.startswith(magics[suffix]):
        kind = suffix[1:].upper()
        raise RecordingError(
            f"{path} is not {'an' if kind in {'EDF', 'XDF', 'NEDF'} else 'a'} {kind} file although "
            "it is named so; give the recorder's own file, under its own extension"
        )
    if suffix in {".edf", ".bdf"}:
        _check_edf_size(path, size)
    if suffix == ".gdf":
        _check_gdf_header(path, head, size)
    if suffix == ".raw":
        _check_egi_size(path, head, size)


def _check_edf_size(path: Path, size: int) -> None:
    """Refuse an EDF or BDF file that is shorter than its header announces."""
    try:
        layout = read_layout(path)
    except ValueError as exc:
        raise RecordingError(
            f"{path} has a damaged or cut-off header; copy it again from the recorder"
        ) from exc
    whole = layout.header_bytes + layout.n_records * layout.record_bytes
    if layout.n_records > 0 and size < whole:
        held = max(0, size - layout.header_bytes) // layout.record_bytes
        raise RecordingError(
            f"{path} is cut off: its header announces {layout.n_records * layout.record_s:g} s, "
            f"it holds {held * layout.record_s:g} s; copy it again from the recorder"
        )


def _check_gdf_header(path: Path, head: bytes, size: int) -> None:
    """Refuse a GDF file whose header is not as long as its number of channels demands."""
    old = head[4:8].strip()[:1] == b"1"
    channels = int.from_bytes(head[252 : 256 if old else 254], "little")
    length = int.from_bytes(head[184:192], "little")
    length = length if old else 256 * (length & 0xFFFF)
    if len(head) < 256 or not 256 * (channels + 1) <= length <= size:
        raise RecordingError(
            f"{path} has a damaged or cut-off header; copy it again from the recorder"
        )


def _check_egi_size(path: Path, head: bytes, size: int) -> None:
    """Refuse a file that is no EGI simple binary, or shorter than its header announces."""
    version = int.from_bytes(head[:4], "big")
    if version not in _EGI_BYTES or len(head) < 36:
        raise RecordingError(
            f"{path} is not a continuous EGI simple binary file although it is named .raw; give "
            "the recorder's own file, under its own extension"
        )
    channels, samples, events = (
        int.from_bytes(head[a:b], "big") for a, b in ((22, 24), (30, 34), (34, 36))
    )
    frame = (channels + events) * _EGI_BYTES[version]
    if frame and size < 36 + 4 * events + samples * frame:
        held = max(0, size - 36 - 4 * events) // frame
        raise RecordingError(
            f"{path} is cut off: its header announces {samples} samples, it holds {held}; copy it "
            "again from the recorder"
        )


def check_brainvision_size(path: Path, raw: Any) -> None:
    """Refuse a BrainVision data file that ends within a sample.

    Parameters
    ----------
    path : Path
        The `.vhdr` file; any other is let pass.
    raw : mne.io.BaseRaw
        What was read from it.

    Raises
    ------
    RecordingError
        If the data file is cut off.
    """
    if path.suffix.lower() != ".vhdr":
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    width = {"INT_16": 2, "IEEE_FLOAT_32": 4}
    form = re.search(r"^BinaryFormat\s*=\s*(\w+)", text, re.MULTILINE)
    data = [Path(name) for name in raw.filenames]
    if form and form.group(1).upper() in width and data[0].suffix.lower() in {".eeg", ".dat"}:
        frame = width[form.group(1).upper()] * len(raw.ch_names)
        if data[0].stat().st_size % frame:
            raise RecordingError(
                f"{data[0]} is cut off within a sample; copy it again from the recorder"
            )
