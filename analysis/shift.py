"""Peak frequency before and after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from analysis.peak import ALPHA_BAND_HZ, PeakEstimate

NORMAL_95 = 1.959964
EXPECTED = (
    "no shift is expected: 10 Hz stimulation moved the peak by 0.02 ± 0.04 Hz, whatever power did"
)


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
    retest_sd_hz : float or None
        Standard deviation of the difference of two recordings without stimulation between them,
        as the site measured it.
    """

    pre_hz: float | None
    post_hz: float | None
    shift_hz: float | None
    ci95_hz: tuple[float, float] | None
    reason: str | None
    retest_sd_hz: float | None = None

    @property
    def se_hz(self) -> float | None:
        """Standard error of the difference, None without an interval."""
        if self.ci95_hz is None:
            return None
        return (self.ci95_hz[1] - self.ci95_hz[0]) / (2.0 * NORMAL_95)

    @property
    def beyond_retest(self) -> bool | None:
        """Whether the difference is more than two test-retest deviations; None if not known."""
        if self.shift_hz is None or self.retest_sd_hz is None:
            return None
        return abs(self.shift_hz) > 2.0 * self.retest_sd_hz

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "pre_hz": self.pre_hz,
            "post_hz": self.post_hz,
            "ci95_hz": None if self.ci95_hz is None else list(self.ci95_hz),
            "se_hz": self.se_hz,
            "retest_sd_hz": self.retest_sd_hz,
            "beyond_retest": self.beyond_retest,
            "expected_hz": 0.0,
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


def peak_shift(
    pre: PeakEstimate, post: PeakEstimate, *, retest_sd_hz: float | None = None
) -> PeakShift:
    """Difference of the two peaks, with the interval of a difference.

    Parameters
    ----------
    pre, post : PeakEstimate
        Peaks before and after.
    retest_sd_hz : float, optional
        The site's test-retest standard deviation of the difference.

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
        return PeakShift(pre.frequency_hz, post.frequency_hz, None, None, reason, retest_sd_hz)
    shift = post.frequency_hz - pre.frequency_hz
    if pre.ci95_hz is None or post.ci95_hz is None:
        return PeakShift(pre.frequency_hz, post.frequency_hz, shift, None, None, retest_sd_hz)
    half = math.hypot(*(0.5 * (ci[1] - ci[0]) for ci in (pre.ci95_hz, post.ci95_hz)))
    interval = shift - half, shift + half
    return PeakShift(pre.frequency_hz, post.frequency_hz, shift, interval, None, retest_sd_hz)


def shift_cautions(shift: PeakShift) -> list[str]:
    """Return what must be said about a shift: it is not expected, and may be spontaneous.

    Parameters
    ----------
    shift : PeakShift
        The shift.

    Returns
    -------
    list of str
        One line, or none.
    """
    if shift.shift_hz is None:
        return []
    text = f"peak {shift.shift_hz:+.2f} Hz"
    if shift.se_hz is not None:
        text += f" (standard error {shift.se_hz:.2f} Hz)"
    if shift.beyond_retest:
        return [
            f"{text}: more than twice the site's test-retest deviation of "
            f"{shift.retest_sd_hz:g} Hz; {EXPECTED}"
        ]
    apart = shift.ci95_hz is not None and (shift.ci95_hz[0] > 0.0 or shift.ci95_hz[1] < 0.0)
    if apart and shift.retest_sd_hz is None:
        return [
            f"{text}: its interval excludes 0, but how much the peak differs between recordings "
            f"without stimulation is not known here; {EXPECTED}"
        ]
    return []
