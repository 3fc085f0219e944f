"""Made protocols, rigs and devices for the tests, and hypothesis strategies for any valid one."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from analysis.peak import PeakEstimate
from tacs.capabilities import Capabilities
from tacs.electrodes import SITES
from tacs.protocol import Protocol
from tacs.rig import Rig


def protocol_data(**changes: Any) -> dict[str, Any]:
    """Data of a valid protocol, plain as TOML gives it, with top-level changes."""
    data: dict[str, Any] = {
        "name": "made",
        "waveform": "tacs",
        "frequency_hz": 10.27,
        "duration_s": 1200.0,
        "ramp_up_s": 30.0,
        "ramp_down_s": 15.0,
        "montage": {
            "electrodes": [
                {"name": "Oz", "area_cm2": 25.0, "material": "conductive_rubber_paste"},
                {"name": "Cz", "area_cm2": 25.0, "material": "conductive_rubber_paste"},
            ],
            "loops": [{"source": "Oz", "sink": "Cz", "current_peak_ma": 1.0}],
        },
        "expected_effect": {
            "direction": "increase",
            "measure": "alpha power",
            "region": "posterior",
        },
    }
    data.update(copy.deepcopy(changes))
    return data


def protocol(**changes: Any) -> Protocol:
    """A valid protocol."""
    return Protocol.from_data(protocol_data(**changes), "made")


def montage_data(*loops: tuple[Any, ...], area_cm2: float = 25.0) -> dict[str, Any]:
    """A montage from (source, sink, current_peak_ma[, phase_deg]) tuples."""
    names = list(dict.fromkeys(name for loop in loops for name in loop[:2]))
    return {
        "electrodes": [
            {"name": name, "area_cm2": area_cm2, "material": "conductive_rubber_paste"}
            for name in names
        ],
        "loops": [
            {
                "source": loop[0],
                "sink": loop[1],
                "current_peak_ma": loop[2],
                "phase_deg": loop[3] if len(loop) > 3 else 0.0,
            }
            for loop in loops
        ],
    }


def individual_data(**changes: Any) -> dict[str, Any]:
    """Data of a peak's owner."""
    return {
        "subject": "01",
        "peak_hz": 10.271,
        "ci95_hz": [10.1, 10.4],
        "recording": "rest.edf",
        "recording_sha256": "0" * 64,
        "measured_at": "2026-03-01T09:30:00+00:00",
        "method": "made",
        **changes,
    }


def channel_data(channel: int, positive: str, negative: str, /, **changes: Any) -> dict[str, Any]:
    """Data of one rig channel."""
    return {
        "channel": channel,
        "positive": positive,
        "negative": negative,
        "stimulator": "made",
        "isolated": True,
        "gain_ma_per_v": 2.0,
        "input_max_v": 2.0,
        "current_max_ma": 4.0,
        "compliance_v": 60.0,
        "calibration": {
            "calibrated_on": "2026-01-01",
            "expires_on": "2027-01-01",
            "load_kohm": 10.0,
            "by": "made",
        },
        **changes,
    }


def rig(*channels: dict[str, Any], **changes: Any) -> Rig:
    """A valid rig."""
    data = {"name": "made", "device": "made", "channels": list(channels), **changes}
    return Rig.from_data(data, "made rig")


def capabilities(**changes: Any) -> Capabilities:
    """A voltage source like a Synth Pal: four outputs, one frequency, no phase setting."""
    fields: dict[str, Any] = {
        "name": "made",
        "verified": False,
        "output": "voltage",
        "n_channels": 4,
        "shared_frequency": True,
        "frequency_min_hz": 0.01,
        "frequency_max_hz": 1000.0,
        "frequency_step_hz": 0.01,
        "phase_step_deg": None,
        "amplitude_step_v": 0.0003,
        "amplitude_max_v": 10.0,
        "frequency_change": "phase_continuous",
        "device_ramps": True,
        "soft_stop": True,
        "status_readback": True,
        "impedance": False,
        "current_readback": False,
        "play_duration_max_s": 3600.0,
        "soft_stop_s": 0.8,
        "emergency_stop_s": 0.1,
        "on_host_loss": "the current ends with the play duration",
        "host_loss_worst_case_s": 1.8,
    }
    return Capabilities(**{**fields, **changes})


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """Finite numbers within bounds."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


@st.composite
def protocols(draw: st.DrawFn) -> Protocol:
    """Any valid protocol: up to five electrodes, up to five loops, every waveform."""
    names = draw(st.lists(st.sampled_from(sorted(SITES)), min_size=2, max_size=5, unique=True))
    pairs = [(names[i], names[(i + 1) % len(names)]) for i in range(len(names))]
    loops = [
        (*draw(st.permutations(pair)), draw(numbers(0.001, 4.0)), draw(numbers(0.0, 359.9)))
        for pair in pairs[: max(len(names) - 1, 1)]
    ]
    waveform = draw(st.sampled_from(["tacs", "active_sham", "passive_sham"]))
    up_s, down_s, plateau_s = (draw(numbers(0.5, 60.0)) for _ in range(3))
    text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
    changes: dict[str, Any] = {
        "name": draw(text.filter(str.strip)),
        "waveform": waveform,
        "frequency_hz": draw(numbers(0.1, 150.0)),
        "ramp_up_s": up_s,
        "ramp_down_s": down_s,
        "duration_s": up_s + down_s + plateau_s + draw(numbers(0.1, 2000.0)),
        "montage": montage_data(*loops, area_cm2=draw(numbers(0.5, 60.0))),
    }
    if waveform == "active_sham":
        changes["sham_plateau_s"] = plateau_s
    if draw(st.booleans()):
        changes["individual"] = individual_data(method=draw(text.filter(str.strip)))
    if draw(st.booleans()):
        changes["fallback_note"] = draw(text)
    if draw(st.booleans()):
        changes["blinding"] = {"label": draw(st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True))}
    return protocol(**changes)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
"""Whatever a TOML or JSON file may hold."""


@st.composite
def spoiled(draw: st.DrawFn, data: dict[str, Any]) -> dict[str, Any]:
    """Valid data with some value, anywhere, replaced by anything, or taken away."""
    data = copy.deepcopy(data)
    spot: Any = data
    while True:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        key = draw(st.sampled_from(keys))
        deeper = isinstance(spot[key], dict | list) and len(spot[key]) > 0
        if deeper and draw(st.booleans()):
            spot = spot[key]
        elif draw(st.booleans()):
            spot[key] = draw(anything)
            return data
        else:
            del spot[key]
            return data


def peak(frequency_hz: float = 10.271, **changes: Any) -> PeakEstimate:
    """A peak that was found in subject 01 on 1 March 2026."""
    fields: dict[str, Any] = {
        "status": "found",
        "frequency_hz": frequency_hz,
        "ci95_hz": (frequency_hz - 0.15, frequency_hz + 0.15),
        "center_of_gravity_hz": frequency_hz,
        "prominence_db": 10.0,
        "n_channels_used": 9,
        "channels": ("O1", "Oz", "O2"),
        "seconds_used": 120.0,
        "aperiodic_exponent": 1.1,
        "warnings": (),
        "reasons": (),
        "subject": "01",
        "recording": "rest.edf",
        "recording_sha256": "0" * 64,
        "measured_at": "2026-03-01T09:30:00+00:00",
        "recorded_at": None,
        "method": "made",
    }
    return PeakEstimate(**{**fields, **changes})


def no_peak(status: str = "no_peak", **changes: Any) -> PeakEstimate:
    """A recording without a peak."""
    empty = dict.fromkeys(
        ("frequency_hz", "ci95_hz", "center_of_gravity_hz", "prominence_db"), None
    )
    reasons = ("no rhythm stands out", "too short")
    return replace(peak(), **{"status": status, "reasons": reasons, **empty, **changes})
