"""What a rig file says about a NIC: which output is which electrode, and which protocol to load.

The driver loads a protocol that somebody made in NIC beforehand, with 0 µA on every channel and a
finite length: when the computer that runs the suite dies, its end is what ends the current.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from devices.nic2_wire import CHANNELS_MAX, SLOPE_MIN_UA_PER_MS
from tacs.errors import InputError
from tacs.limits import LIMITS
from tacs.rig import Rig

__all__ = ["MARGIN_S", "SPARE_S", "Nic2Rig"]

NAME: Final = "nic2"
SPARE_S: Final = 2.0  # the protocol must not end before the session has been stopped
WAIT_S: Final = 120.0  # that it may be under way before the session begins
MARGIN_S: Final = 200.0  # by which it may be longer than the session
MINUTES: Final = "{minutes}"
CHECKS: Final = ("none", "AC", "DC")
KNOWN: Final = (
    "protocol",
    "protocol_duration_s",
    "impedance_check",
    "impedance_max_kohm",
    "slope_min_ua_per_ms",
)
HOW: Final = (
    'write protocol = "NAME" and protocol_duration_s = SECONDS, or a name with {minutes} in it, '
    'such as "tacs zero {minutes} min"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic2Rig:
    """The part of a rig that only this driver knows.

    Parameters
    ----------
    name : str
        Of the rig.
    electrodes : dict of int to str
        Electrode at each output.
    limits_ma : dict of int to float
        Largest current of each output.
    protocol : str
        Name of the zero-current protocol in NIC; ``{minutes}`` in it stands for its length.
    protocol_duration_s : float or None
        Length of that protocol, NIC's own ramps included; None where the name tells it.
    impedance_check : {"none", "AC", "DC"}
        Whether NIC is to check the contacts before a session, and how.
    impedance_max_kohm : float
        Above which a contact in use is refused then.
    slope_min_ua_per_ms : float
        More slowly than this no channel is moved; the client of NIC warns below 0.061.
    """

    name: str
    electrodes: dict[int, str]
    limits_ma: dict[int, float]
    protocol: str
    protocol_duration_s: float | None
    impedance_check: str
    impedance_max_kohm: float
    slope_min_ua_per_ms: float

    @classmethod
    def of(cls, rig: Rig | None) -> Nic2Rig:
        """Read a rig.

        Raises
        ------
        InputError
            No rig, one for another device or of isolated loops, or options that cannot be.
        """
        if rig is None:
            raise InputError(
                "NIC drives each electrode by itself: give the rig file that says which electrode "
                "is at which of its channels (--rig RIG.toml)"
            )
        if rig.device != NAME:
            raise InputError(f"rig {rig.name!r} is for the device {rig.device!r}, not for {NAME}")
        if not rig.outputs:
            raise InputError(
                f"rig {rig.name!r}: NIC drives each electrode by itself; write one [[outputs]] "
                f"table per electrode instead of [[channels]]"
            )
        if beyond := [o.channel for o in rig.outputs if o.channel > CHANNELS_MAX]:
            raise InputError(
                f"rig {rig.name!r}: channel {beyond[0]} does not exist; NIC has at most "
                f"{CHANNELS_MAX}"
            )
        where = f"rig {rig.name!r}, options"
        if unknown := sorted(set(rig.options) - set(KNOWN)):
            raise InputError(f"{where}: {unknown[0]} is unknown; known: {', '.join(KNOWN)}")
        protocol = rig.options.get("protocol")
        if not (isinstance(protocol, str) and protocol.isascii() and protocol.isprintable()):
            raise InputError(f"{where}.protocol: {protocol!r} is no name of a NIC protocol; {HOW}")
        if not protocol.strip() or ";" in protocol:
            raise InputError(f"{where}.protocol: {protocol!r} is no name of a NIC protocol; {HOW}")
        limit = LIMITS["impedance_start_kohm"]
        check = rig.options.get("impedance_check", "none")
        if check not in CHECKS:
            raise InputError(
                f"{where}.impedance_check: {check!r} is none of {', '.join(map(repr, CHECKS))}"
            )
        return cls(
            name=rig.name,
            electrodes={output.channel: output.electrode for output in rig.outputs},
            limits_ma={output.channel: output.current_max_ma for output in rig.outputs},
            protocol=protocol,
            protocol_duration_s=_duration_s(
                where, protocol, rig.options.get("protocol_duration_s")
            ),
            impedance_check=str(check),
            impedance_max_kohm=_at_most(
                where, rig.options, "impedance_max_kohm", limit.default, limit.ceiling, "kΩ"
            ),
            slope_min_ua_per_ms=_at_most(
                where,
                rig.options,
                "slope_min_ua_per_ms",
                SLOPE_MIN_UA_PER_MS,
                SLOPE_MIN_UA_PER_MS,
                "µA/ms",
            ),
        )

    def protocol_for(self, session_s: float) -> tuple[str, float]:
        """Return the name and the length in seconds of the protocol that holds a session.

        Raises
        ------
        InputError
            The protocol is too short for the session, or goes on for too long after it.
        """
        needed_s = session_s + SPARE_S
        if self.protocol_duration_s is None:
            minutes = max(math.ceil((needed_s + WAIT_S) / 60.0), 1)
            return self.protocol.replace(MINUTES, str(minutes)), 60.0 * minutes
        length_s = self.protocol_duration_s
        if not length_s >= needed_s:
            raise InputError(
                f"rig {self.name!r}: the NIC protocol {self.protocol!r} ends after {length_s:g} s, "
                f"before the session of {session_s:g} s (it needs {SPARE_S:g} s more); make a "
                f"longer one in NIC, or a shorter session"
            )
        if not length_s <= session_s + MARGIN_S:
            raise InputError(
                f"rig {self.name!r}: the NIC protocol {self.protocol!r} goes on for {length_s:g} s "
                f"and the session is over after {session_s:g} s; NIC's current ends with its "
                f"protocol when this computer dies, so it may be at most {MARGIN_S:g} s longer: "
                f"make a shorter one in NIC, or name a series of them with {MINUTES}"
            )
        return self.protocol, length_s


def _at_most(
    where: str,
    options: Mapping[str, object],
    name: str,
    default: float,
    largest: float,
    unit: str,
) -> float:
    """A number above zero that may not be larger than another."""
    value = options.get(name, default)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0.0 < value <= largest:
            return float(value)
    raise InputError(f"{where}.{name}: {value!r} is not more than 0 and at most {largest:g} {unit}")


def _duration_s(where: str, protocol: str, value: object) -> float | None:
    """Length of the protocol as written; None where its name tells it."""
    if MINUTES in protocol:
        if value is not None:
            raise InputError(
                f"{where}.protocol_duration_s: leave it out; {protocol!r} says how long it is"
            )
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value) and value > 0.0:
            return float(value)
    raise InputError(f"{where}.protocol_duration_s: {value!r} is no length in seconds; {HOW}")
