"""The latest stretch of a live recording, and what each of its channels is like."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.channel_checks import bad_channels, measure
from analysis.channels import tidy
from analysis.marks import add_marks
from analysis.timing import GAP_TEXT

__all__ = ["Break", "ChannelState", "LiveWindow", "channel_states", "raw_of"]

Array = NDArray[np.float64]
State = Literal["good", "flat", "saturated", "bad contact", "mains", "weak", "not a number"]

SKIPPED: Final = "BAD_ACQ_SKIP"
CONTACT_UV: Final = 200.0  # standard deviation of one-second pieces that no EEG reaches
MAINS_HZ: Final = (50.0, 60.0)
EEG_HZ: Final = (2.0, 40.0)
MAINS_DB: Final = 0.0  # mains over all of the EEG
RAILED_SHARE: Final = 0.01  # of the samples, in runs at the channel's limits
LEAST_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Break:
    """A place where a stream is not continuous.

    Parameters
    ----------
    at : int
        Samples before it that did arrive.
    missing : int
        How many are missing there.
    restarted : bool
        Whether the source's time jumped, so that what is missing cannot be told.
    """

    at: int
    missing: int
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What one channel is like now.

    Parameters
    ----------
    channel : str
        Name.
    state : {"good", "flat", "saturated", "bad contact", "mains", "weak", "not a number"}
        Verdict, the gravest one.
    sd_uv : float or None
        Median standard deviation of one-second pieces; None where it is not a number.
    mains_db : float or None
        Power at mains over that of all of the EEG (2 to 40 Hz); None where mains cannot be seen.
    """

    channel: str
    state: State
    sd_uv: float | None
    mains_db: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "channel": self.channel,
            "state": self.state,
            "sd_uv": None if self.sd_uv is None else round(self.sd_uv, 3),
            "mains_db": None if self.mains_db is None else round(self.mains_db, 1),
        }


def raw_of(
    signal_uv: Array,
    sfreq_hz: float,
    channels: Sequence[str],
    breaks: Sequence[Break] = (),
    began: datetime | None = None,
) -> Any:
    """Return a stream as a recording.

    Parameters
    ----------
    signal_uv : ndarray, shape (n_channels, n_samples)
        What arrived.
    sfreq_hz : float
        Sampling rate.
    channels : sequence of str
        Names.
    breaks : sequence of Break
        In order. What is missing is bridged by a straight line and marked ``BAD_ACQ_SKIP``, so that
        time goes on as it did; a jump of the source's time is marked ``bad_gap``.
    began : datetime, optional
        Time of the first sample, with a time zone.

    Returns
    -------
    mne.io.RawArray
        In volts.
    """
    import mne

    parts, at, n_filled = [], 0, 0
    skips: list[tuple[float, float]] = []
    jumps: list[float] = []
    for gap in breaks:
        parts.append(signal_uv[:, at : gap.at])
        at = gap.at
        if gap.restarted and 0 < at < signal_uv.shape[1]:
            jumps.append((at + n_filled - 1) / sfreq_hz)
        if gap.missing and 0 < at < signal_uv.shape[1]:
            share = np.arange(1, gap.missing + 1) / (gap.missing + 1)
            before, after = signal_uv[:, at - 1, None], signal_uv[:, at, None]
            parts.append(before + (after - before) * share)
            skips.append(((at + n_filled) / sfreq_hz, gap.missing / sfreq_hz))
            n_filled += gap.missing
    parts.append(signal_uv[:, at:])
    info = mne.create_info(list(channels), sfreq_hz, "eeg")
    raw = mne.io.RawArray(np.concatenate(parts, axis=1) * 1e-6, info, verbose="ERROR")
    if began is not None:
        raw.set_meas_date(began)
    if skips:
        add_marks(raw, [s for s, _ in skips], [d for _, d in skips], SKIPPED)
    if jumps:
        add_marks(raw, jumps, [2.0 / sfreq_hz] * len(jumps), GAP_TEXT)
    return raw


class LiveWindow:
    """The latest stretch of a stream.

    Parameters
    ----------
    channels : sequence of str
        Names.
    sfreq_hz : float
        Sampling rate.
    window_s : float
        How much is kept, gaps counted.
    """

    def __init__(self, channels: Sequence[str], sfreq_hz: float, window_s: float) -> None:
        self.channels = tuple(channels)
        self.sfreq_hz = sfreq_hz
        self._n = round(window_s * sfreq_hz)
        # Samples, and how many are missing before them; none before the first.
        self._parts: deque[tuple[Array, int]] = deque()
        self._have = 0

    @property
    def seconds(self) -> float:
        """How much is there, without the gaps."""
        return float(sum(part.shape[1] for part, _ in self._parts) / self.sfreq_hz)

    def add(self, signal_uv: Array, *, missing: int = 0, restarted: bool = False) -> None:
        """Take the next samples, shape (n_channels, n_samples); after a jump begin anew."""
        if restarted or missing >= self._n:
            self._parts.clear()
            self._have = 0
        self._parts.append((signal_uv, missing if self._parts else 0))
        self._have += self._span(-1)
        while len(self._parts) > 1 and self._have - self._span(0) >= self._n:
            self._drop_first(self._parts.popleft())
        if (over := self._have - self._n) > 0:
            first, _ = self._parts[0]
            # What is older than the window may end within the gap after it.
            self._parts[0] = (first[:, min(over, first.shape[1]) :], 0)
            self._have -= min(over, first.shape[1])

    def copy(self) -> LiveWindow:
        """Return one that stays as this is now."""
        other = LiveWindow(self.channels, self.sfreq_hz, self._n / self.sfreq_hz)
        other._parts, other._have = self._parts.copy(), self._have
        return other

    def raw(self) -> Any:
        """Return it as a recording, gaps marked, names and positions as of a file that is read."""
        at, breaks = 0, []
        for part, missing in self._parts:
            if missing:
                breaks.append(Break(at, missing))
            at += part.shape[1]
        raw = raw_of(self._joined(), self.sfreq_hz, self.channels, breaks)
        tidy(raw)
        return raw

    def latest(self, seconds: float) -> Array:
        """Return the latest samples that arrived, shape (n_channels, n_samples)."""
        wanted, parts, have = round(seconds * self.sfreq_hz), [], 0
        for part, _ in reversed(self._parts):
            parts.append(part)
            have += part.shape[1]
            if have >= wanted:
                break
        if not parts:
            return np.empty((len(self.channels), 0))
        return np.concatenate(parts[::-1], axis=1)[:, -wanted:]

    def _joined(self) -> Array:
        if not self._parts:
            return np.empty((len(self.channels), 0))
        return np.concatenate([part for part, _ in self._parts], axis=1)

    def _drop_first(self, dropped: tuple[Array, int]) -> None:
        """Account for the part that was first; no gap is left before what is first now."""
        gone = dropped[0].shape[1] + dropped[1] + self._parts[0][1]
        self._parts[0] = (self._parts[0][0], 0)
        self._have -= gone

    def _span(self, i: int) -> int:
        part, missing = self._parts[i]
        return int(part.shape[1]) + missing


def channel_states(
    signal_uv: Array, sfreq_hz: float, channels: Sequence[str]
) -> tuple[ChannelState, ...]:
    """Say what each channel is like.

    Parameters
    ----------
    signal_uv : ndarray, shape (n_channels, n_samples)
        The latest ten seconds or so.
    sfreq_hz : float
        Sampling rate.
    channels : sequence of str
        Names.

    Returns
    -------
    tuple of ChannelState
        One for each channel; none where there are less than two seconds.

    Notes
    -----
    Flat, clipped and deviant channels by the rules for recordings
    (:func:`analysis.channel_checks.bad_channels`); saturated also from 1 % of the samples in runs
    at the channel's limits; bad contact also from a standard deviation of 200 µV within a second;
    mains where it has more power than all of the EEG between 2 and 40 Hz.
    """
    if signal_uv.shape[1] < LEAST_S * sfreq_hz:
        return ()
    measures = measure(signal_uv, sfreq_hz)
    why = bad_channels(signal_uv, measures, channels, set(), sfreq_hz)
    railed = measures.railed > RAILED_SHARE * signal_uv.shape[1]
    mains_db = _mains_db(signal_uv, sfreq_hz)
    out = []
    for i, name in enumerate(channels):
        reason, sd_uv = why.get(name, ""), float(measures.spread[i])
        over_db = None if mains_db is None or not np.isfinite(mains_db[i]) else float(mains_db[i])
        state: State = "good"
        if not measures.finite[i]:
            state = "not a number"
        elif reason == "flat":
            state = "flat"
        elif reason.startswith("clipped") or railed[i]:
            state = "saturated"
        elif over_db is not None and over_db > MAINS_DB:
            state = "mains"
        elif sd_uv > CONTACT_UV or reason.startswith(("far larger", "unlike")):
            state = "bad contact"
        elif reason.startswith("far smaller"):
            state = "weak"
        out.append(ChannelState(name, state, sd_uv if measures.finite[i] else None, over_db))
    return tuple(out)


def _mains_db(signal_uv: Array, sfreq_hz: float) -> Array | None:
    """Power at mains over that of the EEG, shape (n_channels,); None where it cannot be seen."""
    seen = [hz for hz in MAINS_HZ if hz + 1.0 < sfreq_hz / 2.0]
    if not seen:
        return None
    size = round(LEAST_S * sfreq_hz)
    count = signal_uv.shape[1] // size
    pieces = signal_uv[:, -count * size :].reshape(len(signal_uv), count, size)
    with np.errstate(invalid="ignore", divide="ignore"):
        pieces = pieces - pieces.mean(axis=2, keepdims=True)
        power = (np.abs(np.fft.rfft(pieces * np.hanning(size), axis=2)) ** 2).mean(axis=1)
        freqs_hz = np.fft.rfftfreq(size, 1.0 / sfreq_hz)
        eeg = power[:, (freqs_hz >= EEG_HZ[0]) & (freqs_hz <= EEG_HZ[1])].sum(axis=1)
        lines = [power[:, np.abs(freqs_hz - hz) <= 1.0].sum(axis=1) for hz in seen]
        return np.asarray(10.0 * np.log10(np.maximum.reduce(lines) / eeg), dtype=np.float64)
