"""The method section of a comparison, ready to paste: what was done to these very recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tacs.report_words import joined, number

__all__ = ["MethodSection", "method_section"]

REFERENCES: Mapping[str, str] = {
    "Welch 1967": "Welch PD. IEEE Trans Audio Electroacoust 1967;15:70-73.",
    "Donoghue 2020": "Donoghue T, et al. Nat Neurosci 2020;23:1655-1665.",
    "Politis 1994": "Politis DN, Romano JP. J Am Stat Assoc 1994;89:1303-1313.",
    "Schuirmann 1987": "Schuirmann DJ. J Pharmacokinet Biopharm 1987;15:657-680.",
    "Nolte 2004": "Nolte G, et al. Clin Neurophysiol 2004;115:2292-2307.",
    "Hipp 2012": "Hipp JF, et al. Nat Neurosci 2012;15:884-890.",
    "Vinck 2011": "Vinck M, et al. NeuroImage 2011;55:1548-1565.",
    "Bland 1986": "Bland JM, Altman DG. Lancet 1986;327:307-310.",
    "Gramfort 2013": "Gramfort A, et al. Front Neurosci 2013;7:267.",
    "Pion-Tonachini 2019": "Pion-Tonachini L, et al. NeuroImage 2019;198:181-197.",
    "Jas 2017": "Jas M, et al. NeuroImage 2017;159:417-429.",
    "Perrin 1989": "Perrin F, et al. Electroencephalogr Clin Neurophysiol 1989;72:184-187.",
    "Kasten 2016": "Kasten FH, et al. Front Hum Neurosci 2016;10:245.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSection:
    """Paragraphs, and the references that they name."""

    paragraphs: tuple[str, ...]
    references: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it as plain text."""
        return "\n\n".join([*self.paragraphs, "References\n" + "\n".join(self.references)])


def method_section(data: Mapping[str, Any], versions: Sequence[tuple[str, str]]) -> MethodSection:
    """Write the method section of a comparison.

    Parameters
    ----------
    data : mapping
        As ``tacs compare --json``.
    versions : sequence of (str, str)
        Names and versions of the software.

    Returns
    -------
    MethodSection
        Only what was done: a part that a comparison lacks is not described.
    """
    paragraphs = tuple(
        text
        for text in (
            _preparation(data),
            _power(data),
            _time_course(data),
            _connectivity(data),
            _inference(data),
            _software(versions),
        )
        if text
    )
    whole = " ".join(paragraphs)
    return MethodSection(
        paragraphs=paragraphs,
        references=tuple(text for name, text in REFERENCES.items() if name in whole),
    )


def _preparation(data: Mapping[str, Any]) -> str:
    found = data["preparation"]
    parts = [
        f"Two EEG recordings were compared over the same {number(found['seconds_used'], 0)} s: the "
        "last ones before the session and the first ones after it.",
        f"The first {number(found['discarded_s'], 0)} s of each were left out, and both were "
        f"analysed at {number(found['sfreq_hz'], 0)} Hz.",
        f"Channels good in both recordings were kept (n = {len(found['channels'])}).",
    ]
    bad = found["bad_channels"]
    if bad:
        parts.append(f"Bad in either and left out of both: {joined(list(bad))}.")
    interpolated = found["interpolated"]["channels"]
    if interpolated:
        parts.append(
            f"For maps alone, {joined(list(interpolated))} were interpolated by spherical splines "
            "(Perrin 1989)."
        )
    handled = found["artefacts"]
    if handled.get("ica"):
        removed = handled["ica"]["removed"]
        parts.append(
            "Artefacts were taken out by one independent component analysis of both recordings "
            f"together; components were labelled by ICLabel (Pion-Tonachini 2019), {len(removed)} "
            "were removed from both by one spatial filter."
        )
    if handled.get("autoreject"):
        parts.append(
            "Spans were left out by thresholds that autoreject learnt from both recordings (Jas "
            "2017)."
        )
    used = found["n_segments"]
    parts.append(
        f"Segments with gross artefacts were skipped; {used[0]} segments before and {used[1]} "
        "after remained."
    )
    return " ".join(parts)


def _power(data: Mapping[str, Any]) -> str:
    power, found = data["power"], data["preparation"]
    low, high = power["band_hz"]
    fit = found["fit_hz"]
    total = found["total_hz"]
    return (
        f"Power spectral density was estimated by Welch's method (Welch 1967; Hann segments of 4 s "
        f"with half overlap). The band was fixed at {number(low, 2)} to {number(high, 2)} Hz, "
        f"about the peak of {number(data['peak_hz'], 2)} Hz before the session, and applied to "
        f"both recordings. The primary outcome is the natural log of the ratio of band power after "
        f"to before, mean over {joined(list(power['channels']))}. Beside it stand the band's share "
        f"of {number(total[0], 0)} to {number(total[1], 0)} Hz power, power over the aperiodic "
        f"background (Donoghue 2020; fit over {number(fit[0], 0)} to {number(fit[1], 0)} Hz, peak "
        "width 1 to 8 Hz, at most 6 peaks, R² of 0.9 or more), and the ratio with each band about "
        "its own peak."
    )


def _time_course(data: Mapping[str, Any]) -> str:
    found = data.get("time_course")
    if not found or not found.get("bins"):
        return ""
    text = (
        f"The time course after the session was read in {len(found['bins'])} bins, each as a log "
        "ratio to the recording before, with simultaneous 95 % intervals."
    )
    if found["decay"]["reason"] is None:
        text += " An exponential decay was fitted to the bins."
    return text


def _connectivity(data: Mapping[str, Any]) -> str:
    found = data["connectivity"]
    if found.get("reason") or not found["n_epochs"]:
        return ""
    return (
        f"Connectivity in the same band was estimated from {found['n_epochs']} epochs of "
        f"{number(found['epoch_s'], 0)} s in each recording ({found['n_channels']} channels, "
        f"{found['reference']} reference): imaginary coherency (Nolte 2004) and the debiased "
        "squared weighted phase lag index (Vinck 2011), and beside the verdict seven more, with "
        "orthogonalised envelope correlation (Hipp 2012). Because these estimates rise with "
        "signal-to-noise ratio, directions are read from the change at equal signal-to-noise "
        "ratio, with intervals from a jackknife over blocks of epochs, corrected for the number of "
        "measures. "
        "Channels at a stimulation electrode have no part in it."
    )


def _inference(data: Mapping[str, Any]) -> str:
    text = (
        "The 95 % interval of the log ratio is that of a stationary block bootstrap in each "
        "recording (Politis 1994), widened for the number of blocks and for the slow fluctuation "
        "of power that the recordings themselves make plausible. A change is called an increase or "
        "a decrease where the interval excludes zero, none where it lies within a factor of 1.25 "
        "either way (Schuirmann 1987), and undetermined otherwise. All statements are two-sided."
    )
    if data["power"]["p"] is None:
        text += " No p value is given, because permutation would not be valid here."
    found = data.get("retest")
    if found and found.get("limits_ln") is not None:
        text += (
            f" The change was held against the limits of agreement (Bland 1986) of {found['n']} "
            "pairs of recordings of the same person without stimulation."
        )
    return text


def _software(versions: Sequence[tuple[str, str]]) -> str:
    named = [f"{name} {version}" for name, version in versions if version != "not installed"]
    return f"Software: {joined(named)} (MNE: Gramfort 2013)."
