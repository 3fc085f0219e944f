"""Artefacts of two recordings handled alike: components by ICA, spans by autoreject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, get_args

import numpy as np

from analysis.clean import load_package, silence
from analysis.clean_spans import SPAN_S, judge_spans
from analysis.errors import AnalysisError
from analysis.ica import decompose
from analysis.ica_result import Decomposition
from analysis.marks import add_marks, onsets_s
from analysis.placement import MIN_CHANNELS, directions

Artefacts = Literal["none", "ica", "autoreject", "both"]
ARTEFACTS: tuple[Artefacts, ...] = get_args(Artefacts)
Windows = tuple[tuple[float, float], tuple[float, float]]

ALPHA_HZ = (8.0, 13.0)
_REJECTED_APART = 0.15


@dataclass(frozen=True, slots=True)
class Rejection:
    """Four-second spans judged by autoreject, with the same thresholds before and after.

    Parameters
    ----------
    spans, rejected : (int, int)
        Spans judged and spans left out, before and after.
    seed : int
        Seed of the cross-validation.
    versions : tuple of (str, str)
        Packages behind the result.
    """

    spans: tuple[int, int]
    rejected: tuple[int, int]
    seed: int
    versions: tuple[tuple[str, str], ...]

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of the spans left out."""
        before, after = (
            out / max(1, spans) for out, spans in zip(self.rejected, self.spans, strict=True)
        )
        return before, after

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "span_s": SPAN_S,
            "spans": list(self.spans),
            "rejected": list(self.rejected),
            "interpolated_within_spans": False,
            "thresholds": "learnt from both recordings together",
            "seed": self.seed,
            "versions": dict(self.versions),
        }

    def line(self) -> str:
        """What was done, in one line."""
        return (
            f"autoreject: {self.rejected[0]} of {self.spans[0]} spans of {SPAN_S:g} s left out "
            f"before, {self.rejected[1]} of {self.spans[1]} after"
        )


@dataclass(frozen=True, slots=True)
class Handling:
    """What was done about artefacts.

    Parameters
    ----------
    method : {"none", "ica", "autoreject", "both"}
        What was asked for.
    ica : Decomposition or None
        Components of both recordings.
    rejection : Rejection or None
        Spans of both.
    warnings : tuple of str
        What must be known to read the result.
    """

    method: Artefacts
    ica: Decomposition | None = None
    rejection: Rejection | None = None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "method": self.method,
            "gross": "seconds with gross artefacts are left out in every case",
            "ica": None if self.ica is None else self.ica.to_dict(),
            "autoreject": None if self.rejection is None else self.rejection.to_dict(),
        }


def handle_artefacts(
    before: Any,
    after: Any,
    channels: Sequence[str],
    method: Artefacts,
    *,
    windows_s: Windows,
    rhythm_hz: tuple[float, float] | None = None,
    seed: int = 0,
) -> tuple[Any, Any, Handling]:
    """Take artefacts out of two recordings, or mark them, in the same way in both.

    Parameters
    ----------
    before, after : mne.io.BaseRaw
        The recordings; they are not changed.
    channels : sequence of str
        Channels good in both.
    method : {"none", "ica", "autoreject", "both"}
        `ica` takes components out of both with one spatial filter (`analysis.ica`), `autoreject`
        marks spans by thresholds learnt from both together and interpolates nothing, `both` does
        the second after the first.
    windows_s : ((float, float), (float, float))
        Part of each recording that is compared, equally long.
    rhythm_hz : (float, float), optional
        Band in which it is told what ICA took; 8 to 13 Hz by default.
    seed : int
        Seed of everything random.

    Returns
    -------
    before, after : mne.io.BaseRaw
        The recordings themselves with `none`; else copies.
    Handling
        What was done.

    Raises
    ------
    AnalysisError
        If the method is unknown, a package is missing, or channels, positions or samples are too
        few for it: there is no second choice made in silence.
    """
    if method not in ARTEFACTS:
        raise AnalysisError(f"artefacts {method!r} is unknown: give {', '.join(ARTEFACTS)}")
    ica, rejection = None, None
    warnings: list[str] = []
    if method in ("ica", "both"):
        ica = decompose(
            before,
            after,
            channels,
            windows_s=windows_s,
            rhythm_hz=rhythm_hz or ALPHA_HZ,
            seed=seed,
        )
        before, after = ica.apply(before), ica.apply(after)
        warnings += [ica.line(), *ica.warnings]
    if method in ("autoreject", "both"):
        before, after, rejection = _reject(before, after, tuple(channels), windows_s, seed)
        warnings.append(rejection.line())
        shares = rejection.shares
        if abs(shares[1] - shares[0]) > _REJECTED_APART:
            warnings.append(
                f"autoreject left out {100.0 * shares[0]:.0f} % of the spans before and "
                f"{100.0 * shares[1]:.0f} % after: the recordings differ in their artefacts"
            )
    return before, after, Handling(method, ica, rejection, tuple(warnings))


def _reject(
    before: Any, after: Any, channels: tuple[str, ...], windows_s: Windows, seed: int
) -> tuple[Any, Any, Rejection]:
    """Mark bad spans of both recordings by the same thresholds."""
    import mne

    module = load_package("autoreject")
    placed = _placed(before, channels)
    rate_hz = min(float(raw.info["sfreq"]) for raw in (before, after))
    with silence():
        parts, firsts = [], []
        for raw, (start_s, stop_s) in zip((before, after), windows_s, strict=True):
            # Whole spans, counted from the end, so that none lies across the seam.
            first_s = stop_s - SPAN_S * np.floor((stop_s - start_s) / SPAN_S + 1e-9)
            part = _part(raw, placed, first_s, stop_s, rate_hz)
            parts.append(part)
            firsts.append(first_s)
        joined = mne.concatenate_raws([part.copy() for part in parts])
        judged = judge_spans(module, joined, placed, seed, repair=False)
    seam = parts[0].n_times
    copies, spans, rejected = [], [], []
    for place, (raw, first_s) in enumerate(zip((before, after), firsts, strict=True)):
        mine = (judged.starts >= seam) == bool(place)
        out = judged.starts[mine & judged.rejected] - seam * place
        copy = raw.copy()
        if out.size:
            onsets = first_s + out / rate_hz
            add_marks(copy, onsets, np.full(out.size, judged.size / rate_hz), "BAD_autoreject")
        copies.append(copy)
        spans.append(int(mine.sum()))
        rejected.append(int(out.size))
    found = Rejection(
        (spans[0], spans[1]),
        (rejected[0], rejected[1]),
        seed,
        (("autoreject", version("autoreject")),),
    )
    return copies[0], copies[1], found


def _part(raw: Any, channels: list[str], start_s: float, stop_s: float, rate_hz: float) -> Any:
    """Copy of a part at a rate, its marks in seconds from its first sample."""
    import mne

    own_hz = float(raw.info["sfreq"])
    first, last = round(start_s * own_hz), round(stop_s * own_hz)
    info = mne.pick_info(raw.info, [raw.ch_names.index(name) for name in channels])
    part = mne.io.RawArray(raw.get_data(picks=channels, start=first, stop=last), info)
    part.set_meas_date(None)
    marks = raw.annotations
    part.set_annotations(
        mne.Annotations(onsets_s(raw) - first / own_hz, marks.duration, marks.description)
    )
    if own_hz != rate_hz:
        part.resample(rate_hz)
    size = round(SPAN_S * rate_hz)
    return part.crop(tmax=(part.n_times // size * size - 1) / rate_hz)


def _placed(raw: Any, channels: tuple[str, ...]) -> list[str]:
    """Channels whose position is known; refuse where they are too few."""
    direction = directions(raw, channels)
    if direction is None:
        raise AnalysisError(
            f"autoreject needs the positions of {MIN_CHANNELS} good EEG electrodes or more: name "
            "the channels after the 10-05 system (Fp1, Oz, …), or compare without (artefacts none)"
        )
    known = np.isfinite(direction[:, 0])
    return [name for name, there in zip(channels, known, strict=True) if there]
