"""Binary recordings: pauses in EDF+D, BrainVision and EEGLAB; FIF parts; CNT, EGI, GDF, NEDF."""

from __future__ import annotations

import gzip
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import assess, load_recording
from tests.analysis.reading import gap_onsets, refused
from tests.analysis.simulate import make_eeg
from tests.data import recording

Array = NDArray[np.float64]
NAMES = ("O1", "Oz", "O2")


def ramps(samples: int, channels: int = 3) -> NDArray[np.int64]:
    """Whole numbers that tell channel and sample."""
    return np.arange(samples)[None, :] % 1000 + 1000 * np.arange(channels)[:, None]


# --- EDF+D -----------------------------------------------------------------------------------


def edf_plus(
    path: Path,
    starts: Sequence[float],
    notes: Sequence[tuple[float, str]] = (),
    kind: str = "EDF+D",
    rate: int = 100,
) -> Path:
    """EDF+ of one-second records that begin at `starts`; one microvolt a step."""
    data = ramps(len(starts) * rate)
    width = 60
    head = b"0".ljust(8) + b"X X X X".ljust(80) + b"Startdate X X X X".ljust(80)
    head += b"01.03.2609.30.00" + str(256 * 5).encode().ljust(8) + kind.encode().ljust(44)
    head += str(len(starts)).encode().ljust(8) + b"1".ljust(8) + b"4".ljust(4)

    def field(values: Sequence[object], size: int) -> bytes:
        return b"".join(str(value).encode().ljust(size) for value in values)

    head += field([*NAMES, "EDF Annotations"], 16) + field([""] * 4, 80)
    head += field(["uV"] * 3 + [""], 8) + field([-32768] * 3 + [-1], 8)
    head += field([32767] * 3 + [1], 8) + field([-32768] * 4, 8) + field([32767] * 4, 8)
    head += field([""] * 4, 80) + field([rate] * 3 + [width], 8) + field([""] * 4, 32)
    body = b""
    for i, start in enumerate(starts):
        part = data[:, i * rate : (i + 1) * rate].astype("<i2")
        text = f"+{start:g}\x14\x14\x00".encode()
        for at, note in notes:
            if start <= at < start + 1 or (i == 0 and at < start):
                text += f"+{at:g}\x14{note}\x14\x00".encode()
        body += part.tobytes() + text.ljust(2 * width, b"\x00")
    path.write_bytes(head + body)
    return path


def test_discontinuous_edf(tmp_path: Path) -> None:
    starts = [0, 1, 2, 10, 11, 12, 13, 100, 101, 102]
    notes = [(1.5, "eyes closed"), (10.25, "blink"), (102.5, "end")]
    got = load_recording(edf_plus(tmp_path / "a.edf", starts, notes))
    assert got.raw.n_times == 1000
    np.testing.assert_allclose(got.raw.get_data(), ramps(1000) * 1e-6, atol=1e-9)
    np.testing.assert_allclose(gap_onsets(got.raw), [2.99, 6.99], atol=1e-6)
    marks = got.raw.annotations
    onset = {m["description"]: m["onset"] - got.raw.first_time for m in marks}
    assert onset["eyes closed"] == pytest.approx(1.5, abs=1e-6)
    assert onset["blink"] == pytest.approx(3.25, abs=1e-6)
    assert onset["end"] == pytest.approx(9.5, abs=1e-6)
    (warning,) = got.warnings
    assert "2 gaps" in warning
    assert "93 s missing, the longest 86 s at 7.0 s" in warning
    assert assess(got).usable_s == pytest.approx(10.0 - 4 / 100)


@pytest.mark.parametrize(("kind", "starts"), [("EDF+D", [5.5, 6.5, 7.5]), ("EDF+C", [0, 1, 2])])
def test_edf_without_pauses(tmp_path: Path, kind: str, starts: list[float]) -> None:
    got = load_recording(edf_plus(tmp_path / "a.edf", starts, kind=kind))
    assert got.warnings == ()
    assert gap_onsets(got.raw) == []


def test_edf_whose_records_make_no_sense(tmp_path: Path) -> None:
    refused(edf_plus(tmp_path / "a.edf", [0, 1, 0.5, 2]), "overlap", "copy")
    path = edf_plus(tmp_path / "b.edf", [0, 1, 5])
    path.write_bytes(path.read_bytes().replace(b"+5\x14", b"??\x14"))
    refused(path, "record 3 of 3", "begins")
    path.write_bytes(path.read_bytes().replace(b"EDF Annotations", b"Some Annotation"))
    refused(path, "discontinuous", "export")


# --- pauses in other formats -----------------------------------------------------------------


def test_paused_brainvision(tmp_path: Path) -> None:
    path = tmp_path / "a.vhdr"
    raw = make_eeg(1, duration_s=40.0, ch_names=NAMES).raw()
    mne.export.export_raw(path, raw, verbose="ERROR")
    assert load_recording(path).warnings == ()
    markers = path.with_suffix(".vmrk")
    with markers.open("a") as file:
        file.write("Mk1=New Segment,,1,1,0,20260301090000000000\n")
        file.write("Mk2=New Segment,,3201,1,0,20260301093000000000\n")
    got = load_recording(path)
    np.testing.assert_allclose(gap_onsets(got.raw), [3199 / 160], atol=1e-6)
    assert any("paused or cut" in text for text in got.warnings)


def test_cut_eeglab(tmp_path: Path) -> None:
    import scipy.io

    path = tmp_path / "a.set"
    event = np.array(
        [("boundary", 1000.5, 0.0), ("go", 1200.0, 1.0)],
        dtype=[("type", object), ("latency", object), ("duration", object)],
    )
    chanlocs = np.array([(name,) for name in NAMES], dtype=[("labels", object)])
    data = ramps(4000).astype(np.float32)
    eeg = {"nbchan": 3, "pnts": 4000, "trials": 1, "srate": 100.0, "xmin": 0.0, "data": data}
    eeg |= {"event": event, "chanlocs": chanlocs, "setname": "a", "icawinv": [], "ref": "common"}
    eeg |= {"icaweights": [], "icasphere": [], "icaact": [], "epoch": [], "filename": "a.set"}
    scipy.io.savemat(path, {"EEG": eeg})
    got = load_recording(path)
    np.testing.assert_allclose(got.raw.get_data(), data * 1e-6, rtol=1e-6)
    np.testing.assert_allclose(gap_onsets(got.raw), [9.99], atol=1e-6)
    assert any("paused or cut" in text for text in got.warnings)


# --- FIF -------------------------------------------------------------------------------------


def test_split_and_packed_fif(tmp_path: Path) -> None:
    raw = make_eeg(1, duration_s=300.0, sfreq_hz=500.0, ch_names=NAMES).raw()
    path = tmp_path / "a_raw.fif"
    raw.save(path, split_size="1.2MB", verbose="ERROR")
    parts = sorted(tmp_path.glob("a_raw-*.fif"))
    assert parts
    got = load_recording(path)
    assert got.raw.n_times == raw.n_times
    np.testing.assert_allclose(got.raw.get_data(), raw.get_data(), rtol=1e-6, atol=1e-12)
    parts[-1].write_bytes(parts[-1].read_bytes()[:-4] + b"abcd")
    assert load_recording(path).sha256 != got.sha256
    parts[0].unlink()
    refused(path, "parts", "copy")
    packed = tmp_path / "b_raw.fif.gz"
    raw.save(packed, verbose="ERROR")
    assert load_recording(packed).raw.n_times == raw.n_times
    packed.write_bytes(packed.read_bytes()[:-5000])
    refused(packed, "cut off", "copy")


def test_fif_that_holds_something_else(tmp_path: Path) -> None:
    events = tmp_path / "a-eve.fif"
    mne.write_events(events, np.array([[1, 0, 1]]), verbose="ERROR")
    refused(events, "_raw.fif")
    renamed = tmp_path / "b_raw.fif"
    renamed.write_bytes(events.read_bytes())
    refused(renamed, "")
    refused(recording("ssvep_exo/subject01_2012.07.06-19.02.16-eve.fif"), "_raw.fif")


# --- CNT, EGI, GDF, NEDF ---------------------------------------------------------------------


def cnt(path: Path, samples: int = 2000, rate: int = 250) -> Path:
    """Neuroscan 16 bit; 0.1 µV a step."""
    head = bytearray(900)
    head[:11] = b"Version 3.0"
    head[225:243] = b"01/03/26\x00\x0009:30:00"
    data = ramps(samples).T.astype("<i2").tobytes()
    end = 900 + 75 * 3 + len(data)
    struct.pack_into("<H", head, 370, 3)
    struct.pack_into("<H", head, 376, rate)
    struct.pack_into("<i", head, 864, samples)
    struct.pack_into("<i", head, 886, end)
    for name in NAMES:
        channel = bytearray(75)
        channel[: len(name)] = name.encode()
        struct.pack_into("<f", channel, 59, 20.48)
        struct.pack_into("<f", channel, 71, 1.0)
        head += channel
    offset = 900 + 75 * 3 + 1000 * 3 * 2
    event = struct.pack("<HBcl", 7, 0, b"\x00", offset)
    path.write_bytes(bytes(head) + data + struct.pack("<Bll", 1, len(event), 0) + event)
    return path


def test_neuroscan_cnt(tmp_path: Path) -> None:
    got = load_recording(cnt(tmp_path / "a.cnt"))
    assert got.raw.info["sfreq"] == 250.0
    assert got.raw.ch_names == list(NAMES)
    np.testing.assert_allclose(got.raw.get_data(), ramps(2000) * 1e-7, rtol=1e-5)
    assert list(got.raw.annotations.description) == ["7"]
    content = (tmp_path / "a.cnt").read_bytes()
    (tmp_path / "a.cnt").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "a.cnt", "cut off", "copy")
    (tmp_path / "a.cnt").write_bytes(b"hello" * 200)
    refused(tmp_path / "a.cnt", "not a CNT")


def test_ant_cnt_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "antio", None)
    path = tmp_path / "a.cnt"
    path.write_bytes(b"RIFF" + bytes(4) + b"CNT " + bytes(400))
    refused(path, "package antio", "pip install antio")


def egi(path: Path, version: int = 4, samples: int = 1500) -> Path:
    """EGI simple binary with one event channel, in microvolt."""
    head = struct.pack(">i6hi", version, 2026, 3, 1, 9, 30, 0, 0)
    head += struct.pack(">5h", 250, 3, 1, 0, 0) + struct.pack(">ih", samples, 1) + b"go++"
    events = np.zeros((1, samples))
    events[0, 500] = 1.0
    frames = np.vstack([ramps(samples), events]).T
    path.write_bytes(head + frames.astype({2: ">i2", 4: ">f4", 6: ">f8"}[version]).tobytes())
    return path


@pytest.mark.parametrize("version", [2, 4, 6])
def test_egi_simple_binary(tmp_path: Path, version: int) -> None:
    got = load_recording(egi(tmp_path / "a.raw", version))
    assert got.raw.info["sfreq"] == 250.0
    assert got.raw.ch_names[:3] == ["E1", "E2", "E3"]
    assert got.raw.get_channel_types() == ["eeg", "eeg", "eeg", "stim"]
    np.testing.assert_allclose(got.raw.get_data(picks="eeg"), ramps(1500) * 1e-6, rtol=1e-6)
    content = (tmp_path / "a.raw").read_bytes()
    (tmp_path / "a.raw").write_bytes(content[: int(len(content) * 0.7)])
    refused(tmp_path / "a.raw", "cut off", "1500 samples", "copy")
    (tmp_path / "a.raw").write_bytes(struct.pack(">i", 5) + content[4:])
    refused(tmp_path / "a.raw", "not a continuous EGI")


def test_mff_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mffpy", None)
    path = tmp_path / "a.mff"
    path.mkdir()
    for name in ("info.xml", "info1.xml", "signal1.bin", "sensorLayout.xml", "epochs.xml"):
        (path / name).write_text("<x/>")
    refused(path, "package mffpy", "pip install mffpy")


def gdf(path: Path, records: int = 12, rate: int = 100) -> Path:
    """GDF 1.25 of one-second records, 16 bit, one microvolt a step, with one event."""
    data = ramps(records * rate)
    head = b"GDF 1.25" + b"P01 X".ljust(80) + b"made".ljust(80) + b"2026030109300000"
    head += (
        struct.pack("<q", 256 * 4) + bytes(24) + bytes(20) + struct.pack("<q2II", records, 1, 1, 3)
    )
    head += b"".join(name.encode().ljust(16) for name in NAMES) + b" " * 240
    head += b"uV".ljust(8) * 3
    head += struct.pack("<3d", *[-32768.0] * 3) + struct.pack("<3d", *[32767.0] * 3)
    head += struct.pack("<3q", *[-32768] * 3) + struct.pack("<3q", *[32767] * 3)
    head += b" " * 240 + struct.pack("<3i", *[rate] * 3) + struct.pack("<3i", *[3] * 3) + bytes(96)
    body = b"".join(
        data[:, i * rate : (i + 1) * rate].astype("<i2").tobytes() for i in range(records)
    )
    table = struct.pack("<B3BI", 1, rate, 0, 0, 1) + struct.pack("<IH", 301, 768)
    path.write_bytes(head + body + table)
    return path


def test_gdf(tmp_path: Path) -> None:
    got = load_recording(gdf(tmp_path / "a.gdf"))
    assert got.raw.info["sfreq"] == 100.0
    assert got.raw.ch_names == list(NAMES)
    np.testing.assert_allclose(got.raw.get_data(), ramps(1200) * 1e-6, atol=1e-9)
    assert list(got.raw.annotations.description) == ["768"]
    content = (tmp_path / "a.gdf").read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "a.gdf").write_bytes(content[: int(len(content) * share)])
        refused(tmp_path / "a.gdf", "cut", "copy")


def nedf(path: Path, samples: int = 1000) -> Path:
    """NEDF 1.3: blocks of one acceleration and five samples of big-endian 24 bit."""
    montage = "".join(f"<C{i}>{name}</C{i}>" for i, name in enumerate(NAMES))
    xml = (
        "<NEDF><NEDFversion>1.3</NEDFversion>"
        "<NumberOfChannelsOfAccelerometer>3</NumberOfChannelsOfAccelerometer>"
        "<EEGSettings><TotalNumberOfChannels>3</TotalNumberOfChannels>"
        f"<EEGSamplingRate>500</EEGSamplingRate><EEGMontage>{montage}</EEGMontage>"
        f"<NumberOfRecordsOfEEG>{samples}</NumberOfRecordsOfEEG></EEGSettings>"
        "<StepDetails><StartDate_firstEEGTimestamp>1724760000000</StartDate_firstEEGTimestamp>"
        "</StepDetails></NEDF>"
    )
    data = ramps(samples) - 500
    body = b""
    for i in range(0, samples, 5):
        body += bytes(6)
        for j in range(i, i + 5):
            body += b"".join(int(v).to_bytes(3, "big", signed=True) for v in data[:, j])
            body += struct.pack(">i", 3 if j == 200 else 0)
    path.write_bytes(xml.encode().ljust(10240, b"\x00") + body)
    return path


def test_nedf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = nedf(tmp_path / "a.nedf")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "defusedxml", None)
        refused(path, "package defusedxml", "pip install defusedxml")
    pytest.importorskip("defusedxml", reason="the package defusedxml is not installed")
    got = load_recording(path)
    assert got.raw.info["sfreq"] == 500.0
    assert got.recorded_at == "2024-08-27T12:00:00+00:00"
    want = (ramps(1000) - 500) * 2.4 / (6.0 * 8388607)
    np.testing.assert_allclose(got.raw.get_data(picks="eeg"), want, rtol=1e-9)
    content = path.read_bytes()
    path.write_bytes(content[: 10240 + (len(content) - 10240) // 2])
    refused(path, "cut off", "copy")


# --- parts of recordings ---------------------------------------------------------------------


def test_a_part_points_to_the_whole(tmp_path: Path) -> None:
    raw = make_eeg(1, duration_s=5.0, ch_names=NAMES).raw()
    mne.export.export_raw(tmp_path / "a.vhdr", raw, verbose="ERROR")
    for name in ("a.eeg", "a.vmrk"):
        refused(tmp_path / name, "part of a.vhdr", "give")
    packed = tmp_path / "b.edf.gz"
    packed.write_bytes(gzip.compress(b"0" * 300))
    refused(packed, "unpack")
