"""Is a recording good enough: length, channels, places, artefacts, units, mains, state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.channel_checks import (
    Measures,
    bad_channel_findings,
    bad_channels,
    bridge_findings,
    measure,
    reference_findings,
    saturation_finding,
)
from analysis.findings import Finding
from analysis.io import Recording
from analysis.mains import Lines, find_lines, line_findings
from analysis.marks import onsets_s
from analysis.placement import (
    directions,
    find_swaps,
    layout_fit,
    spatial_correlation,
    swap_findings,
)
from analysis.state_checks import (
    drowsiness_findings,
    muscle_findings,
    window_spectra,
)

__all__ = ["Examined", "Finding", "Quality", "annotated_mask", "assess", "examine"]

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
    findings : tuple of Finding
        Everything found, under stable names; `reasons` and `warnings` are the lines of the
        refusals and warnings among them.
    line_noise_db : float or None
        Height of mains over the spectrum beside it, where it is seen.
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
    findings: tuple[Finding, ...] = ()
    line_noise_db: float | None = None

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
            "findings": [finding.to_dict() for finding in self.findings],
            "line_noise_db": self.line_noise_db,
        }

    def artefact_mask(self, n_samples: int) -> Mask:
        """Samples inside the artefact spans, shape (n_samples,)."""
        mask = np.zeros(n_samples, dtype=bool)
        for start, stop in self.artefact_spans_s:
            mask[round(start * self.sfreq_hz) : round(stop * self.sfreq_hz)] = True
        return mask


@dataclass(frozen=True, slots=True)
class Examined:
    """A recording measured once, to be judged for one region after the other.

    Parameters
    ----------
    recording : Recording or mne.io.BaseRaw
        What was measured.
    names : tuple of str
        EEG channels.
    data : ndarray, shape (n_channels, n_samples)
        Their signals, in the recording's unit.
    measures : Measures
        Of these signals.
    bad : dict of str to str
        Bad channels and why.
    lines : Lines
        Mains and other lines.
    shown : dict of bytes to list of Finding
        What the windows outside a mask of artefacts show; filled as masks are asked for.
    """

    recording: Any
    names: tuple[str, ...]
    data: Array
    measures: Measures
    bad: dict[str, str]
    lines: Lines
    shown: dict[bytes, list[Finding]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def raw(self) -> Any:
        """The MNE object."""
        return self.recording.raw if isinstance(self.recording, Recording) else self.recording

    @property
    def sfreq_hz(self) -> float:
        """Sampling rate."""
        return float(self.raw.info["sfreq"])

    @property
    def keep(self) -> list[int]:
        """Rows of the good channels."""
        return [i for i, name in enumerate(self.names) if name not in self.bad]

    def judge(self, region: Sequence[str] | None = None) -> Quality:
        """Judge the recording.

        Parameters
        ----------
        region : sequence of str, optional
            Channels whose artefacts count; all good ones otherwise.

        Returns
        -------
        Quality
            The verdict.
        """
        names, measures, sfreq, keep = self.names, self.measures, self.sfreq_hz, self.keep
        n_samples = self.data.shape[1]
        found: list[Finding] = []
        if not names:
            found.append(Finding("no_eeg", "refusal", "no EEG channel: give an EEG recording"))
        if sfreq < MIN_SFREQ_HZ:
            text = f"sampling rate {sfreq:g} Hz is too low: {MIN_SFREQ_HZ:g} Hz is the least"
            found.append(Finding("sampling_rate_low", "refusal", text))
        found += bad_channel_findings(self.bad, names, measures)
        found += saturation_finding(measures, names, keep, sfreq, n_samples)
        judged = [i for i in keep if region is None or names[i] in region] or keep
        mask, dropped_s = _left_out(self.raw, measures, judged, sfreq)
        if dropped_s > 0.0:
            text = f"{dropped_s:.0f} s with gross artefacts left out"
            share = float(dropped_s * sfreq / self.raw.n_times)
            found.append(Finding("artefacts", "warning", text, share=share))
        usable = float(np.sum(~mask) / sfreq)
        found += _length_findings(usable)
        found += line_findings(self.lines, sfreq)
        amplitude = None
        unit_known = not isinstance(self.recording, Recording) or self.recording.unit_known
        if keep and measures.spreads.shape[1] and unit_known:
            amplitude = float(np.median(measures.spreads[keep]) * 1e6)
            found += _amplitude_findings(amplitude)
        if keep and sfreq >= MIN_SFREQ_HZ:
            found += self._shown_outside(mask)
        return Quality(
            usable=not any(finding.severity == "refusal" for finding in found),
            reasons=tuple(finding.line for finding in found if finding.severity == "refusal"),
            warnings=tuple(finding.line for finding in found if finding.severity == "warning"),
            sfreq_hz=sfreq,
            duration_s=self.raw.n_times / sfreq,
            usable_s=usable,
            good_channels=tuple(names[i] for i in keep),
            bad_channels=tuple(self.bad.items()),
            artefact_spans_s=_spans(mask, sfreq),
            mains_hz=self.lines.mains_hz,
            suggested_sfreq_hz=None if self.lines.suspect is None else self.lines.suspect[1],
            amplitude_uv=amplitude,
            findings=tuple(found),
            line_noise_db=self.lines.mains_db,
        )

    def _shown_outside(self, mask: Mask) -> list[Finding]:
        """What the good channels show outside the mask, looked for once for each mask."""
        key = mask.tobytes()
        if key not in self.shown:
            names, keep = list(self.names), self.keep
            shown = _signal_findings(self.raw, self.data, names, keep, mask)
            dead = {name for name, why in self.bad.items() if "flat" in why or "NaN" in why}
            alive = [
                i for i, name in enumerate(names) if name not in dead and self.measures.finite[i]
            ]
            self.shown[key] = shown + reference_findings(self.data, names, alive, len(keep))
        return self.shown[key]


def examine(recording: Any) -> Examined:
    """Measure the EEG channels of a recording.

    Parameters
    ----------
    recording : Recording or mne.io.BaseRaw
        What to measure; a bare MNE object is taken to be in volt.

    Returns
    -------
    Examined
        Everything about it that no choice of region changes.
    """
    raw = recording.raw if isinstance(recording, Recording) else recording
    sfreq = float(raw.info["sfreq"])
    kinds = raw.get_channel_types()
    names = [n for n, kind in zip(raw.ch_names, kinds, strict=True) if kind == "eeg"]
    data = np.asarray(raw.get_data(picks=names), dtype=float) if names else np.empty((0, 0))
    measures = measure(data, sfreq)
    bad = bad_channels(data, measures, names, set(raw.info["bads"]), sfreq)
    keep = [i for i, name in enumerate(names) if name not in bad]
    lines = Lines()
    if keep and data.shape[1] >= 8.0 * sfreq:
        lines = find_lines(data, keep, sfreq)
    return Examined(recording, tuple(names), data, measures, bad, lines)


def assess(recording: Any, region: Sequence[str] | None = None) -> Quality:
    """Judge the EEG channels of a recording, before any number is taken from it.

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
    Names of findings: ``no_eeg``, ``sampling_rate_low``, ``sampling_rate_suspect``, ``too_short``,
    ``provisional``, ``flat_channels``, ``saturated_channels``, ``bad_channels``,
    ``bridged_channels``, ``swapped_channels``, ``reference``, ``artefacts``, ``wrong_unit``,
    ``line_noise``, ``muscle``, ``drowsiness``. The rules are described where they are kept:
    `analysis.channel_checks`, `analysis.placement`, `analysis.state_checks`, `analysis.mains`.
    Artefact rule: one-second pieces whose peak-to-peak amplitude is at least three times the
    channel's median and five robust deviations above it in a fifth of the channels.
    """
    return examine(recording).judge(region)


def annotated_mask(raw: Any) -> Mask:
    """Samples under an annotation that begins with "bad" or "edge", shape (n_samples,)."""
    mask: Mask = np.zeros(raw.n_times, dtype=bool)
    sfreq = float(raw.info["sfreq"])
    marks = raw.annotations
    for onset, length, text in zip(onsets_s(raw), marks.duration, marks.description, strict=True):
        if str(text).lower().startswith(("bad", "edge")):
            first = max(0, round(onset * sfreq))
            mask[first : max(first, round((onset + length) * sfreq))] = True
    return mask


def _left_out(raw: Any, measures: Measures, judged: list[int], sfreq: float) -> tuple[Mask, float]:
    """Samples annotated as bad or with gross artefacts, and the seconds that the latter add."""
    mask = annotated_mask(raw)
    marked = int(np.count_nonzero(mask))
    if judged and measures.ranges.shape[1]:
        size = np.log(np.maximum(measures.ranges[judged], 1e-300))
        middle = np.median(size, axis=1, keepdims=True)
        deviation = 1.4826 * np.median(np.abs(size - middle), axis=1, keepdims=True)
        gross = size - middle > np.maximum(5.0 * deviation, np.log(3.0))
        hit = gross.sum(axis=0) >= max(1, int(np.ceil(0.2 * len(judged))))
        mask[: hit.size * round(sfreq)] |= np.repeat(hit, round(sfreq))
    return mask, float((np.count_nonzero(mask) - marked) / sfreq)


def _signal_findings(
    raw: Any, data: Array, names: list[str], keep: list[int], mask: Mask
) -> list[Finding]:
    """What the clean two-second windows of the good channels show."""
    good = [names[i] for i in keep]
    windows = window_spectra(data, keep, float(raw.info["sfreq"]), mask)
    found: list[Finding] = []
    if windows.starts.size < 5:
        return found
    vectors = windows.vectors()
    if len(good) >= 4:
        covariance = vectors.real @ vectors.real.T + vectors.imag @ vectors.imag.T
        variance = np.diag(covariance)
        found += bridge_findings(variance[:, None] + variance - 2.0 * covariance, good)
    direction = directions(raw, good)
    if direction is not None:
        placed = np.flatnonzero(np.isfinite(direction[:, 0]))
        correlation = spatial_correlation(vectors[placed])
        named = [good[i] for i in placed]
        fits = layout_fit(correlation, direction[placed])
        found += swap_findings(find_swaps(correlation, direction[placed]), named, fits)
    found += muscle_findings(windows, good)
    return found + drowsiness_findings(windows, good, data, keep)


def _length_findings(usable_s: float) -> list[Finding]:
    """Refuse or warn of too little signal."""
    if usable_s < MIN_SECONDS:
        text = (
            f"only {usable_s:.1f} s of usable signal: {MIN_SECONDS:g} s is the least, "
            "120 s is better"
        )
        return [Finding("too_short", "refusal", text)]
    if usable_s < PROVISIONAL_SECONDS:
        text = f"only {usable_s:.0f} s of usable signal, record 120 s"
        return [Finding("provisional", "warning", text)]
    return []


def _spans(mask: Mask, sfreq: float) -> tuple[tuple[float, float], ...]:
    """Start and end of every run of True, in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return tuple((float(a / sfreq), float(b / sfreq)) for a, b in edges.reshape(-1, 2))


def _amplitude_findings(amplitude_uv: float) -> list[Finding]:
    """Warn of amplitudes that no EEG has."""
    low, high = AMPLITUDE_UV
    if low <= amplitude_uv <= high:
        return []
    size = "large" if amplitude_uv > high else "small"
    text = (
        f"amplitudes are far too {size} for EEG (SD {amplitude_uv:.3g} µV): the file's unit is "
        "probably wrong by 1000; frequencies and ratios are not affected, amplitudes are: mend "
        "the unit in the file"
    )
    return [Finding("wrong_unit", "warning", text)]
