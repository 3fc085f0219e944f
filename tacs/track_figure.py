"""The figure of a person's course: panels on one axis of time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tacs.track import Track

__all__ = ["plot_track"]

# Okabe and Ito's colours, told apart by shape as well.
BLUE, ORANGE, GREEN, PURPLE, INK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#333333"
SHADES = (BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#E69F00", INK)
MARKERS = "osD^vPX"
STYLE = {
    "alert": (ORANGE, "-"),
    "adverse": (ORANGE, "--"),
    "course": (INK, ":"),
    "session": (INK, "-."),
}


def plot_track(track: Track) -> Any:
    """Plot a person's course.

    Parameters
    ----------
    track : Track
        From `tacs.track.track`.

    Returns
    -------
    matplotlib.figure.Figure
        From above: peak frequency with its 95 % interval and the minimal detectable change about
        the first; change of band power with its interval; charge of every session; one panel for
        each scale with its limits of remission and reliable change; events as lines through all.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    panels: list[tuple[Callable[[Any, Track], None], float]] = []
    if track.peaks:
        panels.append((_peaks, 1.2))
    if any(s.percent is not None for s in track.sessions):
        panels.append((_power, 1.2))
    if track.sessions:
        panels.append((_dose, 0.9))
    panels += [(_scale(number), 1.3) for number in range(len(track.scales))]
    heights = [height for _, height in panels] or [1.0]
    figure: Any = Figure(figsize=(10.0, 1.2 + 1.75 * sum(heights)), layout="constrained")
    if not panels:
        figure.text(0.5, 0.5, "no session and no rating yet", ha="center", va="center")
        return figure
    axes = figure.subplots(len(panels), sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for axis, (draw, _) in zip(axes, panels, strict=True):
        draw(axis, track)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.04)
    _events(axes, track)
    locator = AutoDateLocator()
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    figure.suptitle(
        f"Subject {track.subject}. Research use only. Not a medical device.", fontsize=10, x=0.01,
        ha="left",
    )  # fmt: skip
    return figure


def _peaks(axis: Any, track: Track) -> None:
    first = track.peaks[0]
    limits = [p.drift["detectable_hz"] for p in track.peaks if p.drift is not None]
    if limits:
        axis.axhspan(
            first.peak_hz - limits[0], first.peak_hz + limits[0], color=INK, alpha=0.08, lw=0,
            label="not told from the first peak\n(minimal detectable change)",
        )  # fmt: skip
    for point in track.peaks:
        if point.ci95_hz is not None:
            axis.plot([point.at] * 2, point.ci95_hz, color=BLUE, lw=1.5)
    at = [p.at for p in track.peaks]
    axis.plot(at, [p.peak_hz for p in track.peaks], "o-", color=BLUE, lw=0.8, ms=4)
    axis.set_ylabel("peak (Hz)")
    _legend(axis)


def _power(axis: Any, track: Track) -> None:
    axis.axhline(0.0, color=INK, lw=0.8)
    for point in track.sessions:
        if point.ci95_percent is not None:
            axis.plot([point.at] * 2, point.ci95_percent, color=BLUE, lw=1.5)
    drawn: dict[str, list[tuple[datetime, float]]] = {}
    for point in track.sessions:
        if point.percent is not None:
            kind = "blinded" if point.blinded else point.waveform or "kind unknown"
            drawn.setdefault(kind.replace("_", " "), []).append((point.at, point.percent))
    for number, (kind, points) in enumerate(sorted(drawn.items())):
        axis.plot(
            [at for at, _ in points], [value for _, value in points], MARKERS[number % 7],
            color=BLUE, mfc="white" if "sham" in kind else BLUE, ms=5, label=kind,
        )  # fmt: skip
    axis.set_ylabel("band power,\nafter vs before (%)")
    _legend(axis)


def _dose(axis: Any, track: Track) -> None:
    known = [s for s in track.sessions if s.charge_c is not None]
    if known:
        axis.vlines([s.at for s in known], 0.0, [s.charge_c for s in known], color=GREEN, lw=3)
        planned = [(s.at, s.planned_charge_c) for s in known if s.planned_charge_c is not None]
        axis.plot(
            [at for at, _ in planned], [charge for _, charge in planned], "_", color=INK, ms=9,
            label="planned",
        )  # fmt: skip
    hidden = [s.at for s in track.sessions if s.charge_c is None]
    if hidden:
        axis.plot(hidden, [0.0] * len(hidden), "v", color=INK, mfc="white", ms=5,
                  label="withheld or not known")  # fmt: skip
    axis.set_ylim(bottom=0.0)
    axis.set_ylabel("charge per\nsession (C)")
    _legend(axis)


def _scale(number: int) -> Callable[[Any, Track], None]:
    def draw(axis: Any, track: Track) -> None:
        course = track.scales[number]
        shade = SHADES[(number + 3) % len(SHADES)]
        points = [(p.at, p.total, p.prorated) for p in course.points if p.total is not None]
        axis.plot([at for at, _, _ in points], [total for _, total, _ in points],
                  MARKERS[number % 7] + "-", color=shade, ms=5, lw=1.2)  # fmt: skip
        for at, total, prorated in points:
            if prorated:
                axis.annotate("*", (at, total), textcoords="offset points", xytext=(4, 2))
        if course.remission_maximum is not None:
            axis.axhline(course.remission_maximum + 0.5, color=GREEN, lw=1.0, ls="--",
                         label=f"remission: {course.remission_maximum} or less")  # fmt: skip
        base = course.baseline
        changes = [p.reliable["threshold_points"] for p in course.points if p.reliable is not None]
        if base is not None and base.total is not None and changes:
            axis.axhspan(base.total - changes[0], base.total + changes[0], color=INK, alpha=0.08,
                         lw=0, label="no reliable change from the baseline")  # fmt: skip
        axis.set_ylim(bottom=min(0.0, *(total for _, total, _ in points)) if points else 0.0)
        axis.set_ylabel(f"{course.scale}\n(lower is better)")
        _legend(axis)

    return draw


def _events(axes: Any, track: Track) -> None:
    """A line through every panel, numbered at the top, named below the figure."""
    for number, event in enumerate(track.events, 1):
        color, line = STYLE[event.kind]
        for axis in axes:
            axis.axvline(event.at, color=color, ls=line, lw=0.8, alpha=0.7)
        axes[0].annotate(
            str(number), (event.at, 1.0), xycoords=("data", "axes fraction"), fontsize=7,
            ha="center", va="bottom", color=color,
        )  # fmt: skip
    if track.events:
        named = [f"{n} {e.at:%Y-%m-%d} {e.what}" for n, e in enumerate(track.events[:12], 1)]
        more = len(track.events) - 12
        axes[-1].set_xlabel(
            "\n".join([*named, *([f"and {more} more"] if more > 0 else [])]), fontsize=7,
            loc="left",
        )  # fmt: skip


def _legend(axis: Any) -> None:
    if axis.get_legend_handles_labels()[0]:
        axis.legend(
            fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5),
            borderaxespad=0.3,
        )  # fmt: skip
