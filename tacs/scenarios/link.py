"""The link to the device and to the monitor: lost, late, doubled, damaged, replayed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tacs.driver import Driver
from tacs.rig import Rig
from tacs.scenarios.bench import FAULT_S, Bench, Rehearsed, after
from tacs.scenarios.evidence import Evidence, Row, Verdict

__all__ = ["ROWS"]

FEW = 3  # fewer damaged frames than make a fault
RAMP_S = 3.0  # a time in the ramp-up
BEFORE_CREST_S = 0.012
SETTING_BITS = 64  # questions and stops are shorter, commands with settings longer
TURNED = (13, 25, 37, 43)  # bits of the operation and of the first channel's value


def crest_s(bench: Bench) -> float:
    """A time in the ramp-up: a command before a crest of the sine."""
    return 31.25 / bench.frequency_hz - BEFORE_CREST_S


def held(proof: Evidence, run: Rehearsed, name: str = "") -> None:
    """Require that the plan was never passed, and that the record verifies.

    A command that is applied twice, or out of order, would pass it.
    """
    proof.at_most(f"above_plan_ma{name}", run.excess_ma(), 0.01 * run.full_ma)
    proof.equal(f"record{name}", run.problem or "verifies", "verifies")


def ended(proof: Evidence, bench: Bench, run: Rehearsed, since_s: float, name: str = "") -> None:
    """Require a latched fault, and silence from then on."""
    proof.equal(f"outcome{name}", run.outcome, "fault")
    proof.at_most(f"quiet_s{name}", run.quiet_after_s(since_s), bench.z_s(since_s))


def link_loss(bench: Bench) -> Verdict:
    """Row 5: the port is gone."""
    proof = Evidence()
    for at_s, name in ((RAMP_S, "_in_ramp"), (FAULT_S, "")):
        label = f"R05{name.replace('_', '')}"
        run = bench.rehearse(label, faults=[f"link_loss@{at_s}"], linger_s=bench.linger_s(at_s))
        ended(proof, bench, run, at_s, name)
        held(proof, run, name)
    return proof.verdict("no EEG is recorded during a session by this version")


def link_flap(bench: Bench) -> Verdict:
    """Row 6: ten drops a minute, watched for three more of them after the session is over."""
    run = bench.rehearse(
        "R06", faults=[f"link_flap@{FAULT_S}=6"], linger_s=max(18.0, bench.linger_s(FAULT_S))
    )
    proof = Evidence()
    ended(proof, bench, run, FAULT_S)
    held(proof, run)
    proof.equal("faults_in_record", len(run.said("state", to="fault")), 1)
    return proof.verdict()


def late_replies(bench: Bench) -> Verdict:
    """Row 7: replies come late; whatever ends the session, nothing is applied twice."""
    proof, told = Evidence(), []
    for delay_s, at_s in ((0.1, RAMP_S), (0.1, FAULT_S), (1.0, RAMP_S), (10.0, FAULT_S)):
        label = f"R07{delay_s}{at_s}".replace(".", "")
        late = [f"delay_reply@{at_s}={delay_s}"]
        run = bench.rehearse(label, faults=late, linger_s=bench.linger_s(at_s))
        name = f"_{delay_s:g}s_at_{at_s:g}s"
        told.append(f"{delay_s:g} s: {run.outcome}")
        held(proof, run, name)
        if run.outcome == "done":
            proof.at_most(f"quiet_s{name}", run.quiet_after_s(0.0), run_end_s(bench))
        else:
            ended(proof, bench, run, at_s, name)
    return proof.verdict("; ".join(dict.fromkeys(told)))


def run_end_s(bench: Bench) -> float:
    """When a session that nothing disturbed is over: its last renewal, and the stop's ramp."""
    limits = bench.setup.limits
    return bench.protocol().duration_s + limits["lease_ttl_s"] + bench.soft_stop_s


def lost_reply(bench: Bench) -> Verdict:
    """Row 8: the command was applied and nobody knows; it counts as energised, and ends."""
    proof = Evidence()
    for at_s, name in ((RAMP_S, "_in_ramp"), (FAULT_S, "")):
        run = bench.rehearse(f"R08{name.replace('_', '')}", faults=[f"drop_reply@{at_s}"])
        ended(proof, bench, run, at_s, name)
        held(proof, run, name)
    return proof.verdict("a command is never sent again: one without its answer is a fault")


def foreign_frames(bench: Bench) -> Verdict:
    """Row 11: frames of an earlier session come between those of this one."""
    run = bench.rehearse("R11", faults=[f"monitor_replay@{FAULT_S}=5"])
    proof = Evidence()
    proof.equal("outcome", run.outcome, "done")
    proof.equal("rejected", frames(run, "foreign"), 5)
    proof.contains("noted", run.notes(), "MONITOR_FOREIGN")
    held(proof, run)
    return proof.verdict(
        "frames of the monitor; the commands of the device carry no session number",
        monitor="monitor_foreign",
    )


def frames(run: Rehearsed, what: str) -> int:
    """Return a count of the monitor's frames, as the record's last measurement has it."""
    told = run.said("answer", verb="measured")
    return int(told[-1].data["frames"][what]) if told else -1


def turned_bits(bench: Bench) -> Verdict:
    """Row 12: bits turned over, in frames of the monitor and in commands to the device."""
    proof = Evidence()
    if bench.monitored:
        few = bench.rehearse("R12few", faults=[f"monitor_corrupt@{FAULT_S}={FEW}"])
        proof.equal("outcome_few", few.outcome, "done")
        proof.equal("rejected_few", frames(few, "corrupted"), FEW)
        many = bench.rehearse("R12many", faults=[f"monitor_corrupt@{FAULT_S}=200"])
        proof.equal("rule_many", many.rule, "monitor_corrupted")
        ended(proof, bench, many, FAULT_S, "_many")
    most_ma, quiet_s = 0.0, 0.0
    undisturbed: list[Rehearsed] = []
    for place in TURNED:
        tap = _Tap(place)
        run = bench.rehearse(
            f"R12bit{place}",
            setup=replace(bench.setup, driver=tap.on(bench.setup.driver)),
            acts=[after(crest_s(bench), tap.arm)],
            linger_s=bench.linger_s(crest_s(bench)),
        )
        proof.equal(f"altered_{place}", tap.altered, 1)
        excess_ma = run.excess_ma(to_s=crest_s(bench) + 0.3)
        most_ma = max(most_ma, excess_ma)
        if run.outcome != "done":
            quiet_s = max(quiet_s, run.quiet_after_s(crest_s(bench)))
        elif excess_ma > 0.01 * run.full_ma:
            undisturbed.append(run)
        if run.rule is not None:
            proof.monitor = run.rule
    proof.note("altered_commands", len(TURNED))
    proof.note("most_above_plan_ma", most_ma)
    proof.at_most("quiet_s", quiet_s, bench.z_s(crest_s(bench)))
    if bench.monitored or not undisturbed:
        proof.equal("more_current_unnoticed", len(undisturbed), 0)
        return proof.verdict("what did not end the session changed nothing that flows")
    proof.shown_before_arming(undisturbed[0].cautions, "altered", "no check")
    return proof.verdict(
        "the device's protocol has no check: an altered amplitude is played until the next one",
        outcome="not_detectable",
    )


class _Tap:
    """Turn one bit over in one command that goes to the device."""

    def __init__(self, place: int) -> None:
        self.altered = 0
        self._place = place
        self._armed = False

    def arm(self, stage: object) -> None:
        """Alter the next command that carries a setting."""
        self._armed = True

    def on(self, driver: type[Driver]) -> type[Driver]:
        """Return the driver with this tap in its link."""

        def over(cls: type[Driver], transport: Any, rig: Rig | None) -> Driver:
            write = transport.write
            transport.write = lambda data: write(self._pass(data))
            return driver.over(transport, rig)

        return type(driver.__name__, (driver,), {"over": classmethod(over)})

    def _pass(self, data: bytes) -> bytes:
        if not self._armed or 8 * len(data) <= SETTING_BITS:
            return data
        self._armed = False
        self.altered += 1
        turned = bytearray(data)
        turned[self._place // 8] ^= 1 << self._place % 8
        return bytes(turned)


def garbage(bench: Bench) -> Verdict:
    """Row 13: noise, wrong bytes, doubled and exchanged replies."""
    at_s = FAULT_S
    trials = [[f"garbage@{at_s}=100000"], [f"corrupt_reply@{at_s}=100000"],
              [f"duplicate_reply@{at_s}=100000"], [f"reorder@{at_s}=1"]]  # fmt: skip
    if bench.monitored:
        of_monitor = ("garbage", "duplicate", "reorder")
        trials.append([f"monitor_{name}@{at_s + 0.4 * k}=9" for k, name in enumerate(of_monitor)])
    proof, told = Evidence(), []
    for k, faults in enumerate(trials):
        run = bench.rehearse(f"R13{k}", faults=faults, linger_s=bench.linger_s(at_s))
        name = "_" + faults[0].partition("@")[0]
        told.append(f"{name[1:]}: {run.outcome}")
        held(proof, run, name)
        if run.outcome == "done":
            proof.at_most(f"quiet_s{name}", run.quiet_after_s(0.0), run_end_s(bench))
        else:
            proof.at_most(f"quiet_s{name}", run.quiet_after_s(at_s), bench.z_s(at_s))
    return proof.verdict("; ".join(told))


ROWS = {
    5: Row(run=link_loss, needs=("link_loss",), without_host=True),
    6: Row(run=link_flap, needs=("link_flap",), without_host=True),
    7: Row(run=late_replies, needs=("delay_reply",), without_host=True),
    8: Row(run=lost_reply, needs=("drop_reply",), without_host=True),
    11: Row(
        run=foreign_frames,
        needs=("monitor_replay",),
        monitor="commands and replies carry no session number; only a monitor's frames do",
    ),
    12: Row(run=turned_bits, without_host=True),
    13: Row(
        run=garbage,
        needs=("garbage", "corrupt_reply", "duplicate_reply", "reorder"),
        without_host=True,
    ),
}
