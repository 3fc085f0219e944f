"""Everything that looks at signals; knows nothing of devices and sessions.

Names are imported on first use, so that ``import analysis`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.artifact import remove_stimulation_artifact
    from analysis.artifact_current import CurrentTrace, read_current
    from analysis.artifact_result import CleanedRecording
    from analysis.clean import CleanReport, clean
    from analysis.errors import AnalysisError, RecordingError, UnusableRecording
    from analysis.estimate import PeakEstimate
    from analysis.findings import Finding
    from analysis.group import GroupResult, compare_groups
    from analysis.io import Recording, load_recording, read_raw
    from analysis.outcome import Outcome, compare
    from analysis.parametrise import Parametrisation, parametrise
    from analysis.peak import find_peak
    from analysis.quality import Quality, assess
    from analysis.replication import replicate
    from analysis.states import EventWindow

__all__ = [
    "AnalysisError",
    "CleanReport",
    "CleanedRecording",
    "CurrentTrace",
    "EventWindow",
    "Finding",
    "GroupResult",
    "Outcome",
    "Parametrisation",
    "PeakEstimate",
    "Quality",
    "Recording",
    "RecordingError",
    "UnusableRecording",
    "assess",
    "clean",
    "compare",
    "compare_groups",
    "find_peak",
    "load_recording",
    "parametrise",
    "read_current",
    "read_raw",
    "remove_stimulation_artifact",
    "replicate",
]

_HOME = {
    "AnalysisError": "errors",
    "CleanReport": "clean",
    "CleanedRecording": "artifact_result",
    "CurrentTrace": "artifact_current",
    "EventWindow": "states",
    "Finding": "findings",
    "GroupResult": "group",
    "Outcome": "outcome",
    "Parametrisation": "parametrise",
    "PeakEstimate": "estimate",
    "Quality": "quality",
    "Recording": "io",
    "RecordingError": "errors",
    "UnusableRecording": "errors",
    "assess": "quality",
    "clean": "clean",
    "compare": "outcome",
    "compare_groups": "group",
    "find_peak": "peak",
    "load_recording": "io",
    "parametrise": "parametrise",
    "read_current": "artifact_current",
    "read_raw": "io",
    "remove_stimulation_artifact": "artifact",
    "replicate": "replication",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Public names."""
    return sorted(__all__)
