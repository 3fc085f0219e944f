"""How often is a change called where there is none, and how often is a true one found?

Made pairs of recordings go through `analysis.compare`, as a user's would. Peers, on the same
recordings: permutation of 2-s epochs and Welch's t on their log power, what papers do.

What is counted:

- *called*: `direction` is increase or decrease. With a null every call is false. The 95 % range
  beside it is exact (Clopper and Pearson).
- *withheld*: `inference.withheld` is true: p values and corrected statements are refused with a
  reason found in the recordings (slow fluctuation, arousal, a line).
- *declined*: withheld, or `direction` is undetermined. Never where a direction was called, and
  "none" does not count either.
- *oscillation*, *aperiodic*: what `power.aperiodic.verdict` says.

Of a stationary null "declined" would count every interval that is merely too wide to exclude 25 %,
so there the goal is on *withheld*. `benchmarks.made_pairs` says what the recordings hold; they say
nothing about patients. Drift as slow as the recordings are long cannot always be seen in them: the
row with 180 s shows what is left.

Virtual patients (`devices.patient`: limit cycles whose peak wanders) are recorded twice, twenty
minutes apart, without stimulation and without drift.

The last table draws log power of epochs alone, with the settings under which the usual tests have
been reported to call 23, 52, 66 and 77 % (drift constants of 5, 20, 60 and 180 s).

    python -m benchmarks.false_positives [--pairs N] [--full] [--seed S] [--only NAME,…]
                                         [--parts null,power,patients,epochs]
                                         [--jobs 1|2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import analysis
from analysis.statistics import compare_series, direction_of
from benchmarks.false_positive_tables import (
    HEAD,
    PATIENTS,
    POWER_HEAD,
    Said,
    goals,
    power_row,
    row,
)
from benchmarks.made_pairs import CHANNELS, PairCase, make_pair, truth_ln
from devices.cohort import record_together
from devices.patient import PatientTruth, VirtualPatient

Array = NDArray[np.float64]

PAIRS, FULL_PAIRS = 40, 400
EPOCH_S = 2.0
PERMUTATIONS = 999
TOGETHER = 10
REGION = ("P3", "P4", "O1", "O2")

NULLS: dict[str, PairCase] = {
    "stationary": PairCase(0),
    "waxing and waning, 2 s": PairCase(0, burst_sd=0.4),
    "drift, 5 s": PairCase(0, tau_s=5.0),
    "drift, 20 s": PairCase(0, tau_s=20.0),
    "drift, 60 s": PairCase(0, tau_s=60.0),
    "drift, 180 s": PairCase(0, tau_s=180.0),
    "drowsy after": PairCase(0, drowsy=1.0),
    "drowsy before": PairCase(0, drowsy=-1.0),
    "half as drowsy": PairCase(0, drowsy=0.5),
    "dozing off": PairCase(0, asleep_during=1.0),
    "exponent -0.3": PairCase(0, exponent_change=-0.3, alpha_uv=2.5),
    "background x 2": PairCase(0, background_ratio=2.0, alpha_uv=2.5),
    "line left, 5 µV": PairCase(0, line_uv=5.0),
    "line left, 8 µV": PairCase(0, line_uv=8.0),
}
TRUE_PERCENT = (-33.0, 5.0, 10.0, 25.0, 50.0)
EPOCH_TAUS_S = (None, 5.0, 20.0, 60.0, 180.0)


def ask(case: PairCase) -> Said:
    """Make one pair and ask ours and the peers."""
    made = make_pair(case)
    return said_of((made.before, made.after), case.seed, lambda band_hz: truth_ln(case, band_hz))


def said_of(
    pair: tuple[Any, Any], seed: int, truth: Callable[[tuple[float, float]], float]
) -> Said:
    """Ask ours and the peers about one pair of recordings."""
    found = analysis.compare(*pair, picks=list(REGION), n_bootstrap=1000)
    raw = found.power.raw
    epochs_p, welch_p = epoch_tests(pair, found.power.band_hz, seed)
    return Said(
        direction=found.direction,
        withheld=found.inference.withheld,
        codes=tuple(one.code for one in found.inference.reasons),
        verdict=found.power.verdict,
        p=raw.p,
        ln_ratio=raw.ln_ratio,
        interval_ln=raw.interval_ln,
        truth_ln=truth(found.power.band_hz),
        family_called=any(one.changed is True for one in found.inference.family),
        epochs_p=epochs_p,
        welch_p=welch_p,
    )


def ask_patients(n: int, seed: int) -> list[Said]:
    """Record virtual patients twice without stimulation, ten side by side, and ask."""
    said: list[Said] = []
    for first in range(0, n, TOGETHER):
        rng = np.random.default_rng(seed + first)
        group = [
            VirtualPatient(
                PatientTruth(peak_hz=float(rng.uniform(8.5, 11.5)), drift_per_min=0.0),
                seed + i,
                channels=CHANNELS,
            )
            for i in range(first, min(first + TOGETHER, n))
        ]
        before = record_together(group, 183.0)
        for patient in group:
            patient.wait(1200.0, eyes="closed")
        after = record_together(group, 183.0)
        said += [
            said_of(pair, seed + first + i, lambda _: 0.0)
            for i, pair in enumerate(zip(before, after, strict=True))
        ]
    return said


def epoch_tests(
    pair: tuple[Any, Any], band_hz: tuple[float, float], seed: int
) -> tuple[float, float]:
    """P of a permutation of epochs, and of Welch's t, on log band power of the region."""
    rows = [CHANNELS.index(name) for name in REGION]
    sides = []
    for raw in pair:
        sfreq_hz = float(raw.info["sfreq"])
        size = round(EPOCH_S * sfreq_hz)
        data = raw.get_data()[rows, round(3.0 * sfreq_hz) :]
        data = data[:, : data.shape[1] // size * size].reshape(len(rows), -1, size)
        data = (data - data.mean(axis=2, keepdims=True)) * np.hanning(size)
        freqs = np.fft.rfftfreq(size, 1.0 / sfreq_hz)
        inside = (freqs >= band_hz[0]) & (freqs <= band_hz[1])
        power = (np.abs(np.fft.rfft(data, axis=2)[:, :, inside]) ** 2).sum(axis=2).mean(axis=0)
        sides.append(np.log(power))
    return exchange(sides[0], sides[1], np.random.default_rng(seed))


def exchange(before: Array, after: Array, rng: np.random.Generator) -> tuple[float, float]:
    """P of a permutation of single epochs (difference of means), and of Welch's t."""
    from scipy.stats import ttest_ind

    both = np.concatenate([before, after])
    shuffled = rng.permuted(np.tile(both, (PERMUTATIONS, 1)), axis=1)
    change = shuffled[:, before.size :].mean(axis=1) - shuffled[:, : before.size].mean(axis=1)
    observed = after.mean() - before.mean()
    p = (1 + int(np.sum(np.abs(change) >= abs(observed)))) / (PERMUTATIONS + 1)
    return p, float(ttest_ind(after, before, equal_var=False).pvalue)


def epoch_row(tau_s: float | None, n: int, seed: int) -> dict[str, Any]:
    """False calls on series of log power: permutation of epochs, Welch's t, ours."""
    rng = np.random.default_rng(seed)
    counts = {"epochs": 0, "welch": 0, "called": 0, "p": 0, "p_given": 0, "declined": 0}
    times = EPOCH_S * np.arange(90)
    for _ in range(n):
        logs = [_epoch_logs(rng, times.size, tau_s) for _ in range(2)]
        p, welch = exchange(logs[0], logs[1], rng)
        counts["epochs"] += p < 0.05
        counts["welch"] += welch < 0.05
        found = compare_series(
            np.exp(logs[0]), times, np.exp(logs[1]), times, step_s=EPOCH_S, n_bootstrap=400
        )
        direction = direction_of(found.interval_ln)
        counts["called"] += direction in ("increase", "decrease")
        counts["declined"] += direction == "undetermined" or (
            found.fluctuation.slow and direction == "none"
        )
        counts["p_given"] += found.p is not None
        counts["p"] += found.p is not None and found.p < 0.05
    return {"tau_s": tau_s, "n": n, **{key: int(value) for key, value in counts.items()}}


def _epoch_logs(rng: np.random.Generator, n: int, tau_s: float | None) -> Array:
    """Log power of 2-s epochs: drift of SD 0.5, and that of six degrees of freedom per epoch."""
    drift = np.zeros(n)
    if tau_s is not None:
        memory = math.exp(-EPOCH_S / tau_s)
        drift[0] = rng.standard_normal()
        for i in range(1, n):
            drift[i] = memory * drift[i - 1] + math.sqrt(1.0 - memory**2) * rng.standard_normal()
    return np.asarray(0.5 * drift + np.log(rng.gamma(3.0, 1.0 / 3.0, n)))


def run(
    cases: Iterable[tuple[str, PairCase]], pairs: int, seed: int, jobs: int
) -> Iterable[tuple[str, list[Said]]]:
    """Ask `pairs` pairs of every case; seeds do not depend on how many there are."""
    todo = [(name, case) for name, case in cases]
    each = [
        [replace(case, seed=seed + 1_000_003 * place + i) for i in range(pairs)]
        for place, (_, case) in enumerate(todo)
    ]
    if jobs == 1:
        for (name, _), batch in zip(todo, each, strict=True):
            yield name, [ask(case) for case in batch]
        return
    with multiprocessing.get_context("spawn").Pool(jobs, begin_worker) as pool:
        for (name, _), batch in zip(todo, each, strict=True):
            yield name, pool.map(ask, batch, chunksize=4)


def begin_worker() -> None:
    """Leave the machine to others, and keep MNE quiet."""
    os.nice(10)
    warnings.simplefilter("ignore")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs per row")
    parser.add_argument("--full", action="store_true", help=f"{FULL_PAIRS} pairs per row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", default="null,power,patients,epochs")
    parser.add_argument("--only", default="", help="rows of the first table, by name")
    parser.add_argument("--jobs", type=int, default=1, choices=(1, 2))
    parser.add_argument("--json", default="", help="file for every single answer")
    given = parser.parse_args(arguments)
    pairs = FULL_PAIRS if given.full else given.pairs
    parts = given.parts.split(",")
    only = [name.strip() for name in given.only.split(",") if name.strip()]
    kept: dict[str, Any] = {}
    warnings.simplefilter("ignore")
    if "null" in parts:
        print(f"No change of the rhythm by stimulation, {pairs} pairs of 180 s each, in percent")
        print(HEAD)
        chosen = [(k, v) for k, v in NULLS.items() if not only or k.split(",")[0] in only]
        for name, said in run(chosen, pairs, given.seed, given.jobs):
            print(row(name, said), "|", "; ".join(goals(name, said)), flush=True)
            kept[name] = [asdict(one) for one in said]
    if "power" in parts:
        print(f"\nAlpha source changed, {pairs} pairs of 180 s each, in percent")
        print(POWER_HEAD)
        planted = [
            (f"{percent:+.0f} %{words}", PairCase(0, alpha_ratio=1.0 + percent / 100.0, **more))
            for words, more in (("", {}), (", waxing, waning", {"burst_sd": 0.4}))
            for percent in TRUE_PERCENT
        ]
        for name, said in run(planted, pairs, given.seed + 500_000_000, given.jobs):
            print(power_row(name, said), flush=True)
            kept[name] = [asdict(one) for one in said]
    if "patients" in parts:
        print(f"\n{pairs} virtual patients without an effect, in percent\n{HEAD}")
        said = ask_patients(pairs, given.seed)
        print(row(PATIENTS, said), "|", "; ".join(goals(PATIENTS, said)), flush=True)
        kept[PATIENTS] = [asdict(one) for one in said]
    if "epochs" in parts:
        n = 5 * pairs
        print(f"\nNothing changed, log power of 90 epochs of 2 s before and after, {n} draws each")
        print(f"{'drift':>8s} {'epochs':>7s} {'Welch':>7s} {'called':>7s} {'declined':>8s} p given")
        for tau_s in EPOCH_TAUS_S:
            one = epoch_row(tau_s, n, given.seed)
            kept[f"epochs {tau_s}"] = one
            told = "none" if tau_s is None else f"{tau_s:g} s"
            rates = {key: 100.0 * one[key] / n for key in one if key not in ("tau_s", "n")}
            print(
                f"{told:>8s} {rates['epochs']:7.1f} {rates['welch']:7.1f} {rates['called']:7.1f} "
                f"{rates['declined']:8.1f} {rates['p_given']:7.1f}",
                flush=True,
            )
    if given.json:
        Path(given.json).write_text(json.dumps(kept), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
