"""Figures of a peak estimate and scalp maps; every axis carries its unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.estimate import PeakEstimate, PeakSpectrum

Array = NDArray[np.float64]

_INK, _GREY, _BLUE, _ORANGE = "#1b1b1b", "#7a7a7a", "#0072b2", "#d55e00"


def plot_peak(estimate: PeakEstimate) -> Any:
    """Draw the spectrum with its background, the peak with its interval, and the scalp map.

    Parameters
    ----------
    estimate : PeakEstimate
        Fresh from `find_peak`; one read from a file has lost its spectrum.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window.

    Raises
    ------
    AnalysisError
        If the estimate carries no spectrum.
    """
    from matplotlib.figure import Figure

    spectrum = estimate.spectrum
    if spectrum is None:
        why = "; ".join(estimate.reasons) or "it was read from a file"
        raise AnalysisError(f"this estimate has no spectrum to draw ({why}); run find_peak again")
    placed = _placed(spectrum)
    with_map = estimate.frequency_hz is not None and int(placed.sum()) >= 4
    figure = Figure(figsize=(9.6, 4.2) if with_map else (6.8, 4.2), layout="constrained")
    if with_map:
        axes, side = figure.subplots(1, 2, width_ratios=[2.4, 1.0])
        image = topomap(side, spectrum.channel_db, spectrum.info)
        side.set_title(f"Power at {estimate.frequency_hz:.1f} Hz", fontsize=10, color=_INK)
        bar = figure.colorbar(image, ax=side, orientation="horizontal", shrink=0.75, pad=0.04)
        bar.set_label("dB over the channel's mean", fontsize=8)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
    else:
        axes = figure.subplots()
    _draw_spectrum(axes, estimate, spectrum)
    return figure


def _draw_spectrum(axes: Any, estimate: PeakEstimate, spectrum: PeakSpectrum) -> None:
    """Spectrum panel."""
    low, high = spectrum.band_hz
    axes.axvspan(low, high, color="#f2f2f2", lw=0, label=f"band {low:g}–{high:g} Hz")
    shown = spectrum.freqs_hz >= 2.0
    axes.plot(spectrum.freqs_hz[shown], spectrum.power_db[shown], color=_INK, lw=1.2)
    axes.lines[-1].set_label("spectrum")
    axes.plot(
        spectrum.freqs_hz[shown],
        spectrum.aperiodic_db[shown],
        color=_GREY,
        lw=1.0,
        ls="--",
        label=f"1/f background, exponent {estimate.aperiodic_exponent:.2f}",
    )
    axes.plot(spectrum.fit_freqs_hz, spectrum.model_db, color=_BLUE, lw=1.6, alpha=0.85)
    axes.lines[-1].set_label("fit")
    if estimate.frequency_hz is not None and estimate.ci95_hz is not None:
        first, last = estimate.ci95_hz
        axes.axvspan(first, last, color=_ORANGE, alpha=0.25, lw=0, label="95 % interval")
        axes.axvline(estimate.frequency_hz, color=_ORANGE, lw=1.4)
        title = (
            f"Peak {estimate.frequency_hz:.2f} Hz  (95 % interval {first:.2f}–{last:.2f} Hz, "
            f"{estimate.prominence_db:.1f} dB)"
        )
    else:
        title = "No peak reported"
        axes.text(
            0.02,
            0.03,
            _wrapped(estimate.reasons),
            transform=axes.transAxes,
            fontsize=8,
            color=_ORANGE,
            va="bottom",
        )
    axes.set_title(title, fontsize=11, loc="left", color=_INK)
    axes.set_xscale("log")
    top = float(spectrum.freqs_hz[-1])
    ticks = [tick for tick in (2, 4, 6, 8, 10, 13, 20, 30, 40) if tick <= top]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(2.0, top)
    axes.set_ylim(*_limits_db(spectrum))
    axes.set_xlabel("Frequency (Hz)")
    axes.set_ylabel("Relative power (dB)")
    axes.spines[["top", "right"]].set_visible(False)
    who = f"subject {estimate.subject}, " if estimate.subject else ""
    note = f"{who}{estimate.n_channels_used} channels, {estimate.seconds_used:.0f} s"
    axes.legend(frameon=False, fontsize=8, loc="upper right", title=note, title_fontsize=8)


def _limits_db(spectrum: PeakSpectrum) -> tuple[float, float]:
    """Range of the fitted part, with room for the legend; a filter's stop band may fall below."""
    fitted = (spectrum.freqs_hz >= spectrum.fit_freqs_hz[0]) & (
        spectrum.freqs_hz <= spectrum.fit_freqs_hz[-1]
    )
    shown = np.concatenate([spectrum.power_db[fitted], spectrum.aperiodic_db[fitted]])
    low, high = float(shown.min()), float(max(shown.max(), spectrum.power_db[1:4].max()))
    span = high - low
    return low - 0.1 * span, high + 0.1 * span


def _wrapped(reasons: tuple[str, ...]) -> str:
    """Reasons on lines that fit the panel."""
    from textwrap import fill

    return "\n".join(fill(reason, 62) for reason in reasons)


def _placed(spectrum: PeakSpectrum) -> NDArray[np.bool_]:
    """Which channels have a position on the head."""
    return _positions_known(spectrum.info)


def _positions_known(info: Any) -> NDArray[np.bool_]:
    """Whether each channel has a position."""
    places = np.array([channel["loc"][:3] for channel in info["chs"]], dtype=float)
    return np.asarray(np.isfinite(places).all(axis=1) & (np.abs(places).sum(axis=1) > 0.0))


def topomap(
    ax: Any,
    values: Array,
    info: Any,
    *,
    cmap: str = "viridis",
    limits: tuple[float, float] | None = None,
) -> Any:
    """Draw a scalp map of one value per channel; channels without a position are left out.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    values : ndarray, shape (n_channels,)
        One value for each channel of `info`.
    info : mne.Info
        Channels with positions.
    cmap : str
        Colour map.
    limits : (float, float), optional
        Values of the two ends of the colour map; the data's own by default.

    Returns
    -------
    matplotlib.image.AxesImage
        For a colour bar.

    Raises
    ------
    AnalysisError
        If fewer than four channels have a position.
    """
    import mne

    known = _positions_known(info)
    if len(values) != len(known) or known.sum() < 4:
        raise AnalysisError(
            f"a scalp map needs one value for each channel and four electrode positions; got "
            f"{len(values)} values, {len(known)} channels, {int(known.sum())} positions"
        )
    placed = mne.pick_info(info, np.flatnonzero(known), copy=True, verbose="ERROR")
    image, _ = mne.viz.plot_topomap(
        np.asarray(values)[known],
        placed,
        axes=ax,
        show=False,
        contours=0,
        sensors="k.",
        cmap=cmap,
        vlim=limits or (None, None),
        extrapolate="local",  # no colour where nobody measured
    )
    return image
