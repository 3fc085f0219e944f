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
    from analysis.profile import analyze_profile
    from analysis.profile_blocks import Block, read_blocks
    from analysis.profile_plan import ProfilePlan, plan_profile
    from analysis.profile_result import ResponseProfile
    from analysis.quality import Quality, assess
    from analysis.replication import replicate
    from analysis.states import EventWindow

__all__ = [
    "AnalysisError",
    "Block",
    "CleanReport",
    "CleanedRecording",
    "CurrentTrace",
    "EventWindow",
    "Finding",
    "GroupResult",
    "Outcome",
    "Parametrisation",
    "PeakEstimate",
    "ProfilePlan",
    "Quality",
    "Recording",
    "RecordingError",
    "ResponseProfile",
    "UnusableRecording",
    "analyze_profile",
    "assess",
    "clean",
    "compare",
    "compare_groups",
    "find_peak",
    "load_recording",
    "parametrise",
    "plan_profile",
    "read_blocks",
    "read_current",
    "read_raw",
    "remove_stimulation_artifact",
    "replicate",
]

_HOME = {
    "AnalysisError": "errors",
    "Block": "profile_blocks",
    "CleanReport": "clean",
    "CleanedRecording": "artifact_result",
    "CurrentTrace": "artifact_current",
    "EventWindow": "states",
    "Finding": "findings",
    "GroupResult": "group",
    "Outcome": "outcome",
    "Parametrisation": "parametrise",
    "PeakEstimate": "estimate",
    "ProfilePlan": "profile_plan",
    "Quality": "quality",
    "Recording": "io",
    "RecordingError": "errors",
    "ResponseProfile": "profile_result",
    "UnusableRecording": "errors",
    "analyze_profile": "profile",
    "assess": "quality",
    "clean": "clean",
    "compare": "outcome",
    "compare_groups": "group",
    "find_peak": "peak",
    "load_recording": "io",
    "parametrise": "parametrise",
    "plan_profile": "profile_plan",
    "read_blocks": "profile_blocks",
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
