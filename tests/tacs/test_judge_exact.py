"""The judge to the letter: where each rule begins, how far back it looks, and what it says.

Frames come 64 times a second, so that every instant and every span is an exact number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

from tacs.judge import Finding, Judge
from tacs.limits import EffectiveLimits, effective_limits
from tacs.monitor import ContactFrame, CurrentFrame, MonitorCounts, MonitorStatus

FRAME_S = 1.0 / 64.0
BEGIN_S = 64.0
BOTH = {"Oz": 1.0, "Cz": 1.0}
ROUNDING_S = 1e-9
JUST_MORE = 1.0 + 1e-9
JUST_LESS = 1.0 - 1e-9
LATENCY_S = 0.3
SOFT_STOP_S = 0.75


def limits(**changes: float) -> EffectiveLimits:
    default = effective_limits()
    return EffectiveLimits({**default, **changes}, dict.fromkeys(default, "default"))


class Bench:
    """A judge of two electrodes that is given one frame at a time; Cz is always as commanded."""

    def __init__(
        self,
        frequency_hz: float = 8.0,
        level: float | None = 1.0,
        *,
        frame_s: float = FRAME_S,
        peaks_ma: Mapping[str, float] = BOTH,
        in_force: EffectiveLimits | None = None,
    ) -> None:
        self.judge = Judge(
            in_force or effective_limits(),
            peaks_ma,
            frequency_hz,
            frame_s=frame_s,
            soft_stop_s=SOFT_STOP_S,
        )
        self.frame_s, self.peaks_ma = frame_s, peaks_ma
        self.level = 0.0 if level is None else level
        self.at_s, self.n = BEGIN_S, 0
        if level is not None:
            self.judge.command(level, -1.0)

    def frame(
        self,
        peak_ma: float | None = None,
        mean_ma: float = 0.0,
        rms_ma: float | None = None,
        *,
        same: bool = False,
        device_s: float | None = None,
    ) -> CurrentFrame:
        """What is measured at Oz; what comes back at Cz trembles by a nanoampere."""
        good = {name: self.level * peak for name, peak in self.peaks_ma.items()}
        peaks = good if peak_ma is None else {**good, "Oz": peak_ma}
        means = dict.fromkeys(good, 0.0) | {"Oz": mean_ma, "Cz": -mean_ma}
        rms = {name: 0.7 * peak for name, peak in peaks.items()}
        rms["Cz"] += 0.0 if same else 1e-6 * (self.n % 2)
        rms["Oz"] = rms["Oz"] if rms_ma is None else rms_ma
        at_s = self.at_s if device_s is None else device_s
        return CurrentFrame(self.n, at_s, self.at_s, means, peaks, rms)

    def one(self, peak_ma: float | None = None, *measured: float, **more: float) -> list[Finding]:
        """Findings of the next frame."""
        self.n += 1
        frame = self.frame(peak_ma, *measured, **more)  # type: ignore[arg-type]
        found = self.judge.take([frame], MonitorCounts(), self.at_s)
        self.at_s += self.frame_s
        return found

    def at(self, at_s: float, *measured: float) -> list[Finding]:
        """Findings of a frame so long after the first."""
        self.at_s = BEGIN_S + at_s
        return self.one(*measured)

    def until(self, n: int, *measured: float, **more: float) -> tuple[int, list[Finding]]:
        """The number of the first frame, of so many alike, that something is found in."""
        for count in range(1, n + 1):
            if found := self.one(*measured, **more):
                return count, found
        return 0, []

    def good(self, n: int) -> None:
        """So many frames as commanded."""
        assert self.until(n) == (0, [])

    def contact(self, kohm: float, at_s: float = 0.0, cz_kohm: float = 5.0) -> list[Finding]:
        frame = ContactFrame(BEGIN_S + at_s, {"Oz": kohm, "Cz": cz_kohm})
        return self.judge.take([frame], MonitorCounts(), BEGIN_S + at_s)

    def status(self, battery: float = 0.9, boots: int = 7) -> list[Finding]:
        frame = MonitorStatus(self.at_s, battery, boots, ())
        return self.judge.take([frame], MonitorCounts(), self.at_s)


def rules(found: Sequence[Finding]) -> list[str]:
    return [finding.rule for finding in found]


# -- what is commanded --------------------------------------------------------------------------


def test_before_the_first_command_no_current_is_expected():
    bench = Bench(level=None)
    assert bench.one(0.02) == []
    (found,) = bench.one(0.0201)
    assert (found.rule, found.urgency) == ("overcurrent", "emergency")
    assert found.text == "Oz carries 0.020 mA peak, 0.000 mA commanded"
    assert found.cause == f"OVERCURRENT: {found.text}"


def test_a_frame_may_be_as_old_as_the_monitor_is_slow():
    for after_s, expected in ((LATENCY_S * JUST_LESS, []), (LATENCY_S, ["overcurrent"])):
        bench = Bench()
        bench.level = 0.0
        bench.judge.command(0.0, 0.0)
        bench.at_s = after_s
        assert rules(bench.one(1.0)) == expected


def test_less_current_than_now_is_no_open_contact_before_the_old_command_has_passed():
    bench = Bench(level=0.0)
    bench.good(64)
    bench.judge.command(1.0, bench.at_s)
    bench.level = 1.0
    count, found = bench.until(64, 0.0)
    assert rules(found) == ["open_circuit"]
    assert count == math.ceil(LATENCY_S / FRAME_S) + 1


def test_after_a_stop_the_ramp_may_end():
    bench = Bench()
    bench.judge.stopped(0.0)
    bench.judge.stopped(0.5)  # the first one counts
    bench.at_s = (LATENCY_S + SOFT_STOP_S) * JUST_LESS
    assert bench.one(1.1) == []
    bench.level = 0.0
    bench.at_s = LATENCY_S + SOFT_STOP_S
    assert bench.one(0.05) == []
    (found,) = bench.one(0.0501)
    assert (found.rule, found.urgency) == ("residual_current", "emergency")
    assert found.text == "Oz carries 0.050 mA peak, 0.000 mA commanded"


def test_current_that_is_gone_at_once_after_a_stop_is_no_open_contact():
    bench = Bench()
    bench.good(70)
    bench.judge.stopped(bench.at_s)
    bench.level = 0.0
    assert bench.until(200, 0.0) == (0, [])


def test_during_the_ramp_of_a_stop_too_much_is_still_too_much():
    bench = Bench()
    bench.good(70)
    bench.judge.stopped(bench.at_s)
    assert bench.one(1.2) == []  # one spike
    bench.good(20)
    assert rules(bench.one(1.6)) == ["overcurrent"]


# -- before the start ---------------------------------------------------------------------------


def test_ready_when_currents_contacts_and_battery_are_known():
    bench = Bench(level=None)
    bench.status()
    assert not bench.judge.ready
    bench.contact(5.0)
    assert not bench.judge.ready
    bench.one()
    assert bench.judge.ready
    bench = Bench(level=None)
    bench.one()
    bench.status()
    assert not bench.judge.ready
    bench = Bench(level=None)
    bench.one()
    bench.contact(5.0)
    assert bench.judge.ready is False
    bench.status()
    assert bench.judge.ready


@pytest.mark.parametrize(
    ("kohm", "expected"),
    [
        (0.5, []),
        (10.0, []),
        (0.499, [("short_circuit_kohm", 0.499, 0.5)]),
        (10.01, [("impedance_start_kohm", 10.01, 10.0)]),
        (math.nan, [("short_circuit_kohm", "not measured", 0.5)]),
        (math.inf, [("impedance_start_kohm", "open", 10.0)]),
    ],
)
def test_the_last_impedance_decides_about_a_start(
    kohm: float, expected: list[tuple[str, object, float]]
):
    bench = Bench(level=None)
    bench.status()
    for before_kohm in (70.0, 70.0, 70.0, 6.0, 70.0, kohm):
        bench.contact(before_kohm)
    found = bench.judge.start_breaches()
    assert [(b.limit, b.value, b.allowed) for b in found] == expected
    assert {b.unit for b in found} <= {"kΩ"}
    assert {b.source for b in found} <= {"published tACS-EEG practice"}
    cure = "; clean the skin, add gel, and measure again"
    for breach in found:
        high = breach.limit == "impedance_start_kohm"
        assert breach.where == ("Oz" + cure if high else "Oz")


def test_every_contact_counts_for_a_start():
    bench = Bench(level=None)
    bench.status()
    bench.contact(11.0, cz_kohm=0.1)
    assert [b.where.partition(";")[0] for b in bench.judge.start_breaches()] == ["Oz", "Cz"]


@pytest.mark.parametrize(
    ("battery", "value"), [(0.2, None), (0.199, 0.199), (math.nan, math.nan), (0.0, 0.0)]
)
def test_how_full_the_battery_must_be_for_a_start(battery: float, value: float | None):
    bench = Bench(level=None)
    bench.contact(5.0)
    bench.status(battery)
    found = bench.judge.start_breaches()
    assert [(b.limit, b.allowed, b.unit, b.source, b.where) for b in found] == [
        ("battery", 0.2, "of full", "rig file", "monitor; charge it") for _ in found
    ]
    assert [repr(b.value) for b in found] == ([] if value is None else [repr(value)])


def test_a_battery_that_did_not_report_and_a_rig_that_asks_for_more():
    bench = Bench(level=None)
    bench.contact(5.0)
    (found,) = bench.judge.start_breaches()
    assert (found.limit, found.value) == ("battery", "not reported")
    judge = Judge(
        effective_limits(), BOTH, 8.0, frame_s=FRAME_S, soft_stop_s=SOFT_STOP_S, battery_min=0.7
    )
    frames = [ContactFrame(0.0, dict.fromkeys(BOTH, 5.0)), MonitorStatus(0.0, 0.6, 1, ())]
    (low,) = judge.take(frames, MonitorCounts(), 0.0)
    assert low.text == "60 % is below 70 %"
    assert [(b.limit, b.value, b.allowed) for b in judge.start_breaches()] == [
        ("battery", 0.6, 0.7)
    ]


# -- what was measured --------------------------------------------------------------------------


def test_the_most_urgent_comes_first():
    bench = Bench()
    bench.contact(19.0)
    frames = [
        ContactFrame(BEGIN_S, {"Oz": 20.5, "Cz": 5.0}),
        MonitorStatus(BEGIN_S, 0.1, 7, ()),
        bench.frame(2.0),
    ]
    found = bench.judge.take(frames, MonitorCounts(), BEGIN_S)
    assert [(f.rule, f.urgency) for f in found] == [
        ("overcurrent", "emergency"),
        ("battery_low", "soft"),
        ("impedance_warning", "warn"),
    ]


def test_the_measured_current_is_the_largest_of_a_cycle_and_a_frame():
    bench = Bench()
    assert bench.judge.measured_ma() == {"Oz": 0.0, "Cz": 0.0}
    bench.one(1.09)
    bench.good(9)  # a cycle has eight
    assert bench.judge.measured_ma() == {"Oz": 1.09, "Cz": 1.0}
    bench.good(1)
    assert bench.judge.measured_ma() == {"Oz": 1.0, "Cz": 1.0}


def test_a_clock_may_slip_by_its_rounding():
    span_s = 0.125 + FRAME_S
    for slip_s, expected in ((ROUNDING_S, 1.09), (1.1 * ROUNDING_S, 1.0)):
        bench = Bench()
        bench.at_s = BEGIN_S + 1.0 - span_s - slip_s
        bench.one(1.09)
        bench.at(1.0)
        assert bench.judge.measured_ma()["Oz"] == expected


def test_of_a_slow_sine_a_whole_cycle_is_remembered():
    bench = Bench(1.0)
    bench.one(1.09)
    bench.good(65)
    assert bench.judge.measured_ma()["Oz"] == 1.09
    bench.good(1)
    assert bench.judge.measured_ma()["Oz"] == 1.0


def test_the_last_impedance_is_told():
    bench = Bench()
    assert bench.judge.impedance_kohm() == {}
    for kohm in (5.0, 6.0, 7.0):
        bench.contact(kohm)
    assert bench.judge.impedance_kohm() == {"Oz": 7.0, "Cz": 5.0}


def test_charge_is_current_times_time_with_its_sign_and_without():
    bench = Bench(frame_s=0.25)
    assert bench.judge.charges_c() == {"Oz": (0.0, 0.0), "Cz": (0.0, 0.0)}
    bench.one(1.0, 0.5)
    bench.one(1.0, -0.25)
    net_c, rectified_c = bench.judge.charges_c()["Oz"]
    assert net_c == pytest.approx(0.0625e-3, rel=1e-12)
    assert rectified_c == pytest.approx(0.1875e-3, rel=1e-12)
    assert bench.judge.charges_c()["Cz"] == (pytest.approx(-0.0625e-3), pytest.approx(0.1875e-3))


# -- too much -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "most_ma"), [(1.0, 1.1 * 1.0), (0.5, 1.1 * 0.5), (0.1, 0.1 + 0.02)]
)
def test_a_tenth_more_than_commanded_or_the_floor_is_allowed(level: float, most_ma: float):
    bench = Bench(level=level)
    assert bench.until(20, most_ma) == (0, [])
    count, found = bench.until(20, most_ma * JUST_MORE)
    assert set(rules(found)) == {"overcurrent"}
    assert count == 5  # half a cycle, or 50 ms, after the first


def test_each_electrode_has_its_own_share_of_the_level():
    peaks_ma = {"Oz": 2.0, "Cz": 1.0, "Pz": 1.0}
    assert Bench(level=0.25, peaks_ma=peaks_ma).until(100) == (0, [])
    _, found = Bench(level=0.25, peaks_ma=peaks_ma).until(100, 0.6)
    assert found[0].text == "Oz carries 0.600 mA peak, 0.500 mA commanded"
    _, found = Bench(level=0.25, peaks_ma=peaks_ma).until(100, 0.2)
    assert found[0].text == "Oz carries 0.200 mA peak, 0.500 mA commanded"


@pytest.mark.parametrize(("level", "most_ma"), [(1.0, 1.5 + 0.02), (0.5, 0.75 + 0.02)])
def test_half_as_much_again_is_too_much_in_one_frame(level: float, most_ma: float):
    bench = Bench(level=level)
    assert bench.one(most_ma) == []
    (found,) = Bench(level=level).one(most_ma * JUST_MORE)
    assert (found.rule, found.urgency) == ("overcurrent", "emergency")


@pytest.mark.parametrize(("frequency_hz", "apart_s"), [(8.0, 0.05), (16.0, 0.9 * 0.03125)])
def test_two_frames_of_both_half_waves_are_too_much(frequency_hz: float, apart_s: float):
    for slip_s, expected in ((ROUNDING_S, ["overcurrent"]), (1e-6, [])):
        bench = Bench(frequency_hz)
        bench.at_s = 0.0
        assert bench.one(1.2) == []
        bench.at_s = apart_s - slip_s
        assert rules(bench.one(1.2)) == expected


def test_two_spikes_are_one_finding_only_within_five_quarters_of_a_cycle():
    for apart, expected in ((10, ["overcurrent"]), (11, [])):
        bench = Bench()
        assert bench.one(1.2) == []
        bench.good(apart - 1)
        assert rules(bench.one(1.2)) == expected


def test_too_much_is_found_where_a_frame_holds_more_than_a_cycle():
    bench = Bench(100.0)
    assert bench.one(1.2) == []
    assert rules(bench.one(1.2)) == ["overcurrent"]
    bench = Bench(100.0)
    assert bench.one(1.2) == []
    bench.good(1)
    assert bench.one(1.2) == []  # two spikes, and good frames between them


def test_frames_that_arrive_together_were_not_measured_together():
    bench = Bench(80.0)
    bench.good(64)
    found: list[Finding] = []
    for _ in range(2):  # the host looks every second frame
        read_s = bench.at_s + FRAME_S
        frames = []
        for device_s in (bench.at_s, read_s):
            bench.n, bench.at_s = bench.n + 1, read_s
            frames.append(bench.frame(1.2, device_s=device_s))
        found += bench.judge.take(frames, MonitorCounts(), read_s)
        bench.at_s += FRAME_S
    assert set(rules(found)) == {"overcurrent"}


def test_a_host_that_looks_late_sees_no_open_contact_in_an_honest_sine():
    """Seven frames in one go, the first of them at the sine's passage through zero."""
    bench = Bench()
    bench.good(80)
    at_s = bench.at_s
    bench.at_s += 6.0 * FRAME_S
    frames = []
    for i, peak_ma in enumerate((0.1, 0.6, 1.0, 1.0, 0.6, 0.6, 1.0)):
        bench.n += 1
        frames.append(bench.frame(peak_ma, device_s=at_s + i * FRAME_S))
    assert bench.judge.take(frames, MonitorCounts(), bench.at_s) == []


@pytest.mark.parametrize("stopped", [False, True])
def test_a_peak_that_is_no_number_is_too_much(stopped: bool):
    bench = Bench()
    if stopped:
        bench.judge.stopped(BEGIN_S - 10.0)
        bench.level = 0.0
    count, found = bench.until(10, math.nan, 0.0, 0.7)
    assert rules(found)[0] == ("residual_current" if stopped else "overcurrent")
    assert count <= 5


# -- too little ---------------------------------------------------------------------------------


def test_below_the_noise_nothing_is_missed():
    assert Bench(level=0.0399).until(70, 0.0) == (0, [])
    _, found = Bench(level=0.04).until(70, 0.0)
    assert set(rules(found)) == {"compliance"}


@pytest.mark.parametrize("level", [1.0, 0.5])
def test_half_of_the_commanded_current_is_no_open_contact(level: float):
    half_ma = 0.5 * level - 0.02
    bench = Bench(level=level)
    count, found = bench.until(70, half_ma)
    assert rules(found) == ["compliance"]
    bench = Bench(level=level)
    count, found = bench.until(70, half_ma * JUST_LESS)
    assert [(f.rule, f.urgency) for f in found] == [("open_circuit", "emergency")]
    assert count == 5  # a half-cycle has four
    assert found[0].text == (f"Oz carries {half_ma:.3f} mA peak, {level:.3f} mA commanded")


def test_an_open_contact_takes_a_half_cycle_and_a_frame():
    bench = Bench()
    bench.good(70)
    count, found = bench.until(20, 0.1)
    assert rules(found) == ["open_circuit"]
    assert count == 6


def test_a_half_cycle_may_be_short_by_the_rounding_of_a_clock():
    for slip_s, expected in ((ROUNDING_S, ["open_circuit"]), (1e-6, [])):
        bench = Bench()
        bench.at_s = 0.0
        assert bench.one(0.1) == []
        bench.at_s = 0.0625 - slip_s
        assert rules(bench.one(0.1)) == expected


def test_four_fifths_of_the_commanded_current_are_enough():
    for level in (1.0, 0.5):
        least_ma = 0.8 * level - 0.02
        assert Bench(level=level).until(100, least_ma) == (0, [])
        count, found = Bench(level=level).until(100, least_ma * JUST_LESS)
        assert [(f.rule, f.urgency) for f in found] == [("compliance", "soft")]
        assert found[0].text == f"Oz carries {least_ma:.3f} mA peak, {level:.3f} mA commanded"
        assert count == 33  # they reach back half a second


def test_of_a_slow_sine_a_whole_cycle_is_waited_for():
    count, found = Bench(1.0).until(100, 0.7)
    assert rules(found) == ["compliance"]
    assert count == 65


def test_one_full_peak_in_half_a_second_is_enough():
    bench = Bench()
    bench.good(70)
    count, found = bench.until(100, 0.7)
    assert rules(found) == ["compliance"]
    assert count == 33


def test_a_sine_with_gaps_is_not_judged_by_its_shape():
    """Of 32 frames in half a second 27 are enough, 26 are not."""
    for n, expected in ((26, []), (27, ["compliance"])):
        bench = Bench()
        assert bench.at(0.0, 1.0, 0.0, 0.8) == []
        for i in range(32 - n + 1, 33):
            found = bench.at(i * FRAME_S, 1.0, 0.0, 0.8)
        assert rules(found) == expected


@pytest.mark.parametrize(
    ("level", "rms_ma", "expected"),
    [
        (1.0, 0.74, []),
        (1.0, 0.74 * JUST_MORE, ["compliance"]),
        (0.5, 0.74 * 0.5 * JUST_MORE, ["compliance"]),
        (0.11, 0.11, ["compliance"]),
        (0.1, 0.1, []),
        (1.0, math.nan, ["compliance"]),
    ],
)
def test_a_sine_is_clipped_where_its_mean_square_is_too_large(
    level: float, rms_ma: float, expected: list[str]
):
    bench = Bench(level=level, frame_s=0.25)
    assert bench.until(2, None, 0.0, rms_ma) == (0, [])
    assert rules(bench.one(None, 0.0, rms_ma)) == expected
    if expected:
        bench = Bench(level=level, frame_s=0.25)
        (found,) = bench.until(3, None, 0.0, rms_ma)[1]
        assert found.urgency == "soft"
        assert found.text == f"the sine of Oz is clipped at {level:.3f} mA"


def test_the_shape_is_that_of_whole_cycles_in_half_a_second():
    bench = Bench()
    bench.one(1.0, 0.0, 9.0)  # exactly half a second before the last one: not of it
    assert bench.until(32, 1.0, 0.0, 0.7) == (0, [])
    bench = Bench()
    bench.one(1.0, 0.0, 0.7)
    assert bench.until(16, 1.0, 0.0, 0.8) == (0, [])
    count, found = bench.until(16, 1.0, 0.0, 0.7)
    assert (count, rules(found)) == (16, ["compliance"])  # √((0.64 + 0.49) / 2) = 0.752


# -- direct current and balance -----------------------------------------------------------------


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_direct_current_is_the_mean_of_a_second(sign: float):
    bench = Bench(frame_s=0.25)
    assert bench.until(12, 1.0, sign * 0.05) == (0, [])
    bench = Bench(frame_s=0.25)
    count, found = bench.until(12, 1.0, sign * 0.0501)
    assert count == 5
    assert [(f.rule, f.urgency) for f in found] == [("dc_offset", "soft")] * 2
    assert found[0].text == f"Oz carries {sign * 0.0501:+.3f} mA of direct current"


def test_direct_current_needs_a_whole_second():
    bench = Bench()
    count, found = bench.until(100, 1.0, 0.06)
    assert (count, rules(found)) == (65, ["dc_offset", "dc_offset"])


def test_what_is_exactly_a_second_old_has_left_the_mean():
    bench = Bench()
    bench.one(1.0, 9.0)
    assert bench.until(64, 1.0, 0.0) == (0, [])


def test_a_mean_over_a_second_with_gaps_is_none():
    for times_s, expected in (
        ((0.0, 0.5, 0.75, 1.0), ["dc_offset", "dc_offset"]),  # 3 x 0.18 s are 0.9 s less two frames
        ((0.0, 0.75, 1.0), []),
    ):
        bench = Bench(frame_s=0.18, level=0.0)
        for at_s in times_s:
            found = bench.at(at_s, 0.0, 0.06)
        assert rules(found) == expected


def test_a_mean_that_is_no_number_is_direct_current():
    bench = Bench()
    bench.good(64)
    assert "dc_offset" in rules(bench.one(1.0, math.nan))


def balance(level: float, mean_ma: float) -> list[Finding]:
    peaks_ma = {"Oz": 2.0, "Cz": 1.0, "Pz": 1.0}
    bench = Bench(level=level, peaks_ma=peaks_ma)
    frame = bench.frame()
    odd = CurrentFrame(
        1, BEGIN_S, BEGIN_S, {"Oz": 0.5, "Cz": -0.5, "Pz": mean_ma}, frame.peak_ma, frame.rms_ma
    )
    return bench.judge.take([odd], MonitorCounts(), BEGIN_S)


@pytest.mark.parametrize("level", [1.0, 0.25])
def test_a_hundredth_of_the_largest_current_need_not_come_back(level: float):
    most_ma = 0.01 + 0.01 * level * 2.0
    assert balance(level, most_ma) == []
    assert balance(level, -most_ma) == []
    (found,) = balance(level, most_ma * 1.001)
    assert (found.rule, found.urgency) == ("unbalance", "emergency")
    assert found.text == f"{most_ma:.3f} mA do not return through the electrodes"
    assert rules(balance(level, math.nan)) == ["unbalance"]


# -- contacts -----------------------------------------------------------------------------------


def test_the_first_impedance_is_no_jump():
    bench = Bench(in_force=limits(impedance_step_ratio=1.5))
    assert bench.contact(5.0) == []
    assert rules(bench.contact(8.0, 1.0)) == ["impedance_step"]


@pytest.mark.parametrize(
    ("before_kohm", "after_kohm", "expected"),
    [
        (5.0, 10.0, []),
        (5.0, 10.01, ["impedance_step"]),
        (5.0, 2.5, []),
        (5.0, 2.49, ["impedance_step"]),
        (0.5, 0.5, []),
        (0.5, 0.499, ["short_circuit"]),
        (0.5, 0.0, ["short_circuit"]),
        (5.0, -5.0, ["short_circuit"]),
        (5.0, math.nan, ["short_circuit"]),
        (0.0, 5.0, ["impedance_step"]),
        (0.0, 0.6, ["impedance_step"]),
    ],
)
def test_an_impedance_may_double_or_halve(
    before_kohm: float, after_kohm: float, expected: list[str]
):
    bench = Bench()
    bench.contact(before_kohm)
    found = bench.contact(after_kohm, 1.0)
    assert rules(found) == expected
    assert {f.urgency for f in found} <= {"emergency"}


def test_a_jump_is_told_with_its_size():
    bench = Bench()
    bench.contact(5.0)
    (found,) = bench.contact(12.5, 1.0)
    assert found.text == "Oz went to 12.5 kΩ, 2.5 times, within 2 s"
    (short,) = bench.contact(0.25, 9.0)
    assert short.text == "Oz has 0.25 kΩ"


def test_a_short_circuit_is_told_whatever_is_measured_next():
    """Two readings in one look: the first of nothing at all."""
    bench = Bench()
    frames = [ContactFrame(BEGIN_S + t, {"Oz": kohm, "Cz": 5.0}) for t, kohm in ((0, 0.0), (1, 5))]
    found = bench.judge.take(frames, MonitorCounts(), BEGIN_S + 1.0)
    assert rules(found) == ["short_circuit", "impedance_step"]


def test_a_jump_is_one_within_two_seconds():
    for after_s, expected in ((2.0, ["impedance_step"]), (2.001, [])):
        bench = Bench()
        bench.contact(5.0)
        assert rules(bench.contact(10.5, after_s)) == expected


def test_the_largest_change_within_two_seconds_counts():
    bench = Bench()
    bench.contact(5.0)
    bench.contact(9.0, 1.0)
    (found,) = bench.contact(11.0, 1.5)
    assert "2.2 times" in found.text


def slowly(bench: Bench, *oz_kohm: float) -> list[Finding]:
    """Readings three seconds apart."""
    found = []
    for i, kohm in enumerate(oz_kohm):
        found += bench.contact(kohm, 3.0 * i)
    return found


def test_where_a_contact_begins_to_dry_and_where_it_is_too_dry():
    assert slowly(Bench(), 20.0) == []
    (warning,) = slowly(Bench(), 20.1, 20.1, 30.0, 50.0)
    assert (warning.rule, warning.urgency) == ("impedance_warning", "warn")
    assert warning.text == "Oz has 20.1 kΩ and is drying"
    warning, stop = slowly(Bench(), 20.1, 50.1)
    assert (stop.rule, stop.urgency, stop.text) == ("impedance", "soft", "Oz has 50.1 kΩ")
    assert rules(slowly(Bench(), math.inf)) == ["impedance"]


def test_every_contact_warns_for_itself():
    bench = Bench()
    assert [f.text[:2] for f in bench.contact(21.0, 0.0, 21.0)] == ["Oz", "Cz"]


# -- the instrument -----------------------------------------------------------------------------


def test_a_restart_is_another_number_of_starts():
    bench = Bench()
    assert bench.status(boots=7) == []
    assert bench.status(boots=7) == []
    (found,) = bench.status(boots=8)
    assert (found.rule, found.urgency) == ("monitor_restarted", "soft")
    assert found.text == "its settings are lost"
    assert bench.status(boots=8) == []


def test_where_the_battery_is_low():
    assert Bench().status(0.2) == []
    (found,) = Bench().status(0.15)
    assert (found.rule, found.urgency) == ("battery_low", "soft")
    assert found.text == "15 % is below 20 %"


def delayed(bench: Bench, delay_s: float) -> list[Finding]:
    bench.n += 1
    bench.at_s += 0.125
    frame = bench.frame(device_s=bench.at_s - delay_s)
    return bench.judge.take([frame], MonitorCounts(), bench.at_s)


def test_a_measurement_may_be_half_a_second_later_than_the_quickest():
    bench = Bench()
    assert delayed(bench, 3.0) == []  # two clocks differ by what they like
    assert delayed(bench, 3.25) == []
    assert delayed(bench, 3.5) == []
    (found,) = delayed(bench, 3.75)
    assert (found.rule, found.urgency) == ("monitor_late", "soft")
    assert found.text == "a measurement is 0.75 s old"
    assert delayed(bench, 2.0) == []
    assert rules(delayed(bench, 2.75)) == ["monitor_late"]


def test_a_measurement_without_a_time_is_late():
    assert rules(delayed(Bench(), math.nan)) == ["monitor_late"]


def test_the_same_values_for_more_than_half_a_second_are_stuck():
    bench = Bench()
    count, found = bench.until(100, 1.0, same=True)
    assert [(f.rule, f.urgency) for f in found] == [("stuck_telemetry", "emergency")]
    assert count == 34  # the 33rd is half a second after the first
    assert found[0].text == "the same values for 0.52 s"
    bench = Bench()
    bench.until(30, 1.0, same=True)
    bench.one(1.01)
    assert bench.until(33, 1.0, same=True) == (0, [])


@pytest.mark.parametrize(("frequency_hz", "count"), [(1.0, 34), (40.0, 34), (64.0, 0), (128.0, 0)])
def test_frames_of_whole_cycles_are_the_same_by_right(frequency_hz: float, count: int):
    assert Bench(frequency_hz).until(100, 1.0, same=True)[0] == count


def test_frames_of_whole_cycles_are_judged_all_the_same():
    count, found = Bench(64.0).until(100, 1.0, 0.06, same=True)
    assert (count, set(rules(found))) == (65, {"dc_offset"})


def test_what_repeats_itself_has_no_mean_and_no_shape():
    bench = Bench()
    bench.good(70)
    count, found = bench.until(100, 0.7, 2.0, 0.7, same=True)
    # Another rule has it; the first frame is not yet a repetition, and its mean is no direct one.
    assert (count, rules(found)) == (34, ["stuck_telemetry"])


@pytest.mark.parametrize(("level", "count"), [(0.01, 34), (0.0099, 0)])
def test_without_current_the_same_is_the_same(level: float, count: int):
    bench = Bench(level=level, peaks_ma={"Oz": 2.0, "Cz": 1.0, "Pz": 1.0})
    assert bench.until(100, None, same=True)[0] == count


def test_sameness_counts_from_when_current_must_flow():
    bench = Bench(level=0.0)
    bench.until(64, 0.0, same=True)
    bench.judge.command(1.0, bench.at_s)
    bench.judge.command(0.03, bench.at_s)
    count, found = bench.until(100, 0.0, same=True)
    assert rules(found) == ["stuck_telemetry"]
    assert count == math.ceil(LATENCY_S / FRAME_S) + 33


# -- the link -----------------------------------------------------------------------------------


def test_silence_begins_after_half_a_second():
    judge = Bench().judge
    assert judge.take([], MonitorCounts(), 99.0) == []  # nothing has come yet
    bench = Bench()
    bench.one()
    assert bench.judge.take([], MonitorCounts(), BEGIN_S + 0.5) == []
    (found,) = bench.judge.take([], MonitorCounts(), BEGIN_S + 0.75)
    assert (found.rule, found.urgency) == ("monitor_silent", "soft")
    assert found.text == "for 0.75 s"


def test_silence_is_that_of_the_host_whatever_time_the_instrument_has():
    bench = Bench()
    frame = bench.frame(device_s=5.0)
    assert bench.judge.take([frame], MonitorCounts(), BEGIN_S) == []


@pytest.mark.parametrize(("before", "after", "found"), [(0, 4, 0), (4, 5, 1), (0, 9, 1), (5, 6, 0)])
def test_the_fifth_damaged_frame_counts_once(before: int, after: int, found: int):
    judge = Bench().judge
    judge.take([], MonitorCounts(corrupted=before), BEGIN_S)
    told = judge.take([], MonitorCounts(corrupted=after), BEGIN_S)
    assert [(f.rule, f.urgency, f.text) for f in told] == [
        ("monitor_corrupted", "soft", f"{after} damaged frames")
    ] * found


def test_each_stranger_is_told():
    judge = Bench().judge
    for foreign, told in ((0, []), (2, ["2"]), (2, []), (3, ["3"])):
        found = judge.take([], MonitorCounts(foreign=foreign), BEGIN_S)
        assert [f.text.split()[0] for f in found] == told
        assert {(f.rule, f.urgency) for f in found} <= {("monitor_foreign", "warn")}
    (found,) = judge.take([], MonitorCounts(foreign=4), BEGIN_S)
    assert found.text == "4 frames do not carry this session's number; rejected"


def edged(frequency_hz: float = 8.0, **options: bool) -> Bench:
    """Two milliampere at Oz and Cz."""
    bench = Bench(frequency_hz, peaks_ma={"Oz": 2.0, "Cz": 2.0})
    bench.judge = Judge(
        effective_limits(), bench.peaks_ma, frequency_hz, frame_s=FRAME_S,
        soft_stop_s=SOFT_STOP_S, **options,
    )  # fmt: skip
    bench.judge.command(1.0, -1.0)
    return bench


def test_what_an_edge_leaves_of_a_cycle_is_no_direct_current():
    # 2 mA that moved by a half within a second: 0.5 * 2 / (pi 8) = 0.0398 mA more are allowed.
    more_ma = 0.5 * 2.0 / (math.pi * 8.0)
    for extra, options, found_any in (
        (0.99, {"edges": True}, False), (1.01, {"edges": True}, True), (0.99, {}, True),
    ):  # fmt: skip
        bench = edged(**options)
        bench.until(64, 2.0, 0.0)
        bench.judge.command(0.5, bench.at_s)
        bench.level = 0.5
        _, found = bench.until(64, 1.0, 0.05 + extra * more_ma)
        assert set(rules(found)) == ({"dc_offset"} if found_any else set()), (extra, options)


def test_the_first_edge_comes_from_nothing():
    bench = edged(edges=True)
    bench.judge = Judge(
        effective_limits(), bench.peaks_ma, 8.0, frame_s=FRAME_S, soft_stop_s=SOFT_STOP_S,
        edges=True,
    )  # fmt: skip
    bench.judge.command(1.0, BEGIN_S)
    assert bench.until(70, 2.0, 0.05 + 0.99 * 2.0 / (math.pi * 8.0)) == (0, [])


def test_a_level_that_has_stood_still_allows_no_more_than_the_limit():
    bench = edged(edges=True)
    bench.judge.command(0.5, BEGIN_S)
    bench.judge.command(1.0, BEGIN_S + 0.25)
    # The window is a second, and a frame may be 0.3 s older than a command.
    bench.at_s = BEGIN_S + 1.0
    bench.until(round((0.25 + 1.0 + LATENCY_S) * 64), 2.0, 0.0)
    _, found = bench.until(130, 2.0, 0.051)
    assert "dc_offset" in rules(found)
    assert edged(edges=True).until(130, 2.0, 0.05) == (0, [])


def test_a_new_frequency_is_judged_by_its_own_cycles():
    bench = Bench(8.0)
    bench.judge.retune(4.0, BEGIN_S)
    assert bench.judge._half_cycle_s == 0.125
    assert bench.judge._window_s == 1.0
    bench.judge.retune(2.5, BEGIN_S)
    assert bench.judge._window_s == pytest.approx(1.2)
    assert bench.judge._frequency_hz == 2.5


def test_what_an_edge_leaves_is_spread_over_whole_cycles():
    # At 2.5 Hz the mean is taken over three cycles, 1.2 s.
    more_ma = 0.5 * 2.0 / (math.pi * 2.5 * 1.2)
    for extra, found_any in ((0.99, False), (1.01, True)):
        bench = edged(2.5, edges=True)
        bench.judge.command(0.5, -0.5)
        bench.level = 0.5
        bench.until(80, 1.0, 0.0)
        bench.judge.command(1.0, bench.at_s)
        bench.level = 1.0
        _, found = bench.until(78, 2.0, 0.05 + extra * more_ma)
        assert ("dc_offset" in rules(found)) is found_any, extra


def test_a_level_that_is_exactly_old_enough_is_forgotten():
    bench = edged(edges=True)
    last_s = BEGIN_S + 96 * FRAME_S
    bench.judge.command(0.5, BEGIN_S + 0.1)
    bench.judge.command(1.0, last_s - 1.0 - LATENCY_S)
    count, found = bench.until(200, 2.0, 0.051)
    assert (count, set(rules(found))) == (97, {"dc_offset"})


def tuned(*later_hz: float, level: float = 1.0, frequency_hz: float = 8.0) -> Bench:
    """Two seconds of 2 mA, and then other frequencies, a tenth of a second apart."""
    bench = edged(frequency_hz)
    bench.until(128, 2.0, 0.0)
    for n, hz in enumerate(later_hz):
        bench.judge.retune(hz, bench.at_s + 0.1 * n)
    if level != 1.0:
        bench.judge.command(level, bench.at_s)
        bench.level = level
    return bench


@pytest.mark.parametrize(
    ("later_hz", "parts_s"),
    [
        ((4.0,), 0.125 + 0.25 + 0.125),
        ((4.0, 8.0), 0.125 + 0.125 + 2 * 0.125),
        ((4.0, 2.0, 4.0), 0.125 + 0.25 + 0.125 + 2 * 0.25),
    ],
)
def test_what_a_new_frequency_leaves_of_a_cycle_is_no_direct_current(
    later_hz: tuple[float, ...], parts_s: float
):
    # Of 2 mA, over a second.
    more_ma = 2.0 * parts_s / (2.0 * math.pi)
    for extra, found_any in ((0.999, False), (1.001, True)):
        _, found = tuned(*later_hz).until(70, 2.0, 0.05 + extra * more_ma)
        assert set(rules(found)) == ({"dc_offset"} if found_any else set()), extra


def test_what_a_new_frequency_leaves_is_of_the_highest_level_in_that_time():
    more_ma = 2.0 * 0.5 / (2.0 * math.pi)
    for extra, found_any in ((0.999, False), (1.001, True)):
        _, found = tuned(4.0, level=0.5).until(70, 1.0, 0.05 + extra * more_ma)
        assert ("dc_offset" in rules(found)) is found_any, extra


def test_what_a_new_frequency_leaves_is_spread_over_whole_cycles_of_the_new_one():
    # From 4 to 2.5 Hz: three cycles, 1.2 s.
    more_ma = 2.0 * (0.25 + 0.4 + 0.15) / (2.0 * math.pi * 1.2)
    for extra, found_any in ((0.999, False), (1.001, True)):
        _, found = tuned(2.5, frequency_hz=4.0).until(78, 2.0, 0.05 + extra * more_ma)
        assert ("dc_offset" in rules(found)) is found_any, extra


def test_a_frequency_that_is_exactly_old_enough_is_forgotten():
    bench = edged()
    last_s = BEGIN_S + 96 * FRAME_S
    bench.judge.retune(4.0, last_s - 1.0 - LATENCY_S)
    count, found = bench.until(200, 2.0, 0.051)
    assert (count, set(rules(found))) == (97, {"dc_offset"})


def test_an_edge_is_half_a_cycle_of_the_slowest_frequency_in_that_time():
    more_ma = 2.0 * (0.5 * 0.25 + 0.5 * (0.25 + 0.125 + 0.125)) / math.pi
    for extra, found_any in ((0.999, False), (1.001, True)):
        bench = edged(4.0, edges=True)
        bench.until(128, 2.0, 0.0)
        bench.judge.retune(8.0, bench.at_s)
        bench.judge.command(0.5, bench.at_s)
        bench.level = 0.5
        _, found = bench.until(70, 1.0, 0.05 + extra * more_ma)
        assert ("dc_offset" in rules(found)) is found_any, extra


def test_a_part_of_a_cycle_may_have_a_larger_mean_square():
    # From 8 to 4 Hz: half a second, which is two cycles of the new one.
    most = math.sqrt(0.74**2 + 0.5 / (8.0 * math.pi * 0.5))
    for share, found_any in ((JUST_LESS, False), (JUST_MORE, True)):
        _, found = tuned(4.0).until(40, 2.0, 0.0, share * most * 2.0)
        assert set(rules(found)) == ({"compliance"} if found_any else set())
    assert "clipped at 2.000 mA" in found[0].text


def test_an_open_circuit_is_looked_for_over_half_a_cycle_of_the_slowest():
    # From 2 to 8 Hz: a quarter of a second and one frame, in which the slow sine may be low.
    bench = tuned(8.0, frequency_hz=2.0)
    count, found = bench.until(40, 0.1, 0.0)
    assert (count, rules(found)[0]) == (18, "open_circuit")
    assert tuned(8.0, frequency_hz=8.0).until(40, 0.1, 0.0)[0] == 6
