"""The dose ledger: what counts, what blocks, what cannot be dodged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tacs.errors import RecordError
from tacs.ledger import Dose, Ledger, dose_at_level, site_folder
from tacs.limits import effective_limits
from tacs.safety import person_breaches
from tests.tacs.made import protocol as made_protocol

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PROTOCOL = made_protocol()


def booked(ledger: Ledger, key: str, *, on_s: float, ended: datetime, subject: str = "P01") -> None:
    ledger.reserve(
        key, subject=subject, session=key, dataset=Path("x"), protocol=PROTOCOL, now=ended
    )
    dose = Dose(current_on_s=on_s, rectified_charge_c={"Oz": 0.5, "Cz": 0.5}, basis="measured")
    ledger.book(key, dose=dose, outcome="done", ended=ended, head="0" * 64)


def names(ledger: Ledger, subject: str = "P01", now: datetime = NOW) -> list[str]:
    history = ledger.history(subject, now)
    found = person_breaches(PROTOCOL, effective_limits(), subject=subject, history=history, now=now)
    return [breach.limit for breach in found]


def test_a_first_session_is_allowed(tmp_path: Path):
    assert names(Ledger(tmp_path, emulated=False)) == []


def test_the_interval_counts_from_the_last_session_and_another_person_is_free(tmp_path: Path):
    ledger = Ledger(tmp_path, emulated=False)
    booked(ledger, "a", on_s=1200.0, ended=NOW - timedelta(hours=17))
    assert names(ledger) == ["inter_session_interval_h"]
    assert names(ledger, "P02") == []
    assert names(ledger, now=NOW + timedelta(hours=1, seconds=1)) == []


def test_a_session_stopped_within_its_first_minute_may_be_started_again(tmp_path: Path):
    ledger = Ledger(tmp_path, emulated=False)
    booked(ledger, "a", on_s=60.0, ended=NOW - timedelta(minutes=10))
    assert names(ledger) == []
    assert ledger.history("P01", NOW).current_on_24h_min == pytest.approx(1.0)


def test_brief_sessions_still_fill_the_day(tmp_path: Path):
    ledger = Ledger(tmp_path, emulated=False)
    for i in range(21):
        booked(ledger, f"s{i}", on_s=60.0, ended=NOW - timedelta(minutes=30))
    assert set(names(ledger)) == {"daily_duration_min", "rectified_charge_day_c"}


def test_what_is_older_than_a_day_no_longer_counts_for_the_day(tmp_path: Path):
    ledger = Ledger(tmp_path, emulated=False)
    booked(ledger, "a", on_s=1200.0, ended=NOW - timedelta(hours=25))
    history = ledger.history("P01", NOW)
    assert history.current_on_24h_min == 0.0
    assert history.sessions_90d == 1


def test_a_course_is_counted_over_ninety_days(tmp_path: Path):
    ledger = Ledger(tmp_path, emulated=False)
    for day in range(1, 31):
        booked(ledger, f"s{day}", on_s=1200.0, ended=NOW - timedelta(days=day))
    assert names(ledger) == ["sessions_per_course"]


def test_an_open_session_blocks_and_counts_whole(tmp_path: Path):
    ledger = Ledger(tmp_path, emulated=False)
    ledger.reserve(
        "a",
        subject="P01",
        session="01",
        dataset=tmp_path,
        protocol=PROTOCOL,
        now=NOW - timedelta(hours=1),
    )
    history = ledger.history("P01", NOW)
    assert history.current_on_24h_min == pytest.approx(20.0)
    assert "open_session" in names(ledger)
    assert ledger.is_open("a")
    ledger.book(
        "a",
        dose=dose_at_level(PROTOCOL, 10.0, 2.0, "upper bound"),
        outcome="interrupted",
        ended=NOW,
        head="0" * 64,
    )
    assert not ledger.is_open("a")
    assert names(ledger) == []


def test_emulated_sessions_have_a_ledger_of_their_own(tmp_path: Path):
    booked(Ledger(tmp_path, emulated=True), "a", on_s=1200.0, ended=NOW)
    assert names(Ledger(tmp_path, emulated=False)) == []
    assert "inter_session_interval_h" in names(Ledger(tmp_path, emulated=True))


def test_a_changed_ledger_is_refused(tmp_path: Path):
    ledger = Ledger(tmp_path, emulated=False)
    booked(ledger, "a", on_s=1200.0, ended=NOW)
    text = ledger.path.read_text()
    ledger.path.write_text(text.replace("1200.0", "0012.0", 1))
    with pytest.raises(RecordError, match="no session can be armed"):
        ledger.history("P01", NOW)


def test_an_entry_that_a_crash_cut_off_is_as_if_it_had_not_been_made(tmp_path: Path):
    ledger = Ledger(tmp_path, emulated=False)
    booked(ledger, "a", on_s=1200.0, ended=NOW - timedelta(days=2))
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole[:-10])  # the booking is torn: its session is open again
    assert "open_session" in names(ledger)
    ledger.path.write_bytes(whole)
    ledger.path.write_bytes(whole + b'{"seq":2,"t_')  # a reservation is torn: nothing was armed
    assert names(ledger) == []
    booked(ledger, "b", on_s=1200.0, ended=NOW - timedelta(days=1))
    assert ledger.history("P01", NOW).sessions_90d == 2


def test_a_sham_is_booked_as_the_active_arm(tmp_path: Path):
    sham = made_protocol(waveform="active_sham", sham_plateau_s=10.0)
    for key, protocol in (("active", PROTOCOL), ("sham", sham)):
        ledger = Ledger(tmp_path / key, emulated=False)
        ledger.reserve(
            "k", subject="P01", session="01", dataset=Path("x"), protocol=protocol, now=NOW
        )
    active, blind = (
        Ledger(tmp_path / key, emulated=False).history("P01", NOW) for key in ("active", "sham")
    )
    assert active == blind


def test_the_site_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TACS_SITE_DIR", str(tmp_path))
    assert site_folder() == tmp_path
    monkeypatch.delenv("TACS_SITE_DIR")
    assert site_folder().name == "tacs-suite"
