"""The judge of a current monitor: every rule on made frames, and nothing on honest ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest

from tacs.judge import RULES, Finding, Judge
from tacs.limits import effective_limits
from tacs.monitor import ContactFrame, CurrentFrame, MonitorCounts, MonitorStatus
from tacs.waveform import PhaseTrack

FRAME_S = 0.01
PEAK_MA = 1.0
Signal = Callable[[float], float]


def sine(frequency_hz: float, peak_ma: float = PEAK_MA) -> Signal:
    return lambda t: peak_ma * math.sin(2.0 * math.pi * frequency_hz * t)


def frame(
    at_s: float, source: Signal, sink: Signal | None = None, *, seq: int = 0, late_s: float = 0.0
) -> CurrentFrame:
    times = [at_s - FRAME_S * (1.0 - (i + 0.5) / 20) for i in range(20)]
    out = {
        "Oz": [source(t) for t in times],
        "Cz": [(sink or (lambda t: -source(t)))(t) for t in times],
    }
    return CurrentFrame(
        seq,
        at_s,
        at_s + late_s,
        {n: sum(v) / 20 for n, v in out.items()},
        {n: max(abs(x) for x in v) for n, v in out.items()},
        {n: math.sqrt(sum(x * x for x in v) / 20) for n, v in out.items()},
    )


class Bench:
    """A judge that is fed at 100 frames a second."""

    def __init__(self, frequency_hz: float = 10.27, level: float = 1.0) -> None:
        self.frequency_hz = frequency_hz
        self.judge = Judge(
            effective_limits(),
            {"Oz": PEAK_MA, "Cz": PEAK_MA},
            frequency_hz,
            frame_s=FRAME_S,
            soft_stop_s=0.8,
        )
        self.now_s, self.n = 0.0, 0
        self.judge.command(level, -10.0)
        self.contacts({"Oz": 5.0, "Cz": 5.0})
        self.status()

    def contacts(self, kohm: dict[str, float]) -> list[Finding]:
        return self.judge.take([ContactFrame(self.now_s, kohm)], MonitorCounts(), self.now_s)

    def status(self, battery: float = 0.9, boots: int = 1) -> list[Finding]:
        frames = [MonitorStatus(self.now_s, battery, boots, ())]
        return self.judge.take(frames, MonitorCounts(), self.now_s)

    def feed(
        self, seconds: float, source: Signal, sink: Signal | None = None, *, late_s: float = 0.0
    ) -> tuple[list[Finding], float]:
        """Findings, and the time from now to the first that is no warning."""
        start_s, found = self.now_s, list[Finding]()
        for _ in range(round(seconds / FRAME_S)):
            self.n += 1
            self.now_s = self.n * FRAME_S
            one = frame(self.now_s, source, sink, seq=self.n, late_s=late_s)
            found += self.judge.take([one], MonitorCounts(), self.now_s + late_s)
            if any(f.urgency != "warn" for f in found):
                break
        return found, self.now_s - start_s

    def settled(self, seconds: float = 2.5) -> Bench:
        found, _ = self.feed(seconds, sine(self.frequency_hz))
        assert found == []
        return self


def rules(found: Iterable[Finding]) -> set[str]:
    return {finding.rule for finding in found}


@pytest.mark.parametrize("frequency_hz", [0.5, 1.0, 4.3, 10.0, 10.27, 25.0, 40.1, 77.0, 100.0])
def test_an_honest_sine_is_never_objected_to(frequency_hz: float):
    bench = Bench(frequency_hz)
    found, _ = bench.feed(6.0, sine(frequency_hz))
    assert found == []


@pytest.mark.parametrize("frequency_hz", [0.5, 1.0, 1.7, 2.5, 4.3, 10.27, 40.1])
def test_an_honest_ramp_is_never_objected_to(frequency_hz: float):
    bench = Bench(frequency_hz, level=0.0)
    shape = sine(frequency_hz)
    # The mean over a cycle of a slow sine on a steep ramp is direct current indeed.
    up_s, down_s = (5.0, 2.0) if frequency_hz > 1.0 else (10.0, 10.0)
    end_s = up_s + down_s + 5.0

    def level(t: float) -> float:
        return min(max(t / up_s, 0.0), 1.0) * min(max((end_s - t) / down_s, 0.0), 1.0)

    found = []
    for n in range(1, round((end_s + 2.0) / FRAME_S)):
        at_s = n * FRAME_S
        if n % 2 == 0:
            bench.judge.command(level(at_s), at_s)
        one = frame(at_s, lambda t: level(t) * shape(t))
        found += bench.judge.take([one], MonitorCounts(), at_s)
    assert found == []


def retuned(*changes: tuple[float, float]) -> Signal:
    """A sine whose frequency changes without a jump: from when on, and to what."""
    track = PhaseTrack(changes[0][1], changes[0][0])
    for from_s, frequency_hz in changes[1:]:
        track.retune(from_s, frequency_hz)
    return lambda t: math.sin(2.0 * math.pi * track.cycles(t))


@pytest.mark.parametrize(
    ("first_hz", "other_hz"),
    [(0.5, 1.0), (1.0, 0.5), (0.5, 2.5), (1.9, 1.5), (2.5, 2.0), (4.0, 4.5), (10.0, 10.5)],
)
@pytest.mark.parametrize(("every_s", "late_s"), [(0.55, 0.0), (1.01, 0.2), (3.1, 0.2)])
def test_another_frequency_without_a_jump_is_no_direct_current_and_no_clipped_sine(
    first_hz: float, other_hz: float, every_s: float, late_s: float
):
    """Back and forth at every phase, as often as a limit may allow; frames come late or at once."""
    changes = [(0.0, first_hz)]
    while changes[-1][0] < 12.0:
        changes.append((3.0 + every_s * len(changes), (first_hz, other_hz)[len(changes) % 2]))
    shape = retuned(*changes)
    bench, due, found = Bench(first_hz), changes[1:], []
    for n in range(1, 1600):
        at_s = n * FRAME_S
        if due and at_s >= due[0][0]:
            bench.judge.retune(due.pop(0)[1], at_s)
        if n * FRAME_S > late_s:
            one = frame(at_s - late_s, shape, late_s=late_s)
            found += bench.judge.take([one], MonitorCounts(), at_s)
    assert found == []


@pytest.mark.parametrize("every_s", [1.01, 3.1])
def test_direct_current_is_found_however_often_the_frequency_changes(every_s: float):
    bench, found, at_s = Bench(10.0), [], 0.0
    changes = [(every_s * n, 10.0 + 0.5 * (n % 2)) for n in range(10)]
    shape, due, begins_s = retuned(*changes), changes[1:], 5.0
    while not found and at_s < 10.0:
        at_s += FRAME_S
        if due and at_s >= due[0][0]:
            bench.judge.retune(due.pop(0)[1], at_s)
        one = frame(at_s, lambda t: shape(t) + 0.1 * (t >= begins_s))
        found = bench.judge.take([one], MonitorCounts(), at_s)
    assert rules(found) == {"dc_offset"}
    assert begins_s < at_s < begins_s + 1.2


def test_a_fifth_too_much_current_is_found_within_a_cycle():
    bench = Bench().settled()
    found, after_s = bench.feed(1.0, sine(10.27, 1.2))
    assert rules(found) == {"overcurrent"}
    assert found[-1].urgency == "emergency"
    assert after_s <= 0.12
    assert "1.2" in found[-1].text


def test_twice_the_current_is_found_in_one_frame():
    bench = Bench().settled()
    found, after_s = bench.feed(1.0, sine(10.27, 2.0))
    assert rules(found) == {"overcurrent"}
    assert after_s <= 0.05


def test_one_spike_is_no_overcurrent():
    bench = Bench().settled()
    good = sine(10.27)
    found, _ = bench.feed(0.01, lambda t: 1.2 * good(t) / abs(good(t)))
    found += bench.feed(2.0, good)[0]
    assert found == []


def test_a_lost_electrode_is_found_within_half_a_cycle_and_two_frames():
    bench = Bench().settled()
    found, after_s = bench.feed(1.0, lambda t: 0.0)
    assert "open_circuit" in rules(found)
    assert after_s <= 0.5 / 10.27 + 0.03


def test_clipped_peaks_are_found_within_a_second():
    bench = Bench().settled()
    good = sine(10.27)
    found, after_s = bench.feed(2.0, lambda t: max(min(good(t), 0.85), -0.85))
    assert rules(found) == {"compliance"}
    assert found[-1].urgency == "soft"
    assert after_s <= 1.0


def test_too_little_current_is_found():
    found, after_s = Bench().settled().feed(2.0, sine(10.27, 0.7))
    assert rules(found) == {"compliance"}
    assert after_s <= 1.0


@pytest.mark.parametrize("frequency_hz", [1.0, 10.27, 40.1])
def test_direct_current_is_found_and_a_sine_has_none(frequency_hz: float):
    bench = Bench(frequency_hz).settled(4.0)
    good = sine(frequency_hz)
    found, after_s = bench.feed(3.0, lambda t: good(t) + 0.07)
    assert rules(found) == {"dc_offset"}
    assert found[-1].urgency == "soft"
    assert after_s <= 1.2


def test_current_that_does_not_come_back_is_found():
    good = sine(10.27)
    found, after_s = Bench().settled().feed(1.0, good, lambda t: -0.9 * good(t))
    assert "unbalance" in rules(found)
    assert found[-1].urgency == "emergency"
    assert after_s <= 0.06


def test_current_after_a_stop_is_found_once_the_ramp_is_over():
    bench = Bench().settled()
    bench.judge.stopped(bench.now_s)
    found, after_s = bench.feed(3.0, sine(10.27))
    assert rules(found) == {"residual_current"}
    assert 0.8 <= after_s <= 1.3


def test_a_stop_ramp_is_not_objected_to():
    bench = Bench().settled()
    start_s, good = bench.now_s, sine(10.27)
    bench.judge.stopped(start_s)
    found, _ = bench.feed(3.0, lambda t: max(1.0 - (t - start_s) / 0.8, 0.0) * good(t))
    assert found == []


def test_the_same_values_over_and_over_are_found():
    bench = Bench().settled()
    both = {"Oz": PEAK_MA, "Cz": PEAK_MA}
    frozen = CurrentFrame(0, 0.0, 0.0, dict.fromkeys(both, 0.0), both, dict.fromkeys(both, 0.7))
    found: list[Finding] = []
    start_s = bench.now_s
    while not found and bench.now_s < start_s + 3.0:
        bench.now_s += FRAME_S
        again = CurrentFrame(
            0, bench.now_s, bench.now_s, frozen.mean_ma, frozen.peak_ma, frozen.rms_ma
        )
        found = bench.judge.take([again], MonitorCounts(), bench.now_s)
    assert rules(found) == {"stuck_telemetry"}
    assert bench.now_s - start_s <= 0.6


def test_silence_and_delay_are_found():
    bench = Bench().settled()
    assert bench.judge.take([], MonitorCounts(), bench.now_s + 0.4) == []
    (silent,) = bench.judge.take([], MonitorCounts(), bench.now_s + 0.6)
    assert (silent.rule, silent.urgency) == ("monitor_silent", "soft")
    bench = Bench().settled()
    found, _ = bench.feed(0.1, sine(10.27), late_s=0.7)
    assert rules(found) == {"monitor_late"}


def test_drying_warns_once_and_then_stops():
    bench = Bench()
    found = []
    for kohm in [5.0 + 0.5 * i for i in range(110)]:
        bench.now_s += 0.2
        one = bench.contacts({"Oz": kohm, "Cz": 5.0})
        found += one
        if any(f.urgency != "warn" for f in one):
            break
    silent = [f for f in found if f.rule != "monitor_silent"]
    assert [f.rule for f in silent] == ["impedance_warning", "impedance"]
    assert "20.5 kΩ" in silent[0].text
    assert "50.5 kΩ" in silent[1].text


@pytest.mark.parametrize(
    ("kohm", "rule"),
    [(11.0, "impedance_step"), (2.0, "impedance_step"), (math.inf, "impedance_step"),
     (0.1, "short_circuit"), (0.0, "short_circuit"), (math.nan, "short_circuit")],
)  # fmt: skip
def test_a_jump_of_the_impedance_is_found_at_once(kohm: float, rule: str):
    bench = Bench()
    bench.now_s = 0.2
    (found,) = bench.contacts({"Oz": kohm, "Cz": 5.0})
    assert (found.rule, found.urgency) == (rule, "emergency")


def test_battery_restart_corruption_and_strangers_are_found():
    bench = Bench()
    assert [f.rule for f in bench.status(battery=0.1)] == ["battery_low"]
    assert [f.rule for f in Bench().status(battery=math.nan)] == ["battery_low"]
    assert [f.rule for f in Bench().status(boots=2)] == ["monitor_restarted"]
    judge = Bench().judge
    assert judge.take([], MonitorCounts(corrupted=4), 0.0) == []
    assert rules(judge.take([], MonitorCounts(corrupted=5), 0.0)) == {"monitor_corrupted"}
    assert judge.take([], MonitorCounts(corrupted=6), 0.0) == []
    (foreign,) = judge.take([], MonitorCounts(corrupted=6, foreign=1), 0.0)
    assert (foreign.rule, foreign.urgency) == ("monitor_foreign", "warn")


@pytest.mark.parametrize(
    ("kohm", "battery", "limits"),
    [
        ({"Oz": 5.0, "Cz": 5.0}, 0.9, []),
        ({"Oz": 10.5, "Cz": 5.0}, 0.9, ["impedance_start_kohm"]),
        ({"Oz": math.inf, "Cz": 0.1}, 0.9, ["impedance_start_kohm", "short_circuit_kohm"]),
        ({"Oz": math.nan, "Cz": 5.0}, 0.1, ["short_circuit_kohm", "battery"]),
    ],
)
def test_what_speaks_against_a_start(kohm: dict[str, float], battery: float, limits: list[str]):
    bench = Bench(level=0.0)
    bench.contacts(kohm)
    bench.status(battery)
    assert [b.limit for b in bench.judge.start_breaches()] == limits


def test_nothing_measured_speaks_against_a_start():
    judge = Judge(effective_limits(), {"Oz": 1.0}, 10.0, frame_s=FRAME_S, soft_stop_s=0.8)
    assert not judge.ready
    assert [b.limit for b in judge.start_breaches()] == ["short_circuit_kohm", "battery"]


def test_charges_are_integrated():
    bench = Bench(10.0)
    bench.feed(10.0, sine(10.0))
    net, rectified = bench.judge.charges_c()["Oz"]
    assert abs(net) < 1e-9
    assert rectified == pytest.approx(2.0 / math.pi * 1e-3 * 10.0, rel=0.02)


def test_every_rule_is_explained():
    assert all(text and not text.endswith(".") for text in RULES.values())
