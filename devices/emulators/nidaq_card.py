"""The emulated card's innards: outputs, sample clock, a buffer that is never played twice, a timer.

From NI's documentation and nothing of the driver. Everything that is asked may be refused with a
negative code as NI-DAQmx has them; refusals are :class:`Refusal`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from devices.emulators.nidaq_output import HeldOutput

__all__ = ["EmulatedCard", "Refusal"]

N_OUTPUTS = 4
RANGE_V = 10.0
BITS = 16
RATE_MAX_HZ = 1_000_000.0
WATCHDOG_MAX_S = 107.0
STUCK_LOOP_S, STUCK_LOOPS = 1.0, 600

STOPPED_TO_PREVENT_REGEN = -200290
FIFO_UNDERFLOW = -200621
DAC_UNDERFLOW = -200018
NO_ROOM = -200292
BUFFER_EMPTY = -200462
INVALID_DATA = -200561
INVALID_TASK = -200088
NO_SUCH_OUTPUT = -200170
INVALID_VALUE = -200077
NOT_SUPPORTED = -200197
RESERVED = -50103
WATCHDOG_EXPIRED = -200678
WATCHDOG_CANNOT_RESET = -200644
WATCHDOG_TOO_LATE = -201477
NO_WATCHDOG = -200662
OUT_OF_ORDER = -200557

TEXTS: Mapping[int, str] = {
    NO_ROOM: "Some or all of the samples to write could not be written to the buffer yet.",
    BUFFER_EMPTY: "Generation cannot be started, because the output buffer is empty.",
    INVALID_DATA: "Attempted writing analog data that is too large or too small.",
    INVALID_TASK: "Specified task is invalid or does not exist.",
    NO_SUCH_OUTPUT: "Physical channel specified does not exist on this device.",
    INVALID_VALUE: "Requested value is not a supported value for this property.",
    NOT_SUPPORTED: "Specified property is not supported by the device.",
    RESERVED: "The specified resource is reserved.",
    WATCHDOG_TOO_LATE: "Watchdog task cannot be reserved while other tasks are reserved.",
    NO_WATCHDOG: "Watchdog timer is not supported by the device.",
    OUT_OF_ORDER: "The samples do not follow those that were written before.",
}


class Refusal(Exception):  # noqa: N818 - what the card answers, not an error of the program
    """The card will not.

    Parameters
    ----------
    code : int
        As NI-DAQmx has them, negative.
    """

    def __init__(self, code: int) -> None:
        super().__init__(TEXTS.get(code, ""))
        self.code = code


class EmulatedCard:
    """Four outputs of ±10 V and 16 bits, told the time by whoever speaks to it.

    Parameters
    ----------
    now_s : float
        Clock time of power-on.
    watchdog : bool
        Whether its timer can set the analogue outputs to 0 V.
    interlock : bool
        Whether a line of it, which its timer takes low, enables the stimulators.

    Attributes
    ----------
    clock_ppm : float
        By how much its sample clock is fast.
    idle_zero_supported : bool
        Whether an output without a generation can be told to be at 0 V.
    """

    def __init__(self, now_s: float, *, watchdog: bool = False, interlock: bool = False) -> None:
        self.outputs = [HeldOutput(now_s) for _ in range(N_OUTPUTS)]
        self.line = HeldOutput(now_s)
        self.clock_ppm = 0.0
        self.idle_zero_supported = False
        self.starved_with = STOPPED_TO_PREVENT_REGEN
        self.fault = 0
        self.starts = 0
        self.expired = False
        self._watchdog = watchdog
        self._interlock = interlock
        self._now_s = now_s
        self._stuck = False
        self._timer_s: float | None = None  # None where it does not run
        self._fed_s = now_s
        self._task: tuple[int, ...] | None = None
        self._limits_v = np.zeros((0, 1))
        self._rate_hz = 1000.0
        self._room = 0
        self._idle_zero = False
        self._held: list[NDArray[np.float64]] = []  # written before the start
        self._written = 0
        self._start_s: float | None = None
        self._still_since_s = math.inf

    # -- what is seen of it ----------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether its sample clock runs."""
        return self._start_s is not None and not self.fault

    @property
    def generated(self) -> int:
        """Samples played since the start."""
        if self._start_s is None:
            return 0
        at_s = min(self._now_s, self._still_since_s)
        due = math.floor((at_s - self._start_s) / self._period_s + 1e-6) + 1
        return max(min(due, self._written), 0)

    @property
    def written(self) -> int:
        """Samples written since the generation was set up, or stopped."""
        return self._written

    @property
    def loud(self) -> bool:
        """Whether it plays, or holds something else than 0 V at an enabled stimulator."""
        if self._interlock and self.line.value(self._now_s) == 0.0:
            return False
        held = any(output.value(self._now_s) != 0.0 for output in self.outputs)
        return self.running or held

    def silent_at_s(self) -> float:
        """Return when it comes to rest if nothing is asked of it; infinite where it does not."""
        if not self.loud:
            return -math.inf
        ends_s = [math.inf]
        if self._timer_s is not None:
            ends_s.append(self._fed_s + self._timer_s)
        if self.running and self._start_s is not None and not self._stuck:
            dry_s = self._start_s + self._written * self._period_s
            if not any(output.value(dry_s) for output in self._driven()):
                ends_s.append(dry_s)
        return min(ends_s)

    # -- time ------------------------------------------------------------------------------------

    def advance(self, now_s: float) -> None:
        """Let time pass: the buffer runs dry, the timer runs out."""
        expires_s = math.inf if self._timer_s is None else self._fed_s + self._timer_s
        if self.running and not self._stuck and self._start_s is not None:
            dry_s = self._start_s + self._written * self._period_s
            if dry_s <= min(now_s, self._still_since_s) and dry_s <= expires_s:
                self._now_s = max(self._now_s, dry_s)
                self._fail(self.starved_with)
        if expires_s <= now_s and not self.expired:
            self._now_s = max(self._now_s, expires_s)
            self._expire()
        self._now_s = max(self._now_s, now_s)

    # -- what is asked of it ---------------------------------------------------------------------

    def unlock(self) -> None:
        """Clear the expiration of its timer."""
        self.expired = False

    def prepare(
        self, limits_v: Mapping[int, float], rate_hz: float, buffer_samples: int, idle_zero: bool
    ) -> None:
        """Set a generation up."""
        if any(not 1 <= number <= N_OUTPUTS for number in limits_v) or not limits_v:
            raise Refusal(NO_SUCH_OUTPUT)
        if not 0.0 < rate_hz <= RATE_MAX_HZ or buffer_samples < 1:
            raise Refusal(INVALID_VALUE)
        if any(not 0.0 < limit_v <= RANGE_V for limit_v in limits_v.values()):
            raise Refusal(INVALID_VALUE)
        if idle_zero and not self.idle_zero_supported:
            raise Refusal(NOT_SUPPORTED)
        self.release()
        self._task = tuple(sorted(limits_v))
        self._limits_v = np.array([[limits_v[number]] for number in self._task])
        self._rate_hz, self._room, self._idle_zero = rate_hz, buffer_samples, idle_zero
        self._held, self._written = [], 0

    def write(self, volts: NDArray[np.float64]) -> None:
        """Append samples, shape (n_outputs, n)."""
        self._check_task()
        if self.fault:
            raise Refusal(self.fault)
        if volts.shape[0] != len(self._limits_v) or not np.all(np.abs(volts) <= self._limits_v):
            raise Refusal(INVALID_DATA)
        if self._written + volts.shape[1] - self.generated > self._room:
            raise Refusal(NO_ROOM)
        made = _converted(volts)
        if self._start_s is None:
            self._held.append(made)
        else:
            self._lay(made, self._start_s + self._written * self._period_s)
        self._written += volts.shape[1]

    def start(self) -> None:
        """Let the sample clock run."""
        self._check_task()
        if self._start_s is not None:
            return
        if not self._held:
            raise Refusal(BUFFER_EMPTY)
        if self._idle_zero:
            self._to_rest()
        self._start_s = self._now_s
        self.starts += 1
        self._lay(np.hstack(self._held), self._now_s)
        self._held = []

    def stop(self) -> None:
        """End the generation; what was written and not played is gone, the value is held."""
        if self._start_s is None and not self._held:
            return
        for output in self._driven():
            output.cut(self._now_s)
        self._start_s, self._held, self._written, self.fault = None, [], 0, 0
        if self._idle_zero:
            self._to_rest()

    def release(self) -> None:
        """End the generation and forget its settings."""
        if self._task is not None:
            self.stop()
        self._task = None

    def hold(self, volts: Mapping[int, float]) -> None:
        """Set outputs to a value at once."""
        if any(not 1 <= number <= N_OUTPUTS for number in volts):
            raise Refusal(NO_SUCH_OUTPUT)
        if any(not abs(value) <= RANGE_V for value in volts.values()):
            raise Refusal(INVALID_DATA)
        if self.expired:
            raise Refusal(WATCHDOG_EXPIRED)
        if self._start_s is not None:
            raise Refusal(RESERVED)
        if self._stuck:
            return
        for number, value in volts.items():
            made = _converted(np.array([[value]]))
            self.outputs[number - 1].set(float(made[0, 0]), self._now_s)

    def watch(self, timeout_s: float) -> None:
        """Start the timer."""
        if not (self._watchdog or self._interlock):
            raise Refusal(NO_WATCHDOG)
        if not 0.0 < timeout_s <= WATCHDOG_MAX_S:
            raise Refusal(INVALID_VALUE)
        if self._task is not None:
            raise Refusal(WATCHDOG_TOO_LATE)
        self._timer_s, self._fed_s = timeout_s, self._now_s

    def feed(self) -> None:
        """Start the timer anew."""
        if self.expired:
            raise Refusal(WATCHDOG_CANNOT_RESET)
        if self._timer_s is not None:
            self._fed_s = self._now_s

    def unwatch(self) -> None:
        """Stop the timer, and unlock what it has locked."""
        self._timer_s, self.expired = None, False

    def enable(self, on: bool) -> None:
        """Set the line."""
        if self.expired and self._interlock and on:
            raise Refusal(WATCHDOG_EXPIRED)
        self.line.set(float(on), self._now_s)

    # -- faults ----------------------------------------------------------------------------------

    def underflow(self, code: int) -> None:
        """Run dry by itself, as when its bus is busy."""
        if self.running:
            self._fail(code)

    def stand_still(self) -> None:
        """Have the sample clock stop: the outputs hold, and no error is told."""
        self._still_since_s = self._now_s
        for output in self._driven():
            output.cut(self._now_s)

    def stick(self) -> None:
        """Have the outputs play their buffer over and over, whatever is asked."""
        if not self.running:
            return
        n = round(STUCK_LOOP_S / self._period_s)
        back_s = self._now_s - STUCK_LOOP_S + np.arange(n) * self._period_s
        for output in self._driven():
            once = output.values(np.maximum(back_s, self._start_s or 0.0))
            output.cut(self._now_s)
            output.play(self._now_s, self._period_s, np.tile(once, STUCK_LOOPS))
        self._stuck = True
        self._still_since_s = self._now_s

    def reboot(self) -> None:
        """Lose power and come back: 0 V, no task, no timer."""
        self._stuck = False
        for output in (*self.outputs, self.line):
            output.set(0.0, self._now_s)
        self._task, self._start_s, self._held, self._written = None, None, [], 0
        self._timer_s, self.expired, self.fault = None, False, 0
        self._still_since_s = math.inf

    # -- inside ----------------------------------------------------------------------------------

    @property
    def _period_s(self) -> float:
        return 1.0 / (self._rate_hz * (1.0 + 1e-6 * self.clock_ppm))

    def _driven(self) -> list[HeldOutput]:
        if self._stuck or self._task is None:
            return []
        return [self.outputs[number - 1] for number in self._task]

    def _check_task(self) -> None:
        if self._task is None:
            raise Refusal(INVALID_TASK)
        if self.expired:
            raise Refusal(WATCHDOG_EXPIRED)

    def _lay(self, made: NDArray[np.float64], start_s: float) -> None:
        if self._still_since_s < math.inf:
            return
        for output, values in zip(self._driven(), made, strict=False):
            output.play(start_s, self._period_s, values)

    def _fail(self, code: int) -> None:
        """Stop by itself: the value that the outputs have now is held."""
        self.fault = code
        for output in self._driven():
            output.cut(self._now_s)

    def _expire(self) -> None:
        self.expired, self._timer_s = True, None
        if self._interlock:
            self.line.set(0.0, self._now_s)
        if self._watchdog and not self._stuck:
            for output in self.outputs:
                output.set(0.0, self._now_s)

    def _to_rest(self) -> None:
        for output in self._driven():
            output.set(0.0, self._now_s)


def _converted(volts: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the converter makes of volts: the nearest of its steps."""
    step_v = 2.0 * RANGE_V / 2**BITS
    codes = np.clip(np.rint(volts / step_v), -(2 ** (BITS - 1)), 2 ** (BITS - 1) - 1)
    made: NDArray[np.float64] = codes * step_v
    return made
