"""Figures of a response profile one by one, at the width of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.figures_profile import COLOURS, INK, NULL, draw_curve, draw_echoes
from analysis.profile_result import ResponseProfile

__all__ = ["plot_profile_panels"]

SMALL = {"size": 8.5}


def plot_profile_panels(
    profile: ResponseProfile, after_session: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Draw each part of a profile on its own.

    Parameters
    ----------
    profile : ResponseProfile
        Any.
    after_session : mapping, optional
        As `analysis.profile_after.after_session`.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        "curve" always; of "arnold", "echo", "after" and "session" those that can be filled.
    """
    from matplotlib.figure import Figure

    figures: dict[str, Any] = {"curve": Figure(figsize=(5.8, 3.7), layout="constrained")}
    draw_curve(figures["curve"].subplots(), profile, titled=False)
    if profile.arnold is not None:
        figures["arnold"] = Figure(figsize=(3.9, 3.0), layout="constrained")
        _draw_arnold(figures["arnold"].subplots(), profile)
    if any(echo.consistency.size > 1 for echo in profile.echoes):
        figures["echo"] = Figure(figsize=(3.9, 3.0), layout="constrained")
        draw_echoes(figures["echo"].subplots(), profile, titled=False)
    if profile.after_effect:
        figures["after"] = Figure(figsize=(3.9, 3.0), layout="constrained")
        _draw_after(figures["after"].subplots(), profile)
    if after_session is not None and after_session["bins"]:
        figures["session"] = Figure(figsize=(3.9, 3.0), layout="constrained")
        _draw_session(figures["session"].subplots(), after_session["bins"])
    for figure in figures.values():
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=8)
            axes.set_xlabel(axes.get_xlabel(), **SMALL)
            axes.set_ylabel(axes.get_ylabel(), **SMALL)
    return figures


def _draw_arnold(axes: Any, profile: ResponseProfile) -> None:
    """Locking region over level, with its interval, and what each block measured."""
    region = profile.arnold
    if region is None:
        return
    rows = profile.answers
    hz = np.array([row.frequency_hz for row in rows])
    level = np.array([row.level for row in rows])
    size = np.array([max(row.plv2 - row.null, 0.0) for row in rows])
    fine = np.linspace(0.0, 1.08 * float(level.max()), 50)
    low, high = region.slope_ci95
    for side in (-1.0, 1.0):
        if low is not None and high is not None:
            axes.fill_betweenx(
                fine, region.centre_hz + side * low * fine, region.centre_hz + side * high * fine,
                color=COLOURS[1], alpha=0.2, linewidth=0.0,
            )  # fmt: skip
        axes.plot(
            region.centre_hz + side * region.slope_hz_per_level * fine, fine, color=COLOURS[1]
        )
    dots = axes.scatter(hz, level, s=34, c=size, cmap="Blues", edgecolors=INK, linewidths=0.6)
    bar = axes.figure.colorbar(dots, ax=axes, shrink=0.8)
    bar.set_label("Squared locking less chance", size=8)
    bar.ax.tick_params(labelsize=7)
    axes.set_ylim(0.0, None)
    axes.set_xlabel("Frequency of the drive (Hz)")
    axes.set_ylabel("Level of the drive")


def _draw_after(axes: Any, profile: ResponseProfile) -> None:
    """Change of power after each frequency, with its interval."""
    levels = sorted({row["level"] for row in profile.after_effect})
    shift = 0.04 * len(levels)
    for i, (level, colour) in enumerate(zip(levels, COLOURS * len(levels), strict=False)):
        rows = [row for row in profile.after_effect if row["level"] == level]
        value = np.array([row["ln_ratio"] for row in rows])
        ends = np.array([row["ci95_ln"] for row in rows]).T
        axes.errorbar(
            np.array([row["frequency_hz"] for row in rows]) + shift * (i - 0.5 * len(levels)),
            value,
            np.abs(ends - value),
            color=colour,
            fmt="o",
            markersize=4,
            capsize=2,
            label=f"level {level:g}",
        )
    axes.axhline(0.0, color=NULL, linewidth=0.8)
    less = ", less sham" if all(row["minus_sham"] for row in profile.after_effect) else ""
    axes.set_xlabel("Frequency of the drive (Hz)")
    axes.set_ylabel(f"ln power after / before{less}")
    if len(levels) > 1:
        axes.legend(fontsize=7, frameon=False)


def _draw_session(axes: Any, bins: Sequence[Mapping[str, Any]]) -> None:
    """Change of power over the minutes after; open circles where sham was not taken away."""
    for sham, face in ((True, COLOURS[0]), (False, "white")):
        rows = [row for row in bins if row["minus_sham"] is sham]
        if not rows:
            continue
        ends = np.array([[row["from_s"], row["to_s"]] for row in rows]) / 60.0
        middle = ends.mean(axis=1)
        value = np.array([row["ln_ratio"] for row in rows])
        spread = np.array([row["ci95_ln"] for row in rows])
        axes.errorbar(
            middle,
            value,
            np.abs(spread.T - value),
            np.abs(ends.T - middle),
            color=COLOURS[0],
            fmt="o",
            markersize=4.5,
            markerfacecolor=face,
            label="less sham" if sham else "sham not taken away",
        )
    axes.axhline(0.0, color=NULL, linewidth=0.8)
    axes.margins(y=0.22)  # room for the key
    axes.set_xlabel("Time after the session (min)")
    axes.set_ylabel("ln power after / before")
    axes.legend(fontsize=7, frameon=False)
