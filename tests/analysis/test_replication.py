"""Published methods of finding a peak: what their papers state, and that they plan nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import AnalysisError, PeakEstimate, find_peak, load_recording
from analysis.replication import METHODS, NOT_FOR_PLANNING, replicate
from analysis.restingiaf import bin_hz, resting_iaf
from tests.analysis.noise import coloured
from tests.analysis.simulate import POSTERIOR, make_eeg
from tests.data import recording

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
BIN_HZ = 250.0 / 1024.0


def lines(
    *tones: tuple[float, float], seed: int = 0, channels: int = 1, seconds: float = 60.0
) -> Any:
    """Pink noise of unit variance with sines of given frequency and amplitude, 250 Hz."""
    rng = np.random.default_rng(seed)
    n = round(seconds * 250.0)
    freqs = np.fft.rfftfreq(n, 1.0 / 250.0)
    noise = coloured(rng, 1.0 / np.maximum(freqs, 1.0 / seconds), channels, n, 250.0)
    time_s = np.arange(n) / 250.0
    wave = sum(a * np.sin(2.0 * np.pi * f * time_s) for f, a in tones)
    return noise / noise.std(axis=1, keepdims=True) + wave


def eeg(seed: int = 1, **kw: Any) -> Any:
    return make_eeg(seed, **({"sfreq_hz": 250.0} | kw)).raw()


# the routine itself


@pytest.mark.parametrize("frequency_hz", [8.03, 9.5, 10.0, 11.27, 12.4])
def test_a_line_is_found_at_its_bin(frequency_hz: float) -> None:
    out = resting_iaf(lines((frequency_hz, 0.5)), 250.0, min_channels=1)
    assert out.peak_hz is not None
    assert abs(out.peak_hz - frequency_hz) <= 0.5 * BIN_HZ + 1e-9
    assert out.center_of_gravity_hz == pytest.approx(frequency_hz, abs=0.3)
    assert out.channels[0].height_db > 10.0


def test_spectra_are_those_of_the_paper() -> None:
    out = resting_iaf(lines((10.0, 0.5)), 250.0)
    assert bin_hz(250.0) == pytest.approx(BIN_HZ)
    assert np.allclose(np.diff(out.freqs_hz), BIN_HZ)
    assert out.freqs_hz[0] >= 1.0
    assert out.freqs_hz[-1] <= 40.0
    assert np.allclose(out.power.mean(axis=1), 1.0)
    assert out.seconds_used == pytest.approx(60.0)


@pytest.mark.parametrize(("rate_hz", "step_hz"), [(256.0, 0.25), (160.0, 0.15625), (500.0, BIN_HZ)])
def test_windows_of_4_s_are_transformed_at_the_next_power_of_two(
    rate_hz: float, step_hz: float
) -> None:
    assert bin_hz(rate_hz) == pytest.approx(step_hz)


def test_two_lines_of_one_height_are_no_peak_but_have_a_centre_of_gravity() -> None:
    out = resting_iaf(lines((8.5, 0.5), (11.5, 0.5)), 250.0, min_channels=1)
    assert out.peak_hz is None
    low, high = sorted(out.channels[0].peaks_hz)
    assert low == pytest.approx(8.5, abs=BIN_HZ)
    assert high == pytest.approx(11.5, abs=BIN_HZ)
    assert out.center_of_gravity_hz == pytest.approx(10.0, abs=0.6)


def test_a_line_a_third_stronger_than_the_next_is_the_peak() -> None:
    out = resting_iaf(lines((8.5, 0.5), (11.5, 0.7)), 250.0, min_channels=1)
    assert out.peak_hz == pytest.approx(11.5, abs=BIN_HZ)


def test_noise_has_no_peak() -> None:
    found = [
        resting_iaf(lines(seed=seed), 250.0, min_channels=1).peak_hz is not None
        for seed in range(20)
    ]
    assert sum(found) <= 1


def test_three_channels_must_agree() -> None:
    data = np.concatenate([lines((10.0, 0.5), channels=2), lines(seed=5, channels=4)])
    assert resting_iaf(data, 250.0).peak_hz is None
    assert resting_iaf(data, 250.0, min_channels=2).peak_hz == pytest.approx(10.0, abs=BIN_HZ)


def test_channels_weigh_by_the_height_of_their_peak() -> None:
    weak, strong = lines((9.0, 0.2), channels=3), lines((11.0, 1.0), channels=3, seed=2)
    out = resting_iaf(np.concatenate([weak, strong]), 250.0)
    assert out.peak_hz is not None
    assert 10.2 < out.peak_hz < 11.2
    assert out.sd_hz == pytest.approx(1.1, abs=0.2)


@settings(max_examples=15, deadline=None)
@given(
    scale=st.floats(1e-9, 1e6),
    offset=st.floats(-1e3, 1e3),
    order=st.permutations(range(4)),
)
def test_unit_offset_and_order_of_channels_do_not_matter(
    scale: float, offset: float, order: list[int]
) -> None:
    data = lines((10.3, 0.4), channels=4, seconds=30.0)
    first = resting_iaf(data, 250.0)
    again = resting_iaf(scale * (data[order] + offset), 250.0)
    assert again.peak_hz == pytest.approx(first.peak_hz, rel=1e-9)
    assert again.center_of_gravity_hz == pytest.approx(first.center_of_gravity_hz, rel=1e-6)


def test_windows_with_marked_samples_are_left_out() -> None:
    data = lines((10.0, 0.5), channels=3)
    bad = np.zeros(data.shape[1], dtype=bool)
    bad[2000:2500] = True
    spoilt = data.copy()
    spoilt[:, bad] += 1e3 * np.random.default_rng(0).standard_normal((3, 500))
    out = resting_iaf(spoilt, 250.0, bad=bad)
    assert out.peak_hz == resting_iaf(data, 250.0, bad=bad).peak_hz
    assert out.seconds_used < 58.5
    assert resting_iaf(spoilt, 250.0).peak_hz is None


@pytest.mark.parametrize(
    ("data", "rate_hz", "said"),
    [
        (np.ones((3, 5000)), 250.0, "no power"),
        (np.full((3, 5000), np.nan), 250.0, "NaN"),
        (np.ones((3, 500)), 250.0, "no clean piece"),
        (np.ones((3, 5000)), 80.0, "too low"),
    ],
)
def test_what_has_no_spectrum_is_refused_in_one_line(data: Any, rate_hz: float, said: str) -> None:
    with pytest.raises(AnalysisError, match=said) as caught:
        resting_iaf(data, rate_hz)
    assert "\n" not in str(caught.value)


def test_published_simulation() -> None:
    """Corcoran et al. 2018, Table 1: at 0.15 and more nearly all lines are found, at their bin."""
    corcoran = pytest.importorskip("benchmarks.corcoran", reason="benchmarks are not here")
    for paper in corcoran.PAPER:
        row = corcoran.summary(paper.ratio, corcoran.errors_hz(paper.ratio, 60))
        assert row.rmse_hz < 0.12
        assert row.shifted <= 2
        share = row.found / row.runs
        assert share > 0.95 if paper.ratio >= 0.1 else 0.45 < share < 0.9


def test_published_recordings() -> None:
    """The tutorial's own output: peak of both recordings of a person, SD and channels of each."""
    published = {
        "01": (10.675, 10.229, (0.13372, 0.10918), (5, 5)),
        "02": (9.7659, 9.6555, (0.3245, 0.21837), (6, 6)),
    }
    for person, (peak_hz, gravity_hz, spread_hz, counts) in published.items():
        both = [
            replicate(
                load_recording(recording(f"restingiaf_ec/tute_{person}_{n}.set")), "restingiaf"
            )
            for n in (1, 2)
        ]
        own = [
            [c.frequency_hz for c in estimate.channel_table if c.frequency_hz is not None]
            for estimate in both
        ]
        assert tuple(len(values) for values in own) == counts
        assert [np.std(values, ddof=1) for values in own] == pytest.approx(spread_hz, abs=1e-4)
        assert np.mean([e.frequency_hz for e in both]) == pytest.approx(peak_hz, abs=0.005)
        assert np.mean([e.center_of_gravity_hz for e in both]) == pytest.approx(
            gravity_hz, abs=0.15
        )


# through the suite


@pytest.mark.parametrize("method", METHODS)
def test_a_clear_rhythm_is_found_without_interval_and_not_for_planning(method: str) -> None:
    out = replicate(eeg(peak_hz=10.2, height_log10=1.0, shape="ar2"), method, subject="07", now=NOW)
    assert out.status == "found"
    assert out.frequency_hz == pytest.approx(10.2, abs=0.4)
    assert out.replication
    assert out.ci95_hz is None
    assert NOT_FOR_PLANNING in out.warnings
    assert out.method.startswith("replication: ")
    assert out.channels == POSTERIOR
    assert out.subject == "07"
    assert out.measured_at == "2026-01-31T12:00:00+00:00"
    assert out.seconds_used == pytest.approx(120.0, abs=4.0)
    assert (out.center_of_gravity_hz is None) == (method == "fooof")
    assert out.plot().axes


@pytest.mark.parametrize("method", METHODS)
def test_what_is_saved_can_be_read_back(method: str) -> None:
    for raw in (eeg(), eeg(peak_hz=None), eeg(duration_s=10.0)):
        out = replicate(raw, method, now=NOW)
        assert (
            PeakEstimate.from_dict(json.loads(json.dumps(out.to_dict()))).to_dict() == out.to_dict()
        )


def test_without_a_rhythm_restingiaf_and_fooof_say_why() -> None:
    out = replicate(eeg(3, peak_hz=None, duration_s=300.0), "restingiaf")
    assert (out.status, out.frequency_hz, out.center_of_gravity_hz) == ("no_peak", None, None)
    assert "0 of 9 channels" in out.reasons[0]
    out = replicate(eeg(3, peak_hz=None, duration_s=300.0), "fooof")
    assert out.status == "no_peak"
    assert "finds no peak" in out.reasons[0]


def test_a_centre_of_gravity_is_always_found_and_says_so() -> None:
    out = replicate(eeg(3, peak_hz=None), "cog")
    assert out.status == "found"
    assert any("in every recording" in text for text in out.warnings)


def test_subtracting_the_background_moves_the_centre_of_gravity_to_the_rhythm() -> None:
    out = replicate(eeg(4, peak_hz=11.5, exponent=2.0, height_log10=1.0), "cog")
    assert out.frequency_hz is not None
    said = next(text for text in out.warnings if "without subtracting" in text)
    plain = float(said.split(" is ")[1].split()[0])
    assert abs(out.frequency_hz - 11.5) < abs(plain - 11.5)


def test_restingiaf_gives_no_peak_for_a_split_rhythm_but_a_centre_of_gravity_in_words() -> None:
    raw = eeg(2)
    raw._data[:] = lines((8.5, 0.5), (11.5, 0.5), channels=9, seconds=120.0) * 1e-5
    out = replicate(raw, "restingiaf")
    assert out.status == "no_peak"
    assert out.center_of_gravity_hz is None
    assert any("centre of gravity is" in text for text in out.warnings)
    assert "two within 20 %" in out.reasons[0]


def test_channels_and_reference_are_those_of_the_peak_finder() -> None:
    names = (*POSTERIOR, "Fz", "Cz", "C3", "C4", "F3", "F4", "Fp1", "Fp2", "FCz")
    raw = eeg(ch_names=names)
    raw._data[names.index("Pz")] = 0.0
    ours = find_peak(raw)
    for method in METHODS:
        out = replicate(raw, method)
        assert out.channels == ours.channels
        assert "Pz" not in out.channels
        assert "average reference" in out.method
    assert "reference as recorded" in replicate(eeg(), "cog").method


def test_gate_of_the_suite_holds() -> None:
    short = replicate(eeg(duration_s=20.0), "fooof")
    assert short.status == "unusable"
    assert "usable signal" in short.reasons[0]
    marked = eeg(duration_s=120.0)
    marked.annotations.append(0.0, 60.0, "bad movement")
    assert replicate(marked, "cog").seconds_used == pytest.approx(60.0, abs=4.0)


def test_restingiaf_needs_three_channels_and_the_spectrum_to_40_hz() -> None:
    out = replicate(eeg(), "restingiaf", picks=["O1", "O2"])
    assert out.status == "unusable"
    assert "needs 3 good channels" in out.reasons[0]
    assert replicate(eeg(), "fooof", picks=["O1", "O2"]).status == "found"
    slow = eeg(sfreq_hz=80.0)
    assert "too low" in replicate(slow, "restingiaf").reasons[0]
    assert replicate(slow, "fooof").status == "found"


def test_another_rate_than_the_papers_is_mentioned() -> None:
    out = replicate(eeg(sfreq_hz=160.0), "restingiaf")
    assert any("1.7 Hz" in text and "2.7 Hz" in text for text in out.warnings)
    assert not any("smoothing frame" in text for text in replicate(eeg(), "restingiaf").warnings)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("argmax", {}, "restingiaf, fooof, cog"),
        ("cog", {"band_hz": (9.0, 10.0)}, "at least 2 Hz apart"),
        ("cog", {"band_hz": (float("nan"), 13.0)}, "at least 2 Hz apart"),
        ("cog", {"picks": ["Xy"]}, "no EEG channel Xy"),
        ("cog", {"picks": []}, "none given"),
    ],
)
def test_bad_input_is_refused_in_one_line(method: str, options: Any, said: str) -> None:
    with pytest.raises(AnalysisError, match=said) as caught:
        replicate(eeg(duration_s=40.0), method, **options)
    assert "\n" not in str(caught.value)


def test_a_wrong_sampling_rate_is_refused() -> None:
    for method in METHODS:
        out = replicate(load_recording(recording("biosppy/eeg_ec.txt")), method)
        assert out.status == "unusable"
        assert any("250" in text for text in out.reasons)
    told = load_recording(recording("biosppy/eeg_ec.txt"), sfreq_hz=250.0)
    assert replicate(told, "fooof").frequency_hz == pytest.approx(9.5, abs=0.15)
    assert replicate(replace(told, subject="X9"), "cog").subject == "X9"
