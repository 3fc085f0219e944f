"""Four-second spans judged by autoreject: single channels repaired, bad spans marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.marks import add_marks

SPAN_S = 4.0
MIN_SPANS = 10
_FADE_S = 0.25
_CENTRE_M = (0.0, 0.0, 0.04)
_HIGH_PASS_HZ = 1.0
_RHYTHM_HZ = (6.0, 14.0)


@dataclass(frozen=True, slots=True)
class Judged:
    """What autoreject found in a recording, and what was done.

    Parameters
    ----------
    starts : ndarray of int, shape (n_spans,)
        First sample of each span.
    size : int
        Samples of a span.
    rejected : ndarray of bool, shape (n_spans,)
        Spans that are marked as bad.
    repaired : int
        Spans in which single channels were interpolated.
    share_samples : float
        Share of all samples, channels times time, that were.
    """

    starts: NDArray[np.int64]
    size: int
    rejected: NDArray[np.bool_]
    repaired: int
    share_samples: float


def without_rhythm(copy: Any) -> None:
    """Take 6 to 14 Hz out of a copy that is only judged, in place.

    Parameters
    ----------
    copy : mne.io.BaseRaw
        The copy. Strong alpha over the back of the head is large and uneven; rules that look at
        amplitude would throw out the very channels and spans that carry the rhythm.
    """
    low, high = _RHYTHM_HZ
    copy.filter(high, low, l_trans_bandwidth=1.0, h_trans_bandwidth=1.0)


def interpolate(raw: Any, exclude: list[str] | tuple[str, ...] = ()) -> None:
    """Replace the channels marked as bad by spherical splines of the good ones, in place.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    exclude : list or tuple of str
        Channels marked as bad that are to stay as they are.
    """
    raw.interpolate_bads(
        reset_bads=False, origin=_CENTRE_M, exclude=tuple(exclude), method={"eeg": "spline"}
    )


def judge_spans(
    module: Any, raw: Any, kept: list[str], seed: int, *, repair: bool = True
) -> Judged:
    """Judge four-second spans, repair single channels in them and mark the rest, in place.

    Parameters
    ----------
    module : module
        The package autoreject.
    raw : mne.io.BaseRaw
        The recording.
    kept : list of str
        Good channels whose position is known.
    seed : int
        Seed of everything random.
    repair : bool
        Whether single channels of a span may be interpolated; a span is otherwise kept as it is
        or marked.

    Returns
    -------
    Judged
        What was found and done.

    Raises
    ------
    AnalysisError
        If the signal is too short or autoreject fails.
    """
    import mne

    copy = raw.copy().pick(kept).filter(_HIGH_PASS_HZ, None)
    without_rhythm(copy)
    epochs = mne.make_fixed_length_epochs(
        copy, duration=SPAN_S, preload=True, reject_by_annotation=True, proj=False
    )
    if len(epochs) < MIN_SPANS:
        raise AnalysisError(
            f"autoreject needs {MIN_SPANS} spans of {SPAN_S:g} s: {len(epochs)} are left; "
            "record longer, or go without cleaning"
        )
    most = max(1, len(kept) // 4)
    settings = {
        "n_interpolate": np.unique([1, max(1, most // 2), most] if repair else [0]),
        "consensus": np.linspace(0.1, 1.0, 10),
        "cv": min(10, len(epochs)),
        "random_state": seed,
        "n_jobs": 1,
        "verbose": False,
    }
    try:
        judge = module.AutoReject(**settings).fit(epochs)
        log = judge.get_reject_log(epochs)
    except (ValueError, RuntimeError, IndexError, MemoryError) as exc:
        raise AnalysisError(f"autoreject cannot judge this recording: {one_line(exc)}") from exc
    starts = np.asarray(epochs.events[:, 0] - raw.first_samp, dtype=np.int64)
    size = int(epochs.times.size)
    rejected = np.asarray(log.bad_epochs, dtype=bool)
    faulty = (np.asarray(log.labels) == 2) & ~rejected[:, None]
    order = [list(log.ch_names).index(name) for name in kept]
    faulty = faulty[:, order]
    _repair_spans(raw, kept, starts, size, faulty)
    judged = Judged(
        starts=starts,
        size=size,
        rejected=rejected,
        repaired=int(faulty.any(axis=1).sum()),
        share_samples=float(faulty.sum() * size / (len(kept) * raw.n_times)),
    )
    _annotate(raw, judged)
    return judged


def _repair_spans(
    raw: Any,
    kept: list[str],
    starts: NDArray[np.int64],
    size: int,
    faulty: NDArray[np.bool_],
) -> None:
    """Replace faulty channels of spans by their neighbours, faded in and out, in place."""
    import mne

    sfreq = float(raw.info["sfreq"])
    weight = np.zeros((len(kept), raw.n_times))
    better = np.zeros_like(weight)
    for row in np.flatnonzero(faulty.any(axis=1)):
        first = int(starts[row])
        names = [kept[k] for k in np.flatnonzero(faulty[row])]
        cut = raw.get_data(start=first, stop=first + size)
        span = mne.io.RawArray(cut, raw.info.copy(), verbose="ERROR")
        beside = list(raw.info["bads"])
        span.info["bads"] = [*names, *beside]
        interpolate(span, exclude=beside)
        for name in names:
            k = kept.index(name)
            better[k, first : first + size] = span.get_data(picks=[name])[0]
            weight[k, first : first + size] = 1.0
    fade = max(1, round(_FADE_S * sfreq))
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
    for k in np.flatnonzero(weight.any(axis=1)).tolist():
        edges = np.flatnonzero(np.diff(np.concatenate([[0.0], weight[k], [0.0]])))
        for start, stop in edges.reshape(-1, 2):
            weight[k, start : start + fade] = ramp
            weight[k, stop - fade : stop] = ramp[::-1]
        index = raw.ch_names.index(kept[k])
        wave = raw.get_data(picks=[index])[0]
        raw[index, :] = wave + weight[k] * (better[k] - wave)


def _annotate(raw: Any, judged: Judged) -> None:
    """Mark the rejected spans, neighbouring ones as one, in place."""
    sfreq = float(raw.info["sfreq"])
    mask = np.zeros(raw.n_times, dtype=bool)
    for start in judged.starts[judged.rejected]:
        mask[start : start + judged.size] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    if not edges.size:
        return
    add_marks(raw, edges[::2] / sfreq, (edges[1::2] - edges[::2]) / sfreq, "BAD_autoreject")


def one_line(exc: BaseException) -> str:
    """Text of an exception in one short line.

    Parameters
    ----------
    exc : BaseException
        The exception.

    Returns
    -------
    str
        Its text, or its kind where it has none.
    """
    text = " ".join(str(exc).split()) or type(exc).__name__
    return text if len(text) <= 160 else text[:159] + "…"
