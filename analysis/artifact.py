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
from analysis.artifact_current import CurrentTrace
from analysis.artifact_ged import THRESHOLD_DB, Removal, threshold_ged
from analysis.artifact_inject import Injection, inject
from analysis.artifact_lines import Stimulated
from analysis.artifact_prepare import prepare
from analysis.artifact_result import CleanedRecording
from analysis.artifact_sass import NOTE as SASS_NOTE
from analysis.artifact_sass import sass
from analysis.artifact_template import comb, sine_fit, template
from analysis.errors import AnalysisError

__all__ = ["METHODS", "CleanedRecording", "remove_stimulation_artifact"]

Array = NDArray[np.float64]
MethodName = Literal["ged", "sass", "template", "sine", "adaptive", "lms", "comb", "template+ged"]
METHODS: tuple[MethodName, ...] = get_args(MethodName)

LEFT_DB, LEFT_SHORT_DB, SHORT_S = 6.0, 9.0, 60.0


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
    removal = _chosen(method, threshold_db)
    ready = prepare(
        getattr(raw, "raw", raw),
        getattr(rest, "raw", rest),
        stim_hz,
        current,
        carrier_hz,
        plateau_s,
    )
    case, warnings = ready.case, list(ready.warnings)
    if method in {"adaptive", "lms"}:
        if ready.reference is None:
            warnings.append("the current was not recorded: a sine is the reference")
        case = replace(case, reference=ready.reference)
    if method == "sass":
        warnings.append(SASS_NOTE)
    out = removal(case)
    cleaned = case.stim - out.artefact
    injection = inject(case, out.artefact, removal)
    if not injection[0].held_out:
        warnings.append("rest is too short to be halved: the injection test saw what it learned")
    measured = _measured(case, cleaned, ready.used)
    shorter_s = min(case.stim.shape[1], case.rest.shape[1]) / case.sfreq_hz
    status, reasons = _verdict(measured[1][0], injection, shorter_s)
    band = (case.stim_hz - case.half_width_hz, case.stim_hz + case.half_width_hz)
    return CleanedRecording(
        raw=ready.recording(out.artefact),
        status=status,
        reasons=reasons,
        method=method,
        stim_hz=case.stim_hz,
        stated_hz=stim_hz,
        kind="conventional" if carrier_hz is None else "amplitude-modulated",
        span=ready.span,
        components=out.components,
        settings=out.settings,
        residue=measured[1],
        locking=report.locking(case, cleaned),
        clipped=ready.clipped,
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
