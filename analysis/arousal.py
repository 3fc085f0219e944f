"""Whether the person was equally awake in two recordings: theta over the background, the peak.

Alpha, theta and the peak move together when somebody gets drowsy, with or without stimulation. The
test here asks for signs of that which a change of alpha power alone, or of the background alone,
does not make.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.power import RecordingSpectra, band_power, percent_of_ln
from analysis.shift import PeakShift
from analysis.statistics import block_stretch

Array = NDArray[np.float64]

THETA_HZ = (4.0, 7.0)
_BELOW_HZ, _ABOVE_HZ = (2.0, 3.5), (24.0, 32.0)
_CLEAR_OF_ALPHA_HZ = 2.0
_NARROWEST_HZ = 1.0
Z_LIMIT = 1.96
PEAK_Z_AT_MOST = 2.5
THETA_LEAST_LN = math.log(1.1)
# What an equally wakeful person's recordings differ by beside sampling error: the peak moves by
# about 0.15 Hz from one to the next, and theta is taken to do so by 5 %.
PEAK_RETEST_HZ = 0.2
THETA_RETEST_LN = 0.05


@dataclass(frozen=True, slots=True)
class ArousalChange:
    """Signs that arousal differs between two recordings.

    Parameters
    ----------
    theta_ln : float or None
        Change of theta beside the background, natural log; None where it cannot be measured.
    theta_z : float or None
        The same over its standard error.
    peak_shift_hz : float or None
        Change of the peak frequency.
    z : float or None
        Both signs together, standard normal where nothing differs; positive is drowsier after.
    dozing : (bool, bool)
        Whether the recording before, and the one after, has drowsy spans of its own.
    differs : bool
        Whether arousal is taken to differ.
    """

    theta_ln: float | None
    theta_z: float | None
    peak_shift_hz: float | None
    z: float | None
    dozing: tuple[bool, bool]
    differs: bool

    @property
    def text(self) -> str:
        """One line for the reader, empty where nothing was found."""
        if not self.differs:
            return ""
        signs = []
        if self.theta_ln is not None and self.z is not None and abs(self.z) > Z_LIMIT:
            signs.append(f"theta beside the background {percent_of_ln(self.theta_ln):+.0f} %")
            if self.peak_shift_hz is not None:
                signs.append(f"peak {self.peak_shift_hz:+.2f} Hz")
        if self.dozing[0] != self.dozing[1]:
            signs.append(f"drowsy spans {'after' if self.dozing[1] else 'before'} alone")
        return (
            f"arousal was not the same before and after ({', '.join(signs)}): alpha changes with "
            "it, stimulated or not; compare recordings in which the person is equally awake"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "theta_percent": None if self.theta_ln is None else percent_of_ln(self.theta_ln),
            "theta_z": self.theta_z,
            "peak_shift_hz": self.peak_shift_hz,
            "z": self.z,
            "drowsy_spans": list(self.dozing),
            "differs": self.differs,
        }


def theta_over_background(freqs_hz: Array, psd: Array, top_hz: float) -> Array:
    """Log power of theta over the line through its neighbours in log power and log frequency.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    psd : ndarray, shape (..., n_freqs)
        Power spectral density.
    top_hz : float
        Upper end of theta.

    Returns
    -------
    ndarray, shape (...)
        ln of 4 Hz to `top_hz` over the line from 2-3.5 Hz to 24-32 Hz. Any change of offset or
        exponent of a 1/f background leaves it as it is.
    """
    bands = (_BELOW_HZ, (THETA_HZ[0], top_hz), _ABOVE_HZ)
    below, theta, above = (
        np.log(band_power(freqs_hz, psd, band) / (band[1] - band[0])) for band in bands
    )
    low, mid, high = (0.5 * math.log(band[0] * band[1]) for band in bands)
    share = (mid - low) / (high - low)
    return np.asarray(theta - (1.0 - share) * below - share * above)


def arousal_change(
    before: RecordingSpectra,
    after: RecordingSpectra,
    weights: tuple[Array, Array],
    shift: PeakShift,
    alpha_hz: float,
    *,
    dozing: tuple[bool, bool] = (False, False),
) -> ArousalChange:
    """Look for a difference of arousal between two recordings.

    Parameters
    ----------
    before, after : RecordingSpectra
        Spectra of the region.
    weights : (ndarray, ndarray)
        Bootstrap weights of the segments, each (n_bootstrap, n_segments).
    shift : PeakShift
        Change of the peak frequency.
    alpha_hz : float
        Centre of the band.
    dozing : (bool, bool)
        Whether each recording has drowsy spans of its own (`analysis.state_checks`).

    Returns
    -------
    ArousalChange
        What was found.

    Notes
    -----
    The errors allow for what recordings of an equally wakeful person differ by: 0.2 Hz between two
    peaks, 5 % of theta. z = (z of theta - z of the peak) / sqrt 2, the peak's kept within 2.5, so
    that a shift of the peak alone, which stimulation might make, never decides. Arousal differs
    where |z| > 1.96 and theta moved by a tenth or more, or where one recording alone has drowsy
    spans. Only for peaks from 7 to 14 Hz; where a slow peak leaves less than 1 Hz of theta nothing
    is said.

    References
    ----------
    Theta up, alpha down and slower with drowsiness: Strijkstra et al. 2003, Neurosci. Lett.
    340:17-20; vigilance stages: Huang et al. 2015, Neuropsychiatr. Electrophysiol. 1:13.
    """
    spans = dozing[0] != dozing[1]
    slowest = min([alpha_hz, *(hz for hz in (shift.pre_hz, shift.post_hz) if hz is not None)])
    top_hz = min(THETA_HZ[1], slowest - _CLEAR_OF_ALPHA_HZ)
    reach = float(before.freqs_hz[-1]) >= _ABOVE_HZ[1] and float(before.freqs_hz[0]) <= _BELOW_HZ[0]
    if not (7.0 <= alpha_hz <= 14.0 and top_hz - THETA_HZ[0] >= _NARROWEST_HZ and reach):
        return ArousalChange(None, None, shift.shift_hz, None, dozing, spans)
    means, variances = [], []
    for side, rows in zip((before, after), weights, strict=True):
        means.append(float(theta_over_background(side.freqs_hz, side.region_mean(), top_hz)))
        resampled = theta_over_background(side.freqs_hz, rows @ side.region, top_hz)
        variances.append(float(resampled.var()))
    change = means[1] - means[0]
    stretch = block_stretch((variances[0], variances[1]), (before.n_segments, after.n_segments))
    error = math.hypot(math.sqrt(sum(variances)) * stretch, THETA_RETEST_LN)
    theta_z = change / error
    z = theta_z
    if shift.shift_hz is not None and shift.ci95_hz is not None:
        half = 0.5 * (shift.ci95_hz[1] - shift.ci95_hz[0])
        peak_z = shift.shift_hz / math.hypot(half / 1.96, PEAK_RETEST_HZ)
        z = (theta_z - float(np.clip(peak_z, -PEAK_Z_AT_MOST, PEAK_Z_AT_MOST))) / math.sqrt(2.0)
    found = abs(z) > Z_LIMIT and abs(change) >= THETA_LEAST_LN and z * change > 0.0
    return ArousalChange(change, theta_z, shift.shift_hz, z, dozing, found or spans)
