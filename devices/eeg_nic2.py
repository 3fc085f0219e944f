"""The EEG of NIC's TCP stream as a live source of microvolts.

What one count is worth is not published: it is given, or measured with a sine of known size that is
fed into every channel, which also decides the order of the bytes beyond doubt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.eeg import STALE_S, EEGInfo, EEGSource, Pulled
from devices.nic2_eeg import RATE_HZ, EegReader
from devices.transport import Transport
from tacs.clock import Clock
from tacs.errors import InputError, LinkLost, NoAnswer

__all__ = ["Nic2EEG"]

MS: Final = 1e-3
SPREAD_MAX: Final = 0.05  # between channels that are all fed with one sine
FLOOR_S: Final = 10.0


class _OffsetFloor:
    """Offset of a clock of which only arrivals are known: the least of the last ten seconds or so.

    The shortest delay of the link is in it.
    """

    def __init__(self) -> None:
        self._before = self._now = math.inf
        self._until_s = -math.inf

    def learn(self, arrived_s: float, stamp_s: float) -> float:
        """Take an arrival; return the offset."""
        if arrived_s >= self._until_s:
            self._until_s = arrived_s + FLOOR_S
            self._before, self._now = self._now, math.inf
        self._now = min(self._now, arrived_s - stamp_s)
        return min(self._before, self._now)


class Nic2EEG(EEGSource):
    """NIC's EEG stream on TCP port 1234.

    Parameters
    ----------
    host : str
        Computer that NIC runs on, or ``socket://HOST:PORT``.
    clock : Clock
        Of the session.
    electrodes : sequence of str
        Name of each of the device's channels, in NIC's order.
    uv_per_count : float, optional
        What one count is worth.
    known_sine : (float, float), optional
        Frequency in Hz and zero-to-peak size in µV of a sine that is fed into every channel at the
        opening; one of the two is needed.
    trigger, timestamp : bool or None
        Whether a sample has them; None finds out.
    transport : Transport, optional
        A link that is there already.
    stale_after_s : float
        See :class:`devices.eeg.EEGSource`.

    Raises
    ------
    InputError
        Neither or both of the two, or numbers that are none.
    """

    def __init__(
        self,
        host: str,
        clock: Clock,
        *,
        electrodes: Sequence[str],
        uv_per_count: float | None = None,
        known_sine: tuple[float, float] | None = None,
        trigger: bool | None = None,
        timestamp: bool | None = None,
        transport: Transport | None = None,
        stale_after_s: float = STALE_S,
    ) -> None:
        super().__init__(clock, stale_after_s=stale_after_s)
        if (uv_per_count is None) == (known_sine is None):
            raise InputError(
                "what one count of NIC's EEG is worth is not published: give uv_per_count, or "
                "feed a sine into every channel and give its Hz and µV (known_sine)"
            )
        given = [uv_per_count] if known_sine is None else list(known_sine)
        if not all(value is not None and math.isfinite(value) and value > 0.0 for value in given):
            raise InputError(f"{given} of NIC's EEG: write numbers above 0")
        self._host = host
        self._electrodes = tuple(electrodes)
        self._uv_per_count = uv_per_count
        self._known_sine = known_sine
        self._trigger, self._timestamp = trigger, timestamp
        self._transport = transport
        self._reader: EegReader | None = None
        self._floor = _OffsetFloor()

    def _open(self) -> EEGInfo:
        n_channels = len(self._electrodes)
        if self._transport is None:
            reader = EegReader.open(self._host, n_channels, self._session)
        else:
            reader = EegReader(self._transport, n_channels)
        self._reader = reader
        hz, uv = self._known_sine or (None, math.nan)
        try:
            layout = reader.begin(
                trigger=self._trigger, timestamp=self._timestamp, known_sine_hz=hz
            ).layout
            worth = self._uv_per_count if hz is None else self._worth(reader, hz, uv)
        except (NoAnswer, LinkLost):
            self._close()
            raise
        self.lossless = not layout.timestamp
        self.has_own_clock = self.offset_has_delay = layout.timestamp
        return EEGInfo(
            source=f"NIC's EEG stream at {self._host}, {layout.byte_order}-endian",
            channels=self._electrodes,
            sfreq_hz=RATE_HZ,
            uv_per_unit=(float(worth or math.nan),) * n_channels,
        )

    def _worth(self, reader: EegReader, hz: float, uv: float) -> float:
        """Microvolts of one count, from the sine that is being fed."""
        counts = reader.counts_of_sine(hz)
        middle = float(np.median(counts))
        if not middle > 0.0 or float(np.abs(counts / middle - 1.0).max()) > SPREAD_MAX:
            told = ", ".join(
                f"{name} {n:.0f}" for name, n in zip(self._electrodes, counts, strict=True)
            )
            raise NoAnswer(
                f"{self._host}: a sine of {hz:g} Hz is not equally large in all channels (counts: "
                f"{told}); feed it into every one"
            )
        return uv / middle

    def _pull(self, timeout_s: float) -> Pulled | None:
        if self._reader is None:
            raise LinkLost(f"{self.info.source}: the stream was closed")
        block = self._reader.take(timeout_s)
        if not (n := len(block.counts)):
            return None
        now_s = self._session.now_s()
        if block.timestamps is None:
            back = np.arange(n - 1, -1, -1, dtype=np.float64)
            return Pulled(samples=block.counts, stamps_s=now_s - back / RATE_HZ)
        stamps_s: NDArray[np.float64] = block.timestamps.astype(np.float64) * MS
        offset_s = self._floor.learn(now_s, float(stamps_s[-1]))
        return Pulled(samples=block.counts, stamps_s=stamps_s, offset_s=offset_s)

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
