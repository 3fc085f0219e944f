"""The Synth Pal serial protocol, version 1: every command, and the link that speaks it.

Every command is 213, an op code and a payload, little-endian; times are microseconds, voltages
microvolts, frequencies hundredths of a hertz. A command goes out in one write, because a gap of
more than 100 ms inside one stops the device and locks it until somebody clicks its joystick.

References
----------
Sanworks, Synth Pal serial protocol, firmware v1, ``Firmware/SynthPal/PROTOCOL.md`` of
github.com/sanworks/PulsePal. Op 82 is on the later pages of v1 only.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from devices.transport import Transport
from tacs.errors import (
    DeviceNotFound,
    DeviceRefused,
    InputError,
    LinkLost,
    ProtocolViolation,
    UncertainDelivery,
)

__all__ = ["COMMANDS", "Command", "SynthPalLink"]

START: Final = 213
N_CHANNELS: Final = 4
ALL_CHANNELS: Final = 0b1111
REPLY_TIMEOUT_S: Final = 0.25
QUIET_S: Final = 0.05
HANDSHAKE_TIMEOUT_S: Final = 1.0
LOCKED: Final = (
    'if its screen shows "COMM. FAILURE!", click the joystick: the device then holds its defaults '
    "and must be connected anew"
)
FIRMWARES: Final = {ord("K"): "Pulse Pal", ord("W"): "Wave Pal", ord("S"): "Synth Pal"}


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the protocol.

    Parameters
    ----------
    name : str
        As on the protocol page.
    op : int
        Op code.
    payload, reply : str
        Layouts as :mod:`struct` writes them, without the byte order.
    confirmed : bool
        Whether the reply begins with 1 for done or 0 for refused.
    """

    name: str
    op: int
    payload: str = ""
    reply: str = ""
    confirmed: bool = False

    @property
    def reply_size(self) -> int:
        """Bytes of the reply."""
        return struct.calcsize(f"<{self.reply}")

    def encode(self, *values: int | bytes) -> bytes:
        """Return the bytes of the command.

        Raises
        ------
        InputError
            A value does not fit its field.
        """
        try:
            return struct.pack(f"<BB{self.payload}", START, self.op, *values)
        except struct.error as exc:
            raise InputError(f"Synth Pal command {self.name!r}: {exc}; got {values}") from exc

    def decode(self, reply: bytes) -> tuple[int, ...]:
        """Return the fields of a reply of the right size."""
        return struct.unpack(f"<{self.reply}", reply)


# fmt: off
HANDSHAKE         = Command("handshake", 72, "", "BI")
INFO              = Command("hardware info", 78, "", "BBIIIII")
FREQUENCY         = Command("set frequency", 70, "I", "BI", True)
WAVEFORMS         = Command("set waveforms", 87, "4B", "B", True)
AMPLITUDES        = Command("set amplitudes", 65, "4i", "B", True)
MEANS             = Command("set mean voltages", 77, "4i", "B", True)
RESTINGS          = Command("set resting voltages", 86, "4i", "B", True)
PLAY_DURATIONS    = Command("set play durations", 68, "4I", "B", True)
ON_RAMPS          = Command("set on-ramps", 66, "4I", "B", True)
OFF_RAMPS         = Command("set off-ramps", 69, "4I", "B", True)
TRIGGER_MODES     = Command("set trigger modes", 84, "2B", "B", True)
TRIGGER_LINKS     = Command("set trigger links", 73, "8B", "B", True)
ALL_SETTINGS      = Command("set all settings", 85, "I4B4i4i4i4I4I4I8B2B", "B", True)
READ_SETTINGS     = Command("get all settings", 82, "", "I4B4i4i4i4I4I4I8B2B")
TRIGGER           = Command("soft trigger", 80, "B")
STOP              = Command("stop", 88, "B")
STATUS            = Command("get status", 71, "", "BI4BII")
CLIENT_NAME       = Command("set client name", 89, "6s")
DISCONNECT        = Command("disconnect", 81)
SCREEN_SAVER      = Command("set screen saver", 99, "BH", "B", True)
CHECKSUMS         = Command("playback checksums", 90, "", "4I4I")
# fmt: on

COMMANDS: Final = (
    HANDSHAKE,
    INFO,
    FREQUENCY,
    WAVEFORMS,
    AMPLITUDES,
    MEANS,
    RESTINGS,
    PLAY_DURATIONS,
    ON_RAMPS,
    OFF_RAMPS,
    TRIGGER_MODES,
    TRIGGER_LINKS,
    ALL_SETTINGS,
    READ_SETTINGS,
    TRIGGER,
    STOP,
    STATUS,
    CLIENT_NAME,
    DISCONNECT,
    SCREEN_SAVER,
    CHECKSUMS,
)


class SynthPalLink:
    """Questions and answers, one at a time, and the way back after a lost or stray reply.

    The device never speaks unasked. A byte that is there before a question is therefore a reply
    that came late or twice; after one, and after a reply that did not come, the link shakes hands
    again before it trusts another answer.

    Parameters
    ----------
    transport : Transport
        To the device.

    Attributes
    ----------
    stray_bytes, resynchronisations : int
        How often that happened.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._in_step = True
        self.stray_bytes = 0
        self.resynchronisations = 0

    @property
    def address(self) -> str:
        """Where the device is."""
        return self._transport.address

    def ask(self, command: Command, *values: int | bytes) -> tuple[int, ...]:
        """Send a command and return the fields of its reply.

        Raises
        ------
        DeviceRefused
            Answered 0: nothing changed in the device.
        UncertainDelivery
            A command that changes something was not answered.
        ProtocolViolation
            Answered neither 0 nor 1.
        LinkLost
            The port is gone, or a question was not answered.
        """
        if stray := self._transport.read(4096, 0.0):
            self.stray_bytes += len(stray)
            self._in_step = False
        if not self._in_step:
            self.resynchronise()
        self._transport.write(command.encode(*values))
        reply = self._transport.read(command.reply_size, REPLY_TIMEOUT_S) if command.reply else b""
        if len(reply) < command.reply_size:
            self._in_step = False
            silence = (
                f"{self.address}: no full answer to {command.name!r} within {REPLY_TIMEOUT_S:g} s "
                f"({len(reply)} of {command.reply_size} bytes); {LOCKED}"
            )
            raise UncertainDelivery(silence) if command.confirmed else LinkLost(silence)
        fields = command.decode(reply)
        if command.confirmed and fields[0] != 1:
            if fields[0] == 0:
                raise DeviceRefused(f"{self.address}: refused {command.name!r} with {values}")
            self._in_step = False
            raise ProtocolViolation(
                f"{self.address}: answered {fields[0]} to {command.name!r}, where only 0 and 1 are "
                f"defined; whether it was carried out is unknown"
            )
        return fields

    def send_unanswered(self, data: bytes, replies: int) -> None:
        """Write at once, whatever is waiting; then clear the replies that do come.

        Parameters
        ----------
        data : bytes
            Whole commands.
        replies : int
            Bytes that the device answers them with; they are not needed.

        Raises
        ------
        LinkLost
            The bytes could not be written.
        """
        self._transport.write(data)
        try:
            answer = self._transport.read(replies, QUIET_S) + self._transport.read(4096, 0.0)
        except LinkLost:
            answer = b""  # what was written may still arrive; the next command says the rest
        if len(answer) != replies:
            self._in_step = False

    def handshake(self) -> tuple[int, int]:
        """Return the firmware's letter and version, whatever was on the line before.

        Raises
        ------
        DeviceNotFound
            Nothing answers.
        """
        self._transport.discard_input()
        self._transport.write(HANDSHAKE.encode())
        heard = b""
        for _ in range(round(HANDSHAKE_TIMEOUT_S / QUIET_S)):
            more = self._transport.read(4096, QUIET_S)
            heard += more
            # An answer to an earlier command may come first: the last bytes are the handshake's.
            if not more and len(heard) >= HANDSHAKE.reply_size:
                break
        if len(heard) < HANDSHAKE.reply_size:
            raise DeviceNotFound(
                f"{self.address}: no Synth Pal answers; is it plugged in and switched on, and is "
                f"this its port? {LOCKED}"
            )
        self._in_step = True
        letter, version = HANDSHAKE.decode(heard[-HANDSHAKE.reply_size :])
        return letter, version

    def resynchronise(self) -> None:
        """Discard what is on the line and shake hands again.

        Raises
        ------
        LinkLost
            The device does not answer as before.
        """
        self.resynchronisations += 1
        try:
            letter, _ = self.handshake()
        except DeviceNotFound as exc:
            raise LinkLost(f"{self.address}: the device no longer answers; {LOCKED}") from exc
        if letter != ord("S"):
            self._in_step = False
            raise LinkLost(f"{self.address}: the answers make no sense any more; {LOCKED}")

    def pause(self, duration_s: float) -> None:
        """Let time pass; what arrives meanwhile is stray."""
        stray = self._transport.read(4096, duration_s)
        if stray:
            self.stray_bytes += len(stray)
            self._in_step = False

    def close(self) -> None:
        """Release the port."""
        self._transport.close()

    # Every command of the protocol, by name. Sequences have one value per output, 1 to 4.

    def info(self) -> tuple[int, ...]:
        """Return hardware version, outputs, limits of frequency, rate, clock and duration."""
        return self.ask(INFO)

    def set_frequency(self, frequency_centihz: int) -> int:
        """Set the frequency of all outputs; return the samples per cycle."""
        return self.ask(FREQUENCY, frequency_centihz)[1]

    def set_waveforms(self, codes: Sequence[int]) -> None:
        """Set the waveforms: 0 sine, 1 triangle, 2 square, 3 sawtooth, 4 fixed voltage."""
        self.ask(WAVEFORMS, *codes)

    def set_amplitudes(self, amplitudes_uv_pp: Sequence[int]) -> None:
        """Set the amplitudes, microvolts peak-to-peak."""
        self.ask(AMPLITUDES, *amplitudes_uv_pp)

    def set_means(self, means_uv: Sequence[int]) -> None:
        """Set the mean voltages, microvolts."""
        self.ask(MEANS, *means_uv)

    def set_restings(self, restings_uv: Sequence[int]) -> None:
        """Set the voltages at rest, microvolts."""
        self.ask(RESTINGS, *restings_uv)

    def set_play_durations(self, durations_us: Sequence[int]) -> None:
        """Set the times at full amplitude, microseconds; 0 plays until stopped."""
        self.ask(PLAY_DURATIONS, *durations_us)

    def set_on_ramps(self, durations_us: Sequence[int]) -> None:
        """Set the ramps at the start, microseconds."""
        self.ask(ON_RAMPS, *durations_us)

    def set_off_ramps(self, durations_us: Sequence[int]) -> None:
        """Set the ramps at the end, microseconds."""
        self.ask(OFF_RAMPS, *durations_us)

    def set_trigger_modes(self, modes: Sequence[int]) -> None:
        """Set the two trigger inputs: 0 normal, 1 toggle, 2 gated, 3 param sync."""
        self.ask(TRIGGER_MODES, *modes)

    def set_trigger_links(self, links: Sequence[int]) -> None:
        """Link trigger input 1 to outputs 1 to 4, then input 2: eight values, 0 or 1."""
        self.ask(TRIGGER_LINKS, *links)

    def set_all(self, settings: Sequence[int]) -> None:
        """Set everything at once, 39 values in the order of the protocol page."""
        self.ask(ALL_SETTINGS, *settings)

    def read_settings(self) -> tuple[int, ...]:
        """Return everything, in the order of :meth:`set_all`; later builds of firmware v1 only."""
        return self.ask(READ_SETTINGS)

    def trigger(self, mask: int) -> None:
        """Start idle outputs; bit 0 is output 1."""
        self.ask(TRIGGER, mask)

    def stop(self, mask: int) -> None:
        """Stop outputs over their off-ramps."""
        self.ask(STOP, mask)

    def status(self) -> tuple[int, ...]:
        """Return playing mask, samples per cycle, four ranges, longest interrupt, late updates."""
        return self.ask(STATUS)

    def set_client_name(self, name: str) -> None:
        """Show a name of up to six characters on the device's screen."""
        self.ask(CLIENT_NAME, name.encode("ascii").ljust(6)[:6])

    def disconnect(self) -> None:
        """Say goodbye: the device stops over its off-ramps and keeps its settings."""
        self.ask(DISCONNECT)

    def set_screen_saver(self, on: bool, timeout_s: int) -> None:
        """Set the screen saver, 1 to 65535 s."""
        self.ask(SCREEN_SAVER, int(on), timeout_s)

    def checksums(self) -> tuple[int, ...]:
        """Return samples played by the four outputs, then the sums of their codes."""
        return self.ask(CHECKSUMS)
