"""Our peak finder and its peers on made recordings with known truth, in one run.

Six tables, each with its goals and "met" or "short": accuracy by SNR and length, false answers
without a rhythm, coverage of the 95 % interval under five generators, two rhythms at once, the
peers on the same recordings, and CPU time and memory. The recordings are made (`benchmarks.made`),
so this says nothing about patients. Figures are in Hz. Nothing is kept of a recording but what was
said of it.

    python -m benchmarks.peak [--recordings N] [--per-cell N] [--seed S] [--peers all|fast|none]
                              [--parts NAMES] [--json FILE] [--jobs 1|2]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import analysis
from benchmarks.made import Case, Made, draw, make
from benchmarks.peak_cases import (
    APART_HZ,
    PARTS,
    SECOND_HEIGHT,
    Plan,
    absent_cases,
    peer_cases,
    present_cases,
    split_cases,
)
from benchmarks.peak_tables import (
    ACCURACY_HEAD,
    COMPARED_HEAD,
    FLOOR_FROM_HZ,
    Accuracy,
    Check,
    Outcome,
    Share,
    accuracy_checks,
    at_most,
    compare,
    coverage_checks,
    false_answers,
    grouped,
    share_at_least,
    share_at_most,
    verdict,
)
from benchmarks.peers import PEERS, installed

BAND_HZ = (7.0, 13.0)
SLOW_PEERS = ("fooof, default", "IRASA (neurodsp)")
CPU_GOAL_S = 0.05
EASY_FROM_S = 120.0


@dataclass(slots=True)
class Report:
    """Everything printed, as plain values, and every goal."""

    tables: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, list[Check]] = field(default_factory=dict)

    def row(self, title: str, text: str, checks: list[Check]) -> None:
        """Print one row with its verdict, and keep its goals."""
        self.checks.setdefault(title, []).extend(checks)
        print(f"{text}  {verdict(checks)}" if checks else text, flush=True)

    def to_dict(self, plan: Plan) -> dict[str, Any]:
        """Return plain values: what was run, the tables so far, and their goals."""
        return {
            "seed": plan.seed,
            "per_cell": plan.per_cell,
            "recordings": plan.recordings,
            "tables": self.tables,
            "goals": {part: [c.to_dict() for c in checks] for part, checks in self.checks.items()},
        }


def measure(job: tuple[Case, tuple[str, ...]]) -> Outcome:
    """Make one recording and ask ours and the peers; the time to make it is not counted."""
    case, names = job
    made = make(case)
    raw = made.raw()
    start_s = time.process_time()
    ours = analysis.find_peak(raw, band_hz=BAND_HZ)
    cpu_s = time.process_time() - start_s
    found = tuple(peak.frequency_hz for peak in ours.peaks)
    peers = {name: ask_peer(name, made) for name in names}
    return Outcome(case, ours.status, found, ours.ci95_hz, ours.provisional, cpu_s, peers)


def ask_peer(name: str, made: Made) -> tuple[float | None, float, bool]:
    """Frequency, CPU time, and whether the peer broke down, which counts as no answer."""
    start_s = time.process_time()
    try:
        frequency_hz = PEERS[name](made.data_v, made.sfreq_hz, made.ch_names, BAND_HZ).frequency_hz
        broke = False
    except Exception:  # whatever a peer raises is its own failure, and is counted
        frequency_hz, broke = None, True
    return frequency_hz, time.process_time() - start_s, broke


def begin_worker(names: tuple[str, ...]) -> None:
    """Import and compile before anything is timed."""
    warnings.simplefilter("ignore")
    measure((Case(0, 10.0, duration_s=60.0), names))
    warnings.simplefilter("ignore")  # some peers set filters of their own


def outcomes(
    plan: Plan, title: str, cases: Iterator[Case], names: tuple[str, ...] = ()
) -> list[Outcome]:
    """Run the cases, here or in two processes, telling how far it is on stderr."""
    jobs = ((case, names) for case in cases)
    if plan.jobs == 1:
        measure((Case(0, 10.0, duration_s=60.0), names))
        return list(progress(title, map(measure, jobs)))
    context = multiprocessing.get_context("spawn")
    with context.Pool(plan.jobs, begin_worker, (names,)) as pool:
        return list(progress(title, pool.imap(measure, jobs, chunksize=4)))


def progress(title: str, items: Iterator[Outcome]) -> Iterator[Outcome]:
    """Pass on, with a count on stderr."""
    count = 0
    for count, item in enumerate(items, 1):
        if count % 50 == 0:
            print(f"\r{title}: {count}", end="", file=sys.stderr, flush=True)
        yield item
    print(f"\r{title}: {count} recordings", file=sys.stderr, flush=True)


def cell_of(case: Case) -> str:
    """Name of a cell of SNR and length."""
    return f"{case.snr} {case.duration_s:g} s"


def part_accuracy(plan: Plan, report: Report) -> list[Outcome]:
    """Table 1."""
    title = "accuracy"
    said = outcomes(plan, title, present_cases(plan))
    print(
        f"\n1. Accuracy by SNR and length, {plan.per_cell} recordings a cell. Split or no peak is "
        "withheld; errors, floors\nand intervals are those of the answers. Floor: Cramér-Rao, of a "
        "steady Gaussian line in one channel; the\nwaxing and waning of half of the recordings is "
        "not in it (steady: the others). Ratio: of each recording's\nerror to its floor, median. "
        "+-: half width of the interval, median."
    )
    print(f"{'':<14}{ACCURACY_HEAD}")
    table = {}
    for name, part in grouped(said, cell_of).items():
        cell = Accuracy.of(part)
        case = part[0].case
        easy = case.snr != "low" and case.duration_s >= EASY_FROM_S
        table[name] = cell.to_dict()
        report.row(title, f"{name:<14}{cell.text()}", accuracy_checks(cell, easy=easy))
    easier = [o for o in said if o.case.snr != "low" and o.case.duration_s >= EASY_FROM_S]
    for name, some, easy in (("plain", easier, True), ("all", said, False)):
        if not some:
            continue
        whole = Accuracy.of(some)
        table[name] = whole.to_dict()
        report.row(title, f"{name:<14}{whole.text()}", accuracy_checks(whole, easy=easy))
    unusable = Share.among(o.status == "unusable" for o in said)
    print(
        f"plain: high and medium, {EASY_FROM_S:g} s and longer. The floor's goal holds where the "
        f"floor is above {FLOOR_FROM_HZ:g} Hz;\nwhere a goal lies below it, the verdict says so. "
        f"Called unusable: {unusable.text()}"
    )
    report.tables[title] = table
    return said


def background_of(knee: bool) -> Callable[[Case], str]:
    """Name of a cell without a rhythm by its knee or its exponent."""
    return lambda case: f"{case.knee_hz if knee else case.exponent:g}"


def part_absent(plan: Plan, report: Report) -> None:
    """Table 2."""
    title = "absent"
    print(f"\n2. Answers where there is no rhythm, {plan.share(4)} recordings a cell")
    report.tables[title] = {}
    for knee in (False, True):
        kind, unit = ("knee", " Hz") if knee else ("exponent", "")
        said = outcomes(plan, f"{title}, {kind}s", absent_cases(plan, knee=knee))
        values = plan.knees_hz if knee else plan.exponents
        heads = "".join(f"{f'{kind} {value:g}{unit}':>15}" for value in values)
        print(f"{'':<14}{heads}  all")
        for name, part in grouped(said, lambda case: f"{case.duration_s:g} s").items():
            short = part[0].case.duration_s < 60.0
            limit = 10.0 if knee or short else 5.0
            cells = grouped(part, background_of(knee))
            shares = {cell: false_answers(some) for cell, some in cells.items()}
            whole = false_answers(part)
            checks = share_at_most("all:", whole, limit)
            for value, share in shares.items():
                checks += share_at_most(f"{kind} {value}:", share, limit)
            text = ""
            if short:
                marked = Share.among(o.provisional for o in part if o.frequencies_hz)
                checks += share_at_least("provisional:", marked, 100.0)
                text = f", provisional {marked.count} of {marked.of}"
            figures = "".join(f"{share.percent:>13.1f} %" for share in shares.values())
            report.tables[title][f"{kind}, {name}"] = {
                "all": whole.to_dict(), **{c: s.to_dict() for c, s in shares.items()}
            }  # fmt: skip
            report.row(title, f"{name:<14}{figures}  {whole.text()}{text}", checks)


def part_coverage(plan: Plan, report: Report, gauss: list[Outcome]) -> None:
    """Table 3."""
    title = "coverage"
    print(
        f"\n3. Share of the 95 % intervals that hold the truth (of so many answers), "
        f"{plan.share(4)} recordings a cell\nbut for the Gaussian line; * answered less than half "
        "of the time, which must be provisional"
    )
    report.tables[title] = {}
    for generator in ("gauss", *plan.generators):
        said = gauss
        if generator != "gauss":
            said = outcomes(plan, f"{title}, {generator}", present_cases(plan, generator))
        if not said:
            continue
        cells = {name: Accuracy.of(part) for name, part in grouped(said, cell_of).items()}
        whole = Accuracy.of(said)
        print(f"{generator:<10}" + "".join(f"{f'{d:g} s':>18}" for d in plan.durations_s))
        for snr in plan.snrs:
            row = ""
            for duration_s in plan.durations_s:
                cell = cells[f"{snr} {duration_s:g} s"]
                mark = "*" if cell.answered.percent < 50.0 else ""
                row += f"{f'{cell.coverage.percent:.1f} % ({cell.coverage.of}){mark}':>18}"
            print(f"{snr:<10}{row}")
        report.tables[title][generator] = {n: c.to_dict() for n, c in cells.items()} | {
            "all": whole.to_dict()
        }
        text = (
            f"all: {whole.coverage.text()}, answered {whole.answered.percent:.1f} %, median "
            f"{whole.median_hz:.3f} Hz, 95th percentile {whole.p95_hz:.3f} Hz, > 1 Hz "
            f"{whole.gross.percent:.1f} %"
        )
        for name, cell in cells.items():
            if cell.answered.percent < 50.0:
                text += f"; {name}: provisional {cell.provisional.text()}"
        report.row(title, text, coverage_checks(cells, whole))


def part_split(plan: Plan, report: Report, single: list[Outcome]) -> None:
    """Table 4."""
    title = "split"
    said = outcomes(plan, title, split_cases(plan))
    print(
        f"\n4. Two rhythms {APART_HZ[0]:g} to {APART_HZ[1]:g} Hz apart, the second from another "
        f"source at {100 * SECOND_HEIGHT:.0f} % of the height, {plan.share(2)} recordings a cell;\n"
        "both: of those flagged, both frequencies within 0.3 Hz; singles: one rhythm flagged as "
        "two (table 1)"
    )
    print(f"{'':<14}{'flagged':>9}{'no peak':>10}{'both':>9}{'intervals':>11}{'singles':>10}")
    alone = grouped(single, cell_of)
    table = {}
    parts = grouped(said, cell_of) | {"all": said}
    flat = [o for name in parts for o in alone.get(name, [])]
    for name, part in parts.items():
        flagged = [o for o in part if o.split]
        share = Share(len(flagged), len(part))
        none = Share.among(not o.frequencies_hz for o in part)
        both = Share.among(o.pair_found for o in flagged)
        intervals = Share.among(o.ci95_hz is not None for o in flagged)
        ones = Share.among(o.split for o in (flat if name == "all" else alone.get(name, [])))
        checks = [
            *share_at_least("flagged", share, 90.0),
            *share_at_most("intervals of flagged", intervals, 0.0),
            *share_at_most("singles flagged", ones, 5.0),
        ]
        shares = {
            "flagged": share, "none": none, "both": both, "intervals": intervals, "singles": ones
        }  # fmt: skip
        table[name] = {key: value.to_dict() for key, value in shares.items()}
        text = (
            f"{name:<14}{share.percent:>7.1f} %{none.percent:>8.1f} %{both.percent:>7.1f} %"
            f"{intervals.count:>11}{ones.percent:>8.1f} %"
        )
        report.row(title, text, checks)
    report.tables[title] = table


def part_peers(plan: Plan, report: Report) -> None:
    """Table 5."""
    said = outcomes(plan, "peers", peer_cases(plan), plan.peers)
    print(
        f"\n5. Beside the peers: {plan.recordings} recordings with a rhythm (every SNR and length) "
        "and as many without.\nOurs there: our median where both answer. No answer: of those with "
        "a rhythm (ours: split too). False: of\nthose without. CPU: over ours, which also judges "
        "the recording and gives the interval."
    )
    print(COMPARED_HEAD)
    table = compare(said)
    for row in table:
        report.row("peers", row.text(), [])
    report.tables["peers"] = [row.to_dict() for row in table]


def part_cost(plan: Plan, report: Report) -> None:
    """Table 6."""
    print(
        f"\n6. CPU time on 120 s of 32 channels at 250 Hz, one thread, {plan.timed} recordings, "
        "after a first call;\nmemory allocated during the call at its highest, recording not "
        "counted"
    )
    print(f"{'':<28}{'median':>10}{'slowest':>10}{'of ours':>10}{'memory':>12}")
    seeds = list(plan.seeds("cost", plan.timed))
    cases = [draw(seed, with_peak=True, duration_s=120.0) for seed in seeds]
    table: dict[str, Any] = {}
    ours_s = float("nan")
    for name in ("ours", *plan.peers):
        spent = [cost(name, case) for case in (cases[0], *cases)][1:]
        cpu_s = [item[0] for item in spent]
        used_mib = max(item[1] for item in spent) / 2**20
        middle_s = float(np.median(cpu_s))
        if name == "ours":
            ours_s = middle_s
        table[name] = {"cpu_median_s": middle_s, "cpu_most_s": max(cpu_s), "memory_mib": used_mib}
        text = (
            f"{name:<28}{middle_s:>8.3f} s{max(cpu_s):>8.3f} s{middle_s / ours_s:>9.2f}x"
            f"{used_mib:>8.0f} MiB"
        )
        goal = at_most("CPU with interval", middle_s, CPU_GOAL_S, "s", min(cpu_s))
        goals = [goal] if name == "ours" else []
        report.row("cost", text, goals)
    report.tables["cost"] = table


def cost(name: str, case: Case) -> tuple[float, int]:
    """CPU time and, in a second call, the most memory in bytes of one method."""
    made = make(case)
    raw = made.raw()
    call: Callable[[], object] = partial(ask_peer, name, made)
    if name == "ours":
        call = partial(analysis.find_peak, raw, band_hz=BAND_HZ)
    start_s = time.process_time()
    call()
    spent_s = time.process_time() - start_s
    tracemalloc.start()
    call()
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return spent_s, used


def run(plan: Plan, file: Path | None = None) -> Report:
    """Run the parts of the plan; print, and write the file anew, as each ends."""
    report = Report()
    single: list[Outcome] = []
    for part in (name for name in PARTS if name in plan.parts):
        if part == "accuracy":
            single = part_accuracy(plan, report)
        elif part == "absent":
            part_absent(plan, report)
        elif part == "coverage":
            part_coverage(plan, report, single)
        elif part == "split":
            part_split(plan, report, single)
        elif part == "peers":
            part_peers(plan, report)
        else:
            part_cost(plan, report)
        if file is not None:
            file.write_text(json.dumps(report.to_dict(plan), indent=1), encoding="utf-8")
    print("\nGoals")
    for title, checks in report.checks.items():
        if not checks:
            continue
        short = sum(not check.met for check in checks)
        chance = sum(not check.met and check.chance for check in checks)
        print(f"{title}: {len(checks) - short} met, {short} short ({chance} within chance)")
    return report


def positive(text: str) -> int:
    """A count."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 up")
    return int(text)


def arguments(words: list[str] | None = None) -> tuple[Plan, Path | None]:
    """Plan and file from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recordings", type=positive, default=500, help="for the peers")
    parser.add_argument("--per-cell", type=positive, default=100, help="for ours alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peers", choices=("all", "fast", "none"), default="all")
    parser.add_argument("--parts", default=",".join(PARTS), help="of %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=1)
    given = parser.parse_args(words)
    parts = tuple(given.parts.split(","))
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--parts: no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if given.seed < 0:
        parser.error("--seed: give a whole number from 0 up")
    names = [] if given.peers == "none" else list(installed())
    if given.peers == "fast":
        names = [name for name in names if name not in SLOW_PEERS]
    elif given.peers == "all":
        for name in PEERS.keys() - installed().keys():
            print(f"{name} is left out: its package is not installed")
    plan = Plan(
        seed=given.seed,
        per_cell=given.per_cell,
        recordings=given.recordings,
        peers=tuple(names),
        parts=parts,
        jobs=given.jobs,
    )
    return plan, given.json


def main() -> None:
    plan, file = arguments()
    warnings.simplefilter("ignore")
    begin_worker(plan.peers)
    run(plan, file)


if __name__ == "__main__":
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if any(os.environ.get(name) != "1" for name in threads):
        command = [sys.executable, "-m", "benchmarks.peak", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **threads})
    main()
