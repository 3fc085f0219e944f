"""Claims on devices: between processes, after a kill, and by which names a device is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devices import claims
from devices.claims import Claim, keys_of_tcp, keys_of_visa
from tacs.errors import DeviceBusy, DeviceNotFound, InputError

HOLD = """\
import sys
from devices.claims import Claim
held = Claim("device", sys.argv[1:])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own; what another process does is tested in the real one."""
    monkeypatch.setattr(claims, "FOLDER", tmp_path / "claims")
    return tmp_path / "claims"


def test_another_process_holds_it_until_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    key = f"test-{os.getpid()}"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, key], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdin is not None
    try:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(DeviceBusy, match=rf"^device: .*\(process {other.pid}\)"):
            Claim("device", [key])
        other.send_signal(signal.SIGKILL)
        other.wait()
        Claim("device", [key]).release()
    finally:
        other.kill()
        other.wait()
        other.stdin.close()
        other.stdout.close()


def test_all_or_nothing(folder: Path) -> None:
    first = Claim("a", ["tcp-b-1", "tcp-a-1"])
    with pytest.raises(DeviceBusy):
        Claim("b", ["tcp-0-1", "tcp-a-1", "tcp-z-1"])
    Claim("c", ["tcp-0-1", "tcp-z-1"]).release()
    assert folder.stat().st_mode & 0o7777 == 0o1777
    assert sorted(path.name for path in folder.iterdir()) == ["tcp-a-1", "tcp-b-1"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o666}
    first.release()
    first.release()
    assert not list(folder.iterdir())


def test_a_file_that_is_removed_meanwhile_claims_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, late = claims.take, []

    def slowly(fd: int, *, wait: bool) -> bool:
        if not late:
            late.append(fd)
            (folder / "x").unlink()  # by whoever let go of it in this very moment
        return take(fd, wait=wait)

    monkeypatch.setattr(claims, "take", slowly)
    held = Claim("a", ["x"])
    assert (folder / "x").exists()
    with pytest.raises(DeviceBusy):
        Claim("b", ["x"])
    held.release()


def test_what_was_left_by_the_dead_is_taken_over(folder: Path) -> None:
    folder.mkdir()
    (folder / "x").write_text("not a number")
    held = Claim("a", ["x"])
    assert (folder / "x").read_text() == str(os.getpid())
    held.release()


def test_without_a_place_nothing_is_claimed(folder: Path) -> None:
    folder.write_text("in the way")
    with pytest.raises(InputError, match=r"a: cannot be claimed .* second program") as refusal:
        Claim("a", ["x"])
    assert "\n" not in str(refusal.value)
    Claim("shared", []).release()


def test_a_link_in_its_place_is_not_followed(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("data")
    (folder / "x").symlink_to(precious)
    with pytest.raises(InputError, match="cannot be claimed"):
        Claim("a", ["x"])
    assert precious.read_text() == "data"


def test_another_place_for_all_claims_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"cannot be claimed .*claims"):
        Claim("a", ["x"])
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.1.1", "0.0.0.0", "::1"])
def test_this_computer_is_one(host: str) -> None:
    assert keys_of_tcp(host, 1235) == ["tcp-localhost-1235"]


def test_hosts() -> None:
    assert keys_of_tcp("10.0.0.7", 5555) == keys_of_tcp("::ffff:10.0.0.7", 5555)
    assert keys_of_tcp("10.0.0.7", 5555) != keys_of_tcp("10.0.0.7", 5556)
    with pytest.raises(DeviceNotFound, match="no such host"):
        keys_of_tcp("no..such.host", 1)


@pytest.mark.parametrize(
    ("address", "keys"),
    [
        ("USB0::0x1AB1::0x0642::DG1ZA1::INSTR", ["usb-1ab1-0642-DG1ZA1"]),
        ("usb::6833::1602::dg1za1::0::instr", ["usb-1ab1-0642-DG1ZA1"]),
        ("TCPIP0::10.0.0.7::5555::SOCKET", ["tcp-10.0.0.7-5555"]),
        ("TCPIP::10.0.0.7::INSTR", ["lan-10.0.0.7-INST0"]),
        ("TCPIP0::10.0.0.7::inst0::INSTR", ["lan-10.0.0.7-INST0"]),
        ("TCPIP0::10.0.0.7::hislip0::INSTR", ["lan-10.0.0.7-HISLIP0"]),
        ("GPIB::5::INSTR", ["visa-GPIB0-5-INSTR"]),
        ("GPIB0::5::INSTR", ["visa-GPIB0-5-INSTR"]),
        ("GPIB1::5::INSTR", ["visa-GPIB1-5-INSTR"]),
    ],
)
def test_visa_addresses(address: str, keys: list[str]) -> None:
    assert keys_of_visa(address) == keys
