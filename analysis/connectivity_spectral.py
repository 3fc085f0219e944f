"""Connectivity over epochs at many frequencies: what is asked for, block by block.

The coefficients come from `analysis.transforms`, the values from `analysis.connectivity_measures`
or its compiled twin; here is what lies between: pairs, bands, blocks and refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis import connectivity_measures as plain
from analysis import transforms
from analysis.compiled import Engine, kernels
from analysis.connectivity_measures import EIGHT, MEASURES, Measure
from analysis.connectivity_result import SpectralConnectivity
from analysis.errors import AnalysisError
from analysis.transforms import Mode

Array = NDArray[np.float64]
Ints = NDArray[np.intp]
Band = tuple[float, float]

BLOCK_BYTES = 64_000_000
COMPILED_PAYS = 2e8  # cross-spectra of one epoch and taper; below, loading numba takes longer


def spectral_connectivity(
    epochs: Array,
    sfreq_hz: float,
    *,
    measures: Sequence[Measure] = EIGHT,
    mode: Mode = "multitaper",
    bands_hz: Band | Sequence[Band] | None = None,
    faverage: bool = False,
    indices: tuple[Sequence[int] | Ints, Sequence[int] | Ints] | None = None,
    seeds: Sequence[int] | None = None,
    mt_bandwidth_hz: float | None = None,
    mt_low_bias: bool = True,
    morlet_freqs_hz: Sequence[float] | None = None,
    morlet_cycles: float | Sequence[float] = 7.0,
    compiled: bool | None = None,
    block_bytes: int = BLOCK_BYTES,
    progress: Callable[[float], None] | None = None,
) -> SpectralConnectivity:
    """Connectivity over epochs of pairs of channels at many frequencies.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_samples)
        Signals, any unit.
    sfreq_hz : float
        Sampling rate.
    measures : sequence of str
        Of `MEASURES`: coh, imcoh, plv, ciplv, ppc, pli, dpli, wpli, wpli2_debiased.
    mode : {"multitaper", "fourier", "cwt_morlet"}
        Slepian tapers, one Hann window, or Morlet wavelets (values for every sample).
    bands_hz : (float, float) or sequence of those
        Band or bands, ends included. Needed for multitaper and Fourier; for Morlet it chooses
        among `morlet_freqs_hz`, all if not given.
    faverage : bool
        Mean of the values over the frequencies of each band.
    indices : (sequence of int, sequence of int), optional
        Pairs: seeds and targets.
    seeds : sequence of int, optional
        Each of these with every other channel; instead of `indices`.
    mt_bandwidth_hz : float, optional
        Full bandwidth of the tapers; eight bins if not given (seven tapers).
    mt_low_bias : bool
        Only tapers that keep more than 0.9 of their energy in the band.
    morlet_freqs_hz : sequence of float, optional
        Frequencies of the wavelets.
    morlet_cycles : float or sequence of float
        Their cycles, one for all or one each.
    compiled : bool, optional
        True: compiled, or an error where numba is missing. False: NumPy. None: compiled where
        numba is installed and there is enough to do. The result says which (`engine`); values
        agree to 1e-12.
    block_bytes : int
        Size of the coefficients held at once; more are computed in blocks, with the same values.
    progress : callable, optional
        Called with the share done, up to 1.

    Returns
    -------
    SpectralConnectivity
        Values of each pair, with what they rest on.

    Raises
    ------
    AnalysisError
        If there are fewer than two epochs or channels, a value is not a number, a measure, mode,
        channel or band does not exist, or a wavelet is longer than an epoch.

    Notes
    -----
    Values equal those of `mne_connectivity.spectral_connectivity_epochs` (0.9) to 1e-12, with
    these exceptions. Where a divisor is nothing (a flat channel) they are 0, and 0.5 for dpli,
    where that package has NaN. Lag measures (pli, dpli, wpli, wpli2_debiased) are that too where
    the imaginary parts together are below 1e-12 of the power, and ciplv where the phases differ
    by less than 1e-6: two channels that are the same up to a factor have no lag, and a ratio of
    rounding errors says nothing. The sign of a lag is that of `Im(seed * conj(target))`.
    """
    data = _checked(epochs)
    n_epochs, n_channels, n_samples = data.shape
    wanted = _known(measures)
    pairs = _pairs(n_channels, indices, seeds)
    bands = _bands(bands_hz)
    windows = None
    if mode == "cwt_morlet":
        freqs, cycles = _wavelets(morlet_freqs_hz, morlet_cycles, bands, sfreq_hz)
        n_bins, n_tapers = freqs.size * n_samples, 1
    elif mode in ("fourier", "multitaper"):
        if not bands:
            raise AnalysisError("no band given: name one with bands_hz, for example (8.0, 12.0)")
        if mode == "fourier":
            windows = transforms.hann(n_samples)
        else:
            windows = transforms.slepian(n_samples, sfreq_hz, mt_bandwidth_hz, low_bias=mt_low_bias)
        bins = transforms.bins_in(n_samples, sfreq_hz, bands)
        freqs = np.asarray(np.fft.rfftfreq(n_samples, 1.0 / sfreq_hz)[bins], np.float64)
        n_bins, n_tapers = bins.size, windows.shape[0]
    else:
        raise AnalysisError(f"mode {mode!r} is not known: use multitaper, fourier or cwt_morlet")
    work = float(pairs[0].size) * n_bins * n_tapers * n_epochs
    module = kernels("connectivity_numba", compiled, work, COMPILED_PAYS)
    estimate = plain.estimate_all if module is None else module.estimate_all
    transform = transforms.coefficients if module is None else module.coefficients
    # Channels that are in no pair need no coefficients.
    used, where = np.unique(np.concatenate(pairs), return_inverse=True)
    if used.size < n_channels:
        data = data[:, used]
    left, right = where[: pairs[0].size], where[pairs[0].size :]
    if windows is None:
        values = np.empty((len(wanted), left.size, freqs.size, n_samples))
        for number, (freq, n_cycles) in enumerate(zip(freqs, cycles, strict=True)):
            wavelet = transforms.morlet(float(freq), sfreq_hz, float(n_cycles))
            if wavelet.size > n_samples:
                raise AnalysisError(
                    f"the wavelet of {freq:g} Hz lasts {wavelet.size / sfreq_hz:.2f} s and an "
                    f"epoch {n_samples / sfreq_hz:g} s: give longer epochs, higher frequencies "
                    "or fewer cycles"
                )
            for samples, table in transforms.morlet_blocks(data, wavelet, block_bytes):
                values[:, :, number, samples] = estimate(_finite(table), left, right, wanted)
                _tell(progress, (number + samples.stop / n_samples) / freqs.size)
    else:
        at_once = max(1, int(block_bytes // (16 * data.shape[1] * n_epochs * n_tapers)))
        blocks = []
        for first in range(0, bins.size, at_once):
            table = _finite(transform(data, windows, bins[first : first + at_once]))
            blocks.append(estimate(table, left, right, wanted))
            _tell(progress, min(first + at_once, bins.size) / bins.size)
        values = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=2)
    centres = freqs
    if faverage:
        inside = [(freqs >= low) & (freqs <= high) for low, high in bands or ((0.0, np.inf),)]
        values = np.stack([values[:, :, one].mean(axis=2) for one in inside], axis=2)
        centres = np.array([freqs[one].mean() for one in inside])
    engine: Engine = "numpy" if module is None else "numba"
    return SpectralConnectivity(
        values=dict(zip(wanted, values, strict=True)),
        seeds=pairs[0],
        targets=pairs[1],
        freqs_hz=centres,
        bands_hz=bands,
        averaged=faverage,
        times_s=np.arange(n_samples) / sfreq_hz if windows is None else None,
        n_channels=n_channels,
        n_epochs=n_epochs,
        n_tapers=n_tapers,
        mode=mode,
        engine=engine,
    )


def _checked(epochs: Array) -> Array:
    """Epochs as floating-point numbers, or why they cannot be used."""
    data = np.asarray(epochs, dtype=np.float64)
    if data.ndim != 3:
        raise AnalysisError(
            f"epochs have {data.ndim} dimensions: give epochs, channels and samples"
        )
    if data.shape[0] < 2:
        raise AnalysisError(f"{data.shape[0]} epochs given, connectivity needs two or more")
    if data.shape[1] < 2:
        raise AnalysisError("connectivity needs two channels or more")
    if data.shape[2] < 2:
        raise AnalysisError(f"epochs of {data.shape[2]} samples have no frequencies")
    return data


def _known(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    """Measures asked for, each once."""
    if isinstance(measures, str):
        raise AnalysisError(f"measures are a sequence: give ({measures!r},)")
    wanted = tuple(dict.fromkeys(measures))
    unknown = [name for name in wanted if name not in MEASURES]
    if unknown or not wanted:
        named = repr(unknown[0]) if unknown else "nothing"
        raise AnalysisError(f"measure {named} is not known: use {', '.join(MEASURES)}")
    return wanted


def _pairs(
    n_channels: int,
    indices: tuple[Sequence[int] | Ints, Sequence[int] | Ints] | None,
    seeds: Sequence[int] | None,
) -> tuple[Ints, Ints]:
    """Seeds and targets of all pairs."""
    if indices is not None and seeds is not None:
        raise AnalysisError("pairs are given twice: use indices or seeds")
    if indices is not None:
        left, right = (np.asarray(side, dtype=np.intp).ravel() for side in indices)
        if left.size != right.size:
            raise AnalysisError(f"{left.size} seeds and {right.size} targets: give one for each")
    elif seeds is not None:
        chosen = np.asarray(seeds, dtype=np.intp).ravel()
        left = np.repeat(chosen, n_channels)
        right = np.tile(np.arange(n_channels), chosen.size)
        left, right = left[left != right], right[left != right]
    else:
        left, right = np.tril_indices(n_channels, -1)
    if left.size == 0:
        raise AnalysisError("no pair of channels is given")
    both = np.concatenate([left, right])
    if both.min() < 0 or both.max() >= n_channels:
        outside = both[(both < 0) | (both >= n_channels)][0]
        raise AnalysisError(f"channel {outside} of a pair is none of the {n_channels} channels")
    return left, right


def _bands(bands_hz: Band | Sequence[Band] | None) -> tuple[Band, ...]:
    """Bands as pairs, however they were given."""
    if bands_hz is None:
        return ()
    given = np.asarray(bands_hz, dtype=np.float64)
    if given.ndim == 1:
        given = given[None]
    if given.ndim != 2 or given.shape[1] != 2:
        raise AnalysisError("bands_hz is one pair of frequencies, or several such pairs")
    return tuple((float(low), float(high)) for low, high in given)


def _wavelets(
    freqs_hz: Sequence[float] | None,
    cycles: float | Sequence[float],
    bands: tuple[Band, ...],
    sfreq_hz: float,
) -> tuple[Array, Array]:
    """Frequencies of the wavelets that lie in the bands, and their cycles."""
    freqs = np.asarray([] if freqs_hz is None else freqs_hz, dtype=np.float64).ravel()
    if freqs.size == 0:
        raise AnalysisError("no frequency of a wavelet is given: name some with morlet_freqs_hz")
    if freqs.min() <= 0.0 or freqs.max() > sfreq_hz / 2.0:
        raise AnalysisError(
            f"wavelets of {freqs.min():g} to {freqs.max():g} Hz: they must lie above 0 and up to "
            f"half the sampling rate ({sfreq_hz / 2.0:g} Hz)"
        )
    each = np.asarray(cycles, dtype=np.float64).ravel()
    if each.size not in (1, freqs.size) or each.min() <= 0.0:
        raise AnalysisError("morlet_cycles is one positive number, or one for each frequency")
    each = np.broadcast_to(each, freqs.shape)
    if bands:
        chosen = np.zeros(freqs.size, dtype=bool)
        for low, high in bands:
            transforms.check_band(low, high, sfreq_hz)
            inside = (freqs >= low) & (freqs <= high)
            if not inside.any():
                raise AnalysisError(f"no wavelet has a frequency between {low:g} and {high:g} Hz")
            chosen |= inside
        freqs, each = freqs[chosen], each[chosen]
    return freqs, each


def _finite(table: Array) -> Array:
    """The same coefficients, refused where a sample was not a number."""
    if not np.isfinite(table).all():
        bad = np.flatnonzero(~np.isfinite(table).all(axis=(1, 2, 3, 4)))
        raise AnalysisError(
            f"{bad.size} of {table.shape[0]} channels have samples that are not finite numbers: "
            "leave out those channels or epochs"
        )
    return table


def _tell(progress: Callable[[float], None] | None, share: float) -> None:
    if progress is not None:
        progress(share)
