"""One session, from the checks to the data set: the public way in.

On the virtual clock everything happens in this process. On the real clock the guardian is a process
of its own, and this one is its front end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tacs.by_hand import sheet_of
from tacs.checking import Setup, prepare
from tacs.clock import QueueInbox, VirtualClock
from tacs.conduct import Conduct
from tacs.double_entry import Entry
from tacs.driver import AttendedEmulator, EmulatedDevice, find_emulator
from tacs.errors import InputError, SafetyRefusal
from tacs.front import operate
from tacs.guardian import Telemetry
from tacs.protocol import Protocol
from tacs.readiness import refusals, still_to_do
from tacs.run_record import RunRecord
from tacs.session_request import SessionRequest

__all__ = ["RunRecord", "refuse_early", "run"]


def run(
    protocol: Protocol,
    device: str | Setup,
    *,
    subject: str,
    session: str,
    dataset: str | Path,
    clock: str = "real",
    faults: Sequence[str] = (),
    confirm: Callable[[str, Sequence[str]], None] | None = None,
    inbox: QueueInbox | None = None,
    watch: Callable[[Telemetry], None] | None = None,
    say: Callable[[str], None] | None = None,
    operator_lease: bool = False,
    titrate: bool = False,
    operator: str = "",
    role: str = "",
    overrides: Mapping[str, str] | None = None,
    stratum: str = "",
    people: bool = False,
    settings: Sequence[Entry] = (),
    time: VirtualClock | None = None,
    attach: Callable[[EmulatedDevice], object] | None = None,
) -> RunRecord:
    """Run one session from the checks to the data set.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    device : str or Setup
        As :func:`tacs.checking.prepare` takes it, or what it returned.
    subject, session : str
        BIDS labels.
    dataset : path
        BIDS data set; created where there is none.
    clock : {"real", "virtual"}
        On the real clock a guardian process owns the device; the virtual clock is for emulated
        devices only.
    faults : sequence of str
        ``NAME[@SECONDS][=VALUE]``, for emulated devices only.
    confirm : callable, optional
        Called before a real device is armed, with the words to be typed (``SUBJECT:HASH``) and
        the cautions; it returns or raises. A real device without it is refused.
    inbox : QueueInbox, optional
        Where the operator side leaves messages: ``stop:CAUSE``, ``pause``, ``resume``,
        ``rating:0-10``, ``mark:TEXT``, and ``higher``, ``lower``, ``accept`` of a titration.
        Signals of this process arrive there too.
    watch : callable, optional
        Given telemetry, at least ten times a second.
    say : callable, optional
        Told, before a port is opened, what people still have to do before the device is armed.
    operator_lease : bool
        Whether whoever fills the inbox says ``alive`` at least once a second. Where false, this
        call says it on the real clock, and nobody has to on the virtual one.
    titrate : bool
        Whether the level rises on request only, in steps, and the level accepted is the ceiling.
    operator, role : str
        Who runs the session, for the record.
    overrides : mapping of str to str, optional
        Limit and reason; only ``host_loss`` can be overridden.
    stratum : str
        Of a blinded study with more than one.
    people : bool
        Whether screening, consent, checklist and identity must be in the data set's journal; on a
        real device they must be, whatever is asked.
    settings : sequence of Entry
        Of a device that a person sets: what two people read off its panel. Where left out, the
        scripted people of an emulated device type them.
    time : VirtualClock, optional
        The virtual clock, where others live by it too.
    attach : callable, optional
        Given the emulated device of a session on the virtual clock, before it is opened: for a
        virtual patient to feel its current.

    Returns
    -------
    RunRecord

    Raises
    ------
    InputError
        Bad usage, no such device, a device that is busy, a session that has a record already.
    SafetyRefusal
        A limit is broken; nothing was opened.
    TacsError
        The device failed before it was armed; the record says how.
    """
    request = checked_request(
        protocol, device, subject=subject, session=session, dataset=dataset, clock=clock,
        faults=faults, titrate=titrate, operator=operator, role=role, overrides=overrides,
        stratum=stratum, people=people, settings=settings,
    )  # fmt: skip
    inbox = inbox or QueueInbox()
    _tell_to_do(request, say)
    if clock == "virtual":
        return Conduct.of(
            request,
            clock=time or VirtualClock(),
            inbox=inbox,
            confirm=confirm,
            watch=watch,
            operator_lease=operator_lease,
            attach=attach,
        ).run()
    # The guardian checks all this again; refused here, nothing has to be started first.
    _refuse(request, confirm)
    return operate(request, inbox=inbox, watch=watch, confirm=confirm, own_lease=not operator_lease)


def refuse_early(
    protocol: Protocol,
    device: str | Setup,
    *,
    say: Callable[[str], None] | None = None,
    confirm: Callable[[str, Sequence[str]], None] | None = None,
    **asked: Any,
) -> None:
    """Refuse what :func:`run` would, for whoever has minutes of rest recorded before it.

    Parameters
    ----------
    protocol, device, say, confirm
        As :func:`run` takes them.
    **asked
        What else is asked of :func:`run`, of the session itself.

    Raises
    ------
    SafetyRefusal
        A limit is broken.
    InputError
        Bad usage, no such device, or nobody to confirm the arming of a real one.
    """
    request = checked_request(protocol, device, **asked)
    _refuse(request, confirm)
    _tell_to_do(request, say)


def _refuse(request: SessionRequest, confirm: Callable[[str, Sequence[str]], None] | None) -> None:
    if breaches := refusals(request):
        raise SafetyRefusal(breaches)
    if not request.setup.device.emulated and confirm is None:
        raise InputError("arming a real device needs a confirmation (--confirm SUBJECT:HASH)")


def _tell_to_do(request: SessionRequest, say: Callable[[str], None] | None) -> None:
    if say is not None:
        for line in still_to_do(request):
            say(f"needed before arming: {line}")


def checked_request(
    protocol: Protocol,
    device: str | Setup,
    *,
    subject: str,
    session: str,
    dataset: str | Path,
    clock: str = "real",
    faults: Sequence[str] = (),
    titrate: bool = False,
    operator: str = "",
    role: str = "",
    overrides: Mapping[str, str] | None = None,
    stratum: str = "",
    people: bool = False,
    settings: Sequence[Entry] = (),
) -> SessionRequest:
    """Return what :func:`run` asks a guardian for.

    Parameters
    ----------
    protocol, device, subject, session, dataset, clock, faults, titrate, operator, role, overrides,
    stratum, people, settings
        As :func:`run` takes them.

    Raises
    ------
    InputError
        Bad usage, or no such device.
    """
    setup = prepare(device) if isinstance(device, str) else device
    if clock not in {"real", "virtual"}:
        raise InputError(f"clock {clock!r}: must be real or virtual")
    if clock == "virtual" and not setup.device.emulated:
        raise InputError("the virtual clock is for emulated devices; a real one needs --clock real")
    if faults and not setup.device.emulated:
        raise InputError("--fault is for emulated devices only")
    if not (setup.capabilities.machine_verified or settings) and setup.device.emulated:
        settings = _scripted(protocol, setup, faults)
    return SessionRequest(
        protocol=protocol,
        setup=setup,
        subject=subject,
        session=session,
        dataset=Path(dataset),
        faults=tuple(faults),
        titrate=titrate,
        operator=operator,
        role=role,
        overrides=dict(overrides or {}),
        stratum=stratum,
        people=people or not setup.device.emulated,
        settings=tuple(settings),
    )


def _scripted(protocol: Protocol, setup: Setup, faults: Sequence[str]) -> tuple[Entry, ...]:
    """What the scripted people of an emulated device type."""
    emulator = find_emulator(setup.device.driver)
    if setup.rig is None or not isinstance(emulator, AttendedEmulator):
        return ()
    sheet = {setting.key: setting.text for setting in sheet_of(protocol, setup.rig).settings}
    contacts = [electrode.name for electrode in protocol.montage.electrodes]
    return tuple(
        Entry(by=f"scripted person {number}", settings=typed)
        for number, typed in enumerate(emulator.type_settings(sheet, faults, contacts), start=1)
    )
