"""Blinding: without an allocation nothing runs, and nothing in the clear tells the arm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tacs.allocation import Arm, Design, Stratum, allocate
from tacs.blinding import import_study
from tacs.guardian import Telemetry
from tacs.guardian_main import telemetry_to_data
from tacs.protocol import Protocol
from tacs.record import read_record
from tacs.scenarios.bench import Bench, Rehearsed
from tacs.scenarios.evidence import Evidence, Row, Verdict
from tacs.sealing import generate_keys, read_public_key

__all__ = ["ROWS"]

ACTIVE, SHAM = "verum", "placebo"
MOST_DRAWS = 24  # both arms are among so many but for one time in eight million


def bring_study(bench: Bench, name: str, site: Path) -> Path:
    """Allocate a study and bring it to a site; return its folder there."""
    keys = bench.folder / f"keys-{name}"
    keys.mkdir()
    public, _ = generate_keys(keys)
    design = Design(
        study=name,
        arms=(
            Arm(code=ACTIVE, waveform="tacs"),
            Arm(code=SHAM, waveform="active_sham", sham_plateau_s=0.5),
        ),
        strata=(Stratum(name="all", planned=8),),
        block_sizes=(2, 4),
    )
    made = allocate(design, read_public_key(public), bench.folder / f"study-{name}")
    return import_study(made.study, made.site_key, site).folder


def blinded(bench: Bench, study: str) -> Protocol:
    """Return the active protocol of a study."""
    return bench.protocol(duration_s=12.0, blinding={"label": study})


def no_allocation(bench: Bench) -> Verdict:
    """Row 46: no study; its key gone; its journal cut."""
    proof = Evidence()

    def refused(label: str, study: str) -> None:
        run = bench.rehearse(label, protocol=blinded(bench, study))
        name = label.removeprefix("R46")
        proof.equal(f"outcome_{name}", run.outcome, "refused")
        proof.equal(f"lines_{name}", len(run.lines), 0)
        proof.at_most(f"peak_ma_{name}", run.peak_ma, 0.0)

    refused("R46nostudy", "R46none")
    folder = bring_study(bench, "R46key", bench.setup.site)
    (folder / "site.key").rename(folder / "site.key.elsewhere")
    refused("R46nokey", "R46key")
    folder = bring_study(bench, "R46journal", bench.setup.site)
    for journal in folder.glob("*.jsonl"):
        journal.write_bytes(journal.read_bytes()[:-40])
    refused("R46nojournal", "R46journal")
    bring_study(bench, "R46whole", bench.setup.site)
    run = bench.rehearse("R46whole", protocol=blinded(bench, "R46whole"))
    proof.equal("outcome_with_all_of_it", run.outcome, "done")
    return proof.verdict()


def nothing_tells(bench: Bench) -> Verdict:
    """Row 47: an active and a sham session, and everything that is left of them in the clear."""
    proof = Evidence()
    bring_study(bench, "R47", bench.setup.site)
    found: dict[str, tuple[str, Rehearsed, list[dict[str, Any]]]] = {}
    for k in range(MOST_DRAWS):
        label, seen = f"R47n{k:02d}", list[dict[str, Any]]()

        def told(telemetry: Telemetry, seen: list[dict[str, Any]] = seen) -> None:
            seen.append(telemetry_to_data(telemetry, blinded=True))

        run = bench.rehearse(label, protocol=blinded(bench, "R47"), told=told)
        if run.played is None or run.outcome != "done":
            return proof.verdict(f"a blinded session did not run: {run.cause}")
        found.setdefault(run.played.waveform, (label, run, seen))
        if len(found) == 2:
            break
    proof.equal("arms_played", len(found), 2)
    if len(found) < 2:
        return proof.verdict()
    (one, active, screen), (other, sham, screen_of_sham) = found["tacs"], found["active_sham"]
    files = {label: left(bench.folder / f"data-{label}", label) for label in (one, other)}
    proof.equal("same_files_and_sizes", files[one] == files[other], True)
    proof.note("files", len(files[one]))
    proof.equal("same_screens", on_screen(screen) == on_screen(screen_of_sham), True)
    answers = [json.dumps(r.result.to_dict()) if r.result else "" for r in (active, sham)]
    proof.equal("same_size_of_the_answer", len(answers[0]), len(answers[1]))
    proof.equal("delivered_is_withheld", '"delivered": null' in answers[1], True)
    proof.equal("same_lines", shape(active) == shape(sham), True)
    words = sum(telling(bench.folder / f"data-{label}") for label in (one, other))
    proof.equal("files_with_an_arm_in_them", words, 0)
    ledger = [
        x for x in booked(bench) if x.get("key") in {active.lines[0].hash, sham.lines[0].hash}
    ]
    doses = {json.dumps(x["dose"], sort_keys=True) for x in ledger}
    proof.equal("doses_booked_alike", len(doses), 1)
    return proof.verdict("this version has no page and no accounts: what is looked at are files")


def left(dataset: Path, label: str) -> dict[str, int]:
    """Return every file of a data set with its size; the participant's name left out."""
    return {
        str(path.relative_to(dataset)).replace(label, "X"): path.stat().st_size
        for path in sorted(dataset.rglob("*"))
        if path.is_file()
    }


def on_screen(seen: list[dict[str, Any]]) -> set[str]:
    """Return what a blinded screen showed, but for the time."""
    return {json.dumps({**told, "elapsed_s": 0.0}, sort_keys=True) for told in seen}


def shape(run: Rehearsed) -> list[tuple[float, str, int]]:
    """Return time, kind and size of every open line."""
    return [(line.t_s, line.kind, len(json.dumps(line.data))) for line in run.lines]


def telling(dataset: Path) -> int:
    """Count the files in which an arm can be read."""
    words = [word.encode() for word in (ACTIVE, SHAM, "active_sham", "passive_sham")]
    return sum(
        any(word in path.read_bytes() for word in words)
        for path in dataset.rglob("*")
        if path.is_file()
    )


def booked(bench: Bench) -> list[dict[str, Any]]:
    """Return what the emulated ledger has booked."""
    lines, _ = read_record(bench.setup.site / "ledger-emulated.jsonl", allow_torn_tail=True)
    return [line.data for line in lines if line.kind == "book"]


ROWS = {
    46: Row(run=no_allocation),
    47: Row(run=nothing_tells),
}
