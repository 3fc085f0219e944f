"""The head's geometry, and what the scalp shows besides the rhythm."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import welch

from devices.head import CHANNELS, Head, angles_deg, make_raw, spread
from devices.scalp_noise import Background, Blinks, BodyRhythm
from tacs.errors import InputError

SITES = ("Oz", "Pz", "F3", "F4")


def make_background(seed: int = 0, **changes) -> Background:
    settings = {
        "sfreq_hz": 250.0,
        "exponent": 1.5,
        "aperiodic_uv": 6.0,
        "sensor_noise_uv": 0.0,
        "emg_uv": 0.0,
        **changes,
    }
    return Background(("Fz", "T7", "T8", "Oz"), seed=np.random.SeedSequence(seed), **settings)


def test_angles_are_those_of_a_head() -> None:
    angles = angles_deg(("Oz", "T7", "F3"), ("Cz", "T8", "F3"))
    assert angles[0, 0] == pytest.approx(85.0, abs=8.0)
    assert angles[1, 1] == pytest.approx(175.0, abs=10.0)
    assert angles[2, 2] == pytest.approx(0.0, abs=1e-4)


def test_a_source_shows_most_above_itself_and_falls_off_smoothly() -> None:
    pattern = dict(zip(CHANNELS, spread(CHANNELS, ("Oz",))[:, 0], strict=True))
    assert pattern["Oz"] == pytest.approx(1.0)
    assert pattern["Oz"] > pattern["O1"] > pattern["PO7"] > pattern["P7"] > pattern["C3"]
    assert pattern["Fp1"] < 0.01
    assert pattern["O1"] == pytest.approx(pattern["O2"], rel=0.1)


def test_current_reaches_what_lies_under_its_electrodes() -> None:
    head = Head(CHANNELS, SITES)
    one = np.ones(5)
    occipital = head.drive_ma(np.stack([one, -one]), ("Oz", "Cz"))[:, 0]
    assert occipital[0] == pytest.approx(1.0, abs=0.05)
    assert np.abs(occipital[1:]).max() < 0.15
    bifrontal = head.drive_ma(np.stack([one, one, -2 * one]), ("F3", "F4", "Cz"))[:, 0]
    assert bifrontal[2] == pytest.approx(bifrontal[3], abs=0.1)
    assert bifrontal[2] > 0.7 > 0.1 > abs(bifrontal[0])
    assert head.drive_ma(2.0 * one, ())[:, 0] == pytest.approx([2.0] * 4)


def test_no_pair_of_electrodes_drives_a_source_with_more_than_its_current() -> None:
    head = Head(CHANNELS, SITES)
    one = np.ones(1)
    for a in CHANNELS:
        for b in ("Cz", "Fp1", "T8"):
            if a != b:
                assert np.abs(head.drive_ma(np.stack([one, -one]), (a, b))).max() <= 1.0 + 1e-12


def test_the_artefact_is_largest_at_the_electrodes_and_signed() -> None:
    head = Head(CHANNELS, SITES)
    one = np.ones(1)
    seen = dict(
        zip(CHANNELS, head.artefact_ma(np.stack([one, -one]), ("Oz", "Cz"))[:, 0], strict=True)
    )
    assert max(seen, key=lambda name: abs(seen[name])) in ("Oz", "Cz")
    assert seen["Oz"] > 0.5
    assert seen["Cz"] < -0.5
    assert head.artefact_ma(one, ())[CHANNELS.index("Oz"), 0] > 0.9


@pytest.mark.parametrize("name", ["T3", "oz", "X1"])
def test_unknown_sites_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        Head(CHANNELS, (name,))
    with pytest.raises(InputError, match=name):
        Head(("Oz", name), SITES)
    with pytest.raises(InputError, match=name):
        Head(CHANNELS, SITES).drive_ma(np.zeros((1, 3)), (name,))


@pytest.mark.parametrize("channels", [(), ("Oz", "Oz")])
def test_channels_stand_once(channels) -> None:
    with pytest.raises(InputError, match="each once"):
        Head(channels, SITES)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5, 2.0])
def test_background_has_the_slope_and_the_size_asked_for(exponent: float) -> None:
    signal_uv = make_background(exponent=exponent).take(250 * 300)
    freqs_hz, psd = welch(signal_uv, 250.0, nperseg=1000, axis=0)
    used = (freqs_hz >= 2.0) & (freqs_hz <= 40.0)
    slope = np.polyfit(np.log10(freqs_hz[used]), np.log10(psd[used].mean(axis=1)), 1)[0]
    assert -slope == pytest.approx(exponent, abs=0.05)
    freqs_hz, psd = welch(signal_uv, 250.0, nperseg=5000, axis=0)
    band = (freqs_hz >= 1.0) & (freqs_hz <= 45.0)
    rms_uv = np.sqrt(np.trapezoid(psd[band], freqs_hz[band], axis=0))
    assert rms_uv == pytest.approx(np.full(4, 6.0), rel=0.05)


def test_near_channels_share_background() -> None:
    channels = ("O1", "Oz", "Fp1")
    noise = Background(
        channels,
        250.0,
        exponent=1.0,
        aperiodic_uv=5.0,
        sensor_noise_uv=0.0,
        emg_uv=0.0,
        seed=np.random.SeedSequence(1),
    )
    likeness = np.corrcoef(np.diff(noise.take(20_000), axis=0).T)
    assert likeness[0, 1] > 0.5
    assert likeness[0, 2] < 0.2


def test_sensor_noise_and_muscle_have_their_size() -> None:
    sensor_uv = make_background(aperiodic_uv=0.0, sensor_noise_uv=0.7).take(50_000)
    assert sensor_uv.std(axis=0) == pytest.approx(np.full(4, 0.7), rel=0.02)
    muscle_uv = make_background(aperiodic_uv=0.0, emg_uv=4.0).take(50_000)
    assert muscle_uv[:, 1:3].std(axis=0) == pytest.approx([4.0, 4.0], rel=0.05)
    assert muscle_uv[:, 3].std() < 0.5
    freqs_hz, psd = welch(muscle_uv[:, 1], 250.0, nperseg=500)
    assert psd[freqs_hz < 10.0].mean() < 0.01 * psd[freqs_hz > 40.0].mean()


def test_background_in_two_stretches_is_one_stretch() -> None:
    whole = make_background(sensor_noise_uv=0.5, emg_uv=1.0).take(1000)
    cut = make_background(sensor_noise_uv=0.5, emg_uv=1.0)
    parts = np.concatenate([cut.take(1), cut.take(399), cut.take(600)])
    assert np.abs(parts - whole).max() < 1e-9
    assert not np.allclose(make_background(1).take(1000), whole)


def test_blinks_are_frontal_brief_and_as_frequent_as_asked() -> None:
    times_s = np.arange(250 * 600) / 250.0
    blinks = Blinks(("Fp1", "Cz", "Oz"), 12.0, 120.0, np.random.SeedSequence(0))
    signal_uv = blinks.take(times_s)
    assert signal_uv[:, 0].max() > 80.0
    assert signal_uv[:, 2].max() < 1.0
    onsets = np.flatnonzero((signal_uv[1:, 0] > 0) & (signal_uv[:-1, 0] == 0))
    assert len(onsets) == pytest.approx(120, abs=33)
    again = Blinks(("Fp1", "Cz", "Oz"), 12.0, 120.0, np.random.SeedSequence(0))
    parts = np.concatenate([again.take(piece) for piece in np.array_split(times_s, 61)])
    assert np.abs(parts - signal_uv).max() < 1e-9


def test_no_blinks_when_none_are_asked_for_and_none_from_the_past() -> None:
    times_s = np.arange(1000) / 250.0
    assert not np.any(Blinks(("Fp1",), 0.0, 120.0, np.random.SeedSequence(0)).take(times_s))
    blinks = Blinks(("Fp1",), 60.0, 120.0, np.random.SeedSequence(0))
    blinks.skip_to(7200.0)
    assert blinks.take(7200.0 + times_s).max() > 10.0


def test_body_rhythm_stays_within_one_and_moves() -> None:
    values = BodyRhythm(np.random.SeedSequence(0)).at(np.arange(0.0, 60.0, 0.01))
    assert np.abs(values).max() <= 1.0
    assert values.std() == pytest.approx(0.5, abs=0.03)


def test_raw_has_volts_positions_and_notes() -> None:
    raw = make_raw(np.full((2, 500), 25.0), ("Oz", "Cz"), 250.0, [(0.0, 2.0, "eyes closed")])
    assert np.allclose(raw.get_data(), 25e-6, rtol=1e-9)
    assert raw.get_channel_types() == ["eeg", "eeg"]
    assert sorted(raw.get_montage().get_positions()["ch_pos"]) == ["Cz", "Oz"]
    assert list(raw.annotations.description) == ["eyes closed"]
