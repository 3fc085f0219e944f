"""A stimulator without remote control: a person sets it, starts it and stops it.

Nothing is sent anywhere. The driver knows the device's panel from the rig file, works out what its
grids make of a programme, and repeats what the person said: whether anything plays. None of it is
verified by a machine, and the declaration says so.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final

from tacs.by_hand import SILENT
from tacs.capabilities import Capabilities
from tacs.clock import Clock
from tacs.driver import Achieved, Driver, Identity, Program, Status
from tacs.errors import DeviceRefused, InputError, UncertainDelivery
from tacs.hand_panel import Panel, exact
from tacs.rig import Rig

__all__ = ["Manual"]

N_CHANNELS: Final = 16
DEVICE_STOP_S: Final = 0.8
START_WORD_S: Final = 60.0
SILENT_WITHIN_S: Final = 30.0
PHASE_STEP_DEG: Final = 0.001  # the panel's own grid is in the rig


class Manual(Driver):
    """Stand for a device that a person works.

    Parameters
    ----------
    rig : Rig
        Whose ``options`` describe the panel; see :class:`tacs.hand_panel.Panel`.
    address : str
        What the operator calls the device; nothing is opened.

    Raises
    ------
    InputError
        No rig, a rig for another device, a panel that is not described, or a monitor.

    Notes
    -----
    The grids that it declares are the finest of any panel; those of the rig's panel are held
    against a protocol by :func:`tacs.by_hand.hand_breaches`. ``soft_stop_s`` and
    ``emergency_stop_s`` count from a press on the device's own stop: until a person presses it,
    time passes that nothing here can bound.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        name="manual",
        verified=False,
        output="current",
        n_channels=N_CHANNELS,
        shared_frequency=True,
        frequency_min_hz=0.01,
        frequency_max_hz=1000.0,
        frequency_step_hz=0.001,
        phase_step_deg=PHASE_STEP_DEG,
        amplitude_step_v=0.0,
        amplitude_max_v=0.0,
        frequency_change="stop_first",
        device_ramps=True,
        soft_stop=False,
        status_readback=False,
        level_control=False,
        machine_verified=False,
        impedance=False,
        current_readback=False,
        play_duration_max_s=3600.0,
        soft_stop_s=DEVICE_STOP_S,
        emergency_stop_s=0.1,
        stop_grace_s=SILENT_WITHIN_S + 1.0,
        no_trains="a person sets it, and it runs an envelope of its own",
        on_host_loss=(
            "the device knows nothing of this computer: it plays its programme to the end unless "
            "somebody presses its own stop"
        ),
        host_loss="programme",
        host_loss_worst_case_s=START_WORD_S,
        not_detectable=(
            "whether the device is set as it was typed",
            "whether and when the device was started and stopped",
            "how long a person takes to press stop",
            "open or detached electrode",
            "short circuit or gel bridge between electrodes",
            "drying electrodes and rising impedance",
            "device out of compliance (current below the setting)",
            "device off its calibration (current above or below the setting)",
            "DC offset of the device",
            "device switched off, in an error state, or ended by itself",
            "swapped leads or electrodes",
        ),
        not_detectable_monitored=("swapped leads or electrodes",),
    )

    def __init__(self, rig: Rig | None, address: str = "") -> None:
        self._rig, self.panel = _fitting(rig)
        self._address = address
        self._channels: tuple[int, ...] = ()
        self._playing: tuple[int, ...] = ()
        self._stopping = False
        self._stopping_since_s: float | None = None

    @classmethod
    def open(cls, address: str, rig: Rig | None, clock: Clock) -> Manual:
        """Take the rig; there is no port.

        Raises
        ------
        InputError
            No rig, or one that does not fit.
        """
        return cls(rig, address)

    @classmethod
    def over(cls, transport: Any, rig: Rig | None) -> Manual:
        """Take the rig; nothing is sent over any transport."""
        return cls(rig)

    def connect(self) -> Identity:
        """Say which device it is, as the rig file has it."""
        return Identity(
            model=self.panel.device_name,
            firmware="not known",
            details={"address": self._address, "machine_verified": False},
        )

    def configure(self, program: Program) -> Achieved:
        """Return what the panel's grids make of a programme; a person has set it by now.

        Raises
        ------
        InputError
            A channel that the rig does not have, a carrier, or unequal phases on a panel without
            phases.
        DeviceRefused
            The device still plays, as far as anybody said.
        """
        if self._playing:
            raise DeviceRefused(f"{self.panel.device_name}: nobody said that it is silent")
        if program.carrier_hz is not None:
            raise InputError(f"{self.panel.device_name}: plays a plain sine only")
        wired = {channel.channel for channel in self._rig.channels}
        if unknown := sorted(set(program.currents_peak_ma) - wired):
            raise InputError(f"rig {self._rig.name!r} has no channel {unknown}; it has {wired}")
        self._refuse_phases(program)
        panel = self.panel
        achieved = {
            channel: panel.current_peak_ma(panel.amplitude(_current(channel, current_ma)))
            for channel, current_ma in program.currents_peak_ma.items()
        }
        self._channels = tuple(sorted(program.currents_peak_ma))
        return Achieved(
            frequency_hz=panel.frequency_hz(panel.frequency(program.frequency_hz)),
            currents_peak_ma=achieved,
        )

    def start(self, lease_s: float) -> None:
        """Take it that the device plays: the person said so; it knows no lease.

        Raises
        ------
        InputError
            Nothing was configured.
        """
        if not self._channels:
            raise InputError("configure a programme before starting it")
        self._playing, self._stopping, self._stopping_since_s = self._channels, False, None

    def set_level(self, level: float) -> None:
        """Take it as told: the device runs its own envelope."""
        if isinstance(level, bool) or not 0.0 <= level <= 1.0:
            raise InputError(f"level {level} is no number from 0 to 1")

    def extend_lease(self, elapsed_s: float, lease_s: float) -> None:
        """Do nothing: the device ends with its programme, not with a lease."""

    def set_frequency(self, frequency_hz: float) -> float:
        """Refuse: only a person could, and not while current flows.

        Raises
        ------
        DeviceRefused
            Always.
        """
        raise DeviceRefused(f"{self.panel.device_name}: its frequency is set by hand, at rest")

    def pump(self, now_s: float) -> None:
        """Watch how long the word that the device is silent is due.

        Raises
        ------
        UncertainDelivery
            Nobody confirmed that the device is silent.
        """
        if not (self._stopping and self._playing):
            return
        if self._stopping_since_s is None:
            self._stopping_since_s = now_s
        if not now_s - self._stopping_since_s <= SILENT_WITHIN_S:
            raise UncertainDelivery("nobody confirmed that the device is silent")

    def told(self, word: str) -> None:
        """Take the word of the person who works the device."""
        if word == SILENT:
            self._playing = ()

    def soft_stop(self) -> None:
        """Want the device stopped: the guardian tells the person."""
        self._stopping = True

    def emergency_stop(self) -> None:
        """Want the device stopped: there is one stop only, the person's."""
        self._stopping = True

    def status(self) -> Status:
        """Return what the person said; nothing was asked of the device."""
        return Status(
            playing=self._playing,
            current_peak_ma=None,
            impedance_kohm=None,
            details={"machine_verified": False, "stop_wanted": self._stopping},
        )

    def close(self) -> None:
        """Let go; what the device does is not in the suite's hands. Safe to repeat.

        Raises
        ------
        UncertainDelivery
            Nobody said that it is silent.
        """
        playing, self._playing = self._playing, ()
        if playing:
            raise UncertainDelivery(
                f"{self.panel.device_name}: nobody confirmed that the device is silent"
            )

    def _refuse_phases(self, program: Program) -> None:
        """Raise where the panel cannot have the phases of a programme."""
        phases = {phase % 360.0 for phase in program.phases_deg.values()}
        step = self.panel.phase_step_deg
        if step is None and len(phases) > 1:
            raise InputError(
                f"{self.panel.device_name} has no phase setting; got {dict(program.phases_deg)}"
            )
        if step is not None:
            off = [phase for phase in phases if (exact(phase) / step).denominator != 1]
            if off:
                raise InputError(f"{self.panel.device_name}: phases {off} are off its grid")


def _fitting(rig: Rig | None) -> tuple[Rig, Panel]:
    """The rig and its panel, or why it cannot be."""
    if rig is None:
        raise InputError("manual: a rig file must say what is wired to the device; give --rig")
    if rig.device != "manual":
        raise InputError(f"rig {rig.name!r} is for {rig.device}, not for manual")
    if not rig.channels:
        raise InputError(f"rig {rig.name!r}: write one [[channels]] per pair of electrodes")
    if rig.monitor is not None:
        raise InputError(
            f"rig {rig.name!r}: a monitor cannot be judged against a start that a person types; "
            f"take [monitor] out"
        )
    if too_many := [c.channel for c in rig.channels if c.channel > N_CHANNELS]:
        raise InputError(f"rig {rig.name!r}: channels {too_many}; at most {N_CHANNELS}")
    return rig, Panel.of(rig)


def _current(channel: int, current_peak_ma: float) -> float:
    if not (math.isfinite(current_peak_ma) and current_peak_ma >= 0.0):
        raise InputError(
            f"channel {channel}: {current_peak_ma} mA is not a zero-to-peak current; it must be a "
            f"finite number, 0 or more"
        )
    return current_peak_ma
