"""What changed between a recording before and one after: power, connectivity, peak frequency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.channels import is_posterior, normal_name
from analysis.connectivity_change import EPOCH_S, ConnectivityChange, compare_connectivity
from analysis.errors import AnalysisError, UnusableRecording
from analysis.pairing import Pair, make_pair
from analysis.peak import PeakEstimate, find_peak
from analysis.power import RecordingSpectra, measure, percent_of_ln
from analysis.power_change import APERIODIC_SHIFT, PowerChange, compare_power
from analysis.statistics import MIN_SEGMENTS, Direction

EXPECTED = ("increase", "decrease", "none")
_PROTOCOL_KEYS = ("expected_direction", "stimulated_electrodes", "region")
_LEFT, _RIGHT = "13579", "2468"
CAUSE = (
    "one recording before and one after cannot show that the stimulation caused it; repeated "
    "sessions or a sham arm can"
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of `compare`.

    Parameters
    ----------
    power : PowerChange
        Band power.
    connectivity : ConnectivityChange or None
        Connectivity, None where the recordings do not support it.
    connectivity_reason : str or None
        Why there is none.
    peak_shift : PeakShift
        Peak frequency.
    peak_hz : float
        Centre of the band.
    direction : {"increase", "decrease", "none", "undetermined"}
        See the Notes of `compare`.
    expected_direction : str or None
        What the protocol predicts.
    as_predicted : bool or None
        None where nothing was predicted or the direction is undetermined.
    warnings : tuple of str
        What must be known to read the result.
    summary : str
        One plain sentence.
    pair : Pair
        The prepared recordings.
    before, after : RecordingSpectra
        Their spectra, for figures.
    """

    power: PowerChange
    connectivity: ConnectivityChange | None
    connectivity_reason: str | None
    peak_shift: PeakShift
    peak_hz: float
    direction: Direction
    expected_direction: str | None
    as_predicted: bool | None
    warnings: tuple[str, ...]
    summary: str
    pair: Pair
    before: RecordingSpectra
    after: RecordingSpectra

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of the command line; arrays stay out."""
        connectivity: dict[str, Any] = {"imcoh": None, "wpli2_debiased": None, "n_epochs": 0}
        if self.connectivity is not None:
            connectivity = self.connectivity.to_dict()
        return {
            "power": self.power.to_dict(),
            "connectivity": {**connectivity, "reason": self.connectivity_reason},
            "peak_hz": self.peak_hz,
            "peak_shift_hz": self.peak_shift.shift_hz,
            "peak_shift": self.peak_shift.to_dict(),
            "direction": self.direction,
            "expected_direction": self.expected_direction,
            "as_predicted": self.as_predicted,
            "preparation": {
                **self.pair.to_dict(),
                "n_segments": [self.before.n_segments, self.after.n_segments],
            },
            "warnings": list(self.warnings),
            "summary": self.summary,
        }

    def plot(self) -> Any:
        """Plot the spectra; see `analysis.figures_outcome` for topographies and connectivity."""
        from analysis.figures_outcome import plot_spectra

        return plot_spectra(self)


def compare(
    pre: Any,
    post: Any,
    *,
    peak_hz: float | None = None,
    band_half_width_hz: float = 2.0,
    picks: Sequence[str] | None = None,
    protocol_info: Mapping[str, Any] | None = None,
    discard_s: float = 3.0,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Outcome:
    """Compare a recording after stimulation with one before.

    Parameters
    ----------
    pre, post : mne.io.BaseRaw
        Recordings in the same state, free of stimulation; they are not changed.
    peak_hz : float, optional
        Centre of the band; found in `pre` when absent.
    band_half_width_hz : float
        Half width of the band.
    picks : sequence of str, optional
        Channels of the region; they come before the protocol's region. Without either: the
        parietal, parieto-occipital and occipital channels, or all where there are none.
    protocol_info : mapping, optional
        `expected_direction` ("increase", "decrease" or "none"), `stimulated_electrodes` (names) and
        `region` (a list of channels, or one of "posterior", "frontal", "left frontal",
        "right frontal", "central", "temporal", "all").
    discard_s : float
        Left out at the start of both recordings.
    n_bootstrap : int
        Resampled series behind each interval.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    Outcome
        Power, connectivity, peak shift, direction, and how far they may be trusted.

    Raises
    ------
    UnusableRecording
        If the recordings cannot be compared, or `pre` has no peak and none is given.
    AnalysisError
        If an argument makes no sense.

    Notes
    -----
    The band is fixed from the peak before and applied to both recordings. The primary number is the
    natural log of the ratio of band power, mean over the region, by Welch with 4 s Hann segments
    and half overlap. Its 95 % interval is a stationary block bootstrap in each recording (Politis
    and Romano 1994), stretched for the small number of blocks and for the slow fluctuation of power
    that the recordings themselves make plausible (`analysis.statistics`).

    Direction is read from that interval alone. *Increase* or *decrease*: it excludes 0. *None*: it
    holds 0 and lies within a factor of 1.25 either way, so that a change worth having is excluded.
    *Undetermined*: all else; a wide interval that holds 0 is no evidence of no change. Where
    raw power moved but at least half of the move is the aperiodic part's and power over it is not
    shown to move along, the rhythm is not said to have moved: none or undetermined, with a warning.
    The same samples on both sides are *none*. The p value is not used; it is given only where block
    permutation is valid, and is None with a reason elsewhere.

    What the interval covers is the difference between these two recordings. A drift slower than
    the recordings (drowsiness, time of day) looks the same as an effect, whatever the interval.
    """
    info = _protocol(protocol_info)
    if not (math.isfinite(band_half_width_hz) and band_half_width_hz > 0.0):
        raise AnalysisError(f"band_half_width_hz is {band_half_width_hz:g}: give a positive number")
    if peak_hz is not None and not (math.isfinite(peak_hz) and peak_hz > band_half_width_hz):
        raise AnalysisError(
            f"peak_hz is {peak_hz:g}: give a frequency above the half width of the band "
            f"({band_half_width_hz:g} Hz)"
        )
    pair = make_pair(pre, post, discard_s=discard_s)
    warnings = list(pair.warnings)
    region = _region(pair, picks, info.get("region"), warnings)
    peaks = find_peak(pre), find_peak(post)
    center_hz = peak_hz if peak_hz is not None else peaks[0].frequency_hz
    if center_hz is None:
        raise UnusableRecording(
            "the recording before has no individual peak to centre the band on "
            f"({'; '.join(peaks[0].reasons) or peaks[0].status}): give peak_hz"
        )
    band_hz = (center_hz - band_half_width_hz, center_hz + band_half_width_hz)
