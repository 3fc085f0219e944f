"""Panel of the channels of a peak estimate: each one's own peak, and how far it stands out."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.estimate import ChannelPeak, PeakEstimate
from analysis.figures_peak import BLUE, GREY, INK, ORANGE, SMALL, chosen_hz, is_split

MOST_ROWS = 24


def ranked(table: tuple[ChannelPeak, ...], most: int = MOST_ROWS) -> tuple[list[ChannelPeak], int]:
    """Choose the channels to show: those used first, then those that stand out most.

    Parameters
    ----------
    table : tuple of ChannelPeak
        Every channel.
    most : int
        How many rows there is room for.

    Returns
    -------
    rows : list of ChannelPeak
        The chosen ones, highest prominence first.
    left_out : int
        How many are not among them.
    """
    order = sorted(table, key=lambda row: (not row.used, -row.prominence_db))[:most]
    return sorted(order, key=lambda row: -row.prominence_db), len(table) - len(order)


def draw_channels(figure: Any, estimate: PeakEstimate, *, most: int = MOST_ROWS) -> None:
    """Draw every channel's own peak with its standard error, and how far it stands out.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or SubFigure
        Where to draw; it gets two axes that share their rows.
    estimate : PeakEstimate
        With a channel table.
    most : int
        How many channels there is room for.
    """
    rows, left_out = ranked(estimate.channel_table, most)
    places = np.arange(len(rows))
    peaks, heights = figure.subplots(1, 2, sharey=True, width_ratios=[1.5, 1.0])
    _channel_dots(peaks, rows, estimate)
    used = np.array([row.used for row in rows], dtype=bool)
    values = np.array([row.prominence_db for row in rows])
    for chosen, colour in ((used, BLUE), (~used, "white")):
        heights.barh(
            places[chosen], values[chosen], height=0.62, color=colour, edgecolor=BLUE, lw=0.8
        )
    heights.axvline(0.0, color=INK, lw=0.8)
    size = SMALL if len(rows) <= 20 else 7.0
    peaks.set_yticks(places, [row.channel for row in rows], fontsize=size, parse_math=False)
    known = any(row.sd_hz is not None for row in rows)
    peaks.set_xlabel(f"Own peak{' ± standard error' if known else ''} (Hz)", fontsize=9)
    heights.set_xlabel("Over own background (dB)", fontsize=9)
    heights.set_ylim(len(rows) - 0.4, -0.6)
    low, high = heights.get_xlim()
    heights.set_xlim(low, max(high, 3.0))  # what is small looks small
    heights.tick_params(axis="y", length=0, labelleft=False)
    for axes in (peaks, heights):
        axes.tick_params(axis="x", labelsize=SMALL)
        axes.grid(axis="x", color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    title = "Channels, those that stand out most first"
    if left_out:
        title += f" ({left_out} more not shown)"
    peaks.set_title(title, fontsize=10, loc="left", color=INK)
    figure.legend(
        *peaks.get_legend_handles_labels(),
        loc="outside lower left",
        frameon=False,
        fontsize=SMALL,
        ncols=2,
    )


def _channel_dots(axes: Any, rows: list[ChannelPeak], estimate: PeakEstimate) -> None:
    """Frequency of each channel, filled where it is used, before the reported peak."""
    if estimate.ci95_hz is not None:
        axes.axvspan(*estimate.ci95_hz, color=ORANGE, alpha=0.3, lw=0, label="95 % interval")
    shown_hz = [] if estimate.frequency_hz is None else [estimate.frequency_hz]
    if estimate.frequency_hz is not None:
        axes.axvline(estimate.frequency_hz, color=ORANGE, lw=1.4, label="reported peak")
    if is_split(estimate):
        for peak in estimate.peaks:
            if peak.frequency_hz != chosen_hz(estimate):
                shown_hz.append(peak.frequency_hz)
                axes.axvline(
                    shown_hz[-1], color=ORANGE, lw=1.4, ls=(0, (4, 2)), label="second peak"
                )
    for used, name in ((True, "used for the estimate"), (False, "not used")):
        chosen = [
            (place, row.frequency_hz, row.sd_hz or 0.0)
            for place, row in enumerate(rows)
            if row.used == used and row.frequency_hz is not None
        ]
        if not chosen:
            continue
        at, hz, error = (np.array(column, dtype=float) for column in zip(*chosen, strict=True))
        shown_hz += [*(hz - error), *(hz + error)]
        axes.errorbar(
            hz,
            at,
            xerr=error,
            fmt="o" if used else "s",
            ms=5.5 if used else 4.5,
            color=BLUE,
            mfc=BLUE if used else "white",
            elinewidth=1.1,
            label=name,
        )
    if not any(row.frequency_hz is not None for row in rows):
        axes.text(
            0.5,
            0.5,
            "No channel shows\na peak of its own",
            transform=axes.transAxes,
            fontsize=9,
            color=GREY,
            ha="center",
            va="center",
        )
    elif any(row.frequency_hz is None for row in rows):
        axes.plot([], [], ls="none", label="no mark: no peak of its own")
    low, high = (min(shown_hz), max(shown_hz)) if shown_hz else estimate.band_hz
    margin = max(0.08 * (high - low), 0.15)
    axes.set_xlim(low - margin, high + margin)
