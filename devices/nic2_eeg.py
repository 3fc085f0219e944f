"""The EEG that NIC2 streams on TCP port 1234, and how its bytes are told apart.

A sample is a 32-bit number for each channel, then perhaps a trigger (32 bits) and a time stamp (64
bits), 500 times a second. Whether trigger and time stamp are there depends on NIC's settings, and
the published accounts do not agree on the order of the bytes: both are found out from the data,
best while a known sine is fed in, and refused where the data do not decide. What one count is worth
is not published either; the numbers are handed on as they come.

NIC also streams by the Lab Streaming Layer, which :mod:`devices.eeg_lsl` reads. As a live source of
microvolts this stream is :class:`devices.eeg_nic2.Nic2EEG`.

References
----------
MatNIC 4.07, function files by Neuroelectrics as published in public repositories (facts only).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from devices.transport import Transport, open_transport
from tacs.clock import Clock
from tacs.errors import InputError, LinkLost, NoAnswer

__all__ = ["Block", "EegReader", "Found", "Layout", "find_layout"]

PORT: Final = 1234
RATE_HZ: Final = 500.0
FRAMES_MIN: Final = 500
FIND_S: Final = 2.0
ROUGHNESS_MAX: Final = 0.5  # of white noise it is 1, of EEG at 500 Hz about 0.1
SINE_LEFT_MAX: Final = 0.5
CONFIDENCE_MIN: Final = 3.0
STEP_SPREAD_MAX: Final = 50.0
SILENT_S: Final = 2.0
CHUNK: Final = 4096

ByteOrder = Literal["little", "big"]
Signals = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What one sample looks like.

    Parameters
    ----------
    n_channels : int
        EEG channels.
    byte_order : {"little", "big"}
        Of every number.
    trigger, timestamp : bool
        What follows the channels.
    """

    n_channels: int
    byte_order: ByteOrder
    trigger: bool
    timestamp: bool

    @property
    def size(self) -> int:
        """Bytes of one sample."""
        return 4 * self.n_channels + 4 * self.trigger + 8 * self.timestamp

    def decode(self, data: bytes) -> Block:
        """Take whole samples apart; what is left over at the end is not looked at."""
        mark = "<" if self.byte_order == "little" else ">"
        fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [
            ("eeg", f"{mark}i4", (self.n_channels,))
        ]
        fields += [("trigger", f"{mark}i4")] if self.trigger else []
        fields += [("timestamp", f"{mark}i8")] if self.timestamp else []
        frames = np.frombuffer(data[: len(data) // self.size * self.size], np.dtype(fields))
        return Block(
            counts=frames["eeg"].astype(np.int32),
            triggers=frames["trigger"].astype(np.int32) if self.trigger else None,
            timestamps=frames["timestamp"].astype(np.int64) if self.timestamp else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some samples.

    Parameters
    ----------
    counts : ndarray of int32, shape (n, n_channels)
        As NIC sends them; what one count is worth is not published.
    triggers : ndarray of int32, shape (n,), or None
        Triggers, where they are on.
    timestamps : ndarray of int64, shape (n,), or None
        NIC's own time stamps, where they are on.
    """

    counts: NDArray[np.int32]
    triggers: NDArray[np.int32] | None
    timestamps: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A layout, and why it is the one.

    Parameters
    ----------
    layout : Layout
        Of the stream.
    score : float
        Of white noise about 1: half the mean square of the steps over that of the signal, or the
        part of it that the known sine leaves over.
    confidence : float
        How many times larger the score of the runner-up is, or that of noise if that is less.
    """

    layout: Layout
    score: float
    confidence: float


def find_layout(
    data: bytes,
    n_channels: int,
    *,
    trigger: bool | None = None,
    timestamp: bool | None = None,
    known_sine_hz: float | None = None,
    rate_hz: float = RATE_HZ,
) -> Found:
    """Find the byte order of a stream, and what follows the channels.

    Parameters
    ----------
    data : bytes
        From the beginning of a sample on, a second or more.
    n_channels : int
        EEG channels.
    trigger, timestamp : bool or None
        Whether a sample has them; None tries both.
    known_sine_hz : float or None
        Frequency of a sine that is fed into every channel; without one, the smoother reading is
        the right one.
    rate_hz : float
        Samples per second.

    Raises
    ------
    InputError
        No channel, or a sine that the rate cannot carry.
    NoAnswer
        Too little of it, nothing but constants, or two readings that are about as likely.
    """
    if not 1 <= n_channels <= 64:
        raise InputError(f"{n_channels} EEG channels; NIC has 1 to 64")
    if known_sine_hz is not None and not 0.0 < known_sine_hz < rate_hz / 2.0:
        raise InputError(f"a sine of {known_sine_hz} Hz cannot be seen at {rate_hz:g} samples/s")
    orders: tuple[ByteOrder, ...] = ("little", "big")
    scored = []
    for order, with_trigger, with_timestamp in itertools.product(
        orders, _either(trigger), _either(timestamp)
    ):
        layout = Layout(
            n_channels=n_channels,
            byte_order=order,
            trigger=with_trigger,
            timestamp=with_timestamp,
        )
        scored.append((_score(layout, data, known_sine_hz, rate_hz), layout))
    scored.sort(key=lambda item: item[0])
    (best, layout), (second, _) = scored[0], scored[1]
    what = f"{len(data)} bytes of EEG"
    if not np.isfinite(best):
        raise NoAnswer(
            f"{what}: too few or all the same for {n_channels} channels; let it run for "
            f"{FRAMES_MIN / rate_hz:g} s or more, with electrodes attached"
        )
    largest = ROUGHNESS_MAX if known_sine_hz is None else SINE_LEFT_MAX
    confidence = float(min(second, 1.0) / max(best, 1e-12))
    if best > largest or confidence < CONFIDENCE_MIN:
        raise NoAnswer(
            f"{what}: no reading of the bytes stands out (the best scores {best:.2g}, the next "
            f"{second:.2g}, noise 1); feed a known sine into every channel and say its frequency"
        )
    return Found(layout=layout, score=float(best), confidence=confidence)


class EegReader:
    """Read NIC's EEG stream.

    Parameters
    ----------
    transport : Transport
        To NIC's port 1234.
    n_channels : int
        EEG channels, as NIC's remote control says (132).

    Attributes
    ----------
    found : Found or None
        How the stream is read; None before :meth:`begin`.
    """

    def __init__(self, transport: Transport, n_channels: int) -> None:
        self._transport = transport
        self._n_channels = n_channels
        self._held = b""
        self.found: Found | None = None

    @classmethod
    def open(cls, host: str, n_channels: int, clock: Clock) -> EegReader:
        """Connect to the EEG port of a NIC.

        Parameters
        ----------
        host : str
            Computer that NIC runs on, or ``socket://HOST:PORT``.
        n_channels : int
            EEG channels.
        clock : Clock
            Real time.

        Raises
        ------
        DeviceNotFound
            Nobody listens there.
        """
        address = host if host.startswith("socket://") else f"socket://{host}:{PORT}"
        # Only listened to: others may as well.
        return cls(open_transport(address, clock, exclusive=False), n_channels)

    def begin(
        self,
        *,
        trigger: bool | None = None,
        timestamp: bool | None = None,
        known_sine_hz: float | None = None,
    ) -> Found:
        """Read two seconds and find out how the stream is laid out; they are not lost.

        Raises
        ------
        NoAnswer
            The data do not decide it.
        LinkLost
            The stream ended.
        """
        largest = 4 * self._n_channels + 12
        wanted = int(FIND_S * RATE_HZ) * largest
        self._held += self._transport.read(wanted - len(self._held), 2.0 * FIND_S)
        self.found = find_layout(
            self._held,
            self._n_channels,
            trigger=trigger,
            timestamp=timestamp,
            known_sine_hz=known_sine_hz,
        )
        return self.found

    def read(self, n: int) -> Block:
        """Return the next ``n`` samples.

        Raises
        ------
        InputError
            The stream was not begun.
        LinkLost
            It ended, or fell silent.
        """
        if self.found is None:
            raise InputError("begin the EEG stream before reading it")
        size = n * self.found.layout.size
        while len(self._held) < size:
            more = self._transport.read(size - len(self._held), SILENT_S + n / RATE_HZ)
            if not more:
                raise LinkLost(f"{self._transport.address}: the EEG stream fell silent")
            self._held += more
        data, self._held = self._held[:size], self._held[size:]
        return self.found.layout.decode(data)

    def take(self, timeout_s: float) -> Block:
        """Return the whole samples that are there, waiting for some for ``timeout_s`` at most.

        Raises
        ------
        InputError
            The stream was not begun.
        LinkLost
            It ended.
        """
        if self.found is None:
            raise InputError("begin the EEG stream before reading it")
        layout = self.found.layout
        if len(self._held) < layout.size:
            self._held += self._transport.read(layout.size - len(self._held), timeout_s)
        while more := self._transport.read(CHUNK, 0.0):
            self._held += more
        whole = len(self._held) // layout.size * layout.size
        data, self._held = self._held[:whole], self._held[whole:]
        return layout.decode(data)

    def counts_of_sine(self, hz: float) -> NDArray[np.float64]:
        """Return the amplitude, in counts, of a sine in every channel of what was begun with.

        Raises
        ------
        InputError
            The stream was not begun.
        """
        if self.found is None:
            raise InputError("begin the EEG stream before reading it")
        signals = self.found.layout.decode(self._held).counts.astype(np.float64)
        angle = 2.0 * np.pi * hz / RATE_HZ * np.arange(len(signals))
        basis = np.column_stack([np.cos(angle), np.sin(angle), np.ones_like(angle)])
        cosine, sine, _ = np.linalg.lstsq(basis, signals, rcond=None)[0]
        return np.asarray(np.hypot(cosine, sine))

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


def _either(given: bool | None) -> tuple[bool, ...]:
    return (False, True) if given is None else (given,)


def _score(layout: Layout, data: bytes, known_sine_hz: float | None, rate_hz: float) -> float:
    """How much a reading looks like noise; infinite where it cannot be, or nothing is to judge."""
    block = layout.decode(data)
    if len(block.counts) < FRAMES_MIN:
        return np.inf
    if block.timestamps is not None and not _runs(block.timestamps):
        return np.inf
    signals = block.counts.astype(np.float64)
    signals = signals[:, np.ptp(signals, axis=0) > 0.0]
    if not signals.size:
        return np.inf
    signals -= signals.mean(axis=0)
    if known_sine_hz is None:
        steps = np.diff(signals, axis=0)
        return float(np.median(0.5 * (steps**2).mean(axis=0) / (signals**2).mean(axis=0)))
    return _left_by_sine(signals, known_sine_hz / rate_hz)


def _left_by_sine(signals: Signals, cycles_per_sample: float) -> float:
    """Part of the power that a sine of a known frequency leaves over."""
    angle = 2.0 * np.pi * cycles_per_sample * np.arange(len(signals))
    basis = np.column_stack([np.cos(angle), np.sin(angle), np.ones_like(angle)])
    fitted = basis @ np.linalg.lstsq(basis, signals, rcond=None)[0]
    return float(np.median(((signals - fitted) ** 2).mean(axis=0) / (signals**2).mean(axis=0)))


def _runs(timestamps: NDArray[np.int64]) -> bool:
    """Whether time stamps go forward, in steps of about one size."""
    # Differences of nonsense may overflow; as floats they only get large.
    steps = np.diff(timestamps.astype(np.float64))
    return bool((steps > 0.0).all() and steps.max() <= STEP_SPREAD_MAX * np.median(steps))
