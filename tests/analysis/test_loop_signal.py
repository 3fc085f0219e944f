"""What an amplifier sends: a signal, or none."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.loop_signal import SignalWatch

FS = 250.0
T = np.arange(round(2.0 * FS)) / FS


def said(signal_uv: np.ndarray, block: int = 5) -> list[str]:
    watch = SignalWatch(FS)
    signal = np.atleast_2d(signal_uv)
    return [
        watch.problem(signal[:, i : i + block]) for i in range(0, signal.shape[1], block)
    ]  # fmt: skip


def eeg(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 20.0 * np.cos(2.0 * np.pi * 10.0 * T) + np.cumsum(rng.standard_normal(T.size))


@pytest.mark.parametrize("step_uv", [0.0, 0.5, 4.0])
def test_eeg_is_a_signal_as_coarse_as_an_amplifier_may_be(step_uv):
    signal = eeg() if not step_uv else step_uv * np.round(eeg() / step_uv)
    assert set(said(signal)) == {""}


def test_a_clean_sine_is_a_signal():
    for hz in (4.0, 10.0, 12.5, 25.0):
        assert set(said(np.cos(2.0 * np.pi * hz * T + 0.1))) == {""}


def test_an_amplifier_at_its_limits_sends_none():
    clipped = np.clip(5000.0 * np.cos(2.0 * np.pi * 10.0 * T), -400.0, 400.0)
    assert set(said(clipped)[20:]) == {"a channel is at its limits"}
    one_of_two = np.stack([eeg(), np.minimum(20.0 * np.cos(2.0 * np.pi * 10.0 * T), 5.0)])
    assert said(one_of_two)[-1] == "a channel is at its limits"


def test_a_flat_channel_and_what_is_no_number_are_none():
    assert said(np.full(T.size, 3.0))[-1] == "a channel is flat"
    broken = eeg()
    broken[300] = np.nan
    found = said(broken)
    assert found[60] == "a sample is not a number"
    assert found[-1] == ""


def test_after_the_limits_it_takes_half_a_second():
    signal = eeg()
    signal[:250] = 400.0
    found = said(signal)
    assert found[49] == "a channel is flat"
    assert found[-1] == ""
    # Half of the window at one value is still at a limit; a quarter of it is not.
    assert found[50 + 12] != ""
    assert found[50 + 20] == ""
