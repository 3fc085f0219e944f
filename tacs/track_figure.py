"""The figure of a person's course: panels on one axis of time."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

from tacs.track import Track
from tacs.track_calendar import followed

__all__ = ["plot_track"]

# Okabe and Ito's colours, told apart by shape as well.
BLUE, ORANGE, GREEN, PURPLE, INK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#333333"
SHADES = (BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#E69F00", INK)
MARKERS = "osD^vPX"
STYLE = {
    "alert": (ORANGE, "-"),
    "adverse": (ORANGE, "--"),
    "course": (INK, ":"),
    "decision": (BLUE, "--"),
    "session": (INK, "-."),
}
# Of a visit: marker, colour, filled, word. Told apart without colour.
VISITS = {
    "done": ("o", GREEN, True, "done"),
    "late": ("D", GREEN, True, "done after the day of the first plan"),
    "extra": ("^", BLUE, True, "extra"),
    "missed": ("X", ORANGE, True, "missed"),
    "planned": ("o", INK, False, "planned"),
}
# A course that nobody goes on with misses a session on every day: drawn for so long.
MISSED_SHOWN = timedelta(days=21)
PERCENTS = (-80, -50, -20, 0, 25, 50, 100, 200, 400)


def plot_track(track: Track) -> Any:
    """Plot a person's course.

    Parameters
    ----------
    track : Track
        From `tacs.track.track`.

    Returns
    -------
    matplotlib.figure.Figure
        From above, on one axis of time: the calendar of the course; peak frequency with its 95 %
        interval, the minimal detectable change about the first and the frequency decided on;
        change of band power with its interval; change of connectivity; charge of every session;
        one panel for each scale with its limits of remission and reliable change; events as lines
        through all. Below, where recordings show it, how the after-effects faded.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    panels: list[tuple[Callable[[Any, Track], None], float]] = []
    if track.course is not None:
        panels.append((_calendar, 0.45))
    if track.peaks:
        panels.append((_peaks, 1.2))
    if any(s.percent is not None for s in track.sessions):
        panels.append((_power, 1.2))
    if any(s.imcoh_matched_change is not None for s in track.sessions):
        panels.append((_connectivity, 0.9))
    if track.sessions:
        panels.append((_dose, 0.9))
    panels += [(_scale(number), 1.3) for number in range(len(track.scales))]
    fading = followed(track.after_effects)
    heights = [height for _, height in panels] or [1.0]
    below = 1.3 if fading else 0.0
    figure: Any = Figure(figsize=(10.5, 1.4 + 1.6 * (sum(heights) + below)), layout="constrained")
    if not panels:
        figure.text(0.5, 0.5, "no session and no rating yet", ha="center", va="center")
        return figure
    timeline: Any = figure
    if fading:
        timeline, foot = figure.subfigures(2, height_ratios=(sum(heights) + 0.6, below))
        _fading(foot.subplots(), fading)
    axes = timeline.subplots(len(panels), sharex=True, height_ratios=heights, squeeze=False)[:, 0]
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


def _calendar(axis: Any, track: Track) -> None:
    course = track.course or {}
    visits, as_of = course["visits"], datetime.fromisoformat(course["as_of"])
    held = [v["day"] for v in visits if v["session"]]
    last = datetime.fromisoformat(max(held, default=course["start"])).date()
    left_out = 0
    for state, (marker, color, filled, word) in VISITS.items():
        days = [datetime.fromisoformat(v["day"]).date() for v in visits if v["state"] == state]
        if state == "missed":
            shown = [day for day in days if day - last <= MISSED_SHOWN]
            left_out, days = len(days) - len(shown), shown
        elif state == "planned" and left_out:
            days = []
        if days:
            at = [datetime.combine(day, time(12), tzinfo=UTC) for day in days]
            axis.plot(at, [0.0] * len(at), marker, ls="none", color=color, ms=6,
                      mfc=color if filled else "white", label=f"{word} ({len(days)})")  # fmt: skip
    if not left_out:
        axis.axvline(as_of, ymin=0.1, ymax=0.9, color=INK, lw=1.0)
        axis.annotate("as of", (as_of, 0.1), fontsize=7, xytext=(3, 3), textcoords="offset points")
    else:
        axis.annotate(f"and {left_out} more missed until {as_of:%Y-%m-%d}", (0.99, 0.85),
                      xycoords="axes fraction", ha="right", fontsize=7, color=ORANGE)  # fmt: skip
    axis.set_yticks([])
    axis.set_ylim(-0.3, 0.3)
    stands = "; ".join(f"{b['limit']}: {b['value']}" for b in course["standing"])
    axis.set_title(
        f"{course['schedule']}{', accelerated' if course['accelerated'] else ''}"
        f"{f'; stands still: {stands}' if stands else ''}",
        loc="left", fontsize=8, color=ORANGE if stands else INK, pad=10,
    )  # fmt: skip
    axis.set_ylabel("sessions")
    _legend(axis, columns=1, size=6.5)


def _fading(axis: Any, fading: list[Any]) -> None:
    """Power over the minutes after the current ended, by session."""
    axis.axhline(0.0, color=INK, lw=0.8)
    for number, one in enumerate(fading):
        shade, shift = SHADES[number % len(SHADES)], 0.25 * number
        middle = [0.5 * (b["from_min"] + b["to_min"]) + shift for b in one["bins"]]
        for at, part in zip(middle, one["bins"], strict=True):
            axis.plot([at] * 2, part["ci95_percent"], color=shade, lw=1.2)
        label = f"session {one['session']}"
        if one["w0"] is not None and one["tau_min"] is not None:
            label += f": {100.0 * one['w0']:+.0f} % fading with {one['tau_min']:.0f} min"
        elif one["reason"]:
            label += f": no curve\n({one['reason'].split(':')[0]})"
        axis.plot(middle, [b["percent"] for b in one["bins"]], MARKERS[number % 7], color=shade,
                  ms=4, label=label)  # fmt: skip
        if one["w0"] is not None and one["tau_min"] is not None:
            at = [middle[-1] * step / 60.0 for step in range(61)]
            curve = [100.0 * one["w0"] * math.exp(-t / one["tau_min"]) for t in at]
            axis.plot(at, curve, color=shade, lw=0.8, ls="--")
    axis.set_xlabel("minutes after the current ended", fontsize=8)
    axis.set_ylabel("band power (%)")
    axis.spines[["top", "right"]].set_visible(False)
    _legend(axis)


def _connectivity(axis: Any, track: Track) -> None:
    known = [s for s in track.sessions if s.imcoh_matched_change is not None]
    axis.axhline(0.0, color=INK, lw=0.8)
    axis.plot([s.at for s in known], [s.imcoh_matched_change for s in known], "s", color=PURPLE,
              ms=5, mec=INK, mew=0.5, label="imaginary coherence\nat matched power")  # fmt: skip
    axis.set_ylabel("connectivity,\nchange")
    _legend(axis)


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
    if track.decisions:
        when = [datetime.fromisoformat(str(d["at"])) for d in track.decisions]
        axis.step(when, [d["frequency_hz"] for d in track.decisions], where="post", color=ORANGE,
                  lw=1.2, label="frequency decided on")  # fmt: skip
        tuned = [(w, d["frequency_hz"]) for w, d in zip(when, track.decisions, strict=True)
                 if d["choice"] == "retune"]  # fmt: skip
        if tuned:
            axis.plot([w for w, _ in tuned], [hz for _, hz in tuned], "P", color=ORANGE, ms=8,
                      label="retuned")  # fmt: skip
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
    edges = [e for s in track.sessions for e in (s.ci95_percent or ())]
    edges += [s.percent for s in track.sessions if s.percent is not None]
    if min(edges) > -99.0:
        # A doubling is as far from no change as a halving; one wide interval hides no other.
        axis.set_yscale("function", functions=(_ratio_of, _percent_of))
        low, high = min(-20.0, *edges), max(25.0, *edges)
        axis.set_yticks([p for p in PERCENTS if low <= p <= high])
        axis.set_yticks([], minor=True)
        axis.set_ylim(_percent_of(_ratio_of(low) - 0.05), _percent_of(_ratio_of(high) + 0.05))
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


def _ratio_of(percent: Any) -> Any:
    """Log ratio of a change in percent."""
    import numpy as np

    return np.log1p(np.maximum(np.asarray(percent, float), -99.9) / 100.0)


def _percent_of(ratio: Any) -> Any:
    import numpy as np

    return 100.0 * np.expm1(ratio)


def _legend(axis: Any, columns: int = 1, size: float = 7.0) -> None:
    if axis.get_legend_handles_labels()[0]:
        axis.legend(
            fontsize=size, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5),
            borderaxespad=0.3, ncols=columns,
        )  # fmt: skip
