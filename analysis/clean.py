"""Cleaning on request: bad channels by PREP, bad spans by autoreject; nothing is filtered."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from typing import Any, Literal, get_args

import numpy as np

from analysis.clean_spans import SPAN_S, interpolate, judge_spans, one_line, without_rhythm
from analysis.errors import AnalysisError
from analysis.findings import listed
from analysis.io import Recording
from analysis.placement import MIN_CHANNELS, directions
from analysis.quality import assess

Method = Literal["autoreject", "prep", "both"]
Repair = Literal["interpolate", "drop"]
METHODS: tuple[Method, ...] = get_args(Method)

MOST_BAD = 1.0 / 3.0
_RANSAC_CHANNELS = 16
_BAD_SECONDS = 0.05
_PREP_RULES = {
    "bad_by_nan": "NaN",
    "bad_by_flat": "flat",
    "bad_by_deviation": "amplitude deviates",
    "bad_by_hf_noise": "high-frequency noise",
    "bad_by_correlation": "does not correlate",
    "bad_by_dropout": "drops out",
    "bad_by_SNR": "low signal-to-noise ratio",
    "bad_by_ransac": "not predicted by the others (RANSAC)",
}


@dataclass(frozen=True, slots=True)
class CleanReport:
    """What cleaning changed.

    Parameters
    ----------
    method : {"autoreject", "prep", "both"}
        What was asked for.
    bad_channels : tuple of (str, str)
        Channels found bad, each with why.
    interpolated, dropped, untouched : tuple of str
        What was done with channels: replaced throughout by their neighbours, taken out, or left
        as they are because their position is unknown.
    spans : int
        Four-second spans judged.
    spans_rejected, spans_repaired : int
        Spans marked ``BAD_autoreject``, and spans in which single channels were interpolated.
    share_samples_repaired : float
        Share of all samples (channels times time) interpolated within spans.
    seed : int
        Seed of everything random.
    versions : tuple of (str, str)
        Packages behind the result.
    """

    method: str
    bad_channels: tuple[tuple[str, str], ...]
    interpolated: tuple[str, ...]
    dropped: tuple[str, ...]
    untouched: tuple[str, ...]
    spans: int
    spans_rejected: int
    spans_repaired: int
    share_samples_repaired: float
    seed: int
    versions: tuple[tuple[str, str], ...]

    @property
    def share_rejected(self) -> float:
        """Share of the spans judged that is left out."""
        return self.spans_rejected / self.spans if self.spans else 0.0

    @property
    def share_repaired(self) -> float:
        """Share of the spans judged in which single channels were interpolated."""
        return self.spans_repaired / self.spans if self.spans else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "method": self.method,
            "bad_channels": dict(self.bad_channels),
            "interpolated": list(self.interpolated),
            "dropped": list(self.dropped),
            "untouched": list(self.untouched),
            "spans": self.spans,
            "spans_rejected": self.spans_rejected,
            "spans_repaired": self.spans_repaired,
            "share_rejected": self.share_rejected,
            "share_repaired": self.share_repaired,
            "share_samples_repaired": self.share_samples_repaired,
            "seed": self.seed,
            "versions": dict(self.versions),
        }

    def line(self) -> str:
        """One line for the list of warnings."""
        parts = []
        if self.interpolated:
            parts.append(f"{listed(self.interpolated)} interpolated")
        if self.dropped:
            parts.append(f"{listed(self.dropped)} dropped")
        if self.spans:
            parts.append(
                f"{self.spans_rejected} of {self.spans} spans of {SPAN_S:g} s left out and "
                f"{self.spans_repaired} repaired"
            )
        packages = " and ".join(f"{name} {number}" for name, number in self.versions)
        return f"cleaned: by {packages}: {'; '.join(parts) or 'nothing to mend'}"


def clean(
    recording: Recording,
    method: Method = "autoreject",
    *,
    repair: Repair = "interpolate",
    ransac: bool = True,
    seed: int = 0,
) -> tuple[Recording, CleanReport]:
    """Mend bad channels and mark bad spans of a recording; the original is left as it is.

    Parameters
    ----------
    recording : Recording
        What to clean.
    method : {"autoreject", "prep", "both"}
        Spans by autoreject, channels by the rules of PREP, or both.
    repair : {"interpolate", "drop"}
        What to do with bad channels.
    ransac : bool
        Whether PREP also asks if the others predict a channel (16 channels or more).
    seed : int
        Seed of everything random.

    Returns
    -------
    Recording
        The same sampling rate, unit and, except where a channel was interpolated, samples; bad
        spans carry an annotation ``BAD_autoreject``.
    CleanReport
        What was done.

    Raises
    ------
    AnalysisError
        If a package is missing, positions or signal are too few, or too much is bad.

    Notes
    -----
    Channels that `analysis.quality.assess` calls bad count as bad for every method. autoreject
    decides on a copy high-passed at 1 Hz and without 6 to 14 Hz, PREP's amplitude rule on one
    without 6 to 14 Hz, and PREP's rule on band power is left out: otherwise strong alpha over
    the back of the head is taken for a fault. PREP's correlation rule needs 5 % of the seconds
    (its usual 1 % is a single second of a minute). The samples returned are not filtered. Where
    autoreject repairs single channels of a span, the spherical-spline interpolation is faded in
    and out over 0.25 s inside the span, so that no step enters the spectrum.

    References
    ----------
    Bigdely-Shamlo et al. 2015, Front. Neuroinform. 9:16 (PREP; pyprep); Jas et al. 2017,
    NeuroImage 159:417-429 (autoreject).
    """
    _check_choices(method, repair)
    packages = list(_packages(method))
    modules = {name: load_package(name) for name in packages}
    raw = recording.raw.copy().load_data(verbose="ERROR")
    kinds = raw.get_channel_types()
    names = [n for n, kind in zip(raw.ch_names, kinds, strict=True) if kind == "eeg"]
    placed = _placed(raw, names)
    bad = dict(assess(recording).bad_channels)
    with silence():
        if "pyprep" in modules:
            sound = [name for name in placed if name not in bad]
            bad |= _prep(modules["pyprep"], raw, sound, ransac, seed)
        bad = {name: bad[name] for name in names if name in bad}
        interpolated, dropped = _mend(raw, bad, placed, repair)
        judged = None
        if "autoreject" in modules:
            kept = [n for n in placed if n in raw.ch_names and n not in raw.info["bads"]]
            judged = judge_spans(modules["autoreject"], raw, kept, seed)
    report = CleanReport(
        method=method,
        bad_channels=tuple(bad.items()),
        interpolated=interpolated,
        dropped=dropped,
        untouched=tuple(name for name in names if name not in placed),
        spans=0 if judged is None else len(judged.starts),
        spans_rejected=0 if judged is None else int(judged.rejected.sum()),
        spans_repaired=0 if judged is None else judged.repaired,
        share_samples_repaired=0.0 if judged is None else judged.share_samples,
        seed=seed,
        versions=tuple((name, version(name)) for name in packages),
    )
    told = (*recording.warnings, report.line())
    return replace(recording, raw=raw, warnings=told), report


def load_package(name: str, published: str = "") -> Any:
    """Import a package of the extra `clean`, or say how to get it.

    Parameters
    ----------
    name : str
        Name to import.
    published : str
        Name under which it is installed, where that is another.

    Returns
    -------
    module
        The package.

    Raises
    ------
    AnalysisError
        If it cannot be imported.
    """
    try:
        with silence():
            return import_module(name)
    except ImportError as exc:
        raise AnalysisError(
            f"cleaning needs {published or name}, which cannot be imported: "
            "pip install 'tacs-suite[clean]'"
        ) from exc


@contextmanager
def silence() -> Iterator[None]:
    """Keep warnings, logs and progress of the packages off the terminal."""
    import mne

    with (
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
        mne.utils.use_log_level("ERROR"),
    ):
        warnings.simplefilter("ignore")
        yield


def _check_choices(method: str, repair: str) -> None:
    """Refuse unknown choices."""
    for given, known, what in (
        (method, get_args(Method), "method"),
        (repair, get_args(Repair), "repair"),
    ):
        if given not in known:
            raise AnalysisError(f"cleaning {what} {given!r} is unknown: {', '.join(known)}")


def _packages(method: str) -> Iterator[str]:
    """Packages that a method needs."""
    if method in {"prep", "both"}:
        yield "pyprep"
    if method in {"autoreject", "both"}:
        yield "autoreject"


def _placed(raw: Any, names: list[str]) -> list[str]:
    """EEG channels whose position is known; refuse where they are too few."""
    direction = directions(raw, names)
    if direction is None:
        raise AnalysisError(
            f"cleaning needs the positions of {MIN_CHANNELS} EEG electrodes or more: name the "
            "channels after the 10-05 system (Fp1, Oz, …), or go without cleaning"
        )
    known = np.isfinite(direction[:, 0])
    return [name for name, there in zip(names, known, strict=True) if there]


def _prep(module: Any, raw: Any, sound: list[str], ransac: bool, seed: int) -> dict[str, str]:
    """Channels that PREP's rules call bad, and why."""
    if len(sound) < MIN_CHANNELS:
        return {}
    with_ransac = ransac and len(sound) >= _RANSAC_CHANNELS
    copy = raw.copy().pick(sound)
    copy.info["bads"] = []
    try:
        noisy = module.NoisyChannels(copy, random_state=seed, ransac=with_ransac)
        noisy.find_bad_by_hfnoise()
        noisy.find_bad_by_correlation(frac_bad=_BAD_SECONDS)
        noisy.find_bad_by_SNR()
        if with_ransac:
            noisy.find_bad_by_ransac()
        found = noisy.get_bads(as_dict=True)
        without_rhythm(copy)
        quiet = module.NoisyChannels(copy, random_state=seed, ransac=False)
        quiet.find_bad_by_deviation()
        found = {**found, "bad_by_deviation": quiet.get_bads(as_dict=True)["bad_by_deviation"]}
    except (OSError, ValueError, RuntimeError, IndexError, MemoryError) as exc:
        raise AnalysisError(f"pyprep cannot judge this recording: {one_line(exc)}") from exc
    why: dict[str, list[str]] = {}
    for rule, text in _PREP_RULES.items():
        for name in found.get(rule, ()):
            why.setdefault(str(name), []).append(text)
    return {name: ", ".join(texts) for name, texts in why.items()}


def _mend(
    raw: Any, bad: dict[str, str], placed: list[str], repair: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Interpolate or drop bad channels, in place."""
    if len(bad) > MOST_BAD * max(1, len(placed)):
        raise AnalysisError(
            f"{len(bad)} of {len(placed)} channels are bad ({listed(list(bad))}): too many to "
            "mend; check the contacts and record again"
        )
    if len(placed) - len(bad) < MIN_CHANNELS:
        raise AnalysisError(
            f"only {len(placed) - len(bad)} good channels with positions remain: cleaning needs "
            f"{MIN_CHANNELS}; check the contacts and record again"
        )
    if repair == "drop":
        if bad:
            raw.drop_channels(list(bad))
        return (), tuple(bad)
    chosen = [name for name in bad if name in placed]
    beside = [name for name in bad if name not in placed]
    if chosen:
        # What neither interpolates nor is interpolated must not lend its NaN to the others.
        raw.info["bads"] = [*chosen, *beside]
        interpolate(raw, exclude=beside)
    raw.info["bads"] = beside
    return tuple(chosen), ()
