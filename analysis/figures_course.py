"""Figure of band power over the time after a session, with the fading fitted to it."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures_outcome import AFTER, INK, percent_axis
from analysis.outcome import Outcome
from analysis.timecourse import CAUTION, TimeCourse

Array = NDArray[np.float64]


def plot_time_course(outcome: Outcome) -> Any:
    """Plot band power after the session against before.

    Parameters
    ----------
    outcome : Outcome
        Result of `analysis.compare`.

    Returns
    -------
    matplotlib.figure.Figure
        Each bin with its own 95 % interval (thick) and the one that holds for all bins together
        (thin), and the fading where it is identified; or a line that says why there is no course.
    """
    from matplotlib.figure import Figure

    course = outcome.time_course
    figure: Any = Figure(figsize=(9.0, 5.2), layout="constrained")
    if not course.bins:
        figure.text(0.5, 0.5, f"No course over time: {course.reason}", ha="center", va="center")
        return figure
    axes = figure.subplots()
    lowest, highest = -0.1, 0.1
    for number, one in enumerate(course.bins):
        middle = 0.5 * (one.from_s + one.to_s) / 60.0
        axes.plot((one.from_s / 60.0, one.to_s / 60.0), (one.ln_ratio,) * 2, color=AFTER, lw=2.0)
        axes.plot(
            (middle, middle),
            one.simultaneous_ln,
            color=INK,
            lw=1.0,
            label=None if number else "95 % interval, all bins together",
        )
        axes.plot(
            (middle, middle),
            one.interval_ln,
            color=AFTER,
            lw=4.0,
            alpha=0.6,
            solid_capstyle="butt",
            label=None if number else "95 % interval of the bin",
        )
        axes.plot(middle, one.ln_ratio, "o", color=AFTER, markersize=7)
        lowest = min(lowest, one.simultaneous_ln[0])
        highest = max(highest, one.simultaneous_ln[1])
    last_min = course.bins[-1].to_s / 60.0
    _plot_decay(axes, course, last_min)
    axes.axhline(0.0, color=INK, lw=1.0)
    axes.set_xlim(min(0.0, course.bins[0].from_s / 60.0), 1.02 * last_min)
    places, labels = percent_axis(max(-lowest, highest))
    inside = (places >= 1.1 * lowest) & (places <= 1.1 * highest)
    axes.set_yticks(
        places[inside], [label for label, one in zip(labels, inside, strict=True) if one]
    )
    axes.set_ylim(1.1 * lowest, 1.1 * highest)
    axes.set_xlabel(
        "Minutes after the current ended"
        if course.start_known
        else "Minutes after the current ended (the recording is taken to begin with that moment)"
    )
    axes.set_ylabel("Band power compared with before (%, log scale)")
    low_hz, high_hz = outcome.power.band_hz
    axes.set_title(
        f"{low_hz:.1f}-{high_hz:.1f} Hz power over time, {len(course.channels)} channels, against "
        f"{course.baseline_s:.0f} s before",
        fontsize=11,
    )
    axes.legend(frameon=False, fontsize=9, loc="best")
    axes.spines[["top", "right"]].set_visible(False)
    note = f"Fading: {_words(course)}. {CAUTION[0].upper()}{CAUTION[1:]}."
    figure.supxlabel(textwrap.fill(note, 120), fontsize=9, x=0.01, ha="left")
    return figure


def _plot_decay(axes: Any, course: TimeCourse, last_min: float) -> None:
    """Curve of the fitted fading."""
    found = course.decay
    if not found.identified or found.w0 is None or found.tau_s is None:
        return
    minutes: Array = np.linspace(0.0, last_min, 200)
    curve = np.log1p(found.w0 * np.exp(-60.0 * minutes / found.tau_s))
    axes.plot(minutes, curve, color="black", lw=1.6, ls="--", label="fitted fading")


def _words(course: TimeCourse) -> str:
    """Fit in words."""
    found = course.decay
    if found.w0 is None or found.w0_interval is None:
        return str(found.reason)
    low, high = (100.0 * edge for edge in found.w0_interval)
    text = f"{100.0 * found.w0:+.0f} % as the current ended ({low:+.0f} to {high:+.0f} %)"
    if found.tau_s is None or found.tau_interval_s is None:
        return f"{text}; {found.reason}"
    first, last = found.tau_interval_s
    upper = "no upper bound" if last is None else f"{last / 60.0:.0f}"
    text += f", time constant {found.tau_s / 60.0:.0f} min ({first / 60.0:.0f} to {upper})"
    return text if found.reason is None else f"{text}; {found.reason}"
