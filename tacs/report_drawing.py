"""What the figures of the current share: colours, calm axes, keys, and data URIs.

Colours are those of Okabe and Ito (2008); every curve is also told apart by its line style.
"""

from __future__ import annotations

import base64
import io
from typing import Any

__all__ = [
    "GREY",
    "INK",
    "ORANGE",
    "SKY",
    "TITLE",
    "alike",
    "data_uri",
    "finish",
    "legend",
    "legend_above",
    "shown_s",
    "styles",
    "time_scale",
]

INK, GREY, BLUE, SKY, ORANGE = "#1a1a1a", "#6b6b6b", "#0072b2", "#a6cee9", "#d55e00"
STYLES = (
    (BLUE, "-"),
    (ORANGE, "--"),
    ("#009e73", "-."),
    ("#cc79a7", ":"),
    ("#56b4e9", (0, (5, 1))),
    ("#e69f00", (0, (1, 1))),
)
TITLE: Any = {"loc": "left", "size": 9, "color": INK}


def data_uri(figure: Any, *, dpi: int | None = None) -> str:
    """Return a figure as a data URI: SVG, or PNG where a resolution is given.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    dpi : int, optional
        Dots per inch of a PNG, for figures with very many shapes.
    """
    import matplotlib as mpl

    buffer = io.BytesIO()
    kind = "svg+xml" if dpi is None else "png"
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "tacs"}):
        if dpi is None:
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        else:
            figure.savefig(buffer, format="png", dpi=dpi)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def finish(axes: Any, xlabel: str | None, ylabel: str | None) -> None:
    """Calm axes."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, color=GREY)
    axes.margins(x=0.01)
    if xlabel is not None:
        axes.set_xlabel(xlabel, size=8.5)
    if ylabel is not None:
        axes.set_ylabel(ylabel, size=8.5)


def legend(axes: Any) -> None:
    """The key above the plot at the right, where it hides nothing."""
    axes.legend(
        fontsize=8,
        frameon=False,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.2,
        handlelength=2.4,
        ncols=6,
    )


def legend_above(figure: Any, axes: Any) -> None:
    """The key above all panels and the words of the marks."""
    figure.legend(
        *axes.get_legend_handles_labels(),
        fontsize=8,
        frameon=False,
        loc="outside upper right",
        handlelength=2.4,
        ncols=6,
    )


def alike(names: tuple[str, ...], rows: Any) -> list[tuple[str, Any, str, Any]]:
    """Curves that are the same drawn once: names, row, colour, line style."""
    import numpy as np

    groups: list[tuple[list[str], Any]] = []
    for name, row in zip(names, rows, strict=True):
        for known, other in groups:
            if np.allclose(row, other, atol=1e-9):
                known.append(name)
                break
        else:
            groups.append(([name], row))
    looks = styles(groups)
    return [
        (", ".join(known), row, *style) for (known, row), style in zip(groups, looks, strict=True)
    ]


def styles(names: Any) -> list[tuple[str, Any]]:
    """A colour and a line style for every electrode."""
    return [STYLES[index % len(STYLES)] for index in range(len(tuple(names)))]


def time_scale(duration_s: float) -> tuple[float, str]:
    """Minutes for long sessions."""
    return (60.0, "min") if duration_s > 150.0 else (1.0, "s")


def shown_s(frequency_hz: float) -> float:
    """A second, or ten cycles where that is shorter, or four where a second holds fewer."""
    return max(min(1.0, 10.0 / frequency_hz), 4.0 / frequency_hz)
