"""Connectivity before and after: power is not called connectivity, coupling is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analysis.connectivity_change import compare_connectivity, mean_over_pairs
from analysis.connectivity_sums import MEASURES, PRIMARY
from analysis.errors import AnalysisError
from analysis.metric_change import together
from tests.analysis.made_coupling import S32, SFREQ_HZ, made_coupling
from tests.analysis.made_outcome import CHANNELS, made_uv

BAND = (8.0, 12.0)
COUPLED = {"coupling": 0.8, "pair": (0, 1)}
NAMES = [one.name for one in MEASURES]


def _epochs(data: np.ndarray, size: int = 320) -> np.ndarray:
    n = data.shape[1] // size
    return data[:, : n * size].reshape(data.shape[0], n, size).transpose(1, 0, 2)


def _compare(before: np.ndarray, after: np.ndarray, **more: object) -> object:
    return compare_connectivity(before, after, SFREQ_HZ, BAND, S32, **more)


def test_power_alone_is_not_called_connectivity() -> None:
    """Coupling is there and stays, alpha rises by half: unmatched estimates rise, no verdict."""
    plain, matched = [], []
    for seed in range(8):
        sides = [
            made_coupling(seed, **COUPLED, n_epochs=45, gain=gain, names=S32[::2])
            for gain in (1.0, 1.5)
        ]
        other = made_coupling(1000 + seed, **COUPLED, n_epochs=45, names=S32[::2])
        # The same two recordings, each once with more alpha: what differs by chance cancels.
        found = [
            compare_connectivity(other, sides[1], SFREQ_HZ, BAND, S32[::2]),
            compare_connectivity(
                sides[0],
                made_coupling(1000 + seed, **COUPLED, n_epochs=45, gain=1.5, names=S32[::2]),
                SFREQ_HZ,
                BAND,
                S32[::2],
            ),
        ]
        for one in found:
            assert one.direction in ("none", "undetermined")
            assert "more after" not in one.summary
            assert one.match.ln_ratio == pytest.approx(np.log(1.5), abs=0.4)
        plain.append(
            [np.mean([f.metrics[m].change / f.metrics[m].pre for f in found]) for m in NAMES]
        )
        matched.append(
            [
                np.mean([f.metrics[m].matched_change / f.metrics[m].pre for f in found])
                for m in NAMES
            ]
        )
    rise = dict(zip(NAMES, np.mean(plain, axis=0), strict=True))
    left = dict(zip(NAMES, np.mean(matched, axis=0), strict=True))
    assert rise["wpli2_debiased"] > 0.2
    assert rise["coh"] > 0.04
    for name in NAMES:
        if name == "aec":
            continue  # may be near 0 before, which is nothing to divide by: test_envelope_sums
        assert abs(left[name]) < 0.25 * rise[name] + 0.005, name


def test_more_coupling_is_called_so_and_the_opposite_less() -> None:
    few, many = made_coupling(4, n_epochs=60), made_coupling(5, n_epochs=60, **COUPLED)
    more, less = _compare(few, many), _compare(many, few)
    assert more.direction == "increase"
    assert less.direction == "decrease"
    assert " was more after than before at equal signal-to-noise ratio" in more.summary
    assert " was less after than before at equal signal-to-noise ratio" in less.summary
    for one in PRIMARY:
        metric = more.metrics[one.name]
        assert metric.corrected_matched_change[0] > 0.0
        low, high = metric.ci95_matched_change
        assert metric.corrected_matched_change[0] <= low
        assert high <= metric.corrected_matched_change[1]


def test_unmatched_change_alone_has_no_direction() -> None:
    """Without background beside the band there is no match, and no direction however large."""
    few, many = made_coupling(6, n_epochs=40), made_coupling(7, n_epochs=40, **COUPLED)
    found = _compare(few, many, pass_band_hz=(7.5, 12.5))
    assert found.metrics["imcoh"].ci95_change[0] > 0.0
    assert found.metrics["imcoh"].matched_change is None
    assert found.direction == "undetermined"
    assert found.n_matched_epochs == 0
    assert "could not be taken out" in found.note
    assert "imaginary coherence (size)" in found.summary
    assert "is undetermined" in found.summary
    assert found.to_dict()["power_match"]["reason"].startswith("no stretch of background")
    # All bins of a wide-band recording are there, but no rhythm stands above them.
    silent = [made_coupling(seed, n_epochs=40, snr=1e-6) for seed in (1, 2)]
    assert _compare(*silent).match.reason == "no rhythm above the background before"


def test_targets_and_plain_values() -> None:
    sides = made_coupling(8, n_epochs=30), made_coupling(9, n_epochs=30, **COUPLED)
    found = _compare(*sides, targets=("O1", "XX"), region=("O1", "O2"))
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["measures"] == NAMES
    for name in NAMES:
        metric, values = found.metrics[name], told[name]
        assert {"pre", "post", "change", "ci95_change", "power_matched_change"} <= set(values)
        row = [S32.index("O1")]
        after, before = (
            mean_over_pairs(name, matrix, row) for matrix in (metric.matrix_post, metric.matrix_pre)
        )
        assert values["target_change"] == pytest.approx(after - before, abs=1e-12)
        low, high = values["ci95_target_power_matched_change"]
        assert low < values["target_power_matched_change"] < high
        assert values["pre"] == pytest.approx(mean_over_pairs(name, metric.matrix_pre))
    assert told["n_epochs"] == told["n_power_matched_epochs"] == 30
    assert "targets" not in told
    assert _compare(*sides).metrics["coh"].target_change is None


def test_the_floor_is_what_unconnected_channels_give() -> None:
    noise = np.random.default_rng(1).standard_normal((2, 40, 10, 256))
    found = compare_connectivity(noise[0], noise[1], 128.0, BAND, tuple("abcdefghij"))
    for name, metric in found.metrics.items():
        if name in ("ppc", "wpli2_debiased", "aec"):
            assert abs(metric.floor) < 0.02
        else:
            assert metric.floor == pytest.approx(metric.pre, rel=0.15)


def test_identical_epochs_do_not_change() -> None:
    epochs = _epochs(made_uv(8, duration_s=60.0))
    found = compare_connectivity(epochs, epochs, 160.0, BAND, CHANNELS, targets=("Oz",))
    assert found.n_epochs == found.n_matched_epochs == 30
    assert found.power_ln_ratio == 0.0
    for metric in found.metrics.values():
        assert metric.change == metric.matched_change == metric.target_change == 0.0
        assert metric.ci95_change[0] < 0.0 < metric.ci95_change[1]
        assert metric.direction in ("none", "undetermined")


def test_interval_holds_no_change_and_sees_planted_coupling() -> None:
    held = 0
    names = ("P3", "P4", "O1", "O2")
    for seed in range(20):
        sides = [
            _epochs(made_uv(100 + 2 * seed + side, duration_s=60.0, channels=names))
            for side in (0, 1)
        ]
        low, high = compare_connectivity(*sides, 160.0, BAND, names).metrics["imcoh"].ci95_change
        held += low <= 0.0 <= high
    assert held >= 17
    lagged = _epochs(made_uv(99, duration_s=60.0, channels=names, lag=1.5))
    found = compare_connectivity(sides[0], lagged, 160.0, BAND, names)
    for one in PRIMARY:
        assert found.metrics[one.name].ci95_change[0] > 0.0


def test_average_reference_changes_connectivity_and_not_the_power_told() -> None:
    sides = [_epochs(made_uv(seed, duration_s=40.0)) for seed in (11, 12)]
    plain = compare_connectivity(*sides, 160.0, BAND, CHANNELS)
    average = compare_connectivity(*sides, 160.0, BAND, CHANNELS, average_reference=True)
    centred = [side - side.mean(axis=1, keepdims=True) for side in sides]
    direct = compare_connectivity(*centred, 160.0, BAND, CHANNELS)
    assert average.power_ln_ratio == plain.power_ln_ratio
    for name in NAMES:
        assert average.metrics[name].pre == pytest.approx(direct.metrics[name].pre, rel=1e-9)
        assert average.metrics[name].matched_change == pytest.approx(
            direct.metrics[name].matched_change, rel=1e-6
        )
    assert average.metrics["imcoh"].pre != plain.metrics["imcoh"].pre
    assert average.to_dict()["reference"] == "average"


def test_slow_fluctuation_widens_every_interval() -> None:
    sides = made_coupling(4, n_epochs=30), made_coupling(5, n_epochs=30, coupling=0.9, pair=(0, 1))
    plain, wide = _compare(*sides), _compare(*sides, widen=8.0)
    for name in NAMES:
        for one in ("ci95_change", "ci95_matched_change", "corrected_matched_change"):
            narrow, broad = (getattr(found.metrics[name], one) for found in (plain, wide))
            assert broad[1] - broad[0] == pytest.approx(8.0 * (narrow[1] - narrow[0]))
    assert plain.direction == "increase"
    assert wide.direction == "undetermined"
    assert wide.to_dict()["intervals_widened_by"] == 8.0
    with pytest.raises(AnalysisError, match="give 1 or more"):
        _compare(*sides, widen=0.5)


def test_directions_of_the_primary_measures_together() -> None:
    assert together(["increase", "undetermined"]) == "increase"
    assert together(["increase", "decrease"]) == "undetermined"
    assert together(["none", "none"]) == "none"
    assert together(["none", "undetermined"]) == "undetermined"


def test_what_cannot_be_compared_is_refused() -> None:
    epochs = np.random.default_rng(7).standard_normal((12, 3, 320))
    names = ("a", "b", "c")
    with pytest.raises(AnalysisError, match="equally many"):
        compare_connectivity(epochs, epochs[:11], 160.0, BAND, names)
    with pytest.raises(AnalysisError, match="needs 10 or more"):
        compare_connectivity(epochs[:9], epochs[:9], 160.0, BAND, names)
    with pytest.raises(AnalysisError, match="two channels"):
        compare_connectivity(epochs[:, :1], epochs[:, :1], 160.0, BAND, names[:1])
    with pytest.raises(AnalysisError, match="no power"):
        compare_connectivity(epochs * 0.0, epochs, 160.0, BAND, names)
