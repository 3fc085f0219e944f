"""What a current trace says was delivered: frequency, peaks, charge, offset, and how it ended.

A trace is what an oscilloscope or a measuring device wrote: one column per electrode in mA. It
knows nothing of what was commanded, so that a claim about delivered current can be checked on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tacs.driver import TraceInfo

__all__ = ["Delivered", "at_least", "is_whole", "measure", "read_trace"]

SILENT_MA = 0.001  # below one microampere nothing flows
QUIET_MA = 0.050  # what a stop must reach: 50 µA
SLOWEST_ENVELOPE_HZ = 0.4  # below are the ramps of a session


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The current of one session.

    Parameters
    ----------
    duration_s : float
        From the first to the last instant with current; of trains without the gaps between them.
    frequency_hz : float or None
        Of the sine at full current, or of a modulated carrier's envelope; None where there was
        too little of it, or more than one.
    current_peak_ma : float
        Largest magnitude at any electrode.
    electrodes : mapping of str to float
        Largest magnitude at each electrode in mA.
    rectified_charge_c : mapping of str to float
        By electrode.
    mean_ma : mapping of str to float
        Mean over the time with current: direct current, which a sine has none of.
    balance_ma : float
        Largest sum over the electrodes at any instant.
    source : str
        ``"measured"``, ``"commanded"`` or ``"upper bound"``.
    bursts, span_s : int or None, float or None
        Of measured trains: stretches with current between gaps, run-ins among them, and the time
        from the first to the last current, gaps included.
    frequencies_hz : tuple of float
        Where the session had more than one: those that were set while current flowed, or for it, as
        the device made them, in the order in which each came first. Else empty.
    """

    duration_s: float
    frequency_hz: float | None
    current_peak_ma: float
    electrodes: Mapping[str, float]
    rectified_charge_c: Mapping[str, float]
    mean_ma: Mapping[str, float]
    balance_ma: float
    source: str
    bursts: int | None = None
    span_s: float | None = None
    frequencies_hz: tuple[float, ...] = ()

    def of_several(self, frequencies_hz: tuple[float, ...]) -> Delivered:
        """Return the same of a session with these frequencies; with none or one, nothing changes.

        No single number is the frequency of a session that was retuned, even where it went back.
        """
        if len(frequencies_hz) < 2:
            return self
        return replace(self, frequency_hz=None, frequencies_hz=frequencies_hz)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON keys of the command line; the charge is the largest electrode's."""
        more: dict[str, Any] = {} if self.bursts is None else {"bursts": self.bursts}
        if self.span_s is not None:
            more["span_s"] = round(self.span_s, 3)
        if self.frequencies_hz:
            more["frequencies_hz"] = [round(hz, 5) for hz in self.frequencies_hz]
        return {
            "duration_s": round(self.duration_s, 3),
            "frequency_hz": None if self.frequency_hz is None else round(self.frequency_hz, 5),
            "current_peak_ma": round(self.current_peak_ma, 4),
            "electrodes": {name: round(ma, 4) for name, ma in self.electrodes.items()},
            "rectified_charge_c": round(max(self.rectified_charge_c.values(), default=0.0), 6),
            "electrode_charge_c": {k: round(v, 6) for k, v in self.rectified_charge_c.items()},
            "mean_ma": {name: round(ma, 6) + 0.0 for name, ma in self.mean_ma.items()},
            "balance_ma": round(self.balance_ma, 6),
            "source": self.source,
            **more,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Delivered:
        """Take what :meth:`to_dict` gave."""
        return cls(
            duration_s=data["duration_s"],
            frequency_hz=data["frequency_hz"],
            current_peak_ma=data["current_peak_ma"],
            electrodes=data["electrodes"],
            rectified_charge_c=data["electrode_charge_c"],
            mean_ma=data["mean_ma"],
            balance_ma=data["balance_ma"],
            source=data["source"],
            bursts=data.get("bursts"),
            span_s=data.get("span_s"),
            frequencies_hz=tuple(data.get("frequencies_hz", ())),
        )


def read_trace(path: Path, n_columns: int) -> NDArray[np.float64]:
    """Read a trace as far as it is whole.

    Parameters
    ----------
    path : Path
        Tab-separated, gzip; read up to where a crash cut it off.
    n_columns : int
        Electrodes.

    Returns
    -------
    ndarray, shape (n_electrodes, n_samples)
        Milliampere.
    """
    import numpy as np

    text = _unpack(path.read_bytes())
    flat = np.fromstring(text.decode(), sep="\t") if text else np.zeros(0)
    return np.ascontiguousarray(flat.reshape(-1, n_columns).T)


def _unpack(content: bytes) -> bytes:
    """Whole lines of a gzip file, up to where it was cut off."""
    import zlib

    parts: list[bytes] = []
    while content:
        engine = zlib.decompressobj(wbits=31)
        try:
            text = engine.decompress(content)
        except zlib.error:
            break
        parts.append(text[: text.rfind(b"\n") + 1])
        if not engine.eof:
            break
        content = engine.unused_data
    return b"".join(parts)


def is_whole(info: TraceInfo, trace: NDArray[np.float64]) -> bool:
    """Whether a trace shows everything that flowed: only then is it a measurement.

    Parameters
    ----------
    info : TraceInfo
        Its description, read before the trace itself: who writes them closes the description last.
    trace : ndarray, shape (n_electrodes, n_samples)
        What could be read of it.

    Returns
    -------
    bool
        It was closed when the output was silent, and no sample of it is missing.
    """
    return info.clean and 0 < info.n_samples == trace.shape[1]


def at_least(bound: Delivered, seen: Delivered) -> Delivered:
    """Return an upper bound that is nowhere below what a trace shows.

    Parameters
    ----------
    bound : Delivered
        From what was commanded.
    seen : Delivered
        From a trace that may not show everything.

    Returns
    -------
    Delivered
        The larger of both, with ``source="upper bound"``.
    """

    def largest(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
        return {
            name: max(ours.get(name, 0.0), theirs.get(name, 0.0)) for name in {**ours, **theirs}
        }

    return replace(
        bound,
        duration_s=max(bound.duration_s, seen.duration_s),
        current_peak_ma=max(bound.current_peak_ma, seen.current_peak_ma),
        electrodes=largest(bound.electrodes, seen.electrodes),
        rectified_charge_c=largest(bound.rectified_charge_c, seen.rectified_charge_c),
        source="upper bound",
    )


def measure(
    trace: NDArray[np.float64],
    columns: tuple[str, ...],
    sampling_frequency_hz: float,
    *,
    carrier_hz: float | None = None,
    gap_s: float | None = None,
) -> Delivered:
    """Measure a trace.

    Parameters
    ----------
    trace : ndarray, shape (n_electrodes, n_samples)
        Milliampere.
    columns : tuple of str
        Electrodes.
    sampling_frequency_hz : float
        Samples per second.
    carrier_hz : float, optional
        Of a modulated carrier; the frequency is then that of its envelope.
    gap_s : float, optional
        Of trains: a silence of this length or more is a gap, which is no time with current.

    Returns
    -------
    Delivered
        With ``source="measured"``.
    """
    import numpy as np

    size = np.abs(trace)
    loud = np.flatnonzero((size > SILENT_MA).any(axis=0)) if trace.size else np.zeros(0, dtype=int)
    peaks = dict(zip(columns, size.max(axis=1, initial=0.0).tolist(), strict=True))
    charge_c = size.sum(axis=1) / sampling_frequency_hz * 1e-3
    span = slice(int(loud[0]), int(loud[-1]) + 1) if loud.size else slice(0, 0)
    flowing = trace[:, span]
    mean_ma = flowing.mean(axis=1) if flowing.size else np.zeros(len(columns))
    balance = np.abs(trace.sum(axis=0)).max(initial=0.0)
    span_s = on_s = flowing.shape[1] / sampling_frequency_hz
    bursts, steady = None, flowing
    if gap_s is not None:
        gaps_s = np.diff(loud) / sampling_frequency_hz
        edges = np.flatnonzero(gaps_s >= gap_s)
        on_s, bursts = span_s - float(gaps_s[edges].sum()), len(edges) + bool(loud.size)
        if loud.size:
            # The phase may begin anew with every train: the frequency is that of the longest.
            first, last = loud[[0, *(edges + 1)]], loud[[*edges, -1]]
            longest = int(np.argmax(last - first))
            steady = trace[:, int(first[longest]) : int(last[longest]) + 1]
        mean_ma = mean_ma * (span_s / on_s if on_s > 0.0 else 1.0)
    return Delivered(
        duration_s=on_s,
        frequency_hz=_frequency_hz(steady, sampling_frequency_hz, carrier_hz),
        current_peak_ma=max(peaks.values(), default=0.0),
        electrodes=peaks,
        rectified_charge_c=dict(zip(columns, charge_c.tolist(), strict=True)),
        mean_ma=dict(zip(columns, mean_ma.tolist(), strict=True)),
        balance_ma=float(balance),
        source="measured",
        bursts=bursts,
        span_s=None if gap_s is None else span_s,
    )


def _frequency_hz(
    flowing: NDArray[np.float64], rate_hz: float, carrier_hz: float | None
) -> float | None:
    """Frequency of the strongest electrode: slope of its phase against the spectrum's maximum.

    The size of a modulated carrier has its envelope's frequency, and nothing else below the
    carrier's but the ramps.
    """
    import numpy as np

    if flowing.shape[1] < 2 * rate_hz:
        return None
    signal = flowing[int(np.argmax(np.abs(flowing).max(axis=1)))]
    n = len(signal)
    if carrier_hz is not None:
        signal = np.abs(signal) - np.abs(signal).mean()
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(n)))
    if carrier_hz is not None:
        grid_hz = np.arange(len(spectrum)) * rate_hz / n
        spectrum[(grid_hz < SLOWEST_ENVELOPE_HZ) | (grid_hz > 0.5 * carrier_hz)] = 0.0
    coarse_hz = float(np.argmax(spectrum) * rate_hz / n)
    if coarse_hz <= 0.0:
        return None
    block = max(round(rate_hz / coarse_hz) * max(round(coarse_hz), 1), 1)
    n_blocks = n // block
    if n_blocks < 2:
        return coarse_hz
    times_s = np.arange(n_blocks * block) / rate_hz
    turned = signal[: n_blocks * block] * np.exp(-2j * np.pi * coarse_hz * times_s)
    phasors = turned.reshape(n_blocks, block).mean(axis=1)
    strong = np.abs(phasors) > 0.5 * np.abs(phasors).max()
    if strong.sum() < 2:
        return coarse_hz
    centres_s = (np.flatnonzero(strong) + 0.5) * block / rate_hz
    phase = np.unwrap(np.angle(phasors[strong]))
    slope, _ = np.polyfit(centres_s, phase, 1, w=np.abs(phasors[strong]))
    return coarse_hz + float(slope) / (2.0 * math.pi)


def quiet_after_s(
    trace: NDArray[np.float64], sampling_frequency_hz: float, since_s: float
) -> float | None:
    """Return how long after an instant the current fell below 50 µA for good.

    Parameters
    ----------
    trace : ndarray, shape (n_electrodes, n_samples)
        Milliampere.
    sampling_frequency_hz : float
        Samples per second.
    since_s : float
        Instant, in seconds from the first sample.

    Returns
    -------
    float or None
        Seconds; None where the trace ends before it is quiet.
    """
    import numpy as np

    above = np.flatnonzero((np.abs(trace) >= QUIET_MA).any(axis=0))
    if not above.size:
        return 0.0
    last = int(above[-1])
    if last >= trace.shape[1] - 1:
        return None
    return max((last + 1) / sampling_frequency_hz - since_s, 0.0)
