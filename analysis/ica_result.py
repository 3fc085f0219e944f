"""What ICA found in two recordings, and the spatial filter that takes the same out of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

REMOVED_FROM = 0.8
MOST_BRAIN = 0.1
CLASSES = ("brain", "muscle", "eye", "heart", "line", "channel", "other")
ARTEFACTS = ("muscle", "eye", "heart", "line", "channel")


@dataclass(frozen=True, slots=True)
class Component:
    """One independent component.

    Parameters
    ----------
    label : str
        Its likeliest class, one of `CLASSES`.
    probabilities : tuple of float
        ICLabel's probability of each of `CLASSES`.
    removed : bool
        Whether it was taken out.
    rhythm_share : (float, float)
        Its share of the variance in the rhythm's band, mean over the channels, before and after;
        shares of components that are not quite independent need not sum to 1.
    carries_rhythm : bool
        Whether it has a bump in that band and 5 % of the variance there, on either side.
    """

    label: str
    probabilities: tuple[float, ...]
    removed: bool
    rhythm_share: tuple[float, float]
    carries_rhythm: bool

    @property
    def probability(self) -> float:
        """Probability of its class."""
        return self.probabilities[CLASSES.index(self.label)]


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Independent components of two recordings, and what was taken out of both.

    Parameters
    ----------
    channels : tuple of str
        Channels decomposed.
    spatial_filter : ndarray, shape (n_channels, n_channels)
        Average reference and removal in one: multiplies the samples of either recording.
    mixing : ndarray, shape (n_channels, n_components)
        Scalp map of each component.
    components : tuple of Component
        All of them.
    rhythm_hz : (float, float)
        Band of the rhythm's shares.
    rhythm_removed : (float, float)
        Share of the variance in that band that the removal took, before and after, mean over the
        channels of average-referenced signals.
    n_samples : int
        Samples that the fit saw, as many of each recording.
    fit_hz : (float, float)
        Band of the copy that was decomposed.
    fit_rate_hz : float
        Its sampling rate.
    steps : int
        Iterations of the decomposition.
    seed : int
        Seed of its start.
    versions : tuple of (str, str)
        Packages behind the result.
    warnings : tuple of str
        What must be known to read the result.
    """

    channels: tuple[str, ...]
    spatial_filter: Array
    mixing: Array
    components: tuple[Component, ...]
    rhythm_hz: tuple[float, float]
    rhythm_removed: tuple[float, float]
    n_samples: int
    fit_hz: tuple[float, float]
    fit_rate_hz: float
    steps: int
    seed: int
    versions: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]

    @property
    def removed(self) -> tuple[int, ...]:
        """Numbers of the components taken out, from 0."""
        return tuple(number for number, one in enumerate(self.components) if one.removed)

    @property
    def rank(self) -> int:
        """Rank of the signals afterwards."""
        return len(self.components) - len(self.removed)

    def apply(self, raw: Any) -> Any:
        """Take the components out of a recording.

        Parameters
        ----------
        raw : mne.io.BaseRaw
            Recording that has the channels; it is not changed.

        Returns
        -------
        mne.io.BaseRaw
            These channels alone, average-referenced, without the components. Nothing is filtered
            in time.
        """
        cleaned = raw.copy().pick(list(self.channels), verbose="ERROR")
        cleaned.set_eeg_reference("average", projection=False, verbose="ERROR")  # for the header
        samples = raw.get_data(picks=list(self.channels))
        cleaned[:, :] = self.spatial_filter @ samples
        return cleaned

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "algorithm": "extended infomax (Picard)",
            "classifier": "ICLabel",
            "n_channels": len(self.channels),
            "n_components": len(self.components),
            "n_samples": self.n_samples,
            "fit_hz": list(self.fit_hz),
            "fit_rate_hz": self.fit_rate_hz,
            "steps": self.steps,
            "seed": self.seed,
            "reference": "average",
            "rank": self.rank,
            "rule": {
                "classes": list(ARTEFACTS),
                "probability_at_least": REMOVED_FROM,
                "brain_at_most": MOST_BRAIN,
            },
            "removed": [self._told(number) for number in self.removed],
            "labels": [one.label for one in self.components],
            "rhythm_hz": list(self.rhythm_hz),
            "rhythm_removed": list(self.rhythm_removed),
            "ln_ratio_moved": float(
                np.log1p(-self.rhythm_removed[1]) - np.log1p(-self.rhythm_removed[0])
            ),
            "versions": dict(self.versions),
        }

    def _told(self, number: int) -> dict[str, Any]:
        """One component in plain types."""
        one = self.components[number]
        strongest = np.argsort(-np.abs(self.mixing[:, number]), kind="stable")[:3]
        return {
            "component": number,
            "label": one.label,
            "probability": one.probability,
            "probabilities": dict(zip(CLASSES, one.probabilities, strict=True)),
            "strongest_at": [self.channels[row] for row in strongest],
            "rhythm_share": list(one.rhythm_share),
            "carries_rhythm": one.carries_rhythm,
        }

    def line(self) -> str:
        """What was done, in one line."""
        kinds = [one.label for one in self.components if one.removed]
        counted = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
        what = ", ".join(counted) if counted else "none"
        before, after = (100.0 * share for share in self.rhythm_removed)
        return (
            f"ICA of both recordings together: {len(kinds)} of {len(self.components)} components "
            f"taken out of both ({what}); {before:.1f} % of the variance at "
            f"{self.rhythm_hz[0]:g}-{self.rhythm_hz[1]:g} Hz before and {after:.1f} % after went "
            "with them; average reference"
        )
