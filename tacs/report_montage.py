"""The montage seen from above: sites of the 10-10 system, electrodes, and loops as arrows."""

from __future__ import annotations

import math
import re
from typing import Any

from tacs.protocol import Loop, Montage

__all__ = ["plot_montage", "site_position"]

INK, GREY, BLUE, ORANGE = "#1a1a1a", "#8a8a8a", "#0072b2", "#d55e00"
RING_DEG = 72.0  # inclination of Fpz, T7, T8 and Oz; 90 is the line through nasion and inion

# Row: inclination of its midline site (front positive), azimuth of its ring site from the front.
_ROWS = {
    "Fp": (72.0, 18.0),
    "AF": (54.0, 36.0),
    "F": (36.0, 54.0),
    "FC": (18.0, 72.0),
    "FT": (18.0, 72.0),
    "C": (0.0, 90.0),
    "T": (0.0, 90.0),
    "CP": (-18.0, 108.0),
    "TP": (-18.0, 108.0),
    "P": (-36.0, 126.0),
    "PO": (-54.0, 144.0),
    "O": (-72.0, 162.0),
}
_APART = {
    "Nz": (90.0, 0.0),
    "Iz": (90.0, 180.0),
    "A1": (104.0, -92.0),
    "A2": (104.0, 92.0),
    "M1": (104.0, -112.0),
    "M2": (104.0, 112.0),
}
_LANDMARKS = (
    "Fp1 Fpz Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 Oz O2 "
    "FC5 FC1 FC2 FC6 CP5 CP1 CP2 CP6 AF3 AF4 PO3 PO4"
).split()


def site_position(site: str) -> tuple[float, float]:
    """Where a 10-10 site is drawn: seen from above, nose up, the head's outline at radius 1.

    Parameters
    ----------
    site : str
        10-10 name.

    Returns
    -------
    tuple of float
        x (right) and y (front).

    Notes
    -----
    Sites on an ideal sphere in steps of a tenth of the arcs, drawn with equal steps along every
    meridian: a scheme, not a measurement of a head.

    References
    ----------
    Nuwer, M. R. (2018). 10-10 electrode system for EEG recording. *Clin Neurophysiol*, 129(5),
    1103.
    """
    if site in _APART:
        return _flat(*_APART[site])
    match = re.fullmatch(r"([A-Za-z]*?)(z|\d+)", site)
    if match is None or match[1] not in _ROWS:
        raise ValueError(f"{site!r} is not a 10-10 site")
    midline_deg, ring_deg = _ROWS[match[1]]
    if match[2] == "z":
        return _flat(abs(midline_deg), 0.0 if midline_deg >= 0.0 else 180.0)
    number = int(match[2])
    side = 1.0 if number % 2 == 0 else -1.0
    step = (number + 1) // 2
    if step == 5:
        return _flat(90.0, side * ring_deg)
    if abs(midline_deg) == RING_DEG:
        return _flat(RING_DEG, side * ring_deg)
    middle = _vector(abs(midline_deg), 0.0 if midline_deg >= 0.0 else 180.0)
    edge = _vector(RING_DEG, side * ring_deg)
    return _flat(*_angles(_between(middle, edge, step / 4.0)))


def plot_montage(montage: Montage) -> Any:
    """Draw electrodes on a head seen from above, and every current loop as an arrow.

    Parameters
    ----------
    montage : Montage
        Electrodes and loops.

    Returns
    -------
    matplotlib.figure.Figure
        The arrow is the direction of the positive half-wave; the label is zero-to-peak mA.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 3.5), layout="constrained")
    axes: Any = figure.add_subplot()
    _draw_head(axes)
    used = {electrode.name for electrode in montage.electrodes}
    for site in _LANDMARKS:
        if site not in used:
            x, y = site_position(site)
            axes.plot(x, y, ".", color="#c4c4c4", ms=3)
    for index, loop in enumerate(montage.loops):
        _draw_loop(axes, loop, index)
    for electrode in montage.electrodes:
        x, y = site_position(electrode.name)
        axes.plot(x, y, "o", ms=21, mfc="white", mec=INK, mew=1.4, zorder=3)
        axes.text(x, y, electrode.name, ha="center", va="center", size=8.5, weight="bold", zorder=4)
    axes.set(xlim=(-1.3, 1.3), ylim=(-1.22, 1.3), aspect="equal")
    axes.axis("off")
    return figure


def _draw_loop(axes: Any, loop: Loop, index: int) -> None:
    """An arrow from source to sink, bent a little, with its current."""
    from matplotlib.patches import FancyArrowPatch

    start, end = site_position(loop.source), site_position(loop.sink)
    color = (BLUE, ORANGE)[index % 2]
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    # The arrow bends, and its label stands, to the side that leads away from the midline.
    middle_x = 0.5 * (start[0] + end[0])
    side = -1.0 if middle_x * dy < 0.0 else 1.0
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            connectionstyle=f"arc3,rad={0.16 * side}",
            arrowstyle="-|>,head_length=7,head_width=3.5",
            shrinkA=12,
            shrinkB=12,
            lw=1.8,
            color=color,
            zorder=2,
        )
    )
    x = middle_x + side * (0.08 * length + 0.07) * dy / length
    y = 0.5 * (start[1] + end[1]) - side * (0.08 * length + 0.07) * dx / length
    phase = f"\n{loop.phase_deg:g}°" if loop.phase_deg else ""
    axes.text(
        x,
        y,
        f"{loop.current_peak_ma:g} mA{phase}",
        color=color,
        size=8.5,
        ha="left" if x >= middle_x else "right",
        va="center",
        zorder=5,
        bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
    )


def _draw_head(axes: Any) -> None:
    """Outline, nose and ears."""
    from matplotlib.patches import Circle, Ellipse

    for x in (-1.0, 1.0):
        axes.add_patch(Ellipse((1.035 * x, 0.0), 0.13, 0.36, fc="white", ec=GREY, lw=1.2))
    axes.plot([-0.11, 0.0, 0.11], [0.994, 1.13, 0.994], color=GREY, lw=1.2)
    axes.add_patch(Circle((0.0, 0.0), 1.0, fc="white", ec=GREY, lw=1.4))


def _flat(inclination_deg: float, azimuth_deg: float) -> tuple[float, float]:
    """Equal steps along the meridian; 90 degrees is the outline."""
    radius, azimuth = inclination_deg / 90.0, math.radians(azimuth_deg)
    return radius * math.sin(azimuth), radius * math.cos(azimuth)


def _vector(inclination_deg: float, azimuth_deg: float) -> tuple[float, float, float]:
    polar, azimuth = math.radians(inclination_deg), math.radians(azimuth_deg)
    return (
        math.sin(polar) * math.sin(azimuth),
        math.sin(polar) * math.cos(azimuth),
        math.cos(polar),
    )


def _angles(vector: tuple[float, float, float]) -> tuple[float, float]:
    x, y, z = vector
    return math.degrees(math.acos(max(-1.0, min(1.0, z)))), math.degrees(math.atan2(x, y))


def _between(
    first: tuple[float, float, float], second: tuple[float, float, float], share: float
) -> tuple[float, float, float]:
    """Point on the great circle between two points of the sphere."""
    angle = math.acos(max(-1.0, min(1.0, sum(a * b for a, b in zip(first, second, strict=True)))))
    low, high = math.sin((1.0 - share) * angle), math.sin(share * angle)
    x, y, z = ((low * a + high * b) / math.sin(angle) for a, b in zip(first, second, strict=True))
    return x, y, z
