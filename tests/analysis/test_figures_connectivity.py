"""Figures of connectivity: what is on them, and what stands there instead."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.figures_connectivity import (
    circle_angles,
    plot_circle,
    plot_connectivity,
    plot_global_spectrum,
    plot_network_effect,
)
from analysis.outcome import Outcome, compare
from tests.analysis.made_coupling import S32, SFREQ_HZ, made_coupling
from tests.analysis.made_outcome import made_raw

ALL = (plot_connectivity, plot_circle, plot_global_spectrum, plot_network_effect)


def _raw(epochs: np.ndarray) -> Any:
    return made_raw(epochs.transpose(1, 0, 2).reshape(epochs.shape[1], -1), SFREQ_HZ, S32)


@pytest.fixture(scope="module")
def coupled() -> Outcome:
    more: dict[str, Any] = {"n_epochs": 62, "average_reference": False}
    return compare(
        _raw(made_coupling(61, **more)),
        _raw(made_coupling(62, coupling=0.9, pair=(0, 1), **more)),
        peak_hz=10.0,
        n_bootstrap=200,
        protocol_info={"stimulated_electrodes": ["Fz"], "frequency_hz": 9.5},
    )


def _text(figure: Any) -> str:
    return " ".join(
        text.get_text() for text in figure.findobj(match=lambda o: hasattr(o, "get_text"))
    )


def test_every_figure_of_planted_coupling(coupled: Outcome) -> None:
    figures = [draw(coupled) for draw in ALL]
    texts = [_text(figure).replace("\n", " ") for figure in figures]
    assert "power-matched" in texts[0]
    assert "increase" in texts[0]
    assert "corrected for all pairs" in texts[1]
    assert "O1" in texts[1]
    assert "Fz" not in texts[1].split()  # carried current
    assert "stimulation, 9.5 Hz" in texts[2]
    assert "before, no peak" in texts[2]
    assert "maps turned about the vertical axis" in texts[3]
    widths = [line.get_linewidth() for line in figures[1].axes[0].lines]
    assert 3.0 in widths
    for figure in figures:
        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=40)
        assert target.getvalue().startswith(b"\x89PNG")
    assert "pairs of" in str(coupled.connectivity and coupled.connectivity.summary)


def test_the_reason_stands_where_there_is_nothing(coupled: Outcome) -> None:
    bare = replace(coupled, connectivity=None, connectivity_reason="only one channel")
    for draw in ALL:
        assert "No connectivity: only one channel" in _text(draw(bare))
    assert coupled.connectivity is not None
    network = coupled.connectivity.network
    assert network is not None
    effect = replace(network.effect, rho=None, p=None, reason="too few channels")
    pairs = replace(network.pairs, found=(), reason="power drifts")
    other = replace(
        coupled,
        connectivity=replace(
            coupled.connectivity, network=replace(network, effect=effect, pairs=pairs)
        ),
    )
    assert "No network effect: too few channels" in _text(plot_network_effect(other))
    assert "pairs are not tested (power drifts)" in _text(plot_circle(other)).replace("\n", " ")


def test_left_channels_are_left_and_front_ones_on_top() -> None:
    names = ("Fp1", "Fp2", "Fz", "C3", "C4", "O1", "O2", "EXT")
    angles = circle_angles(names)
    assert len(set(np.round(angles, 6))) == len(names)
    place = {name: (np.cos(a), np.sin(a)) for name, a in zip(names, angles, strict=True)}
    for left, right in (("Fp1", "Fp2"), ("C3", "C4"), ("O1", "O2")):
        assert place[left][0] < 0.0 < place[right][0]
    assert place["Fp1"][1] > place["C3"][1] > place["O1"][1]
    assert place["Fp2"][1] > place["C4"][1] > place["O2"][1]
