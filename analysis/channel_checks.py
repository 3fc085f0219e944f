"""Channels one by one and pair by pair: dead, clipped, deviant, bridged, and their reference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.findings import Finding, listed

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

AVERAGE_REFERENCE_CHANNELS = 16
_CLIPPED_SHARE = 0.1
_RAIL_RUN = 3
_RAIL_SHARE = 5e-4
_BRIDGE_SHARE = 0.01
_MASTOIDS = (("M1", "M2"), ("A1", "A2"), ("TP9", "TP10"))
_SITE = r"(?:Fp|AF|F|FC|FT|C|T|CP|TP|P|PO|O|I|N)(?:z|\d{1,2})h?"
_BIPOLAR = re.compile(rf"^(?:EEG[ _-]*)?({_SITE})[ ]?[-–:][ ]?({_SITE})$", re.IGNORECASE)
_LINKED = re.compile(r"[-_ ](?:LE|A1A2|A1\+A2|M1M2|M1\+M2)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Measures:
    """What is measured on every channel, finite or not.

    Parameters
    ----------
    finite : ndarray of bool, shape (n_channels,)
        Whether every sample is a number; the other measures are 0 where it is not.
    still : ndarray, shape (n_channels,)
        Share of samples equal to the one before.
    at_limits : ndarray, shape (n_channels,)
        Share of samples at the channel's own maximum or minimum.
    railed : ndarray of int, shape (n_channels,)
        Samples there in runs of three or more.
    zero : ndarray of bool, shape (n_channels,)
        Whether every sample is exactly zero.
    ranges, spreads : ndarray, shape (n_channels, n_pieces)
        Peak-to-peak amplitude and standard deviation of one-second pieces.
    """

    finite: Mask
    still: Array
    at_limits: Array
    railed: NDArray[np.int64]
    zero: Mask
    ranges: Array
    spreads: Array

    @property
    def spread(self) -> Array:
        """Median standard deviation of the pieces, shape (n_channels,); 0 without a piece."""
        if not self.spreads.shape[1]:
            return np.zeros(len(self.spreads))
        return np.asarray(np.median(self.spreads, axis=1))


def measure(data: Array, sfreq: float) -> Measures:
    """Measure every channel once.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Signals.
    sfreq : float
        Sampling rate.

    Returns
    -------
    Measures
        The measures.
    """
    n, n_samples = len(data), data.shape[1]
    size = max(1, round(sfreq))
    count = n_samples // size
    out = Measures(
        finite=np.ones(n, dtype=bool),
        still=np.zeros(n),
        at_limits=np.zeros(n),
        railed=np.zeros(n, dtype=np.int64),
        zero=np.zeros(n, dtype=bool),
        ranges=np.zeros((n, count)),
        spreads=np.zeros((n, count)),
    )
    for i, wave in enumerate(data):
        top, bottom = float(wave.max(initial=-np.inf)), float(wave.min(initial=np.inf))
        if not (np.isfinite(top) and np.isfinite(bottom)):
            out.finite[i] = not n_samples
            continue
        out.zero[i] = top == bottom == 0.0
        if n_samples > 1:
            out.still[i] = np.count_nonzero(wave[1:] == wave[:-1]) / (n_samples - 1)
        pieces = wave[: count * size].reshape(count, size)
        highs, lows = pieces.max(axis=1), pieces.min(axis=1)
        out.ranges[i] = highs - lows
        means = pieces.sum(axis=1) / size
        power = np.einsum("ij,ij->i", pieces, pieces) / size - means**2
        out.spreads[i] = np.sqrt(np.maximum(power, 0.0))
        # Only pieces that reach the limits can hold samples there.
        reached = pieces[(highs == top) | (lows == bottom)].reshape(-1)
        rest = wave[count * size :]
        at = np.concatenate([reached, rest])
        at_limit = (at == top) | (at == bottom)
        out.at_limits[i] = np.count_nonzero(at_limit) / n_samples
        out.railed[i] = _in_runs(at_limit)
    return out


def bad_channels(
    data: Array, measures: Measures, names: Sequence[str], marked: set[str], sfreq: float
) -> dict[str, str]:
    """Bad channels and why.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Signals.
    measures : Measures
        Of these signals.
    names : sequence of str
        Channel names.
    marked : set of str
        Channels that the file marks as bad.
    sfreq : float
        Sampling rate.

    Returns
    -------
    dict of str to str
        Name and reason, in the order of the channels within each rule.

    Notes
    -----
    Rules after the PREP pipeline (Bigdely-Shamlo et al. 2015, Front. Neuroinform. 9:16): not
    finite, flat, clipped, robust deviation of the amplitude, and, with 16 channels or more, low
    correlation with every other channel.
    """
    bad = {name: "marked bad in the file" for name in names if name in marked}
    if not names or data.shape[1] < 2:
        return bad
    has_pieces = measures.spreads.shape[1] > 0
    spread = measures.spread
    finite = measures.finite
    typical = float(np.median(spread[finite])) if finite.any() else 0.0
    dead = (measures.still > 0.75) | (has_pieces & (spread <= 1e-3 * typical))
    for i, name in enumerate(names):
        if name in bad:
            continue
        if not finite[i]:
            bad[name] = "holds NaN or infinite values"
        elif dead[i]:
            bad[name] = "flat"
        elif measures.at_limits[i] > _CLIPPED_SHARE:
            bad[name] = "clipped at its limits"
    left = [i for i, name in enumerate(names) if name not in bad]
    if len(left) < 5 or not has_pieces:
        return bad
    level = np.log(spread[left])
    middle = np.median(level)
    deviation = 1.4826 * float(np.median(np.abs(level - middle)))
    for i, value in zip(left, level, strict=True):
        if abs(value - middle) > max(5.0 * deviation, np.log(4.0)):
            bad[names[i]] = "far larger than the others" if value > middle else "far smaller"
    left = [i for i in left if names[i] not in bad]
    if len(left) >= 16:
        best = _best_correlation(data, left, sfreq)
        # Neighbours on one head always correlate; where they do not, the rule says nothing.
        if np.median(best) >= 0.5:
            for i, value in zip(left, best, strict=True):
                if value < 0.3:
                    bad[names[i]] = "unlike every other channel"
    return bad


def bad_channel_findings(
    bad: dict[str, str], names: Sequence[str], measures: Measures
) -> list[Finding]:
    """Name the channels left out, by kind.

    Parameters
    ----------
    bad : dict of str to str
        Bad channels and why.
    names : sequence of str
        EEG channels in all.
    measures : Measures
        Of these channels.

    Returns
    -------
    list of Finding
        ``flat_channels``, ``saturated_channels`` and ``bad_channels``; one refusal when all are
        bad.
    """
    kinds = {
        "flat_channels": "check plug and contact",
        "saturated_channels": "lower the gain or mend the contact",
        "bad_channels": "check the contact before the next recording",
    }
    n_channels = len(names)
    if n_channels > 1 and np.count_nonzero(measures.zero) == 1:
        lone = names[int(np.argmax(measures.zero))]
        kinds["flat_channels"] = f"{lone} is zero throughout: probably the recording reference"
    told = {name: f"{name} ({why})" for name, why in bad.items()}
    if n_channels and len(bad) == n_channels:
        text = f"every EEG channel is bad: {listed(list(told.values()))}; record again"
        return [Finding("bad_channels", "refusal", text, tuple(bad), count=len(bad))]
    found = []
    for kind, cure in kinds.items():
        these = tuple(name for name, why in bad.items() if _kind(why) == kind)
        if these:
            lines = listed([told[name] for name in these])
            text = f"{len(these)} of {n_channels} channels left out: {lines}; {cure}"
            found.append(Finding(kind, "warning", text, these, count=len(these)))
    return found


def _kind(why: str) -> str:
    """Name of the finding that a reason belongs to."""
    if why.startswith("flat"):
        return "flat_channels"
    return "saturated_channels" if why.startswith("clipped") else "bad_channels"


def saturation_finding(
    measures: Measures, names: Sequence[str], good: Sequence[int], sfreq: float, n_samples: int
) -> list[Finding]:
    """Find kept channels that touch the rails.

    Parameters
    ----------
    measures : Measures
        Of all channels.
    names : sequence of str
        Their names.
    good : sequence of int
        Channels kept.
    sfreq : float
        Sampling rate.
    n_samples : int
        Length.

    Returns
    -------
    list of Finding
        ``saturated_channels``, or nothing: runs of three or more samples at the channel's own
        limits that make up 0.05 % of the time or more.
    """
    least = max(2 * _RAIL_RUN, _RAIL_SHARE * n_samples)
    railed = [i for i in good if measures.railed[i] >= least]
    if not railed:
        return []
    count = int(sum(measures.railed[i] for i in railed))
    worst = max(int(measures.railed[i]) for i in railed) / n_samples
    told = listed([f"{names[i]} ({measures.railed[i] / sfreq:.1f} s)" for i in railed])
    text = (
        f"{count} samples stand at the amplifier's limits in {told}: what happened there is "
        "lost; lower the gain or mend the contact"
    )
    chosen = tuple(names[i] for i in railed)
    return [Finding("saturated_channels", "warning", text, chosen, worst, count)]


def bridge_findings(distance: Array, names: Sequence[str]) -> list[Finding]:
    """Find channels that carry nearly the same signal.

    Parameters
    ----------
    distance : ndarray, shape (n_channels, n_channels)
        Electrical distance: variance of the difference of two channels (any unit).
    names : sequence of str
        Their names.

    Returns
    -------
    list of Finding
        ``bridged_channels``, or nothing: a distance below 1 % of what is usual between a channel
        and its closest neighbour in this recording.

    References
    ----------
    Tenke & Kayser 2001, Clin. Neurophysiol. 112:545-550; Alschuler et al. 2014, Clin.
    Neurophysiol. 125:484-490. The share is ours: a recording whose unit is unknown has no µV².
    """
    if len(names) < 4:
        return []
    away = distance + np.diag(np.full(len(names), np.inf))
    usual = float(np.median(away.min(axis=1)))
    rows, columns = np.nonzero(np.triu(away < _BRIDGE_SHARE * usual, 1))
    if not rows.size:
        return []
    joined = list(zip(rows.tolist(), columns.tolist(), strict=True))
    pairs = [f"{names[i]}-{names[j]}" for i, j in joined]
    chosen = tuple(names[i] for i in sorted({i for pair in joined for i in pair}))
    text = (
        f"{listed(pairs)} carry the same signal: gel or sweat joins the electrodes, or one is "
        "plugged twice; dry the skin between them, and do not count them as two places"
    )
    return [Finding("bridged_channels", "warning", text, chosen, count=len(pairs))]


def reference_findings(
    data: Array, names: Sequence[str], alive: Sequence[int], n_good: int
) -> list[Finding]:
    """Say what the recording is referenced to, as far as it shows.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Signals of all EEG channels.
    names : sequence of str
        Their names as in the file.
    alive : sequence of int
        Channels that are finite and not flat.
    n_good : int
        Channels kept.

    Returns
    -------
    list of Finding
        ``reference``: a bipolar montage or an average over few electrodes is a warning, linked
        mastoids and an average over many are notes.
    """
    pairs = {name: match for name in names if (match := _BIPOLAR.match(name))}
    seconds = {match.group(2).lower() for match in pairs.values()}
    bipolar = tuple(pairs)
    # Many channels against one and the same electrode are a reference, not pairs.
    if len(bipolar) >= max(1, len(names) // 2) and (len(seconds) > 1 or len(bipolar) == 1):
        text = (
            f"bipolar channels ({listed(bipolar, 4)}): a rhythm shared by both electrodes of a "
            "pair is lost and an average reference means nothing; export the recording against "
            "one reference"
        )
        return [Finding("reference", "warning", text, bipolar, count=len(bipolar))]
    step = max(1, data.shape[1] // 1000)
    some = data[:, ::step][list(alive)]
    spread = some.std(axis=1) if some.size else np.zeros(0)
    if len(alive) >= 4 and some.mean(axis=0).std() < 0.01 * float(np.median(spread)):
        if n_good >= AVERAGE_REFERENCE_CHANNELS:
            text = "the recording is average-referenced; the peak is sought on that reference"
            return [Finding("reference", "note", text)]
        text = (
            f"the recording is referenced to the average of few electrodes ({len(alive)}): what "
            "they share, a posterior rhythm among it, is taken out; export it with its recorded "
            "reference"
        )
        return [Finding("reference", "warning", text)]
    named = tuple(name for name in names if _LINKED.search(name))
    pair = next((p for p in _MASTOIDS if _mirrored(some, spread, names, alive, p)), None)
    if named or pair:
        seen = " and ".join(pair) if pair else "linked ears or mastoids"
        after = (
            f"with {AVERAGE_REFERENCE_CHANNELS} good channels or more it is changed to the average"
            if n_good >= AVERAGE_REFERENCE_CHANNELS
            else "it is kept"
        )
        text = f"the recording is referenced to {seen}; for the peak {after}"
        return [Finding("reference", "note", text, pair or named)]
    return []


def _mirrored(
    some: Array, spread: Array, names: Sequence[str], alive: Sequence[int], pair: tuple[str, str]
) -> bool:
    """Whether two channels sum to nothing, as electrodes do whose mean is the reference."""
    rows = [k for k, i in enumerate(alive) if names[i] in pair]
    if len(rows) != 2:
        return False
    return bool(some[rows].sum(axis=0).std() < 0.02 * spread[rows].min())


def _in_runs(hit: Mask) -> int:
    """Samples in runs of `_RAIL_RUN` or more."""
    if np.count_nonzero(hit) < _RAIL_RUN:
        return 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hit.astype(np.int8), [0]])))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= _RAIL_RUN].sum())


def _best_correlation(data: Array, chosen: list[int], sfreq: float) -> Array:
    """Median over pieces of the largest absolute correlation with another channel."""
    size = max(1, round(sfreq))
    count = data.shape[1] // size
    apart, thin = max(1, count // 40), max(1, size // 64)
    # Every fourth sample or so tells a correlation as well as all of them.
    views = [data[i, : count * size].reshape(count, size)[::apart, ::thin] for i in chosen]
    pieces = np.stack(views, axis=1)
    pieces = pieces - pieces.mean(axis=2, keepdims=True)
    norm = np.sqrt(np.einsum("ijk,ijk->ij", pieces, pieces))[:, :, None]
    unit = pieces / np.maximum(norm, 1e-300)
    correlation = np.abs(unit @ unit.transpose(0, 2, 1))
    own = np.arange(len(chosen))
    correlation[:, own, own] = 0.0
    return np.asarray(np.median(correlation.max(axis=2), axis=0))
