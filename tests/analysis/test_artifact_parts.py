"""Parts of artefact removal: exact against formulas, the current's trace, and files."""

from __future__ import annotations

import gzip
import json
import warnings
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import linalg

from analysis import CurrentTrace, read_current
from analysis.artifact_adaptive import adaptive
from analysis.artifact_current import find_plateau
from analysis.artifact_ged import takagi, threshold_ged
from analysis.artifact_lines import (
    Stimulated,
    covariance,
    refine_frequency,
    shifted_down,
    shifted_up,
)
from analysis.artifact_sass import sass_projection
from analysis.artifact_template import comb, sine_fit, template
from analysis.errors import AnalysisError, UnusableRecording

Array = NDArray[np.float64]

FS = 250.0


def noise(seed: int, n_channels: int = 6, seconds: float = 60.0) -> Array:
    """White in time; the same mixture of channels for every seed, as rest and task of one head."""
    mix = np.random.default_rng(99).normal(size=(n_channels, n_channels))
    rng = np.random.default_rng(seed)
    return np.asarray(1e-6 * mix @ rng.normal(size=(n_channels, round(seconds * FS))))


def wave(frequency_hz: float, n: int, phase: float = 0.0) -> Array:
    return np.cos(2.0 * np.pi * frequency_hz * np.arange(n) / FS + phase)


def test_takagi_gives_the_matrix_back():
    rng = np.random.default_rng(0)
    square = rng.normal(size=(7, 7)) + 1j * rng.normal(size=(7, 7))
    symmetric = square + square.T
    values, vectors = takagi(symmetric)
    assert np.allclose(vectors @ np.diag(values) @ vectors.T, symmetric)
    assert np.allclose(vectors.conj().T @ vectors, np.eye(7))
    assert np.all(np.diff(values) <= 0.0)
    assert np.allclose(values, np.linalg.svd(symmetric, compute_uv=False))


def test_a_signal_near_the_line_survives_down_and_up_and_others_do_not():
    n = 5000
    near, far = wave(10.37, n, 0.4), wave(17.0, n)
    data = np.array([near + far, far])
    back = shifted_up(shifted_down(data, FS, 10.013, 3.0), FS, 10.013)
    inner = slice(750, -750)
    assert np.allclose(back[0, inner], near[inner], atol=0.005)
    assert np.allclose(back[1, inner], 0.0, atol=0.005)


def test_the_envelope_of_a_cosine_is_its_phasor():
    envelope = shifted_down(3.0 * wave(10.013, 5000, 0.7)[None], FS, 10.013, 3.0)
    assert np.allclose(envelope[0, 750:-750], 3.0 * np.exp(0.7j), atol=0.015)


def test_the_frequency_is_measured_in_the_amplifiers_time():
    rest, other = noise(1), noise(2)
    stim = other + 1e-4 * np.outer([1.0, 2.0, 0.5, 1.0, 0.1, 1.5], wave(9.9993, other.shape[1]))
    found, over_db = refine_frequency(Stimulated(stim, rest, FS, 10.0))
    assert found == pytest.approx(9.9993, abs=2e-5)
    assert over_db > 30.0
    assert refine_frequency(Stimulated(other, rest, FS, 10.0))[1] < 10.0


def sass_of_the_paper(stim: Array, rest: Array) -> tuple[Array, int]:
    """Haslacher et al. 2021, from the formula: eigenvectors of inv(B) A, patterns by inverse."""
    values, filters = linalg.eig(stim, rest)
    filters = filters[:, np.argsort(values.real)[::-1]].real.T
    patterns = linalg.inv(filters)
    keep = [np.diag((np.arange(len(stim)) >= k).astype(float)) for k in range(len(stim))]
    projections = [patterns @ one @ filters for one in keep]
    best = int(np.argmin([linalg.norm(rest - p @ stim @ p.T) for p in projections]))
    return projections[best], best


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_sass_is_the_one_of_the_paper(seed: int):
    rng = np.random.default_rng(seed)
    rest = np.cov(noise(seed))
    pattern = 3e-6 * rng.normal(size=(6, 2))
    stim = np.cov(noise(seed)) * 1.1 + pattern @ pattern.T
    projection, excess = sass_projection(stim, rest)
    expected, n_nulled = sass_of_the_paper(stim, rest)
    assert excess.size == n_nulled > 0
    assert np.allclose(projection, expected, atol=1e-9)


def test_sass_is_that_of_clamnibs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what warns
        sensor = pytest.importorskip("clamnibs.sensor", reason="clamnibs is not installed")
    rest = np.cov(noise(6))
    pattern = 3e-6 * np.random.default_rng(6).normal(size=(6, 2))
    stim = rest * 1.2 + pattern @ pattern.T
    values, filters = linalg.eig(stim, rest)
    filters = filters[:, np.argsort(values.real)[::-1]].real.T
    patterns = linalg.pinv(filters)
    _, excess = sass_projection(stim, rest)
    assert sensor._find_n_nulls(stim, rest, filters, patterns) == excess.size


def modulated(seed: int, depth: float = 0.1) -> tuple[Stimulated, Array]:
    """A line whose amplitude beats with 1.1 Hz, on channels with gains and phases of their own."""
    rng = np.random.default_rng(seed)
    rest, brain = noise(seed), noise(seed + 100)
    n = brain.shape[1]
    beat = 1.0 + depth * np.outer(rng.normal(size=6), wave(1.1, n, 0.3))
    carrier = np.array([wave(10.0, n, phase) for phase in rng.normal(size=6)])
    artefact = 1e-3 * rng.normal(size=(6, 1)) * beat * carrier
    return Stimulated(brain + artefact, rest, FS, 10.0), artefact


def test_ged_finds_the_line_and_its_modulation():
    case, artefact = modulated(7)
    out = threshold_ged(case)
    at_ten = [c.kind for c in out.components if c.frequency_hz == 10.0]
    assert at_ten[0] == "line"
    assert set(at_ten[1:]) == {"modulation"}
    inner = slice(500, -500)
    left = (out.artefact - artefact)[:, inner]
    assert left.std() < 0.02 * artefact.std()
    assert left.std() < noise(107).std()  # less than the brain has in all


def test_a_rhythm_that_grows_is_not_locked_to_the_current():
    rest, brain = noise(8), noise(9)
    rng = np.random.default_rng(8)
    envelope = shifted_down(rng.normal(size=(1, brain.shape[1])), FS, 10.0, 1.0)
    rhythm = 2e-4 * np.outer(rng.normal(size=6), shifted_up(envelope, FS, 10.0)[0])
    assert rhythm.std() > 3.0 * brain.std()
    case = Stimulated(brain + rhythm, rest, FS, 10.0)
    out = threshold_ged(case)
    # By power alone it would have been removed.
    power = linalg.eigvalsh(
        *(covariance(shifted_down(data, FS, 10.0, 2.0)) for data in (case.stim, rest))
    )
    assert power[-1] > 100.0
    assert [c for c in out.components if c.kind == "modulation"] == []


def test_a_periodic_artefact_is_gone_after_template_sine_and_comb():
    n = round(60.0 * FS)
    periodic = wave(10.03, n, 0.3) + 0.2 * wave(20.06, n, 1.0)
    case = Stimulated(periodic[None], noise(1, 1), FS, 10.03)
    inner = slice(600, -600)
    for method in (template, sine_fit, comb, adaptive):
        left = (periodic - method(case).artefact[0])[inner]
        assert np.abs(left).max() < 0.02, method


def test_a_window_or_recording_of_too_few_periods_is_refused():
    case = Stimulated(noise(1, 2, 20.0), noise(2, 2, 20.0), FS, 0.4)
    with pytest.raises(UnusableRecording, match="three periods"):
        sine_fit(case)
    with pytest.raises(UnusableRecording, match="a comb of 10 periods"):
        comb(case)


def test_too_many_channels_for_the_time_are_refused():
    short = noise(1, 64, 18.0)
    with pytest.raises(UnusableRecording, match="needs 22 s for 64 channels"):
        threshold_ged(Stimulated(short, short, FS, 10.0))


def session(seconds: float, ramp_s: float, on_s: tuple[float, float], fs: float) -> Array:
    """Size of a current with ramps."""
    time_s = np.arange(round(seconds * fs)) / fs
    return np.clip(np.minimum(time_s - on_s[0], on_s[1] - time_s) / ramp_s, 0.0, 1.0)


def ramped() -> tuple[Array, Array, CurrentTrace]:
    """EEG of 100 s, current from 10 to 80 s with ramps of 10 s; rest; trace from 5 s on."""
    rest, brain = noise(3), noise(4, seconds=100.0)
    size = session(100.0, 10.0, (10.0, 80.0), FS)
    stim = brain + 1e-3 * np.outer(np.arange(1.0, 7.0), size * wave(10.0, brain.shape[1], 0.5))
    fine_s = 5.0 + np.arange(90_000) / 1000.0
    full = np.clip(np.minimum(fine_s - 10.0, 80.0 - fine_s) / 10.0, 0.0, 1.0)
    one = full * np.cos(2.0 * np.pi * 10.0 * fine_s + 1.2)
    return stim, rest, CurrentTrace(np.array([one, -0.5 * one]), ("Oz", "Cz"), 1000.0, 5.0)


@pytest.mark.parametrize("by_trace", [False, True])
def test_ramps_are_left_out_and_silence_after_the_current_is_offered(by_trace: bool):
    stim, rest, trace = ramped()
    span = find_plateau(stim, FS, 10.0, rest=rest, trace=trace if by_trace else None)
    assert 20.0 < span.start_s < 22.0
    assert 68.0 < span.stop_s < 70.0
    assert ("recorded current" if by_trace else "artefact") in span.how
    assert len(span.quiet_s) == 1
    assert span.quiet_s[0] == pytest.approx((80.0, 100.0), abs=1.5)


def test_a_weak_artefact_shows_no_ramps():
    span = find_plateau(noise(4), FS, 10.0, rest=noise(3))
    assert (span.start_s, span.stop_s) == (0.0, 60.0)
    assert "shows no ramps" in span.how


def test_the_phase_of_the_recorded_current_is_that_at_the_eegs_time():
    _, _, trace = ramped()
    times_s = np.arange(30.0, 60.0, 0.01)
    slow = trace.envelope(times_s, 10.0)
    phase = np.angle(slow * np.exp(2j * np.pi * 10.0 * times_s))
    expected = np.angle(np.exp(1j * (2.0 * np.pi * 10.0 * times_s + 1.2)))
    assert np.allclose(np.angle(np.exp(1j * (phase - expected))), 0.0, atol=1e-3)
    assert np.allclose(np.abs(slow), 1.0, atol=1e-3)


def test_the_envelope_of_a_modulated_current_is_followed():
    time_s = np.arange(60_000) / 1000.0
    current = 0.5 * (1.0 + np.cos(2 * np.pi * 10.0 * time_s)) * np.sin(2 * np.pi * 150.0 * time_s)
    trace = CurrentTrace(current[None], ("Oz",), 1000.0)
    slow = trace.envelope(np.arange(10.0, 50.0, 0.1), 10.0, 150.0)
    assert np.allclose(slow, 0.5, atol=0.01)


def write_trace(folder: Path, trace: CurrentTrace) -> Path:
    path = folder / "sub-1_task-tacs_recording-current_stim.tsv.gz"
    rows = "\n".join("\t".join(f"{v:.4f}" for v in row) for row in trace.samples_ma.T)
    path.write_bytes(gzip.compress(rows.encode()))
    described = {
        "Columns": list(trace.columns),
        "SamplingFrequency": trace.sfreq_hz,
        "StartTime": trace.start_s,
    }
    path.with_name(path.name.removesuffix(".tsv.gz") + ".json").write_text(json.dumps(described))
    return path


def test_a_trace_of_the_data_set_is_read(tmp_path: Path):
    trace = CurrentTrace(np.round(noise(1, 2, 4.0) * 1e5, 4), ("Oz", "Cz"), 1000.0, 2.5)
    path = write_trace(tmp_path, trace)
    read = read_current(path)
    assert np.allclose(read.samples_ma, trace.samples_ma, atol=1e-4)
    assert (read.columns, read.sfreq_hz, read.start_s) == (("Oz", "Cz"), 1000.0, 2.5)
    assert read_current(path, start_s=7.0).start_s == 7.0


def test_a_trace_that_cannot_be_read_is_refused_by_name(tmp_path: Path):
    path = write_trace(tmp_path, CurrentTrace(noise(1, 2, 4.0), ("Oz", "Cz"), 1000.0))
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    with pytest.raises(AnalysisError, match=r"stim\.tsv\.gz: the trace of the current cannot"):
        read_current(path)
    path.write_bytes(gzip.compress(b"1\t2\n3"))
    with pytest.raises(AnalysisError, match="cannot be read"):
        read_current(path)
    path.with_name(path.name.removesuffix(".tsv.gz") + ".json").unlink()
    with pytest.raises(AnalysisError, match="sidecar"):
        read_current(path)
    with pytest.raises(AnalysisError, match="one row per electrode"):
        CurrentTrace(np.zeros((2, 5)), ("Oz",), 1000.0)
    with pytest.raises(AnalysisError, match="NaN"):
        CurrentTrace(np.full((1, 5), np.nan), ("Oz",), 1000.0)


def test_a_trace_without_current_says_so():
    stim, rest, _ = ramped()
    silent = CurrentTrace(np.zeros((1, 5000)), ("Oz",), 1000.0)
    with pytest.raises(UnusableRecording, match="no current at 10 Hz"):
        find_plateau(stim, FS, 10.0, rest=rest, trace=silent)


@pytest.mark.parametrize("suffix", [".fif", ".vhdr"])
def test_a_cleaned_recording_is_written_and_reads_back(tmp_path: Path, suffix: str):
    from analysis.artifact import remove_stimulation_artifact
    from analysis.artifact_write import check_target, write_cleaned

    stim, rest, trace = ramped()
    info = mne.create_info(["C3", "Cz", "C4", "O1", "Oz", "O2"], FS, "eeg", verbose="ERROR")
    under, quiet = (mne.io.RawArray(data, info, verbose="ERROR") for data in (stim, rest))
    done = remove_stimulation_artifact(under, rest=quiet, stim_hz=10.0, current=trace)
    assert done.status == "cleaned", done.reasons
    assert done.span.quiet_s
    path = write_cleaned(done, tmp_path / f"out{suffix}", recording="here")
    again = mne.io.read_raw(path, preload=True, verbose="ERROR")
    assert np.allclose(again.get_data(), done.raw.get_data(), rtol=1e-5, atol=1e-10)
    described = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (described["status"], described["recording"]) == ("cleaned", "here")
    for bad, said in (
        (path, "choose another name"),
        (tmp_path / "x.edf", "name it so"),
        (tmp_path / "no" / "x.fif", "make it first"),
    ):
        with pytest.raises(AnalysisError, match=said):
            check_target(bad)
