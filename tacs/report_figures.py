"""Figures of the current: what a protocol prescribes, what was commanded, what was delivered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tacs.protocol import Protocol
from tacs.report_drawing import (
    GREY,
    INK,
    ORANGE,
    SKY,
    TITLE,
    alike,
    finish,
    legend,
    legend_above,
    shown_s,
    styles,
    time_scale,
)
from tacs.report_record import Commanded
from tacs.report_words import clock
from tacs.waveform import Waveform

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Trace",
    "plot_full_current",
    "plot_ramp_up",
    "plot_session_current",
    "plot_waveform",
]

WIDTH_IN = 8.2
BINS = 900  # columns of a band: about the pixels of a printed column


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The delivered current.

    Parameters
    ----------
    samples_ma : ndarray, shape (n_electrodes, n_samples)
        Milliampere.
    columns : tuple of str
        Electrodes.
    rate_hz : float
        Samples per second.
    start_s : float
        First sample, in seconds from the start of the programme.
    """

    samples_ma: NDArray[np.float64]
    columns: tuple[str, ...]
    rate_hz: float
    start_s: float

    @property
    def end_s(self) -> float:
        """Just after the last sample."""
        return self.start_s + int(self.samples_ma.shape[1]) / self.rate_hz

    def between(self, from_s: float, to_s: float) -> tuple[Any, Any]:
        """Return times and samples of a stretch, shapes (n,) and (n_electrodes, n)."""
        import numpy as np

        n = self.samples_ma.shape[1]
        low = min(max(round((from_s - self.start_s) * self.rate_hz), 0), n)
        high = min(max(round((to_s - self.start_s) * self.rate_hz), low), n)
        return self.start_s + np.arange(low, high) / self.rate_hz, self.samples_ma[:, low:high]


def plot_waveform(protocol: Protocol) -> Any:
    """Preview the current that a protocol prescribes.

    Parameters
    ----------
    protocol : Protocol
        The prescription.

    Returns
    -------
    matplotlib.figure.Figure
        The envelope at every electrode over the whole session, and one second at full current.
    """
    import numpy as np
    from matplotlib.figure import Figure

    waveform = Waveform(protocol)
    knots_s = np.array([0.0, *(s.end_s for s in waveform.segments)])
    levels = np.array([waveform.segments[0].start_level, *(s.end_level for s in waveform.segments)])
    figure = Figure(figsize=(WIDTH_IN, 4.6), layout="constrained")
    panels = figure.subplots(2, 1)
    scale, unit = time_scale(protocol.duration_s)
    whole: Any = panels[0]
    peaks_ma = np.array([[waveform.peak_ma(name)] for name in waveform.electrodes])
    for names, row, color, style in alike(waveform.electrodes, peaks_ma * levels):
        for sign, label in ((1.0, names), (-1.0, "_nolegend_")):
            whole.plot(knots_s / scale, sign * row, color=color, ls=style, lw=1.4, label=label)
    whole.axhline(0.0, color=GREY, lw=0.6)
    finish(whole, f"time ({unit})", "current (mA)")
    sort = {
        "tacs": "",
        "am_tacs": ", modulated carrier",
        "active_sham": ", active sham",
        "passive_sham": ", passive sham: no current",
    }
    whole.set_title(
        f"{protocol.name}{sort[protocol.waveform]}: envelope at {protocol.frequency_hz:g} Hz",
        **TITLE,
    ).set_parse_math(False)
    legend(whole)

    top_s = next((s.start_s for s in waveform.segments if s.kind == "hold"), 0.0)
    seconds = shown_s(protocol.frequency_hz)
    times_s = top_s + np.linspace(0.0, seconds, 1200)
    zoom: Any = panels[1]
    for names, row, color, style in alike(waveform.electrodes, waveform.sample(times_s)):
        zoom.plot(times_s - top_s, row, color=color, ls=style, lw=1.4, label=names)
    finish(zoom, f"time after {top_s:g} s (s)", "current (mA)")
    zoom.set_title(f"{seconds:.3g} s at full current, out of every electrode", **TITLE)
    legend(zoom)
    return figure


def plot_session_current(
    trace: Trace | None, commanded: Commanded, marks: Sequence[tuple[float, str]] = ()
) -> Any:
    """Draw the whole session: commanded envelope, and the delivered current where measured.

    Parameters
    ----------
    trace : Trace or None
        Delivered current.
    commanded : Commanded
        The level over time.
    marks : sequence of (float, str)
        Instants in seconds with a word each, drawn as vertical lines.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per electrode.
    """
    end_s = commanded.times_s[-1] if trace is None else max(commanded.times_s[-1], trace.end_s)
    figure, panels = _panels(commanded, 1.25)
    scale, unit = time_scale(end_s)
    for axes, name in zip(panels, commanded.peaks_ma, strict=True):
        _envelopes(axes, trace, commanded, name, (0.0, end_s), scale)
        for at_s, _ in marks:
            axes.axvline(at_s / scale, color=INK, lw=0.8, ls=":")
    for at_s, word in marks:
        panels[0].annotate(
            word,
            (at_s / scale, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            size=7.5,
            ha="center",
            va="bottom",
            color=INK,
        ).set_parse_math(False)
    finish(panels[-1], f"time since the start ({unit})", None)
    legend_above(figure, panels[0])
    return figure


def plot_ramp_up(trace: Trace | None, commanded: Commanded, ramp_up_s: float) -> Any:
    """Draw the ramp-up, cycle by cycle.

    Parameters
    ----------
    trace : Trace or None
        Delivered current.
    commanded : Commanded
        The level over time.
    ramp_up_s : float
        Planned length; a tenth more is drawn.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per electrode.
    """
    figure, panels = _panels(commanded, 1.15)
    for axes, name in zip(panels, commanded.peaks_ma, strict=True):
        _envelopes(axes, trace, commanded, name, (0.0, 1.1 * ramp_up_s), 1.0)
    finish(panels[-1], "time since the start (s)", None)
    legend_above(figure, panels[0])
    return figure


def plot_full_current(trace: Trace, commanded: Commanded, at_s: float) -> Any:
    """Draw about one second at full current: delivered over commanded.

    Parameters
    ----------
    trace : Trace
        Delivered current.
    commanded : Commanded
        Peaks and frequency.
    at_s : float
        Where to begin, in seconds since the start of the programme.

    Returns
    -------
    matplotlib.figure.Figure

    Notes
    -----
    The commanded sine is shifted in time to fit the delivered one by least squares, because a
    command does not say when in its cycle the device begins; its height and frequency are as
    commanded.
    """
    import numpy as np
    from matplotlib.figure import Figure

    times_s, samples = trace.between(at_s, at_s + shown_s(commanded.frequency_hz))
    figure = Figure(figsize=(WIDTH_IN, 2.5), layout="constrained")
    axes: Any = figure.add_subplot()
    turn = np.exp(-2j * np.pi * commanded.frequency_hz * times_s)
    looks = styles(trace.columns)
    for row, name, (color, style) in zip(samples, trace.columns, looks, strict=True):
        if commanded.carrier_hz is not None:
            axes.plot(
                times_s - at_s, row, color=color, ls=style, lw=1.2, label=f"{name}, delivered"
            )
            continue
        angle = np.angle(np.sum(row * turn)) if row.size else 0.0
        sine = commanded.peaks_ma[name] * np.cos(
            2.0 * np.pi * commanded.frequency_hz * times_s + angle
        )
        axes.plot(times_s - at_s, sine, color=color, alpha=0.25, lw=5.0, zorder=1.5)
    if commanded.carrier_hz is None:
        axes.plot([], [], color=GREY, alpha=0.35, lw=5.0, label="commanded")
    finish(axes, f"time after {clock(at_s)} (s)", "current (mA)")
    legend(axes)
    return figure


def _envelopes(
    axes: Any,
    trace: Trace | None,
    commanded: Commanded,
    name: str,
    span_s: tuple[float, float],
    scale: float,
) -> None:
    """Commanded envelope as lines, delivered current as the band between its extremes."""
    import numpy as np

    if trace is not None and name in trace.columns:
        times_s, samples = trace.between(*span_s)
        # A column holds a whole cycle or more, so that the band shows the envelope and no beat.
        step = max(
            math.ceil(trace.rate_hz / min(commanded.frequencies_hz)), math.ceil(times_s.size / BINS)
        )
        n = times_s.size // step
        if n > 1:
            columns = samples[trace.columns.index(name), : n * step].reshape(n, step)
            axes.fill_between(
                times_s[: n * step].reshape(n, step).mean(axis=1) / scale,
                columns.min(axis=1),
                columns.max(axis=1),
                color=SKY,
                lw=0.0,
                label="delivered",
            )
    times, levels = np.asarray(commanded.times_s), np.asarray(commanded.levels)
    shown = (times >= span_s[0]) & (times <= span_s[1])
    # At a step two corners share one instant: keep both, in their order, with their own levels.
    ends = np.setdiff1d([t for t in span_s if t <= commanded.times_s[-1]], times)
    inner = np.concatenate([times[shown], ends])
    corners = np.concatenate([levels[shown], np.interp(ends, times, levels)])
    order = np.argsort(inner, kind="stable")
    inner, height = inner[order], commanded.peaks_ma[name] * corners[order]
    for sign, label in ((1.0, "commanded envelope"), (-1.0, "_nolegend_")):
        axes.plot(inner / scale, sign * height, color=ORANGE, lw=1.1, label=label)
    axes.set_ylabel(f"{name} (mA)", size=8.5)
    axes.set_xlim(span_s[0] / scale, span_s[1] / scale)


def _panels(commanded: Commanded, height_in: float) -> tuple[Any, list[Any]]:
    """One panel per electrode, one time axis."""
    from matplotlib.figure import Figure

    n = len(commanded.peaks_ma)
    figure = Figure(figsize=(WIDTH_IN, 0.75 + height_in * n), layout="constrained")
    axes = figure.subplots(n, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for one in axes:
        finish(one, None, None)
    return figure, list(axes)
