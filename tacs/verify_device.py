"""``tacs verify device``: conformance and fault scenarios, judged by the oscilloscope.

An emulated device is put through all of them: most on the virtual clock in this process, some as
processes of their own on the real clock, side by side. A real device on a dummy load has no
oscilloscope and cannot be given faults; what is left there is said of each row.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacs.checking import check as breaches_of
from tacs.clock import MonotonicClock
from tacs.driver import DeviceName
from tacs.errors import InputError
from tacs.scenarios import (
    blinding_rows,
    commands,
    disk,
    dummy_load,
    electrodes,
    host,
    ledger_rows,
    link,
    loop_rows,
    people_rows,
)
from tacs.scenarios.bench import Bench
from tacs.scenarios.conformance import CHECKS
from tacs.scenarios.evidence import Evidence, Outcome, Row, Verdict
from tacs.scenarios.table import SCENARIOS, Scenario

__all__ = ["PARTS", "Check", "Conformed", "Verification", "verify_device"]

AT_ONCE = 4  # sessions on the real clock, each of three processes
GOOD: frozenset[Outcome] = frozenset(
    {"pass", "caught", "not_detectable", "not_applicable", "skipped"}
)
PLAYED: frozenset[Outcome] = frozenset({"pass", "caught", "not_detectable"})
ROWS: dict[int, Row] = {
    **link.ROWS,
    **electrodes.ROWS,
    **host.ROWS,
    **commands.ROWS,
    **disk.ROWS,
    **ledger_rows.ROWS,
    **people_rows.ROWS,
    **blinding_rows.ROWS,
    **loop_rows.ROWS,
}
PARTS = ("conformance", "scenarios")
Say = Callable[["Check | Conformed"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One scenario and what came of it.

    Parameters
    ----------
    scenario : Scenario
        Number, fault and what is required.
    verdict : Verdict
        Outcome, figures and reason.
    seconds : float
        How long it took.
    """

    scenario: Scenario
    verdict: Verdict
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it did not fail."""
        return self.verdict.outcome in GOOD

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "number": self.scenario.number,
            "fault": self.scenario.fault,
            "required": self.scenario.required,
            "outcome": self.verdict.outcome,
            "monitor": self.verdict.monitor,
            "figures": dict(self.verdict.figures),
            "bounds": dict(self.verdict.bounds),
            "reason": self.verdict.reason,
            "seconds": round(self.seconds, 2),
        }

    def line(self) -> str:
        """Return one line for a person: number, outcome, fault, and the figures that count."""
        verdict = self.verdict
        words = verdict.outcome.replace("_", " ")
        if verdict.monitor:
            words += f": {verdict.monitor}"
        figures = ", ".join(
            f"{name} {verdict.figures[name]} {bound}"
            for name, bound in verdict.bounds.items()
            if name.startswith("quiet_s")
        )
        parts = [f"{self.scenario.number:>2}  {words:<32} {self.scenario.fault}"]
        parts += [f"    {text}" for text in (figures, verdict.reason) if text]
        return "\n".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformed:
    """One check of the conformance suite and what came of it.

    Parameters
    ----------
    name, required : str
        What is checked, and the sentence that must hold.
    verdict : Verdict
        Outcome, figures and reason.
    seconds : float
        How long it took.
    """

    name: str
    required: str
    verdict: Verdict
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it did not fail."""
        return self.verdict.outcome in GOOD

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "name": self.name,
            "required": self.required,
            "outcome": self.verdict.outcome,
            "figures": dict(self.verdict.figures),
            "bounds": dict(self.verdict.bounds),
            "reason": self.verdict.reason,
            "seconds": round(self.seconds, 2),
        }

    def line(self) -> str:
        """Return one line for a person: outcome, name, and the figures with their bounds."""
        verdict = self.verdict
        figures = ", ".join(
            f"{name} {verdict.figures[name]} {bound}"
            for name, bound in verdict.bounds.items()
            if isinstance(verdict.figures[name], float)
        )
        parts = [f"    {verdict.outcome.replace('_', ' '):<32} {self.name}"]
        parts += [f"    {text}" for text in (figures, verdict.reason) if text]
        return "\n".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The whole matrix.

    Parameters
    ----------
    device, rig : str
        What was verified.
    checks : tuple of Check
        In the order of their numbers.
    conformance : tuple of Conformed
        What every driver must do.
    seconds : float
        In all.
    """

    device: str
    rig: str
    checks: tuple[Check, ...]
    seconds: float
    conformance: tuple[Conformed, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed, and one thing at least was played."""
        done: list[Check | Conformed] = [*self.checks, *self.conformance]
        played = any(c.verdict.outcome in PLAYED for c in done)
        return played and all(c.ok for c in done)

    @property
    def counts(self) -> dict[str, int]:
        """How many scenarios had which outcome."""
        return _counts(self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs verify device``."""
        return {
            "device": self.device,
            "rig": self.rig,
            "ok": self.ok,
            "counts": self.counts,
            "seconds": round(self.seconds, 1),
            "checks": [check.to_dict() for check in self.checks],
            "conformance": [check.to_dict() for check in self.conformance],
        }

    def text(self) -> str:
        """Return the matrix for a person."""
        told = [
            f"{what}: " + ", ".join(f"{n} {outcome.replace('_', ' ')}" for outcome, n in counts)
            for what, counts in (
                ("conformance", _counts(self.conformance).items()),
                ("scenarios", _counts(self.checks).items()),
            )
            if counts
        ]
        return "\n".join(
            [
                *(check.line() for check in self.conformance),
                *(check.line() for check in self.checks),
                f"{self.device} on rig {self.rig}: {'; '.join(told)}; {self.seconds:.0f} s",
                "An emulated device is not a person and not the device itself."
                if self.device.startswith("emulated:")
                else "A dummy load is not a person.",
            ]
        )


def _counts(done: Sequence[Check | Conformed]) -> dict[str, int]:
    """How many had which outcome."""
    found: dict[str, int] = {}
    for check in done:
        found[check.verdict.outcome] = found.get(check.verdict.outcome, 0) + 1
    return found


def verify_device(
    device: str,
    *,
    rig: str | Path | None = None,
    only: Sequence[int] = (),
    parts: Sequence[str] = PARTS,
    quick: bool = False,
    confirm: Callable[[Sequence[str]], None] | None = None,
    say: Say | None = None,
) -> Verification:
    """Put a device through the conformance suite and the fault scenarios.

    Parameters
    ----------
    device : str
        ``emulated:synthpal``, or a real device with a dummy load in place of a person.
    rig : path or str, optional
        Rig file, or the name of a shipped one.
    only : sequence of int
        Numbers of the scenarios, without the conformance suite; all and both where left out.
    parts : sequence of str
        ``conformance``, ``scenarios``, or both.
    quick : bool
        Leave out those that need the real clock.
    confirm : callable, optional
        Called before current is sent into a dummy load, with what is told before arming; it
        returns or raises. A real device without it is refused.
    say : callable, optional
        Given every check as it is done.

    Returns
    -------
    Verification

    Raises
    ------
    InputError
        No such device, rig or scenario, or a real device without a confirmation.
    """
    wanted = sorted(set(only)) or list(SCENARIOS)
    if unknown := [n for n in wanted if n not in SCENARIOS]:
        raise InputError(f"scenario {unknown[0]}: there are 1 to {max(SCENARIOS)}")
    if wrong := [part for part in parts if part not in PARTS]:
        raise InputError(f"part {wrong[0]!r}: there are {' and '.join(PARTS)}")
    if "scenarios" not in parts:
        wanted = []
    clock = MonotonicClock()
    start_s = clock.now_s()
    with tempfile.TemporaryDirectory(prefix="tacs-verify-", ignore_cleanup_errors=True) as name:
        bench = Bench.of(device, rig, Path(name))
        _by_a_machine(bench)
        with _site_of_its_own(bench.setup.site):
            conformance = []
            if "conformance" in parts and not only:
                conformance = _conformance(bench, clock, say=say)
            if bench.setup.device.emulated:
                checks = _emulated(bench, wanted, clock, quick=quick, say=say)
            else:
                checks = _on_a_load(bench, wanted, clock, confirm=confirm, say=say)
        rig_name = "" if bench.setup.rig is None else bench.setup.rig.name
    return Verification(
        device=str(DeviceName.parse(device)),
        rig=rig_name,
        checks=tuple(sorted(checks, key=lambda check: check.scenario.number)),
        seconds=clock.now_s() - start_s,
        conformance=tuple(conformance),
    )


def _by_a_machine(bench: Bench) -> None:
    """Refuse a device that a person works: there is nothing that a machine could verify."""
    if not bench.setup.capabilities.machine_verified:
        name = bench.setup.capabilities.name
        raise InputError(
            f"{name}: a person sets, starts and stops this device, and no machine can verify what "
            f"a person does. Rehearse it with `tacs run … --device emulated:{name}`"
        )


def _conformance(bench: Bench, clock: MonotonicClock, *, say: Say | None) -> list[Conformed]:
    """Run the conformance suite; a real device has no oscilloscope to judge it by."""
    done = []
    for name, run in CHECKS.items():
        start_s = clock.now_s()
        if not bench.setup.device.emulated:
            reason = "needs the emulator's oscilloscope; put a scope on the load"
            verdict = Verdict(outcome="skipped", reason=reason)
        else:
            verdict = _guarded(lambda run=run: run(bench))  # type: ignore[misc]
        required = " ".join((run.__doc__ or name).split())
        done.append(
            Conformed(
                name=name, required=required, verdict=verdict, seconds=clock.now_s() - start_s
            )
        )
        if say is not None:
            say(done[-1])
    return done


def _guarded(run: Callable[[], Verdict]) -> Verdict:
    """Run one; whatever goes wrong in it is a failure, and none of the others'."""
    try:
        return run()
    except Exception as exc:
        text = " ".join(str(exc).split())
        return Verdict(outcome="fail", reason=f"{type(exc).__name__}: {text}")


@contextmanager
def _site_of_its_own(site: Path) -> Iterator[None]:
    """Point whatever looks for the site's folder to the bench's own."""
    before = os.environ.get("TACS_SITE_DIR")
    os.environ["TACS_SITE_DIR"] = str(site)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TACS_SITE_DIR"]
        else:
            os.environ["TACS_SITE_DIR"] = before


def _emulated(
    bench: Bench, wanted: Sequence[int], clock: MonotonicClock, *, quick: bool, say: Say | None
) -> list[Check]:
    """Run the virtual ones here, one after the other, and the others beside them."""
    checks: list[Check] = []

    def done(check: Check) -> None:
        checks.append(check)
        if say is not None:
            say(check)

    beside: list[Future[Check]] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in wanted:
            row = ROWS.get(number)
            if row is not None and row.processes and not quick:
                beside.append(pool.submit(_checked, bench, number, clock, quick=quick))
        for number in wanted:
            row = ROWS.get(number)
            if row is None or not row.processes or quick:
                done(_checked(bench, number, clock, quick=quick))
        for future in beside:
            done(future.result())
    return checks


def _checked(bench: Bench, number: int, clock: MonotonicClock, *, quick: bool) -> Check:
    start_s = clock.now_s()
    verdict = _verdict(bench, number, quick=quick)
    return Check(scenario=SCENARIOS[number], verdict=verdict, seconds=clock.now_s() - start_s)


def _verdict(bench: Bench, number: int, *, quick: bool) -> Verdict:
    """Run one scenario; whatever goes wrong in it is a failure, and none of the others'."""
    row = ROWS[number]
    if row.monitor and not bench.monitored:
        return Verdict(outcome="not_applicable", reason=row.monitor)
    if lacking := [name for name in row.needs if name not in bench.faults]:
        return Verdict(
            outcome="not_applicable",
            reason=f"the emulator cannot be given the fault {', '.join(lacking)}",
        )
    if row.processes and quick:
        return Verdict(outcome="skipped", reason="needs the real clock; left out by --quick")
    if row.processes and os.name != "posix":
        return Verdict(outcome="skipped", reason="needs the signals of a POSIX system")
    if row.without_host and bench.overrides:
        return _guarded(lambda: _endless(bench))
    return _guarded(lambda: row.run(bench))


def _endless(bench: Bench) -> Verdict:
    """A device whose current would not end without its host: arming must have been refused."""
    proof = Evidence()
    found = breaches_of(bench.protocol(), bench.setup)
    proof.contains("refused", " ".join(breach.limit for breach in found), "host_loss")
    return proof.verdict(
        f"{bench.setup.capabilities.on_host_loss}; refused at arming without a recorded override",
        outcome="not_applicable",
    )


def _on_a_load(
    bench: Bench,
    wanted: Sequence[int],
    clock: MonotonicClock,
    *,
    confirm: Callable[[Sequence[str]], None] | None,
    say: Say | None,
) -> list[Check]:
    """Run what can be run on a real device, once a person has said what is attached."""
    if confirm is None:
        raise InputError(
            "a real device sends current: verifying it needs a confirmation that a dummy load "
            "is attached in place of a person"
        )
    confirm(dummy_load.told(bench))
    checks = []
    for number in wanted:
        start_s = clock.now_s()
        verdict = dummy_load.verdict(bench, number)
        check = Check(scenario=SCENARIOS[number], verdict=verdict, seconds=clock.now_s() - start_s)
        checks.append(check)
        if say is not None:
            say(check)
    return checks
