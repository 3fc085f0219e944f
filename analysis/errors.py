"""Errors of the analysis package.

AnalysisError             anything that analysis refuses to do
├── RecordingError        a file cannot be read as a recording
└── UnusableRecording     it was read, but does not support an answer
"""

from __future__ import annotations


class AnalysisError(Exception):
    """Base of every error that `analysis` raises on purpose; its text is one line for the user."""


class RecordingError(AnalysisError):
    """A file cannot be read as a recording; the text names the file and the cure."""


class UnusableRecording(AnalysisError):
    """A recording was read but cannot support the answer asked for.

    Parameters
    ----------
    message : str
        One line for the user.
    reasons : tuple of str
        Every reason, one short line each.
    """

    def __init__(self, message: str, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reasons: tuple[str, ...] = reasons or (message,)
