"""The command line: its contract, and what it says to twenty bad inputs."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import io as analysis_io
from devices.participant import VirtualParticipant
from tacs import cli, planning, session
from tacs.cli import call
from tacs.clock import utc_now
from tacs.session import State
from tests.data import ROOT, recording
from tests.tacs.made import protocol as made_protocol
from tests.tacs.made import protocol_data


def tacs(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = call([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def tacs_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    code, out, _ = tacs(capsys, *arguments, "--json")
    return code, json.loads(out)


@pytest.fixture(scope="module")
def eeg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("eeg") / "rest_raw.fif"
    VirtualParticipant(seed=1).record(90.0).save(path, verbose="ERROR")
    return path


COMMANDS = (
    "import", "peak", "recipes", "plan", "check", "limits", "schema", "devices", "run", "recover",
    "compare", "report", "demo", "doctor", "verify", "screen", "consent", "preflight", "adverse",
    "identify", "override", "card", "journal", "stop", "attach", "blind", "course", "ledger",
    "calibrate", "clean", "group",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str):
    code, out, _ = tacs(capsys, command, "--help")
    assert code == 0
    assert "Usage: tacs" in out


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from tacs.cli import call; call(['run', '--help']);"
        "print([m for m in ('mne', 'scipy', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_loads_the_module_of_no_other():
    code = (
        "import sys; from tacs.cli import call; call(['doctor', '--help']);"
        "print(sorted(m for m in sys.modules if m.startswith('tacs.commands.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "['tacs.commands.upkeep']"


def test_the_help_has_every_command(capsys: pytest.CaptureFixture[str]):
    code, out, _ = tacs(capsys, "--help")
    assert code == 0
    for name in cli.COMMANDS:
        assert f"\n  {name} " in out


def test_the_chain_by_its_commands(capsys: pytest.CaptureFixture[str], tmp_path: Path, eeg: Path):
    peak, protocol, data = tmp_path / "peak.json", tmp_path / "protocol.toml", tmp_path / "data"
    code, found = tacs_json(capsys, "peak", eeg, "--subject", "P01", "--out", peak)
    assert (code, found["status"], found["subject"]) == (0, "found", "P01")
    assert set(found) >= {
        "status", "frequency_hz", "ci95_hz", "center_of_gravity_hz", "prominence_db",
        "n_channels_used", "channels", "seconds_used", "aperiodic_exponent", "warnings",
        "reasons", "subject", "recording", "recording_sha256", "measured_at", "method",
    }  # fmt: skip
    code, planned = tacs_json(
        capsys, "plan", "--peak", peak, "--recipe", "posterior-alpha", "--out", protocol,
        "--rig", "emulated-synthpal",
    )  # fmt: skip
    assert (code, planned["breaches"]) == (0, [])
    assert planned["achieved_frequency_hz"] == pytest.approx(found["frequency_hz"], abs=0.005)
    device = ("--device", "emulated:synthpal")
    code, checked = tacs_json(capsys, "check", protocol, *device, "--subject", "P01")
    assert (code, checked["ok"]) == (0, True)
    where = ("--subject", "P01", "--session", "01", "--out", data)
    for when in ("pre", "post"):
        code, imported = tacs_json(capsys, "import", eeg, *where, "--when", when)
        assert code == 0
        assert Path(imported["path"]).exists()
    code, ran = tacs_json(capsys, "run", protocol, *device, *where, "--clock", "virtual")
    assert (code, ran["outcome"]) == (0, "done")
    assert set(ran["delivered"]) >= {
        "duration_s", "frequency_hz", "current_peak_ma", "electrodes", "rectified_charge_c",
    }  # fmt: skip
    code, compared = tacs_json(capsys, "compare", eeg, eeg, "--peak", peak)
    assert (code, compared["direction"]) == (0, "none")
    assert compared["power"]["ln_ratio"] == 0.0
    code, recovered = tacs_json(capsys, "recover", data)
    assert (code, recovered) == (0, {"sessions": [], "damaged": []})
    code, written = tacs_json(capsys, "report", data, "--subject", "P01", "--session", "01")
    assert code == 0
    assert Path(written["path"]).stat().st_size > 10_000


def test_somebody_elses_peak_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, eeg: Path
):
    peak, out = tmp_path / "peak.json", tmp_path / "p.toml"
    tacs(capsys, "peak", eeg, "--subject", "P01", "--out", peak)
    plan = ("plan", "--peak", peak, "--recipe", "posterior-alpha", "--out", out)
    code, told = tacs_json(capsys, *plan, "--subject", "P02")
    assert (code, [b["limit"] for b in told["breaches"]]) == (4, ["peak_subject"])
    assert not out.exists()
    assert tacs(capsys, *plan)[0] == 0
    code, told = tacs_json(
        capsys, "run", out, "--device", "emulated:synthpal", "--subject", "P02", "--session",
        "01", "--out", tmp_path / "data", "--clock", "virtual",
    )  # fmt: skip
    assert (code, [b["limit"] for b in told["breaches"]]) == (4, ["peak_subject"])


def test_an_expired_peak_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, eeg: Path):
    peak, out = tmp_path / "peak.json", tmp_path / "p.toml"
    tacs(capsys, "peak", eeg, "--subject", "P01", "--out", peak)
    data = json.loads(peak.read_text())
    data["measured_at"] = utc_now().replace(year=utc_now().year - 1).isoformat()
    peak.write_text(json.dumps(data))
    code, told = tacs_json(
        capsys, "plan", "--peak", peak, "--recipe", "posterior-alpha", "--out", out
    )
    assert (code, [b["limit"] for b in told["breaches"]]) == (4, ["peak_age_d"])
    assert not out.exists()


def test_six_limits_at_once(capsys: pytest.CaptureFixture[str]):
    code, told = tacs_json(
        capsys, "check", ROOT / "examples/protocols/six-breaches.toml", "--device",
        "emulated:synthpal",
    )  # fmt: skip
    assert code == 4
    assert len(told["breaches"]) == 6
    for breach in told["breaches"]:
        assert set(breach) >= {"limit", "value", "allowed", "unit", "source"}


def test_no_peak_is_exit_three_with_reasons(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    import mne

    noise = np.random.default_rng(5).standard_normal((4, 250 * 60)) * 1e-5
    raw = mne.io.RawArray(
        noise, mne.create_info(["O1", "O2", "Pz", "Cz"], 250.0, "eeg"), verbose="ERROR"
    )
    raw.save(tmp_path / "noise_raw.fif", verbose="ERROR")
    code, told = tacs_json(capsys, "peak", tmp_path / "noise_raw.fif", "--out", tmp_path / "p.json")
    assert (code, told["frequency_hz"]) == (3, None)
    assert told["reasons"]
    code, _, err = tacs(
        capsys, "plan", "--peak", tmp_path / "p.json", "--recipe", "posterior-alpha", "--out",
        tmp_path / "out.toml",
    )  # fmt: skip
    assert code == 3
    assert not (tmp_path / "out.toml").exists()
    assert len(err.strip().splitlines()) == 1


def test_a_fault_is_exit_five_and_json_stays_one_object(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    made_protocol(duration_s=60.0).to_toml(tmp_path / "p.toml")
    code, told = tacs_json(
        capsys, "run", tmp_path / "p.toml", "--device", "emulated:synthpal", "--subject", "P01",
        "--session", "01", "--out", tmp_path / "data", "--clock", "virtual", "--fault", "reboot@35",
    )  # fmt: skip
    assert (code, told["outcome"]) == (5, "fault")
    assert told["cause"]


def test_recover_tells_of_a_damaged_record(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    made_protocol(duration_s=60.0).to_toml(tmp_path / "p.toml")
    run = (
        "run", tmp_path / "p.toml", "--device", "emulated:synthpal", "--subject", "P01",
        "--session", "01", "--out", tmp_path / "data", "--clock", "virtual",
    )  # fmt: skip
    assert tacs(capsys, *run)[0] == 0
    record = next(tmp_path.glob("data/**/*_record.jsonl"))
    record.write_bytes(record.read_bytes().replace(b'"level":0.1', b'"level":0.0', 1))
    code, told = tacs_json(capsys, "recover", tmp_path / "data")
    assert code == 5
    assert [s["outcome"] for s in told["sessions"]] == ["damaged"]


def test_devices_and_recipes_and_limits(capsys: pytest.CaptureFixture[str]):
    _, told = tacs_json(capsys, "devices")
    assert {(d["name"], d["verified"]) for d in told["devices"]} >= {
        ("synthpal", False),
        ("emulated:synthpal", False),
    }
    _, told = tacs_json(capsys, "recipes")
    for recipe in told["recipes"]:
        assert set(recipe) >= {"name", "waveform", "sham", "evidence", "expected_direction"}
    _, told = tacs_json(capsys, "limits")
    assert all(row["source"] and row["unit"] for row in told["limits"])
    _, told = tacs_json(capsys, "schema", "protocol")
    assert told["properties"]["frequency_hz"]["unit"] == "Hz"


def test_verify_kernel(capsys: pytest.CaptureFixture[str]):
    code, told = tacs_json(capsys, "verify", "kernel", "--sequences", "1000", "--seed", "4")
    assert (code, told["sequences"], told["violations"]) == (0, 1000, 0)
    assert set(told["states"]) == {state.value for state in State}


def test_verify_kernel_can_fail(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    row = {**session.TRANSITIONS[State.FAULT], session.Trigger.RESUME: State.RAMP_UP}
    table = {**session.TRANSITIONS, State.FAULT: row}
    monkeypatch.setattr(session, "TRANSITIONS", table)
    code, told = tacs_json(capsys, "verify", "kernel", "--sequences", "300")
    assert code == 5
    assert told["by_rule"]["a fault latches"] > 0
    assert "sequence" in told["first"]


def test_what_a_library_prints_does_not_get_into_the_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def chatty() -> dict[str, Any]:
        sys.stdout.write("a library says hello\n")
        return {}

    monkeypatch.setattr(planning, "recipes", chatty)
    code, out, err = tacs(capsys, "recipes", "--json")
    assert (code, json.loads(out)) == (0, {"recipes": []})
    assert "hello" in err


def test_usage_errors_are_exit_two(capsys: pytest.CaptureFixture[str]):
    for arguments in (
        ["peek"],
        ["peak"],
        ["run", "x"],
        ["schema", "soup"],
        ["peak", "--bond", "7"],
    ):
        code, _, err = tacs(capsys, *arguments)
        assert code == 2
        assert err.strip()


# -- twenty bad inputs ----------------------------------------------------------------------------


def edf_bytes(eeg: Path) -> bytes:
    import mne

    path = eeg.parent / "rest.edf"
    if not path.exists():
        raw = mne.io.read_raw_fif(eeg, preload=True, verbose="ERROR").crop(0.0, 40.0 - 1 / 250)
        with warnings.catch_warnings(action="ignore"):  # EDF rounds, which MNE points out
            raw.export(path, verbose="ERROR")
    return path.read_bytes()


def save(path: Path, signals: np.ndarray[Any, Any], sfreq_hz: float = 250.0) -> None:
    import mne

    names = ["O1", "O2", "Pz", "Cz"][: len(signals)]
    info = mne.create_info(names, sfreq_hz, "eeg")
    mne.io.RawArray(signals, info, verbose="ERROR").save(path, verbose="ERROR")


def noise(seconds: float, sfreq_hz: float = 250.0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).standard_normal((4, int(seconds * sfreq_hz))) * 1e-5


def bad_recordings(folder: Path, eeg: Path) -> dict[str, tuple[Path, int]]:
    made = {
        "missing": (folder / "missing.edf", 2),
        "empty": (folder / "empty.edf", 2),
        "truncated": (folder / "truncated.edf", 2),
        "wrong extension": (folder / "text.edf", 2),
        "a picture": (folder / "picture.png", 2),
        "a folder": (folder / "folder", 2),
        "flat": (folder / "flat_raw.fif", 3),
        "all bad": (folder / "allbad_raw.fif", 3),
        "five seconds": (folder / "short_raw.fif", 3),
        "one hertz": (folder / "slow_raw.fif", 3),
    }
    (folder / "empty.edf").write_bytes(b"")
    (folder / "truncated.edf").write_bytes(edf_bytes(eeg)[:5000])
    (folder / "text.edf").write_text("this is not an EDF file\n" * 50)
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    (folder / "folder").mkdir()
    save(folder / "flat_raw.fif", np.zeros((4, 250 * 60)))
    saturated = np.sign(noise(60.0)) * 2e-4
    save(folder / "allbad_raw.fif", saturated)
    save(folder / "short_raw.fif", noise(5.0))
    save(folder / "slow_raw.fif", noise(90.0, 1.0), 1.0)
    return made


def test_bad_recordings(capsys: pytest.CaptureFixture[str], tmp_path: Path, eeg: Path):
    for name, (path, expected) in bad_recordings(tmp_path, eeg).items():
        code, out, err = tacs(capsys, "peak", path)
        assert code == expected, (name, out, err)
        said = err if expected == 2 else out
        assert said.strip(), name
        assert "Traceback" not in out + err
        if expected == 2:
            assert len(err.strip().splitlines()) == 1, (name, err)
            assert path.name in err, (name, err)


def test_a_nan_channel_is_left_out_and_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, eeg: Path
):
    import mne

    raw = mne.io.read_raw_fif(eeg, preload=True, verbose="ERROR")
    raw.apply_function(lambda x: x * np.nan, picks=["O1"], verbose="ERROR")
    raw.save(tmp_path / "nan_raw.fif", verbose="ERROR")
    code, told = tacs_json(capsys, "peak", tmp_path / "nan_raw.fif")
    assert code == 0
    assert "O1" not in told["channels"]
    assert any("O1" in warning for warning in told["warnings"])


def test_unreadable_permissions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, eeg: Path
):
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(eeg))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(analysis_io.Path, "read_bytes", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    code, _, err = tacs(capsys, "peak", eeg)
    monkeypatch.undo()
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "ermission" in err


def test_annotations_only(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """An EDF+ file that holds nothing but its annotation channel."""
    path = tmp_path / "notes.edf"
    head = b"0       " + b"X X X X".ljust(80) + b"Startdate X X X X".ljust(80)
    head += b"01.01.2601.00.00" + b"512".ljust(8) + b"EDF+C".ljust(44) + b"2".ljust(8)
    head += b"1".ljust(8) + b"1".ljust(4)
    fields = [
        (b"EDF Annotations", 16), (b"", 80), (b"", 8), (b"-1", 8), (b"1", 8), (b"-32768", 8),
        (b"32767", 8), (b"", 80), (b"20", 8), (b"", 32),
    ]  # fmt: skip
    head += b"".join(value.ljust(width) for value, width in fields)
    records = b"".join((f"+{i}\x14\x14".encode()).ljust(40, b"\0") for i in range(2))
    path.write_bytes(head + records)
    code, _, err = tacs(capsys, "peak", path)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "notes.edf" in err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"frequency": 10.0}, "frequency_hz"),
        ({"frequency_hz": float("nan")}, "finite"),
        ({"duration_s": "long"}, "number"),
    ],
)
def test_bad_protocols(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: dict[str, Any], says: str
):
    import tomli_w

    (tmp_path / "p.toml").write_text(tomli_w.dumps(protocol_data(**change)))
    code, _, err = tacs(capsys, "check", tmp_path / "p.toml", "--device", "emulated:synthpal")
    assert code == 2
    assert says in err
    assert "p.toml" in err


@pytest.mark.parametrize(
    ("electrodes", "loop", "says"),
    [
        (["Oz", "Cz"], ("Oz", "Xz", 1.0), "not declared"),
        (["Oz", "Qz"], ("Oz", "Qz", 1.0), "not a 10-10 site"),
        (["Oz", "Cz", "Oz"], ("Oz", "Cz", 1.0), "declared 2 times"),
        (["Oz", "Cz"], ("Oz", "Cz", -1.0), "more than 0"),
    ],
)
def test_bad_montages(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    electrodes: list[str],
    loop: tuple[str, str, float],
    says: str,
):
    import tomli_w

    montage = {
        "electrodes": [
            {"name": name, "area_cm2": 25.0, "material": "hydrogel"} for name in electrodes
        ],
        "loops": [{"source": loop[0], "sink": loop[1], "current_peak_ma": loop[2]}],
    }
    (tmp_path / "p.toml").write_text(tomli_w.dumps(protocol_data(montage=montage)))
    code, _, err = tacs(capsys, "check", tmp_path / "p.toml", "--device", "emulated:synthpal")
    assert code == 2
    assert says in err


def test_bad_toml(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "p.toml").write_text("name = [unclosed\n")
    code, _, err = tacs(capsys, "check", tmp_path / "p.toml", "--device", "emulated:synthpal")
    assert code == 2
    assert "not valid TOML" in err
    assert len(err.strip().splitlines()) == 1


def run_arguments(folder: Path, device: str) -> list[object]:
    made_protocol(duration_s=60.0).to_toml(folder / "p.toml")
    rig = (ROOT / "tacs/rigs/emulated-synthpal.toml").read_text()
    (folder / "rig.toml").write_text(rig.replace("emulated = true", "emulated = false"))
    return [
        "run", folder / "p.toml", "--device", device, "--rig", folder / "rig.toml", "--subject",
        "P01", "--session", "01", "--out", folder / "data", "--confirm", "P01:00000000",
    ]  # fmt: skip


def test_device_absent(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    code, _, err = tacs(capsys, *run_arguments(tmp_path, "synthpal:/dev/no-such-port"))
    assert code == 2
    assert "no-such-port" in err.splitlines()[-1]


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
def test_device_busy(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    from devices.transport import open_transport

    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    held = open_transport(name)
    try:
        code, _, err = tacs(capsys, *run_arguments(tmp_path, f"synthpal:{name}"))
    finally:
        held.close()
        os.close(ours)
        os.close(theirs)
    assert code == 2
    assert name in err.splitlines()[-1]


def test_disk_full(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real_write = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) > 16_000:  # the record's reserve
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(fd, data)

    made_protocol(duration_s=60.0).to_toml(tmp_path / "p.toml")
    monkeypatch.setattr(os, "write", full)
    code, _, err = tacs(
        capsys, "run", tmp_path / "p.toml", "--device", "emulated:synthpal", "--subject", "P01",
        "--session", "01", "--out", tmp_path / "data", "--clock", "virtual",
    )  # fmt: skip
    assert code == 2
    assert "No space left on device" in err


def test_a_stale_confirmation_does_not_arm(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Over a real port (a pseudo-terminal) with the emulator behind it, no byte may start it."""
    from tacs.driver import find_emulator

    device = find_emulator("synthpal").as_process(
        ROOT / "tacs/rigs/emulated-synthpal.toml", ["Oz", "Cz"], tmp_path / "scope.tsv.gz", []
    )
    code, _, err = tacs(capsys, *run_arguments(tmp_path, f"synthpal:{device.address}"))
    info = device.finish()
    assert code == 2
    assert "not armed" in err
    from tacs.dose import read_trace

    assert info is None or np.abs(read_trace(info.path, 2)).max(initial=0.0) == 0.0


def test_real_eyes_closed(capsys: pytest.CaptureFixture[str]):
    code, told = tacs_json(capsys, "peak", recording("eegmmidb_s001/S001R02.edf"))
    assert code == 0
    assert told["frequency_hz"] == pytest.approx(9.96, abs=0.2)
