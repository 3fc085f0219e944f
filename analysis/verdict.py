"""When a fitted rhythm may be reported as a person's peak, and with what reservations.

The limits were set on made recordings (1/f exponents 0.8 to 2.4, with and without a knee, bursts,
neighbouring rhythms, 30 s to 5 min): `benchmarks/peak.py` measures what they let through.
"""

from __future__ import annotations

import numpy as np

from analysis.estimate import CrossCheck, Peak, Stability
from analysis.lopsided import EQUAL
from analysis.rhythm import RhythmFit, widest_hz
from analysis.spectrum import SpectralFit

EVIDENCE = 14.0
EVIDENCE_NARROWED = 20.0  # where a filter left little spectrum beside the band
PLAIN_EVIDENCE = 25.0  # below it a peak is provisional
MUCH_BENT = 1.5
MIN_PROMINENCE_BENT_DB = 3.0
MIN_PROMINENCE_CUT_DB = 4.2  # bent, and cut off beyond
MIN_PROMINENCE_DB = 0.8
MAX_INTERVAL_HZ = 2.0
BEYOND_BAND_HZ = 0.25
MIN_SHARE_IN_BAND = 0.75
DISAGREEMENT_HZ = 0.5
NARROW_HZ = 0.6
BROAD_HZ = 4.0
BROAD_PART = 0.7  # of the broadest bump looked for: the most that each of two may be
SECOND_NOTED = 0.15
FULL_WIDTH = float(np.sqrt(8.0 * np.log(2.0)))  # of a Gaussian at half height, in deviations


def is_split(rhythm: RhythmFit, band_hz: tuple[float, float]) -> bool:
    """Whether two rhythms share the band, so that neither alone is the peak."""
    return _two_rhythms(rhythm, band_hz) or _two_tops(rhythm)


def _two_rhythms(rhythm: RhythmFit, band_hz: tuple[float, float]) -> bool:
    """Whether the channels tell two rhythms apart."""
    return rhythm.two.is_split((band_hz[0] - BEYOND_BAND_HZ, band_hz[1] + BEYOND_BAND_HZ))


def _two_tops(rhythm: RhythmFit) -> bool:
    """Whether the spectrum alone shows two tops of about the same height (Corcoran et al. 2018)."""
    uneven = rhythm.uneven
    return uneven is not None and uneven.rival_hz is not None and uneven.rival_ratio >= EQUAL


def peaks(rhythm: RhythmFit, band_hz: tuple[float, float]) -> tuple[Peak, ...]:
    """Describe the peak, or both where the rhythm is split, the higher first.

    Parameters
    ----------
    rhythm : RhythmFit
        Fit of the rhythm.
    band_hz : (float, float)
        Where the peak may lie.

    Returns
    -------
    tuple of Peak
        One or two.
    """
    if not is_split(rhythm, band_hz):
        return (Peak(rhythm.peak_hz, rhythm.prominence_db, 1.0, rhythm.width_hz),)
    uneven = rhythm.uneven
    if uneven is not None and uneven.rival_hz is not None and not _two_rhythms(rhythm, band_hz):
        excess = np.interp(
            [rhythm.peak_hz, uneven.rival_hz], rhythm.freqs_hz, rhythm.model - rhythm.background
        )
        below = np.interp([rhythm.peak_hz, uneven.rival_hz], rhythm.freqs_hz, rhythm.background)
        db = 10.0 * np.log10(1.0 + np.maximum(excess, 0.0) / below)
        return (
            Peak(rhythm.peak_hz, float(db[0]), 1.0, uneven.width_hz),
            Peak(uneven.rival_hz, float(db[1]), uneven.rival_ratio, uneven.width_hz),
        )
    two = rhythm.two
    centers = two.centers_hz.copy()
    if uneven is not None and abs(rhythm.peak_hz - centers[0]) < abs(rhythm.peak_hz - centers[1]):
        centers[0] = rhythm.peak_hz  # the top itself, where the higher one is lopsided
    out = []
    for center, width, height in zip(centers, two.widths_hz, two.heights, strict=True):
        level = float(np.interp(center, rhythm.freqs_hz, rhythm.background))
        out.append(
            Peak(
                frequency_hz=float(center),
                prominence_db=float(10.0 * np.log10(1.0 + height / level)),
                relative_height=float(height / max(two.heights[0], 1e-300)),
                width_hz=FULL_WIDTH * float(width),
            )
        )
    return tuple(out)


def objections(rhythm: RhythmFit, band_hz: tuple[float, float]) -> list[str]:
    """Every reason not to report this peak.

    Parameters
    ----------
    rhythm : RhythmFit
        Fit of the rhythm.
    band_hz : (float, float)
        Where the peak may lie.

    Returns
    -------
    list of str
        Empty when the peak may be reported.
    """
    low, high = band_hz
    place = f"{rhythm.peak_hz:.1f} Hz"
    enough = EVIDENCE_NARROWED if any(rhythm.narrowed) else EVIDENCE
    if rhythm.evidence < enough:
        return [
            f"no rhythm stands out of the background between {low:g} and {high:g} Hz (likelihood "
            f"ratio {max(rhythm.evidence, 0.0):.0f}, {enough:g} is the least)"
        ]
    reasons = []
    least_db = MIN_PROMINENCE_CUT_DB if rhythm.narrowed[1] else MIN_PROMINENCE_BENT_DB
    if rhythm.bend > MUCH_BENT and rhythm.prominence_db < least_db:
        reasons.append(
            f"the bump at {place} stands {rhythm.prominence_db:.1f} dB over a background that "
            f"bends down beside it, as a low-pass filter leaves it; {least_db:g} dB "
            "is the least there: give the recording as it was before filtering"
        )
    if rhythm.prominence_db < MIN_PROMINENCE_DB:
        reasons.append(
            f"the largest bump, at {place}, stands only {max(rhythm.prominence_db, 0.0):.1f} dB "
            f"over the background; {MIN_PROMINENCE_DB:g} dB is the least"
        )
    widest = FULL_WIDTH * widest_hz(band_hz)
    if _two_rhythms(rhythm, band_hz):
        # Together they may be as broad as they like, each of them may not.
        parts = peaks(rhythm, band_hz)
        broad = max(parts, key=lambda part: part.width_hz)
        if broad.width_hz > BROAD_PART * widest:
            reasons.append(
                f"two bumps share the band, and the one at {broad.frequency_hz:.1f} Hz is "
                f"{broad.width_hz:.1f} Hz broad, {BROAD_PART * widest:.1f} Hz is the most beside "
                "another: a bend of the background, such as a filter leaves, rather than a rhythm"
            )
    elif rhythm.width_hz > 0.97 * widest:
        reasons.append(
            f"the bump at {place} is as broad as is looked for ({widest:.1f} Hz): a bend of the "
            "background, such as a filter leaves, rather than a rhythm"
        )
    if is_split(rhythm, band_hz):
        return reasons
    first, last = rhythm.location.ci95_hz
    if last - first > MAX_INTERVAL_HZ:
        reasons.append(
            f"the peak near {place} cannot be located: its 95 % interval is {last - first:.1f} Hz "
            f"wide, {MAX_INTERVAL_HZ:g} Hz is the most"
        )
    beyond = first < low - BEYOND_BAND_HZ or last > high + BEYOND_BAND_HZ
    outside = not low < rhythm.peak_hz < high or rhythm.share_in_band < MIN_SHARE_IN_BAND
    if outside or (beyond and last - first <= MAX_INTERVAL_HZ):
        reasons.append(
            f"the peak near {place} lies at the edge of the band {low:g} to {high:g} Hz; "
            "if it is expected there, widen the band with --band"
        )
    return reasons


def remarks(
    rhythm: RhythmFit, band_hz: tuple[float, float], over_time: Stability | None
) -> list[str]:
    """Warnings about a peak that is reported.

    Parameters
    ----------
    rhythm : RhythmFit
        Fit of the rhythm.
    band_hz : (float, float)
        Where the peak may lie.
    over_time : Stability or None
        First against second half.

    Returns
    -------
    list of str
        One line each.
    """
    if is_split(rhythm, band_hz):
        first, second = peaks(rhythm, band_hz)
        return [
            f"split peak: two rhythms share the band, {first.frequency_hz:.2f} Hz and "
            f"{second.frequency_hz:.2f} Hz ({100.0 * second.relative_height:.0f} % of the height); "
            f"no interval is given; a recipe would use the higher, {first.frequency_hz:.2f} Hz"
        ]
    peak, two = rhythm.peak_hz, rhythm.two
    notes = []
    if rhythm.evidence < PLAIN_EVIDENCE:
        notes.append(
            f"provisional: the rhythm is faint (likelihood ratio {rhythm.evidence:.0f}; "
            f"{PLAIN_EVIDENCE:g} and more is plain): record longer"
        )
    apart = abs(float(two.centers_hz[1]) - peak)
    if two.evidence >= two.enough and apart >= 1.0 and two.ratio >= SECOND_NOTED:
        notes.append(
            f"a second rhythm near {two.centers_hz[1]:.1f} Hz has {100.0 * two.ratio:.0f} % of "
            "the height"
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
    if over_time is not None and over_time.stable is False:
        notes.append(
            f"the rhythm moved within the recording: centre {over_time.first_hz:.2f} Hz in the "
            f"first half, {over_time.second_hz:.2f} Hz in the second"
        )
    return notes


def cross_check(
    fooof: SpectralFit, frequency_hz: float, band_hz: tuple[float, float]
) -> tuple[CrossCheck, list[str]]:
    """Hold the peak against fooof's.

    Parameters
    ----------
    fooof : SpectralFit
        Fit of the same spectrum.
    frequency_hz : float
        The peak.
    band_hz : (float, float)
        Where it may lie.

    Returns
    -------
    check : CrossCheck
        Its closest peak.
    warnings : list of str
        One line where the two differ by more than 0.5 Hz.
    """
    inside = [peak for peak in fooof.peaks if band_hz[0] <= peak[0] <= band_hz[1]]
    if not inside:
        return CrossCheck("fooof", None, False), ["fooof finds no peak in the band"]
    closest = min((peak[0] for peak in inside), key=lambda place: abs(place - frequency_hz))
    agrees = abs(closest - frequency_hz) <= DISAGREEMENT_HZ
    warning = (
        f"fooof places the peak at {max(inside, key=lambda item: item[1])[0]:.2f} Hz, more than "
        f"{DISAGREEMENT_HZ:g} Hz away"
    )
    return CrossCheck("fooof", closest, agrees), [] if agrees else [warning]
