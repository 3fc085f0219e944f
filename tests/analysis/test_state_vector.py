"""The state before a block, against made signals whose state is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.errors import AnalysisError, UnusableRecording
from analysis.state_vector import StateGate, reference, state_vector

FS = 250.0


def made(seconds, *, alpha_uv=8.0, theta_uv=0.0, seed=0):
    """Two channels: narrow-band alpha and theta in brown-pink noise."""
    rng = np.random.default_rng(seed)
    n = round(seconds * FS)
    freqs = np.fft.rfftfreq(n, 1.0 / FS)
    shape = 1.0 / np.maximum(freqs, 0.5)

    def noise(weights):
        white = rng.standard_normal((2, freqs.size)) + 1j * rng.standard_normal((2, freqs.size))
        x = np.fft.irfft(white * weights, n)
        return x / x.std(axis=1, keepdims=True)

    def band(low, high):
        return ((freqs >= low) & (freqs <= high)).astype(float)

    return 5.0 * noise(shape) + alpha_uv * noise(band(9.5, 10.5)) + theta_uv * noise(band(4.5, 6.5))


@pytest.fixture(scope="module")
def both():
    closed = reference(made(120.0, alpha_uv=12.0, seed=1), FS, 10.0, eyes="closed")
    opened = reference(made(120.0, alpha_uv=3.0, seed=2), FS, 10.0, eyes="open")
    return closed, opened


def test_eyes_are_told_from_alpha_and_left_open_where_it_is_between(both):
    assert (
        state_vector(made(4.0, alpha_uv=12.0, seed=3), FS, 10.0, references=both).eyes == "closed"
    )
    assert state_vector(made(4.0, alpha_uv=3.0, seed=4), FS, 10.0, references=both).eyes == "open"
    state = state_vector(made(4.0, alpha_uv=12.0, seed=3), FS, 10.0)
    assert (state.eyes, state.eyes_from, state.alpha_z) == ("unknown", "", None)


def test_what_was_said_goes_before_what_alpha_says(both):
    state = state_vector(made(4.0, alpha_uv=12.0, seed=3), FS, 10.0, references=both, said="open")
    assert (state.eyes, state.eyes_from) == ("open", "said")
    assert state.alpha_z > 3.0


def test_alpha_power_is_that_put_in():
    quiet, loud = (made(8.0, alpha_uv=a, seed=5) for a in (6.0, 12.0))
    rise = state_vector(loud, FS, 10.0).ln_alpha - state_vector(quiet, FS, 10.0).ln_alpha
    assert rise == pytest.approx(2.0 * math.log(2.0), abs=0.15)


def test_theta_shows_as_drowsiness_and_alpha_alone_does_not(both):
    awake = state_vector(made(4.0, alpha_uv=16.0, seed=6), FS, 10.0, references=both, said="closed")
    dozing = state_vector(
        made(4.0, alpha_uv=12.0, theta_uv=8.0, seed=6), FS, 10.0, references=both, said="closed"
    )
    assert abs(awake.drowsiness_z) < 3.0
    assert dozing.drowsiness_z > 4.0


def test_pieces_of_rest_have_even_quantiles(both):
    states = [
        state_vector(made(4.0, alpha_uv=12.0, seed=s), FS, 10.0, references=both, said="closed")
        for s in range(20, 60)
    ]
    quantiles = [s.alpha_quantile for s in states]
    assert 0.35 < float(np.mean(quantiles)) < 0.65
    assert any(s.near_ceiling for s in states)
    assert not all(s.near_ceiling for s in states)


def test_the_gate_says_why(both):
    state = state_vector(
        made(4.0, alpha_uv=3.0, seed=4), FS, 10.0, references=both, since_dose_s=4.0
    )
    assert StateGate().why_not(state) == ""
    assert StateGate(eyes="closed").why_not(state) == "eyes open, closed wanted"
    assert "since the last dose" in StateGate(min_since_dose_s=5.0).why_not(state)
    assert "quantile" in StateGate(alpha_quantiles=(0.0, 1e-9)).why_not(state)
    unknown = state_vector(made(4.0, seed=4), FS, 10.0)
    assert "no rest" in StateGate(alpha_quantiles=(0.0, 0.5)).why_not(unknown)
    assert "no rest" in StateGate(max_drowsiness_z=2.0).why_not(unknown)


def test_what_cannot_be_told_is_refused():
    with pytest.raises(UnusableRecording, match="needs 2 s"):
        state_vector(made(1.0), FS, 10.0)
    broken = made(4.0)
    broken[0, 3] = np.nan
    with pytest.raises(UnusableRecording, match="not a number"):
        state_vector(broken, FS, 10.0)
    with pytest.raises(UnusableRecording, match="flat"):
        state_vector(np.zeros((2, 1000)), FS, 10.0)
    with pytest.raises(UnusableRecording, match="usable pieces"):
        reference(made(12.0), FS, 10.0, eyes="open")
    with pytest.raises(AnalysisError, match="alpha_quantiles"):
        StateGate(alpha_quantiles=(0.8, 0.2))
    with pytest.raises(AnalysisError, match="peak_hz"):
        state_vector(made(4.0), FS, 40.0)
