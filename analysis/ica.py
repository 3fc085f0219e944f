"""Components of eyes, muscles, heart, lines and loose contacts, taken out of two recordings alike.

One decomposition of both recordings together, one spatial filter for both: what is left of a
source is the same share before and after, so that the filter cannot make a change of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.clean import load_package, silence
from analysis.errors import AnalysisError
from analysis.findings import listed
from analysis.ica_result import (
    ARTEFACTS,
    CLASSES,
    MOST_BRAIN,
    REMOVED_FROM,
    Component,
    Decomposition,
)
from analysis.placement import directions
from analysis.quality import annotated_mask

Array = NDArray[np.float64]

MIN_CHANNELS = 16
SAMPLES_PER_WEIGHT = 20
FIT_HZ = (1.0, 100.0)
TOP_RATE_HZ = 250.0
MIN_RATE_HZ = 100.0
CARRIES_RHYTHM = 0.05
MOST_STEPS = 1000
_PACKAGES = {"picard": "python-picard", "mne_icalabel": "mne-icalabel", "onnxruntime": ""}
_WILD = 10.0
_RANK_TOLERANCE = 1e-9
_BUMP = 2.0


def decompose(
    before: Any,
    after: Any,
    channels: Sequence[str],
    *,
    windows_s: tuple[tuple[float, float], tuple[float, float]],
    rhythm_hz: tuple[float, float],
    seed: int = 0,
) -> Decomposition:
    """Find the components of two recordings and choose those that are not the brain's.

    Parameters
    ----------
    before, after : mne.io.BaseRaw
        The recordings; they are not changed.
    channels : sequence of str
        Good channels of both, with positions.
    windows_s : ((float, float), (float, float))
        Part of each recording that is compared, equally long.
    rhythm_hz : (float, float)
        Band in which it is told how much went with the components.
    seed : int
        Seed of the decomposition.

    Returns
    -------
    Decomposition

    Raises
    ------
    AnalysisError
        If a package is missing, channels, positions, rate or samples are too few, or the
        decomposition does not settle.

    Notes
    -----
    Both recordings are average-referenced, filtered to 1-100 Hz (1 Hz to a little under half the
    sampling rate where that is less), brought to one rate of 250 Hz or less, and joined; samples
    annotated as bad are left out, and seconds in which half of the channels exceed ten times their
    usual range. Rule of thumb: 20 samples for each weight of the unmixing matrix. ICLabel was
    trained on average-referenced signals of 1-100 Hz and extended infomax; the result says where
    the recordings are narrower.

    A component goes when ICLabel gives it to eyes, muscle, heart, line or channel noise with a
    probability of 0.8 or more, and to the brain with 0.1 or less.

    References
    ----------
    Ablin, Cardoso and Gramfort 2018, IEEE Trans. Signal Process. 66:4040-4049 (Picard); Lee,
    Girolami and Sejnowski 1999, Neural Comput. 11:417-441 (extended infomax); Pion-Tonachini,
    Kreutz-Delgado and Makeig 2019, NeuroImage 198:181-197 (ICLabel).
    """
    for name, published in _PACKAGES.items():
        load_package(name, published)
    channels = tuple(channels)
    _check_channels(before, channels)
    rates = [float(raw.info["sfreq"]) for raw in (before, after)]
    rate_hz = min(*rates, TOP_RATE_HZ)
    if rate_hz < MIN_RATE_HZ:
        raise AnalysisError(
            f"ICLabel needs {MIN_RATE_HZ:g} samples a second or more, not {rate_hz:g}: its classes "
            "rest on the spectrum up to there; compare without ICA (artefacts none or autoreject)"
        )
    low_hz = max(FIT_HZ[0], *(float(raw.info["highpass"]) for raw in (before, after)))
    high_hz = min(FIT_HZ[1], *(float(raw.info["lowpass"]) for raw in (before, after)))
    with silence():
        pieces = [
            _piece(raw, channels, window_s, rate_hz)
            for raw, window_s in zip((before, after), windows_s, strict=True)
        ]
        n = min(piece.shape[1] for piece in pieces)
        needed = SAMPLES_PER_WEIGHT * len(channels) ** 2
        if 2 * n < needed:
            raise AnalysisError(
                f"ICA of {len(channels)} channels needs {needed} samples "
                f"({SAMPLES_PER_WEIGHT} for each weight), that is {needed / rate_hz / 2.0:.0f} s "
                f"before and as much after at {rate_hz:g} Hz: {n / rate_hz:.0f} s of each are "
                "left; record longer, or compare without ICA (artefacts none or autoreject)"
            )
        joined = _joined(before, channels, [pieces[0][:, -n:], pieces[1][:, :n]], rate_hz)
        ica = _fit(joined, seed)
        probabilities = _classify(joined, ica)
    mixing, unmixing = _matrices(ica)
    sources = unmixing @ joined.get_data()
    shares, bumps = _rhythm(mixing, sources, n, rate_hz, rhythm_hz)
    components = tuple(
        _component(row, (float(share[0]), float(share[1])), bool(bump.any()))
        for row, share, bump in zip(probabilities, shares, bumps, strict=True)
    )
    out = [number for number, one in enumerate(components) if one.removed]
    centre = np.eye(len(channels)) - 1.0 / len(channels)
    left = centre - mixing[:, out] @ unmixing[out] @ centre
    rhythm_removed = _removed_share(joined.get_data(), left, n, rate_hz, rhythm_hz)
    return Decomposition(
        channels=channels,
        spatial_filter=left,
        mixing=mixing,
        components=components,
        rhythm_hz=rhythm_hz,
        rhythm_removed=rhythm_removed,
        n_samples=2 * n,
        fit_hz=(low_hz, min(high_hz, _top(rate_hz))),
        fit_rate_hz=rate_hz,
        steps=int(ica.n_iter_),
        seed=seed,
        versions=tuple(
            (published or name, version(published or name))
            for name, published in (("mne", ""), *_PACKAGES.items())
        ),
        warnings=_warnings(
            components, channels, mixing, (low_hz, min(high_hz, _top(rate_hz))), rhythm_removed
        ),
    )


def _check_channels(raw: Any, channels: tuple[str, ...]) -> None:
    """Refuse too few channels, or channels without a place."""
    if len(channels) < MIN_CHANNELS:
        raise AnalysisError(
            f"ICA needs {MIN_CHANNELS} good channels in both recordings: there are "
            f"{len(channels)}; compare without ICA (artefacts none or autoreject)"
        )
    direction = directions(raw, channels)
    lost = (
        list(channels)
        if direction is None
        else [
            name
            for name, there in zip(channels, np.isfinite(direction[:, 0]), strict=True)
            if not there
        ]
    )
    if lost:
        raise AnalysisError(
            f"ICLabel needs the place of every electrode, unknown for {listed(lost)}: name them "
            "after the 10-05 system (Fp1, Oz, …), leave them out of the recordings, or compare "
            "without ICA (artefacts none)"
        )


def _top(rate_hz: float) -> float:
    """Highest frequency that the copy keeps at this rate."""
    return min(FIT_HZ[1], 0.45 * rate_hz)


def _piece(
    raw: Any, channels: tuple[str, ...], window_s: tuple[float, float], rate_hz: float
) -> Array:
    """Average-referenced and filtered samples of the part compared, without what is wild."""
    own_hz = float(raw.info["sfreq"])
    keep = ~annotated_mask(raw)
    copy = raw.copy().pick(list(channels))
    copy.set_eeg_reference("average", projection=False)
    copy.filter(FIT_HZ[0], _top(rate_hz) if _top(rate_hz) < 0.5 * own_hz else None)
    if own_hz != rate_hz:
        copy.resample(rate_hz)
        there = np.minimum((np.arange(copy.n_times) / rate_hz * own_hz).astype(int), keep.size - 1)
        keep = keep[there]
    first, last = (round(edge * rate_hz) for edge in window_s)
    data, keep = copy.get_data()[:, first:last], keep[first:last]
    size = round(rate_hz)
    count = data.shape[1] // size
    ranges = np.ptp(data[:, : count * size].reshape(len(data), count, size), axis=2)
    usual = np.maximum(np.median(ranges, axis=1, keepdims=True), 1e-300)
    wild = (ranges > _WILD * usual).mean(axis=0) >= 0.5
    keep[: count * size] &= np.repeat(~wild, size)
    return np.asarray(data[:, keep])


def _joined(raw: Any, channels: tuple[str, ...], pieces: list[Array], rate_hz: float) -> Any:
    """Both pieces end to end, described as what they are."""
    import mne

    places = {
        chan["ch_name"]: chan["loc"][:3]
        for chan in raw.info["chs"]
        if chan["ch_name"] in set(channels)
    }
    info = mne.create_info(list(channels), rate_hz, "eeg")
    joined = mne.io.RawArray(np.concatenate(pieces, axis=1), info)
    joined.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    return joined.set_eeg_reference("average", projection=False)


def _fit(joined: Any, seed: int) -> Any:
    """Decompose the joined recordings to their full rank."""
    import mne

    data = joined.get_data()
    values = np.linalg.eigvalsh(data @ data.T)
    rank = int(np.sum(values > _RANK_TOLERANCE * values[-1]))
    ica = mne.preprocessing.ICA(
        n_components=min(rank, len(values) - 1),
        method="picard",
        fit_params={"ortho": False, "extended": True},
        max_iter=MOST_STEPS,
        random_state=seed,
    )
    ica.fit(joined)
    if ica.n_iter_ >= MOST_STEPS:
        raise AnalysisError(
            f"ICA does not settle within {MOST_STEPS} steps: the recordings are too short or too "
            "uneven for it; compare without ICA (artefacts none or autoreject)"
        )
    return ica


def _classify(joined: Any, ica: Any) -> Array:
    """ICLabel's probabilities, shape (n_components, 7)."""
    from mne_icalabel.iclabel import iclabel_label_components

    found = iclabel_label_components(joined, ica, inplace=False, backend="onnx")
    found = np.asarray(found, dtype=np.float64).reshape(-1, len(CLASSES))
    if not np.isfinite(found).all():
        raise AnalysisError("ICLabel gives no number for a component: compare without ICA")
    return found


def _matrices(ica: Any) -> tuple[Array, Array]:
    """Scalp maps of the components, and the rows that recover them from the samples."""
    # One kind of channel has one scale, which cancels between the two.
    n = ica.n_components_
    unmixing = np.asarray(ica.unmixing_matrix_ @ ica.pca_components_[:n])
    mixing = np.asarray(ica.pca_components_[:n].T @ ica.mixing_matrix_)
    return mixing, unmixing


def _component(row: Array, share: tuple[float, float], bump: bool) -> Component:
    """Decide upon one component."""
    chance = dict(zip(CLASSES, row.tolist(), strict=True))
    label = max(chance, key=lambda name: chance[name])
    return Component(
        label=label,
        probabilities=tuple(chance.values()),
        removed=label in ARTEFACTS
        and chance[label] >= REMOVED_FROM
        and chance["brain"] <= MOST_BRAIN,
        rhythm_share=share,
        carries_rhythm=bump and max(share) >= CARRIES_RHYTHM,
    )


def _spectra(data: Array, rate_hz: float) -> tuple[Array, Array]:
    """Welch spectra by 2 s Hann segments, shape (n_signals, n_freqs)."""
    from scipy.signal import welch

    freqs, psd = welch(data, rate_hz, nperseg=round(2.0 * rate_hz), axis=-1)
    return np.asarray(freqs), np.asarray(psd)


def _inside(freqs: Array, band_hz: tuple[float, float]) -> NDArray[np.bool_]:
    """Bins of a band, ends included."""
    return np.asarray((freqs >= band_hz[0] - 1e-6) & (freqs <= band_hz[1] + 1e-6))


def _rhythm(
    mixing: Array, sources: Array, n: int, rate_hz: float, band_hz: tuple[float, float]
) -> tuple[Array, NDArray[np.bool_]]:
    """Share of the band's variance and presence of a bump, shapes (n_components, 2)."""
    shares, bumps = [], []
    for side in (sources[:, :n], sources[:, n:]):
        freqs, psd = _spectra(side, rate_hz)
        band = psd[:, _inside(freqs, band_hz)]
        power = (mixing**2).sum(axis=0) * band.sum(axis=1)
        shares.append(power / power.sum())
        width = band_hz[1] - band_hz[0]
        beside = _inside(freqs, (max(1.0, band_hz[0] - width), band_hz[0])) | _inside(
            freqs, (band_hz[1], band_hz[1] + width)
        )
        # A falling background lies in the geometric mean of what is on either side.
        level = np.exp(np.log(np.maximum(psd[:, beside], 1e-300)).mean(axis=1))
        bumps.append(band.max(axis=1) > _BUMP * level)
    return np.stack(shares, axis=1), np.stack(bumps, axis=1)


def _removed_share(
    data: Array, left: Array, n: int, rate_hz: float, band_hz: tuple[float, float]
) -> tuple[float, float]:
    """Share of the band's variance that a spatial filter takes, before and after."""
    shares = []
    for side in (data[:, :n], data[:, n:]):
        freqs, whole = _spectra(side, rate_hz)
        _, rest = _spectra(left @ side, rate_hz)
        bins = _inside(freqs, band_hz)
        shares.append(float(1.0 - rest[:, bins].sum() / whole[:, bins].sum()))
    return shares[0], shares[1]


def _warnings(
    components: tuple[Component, ...],
    channels: tuple[str, ...],
    mixing: Array,
    fit_hz: tuple[float, float],
    rhythm_removed: tuple[float, float],
) -> tuple[str, ...]:
    """What must be known to read the result."""
    found = []
    if fit_hz[0] > 1.5 or fit_hz[1] < 0.9 * FIT_HZ[1]:
        found.append(
            f"ICLabel was trained on 1-100 Hz and saw {fit_hz[0]:g}-{fit_hz[1]:g} Hz of these "
            "recordings: its classes, muscle and line above all, are less certain"
        )
    for number, one in enumerate(components):
        if one.removed and one.carries_rhythm:
            place = channels[int(np.argmax(np.abs(mixing[:, number])))]
            found.append(
                f"component {number} ({one.label}, {100.0 * one.probability:.0f} %, strongest at "
                f"{place}) was taken out although it holds "
                f"{100.0 * max(one.rhythm_share):.0f} % of the rhythm's band and has a bump "
                "there: compare without ICA as well"
            )
    moved = np.log1p(-rhythm_removed[1]) - np.log1p(-rhythm_removed[0])
    if abs(moved) > 0.05:
        found.append(
            f"taking the components out moved the change of power in the rhythm's band by "
            f"{100.0 * np.expm1(moved):+.0f} % (all channels): artefacts differ between the "
            "recordings; compare without ICA as well"
        )
    return tuple(found)
