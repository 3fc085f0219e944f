"""The peak estimate: known truth, honest refusals, real recordings, the saved file."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import AnalysisError, PeakEstimate, find_peak, load_recording
from analysis.channels import montage_name
from analysis.figures import topomap
from analysis.peakfile import BESIDE, KEYS, OPTIONAL_KEYS
from tests.analysis.simulate import MadeEEG, make_eeg
from tests.data import recording

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
CONTRACT = {
    *("status", "frequency_hz", "ci95_hz", "center_of_gravity_hz", "prominence_db"),
    *("n_channels_used", "channels", "seconds_used", "aperiodic_exponent", "warnings", "reasons"),
    *("subject", "recording", "recording_sha256", "measured_at", "recorded_at", "method"),
}
ADDED = {
    *("band_hz", "provisional", "replication", "peaks", "channel_table", "stability"),
    *("aperiodic_knee_hz", "cross_check", "reactivity", "quality", "clean"),
}
HEAD = (
    *("Fp1", "Fp2", "F3", "F4", "Fz", "C3", "C4", "Cz", "T7", "T8"),
    *("P3", "P4", "Pz", "PO3", "PO4", "O1", "Oz", "O2"),
)


def peak_of(made: MadeEEG, **options: Any) -> PeakEstimate:
    return find_peak(made.raw(), now=NOW, **options)


# --- known truth -----------------------------------------------------------------------------


def test_known_peaks() -> None:
    """Accuracy, coverage and refusals over 60 recordings of many kinds."""
    errors, covered, refused = [], [], 0
    for i in range(60):
        rng = np.random.default_rng(1000 + i)
        truth = float(rng.uniform(8.0, 12.4))
        made = make_eeg(
            2000 + i,
            peak_hz=truth,
            duration_s=(60.0, 90.0, 120.0)[i % 3],
            exponent=float(rng.uniform(0.8, 2.0)),
            height_log10=(0.5, 0.8)[i % 2],
            width_hz=float(rng.uniform(0.4, 0.9)),
            shape="ar2" if i % 5 == 4 else "gauss",
            burst=i % 4 < 2,
            beta=i % 6 < 3,
            ch_names=("P3", "Pz", "O1", "O2"),
        )
        found = peak_of(made)
        if found.frequency_hz is None or found.ci95_hz is None:
            refused += 1
            continue
        errors.append(abs(found.frequency_hz - truth))
        covered.append(found.ci95_hz[0] <= truth <= found.ci95_hz[1])
    assert refused <= 4
    assert np.median(errors) < 0.08
    assert np.quantile(errors, 0.95) < 0.35
    assert np.mean(covered) >= 0.90


def test_no_peak_is_not_invented() -> None:
    """At most one false peak in 60 recordings without one, at every slope, knee or not."""
    false = []
    for i in range(60):
        made = make_eeg(
            3000 + i,
            peak_hz=None,
            duration_s=(35.0, 60.0, 120.0)[i % 3],
            exponent=(0.8, 1.2, 1.6, 2.0)[i // 3 % 4],
            beta=i % 2 == 0,
            knee_hz=(0.0, 5.0)[i // 2 % 2],
            ch_names=("O1",) if i % 5 == 0 else ("P3", "Pz", "O1", "O2"),
        )
        found = peak_of(made)
        assert found.status in {"found", "no_peak"}
        assert found.status == "found" or found.reasons
        false += [i] if found.status == "found" else []
    assert len(false) <= 1


@pytest.mark.parametrize("neighbour_hz", [5.0, 15.5])
def test_a_rhythm_next_to_the_band_is_not_its_peak(neighbour_hz: float) -> None:
    for seed in range(4):
        found = peak_of(make_eeg(seed, peak_hz=neighbour_hz, width_hz=0.8))
        assert found.status == "no_peak"
        assert found.frequency_hz is None


@pytest.mark.parametrize(("truth_hz", "band_hz"), [(13.0, (7.0, 15.0)), (7.0, (5.0, 13.0))])
def test_a_rhythm_at_the_edge_is_refused_until_the_band_is_widened(
    truth_hz: float, band_hz: tuple[float, float]
) -> None:
    for seed in range(5, 8):
        made = make_eeg(seed, peak_hz=truth_hz, width_hz=0.6, duration_s=90.0)
        refused = peak_of(made)
        assert refused.status == "no_peak"
        assert refused.frequency_hz is None
        assert any("edge of the band" in text and "--band" in text for text in refused.reasons)
        found = peak_of(made, band_hz=band_hz)
        assert found.frequency_hz == pytest.approx(truth_hz, abs=0.3)


def test_two_equal_rhythms_are_a_split_with_both_frequencies_and_no_interval() -> None:
    made = make_eeg(6, peak_hz=8.6, second=(2.6, 1.45), width_hz=0.4, burst=False, duration_s=180.0)
    found = peak_of(made)
    assert found.status == "found"
    assert found.ci95_hz is None
    assert sorted(peak.frequency_hz for peak in found.peaks) == pytest.approx([8.6, 11.2], abs=0.2)
    assert found.frequency_hz == found.peaks[0].frequency_hz
    assert found.prominence_db == found.peaks[0].prominence_db
    assert found.peaks[0].relative_height == 1.0
    assert 0.7 < found.peaks[1].relative_height <= 1.0
    assert any(text.startswith("split peak") for text in found.warnings)


@pytest.mark.parametrize(
    ("apart_hz", "width_hz", "channels"),
    [(3.0, 1.0, ("O1",)), (3.5, 1.1, None), (4.0, 0.4, ("O1",)), (4.0, 0.4, None)],
)
def test_two_rhythms_far_apart_are_a_split_however_broad_together(
    apart_hz: float, width_hz: float, channels: tuple[str, ...] | None
) -> None:
    """What they span together is no reason to refuse, nor is a long way to the second one."""
    options = {} if channels is None else {"ch_names": channels}
    for seed in range(9000, 9004):
        low_hz = 8.1
        made = make_eeg(
            seed,
            peak_hz=low_hz,
            second=(apart_hz, 1.4),
            width_hz=width_hz,
            height_log10=1.0,
            burst=False,
            **options,  # type: ignore[arg-type]
        )
        found = peak_of(made)
        assert found.status == "found", found.reasons
        assert found.ci95_hz is None
        places = sorted(peak.frequency_hz for peak in found.peaks)
        assert places == pytest.approx([low_hz, low_hz + apart_hz], abs=0.45)


def test_a_weaker_second_rhythm_is_told() -> None:
    made = make_eeg(8, peak_hz=9.0, second=(2.4, 0.9), width_hz=0.4, burst=False, duration_s=240.0)
    found = peak_of(made)
    assert found.frequency_hz == pytest.approx(9.0, abs=0.2)
    assert any(text.startswith("split peak") for text in found.warnings)
    assert [peak.frequency_hz for peak in found.peaks] == pytest.approx([9.0, 11.4], abs=0.2)
    assert found.peaks[1].relative_height < 0.9
    assert found.ci95_hz is None


def test_a_pure_line_is_found_and_called_narrow() -> None:
    made = make_eeg(9, peak_hz=10.3, shape="sine", burst=False, height_log10=1.2)
    found = peak_of(made)
    assert found.frequency_hz == pytest.approx(10.3, abs=0.05)
    assert found.ci95_hz is not None
    assert found.ci95_hz[0] <= 10.3 <= found.ci95_hz[1]
    assert any("as narrow as the analysis resolves" in text for text in found.warnings)


@pytest.mark.parametrize(("band_hz", "truth_hz"), [((4.0, 8.0), 6.0), ((13.0, 30.0), 20.0)])
def test_other_bands(band_hz: tuple[float, float], truth_hz: float) -> None:
    made = make_eeg(10, peak_hz=truth_hz, width_hz=0.06 * truth_hz, duration_s=120.0)
    found = peak_of(made, band_hz=band_hz)
    assert found.frequency_hz == pytest.approx(truth_hz, abs=0.05 * truth_hz)
    assert peak_of(make_eeg(11, peak_hz=10.0), band_hz=band_hz).status == "no_peak"


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_amplitude_unit_does_not_move_the_peak(factor: float) -> None:
    made = make_eeg(12, peak_hz=9.7, duration_s=60.0)
    plain = peak_of(made)
    scaled = peak_of(replace(made, data_v=made.data_v * factor))
    assert scaled.frequency_hz == pytest.approx(plain.frequency_hz, abs=1e-6)
    assert scaled.prominence_db == pytest.approx(plain.prominence_db, abs=1e-6)


@pytest.mark.parametrize("sfreq_hz", [128.0, 250.0, 500.0, 1000.0])
def test_sampling_rate_does_not_matter(sfreq_hz: float) -> None:
    made = make_eeg(13, peak_hz=10.4, sfreq_hz=sfreq_hz, duration_s=90.0)
    assert peak_of(made).frequency_hz == pytest.approx(10.4, abs=0.25)


def test_exponent_is_that_of_the_background() -> None:
    for exponent in (0.8, 1.4, 2.0):
        found = peak_of(make_eeg(14, exponent=exponent))
        assert found.aperiodic_exponent == pytest.approx(exponent, abs=0.1)


@pytest.mark.parametrize("peak_hz", [None, 10.0])
@pytest.mark.parametrize("method", ["fir", "iir"])
@pytest.mark.parametrize("edges_hz", [(7.0, 13.0), (8.0, 12.0), (6.0, 14.0), (None, 15.0)])
def test_filtered_noise_is_not_a_rhythm(
    edges_hz: tuple[float | None, float], method: str, peak_hz: float | None
) -> None:
    made = make_eeg(30, peak_hz=peak_hz, sfreq_hz=250.0, duration_s=60.0)
    narrow = mne.filter.filter_data(made.data_v, 250.0, *edges_hz, method=method, verbose="ERROR")
    found = peak_of(replace(made, data_v=narrow))
    assert found.status == "unusable"
    assert any("before filtering" in text for text in found.reasons)


@pytest.mark.parametrize("method", ["fir", "iir"])
@pytest.mark.parametrize(
    "edges_hz", [(1.0, 40.0), (0.5, 35.0), (1.0, 30.0), (1.0, 20.0), (2.0, 45.0)]
)
def test_usual_filters_do_no_harm(edges_hz: tuple[float, float], method: str) -> None:
    for peak_hz in (None, 10.0):
        made = make_eeg(31, peak_hz=peak_hz, sfreq_hz=250.0, duration_s=90.0)
        data = mne.filter.filter_data(made.data_v, 250.0, *edges_hz, method=method, verbose="ERROR")
        found = peak_of(replace(made, data_v=data))
        if peak_hz is None:
            assert found.status == "no_peak"
        else:
            assert found.frequency_hz == pytest.approx(10.0, abs=0.2)
            assert found.aperiodic_exponent == pytest.approx(1.2, abs=0.6)


@pytest.mark.parametrize("edges_hz", [(1.0, 30.0), (1.0, 20.0)])
def test_a_gentle_low_pass_makes_no_rhythm(edges_hz: tuple[float, float]) -> None:
    """The bend of a filter beside the band is no bump in it: at most 1 of 20 without a rhythm."""
    found = []
    for seed in range(31, 51):
        made = make_eeg(seed, peak_hz=None, sfreq_hz=250.0, duration_s=90.0)
        data = mne.filter.filter_data(made.data_v, 250.0, *edges_hz, method="iir", verbose="ERROR")
        found.append(peak_of(replace(made, data_v=data)).frequency_hz)
    assert sum(value is not None for value in found) <= 1


def test_the_bend_of_a_filter_is_not_two_rhythms() -> None:
    """Two broad bumps follow the shoulder of a filter well; each alone is too broad."""
    refused = 0
    for seed in range(31, 61):
        made = make_eeg(seed, peak_hz=None, sfreq_hz=250.0, duration_s=90.0)
        data = mne.filter.filter_data(made.data_v, 250.0, 1.0, 20.0, method="iir", verbose="ERROR")
        found = peak_of(replace(made, data_v=data))
        assert len(found.peaks) < 2
        refused += any("is the most beside another" in text for text in found.reasons)
    assert refused >= 1


def test_the_shoulder_of_a_low_pass_in_a_whole_head_is_no_rhythm() -> None:
    """Thirty-two channels that share their sources: each of these looked like a peak once."""
    made = pytest.importorskip("benchmarks.made", reason="benchmarks are not here")
    for seed in (0, 5, 30, 32, 69, 71, 72, 83, 84, 88, 93):
        case = made.draw(83000 + seed, with_peak=False, duration_s=(60.0, 120.0)[seed % 2])
        raw = made.make(case).raw()
        raw.filter(1.0, 20.0, method="iir", verbose="ERROR")
        found = find_peak(raw, now=NOW)
        assert found.status != "found", seed
        assert found.reasons


def test_no_channel_is_fitted_where_no_peak_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def table(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("analysis.peak.channel_table", table)
    refused = peak_of(make_eeg(28, peak_hz=None, duration_s=60.0))
    assert refused.status == "no_peak"
    assert refused.channel_table == ()
    assert refused.spectrum is not None
    with pytest.raises(AssertionError):
        peak_of(make_eeg(27, duration_s=60.0))


def test_a_faint_or_short_recording_is_provisional() -> None:
    plain = peak_of(make_eeg(40, height_log10=1.0))
    assert not plain.provisional
    short = peak_of(make_eeg(40, height_log10=1.0, duration_s=45.0))
    assert short.status == "found"
    assert short.provisional
    faint = [
        peak_of(make_eeg(4100 + i, height_log10=0.2, duration_s=70.0, ch_names=("O1", "O2")))
        for i in range(10)
    ]
    said = [item for item in faint if any("the rhythm is faint" in w for w in item.warnings)]
    assert len(said) >= 3
    assert all(item.provisional for item in said)
    assert all(item.provisional == (item in said) for item in faint if item.status == "found")


def test_fooof_agrees_on_a_clear_peak() -> None:
    made = make_eeg(41, peak_hz=9.8, height_log10=1.0, burst=False)
    alone, both = peak_of(made), peak_of(made, cross_check=True)
    assert alone.cross_check is None
    assert both.cross_check is not None
    assert both.cross_check.method == "fooof"
    assert both.cross_check.agrees
    assert both.cross_check.frequency_hz == pytest.approx(9.8, abs=0.3)
    assert both.frequency_hz == alone.frequency_hz
    assert both.ci95_hz == alone.ci95_hz
    assert not any("fooof" in text for text in both.warnings)


# --- what goes into the estimate -------------------------------------------------------------


def test_equal_input_equal_output() -> None:
    made = make_eeg(15, duration_s=60.0)
    assert peak_of(made).to_dict() == peak_of(made).to_dict()


def test_posterior_channels_and_average_reference() -> None:
    found = peak_of(make_eeg(16, ch_names=HEAD))
    assert found.status == "found"
    assert set(found.channels) == {"P3", "P4", "Pz", "PO3", "PO4", "O1", "Oz", "O2"}
    assert "average reference" in found.method
    few = peak_of(make_eeg(16))
    assert "reference as recorded" in few.method
    assert "average reference" in peak_of(make_eeg(16), reference="average").method


def test_what_all_electrodes_share_is_not_silently_lost() -> None:
    made = make_eeg(17, peak_hz=None, ch_names=HEAD)
    wave = make_eeg(18, peak_hz=10.0, ch_names=("O1",), height_log10=1.5).data_v
    shared = replace(made, data_v=0.3 * made.data_v + 3.0 * wave)
    found = peak_of(shared)
    assert found.status == "no_peak"
    assert any("recorded reference" in text and "10." in text for text in found.warnings)
    recorded = peak_of(shared, reference="recorded")
    assert recorded.frequency_hz == pytest.approx(10.0, abs=0.3)


def test_other_channels_when_none_is_posterior() -> None:
    found = peak_of(make_eeg(19, ch_names=("EEG1", "EEG2", "EEG3")))
    assert found.status == "found"
    assert found.channels == ("EEG1", "EEG2", "EEG3")
    assert any("every EEG channel is used" in text for text in found.warnings)


def test_picks() -> None:
    made = make_eeg(20)
    assert peak_of(made, picks=["o1", "Oz"]).channels == ("O1", "Oz")
    with pytest.raises(AnalysisError, match="no EEG channel C9 in the recording; it has P3"):
        peak_of(made, picks=["C9"])
    raw = made.raw()
    raw.info["bads"] = ["O1"]
    only = find_peak(raw, picks=["O1"], now=NOW)
    assert only.status == "unusable"
    assert any("every channel to be used is bad" in text for text in only.reasons)


@pytest.mark.parametrize(
    "band_hz", [(13.0, 7.0), (9.0, 10.0), (1.0, 5.0), (20.0, 60.0), (math.nan, 13.0)]
)
def test_bands_that_make_no_sense(band_hz: tuple[float, float]) -> None:
    with pytest.raises(AnalysisError, match="give a lower and an upper end"):
        peak_of(make_eeg(21, duration_s=40.0), band_hz=band_hz)


def test_artefacts_do_not_move_the_peak() -> None:
    made = make_eeg(22, peak_hz=9.4)
    data = made.data_v.copy()
    for start in (1600, 5000, 9000, 15000):
        data[:, start : start + 160] += 2e-3 * np.hanning(160)
    found = peak_of(replace(made, data_v=data))
    assert found.frequency_hz == pytest.approx(9.4, abs=0.25)
    assert found.seconds_used < 116.0
    assert any("gross artefacts" in text for text in found.warnings)


def test_too_short_is_unusable_and_says_so() -> None:
    found = peak_of(make_eeg(23, duration_s=20.0))
    assert found.status == "unusable"
    assert any("20.0 s" in text for text in found.reasons)
    assert found.frequency_hz is None
    with pytest.raises(AnalysisError, match="no spectrum to draw"):
        found.plot()


def test_subject_and_times(tmp_path: Any) -> None:
    raw = make_eeg(24, duration_s=60.0).raw()
    raw.set_meas_date(datetime(2026, 1, 30, 8, 0, tzinfo=UTC))
    path = tmp_path / "sub-9_task-rest_eeg.fif"
    raw.save(path, verbose="ERROR")
    loaded = load_recording(path)
    zone = timezone(timedelta(hours=2))
    found = find_peak(loaded, now=datetime(2026, 1, 31, 14, 0, tzinfo=zone))
    assert found.subject == "9"
    assert found.recording == str(path)
    assert found.recording_sha256 == loaded.sha256
    assert found.measured_at == "2026-01-31T12:00:00+00:00"
    assert found.recorded_at == "2026-01-30T08:00:00+00:00"
    assert find_peak(loaded, subject="other", now=NOW).subject == "other"
    bare = find_peak(make_eeg(24, duration_s=60.0).raw(), now=NOW)
    assert bare.subject is None
    assert bare.recording is None
    assert bare.recorded_at is None


# --- the saved file --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved() -> dict[str, Any]:
    return peak_of(make_eeg(25, duration_s=60.0)).to_dict()


def test_contract_keys(saved: dict[str, Any]) -> None:
    assert set(saved) == CONTRACT | ADDED
    assert CONTRACT == KEYS
    assert ADDED == OPTIONAL_KEYS
    assert isinstance(saved["ci95_hz"], list)
    assert saved["status"] == "found"


def test_round_trip(saved: dict[str, Any]) -> None:
    for made in (make_eeg(25, duration_s=60.0), make_eeg(26, peak_hz=None, duration_s=60.0)):
        found = peak_of(made)
        text = json.dumps(found.to_dict(), allow_nan=False)
        again = PeakEstimate.from_dict(json.loads(text))
        assert again == found
        assert again.to_dict() == found.to_dict()


BAD_VALUES: list[tuple[str, Any]] = [
    ("status", "maybe"),
    ("frequency_hz", math.nan),
    ("frequency_hz", math.inf),
    ("frequency_hz", "10.0"),
    ("frequency_hz", True),
    ("frequency_hz", None),
    ("frequency_hz", 25.0),
    ("ci95_hz", None),
    ("ci95_hz", [9.0]),
    ("ci95_hz", [11.0, 9.0]),
    ("ci95_hz", [math.nan, 11.0]),
    ("ci95_hz", "9-11"),
    ("center_of_gravity_hz", None),
    ("prominence_db", math.nan),
    ("n_channels_used", 1.5),
    ("n_channels_used", -1),
    ("channels", "O1"),
    ("channels", [1]),
    ("warnings", None),
    ("seconds_used", None),
    ("aperiodic_exponent", math.nan),
    ("subject", 7),
    ("subject", ""),
    ("measured_at", "yesterday"),
    ("measured_at", "2026-01-31T12:00:00"),
    ("measured_at", None),
    ("recorded_at", 20260131),
    ("method", None),
]


@pytest.mark.parametrize(("key", "value"), BAD_VALUES)
def test_bad_values_are_refused(saved: dict[str, Any], key: str, value: Any) -> None:
    data = copy.deepcopy(saved)
    data[key] = value
    with pytest.raises(AnalysisError) as caught:
        PeakEstimate.from_dict(data)
    text = str(caught.value)
    assert "\n" not in text
    assert "peak file" in text
    assert key in text or "ci95_hz" in text


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_missing_and_unknown_keys(saved: dict[str, Any], data: st.DataObject) -> None:
    dropped = data.draw(st.sampled_from(sorted(CONTRACT)))
    extra = data.draw(st.text(min_size=1).filter(lambda key: key not in CONTRACT | ADDED | BESIDE))
    with pytest.raises(AnalysisError, match=f"key '{dropped}' is missing"):
        PeakEstimate.from_dict({k: v for k, v in saved.items() if k != dropped})
    with pytest.raises(AnalysisError, match="unknown key"):
        PeakEstimate.from_dict({**saved, extra: 1})


@pytest.mark.parametrize("content", [[], "text", 3, None])
def test_not_an_object(content: Any) -> None:
    with pytest.raises(AnalysisError, match="one JSON object"):
        PeakEstimate.from_dict(content)


# --- figures ---------------------------------------------------------------------------------


def test_figure_of_a_found_peak() -> None:
    found = peak_of(make_eeg(27, ch_names=HEAD, duration_s=60.0))
    plain = found.plot()
    axes = plain.axes[0]
    assert axes.get_xlabel() == "Frequency (Hz)"
    assert axes.get_ylabel() == "Relative power (dB)"
    assert f"{found.frequency_hz:.2f}" in axes.get_title(loc="left").replace("\u00a0", " ")
    raw = make_eeg(27, ch_names=HEAD, duration_s=60.0).raw()
    raw.set_montage(montage_name())
    placed = find_peak(raw, now=NOW).plot()
    assert len(placed.axes) > len(plain.axes)
    assert placed.axes[0].get_xlabel() == "Frequency (Hz)"
    placed.canvas.draw()


def test_figure_of_no_peak_says_why() -> None:
    found = peak_of(make_eeg(28, peak_hz=None, duration_s=60.0))
    axes = found.plot().axes[0]
    assert axes.get_title(loc="left") == "No peak reported"
    shown = " ".join(text.get_text() for text in axes.texts).replace("\n", " ")
    assert found.reasons[0] in shown


def test_an_estimate_from_a_file_has_no_figure(saved: dict[str, Any]) -> None:
    with pytest.raises(AnalysisError, match="it was read from a file"):
        PeakEstimate.from_dict(saved).plot()


def test_scalp_map_needs_positions() -> None:
    from matplotlib.figure import Figure

    info = make_eeg(29, duration_s=1.0).raw().info
    with pytest.raises(AnalysisError, match="four electrode positions"):
        topomap(Figure().subplots(), np.zeros(9), info)


# --- real recordings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "low_hz", "high_hz"),
    [
        ("eegmmidb_s001/S001R02.edf", 9.8, 10.15),
        ("eeglab_data/eeglab_data.set", 9.9, 10.3),
        ("ssvep_exo/subject03_2012.07.11-15.33.08_raw.fif", 8.5, 9.8),
        ("ssvep_exo/subject10_2014.02.26-15.32.36_raw.fif", 9.3, 9.7),
    ],
)
def test_real_peaks(name: str, low_hz: float, high_hz: float) -> None:
    found = find_peak(load_recording(recording(name)), now=NOW)
    assert found.frequency_hz is not None
    assert low_hz <= found.frequency_hz <= high_hz


@pytest.mark.parametrize(("person", "published_hz"), [("01", 10.675), ("02", 9.766)])
def test_published_peaks(person: str, published_hz: float) -> None:
    """Both recordings of a person, averaged, against Corcoran et al.'s published output."""
    found = [
        find_peak(load_recording(recording(f"restingiaf_ec/tute_{person}_{i}.set")), now=NOW)
        for i in (1, 2)
    ]
    peaks = [item.frequency_hz for item in found if item.frequency_hz is not None]
    assert len(peaks) == 2
    assert np.mean(peaks) == pytest.approx(published_hz, abs=0.3)


def test_wrong_clock_is_refused_until_mended() -> None:
    path = recording("biosppy/eeg_ec.txt")
    refused = find_peak(load_recording(path), now=NOW)
    assert refused.status == "unusable"
    assert any(
        "sampling_rate_suspect" in text and "--sfreq 250" in text for text in refused.reasons
    )
    found = find_peak(load_recording(path, sfreq_hz=250.0), now=NOW)
    assert found.frequency_hz == pytest.approx(9.54, abs=0.1)


@pytest.mark.parametrize(
    ("name", "options"),
    [("eegmmidb_s001/S001R01.edf", {}), ("biosppy/eeg_eo.txt", {"sfreq_hz": 250.0})],
)
def test_open_eyes_have_no_peak(name: str, options: dict[str, Any]) -> None:
    found = find_peak(load_recording(recording(name), **options), now=NOW)
    assert found.status == "no_peak"


@pytest.mark.parametrize(
    "name", ["crown_short/eyes_closed.csv", "crown_short/eyes_open.csv", "tiny_bids"]
)
def test_short_real_recordings_are_unusable(name: str) -> None:
    found = find_peak(load_recording(recording(name)), now=NOW)
    assert found.status == "unusable"
    assert any("30 s is the least" in text for text in found.reasons)


def test_real_recording_of_blinks_and_clenching() -> None:
    """Weighed by the rhythm, all electrodes show what the two occipital ones show."""
    loaded = load_recording(recording("openbci_gui/OpenBCI_GUI-v6-blinks-jawClench-alpha.txt"))
    found = find_peak(loaded, picks=["7", "8"], now=NOW)
    assert found.frequency_hz == pytest.approx(11.56, abs=0.3)
    everything = find_peak(loaded, now=NOW)
    assert everything.frequency_hz == pytest.approx(11.56, abs=0.3)
