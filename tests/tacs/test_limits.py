"""The limits table, literal by literal, and the rule that the strictest limit wins."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tacs.errors import FileProblems, InputError
from tacs.limits import LIMITS, EffectiveLimits, effective_limits

TABLE = {
    # name: (sense, default, hard ceiling, unit)
    "electrode_current_peak_ma": ("max", 1.0, 2.0, "mA"),
    "total_injected_current_peak_ma": ("max", 2.0, 4.0, "mA"),
    "current_balance_residual_ma": ("max", 0.01, 0.05, "mA"),
    "commanded_dc_offset_ma": ("max", 0.0, 0.0, "mA"),
    "measured_dc_offset_ma": ("max", 0.05, 0.1, "mA"),
    "current_density_peak_a_m2": ("max", 6.5, 10.0, "A/m²"),
    "electrode_area_cm2": ("min", 3.14, 1.0, "cm²"),
    "frequency_lowest_hz": ("min", 0.5, 0.1, "Hz"),
    "frequency_highest_hz": ("max", 100.0, 150.0, "Hz"),
    "frequency_error_hz": ("max", 0.05, 0.5, "Hz"),
    "ramp_up_shortest_s": ("min", 30.0, 5.0, "s"),
    "ramp_up_longest_s": ("max", 60.0, 60.0, "s"),
    "ramp_down_shortest_s": ("min", 15.0, 2.0, "s"),
    "envelope_slew_ma_per_s": ("max", 0.2, 1.0, "mA/s"),
    "train_edge_s": ("min", 0.5, 0.25, "s"),
    "train_envelope_slew_ma_per_s": ("max", 2.0, 4.0, "mA/s"),
    "train_tolerated_s": ("min", 10.0, 5.0, "s"),
    "train_duty_cycle": ("max", 0.8, 0.95, "of a period"),
    "retune_step_hz": ("max", 0.5, 2.0, "Hz"),
    "retune_interval_s": ("min", 1.0, 0.5, "s"),
    "amplitude_step_ma": ("max", 0.1, 0.25, "mA"),
    "parameter_transition_s": ("min", 1.0, 0.1, "s"),
    "phase_jump_rad": ("max", 0.0, 0.0, "rad"),
    "soft_stop_s": ("max", 0.8, 2.0, "s"),
    "emergency_stop_s": ("max", 0.1, 0.25, "s"),
    "lease_ttl_s": ("max", 1.0, 2.0, "s"),
    "heartbeat_period_s": ("max", 0.25, 0.5, "s"),
    "session_duration_min": ("max", 20.0, 40.0, "min"),
    "daily_duration_min": ("max", 40.0, 60.0, "min"),
    "rectified_charge_session_c": ("max", 3.1, 4.8, "C"),
    "rectified_charge_day_c": ("max", 4.8, 7.2, "C"),
    "inter_session_interval_h": ("min", 18.0, 12.0, "h"),
    "sessions_per_course": ("max", 30.0, 36.0, "sessions"),
    "sessions_per_day": ("max", 1.0, 2.0, "sessions"),
    "accelerated_interval_h": ("min", 4.0, 4.0, "h"),
    "overcurrent_ratio": ("max", 1.1, 1.1, "ratio"),
    "undercurrent_ratio": ("min", 0.8, 0.5, "ratio"),
    "monitor_stale_s": ("max", 0.5, 1.0, "s"),
    "impedance_start_kohm": ("max", 10.0, 20.0, "kΩ"),
    "impedance_run_warn_kohm": ("max", 20.0, 50.0, "kΩ"),
    "impedance_run_stop_kohm": ("max", 50.0, 55.0, "kΩ"),
    "impedance_step_ratio": ("max", 2.0, 3.0, "ratio"),
    "compliance_use": ("max", 0.8, 0.9, "of V max"),
    "peak_age_d": ("max", 30.0, 365.0, "days"),
    "eeg_stale_s": ("max", 0.5, 2.0, "s"),
    "clock_future_s": ("max", 0.1, 1.0, "s"),
    "discomfort_pause_nrs": ("max", 6.0, 7.0, "0-10"),
    "discomfort_stop_nrs": ("max", 7.0, 7.0, "0-10"),
    "age_y": ("min", 18.0, 18.0, "years"),
}
NAMES = sorted(TABLE)


def site(tmp_path: Path, **limits: object) -> Path:
    path = tmp_path / "site.toml"
    data = {"site": "made", "approved_by": "A. Person", "reason": "study 1", "limits": limits}
    path.write_text(tomli_w.dumps(data))
    return path


def participant(tmp_path: Path, **limits: object) -> Path:
    path = tmp_path / "participant.toml"
    path.write_text(tomli_w.dumps({"subject": "01", "limits": limits}))
    return path


def test_every_default_and_every_ceiling_is_the_literal_here() -> None:
    found = {n: (x.sense, x.default, x.ceiling, x.unit) for n, x in LIMITS.items()}
    assert found == TABLE


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_whole(name: str) -> None:
    limit = LIMITS[name]
    assert limit.name == name
    assert limit.source
    assert limit.meaning
    assert limit.allows(limit.default, limit.ceiling)
    assert limit.allows(limit.default, limit.default)
    assert not limit.allows(math.nan, limit.default)
    assert not limit.allows(limit.default, math.nan)


def test_without_files_the_defaults_hold() -> None:
    limits = effective_limits()
    assert dict(limits) == {name: row[1] for name, row in TABLE.items()}
    assert len(limits) == len(TABLE)
    assert set(limits.set_by.values()) == {"default"}
    assert limits.source("soft_stop_s") == LIMITS["soft_stop_s"].source


@pytest.mark.parametrize("name", NAMES)
def test_a_site_reaches_the_ceiling_and_not_a_hair_past_it(tmp_path: Path, name: str) -> None:
    sense, _, ceiling, unit = TABLE[name]
    limits = effective_limits(site(tmp_path, **{name: ceiling}))
    assert limits[name] == ceiling
    assert limits.source(name) == f"site file site.toml; {LIMITS[name].source}"
    past = math.nextafter(ceiling, math.inf if sense == "max" else -math.inf)
    with pytest.raises(FileProblems, match="past the hard ceiling") as caught:
        effective_limits(site(tmp_path, **{name: past}))
    assert f"limits.{name}" in str(caught.value)
    assert unit in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["electrode_current_peak_ma", "ramp_up_shortest_s"])
def test_not_a_number_is_no_limit(tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(FileProblems):
        effective_limits(site(tmp_path, **{name: value}))
    with pytest.raises(FileProblems):
        effective_limits(None, participant(tmp_path, **{name: value}))


@pytest.mark.parametrize("name", NAMES)
def test_a_participant_may_only_tighten(tmp_path: Path, name: str) -> None:
    sense, default, _, _ = TABLE[name]
    tighter, looser = (
        math.nextafter(default, -math.inf if (sense == "max") == inward else math.inf)
        for inward in (True, False)
    )
    limits = effective_limits(None, participant(tmp_path, **{name: tighter}))
    assert limits[name] == tighter
    assert limits.set_by[name] == "participant file participant.toml"
    assert effective_limits(None, participant(tmp_path, **{name: default}))[name] == default
    with pytest.raises(FileProblems, match="may only tighten"):
        effective_limits(None, participant(tmp_path, **{name: looser}))


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_what_is_in_force_is_the_strictest(tmp_path: Path, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    site_values, person_values = {}, {}
    for name in chosen:
        limit = LIMITS[name]
        low, high = sorted((limit.default, limit.ceiling))
        site_values[name] = data.draw(st.floats(low, high))
        share = data.draw(st.floats(0.0, 1.0))
        person_values[name] = site_values[name] * (share if limit.sense == "max" else 1.0 + share)
    limits = effective_limits(site(tmp_path, **site_values), participant(tmp_path, **person_values))
    for name in NAMES:
        limit = LIMITS[name]
        assert limit.allows(limits[name], limit.ceiling)
        if name in chosen:
            assert limits[name] == limit.stricter(site_values[name], person_values[name])
        else:
            assert limits[name] == limit.default


def test_a_site_may_also_be_stricter_than_the_defaults(tmp_path: Path) -> None:
    assert effective_limits(site(tmp_path, session_duration_min=5.0))["session_duration_min"] == 5.0


def test_all_problems_of_a_file_are_listed_at_once(tmp_path: Path) -> None:
    path = site(tmp_path, electrode_current_peak_ma=3.0, ramp_up_shortest_s=1.0, current=1.0)
    with pytest.raises(FileProblems) as caught:
        effective_limits(path)
    assert len(caught.value.problems) == 3
    text = str(caught.value)
    assert "electrode_current_peak_ma: 3 mA is past the hard ceiling; at most 2 mA" in text
    assert "ramp_up_shortest_s: 1 s is past the hard ceiling; at least 5 s" in text
    assert "limits.current: no such limit" in text


def test_a_participant_is_held_against_the_site(tmp_path: Path) -> None:
    relaxed = site(tmp_path, session_duration_min=40.0)
    person = participant(tmp_path, session_duration_min=30.0)
    assert effective_limits(relaxed, person)["session_duration_min"] == 30.0
    with pytest.raises(FileProblems, match="looser than the 20 min in force"):
        effective_limits(None, person)


@pytest.mark.parametrize("missing", ["site", "approved_by", "reason", "limits"])
def test_a_site_file_says_who_and_why(tmp_path: Path, missing: str) -> None:
    data = {"site": "a", "approved_by": "b", "reason": "c", "limits": {}}
    del data[missing]
    path = tmp_path / "site.toml"
    path.write_text(tomli_w.dumps(data))
    with pytest.raises(FileProblems, match=f"{missing}: missing"):
        effective_limits(path)


def test_a_missing_file_is_no_default(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        effective_limits(tmp_path / "site.toml")


def test_limits_in_force_cannot_be_changed() -> None:
    limits = effective_limits()
    assert isinstance(limits, EffectiveLimits)
    with pytest.raises(TypeError):
        limits["soft_stop_s"] = 9.0  # type: ignore[index]
