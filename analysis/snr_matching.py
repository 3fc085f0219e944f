"""Two recordings brought to the same signal-to-noise ratio in a band, for a fair comparison.

Every measure of connectivity depends on how far the rhythm stands above the background: with the
coupling unchanged, more rhythm reads as more connectivity. Here the recording in which it stands
higher gets more of its own background, until both have the same ratio. What is added comes from
beside the band, where there is background alone, moved into it: it has the spatial correlation of
this head's own background, which white noise has not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

GUARD_HZ = 1.0
REACH_HZ = 12.0
LOWEST_HZ = 2.0
# Shifts in epochs between a signal and the background added to it, one draw each.
DRAWS = (-2, -1, 1, 2)
_PEAK_LN = 0.2
_MIN_BINS = 3
_MIN_DONORS = 0.5
_BENT_BINS = 6
_MIN_SNR = 0.05
_CERTAIN = 2.0


@dataclass(frozen=True, slots=True)
class Spectra:
    """Coefficients of one recording at and around a band, and its background.

    Parameters
    ----------
    coefficients : ndarray of complex, shape (n_freqs, n_epochs, n_channels)
        See `analysis.connectivity.band_fourier`.
    background : ndarray, shape (n_freqs, n_channels)
        Power of the background at each bin.
    snr, variance : ndarray, shape (n_channels,)
        Power of the rhythm over that of the background in the band, and the jackknife variance.
    left_out : ndarray, shape (n_blocks, n_channels)
        `snr` without each block of epochs.
    """

    coefficients: ComplexArray
    background: Array
    snr: Array
    variance: Array
    left_out: Array


@dataclass(frozen=True, slots=True)
class SnrMatch:
    """How two recordings differ in signal-to-noise ratio, and how to make them equal.

    Parameters
    ----------
    ln_ratio : float or None
        ln of the ratio after to before of the rhythm's power over the background's, all channels
        together; None where there is no match.
    ln_ratio_channel : ndarray, shape (n_channels,)
        The same for each channel, drawn towards `ln_ratio` by as much as its own is uncertain.
    left_out : ndarray, shape (2, n_blocks)
        Deviation of `ln_ratio` without each block, before and after.
    reason : str or None
        Why there is no match.
    sides : tuple of Spectra
        Before and after.
    band : ndarray of int
        Bins of the band.
    donors : tuple of ndarray of int
        For each bin of the band a bin below, and one above, whose background is moved into it.
    """

    ln_ratio: float | None
    ln_ratio_channel: Array
    left_out: Array
    reason: str | None
    sides: tuple[Spectra, ...] = ()
    band: NDArray[np.intp] | None = None
    donors: tuple[NDArray[np.intp], ...] = ()

    def matched(self, draw: int, extra_ln: float = 0.0) -> tuple[ComplexArray, ComplexArray]:
        """Coefficients in the band, before and after, at the same signal-to-noise ratio.

        Parameters
        ----------
        draw : int
            One of `DRAWS`.
        extra_ln : float
            Added to every channel's ratio, to see what its uncertainty does.

        Returns
        -------
        before, after : ndarray of complex, shape (n_freqs, n_epochs, n_channels)
            In each channel one of the two is as recorded.

        Raises
        ------
        AnalysisError
            Where there is no match.
        """
        if self.reason is not None or self.band is None:
            raise AnalysisError(f"the two recordings are not matched: {self.reason}")
        ln_ratio = self.ln_ratio_channel + extra_ln
        before, after = (
            self._lowered(side, self.band, np.maximum(sign * ln_ratio, 0.0), draw)
            for side, sign in zip(self.sides, (-1.0, 1.0), strict=True)
        )
        return before, after

    def _lowered(
        self, side: Spectra, band: NDArray[np.intp], by_ln: Array, draw: int
    ) -> ComplexArray:
        """Signals whose signal-to-noise ratio is lower by a factor exp(by_ln)."""
        added = np.zeros_like(side.coefficients[band])
        for donor in self.donors:
            level = np.sqrt(side.background[band] / side.background[donor])
            added += np.roll(side.coefficients[donor], draw, axis=1) * level[:, None, :]
        added *= np.sqrt(np.expm1(by_ln) / len(self.donors))
        return np.asarray(side.coefficients[band] + added)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "method": "signal-to-noise",
            "ln_snr_ratio": self.ln_ratio,
            "snr_percent": None if self.ln_ratio is None else 100.0 * math.expm1(self.ln_ratio),
            "reason": self.reason,
        }


def match_snr(
    freqs_hz: Array,
    before: ComplexArray,
    after: ComplexArray,
    band_hz: tuple[float, float],
    n_blocks: int,
) -> SnrMatch:
    """Find by how much the signal-to-noise ratio in a band differs between two recordings.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Evenly spaced bins, from well below to well above the band.
    before, after : ndarray of complex, shape (n_freqs, n_epochs, n_channels)
        Fourier coefficients.
    band_hz : (float, float)
        Band.
    n_blocks : int
        Blocks of the jackknife.

    Returns
    -------
    SnrMatch
        The ratio, or the reason for none.

    Notes
    -----
    The background is a parabola in double logarithm (a power law with fewer than six bins on a
    side) fitted to each channel's bins within 12 Hz of the band and outside 1 Hz of it; bins where
    the mean channel stands 0.2 (natural log) above the line are other
    rhythms and left out. What is added to a bin of the band comes half from a bin below and half
    from one above, so that what changes with frequency about the background's spatial correlation
    averages out; where one side has too little it comes from the other. The rhythm is what the band
    holds above the background. Channels whose rhythm is certain (twice its standard error) get a
    ratio of their own, weighed against the common one as in a random-effects model (DerSimonian and
    Laird 1986, Control. Clin. Trials 7:177-188).
    """
    n_channels = before.shape[2]
    nothing = np.zeros(n_channels), np.zeros((2, n_blocks))

    def none(reason: str) -> SnrMatch:
        return SnrMatch(None, *nothing, reason)

    band = np.flatnonzero((freqs_hz >= band_hz[0]) & (freqs_hz <= band_hz[1]))
    power = [np.mean(np.abs(side) ** 2, axis=1) for side in (before, after)]
    if min(float(values.min()) for values in power) <= 0.0:
        return none("a channel is flat")
    clean = _clean_bins(freqs_hz, power, band_hz)
    below = int(np.sum(clean[freqs_hz < band_hz[0]]))
    above = int(np.sum(clean[freqs_hz > band_hz[1]]))
    if min(below, above) < _MIN_BINS:
        where = "below" if below < above else "above"
        return none(f"no stretch of background without a rhythm {where} the band")
    donors = _donors(clean, band)
    if not donors:
        return none("too little background without a rhythm beside the band")
    sides = tuple(_spectra(freqs_hz, side, band, clean, n_blocks) for side in (before, after))
    for name, spectra in zip(("before", "after"), sides, strict=True):
        total = spectra.snr.sum()
        error = math.sqrt(_jackknife_variance(spectra.left_out.sum(axis=1)))
        if total <= max(_CERTAIN * error, _MIN_SNR * n_channels):
            return none(f"no rhythm above the background {name}")
    ln_ratio = math.log(sides[1].snr.sum() / sides[0].snr.sum())
    left_out = np.array(
        [
            sign * np.log(np.maximum(side.left_out.sum(axis=1), 1e-3) / side.snr.sum())
            for sign, side in zip((-1.0, 1.0), sides, strict=True)
        ]
    )
    return SnrMatch(
        ln_ratio=ln_ratio,
        ln_ratio_channel=_per_channel(ln_ratio, sides[0], sides[1]),
        left_out=left_out,
        reason=None,
        sides=sides,
        band=band,
        donors=donors,
    )


def _clean_bins(
    freqs_hz: Array, power: list[Array], band_hz: tuple[float, float]
) -> NDArray[np.bool_]:
    """Bins around the band that hold background alone in both recordings."""
    low, high = band_hz
    around = (freqs_hz >= max(LOWEST_HZ, low - REACH_HZ)) & (freqs_hz <= high + REACH_HZ)
    around &= (freqs_hz <= low - GUARD_HZ) | (freqs_hz >= high + GUARD_HZ)
    x = np.log(np.maximum(freqs_hz, 1e-3))
    found = around
    for values in power:
        mean_ln = np.log(values).mean(axis=1)
        clean = around
        for _ in range(5):
            if clean.sum() < 2 * _MIN_BINS:
                break
            slope, level = np.polyfit(x[clean], mean_ln[clean], 1)
            kept = around & (mean_ln - slope * x - level <= _PEAK_LN)
            if np.array_equal(kept, clean):
                break
            clean = kept
        found = found & clean
    return np.asarray(found)


def _donors(clean: NDArray[np.bool_], band: NDArray[np.intp]) -> tuple[NDArray[np.intp], ...]:
    """Nearest clean bins below and above the band, in order; a side with too few gives none."""
    bins = np.flatnonzero(clean)
    found = []
    for side in (bins[bins < band[0]][-band.size :], bins[bins > band[-1]][: band.size]):
        if side.size >= _MIN_DONORS * band.size:
            # A bin may serve twice where a few are missing.
            found.append(side[np.arange(band.size) * side.size // band.size])
    return tuple(found)


def _spectra(
    freqs_hz: Array,
    coefficients: ComplexArray,
    band: NDArray[np.intp],
    clean: NDArray[np.bool_],
    n_blocks: int,
) -> Spectra:
    """Background and rhythm of one recording, whole and without each block."""
    x = np.log(np.maximum(freqs_hz, 1e-3)) - math.log(freqs_hz[band].mean())
    sides = np.sum(clean[: band[0]]), np.sum(clean[band[-1] :])
    # A straight line lies 5 % too high in the band where white noise flattens the far end.
    powers = x[:, None] ** np.arange(3 if min(sides) >= _BENT_BINS else 2)
    solve = np.linalg.pinv(powers[clean])

    def take_apart(power: Array) -> tuple[Array, Array]:
        background = np.exp(powers @ (solve @ np.log(power[clean])))
        return background, power[band].sum(axis=0) / background[band].sum(axis=0) - 1.0

    energy = np.abs(coefficients) ** 2
    parts = np.array_split(energy, n_blocks, axis=1)
    total, n_epochs = energy.sum(axis=1), energy.shape[1]
    background, snr = take_apart(total / n_epochs)
    left_out = np.array(
        [take_apart((total - part.sum(axis=1)) / (n_epochs - part.shape[1]))[1] for part in parts]
    )
    return Spectra(coefficients, background, snr, _jackknife_variance(left_out), left_out)


def _per_channel(ln_ratio: float, before: Spectra, after: Spectra) -> Array:
    """Each channel's own ratio where it is certain, drawn towards the common one."""
    found = np.full(before.snr.size, ln_ratio)
    certain = np.ones(before.snr.size, dtype=bool)
    for side in (before, after):
        certain &= side.snr > np.maximum(_CERTAIN * np.sqrt(side.variance), _MIN_SNR)
    if certain.sum() < 3:
        return found
    own = np.log(after.snr[certain] / before.snr[certain])
    variance = sum(side.variance[certain] / side.snr[certain] ** 2 for side in (before, after))
    variance = np.maximum(variance, 1e-12)
    weight = 1.0 / variance
    mean = float((weight * own).sum() / weight.sum())
    excess = float((weight * (own - mean) ** 2).sum()) - (own.size - 1)
    between = max(0.0, excess / float(weight.sum() - (weight**2).sum() / weight.sum()))
    found[certain] += between / (between + variance) * (own - ln_ratio)
    return found


def _jackknife_variance(left_out: Array) -> Array:
    """Delete-a-block jackknife variance over the first axis."""
    n = left_out.shape[0]
    return np.asarray((n - 1) / n * np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0))
