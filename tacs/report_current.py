"""The stimulation part of a report: prescribed, commanded and delivered, limits, timeline."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tacs.dataset import SessionPaths
from tacs.limits import LIMITS
from tacs.protocol import Electrode, Protocol
from tacs.report_page import Picture
from tacs.report_record import Commanded, RecordView, StateChange
from tacs.report_trace import draw_current, draw_montage, trace_of
from tacs.report_words import clock, joined, number
from tacs.safety import Margin, margins
from tacs.waveform import Waveform

__all__ = [
    "CurrentSection",
    "DoseRow",
    "ElectrodeRow",
    "LimitRow",
    "by_limit",
    "current_section",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseRow:
    """One quantity: prescribed, commanded, delivered."""

    what: str
    unit: str
    digits: int
    prescribed: float | None
    commanded: float | None
    delivered: float | None

    @property
    def difference_percent(self) -> float | None:
        """Delivered against commanded."""
        if self.delivered is None or not self.commanded:
            return None
        return 100.0 * (self.delivered / self.commanded - 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectrodeRow:
    """One electrode.

    Parameters
    ----------
    electrode : Electrode
        Name, area, material.
    prescribed_ma, commanded_ma, delivered_ma : float or None
        Zero-to-peak.
    density_a_m2 : float
        Of the worst-case peak, as the limits are checked.
    charge_c, charge_c_m2 : float or None
        Rectified, as delivered, and over the area.
    mean_ma : float or None
        Direct current in the delivered current.
    """

    electrode: Electrode
    prescribed_ma: float
    commanded_ma: float | None
    delivered_ma: float | None
    density_a_m2: float | None
    charge_c: float | None
    charge_c_m2: float | None
    mean_ma: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    """One limit with the value against it, and who set it."""

    margin: Margin
    meaning: str
    sense: str
    default: float
    basis: str
    set_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentSection:
    """Everything the page says about the current.

    Parameters
    ----------
    protocol : Protocol
        As run; its arm-bearing fields must not be shown where `withheld`.
    withheld : bool
        A blinded session: arm, waveform, currents and trace stay out of this object.
    unreadable : str or None
        Why nothing can be shown, where the record does not give a protocol.
    ended_early_s : float or None
        Whole seconds to the stop or the fault of a blinded session; None where neither came.
    source : str or None
        Where the delivered numbers come from: ``measured``, ``commanded`` or ``upper bound``.
    """

    protocol: Protocol | None
    withheld: bool
    unreadable: str | None = None
    source: str | None = None
    dose: tuple[DoseRow, ...] = ()
    electrodes: tuple[ElectrodeRow, ...] = ()
    limits: tuple[LimitRow, ...] = ()
    states: tuple[StateChange, ...] = ()
    pictures: tuple[Picture, ...] = ()
    montage: Picture | None = None
    missing: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    delivered: Mapping[str, Any] | None = None
    quiet_after_stop_s: float | None = None
    ended_early_s: float | None = None
    set_in_device: str = ""


def current_section(paths: SessionPaths, record: RecordView) -> CurrentSection:
    """Build the section from a record and its trace.

    Parameters
    ----------
    paths : SessionPaths
        Where the trace is.
    record : RecordView
        The record.

    Returns
    -------
    CurrentSection
        Of a blinded session, without anything that depends on the arm.
    """
    protocol = record.protocol
    if protocol is None:
        return CurrentSection(protocol=None, withheld=False, unreadable=_unreadable(record))
    if record.blinded:
        return CurrentSection(
            protocol=protocol, withheld=True, ended_early_s=_ended_early_s(record)
        )
    missing: list[str] = []
    alarms: list[str] = []
    trace = trace_of(paths, record, missing, alarms)
    end = record.end or {}
    delivered = end.get("delivered")
    source = None if delivered is None else str(delivered["source"])
    limits = _limit_rows(record, protocol)
    return CurrentSection(
        protocol=protocol,
        withheld=False,
        source=source,
        dose=_dose_rows(protocol, record, delivered),
        electrodes=_electrode_rows(protocol, record.commanded, delivered, limits),
        limits=limits,
        states=_timeline(record.states),
        pictures=draw_current(record, protocol, trace, missing),
        montage=draw_montage(protocol),
        missing=tuple(missing),
        alarms=tuple(alarms),
        delivered=delivered,
        quiet_after_stop_s=end.get("quiet_after_stop_s", end.get("quiet_after_last_command_s")),
        set_in_device=_set_in_device(record),
    )


def _timeline(states: Sequence[StateChange]) -> tuple[StateChange, ...]:
    """Changes of state, those of trains that follow each other in one line."""

    def of_trains(change: StateChange) -> bool:
        names = {"train_rise", "train_on", "train_fall", "between_trains"}
        return change.before in names and change.after in names and not change.cause

    rows: list[StateChange] = []
    for planned, group in itertools.groupby(states, of_trains):
        changes = list(group)
        begun = sum(change.after == "train_rise" for change in changes)
        if not planned or begun < 2:
            rows += changes
            continue
        last_s = changes[-1].at_s
        until = "" if last_s is None else f", to {clock(last_s)}"
        rows.append(replace(changes[0], after="trains", cause=f"{begun} trains{until}"))
    return tuple(rows)


def _ended_early_s(record: RecordView) -> float | None:
    """When a stop or a fault came; how the output then fell silent would tell the arm."""
    at_s = next(
        (x.at_s for x in record.states if x.after in {"stopping", "stopped", "fault"}), None
    )
    return None if at_s is None else float(math.floor(at_s))


def _unreadable(record: RecordView) -> str:
    """Why a record gives no protocol."""
    if not record.first:
        return (
            "The first line of the run record does not verify: nothing can be said of the session."
        )
    return f"The session cannot be shown: {'; '.join(record.misfits)}."


def _dose_rows(
    protocol: Protocol,
    record: RecordView,
    delivered: Mapping[str, Any] | None,
) -> tuple[DoseRow, ...]:
    """Prescribed, commanded and delivered, side by side."""
    waveform, commanded = Waveform(protocol), record.commanded
    peak_ma = max(waveform.peak_ma(name) for name in waveform.electrodes)
    charge_c = max(waveform.rectified_charge_c(name) for name in waveform.electrodes)
    dlv = delivered or {}
    measured = bool(delivered) and dlv["source"] == "measured"
    largest_dc = max((abs(ma) for ma in dlv["mean_ma"].values()), default=0.0) if measured else None
    dlv_ma = dlv.get("current_peak_ma")
    top_ma = None if commanded is None else commanded.current_peak_ma
    zero = None if commanded is None else 0.0
    silent = protocol.waveform == "passive_sham"
    played_hz = () if commanded is None else commanded.frequencies_hz

    def row(
        what: str,
        unit: str,
        digits: int,
        prescribed: float | None,
        commanded_value: float | None,
        delivered_value: float | None,
    ) -> DoseRow:
        return DoseRow(
            what=what,
            unit=unit,
            digits=digits,
            prescribed=prescribed,
            commanded=commanded_value,
            delivered=delivered_value,
        )

    return (
        *_time_rows(row, record, protocol, dlv),
        *(
            row(what, "Hz", 3, None if silent else protocol.frequency_hz, sent_hz, measured_hz)
            for what, sent_hz, measured_hz in (
                [("Frequency", record.achieved_hz, dlv.get("frequency_hz"))]
                if len(played_hz) < 2
                else [
                    ("Frequency, lowest of several", min(played_hz), None),
                    ("Frequency, highest of several", max(played_hz), None),
                ]
            )
        ),
        row("Largest current at an electrode, zero-to-peak", "mA", 3, peak_ma, top_ma, dlv_ma),
        row(
            "The same, peak-to-peak",
            "mA",
            3,
            2.0 * peak_ma,
            None if top_ma is None else 2.0 * top_ma,
            None if dlv_ma is None else 2.0 * dlv_ma,
        ),
        row(
            "Rectified charge, largest electrode",
            "C",
            4,
            0.0 if silent else charge_c,
            None if commanded is None else commanded.rectified_charge_c,
            dlv.get("rectified_charge_c"),
        ),
        row("Direct current, largest mean", "mA", 4, 0.0, zero, largest_dc),
        row(
            "Sum over the electrodes, largest",
            "mA",
            4,
            0.0,
            zero,
            dlv["balance_ma"] if measured else None,
        ),
    )


def _time_rows(
    row: Callable[..., DoseRow],
    record: RecordView,
    protocol: Protocol,
    dlv: Mapping[str, Any],
) -> list[DoseRow]:
    """Time with current; of trains without their gaps, and how many there were."""
    waveform, commanded = Waveform(protocol), record.commanded
    if protocol.gap_s is None:
        on_s = None if commanded is None else commanded.current_on_s
        what = "From the first to the last current"
        return [row(what, "s", 1, waveform.current_on_s, on_s, dlv.get("duration_s"))]
    begun, whole = record.trains
    on_s = None if commanded is None else commanded.with_current_s
    # What is measured are stretches with current: every ramp that settled is one of them.
    run_ins = sum(1 for s in record.states if (s.before, s.after) == ("hold", "train_fall"))
    bursts = dlv.get("bursts")
    measured = None if bursts is None else float(max(bursts - run_ins, 0))
    return [
        row("Time with current, without gaps", "s", 1, waveform.current_on_s, on_s,
            dlv.get("duration_s")),
        row("Trains begun", "", 0, float(protocol.n_trains), float(begun), measured),
        row("Trains to their planned end", "", 0, float(protocol.n_trains), float(whole), None),
    ]  # fmt: skip


def by_limit(rows: Sequence[LimitRow]) -> list[tuple[str, list[LimitRow]]]:
    """Group the rows of the table of limits, in their order."""
    return [
        (name, list(group)) for name, group in itertools.groupby(rows, lambda row: row.margin.limit)
    ]


def _electrode_rows(
    protocol: Protocol,
    commanded: Commanded | None,
    delivered: Mapping[str, Any] | None,
    limits: Sequence[LimitRow],
) -> tuple[ElectrodeRow, ...]:
    waveform, got = Waveform(protocol), delivered or {}
    top = max(commanded.levels) if commanded is not None else None
    measured = bool(delivered) and got["source"] == "measured"
    density = {
        row.margin.where: row.margin.value
        for row in limits
        if row.margin.limit == "current_density_peak_a_m2"
    }
    rows = []
    for electrode in protocol.montage.electrodes:
        name = electrode.name
        charge_c = got.get("electrode_charge_c", {}).get(name)
        rows.append(
            ElectrodeRow(
                electrode=electrode,
                prescribed_ma=waveform.peak_ma(name),
                commanded_ma=None if top is None else top * waveform.peak_ma(name),
                delivered_ma=got.get("electrodes", {}).get(name) if measured else None,
                density_a_m2=density.get(name),
                charge_c=charge_c,
                charge_c_m2=None if charge_c is None else 1e4 * charge_c / electrode.area_cm2,
                mean_ma=got.get("mean_ma", {}).get(name) if measured else None,
            )
        )
    return tuple(rows)


def _limit_rows(record: RecordView, protocol: Protocol) -> tuple[LimitRow, ...]:
    """The margins as the check before arming saw them, with who set each limit."""
    if record.limits is None:
        return ()
    order = list(LIMITS)
    found = sorted(margins(protocol, record.limits), key=lambda m: order.index(m.limit))
    return tuple(
        LimitRow(
            margin=margin,
            meaning=LIMITS[margin.limit].meaning,
            sense=LIMITS[margin.limit].sense,
            default=LIMITS[margin.limit].default,
            basis=LIMITS[margin.limit].source,
            set_by=record.limits.set_by[margin.limit],
        )
        for margin in found
    )


def _set_in_device(record: RecordView) -> str:
    """What the device's grid made of the protocol."""
    line = next(
        (x for x in record.lines if x.kind == "answer" and x.data.get("verb") == "configure"), None
    )
    if line is None:
        return ""
    channels = joined(
        [
            f"channel {channel} {number(float(ma), 4, 'mA')}"
            for channel, ma in line.data.get("currents_peak_ma", {}).items()
        ]
    )
    return f"{number(float(line.data['frequency_hz']), 4, 'Hz')}; {channels} zero-to-peak"
