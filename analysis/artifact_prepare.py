"""Two recordings made ready: the channels both have, the stretch at full current, its frequency."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import artifact_report as report
from analysis.artifact_current import CurrentTrace, Span, find_plateau
from analysis.artifact_lines import Complex, Stimulated, check_frequency, refine_frequency
from analysis.errors import AnalysisError, UnusableRecording
from analysis.findings import listed
from analysis.marks import onsets_s, set_marks

__all__ = ["Prepared", "prepare"]

Array = NDArray[np.float64]

CLIPPED_SHARE = 0.001
MOST_CLIPPED_CHANNELS = 0.25
LEAST_S = 20.0
CLOCK_HZ = 0.005
_LINE_DB = 6.0
_STRONG_LINE_DB = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What a method gets, and what it takes to make a recording of its result.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording under current.
    names : list of str
        Channels of both recordings.
    kept : ndarray of bool, shape (n_channels,)
        Those that can be cleaned.
    whole : ndarray, shape (n_channels, n_times)
        The stretch at full current, all channels.
    span : Span
        Where it lies.
    clipped : dict of str to float
        Share of clipped samples.
    case : Stimulated
        The usable channels without their means, with the frequency in the amplifier's time.
    reference : ndarray of complex or None
        The recorded current over the stretch.
    warnings : tuple of str
        For a person.
    """

    raw: Any
    names: list[str]
    kept: NDArray[np.bool_]
    whole: Array
    span: Span
    clipped: dict[str, float]
    case: Stimulated
    reference: Complex | None
    warnings: tuple[str, ...]

    @property
    def used(self) -> list[str]:
        """Names of the channels that are cleaned."""
        return _named(self.names, self.kept)

    def recording(self, artefact: Array) -> Any:
        """Return the stretch without the artefact, with places, marks and what was left out."""
        import mne

        data = self.whole.copy()
        data[self.kept] -= artefact
        picks = [self.raw.ch_names.index(name) for name in self.names]
        info = mne.pick_info(self.raw.info, picks, copy=True)
        info["bads"] = _named(self.names, ~self.kept)
        out = mne.io.RawArray(data, info, verbose="ERROR")
        marks = self.raw.annotations
        begin = onsets_s(self.raw) - self.span.start_s
        length = self.span.stop_s - self.span.start_s
        inside = (begin < length) & (begin + marks.duration > 0.0)
        first = np.maximum(begin, 0.0)
        last = np.minimum(begin + marks.duration, length)
        texts = [str(text) for text, here in zip(marks.description, inside, strict=True) if here]
        set_marks(out, first[inside], (last - first)[inside], texts)
        return out


def prepare(
    raw: Any,
    rest: Any,
    stim_hz: float,
    current: CurrentTrace | None,
    carrier_hz: float | None,
    plateau_s: tuple[float, float] | None,
) -> Prepared:
    """Check two recordings against each other and cut out the stretch at full current.

    Parameters
    ----------
    raw, rest, stim_hz, current, carrier_hz, plateau_s
        As in `analysis.artifact.remove_stimulation_artifact`; recordings as MNE objects.

    Returns
    -------
    Prepared

    Raises
    ------
    AnalysisError
        Frequency or plateau make no sense, or the recordings do not fit each other.
    UnusableRecording
        Clipped or too short.
    """
    names = _channels(raw, rest)
    fs = float(raw.info["sfreq"])
    check_frequency(fs, stim_hz)
    if carrier_hz is not None and not carrier_hz > 2.0 * stim_hz:
        raise AnalysisError(f"carrier {carrier_hz:g} Hz: it must be above twice the envelope")
    data, quiet = np.asarray(raw.get_data(names), dtype=np.float64), _unmarked(rest, names)
    if not (np.isfinite(data).all() and np.isfinite(quiet).all()):
        raise AnalysisError("a recording holds NaN or infinite values; export it again")
    _check_seconds(quiet, fs, "of rest")
    span = _plateau(data, fs, stim_hz, quiet, current, carrier_hz, plateau_s)
    whole = data[:, round(span.start_s * fs) : round(span.stop_s * fs)]
    _check_seconds(whole, fs, "at full current")
    clipped = report.clipped_share(whole)
    silent = np.ptp(quiet, axis=1) == 0.0
    warnings = _check_clipping(names, clipped)
    if silent.any():
        warnings.append(f"flat at rest, left out: {listed(_named(names, silent))}")
    kept = (clipped <= CLIPPED_SHARE) & ~silent
    if kept.sum() < 2:
        raise UnusableRecording(f"{kept.sum()} usable channel(s): at least two are needed")
    stim, quiet = whole[kept], quiet[kept]
    case = Stimulated(
        stim - stim.mean(axis=1, keepdims=True),
        quiet - quiet.mean(axis=1, keepdims=True),
        fs,
        stim_hz,
        carrier_hz,
    )
    exact_hz = _exact_frequency(case, warnings)
    return Prepared(
        raw=raw,
        names=names,
        kept=kept,
        whole=whole,
        span=span,
        clipped=dict(zip(names, clipped.tolist(), strict=True)),
        case=replace(case, stim_hz=exact_hz),
        reference=_reference(current, span, stim.shape[1], fs, exact_hz, carrier_hz),
        warnings=tuple(warnings),
    )


def _check_seconds(data: Array, fs: float, what: str) -> None:
    """Refuse what is too short for any figure."""
    seconds = data.shape[1] / fs
    if seconds < LEAST_S:
        raise UnusableRecording(f"{seconds:.1f} s {what}: {LEAST_S:g} s are needed; record longer")


def _exact_frequency(case: Stimulated, warnings: list[str]) -> float:
    """Frequency in the amplifier's time where the line is strong, else as stated."""
    stated_hz = case.stim_hz
    other_hz = report.foreign_line_hz(case)
    if other_hz is not None:
        raise AnalysisError(
            f"the line of a current lies at {other_hz:.2f} Hz, none like it at {stated_hz:g} Hz as "
            "stated; mend the frequency"
        )
    found_hz, over_db = refine_frequency(case)
    if over_db <= _LINE_DB:
        warnings.append(f"no line stands out at {stated_hz:g} Hz; the frequency is taken as stated")
    if over_db <= _STRONG_LINE_DB:
        return stated_hz
    if abs(found_hz - stated_hz) > CLOCK_HZ:
        warnings.append(
            f"the line lies at {found_hz:.4f} Hz, not at {stated_hz:g} Hz as stated: check the "
            "frequency and the sampling rate"
        )
    return found_hz


def _channels(raw: Any, rest: Any) -> list[str]:
    """EEG channels that both recordings have and neither calls bad; their rates must agree."""
    import mne

    rates = [float(one.info["sfreq"]) for one in (raw, rest)]
    if abs(rates[0] - rates[1]) > 1e-6 * rates[0]:
        raise AnalysisError(
            f"sampled at {rates[0]:g} Hz under current and {rates[1]:g} Hz at rest: give two "
            "recordings of one rate"
        )
    ours, theirs = (
        [one.ch_names[i] for i in mne.pick_types(one.info, eeg=True, exclude="bads")]
        for one in (raw, rest)
    )
    shared = [name for name in ours if name in theirs]
    if len(shared) < max(2, 0.5 * len(ours)):
        raise AnalysisError(
            f"{len(shared)} of {len(ours)} channels under current are in the recording of rest: "
            "give two recordings of the same cap"
        )
    return shared


def _named(names: list[str], flags: NDArray[np.bool_]) -> list[str]:
    """Names of the channels that are flagged."""
    return [name for name, flag in zip(names, flags, strict=True) if flag]


def _unmarked(raw: Any, names: list[str]) -> Array:
    """Signals without the spans that annotations call bad."""
    data = np.asarray(raw.get_data(names), dtype=np.float64)
    fs = float(raw.info["sfreq"])
    good = np.ones(data.shape[1], dtype=np.bool_)
    for onset, length, text in zip(
        onsets_s(raw), raw.annotations.duration, raw.annotations.description, strict=True
    ):
        if str(text).lower().startswith(("bad", "edge")):
            good[max(0, math.floor(onset * fs)) : math.ceil((onset + length) * fs) + 1] = False
    return data[:, good]


def _plateau(
    data: Array,
    fs: float,
    stim_hz: float,
    rest: Array,
    current: CurrentTrace | None,
    carrier_hz: float | None,
    given_s: tuple[float, float] | None,
) -> Span:
    """The stretch to clean: as given, or as found."""
    if given_s is None:
        return find_plateau(data, fs, stim_hz, rest=rest, trace=current, carrier_hz=carrier_hz)
    end_s = data.shape[1] / fs
    if not 0.0 <= given_s[0] < given_s[1] <= end_s + 1e-6:
        raise AnalysisError(
            f"no stretch from {given_s[0]:g} to {given_s[1]:g} s in a recording of {end_s:.1f} s"
        )
    return Span(given_s[0], min(given_s[1], end_s), "as given")


def _check_clipping(names: list[str], clipped: Array) -> list[str]:
    """Refuse a recording of which too much clipped; say which channels did."""
    over = _named(names, clipped > CLIPPED_SHARE)
    some = _named(names, (clipped > 0.0) & (clipped <= CLIPPED_SHARE))
    if len(over) > MOST_CLIPPED_CHANNELS * len(names):
        raise UnusableRecording(
            f"{len(over)} of {len(names)} channels clipped in more than "
            f"{100.0 * CLIPPED_SHARE:g} % of their samples ({listed(over)}): the amplifier was "
            "saturated, and no method brings back what it did not record"
        )
    told = []
    if over:
        told.append(
            f"clipped in more than {100.0 * CLIPPED_SHARE:g} % of the samples, left out: "
            f"{listed(over)}"
        )
    if some:
        told.append(f"a few clipped samples, kept: {listed(some)}")
    return told


def _reference(
    current: CurrentTrace | None,
    span: Span,
    n: int,
    fs: float,
    stim_hz: float,
    carrier_hz: float | None,
) -> Complex | None:
    """The recorded current over the stretch as a phasor of size about 1."""
    if current is None:
        return None
    times_s = span.start_s + np.arange(n) / fs
    slow = current.envelope(times_s, stim_hz, carrier_hz)
    size = float(np.median(np.abs(slow)))
    if not size > 0.0 or np.abs(slow).min() < 0.5 * size:
        raise UnusableRecording(
            "the recorded current does not cover the stretch that is to be cleaned: check the "
            "start of the trace"
        )
    return np.asarray(slow / size * np.exp(2j * np.pi * stim_hz * times_s), dtype=np.complex128)
