"""What is kept on disk about sessions: the dose ledger, the records, and who changes them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tacs.anchors import acknowledge, verify_dataset
from tacs.bids import SessionPaths
from tacs.clock import utc_now
from tacs.errors import SafetyRefusal, TacsError
from tacs.ledger import Dose, Ledger
from tacs.readiness import refusals
from tacs.record import verify_record
from tacs.scenarios.bench import DURATION_S, Bench
from tacs.scenarios.evidence import Evidence, Row, Verdict
from tacs.session_request import SessionRequest

__all__ = ["ROWS"]

COUNTS_S = 70.0  # of a session that is more than a brief one
CUTS = 40


def limits_broken(request: SessionRequest) -> str:
    """Return the names of what speaks against a request, and errors, in one text."""
    try:
        return " ".join(dict.fromkeys(breach.limit for breach in refusals(request)))
    except SafetyRefusal as exc:
        return " ".join(breach.limit for breach in exc.breaches)
    except TacsError as exc:
        return f"{type(exc).__name__}: {exc}"


def torn_entry(bench: Bench) -> Verdict:
    """Row 33: a ledger whose last entry is torn, at any byte of it."""
    proof = Evidence()
    ledger = Ledger(bench.site_beside("site-R33"), emulated=True)
    now, protocol = utc_now(), bench.protocol()
    ledger.reserve(
        "a", subject="R33", session="01", dataset=bench.folder, protocol=protocol, now=now
    )
    reserved = ledger.path.read_bytes()
    dose = Dose(current_on_s=4.0, rectified_charge_c={bench.source: 0.001}, basis="measured")
    ledger.book("a", dose=dose, outcome="stopped", ended=now, head="", now=now)
    booked = ledger.path.read_bytes()
    opened = whole = 0
    places = range(
        len(reserved) + 1, len(booked) - 1, max((len(booked) - len(reserved)) // CUTS, 1)
    )
    for place in places:
        ledger.path.write_bytes(booked[:place])
        history = ledger.history("R33", now)
        opened += len(history.open_sessions) == 1
        whole += abs(60.0 * history.current_on_24h_min - DURATION_S) < 1e-3
    proof.at_least("bookings_torn", len(places), CUTS)
    proof.equal("opened_with_the_session_open", opened, len(places))
    proof.equal("counted_whole", whole, len(places))
    empty = 0
    places = range(1, len(reserved) - 1, max(len(reserved) // CUTS, 1))
    for place in places:
        ledger.path.write_bytes(reserved[:place])
        empty += not ledger.history("R33", now).sessions
    proof.equal("reservations_torn_and_dropped", empty, len(places))
    ledger.path.write_bytes(booked[: len(reserved) + 20])
    ledger.book("a", dose=dose, outcome="stopped", ended=now, head="", now=now)
    proof.equal("chain_after_the_next_entry", verify_record(ledger.path) or "verifies", "verifies")
    minutes = ledger.history("R33", now).current_on_24h_min
    proof.at_most("booked_again_error_s", abs(60.0 * minutes - 4.0), 1e-3)
    return proof.verdict("the ledger is a chained file; this version has no database")


def spoiled_records(bench: Bench) -> Verdict:
    """Row 34: a record edited, cut and deleted; what then keeps the participant from a start."""
    proof = Evidence()
    for name in ("edited", "cut", "deleted"):
        label = f"R34{name}"
        run = bench.rehearse(label)
        proof.equal(f"outcome_{name}", run.outcome, "done")
        record = SessionPaths.of(bench.folder / f"data-{label}", label, "01").record
        following = bench.request(label, session="02")
        proof.equal(f"before_{name}", limits_broken(following), "")
        bad = spoil(record, name)
        problems = verify_dataset(following.dataset, bench.setup.site, subject=label)
        proof.equal(f"problems_{name}", len(problems), 1)
        proof.equal(f"first_bad_line_{name}", problems[0].first_bad_line, bad)
        proof.contains(f"start_{name}", limits_broken(following), "record_damaged")
        proof.equal(f"run_{name}", bench.rehearse(label, session="02").outcome, "refused")
        acknowledge(
            problems[0], bench.setup.site, operator="A", role="investigator", reason="looked at"
        )
        proof.equal(f"after_acknowledging_{name}", limits_broken(following), "")
    return proof.verdict()


def spoil(record: Path, how: str) -> int | None:
    """Spoil a record; return its first bad line, counted from 1."""
    lines = record.read_bytes().split(b"\n")
    if how == "deleted":
        record.unlink()
        return None
    if how == "cut":
        record.write_bytes(b"\n".join(lines[:-4]) + b"\n")
        return len(lines) - 3
    middle = len(lines) // 2
    lines[middle] = lines[middle].replace(b'"t_s":', b'"t_s":1', 1)
    record.write_bytes(b"\n".join(lines))
    return middle + 1


def again_today(bench: Bench) -> Verdict:
    """Row 44: another session the same day; from a new process; at a second workstation."""
    proof = Evidence()
    long = bench.protocol(duration_s=COUNTS_S)
    first = bench.rehearse("R44", protocol=long)
    proof.equal("first", first.outcome, "done")
    following = bench.request("R44", session="02", protocol=long)
    proof.contains("second", limits_broken(following), "inter_session_interval_h")
    elsewhere = replace(following, dataset=bench.folder / "data-R44elsewhere")
    proof.contains("in_a_new_folder", limits_broken(elsewhere), "inter_session_interval_h")
    proof.contains("after_a_restart", restarted(bench, following), "inter_session_interval_h")
    here = Ledger(bench.setup.site, emulated=True).path
    synced = bench.site_beside("site-R44second")
    second = replace(following, setup=replace(bench.setup, site=synced))
    proof.contains("second_workstation", limits_broken(second), "unknown_session")
    shutil.copy(here, synced / here.name)
    with_copy = replace(second, dataset=bench.folder / "data-R44third")
    proof.contains("with_its_copy", limits_broken(with_copy), "inter_session_interval_h")
    other = bench.site_beside("site-R44third")
    shutil.copy(here, other / f"{here.stem} (copy of the second workstation){here.suffix}")
    conflict = replace(with_copy, setup=replace(bench.setup, site=other))
    proof.contains("conflict_told", limits_broken(conflict), "ledger_conflict")
    return proof.verdict("by default the second session of a day is refused already")


def restarted(bench: Bench, request: SessionRequest) -> str:
    """Ask for the session in a new process; return what it refused."""
    folder = bench.folder / "R44restart"
    folder.mkdir()
    request.protocol.to_toml(folder / "protocol.toml")
    if request.setup.rig is not None:
        request.setup.rig.to_toml(folder / "rig.toml")
    words = [
        "run", folder / "protocol.toml", "--device", request.setup.device, "--rig",
        folder / "rig.toml", "--subject", request.subject, "--session", request.session,
        "--out", folder / "data", "--clock", "virtual", "--json",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tacs", *(str(word) for word in words)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TACS_SITE_DIR": str(bench.setup.site)},
        check=False,
    )
    told = json.loads(done.stdout)
    return " ".join(breach["limit"] for breach in told.get("breaches", [])) or str(told)


ROWS = {
    33: Row(run=torn_entry),
    34: Row(run=spoiled_records),
    44: Row(run=again_today),
}
