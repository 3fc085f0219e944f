"""Response profile: planted resonances, echoes and locking regions come back; nothing does not."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from analysis.errors import AnalysisError, UnusableRecording
from analysis.profile import analyze_profile
from analysis.profile_blocks import Block, check_blocks, read_blocks
from analysis.profile_curve import Measured, fit_lorentzian
from analysis.profile_echo import detectable_locking, faded, fit_echo
from analysis.profile_permutation import split_half
from analysis.profile_plan import plan_profile
from analysis.profile_rest import RestLine

made = pytest.importorskip("benchmarks.profile_made", reason="benchmarks are not here")
FS = 250.0


def profile_of(one: Any, mode: Any = "virtual", **options: Any) -> Any:
    return analyze_profile(one.raw, one.blocks, mode=mode, n_permutations=999, **options)


@pytest.fixture(scope="module")
def driven() -> list[Any]:
    return list(made.made_sweeps(3, (2.0,), 11, block_s=60.0))


def test_a_driven_rhythm_gives_its_centre_within_its_interval(driven: list[Any]) -> None:
    for one in driven:
        profile = profile_of(one)
        assert profile.verdict == "response"
        assert profile.sham_test is not None
        assert profile.sham_test.p > 0.05
        curve = profile.resonance[2.0]
        assert abs(curve.centre_hz - one.peak_hz) < 0.5
        low, high = curve.centre_ci95_hz
        assert low is not None
        assert high is not None
        assert low < one.peak_hz < high
        assert profile.rest is not None
        assert abs(profile.rest.centre_hz - one.peak_hz) < 0.4
        assert not profile.reliability.individual
        json.dumps(profile.to_dict(), allow_nan=False)


def test_the_stimulator_off_is_no_response_though_raw_locking_peaks(driven: list[Any]) -> None:
    silent = made.made_sweeps(6, (2.0,), 12, block_s=60.0, real_ma=0.0)
    profiles = [profile_of(one) for one in silent]
    assert sum(p.verdict == "no_response" for p in profiles) >= 5
    assert all(not p.resonance for p in profiles if p.verdict == "no_response")
    nulls = np.mean([[row.null for row in p.answers] for p in profiles], axis=0)
    assert nulls[4] > 2.0 * nulls[0]  # the peak that raw locking would have "found"


def test_a_light_that_shines_in_sham_too_is_no_response(driven: list[Any]) -> None:
    one = made.made_sweeps(1, (2.0,), 13, block_s=60.0, real_ma=0.0)[0]
    times = np.arange(one.raw.n_times) / FS
    raw = one.raw.copy()
    hz = one.blocks[0].frequency_hz
    raw._data[0] += 6e-6 * np.cos(2.0 * np.pi * hz * times)
    profile = analyze_profile(raw, one.blocks, mode="photic")
    assert profile.verdict == "undetermined"
    assert not profile.resonance
    assert any("sham answers" in text for text in profile.warnings)


def test_trains_give_an_echo_and_never_a_resonance() -> None:
    one = made.made_trains(1, 6.0, 190, 14, artefact=500.0)[0]
    profile = profile_of(one, "electrical")
    assert profile.verdict == "response"
    assert not profile.resonance
    assert "artefact" in profile.resonance_reason
    (echo,) = profile.echoes
    assert echo.tau_s is not None
    assert 0.1 < echo.tau_s < 0.6
    assert echo.kind == "drive"
    off = made.made_trains(1, 6.0, 60, 14, real_ma=0.0)[0]
    assert profile_of(off, "electrical").verdict == "no_response"


def test_current_without_gaps_is_refused_with_the_reason(driven: list[Any]) -> None:
    blocks = [Block(10.0, 1.0, "drive", 5.0 + 2.1 * i, 7.0 + 2.1 * i) for i in range(20)]
    with pytest.raises(UnusableRecording, match=r"artefact has exactly the phase"):
        analyze_profile(driven[0].raw, blocks, mode="electrical")
    marked = driven[0].raw.copy()
    first = driven[0].blocks[0]
    marked.set_annotations(mne.Annotations([first.start_s], [30.0], ["current on"]))
    with pytest.raises(UnusableRecording, match=r"artefact has exactly the phase"):
        analyze_profile(marked, driven[0].blocks, mode="photic")
    with pytest.raises(UnusableRecording, match="190"):
        analyze_profile(driven[0].raw, [Block(10.0, 1.0, "drive", 5.0, 7.0)], mode="electrical")


def test_a_recorded_drive_gives_what_its_exact_frequency_gives(driven: list[Any]) -> None:
    one = driven[0]
    raw = one.raw.copy()
    wave = np.zeros(raw.n_times)
    times = np.arange(raw.n_times) / FS
    for b in one.blocks:
        on = (times >= b.start_s) & (times < b.stop_s)
        wave[on] = np.cos(2.0 * np.pi * b.frequency_hz * (times[on] - b.start_s))
    beside = mne.io.RawArray(wave[None], mne.create_info(["light"], FS, "misc"), verbose="ERROR")
    raw.add_channels([beside], force_update_info=True)
    recorded = analyze_profile(raw, one.blocks, mode="photic", drive_channel="light")
    exact = analyze_profile(one.raw, one.blocks, mode="photic")
    for ours, theirs in zip(recorded.answers, exact.answers, strict=True):
        assert ours.plv2 == pytest.approx(theirs.plv2, abs=0.01)


def test_the_likelihood_finds_a_planted_lorentzian_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(2)
    hz = np.repeat(np.linspace(7.0, 13.0, 9), 2)
    null = np.full(hz.size, 0.004)
    truth = 0.05 / (1.0 + ((hz - 10.2) / 0.8) ** 2)
    held, errors = 0, []
    for _ in range(40):
        noise = rng.standard_normal((2, hz.size)) * np.sqrt(null / 2.0)
        plv2 = (np.sqrt(truth) + noise[0]) ** 2 + noise[1] ** 2
        curve = fit_lorentzian(
            Measured(hz, np.ones(hz.size), plv2, null, np.arange(18.0), np.ones(hz.size)),
            width_hz=0.8,
        )
        errors.append(curve.centre_hz - 10.2)
        low, high = curve.centre_ci95_hz
        held += (low is None or low < 10.2) and (high is None or high > 10.2)
    assert abs(np.mean(errors)) < 0.05
    assert held >= 34  # 95 % of 40, less three standard errors


def test_a_planted_echo_has_its_time_constant() -> None:
    rng = np.random.default_rng(1)
    times = np.arange(0.1, 0.8, 0.02)
    steps = rng.standard_normal((times.size, 400)) * np.sqrt(2.0 * 0.02 / 0.3)
    start = 0.8 * rng.standard_normal(400)
    unit = np.exp(1j * (start + np.cumsum(steps, axis=0)))[..., None]
    echo = fit_echo(times, unit, 10.0, 1.0, rng)
    assert echo.tau_s == pytest.approx(0.3, rel=0.25)
    assert echo.tau_ci95_s is not None
    off_tune = unit * np.exp(2j * np.pi * 0.8 * times)[:, None, None]
    again = fit_echo(times, off_tune, 10.0, 1.0, rng)
    assert again.tau_s == pytest.approx(0.3, rel=0.25)
    nothing = np.exp(2j * np.pi * rng.random((times.size, 400, 1)))
    assert fit_echo(times, nothing, 10.0, 1.0, rng).tau_s is None


def test_an_echo_that_barely_stands_out_has_an_interval_and_no_time_constant() -> None:
    rng = np.random.default_rng(3)
    times = np.arange(0.1, 0.8, 0.02)
    told = long = 0
    for _ in range(40):
        noise = rng.standard_normal((2, times.size, 190)) / np.sqrt(2.0)
        value = noise[0] + 1j * noise[1] + 0.5 * np.exp(-times / 0.1)[:, None]
        echo = fit_echo(times, value[..., None], 10.0, 1.0, rng, n_bootstrap=200)
        if echo.p >= 0.05:
            assert "nothing is locked at the first read (0.10 s" in echo.reason
            continue
        assert echo.tau_ci95_s is not None
        low, high = echo.tau_ci95_s
        wide = low is None or high is None or high > 8.0 * low
        assert (echo.tau_s is None) == (wide or echo.reason != "")
        told += echo.tau_s is not None
        long += echo.tau_s is not None and echo.tau_s > 0.2
    assert told >= 5
    assert long <= 0.2 * told


def test_a_line_that_forgets_before_the_first_read_is_the_reason() -> None:
    times = np.arange(0.2, 0.8, 0.02)
    noise = np.random.default_rng(1).standard_normal((2, times.size, 190, 1))
    echo = fit_echo(times, noise[0] + 1j * noise[1], 10.0, 1.0, np.random.default_rng(2))
    line = RestLine(10.0, 2.4, 0.8, 0.13, 0.4, 1.4, 100.0)
    assert "2.4 Hz wide) forgets its phase in 0.13 s, before" in faded(echo, line).reason
    assert faded(echo, replace(line, memory_s=0.3)).reason == echo.reason
    assert faded(echo, None) is echo


def test_repeats_that_agree_are_told_from_those_that_do_not() -> None:
    rng = np.random.default_rng(5)
    hz = np.tile(np.linspace(7.0, 13.0, 9), 2)
    curve = 0.05 / (1.0 + (hz - 10.0) ** 2)
    null = np.full(18, 0.002)
    alike = Measured(hz, np.ones(18), curve + null, null, np.arange(18.0), np.ones(18))
    found = split_half(alike, rng, 999)
    assert found is not None
    assert found[0] > 0.99
    assert found[1] < 0.01
    other = replace(alike, plv2=null + np.r_[curve[:9], rng.permutation(curve[:9])])
    found = split_half(other, rng, 999)
    assert found is not None
    assert found[1] > 0.01
    assert split_half(alike.only(np.arange(18) < 9), rng, 999) is None


def test_the_plan_counts_what_the_noise_demands() -> None:
    good = plan_profile("virtual", 10.0)
    assert good.detectable_plv <= 0.16
    assert sorted(good.order_hz)[1:] == [7.0, 8.0, 9.0, 9.5, 10.0, 10.5, 11.0, 12.0, 13.0]
    short = plan_profile("photic", 10.0, seconds_per_block=30.0)
    assert any("119" in text or "120" in text for text in short.warnings)
    trains = plan_profile("electrical", 10.0, expected_plv=0.3, trains=12)
    assert detectable_locking(12) == pytest.approx(0.632, abs=0.001)
    assert trains.detectable_plv == pytest.approx(0.632, abs=0.001)
    # 187 for a drive that ends at once; its fall of 0.5 s leaves half of the locking.
    memory_s = 1.0 / math.pi
    left = memory_s / 0.5 * (1.0 - math.exp(-0.5 / memory_s))
    assert trains.needed == pytest.approx(187 / left**2, rel=0.01)
    assert any("trains needed" in text for text in trains.warnings)
    with pytest.raises(AnalysisError, match="repeats 0"):
        plan_profile("photic", 10.0, repeats=0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frequency_hz\tkind\n10\tdrive\n", "missing: start_s, stop_s, level"),
        ("frequency_hz\tlevel\tkind\tstart_s\tstop_s\n10\t1\ton\t0\t9\n", "line 2: kind 'on'"),
        ("frequency_hz\tlevel\tkind\tstart_s\tstop_s\n10\tx\tdrive\t0\t9\n", "line 2: not a"),
        ("", "columns missing"),
    ],
)
def test_a_bad_table_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "blocks.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AnalysisError, match=words) as caught:
        read_blocks(path)
    assert "\n" not in str(caught.value)
    assert "blocks.tsv" in str(caught.value)


def test_blocks_that_overlap_lie_outside_or_never_drive_are_refused() -> None:
    rows = [Block(10.0, 1.0, "sham", 0.0, 20.0), Block(11.0, 1.0, "sham", 10.0, 200.0)]
    with pytest.raises(AnalysisError) as caught:
        check_blocks(rows, 100.0)
    for word in ("outside the recording", "no block of kind drive"):
        assert word in str(caught.value)
    with pytest.raises(AnalysisError, match="begins before"):
        check_blocks([Block(9.0, 1.0, "drive", 0.0, 20.0), Block(9.0, 1.0, "drive", 9, 30)], 99.0)


def test_unusable_requests_are_refused(driven: list[Any]) -> None:
    one = driven[0]
    with pytest.raises(AnalysisError, match="no channel Cz"):
        profile_of(one, picks=["Cz"])
    with pytest.raises(AnalysisError, match="leaves out"):
        profile_of(one, band_hz=(9.0, 10.0))
    with pytest.raises(AnalysisError, match="too short"):
        analyze_profile(one.raw, [Block(10.0, 1.0, "drive", 5.0, 7.0)], mode="photic")


def test_the_figure_shows_curve_and_verdict(driven: list[Any], tmp_path: Path) -> None:
    figure = profile_of(driven[0]).plot()
    figure.savefig(tmp_path / "profile.png")
    (axes,) = figure.axes
    assert "response beyond chance" in axes.get_title()
    assert axes.get_xlabel() == "Frequency of the drive (Hz)"


def test_a_real_flicker_answers_at_its_frequency_and_rest_does_not() -> None:
    from benchmarks.real_flicker import as_if_driven, session
    from benchmarks.real_outcomes import DRIVES_HZ, PEOPLE
    from tests.data import recording

    person = PEOPLE[1]
    for stamp in person[1:]:
        recording(f"ssvep_exo/{person[0]}_{stamp}_raw.fif")
    folder = recording(f"ssvep_exo/{person[0]}_{person[1]}_raw.fif").parents[1]
    raw, blocks = session(folder, person)
    profile = analyze_profile(raw, blocks, mode="photic")
    assert profile.verdict == "response"
    assert {row.frequency_hz for row in profile.answers if row.p < 0.05} == set(DRIVES_HZ)
    assert profile.sham_test is not None
    assert profile.sham_test.p > 0.05
    assert analyze_profile(raw, as_if_driven(blocks), mode="photic").verdict == "no_response"
