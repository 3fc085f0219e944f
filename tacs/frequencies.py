"""Which frequencies flowed in a session, by its record: one, or several where it was retuned."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tacs.record import Line

__all__ = ["several_in_words", "several_of", "tunings"]


def tunings(lines: Sequence[Line]) -> list[tuple[float, float]]:
    """Return when which frequency began to flow.

    A frequency that was set at zero counts from the first current after it, and not at all where
    none came before the next one. One that was sent and not answered counts as sent.

    Parameters
    ----------
    lines : sequence of Line
        Of the record, as far as it verifies.

    Returns
    -------
    list of (float, float)
        Record time in seconds and frequency in Hz, in order; neighbours differ.
    """
    found: list[tuple[float, float]] = []
    now_hz, level, unanswered = math.nan, 0.0, False
    for line in lines:
        step = line.kind, line.data.get("verb")
        if step == ("intent", "set_level"):
            level = float(line.data["level"])
        elif step in {("intent", "start"), ("intent", "soft_stop"), ("intent", "emergency_stop")}:
            level = 0.0
        elif step in {("answer", "configure"), ("intent", "set_frequency")}:
            now_hz = float(line.data["frequency_hz"])
        elif step == ("answer", "set_frequency"):
            # What the device made of it takes the place of what was sent.
            now_hz = float(line.data["frequency_hz"])
            if unanswered:
                found.pop()
        unanswered = unanswered and line.kind != "answer"
        if level > 0.0 and (not found or found[-1][1] != now_hz):
            found.append((line.t_s, now_hz))
            unanswered = step == ("intent", "set_frequency")
    return found


def several_of(lines: Sequence[Line]) -> tuple[float, ...]:
    """Return the frequencies of a session that had more than one, in Hz; else nothing.

    Parameters
    ----------
    lines : sequence of Line
        Of the record.

    Returns
    -------
    tuple of float
        In the order in which each flowed first, as the device made it.
    """
    found = tuple(dict.fromkeys(hz for _, hz in tunings(lines)))
    return found if len(found) > 1 else ()


def several_in_words(frequencies_hz: Sequence[float]) -> str:
    """Say several frequencies in words; nothing where there are none."""
    if not frequencies_hz:
        return ""
    told = ", ".join(f"{hz:.6g}" for hz in frequencies_hz)
    return f"several frequencies ({told} Hz)"
