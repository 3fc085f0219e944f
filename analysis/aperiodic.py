"""Spectra taken apart into aperiodic part and rhythm, and how the aperiodic part changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.parametrise import parametrise
from analysis.power import FIT_HZ, band_bins, band_power
from analysis.spectrum import SpectralFit
from analysis.statistics import percentile_interval

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

MIN_R_SQUARED = 0.9
# Two numbers are looked at for one statement: each keeps half of the 5 % (normal quantiles).
TWO_NUMBERS = 2.2414 / 1.9600


@dataclass(frozen=True, slots=True)
class Parts:
    """Band power of one spectrum taken apart into aperiodic part and the rest.

    Parameters
    ----------
    fit : SpectralFit or None
        The fit, None where there is none.
    split_uv2 : (float, float) or None
        Power of the aperiodic part in the band, and what lies over it (may be negative); None
        where the fit is not to be trusted.
    reason : str or None
        Why there are no parts.
    peak_height_log10 : float or None
        Height over the aperiodic part of the highest fitted peak with its centre in the band.
    """

    fit: SpectralFit | None
    split_uv2: tuple[float, float] | None
    reason: str | None
    peak_height_log10: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "offset": None if self.fit is None else self.fit.offset,
            "exponent": None if self.fit is None else self.fit.exponent,
            "r_squared": None if self.fit is None else self.fit.r_squared,
            "peak_height_log10": self.peak_height_log10,
            "aperiodic_uv2": None if self.split_uv2 is None else self.split_uv2[0],
            "oscillatory_uv2": None if self.split_uv2 is None else self.split_uv2[1],
            "reason": self.reason,
        }


def take_apart(
    freqs_hz: Array,
    psds: Array,
    band_hz: tuple[float, float],
    fit_range_hz: tuple[float, float] = FIT_HZ,
) -> list[Parts]:
    """Fit 1/f background and peaks to many spectra, and take the background out of the band.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    psds : ndarray, shape (n_spectra, n_freqs)
        Power spectral densities, µV²/Hz.
    band_hz : (float, float)
        Band.
    fit_range_hz : (float, float)
        Range of the fit.

    Returns
    -------
    list of Parts
        One a spectrum. The oscillatory part is the linear difference of spectrum and fitted
        background, summed over the band; it does not depend on how the peaks were cut into
        Gaussians. Without a fit, or with R² below 0.9, there are no parts but a reason.

    References
    ----------
    Donoghue et al. 2020, Nat. Neurosci. 23:1655-1665.
    """
    used = (freqs_hz >= fit_range_hz[0]) & (freqs_hz <= fit_range_hz[1])
    sound = np.all(np.isfinite(psds[:, used]) & (psds[:, used] > 0.0), axis=1)
    out = [Parts(None, None, "the spectrum holds NaN, zero or negative power")] * len(psds)
    rows = np.flatnonzero(sound)
    if not rows.size:
        return out
    try:
        found = parametrise(freqs_hz, psds[rows], fit_range_hz=fit_range_hz)
    except AnalysisError as exc:
        return [
            Parts(None, None, str(exc)) if fine else one
            for fine, one in zip(sound, out, strict=True)
        ]
    bins = band_bins(freqs_hz, band_hz)
    step = float(freqs_hz[1] - freqs_hz[0])
    for i, row in enumerate(rows):
        if not found.converged[i]:
            out[row] = Parts(None, None, "the fit of background and peaks did not converge")
            continue
        fit = found.fit(i)
        inside = [height for centre, height, _ in fit.peaks if band_hz[0] <= centre <= band_hz[1]]
        peak = max(inside, default=None)
        if not fit.r_squared >= MIN_R_SQUARED:
            reason = (
                f"the fit explains too little (R² {fit.r_squared:.2f}, {MIN_R_SQUARED:g} needed)"
            )
            out[row] = Parts(fit, None, reason, peak)
            continue
        background = float(np.sum(fit.aperiodic(freqs_hz[bins])) * step)
        total = float(psds[row, bins].sum() * step)
        out[row] = Parts(fit, (background, total - background), None, peak)
    return out


def move_background(
    freqs_hz: Array, psd: Array, replicates: Array, fit: SpectralFit
) -> tuple[Array, Array]:
    """Offset and exponent of resampled spectra, moved from those of the spectrum they resample.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    psd : ndarray, shape (n_freqs,)
        The spectrum that was fitted.
    replicates : ndarray, shape (n_bootstrap, n_freqs)
        Resampled spectra.
    fit : SpectralFit
        Fit of `psd`.

    Returns
    -------
    offsets, exponents : ndarray, shape (n_bootstrap,)
        Of the background of each replicate.

    Notes
    -----
    A full fit of each of some thousand spectra takes seconds, and jumps between the several minima
    of noisy spectra. The background moves instead by weighted least squares of the log difference
    from `psd` on log frequency, each bin weighted by the share of its power that is background: one
    matrix product, and exact at `psd` itself.
    """
    used = (freqs_hz >= fit.fit_range_hz[0]) & (freqs_hz <= fit.fit_range_hz[1])
    log_f = np.log10(freqs_hz[used])
    peaks = np.zeros(log_f.size)
    for center_hz, height, bandwidth_hz in fit.peaks:
        peaks += height * np.exp(-2.0 * ((freqs_hz[used] - center_hz) / bandwidth_hz) ** 2)
    root = np.sqrt(10.0 ** -np.clip(peaks, 0.0, None))
    design = np.stack([np.ones(log_f.size), -log_f], axis=1)
    solve = np.linalg.pinv(design * root[:, None]) * root
    moved = np.log10(replicates[:, used] / psd[used]) @ solve.T
    return fit.offset + moved[:, 0], fit.exponent + moved[:, 1]


def over_background(
    freqs_hz: Array,
    replicates: Array,
    backgrounds: tuple[Array, Array],
    band_hz: tuple[float, float],
) -> Array:
    """Oscillatory band power of resampled spectra.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    replicates : ndarray, shape (n_bootstrap, n_freqs)
        Resampled spectra.
    backgrounds : (ndarray, ndarray), each of shape (n_bootstrap,)
        Offsets and exponents, from `move_background`.
    band_hz : (float, float)
        Band.

    Returns
    -------
    ndarray, shape (n_bootstrap,)
        Power over the background; may be negative.
    """
    offsets, exponents = backgrounds
    log_f = np.log10(freqs_hz[band_bins(freqs_hz, band_hz)])
    step = float(freqs_hz[1] - freqs_hz[0])
    background = (10.0 ** (offsets[:, None] - exponents[:, None] * log_f)).sum(axis=1) * step
    return np.asarray(band_power(freqs_hz, replicates, band_hz) - background)


@dataclass(frozen=True, slots=True)
class AperiodicChange:
    """Background after minus before, of the region's mean spectrum.

    Parameters
    ----------
    pre, post : Parts
        The two fits.
    offset_change, exponent_change : float or None
        Difference of offset (log10 µV²/Hz at 1 Hz) and of exponent; None without two good fits.
    offset_interval, exponent_interval : (float, float) or None
        95 % intervals of the differences, one at a time.
    moved : bool
        Whether one of the two is shown to have changed, at 5 % for both together.
    """

    pre: Parts
    post: Parts
    offset_change: float | None = None
    exponent_change: float | None = None
    offset_interval: tuple[float, float] | None = None
    exponent_interval: tuple[float, float] | None = None
    moved: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "pre": self.pre.to_dict(),
            "post": self.post.to_dict(),
            "offset_change": self.offset_change,
            "offset_change_ci95": self.offset_interval and list(self.offset_interval),
            "exponent_change": self.exponent_change,
            "exponent_change_ci95": self.exponent_interval and list(self.exponent_interval),
            "moved": self.moved,
        }


def aperiodic_change(
    pre: Parts,
    post: Parts,
    backgrounds: tuple[tuple[Array, Array], tuple[Array, Array]] | None,
    stretch: float,
) -> AperiodicChange:
    """Change of offset and exponent with intervals.

    Parameters
    ----------
    pre, post : Parts
        Fits before and after.
    backgrounds : ((offsets, exponents), (offsets, exponents)) or None
        Those of the resampled spectra before and after; None where a fit is missing.
    stretch : float
        Factor for the bootstrap deviations (`analysis.statistics.Comparison.stretch`).

    Returns
    -------
    AperiodicChange
        Both changes; no numbers without two good fits.
    """
    if backgrounds is None or pre.fit is None or post.fit is None:
        return AperiodicChange(pre, post)
    differences = [
        (after_fit - before_fit, after - before)
        for after_fit, before_fit, after, before in (
            (post.fit.offset, pre.fit.offset, backgrounds[1][0], backgrounds[0][0]),
            (post.fit.exponent, pre.fit.exponent, backgrounds[1][1], backgrounds[0][1]),
        )
    ]
    offset, exponent = (percentile_interval(*one, stretch) for one in differences)
    wide = [percentile_interval(*one, stretch * TWO_NUMBERS) for one in differences]
    return AperiodicChange(
        pre,
        post,
        offset_change=differences[0][0],
        exponent_change=differences[1][0],
        offset_interval=offset,
        exponent_interval=exponent,
        moved=any(low > 0.0 or high < 0.0 for low, high in wide),
    )
