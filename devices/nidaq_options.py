"""What a rig's options say of an NI card, and what the card can do with them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from tacs.errors import FileProblems, InputError
from tacs.rig import Rig

__all__ = ["Options", "output_names", "read_options", "watchdog_device"]

RATE_HZ: Final = 2000.0
RATES_HZ: Final = (1000.0, 20_000.0)
SAMPLES_PER_CYCLE: Final = 10
WATCHDOG_S: Final = 0.25
WATCHDOGS_S: Final = (0.1, 1.0)
IDLE: Final = ("maintain", "zero_volts")
KNOWN: Final = (
    "sample_rate_hz",
    "range_v",
    "bits",
    "watchdog",
    "watchdog_s",
    "watchdog_device",
    "interlock",
    "idle_output",
)
_LINE = re.compile(r"[A-Za-z0-9_-]+/port\d+/line\d+")
_OUTPUT = re.compile(r"([A-Za-z0-9_-]+)/ao(\d+)(?::(?:ao)?(\d+))?")
_MODULE = re.compile(r"(.+)Mod\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the rig says of its card.

    Parameters
    ----------
    sample_rate_hz : float
        Samples per second and output.
    range_v : float
        Largest output of the converter, zero-to-peak.
    bits : int
        Resolution of the converter over both signs.
    watchdog : bool
        Whether the card's own timer sets the analogue outputs to 0 V when nobody feeds it.
    watchdog_s : float
        That timer.
    watchdog_device : str or None
        Device that has it; from the names of the outputs where left out.
    interlock : str or None
        Digital line that enables the stimulators while it is high; the timer takes it low.
    idle_output : str
        ``"maintain"``, or ``"zero_volts"`` on cards that can.
    """

    sample_rate_hz: float = RATE_HZ
    range_v: float = 10.0
    bits: int = 16
    watchdog: bool = False
    watchdog_s: float = WATCHDOG_S
    watchdog_device: str | None = None
    interlock: str | None = None
    idle_output: str = "maintain"

    @property
    def step(self) -> Fraction:
        """The converter's step in volts, exact."""
        return Fraction(repr(self.range_v)) / (1 << (self.bits - 1))

    @property
    def timed(self) -> bool:
        """Whether a timer in the card ends the current without its host."""
        return self.watchdog or self.interlock is not None

    @property
    def frequency_max_hz(self) -> float:
        """Fastest sine: ten samples a cycle."""
        return self.sample_rate_hz / SAMPLES_PER_CYCLE


def read_options(rig: Rig | None) -> Options:
    """Read the options of a rig; without one, all are as they are where left out.

    Raises
    ------
    FileProblems
        With one line for each that cannot be.
    """
    if rig is None:
        return Options()
    found = dict(rig.options)
    if problems := list(_problems(found)):
        raise FileProblems(f"rig {rig.name!r}", problems)
    numbers = ("sample_rate_hz", "range_v", "watchdog_s")
    return Options(**{k: float(v) if k in numbers else v for k, v in found.items()})  # type: ignore[arg-type]


def _problems(found: Mapping[str, object]) -> list[str]:
    problems = [
        f"options.{name}: unknown; this driver has {', '.join(KNOWN)}"
        for name in found
        if name not in KNOWN
    ]

    def expect(name: str, fits: bool, cure: str) -> None:
        if name in found and not fits:
            problems.append(f"options.{name}: {found[name]!r}; write {cure}")

    for name, (low, high), unit in (
        ("sample_rate_hz", RATES_HZ, "hertz"),
        ("watchdog_s", WATCHDOGS_S, "seconds"),
        ("range_v", (1.0, 10.0), "volts zero-to-peak"),
    ):
        expect(name, _within(found.get(name), low, high), f"{low:g} to {high:g}, {unit}")
    bits = found.get("bits")
    whole = isinstance(bits, int) and not isinstance(bits, bool)
    expect("bits", whole and 12 <= _number(bits) <= 24, "a whole number of bits, 12 to 24")
    expect("watchdog", isinstance(found.get("watchdog"), bool), "true or false")
    line, device = found.get("interlock"), found.get("watchdog_device")
    expect("interlock", isinstance(line, str) and _LINE.fullmatch(line) is not None,
           "the line that enables the stimulators, such as Dev1/port0/line0")  # fmt: skip
    expect("watchdog_device", isinstance(device, str) and device.strip() != "",
           "the device or chassis that has the timer, such as cDAQ1")  # fmt: skip
    expect("idle_output", found.get("idle_output") in IDLE, " or ".join(IDLE))
    timed = found.get("watchdog") is True or "interlock" in found
    problems += [
        f"options.{name}: there is no timer without watchdog = true or an interlock; leave it out"
        for name in ("watchdog_s", "watchdog_device")
        if name in found and not timed
    ]
    return problems


def _number(value: object) -> float:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain else math.nan  # type: ignore[arg-type]


def _within(value: object, low: float, high: float) -> bool:
    return low <= _number(value) <= high


def output_names(address: str) -> tuple[str, ...]:
    """Return the physical names of the outputs that an address lists; the rig counts them from 1.

    Parameters
    ----------
    address : str
        ``Dev1/ao0:3``, ``cDAQ1Mod1/ao0,cDAQ1Mod1/ao2``.

    Raises
    ------
    InputError
        It lists none, one twice, or outputs of several devices.
    """
    names: list[str] = []
    devices = set()
    for part in address.split(","):
        match = _OUTPUT.fullmatch(part.strip())
        if match is None:
            raise InputError(
                f"{address!r} names no outputs of a card; write nidaq:DEVICE/ao0:1 as NI MAX shows "
                f"them, such as nidaq:Dev1/ao0:1"
            )
        device, first, last = match[1], int(match[2]), int(match[3] or match[2])
        devices.add(device)
        numbers = range(first, last + 1) if first <= last else range(first, last - 1, -1)
        names += [f"{device}/ao{number}" for number in numbers[:256]]
    if len(set(names)) < len(names):
        raise InputError(f"{address!r} names an output twice; name each once")
    if len(devices) > 1:
        raise InputError(
            f"{address!r}: outputs of {' and '.join(sorted(devices))} run by clocks of their own; "
            f"name outputs of one device"
        )
    return tuple(names)


def watchdog_device(options: Options, outputs: tuple[str, ...]) -> str:
    """Return the device that has the timer: the chassis of a module, else the card itself."""
    if options.watchdog_device is not None:
        return options.watchdog_device
    named = options.interlock if options.interlock and not options.watchdog else outputs[0]
    device = named.split("/")[0]
    module = _MODULE.fullmatch(device)
    return device if module is None else module[1]
