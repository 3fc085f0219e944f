"""Network of a connectivity change: planted coupling at its place, and nothing where nothing is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from analysis.connectivity_change import compare_connectivity
from analysis.connectivity_sums import BY_NAME, block_sums
from analysis.errors import AnalysisError
from analysis.fluctuation import Fluctuation
from analysis.network import global_spectrum, node_strength
from analysis.network_change import NetworkChange, compare_network, directions
from analysis.network_effect import MIN_NODES, network_effect, rotations
from analysis.pairwise import pairwise_change
from analysis.snr_matching import SnrMatch, match_snr
from tests.analysis.made_coupling import S32, SFREQ_HZ, made_coupling
from tests.analysis.made_head import S19

BAND = (8.0, 12.0)
COUPLED: dict[str, Any] = {"coupling": 0.9, "pair": (0, 1)}
# Sources 0 and 1 of the made head lie left and right at the back.
LEFT, RIGHT = {"P3", "P7", "PO3", "O1", "TP9", "CP5"}, {"P4", "P8", "PO4", "O2", "TP10", "CP6"}
SITE = ("O1", "PO3")


def _network(before: np.ndarray, after: np.ndarray, **more: Any) -> NetworkChange:
    change = compare_connectivity(before, after, SFREQ_HZ, BAND, S32, targets=SITE)
    return compare_network(before, after, SFREQ_HZ, change, site=SITE, **more)


def _match(before: np.ndarray, after: np.ndarray, names: tuple[str, ...] = S32) -> SnrMatch:
    return compare_connectivity(before, after, SFREQ_HZ, BAND, names).match


@pytest.fixture(scope="module")
def planted() -> NetworkChange:
    return _network(
        made_coupling(21, n_epochs=60),
        made_coupling(22, n_epochs=60, **COUPLED),
        stimulation_hz=9.0,
    )


def test_planted_coupling_is_found_at_its_place_and_nowhere_else(planted: NetworkChange) -> None:
    assert planted.pairs.reason is None
    assert planted.pairs.n_pairs == 496
    assert planted.pairs.found
    first = set(planted.pairs.found[0].channels)
    assert first & LEFT
    assert first & RIGHT
    # Volume conduction carries the coupling to neighbours, but one end is always at the back.
    back = LEFT | RIGHT | {"Pz", "CP1", "CP2"}
    assert all(set(pair.channels) & back for pair in planted.pairs.found)
    assert all(pair.p < 0.05 for pair in planted.pairs.found)


def test_the_global_spectrum_peaks_where_the_rhythm_couples(planted: NetworkChange) -> None:
    spectrum = planted.spectrum
    before, after = spectrum.peaks
    assert before.frequency_hz is None
    assert before.reason
    assert after.frequency_hz == pytest.approx(10.0, abs=0.6)
    assert spectrum.distance_hz[0] is None
    assert spectrum.distance_hz[1] == pytest.approx(abs(after.frequency_hz - 9.0))
    assert spectrum.approach_hz is None
    assert spectrum.reason is not None
    assert spectrum.reason.startswith("before: ")
    told = json.loads(json.dumps(planted.to_dict(), allow_nan=False))
    assert set(told) == {"global_spectrum", "pairs", "network_effect"}


def test_a_peak_on_both_sides_has_a_distance_and_an_interval() -> None:
    sides = [made_coupling(seed, n_epochs=90, **COUPLED) for seed in (31, 32)]
    found = global_spectrum(*sides, SFREQ_HZ, search_hz=(6.0, 14.0), stimulation_hz=8.0)
    low, high = found.ci95_approach_hz
    assert found.approach_hz == pytest.approx(found.distance_hz[0] - found.distance_hz[1])
    assert low < 0.0 < high  # the same coupling twice
    unknown = global_spectrum(*sides, SFREQ_HZ, search_hz=(6.0, 14.0))
    assert unknown.approach_hz is None
    assert unknown.reason == "the stimulation frequency is not known"
    away = global_spectrum(*sides, SFREQ_HZ, search_hz=(20.0, 26.0), stimulation_hz=22.0)
    assert away.approach_hz is None
    with pytest.raises(AnalysisError, match="10 are the least"):
        global_spectrum(sides[0][:9], sides[1], SFREQ_HZ, search_hz=(6.0, 14.0))
    with pytest.raises(AnalysisError, match="two channels"):
        global_spectrum(sides[0][:, :1], sides[1], SFREQ_HZ, search_hz=(6.0, 14.0))


def test_more_power_at_the_same_coupling_changes_no_pair() -> None:
    for seed in (41, 43):
        found = _match(
            made_coupling(seed, n_epochs=60, **COUPLED),
            made_coupling(seed + 1, n_epochs=60, gain=1.5, **COUPLED),
        )
        assert pairwise_change(found, S32, 2.0, None, n_permutations=199).found == ()


def test_pairs_are_not_tested_where_exchange_is_not_valid() -> None:
    sides = made_coupling(51, n_epochs=60), made_coupling(52, n_epochs=60)
    match = _match(*sides)
    slow = Fluctuation(
        autocorrelation_time_s=12.0, slow_probability=0.6, n_effective=(5.0, 5.0), half_width_ln=0.2
    )
    assert "fluctuate slowly" in str(pairwise_change(match, S32, 2.0, slow).reason)
    longer = Fluctuation(
        autocorrelation_time_s=9.0, slow_probability=0.1, n_effective=(5.0, 5.0), half_width_ln=0.2
    )
    assert "make 3 blocks of 36 s" in str(pairwise_change(match, S32, 2.0, longer).reason)
    none = SnrMatch(None, np.zeros(32), np.zeros((2, 10)), "no rhythm")
    assert pairwise_change(none, S32, 2.0, None).reason == "no rhythm"
    assert network_effect(none, S32, SITE, None).reason == "no rhythm"


def test_strength_is_the_mean_over_the_pairs_of_a_channel() -> None:
    rng = np.random.default_rng(1)
    coefficients = rng.standard_normal((3, 20, 5)) + 1j * rng.standard_normal((3, 20, 5))
    sums = block_sums(coefficients, 4)
    measure = BY_NAME["coh"]
    pairs = sums.values(np.ones((1, 4)), (measure,))["coh"][0]
    rows, columns = np.tril_indices(5, -1)
    expected = [pairs[(rows == k) | (columns == k)].mean() for k in range(5)]
    assert node_strength(sums, measure)[0] == pytest.approx(expected)


def test_the_network_effect_needs_a_site_and_channels(planted: NetworkChange) -> None:
    effect = planted.effect
    assert effect.null == "rotation"
    assert len(effect.nodes) == 30
    assert not set(SITE) & set(effect.nodes)
    assert effect.rho is not None
    assert -1.0 <= effect.rho <= 1.0
    assert 0.0 < float(effect.p or 0.0) <= 1.0
    sides = made_coupling(51, n_epochs=30), made_coupling(52, n_epochs=30)
    match = _match(*sides)
    assert "the stimulated site is not known" in str(
        network_effect(match, S32, ("XX",), None).reason
    )
    unplaced = network_effect(match, S32, SITE, None)
    assert unplaced.null == "permutation"
    few = S32[: MIN_NODES + 1]
    small = _match(*(side[:, : len(few)] for side in sides), few)
    assert "8 are the least" in str(network_effect(small, few, few[:2], None).reason)


def test_baseline_and_change_share_no_noise() -> None:
    """Nothing changed: crosswise halves do not correlate, a shared baseline would (falls back)."""
    names = S19
    crosswise, shared = [], []
    for seed in range(16):
        sides = [made_coupling(900 + 2 * seed + k, n_epochs=40, names=names) for k in (0, 1)]
        match = _match(*sides, names)
        effect = network_effect(match, names, ("O1",), None, n_rotations=9)
        crosswise.append(effect.rho)
        shared.append(float(np.corrcoef(effect.baseline, effect.change)[0, 1]))
    assert abs(np.mean(crosswise)) < 0.12
    assert np.mean(shared) < -0.12


def test_rotations_keep_neighbours_together_and_use_each_value_once() -> None:
    places = directions(S32)
    assert places is not None
    orders = rotations(places, 50, np.random.default_rng(0))
    assert all(sorted(order) == list(range(32)) for order in orders)
    gaps = np.arccos(np.clip(places @ places.T, -1.0, 1.0))
    np.fill_diagonal(gaps, np.inf)
    nearest = gaps.argmin(axis=1)
    turned = np.mean([np.median(gaps[order, order[nearest]]) for order in orders])
    shuffled = np.random.default_rng(1).permuted(np.tile(np.arange(32), (50, 1)), axis=1)
    mixed = np.mean([np.median(gaps[order, order[nearest]]) for order in shuffled])
    assert turned < 0.6 * mixed
    assert directions(("O1", "A thing")) is None


def test_a_match_needs_background_on_both_sides() -> None:
    rng = np.random.default_rng(3)
    freqs = np.arange(2.0, 24.5, 0.5)
    flat = rng.standard_normal((freqs.size, 20, 3)) + 1j * rng.standard_normal((freqs.size, 20, 3))
    low = match_snr(freqs[10:], flat[10:], flat[10:], (8.0, 12.0), 10)
    assert low.reason == "no stretch of background without a rhythm below the band"
    dead = flat.copy()
    dead[:, :, 1] = 0.0
    assert match_snr(freqs, dead, flat, (8.0, 12.0), 10).reason == "a channel is flat"
    with pytest.raises(AnalysisError, match="not matched: no stretch of background"):
        low.matched(1)
