"""Reading with MNE: the reader for each kind of file, and one line for each failure."""

from __future__ import annotations

import re
import warnings as warning_module
from pathlib import Path
from typing import Any

from analysis.edfplus import apply_pauses
from analysis.errors import RecordingError
from analysis.filecheck import check_brainvision_size, unreadable
from analysis.marks import onsets_s
from analysis.timing import Gap, gap_warning, mark_gaps

TABLE_KINDS = frozenset({".txt", ".csv", ".tsv", ".arff"})
OWN_KINDS = TABLE_KINDS | {".xdf", ".xdfz", ".easy"}

# One reader each, so that the others need not be imported.
_READERS = {
    ".edf": "read_raw_edf",
    ".bdf": "read_raw_bdf",
    ".gdf": "read_raw_gdf",
    ".vhdr": "read_raw_brainvision",
    ".ahdr": "read_raw_brainvision",
    ".fif": "read_raw_fif",
    ".set": "read_raw_eeglab",
    ".mff": "read_raw_egi",
    ".raw": "read_raw_egi",
    ".nedf": "read_raw_nedf",
    ".lay": "read_raw_persyst",
}
# Files that belong to a recording without being it, and what to give instead.
_PARTS = {
    ".eeg": (".vhdr", ".ahdr"),
    ".vmrk": (".vhdr",),
    ".amrk": (".ahdr",),
    ".fdt": (".set",),
    ".dat": (".vhdr", ".lay"),
    ".info": (".easy", ".easy.gz", ".nedf"),
    ".stim": (".easy", ".easy.gz", ".nedf"),
}
_NEEDS = re.compile(r"the module (\w+)\S* is needed")
_QUIET = re.compile(r"does not conform to MNE naming conventions")
_OUTSIDE = re.compile(r"outside (?:the )?data range")


def kind_of(path: Path) -> str:
    """Return the extension that tells the kind of a file, in lower case.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        `.edf`, …; without the `.gz` of a gzipped file.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if len(suffixes) > 1 and suffixes[-1] == ".gz":
        return suffixes[-2]
    return suffixes[-1] if suffixes else ""


def own_format(path: Path) -> bool:
    """Whether this package reads a file itself, because MNE does not.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool
        True for XDF, Neuroelectrics `.easy`, ARFF and text tables.
    """
    return kind_of(path) in OWN_KINDS


def read_with_mne(path: Path, noticed: list[str]) -> Any:
    """Read a recording with MNE.

    Parameters
    ----------
    path : Path
        The file, or the folder of an `.mff` recording.
    noticed : list of str
        Takes up MNE's warnings and what was found about pauses.

    Returns
    -------
    mne.io.BaseRaw
        The recording, loaded; pauses are marked `bad_gap`.

    Raises
    ------
    RecordingError
        If MNE cannot read it, or it holds no continuous signals.
    """
    import mne

    _refuse_parts(path)
    with warning_module.catch_warnings(record=True) as caught:
        warning_module.simplefilter("always")
        try:
            reader = getattr(mne.io, _reader(path))
            raw = reader(path, preload=True, verbose="WARNING")
            # Channels of a kind that does not exist are found out here, not later.
            _ = raw.get_channel_types() if raw.ch_names else []
        except PermissionError as exc:
            raise unreadable(path, exc) from exc
        except MemoryError as exc:
            raise RecordingError(f"{path} does not fit in memory; cut out the part needed") from exc
        except Exception as exc:
            raise RecordingError(_failure(path, exc)) from exc
    if not raw.ch_names or raw.n_times < 2:
        raise RecordingError(f"{path} holds no signals (annotations only?); give the EEG file")
    check_brainvision_size(path, raw)
    gaps = _pauses(path, raw)
    for entry in caught:
        text = " ".join(str(entry.message).split())
        if not issubclass(entry.category, RuntimeWarning | UserWarning) or _QUIET.search(text):
            continue
        # MNE takes annotation times without the pauses; they have been put right.
        if not (gaps and kind_of(path) in {".edf", ".bdf"} and _OUTSIDE.search(text)):
            noticed.append(text if len(text) <= 200 else text[:199] + "…")
    if gaps:
        mark_gaps(raw, gaps)
        noticed.append(gap_warning(gaps, float(raw.info["sfreq"])))
    return raw


def _reader(path: Path) -> str:
    """Name of MNE's reader for a file."""
    kind = kind_of(path)
    if path.suffix.lower() == ".gz" and kind != ".fif":
        raise RecordingError(f"{path} is packed; unpack it with gunzip and give the file inside")
    if kind == ".cnt":
        with path.open("rb") as file:
            return "read_raw_ant" if file.read(4) in {b"RIFF", b"RF64"} else "read_raw_cnt"
    return _READERS.get(kind, "read_raw")


def _refuse_parts(path: Path) -> None:
    """Point from a part of a recording to the file to give."""
    for suffix in _PARTS.get(path.suffix.lower(), ()):
        whole = path.with_name(path.stem + suffix)
        if whole.is_file():
            raise RecordingError(f"{path} is a part of {whole.name}; give {whole}")
    if re.search(r"[-_](?:eve|epo|ave|cov|ica|proj|trans|fwd|inv)\.fif(?:\.gz)?$", path.name):
        raise RecordingError(
            f"{path} holds no continuous recording (its name ends in {path.name.split('-')[-1]}); "
            "give the _raw.fif file"
        )


def _pauses(path: Path, raw: Any) -> tuple[Gap, ...]:
    """Where the recording was paused or cut, as far as its format tells."""
    kind = kind_of(path)
    if kind in {".edf", ".bdf"}:
        return apply_pauses(path, raw)
    marker = {".vhdr": "New Segment/", ".ahdr": "New Segment/", ".set": "boundary"}.get(kind)
    if marker is None:
        return ()
    sfreq = float(raw.info["sfreq"])
    # EEGLAB puts a boundary half a sample before the first sample after it.
    samples = {
        round(onset * sfreq + 1e-6)
        for onset, text in zip(onsets_s(raw), raw.annotations.description, strict=True)
        if str(text).startswith(marker)
    }
    return tuple(Gap(at, float("nan")) for at in sorted(samples) if 0 < at < raw.n_times)


def _failure(path: Path, exc: Exception) -> str:
    """One line for whatever a reader raised."""
    if isinstance(exc, RecordingError):
        return str(exc)
    text = " ".join(str(exc).split()) or type(exc).__name__
    if package := _NEEDS.search(text):
        return (
            f"{path}: reading this kind of file needs the package {package.group(1)}; install it "
            f"with: pip install {package.group(1)}"
        )
    if "Split raw file detected" in text or ("split" in text and "does not exist" in text):
        return f"{path} is the first of several parts and the next is not beside it; copy them all"
    if isinstance(exc, FileNotFoundError):
        missing = re.search(r"[\w./ -]+\.(?:eeg|dat|fdt|vmrk)", text)
        companion = Path(missing.group(0)).name if missing else "a companion file"
        return f"{path} needs {companion}, which is not beside it; copy both"
    if "Unsupported file type" in text or "No reader available" in text:
        return (
            f"{path} is of a kind that cannot be read ({path.suffix or 'no extension'}); "
            "export it as EDF, BDF, BrainVision, FIF or EEGLAB"
        )
    if "No raw data in" in text:
        return f"{path} holds no continuous recording; give the _raw.fif file"
    if "epochs" in text.lower() or "trials" in text.lower():
        return f"{path} holds epochs, not a continuous recording; export the continuous one"
    if len(text) > 120:
        text = text[:119] + "…"
    return f"{path} cannot be read: damaged or cut off ({text}); copy it again from the recorder"
