"""What a driver does with NIC while no current may flow: everything here waits for NIC.

NIC answers a command with nothing but its state, when asked: each step is a command, and questions
until the state shows what became of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from devices import nic2_wire as wire
from devices.nic2_wire import RUNNING, SILENT, Command, Nic2Link, Op, Status
from tacs.driver import Identity
from tacs.errors import DeviceNotFound, DeviceRefused, UncertainDelivery

__all__ = [
    "connect",
    "load_protocol",
    "measure_impedances",
    "silence",
    "start_protocol",
    "unload",
    "wait_until",
]

ASK_EVERY_S: Final = 1.0
HELLO_TRIES: Final = 25
PERMISSION_TRIES: Final = 20
STATE_TRIES: Final = 20
NOT_FOUND_TRIES: Final = 3  # NIC may still report an unload before it looks at the name
SPOKEN: Final = 4  # major version of MatNIC
START_EVERY_S: Final = 0.5
START_TRIES: Final = 40
SETTLE_S: Final = 1.5  # NIC may report full stimulation before its own ramp is over
IMPEDANCE_TYPE_AFTER_S: Final = 1.0
IMPEDANCE_EVERY_S: Final = 5.0
IMPEDANCE_TRIES: Final = 24
UNLOAD_EVERY_S: Final = 0.1
UNLOAD_TRIES: Final = 30
UNLOADED: Final = frozenset({Status.NOT_LOADED, Status.IDLE, Status.REMOTE_ALLOWED})
RAMP_TO_ZERO_MS: Final = 800
IMPEDANCE_STATES: Final = frozenset({Status.CHECK_IMPEDANCE, Status.CHECK_IMPEDANCE_ABORTING})


def connect(link: Nic2Link) -> Identity:
    """Say hello, wait for the permission that a person gives at NIC, and ask who is there.

    Raises
    ------
    DeviceNotFound
        Nothing that answers as NIC, or another generation of it.
    DeviceRefused
        Remote control was not allowed, or NIC has no device.
    """
    _greet(link)
    _ask_permission(link)
    version = link.read_version()
    found = re.fullmatch(r"(\d{1,2})\.(\d{1,3})", version.strip().removeprefix("v"))
    if found is None or int(found[1]) != SPOKEN:
        raise DeviceNotFound(
            f"{link.address}: NIC speaks version {version[:40]!r} of its remote control; this "
            f"driver was written for {SPOKEN}.x (NIC2)"
        )
    n_channels = link.read_channels()
    firmware, network_address, kind_of_link, device = link.read_settings()
    details: Mapping[str, Any] = {
        "address": link.address,
        "matnic_version": version.strip(),
        "n_channels": n_channels,
        "network_address": network_address,
        "link": kind_of_link,
        "frequency_step_hz": 1.0,
        "decimals": "not used: whole µA, Hz and degrees only",
    }
    return Identity(
        model=f"Neuroelectrics {device or 'Starstim'} through NIC2",
        firmware=firmware,
        details=details,
    )


def silence(link: Nic2Link) -> None:
    """End whatever NIC is doing, and unload its protocol.

    Raises
    ------
    UncertainDelivery
        It goes on.
    """
    state = link.status()
    if state in IMPEDANCE_STATES:
        link.send(Command(Op.CHECK_IMPEDANCE_ABORT))
        state = wait_until(link, SILENT, "end its impedance check")
    if state in RUNNING:
        link.send(wire.amplitudes((0,) * link.n_channels, RAMP_TO_ZERO_MS))
        link.pause((RAMP_TO_ZERO_MS + wire.TRANSITION_MIN_MS) / 1e3)
        link.send(Command(Op.ABORT_PROTOCOL))
        state = wait_until(link, SILENT, "end the protocol that it was running")
    if state not in SILENT:
        state = wait_until(link, SILENT, "come to rest")
    if state not in UNLOADED:
        unload(link)


def unload(link: Nic2Link) -> None:
    """Unload the protocol, so that nobody starts it by mistake; it is at rest already."""
    link.send(Command(Op.UNLOAD_PROTOCOL))
    for _ in range(UNLOAD_TRIES):
        if link.status() in UNLOADED:
            return
        link.pause(UNLOAD_EVERY_S)


def load_protocol(link: Nic2Link, name: str) -> None:
    """Load a protocol by its name.

    Raises
    ------
    DeviceRefused
        NIC has no such protocol, does not allow it, or does not finish loading it.
    """
    link.send(Command(Op.LOAD_PROTOCOL, name))
    missing = 0
    for _ in range(STATE_TRIES):
        link.pause(ASK_EVERY_S)
        state = link.status()
        if state is Status.LOADED:
            return
        missing += state is Status.NOT_LOADED
        if state in (Status.ERROR, Status.REMOTE_REJECTED) or missing >= NOT_FOUND_TRIES:
            raise DeviceRefused(
                f"{link.address}: NIC did not load the protocol {name!r} ({state.name}); make one "
                f"of this name in NIC, with 0 µA on every channel, and of the length that the rig "
                f"says"
            )
    raise DeviceRefused(
        f"{link.address}: NIC was still not done loading the protocol {name!r} after "
        f"{STATE_TRIES * ASK_EVERY_S:g} s"
    )


def start_protocol(link: Nic2Link) -> None:
    """Start the loaded protocol, wait until it takes online changes, and set it to nothing.

    Raises
    ------
    DeviceRefused
        NIC reports an error.
    UncertainDelivery
        It does not come to stimulate.
    """
    link.send(Command(Op.START_PROTOCOL))
    ended = {Status.RUNNING, Status.ERROR}
    state = wait_until(link, ended, "start its protocol", every_s=START_EVERY_S, tries=START_TRIES)
    if state is Status.ERROR:
        raise DeviceRefused(f"{link.address}: NIC did not start its protocol (ERROR); look at NIC")
    full = 0
    for _ in range(START_TRIES):
        full = full + 1 if link.protocol_status() is Status.STIM_FULL else 0
        if full > SETTLE_S / START_EVERY_S:
            break
        link.pause(START_EVERY_S)
    else:
        raise UncertainDelivery(
            f"{link.address}: NIC's protocol runs, but did not come to full stimulation within "
            f"{START_TRIES * START_EVERY_S:g} s"
        )
    # Whatever the protocol holds: from here on it is nothing.
    link.send(wire.amplitudes((0,) * link.n_channels, wire.TRANSITION_MIN_MS))
    link.pause(2.0 * wire.TRANSITION_MIN_MS / 1e3)


def measure_impedances(link: Nic2Link, kind: str) -> tuple[float, ...]:
    """Have NIC check its contacts, and return their impedances, kΩ; NaN where it measured none.

    NIC then reports full stimulation for the protocol although nothing flows; what counts is the
    state of NIC itself.

    Parameters
    ----------
    link : Nic2Link
        With a protocol loaded.
    kind : {"AC", "DC"}
        What NIC measures with.

    Raises
    ------
    DeviceRefused
        Somebody ended the check at NIC.
    UncertainDelivery
        It did not come to an end.
    """
    link.send(Command(Op.CHECK_IMPEDANCE))
    link.pause(IMPEDANCE_TYPE_AFTER_S)
    link.send_text(kind)
    ended = {Status.CHECK_IMPEDANCE_FINISHED, Status.CHECK_IMPEDANCE_ABORTED}
    state = wait_until(
        link, ended, "finish its impedance check", every_s=IMPEDANCE_EVERY_S, tries=IMPEDANCE_TRIES
    )
    if state is Status.CHECK_IMPEDANCE_ABORTED:
        raise DeviceRefused(f"{link.address}: the impedance check was ended at NIC; start again")
    return link.read_impedances()


def wait_until(
    link: Nic2Link,
    wanted: Collection[Status],
    what: str,
    *,
    every_s: float = ASK_EVERY_S,
    tries: int = STATE_TRIES,
) -> Status:
    """Ask for NIC's state until it is one of those wanted.

    Raises
    ------
    UncertainDelivery
        It never was.
    """
    state = link.status()
    for _ in range(tries):
        if state in wanted:
            return state
        link.pause(every_s)
        state = link.status()
    raise UncertainDelivery(
        f"{link.address}: NIC did not {what} within {tries * every_s:g} s ({state.name}); look at "
        f"NIC, and switch the stimulator off if current flows"
    )


def _greet(link: Nic2Link) -> None:
    """Say which client this is until NIC is ready."""
    state = link.hello()
    for _ in range(HELLO_TRIES):
        if state not in (Status.SYNCHRONIZING, Status.VERSION_RECEIVED):
            return
        link.pause(ASK_EVERY_S)
        state = link.hello()
    raise DeviceNotFound(
        f"{link.address}: NIC is still synchronizing with its device after "
        f"{HELLO_TRIES * ASK_EVERY_S:g} s ({state.name}); is the Starstim on and near?"
    )


def _ask_permission(link: Nic2Link) -> None:
    """Wait for the person at NIC to allow the remote control."""
    for _ in range(PERMISSION_TRIES):
        state = link.status()
        if state is Status.REMOTE_ALLOWED:
            return
        if state is Status.REMOTE_REJECTED:
            raise DeviceRefused(
                f"{link.address}: the person at NIC rejected the remote control; connect again and "
                f"press Yes in NIC's dialog"
            )
        link.pause(ASK_EVERY_S)
    raise DeviceRefused(
        f"{link.address}: nobody allowed the remote control within "
        f"{PERMISSION_TRIES * ASK_EVERY_S:g} s; press Yes in the dialog that NIC shows"
    )
