"""Figure of a response profile: curve with intervals, null, fit and verdict."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from analysis.profile_result import ResponseProfile

__all__ = ["COLOURS", "INK", "NULL", "VERDICTS", "draw_curve", "draw_echoes", "plot_profile"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
NULL, INK = "#777777", "#333333"
VERDICTS = {
    "response": "response beyond chance",
    "no_response": "no response found",
    "undetermined": "undetermined: sham answers too",
}


def plot_profile(profile: ResponseProfile) -> Any:
    """Draw squared locking less its null over frequency, and the echo where there is one.

    Parameters
    ----------
    profile : ResponseProfile
        Any.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    echoes = [echo for echo in profile.echoes if echo.consistency.size > 1]
    figure: Any = Figure(figsize=(11.0 if echoes else 7.4, 5.2), layout="constrained")
    axes = figure.subplots(1, 2 if echoes else 1, squeeze=False)[0]
    draw_curve(axes[0], profile)
    if echoes:
        draw_echoes(axes[1], profile)
    return figure


def draw_echoes(axes: Any, profile: ResponseProfile, *, titled: bool = True) -> None:
    """Consistency after the drive's end, and the fitted decays."""
    echoes = [echo for echo in profile.echoes if echo.consistency.size > 1]
    for echo, colour in zip(echoes, COLOURS * len(echoes), strict=False):
        label = f"{echo.frequency_hz:g} Hz" + (" sham" if echo.kind == "sham" else "")
        label += "" if echo.tau_s is None else f": {1000.0 * echo.tau_s:.0f} ms"
        marker = "x" if echo.kind == "sham" else ""
        times_ms = 1000.0 * echo.times_s
        axes.plot(times_ms, echo.consistency, color=colour, marker=marker, ms=3, label=label)
        if echo.tau_s is not None:
            fitted = echo.locking_at_end**2 * np.exp(-2.0 * echo.times_s / echo.tau_s)
            axes.plot(times_ms, fitted, color=colour, linestyle="--")
    axes.axhline(0.0, color=NULL, linewidth=0.8)
    axes.set_xlabel("Time after the drive's end (ms)")
    axes.set_ylabel("Pairwise phase consistency")
    if titled:
        axes.set_title("Echo (dashed: fitted decay)", fontsize=11)
    axes.legend(fontsize=8, frameon=False)


def draw_curve(axes: Any, profile: ResponseProfile, *, titled: bool = True) -> None:
    """Blocks with intervals, sham, chance, and the fitted curve of every level."""
    levels = sorted({row.level for row in profile.answers})
    for level, colour in zip(levels, COLOURS * len(levels), strict=False):
        rows = [row for row in profile.answers if row.level == level]
        hz = np.array([row.frequency_hz for row in rows])
        excess = np.array([row.plv2 - row.null for row in rows])
        low = np.maximum(excess - [row.low for row in rows], 0.0)
        high = np.maximum(np.array([row.high for row in rows]) - excess, 0.0)
        axes.errorbar(
            hz,
            excess,
            [low, high],
            color=colour,
            fmt="o",
            capsize=3,
            label=f"drive, level {level:g}",
        )
        curve = profile.resonance.get(level)
        if curve is not None:
            fine = np.linspace(hz.min(), hz.max(), 400)
            axes.plot(fine, curve.at(fine), color=colour)
            ends = curve.centre_ci95_hz
            if ends[0] is not None and ends[1] is not None:
                axes.axvspan(ends[0], ends[1], color=colour, alpha=0.12, zorder=0)
    rows = [row for row in profile.answers if row.level == levels[-1]]
    axes.plot(
        [row.frequency_hz for row in rows], [row.null for row in rows], color=NULL, marker="_",
        linestyle=":", label="locking by chance (taken away)",
    )  # fmt: skip
    if profile.sham_answers:
        axes.plot(
            [row.frequency_hz for row in profile.sham_answers],
            [row.plv2 - row.null for row in profile.sham_answers],
            "x", color=INK, label="sham",
        )  # fmt: skip
    if profile.jitter is not None:
        axes.plot(
            [row.frequency_hz for row in profile.jitter.regular],
            [row.plv2 - row.null for row in profile.jitter.regular],
            "D", color=INK, markerfacecolor="none", label="jittered drive, regular reference",
        )  # fmt: skip
    axes.axhline(0.0, color=NULL, linewidth=0.8)
    axes.set_xlabel("Frequency of the drive (Hz)")
    axes.set_ylabel("Squared phase locking less chance")
    axes.legend(fontsize=8, frameon=False)
    if not titled:
        return
    title = f"{VERDICTS[profile.verdict]} (p {profile.test.p:.4f})"
    if profile.resonance:
        top = profile.resonance[max(profile.resonance)]
        title += f"; centre {top.centre_hz:.2f} Hz (shaded: 95 %)"
    elif profile.resonance_reason:
        title += f"; no curve: {profile.resonance_reason.split(':')[0].split(';')[0]}"
    axes.set_title(
        "\n".join(textwrap.wrap(title, 74 if profile.resonance else 58)), fontsize=11, color=INK
    )
