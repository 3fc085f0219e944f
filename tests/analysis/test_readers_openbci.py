"""Text recordings of the OpenBCI GUI and of BrainFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import load_recording
from tests.analysis.reading import gap_onsets, refused

Array = NDArray[Any]


# --- OpenBCI GUI -----------------------------------------------------------------------------


def gui4(
    path: Path,
    counter: Array,
    rate: float,
    channels: int,
    *,
    said: bool = True,
    unix: bool = True,
    comma: bool = False,
    aux: int = 3,
) -> Path:
    """Version 4 and earlier: no column names; `comma` as a German computer wrote it before 2.0."""
    head = [
        "%OpenBCI Raw EEG Data",
        f"%Number of channels = {channels}" if said else "%",
        f"%Sample Rate = {rate:.1f} Hz",
        "%First Column = SampleIndex",
        "%Last Column = Timestamp ",
        "%Other Columns = EEG data in microvolts followed by Accel Data (in G)",
    ]
    rows = []
    for i, count in enumerate(counter):
        values = [f"{100 * c + i % 50:.2f}" for c in range(channels)] + ["0.001"] * aux
        if comma:
            values = [value.replace(".", ",") for value in values]
        ends = ["15:31:23.878", f"{1520000000000 + round(1000 * i / rate)}"] if unix else []
        rows.append(", ".join([f"{count:.0f}", *values, *ends]))
    path.write_text("\n".join([*head, *rows]) + "\n")
    return path


def cyton(n: int) -> Array:
    return np.asarray(np.arange(n) % 256, dtype=float)


@pytest.mark.parametrize(
    ("rate", "channels", "counter"),
    [
        (250.0, 8, cyton(600)),
        (125.0, 16, np.arange(0, 1200, 2) % 256.0),
        (200.0, 4, np.repeat(101.0 + np.arange(300) % 100, 2)),
    ],
    ids=["Cyton", "Daisy", "Ganglion"],
)
@pytest.mark.parametrize("said", [True, False])
def test_gui_4(tmp_path: Path, rate: float, channels: int, counter: Array, said: bool) -> None:
    got = load_recording(gui4(tmp_path / "a.txt", counter, rate, channels, said=said))
    assert got.raw.info["sfreq"] == rate
    assert got.raw.ch_names == [str(i + 1) for i in range(channels)]
    assert got.unit_known
    assert got.recorded_at == "2018-03-02T14:13:20+00:00"
    assert not any("lost" in text for text in got.warnings)
    want = 100.0 * (channels - 1) + np.arange(counter.size) % 50
    np.testing.assert_allclose(got.raw.get_data()[-1] * 1e6, want)


def test_gui_before_2_with_decimal_commas_and_without_dates(tmp_path: Path) -> None:
    path = gui4(tmp_path / "a.txt", cyton(300), 250.0, 8, said=False, unix=False, comma=True)
    got = load_recording(path)
    assert got.recorded_at is None
    np.testing.assert_allclose(got.raw.get_data()[1] * 1e6, 100.0 + np.arange(300) % 50)


@pytest.mark.parametrize("aux", [1, 5, 6])
def test_gui_4_with_auxiliary_columns(tmp_path: Path, aux: int) -> None:
    got = load_recording(gui4(tmp_path / "a.txt", cyton(300), 250.0, 8, aux=aux))
    assert len(got.raw.ch_names) == 8


def test_gui_unknown_board_asks_for_columns(tmp_path: Path) -> None:
    path = gui4(tmp_path / "a.txt", cyton(600), 1000.0, 8, said=False)
    refused(path, "14 columns", "--picks")
    got = load_recording(path, columns=["2", "3"])
    assert got.raw.ch_names == ["1", "2"]


@pytest.mark.parametrize(
    ("counter", "rate", "lost", "marked"),
    [
        (np.delete(cyton(2000), np.s_[700:720]), 250.0, 20, [699 / 250]),
        (np.delete(cyton(2000), np.s_[250:260]), 250.0, 10, [249 / 250]),
        (np.delete(cyton(2000), 700), 250.0, 1, []),
        (np.delete(np.arange(0, 4000, 2) % 256.0, np.s_[800:808]), 125.0, 8, [799 / 125]),
        (np.repeat(np.delete(101.0 + np.arange(900) % 100, [333, 334]), 2), 200.0, 2, [665 / 200]),
    ],
    ids=["Cyton", "Cyton over the wrap", "one packet", "Daisy", "Ganglion"],
)
def test_gui_lost_packets(
    tmp_path: Path, counter: Array, rate: float, lost: int, marked: list[float]
) -> None:
    channels = {250.0: 8, 125.0: 16, 200.0: 4}[rate]
    got = load_recording(gui4(tmp_path / "a.txt", counter, rate, channels, unix=False))
    assert f"{lost} packets were lost on the radio link" in got.warnings
    np.testing.assert_allclose(gap_onsets(got.raw), marked)


def gui5(path: Path, names: list[str], rows: list[str], rate: int = 250) -> Path:
    head = ["%OpenBCI Raw EXG Data", "%Number of channels = 2", f"%Sample Rate = {rate} Hz"]
    head.append("%Board = OpenBCI_GUI$BoardCytonSerial")
    path.write_text("\n".join([*head, ", ".join(names), *rows]) + "\n")
    return path


NAMES5 = ["Sample Index", "EXG Channel 0", "EXG Channel 1", "Accel Channel 0", "Timestamp"]


@pytest.mark.parametrize("scale", [1.0, 1e3], ids=["seconds", "milliseconds"])
def test_gui_5_in_java_numbers_with_markers(tmp_path: Path, scale: float) -> None:
    rows = [
        f"{i % 256}.0, {i}.5E1, -2.0E-1, 0.1, {(1.6e9 + i / 250) * scale!r}, "
        f"{3.0 if 100 <= i < 103 else 0.0}, 2020-09-13 12:26:40.000"
        for i in range(400)
    ]
    names = [*NAMES5, "Marker Channel", "Timestamp (Formatted)"]
    got = load_recording(gui5(tmp_path / "a.txt", names, rows))
    assert got.recorded_at == "2020-09-13T12:26:40+00:00"
    np.testing.assert_allclose(got.raw.get_data()[0] * 1e6, 10 * np.arange(400) + 5)
    (mark,) = got.raw.annotations
    assert mark["description"] == "marker 3"
    assert mark["onset"] - got.raw.first_time == pytest.approx(0.4)


def test_gui_rate_that_the_clock_denies(tmp_path: Path) -> None:
    rows = [f"{i % 256}, 1.0, {i % 7}.0, 0.1, {1.6e9 + i / 125}" for i in range(4000)]
    got = load_recording(gui5(tmp_path / "a.txt", NAMES5, rows))
    assert any("250 Hz" in text and "125 Hz" in text for text in got.warnings)


def test_gui_files_without_eeg(tmp_path: Path) -> None:
    path = gui5(tmp_path / "a.txt", ["Sample Index", "Other", "Timestamp"], ["0, 1, 2", "1, 1, 3"])
    refused(path, "no EXG channels")
    refused(gui5(tmp_path / "b.txt", NAMES5, []), "no samples")
    aux = tmp_path / "OpenBCI-RAW-Aux.txt"
    aux.write_text("%OpenBCI Raw Aux Data\n%Sample Rate = 50 Hz\nSample Index, Other\n0, 1\n")
    refused(aux, "auxiliary", "OpenBCI-RAW file")
    ragged = gui5(tmp_path / "c.txt", NAMES5, ["0, 1, 2, 3, 4", "1, 1", "2, 1, 2, 3, 4"])
    refused(ragged, "numbers", "cut off")
    silent = tmp_path / "d.txt"
    silent.write_text("%OpenBCI Raw EEG Data\n%\n0, 1\n1, 2\n")
    refused(silent, "no sampling rate")


# --- BrainFlow -------------------------------------------------------------------------------


def brainflow(path: Path, n: int = 3000, rate: float = 250.0, drop: Any = ()) -> Path:
    """Board rows as `DataFilter.write_file` writes them: counter, four channels, time."""
    i = np.delete(np.arange(n), drop)
    columns = [i % 256, *(100.0 * c + 37 * i % 50 for c in range(4)), 1.7e9 + i / rate, 0 * i]
    np.savetxt(path, np.array(columns).T, fmt="%.6f", delimiter="\t")
    return path


def test_brainflow_asks_for_rate_and_columns(tmp_path: Path) -> None:
    path = brainflow(tmp_path / "a.csv")
    refused(path, "7 columns without names", "--sfreq", "--picks", "counted from 1")
    refused(path, "--picks", sfreq_hz=250.0)
    refused(path, "--sfreq", columns=["2"])
    refused(path, "0 is no column number from 1 to 7", sfreq_hz=250.0, columns=["0"])
    refused(path, "O1 is no column number", sfreq_hz=250.0, columns=["O1"])
    refused(path, "column 1", "packet counter", sfreq_hz=250.0, columns=["1", "2"])
    refused(path, "column 6", "time", sfreq_hz=250.0, columns=["6"])


def test_brainflow(tmp_path: Path) -> None:
    got = load_recording(brainflow(tmp_path / "a.csv"), sfreq_hz=250.0, columns=["3", "2"])
    assert got.raw.ch_names == ["3", "2"]
    np.testing.assert_allclose(got.raw.get_data()[0] * 1e6, 100.0 + 37 * np.arange(3000) % 50)
    assert got.unit_known
    assert got.recorded_at == "2023-11-14T22:13:20+00:00"
    assert got.warnings == ("values are taken as microvolt, BrainFlow's unit",)
    picked = load_recording(brainflow(tmp_path / "a.csv"), sfreq_hz=250.0, picks=["2"])
    assert picked.raw.ch_names == ["2"]


def test_brainflow_wrong_rate_and_lost_packets(tmp_path: Path) -> None:
    got = load_recording(brainflow(tmp_path / "a.csv"), sfreq_hz=125.0, columns=["2"])
    assert any("125 Hz" in text and "250 Hz" in text for text in got.warnings)
    path = brainflow(tmp_path / "b.csv", drop=np.s_[1000:1050])
    got = load_recording(path, sfreq_hz=250.0, columns=["2"])
    assert "50 packets were lost on the radio link" in got.warnings
    np.testing.assert_allclose(gap_onsets(got.raw), [999 / 250])


def test_columns_are_ignored_where_channels_have_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("O1,O2\n" + "1.0,2.0\n" * 50)
    assert load_recording(path, sfreq_hz=100.0, columns=["1"]).raw.ch_names == ["O1", "O2"]
