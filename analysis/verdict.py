"""When a fitted rhythm may be reported as a person's peak, and with what reservations.

The limits were set on made recordings (1/f exponents 0.8 to 2, with and without a knee, bursts,
neighbouring rhythms): without a rhythm in the band no bump both passed the presence test and
reached 2 dB, while rhythms 5 dB over the background at the best electrode were found.
"""

from __future__ import annotations

import numpy as np

from analysis.rhythm import RhythmFit
from analysis.spectrum import SpectralFit

PRESENCE_LEVEL = 0.01
MIN_PROMINENCE_DB = 2.0
MAX_INTERVAL_HZ = 2.0
MIN_SHARE_IN_BAND = 0.75
SECOND_NOTED = 0.4
SECOND_EQUAL = 0.8
DISAGREEMENT_HZ = 0.5
NARROW_HZ = 0.5
BROAD_HZ = 3.0
SD_FLOOR_HZ = 0.02


def interval_hz(rhythm: RhythmFit) -> tuple[float, float]:
    """95 % interval of the peak.

    Parameters
    ----------
    rhythm : RhythmFit
        Fit with its bootstrap replicates.

    Returns
    -------
    (float, float)
        The t interval on the larger of bootstrap and information error, widened to the 2.5 and
        97.5 percentiles of the replicates.
    """
    from scipy.stats import t

    error = max(float(rhythm.replicates_hz.std()), rhythm.information_sd_hz, SD_FLOOR_HZ)
    half = float(t.ppf(0.975, max(rhythm.n_blocks - 1.0, 2.0))) * error
    low, high = np.quantile(rhythm.replicates_hz, [0.025, 0.975])
    return min(rhythm.peak_hz - half, float(low)), max(rhythm.peak_hz + half, float(high))


def objections(
    rhythm: RhythmFit, interval: tuple[float, float], band_hz: tuple[float, float]
) -> list[str]:
    """Every reason not to report this peak.

    Parameters
    ----------
    rhythm : RhythmFit
        Fit of the rhythm.
    interval : (float, float)
        Its 95 % interval, Hz.
    band_hz : (float, float)
        Where the peak may lie.

    Returns
    -------
    list of str
        Empty when the peak may be reported.
    """
    low, high = band_hz
    place = f"{rhythm.peak_hz:.1f} Hz"
    if rhythm.p_value >= PRESENCE_LEVEL:
        return [f"no rhythm stands out of the background between {low:g} and {high:g} Hz"]
    reasons = []
    if rhythm.prominence_db < MIN_PROMINENCE_DB:
        reasons.append(
            f"the largest bump, at {place}, stands only {max(rhythm.prominence_db, 0.0):.1f} dB "
            f"over the background; {MIN_PROMINENCE_DB:g} dB is the least"
        )
    width = interval[1] - interval[0]
    if width > MAX_INTERVAL_HZ:
        reasons.append(
            f"the peak near {place} cannot be located: its 95 % interval is {width:.1f} Hz wide, "
            f"{MAX_INTERVAL_HZ:g} Hz is the most"
        )
    beyond = not (low <= interval[0] and interval[1] <= high)
    if rhythm.share_in_band < MIN_SHARE_IN_BAND or (beyond and width <= MAX_INTERVAL_HZ):
        reasons.append(
            f"the peak near {place} lies at the edge of the band {low:g} to {high:g} Hz; "
            "if it is expected there, widen the band with --band"
        )
    if rhythm.second is not None and rhythm.second[1] >= SECOND_EQUAL:
        reasons.append(
            f"two peaks of about the same height, near {place} and {rhythm.second[0]:.1f} Hz: "
            "neither can be called the peak"
        )
    return reasons


def remarks(rhythm: RhythmFit, fooof: SpectralFit, band_hz: tuple[float, float]) -> list[str]:
    """Warnings about a peak that is reported.

    Parameters
    ----------
    rhythm : RhythmFit
        Fit of the rhythm.
    fooof : SpectralFit
        Second opinion on the same spectrum.
    band_hz : (float, float)
        Where the peak may lie.

    Returns
    -------
    list of str
        One line each.
    """
    peak = rhythm.peak_hz
    notes = []
    if rhythm.second is not None and rhythm.second[1] >= SECOND_NOTED:
        notes.append(
            f"split peak: a second rhythm near {rhythm.second[0]:.1f} Hz has "
            f"{100.0 * rhythm.second[1]:.0f} % of the height"
        )
    if abs(peak - rhythm.center_of_gravity_hz) > DISAGREEMENT_HZ:
        notes.append(
            f"peak {peak:.2f} Hz and centre of gravity {rhythm.center_of_gravity_hz:.2f} Hz differ "
            f"by more than {DISAGREEMENT_HZ:g} Hz: the bump is lopsided or double"
        )
    if rhythm.width_hz < NARROW_HZ:
        notes.append(
            "the peak is as narrow as the analysis resolves: a line (flicker, stimulation residue, "
            "interference) looks the same"
        )
    if rhythm.width_hz > BROAD_HZ:
        notes.append(f"the peak is {rhythm.width_hz:.1f} Hz broad: it may hide two rhythms")
    inside = [c for c, _, _ in fooof.peaks if band_hz[0] <= c <= band_hz[1]]
    closest = min((abs(c - peak) for c in inside), default=None)
    if closest is None:
        notes.append("fooof finds no peak in the band")
    elif closest > DISAGREEMENT_HZ:
        tallest = max((p for p in fooof.peaks if p[0] in inside), key=lambda item: item[1])
        notes.append(f"fooof places the peak at {tallest[0]:.2f} Hz, more than 0.5 Hz away")
    return notes
