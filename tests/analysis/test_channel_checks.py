"""Channels and their places: each fault is planted, and absent in as many recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import assess, load_recording
from analysis.findings import Finding
from analysis.placement import (
    Swap,
    directions,
    find_swaps,
    layout_fit,
    spatial_correlation,
)
from analysis.state_checks import window_spectra
from tests.analysis.made_head import S19, S32, S64, directions_of, made_head, raw_of
from tests.analysis.simulate import POSTERIOR, make_eeg
from tests.data import recording

Array = NDArray[np.float64]


def named(raw: Any, name: str) -> list[Finding]:
    return [finding for finding in assess(raw).findings if finding.name == name]


def places_and_correlation(data: Array, names: tuple[str, ...]) -> tuple[Array, Array]:
    raw = raw_of(data, names)
    windows = window_spectra(data, range(len(names)), 128.0, np.zeros(data.shape[1], dtype=bool))
    direction = directions(raw, names)
    assert direction is not None
    return direction, spatial_correlation(windows.vectors())


def far_pair(rng: np.random.Generator, unit: Array) -> tuple[int, int]:
    while True:
        a, b = (int(i) for i in rng.choice(len(unit), 2, replace=False))
        if unit[a] @ unit[b] < np.cos(np.pi / 4.0):
            return a, b


@pytest.mark.parametrize(("names", "least"), [(S64, 0.9), (S32, 0.75)])
def test_exchanged_plugs_are_found_and_right_ones_left_alone(
    names: tuple[str, ...], least: float
) -> None:
    """Pairs 45 degrees or more apart; never a wrong pair, never a pair where there is none."""
    unit = directions_of(names)
    hits = 0
    for seed in range(20):
        data = made_head(seed, names, duration_s=30.0, noise=0.1 if seed % 2 else 0.2)
        direction, correlation = places_and_correlation(data, names)
        assert find_swaps(correlation, direction) == []
        a, b = far_pair(np.random.default_rng(seed), unit)
        order = np.arange(len(names))
        order[[a, b]] = order[[b, a]]
        found = find_swaps(correlation[np.ix_(order, order)], direction)
        assert {frozenset((s.first, s.second)) for s in found} <= {frozenset((a, b))}
        hits += bool(found)
    assert hits / 20 >= least


def test_no_false_alarm_in_small_montages() -> None:
    for names in (S19, S19[:8], POSTERIOR):
        for seed in range(20):
            data = made_head(100 + seed, names, duration_s=16.0, noise=0.3)
            direction, correlation = places_and_correlation(data, names)
            assert find_swaps(correlation, direction) == []


def test_exchanged_plugs_are_named_by_the_gate() -> None:
    data = made_head(3, S64)
    assert named(raw_of(data, S64), "swapped_channels") == []
    a, b = S64.index("O1"), S64.index("F8")
    data[[a, b]] = data[[b, a]]
    (found,) = named(raw_of(data, S64), "swapped_channels")
    assert found.severity == "warning"
    assert set(found.channels) == {"O1", "F8"}
    assert found.line.startswith("swapped_channels: ")
    assert "check the inputs" in found.text


def test_two_pairs_are_both_put_right() -> None:
    data = made_head(4, S64)
    pairs = [("Fp1", "P8"), ("C3", "Oz")]
    for first, second in pairs:
        a, b = S64.index(first), S64.index(second)
        data[[a, b]] = data[[b, a]]
    (found,) = named(raw_of(data, S64), "swapped_channels")
    assert set(found.channels) == {"Fp1", "P8", "C3", "Oz"}
    assert found.count == 2


def test_cable_blocks_in_the_wrong_order() -> None:
    data = np.roll(made_head(5, S64), 32, axis=0)
    direction, correlation = places_and_correlation(data, S64)
    fit = layout_fit(correlation, direction)
    assert fit is not None
    assert fit < 0.3
    right = layout_fit(*reversed(places_and_correlation(made_head(5, S64), S64)))
    assert right is not None
    assert right > 0.6
    (found,) = named(raw_of(data, S64), "swapped_channels")
    assert "another order" in found.text


def test_independent_channels_say_nothing_about_places() -> None:
    data = np.random.default_rng(0).normal(0.0, 1e-5, (32, 128 * 40))
    assert named(raw_of(data, S32), "swapped_channels") == []
    direction, correlation = places_and_correlation(data, S32)
    assert layout_fit(correlation, direction) is None


def test_places_that_are_no_head_are_not_used() -> None:
    raw = raw_of(made_head(6, S19), S19)
    assert directions(raw, S19) is not None
    for chan in raw.info["chs"]:
        chan["loc"][:3] *= 1000.0
    assert directions(raw, S19) is None
    assert directions(raw_of(made_head(6, S19), S19), S19[:7]) is None
    assert Swap(0, 1, 0.2).ratio == 0.2


@pytest.mark.parametrize("run", [1, 2, 3])
def test_real_plugs(run: int) -> None:
    """64 real channels: silent as they are, right when exchanged."""
    loaded = load_recording(recording(f"eegmmidb_s001/S001R0{run}.edf"))
    assert named(loaded, "swapped_channels") == []
    raw = loaded.raw
    data = raw.get_data()
    a, b = raw.ch_names.index("O2"), raw.ch_names.index("F3")
    raw[a, :], raw[b, :] = data[b], data[a]
    (found,) = named(loaded, "swapped_channels")
    assert set(found.channels) == {"O2", "F3"}


@pytest.mark.parametrize(
    "name",
    [
        "eeglab_data/eeglab_data.set",
        "restingiaf_ec/tute_01_1.set",
        "ssvep_exo/subject01_2012.07.06-19.02.16_raw.fif",
        "ssvep_exo/subject10_2014.02.26-15.32.36_raw.fif",
    ],
)
def test_real_recordings_have_their_plugs_right(name: str) -> None:
    found = {finding.name for finding in assess(load_recording(recording(name))).findings}
    assert not found & {"swapped_channels", "bridged_channels", "drowsiness"}


@pytest.mark.parametrize("seed", range(6))
def test_bridged_electrodes(seed: int) -> None:
    data = made_head(seed, S32, noise=0.03)
    assert named(raw_of(data, S32), "bridged_channels") == []
    a, b = S32.index("P3"), S32.index("CP1")
    noise = np.random.default_rng(seed).normal(0.0, 2e-7, (2, data.shape[1]))
    data[[a, b]] = 0.5 * (data[a] + data[b]) + noise
    (found,) = named(raw_of(data, S32), "bridged_channels")
    assert set(found.channels) == {"P3", "CP1"}
    assert found.count == 1
    assert "gel" in found.text


@pytest.mark.parametrize("seed", range(6))
def test_saturation_is_counted(seed: int) -> None:
    made = make_eeg(seed, duration_s=60.0)
    assert named(made.raw(), "saturated_channels") == []
    data = made.data_v
    rail = 1.2 * np.abs(data[2]).max()
    for k in range(10):
        data[2, 200 + 900 * k : 220 + 900 * k] = rail if k % 2 else -rail
    (found,) = named(made.raw(), "saturated_channels")
    assert found.channels == (POSTERIOR[2],)
    assert found.count == 200
    assert found.share == pytest.approx(200 / data.shape[1])
    assert "saturated_channels" in assess(made.raw()).warnings[0]


def test_coarse_quantisation_is_no_saturation() -> None:
    made = make_eeg(8, duration_s=120.0)
    np.round(made.data_v, 6, out=made.data_v)
    assert named(made.raw(), "saturated_channels") == []


def test_average_reference() -> None:
    data = made_head(9, S32)
    assert named(raw_of(data, S32), "reference") == []
    many = data - data.mean(axis=0)
    (note,) = named(raw_of(many, S32), "reference")
    assert note.severity == "note"
    assert not any("reference" in text for text in assess(raw_of(many, S32)).warnings)
    few = data[:10] - data[:10].mean(axis=0)
    (warning,) = named(raw_of(few, S32[:10]), "reference")
    assert warning.severity == "warning"
    assert "average of few electrodes (10)" in warning.text


def test_bipolar_names() -> None:
    made = make_eeg(10, duration_s=60.0, ch_names=("Fp1-F7", "F7-T3", "T3-T5", "T5-O1"))
    (found,) = named(made.raw(), "reference")
    assert found.severity == "warning"
    assert found.channels == made.ch_names
    one_reference = make_eeg(10, duration_s=60.0, ch_names=("O1-Cz", "O2-Cz", "P3-Cz", "P4-Cz"))
    assert named(one_reference.raw(), "reference") == []
    ears = make_eeg(10, duration_s=60.0, ch_names=("O1-LE", "O2-LE", "P3-LE", "P4-LE"))
    (note,) = named(ears.raw(), "reference")
    assert note.severity == "note"


def test_linked_mastoids_show_in_the_signal() -> None:
    names = (*S19, "M1", "M2")
    data = made_head(11, names, reference=None)
    assert named(raw_of(data, names), "reference") == []
    linked = data - 0.5 * (data[-1] + data[-2])
    (found,) = named(raw_of(linked, names), "reference")
    assert found.channels == ("M1", "M2")
    assert found.severity == "note"


def test_the_recording_reference_among_the_channels() -> None:
    data = made_head(12, S32, noise=0.0)
    found = assess(raw_of(data, S32))
    assert dict(found.bad_channels) == {"Cz": "flat"}
    assert found.warnings[0] == (
        "flat_channels: 1 of 32 channels left out: Cz (flat); Cz is zero throughout: probably the "
        "recording reference"
    )
