"""Rules of a loop, each on what is seen alone: when they hold, what they ask for, and why."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.loop_burst import BurstHistory, BurstRule
from analysis.loop_control import checked_control, offset_rad
from analysis.loop_frequency import FrequencyMemory, Window, window_error_hz
from analysis.loop_lock import LockHistory, LockRule, lock_refusal, predicted_lag_sd_rad
from analysis.loop_onoff import OnOffHistory, OnOffRule
from analysis.loop_stale import StaleRule, when_stale
from analysis.loop_terms import Carrier, wrapped
from tests.analysis.loops import seen, true_phase

TURN = 2.0 * math.pi


# -- stale EEG -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_s", "with_current", "reason", "pauses"),
    [
        (0.1, True, None, False),
        (0.25, True, None, False),
        (0.3, True, "EEG is stale", False),
        (2.0, True, "EEG is stale", False),
        (2.1, True, "EEG is gone: ramp down", True),
        (10.0, True, "EEG is gone: ramp down", True),
        (10.0, False, "EEG is stale", False),
        (math.nan, True, "EEG is gone: ramp down", True),
        (-0.2, True, None, False),
        (-0.3, True, "EEG is stamped ahead of time", False),
        (-5.0, True, "EEG is stamped ahead of time: ramp down", True),
        (-5.0, False, "EEG is stamped ahead of time", False),
    ],
)
def test_stale_eeg_holds_and_then_ramps_down(age_s, with_current, reason, pauses):
    now = seen(100.0, sample_s=100.0 - age_s, with_current=with_current)
    decision = when_stale(StaleRule(), now)
    assert (None if decision is None else decision.reason) == reason
    assert pauses == (decision is not None and bool(decision.requests))


@pytest.mark.parametrize(
    ("signal_age_s", "with_current", "reason", "pauses"),
    [
        (0.2, True, None, False),
        (1.0, True, "EEG carries no signal", False),
        (2.1, True, "EEG carries no signal: ramp down", True),
        (9.0, False, "EEG carries no signal", False),
    ],
)
def test_samples_without_a_signal_are_as_good_as_none(signal_age_s, with_current, reason, pauses):
    now = seen(100.0, signal_s=100.0 - signal_age_s, with_current=with_current)
    decision = when_stale(StaleRule(), now)
    assert (None if decision is None else decision.reason) == reason
    assert pauses == (decision is not None and bool(decision.requests))


def test_a_session_that_is_paused_is_not_paused_again():
    now = seen(100.0, sample_s=90.0, with_current=True, paused=True)
    assert not when_stale(StaleRule(), now).requests


@pytest.mark.parametrize(
    "times", [(0.0, 1.0), (1.0, 1.0), (0.5, 11.0), (math.nan, 2.0), (2.5, 5.0)]
)
def test_times_of_staleness_that_make_no_sense_are_refused(times):
    with pytest.raises(AnalysisError, match="stale EEG"):
        StaleRule(stale_s=times[0], ramp_down_s=times[1])


# -- frequency -------------------------------------------------------------------------------------


def test_a_window_tells_the_frequency_of_a_clean_sine_exactly():
    window = Window.begin(seen(0.0, 0.0), 10.0)
    for i in range(1, 101):
        window = window.add(seen(0.02 * i, true_phase(0.02 * i, 10.37)))
    assert window.seconds == pytest.approx(2.0)
    assert window.frequency_hz == pytest.approx(10.37, abs=1e-9)
    assert window.add(seen(1.0, 2.0)) is window  # nothing new


def test_the_error_of_a_window_is_what_a_diffusing_phase_shows():
    rng = np.random.default_rng(4)
    width_hz, seconds, step_s = 1.0, 2.0, 0.02
    found = []
    for _ in range(400):
        steps = rng.normal(0.0, math.sqrt(TURN * width_hz * step_s), round(seconds / step_s))
        found.append(steps.sum() / (TURN * seconds))
    expected_hz = window_error_hz(width_hz, seconds, 0.0)
    assert expected_hz == pytest.approx(0.282, abs=1e-3)
    assert float(np.std(found)) == pytest.approx(expected_hz, rel=0.1)


def test_the_memory_is_worth_more_than_its_windows_and_less_as_time_goes_by():
    memory = FrequencyMemory(10.0, 0.3, 0.0)
    rng = np.random.default_rng(5)
    for i in range(20):
        memory = memory.seen(10.4 + rng.normal(0.0, 0.28), 0.28, 5.0 * i)
    assert memory.mean_hz == pytest.approx(10.4, abs=0.2)
    assert memory.sd_hz < 0.15
    assert memory.later(memory.at_s + 60.0).sd_hz > 0.2
    with pytest.raises(AnalysisError):
        FrequencyMemory(10.0, 0.0, 0.0)


# -- controls --------------------------------------------------------------------------------------


def test_a_random_phase_is_uniform_and_the_same_for_a_seed():
    drawn = [offset_rad("random-phase", 7, n) for n in range(2000)]
    assert drawn == [offset_rad("random-phase", 7, n) for n in range(2000)]
    assert abs(np.mean(np.exp(1j * np.array(drawn)))) < 0.05
    assert {offset_rad("closed", 7, n) for n in range(5)} == {0.0}
    with pytest.raises(AnalysisError, match="write one of"):
        checked_control("placebo")


# -- lock ------------------------------------------------------------------------------------------

LOCK = LockRule(lag_rad=0.5, centre_hz=10.0, within_hz=1.5, step_hz=0.5, interval_s=1.0)
LOCK_BEGIN = LockHistory(begun_s=0.0, retuned_s=0.0, memory=FrequencyMemory(10.0, 0.1, 0.0))


@pytest.mark.parametrize(
    ("signal", "waveform", "with_current", "refused"),
    [
        ("scalp", "tacs", True, "has the phase of the current"),
        ("scalp", "tacs", False, ""),
        ("scalp", "am_tacs", True, ""),
        ("am", "am_tacs", True, ""),
        ("am", "tacs", True, "needs an amplitude-modulated protocol"),
        ("peripheral", "tacs", True, ""),
    ],
)
def test_a_lock_on_scalp_eeg_under_conventional_current_is_refused(
    signal, waveform, with_current, refused
):
    why = lock_refusal(signal, waveform, with_current=with_current)
    assert (refused in why) if refused else not why


def test_a_lock_corrects_the_lag_within_step_and_interval():
    # The current is to come 0.5 after the rhythm, and comes with it: it has to lose as much.
    now = seen(2.0, 0.0, latency_s=0.0, sample_s=2.0, carrier=Carrier(2.0, 0.0, 10.0))
    decision, after = LOCK.decide(now, LOCK_BEGIN)
    (request,) = decision.requests
    assert request.value == pytest.approx(10.0 - 0.5 / TURN)
    assert decision.numbers["lag_error_rad"] == pytest.approx(-0.5)
    assert now.lag_at(2.0) == 0.0
    held, _ = LOCK.decide(replace(now, now_s=2.5), after)
    assert held.reason == "too soon after the last change"
    far, _ = LOCK.decide(replace(now, carrier=Carrier(2.0, -0.5 - 3.1, 10.0)), LOCK_BEGIN)
    assert far.requests[0].value == pytest.approx(10.0 + 3.1 / TURN, abs=1e-6)
    behind = replace(now, carrier=Carrier(2.0, -0.5 - 3.1, 11.4))
    capped, _ = LOCK.decide(behind, LOCK_BEGIN)
    assert capped.requests[0].value == pytest.approx(10.9)  # a step of 0.5 Hz
    assert capped.reason.endswith("as far as step and range allow")


def test_a_lock_holds_where_it_does_not_know():
    for change, reason in (
        ({"valid": False}, "the phase is not known"),
        ({"carrier": None}, "the phase of the current is not known"),
        ({"paused": True}, "no current to be steered"),
        ({"steerable": False}, "no current to be steered"),
    ):
        decision, _ = LOCK.decide(seen(2.0, **change), LOCK_BEGIN)
        assert (decision.reason, decision.requests) == (reason, ())
    decision, _ = replace(LOCK, control="open-loop").decide(seen(2.0), LOCK_BEGIN)
    assert decision.reason == "open loop: the frequency stays"


def test_a_lock_comes_to_the_lag_that_its_interval_allows():
    """A phase that diffuses and is read without error: what is left is the interval's diffusion."""
    rng = np.random.default_rng(8)
    width_hz, step_s = 0.01, 0.02
    lock = replace(LOCK, width_hz=width_hz, phase_error_rad=0.01)
    history = replace(LOCK_BEGIN, memory=FrequencyMemory(10.1, 0.1, 0.0))
    carrier, phase, lags = Carrier(0.0, 0.5, 10.0), 0.0, []
    for i in range(1, 15_001):
        now_s = i * step_s
        phase += TURN * 10.1 * step_s + rng.normal(0.0, math.sqrt(TURN * width_hz * step_s))
        now = seen(now_s, wrapped(phase), 10.1, sample_s=now_s, latency_s=0.0, carrier=carrier)
        decision, history = lock.decide(now, history)
        for request in decision.requests:
            carrier = carrier.retuned(now_s, request.value)
        if now_s > 20.0:
            lags.append(wrapped(phase - carrier.phase_at(now_s) - 0.5))
    expected = predicted_lag_sd_rad(width_hz, 1.0, 0.01)
    assert abs(np.mean(lags)) < 0.05
    assert float(np.std(lags)) == pytest.approx(expected, rel=0.25)


# -- bursts ----------------------------------------------------------------------------------------

BURST = BurstRule(target_rad=math.pi, refractory_s=1.0, kind="trigger", max_wait_s=0.11)
BURST_BEGIN = BurstHistory(begun_s=0.0)


def test_bursts_come_at_the_phase_never_in_the_past_and_not_too_often():
    hz, history, times = 9.7, BURST_BEGIN, []
    for i in range(1, 5001):
        now_s = 0.01 * i
        now = seen(now_s, true_phase(now_s - 0.004, hz), hz)
        decision, history = BURST.decide(now, history)
        for request in decision.requests:
            assert request.at_s >= now.effect_s
            times.append(request.at_s)
    phases = [true_phase(t, hz) for t in times]
    assert len(times) > 40
    assert max(abs(wrapped(p - math.pi)) for p in phases) < 1e-6
    assert min(np.diff(times)) >= 1.0 - 1e-9


def test_random_phases_are_uniform_with_the_same_rule():
    rule, history, phases = replace(BURST, control="random-phase", seed=3), BURST_BEGIN, []
    for i in range(1, 40_001):
        now_s = 0.01 * i
        now = seen(now_s, true_phase(now_s - 0.004, 9.7), 9.7)
        decision, history = rule.decide(now, history)
        phases += [true_phase(r.at_s, 9.7) for r in decision.requests]
    assert len(phases) > 300
    assert abs(np.mean(np.exp(1j * np.array(phases)))) < 0.15


def test_one_crossing_of_a_phase_is_one_burst_whatever_the_refractory_time():
    """Estimates of the same crossing that come later place it a few milliseconds off."""
    rule = replace(BURST, refractory_s=0.0)
    history, times = BurstHistory(begun_s=0.0), []
    for i in range(200):
        now_s = 0.01 * i
        late = 0.02 * (-1) ** i
        decision, history = rule.decide(
            seen(now_s, true_phase(now_s - 0.004, 10.0) + late), history
        )
        times += [request.at_s for request in decision.requests]
    assert len(times) == 21  # at 0.05, 0.15 and so on, to 2.05 s
    assert np.diff(times).min() > 0.09


def test_a_burst_waits_until_the_rhythm_has_been_large_for_long_enough():
    rule = replace(BURST, min_amplitude_uv=5.0, for_s=0.2, target_rad=None)
    history, reasons = BURST_BEGIN, []
    for i in range(40):
        amplitude_uv = 10.0 if i >= 10 else 1.0
        decision, history = rule.decide(seen(0.02 * i, amplitude_uv=amplitude_uv), history)
        reasons.append(decision.reason)
    assert reasons[9] == "the rhythm is small"
    assert reasons[12] == "the rhythm has not been large for long enough"
    assert reasons.index("target phase") == 20


def test_an_open_loop_keeps_its_schedule_and_says_what_it_missed():
    rule = replace(BURST, control="open-loop", schedule_s=(0.5, 0.50001, 3.0))
    history, times, reasons = BURST_BEGIN, [], []
    for i in range(1, 500):
        now_s = 0.01 * i
        decision, history = rule.decide(seen(now_s, valid=False), history)
        times += [r.at_s for r in decision.requests]
        reasons.append(decision.reason)
    assert times == [0.5, 0.50001, 3.0]
    late, _ = rule.decide(seen(2.0), replace(BURST_BEGIN, number=1))
    assert late.reason == "open loop: the time of the schedule has passed"
    with pytest.raises(AnalysisError, match="must rise"):
        replace(BURST, control="open-loop", schedule_s=(2.0, 1.0))


# -- on and off ------------------------------------------------------------------------------------

ONOFF = OnOffRule(
    follow="both", centre_hz=10.0, within_hz=1.5, step_hz=0.5, interval_s=1.0, lag_rad=1.0,
    width_hz=0.1, phase_error_rad=0.1,
)  # fmt: skip
ONOFF_BEGIN = OnOffHistory(memory=FrequencyMemory(10.2, 0.1, 0.0))


def gap(rule, hz=10.3, seconds=12.0, *, begin=ONOFF_BEGIN, valid=True, latency_s=0.004):
    """One gap after 2 s of current; returns what was asked for, when, and the lag."""
    carrier, history, asked = Carrier(0.0, 0.3, 10.0), begin, []
    for i in range(1, round(seconds / 0.02)):
        now_s = 0.02 * i
        sample_s = now_s - 0.004
        now = seen(
            now_s, true_phase(sample_s, hz), hz, with_current=now_s < 2.0, carrier=carrier,
            valid=valid, latency_s=latency_s,
        )  # fmt: skip
        decision, history = rule.decide(now, history)
        for request in decision.requests:
            asked.append((now_s, request, decision.reason))
            if request.kind == "retune":
                carrier = carrier.retuned(now_s + latency_s, request.value)
        if any(r.kind == "train" for r in decision.requests):
            at_s = now_s + latency_s
            return asked, wrapped(true_phase(at_s, hz) - carrier.phase_at(at_s)), carrier
    return asked, None, carrier


def test_a_train_begins_with_the_lag_wanted_and_the_rhythms_frequency():
    asked, lag, carrier = gap(ONOFF)
    assert [r.kind for _, r, _ in asked] == ["retune", "retune", "train"]
    assert lag == pytest.approx(1.0, abs=math.pi * 0.5 * 0.02 + 0.01)
    # One window of a memory that began at 10.2.
    assert 10.23 < carrier.frequency_hz < 10.31
    assert asked[0][0] >= 2.5  # after blanking
    assert asked[1][0] - asked[0][0] >= 1.0
    assert asked[1][0] >= 4.5  # after the window
    steps = [abs(asked[0][1].value - 10.0), abs(asked[1][1].value - asked[0][1].value)]
    assert max(steps) <= 0.5 + 1e-9


def test_a_train_waits_for_a_rhythm_that_is_large_enough_and_the_window_goes_on():
    """Small for 9 s, as the rhythm waxes and wanes: the lag is looked for, no train begins."""
    rule, carrier = replace(ONOFF, min_amplitude_uv=5.0), Carrier(0.0, 0.3, 10.0)
    history, trains, reasons = ONOFF_BEGIN, [], set()
    for i in range(1, 800):
        now_s = 0.02 * i
        now = seen(
            now_s, true_phase(now_s - 0.004, 10.3), 10.3, with_current=now_s < 2.0,
            carrier=carrier, amplitude_uv=10.0 if now_s > 11.0 else 4.0,
        )  # fmt: skip
        decision, history = rule.decide(now, history)
        reasons.add(decision.reason)
        for request in decision.requests:
            if request.kind == "retune":
                carrier = carrier.retuned(now.effect_s, request.value)
            else:
                trains.append(now_s)
    assert len(trains) == 1
    assert 11.0 < trains[0] < 11.0 + 2.6  # a turn of the lag at the longest
    assert "the rhythm is small" in reasons


@pytest.mark.parametrize("begin_hz", [9.4, 9.8, 10.2, 10.6])
def test_the_lag_is_met_wherever_the_rhythm_lies(begin_hz):
    errors = []
    for lag_rad in np.arange(0.0, TURN, 0.7):
        begin = replace(ONOFF_BEGIN, memory=FrequencyMemory(begin_hz, 0.05, 0.0))
        rule = replace(ONOFF, lag_rad=float(lag_rad))
        _, lag, _ = gap(rule, begin_hz, seconds=20.0, begin=begin)
        errors.append(wrapped(lag - lag_rad))
    assert max(map(abs, errors)) < math.radians(4.0)
    assert abs(np.mean(errors)) < math.radians(2.0)


def test_following_the_frequency_alone_moves_once_and_only_where_that_is_clear():
    rule = replace(ONOFF, follow="frequency")
    asked, _, carrier = gap(rule)
    assert [r.kind for _, r, _ in asked] == ["retune", "train"]
    assert 10.2 < carrier.frequency_hz < 10.3
    unsure = replace(ONOFF_BEGIN, memory=FrequencyMemory(10.05, 0.3, 0.0))
    asked, _, carrier = gap(replace(rule, width_hz=2.0), 10.1, begin=unsure)
    assert [(r.kind, why) for _, r, why in asked] == [("train", "undecided: the frequency stays")]
    far = replace(ONOFF_BEGIN, memory=FrequencyMemory(11.2, 0.05, 0.0))
    asked, _, carrier = gap(rule, 11.2, begin=far)
    assert carrier.frequency_hz == pytest.approx(10.5)
    assert asked[0][2].endswith("as far as step and range allow")


def test_without_a_phase_no_train_with_one_and_the_last_frequency_else():
    asked, _, _ = gap(ONOFF, seconds=30.0, valid=False)
    assert asked == []
    asked, _, carrier = gap(replace(ONOFF, follow="frequency"), seconds=30.0, valid=False)
    assert [(r.kind, why) for _, r, why in asked] == [
        ("train", "nothing to be read: the last frequency is kept")
    ]
    assert carrier.frequency_hz == 10.0


def test_a_fixed_frequency_and_an_open_loop_ask_for_trains_and_nothing_else():
    for rule in (replace(ONOFF, follow="none"), replace(ONOFF, control="open-loop")):
        asked, _, _ = gap(rule, valid=False)
        assert [r.kind for _, r, _ in asked] == ["train"]
        assert asked[0][0] == pytest.approx(1.98 + 2.5, abs=0.05)


def test_after_a_refusal_the_gap_asks_again():
    history = replace(ONOFF_BEGIN, asked=True, slipping=True)
    decision, same = ONOFF.decide(seen(5.0), replace(history, current_until_s=1.0))
    assert (decision.reason, same.asked) == ("a train was asked for", True)
    assert ONOFF.refused(history).asked is False


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"follow": "all"}, "follow"),
        ({"within_hz": 11.0}, "range above 0"),
        ({"blanking_s": 0.0}, "blanking_s"),
        ({"give_up_s": 1.0}, "give_up_s"),
        ({"slip_hz": 0.5}, "slip_hz"),
    ],
)
def test_rules_that_make_no_sense_are_refused(change, match):
    with pytest.raises(AnalysisError, match=match):
        replace(ONOFF, **change)
