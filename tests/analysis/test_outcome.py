"""Comparison of recordings before and after: made pairs, real recordings, refusals, figures."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from scipy.signal import welch

from analysis import peak, quality
from analysis.errors import AnalysisError, UnusableRecording
from analysis.figures_outcome import plot_connectivity, plot_spectra, plot_topographies
from analysis.outcome import Outcome, compare
from analysis.pairing import make_pair
from analysis.power_verdict import APERIODIC_SHIFT
from analysis.region import REGIONS, region_channels
from tests.analysis.made_outcome import CHANNELS, made_pair, made_raw, made_uv
from tests.data import recording

FEW = ("Cz", "P3", "P4", "O1", "O2")
KEYS = {
    *("power", "connectivity", "peak_shift_hz", "direction", "as_predicted", "warnings", "summary"),
    *("asymmetry", "time_course", "peak_shift", "preparation"),
}
POWER_KEYS = {
    *("ln_ratio", "percent", "db", "ci95_percent", "p", "relative", "adjusted", "aperiodic"),
    *("per_channel", "recentred"),
}


@pytest.fixture(scope="module")
def doubled() -> Outcome:
    """Twice the alpha power after, 90 s each."""
    pre, post = made_pair(1, alpha_ratio=2.0, duration_s=90.0, channels=FEW)
    return compare(
        pre,
        post,
        peak_hz=10.0,
        protocol_info={"expected_direction": "increase", "stimulated_electrodes": ["Cz", "O1"]},
    )


def _quick(pre: Any, post: Any, **more: Any) -> Outcome:
    return compare(pre, post, **{"peak_hz": 10.0, "picks": ["O1"], "n_bootstrap": 300, **more})


def test_a_planted_increase_is_found_and_reported(doubled: Outcome) -> None:
    told = json.loads(json.dumps(doubled.to_dict(), allow_nan=False))
    assert set(told) >= KEYS
    assert set(told["power"]) >= POWER_KEYS
    power = told["power"]
    assert power["ln_ratio"] == pytest.approx(np.log(2.0), abs=0.25)
    assert power["percent"] == pytest.approx(100.0 * np.expm1(power["ln_ratio"]))
    assert power["db"] == pytest.approx(10.0 * np.log10(np.exp(power["ln_ratio"])))
    low, high = power["ci95_percent"]
    assert 0.0 < low < power["percent"] < high
    assert power["adjusted"]["percent"] == pytest.approx(100.0, abs=45.0)
    assert power["band_hz"] == [8.0, 12.0]
    assert power["channels"] == ["P3", "P4", "O2"]  # O1 carried current
    assert set(power["per_channel"]) == set(FEW)
    assert power["aperiodic"]["verdict"] == "oscillation"
    assert power["aperiodic"]["exponent_change"] == pytest.approx(0.0, abs=0.1)
    low_change, high_change = power["aperiodic"]["exponent_change_ci95"]
    assert low_change < power["aperiodic"]["exponent_change"] < high_change
    assert power["aperiodic"]["moved"] is False
    assert power["per_channel"]["O1"]["adjusted_ln_ratio"] == pytest.approx(np.log(2.0), abs=0.4)
    assert told["asymmetry"]["pairs"] == {}
    assert "F4 and F3" in told["asymmetry"]["reason"]
    assert told["time_course"]["start_known"] is False
    assert [round(60 * one["from_min"]) for one in told["time_course"]["bins"]] == [3, 33, 63]
    assert told["direction"] == "increase"
    assert told["as_predicted"] is True
    assert told["peak_shift_hz"] == pytest.approx(0.0, abs=0.3)
    low_hz, high_hz = told["peak_shift"]["ci95_hz"]
    assert low_hz < told["peak_shift_hz"] < high_hz
    assert power["recentred"]["ln_ratio"] == pytest.approx(power["ln_ratio"], abs=0.1)
    assert any("O1 carried current" in warning for warning in told["warnings"])
    connectivity = told["connectivity"]
    assert connectivity["n_epochs"] == 43
    assert {"pre", "post", "change"} <= set(connectivity["imcoh"])
    assert {"pre", "post", "change"} <= set(connectivity["wpli2_debiased"])
    assert connectivity["power_percent"] == pytest.approx(power["percent"], rel=0.2)
    assert told["preparation"]["discarded_s"] == 3.0


def test_channels_at_the_stimulation_electrodes_have_no_say(doubled: Outcome) -> None:
    told = doubled.to_dict()
    assert told["preparation"]["stimulation_electrodes"]["under"] == ["Cz", "O1"]
    assert told["connectivity"]["n_channels"] == 3
    assert doubled.connectivity is not None
    assert doubled.connectivity.channels == ("P3", "P4", "O2")
    assert "O1" in doubled.power.per_channel


def test_no_verdict_where_only_stimulated_channels_remain() -> None:
    pre, post = made_pair(1, alpha_ratio=6.0, duration_s=60.0, channels=FEW)
    found = _quick(pre, post, protocol_info={"stimulated_electrodes": "O1"})
    assert found.power.raw.interval_ln[0] > 0.0
    assert found.direction == "undetermined"
    assert "undetermined, because every channel of the region lies under" in found.summary
    assert any(warning.startswith("no verdict: ") for warning in found.warnings)
    everywhere = _quick(pre, post, protocol_info={"stimulated_electrodes": list(FEW)})
    assert everywhere.connectivity is None
    assert "5 of 5 channels lie under" in str(everywhere.connectivity_reason)


def test_the_summary_is_one_plain_sentence(doubled: Outcome) -> None:
    assert doubled.summary.count(". ") == 0
    assert "8.0-12.0 Hz power was" in doubled.summary
    assert "higher after than before (95 % interval +" in doubled.summary
    assert "an increase, as predicted" in doubled.summary
    assert "cannot show that the stimulation caused it" in doubled.summary


@pytest.mark.parametrize(
    ("expected", "as_predicted"),
    [("increase", False), ("decrease", True), ("none", False), (None, None)],
)
def test_a_decrease_is_held_against_the_prediction(
    expected: str | None, as_predicted: bool | None
) -> None:
    pre, post = made_pair(2, alpha_ratio=0.2, duration_s=60.0, channels=FEW)
    found = _quick(pre, post, protocol_info={"expected_direction": expected})
    assert found.direction == "decrease"
    assert found.as_predicted is as_predicted


def test_no_change_is_not_called_one_and_predicts_nothing() -> None:
    pre, post = made_pair(3, duration_s=60.0, channels=FEW)
    found = _quick(pre, post, protocol_info={"expected_direction": "increase"})
    assert found.direction in ("none", "undetermined")
    assert found.as_predicted is (None if found.direction == "undetermined" else False)
    low, high = found.power.raw.interval_ln
    assert low < 0.0 < high


def test_the_same_recording_twice_did_not_change() -> None:
    raw, _ = made_pair(4, duration_s=60.0, channels=FEW)
    found = _quick(raw, raw.copy())
    told = found.to_dict()
    assert told["direction"] == "none"
    assert told["power"]["ln_ratio"] == 0.0
    assert told["power"]["ci95_percent"][0] < 0.0 < told["power"]["ci95_percent"][1]
    assert told["power"]["adjusted"]["ln_ratio"] == 0.0
    assert told["power"]["recentred"]["ln_ratio"] == 0.0
    assert told["connectivity"]["imcoh"]["change"] == 0.0
    assert told["peak_shift_hz"] == 0.0
    assert any("same samples" in warning for warning in told["warnings"])
    assert "same samples" in told["summary"]


def test_a_flatter_background_is_not_sold_as_alpha() -> None:
    channels = ("P3", "P4", "O1", "O2")
    pre = made_raw(made_uv(51, duration_s=150.0, channels=channels, alpha_uv=3.0), 160.0, channels)
    post = made_raw(
        made_uv(52, duration_s=150.0, channels=channels, alpha_uv=3.0, background_uv=9.0),
        160.0,
        channels,
    )
    found = compare(
        pre, post, peak_hz=10.0, protocol_info={"expected_direction": "increase"}, n_bootstrap=500
    )
    assert found.power.raw.interval_ln[0] > 0.0
    assert found.power.verdict == APERIODIC_SHIFT
    assert found.direction in ("none", "undetermined")
    assert found.as_predicted is not True
    assert APERIODIC_SHIFT in found.summary
    assert any(APERIODIC_SHIFT in warning for warning in found.warnings)


def test_the_peak_is_found_when_not_given_and_its_shift_told() -> None:
    pre = made_raw(made_uv(61, duration_s=60.0, channels=FEW, peak_hz=9.6), 160.0, FEW)
    post = made_raw(made_uv(62, duration_s=60.0, channels=FEW, peak_hz=10.6), 160.0, FEW)
    found = _quick(pre, post, peak_hz=None)
    assert found.peak_hz == pytest.approx(9.6, abs=0.3)
    assert found.peak_shift.shift_hz == pytest.approx(1.0, abs=0.4)
    assert found.peak_shift.ci95_hz is not None
    assert found.peak_shift.ci95_hz[0] > 0.0
    assert found.power.own_bands_hz is not None
    before, after = found.power.own_bands_hz
    assert before == pytest.approx(found.power.band_hz)
    assert after[0] - before[0] == pytest.approx(found.peak_shift.shift_hz)


def test_a_peak_that_leaves_the_fixed_band_is_told() -> None:
    pre = made_raw(made_uv(71, duration_s=60.0, channels=FEW, peak_hz=9.0), 160.0, FEW)
    post = made_raw(made_uv(71, duration_s=60.0, channels=FEW, peak_hz=11.6), 160.0, FEW)
    found = _quick(pre, post, peak_hz=None)
    assert found.power.raw.interval_ln[1] < 0.0
    assert found.power.recentred.ln_ratio == pytest.approx(0.0, abs=0.2)
    assert any("about each recording's own peak the change is" in text for text in found.warnings)
    assert any("no shift is expected" in text for text in found.warnings)


def test_without_a_peak_there_is_no_band() -> None:
    pre, post = made_pair(7, duration_s=60.0, channels=FEW, alpha_uv=0.0)
    with pytest.raises(UnusableRecording, match="no individual peak") as caught:
        _quick(pre, post, peak_hz=None)
    assert caught.value.reasons
    found = _quick(pre, post)
    assert found.peak_shift.shift_hz is None
    assert found.peak_shift.reason is not None
    assert found.to_dict()["power"]["recentred"]["ln_ratio"] is None


def test_inputs_are_not_changed_and_results_repeat() -> None:
    pre, post = made_pair(8, duration_s=40.0, channels=("P3.", "Po4.", "O1..", "eeg O2-ref"))
    before = pre.get_data().copy(), list(pre.ch_names)
    first, second = _quick(pre, post), _quick(pre, post)
    assert np.array_equal(pre.get_data(), before[0])
    assert pre.ch_names == before[1]
    assert first.to_dict() == second.to_dict()
    assert first.preparation["channels"] == ["P3", "PO4", "O1", "O2"]


def test_the_settling_after_the_current_ends_is_left_out() -> None:
    data = made_uv(9, duration_s=60.0, channels=FEW)
    disturbed = data.copy()
    disturbed[:, : 3 * 160] += 5000.0 * np.exp(-np.arange(3 * 160) / 160.0)
    pair = make_pair(made_raw(data, 160.0, FEW), made_raw(disturbed, 160.0, FEW))
    assert pair.identical
    assert pair.before_uv.shape == (5, 57 * 160)
    assert pair.before_uv[0, 0] == pytest.approx(data[0, 480], rel=1e-9)


def test_the_faster_recording_is_resampled() -> None:
    pre = made_raw(made_uv(10, duration_s=60.0, channels=FEW, sfreq_hz=200.0), 200.0, FEW)
    post = made_raw(made_uv(10, duration_s=60.0, channels=FEW, sfreq_hz=200.0), 200.0, FEW)
    slow = post.copy().resample(100.0)
    pair = make_pair(pre, slow)
    assert pair.sfreq_hz == 100.0
    assert pair.before_uv.shape == pair.after_uv.shape
    assert any("before was resampled from 200 to 100 Hz" in text for text in pair.warnings)
    assert pair.before_uv == pytest.approx(pair.after_uv, abs=1e-6)


def test_a_longer_recording_keeps_what_is_near_the_stimulation() -> None:
    data = made_uv(11, duration_s=90.0, channels=FEW)
    pair = make_pair(made_raw(data, 160.0, FEW), made_raw(data[:, : 60 * 160], 160.0, FEW))
    assert pair.before_uv == pytest.approx(data[:, -57 * 160 :], abs=1e-9)
    assert pair.after_uv == pytest.approx(data[:, 480 : 60 * 160], abs=1e-9)
    assert any("lengths differ" in text for text in pair.warnings)
    turned = make_pair(made_raw(data[:, : 60 * 160], 160.0, FEW), made_raw(data, 160.0, FEW))
    assert turned.before_uv == pytest.approx(data[:, 480 : 60 * 160], abs=1e-9)
    assert turned.after_uv == pytest.approx(data[:, 480 : 60 * 160], abs=1e-9)


def test_channels_of_one_recording_alone_and_bad_ones_are_named() -> None:
    pre, post = made_pair(12, duration_s=40.0, channels=(*FEW, "Fz", "Pz"))
    post.drop_channels(["Fz"])
    post.info["bads"] = ["Pz"]
    flat = pre.copy()
    flat._data[flat.ch_names.index("P4")] = 0.0
    pair = make_pair(flat, post)
    assert pair.channels == ("Cz", "P3", "O1", "O2")
    assert pair.lost == ("Fz",)
    assert pair.bad == ("P4", "Pz")
    assert any("Fz" in text for text in pair.warnings)
    assert any("P4 (flat)" in text and "Pz (marked bad" in text for text in pair.warnings)
    with pytest.raises(UnusableRecording, match="share no EEG channel"):
        make_pair(pre.copy().pick(["Fz"]), post)
    post.info["bads"] = list(post.ch_names)
    with pytest.raises(UnusableRecording, match="after cannot be used"):
        make_pair(pre, post)


def test_a_channel_left_out_is_told_once_and_one_kept_is_told_too() -> None:
    pre, post = made_pair(12, duration_s=40.0, channels=(*FEW, "Fz", "Pz"))
    pre._data[pre.ch_names.index("P4")] = 0.0
    railed = post._data[post.ch_names.index("P3")]
    np.clip(railed, *np.quantile(railed, [0.004, 0.996]), out=railed)
    pair = make_pair(pre, post)
    assert pair.bad == ("P4",)
    assert [text for text in pair.warnings if "P4" in text] == [
        "bad in one of the recordings, left out of both: P4 (flat)"
    ]
    (kept,) = (text for text in pair.warnings if "P3" in text)
    assert kept.startswith("after: saturated_channels: ")
    assert "P3" in pair.channels


def test_different_references_are_refused() -> None:
    pre, post = made_pair(13, duration_s=40.0)
    averaged = post.copy().set_eeg_reference("average", verbose="ERROR")
    with pytest.raises(UnusableRecording, match="after is average-referenced"):
        make_pair(pre, averaged)
    assert make_pair(pre.copy().set_eeg_reference("average", verbose="ERROR"), averaged).channels
    other = post.copy().set_eeg_reference(["Cz"], verbose="ERROR").drop_channels(["Cz"])
    assert any("reference" in text for text in make_pair(pre, other).warnings)


def test_differing_filters_are_told_and_a_missing_band_is_refused() -> None:
    pre, post = made_pair(14, duration_s=40.0, channels=FEW)
    low = post.copy().filter(None, 30.0, verbose="ERROR")
    pair = make_pair(pre, low)
    assert any("filters differ" in text for text in pair.warnings)
    assert pair.fit_hz == (2.0, 30.0)
    assert pair.total_hz == (1.0, 30.0)
    narrow = post.copy().filter(None, 11.0, verbose="ERROR")
    with pytest.raises(UnusableRecording, match="outside the pass band"):
        _quick(pre, narrow)


def test_eyes_open_against_closed_is_told() -> None:
    pre, post = made_pair(15, duration_s=40.0, channels=FEW)
    pre.set_annotations(mne.Annotations([0.0], [40.0], ["Eyes open"]))
    post.set_annotations(mne.Annotations([0.0], [40.0], ["eyes_closed"]))
    assert any("eyes were open before and closed after" in t for t in make_pair(pre, post).warnings)
    post.set_annotations(mne.Annotations([0.0], [40.0], ["eyes open"]))
    assert not any("eyes" in text for text in make_pair(pre, post).warnings)


def test_annotated_bad_parts_do_not_count() -> None:
    pre, post = made_pair(16, duration_s=60.0, channels=FEW)
    clean = _quick(pre, post)
    dirty = post.copy()
    dirty._data[:, 160 * 20 : 160 * 24] += 3e-4 * np.sin(2 * np.pi * 10 * np.arange(640) / 160.0)
    dirty.set_annotations(mne.Annotations([20.0], [4.0], ["BAD_movement"]))
    found = _quick(pre, dirty)
    assert found.after.n_segments < clean.after.n_segments
    assert found.power.raw.ln_ratio == pytest.approx(clean.power.raw.ln_ratio, abs=0.15)
    assert found.connectivity is not None
    assert found.connectivity.n_epochs == 25


def test_too_short_or_broken_recordings_are_refused() -> None:
    pre, post = made_pair(17, duration_s=60.0, channels=FEW)
    with pytest.raises(UnusableRecording, match="before cannot be used"):
        make_pair(pre.copy().crop(0.0, 15.0), post)
    with pytest.raises(UnusableRecording, match="20 s are the least"):
        make_pair(pre, post, discard_s=45.0)
    covered = post.copy().set_annotations(mne.Annotations([0.0], [58.0], ["BAD_all"]))
    with pytest.raises(UnusableRecording, match="after cannot be used"):
        _quick(pre, covered)
    with pytest.raises(AnalysisError, match="give an MNE Raw object"):
        make_pair(pre, np.zeros((3, 4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"peak_hz": np.nan}, "peak_hz"),
        ({"peak_hz": 1.5}, "peak_hz"),
        ({"band_half_width_hz": 0.0}, "band_half_width_hz"),
        ({"n_bootstrap": 10}, "n_bootstrap"),
        ({"discard_s": -1.0}, "discard_s"),
        ({"picks": ["XY7"]}, "no channel XY7"),
        ({"picks": []}, "none given"),
        ({"picks": None, "protocol_info": {"region": "left ear"}}, "left ear"),
        ({"protocol_info": {"expected_direction": "up"}}, "expected_direction"),
        ({"protocol_info": {"expected": "increase"}}, "expected_direction"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], message: str) -> None:
    pre, post = made_pair(18, duration_s=40.0, channels=FEW)
    with pytest.raises(AnalysisError, match=message):
        _quick(pre, post, **arguments)


def test_regions_by_name() -> None:
    names = (
        "Fp1",
        "AF4",
        "F3",
        "Fz",
        "F4",
        "FC1",
        "C3",
        "Cz",
        "T7",
        "TP8",
        "P3",
        "POz",
        "O2",
        "Iz",
    )
    assert region_channels("posterior", names) == ("P3", "POz", "O2")
    assert region_channels("Left_Frontal", names) == ("Fp1", "F3")
    assert region_channels("right-frontal", names) == ("AF4", "F4")
    assert region_channels("central", names) == ("FC1", "C3", "Cz")
    assert region_channels("temporal", names) == ("T7", "TP8")
    assert region_channels("all", names) == names
    assert all(isinstance(region_channels(name, names), tuple) for name in REGIONS)


def test_the_region_comes_from_picks_then_protocol_then_the_back_of_the_head() -> None:
    pre, post = made_pair(19, duration_s=40.0, channels=FEW)
    more = {"n_bootstrap": 200, "peak_hz": 10.0}
    region = {"region": ["P3", "P4"]}
    assert compare(pre, post, protocol_info=region, **more).power.region == ("P3", "P4")
    assert _quick(pre, post, protocol_info=region).power.region == ("O1",)
    pre.info["bads"] = ["P3"]
    found = compare(pre, post, protocol_info=region, **more)
    assert found.power.region == ("P4",)
    assert any("asked for, but bad" in warning for warning in found.warnings)
    with pytest.raises(UnusableRecording, match="every channel asked for is bad"):
        compare(pre, post, picks=["P3"], **more)
    renamed = [raw.copy().rename_channels(lambda name: f"X{name}y") for raw in (pre, post)]
    found = compare(*renamed, **more)
    assert any("no parietal or occipital channel" in warning for warning in found.warnings)


def test_figures_of_a_made_pair(doubled: Outcome) -> None:
    spectra = doubled.plot()
    left, right = spectra.axes
    assert "Hz" in left.get_xlabel()
    assert "µV²" in left.get_ylabel()
    assert left.get_yscale() == "log"
    assert "before" in [text.get_text() for text in left.get_legend().get_texts()]
    assert "%" in right.get_xlabel()
    head = plot_topographies(doubled)
    assert [axes.get_title() for axes in head.axes[:3]] == ["Before", "After", "Change"]
    pairs = plot_connectivity(doubled)
    assert "95 % interval" in pairs.axes[0].get_title()
    for figure in (spectra, head, pairs):
        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=40)
        assert target.getvalue().startswith(b"\x89PNG")


def test_figures_without_positions_or_connectivity() -> None:
    pre, post = made_pair(20, duration_s=40.0, channels=("A", "B"))
    found = compare(pre, post, peak_hz=10.0, n_bootstrap=200)
    figure = plot_topographies(found)
    assert "electrode positions unknown" in figure.axes[0].get_title()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["A", "B"]
    alone = compare(pre.copy().pick(["A"]), post.copy().pick(["A"]), peak_hz=10.0, n_bootstrap=200)
    assert alone.connectivity is None
    assert alone.to_dict()["connectivity"]["imcoh"] is None
    assert any("two channels" in warning for warning in alone.warnings)
    figure = plot_connectivity(alone)
    assert "No connectivity" in figure.texts[0].get_text()
    assert plot_spectra(alone).axes


def _factor(paths: tuple[str, str], band_hz: tuple[float, float]) -> float:
    """Band power ratio of P, PO and O channels by scipy, the first 3 s left out."""
    means = []
    for name in paths:
        raw = mne.io.read_raw_edf(recording(name), preload=True, verbose="ERROR")
        names = [
            ch for ch in raw.ch_names if ch.strip(".").rstrip("z0123456789") in {"P", "Po", "O"}
        ]
        assert len(names) == 17
        data = raw.get_data(picks=names)[:, 480:]
        freqs, psd = welch(data, 160.0, nperseg=640, noverlap=320, window="hann")
        means.append(psd[:, (freqs >= band_hz[0]) & (freqs <= band_hz[1])].mean())
    return float(means[1] / means[0])


def test_eyes_closed_after_eyes_open_raises_alpha() -> None:
    paths = ("eegmmidb_s001/S001R01.edf", "eegmmidb_s001/S001R02.edf")
    raws = [mne.io.read_raw_edf(recording(name), verbose="ERROR") for name in paths]
    found = compare(
        *raws, peak_hz=9.96, protocol_info={"expected_direction": "increase"}, n_bootstrap=500
    )
    factor = _factor(paths, found.power.band_hz)
    assert np.exp(found.power.raw.ln_ratio) == pytest.approx(factor, rel=1e-6)
    assert factor > 5.0
    assert found.direction == "increase"
    assert found.as_predicted is True
    assert found.power.verdict == "oscillation"
    low, high = found.power.raw.interval_ln
    assert 0.0 < low < np.log(factor) < high
    # A minute cannot show that power does not fluctuate slowly by itself.
    assert found.power.raw.p is None
    assert len(found.power.region) == 17
    assert found.peak_shift.post_hz == pytest.approx(10.0, abs=0.4)
    same = compare(raws[1], raws[1], peak_hz=9.96, picks=["Oz"], n_bootstrap=300)
    assert same.direction == "none"
    assert same.power.raw.ln_ratio == 0.0
    assert same.power.raw.interval_ln[0] < 0.0 < same.power.raw.interval_ln[1]
    pairs = plot_connectivity(found)
    assert pairs.axes[0].get_yticklabels()[0].get_text() == "Fp"


@pytest.mark.parametrize("subject", ["01", "02"])
def test_two_resting_recordings_without_stimulation_are_no_change(subject: str) -> None:
    raws = [
        mne.io.read_raw_eeglab(
            recording(f"restingiaf_ec/tute_{subject}_{number}.set"), preload=True, verbose="ERROR"
        )
        for number in (1, 2)
    ]
    found = compare(*raws, n_bootstrap=500)
    assert found.direction in ("none", "undetermined")
    assert found.peak_shift.shift_hz is not None
    assert abs(found.peak_shift.shift_hz) < 1.0
    assert found.preparation["channels"] == ["P7", "P3", "Pz", "P4", "P8", "POz"]


def test_recordings_of_the_reader_are_taken_too() -> None:
    from analysis.io import Recording

    pre, post = made_pair(22, duration_s=40.0, channels=FEW)
    wrapped = [
        Recording(
            raw=raw,
            path="x.edf",
            sha256="0",
            warnings=("a note of the reader",),
            subject=None,
            recorded_at=None,
            unit_known=True,
            sfreq_given=False,
        )
        for raw in (pre, post)
    ]
    found = _quick(*wrapped)
    assert found.power.raw.ln_ratio == _quick(pre, post).power.raw.ln_ratio
    assert "before: a note of the reader" in found.warnings


def test_each_recording_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the pair and for its peak, and the peak is the one of the recording on its own."""
    pre, post = made_pair(3, duration_s=60.0, channels=FEW)
    alone = [peak.find_peak(raw, picks=["O1"]).frequency_hz for raw in (pre, post)]
    counts = {"measure": 0, "find_lines": 0, "_signal_findings": 0}

    def counted(name: str) -> Any:
        original = getattr(quality, name)

        def call(*given: Any) -> Any:
            counts[name] += 1
            return original(*given)

        return call

    for name in counts:
        monkeypatch.setattr(quality, name, counted(name))
    found = _quick(pre, post, peak_hz=None)
    assert counts == {"measure": 2, "find_lines": 2, "_signal_findings": 2}
    assert [found.peak_shift.pre_hz, found.peak_shift.post_hz] == alone


def test_a_comparison_loads_nothing_that_takes_a_second(tmp_path: Path) -> None:
    for name, raw in zip(("pre", "post"), made_pair(1, duration_s=60.0), strict=True):
        np.save(tmp_path / f"{name}.npy", raw.get_data())
    # What makes the recordings loads SciPy's signal module, and is therefore kept out.
    code = (
        "import sys, mne, numpy as np, analysis;"
        f"names = {list(CHANNELS)!r};"
        "info = mne.create_info(names, 160.0, 'eeg');"
        "raws = [mne.io.RawArray(np.load(f'{n}.npy'), info) for n in ('pre', 'post')];"
        "analysis.compare(*raws, peak_hz=10.0, n_bootstrap=200);"
        "print([m for m in ('scipy.stats', 'scipy.signal', 'fooof', 'numba', 'matplotlib.pyplot')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
