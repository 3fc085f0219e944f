"""Isolated stimulators and the electrodes behind them: from input volts to current in a person.

A stimulator drives ``gain × volts`` until it runs out of voltage: the current is limited to
compliance over the impedance of the loop, which is its physics and no doing of the suite. A loop
with an electrode that is not attached is open and carries nothing.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tacs.errors import InputError
from tacs.rig import Rig, RigChannel

__all__ = ["Electrodes", "parse_contact"]

IMPEDANCE_KOHM = 5.0
SHORT_KOHM = 0.1


@dataclass(frozen=True, slots=True)
class _Path:
    """State of one loop from some instant on."""

    ma_per_v: float
    limit_ma: float
    offset_ma: float


class Electrodes:
    """Contacts on a head, and the stimulators of a rig.

    Parameters
    ----------
    rig : Rig
        Which stimulator drives which pair.
    contacts : sequence of str
        Attached electrodes, ``"Oz"`` or ``"Oz=5"`` with the impedance in kΩ.
    start_s : float
        Clock time.

    Raises
    ------
    InputError
        A contact that the rig does not have, a repeated one, or an impedance that is none.
    """

    def __init__(self, rig: Rig, contacts: Sequence[str], start_s: float) -> None:
        self._impedance_kohm: dict[str, float] = {}
        known = {name for c in rig.channels for name in (c.positive, c.negative)}
        for text in contacts:
            name, impedance_kohm = parse_contact(text)
            if name not in known:
                raise InputError(
                    f"contact {name}: not in rig {rig.name!r}, which has {', '.join(sorted(known))}"
                )
            if name in self._impedance_kohm:
                raise InputError(f"contact {name}: given twice")
            self._impedance_kohm[name] = impedance_kohm
        if not self._impedance_kohm:
            raise InputError("no contact is attached; give at least one, such as Oz=5")
        self._loops = tuple(
            c for c in rig.channels if {c.positive, c.negative} <= set(self._impedance_kohm)
        )
        self._open: set[str] = set()
        self._gain_factor = 1.0
        self._offset_ma = 0.0
        self._times_s = [start_s]
        self._states = [self._state()]

    @property
    def contacts(self) -> tuple[str, ...]:
        """Attached electrodes, in the order given."""
        return tuple(self._impedance_kohm)

    @property
    def generator_outputs(self) -> tuple[int, ...]:
        """Outputs whose loops are attached at both ends, counted from 1."""
        return tuple(loop.channel for loop in self._loops)

    def detach(self, name: str, now_s: float) -> None:
        """Open every loop through an electrode from now on."""
        self._open.add(self._known(name))
        self._change(now_s)

    def set_impedance(self, name: str, impedance_kohm: float, now_s: float) -> None:
        """Change the impedance of a contact."""
        self._impedance_kohm[self._known(name)] = impedance_kohm
        self._change(now_s)

    def set_gain_factor(self, factor: float, now_s: float) -> None:
        """Have every stimulator deliver ``factor`` times what its calibration says."""
        self._gain_factor = factor
        self._change(now_s)

    def set_offset(self, offset_ma: float, now_s: float) -> None:
        """Have every stimulator add a direct current."""
        self._offset_ma = offset_ma
        self._change(now_s)

    def currents_ma(
        self, times_s: NDArray[np.float64], volts: Mapping[int, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Return the current out of every contact.

        Parameters
        ----------
        times_s : ndarray, shape (n,)
            Clock times in ascending order, none before those of an earlier call.
        volts : mapping of int to ndarray, shape (n,)
            Voltage at each of :attr:`generator_outputs`.

        Returns
        -------
        ndarray, shape (n_contacts, n)
            Milliampere, positive out of the contact.
        """
        names = list(self._impedance_kohm)
        currents = np.zeros((len(names), len(times_s)))
        which = np.searchsorted(self._times_s, times_s, side="right") - 1
        for index, loop in enumerate(self._loops):
            paths = [state[index] for state in self._states]
            gain = np.array([p.ma_per_v for p in paths])[which]
            limit = np.array([p.limit_ma for p in paths])[which]
            offset = np.array([p.offset_ma for p in paths])[which]
            current = np.clip(gain * volts[loop.channel] + offset, -limit, limit)
            currents[names.index(loop.positive)] += current
            currents[names.index(loop.negative)] -= current
        self._forget(float(times_s[-1]))
        return currents

    def _known(self, name: str) -> str:
        if name not in self._impedance_kohm:
            raise InputError(
                f"electrode {name!r} is not attached; attached: {', '.join(self.contacts)}"
            )
        return name

    def _change(self, now_s: float) -> None:
        self._times_s.append(now_s)
        self._states.append(self._state())

    def _forget(self, before_s: float) -> None:
        """Drop states that ended before an instant."""
        past = max(bisect.bisect_right(self._times_s, before_s) - 1, 0)
        del self._times_s[:past], self._states[:past]

    def _state(self) -> tuple[_Path, ...]:
        return tuple(self._path(loop) for loop in self._loops)

    def _path(self, loop: RigChannel) -> _Path:
        ends = {loop.positive, loop.negative}
        if ends & self._open:
            return _Path(loop.gain_ma_per_v, 0.0, 0.0)
        loop_kohm = sum(self._impedance_kohm[name] for name in ends)
        return _Path(
            loop.gain_ma_per_v * self._gain_factor, loop.compliance_v / loop_kohm, self._offset_ma
        )


def parse_contact(text: str) -> tuple[str, float]:
    """Read ``"Oz"`` or ``"Oz=5"``: name and impedance in kΩ.

    Raises
    ------
    InputError
        The impedance is not a positive number.
    """
    name, _, value = text.partition("=")
    try:
        impedance_kohm = float(value) if value else IMPEDANCE_KOHM
    except ValueError:
        impedance_kohm = math.nan
    if not (name and math.isfinite(impedance_kohm) and impedance_kohm > 0.0):
        raise InputError(f"contact {text!r}: write NAME or NAME=KOHM, such as Oz=5")
    return name, impedance_kohm
