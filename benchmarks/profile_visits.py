"""Whole visits of mode electrical: guardian, driver, emulated device, a patient that feels it.

    python -m benchmarks.profile_visits [--patients N] [--trains 190] [--fwhm-hz 0.5]
                                        [--device synthpal] [--seed S] [--json FILE]

Each patient goes through three visits, as `tacs profile run` runs them, and each is analyzed from
its recording and its table: trains at the peak with four times the coupling of 1 mA in the
reference model, the same trains without any coupling (the artefact is there, the brain is deaf),
and sham. The amplifier sees the artefact in all of them. Phases of the table are held against the
current on the oscilloscope. `--fwhm-hz` is the rhythm's width by phase diffusion alone; its line at
rest is a third wider. At 0.5 Hz an echo is expected nearly always, at 1 Hz (a line of 1.4 Hz) in a
quarter: the edges of the trains leave less, and it fades sooner. Sessions are kept out of the
site's ledger. One visit takes half a minute.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from analysis.io import load_recording
from analysis.profile import analyze_profile
from analysis.profile_blocks import read_blocks
from analysis.profile_input import append_visit
from analysis.profile_visits import visits_of
from benchmarks.loop_made import own_site, protocol_data
from tacs.checking import prepare
from tacs.dose import read_trace
from tacs.guardian import Telemetry
from tacs.profile_electrical import run_visit
from tacs.profile_ran import RanVisit, VisitPlaces
from tacs.profile_visit import visit_protocol
from tacs.protocol import Protocol

REST_S = 180.0
PEAK_HZ = 10.0
PER_MA = 2.0  # coupling of the reference model, per second and mA
PICKS = ["Oz", "POz", "Pz", "O1", "O2"]


def one_visit(
    folder: Path, kind: Any, coupling: float, seed: int, given: argparse.Namespace
) -> tuple[RanVisit, list[float]]:
    """Run a visit; return it, and the table's phases less the oscilloscope's, in degrees."""
    heard: list[Telemetry] = []
    hz = PEAK_HZ if kind == "drive" else 0.0
    (visit,) = visits_of([hz], [1.0], PEAK_HZ, given.trains, 2.0, 1.5)
    base = Protocol.from_data(protocol_data(trains=None, retune=None), "made")
    eeg = f"virtual:{seed}?peak_hz={PEAK_HZ}&size=1&fwhm_hz={given.fwhm_hz}&sensitivity={coupling}"
    done = run_visit(
        visit, visit_protocol(base, visit, 1.0), prepare(f"emulated:{given.device}"), eeg,
        VisitPlaces(dataset=folder / "d", subject=folder.name, session="1", task="profile"),
        rest_s=REST_S, clock="virtual", watch=heard.append,
    )  # fmt: skip
    if done.record is None or done.record.trace is None or done.record.outcome != "done":
        raise ValueError(f"the visit was not run to its end: {done.record and done.record.cause}")
    if kind == "sham":
        return done, []
    trace = Path(done.record.trace)
    about = json.loads(Path(str(trace).replace(".tsv.gz", ".json")).read_text())
    current_ma = read_trace(trace, len(about["Columns"]))[about["Columns"].index("Oz")]
    started_s = next(x.played.started_s for x in heard if x.played is not None)
    times_s = started_s + about["StartTime"] + np.arange(len(current_ma)) / 1000.0
    off = []
    for row in done.trains:
        top = slice(*np.searchsorted(times_s, (row.start_s + 0.6, row.stop_s - 0.6)))
        turns = np.exp(-2j * np.pi * row.frequency_hz * (times_s[top] - row.start_s))
        seen = np.angle((current_ma[top] * turns * np.hanning(len(turns))).sum())
        off.append(math.degrees(math.remainder(row.phase_rad - float(seen), 2.0 * math.pi)))
    return done, off


def analyzed(done: RanVisit, sham: RanVisit | None) -> Any:
    """Analyze a visit, beside a sham visit where there is one."""
    if done.recording is None or done.table is None:
        raise ValueError("a visit without a recording")
    raw, blocks = load_recording(done.recording.path).raw, read_blocks(done.table)
    if sham is not None and sham.recording is not None and sham.table is not None:
        beside = load_recording(sham.recording.path).raw
        raw, blocks = append_visit(raw, beside, blocks, read_blocks(sham.table))
    return analyze_profile(raw, blocks, mode="electrical", picks=PICKS)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Every patient through three visits."""
    rows = []
    worst_deg = 0.0
    for i in range(given.patients):
        with tempfile.TemporaryDirectory() as name, own_site(name):
            folder, who = Path(name), given.seed + i
            driven, off = one_visit(folder / "drive", "drive", 4.0 * PER_MA, who, given)
            deaf, off_deaf = one_visit(folder / "deaf", "drive", 0.0, who, given)
            sham, _ = one_visit(folder / "sham", "sham", 4.0 * PER_MA, who + 1000, given)
            found, nothing = analyzed(driven, sham), analyzed(deaf, None)
        worst_deg = max(worst_deg, *map(abs, off), *map(abs, off_deaf))
        row = {
            "patient": who,
            "drive": found.verdict, "p": found.test.p, "tau_s": found.echoes[0].tau_s,
            "sham_p": None if found.sham_test is None else found.sham_test.p,
            "deaf": nothing.verdict, "deaf_p": nothing.test.p,
            "trains": driven.counts.in_table,
        }  # fmt: skip
        rows.append(row)
        print(
            f"patient {who}: drive {row['drive']} (p {row['p']:.4f}, echo {row['tau_s']} s), sham "
            f"p {row['sham_p']:.3f}; without coupling {row['deaf']} (p {row['deaf_p']:.3f})",
            flush=True,
        )
    echoes = sum(row["drive"] == "response" for row in rows)
    false = sum(row["deaf"] != "no_response" for row in rows)
    sham_answers = sum((row["sham_p"] or 1.0) < 0.05 for row in rows)
    print(
        f"{given.patients} patients, {given.trains} trains: echo found in {echoes}; answers "
        f"without coupling in {false}, in sham in {sham_answers} (each 1 of 20 by chance); table "
        f"against oscilloscope: {worst_deg:.2f} degrees at most"
    )
    return {"patients": rows, "phase_deg": worst_deg, "found": echoes, "false": false,
            "sham": sham_answers}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=2)
    parser.add_argument("--trains", type=int, default=190)
    parser.add_argument("--fwhm-hz", type=float, default=0.5, help="width of the rhythm")
    parser.add_argument("--device", default="synthpal", choices=("synthpal", "nidaq"))
    parser.add_argument("--seed", type=int, default=40)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    out = run(given)
    if given.json is not None:
        given.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
