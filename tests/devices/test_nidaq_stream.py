"""Samples out of the stream, against the suite's own waveform and by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.nidaq_stream import Stream, Voice
from tacs.errors import InputError
from tacs.waveform import Waveform
from tests.tacs.made import montage_data, numbers, protocol

RATE_HZ = 2000.0
STEP_V = 20.0 / 65_536
FULL = 1638  # steps: 0.5 V, 1 mA at 2 mA/V


def stream(frequency_hz: float = 10.27, carrier_hz: float | None = None, *voices: Voice) -> Stream:
    return Stream(RATE_HZ, STEP_V, voices or (Voice(FULL, 0.0),), frequency_hz, carrier_hz)


def at_full(made: Stream, n: int) -> np.ndarray:
    """The next ``n`` samples at full level, in steps."""
    made.level = 1.0
    return made.block(n, 1.0) / STEP_V


@given(
    frequency_hz=numbers(0.5, 100.0),
    phases_deg=st.lists(numbers(0.0, 359.0), min_size=1, max_size=3),
    carrier=st.booleans(),
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_blocks_of_any_size_are_the_waveform_of_the_suite(frequency_hz, phases_deg, carrier, cuts):
    """Both are asked for the same currents; ours are on the converter's grid, towards zero."""
    ends = [("Oz", "Cz"), ("F3", "Cz"), ("F4", "Cz")]
    loops = [(*ends[i], 1.0, phase) for i, phase in enumerate(phases_deg)]
    kind = {"waveform": "am_tacs", "carrier_hz": 8.0 * frequency_hz} if carrier else {}
    wave = Waveform(
        protocol(frequency_hz=frequency_hz, montage=montage_data(*loops), duration_s=60.0, **kind)
    )
    made = stream(
        frequency_hz, wave.protocol.carrier_hz, *(Voice(FULL, phase) for phase in phases_deg)
    )
    knots_s, levels = zip(*wave.knots, strict=True)
    volts, n = [], 0
    for cut in cuts:
        n += cut
        volts.append(made.block(cut, float(np.interp(n / RATE_HZ, knots_s, levels))))
    found = np.hstack(volts)
    times_s = np.arange(n) / RATE_HZ
    envelope = np.interp((np.arange(n) + 1) / RATE_HZ, knots_s, levels)
    for i, loop in enumerate(wave.protocol.montage.loops):
        unit = np.array([wave.loop_current_ma(loop, float(t)) for t in times_s])
        there = np.array([wave.envelope(float(t)) for t in times_s])
        exact = np.divide(unit, there, out=np.zeros(n), where=there > 0.0) * envelope * FULL
        steps = found[i] / STEP_V
        assert np.all(np.abs(steps - np.rint(steps)) < 1e-9)
        assert np.all(np.abs(steps) <= np.abs(exact) + 1e-3)
        assert np.all(np.abs(steps - exact) <= 1.0 + 1e-3)


@given(level=numbers(0.0, 1.0), steps=st.integers(0, 32_767), phase=numbers(0.0, 360.0))
@settings(max_examples=60, deadline=None)
def test_no_sample_is_larger_than_the_level(level, steps, phase):
    made = stream(13.7, None, Voice(steps, phase))
    made.level = level
    assert np.abs(made.block(300, level)).max() <= level * steps * STEP_V + 1e-6 * STEP_V


def test_whole_cycles_have_no_mean_and_the_full_peak():
    steps = at_full(stream(10.0), 2000)
    assert abs(steps.sum()) < 1e-6
    assert (steps.max(), steps.min()) == (FULL, -FULL)


def test_the_frequency_is_exact_after_twenty_minutes():
    made = stream(10.27)
    made.position = 1200 * 2000
    expected = np.trunc(
        FULL * np.sin(2 * np.pi * np.mod(10.27 * (1200 + np.arange(200) / 2000), 1))
    )
    assert np.all(np.abs(at_full(made, 200)[0] - expected) <= 1.0)


@given(new_hz=numbers(0.5, 100.0), at=st.integers(1, 999))
@settings(max_examples=40, deadline=None)
def test_a_new_frequency_goes_on_from_the_phase(new_hz, at):
    made = stream(10.0)
    first = at_full(made, at)[0]
    made.retune(new_hz)
    then = at_full(made, 50)[0]
    cycles = 10.0 * at / RATE_HZ + new_hz * np.arange(50) / RATE_HZ
    assert np.all(np.abs(then - FULL * np.sin(2 * np.pi * cycles)) <= 1.01)
    largest = 2 * np.pi * max(new_hz, 10.0) / RATE_HZ * FULL + 2.0
    assert abs(then[0] - first[-1]) <= largest


def test_a_ramp_ends_with_its_last_sample_and_never_jumps():
    made = stream(10.0)
    made.level = 1.0
    made.block(25, 1.0)
    down = made.block(1280, 0.0)[0]
    assert down[-1] == 0.0
    assert made.level == 0.0
    assert np.abs(np.diff(down)).max() <= (2 * np.pi * 10.0 / RATE_HZ * FULL + 3.0) * STEP_V
    assert not made.block(100, 0.0).any()


def test_a_sample_that_was_made_can_be_taken_up_again():
    made = stream()
    made.block(100, 0.0)
    made.block(400, 1.0)
    made.block(100, 1.0)
    again = stream()
    again.block(100, 0.0)
    again.block(200, 0.5)
    made.take_up(300)
    assert (made.position, made.level) == (300, pytest.approx(0.5))
    assert np.array_equal(made.block(80, 0.0), again.block(80, 0.0))
    made.take_up(made.position)
    assert made.position == 380


def test_taking_up_twice_keeps_the_course():
    made = stream()
    made.block(1000, 1.0)
    made.take_up(600)
    made.take_up(300)
    assert made.level == pytest.approx(0.3)


@pytest.mark.parametrize("position", [-1, 600, 10_000])
def test_what_is_not_there_cannot_be_taken_up(position):
    made = stream()
    made.block(500, 1.0)
    with pytest.raises(InputError, match="cannot be taken up"):
        made.take_up(position)


def test_what_is_long_past_is_forgotten():
    made = stream()
    for _ in range(400):
        made.block(80, 0.0)
    with pytest.raises(InputError, match="cannot be taken up"):
        made.take_up(100)


@pytest.mark.parametrize(
    ("n", "level"), [(0, 0.5), (-1, 0.5), (10, -0.1), (10, 1.01), (10, float("nan")), (10, True)]
)
def test_what_is_no_block_is_refused(n, level):
    with pytest.raises(InputError, match="cannot be made"):
        stream().block(n, level)


@pytest.mark.parametrize("frequency_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_frequency_is_refused(frequency_hz):
    with pytest.raises(InputError, match="no frequency"):
        stream().retune(frequency_hz)
