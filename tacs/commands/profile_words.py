"""What ``tacs profile`` says in words: the visits of a plan, and what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.profile_plan import ProfilePlan
    from analysis.profile_result import ResponseProfile

__all__ = ["about_visits", "prose_of"]


def about_visits(design: ProfilePlan) -> list[str]:
    """Return what belongs to every visit of mode electrical; nothing of another mode."""
    from analysis.profile_visits import HOURS_BETWEEN, RECORDINGS, REST_S

    if not design.trains:
        return []
    minutes = design.trains * (design.seconds_per_block + design.gap_s) / 60.0
    first = {one.after_min: None for one in RECORDINGS if one.when == "post"}
    after = ", ".join(f"{one:g}" for one in first)
    return [
        f"{len(design.order_hz)} visits, at least {HOURS_BETWEEN:g} h apart, at the dose that was "
        f"tolerated: {REST_S / 60.0:g} min at rest and {minutes:.0f} min of trains in one "
        f"recording; rest with open and with closed eyes before, and {after} min after",
    ]


def prose_of(profile: ResponseProfile) -> list[str]:
    """Return what a person reads of an analysis, but for reliability and warnings."""
    from analysis.profile_echo import may_report_echo

    test = profile.test
    found = {
        "response": "response: locking to the drive beyond chance",
        "no_response": "no response found; this is not proof of none: a block would have shown "
        f"locking of {profile.detectable_plv:.2f} with power 0.8",
        "undetermined": "undetermined: sham answers at the same frequency",
    }[profile.verdict]
    lines = [f"{found} (p {test.p:.4f} over the whole sweep, {test.n_draws} permutations)"]
    for row in profile.answers:
        lines.append(
            f"  {row.frequency_hz:g} Hz, level {row.level:g}: squared locking {row.plv2:.4f}, by "
            f"chance {row.null:.4f}, response {row.response:.4f} [{row.low:.4f}, {row.high:.4f}], "
            f"p {row.p:.4f}"
        )
    for level, curve in profile.resonance.items():
        lines.append(
            f"resonance at level {level:g}: centre {curve.centre_hz:.2f} Hz "
            f"{_interval(curve.centre_ci95_hz)}, half-width {curve.half_width_hz:.2f} Hz "
            f"{_interval(curve.half_width_ci95_hz)}"
        )
    if not profile.resonance:
        lines.append(f"no resonance curve: {profile.resonance_reason}")
    if profile.jitter is not None:
        lines += [
            f"jittered blocks, {row.frequency_hz:g} Hz, level {row.level:g}: response to {what} "
            f"{row.response:.4f} [{row.low:.4f}, {row.high:.4f}], p {row.p:.4f}"
            for what, rows in (
                ("a regular reference", profile.jitter.regular),
                ("their own pulses", profile.jitter.own),
            )
            for row in rows
        ]
    state = profile.state
    if state.slope is not None and state.null_ci95 is not None:
        lines.append(
            "exploratory: response over ln power before the block, in standard deviations per "
            f"unit: {state.slope:+.2f} {_interval(state.slope_ci95)}, p {state.p:.3f}; by chance "
            f"{_interval(state.null_ci95)}"
        )
    for echo in profile.echoes:
        tau = (
            f"{echo.tau_s:.2f} s {_interval(echo.tau_ci95_s)}"
            if echo.tau_s
            else f"no time constant: {echo.reason}"
        )
        few = "" if may_report_echo(echo.n_trains) else "; too few trains to report it"
        what = "virtual trains of sham" if echo.kind == "sham" else "trains"
        lines.append(f"echo at {echo.frequency_hz:g} Hz, {echo.n_trains} {what}: {tau}{few}")
    if profile.rest is not None:
        lines.append(
            f"at rest: {profile.rest.centre_hz:.2f} Hz, FWHM {profile.rest.fwhm_hz:.2f} Hz, phase "
            f"memory {profile.rest.memory_s:.2f} s"
        )
    return lines


def _interval(ends: tuple[float | None, float | None] | None) -> str:
    """Interval in brackets; an open end as such."""
    low, high = ends or (None, None)
    first = "open" if low is None else f"{low:.2f}"
    return f"[{first}, {'open' if high is None else f'{high:.2f}'}]"
