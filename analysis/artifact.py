"""Recordings made while current flowed: take the artefact out, and tell what is left of it.

The public way in is `remove_stimulation_artifact`. Only the stretch at full current is cleaned. The
phase of the brain relative to the current cannot be had from it (`CleanedRecording.entrainment`
says why), and every result carries what remains at the frequency and its sidebands, clipped
samples, and a test with a known change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from analysis import artifact_report as report
from analysis.artifact_adaptive import adaptive
from analysis.artifact_current import CurrentTrace, Span, find_plateau
from analysis.artifact_ged import THRESHOLD_DB, Removal, threshold_ged
from analysis.artifact_inject import Injection, inject
from analysis.artifact_lines import Complex, Stimulated, check_frequency, refine_frequency
from analysis.artifact_result import CleanedRecording
from analysis.artifact_sass import NOTE as SASS_NOTE
from analysis.artifact_sass import sass
from analysis.artifact_template import comb, sine_fit, template
from analysis.errors import AnalysisError, UnusableRecording
from analysis.findings import listed
from analysis.marks import onsets_s, set_marks

__all__ = ["METHODS", "CleanedRecording", "remove_stimulation_artifact"]

Array = NDArray[np.float64]
MethodName = Literal["ged", "sass", "template", "sine", "adaptive", "lms", "comb", "template+ged"]
METHODS: tuple[MethodName, ...] = get_args(MethodName)

CLIPPED_SHARE = 0.001
MOST_CLIPPED_CHANNELS = 0.25
LEAST_S = 20.0
LEFT_DB, LEFT_SHORT_DB, SHORT_S = 6.0, 9.0, 60.0
CLOCK_HZ = 0.005
_LINE_DB = 6.0
_STRONG_LINE_DB = 20.0


def remove_stimulation_artifact(
    raw: Any,
    *,
    rest: Any,
    stim_hz: float,
    method: MethodName = "ged",
    current: CurrentTrace | None = None,
    carrier_hz: float | None = None,
    plateau_s: tuple[float, float] | None = None,
    threshold_db: float = THRESHOLD_DB,
) -> CleanedRecording:
    """Take the artefact of the current out of a recording, and tell what is left.

    Parameters
    ----------
    raw : mne.io.BaseRaw or Recording
        Recorded while current flowed, unfiltered around the frequency, volt.
    rest : mne.io.BaseRaw or Recording
        The same channels without current, the same rate, reference and state.
    stim_hz : float
        Exact frequency as set; of the envelope for an amplitude-modulated current.
    method : {"ged", "sass", "template", "sine", "adaptive", "lms", "comb", "template+ged"}
        ``ged`` unless a publication is to be replicated.
    current : CurrentTrace, optional
        The recorded current: it settles when full current flowed, and is the reference of the
        adaptive filters.
    carrier_hz : float, optional
        Carrier of an amplitude-modulated current.
    plateau_s : (float, float), optional
        Stretch at full current where it is known.
    threshold_db : float
        Excess over rest from which ``ged`` removes a component.

    Returns
    -------
    CleanedRecording

    Raises
    ------
    AnalysisError
        Method, frequency or plateau make no sense, or the recordings do not fit each other.
    UnusableRecording
        Clipped, too short, or of another reference than rest.

    Notes
    -----
    Linear methods for an amplifier that was linear: what clipped cannot be mended.
    """
    raw, rest = getattr(raw, "raw", raw), getattr(rest, "raw", rest)
    removal = _chosen(method, threshold_db)
    names = _channels(raw, rest)
    fs = float(raw.info["sfreq"])
    if carrier_hz is not None and not carrier_hz > 2.0 * stim_hz:
        raise AnalysisError(f"carrier {carrier_hz:g} Hz: it must be above twice the envelope")
    data, quiet = raw.get_data(names), _unmarked(rest, names)
    if not (np.isfinite(data).all() and np.isfinite(quiet).all()):
        raise AnalysisError("a recording holds NaN or infinite values; export it again")
    check_frequency(fs, stim_hz)
    span = _plateau(data, fs, stim_hz, quiet, current, carrier_hz, plateau_s)
    first, last = round(span.start_s * fs), round(span.stop_s * fs)
    whole = data[:, first:last]
    clipped = report.clipped_share(whole)
    warnings = _check_clipping(names, clipped)
    silent = np.ptp(quiet, axis=1) == 0.0
    if silent.any():
        warnings.append(f"flat at rest, left out: {listed(_named(names, silent))}")
    kept = (clipped <= CLIPPED_SHARE) & ~silent
    used = _named(names, kept)
    if len(used) < 2:
        raise UnusableRecording(f"{len(used)} usable channel: at least two are needed")
    stim, quiet = whole[kept], quiet[kept]
    for what, seconds in (
        ("at full current", stim.shape[1] / fs),
        ("of rest", quiet.shape[1] / fs),
    ):
        if seconds < LEAST_S:
            raise UnusableRecording(
                f"{seconds:.1f} s {what}: {LEAST_S:g} s are needed; record longer"
            )
    case = Stimulated(
        stim - stim.mean(axis=1, keepdims=True),
        quiet - quiet.mean(axis=1, keepdims=True),
        fs,
        stim_hz,
        carrier_hz,
    )
    found_hz, over_db = refine_frequency(case)
    exact_hz = found_hz if over_db > _STRONG_LINE_DB else stim_hz
    if abs(exact_hz - stim_hz) > CLOCK_HZ:
        warnings.append(
            f"the line lies at {exact_hz:.4f} Hz, not at {stim_hz:g} Hz as stated: check the "
            "frequency and the sampling rate"
        )
    other_hz = report.foreign_line_hz(case)
    if other_hz is not None:
        raise AnalysisError(
            f"the line of a current lies at {other_hz:.2f} Hz, none like it at {stim_hz:g} Hz as "
            "stated; mend the frequency"
        )
    if over_db <= _LINE_DB:
        warnings.append(f"no line stands out at {stim_hz:g} Hz; the frequency is taken as stated")
    reference = _reference(current, span, stim.shape[1], fs, exact_hz, carrier_hz)
    case = replace(
        case, stim_hz=exact_hz, reference=reference if method in {"adaptive", "lms"} else None
    )
    if method in {"adaptive", "lms"} and reference is None:
        warnings.append("the current was not recorded: a sine is the reference")
    if method == "sass":
        warnings.append(SASS_NOTE)
    out = removal(case)
    cleaned = case.stim - out.artefact
    injection = inject(case, out.artefact, removal)
    if not injection[0].held_out:
        warnings.append("rest is too short to be halved: the injection test saw what it learned")
    measured = _measured(case, cleaned, used)
    shorter_s = min(stim.shape[1], quiet.shape[1]) / fs
    status, reasons = _verdict(measured[1][0], injection, shorter_s)
    band = (exact_hz - case.half_width_hz, exact_hz + case.half_width_hz)
    return CleanedRecording(
        raw=_raw_like(raw, names, whole, kept, stim - out.artefact, span),
        status=status,
        reasons=reasons,
        method=method,
        stim_hz=exact_hz,
        stated_hz=stim_hz,
        kind="conventional" if carrier_hz is None else "amplitude-modulated",
        span=span,
        components=out.components,
        settings=out.settings,
        residue=measured[1],
        locking=report.locking(case, cleaned),
        clipped=dict(zip(names, clipped.tolist(), strict=True)),
        injection=injection,
        band_hz=band,
        band_change_db=measured[2],
        off_frequency_db=measured[3],
        warnings=tuple(warnings),
        spectra=measured[0],
    )


def _chosen(method: str, threshold_db: float) -> Callable[[Stimulated], Removal]:
    """The method of a name."""
    if not (math.isfinite(threshold_db) and threshold_db > 0.0):
        raise AnalysisError(f"threshold {threshold_db} dB: give a number above 0")
    ged = partial(threshold_ged, threshold_db=threshold_db)
    known: dict[str, Callable[[Stimulated], Removal]] = {
        "ged": ged,
        "sass": sass,
        "template": template,
        "sine": sine_fit,
        "adaptive": adaptive,
        "lms": partial(adaptive, rule="lms"),
        "comb": comb,
        "template+ged": partial(_both, first=template, second=ged),
    }
    if method not in known:
        raise AnalysisError(f"method {method!r}: give one of {', '.join(known)}")
    return known[method]


def _both(
    case: Stimulated,
    *,
    first: Callable[[Stimulated], Removal],
    second: Callable[[Stimulated], Removal],
) -> Removal:
    """One method after the other."""
    one = first(case)
    two = second(case.with_stim(case.stim - one.artefact, case.rest))
    return Removal(
        one.artefact + two.artefact,
        (*one.components, *two.components),
        {**one.settings, **two.settings},
    )


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


def _measured(
    case: Stimulated, cleaned: Array, names: list[str]
) -> tuple[tuple[Array, Array, Array, Array], tuple[report.LineResidue, ...], Array, Array]:
    """Spectra, residue at every line, and change of power in the band and off the frequency."""
    freqs, before = report.spectra(case.stim, case.sfreq_hz)
    after = report.spectra(cleaned, case.sfreq_hz)[1]
    own, quiet = report.spectra(case.rest, case.sfreq_hz)
    if own.size != freqs.size:
        quiet = np.array([np.interp(freqs, own, row) for row in quiet])
    half = case.half_width_hz
    residue = tuple(
        report.line_residue(freqs, before, after, quiet, line_hz, names)
        for line_hz in case.lines_hz
    )
    inside = np.abs(freqs - case.stim_hz) <= half
    ratio = after[:, inside].mean(axis=1) / quiet[:, inside].mean(axis=1)
    change = 10.0 * np.log10(np.maximum(ratio, 1e-6))
    off = report.off_frequency_db(freqs, after, quiet, case.stim_hz, half)
    return (freqs, before, after, quiet), residue, np.asarray(change), off


def _verdict(
    first: report.LineResidue, injection: Sequence[Injection], shorter_s: float
) -> tuple[str, tuple[str, ...]]:
    """Whether power around the frequency may be read, and why not."""
    reasons = []
    status = "cleaned"
    # A few narrow bins: without any artefact, 90 s show up to 4 dB by chance and 45 s up to 9.
    most_db = LEFT_DB if shorter_s >= SHORT_S else LEFT_SHORT_DB
    if first.left_db > most_db:
        status = "residue"
        reasons.append(
            f"at {first.frequency_hz:.2f} Hz or its sidebands {first.left_db:.1f} dB are left over "
            f"what lies beside, in a tenth of the channels (at most {most_db:g})"
        )
    failed = [test for test in injection if not test.passed]
    if failed:
        status = "distorted"
        reasons += [
            f"a planted change of {test.planted_db:+g} dB came back as {test.recovered_db:+.1f} dB"
            for test in failed
        ]
    return status, tuple(reasons)


def _raw_like(
    raw: Any, names: list[str], whole: Array, kept: NDArray[np.bool_], cleaned: Array, span: Span
) -> Any:
    """The stretch as a recording of its own, with places, marks and the channels left out."""
    import mne

    data = whole.copy()
    data[kept] = cleaned
    info = mne.pick_info(raw.info, [raw.ch_names.index(name) for name in names], copy=True)
    info["bads"] = _named(names, ~kept)
    out = mne.io.RawArray(data, info, verbose="ERROR")
    marks = raw.annotations
    begin = onsets_s(raw) - span.start_s
    length = span.stop_s - span.start_s
    inside = (begin < length) & (begin + marks.duration > 0.0)
    first = np.maximum(begin, 0.0)
    last = np.minimum(begin + marks.duration, length)
    texts = [str(text) for text, here in zip(marks.description, inside, strict=True) if here]
    set_marks(out, first[inside], (last - first)[inside], texts)
    return out
