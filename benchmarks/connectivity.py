"""Connectivity, permutation and cluster tests: ours beside mne-connectivity and mne, in one run.

Made epochs (noise with lagged and mixed alpha), 120 of 2 s at 250 Hz, 8 to 13 Hz (11 bins). Time
is CPU of one thread, least of the repeats, the implementations in turn; memory is what a call adds
at its peak to a process of its own; deviation is the largest absolute difference from
mne-connectivity over all pairs and bins. spectral-connectivity is run where it is installed and
fits into the memory allowed (`--peer-memory-gb`).

    python -m benchmarks.connectivity [--full] [--channels N ...] [--repeats N] [--seed S]
                                      [--parts NAMES] [--json FILE] [--peer-memory-gb N]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.cluster import channel_adjacency, cluster_test
from analysis.connectivity import EIGHT, MEASURES, band_fourier, spectral_connectivity
from analysis.connectivity_permutation import permute_connectivity
from analysis.envelope import envelope_correlation
from analysis.resampling import LabelSets, label_sets

Array = NDArray[np.float64]

SFREQ_HZ, BAND_HZ, N_EPOCHS, N_SAMPLES = 250.0, (8.0, 13.0), 120, 500
MODES = ("fourier", "multitaper")
PARTS = ("eight", "alone", "morlet", "envelope", "permutation", "cluster", "peer")
GOALS = {
    "numpy": 2.0, "numba fourier": 10.0, "numba multitaper": 7.0, "envelope": 10.0, "memory": 1.5,
    "deviation": 1e-12, "permutation_s": 2.0, "cluster_s": 0.4,
}  # fmt: skip


def made(n_channels: int, seed: int, n_epochs: int = N_EPOCHS) -> Array:
    """Noise, with alpha that reaches some channels at once and some later."""
    rng = np.random.default_rng(seed)
    epochs = rng.standard_normal((n_epochs, n_channels, N_SAMPLES))
    wave = 2.0 * np.pi * 10.0 * np.arange(N_SAMPLES) / SFREQ_HZ
    phase = rng.uniform(0.0, 2.0 * np.pi, (n_epochs, 1))
    for channel in range(0, n_channels - 1, 4):
        epochs[:, channel] += 0.5 * np.sin(wave + phase)
        epochs[:, channel + 1] += 0.5 * np.sin(wave + phase - 0.02 * channel)
    return epochs


def least(calls: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, float], Any]:
    """CPU seconds of each call, least of the repeats in turn, and the last results."""
    best, found = dict.fromkeys(calls, np.inf), {}
    for _ in range(repeats):
        for name, call in calls.items():
            start_s = time.process_time()
            found[name] = call()
            best[name] = min(best[name], time.process_time() - start_s)
    return best, found


def theirs(epochs: Array, measures: tuple[str, ...], mode: str, **more: Any) -> list[Any]:
    from mne_connectivity import spectral_connectivity_epochs

    told = {"fmin": BAND_HZ[0], "fmax": BAND_HZ[1], "mode": mode, **more}
    return list(
        spectral_connectivity_epochs(
            epochs, method=list(measures), sfreq=SFREQ_HZ, verbose="ERROR", **told
        )
        if len(measures) > 1
        else [
            spectral_connectivity_epochs(
                epochs, method=measures[0], sfreq=SFREQ_HZ, verbose="ERROR", **told
            )
        ]
    )


def ours(epochs: Array, measures: tuple[Any, ...], mode: Any, compiled: bool, **more: Any) -> Any:
    told = {"bands_hz": BAND_HZ, **more}
    return spectral_connectivity(
        epochs, SFREQ_HZ, measures=measures, mode=mode, compiled=compiled, **told
    )


def apart(found: Any, peer: list[Any]) -> float:
    """Largest difference between ours and mne-connectivity's."""
    gaps = [
        np.abs(values - one.get_data("dense")[found.seeds, found.targets]).max()
        for values, one in zip(found.values.values(), peer, strict=True)
    ]
    return float(max(gaps))


# Memory, in a process of its own.


def _peak_mb(call: Callable[[], Any]) -> float:
    """Peak of resident memory that a call adds, in MB; Linux only."""
    status = Path("/proc/self/status")

    def now(field_name: str) -> float:
        line = next(x for x in status.read_text().splitlines() if x.startswith(field_name))
        return float(line.split()[1]) / 1024.0

    Path("/proc/self/clear_refs").write_text("5")
    before = now("VmRSS")
    call()
    return now("VmHWM") - before


def worker(task: dict[str, Any]) -> dict[str, Any]:
    """One implementation in this process: seconds and memory."""
    warnings.simplefilter("ignore")
    if "memory_gb" in task:
        import resource

        limit = int(task["memory_gb"] * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    epochs = made(task["channels"], task["seed"])
    name, mode, measures = task["name"], task["mode"], tuple(task["measures"])
    small = epochs[:4, :4]
    calls: dict[str, Callable[[Array], Any]] = {
        "mne-connectivity": lambda x: theirs(x, measures, mode),
        "numpy": lambda x: ours(x, measures, mode, compiled=False),
        "numba": lambda x: ours(x, measures, mode, compiled=True),
        "spectral-connectivity": lambda x: _other_peer(x, measures[0], mode),
        "envelope mne-connectivity": _their_envelope,
        "envelope numpy": lambda x: envelope_correlation(x, compiled=False),
        "envelope numba": lambda x: envelope_correlation(x, compiled=True),
    }
    calls[name](small)
    start_s = time.process_time()
    memory_mb = _peak_mb(lambda: calls[name](epochs))
    return {"seconds": time.process_time() - start_s, "memory_mb": memory_mb}


def _other_peer(epochs: Array, measure: str, mode: str) -> Any:
    from spectral_connectivity import Connectivity, Multitaper

    tapers = {"n_tapers": 1, "time_halfbandwidth_product": 1.0} if mode == "fourier" else {
        "n_tapers": 7, "time_halfbandwidth_product": 4.0
    }  # fmt: skip
    series = np.ascontiguousarray(epochs.transpose(2, 0, 1))
    transformed = Multitaper(series, sampling_frequency=SFREQ_HZ, **tapers)
    found = Connectivity.from_multitaper(transformed)
    name = {
        "coh": "coherence_magnitude",
        "wpli2_debiased": "debiased_squared_weighted_phase_lag_index",
    }
    return getattr(found, name[measure])()


def _their_envelope(epochs: Array) -> Any:
    from mne_connectivity import envelope_correlation as peer

    return peer(epochs, verbose="ERROR")


def separately(name: str, mode: str, measures: tuple[str, ...], n_channels: int, seed: int,
               memory_gb: float | None = None) -> dict[str, Any]:  # fmt: skip
    """What `worker` says, from a process of its own; its last line of errors if it fails."""
    task = {
        "name": name, "mode": mode, "measures": list(measures), "channels": n_channels,
        "seed": seed,
    }  # fmt: skip
    if memory_gb is not None:
        task["memory_gb"] = memory_gb
    # A fixed threshold: what is freed goes back, and does not hide what comes later.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.connectivity", "--worker", json.dumps(task)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        return {"failed": said[-1] if said else f"killed ({done.returncode})"}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


@dataclass
class Report:
    """Rows of every table, printed as they come, and what of the goals is short."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    short: list[str] = field(default_factory=list)

    def add(self, **row: Any) -> None:
        self.rows.append(row)

    def goal(self, name: str, value: float, limit: float, *, least_of: bool) -> str:
        met = value >= limit if least_of else value <= limit
        if not met:
            self.short.append(f"{name}: {value:.3g}, goal {limit:g}")
        return "met" if met else "SHORT"


@dataclass(frozen=True)
class Machine:
    """What one thread of this machine does at best."""

    gflops: float
    gbytes_per_s: float


def measure_machine() -> Machine:
    """Product of two large matrices, and the sum of an array larger than the caches."""
    a = np.random.default_rng(0).standard_normal((1200, 1200))
    b = np.ones(32_000_000)
    best, _ = least({"product": lambda: a @ a, "sum": lambda: b @ b[::1]}, 5)
    return Machine(2.0 * 1200**3 / best["product"] / 1e9, 8.0 * b.size / best["sum"] / 1e9)


def floor_s(machine: Machine, n_channels: int, n_tapers: int) -> tuple[float, float, str]:
    """Compute and memory floor of the eight measures, and where they come from."""
    bins, pairs = 11, n_channels * (n_channels - 1) // 2
    transform = 2.0 * N_EPOCHS * n_channels * N_SAMPLES * 2 * bins * n_tapers
    # Cross-spectra 8 for each taper, lags 6 and phases 8 for each epoch.
    sums = float(pairs) * bins * N_EPOCHS * (8 * n_tapers + 14)
    moved = 8.0 * N_EPOCHS * n_channels * N_SAMPLES
    words = f"{transform / 1e9:.3f} GFLOP of bins, {sums / 1e9:.3f} of sums, {moved / 1e6:.0f} MB"
    return (
        (transform + sums) / machine.gflops / 1e9,
        moved / machine.gbytes_per_s / 1e9,
        words,
    )


def eight(report: Report, options: argparse.Namespace, machine: Machine) -> None:
    print(
        f"\nthe eight together ({', '.join(EIGHT)})\n"
        f"{'channels':>8} {'mode':<11}{'':<17}{'CPU s':>9}{'ratio':>8}{'extra MB':>10}"
        f"{'deviation':>11}{'over floor':>12}"
    )
    for n_channels in options.channels:
        epochs = made(n_channels, options.seed)
        for mode in MODES:
            best, found = least(
                {
                    "mne-connectivity": lambda e=epochs, m=mode: theirs(e, EIGHT, m),
                    "numpy": lambda e=epochs, m=mode: ours(e, EIGHT, m, compiled=False),
                    "numba": lambda e=epochs, m=mode: ours(e, EIGHT, m, compiled=True),
                },
                options.repeats,
            )
            compute, memory, words = floor_s(machine, n_channels, 1 if mode == "fourier" else 7)
            peer_mb = 0.0
            for name, spent_s in best.items():
                alone = separately(name, mode, EIGHT, n_channels, options.seed)
                extra_mb = alone.get("memory_mb", float("nan"))
                ratio = best["mne-connectivity"] / spent_s
                tail = ""
                if name == "mne-connectivity":
                    peer_mb, gap = extra_mb, 0.0
                else:
                    gap = apart(found[name], found["mne-connectivity"])
                    goal = GOALS["numpy" if name == "numpy" else f"numba {mode}"]
                    where = f"{n_channels} channels {mode} {name}"
                    words_of = [
                        report.goal(f"{where} speed", ratio, goal, least_of=True),
                        report.goal(f"{where} memory", extra_mb / peer_mb, GOALS["memory"],
                                    least_of=False),
                        report.goal(f"{where} deviation", gap, GOALS["deviation"], least_of=False),
                    ]  # fmt: skip
                    tail = f"{spent_s / max(compute, memory):>10.1f}x  {'/'.join(words_of)}"
                print(
                    f"{n_channels:>8} {mode:<11}{name:<17}{spent_s:>9.4f}{ratio:>7.1f}x"
                    f"{extra_mb:>10.0f}{gap:>11.1e}{tail}"
                )
                report.add(
                    table="eight", channels=n_channels, mode=mode, name=name, cpu_s=spent_s,
                    ratio=ratio, extra_mb=extra_mb, deviation=gap, floor_s=max(compute, memory),
                )  # fmt: skip
            print(
                f"{'':>8} {'':<11}floor {1e3 * compute:.1f} ms of arithmetic, "
                f"{1e3 * memory:.1f} ms of memory ({words})"
            )


def alone(report: Report, options: argparse.Namespace) -> None:
    print(f"\neach measure alone\n{'channels':>8} {'mode':<11}{'':<16}{'mne s':>9}"
          f"{'numpy':>9}{'numba':>9}{'deviation':>11}")  # fmt: skip
    for n_channels in options.channels if options.full else options.channels[:1]:
        epochs = made(n_channels, options.seed)
        for mode in MODES:
            for measure in MEASURES:
                best, found = least(
                    {
                        "mne": lambda e=epochs, m=mode, k=measure: theirs(e, (k,), m),
                        "numpy": lambda e=epochs, m=mode, k=measure: ours(e, (k,), m, False),
                        "numba": lambda e=epochs, m=mode, k=measure: ours(e, (k,), m, True),
                    },
                    max(1, options.repeats - 1),
                )
                gap = max(apart(found[name], found["mne"]) for name in ("numpy", "numba"))
                ratios = [best["mne"] / best[name] for name in ("numpy", "numba")]
                report.goal(
                    f"{n_channels} channels {mode} {measure} deviation", gap, GOALS["deviation"],
                    least_of=False,
                )  # fmt: skip
                print(
                    f"{n_channels:>8} {mode:<11}{measure:<16}{best['mne']:>9.3f}"
                    f"{ratios[0]:>8.1f}x{ratios[1]:>8.1f}x{gap:>11.1e}"
                )
                report.add(
                    table="alone", channels=n_channels, mode=mode, measure=measure, cpu_s=best,
                    ratio=dict(zip(("numpy", "numba"), ratios, strict=True)), deviation=gap,
                )  # fmt: skip


def morlet(report: Report, options: argparse.Namespace) -> None:
    n_channels, freqs = (32, (9.0, 11.0)) if options.full else (16, (10.0,))
    epochs = made(n_channels, options.seed, 30)
    best, found = least(
        {
            "mne-connectivity": lambda: theirs(
                epochs, EIGHT, "cwt_morlet", cwt_freqs=np.array(freqs), cwt_n_cycles=7.0
            ),
            "numpy": lambda: ours(epochs, EIGHT, "cwt_morlet", False, morlet_freqs_hz=freqs),
            "numba": lambda: ours(epochs, EIGHT, "cwt_morlet", True, morlet_freqs_hz=freqs),
        },
        options.repeats,
    )
    print(f"\nMorlet wavelets, the eight, {n_channels} channels, 30 epochs, {len(freqs)} freqs")
    for name, spent_s in best.items():
        gap = 0.0 if name.startswith("mne") else apart(found[name], found["mne-connectivity"])
        print(
            f"  {name:<18}{spent_s:>8.3f} s{best['mne-connectivity'] / spent_s:>7.1f}x{gap:>11.1e}"
        )
        report.goal(f"morlet {name} deviation", gap, GOALS["deviation"], least_of=False)
        report.add(table="morlet", channels=n_channels, name=name, cpu_s=spent_s, deviation=gap)


def envelope(report: Report, options: argparse.Namespace) -> None:
    print("\nenvelope correlation, orthogonalised pair by pair")
    for n_channels in options.channels if options.full else options.channels[:1]:
        epochs = made(n_channels, options.seed)
        best, found = least(
            {
                "mne-connectivity": lambda e=epochs: _their_envelope(e),
                "numpy": lambda e=epochs: envelope_correlation(e, compiled=False),
                "numba": lambda e=epochs: envelope_correlation(e, compiled=True),
            },
            max(1, options.repeats - 1),
        )
        peer = found.pop("mne-connectivity").get_data("dense")[..., 0]
        for name, spent_s in best.items():
            mb = separately(f"envelope {name}", "fourier", EIGHT, n_channels, options.seed)
            gap = float(np.abs(found[name].per_epoch - peer).max()) if name in found else 0.0
            ratio = best["mne-connectivity"] / spent_s
            tail = ""
            if name == "numba":
                tail = report.goal(
                    f"envelope {n_channels}", ratio, GOALS["envelope"], least_of=True
                )
            report.goal(f"envelope {name} deviation", gap, GOALS["deviation"], least_of=False)
            print(
                f"{n_channels:>8} channels {name:<18}{spent_s:>8.3f} s{ratio:>7.1f}x"
                f"{mb.get('memory_mb', float('nan')):>8.0f} MB{gap:>11.1e}  {tail}"
            )
            report.add(table="envelope", channels=n_channels, name=name, cpu_s=spent_s,
                       deviation=gap, extra_mb=mb.get("memory_mb"))  # fmt: skip


def permutation(report: Report, options: argparse.Namespace) -> None:
    n_channels, each, n = 64, 60, 1000
    epochs = made(n_channels, options.seed)
    halves = [band_fourier(part, SFREQ_HZ, BAND_HZ)[1] for part in (epochs[:each], epochs[each:])]
    labels = label_sets(each, each, n)
    lower = np.tril_indices(n_channels, -1)
    print(f"\n{n} permutations of {each} + {each} epochs, {n_channels} channels, every pair")
    for measure in ("wpli", "wpli2_debiased", "imcoh", "coh", "pli", "ppc"):
        best, found = least(
            {"ours": lambda m=measure: permute_connectivity(*halves, m, labels=labels)},  # type: ignore[misc]
            1 if measure != "wpli" else max(1, options.repeats - 1),
        )
        gaps, peer_s = [], []
        for number in (0, 1, n):
            chosen = labels.after[number] > 0.0
            start_s = time.process_time()
            sides = [
                theirs(part, (measure,), "fourier", faverage=True)[0].get_data("dense")[..., 0]
                for part in (epochs[chosen], epochs[~chosen])
            ]
            peer_s.append(time.process_time() - start_s)
            change = (sides[0] - sides[1])[lower]
            got = found["ours"]
            gaps.append(
                np.abs(got.after - got.before - change).max()
                if number == 0
                else abs(np.abs(change).max() - got.null_max[number - 1])
            )
        whole_s, gap = min(peer_s) * n, float(max(gaps))
        words = [
            report.goal(f"permutation {measure} seconds", best["ours"], GOALS["permutation_s"],
                        least_of=False),
            report.goal(f"permutation {measure} deviation", gap, GOALS["deviation"],
                        least_of=False),
        ]  # fmt: skip
        print(
            f"  {measure:<16}{best['ours']:>7.2f} s, a loop over mne-connectivity "
            f"{whole_s:>5.0f} s (from 3 of {n}): {whole_s / best['ours']:>4.0f}x, "
            f"deviation on those {gap:.1e}  {'/'.join(words)}"
        )
        report.add(table="permutation", measure=measure, cpu_s=best["ours"], peer_s=whole_s,
                   deviation=gap)  # fmt: skip


def cluster(report: Report, options: argparse.Namespace) -> None:
    import mne

    montage = mne.channels.make_standard_montage("biosemi64")
    info = mne.create_info(montage.ch_names, SFREQ_HZ, "eeg").set_montage(montage)
    adjacency, _ = channel_adjacency(info)
    rng = np.random.default_rng(options.seed)
    before, after = rng.standard_normal((2, 60, 64, 100))
    after[:, 20:28, 30:45] += 0.5
    n = 1000
    draw = np.random.RandomState(options.seed)
    rows = np.zeros((n, 120))
    rows[0, 60:] = 1.0
    for row in rows[1:]:
        row[draw.permutation(120)[60:]] = 1.0
    labels = LabelSets(rows, 60, 60, 1, 0, exact=False)
    given = [np.ascontiguousarray(part.transpose(0, 2, 1)) for part in (before, after)]

    def peer() -> Any:
        return mne.stats.spatio_temporal_cluster_test(
            given, adjacency=adjacency, n_permutations=n, verbose="ERROR",
            rng=np.random.RandomState(options.seed),
        )  # fmt: skip

    def mine(compiled: bool) -> Any:
        return cluster_test(
            before, after, adjacency, statistic="F", labels=labels, compiled=compiled
        )

    mine(True)
    best, found = least(
        {"mne": peer, "numpy": lambda: mine(False), "numba": lambda: mine(True)},
        max(1, options.repeats - 1),
    )
    statistic, clusters, p, null = found["mne"]
    top = max(range(len(clusters)), key=lambda k: statistic[clusters[k]].sum())
    print(f"\ncluster test (F), 64 channels x 100 frequencies, 60 + 60, {n} permutations")
    print(f"  {'mne':<10}{best['mne']:>8.3f} s{'':>8}  largest mass "
          f"{statistic[clusters[top]].sum():.9f}, p {p[top]:.3f}")  # fmt: skip
    for name in ("numpy", "numba"):
        one = found[name].clusters[0]
        gap = float(np.abs(np.sort(null[1:]) / np.sort(found[name].null_mass) - 1.0).max())
        same = len(clusters) == len(found[name].clusters) and sorted(p) == sorted(
            c.p for c in found[name].clusters
        )
        word = ""
        if name == "numba":
            word = report.goal("cluster seconds", best[name], GOALS["cluster_s"], least_of=False)
        if not same:
            report.short.append(f"cluster {name}: other p-values than mne")
        print(
            f"  {name:<10}{best[name]:>8.3f} s{best['mne'] / best[name]:>7.1f}x  largest mass "
            f"{one.mass:.9f}, p {one.p:.3f}; all {len(clusters)} clusters' p "
            f"{'the same' if same else 'NOT the same'}, null masses within {gap:.0e}  {word}"
        )
        report.add(table="cluster", name=name, cpu_s=best[name], peer_s=best["mne"], same_p=same)


def other_peer(report: Report, options: argparse.Namespace) -> None:
    print(f"\nspectral-connectivity, with at most {options.peer_memory_gb:g} GB")
    if find_spec("spectral_connectivity") is None:
        print("  not installed: pip install spectral-connectivity")
        return
    for n_channels in options.channels if options.full else options.channels[:1]:
        for mode in MODES:
            for measure in ("coh", "wpli2_debiased"):
                got = separately("spectral-connectivity", mode, (measure,), n_channels,
                                 options.seed, options.peer_memory_gb)  # fmt: skip
                here = separately("numba", mode, (measure,), n_channels, options.seed)
                words = (
                    f"fails: {got['failed'][:90]}"
                    if "failed" in got
                    else f"{got['seconds']:.2f} s, {got['memory_mb']:.0f} MB: "
                    f"{got['seconds'] / here['seconds']:.0f}x the time, "
                    f"{got['memory_mb'] / max(here['memory_mb'], 1.0):.0f}x the memory of ours"
                )
                print(f"  {n_channels:>4} channels {mode:<11}{measure:<16}{words}")
                report.add(table="peer", channels=n_channels, mode=mode, measure=measure, **got)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="64, 128 and 256 channels, all tables")
    parser.add_argument("--channels", type=int, nargs="+")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", default=",".join(PARTS), help="some of " + ",".join(PARTS))
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--peer-memory-gb", type=float, default=8.0)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        print(json.dumps(worker(json.loads(options.worker))))
        return
    warnings.simplefilter("ignore")
    options.channels = options.channels or ([64, 128, 256] if options.full else [64])
    parts = options.parts.split(",")
    unknown = set(parts) - set(PARTS)
    if unknown:
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    import mne_connectivity

    report, machine = Report(), measure_machine()
    print(
        f"mne-connectivity {mne_connectivity.__version__}, numpy {np.__version__}; one thread: "
        f"{machine.gflops:.1f} GFLOP/s (product of matrices), {machine.gbytes_per_s:.1f} GB/s (sum)"
    )
    for mode in MODES:  # compiled or loaded once, and out of what is timed
        start_s = time.process_time()
        ours(made(4, 0, 4), MEASURES, mode, compiled=True)
        envelope_correlation(made(4, 0, 4), compiled=True)
        print(f"first compiled call, {mode}: {time.process_time() - start_s:.2f} s CPU")
    if "eight" in parts:
        eight(report, options, machine)
    for name, table in {
        "alone": alone, "morlet": morlet, "envelope": envelope, "permutation": permutation,
        "cluster": cluster, "peer": other_peer,
    }.items():  # fmt: skip
        if name in parts:
            table(report, options)
    print("\n" + ("every goal met" if not report.short else "short: " + "; ".join(report.short)))
    if options.json is not None:
        options.json.write_text(
            json.dumps({"machine": vars(machine), "rows": report.rows, "short": report.short}),
            encoding="utf-8",
        )


if __name__ == "__main__":
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if any(os.environ.get(name) != "1" for name in threads):
        command = [sys.executable, "-m", "benchmarks.connectivity", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **threads})
    main()
