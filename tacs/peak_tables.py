"""Tables of the report of a peak: its numbers, the recording's quality, cleaning, a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from analysis.figures_peak import is_split
from tacs.report_words import (
    NONE,
    duration,
    general,
    interval,
    joined,
    number,
    signed,
    signed_interval,
)

if TYPE_CHECKING:
    from analysis.estimate import PeakEstimate

__all__ = ["against_rows", "clean_rows", "finding_rows", "key_numbers", "quality_rows"]

Rows = tuple[tuple[str, str], ...]

GRAVITY: Mapping[str, int] = {"refusal": -2, "warning": -1}
UNITS: Mapping[str, str] = {
    "_hz": "Hz",
    "_s": "s",
    "_uv": "µV",
    "_db": "dB",
    "_percent": "%",
}


def key_numbers(estimate: PeakEstimate) -> Rows:
    """Return the table of every number.

    Parameters
    ----------
    estimate : PeakEstimate
        Whose.
    """
    split = is_split(estimate)
    pair = estimate.ci95_hz
    rows = [("Peak frequency", number(estimate.frequency_hz, 2, "Hz"))]
    rows.append(("95 % interval", "none: two peaks" if split else interval(pair, 2, "Hz")))
    for place, peak in enumerate(estimate.peaks, start=1):
        width = number(peak.width_hz, 2, "Hz")
        if not split:
            rows.append(("Width at half height", width))
            continue
        height = number(100.0 * peak.relative_height, 0, "%")
        text = f"{number(peak.frequency_hz, 2, 'Hz')}, {number(peak.prominence_db, 1, 'dB')}"
        rows.append(
            (f"Peak {place}", f"{text} over background, {width} wide, {height} of the height")
        )
    rows += [
        ("Centre of gravity", number(estimate.center_of_gravity_hz, 2, "Hz")),
        ("Prominence", number(estimate.prominence_db, 1, "dB")),
        ("Exponent of the 1/f background", number(estimate.aperiodic_exponent, 2)),
    ]
    if estimate.aperiodic_knee_hz is not None:
        rows.append(("Knee of the background", number(estimate.aperiodic_knee_hz, 1, "Hz")))
    check = estimate.cross_check
    if check is not None:
        theirs = "no peak" if check.frequency_hz is None else number(check.frequency_hz, 2, "Hz")
        verdict = "agrees" if check.agrees else "disagrees"
        rows.append((f"Second method, {check.method}", f"{theirs}: {verdict}"))
    rows += _stability_rows(estimate)
    used = joined(estimate.channels)
    rows += [
        ("Band searched", f"{estimate.band_hz[0]:g} to {estimate.band_hz[1]:g} Hz"),
        ("EEG used", duration(estimate.seconds_used)),
        ("Channels used", f"{estimate.n_channels_used}: {used}" if used else "none"),
    ]
    return tuple(row for row in rows if row[1] != NONE)


def _stability_rows(estimate: PeakEstimate) -> list[tuple[str, str]]:
    """Numbers of the two halves of the recording."""
    found = estimate.stability
    if found is None:
        return []
    halves = " / ".join(
        "no peak" if value is None else number(value, 2, "Hz")
        for value in (found.first_hz, found.second_hz)
    )
    rows = [("First / second half", halves)]
    if found.difference_hz is not None:
        text = signed(found.difference_hz, 2, "Hz")
        if found.ci95_difference_hz is not None:
            text += f" (95 % interval {signed_interval(found.ci95_difference_hz, 2, 'Hz')})"
        rows.append(("Second minus first", text))
    if found.drift_hz_per_min is not None:
        rows.append(("Drift over quarters", f"{signed(found.drift_hz_per_min, 3)} Hz per minute"))
    return rows


def quality_rows(quality: Mapping[str, Any]) -> Rows:
    """Return the counts of what was found in the recording.

    Parameters
    ----------
    quality : mapping
        As `analysis.quality` gives it; a key that is missing is not shown.
    """
    rows = []
    whole, usable = quality.get("duration_s"), quality.get("usable_s")
    if whole is not None:
        rows.append(("Length", duration(whole, 1)))
    if usable is not None:
        share = f" ({number(100.0 * usable / whole, 0, '%')})" if whole else ""
        rows.append(("Usable", duration(usable, 1) + share))
    if "good_channels" in quality:
        good, bad = len(quality["good_channels"]), len(quality.get("bad_channels") or ())
        rows.append(("Good EEG channels", f"{good} of {good + bad}"))
    if "artefact_spans_s" in quality:
        spans = [(float(start), float(stop)) for start, stop in quality["artefact_spans_s"]]
        total = sum(stop - start for start, stop in spans)
        text = f"{len(spans)}, {duration(total, 1)} together" if spans else "none"
        rows.append(("Stretches left out", text))
        if spans:
            rows.append(("Where", _spans(spans)))
    if "mains_hz" in quality:
        mains = quality["mains_hz"]
        text = "none seen" if mains is None else f"at {general(mains, 'Hz')}"
        if mains is not None and quality.get("line_noise_db") is not None:
            text += f", {number(quality['line_noise_db'], 0, 'dB')} over the spectrum beside it"
        rows.append(("Mains hum", text))
    if "amplitude_uv" in quality:
        size = quality["amplitude_uv"]
        text = "unit of the file unknown" if size is None else general(size, "µV")
        rows.append(("Typical amplitude (standard deviation)", text))
    if quality.get("sfreq_hz") is not None:
        rows.append(("Sampling rate", general(quality["sfreq_hz"], "Hz")))
    if quality.get("suggested_sfreq_hz") is not None:
        rows.append(("Likely true sampling rate", general(quality["suggested_sfreq_hz"], "Hz")))
    return tuple(rows)


def _spans(spans: list[tuple[float, float]], most: int = 12) -> str:
    """Start and end of stretches, the first dozen."""
    shown = ", ".join(f"{start:.1f}–{stop:.1f}" for start, stop in spans[:most])
    more = f" and {len(spans) - most} more" if len(spans) > most else ""
    return f"{shown} s{more}"


def finding_rows(quality: Mapping[str, Any]) -> tuple[Mapping[str, str], ...]:
    """Return the findings of the quality check, the gravest first.

    Parameters
    ----------
    quality : mapping
        With `findings`, each of name, severity, text, channels, share and count.
    """
    rows = sorted(
        quality.get("findings") or (), key=lambda row: GRAVITY.get(str(row.get("severity")), 0)
    )
    return tuple(
        {
            "name": str(row.get("name") or ""),
            "severity": str(row.get("severity") or "note"),
            "text": str(row.get("text") or ""),
            "channels": ", ".join(str(name) for name in row.get("channels") or ()) or NONE,
            "share": NONE if row.get("share") is None else number(100.0 * row["share"], 0, "%"),
            "count": NONE if row.get("count") is None else str(row["count"]),
        }
        for row in rows
    )


def against_rows(against: Mapping[str, Any], frequency_hz: float | None) -> Rows:
    """Return the comparison with a planned frequency.

    Parameters
    ----------
    against : mapping
        As `peak_report` takes it; a key that is missing or None is not shown.
    frequency_hz : float or None
        This peak.
    """
    if not against:
        return ()
    found = {
        "Planned": number(against.get("planned_hz"), 2, "Hz"),
        "Played by the device": number(against.get("played_hz"), 3, "Hz"),
        "This peak": number(frequency_hz, 2, "Hz"),
        "Mismatch": signed(against.get("mismatch_hz"), 2, "Hz"),
        "95 % interval of the mismatch": signed_interval(against.get("ci95_mismatch_hz"), 2, "Hz"),
        "Predicted locking range, half-width": number(against.get("tongue_half_width_hz"), 2, "Hz"),
        "Largest mismatch allowed": number(against.get("limit_hz"), 2, "Hz"),
        "New frequency": number(against.get("new_frequency_hz"), 2, "Hz"),
    }
    rows = [(name, text) for name, text in found.items() if text != NONE]
    inside = against.get("inside_tongue")
    if inside is not None:
        rows.append(("Inside the locking range", "yes" if inside else "no"))
    return tuple(rows)


def clean_rows(clean: Mapping[str, Any]) -> Rows:
    """Return what was done before the estimate, with units from the names.

    Parameters
    ----------
    clean : mapping
        Names and counts; lists are joined.
    """
    return tuple((_name(key), _value(key, value)) for key, value in clean.items())


def _name(key: str) -> str:
    """A key as words, without its unit."""
    unit = next((suffix for suffix in UNITS if key.endswith(suffix)), "")
    text = key.removesuffix(unit).removeprefix("n_").replace("_", " ").strip()
    return f"{text[:1].upper()}{text[1:]}"


def _value(key: str, value: Any) -> str:
    """A value with the unit that its name gives."""
    unit = next((text for suffix, text in UNITS.items() if key.endswith(suffix)), "")
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: NONE}[value]
    if isinstance(value, int | float):
        return general(value, unit)
    if isinstance(value, Mapping):
        return (
            "; ".join(f"{name}: {_value(str(name), item)}" for name, item in value.items()) or NONE
        )
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(_value("", item) for item in value) or "none"
    return str(value)
