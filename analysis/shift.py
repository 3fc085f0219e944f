"""Peak frequency before and after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from analysis.peak import ALPHA_BAND_HZ, PeakEstimate


@dataclass(frozen=True, slots=True)
class PeakShift:
    """Peak frequency after minus before.

    Parameters
    ----------
    pre_hz, post_hz : float or None
        Peaks found in each recording.
    shift_hz : float or None
        Difference, None where one recording has no peak.
    ci95_hz : (float, float) or None
        95 % interval of the difference, from those of the two peaks.
    reason : str or None
        Why there is no difference.
    """

    pre_hz: float | None
    post_hz: float | None
    shift_hz: float | None
    ci95_hz: tuple[float, float] | None
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "pre_hz": self.pre_hz,
            "post_hz": self.post_hz,
            "ci95_hz": None if self.ci95_hz is None else list(self.ci95_hz),
            "reason": self.reason,
        }


def search_band(peak_hz: float | None) -> tuple[float, float]:
    """Where to look for the peaks: the alpha band, or 3 Hz about a peak outside it.

    Parameters
    ----------
    peak_hz : float or None
        Centre of the band compared, if it is given.

    Returns
    -------
    (float, float)
        Band for `find_peak`.
    """
    if peak_hz is None or ALPHA_BAND_HZ[0] <= peak_hz <= ALPHA_BAND_HZ[1]:
        return ALPHA_BAND_HZ
    return max(3.0, peak_hz - 3.0), max(5.0, min(40.0, peak_hz + 3.0))


def peak_shift(pre: PeakEstimate, post: PeakEstimate) -> PeakShift:
    """Difference of the two peaks, with the interval of a difference.

    Parameters
    ----------
    pre, post : PeakEstimate
        Peaks before and after.

    Returns
    -------
    PeakShift
        The half width is the root of the sum of squares of the two half widths.
    """
    missing = [
        f"{side}: {'; '.join(peak.reasons) or peak.status}"
        for side, peak in (("before", pre), ("after", post))
        if peak.frequency_hz is None
    ]
    if pre.frequency_hz is None or post.frequency_hz is None:
        reason = f"no peak ({', '.join(missing)})"
        return PeakShift(pre.frequency_hz, post.frequency_hz, None, None, reason)
    shift = post.frequency_hz - pre.frequency_hz
    if pre.ci95_hz is None or post.ci95_hz is None:
        return PeakShift(pre.frequency_hz, post.frequency_hz, shift, None, None)
    half = math.hypot(*(0.5 * (ci[1] - ci[0]) for ci in (pre.ci95_hz, post.ci95_hz)))
    return PeakShift(pre.frequency_hz, post.frequency_hz, shift, (shift - half, shift + half), None)
