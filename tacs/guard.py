"""The guard around every driver: limits first, then the journal, then the wire."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from tacs.capabilities import Capabilities
from tacs.driver import Achieved, Driver, Identity, Program, Status
from tacs.errors import SafetyRefusal
from tacs.limits import EffectiveLimits
from tacs.protocol import Protocol as Prescription
from tacs.rig import Rig
from tacs.safety import Breach, command_breaches
from tacs.waveform import Waveform
from tacs.wiring import wire

__all__ = ["GuardedDriver", "Journal"]

TICK_SLACK_S = 1e-6
MAKE_UP_S = 0.1  # what one command of a train's edge may make up for


class Journal(Protocol):
    """Where intents and answers are written; injected, so that the guard needs no record."""

    def intent(self, verb: str, data: Mapping[str, Any], *, sync: bool) -> None:
        """Write what is about to be sent, before it is sent; on disk first where ``sync``."""

    def answer(self, verb: str, data: Mapping[str, Any]) -> None:
        """Write what came back."""


class GuardedDriver:
    """Every command passes the limits and is written down before it is sent.

    Parameters
    ----------
    driver : Driver
        The device.
    limits : EffectiveLimits
        In force for this session.
    program : Program
        The checked programme; nothing else can be configured.
    areas_cm2, electrodes_of : mapping
        Contact area of each electrode, and the electrodes of each channel: source and sink of a
        loop, or one.
    journal : Journal
        Where intents and answers go.
    capabilities : Capabilities, optional
        What the device declares on its rig; what it declares of itself where left out.
    """

    def __init__(
        self,
        driver: Driver,
        limits: EffectiveLimits,
        program: Program,
        areas_cm2: Mapping[str, float],
        electrodes_of: Mapping[int, tuple[str, ...]],
        journal: Journal,
        capabilities: Capabilities | None = None,
    ) -> None:
        self._driver = driver
        self._capabilities = driver.capabilities if capabilities is None else capabilities
        self._limits = limits
        self._program = program
        self._areas_cm2 = areas_cm2
        self._electrodes_of = electrodes_of
        self._journal = journal
        self._level = 0.0
        self._level_at_s: float | None = None
        self._frequency_hz = program.frequency_hz
        self._tolerated = 0.0
        self._in_train = False  # risen from zero after a level had been tolerated

    @classmethod
    def of(
        cls,
        driver: Driver,
        protocol: Prescription,
        rig: Rig | None,
        limits: EffectiveLimits,
        journal: Journal,
    ) -> GuardedDriver:
        """Guard a driver for one protocol on one rig.

        Parameters
        ----------
        driver : Driver
            The device.
        protocol : Protocol
            Checked; its loops say which channels play.
        rig : Rig or None
            What is wired to what.
        limits : EffectiveLimits
            In force.
        journal : Journal
            Where intents and answers go.
        """
        channels = wire(protocol.montage, rig).channels if rig is not None else ()
        waveform = Waveform(protocol)
        capabilities = driver.capabilities_on(rig)
        return cls(
            driver,
            limits,
            Program(
                frequency_hz=protocol.frequency_hz,
                currents_peak_ma={w.channel: w.current_peak_ma for w in channels},
                phases_deg={w.channel: w.phase_deg for w in channels},
                soft_stop_s=capabilities.soft_stop_s,
                emergency_stop_s=capabilities.emergency_stop_s,
                envelope=waveform.knots,
                carrier_hz=protocol.carrier_hz,
                trains=protocol.n_trains > 0 and not protocol.is_sham,
            ),
            {e.name: e.area_cm2 for e in protocol.montage.electrodes},
            {w.channel: w.electrodes for w in channels},
            journal,
            capabilities,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What the device declares, on its rig."""
        return self._capabilities

    @property
    def level(self) -> float:
        """The level commanded last."""
        return self._level

    def connect(self) -> Identity:
        """Shake hands and silence the device."""
        self._journal.intent("connect", {}, sync=True)
        identity = self._driver.connect()
        self._journal.answer("connect", asdict(identity))
        return identity

    def configure(self) -> Achieved:
        """Load the checked programme at level 0.

        Raises
        ------
        SafetyRefusal
            The programme breaks a limit, or the device would play more than was asked.
        """
        self._refuse(self._breaches(1.0, self._program.frequency_hz))
        self._journal.intent("configure", asdict(self._program), sync=True)
        achieved = self._driver.configure(self._program)
        self._journal.answer("configure", asdict(achieved))
        over = {
            channel: current_ma
            for channel, current_ma in achieved.currents_peak_ma.items()
            if not current_ma <= self._program.currents_peak_ma[channel] + 1e-9
        }
        if over:
            raise SafetyRefusal(
                [
                    Breach(
                        limit="quantised_current_ma",
                        value=current_ma,
                        allowed=self._program.currents_peak_ma[channel],
                        unit="mA",
                        source="the device's grid may only round down",
                        where=f"channel {channel}",
                    )
                    for channel, current_ma in over.items()
                ]
            )
        return achieved

    def ask_start(self) -> None:
        """Write that a person is asked to start the device: from here on it may play."""
        self._journal.intent("start", {"by": "hand"}, sync=True)

    def told(self, word: str) -> None:
        """Hand on the word of the person who works the device."""
        self._driver.told(word)

    def start(self, lease_s: float, now_s: float) -> None:
        """Start at level 0 with a lease, at a scheduled time that the first rise counts from."""
        self._refuse(self._lease_breaches(lease_s))
        self._journal.intent("start", {"lease_s": lease_s}, sync=True)
        self._level, self._level_at_s = 0.0, now_s
        self.forget_tolerated()
        self._driver.start(lease_s)

    def set_level(self, level: float, now_s: float) -> None:
        """Set the fraction of the full current; rises faster than the slew limit are refused.

        Parameters
        ----------
        level : float
            0 to 1.
        now_s : float
            Scheduled time of this command.

        Raises
        ------
        SafetyRefusal
            Outside 0 to 1, past a current limit, or rising too fast; the device keeps its level.
        """
        breaches = self._breaches(level, self._frequency_hz)
        self._tolerate(now_s)
        in_train = self._in_train
        if self._level == 0.0:
            in_train = self._program.trains and self._tolerated > 0.0
        if level > self._level:
            if in_train and level <= self._tolerated:
                # A gap before it must not make up for an edge: no longer ago than a late tick.
                slews = self._slews(level, now_s, MAKE_UP_S)
                breaches += command_breaches(self._limits, edge_slews_ma_per_s=slews)
            else:
                slews = self._slews(level, now_s, math.inf)
                breaches += command_breaches(self._limits, slews_ma_per_s=slews)
        self._refuse(breaches)
        self._journal.intent("set_level", {"level": round(level, 6)}, sync=False)
        self._in_train = in_train
        self._level, self._level_at_s = level, now_s
        self._driver.set_level(level)

    def _slews(self, level: float, now_s: float, longest_s: float) -> dict[str, float]:
        """Rise at each electrode since the last command, or since so long ago at most."""
        since_s = self._level_at_s
        took_s = 0.0 if since_s is None else min(now_s - since_s, longest_s)
        return {
            name: (level - self._level) * peak / took_s if took_s > 0.0 else math.inf
            for name, peak in self._peaks_ma(1.0).items()
        }

    def forget_tolerated(self) -> None:
        """Let no rise be a train's edge until a level has been held long enough again."""
        self._tolerated, self._in_train = 0.0, False

    def _tolerate(self, now_s: float) -> None:
        """Take the level held up to now as tolerated, where that was long enough."""
        since_s = self._level_at_s
        least_s = self._limits["train_tolerated_s"] - TICK_SLACK_S
        if since_s is not None and now_s - since_s >= least_s:
            self._tolerated = max(self._tolerated, self._level)

    def extend_lease(self, elapsed_s: float, lease_s: float) -> None:
        """Renew the lease."""
        self._refuse(self._lease_breaches(lease_s))
        self._journal.intent(
            "extend_lease", {"elapsed_s": round(elapsed_s, 4), "lease_s": lease_s}, sync=False
        )
        self._driver.extend_lease(elapsed_s, lease_s)

    def set_frequency(self, frequency_hz: float) -> float:
        """Retune; refused where the device cannot keep its phase while current flows.

        While current flows, a change is also held against the limit of one step; at zero a new
        frequency is a new train.

        Raises
        ------
        SafetyRefusal
            Past a limit; the device keeps its frequency.
        """
        breaches = self._breaches(self._level, frequency_hz)
        if self._level > 0.0:
            step_hz = abs(frequency_hz - self._frequency_hz)
            breaches += command_breaches(self._limits, retune_hz=step_hz - 1e-9)
        if self._level > 0.0 and self.capabilities.frequency_change != "phase_continuous":
            breaches.append(
                Breach(
                    limit="phase_jump_rad",
                    value=self.capabilities.frequency_change,
                    allowed="phase_continuous",
                    unit="",
                    source=self._limits.source("phase_jump_rad"),
                    where="frequency change while current flows",
                )
            )
        self._refuse(breaches)
        self._journal.intent("set_frequency", {"frequency_hz": frequency_hz}, sync=False)
        achieved_hz = self._driver.set_frequency(frequency_hz)
        self._journal.answer("set_frequency", {"frequency_hz": achieved_hz})
        self._frequency_hz = frequency_hz
        return achieved_hz

    def check_achieved(self, frequency_hz: float, achieved_hz: float) -> None:
        """Refuse what a device made of a frequency, where that is another one.

        Raises
        ------
        SafetyRefusal
            Farther off than the limits allow.
        """
        error_hz, allowed_hz = abs(achieved_hz - frequency_hz), self._limits["frequency_error_hz"]
        if not error_hz <= allowed_hz + 1e-9:
            self._refuse([
                Breach(
                    limit="frequency_error_hz",
                    value=error_hz,
                    allowed=allowed_hz,
                    unit="Hz",
                    source=self._limits.source("frequency_error_hz"),
                    where=f"{frequency_hz:g} Hz asked for, {achieved_hz:g} Hz achieved",
                )
            ])  # fmt: skip

    def soft_stop(self) -> None:
        """End over the soft-stop ramp. Never refused, and sent even where the disk fails."""
        self._level = 0.0
        try:
            self._journal.intent("soft_stop", {}, sync=False)
        finally:
            self._driver.soft_stop()

    def emergency_stop(self) -> None:
        """End over the emergency ramp. Never refused; sent before it is written."""
        self._level = 0.0
        try:
            self._driver.emergency_stop()
        finally:
            self._journal.intent("emergency_stop", {}, sync=False)

    def pump(self, now_s: float) -> None:
        """Have the driver do what is due: samples, the next step of a stop."""
        self._driver.pump(now_s)

    def status(self) -> Status:
        """Ask the device for its state."""
        return self._driver.status()

    def close(self) -> None:
        """Silence the device and release the port."""
        self._driver.close()

    def _peaks_ma(self, level: float) -> dict[str, float]:
        """Worst-case peak at each electrode at a level: magnitudes of its channels, summed."""
        peaks = dict.fromkeys(self._areas_cm2, 0.0)
        for channel, current_ma in self._program.currents_peak_ma.items():
            for electrode in self._electrodes_of[channel]:
                peaks[electrode] += level * current_ma
        return peaks

    def _breaches(self, level: float, frequency_hz: float) -> list[Breach]:
        breaches = command_breaches(
            self._limits,
            peaks_ma=self._peaks_ma(level),
            areas_cm2=self._areas_cm2,
            frequency_hz=frequency_hz,
        )
        if isinstance(level, bool) or not 0.0 <= level <= 1.0:
            breaches.append(
                Breach(
                    limit="level",
                    value=level,
                    allowed=1.0,
                    unit="of the checked current",
                    source="a session never exceeds its protocol",
                    where="command",
                )
            )
        return breaches

    def _lease_breaches(self, lease_s: float) -> list[Breach]:
        return command_breaches(self._limits, lease_s=lease_s)

    @staticmethod
    def _refuse(breaches: Sequence[Breach]) -> None:
        if breaches:
            raise SafetyRefusal(breaches)
