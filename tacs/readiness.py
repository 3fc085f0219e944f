"""Everything that can refuse a session before a port is opened, in one list of breaches.

What people have to do (screening, consent, checks, identity) is looked at again when the device is
armed: it may be done while the device is being connected.
"""

from __future__ import annotations

from tacs.anchors import record_breaches
from tacs.by_hand import sheet_of
from tacs.checking import check
from tacs.clock import calendar_is_pretended, utc_now
from tacs.double_entry import differences
from tacs.errors import InputError
from tacs.people import session_ready
from tacs.safety import Breach
from tacs.session_request import SessionRequest

__all__ = ["OVERRIDABLE", "refusals", "still_to_do"]

OVERRIDABLE = ("host_loss",)


def refusals(request: SessionRequest) -> list[Breach]:
    """List every limit that a request breaks; an overridden one is left out.

    Raises
    ------
    InputError
        An override that does not exist, or has no reason or no operator; a titration that would
        show the arm.
    """
    setup, protocol = request.setup, request.protocol
    if request.titrate and (protocol.is_sham or protocol.blinding is not None):
        raise InputError(
            "titration shows the arm: titrate in a session of its own, before a blinded or sham one"
        )
    if request.titrate and not setup.capabilities.level_control:
        raise InputError(
            f"--titrate: {setup.capabilities.name} runs its whole envelope by itself; its level "
            f"cannot be raised step by step"
        )
    if request.settings and setup.capabilities.machine_verified:
        raise InputError(
            f"--settings: {setup.capabilities.name} is set by the suite; settings are read back "
            f"from devices that a person sets"
        )
    for name, reason in request.overrides.items():
        if name not in OVERRIDABLE:
            raise InputError(
                f"--override {name}: cannot be overridden; only {', '.join(OVERRIDABLE)} can"
            )
        if not (reason.strip() and request.operator.strip()):
            raise InputError(
                f"--override {name}: needs a reason ({name}=REASON) and --operator NAME"
            )
    found = check(protocol, setup, subject=request.subject, dataset=request.dataset)
    if not setup.capabilities.machine_verified and setup.rig is not None:
        found += differences(sheet_of(protocol, setup.rig), request.settings)
    found += record_breaches(
        request.dataset, request.subject, setup.site, emulated=setup.device.emulated
    )
    if calendar_is_pretended() and not setup.device.emulated:
        found.append(
            Breach(
                limit="calendar",
                value="a pretended one",
                allowed="this computer's own",
                unit="",
                source="intervals between sessions are counted in time that has passed",
                where="a rehearsed course runs on emulated devices only",
            )
        )
    return [breach for breach in found if breach.limit not in request.overrides]


def still_to_do(request: SessionRequest) -> list[str]:
    """List what people have to do before this request's device is armed, one line each."""
    if not request.people:
        return []
    ready = session_ready(
        request.dataset,
        subject=request.subject,
        session=request.session,
        now=utc_now(),
        required=request.setup.people,
        consent_version=request.setup.consent_version,
        age_limit_y=request.setup.limits["age_y"],
    )
    return [str(breach) for breach in ready.breaches]
