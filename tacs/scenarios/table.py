"""The 47 scenarios: number, fault, and what must come of it.

Z(x) means: the measured current of every electrode is below 50 µA within x of the fault and stays
there. The numbers are those of the project's hazard analysis; they do not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SCENARIOS", "Scenario"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table.

    Parameters
    ----------
    number : int
        1 to 47.
    fault : str
        What happens.
    required : str
        What must come of it.
    """

    number: int
    fault: str
    required: str


# fmt: off
_ROWS = (
    (1, "guardian killed in hold", "Z(2.0 s); interrupted; dose measured or an upper bound"),
    (2, "guardian suspended longer than its lease, then resumed", "Z(2.0 s); no restart"),
    (3, "front end killed or hanging", "ramp-down by its lease; STOP works throughout"),
    (4, "guardian stalls for 0.5 s and for 3 s", "within the lease no effect; beyond it Z(2.0 s)"),
    (5, "link unplugged", "Z(2.0 s) by the device's own lease; fault"),
    (6, "link drops out ten times a minute", "the first drop latches; no second rise"),
    (7, "replies 0.1 s to 10 s late", "nothing applied twice; the current ends by the lease"),
    (8, "reply lost, command applied", "nothing applied twice; fault; Z(2.0 s)"),
    (9, "start commanded twice", "the second is rejected, no second ramp"),
    (10, "older commands after a stop", "stays at zero"),
    (11, "frames of an earlier session", "rejected and recorded"),
    (12, "bits turned over on the way", "none accepted; after five damaged frames a fault"),
    (13, "garbage and broken replies", "no exception gets out; Z(2.0 s) if it persists"),
    (14, "NaN, infinite, huge, denormal, boolean, text", "rejected, no change of state"),
    (15, "amplitude in the wrong unit, x1000 and x2", "refused; the adapter delivers the peak"),
    (16, "amplitude step above the slew limit", "refused; measured slew within the limit"),
    (17, "measurement repeats itself", "fault; Z(2.0 s)"),
    (18, "current 10 % above the command for 50 ms", "Z(0.25 s) after these 50 ms; fault"),
    (19, "direct current above the limit for 1 s", "soft stop; fault"),
    (20, "one electrode of four open, or a leak", "Z(0.25 s)"),
    (21, "electrode dries, 5 to 60 kΩ", "warning at 20, ramp-down at 50; the level is not raised"),
    (22, "electrode falls off", "Z(0.25 s)"),
    (23, "short circuit between electrodes", "blocks a start; fault in a run"),
    (24, "stimulator out of compliance", "stop within 1 s; dose as delivered"),
    (25, "wall clock a day on, a day back, another zone", "no effect; no daily limit dodged"),
    (26, "computer suspended", "Z(2.0 s) by the lease; aborted on waking"),
    (27, "device restarts", "zero; fault; no re-arming without a person"),
    (28, "battery low", "start blocked; ramp-down in a run"),
    (29, "power cut of the host", "as 1; record valid up to its last sync"),
    (30, "disk full in a session", "ramps down; the record of the stop fits"),
    (31, "disk takes 5 s to confirm", "commands go on; overdue stops; gap marked"),
    (32, "trace cut off in the middle of a block", "valid prefix; nothing wrong in it"),
    (33, "killed in the middle of a ledger entry", "opens; all or nothing; chain verifies"),
    (34, "record edited, cut or deleted", "first bad line told; start blocked until acknowledged"),
    (35, "EEG drops out in closed loop", "hold, then ramp down"),
    (36, "EEG amplifier saturated in closed loop", "frozen, then ramp-down"),
    (37, "clocks of EEG and stimulation drift apart", "phase error bounded, or stop"),
    (38, "closed-loop controller fails", "ignored; ramp-down"),
    (39, "operator's stop in every state", "Z(1 s) from each"),
    (40, "eleven stops and a storm of interrupts", "one stop, no crash"),
    (41, "two front ends or programs claim the device", "the second may look and stop"),
    (42, "participant changed without a screening of their own", "start blocked"),
    (43, "protocol or limits changed after approval", "refused"),
    (44, "third session a day, after a restart, at a second workstation", "refused; conflict told"),
    (45, "wrong subject, swapped electrodes", "subject refused; swap told as not detectable"),
    (46, "allocation not available", "no session; never an active one by default"),
    (47, "blinded person looks at screen, files and log", "the arm is not in them"),
)
# fmt: on

SCENARIOS: Mapping[int, Scenario] = {row[0]: Scenario(*row) for row in _ROWS}
