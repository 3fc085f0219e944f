"""The waveform: balanced at every instant, never above the worst case, smooth, counted right."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacs.errors import FileProblems
from tacs.protocol import Protocol
from tacs.waveform import PhaseTrack, Waveform, envelope_segments
from tests.tacs.made import montage_data, numbers, protocol, protocols

QUICK = settings(max_examples=100, deadline=None, database=None)


def instants(duration_s: float, n: int = 997) -> np.ndarray:
    return np.random.default_rng(7).uniform(-1.0, duration_s + 1.0, n)


@QUICK
@given(made=protocols())
def test_currents_sum_to_zero_and_stay_within_the_worst_case(made: Protocol) -> None:
    waveform, montage = Waveform(made), made.montage
    currents = waveform.sample(instants(made.duration_s))
    assert np.abs(currents.sum(axis=0)).max() < 1e-12
    for name, row in zip(waveform.electrodes, currents, strict=True):
        assert np.abs(row).max() <= montage.current_peak_ma(name) * (1 + 1e-12)
        assert waveform.peak_ma(name) <= montage.current_peak_ma(name) * (1 + 1e-12)
    total = 0.5 * np.abs(currents).sum(axis=0).max()
    assert total <= montage.total_injected_peak_ma * (1 + 1e-12)


@QUICK
@given(made=protocols())
def test_one_instant_and_many_instants_agree(made: Protocol) -> None:
    waveform = Waveform(made)
    times_s = instants(made.duration_s, 23)
    many = waveform.sample(times_s)
    for i, time_s in enumerate(times_s):
        one = waveform.electrode_currents_ma(float(time_s))
        assert np.allclose(many[:, i], list(one.values()), atol=1e-9)
        assert abs(math.fsum(one.values())) < 1e-12
    assert not np.any(many[:, (times_s < 0) | (times_s > made.duration_s)])


@QUICK
@given(made=protocols())
def test_the_envelope_is_whole_continuous_and_monotone(made: Protocol) -> None:
    segments = Waveform(made).segments
    assert segments[0].start_s == 0.0
    assert segments[0].start_level == segments[-1].end_level == 0.0
    assert math.isclose(segments[-1].end_s, made.duration_s)
    for before, after in itertools.pairwise(segments):
        assert before.end_s == after.start_s
        assert before.end_level == after.start_level
    for segment in segments:
        levels = [
            segment.level(t) for t in np.linspace(segment.start_s, segment.end_s, 11).tolist()
        ]
        steps = np.diff(levels)
        assert all(-1e-12 <= level <= 1.0 + 1e-12 for level in levels)
        assert {
            "ramp_up": np.all(steps > 0),
            "hold": not steps.any() and levels[0] == 1.0,
            "ramp_down": np.all(steps < 0),
            "silent": not any(levels),
        }[segment.kind]


def test_an_active_session_has_ramps_inside_its_duration() -> None:
    waveform = Waveform(protocol())
    assert [(s.kind, s.start_s, s.end_s) for s in waveform.segments] == [
        ("ramp_up", 0.0, 30.0),
        ("hold", 30.0, 1185.0),
        ("ramp_down", 1185.0, 1200.0),
    ]
    assert waveform.current_on_s == waveform.duration_s == 1200.0
    assert waveform.full_current_equivalent_s == 15.0 + 1155.0 + 7.5
    assert [waveform.envelope(t) for t in (-0.1, 0.0, 15.0, 600.0, 1192.5, 1200.0)] == [
        0.0,
        0.0,
        0.5,
        1.0,
        0.5,
        0.0,
    ]


def test_an_active_sham_flows_only_at_the_start() -> None:
    waveform = Waveform(protocol(waveform="active_sham", sham_plateau_s=10.0))
    assert [(s.kind, s.start_s, s.end_s) for s in waveform.segments] == [
        ("ramp_up", 0.0, 30.0),
        ("hold", 30.0, 40.0),
        ("ramp_down", 40.0, 55.0),
        ("silent", 55.0, 1200.0),
    ]
    assert waveform.current_on_s == 55.0
    assert waveform.duration_s == 1200.0
    assert waveform.full_current_equivalent_s == 32.5


def test_a_sham_without_a_plateau_has_no_hold() -> None:
    kinds = [s.kind for s in envelope_segments("active_sham", 100.0, 30.0, 15.0, 0.0)]
    assert kinds == ["ramp_up", "ramp_down", "silent"]


def test_a_passive_sham_is_silent() -> None:
    waveform = Waveform(protocol(waveform="passive_sham"))
    assert [(s.kind, s.start_s, s.end_s) for s in waveform.segments] == [("silent", 0.0, 1200.0)]
    assert waveform.current_on_s == 0.0
    assert waveform.peak_ma("Oz") == 0.0
    assert waveform.rectified_charge_c("Oz") == 0.0
    assert not waveform.sample(np.linspace(0.0, 1200.0, 1001)).any()


def test_two_loops_in_phase_meet_at_the_shared_electrode() -> None:
    waveform = Waveform(protocol(montage=montage_data(("F3", "Cz", 0.5), ("F4", "Cz", 0.5))))
    quarter_s = 600.0 + 0.25 / 10.27
    quarter_s -= waveform.phase.cycles(600.0) % 1.0 / 10.27
    currents = waveform.electrode_currents_ma(quarter_s)
    assert currents == pytest.approx({"F3": 0.5, "Cz": -1.0, "F4": 0.5}, abs=1e-9)
    assert waveform.peak_ma("Cz") == pytest.approx(1.0)


@pytest.mark.parametrize(("phase_deg", "peak_ma"), [(0.0, 1.0), (90.0, 0.70711), (180.0, 0.0)])
def test_loops_of_one_frequency_add_as_phasors(phase_deg: float, peak_ma: float) -> None:
    made = protocol(montage=montage_data(("F3", "Cz", 0.5), ("F4", "Cz", 0.5, phase_deg)))
    waveform = Waveform(made)
    assert waveform.peak_ma("Cz") == pytest.approx(peak_ma, abs=1e-5)
    assert made.montage.current_peak_ma("Cz") == 1.0
    sampled = waveform.sample(np.linspace(600.0, 610.0, 40_001))[1]
    assert np.abs(sampled).max() == pytest.approx(peak_ma, abs=1e-4)


@pytest.mark.parametrize("frequency_hz", [0.5, 10.27, 40.0, 100.0])
@pytest.mark.parametrize(
    "arm", [{}, {"waveform": "active_sham", "sham_plateau_s": 10.0}], ids=["active", "sham"]
)
def test_rectified_charge_equals_the_integral(frequency_hz: float, arm: dict[str, object]) -> None:
    waveform = Waveform(protocol(frequency_hz=frequency_hz, duration_s=120.0, **arm))
    step_s = 1.0 / (frequency_hz * 200.0)
    times_s = np.arange(0.0, 120.0, step_s)
    currents = waveform.sample(times_s)
    integral_c = np.abs(currents[0]).sum() * step_s * 1e-3
    assert waveform.rectified_charge_c("Oz") == pytest.approx(integral_c, rel=1e-3)
    assert abs(currents[0].sum() * step_s * 1e-3) < 1e-3 * integral_c


def test_the_charge_of_a_known_session() -> None:
    # (2/π) · 1 mA · 1177.5 s: 20 min with a 30 s and a 15 s ramp
    assert Waveform(protocol()).rectified_charge_c("Oz") == pytest.approx(0.74962, abs=1e-5)


@QUICK
@given(
    first_hz=numbers(0.1, 150.0),
    changes=st.lists(st.tuples(numbers(0.0, 1200.0), numbers(0.1, 150.0)), max_size=6),
)
def test_the_phase_is_continuous_through_every_retune(
    first_hz: float, changes: list[tuple[float, float]]
) -> None:
    track = PhaseTrack(first_hz)
    for time_s, frequency_hz in sorted(changes):
        before = track.cycles(time_s)
        track.retune(time_s, frequency_hz)
        assert track.cycles(time_s) == pytest.approx(before, abs=1e-9)
        assert track.frequency_hz(time_s) == frequency_hz
        assert track.cycles(time_s + 1.0) == pytest.approx(before + frequency_hz, abs=1e-6)
    times_s = np.linspace(0.0, 1200.0, 501)
    many = track.cycles_at(times_s)
    assert np.allclose(many, [track.cycles(t) for t in times_s.tolist()], atol=1e-9)
    assert np.all(np.diff(many) > 0)


def test_a_retune_in_the_past_replaces_what_followed() -> None:
    track = PhaseTrack(10.0)
    track.retune(2.0, 20.0)
    track.retune(1.0, 5.0)
    assert track.cycles(1.0) == 10.0
    assert track.cycles(3.0) == 20.0
    assert track.frequency_hz(2.5) == 5.0


def test_a_retuned_waveform_does_not_jump() -> None:
    waveform = Waveform(protocol())
    waveform.phase.retune(600.013, 11.1)
    times_s = 600.013 + np.linspace(-1e-3, 1e-3, 2001)
    steps_ma = np.abs(np.diff(waveform.sample(times_s)[0]))
    assert steps_ma.max() < 2.0 * math.pi * 11.2 * 1e-6


AM = protocol(waveform="am_tacs", carrier_hz=83.0, frequency_hz=10.24, duration_s=100.0)


def test_a_modulated_carrier_has_no_direct_current_and_none_at_the_rhythm() -> None:
    rate_hz, waveform = 1000.0, Waveform(AM)
    times_s = 30.0 + np.arange(int(50.0 * rate_hz)) / rate_hz
    current = waveform.sample(times_s)[0]
    lines = 2.0 * np.abs(np.fft.rfft(current * np.hanning(len(current)))) / (0.5 * len(current))
    grid_hz = np.fft.rfftfreq(len(current), 1.0 / rate_hz)

    def size(at_hz: float) -> float:
        near = np.abs(grid_hz - at_hz) < 0.1
        return float(lines[near].max())

    assert size(0.0) < 1e-6
    assert size(10.24) < 1e-6
    assert size(83.0) == pytest.approx(0.5, rel=0.01)
    assert size(83.0 - 10.24) == pytest.approx(0.25, rel=0.05)
    assert size(83.0 + 10.24) == pytest.approx(0.25, rel=0.05)
    assert np.abs(current).max() == pytest.approx(1.0, rel=0.01)


def test_the_rectified_charge_of_a_modulated_carrier_is_half_of_a_sines() -> None:
    waveform = Waveform(AM)
    times_s = np.arange(0.0, 100.0, 1e-4)
    flowed_c = np.abs(waveform.sample(times_s)[0]).sum() * 1e-4 * 1e-3
    assert waveform.rectified_charge_c("Oz") == pytest.approx(flowed_c, rel=1e-3)
    assert waveform.rectified == 1.0 / math.pi


def test_the_peak_of_modulated_loops_at_one_electrode() -> None:
    loops = montage_data(("Oz", "Cz", 1.0, 0.0), ("Oz", "Pz", 0.6, 70.0), ("F3", "Oz", 0.3, 190.0))
    made = protocol(waveform="am_tacs", carrier_hz=83.7, duration_s=400.0, montage=loops)
    waveform = Waveform(made)
    times_s = np.arange(50.0, 300.0, 1e-3)
    seen = np.abs(waveform.sample(times_s)[waveform.electrodes.index("Oz")]).max()
    assert seen <= waveform.peak_ma("Oz") * (1 + 1e-12)
    assert seen == pytest.approx(waveform.peak_ma("Oz"), rel=0.01)


def test_a_carrier_goes_with_modulation_only_and_stays_clear_of_the_rhythm() -> None:
    for changes, expected in (
        ({"waveform": "am_tacs"}, "carrier_hz: missing (hertz)"),
        ({"carrier_hz": 80.0}, "carrier_hz: a sine has none"),
        ({"waveform": "am_tacs", "carrier_hz": 30.0}, "is less than 3 times"),
    ):
        with pytest.raises(FileProblems) as caught:
            protocol(**changes)
        assert any(expected in problem for problem in caught.value.problems)


def test_the_knots_are_the_corners_of_the_envelope() -> None:
    assert Waveform(protocol(duration_s=60.0)).knots == (
        (0.0, 0.0), (30.0, 1.0), (45.0, 1.0), (60.0, 0.0),
    )  # fmt: skip
    sham = protocol(waveform="passive_sham", duration_s=60.0)
    assert Waveform(sham).knots == ((0.0, 0.0), (60.0, 0.0))
