"""What moved, in every combination, and what the sentence says of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from analysis import power_verdict as words
from analysis.outcome_words import summarise
from analysis.power import measure
from analysis.power_change import PowerChange, RatioChange, compare_power
from analysis.power_verdict import Verdict, verdict_of
from analysis.statistics import direction_of
from tests.analysis.made_outcome import made_uv

DIRECTIONS = ("increase", "decrease", "none", "undetermined")
NAMES = ("Pz", "Oz")


def _of(raw: str, adjusted: str, **more: Any) -> Verdict:
    given = {"share": 0.2, "background_ln": 0.0, "background_moved": False, **more}
    strict = given.pop("strict", adjusted)
    return verdict_of(
        raw, adjusted, strict, given.pop("share"), given.pop("background_ln"), **given
    )


@pytest.mark.parametrize(
    ("raw", "adjusted", "more", "expected"),
    [
        ("increase", "increase", {}, (words.OSCILLATION, "increase")),
        ("decrease", "decrease", {}, (words.OSCILLATION, "decrease")),
        ("increase", "increase", {"share": 0.6}, (words.BOTH, "increase")),
        ("increase", "none", {"share": 0.9}, (words.APERIODIC_SHIFT, "none")),
        ("increase", "undetermined", {"share": 0.5}, (words.APERIODIC_SHIFT, "undetermined")),
        ("increase", "decrease", {"share": 1.4}, (words.OPPOSED, "undetermined")),
        ("increase", "undetermined", {}, (words.UNCLEAR, "increase")),
        ("none", "none", {}, (words.NOTHING, "none")),
        ("undetermined", "undetermined", {}, (words.NOTHING, "undetermined")),
        ("none", "none", {"background_moved": True}, (words.APERIODIC_ALONE, "none")),
        ("none", "increase", {}, (words.FAINT, "undetermined")),
        ("increase", "undetermined", {"share": None}, (words.NOT_ASSESSED, "increase")),
    ],
)
def test_every_combination_has_its_name(
    raw: str, adjusted: str, more: dict[str, Any], expected: tuple[str, str]
) -> None:
    found = _of(raw, adjusted, **more)
    assert found.what.startswith(expected[0])
    assert found.direction == expected[1]


def test_a_background_that_competes_asks_for_more_of_the_rhythm() -> None:
    rival = {"background_ln": 0.15, "background_moved": True}
    assert _of("increase", "increase", **rival).what == words.OSCILLATION
    doubtful = _of("increase", "increase", strict="undetermined", **rival)
    assert doubtful == Verdict(words.UNCLEAR, "undetermined")
    doubtful = _of("increase", "increase", strict="undetermined", share=0.7, **rival)
    assert doubtful == Verdict(words.APERIODIC_SHIFT, "undetermined")
    # A background that moves band power by 4 % does not compete.
    small = {"background_ln": 0.04, "background_moved": True, "strict": "undetermined"}
    assert _of("increase", "increase", **small).what == words.OSCILLATION
    hidden = {"background_ln": -0.2, "background_moved": True}
    assert _of("undetermined", "increase", **hidden).what == words.HIDDEN
    assert _of("undetermined", "decrease", **hidden).what == words.FAINT


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("background_ln", [None, -0.2, 0.0, 0.2])
def test_a_direction_is_never_given_against_band_power(
    moved: bool, background_ln: float | None
) -> None:
    for raw, adjusted, share in product(DIRECTIONS, DIRECTIONS, (None, -0.3, 0.3, 0.8)):
        found = _of(raw, adjusted, share=share, background_ln=background_ln, background_moved=moved)
        if found.direction in ("increase", "decrease"):
            assert found.direction == raw
        if found.what.startswith("aperiodic") and raw in ("increase", "decrease"):
            assert found.direction not in ("increase", "decrease")


@pytest.fixture(scope="module")
def some() -> PowerChange:
    sides = [
        measure(made_uv(seed, duration_s=40.0, channels=NAMES), 160.0, [0, 1], (8.0, 12.0))
        for seed in (1, 2)
    ]
    return compare_power(sides[0], sides[1], NAMES, NAMES, (8.0, 12.0), n_bootstrap=200)


def _told(
    some: PowerChange, raw: tuple[float, float], adjusted: tuple[float, float], **more: Any
) -> str:
    """Sentence of a change with these 95 % intervals in percent."""
    logs = [tuple(np.log1p(np.array(edges) / 100.0)) for edges in (raw, adjusted)]
    middles = [float(np.mean(edges)) for edges in logs]
    verdict = _of(direction_of(logs[0]), direction_of(logs[1]), **more)
    made = replace(
        some,
        raw=replace(some.raw, ln_ratio=middles[0], interval_ln=logs[0]),
        adjusted=RatioChange(1.0, 1.0, middles[1], logs[1]),
        aperiodic=replace(
            some.aperiodic,
            exponent_change=-0.2,
            exponent_interval=(-0.25, -0.15),
            offset_change=0.1,
            offset_interval=(0.05, 0.15),
        ),
        aperiodic_share=more.get("share", 0.2),
        verdict=verdict.what,
        direction=verdict.direction,
    )
    sentence = summarise(made, made.direction, None)
    assert sentence.endswith(".")
    assert sentence.count(". ") == 0
    return sentence


def test_the_sentence_says_what_moved(some: PowerChange) -> None:
    plain = _told(some, (10.0, 40.0), (12.0, 50.0))
    assert ": an increase; one recording before" in plain
    shift = _told(some, (10.0, 40.0), (-12.0, 15.0), share=0.9)
    assert "an aperiodic shift, not oscillation: power over the background was 1 % higher" in shift
    assert "(-12 to +15 %), so the rhythm itself is not shown to have changed" in shift
    both = _told(some, (10.0, 40.0), (5.0, 30.0), share=0.6)
    assert "the background accounts for 60 % of it, and power over the background was" in both
    opposed = _told(some, (10.0, 40.0), (-30.0, -5.0), share=1.5)
    assert "which is the other way, so that no direction can be given" in opposed
    hidden = _told(some, (-8.0, 9.0), (5.0, 30.0), background_ln=-0.2, background_moved=True)
    assert "no clear change of band power, but power over the background was" in hidden
    assert "the background moved the other way and hides it" in hidden
    faint = _told(some, (-8.0, 9.0), (5.0, 30.0))
    assert "small part of the power in the band" in faint
    alone = _told(some, (-8.0, 9.0), (-9.0, 9.0), background_moved=True)
    assert "no change worth having" in alone
    assert "the background alone changed (exponent -0.20 (-0.25 to -0.15), offset +0.10" in alone
    unclear = _told(some, (2.0, 40.0), (-5.0, 50.0), background_ln=0.1, background_moved=True)
    assert "whether the rhythm or the background changed is too uncertain to tell" in unclear
    nothing = _told(some, (-40.0, 60.0), (-50.0, 90.0))
    assert "too uncertain to tell a change from spontaneous fluctuation" in nothing
