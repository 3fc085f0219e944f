"""What was read of run records before, so that a rebuild does not verify every line again.

A record of twenty minutes has thousands of chained lines; verifying them takes half a second, and
what a table needs of them is a few numbers. Those numbers are kept here, outside the data set, in
the site's folder.

The rule of when they count: the record is read whole each time, and what was kept counts only where
the SHA-256 of its bytes is the one that was verified then, under the same path, size and time of
change, and by the same version of the suite and of this table. A record that was changed in any
byte is therefore verified again, whatever its times say. Nothing that arms a device, and no report,
ever looks here: they verify every line. The cache may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from threading import get_ident
from typing import Any

__all__ = ["RecordCache"]

FORMAT = 1
MAX_BYTES = 64 * 1024 * 1024


class RecordCache:
    """Facts of the records of one data set, by participant.

    Parameters
    ----------
    dataset : Path
        Root of the data set.
    site : Path
        The site's folder.
    stamp : str
        What the facts depend on besides the record: of another stamp none counts.
    use : bool
        Where false nothing that was kept counts, and everything is kept anew.
    """

    def __init__(self, dataset: Path, site: Path, stamp: str, *, use: bool = True) -> None:
        name = hashlib.sha256(str(dataset.resolve()).encode()).hexdigest()[:20]
        self.folder = site / "cache" / "projection" / name
        self._root = dataset
        self._stamp = f"{FORMAT} {version('tacs-suite')} {stamp}"
        self._use = use
        self._kept: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, dict[str, Any]] = {}
        self.hits = self.misses = 0

    def facts(
        self, record: Path, subject: str, read: Callable[[], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """Return what was kept of a record, or read it now.

        Parameters
        ----------
        record : Path
            The run record.
        subject : str
            Whose; a BIDS label.
        read : callable
            Verifies the record and returns its facts, plain JSON types.
        """
        key = record.relative_to(self._root).as_posix()
        try:
            # The state is taken before the bytes: a file changed between the two does not match.
            state = record.stat()
            with open(record, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return read()  # says what is wrong, and is not kept
        mark = [state.st_size, state.st_mtime_ns, digest]
        kept = self._of(subject).get(key) if self._use else None
        if isinstance(kept, dict) and kept.get("mark") == mark:
            self.hits += 1
            facts: Mapping[str, Any] = kept["facts"]
        else:
            self.misses += 1
            facts = read()
            after = record.stat()
            if [after.st_size, after.st_mtime_ns] != mark[:2]:
                return facts  # it was being written: what was read may be of other bytes
        self._seen.setdefault(subject, {})[key] = {"mark": mark, "facts": facts}
        return facts

    def save(self) -> None:
        """Keep what was seen; a folder that cannot be written leaves things as they are."""
        for subject, entries in self._seen.items():
            if self._use and self._kept.get(subject) == entries:
                continue
            text = json.dumps({"stamp": self._stamp, "records": entries}, allow_nan=False)
            path = self.folder / f"{subject}.json"
            fresh = path.with_name(f"{path.name}.{os.getpid()}-{get_ident()}")
            try:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                fresh.write_text(text, encoding="utf-8")
                fresh.replace(path)
            except OSError:
                with contextlib.suppress(OSError):
                    fresh.unlink(missing_ok=True)
                return

    def _of(self, subject: str) -> dict[str, Any]:
        if subject not in self._kept:
            self._kept[subject] = self._load(self.folder / f"{subject}.json")
        return self._kept[subject]

    def _load(self, path: Path) -> dict[str, Any]:
        try:
            if path.stat().st_size > MAX_BYTES:
                return {}
            data = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(data, dict) or data.get("stamp") != self._stamp:
            return {}
        records = data.get("records")
        return records if isinstance(records, dict) else {}
