"""A real flicker through ``tacs profile analyze``: 13, 17 and 21 Hz looked at, against rest.

Three questions of every person. Does the command find each light that was looked at? Does it find
nothing where rest trials are said to have been driven? Does it find nothing at frequencies that
were never shown (15, 19 and 23.5 Hz)? Both recordings of a person end to end are written to a
folder with the table of blocks, trials of 5 s from the cue, and read by the command as anybody's
would be. The recordings lie under TACS_TEST_DATA (by default ../shared/data beside the repository).

    python -m benchmarks.real_flicker [--looks] [--keep FOLDER] [--json FILE]

`--looks` asks many times more about nothing: the rest trials of every person, by turns, at sets of
three frequencies that were never shown, most of them in the person's own alpha, where trials of 5 s
have their references on the flanks of the rhythm's line; and the driven trials at the same. What is
called there is called by chance.

All three lights blink all the time, whichever is looked at, so that a small answer of rest may be
real. Three frequencies so far apart are no resonance of one rhythm: no curve is drawn.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.profile import analyze_profile
from analysis.profile_blocks import Block
from analysis.proportions import wilson_interval
from benchmarks.real_outcomes import CODES, CONTROLS_HZ, DRIVES_HZ, PEOPLE, data_folder

__all__ = ["as_if_driven", "as_if_shown", "ask", "session", "write"]

TRIAL_S = 5.0
NEVER_HZ = (
    (9.0, 10.0, 11.0),
    (8.5, 9.5, 10.5),
    (9.75, 10.25, 10.75),
    (7.0, 8.0, 11.5),
    (14.4, 18.2, 22.0),
    CONTROLS_HZ,
)
HEAD = ("frequency_hz", "level", "kind", "start_s", "stop_s", "group")


def session(folder: Path, person: tuple[str, str, str]) -> tuple[Any, list[Block]]:
    """Both recordings of a person one after the other, and their trials."""
    import mne

    name, *stamps = person
    raws, blocks, offset_s = [], [], 0.0
    kinds = {code: kind for kind, code in CODES.items()}
    for number, stamp in enumerate(stamps):
        path = folder / "ssvep_exo" / f"{name}_{stamp}_raw.fif"
        raw = mne.io.read_raw_fif(path, preload=True, verbose="ERROR")
        marks = mne.read_events(
            path.with_name(path.name.replace("_raw.fif", "-eve.fif")), verbose="ERROR"
        )
        sfreq = float(raw.info["sfreq"])
        for sample, _, code in marks - np.array([raw.first_samp, 0, 0]):
            start = offset_s + sample / sfreq
            kind = kinds.get(int(code))
            if kind is None or start + TRIAL_S > offset_s + raw.n_times / sfreq:
                continue
            hz = DRIVES_HZ[0] if kind == "rest" else float(kind)
            which = "sham" if kind == "rest" else "drive"
            blocks.append(Block(hz, 1.0, which, start, start + TRIAL_S, group=str(number)))
        offset_s += raw.n_times / sfreq
        raws.append(raw)
    return mne.concatenate_raws(raws, verbose="ERROR"), blocks


def as_if_driven(
    blocks: Sequence[Block], hz: Sequence[float] = DRIVES_HZ, turn: int = 0
) -> list[Block]:
    """Rest trials by turns as if a drive had been on: what must not answer."""
    rest = [b for b in blocks if b.kind == "sham"]
    return [replace(b, frequency_hz=hz[(i + turn) % 3], kind="drive") for i, b in enumerate(rest)]


def as_if_shown(blocks: Sequence[Block], hz: Sequence[float] = CONTROLS_HZ) -> list[Block]:
    """The driven trials as if their light had blinked at a frequency that none did."""
    never = dict(zip(DRIVES_HZ, hz, strict=True))
    return [replace(b, frequency_hz=never[b.frequency_hz]) for b in blocks]


def write(folder: Path, raw: Any, tables: dict[str, Sequence[Block]]) -> dict[str, Path]:
    """Write the recording and each table of blocks; return their paths by name."""
    paths = {"raw": folder / "both_raw.fif"}
    raw.save(paths["raw"], overwrite=True, verbose="ERROR")
    for name, blocks in tables.items():
        rows = ["\t".join(str(getattr(b, key)) for key in HEAD) for b in blocks]
        paths[name] = folder / f"{name}.tsv"
        paths[name].write_text("\n".join(["\t".join(HEAD), *rows]) + "\n", encoding="utf-8")
    return paths


def ask(recording: Path, table: Path) -> dict[str, Any]:
    """What the command says, run as a person runs it.

    Raises
    ------
    RuntimeError
        If it refuses; with its own line.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tacs", "profile", "analyze", str(recording), "--blocks", str(table),
         "--mode", "photic", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"tacs profile analyze, exit {done.returncode}: {done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def asked(folder: Path, person: tuple[str, str, str], place: Path) -> dict[str, Any]:
    """All three questions of one person."""
    raw, blocks = session(folder, person)
    place.mkdir(parents=True, exist_ok=True)
    paths = write(
        place, raw,
        {"shown": blocks, "rest": as_if_driven(blocks), "never": as_if_shown(blocks)},
    )  # fmt: skip
    return {name: ask(paths["raw"], paths[name]) for name in ("shown", "rest", "never")}


def told(name: str, found: dict[str, Any]) -> None:
    """One line of the table per frequency, and the two checks."""
    shown = found["shown"]
    sham = {row["frequency_hz"]: row for row in shown["sham_curve"]}
    for row in shown["curve"]:
        low, high = row["response_ci95_plv2"]
        rest = sham[row["frequency_hz"]]
        print(
            f"| {name} | {row['frequency_hz']:g} | {row['excess_plv2']:.3f} | "
            f"{row['response_plv2']:.3f} [{low:.3f}, {high:.3f}] | {row['p_corrected']:.4f} | "
            f"{rest['excess_plv2']:+.3f} | {rest['p_corrected']:.3f} |",
            flush=True,
        )


def checks(name: str, found: dict[str, Any]) -> None:
    """What must find nothing."""
    rest, never = found["rest"], found["never"]
    print(
        f"| {name} | {found['shown']['verdict']} | {rest['verdict']} | {rest['p']:.3f} | "
        f"{never['verdict']} | {never['p']:.3f} |",
        flush=True,
    )


def looks(folder: Path, person: tuple[str, str, str]) -> dict[str, list[float]]:
    """P-values of nothing: rest trials, and driven trials without their sham."""
    raw, blocks = session(folder, person)
    driven = [b for b in blocks if b.kind == "drive"]
    tables = {
        "rest": [as_if_driven(blocks, hz, turn) for hz in NEVER_HZ for turn in range(3)],
        "driven": [as_if_shown(driven, hz) for hz in NEVER_HZ],
    }
    return {
        name: [analyze_profile(raw, table, mode="photic").test.p for table in each]
        for name, each in tables.items()
    }


def chance(found: dict[str, dict[str, list[float]]]) -> None:
    """How often nothing is called."""
    for name in ("rest", "driven"):
        p = [value for each in found.values() for value in each[name]]
        count = sum(value < 0.05 for value in p)
        low, high = wilson_interval(count, len(p))
        print(
            f"{name} trials at what was never shown: called in {count} of {len(p)} looks "
            f"({100 * count / len(p):.0f} %, {100 * low:.0f} to {100 * high:.0f})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--looks", action="store_true", help="many looks at nothing")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what is written")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every answer")
    given = parser.parse_args()
    folder, out = data_folder(), {}
    there = [p for p in PEOPLE if (folder / "ssvep_exo" / f"{p[0]}_{p[1]}_raw.fif").exists()]
    if not there:
        raise SystemExit(f"no ssvep_exo under {folder} (TACS_TEST_DATA)")
    if given.looks:
        warnings.simplefilter("ignore")
        asked_of = {person[0]: looks(folder, person) for person in there}
        chance(asked_of)
        if given.json is not None:
            given.json.write_text(json.dumps(asked_of, indent=1) + "\n", encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as temporary:
        for person in there:
            out[person[0]] = asked(folder, person, (given.keep or Path(temporary)) / person[0])
    print(
        "\n| Person | Drive (Hz) | PLV² less null | Response [95 %] | p | Rest: PLV² less null | "
        "p |\n|---|---|---|---|---|---|---|"
    )
    for name, found in out.items():
        told(name, found)
    print(
        "\n| Person | Shown | Rest as if driven | p | Never shown | p |\n|---|---|---|---|---|---|"
    )
    for name, found in out.items():
        checks(name, found)
    if given.json is not None:
        given.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
