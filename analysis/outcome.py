"""What changed between a recording before and one after: power, connectivity, peak frequency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.asymmetry import Asymmetry, compare_asymmetry
from analysis.connectivity_change import ConnectivityChange
from analysis.connectivity_outcome import connectivity_of
from analysis.electrode_neighbours import touched_channels
from analysis.errors import AnalysisError, UnusableRecording
from analysis.handled import without_handling
from analysis.inference import Inference, Prediction, judge, prediction_of
from analysis.interpolate import FilledMaps, filled_maps
from analysis.later import check_times, course_of
from analysis.outcome_protocol import check_protocol, stimulated_channels
from analysis.outcome_words import cautions, course_cautions, summarise
from analysis.pairing import Pair, make_pair
from analysis.peak import find_peak
from analysis.power import RecordingSpectra, measure
from analysis.power_change import PowerChange, compare_power
from analysis.preparation import Artefacts
from analysis.region import choose_region
from analysis.retest import Retest, limits_of_agreement
from analysis.shift import PeakShift, peak_shift, search_band, shift_cautions
from analysis.statistics import MIN_SEGMENTS, Direction
from analysis.timecourse import TimeCourse


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of `compare`.

    Parameters
    ----------
    power : PowerChange
        Band power.
    connectivity : ConnectivityChange or None
        Connectivity, None where the recordings do not support it.
    connectivity_reason : str or None
        Why there is none.
    asymmetry : Asymmetry
        Frontal alpha asymmetry.
    time_course : TimeCourse
        Band power over the time after the session.
    peak_shift : PeakShift
        Peak frequency.
    peak_hz : float
        Centre of the band.
    direction : {"increase", "decrease", "none", "undetermined"}
        See the Notes of `compare`.
    expected_direction : str or None
        What the protocol predicts.
    as_predicted : bool or None
        None where nothing was predicted or the direction is undetermined.
    prediction : {"as predicted", "opposite", "none"} or None
        The direction beside what was predicted.
    inference : Inference
        What speaks against a verdict, and all measures corrected for their number.
    warnings : tuple of str
        What must be known to read the result.
    summary : str
        One plain sentence.
    preparation : dict
        How the recordings were prepared; plain values.
    info : mne.Info
        Description of the channels compared, with positions where known.
    before, after : RecordingSpectra
        Their spectra, for figures.
    filled : FilledMaps
        Band power of bad channels as their neighbours have it, for maps alone.
    retest : Retest or None
        The change beside those of pairs without stimulation, if there were any.
    """

    power: PowerChange
    connectivity: ConnectivityChange | None
    connectivity_reason: str | None
    asymmetry: Asymmetry
    time_course: TimeCourse
    peak_shift: PeakShift
    peak_hz: float
    direction: Direction
    expected_direction: str | None
    as_predicted: bool | None
    prediction: Prediction | None
    inference: Inference
    warnings: tuple[str, ...]
    summary: str
    preparation: dict[str, Any]
    info: Any
    before: RecordingSpectra
    after: RecordingSpectra
    filled: FilledMaps
    retest: Retest | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of the command line; arrays stay out."""
        connectivity: dict[str, Any] = {"imcoh": None, "wpli2_debiased": None, "n_epochs": 0}
        if self.connectivity is not None:
            connectivity = self.connectivity.to_dict()
        return {
            "power": self.power.to_dict(),
            "connectivity": {**connectivity, "reason": self.connectivity_reason},
            "asymmetry": self.asymmetry.to_dict(),
            "time_course": self.time_course.to_dict(),
            "peak_hz": self.peak_hz,
            "peak_shift_hz": self.peak_shift.shift_hz,
            "peak_shift": self.peak_shift.to_dict(),
            "direction": self.direction,
            "expected_direction": self.expected_direction,
            "as_predicted": self.as_predicted,
            "prediction": self.prediction,
            "responder": None if self.retest is None else self.retest.responder,
            "retest": None if self.retest is None else self.retest.to_dict(),
            "inference": self.inference.to_dict(),
            "preparation": dict(self.preparation),
            "warnings": list(self.warnings),
            "summary": self.summary,
        }

    def plot(self) -> Any:
        """Plot the spectra; see `analysis.figures_outcome` for topographies and connectivity."""
        from analysis.figures_outcome import plot_spectra

        return plot_spectra(self)


def compare(
    pre: Any,
    post: Any,
    *,
    peak_hz: float | None = None,
    band_half_width_hz: float = 2.0,
    picks: Sequence[str] | None = None,
    protocol_info: Mapping[str, Any] | None = None,
    discard_s: float = 3.0,
    after_s: float | None = None,
    later: Sequence[tuple[Any, float]] = (),
    retest_peak_sd_hz: float | None = None,
    artefacts: Artefacts = "none",
    retest: Sequence[tuple[Any, Any]] = (),
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Outcome:
    """Compare a recording after stimulation with one before.

    Parameters
    ----------
    pre, post : mne.io.BaseRaw
        Recordings in the same state, free of stimulation; they are not changed.
    peak_hz : float, optional
        Centre of the band; found in `pre` when absent.
    band_half_width_hz : float
        Half width of the band.
    picks : sequence of str, optional
        Channels of the region; they come before the protocol's region. Without either: the
        parietal, parieto-occipital and occipital channels, or all where there are none.
    protocol_info : mapping, optional
        `expected_direction` ("increase", "decrease" or "none"), `stimulated_electrodes` (names),
        `frequency_hz` (of the stimulation) and `region` (a list of channels, or a name in
        `analysis.region.REGIONS`: "left frontal", ...).
    discard_s : float
        Left out at the start of both recordings.
    after_s : float, optional
        Seconds from the end of the current to the first sample of `post`, for the course over time;
        unknown, and taken to be 0, when absent.
    later : sequence of (mne.io.BaseRaw, float)
        Further recordings after the session, each with the seconds from the end of the current to
        its first sample. They enter the course over time alone.
    retest_peak_sd_hz : float, optional
        The site's test-retest standard deviation of a difference of peaks.
    artefacts : {"none", "ica", "autoreject", "both"}
        What is done beyond leaving out gross artefacts (`analysis.preparation`). None by default:
        blinks and muscle hardly reach posterior alpha, ICA changes the reference and may take
        part of the rhythm, and both want 8 to 16 channels and minutes of signal.
    retest : sequence of (mne.io.BaseRaw, mne.io.BaseRaw)
        Pairs of recordings of the same person without stimulation in between, in the same state;
        what they differ by is what a change has to exceed (`analysis.retest`).
    n_bootstrap : int
        Resampled series behind each interval.
    seed : int
        Seed of the bootstrap, of ICA and of autoreject.

    Returns
    -------
    Outcome
        Power, connectivity, peak shift, direction, and how far they may be trusted.

    Raises
    ------
    UnusableRecording
        If the recordings cannot be compared, or `pre` has no peak and none is given.
    AnalysisError
        If an argument makes no sense.

    Notes
    -----
    The band is fixed from the peak before and applied to both recordings. The primary number is the
    natural log of the ratio of band power, mean over the region, by Welch with 4 s Hann segments
    and half overlap. Its 95 % interval is a stationary block bootstrap in each recording (Politis
    and Romano 1994), stretched for the small number of blocks and for the slow fluctuation of power
    that the recordings themselves make plausible (`analysis.statistics`).

    Direction is read from that interval alone. *Increase* or *decrease*: it excludes 0. *None*: it
    holds 0 and lies within a factor of 1.25 either way, so that a change worth having is excluded.
    *Undetermined*: all else; a wide interval that holds 0 is no evidence of no change. Where
    raw power moved but at least half of the move is the aperiodic part's and power over it is not
    shown to move along, the rhythm is not said to have moved: none or undetermined, with a warning.
    The same samples on both sides are *none*. The p value is not used; it is given only where block
    permutation is valid, and is None with a reason elsewhere.

    Two more things make the direction undetermined, whatever the interval: signs that the person
    was not equally awake, and a line in the band that is narrower than a rhythm can be. They are
    named in `inference`, where every measure stands with and without correction for their number
    (`analysis.inference`).

    What the interval covers is the difference between these two recordings. A drift slower than
    the recordings (drowsiness, time of day) looks the same as an effect, whatever the interval.
    """
    info = check_protocol(protocol_info)
    _check_arguments(peak_hz, band_half_width_hz, n_bootstrap, retest_peak_sd_hz)
    check_times(after_s, later)
    about = (
        None if peak_hz is None else (peak_hz - band_half_width_hz, peak_hz + band_half_width_hz)
    )
    pair = make_pair(
        pre, post, discard_s=discard_s, artefacts=artefacts, rhythm_hz=about, seed=seed
    )
    warnings = list(pair.warnings)
    region = choose_region(pair, picks, info.get("region"), warnings)
    stimulated = stimulated_channels(info)
    touched = touched_channels(stimulated, pair.channels)
    warnings += touched.warnings()
    region, no_verdict = touched.region(region, warnings)
    search_hz = search_band(peak_hz)
    peaks = tuple(find_peak(source, band_hz=search_hz, picks=region) for source in pair.sources)
    center_hz = peak_hz if peak_hz is not None else peaks[0].frequency_hz
    if center_hz is None:
        raise UnusableRecording(
            "the recording before has no individual peak to centre the band on: give peak_hz",
            peaks[0].reasons or (peaks[0].status,),
        )
    if peak_hz is None and len(peaks[0].peaks) > 1:
        other_hz = peaks[0].peaks[1].frequency_hz
        warnings.append(
            f"two rhythms share the band before: it is centred on the higher, {center_hz:.2f} Hz, "
            f"not on {other_hz:.2f} Hz; give peak_hz to choose"
        )
    band_hz = (center_hz - band_half_width_hz, center_hz + band_half_width_hz)
    _check_band(pair, band_hz)
    shift = peak_shift(peaks[0], peaks[1], retest_sd_hz=retest_peak_sd_hz)
    rows = [pair.channels.index(name) for name in region]
    before, after = _spectra(pair, rows, band_hz)
    own_bands_hz = _own_bands(shift, center_hz, band_half_width_hz)
    power = compare_power(
        before,
        after,
        pair.channels,
        region,
        band_hz,
        own_bands_hz=own_bands_hz,
        own_bands_reason=f"after: {'; '.join(peaks[1].reasons) or peaks[1].status}",
        total_hz=pair.total_hz,
        fit_hz=pair.fit_hz,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    without, told = without_handling(pair, region, band_hz, power.raw.ln_ratio)
    warnings += told
    site = touched.kept(region) if stimulated or info.get("region") is not None else ()
    connectivity, connectivity_reason = connectivity_of(
        pair, band_hz, region, touched, power, site, info.get("frequency_hz")
    )
    asymmetry = compare_asymmetry(
        before, after, pair.channels, band_hz, power.raw.weights, carried_current=stimulated
    )
    course = course_of(
        pair,
        region,
        band_hz,
        after_s=after_s,
        later=later,
        warnings=warnings,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    judged = judge(pair, power, (before, after), shift, connectivity, center_hz)
    power = judged.power
    direction: Direction = "none" if pair.identical else judged.direction
    if no_verdict is not None and not pair.identical:
        direction = "undetermined"
    expected = info.get("expected_direction")
    as_predicted = (
        None if expected is None or direction == "undetermined" else direction == expected
    )
    warnings += [*cautions(pair, power, connectivity_reason), *judged.warnings]
    warnings += shift_cautions(shift) + course_cautions(course)
    if pair.identical or no_verdict is not None or judged.summary is None:
        summary = summarise(
            power, direction, as_predicted, identical=pair.identical, no_verdict=no_verdict
        )
    else:
        summary = judged.summary
    outcome = Outcome(
        power=power,
        connectivity=connectivity,
        connectivity_reason=connectivity_reason,
        asymmetry=asymmetry,
        time_course=course,
        peak_shift=shift,
        peak_hz=center_hz,
        direction=direction,
        expected_direction=expected,
        as_predicted=as_predicted,
        prediction=prediction_of(expected, direction),
        inference=judged.inference,
        warnings=tuple(dict.fromkeys(warnings)),
        summary=summary,
        preparation={
            **pair.to_dict(),
            "without_handling": without,
            "stimulation_electrodes": touched.to_dict(),
            "n_segments": [before.n_segments, after.n_segments],
            "connectivity_epochs": [0 if connectivity is None else connectivity.n_epochs] * 2,
        },
        filled=filled_maps(
            pair.interpolated,
            ((pair.before_uv, pair.bad_before), (pair.after_uv, pair.bad_after)),
            pair.sfreq_hz,
            band_hz,
        ),
        info=pair.info,
        before=before,
        after=after,
    )
    if not retest:
        return outcome
    _check_retest(retest)
    pairs = [
        compare(
            *one,
            peak_hz=center_hz,
            band_half_width_hz=band_half_width_hz,
            picks=region,
            protocol_info={"stimulated_electrodes": stimulated},
            discard_s=discard_s,
            artefacts=artefacts,
            n_bootstrap=n_bootstrap,
            seed=seed,
        )
        for one in retest
    ]
    limits = limits_of_agreement(outcome, pairs)
    return replace(outcome, retest=limits, summary=f"{outcome.summary} {limits.text}")


def _check_arguments(
    peak_hz: float | None,
    band_half_width_hz: float,
    n_bootstrap: int,
    retest_peak_sd_hz: float | None,
) -> None:
    """Refuse settings that make no sense."""
    if not (math.isfinite(band_half_width_hz) and band_half_width_hz > 0.0):
        raise AnalysisError(f"band_half_width_hz is {band_half_width_hz:g}: give a positive number")
    if peak_hz is not None and not (math.isfinite(peak_hz) and peak_hz > band_half_width_hz):
        raise AnalysisError(
            f"peak_hz is {peak_hz:g}: give a frequency above the half width of the band "
            f"({band_half_width_hz:g} Hz)"
        )
    if retest_peak_sd_hz is not None and not 0.0 < retest_peak_sd_hz < math.inf:
        raise AnalysisError(
            f"retest_peak_sd_hz is {retest_peak_sd_hz:g}: give a positive number of Hz"
        )
    if n_bootstrap < 200:
        raise AnalysisError(f"n_bootstrap is {n_bootstrap}: a 95 % interval needs 200 or more")


def _spectra(
    pair: Pair, rows: list[int], band_hz: tuple[float, float]
) -> tuple[RecordingSpectra, RecordingSpectra]:
    """Spectra before and after; refuse recordings with too few clean segments."""
    before, after = (
        measure(data, pair.sfreq_hz, rows, band_hz, bad=bad)
        for data, bad in ((pair.before_uv, pair.bad_before), (pair.after_uv, pair.bad_after))
    )
    for side, spectra in (("before", before), ("after", after)):
        if spectra.n_segments < MIN_SEGMENTS:
            raise UnusableRecording(
                f"{spectra.n_segments} clean segments of 4 s {side}, {MIN_SEGMENTS} are the least: "
                "give a longer or cleaner recording"
            )
    return before, after


def _own_bands(
    shift: PeakShift, center_hz: float, half_width_hz: float
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Bands about the peak of each recording, None where the one after has no peak."""
    if shift.post_hz is None:
        return None
    pre_hz = center_hz if shift.pre_hz is None else shift.pre_hz
    return (
        (pre_hz - half_width_hz, pre_hz + half_width_hz),
        (shift.post_hz - half_width_hz, shift.post_hz + half_width_hz),
    )


def _check_retest(retest: Sequence[tuple[Any, Any]]) -> None:
    """Refuse what is no pair, and one recording in two places: changes must be independent."""
    for number, one in enumerate(retest, 1):
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise AnalysisError(f"retest: item {number} is no pair of recordings")
    if len({id(raw) for one in retest for raw in one}) < 2 * len(retest):
        raise AnalysisError("retest: one recording stands in two places; every pair needs its own")


def _check_band(pair: Pair, band_hz: tuple[float, float]) -> None:
    """Refuse a band that the recordings do not hold."""
    low, high = pair.pass_band_hz
    if band_hz[0] < low or band_hz[1] > high:
        raise UnusableRecording(
            f"the band {band_hz[0]:g}-{band_hz[1]:g} Hz lies outside the pass band that both "
            f"recordings share ({low:g}-{high:g} Hz)"
        )
