"""Connectivity in a comparison: which channels take part, and how far slow drift blurs it."""

from __future__ import annotations

from analysis.connectivity_change import EPOCH_S, ConnectivityChange, compare_connectivity
from analysis.electrode_neighbours import Touched
from analysis.errors import AnalysisError
from analysis.network_change import compare_network
from analysis.pairing import Pair
from analysis.power_change import PowerChange

AVERAGE_REFERENCE_CHANNELS = 16


def connectivity_of(
    pair: Pair,
    band_hz: tuple[float, float],
    region: tuple[str, ...],
    touched: Touched,
    power: PowerChange,
    site: tuple[str, ...],
    stimulation_hz: float | None,
) -> tuple[ConnectivityChange | None, str | None]:
    """Connectivity of all good channels away from the electrodes, or why there is none.

    Parameters
    ----------
    pair : Pair
        The prepared recordings.
    band_hz : (float, float)
        Band.
    region : tuple of str
        Channels whose power is compared.
    touched : Touched
        Channels at the stimulation electrodes; they have no part in connectivity.
    power : PowerChange
        The change of power; its slow fluctuation widens the intervals here too.
    site : tuple of str
        Channels of the stimulated site, none where it is not known.
    stimulation_hz : float or None
        Stimulation frequency.

    Returns
    -------
    change : ConnectivityChange or None
        The change with its network.
    reason : str or None
        Why there is none.
    """
    kept = touched.kept(pair.channels)
    if len(kept) < 2 <= len(pair.channels):
        return None, (
            f"{len(touched.channels)} of {len(pair.channels)} channels lie under or beside a "
            "stimulation electrode, and connectivity needs two others"
        )
    rows = [pair.channels.index(name) for name in kept]
    before, after = (side[:, rows] for side in pair.epochs(EPOCH_S))
    try:
        found = compare_connectivity(
            before,
            after,
            pair.sfreq_hz,
            band_hz,
            kept,
            region=touched.kept(region),
            targets=site,
            average_reference=len(kept) >= AVERAGE_REFERENCE_CHANNELS,
            pass_band_hz=pair.pass_band_hz,
            widen=_drift(power),
        )
        network = compare_network(
            before,
            after,
            pair.sfreq_hz,
            found,
            site=site,
            stimulation_hz=stimulation_hz,
            fluctuation=power.raw.fluctuation,
            pass_band_hz=pair.pass_band_hz,
        )
    except AnalysisError as exc:
        return None, str(exc)
    return found.with_network(network), None


def _drift(power: PowerChange) -> float:
    """Factor by which slow fluctuation alone widened the interval of the power change."""
    low, high = power.raw.interval_ln
    inner_low, inner_high = power.raw.bootstrap_interval_ln
    return max(1.0, (high - low) / (inner_high - inner_low)) if inner_high > inner_low else 1.0
