"""Response profile: how a rhythm answers to a drive, against what it does without one.

The locking of an unstimulated brain to any reference already peaks at its own frequency: a sweep
read as raw phase locking "finds" the resonance with the stimulator off. Everything here is
therefore less its null, tested over the whole sweep, and held against sham where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording
from analysis.profile_arnold import arnold_of
from analysis.profile_blocks import (
    UNDER_CURRENT,
    Block,
    Mode,
    check_blocks,
    gap_after_s,
    same_end,
)
from analysis.profile_connectivity import connectivity_response
from analysis.profile_controls import (
    JitterControl,
    anchors_of,
    baseline_of,
    core_of,
    jitter_control,
    measured_of,
)
from analysis.profile_curve import fit_adjusted
from analysis.profile_design import design_of
from analysis.profile_echo import (
    Echo,
    detectable_locking,
    faded,
    fit_echo,
    may_report_echo,
    too_few_for_echo,
)
from analysis.profile_exploratory import changes_after, leakage
from analysis.profile_input import (
    bands_of,
    check_marks,
    drive_phasor,
    grouped,
    rest_spans,
    signal_of,
)
from analysis.profile_locking import (
    SETTLE_S,
    BlockLocking,
    continuous_locking,
    gap_phasors,
    phasors,
    train_locking,
    unit_of,
)
from analysis.profile_null import fit_null_line
from analysis.profile_permutation import answers, carried, covariates, max_test
from analysis.profile_power import after_effects
from analysis.profile_rest import RestLine, fit_rest, tolerance
from analysis.profile_result import ResponseProfile
from analysis.profile_state import state_of
from analysis.profile_verdict import (
    ALPHA,
    detectable_of,
    reliability_of,
    resonance_of,
    verdict_of,
)

__all__ = ["analyze_profile"]

Array = NDArray[np.float64]

LEAST_TRAINS = 10
READ_S = (0.1, 0.4)
MOST_RAISED = 1.5


def analyze_profile(
    raw: Any,
    blocks: Sequence[Block],
    *,
    mode: Mode,
    picks: Sequence[str] | None = None,
    drive_channel: str | None = None,
    band_hz: tuple[float, float] | None = None,
    read_s: tuple[float, float] = READ_S,
    rest: Any | None = None,
    n_permutations: int = 2000,
    seed: int = 0,
) -> ResponseProfile:
    """Analyse a sweep of drives.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    blocks : sequence of Block
        What ran when.
    mode : {"photic", "electrical", "virtual"}
        ``photic``: light, sound or touch, no current. ``electrical``: every row is a train, and
        only the gaps are read. ``virtual``: known truth without artefact.
    picks : sequence of str, optional
        Channels; by default all EEG that is not marked bad.
    drive_channel : str, optional
        Channel that recorded the drive; the exact frequency is used otherwise.
    band_hz : (float, float), optional
        Of the phasors; by default one band over all drives up to 8 Hz apart, else 3 Hz about each.
    read_s : (float, float)
        Of each gap, after the offset (electrical); the start is when the amplifier has settled.
    rest : mne.io.BaseRaw, optional
        Same channels without drive; by default what this recording marks as being at rest, else
        its sham and gaps.
    n_permutations : int
        Draws of the permutation.
    seed : int
        Of the draws.

    Returns
    -------
    ResponseProfile

    Raises
    ------
    AnalysisError
        If table, channels or options make no sense.
    UnusableRecording
        If it would have to be read under current, or holds too little.
    """
    if mode not in get_args(Mode):
        raise AnalysisError(f"mode {mode!r}: give photic, electrical or virtual")
    if n_permutations < 200:
        raise AnalysisError(f"{n_permutations} permutations: give 200 or more")
    sfreq = float(raw.info["sfreq"])
    duration_s = raw.n_times / sfreq
    rows = check_blocks(blocks, duration_s)
    core = core_of(rows, mode)
    data, names = signal_of(raw, picks, drive_channel)
    rng = np.random.default_rng(seed)
    groups = grouped(core, trains=mode == "electrical")
    frequencies = sorted({r.frequency_hz for r in rows if r.kind == "drive"})
    bands = bands_of(frequencies, band_hz)
    drive = drive_phasor(raw, drive_channel, frequencies)
    gaps = gap_after_s(rows, duration_s)
    found: list[BlockLocking] = []
    sham: list[BlockLocking] = []
    jitter: JitterControl | None = None
    echoes: list[Echo] = []
    if mode == "electrical":
        least = float(gaps[:-1].min()) if len(gaps) > 1 else float(gaps[0])
        if least < read_s[1]:
            raise UnusableRecording(
                f"the shortest gap is {least:.2f} s and {read_s[1]:g} s after each train are to "
                f"be read: {UNDER_CURRENT}"
            )
        check_marks(raw, mode, [(r.stop_s + read_s[0], r.stop_s + read_s[1]) for r in rows])
        for trains in groups:
            if len(trains) < LEAST_TRAINS:
                raise UnusableRecording(
                    f"{len(trains)} train(s) at {trains[0].frequency_hz:g} Hz: give "
                    f"{LEAST_TRAINS} or more (190 for 2 mA, about 1000 for 1 mA); {UNDER_CURRENT}"
                )
            _, value = gap_phasors(data, sfreq, trains, read_s=read_s, drive=drive)
            one = train_locking(trains, unit_of(value[0]), rng, n_permutations)
            (found if trains[0].kind == "drive" else sham).append(one)
            whole = (read_s[0], max(read_s[1], min(least, 1.0)))
            times, value = gap_phasors(data, sfreq, trains, read_s=whole, drive=drive)
            one_echo = fit_echo(times, value, trains[0].frequency_hz, trains[0].level, rng)
            echoes.append(replace(one_echo, kind=trains[0].kind))
    else:
        check_marks(raw, mode, [(r.start_s, r.stop_s) for r in rows])
        unit_in = {band: phasors(data, sfreq, band) for band in set(bands.values())}
        lines = {
            band: fit_null_line(unit, sfreq, core, band, settle_s=SETTLE_S)
            for band, unit in unit_in.items()
        }
        for group in groups:
            if group[0].kind == "drive":
                band = bands[group[0].frequency_hz]
                unit, line = unit_in[band], lines[band]
                found.append(continuous_locking(data, unit, sfreq, group, drive=drive, line=line))
                continue
            for hz in frequencies:
                unit, line = unit_in[bands[hz]], lines[bands[hz]]
                one = continuous_locking(data, unit, sfreq, group, frequency_hz=hz, line=line)
                virtual = tuple(replace(b, frequency_hz=hz) for b in group)
                sham.append(replace(one, blocks=virtual))
        echoes = _late_echoes(data, sfreq, rows, gaps, groups, drive, rng)
        jitter = jitter_control(data, sfreq, rows, unit_in, lines, bands, n_permutations)
    warnings: list[str] = []
    measured = measured_of(found)
    test = max_test(found, rng, n_permutations)
    rows_of = answers(found, measured, test)
    sham_test = max_test(sham, rng, n_permutations) if sham else None
    sham_rows = answers(sham, measured_of(sham), sham_test) if sham_test is not None else []
    verdict, told = verdict_of(rows_of, test.p, sham_rows)
    warnings += told
    tol, rest_line = _rest_line(raw, rest, picks, drive_channel, rows, gaps, bands, frequencies)
    resonance, why = resonance_of(measured, verdict, rest_line, mode)
    arnold, no_arnold = arnold_of(measured, rest_line) if resonance else (None, why)
    adjusted = None
    if resonance:
        highest = max(resonance)
        of = measured.level == highest
        if of.sum() >= 8:
            signal = np.zeros(of.size)
            for level, curve in resonance.items():
                at = measured.level == level
                signal[at] = curve.at(measured.frequency_hz[at])
            previous = carried(found, measured, signal)[of]
            adjusted = fit_adjusted(measured.only(of), previous, resonance[highest])
    beside = covariates(found, measured, resonance, rng, n_permutations) if resonance else None
    state = state_of(
        data, sfreq, rows, gaps, found, measured, resonance, rest_line, bands, n_permutations
    )
    levels_times = np.corrcoef(measured.order, measured.frequency_hz)[0, 1] if (
        measured.order.size > 2 and np.ptp(measured.frequency_hz) and np.ptp(measured.order)
    ) else 0.0  # fmt: skip
    if abs(levels_times) > 0.6:
        warnings.append(
            f"frequency follows order (r {levels_times:.2f}): arousal and carry-over cannot be "
            "told from resonance; run the frequencies in random order"
        )
    raised = [one.block.frequency_hz for one in found if one.raised > MOST_RAISED]
    if raised:
        listed = ", ".join(f"{hz:g}" for hz in sorted(set(raised)))
        warnings.append(
            f"at {listed} Hz reads are so short that what chance gives lies on the flank of the "
            f"rhythm's own line (raised by up to {max(one.raised for one in found):.1f} for it): "
            "give longer blocks, or hold it against sham"
        )
    if jitter is not None and jitter.p < ALPHA:
        warnings.append(
            f"jittered blocks lock to a regular reference (p {jitter.p:.3f}): something regular at "
            "this frequency was on without the regular drive"
        )
    if not sham:
        warnings.append(
            "no sham block: the null is that of virtual references beside the drive alone"
        )
    if beside is not None and beside.order_p < ALPHA:
        warnings.append(f"the response changed over the session (p {beside.order_p:.3f})")
    if beside is not None and beside.carry_p is not None and beside.carry_p < ALPHA:
        warnings.append(f"blocks depend on the one before (p {beside.carry_p:.3f})")
    detectable = detectable_of(found, len(frequencies))
    if mode == "electrical":
        fewest = min(len(one.blocks) for one in found)
        warnings += [
            f"{fewest} trains find locking of {detectable_locking(fewest):.2f} or more: an echo "
            "below it cannot be reported as absent"
        ]
        drives = [one.blocks for one in found if len(one.blocks) > 1]
        warnings += [text for trains in drives if (text := same_end(trains))]
        warnings += [] if may_report_echo(fewest) else [too_few_for_echo(fewest)]
    return ResponseProfile(
        mode=mode,
        verdict=verdict,
        test=test,
        sham_test=sham_test,
        detectable_plv=detectable,
        answers=tuple(rows_of),
        sham_answers=tuple(sham_rows),
        resonance=resonance,
        resonance_reason=why,
        adjusted=adjusted,
        arnold=arnold,
        arnold_reason=no_arnold,
        echoes=tuple(faded(echo, rest_line) for echo in echoes),
        exploratory={
            "leakage": [] if mode == "electrical" else leakage(data, sfreq, groups),
            **changes_after(data, sfreq, rows, gaps),
            "connectivity": None
            if mode == "electrical"
            else connectivity_response(data, sfreq, rows, gaps, seed=seed),
        },
        after_effect=tuple(after_effects(data, sfreq, rows, gaps, bands)),
        rest=rest_line,
        baseline=tuple(baseline_of(data, sfreq, rows, bands)),
        jitter=jitter,
        anchors=tuple(anchors_of(found)),
        state=state,
        tolerance=tol,
        covariates=beside,
        reliability=reliability_of(measured, verdict, rng, n_permutations),
        channels=names,
        bands_hz=bands,
        design=design_of(rows, groups, found, gaps, mode, read_s, bands),
        seed=seed,
        warnings=tuple(warnings),
    )


def _late_echoes(
    data: Array,
    sfreq_hz: float,
    rows: Sequence[Block],
    gaps: Array,
    groups: Sequence[Sequence[Block]],
    drive: Any,
    rng: np.random.Generator,
) -> list[Echo]:
    """Echoes of continuous blocks that were repeated often enough."""
    gap_of = dict(zip(rows, gaps.tolist(), strict=True))
    repeated: dict[tuple[float, float], list[Block]] = {}
    for group in groups:
        if group[0].kind == "drive":
            kept = [b for b in group if gap_of[b] >= 0.6]
            repeated.setdefault((group[0].frequency_hz, group[0].level), []).extend(kept)
    found = []
    for (hz, level), trains in sorted(repeated.items()):
        if len(trains) >= LEAST_TRAINS:
            until = min(1.0, *(gap_of[b] for b in trains))
            times, value = gap_phasors(data, sfreq_hz, trains, read_s=(0.0, until), drive=drive)
            found.append(fit_echo(times, value, hz, level, rng))
    return found


def _rest_line(
    raw: Any,
    rest: Any | None,
    picks: Sequence[str] | None,
    drive_channel: str | None,
    rows: Sequence[Block],
    gaps: Array,
    bands: dict[float, tuple[float, float]],
    frequencies: Sequence[float],
) -> tuple[dict[str, Any] | None, RestLine | None]:
    """Tolerance and line of the undriven rhythm."""
    source = raw if rest is None else rest
    data, _ = signal_of(source, picks, drive_channel)
    sfreq = float(source.info["sfreq"])
    known = (rows, gaps) if rest is None else ((), gaps[:0])
    spans = rest_spans(source, *known)
    band = (min(b[0] for b in bands.values()), max(b[1] for b in bands.values()))
    if band[1] + 4.0 >= 0.5 * sfreq:
        return None, None
    line = fit_rest(data, sfreq, spans, band)
    if line is None:
        return None, None
    return tolerance(data, sfreq, spans, line.centre_hz), line
