"""What a protocol tells a comparison: expected direction, region, electrodes, frequency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from analysis.channels import normal_name
from analysis.errors import AnalysisError

EXPECTED = ("increase", "decrease", "none")
KEYS = ("expected_direction", "stimulated_electrodes", "region", "frequency_hz")


def check_protocol(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check what the protocol says.

    Parameters
    ----------
    given : mapping or None
        `expected_direction`, `stimulated_electrodes`, `region`, `frequency_hz` as in
        `analysis.compare`.

    Returns
    -------
    dict
        The same.

    Raises
    ------
    AnalysisError
        If a key or the direction is unknown, or the frequency is no positive number.
    """
    info = dict(given or {})
    unknown = sorted(set(info) - set(KEYS))
    if unknown:
        raise AnalysisError(f"protocol_info holds {', '.join(unknown)}; it takes {', '.join(KEYS)}")
    expected = info.get("expected_direction")
    if expected is not None and expected not in EXPECTED:
        raise AnalysisError(
            f"expected_direction is {expected!r}: give one of {', '.join(EXPECTED)}"
        )
    frequency_hz = info.get("frequency_hz")
    if frequency_hz is not None and not (
        isinstance(frequency_hz, (int, float)) and 0.0 < frequency_hz < math.inf
    ):
        raise AnalysisError(f"frequency_hz is {frequency_hz!r}: give a positive number")
    return info


def stimulated_channels(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Usual names of the electrodes that carried current; empty where the protocol names none."""
    electrodes = info.get("stimulated_electrodes") or ()
    names = [electrodes] if isinstance(electrodes, str) else electrodes
    return tuple(normal_name(str(name)) for name in names)
