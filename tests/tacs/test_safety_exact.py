"""The predicates to the letter: where each limit begins, and what a breach says of itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

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
from tacs.waveform import Waveform
from tests.tacs.made import (
    capabilities,
    channel_data,
    individual_data,
    montage_data,
    protocol,
    rig,
)

DEFAULT = effective_limits()
NOW = datetime(2026, 3, 10, 12, 0, 0, 250_000, tzinfo=UTC)
TODAY = date(2026, 3, 10)
HOUR_S, DAY_S = 3600.0, 86400.0
JUST_MORE = 1.0 + 1e-9
JUST_LESS = 1.0 - 1e-9
MADE = protocol()
CHARGE_C = Waveform(MADE).rectified_charge_c("Oz")
MONITOR: Mapping[str, Any] = {
    "device": "made",
    "address": "/dev/ttyACM1",
    "inputs": [{"input": 1, "electrode": "Oz"}, {"input": 2, "electrode": "Cz"}],
    "calibration": {
        "calibrated_on": "2025-01-01",
        "expires_on": "2026-03-10",
        "load_kohm": 10.0,
        "by": "made",
    },
}


def limits(**changes: float) -> EffectiveLimits:
    """Limits with some values changed, past every rule for files."""
    return EffectiveLimits({**DEFAULT, **changes}, dict.fromkeys(LIMITS, "default"))


def told(breaches: Iterable[Breach]) -> list[tuple[str, object, object]]:
    return [(b.limit, b.value, b.allowed) for b in breaches]


def names(breaches: Iterable[Breach]) -> list[str]:
    return [breach.limit for breach in breaches]


# -- what a breach says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            ("lease_ttl_s", 1.23456, 1.0, "s", "where it was"),
            "lease_ttl_s (where it was): 1.235 s, allowed at most 1 s [made]",
        ),
        (
            ("electrode_area_cm2", 3.0, 3.14, "cm²", ""),
            "electrode_area_cm2: 3 cm², allowed at least 3.14 cm² [made]",
        ),
        (("rig", "mine", "yours", "", ""), "rig: mine, allowed yours [made]"),
        (("lease_ttl_s", 1.00001, 1.0, "s", ""), "lease_ttl_s: 1.00001 s, allowed at most 1.0 s"),
    ],
)
def test_a_breach_in_one_line(fields: tuple[Any, Any, Any, str, str], text: str) -> None:
    limit, value, allowed, unit, where = fields
    breach = Breach(
        limit=limit, value=value, allowed=allowed, unit=unit, source="made", where=where
    )
    assert str(breach).removesuffix(" [made]") == text.removesuffix(" [made]")


def test_numbers_stay_numbers_in_json_and_others_become_text() -> None:
    def value(number: float | str) -> object:
        breach = Breach(limit="x", value=number, allowed=number, unit="", source="made")
        return breach.to_dict()["value"], breach.to_dict()["allowed"]

    assert value(1.5) == (1.5, 1.5)
    assert value("none") == ("none", "none")
    assert value(math.inf) == ("inf", "inf")
    assert value(math.nan) == ("nan", "nan")


@pytest.mark.parametrize(
    ("limit", "value", "allowed", "used"),
    [
        ("lease_ttl_s", 0.5, 2.0, 0.25),
        ("lease_ttl_s", 1.0, 0.0, math.inf),
        ("lease_ttl_s", 0.0, 0.0, 0.0),
        ("electrode_area_cm2", 8.0, 2.0, 0.25),
        ("electrode_area_cm2", 0.0, 2.0, math.inf),
    ],
)
def test_the_share_of_a_limit_that_is_used(
    limit: str, value: float, allowed: float, used: float
) -> None:
    margin = Margin(limit=limit, value=value, allowed=allowed, unit="", source="", where="")
    assert margin.used == used


# -- one command --------------------------------------------------------------------------------


def test_a_command_at_every_limit_is_allowed() -> None:
    at_limit = {
        "peaks_ma": {"Oz": 1.0, "Cz": 1.0, "Pz": 1.0, "Fz": 1.0},
        "areas_cm2": dict.fromkeys(("Oz", "Cz", "Pz", "Fz"), 10.0 / 6.5),
        "slews_ma_per_s": {"Oz": 0.2 * 1.01},
        "lease_s": 1.0,
    }
    for frequency_hz in (0.5, 100.0):
        assert command_breaches(DEFAULT, frequency_hz=frequency_hz, **at_limit) == []  # type: ignore[arg-type]


def test_each_number_of_a_command_is_held_against_its_limit() -> None:
    found = command_breaches(
        DEFAULT,
        peaks_ma={"Oz": 1.5, "Cz": 3.0},
        areas_cm2={"Oz": 2.0, "Cz": 50.0},
        frequency_hz=100.1,
        slews_ma_per_s={"Oz": 0.404, "Cz": 0.1},
        lease_s=1.5,
    )
    assert [(b.limit, b.value, b.where) for b in found] == [
        ("electrode_current_peak_ma", 1.5, "Oz"),
        ("current_density_peak_a_m2", 7.5, "Oz"),
        ("electrode_current_peak_ma", 3.0, "Cz"),
        ("total_injected_current_peak_ma", 2.25, "montage"),
        ("frequency_highest_hz", 100.1, "frequency"),
        ("envelope_slew_ma_per_s", pytest.approx(0.4), "Oz"),
        ("lease_ttl_s", 1.5, "lease"),
    ]
    for breach in found:
        limit = LIMITS[breach.limit]
        assert (breach.allowed, breach.unit) == (limit.default, limit.unit)
        assert breach.source == limit.source
    assert told(command_breaches(DEFAULT, frequency_hz=0.4)) == [("frequency_lowest_hz", 0.4, 0.5)]


def test_a_current_over_an_area_that_nobody_stated_is_refused() -> None:
    found = command_breaches(DEFAULT, peaks_ma={"Oz": 1.5})
    assert names(found) == ["electrode_current_peak_ma", "current_density_peak_a_m2"]
    assert math.isnan(float(found[1].value))
    found = command_breaches(DEFAULT, peaks_ma={"Oz": 0.5, "Cz": 0.5}, areas_cm2={"Oz": 25.0})
    assert [(b.limit, b.where) for b in found] == [("current_density_peak_a_m2", "Cz")]
    assert command_breaches(DEFAULT, areas_cm2={"Oz": 25.0}) == []


def test_a_breach_names_the_file_that_set_the_limit() -> None:
    tighter = EffectiveLimits(
        {**DEFAULT, "lease_ttl_s": 0.5}, {**DEFAULT.set_by, "lease_ttl_s": "site file made.toml"}
    )
    (found,) = command_breaches(tighter, lease_s=1.0)
    assert found.source == f"site file made.toml; {LIMITS['lease_ttl_s'].source}"


# -- a protocol by itself -----------------------------------------------------------------------


def test_every_margin_of_a_protocol_in_order() -> None:
    found = margins(protocol(ramp_up_s=40.0), DEFAULT)
    charge_c = Waveform(protocol(ramp_up_s=40.0)).rectified_charge_c("Oz")
    assert [(m.limit, m.where, m.value) for m in found] == [
        ("electrode_current_peak_ma", "Oz", 1.0),
        ("current_density_peak_a_m2", "Oz", 0.4),
        ("electrode_current_peak_ma", "Cz", 1.0),
        ("current_density_peak_a_m2", "Cz", 0.4),
        ("total_injected_current_peak_ma", "montage", 1.0),
        ("electrode_area_cm2", "Oz", 25.0),
        ("electrode_area_cm2", "Cz", 25.0),
        ("frequency_lowest_hz", "frequency", 10.27),
        ("frequency_highest_hz", "frequency", 10.27),
        ("ramp_up_shortest_s", "ramp_up_s", 40.0),
        ("ramp_up_longest_s", "ramp_up_s", 40.0),
        ("ramp_down_shortest_s", "ramp_down_s", 15.0),
        ("envelope_slew_ma_per_s", "Oz", 0.025),
        ("envelope_slew_ma_per_s", "Cz", 0.025),
        ("session_duration_min", "duration_s", 20.0),
        ("rectified_charge_session_c", "Oz", charge_c),
        ("rectified_charge_session_c", "Cz", charge_c),
    ]
    for margin in found:
        limit = LIMITS[margin.limit]
        assert (margin.allowed, margin.unit, margin.source) == (
            limit.default,
            limit.unit,
            limit.source,
        )
        assert margin.ok


def test_what_a_protocol_breaks_is_told_whole() -> None:
    found = protocol_breaches(protocol(duration_s=1201.0), DEFAULT)
    assert found == [
        Breach(
            limit="session_duration_min",
            value=1201.0 / 60.0,
            allowed=20.0,
            unit="min",
            source=LIMITS["session_duration_min"].source,
            where="duration_s",
        )
    ]


# -- a person -----------------------------------------------------------------------------------


def person(
    made: Protocol = MADE, in_force: EffectiveLimits = DEFAULT, **changes: Any
) -> list[Breach]:
    options = {"subject": "01", "history": DoseHistory(), "now": NOW, **changes}
    return person_breaches(made, in_force, **options)


def past(begun_h: float, **changes: Any) -> PastSession:
    """A session of twenty minutes that began so many hours ago."""
    started = NOW - timedelta(hours=begun_h)
    fields: dict[str, Any] = {
        "session": "01",
        "dataset": "/data",
        "started": started,
        "ended": started + timedelta(minutes=20),
        "since_start_s": HOUR_S * begun_h,
        "since_end_s": HOUR_S * begun_h - 1200.0,
        "current_on_s": 1200.0,
        "rectified_charge_c": {"Oz": 0.5},
        "outcome": "done",
        "counts": True,
        **changes,
    }
    return PastSession(**fields)


def had(*sessions: PastSession) -> DoseHistory:
    return DoseHistory(
        last_session_end=max(s.ended for s in sessions),
        since_last_session_s=min(s.since_end_s for s in sessions),
        sessions=sessions,
    )


def owned(measured_at: datetime, subject: str | None = "01") -> Protocol:
    data = individual_data(measured_at=measured_at.isoformat(), subject=subject)
    return protocol(individual=data)


def test_a_peak_may_be_thirty_days_old() -> None:
    assert person(owned(NOW - timedelta(days=30))) == []
    (found,) = person(owned(NOW - timedelta(days=30, seconds=1)))
    assert (found.limit, found.where) == ("peak_age_d", "individual.measured_at")
    assert found.value == pytest.approx(30.0 + 1.0 / DAY_S, abs=1e-9)


def test_two_clocks_may_differ_by_five_minutes() -> None:
    assert person(owned(NOW + timedelta(minutes=5))) == []
    made = owned(NOW + timedelta(minutes=5, seconds=1))
    (found,) = person(made)
    assert found == Breach(
        limit="peak_measured_at",
        value=(NOW + timedelta(minutes=5, seconds=1)).isoformat(),
        allowed="not after 2026-03-10T12:00:00+00:00",
        unit="",
        source="a peak from the future would never expire",
        where="individual.measured_at; set the clocks right",
    )


def test_a_peak_belongs_to_a_person_and_the_cure_is_named() -> None:
    for owner, value in (("02", "02"), (None, "a person not named in the peak")):
        (found,) = person(owned(NOW, owner))
        assert told([found]) == [("peak_subject", value, "01")]
        assert (found.unit, found.source) == ("", "a peak belongs to a person")
        assert "tacs peak --subject" in found.where
    assert person(owned(NOW)) == []
    assert person(owned(NOW, "02"), subject=None) == []
    assert names(person(owned(NOW - timedelta(days=40), "02"))) == ["peak_subject", "peak_age_d"]


def test_time_with_current_in_a_day() -> None:
    assert person(history=DoseHistory(current_on_24h_min=20.0)) == []
    (found,) = person(history=DoseHistory(current_on_24h_min=20.01))
    assert (found.limit, found.where) == ("daily_duration_min", "subject 01")
    assert found.value == pytest.approx(40.01)


def test_charge_of_each_electrode_in_a_day() -> None:
    before = DoseHistory(rectified_charge_24h_c={"Oz": 0.5})
    enough = limits(rectified_charge_day_c=CHARGE_C + 0.5)
    assert person(in_force=enough, history=before) == []
    found = person(in_force=limits(rectified_charge_day_c=CHARGE_C), history=before)
    assert [(b.limit, b.value, b.where) for b in found] == [
        ("rectified_charge_day_c", CHARGE_C + 0.5, "subject 01, Oz")
    ]
    assert person(in_force=limits(rectified_charge_day_c=CHARGE_C)) == []
    found = person(in_force=limits(rectified_charge_day_c=CHARGE_C * JUST_LESS))
    assert [b.where for b in found] == ["subject 01, Oz", "subject 01, Cz"]


def test_sessions_of_a_course() -> None:
    assert person(history=DoseHistory(sessions_90d=29)) == []
    (found,) = person(history=DoseHistory(sessions_90d=30))
    assert (found.limit, found.value, found.where) == ("sessions_per_course", 31.0, "subject 01")


def test_time_between_two_sessions() -> None:
    for accelerated, limit, hours in (
        (False, "inter_session_interval_h", 18.0),
        (True, "accelerated_interval_h", 4.0),
    ):
        two = limits(sessions_per_day=2.0)
        enough = had(past(hours, since_end_s=hours * HOUR_S))
        assert person(in_force=two, history=enough, accelerated=accelerated) == []
        early = had(past(hours, since_end_s=hours * HOUR_S - 1.0))
        (found,) = person(in_force=two, history=early, accelerated=accelerated)
        assert told([found]) == [(limit, hours - 1.0 / HOUR_S, hours)]
    assert names(person(history=had(past(17.0)))) == ["inter_session_interval_h"]  # no flag is none


def test_the_last_session_is_named_and_a_clock_that_went_forward() -> None:
    ended = NOW - timedelta(hours=10)
    where = "subject 01, last session ended 2026-03-10 02:00 UTC"
    for since_s, more in (
        (10.0 * HOUR_S - 300.0, ""),
        (
            10.0 * HOUR_S - 301.0,
            "; the wall clock went forward by more than the time that has passed since",
        ),
        (10.0 * HOUR_S + 9999.0, ""),
    ):
        history = DoseHistory(last_session_end=ended, since_last_session_s=since_s)
        (found,) = person(history=history)
        assert found.where == where + more
        assert found.value == since_s / HOUR_S


SITE_CURE = "two a day need sessions_per_day = 2 in the site file"


@pytest.mark.parametrize(
    ("accelerated", "daily", "begun_h", "expected"),
    [
        (False, 1.0, [20.0], None),
        (False, 2.0, [20.0], None),
        (False, 2.0, [19.0, 23.5], (3.0, 1.0, False)),
        (False, 1.0, [19.0, 23.5], (3.0, 1.0, False)),
        (False, 0.0, [], (1.0, 0.0, False)),
        (False, 0.5, [], (1.0, 0.5, False)),
        (True, 1.0, [20.0], (2.0, 1.0, True)),
        (True, 2.0, [20.0], None),
        (True, 2.0, [19.0, 23.5], (3.0, 2.0, False)),
    ],
)
def test_how_many_sessions_a_day(
    accelerated: bool,
    daily: float,
    begun_h: list[float],
    expected: tuple[float, float, bool] | None,
) -> None:
    history = had(*map(past, begun_h)) if begun_h else DoseHistory()
    found = person(
        in_force=limits(sessions_per_day=daily), history=history, accelerated=accelerated
    )
    if expected is None:
        assert found == []
        return
    value, allowed, cured_by_site = expected
    assert told(found) == [("sessions_per_day", value, allowed)]
    assert f"subject 01, {len(begun_h)} began in the last 24 h" in found[0].where
    assert (SITE_CURE in found[0].where) is cured_by_site


def test_everything_that_speaks_against_a_person_is_listed() -> None:
    history = DoseHistory(
        last_session_end=NOW - timedelta(hours=1),
        current_on_24h_min=30.0,
        open_sessions=("02 in /data",),
        sessions_90d=40,
    )
    assert names(person(owned(NOW, "02"), history=history)) == [
        "peak_subject",
        "open_session",
        "daily_duration_min",
        "inter_session_interval_h",
        "sessions_per_course",
    ]


def test_what_no_waiting_cures_is_told_with_its_cure() -> None:
    history = DoseHistory(
        open_sessions=("02 in /data",),
        unknown_sessions=("03 in /data",),
        conflicts=("a parts from b",),
        latest_entry=NOW + timedelta(minutes=5, seconds=1),
    )
    found = standing_breaches("01", history, DEFAULT, NOW)
    assert told(found) == [
        ("open_session", "02 in /data", "none"),
        ("unknown_session", "03 in /data", "none"),
        ("ledger_conflict", "a parts from b", "none"),
        (
            "clock_backwards",
            "2026-03-10T12:00:00+00:00",
            "not before the ledger's latest entry, 2026-03-10T12:05:01+00:00",
        ),
    ]
    cures = ("tacs recover", "tacs ledger adopt", "tacs ledger adopt", "tacs ledger clock")
    for breach, cure in zip(found, cures, strict=True):
        assert breach.where.startswith("subject 01; ")
        assert cure in breach.where
        assert breach.unit == ""
        assert breach.source


@pytest.mark.parametrize("ahead_min", [5.0, 0.0, -9999.0])
def test_a_ledger_may_be_ahead_by_five_minutes(ahead_min: float) -> None:
    history = DoseHistory(latest_entry=NOW + timedelta(minutes=ahead_min))
    assert standing_breaches("01", history, DEFAULT, NOW) == []


@pytest.mark.parametrize(
    ("since_h", "accelerated", "interval_h", "needed_h"),
    [
        (24.0, False, 18.0, None),
        (23.5, False, 18.0, 24),
        (math.nan, False, 18.0, 24),
        (30.0, False, 36.0, 36),
        (30.0, True, 36.0, None),
        (23.5, True, 36.0, 24),
    ],
)
def test_a_lost_entry_of_the_ledger_keeps_everybody_for_a_day_or_the_interval(
    since_h: float, accelerated: bool, interval_h: float, needed_h: int | None
) -> None:
    history = DoseHistory(since_doubt_s=since_h * HOUR_S)
    in_force = limits(inter_session_interval_h=interval_h, accelerated_interval_h=4.0)
    found = standing_breaches("01", history, in_force, NOW, accelerated=accelerated)
    whole = person_breaches(
        MADE, in_force, subject="01", history=history, now=NOW, accelerated=accelerated
    )
    assert [b for b in whole if b.limit == "ledger_renewed"] == found
    if needed_h is None:
        assert found == []
        return
    left_h = needed_h - (0.0 if math.isnan(since_h) else since_h)
    # The minute that is told has passed when the wait is over, and not one more.
    until = NOW + timedelta(hours=left_h, seconds=59.0)
    assert told(found) == [
        (
            "ledger_renewed",
            f"{since_h:.1f} h",
            f"at least {needed_h} h since a lost entry of the ledger may have been made",
        )
    ]
    assert found[0].where == f"subject 01; wait until {until:%Y-%m-%d %H:%M} UTC"


def test_how_long_a_doubt_is_old_is_told_to_the_tenth_of_an_hour() -> None:
    history = DoseHistory(since_doubt_s=23.651 * HOUR_S)
    found = standing_breaches("01", history, limits(inter_session_interval_h=18.0), NOW)
    assert told(found)[0][1] == "23.7 h"


def test_a_doubt_of_unknown_age_is_as_young_as_can_be() -> None:
    # The minute that is told begins with this very second.
    whole = NOW.replace(second=0, microsecond=0) + timedelta(seconds=1)
    found = standing_breaches(
        "01", DoseHistory(since_doubt_s=math.nan), limits(inter_session_interval_h=18.0), whole
    )
    until = whole + timedelta(hours=24.0, seconds=59.0)
    assert found[0].where == f"subject 01; wait until {until:%Y-%m-%d %H:%M} UTC"


def test_by_default_nobody_is_on_an_accelerated_course() -> None:
    history = DoseHistory(since_doubt_s=30.0 * HOUR_S)
    in_force = limits(inter_session_interval_h=36.0, accelerated_interval_h=4.0)
    assert names(standing_breaches("01", history, in_force, NOW)) == ["ledger_renewed"]


# -- how long to wait ---------------------------------------------------------------------------


def waits(
    history: DoseHistory, in_force: EffectiveLimits = DEFAULT, **options: Any
) -> dict[str, float]:
    return waits_s(in_force, history, NOW, **options)


@pytest.mark.parametrize(
    ("since_end_s", "expected"),
    [
        (18.0 * HOUR_S, {}),
        (18.0 * HOUR_S - 0.5, {"inter_session_interval_h": 1.0}),
        (17.0 * HOUR_S + 0.5, {"inter_session_interval_h": HOUR_S}),
        (17.0 * HOUR_S, {"inter_session_interval_h": HOUR_S}),
        (math.nan, {"inter_session_interval_h": math.inf}),
    ],
)
def test_the_wait_ends_with_the_interval(since_end_s: float, expected: dict[str, float]) -> None:
    assert waits(had(past(20.0, since_end_s=since_end_s))) == expected


def test_with_nothing_had_there_is_nothing_to_wait_for() -> None:
    assert waits(DoseHistory()) == {}
    assert waits(DoseHistory(), protocol=MADE) == {}


@pytest.mark.parametrize(
    ("accelerated", "daily", "begun_h", "wait_h"),
    [
        (False, 1.0, [20.0], None),
        (False, 1.0, [20.0, 23.5], 0.5),
        (False, 2.0, [20.0, 23.5], 0.5),
        (False, 2.0, [20.0, 22.0, 23.5], 2.0),
        (False, 0.0, [], math.inf),
        (False, math.nan, [], math.inf),
        (True, 1.0, [20.0], 4.0),
        (True, 1.0, [24.0], None),
        (True, 2.0, [20.0], None),
        (True, 2.0, [5.0, 10.0], 14.0),
        (True, 2.0, [5.0, 10.0, 30.0], 14.0),
        (True, 0.5, [], math.inf),
    ],
)
def test_the_wait_for_a_place_in_the_day(
    accelerated: bool, daily: float, begun_h: list[float], wait_h: float | None
) -> None:
    history = had(*map(past, begun_h)) if begun_h else DoseHistory()
    found = waits(history, limits(sessions_per_day=daily), accelerated=accelerated)
    assert found == ({} if wait_h is None else {"sessions_per_day": wait_h * HOUR_S})


def test_no_waiting_is_known_to_help_where_an_age_is_no_number() -> None:
    history = had(past(20.0), past(30.0, since_start_s=math.nan))
    assert waits(history, limits(sessions_per_day=1.0), accelerated=True) == {
        "sessions_per_day": math.inf
    }


def test_brief_sessions_take_no_place() -> None:
    history = had(past(20.0), past(23.0, counts=False), past(23.5, counts=False))
    assert waits(history) == {}


def test_the_wait_for_a_place_in_the_course() -> None:
    days = [past(24.0 * day) for day in range(1, 31)]
    assert waits(had(*days[:29])) == {}
    assert waits(had(*days)) == {"sessions_per_course": 60.0 * DAY_S + 1200.0}


def test_the_wait_for_time_with_current() -> None:
    full = past(20.0, current_on_s=1200.0)
    assert waits(had(full), protocol=MADE) == {}
    more = past(20.0, current_on_s=1203.0, counts=False)
    wait_s = 4.0 * HOUR_S + 1200.0
    assert waits(had(more), protocol=MADE) == {"daily_duration_min": wait_s}
    assert waits(had(more)) == {}


def test_the_wait_for_charge_is_that_of_the_worst_electrode() -> None:
    in_force = limits(rectified_charge_day_c=CHARGE_C + 0.5)
    room_c = in_force["rectified_charge_day_c"] - CHARGE_C
    wait_s = 4.0 * HOUR_S + 1200.0
    for charges_c, expected in (
        ({"Oz": room_c}, {}),
        ({"Oz": room_c * JUST_MORE}, {"rectified_charge_day_c": wait_s}),
        ({"Cz": room_c * JUST_MORE}, {"rectified_charge_day_c": wait_s}),
    ):
        history = had(past(20.0, rectified_charge_c=charges_c))
        assert waits(history, in_force, protocol=MADE) == expected
    none_left = limits(rectified_charge_day_c=CHARGE_C * JUST_LESS)
    assert waits(DoseHistory(), none_left, protocol=MADE) == {"rectified_charge_day_c": math.inf}


# -- a device and its rig -----------------------------------------------------------------------


def device(made: Protocol = MADE, **changes: Any) -> list[Breach]:
    own = {"rig", "today", "emulated"}
    fields = {key: value for key, value in changes.items() if key not in own}
    return device_breaches(
        made,
        capabilities(**fields),
        changes.get("rig", rig(channel_data(1, "Oz", "Cz"))),
        DEFAULT,
        today=changes.get("today", TODAY),
        emulated=changes.get("emulated", False),
    )


def wired(**changes: Any) -> Any:
    return rig(channel_data(1, "Oz", "Cz", **changes))


def test_a_device_and_a_rig_may_be_at_their_limits() -> None:
    assert device(frequency_min_hz=10.27, frequency_max_hz=10.27) == []
    assert device(play_duration_max_s=1200.0, soft_stop_s=0.8, emergency_stop_s=0.1) == []
    assert device(amplitude_max_v=0.5, n_channels=1) == []
    assert device(rig=wired(current_max_ma=1.0, input_max_v=0.5, compliance_v=25.0)) == []
    assert device(today=date(2027, 1, 1)) == []
    assert device(rig=rig(channel_data(1, "Oz", "Cz"), monitor=MONITOR)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"frequency_min_hz": 10.28}, ("device_frequency_min_hz", 10.27, 10.28, "Hz")),
        ({"frequency_max_hz": 10.26}, ("device_frequency_max_hz", 10.27, 10.26, "Hz")),
        ({"play_duration_max_s": 1199.0}, ("device_duration_s", 1200.0, 1199.0, "s")),
        ({"soft_stop_s": 0.81}, ("soft_stop_s", 0.81, 0.8, "s")),
        ({"emergency_stop_s": 0.11}, ("emergency_stop_s", 0.11, 0.1, "s")),
        (
            {"frequency_step_hz": 0.5},
            ("frequency_error_hz", pytest.approx(0.23), 0.05, "Hz"),
        ),
        (
            {"host_loss_worst_case_s": math.inf},
            ("host_loss", "current that would not end", "current that ends by itself", "s"),
        ),
        ({"rig": None}, ("rig", "no rig file", "a rig file", "")),
        (
            {"rig": rig(channel_data(1, "Oz", "Cz"), device="another")},
            ("rig", "another", "made", ""),
        ),
        (
            {"rig": rig(channel_data(1, "Oz", "Cz"), emulated=True)},
            ("rig", "emulated", "a calibrated rig", ""),
        ),
        ({"amplitude_max_v": 0.49}, ("device_amplitude_v", 0.5, 0.49, "V")),
        ({"rig": wired(current_max_ma=0.9)}, ("rig_current_max_ma", 1.0, 0.9, "mA")),
        ({"rig": wired(input_max_v=0.4)}, ("rig_input_max_v", 0.5, 0.4, "V")),
        ({"rig": wired(compliance_v=20.0)}, ("compliance_use", 1.0, 0.8, "of V max")),
        (
            {"today": date(2027, 1, 2)},
            ("calibration_expiry", "2027-01-02", "2027-01-01", ""),
        ),
        (
            {"rig": rig(channel_data(1, "Oz", "Cz"), monitor=MONITOR), "today": date(2026, 3, 11)},
            ("calibration_expiry", "2026-03-11", "2026-03-10", ""),
        ),
    ],
)
def test_what_a_device_or_a_rig_cannot_do(
    changes: dict[str, Any], expected: tuple[object, ...]
) -> None:
    (found,) = device(**changes)
    assert (found.limit, found.value, found.allowed, found.unit) == expected


def test_a_device_says_who_declared_what_it_cannot_do() -> None:
    (found,) = device(frequency_max_hz=9.0)
    assert (found.source, found.where) == ("declared by the driver made", "made")


def test_a_rig_says_which_loop_and_which_channel() -> None:
    (found,) = device(rig=wired(current_max_ma=0.9))
    assert (found.source, found.where) == ("rig made", "Oz-Cz")
    (found,) = device(today=date(2027, 1, 2))
    assert (found.source, found.where) == ("rig made", "channel 1; calibrate the gain again")
    (found,) = device(
        rig=rig(channel_data(1, "Oz", "Cz"), monitor=MONITOR), today=date(2026, 3, 11)
    )
    assert found.source == "rig made"
    assert "have the current monitor calibrated again" in found.where
    (found,) = device(rig=wired(compliance_v=20.0))
    assert found.where == "Oz-Cz"


def test_a_channel_that_the_device_does_not_have_is_refused() -> None:
    assert device(rig=rig(channel_data(4, "Oz", "Cz"))) == []
    found = device(rig=rig(channel_data(5, "Oz", "Cz")))
    assert told(found) == [("channel", 5.0, 4.0)]


def test_a_loop_without_a_channel_is_refused() -> None:
    found = device(rig=rig(channel_data(1, "Pz", "Cz")))
    assert names(found) == ["wiring"]
    assert "Oz-Cz" in str(found[0].value)


def test_a_rig_is_refused_with_all_its_reasons_and_a_missing_one_too() -> None:
    assert names(device(rig=None, soft_stop_s=0.9)) == ["rig", "soft_stop_s"]
    assert names(device(rig=None, output="current", soft_stop_s=0.9)) == ["rig", "soft_stop_s"]
    found = device(rig=wired(current_max_ma=0.9, compliance_v=20.0), soft_stop_s=0.9)
    assert names(found) == ["rig_current_max_ma", "soft_stop_s", "compliance_use"]


def test_an_emulated_device_takes_either_rig() -> None:
    assert device(rig=rig(channel_data(1, "Oz", "Cz"), emulated=True), emulated=True) == []
    assert device(emulated=True) == []


@pytest.mark.parametrize(("step_deg", "count"), [(None, 1), (1.0, 0)])
def test_two_phases_need_a_phase_setting(step_deg: float | None, count: int) -> None:
    made = protocol(montage=montage_data(("F3", "Cz", 0.5), ("F4", "Cz", 0.5, 180.0)))
    both = rig(channel_data(1, "F3", "Cz"), channel_data(2, "F4", "Cz"))
    found = device(made, rig=both, phase_step_deg=step_deg)
    assert [(b.limit, b.value) for b in found] == [
        ("phase_deg", "F3-Cz 0°, F4-Cz 180°"),
    ] * count
    same = protocol(montage=montage_data(("F3", "Cz", 0.5), ("F4", "Cz", 0.5)))
    assert device(same, rig=both, phase_step_deg=step_deg) == []


# -- cautions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frequency_hz", "site", "waveform", "count"),
    [
        (8.0, "F3", "tacs", 1),
        (40.0, "F3", "tacs", 1),
        (16.0, "AF3", "tacs", 1),
        (16.0, "Fp1", "tacs", 1),
        (7.99, "F3", "tacs", 0),
        (40.01, "F3", "tacs", 0),
        (16.0, "P3", "tacs", 0),
        (16.0, "F3", "passive_sham", 0),
    ],
)
def test_where_phosphenes_are_likely(
    frequency_hz: float, site: str, waveform: str, count: int
) -> None:
    made = protocol(
        frequency_hz=frequency_hz, waveform=waveform, montage=montage_data((site, "Cz", 0.5))
    )
    found = cautions(made)
    assert len(found) == count
    assert all("phosphenes are likely" in text and site in text for text in found)


@pytest.mark.parametrize(
    ("frequency_hz", "steps_hz", "within_hz", "told"),
    [
        (6.0, (5.0, 16.0, 40.0, 50.0, 16.0), None, "16, 40"),
        (10.0, (6.0, 8.0), None, "8, 10"),
        (6.0, (5.0, 41.0), None, None),
        (7.5, (), 0.5, "8"),
        (7.5, (), 0.4, None),
        (41.0, (), 1.0, "40"),
        (42.0, (), 1.5, None),
        (30.0, (), 2.0, "30"),
        (40.0, (), 0.5, "40"),
    ],
)
def test_phosphenes_are_told_of_every_frequency_that_may_be_played(
    frequency_hz: float, steps_hz: tuple[float, ...], within_hz: float | None, told: str | None
) -> None:
    changes: dict[str, Any] = {}
    if steps_hz:
        steps = [{"frequency_hz": hz} for hz in steps_hz]
        changes["trains"] = {
            "on_s": 2.0, "off_s": 1.5, "edge_s": 0.5, "settle_s": 10.0, "steps": steps,
        }  # fmt: skip
    if within_hz is not None:
        changes["retune"] = {"within_hz": within_hz}
    made = protocol(frequency_hz=frequency_hz, montage=montage_data(("F3", "Cz", 0.5)), **changes)
    found = [text for text in cautions(made) if "phosphenes" in text]
    assert len(found) == (told is not None)
    assert all(f"likely at {told} Hz with frontal electrodes (F3)" in text for text in found)


def test_above_the_typical_density_is_told() -> None:
    def dense(area_cm2: float) -> list[str]:
        return cautions(protocol(montage=montage_data(("Oz", "Cz", 0.8), area_cm2=area_cm2)))

    assert dense(4.0) == []
    found = dense(3.2)
    assert [text.partition(" is above")[0] for text in found] == ["Oz: 2.5 A/m²", "Cz: 2.5 A/m²"]


def test_a_frequency_that_is_not_the_persons_own_is_told() -> None:
    assert cautions(protocol(fallback_note="fixed 10 Hz")) == ["not individualized: fixed 10 Hz"]


def test_what_a_driver_must_confess() -> None:
    dies = "if this computer dies: the current ends with the play duration (at most 1.8 s)"
    assert cautions(MADE, capabilities(verified=True)) == [dies]
    assert cautions(MADE, capabilities(verified=False)) == [
        "the driver made has not been verified on hardware",
        dies,
    ]


def test_what_cannot_be_seen_depends_on_the_monitor() -> None:
    blind = capabilities(
        verified=True, not_detectable=("a", "b"), not_detectable_monitored=("swapped leads",)
    )
    monitored = rig(channel_data(1, "Oz", "Cz"), monitor=MONITOR)
    for with_rig, missed in (
        (None, "a; b"),
        (wired(), "a; b"),
        (monitored, "swapped leads"),
    ):
        found = cautions(MADE, blind, with_rig)
        assert found[-1] == f"not detectable on this rig: {missed}"
        assert len(found) == 2


# -- waveforms, electrodes, and what a person must be told ----------------------------------------

MODULATED = protocol(waveform="am_tacs", carrier_hz=80.0)
BOTH = ("tacs", "am_tacs")


def test_a_carrier_is_held_to_the_highest_frequency() -> None:
    at = protocol(waveform="am_tacs", carrier_hz=100.0)
    assert protocol_breaches(at, DEFAULT) == []
    above = protocol(waveform="am_tacs", carrier_hz=100.1)
    (found,) = protocol_breaches(above, DEFAULT)
    assert (found.limit, found.value, found.where) == ("frequency_highest_hz", 100.1, "carrier")


def test_a_waveform_that_cannot_be_played_is_told_with_those_that_can() -> None:
    found = device(MODULATED)
    assert told(found) == [("device_waveform", "am_tacs", "tacs")]
    assert found[0].where == "made cannot play it"
    assert told(device(waveforms=("am_tacs", "other"))) == [
        ("device_waveform", "tacs", "am_tacs, other")
    ]


def test_a_carrier_must_be_within_the_device_too() -> None:
    assert device(MODULATED, waveforms=BOTH, frequency_max_hz=80.0) == []
    found = device(MODULATED, waveforms=BOTH, frequency_max_hz=79.0)
    assert told(found) == [("device_frequency_max_hz", 80.0, 79.0)]


def test_a_missing_rig_is_asked_for_by_what_the_device_is() -> None:
    for output, what in (("voltage", "a voltage source"), ("current", "a current source")):
        (found,) = device(rig=None, output=output)
        assert told([found]) == [("rig", "no rig file", "a rig file")]
        assert found.where == f"made is {what}; what is wired to it?"


def test_loops_and_electrodes_are_wired_in_other_tables() -> None:
    (found,) = device(wiring="electrodes")
    assert told([found]) == [("wiring", "loops", "electrodes")]
    assert found.where == "rig 'made': made needs [[outputs]], one per electrode"
    cap = rig(
        channels=[],
        outputs=[
            {
                "channel": number,
                "electrode": name,
                "current_max_ma": 2.0,
                "compliance_v": 30.0,
                "calibration": {
                    "calibrated_on": "2026-01-01",
                    "expires_on": "2027-01-01",
                    "load_kohm": 10.0,
                    "by": "made",
                },
            }
            for number, name in ((1, "Oz"), (2, "Cz"))
        ],
    )
    own = {"wiring": "electrodes", "output": "current", "phase_step_deg": 1.0}
    assert device(rig=cap, **own) == []
    found = device(rig=cap, output="current", phase_step_deg=1.0)[0]
    assert told([found]) == [("wiring", "electrodes", "loops")]
    assert found.where == "rig 'made': made needs [[channels]], one per loop"


def test_what_a_monitor_measures_is_judged_as_a_sine() -> None:
    monitored = rig(channel_data(1, "Oz", "Cz"), monitor=MONITOR)
    found = device(MODULATED, waveforms=BOTH, rig=monitored)
    assert told(found) == [("monitor", "am_tacs", "tacs")]
    assert found[0].where == "what the rig's monitor measures is judged as a sine"
    assert device(MODULATED, waveforms=BOTH) == []


@pytest.mark.parametrize("missing", ["gain_ma_per_v", "input_max_v"])
def test_a_voltage_source_needs_gain_and_largest_input_of_each_channel(missing: str) -> None:
    loops = montage_data(("Oz", "Cz", 0.5), ("F3", "Pz", 0.5))
    both = rig(channel_data(1, "Oz", "Cz", **{missing: None}),
               channel_data(2, "F3", "Pz", current_max_ma=0.4))  # fmt: skip
    found = device(protocol(montage=loops), rig=both)
    # The other channel is looked at all the same.
    assert told(found) == [
        ("rig", "a channel without gain_ma_per_v or input_max_v", "both"),
        ("rig_current_max_ma", 0.5, 0.4),
    ]
    assert found[0].where == "rig 'made', channel 1; tacs calibrate measures the gain"


def test_what_an_operator_is_told_of_an_unusual_device() -> None:
    usual = cautions(MADE, capabilities(verified=True))
    assert usual == ["if this computer dies: the current ends with the play duration "
                     "(at most 1.8 s)"]  # fmt: skip
    by_hand = cautions(MADE, capabilities(verified=True, machine_verified=False))
    assert by_hand[1:] == [
        "made: a person sets, starts and stops the device; nothing that it does is verified by a "
        "machine"
    ]
    for soft_stop, how in ((True, "a ramp of 0.8 s"), (False, "a step to zero")):
        own = capabilities(verified=True, level_control=False, soft_stop=soft_stop)
        assert cautions(MADE, own)[1:] == [
            f"made runs the whole envelope by itself: there is no pause, and a stop is {how}"
        ]
