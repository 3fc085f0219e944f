"""A recording made under current, cleaned, with everything that its reader must know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from analysis.artifact_current import Span
from analysis.artifact_ged import Component
from analysis.artifact_inject import Injection
from analysis.artifact_report import LineResidue, Locking
from analysis.errors import UnusableRecording

__all__ = ["CleanedRecording"]

Array = NDArray[np.float64]

_CONVENTIONAL = (
    "entrainment at the stimulation frequency cannot be told from artefact while conventional tACS "
    "flows: both have that frequency and a fixed phase, and every method that removes one removes "
    "the other (in the benchmark a true phase locking of 0.74 comes out at 0.06)"
)
_MODULATED = (
    "entrainment at the envelope's frequency needs a phantom control: electronics and tissue "
    "demodulate part of an amplitude-modulated current, and that part has the same frequency and a "
    "fixed phase; without the same recording from a phantom head no claim is made"
)


@dataclass(frozen=True, slots=True, eq=False)
class CleanedRecording:
    """A stretch at full current without its artefact, and what is known of what is left.

    Parameters
    ----------
    raw : mne.io.RawArray
        The stretch, cleaned, volt; channels that clipped are among its bads, uncleaned.
    status : {"cleaned", "residue", "distorted"}
        Whether power around the frequency may be read; a residue stands out at the line or its
        sidebands, or the injection test failed.
    reasons : tuple of str
        Why it may not; empty where it may.
    method : str
        One of `METHODS`.
    stim_hz : float
        Frequency measured in the amplifier's time.
    stated_hz : float
        As given.
    kind : {"conventional", "amplitude-modulated"}
        Waveform.
    span : Span
        Stretch of the recording that was cleaned.
    components : tuple of Component
        What spatial methods removed.
    settings : dict
        What the method was set to.
    residue : tuple of LineResidue
        For each line that was recorded.
    locking : Locking
        To the stimulator.
    clipped : dict of str to float
        Share of clipped samples of each channel.
    injection : tuple of Injection
        No change, and +3 dB.
    band_hz : (float, float)
        Around the frequency, as far as cleaning reaches.
    band_change_db, off_frequency_db : ndarray, shape (n_channels,)
        Power in it over rest: all of it, and without line and sidebands.
    warnings : tuple of str
        For a person.
    spectra : tuple of ndarray
        Frequencies; before, after and rest, channels x frequencies; for the figure.
    """

    raw: Any
    status: str
    reasons: tuple[str, ...]
    method: str
    stim_hz: float
    stated_hz: float
    kind: str
    span: Span
    components: tuple[Component, ...]
    settings: dict[str, Any]
    residue: tuple[LineResidue, ...]
    locking: Locking
    clipped: dict[str, float]
    injection: tuple[Injection, ...]
    band_hz: tuple[float, float]
    band_change_db: Array
    off_frequency_db: Array
    warnings: tuple[str, ...]
    spectra: tuple[Array, Array, Array, Array] = field(repr=False)

    def entrainment(self) -> NoReturn:
        """Refuse to say whether the brain followed the current.

        Raises
        ------
        UnusableRecording
            Always; `reasons` names what may be looked at instead.
        """
        raise UnusableRecording(self._not_identifiable, (self._not_identifiable, *self.instead()))

    @property
    def _not_identifiable(self) -> str:
        return _CONVENTIONAL if self.kind == "conventional" else _MODULATED

    def instead(self) -> tuple[str, ...]:
        """Return what may be looked at instead of entrainment."""
        low, high = self.band_hz
        offers = [
            f"power in {low:.1f}-{high:.1f} Hz without the line and its sidebands "
            f"(median {float(np.median(self.off_frequency_db)):+.1f} dB over rest)"
        ]
        if self.span.quiet_s:
            spans = ", ".join(f"{a:.0f}-{b:.0f} s" for a, b in self.span.quiet_s)
            offers.append(f"the recording after the current, {spans}: compare it with rest")
        else:
            offers.append("a recording after the current: compare it with rest")
        return tuple(offers)

    def summary(self) -> str:
        """Return the result in one sentence."""
        change = float(np.median(self.band_change_db))
        low, high = self.band_hz
        what = f"{low:.1f}-{high:.1f} Hz {change:+.1f} dB over rest (median of channels)"
        if self.method == "sass":
            return f"cleaned by SASS, which matches rest by construction: {what} means nothing"
        if self.status == "cleaned":
            return f"cleaned by {self.method}: {what}"
        return f"not clean enough for an answer about power: {'; '.join(self.reasons)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        names = [n for n in self.raw.ch_names if n not in self.raw.info["bads"]]
        return {
            "status": self.status,
            "summary": self.summary(),
            "reasons": list(self.reasons),
            "method": self.method,
            "settings": dict(self.settings),
            "waveform": self.kind,
            "stim_hz": round(self.stim_hz, 6),
            "stated_hz": self.stated_hz,
            "plateau_s": [round(self.span.start_s, 3), round(self.span.stop_s, 3)],
            "plateau_found": self.span.how,
            "channels": names,
            "channels_left_out": list(self.raw.info["bads"]),
            "clipped_share": {name: round(share, 6) for name, share in self.clipped.items()},
            "components": [component.to_dict() for component in self.components],
            "n_components": len(self.components),
            "residue": [line.to_dict() for line in self.residue],
            "plv": self.locking.to_dict(),
            "injection": [test.to_dict() for test in self.injection],
            "band_hz": [round(edge, 3) for edge in self.band_hz],
            "band_change_db": {
                "median": round(float(np.median(self.band_change_db)), 3),
                "channels": _by_name(names, self.band_change_db),
            },
            "off_frequency_db": {
                "median": round(float(np.median(self.off_frequency_db)), 3),
                "channels": _by_name(names, self.off_frequency_db),
            },
            "entrainment": {
                "identifiable_at_stim_hz": False,
                "reason": self._not_identifiable,
                "instead": list(self.instead()),
            },
            "after_stimulation_s": [list(span) for span in self.span.quiet_s],
            "warnings": list(self.warnings),
        }

    def plot(self) -> Any:
        """Draw spectra before, after and at rest, what was removed, and the tests."""
        from analysis.figures_artifact import plot_cleaned

        return plot_cleaned(self)


def _by_name(names: Sequence[str], values: Array) -> dict[str, float]:
    return {name: round(float(value), 2) for name, value in zip(names, values, strict=True)}
