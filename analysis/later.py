"""Recordings after the session, whole and on the session's clock, for the course over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.errors import AnalysisError, UnusableRecording
from analysis.io import Recording
from analysis.pairing import Pair, make_pair
from analysis.power import OVERLAP, WINDOW_S, measure
from analysis.quality import Examined, examine
from analysis.timecourse import Later, TimeCourse, time_course

STEP_S = WINDOW_S * (1.0 - OVERLAP)


def check_times(after_s: float | None, later: Sequence[tuple[Any, float]]) -> None:
    """Refuse times after the session that make no sense.

    Parameters
    ----------
    after_s : float or None
        Seconds from the end of the current to the first sample of the recording after.
    later : sequence of (recording, float)
        Further recordings and their seconds.

    Raises
    ------
    AnalysisError
        If a time is negative or not finite.
    """
    for time_s in ([] if after_s is None else [after_s]) + [time_s for _, time_s in later]:
        if not (math.isfinite(time_s) and time_s >= 0.0):
            raise AnalysisError(
                f"a recording begins {time_s:g} s after the current ended: give 0 or more seconds"
            )


def course_of(
    pair: Pair,
    region: tuple[str, ...],
    band_hz: tuple[float, float],
    *,
    after_s: float | None,
    later: Sequence[tuple[Any, float]],
    warnings: list[str],
    n_bootstrap: int,
    seed: int,
) -> TimeCourse:
    """Band power of the region over the time after the session.

    Parameters
    ----------
    pair : Pair
        Recordings before and after.
    region : tuple of str
        Channels.
    band_hz : (float, float)
        Band.
    after_s : float or None
        Seconds from the end of the current to the first sample after; None is unknown, and 0.
    later : sequence of (recording, float)
        Further recordings with the seconds from the end of the current to their first sample.
    warnings : list of str
        Grows by what the further recordings' checks find.
    n_bootstrap, seed : int
        Bootstrap.

    Returns
    -------
    TimeCourse
        Whole recordings are used, not only the stretch compared, and the channels of the region
        that are good in all of them. Components that ICA took out of the pair are taken out of all
        of them by the same spatial filter; where a channel of it cannot be used in one of them, out
        of none, with a warning. Spans that autoreject left out of the pair stay in.

    Raises
    ------
    UnusableRecording
        If a further recording cannot be compared with that before, or no channel is good in all.
    AnalysisError
        If recordings overlap in time.
    """
    recorded = pair if pair.without is None else pair.without
    before, after = recorded.sources
    examined = [(after, 0.0 if after_s is None else after_s, "the recording after")]
    for recording, start_s in later:
        name = f"the recording at {start_s / 60.0:g} min"
        try:
            further = make_pair(before.recording, recording, discard_s=pair.discarded_s)
        except UnusableRecording as exc:
            raise UnusableRecording(f"{name}: {exc}", exc.reasons) from exc
        known = set(recorded.warnings)
        warnings.extend(
            f"{name}: {text}"
            for text in further.warnings
            if text not in known and not text.startswith(("before: ", "lengths differ"))
        )
        examined.append((further.sources[1], start_s, name))
    before, *rest = _handled([before, *(one for one, _, _ in examined)], pair, warnings)
    examined = [(one, *told[1:]) for one, told in zip(rest, examined, strict=True)]
    good = [set(one.names) - set(one.bad) for one in (before, *(one for one, _, _ in examined))]
    channels = tuple(name for name in region if all(name in some for some in good))
    if not channels:
        raise UnusableRecording(
            "no channel of the region is good in all recordings after the session: "
            f"{', '.join(region)}"
        )
    if len(channels) < len(region):
        left = [name for name in region if name not in channels]
        warnings.append(f"course over time without {', '.join(left)}: bad in one of the recordings")
    series = [
        _series(one, channels, band_hz, start_s, pair.discarded_s, name)
        for one, start_s, name in [(before, 0.0, "the recording before"), *examined]
    ]
    return time_course(
        series[0],
        series[1:],
        window_s=WINDOW_S,
        step_s=STEP_S,
        channels=channels,
        start_known=after_s is not None,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def _handled(recorded: list[Examined], pair: Pair, warnings: list[str]) -> list[Examined]:
    """All recordings without the components that ICA took out of the pair, or all with them."""
    if pair.handling.rejection is not None:
        warnings.append("the course over time keeps the spans that autoreject left out")
    ica = pair.handling.ica
    if ica is None:
        return recorded
    lost = [
        name
        for name in ica.channels
        if any(name not in one.names or name in one.bad for one in recorded)
    ]
    if lost:
        warnings.append(
            "the course over time is that of the recordings as they are: "
            f"{', '.join(lost)}, on which the removal of components rests, cannot be used in all"
        )
        return recorded
    found = []
    for one in recorded:
        raw, source = ica.apply(one.raw), one.recording
        found.append(examine(replace(source, raw=raw) if isinstance(source, Recording) else raw))
    return found


def _series(
    examined: Examined,
    channels: tuple[str, ...],
    band_hz: tuple[float, float],
    start_s: float,
    discard_s: float,
    name: str,
) -> Later:
    """Band power of the segments of one whole recording."""
    rate_hz = examined.sfreq_hz
    first = round(discard_s * rate_hz)
    bad = np.zeros(examined.data.shape[1], dtype=bool)
    for from_s, to_s in examined.judge().artefact_spans_s:
        bad[round(from_s * rate_hz) : round(to_s * rate_hz)] = True
    rows = [examined.names.index(channel) for channel in channels]
    data_uv = 1e6 * examined.data[rows, first:]
    found = measure(data_uv, rate_hz, list(range(len(rows))), band_hz, bad=bad[first:])
    starts_s = start_s + first / rate_hz + found.starts_s
    return Later(name, np.asarray(starts_s), np.asarray(found.band.mean(axis=1)))
