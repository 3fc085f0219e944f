"""Text recordings of Neuroelectrics: `.easy` with `.info`."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import RecordingError, find_peak, load_recording
from tests.analysis.reading import gap_onsets, refused
from tests.analysis.simulate import make_eeg

Array = NDArray[Any]


# --- Neuroelectrics --------------------------------------------------------------------------

ELECTRODES = ("Fp1", "Fp2", "C3", "C4", "P3", "P4", "O1", "O2")
INFO = """Step Details
Info Version: 1.2
StartDate (firstEEGtimestamp): 1724760000000
Device class: ENOBIO

EEG Settings
Total number of channels: 8
Number of EEG channels: 8
Number of records of EEG: {samples}
EEG sampling rate: 500 Samples/second
Number of packets lost: {lost}
EEG units: nV
EEG montage:
{montage}
Accelerometer data: ON

Trigger information:
\tCode\tDescription
\t1\teyes open
\t2\teyes closed
\t3
"""


def easy(
    path: Path,
    data_nv: Array,
    *,
    extra: int = 3,
    trigger: dict[int, int] | None = None,
    stamps: Array | None = None,
    info: bool = True,
    **said: object,
) -> Path:
    n = data_nv.shape[1]
    codes = np.zeros(n)
    for at, code in (trigger or {}).items():
        codes[at] = code
    when = 1724760000000 + 2.0 * np.arange(n) if stamps is None else stamps
    rows = np.vstack([data_nv, np.full((extra, n), 9810.0), codes, when])
    np.savetxt(path, rows.T, fmt="%d", delimiter="\t")
    if info:
        lines = "\n".join(f"\tChannel {i + 1}: {name}" for i, name in enumerate(ELECTRODES))
        text = INFO.format(**{"samples": n, "lost": 0, "montage": lines} | said)
        path.with_suffix(".info").write_text(text)
    return path


def nanovolts(n: int = 2000, channels: int = 8) -> Array:
    return np.asarray(np.arange(channels)[:, None] * 1e5 + np.arange(n)[None, :])


@pytest.mark.parametrize("extra", [0, 1, 3, 4])
def test_easy(tmp_path: Path, extra: int) -> None:
    path = easy(tmp_path / "a.easy", nanovolts(), extra=extra, trigger={100: 2, 500: 7})
    got = load_recording(path)
    assert got.raw.info["sfreq"] == 500.0
    assert got.raw.ch_names[:8] == list(ELECTRODES)
    assert got.raw.get_channel_types() == ["eeg"] * 8 + ["misc"] * extra
    np.testing.assert_allclose(got.raw.get_data()[1], (1e5 + np.arange(2000)) * 1e-9)
    assert got.recorded_at == "2024-08-27T12:00:00+00:00"
    assert got.warnings == ()
    assert list(got.raw.annotations.description) == ["eyes closed", "trigger 7"]
    onset = got.raw.annotations.onset - got.raw.first_time
    np.testing.assert_allclose(onset, [0.2, 1.0], atol=1e-6)


def test_easy_packed_and_digest_covers_info(tmp_path: Path) -> None:
    path = easy(tmp_path / "a.easy", nanovolts())
    packed = tmp_path / "a.easy.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    got = load_recording(packed)
    np.testing.assert_array_equal(got.raw.get_data(), load_recording(path).raw.get_data())
    (tmp_path / "a.info").write_text((tmp_path / "a.info").read_text().replace("O2", "Oz"))
    assert load_recording(packed).sha256 != got.sha256


@pytest.mark.parametrize("channels", [8, 20, 32])
def test_easy_without_info(tmp_path: Path, channels: int) -> None:
    got = load_recording(easy(tmp_path / "a.easy", nanovolts(channels=channels), info=False))
    assert got.raw.info["sfreq"] == 500.0
    assert got.raw.get_channel_types().count("eeg") == channels
    assert got.raw.ch_names[0] == "Ch1"
    assert any("a.info is not beside" in text for text in got.warnings)


def test_easy_gaps_and_lost_packets(tmp_path: Path) -> None:
    stamps = 1724760000000 + 2.0 * np.arange(2000)
    stamps[1200:] += 60.0
    path = easy(tmp_path / "a.easy", nanovolts(), stamps=stamps, lost=30)
    got = load_recording(path)
    np.testing.assert_allclose(gap_onsets(got.raw), [1199 / 500], atol=1e-6)
    assert any("30 packets" in text for text in got.warnings)
    assert any("0.06 s missing" in text for text in got.warnings)
    slow = easy(tmp_path / "b.easy", nanovolts(), stamps=1724760000000 + 4.0 * np.arange(2000))
    got = load_recording(slow)
    assert any("500 Hz" in text and "250 Hz" in text for text in got.warnings)


def test_easy_during_stimulation(tmp_path: Path) -> None:
    montage = "Stimulation parameters:\n"
    roles = {"C3": "Stimulation Anodal", "P4": "Return"}
    for i, name in enumerate(ELECTRODES):
        montage += f"Channel {i + 1}: \n Position: {name}\n"
        montage += f" Type: {roles.get(name, 'EEG Recording')}\n"
    got = load_recording(easy(tmp_path / "a.easy", nanovolts(), montage=montage))
    kinds = dict(zip(got.raw.ch_names, got.raw.get_channel_types(), strict=True))
    assert [name for name in ELECTRODES if kinds[name] != "eeg"] == ["C3", "P4"]
    assert any("during stimulation through C3, P4" in text for text in got.warnings)


def test_easy_that_cannot_be_read(tmp_path: Path) -> None:
    refused(easy(tmp_path / "a.easy", nanovolts(), samples=2500), "cut off", "2500", "copy")
    refused(easy(tmp_path / "c.easy", nanovolts(channels=20)), "25 columns", "c.info")
    refused(easy(tmp_path / "e.easy", nanovolts(channels=12), info=False), "no Neuroelectrics")
    cut = easy(tmp_path / "f.easy", nanovolts())
    cut.write_text(cut.read_text()[:-30])
    refused(cut, "numbers", "cut off")
    text = (tmp_path / "f.info").read_text()
    (tmp_path / "f.info").write_text(text[: text.index("Channel 5")])
    with pytest.raises(RecordingError, match=r"f\.info names 4 of 8 channels"):
        load_recording(tmp_path / "f.easy")
    refused(tmp_path / "f.info", "f.easy", "part of")
    blank = tmp_path / "g.easy"
    blank.write_text("\n\n")
    refused(blank, "empty")


def test_peak_of_a_made_easy_file(tmp_path: Path) -> None:
    made = make_eeg(4, peak_hz=9.6, duration_s=60.0, sfreq_hz=500.0, ch_names=ELECTRODES)
    found = find_peak(load_recording(easy(tmp_path / "a.easy", np.round(made.data_v * 1e9))))
    assert found.frequency_hz == pytest.approx(9.6, abs=0.3)
