"""Muscle and drowsiness: planted and named with their share, absent and not named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import assess, load_recording
from analysis.findings import Finding
from analysis.state_checks import drowsiness_findings, muscle_findings, window_spectra
from tests.analysis.noise import coloured
from tests.analysis.simulate import POSTERIOR, MadeEEG, make_eeg
from tests.data import recording

Array = NDArray[np.float64]
FS = 160.0
HEAD = (
    *("Fp1", "Fp2", "F3", "F4", "F7", "F8", "Fz", "C3", "C4", "Cz", "T7", "T8", "CP1", "CP2"),
    *("P3", "P4", "Pz", "O1", "O2"),
)


def checked(data: Array, names: tuple[str, ...]) -> dict[str, Finding]:
    """What the two checks say, without the rest of the gate."""
    windows = window_spectra(data, range(len(names)), FS, np.zeros(data.shape[1], dtype=bool))
    found = [
        *muscle_findings(windows, names),
        *drowsiness_findings(windows, names, data, range(len(names))),
    ]
    return {finding.name: finding for finding in found}


def band_of(data: Array, low_hz: float, high_hz: float) -> Array:
    spectrum = np.fft.rfft(data, axis=1)
    freqs = np.fft.rfftfreq(data.shape[1], 1.0 / FS)
    spectrum[:, (freqs < low_hz) | (freqs > high_hz)] = 0.0
    return np.asarray(np.fft.irfft(spectrum, data.shape[1], axis=1))


def dozing(
    made: MadeEEG, share: float, *, theta: float = 1.0, roll_uv: float = 0.0
) -> tuple[Array, Array]:
    """Take 80 % of the alpha power out of the last part; add theta, and rolling eyes."""
    data = made.data_v.copy()
    n = data.shape[1]
    time_s = np.arange(n) / FS
    state = np.clip((time_s - (1.0 - share) * n / FS) / 4.0, 0.0, 1.0)
    data -= (1.0 - np.sqrt(0.2)) * state * band_of(data, 7.5, 13.0)
    rng = np.random.default_rng(1)
    freqs = np.fft.rfftfreq(n, 1.0 / FS)
    wave = coloured(rng, np.exp(-((freqs - 5.5) ** 2) / 1.3), 1, n, FS)[0]
    level = band_of(data, 4.0, 7.0).std(axis=1, keepdims=True)
    data += np.sqrt(theta - 1.0) * level * state * wave / wave.std()
    eyes = 1e-6 * roll_uv * np.sin(2.0 * np.pi * 0.4 * time_s) * state
    for name, weight in (("F7", 1.0), ("F8", -1.0), ("Fp1", 0.4), ("Fp2", -0.4)):
        if name in made.ch_names:
            data[made.ch_names.index(name)] += weight * eyes
    return data, state


def muscle(seed: int, n: int, active: Array) -> Array:
    """Noise between 20 and 75 Hz, 12 µV, where `active`."""
    rng = np.random.default_rng(seed)
    freqs = np.fft.rfftfreq(n, 1.0 / FS)
    psd = np.where((freqs > 20.0) & (freqs < 75.0), 1.0, 0.0)
    wave = coloured(rng, psd, 1, n, FS)[0]
    return np.asarray(12e-6 * active * wave / wave.std())


def test_stationary_bursting_alpha_is_neither() -> None:
    """At most 2 % of recordings may be called drowsy; none of these 150 is."""
    alarms = 0
    for seed in range(150):
        names = HEAD if seed % 2 else POSTERIOR
        made = make_eeg(
            3000 + seed,
            duration_s=(60.0, 120.0, 180.0)[seed % 3],
            ch_names=names,
            peak_hz=8.5 + seed % 4,
            height_log10=(0.6, 0.9, 1.3)[seed % 3],
            burst=True,
        )
        found = checked(made.data_v, names)
        assert "muscle" not in found
        alarms += "drowsiness" in found
    assert alarms <= 3


@pytest.mark.parametrize("names", [HEAD, POSTERIOR])
def test_dozing_is_named_with_its_share(names: tuple[str, ...]) -> None:
    shares = []
    for seed in range(8):
        made = make_eeg(seed, duration_s=240.0, ch_names=names, height_log10=1.0)
        assert "drowsiness" not in checked(made.data_v, names)
        found = checked(dozing(made, 0.4, theta=2.0)[0], names)
        if "drowsiness" in found:
            shares.append(found["drowsiness"].share)
            assert "theta rises" in found["drowsiness"].text
    assert len(shares) >= 7
    assert 0.2 < np.mean(np.asarray(shares, dtype=float)) < 0.45


@pytest.mark.parametrize("seed", range(5))
def test_rolling_eyes(seed: int) -> None:
    made = make_eeg(seed, duration_s=240.0, ch_names=HEAD, height_log10=1.0)
    found = checked(dozing(made, 0.4, roll_uv=60.0)[0], HEAD)
    assert "the eyes roll slowly" in found["drowsiness"].text
    # Opening the eyes takes alpha away as well, but brings neither theta nor rolling.
    assert "drowsiness" not in checked(dozing(made, 0.4)[0], HEAD)


@pytest.mark.parametrize("seed", range(5))
def test_theta_without_an_alpha_drop_is_not_drowsiness(seed: int) -> None:
    made = make_eeg(seed, duration_s=240.0, ch_names=HEAD, height_log10=1.0)
    dozed, _ = dozing(made, 0.4, theta=2.0)
    still_alpha = dozed - band_of(dozed, 7.5, 13.0) + band_of(made.data_v, 7.5, 13.0)
    assert "drowsiness" not in checked(still_alpha, HEAD)


def test_without_alpha_nothing_is_said_about_drowsiness() -> None:
    for seed in range(10):
        made = make_eeg(seed, duration_s=240.0, ch_names=HEAD, peak_hz=None)
        assert "drowsiness" not in checked(dozing(made, 0.4, theta=2.0)[0], HEAD)


def test_the_gate_names_drowsiness() -> None:
    made = make_eeg(3, duration_s=240.0, ch_names=HEAD, height_log10=1.0)
    found = assess(replace(made, data_v=dozing(made, 0.4, theta=2.0)[0]).raw())
    (text,) = found.warnings
    assert text.startswith("drowsiness: drowsy in about")
    assert "keep the person awake" in text
    assert found.usable


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_muscle_is_named_with_channels_and_share(seed: int, share: float) -> None:
    """Spells of jaw clenching, and a jaw clenched throughout."""
    made = make_eeg(seed, duration_s=120.0, ch_names=HEAD)
    data = made.data_v
    assert "muscle" not in checked(data, HEAD)
    n = data.shape[1]
    active = ((np.arange(n) / FS) % 20.0 < 20.0 * share).astype(float)
    for name in ("T7", "T8"):
        data[HEAD.index(name)] += muscle(seed, n, active)
    found = checked(data, HEAD)["muscle"]
    assert set(found.channels) == {"T7", "T8"}
    assert found.share == pytest.approx(share, abs=0.1)
    assert "unclench the jaw" in found.text


def test_a_flat_noise_floor_and_beta_are_no_muscle() -> None:
    rng = np.random.default_rng(5)
    for seed in range(8):
        made = make_eeg(seed, duration_s=120.0, ch_names=HEAD, beta=True, exponent=1.6)
        floor = rng.normal(0.0, 1.5e-6, made.data_v.shape)
        assert "muscle" not in checked(made.data_v + floor, HEAD)


def test_muscle_cannot_be_judged_below_38_hz() -> None:
    made = make_eeg(1, duration_s=60.0, sfreq_hz=80.0, ch_names=HEAD)
    windows = window_spectra(made.data_v, range(19), 80.0, np.zeros(4800, dtype=bool))
    assert muscle_findings(windows, HEAD) == []


def test_windows_avoid_what_is_marked() -> None:
    bad = np.zeros(1600, dtype=bool)
    bad[700] = True
    windows = window_spectra(np.ones((2, 1600)), [1], FS, bad)
    assert list(windows.starts) == [0, 320, 960, 1280]
    assert windows.power.shape[:2] == (1, 4)
    long = window_spectra(np.ones((1, 160 * 1200)), [0], FS, np.zeros(160 * 1200, dtype=bool))
    assert len(long.starts) == 300


def test_windows_hold_the_power_of_a_sine() -> None:
    time_s = np.arange(3200) / FS
    wave = 3.0 * np.sin(2.0 * np.pi * 10.0 * time_s)[None]
    windows = window_spectra(wave, [0], FS, np.zeros(3200, dtype=bool))
    assert windows.freqs_hz[windows.power.mean(axis=(0, 1)).argmax()] == 10.0
    ratio = windows.band(9.5, 10.5) / windows.band(15.0, 25.0)
    assert ratio.min() > 1e12


def test_real_jaw_clenching() -> None:
    path = recording("openbci_gui/OpenBCI_GUI-v6-blinks-jawClench-alpha.txt")
    names = {finding.name for finding in assess(load_recording(path)).findings}
    assert "muscle" in names


@pytest.mark.parametrize(
    "name", [f"restingiaf_ec/tute_0{i}_{j}.set" for i in (1, 2) for j in (1, 2)]
)
def test_real_rest_with_eyes_closed(name: str) -> None:
    found = {finding.name for finding in assess(load_recording(recording(name))).findings}
    assert found <= {"line_noise"}
