"""Plain tables with one named column per channel, and ARFF."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import assess, load_recording
from analysis.readers import own_format
from tests.analysis.reading import gap_onsets, refused
from tests.data import recording

Array = NDArray[Any]


# --- plain tables ----------------------------------------------------------------------------


def table(
    path: Path, head: str, stamps: Array, fmt: str = "%.6f", mark: str = ",", last: bool = False
) -> Path:
    """Time column and two channels that tell the sample number."""
    i = np.arange(stamps.size)
    columns = [stamps, i, -i]
    if last:
        columns = [i, -i, stamps]
    rows = [mark.join(fmt % value for value in row) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


@pytest.mark.parametrize("rate", [125.0, 200.0, 256.0, 500.0, 1000.0])
@pytest.mark.parametrize(
    ("head", "scale", "fmt"),
    [
        ("time,O1,O2", 1.0, "%.3f"),
        ("time_s,O1,O2", 1.0, "%.6f"),
        ("Time (ms),O1,O2", 1e3, "%.0f"),
        ("timestamp_us,O1,O2", 1e6, "%.0f"),
    ],
)
def test_rate_from_a_time_column(
    tmp_path: Path, rate: float, head: str, scale: float, fmt: str
) -> None:
    stamps = np.arange(2000) / rate * scale
    got = load_recording(table(tmp_path / "a.csv", head, stamps, fmt))
    assert got.raw.info["sfreq"] == rate
    assert got.raw.ch_names == ["O1", "O2"]
    np.testing.assert_allclose(got.raw.get_data()[0] * 1e6, np.arange(2000))
    assert gap_onsets(got.raw) == []
    assert any("taken in seconds" in text for text in got.warnings) is (head == "time,O1,O2")


def test_tabs_semicolons_and_a_time_column_at_the_end(tmp_path: Path) -> None:
    stamps = 1.7e9 + np.arange(500) / 250
    tabs = table(tmp_path / "a.tsv", "O1\tO2\ttimestamps", stamps, mark="\t", last=True)
    got = load_recording(tabs)
    assert got.raw.info["sfreq"] == 250.0
    assert got.recorded_at == "2023-11-14T22:13:20+00:00"
    german = tmp_path / "b.csv"
    rows = [f"{i / 250:.3f};{i};{i}".replace(".", ",") for i in range(500)]
    german.write_text("\n".join(["Time;O1;O2", *rows]), encoding="utf-16")
    assert load_recording(german).raw.info["sfreq"] == 250.0
    packed = tmp_path / "c.tsv.gz"
    packed.write_bytes(gzip.compress(tabs.read_bytes()))
    np.testing.assert_array_equal(load_recording(packed).raw.get_data(), got.raw.get_data())


def test_units_in_names(tmp_path: Path) -> None:
    got = load_recording(table(tmp_path / "a.csv", "t [s],O1 (mV),O2_uV", np.arange(300) / 100))
    assert got.raw.ch_names == ["O1", "O2"]
    assert got.unit_known
    np.testing.assert_allclose(got.raw.get_data()[:, 2], [2e-3, -2e-6])


def test_gap_in_a_time_column(tmp_path: Path) -> None:
    stamps = np.arange(3000) / 250
    stamps[1000:] += 0.2
    got = load_recording(table(tmp_path / "a.csv", "time,O1,O2", stamps))
    assert got.raw.info["sfreq"] == 250.0
    np.testing.assert_allclose(gap_onsets(got.raw), [999 / 250])
    assert any("1 gap" in text and "0.2 s" in text for text in got.warnings)
    assert assess(got).usable_s == pytest.approx(12.0 - 2 / 250)


def test_time_columns_that_do_not_settle_the_rate(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    uneven = np.cumsum(rng.exponential(0.004, 1000))
    refused(table(tmp_path / "a.csv", "time,O1,O2", uneven), "not even", "--sfreq")
    assert load_recording(tmp_path / "a.csv", sfreq_hz=250.0).raw.info["sfreq"] == 250.0
    # Steps of 4 may be milliseconds, but nothing says so.
    refused(table(tmp_path / "b.csv", "time,O1,O2", np.arange(500) * 4.0), "steps of 4", "--sfreq")
    got = load_recording(tmp_path / "b.csv", sfreq_hz=250.0)
    assert gap_onsets(got.raw) == []
    refused(table(tmp_path / "c.csv", "sample,O1,O2", np.arange(500.0)), "--sfreq")
    refused(table(tmp_path / "d.csv", "time,O1,O2", np.arange(500.0)), "steps of 1", "--sfreq")
    path = table(tmp_path / "e.csv", "time_s,O1,O2", np.arange(900) / 250)
    got = load_recording(path, sfreq_hz=500)
    assert any("500 Hz" in text and "250 Hz" in text for text in got.warnings)
    refused(table(tmp_path / "f.csv", "time,O1,O2", np.arange(500) * 0.2), "5 Hz", "--sfreq")


def test_columns_that_are_no_electrodes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("O1,O2,label,state\n" + "1.0,2.0,3,rest\n" * 50)
    got = load_recording(path, sfreq_hz=100.0)
    assert got.raw.ch_names == ["O1", "O2", "label"]
    assert got.raw.get_channel_types() == ["eeg", "eeg", "misc"]
    assert any("state" in text for text in got.warnings)
    assert any("label" in text for text in got.warnings)
    path.write_text("ch1,ch2\n" + "1.0,2.0\n" * 50)
    got = load_recording(path, sfreq_hz=100.0)
    assert got.raw.get_channel_types() == ["eeg", "eeg"]
    assert any("named after an electrode" in text for text in got.warnings)


def test_tables_that_are_no_recording(tmp_path: Path) -> None:
    for name in ("participants.tsv", "sub-01_task-rest_channels.tsv"):
        path = tmp_path / name
        path.write_text("name\tx\nO1\t1\n")
        refused(path, "BIDS table")
    path = tmp_path / "a.csv"
    path.write_text("time,who\n0.0,me\n0.1,you\n")
    refused(path, "no column of numbers")
    path = tmp_path / "b.csv.gz"
    path.write_bytes(gzip.compress(b"O1,O2\n" + b"1,2\n" * 99)[:-9])
    refused(path, "damaged or cut off")


# --- ARFF ------------------------------------------------------------------------------------


def arff(path: Path, rows: list[str], comment: str = "", kinds: str = "NUMERIC") -> Path:
    head = [comment, "@RELATION eeg", "", f"@ATTRIBUTE O1 {kinds}", f"@attribute 'O2' {kinds}"]
    path.write_text("\n".join([*head, "@ATTRIBUTE eyes {0,1}", "@DATA", *rows]) + "\n")
    return path


def test_arff(tmp_path: Path) -> None:
    rows = [f"{i}.5,-{i},{int(i >= 40)}" for i in range(100)]
    refused(arff(tmp_path / "a.arff", rows), "sampling rate", "--sfreq")
    got = load_recording(arff(tmp_path / "a.arff", [*rows, "% end"]), sfreq_hz=100.0)
    assert got.raw.ch_names == ["O1", "O2"]
    assert not got.unit_known
    np.testing.assert_allclose(got.raw.get_data()[0] * 1e6, np.arange(100) + 0.5)
    assert list(got.raw.annotations.description) == ["eyes=0", "eyes=1"]
    np.testing.assert_allclose(got.raw.annotations.onset, [0.0, 0.4])
    np.testing.assert_allclose(got.raw.annotations.duration, [0.4, 0.6])
    stated = arff(tmp_path / "b.arff", rows, "% sampling rate: 128 Hz")
    assert load_recording(stated).raw.info["sfreq"] == 128.0
    holes = arff(tmp_path / "c.arff", [*rows[:50], "?,1,0", *rows[50:]], "% sampled at 128 Hz")
    assert np.isnan(load_recording(holes).raw.get_data()[0, 50])


def test_arff_that_cannot_be_read(tmp_path: Path) -> None:
    refused(arff(tmp_path / "a.arff", ["{0 1, 1 2}"] * 5), "sparse", sfreq_hz=10.0)
    refused(arff(tmp_path / "b.arff", ["1,2,0"] * 5, kinds="STRING"), "numeric", sfreq_hz=10.0)
    refused(arff(tmp_path / "c.arff", ["1,2,0", "1"]), "row 2 has 1 of 3", sfreq_hz=10.0)
    path = tmp_path / "d.arff"
    path.write_text("@RELATION eeg\n@ATTRIBUTE O1 NUMERIC\n")
    refused(path, "@DATA", sfreq_hz=10.0)


def test_real_arff() -> None:
    path = recording("eye_state_uci/EEG_Eye_State.arff")
    refused(path, "sampling rate", "Emotiv EPOC", "128 Hz")
    got = load_recording(path, sfreq_hz=128.0)
    assert got.raw.get_channel_types() == ["eeg"] * 14
    assert got.raw.n_times == 14980
    assert len(got.raw.annotations) == 24
    assert {"AF3", "O1", "O2", "AF4"} <= set(got.raw.ch_names)


def test_kinds_that_mne_does_not_read() -> None:
    for name in ("a.xdf", "a.xdf.gz", "a.easy", "a.EASY.GZ", "a.arff", "a.csv", "a.tsv.gz"):
        assert own_format(Path(name))
    for name in ("a.edf", "a_raw.fif.gz", "a.vhdr", "a.nedf", "a"):
        assert not own_format(Path(name))
