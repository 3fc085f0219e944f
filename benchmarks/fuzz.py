"""Spoiled inputs at every parser of ours: what was accepted, what came out, how much memory.

Two ways to spoil: the seeded mutator of the tests, and Atheris (libFuzzer) where it is installed,
which looks for inputs that reach new code. Each parser runs in a process of its own, one after the
other, and its memory is the growth of that process. Goals: no corruption accepted, nothing
uncaught, and no more than 64 MiB of growth.

    python -m benchmarks.fuzz [--inputs N] [--seconds S] [--targets NAME,…] [--seed S]
                              [--atheris] [--json FILE]

``--seconds`` ends a parser early; how many inputs it had is in the table. The JSON is written anew
after each parser. What is not shown: that an input which nobody tried does no harm.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fuzz.campaign import Outcome, judge
from tests.fuzz.mutator import Mutator
from tests.fuzz.targets import all_targets

BLOCK = 1000
MIB_PER_MAXRSS = 1.0 / (1 << 20 if sys.platform == "darwin" else 1 << 10)
GOAL_MIB = 64.0
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def peak_mib() -> float:
    """Largest memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MIB_PER_MAXRSS


def seeded(name: str, inputs: int, seconds: float, seed: int) -> dict[str, Any]:
    """Spoil inputs with the seeded mutator, in this process."""
    target = all_targets()[name]
    mutator = Mutator(target.seeds(), target.tokens, seed)
    outcome = Outcome()
    for _ in range(BLOCK):  # what is imported or kept on first use is not the parser's memory
        judge(target, mutator.next(), Outcome())
    before_mib, began_s = peak_mib(), time.perf_counter()
    while outcome.inputs < inputs and time.perf_counter() - began_s < seconds:
        for _ in range(min(BLOCK, inputs - outcome.inputs)):
            data = mutator.next()
            outcome.longest_bytes = max(outcome.longest_bytes, len(data))
            judge(target, data, outcome)
    took_s = time.perf_counter() - began_s
    return {
        "target": name,
        "way": "seeded",
        "inputs": outcome.inputs,
        "seconds": round(took_s, 2),
        "inputs_per_s": round(outcome.inputs / took_s),
        "refused": outcome.refused,
        "accepted": outcome.accepted,
        "uncaught": outcome.uncaught,
        "longest_bytes": outcome.longest_bytes,
        "growth_mib": round(peak_mib() - before_mib, 2),
        "peak_mib": round(peak_mib(), 1),
        "examples": outcome.examples,
    }


def guided(name: str, inputs: int, seconds: float, seed: int) -> dict[str, Any]:
    """Let libFuzzer spoil inputs in a process of its own, and read what it says at its end."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=IN_MEMORY) as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, data in enumerate(all_targets()[name].seeds()):
            (corpus / f"{number}").write_bytes(data)
        command = [
            sys.executable, "-m", "benchmarks.fuzz", "--inside-atheris", name, f"-runs={inputs}",
            f"-seed={seed or 1}", f"-artifact_prefix={folder}/", "-max_len=8192",
            "-print_final_stats=1", "-rss_limit_mb=2048",
        ]  # fmt: skip
        if seconds < float("inf"):
            command.append(f"-max_total_time={max(round(seconds), 1)}")
        files = Path(folder) / "files"
        files.mkdir()
        began_s = time.perf_counter()
        done = subprocess.run(
            [*command, str(corpus)], capture_output=True, text=True, errors="replace", check=False,
            env={**os.environ, "FUZZ_FOLDER": str(files)},
        )  # fmt: skip
        took_s = time.perf_counter() - began_s
        crashes = [p.read_bytes() for p in Path(folder).glob("crash-*")]
    told_text = done.stdout + done.stderr
    told = {key: int(value) for key, value in re.findall(r"stat::(\w+):\s+(\d+)", told_text)}
    count = told.get("number_of_executed_units", 0)
    defect = done.returncode != 0
    corrupt = defect and "Accepted:" in told_text
    return {
        "target": name,
        "way": "atheris",
        "inputs": count,
        "seconds": round(took_s, 2),
        "inputs_per_s": told.get("average_exec_per_sec", round(count / took_s)),
        "refused": None,
        "accepted": int(corrupt),
        "uncaught": int(defect and not corrupt),
        "longest_bytes": None,
        "growth_mib": None,
        "peak_mib": told.get("peak_rss_mb"),
        "examples": [
            *re.findall(r"=== Uncaught Python exception: ===\n(.*)", told_text),
            *(f"{data!r:.600}" for data in crashes),
            *([told_text[-600:]] if defect and not crashes else []),
        ],
    }


def inside_atheris(name: str, arguments: list[str]) -> None:
    """Run one target under libFuzzer, which ends this process."""
    import atheris

    target = all_targets()[name]
    atheris.instrument_func(target.parse)
    for module in ("tacs.record", "tacs.record_lines", "tacs.files", "devices.synthpal_wire"):
        _instrument(atheris, sys.modules.get(module))

    def one(data: bytes) -> None:
        try:
            target.parse(data)
        except target.allowed:
            return

    atheris.Setup([name, *arguments], one)
    atheris.Fuzz()


def _instrument(atheris: Any, module: Any) -> None:
    """Have libFuzzer see the branches of a module's functions."""
    for value in list(vars(module).values()) if module else []:
        if callable(value) and getattr(value, "__module__", "") == module.__name__:
            if hasattr(value, "__code__"):
                atheris.instrument_func(value)


def verdict(row: dict[str, Any]) -> str:
    """Whether a row meets the goals."""
    grown = row["growth_mib"]
    ok = not row["accepted"] and not row["uncaught"] and (grown is None or grown < GOAL_MIB)
    return "met" if ok else "SHORT"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the figures as text."""
    head = (
        f"{'parser':<20}{'way':<9}{'inputs':>11}{'inputs/s':>10}{'accepted':>10}"
        f"{'uncaught':>10}{'peak MiB':>10}{'grown MiB':>11}  goals"
    )
    lines = [head]
    for row in rows:
        grown = "" if row["growth_mib"] is None else f"{row['growth_mib']:.1f}"
        lines.append(
            f"{row['target']:<20}{row['way']:<9}{row['inputs']:>11}{row['inputs_per_s']:>10}"
            f"{row['accepted']:>10}{row['uncaught']:>10}{row['peak_mib'] or '':>10}{grown:>11}"
            f"  {verdict(row)}"
        )
        lines += [f"    {text}" for text in row["examples"][:2]]
    return "\n".join(lines)


def main() -> None:
    """Run the campaign and print it."""
    if sys.argv[1:2] == ["--inside-atheris"]:
        inside_atheris(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000_000, help="per parser")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most, per parser")
    parser.add_argument(
        "--targets",
        default="",
        help="names, separated by commas; all if left out, but for slow ones",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--atheris", action="store_true", help="guided by libFuzzer")
    parser.add_argument("--json", default="", help="also write the figures here")
    options = parser.parse_args()
    if options.atheris and importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed (Linux, Python below 3.12): pip install atheris")
    quick = [target.name for target in all_targets().values() if target.in_campaign]
    names = options.targets.split(",") if options.targets else quick
    if unknown := sorted(set(names) - set(all_targets())):
        parser.error(f"no such parser: {', '.join(unknown)}; known: {', '.join(all_targets())}")
    rows = []
    for name in names:
        arguments = (name, options.inputs, options.seconds, options.seed)
        if options.atheris:
            rows.append(guided(*arguments))
        else:
            with tempfile.TemporaryDirectory(prefix="fuzz-", dir=IN_MEMORY) as files:
                os.environ["FUZZ_FOLDER"] = files  # the worker inherits it, and is ended hard
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    rows.append(pool.apply(seeded, arguments))
                del os.environ["FUZZ_FOLDER"]
        print(table(rows[-1:]).split("\n", 1)[1], file=sys.stderr, flush=True)
        if options.json:
            text = json.dumps({"seed": options.seed, "rows": rows}, indent=1)
            Path(options.json).write_text(text)
    print(table(rows))
    if any(verdict(row) != "met" for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
