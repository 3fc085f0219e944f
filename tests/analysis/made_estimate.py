"""Hand-made estimates for figures and reports: every state, with curves and tables that agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.channels import montage_name
from analysis.estimate import (
    ChannelPeak,
    CrossCheck,
    Peak,
    PeakEstimate,
    PeakSpectrum,
    Stability,
)

Array = NDArray[np.float64]

TWENTY = (
    *("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz"),
    *("C4", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "Oz", "O2"),
)
REGION = ("P7", "P3", "Pz", "P4", "P8", "O1", "Oz", "O2")
PEAK_HZ = 10.05
SPLIT_HZ = (10.6, 8.9)
BAND_HZ = (7.0, 13.0)
FREQS_HZ: Array = np.arange(1.0, 45.1, 0.25)
FIT_HZ: Array = FREQS_HZ[(FREQS_HZ >= 3.0) & (FREQS_HZ <= 30.0)]
QUALITY: dict[str, Any] = {
    "usable": True,
    "reasons": [],
    "warnings": ["mains (50 Hz) is strong in T8"],
    "sfreq_hz": 256.0,
    "duration_s": 183.0,
    "usable_s": 171.5,
    "good_channels": list(TWENTY),
    "bad_channels": {"A1": "flat", "A2": "far larger than the others"},
    "artefact_spans_s": [[12.0, 15.5], [80.0, 88.0]],
    "mains_hz": 50.0,
    "suggested_sfreq_hz": None,
    "amplitude_uv": 14.2,
}


def bumps_db(peaks: tuple[Peak, ...], freqs_hz: Array) -> tuple[Array, Array]:
    """Background and background with bumps, dB."""
    background = freqs_hz**-1.2
    model = background.copy()
    for peak in peaks:
        height = (10.0 ** (peak.prominence_db / 10.0) - 1.0) * peak.frequency_hz**-1.2
        spread = peak.width_hz / 2.355
        model += height * np.exp(-((freqs_hz - peak.frequency_hz) ** 2) / (2.0 * spread**2))
    return 10.0 * np.log10(background), 10.0 * np.log10(model)


def made_spectrum(
    peaks: tuple[Peak, ...],
    *,
    names: tuple[str, ...] = TWENTY,
    placed: bool = True,
    complete: bool = True,
) -> PeakSpectrum:
    """Curves around these peaks, with seeded noise.

    Parameters
    ----------
    peaks : tuple of Peak
        Bumps.
    names : tuple of str
        Good EEG channels.
    placed : bool
        Whether their positions are known.
    complete : bool
        False leaves out what a figure can do without.
    """
    import mne

    rng = np.random.default_rng(7)
    info = mne.create_info(list(names), 256.0, "eeg")
    if placed:
        info.set_montage(montage_name())
    background, model = bumps_db(peaks, FREQS_HZ)
    fit_background, fit_model = bumps_db(peaks, FIT_HZ)
    excess = np.array([prominence(name) for name in names])
    shape = (len(names), len(FREQS_HZ))
    share = (excess / 12.0)[:, None]
    channels = background + share * (model - background) + rng.normal(0.0, 0.6, shape)
    return PeakSpectrum(
        freqs_hz=FREQS_HZ,
        power_db=model + rng.normal(0.0, 0.35, len(FREQS_HZ)),
        aperiodic_db=background + 0.4,
        fit_freqs_hz=FIT_HZ,
        background_db=fit_background,
        model_db=fit_model,
        channel_db=excess - 4.0,
        info=info,
        band_hz=BAND_HZ,
        halves_db=model + rng.normal(0.0, 0.5, (2, len(FREQS_HZ))) if complete else None,
        channel_names=names if complete else (),
        prominence_db=excess if complete else None,
        channel_spectra_db=channels if complete else None,
    )


def prominence(name: str) -> float:
    """Prominence of a channel, dB: most at the back of the head, nothing at the front."""
    rows = {"Fp": -0.3, "F": 0.4, "T": 1.1, "C": 2.6, "P": 8.5, "O": 11.5}
    stem = name.rstrip("z0123456789")
    odd = 0.4 if name[-1] in "13579" else 0.0
    return rows.get(stem, rows.get(stem[:1], 3.0)) + odd


def made_table(names: tuple[str, ...], peak_hz: float | None) -> tuple[ChannelPeak, ...]:
    """Every channel's row; those below 2 dB have no frequency."""
    rng = np.random.default_rng(11)
    rows = []
    for name in names:
        excess = prominence(name) if peak_hz is not None else 0.1 * prominence(name)
        shown = peak_hz is not None and excess >= 2.0
        rows.append(
            ChannelPeak(
                channel=name,
                used=name in REGION,
                prominence_db=excess,
                frequency_hz=float(peak_hz + rng.normal(0.0, 0.1)) if peak_hz and shown else None,
                sd_hz=float(0.5 / excess) if shown else None,
            )
        )
    return tuple(rows)


def old_estimate(**changes: Any) -> PeakEstimate:
    """A found peak with the first fields alone, as far as a figure needs them."""
    one = Peak(PEAK_HZ, 11.0, 1.0, 1.6)
    made = PeakEstimate(
        status="found",
        frequency_hz=PEAK_HZ,
        ci95_hz=(9.93, 10.17),
        center_of_gravity_hz=10.01,
        prominence_db=11.0,
        n_channels_used=len(REGION),
        channels=REGION,
        seconds_used=171.5,
        aperiodic_exponent=1.2,
        warnings=(),
        reasons=(),
        subject="07",
        recording="/clinic/eeg/closed.edf",
        recording_sha256="ab" * 32,
        measured_at="2026-01-31T12:00:00+00:00",
        recorded_at="2026-01-31T10:30:00+00:00",
        method="likelihood fit of background and bumps, 7-13 Hz, Hann 4 s",
        spectrum=made_spectrum((one,), complete=False),
    )
    return replace(made, **changes)


def found(**changes: Any) -> PeakEstimate:
    """A found peak with every field."""
    one = Peak(PEAK_HZ, 11.0, 1.0, 1.6)
    made = old_estimate(
        peaks=(one,),
        channel_table=made_table(TWENTY, PEAK_HZ),
        stability=Stability(10.02, 10.09, 0.07, (-0.11, 0.25), 0.03, True),
        aperiodic_knee_hz=None,
        cross_check=CrossCheck("fooof", 10.11, agrees=True),
        quality=QUALITY,
        spectrum=made_spectrum((one,)),
    )
    return replace(made, **changes)


def split(**changes: Any) -> PeakEstimate:
    """Two peaks of about the same height: both frequencies, no interval."""
    high, low = SPLIT_HZ
    peaks = (Peak(high, 8.0, 1.0, 1.1), Peak(low, 7.4, 0.88, 1.0))
    made = found(
        frequency_hz=high,
        ci95_hz=None,
        center_of_gravity_hz=9.85,
        prominence_db=8.0,
        peaks=peaks,
        warnings=("two peaks of about the same height, near 10.6 and 8.9 Hz",),
        channel_table=made_table(TWENTY, high),
        stability=Stability(10.5, 8.95, -1.55, (-2.2, 0.4), None, None),
        cross_check=CrossCheck("fooof", 8.95, agrees=False),
        spectrum=made_spectrum(peaks),
    )
    return replace(made, **changes)


def no_peak(**changes: Any) -> PeakEstimate:
    """A refusal with a spectrum."""
    made = found(
        status="no_peak",
        frequency_hz=None,
        ci95_hz=None,
        center_of_gravity_hz=None,
        prominence_db=None,
        peaks=(),
        reasons=("no rhythm stands out of the background between 7 and 13 Hz",),
        channel_table=made_table(TWENTY, None),
        stability=Stability(None, None, None, None, None, None),
        cross_check=CrossCheck("fooof", None, agrees=True),
        spectrum=made_spectrum(()),
    )
    return replace(made, **changes)


def unusable(**changes: Any) -> PeakEstimate:
    """A recording that cannot be used: no spectrum."""
    quality = {
        **QUALITY,
        "usable": False,
        "reasons": ["12 s usable: 30 s is the least"],
        "usable_s": 12.0,
        "duration_s": 20.0,
    }
    made = no_peak(
        status="unusable",
        seconds_used=0.0,
        aperiodic_exponent=None,
        reasons=("12 s usable: 30 s is the least",),
        channel_table=(),
        stability=None,
        cross_check=None,
        quality=quality,
        spectrum=None,
    )
    return replace(made, **changes)
