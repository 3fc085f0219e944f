"""The dose ledger: what counts, what blocks, what cannot be dodged."""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacs.clock import Moment, utc_now
from tacs.dataset import SessionPaths, ensure_dataset
from tacs.errors import InputError, RecordError
from tacs.ledger import Dose, Ledger, dose_at_level, site_folder
from tacs.ledger_times import least
from tacs.limits import EffectiveLimits, effective_limits
from tacs.record import RecordWriter
from tacs.safety import Breach, person_breaches
from tacs.sitelog import SiteLog
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


# -- clocks ----------------------------------------------------------------------------------------


class Computer:
    """True time, a wall clock that can be set, and restarts."""

    def __init__(self, wall: datetime = NOW - timedelta(days=3)) -> None:
        self.true_s, self.offset_s = 0.0, 0.0
        self.started_s, self.starts = 0.0, 0
        self.zero = wall

    def now(self) -> Moment:
        wall = self.zero + timedelta(seconds=self.true_s + self.offset_s)
        return Moment(wall, (f"boot-{self.starts}", self.true_s - self.started_s))

    def wait(self, hours: float) -> None:
        self.true_s += 3600.0 * hours

    def set_clock(self, hours: float) -> None:
        self.offset_s += 3600.0 * hours

    def restart(self) -> None:
        self.starts, self.started_s = self.starts + 1, self.true_s


def session(ledger: Ledger, computer: Computer, key: str, subject: str = "P01") -> None:
    """Twenty minutes."""
    ledger.reserve(
        key,
        subject=subject,
        session=key,
        dataset=Path("x"),
        protocol=PROTOCOL,
        now=computer.now(),
    )
    computer.wait(1 / 3)
    now = computer.now()
    dose = Dose(current_on_s=1200.0, rectified_charge_c={"Oz": 0.7, "Cz": 0.7}, basis="measured")
    ledger.book(key, dose=dose, outcome="done", ended=now.utc, head="0" * 64, now=now)


def refused(
    ledger: Ledger, computer: Computer, limits: EffectiveLimits | None = None, **options: bool
) -> dict[str, Breach]:
    now = computer.now()
    history = ledger.history("P01", now)
    found = person_breaches(
        PROTOCOL,
        limits or effective_limits(),
        subject="P01",
        history=history,
        now=now.utc,
        **options,
    )
    return {breach.limit: breach for breach in found}


@pytest.fixture
def after_one(tmp_path: Path) -> tuple[Ledger, Computer]:
    """A session that ended three hours ago."""
    ledger, computer = Ledger(tmp_path, emulated=False), Computer()
    session(ledger, computer, "a")
    computer.wait(3.0)
    return ledger, computer


def test_a_wall_clock_set_forward_opens_no_new_day(after_one: tuple[Ledger, Computer]):
    ledger, computer = after_one
    computer.set_clock(24.0)
    found = refused(ledger, computer)
    assert list(found) == ["inter_session_interval_h"]
    assert found["inter_session_interval_h"].value == pytest.approx(3.0)
    assert "the wall clock went forward" in found["inter_session_interval_h"].where
    history = ledger.history("P01", computer.now())
    assert history.current_on_24h_min == 20.0
    assert history.sessions_24h == 1
    computer.wait(15.0)
    assert refused(ledger, computer) == {}


def test_a_wall_clock_set_back_blocks_everybody_until_it_is_right(
    after_one: tuple[Ledger, Computer],
):
    ledger, computer = after_one
    computer.set_clock(-24.0)
    found = refused(ledger, computer)
    assert set(found) == {"clock_backwards", "inter_session_interval_h"}
    assert "set the computer's clock right" in found["clock_backwards"].where
    assert "2026-11-19T12:20:00" in str(found["clock_backwards"].allowed)
    history = ledger.history("P02", computer.now())
    assert history.latest_entry == datetime(2026, 11, 19, 12, 20, tzinfo=UTC)
    computer.wait(18.0)
    assert set(refused(ledger, computer)) == {"clock_backwards", "inter_session_interval_h"}
    computer.set_clock(24.0)
    assert refused(ledger, computer) == {}


@pytest.mark.parametrize(("minutes", "breaches"), [(4.9, []), (5.1, ["clock_backwards"])])
def test_a_few_minutes_back_are_two_clocks_that_differ(
    after_one: tuple[Ledger, Computer], minutes: float, breaches: list[str]
):
    ledger, computer = after_one
    computer.wait(24.0)
    session(ledger, computer, "b", "P02")
    computer.set_clock(-minutes / 60.0)
    assert list(refused(ledger, computer)) == breaches


def test_a_slewed_clock_shortens_nothing(after_one: tuple[Ledger, Computer]):
    ledger, computer = after_one
    computer.wait(14.999)
    computer.set_clock(18.0 * 500e-6)  # half a second in a thousand, as far as NTP slews
    assert list(refused(ledger, computer)) == ["inter_session_interval_h"]
    computer.wait(0.002)
    assert refused(ledger, computer) == {}


def test_after_a_restart_only_the_wall_clock_is_left(after_one: tuple[Ledger, Computer]):
    ledger, computer = after_one
    computer.restart()
    assert list(refused(ledger, computer)) == ["inter_session_interval_h"]
    computer.wait(15.01)
    assert refused(ledger, computer) == {}


def test_a_clock_that_was_slow_before_a_restart_is_seen_where_a_line_was_written(tmp_path: Path):
    ledger, computer = Ledger(tmp_path, emulated=False), Computer()
    computer.set_clock(-24.0)
    session(ledger, computer, "a")
    computer.set_clock(24.0)
    session(ledger, computer, "b", "P02")
    computer.restart()
    computer.wait(3.0)
    found = refused(ledger, computer)
    assert found["inter_session_interval_h"].value == pytest.approx(3.0 + 1 / 3)


def test_a_clock_that_was_fast_is_answered_by_a_person(after_one: tuple[Ledger, Computer]):
    ledger, computer = after_one
    computer.set_clock(24.0 * 365)
    session(ledger, computer, "b", "P02")
    computer.restart()
    computer.set_clock(-24.0 * 365)
    computer.wait(20.0)
    assert "clock_backwards" in refused(ledger, computer)
    for who, why in ((" ", "battery"), ("A. Person", "")):
        with pytest.raises(InputError, match="--operator and --reason"):
            ledger.confirm_clock(operator=who, reason=why, now=computer.now())
    ledger.confirm_clock(operator="A. Person", reason="flat battery", now=computer.now())
    # Of the hours between the wrong line and the right one nobody can say how many they were.
    found = refused(ledger, computer)
    assert list(found) == ["inter_session_interval_h"]
    assert found["inter_session_interval_h"].value == pytest.approx(3.0 + 1 / 3)
    now = computer.now()
    assert ledger.history("P02", now).since_last_session_s == 0.0  # for certain, no more than that
    computer.wait(18.0)
    assert refused(ledger, computer) == {}
    assert ledger.history("P02", computer.now()).since_last_session_s == 18.0 * 3600.0


def test_a_session_that_recover_closed_late_counts_from_its_end(tmp_path: Path):
    for when_given in (True, False):
        ledger, computer = Ledger(tmp_path / str(when_given), emulated=False), Computer()
        begun = computer.now()
        ledger.reserve(
            "a", subject="P01", session="a", dataset=Path("x"), protocol=PROTOCOL, now=begun
        )
        computer.wait(17.0)
        now = computer.now()
        dose = Dose(current_on_s=600.0, rectified_charge_c={}, basis="upper bound")
        ended = begun.utc + timedelta(minutes=10)
        ledger.book(
            "a",
            dose=dose,
            outcome="interrupted",
            ended=ended,
            head="",
            now=now if when_given else None,
        )
        since_s = ledger.history("P01", now).since_last_session_s
        assert since_s == pytest.approx(17.0 * 3600.0 - 600.0)


def test_a_wall_clock_set_while_a_session_runs_moves_its_end_by_less_than_the_session(
    tmp_path: Path,
):
    ledger, computer = Ledger(tmp_path, emulated=False), Computer()
    begun = computer.now()
    ledger.reserve("a", subject="P01", session="a", dataset=Path("x"), protocol=PROTOCOL, now=begun)
    computer.wait(0.1)
    last_line = computer.now().utc
    computer.set_clock(24.0)
    computer.wait(1.0)
    dose = Dose(current_on_s=360.0, rectified_charge_c={}, basis="upper bound")
    now = computer.now()
    ledger.book("a", dose=dose, outcome="interrupted", ended=last_line, head="", now=now)
    since_s = ledger.history("P01", now).since_last_session_s
    assert since_s == pytest.approx(1.1 * 3600.0 - 1200.0)  # from the latest it can have ended


def test_a_booking_without_its_moment_is_still_bound_by_its_reservation(tmp_path: Path):
    ledger, computer = Ledger(tmp_path, emulated=False), Computer()
    begun = computer.now()
    ledger.reserve("a", subject="P01", session="a", dataset=Path("x"), protocol=PROTOCOL, now=begun)
    computer.wait(1 / 3)
    dose = Dose(current_on_s=1200.0, rectified_charge_c={}, basis="measured")
    ledger.book("a", dose=dose, outcome="done", ended=computer.now().utc, head="")
    computer.wait(3.0)
    computer.set_clock(24.0)
    since_s = ledger.history("P01", computer.now()).since_last_session_s
    assert since_s == pytest.approx((3.0 + 1 / 3) * 3600.0)


def test_a_wrong_line_of_another_participant_lengthens_nothing(
    after_one: tuple[Ledger, Computer],
):
    ledger, computer = after_one
    computer.restart()
    computer.set_clock(24.0)
    session(ledger, computer, "b", "P02")
    computer.set_clock(-24.0)
    ledger.confirm_clock(operator="A. Person", reason="wrong date", now=computer.now())
    found = refused(ledger, computer)
    assert found["inter_session_interval_h"].value == pytest.approx(3.0 + 1 / 3)


def test_a_ledger_from_before_moments_were_kept_is_read(tmp_path: Path):
    log = SiteLog(tmp_path / "ledger.jsonl")
    reserved = {"current_on_s": 1200.0, "rectified_charge_c": {"Oz": 0.7}, "basis": "reserved"}
    begun = utc_now()
    entry = {"key": "a", "subject": "P01", "session": "01", "dataset": "/x", "reserved": reserved}
    ends = {"latest_end": (begun + timedelta(minutes=20)).isoformat()}
    log.append("reserve", {**entry, **ends})
    booked_ = {"key": "a", "dose": {**reserved, "basis": "measured"}, "outcome": "done"}
    log.append("book", {**booked_, "ended": begun.isoformat(), "record_head": "0"})
    history = Ledger(tmp_path, emulated=False).history("P01", Moment(begun + timedelta(hours=5)))
    assert history.since_last_session_s == pytest.approx(5 * 3600.0, abs=5.0)
    assert history.sessions[0].outcome == "done"


# -- the day ---------------------------------------------------------------------------------------

TWO_A_DAY = EffectiveLimits(
    {**effective_limits(), "sessions_per_day": 2.0, "daily_duration_min": 60.0},
    effective_limits().set_by,
)


def test_two_a_day_only_on_an_accelerated_course_four_hours_apart(
    after_one: tuple[Ledger, Computer],
):
    ledger, computer = after_one
    assert list(refused(ledger, computer, TWO_A_DAY)) == ["inter_session_interval_h"]
    found = refused(ledger, computer, TWO_A_DAY, accelerated=True)
    assert list(found) == ["accelerated_interval_h"]
    computer.wait(1.0)
    assert refused(ledger, computer, TWO_A_DAY, accelerated=True) == {}
    found = refused(ledger, computer, accelerated=True)
    assert list(found) == ["sessions_per_day"]
    assert "two a day need sessions_per_day = 2 in the site file" in found["sessions_per_day"].where
    session(ledger, computer, "b")
    computer.wait(4.0)
    found = refused(ledger, computer, TWO_A_DAY, accelerated=True)
    assert list(found) == ["sessions_per_day"]
    assert found["sessions_per_day"].value == 3.0
    computer.wait(24.0 - 8.0 - 2 / 3 - 0.01)
    assert list(refused(ledger, computer, TWO_A_DAY, accelerated=True)) == ["sessions_per_day"]
    computer.wait(0.02)  # the first began 24 h ago
    assert refused(ledger, computer, TWO_A_DAY, accelerated=True) == {}


def test_an_ordinary_session_after_an_accelerated_day_is_not_a_third(
    after_one: tuple[Ledger, Computer],
):
    ledger, computer = after_one
    computer.wait(1.0)
    session(ledger, computer, "b")
    computer.wait(18.5)  # the first began 23.2 h ago
    assert list(refused(ledger, computer, TWO_A_DAY)) == ["sessions_per_day"]
    computer.wait(1.0)
    assert refused(ledger, computer, TWO_A_DAY) == {}


def test_appointments_at_nine_and_at_half_past_eight_are_one_a_day(
    after_one: tuple[Ledger, Computer],
):
    ledger, computer = after_one
    computer.wait(20.0)
    assert ledger.history("P01", computer.now()).sessions_24h == 1
    assert refused(ledger, computer) == {}


STEPS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 3.0, 4.0, 5.0, 14.0, 18.0, 23.7, 40.0])),
    st.tuples(st.just("set"), st.sampled_from([-48.0, -24.0, -1.0, -0.05, 0.05, 1.0, 24.0, 48.0])),
    st.tuples(st.just("restart"), st.sampled_from([0.0, -1.0, -24.0])),
    st.tuples(st.sampled_from(["session", "session", "session", "other", "confirm"]), st.just(0.0)),
)


@settings(max_examples=60, deadline=None, database=None)
@given(
    steps=st.lists(STEPS, min_size=8, max_size=30),
    accelerated=st.booleans(),
    set_inside=st.sampled_from([0.0, 0.0, 24.0, -24.0]),
)
def test_whatever_happens_to_the_clock_no_true_day_holds_more_than_the_limits(
    steps: list[tuple[str, float]], accelerated: bool, set_inside: float
):
    """Except a clock set forward across a restart with no line in between, which nobody can see."""
    given_s: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        ledger, computer = Ledger(folder, emulated=False), Computer()
        line_start, line_offset_s = -1, 0.0
        for number, (step, hours) in enumerate(steps):
            n_lines = len(ledger.lines())
            if step == "wait":
                computer.wait(hours)
            elif step == "set":
                computer.set_clock(hours)
            elif step == "restart":
                computer.restart()
                computer.set_clock(hours)
            if line_start not in {-1, computer.starts}:
                computer.offset_s = min(computer.offset_s, line_offset_s)
            if step == "confirm":
                ledger.confirm_clock(operator="a", reason="b", now=computer.now())
            elif step == "other":
                session(ledger, computer, str(number), "P02")
            elif step == "session" and not refused(
                ledger, computer, TWO_A_DAY, accelerated=accelerated
            ):
                begun_s = computer.true_s
                ledger.reserve(
                    str(number),
                    subject="P01",
                    session=str(number),
                    dataset=Path("x"),
                    protocol=PROTOCOL,
                    now=computer.now(),
                )
                computer.set_clock(set_inside)
                computer.wait(1 / 3)
                now = computer.now()
                dose = Dose(current_on_s=1200.0, rectified_charge_c={"Oz": 0.75}, basis="measured")
                ledger.book(str(number), dose=dose, outcome="done", ended=now.utc, head="", now=now)
                given_s.append((begun_s, computer.true_s))
            if len(ledger.lines()) > n_lines:
                line_start, line_offset_s = computer.starts, computer.offset_s
    least_h = 4.0 if accelerated else 18.0
    for (_, ended_s), (begun_s, _) in pairwise(given_s):
        assert begun_s - ended_s >= least_h * 3600.0 - 0.01
    for _, ended_s in given_s:
        window = (ended_s - 24 * 3600.0, ended_s)
        inside_s = [
            min(end, window[1]) - max(begin, window[0])
            for begin, end in given_s
            if end > window[0] and begin < window[1]
        ]
        assert sum(inside_s) <= 60.0 * TWO_A_DAY["daily_duration_min"]
        assert sum(1 for begin, _ in given_s if window[0] + 1200.0 < begin <= window[1]) <= 2


# -- a second workstation --------------------------------------------------------------------------


def record_of(
    dataset: Path, name: str, *, started: bool = True, ended: bool = True, **first: object
) -> str:
    """A session's record in a data set, as another computer left it; its key."""
    paths = SessionPaths.of(ensure_dataset(dataset), "P01", name)
    data = {"subject": "P01", "session": name, "emulated": False, "protocol": PROTOCOL.to_data()}
    with RecordWriter(paths.record) as record:
        record.append("session", 0.0, {**data, **first}, sync=True)
        key = record.head
        if started:
            record.append("intent", 1.0, {"verb": "start"}, sync=True)
        if ended:
            outcome = "done" if started else "refused"
            record.append("end", 2.0, {"outcome": outcome}, sync=True)
    return key


def test_a_session_of_the_data_set_that_the_ledger_does_not_know_blocks(tmp_path: Path):
    ledger, dataset = Ledger(tmp_path / "site", emulated=False), tmp_path / "data"
    assert ledger.unknown_sessions(dataset, "P01") == ()
    known = record_of(dataset, "01")
    record_of(dataset, "02")
    record_of(dataset, "03", started=False)  # refused before anything was armed
    record_of(dataset, "04", emulated=True)
    ledger.reserve(
        known,
        subject="P01",
        session="01",
        dataset=dataset,
        protocol=PROTOCOL,
        now=Moment(NOW - timedelta(days=40)),
    )
    dose = Dose(current_on_s=1200.0, rectified_charge_c={}, basis="measured")
    ledger.book(known, dose=dose, outcome="done", ended=NOW - timedelta(days=40), head="")
    assert ledger.unknown_sessions(dataset, "P01") == (f"session 02 in {dataset}",)
    assert ledger.unknown_sessions(dataset, "P02") == ()
    assert Ledger(tmp_path / "site", emulated=True).unknown_sessions(dataset, "P01") == (
        f"session 04 in {dataset}",
    )
    now = Moment(utc_now() + timedelta(hours=20))
    history = ledger.history("P01", now, dataset=dataset)
    found = person_breaches(
        PROTOCOL, effective_limits(), subject="P01", history=history, now=now.utc
    )
    assert [b.limit for b in found] == ["unknown_session"]
    assert "which this site's ledger does not know" in str(found[0])
    assert "`tacs ledger adopt`" in str(found[0])


def test_an_unknown_session_is_adopted_as_if_delivered_whole(tmp_path: Path):
    ledger, dataset = Ledger(tmp_path / "site", emulated=False), tmp_path / "data"
    key = record_of(dataset, "02")
    with pytest.raises(InputError, match="--operator and --reason"):
        ledger.adopt(dataset, operator="", reason="x")
    told = ledger.adopt(dataset, operator="A. Person", reason="second laptop")
    assert told == ["session 02 of P01: 20.0 min (upper bound)"]
    assert ledger.unknown_sessions(dataset, "P01") == ()
    assert ledger.adopt(dataset, operator="A. Person", reason="again") == []
    assert not ledger.is_open(key)
    history = ledger.history("P01", utc_now())
    assert history.current_on_24h_min == pytest.approx(20.0)
    assert history.rectified_charge_24h_c == pytest.approx({"Oz": 0.74962, "Cz": 0.74962}, abs=1e-4)
    assert history.sessions[0].outcome == "adopted"
    assert history.gap_s(utc_now()) < 60.0


@pytest.mark.parametrize(
    ("first", "ended", "said"),
    [
        ({}, False, "this session has no end; run `tacs recover"),
        ({"protocol": None}, True, "its protocol cannot be read here; adopt the ledger"),
    ],
)
def test_what_cannot_be_bounded_is_not_adopted(
    tmp_path: Path, first: dict[str, object], ended: bool, said: str
):
    ledger, dataset = Ledger(tmp_path / "site", emulated=False), tmp_path / "data"
    record_of(dataset, "02", ended=ended, **first)
    with pytest.raises(InputError, match=said):
        ledger.adopt(dataset, operator="a", reason="b")
    assert ledger.lines() == []


def test_a_damaged_record_of_a_session_that_nobody_knows_blocks(tmp_path: Path):
    ledger, dataset = Ledger(tmp_path / "site", emulated=False), tmp_path / "data"
    key = record_of(dataset, "02")
    path = SessionPaths.of(dataset, "P01", "02").record
    path.write_text(path.read_text().replace('"session":"02"', '"session":"03"', 1))
    assert len(ledger.unknown_sessions(dataset, "P01")) == 1
    with pytest.raises(InputError, match="does not verify and cannot be adopted"):
        ledger.adopt(dataset, operator="a", reason="b")
    now = Moment(NOW)
    ledger.reserve(
        key, subject="P01", session="02", dataset=dataset, protocol=PROTOCOL, now=now
    )  # the ledger knows a session of that name there: it is damaged, and not unknown
    assert ledger.unknown_sessions(dataset, "P01") == ()
    with pytest.raises(InputError, match="no such data set and no such ledger"):
        ledger.adopt(tmp_path / "none", operator="a", reason="b")


def test_two_copies_that_both_went_on_are_told_and_put_together(tmp_path: Path):
    here, there = Ledger(tmp_path / "here", emulated=False), Ledger(tmp_path / "b", emulated=False)
    computer, other = Computer(), Computer()
    session(here, computer, "a")
    there.path.parent.mkdir()
    there.path.write_bytes(here.path.read_bytes())
    assert here.merge_conflicts(there.path) == []
    computer.wait(30.0)
    other.wait(26.0)
    session(here, computer, "b")
    session(there, other, "c")
    assert here.merge_conflicts(there.path) == [
        "ledger.jsonl parts from ledger.jsonl after line 2: session c of P01 is only there"
    ]
    assert here.merge_conflicts(there.path, "P02") == []
    copy = here.path.with_name("ledger.sync-conflict-20261122.jsonl")
    copy.write_bytes(there.path.read_bytes())
    computer.wait(20.0)
    found = refused(here, computer)
    assert list(found) == ["ledger_conflict"]
    assert "session c of P01 is only there" in str(found["ledger_conflict"])
    assert "`tacs ledger adopt` on the other copy" in str(found["ledger_conflict"])
    booked_now = here.adopt(copy, operator="A. Person", reason="synced", now=computer.now())
    assert booked_now == ["session c of P01: 20.0 min (measured)"]
    assert refused(here, computer) == {}
    assert [s.session for s in here.history("P01", computer.now()).sessions] == ["a", "b", "c"]
    assert here.history("P01", computer.now()).since_last_session_s == 20.0 * 3600.0


def test_a_copy_with_an_open_session_or_a_broken_chain_is_not_taken_over(tmp_path: Path):
    here, there = Ledger(tmp_path / "a", emulated=False), Ledger(tmp_path / "b", emulated=False)
    there.reserve(
        "x", subject="P01", session="x", dataset=Path("x"), protocol=PROTOCOL, now=Moment(NOW)
    )
    with pytest.raises(InputError, match="still open there; run `tacs recover`"):
        here.adopt(there.path, operator="a", reason="b")
    there.path.write_text(there.path.read_text().replace("P01", "P02"))
    with pytest.raises(RecordError, match="its hash does not match"):
        here.adopt(there.path, operator="a", reason="b")
    assert here.merge_conflicts(there.path)[0].endswith("once that is explained")


def test_the_emulated_ledger_is_no_copy_of_the_real_one(tmp_path: Path):
    booked(Ledger(tmp_path, emulated=True), "a", on_s=1200.0, ended=NOW - timedelta(days=2))
    assert Ledger(tmp_path, emulated=False).history("P01", Moment(NOW)).conflicts == ()
    assert Ledger(tmp_path, emulated=True).history("P01", Moment(NOW)).conflicts == ()
    assert Ledger(tmp_path, emulated=True).subjects() == ["P01"]


@pytest.mark.parametrize("since_s", ["nan", "-inf", "inf", -5.0])
def test_a_time_since_the_start_that_is_none_shortens_nothing(
    after_one: tuple[Ledger, Computer], since_s: str | float
):
    ledger, computer = after_one
    before_s = ledger.history("P01", computer.now()).since_last_session_s
    lines = ledger.lines()
    data = [{**line.data, "moment": {**line.data["moment"]}} for line in lines]
    for each in data:
        each["moment"]["since_boot_s"] = since_s
    ledger.path.unlink()
    for line, each in zip(lines, data, strict=True):
        SiteLog(ledger.path).append(line.kind, each)
    history = ledger.history("P01", computer.now())
    assert history.since_last_session_s == pytest.approx(before_s, abs=1.0)
    assert refused(ledger, computer).keys() == {"inter_session_interval_h"}


@pytest.mark.parametrize("amount", [-1e6, -0.001, "nan", pytest.param(10**400, id="huge")])
def test_a_dose_that_cannot_be_lowers_no_sum(tmp_path: Path, amount: float | str):
    for number, dose in enumerate(
        (
            {"current_on_s": amount, "rectified_charge_c": {"Oz": 0.1}},
            {"current_on_s": 1.0, "rectified_charge_c": {"Oz": amount}},
        )
    ):
        other = Ledger(tmp_path / str(number), emulated=False)
        booked(other, "a", on_s=1100.0, ended=NOW - timedelta(hours=20))
        lines = other.lines()
        book = next(line for line in lines if line.kind == "book")
        other.path.unlink()
        for line in lines:
            data = {**line.data, "dose": dose} if line is book else line.data
            SiteLog(other.path).append(line.kind, data)
        found = names(other)
        limit = "daily_duration_min" if dose["current_on_s"] == amount else "rectified_charge_day_c"
        assert limit in found


def test_the_least_of_ages():
    assert least([]) is None
    assert least([3.0, 1.0, 2.0]) == 1.0
    for ages in ([math.nan, 1.0], [1.0, math.nan], [math.nan]):
        assert math.isnan(least(ages) or 0.0)
