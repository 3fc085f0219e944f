"""What may stand in the rig file of a StimJim."""

from __future__ import annotations

from typing import Final

from tacs.errors import InputError
from tacs.rig import Rig

__all__ = ["COMPLIANCE_V", "NAME", "N_CHANNELS", "fitting"]

NAME: Final = "stimjim"
N_CHANNELS: Final = 2
COMPLIANCE_V: Final = 13.7  # of its current pump, whatever the load


def fitting(rig: Rig | None) -> Rig:
    """Return the rig of a StimJim.

    Raises
    ------
    InputError
        None was given, or it is not what this device can be wired to; one clear line.
    """
    if rig is None:
        raise InputError(
            "StimJim needs the rig file that says what is wired to its outputs (--rig RIG.toml)"
        )
    if rig.device != NAME:
        raise InputError(f"rig {rig.name!r} is for the device {rig.device!r}, not for {NAME}")
    if rig.outputs or not rig.channels:
        raise InputError(
            f"rig {rig.name!r}: StimJim has isolated loops; write [[channels]], not [[outputs]]"
        )
    if rig.options:
        raise InputError(f"rig {rig.name!r}: {NAME} has no options; take {sorted(rig.options)} out")
    for wired in rig.channels:
        if wired.channel > N_CHANNELS:
            raise InputError(
                f"rig {rig.name!r}: channel {wired.channel} does not exist; StimJim has "
                f"{N_CHANNELS}"
            )
        if wired.gain_ma_per_v is not None or wired.input_max_v is not None:
            raise InputError(
                f"rig {rig.name!r}, channel {wired.channel}: StimJim is a current source; take "
                f"gain_ma_per_v and input_max_v out"
            )
        if wired.compliance_v > COMPLIANCE_V:
            raise InputError(
                f"rig {rig.name!r}, channel {wired.channel}: compliance_v is "
                f"{wired.compliance_v:g}, and StimJim has {COMPLIANCE_V:g} V at most"
            )
    return rig
