"""``tacs watch`` in real time: over the Lab Streaming Layer, and BrainFlow's synthetic board."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from devices.patient import VirtualPatient
from devices.truth import PatientTruth
from tacs.cli import call

RATE_HZ = 250.0


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.skipif(
    importlib.util.find_spec("mne_lsl") is None, reason="MNE-LSL is not installed (extra live)"
)
def test_a_stream_on_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    """A minute of a virtual patient, stamped with the past, is sent to whoever listens."""
    import mne_lsl.lsl as lsl

    patient = VirtualPatient(PatientTruth.draw(5), 5, channels=["Pz", "O1", "Oz", "O2"])
    signal_v = patient.record(60.0).get_data()
    source_id = f"tacs-watch-{os.getpid()}"
    info = lsl.StreamInfo(source_id, "EEG", 4, RATE_HZ, "float32", source_id)
    info.set_channel_names(list(patient.channels))
    info.set_channel_types(["eeg"] * 4)
    info.set_channel_units(["mV"] * 4)
    outlet = lsl.StreamOutlet(info, max_buffered=120)
    if not lsl.resolve_streams(5.0, source_id=source_id, minimum=1):
        pytest.skip("LSL finds no stream of this computer: no network interface is up")

    def send() -> None:
        outlet.wait_for_consumers(30.0)
        start_s = lsl.local_clock() - 60.0
        kept = np.delete(np.arange(15_000), np.arange(5000, 5100))
        for part in np.array_split(kept, 150):
            data = (signal_v[:, part].T * 1e3).astype(np.float32)
            outlet.push_chunk(data, timestamp=start_s + part / RATE_HZ)

    sender = threading.Thread(target=send)
    sender.start()
    words = ["watch", f"lsl:?source_id={source_id}", "--seconds", "3", "--every", "60", "--json"]
    try:
        assert call(words) == 0
    finally:
        sender.join()
    data = result(capsys)
    low_hz, high_hz = data["ci95_hz"]
    assert low_hz <= patient.recordings[0].peak_hz <= high_hz
    assert (data["timing"]["n_samples"], data["timing"]["n_missing"]) == (14_900, 100)
    assert data["timing"]["clock_offset_s"] is not None
    assert data["quality"]["amplitude_uv"] == pytest.approx(
        1e6 * np.median(signal_v.reshape(4, 60, 250).std(axis=2)), rel=0.2
    )


@pytest.mark.skipif(
    importlib.util.find_spec("brainflow") is None, reason="BrainFlow is not installed (extra live)"
)
def test_a_board_of_brainflow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["watch", "brainflow:synthetic?channels=C3,Cz", "--seconds", "5", "--json"]
    words += ["--out", str(tmp_path), "--subject", "01", "--session", "1", "--when", "pre"]
    assert call(words) == 3
    data = result(capsys)
    assert data["status"] == "unusable"  # five seconds are too short, which is said
    assert data["reasons"][0].startswith("too_short")
    raw = mne.io.read_raw(data["live"]["imported"]["path"], preload=True, verbose="ERROR")
    assert raw.ch_names == ["C3", "Cz"]
    assert raw.n_times == data["timing"]["n_samples"]
    assert 4.0 < raw.times[-1] < 7.0
    c3 = raw.get_data()[0] * np.hanning(raw.n_times)
    power = np.abs(np.fft.rfft(c3 - c3.mean())) ** 2
    assert np.fft.rfftfreq(raw.n_times, 1 / RATE_HZ)[power.argmax()] == pytest.approx(10.0, abs=0.4)
