"""The emulated Synth Pal's firmware, from its published protocol and from nothing of the driver.

Op codes and layouts are written down here a second time, on purpose: a slip in the driver's table
then shows as a disagreement instead of being repeated.

References
----------
Sanworks, Synth Pal serial protocol, firmware v1, ``Firmware/SynthPal/PROTOCOL.md`` of
github.com/sanworks/PulsePal.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.emulators.monitor_probe import ChannelSource
from devices.emulators.replies import Replies
from devices.emulators.synthpal_channel import Channel, ChannelSettings

__all__ = ["Firmware"]

START = 213
N_CHANNELS = 4
FREQUENCY_MIN, FREQUENCY_MAX = 100, 2_000_000  # centihertz
DEFAULT_FREQUENCY = 10_000
GAP_S = 0.1
PARAM_SYNC, GATED, TOGGLE = 3, 2, 1
ALL_SETTINGS = struct.Struct("<I4B4i4i4i4I4I4I8B2B")


class Firmware:
    """Bytes in, bytes out, and four outputs; it is told the time.

    Parameters
    ----------
    now_s : float
        Clock time of power-on.
    """

    def __init__(self, now_s: float) -> None:
        self.letter = ord("S")
        self.version = 1
        self._replies = Replies()
        self.faults = self._replies.faults
        self.first_start_s: float | None = None
        self.screen = ""
        self.locked = False
        self._now_s = now_s
        self._buffer = bytearray()
        self._last_byte_s = now_s
        self._frequency = DEFAULT_FREQUENCY
        self._trigger_modes = (0, 0)
        self._trigger_high = [False, False]
        self._stored: tuple[int, tuple[ChannelSettings, ...], tuple[int, int]] | None = None
        self._screen_saver = (0, 1)
        self.channels = [
            Channel(DEFAULT_FREQUENCY / 100, self._samples_per_cycle, now_s)
            for _ in range(N_CHANNELS)
        ]
        self.sources = [ChannelSource(channel) for channel in self.channels]
        # Op code to payload length and handler: settings answer 1 or 0, the others bytes or none.
        self._settings_ops: dict[int, tuple[int, Callable[[bytes], bool]]] = {
            70: (4, self._set_frequency),
            87: (4, lambda p: self._set("waveform", p)),
            65: (16, lambda p: self._set("amplitude_uv", struct.unpack("<4i", p))),
            77: (16, lambda p: self._set("mean_uv", struct.unpack("<4i", p))),
            86: (16, lambda p: self._set("resting_uv", struct.unpack("<4i", p))),
            68: (16, lambda p: self._set("play_us", struct.unpack("<4I", p))),
            66: (16, lambda p: self._set("on_ramp_us", struct.unpack("<4I", p))),
            69: (16, lambda p: self._set("off_ramp_us", struct.unpack("<4I", p))),
            84: (2, self._set_trigger_modes),
            73: (8, lambda p: self._set("links", list(zip(p[:4], p[4:], strict=True)))),
            85: (ALL_SETTINGS.size, self._set_all),
            99: (3, self._set_screen_saver),
        }
        self._other_ops: dict[int, tuple[int, Callable[[bytes], bytes]]] = {
            72: (0, lambda p: struct.pack("<BI", self.letter, self.version)),
            78: (0, self._info),
            82: (0, lambda p: self._read_settings()),
            80: (1, self._trigger),
            88: (1, self._stop),
            71: (0, self._status),
            89: (6, self._name),
            81: (0, self._goodbye),
            90: (0, self._checksums),
        }

    @property
    def playing(self) -> bool:
        """Whether any output plays."""
        return any(channel.playing for channel in self.channels)

    def drive(self, number: int, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the voltage of an output, counted from 1, at many instants."""
        return self.channels[number - 1].volts(times_s)

    def silent_at_s(self) -> float:
        """Return when the outputs come to rest if no command comes; infinite where they do not."""
        due_s = [c.next_change_s for c in self.channels if c.playing]
        return max(due_s, default=-math.inf)

    def stick(self) -> None:
        """Have what plays play on, whatever is commanded."""
        for channel in self.channels:
            channel.stuck = channel.playing

    def forget(self, seen_s: float) -> None:
        """Drop what both instruments have seen."""
        for channel in self.channels:
            channel.forget(seen_s)

    def advance(self, now_s: float) -> None:
        """Let time pass: ramps, ends of playing, and the gap that no command may have."""
        gap_s = self._last_byte_s + GAP_S
        if self._buffer and now_s > gap_s:
            self._pass_to(gap_s)
            self.fail()
        self._pass_to(now_s)

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host and carry out the commands that are complete."""
        self.advance(now_s)
        if self.locked:
            return
        self._buffer += data
        self._last_byte_s = now_s
        while (command := self._next_command()) is not None:
            self._execute(*command)

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""
        return self._replies.take(now_s)

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due."""
        return self._replies.next_due_s()

    def fail(self) -> None:
        """Stop every output and wait for a click: COMM. FAILURE."""
        self._stop(b"\x0f")
        self._buffer.clear()
        self.locked = True
        self.screen = "COMM. FAILURE!"

    def click(self, now_s: float) -> None:
        """Click the joystick: a locked device loads its defaults, a free one stops."""
        self.advance(now_s)
        if self.locked:
            self.locked = False
            self._load_defaults()
        else:
            self._stop(b"\x0f")

    def reboot(self, now_s: float) -> None:
        """Lose power and come back: outputs at rest at once, defaults, nothing said."""
        self.advance(now_s)
        for channel in self.channels:
            channel.cut(now_s)
        self._buffer.clear()
        self._replies.clear()
        self.locked = False
        self._load_defaults()

    def ttl(self, trigger: int, high: bool, now_s: float) -> None:
        """Set the level at trigger input 1 or 2."""
        self.advance(now_s)
        index = trigger - 1
        rising = high and not self._trigger_high[index]
        falling = not high and self._trigger_high[index]
        self._trigger_high[index] = high
        mode = self._trigger_modes[index]
        if mode == PARAM_SYNC:
            if rising:
                self._load_stored()
            return
        linked = [c for c in self.channels if c.settings.links[index]]
        if rising:
            for channel in linked:
                if mode == TOGGLE and channel.stage.value in ("rising", "holding"):
                    channel.stop(self._now_s)
                else:
                    self._start(channel)
        if falling and mode == GATED:
            other = 1 - index
            held_by_other = self._trigger_high[other] and self._trigger_modes[other] == GATED
            for channel in linked:
                if not (held_by_other and channel.settings.links[other]):
                    channel.stop(self._now_s)

    @property
    def _samples_per_cycle(self) -> int:
        """Largest multiple of 4 whose sampling rate is at most 100 kHz."""
        return 4 * (2_500_000 // self._frequency)

    def _pass_to(self, now_s: float) -> None:
        for channel in self.channels:
            channel.advance(now_s)
        self._now_s = max(self._now_s, now_s)

    def _next_command(self) -> tuple[int, bytes] | None:
        """Take one complete command off the buffer; bytes before a 213 are ignored."""
        while True:
            start = self._buffer.find(START)
            if start < 0:
                self._buffer.clear()
                return None
            del self._buffer[:start]
            if len(self._buffer) < 2:
                return None
            op = self._buffer[1]
            entry = self._settings_ops.get(op) or self._other_ops.get(op)
            if entry is None:
                del self._buffer[:2]
                continue
            end = 2 + entry[0]
            if len(self._buffer) < end:
                return None
            payload = bytes(self._buffer[2:end])
            del self._buffer[:end]
            return op, payload

    def _execute(self, op: int, payload: bytes) -> None:
        if op in self._settings_ops:
            if self.faults.refuse:
                self.faults.refuse -= 1
                done = False
            else:
                done = self._settings_ops[op][1](payload)
            reply = bytes([done])
            if op == 70:
                reply += struct.pack("<I", self._samples_per_cycle)
        else:
            reply = self._other_ops[op][1](payload)
        if reply:
            self._replies.send(reply, self._now_s)

    def _set(self, field: str, values: Sequence[Any]) -> bool:
        """Set one field of the four outputs, or of none."""
        wanted = tuple(
            replace(channel.settings, **{field: value})
            for channel, value in zip(self.channels, values, strict=True)
        )
        if not all(settings.valid for settings in wanted):
            return False
        for channel, settings in zip(self.channels, wanted, strict=True):
            channel.apply(settings, self._now_s)
        self._pass_to(self._now_s)
        return True

    def _set_frequency(self, payload: bytes) -> bool:
        (frequency,) = struct.unpack("<I", payload)
        if not FREQUENCY_MIN <= frequency <= FREQUENCY_MAX:
            return False
        self._tune(frequency)
        return True

    def _tune(self, frequency: int) -> None:
        self._frequency = frequency
        for channel in self.channels:
            channel.retune(frequency / 100, self._samples_per_cycle, self._now_s)

    def _set_trigger_modes(self, payload: bytes) -> bool:
        modes = (payload[0], payload[1])
        if max(modes) > PARAM_SYNC:
            return False
        self._trigger_modes = modes
        if PARAM_SYNC not in modes:
            self._stored = None
        return True

    def _set_all(self, payload: bytes) -> bool:
        """Everything at once: applied, or stored for an edge in param sync mode."""
        values = ALL_SETTINGS.unpack(payload)
        frequency, links, modes = values[0], values[29:37], (values[37], values[38])
        columns = [values[1 + k : 29 : N_CHANNELS] for k in range(N_CHANNELS)]
        settings = tuple(
            ChannelSettings(c[0], c[1], c[2], c[3], c[4], c[5], c[6], (links[k], links[4 + k]))
            for k, c in enumerate(columns)
        )
        if not (
            FREQUENCY_MIN <= frequency <= FREQUENCY_MAX
            and max(modes) <= PARAM_SYNC
            and all(s.valid for s in settings)
        ):
            return False
        if PARAM_SYNC in self._trigger_modes:
            self._stored = (frequency, settings, modes)
            return True
        self._tune(frequency)
        for channel, new in zip(self.channels, settings, strict=True):
            channel.apply(new, self._now_s)
        self._trigger_modes = modes
        self._pass_to(self._now_s)
        return True

    def _load_stored(self) -> None:
        """Param sync: outputs at rest take the stored set at once, the others on coming to rest."""
        if self._stored is None:
            return
        frequency, settings, modes = self._stored
        self._stored = None
        self._tune(frequency)
        for channel, new in zip(self.channels, settings, strict=True):
            channel.defer(new, self._now_s)
        self._trigger_modes = modes

    def _read_settings(self) -> bytes:
        held = [channel.settings for channel in self.channels]
        fields = ("waveform", "amplitude_uv", "mean_uv", "resting_uv")
        times = ("play_us", "on_ramp_us", "off_ramp_us")
        return ALL_SETTINGS.pack(
            self._frequency,
            *(getattr(s, field) for field in fields + times for s in held),
            *(s.links[trigger] for trigger in range(2) for s in held),
            *self._trigger_modes,
        )

    def _set_screen_saver(self, payload: bytes) -> bool:
        on, timeout_s = struct.unpack("<BH", payload)
        if on > 1 or timeout_s == 0:
            return False
        self._screen_saver = (on, timeout_s)
        return True

    def _info(self, payload: bytes) -> bytes:
        return struct.pack(
            "<BBIIIII",
            3,
            N_CHANNELS,
            FREQUENCY_MIN,
            FREQUENCY_MAX,
            100_000,
            24_000_000,
            3_600_000_000,
        )

    def _trigger(self, payload: bytes) -> bytes:
        for index, channel in enumerate(self.channels):
            if payload[0] >> index & 1:
                self._start(channel)
        return b""

    def _start(self, channel: Channel) -> None:
        channel.start(self._now_s)
        if self.first_start_s is None:
            self.first_start_s = self._now_s

    def _stop(self, payload: bytes) -> bytes:
        for index, channel in enumerate(self.channels):
            if payload[0] >> index & 1:
                channel.stop(self._now_s)
        return b""

    def _status(self, payload: bytes) -> bytes:
        mask = sum(channel.playing << index for index, channel in enumerate(self.channels))
        ranges = (channel.settings.output_range for channel in self.channels)
        longest_ns = 7_070 if mask else 0
        return struct.pack("<BI4BII", mask, self._samples_per_cycle, *ranges, longest_ns, 0)

    def _name(self, payload: bytes) -> bytes:
        self.screen = payload.decode("latin-1") + " Connected"
        return b""

    def _goodbye(self, payload: bytes) -> bytes:
        self.screen = "Synth Pal v3.0"
        return self._stop(b"\x0f")

    def _checksums(self, payload: bytes) -> bytes:
        sums = [channel.checksum(self._now_s) for channel in self.channels]
        counts = (count % 2**32 for count, _ in sums)
        return struct.pack("<4I4I", *counts, *(total for _, total in sums))

    def _load_defaults(self) -> None:
        self._tune(DEFAULT_FREQUENCY)
        for channel in self.channels:
            channel.pending = None
            channel.apply(ChannelSettings(), self._now_s)
        self._trigger_modes = (0, 0)
        self._stored = None
        self.screen = "Synth Pal v3.0"
        self._pass_to(self._now_s)
