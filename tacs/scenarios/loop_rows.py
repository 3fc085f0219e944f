"""A closed loop whose EEG stops, saturates or jumps, and one that fails: rows 35 to 38.

Played with a continuous lock, which steers the frequency all the time and is therefore the one that
could do most harm. The guardian, the kernel and the emulated device are those of every session.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analysis.loop_terms import Decision, Request
from tacs.beside import HANG_S
from tacs.checking import Setup
from tacs.clock import QueueInbox
from tacs.dose import read_trace
from tacs.errors import InputError
from tacs.guardian import Telemetry
from tacs.loop import Loop
from tacs.loop_plan import LoopPlan
from tacs.loop_session import LoopResult, Prescribed, run_loop
from tacs.record import read_record
from tacs.scenarios.bench import RAMP_UP_S, Act, Bench, Rehearsed, Stage, watching
from tacs.scenarios.evidence import Evidence, Row, Verdict
from tacs.scenarios.loop_eeg import CHANNEL, SFREQ_HZ, Scene, SceneEEG, made_eeg, true_phase

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NO_LOCK", "ROWS", "can_lock", "looped"]

NO_LOCK: Final = (
    "the device cannot change its frequency while it plays, and a lock is refused on it; a loop of "
    "trains is without current whenever it listens"
)
DURATION_S, RAMP_DOWN_S = 50.0, 2.0
AT_S: Final = 20.0  # in hold
SETTLE_S: Final = 0.3  # a tick, a block and a telemetry
TAIL_S: Final = 0.05  # a session that is stopped once it is silent is over at once
SENT_S: Final = 0.05  # from a look of the loop to its request's line
SHORT_S: Final = (0.1, 0.5, 1.0, 1.9)
LONG_S: Final = (2.5, 10.0)
RAIL_UV: Final = 400.0
JUMP_S: Final = 5.0
PPM: Final = 200.0
LAG_DEG: Final = 45.0  # at most, for a lock that may change its frequency once a second


def can_lock(setup: Setup) -> bool:
    """Whether a lock can steer this device."""
    capabilities = setup.capabilities
    return capabilities.frequency_change == "phase_continuous" and capabilities.level_control


class Looped(Rehearsed):
    """A rehearsal, and what the loop says of it."""

    loop: LoopResult
    decided: list[dict[str, Any]]
    clock_start_s: float

    def retunes(self, from_s: float, to_s: float) -> int:
        """How many changes of frequency were asked for between two session times."""
        return sum(
            from_s <= self.session_s(line) < to_s for line in self.said("request", asked="retune")
        )

    def level_share(self, from_s: float, to_s: float) -> float:
        """Smallest peak of any half-cycle between two session times, of the full one."""
        times_s, sizes = self.half_cycle_peaks()
        inside = (times_s >= from_s) & (times_s < to_s)
        return float(sizes[inside].min()) / self.full_ma if inside.any() else 0.0


def looped(
    bench: Bench,
    label: str,
    *,
    meddle: Callable[[Any, Scene], Any] | None = None,
    clock_ppm: float = 0.0,
    prepared: Callable[[Loop, Scene], None] | None = None,
    acts: Sequence[Act] = (),
) -> Looped:
    """Run a session with a lock on the virtual clock, 60 s of rest before it."""
    scene, inbox = Scene(), QueueInbox()
    protocol = bench.protocol(
        duration_s=DURATION_S, ramp_down_s=RAMP_DOWN_S, retune={"within_hz": 1.0}
    )
    stage: list[Callable[[Telemetry], None]] = []

    def eeg(clock: Any) -> SceneEEG:
        stage.append(watching(acts, Stage(clock, inbox)))
        made = made_eeg(bench.folder, bench.frequency_hz, clock, clock_ppm=clock_ppm)
        return SceneEEG(made, scene, meddle)

    def watch(told: Telemetry) -> None:
        scene.elapsed_s, scene.level = told.elapsed_s, told.level
        stage[0](told)

    result = run_loop(
        LoopPlan(rule="lock", signal="peripheral", picks=(CHANNEL,), rest_s=60.0),
        eeg,
        subject=label,
        session="01",
        dataset=bench.folder / f"data-{label}",
        clock="virtual",
        prescribed=Prescribed(
            protocol=protocol,
            setup=bench.setup,
            options={"operator": "bench", "role": "operator", "overrides": bench.overrides},
        ),
        inbox=inbox,
        watch=watch,
        prepared=None if prepared is None else lambda loop, learned: prepared(loop, scene),
    )
    return _rehearsed(result, bench)


def _rehearsed(result: LoopResult, bench: Bench) -> Looped:
    """Read what a session with a loop left behind."""
    record = result.record
    if record is None or record.trace is None:
        raise InputError("the oscilloscope left no trace")
    lines, problem = read_record(Path(record.record))
    path = Path(record.trace)
    side = json.loads(path.with_name(path.name.replace(".tsv.gz", ".json")).read_text("utf-8"))
    start_t_s = next(x.t_s for x in lines if x.kind == "state" and x.data.get("from") == "armed")
    run = Looped(
        result=record,
        refused=None,
        lines=lines,
        problem=problem,
        trace=read_trace(path, len(side["Columns"])),
        columns=tuple(side["Columns"]),
        rate_hz=float(side["SamplingFrequency"]),
        start_s=-float(side["StartTime"]),
        frequency_hz=bench.frequency_hz,
        full_ma=bench.current_ma,
    )
    log, broken = read_record(result.log)
    # A frozen dataclass takes what it was not made with only so.
    for name, value in (
        ("loop", result),
        ("decided", [{"kind": x.kind, **x.data} for x in log]),
        ("problem", problem or broken),
        ("clock_start_s", lines[0].data["clock_zero_s"] + start_t_s),
    ):
        object.__setattr__(run, name, value)
    return run


def told(proof: Evidence, run: Looped, words: str, name: str = "") -> None:
    """Require that record and log verify, and say why."""
    proof.equal(f"record{name}", run.problem or "verifies", "verifies")
    did = "; ".join(f"{x.data['did']}: {x.data['text']}" for x in run.said("operator"))
    proof.contains(f"recorded{name}", did, f"pause: {words}")
    proof.equal(f"log_ends{name}", run.decided[-1]["kind"], "end")


def down(proof: Evidence, run: Looped, since_s: float, after_s: float, name: str = "") -> None:
    """Require silence by the ordinary ramp, and that nothing rose above the plan meanwhile."""
    bound_s = after_s + RAMP_DOWN_S + SETTLE_S
    quiet_s = run.quiet_after_s(since_s, tail_s=TAIL_S)
    proof.at_most(f"quiet_s{name}", quiet_s, bound_s)
    excess_ma = run.excess_ma(to_s=DURATION_S - RAMP_DOWN_S)
    proof.at_most(f"above_plan_ma{name}", excess_ma, 0.01 * run.full_ma)


# -- the rows -------------------------------------------------------------------------------------


def dropouts(bench: Bench) -> Verdict:
    """Row 35: EEG is away for 0.1 s to 10 s."""
    proof, stale = Evidence(), LoopPlan(rule="burst").stale
    starts = [RAMP_UP_S + 5.0 + 5.0 * i for i in range(len(SHORT_S))]
    holes = list(zip(starts, SHORT_S, strict=True))
    run = looped(bench, "R35short", meddle=_away(holes))
    for at_s, lasts_s in holes:
        name = f"_{lasts_s:g}s"
        if lasts_s > stale.stale_s + SENT_S:
            asked = run.retunes(at_s + stale.stale_s + SENT_S, at_s + lasts_s)
            proof.equal(f"chased{name}", asked, 0)
        share = run.level_share(at_s, at_s + lasts_s + 2.0)
        proof.at_least(f"current_share{name}", share, 0.97)
    proof.equal("outcome_short", run.outcome, "done")
    proof.at_least("retunes", run.loop.counts["retunes"], 10)
    for lasts_s in LONG_S:
        name = f"_{lasts_s:g}s"
        run = looped(bench, f"R35{lasts_s:g}".replace(".", ""), meddle=_away([(AT_S, lasts_s)]))
        asked = run.retunes(AT_S + stale.stale_s + SENT_S, AT_S + lasts_s)
        proof.equal(f"chased{name}", asked, 0)
        # Down, and it stays down when EEG is back, until a person resumes.
        down(proof, run, AT_S, stale.ramp_down_s, name)
        told(proof, run, "EEG is gone: ramp down", name)
    return proof.verdict()


def saturated(bench: Bench) -> Verdict:
    """Row 36: at full current the artefact drives the amplifier to its limits."""
    import numpy as np

    def clipped(block: Any, scene: Scene) -> Any:
        if scene.elapsed_s < AT_S:
            return block
        artefact = 50.0 * RAIL_UV * np.cos(2.0 * np.pi * bench.frequency_hz * block.times_s)
        signal = np.clip(block.signal_uv + artefact * (scene.level > 0.0), -RAIL_UV, RAIL_UV)
        return dataclasses.replace(block, signal_uv=signal)

    proof, stale = Evidence(), LoopPlan(rule="burst").stale
    run = looped(bench, "R36", meddle=clipped)
    seen_s = 0.5  # of a signal at its limits, until it is known as such
    proof.equal("asked_while_saturated", run.retunes(AT_S + seen_s + SETTLE_S, math.inf), 0)
    down(proof, run, AT_S, seen_s + stale.ramp_down_s)
    told(proof, run, "EEG carries no signal: ramp down")
    return proof.verdict()


def clocks(bench: Bench) -> Verdict:
    """Row 37: the amplifier's clock is 200 ppm fast; EEG's time jumps by 5 s, on and back."""
    proof, stale = Evidence(), LoopPlan(rule="burst").stale
    run = looped(bench, "R37drift", clock_ppm=PPM)
    proof.equal("outcome", run.outcome, "done")
    lag_deg, spread_deg = _lag(run, PPM)
    proof.at_most("lag_mean_deg", abs(lag_deg), 0.5 * LAG_DEG)
    proof.at_most("lag_sd_deg", spread_deg, LAG_DEG)
    reported = run.loop.timing["drift_ppm"]
    proof.at_most("drift_missed_ppm", None if reported is None else abs(reported - PPM), 30.0)
    for by_s, name in ((JUMP_S, "_on"), (-JUMP_S, "_back")):
        run = looped(bench, f"R37{name[1:]}", meddle=_jump(by_s))
        asked = run.retunes(AT_S + SETTLE_S, math.inf)
        proof.equal(f"asked_after_jump{name}", asked, 0)
        down(proof, run, AT_S, stale.ramp_down_s, name)
        words = "EEG is stamped ahead of time" if by_s > 0.0 else "EEG is gone"
        told(proof, run, f"{words}: ramp down", name)
        proof.at_least(f"noted{name}", sum(x["kind"] == "jump" for x in run.decided), 1)
    return proof.verdict()


def failures(bench: Bench) -> Verdict:
    """Row 38: the rule raises, asks for what is no number, or the loop hangs."""
    proof = Evidence()
    trials: tuple[tuple[str, Callable[[Loop, Scene], None], str, float], ...] = (
        ("raises", _raising, "the loop failed: ZeroDivisionError: planned", 0.0),
        ("nan", _no_number, "the loop failed: the rule asked for a retune to nan", 1.1),
        ("hangs", _hanging, "the loop hangs", HANG_S),
    )
    for name, plant, words, after_s in trials:
        run = looped(bench, f"R38{name}", prepared=plant)
        down(proof, run, AT_S, after_s, f"_{name}")
        told(proof, run, words, f"_{name}")
        proof.equal(f"asked_{name}", run.retunes(AT_S + SETTLE_S + after_s, math.inf), 0)
    # What the loop's own guard stops is sent past it: the kernel has to refuse it by itself.
    message = 'retune:{"frequency_hz": NaN, "reason": "planted"}'
    late = [Act(lambda told: told.elapsed_s >= AT_S, message)]
    run = looped(bench, "R38kernel", acts=late)
    refused = [x for x in run.said("request", granted=False) if x.data["reason"] == "planted"]
    sent = [x for x in run.intents("set_frequency") if not math.isfinite(_hz(x.data))]
    proof.equal("refused_by_kernel", len(refused), 1)
    proof.equal("sent_to_device", len(sent), 0)
    proof.equal("outcome_kernel", run.outcome, "done")
    return proof.verdict()


def _hz(data: dict[str, Any]) -> float:
    value = data.get("frequency_hz")
    return math.nan if value is None else float(value)


def _away(holes: Sequence[tuple[float, float]]) -> Callable[[Any, Scene], Any]:
    def meddle(block: Any, scene: Scene) -> Any:
        away = any(at_s <= scene.elapsed_s < at_s + lasts_s for at_s, lasts_s in holes)
        return None if away else block

    return meddle


def _jump(by_s: float) -> Callable[[Any, Scene], Any]:
    jumped: list[bool] = []

    def meddle(block: Any, scene: Scene) -> Any:
        if scene.elapsed_s < AT_S:
            return block
        first = not jumped
        jumped.append(True)
        return dataclasses.replace(block, times_s=block.times_s + by_s, restarted=first)

    return meddle


def _raising(loop: Loop, scene: Scene) -> None:
    _replaced(loop, scene, _raise)


def _raise(decision: Decision) -> Decision:
    raise ZeroDivisionError("planned")


def _no_number(loop: Loop, scene: Scene) -> None:
    ask = Decision(reason="planned", requests=(Request("retune", math.nan),))
    _replaced(loop, scene, lambda decision: ask)


def _replaced(loop: Loop, scene: Scene, after: Callable[[Decision], Decision]) -> None:
    """Have the rule go wrong from a session time on."""
    rule = loop.rule

    class Failing:
        def decide(self, seen: Any, history: Any) -> tuple[Decision, Any]:
            decision, history = rule.decide(seen, history)
            return (after(decision) if scene.elapsed_s >= AT_S else decision), history

    loop.rule = Failing()


def _hanging(loop: Loop, scene: Scene) -> None:
    """Have the loop look no more: on the virtual clock a step that does nothing."""
    step = loop.step
    loop.step = lambda: True if scene.elapsed_s >= AT_S else step()  # type: ignore[method-assign]


def _lag(run: Looped, ppm: float) -> tuple[float, float]:
    """Mean and spread of the lag of the current to the true rhythm, in hold, degrees."""
    import numpy as np
    from scipy.signal import hilbert

    first, last = RAMP_UP_S + 5.0, DURATION_S - RAMP_DOWN_S - 1.0
    held = run.part(first - 1.0, last + 1.0)[0]
    edge = round(run.rate_hz)
    current: NDArray[np.float64] = np.unwrap(np.angle(hilbert(held)))[edge:-edge]
    times_s = run.clock_start_s + first + np.arange(current.size) / run.rate_hz
    true = true_phase(run.frequency_hz)
    samples = times_s * SFREQ_HZ * (1.0 + 1e-6 * ppm)
    off = np.exp(1j * (current - np.interp(samples, np.arange(true.size), true)))
    mean = complex(off.mean())
    spread = math.sqrt(-2.0 * math.log(min(max(abs(mean), 1e-12), 1.0)))
    return math.degrees(math.atan2(mean.imag, mean.real)), math.degrees(spread)


def _where_it_can(run: Callable[[Bench], Verdict]) -> Row:
    def row(bench: Bench) -> Verdict:
        if not can_lock(bench.setup):
            return Verdict(outcome="not_applicable", reason=NO_LOCK)
        return run(bench)

    return Row(run=row)


ROWS = {
    35: _where_it_can(dropouts),
    36: _where_it_can(saturated),
    37: _where_it_can(clocks),
    38: _where_it_can(failures),
}
