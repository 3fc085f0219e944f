"""File locks that the system releases when whoever holds them is gone."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["held", "take"]

# Some network disks cannot lock; what is written there is no less valid.
CANNOT = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


def take(fd: int, *, wait: bool) -> bool:
    """Take the lock of an open file, which ends with its descriptor.

    Parameters
    ----------
    fd : int
        Of the file.
    wait : bool
        Whether to wait for another who has it.

    Returns
    -------
    bool
        False where another has it and ``wait`` is false. True also where locks do not exist.
    """
    if os.name != "posix":
        return True
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        if exc.errno not in CANNOT:
            raise
    return True


@contextmanager
def held(path: str | Path) -> Iterator[None]:
    """Hold a lock file, made where there is none, while the block runs; other programs wait.

    Raises
    ------
    OSError
        It cannot be made.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.name == "posix":
            take(fd, wait=True)
        else:
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
        yield
    finally:
        os.close(fd)
