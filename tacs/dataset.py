"""Where everything of a session lies in a BIDS data set, and how a data set is made and checked.

Recordings lie where BIDS puts them (``sub-X/ses-Y/eeg``), the delivered current beside them.
Records, with copies of the protocol and the rig, are source data; what is computed is a derivative.

References
----------
BIDS 1.11.1, https://bids-specification.readthedocs.io.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tacs.errors import InputError
from tacs.files import write_text
from tacs.locks import held
from tacs.record import read_record

if TYPE_CHECKING:
    from tacs.protocol import Protocol
    from tacs.rig import Rig

__all__ = [
    "Recording",
    "SessionPaths",
    "check_label",
    "ensure_dataset",
    "find_recordings",
    "find_records",
    "folder_names",
    "refuse_other_spelling",
    "tables_locked",
    "task_label",
    "write_json",
]

BIDS_VERSION = "1.9.0"  # what mne-bids writes; every file here is also valid under 1.11.1
LABEL = re.compile(r"[A-Za-z0-9+]{1,32}")
RECORDING = re.compile(
    r"sub-(?P<subject>[^_]+)_ses-(?P<session>[^_]+)_task-(?P<task>[^_]+)_acq-(?P<when>pre|post)_eeg"
)
README = """\
EEG before and after transcranial alternating current stimulation.

sub-*/ses-*/eeg       recordings: acq-pre before, acq-post after, acq-during the stimulation of
                      that session; recording-current: the current as delivered, one column per
                      electrode in mA, with its events and its electrodes (task-tacs)
sourcedata/tacs       the record of every session (one JSON object a line, chained by hashes), with
                      copies of its protocol and its rig
derivatives/tacs      what was computed: quality, peaks, outcomes, reports

Currents are zero-to-peak milliampere. Dates are those of the recordings; names, birth dates and
hospital numbers in the headers of EDF and BDF files were blanked on import.

Research use only. Not a medical device.
"""


def check_label(value: str, what: str) -> str:
    """Return a BIDS label, or refuse it.

    Parameters
    ----------
    value : str
        Letters, digits and plus, 1 to 32 of them; so no path can be smuggled in.
    what : str
        ``"subject"``, ``"session"``, … for the message.

    Raises
    ------
    InputError
        Not a label.
    """
    if not LABEL.fullmatch(value):
        raise InputError(
            f"{what} {value!r}: must be 1 to 32 letters, digits or plus signs; no hyphen, no slash"
        )
    return value


def task_label(value: str) -> str:
    """Return a task's name as a BIDS label: ``rest-closed`` becomes ``restclosed``.

    Raises
    ------
    InputError
        Not a label once hyphens, underscores and spaces are gone.
    """
    return check_label(re.sub(r"[-_ ]", "", value), "task")


@dataclass(frozen=True, slots=True)
class SessionPaths:
    """Every path of one session of one participant.

    Parameters
    ----------
    dataset : Path
        Root of the data set.
    subject, session : str
        BIDS labels.
    """

    dataset: Path
    subject: str
    session: str

    @classmethod
    def of(cls, dataset: str | Path, subject: str, session: str) -> Self:
        """Name the paths of a session; nothing is made on disk.

        Raises
        ------
        InputError
            Subject or session is not a label.
        """
        return cls(Path(dataset), check_label(subject, "subject"), check_label(session, "session"))

    @property
    def stem(self) -> str:
        """Beginning of every file name of this session."""
        return f"sub-{self.subject}_ses-{self.session}"

    @property
    def relative(self) -> Path:
        """Folder of this session under the root, under source data and under derivatives."""
        return Path(f"sub-{self.subject}", f"ses-{self.session}")

    @property
    def eeg(self) -> Path:
        """Folder of the recordings."""
        return self.dataset / self.relative / "eeg"

    @property
    def source(self) -> Path:
        """Folder of the record and what belongs to it."""
        return self.dataset / "sourcedata" / "tacs" / self.relative

    @property
    def derivatives(self) -> Path:
        """Folder of what is computed."""
        return self.dataset / "derivatives" / "tacs" / self.relative

    @property
    def record(self) -> Path:
        """The run record."""
        return self.source / f"{self.stem}_task-tacs_record.jsonl"

    @property
    def protocol(self) -> Path:
        """Copy of the protocol that was run."""
        return self.source / f"{self.stem}_task-tacs_protocol.toml"

    @property
    def rig(self) -> Path:
        """Copy of the rig file that was used."""
        return self.source / f"{self.stem}_task-tacs_rig.toml"

    @property
    def oscilloscope(self) -> Path:
        """Where an oscilloscope writes while the session runs."""
        return self.source / f"{self.stem}_task-tacs_oscilloscope.tsv.gz"

    @property
    def trace(self) -> Path:
        """The delivered current."""
        return self.eeg / f"{self.stem}_task-tacs_recording-current_stim.tsv.gz"

    @property
    def events(self) -> Path:
        """When the stimulation began and how long it lasted, on the trace's time."""
        return self.eeg / f"{self.stem}_task-tacs_events.tsv"

    @property
    def sealed_trace(self) -> Path:
        """The delivered current of a blinded session, which would tell the arm."""
        return self.oscilloscope.with_name(self.oscilloscope.name + ".sealed")

    @property
    def peak(self) -> Path:
        """The individual peak, as ``tacs peak --json`` writes it."""
        return self.derivatives / f"{self.stem}_peak.json"

    @property
    def outcome(self) -> Path:
        """The change from before to after, as ``tacs compare --json`` writes it."""
        return self.derivatives / f"{self.stem}_outcome.json"

    @property
    def report(self) -> Path:
        """The report of the session."""
        return self.derivatives / f"{self.stem}_report.html"

    def recording_stem(self, task: str, when: str) -> str:
        """Return the file name of a recording without its suffix and extension."""
        return f"{self.stem}_task-{task}_acq-{when}"

    def quality(self, task: str, when: str) -> Path:
        """Return the path of a recording's quality summary."""
        return self.derivatives / f"{self.recording_stem(task, when)}_quality.json"

    @property
    def was_run(self) -> bool:
        """Whether it has a record, other than of an attempt that was refused before arming."""
        return self.record.exists() and not _refused_before_arming(self.record)

    def claim(self) -> None:
        """Make the folder of the record; refuse a session that has one already.

        The record of an attempt that was refused before anything was armed (another firmware, a
        confirmation that did not match) does not use up the session: it is kept under the name
        ``…_attempt-N_record.jsonl``.

        Raises
        ------
        InputError
            The session was run before, another spelling of a label exists, or the folder cannot
            be written.
        """
        self.refuse_used()
        if self.record.exists():
            number = len(list(self.source.glob(f"{self.stem}_task-tacs_attempt-*_record.jsonl")))
            kept = f"{self.stem}_task-tacs_attempt-{number + 1}_record.jsonl"
            self.record.rename(self.record.with_name(kept))
            sealed = self.record.with_suffix(".sealed")
            if sealed.exists():
                sealed.rename(self.record.with_name(kept).with_suffix(".sealed"))
        refuse_other_spelling(self)
        try:
            self.source.mkdir(parents=True, exist_ok=True)
            # Made now: in a blinded session no file must have the time of its end.
            _tables_lock(self.dataset).touch(mode=0o600)
        except OSError as exc:
            raise InputError(f"{self.source}: cannot be made ({exc.strerror})") from exc
        if not os.access(self.source, os.W_OK):
            raise InputError(f"{self.source}: cannot be written (permission denied)")

    def refuse_used(self) -> None:
        """Refuse a session that a record has used up; nothing is changed.

        Raises
        ------
        InputError
            It was run before.
        """
        if self.was_run:
            raise InputError(
                f"{self.record}: this session has a record already; give another --session"
            )

    def keep_copies(self, protocol: Protocol, rig: Rig | None) -> None:
        """Write copies of the protocol and the rig beside the record.

        Raises
        ------
        InputError
            A copy cannot be written.
        """
        protocol.to_toml(self.protocol, comment=f"As run; sha256 {protocol.sha256()}")
        if rig is not None:
            self.keep_rig(rig)

    def keep_rig(self, rig: Rig) -> Path:
        """Write a copy of the rig beside the record and return its path.

        Raises
        ------
        InputError
            The copy cannot be written.
        """
        rig.to_toml(self.rig, comment=f"As used; sha256 {rig.sha256()}")
        return self.rig


def _refused_before_arming(record: Path) -> bool:
    """Whether a record verifies and ends with a refusal, or has no whole line.

    The first line is on disk before the first byte is sent: without it nothing was.
    """
    lines, problem = read_record(record, allow_torn_tail=True)
    if problem is not None:
        return False
    last = lines[-1] if lines else None
    return last is None or (last.kind == "end" and last.data.get("outcome") == "refused")


@dataclass(frozen=True, slots=True)
class Recording:
    """One EEG recording of a data set.

    Parameters
    ----------
    path : Path
        The file to open.
    subject, session, task : str
        BIDS labels.
    when : str
        ``"pre"`` or ``"post"``.
    """

    path: Path
    subject: str
    session: str
    task: str
    when: str


@contextmanager
def tables_locked(dataset: str | Path) -> Iterator[None]:
    """Hold the tables that several sessions write (people, sessions, recordings) meanwhile.

    Whoever changes one reads it, adds to it and writes it whole: without this, of two at the same
    time one would lose its line.

    Parameters
    ----------
    dataset : path
        The data set; the lock lies with its source data.

    Raises
    ------
    InputError
        The lock cannot be made.
    """
    lock = _tables_lock(Path(dataset))
    with ExitStack() as stack:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(lock))
        except OSError as exc:
            raise InputError(f"{lock}: cannot be made ({exc.strerror})") from exc
        yield


def _tables_lock(dataset: Path) -> Path:
    return dataset / "sourcedata" / "tacs" / "tables.lock"


def ensure_dataset(path: str | Path) -> Path:
    """Make a data set, or verify that a folder is one.

    Parameters
    ----------
    path : path
        A folder that is not there, is empty, or is a BIDS data set of raw data.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    InputError
        Something else lies there, or it cannot be written.
    """
    root = Path(path)
    try:
        if root.exists() and not root.is_dir():
            raise InputError(f"{root}: is a file; give a folder for the data set")
        if not root.is_dir() or not any(root.iterdir()):
            _create(root)
            return root
    except OSError as exc:
        raise InputError(f"{root}: cannot be used as a data set ({exc.strerror})") from exc
    _verify(root)
    derivative = root / "derivatives" / "tacs" / "dataset_description.json"
    if not derivative.exists():
        write_json(derivative, _description("derivative"))
    return root


def find_records(dataset: str | Path) -> list[SessionPaths]:
    """Return every session of a data set that has a record.

    Raises
    ------
    InputError
        No such data set.
    """
    root = _existing(dataset)
    found = []
    for record in sorted(root.glob("sourcedata/tacs/sub-*/ses-*/*_task-tacs_record.jsonl")):
        session, subject = record.parent.name, record.parent.parent.name
        paths = SessionPaths(root, subject.removeprefix("sub-"), session.removeprefix("ses-"))
        if paths.record == record:
            found.append(paths)
    return found


def find_recordings(
    dataset: str | Path, subject: str, session: str | None = None
) -> list[Recording]:
    """Return the recordings of a participant, by session, task, and before first.

    Parameters
    ----------
    dataset : path
        The data set.
    subject : str
        BIDS label.
    session : str, optional
        One session only.

    Raises
    ------
    InputError
        No such data set, or not a label.
    """
    root = _existing(dataset)
    check_label(subject, "subject")
    sessions = "*" if session is None else check_label(session, "session")
    found = []
    for path in root.glob(f"sub-{subject}/ses-{sessions}/eeg/*_eeg.*"):
        match = RECORDING.fullmatch(path.name.removesuffix(path.suffix))
        if match and path.suffix in {".vhdr", ".edf", ".bdf", ".set"}:
            found.append(Recording(path=path, **match.groupdict()))
    return sorted(found, key=lambda r: (r.session, r.task, r.when != "pre", r.path.name))


def folder_names(folder: Path) -> tuple[str, ...]:
    """Return the names in a folder; none where there is no such folder.

    Raises
    ------
    InputError
        It cannot be read.
    """
    try:
        return tuple(sorted(os.listdir(folder)))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as exc:
        raise InputError(f"{folder}: cannot be read ({exc.strerror})") from exc


def refuse_other_spelling(
    paths: SessionPaths, names: Callable[[Path], Sequence[str]] = folder_names
) -> None:
    """Refuse a label that differs from an existing one by upper and lower case only.

    Parameters
    ----------
    paths : SessionPaths
        Of the session.
    names : callable
        Names in a folder; whoever checks many sessions at once looks into each folder once.

    Raises
    ------
    InputError
        Such a folder exists: on many disks the two would be one. Or a folder cannot be read.
    """
    for folder in (paths.dataset, paths.dataset / "sourcedata" / "tacs"):
        for part, what in zip(paths.relative.parts, ("subject", "session"), strict=True):
            for other in names(folder):
                if other != part and other.lower() == part.lower():
                    raise InputError(
                        f"{what} {part[4:]!r}: {folder / other} is there already and differs by "
                        f"upper and lower case only; use one spelling"
                    )
            folder = folder / part


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON file, readable and without NaN.

    Raises
    ------
    InputError
        It cannot be written.
    """
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _create(root: Path) -> None:
    """Make the files that every data set has."""
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / "dataset_description.json", _description("raw"))
    write_text(root / "README", README)
    write_json(
        root / "derivatives" / "tacs" / "dataset_description.json", _description("derivative")
    )


def _verify(root: Path) -> None:
    """Refuse a folder with other things in it."""
    path = root / "dataset_description.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise InputError(
            f"{root}: is not empty and not a BIDS data set (no dataset_description.json); "
            f"give a new folder"
        ) from exc
    except (OSError, ValueError) as exc:
        raise InputError(f"{path}: cannot be read as JSON; mend it or give a new folder") from exc
    if not isinstance(data, dict) or "BIDSVersion" not in data:
        raise InputError(f"{path}: has no BIDSVersion; mend it or give a new folder")
    if data.get("DatasetType", "raw") != "raw":
        raise InputError(
            f"{root}: is a data set of type {data['DatasetType']!r}; give one of raw data"
        )


def _existing(dataset: str | Path) -> Path:
    """The root of a data set that must be there."""
    root = Path(dataset)
    if not root.is_dir():
        raise InputError(f"{root}: no such data set")
    _verify(root)
    return root


def _description(kind: str) -> dict[str, Any]:
    """Content of a dataset_description.json."""
    return {
        "Name": "EEG before and after tACS" if kind == "raw" else "tacs-suite results",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": kind,
        "License": "n/a",
        "Authors": ["n/a"],
        "GeneratedBy": [
            {
                "Name": "tacs-suite",
                "Version": version("tacs-suite"),
                "Description": "Research use only. Not a medical device.",
            }
        ],
    }
