"""Every fault of a link, on any driver: nothing gets out, nothing rises, and the current ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tacs.driver import Driver
from tacs.errors import LinkLost
from tacs.rig import Rig
from tacs.scenarios.bench import FAULT_S, Bench, after
from tacs.scenarios.evidence import Evidence, Verdict

__all__ = ["LINK_CHECKS"]

RAMP_S = 3.0  # a time in the ramp-up


def _judged(
    bench: Bench, label: str, faults: tuple[str, ...] = (), tap: Callable[[], _Tap] | None = None
) -> Verdict:
    """Run the same fault in the ramp and in hold, and judge both."""
    proof, told = Evidence(), []
    for at_s, name in ((RAMP_S, "_in_ramp"), (FAULT_S, "_in_hold")):
        options: dict[str, Any] = {"faults": [fault.format(at_s=at_s) for fault in faults]}
        if tap is not None:
            cut = tap()
            options["setup"] = replace(bench.setup, driver=cut.on(bench.setup.driver))
            options["acts"] = [after(at_s, cut.arm)]
        run = bench.rehearse(
            f"{label}{name.replace('_', '')}", linger_s=bench.linger_s(at_s), **options
        )
        told.append(run.outcome)
        proof.at_most(f"above_plan_ma{name}", run.excess_ma(), 0.01 * run.full_ma)
        proof.equal(f"record{name}", run.problem or "verifies", "verifies")
        proof.contains(f"outcome{name}", "done or fault", run.outcome)
        if run.outcome == "done":
            end_s = bench.protocol().duration_s + bench.soft_stop_s + 1.0
            proof.at_most(f"quiet_s{name}", run.quiet_after_s(0.0), end_s)
        elif not bench.overrides:
            proof.at_most(f"quiet_s{name}", run.quiet_after_s(at_s), bench.z_s(at_s))
    endless = "; current that does not end without its host was overridden" * bool(bench.overrides)
    return proof.verdict("; ".join(dict.fromkeys(told)) + endless)


class _Tap:
    """Sits between a driver and its link, and harms it once it is armed."""

    def __init__(self) -> None:
        self.armed = False

    def arm(self, stage: object) -> None:
        """Harm the next thing that passes."""
        self.armed = True

    def on(self, driver: type[Driver]) -> type[Driver]:
        """Return the driver with this tap in its link."""

        def over(cls: type[Driver], transport: Any, rig: Rig | None) -> Driver:
            self.tap(transport)
            return driver.over(transport, rig)

        return type(driver.__name__, (driver,), {"over": classmethod(over)})

    def tap(self, transport: Any) -> None:
        """Put itself in front of a transport's own methods."""
        raise NotImplementedError


class _CutInACommand(_Tap):
    """The cable is pulled in the middle of a command: half of it arrives, and nothing after."""

    def tap(self, transport: Any) -> None:
        """Cut the next write, and every call after it."""
        write, read = transport.write, transport.read
        gone = False

        def cut_write(data: bytes) -> None:
            nonlocal gone
            if not self.armed:
                write(data)
                return
            if not gone:
                gone = True
                write(data[: len(data) // 2])
            raise LinkLost("the bench: the cable was pulled")

        def cut_read(n: int, timeout_s: float) -> bytes:
            if gone:
                raise LinkLost("the bench: the cable was pulled")
            data: bytes = read(n, timeout_s)
            return data

        transport.write, transport.read = cut_write, cut_read


class _ShortRead(_Tap):
    """A reply is cut short: half of what was read is there, and the rest never comes."""

    def tap(self, transport: Any) -> None:
        """Shorten the next read that has anything in it."""
        read = transport.read

        def short_read(n: int, timeout_s: float) -> bytes:
            data: bytes = read(n, timeout_s)
            if self.armed and data:
                self.armed = False
                return data[: len(data) // 2]
            return data

        transport.read = short_read


def _fault(label: str, *faults: str) -> Callable[[Bench], Verdict]:
    """Make a check of faults that the emulator knows."""

    def checked(bench: Bench) -> Verdict:
        names = [fault.partition("@")[0] for fault in faults]
        if lacking := [name for name in names if name not in bench.faults]:
            return Verdict(
                outcome="not_applicable",
                reason=f"the emulator cannot be given the fault {', '.join(lacking)}",
            )
        return _judged(bench, label, faults)

    return checked


LINK_CHECKS: Mapping[str, Callable[[Bench], Verdict]] = {
    "unplugged in a command": lambda bench: _judged(bench, "C20", tap=_CutInACommand),
    "short read": lambda bench: _judged(bench, "C21", tap=_ShortRead),
    "unplugged": _fault("C22", "link_loss@{at_s}"),
    "garbage before a reply": _fault("C23", "garbage@{at_s}=64"),
    "late reply": _fault("C24", "delay_reply@{at_s}=1.5"),
    "doubled reply": _fault("C25", "duplicate_reply@{at_s}=3"),
    "refused setting": _fault("C26", "refuse@{at_s}=1"),
    "lost reply": _fault("C27", "drop_reply@{at_s}=1"),
    "wrong reply": _fault("C28", "corrupt_reply@{at_s}=1"),
    "restarted device": _fault("C29", "reboot@{at_s}"),
}
