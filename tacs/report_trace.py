"""The delivered current of a session for its report: read, held against the record, drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tacs.dataset import SessionPaths
from tacs.dose import Delivered, measure, read_trace
from tacs.errors import InputError
from tacs.protocol import Protocol
from tacs.report_drawing import data_uri
from tacs.report_figures import (
    Trace,
    plot_full_current,
    plot_ramp_up,
    plot_session_current,
)
from tacs.report_montage import plot_montage
from tacs.report_page import Picture
from tacs.report_record import RecordView
from tacs.report_words import joined, number

__all__ = ["draw_current", "draw_montage", "load_trace", "trace_of"]


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


def trace_of(
    paths: SessionPaths, record: RecordView, missing: list[str], alarms: list[str]
) -> Trace | None:
    """Return the trace, where there is one, held against what the record says of it.

    Parameters
    ----------
    paths : SessionPaths
        Where it is.
    record : RecordView
        The record.
    missing, alarms : list of str
        Given a line where the trace is not there, and where it is not the one measured.
    """
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
        gap_s = None if record.protocol is None else record.protocol.gap_s
        shown = measure(trace.samples_ma, trace.columns, trace.rate_hz, gap_s=gap_s)
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


def draw_montage(protocol: Protocol) -> Picture:
    """Draw the montage for the page."""
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


def draw_current(
    record: RecordView, protocol: Protocol, trace: Trace | None, missing: list[str]
) -> tuple[Picture, ...]:
    """Draw the whole session, the ramp-up and a second at full current.

    Parameters
    ----------
    record : RecordView
        The record.
    protocol : Protocol
        As run.
    trace : Trace or None
        Delivered current.
    missing : list of str
        Given a line for every figure that cannot be drawn.
    """
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
        here = replace(commanded, frequency_hz=commanded.frequency_at(at_s))
        found.append(
            Picture(
                src=data_uri(plot_full_current(trace, here, at_s)),
                alt=f"Delivered sine over the commanded one at {names}, "
                f"{number(here.frequency_hz, 3, 'Hz')}.",
                caption="In the middle of full current: delivered (thin) over commanded (broad). "
                "The commanded sine is shifted in time to fit; height and frequency are not.",
            )
        )
    return tuple(found)
