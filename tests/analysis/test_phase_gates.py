"""Gates of the phase engine: what makes no sense, the credible width, the refractory time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.phase_gates import Gates, Refractory, credible_width, credible_widths


@pytest.mark.parametrize(
    "options",
    [
        {"min_amplitude_uv": -1.0},
        {"max_width_rad": 0.0},
        {"max_width_rad": 7.0},
        {"max_step_uv": 0},
    ],
)
def test_gates_without_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(AnalysisError, match=next(iter(options))):
        Gates(**options)


def test_credible_width_is_that_of_the_angle_of_a_noisy_number() -> None:
    rng = np.random.default_rng(3)
    drawn = rng.standard_normal((2, 200_000))
    for ratio in (0.0, 0.5, 1.3, 4.0, 12.0):
        angle = np.abs(np.arctan2(drawn[1], ratio + drawn[0]))
        assert np.mean(2.0 * angle <= credible_width(ratio)) == pytest.approx(0.95, abs=0.003)
    ratios = np.linspace(0.0, 40.0, 777)
    one_by_one = [credible_width(float(ratio)) for ratio in ratios]
    assert credible_widths(ratios) == pytest.approx(one_by_one, rel=1e-9)
    assert np.all(np.diff(one_by_one) <= 1e-4)


def test_refractory_time() -> None:
    gate = Refractory(1.5)
    assert gate.free(-100.0)
    gate.fired(10.0)
    assert not gate.free(11.49)
    assert gate.free(11.5)
    with pytest.raises(AnalysisError, match="refractory_s"):
        Refractory(math.nan)
