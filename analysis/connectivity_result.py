"""What `analysis.connectivity.spectral_connectivity` gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.compiled import Engine
from analysis.connectivity_measures import Measure
from analysis.errors import AnalysisError
from analysis.transforms import Mode

Array = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class SpectralConnectivity:
    """Connectivity of pairs of channels at frequencies or in bands.

    Parameters
    ----------
    values : dict of str to ndarray, shape (n_pairs, n_freqs[, n_times])
        Values of each measure; the last axis is there in mode "cwt_morlet".
    seeds, targets : ndarray of int, shape (n_pairs,)
        Channels of the pairs. Without `indices` and `seeds` given, each pair once, the higher
        channel as seed.
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies, or the mean frequency of each band where bands were averaged.
    bands_hz : tuple of (float, float)
        Bands asked for.
    averaged : bool
        Whether values are means over the frequencies of each band.
    times_s : ndarray, shape (n_times,), or None
        Time of each sample of an epoch from its first, in mode "cwt_morlet".
    n_channels, n_epochs, n_tapers : int
        What the values rest on.
    mode : {"multitaper", "fourier", "cwt_morlet"}
        Spectral estimate.
    engine : {"numpy", "numba"}
        What computed it; values agree to rounding.
    """

    values: dict[Measure, Array]
    seeds: Ints
    targets: Ints
    freqs_hz: Array
    bands_hz: tuple[tuple[float, float], ...]
    averaged: bool
    times_s: Array | None
    n_channels: int
    n_epochs: int
    n_tapers: int
    mode: Mode
    engine: Engine

    def matrix(self, measure: Measure) -> Array:
        """All pairs as matrices, seed in the row.

        Parameters
        ----------
        measure : str
            One of `values`.

        Returns
        -------
        ndarray, shape (n_channels, n_channels, n_freqs[, n_times])
            `imcoh` changes its sign with the direction, `dpli` becomes 1 minus itself, the others
            are symmetric. Pairs that were not computed are NaN; the diagonal is 0 (dpli: 0.5).

        Raises
        ------
        AnalysisError
            If the measure was not computed.
        """
        if measure not in self.values:
            raise AnalysisError(f"{measure!r} was not computed: there is {', '.join(self.values)}")
        return fill(measure, self.values[measure], self.seeds, self.targets, self.n_channels)

    def global_spectrum(self, measure: Measure) -> Array:
        """Mean over pairs at every frequency, of `unsigned` values: (n_freqs, ...)."""
        found = unsigned(measure, self.values[measure])
        return np.asarray(found.mean(axis=0))

    def node_strength(self, measure: Measure) -> Array:
        """Mean over each channel's pairs, of `unsigned` values: (n_channels, n_freqs, ...).

        NaN for a channel of which no pair was computed.
        """
        found = unsigned(measure, self.values[measure])
        total = np.zeros((self.n_channels, *found.shape[1:]))
        count = np.zeros(self.n_channels)
        for side in (self.seeds, self.targets):
            np.add.at(total, side, found)
            np.add.at(count, side, 1.0)
        count[count == 0.0] = np.nan
        return np.asarray(total / count.reshape(-1, *([1] * (total.ndim - 1))))


def unsigned(measure: Measure, values: Array) -> Array:
    """Values whose mean over pairs means something.

    The absolute value of imcoh, and how far dpli is from 0.5: both change sides with the order of
    the channels, which is arbitrary.
    """
    if measure == "dpli":
        return np.asarray(np.abs(values - 0.5))
    return np.asarray(np.abs(values)) if measure == "imcoh" else values


def fill(measure: Measure, values: Array, seeds: Ints, targets: Ints, n_channels: int) -> Array:
    """Values of pairs as matrices, see `SpectralConnectivity.matrix`."""
    whole = np.full((n_channels, n_channels, *values.shape[1:]), np.nan)
    back = -values if measure == "imcoh" else 1.0 - values if measure == "dpli" else values
    whole[targets, seeds] = back
    whole[seeds, targets] = values
    diagonal = np.arange(n_channels)
    whole[diagonal, diagonal] = 0.5 if measure == "dpli" else 0.0
    return whole
