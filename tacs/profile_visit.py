"""A visit of a response profile with current: its protocol, its trains, the table of them.

The protocol is the checked base protocol with the visit's frequency, its trains and as much time as
they need; montage, current and ramps stay as they were prescribed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from analysis.errors import AnalysisError
from analysis.profile_visits import EDGE_S, Visit, visits_of
from tacs.capabilities import Capabilities
from tacs.errors import InputError
from tacs.played import begin_rad
from tacs.profile_blocks import RunPlan
from tacs.protocol import Protocol

__all__ = [
    "Train",
    "first_train_s",
    "loop_rad",
    "phase_refusal",
    "train_table",
    "visit_of",
    "visit_protocol",
]

SETTLE_S: Final = 10.0
SPARE_S: Final = 2.0  # ticks that come late add up


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """A train, or a virtual one of sham, on the time of the recording.

    Parameters
    ----------
    number : int
        In the session, from 1.
    frequency_hz : float
        As the device makes it.
    level_ma : float
        Zero-to-peak, of the electrode with most; what sham would have had.
    kind : {"drive", "sham"}
        Whether there was current.
    start_s, stop_s : float
        First and last current, seconds from the recording's first sample.
    phase_rad : float
        Of the cosine of the first loop's current at `start_s`.
    group : str
        The visit.
    """

    number: int
    frequency_hz: float
    level_ma: float
    kind: Literal["drive", "sham"]
    start_s: float
    stop_s: float
    phase_rad: float
    group: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


def train_table(trains: Sequence[Train]) -> str:
    """Return the table that ``tacs profile analyze --mode electrical`` reads."""
    lines = ["frequency_hz\tlevel\tkind\tstart_s\tstop_s\torder\tphase_rad\tgroup"]
    lines += [
        f"{t.frequency_hz:.9g}\t{t.level_ma:.9g}\t{t.kind}\t{t.start_s:.6f}\t{t.stop_s:.6f}\t"
        f"{t.number}\t{t.phase_rad:.6f}\t{t.group}"
        for t in trains
    ]
    return "\n".join(lines) + "\n"


def visit_of(plan: RunPlan, number: int) -> tuple[Visit, float]:
    """Return a visit of a plan, and the share of the base protocol's current that it has.

    Raises
    ------
    InputError
        The plan has no such visit, or is none of mode electrical.
    """
    if plan.mode != "electrical":
        raise InputError(f"--visit: a plan of mode {plan.mode} has no visits")
    order = [0.0 if b.kind == "sham" else b.frequency_hz for b in plan.blocks]
    levels = [b.level for b in plan.blocks]
    try:
        visits = visits_of(
            order, levels, float(plan.data["peak_hz"]), int(plan.data["trains"]), plan.seconds,
            plan.gap_s,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AnalysisError) as exc:
        raise InputError(
            f"the plan says of no number of trains ({exc}); make it anew with tacs profile plan "
            "--mode electrical"
        ) from exc
    if not 1 <= number <= len(visits):
        raise InputError(f"--visit {number}: the plan has visits 1 to {len(visits)}")
    return visits[number - 1], levels[number - 1] / max(levels)


def visit_protocol(base: Protocol, visit: Visit, share: float) -> Protocol:
    """Return the protocol of a visit.

    Parameters
    ----------
    base : Protocol
        Montage, current at the dose that was tolerated, ramps; its trains' edges and run-in where
        it has trains.
    visit : Visit
        Frequency, trains, sham.
    share : float
        Of the base protocol's current.

    Raises
    ------
    InputError
        The base protocol is blinded, or a sham, or no such trains can be made of it.
    """
    name = f"protocol {base.name!r}"
    if base.blinding is not None:
        raise InputError(
            f"{name}: is blinded, and a blinded session has no trains: nothing shows yet that its "
            "record hides the arm; a visit of a profile cannot be blinded"
        )
    if base.is_sham:
        raise InputError(f"{name}: is a sham; give the active one, the plan says which visit is")
    edge_s, settle_s = EDGE_S, SETTLE_S
    if base.trains is not None:
        edge_s, settle_s = base.trains.edge_s, base.trains.settle_s
    run_in_s = base.ramp_up_s + settle_s + edge_s
    # Room for an ordinary ramp-down behind the last train, and for ticks that come late.
    spare_s = max(base.ramp_down_s, SPARE_S)
    data = base.to_data()
    data |= {
        "name": f"{base.name}, visit {visit.visit} of a response profile",
        "frequency_hz": visit.frequency_hz,
        "duration_s": round(run_in_s + visit.trains * (visit.on_s + visit.off_s) + spare_s, 6),
        "trains": {
            "on_s": visit.on_s,
            "off_s": visit.off_s,
            "edge_s": edge_s,
            "settle_s": settle_s,
            "count": visit.trains,
        },
    }
    data.pop("retune", None)
    for loop in data["montage"]["loops"]:
        loop["current_peak_ma"] *= share
    if visit.kind == "sham":
        data |= {"waveform": "active_sham", "sham_plateau_s": 0.0}
    return Protocol.from_data(data, f"visit {visit.visit} with {name}")


def first_train_s(protocol: Protocol) -> float:
    """Return when the first train begins, from the session's start; a virtual one of sham, too.

    The virtual trains of sham keep the times of the others, but begin behind the last current of
    its ramps.
    """
    trains = protocol.trains
    if trains is None:
        raise InputError(f"protocol {protocol.name!r}: has no trains")
    begin_s = trains.run_in_s(protocol.ramp_up_s)
    if protocol.is_sham:
        plateau_s = protocol.sham_plateau_s or 0.0
        begin_s = max(begin_s, protocol.ramp_up_s + plateau_s + protocol.ramp_down_s)
    return begin_s + trains.off_s


def loop_rad(protocol: Protocol) -> float:
    """Return the phase of the first loop's current when the programme begins."""
    return begin_rad(protocol) + math.radians(protocol.montage.loops[0].phase_deg)


def phase_refusal(capabilities: Capabilities) -> str:
    """Why the phase of trains is not known on a device; empty where it is."""
    if capabilities.no_trains:
        return f"{capabilities.name} cannot play trains: {capabilities.no_trains}"
    if capabilities.train_phase != "runs_on":
        return (
            f"{capabilities.name}: the phase of its trains is not known; it begins its cycle anew "
            "with each, at an instant that it does not tell, or does not say that its sine runs on "
            "through the gaps; use a device of which tacs devices --json says train_phase: runs_on"
        )
    return ""
