"""What artefacts on one side do to a change of alpha, and what the preparations do about it.

Made heads of 19 electrodes, 60 s before and after at 128 Hz, alpha power times 1 or 1.5 after.
Blinks (18 a minute, 150 µV), or blinks, jaw muscle, heart and 50 Hz mains, lie on one side alone.
The error is that of ln(after / before) at 8-12 Hz against the same recordings without artefacts and
in the same reference.

    python -m benchmarks.preparation [--seeds N] [--references N]

ICA takes some seconds of CPU for each pair (two seeds: 24 decompositions); the table of references
is without it.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import defaultdict
from typing import Any

import numpy as np

from analysis.pairing import Pair, make_pair
from analysis.power import measure
from analysis.preparation import ARTEFACTS
from tests.analysis.made_artefacts import ALL, BLINKS, NONE, made_pair_on_head

REGIONS = {
    "posterior": ("P3", "Pz", "P4", "O1", "O2"),
    "central": ("C3", "Cz", "C4"),
    "frontal": ("Fp1", "Fp2", "F3", "Fz", "F4"),
}
KINDS = (
    ("blinks after", NONE, BLINKS),
    ("blinks before", BLINKS, NONE),
    ("all after", NONE, ALL),
    ("all before", ALL, NONE),
)
RATIOS = (1.0, 1.5)
REFERENCES = ("none", "average", "Cz", "T7")


def ln_ratio(pair: Pair, region: tuple[str, ...]) -> float:
    """Log ratio of 8-12 Hz power, mean over the channels that are there."""
    rows = [pair.channels.index(name) for name in region if name in pair.channels]
    power = [
        measure(data, pair.sfreq_hz, rows, (8.0, 12.0), bad=bad).band[:, rows].mean()
        for data, bad in ((pair.before_uv, pair.bad_before), (pair.after_uv, pair.bad_after))
    ]
    return float(np.log(power[1] / power[0]))


def referenced(raws: tuple[Any, Any], reference: str) -> list[Any]:
    """Copies against one electrode, the average, or as they are."""
    if reference == "none":
        return [raw.copy() for raw in raws]
    to: Any = "average" if reference == "average" else [reference]
    return [raw.copy().set_eeg_reference(to, verbose="ERROR") for raw in raws]


def table(title: str, errors: dict[tuple[str, str, str], list[float]]) -> None:
    """Mean and largest error, one row for each kind and way, one column for each region."""
    print(f"\n{title}")
    print(f"{'artefacts':<16}{'':<12}" + "".join(f"{name:>24}" for name in REGIONS))
    for kind, _, _ in KINDS:
        for way in dict.fromkeys(key[1] for key in errors):
            cells = ""
            for region in REGIONS:
                values = np.array(errors[kind, way, region])
                cells += f"{values.mean():>+14.3f} ({np.abs(values).max():.3f})  "
            print(f"{kind:<16}{way:<12}{cells}", flush=True)


def preparations(seeds: int) -> None:
    """Every preparation, average reference."""
    errors: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    removed: dict[str, int] = defaultdict(int)
    for seed in range(seeds):
        for kind, before, after in KINDS:
            for ratio in RATIOS:
                spoilt, clear = made_pair_on_head(
                    seed, duration_s=63.0, alpha_ratio=ratio, before=before, after=after
                )
                truth = make_pair(*referenced(clear, "average"))
                for method in ARTEFACTS:
                    start = time.process_time()
                    pair = make_pair(*referenced(spoilt, "average"), artefacts=method)
                    seconds[method].append(time.process_time() - start)
                    if method == "ica" and pair.handling.ica is not None:
                        for number in pair.handling.ica.removed:
                            removed[pair.handling.ica.components[number].label] += 1
                    for name, region in REGIONS.items():
                        error = ln_ratio(pair, region) - ln_ratio(truth, region)
                        errors[kind, method, name].append(error)
    table("Error of ln(after / before): mean (largest)", errors)
    for method in ARTEFACTS:
        print(f"{method}: {np.median(seconds[method]):.1f} s of CPU for a pair (median)")
    told = ", ".join(f"{count} {label}" for label, count in sorted(removed.items()))
    print(f"components removed by ica in {seeds * len(KINDS) * len(RATIOS)} pairs: {told}")


def references(seeds: int) -> None:
    """Without any preparation, the reference as recorded."""
    errors: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for seed in range(seeds):
        for kind, before, after in KINDS:
            spoilt, clear = made_pair_on_head(
                seed, duration_s=63.0, alpha_ratio=1.5, before=before, after=after
            )
            for reference in REFERENCES:
                truth = make_pair(*referenced(clear, reference))
                pair = make_pair(*referenced(spoilt, reference))
                for name, region in REGIONS.items():
                    error = ln_ratio(pair, region) - ln_ratio(truth, region)
                    errors[kind, reference, name].append(error)
    table("The same without preparation, by reference", errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="heads for every preparation (2)")
    parser.add_argument("--references", type=int, default=5, help="heads for the references (5)")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    preparations(given.seeds)
    references(given.references)


if __name__ == "__main__":
    main()
