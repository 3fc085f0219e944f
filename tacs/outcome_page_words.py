"""What the report of a comparison says first: headline, what nobody must miss, large numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tacs.report_summary import Banner, KeyFigure
from tacs.report_words import number, percent, signed, signed_interval

__all__ = ["banners", "key_figures", "title"]

HEADLINES: Mapping[str, str] = {
    "increase": "The rhythm was stronger after the session",
    "decrease": "The rhythm was weaker after the session",
    "none": "No change worth having",
    "undetermined": "No change can be told from spontaneous fluctuation",
}


def title(data: Mapping[str, Any]) -> str:
    """Return the headline of the page."""
    return HEADLINES[data["direction"]]


def banners(data: Mapping[str, Any]) -> tuple[Banner, ...]:
    """Return what nobody must miss, the worst first."""
    found = []
    direction, predicted = data["direction"], data["as_predicted"]
    verdict = str(data["power"]["aperiodic"]["verdict"])
    if direction == "undetermined" and verdict.startswith("aperiodic"):
        text = "Band power moved, and the background explains it. The rhythm is not shown to move."
        found.append(Banner(kind="caution", title="The background, not the rhythm", text=text))
    if predicted is False:
        text = (
            f"The protocol expects {_expected(data)}; the finding is "
            f"{direction if direction != 'none' else 'no change'}."
        )
        found.append(Banner(kind="caution", title="Not as predicted", text=text))
    retest = data.get("retest") or {}
    if retest.get("beyond") is False and direction in ("increase", "decrease"):
        text = "This person's power changes as much between recordings without stimulation."
        found.append(Banner(kind="caution", title="Within test-retest", text=text))
    if direction in ("increase", "decrease"):
        text = (
            "One recording before and one after do not show that the stimulation caused the "
            "change. Sham or repeated sessions can."
        )
        found.append(Banner(kind="caution", title="A change, not yet an effect", text=text))
    elif direction == "none":
        text = "The whole 95 % interval lies within a factor of 1.25 either way."
        found.append(Banner(kind="good", title="No change", text=text))
    elif not found:
        text = "This is no evidence that nothing changed: the interval is too wide to say."
        found.append(Banner(kind="caution", title="Undetermined", text=text))
    return tuple(found)


def _expected(data: Mapping[str, Any]) -> str:
    """What the protocol predicts."""
    expected = data["expected_direction"]
    return {"increase": "an increase", "decrease": "a decrease", "none": "no change"}[expected]


def key_figures(data: Mapping[str, Any]) -> tuple[KeyFigure, ...]:
    """Return the four large numbers."""
    power = data["power"]
    low, high = power["band_hz"]
    adjusted = power["adjusted"]
    return (
        KeyFigure(
            label=f"Band power, {number(low, 1)} to {number(high, 1, 'Hz')}",
            value=percent(power["percent"], 0),
            note=f"95 % interval {signed_interval(power['ci95_percent'], 0, '%')}; "
            f"ln ratio {signed(power['ln_ratio'], 2)}",
        ),
        KeyFigure(
            label="Power over the background",
            value=percent(adjusted["percent"], 0),
            note=(
                f"95 % interval {signed_interval(adjusted['ci95_percent'], 0, '%')}"
                if adjusted["ci95_percent"] is not None
                else str(adjusted["reason"] or "no interval")
            ),
        ),
        _connectivity(data["connectivity"]),
        KeyFigure(
            label="Peak frequency",
            value=signed(data["peak_shift_hz"], 2, "Hz"),
            note=(
                f"95 % interval {signed_interval(data['peak_shift'].get('ci95_hz'), 2, 'Hz')}"
                if data["peak_shift_hz"] is not None
                else "no peak on one side"
            ),
        ),
    )


def _connectivity(found: Mapping[str, Any]) -> KeyFigure:
    """Connectivity, matched for power where that could be done."""
    label = "Connectivity (debiased wPLI²)"
    one = found.get("wpli2_debiased")
    if not one:
        return KeyFigure(label=label, value="–", note=str(found.get("reason") or "none"))
    matched = one["power_matched_change"]
    if matched is None:
        return KeyFigure(
            label=label,
            value=signed(one["change"], 3),
            note=f"95 % interval {signed_interval(one['ci95_change'], 3)}; not at equal "
            "signal-to-noise ratio, so power alone may have made it",
        )
    return KeyFigure(
        label=f"{label}, at equal signal-to-noise ratio",
        value=signed(matched, 3),
        note=f"{one['direction']}; 95 % interval "
        f"{signed_interval(one['ci95_power_matched_change'], 3)}",
    )
