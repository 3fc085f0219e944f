"""Made rigs, sheets and entries of a device that a person sets."""

from __future__ import annotations

from typing import Any

from tacs.by_hand import Sheet, sheet_of
from tacs.double_entry import Entry
from tacs.protocol import Protocol
from tacs.rig import Rig
from tests.tacs.made import channel_data

OPTIONS: dict[str, Any] = {
    "device_name": "made panel",
    "amplitude_display": "peak_to_peak",
    "amplitude_step_ma": 0.025,
    "frequency_step_hz": 0.01,
    "duration_step_s": 1,
    "duration_includes_ramps": False,
    "ramp_step_s": 1,
    "phase_step_deg": 1,
    "device_stop_s": 0.1,
}


def options(*without: str, **changes: Any) -> dict[str, Any]:
    """Options of a panel, some changed and some left out."""
    return {name: v for name, v in {**OPTIONS, **changes}.items() if name not in without}


def hand_rig(*without: str, **changes: Any) -> Rig:
    """A rig with one loop Oz-Cz and one F3-Cz, and a panel."""
    plain = {"gain_ma_per_v": None, "input_max_v": None}
    channels = [
        {k: v for k, v in channel_data(n, end, "Cz", **plain).items() if v is not None}
        for n, end in ((1, "Oz"), (2, "F3"))
    ]
    data = {
        "name": "made",
        "device": "manual",
        "channels": channels,
        "options": options(*without, **changes),
    }
    return Rig.from_data(data, "made rig")


def read_back(protocol: Protocol, rig: Rig, by: str = "A. Lovelace", **changes: str) -> Entry:
    """What somebody types who reads the panel, with changes."""
    shown = {s.key: s.text for s in sheet_of(protocol, rig).settings}
    return Entry(by=by, settings={**shown, **changes})


def texts(sheet: Sheet) -> dict[str, str]:
    """Settings of a sheet by key."""
    return {setting.key: setting.text for setting in sheet.settings}
