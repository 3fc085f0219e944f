"""One program at a time steers a device whose port does not see to that itself.

A serial port can be locked; a TCP port and a VISA resource take whoever comes. A program of this
suite therefore holds a locked file for the device it has opened, in a folder that all users of the
computer share. The system lets go of it when the program is gone, however it went.

What it cannot see: a program that is not of this suite, another computer, and an instrument that is
reached in two ways, such as by USB and by network.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tacs.errors import DeviceBusy, DeviceNotFound, InputError
from tacs.locks import take

__all__ = ["Claim", "keys_of_tcp", "keys_of_visa"]

# Not the user's own temporary folder: two users must not steer one device either.
FOLDER = (Path("/tmp") if os.name == "posix" else Path(tempfile.gettempdir())) / "tacs-devices"
TRIES = 10


class Claim:
    """Devices that nobody else on this computer may open meanwhile.

    Parameters
    ----------
    address : str
        Of the device, for messages.
    keys : sequence of str
        Names of what is claimed: one device may be known by several.

    Raises
    ------
    DeviceBusy
        Another program has one of them, or another driver of this one.
    InputError
        There is nowhere to claim them.
    """

    def __init__(self, address: str, keys: Sequence[str]) -> None:
        self._held: list[tuple[int, Path]] = []
        try:
            folder = _folder() if keys else FOLDER
            for key in sorted(set(keys)):
                path = folder / re.sub(r"[^A-Za-z0-9.-]", "_", key)[:200]
                fd = _locked(path)
                if fd is None:
                    raise DeviceBusy(
                        f"{address}: another program on this computer{_holder(path)} holds this "
                        f"device; end it and try again"
                    )
                self._held.append((fd, path))
        except OSError as exc:
            self.release()
            raise InputError(
                f"{address}: cannot be claimed for this program ({exc.strerror}: {exc.filename}); "
                f"without that, a second program could steer the device as well"
            ) from exc
        except DeviceBusy:
            self.release()
            raise

    def release(self) -> None:
        """Let others have them. Safe to repeat."""
        while self._held:
            fd, path = self._held.pop()
            with contextlib.suppress(OSError):
                path.unlink()  # while it is held: whoever waits sees that it is another file now
            with contextlib.suppress(OSError):
                os.close(fd)


def keys_of_tcp(host: str, port: int) -> list[str]:
    """Return what a TCP port is claimed as: every address that its host has.

    Raises
    ------
    DeviceNotFound
        There is no such host.
    """
    return [f"tcp-{where}-{port}" for where in _addresses(host)]


def keys_of_visa(address: str) -> list[str]:
    """Return what a VISA resource is claimed as, however its address is written.

    Raises
    ------
    DeviceNotFound
        There is no such host.
    """
    kind, *parts = address.upper().split("::")
    if kind.startswith("USB") and len(parts) >= 4:
        with contextlib.suppress(ValueError):
            vendor, model = (int(part, 0) for part in parts[:2])
            return [f"usb-{vendor:04x}-{model:04x}-{parts[2]}"]
    if kind.startswith("TCPIP") and parts[-1] == "SOCKET" and len(parts) == 3:
        with contextlib.suppress(ValueError):
            return keys_of_tcp(parts[0], int(parts[1]))
    if kind.startswith("TCPIP") and len(parts) in (2, 3):
        device = parts[1] if len(parts) == 3 else "INST0"
        return [f"lan-{where}-{device}" for where in _addresses(parts[0])]
    board = kind if kind[-1:].isdigit() else f"{kind}0"
    return ["-".join(["visa", board, *parts])]


def _addresses(host: str) -> list[str]:
    """Every address of a host; this computer's own ways to itself are one."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise DeviceNotFound(f"{host}: there is no such host ({exc})") from exc
    return sorted({_plain(str(where[4][0])) for where in found})


def _plain(where: str) -> str:
    address = ipaddress.ip_address(where.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return "localhost" if address.is_loopback or address.is_unspecified else address.compressed


def _folder() -> Path:
    """Return the folder of the claims, made where there is none."""
    with contextlib.suppress(FileExistsError):
        FOLDER.mkdir()
        FOLDER.chmod(0o1777)  # everybody's, and nobody removes what is another's
    if FOLDER.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(FOLDER))
    return FOLDER


def _locked(path: Path) -> int | None:
    """Open and lock a file that others may just be removing; None where somebody holds it."""
    for _ in range(TRIES):
        fd = _opened(path)
        try:
            if not _taken(fd):
                os.close(fd)
                return None
            found, there = os.fstat(fd), _stat(path)
        except OSError:
            os.close(fd)
            raise
        if there is not None and (found.st_ino, found.st_dev) == (there.st_ino, there.st_dev):
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
                os.write(fd, str(os.getpid()).encode())
            return fd
        os.close(fd)
    return None


def _opened(path: Path) -> int:
    """Open a file; made only where it is not there: what is another user's cannot be made anew."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    while True:
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o666)  # whatever the umask is
                return fd


def _stat(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _taken(fd: int) -> bool:
    """Lock an open file without waiting."""
    if os.name == "posix":
        return take(fd, wait=False)
    import msvcrt

    try:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


def _holder(path: Path) -> str:
    """Who holds a claim, where that can be read."""
    try:
        number = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return f" (process {number})" if number.isdigit() else ""
