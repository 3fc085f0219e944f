"""What the handling of artefacts did to the number itself: the change with it and without."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import UnusableRecording
from analysis.pairing import Pair
from analysis.power import measure, percent_of_ln

Array = NDArray[np.float64]

_TOLD_FROM = 0.1


def without_handling(
    pair: Pair, region: tuple[str, ...], band_hz: tuple[float, float], ln_ratio: float
) -> tuple[dict[str, Any] | None, list[str]]:
    """Change of the region's power had nothing been done about artefacts.

    Parameters
    ----------
    pair : Pair
        The prepared recordings.
    region : tuple of str
        Channels of the region.
    band_hz : (float, float)
        Band.
    ln_ratio : float
        The change with handling.

    Returns
    -------
    dict or None
        ``region_ln_ratio`` with handling, ``as_recorded`` without, and ``average_reference``
        without but against the average of the same channels, None where the reference is the
        recorded one; None for the whole where nothing was handled.
    list of str
        A line where the change as recorded is another by 10 % or more.
    """
    plain = pair.without
    if plain is None:
        return None, []
    rows = [plain.channels.index(name) for name in region if name in plain.channels]
    kept = [plain.channels.index(name) for name in pair.channels]
    recorded = _change(plain, plain.before_uv, plain.after_uv, rows, band_hz)
    averaged = None
    if pair.handling.ica is not None:
        sides = [data - data[kept].mean(axis=0) for data in (plain.before_uv, plain.after_uv)]
        averaged = _change(plain, sides[0], sides[1], rows, band_hz)
    told = {
        "region_ln_ratio": ln_ratio,
        "as_recorded": recorded,
        "average_reference": averaged,
    }
    if recorded is None or abs(recorded - ln_ratio) < _TOLD_FROM:
        return told, []
    text = (
        f"without handling of artefacts the change would be {percent_of_ln(recorded):+.0f} % "
        f"instead of {percent_of_ln(ln_ratio):+.0f} %"
    )
    if averaged is not None:
        text += f" ({percent_of_ln(averaged):+.0f} % by the average reference alone)"
    return told, [text]


def _change(
    pair: Pair, before_uv: Array, after_uv: Array, rows: list[int], band_hz: tuple[float, float]
) -> float | None:
    """Log ratio of band power, mean over rows; None where no segment is clean."""
    try:
        power = [
            measure(data, pair.sfreq_hz, rows, band_hz, bad=bad).band[:, rows].mean()
            for data, bad in ((before_uv, pair.bad_before), (after_uv, pair.bad_after))
        ]
    except UnusableRecording:
        return None
    return float(np.log(power[1] / power[0]))
