"""Helpers for the rules of loops: what is seen, with everything given."""

from __future__ import annotations

import math
from typing import Any

from analysis.loop_terms import Carrier, Seen
from analysis.phase import PhaseEstimate


def estimate(phase_rad: float = 0.0, hz: float = 10.0, **changes: Any) -> PhaseEstimate:
    fields = {
        "phase_rad": phase_rad,
        "frequency_hz": hz,
        "amplitude_uv": 10.0,
        "credible_width_rad": 1.0,
        "valid": True,
        "reason": "",
    }
    return PhaseEstimate(**{**fields, **changes})


def seen(now_s: float, phase_rad: float = 0.0, hz: float = 10.0, **changes: Any) -> Seen:
    """Look at a rhythm; by default its phase is that of the newest sample, 4 ms ago."""
    valid = changes.pop("valid", True)
    amplitude_uv = changes.pop("amplitude_uv", 10.0)
    fields = {
        "now_s": now_s,
        "sample_s": now_s - 0.004,
        "estimate": estimate(
            phase_rad, hz, valid=valid, amplitude_uv=amplitude_uv, reason="" if valid else "no"
        ),
        "horizon_s": 0.0,
        "latency_s": 0.005,
        "with_current": False,
        "ready": True,
        "carrier": Carrier(0.0, 0.0, 10.0),
    }
    return Seen(**{**fields, **changes})


def true_phase(time_s: float, hz: float, begin_rad: float = 0.0) -> float:
    return math.remainder(begin_rad + 2.0 * math.pi * hz * time_s, 2.0 * math.pi)
