"""The result of a search for a peak, as shown, saved and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.peakfile import parse

Array = NDArray[np.float64]
Status = Literal["found", "no_peak", "unusable"]


@dataclass(frozen=True, slots=True)
class Peak:
    """One peak of the spectrum.

    Parameters
    ----------
    frequency_hz : float
        Where.
    prominence_db : float
        Modelled spectrum over background there.
    relative_height : float
        Power above the background there, as a share of the highest peak's (that one has 1).
    width_hz : float
        Full width at half height.
    """

    frequency_hz: float
    prominence_db: float
    relative_height: float
    width_hz: float


@dataclass(frozen=True, slots=True)
class ChannelPeak:
    """The rhythm in one channel.

    Parameters
    ----------
    channel : str
        Name.
    used : bool
        Whether the channel belongs to the region behind the estimate.
    prominence_db : float
        Excess over the channel's own background around the region's peak, dB.
    frequency_hz : float or None
        The channel's own peak; None where its rhythm does not stand out.
    sd_hz : float or None
        Standard error of that frequency.
    """

    channel: str
    used: bool
    prominence_db: float
    frequency_hz: float | None
    sd_hz: float | None


@dataclass(frozen=True, slots=True)
class Stability:
    """The peak over time within the recording.

    Parameters
    ----------
    first_hz, second_hz : float or None
        Peak of the first and of the second half; None where a half shows none.
    difference_hz : float or None
        Second minus first.
    ci95_difference_hz : (float, float) or None
        95 % interval of the difference.
    drift_hz_per_min : float or None
        Slope over quarters of the recording (60 s or longer each).
    stable : bool or None
        False where the interval of the difference leaves out zero; None where it is unknown.
    """

    first_hz: float | None
    second_hz: float | None
    difference_hz: float | None
    ci95_difference_hz: tuple[float, float] | None
    drift_hz_per_min: float | None
    stable: bool | None


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """A second opinion on the same spectrum.

    Parameters
    ----------
    method : str
        Whose.
    frequency_hz : float or None
        Its peak closest to the estimate; None where it finds none in the band.
    agrees : bool
        Whether the two lie within 0.5 Hz.
    """

    method: str
    frequency_hz: float | None
    agrees: bool


@dataclass(frozen=True, slots=True)
class Reactivity:
    """The rhythm with eyes open, against eyes closed.

    Parameters
    ----------
    change_db : float
        Power of the rhythm with eyes open over that with eyes closed, dB; negative where it falls.
    at_most : bool
        Whether it cannot be seen with eyes open, so that `change_db` is an upper limit.
    difference_z : float
        Fall in power over its standard error.
    reactive : bool
        Whether it falls by more than chance.
    """

    change_db: float
    at_most: bool
    difference_z: float
    reactive: bool

    def describe(self) -> str:
        """In words."""
        if self.reactive:
            least = "at least " if self.at_most else ""
            return f"eyes open: the rhythm falls by {least}{-self.change_db:.1f} dB, as alpha does"
        return (
            f"eyes open: the rhythm does not fall reliably ({self.change_db:+.1f} dB): it may be "
            "mu, or not endogenous"
        )


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
    halves_db : ndarray, shape (2, n_freqs), or None
        Spectra of the first and of the second half, dB.
    channel_names : tuple of str
        Names of the good EEG channels, in the order of `channel_db`.
    prominence_db : ndarray, shape (n_eeg,), or None
        Excess of each good EEG channel over its own background around the peak, dB.
    channel_spectra_db : ndarray, shape (n_eeg, n_freqs), or None
        Mean normalised spectrum of each of them, dB.
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
    halves_db: Array | None = None
    channel_names: tuple[str, ...] = ()
    prominence_db: Array | None = None
    channel_spectra_db: Array | None = None


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
    band_hz : (float, float)
        Where the peak was looked for.
    provisional : bool
        True where too little was recorded for an answer to be relied on; record longer.
    replication : bool
        True where a published method was asked for: for comparison only, never for a plan.
    peaks : tuple of Peak
        The peak, or both peaks of a rhythm that is split, highest first. Of a split peak
        `frequency_hz` is the higher one, and there is no interval.
    channel_table : tuple of ChannelPeak
        Every good EEG channel.
    stability : Stability or None
        First against second half.
    aperiodic_knee_hz : float or None
        Bend of the background, where the data ask for one.
    cross_check : CrossCheck or None
        fooof's answer, where it was asked for.
    reactivity : Reactivity or None
        What opening the eyes does, where a recording of that was given.
    quality : mapping or None
        What `analysis.quality` found.
    clean : mapping or None
        What was done to the recording before (`analysis.clean`).
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
    band_hz: tuple[float, float] = (7.0, 13.0)
    provisional: bool = False
    replication: bool = False
    peaks: tuple[Peak, ...] = ()
    channel_table: tuple[ChannelPeak, ...] = ()
    stability: Stability | None = None
    aperiodic_knee_hz: float | None = None
    cross_check: CrossCheck | None = None
    reactivity: Reactivity | None = None
    quality: Mapping[str, Any] | None = None
    clean: Mapping[str, Any] | None = None
    spectrum: PeakSpectrum | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types under the contract's keys."""
        return {
            item.name: _plain(getattr(self, item.name))
            for item in fields(self)
            if item.name != "spectrum"
        }

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


def _plain(value: Any) -> Any:
    """Plain JSON types."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return value
