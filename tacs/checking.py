"""What a protocol is checked against before anything is opened: device, rig, limits, person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacs.by_hand import hand_breaches
from tacs.capabilities import Capabilities
from tacs.clock import moment_now
from tacs.course import course_breaches, is_accelerated
from tacs.driver import DeviceName, Driver, find_driver, find_emulator
from tacs.errors import FileProblems
from tacs.ledger import Ledger, site_folder
from tacs.limits import EffectiveLimits, ParticipantFile, SiteFile, effective_limits
from tacs.people import REQUIREMENTS
from tacs.protocol import Protocol
from tacs.rig import Rig, load_rig, shipped_rigs
from tacs.safety import Breach, device_breaches, person_breaches, protocol_breaches
from tacs.sitelog import limits_file

__all__ = ["Setup", "check", "prepare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A device, its rig and the limits in force: what a protocol is checked against."""

    device: DeviceName
    driver: type[Driver]
    rig: Rig | None
    limits: EffectiveLimits
    site: Path
    participant: str | None = None
    consent_version: str | None = None
    people: tuple[str, ...] = tuple(REQUIREMENTS)

    @property
    def capabilities(self) -> Capabilities:
        """What the device declares, on this rig."""
        return self.driver.capabilities_on(self.rig)


def prepare(
    device: str,
    *,
    rig: str | Path | None = None,
    site_file: str | Path | None = None,
    participant_file: str | Path | None = None,
    site: Path | None = None,
) -> Setup:
    """Find the driver, the rig and the limits in force; nothing is opened.

    Parameters
    ----------
    device : str
        ``emulated:synthpal``, ``synthpal:/dev/ttyACM0``, …
    rig : path or str, optional
        Rig file, or the name of a shipped one. An emulated device comes with its own.
    site_file, participant_file : path, optional
        Limits of the site (default: ``site.toml`` in the site's folder) and of the participant.
    site : Path, optional
        The site's folder, with the dose ledger; :func:`tacs.ledger.site_folder` by default.

    Raises
    ------
    InputError
        No such device or rig, or a file with problems.
    """
    name = DeviceName.parse(device)
    driver = find_driver(name.driver)
    if name.emulated:
        find_emulator(name.driver)
        rig = rig if rig is not None else shipped_rigs().get(f"emulated-{name.driver}")
    site = site_folder() if site is None else site
    if site_file is None:
        site_file = limits_file(site)
    return Setup(
        device=name,
        driver=driver,
        rig=None if rig is None else load_rig(rig),
        limits=effective_limits(site_file, participant_file),
        site=site,
        participant=None
        if participant_file is None
        else ParticipantFile.from_toml(participant_file).subject,
        **_of_the_site(site_file),
    )


def _of_the_site(site_file: str | Path | None) -> dict[str, Any]:
    """What a site file says of people: consent sheet and requirements."""
    if site_file is None:
        return {}
    site = SiteFile.from_toml(site_file)
    found: dict[str, Any] = {"consent_version": site.consent_version}
    if site.people is not None:
        if unknown := sorted(set(site.people) - set(REQUIREMENTS)):
            raise FileProblems(
                str(site_file),
                [
                    f"people: no such requirement {name}; there are: {', '.join(REQUIREMENTS)}"
                    for name in unknown
                ],
            )
        found["people"] = site.people
    return found


def check(
    protocol: Protocol,
    device: str | Setup,
    *,
    subject: str | None = None,
    dataset: str | Path | None = None,
) -> list[Breach]:
    """Hold a protocol against every limit: its own, the device's, the rig's and the person's.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    device : str or Setup
        As :func:`prepare` takes it, or what it returned.
    subject : str, optional
        The participant; without one, what a person has had is left out.
    dataset : path, optional
        Where the session would go: sessions in it that the site's ledger does not know are told.

    Returns
    -------
    list of Breach
        Every limit that is broken; empty where the protocol may run.

    Raises
    ------
    InputError
        No such device or rig.
    """
    setup = prepare(device) if isinstance(device, str) else device
    moment = moment_now()
    now = moment.utc
    breaches = protocol_breaches(protocol, setup.limits)
    breaches += device_breaches(
        protocol,
        setup.capabilities,
        setup.rig,
        setup.limits,
        today=now.date(),
        emulated=setup.device.emulated,
    )
    if not setup.capabilities.machine_verified:
        breaches += hand_breaches(protocol, setup.rig, setup.limits)
    ledger = Ledger(setup.site, emulated=setup.device.emulated)
    history = ledger.history(subject or "", moment, dataset=dataset)
    emulated = setup.device.emulated
    accelerated = subject is not None and is_accelerated(
        subject, site=setup.site, emulated=emulated
    )
    breaches += person_breaches(
        protocol, setup.limits, subject=subject, history=history, now=now, accelerated=accelerated
    )
    if subject is not None:
        breaches += course_breaches(
            subject, now, history, setup.limits, site=setup.site, emulated=emulated
        )
    if subject is not None and setup.participant not in {None, subject}:
        breaches.append(
            Breach(
                limit="participant_file",
                value=str(setup.participant),
                allowed=subject,
                unit="",
                source="a participant file belongs to a person",
                where="--participant",
            )
        )
    return breaches
