"""The stimulation part of a report: prescribed, commanded and delivered, limits, timeline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacs.dataset import SessionPaths
from tacs.dose import Delivered, measure, read_trace
from tacs.errors import InputError
from tacs.limits import LIMITS
from tacs.protocol import Electrode, Protocol
from tacs.report_figures import (
    Trace,
    data_uri,
    plot_full_current,
    plot_ramp_up,
    plot_session_current,
)
from tacs.report_montage import plot_montage
from tacs.report_record import Commanded, RecordView, StateChange
from tacs.report_words import joined, number
from tacs.safety import Margin, margins
from tacs.waveform import Waveform

__all__ = [
    "CurrentSection",
    "DoseRow",
    "ElectrodeRow",
    "LimitRow",
    "Picture",
    "current_section",
    "load_trace",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure ready for the page."""

    src: str
    alt: str
    caption: str


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
    set_in_device: str = ""


def load_trace(path: Path) -> Trace:
    """Read a trace with its sidecar.

    Parameters
    ----------
    path : Path
        ``…_stim.tsv.gz``.

    Raises
    ------
    InputError
        The sidecar or the trace cannot be read.
    """
    sidecar = path.with_name(path.name.removesuffix(".tsv.gz") + ".json")
    try:
        data = json.loads(sidecar.read_text(encoding="utf-8"))
        columns = tuple(str(name) for name in data["Columns"])
        rate_hz, start_s = float(data["SamplingFrequency"]), float(data["StartTime"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{sidecar}: the trace's sidecar cannot be read ({exc})") from exc
    try:
        samples = read_trace(path, len(columns))
    except (OSError, ValueError) as exc:
        raise InputError(f"{path}: the trace cannot be read ({exc})") from exc
    return Trace(samples, columns, rate_hz, start_s)


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
        ends = dict.fromkeys((*record.states[:1], *record.states[-1:]))
        return CurrentSection(protocol=protocol, withheld=True, states=tuple(ends))
    missing: list[str] = []
    alarms: list[str] = []
    trace = _trace(paths, record, missing, alarms)
    end = record.end or {}
    delivered = end.get("delivered")
    source = None if delivered is None else str(delivered["source"])
    limits = _limit_rows(record, protocol)
    return CurrentSection(
        protocol=protocol,
        withheld=False,
        source=source,
        dose=_dose_rows(protocol, record, delivered, end.get("commanded")),
        electrodes=_electrode_rows(protocol, record.commanded, delivered, limits),
        limits=limits,
        states=record.states,
        pictures=_pictures(record, protocol, trace, missing),
        montage=_montage(protocol),
        missing=tuple(missing),
        alarms=tuple(alarms),
        delivered=delivered,
        quiet_after_stop_s=end.get("quiet_after_stop_s", end.get("quiet_after_last_command_s")),
        set_in_device=_set_in_device(record),
    )


def _unreadable(record: RecordView) -> str:
    """Why a record gives no protocol."""
    if not record.first:
        return (
            "The first line of the run record does not verify: nothing can be said of the session."
        )
    return f"The session cannot be shown: {'; '.join(record.misfits)}."


def _trace(
    paths: SessionPaths, record: RecordView, missing: list[str], alarms: list[str]
) -> Trace | None:
    """The trace, where there is one, held against what the record says of it."""
    if not paths.trace.exists():
        missing.append(
            "No trace of the delivered current is in the data set: nothing measured it, or the "
            "file was removed. The figures show what was commanded."
        )
        return None
    try:
        trace = load_trace(paths.trace)
    except InputError as exc:
        missing.append(f"The trace of the delivered current cannot be shown: {exc}.")
        return None
    said = (record.end or {}).get("delivered")
    if said is not None and said["source"] == "measured":
        shown = measure(trace.samples_ma, trace.columns, trace.rate_hz)
        alarms += _disagreements(shown, said)
    return trace


def _disagreements(shown: Delivered, said: Mapping[str, Any]) -> list[str]:
    """Where the trace on disk is not the one that the record speaks of; the trace has no chain."""
    seen = shown.to_dict()
    found = []
    for key, what, unit, tolerance in (
        ("current_peak_ma", "largest current", "mA", 0.002),
        ("duration_s", "time with current", "s", 0.05),
        ("rectified_charge_c", "rectified charge", "C", 0.002 * said["rectified_charge_c"] + 1e-5),
    ):
        if not abs(seen[key] - said[key]) <= tolerance:
            found.append(
                f"{what}: {number(said[key], 3, unit)} in the record, "
                f"{number(seen[key], 3, unit)} in the trace file"
            )
    if not found:
        return []
    return [
        "The trace file does not show what the record says was measured "
        f"({'; '.join(found)}). It was changed or exchanged after the session."
    ]


def _dose_rows(
    protocol: Protocol,
    record: RecordView,
    delivered: Mapping[str, Any] | None,
    booked: Mapping[str, Any] | None,
) -> tuple[DoseRow, ...]:
    """Prescribed, commanded and delivered, side by side."""
    waveform, commanded = Waveform(protocol), record.commanded
    peak_ma = max(waveform.peak_ma(name) for name in waveform.electrodes)
    top_ma = None
    if commanded is not None:
        top_ma = max(commanded.levels) * max(commanded.peaks_ma.values())
    charge_c = max(waveform.rectified_charge_c(name) for name in waveform.electrodes)
    dlv, cmd = delivered or {}, booked or {}
    measured = bool(delivered) and dlv["source"] == "measured"
    largest_dc = max((abs(ma) for ma in dlv["mean_ma"].values()), default=0.0) if measured else None
    dlv_ma = dlv.get("current_peak_ma")
    silent = protocol.waveform == "passive_sham"

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
        row(
            "Time with current",
            "s",
            1,
            waveform.current_on_s,
            cmd.get("duration_s"),
            dlv.get("duration_s"),
        ),
        row(
            "Frequency",
            "Hz",
            3,
            None if silent else protocol.frequency_hz,
            record.achieved_hz,
            dlv.get("frequency_hz"),
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
            3,
            0.0 if silent else charge_c,
            cmd.get("rectified_charge_c"),
            dlv.get("rectified_charge_c"),
        ),
        row("Direct current, largest mean", "mA", 4, 0.0, 0.0 if cmd else None, largest_dc),
        row(
            "Sum over the electrodes, largest",
            "mA",
            4,
            0.0,
            0.0 if cmd else None,
            dlv["balance_ma"] if measured else None,
        ),
    )


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
    return tuple(
        LimitRow(
            margin=margin,
            meaning=LIMITS[margin.limit].meaning,
            sense=LIMITS[margin.limit].sense,
            default=LIMITS[margin.limit].default,
            basis=LIMITS[margin.limit].source,
            set_by=record.limits.set_by[margin.limit],
        )
        for margin in margins(protocol, record.limits)
    )


def _montage(protocol: Protocol) -> Picture:
    loops = joined(
        [
            f"{loop.source} to {loop.sink} {loop.current_peak_ma:g} mA zero-to-peak"
            for loop in protocol.montage.loops
        ]
    )
    return Picture(
        src=data_uri(plot_montage(protocol.montage)),
        alt=f"Head seen from above, nose up, with current loops: {loops}.",
        caption="Montage from above, nose up. Arrows: current loops in the direction of the "
        "positive half-wave, zero-to-peak; the direction reverses every half cycle. A scheme, "
        "not to scale.",
    )


def _pictures(
    record: RecordView, protocol: Protocol, trace: Trace | None, missing: list[str]
) -> tuple[Picture, ...]:
    commanded = record.commanded
    if commanded is None:
        missing.append("The programme was never started: there is no current to draw.")
        return ()
    whose = "Commanded" if trace is None else "Commanded and delivered"
    seen = (
        "commanded envelope only"
        if trace is None
        else "blue: delivered, lowest to highest value; orange lines: commanded envelope"
    )
    marks = [
        (change.at_s, "fault" if change.after == "fault" else change.after)
        for change in record.states
        if change.at_s is not None and change.after in {"paused", "stopping", "fault"}
    ]
    names = joined(list(commanded.peaks_ma))
    top = max(commanded.levels) * max(commanded.peaks_ma.values())
    found = [
        Picture(
            src=data_uri(plot_session_current(trace, commanded, marks)),
            alt=f"{whose} current over the session at {names}; highest commanded "
            f"{number(top, 3, 'mA')} zero-to-peak.",
            caption=f"The whole session at each electrode ({seen}).",
        )
    ]
    if protocol.waveform != "passive_sham":
        found.append(
            Picture(
                src=data_uri(plot_ramp_up(trace, commanded, protocol.ramp_up_s)),
                alt=f"{whose} current during the ramp-up of {protocol.ramp_up_s:g} s at {names}.",
                caption=f"Ramp-up ({seen}).",
            )
        )
    if trace is None:
        return tuple(found)
    if set(trace.columns) != set(commanded.peaks_ma):
        missing.append("The trace has other electrodes than the protocol: no close-up is drawn.")
    elif record.hold_s is None:
        missing.append("Full current was never reached: there is no close-up of it.")
    else:
        begin_s, end_s = record.hold_s
        at_s = max(begin_s, 0.5 * (begin_s + end_s) - 0.5)
        found.append(
            Picture(
                src=data_uri(plot_full_current(trace, commanded, at_s)),
                alt=f"Delivered sine over the commanded one at {names}, "
                f"{number(commanded.frequency_hz, 3, 'Hz')}.",
                caption="In the middle of full current: delivered (thin) over commanded (broad). "
                "The commanded sine is shifted in time to fit; height and frequency are not.",
            )
        )
    return tuple(found)


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
