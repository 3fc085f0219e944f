"""EEG under current: known truth, refusals, and what every cleaned recording tells of itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("benchmarks.artifact_made", reason="benchmarks are not here")

from analysis import CurrentTrace, load_recording, remove_stimulation_artifact
from analysis.artifact import METHODS
from analysis.artifact_ged import Removal, threshold_ged
from analysis.artifact_inject import inject
from analysis.artifact_lines import Stimulated
from analysis.artifact_report import clipped_share
from analysis.artifact_result import CleanedRecording
from analysis.errors import AnalysisError, UnusableRecording
from benchmarks.artifact import phase_locking, score
from benchmarks.artifact_made import CHANNELS, Made, in_band, make
from devices.delivered import sine_current
from devices.patient import PatientTruth, VirtualPatient
from tests.data import recording

Array = NDArray[np.float64]

SECONDS = 50.0


def cleaned_by(made: Made, method: str = "ged", **more: Any) -> CleanedRecording:
    more = {"plateau_s": (0.0, made.stim_v.shape[1] / made.sfreq_hz), **more}
    return remove_stimulation_artifact(
        made.raw(made.stim_v),
        rest=made.raw(made.rest_v),
        stim_hz=made.stim_hz,
        method=method,  # type: ignore[arg-type]
        **more,
    )


@pytest.fixture(scope="module")
def risen() -> Made:
    """Conventional current; alpha 1.5 times as large under it."""
    return make(11, gain=1.5, duration_s=SECONDS)


@pytest.fixture(scope="module")
def modulated() -> Made:
    """Residue of amplitude-modulated current."""
    return make(12, kind="am", gain=1.5, duration_s=SECONDS)


@pytest.fixture(scope="module")
def cleaned(risen: Made) -> CleanedRecording:
    return cleaned_by(risen)


def test_the_source_comes_back_under_conventional_current(risen: Made, cleaned: CleanedRecording):
    found = score(risen, cleaned.raw.get_data())
    assert found["r"] >= 0.94
    assert found["phase_sd_deg"] <= 26.0
    assert found["true_db"] > 2.0
    assert found["change_db"] == pytest.approx(found["true_db"], abs=0.6)
    assert (cleaned.status, cleaned.reasons) == ("cleaned", ())


def test_the_source_comes_back_under_amplitude_modulation(modulated: Made):
    result = cleaned_by(modulated, carrier_hz=80.0)
    found = score(modulated, result.raw.get_data())
    assert found["r"] >= 0.98
    assert found["change_db"] == pytest.approx(found["true_db"], abs=0.6)
    assert result.kind == "amplitude-modulated"


def test_a_rise_beyond_the_threshold_is_not_taken_for_artefact():
    made = make(13, gain=4.0, duration_s=SECONDS)
    found = score(made, cleaned_by(made).raw.get_data())
    assert found["true_db"] > 10.0 > 9.0
    assert found["change_db"] == pytest.approx(found["true_db"], abs=0.6)
    assert found["r"] >= 0.94


def test_an_artefact_of_sixty_decibels_leaves_no_more_than_one_of_forty():
    made = make(112, gain=1.5, excess_db=60.0, duration_s=SECONDS)
    result = cleaned_by(made)
    found = score(made, result.raw.get_data())
    assert result.status == "cleaned"
    assert found["r"] >= 0.94
    assert found["change_db"] == pytest.approx(found["true_db"], abs=0.6)


def test_a_clock_fifty_parts_in_a_million_off_is_measured():
    made = make(14, duration_s=SECONDS, stim_hz=10.0005)
    result = remove_stimulation_artifact(
        made.raw(made.stim_v),
        rest=made.raw(made.rest_v),
        stim_hz=10.0,
        plateau_s=(0.0, SECONDS),
    )
    assert result.stim_hz == pytest.approx(10.0005, abs=2e-4)
    assert result.stated_hz == 10.0
    assert score(made, result.raw.get_data())["r"] >= 0.94
    assert result.status == "cleaned"


def test_without_an_artefact_nothing_is_touched(risen: Made):
    other = make(11, gain=1.0, duration_s=SECONDS)
    result = remove_stimulation_artifact(
        other.raw(other.clean_v),
        rest=other.raw(other.rest_v),
        stim_hz=10.0,
        plateau_s=(0.0, SECONDS),
    )
    assert result.components == ()
    assert np.array_equal(result.raw.get_data(), other.clean_v)
    assert any("no line stands out" in warning for warning in result.warnings)


@pytest.mark.parametrize("method", ["template", "sine", "adaptive", "lms"])
def test_temporal_methods_leave_sidebands_and_are_told_so(risen: Made, method: str):
    result = cleaned_by(risen, method)
    first = result.residue[0]
    assert result.status != "cleaned"
    assert first.left_db > 10.0
    assert "sidebands" in result.reasons[0]
    found = score(risen, result.raw.get_data())
    assert found["change_db"] > found["true_db"] + 0.5  # what would have been claimed
    assert max(test.recovered_db - test.planted_db for test in result.injection) < 1.0


def test_sass_makes_a_rise_look_like_a_fall_and_the_injection_shows_it(risen: Made):
    result = cleaned_by(risen, "sass")
    found = score(risen, result.raw.get_data())
    assert found["true_db"] > 2.0 > 0.0 > found["change_db"]
    assert result.status == "distorted"
    assert any("by construction" in warning for warning in result.warnings)
    assert "means nothing" in result.summary()


def test_the_comb_takes_alpha_with_it(modulated: Made):
    result = cleaned_by(modulated, "comb")
    found = score(modulated, result.raw.get_data())
    assert found["change_db"] < found["true_db"] - 1.0
    assert result.status == "distorted"


def test_template_and_ged_together_are_as_good(risen: Made, cleaned: CleanedRecording):
    both = score(risen, cleaned_by(risen, "template+ged").raw.get_data())
    assert both["r"] == pytest.approx(score(risen, cleaned.raw.get_data())["r"], abs=0.02)


def test_the_virtual_patient_looks_as_it_would_without_the_artefact():
    changes = []
    current = sine_current(70.0, 1.0, 10.0, ramp_s=5.0, electrodes={"Oz": 1.0, "Cz": -1.0})
    trace = CurrentTrace(current.samples_ma, current.electrodes, current.sfreq_hz)
    for artefact_uv_per_ma in (0.0, 5000.0):
        truth = PatientTruth(peak_hz=10.2, artefact_uv_per_ma=artefact_uv_per_ma)
        patient = VirtualPatient(truth, 3)
        rest = patient.record(60.0)
        under = patient.record(70.0, current=current)
        result = remove_stimulation_artifact(under, rest=rest, stim_hz=10.0, current=trace)
        assert (result.status, result.reasons) == ("cleaned", ())
        assert (result.span.start_s, result.span.stop_s) == pytest.approx((5.8, 64.2), abs=0.5)
        changes.append(float(np.median(result.band_change_db)))
    assert len(result.components) >= 2
    assert result.locking.before.mean() > 0.99
    assert changes[1] == pytest.approx(changes[0], abs=0.3)


def case_of(made: Made) -> Stimulated:
    return Stimulated(made.stim_v, made.rest_v, made.sfreq_hz, made.stim_hz)


def test_the_injection_catches_a_method_that_removes_the_brain(risen: Made):
    case = case_of(risen)

    def everything(seen: Stimulated) -> Removal:
        return Removal(seen.stim.copy())

    def half(seen: Stimulated) -> Removal:
        return Removal(0.5 * seen.stim)

    def nothing(seen: Stimulated) -> Removal:
        return Removal(np.zeros_like(seen.stim))

    gone = inject(case, risen.stim_v, everything)
    assert [test.passed for test in gone] == [False, False]
    assert gone[1].recovered_db == -60.0
    assert [t.passed for t in inject(case, np.zeros_like(risen.stim_v), half)] == [False, False]
    left = inject(case, np.zeros_like(risen.stim_v), nothing)
    assert [test.recovered_db for test in left] == pytest.approx([0.0, 3.0], abs=0.01)
    ours = inject(case, threshold_ged(case).artefact, threshold_ged)
    assert all(test.passed and test.held_out for test in ours)


def test_true_entrainment_is_lost_and_a_claim_of_it_refused():
    made = make(15, entrained=0.7, duration_s=SECONDS)
    result = cleaned_by(made)
    assert phase_locking(made, made.clean_v) > 0.5
    assert phase_locking(made, result.raw.get_data()) < 0.1
    with pytest.raises(UnusableRecording, match="cannot be told from artefact") as refusal:
        result.entrainment()
    assert any("without the line" in reason for reason in refusal.value.reasons)
    assert any("after the current" in reason for reason in refusal.value.reasons)
    assert result.to_dict()["entrainment"]["identifiable_at_stim_hz"] is False


def test_under_modulation_a_phantom_is_asked_for(modulated: Made):
    with pytest.raises(UnusableRecording, match="phantom"):
        cleaned_by(modulated, carrier_hz=80.0).entrainment()


def test_everything_is_told(cleaned: CleanedRecording):
    told = json.loads(json.dumps(cleaned.to_dict(), allow_nan=False))
    assert {
        *("status", "components", "residue", "clipped_share", "plv", "injection", "entrainment"),
        *("band_change_db", "off_frequency_db", "after_stimulation_s", "plateau_s", "warnings"),
    } <= set(told)
    assert told["n_components"] == len(told["components"]) >= 3
    assert told["components"][0]["kind"] == "line"
    assert all(part["excess_db"] > 9.0 for part in told["components"])
    assert told["plv"]["before"]["mean"] > 0.9
    assert told["plv"]["after"]["mean"] < told["plv"]["chance95"]
    assert [test["planted_db"] for test in told["injection"]] == [0.0, 3.0]
    line = told["residue"][0]
    assert line["line_db"]["before"] > 30.0
    assert line["respiration_db"]["after"] < line["respiration_db"]["before"]
    assert line["heartbeat_db"]["after"] < line["heartbeat_db"]["before"]


def test_the_figure_has_every_part(cleaned: CleanedRecording):
    figure = cleaned.plot()
    titles = {axes.get_title() for axes in figure.axes}
    assert {"spectra", "removed, excess over rest", "injection test (dB)"} <= titles
    assert "power may be read" in figure.get_suptitle()


def test_clipping_is_counted_and_a_sine_is_not_clipped():
    time_s = np.arange(5000) / 250.0
    wave = np.sin(2 * np.pi * 1.0 * time_s)
    cut = np.minimum(wave, 0.8)
    expected = float(np.mean(wave >= 0.8))
    quantised = np.round(40.0 * np.random.default_rng(0).normal(size=5000))
    share = clipped_share(np.array([wave, cut, np.zeros(5000), quantised]))
    assert share[0] == 0.0
    assert share[1] == pytest.approx(expected, abs=2e-3)
    assert share[2] == 1.0
    assert share[3] < 0.001


def clipped(made: Made, names: tuple[str, ...]) -> Array:
    data = made.stim_v.copy()
    for name in names:
        row = CHANNELS.index(name)
        top = 0.7 * np.abs(data[row]).max()
        data[row] = np.clip(data[row], -top, top)
    return data


def test_a_channel_that_clipped_is_left_out_and_named(risen: Made):
    result = remove_stimulation_artifact(
        risen.raw(clipped(risen, ("T7", "F8"))),
        rest=risen.raw(risen.rest_v),
        stim_hz=10.0,
        plateau_s=(0.0, SECONDS),
    )
    assert result.raw.info["bads"] == ["F8", "T7"]
    assert result.clipped["T7"] > 0.1 > 0.0 == result.clipped["Oz"]
    assert any("left out: F8, T7" in warning for warning in result.warnings)
    assert result.status == "cleaned"


def test_a_saturated_recording_is_refused(risen: Made):
    with pytest.raises(UnusableRecording, match="9 of 32 channels clipped"):
        remove_stimulation_artifact(
            risen.raw(clipped(risen, CHANNELS[:9])), rest=risen.raw(risen.rest_v), stim_hz=10.0
        )


def refused(made: Made, *, stim: Any = None, rest: Any = None, **options: Any) -> str:
    under = made.raw(made.stim_v) if stim is None else stim
    quiet = made.raw(made.rest_v) if rest is None else rest
    with pytest.raises(AnalysisError) as refusal:
        remove_stimulation_artifact(under, rest=quiet, **{"stim_hz": 10.0, **options})
    return str(refusal.value)


def test_what_does_not_fit_is_refused_in_one_line(risen: Made):
    rest = risen.raw(risen.rest_v)
    slow = rest.copy().resample(200.0, verbose="ERROR")
    assert "sampled at 250 Hz" in refused(risen, rest=slow)
    renamed = rest.copy().rename_channels({name: f"X{name}" for name in CHANNELS[:20]})
    assert "12 of 32 channels" in refused(risen, rest=renamed)
    assert "between 0.1 and 112.5 Hz" in refused(risen, stim_hz=500.0)
    assert "lies at 10.00 Hz, none like it at 11 Hz" in refused(risen, stim_hz=11.0)
    assert "give one of ged, sass" in refused(risen, method="magic")
    assert "no stretch from 40 to 60 s" in refused(risen, plateau_s=(40.0, 60.0))
    assert "20 s are needed" in refused(risen, plateau_s=(5.0, 15.0))
    assert "of rest: 20 s are needed" in refused(risen, rest=rest.copy().crop(0.0, 12.0))
    assert "above twice the envelope" in refused(risen, carrier_hz=15.0)
    assert "threshold" in refused(risen, threshold_db=-1.0)


def test_another_reference_than_at_rest_is_refused(risen: Made):
    common = risen.stim_v + 1e-5 * np.random.default_rng(1).normal(size=risen.stim_v.shape[1])
    flat = risen.rest_v - risen.rest_v.mean(axis=0)
    message = refused(risen, stim=risen.raw(20.0 * common), rest=risen.raw(flat))
    assert "same reference" in message


def test_bad_spans_of_rest_are_left_out(risen: Made):
    import mne

    rest = risen.rest_v.copy()
    rest[:, 2500:3000] += 1e-2 * np.random.default_rng(2).normal(size=(len(CHANNELS), 500))
    marked = risen.raw(rest)
    marked.set_annotations(mne.Annotations([9.9], [2.3], ["BAD_move"]))
    result = remove_stimulation_artifact(
        risen.raw(risen.stim_v), rest=marked, stim_hz=10.0, plateau_s=(0.0, SECONDS)
    )
    assert result.status == "cleaned"
    assert score(risen, result.raw.get_data())["r"] >= 0.94


def test_marks_move_with_the_stretch_and_a_flat_channel_is_left_out(risen: Made):
    import mne

    under = risen.raw(risen.stim_v)
    under.set_annotations(mne.Annotations([2.0, 8.0, 30.0], [1.0, 4.0, 0.0], ["a", "b", "c"]))
    rest = risen.rest_v.copy()
    rest[3] = 0.0
    result = remove_stimulation_artifact(
        under, rest=risen.raw(rest), stim_hz=10.0, plateau_s=(10.0, 45.0)
    )
    marks = result.raw.annotations
    assert list(marks.description) == ["b", "c"]
    assert list(marks.onset) == pytest.approx([0.0, 20.0])
    assert list(marks.duration) == pytest.approx([2.0, 0.0])
    assert result.raw.info["bads"] == [CHANNELS[3]]
    assert any("flat at rest" in warning for warning in result.warnings)


def test_a_recording_with_holes_is_refused(risen: Made):
    data = risen.stim_v.copy()
    data[0, 100] = np.nan
    assert "NaN" in refused(risen, stim=risen.raw(data))


def test_every_method_has_a_name(risen: Made):
    assert set(METHODS) == {
        *("ged", "sass", "template", "sine", "adaptive", "lms", "comb", "template+ged"),
    }


def test_a_real_brain_comes_back_from_under_a_made_artefact():
    raw = load_recording(recording("eegmmidb_s001/S001R02.edf")).raw
    fs, half = float(raw.info["sfreq"]), raw.n_times // 2
    rest, under = raw.get_data()[:, :half], raw.get_data()[:, half:]
    rng = np.random.default_rng(0)
    place = np.array([channel["loc"][:3] for channel in raw.info["chs"]])
    unit = place / np.linalg.norm(place, axis=1, keepdims=True)
    ends = rng.normal(size=(2, 3))
    near = unit @ (ends / np.linalg.norm(ends, axis=1, keepdims=True)).T
    time_s = np.arange(under.shape[1]) / fs
    n_ch = len(unit)
    depth = 1.0
    for rate_hz in (0.25, 1.1):
        depth = depth + 0.01 * rng.normal(size=(n_ch, 1)) * np.cos(2 * np.pi * rate_hz * time_s)
    lag = 0.1 * rng.normal(size=(n_ch, 1))
    wave = (near[:, :1] - near[:, 1:]) * depth * np.cos(2 * np.pi * 10.0 * time_s + lag)
    wave *= 100.0 * in_band(under, fs).std() / in_band(wave, fs).std()
    parts = []
    for data in (rest, under + wave):
        part = raw.copy().crop(0.0, (data.shape[1] - 1) / fs)
        part.apply_function(lambda _, data=data: data, channel_wise=False, picks="all")
        parts.append(part)
    result = remove_stimulation_artifact(
        parts[1], rest=parts[0], stim_hz=10.0, plateau_s=(0.0, under.shape[1] / fs)
    )
    inner = slice(round(fs), -round(fs))
    seen = in_band(result.raw.get_data(), fs)[:, inner]
    truth = in_band(under, fs)[:, inner]
    r = [np.corrcoef(one, other)[0, 1] for one, other in zip(seen, truth, strict=True)]
    error_db = 10.0 * np.log10(seen.var(axis=1) / truth.var(axis=1))
    assert result.status == "cleaned"
    assert np.median(r) >= 0.94
    assert abs(np.median(error_db)) <= 0.6
