"""The virtual patient's head: where sources and currents show on the scalp, and what else does.

Fields are smooth bumps over the angle between two scalp sites, on a sphere fitted to the template's
10-10 positions. It is a stand-in with the right names and a plausible spread, not a field model.
The current that reaches a source follows from the same bumps by reciprocity: a pair of electrodes
drives a source as strongly as the source shows between that pair.

References
----------
Rush & Driscoll (1969), *IEEE Trans. Biomed. Eng.* 16:15-22 (reciprocity).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacs.electrodes import SITES
from tacs.errors import InputError

__all__ = ["CHANNELS", "Head", "angles_deg", "make_raw", "spread"]

Array = NDArray[np.float64]

CHANNELS = tuple(
    (
        "Fp1 Fp2 F7 F3 Fz F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 "
        "CP5 CP1 CP2 CP6 P7 P3 Pz P4 P8 PO7 PO3 POz PO4 PO8 O1 Oz O2"
    ).split()
)

_SOURCE_WIDTH_DEG = 28.0
_ARTEFACT_WIDTH_DEG = 45.0


@functools.cache
def _montage_name() -> str:
    """Template with realistic positions; its name changed between releases of MNE."""
    import mne

    known = mne.channels.get_builtin_montages()
    return "colin27_1005" if "colin27_1005" in known else "standard_1005"


def _montage() -> Any:
    """Template positions as an MNE object."""
    import mne

    return mne.channels.make_standard_montage(_montage_name())


@functools.cache
def _directions() -> dict[str, Array]:
    """Unit vector of every 10-10 site, from the centre of the sphere that fits them all."""
    positions = _montage().get_positions()["ch_pos"]
    names = sorted(name for name in SITES if name in positions)
    points = np.array([positions[name] for name in names])
    system = np.column_stack([2.0 * points, np.ones(len(points))])
    centre = np.linalg.lstsq(system, np.sum(points**2, axis=1), rcond=None)[0][:3]
    rays = points - centre
    return dict(zip(names, rays / np.linalg.norm(rays, axis=1, keepdims=True), strict=True))


def angles_deg(at: Sequence[str], sites: Sequence[str]) -> Array:
    """Angles between sites, seen from the centre of the head.

    Parameters
    ----------
    at, sites : sequence of str
        10-10 names.

    Returns
    -------
    ndarray, shape (len(at), len(sites))
        Degrees, 0 to 180.

    Raises
    ------
    InputError
        If a name is not a site of the template.
    """
    known = _directions()
    unknown = [name for name in (*at, *sites) if name not in known]
    if unknown:
        raise InputError(
            f"{', '.join(sorted(set(unknown)))}: not a 10-10 site of the template head "
            "(write names such as Oz, Cz, F3)"
        )
    first = np.array([known[name] for name in at]).reshape(-1, 3)
    second = np.array([known[name] for name in sites]).reshape(-1, 3)
    return np.asarray(np.degrees(np.arccos(np.clip(first @ second.T, -1.0, 1.0))))


def spread(at: Sequence[str], sites: Sequence[str], width_deg: float = _SOURCE_WIDTH_DEG) -> Array:
    """How strongly something under each site shows elsewhere on the scalp.

    Parameters
    ----------
    at : sequence of str
        10-10 sites where it is seen.
    sites : sequence of str
        10-10 sites where it originates.
    width_deg : float
        Standard deviation of the bump, as an angle from the centre of the head.

    Returns
    -------
    ndarray, shape (len(at), len(sites))
        1 at the site itself, falling smoothly to 0.

    Raises
    ------
    InputError
        If a name is not a site of the template.
    """
    return np.asarray(np.exp(-0.5 * (angles_deg(at, sites) / width_deg) ** 2))


class Head:
    """Which source shows on which channel, and which electrode reaches which source.

    Parameters
    ----------
    channels : sequence of str
        EEG channels, 10-10 names.
    source_sites : sequence of str
        Site above each source.

    Raises
    ------
    InputError
        If a name is not a site of the template, or stands twice among the channels.
    """

    def __init__(self, channels: Sequence[str], source_sites: Sequence[str]) -> None:
        self.channels = tuple(channels)
        self.source_sites = tuple(source_sites)
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise InputError("EEG channels: give at least one, each once")
        self.patterns = spread(self.channels, self.source_sites)
        self._sites = tuple(_directions())
        reach = spread(self._sites, self.source_sites)
        self._best_pair_gain = reach.max(axis=0) - reach.min(axis=0)
        self._default_pair = (
            self._sites[int(np.argmax(reach[:, 0]))],
            self._sites[int(np.argmin(reach[:, 0]))],
        )

    def drive_ma(self, samples_ma: Array, electrodes: Sequence[str]) -> Array:
        """Return the current that reaches each source.

        Parameters
        ----------
        samples_ma : ndarray, shape (n_electrodes, n_times) or (n_times,)
            Current out of the electrodes; one dimension reaches every source in full.
        electrodes : sequence of str
            10-10 names of the rows; empty for one dimension.

        Returns
        -------
        ndarray, shape (n_sources, n_times)
            Milliampere, scaled so that 1 mA through the best-placed pair of electrodes is 1 mA.
        """
        if not electrodes:
            return np.broadcast_to(samples_ma, (len(self.source_sites), samples_ma.size))
        reach = spread(electrodes, self.source_sites) / self._best_pair_gain
        return np.asarray(reach.T @ samples_ma)

    def artefact_ma(self, samples_ma: Array, electrodes: Sequence[str]) -> Array:
        """Return the current as the channels see it, before the artefact's gain.

        Parameters
        ----------
        samples_ma : ndarray, shape (n_electrodes, n_times) or (n_times,)
            Current out of the electrodes; one dimension shows as if it flowed through the pair of
            sites that drives the first source best.
        electrodes : sequence of str
            10-10 names of the rows; empty for one dimension.

        Returns
        -------
        ndarray, shape (n_channels, n_times)
            Milliampere, 1 right at an electrode that carries 1 mA.
        """
        if not electrodes:
            pair = spread(self.channels, self._default_pair, _ARTEFACT_WIDTH_DEG)
            return np.outer(pair[:, 0] - pair[:, 1], samples_ma)
        return np.asarray(spread(self.channels, electrodes, _ARTEFACT_WIDTH_DEG) @ samples_ma)


def make_raw(
    signal_uv: Array,
    channels: Sequence[str],
    sfreq_hz: float,
    notes: Sequence[tuple[float, float, str]],
) -> Any:
    """Make an MNE recording with template positions.

    Parameters
    ----------
    signal_uv : ndarray, shape (n_channels, n_times)
        EEG.
    channels : sequence of str
        10-10 names.
    sfreq_hz : float
        Sampling rate.
    notes : sequence of (float, float, str)
        Annotations: onset and length in seconds, and text.

    Returns
    -------
    mne.io.RawArray
        Volts.
    """
    import mne

    info = mne.create_info(list(channels), sfreq_hz, "eeg")
    raw = mne.io.RawArray(signal_uv * 1e-6, info, verbose="ERROR")
    raw.set_montage(_montage())
    onsets_s, lengths_s, texts = zip(*notes, strict=True)
    raw.set_annotations(mne.Annotations(onsets_s, lengths_s, texts))
    return raw
