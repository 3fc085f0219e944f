"""XDF recordings: choosing the stream, units, clocks, gaps and markers; damaged files."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import find_peak, load_recording
from analysis.errors import AnalysisError
from analysis.xdf_streams import list_streams
from tests.analysis.reading import refused
from tests.analysis.simulate import make_eeg
from tests.data import recording

Array = NDArray[np.float64]


def varlen(value: int) -> bytes:
    return b"\x04" + struct.pack("<I", value)


def chunk(tag: int, content: bytes) -> bytes:
    return varlen(len(content) + 2) + struct.pack("<H", tag) + content


def header(number: int, fields: dict[str, object], desc: str = "") -> bytes:
    text = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    xml = f'<?xml version="1.0"?><info>{text}<desc>{desc}</desc></info>'
    return chunk(2, struct.pack("<I", number) + xml.encode())


def channels(names: Sequence[str], unit: str | None = "microvolts", kind: str = "EEG") -> str:
    said = "" if unit is None else f"<unit>{unit}</unit>"
    rows = (f"<channel><label>{n}</label>{said}<type>{kind}</type></channel>" for n in names)
    return f"<channels>{''.join(rows)}</channels>"


def samples(number: int, stamps: Array, values: Array, size: int = 32) -> bytes:
    """Sample chunks of doubles; `values` is samples x channels."""
    out = b""
    for start in range(0, len(stamps), size):
        part = range(start, min(start + size, len(stamps)))
        body = b"".join(
            b"\x08" + struct.pack("<d", stamps[i]) + struct.pack(f"<{values.shape[1]}d", *values[i])
            for i in part
        )
        out += chunk(3, struct.pack("<I", number) + varlen(len(part)) + body)
    return out


def events(number: int, rows: Sequence[tuple[float, str]]) -> bytes:
    body = b"".join(
        b"\x08" + struct.pack("<d", at) + varlen(len(text.encode())) + text.encode()
        for at, text in rows
    )
    return chunk(3, struct.pack("<I", number) + varlen(len(rows)) + body)


def offsets(number: int, first: float, last: float, value: float) -> bytes:
    times = np.arange(first, last, 5.0)
    return b"".join(chunk(4, struct.pack("<Idd", number, at, value)) for at in times)


def eeg_stream(
    number: int,
    stamps: Array,
    values: Array,
    *,
    name: str = "amp",
    kind: str = "EEG",
    rate: float = 250.0,
    desc: str | None = None,
) -> bytes:
    fields: dict[str, object] = {"name": name, "type": kind, "channel_count": values.shape[1]}
    fields |= {"nominal_srate": rate, "channel_format": "double64", "source_id": f"id-{name}"}
    said = channels(["O1", "O2"]) if desc is None else desc
    return header(number, fields, said) + samples(number, stamps, values)


def marker_stream(number: int, rows: Sequence[tuple[float, str]], name: str = "events") -> bytes:
    fields: dict[str, object] = {"name": name, "type": "Markers", "channel_count": 1}
    fields |= {"nominal_srate": 0, "channel_format": "string", "source_id": "m"}
    return header(number, fields) + events(number, rows)


def write(path: Path, *parts: bytes, when: str = "") -> Path:
    said = f"<datetime>{when}</datetime>" if when else ""
    start = chunk(1, f'<?xml version="1.0"?><info><version>1.0</version>{said}</info>'.encode())
    path.write_bytes(b"XDF:" + start + b"".join(parts))
    return path


def ramp(n: int = 2500, rate: float = 250.0, start: float = 1000.0) -> tuple[Array, Array]:
    """Stamps, and two channels whose values tell the sample number."""
    index = np.arange(n, dtype=float)
    return start + index / rate, np.stack([index, -index], axis=1)


def test_values_names_units_and_marks(tmp_path: Path) -> None:
    stamps, values = ramp()
    rows = [(999.0, "early"), (1002.0, "eyes closed"), (1005.002, "stop"), (1099.0, "late")]
    path = write(
        tmp_path / "a.xdf",
        eeg_stream(1, stamps, values, desc=channels(["O1", "O2"], "millivolts")),
        marker_stream(2, rows),
        when="2026-03-01T09:30:00+0100",
    )
    got = load_recording(path)
    assert got.raw.ch_names == ["O1", "O2"]
    assert got.raw.info["sfreq"] == 250.0
    assert got.unit_known
    assert got.recorded_at == "2026-03-01T08:30:00+00:00"
    np.testing.assert_allclose(got.raw.get_data(), values.T * 1e-3)
    marks = got.raw.annotations
    onset = marks.onset - got.raw.first_time
    assert list(marks.description) == ["eyes closed", "stop"]
    np.testing.assert_allclose(onset, [2.0, 5.002], atol=1e-6)
    assert got.warnings == ("2 events before or after the EEG are left out",)


def test_clock_offsets_bring_streams_together(tmp_path: Path) -> None:
    stamps, values = ramp()
    path = write(
        tmp_path / "a.xdf",
        eeg_stream(1, stamps, values),
        offsets(1, 1000.0, 1010.0, 500.0),
        marker_stream(2, [(1504.0, "here")]),
        offsets(2, 1500.0, 1510.0, 0.0),
    )
    got = load_recording(path)
    assert got.raw.annotations.onset[0] == pytest.approx(4.0, abs=1e-3)


def test_jitter_is_no_gap_and_dropped_samples_are_marked(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    stamps, values = ramp(5000)
    stamps += rng.uniform(-0.0005, 0.0005, stamps.size)
    whole = write(tmp_path / "whole.xdf", eeg_stream(1, stamps, values))
    assert load_recording(whole).warnings == ()
    assert len(load_recording(whole).raw.annotations) == 0
    keep = np.ones(5000, dtype=bool)
    keep[1000:1100] = False
    keep[3000:3500] = False
    # A marker inside the second gap belongs to its end.
    path = write(
        tmp_path / "gaps.xdf",
        eeg_stream(1, stamps[keep], values[keep]),
        marker_stream(2, [(1000.0 + 3250 / 250, "in the gap"), (1000.0 + 4000 / 250, "after")]),
    )
    got = load_recording(path)
    marks = got.raw.annotations
    assert sorted(marks.description) == ["after", "bad_gap", "bad_gap", "in the gap"]
    bad = [m for m in marks if m["description"] == "bad_gap"]
    np.testing.assert_allclose([m["onset"] for m in bad], [999 / 250, 2899 / 250], atol=1e-9)
    np.testing.assert_allclose([m["duration"] for m in bad], 2 / 250)
    onset = {m["description"]: m["onset"] for m in marks}
    assert onset["in the gap"] == pytest.approx(2900 / 250, abs=1e-3)
    assert onset["after"] == pytest.approx(3400 / 250, abs=1e-3)
    (warning,) = got.warnings
    assert "2 gaps" in warning
    assert "2.4 s missing" in warning
    assert "longest 2 s at 11.6 s" in warning
    np.testing.assert_allclose(got.raw.get_data()[0] * 1e6, values[keep][:, 0])


@pytest.mark.parametrize(("true_hz", "warned"), [(250.3, False), (251.0, True), (125.0, True)])
def test_effective_rate(tmp_path: Path, true_hz: float, warned: bool) -> None:
    stamps, values = ramp(rate=true_hz)
    got = load_recording(write(tmp_path / "a.xdf", eeg_stream(1, stamps, values)))
    assert got.raw.info["sfreq"] == 250.0
    assert bool(got.warnings) is warned
    if warned:
        assert "250 Hz" in got.warnings[0]
        assert f"{true_hz:.5g} Hz" in got.warnings[0]


def test_several_streams_and_no_eeg(tmp_path: Path) -> None:
    stamps, values = ramp(500)
    two = write(
        tmp_path / "two.xdf",
        eeg_stream(1, stamps, values, name="left"),
        eeg_stream(2, stamps, values + 7.0, name="right"),
        marker_stream(3, [(1000.5, "x")]),
    )
    refused(two, "2 streams of type EEG", "1 left (EEG, 2 ch, 250 Hz)", "--stream")
    refused(two, "'middle'", "--stream", stream="middle")
    refused(two, "holds text", stream="events")
    for wanted in ("right", "2", "id-right"):
        got = load_recording(two, stream=wanted)
        assert got.raw.get_data()[0, 0] * 1e6 == pytest.approx(7.0)
    none = write(tmp_path / "none.xdf", eeg_stream(1, stamps, values, kind="ExG", name="box"))
    refused(none, "no stream of type EEG", "1 box (ExG")
    assert load_recording(none, stream="box").raw.get_channel_types() == ["eeg", "eeg"]
    assert [s.name for s in list_streams(two)] == ["left", "right", "events"]


def test_unknown_unit_missing_names_and_other_channels(tmp_path: Path) -> None:
    stamps, values = ramp(500)
    bare = load_recording(write(tmp_path / "bare.xdf", eeg_stream(1, stamps, values, desc="")))
    assert bare.raw.ch_names == ["1", "2"]
    assert not bare.unit_known
    assert any("numbered" in text for text in bare.warnings)
    mixed = channels(["Oz"]).replace("</channels>", "") + channels(["TRG"], None, "TRIG").replace(
        "<channels>", ""
    )
    got = load_recording(write(tmp_path / "mixed.xdf", eeg_stream(1, stamps, values, desc=mixed)))
    assert got.raw.get_channel_types() == ["eeg", "stim"]
    assert got.unit_known
    np.testing.assert_allclose(got.raw.get_data()[1], values[:, 1])
    short = channels(["Oz"])
    got = load_recording(write(tmp_path / "short.xdf", eeg_stream(1, stamps, values, desc=short)))
    assert any("1 of its 2 channels" in text for text in got.warnings)


def test_packed(tmp_path: Path) -> None:
    stamps, values = ramp(500)
    plain = write(tmp_path / "a.xdf", eeg_stream(1, stamps, values))
    packed = tmp_path / "b.xdfz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(
        load_recording(packed).raw.get_data(), load_recording(plain).raw.get_data()
    )
    content = gzip.compress(plain.read_bytes())
    double = tmp_path / "sub.01.xdf.gz"
    double.write_bytes(content)
    assert load_recording(double).raw.n_times == 500
    packed.write_bytes(content[:-400])
    refused(packed, "cut off")
    packed.write_bytes(content[:500] + bytes(200) + content[700:])
    refused(packed, "damaged")


def test_damaged_files(tmp_path: Path) -> None:
    stamps, values = ramp(500)
    content = write(tmp_path / "a.xdf", eeg_stream(1, stamps, values)).read_bytes()
    path = tmp_path / "bad.xdf"
    for share in (0.05, 0.4, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        refused(path, "cut off", "copy")
    path.write_bytes(b"XDX:" + content[4:])
    refused(path, "not an XDF")
    path.write_bytes(b"XDF:" + b"\x07" + content[5:])
    refused(path, "damaged", "copy")
    path.write_bytes(content.replace(b"</info>", b"<<info>", 2))
    refused(path, "damaged")
    path.write_bytes(b"XDF:")
    refused(path, "no stream")
    silent = write(tmp_path / "silent.xdf", eeg_stream(1, stamps[:0], values[:0]))
    refused(silent, "0 samples")
    irregular = write(tmp_path / "irregular.xdf", eeg_stream(1, stamps, values, rate=0.0))
    refused(irregular, "no sampling rate")


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;&x;&x;">]>"""
OTHER_FILE = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>"""


@pytest.mark.parametrize("head", [BOMB, OTHER_FILE])
@pytest.mark.parametrize("tag", [1, 2, 6])
def test_entities_are_refused_in_every_header(
    tmp_path: Path, head: str, tag: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the library that reads the samples, which would expand them, sees the file."""
    xml = f"{head}<info><name>&x;</name></info>".encode()
    body = chunk(tag, xml if tag == 1 else struct.pack("<I", 9) + xml)
    path = write(tmp_path / "a.xdf", body, eeg_stream(1, *ramp()))
    monkeypatch.setattr("pyxdf.load_xdf", lambda *_, **__: pytest.fail("the file was opened"))
    with pytest.raises(AnalysisError, match="declares a document type or entities"):
        load_recording(path)


@pytest.mark.parametrize("tag", [1, 6])
def test_entities_are_refused_in_the_encoding_that_the_header_says(
    tmp_path: Path, tag: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library parses the bytes of these headers: what they say as UTF-8 is not what it sees."""
    xml = f"{BOMB}<info><name>&x;</name></info>".encode("utf-16")
    body = chunk(tag, xml if tag == 1 else struct.pack("<I", 9) + xml)
    path = write(tmp_path / "a.xdf", body, eeg_stream(1, *ramp()))
    monkeypatch.setattr("pyxdf.load_xdf", lambda *_, **__: pytest.fail("the file was opened"))
    with pytest.raises(AnalysisError, match="declares a document type or entities"):
        load_recording(path)


def test_a_header_in_an_encoding_that_nothing_here_reads_is_one_line(tmp_path: Path) -> None:
    xml = b'<?xml version="1.0" encoding="shift_jis"?><info/>'
    path = write(tmp_path / "a.xdf", chunk(1, xml), eeg_stream(1, *ramp()))
    with pytest.raises(AnalysisError, match="header that cannot be read"):
        load_recording(path)


def test_sizes_that_no_recording_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.xdf", eeg_stream(1, *ramp()))
    packed = tmp_path / "b.xdfz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    load_recording(packed)
    monkeypatch.setattr("analysis.xdf_streams.UNPACKED_BYTES_MAX", 10_000)
    with pytest.raises(AnalysisError, match="unpacks to more than a recording can be"):
        load_recording(packed)
    monkeypatch.setattr("analysis.xdf_streams.XML_BYTES_MAX", 100)
    with pytest.raises(AnalysisError, match="which none has"):
        load_recording(path)


def test_stream_is_only_for_xdf(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("TIME,O1\n0,1\n1,2\n")
    with pytest.raises(Exception, match="--stream chooses"):
        load_recording(path, stream="amp")


def test_peak_of_a_made_recording(tmp_path: Path) -> None:
    made = make_eeg(3, peak_hz=10.4, duration_s=60.0, sfreq_hz=250.0, ch_names=("O1", "Oz", "O2"))
    stamps = 50.0 + np.arange(made.data_v.shape[1]) / 250.0
    desc = channels(["O1", "Oz", "O2"])
    part = eeg_stream(1, stamps, made.data_v.T * 1e6, desc=desc)
    found = find_peak(load_recording(write(tmp_path / "a.xdf", part)))
    assert found.frequency_hz == pytest.approx(10.4, abs=0.3)


def test_real_xdf() -> None:
    got = load_recording(recording("bci_essentials_xdf/switch_example.xdf"))
    assert got.raw.info["sfreq"] == 256.0
    assert got.raw.n_times == 34320
    assert got.raw.ch_names[:3] == ["F3", "Fz", "F4"]
    assert got.raw.get_channel_types() == ["eeg"] * 16
    assert got.unit_known
    assert got.warnings == ()
    said = set(got.raw.annotations.description)
    assert "UnityMarkerStream: Trial Started" in said
    assert "PythonResponse: ping" in said
