"""EEG over BrainFlow, from its own synthetic board and its playback of a file, in real time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from devices import eeg_brainflow
from devices.eeg import Block
from devices.eeg_brainflow import BrainFlowEEG
from tacs.clock import MonotonicClock, VirtualClock
from tacs.errors import DeviceNotFound, InputError, LinkLost

try:
    shim = eeg_brainflow._library()
except InputError:
    pytest.skip("BrainFlow is not installed (extra live)", allow_module_level=True)
from tests.missing import without


def blocks_of(source: BrainFlowEEG, n: int) -> list[Block]:
    found: list[Block] = []
    for _ in range(5000):
        if sum(map(len, found)) >= n:
            return found
        found.append(source.read(1.0))
    raise AssertionError(f"only {sum(map(len, found))} of {n} samples came")


def test_the_synthetic_board() -> None:
    clock = MonotonicClock()
    with BrainFlowEEG(clock, "synthetic") as source:
        info = source.info
        assert info.sfreq_hz == 250.0
        assert info.channels[:4] == ("Fz", "C3", "Cz", "C4")
        blocks = blocks_of(source, 500)
        now_s = clock.now_s()
        timing = source.timing
    signal_uv = np.concatenate([block.signal_uv for block in blocks], axis=1)
    times_s = np.concatenate([block.times_s for block in blocks])
    # The board plays a sine of 10 Hz in C3, 20 µV SD as its authors made it.
    c3 = signal_uv[1] - signal_uv[1].mean()
    power = np.abs(np.fft.rfft(c3 * np.hanning(len(c3)))) ** 2
    assert np.fft.rfftfreq(len(c3), 1 / 250)[power.argmax()] == pytest.approx(10.0, abs=0.5)
    assert 15.0 < c3.std() < 25.0
    assert (np.diff(times_s) > 0.0).all()
    assert -0.1 < now_s - times_s[-1] < 10.0
    assert (timing.n_missing, timing.n_restarts) == (0, 0)
    assert timing.smallest_gap_s == pytest.approx(1 / 250)


def test_channels_by_name_and_number_of_the_board() -> None:
    with BrainFlowEEG(MonotonicClock(), -1, channels=["Oz", "Pz"], unit="mV") as source:
        assert source.info.channels == ("Oz", "Pz")
        assert source.info.uv_per_unit == (1e3, 1e3)
        assert "Fz" in source.info.left_out
        assert blocks_of(source, 50)[0].signal_uv.shape[0] == 2
    with pytest.raises(LinkLost, match="closed"):
        source.read(0.0)


def test_playback_of_what_was_written(tmp_path: Path) -> None:
    n, rows = 750, shim.BoardShim.get_num_rows(-1)
    data = np.zeros((rows, n))
    data[0] = np.arange(n) % 256
    data[1:17] = np.arange(n) % 100
    data[30] = 1e9 + np.arange(n) / 250.0
    kept = np.delete(data, np.arange(300, 307), axis=1)  # seven packages are lost
    path = tmp_path / "played.csv"
    np.savetxt(path, kept.T, delimiter="\t", fmt="%.6f")
    source = BrainFlowEEG(
        MonotonicClock(),
        "playback_file",
        parameters={"file": str(path), "master_board": "synthetic"},
    )
    with source:
        blocks = [block for block in blocks_of(source, 600) if len(block)]
        timing = source.timing
    assert timing.n_missing == 7
    assert timing.n_gaps == 1
    joined = np.concatenate([block.signal_uv[0] for block in blocks])
    wanted = np.concatenate([np.arange(300), np.arange(307, 750)]) % 100
    assert joined == pytest.approx(wanted[: len(joined)])


@pytest.mark.parametrize(
    ("board", "options", "error", "message"),
    [
        ("nothing", {}, DeviceNotFound, "no board 'nothing'; there are .*cyton.*synthetic"),
        ("99", {}, DeviceNotFound, "no board '99'"),
        ("synthetic", {"parameters": {"colour": "red"}}, InputError, "no parameter 'colour'"),
        ("synthetic", {"parameters": {"ip_port": "x"}}, InputError, "write a number"),
        ("synthetic", {"names": ["Oz"]}, InputError, "has 16 EEG channels, and 1 names"),
        ("synthetic", {"channels": ["A9"]}, InputError, "no channel A9"),
        ("playback_file", {}, InputError, "give master_board"),
        ("cyton", {"parameters": {"serial_port": "/dev/none"}}, DeviceNotFound, "cannot be opened"),
    ],
)
def test_refused(board: str, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        BrainFlowEEG(MonotonicClock(), board, **options).open()


def test_real_time_only() -> None:
    with pytest.raises(InputError, match="use --clock real"):
        BrainFlowEEG(VirtualClock(), "synthetic").open()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "brainflow")
    with pytest.raises(InputError, match=r"pip install 'tacs-suite\[live\]'"):
        BrainFlowEEG(MonotonicClock(), "synthetic").open()
