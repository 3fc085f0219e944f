"""The virtual patient: what it shows is what is true of it, and it answers to delivered current."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import welch

from devices.aftereffect import AfterEffectTruth
from devices.cohort import record_together
from devices.delivered import DeliveredCurrent, sine_current
from devices.patient import Node, PatientTruth, VirtualPatient, ln_power_ratio
from tacs.errors import InputError

OZ_CZ = {"Oz": 1.0, "Cz": -1.0}
ONE_NODE = PatientTruth(nodes=(Node("occipital", "Oz"),), coupling_per_s=())


def psd_uv(raw, channel: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spectrum of one channel in square microvolt per Hz."""
    signal_uv = 1e6 * raw.get_data(picks=[channel])[0]
    freqs_hz, psd = welch(signal_uv, raw.info["sfreq"], nperseg=round(4 * raw.info["sfreq"]))
    return freqs_hz, psd


def ln_band_power(raw, channel: str, low_hz: float, high_hz: float) -> float:
    freqs_hz, psd = psd_uv(raw, channel)
    return math.log(psd[(freqs_hz >= low_hz) & (freqs_hz <= high_hz)].sum())


@pytest.fixture(scope="module")
def closed_open():
    """One patient with eyes closed, then open, 90 s each."""
    patient = VirtualPatient(PatientTruth(), 3)
    return patient, patient.record(90.0, eyes="closed"), patient.record(90.0, eyes="open")


def test_a_recording_is_an_ordinary_one(closed_open) -> None:
    _, raw, other = closed_open
    assert len(raw.ch_names) >= 19
    assert raw.info["sfreq"] == 250.0
    assert raw.n_times == 90 * 250
    assert 5e-6 < raw.get_data().std() < 5e-5
    assert set(raw.get_montage().get_positions()["ch_pos"]) == set(raw.ch_names)
    notes = raw.annotations
    assert list(zip(notes.onset, notes.duration, notes.description, strict=True)) == [
        (0.0, 90.0, "eyes closed")
    ]
    assert list(other.annotations.description) == ["eyes open"]
    raw.copy().pick(["O1", "Oz"]).filter(1.0, 40.0, verbose=False).set_eeg_reference(verbose=False)
    assert raw.copy().crop(10.0, 20.0).compute_psd(verbose=False).get_data().min() > 0.0


def test_alpha_is_posterior_and_shrinks_with_open_eyes(closed_open) -> None:
    patient, closed, opened = closed_open
    height = {name: ln_band_power(closed, name, 9.0, 11.0) for name in ("Oz", "O1", "Pz", "C3")}
    assert height["Oz"] > height["O1"] > height["Pz"] > height["C3"] + 0.5
    before, after = patient.recordings
    expected = ln_power_ratio(before, after)["occipital"]
    assert expected == pytest.approx(-math.log(16.0), abs=0.01)
    seen = ln_band_power(opened, "Oz", 9.0, 11.0) - ln_band_power(closed, "Oz", 9.0, 11.0)
    # With eyes open the background is a larger part of the band.
    assert expected < seen < expected + 0.5


def test_blinks_come_with_open_eyes_only(closed_open) -> None:
    _, closed, opened = closed_open
    assert np.ptp(opened.get_data(picks=["Fp1"])) > np.ptp(closed.get_data(picks=["Fp1"])) + 40e-6


def test_the_peak_of_the_recording_is_the_true_one() -> None:
    peaks_hz = (8.0, 9.3, 10.0, 10.8, 12.4)
    patients = [
        VirtualPatient(PatientTruth(peak_hz=peak_hz), 20 + i, channels=("O1", "Oz", "O2"))
        for i, peak_hz in enumerate(peaks_hz)
    ]
    for patient, raw in zip(patients, record_together(patients, 120.0), strict=True):
        truth_hz = patient.recordings[0].peak_hz
        assert truth_hz == pytest.approx(patient.truth.peak_hz, abs=0.45)
        freqs_hz, psd = psd_uv(raw, "Oz")
        near = np.abs(freqs_hz - truth_hz) <= 1.5
        assert np.average(freqs_hz[near], weights=psd[near]) == pytest.approx(truth_hz, abs=0.15)


def test_a_patient_without_rhythm_shows_none() -> None:
    patient = VirtualPatient(PatientTruth(amplitude_uv=0.0), 1, channels=("Oz",))
    freqs_hz, psd = psd_uv(patient.record(120.0), "Oz")
    beside = psd[(np.abs(freqs_hz - 7.0) < 1.0) | (np.abs(freqs_hz - 14.0) < 1.0)]
    assert psd[np.abs(freqs_hz - 10.0) < 1.0].mean() == pytest.approx(beside.mean(), rel=0.25)


def test_planted_after_effect_shows_in_three_minutes_of_eeg() -> None:
    strong = AfterEffectTruth(gain_20min=1.063)
    truth = PatientTruth(after_effect=strong)
    patients = [VirtualPatient(truth, seed, channels=("Oz", "F3")) for seed in range(20)]
    before = record_together(patients, 180.0)
    session = sine_current(300.0, 1.0, 10.0)
    for patient in patients:
        patient.receive(session)
    after = record_together(patients, 180.0)
    expected = ln_power_ratio(*patients[0].recordings)
    # w fades by 1.5 min to the middle of the recording; drift goes on for 8 min.
    assert strong.grown(300.0) == pytest.approx(0.300, abs=0.0005)
    w = strong.faded(strong.grown(300.0), 90.0)
    drift = math.log((1.0 + 0.003 * 9.5) / (1.0 + 0.003 * 1.5))
    assert expected["occipital"] == pytest.approx(math.log1p(w) + drift, abs=0.001)
    assert expected["left_frontal"] == pytest.approx(-math.log1p(w) + drift, abs=0.001)
    assert expected["right_frontal"] == pytest.approx(drift, abs=0.001)
    seen = [
        ln_band_power(post, "Oz", 8.0, 12.0) - ln_band_power(pre, "Oz", 8.0, 12.0)
        for pre, post in zip(before, after, strict=True)
    ]
    assert np.mean(seen) == pytest.approx(expected["occipital"], abs=0.05)
    assert np.std(seen) < 0.06
    frontal = [
        ln_band_power(post, "F3", 9.0, 11.0) - ln_band_power(pre, "F3", 9.0, 11.0)
        for pre, post in zip(before, after, strict=True)
    ]
    assert np.mean(frontal) == pytest.approx(expected["left_frontal"], abs=0.05)


def test_nothing_given_nothing_left_but_drift() -> None:
    patient = VirtualPatient(PatientTruth(), 0, channels=("Oz",))
    patient.record(1.0)
    patient.receive(DeliveredCurrent(np.zeros((2, 600_000)), 1000.0, ("Oz", "Cz")))
    patient.record(1.0)
    assert set(patient.truth_now().w.values()) == {0.0}
    ratio = ln_power_ratio(*patient.recordings)["occipital"]
    assert ratio == pytest.approx(0.003 * 10.0, abs=0.0007)


def test_after_effect_of_a_session_and_its_fading() -> None:
    patient = VirtualPatient(ONE_NODE, 0, channels=("Oz",))
    patient.stimulate(1200.0, 1.0, 10.0, electrodes=OZ_CZ)
    w = [patient.truth_now().w["occipital"]]
    for wait_s in (600.0, 1200.0, 2400.0):
        patient.wait(wait_s)
        w.append(patient.truth_now().w["occipital"])
    # Oz-Cz reaches this source with 0.98 to 1 of the current of the best pair.
    assert w == pytest.approx([0.300, 0.254, 0.182, 0.093], rel=0.02)
    change = patient.truth_now().power_change["occipital"]
    assert change == pytest.approx((1.0 + w[-1]) * (1.0 + 0.003 * 90.0), rel=1e-9)


@pytest.mark.parametrize(
    ("delivered", "eyes", "share"),
    [
        ((1.0, 10.0), "open", 1.0),
        ((0.5, 10.0), "open", 0.5),
        ((1.0, 12.0), "open", 1 / 17),
        ((1.0, 10.0), "closed", 0.075),
    ],
)
def test_the_delivered_current_counts(delivered, eyes, share: float) -> None:
    patient = VirtualPatient(ONE_NODE, 0, channels=("Oz",))
    patient.stimulate(300.0, *delivered, eyes=eyes)
    full = AfterEffectTruth().grown(300.0)
    assert patient.truth_now().w["occipital"] == pytest.approx(share * full, rel=0.01)


def test_the_sign_belongs_to_the_site() -> None:
    patient = VirtualPatient(PatientTruth(), 0, channels=("Oz",))
    patient.stimulate(2400.0, 1.0, 10.0, electrodes={"F3": 1.0, "F4": 1.0, "Cz": -2.0})
    change = patient.truth_now().power_change
    drift = 1.0 + 0.003 * 40.0
    assert change["left_frontal"] < 0.8 * drift
    assert change["right_frontal"] == pytest.approx(drift)
    assert change["occipital"] == pytest.approx(drift, rel=0.03)


def test_recording_under_current_and_receiving_it_leave_the_same() -> None:
    current = sine_current(40.0, 1.2, 10.3, ramp_s=5.0, electrodes=OZ_CZ)
    one, other = (VirtualPatient(PatientTruth(), 0, channels=("Oz",)) for _ in range(2))
    raw = one.record(40.0, eyes="open", current=current)
    other.receive(current, eyes="open")
    assert one.time_s == other.time_s == 40.0
    assert one.truth_now().w == pytest.approx(other.truth_now().w, rel=0.02)
    assert one.recordings[0].under_current
    assert sorted(raw.annotations.description) == ["current on", "eyes open"]


def test_the_artefact_follows_the_current_and_the_body() -> None:
    truth = PatientTruth(amplitude_uv=0.0, aperiodic_uv=0.0, blinks_per_min=0.0)
    patient = VirtualPatient(truth, 0)
    raw = patient.record(40.0, current=sine_current(40.0, 1.0, 10.0, electrodes=OZ_CZ))
    data_uv = 1e6 * raw.get_data(picks=["Oz", "Cz"])
    times_s = np.arange(raw.n_times) / 250.0
    oz_uv, cz_uv = 2.0 * (data_uv @ np.sin(2 * np.pi * 10.0 * times_s)) / raw.n_times
    assert oz_uv > 2000.0
    assert cz_uv < -2000.0
    # Heartbeat and breathing: a template of fixed size does not take the artefact away.
    rest_uv = data_uv[0] - oz_uv * np.sin(2 * np.pi * 10.0 * times_s)
    freqs_hz, psd = welch(rest_uv, 250.0, nperseg=5000)
    sideband = psd[np.abs(freqs_hz - 11.1) < 0.06].max()
    assert sideband > 100.0 * psd[np.abs(freqs_hz - 14.0) < 0.5].mean()


def test_current_locks_the_rhythm_while_it_flows() -> None:
    # Made without artefact, as no real recording is: what is left is the brain's answer.
    truth = PatientTruth(artefact_uv_per_ma=0.0, wander_sd_hz=0.0, aperiodic_uv=0.5)
    patient = VirtualPatient(truth, 5, channels=("Oz",))
    times_s = np.arange(60 * 250) / 250.0
    plv = []
    for current in (None, sine_current(60.0, 2.0, 10.0, electrodes=OZ_CZ)):
        raw = patient.record(60.0, eyes="open", current=current)
        raw.filter(6.0, 14.0, verbose=False).apply_hilbert(verbose=False)
        analytic = raw.get_data()[0][250:-250]
        turns = analytic / np.abs(analytic) * np.exp(-2j * np.pi * 10.0 * times_s[250:-250])
        plv.append(abs(turns.mean()))
    assert plv[0] < 0.25
    assert plv[1] == pytest.approx(0.58, abs=0.12)


def test_the_phase_outlasts_the_current() -> None:
    truth = PatientTruth(
        sensitivity_per_s_ma=20.0, aperiodic_uv=0.0, sensor_noise_uv=0.0, wander_sd_hz=0.0
    )
    locking = []
    for current_peak_ma in (0.0, 2.0):
        patients = [VirtualPatient(truth, seed, channels=("Oz",)) for seed in range(12)]
        for patient in patients:
            patient.stimulate(5.0, current_peak_ma, 10.0)
        raws = record_together(patients, 0.1, eyes="open")
        template = np.exp(-2j * np.pi * 10.0 * np.arange(25) / 250.0)
        phasors = np.array([raw.get_data()[0] @ template for raw in raws])
        locking.append(abs(np.mean(phasors / np.abs(phasors))))
    assert locking[0] < 0.5
    assert locking[1] > 0.9


def test_same_seed_same_data_and_another_seed_other_data() -> None:
    def record(seed: int) -> NDArray[np.float64]:
        patient = VirtualPatient(PatientTruth(emg_uv=2.0), seed, channels=("Fp1", "Oz"))
        first = patient.record(3.0, eyes="open").get_data()
        patient.stimulate(10.0, 1.0, 10.0)
        return np.concatenate([first, patient.record(3.0).get_data()], axis=1)

    assert np.array_equal(record(1), record(1))
    assert np.corrcoef(record(1)[1], record(2)[1])[0, 1] < 0.5


@settings(max_examples=8, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 499), max_size=4, unique=True),
    eyes=st.sampled_from(["open", "closed"]),
)
def test_recordings_in_a_row_are_one_recording(cuts, eyes) -> None:
    truth = PatientTruth(blinks_per_min=60.0, emg_uv=1.0)
    whole = VirtualPatient(truth, 7, channels=("Fp1", "Oz")).record(2.0, eyes=eyes).get_data()
    patient = VirtualPatient(truth, 7, channels=("Fp1", "Oz"))
    lengths_s = np.diff([0, *sorted(cuts), 500]) / 250.0
    parts = [patient.record(float(length_s), eyes=eyes).get_data() for length_s in lengths_s]
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() < 1e-10


def test_together_is_each_alone() -> None:
    def make() -> list[VirtualPatient]:
        return [
            VirtualPatient(PatientTruth(peak_hz=9.0 + i, plasticity=0.5 * i), i, channels=("Oz",))
            for i in range(3)
        ]

    currents = [None, sine_current(12.0, 1.0, 10.0), sine_current(12.0, 2.0, 11.0)]
    together = record_together(make(), 12.0, currents=currents)
    for patient, current, raw in zip(make(), currents, together, strict=True):
        alone = patient.record(12.0, current=current)
        assert np.abs(alone.get_data() - raw.get_data()).max() < 1e-10


@pytest.mark.parametrize("sfreq_hz", [128.0, 160.0, 256.0, 500.0, 2048.0])
def test_any_usual_sampling_rate(sfreq_hz: float) -> None:
    patient = VirtualPatient(PatientTruth(), 2, channels=("Oz",), sfreq_hz=sfreq_hz)
    raw = patient.record(20.0)
    assert raw.n_times == round(20.0 * sfreq_hz)
    freqs_hz, psd = psd_uv(raw, "Oz")
    alpha = psd[np.abs(freqs_hz - 10.0) <= 1.5].mean()
    assert alpha > 10.0 * psd[np.abs(freqs_hz - 30.0) <= 1.5].mean()


def test_plasticity_strengthens_links_of_what_was_stimulated() -> None:
    patient = VirtualPatient(PatientTruth(plasticity=1.0), 0, channels=("Oz",))
    before = np.array(patient.truth_now().coupling_per_s)
    patient.stimulate(1200.0, 1.0, 10.0, electrodes=OZ_CZ)
    state = patient.truth_now()
    grown = np.array(state.coupling_per_s) / np.where(before > 0.0, before, 1.0)
    change = (state.w["occipital"] + state.w["parietal"]) / 2.0
    assert grown[0, 1] == pytest.approx(1.0 + change, rel=1e-9)
    assert grown[0, 1] > grown[2, 3] + 0.1


def test_drawn_people_spread_as_people_do() -> None:
    peaks_hz = np.array([PatientTruth.draw(seed).peak_hz for seed in range(500)])
    assert peaks_hz.mean() == pytest.approx(10.0, abs=0.12)
    assert peaks_hz.std() == pytest.approx(0.88, abs=0.08)
    assert 7.5 <= peaks_hz.min() < peaks_hz.max() <= 12.5
    assert PatientTruth.draw(3, fwhm_hz=2.0).fwhm_hz == 2.0
    assert PatientTruth.draw(3).peak_hz == PatientTruth.draw(3, fwhm_hz=2.0).peak_hz


def test_truth_is_plain_json(closed_open) -> None:
    patient = closed_open[0]
    plain = json.loads(json.dumps(patient.truth.to_dict()))
    assert plain["peak_hz"] == 10.0
    assert plain["nodes"][0]["site"] == "Oz"
    assert plain["after_effect"]["tau_s"] == 3600.0
    assert len(plain["coupling_per_s"]) == 4
    assert json.loads(json.dumps(patient.truth_now().to_dict()))["time_s"] == 180.0
    assert json.loads(json.dumps(patient.recordings[0].to_dict()))["eyes"] == "closed"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"peak_hz": float("nan")}, "peak_hz"),
        ({"peak_hz": 60.0}, "peak_hz is 60"),
        ({"aperiodic_exponent": 3.0}, "aperiodic_exponent"),
        ({"nodes": ()}, "one to eight nodes"),
        ({"nodes": (Node("a", "Oz"), Node("a", "Pz"))}, "name of its own"),
        ({"nodes": (Node("a", "Oz"),)}, "must be 1 x 1"),
        ({"nodes": (Node("a", "Oz", direction=2),), "coupling_per_s": ()}, "node a"),
        ({"nodes": (Node("a", "Oz"),), "coupling_per_s": ((-1.0,),)}, "between 0 and 100"),
    ],
)
def test_impossible_truths_are_refused(changes, says) -> None:
    with pytest.raises(InputError, match=says):
        PatientTruth(**changes)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"duration_s": 0.0}, "positive"),
        ({"duration_s": float("nan")}, "positive"),
        ({"duration_s": 0.001}, "no sample"),
        ({"duration_s": 1.0, "eyes": "shut"}, "'shut'"),
        ({"duration_s": 2.0, "current": sine_current(1.0, 1.0, 10.0)}, "same length"),
    ],
)
def test_impossible_recordings_are_refused(arguments, says) -> None:
    patient = VirtualPatient(ONE_NODE, 0, channels=("Oz",))
    with pytest.raises(InputError, match=says):
        patient.record(**arguments)
    assert patient.time_s == 0.0


def test_impossible_patients_and_currents_are_refused() -> None:
    with pytest.raises(InputError, match="T3"):
        VirtualPatient(ONE_NODE, 0, channels=("T3",))
    with pytest.raises(InputError, match="30 Hz"):
        VirtualPatient(ONE_NODE, 0, sfreq_hz=30.0)
    with pytest.raises(InputError, match="seed -1"):
        VirtualPatient(ONE_NODE, -1)
    patient = VirtualPatient(PatientTruth(drift_per_min=-0.05), 0, channels=("Oz",))
    with pytest.raises(InputError, match="XX"):
        patient.receive(DeliveredCurrent(np.zeros((1, 5000)), 1000.0, ("XX",)))
    with pytest.raises(InputError, match="leaves no power"):
        patient.wait(1300.0)


def test_who_cannot_be_recorded_together_is_refused() -> None:
    one = VirtualPatient(ONE_NODE, 0, channels=("Oz",))
    broad = VirtualPatient(
        PatientTruth(fwhm_hz=2.0, nodes=ONE_NODE.nodes, coupling_per_s=()), 0, channels=("Oz",)
    )
    with pytest.raises(InputError, match="fwhm_hz"):
        record_together([one, broad], 1.0)
    with pytest.raises(InputError, match="once"):
        record_together([one, one], 1.0)
    with pytest.raises(InputError, match="one current"):
        record_together([one], 1.0, currents=[None, None])
