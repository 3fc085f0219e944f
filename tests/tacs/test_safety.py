"""The predicates: every breach is listed, with value, limit, unit and source; NaN never passes."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings

from tacs.limits import LIMITS, EffectiveLimits, effective_limits
from tacs.protocol import Protocol
from tacs.safety import (
    Breach,
    DoseHistory,
    Margin,
    PastSession,
    cautions,
    command_breaches,
    device_breaches,
    margins,
    person_breaches,
    protocol_breaches,
    standing_breaches,
    waits_s,
)
from tests.tacs.made import (
    capabilities,
    channel_data,
    individual_data,
    montage_data,
    protocol,
    protocols,
    rig,
)

LIMITS_NOW = effective_limits()
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
OZ_CZ = rig(channel_data(1, "Oz", "Cz"))


def names(breaches: list[Breach]) -> list[str]:
    return [breach.limit for breach in breaches]


OLD_MONITOR = {
    "device": "made",
    "address": "/dev/ttyACM1",
    "inputs": [{"input": 1, "electrode": "Oz"}, {"input": 2, "electrode": "Cz"}],
    "calibration": {
        "calibrated_on": "2025-01-01",
        "expires_on": "2026-01-01",
        "load_kohm": 10.0,
        "by": "made",
    },
}


def loosened(**changes: float) -> EffectiveLimits:
    """Limits with some values changed past every rule: only for looking at single predicates."""
    return EffectiveLimits({**LIMITS_NOW, **changes}, dict.fromkeys(LIMITS, "default"))


def person(made: Protocol, **changes: object) -> list[Breach]:
    options = {"subject": "01", "history": DoseHistory(), "now": NOW, **changes}
    return person_breaches(made, LIMITS_NOW, **options)  # type: ignore[arg-type]


def device(made: Protocol, **changes: object) -> list[Breach]:
    fields = {
        key: changes.pop(key) for key in list(changes) if key not in {"rig", "today", "emulated"}
    }
    return device_breaches(
        made,
        capabilities(**fields),
        changes.get("rig", OZ_CZ),  # type: ignore[arg-type]
        LIMITS_NOW,
        today=changes.get("today", date(2026, 3, 10)),  # type: ignore[arg-type]
        emulated=bool(changes.get("emulated", False)),
    )


def test_a_sound_protocol_breaks_nothing() -> None:
    made = protocol(individual=individual_data())
    assert protocol_breaches(made, LIMITS_NOW) == []
    assert device(made) == []
    assert person(made) == []


def test_six_limits_broken_at_once_are_six_breaches() -> None:
    montage = montage_data(("F3", "Cz", 0.6), ("F4", "Cz", 0.6))
    montage["electrodes"][1]["area_cm2"] = 3.0
    made = protocol(
        frequency_hz=120.0,
        duration_s=1500.0,
        ramp_up_s=6.0,
        ramp_down_s=5.0,
        montage=montage,
    )
    found = protocol_breaches(made, LIMITS_NOW)
    assert {b.limit: (b.value, b.allowed, b.unit) for b in found} == {
        "electrode_current_peak_ma": (1.2, 1.0, "mA"),
        "electrode_area_cm2": (3.0, 3.14, "cm²"),
        "frequency_highest_hz": (120.0, 100.0, "Hz"),
        "ramp_up_shortest_s": (6.0, 30.0, "s"),
        "ramp_down_shortest_s": (5.0, 15.0, "s"),
        "session_duration_min": (25.0, 20.0, "min"),
    }
    assert len(found) == 6
    assert [b.where for b in found[:2]] == ["Cz", "Cz"]
    for breach in found:
        assert breach.source == LIMITS[breach.limit].source
        data = breach.to_dict()
        assert set(data) == {"limit", "value", "allowed", "unit", "source", "where", "message"}
        assert json.loads(json.dumps(data)) == data
        assert str(breach) == data["message"]


@pytest.mark.parametrize(
    ("limit", "changes", "value"),
    [
        ("electrode_current_peak_ma", {"montage": montage_data(("Oz", "Cz", 1.5))}, 1.5),
        (
            "current_density_peak_a_m2",
            {"montage": montage_data(("Oz", "Cz", 1.0), area_cm2=1.5)},
            20 / 3,
        ),
        ("electrode_area_cm2", {"montage": montage_data(("Oz", "Cz", 0.1), area_cm2=3.0)}, 3.0),
        ("frequency_lowest_hz", {"frequency_hz": 0.4}, 0.4),
        ("frequency_highest_hz", {"frequency_hz": 100.01}, 100.01),
        ("ramp_up_shortest_s", {"ramp_up_s": 29.9}, 29.9),
        ("ramp_up_longest_s", {"ramp_up_s": 60.1}, 60.1),
        ("ramp_down_shortest_s", {"ramp_down_s": 14.0}, 14.0),
        ("session_duration_min", {"duration_s": 1201.0}, 1201.0 / 60.0),
    ],
)
def test_each_limit_of_a_protocol(limit: str, changes: dict[str, object], value: float) -> None:
    found = [b for b in protocol_breaches(protocol(**changes), LIMITS_NOW) if b.limit == limit]
    assert found
    assert found[0].value == pytest.approx(value)
    assert found[0].allowed == LIMITS[limit].default


def test_total_current_counts_every_loop_once() -> None:
    loops = [("Oz", "Cz", 0.9), ("F3", "P3", 0.9), ("F4", "P4", 0.9)]
    found = protocol_breaches(protocol(montage=montage_data(*loops)), LIMITS_NOW)
    assert names(found) == ["total_injected_current_peak_ma"]
    assert found[0].value == pytest.approx(2.7)


def test_slew_and_charge_have_limits_of_their_own() -> None:
    limits = loosened(
        electrode_current_peak_ma=9.0,
        total_injected_current_peak_ma=9.0,
        ramp_up_shortest_s=1.0,
        session_duration_min=120.0,
    )
    made = protocol(ramp_up_s=5.0, duration_s=7200.0, montage=montage_data(("Oz", "Cz", 1.5)))
    found = protocol_breaches(made, limits)
    assert names(found) == ["envelope_slew_ma_per_s"] * 2 + ["rectified_charge_session_c"] * 2
    assert found[0].value == pytest.approx(0.3)
    assert found[2].value == pytest.approx(2 / math.pi * 1.5e-3 * 7190.0)


def test_a_sham_is_held_to_the_current_it_states() -> None:
    montage = montage_data(("Oz", "Cz", 1.5))
    for arm in ({"waveform": "passive_sham"}, {"waveform": "active_sham", "sham_plateau_s": 10.0}):
        found = protocol_breaches(protocol(montage=montage, **arm), LIMITS_NOW)
        assert names(found) == ["electrode_current_peak_ma"] * 2


def test_margins_say_how_much_of_each_limit_is_used() -> None:
    found = {(m.limit, m.where): m for m in margins(protocol(), LIMITS_NOW)}
    assert found["electrode_current_peak_ma", "Oz"].used == pytest.approx(1.0)
    assert found["current_density_peak_a_m2", "Oz"].value == pytest.approx(0.4)
    assert found["electrode_area_cm2", "Cz"].used == pytest.approx(3.14 / 25.0)
    assert found["rectified_charge_session_c", "Cz"].value == pytest.approx(0.74962, abs=1e-5)
    assert all(m.ok for m in found.values())


@settings(max_examples=100, deadline=None, database=None)
@given(made=protocols())
def test_breaches_are_the_margins_that_are_not_ok(made: Protocol) -> None:
    broken = [(m.limit, m.where) for m in margins(made, LIMITS_NOW) if not m.ok]
    assert [(b.limit, b.where) for b in protocol_breaches(made, LIMITS_NOW)] == broken
    for name in made.montage.electrodes:
        peak_ma = made.montage.current_peak_ma(name.name)
        assert (("electrode_current_peak_ma", name.name) in broken) == (peak_ma > 1.0)


def test_nan_is_never_within_a_limit() -> None:
    nan = math.nan
    assert not Margin(
        limit="ramp_up_shortest_s", value=nan, allowed=1.0, unit="s", source="", where=""
    ).ok
    found = command_breaches(
        LIMITS_NOW,
        peaks_ma={"Oz": nan},
        areas_cm2={"Oz": 25.0},
        frequency_hz=nan,
        slews_ma_per_s={"Oz": nan},
        lease_s=nan,
    )
    assert names(found) == [
        "electrode_current_peak_ma",
        "current_density_peak_a_m2",
        "total_injected_current_peak_ma",
        "frequency_lowest_hz",
        "frequency_highest_hz",
        "envelope_slew_ma_per_s",
        "lease_ttl_s",
    ]
    assert {b.to_dict()["value"] for b in found} == {"nan"}


def test_a_command_is_checked_for_what_it_sets_only() -> None:
    assert command_breaches(LIMITS_NOW) == []
    assert command_breaches(LIMITS_NOW, lease_s=1.0, frequency_hz=10.0) == []
    assert names(command_breaches(LIMITS_NOW, lease_s=1.1)) == ["lease_ttl_s"]
    assert names(command_breaches(LIMITS_NOW, slews_ma_per_s={"Oz": 0.21})) == [
        "envelope_slew_ma_per_s"
    ]
    assert command_breaches(LIMITS_NOW, slews_ma_per_s={"Oz": 0.2005}) == []


@pytest.mark.parametrize(
    ("limit", "changes"),
    [
        ("device_frequency_min_hz", {"frequency_min_hz": 11.0}),
        ("device_frequency_max_hz", {"frequency_max_hz": 9.0}),
        ("device_duration_s", {"play_duration_max_s": 1199.0}),
        ("frequency_error_hz", {"frequency_step_hz": 1.0}),
        ("soft_stop_s", {"soft_stop_s": 0.9}),
        ("emergency_stop_s", {"emergency_stop_s": 0.2}),
        ("soft_stop_s", {"soft_stop_s": math.nan}),
        ("emergency_stop_s", {"emergency_stop_s": math.nan}),
        ("device_frequency_max_hz", {"frequency_max_hz": math.nan}),
        ("device_amplitude_v", {"amplitude_max_v": 0.49}),
        ("channel", {"n_channels": 0}),
        ("rig", {"rig": None}),
        ("rig", {"rig": rig(channel_data(1, "Oz", "Cz"), device="another")}),
        ("rig", {"rig": rig(channel_data(1, "Oz", "Cz"), emulated=True)}),
        ("wiring", {"rig": rig(channel_data(1, "Pz", "Cz"))}),
        ("rig_current_max_ma", {"rig": rig(channel_data(1, "Oz", "Cz", current_max_ma=0.9))}),
        ("rig_input_max_v", {"rig": rig(channel_data(1, "Oz", "Cz", input_max_v=0.4))}),
        ("compliance_use", {"rig": rig(channel_data(1, "Oz", "Cz", compliance_v=20.0))}),
        ("calibration_expiry", {"today": date(2027, 1, 2)}),
        ("calibration_expiry", {"rig": rig(channel_data(1, "Oz", "Cz"), monitor=OLD_MONITOR)}),
        ("host_loss", {"host_loss_worst_case_s": math.inf}),
        ("host_loss", {"host_loss_worst_case_s": math.nan}),
    ],
)
def test_each_thing_that_a_device_or_rig_cannot_do(limit: str, changes: dict[str, object]) -> None:
    found = device(protocol(), **changes)
    assert names(found) == [limit]
    assert str(found[0])


def test_an_emulated_rig_is_for_an_emulated_device() -> None:
    emulated = rig(channel_data(1, "Oz", "Cz"), emulated=True)
    assert device(protocol(), rig=emulated, emulated=True) == []


def test_a_current_source_needs_a_rig_too_but_no_gain() -> None:
    (found,) = device(protocol(), rig=None, output="current")
    assert (found.limit, found.where) == ("rig", "made is a current source; what is wired to it?")
    plain = rig(channel_data(1, "Oz", "Cz", gain_ma_per_v=None, input_max_v=None))
    assert device(protocol(), rig=plain, output="current") == []
    (found,) = device(protocol(), rig=plain)
    assert found.limit == "rig"
    assert "tacs calibrate measures the gain" in found.where


def test_a_device_of_electrodes_needs_a_rig_of_electrodes() -> None:
    assert names(device(protocol(), wiring="electrodes")) == ["wiring"]


def test_a_waveform_that_the_device_cannot_play_is_refused() -> None:
    am = protocol(waveform="am_tacs", carrier_hz=80.0)
    assert names(device(am)) == ["device_waveform"]
    both = ("tacs", "am_tacs")
    assert device(am, waveforms=both) == []
    assert names(device(am, waveforms=both, frequency_max_hz=79.0)) == ["device_frequency_max_hz"]
    sham = protocol(waveform="active_sham", sham_plateau_s=5.0, carrier_hz=80.0)
    assert names(device(sham)) == ["device_waveform"]


def test_a_programme_that_runs_on_is_told_with_its_length_and_not_refused() -> None:
    runs_on = {"host_loss": "programme", "host_loss_worst_case_s": 0.5}
    assert device(protocol(), **runs_on) == []
    told = cautions(protocol(), capabilities(**runs_on))
    assert any(text.endswith("(at most 1200.5 s)") for text in told)
    endless = cautions(protocol(), capabilities(host_loss_worst_case_s=math.inf))
    assert any(text.endswith("(WITHOUT END)") for text in endless)


def test_what_a_person_does_and_what_cannot_be_paused_is_told() -> None:
    by_hand = capabilities(machine_verified=False, level_control=False, soft_stop=False)
    told = " ".join(cautions(protocol(), by_hand))
    assert "nothing that it does is verified by a machine" in told
    assert "there is no pause, and a stop is a step to zero" in told


def test_calibration_holds_through_its_last_day() -> None:
    assert device(protocol(), today=date(2027, 1, 1)) == []


def test_opposite_phase_needs_a_phase_setting_or_swapped_leads() -> None:
    montage = montage_data(("F3", "Cz", 0.5), ("F4", "Cz", 0.5, 180.0))
    same = rig(channel_data(1, "F3", "Cz"), channel_data(2, "F4", "Cz"))
    swapped = rig(channel_data(1, "F3", "Cz"), channel_data(2, "Cz", "F4"))
    made = protocol(montage=montage)
    found = device(made, rig=same)
    assert names(found) == ["phase_deg"]
    assert "F4-Cz 180°" in str(found[0])
    assert device(made, rig=same, phase_step_deg=1.0) == []
    assert device(made, rig=swapped) == []


@pytest.mark.parametrize(
    ("limit", "history", "value"),
    [
        ("daily_duration_min", {"current_on_24h_min": 20.1}, 40.1),
        ("rectified_charge_day_c", {"rectified_charge_24h_c": {"Oz": 4.1}}, 4.84962),
        ("inter_session_interval_h", {"last_session_end": NOW - timedelta(hours=17)}, 17.0),
        ("inter_session_interval_h", {"last_session_end": NOW + timedelta(hours=1)}, -1.0),
        ("sessions_per_course", {"sessions_90d": 30}, 31.0),
    ],
)
def test_each_limit_of_a_person(limit: str, history: dict[str, object], value: float) -> None:
    found = person(protocol(), history=DoseHistory(**history))  # type: ignore[arg-type]
    assert names(found) == [limit]
    assert found[0].value == pytest.approx(value, abs=1e-5)
    assert "subject 01" in found[0].where


def test_a_session_left_open_blocks_the_person() -> None:
    found = person(protocol(), history=DoseHistory(open_sessions=("02 in /data",)))
    assert names(found) == ["open_session"]
    assert "tacs recover" in found[0].where


def past(begun_h: float, **changes: object) -> PastSession:
    """A session of twenty minutes that began so many hours ago."""
    started = NOW - timedelta(hours=begun_h)
    fields: dict[str, object] = {
        "session": "01",
        "dataset": "/data",
        "started": started,
        "ended": started + timedelta(minutes=20),
        "since_start_s": 3600.0 * begun_h,
        "since_end_s": 3600.0 * begun_h - 1200.0,
        "current_on_s": 1200.0,
        "rectified_charge_c": {"Oz": 0.75},
        "outcome": "done",
        "counts": True,
        **changes,
    }
    return PastSession(**fields)  # type: ignore[arg-type]


def had(*sessions: PastSession) -> DoseHistory:
    return DoseHistory(
        last_session_end=max(s.ended for s in sessions),
        since_last_session_s=min(s.since_end_s for s in sessions),
        sessions=sessions,
    )


@pytest.mark.parametrize(
    ("accelerated", "daily", "begun_h", "expected"),
    [
        (False, 1.0, [20.0], []),
        (False, 1.0, [18.0], ["inter_session_interval_h"]),
        (False, 2.0, [5.0], ["inter_session_interval_h"]),  # the site's two need the flag
        (False, 2.0, [19.0, 23.5], ["sessions_per_day"]),
        (False, 2.0, [19.0, 24.0], []),
        (False, 0.0, [40.0], ["sessions_per_day"]),  # a participant file may say none at all
        (True, 1.0, [5.0], ["sessions_per_day"]),
        (True, 1.0, [24.0], []),
        (True, 2.0, [4.0], ["accelerated_interval_h"]),
        (True, 2.0, [4.34], []),
        (True, 2.0, [5.0, 10.0], ["sessions_per_day"]),
        (True, 2.0, [5.0, 23.99], ["sessions_per_day"]),
        (True, 2.0, [5.0, 24.0], []),
        (True, math.nan, [24.0], ["sessions_per_day"]),
    ],
)
def test_sessions_of_a_day(
    accelerated: bool, daily: float, begun_h: list[float], expected: list[str]
) -> None:
    limits = loosened(sessions_per_day=daily)
    found = person_breaches(
        protocol(),
        limits,
        subject="01",
        history=had(*map(past, begun_h)),
        now=NOW,
        accelerated=accelerated,
    )
    assert names(found) == expected


def test_brief_sessions_do_not_count_for_the_day() -> None:
    history = DoseHistory(sessions=tuple(past(float(i), counts=False) for i in range(1, 6)))
    assert history.sessions_24h == 0
    assert history.gap_s(NOW) == math.inf
    assert person(protocol(), history=history) == []
    assert waits_s(LIMITS_NOW, history, NOW) == {}


def test_what_has_passed_for_certain_goes_before_the_wall_clock() -> None:
    ended = NOW - timedelta(hours=30)
    assert person(protocol(), history=DoseHistory(last_session_end=ended)) == []
    history = DoseHistory(last_session_end=ended, since_last_session_s=6.0 * 3600.0)
    (found,) = person(protocol(), history=history)
    assert (found.limit, found.value) == ("inter_session_interval_h", 6.0)
    assert "the wall clock went forward by more than the time that has passed" in found.where
    history = DoseHistory(last_session_end=ended, since_last_session_s=math.nan)
    assert names(person(protocol(), history=history)) == ["inter_session_interval_h"]


@pytest.mark.parametrize("age_s", [math.nan, -math.inf, -1.0])
def test_an_age_that_cannot_be_never_passes_a_limit(age_s: float) -> None:
    broken = past(40.0, since_start_s=age_s, since_end_s=age_s)
    assert DoseHistory(sessions=(broken,)).sessions_24h == 1
    interval = DoseHistory(last_session_end=NOW - timedelta(hours=40), since_last_session_s=age_s)
    assert names(person(protocol(), history=interval)) == ["inter_session_interval_h"]
    of_day = DoseHistory(sessions=(past(40.0), broken, past(50.0)))
    in_force = loosened(sessions_per_day=1.0)
    found = person_breaches(
        protocol(), in_force, subject="01", history=of_day, now=NOW, accelerated=True
    )
    assert names(found) == ["sessions_per_day"]
    waits = waits_s(in_force, of_day, NOW, accelerated=True)
    assert waits["sessions_per_day"] >= 86400.0
    lost = DoseHistory(since_doubt_s=age_s)
    assert names(person(protocol(), history=lost)) == ["ledger_renewed"]


@pytest.mark.parametrize(
    ("history", "limit", "said"),
    [
        ({"open_sessions": ("02 in /data",)}, "open_session", "`tacs recover`"),
        ({"unknown_sessions": ("session 02 in /data",)}, "unknown_session", "`tacs ledger adopt`"),
        ({"conflicts": ("a parts from b",)}, "ledger_conflict", "on the other copy"),
        ({"latest_entry": NOW + timedelta(minutes=6)}, "clock_backwards", "`tacs ledger clock`"),
        ({"since_doubt_s": 86399.0}, "ledger_renewed", "wait until"),
        ({"since_doubt_s": math.nan}, "ledger_renewed", "at least 24 h since a lost entry"),
    ],
)
def test_what_no_waiting_cures(history: dict[str, object], limit: str, said: str) -> None:
    made = DoseHistory(**history)  # type: ignore[arg-type]
    found = standing_breaches("01", made, LIMITS_NOW, NOW)
    assert names(found) == names(person(protocol(), history=made)) == [limit]
    assert said in str(found[0])
    near = DoseHistory(latest_entry=NOW + timedelta(minutes=4))
    assert standing_breaches("01", near, LIMITS_NOW, NOW) == []
    assert standing_breaches("01", DoseHistory(since_doubt_s=86400.0), LIMITS_NOW, NOW) == []


def test_how_long_is_still_to_wait() -> None:
    assert waits_s(LIMITS_NOW, had(past(10.0)), NOW) == {
        "inter_session_interval_h": 3600.0 * 8.0 + 1200.0
    }
    two = loosened(sessions_per_day=2.0)
    assert waits_s(two, had(past(5.0), past(10.0)), NOW, accelerated=True) == {
        "sessions_per_day": 3600.0 * 14.0
    }
    many = had(*(past(24.0 * day) for day in range(1, 31)))
    assert waits_s(LIMITS_NOW, many, NOW) == {"sessions_per_course": 60.0 * 86400.0 + 1200.0}
    none_at_all = waits_s(loosened(sessions_per_day=0.0), DoseHistory(), NOW)
    assert none_at_all == {"sessions_per_day": math.inf}
    day = had(past(20.0, current_on_s=1500.0, rectified_charge_c={"Oz": 4.5}))
    assert waits_s(LIMITS_NOW, day, NOW, protocol=protocol()) == {
        "daily_duration_min": 3600.0 * 4.0 + 1200.0,
        "rectified_charge_day_c": 3600.0 * 4.0 + 1200.0,
    }
    assert waits_s(LIMITS_NOW, had(past(10.0, since_end_s=3600.5)), NOW) == {
        "inter_session_interval_h": 17 * 3600.0  # up to the whole second
    }


def test_without_a_subject_the_ledger_is_left_out() -> None:
    history = DoseHistory(sessions_90d=99, open_sessions=("02",))
    assert person(protocol(), subject=None, history=history) == []


@pytest.mark.parametrize("owner", ["02", None])
def test_a_peak_belongs_to_a_person(owner: str | None) -> None:
    made = protocol(individual=individual_data(subject=owner))
    found = person(made)
    assert names(found) == ["peak_subject"]
    assert found[0].allowed == "01"
    assert person(made, subject=None) == []


@pytest.mark.parametrize(
    ("measured_at", "expected"),
    [
        ("2026-02-08T12:00:01+00:00", []),
        ("2026-02-08T11:59:59+00:00", ["peak_age_d"]),
        ("2026-03-10T12:04:00+00:00", []),
        ("2026-03-10T13:03:00+01:00", []),
        ("2026-03-10T12:06:00+00:00", ["peak_measured_at"]),
        ("2031-01-01T00:00:00+00:00", ["peak_measured_at"]),
    ],
)
def test_a_peak_expires_and_none_comes_from_the_future(
    measured_at: str, expected: list[str]
) -> None:
    made = protocol(individual=individual_data(measured_at=measured_at))
    assert names(person(made)) == expected


def test_a_breach_never_says_that_a_number_exceeds_itself() -> None:
    breach = Breach(limit="soft_stop_s", value=0.80000001, allowed=0.8, unit="s", source="x")
    assert str(breach) == "soft_stop_s: 0.80000001 s, allowed at most 0.8 s [x]"


def test_cautions_say_what_an_operator_must_know() -> None:
    made = protocol(
        montage=montage_data(("F3", "Cz", 1.0), area_cm2=3.2), fallback_note="fixed 10 Hz, no peak"
    )
    found = cautions(made, capabilities(not_detectable=("open electrode",)))
    text = "\n".join(found)
    assert len(found) == 7
    for part in (
        "phosphenes are likely at 10.27 Hz with frontal electrodes (F3)",
        "F3: 3.1 A/m² is above the typical clinical level of 2 A/m²",
        "Cz: 3.1 A/m²",
        "not individualized: fixed 10 Hz, no peak",
        "has not been verified on hardware",
        "if this computer dies: the current ends with the play duration (at most 1.8 s)",
        "not detectable on this rig: open electrode",
    ):
        assert part in text
    assert cautions(protocol()) == []
    assert cautions(protocol(), capabilities(verified=True)) == [
        "if this computer dies: the current ends with the play duration (at most 1.8 s)"
    ]
