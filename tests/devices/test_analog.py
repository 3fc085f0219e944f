from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.analog import Chain
from devices.emulators.synthpal_channel import Channel, ChannelSettings
from devices.synthpal import RANGES
from tacs.errors import InputError, SafetyRefusal
from tests.devices.bench import RIG

MICROVOLTS = ((10.0, Fraction(1)),)


def chain(
    gain_ma_per_v: float = 2.0,
    ranges: tuple[tuple[float, Fraction], ...] = MICROVOLTS,
    **limits: float,
) -> Chain:
    values = {"gain_ma_per_v": gain_ma_per_v, "input_max_v": 10.0, "current_max_ma": 50.0, **limits}
    return Chain(RIG.channels[0].model_copy(update=values), ranges)


@pytest.mark.parametrize(
    ("gain_ma_per_v", "current_peak_ma", "amplitude_uv_pp"),
    [
        (2.0, 1.0, 1_000_000),  # 0.5 V zero-to-peak
        (2.0, 0.5, 500_000),
        (2.0, 0.3, 300_000),  # a binary fraction would lose a microvolt here
        (1.0, 1.0, 2_000_000),
        (2.0, 0.0, 0),
        (10.0, 0.7, 140_000),
    ],
)
def test_golden_amplitudes(
    gain_ma_per_v: float, current_peak_ma: float, amplitude_uv_pp: int
) -> None:
    assert chain(gain_ma_per_v).amplitude_uv_pp(current_peak_ma) == amplitude_uv_pp
    assert chain(gain_ma_per_v).current_peak_ma(amplitude_uv_pp) == current_peak_ma


def test_golden_amplitude_on_the_grid_of_the_converter() -> None:
    # 0.5 V are 3276.8 steps of 10 V / 65536; 3276 steps are 499 877.9 µV zero-to-peak.
    assert chain(ranges=RANGES).amplitude_uv_pp(1.0) == 999_755
    # 8 V need the ±10 V range: 26 214.4 steps of 20 V / 65536.
    assert chain(ranges=RANGES).amplitude_uv_pp(16.0) == 15_999_755


@given(
    current_peak_ma=st.floats(0.0, 4.0),
    gain_ma_per_v=st.floats(0.5, 20.0),
    ranges=st.sampled_from([MICROVOLTS, RANGES, ((10.0, Fraction(306)),)]),
)
def test_never_more_than_asked_and_less_by_under_one_step(
    current_peak_ma: float, gain_ma_per_v: float, ranges: tuple[tuple[float, Fraction], ...]
) -> None:
    this = chain(gain_ma_per_v, ranges)
    back_ma = this.current_peak_ma(this.amplitude_uv_pp(current_peak_ma))
    step_uv_pp = next(step for top_v, step in ranges if current_peak_ma / gain_ma_per_v <= top_v)
    step_ma = float(step_uv_pp) * 0.5e-6 * gain_ma_per_v
    microvolt_ma = 0.5e-6 * gain_ma_per_v  # lost where a step is no whole number of microvolts
    assert current_peak_ma - step_ma - microvolt_ma - 1e-12 < back_ma <= current_peak_ma


@given(amplitude_uv_pp=st.integers(0, 4_000_000))
def test_an_amplitude_survives_the_way_to_current_and_back(amplitude_uv_pp: int) -> None:
    # 2 mA/V: a microvolt peak-to-peak is a nanoampere, which decimal numbers hold exactly.
    assert chain().amplitude_uv_pp(chain().current_peak_ma(amplitude_uv_pp)) == amplitude_uv_pp


@given(current_peak_ma=st.floats(0.0, 16.0))
def test_the_converter_never_puts_out_more_than_asked(current_peak_ma: float) -> None:
    amplitude_uv = chain(ranges=RANGES).amplitude_uv_pp(current_peak_ma)
    output = Channel(10.0, 10_000, 0.0)
    output.apply(ChannelSettings(amplitude_uv=amplitude_uv), 0.0)
    output.start(0.0)
    volts = output.volts(np.arange(100) / 1000.0)  # one cycle, peak and trough included
    assert 2.0 * np.abs(volts).max() <= current_peak_ma + 1e-9
    step_v = 5.0 / 32_768 if current_peak_ma <= 10.0 else 10.0 / 32_768
    assert 2.0 * volts.max() > current_peak_ma - 2.0 * step_v - 1e-9


def test_refuses_beyond_the_stimulator_and_lists_every_breach() -> None:
    narrow = chain(input_max_v=1.0, current_max_ma=2.0)
    assert narrow.amplitude_uv_pp(2.0) == 2_000_000
    with pytest.raises(SafetyRefusal) as refusal:
        narrow.amplitude_uv_pp(2.000001)
    assert {b.limit for b in refusal.value.breaches} == {"rig_current_max_ma", "rig_input_max_v"}
    with pytest.raises(SafetyRefusal) as refusal:
        chain(input_max_v=50.0).amplitude_uv_pp(20.1)
    assert [b.limit for b in refusal.value.breaches] == ["device_amplitude_v"]


@pytest.mark.parametrize("current_peak_ma", [math.nan, math.inf, -0.1])
def test_refuses_what_is_no_current(current_peak_ma: float) -> None:
    with pytest.raises(InputError, match="channel 1"):
        chain().amplitude_uv_pp(current_peak_ma)
