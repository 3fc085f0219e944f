"""What a comparison says of the network: spectrum, changed pairs, and where the change went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.channels import montage_name, normal_name
from analysis.connectivity_change import ConnectivityChange
from analysis.fluctuation import Fluctuation
from analysis.network import GlobalSpectrum, global_spectrum
from analysis.network_effect import NetworkEffect, network_effect
from analysis.pairwise import PairwiseChange, pairwise_change

Array = NDArray[np.float64]

SEARCH_HALF_WIDTH_HZ = 4.0
# Middle of the sphere that fits the 10-05 template best.
_CENTRE_M = np.array([0.0007, -0.0162, -0.0032])


@dataclass(frozen=True, slots=True)
class NetworkChange:
    """Network side of a connectivity change.

    Parameters
    ----------
    spectrum : GlobalSpectrum
        Mean over pairs at every frequency.
    pairs : PairwiseChange
        Pairs that changed.
    effect : NetworkEffect
        Whether the change follows the baseline connectivity of the stimulated site.
    """

    spectrum: GlobalSpectrum
    pairs: PairwiseChange
    effect: NetworkEffect

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "global_spectrum": self.spectrum.to_dict(),
            "pairs": self.pairs.to_dict(),
            "network_effect": self.effect.to_dict(),
        }


def compare_network(
    before: Array,
    after: Array,
    sfreq_hz: float,
    change: ConnectivityChange,
    *,
    site: tuple[str, ...] = (),
    stimulation_hz: float | None = None,
    fluctuation: Fluctuation | None = None,
    pass_band_hz: tuple[float, float] | None = None,
) -> NetworkChange:
    """Look at the network behind a connectivity change.

    Parameters
    ----------
    before, after : ndarray, shape (n_epochs, n_channels, n_samples)
        The epochs given to `compare_connectivity`.
    sfreq_hz : float
        Sampling rate.
    change : ConnectivityChange
        Its result.
    site : tuple of str
        Channels of the stimulated site.
    stimulation_hz : float, optional
        Stimulation frequency.
    fluctuation : Fluctuation, optional
        Slow fluctuation of band power in the two recordings.
    pass_band_hz : (float, float), optional
        What the filters let through.

    Returns
    -------
    NetworkChange
        Spectrum, pairs, network effect.
    """
    low, high = pass_band_hz or (0.0, sfreq_hz / 2.0)
    centre_hz = 0.5 * sum(change.band_hz)
    spectrum = global_spectrum(
        before,
        after,
        sfreq_hz,
        search_hz=(centre_hz - SEARCH_HALF_WIDTH_HZ, centre_hz + SEARCH_HALF_WIDTH_HZ),
        stimulation_hz=stimulation_hz,
        range_hz=(max(2.0, low), min(40.0, high)),
        average_reference=change.reference == "average",
    )
    return NetworkChange(
        spectrum=spectrum,
        pairs=pairwise_change(change.match, change.channels, change.epoch_s, fluctuation),
        effect=network_effect(change.match, change.channels, site, directions(change.channels)),
    )


def directions(channels: tuple[str, ...]) -> Array | None:
    """Unit vectors of electrodes by name from the middle of the template head.

    Parameters
    ----------
    channels : tuple of str
        10-05 names.

    Returns
    -------
    ndarray, shape (n_channels, 3), or None
        None where a name is unknown.
    """
    import mne

    place = mne.channels.make_standard_montage(montage_name()).get_positions()["ch_pos"]
    names = [normal_name(name) for name in channels]
    if not all(name in place for name in names):
        return None
    away = np.array([place[name] for name in names]) - _CENTRE_M
    return np.asarray(away / np.linalg.norm(away, axis=1, keepdims=True))
