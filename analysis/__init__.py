"""Everything that looks at signals; knows nothing of devices and sessions.

Names are imported on first use, so that ``import analysis`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.errors import AnalysisError, RecordingError, UnusableRecording
    from analysis.estimate import PeakEstimate
    from analysis.io import Recording, load_recording, read_raw
    from analysis.outcome import Outcome, compare
    from analysis.peak import find_peak
    from analysis.quality import Quality, assess

__all__ = [
    "AnalysisError",
    "Outcome",
    "PeakEstimate",
    "Quality",
    "Recording",
    "RecordingError",
    "UnusableRecording",
    "assess",
    "compare",
    "find_peak",
    "load_recording",
    "read_raw",
]

_HOME = {
    "AnalysisError": "errors",
    "Outcome": "outcome",
    "PeakEstimate": "estimate",
    "Quality": "quality",
    "Recording": "io",
    "RecordingError": "errors",
    "UnusableRecording": "errors",
    "assess": "quality",
    "compare": "outcome",
    "find_peak": "peak",
    "load_recording": "io",
    "read_raw": "io",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Public names."""
    return sorted(__all__)
