"""Figures of groups: what they show, read back from the drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import AnalysisError, compare_groups
from analysis.figures_group import figures_of, plot_effects, plot_responders, plot_trajectories
from analysis.group import compare_counts
from analysis.group_responders import ResponderRules
from tests.analysis.made_groups import crossover, trial


def texts(figure: Any) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_every_patient_and_every_mean_is_drawn(tmp_path: Path):
    rows = trial(12, effect=-4.0, lost=0.3, seed=2)
    result = compare_groups(rows, rules=ResponderRules(remission_limit=15.0))
    figure = plot_trajectories(result)
    assert [axes.get_title() for axes in figure.axes] == ["active", "sham"]
    thin = [line for line in figure.axes[0].lines if line.get_alpha() is not None]
    assert len(thin) == 6
    drawn = sorted(float(y) for line in thin for y in line.get_ydata())
    expected = sorted(r["score"] for r in rows if r["arm"] == "active" and r["score"] is not None)
    assert drawn == pytest.approx(expected)
    told = texts(figure)
    lost = result.outcomes[0].attendance[0].lost
    assert f"n = {6 - lost}" in told
    assert "Without a last value" in told.replace("\n", " ")
    assert set(figures_of(result)) == {"patients", "effects", "responders"}
    for name, one in figures_of(result).items():
        one.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_an_effect_size_is_drawn_with_its_interval():
    result = compare_groups(trial(20, effect=-4.0, seed=2))
    effect = result.outcomes[0].contrasts[0].effect
    assert effect is not None
    axes = plot_effects(result).axes[0]
    assert list(axes.lines[0].get_xdata()) == pytest.approx(list(effect.interval))
    assert list(axes.lines[1].get_xdata()) == pytest.approx([effect.estimate])
    assert f"{effect.estimate:+.2f}" in texts(axes.figure)


def test_bars_are_the_shares():
    result = compare_counts({"10 Hz": (7, 9), "40 Hz": (3, 10), "sham": (2, 10)})
    axes = plot_responders(result).axes[0]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([700 / 9, 30.0, 20.0])
    assert "7/9" in texts(axes.figure)
    assert "Freeman-Halton" in axes.get_title()
    assert set(figures_of(result)) == {"responders"}
    with pytest.raises(AnalysisError, match="no outcome to draw"):
        plot_trajectories(result)
    with pytest.raises(AnalysisError, match="no comparison"):
        plot_effects(result)


def test_conditions_within_patients_are_joined():
    result = compare_groups(crossover(10))
    figure = result.plot()
    joined = [line for line in figure.axes[0].lines if line.get_alpha() is not None]
    assert len(joined) == 10
    assert all(line.get_xdata().size == 2 for line in joined)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["sham\nn = 10", "active\nn = 10"]


def test_values_between_arms_and_weeks_are_drawn():
    plain = compare_groups(trial(12, visits=("pre",)))
    points = [line for line in plain.plot().axes[0].lines if line.get_alpha() is not None]
    assert sum(line.get_xdata().size for line in points) == 12
    weeks = compare_groups(trial(12, visits=(0, 4, 12), slope=1.0))
    assert list(weeks.plot().axes[0].get_xticks()) == [0.0, 4.0, 12.0]
    one = [{**r, "subject": "P", "session": k} for k, r in enumerate(trial(8, visits=(1,)))]
    single = compare_groups(
        [{k: v for k, v in row.items() if k != "time"} for row in one], outcomes=("score",)
    )
    dots = [line for line in single.plot().axes[0].lines if line.get_alpha() is not None]
    assert sum(np.size(line.get_xdata()) for line in dots) == 8


def test_no_responders_no_bars():
    with pytest.raises(AnalysisError, match="no table of responders"):
        plot_responders(compare_groups(trial(12)))
