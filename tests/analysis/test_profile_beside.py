"""What stands beside the curve: order and carry-over, leakage, exponent, complexity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.profile_blocks import Block
from analysis.profile_curve import Measured, fit_adjusted, fit_lorentzian
from analysis.profile_exploratory import changes_after, leakage
from analysis.profile_rest import tolerance

FS = 250.0
HZ = np.linspace(7.0, 13.0, 9)


def measured(signal: np.ndarray, order: np.ndarray, seed: int) -> Measured:
    rng = np.random.default_rng(seed)
    null = np.full(signal.size, 0.002)
    noise = rng.standard_normal((2, signal.size)) * np.sqrt(null / 2.0)
    plv2 = (np.sqrt(signal) + noise[0]) ** 2 + noise[1] ** 2
    hz = np.tile(HZ, signal.size // HZ.size)
    return Measured(hz, np.ones(signal.size), plv2, null, order, np.ones(signal.size))


def test_a_response_that_fades_over_the_session_does_not_move_the_centre() -> None:
    rng = np.random.default_rng(1)
    hz = np.tile(HZ, 4)
    order = np.concatenate([9.0 * i + rng.permutation(9) for i in range(4)])
    time = (order - order.mean()) / np.ptp(order)
    signal = 0.15 * np.exp(-1.5 * time) / (1.0 + ((hz - 10.1) / 0.8) ** 2)
    held = 0
    for seed in range(4):
        one = measured(signal, order, seed)
        found = fit_adjusted(one, np.zeros(36), fit_lorentzian(one, width_hz=0.8))
        low, high = found.ln_order_ci95
        assert high is not None
        assert high < 0.0
        assert low is None or low < -1.5 < high + 0.6
        ends = found.centre_ci95_hz
        held += (ends[0] is None or ends[0] < 10.1) and (ends[1] is None or ends[1] > 10.1)
    assert held >= 3


def test_carry_over_is_seen_and_nothing_is_not() -> None:
    rng = np.random.default_rng(2)
    hz = np.tile(HZ, 4)
    order = np.arange(36.0)
    previous = rng.random(36)
    curve = 0.1 / (1.0 + ((hz - 10.0) / 0.8) ** 2)
    one = measured(curve * np.exp(2.0 * (previous - previous.mean())), order, 3)
    fitted = fit_lorentzian(one, width_hz=0.8)
    low, _ = fit_adjusted(one, previous, fitted).ln_carry_ci95
    assert low is not None
    assert low > 0.0
    plain = replace(one, plv2=measured(curve, order, 4).plv2)
    low, high = fit_adjusted(plain, previous, fitted).ln_carry_ci95
    assert low is not None
    assert high is not None
    assert low < 0.0 < high


def signal(seed: int) -> tuple[np.ndarray, list[Block]]:
    """Noise; in driven blocks a line at twice the drive."""
    rng = np.random.default_rng(seed)
    blocks = [
        Block(10.0, 1.0, "sham" if i % 3 == 2 else "drive", 20.0 + 40.0 * i, 40.0 + 40.0 * i)
        for i in range(9)
    ]
    data = rng.standard_normal((2, round(400 * FS)))
    times = np.arange(data.shape[1]) / FS
    for block in blocks:
        if block.kind == "drive":
            on = (times >= block.start_s) & (times < block.stop_s)
            data[:, on] += np.cos(2.0 * np.pi * 20.0 * times[on])
    return data, blocks


def test_a_line_at_twice_the_drive_is_leakage_and_half_of_it_is_not() -> None:
    data, blocks = signal(5)
    twice, half = leakage(data, FS, [[block] for block in blocks])
    assert twice["ratio"] == 2.0
    assert twice["response_ci95_plv2"][0] > 0.1
    assert abs(twice["sham_plv2"]) < 0.02
    assert half["ratio"] == 0.5
    assert half["response_ci95_plv2"][0] < 0.01


def test_a_background_that_steepens_after_drives_is_told_less_sham() -> None:
    data, blocks = signal(6)
    steep = np.fft.rfft(data, axis=1)
    freqs = np.fft.rfftfreq(data.shape[1], 1.0 / FS)
    steep = np.fft.irfft(steep * np.maximum(freqs / 40.0, 0.1) ** -1.0, data.shape[1], axis=1)
    for block in blocks:
        if block.kind == "drive":
            after = slice(round(block.stop_s * FS), round((block.stop_s + 10.2) * FS))
            data[:, after] = steep[:, after]
    # Gaps of 20 s are read for 19.5 s on either side; the steep part is half of that after.
    gaps = np.full(9, 10.2)
    found = changes_after(data, FS, blocks, gaps)
    assert found["exponent"]["minus_sham"]
    assert found["exponent"]["ci95"][0] > 0.5
    assert changes_after(data, FS, blocks, np.full(9, 5.0)) == {
        "exponent": None, "complexity": None,
    }  # fmt: skip


def test_complexity_falls_when_the_signal_becomes_regular() -> None:
    data, blocks = signal(7)
    times = np.arange(data.shape[1]) / FS
    for block in blocks:
        if block.kind == "drive":
            after = slice(round(block.stop_s * FS), round((block.stop_s + 10.2) * FS))
            slow = 1.0 + 0.9 * np.cos(2.0 * np.pi * 0.5 * times[after])
            data[:, after] = slow * np.cos(2.0 * np.pi * 10.0 * times[after])
    found = changes_after(data, FS, blocks, np.full(9, 10.2))
    assert found["complexity"]["ci95"][1] < 0.0


def test_tolerance_has_an_interval_that_holds_it() -> None:
    rng = np.random.default_rng(8)
    data = rng.standard_normal((1, round(120 * FS)))
    found = tolerance(data, FS, [(0.0, 120.0)], 10.0)
    assert found is not None
    low, high = found["tolerance_ci95_hz"]
    assert low <= found["tolerance_hz"] * 1.3
    assert found["tolerance_hz"] <= high * 1.3
    assert found["tolerance_hz"] == pytest.approx(2.0, abs=1.5)
