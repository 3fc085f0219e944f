"""A person's course in words, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from tacs.track import Track
from tacs.track_calendar import followed
from tacs.track_scales import RatingPoint

__all__ = ["track_words"]


def track_words(track: Track) -> list[str]:
    """Return the lines of ``tacs track show``."""
    lines = [f"subject {track.subject}"]
    if track.course is not None:
        lines += ["", *_course(track.course)]
    if track.peaks:
        lines += ["", "peak frequency", *_peaks(track), f"  {track.peak_assumption}"]
    if track.decisions:
        lines += ["", "frequency decided on", *(f"  {_decision(d)}" for d in track.decisions)]
    if track.sessions:
        lines += ["", "sessions", *_sessions(track)]
    fading = [f"  {_fading(one)}" for one in followed(track.after_effects)]
    if fading:
        lines += ["", "after-effects over the minutes after the current", *fading]
    for course in track.scales:
        lines += ["", f"{course.title}; baseline: {course.baseline_is}"]
        lines += [f"  {_rating(p, course.baseline)}" for p in course.points]
        lines += [f"    {text}" for text in course.assumptions]
    lines += ["", "two kinds of sessions"]
    if track.n_of_1 is None or track.n_of_1_kinds is None:
        lines.append(f"  {track.n_of_1_reason}")
    else:
        first, second = track.n_of_1_kinds
        lines += [
            f"  {first} less {second}: {track.n_of_1.difference:+.3f}",
            f"  {track.n_of_1.statement}.",
            "  valid only where the order was drawn at random and nothing carries over",
        ]
    for link in track.links:
        rho = "too few" if link["spearman"] is None else f"rho = {link['spearman']:+.2f}"
        lines.append(
            f"  EXPLORATORY, power against {link['scale']}: {rho} (n = {link['n']}); "
            f"{link['caution']}"
        )
    if track.events:
        lines += ["", "events", *(f"  {e.at:%Y-%m-%d %H:%M}  {e.what}" for e in track.events)]
    if track.notes:
        lines += ["", *(f"note: {text}" for text in track.notes)]
    return lines


def _course(course: Mapping[str, Any]) -> list[str]:
    """The calendar, runs of days with the same word in one line each."""
    counts = course["counts"]
    told = ", ".join(f"{counts[name]} {name}" for name in counts if counts[name])
    head = (
        f"course {course['schedule']} from {course['start']}, as of {course['as_of'][:10]}: {told}"
    )
    lines = [head + (" (emulated)" if course["emulated"] else "")]
    for state, days in groupby(course["visits"], key=lambda v: v["state"]):
        run = list(days)
        if state in {"done", "late", "extra"}:
            for visit in run:
                late = f", {visit['late_d']} d after the first plan" if visit["late_d"] else ""
                lines.append(f"  {visit['day']}  {state}  session {visit['session']}{late}")
        else:
            span = run[0]["day"] if len(run) == 1 else f"{run[0]['day']} to {run[-1]['day']}"
            lines.append(f"  {span}  {state} ({len(run)})")
    for breach in course["standing"]:
        lines.append(f"  STANDS STILL: {breach['limit']}: {breach['value']}; {breach['where']}")
    coming = course["next"]
    if coming["allowed"]:
        lines.append("  the next session is allowed now")
    elif coming["earliest"] is not None:
        lines.append(f"  the next session is allowed from {coming['earliest']['local'][:16]}")
    for entry in course["entries"]:
        if entry["kind"] != "note":
            lines.append(
                f"  {entry['at'][:10]}  {entry['kind']} by {entry['operator']} ({entry['role']}): "
                f"{entry['reason']}"
            )
    return lines


def _decision(one: Mapping[str, Any]) -> str:
    measured = "no peak" if one["measured_hz"] is None else f"{one['measured_hz']:.2f} Hz"
    return (
        f"{one['at'][:10]}  session {one['session']}  {one['choice']} {one['frequency_hz']:g} Hz  "
        f"(peak now {measured}, verdict {one['verdict']}; {one['operator']}, {one['role']}: "
        f"{one['reason']})"
    )


def _fading(one: Mapping[str, Any]) -> str:
    bins = "; ".join(
        f"{b['from_min']:.0f} to {b['to_min']:.0f} min {b['percent']:+.0f} %" for b in one["bins"]
    )
    text = f"session {one['session']}: {bins}"
    if one["w0"] is None or one["tau_min"] is None:
        return f"{text}; no curve: {one['reason']}"
    return (
        f"{text}; {100.0 * one['w0']:+.0f} % fading with a time constant of "
        f"{one['tau_min']:.0f} min"
    )


def _peaks(track: Track) -> list[str]:
    lines = []
    for point in track.peaks:
        interval = (
            "no interval"
            if point.ci95_hz is None
            else f"{point.ci95_hz[0]:.2f} to {point.ci95_hz[1]:.2f}"
        )
        told = "first"
        if point.drift is not None:
            drift = point.drift
            own = {True: "beyond", False: "within", None: "unknown against"}[drift["beyond_own"]]
            far = "beyond" if drift["beyond_detectable"] else "within"
            told = (
                f"{drift['change_hz']:+.2f} Hz: {own} the estimates' own error, {far} the minimal "
                f"detectable change of {drift['detectable_hz']:.2f}"
            )
        lines.append(
            f"  {point.at:%Y-%m-%d}  session {point.session}  {point.peak_hz:.2f} Hz "
            f"({interval})  {told}"
        )
    return lines


def _sessions(track: Track) -> list[str]:
    lines = []
    for s in track.sessions:
        dose = "dose withheld" if s.blinded else "dose not known"
        if s.charge_c is not None:
            dose = f"{s.charge_c:.3f} C {s.charge_source}"
        power = "no comparison"
        if s.percent is not None:
            low, high = s.ci95_percent or (None, None)
            power = f"power {s.percent:+.0f} %"
            power += "" if low is None or high is None else f" ({low:+.0f} to {high:+.0f})"
            power += f", {s.direction}" if s.direction else ""
        kind = "blinded" if s.blinded else (s.waveform or "kind unknown").replace("_", " ")
        lines.append(
            f"  {s.at:%Y-%m-%d}  session {s.session}  {s.outcome or 'no record'}  {kind}  {dose}  "
            f"{power}"
        )
    return lines


def _rating(point: RatingPoint, baseline: RatingPoint | None) -> str:
    """One rating; the judgements stand side by side."""
    if point.total is None:
        return f"{point.at:%Y-%m-%d}  no total: items are missing"
    star = "*" if point.prorated else ""
    text = f"{point.at:%Y-%m-%d}  {point.total:g}{star}"
    text += f"  {point.band}" if point.band else ""
    if baseline is not None and point.entry == baseline.entry:
        return f"{text}  baseline"
    parts = []
    if point.percent_improvement is not None:
        parts.append(f"improved {point.percent_improvement:.0f} %")
    if point.response is not None:
        parts.append(point.response)
    if point.in_remission is not None:
        parts.append("remission" if point.in_remission else "no remission")
    if point.reliable is not None:
        index = point.reliable["index"]
        told = "" if index is None else f"index {index:+.2f}, "
        parts.append(
            f"{point.reliable['change_points']:+g} points: {point.reliable['verdict']} "
            f"({told}limit {point.reliable['threshold_points']:.1f})"
        )
    if point.meaningful:
        parts.append(f"reaches: {', '.join(point.meaningful)}")
    return f"{text}  {' | '.join(parts)}" if parts else text
