"""Background and peaks of many power spectra at once, at a small part of fooof's cost.

The model and the algorithm are those of Donoghue et al. 2020 (fooof 1.1): a robust aperiodic fit, a
search for peaks in what it leaves, one joint bounded Gaussian fit, an aperiodic fit without the
peaks. The implementation is our own: batched over spectra, with exact derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.parametrise_background import background, fit_background, fit_robust_background
from analysis.parametrise_start import Guesses, find_peaks
from analysis.parametrise_trf import Solution, fit_gaussians
from analysis.spectrum import (
    FIT_RANGE_HZ,
    MAX_PEAKS,
    MIN_PEAK_HEIGHT_LOG10,
    PEAK_WIDTH_HZ,
    SpectralFit,
)

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Solver = Callable[[Array, Array, Array, Array, Array, Ints, int], Solution]

LEAST_BINS = 20
MOST_EVALUATIONS = 5000  # of the model, before a spectrum has no fit; that of fooof
NUMBA_PAYS = 4000  # spectra from which loading the compiled engine is worth its time


@dataclass(frozen=True, slots=True)
class Parametrisation:
    """Aperiodic parts and peaks of a batch of spectra.

    log10(P) = offset - log10(knee + f**exponent) + peaks, without a knee
    log10(P) = offset - exponent * log10(f) + peaks; f in Hz.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies fitted.
    fit_range_hz : (float, float)
        Range asked for, its upper end lowered to the highest frequency given.
    offset, exponent : ndarray, shape (n_spectra,)
        Aperiodic offset (log10 power per Hz) and exponent.
    knee : ndarray, shape (n_spectra,), or None
        Knee parameter, Hz**exponent; None in the fixed mode.
    peaks : ndarray, shape (n_spectra, max_peaks, 3)
        Centre in Hz, height over the aperiodic part in log10 power, bandwidth in Hz (two standard
        deviations); by rising centre, NaN past a spectrum's last peak.
    r_squared, error : ndarray, shape (n_spectra,)
        Squared correlation of spectrum and model, and mean absolute error, in log10 power.
    cost : ndarray, shape (n_spectra,)
        Half the sum of squared residuals of the joint Gaussian fit, log10 power squared.
    exact : ndarray of bool, shape (n_spectra,)
        Whether the spectrum went through the exact fit (SciPy: singular values in place of normal
        equations).
    converged : ndarray of bool, shape (n_spectra,)
        Whether every fit met a stopping rule; the numbers of a spectrum that did not are no answer.
    """

    freqs_hz: Array
    fit_range_hz: tuple[float, float]
    offset: Array
    exponent: Array
    knee: Array | None
    peaks: Array
    r_squared: Array
    error: Array
    cost: Array
    exact: Bools
    converged: Bools

    @property
    def n_peaks(self) -> Ints:
        """Number of peaks of each spectrum."""
        return np.asarray(np.isfinite(self.peaks[:, :, 0]).sum(axis=1), dtype=np.int64)

    def fits(self) -> list[SpectralFit]:
        """One fit a spectrum, in the form `analysis.spectrum.fit_spectrum` returns.

        Returns
        -------
        list of SpectralFit
            In the order of the spectra.

        Raises
        ------
        AnalysisError
            In knee mode, which that form cannot hold, or if a spectrum has no fit.
        """
        if self.knee is not None:
            raise AnalysisError("a spectral fit holds no knee: use aperiodic_mode='fixed'")
        if not self.converged.all():
            raise AnalysisError(f"spectrum {np.argmin(self.converged)} has no fit")
        return [self.fit(row) for row in range(self.offset.size)]

    def fit(self, row: int) -> SpectralFit:
        """Fit of one spectrum; without a knee, and of no use where it did not converge."""
        count = int(self.n_peaks[row])
        return SpectralFit(
            offset=float(self.offset[row]),
            exponent=float(self.exponent[row]),
            peaks=tuple((float(c), float(h), float(b)) for c, h, b in self.peaks[row, :count]),
            r_squared=float(self.r_squared[row]),
            error=float(self.error[row]),
            fit_range_hz=self.fit_range_hz,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers."""
        return {
            "fit_range_hz": list(self.fit_range_hz),
            "offset": self.offset.tolist(),
            "exponent": self.exponent.tolist(),
            "knee": None if self.knee is None else self.knee.tolist(),
            "peaks": [
                row[:count].tolist() for row, count in zip(self.peaks, self.n_peaks, strict=True)
            ],
            "r_squared": self.r_squared.tolist(),
            "error": self.error.tolist(),
            "exact": self.exact.tolist(),
            "converged": self.converged.tolist(),
        }


def parametrise(
    freqs_hz: Array,
    psd: Array,
    *,
    fit_range_hz: tuple[float, float] = FIT_RANGE_HZ,
    peak_width_hz: tuple[float, float] = PEAK_WIDTH_HZ,
    max_peaks: int = MAX_PEAKS,
    min_peak_height_log10: float = MIN_PEAK_HEIGHT_LOG10,
    peak_threshold: float = 2.0,
    aperiodic_mode: Literal["fixed", "knee"] = "fixed",
    engine: Literal["auto", "numpy", "numba"] = "auto",
    exact_fallback: bool = True,
) -> Parametrisation:
    """Fit 1/f background and Gaussian peaks to every spectrum of a batch.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies, rising and evenly spaced.
    psd : ndarray, shape (..., n_freqs)
        Power spectral densities (linear), positive; leading axes are run together in C order.
    fit_range_hz : (float, float)
        Frequencies used; the upper end is lowered to the highest frequency given.
    peak_width_hz : (float, float)
        Least and largest bandwidth of a peak (two standard deviations).
    max_peaks : int
        Most peaks of a spectrum, at least 1.
    min_peak_height_log10 : float
        Least height of a candidate peak over the background, log10 power.
    peak_threshold : float
        Least height of a candidate in standard deviations of the flattened spectrum.
    aperiodic_mode : {"fixed", "knee"}
        Background without or with a knee.
    engine : {"auto", "numpy", "numba"}
        Solver of the Gaussian fits. "auto" takes numba where it can be imported and the batch is
        large enough to pay for loading it; both solvers follow the same steps.
    exact_fallback : bool
        Hand spectra whose fit did not converge, mostly because its normal equations are too close
        to singular, to SciPy's solver of the same method. Without it they are marked as not
        converged.

    Returns
    -------
    Parametrisation
        The fits.

    Raises
    ------
    AnalysisError
        If shapes or settings do not fit together, the range holds too few bins, a spectrum holds
        NaN or values that are not positive, or numba is asked for and cannot be imported.

    Notes
    -----
    The joint fit of noisy spectra has several minima, and a change of the power in its twelfth
    digit sends about one spectrum in 500 from one to another, here as in fooof.

    References
    ----------
    Donoghue et al. 2020, Nat. Neurosci. 23:1655-1665.
    """
    fit_range = (float(fit_range_hz[0]), min(float(fit_range_hz[1]), float(np.max(freqs_hz))))
    freqs, log_power = _checked(freqs_hz, psd, fit_range)
    _check_settings(peak_width_hz, max_peaks, aperiodic_mode, engine)
    knee = aperiodic_mode == "knee"
    steepness = np.abs(log_power[:, -1] - log_power[:, 0]) / np.log10(freqs[-1] / freqs[0])
    aperiodic, sound = fit_robust_background(freqs, log_power, knee=knee, steepness=steepness)
    flat = log_power - background(freqs, aperiodic)
    guesses = find_peaks(
        freqs,
        flat,
        peak_width_hz=(float(peak_width_hz[0]), float(peak_width_hz[1])),
        max_peaks=max_peaks,
        min_peak_height_log10=min_peak_height_log10,
        peak_threshold=peak_threshold,
    )
    fitted, exact = _fit_peaks(freqs, flat, guesses, engine, exact_fallback)
    gaussians = _sorted(fitted.gaussians)
    bumps = _bumps(freqs, gaussians)
    aperiodic, again = fit_background(freqs, log_power - bumps, knee=knee, steepness=steepness)
    model = bumps + background(freqs, aperiodic)
    return Parametrisation(
        freqs_hz=freqs,
        fit_range_hz=fit_range,
        offset=aperiodic[:, 0],
        exponent=aperiodic[:, 2],
        knee=aperiodic[:, 1] if knee else None,
        peaks=_peaks(freqs, gaussians, bumps),
        r_squared=_correlation(log_power, model) ** 2,
        error=np.mean(np.abs(log_power - model), axis=1),
        cost=fitted.cost,
        exact=exact,
        converged=sound & again & fitted.converged,
    )


def _checked(freqs_hz: Array, psd: Array, fit_range: tuple[float, float]) -> tuple[Array, Array]:
    """Frequencies of the range and log10 power, spectra x frequencies; refuse what cannot be."""
    if freqs_hz.ndim != 1 or psd.ndim < 1 or psd.shape[-1] != freqs_hz.size:
        raise AnalysisError(f"spectra have shape {psd.shape}, their frequencies {freqs_hz.shape}")
    spectra = psd.reshape(-1, freqs_hz.size)
    if spectra.shape[0] == 0:
        raise AnalysisError("there is no spectrum to fit")
    low, high = fit_range
    used = (freqs_hz >= low) & (freqs_hz <= high) & (freqs_hz > 0.0)
    if used.sum() < LEAST_BINS:
        raise AnalysisError(f"only {used.sum()} spectral bins between {low:g} and {high:g} Hz")
    freqs = np.asarray(freqs_hz[used], dtype=np.float64)
    steps = np.diff(freqs)
    if not np.all(np.isclose(steps, steps[0])) or steps[0] <= 0.0:
        raise AnalysisError("the frequencies of the spectra are not evenly spaced and rising")
    power = np.asarray(spectra[:, used], dtype=np.float64)
    wrong = ~np.all(np.isfinite(power) & (power > 0.0), axis=1)
    if wrong.any():
        where = "the spectrum" if wrong.size == 1 else f"spectrum {np.argmax(wrong)}"
        raise AnalysisError(f"{where} holds NaN, zero or negative power")
    return freqs, np.log10(power)


def _check_settings(
    peak_width_hz: tuple[float, float], max_peaks: int, mode: str, engine: str
) -> None:
    """Refuse settings that make no sense."""
    if not 0.0 < peak_width_hz[0] < peak_width_hz[1] < np.inf:
        raise AnalysisError(
            f"peak widths from {peak_width_hz[0]:g} to {peak_width_hz[1]:g} Hz are no range"
        )
    if max_peaks < 1:
        raise AnalysisError(f"at most {max_peaks} peaks leaves none to fit: use 1 or more")
    if mode not in ("fixed", "knee"):
        raise AnalysisError(f"aperiodic mode {mode!r} is not known: use 'fixed' or 'knee'")
    if engine not in ("auto", "numpy", "numba"):
        raise AnalysisError(f"engine {engine!r} is not known: use 'auto', 'numpy' or 'numba'")


def _solver(engine: str, n_spectra: int) -> Solver:
    """Choose the function that fits the Gaussians."""
    if engine == "numpy" or (engine == "auto" and n_spectra < NUMBA_PAYS):
        return fit_gaussians
    try:
        compiled: Solver = import_module("analysis.parametrise_numba").fit_gaussians
    except ImportError as exc:
        if engine == "auto":
            return fit_gaussians
        raise AnalysisError(
            f"engine 'numba' cannot be used ({exc}): install tacs-suite[fast], "
            "or choose engine='numpy'"
        ) from exc
    return compiled


def _fit_peaks(
    freqs: Array, flat: Array, guesses: Guesses, engine: str, exact_fallback: bool
) -> tuple[Solution, Bools]:
    """Joint Gaussian fits of all spectra that have a peak, and which of them were exact."""
    total = flat.shape[0]
    out = Solution(
        gaussians=guesses.start.copy(),
        cost=0.5 * np.sum(flat * flat, axis=1),
        evaluations=np.zeros(total, dtype=np.int64),
        converged=np.ones(total, dtype=bool),
    )
    exact = np.zeros(total, dtype=bool)
    some = np.flatnonzero(guesses.n_peaks)
    if some.size == 0:
        return out, exact
    found = _solver(engine, some.size)(
        freqs,
        flat[some],
        guesses.start[some],
        guesses.lower[some],
        guesses.upper[some],
        guesses.n_peaks[some],
        MOST_EVALUATIONS,
    )
    out.gaussians[some], out.cost[some] = found.gaussians, found.cost
    out.evaluations[some], out.converged[some] = found.evaluations, found.converged
    if exact_fallback:
        for i in some[~found.converged]:
            peaks = slice(0, int(guesses.n_peaks[i]))
            bounds = (guesses.lower[i, peaks], guesses.upper[i, peaks])
            out.gaussians[i, peaks], out.cost[i], out.converged[i] = _fit_exactly(
                freqs, flat[i], guesses.start[i, peaks], bounds
            )
            exact[i] = True
    return out, exact


def _fit_exactly(
    freqs: Array, flat: Array, start: Array, bounds: tuple[Array, Array]
) -> tuple[Array, float, bool]:
    """Fit one spectrum with SciPy's trust-region method and exact derivatives."""
    from scipy.optimize import least_squares

    def parts(x: Array) -> tuple[Array, Array, Array]:
        centre, height, width = x.reshape(-1, 3, 1).swapaxes(0, 1)
        u = (freqs - centre) / width
        return u, np.exp(-0.5 * u * u), np.stack([height / width] * 2)

    def residual(x: Array) -> Array:
        return np.asarray(x[1::3] @ parts(x)[1] - flat)

    def jacobian(x: Array) -> Array:
        u, bump, (unit, _) = parts(x)
        rows = np.stack([unit * bump * u, bump, unit * bump * u * u], axis=1)
        return rows.reshape(x.size, freqs.size).T

    low, high = (bound.ravel() for bound in bounds)
    done = least_squares(
        residual, start.ravel(), jac=jacobian, bounds=(low, high), max_nfev=MOST_EVALUATIONS
    )
    return np.asarray(done.x.reshape(-1, 3)), float(done.cost), bool(done.success)


def _sorted(gaussians: Array) -> Array:
    """Order Gaussians by centre, absent ones last."""
    order = np.argsort(gaussians[:, :, 0], axis=1, kind="stable")
    return np.take_along_axis(gaussians, order[:, :, None], axis=1)


def _bumps(freqs: Array, gaussians: Array) -> Array:
    """Sum of the Gaussians of each spectrum."""
    away = (freqs - gaussians[:, :, :1]) / gaussians[:, :, 2:]
    return np.asarray(np.nansum(gaussians[:, :, 1:2] * np.exp(-0.5 * away * away), axis=1))


def _peaks(freqs: Array, gaussians: Array, bumps: Array) -> Array:
    """Peaks as reported: the height is that of all Gaussians together, at the nearest bin."""
    present = np.isfinite(gaussians[:, :, 0])
    near = np.argmin(np.abs(freqs - np.where(present, gaussians[:, :, 0], 0.0)[:, :, None]), axis=2)
    height = np.where(present, np.take_along_axis(bumps, near, axis=1), np.nan)
    return np.stack([gaussians[:, :, 0], height, 2.0 * gaussians[:, :, 2]], axis=2)


def _correlation(a: Array, b: Array) -> Array:
    """Correlation of two sets of spectra, one by one; NaN where one is constant."""
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    size = np.sqrt(np.sum(a * a, axis=1) * np.sum(b * b, axis=1))
    return np.asarray(np.sum(a * b, axis=1) / np.where(size > 0.0, size, np.nan))
