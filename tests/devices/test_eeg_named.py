"""Sources of EEG by their names, through the entry points as they are installed."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import mne
import numpy as np
import pytest

from devices.eeg_brainflow import BrainFlowEEG
from devices.eeg_lsl import LslEEG
from devices.eeg_nic2 import Nic2EEG
from devices.eeg_patient import PatientEEG
from devices.eeg_replay import FileEEG
from tacs import eeg
from tacs.clock import MonotonicClock, VirtualClock
from tacs.eeg import SourceName, open_source
from tacs.errors import DeviceNotFound, InputError


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "what? this_raw.fif"
    info = mne.create_info(["Oz", "Cz"], 250.0, "eeg")
    mne.io.RawArray(np.zeros((2, 500)), info, verbose="ERROR").save(path, verbose="ERROR")
    return path


def test_names_are_taken_apart() -> None:
    assert SourceName.parse("lsl:my amp") == SourceName("lsl", "my amp", {})
    assert SourceName.parse("nic2:socket://h:1?a=b,c&d=2") == SourceName(
        "nic2", "socket://h:1", {"a": "b,c", "d": "2"}
    )
    assert SourceName.parse("replay:what?.fif") == SourceName("replay", "what?.fif", {})


def test_every_kind_is_made(recording: Path) -> None:
    real, virtual = MonotonicClock(), VirtualClock()
    assert isinstance(open_source("lsl:amp?unit=mV&channels=Oz,Cz", real), LslEEG)
    assert isinstance(open_source("brainflow:cyton?serial_port=/dev/x", real), BrainFlowEEG)
    assert isinstance(open_source("nic2:host?electrodes=C3,C4&known_sine=10,50", real), Nic2EEG)
    played = open_source(f"replay:{recording}?channels=Oz&drops=0.2+0.1", virtual)
    assert isinstance(played, FileEEG)
    assert played.open().channels == ("Oz",)
    patient = open_source("virtual:7?peak_hz=9.5&eyes=open&sfreq_hz=500", virtual)
    assert isinstance(patient, PatientEEG)
    assert patient.open().sfreq_hz == 500.0


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("virtual", InputError, "write KIND:ADDRESS; there are brainflow:BOARD.*virtual:SEED"),
        ("radio:1", DeviceNotFound, "no EEG source of kind 'radio'; there are brainflow:BOARD"),
        ("lsl:amp", InputError, "read in real time; use --clock real"),
        ("virtual:x", InputError, "whole number of 0 or more, the seed"),
        ("virtual:1?colour=red", InputError, "no option 'colour'; there are eyes, peak_hz"),
        ("virtual:1?eyes=half", InputError, "write closed or open"),
        ("virtual:1?drops=3", InputError, r"write SECONDS\+DURATION"),
        ("virtual:1?drops=3+-1", InputError, "dropout at 3.0 s for -1.0 s"),
        ("virtual:1?chunk=1.5", InputError, "chunk=1.5 cannot be used"),
        ("virtual:1?chunk=1&x", InputError, "'x' is no key=value"),
        ("virtual:1?chunk=1&chunk=2", InputError, "chunk stands there twice"),
        ("replay:/none.edf", InputError, "/none.edf: cannot be read"),
    ],
)
def test_refused_in_one_line(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        open_source(text, VirtualClock())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nic2:host", "name the device's channels"),
        ("nic2:host?electrodes=C3", "is not published"),
        ("nic2:host?electrodes=C3&known_sine=10", "write HZ,MICROVOLTS"),
        ("lsl:amp?wait_s=long", "wait_s=long cannot be used"),
    ],
)
def test_refused_on_a_real_clock(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_source(text, MonotonicClock())


def test_a_kind_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", "devices.eeg_named:VIRTUAL", "tacs.eeg")
    monkeypatch.setattr(eeg, "installed", lambda group: {"mine": point})
    assert isinstance(open_source("mine:3", VirtualClock()), PatientEEG)
