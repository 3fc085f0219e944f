"""Figure of a cleaned recording: spectra, what was removed, what is left, and the test of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.figures_peak import INK, SMALL

if TYPE_CHECKING:
    from analysis.artifact_result import CleanedRecording

__all__ = ["plot_cleaned"]

_BEFORE, _AFTER, _REST = "#b0b0b0", "#0072b2", "#d55e00"
_MOST_COMPONENTS = 12


def plot_cleaned(cleaned: CleanedRecording) -> Any:
    """Draw a cleaned recording on one page.

    Parameters
    ----------
    cleaned : CleanedRecording
        From `remove_stimulation_artifact`.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window.
    """
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(10.4, 7.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1.15, 1.0])
    _draw_spectra(above, cleaned)
    left, middle, right = below.subplots(1, 3, width_ratios=[1.2, 1.2, 0.8])
    _draw_components(left, cleaned)
    _draw_residue(middle, cleaned)
    _draw_injection(right, cleaned)
    verdict = {"cleaned": "power may be read", "residue": "an artefact is left: do not read power"}
    said = verdict.get(cleaned.status, "the method changes power: do not read it")
    figure.suptitle(
        f"{cleaned.kind} current at {cleaned.stim_hz:.3f} Hz, {cleaned.method}: {said}\n"
        "Phase relative to the current cannot be read at this frequency",
        fontsize=11,
        color=INK,
    )
    return figure


def _draw_spectra(figure: Any, cleaned: CleanedRecording) -> None:
    """Median spectrum over channels: overview, and close to the frequency."""
    freqs, *psds = cleaned.spectra
    lines = [
        (np.median(psd, axis=0) * 1e12, colour, name)
        for psd, colour, name in zip(
            psds,
            (_BEFORE, _AFTER, _REST),
            ("under current", "cleaned", "rest"),
            strict=True,
        )
    ]
    wide, close = figure.subplots(1, 2, width_ratios=[1.2, 1.0])
    low, high = cleaned.band_hz
    top = min(freqs[-1], max(45.0, 1.2 * cleaned.stim_hz))
    for axes, begin, end in ((wide, 1.0, top), (close, low, high)):
        inside = (freqs >= begin) & (freqs <= end)
        for power, colour, name in lines:
            axes.semilogy(freqs[inside], power[inside], color=colour, lw=1.3, label=name)
        axes.set_xlim(begin, end)
        axes.set_xlabel("frequency (Hz)", fontsize=SMALL)
        axes.tick_params(labelsize=SMALL)
        axes.spines[["top", "right"]].set_visible(False)
    wide.set_ylabel("power, median of channels (µV²/Hz)", fontsize=SMALL)
    wide.legend(fontsize=SMALL, frameon=False)
    f = cleaned.stim_hz
    for near, far, name in ((0.2, 0.3, "breath"), (1.0, 1.3, "heart")):
        for side in (-1, 1):
            edges = sorted((f + side * near, f + side * far))
            close.axvspan(*edges, color="#f0e442", alpha=0.35, lw=0)
        close.annotate(
            name,
            (f + 0.5 * (near + far), 0.99),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=SMALL - 1,
            rotation=90,
            color=INK,
        )
    close.set_title("around the frequency; shaded: sidebands", fontsize=SMALL + 1, color=INK)
    wide.set_title("spectra", fontsize=SMALL + 1, color=INK)


def _draw_components(axes: Any, cleaned: CleanedRecording) -> None:
    """Excess over rest of what was removed."""
    axes.set_title("removed, excess over rest", fontsize=SMALL + 1, color=INK)
    shown = cleaned.components[:_MOST_COMPONENTS]
    if not shown:
        axes.text(0.5, 0.5, "no spatial components", ha="center", va="center", fontsize=SMALL)
        axes.set_axis_off()
        return
    places = np.arange(len(shown))
    colours = [_REST if c.kind == "line" else _AFTER for c in shown]
    axes.barh(places, [c.excess_db for c in shown], color=colours)
    axes.set_yticks(
        places, [f"{c.kind}, {c.frequency_hz:.1f} Hz" for c in shown], fontsize=SMALL - 1
    )
    axes.invert_yaxis()
    axes.set_xlabel("dB", fontsize=SMALL)
    axes.tick_params(axis="x", labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    if len(cleaned.components) > len(shown):
        axes.set_xlabel(
            f"dB; {len(cleaned.components) - len(shown)} more not shown", fontsize=SMALL
        )


def _draw_residue(axes: Any, cleaned: CleanedRecording) -> None:
    """Power over rest at the line, its sidebands and beside them, before and after."""
    first = cleaned.residue[0]
    names = ("line", "breath", "heart", "beside")
    pairs = (first.line_db, first.breath_db, first.heart_db, first.near_db)
    places = np.arange(len(names))
    for k, (colour, label) in enumerate(((_BEFORE, "before"), (_AFTER, "after"))):
        values = [pair[k] for pair in pairs]
        bars = axes.bar(places + (k - 0.5) * 0.4, values, 0.4, color=colour, label=label)
        axes.bar_label(bars, [f"{round(v)}" for v in values], fontsize=SMALL - 1)
    axes.set_xticks(places, names, fontsize=SMALL)
    axes.axhline(0.0, color=INK, lw=0.8)
    axes.set_ylabel("over rest, median of channels (dB)", fontsize=SMALL)
    axes.set_title(f"left at {first.frequency_hz:.2f} Hz", fontsize=SMALL + 1, color=INK)
    axes.tick_params(axis="y", labelsize=SMALL)
    axes.margins(y=0.12)
    axes.legend(fontsize=SMALL, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_injection(axes: Any, cleaned: CleanedRecording) -> None:
    """What came back of a planted change."""
    planted = [test.planted_db for test in cleaned.injection]
    back = [test.recovered_db for test in cleaned.injection]
    places = np.arange(len(planted))
    axes.bar(places - 0.2, planted, 0.4, color=_BEFORE, label="planted")
    bars = axes.bar(places + 0.2, back, 0.4, color=_AFTER, label="came back")
    axes.bar_label(bars, [f"{value:+.1f}" for value in back], fontsize=SMALL - 1)
    axes.set_xticks(places, [f"{value:+g} dB" for value in planted], fontsize=SMALL)
    axes.axhline(0.0, color=INK, lw=0.8)
    axes.set_title("injection test (dB)", fontsize=SMALL + 1, color=INK)
    axes.tick_params(axis="y", labelsize=SMALL)
    axes.margins(y=0.2)
    axes.legend(fontsize=SMALL, frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
