from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.scpi_steps import SOFT_RAMP_S, Steps

TICK_S = 0.02


def walk(levels: list[float], step: float = 0.01) -> list[float]:
    """Levels given at every tick."""
    steps, given_levels = Steps(step), []
    for tick, level in enumerate(levels):
        steps.aim(level)
        steps.next_level(tick * TICK_S)
        given_levels.append(steps.level)
    return given_levels


def test_nothing_is_due_at_rest():
    steps = Steps(0.01)
    assert steps.next_level(0.0) is None
    assert not steps.too_late(100.0)


def test_a_slow_ramp_needs_few_steps():
    levels = walk([k * TICK_S / 30.0 for k in range(1500)])  # 30 s
    changes = np.flatnonzero(np.diff(levels))
    assert 180 < len(changes) < 220
    assert max(np.diff(levels)) <= 0.01 + 1e-12


@given(
    levels=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40),
    step=st.floats(0.001, 0.01),
)
def test_steps_are_never_larger_than_allowed_and_never_pass_the_target(
    levels: list[float], step: float
):
    before, steps = 0.0, Steps(step)
    for tick, level in enumerate(levels):
        steps.aim(level)
        steps.next_level(tick * TICK_S)
        moved = steps.level - before
        assert -5.0 * step - 1e-12 <= moved <= step + 1e-12
        assert min(before, level) <= steps.level <= max(before, level)
        before = steps.level


@given(level=st.floats(0.0, 1.0))
def test_a_level_that_stands_still_is_reached(level: float):
    assert walk([level] * 250)[-1] == level


def test_zero_and_one_are_reached_at_once_from_nearby():
    steps = Steps(0.01)
    steps.aim(0.001)
    assert steps.next_level(0.0) is None
    steps.aim(0.0)
    assert steps.next_level(0.02) is None
    steps.level = 0.999
    steps.aim(1.0)
    assert steps.next_level(0.04) == 1.0


def test_falling_behind_is_made_up_for_downwards_only():
    steps = Steps(0.01)
    steps.level = 1.0
    steps.aim(0.5)
    assert steps.next_level(0.0) == pytest.approx(0.95)
    steps.aim(0.93)
    assert steps.next_level(0.1) == pytest.approx(0.94)
    steps.aim(1.0)
    assert steps.next_level(0.2) == pytest.approx(0.95)


def test_being_far_behind_for_half_a_second_is_too_late():
    steps = Steps(0.01)
    steps.aim(0.5)
    assert [steps.too_late(t) for t in (0.0, 0.3, 0.5)] == [False] * 3
    assert steps.too_late(0.52)
    steps.level = 0.45
    assert not steps.too_late(0.6)
    steps.level = 0.0
    assert not steps.too_late(0.7)


@pytest.mark.parametrize("tick_s", [0.02, 0.04, 0.1])
@pytest.mark.parametrize("level", [1.0, 0.3, 0.02])
def test_a_soft_stop_falls_evenly_and_ends_in_time(level: float, tick_s: float):
    steps = Steps(0.01)
    steps.level = level
    steps.stop()
    steps.stop()
    given_levels, tick = [level], 0
    while (found := steps.next_stop_level(tick * tick_s)) != 0.0:
        if found is not None:
            given_levels.append(found)
        tick += 1
    assert tick * tick_s < SOFT_RAMP_S + tick_s
    assert max(np.diff(given_levels)) < 0.0
    assert given_levels[-1] <= level * (0.06 if tick_s < 0.1 else 0.2)
