"""The published simulation of restingIAF, run through this suite's replication of the method.

Corcoran et al. 2018 (Psychophysiology 55:e13064), Table 1: 2 min of pink noise and a sine wave of
7.5 to 12.5 Hz, one channel, 1000 runs for each signal-to-noise ratio. Printed beside the paper's:
how often a peak is found, the root mean square error of those, and how many lie more than one bin
(0.24 Hz) off. "within" says whether ours and the paper's agree within sampling error: two-sided
exact test of two shares at 5 %, and a 95 % bootstrap interval of ours around a rounded error.

How a ratio of 0.05 scales the sine is not known here beyond the figures themselves. It is set by
one number (`--scale`, amplitude of the sine over the standard deviation of the noise, per unit of
the ratio), chosen so that the share found at 0.05 is the paper's: that cell is fitted, all others
are predictions.

Where the tutorial recordings are there (TACS_TEST_DATA), they go through the method too, beside
the output that its authors publish.

    python -m benchmarks.corcoran [--runs N] [--scale S]
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.restingiaf import resting_iaf

Array = NDArray[np.float64]

SFREQ_HZ = 250.0
SECONDS = 120.0
SHIFT_HZ = 0.244140625  # one bin
SCALE = 2.2


@dataclass(frozen=True, slots=True)
class Row:
    """One line of Table 1: ratio, peaks found, their error, and how many are shifted."""

    ratio: float
    runs: int
    found: int
    rmse_hz: float
    shifted: int


PAPER = (
    Row(0.05, 1000, 659, 0.09, 7),
    Row(0.10, 1000, 955, 0.09, 14),
    Row(0.15, 1000, 997, 0.08, 3),
    Row(0.30, 1000, 1000, 0.07, 0),
)
# Both recordings of a person together: peak and centre of gravity; SD of the peak in each.
TUTORIAL = {"01": (10.675, 10.229, (0.13372, 0.10918)), "02": (9.7659, 9.6555, (0.3245, 0.21837))}


def pink_noise(rng: np.random.Generator, n: int) -> Array:
    """Noise with power 1/f, mean 0 and standard deviation 1."""
    spectrum = rng.standard_normal(n // 2 + 1) + 1j * rng.standard_normal(n // 2 + 1)
    spectrum[0] = 0.0
    spectrum[1:] /= np.sqrt(np.arange(1, spectrum.size))
    noise = np.fft.irfft(spectrum, n)
    return np.asarray(noise / noise.std())


def errors_hz(ratio: float, runs: int, *, scale: float = SCALE, seed: int = 2018) -> Array:
    """Error of the peak in each run, NaN where none is found.

    Parameters
    ----------
    ratio : float
        Signal-to-noise ratio of the table.
    runs : int
        Simulated recordings.
    scale : float
        Amplitude of the sine per unit of the ratio, in standard deviations of the noise.
    seed : int
        Seed.

    Returns
    -------
    ndarray, shape (runs,)
        Found minus true frequency, Hz.
    """
    rng = np.random.default_rng([seed, round(1000 * ratio)])
    time_s = np.arange(round(SECONDS * SFREQ_HZ)) / SFREQ_HZ
    out = np.full(runs, np.nan)
    for i in range(runs):
        truth = float(rng.uniform(7.5, 12.5))
        wave = np.sin(2.0 * np.pi * (truth * time_s + rng.random()))
        signal = pink_noise(rng, time_s.size) + scale * ratio * wave
        peak = resting_iaf(signal[None], SFREQ_HZ, min_channels=1).peak_hz
        if peak is not None:
            out[i] = peak - truth
    return out


def summary(ratio: float, errors: Array) -> Row:
    """Row of the table from the errors of the runs."""
    sure = errors[np.isfinite(errors)]
    rmse = float(np.sqrt(np.mean(sure**2))) if sure.size else float("nan")
    return Row(ratio, errors.size, sure.size, rmse, int(np.sum(np.abs(sure) > SHIFT_HZ)))


def same_share(hits: int, n: int, paper_hits: int, paper_n: int) -> bool:
    """Whether two shares may be equal: Fisher's exact test, 5 %."""
    from scipy.stats import fisher_exact

    table = np.array([[hits, n - hits], [paper_hits, paper_n - paper_hits]])
    return bool(fisher_exact(table).pvalue >= 0.05)


def same_error(errors: Array, paper_hz: float, *, seed: int = 0) -> bool:
    """Whether the paper's rounded error lies in the 95 % bootstrap interval of ours."""
    squares = errors[np.isfinite(errors)] ** 2
    if not squares.size:
        return False
    rng = np.random.default_rng(seed)
    again = rng.choice(squares, (2000, squares.size)).mean(axis=1)
    low, high = np.sqrt(np.quantile(again, [0.025, 0.975]))
    return bool(low - 0.005 <= paper_hz <= high + 0.005)


def print_tutorial() -> None:
    """The tutorial recordings beside their published output."""
    import analysis
    from analysis.replication import replicate

    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TACS_TEST_DATA", default)) / "restingiaf_ec"
    if not folder.is_dir():
        print(f"\ntutorial recordings not found under TACS_TEST_DATA ({folder.parent}): left out")
        return
    print("\nTutorial recordings (both of a person together), ours / published")
    for person, (peak, gravity, spread) in TUTORIAL.items():
        ours = []
        for number in (1, 2):
            recording = analysis.load_recording(folder / f"tute_{person}_{number}.set")
            ours.append(replicate(recording, "restingiaf"))
        missing = [e.recording for e in ours if e.frequency_hz is None]
        if missing:
            print(f"{person}: no peak in {', '.join(str(name) for name in missing)}")
            continue
        counts = [sum(c.frequency_hz is not None for c in e.channel_table) for e in ours]
        pooled = np.average([float(e.frequency_hz or 0.0) for e in ours], weights=counts)
        cog = np.mean([float(e.center_of_gravity_hz or np.nan) for e in ours])
        sds = [
            np.std([c.frequency_hz for c in e.channel_table if c.frequency_hz is not None], ddof=1)
            for e in ours
        ]
        print(
            f"{person}: peak {pooled:.3f} / {peak:.3f} Hz; SD over channels "
            + ", ".join(f"{a:.4f} / {b:.4f}" for a, b in zip(sds, spread, strict=True))
            + f" Hz; channels {counts[0]} and {counts[1]}; "
            f"centre of gravity {cog:.3f} / {gravity:.3f} Hz"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="simulated recordings per ratio")
    parser.add_argument("--scale", type=float, default=SCALE, help="sine amplitude per ratio, SD")
    given = parser.parse_args()
    if given.runs < 2 or not given.scale > 0.0:
        parser.error("--runs must be 2 or more, --scale above 0")
    print(
        f"Corcoran et al. 2018, Table 1; ours: {given.runs} runs, sine {given.scale:g} x ratio SD"
    )
    print(f"{'ratio':>6}{'found':>14}{'within':>8}{'error Hz':>14}{'within':>8}", end="")
    print(f"{'shifted':>12}{'within':>8}    (ours / paper)")
    for paper in PAPER:
        errors = errors_hz(paper.ratio, given.runs, scale=given.scale)
        row = summary(paper.ratio, errors)
        verdicts = (
            same_share(row.found, row.runs, paper.found, paper.runs),
            same_error(errors, paper.rmse_hz),
            same_share(row.shifted, max(row.found, 1), paper.shifted, paper.found),
        )
        found, error, shifted = ("yes" if good else "no" for good in verdicts)
        print(
            f"{row.ratio:>6.2f}{f'{row.found} / {paper.found}':>14}{found:>8}"
            f"{f'{row.rmse_hz:.3f} / {paper.rmse_hz:.2f}':>14}{error:>8}"
            f"{f'{row.shifted} / {paper.shifted}':>12}{shifted:>8}",
            flush=True,
        )
    print_tutorial()


if __name__ == "__main__":
    main()
