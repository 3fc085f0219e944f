"""Whether the eyes were open or closed: as somebody says, and as blinks show."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.io import Recording

Array = NDArray[np.float64]
State = Literal["open", "closed"]

_SAID = {
    "open": re.compile(r"eyes?[\s_-]*open|\bEO\b", re.IGNORECASE),
    "closed": re.compile(r"eyes?[\s_-]*closed|\bEC\b", re.IGNORECASE),
}
_NAMED = {
    "open": re.compile(r"(?:eyes?|rest)[\W_]*open|(?:^|[\W_])eo(?=$|[\W_])", re.IGNORECASE),
    "closed": re.compile(r"(?:eyes?|rest)[\W_]*closed|(?:^|[\W_])ec(?=$|[\W_])", re.IGNORECASE),
}
_FOREHEAD = ("Fp1", "Fp2", "Fpz", "AF7", "AF8")
_BLINK_HZ = (0.5, 8.0)
_LEAST_UV = 40.0
_DEVIATIONS = 5.0
_WIDTH_S = (0.06, 0.5)
_APART_S = 0.4
_FRONTAL_RATIO = 2.5
_BESIDE_S = 0.33
_MANY_PER_MIN = 4.0
_FEW_SHARE = 0.25
_CHANCE = 0.01


@dataclass(frozen=True, slots=True)
class Blinks:
    """Blinks seen in a recording.

    Parameters
    ----------
    count : int
        How many.
    seconds : float
        In how much signal.
    """

    count: int
    seconds: float

    @property
    def per_minute(self) -> float:
        """Blinks in a minute."""
        return 60.0 * self.count / self.seconds


def said_state(source: Any) -> tuple[State, ...]:
    """States of the eyes that annotations, description or file name speak of.

    Parameters
    ----------
    source : Recording or mne.io.BaseRaw
        The recording.

    Returns
    -------
    tuple of {"open", "closed"}
        None, one or both; the file's name and its task are asked where the inside is silent.
    """
    raw = source.raw if isinstance(source, Recording) else source
    text = " ; ".join([*map(str, raw.annotations.description), str(raw.info["description"])])
    inside = _states(_SAID, text)
    if inside or not isinstance(source, Recording):
        return inside
    return _states(_NAMED, Path(source.path).stem)


def _states(patterns: dict[str, re.Pattern[str]], text: str) -> tuple[State, ...]:
    """States that a text speaks of."""
    found: list[State] = []
    if patterns["closed"].search(text):
        found.append("closed")
    if patterns["open"].search(text):
        found.append("open")
    return tuple(found)


def count_blinks(
    data: Array, names: Sequence[str], sfreq_hz: float, keep: NDArray[np.bool_]
) -> Blinks | None:
    """Count blinks at the forehead.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        EEG in volt, good channels.
    names : sequence of str
        Their names.
    sfreq_hz : float
        Sampling rate.
    keep : ndarray of bool, shape (n_samples,)
        Samples that count.

    Returns
    -------
    Blinks or None
        None where no electrode lies at the forehead, or too few elsewhere.

    Notes
    -----
    A blink is a positive wave of 40 µV or more and five robust deviations, 60 to 500 ms wide at
    half its height, between 0.5 and 8 Hz, at the forehead against the mean of the other
    electrodes, and 2.5 times as large as the rise of these (their median). After Jung et al. 2000,
    Clin. Neurophysiol. 111:1745-1758, who show that eyes reach all channels, the forehead most.
    """
    front = [row for row, name in enumerate(names) if name in _FOREHEAD]
    rest = [
        row
        for row, name in enumerate(names)
        if row not in front and not name.upper().startswith(("AF", "F"))
    ]
    if not front or len(rest) < 3 or keep.sum() < 10.0 * sfreq_hz:
        return None
    behind = data[rest].mean(axis=0)
    forehead = _slow(data[front].mean(axis=0) - behind, sfreq_hz) * 1e6
    deviation = 1.4826 * float(np.median(np.abs(forehead[keep] - np.median(forehead[keep]))))
    tops = _tops(forehead, max(_LEAST_UV, _DEVIATIONS * deviation), sfreq_hz)
    beside = round(_BESIDE_S * sfreq_hz)
    inside = (tops >= beside) & (tops < data.shape[1] - beside) & keep[tops]
    tops = tops[inside]
    # How far each of the rest rises there, over the mean of a third of a second before and after.
    rises = [
        (wave - behind)[tops]
        - 0.5 * ((wave - behind)[tops - beside] + (wave - behind)[tops + beside])
        for wave in data[rest]
    ]
    elsewhere = 1e6 * np.median(np.abs(rises), axis=0)
    count = int(np.sum(forehead[tops] > _FRONTAL_RATIO * elsewhere))
    return Blinks(count, float(keep.sum() / sfreq_hz))


def _slow(wave: Array, sfreq_hz: float) -> Array:
    """A wave between 0.5 and 8 Hz, without delay (SciPy's signal module takes a second to load)."""
    freqs = np.fft.rfftfreq(wave.size, 1.0 / sfreq_hz)
    low, high = _BLINK_HZ
    gain = 1.0 / (1.0 + (freqs / high) ** 4)
    gain /= 1.0 + (low / np.maximum(freqs, 1e-9)) ** 4
    return np.asarray(np.fft.irfft(np.fft.rfft(wave) * gain, wave.size))


def _tops(wave: Array, least: float, sfreq_hz: float) -> NDArray[np.int64]:
    """Tops of waves of blink-like width, the higher of two that follow within 0.4 s."""
    inner = wave[1:-1]
    tops = 1 + np.flatnonzero((inner >= least) & (inner > wave[:-2]) & (inner >= wave[2:]))
    found: list[int] = []
    for top in tops[np.argsort(-wave[tops], kind="stable")].tolist():
        if any(abs(top - other) < _APART_S * sfreq_hz for other in found):
            continue
        reach = round(_WIDTH_S[1] * sfreq_hz)
        left = wave[max(0, top - reach) : top][::-1] < 0.5 * wave[top]
        right = wave[top + 1 : top + 1 + reach] < 0.5 * wave[top]
        if left.any() and right.any():
            width_s = (int(left.argmax()) + int(right.argmax()) + 2) / sfreq_hz
            if _WIDTH_S[0] <= width_s <= _WIDTH_S[1]:
                found.append(top)
    return np.sort(np.array(found, dtype=np.int64))


def differ(first: Blinks, second: Blinks) -> bool:
    """Whether one recording has blinks as open eyes do and the other as good as none.

    Parameters
    ----------
    first, second : Blinks
        Of the two recordings.

    Returns
    -------
    bool
        True where one has 4 a minute or more, the other less than a quarter of that rate, and
        chance does not explain it (two Poisson counts, p < .01).
    """
    many, few = sorted((first, second), key=lambda one: -one.per_minute)
    if many.per_minute < _MANY_PER_MIN or few.per_minute > _FEW_SHARE * many.per_minute:
        return False
    share = many.seconds / (many.seconds + few.seconds)
    return _binomial_p(many.count, many.count + few.count, share) < _CHANCE


def _binomial_p(count: int, n: int, share: float) -> float:
    """Exact two-sided p of a binomial count: outcomes that are no likelier than this one.

    As `scipy.stats.binomtest`, whose import takes longer than a comparison of power.
    """
    from scipy.special import gammaln

    k = np.arange(n + 1)
    chances = np.exp(
        gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        + k * math.log(share) + (n - k) * math.log1p(-share)
    )  # fmt: skip
    return float(min(1.0, chances[chances <= chances[count] * (1.0 + 1e-7)].sum()))
