"""A person's course in words, for the terminal."""

from __future__ import annotations

from tacs.track import Track
from tacs.track_scales import RatingPoint

__all__ = ["track_words"]


def track_words(track: Track) -> list[str]:
    """Return the lines of ``tacs track show``."""
    lines = [f"subject {track.subject}"]
    if track.peaks:
        lines += ["", "peak frequency", *_peaks(track), f"  {track.peak_assumption}"]
    if track.sessions:
        lines += ["", "sessions", *_sessions(track)]
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
