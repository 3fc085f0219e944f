"""What the report of a profile says first: headline, plain words, cautions, large numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tacs.report_summary import Banner, KeyFigure
from tacs.report_words import brief, joined, number

__all__ = ["banners", "ends", "first_words", "key_figures", "open_interval", "short", "title"]

HEADLINES: Mapping[str, str] = {
    "response": "Response: the rhythm followed the drive",
    "no_response": "No response found",
    "undetermined": "Undetermined: the rhythm answers in sham too",
}


def title(data: Mapping[str, Any]) -> str:
    """Return the headline of the page."""
    if data["verdict"] == "response" and data["mode"] == "electrical":
        return "Response: the rhythm kept the drive's phase after the trains"
    return HEADLINES[data["verdict"]]


def open_interval(
    pair: Sequence[float | None] | None, digits: int = 2, unit: str = "", scale: float = 1.0
) -> str:
    """Write an interval whose ends may be open."""
    low, high = (None, None) if pair is None else pair
    if low is None and high is None:
        return "open at both ends"
    if low is None:
        return f"up to {number(scale * float(high or 0.0), digits, unit)}, open below"
    if high is None:
        return f"{number(scale * low, digits, unit)} or more, open above"
    return f"{number(scale * low, digits)} to {number(scale * high, digits, unit)}"


def ends(pair: Sequence[float | None]) -> str:
    """Write a range; an open end as such."""
    low, high = (brief(end) for end in pair)
    return f"{low} to {high}"


def short(reason: str) -> str:
    """Leave out of a reason what the banner and the methods say."""
    return reason.split(": EEG recorded under current", 1)[0]


def best_row(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Row of the curve with the lowest p; of equals, the largest response."""
    row: Mapping[str, Any] = min(
        data["curve"], key=lambda row: (row["p_corrected"], -row["response_plv2"])
    )
    return row


def first_words(data: Mapping[str, Any]) -> str:
    """Say in plain language what was found, and what that does not say."""
    what = "The trains of a frequency" if data["mode"] == "electrical" else "A block"
    seen = (
        f"{what} would have shown locking of {number(data['detectable_plv'], 2)} or more four "
        "times in five"
    )
    if data["verdict"] == "response":
        where, shared = _answering(data)
        when = "After trains at" if data["mode"] == "electrical" else "At"
        text = (
            f"{when} {where} Hz the rhythm kept the phase of the drive more than chance allows in "
            "a sweep of this size"
        )
        text += "; sham blocks do not, or clearly less. " if data["sham_curve"] else ". "
        if shared:
            text += f"At {shared} Hz sham answers as well: nothing is said of the brain there. "
        if data["resonance"]:
            top = max(data["resonance"], key=lambda one: one["level"])
            text += (
                f"It answers most at {number(top['centre_hz'], 2, 'Hz')} (95 % interval "
                f"{open_interval(top['centre_ci95_hz'], 2, 'Hz')})."
            )
        else:
            text += f"No resonance curve: {short(data['resonance_reason'])}."
        return text
    if data["verdict"] == "no_response":
        return (
            f"At no frequency did the rhythm keep the phase of the drive more than chance allows. "
            f"This is not proof that it does not answer. {seen}; a weaker response may be there."
        )
    named = [f"{r['frequency_hz']:g}" for r in data["sham_curve"] if r["p_corrected"] < 0.05]
    where = joined(sorted(set(named), key=float)) or "no single frequency"
    return (
        f"The rhythm kept the phase of the drive, but at {where} Hz it did so in sham as well, "
        "where nothing drove it. What answers there may be light, mains, the stimulator's clock or "
        "another line, and is not shown to be the brain. Find it, and record again."
    )


def _answering(data: Mapping[str, Any]) -> tuple[str, str]:
    """Frequencies that answer beyond sham, and those that sham shares, as a sentence has them.

    The rule is that of the verdict: sham does not answer there, or its interval ends below.
    """
    sham = {row["frequency_hz"]: row for row in data["sham_curve"] if row["p_corrected"] < 0.05}
    clear: set[float] = set()
    shared: set[float] = set()
    for row in data["curve"]:
        if row["p_corrected"] >= 0.05 or row["response_plv2"] <= 0.0:
            continue
        other = sham.get(row["frequency_hz"])
        beyond = other is None or row["response_ci95_plv2"][0] > other["response_ci95_plv2"][1]
        (clear if beyond else shared).add(row["frequency_hz"])
    first, second = (
        joined([f"{hz:g}" for hz in sorted(found)]) for found in (clear, shared - clear)
    )
    return first, second


def banners(data: Mapping[str, Any]) -> tuple[Banner, ...]:
    """Return what nobody must miss."""
    found = []
    if data["mode"] == "virtual":
        text = "The signal is that of a virtual patient without artefact, not of a person."
        found.append(Banner(kind="emulated", title="Virtual patient", text=text))
    if data["mode"] == "electrical":
        text = "Only gaps between trains were read; nothing is said of the time under current."
        found.append(Banner(kind="caution", title="Echo only", text=text))
    if not data["sham_curve"]:
        text = "Nothing here was held against blocks without the drive."
        found.append(Banner(kind="caution", title="No sham", text=text))
    return tuple(found)


def key_figures(data: Mapping[str, Any]) -> tuple[KeyFigure, ...]:
    """Return the four large numbers."""
    chance = KeyFigure(
        label="Probability by chance",
        value=_p(data["p"]),
        note=f"whole sweep, {data['n_permutations']} permutations; sham "
        + ("none" if data["sham_p"] is None else _p(data["sham_p"])),
    )
    if data["verdict"] != "response":
        best = best_row(data)
        return (
            chance,
            KeyFigure(
                label="Would have been seen",
                value=number(data["detectable_plv"], 2),
                note="phase locking of a block, power 0.8",
            ),
            KeyFigure(
                label="Clearest locking",
                value=number(best["plv"], 2),
                note=f"at {best['frequency_hz']:g} Hz; by chance "
                f"{number(float(best['null_plv2']) ** 0.5, 2)}",
            ),
            _rest(data),
        )
    if data["mode"] == "electrical":
        return (chance, *_echo_figures(data), _rest(data))
    if not data["resonance"]:
        best = best_row(data)
        return (
            chance,
            KeyFigure(
                label="Clearest response at",
                value=number(best["frequency_hz"], 2, "Hz"),
                note="one of the frequencies driven; no curve between them",
            ),
            _height("Response there", best["response_plv2"], best["response_ci95_plv2"]),
            _rest(data),
        )
    top = max(data["resonance"], key=lambda one: one["level"])
    return (
        chance,
        KeyFigure(
            label=f"Centre, level {top['level']:g}",
            value=number(top["centre_hz"], 2, "Hz"),
            note=f"95 % interval {open_interval(top['centre_ci95_hz'], 2, 'Hz')}",
        ),
        KeyFigure(
            label="Half-width",
            value=number(top["half_width_hz"], 2, "Hz"),
            note=f"95 % interval {open_interval(top['half_width_ci95_hz'], 2, 'Hz')}",
        ),
        _height("Height", top["height_plv2"], top["height_ci95_plv2"]),
    )


def _height(label: str, value: float, ends: Sequence[float | None]) -> KeyFigure:
    """Squared locking beyond chance."""
    return KeyFigure(
        label=f"{label}, squared locking",
        value=number(value, 3),
        note=f"beyond chance; 95 % interval {open_interval(ends, 3)}",
    )


def _echo_figures(data: Mapping[str, Any]) -> tuple[KeyFigure, KeyFigure]:
    """Time constant and locking of the clearest echo."""
    echo = min(
        (one for one in data["echo"] if one["kind"] == "drive"), key=lambda one: float(one["p"])
    )
    tau = 1000.0 * echo["tau_s"] if echo["reportable"] and echo["tau_s"] is not None else None
    if not echo["reportable"]:
        note = f"{echo['n_trains']} trains: too few to report one, found or absent"
    elif tau is None:
        note = str(echo["tau_reason"] or "no echo to fit")
    else:
        note = f"95 % interval {open_interval(echo['tau_ci95_s'], 0, 'ms', 1000.0)}"
    return (
        KeyFigure(
            label=f"Echo fades within, {echo['frequency_hz']:g} Hz",
            value=number(tau, 0, "ms"),
            note=note,
        ),
        KeyFigure(
            label="Locking at the drive's end",
            value=number(echo["plv_at_end"] if echo["reportable"] else None, 2),
            note=f"{echo['n_trains']} trains find {number(echo['detectable_plv'], 2)} or more",
        ),
    )


def _rest(data: Mapping[str, Any]) -> KeyFigure:
    """Line of the rhythm without a drive."""
    rest = data["rest"]
    return KeyFigure(
        label="Rhythm without a drive",
        value=number(None if rest is None else rest["centre_hz"], 2, "Hz"),
        note="no line stands out, or under 40 s without a drive"
        if rest is None
        else f"width {number(rest['fwhm_hz'], 2, 'Hz')}, phase memory "
        f"{number(1000.0 * rest['memory_s'], 0, 'ms')}",
    )


def _p(p: float) -> str:
    """Write a permutation's p."""
    return number(p, 4 if p < 0.01 else 3)
