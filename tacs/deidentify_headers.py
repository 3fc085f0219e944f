"""EEG files without what their headers and marks say of a person.

What a header may keep is listed; everything else is blanked. Samples are copied byte by byte, marks
keep their time and lose their text unless it is one of a few that tell nobody.

References
----------
Kemp & Olivan 2003, *Clin Neurophysiol* 114, 1755: EDF+. Brain Products: BrainVision Core Data
Format 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tacs.electrodes import SITES
from tacs.errors import InputError

__all__ = ["channel_name", "mark_text", "write_brainvision", "write_edf"]

SIGNALS_MAX = 4096
ANNOTATIONS = (b"EDF Annotations", b"BDF Annotations")
RESERVED = (b"EDF+C", b"EDF+D", b"BDF+C", b"BDF+D", b"24BIT")
NO_DATE, NO_TIME = b"01.01.85", b"00.00.00"
PREFILTER = re.compile(rb"((HP|LP|N):\s*[\d.]+\s*(k|m)?(Hz)?\s*)+")
UNITS = {b"uV", b"\xb5V", b"mV", b"V", b"nV", b"Boolean", b""}
WORDS = {
    "eeg", "eog", "heog", "veog", "ecg", "ekg", "emg", "misc", "aux", "ch", "ref", "gnd", "trig",
    "trigger", "status", "stim", "sti", "resp", "gsr", "le", "re", "avg", "annotations", "edf",
    "bdf", "m1", "m2",
}  # fmt: skip
NUMBERED = re.compile(r"(ch|eeg|eog|ecg|emg|aux|misc|exg|sti|x|e|a|b|c|d)?\d{1,3}")
SITE_NAMES = {name.lower() for name in SITES}
MARKS = {
    "eyes closed", "eyes open", "eyes_closed", "eyes_open", "bad_gap", "bad", "edge",
    "bad boundary", "edge boundary", "new segment", "stimulus", "response",
}  # fmt: skip


def channel_name(name: str, number: int) -> str:
    """Return a channel's name where it is one of a channel, else ``chN``.

    Parameters
    ----------
    name : str
        As the file has it.
    number : int
        Counted from 1.
    """
    words = re.split(r"[\s\-_:.]+", name.strip().lower())
    known = (w in SITE_NAMES or w in WORDS or NUMBERED.fullmatch(w) for w in words)
    return name.strip() if name.strip() and all(known) else f"ch{number}"


def mark_text(text: str) -> str:
    """Return the text of a mark where it tells nobody, else ``mark``."""
    plain = " ".join(text.split())
    coded = re.fullmatch(r"[SR]? {0,3}\d{1,3}", plain)
    return plain if plain.lower() in MARKS or coded else "mark"


def write_edf(source: Path, target: Path) -> None:
    """Copy an EDF or BDF file without a name, a date or a text in it.

    Parameters
    ----------
    source, target : Path
        From where and where to.

    Raises
    ------
    InputError
        The header is not one of an EDF or BDF file.
    """
    with source.open("rb") as read, target.open("wb") as write:
        head = read.read(256)
        try:
            n_signals, size = int(head[252:256]), int(head[184:192])
            n_records = int(head[236:244])
        except ValueError as exc:
            raise InputError(f"{source}: has no header of an EDF or BDF file") from exc
        if len(head) < 256 or not 0 < n_signals <= SIGNALS_MAX or size != 256 * (n_signals + 1):
            raise InputError(f"{source}: has no valid header of an EDF or BDF file")
        signals = read.read(256 * n_signals)
        if len(signals) < 256 * n_signals:
            raise InputError(f"{source}: is shorter than its header")
        reserved = next((x for x in RESERVED if head[192:236].startswith(x)), b"")
        version = head[:8] if head[:8] in {b"0".ljust(8), b"\xffBIOSEMI"} else b"0".ljust(8)
        write.write(
            version + b"X X X X".ljust(80) + b"Startdate X X X X".ljust(80) + NO_DATE + NO_TIME
            + str(size).encode().ljust(8) + reserved.ljust(44) + str(n_records).encode().ljust(8)
            + _plain_number(head[244:252]) + str(n_signals).encode().ljust(4)
        )  # fmt: skip
        fields, at = [], 0
        for width in (16, 80, 8, 8, 8, 8, 8, 80, 8, 32):
            block = signals[at : at + width * n_signals]
            fields.append([block[i * width : (i + 1) * width] for i in range(n_signals)])
            at += width * n_signals
        is_text = [name.strip() in ANNOTATIONS for name in fields[0]]
        names = [
            name if text else channel_name(name.decode("latin-1"), i).encode("latin-1").ljust(16)
            for i, (name, text) in enumerate(zip(fields[0], is_text, strict=True), 1)
        ]
        write.write(b"".join(names) + b" " * 80 * n_signals)
        write.write(b"".join(x if x.strip() in UNITS else b" " * 8 for x in fields[2]))
        for block_of in fields[3:7]:
            write.write(b"".join(map(_plain_number, block_of)))
        write.write(
            b"".join(x if PREFILTER.fullmatch(x.strip()) else b" " * 80 for x in fields[7])
            + b"".join(map(_plain_number, fields[8]))
            + b" " * 32 * n_signals
        )
        width = 3 if version != b"0".ljust(8) else 2
        try:
            sizes = [int(x) * width for x in fields[8]]
        except ValueError as exc:
            raise InputError(f"{source}: has no valid count of samples") from exc
        if any(x < 0 for x in sizes) or sum(sizes) == 0:
            raise InputError(f"{source}: has no valid count of samples")
        while len(record := read.read(sum(sizes))) == sum(sizes):
            at = 0
            for n_bytes, text in zip(sizes, is_text, strict=True):
                part = record[at : at + n_bytes]
                write.write(_without_texts(part) if text else part)
                at += n_bytes


def _without_texts(part: bytes) -> bytes:
    """One record's annotations: times kept, texts replaced; never longer than before."""
    kept = b""
    for tal in _tals(part):
        when, *texts = tal.split(b"\x14")
        if not re.fullmatch(rb"[+-]\d+(\.\d*)?(\x15\d+(\.\d*)?)?", when):
            continue
        told = [x and mark_text(x.decode("utf-8", "replace")).encode() for x in texts[:-1]]
        new = b"\x14".join([when, *told, b""]) + b"\x00"
        if len(kept) + len(new) > len(part):
            break
        kept += new
    return kept.ljust(len(part), b"\x00")


def _tals(part: bytes) -> Iterator[bytes]:
    """Time-stamped lists of one record."""
    yield from (tal for tal in part.split(b"\x00") if tal)


def _plain_number(field: bytes) -> bytes:
    """A header's number, else nothing."""
    number = re.fullmatch(rb"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?", field.strip())
    return field if number else b" " * len(field)


def write_brainvision(source: Path, target: Path) -> None:
    """Copy a BrainVision recording (three files) without a name, a date or a text in it.

    Parameters
    ----------
    source, target : Path
        The two ``.vhdr`` files; the others lie beside them under the same name.

    Raises
    ------
    InputError
        The header or the marker file is not one of that format, or a file is missing.
    """
    head = _read(source)
    data, marks = source.with_suffix(".eeg"), source.with_suffix(".vmrk")
    if not data.exists() or not marks.exists():
        raise InputError(f"{source}: its .eeg or .vmrk is missing")
    keep = ("DataFormat", "DataOrientation", "NumberOfChannels", "SamplingInterval", "BinaryFormat")
    values = {
        key: found[1]
        for key in keep
        if (found := re.search(rf"^{key}=([A-Za-z0-9_.]{{1,24}})\s*$", head, re.MULTILINE))
    }
    if len(values) < len(keep):
        raise InputError(f"{source}: has no whole header of a BrainVision file")
    lines = [
        "Brain Vision Data Exchange Header File Version 1.0", "[Common Infos]", "Codepage=UTF-8",
        f"DataFile={target.with_suffix('.eeg').name}",
        f"MarkerFile={target.with_suffix('.vmrk').name}",
        *(f"{key}={values[key]}" for key in keep[:4]),
        "[Binary Infos]", f"BinaryFormat={values['BinaryFormat']}", "[Channel Infos]",
    ]  # fmt: skip
    for number, name, size, unit in re.findall(
        r"^Ch(\d+)=([^,\n]*),[^,\n]*,([^,\n]*),?([^,\n]*)", head, re.MULTILINE
    ):
        known = unit.strip() if unit.strip() in {"µV", "uV", "mV", "V", "nV"} else ""
        scale = size.strip() if re.fullmatch(r"[\d.eE+-]{1,16}", size.strip()) else "1"
        lines.append(f"Ch{number}={channel_name(name, int(number))},,{scale},{known}")
    told = [
        "Brain Vision Data Exchange Marker File, Version 1.0", "[Common Infos]", "Codepage=UTF-8",
        f"DataFile={target.with_suffix('.eeg').name}", "[Marker Infos]",
    ]  # fmt: skip
    for number, kind, text, at, size, channel in re.findall(
        r"^Mk(\d+)=([^,\n]*),([^,\n]*),(\d+),(\d+),(\d+)", _read(marks), re.MULTILINE
    ):
        known = kind if kind in {"New Segment", "Stimulus", "Response", "Comment", "Bad Interval"} \
            else "Comment"  # fmt: skip
        words = mark_text(text.replace("\\1", ",")) if text.strip() else ""
        told.append(f"Mk{number}={known},{words},{at},{size},{channel}")
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    target.with_suffix(".vmrk").write_text("\n".join(told) + "\n", encoding="utf-8")
    with data.open("rb") as read, target.with_suffix(".eeg").open("wb") as write:
        while chunk := read.read(1 << 20):
            write.write(chunk)


def _read(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return content.decode("latin-1").replace("\r\n", "\n")
