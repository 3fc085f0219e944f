"""What the driver of SCPI waveform generators declares, and which rigs it takes."""

from __future__ import annotations

from typing import Final

from devices.scpi_dialects import DIALECTS
from devices.scpi_programme import CYCLE_MARGIN_S, STEP_MAX_LEVEL, STEP_PERIOD_S
from tacs.capabilities import Capabilities
from tacs.errors import InputError
from tacs.rig import Rig

__all__ = ["CAPABILITIES", "fitting"]

N_CHANNELS: Final = 2
FREQUENCY_MIN_HZ: Final = 0.5

CAPABILITIES: Final = Capabilities(
    name="scpi",
    verified=False,
    output="voltage",
    n_channels=N_CHANNELS,
    shared_frequency=True,
    frequency_min_hz=FREQUENCY_MIN_HZ,
    frequency_max_hz=1000.0,
    frequency_step_hz=1e-6,
    phase_step_deg=0.1,
    amplitude_step_v=5e-5,
    amplitude_max_v=10.0,
    frequency_change="stop_first",
    device_ramps=False,
    soft_stop=True,
    status_readback=True,
    impedance=False,
    current_readback=False,
    play_duration_max_s=3600.0,
    soft_stop_s=0.8,
    emergency_stop_s=0.1,
    host_loss="programme",
    on_host_loss=(
        "the current goes on at the level reached, to the end of the burst that the instrument "
        "holds, which is the length of the session and a little more; switch its output or the "
        "stimulators off by hand"
    ),
    no_trains="",
    train_edge_min_s=STEP_PERIOD_S / STEP_MAX_LEVEL,
    host_loss_worst_case_s=CYCLE_MARGIN_S + 1.0 / FREQUENCY_MIN_HZ,
    not_detectable=(
        "open or detached electrode",
        "short circuit or gel bridge between electrodes",
        "drying electrodes and rising impedance",
        "stimulator out of compliance (current below the command)",
        "stimulator gain off its calibration (current above or below the command)",
        "DC offset of the stimulator",
        "stimulator switched off, in an error state or unplugged",
        "a glitch when the generator changes its output range",
        "a burst that ended early, or began anew, when the amplitude was changed",
        "phase between two channels (nothing reads it back)",
        "swapped leads or electrodes",
        "current between loops whose isolation failed",
    ),
    not_detectable_monitored=("swapped leads or electrodes",),
)


def fitting(rig: Rig | None) -> Rig:
    """Return the rig.

    Raises
    ------
    InputError
        There is none, or it does not fit: one line.
    """
    if rig is None:
        raise InputError(
            "a waveform generator is a voltage source: give the rig file that says which "
            "stimulator is behind it (--rig RIG.toml)"
        )
    if rig.device != CAPABILITIES.name:
        raise InputError(f"rig {rig.name!r} is for the device {rig.device!r}, not for scpi")
    if unknown := sorted(set(rig.options) - {"dialect"}):
        raise InputError(
            f"rig {rig.name!r}: options.{unknown[0]} is unknown; scpi has only options.dialect"
        )
    wanted = rig.options.get("dialect")
    if wanted is not None and wanted not in DIALECTS:
        raise InputError(
            f"rig {rig.name!r}: options.dialect {wanted!r} is unknown; write one of "
            f"{', '.join(DIALECTS)}"
        )
    if beyond := [c.channel for c in rig.channels if c.channel > N_CHANNELS]:
        raise InputError(
            f"rig {rig.name!r}: channel {beyond[0]} does not exist; these generators have at most "
            f"{N_CHANNELS}"
        )
    return rig
