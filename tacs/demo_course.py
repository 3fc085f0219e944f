"""``tacs demo --course``: a virtual patient over weeks, on the shipped schedule and a rig of wires.

Every stage is the public function of its own command, as in :mod:`tacs.demo`; only the calendar is
pretended (:func:`tacs.clock.pretended_calendar`), so that two weeks pass in two minutes. The
ratings are planted and follow from nothing in the EEG: the virtual patient has no mood.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from shlex import quote
from typing import Any

from tacs.analyses import compare_recordings, estimate_peak
from tacs.bids import import_recording
from tacs.checking import Setup, prepare
from tacs.clock import pretended_calendar, utc_now
from tacs.course import Courses, next_allowed
from tacs.dataset import SessionPaths, write_json
from tacs.decisions import FrequencyDecision, decide
from tacs.dose import read_trace
from tacs.errors import InputError, NoAnswer, RecordError, SafetyRefusal
from tacs.forms import shipped_form
from tacs.journal import Journal
from tacs.ledger import Ledger
from tacs.planning import make_plan, read_peak
from tacs.protocol import Protocol
from tacs.ratings import acknowledge, open_alerts, rate
from tacs.remeasure import remeasure
from tacs.report import write_report
from tacs.runner import run
from tacs.scales import load_scale
from tacs.schedule import load_schedule
from tacs.store import rebuild
from tacs.track import track
from tacs.track_figure import plot_track
from tacs.track_words import track_words

__all__ = ["SESSIONS_MAX", "course_start", "run_course"]

RECIPE, DEVICE, SCHEDULE = "posterior-alpha", "emulated:synthpal", "classic-20"
SUBJECT = "demo"
SESSIONS_MIN, SESSIONS_MAX = 2, 20
BAND_HZ = (7.0, 13.0)
REST_S = 120.0  # the recordings of a clinic are longer, and so are the intervals here wider
AFTER_MIN = (2.0, 20.0, 40.0)  # beginning of the recordings after the session with a fading effect
MISSED = 3  # sessions before the visit that nobody comes to
OPENS = time(9, 0)
# Planted: totals before the first session and after the last, lower is better.
PLANTED = {"phq9": (19.0, 8.0), "madrs": (31.0, 14.0)}
STAFF, RATER = {"operator": "AB", "role": "operator"}, {"operator": "CD", "role": "rater"}


class _Clinic:
    """The pretended calendar, the patient and the places of one demonstration."""

    def __init__(self, folder: Path, seed: int, sessions: int, start: date) -> None:
        self.clinic, self.dataset = folder / "clinic", folder / "dataset"
        self.site, self.seed, self.sessions = folder / "site", seed, sessions
        self.now = datetime.combine(start, OPENS, tzinfo=UTC)
        self.visit = 0
        self.setup: Setup = prepare(DEVICE, site=self.site)
        self.courses = Courses(self.site, emulated=True)
        self.rng = random.Random(seed)
        self.patient: Any = None
        self.truth: dict[str, float] = {}

    def on(self, day: date, minutes: float = 0.0) -> None:
        self.now = datetime.combine(day, OPENS, tzinfo=UTC) + timedelta(minutes=minutes)

    def later(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)

    def arrive(self) -> str:
        """A visit: the same person on another day."""
        self.visit += 1
        self.patient = entry_points(group="tacs.patients")["virtual"].load()(self.seed, self.visit)
        return f"{self.visit:02d}"

    def recorded(self, session: str, when: str, name: str) -> Path:
        """A recording as a file of the clinic; those named pre and post go into the data set."""
        import warnings

        raw = self.patient.record(REST_S)
        raw.set_meas_date(self.now)
        file = self.clinic / f"{session}-{name}.edf"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # EDF rounds to 16 bits, which MNE points out
            raw.export(file, overwrite=False, verbose="ERROR")
        self.later(REST_S / 60.0)
        if not when:
            return file
        done = import_recording(
            file, self.dataset, subject=SUBJECT, session=session, when=when, task="rest-closed"
        )
        return Path(done.path)

    def rate(self, sessions: int, session: str | None) -> None:
        """Planted ratings of somebody who has had so many sessions."""
        for name, (first, last) in PLANTED.items():
            scale = load_scale(name)
            mean = first + (last - first) * sessions / self.sessions
            total = round(mean + self.rng.uniform(-1.0, 1.0))
            # At the start the patient says yes to the item on suicidality of one scale.
            alarming = {9: 1} if name == "phq9" and sessions == 0 else {}
            answers = _answers(scale, total, alarming, self.rng)
            who = {"operator": SUBJECT, "role": "participant"} if name == "phq9" else RATER
            rate(
                self.dataset, scale, answers, subject=SUBJECT, session=session, at=self.now,
                now=self.now, rater_blinded="no", method="demonstration", **who,
            )  # fmt: skip
            self.courses.note(SUBJECT, operator="CD", rating=_noted(scale.id, total))
        found = open_alerts(self.dataset, SUBJECT)
        if found:
            self.later(5.0)
            acknowledge(
                self.dataset, found, name="Dr E", role="investigator",
                done="seen, talked to, safety plan made (demonstration)",
            )  # fmt: skip

    def ask(self, session: str, when: str, **found: int) -> None:
        """The form on unwanted effects, everything absent but what is given."""
        form = shipped_form("adverse_effects").at(when)
        answers: dict[str, Any] = {}
        for item in form.questions:
            if item.type == "choice":
                answers[item.id] = found.get(item.id, 1)
            elif item.type == "yes_no_unknown":
                answers[item.id] = "no"
        asked = {item.id for item in form.asked(answers)}
        done = form.answer({k: v for k, v in answers.items() if k in asked})
        Journal(self.dataset).append(
            "adverse_effects", {**done.to_dict(), "signed": "demonstration", "when": when},
            subject=SUBJECT, session=session, **STAFF,
        )  # fmt: skip


def course_start(sessions: int, today: date) -> date:
    """Return the latest day on which such a course may have begun and be over before today.

    Raises
    ------
    InputError
        A number of sessions that the schedule does not have.
    """
    _refuse_number(sessions)
    day, left = today, sessions + 1  # one visit is missed
    while left:
        day -= timedelta(days=1)
        left -= day.weekday() < 5
    return day


def run_course(
    folder: Path, seed: int, sessions: int, *, start: date, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run a course.

    Parameters
    ----------
    folder : Path
        Made for it; one that holds something is refused.
    seed : int
        Draws the virtual patient, the days' peaks and the ratings.
    sessions : int
        How many are given, 2 to 20.
    start : date
        First day; numbers do not depend on it, dates do.
    say : callable
        Told what is happening.

    Returns
    -------
    dict
        Truth beside estimate for every session, the planted ratings, the course as ``tacs track
        show`` gives it, and where everything lies.

    Raises
    ------
    TacsError
        Whatever a stage refuses.
    """
    _refuse_number(sessions)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; give another folder with --out")
    (folder / "clinic").mkdir(parents=True)
    clinic = _Clinic(folder, seed, sessions, start)
    with pretended_calendar(lambda: clinic.now):
        told, protocol_file = _course(clinic, folder, sessions, start, say)
        clinic.later(60.0)
        say("timeline, store, and the report of the last session")
        found = track(clinic.dataset, SUBJECT, site=clinic.site, now=clinic.now)
        figure = folder / "course.png"
        plot_track(found).savefig(figure, dpi=150)
        store = rebuild(clinic.dataset, site=clinic.site)
        last = str(told[-1]["session"])
        report = write_report(clinic.dataset, SUBJECT, last, site=clinic.site)
    look = (
        f"TACS_SITE_DIR={quote(str(clinic.site))} tacs track show {quote(str(clinic.dataset))} "
        f"--subject {SUBJECT} "
        f"--as-of {clinic.now.date()} --figure course.png"
    )
    text = [
        *_table(told),
        "(band power holds rhythm and background; the truth is the rhythm's alone. The ratings are "
        "planted: the virtual patient has no mood)",
        "",
        *track_words(found),
        "",
        f"recordings of {REST_S:.0f} s where a clinic takes 180 s or more: wider intervals",
        f"figure: {figure}",
        f"store: {store.url}",
        f"report of session {last}: {report}",
        f"again: {look}",
    ]
    return {
        "seed": seed,
        "start": start.isoformat(),
        "planted": {name: list(ends) for name, ends in PLANTED.items()},
        "recording_s": REST_S,
        "sessions": told,
        "track": found.to_dict(),
        "store": {"url": store.url, "rows": store.rows, "digest": store.digest},
        "dataset": str(clinic.dataset),
        "site": str(clinic.site),
        "protocol": str(protocol_file),
        "figure": str(figure),
        "report": str(report),
        "text": "\n".join(text),
    }


def _refuse_number(sessions: int) -> None:
    if not SESSIONS_MIN <= sessions <= SESSIONS_MAX:
        raise InputError(
            f"--course {sessions}: give {SESSIONS_MIN} to {SESSIONS_MAX} sessions; the schedule "
            f"{SCHEDULE} has {SESSIONS_MAX}"
        )


def _course(
    clinic: _Clinic, folder: Path, sessions: int, start: date, say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], Path]:
    """Walk through the days until all sessions were given."""
    clinic.on(start, -30.0)
    history = Ledger(clinic.site, emulated=True).history(SUBJECT, clinic.now)
    clinic.courses.enrol(
        SUBJECT, load_schedule(SCHEDULE), start=start, time_zone="UTC", operator="AB",
        limits=clinic.setup.limits, history=history,
    )  # fmt: skip
    say(f"course {SCHEDULE} from {start}, {sessions} of its {SESSIONS_MAX} sessions")
    protocol_file = folder / "protocol.toml"
    told: list[dict[str, Any]] = []
    day, missed = start, False
    while len(told) < sessions:
        clinic.on(day)
        coming = next_allowed(
            SUBJECT, clinic.now, site=clinic.site, emulated=True, limits=clinic.setup.limits
        )
        if coming.blocked_by:  # no day of waiting would help
            raise SafetyRefusal(coming.blocked_by)
        allowed = coming.allowed
        if allowed and not missed and len(told) == min(MISSED, sessions - 1):
            say(f"{day}: nobody comes; the session is made up for later")
            missed = True
        elif allowed:
            told.append(_visit(clinic, protocol_file, sessions, say))
        day += timedelta(days=1)
    return told, protocol_file


def _visit(
    clinic: _Clinic, protocol_file: Path, sessions: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """One visit: record, find the peak anew, decide, stimulate, record, compare, ask."""
    session = clinic.arrive()
    number, paths = clinic.visit, SessionPaths.of(clinic.dataset, SUBJECT, session)
    if number == 1:
        clinic.rate(0, None)
        clinic.later(20.0)
    before = clinic.recorded(session, "pre", "before")
    peak = estimate_peak(before, band_hz=BAND_HZ, subject=SUBJECT)
    write_json(paths.peak, peak.to_dict())
    decision = None
    if number == 1:
        made = make_plan(
            peak, RECIPE, rig=clinic.setup.rig, limits=clinic.setup.limits, subject=SUBJECT,
            now=utc_now(),
        )  # fmt: skip
        if peak.ci95_hz is None or len(peak.peaks) > 1:
            raise NoAnswer("the first recording gives no single peak; try another --seed")
        if made.breaches:
            raise SafetyRefusal(made.breaches)
        made.protocol.to_toml(protocol_file, comment="\n".join(made.reasons))
        protocol = made.protocol
    else:
        protocol = Protocol.from_toml(protocol_file)
        decision = _decide(clinic, session, protocol, paths)
    clinic.ask(session, "before")
    clinic.later(5.0)
    record = _stimulate(clinic, session, protocol)
    after = _after(clinic, session, number == min(5, sessions))
    individual = protocol.individual
    further = zip(after[1:], AFTER_MIN[1:], strict=False)
    outcome = compare_recordings(
        before, after[0], protocol_file=protocol_file, after_min=AFTER_MIN[0],
        peak_hz=None if individual is None else individual.peak_hz,
        later=[f"{file}@{minutes:g}" for file, minutes in further],
    )  # fmt: skip
    write_json(paths.outcome, outcome.to_dict())
    clinic.ask(session, "after", tingling=2, **({"headache": 2} if number == 2 else {}))
    if number == 2:
        clinic.courses.note(SUBJECT, operator="AB", adverse_event="mild")
    if number % 3 == 0 or number == sessions:
        clinic.rate(number, session)
    truth = clinic.truth
    low, high = peak.ci95_hz or (math.nan, math.nan)
    hz = "no peak" if peak.frequency_hz is None else f"{peak.frequency_hz:.2f} Hz"
    power = outcome.to_dict()["power"]
    choice = "plan" if decision is None else decision.choice
    say(
        f"{clinic.now.date()} session {session}: peak {hz} ({low:.2f} to {high:.2f}), {choice}; "
        f"{record['outcome']}; power {_percent(power)}"
    )
    return {
        "session": session,
        "day": clinic.now.date().isoformat(),
        "truth": {
            "peak_hz": truth["peak_hz"],
            "power_percent": 100.0 * math.expm1(truth["occipital_ln_ratio"]),
        },
        "peak_hz": peak.frequency_hz,
        "ci95_hz": None if peak.ci95_hz is None else list(peak.ci95_hz),
        "decision": None if decision is None else decision.to_dict(),
        "outcome": record["outcome"],
        "delivered": record["delivered"],
        "power": {name: power[name] for name in ("percent", "ci95_percent", "ln_ratio")},
        "adjusted_percent": power["adjusted"]["percent"],
    }


def _decide(
    clinic: _Clinic, session: str, protocol: Protocol, paths: SessionPaths
) -> FrequencyDecision:
    """Hold the new peak against the plan, and keep the frequency: the default of a course."""
    found = remeasure(read_peak(paths.peak), protocol, peak_file=str(paths.peak))
    why = "" if found.verdict == "keep" else f"one recording of {REST_S:.0f} s decides nothing"
    return decide(
        clinic.dataset, found, subject=SUBJECT, session=session, reason=why, **STAFF
    )  # fmt: skip


def _stimulate(clinic: _Clinic, session: str, protocol: Protocol) -> dict[str, Any]:
    began = clinic.now

    def follow(seen: Any) -> None:
        clinic.now = began + timedelta(seconds=seen.elapsed_s)

    record = run(
        protocol, clinic.setup, subject=SUBJECT, session=session, dataset=clinic.dataset,
        clock="virtual", watch=follow, operator=STAFF["operator"], role=STAFF["role"],
    )  # fmt: skip
    if record.delivered is None:
        raise RecordError(f"{record.record}: says nothing of what was delivered")
    if record.trace is not None:
        columns = tuple(record.delivered.electrodes)
        clinic.patient.receive(read_trace(record.trace, len(columns)), 1000.0, columns)
    return record.to_dict()


def _after(clinic: _Clinic, session: str, fading: bool) -> list[Path]:
    """The recording after, and where the after-effect is followed, those later on."""
    files = []
    ended_min = 0.0
    truth: dict[str, float] = {}
    for number, minutes in enumerate(AFTER_MIN if fading else AFTER_MIN[:1]):
        gap = minutes - ended_min
        clinic.patient.wait(60.0 * gap)
        clinic.later(gap)
        name = "after" if number == 0 else f"after-{minutes:g}min"
        files.append(clinic.recorded(session, "" if number else "post", name))
        ended_min = minutes + REST_S / 60.0
        if number == 0:
            truth = clinic.patient.truth()  # of the recording that is compared
    clinic.truth = truth
    return files


def _answers(
    scale: Any, total: int, fixed: Mapping[int, int], rng: random.Random
) -> dict[int, int]:
    """Answers that add up to a total; items on suicidality stay at the bottom unless given."""
    answers = {item.number: fixed.get(item.number, item.minimum) for item in scale.items}
    open_ = [item for item in scale.items if item.alert_at is None]
    while sum(answers.values()) < total:
        item = rng.choice([i for i in open_ if answers[i.number] < i.maximum])
        answers[item.number] += 1
    return answers


def _noted(scale: str, total: int) -> tuple[str, float]:
    """A rating as the stop rules of the schedule name it."""
    return {"phq9": "PHQ-9"}.get(scale, scale.upper()), float(total)


def _percent(power: Mapping[str, Any]) -> str:
    if power["percent"] is None:
        return "not known"
    low, high = power["ci95_percent"] or (math.nan, math.nan)
    return f"{power['percent']:+.0f} % ({low:+.0f} to {high:+.0f})"


def _table(told: list[dict[str, Any]]) -> list[str]:
    """Truth beside estimate, a line for every session."""
    lines = ["session  peak: truth  estimate             rhythm: truth  band power"]
    for one in told:
        hz = "no peak" if one["peak_hz"] is None else f"{one['peak_hz']:.2f}"
        low, high = one["ci95_hz"] or (math.nan, math.nan)
        lines.append(
            f"{one['session']:<7}  {one['truth']['peak_hz']:8.2f} Hz  {hz} ({low:.2f} to "
            f"{high:.2f})  {one['truth']['power_percent']:+9.0f} %  {_percent(one['power'])}"
        )
    return lines
