"""The latest stretch of a live recording, and what its channels are like."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from analysis.live import Break, LiveWindow, channel_states, raw_of
from analysis.marks import onsets_s

RATE_HZ = 100.0
NAMES = ("Oz", "Cz")


def ramp(first: int, n: int) -> np.ndarray:
    """Microvolts that are the index of the sample, and twice that."""
    return np.outer([1.0, 2.0], np.arange(first, first + n, dtype=float))


def test_gaps_are_bridged_and_marked() -> None:
    signal_uv = np.delete(ramp(0, 100), np.arange(40, 50), axis=1)
    began = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    raw = raw_of(signal_uv, RATE_HZ, NAMES, [Break(40, 10), Break(60, 0, True)], began)
    assert raw.get_data() * 1e6 == pytest.approx(ramp(0, 100))  # a line through a line
    assert list(raw.annotations.description) == ["BAD_ACQ_SKIP", "bad_gap"]
    assert onsets_s(raw) == pytest.approx([0.4, 0.69])
    assert raw.annotations.duration == pytest.approx([0.1, 0.02])
    assert raw.info["meas_date"] == began


def test_the_window_keeps_the_latest() -> None:
    window = LiveWindow(NAMES, RATE_HZ, 1.0)
    for first in range(0, 500, 30):
        window.add(ramp(first, 30))
    raw = window.raw()
    assert raw.get_data() * 1e6 == pytest.approx(ramp(410, 100))
    assert window.seconds == pytest.approx(1.0)
    assert window.latest(0.2) == pytest.approx(ramp(490, 20))


@pytest.mark.parametrize("seed", range(8))
def test_gaps_count_in_the_window(seed: int) -> None:
    rng = np.random.default_rng(seed)
    window, at = LiveWindow(NAMES, RATE_HZ, 2.0), 0
    there = np.zeros(5000, dtype=bool)
    for _ in range(60):
        missing = int(rng.integers(0, 40)) if rng.random() < 0.3 and at else 0
        n = int(rng.integers(1, 50))
        window.add(ramp(at + missing, n), missing=missing)
        there[at + missing : at + missing + n] = True
        at += missing + n
    raw = window.raw()
    data = raw.get_data() * 1e6
    assert data.shape[1] <= 200
    # A gap at the very beginning of the window is left out.
    assert not there[at - 200 : at - data.shape[1]].any()
    assert data == pytest.approx(ramp(at - data.shape[1], data.shape[1]))
    marked = np.zeros(data.shape[1], dtype=bool)
    for onset_s, lasts_s in zip(onsets_s(raw), raw.annotations.duration, strict=True):
        marked[round(onset_s * 100) : round((onset_s + lasts_s) * 100)] = True
    assert (marked == ~there[at - data.shape[1] : at]).all()
    assert window.seconds * 100 == pytest.approx((~marked).sum())


def test_names_and_kinds_are_those_of_a_file_that_is_read() -> None:
    window = LiveWindow(["EEG O1-REF", "EOG1"], RATE_HZ, 1.0)
    window.add(ramp(0, 50))
    raw = window.raw()
    assert raw.ch_names == ["O1", "EOG1"]
    assert raw.get_channel_types() == ["eeg", "eog"]
    assert raw.get_montage() is not None


def test_after_a_jump_or_a_long_gap_it_begins_anew() -> None:
    window = LiveWindow(NAMES, RATE_HZ, 1.0)
    window.add(ramp(0, 50))
    window.add(ramp(70, 10), restarted=True)
    assert window.raw().n_times == 10
    window.add(ramp(0, 20), missing=100)
    assert window.raw().n_times == 20


def test_a_copy_stays_as_it_was() -> None:
    window = LiveWindow(NAMES, RATE_HZ, 1.0)
    window.add(ramp(0, 50))
    other = window.copy()
    window.add(ramp(50, 80))
    assert other.raw().get_data() * 1e6 == pytest.approx(ramp(0, 50))
    other.add(ramp(50, 80))
    assert other.raw().get_data() == pytest.approx(window.raw().get_data())


def eeg_like(seed: int, n_channels: int = 8) -> np.ndarray:
    """Ten seconds of noise with a 1/f spectrum, some 10 µV."""
    rng = np.random.default_rng(seed)
    spectra = np.fft.rfft(rng.normal(size=(n_channels, 2500)))
    spectra[:, 1:] /= np.sqrt(np.arange(1, spectra.shape[1]))
    spectra[:, 0] = 0.0
    signal = np.fft.irfft(spectra)
    return 10.0 * signal / signal.std(axis=1, keepdims=True)


def test_what_each_channel_is_like() -> None:
    signal_uv = eeg_like(5)
    times_s = np.arange(2500) / 250.0
    rng = np.random.default_rng(6)
    signal_uv[1] = 3.0
    signal_uv[2] = np.clip(60.0 * signal_uv[2], -300.0, 300.0)
    signal_uv[3] += 30.0 * np.sin(2 * np.pi * 50.0 * times_s)
    signal_uv[4] += rng.normal(0.0, 400.0, 2500)
    signal_uv[5] = np.nan
    signal_uv[6] += 30.0 * np.sin(2 * np.pi * 60.0 * times_s)
    names = [f"E{i}" for i in range(8)]
    found = channel_states(signal_uv, 250.0, names)
    assert [x.state for x in found] == [
        *("good", "flat", "saturated", "mains", "bad contact", "not a number", "mains", "good")
    ]
    assert [x.channel for x in found] == names
    assert found[5].sd_uv is None
    assert found[5].to_dict()["mains_db"] is None
    assert 3.0 < found[0].sd_uv < 20.0
    # Power of the sine over that of the noise between 2 and 40 Hz, known by construction.
    inside = np.abs(np.fft.rfft(eeg_like(5)[3])[20:401]) ** 2
    wanted_db = 10 * np.log10((30.0 * 1250) ** 2 / inside.sum())
    assert found[3].mains_db == pytest.approx(wanted_db, abs=1.0)


@pytest.mark.parametrize("seed", range(20))
def test_good_channels_are_called_good(seed: int) -> None:
    assert {x.state for x in channel_states(eeg_like(seed), 250.0, list("ABCDEFGH"))} == {"good"}


def test_mains_cannot_be_seen_at_a_low_rate_nor_anything_in_a_second() -> None:
    assert channel_states(eeg_like(1)[:, :400], 250.0, list("ABCDEFGH")) == ()
    states = channel_states(eeg_like(1), 90.0, list("ABCDEFGH"))
    assert {x.mains_db for x in states} == {None}
