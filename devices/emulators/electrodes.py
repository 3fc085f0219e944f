"""Isolated stimulators and the electrodes behind them: from input volts to current in a person.

A stimulator drives ``gain × volts`` until it runs out of voltage: the current is limited to
compliance over the impedance of the loop, which is its physics and no doing of the suite. A loop
with an electrode that is not attached is open and carries nothing.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacs.errors import InputError
from tacs.rig import Rig, RigChannel

__all__ = ["Electrodes", "parse_contact"]

IMPEDANCE_KOHM = 5.0
SHORT_KOHM = 0.1


@dataclass(frozen=True, slots=True)
class _Contact:
    """One electrode from some instant on."""

    impedance_kohm: float
    drying_kohm_per_s: float = 0.0
    since_s: float = 0.0
    attached: bool = True
    leak: float = 0.0  # part of its current that takes another way

    def kohm(self, time_s: float) -> float:
        """Impedance at an instant, whether attached or not."""
        return self.impedance_kohm + self.drying_kohm_per_s * (time_s - self.since_s)


@dataclass(frozen=True, slots=True)
class _State:
    """Everything that decides the currents, from some instant on."""

    contacts: Mapping[str, _Contact]
    gain_factor: float = 1.0
    offset_ma: float = 0.0
    compliance_v: float = math.inf  # the stimulators' own, where that is less


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
        found: dict[str, _Contact] = {}
        known = set(rig.electrodes)
        for text in contacts:
            name, impedance_kohm = parse_contact(text)
            if name not in known:
                raise InputError(
                    f"contact {name}: not in rig {rig.name!r}, which has {', '.join(sorted(known))}"
                )
            if name in found:
                raise InputError(f"contact {name}: given twice")
            found[name] = _Contact(impedance_kohm)
        if not found:
            raise InputError("no contact is attached; give at least one, such as Oz=5")
        self._names = tuple(found)
        self._loops = tuple(c for c in rig.channels if {c.positive, c.negative} <= set(found))
        self._outputs = tuple(o for o in rig.outputs if o.electrode in found)
        self._times_s = [start_s]
        self._states = [_State(found)]

    @property
    def contacts(self) -> tuple[str, ...]:
        """Attached electrodes, in the order given."""
        return self._names

    @property
    def generator_outputs(self) -> tuple[int, ...]:
        """Outputs whose loops are attached at both ends, or whose electrode is, from 1."""
        loops = tuple(loop.channel for loop in self._loops)
        return loops + tuple(output.channel for output in self._outputs)

    @property
    def state(self) -> object:
        """What holds now; another object after every change."""
        return self._states[-1]

    def detach(self, name: str, now_s: float) -> None:
        """Open every loop through an electrode from now on."""
        self._change_contact(name, now_s, attached=False)

    def set_impedance(self, name: str, impedance_kohm: float, now_s: float) -> None:
        """Change the impedance of a contact, for good."""
        self._change_contact(name, now_s, impedance_kohm=impedance_kohm, drying_kohm_per_s=0.0)

    def dry(self, name: str, kohm_per_min: float, now_s: float) -> None:
        """Have the impedance of a contact rise evenly from now on."""
        contact = self._states[-1].contacts[self._known(name)]
        self._change_contact(
            name,
            now_s,
            impedance_kohm=contact.kohm(now_s),
            drying_kohm_per_s=kohm_per_min / 60.0,
            since_s=now_s,
        )

    def leak(self, name: str, part: float, now_s: float) -> None:
        """Have a part of an electrode's current take another way than through the electrode."""
        self._change_contact(name, now_s, leak=part)

    def set_gain_factor(self, factor: float, now_s: float) -> None:
        """Have every stimulator deliver ``factor`` times what its calibration says."""
        self._change(now_s, gain_factor=factor)

    def set_offset(self, offset_ma: float, now_s: float) -> None:
        """Have every stimulator add a direct current."""
        self._change(now_s, offset_ma=offset_ma)

    def set_compliance(self, compliance_v: float, now_s: float) -> None:
        """Have every stimulator run out of voltage at ``compliance_v``, or at less of its own."""
        self._change(now_s, compliance_v=compliance_v)

    def impedance_kohm(self, name: str, time_s: float) -> float:
        """Return the impedance of a contact at an instant; infinite where there is none."""
        state = self._states[self._index(time_s)]
        contact = state.contacts.get(name)
        return contact.kohm(time_s) if contact is not None and contact.attached else math.inf

    def currents_ma(
        self, times_s: NDArray[np.float64], volts: Mapping[int, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Return the current out of every contact.

        Parameters
        ----------
        times_s : ndarray, shape (n,)
            Clock times in ascending order, none before what was forgotten.
        volts : mapping of int to ndarray, shape (n,)
            Voltage at each of :attr:`generator_outputs`; of a current source, milliampere.

        Returns
        -------
        ndarray, shape (n_contacts, n)
            Milliampere, positive out of the contact.
        """
        currents = np.zeros((len(self._names), len(times_s)))
        first, last = self._index(float(times_s[0])), self._index(float(times_s[-1]))
        starts = np.searchsorted(times_s, self._times_s[first + 1 : last + 1])
        edges = [0, *starts.tolist(), len(times_s)]
        for state, start, end in zip(
            self._states[first : last + 1], edges[:-1], edges[1:], strict=True
        ):
            part = slice(start, end)
            for loop in self._loops:
                current = _loop_ma(state, loop, times_s[part], volts[loop.channel][part])
                for name, sign in ((loop.positive, 1.0), (loop.negative, -1.0)):
                    through = sign * (1.0 - state.contacts[name].leak)
                    currents[self._names.index(name), part] += through * current
            for output in self._outputs:
                contact = state.contacts[output.electrode]
                ends = (contact,)
                current = _driven_ma(
                    state, ends, times_s[part], volts[output.channel][part], output.compliance_v
                )
                row = self._names.index(output.electrode)
                currents[row, part] += (1.0 - contact.leak) * current
        return currents

    def forget(self, before_s: float) -> None:
        """Drop states that ended before an instant, which nobody will ask for again."""
        past = self._index(before_s)
        del self._times_s[:past], self._states[:past]

    def _known(self, name: str) -> str:
        if name not in self._names:
            raise InputError(
                f"electrode {name!r} is not attached; attached: {', '.join(self.contacts)}"
            )
        return name

    def _change_contact(self, name: str, now_s: float, **changes: Any) -> None:
        contacts = dict(self._states[-1].contacts)
        contacts[name] = replace(contacts[self._known(name)], **changes)
        self._note(now_s, replace(self._states[-1], contacts=contacts))

    def _change(self, now_s: float, **changes: Any) -> None:
        self._note(now_s, replace(self._states[-1], **changes))

    def _note(self, now_s: float, state: _State) -> None:
        self._times_s.append(now_s)
        self._states.append(state)

    def _index(self, time_s: float) -> int:
        """State that holds at an instant."""
        return max(bisect.bisect_right(self._times_s, time_s) - 1, 0)


def _loop_ma(
    state: _State,
    loop: RigChannel,
    times_s: NDArray[np.float64],
    volts: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Current of one loop while one state holds."""
    ends = (state.contacts[loop.positive], state.contacts[loop.negative])
    wanted_ma = volts * (1.0 if loop.gain_ma_per_v is None else loop.gain_ma_per_v)
    return _driven_ma(state, ends, times_s, wanted_ma, loop.compliance_v)


def _driven_ma(
    state: _State,
    ends: Sequence[_Contact],
    times_s: NDArray[np.float64],
    wanted_ma: NDArray[np.float64],
    compliance_v: float,
) -> NDArray[np.float64]:
    """Current through one or two contacts of what is wanted while one state holds."""
    if not all(contact.attached for contact in ends):
        return np.zeros(len(times_s))
    since_s = float(times_s[0]) if len(times_s) else 0.0
    kohm: float | NDArray[np.float64] = sum(contact.kohm(since_s) for contact in ends)
    if drying := sum(contact.drying_kohm_per_s for contact in ends):
        kohm = kohm + drying * (times_s - since_s)
    limit_ma = min(compliance_v, state.compliance_v) / kohm
    given_ma = wanted_ma * state.gain_factor + state.offset_ma
    limited: NDArray[np.float64] = np.minimum(np.maximum(given_ma, -limit_ma), limit_ma)
    return limited


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
