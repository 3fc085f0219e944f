"""What speaks against a protocol for a person now: peak, day, interval, course, open questions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from tacs.breach import Breach, Margin, broken, margin_of
from tacs.history import DAY_S, DoseHistory
from tacs.limits import LIMITS, EffectiveLimits
from tacs.protocol import Protocol
from tacs.waveform import Waveform

__all__ = ["CLOCKS_DIFFER_D", "person_breaches", "standing_breaches", "waits_s"]

CLOCKS_DIFFER_D = 5.0 / 1440.0  # two computers' clocks may differ by minutes
COURSE_S = 90.0 * DAY_S


def person_breaches(
    protocol: Protocol,
    limits: EffectiveLimits,
    *,
    subject: str | None,
    history: DoseHistory,
    now: datetime,
    accelerated: bool = False,
) -> list[Breach]:
    """List what speaks against this protocol for this person now.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    limits : EffectiveLimits
        In force.
    subject : str or None
        The participant; None leaves out what needs one.
    history : DoseHistory
        From the site's ledger.
    now : datetime
        Time zone aware.
    accelerated : bool
        Whether the participant's course is an accelerated one: two sessions a day where the site's
        limits allow them.

    Returns
    -------
    list of Breach

    Notes
    -----
    Without the flag a session of the day before does not count for today once the whole interval
    has passed since, though it may have begun less than 24 h ago: appointments at nine and at half
    past eight the next morning are one a day. With it, 24 h are 24 h.
    """
    breaches: list[Breach] = []
    found: list[Margin] = []
    individual = protocol.individual
    if individual is not None:
        if subject is not None and individual.subject != subject:
            breaches.append(
                Breach(
                    limit="peak_subject",
                    value=individual.subject or "a person not named in the peak",
                    allowed=subject,
                    unit="",
                    source="a peak belongs to a person",
                    where="individual.subject; estimate the peak of this participant "
                    "(tacs peak --subject)",
                )
            )
        age_d = (now - datetime.fromisoformat(individual.measured_at)).total_seconds() / 86400.0
        found.append(margin_of(limits, "peak_age_d", age_d, "individual.measured_at"))
        if not age_d >= -CLOCKS_DIFFER_D:
            breaches.append(
                Breach(
                    limit="peak_measured_at",
                    value=individual.measured_at,
                    allowed=f"not after {now.isoformat(timespec='seconds')}",
                    unit="",
                    source="a peak from the future would never expire",
                    where="individual.measured_at; set the clocks right",
                )
            )
    if subject is not None:
        waveform = Waveform(protocol)
        on_min = history.current_on_24h_min + protocol.current_on_s / 60.0
        found.append(margin_of(limits, "daily_duration_min", on_min, f"subject {subject}"))
        before = history.rectified_charge_24h_c or {}
        for electrode in waveform.electrodes:
            charge_c = before.get(electrode, 0.0) + waveform.rectified_charge_c(electrode)
            where = f"subject {subject}, {electrode}"
            found.append(margin_of(limits, "rectified_charge_day_c", charge_c, where))
        found += _spacing_margins(limits, history, now, subject, accelerated=accelerated)
        count = float(history.sessions_90d + 1)
        found.append(margin_of(limits, "sessions_per_course", count, f"subject {subject}"))
        breaches += standing_breaches(subject, history, limits, now, accelerated=accelerated)
    return breaches + broken(found)


def _spacing_margins(
    limits: EffectiveLimits,
    history: DoseHistory,
    now: datetime,
    subject: str,
    *,
    accelerated: bool,
) -> list[Margin]:
    """Interval since the last session, and sessions of the day."""
    interval = _interval_limit(accelerated)
    gap_s, today, last = history.gap_s(now), history.sessions_24h, history.last_session_end
    found = []
    if last is not None:
        where = f"subject {subject}, last session ended {last:%Y-%m-%d %H:%M %Z}"
        if (now - last).total_seconds() - gap_s > CLOCKS_DIFFER_D * DAY_S:
            where += "; the wall clock went forward by more than the time that has passed since"
        found.append(margin_of(limits, interval, gap_s / 3600.0, where))
    # Not accelerated, the last session is a matter of the interval alone.
    if accelerated or today > 1 or not limits["sessions_per_day"] >= 1.0:
        where = f"subject {subject}, {today} began in the last 24 h"
        if accelerated and limits["sessions_per_day"] < 2.0:
            where += "; two a day need sessions_per_day = 2 in the site file"
        allowed = limits if accelerated else _one_a_day(limits)
        found.append(margin_of(allowed, "sessions_per_day", today + 1.0, where))
    return found


def _interval_limit(accelerated: bool) -> str:
    return "accelerated_interval_h" if accelerated else "inter_session_interval_h"


def _one_a_day(limits: EffectiveLimits) -> EffectiveLimits:
    """The limits without what the site allows accelerated courses only."""
    daily = LIMITS["sessions_per_day"].stricter(limits["sessions_per_day"], 1.0)
    return EffectiveLimits({**limits, "sessions_per_day": daily}, limits.set_by)


def standing_breaches(
    subject: str,
    history: DoseHistory,
    limits: EffectiveLimits,
    now: datetime,
    *,
    accelerated: bool = False,
) -> list[Breach]:
    """List what somebody has to look at: open, unknown, lost entries, copies, a clock set back.

    Parameters
    ----------
    subject : str
        The participant.
    history : DoseHistory
        From the site's ledger.
    limits : EffectiveLimits
        In force.
    now : datetime
        Time zone aware.
    accelerated : bool
        See :func:`person_breaches`.
    """
    breaches = []

    def refuse(limit: str, value: str, allowed: str, source: str, cure: str) -> None:
        breaches.append(
            Breach(
                limit=limit,
                value=value,
                allowed=allowed,
                unit="",
                source=source,
                where=f"subject {subject}; {cure}",
            )
        )

    for session in history.open_sessions:
        refuse(
            "open_session",
            session,
            "none",
            "the dose of an interrupted session is unknown until it is closed",
            "run `tacs recover` on its data set",
        )
    for session in history.unknown_sessions:
        refuse(
            "unknown_session",
            session,
            "none",
            "the data set holds a session of this subject which this site's ledger does not know",
            "book it with `tacs ledger adopt` on the data set",
        )
    for conflict in history.conflicts:
        refuse(
            "ledger_conflict",
            conflict,
            "none",
            "two computers that write their own copies of a ledger do not see each other's doses",
            "book what is missing with `tacs ledger adopt` on the other copy",
        )
    doubt_s, wait_h = history.since_doubt_s, max(24.0, limits[_interval_limit(accelerated)])
    if doubt_s is not None and not doubt_s >= wait_h * 3600.0:
        left_s = wait_h * 3600.0 - (doubt_s if math.isfinite(doubt_s) else 0.0)
        until = now + timedelta(seconds=left_s + 59.0)  # the minute that is told has passed by then
        refuse(
            "ledger_renewed",
            f"{doubt_s / 3600.0:.1f} h",
            f"at least {wait_h:g} h since a lost entry of the ledger may have been made",
            "it may have been this participant's, who must not get a second dose by it",
            f"wait until {until:%Y-%m-%d %H:%M %Z}",
        )
    latest = history.latest_entry
    if latest is not None and not (now - latest).total_seconds() >= -CLOCKS_DIFFER_D * DAY_S:
        refuse(
            "clock_backwards",
            now.isoformat(timespec="seconds"),
            f"not before the ledger's latest entry, {latest.isoformat(timespec='seconds')}",
            "a clock that is set back must not open a new day",
            "set the computer's clock right; where it is right and was wrong before, "
            "run `tacs ledger clock`",
        )
    return breaches


def waits_s(
    limits: EffectiveLimits,
    history: DoseHistory,
    now: datetime,
    *,
    accelerated: bool = False,
    protocol: Protocol | None = None,
) -> dict[str, float]:
    """Return how long a participant has still to wait, by limit.

    Parameters
    ----------
    limits : EffectiveLimits
        In force.
    history : DoseHistory
        From the site's ledger, at ``now``.
    now : datetime
        Time zone aware.
    accelerated : bool
        See :func:`person_breaches`.
    protocol : Protocol, optional
        With one, the time and the charge of the day are looked at too.

    Returns
    -------
    dict of str to float
        Seconds by name of limit, those above 0 only; infinity where no waiting helps, or none is
        known to. After the longest of them :func:`person_breaches` finds none of these limits
        broken.
    """
    interval = _interval_limit(accelerated)
    counting = [s for s in history.sessions if s.counts]
    daily = limits["sessions_per_day"] - 1.0
    if not accelerated and daily >= 0.0:
        daily = 1.0  # the last session, which the interval is for
    found = {
        interval: limits[interval] * 3600.0 - history.gap_s(now),
        "sessions_per_day": _until_room([(s.since_start_s, 1.0) for s in counting], daily, DAY_S),
        "sessions_per_course": _until_room(
            [(s.since_end_s, 1.0) for s in counting], limits["sessions_per_course"] - 1.0, COURSE_S
        ),
    }
    if protocol is not None:
        room_min = limits["daily_duration_min"] - protocol.current_on_s / 60.0
        found["daily_duration_min"] = _until_room(
            [(s.since_end_s, s.current_on_s / 60.0) for s in history.sessions], room_min, DAY_S
        )
        waveform = Waveform(protocol)
        found["rectified_charge_day_c"] = max(
            _until_room(
                [(s.since_end_s, s.rectified_charge_c.get(name, 0.0)) for s in history.sessions],
                limits["rectified_charge_day_c"] - waveform.rectified_charge_c(name),
                DAY_S,
            )
            for name in waveform.electrodes
        )
    # Up to the next whole second, so that rounding cannot leave a hair of it.
    return {
        name: float(math.ceil(wait)) if math.isfinite(wait) else math.inf
        for name, wait in found.items()
        if not wait <= 0.0
    }


def _until_room(items: Iterable[tuple[float, float]], room: float, window_s: float) -> float:
    """Seconds until what is younger than the window adds up to no more than the room.

    ``items`` are (age in seconds, amount).
    """
    if not room >= 0.0:
        return math.inf
    # Nobody can tell when an age that is no number will have passed.
    aged = ((-math.inf if math.isnan(age_s) else age_s, amount) for age_s, amount in items)
    oldest_first = sorted((item for item in aged if item[0] < window_s), reverse=True)
    wait_s = 0.0
    for leaving, (age_s, _) in enumerate(oldest_first):
        if math.fsum(amount for _, amount in oldest_first[leaving:]) <= room:
            break
        wait_s = window_s - age_s
    return wait_s
