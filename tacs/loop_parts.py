"""What a loop and its result are made of, from its plan, its protocol and what rest told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from analysis.loop_phase_error import PhaseErrors
from tacs.loop_abort import PhaseCheck
from tacs.loop_plan import LoopPlan
from tacs.loop_rest import Learned
from tacs.protocol import Protocol

if TYPE_CHECKING:
    from tacs.eeg import EEGStream
    from tacs.loop import Loop

__all__ = [
    "check_of",
    "clock_caution",
    "device_clock",
    "eyes_caution",
    "first_line",
    "played_of",
    "sham_of",
    "trains_of",
]

EYES_TOLD: Final = 0.5
CLOCK_DEG: Final = 10.0


def trains_of(protocol: Protocol | None) -> tuple[float, int]:
    """Length and number of the protocol's trains."""
    if protocol is None or protocol.trains is None:
        return (0.0, 0)
    return (protocol.trains.on_s, protocol.n_trains)


def check_of(plan: LoopPlan, learned: Learned, protocol: Protocol | None) -> PhaseCheck | None:
    """What looks afterwards how well the phase was met; None where none is aimed at."""
    if not plan.aims:
        return None
    return PhaseCheck(
        PhaseErrors(plan.abort_plv, plan.abort_after),
        learned.engine.mixed,
        learned.peak_hz,
        max_step_uv=learned.engine.gates.max_step_uv,
        in_gaps=plan.rule != "lock" and protocol is not None,
    )


def sham_of(plan: LoopPlan, protocol: Protocol | None) -> tuple[float, float, float] | None:
    """Length of a train, of a gap, and frequency, of a loop that gives no current."""
    if plan.control != "sham":
        return None
    if protocol is None:
        return (0.0, 0.0, 1.0)
    trains = protocol.trains
    on_s, off_s = (0.0, 0.0) if trains is None else (trains.on_s, trains.off_s)
    return (on_s, off_s, protocol.frequency_hz)


def first_line(
    plan: LoopPlan,
    learned: Learned,
    source: EEGStream,
    protocol: Protocol | None,
    rule: Any,
    trigger: str,
) -> dict[str, Any]:
    """What the loop is set to, as the first line of its log has it."""
    return {
        "plan": plan.to_dict(),
        "learned": learned.to_dict(),
        "eeg": source.info.source,
        "protocol_sha256": None if protocol is None else protocol.sha256(),
        "rule": type(rule).__name__,
        "trigger": trigger,
    }


def eyes_caution(plan: LoopPlan, learned: Learned) -> str:
    """What a person should know where alpha is to tell the eyes and does not."""
    told, wanted = learned.eyes_told, plan.gate.eyes
    if told is None or wanted is None or plan.eyes is not None or told[wanted] >= EYES_TOLD:
        return ""
    return (
        f"caution: alpha tells that the eyes are {wanted} in {100.0 * told[wanted]:.0f} % of this "
        f"person's rest with eyes {wanted} only: --gate-eyes will hold most trains back"
    )


def clock_caution(plan: LoopPlan, protocol: Protocol | None) -> str:
    """What a person should know of a stimulator's clock that nobody has measured well enough."""
    if protocol is None or not plan.aims:
        return ""
    left_deg = plan.device.left_deg(protocol.frequency_hz, protocol.duration_s)
    if left_deg <= CLOCK_DEG:
        return ""
    return (
        f"caution: the stimulator's clock is known to ±{plan.device.bound_ppm:g} ppm only, which "
        f"turns the current by up to {left_deg:.0f} degrees until the end; where EEG shows the "
        f"artefact the result has it measured (device_clock): give it as --device-ppm next time"
    )


def device_clock(plan: LoopPlan, protocol: Protocol | None, loop: Loop) -> dict[str, Any] | None:
    """What was assumed of the stimulator's clock, and what EEG showed of it."""
    if protocol is None:
        return None
    hz, device = protocol.frequency_hz, plan.device
    return {
        "assumed_ppm": device.ppm,
        "bound_ppm": device.bound_ppm,
        "degrees_per_minute": round(device.left_deg(hz, 60.0), 2),
        "degrees_by_the_end": round(device.left_deg(hz, protocol.duration_s), 1),
        **loop.drift.to_dict(),
    }


def played_of(plan: LoopPlan, protocol: Protocol | None) -> Protocol | None:
    """What the guardian is asked to play: of a sham, a passive one."""
    if protocol is None or plan.control != "sham":
        return protocol
    return Protocol.from_data({**protocol.to_data(), "waveform": "passive_sham"}, "sham")
