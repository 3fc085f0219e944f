"""People and papers: whose screening, whose protocol, whose montage, and who approved it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tacs.clock import utc_now
from tacs.driver import DeviceName
from tacs.errors import TacsError
from tacs.forms import shipped_form
from tacs.identity import check_identifiers, identifier_data
from tacs.journal import Journal
from tacs.limits import LIMITS
from tacs.readiness import refusals
from tacs.scenarios.bench import Bench
from tacs.scenarios.evidence import Evidence, Row, Verdict
from tacs.session_request import SessionRequest

__all__ = ["ROWS"]

PERSON = {"birth_year": 1990, "initials": "A. B."}
ANOTHER = {"birth_year": 1975, "initials": "C. D."}


def broken(request: SessionRequest) -> str:
    """Return the names of what speaks against a request, in one text."""
    return " ".join(dict.fromkeys(breach.limit for breach in refusals(request)))


def make_ready(dataset: Path, subject: str) -> None:
    """Have everything asked, answered and checked that a session of this person needs."""
    journal, screening = Journal(dataset), shipped_form("screening")
    clear = {**dict.fromkeys((item.id for item in screening.items), "no"), "capacity": "yes"}
    effects = {item.id: 1 for item in shipped_form("adverse_effects").items if item.scale}

    def add(kind: str, answers: Any, whose: str | None = subject, **more: Any) -> None:
        in_session = kind in {"adverse_effects", "identity_check"} or more.pop("leads", False)
        journal.append(
            kind,
            {"answers": answers, **more},
            operator="A",
            role="operator",
            subject=whose,
            session="01" if in_session else None,
        )

    add("screening", clear)
    signed = {"signed_on": utc_now().date().isoformat(), "signed_by": "participant"}
    add("consent", {"sheet_version": "1", "agrees": "yes", **signed})
    add("recheck", {item.id: "no" for item in screening.part(daily=True).items})
    add("preflight", {"stimulator": "bench", "hardware_stop": "yes", "dummy_load_set_ma": 1.0,
                      "dummy_load_read_ma": 1.0, "calibration": "yes", "emergency_card": "yes"},
        whose=None)  # fmt: skip
    add("preflight", {"leads": "yes", "skin": "yes", "montage": "photograph"}, leads=True)
    add("adverse_effects", effects, when="before")
    journal.append(
        "identifiers",
        identifier_data(subject, PERSON, utc_now()),
        operator="A",
        role="operator",
        subject=subject,
    )
    add("identity_check", {}, passed=True)


def other_participant(bench: Bench) -> Verdict:
    """Row 42: the next participant in the same data set, with nothing of their own."""
    proof = Evidence()
    request = bench.request("R42a", people=True, dataset=bench.folder / "data-R42")

    def refused(name: str, subject: str, *words: str) -> None:
        run = bench.rehearse(subject, dataset=request.dataset, people=True)
        proof.equal(f"outcome_{name}", run.outcome, "refused")
        proof.at_most(f"peak_ma_{name}", run.peak_ma, 0.0)
        proof.equal(f"starts_{name}", len(run.intents("start")), 0)
        for word in words:
            proof.contains(f"{name}_without_{word}", run.cause, word)

    asked = ("screening", "consent", "recheck", "preflight", "adverse", "ident")
    refused("before_anything", "R42a", *asked)
    make_ready(request.dataset, "R42a")
    run = bench.rehearse("R42a", dataset=request.dataset, people=True)
    proof.equal("outcome_with_everything", run.outcome, "done")
    refused("the_next_one", "R42b", "screening", "consent", "recheck", "adverse", "ident")
    data = replace(
        request,
        people=False,
        setup=replace(
            bench.setup,
            device=DeviceName(driver=bench.setup.device.driver, address="port", emulated=False),
        ),
    ).to_data()
    again = SessionRequest.from_data(json.loads(json.dumps(data)))
    proof.equal("real_device_always_asks", again.people, True)
    return proof.verdict(
        "rehearsals ask on --people; contacts are measured at every start where a monitor is"
    )


def changed_after_approval(bench: Bench) -> Verdict:
    """Row 43: a protocol, a limit past its ceiling, and a limit within it."""
    proof = Evidence()
    data = json.loads(json.dumps(bench.request("R43").to_data()))

    def accepted(**changes: Any) -> bool:
        try:
            SessionRequest.from_data({**data, **changes})
        except TacsError:
            return False
        return True

    proof.equal("as_approved", accepted(), True)
    for field, value in (("frequency_hz", 11.0), ("duration_s", 12.0), ("name", "another")):
        changed = {**data["protocol"], field: value}
        proof.equal(f"protocol_{field}", accepted(protocol=changed), False)
    loops = [{**x, "current_peak_ma": 0.9} for x in data["protocol"]["montage"]["loops"]]
    montage = {**data["protocol"]["montage"], "loops": loops}
    changed = {**data["protocol"], "montage": montage}
    proof.equal("protocol_current", accepted(protocol=changed), False)
    past = 0
    for name, row in LIMITS.items():
        beyond = row.ceiling * 1.01 + 0.001 if row.sense == "max" else row.ceiling * 0.99 - 0.001
        past += accepted(limits={**data["limits"], name: beyond})
    proof.equal("limits_past_a_ceiling", past, 0)
    within = 0
    for name, row in LIMITS.items():
        if row.ceiling != data["limits"][name]:
            within += accepted(limits={**data["limits"], name: row.ceiling})
    proof.equal("limits_changed_within_their_ceilings", within, 0)
    return proof.verdict()


def wrong_person(bench: Bench) -> Verdict:
    """Row 45: another subject's peak, another person in the chair, electrodes swapped."""
    proof = Evidence()
    individual = {
        "subject": "R45a", "peak_hz": 10.27, "ci95_hz": [10.1, 10.4], "recording": "rest.edf",
        "recording_sha256": "0" * 64, "measured_at": utc_now().isoformat(), "method": "bench",
    }  # fmt: skip
    protocol = bench.protocol(individual=individual)
    own = bench.request("R45a", protocol=protocol)
    proof.equal("own_peak", broken(own), "")
    proof.contains("another_ones_peak", broken(replace(own, subject="R45b")), "peak_subject")
    refused = bench.rehearse("R45b", protocol=protocol)
    proof.equal("outcome", refused.outcome, "refused")
    proof.equal("lines", len(refused.lines), 0)
    dataset = bench.folder / "data-R45people"
    make_ready(dataset, "R45a")
    named = {"subject": "R45a"}
    proof.equal("right_person", len(check_identifiers(dataset, "R45a", {**named, **PERSON})), 0)
    wrong = check_identifiers(dataset, "R45a", {**named, **ANOTHER})
    proof.contains("wrong_person", " ".join(b.limit for b in wrong), "identifiers")
    run = bench.rehearse("R45swap")
    proof.shown_before_arming(run.cautions, "swapped")
    return proof.verdict(
        "a swap changes neither the current nor the impedance of any lead: no monitor of current "
        "sees it; the pre-flight list asks for the montage",
        outcome="not_detectable",
    )


ROWS = {
    42: Row(run=other_participant),
    43: Row(run=changed_after_approval),
    45: Row(run=wrong_person),
}
