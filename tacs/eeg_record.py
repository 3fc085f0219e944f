"""Recording live EEG into the data set while it streams.

Samples go to an append-only file as they come, 32-bit microvolts, and to the disk every few
seconds; beside it stands a file of lines that says what the numbers are and where something was
missing. At the end both become a recording of the data set, like any other that is imported. What a
crash leaves is turned into one by :func:`finish_stream`: nothing but what was not yet handed to the
system is lost.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs import locks
from tacs.bids import Imported, import_recording
from tacs.dataset import (
    SessionPaths,
    ensure_dataset,
    refuse_other_spelling,
    task_label,
)
from tacs.errors import InputError, RecordError

if TYPE_CHECKING:
    from tacs.eeg import EEGBlock, EEGDescription

__all__ = ["StreamRecorder", "finish_stream", "unfinished_streams"]

FORMAT = "tacs eeg stream 1"
SYNC_S = 5.0
HEAD = ".jsonl"
DATA = ".f32"


@dataclass(frozen=True, slots=True)
class _Head:
    """What the first line of a stream says."""

    subject: str
    session: str
    when: str
    task: str
    source: str
    channels: tuple[str, ...]
    sfreq_hz: float
    began: str

    def line(self) -> str:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"format": FORMAT, **fields}) + "\n"

    @classmethod
    def of(cls, data: dict[str, Any]) -> _Head:
        if data.pop("format") != FORMAT:
            raise ValueError("another format")
        head = cls(**{**data, "channels": tuple(data["channels"])})
        datetime.fromisoformat(head.began)
        if not (head.channels and math.isfinite(head.sfreq_hz) and head.sfreq_hz > 0.0):
            raise ValueError("no channels or no rate")
        return head


class StreamRecorder:
    """Writes a stream as it comes.

    Parameters
    ----------
    dataset : path
        BIDS data set; made where there is none.
    subject, session : str
        BIDS labels.
    when : {"pre", "post", "during"}
        Before, after or during the stimulation of that session.
    task : str
        What the person does, such as ``rest-closed``.

    Raises
    ------
    InputError
        A label is none, the recording is there already, or a broken-off one was left.
    """

    def __init__(
        self, dataset: str | Path, *, subject: str, session: str, when: str, task: str
    ) -> None:
        if when not in {"pre", "post", "during"}:
            raise InputError(f"when {when!r}: must be pre, post or during")
        self._labels = (subject, session, when, task_label(task))
        paths = SessionPaths.of(dataset, subject, session)
        refuse_other_spelling(paths)
        stem = paths.recording_stem(self._labels[3], when)
        if any(paths.eeg.glob(f"{stem}_*")):
            raise InputError(
                f"{paths.eeg}: has a {when} recording of task {self._labels[3]} already; give "
                "another --session or --task"
            )
        self._paths = paths
        self.path = paths.source / f"{stem}_stream{HEAD}"
        if self.path.exists():
            raise InputError(
                f"{self.path}: a recording that broke off, or is still running, is here; finish it "
                f"with tacs watch --recover {self.path}"
            )
        self._head: Any = None
        self._data: Any = None
        self._n = self._synced = 0
        self._sync_every = 1
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether its files were made."""
        return self._begun

    def begin(self, info: EEGDescription, began: datetime) -> None:
        """Make the files.

        Parameters
        ----------
        info : EEGDescription
            Of the open source.
        began : datetime
            Now, with a time zone.

        Raises
        ------
        InputError
            They cannot be written.
        """
        subject, session, when, task = self._labels
        head = _Head(
            subject, session, when, task, info.source, info.channels, info.sfreq_hz,
            began.isoformat(),
        )  # fmt: skip
        self._sync_every = round(SYNC_S * info.sfreq_hz)
        try:
            ensure_dataset(self._paths.dataset)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._data = self.path.with_suffix(DATA).open("xb", buffering=0)
            self._head = self.path.open("xb", buffering=0)
            locks.take(self._head.fileno(), wait=False)
            self._head.write(head.line().encode())
            os.fsync(self._head.fileno())
            self._begun = True
        except OSError as exc:
            raise InputError(f"{self.path}: cannot be written ({exc.strerror or exc})") from exc

    def write(self, block: EEGBlock) -> None:
        """Append a block.

        Raises
        ------
        RecordError
            The disk does not take it.
        """
        import numpy as np

        try:
            if block.missing or block.restarted:
                note = {"at": self._n, "missing": block.missing, "restarted": block.restarted}
                self._head.write((json.dumps(note) + "\n").encode())
            data = np.ascontiguousarray(block.signal_uv.T, dtype="<f4").tobytes()
            view = memoryview(data)
            while view:
                view = view[self._data.write(view) :]
            self._n += len(block)
            if self._n - self._synced >= self._sync_every:
                self._synced = self._n
                os.fsync(self._data.fileno())
                os.fsync(self._head.fileno())
        except OSError as exc:
            raise RecordError(
                f"{self.path}: cannot be written ({exc.strerror or exc}); what came before is safe"
            ) from exc

    def mark(self, text: str, start_s: float, stop_s: float | None = None) -> None:
        """Mark a stretch; with the same text and start again, its end.

        Parameters
        ----------
        text : str
            What the recording is to say there.
        start_s, stop_s : float
            Seconds of the recording, which counts what is missing. Without an end, up to that of
            the recording, should nobody give it later.

        Raises
        ------
        RecordError
            The disk does not take it.
        """
        note = {"mark": text, "from_s": round(start_s, 6), "to_s": stop_s and round(stop_s, 6)}
        try:
            self._head.write((json.dumps(note) + "\n").encode())
        except OSError as exc:
            raise RecordError(f"{self.path}: cannot be written ({exc.strerror or exc})") from exc

    def close(self) -> None:
        """Leave the stream as it is, to be finished later. Safe to repeat."""
        for file in (self._data, self._head):
            if file is not None:
                file.close()
        self._data = self._head = None

    def finish(self) -> Imported | None:
        """Turn what was written into a recording of the data set.

        Returns
        -------
        Imported or None
            None where not one sample came; nothing is left then.

        Raises
        ------
        InputError
            It cannot be written; the stream stays where it was.
        """
        self.close()
        if not self._begun:
            return None  # what lies at its place since is somebody else's
        if not self._n:
            _remove(self.path)
            return None
        return finish_stream(self.path)


def finish_stream(path: str | Path) -> Imported:
    """Turn a stream that was written, whole or broken off, into a recording of its data set.

    Parameters
    ----------
    path : path
        The file ``…_stream.jsonl``; the samples are beside it.

    Returns
    -------
    Imported
        As of :func:`tacs.bids.import_recording`. The stream is removed.

    Raises
    ------
    InputError
        It is no stream, somebody is still writing it, nothing is in it, or the recording cannot be
        written. The stream then stays where it was.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if not locks.take(file.fileno(), wait=False):
                raise InputError(f"{path}: is still being recorded; end that first")
            head, notes = _read(path, file.read())
            dataset = _dataset_of(path, head)
            with tempfile.TemporaryDirectory(prefix=".stream-", dir=path.parent) as folder:
                whole = Path(folder) / f"{path.stem}_raw.fif"
                _recording(path.with_suffix(DATA), head, notes).save(whole, verbose="ERROR")
                done = import_recording(
                    whole, dataset, head.subject, head.session, head.when, task=head.task
                )
            _remove(path)
    except OSError as exc:
        raise InputError(f"{path}: cannot be finished ({exc.strerror or exc})") from exc
    return done


def unfinished_streams(dataset: str | Path) -> list[Path]:
    """Return the streams of a data set that broke off, or are still running."""
    return sorted((Path(dataset) / "sourcedata" / "tacs").glob(f"sub-*/ses-*/*_stream{HEAD}"))


def _read(path: Path, data: bytes) -> tuple[_Head, list[dict[str, Any]]]:
    """Head and notes; a last line that was cut off is passed over."""
    lines = data.decode("utf-8", "replace").split("\n")[:-1]
    try:
        head = _Head.of(json.loads(lines[0]))
        notes = [json.loads(line) for line in lines[1:]]
        for note in notes:
            if "mark" in note:
                ends_s = note["to_s"]
                note["mark"], note["from_s"] = str(note["mark"]), float(note["from_s"])
                note["to_s"] = math.inf if ends_s is None else float(ends_s)
                continue
            note["at"], note["missing"] = int(note["at"]), int(note["missing"])
            note["restarted"] = note["restarted"] is True
    except (ValueError, KeyError, IndexError, TypeError) as exc:
        raise InputError(f"{path}: is no EEG stream that tacs watch wrote ({exc})") from exc
    return head, notes


def _dataset_of(path: Path, head: _Head) -> Path:
    """The data set that a stream lies in, which its labels must confirm."""
    root = path.absolute().parents[4] if len(path.absolute().parents) > 4 else path
    paths = SessionPaths.of(root, head.subject, head.session)
    if path.absolute().parent != paths.source:
        raise InputError(f"{path}: does not lie where its labels belong, {paths.source}")
    return root


def _recording(path: Path, head: _Head, notes: list[dict[str, Any]]) -> Any:
    """The samples as an MNE object; a row that was cut off is left out."""
    import numpy as np

    from analysis.live import Break, raw_of
    from analysis.marks import add_marks

    flat = np.fromfile(path, dtype="<f4")
    n = len(flat) // len(head.channels)
    if not n:
        raise InputError(f"{path}: holds not one sample; remove it")
    signal_uv = flat[: n * len(head.channels)].reshape(n, -1).T.astype(np.float64)
    gaps = [x for x in notes if "mark" not in x]
    breaks = [Break(x["at"], x["missing"], x["restarted"]) for x in gaps if x["at"] < n]
    began = datetime.fromisoformat(head.began)
    raw = raw_of(signal_uv, head.sfreq_hz, head.channels, breaks, began)
    # The end of a mark comes in a line of its own, after that of its beginning.
    ends_s = {(x["mark"], x["from_s"]): x["to_s"] for x in notes if "mark" in x}
    length_s = raw.n_times / head.sfreq_hz
    for (text, from_s), to_s in ends_s.items():
        start_s, stop_s = max(from_s, 0.0), min(to_s, length_s)
        if start_s < stop_s:
            add_marks(raw, [start_s], [stop_s - start_s], text)
    return raw


def _remove(path: Path) -> None:
    for name in (path.with_suffix(DATA), path):
        name.unlink(missing_ok=True)
