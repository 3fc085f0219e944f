"""All permutations at once: equal to a plain loop, right about chance, sees planted coupling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analysis import connectivity_permutation as module
from analysis.connectivity import MEASURES, band_fourier, from_coefficients
from analysis.connectivity_permutation import permute_connectivity, resampled_connectivity
from analysis.connectivity_result import unsigned
from analysis.errors import AnalysisError
from analysis.resampling import jackknife_weights, label_sets, stationary_bootstrap_weights
from analysis.transforms import slepian

SFREQ_HZ = 100.0
BAND = (8.0, 12.0)


def made(seed: int, n_epochs: int, n_channels: int = 5, lag: float = 0.0) -> np.ndarray:
    """Alpha of random phase in noise; `lag` couples the last channel to the first."""
    rng = np.random.default_rng(seed)
    epochs = rng.standard_normal((n_epochs, n_channels, 200))
    phase = rng.uniform(0.0, 2.0 * np.pi, (n_epochs, 1))
    wave = 2.0 * np.pi * 10.0 * np.arange(200) / SFREQ_HZ + phase
    epochs[:, 0] += 0.6 * np.sin(wave)
    if lag:
        epochs[:, -1] += 0.6 * np.sin(wave - lag)
    return epochs


def fourier(epochs: np.ndarray) -> Any:
    return band_fourier(epochs, SFREQ_HZ, BAND)[1]


def multitaper(epochs: np.ndarray) -> Any:
    """Complex coefficients with tapers last, by the plain transform."""
    windows = slepian(200, SFREQ_HZ)
    centred = epochs - epochs.mean(axis=-1, keepdims=True)
    found = np.fft.rfft(centred[:, :, None] * windows, axis=-1)[..., 16:25]
    return np.ascontiguousarray(found.transpose(3, 0, 1, 2))


def loop(coefficients: Any, chosen: np.ndarray, measure: Any) -> np.ndarray:
    lower = np.tril_indices(coefficients.shape[2], -1)
    return from_coefficients(coefficients[:, chosen], (measure,))[measure][lower]


@pytest.mark.parametrize("transform", [fourier, multitaper])
@pytest.mark.parametrize("measure", MEASURES)
def test_permutations_equal_a_plain_loop(measure: Any, transform: Any) -> None:
    before, after = transform(made(1, 13)), transform(made(2, 11, lag=1.2))
    found = permute_connectivity(before, after, measure, 25, seed=4)
    labels = label_sets(13, 11, 25, seed=4)
    both = np.concatenate([before, after], axis=1)
    changes, means = [], []
    for row in labels.after > 0.0:
        sides = np.array([loop(both, np.flatnonzero(row == side), measure) for side in (1, 0)])
        changes.append(sides[0] - sides[1])
        means.append(unsigned(measure, sides).mean(axis=1))
    every, mean = np.array(changes), np.array(means)
    size = np.abs(every)
    assert np.abs(found.after - found.before - every[0]).max() <= 1e-12
    assert np.abs(found.null_max - size[1:].max(axis=1)).max() <= 1e-12
    assert (found.global_after, found.global_before) == pytest.approx(mean[0], abs=1e-12)
    assert found.p == pytest.approx(np.mean(size >= size[0] - 1e-12, axis=0))
    largest = size.max(axis=1)[:, None]
    assert found.p_corrected == pytest.approx(np.mean(largest >= size[0] - 1e-12, axis=0))
    moved = np.abs(mean[:, 0] - mean[:, 1])
    assert found.p_global == pytest.approx(np.mean(moved >= moved[0] - 1e-12))
    assert found.n_permutations == 25
    assert not found.exact


@pytest.mark.parametrize("transform", [fourier, multitaper])
@pytest.mark.parametrize("measure", MEASURES)
def test_jackknife_and_bootstrap_equal_a_plain_loop(measure: Any, transform: Any) -> None:
    coefficients = transform(made(3, 12, lag=1.0))
    for weights in (jackknife_weights(12, 4), stationary_bootstrap_weights(12, 5, 3.0, seed=1)):
        values, seeds, targets = resampled_connectivity(coefficients, weights, measure)
        assert (seeds[0], targets[0]) == (1, 0)
        for row, value in zip(weights.astype(int), values, strict=True):
            chosen = np.repeat(np.arange(12), row)
            assert np.abs(value - loop(coefficients, chosen, measure)).max() <= 1e-12


def test_blocks_of_pairs_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = fourier(made(5, 10)), fourier(made(6, 10))
    whole = permute_connectivity(before, after, "wpli", 30)
    monkeypatch.setattr(module, "_TEMPORARY_BYTES", 8 * 62 * 3)
    told: list[float] = []
    parts = permute_connectivity(before, after, "wpli", 30, progress=told.append)
    assert parts.null_max == pytest.approx(whole.null_max, abs=1e-14)
    assert parts.p_corrected == pytest.approx(whole.p_corrected)
    assert len(told) == 4
    assert told[-1] == 1.0


def test_planted_coupling_is_found_at_its_pair_and_nowhere_else() -> None:
    before, after = fourier(made(7, 60)), fourier(made(8, 60, lag=1.4))
    for measure in ("wpli", "wpli2_debiased", "imcoh", "coh", "pli", "ppc"):
        found = permute_connectivity(before, after, measure, 199, block=2)  # type: ignore[arg-type]
        edge = (found.seeds == 4) & (found.targets == 0)
        assert found.p_corrected[edge] == pytest.approx(found.p_smallest), measure
        assert found.p_corrected[~edge].min() > 0.05, measure
        assert np.all(found.p <= found.p_corrected + 1e-12)
        change = found.change_matrix()
        mirrored = -change if measure == "imcoh" else change
        assert change.T == pytest.approx(mirrored)
        assert abs(change[4, 0]) == np.abs(change).max()


def test_nothing_changed_is_seldom_called_a_change() -> None:
    found = [
        permute_connectivity(
            fourier(made(100 + 2 * seed, 16, 4)), fourier(made(101 + 2 * seed, 16, 4)), "wpli", 99,
            seed=seed,
        )
        for seed in range(100)
    ]  # fmt: skip
    for p in ([one.p_corrected.min() for one in found], [one.p_global for one in found]):
        assert np.sum(np.array(p) <= 0.05) <= 11  # 5 expected; more than 11 in 0.4 % of runs
        assert np.sum(np.array(p) <= 0.5) >= 35


def test_all_ways_are_counted_once_and_mirrors_tie() -> None:
    before, after = fourier(made(9, 12)), fourier(made(10, 12))
    found = permute_connectivity(before, after, "imcoh", 1000, block=3)
    assert found.exact
    assert found.n_permutations == 69
    # The mirror image of the true labels changes as much.
    assert found.p.min() >= 2.0 / 70.0


def test_flat_channel_and_identical_recordings_change_nothing() -> None:
    epochs = made(11, 12)
    epochs[:, 2] = 4.0
    for measure in MEASURES:
        found = permute_connectivity(fourier(epochs), fourier(epochs), measure, 20)
        flat = (found.seeds == 2) | (found.targets == 2)
        assert not (found.after - found.before)[flat].any()
        assert np.all(found.before[flat] == (0.5 if measure == "dpli" else 0.0))
        assert np.all(found.p == 1.0)


def test_what_cannot_be_tested_is_refused() -> None:
    good = fourier(made(12, 8))
    for words, call in (
        ("differ in channels", lambda: permute_connectivity(good, good[:, :, :3], "coh")),
        ("two or more on each side", lambda: permute_connectivity(good, good[:, :1], "coh")),
        ("is not known", lambda: permute_connectivity(good, good, "gc")),  # type: ignore[arg-type]
        ("not all finite", lambda: permute_connectivity(good * np.nan, good, "coh")),
        ("2 dimensions", lambda: permute_connectivity(good[0], good[0], "coh")),
        ("two channels", lambda: permute_connectivity(good[:, :, :1], good[:, :, :1], "coh")),
        ("of 8 and 8", lambda: permute_connectivity(good, good, "coh", labels=label_sets(9, 8, 3))),
        ("for 8 epochs", lambda: resampled_connectivity(good, np.ones((2, 9)), "coh")),
    ):
        with pytest.raises(AnalysisError, match=words):
            call()
