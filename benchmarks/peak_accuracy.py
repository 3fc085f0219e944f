"""Our peak finder and its peers on made recordings with known truth, in one run.

Peers: the tallest fooof peak of the region's spectrum in the band (peak width 1 to 8 Hz, at most
six peaks, least height 0.1), and the spectrum's maximum in the band. Prints the median error, how
often each answers, how often it "finds" a peak where none is, and how often our 95 % interval holds
the truth. The recordings are made, so this says nothing about patients.

    python -m benchmarks.peak_accuracy [--recordings N]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import scipy.signal

import analysis
from analysis.spectrum import fit_spectrum
from tests.analysis.simulate import MadeEEG, make_eeg

BAND_HZ = (7.0, 13.0)
Answer = tuple[float | None, tuple[float, float] | None]


def ours(made: MadeEEG) -> Answer:
    peak = analysis.find_peak(made.raw())
    return peak.frequency_hz, peak.ci95_hz


def region_spectrum(made: MadeEEG) -> tuple[np.ndarray, np.ndarray]:
    freqs, psd = scipy.signal.welch(made.data_v, made.sfreq_hz, nperseg=int(4 * made.sfreq_hz))
    return freqs, (psd / psd.mean(axis=1, keepdims=True)).mean(axis=0)


def fooof_peak(made: MadeEEG) -> Answer:
    freqs, psd = region_spectrum(made)
    peaks = fit_spectrum(freqs, psd).peaks  # centre in Hz, height, width
    inside = [peak for peak in peaks if BAND_HZ[0] <= peak[0] <= BAND_HZ[1]]
    best = max(inside, key=lambda peak: peak[1], default=None)
    return (None if best is None else best[0]), None


def maximum(made: MadeEEG) -> Answer:
    freqs, psd = region_spectrum(made)
    band = (freqs >= BAND_HZ[0]) & (freqs <= BAND_HZ[1])
    return float(freqs[band][np.argmax(psd[band])]), None


def recordings(n: int, *, with_peak: bool) -> list[MadeEEG]:
    rng = np.random.default_rng(20 + with_peak)
    return [
        make_eeg(
            1000 * with_peak + i,
            peak_hz=float(rng.uniform(8.0, 12.5)) if with_peak else None,
            duration_s=float(rng.choice([60.0, 120.0])),
            exponent=float(rng.choice([0.8, 1.2, 1.6, 2.0])),
            height_log10=float(rng.choice([0.5, 1.0])),
            shape=str(rng.choice(["gauss", "ar2"])),
            beta=bool(rng.random() < 0.5),
        )
        for i in range(n)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=100, help="with and without a peak each")
    n = parser.parse_args().recordings
    warnings.simplefilter("ignore")
    present, absent = recordings(n, with_peak=True), recordings(n, with_peak=False)
    finders: dict[str, Callable[[MadeEEG], Answer]] = {
        "ours": ours,
        "fooof, tallest in band": fooof_peak,
        "spectrum maximum": maximum,
    }
    print(f"{n} recordings with a peak, {n} without; 60 or 120 s")
    print(
        f"{'':<24}{'median error':>13}{'p95':>9}{'answers':>9}{'false':>8}{'covers':>8}{'time':>7}"
    )
    base_s: float | None = None
    for name, find in finders.items():
        find(present[0])  # imports
        start_s = time.process_time()
        answers = [find(made) for made in present]
        used_s = time.process_time() - start_s
        base_s = base_s or used_s
        errors = [
            abs(f - made.peak_hz)
            for (f, _), made in zip(answers, present, strict=True)
            if f is not None and made.peak_hz is not None
        ]
        held = [
            ci[0] <= made.peak_hz <= ci[1]
            for (_, ci), made in zip(answers, present, strict=True)
            if ci is not None and made.peak_hz is not None
        ]
        false = np.mean([find(made)[0] is not None for made in absent])
        covers = f"{100 * np.mean(held):.0f} %" if held else "–"
        print(
            f"{name:<24}{np.median(errors):>10.3f} Hz{np.quantile(errors, 0.95):>6.2f} Hz"
            f"{100 * len(errors) / n:>7.0f} %{100 * false:>6.0f} %{covers:>8}"
            f"{used_s / base_s:>6.2f}x"
        )


if __name__ == "__main__":
    main()
