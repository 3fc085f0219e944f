"""A file of the site that several programs add to: chained lines, under a file lock.

Lines are those of a run record. A torn last line was never acted on; the next entry cuts it off.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tacs.errors import InputError, RecordError
from tacs.locks import held
from tacs.record import Line, RecordAppender, RecordWriter, read_record

__all__ = ["SiteLog", "limits_file", "site_folder"]


def site_folder() -> Path:
    """Return the site's folder: ``TACS_SITE_DIR``, or the user's data folder."""
    import platformdirs

    chosen = os.environ.get("TACS_SITE_DIR")
    return (
        Path(chosen) if chosen else Path(platformdirs.user_data_dir("tacs-suite", appauthor=False))
    )


def limits_file(folder: Path) -> Path | None:
    """Return the file with the site's own limits; None where it has none."""
    own = folder / "site.toml"
    return own if own.exists() else None


class SiteLog:
    """One file of chained lines.

    Parameters
    ----------
    path : path
        Created, with its folder, when first written to.
    cure : str, optional
        What leads on once somebody knows why the file does not verify.
    """

    def __init__(self, path: str | Path, cure: str = "") -> None:
        self.path = Path(path)
        self._cure = cure

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file against other programs of this site.

        Raises
        ------
        InputError
            The folder cannot be written.
        """
        with ExitStack() as stack:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(held(self.path.with_suffix(".lock")))
            except OSError as exc:
                raise InputError(
                    f"{self.path.parent}: the site's folder cannot be written ({exc.strerror}); "
                    f"set TACS_SITE_DIR to one that can"
                ) from exc
            yield

    def append(
        self, kind: str, data: Mapping[str, Any], before: Callable[[], None] | None = None
    ) -> None:
        """Add a line; it is on disk when this returns.

        Parameters
        ----------
        kind : str
            What happened.
        data : mapping
            The particulars.
        before : callable, optional
            Called under the lock before anything is written; what it raises leaves the file as it
            was.
        """
        with self.locked():
            if before is not None:
                before()
            new = not self.path.exists()
            with RecordWriter(self.path) if new else RecordAppender(self.path) as writer:
                writer.append(kind, 0.0, data, sync=True)

    def lines(self) -> list[Line]:
        """Return every line; none where there is no file.

        Raises
        ------
        RecordError
            The file does not verify.
        """
        if not self.path.exists():
            return []
        lines, problem = read_record(self.path, allow_torn_tail=True)
        if problem is not None:
            raise RecordError(
                f"{self.path}: {problem}; no session can be armed until somebody has found out why"
                f"{self._cure}"
            )
        return lines
