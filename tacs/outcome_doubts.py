"""What else could explain a change: every rival of "the stimulation did it", with its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tacs.report_words import joined, number, percent, signed_interval

__all__ = ["Doubt", "doubts"]

Weight = Literal["open", "against", "unknown"]
WORDS: Mapping[Weight, str] = {
    "open": "possible",
    "against": "not seen",
    "unknown": "not known",
}
STATE_CHECKS = ("eyes", "muscle", "drowsiness")
LARGE_SHIFT_HZ = 0.5  # takes power out of a fixed band


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One other explanation.

    Parameters
    ----------
    what : str
        The explanation.
    weight : {"open", "against", "unknown"}
        Whether the recordings leave it open, speak against it, or say nothing.
    evidence : str
        Why, in one sentence.
    """

    what: str
    weight: Weight
    evidence: str

    @property
    def word(self) -> str:
        """The weight in a word or two."""
        return WORDS[self.weight]


def doubts(data: Mapping[str, Any]) -> tuple[Doubt, ...]:
    """List what else could explain a comparison, the likeliest first.

    Parameters
    ----------
    data : mapping
        As ``tacs compare --json``, and ``protocol_known``: whether a protocol told where the
        stimulation electrodes were.

    Returns
    -------
    tuple of Doubt
        Those left open come first, those that the recordings speak against last.
    """
    found = [
        one
        for rule in (_chance, _drift, _natural, _background, _state, _recording, _current, _peak)
        for one in rule(data)
    ]
    order = ("open", "unknown", "against")
    return tuple(sorted(found, key=lambda one: order.index(one.weight)))


def _chance(data: Mapping[str, Any]) -> Iterator[Doubt]:
    """Fluctuation inside the recordings."""
    power = data["power"]
    low, high = power["ci95_percent"] or (None, None)
    what = "Chance fluctuation within the recordings"
    told = signed_interval(power["ci95_percent"], 0, "%")
    if low is None or high is None:
        yield Doubt(what=what, weight="unknown", evidence="There is no valid interval.")
    elif low > 0.0 or high < 0.0:
        text = f"The 95 % interval ({told}) does not hold zero."
        yield Doubt(what=what, weight="against", evidence=text)
    else:
        text = f"The 95 % interval ({told}) holds zero."
        yield Doubt(what=what, weight="open", evidence=text)


def _drift(data: Mapping[str, Any]) -> Iterator[Doubt]:
    """Drift slower than the recordings."""
    found = data["power"]["fluctuation"]
    seconds = number(data["preparation"]["seconds_used"], 0, "s")
    seen = (
        "Power fluctuates slowly by itself in these recordings "
        f"(autocorrelation time {number(found['autocorrelation_time_s'], 0, 's')}). "
        if found["slow"]
        else ""
    )
    yield Doubt(
        what="Slow drift: drowsiness, time of day, getting used to the room",
        weight="open",
        evidence=f"{seen}A drift slower than {seconds} looks the same as an effect. Only sham or "
        "repeated sessions tell them apart.",
    )


def _natural(data: Mapping[str, Any]) -> Iterator[Doubt]:
    """What this person's power does without stimulation."""
    what = "Ordinary change from one recording to the next"
    found = data.get("retest")
    if not found:
        text = "No pair of recordings without stimulation was given (--retest A B)."
        yield Doubt(what=what, weight="unknown", evidence=text)
        return
    n, beyond = found.get("n"), found.get("beyond")
    if beyond is None:
        yield Doubt(what=what, weight="unknown", evidence=_capital(found.get("reason") or ""))
        return
    limits = signed_interval(found["limits_percent"], 0, "%")
    yield Doubt(
        what=what,
        weight="against" if beyond else "open",
        evidence=f"The change lies {'outside' if beyond else 'inside'} the limits of agreement of "
        f"{n} pairs of recordings without stimulation ({limits}).",
    )


def _background(data: Mapping[str, Any]) -> Iterator[Doubt]:
    """The 1/f part."""
    found, adjusted = data["power"]["aperiodic"], data["power"]["adjusted"]
    share, told = found["share_of_raw_change"], percent(adjusted["percent"], 0)
    what = "A change of the background (1/f) instead of the rhythm"
    if share is None or adjusted["percent"] is None:
        text = _capital(adjusted["reason"] or "The background could not be fitted.")
        yield Doubt(what=what, weight="unknown", evidence=text)
        return
    verdict = str(found["verdict"])
    open_ = verdict != "oscillation" and not verdict.startswith("no clear change")
    yield Doubt(
        what=what,
        weight="open" if open_ else "against",
        evidence=f"Power over the background changed by {told}"
        + (f"; verdict: {verdict}." if open_ else "; the background changed little."),
    )


def _state(data: Mapping[str, Any]) -> Iterator[Doubt]:
    """Eyes and arousal."""
    what = "Another state: eyes, muscle, arousal"
    checks = _checks(data, of_state=True)
    differs = [_told(one) for one in checks if one["ok"] is False]
    differs += _reasons(data, "arousal")
    if differs:
        yield Doubt(what=what, weight="open", evidence=_capital("; ".join(differs)))
    elif any(one["check"] == "eyes" and one["ok"] for one in checks):
        text = "The eyes were in the same state, and no marker of arousal differs."
        yield Doubt(what=what, weight="against", evidence=text)
    else:
        unsure = [_told(one) for one in checks if one["check"] == "eyes"]
        text = _capital("; ".join(unsure) or "whether the eyes were alike is not known")
        text = f"{text} No marker of arousal differs."
        yield Doubt(what=what, weight="unknown", evidence=text)


def _recording(data: Mapping[str, Any]) -> Iterator[Doubt]:
    """Amplifier, filters, reference, channels."""
    what = "Different recording: filters, reference, rate, electrodes"
    checks = _checks(data, of_state=False)
    differs = [_told(one) for one in checks if one["ok"] is False]
    alike = [str(one["check"]).replace("_", " ") for one in checks if one["ok"]]
    unsure = [_told(one) for one in checks if one["ok"] is None]
    if differs:
        yield Doubt(what=what, weight="open", evidence=_capital("; ".join(differs)))
    elif alike and not unsure:
        text = f"Checked and alike: {joined(alike)}."
        yield Doubt(what=what, weight="against", evidence=text)
    else:
        text = _capital("; ".join(unsure) or "nothing was checked")
        yield Doubt(what=what, weight="unknown", evidence=text)


def _current(data: Mapping[str, Any]) -> Iterator[Doubt]:
    """What the electrodes and the current leave behind."""
    what = "Gel, polarised electrodes, or what is left of the current"
    found = data["preparation"]["stimulation_electrodes"]
    near = [*found["under"], *found["beside"]]
    lines = _reasons(data, "residual_line")
    if lines:
        yield Doubt(what=what, weight="open", evidence=_capital("; ".join(lines)))
    elif data["protocol_known"]:
        told = f"left out: {joined(near)}" if near else "none is near any channel"
        text = f"Channels under or beside a stimulation electrode: {told}. No line stands out."
        yield Doubt(what=what, weight="against", evidence=text)
    else:
        text = (
            "No protocol was given, so the places of the stimulation electrodes are not known. No "
            "line stands out in the band."
        )
        yield Doubt(what=what, weight="unknown", evidence=text)


def _checks(data: Mapping[str, Any], *, of_state: bool) -> list[Mapping[str, Any]]:
    """Checks of the person's state, or of the recording."""
    found = data["preparation"]["same_state"]
    return [one for one in found if (one["check"] in STATE_CHECKS) is of_state]


def _told(one: Mapping[str, Any]) -> str:
    """What a check has to say."""
    return str(one["note"] or f"{one['check']}: {one['before']} before, {one['after']} after")


def _reasons(data: Mapping[str, Any], code: str) -> list[str]:
    """Reasons of one kind for which a verdict was withheld."""
    return [str(one["text"]) for one in data["inference"]["reasons"] if one["code"] == code]


def _peak(data: Mapping[str, Any]) -> Iterator[Doubt]:
    """A rhythm that left the band."""
    found = data["peak_shift"]
    shift_hz = data["peak_shift_hz"]
    what = "A peak that moved inside or out of the fixed band"
    if shift_hz is None:
        text = _capital(str(found.get("reason") or "no peak on one side"))
        yield Doubt(what=what, weight="unknown", evidence=text)
        return
    moved = abs(shift_hz) > LARGE_SHIFT_HZ
    about = percent(data["power"]["recentred"]["percent"], 0)
    yield Doubt(
        what=what,
        weight="open" if moved else "against",
        evidence=f"The peak moved by {number(shift_hz, 2, 'Hz')}; with each band about its own "
        f"peak the change is {about}.",
    )


def _capital(text: str) -> str:
    """A reason as a sentence."""
    text = text.strip().removesuffix(".")
    return f"{text[:1].upper()}{text[1:]}." if text else "No reason is stated."
