"""Background and peaks of many spectra: ours beside fooof and specparam, in one run.

Made spectra of 64 channels (a power law, alpha, beta, noise of five averaged periodograms), fitted
from 2 to 40 Hz with peak widths of 1 to 8 Hz, at most six peaks, least height 0.1. Each of ours is
timed on all of them, the peers on a random part (their time grows with the number of spectra);
CPU time of one thread, least of the repeats, after a first call that loads and compiles.

    python -m benchmarks.parametrise [--spectra N] [--seed S] [--peer-spectra N] [--repeats N]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.parametrise import Parametrisation, parametrise
from analysis.parametrise_background import background, fit_robust_background
from analysis.spectrum import FIT_RANGE_HZ, MAX_PEAKS, MIN_PEAK_HEIGHT_LOG10, PEAK_WIDTH_HZ
from tests.analysis.made_spectra import make_spectra

Array = NDArray[np.float64]

ALPHA_HZ = (7.0, 13.0)
ENGINES = ("numpy", "numba")
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "fooof_spectra"


def peers() -> dict[str, Callable[[], Any]]:
    """Makers of the peers' group models, with our settings."""
    settings = {
        "peak_width_limits": PEAK_WIDTH_HZ,
        "max_n_peaks": MAX_PEAKS,
        "min_peak_height": MIN_PEAK_HEIGHT_LOG10,
        "verbose": False,
    }
    from fooof import FOOOFGroup
    from specparam import SpectralGroupModel

    return {
        "fooof": lambda: FOOOFGroup(**settings),
        "specparam": lambda: SpectralGroupModel(**settings),
    }


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start_s = time.process_time()
    result = call()
    return time.process_time() - start_s, result


def tallest_alpha(peaks: Array) -> float:
    """Centre of the tallest peak in the alpha band, NaN if there is none."""
    inside = peaks[(peaks[:, 0] >= ALPHA_HZ[0]) & (peaks[:, 0] <= ALPHA_HZ[1])]
    return float(inside[np.argmax(inside[:, 1]), 0]) if len(inside) else float("nan")


def costs(freqs: Array, psd: Array, fits: list[Any]) -> Array:
    """Half the squared residuals of the joint Gaussian fits of fooof."""
    used = (freqs >= FIT_RANGE_HZ[0]) & (freqs <= FIT_RANGE_HZ[1])
    x, log_power = freqs[used], np.log10(psd[:, used])
    line, _ = fit_robust_background(x, log_power, knee=False, steepness=np.ones(len(psd)))
    flat = log_power - background(x, line)
    bumps = [
        sum(
            (h * np.exp(-((x - c) ** 2) / (2.0 * s**2)) for c, h, s in fit.gaussian_params),
            np.zeros(x.size),
        )
        for fit in fits
    ]
    return np.asarray(0.5 * np.sum((flat - np.array(bumps)) ** 2, axis=1))


@dataclass(frozen=True)
class Fits:
    """What two sets of fits are compared by."""

    n_peaks: Array
    alpha_hz: Array
    exponent: Array
    cost: Array


def of_ours(got: Parametrisation) -> Fits:
    alpha = [tallest_alpha(p[np.isfinite(p[:, 0])]) for p in got.peaks]
    return Fits(got.n_peaks, np.array(alpha), got.exponent, got.cost)


def of_fooof(freqs: Array, psd: Array, fits: list[Any]) -> Fits:
    return Fits(
        np.array([len(fit.peak_params) for fit in fits]),
        np.array([tallest_alpha(fit.peak_params) for fit in fits]),
        np.array([fit.aperiodic_params[1] for fit in fits]),
        costs(freqs, psd, fits),
    )


def agreement(one: Fits, fooof: Fits) -> str:
    """How far a set of fits and fooof's agree, in words."""
    both_none = np.isnan(one.alpha_hz) & np.isnan(fooof.alpha_hz)
    close = both_none | (np.abs(one.alpha_hz - fooof.alpha_hz) <= 0.01)
    exponent = np.abs(one.exponent - fooof.exponent) <= 0.001
    rise = one.cost / fooof.cost - 1.0
    return (
        f"same number of peaks {100 * np.mean(one.n_peaks == fooof.n_peaks):.1f} %, alpha centre "
        f"within 0.01 Hz {100 * np.mean(close):.1f} %, exponent within 0.001 "
        f"{100 * np.mean(exponent):.1f} %, cost more than 1e-3 above in {np.sum(rise > 1e-3)} and "
        f"below in {np.sum(rise < -1e-3)} of {rise.size} ({rise.min():+.1e} to {rise.max():+.1e})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spectra", type=int, default=1920)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer-spectra", type=int, default=240, help="part the peers are timed on")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    made = make_spectra(options.spectra, options.seed)
    n_part = min(options.peer_spectra, options.spectra)
    rng = np.random.default_rng(options.seed)
    part = np.sort(rng.choice(options.spectra, n_part, replace=False))
    makers = peers()
    warnings.simplefilter("ignore")  # the peers set filters of their own

    def ours(engine: Any, psd: Array) -> Parametrisation:
        return parametrise(made.freqs_hz, psd, engine=engine)

    def theirs(name: str, psd: Array) -> list[Any]:
        model = makers[name]()
        model.fit(made.freqs_hz, psd, list(FIT_RANGE_HZ))
        return list(model.get_results()) if name == "fooof" else []

    best: dict[str, float] = {}
    fitted: dict[str, Any] = {}
    for engine in ENGINES:
        spent_s, _ = timed(lambda engine=engine: ours(engine, made.psd[:64]))
        print(f"{engine}: first call on 64 spectra {spent_s:.2f} s CPU")
    for _ in range(options.repeats):
        for name in (*ENGINES, *makers):
            if name in ENGINES:
                spent_s, fitted[name] = timed(lambda name=name: ours(name, made.psd))
                spent_s /= options.spectra
            else:
                spent_s, fitted[name] = timed(lambda name=name: theirs(name, made.psd[part]))
                spent_s /= n_part
            best[name] = min(spent_s, best.get(name, np.inf))

    bins = fitted["numpy"].freqs_hz.size
    print(
        f"{options.spectra} made spectra of {bins} bins, on average "
        f"{fitted['numpy'].n_peaks.mean():.1f} peaks; peers timed on {n_part} of them, drawn at "
        "random, and scaled"
    )
    print(f"{'':<12}{'per spectrum':>14}{'of fooof':>11}{'of specparam':>15}{'exact fits':>13}")
    for name, spent_s in best.items():
        exact = f"{fitted[name].exact.sum()}" if name in ENGINES else ""
        print(
            f"{name:<12}{1e3 * spent_s:>11.3f} ms{best['fooof'] / spent_s:>10.1f}x"
            f"{best['specparam'] / spent_s:>14.1f}x{exact:>13}"
        )
    some = made.psd[part]
    truth = of_fooof(made.freqs_hz, some, fitted["fooof"])
    for engine in ENGINES:
        words = agreement(of_ours(ours(engine, some)), truth)
        print(f"{engine} against fooof: {words}")
    nudged = some * (1.0 + 1e-12 * rng.standard_normal(some.shape))
    again = of_fooof(made.freqs_hz, nudged, theirs("fooof", nudged))
    print(f"fooof against itself, power changed by 1e-12: {agreement(again, truth)}")
    singles = [timed(lambda i=i: parametrise(made.freqs_hz, made.psd[i]))[0] for i in part[:60]]
    averages = [
        timed(lambda i=i: parametrise(made.freqs_hz, made.psd[i : i + 30].mean(axis=0)))[0]
        for i in part[part + 30 <= options.spectra][:60]
    ]
    print(
        f"one spectrum alone: median {1e3 * np.median(singles):.1f} ms, 95 % under "
        f"{1e3 * np.quantile(singles, 0.95):.1f} ms; a mean of 30: "
        f"{1e3 * np.median(averages):.1f} and {1e3 * np.quantile(averages, 0.95):.1f} ms"
    )
    real(makers["fooof"])


def real(maker: Callable[[], Any]) -> None:
    """Real EEG spectra of fooof's own examples, where they are at hand."""
    folder = Path(os.environ.get("TACS_TEST_DATA", REAL.parent)) / REAL.name
    if not (folder / "group_powers.npy").exists():
        print("real spectra: not at hand (TACS_TEST_DATA)")
        return
    freqs, psd = np.load(folder / "group_freqs.npy"), np.load(folder / "group_powers.npy")
    model = maker()
    model.fit(freqs, psd, list(FIT_RANGE_HZ))
    truth = of_fooof(freqs, psd, list(model.get_results()))
    for engine in ENGINES:
        words = agreement(of_ours(parametrise(freqs, psd, engine=engine)), truth)
        print(f"{len(psd)} real spectra, {engine} against fooof: {words}")


if __name__ == "__main__":
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if any(os.environ.get(name) != "1" for name in threads):
        command = [sys.executable, "-m", "benchmarks.parametrise", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **threads})
    main()
