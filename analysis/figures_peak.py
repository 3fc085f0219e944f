"""Panels of a peak estimate: its spectrum, and the two halves of the recording.

Colours are those of Okabe and Ito (2008); every mark is told apart by its shape or line style too,
so that a page printed in grey says the same.
"""

from __future__ import annotations

from textwrap import fill, wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.estimate import Peak, PeakEstimate, PeakSpectrum, Stability

Array = NDArray[np.float64]

INK, GREY, BLUE, ORANGE = "#1b1b1b", "#6b6b6b", "#0072b2", "#d55e00"
PALE = "#efefef"
GAP = "\u00a0"  # keeps a number and its unit on one line
TICKS_HZ = (2, 4, 6, 8, 10, 13, 20, 30, 40)
SMALL = 8.0


def headline(estimate: PeakEstimate) -> str:
    """Say the result in one line.

    Parameters
    ----------
    estimate : PeakEstimate
        Whose.

    Returns
    -------
    str
        The peak with its interval, both peaks of a split rhythm, or that there is none.
    """
    frequency = estimate.frequency_hz
    if frequency is None:
        return "No peak reported"
    if is_split(estimate):
        both = " and ".join(f"{peak.frequency_hz:.2f}" for peak in by_frequency(estimate))
        return f"Split rhythm: {both} Hz, no interval"
    if estimate.ci95_hz is None:
        return f"Peak {frequency:.2f} Hz, no interval"
    low, high = estimate.ci95_hz
    height = "" if estimate.prominence_db is None else f", {estimate.prominence_db:.1f} dB"
    return f"Peak {frequency:.2f} Hz  (95 % interval {low:.2f}–{high:.2f} Hz{height})"


def is_split(estimate: PeakEstimate) -> bool:
    """Whether two peaks share the rhythm."""
    return estimate.frequency_hz is not None and len(estimate.peaks) > 1


def by_frequency(estimate: PeakEstimate) -> list[Peak]:
    """Peaks of an estimate, the slowest first."""
    return sorted(estimate.peaks, key=lambda peak: peak.frequency_hz)


def stability_words(stability: Stability) -> str:
    """Say how the two halves of the recording compare.

    Parameters
    ----------
    stability : Stability
        First against second half.

    Returns
    -------
    str
        One or two sentences with units.
    """
    halves = (("first", stability.first_hz), ("second", stability.second_hz))
    shown = [f"{name} half {value:.2f}{GAP}Hz" for name, value in halves if value is not None]
    absent = [name for name, value in halves if value is None]
    if len(absent) == 2:
        return "Neither half of the recording shows a peak of its own."
    if absent:
        return f"{_capital(shown[0])}; the {absent[0]} half shows no peak of its own."
    text = _capital(", ".join(shown))
    if stability.difference_hz is not None:
        text += f"; difference {_signed(stability.difference_hz)}{GAP}Hz"
    if stability.ci95_difference_hz is not None:
        low, high = stability.ci95_difference_hz
        text += f" (95{GAP}% interval {_signed(low)} to {_signed(high)}{GAP}Hz)"
    verdict = {
        True: "No shift can be told from chance.",
        False: "The peak moved within the recording.",
        None: "Whether the peak moved cannot be judged.",
    }[stability.stable]
    return f"{text}. {verdict}"


def draw_spectrum(
    axes: Any, estimate: PeakEstimate, spectrum: PeakSpectrum, *, columns: int = 3
) -> None:
    """Draw the spectrum with its background, the fit, and the peak with its interval.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    estimate : PeakEstimate
        What was found.
    spectrum : PeakSpectrum
        Its curves.
    columns : int
        Columns of the key.
    """
    low, high = spectrum.band_hz
    axes.axvspan(low, high, color=PALE, lw=0, zorder=0, label=f"searched {low:g}–{high:g} Hz")
    axes.plot(spectrum.freqs_hz, spectrum.power_db, color=INK, lw=1.1, label="measured")
    axes.plot(spectrum.fit_freqs_hz, spectrum.model_db, color=BLUE, lw=2.4, alpha=0.75, label="fit")
    axes.plot(
        spectrum.fit_freqs_hz,
        spectrum.background_db,
        color=BLUE,
        lw=1.3,
        ls="--",
        label="background of the fit",
    )
    exponent = estimate.aperiodic_exponent
    slope = "1/f background" if exponent is None else f"1/f background, exponent {exponent:.2f}"
    if estimate.aperiodic_knee_hz is not None:
        slope += f", knee {estimate.aperiodic_knee_hz:.1f} Hz"
    axes.plot(spectrum.freqs_hz, spectrum.aperiodic_db, color=GREY, lw=1.2, ls=":", label=slope)
    floor, top = _limits_db(spectrum, len(_doubts(estimate)))
    _mark_peaks(axes, estimate)
    cross = estimate.cross_check
    if cross is not None and cross.frequency_hz is not None:
        height = np.interp(cross.frequency_hz, spectrum.freqs_hz, spectrum.power_db)
        axes.plot(
            cross.frequency_hz,
            height + 0.045 * (top - floor),
            ls="none",
            marker="v",
            ms=7,
            mfc="white",
            mec=INK,
            mew=1.2,
            label=f"{cross.method}'s peak, {cross.frequency_hz:.2f} Hz",
        )
    axes.set_title(headline(estimate), fontsize=11, loc="left", color=INK)
    _frequency_axis(axes, 2.0, float(spectrum.freqs_hz[-1]))
    axes.set_ylim(floor, top)
    axes.set_ylabel("Relative power (dB)", fontsize=9)
    _note(axes, estimate)
    legend_below(axes, columns)


def _mark_peaks(axes: Any, estimate: PeakEstimate) -> None:
    """The peak with its interval; of a split rhythm both lines, and no interval."""
    frequency = estimate.frequency_hz
    if frequency is None:
        return
    if is_split(estimate):
        for peak in estimate.peaks:
            chosen = peak.frequency_hz == chosen_hz(estimate)
            role = "used by a recipe" if chosen else "second peak"
            axes.axvline(
                peak.frequency_hz,
                color=ORANGE,
                lw=1.5,
                ls="-" if chosen else (0, (4, 2)),
                label=f"{peak.frequency_hz:.2f} Hz, {role}",
            )
        return
    if estimate.ci95_hz is not None:
        axes.axvspan(
            *estimate.ci95_hz, color=ORANGE, alpha=0.3, lw=0, zorder=0.5, label="95 % interval"
        )
    axes.axvline(frequency, color=ORANGE, lw=1.4, label=f"peak, {frequency:.2f} Hz")


def chosen_hz(estimate: PeakEstimate) -> float:
    """Which peak of a split rhythm the estimate stands for."""
    own = estimate.frequency_hz or 0.0
    return float(min((p.frequency_hz for p in estimate.peaks), key=lambda hz: abs(hz - own)))


def _note(axes: Any, estimate: PeakEstimate) -> None:
    """Whose it is, and what must be read with the figure: at the upper right, over the slope."""
    who = f"subject {estimate.subject}, " if estimate.subject else ""
    first = f"{who}{estimate.n_channels_used} channels, {estimate.seconds_used:.0f}{GAP}s"
    place = {"xycoords": "axes fraction", "ha": "right", "va": "top", "parse_math": False}
    axes.annotate(first, (0.99, 0.985), fontsize=SMALL, color=GREY, **place)
    lines = _doubts(estimate)
    if lines:
        axes.annotate(
            "\n".join(lines),
            (0.98, 0.91),
            ma="left",
            fontsize=SMALL,
            color=INK,
            bbox={"facecolor": "white", "edgecolor": ORANGE, "boxstyle": "round,pad=0.4"},
            **place,
        )


def _doubts(estimate: PeakEstimate) -> list[str]:
    """Why there is no peak, or why not to rely on it, in short lines."""
    doubts = [] if estimate.frequency_hz is not None else list(estimate.reasons)
    if estimate.provisional:
        doubts.append("Provisional: too little was recorded to rely on this")
    if estimate.replication:
        doubts.append("Published method, for comparison only: not for a plan")
    return [line for doubt in doubts for line in wrap(doubt, 36)]


def _limits_db(spectrum: PeakSpectrum, lines: int) -> tuple[float, float]:
    """Range of the fitted part, with room for marks and so many lines; a stop band falls below."""
    fitted = (spectrum.freqs_hz >= spectrum.fit_freqs_hz[0]) & (
        spectrum.freqs_hz <= spectrum.fit_freqs_hz[-1]
    )
    slow = (spectrum.freqs_hz >= 2.0) & (spectrum.freqs_hz <= 4.0)
    shown = np.concatenate([spectrum.power_db[fitted], spectrum.aperiodic_db[fitted]])
    low, high = float(shown.min()), float(shown.max())
    low = max(low - 6.0, min(low, float(spectrum.power_db.min())))
    high = max(high, float(spectrum.power_db[slow].max(initial=high)))
    return low - 0.06 * (high - low), high + (0.14 + 0.04 * lines) * (high - low)


def _frequency_axis(axes: Any, low_hz: float, high_hz: float) -> None:
    """Logarithmic frequencies with plain numbers."""
    axes.set_xscale("log")
    axes.minorticks_off()
    ticks = [tick for tick in TICKS_HZ if low_hz <= tick <= high_hz]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlim(low_hz, high_hz)
    axes.set_xlabel("Frequency (Hz)", fontsize=9)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def legend_below(axes: Any, columns: int, *, gap: float = 0.13) -> None:
    """The key below the axis, by a share of its height, where it hides nothing."""
    axes.legend(
        frameon=False,
        fontsize=SMALL,
        loc="upper left",
        bbox_to_anchor=(-0.02, -gap),
        borderaxespad=0.0,
        ncols=columns,
        handlelength=2.6,
        columnspacing=1.4,
    )


def draw_halves(
    axes: Any, estimate: PeakEstimate, spectrum: PeakSpectrum, *, width: int = 60
) -> None:
    """Draw the spectra of the first and of the second half, and say how they compare.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    estimate : PeakEstimate
        What was found.
    spectrum : PeakSpectrum
        With `halves_db`.
    width : int
        Letters to a line of the sentence.
    """
    low, high = spectrum.band_hz
    edges = (max(2.0, low - 4.0), min(float(spectrum.freqs_hz[-1]), high + 9.0))
    shown = (spectrum.freqs_hz >= edges[0]) & (spectrum.freqs_hz <= edges[1])
    axes.axvspan(low, high, color=PALE, lw=0, zorder=0)
    halves = np.asarray(spectrum.halves_db)[:, shown]
    stability = estimate.stability
    places = (None, None) if stability is None else (stability.first_hz, stability.second_hz)
    looks = (("first half", BLUE, "-", 1.8), ("second half", ORANGE, (0, (4, 1.5)), 1.8))
    for row, place, (name, colour, style, weight) in zip(halves, places, looks, strict=True):
        label = name if place is None else f"{name}, peak {place:.2f} Hz"
        axes.plot(spectrum.freqs_hz[shown], row, color=colour, ls=style, lw=weight, label=label)
        if place is not None:
            axes.axvline(place, color=colour, ls=style, lw=1.0, zorder=1)
    words = "First half against second half" if stability is None else stability_words(stability)
    axes.set_title(fill(words, width), fontsize=9.5, loc="left", color=INK)
    _frequency_axis(axes, *edges)
    axes.set_ylabel("Relative power (dB)", fontsize=9)
    legend_below(axes, 2, gap=0.2)


def _capital(text: str) -> str:
    """A sentence begins with a capital."""
    return text[:1].upper() + text[1:]


def _signed(value: float) -> str:
    """A difference with its sign."""
    text = f"{value:+.2f}".replace("-", "−")
    return "0.00" if text[1:] == "0.00" else text
