"""Connectivity is not power: what a rise of alpha alone does to each measure, matched and not.

Made EEG of 32 channels and 90 epochs of 2 s, before and after; the coupling between the sources
stays and their power rises. Truth is no change. Every two recordings are compared both ways round,
each in turn with the rise, so that what differs between them by chance cancels.

    python -m benchmarks.connectivity_confound [--seeds N] [--parts bias,calls,edges,effect,cost]

The default takes a few minutes; the published table is `--seeds 200`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, t

from analysis.connectivity import band_fourier
from analysis.connectivity_change import compare_connectivity
from analysis.connectivity_estimates import size_of
from analysis.connectivity_sums import MEASURES, block_sums
from analysis.network_change import directions
from analysis.network_effect import network_effect
from analysis.pairwise import pairwise_change
from analysis.snr_matching import DRAWS, LOWEST_HZ, REACH_HZ, match_snr
from tests.analysis.made_coupling import S32, SFREQ_HZ, made_coupling
from tests.analysis.made_head import S64

Array = NDArray[np.float64]

BAND_HZ = (8.0, 12.0)
NAMES = [one.name for one in MEASURES]
COUPLED: dict[str, Any] = {"coupling": 0.8, "pair": (0, 1)}
SITE = ("O1", "PO3")
# Electrodes on each side of the back, where the two coupled sources lie.
LEFT = {"P3", "P7", "PO3", "O1", "CP5", "TP9"}
RIGHT = {"P4", "P8", "PO4", "O2", "CP6", "TP10"}
WITHIN_LN = 0.2
CASES: tuple[tuple[str, dict[str, Any], float], ...] = (
    ("no true coupling, +25 %", {}, 1.25),
    ("no true coupling, +50 %", {}, 1.5),
    ("one true coupling, +25 %", COUPLED, 1.25),
    ("one true coupling, +50 %", COUPLED, 1.5),
    ("one true coupling, strong alpha, +50 %", {**COUPLED, "snr": 40.0}, 1.5),
    ("one true coupling, alpha with long tails, +50 %", {**COUPLED, "shape": "ar2"}, 1.5),
    ("one true coupling, waxing and waning, +50 %", {**COUPLED, "tau_s": 5.0}, 1.5),
)


def wide(epochs: Array) -> tuple[Array, NDArray[np.complex128]]:
    """Coefficients in and around the band."""
    return band_fourier(epochs, SFREQ_HZ, (LOWEST_HZ, BAND_HZ[1] + REACH_HZ))


def in_band(freqs: Array, coefficients: NDArray[np.complex128]) -> NDArray[np.complex128]:
    return coefficients[(freqs >= BAND_HZ[0]) & (freqs <= BAND_HZ[1])]


def means(coefficients: NDArray[np.complex128]) -> Array:
    """Mean over pairs of every measure."""
    found = block_sums(coefficients, 1).values(np.ones((1, 1)), MEASURES)
    return np.array([size_of(found[one.name], one).mean() for one in MEASURES])


def paired_epochs(before: Array, after: Array) -> NDArray[np.intp]:
    """Most pairs of epochs whose log power lies within 0.2: what is commonly called matching."""
    order = np.argsort(before), np.argsort(after)
    i, j, pairs = 0, 0, []
    while i < before.size and j < after.size:
        difference = after[order[1][j]] - before[order[0][i]]
        if abs(difference) <= WITHIN_LN:
            pairs.append((order[0][i], order[1][j]))
            i, j = i + 1, j + 1
        elif difference > 0.0:
            i += 1
        else:
            j += 1
    return np.array(sorted(pairs), dtype=np.intp).reshape(-1, 2)


def changes(before: Array, after: Array) -> dict[str, Array]:
    """Change of every measure by each way of looking."""
    freqs, first = wide(before)
    _, second = wide(after)
    sides = in_band(freqs, first), in_band(freqs, second)
    pre = means(sides[0])
    found = {"pre": pre, "as recorded": means(sides[1]) - pre}
    powers = [np.log(np.mean(np.abs(side) ** 2, axis=(0, 2))) for side in sides]
    pairs = paired_epochs(*powers)
    found["paired epochs"] = means(sides[1][:, pairs[:, 1]]) - means(sides[0][:, pairs[:, 0]])
    match = match_snr(freqs, first, second, BAND_HZ, 10)
    if match.reason is not None:
        raise RuntimeError(match.reason)
    values = np.mean([[means(side) for side in match.matched(draw)] for draw in DRAWS], axis=0)
    found["signal-to-noise"] = values[1] - values[0]
    return found


def bias(n_seeds: int) -> None:
    """What each way of looking makes of unchanged coupling."""
    print("\nBias: change in % of the value before (truth 0), mean and 95 % interval over seeds.")
    print("Without coupling wpli2_debiased is 0 before: its change is in % of the coupled value.\n")
    print(f"{'':36}" + "".join(f"{name:>16}" for name in NAMES))
    coupled = np.mean(
        [means(in_band(*wide(made_coupling(s, **COUPLED)))) for s in range(6)], axis=0
    )
    for label, more, gain in CASES:
        rows: dict[str, list[Array]] = {}
        for seed in range(n_seeds):
            one, other = 2 * seed, 2 * seed + 1
            both = [
                changes(made_coupling(one, **more), made_coupling(other, gain=gain, **more)),
                changes(made_coupling(other, **more), made_coupling(one, gain=gain, **more)),
            ]
            for key in both[0]:
                rows.setdefault(key, []).append((both[0][key] + both[1][key]) / 2.0)
        scale = np.mean(rows.pop("pre"), axis=0)
        k = NAMES.index("wpli2_debiased")
        scale[k] = max(scale[k], coupled[k] if "coupling" not in more else 0.0)
        print(label)
        for key, found in rows.items():
            values = 100.0 * np.array(found) / scale
            half = t.ppf(0.975, n_seeds - 1) * values.std(axis=0, ddof=1) / np.sqrt(n_seeds)
            cells = [f"{m:+.2f} ± {h:.2f}" for m, h in zip(values.mean(axis=0), half, strict=True)]
            reached = ""
            if key == "signal-to-noise":
                far = np.abs(values.mean(axis=0))
                missed = [n for n, f, h in zip(NAMES, far, half, strict=True) if f - h > 1.0]
                open_ = [
                    n
                    for n, f, h in zip(NAMES, far, half, strict=True)
                    if f + h > 1.0 and n not in missed
                ]
                reached = f"  beyond 1 %: {', '.join(missed) or 'none'}"
                if open_:
                    reached += f"; not settled: {', '.join(open_)}"
            print(f"  {key:34}" + "".join(f"{cell:>16}" for cell in cells) + reached, flush=True)


def share(count: int, n: int) -> str:
    """Share in %, count, and the exact 95 % interval."""
    low = 0.0 if count == 0 else beta.ppf(0.025, count, n - count + 1)
    high = 1.0 if count == n else beta.ppf(0.975, count + 1, n - count)
    return f"{100 * count / n:.0f} % ({count} of {n}, {100 * low:.0f} to {100 * high:.0f} %)"


def calls(n_seeds: int) -> None:
    """How often a direction is called."""
    print("\nCalls: direction of the primary measures together, and of any measure.\n")
    cases = (
        ("no coupling, power +50 %", {}, {"gain": 1.5}),
        ("coupling stays, power +50 %", COUPLED, {**COUPLED, "gain": 1.5}),
        (
            "coupling stays, background +50 %",
            COUPLED,
            {**COUPLED, "background": 1.5},
        ),
        (
            "coupling stays, power +50 %, waxing and waning",
            {**COUPLED, "tau_s": 5.0},
            {**COUPLED, "tau_s": 5.0, "gain": 1.5},
        ),
        ("coupling 0 to 0.8", {}, COUPLED),
        ("coupling 0.5 to 0.8", {**COUPLED, "coupling": 0.5}, COUPLED),
        (
            "coupling 0.5 to 0.8, power -33 %",
            {**COUPLED, "coupling": 0.5},
            {**COUPLED, "gain": 1 / 1.5},
        ),
        (
            "coupling 0.8 to 0.5, power +50 %",
            COUPLED,
            {"coupling": 0.5, "pair": (0, 1), "gain": 1.5},
        ),
    )
    for label, first, second in cases:
        directions_found, anywhere, unmatched = [], 0, 0
        for seed in range(n_seeds):
            found = compare_connectivity(
                made_coupling(20000 + 2 * seed, **first),
                made_coupling(20001 + 2 * seed, **second),
                SFREQ_HZ,
                BAND_HZ,
                S32,
            )
            directions_found.append(found.direction)
            metrics = found.metrics.values()
            anywhere += any(one.direction in ("increase", "decrease") for one in metrics)
            unmatched += any(
                one.ci95_change[0] > 0.0 or one.ci95_change[1] < 0.0
                for one in metrics
                if one.primary
            )
        print(
            f"{label:48} increase {share(directions_found.count('increase'), n_seeds)}; decrease "
            f"{share(directions_found.count('decrease'), n_seeds)}; any measure "
            f"{share(anywhere, n_seeds)}; unmatched interval of a primary one excludes 0 "
            f"{share(unmatched, n_seeds)}",
            flush=True,
        )


def edges(n_seeds: int) -> None:
    """Whether the planted edge is found, and nothing where nothing changed."""
    print("\nEdges: all 496 pairs, blocks exchanged, corrected for all pairs and both measures.\n")
    cases = (
        ("coupling stays, power +50 %", COUPLED, {**COUPLED, "gain": 1.5}),
        ("coupling 0 to 0.8", {}, COUPLED),
        ("coupling 0.5 to 0.8", {**COUPLED, "coupling": 0.5}, COUPLED),
    )
    for label, first, second in cases:
        any_found = placed = away = 0
        for seed in range(n_seeds):
            sides = [
                made_coupling(30000 + 2 * seed + side, **more)
                for side, more in enumerate((first, second))
            ]
            freqs, before = wide(sides[0])
            match = match_snr(freqs, before, wide(sides[1])[1], BAND_HZ, 10)
            found = pairwise_change(match, S32, 2.0, None, n_permutations=499).found
            any_found += bool(found)
            placed += bool(
                found and set(found[0].channels) & LEFT and set(found[0].channels) & RIGHT
            )
            away += any(not set(pair.channels) & (LEFT | RIGHT | {"Pz"}) for pair in found)
        print(
            f"{label:32} a pair called {share(any_found, n_seeds)}; the first one at the planted "
            f"place {share(placed, n_seeds)}; one with neither end at the back "
            f"{share(away, n_seeds)}",
            flush=True,
        )


def effect(n_seeds: int) -> None:
    """How often the network effect is called where nothing changed."""
    print("\nNetwork effect: p < .05 where coupling did not change, by null.\n")
    places = directions(S32)
    cases: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("nothing changes, no coupling", {}, {}),
        ("nothing changes, coupling", COUPLED, {}),
        ("coupling stays, power +50 %", COUPLED, {"gain": 1.5}),
        ("nothing changes, waxing and waning", {**COUPLED, "tau_s": 10.0}, {}),
    )
    for label, first, extra in cases:
        turned = permuted = 0
        rhos, shared = [], []
        for seed in range(n_seeds):
            freqs, before = wide(made_coupling(40000 + 2 * seed, **first))
            _, after = wide(made_coupling(40001 + 2 * seed, **first, **extra))
            match = match_snr(freqs, before, after, BAND_HZ, 10)
            found = network_effect(match, S32, SITE, places, n_rotations=199)
            plain = network_effect(match, S32, SITE, None, n_rotations=199)
            turned += (found.p or 1.0) < 0.05
            permuted += (plain.p or 1.0) < 0.05
            rhos.append(found.rho)
            ranks = [np.argsort(np.argsort(v)) for v in (found.baseline, found.change)]
            shared.append(float(np.corrcoef(*ranks)[0, 1]))
        print(
            f"{label:36} turned maps {share(turned, n_seeds)}; permuted channels "
            f"{share(permuted, n_seeds)}; mean rho {np.mean(rhos):+.3f} crosswise, "
            f"{np.mean(shared):+.3f} where baseline and change share their epochs",
            flush=True,
        )


def least(call: Callable[[], Any], repeats: int = 3) -> float:
    """CPU seconds, least of the repeats."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return min(spent)


def cost(n_seeds: int) -> None:
    """CPU time of a comparison beside that of the peer's eight measures alone."""
    warnings.simplefilter("ignore")
    from mne_connectivity import spectral_connectivity_epochs

    print("\nCost: CPU seconds of one thread, least of three, 90 epochs of 2 s before and after.\n")
    for names in (S32, S64):
        sides = [made_coupling(seed, names=names, **COUPLED) for seed in (1, 2)]

        def whole(sides: list[Array] = sides, names: tuple[str, ...] = names) -> None:
            compare_connectivity(sides[0], sides[1], SFREQ_HZ, BAND_HZ, names)

        def peer(sides: list[Array] = sides) -> None:
            for side in sides:
                spectral_connectivity_epochs(
                    side,
                    method=NAMES,
                    mode="fourier",
                    sfreq=SFREQ_HZ,
                    fmin=BAND_HZ[0],
                    fmax=BAND_HZ[1],
                    faverage=True,
                    verbose="ERROR",
                )

        freqs, first = wide(sides[0])
        match = match_snr(freqs, first, wide(sides[1])[1], BAND_HZ, 10)
        ours, theirs = least(whole), least(peer)
        pairs = least(lambda m=match, n=names: pairwise_change(m, n, 2.0, None), 1)
        print(
            f"{len(names)} channels: eight measures with matching and intervals {ours:.2f} s; "
            f"mne-connectivity's eight values alone {theirs:.2f} s ({theirs / ours:.1f} x); "
            f"999 exchanges of both primary measures {pairs:.2f} s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--parts", default="bias,calls,edges,effect,cost")
    options = parser.parse_args()
    parts = {"bias": bias, "calls": calls, "edges": edges, "effect": effect, "cost": cost}
    if options.seeds < 2:
        parser.error("--seeds: give 2 or more")
    unknown = sorted(set(options.parts.split(",")) - set(parts))
    if unknown:
        parser.error(f"--parts: {', '.join(unknown)} is none of {', '.join(parts)}")
    for name in options.parts.split(","):
        parts[name](options.seeds)


if __name__ == "__main__":
    main()
