"""The emulated StimJim's firmware, from the published protocol and from nothing of the driver.

It reads lines, holds slots, plays sine trains on two engines, and measures at their peaks what the
load makes of them. It can also stand in for the stock firmware, which is to be refused.

References
----------
tncslab, stimjimAWG serial protocol reference (commit 48322de), sections 1, 3, 4 and 5; stock
firmware: ``stimjimPulser.ino`` of github.com/open-ephys/stimjim.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from devices.emulators.replies import Replies
from devices.emulators.stimjim_output import MA_PER_STEP, CurrentOutput, Piece, steps_of
from devices.emulators.stimjim_slots import EMPTY, N_SLOTS, Objection, Slot

__all__ = ["Firmware"]

LINE_MAX = 999
START_LATENCY_S = 60e-6
SETTLE_S = 9e-6
UA_PER_STEP, MV_PER_STEP, ADC_STEPS = 0.85, 2.44, 4096
GROUNDED = 3
MARKER = (3, -1, -1, 0)
BUSY = "slot is attached to a running train — stop first (T-1 / U-1)"
COMPLIANCE_MV, LOAD_KOHM = 13_700.0, 10.0
OFFSETS = (
    "ADC offsets (+-2.5V): 12.000000, -8.000000\r\nADC offsets (+-10V): 3.000000, -2.000000\r\n"
    "current offsets: 0, 0\r\nvoltage offsets: 0, 0\r\n\r\n"
)
BANNER = (
    f"Booting StimJim on Teensy 3.5!\r\nInitializing inputs...\r\n{OFFSETS}Ready to go!\n\n\r\n"
)


@dataclass(slots=True)
class Running:
    """A train under way on one engine."""

    index: int
    slot: Slot
    start_s: float
    end_s: float
    points: list[tuple[float, int]]
    measured: dict[int, str] = field(default_factory=dict)

    @property
    def next_s(self) -> float:
        """When the next thing happens."""
        return self.points[0][0] if self.points else self.end_s


def resistor(channel: int, current_ma: float, time_s: float) -> tuple[float, float]:
    """Voltage and current at a load of 10 kΩ, mV and µA, within the compliance."""
    limit_ua = COMPLIANCE_MV / LOAD_KOHM
    current_ua = min(max(1000.0 * current_ma, -limit_ua), limit_ua)
    return current_ua * LOAD_KOHM, current_ua


class Firmware:
    """Bytes in, bytes out, and two outputs; it is told the time.

    Parameters
    ----------
    now_s : float
        Clock time of power-on.

    Attributes
    ----------
    load : callable
        Channel from 0, milliampere and clock time to millivolts and microampere at its terminals.
    protocol : int
        That it says it speaks.
    stock, banner : bool
        Whether it is the stock firmware, and whether that restarts when its port is opened.
    ratio : float
        Its own clock's rate against true time.
    """

    def __init__(self, now_s: float) -> None:
        self._replies = Replies(ascii_garbage=True)
        self.faults = self._replies.faults
        self.first_start_s: float | None = None
        self.load: Callable[[int, float, float], tuple[float, float]] = resistor
        self.protocol = 1
        self.version = "0.8.0"
        self.stock = self.banner = self.stuck = False
        self.ratio = 1.0
        self.drop_starts = 0
        self.alter = 0
        self.chatter = 0
        self._now_s = now_s
        self._buffer = b""
        self._n_complete = 0
        self.outputs = [CurrentOutput(now_s) for _ in range(2)]
        self.sources = self.outputs
        self._reset()
        self._commands: dict[str, Callable[[str], str]] = {
            "IDN": self._identity,
            "STAT": self._state,
            "W": lambda args: self._train("W", args),
            "S": lambda args: self._train("S", args),
            "MEAS": self._measure,
            "TRIG": self._route,
            "M": self._mode,
            "A": self._constant,
            "READ": self._read,
            "T": lambda args: self._start("T", args),
            "U": lambda args: self._start("U", args),
            "D": lambda args: OFFSETS + "OK\r\n",
            "HELP": lambda args: (
                "# stimjimAWG commands — details: docs/serial-protocol.md\r\nOK\r\n"
            ),
            "DUMP": self._dump,
        }

    def _reset(self) -> None:
        self.slots = [EMPTY] * N_SLOTS
        self.routes = [MARKER, MARKER]
        self._modes = [GROUNDED, GROUNDED]
        self._constants = [0, 0]
        self._engines: list[Running | None] = [None, None]

    @property
    def playing(self) -> bool:
        """Whether a train plays, or a current is set to flow."""
        return any(self._engines) or any(output.loud for output in self.outputs)

    def drive(self, number: int, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the current of an output, counted from 1, at many instants, mA."""
        return self.outputs[number - 1].values(times_s)

    def silent_at_s(self) -> float:
        """Return when the outputs come to rest if no command comes; infinite if they do not."""
        running = [engine for engine in self._engines if engine is not None]
        if self.stuck or (not running and self.playing):
            return math.inf
        return max((engine.end_s for engine in running), default=-math.inf)

    def stick(self) -> None:
        """Have what plays play on, whatever is commanded."""
        self.stuck = any(self._engines)
        for output in self.outputs:
            if output.loud:
                output.stick(self._now_s)

    def forget(self, seen_s: float) -> None:
        """Drop what both instruments have seen."""
        for output in self.outputs:
            output.forget(seen_s)

    def advance(self, now_s: float) -> None:
        """Let time pass: peaks are measured, trains end."""
        while True:
            due = [(e.next_s, i) for i, e in enumerate(self._engines) if e is not None]
            if self.stuck or not due or min(due)[0] > now_s:
                break
            due_s, number = min(due)
            self._now_s = max(self._now_s, due_s)
            self._happen(number)
        self._now_s = max(self._now_s, now_s)

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host and carry out the lines that are complete."""
        self.advance(now_s)
        if self.banner:
            self.banner = False
            self._say(BANNER)
        self._buffer += data
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            if len(line) > LINE_MAX:
                self._say(f"ERR line too long (max {LINE_MAX})\n")
                continue
            text = line.rstrip(b"\r ").decode("latin-1")
            if text and not text.startswith("#"):
                self._carry_out(text)

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""
        return self._replies.take(now_s)

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due."""
        return self._replies.next_due_s()

    def click(self, now_s: float) -> None:
        """Press the button that fires the route of trigger input 0."""
        self.edge(0, now_s)

    def edge(self, trigger: int, now_s: float) -> None:
        """Have an edge come in at a trigger input, 0 or 1."""
        self.advance(now_s)
        mode, slot0, slot1, _ = self.routes[trigger]
        for number, index in enumerate((slot0, slot1) if mode == 2 else (slot0,)):
            if mode in (1, 2) and index >= 0 and (refusal := self._begin(number, index)):
                self._say(f"WARN TRIG: {refusal}\n")

    def reboot(self, now_s: float) -> None:
        """Lose power and come back: outputs at rest at once, slots empty, nothing said."""
        self.advance(now_s)
        for output in self.outputs:
            output.silence(now_s)
        self._buffer = b""
        self._replies.clear()
        self._reset()

    def tell(self, text: str) -> None:
        """Say something unasked."""
        self._say(text)

    # -- lines ----------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self._replies.send(text.encode(), self._now_s)

    def _carry_out(self, line: str) -> None:
        """Carry out one line and answer it."""
        if self.stock:
            self._as_stock(line)
            return
        found = re.match(r"[A-Za-z]+", line)
        if found is None:
            self._say("ERR parse: expected command word\n")
            return
        word, args = found.group(), line[found.end() :]
        if self.chatter:
            self.chatter -= 1
            self._say("# engine: 1 event(s) were already due when the player reached them\n")
            self._say("WARN engine: 1 latch(es) overran their deadline by up to 900 ns\n")
            self._say("MDATA,7,0,90,1.0,2.0,,\n")
        command = self._commands.get(word)
        if command is None:
            self._say(f"ERR {word}: unknown command\n")
            return
        setter = word in ("W", "S", "MEAS", "TRIG", "M") and not line.endswith("?")
        if setter and self.faults.refuse:
            self.faults.refuse -= 1
            self._say(f"ERR {word}: refused\n")
            return
        try:
            self._say(command(args))
        except Objection as exc:
            self._say(f"ERR {word}: {exc}\n")

    def _as_stock(self, line: str) -> None:
        """Answer as the stock firmware: by the first letter, and not at all to the others."""
        if line[0] == "D":
            self._say(OFFSETS)
        elif line[0] == "M":
            numbers = [int(n) for n in re.findall(r"-?\d+", line)][:2]
            channel, mode = [*numbers, 0, 0][:2]
            self._say(f"Set channel {channel} to mode {mode}\r\n")
        elif line[0] in "TU" and re.match(r"-?\d", line[1:]) is None:
            self._say(f"\nStarted {line[0]} train with parameters of PulseTrain 0\r\n")

    def _identity(self, args: str) -> str:
        return (
            f"IDN,stimjimAWG,Teensy3.5,fw={self.version},proto={self.protocol}\n"
            "# build: Teensy3.5, F_CPU=120 MHz, fastio=registers, timer=raw-PIT, sd=yes, hot=RAM\n"
            "# engine: PIT channels 0/1, K_RELOAD=112 cycles, cal=default\n"
        )

    def _state(self, args: str) -> str:
        told = []
        for engine in self._engines:
            if engine is None:
                told += [-1, 0, 0, 0]
                continue
            since_us = int(max(self._now_s - engine.start_s, 0.0) * self.ratio * 1e6)
            duration_us = engine.slot.duration_us
            told += [engine.index, 0, min(since_us, duration_us), duration_us]
        return f"STAT,{','.join(map(str, told))}\n"

    def _train(self, word: str, args: str) -> str:
        index, rest = _index(args)
        if rest == "?":
            return self.slots[index].canonical(index) + "\r\n"
        if not rest.startswith(","):
            raise Objection("expected ',' , '?' or end of line after the index")
        self._refuse_busy(index)
        if word == "S":
            raise Objection("not modelled by this emulator")
        slot, warning = self.slots[index].defined_by(rest)
        if self.alter:
            self.alter -= 1
            hertz = slot.millihertz
            slot = replace(slot, millihertz=(hertz[0] + 1000, hertz[1]))
        self.slots[index] = slot
        told = f"WARN {word}: {warning}\n" if warning else ""
        return f"{told}{slot.canonical(index)}\r\n"

    def _measure(self, args: str) -> str:
        index, rest = _index(args)
        if rest == "?":
            return self.slots[index].measures(index) + "\r\n"
        self._refuse_busy(index)
        slot, warning = self.slots[index].measured_by(rest.split(",")[1:])
        self.slots[index] = slot
        told = f"WARN MEAS: {warning}\n" if warning else ""
        return f"{told}{slot.measures(index)}\r\n"

    def _route(self, args: str) -> str:
        fields = args.removesuffix("?").split(",")
        if fields[0] not in ("0", "1"):
            raise Objection("need trigger input 0 or 1")
        trigger = int(fields[0])
        if not args.endswith("?"):
            values = _integers(fields[1:], 4, "need <mode>,<slot0>,<slot1>,<edge>")
            slots_fit = all(-1 <= slot < N_SLOTS for slot in values[1:3])
            if not (0 <= values[0] <= 3 and slots_fit and values[3] in (0, 1)):
                raise Objection("field out of range")
            self.routes[trigger] = (values[0], values[1], values[2], values[3])
        return f"TRIG{trigger},{','.join(map(str, self.routes[trigger]))}\r\n"

    def _mode(self, args: str) -> str:
        if args.endswith("?"):
            channel = _channel(args[:-1])
            return f"M{channel},{self._modes[channel]}\n"
        fields = args.split(",")
        channel = _channel(fields[0])
        (mode,) = _integers(fields[1:], 1, "need <ch>,<mode>")
        if not 0 <= mode <= 3:
            raise Objection("mode must be 0-3 (90/91 exist in train definitions only)")
        self._modes[channel] = mode
        self._set_constant(channel)
        return f"Set channel {channel} to mode {mode}\r\n"

    def _constant(self, args: str) -> str:
        fields = args.split(",")
        channel = _channel(fields[0])
        (steps,) = _integers(fields[1:], 1, "need <ch>,<dac>")
        self._constants[channel] = steps
        self._set_constant(channel)
        return f"Set channel {channel} to amplitude {steps}\r\n"

    def _set_constant(self, channel: int) -> None:
        """A current source that no train drives passes what its converter is set to."""
        if any(e is not None and channel in e.slot.driven for e in self._engines):
            return
        steps = self._constants[channel] if self._modes[channel] == 1 else 0
        self.outputs[channel].go_on_as(Piece(start_s=self._now_s, constant_steps=steps))

    def _read(self, args: str) -> str:
        fields = args.split(",")
        channel = _channel(fields[0])
        n = _integers(fields[1:], 1, "need READ<ch>[,<n>]")[0] if len(fields) > 1 else 16
        if not 1 <= n <= 10_000:
            raise Objection("n must be 1-10000")
        if any(self._engines):
            raise Objection(
                "engine busy — READ would stall the players; use MEAS for in-train measurement"
            )
        current_ma = MA_PER_STEP * (self._constants[channel] if self._modes[channel] == 1 else 0)
        voltage_mv, current_ua = self._converted(channel, current_ma)
        return f"READ,{channel},{n},{voltage_mv:.2f},0.00,{current_ua:.2f},0.00\n"

    def _start(self, word: str, args: str) -> str:
        number = "TU".index(word)
        if re.fullmatch(r"-?\d{1,9}", args) is None:
            raise Objection("need a slot index (or -1 to stop)")
        index = int(args)
        if index < 0:
            return f"Forcing {word} train to stop\r\n" + self._halt(number)
        if index >= N_SLOTS:
            return "Invalid PulseTrain index.\r\n"
        if refusal := self._begin(number, index):
            return f"WARN {word}: {refusal}\n"
        return f"\r\nStarted {word} train with parameters of PulseTrain {index}\r\n"

    def _dump(self, args: str) -> str:
        lines = [f"# stimjimAWG fw={self.version} proto={self.protocol} session dump"]
        lines += [slot.canonical(i) for i, slot in enumerate(self.slots) if slot.sine]
        lines += [self._route(f"{trigger}?").strip() for trigger in range(2)]
        return "\r\n".join([*lines, "OK", ""])

    # -- engines --------------------------------------------------------------------------------

    def _begin(self, number: int, index: int) -> str:
        """Start a slot; why not, where it is not started."""
        busy, slot = self._engines[number], self.slots[index]
        if self.drop_starts or busy is not None:
            self.drop_starts = max(self.drop_starts - 1, 0)
            held = busy.index if busy is not None else 0
            return f"engine busy (slot {held}) — start dropped, stop with {'TU'[number]}-1"
        other = self._engines[1 - number]
        if other is not None and set(other.slot.driven) & set(slot.driven):
            return f"channel conflict with the running {'UT'[number]} train — start dropped"
        whole = slot.burst_us == slot.period_us == slot.duration_us
        if slot.driven and not (whole and {slot.modes[c] for c in slot.driven} == {1}):
            return "not modelled by this emulator — start dropped"
        start_s = self._now_s + (START_LATENCY_S + 1e-6 * slot.delay_us) / self.ratio
        end_s = start_s + 1e-6 * slot.duration_us / self.ratio
        self._engines[number] = Running(index, slot, start_s, end_s, self._points(slot, start_s))
        for channel in slot.driven:
            self.outputs[channel].go_on_as(self._piece(slot, channel, start_s))
            self._modes[channel] = GROUNDED
        if self.first_start_s is None:
            self.first_start_s = self._now_s
        return ""

    def _piece(self, slot: Slot, channel: int, start_s: float) -> Piece:
        """What a train makes of one output."""
        rise_s, fall_s, end_s = (
            1e-6 * us / self.ratio for us in (*slot.ramps_us, slot.duration_us)
        )
        fastest_hz = max(slot.millihertz[c] for c in slot.driven) / 1000.0
        return Piece(
            start_s=start_s,
            steps=steps_of(slot.amplitudes[channel]),
            frequency_hz=slot.millihertz[channel] / 1000.0 * self.ratio,
            phase_turns=slot.millidegrees[channel] / 360_000.0,
            rate_hz=min(max(64.0 * fastest_hz, 1000.0), 50_000.0) * self.ratio,
            knots=(
                (0.0, 0.0 if rise_s else 1.0),
                (rise_s, 1.0),
                (end_s - fall_s, 1.0),
                (end_s, 0.0),
            ),
        )

    def _points(self, slot: Slot, start_s: float) -> list[tuple[float, int]]:
        """Peaks of the first full period after the ramp-in, as far as there is one."""
        if not slot.driven or not slot.millihertz[slot.driven[0]]:
            return []
        hertz = slot.millihertz[slot.driven[0]] / 1000.0
        turned = slot.millidegrees[slot.driven[0]] / 360_000.0
        rise_s, fall_s, duration_s = (1e-6 * us for us in (*slot.ramps_us, slot.duration_us))
        first = math.ceil(hertz * rise_s + turned - 1e-9)
        found = []
        for place, point, wanted in ((0.25, 90, 1), (0.75, 270, 2)):
            at_s = (first + place - turned) / hertz
            if slot.when & wanted and at_s < duration_s - fall_s:
                found.append((start_s + at_s / self.ratio + SETTLE_S, point))
        return found

    def _happen(self, number: int) -> None:
        """Do what is due on an engine."""
        engine = self._engines[number]
        if engine is None:
            return
        if engine.points:
            _, point = engine.points.pop(0)
            self._measure_at(engine, point)
            return
        self._engines[number] = None
        self._n_complete += 1
        self._quiet(engine)
        self._say(f"Train #{self._n_complete} complete. Delivered 1 pulses.\r\n")
        if summary := _summary(engine):
            self._say(summary)

    def _halt(self, number: int) -> str:
        """Stop an engine by a step; its summary."""
        engine = self._engines[number]
        if engine is None or self.stuck:
            return ""
        self._engines[number] = None
        self._quiet(engine)
        return _summary(engine)

    def _quiet(self, engine: Running) -> None:
        for channel in engine.slot.driven:
            self.outputs[channel].silence(self._now_s)

    def _measure_at(self, engine: Running, point: int) -> None:
        """Measure every driven channel that is to be measured."""
        fields = [""] * 4
        now = np.array([self._now_s])
        for channel in engine.slot.driven:
            what = engine.slot.what[channel]
            wanted_ma = float(self.outputs[channel].values(now)[0])
            voltage_mv, current_ua = self._converted(channel, wanted_ma)
            fields[2 * channel] = f"{voltage_mv:.1f}" if what & 1 else ""
            fields[2 * channel + 1] = f"{current_ua:.1f}" if what & 2 else ""
        if not any(fields):
            return
        engine.measured[point] = ",".join(f"{value}," for value in fields)[:-1]
        if engine.slot.report & 1:
            self._say(f"MDATA,{engine.index},0,{point},{','.join(fields)}\n")

    def _converted(self, channel: int, current_ma: float) -> tuple[float, float]:
        """What the converter makes of voltage and current at a channel's terminals."""
        found = self.load(channel, current_ma, self._now_s)
        steps = (MV_PER_STEP, UA_PER_STEP)
        voltage_mv, current_ua = (
            step * min(max(round(value / step), -ADC_STEPS), ADC_STEPS - 1)
            for value, step in zip(found, steps, strict=True)
        )
        return voltage_mv, current_ua

    def _refuse_busy(self, index: int) -> None:
        if any(engine is not None and engine.index == index for engine in self._engines):
            raise Objection(BUSY)


def _summary(engine: Running) -> str:
    """``MSUM`` lines of a train; without spread, of one repetition."""
    return "".join(
        f"MSUM,{engine.index},1,{point},{fields},\n" for point, fields in engine.measured.items()
    )


def _index(args: str) -> tuple[int, str]:
    """Slot number and what follows it."""
    found = re.match(r"\d{1,9}", args)
    if found is None:
        raise Objection("need a slot index 0-99")
    if int(found.group()) >= N_SLOTS:
        raise Objection("slot index out of range 0-99")
    return int(found.group()), args[found.end() :]


def _channel(text: str) -> int:
    if text not in ("0", "1"):
        raise Objection("channel must be 0 or 1")
    return int(text)


def _integers(fields: Sequence[str], n: int, objection: str) -> list[int]:
    if len(fields) != n or any(re.fullmatch(r"-?\d{1,9}", text) is None for text in fields):
        raise Objection(objection)
    return [int(text) for text in fields]
