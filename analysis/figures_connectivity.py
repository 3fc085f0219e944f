"""Figures of connectivity: matrices, circle, global spectrum, network effect.

Changes are drawn at equal signal-to-noise ratio where there is a match, since a change as recorded
holds the change of power. Colours are those of `analysis.figures_outcome`, readable with any form
of colour blindness; what is tested stands out by line width too.
"""

from __future__ import annotations

import math
import re
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity_sums import BY_NAME, to_matrix

if TYPE_CHECKING:
    from analysis.connectivity_change import ConnectivityChange
    from analysis.metric_change import MetricChange
    from analysis.outcome import Outcome

Array = NDArray[np.float64]

BEFORE, AFTER, STIMULATION, INK = "#0072B2", "#D55E00", "#009E73", "#333333"
SIGNED = "RdBu_r"
CIRCLE_PAIRS = 40
_ROWS = ("Fp", "AF", "F", "FT", "FC", "T", "C", "TP", "CP", "P", "PO", "O", "I")
_NAME = re.compile(r"^([A-Za-z]+?)(z|\d+)h?$")


def plot_connectivity(outcome: Outcome) -> Any:
    """Plot the change of connectivity between all pairs of channels.

    Parameters
    ----------
    outcome : Outcome
        Result of `analysis.compare`.

    Returns
    -------
    matplotlib.figure.Figure
        One matrix per primary measure, channels from front to back and left to right, or a line
        that says why there is none.
    """
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(11.0, 6.4), layout="constrained")
    found = outcome.connectivity
    if found is None:
        return _absent(figure, f"No connectivity: {outcome.connectivity_reason}")
    order = sorted(range(len(found.channels)), key=lambda row: _place(found.channels[row]))
    shown = [one for one in found.metrics.values() if one.primary]
    for axes, one in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        change = _change_of(one, len(found.channels))[np.ix_(order, order)]
        np.fill_diagonal(change, np.nan)
        reach = max(float(np.nanquantile(np.abs(change), 0.99)), 1e-3)
        image = axes.imshow(change, cmap=SIGNED, vmin=-reach, vmax=reach, interpolation="nearest")
        axes.set_title(_title(one), fontsize=9)
        _label(axes, [found.channels[row] for row in order])
        bar = figure.colorbar(image, ax=axes, shrink=0.8, extend="both")
        bar.set_label(f"Change, after minus before ({_how(one)})")
    figure.suptitle(_heading(found), fontsize=10, x=0.01, ha="left")
    return figure


def plot_circle(outcome: Outcome) -> Any:
    """Plot the pairs whose connectivity changed most on a circle of channels.

    Parameters
    ----------
    outcome : Outcome
        Result of `analysis.compare`.

    Returns
    -------
    matplotlib.figure.Figure
        One circle per primary measure, left channels on the left, the front on top. Thick: pairs
        that changed, corrected for all pairs; thin: the largest others.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(11.0, 7.0), layout="constrained")
    found = outcome.connectivity
    if found is None:
        return _absent(figure, f"No connectivity: {outcome.connectivity_reason}")
    angles = circle_angles(found.channels)
    places = np.column_stack([np.cos(angles), np.sin(angles)])
    shown = [one for one in found.metrics.values() if one.primary]
    tested = () if found.network is None else found.network.pairs.found
    first, second = np.tril_indices(len(found.channels), -1)
    for axes, one in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        changed = {pair.channels for pair in tested if pair.measure == one.name}
        values = _change_of(one, len(found.channels))[first, second]
        reach = max(float(np.abs(values).max()), 1e-3)
        colours = ScalarMappable(Normalize(-reach, reach), colormaps[SIGNED])
        strong_pairs = [
            pair
            for pair in range(values.size)
            if (found.channels[second[pair]], found.channels[first[pair]]) in changed
        ]
        largest = np.argsort(np.abs(values))[-CIRCLE_PAIRS:]
        for pair in sorted({*strong_pairs, *largest.tolist()}):
            strong = pair in strong_pairs
            _chord(
                axes,
                places[first[pair]],
                places[second[pair]],
                color=colours.to_rgba(values[pair]),
                linewidth=3.0 if strong else 0.9,
                zorder=3 if strong else 2,
                alpha=1.0 if strong else 0.75,
            )
        axes.plot(*places.T, "o", color=INK, markersize=4, zorder=4)
        for name, angle, place in zip(found.channels, angles, places, strict=True):
            left = math.cos(angle) < 0.0
            axes.text(
                *(1.06 * place),
                name,
                rotation=math.degrees(angle) + (180.0 if left else 0.0),
                rotation_mode="anchor",
                ha="right" if left else "left",
                va="center",
                fontsize=8 if len(found.channels) <= 40 else 6,
            )
        axes.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
        axes.axis("off")
        axes.set_title(_title(one), fontsize=9)
        bar = figure.colorbar(colours, ax=axes, shrink=0.6, orientation="horizontal", pad=0.02)
        bar.set_label(f"Change, after minus before ({_how(one)})")
    figure.suptitle(
        textwrap.fill(
            f"The {min(CIRCLE_PAIRS, first.size)} largest changes of {first.size} pairs; "
            f"{_tested(found)}. Front on top, left on the left.",
            140,
        ),
        fontsize=10,
        x=0.01,
        ha="left",
    )
    return figure


def plot_global_spectrum(outcome: Outcome) -> Any:
    """Plot mean connectivity over all pairs against frequency, before and after.

    Parameters
    ----------
    outcome : Outcome
        Result of `analysis.compare`.

    Returns
    -------
    matplotlib.figure.Figure
        Curves with jackknife intervals, peaks and the stimulation frequency.
    """
    from matplotlib.figure import Figure

    from analysis import jackknife

    figure: Any = Figure(figsize=(9.0, 5.2), layout="constrained")
    found = outcome.connectivity
    if found is None or found.network is None:
        return _absent(figure, f"No connectivity: {outcome.connectivity_reason}")
    spectrum = found.network.spectrum
    axes = figure.subplots()
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.axvspan(*found.band_hz, color="#F0E442", alpha=0.3, zorder=0, label="band compared")
    width = jackknife.quantile(10)
    sides = (("before", spectrum.before, BEFORE, "-"), ("after", spectrum.after, AFTER, "--"))
    for number, (name, curve, colour, line) in enumerate(sides):
        half = width * spectrum.errors[number]
        axes.fill_between(
            spectrum.freqs_hz, curve - half, curve + half, color=colour, alpha=0.2, linewidth=0
        )
        peak = spectrum.peaks[number]
        told = "no peak" if peak.frequency_hz is None else f"peak {peak.frequency_hz:.1f} Hz"
        axes.plot(
            spectrum.freqs_hz, curve, line, color=colour, linewidth=2, label=f"{name}, {told}"
        )
        if peak.frequency_hz is not None:
            height = float(np.interp(peak.frequency_hz, spectrum.freqs_hz, curve))
            axes.plot(peak.frequency_hz, height, "ov"[number], color=colour, markersize=9)
    if spectrum.stimulation_hz is not None:
        axes.axvline(
            spectrum.stimulation_hz,
            color=STIMULATION,
            linewidth=2,
            linestyle=":",
            label=f"stimulation, {spectrum.stimulation_hz:g} Hz",
        )
    axes.set_xlim(float(spectrum.freqs_hz[0]), float(spectrum.freqs_hz[-1]))
    axes.set_xlabel("Frequency (Hz)")
    axes.set_ylabel(f"Mean over pairs,\n{BY_NAME[spectrum.measure].title}")
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    told = f"no distance to the stimulation frequency: {spectrum.reason}"
    if spectrum.approach_hz is not None and spectrum.ci95_approach_hz is not None:
        low, high = spectrum.ci95_approach_hz
        told = (
            f"the peak is {abs(spectrum.approach_hz):.2f} Hz "
            f"{'nearer to' if spectrum.approach_hz >= 0.0 else 'further from'} the stimulation "
            f"frequency after (change of distance towards it, 95 % interval {low:+.2f} to "
            f"{high:+.2f} Hz)"
        )
    text = (
        f"Connectivity at every frequency (shaded: 95 % interval at each); {told}. Heights rise "
        "with power."
    )
    figure.suptitle(textwrap.fill(text, 110), fontsize=10, x=0.01, ha="left")
    return figure


def plot_network_effect(outcome: Outcome) -> Any:
    """Plot the change of each node against its baseline connectivity with the stimulated site.

    Parameters
    ----------
    outcome : Outcome
        Result of `analysis.compare`.

    Returns
    -------
    matplotlib.figure.Figure
        One point per channel outside the site, or the reason for none.
    """
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(7.5, 5.4), layout="constrained")
    found = outcome.connectivity
    if found is None or found.network is None:
        return _absent(figure, f"No connectivity: {outcome.connectivity_reason}")
    effect = found.network.effect
    if effect.rho is None or effect.p is None:
        return _absent(figure, f"No network effect: {effect.reason}")
    axes = figure.subplots()
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.plot(effect.baseline, effect.change, "o", color=BEFORE, markersize=6)
    for name, x, y in zip(effect.nodes, effect.baseline, effect.change, strict=True):
        axes.annotate(name, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7)
    axes.set_xlabel("Connectivity with the stimulated site before")
    axes.set_ylabel("Change of mean connectivity with all channels\nat equal signal-to-noise ratio")
    axes.spines[["top", "right"]].set_visible(False)
    null = {
        "rotation": "against maps turned about the vertical axis",
        "permutation": "against permuted channels, places unknown: too small for smooth maps",
    }[str(effect.null)]
    text = (
        "Does the change follow the baseline connectivity of the stimulated site? Spearman "
        f"{effect.rho:+.2f} (odd and even blocks crosswise), p = {effect.p:.3f} {null}."
    )
    figure.suptitle(textwrap.fill(text, 95), fontsize=10, x=0.01, ha="left")
    return figure


def circle_angles(channels: tuple[str, ...]) -> Array:
    """Angle of each channel on a circle: front on top, left on the left, midline in between.

    Parameters
    ----------
    channels : tuple of str
        Channel names; those that are no 10-05 names follow the right side.

    Returns
    -------
    ndarray, shape (n_channels,)
        Angles in radian, all different.
    """
    keys = [_place(name) for name in channels]
    left = [row for row, key in enumerate(keys) if key[1] < 0.0]
    right = [row for row, key in enumerate(keys) if key[1] >= 0.0]
    left.sort(key=lambda row: (keys[row][0], -keys[row][1]))
    right.sort(key=lambda row: (-keys[row][0], -keys[row][1]))
    found = np.empty(len(channels))
    # Counter-clockwise from the top: the left side down to the back, then the right side up.
    for start, side in ((math.pi / 2.0, left), (3.0 * math.pi / 2.0, right)):
        found[side] = start + (np.arange(len(side)) + 0.5) * math.pi / max(len(side), 1)
    return found


def _change_of(one: MetricChange, n_channels: int) -> Array:
    """Change of every pair without the direction of lag, matched where there is a match."""
    if one.matched_pairs is not None:
        return to_matrix(one.matched_pairs[1] - one.matched_pairs[0], n_channels)
    matrices = (one.matrix_pre, one.matrix_post)
    before, after = map(np.abs, matrices) if BY_NAME[one.name].signed else matrices
    return np.asarray(after - before)


def _how(one: MetricChange) -> str:
    """Which change is drawn."""
    return "as recorded" if one.matched_pairs is None else "equal signal-to-noise"


def _title(one: MetricChange) -> str:
    """Measure, means and both changes with their 95 % intervals."""
    low, high = one.ci95_change
    lines = [
        f"{one.title[0].upper()}{one.title[1:]}",
        f"as recorded {one.pre:.3f} to {one.post:.3f}: {one.change:+.3f} "
        f"(95 % interval {low:+.3f} to {high:+.3f})",
    ]
    if one.matched_change is not None and one.corrected_matched_change is not None:
        low, high = one.corrected_matched_change
        lines.append(
            f"power-matched {one.matched_change:+.3f} (95 % interval {low:+.3f} to {high:+.3f}): "
            f"{one.direction}"
        )
    return "\n".join(lines)


def _heading(found: ConnectivityChange) -> str:
    """Band, epochs, and how to read them."""
    low_hz, high_hz = found.band_hz
    text = (
        f"Connectivity at {low_hz:.1f}-{high_hz:.1f} Hz, {found.n_epochs} epochs of "
        f"{found.epoch_s:g} s each, reference {found.reference}, mean over pairs and its "
        f"change: {found.note}."
    )
    return textwrap.fill(text, 140)


def _tested(found: ConnectivityChange) -> str:
    """What the test of all pairs said."""
    if found.network is None:
        return "pairs are not tested"
    pairs = found.network.pairs
    if pairs.reason is not None:
        return f"pairs are not tested ({pairs.reason})"
    if not pairs.found:
        return f"none is significant, corrected for all pairs (least p {pairs.p_least:.2f})"
    return f"thick: p < .05, corrected for all pairs ({len(pairs.found)})"


def _chord(axes: Any, start: Array, end: Array, **style: Any) -> None:
    """Curve between two points of the circle, bent towards the middle."""
    along = np.linspace(0.0, 1.0, 40)[:, None]
    middle = 0.3 * (start + end) / 2.0
    curve = (1 - along) ** 2 * start + 2 * along * (1 - along) * middle + along**2 * end
    axes.plot(*curve.T, solid_capstyle="round", **style)


def _absent(figure: Any, text: str) -> Any:
    """Figure that says why there is nothing in it."""
    figure.text(0.5, 0.5, textwrap.fill(text, 100), ha="center", va="center")
    return figure


def _place(name: str) -> tuple[int, float, str]:
    """Sort key of a channel: front to back, then left to right."""
    match = _NAME.match(name)
    if match is None or match.group(1) not in _ROWS:
        return len(_ROWS), 0.0, name
    number = 0 if match.group(2) == "z" else int(match.group(2))
    return _ROWS.index(match.group(1)), float(-number if number % 2 else number), name


def _label(axes: Any, names: list[str]) -> None:
    """Channel names on both axes, or the names of their rows on the head where they are many."""
    if len(names) <= 24:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        return
    rows = [_ROWS[place] if (place := _place(name)[0]) < len(_ROWS) else "other" for name in names]
    starts = [i for i, row in enumerate(rows) if i == 0 or row != rows[i - 1]]
    ends = [*starts[1:], len(rows)]
    middles = [(start + end - 1) / 2.0 for start, end in zip(starts, ends, strict=True)]
    labels = [rows[start] for start in starts]
    axes.set_xticks(middles, labels, fontsize=8, rotation=90)
    axes.set_yticks(middles, labels, fontsize=8)
    axes.tick_params(length=0)
    for start in starts[1:]:
        axes.axhline(start - 0.5, color=INK, linewidth=0.4)
        axes.axvline(start - 0.5, color=INK, linewidth=0.4)
    axes.set_xlabel("Channels by row, front of the head to back", fontsize=9)
