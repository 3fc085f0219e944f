"""Is a recording good enough: length, channels, artefacts, units, mains and sampling rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.io import Recording
from analysis.mains import find_mains, suspicion

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_SECONDS = 30.0
PROVISIONAL_SECONDS = 60.0
MIN_SFREQ_HZ = 64.0
AMPLITUDE_UV = (0.5, 500.0)


@dataclass(frozen=True, slots=True)
class Quality:
    """Verdict on one recording.

    Parameters
    ----------
    usable : bool
        False when any reason is present.
    reasons : tuple of str
        Why it cannot be used.
    warnings : tuple of str
        What to keep in mind.
    sfreq_hz, duration_s, usable_s : float
        Sampling rate, length, and length outside artefacts.
    good_channels : tuple of str
        EEG channels kept.
    bad_channels : tuple of (str, str)
        EEG channels left out, each with why.
    artefact_spans_s : tuple of (float, float)
        Parts left out, in seconds from the start.
    mains_hz : float or None
        50 or 60 where mains is seen there.
    suggested_sfreq_hz : float or None
        Likely true sampling rate when mains appears at a wrong frequency.
    amplitude_uv : float or None
        Median standard deviation of one-second pieces; None when the unit is unknown.
    """

    usable: bool
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    sfreq_hz: float
    duration_s: float
    usable_s: float
    good_channels: tuple[str, ...]
    bad_channels: tuple[tuple[str, str], ...]
    artefact_spans_s: tuple[tuple[float, float], ...]
    mains_hz: float | None
    suggested_sfreq_hz: float | None
    amplitude_uv: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "usable": self.usable,
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "sfreq_hz": self.sfreq_hz,
            "duration_s": self.duration_s,
            "usable_s": self.usable_s,
            "good_channels": list(self.good_channels),
            "bad_channels": dict(self.bad_channels),
            "artefact_spans_s": [list(span) for span in self.artefact_spans_s],
            "mains_hz": self.mains_hz,
            "suggested_sfreq_hz": self.suggested_sfreq_hz,
            "amplitude_uv": self.amplitude_uv,
        }

    def artefact_mask(self, n_samples: int) -> Mask:
        """Samples inside the artefact spans, shape (n_samples,)."""
        mask = np.zeros(n_samples, dtype=bool)
        for start, stop in self.artefact_spans_s:
            mask[round(start * self.sfreq_hz) : round(stop * self.sfreq_hz)] = True
        return mask


def assess(recording: Any, *, region: Sequence[str] | None = None) -> Quality:
    """Judge the EEG channels of a recording.

    Parameters
    ----------
    recording : Recording or mne.io.BaseRaw
        What to judge; a bare MNE object is taken to be in volt.
    region : sequence of str, optional
        Channels whose artefacts count; all good ones otherwise.

    Returns
    -------
    Quality
        The verdict.

    Notes
    -----
    Channel rules after the PREP pipeline (Bigdely-Shamlo et al. 2015, Front. Neuroinform. 9:16):
    not finite, flat, clipped, robust amplitude deviation, and, with 16 channels or more, low
    correlation with every other channel. Artefact rule: one-second pieces whose peak-to-peak
    amplitude is at least three times the channel's median and five robust deviations above it in
    a fifth of the channels. A true 50 or 60 Hz line seen at another frequency betrays the clock.
    """
    raw = recording.raw if isinstance(recording, Recording) else recording
    unit_known = recording.unit_known if isinstance(recording, Recording) else True
    sfreq = float(raw.info["sfreq"])
    kinds = raw.get_channel_types()
    names = [n for n, kind in zip(raw.ch_names, kinds, strict=True) if kind == "eeg"]
    data = np.asarray(raw.get_data(picks=names), dtype=float) if names else np.empty((0, 0))
    reasons: list[str] = []
    warnings: list[str] = []
    if not names:
        reasons.append("no EEG channel")
    if sfreq < MIN_SFREQ_HZ:
        reasons.append(f"sampling rate {sfreq:g} Hz is too low: {MIN_SFREQ_HZ:g} Hz is the least")
    finite: Mask = np.asarray(np.isfinite(data).all(axis=1))
    pieces = _pieces(np.where(finite[:, None], data, 0.0), sfreq)
    bad = _bad_channels(data, pieces, finite, names, set(raw.info["bads"]))
    good = [name for name in names if name not in bad]
    keep = [names.index(name) for name in good]
    if names and not good:
        reasons.append(f"every EEG channel is bad: {_listed(bad)}")
    elif bad:
        warnings.append(f"{len(bad)} of {len(names)} channels left out: {_listed(bad)}")
    judged = [names.index(n) for n in good if region is None or n in region] or keep
    mask: Mask = annotated_mask(raw)
    marked_s = mask.sum() / sfreq
    if judged and pieces.shape[1]:
        mask |= _artefact_mask(pieces[judged], data.shape[1], sfreq)
    dropped_s = mask.sum() / sfreq - marked_s
    if dropped_s > 0.0:
        warnings.append(f"{dropped_s:.0f} s with gross artefacts left out")
    duration = raw.n_times / sfreq
    usable = float(np.sum(~mask) / sfreq)
    if usable < MIN_SECONDS:
        reasons.append(
            f"only {usable:.1f} s of usable signal: {MIN_SECONDS:g} s is the least, 120 s is better"
        )
    elif usable < PROVISIONAL_SECONDS:
        warnings.append(f"provisional: only {usable:.0f} s of usable signal, record 120 s")
    mains, suggested = None, None
    if keep and data.shape[1] >= 8.0 * sfreq:
        mains, suggested = find_mains(data[keep], sfreq)
    if suggested is not None:
        warnings.append(suspicion(sfreq, suggested[0], suggested[1]))
    amplitude = None
    if keep and pieces.shape[1] and unit_known:
        amplitude = float(np.median(pieces[keep].std(axis=2)) * 1e6)
        warnings.extend(_amplitude_warning(amplitude))
    return Quality(
        usable=not reasons,
        reasons=tuple(reasons),
        warnings=tuple(warnings),
        sfreq_hz=sfreq,
        duration_s=duration,
        usable_s=usable,
        good_channels=tuple(good),
        bad_channels=tuple(bad.items()),
        artefact_spans_s=_spans(mask, sfreq),
        mains_hz=mains,
        suggested_sfreq_hz=None if suggested is None else suggested[1],
        amplitude_uv=amplitude,
    )


def annotated_mask(raw: Any) -> Mask:
    """Samples under an annotation that begins with "bad" or "edge", shape (n_samples,)."""
    mask: Mask = np.zeros(raw.n_times, dtype=bool)
    sfreq = float(raw.info["sfreq"])
    offset = raw.first_time if raw.annotations.orig_time is not None else 0.0
    for mark in raw.annotations:
        if str(mark["description"]).lower().startswith(("bad", "edge")):
            first = max(0, round((mark["onset"] - offset) * sfreq))
            mask[first : max(first, round((mark["onset"] - offset + mark["duration"]) * sfreq))] = (
                True
            )
    return mask


def _listed(bad: dict[str, str]) -> str:
    """First eight bad channels in words."""
    more = f" and {len(bad) - 8} more" if len(bad) > 8 else ""
    return ", ".join(f"{name} ({why})" for name, why in list(bad.items())[:8]) + more


def _pieces(data: Array, sfreq: float) -> Array:
    """One-second pieces with their mean removed, shape (n_channels, n_pieces, n_samples)."""
    size = max(1, round(sfreq))
    count = data.shape[1] // size
    cut = data[:, : count * size].reshape(data.shape[0], count, size)
    return np.asarray(cut - cut.mean(axis=2, keepdims=True)) if count else cut


def _bad_channels(
    data: Array, pieces: Array, finite: Mask, names: list[str], marked: set[str]
) -> dict[str, str]:
    """Bad channels and why."""
    bad = {name: "marked bad in the file" for name in names if name in marked}
    if not names or data.shape[1] < 2:
        return bad
    still = np.ones(len(names))
    still[finite] = np.mean(np.diff(data[finite], axis=1) == 0.0, axis=1)
    ends = np.zeros(len(names))
    top, bottom = data.max(axis=1, keepdims=True), data.min(axis=1, keepdims=True)
    ends[finite] = np.mean((data == top) | (data == bottom), axis=1)[finite]
    spread = np.zeros(len(names))
    if pieces.shape[1]:
        spread[finite] = np.median(pieces[finite].std(axis=2), axis=1)
    typical = float(np.median(spread[finite])) if finite.any() else 0.0
    for i, name in enumerate(names):
        if name in bad:
            continue
        if not finite[i]:
            bad[name] = "holds NaN or infinite values"
        elif still[i] > 0.75 or (pieces.shape[1] and spread[i] <= 1e-3 * typical):
            bad[name] = "flat"
        elif ends[i] > 0.1:
            bad[name] = "clipped at its limits"
    left = [i for i, name in enumerate(names) if name not in bad]
    if len(left) < 5 or not pieces.shape[1]:
        return bad
    level = np.log(spread[left])
    middle = np.median(level)
    deviation = 1.4826 * float(np.median(np.abs(level - middle)))
    for i, value in zip(left, level, strict=True):
        far = abs(value - middle) > max(5.0 * deviation, np.log(4.0))
        if far:
            bad[names[i]] = "far larger than the others" if value > middle else "far smaller"
    left = [i for i in left if names[i] not in bad]
    if len(left) >= 16:
        best = _best_correlation(pieces[left])
        # Neighbours on one head always correlate; where they do not, the rule says nothing.
        if np.median(best) >= 0.5:
            for i, value in zip(left, best, strict=True):
                if value < 0.3:
                    bad[names[i]] = "unlike every other channel"
    return bad


def _best_correlation(pieces: Array) -> Array:
    """Median over pieces of the largest absolute correlation with another channel."""
    chosen = pieces[:, :: max(1, pieces.shape[1] // 60)].transpose(1, 0, 2)
    norm = np.linalg.norm(chosen, axis=2, keepdims=True)
    unit = chosen / np.maximum(norm, 1e-300)
    correlation = np.abs(unit @ unit.transpose(0, 2, 1))
    correlation[:, np.arange(len(pieces)), np.arange(len(pieces))] = 0.0
    return np.asarray(np.median(correlation.max(axis=2), axis=0))


def _artefact_mask(pieces: Array, n_samples: int, sfreq: float) -> Mask:
    """Samples of one-second pieces with gross artefacts in a fifth of the channels."""
    size = np.log(np.maximum(np.ptp(pieces, axis=2), 1e-300))
    middle = np.median(size, axis=1, keepdims=True)
    deviation = 1.4826 * np.median(np.abs(size - middle), axis=1, keepdims=True)
    gross = size - middle > np.maximum(5.0 * deviation, np.log(3.0))
    hit = gross.sum(axis=0) >= max(1, int(np.ceil(0.2 * len(pieces))))
    mask = np.zeros(n_samples, dtype=bool)
    mask[: hit.size * round(sfreq)] = np.repeat(hit, round(sfreq))
    return mask


def _spans(mask: Mask, sfreq: float) -> tuple[tuple[float, float], ...]:
    """Start and end of every run of True, in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return tuple((float(a / sfreq), float(b / sfreq)) for a, b in edges.reshape(-1, 2))


def _amplitude_warning(amplitude_uv: float) -> list[str]:
    """Warn of amplitudes that no EEG has."""
    low, high = AMPLITUDE_UV
    if low <= amplitude_uv <= high:
        return []
    size = "large" if amplitude_uv > high else "small"
    return [
        f"amplitudes are far too {size} for EEG (SD {amplitude_uv:.3g} µV): the file's unit is "
        "probably wrong by 1000; frequencies and ratios are not affected"
    ]
