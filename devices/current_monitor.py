"""The reference current monitor: what flows through every electrode, measured at the electrode.

An instrument of its own beside the stimulator, with its own port and its own protocol
(``docs/monitor-protocol.md``). It reports the current of each electrode a hundred times a second,
the impedance of each contact ten times, and its own state once.
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from devices.current_monitor_wire import (
    CONTACT,
    CURRENT,
    HELLO,
    IDENTITY,
    START,
    STARTED,
    STATUS,
    STOP,
    STOPPED,
    Frame,
    FrameReader,
    Stream,
    encode,
    frame_size,
)
from devices.transport import Transport, open_transport
from tacs.clock import Clock
from tacs.driver import Identity
from tacs.errors import DeviceNotFound, InputError, LinkLost, ProtocolViolation, TacsError
from tacs.monitor import (
    ContactFrame,
    CurrentFrame,
    Message,
    Monitor,
    MonitorCapabilities,
    MonitorCounts,
    MonitorStatus,
)

__all__ = ["FLAGS", "ReferenceMonitor"]

FLAGS: Final = ("low_battery", "over_range", "self_test_failed")
OPEN: Final = 0xFFFF_FFFF

_IDENTITY: Final = struct.Struct("<B3HII24s16s8s")
_STREAM: Final = struct.Struct("<Q")
_STATUS: Final = struct.Struct("<QHHI")
_NA_PER_MA: Final = 1e6
_OHM_PER_KOHM: Final = 1e3
_ATTEMPTS: Final = 3
_REPLY_TIMEOUT_S: Final = 0.25
_CHUNK: Final = 4096
_CHUNKS_MAX: Final = 16  # a port that never falls silent does not hold the host


class ReferenceMonitor(Monitor):
    """Listen to one reference monitor.

    Parameters
    ----------
    transport : Transport
        To the instrument.
    inputs : mapping of int to str
        Electrode at each input, counted from 1.

    Raises
    ------
    InputError
        No inputs, one below 1, or an electrode at two of them.

    Notes
    -----
    The protocol is this suite's own, and run against its emulator only: ``verified`` is False
    until somebody builds the instrument.
    """

    capabilities: ClassVar[MonitorCapabilities] = MonitorCapabilities(
        name="refmonitor", verified=False, frame_s=0.01, contact_s=0.1, status_s=1.0
    )

    def __init__(self, transport: Transport, inputs: Mapping[int, str]) -> None:
        self._inputs = _fitting(inputs)
        self._names = tuple(self._inputs.values())
        self._transport = transport
        self._reader = FrameReader()
        self._stream = Stream()
        self._malformed = 0
        self._requests = 0
        self._boot_count: int | None = None
        self._waiting: list[Frame] = []
        self._layouts: dict[int, struct.Struct] = {}
        self._closed = False

    @classmethod
    def open(cls, address: str, inputs: Mapping[int, str], clock: Clock) -> ReferenceMonitor:
        """Open the port of an instrument or of an emulator process; nothing is sent yet.

        Parameters
        ----------
        address : str
            ``/dev/ttyACM1``, ``COM4`` or ``socket://HOST:PORT``.
        inputs : mapping of int to str
            Electrode at each input.
        clock : Clock
            Real time.

        Raises
        ------
        DeviceNotFound, DeviceBusy
            The port is not there, or somebody else holds it.
        InputError
            No inputs, or some that cannot be.
        """
        inputs = _fitting(inputs)
        return cls(open_transport(address, clock), inputs)

    @classmethod
    def over(cls, transport: Any, inputs: Mapping[int, str]) -> ReferenceMonitor:
        """Listen through a transport that is already there, such as an emulator in memory."""
        return cls(transport, inputs)

    @property
    def counts(self) -> MonitorCounts:
        """What became of the frames since the port was opened."""
        stream = self._stream
        return MonitorCounts(
            accepted=stream.accepted,
            corrupted=self._reader.corrupted + self._malformed,
            lost=stream.lost,
            duplicated=stream.duplicated,
            reordered=stream.reordered,
            foreign=stream.foreign,
        )

    def connect(self) -> Identity:
        """Shake hands, refuse what is not this instrument, and end a stream left running.

        Raises
        ------
        DeviceNotFound
            Nothing answers, or another version of the protocol.
        InputError
            The instrument has fewer inputs than the rig names.
        ProtocolViolation
            The answer does not have the layout or the times of this version.
        LinkLost
            The port is gone, or the instrument stopped answering.
        """
        self._transport.discard_input()
        reply = self._ask(HELLO, b"", IDENTITY, _IDENTITY.size)
        if reply is None:
            raise DeviceNotFound(self._nobody())
        n_inputs, *periods_ms, boot_count, range_na, model, serial, firmware = self._identity(reply)
        expected_ms = [
            round(1000.0 * period_s)
            for period_s in (
                self.capabilities.frame_s,
                self.capabilities.contact_s,
                self.capabilities.status_s,
            )
        ]
        if periods_ms != expected_ms:
            raise ProtocolViolation(
                f"{self._where}: sends frames every {periods_ms} ms; this version of the protocol "
                f"has {expected_ms}"
            )
        if (highest := max(self._inputs)) > n_inputs:
            raise InputError(
                f"{self._where}: input {highest} ({self._inputs[highest]}) does not exist; the "
                f"monitor has {n_inputs}; correct the rig"
            )
        self._layouts = {
            CURRENT: _layout(self._inputs, n_inputs, "iii"),
            CONTACT: _layout(self._inputs, n_inputs, "I"),
            STATUS: _STATUS,
        }
        self._boot_count = boot_count
        self.stop()
        return Identity(
            model=_text(model),
            firmware=_text(firmware),
            details={
                "address": self._where,
                "serial_number": _text(serial),
                "n_inputs": n_inputs,
                "range_ma": range_na / _NA_PER_MA,
                "boot_count": boot_count,
            },
        )

    def start(self, nonce: int) -> None:
        """Begin a stream whose every frame carries ``nonce``, a random number of this session.

        Raises
        ------
        InputError
            Not connected, or not a number of 1 to 64 bits.
        LinkLost
            The port is gone, or the instrument does not answer.
        """
        if self._boot_count is None:
            raise InputError("connect the current monitor before starting its stream")
        if isinstance(nonce, bool) or not (isinstance(nonce, int) and 0 < nonce < 2**64):
            raise InputError(f"nonce {nonce!r}: must be a whole number from 1 to 2⁶⁴ − 1")
        self._waiting.clear()
        self._stream.begin(nonce)
        payload = _STREAM.pack(nonce)
        reply = self._ask(START, payload, STARTED, len(payload))
        if reply is None or reply.payload != payload:
            raise LinkLost(f"{self._where}: the current monitor does not start its stream")

    def poll(self, now_s: float) -> list[Message]:
        """Return what has arrived, in order; never waits.

        Raises
        ------
        LinkLost
            The port is gone.
        """
        self._listen()
        frames, self._waiting = self._waiting, []
        found = []
        for frame in frames:
            if (message := self._message(frame, now_s)) is not None:
                found.append(message)
        return found

    def stop(self) -> None:
        """End the stream; what was under way is dropped.

        Raises
        ------
        LinkLost
            The port is gone, or the instrument does not answer.
        """
        self._stream.begin(0)
        reply = self._ask(STOP, b"", STOPPED, 0)
        self._waiting.clear()
        if reply is None:
            raise LinkLost(f"{self._where}: the current monitor does not answer")

    def close(self) -> None:
        """End the stream if the link still works, and release the port. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TacsError):
            # Not waited for: a monitor that streams on harms nobody.
            self._transport.write(encode(STOP, self._next_request()))
        self._transport.close()

    @property
    def _where(self) -> str:
        return self._transport.address

    def _ask(self, kind: int, payload: bytes, answer: int, n_answer: int) -> Frame | None:
        """Send a request, again where need be, and return its answer; stream frames are kept."""
        seq = self._next_request()
        for _ in range(_ATTEMPTS):
            self._transport.write(encode(kind, seq, payload))
            for _ in range(_ATTEMPTS):
                # Reading the size of the answer returns as soon as it is there.
                data = self._transport.read(frame_size(n_answer), _REPLY_TIMEOUT_S / _ATTEMPTS)
                self._waiting += self._reader.feed(data)
                self._listen()
                for frame in self._waiting:
                    if frame.kind == answer and frame.seq == seq:
                        self._waiting.remove(frame)
                        return frame
        return None

    def _next_request(self) -> int:
        self._requests += 1
        return self._requests

    def _listen(self) -> None:
        for _ in range(_CHUNKS_MAX):
            data = self._transport.read(_CHUNK, 0.0)
            if data:
                self._waiting += self._reader.feed(data)
            if len(data) < _CHUNK:
                return

    def _identity(self, frame: Frame) -> tuple[Any, ...]:
        if len(frame.payload) != _IDENTITY.size:
            raise ProtocolViolation(
                f"{self._where}: its identity has {len(frame.payload)} bytes; this version of the "
                f"protocol has {_IDENTITY.size}"
            )
        return _IDENTITY.unpack(frame.payload)

    def _nobody(self) -> str:
        if self._reader.other_version:
            return (
                f"{self._where}: a current monitor with another version of the protocol answers; "
                f"this suite speaks version 1"
            )
        return (
            f"{self._where}: no reference monitor answers; is it plugged in and switched on, and "
            f"is this its port?"
        )

    def _message(self, frame: Frame, now_s: float) -> Message | None:
        """What a frame says, or None where it is not of this stream or says nothing."""
        kind, seq, device_ms, payload = frame
        layout = self._layouts.get(kind)
        if layout is None:
            return None  # a late answer to a request
        if len(payload) != layout.size:
            self._malformed += 1
            return None
        nonce, *values = layout.unpack(payload)
        if kind == CURRENT:
            return self._measured(seq, device_ms, nonce, values, now_s)
        if kind == STATUS and nonce == 0:
            return self._restart(values, now_s)
        if not self._stream.admit(nonce, seq):
            return None
        if kind == STATUS:
            return _status(values, now_s)
        in_kohm = [_kohm(ohm) for ohm in values]
        return ContactFrame(now_s, dict(zip(self._names, in_kohm, strict=True)))

    def _measured(
        self, seq: int, device_ms: int, nonce: int, values: list[int], now_s: float
    ) -> CurrentFrame | None:
        mean_ma, peak_ma, rms_ma = {}, {}, {}
        place = 0
        for name in self._names:  # a hundred times a second, hence in one go
            mean_na, peak_na, rms_na = values[place : place + 3]
            limit_na = peak_na + 1  # 1 nA is left for rounding
            if not (-limit_na <= mean_na <= limit_na and 0 <= rms_na <= limit_na):
                self._malformed += 1
                return None
            mean_ma[name] = mean_na / _NA_PER_MA
            peak_ma[name] = peak_na / _NA_PER_MA
            rms_ma[name] = rms_na / _NA_PER_MA
            place += 3
        if not self._stream.admit(nonce, seq):
            return None
        return CurrentFrame(seq, device_ms / 1000.0, now_s, mean_ma, peak_ma, rms_ma)

    def _restart(self, values: list[int], now_s: float) -> MonitorStatus | None:
        """A restarted instrument says so once, without a nonce, because it has forgotten it."""
        status = _status(values, now_s)
        if self._boot_count is None or status.boot_count <= self._boot_count:
            self._stream.foreign += 1
            return None
        return status


def _fitting(inputs: Mapping[int, str]) -> dict[int, str]:
    """The inputs in ascending order, refused in one line where they cannot be."""
    if not inputs:
        raise InputError("a current monitor needs at least one input; see the rig's [monitor]")
    if (lowest := min(inputs)) < 1:
        raise InputError(f"input {lowest}: the inputs of a monitor are counted from 1")
    if len(set(inputs.values())) < len(inputs):
        raise InputError(f"an electrode is at two inputs of the monitor: {dict(inputs)}")
    return dict(sorted(inputs.items()))


def _layout(inputs: Mapping[int, str], n_inputs: int, fields: str) -> struct.Struct:
    """Nonce and the fields of the wired inputs; those of the others are passed over."""
    blank = f"{struct.calcsize('<' + fields)}x"
    each = (fields if number in inputs else blank for number in range(1, n_inputs + 1))
    return struct.Struct("<Q" + "".join(each))


def _status(values: list[int], now_s: float) -> MonitorStatus:
    permille, bits, boot_count = values
    named = [name for place, name in enumerate(FLAGS) if bits >> place & 1]
    unnamed = [f"bit_{place}" for place in range(len(FLAGS), 16) if bits >> place & 1]
    return MonitorStatus(now_s, permille / 1000.0, boot_count, (*named, *unnamed))


def _kohm(ohm: int) -> float:
    return math.inf if ohm == OPEN else ohm / _OHM_PER_KOHM


def _text(raw: bytes) -> str:
    """Characters up to the first zero byte; others than ASCII are shown as such."""
    return raw.split(b"\0", 1)[0].decode("ascii", errors="replace").strip()
