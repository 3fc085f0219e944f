"""Loops on made signals with a known phase: triggers through the whole front end, a lock by itself.

Signals are those of the phase benchmark ("drift", "bursty"; see :mod:`benchmarks.phase_made`). The
computer's own time is made too: every update of the engine takes a drawn while, up to 8 ms.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.loop_burst import BurstHistory, BurstRule
from analysis.loop_frequency import FrequencyMemory
from analysis.loop_lock import LockHistory, LockRule
from analysis.loop_stale import StaleRule
from analysis.loop_terms import Carrier, Seen
from analysis.phase import fit
from analysis.state_vector import StateGate
from benchmarks.loop_made import circular
from benchmarks.phase_made import MadePhase, make
from devices.eeg import EEGInfo
from devices.eeg_replay import PacedEEG
from devices.trigger_outputs import EmulatedTrigger
from tacs.clock import VirtualClock
from tacs.loop import Loop
from tacs.loop_log import LoopLog
from tacs.loop_state import StateKeeper
from tacs.triggers import TriggerTimer

Array = NDArray[np.float64]

REST_S = 200.0
BLOCK = 10
COMPUTE_S = 0.008


class ArrayEEG(PacedEEG):
    """An array as a live source."""

    def __init__(self, signal_uv: Array, sfreq_hz: float, clock: VirtualClock) -> None:
        super().__init__(clock, chunk=BLOCK)
        self._signal, self._sfreq_hz = signal_uv, sfreq_hz

    def _described(self) -> EEGInfo:
        return EEGInfo(source="made", channels=("Oz",), sfreq_hz=self._sfreq_hz, uv_per_unit=(1.0,))

    def _take(self, n: int) -> Array:
        return self._signal[self._n_taken : self._n_taken + n, None]


@dataclass(frozen=True, slots=True)
class Triggered:
    """What came of triggers.

    Parameters
    ----------
    n : int
        Fired.
    past : int
        Planned for a time gone by.
    early : int
        Fired before they were due.
    error_deg : (float, float)
        Circular mean and SD of the true phase minus the target, or minus nothing where drawn.
    estimator_deg : (float, float)
        The same of all valid estimates, at their horizon.
    resultant : float
        Length of the mean true phase: 0 is uniform.
    """

    n: int
    past: int
    early: int
    error_deg: tuple[float, float]
    estimator_deg: tuple[float, float]
    resultant: float


def _true(made: MadePhase, begin: int, times_s: Array) -> Array:
    whole = np.unwrap(made.phase_rad)
    return np.interp(times_s * made.sfreq_hz + begin, np.arange(whole.size), whole)


def trigger_run(
    kind: str, snr_db: float, seed: int, *, seconds: float, control: Any = "closed",
    target_rad: float = math.pi, refractory_s: float = 0.25, sfreq_hz: float = 500.0,
) -> Triggered:  # fmt: skip
    """Give triggers for some time, and look at the true phase of each."""
    made = make(kind, snr_db, sfreq_hz, REST_S + seconds + 1.0, seed)
    n_rest = round(REST_S * sfreq_hz)
    latency_s = 0.005
    engine = fit(made.signal_uv[:n_rest], sfreq_hz, horizon_s=COMPUTE_S + latency_s)
    clock = VirtualClock()
    source = ArrayEEG(made.signal_uv[n_rest:], sfreq_hz, clock)
    output = EmulatedTrigger(clock, width_s=0.001)
    rule = BurstRule(
        target_rad=target_rad, refractory_s=refractory_s, kind="trigger", control=control, seed=seed
    )
    rng = np.random.default_rng(seed)
    estimates: list[tuple[float, float]] = []
    update = engine.update

    def slow(block: Any) -> Any:
        estimate = update(block)
        clock.wait(clock.now_s() + float(rng.uniform(0.0, COMPUTE_S)))
        if estimate.valid:
            estimates.append((float(block.times_s[-1]) + engine.horizon_s, estimate.phase_rad))
        return estimate

    engine.update = slow  # type: ignore[method-assign]
    fired = []
    with tempfile.TemporaryDirectory() as folder:
        log = LoopLog(Path(folder) / "loop.jsonl", clock.now_s, real=False)
        log.begin({})
        timer = TriggerTimer(output, clock)
        timer.open()
        source.open()
        state = StateKeeper(
            [0], sfreq_hz, 10.0, seconds=4.0, references=(), said=None, gate=StateGate()
        )
        loop = Loop(
            source, clock, engine, rule, BurstHistory(begun_s=0.0), stale=StaleRule(),
            latency_s=latency_s, put=None, log=log, begin_rad=0.0, reads_under_current=True,
            blanking_s=0.1, state=state, triggers=timer,
        )  # fmt: skip
        take = timer.taken

        def taking() -> Any:
            new = take()
            fired.extend(new)
            return new

        timer.taken = taking  # type: ignore[method-assign]
        while clock.now_s() < seconds:
            clock.wait(clock.now_s() + BLOCK / sfreq_hz / 2.0)
            loop.step()
        loop.close()
        timer.close()
        log.close()
    times = np.array([f.before_s for f in fired])
    off = _true(made, n_rest, times) - target_rad
    at = np.array(estimates)
    wrong = at[:, 1] - _true(made, n_rest, at[:, 0])
    return Triggered(
        n=len(fired),
        past=loop.counts.past,
        early=sum(f.before_s < f.asked_s for f in fired),
        error_deg=circular(off),
        estimator_deg=circular(wrong),
        resultant=float(abs(np.mean(np.exp(1j * off)))),
    )


def lock_run(
    kind: str, snr_db: float, seed: int, *, seconds: float, interval_s: float, step_hz: float,
    sfreq_hz: float = 500.0, latency_s: float = 0.02,
) -> tuple[tuple[float, float], tuple[float, float]]:  # fmt: skip
    """Lock a sine to a made rhythm; return mean and SD of its lag, and of the estimates' error."""
    made = make(kind, snr_db, sfreq_hz, REST_S + seconds, seed)
    n_rest = round(REST_S * sfreq_hz)
    engine = fit(made.signal_uv[:n_rest], sfreq_hz, horizon_s=latency_s)
    choice = engine.choice
    if choice is None:
        raise ValueError("not fitted")
    rule = LockRule(
        lag_rad=0.0, centre_hz=10.0, within_hz=3.0, step_hz=step_hz, interval_s=interval_s,
        width_hz=2.0 * choice.model.half_width_hz,
        phase_error_rad=choice.circular_sd_rad[choice.method],
    )  # fmt: skip
    memory = FrequencyMemory(choice.model.frequency_hz, 0.1, 0.0)
    history = LockHistory(begun_s=0.0, retuned_s=-1.0, memory=memory)
    carrier = Carrier(0.0, 0.0, 10.0)
    lags, wrong = [], []
    fine = np.arange(BLOCK) / sfreq_hz
    pending: list[tuple[float, float]] = []
    for first in range(n_rest, made.signal_uv.size - BLOCK, BLOCK):
        estimate = engine.update(made.signal_uv[first : first + BLOCK])
        now_s = (first + BLOCK - 1 - n_rest) / sfreq_hz
        # What was asked for takes the latency to come about.
        while pending and pending[0][0] <= now_s:
            at_s, hz = pending.pop(0)
            carrier = carrier.retuned(at_s, hz)
        asked = carrier
        for at_s, hz in pending:
            asked = asked.retuned(at_s, hz)
        seen = Seen(
            now_s=now_s, sample_s=now_s, estimate=estimate, horizon_s=latency_s,
            latency_s=latency_s, with_current=True, ready=False, carrier=asked,
        )  # fmt: skip
        decision, history = rule.decide(seen, history)
        for request in decision.requests:
            pending.append((now_s + latency_s, request.value))
        if now_s > 10.0:
            t = now_s + fine
            phases = np.array([carrier.phase_at(x) for x in t])
            lags.append(_true(made, n_rest, t) - phases)
            if estimate.valid:
                there = _true(made, n_rest, np.array([now_s + latency_s]))
                wrong.append(estimate.phase_rad - float(there[0]))
    return circular(np.concatenate(lags)), circular(np.array(wrong))
