"""Files in, results out: what ``tacs peak`` and ``tacs compare`` call.

The analysis package takes recordings and knows nothing of protocols; here the two meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs.clock import utc_now
from tacs.dataset import check_label
from tacs.errors import InputError, NoAnswer

if TYPE_CHECKING:
    from analysis.io import Recording
    from analysis.outcome import Outcome
    from analysis.peak import PeakEstimate
    from tacs.protocol import Protocol

__all__ = ["compare_recordings", "estimate_peak", "protocol_info"]


def estimate_peak(
    recording: str | Path,
    *,
    band_hz: tuple[float, float],
    picks: Sequence[str] | None = None,
    tmin_s: float | None = None,
    tmax_s: float | None = None,
    sfreq_hz: float | None = None,
    subject: str | None = None,
    entities: str | None = None,
    stream: str | None = None,
    method: str | None = None,
    reference: str = "auto",
    clean: str | None = None,
    events: tuple[str, float, float] | None = None,
    open_eyes: str | Path | None = None,
    cross_check: bool = False,
) -> PeakEstimate:
    """Find the peak of a recording file.

    Parameters
    ----------
    recording : path
        Any format that `analysis.load_recording` reads, or a BIDS folder.
    band_hz : (float, float)
        Where to look.
    picks : sequence of str, optional
        Channels.
    tmin_s, tmax_s : float, optional
        Part of the recording.
    sfreq_hz : float, optional
        True sampling rate where the header's is wrong.
    subject : str, optional
        Whose recording it is; by default what the recording says.
    entities : str, optional
        Which recording of a BIDS folder, as in ``sub-01_ses-1_task-rest``.
    stream : str, optional
        Which stream of an XDF file.
    method : str, optional
        A published method to reproduce (`analysis.replication.METHODS`), not for planning.
    reference : {"auto", "average", "recorded"}
        Reference.
    clean : str, optional
        Library rejection before the estimate: ``autoreject``, ``prep`` or ``both``.
    events : (str, float, float), optional
        Name of an event, and from and to in seconds after it.
    open_eyes : path, optional
        Recording of the same person with eyes open.
    cross_check : bool
        Also ask fooof.

    Returns
    -------
    PeakEstimate

    Raises
    ------
    InputError
        The subject is not a label, or two options exclude each other.
    analysis.errors.AnalysisError
        The file cannot be read, or band, picks, times or events make no sense for it.
    """
    from analysis.bids_select import parse_entities
    from analysis.io import load_recording
    from analysis.peak import find_peak
    from analysis.selection import REFERENCES

    if subject is not None:
        check_label(subject, "subject")

    chosen = next((known for known in REFERENCES if known == reference), None)
    if chosen is None:
        raise InputError(f"--reference {reference}: give {', '.join(REFERENCES)}")
    if method is not None and (events or open_eyes or cross_check or reference != "auto"):
        raise InputError(
            f"--method {method} reproduces a publication: leave out --events, --open, --reference "
            "and --cross-check"
        )
    loaded = load_recording(
        recording,
        sfreq_hz=sfreq_hz,
        tmin_s=tmin_s,
        tmax_s=tmax_s,
        stream=stream,
        entities=None if entities is None else parse_entities(entities),
        columns=picks,
    )
    done = None
    if clean is not None:
        loaded, done = _cleaned(loaded, clean)
    if method is not None:
        from analysis.replication import replicate

        estimate = replicate(
            loaded, method, band_hz=band_hz, picks=picks, subject=subject, now=utc_now()
        )
        return replace(estimate, clean=done)
    opened = None if open_eyes is None else load_recording(open_eyes, sfreq_hz=sfreq_hz)
    window = None
    if events is not None:
        from analysis.states import EventWindow

        window = EventWindow(*events)
    estimate = find_peak(
        loaded,
        band_hz=band_hz,
        picks=picks,
        subject=subject,
        now=utc_now(),
        reference=chosen,
        events=window,
        open_eyes=opened,
        cross_check=cross_check,
    )
    if opened is not None:
        people = {p for p in (estimate.subject, opened.subject) if p is not None}
        if len(people) > 1:
            named = ", ".join(sorted(people))
            note = f"eyes open: the two recordings name different people ({named})"
            estimate = replace(estimate, warnings=(*estimate.warnings, note))
    return replace(estimate, clean=done)


def _cleaned(recording: Recording, method: str) -> tuple[Recording, dict[str, Any]]:
    """Recording without what a library rejects, and what that was."""
    from analysis.clean import METHODS, clean

    chosen = next((known for known in METHODS if known == method), None)
    if chosen is None:
        raise InputError(f"--clean {method}: give {', '.join(METHODS)}")
    cleaned, report = clean(recording, chosen)
    return cleaned, report.to_dict()


def protocol_info(protocol: Protocol) -> dict[str, Any]:
    """Return what a comparison needs to know of a protocol."""
    return {
        "expected_direction": protocol.expected_effect.direction,
        "stimulated_electrodes": [e.name for e in protocol.montage.electrodes],
        "region": protocol.expected_effect.region.replace("_", " "),
        "frequency_hz": protocol.frequency_hz,
    }


def compare_recordings(
    pre: str | Path,
    post: str | Path,
    *,
    peak_hz: float | None = None,
    peak_file: str | Path | None = None,
    protocol_file: str | Path | None = None,
    picks: Sequence[str] | None = None,
    after_min: float | None = None,
    later: Sequence[str] = (),
    retest_peak_sd_hz: float | None = None,
    artefacts: str = "none",
    retest_files: Sequence[tuple[str, str]] = (),
) -> Outcome:
    """Compare two recording files.

    Parameters
    ----------
    pre, post : path
        Before and after, in the same state, free of stimulation.
    peak_hz : float, optional
        Centre of the band.
    peak_file : path, optional
        JSON of ``tacs peak``; its frequency is the centre.
    protocol_file : path, optional
        Gives the expected direction, the region and the stimulated electrodes, and the individual
        peak where neither of the two above is given.
    picks : sequence of str, optional
        Channels of the region.
    after_min : float, optional
        Minutes from the end of the current to the first sample of `post`.
    later : sequence of str
        Further recordings after the session, each ``FILE@MINUTES``.
    retest_peak_sd_hz : float, optional
        The site's test-retest standard deviation of a difference of peaks.
    artefacts : str
        What is done beyond leaving out gross artefacts: ``none``, ``ica``, ``autoreject``, or
        ``both``.
    retest_files : sequence of (path, path)
        Pairs of recordings of the same person without stimulation in between.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        Two centres were given, `artefacts` is unknown, a file cannot be used, or a further
        recording has no minutes.
    NoAnswer
        The peak file holds no peak.
    analysis.errors.AnalysisError
        A recording cannot be read, or the two cannot be compared.
    """
    from analysis.io import load_recording
    from analysis.outcome import compare
    from analysis.preparation import ARTEFACTS
    from tacs.planning import read_peak
    from tacs.protocol import Protocol

    if peak_hz is not None and peak_file is not None:
        raise InputError("give --peak-hz or --peak, not both")
    handling = next((known for known in ARTEFACTS if known == artefacts), None)
    if handling is None:
        raise InputError(f"--artefacts {artefacts}: give {', '.join(ARTEFACTS)}")
    warnings: list[str] = []
    subject: str | None = None
    if peak_file is not None:
        from tacs.planning import read_peak

        peak = read_peak(peak_file)
        if peak.frequency_hz is None:
            raise NoAnswer(f"{peak_file}: holds no peak ({'; '.join(peak.reasons)})")
        peak_hz, subject = peak.frequency_hz, peak.subject
        if len(peak.peaks) > 1:
            other_hz = peak.peaks[1].frequency_hz
            warnings.append(
                f"{peak_file}: two peaks share the band; it is centred on the higher, "
                f"{peak_hz:.2f} Hz, not on {other_hz:.2f} Hz (--peak-hz chooses)"
            )
        if peak.replication:
            warnings.append(f"{peak_file}: the peak reproduces a publication and has no interval")
    protocol = None
    if protocol_file is not None:
        from tacs.protocol import Protocol

        protocol = Protocol.from_toml(protocol_file)
    if protocol is not None and protocol.individual is not None:
        subject = subject or protocol.individual.subject
        if peak_hz is None:
            peak_hz = protocol.individual.peak_hz
            warnings.append(f"band centred on the protocol's individual peak, {peak_hz:g} Hz")
    further = [_at_minutes(text) for text in later]
    used = [Path(name).resolve() for one in retest_files for name in one]
    twice = sorted({name.name for name in used if used.count(name) > 1})
    if twice:
        raise InputError(f"--retest: {', '.join(twice)} stands in two places; pairs share nothing")
    before, after = load_recording(pre), load_recording(post)
    followed = [(load_recording(path), 60.0 * minutes) for path, minutes in further]
    pairs = [(load_recording(first), load_recording(second)) for first, second in retest_files]
    others = [*(one for one, _ in followed), *(one for pair in pairs for one in pair)]
    named = [subject, before.subject, after.subject, *(one.subject for one in others)]
    people = {person for person in named if person is not None}
    if len(people) > 1:
        warnings.append(f"the files name different people: {', '.join(sorted(people))}")
    outcome = compare(
        before,
        after,
        peak_hz=peak_hz,
        picks=picks,
        protocol_info=None if protocol is None else protocol_info(protocol),
        after_s=None if after_min is None else 60.0 * after_min,
        later=followed,
        retest_peak_sd_hz=retest_peak_sd_hz,
        artefacts=handling,
        retest=pairs,
    )
    return replace(outcome, warnings=tuple(dict.fromkeys([*warnings, *outcome.warnings])))


def _at_minutes(text: str) -> tuple[str, float]:
    """Take ``FILE@MINUTES`` apart at its last @."""
    path, at, minutes = text.rpartition("@")
    if at and path:
        with suppress(ValueError):
            return path, float(minutes)
    raise InputError(
        f"--later {text}: give FILE@MINUTES, the minutes from the end of the current to the start "
        "of the recording"
    )
