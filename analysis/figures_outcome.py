"""Figures of an outcome: spectra and topographies; those of connectivity have a file of their own.

Colours are those of Okabe and Ito (before blue, after vermilion) and, for signed changes, a
blue-white-red scale; both are readable with any form of colour blindness.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.channels import montage_name
from analysis.figures_connectivity import plot_connectivity
from analysis.findings import listed
from analysis.outcome import Outcome
from analysis.power import percent_of_ln

__all__ = ["plot_connectivity", "plot_spectra", "plot_topographies"]

Array = NDArray[np.float64]

BEFORE, AFTER, BAND, INK = "#0072B2", "#D55E00", "#F0E442", "#333333"
SIGNED = "RdBu_r"


def plot_spectra(outcome: Outcome) -> Any:
    """Plot power spectra before and after, and the change with its intervals.

    Parameters
    ----------
    outcome : Outcome
        Result of `analysis.compare`.

    Returns
    -------
    matplotlib.figure.Figure
        Left: mean spectrum of the region, its bootstrap interval at each frequency, the aperiodic
        fits and the band. Right: change of raw, adjusted, re-centred and relative power.
    """
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(11.0, 5.6), layout="constrained")
    spectra, change = figure.subplots(1, 2, width_ratios=(1.7, 1.0))
    power = outcome.power
    sides = (
        ("before", outcome.before, power.aperiodic.pre, power.raw.weights[0], BEFORE),
        ("after", outcome.after, power.aperiodic.post, power.raw.weights[1], AFTER),
    )
    top_hz = min(40.0, float(outcome.before.freqs_hz[-1]))
    for name, side, parts, weights, colour in sides:
        shown = (side.freqs_hz >= 2.0) & (side.freqs_hz <= top_hz)
        freqs = side.freqs_hz[shown]
        low, high = np.quantile(weights @ side.region[:, shown], (0.025, 0.975), axis=0)
        spectra.fill_between(freqs, low, high, color=colour, alpha=0.25, linewidth=0)
        spectra.plot(freqs, side.region_mean()[shown], color=colour, linewidth=2.0, label=name)
        if parts.fit is not None:
            fitted = freqs[(freqs >= parts.fit.fit_range_hz[0])]
            style = {"color": colour, "linewidth": 1.2, "linestyle": "--"}
            spectra.plot(
                fitted, parts.fit.aperiodic(fitted), **style, label=f"background {name} (1/f fit)"
            )
    low_hz, high_hz = power.band_hz
    spectra.axvspan(
        low_hz,
        high_hz,
        color=BAND,
        alpha=0.3,
        zorder=0,
        label=f"band {low_hz:.1f}-{high_hz:.1f} Hz",
    )
    spectra.set_yscale("log")
    spectra.set_xlim(2.0, top_hz)
    spectra.set_xlabel("Frequency (Hz)")
    spectra.set_ylabel("Power (µV² per Hz, log scale)")
    spectra.set_title(
        f"Power spectrum, mean of {_channels(power.region)} (shaded: 95 % interval)", fontsize=11
    )
    spectra.legend(frameon=False, fontsize=9)
    _plot_change(change, outcome)
    for axes in (spectra, change):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(textwrap.fill(outcome.summary, 125), fontsize=11, x=0.01, ha="left")
    return figure


def _plot_change(axes: Any, outcome: Outcome) -> None:
    """Change of power, one row per way of measuring, with 95 % intervals."""
    power = outcome.power
    rows = [
        ("Band power\n(primary)", power.raw.ln_ratio, power.raw.interval_ln),
        ("Over the background\n(adjusted)", power.adjusted.ln_ratio, power.adjusted.interval_ln),
        ("About its own peak\n(re-centred)", power.recentred.ln_ratio, power.recentred.interval_ln),
        ("Share of 1-40 Hz\n(relative)", power.relative.ln_ratio, power.relative.interval_ln),
    ]
    reach = 0.3
    for row, (_, ln_ratio, interval) in enumerate(rows):
        if ln_ratio is None:
            axes.text(0.0, row, "not available", ha="center", va="center", color=INK, fontsize=9)
            continue
        colour = INK if row else "black"
        if interval is not None:
            axes.plot(interval, (row, row), color=colour, linewidth=2.5, solid_capstyle="butt")
        axes.plot(ln_ratio, row, "o", color=colour, markersize=8)
        axes.annotate(
            f"{percent_of_ln(ln_ratio):+.0f} %",
            (ln_ratio, row),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
        reach = max(reach, *(abs(value) for value in (ln_ratio, *(interval or ()))))
    axes.axvline(0.0, color=INK, linewidth=1.0)
    axes.set_xlim(-1.1 * reach, 1.1 * reach)
    axes.set_xticks(*percent_axis(1.1 * reach))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_xlabel("After compared with before (%, log scale)\nline: 95 % interval")
    axes.set_title("Change of power", fontsize=11)


def percent_axis(reach_ln: float) -> tuple[Array, list[str]]:
    """Places and labels of five percent ticks: no change, and two factors up and down."""
    factors = np.array([1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0])
    logs = np.log(factors)
    outer = max(int(np.searchsorted(logs, reach_ln, side="right")) - 1, 1)
    inner = max(int(np.searchsorted(logs, 0.56 * logs[outer], side="right")) - 1, 0)
    places = np.array([-logs[outer], -logs[inner], 0.0, logs[inner], logs[outer]])
    return places, [f"{percent_of_ln(x):+.0f}" if x else "0" for x in map(float, places)]


def plot_topographies(outcome: Outcome) -> Any:
    """Plot band power over the head before, after, and its change.

    Parameters
    ----------
    outcome : Outcome
        Result of `analysis.compare`.

    Returns
    -------
    matplotlib.figure.Figure
        Four maps, the last of power over the aperiodic part, without the channels that have no
        rhythm to speak of (no map with fewer than four). Where fewer than four channels have a
        position: bars per channel, and the title says so.
    """
    from matplotlib.figure import Figure

    names = tuple(outcome.power.per_channel)
    ln_ratio = np.array([outcome.power.per_channel[name].ln_ratio for name in names])
    info = _with_positions(outcome.info)
    placed = _placed(info)
    if len(placed) < 4:
        return _bars(outcome, ln_ratio)
    import mne

    info = mne.pick_info(info, placed, verbose="ERROR")
    means = [side.band.mean(axis=0)[placed] for side in (outcome.before, outcome.after)]
    filled = outcome.filled
    if filled.channels:
        # Drawn for the shape of the map; no dot of the region is ever theirs.
        info = _together(info, filled.info)
        means = [
            np.concatenate(pair)
            for pair in zip(means, (filled.before_uv2, filled.after_uv2), strict=True)
        ]
    levels = [10.0 * np.log10(mean) for mean in means]
    ln_ratio = np.log(means[1] / means[0])
    limits = (min(map(np.min, levels)), max(map(np.max, levels)))
    if limits[1] - limits[0] < 1.0:
        limits = (limits[0] - 0.5, limits[1] + 0.5)
    changes = [outcome.power.per_channel[names[row]].adjusted_ln_ratio for row in placed]
    adjusted = np.full(ln_ratio.size, np.nan)
    adjusted[: len(placed)] = [np.nan if change is None else change for change in changes]
    reach = max(float(np.abs(ln_ratio).max()), 0.1)
    marker = {
        "marker": "o",
        "markerfacecolor": "white",
        "markeredgecolor": "black",
        "markersize": 4,
    }
    maps: list[tuple[str, Array, tuple[float, float], str, str]] = [
        ("Before", levels[0], limits, "viridis", "Band power (dB re 1 µV²)"),
        ("After", levels[1], limits, "viridis", "Band power (dB re 1 µV²)"),
        ("Change", ln_ratio, (-reach, reach), SIGNED, "After compared with before (%)"),
    ]
    if np.isfinite(adjusted).sum() >= 4:
        over = max(float(np.nanmax(np.abs(adjusted))), 0.1)
        label = "Adjusted power, after compared with before (%)"
        maps.append(("Change over the background", adjusted, (-over, over), SIGNED, label))
    figure: Any = Figure(figsize=(3.6 * len(maps), 4.6), layout="constrained")
    for axes, (title, values, (low, high), colours, label) in zip(
        figure.subplots(1, len(maps)), maps, strict=True
    ):
        shown = np.flatnonzero(np.isfinite(values))
        region = np.array([info["ch_names"][row] in outcome.power.region for row in shown])
        image, _ = mne.viz.plot_topomap(
            values[shown],
            mne.pick_info(info, shown, verbose="ERROR"),
            axes=axes,
            show=False,
            cmap=colours,
            vlim=(low, high),
            mask=region,
            mask_params=marker,
            contours=0,
            extrapolate="local",
            sensors="k.",
        )
        axes.set_title(title, fontsize=11)
        bar = figure.colorbar(image, ax=axes, shrink=0.75, orientation="horizontal", pad=0.02)
        bar.set_label(label)
        if colours == SIGNED:
            places, labels = percent_axis(high)
            bar.set_ticks(places, labels=labels)
    low_hz, high_hz = outcome.power.band_hz
    told = f"; interpolated: {listed(filled.channels)}" if filled.channels else ""
    figure.suptitle(
        f"Where {low_hz:.1f}-{high_hz:.1f} Hz power changed (white dots: channels of the region; "
        f"single channels are not tested{told})\n",
        fontsize=11,
    )
    return figure


def _together(info: Any, more: Any) -> Any:
    """Description of two sets of channels, with the positions of both."""
    import mne

    channels = [*info["chs"], *more["chs"]]
    both = mne.create_info([one["ch_name"] for one in channels], info["sfreq"], "eeg")
    for own, one in zip(both["chs"], channels, strict=True):
        own["loc"][:] = one["loc"]
    return both


def _placed(info: Any) -> list[int]:
    """Rows of the channels that have a position."""
    return [
        row
        for row, channel in enumerate(info["chs"])
        if np.isfinite(channel["loc"][:3]).all() and np.any(channel["loc"][:3])
    ]


def _with_positions(info: Any) -> Any:
    """Description of the channels; template positions where the recording brought too few."""
    if len(_placed(info)) >= 4:
        return info
    import mne

    bare = mne.create_info(info["ch_names"], info["sfreq"], "eeg", verbose="ERROR")
    bare.set_montage(montage_name(), match_case=False, on_missing="ignore", verbose="ERROR")
    return bare


def _bars(outcome: Outcome, ln_ratio: Array) -> Any:
    """Change per channel as bars, for recordings without electrode positions."""
    from matplotlib.figure import Figure

    names = tuple(outcome.power.per_channel)
    figure: Any = Figure(figsize=(8.0, 1.6 + 0.25 * len(names)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(names))
    intervals = np.array([outcome.power.per_channel[name].interval_ln for name in names])
    axes.barh(rows, ln_ratio, color=[AFTER if value > 0 else BEFORE for value in ln_ratio])
    axes.hlines(rows, intervals[:, 0], intervals[:, 1], color=INK, linewidth=1.5)
    reach = 1.1 * max(float(np.abs(intervals).max()), 0.1)
    axes.set_xticks(*percent_axis(reach))
    axes.set_xlim(-reach, reach)
    axes.axvline(0.0, color=INK, linewidth=1.0)
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set_xlabel("After compared with before (%, log scale); line: 95 % interval")
    axes.set_title("Change of band power per channel (electrode positions unknown)", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _channels(names: tuple[str, ...]) -> str:
    """Names for a title."""
    return ", ".join(names) if len(names) <= 6 else f"{len(names)} channels"
