"""The files of a de-identified copy, kind by kind: each is made anew, or is left out and said."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tacs.bids_stimulation import CONTACT_COLUMNS, EVENT_COLUMNS, NO_POSITIONS, parameters
from tacs.dataset import BIDS_VERSION, SessionPaths, write_json
from tacs.deidentify_content import (
    derived,
    entry_summary,
    plain_rows,
    plain_tsv,
    record_summary,
    shifted,
    sidecar,
)
from tacs.deidentify_headers import channel_name, write_brainvision, write_edf
from tacs.deidentify_key import Key, Person, text_of
from tacs.errors import InputError, TacsError
from tacs.files import write_text
from tacs.journal import Journal
from tacs.protocol import Protocol
from tacs.record import read_record
from tacs.tables import MISSING, read_table, table_text

__all__ = ["Copy"]

JSON_MAX_BYTES = 64 * 1024 * 1024
NAME = re.compile(
    r"sub-(?P<subject>[A-Za-z0-9+]+)_ses-(?P<session>[A-Za-z0-9+]+)_task-(?P<task>[A-Za-z0-9+]+)"
    r"(_acq-(?P<acq>pre|post|during))?(_recording-(?P<recording>current))?_(?P<suffix>[a-z]+)"
    r"(?P<extension>\.[a-z.]+)"
)
TRACE_LINE = re.compile(rb"([-+]?\d{1,6}(\.\d{1,9})?|n/a)(\t([-+]?\d{1,6}(\.\d{1,9})?|n/a))*")
DERIVED_KEYS = {
    "peak": {"status", "frequency_hz", "ci95_hz", "center_of_gravity_hz", "prominence_db",
             "n_channels_used", "channels", "seconds_used", "aperiodic_exponent", "measured_at"},
    "outcome": {"power", "connectivity", "direction", "expected_direction", "as_predicted",
                "peak_shift_hz", "peak_hz"},
    "quality": {"usable", "mains_hz", "duration_s", "usable_s", "sfreq_hz", "good_channels",
                "bad_channels"},
}  # fmt: skip
README = """\
A de-identified copy, made by tacs-suite.

Pseudonyms and the dates of each person are random; intervals within a person are true. Ages above
89 are given as 89+. Run records, journals, reports and free text were left out; summaries of
records and journals say that they are summaries. The dates in EDF headers are fixed and mean
nothing.

Whether these data may be given away is for people to decide. Research use only.
"""


class Copy:
    """The copy in the making.

    Parameters
    ----------
    root, stage : Path
        The data set, and the folder that is filled.
    key : Key
        Who is who.
    """

    def __init__(self, root: Path, stage: Path, key: Key) -> None:
        self.root, self.stage, self.key = root, stage, key
        self.left: dict[str, list[str]] = {}
        self.done: set[Path] = set()

    def everything(self, records: list[SessionPaths]) -> None:
        """Make every file of the copy."""
        self._root_files()
        for path in self._files():
            if path.parent.name == "eeg":
                self._eeg(path)
            elif path.match("derivatives/tacs/sub-*/ses-*/*.json"):
                self._derived(path)
        for paths in records:
            person, session = self._who(paths.subject, paths.session)
            stem = f"sub-{person.pseudonym}_ses-{session}"
            summary = record_summary(paths.record, person.shift_days, self.key.operator)
            folder = self._folder("sourcedata/tacs", person, session)
            write_json(folder / f"{stem}_task-tacs_summary.json", summary)
        self._sessions(records)
        self._journal()
        for path in self._files(links=True):
            if path.is_symlink():
                self._leave(path, "a link")
            elif path not in self.done:
                self._leave(path, _why(path.relative_to(self.root)))
        self._readme()

    def _files(self, *, links: bool = False) -> Iterator[Path]:
        """Files of the source, in order; links are not followed."""
        for folder, folders, names in os.walk(self.root):
            folders.sort()
            linked = [name for name in folders if Path(folder, name).is_symlink()]
            for name in sorted([*names, *linked]):
                path = Path(folder, name)
                if links if path.is_symlink() else path.is_file():
                    yield path

    def _who(self, subject: str, session: str) -> tuple[Person, str]:
        person = self.key.people[subject]
        return person, person.sessions[session]

    def _folder(self, above: str, person: Person, session: str) -> Path:
        folder = self.stage / above / f"sub-{person.pseudonym}" / f"ses-{session}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _leave(self, path: Path, why: str) -> None:
        self.left.setdefault(why, []).append(path.relative_to(self.root).as_posix())

    def _root_files(self) -> None:
        self.stage.mkdir(parents=True)
        made = {"Name": "tacs-suite", "Version": version("tacs-suite")}
        for folder, kind in (
            (self.stage, "raw"),
            (self.stage / "derivatives" / "tacs", "derivative"),
        ):
            write_json(
                folder / "dataset_description.json",
                {
                    "Name": "De-identified EEG before and after tACS",
                    "BIDSVersion": BIDS_VERSION,
                    "DatasetType": kind,
                    "GeneratedBy": [made],
                },
            )
        table = self.root / "participants.tsv"
        columns, people = read_table(table)
        header, cells = plain_rows(columns, people, "participants")
        told = {x.get("participant_id", ""): c for x, c in zip(people, cells, strict=True)}
        nothing = [MISSING] * len(header)
        rows = [
            [f"sub-{person.pseudonym}", *told.get(f"sub-{label}", nothing)]
            for label, person in sorted(self.key.people.items(), key=lambda x: x[1].pseudonym)
        ]
        write_text(self.stage / "participants.tsv", table_text(["participant_id", *header], rows))
        self.done |= {table, self.root / "dataset_description.json"}

    def _eeg(self, path: Path) -> None:
        """Copy one file of an ``eeg`` folder, where it is one that is known."""
        match = NAME.fullmatch(path.name)
        parts = path.relative_to(self.root).parts
        if match is None or len(parts) != 4 or parts[:2] != (
            f"sub-{match['subject']}", f"ses-{match['session']}",
        ):  # fmt: skip
            return
        person, session = self._who(match["subject"], match["session"])
        name = f"sub-{person.pseudonym}_ses-{session}_task-{self.key.task(match['task'])}"
        name += f"_acq-{match['acq']}" if match["acq"] else ""
        name += f"_recording-{match['recording']}" if match["recording"] else ""
        folder = self._folder("", person, session) / "eeg"
        folder.mkdir(exist_ok=True)
        target = folder / f"{name}_{match['suffix']}{match['extension']}"
        kind = match["suffix"] + match["extension"]
        try:
            if kind in {"eeg.edf", "eeg.bdf"}:
                write_edf(path, target)
            elif kind == "eeg.vhdr":
                write_brainvision(path, target)
                self.done |= {path.with_suffix(".eeg"), path.with_suffix(".vmrk")}
            elif kind in {"channels.tsv", "events.tsv"} or (
                kind == "electrodes.tsv" and match["task"] == "tacs"
            ):
                write_text(target, plain_tsv(text_of(path), match["suffix"]))
            elif kind in {"eeg.json", "stim.json"}:
                self._sidecar(path, target, match["task"])
            elif kind == "stim.tsv.gz":
                _copy_trace(path, target)
            elif match["task"] == "tacs" and kind in FIXED:
                write_json(target, FIXED[kind])
            else:
                return
        except TacsError as exc:
            target.unlink(missing_ok=True)
            self._leave(path, f"could not be read: {str(exc).removeprefix(str(path) + ': ')}")
        self.done.add(path)

    def _sidecar(self, path: Path, target: Path, task: str) -> None:
        data = _json(path)
        kept = sidecar(data, self.key.task(task))
        if target.name.endswith("_stim.json"):
            names = [channel_name(str(x), n) for n, x in enumerate(data.get("Columns", []), 1)]
            kept["StartTime"] = (
                data["StartTime"] if isinstance(data.get("StartTime"), float) else 0.0
            )
            kept["Columns"] = names
            kept |= {x: {"Description": "Current as delivered", "Units": "mA"} for x in names}
        if "ElectricalStimulationParameters" in data and (told := self._parameters(path)):
            kept["ElectricalStimulationParameters"] = told
        write_json(target, kept)

    def _parameters(self, path: Path) -> str | None:
        """The session's protocol in one line, from its record."""
        subject, session = path.parts[-4].removeprefix("sub-"), path.parts[-3].removeprefix("ses-")
        paths = SessionPaths(self.root, subject, session)
        with contextlib.suppress(TacsError, KeyError, OSError):
            lines, _ = read_record(paths.record, allow_torn_tail=True)
            plan = Protocol.from_data(lines[0].data["protocol"], "protocol") if lines else None
            if plan is not None:
                blinded = "as planned, the arm is blinded: " if plan.blinding is not None else ""
                return blinded + parameters(plan, lines)
        return None

    def _derived(self, path: Path) -> None:
        """Numbers of a result."""
        match = re.fullmatch(
            r"sub-([A-Za-z0-9+]+)_ses-([A-Za-z0-9+]+)(_.*)?_([a-z]+)\.json", path.name
        )
        if match is None or match[4] not in DERIVED_KEYS:
            return
        if match[3] and match[4] != "quality":
            return
        if match[2] not in getattr(self.key.people.get(match[1]), "sessions", {}):
            return
        person, session = self._who(match[1], match[2])
        name = f"sub-{person.pseudonym}_ses-{session}"
        if match[4] == "quality":
            parts = NAME.fullmatch(path.name)
            if parts is None:
                return
            name += f"_task-{self.key.task(parts['task'])}_acq-{parts['acq']}"
        try:
            data = _json(path)
        except InputError as exc:
            self._leave(path, f"could not be read: {str(exc).removeprefix(str(path) + ': ')}")
            self.done.add(path)
            return
        known = {k: v for k, v in data.items() if k in DERIVED_KEYS[match[4]]}
        kept = derived(known)
        if isinstance(known.get("measured_at"), str):
            kept["measured_at"] = shifted(known["measured_at"], person.shift_days)
        folder = self._folder("derivatives/tacs", person, session)
        write_json(folder / f"{name}_{match[4]}.json", kept)
        self.done.add(path)

    def _sessions(self, records: list[SessionPaths]) -> None:
        """Tables of sessions and scans, with the dates moved."""
        recorded = {(paths.subject, paths.session): paths.record for paths in records}
        for label, person in self.key.people.items():
            table = self.root / f"sub-{label}" / f"sub-{label}_sessions.tsv"
            times = {
                r.get("session_id", ""): r.get("acq_time", "n/a") for r in read_table(table)[1]
            }
            self.done.add(table)
            rows = []
            for old, new in person.sessions.items():
                at = times.get(f"ses-{old}") or _began(recorded.get((label, old)))
                rows.append([f"ses-{new}", shifted(at, person.shift_days)])
                scans = (
                    self.root / f"sub-{label}" / f"ses-{old}" / f"sub-{label}_ses-{old}_scans.tsv"
                )
                self._scans(scans, person, new)
            folder = self.stage / f"sub-{person.pseudonym}"
            if folder.exists():
                write_text(
                    folder / f"sub-{person.pseudonym}_sessions.tsv",
                    table_text(("session_id", "acq_time"), rows),
                )

    def _scans(self, table: Path, person: Person, session: str) -> None:
        lines = []
        for row in read_table(table)[1]:
            match = NAME.fullmatch(Path(row.get("filename", "")).name)
            if match is None:
                continue
            name = f"sub-{person.pseudonym}_ses-{session}_task-{self.key.task(match['task'])}"
            name += f"_acq-{match['acq']}_{match['suffix']}{match['extension']}"
            if (self._folder("", person, session) / "eeg" / name).exists():
                at = shifted(row.get("acq_time", ""), person.shift_days)
                lines.append([f"eeg/{name}", at])
        self.done.add(table)
        if lines:
            folder = self._folder("", person, session)
            write_text(
                folder / f"sub-{person.pseudonym}_ses-{session}_scans.tsv",
                table_text(("filename", "acq_time"), lines),
            )

    def _journal(self) -> None:
        """A summary of what was entered about each person."""
        told: dict[str, list[dict[str, Any]]] = {}
        for entry in Journal(self.root).current():
            if entry.subject is None:
                continue
            person = self.key.people[entry.subject]
            session = None if entry.session is None else person.sessions[entry.session]
            told.setdefault(person.pseudonym, []).append(
                entry_summary(entry, person.shift_days, self.key.operator, session)
            )
        for pseudonym, entries in told.items():
            folder = self.stage / "sourcedata" / "tacs" / f"sub-{pseudonym}"
            write_json(
                folder / f"sub-{pseudonym}_entries.json",
                {
                    "derived": "Summary made for a de-identified export. It is not the journal, "
                    "whose hash chain and free text were left out.",
                    "entries": entries,
                },
            )

    def _readme(self) -> None:
        """Say how much was left out, not which files: their names may tell somebody."""
        counts = Counter({why.split(":")[0]: len(names) for why, names in self.left.items()})
        lines = [f"{count} files left out: {why}\n" for why, count in sorted(counts.items())]
        write_text(self.stage / "README", README + "\n" + "".join(lines))


FIXED: Mapping[str, Mapping[str, Any]] = {
    "events.json": EVENT_COLUMNS,
    "electrodes.json": CONTACT_COLUMNS,
    "coordsystem.json": NO_POSITIONS,
}


def _began(record: Path | None) -> str:
    """When a session began, by its record."""
    lines = [] if record is None else read_record(record, allow_torn_tail=True)[0]
    return lines[0].utc if lines else "n/a"


def _why(path: Path) -> str:
    """Why a file was left out."""
    if path.parts[:2] == ("sourcedata", "tacs"):
        return "records, journals and sealed files are not copied; summaries take their place"
    if path.suffix in {".html", ".md", ".txt"} or path.name.startswith(("README", "CHANGES")):
        return "free text"
    return "not a kind of file that is known to tell nobody"


def _copy_trace(source: Path, target: Path) -> None:
    """Copy a trace, line by line as numbers, in a gzip file without a name or a time."""
    try:
        with gzip.open(source, "rb") as read, target.open("wb") as raw:
            with gzip.GzipFile("", "wb", 1, raw, mtime=0) as write:
                for line in read:
                    if len(line) > 4096 or not TRACE_LINE.fullmatch(line.rstrip(b"\r\n")):
                        raise InputError(f"{source}: has a line that is no row of numbers")
                    write.write(line)
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise InputError(f"{source}: is no whole gzip file ({exc})") from exc


def _json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > JSON_MAX_BYTES:
        raise InputError(f"{path}: is too large")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{path}: is not JSON") from exc
    if not isinstance(data, dict):
        raise InputError(f"{path}: is not a JSON object")
    return data
