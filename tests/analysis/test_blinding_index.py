"""Blinding indices against published tables, against simulation, and at their ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.blinding_index import bang_index, james_index
from analysis.errors import AnalysisError

# Bang et al. 2004, table 7 (cholesterol trial), and Houweling et al. 2014, table 2 (stockings).
CRISP = ((82, 27), (25, 29), (170, 83))
INVESTIGATORS = ((48, 22), (4, 30), (330, 319))
COORDINATORS = ((94, 52), (11, 44), (289, 284))
PATIENTS = ((143, 104), (14, 57), (188, 175))

tables = st.lists(
    st.lists(st.integers(1, 60), min_size=2, max_size=2), min_size=3, max_size=3
).filter(bool)


def test_investigators_of_the_stocking_trial_as_the_r_package_prints_them():
    james = james_index(INVESTIGATORS)
    active, sham = bang_index(INVESTIGATORS)
    assert [round(x, 3) for x in (james.value, james.se, *james.ci)] == [0.896, 0.011, 0.875, 0.918]
    assert [round(x, 3) for x in (active.value, active.se, *active.ci)] == [
        0.115,
        0.018,
        0.08,
        0.15,
    ]
    assert [round(x, 3) for x in (sham.value, sham.se, *sham.ci)] == [0.022, 0.019, -0.016, 0.06]
    assert (james.n, active.n, sham.n) == (753, 382, 371)


@pytest.mark.parametrize(
    ("table", "james", "active", "sham"),
    [
        (CRISP, (0.747928, 0.021737), (0.205776, 0.035237), (0.014388, 0.053823)),
        (COORDINATORS, (0.823390, 0.013287), (0.210660, 0.023744), (-0.021053, 0.025761)),
        (PATIENTS, (0.705116, 0.015941), (0.373913, 0.030229), (-0.139881, 0.036985)),
    ],
)
def test_the_published_tables_by_the_formulas_as_printed(
    table: tuple[tuple[int, int], ...],
    james: tuple[float, float],
    active: tuple[float, float],
    sham: tuple[float, float],
):
    # Expected values: the kappa form and the variance of James et al. 1996 as printed, worked
    # out separately; the index here is written in another form.
    found = (james_index(table), *bang_index(table))
    for index, (value, se) in zip(found, (james, active, sham), strict=True):
        assert index.value == pytest.approx(value, abs=1e-6)
        assert index.se == pytest.approx(se, abs=1e-6)


def _printed(table: tuple[tuple[int, int], ...]) -> tuple[float, float]:
    """James's index and variance in the printed kappa form, for the default weights."""
    p = np.array(table, float) / np.sum(table)
    w = np.array([[0.0, 0.5], [0.5, 0.0]])
    unknown = p[2].sum()
    known = 1.0 - unknown
    rows, columns = p[:2].sum(axis=1), p[:2].sum(axis=0)
    chance = (w * np.outer(rows, columns)).sum()
    kappa = (w * p[:2]).sum() * known / chance - 1.0
    spread = w @ columns[:, None] * np.ones((1, 2)) + np.ones((2, 1)) * (rows[None, :] @ w)
    first = (p[:2] * (known * w - (1.0 + kappa) * spread) ** 2).sum() * known**2 / (4 * chance**2)
    rest = unknown * known - known * (1 + kappa) * (unknown + known * (1 + kappa) / 4)
    return (1 + unknown + known * kappa) / 2, (first + rest) / np.sum(table)


@given(tables)
def test_james_agrees_with_the_printed_form(table: list[list[int]]):
    value, variance = _printed(tuple((a, b) for a, b in table))
    index = james_index(table)
    assert index.value == pytest.approx(value, rel=1e-9)
    assert index.se**2 == pytest.approx(variance, rel=1e-6, abs=1e-12)


@given(tables)
def test_what_must_hold_for_any_table(table: list[list[int]]):
    mirrored = [table[1][::-1], table[0][::-1], table[2][::-1]]
    assert james_index(mirrored).value == pytest.approx(james_index(table).value)
    assert [b.value for b in bang_index(mirrored)] == [b.value for b in bang_index(table)][::-1]
    assert 0.0 <= james_index(table).value <= 1.0
    assert all(-1.0 <= b.value <= 1.0 for b in bang_index(table))


def test_the_ends():
    nobody = ((0, 0), (0, 0), (20, 20))
    right, wrong = ((20, 0), (0, 20), (0, 0)), ((0, 20), (20, 0), (0, 0))
    chance = ((10, 10), (10, 10), (0, 0))
    assert james_index(nobody).to_dict() == {"value": 1.0, "se": 0.0, "ci": [1.0, 1.0], "n": 40}
    assert james_index(right).value == 0.0
    assert james_index(wrong).value == 1.0
    assert james_index(chance).value == pytest.approx(0.5)
    assert [b.value for b in bang_index(nobody)] == [0.0, 0.0]
    assert [b.value for b in bang_index(right)] == [1.0, 1.0]
    assert [b.value for b in bang_index(wrong)] == [-1.0, -1.0]
    assert [b.se for b in bang_index(right)] == [0.0, 0.0]


def test_the_standard_errors_are_the_spread_of_repeated_trials():
    rng = np.random.default_rng(4)
    shares = np.array(CRISP, float).ravel() / np.sum(CRISP)
    drawn = rng.multinomial(np.sum(CRISP), shares, size=4000).reshape(-1, 3, 2)
    james = [james_index(table.tolist()).value for table in drawn]
    active = [bang_index(table.tolist())[0].value for table in drawn]
    assert np.std(james) == pytest.approx(james_index(CRISP).se, rel=0.05)
    assert np.std(active) == pytest.approx(bang_index(CRISP)[0].se, rel=0.05)


def test_other_weights_and_another_confidence():
    halves = james_index(CRISP, ((0.0, 0.75), (0.75, 0.0), (1.0, 1.0)))
    assert halves.value == pytest.approx(james_index(CRISP).value)  # a common factor cancels
    narrow = james_index(CRISP, confidence=0.8)
    assert narrow.ci[1] - narrow.value == pytest.approx(1.2815516 * narrow.se)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (((1, 2), (3, 4)), "three rows"),
        (((1, 2, 3), (3, 4, 5), (1, 1, 1)), "two columns"),
        (((1, -2), (3, 4), (5, 6)), "whole numbers from 0 up"),
        (((1.5, 2), (3, 4), (5, 6)), "whole numbers from 0 up"),
        (((math.nan, 2), (3, 4), (5, 6)), "whole numbers from 0 up"),
        (((0, 0), (0, 0), (0, 0)), "nobody"),
    ],
)
def test_what_is_no_table_is_refused(table: tuple[tuple[int, ...], ...], reason: str):
    for index in (bang_index, james_index):
        with pytest.raises(AnalysisError, match=reason):
            index(table)


def test_what_else_is_refused():
    with pytest.raises(AnalysisError, match="nobody of the sham arm"):
        bang_index(((3, 0), (1, 0), (2, 0)))
    with pytest.raises(AnalysisError, match="not defined"):
        james_index(((3, 0), (0, 0), (2, 5)))
    for confidence in (0.0, 1.0, math.nan):
        with pytest.raises(AnalysisError, match="between 0 and 1"):
            james_index(CRISP, confidence=confidence)
    for weights in (
        ((0, 0.5), (0.5, 0)),
        ((0, 2), (0.5, 0), (1, 1)),
        ((0, math.nan), (0.5, 0), (1, 1)),
        ((0, 0.5), (0.5, 0), (1, 0.5)),
    ):
        with pytest.raises(AnalysisError, match="weights"):
            james_index(CRISP, weights)
