"""One rhythm or two: whether channels that see the band differently need a second peak.

Two sources at two frequencies seldom have the same map on the scalp, so the channels are weighed
into two contrasts, one for those whose peak leans down and one for those whose peak leans up. The
weights come from one half of the segments, the comparison of one bump against two (shared by both
contrasts, with heights of their own) from the other half, and the halves change places. What one
half shows by chance counts for nothing in the other; a single source whose spectrum really has two
humps is called split as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from analysis.background import HANN_INFLATION
from analysis.likelihood import fit, least_squares

Array = NDArray[np.float64]

EVIDENCE = 15.0  # two contrasts; single rhythms on made recordings reach it in 1 to 2 of 100
EVIDENCE_ONE = 8.0  # one channel only: the spectrum alone must show both
LEAST_APART_HZ = 1.0
LEAST_HEIGHT = 0.25
FAR_HZ = 0.5  # spread of the channels' centres of gravity that one bump does not explain
_TOLERANCE = 0.05  # in units of twice the log likelihood
_NEAR_HZ = 6.0
_FAR_START_HZ = 2.5
_FAR_WIDTH_HZ = 0.5
_WIDTHS = (np.log(0.25), np.log(2.0))


class _Effort(TypedDict):
    """How hard to fit."""

    n_iter: int
    tol: float


@dataclass(frozen=True, slots=True)
class TwoBumps:
    """The better fit with two bumps.

    Parameters
    ----------
    centers_hz, widths_hz : ndarray, shape (2,)
        Centre and standard deviation, the higher bump first.
    heights : ndarray, shape (2,)
        Power over the background at the centre, region mean, in units of the spectrum.
    site_ratio : float
        Height of the lower bump in the channel that shows it best, over that of the higher bump in
        the channel that shows that best.
    evidence : float
        Likelihood ratio of two bumps against one.
    enough : float
        The least that speaks for two.
    """

    centers_hz: Array
    widths_hz: Array
    heights: Array
    site_ratio: float
    evidence: float
    enough: float

    @property
    def ratio(self) -> float:
        """Height of the lower bump over that of the higher."""
        return float(self.heights[1] / max(self.heights[0], 1e-300))

    def is_split(self, band_hz: tuple[float, float]) -> bool:
        """Whether the two are peaks of their own, both in the band."""
        inside = np.all((self.centers_hz >= band_hz[0]) & (self.centers_hz <= band_hz[1]))
        apart = abs(float(self.centers_hz[0] - self.centers_hz[1])) >= LEAST_APART_HZ
        large = max(self.ratio, self.site_ratio) >= LEAST_HEIGHT
        return bool(inside and apart and large and self.evidence >= self.enough)


def two_bumps(
    freqs_hz: Array,
    channels: Array,
    background: Array,
    bump: tuple[float, float, float],
    shape: float,
    limits_hz: tuple[float, float],
) -> TwoBumps:
    """Compare one bump with two.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    channels : ndarray, shape (n_segments, n_channels, n_freqs)
        Normalised segment spectra of the region.
    background : ndarray, shape (n_freqs,)
        Fitted background of the region.
    bump : (float, float, float)
        The single bump: log height, centre in Hz, log of the standard deviation in Hz.
    shape : float
        Gamma shape of the mean spectrum around the peak.
    limits_hz : (float, float)
        Where centres may lie.

    Returns
    -------
    TwoBumps
        The fit with two.
    """
    reach = max(_NEAR_HZ, 0.5 * (limits_hz[1] - limits_hz[0]) + 2.0)
    use = np.abs(freqs_hz - bump[1]) < reach
    freqs, level = freqs_hz[use], background[use]
    spectra = channels[:, :, use]
    odd = np.arange(len(spectra)) // 2 % 2 == 0
    halves = [spectra[odd].mean(axis=0), spectra[~odd].mean(axis=0)]
    whole = spectra.mean(axis=0)
    pairs = [(whole, whole)]
    if whole.shape[0] > 1:
        pairs += [(halves[0], halves[1]), (halves[1], halves[0])]
    power = np.array(
        [
            (
                _contrasts(learn, freqs, level, bump, limits_hz) @ test
                if whole.shape[0] > 1
                else test
            )
            for learn, test in pairs
        ]
    )
    n_contrasts = power.shape[1]
    flat = power.reshape(len(pairs), -1)
    stack = _Stack(freqs, level, n_contrasts, limits_hz)
    height, center, width = bump
    one = np.array([0.0] * (2 * n_contrasts) + [height] * n_contrasts + [center, width])
    per_bin = shape / HANN_INFLATION
    effort: _Effort = {"n_iter": 30, "tol": _TOLERANCE / per_bin}
    rows, cost_one = fit(stack, flat, np.repeat(one[None], len(pairs), axis=0), **effort)
    starts = np.repeat(_starts(bump, n_contrasts)[None], len(pairs), axis=0)
    if n_contrasts > 1:
        own = _own_starts(power, stack, bump, effort)
        starts = np.concatenate([starts, own], axis=1)
    far = _far_start(stack, rows, flat, per_bin)
    if far is not None:
        starts = np.concatenate([starts, far], axis=1)
    first = np.repeat(rows[:, None, : 2 * n_contrasts], starts.shape[1], axis=1)
    both = np.concatenate([first, starts], axis=2)
    rows, cost = fit(
        stack,
        np.repeat(flat, starts.shape[1], axis=0),
        both.reshape(len(pairs) * starts.shape[1], -1),
        **effort,
    )
    cost = cost.reshape(len(pairs), -1)
    gain = cost_one - cost.min(axis=1)
    best = rows.reshape(*cost.shape, -1)[0, int(np.argmin(cost[0]))]
    evidence = per_bin * (gain[0] if n_contrasts == 1 else 0.5 * gain[1:].sum())
    return _ordered(stack, best, whole, float(evidence))


def _ordered(stack: _Stack, row: Array, means: Array, evidence: float) -> TwoBumps:
    """Heights of the two in the region's mean and where each is best seen, the higher first."""
    tail = row[2 * stack.n_contrasts :].reshape(2, -1)
    centers, widths = tail[:, -2], np.exp(tail[:, -1])
    shapes = np.exp(-0.5 * ((stack.freqs_hz - centers[:, None]) / widths[:, None]) ** 2)
    regressors = np.concatenate([[stack.level, stack.level * stack.tilt], shapes])
    mean = means.mean(axis=0)
    sites = np.maximum(least_squares(regressors, means, mean)[2:], 0.0)
    heights = sites.mean(axis=1)
    order = np.argsort(-heights)
    best = sites.max(axis=1)[order]
    enough = EVIDENCE if stack.n_contrasts > 1 else EVIDENCE_ONE
    site_ratio = float(best[1] / max(best[0], 1e-300))
    return TwoBumps(centers[order], widths[order], heights[order], site_ratio, evidence, enough)


def _contrasts(
    channels: Array,
    freqs_hz: Array,
    level: Array,
    bump: tuple[float, float, float],
    limits_hz: tuple[float, float],
) -> Array:
    """Channel weights of the two contrasts, shape (2, n_channels), each summing to one.

    Where the channels' peaks lie close together their leans against the common bump tell them
    apart best; where they lie far apart that bump may be one of them, and only their centres of
    gravity do. The wider of the two spreads decides.
    """
    height, center, width = bump
    z = (freqs_hz - center) / np.exp(width)
    line = np.exp(height - 0.5 * z**2)
    tilt = np.log(freqs_hz / center)
    regressors = np.stack([level, level * tilt, line, line * z / np.exp(width)])
    found = least_squares(regressors, channels, level + line)
    near_gain = np.maximum(found[2], 0.0) + 1e-6
    near_lean = np.clip(found[3] / np.maximum(found[2], 0.15), -2.0, 2.0)
    inside = (freqs_hz >= limits_hz[0]) & (freqs_hz <= limits_hz[1])
    beside = ~inside if np.any(~inside) else inside
    own = np.median(channels[:, beside] / level[beside], axis=1)[:, None] * level
    excess = np.maximum(channels - own, 0.0)[:, inside]
    far_gain = excess.sum(axis=1) / line.sum() + 1e-6
    far_lean = excess @ freqs_hz[inside] / np.maximum(excess.sum(axis=1), 1e-12)
    options = []
    for gain, lean in ((near_gain, near_lean), (far_gain, far_lean)):
        offset = lean - gain @ lean / gain.sum()
        options.append((float(gain @ offset**2 / gain.sum()), gain, offset))
    near, far = options
    _, gain, lean = far if far[0] > max(near[0], FAR_HZ**2) else near
    # A channel without a lean still counts a little, so that neither contrast is ever empty.
    weights = gain * (np.maximum([-lean, lean], 0.0) + 1e-3)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _own_starts(
    power: Array, stack: _Stack, bump: tuple[float, float, float], effort: _Effort
) -> Array:
    """The two bumps where each contrast alone has its own, shape (n_pairs, 1, 8)."""
    height, center, width = bump
    single = _Stack(stack.freqs_hz, stack.level, 1, stack.limits_hz)
    flat = power.reshape(-1, stack.freqs_hz.size)
    start = np.repeat(np.array([[0.0, 0.0, height, center, min(width, 0.0)]]), len(flat), axis=0)
    # Each from where it is highest, smoothed over three bins: the one bump may sit on the other's.
    inside = (stack.freqs_hz >= stack.limits_hz[0]) & (stack.freqs_hz <= stack.limits_hz[1])
    over = flat / stack.level
    over[:, 1:-1] = (over[:, :-2] + over[:, 1:-1] + over[:, 2:]) / 3.0
    start[:, 3] = stack.freqs_hz[inside][np.argmax(over[:, inside], axis=1)]
    rows, _ = fit(single, flat, start, **effort)
    found = rows[:, 2:].reshape(len(power), 2, 3)
    down, up = found[:, 0], found[:, 1]
    weak = 2.0  # log of how much less each contrast holds of the other's bump
    parts = [down[:, :1], down[:, :1] - weak, down[:, 1:], up[:, :1] - weak, up[:, :1], up[:, 1:]]
    return np.concatenate(parts, axis=1)[:, None]


def _far_start(stack: _Stack, rows: Array, flat: Array, per_bin: float) -> Array | None:
    """The one bump and another where most is left over, beyond the reach of the other starts.

    None where a matched filter sees no second rhythm there; else shape (n_pairs, 1, n_values).
    """
    n_contrasts = stack.n_contrasts
    modelled = stack.spectrum(rows)
    rest = (flat / modelled - 1.0).reshape(len(rows), n_contrasts, -1)
    places = np.arange(stack.limits_hz[0], stack.limits_hz[1] + 0.01, 0.25)
    templates = np.exp(-0.5 * ((stack.freqs_hz - places[:, None]) / _FAR_WIDTH_HZ) ** 2)
    scores = rest.mean(axis=1) @ templates.T / np.sqrt(np.sum(templates**2, axis=1))
    away = np.abs(places - rows[:, [3 * n_contrasts]]) >= _FAR_START_HZ
    scores = np.where(away, scores, 0.0)
    if per_bin * float(scores[0].max()) ** 2 < EVIDENCE:
        return None
    best = places[np.argmax(scores, axis=1)]
    at = np.argmin(np.abs(stack.freqs_hz - best[:, None]), axis=1)
    pick = np.arange(len(rows))
    level = modelled.reshape(rest.shape)[pick, :, at]
    height = np.log(level * np.maximum(rest[pick, :, at], 0.1))
    narrow = np.full(len(rows), np.log(_FAR_WIDTH_HZ))
    one = rows[:, 2 * n_contrasts :]
    return np.concatenate([one, height, best[:, None], narrow[:, None]], axis=1)[:, None]


def _starts(bump: tuple[float, float, float], n_contrasts: int) -> Array:
    """Two bumps on either side of the one, shape (4, 2 * (n_contrasts + 2))."""
    height, center, width = bump
    narrow = max(width - 0.4, float(np.log(0.3)))
    near = [height - 0.2, height - 0.5][:n_contrasts]
    away = [height - 0.9, height - 0.5][:n_contrasts]
    rows = [
        [*near, center - 0.45 * apart, narrow, *away, center + 0.6 * apart, narrow]
        for apart in (0.8, -0.8, 1.6, -1.6)
    ]
    return np.array(rows)


@dataclass(frozen=True, slots=True)
class _Stack:
    """One or two spectra with bumps at the same places.

    A row is (gain and tilt of the background of each spectrum, then per bump its log height in
    each spectrum, centre, log width).

    Parameters
    ----------
    freqs_hz, level : ndarray, shape (n_freqs,)
        Frequencies, and the region's background there.
    n_contrasts : int
        How many spectra stand beside each other.
    limits_hz : (float, float)
        Where centres may lie.
    tilt : ndarray, shape (n_freqs,)
        Regressor of a background that is steeper or flatter than the region's, derived.
    """

    freqs_hz: Array
    level: Array
    n_contrasts: int
    limits_hz: tuple[float, float]
    tilt: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tilt", np.log(self.freqs_hz / self.freqs_hz.mean()))

    def jacobian(self, rows: Array) -> tuple[Array, Array]:
        """Model and relative derivatives: (n_rows, n_values), (n_rows, n_params, n_values)."""
        many, n_freqs = len(rows), self.freqs_hz.size
        slopes = np.zeros((many, rows.shape[1], self.n_contrasts, n_freqs))
        total = self._backgrounds(rows)
        for k in range(self.n_contrasts):
            slopes[:, 2 * k, k] = total[:, k]
            slopes[:, 2 * k + 1, k] = total[:, k] * self.tilt
        for first in self._bumps(rows):
            center = first + self.n_contrasts
            z, sd, parts = self._bump(rows, first)
            total += parts
            slopes[:, center] = parts * z[:, None] / sd[:, None]
            slopes[:, center + 1] = parts * (z**2)[:, None]
            for k in range(self.n_contrasts):
                slopes[:, first + k, k] = parts[:, k]
        slopes /= total[:, None]
        return total.reshape(many, -1), slopes.reshape(many, rows.shape[1], -1)

    def spectrum(self, rows: Array) -> Array:
        """Modelled power, shape (n_rows, n_values)."""
        total = self._backgrounds(rows)
        for first in self._bumps(rows):
            total += self._bump(rows, first)[2]
        return total.reshape(len(rows), -1)

    def clip(self, rows: Array) -> Array:
        """Project parameters onto their ranges."""
        out = rows.copy()
        for first in self._bumps(rows):
            center = first + self.n_contrasts
            out[:, first:center] = np.clip(out[:, first:center], -12.0, 12.0)
            out[:, center] = np.clip(out[:, center], *self.limits_hz)
            out[:, center + 1] = np.clip(out[:, center + 1], *_WIDTHS)
        return out

    def _bumps(self, rows: Array) -> range:
        """First column of every bump."""
        return range(2 * self.n_contrasts, rows.shape[1], self.n_contrasts + 2)

    def _backgrounds(self, rows: Array) -> Array:
        """Background of every spectrum, shape (n_rows, n_contrasts, n_freqs)."""
        own = rows[:, : 2 * self.n_contrasts].reshape(len(rows), self.n_contrasts, 2, 1)
        return np.asarray(self.level * np.exp(own[:, :, 0] + own[:, :, 1] * self.tilt))

    def _bump(self, rows: Array, first: int) -> tuple[Array, Array, Array]:
        """One bump: standardised distance, deviation, power in every spectrum."""
        center = first + self.n_contrasts
        sd = np.exp(rows[:, [center + 1]])
        z = (self.freqs_hz - rows[:, [center]]) / sd
        line = np.exp(-0.5 * z**2)
        return z, sd, np.exp(rows[:, first:center, None]) * line[:, None]
