"""The NIC2 remote control: its codes, its limits, and the link that speaks it.

A command is one byte from 128 on. Its parameters, where it has any, are text, joined by ``;`` and
ended by a zero byte. NIC answers a question with one status byte (200 to 226), with one byte (the
number of channels) or with a line of text. It answers no other command: the state that follows has
to be asked for.

References
----------
MatNIC 4.07, function files by Neuroelectrics as published in public repositories (facts only), and
the operational notes of klabhub/neurostim, ``+stimuli/starstim.m``.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from devices.transport import Transport
from tacs.errors import DeviceNotFound, InputError, LinkLost, ProtocolViolation

__all__ = ["SILENT", "Command", "Nic2Link", "Op", "Status"]

CLIENT_VERSION: Final = "04.07"
REPLY_TIMEOUT_S: Final = 0.25
HELLO_TIMEOUT_S: Final = 2.0
QUIET_S: Final = 0.05
RESYNC_TRIES: Final = 20
LINE_MAX: Final = 1024
CHANNELS_MAX: Final = 32

AMPLITUDE_MAX_UA: Final = 2000
FREQUENCY_MAX_HZ: Final = 150
PHASE_MAX_DEG: Final = 359
TRANSITION_MIN_MS: Final = 100
TRANSITION_MAX_MS: Final = 10_000
SLOPE_MIN_UA_PER_MS: Final = 0.061


class Op(enum.IntEnum):
    """Commands."""

    QUERY_STATUS = 128
    QUERY_STATUS_PROTOCOL = 129
    READ_VERSION = 130
    VERSION = 131
    READ_CHANNELS = 132
    ENABLE_TRNS_FILTER = 133
    DISABLE_TRNS_FILTER = 134
    LOAD_PROTOCOL = 135
    UNLOAD_PROTOCOL = 136
    START_PROTOCOL = 137
    ABORT_PROTOCOL = 138
    PAUSE_PROTOCOL = 139
    CHECK_IMPEDANCE = 140
    CHECK_IMPEDANCE_ABORT = 141
    GET_IMPEDANCE = 142
    CONFIGURE_FILE = 143
    CONFIGURE_MARKERS = 144
    CONFIGURE_PATH_FILE = 145
    ONLINE_ATDCS = 146
    ONLINE_ATACS = 147
    ONLINE_FTACS = 148
    ONLINE_PTACS = 149
    ONLINE_TACS = 150
    ONLINE_ATRNS = 151
    ONLINE_ATDCS_PEAK = 152
    ONLINE_ATACS_PEAK = 153
    PULSE_ENABLE = 154
    PULSE_CONFIGURATION = 155
    PULSE_START = 156
    PULSE_QUERY_STATUS = 157
    IMPORT_PROTOCOL = 158
    READ_DEVICE_SETTINGS = 159


class Status(enum.IntEnum):
    """Status bytes."""

    REMOTE_ALLOWED = 200
    REMOTE_REJECTED = 201
    VERSION_RECEIVED = 202
    SYNCHRONIZING = 203
    IDLE = 204
    NOT_LOADED = 205
    LOADING = 206
    LOADED = 207
    RUNNING = 208
    ERROR = 209
    FINISHED = 210
    PAUSED = 211
    ABORTED = 212
    ABORTING = 213
    EEG_ON = 214
    EEG_OFF = 215
    STIM_RAMPUP = 216
    STIM_FULL = 217
    STIM_RAMPDOWN = 218
    STIM_FINISHED = 219
    WAITING_FOR_SECOND_SHAM = 220
    CHECK_IMPEDANCE = 221
    CHECK_IMPEDANCE_FINISHED = 222
    CHECK_IMPEDANCE_ABORTING = 223
    CHECK_IMPEDANCE_ABORTED = 224
    PULSE_DISABLED = 225
    PULSE_ENABLED = 226


# What the answer to QUERY_STATUS says when no protocol runs. The protocol's own status is not asked
# here: after an impedance check it goes on saying STIM_FULL although nothing flows.
SILENT: Final = frozenset(
    {
        Status.REMOTE_ALLOWED,
        Status.VERSION_RECEIVED,
        Status.IDLE,
        Status.NOT_LOADED,
        Status.LOADING,
        Status.LOADED,
        Status.ERROR,
        Status.FINISHED,
        Status.ABORTED,
        Status.CHECK_IMPEDANCE_FINISHED,
        Status.CHECK_IMPEDANCE_ABORTED,
    }
)
RUNNING: Final = frozenset({Status.RUNNING, Status.PAUSED, Status.ABORTING})


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it goes over the wire, in one write."""

    op: Op
    text: str | None = None

    def encode(self) -> bytes:
        """Return its bytes.

        Raises
        ------
        InputError
            The text is not plain, or holds a character that would end it.
        """
        if self.text is None:
            return bytes([self.op])
        if not (self.text.isascii() and self.text.isprintable()):
            raise InputError(
                f"NIC command {self.op.name}: {self.text!r} is no plain text; NIC's parameters are "
                f"printable ASCII"
            )
        return bytes([self.op]) + self.text.encode("ascii") + b"\0"


def amplitudes(values_ua: Sequence[int], transition_ms: int) -> Command:
    """Move the amplitudes of all channels, µA zero-to-peak, over a transition (147)."""
    _check("amplitude", values_ua, AMPLITUDE_MAX_UA, "µA")
    return Command(Op.ONLINE_ATACS, _joined(values_ua, (_transition(transition_ms),)))


def frequencies(values_hz: Sequence[int]) -> Command:
    """Set the frequencies of all channels at once (148)."""
    _check("frequency", values_hz, FREQUENCY_MAX_HZ, "Hz")
    return Command(Op.ONLINE_FTACS, _joined(values_hz))


def phases(values_deg: Sequence[int]) -> Command:
    """Set the phases of all channels at once (149)."""
    _check("phase", values_deg, PHASE_MAX_DEG, "°")
    return Command(Op.ONLINE_PTACS, _joined(values_deg))


def ramp_in(
    values_ua: Sequence[int],
    values_hz: Sequence[int],
    values_deg: Sequence[int],
    transition_ms: int,
) -> Command:
    """Set frequencies and phases at once and move the amplitudes (150).

    For ramping in from zero only: while current flows, the phases would jump before the amplitudes
    have moved, and the currents would not add up to nothing.
    """
    _check("amplitude", values_ua, AMPLITUDE_MAX_UA, "µA")
    _check("frequency", values_hz, FREQUENCY_MAX_HZ, "Hz")
    _check("phase", values_deg, PHASE_MAX_DEG, "°")
    if not len(values_ua) == len(values_hz) == len(values_deg):
        raise InputError("NIC needs amplitude, frequency and phase of every channel")
    transition = (_transition(transition_ms),)
    return Command(Op.ONLINE_TACS, _joined(values_ua, values_hz, values_deg, transition))


def read_impedances(line: str, n_channels: int) -> tuple[float, ...]:
    """Read the answer to GET_IMPEDANCE: one number for each channel.

    Parameters
    ----------
    line : str
        Numbers in Ω, separated by blanks, commas or semicolons.
    n_channels : int
        How many.

    Returns
    -------
    tuple of float
        Kiloohm; NaN where NIC measured nothing, which it says as 0 or as NaN.

    Raises
    ------
    ProtocolViolation
        Another number of values, or something that is no impedance.
    """
    words = line.replace(",", " ").replace(";", " ").split()
    try:
        ohms = [float(word) for word in words]
    except ValueError as exc:
        raise ProtocolViolation(f"NIC's impedances {line[:80]!r} are no numbers") from exc
    if len(ohms) != n_channels or any(ohm < 0.0 for ohm in ohms):
        raise ProtocolViolation(
            f"NIC's impedances {line[:80]!r} are not {n_channels} numbers of 0 or more"
        )
    return tuple(math.nan if math.isnan(ohm) or ohm == 0.0 else ohm / 1e3 for ohm in ohms)


def _check(what: str, values: Sequence[int], largest: int, unit: str) -> None:
    """Refuse what NIC does not take, and numbers that are not whole."""
    if not 1 <= len(values) <= CHANNELS_MAX:
        raise InputError(f"NIC: {len(values)} channels; it has 1 to {CHANNELS_MAX}")
    for channel, value in enumerate(values, start=1):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
            raise InputError(
                f"NIC channel {channel}: {what} {value!r} {unit} is no whole number from 0 to "
                f"{largest}"
            )


def _transition(transition_ms: int) -> int:
    whole = isinstance(transition_ms, int) and not isinstance(transition_ms, bool)
    if not (whole and TRANSITION_MIN_MS <= transition_ms <= TRANSITION_MAX_MS):
        raise InputError(
            f"NIC: a transition of {transition_ms!r} ms is no whole number from "
            f"{TRANSITION_MIN_MS} to {TRANSITION_MAX_MS}"
        )
    return transition_ms


def _joined(*parts: Sequence[int]) -> str:
    return ";".join(str(value) for part in parts for value in part)


class Nic2Link:
    """Questions and answers, one at a time, and the way back after a lost or stray answer.

    NIC never speaks unasked. What is there before a question is therefore an answer that came late
    or twice; after one, and after an answer that did not come, the link asks for the number of
    channels, which no status byte can be mistaken for, until that alone comes back.

    Parameters
    ----------
    transport : Transport
        To NIC's remote-control port.

    Attributes
    ----------
    n_channels : int
        As NIC said; 0 before.
    stray_bytes, resynchronisations : int
        How often that happened.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._in_step = True
        self.n_channels = 0
        self.stray_bytes = 0
        self.resynchronisations = 0

    @property
    def address(self) -> str:
        """Where NIC is."""
        return self._transport.address

    def send(self, *commands: Command) -> None:
        """Send commands that NIC does not answer, each in one write.

        Raises
        ------
        LinkLost
            The bytes could not be written.
        """
        for encoded in [command.encode() for command in commands]:
            self._transport.write(encoded)

    def send_text(self, text: str) -> None:
        """Send the parameter of a command that NIC wants apart from it."""
        self._transport.write(Command(Op.CHECK_IMPEDANCE, text).encode()[1:])

    def status(self) -> Status:
        """Ask for the state of NIC (128)."""
        return self._ask_status(Command(Op.QUERY_STATUS))

    def protocol_status(self) -> Status:
        """Ask for the state of the protocol (129)."""
        return self._ask_status(Command(Op.QUERY_STATUS_PROTOCOL))

    def hello(self) -> Status:
        """Say which client this is, and return the state that NIC answers with (131).

        Raises
        ------
        DeviceNotFound
            Nothing answers, or something that is no NIC.
        """
        self._transport.discard_input()
        self.send(Command(Op.VERSION, CLIENT_VERSION))
        heard = self._transport.read(1, HELLO_TIMEOUT_S) + self._transport.read(4096, 0.0)
        known = set(Status)
        if not heard or any(byte not in known for byte in heard):
            raise DeviceNotFound(
                f"{self.address}: no NIC answers ({heard[:16].hex(' ') or 'silence'}); is NIC2 "
                f"running with its remote control on, and is this its computer and port?"
            )
        return Status(heard[-1])

    def read_version(self) -> str:
        """Return the MatNIC version that NIC supports (130)."""
        return self._ask_line(Command(Op.READ_VERSION))

    def read_settings(self) -> tuple[str, str, str, str]:
        """Return firmware, network address, kind of link and device (159)."""
        line = self._ask_line(Command(Op.READ_DEVICE_SETTINGS))
        parts = line.split("\t")
        if len(parts) != 4:
            self._violated(f"answered {line[:80]!r} where four device settings are due")
        return parts[0], parts[1], parts[2], parts[3]

    def read_channels(self) -> int:
        """Return the number of channels (132), and know it from now on."""
        (count,) = self._ask(Command(Op.READ_CHANNELS))
        if not 1 <= count <= CHANNELS_MAX:
            self._violated(f"reports {count} channels; it can have 1 to {CHANNELS_MAX}")
        self.n_channels = count
        return count

    def read_impedances(self) -> tuple[float, ...]:
        """Return the impedance of every channel, kΩ (142); NaN where none was measured."""
        return read_impedances(self._ask_line(Command(Op.GET_IMPEDANCE)), self.n_channels)

    def pause(self, duration_s: float) -> None:
        """Let time pass; what arrives meanwhile is stray."""
        self._note_stray(self._transport.read(4096, duration_s))

    def close(self) -> None:
        """Close the connection. NIC plays on."""
        self._transport.close()

    def resynchronise(self) -> None:
        """Ask for the number of channels until it comes back alone.

        Raises
        ------
        LinkLost
            It does not.
        """
        self.resynchronisations += 1
        for _ in range(RESYNC_TRIES):
            self._note_stray(self._transport.read(4096, QUIET_S))
            self.send(Command(Op.READ_CHANNELS))
            heard = self._transport.read(1, REPLY_TIMEOUT_S)
            heard += self._transport.read(4096, QUIET_S)
            if heard == bytes([self.n_channels]):
                self._in_step = True
                return
            if not heard:
                break  # silence for so long is no answer that comes late
        raise LinkLost(f"{self.address}: NIC no longer answers, or its answers make no sense")

    def _note_stray(self, stray: bytes) -> None:
        if stray:
            self.stray_bytes += len(stray)
            self._in_step = False

    def _before_asking(self) -> None:
        self._note_stray(self._transport.read(4096, 0.0))
        if not self._in_step and self.n_channels:
            self.resynchronise()

    def _ask(self, command: Command) -> bytes:
        """Return the one byte that NIC answers with."""
        self._before_asking()
        self.send(command)
        answer = self._transport.read(1, REPLY_TIMEOUT_S)
        if not answer:
            self._silence(command)
        if more := self._transport.read(4096, 0.0):
            self._note_stray(more)
            if set(more) != set(answer):
                self._violated(
                    f"answered {command.op.name} with {(answer + more)[:16].hex(' ')}, where one "
                    f"byte is due"
                )
        return answer

    def _ask_status(self, command: Command) -> Status:
        (code,) = self._ask(command)
        try:
            return Status(code)
        except ValueError:
            self._violated(f"answered {command.op.name} with {code}, which is no status")

    def _ask_line(self, command: Command) -> str:
        """Return the line that NIC answers with, without its end."""
        self._before_asking()
        self.send(command)
        line = b""
        while not line.endswith(b"\n"):
            byte = self._transport.read(1, REPLY_TIMEOUT_S)
            if not byte:
                self._silence(command)
            line += byte
            if len(line) > LINE_MAX:
                self._violated(f"answered {command.op.name} with a line without end")
        text = line.decode("latin-1").rstrip("\r\n")
        if not (text.isascii() and text.replace("\t", "").isprintable()):
            self._violated(f"answered {command.op.name} with {text[:40]!r}, which is no plain text")
        return text

    def _silence(self, command: Command) -> NoReturn:
        self._in_step = False
        raise LinkLost(
            f"{self.address}: NIC did not answer {command.op.name} within {REPLY_TIMEOUT_S:g} s"
        )

    def _violated(self, what: str) -> NoReturn:
        self._in_step = False
        raise ProtocolViolation(f"{self.address}: NIC {what}")
