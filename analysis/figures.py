"""Figures of a peak estimate, and scalp maps; every axis carries its unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.estimate import PeakEstimate, PeakSpectrum
from analysis.figures_channels import draw_channels, ranked
from analysis.figures_peak import INK, SMALL, draw_halves, draw_spectrum

__all__ = ["plot_peak", "plot_peak_panels", "topomap"]

Array = NDArray[np.float64]

FEW_NAMES = 32
ROWS_BESIDE = 18
SHARPNESS_DPI = 200.0


def plot_peak(estimate: PeakEstimate) -> Any:
    """Draw what an estimate rests on: spectrum, scalp map, channels, and the two halves.

    Parameters
    ----------
    estimate : PeakEstimate
        Fresh from `find_peak`; one read from a file has lost its spectrum.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window. What the estimate does not carry is left out.

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
    with_map = _has_map(estimate, spectrum)
    below = [bool(estimate.channel_table), spectrum.halves_db is not None]
    rows = len(ranked(estimate.channel_table, ROWS_BESIDE)[0])
    heights = [4.3] + ([max(3.6, 1.5 + 0.17 * rows)] if any(below) else [])
    wide = with_map or all(below)
    figure: Any = Figure(figsize=(10.4 if wide else 7.2, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    if with_map:
        left, right = parts[0].subfigures(1, 2, width_ratios=[2.2, 1.0])
        draw_spectrum(left.subplots(), estimate, spectrum)
        _draw_map(right, estimate, spectrum)
    else:
        draw_spectrum(parts[0].subplots(), estimate, spectrum)
    if any(below):
        places = parts[1].subfigures(1, sum(below), squeeze=False)[0]
        if below[0]:
            draw_channels(places[0], estimate, most=ROWS_BESIDE)
        if below[1]:
            draw_halves(places[-1].subplots(), estimate, spectrum)
    return figure


def plot_peak_panels(estimate: PeakEstimate) -> dict[str, Any]:
    """Draw each part of the figure on its own, at the width of a page.

    Parameters
    ----------
    estimate : PeakEstimate
        Any; one without a spectrum has at most its channels.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        Of "spectrum", "channels", "topography" and "halves" those that the estimate can fill.
    """
    from matplotlib.figure import Figure

    figures: dict[str, Any] = {}
    spectrum = estimate.spectrum
    if spectrum is not None:
        figures["spectrum"] = Figure(figsize=(5.8, 4.7), layout="constrained")
        draw_spectrum(figures["spectrum"].subplots(), estimate, spectrum, columns=2)
    if estimate.channel_table:
        rows, _ = ranked(estimate.channel_table)
        size = (5.4, 1.7 + 0.19 * len(rows))
        figures["channels"] = Figure(figsize=size, layout="constrained")
        draw_channels(figures["channels"], estimate)
    if spectrum is not None and _has_map(estimate, spectrum):
        size = (3.7, 4.3)
        figures["topography"] = Figure(figsize=size, dpi=SHARPNESS_DPI, layout="constrained")
        _draw_map(figures["topography"], estimate, spectrum)
    if spectrum is not None and spectrum.halves_db is not None:
        figures["halves"] = Figure(figsize=(5.8, 3.7), layout="constrained")
        draw_halves(figures["halves"].subplots(), estimate, spectrum, width=72)
    return figures


def _has_map(estimate: PeakEstimate, spectrum: PeakSpectrum) -> bool:
    """Whether there is a peak to map, and enough electrodes with a known place."""
    return estimate.frequency_hz is not None and int(_positions_known(spectrum.info).sum()) >= 4


def _draw_map(figure: Any, estimate: PeakEstimate, spectrum: PeakSpectrum) -> None:
    """Where on the head the rhythm stands out, with the electrodes' names."""
    axes = figure.subplots()
    own = spectrum.prominence_db is not None
    values = spectrum.channel_db if spectrum.prominence_db is None else spectrum.prominence_db
    limits = (min(0.0, float(values.min())), max(1.0, float(values.max()))) if own else None
    image = topomap(
        axes, values, spectrum.info, cmap="YlGnBu", limits=limits, marked=estimate.channels
    )
    what = "Prominence" if own else "Power"
    axes.set_title(f"{what} at {estimate.frequency_hz:.2f} Hz", fontsize=10, color=INK)
    bar = figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.75, pad=0.04)
    whose = "the channel's own background" if own else "the channel's mean"
    bar.set_label(f"dB over {whose}; large dots: used", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)


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
    marked: Sequence[str] | None = None,
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
    marked : sequence of str, optional
        Channels to mark; where it is given, electrodes are named as far as there is room.

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
    names = list(placed["ch_names"])
    image, _ = mne.viz.plot_topomap(
        np.asarray(values)[known],
        placed,
        axes=ax,
        show=False,
        contours=0,
        sensors="k.",
        names=None if marked is None else names,
        cmap=cmap,
        vlim=limits or (None, None),
        extrapolate="local",  # no colour where nobody measured
    )
    if marked is not None:
        _name_electrodes(ax, set(marked))
    return image


def _name_electrodes(axes: Any, marked: set[str]) -> None:
    """Larger dots for marked electrodes; names beside the dots as far as there is room."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import offset_copy

    names = list(axes.texts)
    for text in names:
        if text.get_text() in marked:
            axes.plot(*text.get_position(), "o", ms=4.6, mfc=INK, mec="white", mew=0.8, zorder=6)
    with_room = _with_room([(*t.get_position(), t.get_text()) for t in names], marked)
    above = offset_copy(axes.transData, fig=axes.figure, y=2.4, units="points")
    for text in names:
        if text.get_text() not in with_room:
            text.remove()
            continue
        text.set(
            transform=above,
            va="bottom",
            fontsize=7.5 if len(names) <= FEW_NAMES else 6.0,
            color=INK,
            parse_math=False,
            path_effects=[withStroke(linewidth=1.8, foreground="white")],
            zorder=7,
        )


def _with_room(labels: list[tuple[float, float, str]], marked: set[str]) -> set[str]:
    """Names that cover neither another name nor another electrode's dot, marked ones first."""
    spread = max(max(x for x, _, _ in labels) - min(x for x, _, _ in labels), 1e-9)
    letter = spread * (0.034 if len(labels) <= FEW_NAMES else 0.027)
    kept: list[tuple[float, float, str]] = []
    for x, y, name in sorted(labels, key=lambda label: label[2] not in marked):
        half = 0.5 * letter * len(name)
        beside = all(
            abs(x - u) > half + 0.5 * letter * len(other) or abs(y - v) > 2.2 * letter
            for u, v, other in kept
        )
        off_dots = all(
            abs(x - u) > half + 0.3 * letter or not -0.3 * letter < v - y < 2.6 * letter
            for u, v, other in labels
            if other != name
        )
        if beside and off_dots:
            kept.append((x, y, name))
    return {name for _, _, name in kept}
