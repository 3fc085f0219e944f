"""Checks of a recording file before and after it is read: kind, and whole or cut off."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from analysis.errors import RecordingError

_PICTURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or office document",
}


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
    EDF header fields: Kemp et al. 1992, Electroencephalogr. Clin. Neurophysiol. 82:391-393; BDF
    has three bytes a sample.
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
        ".fif": (b"\x00\x00\x00\x64",),
    }
    if suffix in magics and not head.startswith(magics[suffix]):
        kind = suffix[1:].upper()
        raise RecordingError(
            f"{path} is not {'an' if kind == 'EDF' else 'a'} {kind} file although it is named so; "
            "give the recorder's own file, under its own extension"
        )
    if suffix in {".edf", ".bdf"}:
        _check_edf_size(path, head, size)


def _check_edf_size(path: Path, head: bytes, size: int) -> None:
    """Refuse an EDF or BDF file that is shorter than its header announces."""
    sample_bytes = 3 if path.suffix.lower() == ".bdf" else 2
    try:
        header_bytes, records = int(head[184:192]), int(head[236:244])
        record_s, signals = float(head[244:252]), int(head[252:256])
        with path.open("rb") as file:
            file.seek(256 + 216 * signals)
            counts = file.read(8 * signals)
        samples = sum(int(counts[8 * i : 8 * i + 8]) for i in range(signals))
    except ValueError as exc:
        raise RecordingError(
            f"{path} has a damaged or cut-off header; copy it again from the recorder"
        ) from exc
    whole = header_bytes + records * samples * sample_bytes
    if records > 0 and size < whole:
        held = max(0, size - header_bytes) // (samples * sample_bytes)
        raise RecordingError(
            f"{path} is cut off: its header announces {records * record_s:g} s, it holds "
            f"{held * record_s:g} s; copy it again from the recorder"
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
