"""The statistician's keys, and boxes that only the private one opens (X25519, PyNaCl)."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from tacs.errors import InputError

__all__ = [
    "from_base64",
    "generate_keys",
    "read_private_key",
    "read_public_key",
    "seal",
    "to_base64",
    "unseal",
]

PUBLIC = "tacs-suite sealing key, public part: goes to every site"
PRIVATE = "tacs-suite sealing key, private part: stays with the statistician"


def generate_keys(folder: str | Path) -> tuple[Path, Path]:
    """Make the statistician's pair of keys.

    Parameters
    ----------
    folder : path
        Made where it is missing.

    Returns
    -------
    (Path, Path)
        ``statistician-public.key``, and ``statistician-private.key`` which only its owner can read.

    Raises
    ------
    InputError
        Keys are there already, or the folder cannot be written.
    """
    from nacl.public import PrivateKey

    public, private = (Path(folder) / f"statistician-{part}.key" for part in ("public", "private"))
    key = PrivateKey.generate()
    try:
        public.parent.mkdir(parents=True, exist_ok=True)
        _write_new(private, _key_text(PRIVATE, bytes(key)), 0o600)
        _write_new(public, _key_text(PUBLIC, bytes(key.public_key)), 0o644)
    except FileExistsError as exc:
        raise InputError(
            f"{exc.filename}: is there already; what was sealed for it needs it, give a new folder"
        ) from exc
    except OSError as exc:
        raise InputError(f"{folder}: keys cannot be written ({exc.strerror})") from exc
    return public, private


def read_public_key(path: str | Path) -> bytes:
    """Read a public key.

    Raises
    ------
    InputError
        No such file, or not a public key.
    """
    return _read_key(path, PUBLIC, "a public key")


def read_private_key(path: str | Path) -> bytes:
    """Read a private key.

    Raises
    ------
    InputError
        No such file, not a private key, or others can read the file.
    """
    key = _read_key(path, PRIVATE, "a private key")
    if os.name == "posix" and Path(path).stat().st_mode & 0o077:
        raise InputError(
            f"{path}: others can read this private key; chmod 600 it, or make new keys"
        )
    return key


def seal(data: bytes, public_key: bytes) -> bytes:
    """Seal bytes; only the private key opens them."""
    from nacl.public import PublicKey, SealedBox

    return SealedBox(PublicKey(public_key)).encrypt(data)


def unseal(data: bytes, private_key: bytes) -> bytes:
    """Open what was sealed.

    Raises
    ------
    InputError
        Sealed for another key, or changed since.
    """
    from nacl.exceptions import CryptoError
    from nacl.public import PrivateKey, SealedBox

    try:
        return SealedBox(PrivateKey(private_key)).decrypt(data)
    except (CryptoError, ValueError, TypeError) as exc:
        raise InputError("cannot be opened: sealed for another key, or changed since") from exc


def _write_new(path: Path, text: str, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def _key_text(title: str, key: bytes) -> str:
    return f"# {title}\n{to_base64(key)}\n"


def _read_key(path: str | Path, title: str, what: str) -> bytes:
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file; `tacs blind keygen` makes keys") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path}: cannot be read as {what}") from exc
    if len(lines) != 2 or lines[0] != f"# {title}":
        raise InputError(f"{path}: is not {what} of `tacs blind keygen`")
    try:
        key = from_base64(lines[1])
    except ValueError as exc:
        raise InputError(f"{path}: is not {what}; its second line was changed") from exc
    if len(key) != 32:
        raise InputError(f"{path}: is not {what}; its second line was changed")
    return key


def to_base64(data: bytes) -> str:
    """Return bytes as text."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes:
    """Return what :func:`to_base64` was given.

    Raises
    ------
    ValueError
        It is no such text.
    """
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise ValueError("not base64") from exc
