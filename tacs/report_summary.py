"""The top of a report: banners, four key figures, and a summary in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tacs.frequencies import several_in_words
from tacs.protocol import Protocol
from tacs.report_current import CurrentSection
from tacs.report_outcome import OutcomeSection
from tacs.report_peak import PeakSection
from tacs.report_provenance import Provenance
from tacs.report_record import RecordView
from tacs.report_words import (
    NARROW,
    duration,
    general,
    joined,
    number,
    percent,
    signed_interval,
)

__all__ = ["Banner", "KeyFigure", "banners", "key_figures", "prediction", "summary"]

OUTCOMES: Mapping[str, tuple[str, str, str]] = {
    "done": ("good", "Done", "The session ran to its planned end."),
    "stopped": ("caution", "Stopped", "The session was stopped before its planned end."),
    "fault": ("alarm", "Fault", "The session ended by an emergency stop and was latched."),
    "interrupted": ("alarm", "Interrupted", "The computer was lost while the session ran."),
    "refused": ("caution", "Not started", "The session was given up before it was armed."),
    "unknown": (
        "alarm",
        "Outcome unknown",
        "The part of the record that verifies ends before the session does.",
    ),
    "open": (
        "alarm",
        "Open",
        "The record has no last line: the session was interrupted, or still runs. "
        "`tacs recover` closes it and books its dose.",
    ),
}
WAVEFORMS: Mapping[str, str] = {
    "tacs": "a sine",
    "am_tacs": "a carrier whose envelope is the rhythm",
    "active_sham": "an active sham (a short sine, then no current)",
    "passive_sham": "a passive sham (no current)",
}
SOURCES: Mapping[str, str] = {
    "measured": "measured",
    "commanded": "as commanded, not measured",
    "upper bound": "upper bound, not measured",
}
ONE_PAIR = (
    "One pair of recordings cannot separate drift from effect: alertness, time of day and time on "
    "the chair change the resting rhythm too, and the interval does not cover them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """A line that nobody must miss; kind is ``good``, ``caution``, ``alarm`` or ``emulated``."""

    kind: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigure:
    """One large number with its unit, and a line below."""

    label: str
    value: str
    note: str


def banners(
    record: RecordView | None, current: CurrentSection | None, origin: Provenance
) -> tuple[Banner, ...]:
    """Return what stands at the top, the worst first.

    Parameters
    ----------
    record : RecordView or None
        Of the session.
    current : CurrentSection or None
        Of the session.
    origin : Provenance
        Its checks.
    """
    if record is None:
        return (
            Banner(
                kind="caution",
                title="No stimulation on record",
                text="This session has no run record in the data set.",
            ),
        )
    found = []
    for check in origin.checks:
        if check.ok is False:
            found.append(
                Banner(
                    kind="alarm",
                    title="This record does not verify",
                    text=f"{check.what}: {check.text}. Do not rely on this session's numbers.",
                )
            )
    for text in () if current is None else current.alarms:
        found.append(Banner(kind="alarm", title="Trace and record disagree", text=f"{_stop(text)}"))
    if record.first.get("emulated"):
        found.append(
            Banner(
                kind="emulated",
                title="Emulated device",
                text="The stimulator of this session was emulated: no current flowed through a "
                "person. Nothing on this page shows an effect of stimulation on a person.",
            )
        )
    if record.first.get("faults"):
        found.append(
            Banner(
                kind="emulated",
                title="Faults were injected",
                text=f"For a test, on purpose: {joined([str(x) for x in record.first['faults']])}.",
            )
        )
    protocol = None if current is None else current.protocol
    if protocol is not None and protocol.fallback_note and not record.blinded:
        found.append(
            Banner(
                kind="caution",
                title="Not individualized"
                if protocol.individual is None
                else "Not at the individual peak",
                text="The frequency is not this person's own peak: "
                f"{_stop(protocol.fallback_note)}",
            )
        )
    if record.lines and record.first:
        kind, title, text = OUTCOMES.get(record.outcome, ("alarm", record.outcome, ""))
        cause = f"Cause: {_stop(record.cause)}" if record.cause else ""
        found.append(Banner(kind=kind, title=title, text=f"{text} {cause}".strip()))
    return tuple(found)


def key_figures(
    current: CurrentSection | None, peak: PeakSection | None, outcome: OutcomeSection | None
) -> tuple[KeyFigure, ...]:
    """Return the four figures at the top: peak, prescribed, delivered, change."""
    return (_peak_figure(peak), *_current_figures(current), _change_figure(outcome))


def _peak_figure(peak: PeakSection | None) -> KeyFigure:
    label = "Individual peak"
    if peak is None or peak.estimate is None:
        return KeyFigure(label=label, value="–", note="no recording that could be used")
    data = peak.estimate
    if data["status"] != "found":
        word = "none found" if data["status"] == "no_peak" else "unusable"
        return KeyFigure(label=label, value=word, note="see below for the reasons")
    values = ", ".join(number(hz, 2) for hz in peak.frequencies_hz)
    return KeyFigure(
        label=label,
        value=f"{values}{NARROW}Hz",
        note=f"{peak.interval}{'; provisional' if data['provisional'] else ''}",
    )


def _current_figures(current: CurrentSection | None) -> tuple[KeyFigure, KeyFigure]:
    prescribed, delivered = "Prescribed", "Delivered"
    if current is None or current.protocol is None:
        nothing = "no record of a session"
        return (
            KeyFigure(label=prescribed, value="–", note=nothing),
            KeyFigure(label=delivered, value="–", note=nothing),
        )
    if current.withheld:
        return (
            KeyFigure(label=prescribed, value="withheld", note="blinded session"),
            KeyFigure(label=delivered, value="withheld", note="blinded session"),
        )
    peak_ma = max(row.prescribed_ma for row in current.electrodes)
    first = KeyFigure(
        label=prescribed,
        value=number(peak_ma, 3, "mA"),
        note=f"zero-to-peak ({number(2.0 * peak_ma, 3, 'mA')} peak-to-peak), "
        f"{number(current.protocol.frequency_hz, 3, 'Hz')}, "
        f"{duration(current.protocol.duration_s)}",
    )
    got = current.delivered
    if got is None:
        return first, KeyFigure(label=delivered, value="–", note="the record does not say")
    frequency = several_in_words(got.get("frequencies_hz", ())) or (
        "no sine" if got["frequency_hz"] is None else number(got["frequency_hz"], 3, "Hz")
    )
    second = KeyFigure(
        label=delivered,
        value=number(got["current_peak_ma"], 3, "mA"),
        note=f"zero-to-peak, {SOURCES.get(str(got['source']), str(got['source']))}; {frequency}, "
        f"{duration(got['duration_s'])}, {general(got['rectified_charge_c'], 'C')}",
    )
    return first, second


def _change_figure(outcome: OutcomeSection | None) -> KeyFigure:
    label = "Band power after vs before"
    if outcome is None or outcome.data is None:
        return KeyFigure(label=label, value="–", note="not compared")
    power = outcome.data["power"]
    return KeyFigure(
        label=label,
        value=percent(power["percent"], 0),
        note=f"95 % interval {signed_interval(power['ci95_percent'], 0, '%')}; "
        f"{prediction(outcome.data)}",
    )


def prediction(data: Mapping[str, Any]) -> str:
    """Say how a result stands to what was predicted."""
    direction, expected = data["direction"], data["expected_direction"]
    if direction == "undetermined":
        return "undetermined"
    if expected is None:
        return "no prediction used"
    if data["as_predicted"]:
        return "as predicted"
    if expected == "none":
        return "a change, where none was predicted"
    if direction == "none":
        return f"no change, where {expected} was predicted"
    return "opposite to the prediction"


def summary(
    record: RecordView | None,
    current: CurrentSection | None,
    peak: PeakSection | None,
    outcome: OutcomeSection | None,
) -> tuple[tuple[str, str], ...]:
    """Return the summary: one or two sentences to each part, with its name.

    Parameters
    ----------
    record, current, peak, outcome
        The sections; None where a part is missing.
    """
    parts = [("Peak", _peak_words(peak)), *_current_words(record, current)]
    if outcome is None or outcome.data is None:
        text = "No change from before to after can be reported: a recording is missing or unfit."
        return (*parts, ("Change", text))
    return (*parts, ("Change", _stop(outcome.data["summary"])), ("Caution", ONE_PAIR))


def _peak_words(peak: PeakSection | None) -> str:
    if peak is None or peak.estimate is None:
        return "No individual peak can be reported: no recording from before could be used."
    data = peak.estimate
    if data["status"] != "found":
        verdict = {
            "no_peak": "No individual peak was found before the session",
            "unusable": "The recording from before the session is unusable for a peak",
        }[data["status"]]
        return f"{verdict}: {_stop('; '.join(data['reasons']))}"
    basis = (
        f"from {data['n_channels_used']} channels and {number(data['seconds_used'], 0, 's')} of EEG"
    )
    if peak.is_split:
        return (
            f"Before the session the rhythm was split between {peak.frequency}, {basis}: neither "
            "is the one individual peak, and there is no interval."
        )
    doubt = " It is provisional: record again." if data["provisional"] else ""
    return (
        f"Before the session the individual peak was {peak.frequency} ({peak.interval}), "
        f"{basis}.{doubt}"
    )


def _current_words(
    record: RecordView | None, current: CurrentSection | None
) -> list[tuple[str, str]]:
    if record is None or current is None:
        return [("Stimulation", "No stimulation session is on record.")]
    if current.withheld and current.protocol is not None and current.protocol.blinding is not None:
        text = (
            f"This session is blinded (arm {current.protocol.blinding.label}): what was prescribed "
            "and what was delivered is withheld."
        )
        return [("Stimulation", text)]
    if current.protocol is None:
        text = "What was prescribed and delivered cannot be read from the record."
        return [("Stimulation", text)]
    return [
        ("Prescribed", _prescribed(current.protocol, current)),
        ("Delivered", _delivered(record, current)),
    ]


def _prescribed(protocol: Protocol, current: CurrentSection) -> str:
    loops = joined(
        [f"{loop.source} and {loop.sink}" for loop in protocol.montage.loops], last="as well as"
    )
    peak_ma = max((row.prescribed_ma for row in current.electrodes), default=0.0)
    how = f"{WAVEFORMS[protocol.waveform]} of {number(protocol.frequency_hz, 3, 'Hz')}"
    if protocol.is_sham:
        how = WAVEFORMS[protocol.waveform]
    return (
        f"The protocol prescribed {how} between {loops}, at most {number(peak_ma, 3, 'mA')} "
        f"zero-to-peak ({number(2.0 * peak_ma, 3, 'mA')} peak-to-peak) at an electrode, for "
        f"{duration(protocol.duration_s)} including ramps of {duration(protocol.ramp_up_s)} up and "
        f"{duration(protocol.ramp_down_s)} down.{_trains(protocol)}"
    )


def _trains(protocol: Protocol) -> str:
    """The trains in one sentence; nothing where there are none."""
    trains = protocol.trains
    if trains is None or protocol.is_sham:
        return ""
    steps = f", through {len(trains.steps)} conditions in turn" if trains.steps else ""
    when = "on request" if trains.start == "request" else "by schedule"
    return (
        f" After a run-in with {duration(trains.settle_s)} at full current came at most "
        f"{protocol.n_trains} trains of {number(trains.on_s, 2, 's')} {when}{steps}, "
        f"{number(trains.off_s, 2, 's')} apart at least, with edges of "
        f"{number(trains.edge_s, 2, 's')}."
    )


def _delivered(record: RecordView, current: CurrentSection) -> str:
    got = current.delivered
    if got is None:
        if record.outcome == "refused":
            return "Nothing was delivered: the session was given up before it was armed."
        return "What was delivered is not on record."
    source = str(got["source"])
    whose = "emulated " if record.first.get("emulated") else ""
    opening = {
        "measured": f"The {whose}trace shows",
        "commanded": "Nothing measured the current; as commanded, there were",
        "upper bound": "Nothing measured the current; as an upper bound, there were",
    }.get(source, source)
    text = (
        f"{opening} {duration(got['duration_s'])} of current with a peak of "
        f"{number(got['current_peak_ma'], 3, 'mA')} zero-to-peak"
    )
    if several := several_in_words(got.get("frequencies_hz", ())):
        text += f" at {several}"
    elif got["frequency_hz"] is not None:
        text += f" at {number(got['frequency_hz'], 3, 'Hz')}"
    row = next((row for row in current.dose if row.unit == "mA"), None)
    if source == "measured" and row is not None and row.difference_percent is not None:
        text += (
            f" ({percent(row.difference_percent, 2)} against the "
            f"{number(row.commanded, 3, 'mA')} commanded)"
        )
    return f"{text}; rectified charge {general(got['rectified_charge_c'], 'C')}."


def _stop(text: str) -> str:
    """A sentence ends with one full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
