"""The result of a search for a peak, as shown, saved and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.peakfile import parse

Array = NDArray[np.float64]
Status = Literal["found", "no_peak", "unusable"]


@dataclass(frozen=True, slots=True)
class PeakSpectrum:
    """What a figure of the estimate needs.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    power_db : ndarray, shape (n_freqs,)
        Mean normalised spectrum, dB.
    aperiodic_db : ndarray, shape (n_freqs,)
        Background found by fooof.
    fit_freqs_hz, background_db, model_db : ndarray, shape (n_fit_freqs,)
        Background and spectrum of the likelihood fit.
    channel_db : ndarray, shape (n_eeg,)
        Power of each good EEG channel at the peak over its own mean in the fit range, dB.
    info : mne.Info or None
        Description of those channels, with positions where known.
    band_hz : (float, float)
        Where the peak was looked for.
    """

    freqs_hz: Array
    power_db: Array
    aperiodic_db: Array
    fit_freqs_hz: Array
    background_db: Array
    model_db: Array
    channel_db: Array
    info: Any
    band_hz: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PeakEstimate:
    """Outcome of the search for a peak; the keys of `tacs peak --json`.

    Parameters
    ----------
    status : {"found", "no_peak", "unusable"}
        Verdict. Every number that describes a peak is None unless it is "found".
    frequency_hz : float or None
        Peak frequency.
    ci95_hz : (float, float) or None
        95 % interval of the peak frequency.
    center_of_gravity_hz : float or None
        Mean frequency of the power above the background in the band.
    prominence_db : float or None
        Peak over background.
    n_channels_used : int
        Channels averaged.
    channels : tuple of str
        Their names.
    seconds_used : float
        Signal behind the estimate.
    aperiodic_exponent : float or None
        Exponent of the 1/f background (fooof, 2-40 Hz).
    warnings, reasons : tuple of str
        What to keep in mind; why there is no peak.
    subject : str or None
        Whose recording it is, if known.
    recording, recording_sha256 : str or None
        File and digest, if read from a file.
    measured_at : str
        When the estimate was made, ISO 8601, UTC.
    recorded_at : str or None
        When the recording was made, if its header says so.
    method : str
        How.
    spectrum : PeakSpectrum or None
        For the figure; not part of the JSON.
    """

    status: Status
    frequency_hz: float | None
    ci95_hz: tuple[float, float] | None
    center_of_gravity_hz: float | None
    prominence_db: float | None
    n_channels_used: int
    channels: tuple[str, ...]
    seconds_used: float
    aperiodic_exponent: float | None
    warnings: tuple[str, ...]
    reasons: tuple[str, ...]
    subject: str | None
    recording: str | None
    recording_sha256: str | None
    measured_at: str
    recorded_at: str | None
    method: str
    spectrum: PeakSpectrum | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types under the contract's keys."""
        out: dict[str, Any] = {}
        for item in fields(self):
            if item.name != "spectrum":
                value = getattr(self, item.name)
                out[item.name] = list(value) if isinstance(value, tuple) else value
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PeakEstimate:
        """Read `to_dict` output back, strictly.

        Parameters
        ----------
        data : mapping
            Parsed JSON.

        Returns
        -------
        PeakEstimate
            The estimate, without its spectrum.

        Raises
        ------
        AnalysisError
            If a key is unknown or missing, or a value is of the wrong kind, NaN or inconsistent.
        """
        return cls(**parse(data))

    def plot(self) -> Any:
        """Draw the spectrum with background, peak and interval.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.
        """
        from analysis.figures import plot_peak

        return plot_peak(self)
