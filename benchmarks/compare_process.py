"""Whole process of `tacs compare` on two recordings of 64 channels: time and memory.

Beside it, in the same run, the process that only imports mne, and the one that imports mne and
reads both files: what no comparison that takes MNE's formats can be faster than. Made recordings
(1/f background, alpha over the back of the head), EDF, 250 Hz, 5 min each by default. CPU is user
plus system time of the process, memory its largest resident set; the least of the repeats.

    python -m benchmarks.compare_process [--minutes M] [--channels N] [--repeats N] [--profile]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SFREQ_HZ = 250.0
FILES = ("before.edf", "after.edf")
THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def names(n_channels: int) -> tuple[str, ...]:
    """10-5 names, as many as asked for, those of a 64-channel cap first."""
    import mne

    caps = [mne.channels.make_standard_montage(cap) for cap in ("biosemi64", "colin27_1005")]
    return tuple(dict.fromkeys(name for cap in caps for name in cap.ch_names))[:n_channels]


def make(folder: Path, n_channels: int, minutes: float) -> None:
    """Write a recording before and one after."""
    from tests.analysis.made_outcome import made_raw, made_uv

    channels = names(n_channels)
    for number, name in enumerate(FILES):
        data = made_uv(
            7 + number,
            channels=channels,
            duration_s=60.0 * minutes,
            sfreq_hz=SFREQ_HZ,
            alpha_uv=8.0 * (1.0, 1.2)[number],
        )
        made_raw(data, SFREQ_HZ, channels).export(
            folder / name, physical_range=(-400.0, 400.0), verbose="ERROR"
        )


def run(command: list[str]) -> tuple[float, float, float, str]:
    """Wall time, CPU time (s), largest resident set (MiB) and output of one process."""
    start_s = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        told = process.stdout.read() if process.stdout else ""
        errors = process.stderr.read() if process.stderr else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {errors[-2000:]}")
    wall_s = time.perf_counter() - start_s
    return wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024.0, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="where the CPU time goes")
    parser.add_argument("--make", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(Path(options.make), options.channels, options.minutes)
        return
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: a child's largest resident set begins with that of its parent.
        size = ["--channels", str(options.channels), "--minutes", str(options.minutes)]
        run([sys.executable, "-m", "benchmarks.compare_process", "--make", folder, *size])
        pre, post = (str(Path(folder) / name) for name in FILES)
        read = f"import mne; [mne.io.read_raw_edf(p, preload=True) for p in {[pre, post]!r}]"
        compare = ["-m", "tacs", "--json", "compare", pre, post, "--peak-hz", "10"]
        commands = {
            "import mne": ["-c", "import mne"],
            "import mne, read both": ["-c", read],
            "tacs --help": ["-m", "tacs", "--help"],
            "tacs compare": compare,
        }
        found: dict[str, list[tuple[float, float, float, str]]] = {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, command in commands.items():
                found[name].append(run([sys.executable, *command]))
        n_samples = round(60.0 * options.minutes * SFREQ_HZ)
        print(
            f"{options.channels} channels x {options.minutes:g} min x 2 at {SFREQ_HZ:g} Hz "
            f"({2 * options.channels * n_samples * 8 / 2**20:.0f} MiB as float64), one thread, "
            f"least of {options.repeats}"
        )
        best = {
            name: [min(run[i] for run in runs) for i in range(3)] for name, runs in found.items()
        }
        print(f"{'':<24}{'wall s':>8}{'CPU s':>8}{'of import mne':>15}{'MiB':>8}{'':>4}")
        for name, (wall_s, cpu_s, mib) in best.items():
            print(
                f"{name:<24}{wall_s:>8.2f}{cpu_s:>8.2f}{cpu_s / best['import mne'][1]:>14.2f}x"
                f"{mib:>8.0f}"
            )
        told = json.loads(found["tacs compare"][0][3])
        print(f"said: {told['summary']} (truth: alpha {100.0 * (1.2**2 - 1.0):+.0f} %)")
        print(f"{len(told['preparation']['channels'])} channels compared")
        if options.profile:
            wanted = ["-m", "cProfile", "-s", "cumulative", *compare]
            lines = run([sys.executable, *wanted])[3].splitlines()
            print("\n".join(line for line in lines[:80] if not line.startswith("{")))


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        command = [sys.executable, "-m", "benchmarks.compare_process", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **THREADS})
    main()
