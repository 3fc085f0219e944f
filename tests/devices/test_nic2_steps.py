"""Steps towards a level: balanced, large enough, slow enough, and never above what is commanded."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from devices.nic2_steps import (
    STEP_EVERY_S,
    STEP_MS,
    Staircase,
    balanced_down,
    residual_ua,
)

LEAST_UA = 7
PAIR = ((1000.0, 1000.0), (0, 180))
THREE = ((500.0, 500.0, 1000.0), (0, 0, 180))
UNEVEN = ((400.4, 599.7, 1000.1), (0, 0, 180))


def test_seven_microamperes_are_the_least_step():
    assert Staircase(*PAIR).least_ua == LEAST_UA == 7
    assert Staircase(*PAIR, 0.0, 0.02).least_ua == 2
    assert Staircase(*PAIR, 0.0, 0.03).least_ua == 3
    assert STEP_MS == 100


@pytest.mark.parametrize(
    ("currents", "phases", "expected"),
    [
        ((1000.0, 1000.0), (0, 180), (1000, 1000)),
        ((999.9, 999.9), (0, 180), (999, 999)),
        ((7.5, 7.5, 15.0), (0, 0, 180), (7, 7, 14)),
        ((333.4, 666.7, 1000.1), (0, 0, 180), (333, 666, 999)),
        ((100.0, 100.0, 100.0), (0, 120, 240), (100, 100, 100)),
        ((0.0, 10.0, 10.0), (0, 90, 270), (0, 10, 10)),
        ((0.0, 0.0), (0, 180), (0, 0)),
    ],
)
def test_rounding_down_in_balance(currents, phases, expected):
    assert balanced_down(currents, phases) == expected
    assert residual_ua(expected, phases) < 1e-9


def test_the_sum_of_sines():
    assert residual_ua([1000, 1000], [0, 0]) == pytest.approx(2000.0)
    assert residual_ua([3, 4], [0, 90]) == pytest.approx(5.0)
    assert residual_ua([500, 500, 707], [0, 90, 225]) == pytest.approx(0.107, abs=1e-3)


@given(
    st.lists(st.floats(0.0, 1000.0), min_size=1, max_size=4),
    st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3),
    st.sampled_from([0, 30, 90, 123]),
)
def test_two_sides_of_one_axis_always_balance_exactly(sources, shares, axis):
    total = sum(sources)
    assume(total > 0.0 and sum(shares) > 0.0)
    sinks = [total * share / sum(shares) for share in shares]
    currents = [*sources, *sinks]
    phases = [axis] * len(sources) + [(axis + 180) % 360] * len(sinks)
    found = balanced_down(currents, phases)
    assert residual_ua(found, phases) < 1e-6
    for whole, asked in zip(found, currents, strict=True):
        assert 0 <= whole <= asked + 1e-6
        assert whole > asked - 1.0 - len(currents)


def follow(stairs: Staircase, level_at, end_s: float, tick_s: float = 0.02):
    """Tick through a programme: the steps, as time and amplitudes."""
    steps = [(-1.0, stairs.sent_ua)]
    for tick in range(round(end_s / tick_s) + 1):
        if (step := stairs.next_step(level_at(tick * tick_s), tick * tick_s)) is not None:
            steps.append((tick * tick_s, step))
    return steps


def at_top(currents, phases, level: float = 1.0) -> Staircase:
    """A staircase that somebody has climbed, long ago."""
    stairs = Staircase(currents, phases)
    follow(stairs, lambda t: level, 60.0)
    stairs._due_s = stairs.busy_until_s = -math.inf
    stairs._level_s = -1.0
    return stairs


def delivered(steps, channel: int, times_s):
    """Amplitude of a channel when every step is carried out."""
    at, values = [-2.0], [0.0]
    for start_s, amplitudes in steps[1:]:
        at += [start_s, start_s + STEP_MS / 1e3]
        values += [values[-1], amplitudes[channel]]
    return np.interp(times_s, at, values)


@pytest.mark.parametrize(("currents", "phases"), [PAIR, THREE, UNEVEN])
@pytest.mark.parametrize("ramp_s", [5.0, 15.0, 30.0, 60.0])
def test_a_ramp_up_is_followed_from_below(currents, phases, ramp_s: float):
    stairs = Staircase(currents, phases, 1.0 / ramp_s)
    steps = follow(stairs, lambda t: min(t / ramp_s, 1.0), ramp_s + 2.0)
    assert steps[-1][1] == stairs.top_ua
    times_s = np.arange(0.0, ramp_s + 2.0, 0.001)
    commanded = np.minimum(times_s / ramp_s, 1.0)
    for channel, current in enumerate(currents):
        given = delivered(steps, channel, times_s)
        assert np.all(given <= commanded * current + 1e-6)
        assert np.all(np.diff(given) >= -1e-9)
        lag_ua = np.max(commanded * current - given)
        assert lag_ua <= 2.5 * LEAST_UA * current / min(currents) + 0.3 * current / ramp_s
    for (before_s, before), (after_s, after) in pairwise(steps[1:]):
        assert after_s - before_s >= STEP_EVERY_S - 1e-9
        moved = np.subtract(after, before)
        assert moved.min() >= LEAST_UA
        assert residual_ua(after, phases) < 1e-6


@pytest.mark.parametrize(("currents", "phases"), [PAIR, THREE, UNEVEN])
@pytest.mark.parametrize("ramp_s", [2.0, 15.0])
def test_a_fall_is_followed_from_below_but_for_its_first_tick(currents, phases, ramp_s: float):
    stairs = at_top(currents, phases)

    def level_at(t: float) -> float:
        return 1.0 if t < 1.0 else max(1.0 - (t - 1.0) / ramp_s, 0.0)

    steps = follow(stairs, level_at, ramp_s + 2.0)
    assert stairs.at_zero
    times_s = np.arange(0.0, ramp_s + 2.0, 0.001)
    commanded = np.array([level_at(t) for t in times_s])
    per_tick = 0.02 / ramp_s
    for channel, current in enumerate(currents):
        at, values = [-2.0], [float(stairs.top_ua[channel])]
        for start_s, amplitudes in steps[1:]:
            at += [start_s, start_s + STEP_MS / 1e3]
            values += [values[-1], amplitudes[channel]]
        given = np.interp(times_s, at, values)
        assert np.max(given - commanded * current) <= 2.0 * per_tick * current + 1e-6
        assert np.all(np.diff(given) <= 1e-9)
        late = times_s > 1.3
        assert np.max((given - commanded * current)[late]) <= 1e-6
    for (_, before), (_, after) in pairwise(steps[1:]):
        assert np.subtract(before, after).min() >= LEAST_UA
        assert residual_ua(after, phases) < 1e-6


def test_a_fall_goes_to_zero_in_one_step_at_its_end():
    stairs = at_top(*PAIR, level=0.01)
    assert stairs.sent_ua == (7, 7)
    assert stairs.next_step(0.006, 1.0) == (0, 0)
    stairs = at_top(*PAIR, level=0.1)
    assert stairs.next_step(0.05, 0.0) == (35, 35)
    stairs = at_top(*PAIR, level=0.1)
    assert stairs.next_step(0.05, -0.8) == (0, 0)  # 50 µA in 0.2 s: gone by the next step


def test_after_a_late_begin_the_rise_is_made_up_for_slowly():
    stairs = Staircase(*PAIR, planned_per_s=1 / 30)
    steps = follow(stairs, lambda t: min((t + 5.0) / 30.0, 1.0), 10.0)
    for (_, before), (_, after) in pairwise(steps):
        assert np.subtract(after, before).max() <= 20
    assert steps[-1][1][0] > 470  # it has caught up


def test_a_rest_too_small_for_a_step_is_left_for_the_last_one():
    stairs = Staircase((100.0, 100.0), (0, 180), planned_per_s=1.0)
    steps = follow(stairs, lambda t: min(t, 1.0), 3.0)
    assert steps[-1][1] == (100, 100)


def test_nothing_moves_for_less_than_a_step():
    stairs = Staircase(*PAIR)
    assert len(stairs.stairs_ua) == 143
    assert stairs.next_step(0.0070, 1.0) is None
    assert stairs.next_step(0.0071, 1.02) == (7, 7)
    assert stairs.busy_until_s == pytest.approx(1.12)
    assert stairs.next_step(0.5, 1.14) is None  # too early
    assert stairs.next_step(0.5, 1.16) == (21, 21)  # no more than may rise in one step
    assert stairs.next_step(0.5, 1.30) == (35, 35)


def test_unused_channels_stay_at_zero():
    stairs = Staircase((0.0, 500.0, 500.0, 0.0), (0, 0, 180, 0))
    assert stairs.next_step(0.02, 0.0) == (0, 7, 7, 0)
    assert Staircase((0.0, 0.0), (0, 0)).next_step(1.0, 0.0) is None


@pytest.mark.parametrize(
    ("level", "wanted_ms", "expected_ms"),
    [(1.0, 800, 800), (0.042, 800, 229), (0.0142, 800, 114), (0.0, 800, 100), (1.0, 100, 100)],
)
def test_a_way_to_zero_keeps_the_slope(level: float, wanted_ms: int, expected_ms: int):
    stairs = at_top(*THREE, level=level)
    assert stairs.stop_ms(wanted_ms) == expected_ms


@given(
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60),
    st.sampled_from([PAIR, THREE, UNEVEN]),
    st.sampled_from([0.02, 0.04, 0.1]),
)
@example([0.5, 0.0, 0.5, 0.0], THREE, 0.1)
def test_whatever_is_commanded_steps_balance_and_rises_stay_below(levels, which, tick_s):
    currents, phases = which
    stairs = Staircase(currents, phases)
    before = stairs.sent_ua
    for n, level in enumerate(levels):
        step = stairs.next_step(level, n * tick_s)
        if step is None:
            continue
        assert residual_ua(step, phases) < 1e-6
        moved = np.subtract(step, before)
        assert np.abs(moved).min() >= LEAST_UA
        assert moved.max() <= 20
        assert all(s <= level * c + 1e-6 for s, c in zip(step, currents, strict=True))
        before = step


def test_slopes_are_told():
    stairs = Staircase(*THREE, planned_per_s=1 / 30)
    assert stairs.steepest_ua_per_ms == pytest.approx(0.16)
    assert Staircase(*PAIR).steepest_ua_per_ms == pytest.approx(0.08)
    assert math.isinf(Staircase((6.0, 6.0), (0, 180)).steepest_ua_per_ms)
    assert stairs.rise_max_ua_per_ms == pytest.approx(0.2)
    assert Staircase(*PAIR, planned_per_s=0.2).rise_max_ua_per_ms == pytest.approx(0.336)


@given(st.floats(7.0, 2000.0), st.floats(0.4, 1.0), st.sampled_from([0.061, 0.02]))
def test_every_stair_is_high_enough_and_balances(large: float, part: float, slope: float):
    currents, phases = (large * part, large * (1.0 - part) + 0.0, large), (0, 0, 180)
    stairs = Staircase(currents, phases, 0.0, slope)
    assert stairs.stairs_ua[0] == (0, 0, 0)
    for low, high in pairwise(stairs.stairs_ua):
        for a, b, current in zip(low, high, currents, strict=True):
            assert (b - a >= stairs.least_ua) if current else b == 0
        assert residual_ua(high, phases) < 1e-6
    assert all(top <= current + 1e-6 for top, current in zip(stairs.top_ua, currents, strict=True))
