"""Change of power against planted truth: what is recovered, and what is called oscillation.

planted    the virtual patient, stimulated so that its rhythm grows by a known factor, 3 min of EEG
           before and after, whole chain (`analysis.compare`): log ratio of power over the
           background and of band power against the truth
aperiodic  1/f exponent falls by 0.2 and offset rises by 0.1, the rhythm unchanged: how often the
           change is called one of the oscillation, and how often it has a direction
rhythm     the rhythm alone grows by 25 %: adjusted power, and the verdicts
fading     power that fades after the session: how often the intervals of size and time constant
           hold the truth, how often there is "a fading" where there is none

    python -m benchmarks.power [--seeds N] [--parts planted,aperiodic,rhythm,fading]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from typing import Any

import numpy as np

from analysis.outcome import compare
from analysis.power import measure, percent_of_ln
from analysis.power_change import PowerChange, compare_power
from analysis.power_verdict import BOTH, OSCILLATION
from analysis.timecourse import Later, TimeCourse, time_course
from devices.patient import VirtualPatient, ln_power_ratio
from devices.truth import PatientTruth
from tests.analysis.made_outcome import made_series, made_uv

CHANNELS = ("P3", "Pz", "P4", "O1", "Oz", "O2")
BAND = (8.0, 12.0)
SECONDS = 180.0


def line(name: str, values: list[float], truth: float) -> str:
    """Mean error, spread and worst of a number whose truth is known."""
    errors = np.array(values) - truth
    return (
        f"{name:<34} truth {truth:+.3f}  mean error {errors.mean():+.3f} (SE "
        f"{errors.std(ddof=1) / np.sqrt(errors.size):.3f}), spread {errors.std(ddof=1):.3f}, "
        f"worst {np.abs(errors).max():.3f}"
    )


def planted(seeds: int) -> None:
    raw, adjusted, truths, held = [], [], [], 0
    for seed in range(seeds):
        truth = PatientTruth.draw(seed)
        patient = VirtualPatient(truth, seed, channels=CHANNELS)
        pre = patient.record(SECONDS)
        patient.stimulate(1200.0, 1.0, truth.peak_hz, electrodes={"Oz": 1.0, "Cz": -1.0})
        post = patient.record(SECONDS)
        true = ln_power_ratio(*patient.recordings)["occipital"]
        found = compare(
            pre, post, peak_hz=truth.peak_hz, picks=["O1", "Oz", "O2"], discard_s=0.0
        ).power
        truths.append(true)
        raw.append(found.raw.ln_ratio - true)
        adjusted.append((found.adjusted.ln_ratio or np.nan) - true)
        low, high = found.adjusted.interval_ln or (np.nan, np.nan)
        held += low <= true <= high
    print(f"planted: {seeds} virtual patients, ln ratio {np.mean(truths):.3f} on average")
    print(line("  power over the background", adjusted, 0.0))
    print(line("  band power", raw, 0.0))
    near = sum(abs(error) <= 0.05 for error in adjusted)
    print(f"  single patients within 0.05: {near} of {seeds} (spontaneous fluctuation is the rest)")
    print(f"  95 % interval of adjusted power holds the truth in {held} of {seeds}")


def pair(seed: int, rhythm_uv: float, **after: float) -> PowerChange:
    """Made pair, compared; `after` says what is different after."""
    made = {"duration_s": SECONDS, "channels": CHANNELS, "alpha_uv": rhythm_uv}
    sides = [
        measure(data, 160.0, list(range(len(CHANNELS))), BAND)
        for data in (made_uv(2 * seed, **made), made_uv(2 * seed + 1, **{**made, **after}))
    ]
    return compare_power(sides[0], sides[1], CHANNELS, CHANNELS, BAND, n_bootstrap=1000)


def told(found: list[PowerChange]) -> str:
    verdicts = Counter(one.verdict for one in found)
    directions = Counter(one.direction for one in found)
    return "\n".join(f"  {n:4d}  {what}" for what, n in [*verdicts.items(), *directions.items()])


def aperiodic(seeds: int) -> None:
    for alpha_uv in (2.0, 5.0, 8.0):
        found = [
            pair(5000 + seed, alpha_uv, exponent=1.0, background_uv=4.0 * 10.0**0.05)
            for seed in range(seeds)
        ]
        called = sum(one.verdict in (OSCILLATION, BOTH) for one in found)
        given = sum(one.direction in ("increase", "decrease") for one in found)
        raw = float(np.mean([percent_of_ln(one.raw.ln_ratio) for one in found]))
        exponent = [one.aperiodic.exponent_change or np.nan for one in found]
        print(
            f"aperiodic: rhythm of {alpha_uv:g} µV, {seeds} pairs, band power {raw:+.0f} %; called "
            f"oscillation {called}, given a direction {given}"
        )
        print(line("  change of exponent", exponent, -0.2))
        print(told(found))


def rhythm(seeds: int) -> None:
    found = [pair(7000 + seed, 5.0, alpha_uv=5.0 * 1.25**0.5) for seed in range(seeds)]
    adjusted = [one.adjusted.ln_ratio or np.nan for one in found]
    mean = percent_of_ln(float(np.mean(adjusted)))
    print(f"rhythm alone: {seeds} pairs, +25 % planted, adjusted power {mean:+.1f} % on average")
    print(line("  power over the background", adjusted, float(np.log(1.25))))
    print(told(found))


def course(seed: int, w0: float, tau_min: float, minutes: float) -> TimeCourse:
    """Course of a made series, with spontaneous fluctuation of 3 s."""
    rng = np.random.default_rng(seed)
    power, starts_s = made_series(rng, 300.0, 3.0, sd=0.3)
    after, later_s = made_series(rng, 60.0 * minutes, 3.0, sd=0.3)
    after = after * (1.0 + w0 * np.exp(-later_s / (60.0 * tau_min)))
    return time_course(
        Later("before", starts_s, power), [Later("after", later_s, after)], window_s=4.0, step_s=2.0
    )


def fading(seeds: int) -> None:
    print(f"fading: {seeds} courses each; intervals that hold the truth, of those identified")
    for w0, tau_min, minutes in ((0.6, 20.0, 90.0), (0.3, 60.0, 90.0), (0.0, 20.0, 90.0)):
        found = [course(9000 + seed, w0, tau_min, minutes) for seed in range(seeds)]
        known = [one.decay for one in found if one.decay.identified]
        held_w = sum(
            one.w0_interval is not None and one.w0_interval[0] <= w0 <= one.w0_interval[1]
            for one in known
        )
        held_tau = sum(
            one.tau_interval_s is not None
            and one.tau_interval_s[0] <= 60.0 * tau_min <= (one.tau_interval_s[1] or np.inf)
            for one in known
        )
        both = 0
        for one in found:
            truth = [
                np.log(
                    np.mean(
                        1.0 + w0 * np.exp(-np.arange(b.from_s, b.to_s - 2, 2.0) / (60 * tau_min))
                    )
                )
                for b in one.bins
            ]
            both += all(
                b.simultaneous_ln[0] <= true <= b.simultaneous_ln[1]
                for b, true in zip(one.bins, truth, strict=True)
            )
        print(
            f"  {100 * w0:+3.0f} %, {tau_min:g} min, {minutes:g} min recorded: identified "
            f"{len(known)}, size {held_w}, time constant {held_tau}; all bins inside the "
            f"simultaneous band {both} of {seeds}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="three times as many without EEG")
    parser.add_argument("--parts", default="planted,aperiodic,rhythm,fading")
    options = parser.parse_args()
    parts: dict[str, Any] = {
        "planted": lambda: planted(options.seeds),
        "aperiodic": lambda: aperiodic(3 * options.seeds),
        "rhythm": lambda: rhythm(3 * options.seeds),
        "fading": lambda: fading(2 * options.seeds),
    }
    for name in options.parts.split(","):
        parts[name]()


if __name__ == "__main__":
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if any(os.environ.get(name) != "1" for name in threads):
        command = [sys.executable, "-m", "benchmarks.power", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **threads})
    main()
