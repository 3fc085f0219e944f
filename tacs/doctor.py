"""``tacs doctor``: is this the suite that was installed, and can this computer run it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from tacs.driver import find_driver, find_emulator, installed
from tacs.errors import TacsError
from tacs.ledger import Ledger, site_folder
from tacs.ledger_damage import ledger_damage

__all__ = ["examine"]

PACKAGES = ("tacs", "devices", "analysis")
NEEDED = ("mne", "mne-bids", "numpy", "scipy", "fooof", "pyserial", "pydantic", "typer")
FREE_BYTES = 1 << 30


def examine() -> list[dict[str, Any]]:
    """Look at the installation.

    Returns
    -------
    list of dict
        ``what``, ``ok`` and ``text`` of each finding.
    """
    return [
        _python(),
        _siblings(),
        _files(),
        _needed(),
        *_devices(),
        _ports(),
        _site(),
        *_ledgers(),
        _disk(),
    ]


def _finding(what: str, ok: bool, text: str) -> dict[str, Any]:
    return {"what": what, "ok": ok, "text": text}


def _python() -> dict[str, Any]:
    got = ".".join(map(str, sys.version_info[:3]))
    return _finding("python", sys.version_info >= (3, 11), f"{got} (3.11 or newer is needed)")


def _siblings() -> dict[str, Any]:
    """The three packages must come from one place; a stranger of the same name is named."""
    places = {}
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        places[name] = Path(spec.origin).resolve().parents[1] if spec and spec.origin else None
    ok = len(set(places.values())) == 1
    where = ", ".join(f"{name} from {place}" for name, place in places.items())
    return _finding("packages", ok, f"all from {places['tacs']}" if ok else where)


def _files() -> dict[str, Any]:
    """Compare the installed files with the hashes that the wheel brought."""
    try:
        dist = distribution("tacs-suite")
    except PackageNotFoundError:
        return _finding("files", False, "tacs-suite is not installed; run `pip install .`")
    if _is_editable(dist):
        return _finding("files", True, "installed from a checkout (editable); nothing to compare")
    changed = [
        str(file)
        for file in dist.files or ()
        if file.hash is not None
        and file.parts[0] in PACKAGES
        and _digest(Path(str(file.locate())), file.hash.mode) != file.hash.value
    ]
    if changed:
        text = f"{len(changed)} differ from the wheel: {', '.join(changed[:5])}; install it again"
        return _finding("files", False, text)
    return _finding("files", True, f"{len(dist.files or ())} files are as the wheel brought them")


def _is_editable(dist: Distribution) -> bool:
    origin = dist.read_text("direct_url.json")
    return bool(origin and json.loads(origin).get("dir_info", {}).get("editable"))


def _digest(path: Path, mode: str) -> str | None:
    try:
        raw = hashlib.new(mode, path.read_bytes()).digest()
    except OSError:
        return None
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _needed() -> dict[str, Any]:
    found, missing = [], []
    for name in NEEDED:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return _finding("libraries", False, f"missing: {', '.join(missing)}; install again")
    return _finding("libraries", True, ", ".join(found))


def _devices() -> list[dict[str, Any]]:
    findings = []
    for name in sorted(installed("tacs.drivers")):
        try:
            state = "verified" if find_driver(name).capabilities.verified else "not verified"
            findings.append(_finding(f"driver {name}", True, f"{state} on hardware"))
        except (TacsError, ImportError) as exc:
            findings.append(_finding(f"driver {name}", False, str(exc)))
    for name in sorted(installed("tacs.emulators")):
        try:
            faults = find_emulator(name).faults
            findings.append(_finding(f"emulator {name}", True, f"{len(faults)} faults to inject"))
        except (TacsError, ImportError) as exc:
            findings.append(_finding(f"emulator {name}", False, str(exc)))
    return findings


def _ports() -> dict[str, Any]:
    from serial.tools import list_ports

    ports = [str(port.device) for port in list_ports.comports()]
    if not ports:
        return _finding("serial ports", True, "none; emulated devices need none")
    closed = [p for p in ports if os.name == "posix" and not os.access(p, os.R_OK | os.W_OK)]
    if closed:
        text = f"{', '.join(closed)}: no permission; add this user to the group dialout"
        return _finding("serial ports", False, text)
    return _finding("serial ports", True, ", ".join(ports))


def _site() -> dict[str, Any]:
    folder = site_folder()
    probe = folder
    while not probe.exists() and probe != probe.parent:
        probe = probe.parent
    ok = os.access(probe, os.W_OK)
    cure = "" if ok else "; cannot be written: set TACS_SITE_DIR to a folder that can"
    return _finding("site folder", ok, f"{folder}{cure}")


def _ledgers() -> list[dict[str, Any]]:
    findings = []
    for emulated in (False, True):
        ledger = Ledger(site_folder(), emulated=emulated)
        damage = ledger_damage(site_folder(), emulated=emulated)
        if damage is not None:
            text = f"{ledger.path}: {damage.problem}; see `{ledger.cure}`"
            findings.append(_finding("dose ledger", False, text))
        elif ledger.path.exists():
            findings.append(_finding("dose ledger", True, f"{ledger.path}: verifies"))
    return findings


def _disk() -> dict[str, Any]:
    free = shutil.disk_usage(Path.cwd()).free
    return _finding("disk", free > FREE_BYTES, f"{free / 1e9:.1f} GB free here")
