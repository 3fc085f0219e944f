"""How often does a comparison of groups find what is not there, and what is?

Made trials with known truth go through `analysis.compare_groups`; beside its primary analysis stand
the randomisation test, ANCOVA, and statsmodels' mixed model with its own defaults (normal p values,
a random intercept alone). For tables of responders the size of Pearson's, Yates's and Fisher's test
is counted over every possible table, without chance.

    python -m benchmarks.group_errors [--trials 200] [--seed S] [--jobs 1] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy import stats

from analysis import compare_groups
from analysis.contingency import compare_proportions

LEVEL = 0.05
METHODS = ("ours", "randomisation", "ANCOVA", "change", "statsmodels")


@dataclass(frozen=True)
class Cell:
    """One kind of trial; differences are in standard deviations of the noise."""

    name: str
    n: int
    effect: float = 0.0
    visits: tuple[Any, ...] = ("pre", "post")
    between: float = 1.5
    slope: float = 0.0
    lost: float = 0.0
    spread: float = 1.0
    crossover: bool = False


CELLS = (
    Cell("pre/post, 12 patients", 12),
    Cell("pre/post, 24 patients", 24),
    Cell("pre/post, 24, patients alike", 24, between=0.0),
    Cell("pre/post, 24, 25 % lost", 24, lost=0.25),
    Cell("pre/post, 24, active varies twice as much", 24, spread=2.0),
    Cell("4 visits, 16 patients, own slopes", 16, visits=(0, 2, 4, 6), slope=0.5),
    Cell("4 visits, 16 patients, no slopes", 16, visits=(0, 2, 4, 6)),
    Cell("crossover, 12 patients", 12, crossover=True),
    Cell("pre/post, 24 patients, effect", 24, effect=1.8),
    Cell("crossover, 12 patients, effect", 12, effect=1.3, crossover=True),
)


def rows_of(cell: Cell, seed: int) -> list[dict[str, Any]]:
    """One made trial."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(cell.n):
        level = 10.0 + cell.between * rng.normal()
        if cell.crossover:
            order = ("active", "sham") if i % 2 else ("sham", "active")
            for period, arm in enumerate(order, 1):
                value = level + 0.5 * period + cell.effect * (arm == "active") + rng.normal()
                rows.append({"subject": i, "arm": arm, "period": period, "x": value})
            continue
        arm = "active" if i % 2 else "sham"
        own, gone = cell.slope * rng.normal(), rng.random() < cell.lost
        for k, visit in enumerate(cell.visits):
            noise = rng.normal() * (cell.spread if arm == "active" and k else 1.0)
            value = level + own * k + noise - 0.5 * k
            value += cell.effect * (arm == "active") * k / (len(cell.visits) - 1)
            missing = gone and k == len(cell.visits) - 1
            rows.append({"subject": i, "arm": arm, "time": visit, "x": None if missing else value})
    return rows


def one(job: tuple[Cell, int]) -> dict[str, Any]:
    """p values of every method in one trial, and whether our interval holds the truth."""
    cell, seed = job
    rows = rows_of(cell, seed)
    (contrast,) = compare_groups(rows, seed=seed).outcomes[0].contrasts
    found: dict[str, Any] = dict.fromkeys((*METHODS, "holds"))
    if contrast.primary is not None:
        span = 1.0 if isinstance(cell.visits[0], str) else float(cell.visits[-1] - cell.visits[0])
        low, high = contrast.primary.interval
        found["ours"] = contrast.primary.p
        found["holds"] = low * span <= cell.effect <= high * span
    if contrast.permutation is not None:
        found["randomisation"] = contrast.permutation.p
    for estimate in contrast.beside:
        key = "ANCOVA" if estimate.method.startswith("ANCOVA") else "change"
        if found[key] is None:
            found[key] = estimate.p
    found["statsmodels"] = None if cell.crossover else default_p(rows)
    return found


def default_p(rows: list[dict[str, Any]]) -> float | None:
    """The time x arm p that statsmodels prints when nothing is chosen; None where it fails."""
    import pandas as pd
    from statsmodels.formula.api import mixedlm

    data = pd.DataFrame([row for row in rows if row["x"] is not None])
    order = {visit: k for k, visit in enumerate(dict.fromkeys(row["time"] for row in rows))}
    data["t"] = data["time"].map(order).astype(float)
    data["active"] = (data["arm"] == "active").astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = mixedlm("x ~ t * active", data, groups=data["subject"]).fit()
        except (np.linalg.LinAlgError, ValueError):
            return None
    return float(fit.pvalues["t:active"])


def share(values: list[Any]) -> dict[str, Any]:
    """Share of p values below the level, its exact 95 % range, and how many there were."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return {"share": None, "range": None, "answers": 0}
    hits = sum(value < LEVEL for value in known)
    test = stats.binomtest(hits, len(known)).proportion_ci()
    return {"share": hits / len(known), "range": [test.low, test.high], "answers": len(known)}


def table_sizes(n: int, rate: float) -> dict[str, float]:
    """Size of each test of a table with the same rate in both arms of n patients, exactly."""
    chance = stats.binom(n, rate).pmf(np.arange(n + 1))
    sizes = {"Pearson": 0.0, "Yates": 0.0, "Fisher": 0.0}
    for a in range(n + 1):
        for b in range(n + 1):
            (contrast,) = compare_proportions({"active": (a, n), "sham": (b, n)}).contrasts
            weight = float(chance[a] * chance[b])
            for name, test in (("Pearson", contrast.pearson), ("Yates", contrast.yates)):
                sizes[name] += weight * (test is not None and test.p < LEVEL)
            sizes["Fisher"] += weight * (contrast.exact.p < LEVEL)
    return sizes


def run(trials: int, seed: int, jobs: int, cells: tuple[Cell, ...] = CELLS) -> dict[str, Any]:
    """Every cell."""
    report: dict[str, Any] = {"trials": trials, "seed": seed, "cells": {}, "tables": {}}
    for number, cell in enumerate(cells):
        work = [(cell, 1_000_000 * seed + 10_000 * number + k) for k in range(trials)]
        found = list(_each(work, jobs))
        row: dict[str, Any] = {m: share([f[m] for f in found]) for m in METHODS}
        held = [f["holds"] for f in found if f["holds"] is not None]
        row["coverage"] = sum(held) / len(held) if held else None
        row["truth"] = cell.effect
        report["cells"][cell.name] = row
        print(line(cell, row), flush=True)
    return report


def _each(work: list[tuple[Cell, int]], jobs: int) -> Iterator[dict[str, Any]]:
    if jobs == 1:
        yield from map(one, work)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(one, work, chunksize=8)


def line(cell: Cell, row: dict[str, Any]) -> str:
    """One row of the printed table."""
    parts = [f"{cell.name:44s} {'power' if cell.effect else 'false'}"]
    for method in METHODS:
        value = row[method]
        told = "-" if value["share"] is None else f"{100 * value['share']:5.1f}"
        lost = row["ours"]["answers"] - value["answers"] if value["answers"] else 0
        parts.append(f"{method} {told:>5s}{f' ({lost} failed)' if lost > 0 else ''}")
    cover = "-" if row["coverage"] is None else f"{100 * row['coverage']:.1f}"
    return "  ".join([*parts, f"coverage {cover}"])


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200, help="made trials of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    chosen = parser.parse_args(words)
    if chosen.trials < 1 or chosen.jobs < 1 or chosen.seed < 0:
        parser.error("--trials and --jobs are at least 1, --seed at least 0")
    return chosen


def main() -> None:
    chosen = arguments()
    print("percent of trials with p < .05, and percent of 95 % intervals that hold the truth")
    report = run(chosen.trials, chosen.seed, chosen.jobs)
    for n in (10, 15, 25):
        for rate in (0.2, 0.5):
            sizes = table_sizes(n, rate)
            report["tables"][f"{n} per arm, rate {rate}"] = sizes
            told = ", ".join(f"{name} {100 * size:.1f} %" for name, size in sizes.items())
            print(f"responders, {n} per arm, rate {rate:g}: false positives {told}", flush=True)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
