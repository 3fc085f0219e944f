"""When current flowed in full, and in which phase: from its trace, or from the EEG itself."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.artifact_lines import Complex, shifted_down
from analysis.errors import AnalysisError, UnusableRecording

__all__ = ["CurrentTrace", "Span", "find_plateau", "read_current"]

Array = NDArray[np.float64]

FULL_SHARE = 0.95
SILENT_SHARE = 0.02
_ENVELOPE_HZ = 1.0
_SETTLE_S = 1.0
_STRONG_DB = 20.0


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch at full current within a recording, and how it was found.

    Parameters
    ----------
    start_s, stop_s : float
        From the recording's first sample.
    how : str
        In words.
    quiet_s : tuple of (float, float)
        Stretches without current after it.
    """

    start_s: float
    stop_s: float
    how: str
    quiet_s: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CurrentTrace:
    """A recorded current.

    Parameters
    ----------
    samples_ma : ndarray, shape (n_electrodes, n_samples)
        Milliampere.
    columns : tuple of str
        Electrodes.
    sfreq_hz : float
        Samples per second.
    start_s : float
        Time of the first sample, counted from the first sample of the EEG.

    Raises
    ------
    AnalysisError
        Shape, rate or values cannot be used.
    """

    samples_ma: Array
    columns: tuple[str, ...]
    sfreq_hz: float
    start_s: float = 0.0

    def __post_init__(self) -> None:
        shape = self.samples_ma.shape
        if len(shape) != 2 or shape[0] != len(self.columns) or 0 in shape:
            raise AnalysisError(
                f"current trace of shape {shape} for {len(self.columns)} electrodes: give one row "
                "per electrode"
            )
        if not (math.isfinite(self.sfreq_hz) and self.sfreq_hz > 0.0):
            raise AnalysisError(f"current trace at {self.sfreq_hz} samples per second; mend it")
        if not np.all(np.isfinite(self.samples_ma)):
            raise AnalysisError("the current trace holds NaN or infinite values; record it again")

    def envelope(self, times_s: Array, stim_hz: float, carrier_hz: float | None = None) -> Complex:
        """Return the complex envelope of the strongest electrode's current at `stim_hz`.

        Parameters
        ----------
        times_s : ndarray, shape (n_times,)
            When, from the first sample of the EEG.
        stim_hz, carrier_hz : float
            Frequency; with a carrier, that of its envelope.

        Returns
        -------
        ndarray of complex, shape (n_times,)
            Milliampere; 0 where nothing was recorded. Times ``exp(2j pi stim_hz t)``, with t from
            the first sample of the EEG, it is the current's phasor.
        """
        row = int(np.argmax(np.max(np.abs(self.samples_ma), axis=1)))
        wave = self.samples_ma[row : row + 1]
        half = min(_ENVELOPE_HZ, 0.3 * stim_hz)
        if carrier_hz is not None:
            wave = np.abs(shifted_down(wave, self.sfreq_hz, carrier_hz, 2.0 * stim_hz))
        slow = shifted_down(wave, self.sfreq_hz, stim_hz, half)[0]
        slow = slow * np.exp(-2j * np.pi * stim_hz * self.start_s)
        own_s = self.start_s + np.arange(slow.size) / self.sfreq_hz
        real, imag = (np.interp(times_s, own_s, part, 0.0, 0.0) for part in (slow.real, slow.imag))
        return np.asarray(real + 1j * imag)


def read_current(path: str | Path, *, start_s: float | None = None) -> CurrentTrace:
    """Read a recorded current with its sidecar.

    Parameters
    ----------
    path : path
        ``…_stim.tsv.gz``: one column per electrode, milliampere, no header; its description of
        the same name, ``.json``, has `Columns`, `SamplingFrequency` and `StartTime`.
    start_s : float, optional
        Time of its first sample, from the first of the EEG, where it is not `StartTime`.

    Returns
    -------
    CurrentTrace

    Raises
    ------
    AnalysisError
        It cannot be read; the text names the file.
    """
    file = Path(path)
    sidecar = file.with_name(file.name.removesuffix(".gz").removesuffix(".tsv") + ".json")
    try:
        data = json.loads(sidecar.read_text(encoding="utf-8"))
        columns = tuple(str(name) for name in data["Columns"])
        rate_hz, begin_s = float(data["SamplingFrequency"]), float(data["StartTime"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise AnalysisError(f"{sidecar}: the trace's sidecar cannot be read ({exc})") from exc
    try:
        packed = file.read_bytes()
        text = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
        flat = np.array(text.split(), dtype=np.float64)
        samples = np.ascontiguousarray(flat.reshape(-1, len(columns)).T)
    except (OSError, ValueError, EOFError, zlib.error) as exc:
        raise AnalysisError(f"{file}: the trace of the current cannot be read ({exc})") from exc
    return CurrentTrace(samples, columns, rate_hz, begin_s if start_s is None else start_s)


def find_plateau(
    data: Array,
    sfreq_hz: float,
    stim_hz: float,
    *,
    rest: Array | None = None,
    trace: CurrentTrace | None = None,
    carrier_hz: float | None = None,
) -> Span:
    """Find the longest stretch at full current; ramps are no part of it.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        The recording.
    sfreq_hz, stim_hz, carrier_hz : float
        Sampling rate, frequency, carrier.
    rest : ndarray, shape (n_channels, n_rest_times), optional
        Without current, to tell whether the line is strong enough to be followed.
    trace : CurrentTrace, optional
        The recorded current, which settles it.

    Returns
    -------
    Span
        One second is left out at an end where current changed.

    Raises
    ------
    UnusableRecording
        The trace shows no current during the recording.
    """
    n = data.shape[1]
    times_s = np.arange(n) / sfreq_hz
    if trace is not None:
        size = np.abs(trace.envelope(times_s, stim_hz, carrier_hz))
        if not size.max() > 0.0:
            raise UnusableRecording(
                f"the trace shows no current at {stim_hz:g} Hz during the recording: check the "
                "frequency and the start of the trace"
            )
        how = "from the recorded current"
    else:
        half = min(_ENVELOPE_HZ, 0.3 * stim_hz)
        size = _size(data, sfreq_hz, stim_hz, half)
        quiet = size if rest is None else _size(rest, sfreq_hz, stim_hz, half)
        over_db = 20.0 * math.log10(float(np.median(size)) / max(float(np.median(quiet)), 1e-300))
        if rest is None or over_db < _STRONG_DB:
            return Span(0.0, n / sfreq_hz, "the whole recording: the artefact shows no ramps")
        how = "from the size of the artefact"
    full = float(np.median(size[size >= 0.5 * np.percentile(size, 95.0)]))
    start, stop = _longest(size >= FULL_SHARE * full)
    edge = round(_SETTLE_S * sfreq_hz)
    # Within a second of an end of the recording it is the filter's edge, not the current's.
    begin = start + edge if start > edge else 0
    end = stop - edge if stop < n - edge else n
    if end <= begin:
        raise UnusableRecording("no stretch at full current of more than two seconds was found")
    # Where the EEG is the witness, its own rhythm keeps the line from vanishing.
    silent = (1.0 if trace is not None else 2.0) * SILENT_SHARE * full
    after = [
        (float(first / sfreq_hz), float(last / sfreq_hz))
        for first, last in _runs(size < silent)
        if first >= stop and last - first > 2 * edge
    ]
    return Span(begin / sfreq_hz, end / sfreq_hz, how, tuple(after))


def _size(data: Array, sfreq_hz: float, stim_hz: float, half_width_hz: float) -> Array:
    """Size of the line over time, root mean square over channels."""
    envelope = shifted_down(data, sfreq_hz, stim_hz, half_width_hz)
    return np.asarray(np.sqrt(np.mean(np.abs(envelope) ** 2, axis=0)))


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and one past the last index of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _longest(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """The longest run of True; (0, 0) where there is none."""
    return max(_runs(flags), key=lambda run: run[1] - run[0], default=(0, 0))
