"""What a front end asks a guardian to run, as one JSON object.

Nothing in it is trusted: the guardian builds every model again from its data, holds every limit
against the hard ceilings, and checks the protocol as if nobody had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tacs.checking import Setup
from tacs.double_entry import Entry
from tacs.driver import DeviceName, find_driver
from tacs.errors import InputError
from tacs.limits import LIMITS, EffectiveLimits
from tacs.protocol import Protocol
from tacs.record import canonical
from tacs.rig import Rig

__all__ = ["SessionRequest"]


def _digest(limits: EffectiveLimits) -> str:
    """Hash of the limits in force."""
    return hashlib.sha256(canonical(dict(limits)).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """One session to be run.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    setup : Setup
        Device, rig, limits and site.
    subject, session : str
        BIDS labels.
    dataset : Path
        BIDS data set.
    faults : tuple of str
        For emulated devices only.
    titrate : bool
        Whether the operator raises the level in steps.
    operator, role : str
        Who runs it.
    overrides : mapping of str to str
        Limit that is overridden, and the reason.
    stratum : str
        Of a blinded study with more than one; else empty.
    people : bool
        Whether screening, consent, checklist and identity must be in the data set's journal; on a
        real device they must be, whatever is asked.
    settings : tuple of Entry
        Of a device that a person sets: what two people read off its panel.
    """

    protocol: Protocol
    setup: Setup
    subject: str
    session: str
    dataset: Path
    faults: tuple[str, ...] = ()
    titrate: bool = False
    operator: str = ""
    role: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    stratum: str = ""
    people: bool = False
    settings: tuple[Entry, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """Return plain JSON types."""
        setup = self.setup
        return {
            "protocol": self.protocol.to_data(),
            "protocol_sha256": self.protocol.sha256(),
            "device": str(setup.device),
            "rig": None if setup.rig is None else setup.rig.to_data(),
            "limits": dict(setup.limits),
            "limits_set_by": dict(setup.limits.set_by),
            "limits_sha256": _digest(setup.limits),
            "site": str(setup.site.resolve()),
            "participant": setup.participant,
            "consent_version": setup.consent_version,
            "site_people": list(setup.people),
            "subject": self.subject,
            "session": self.session,
            "dataset": str(self.dataset.resolve()),
            "faults": list(self.faults),
            "titrate": self.titrate,
            "operator": self.operator,
            "role": self.role,
            "overrides": dict(self.overrides),
            "stratum": self.stratum,
            "people": self.people,
            "settings": [entry.to_data() for entry in self.settings],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> SessionRequest:
        """Build the request again.

        Raises
        ------
        InputError
            Something in it does not hold: a model's rule, a limit past its ceiling, a protocol
            that is not the one it was sent for.
        """
        protocol = Protocol.from_data(data["protocol"], "the request")
        if protocol.sha256() != data["protocol_sha256"]:
            raise InputError("the request: the protocol is not the one that was approved")
        limits = EffectiveLimits(
            {name: float(data["limits"][name]) for name in LIMITS},
            {name: str(data["limits_set_by"][name]) for name in LIMITS},
        )
        if _digest(limits) != data["limits_sha256"]:
            raise InputError("the request: the limits are not those that were approved")
        past = [n for n, row in LIMITS.items() if not row.allows(limits[n], row.ceiling)]
        if past:
            raise InputError(f"the request: past their hard ceilings: {', '.join(past)}")
        device = DeviceName.parse(str(data["device"]))
        return cls(
            protocol=protocol,
            setup=Setup(
                device=device,
                driver=find_driver(device.driver),
                rig=None if data["rig"] is None else Rig.from_data(data["rig"], "the request"),
                limits=limits,
                site=Path(data["site"]),
                participant=data["participant"],
                consent_version=data["consent_version"],
                people=tuple(str(name) for name in data["site_people"]),
            ),
            subject=str(data["subject"]),
            session=str(data["session"]),
            dataset=Path(data["dataset"]),
            faults=tuple(str(text) for text in data["faults"]),
            titrate=bool(data["titrate"]),
            operator=str(data["operator"]),
            role=str(data["role"]),
            overrides={str(k): str(v) for k, v in data["overrides"].items()},
            stratum=str(data["stratum"]),
            people=bool(data["people"]) or not device.emulated,
            settings=tuple(Entry.from_data(e, "the request") for e in data["settings"]),
        )
