"""What a current monitor measures, held against what was commanded: named findings, no clock.

Where a rig has an instrument that measures the current of every lead, the guardian asks this judge
after every tick. Each rule has a name, a sentence and an urgency; the guardian turns a finding into
an event of the session. Rules compare with the range of levels that was commanded over the last
moments, because a frame is older than the command that came after it. Frames arrive in bunches:
how far apart two of them are is told by the instrument's own clock, never by their arrival.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tacs.limits import LIMITS, EffectiveLimits
from tacs.monitor import ContactFrame, CurrentFrame, MonitorCounts, MonitorStatus
from tacs.safety import Breach

__all__ = ["RULES", "Finding", "Judge"]

Urgency = Literal["warn", "soft", "emergency"]

LATENCY_S = 0.3  # a frame may be this much older than the newest command
FLOOR_MA = 0.02  # below this, noise and quantisation decide
QUIET_MA = 0.05
SHORT_KOHM = 0.5  # two gel contacts never come so low
STEP_WINDOW_S = 2.0
CLIPPED_RMS_PER_PEAK = 0.74  # a sine has 0.707; clipped by 7 % it has 0.74
BAD_FRAMES = 5
GROSS = 1.5  # one frame that far over is enough

RULES: Mapping[str, str] = {
    "overcurrent": "more current than commanded, in two half-cycles or grossly in one frame",
    "open_circuit": "less than half of the commanded current for a half-cycle",
    "compliance": "the commanded current is not reached, or its peaks are clipped",
    "dc_offset": "direct current, over whole cycles of a second",
    "unbalance": "what leaves the electrodes does not come back through them",
    "residual_current": "current although the session has stopped",
    "impedance_warning": "a contact is drying",
    "impedance": "a contact has too high an impedance",
    "impedance_step": "the impedance of a contact jumped",
    "short_circuit": "a contact has next to no impedance",
    "stuck_telemetry": "the monitor repeats itself although alternating current flows",
    "monitor_silent": "no measurement has come",
    "monitor_late": "measurements come late",
    "monitor_corrupted": "frames of the monitor are damaged",
    "monitor_foreign": "frames of another session arrived",
    "monitor_restarted": "the monitor restarted",
    "battery_low": "the battery is low",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that was broken.

    Parameters
    ----------
    rule : str
        Name, see :data:`RULES`.
    urgency : {"warn", "soft", "emergency"}
        A warning, the soft stop and a fault, or the emergency stop and a fault.
    text : str
        For the record and the operator.
    """

    rule: str
    urgency: Urgency
    text: str

    @property
    def cause(self) -> str:
        """The finding as the cause of a stop."""
        return f"{self.rule.upper()}: {self.text}"


@dataclass(slots=True)
class _Electrode:
    """What is remembered of one electrode."""

    name: str
    peak_ma: float
    frames: deque[tuple[float, CurrentFrame]] = field(default_factory=deque)
    over_s: list[float] = field(default_factory=list)
    contacts: deque[tuple[float, float]] = field(default_factory=deque)
    warned: bool = False
    net_charge_c: float = 0.0
    rectified_charge_c: float = 0.0


class Judge:
    """Hold measurements against commands.

    Parameters
    ----------
    limits : EffectiveLimits
        In force.
    peaks_ma : mapping of str to float
        Peak current of every electrode at level 1, in mA.
    frequency_hz : float
        Of the sine that is played.
    frame_s : float
        What one current frame of the monitor covers.
    soft_stop_s : float
        How long current may go on after a stop.
    battery_min : float
        Share of the battery below which nothing is started or continued.
    edges : bool
        Whether the level moves by the steep edges of trains: the part of a cycle that an edge
        leaves over is then no direct current.
    """

    def __init__(
        self,
        limits: EffectiveLimits,
        peaks_ma: Mapping[str, float],
        frequency_hz: float,
        *,
        frame_s: float,
        soft_stop_s: float,
        battery_min: float = 0.2,
        edges: bool = False,
    ) -> None:
        self._limits = limits
        self._edges = edges
        self._moves: deque[tuple[float, float]] = deque([(-math.inf, 0.0)])
        self._frame_s = frame_s
        self._soft_stop_s = soft_stop_s
        self._battery_min = battery_min
        self._electrodes = {name: _Electrode(name, peak) for name, peak in peaks_ma.items()}
        self._tunings: deque[tuple[float, float]] = deque()
        self.retune(frequency_hz, -math.inf)
        self._levels: deque[tuple[float, float]] = deque([(-math.inf, 0.0)])
        self._stopped_s = math.nan
        self._last_frame_s = math.nan  # before the first frame nothing is late
        self._least_delay_s = math.inf
        self._flat_since_s = math.nan
        self._last_values: tuple[object, ...] = ()
        self._repeats = False
        self._boots: int | None = None
        self._battery: float | None = None
        self._counts = MonitorCounts()

    # -- what is commanded ------------------------------------------------------------------------

    def command(self, level: float, now_s: float) -> None:
        """Take note of a level that was sent."""
        self._levels.append((now_s, level))
        self._moves.append((now_s, level))

    def retune(self, frequency_hz: float, now_s: float) -> None:
        """Take note of the frequency that is played from now on."""
        self._frequency_hz = frequency_hz
        self._tunings.append((now_s, frequency_hz))
        self._half_cycle_s = 0.5 / frequency_hz
        # A second, in whole cycles: the mean of a part of a cycle is no direct current.
        self._window_s = math.ceil(frequency_hz) / frequency_hz

    def stopped(self, now_s: float) -> None:
        """Take note that a stop was sent: what still flows must be gone after its ramp."""
        if math.isnan(self._stopped_s):
            self._stopped_s = now_s
            self.command(0.0, now_s)

    def _range(self, now_s: float) -> tuple[float, float]:
        """Lowest and highest level that a frame of now may show."""
        reach_s = LATENCY_S + (self._soft_stop_s if not math.isnan(self._stopped_s) else 0.0)
        while len(self._levels) > 1 and self._levels[1][0] <= now_s - reach_s:
            self._levels.popleft()
        levels = [level for _, level in self._levels]
        lowest = 0.0 if not math.isnan(self._stopped_s) else min(levels)
        return lowest, max(levels)

    # -- before the start -------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether currents, contacts and battery have all been measured."""
        return self._battery is not None and all(
            e.frames and e.contacts for e in self._electrodes.values()
        )

    def start_breaches(self) -> list[Breach]:
        """List what speaks against a start: missing or bad contacts, a low battery."""
        found = []
        allowed_kohm = self._limits["impedance_start_kohm"]
        source = self._limits.source("impedance_start_kohm")
        for name, electrode in self._electrodes.items():
            kohm = electrode.contacts[-1][1] if electrode.contacts else math.nan
            if not SHORT_KOHM <= kohm:
                told: float | str = "not measured" if math.isnan(kohm) else kohm
                found.append(_breach("short_circuit_kohm", told, SHORT_KOHM, "kΩ", source, name))
            elif not LIMITS["impedance_start_kohm"].allows(kohm, allowed_kohm):
                value: float | str = "open" if math.isinf(kohm) else kohm
                where = f"{name}; clean the skin, add gel, and measure again"
                found.append(
                    _breach("impedance_start_kohm", value, allowed_kohm, "kΩ", source, where)
                )
        if self._battery is None or not self._battery >= self._battery_min:
            level: float | str = "not reported" if self._battery is None else self._battery
            where = "monitor; charge it"
            found.append(_breach("battery", level, self._battery_min, "of full", "rig file", where))
        return found

    # -- while it runs ----------------------------------------------------------------------------

    def take(
        self,
        frames: Sequence[CurrentFrame | ContactFrame | MonitorStatus],
        counts: MonitorCounts,
        now_s: float,
    ) -> list[Finding]:
        """Judge what arrived since the last call, and what did not.

        Parameters
        ----------
        frames : sequence
            In the order of arrival.
        counts : MonitorCounts
            Of the monitor, since it was started.
        now_s : float
            Clock time.

        Returns
        -------
        list of Finding
            The most urgent first.
        """
        found: list[Finding] = []
        for frame in frames:
            if isinstance(frame, CurrentFrame):
                found += self._current(frame)
            elif isinstance(frame, ContactFrame):
                found += self._contact(frame)
            else:
                found += self._status(frame)
        found += self._link(counts, now_s)
        order = ("emergency", "soft", "warn")
        return sorted(found, key=lambda finding: order.index(finding.urgency))

    def measured_ma(self) -> dict[str, float]:
        """Return the largest current of every electrode over the last cycle, in mA."""
        cycle_s = 2.0 * self._half_cycle_s + self._frame_s
        return {n: self._peak_ma(e, cycle_s) for n, e in self._electrodes.items()}

    def impedance_kohm(self) -> dict[str, float]:
        """Return the last impedance of every contact, in kΩ; infinite where open."""
        return {n: e.contacts[-1][1] for n, e in self._electrodes.items() if e.contacts}

    def charges_c(self) -> dict[str, tuple[float, float]]:
        """Return the net and the rectified charge of every electrode since the start, in C."""
        return {n: (e.net_charge_c, e.rectified_charge_c) for n, e in self._electrodes.items()}

    def _current(self, frame: CurrentFrame) -> list[Finding]:
        at_s = frame.device_s
        self._last_frame_s = frame.received_s
        found = self._age(frame) + self._flat(frame)
        if math.isnan(at_s):
            return found  # it is late; without a time it has no place among the others
        lowest, highest = self._range(frame.received_s)
        for name, electrode in self._electrodes.items():
            electrode.frames.append((at_s, frame))
            while electrode.frames[0][0] < at_s - self._window_s - self._frame_s:
                electrode.frames.popleft()
            mean_c = frame.mean_ma[name] * self._frame_s * 1e-3
            electrode.net_charge_c += mean_c
            electrode.rectified_charge_c += abs(mean_c)
            upper_ma, lower_ma = highest * electrode.peak_ma, lowest * electrode.peak_ma
            found += self._over(name, electrode, frame.peak_ma[name], upper_ma, at_s)
            found += self._under(name, electrode, lower_ma, at_s)
            found += self._direct(name, electrode, at_s)
        return found + self._balance(frame, highest)

    def _over(
        self, name: str, electrode: _Electrode, peak_ma: float, upper_ma: float, at_s: float
    ) -> list[Finding]:
        ratio = self._limits["overcurrent_ratio"]
        if peak_ma <= max(ratio * upper_ma, upper_ma + FLOOR_MA):
            return []
        told = f"{name} carries {peak_ma:.3f} mA peak, {upper_ma:.3f} mA commanded"
        if upper_ma == 0.0 and not math.isnan(self._stopped_s):
            if peak_ma <= QUIET_MA:
                return []
            return [Finding("residual_current", "emergency", told)]
        # Twice, half a cycle apart: both half-waves are too large, and it is no single spike.
        # A frame that is longer than that reaches to the next one all the same.
        reach_s = max(2.5 * self._half_cycle_s, 1.5 * self._frame_s)
        electrode.over_s = [s for s in electrode.over_s if at_s - s <= reach_s]
        electrode.over_s.append(at_s)
        apart_s = at_s - electrode.over_s[0]
        twice = apart_s >= min(0.9 * self._half_cycle_s, 0.05) - 1e-9
        if peak_ma > GROSS * upper_ma + FLOOR_MA or twice:
            return [Finding("overcurrent", "emergency", told)]
        return []

    def _under(
        self, name: str, electrode: _Electrode, lower_ma: float, at_s: float
    ) -> list[Finding]:
        if lower_ma < 2.0 * FLOOR_MA:
            return []
        told = f"{name} carries {{:.3f}} mA peak, {lower_ma:.3f} mA commanded"
        half_cycle_s = 0.5 * max(self._periods_s())
        half_ma = self._peak_ma(electrode, half_cycle_s + self._frame_s)
        if half_ma < 0.5 * lower_ma - FLOOR_MA and self._covers(electrode, half_cycle_s):
            return [Finding("open_circuit", "emergency", told.format(half_ma))]
        cycle_s = 2.0 * half_cycle_s
        if self._repeats or not self._covers(electrode, max(cycle_s, 0.5)):
            return []
        cycle_ma = self._peak_ma(electrode, max(cycle_s, 0.5))
        span_s = self._whole_cycles_s()
        frames = [f for s, f in electrode.frames if s > at_s - span_s]
        if not self._full(len(frames), span_s):
            return []
        rms_ma = math.sqrt(sum(f.rms_ma[name] ** 2 for f in frames) / len(frames))
        # Over the same time: while the current falls, its peaks do too.
        peak_ma = max(f.peak_ma[name] for f in frames)
        if cycle_ma < self._limits["undercurrent_ratio"] * lower_ma - FLOOR_MA:
            return [Finding("compliance", "soft", told.format(cycle_ma))]
        # A part of a cycle has more than half of the peak's square at most by this.
        more = self._parts_s() / (8.0 * math.pi * span_s)
        most_ma = math.sqrt(CLIPPED_RMS_PER_PEAK**2 + more) * peak_ma
        if lower_ma > 5.0 * FLOOR_MA and not rms_ma <= most_ma:
            text = f"the sine of {name} is clipped at {peak_ma:.3f} mA"
            return [Finding("compliance", "soft", text)]
        return []

    def _direct(self, name: str, electrode: _Electrode, at_s: float) -> list[Finding]:
        if self._repeats or not self._covers(electrode, self._window_s):
            return []  # what repeats itself has no mean and no shape; another rule has it
        means = [f.mean_ma[name] for s, f in electrode.frames if s > at_s - self._window_s]
        if not self._full(len(means), self._window_s):
            return []
        mean_ma = sum(means) / len(means)
        allowed_ma = self._limits["measured_dc_offset_ma"]
        lowest, highest = self._moved(self._last_frame_s)
        part_s = 0.5 * highest * self._parts_s()
        if self._edges:
            # Half a cycle of what the level moved by.
            part_s += (highest - lowest) * max(self._periods_s())
        allowed_ma += electrode.peak_ma * part_s / (math.pi * self._window_s)
        if abs(mean_ma) <= allowed_ma:
            return []
        return [Finding("dc_offset", "soft", f"{name} carries {mean_ma:+.3f} mA of direct current")]

    def _moved(self, now_s: float) -> tuple[float, float]:
        """Lowest and highest level commanded in the time that a mean is taken over."""
        self._forget(self._moves, now_s)
        levels = [level for _, level in self._moves]
        return min(levels), max(levels)

    def _periods_s(self) -> list[float]:
        """Period of every frequency that was played in that time, in order."""
        self._forget(self._tunings, self._last_frame_s)
        return [1.0 / hz for _, hz in self._tunings]

    def _parts_s(self) -> float:
        """Of a sine whose frequency changes without a jump, what a mean over that time may miss.

        Whole cycles of one frequency have no mean. With the phases free at both ends and at every
        change, the integral of ``sin(2π f t)`` is at most this, over 2π; 0 without a change.
        """
        periods_s = self._periods_s()
        if len(periods_s) == 1:
            return 0.0
        changes_s = sum(abs(b - a) for a, b in itertools.pairwise(periods_s))
        return periods_s[0] + periods_s[-1] + changes_s

    def _forget(self, course: deque[tuple[float, float]], now_s: float) -> None:
        """Drop what was over before the time that a mean is taken over."""
        since_s = now_s - self._window_s - LATENCY_S
        while len(course) > 1 and course[1][0] <= since_s:
            course.popleft()

    def _balance(self, frame: CurrentFrame, highest: float) -> list[Finding]:
        residual_ma = abs(sum(frame.mean_ma[name] for name in self._electrodes))
        largest_ma = highest * max(e.peak_ma for e in self._electrodes.values())
        allowed_ma = self._limits["current_balance_residual_ma"] + 0.01 * largest_ma
        if residual_ma <= allowed_ma:
            return []
        text = f"{residual_ma:.3f} mA do not return through the electrodes"
        return [Finding("unbalance", "emergency", text)]

    def _contact(self, frame: ContactFrame) -> list[Finding]:
        found: list[Finding] = []
        at_s = frame.received_s
        for name, electrode in self._electrodes.items():
            kohm = frame.impedance_kohm[name]
            known = electrode.contacts
            while known and known[0][0] < at_s - STEP_WINDOW_S:
                known.popleft()
            ratio = max((_times(kohm, before) for _, before in known), default=1.0)
            known.append((at_s, kohm))
            if not kohm >= SHORT_KOHM:
                found.append(Finding("short_circuit", "emergency", f"{name} has {kohm:.2f} kΩ"))
            elif not ratio <= self._limits["impedance_step_ratio"]:
                text = f"{name} went to {kohm:.1f} kΩ, {ratio:.1f} times, within 2 s"
                found.append(Finding("impedance_step", "emergency", text))
            elif not kohm <= self._limits["impedance_run_stop_kohm"]:
                found.append(Finding("impedance", "soft", f"{name} has {kohm:.1f} kΩ"))
            elif kohm > self._limits["impedance_run_warn_kohm"] and not electrode.warned:
                electrode.warned = True
                text = f"{name} has {kohm:.1f} kΩ and is drying"
                found.append(Finding("impedance_warning", "warn", text))
        return found

    def _status(self, status: MonitorStatus) -> list[Finding]:
        found: list[Finding] = []
        if self._boots is not None and status.boot_count != self._boots:
            found.append(Finding("monitor_restarted", "soft", "its settings are lost"))
        self._boots, self._battery = status.boot_count, status.battery
        if not status.battery >= self._battery_min:
            text = f"{100 * status.battery:.0f} % is below {100 * self._battery_min:.0f} %"
            found.append(Finding("battery_low", "soft", text))
        return found

    def _age(self, frame: CurrentFrame) -> list[Finding]:
        delay_s = frame.received_s - frame.device_s
        self._least_delay_s = min(self._least_delay_s, delay_s)
        late_s = delay_s - self._least_delay_s
        if late_s <= self._limits["monitor_stale_s"]:
            return []
        return [Finding("monitor_late", "soft", f"a measurement is {late_s:.2f} s old")]

    def _flat(self, frame: CurrentFrame) -> list[Finding]:
        values = (frame.mean_ma, frame.peak_ma, frame.rms_ma)
        same, self._last_values = values == self._last_values, values
        cycles = self._frequency_hz * self._frame_s
        whole = abs(cycles - round(cycles)) < 0.02 and cycles > 0.5
        self._repeats = same and not whole
        flows = self._range(frame.received_s)[0] * max(e.peak_ma for e in self._electrodes.values())
        if not same or whole or flows < FLOOR_MA:
            self._flat_since_s = frame.received_s
            return []
        flat_s = frame.received_s - self._flat_since_s
        if not flat_s > self._limits["monitor_stale_s"]:
            return []
        return [Finding("stuck_telemetry", "emergency", f"the same values for {flat_s:.2f} s")]

    def _link(self, counts: MonitorCounts, now_s: float) -> list[Finding]:
        found: list[Finding] = []
        before, self._counts = self._counts, counts
        silent_s = now_s - self._last_frame_s
        if silent_s > self._limits["monitor_stale_s"]:
            text = f"for {silent_s:.2f} s"
            found.append(Finding("monitor_silent", "soft", text))
        if before.corrupted < BAD_FRAMES <= counts.corrupted:
            text = f"{counts.corrupted} damaged frames"
            found.append(Finding("monitor_corrupted", "soft", text))
        if counts.foreign > before.foreign:
            text = f"{counts.foreign} frames do not carry this session's number; rejected"
            found.append(Finding("monitor_foreign", "warn", text))
        return found

    # -- helpers ----------------------------------------------------------------------------------

    def _peak_ma(self, electrode: _Electrode, span_s: float) -> float:
        if not electrode.frames:
            return 0.0
        since_s = electrode.frames[-1][0] - span_s - 1e-9
        return max(f.peak_ma[electrode.name] for s, f in electrode.frames if s >= since_s)

    def _covers(self, electrode: _Electrode, span_s: float) -> bool:
        """Whether the frames kept reach back so far."""
        return electrode.frames[-1][0] - electrode.frames[0][0] >= span_s - 1e-9

    def _full(self, n_frames: int, span_s: float) -> bool:
        """Whether frames fill a span: with gaps, a mean is not one over whole cycles."""
        return n_frames * self._frame_s >= 0.9 * span_s - 2.0 * self._frame_s

    def _whole_cycles_s(self) -> float:
        """Half a second or more, in whole cycles."""
        return math.ceil(0.5 * self._frequency_hz) / self._frequency_hz


def _times(kohm: float, before_kohm: float) -> float:
    """How many times as much or as little; without end from nothing, or to it."""
    if not kohm or not before_kohm:
        return math.inf
    return max(kohm / before_kohm, before_kohm / kohm)


def _breach(
    limit: str, value: float | str, allowed: float, unit: str, source: str, where: str
) -> Breach:
    return Breach(limit=limit, value=value, allowed=allowed, unit=unit, source=source, where=where)
