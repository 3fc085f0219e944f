"""The dialects of SCPI waveform generators, as data: one table each, no code per instrument.

A dialect says how a setting is made and read back, in which order a programme is loaded, and what
the instrument cannot do. Another family is another table here; the driver does not change.

References
----------
Rigol, DG800, DG1000Z, DG2000 and DG4000 programming guides; Agilent/Keysight 33500 Series operating
and service guide. Rows that no public page confirms are marked "unconfirmed" on the device's page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final, Literal

__all__ = ["DIALECTS", "Dialect", "Setting", "dialect_of"]

# Four digits, and never finer than 0.1 mV: largest zero-to-peak volts, µV steps peak-to-peak.
FOUR_DIGITS: Final = (
    (0.5, Fraction(100)),
    (5.0, Fraction(1_000)),
    (10.0, Fraction(10_000)),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of one channel.

    Parameters
    ----------
    set, ask : str
        Commands with ``{n}``, the channel, and ``{v}``, the value.
    kind : {"number", "word", "switch"}
        What the answer is.
    pick : str
        Regular expression whose first group is the answer, where it comes inside a longer one.
    """

    set: str
    ask: str
    kind: Literal["number", "word", "switch"] = "number"
    pick: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What the driver needs to know of one family of instruments.

    Parameters
    ----------
    name : str
        As in the rig file.
    maker, model, one_channel : str
        Regular expressions for the first two fields of ``*IDN?``, and for those models that have
        one channel; the others have two.
    port : int
        Usual TCP port, for messages.
    settings : mapping of str to Setting
        By the driver's own names.
    basics, burst : tuple of (str, str)
        Settings and values in the order they are made, before and after the amplitude; values may
        hold ``{frequency}``, ``{phase}``, ``{cycles}``, ``{high}`` and ``{low}``.
    amplitude_min, amplitude_max : str
        Questions for the smallest and the largest amplitude.
    align, trigger : tuple of str
        Lines that align the phases of the channels, and that start the burst of both at once.
    abort : tuple of str
        Lines for each channel that end a burst once the output is off.
    cycles_max : int
        Most cycles of one burst.
    rests_at_phase : bool
        Whether the output stays at the level of the burst's start phase when the burst is over,
        instead of at zero.
    ranges : tuple
        Grid of the amplitude, see :class:`devices.analog.Chain`.
    harmless_errors : tuple of int
        Errors that the instrument is known to report for nothing.
    """

    name: str
    maker: str
    model: str
    one_channel: str
    port: int
    settings: Mapping[str, Setting]
    basics: tuple[tuple[str, str], ...]
    burst: tuple[tuple[str, str], ...]
    amplitude_min: str = ":SOUR{n}:VOLT? MIN"
    amplitude_max: str = ":SOUR{n}:VOLT? MAX"
    align: tuple[str, ...] = ()
    trigger: tuple[str, ...] = ("*TRG",)
    abort: tuple[str, ...] = ()
    cycles_max: int
    rests_at_phase: bool
    ranges: tuple[tuple[float, Fraction], ...] = FOUR_DIGITS
    harmless_errors: tuple[int, ...] = field(default=())

    @property
    def clamped(self) -> bool:
        """Whether the instrument itself holds the voltage below a limit."""
        return "clamp" in self.settings

    def n_channels(self, model: str) -> int:
        """Return how many channels a model has."""
        return 1 if re.fullmatch(self.one_channel, model) else 2


_RIGOL_SETTINGS: Final[Mapping[str, Setting]] = {
    "output": Setting(":OUTP{n} {v}", ":OUTP{n}?", "switch"),
    "load": Setting(":OUTP{n}:LOAD {v}", ":OUTP{n}:LOAD?"),
    "function": Setting(":SOUR{n}:FUNC {v}", ":SOUR{n}:FUNC?", "word"),
    "frequency": Setting(":SOUR{n}:FREQ {v}", ":SOUR{n}:FREQ?"),
    "unit": Setting(":SOUR{n}:VOLT:UNIT {v}", ":SOUR{n}:VOLT:UNIT?", "word"),
    "amplitude": Setting(":SOUR{n}:VOLT {v}", ":SOUR{n}:VOLT?"),
    "offset": Setting(":SOUR{n}:VOLT:OFFS {v}", ":SOUR{n}:VOLT:OFFS?"),
    "phase": Setting(":SOUR{n}:PHAS {v}", ":SOUR{n}:PHAS?"),
    "burst": Setting(":SOUR{n}:BURS {v}", ":SOUR{n}:BURS?", "switch"),
    "burst_mode": Setting(":SOUR{n}:BURS:MODE {v}", ":SOUR{n}:BURS:MODE?", "word"),
    "cycles": Setting(":SOUR{n}:BURS:NCYC {v}", ":SOUR{n}:BURS:NCYC?"),
    "burst_phase": Setting(":SOUR{n}:BURS:PHAS {v}", ":SOUR{n}:BURS:PHAS?"),
    "trigger_source": Setting(":SOUR{n}:BURS:TRIG:SOUR {v}", ":SOUR{n}:BURS:TRIG:SOUR?", "word"),
}

_IDLE: Final[Mapping[str, Setting]] = {
    "idle": Setting(":SOUR{n}:BURS:IDLE {v}", ":SOUR{n}:BURS:IDLE?", "word"),
}

_RIGOL_CLAMP: Final[Mapping[str, Setting]] = {
    "clamp": Setting(":OUTP{n}:VOLL {v}", ":OUTP{n}:VOLL?", "switch"),
    "clamp_high": Setting(":OUTP{n}:VOLL:HIGH {v}", ":OUTP{n}:VOLL:HIGH?"),
    "clamp_low": Setting(":OUTP{n}:VOLL:LOW {v}", ":OUTP{n}:VOLL:LOW?"),
}

_BASICS: Final = (
    ("load", "INF"),
    ("function", "SIN"),
    ("unit", "VPP"),
    ("frequency", "{frequency}"),
    ("offset", "0"),
    ("phase", "0"),
)

# A clamp that was left on would stand in the way of the load: off first, on last.
_UNCLAMPED: Final = (("clamp", "OFF"),)
_CLAMPED: Final = (("clamp_high", "{high}"), ("clamp_low", "{low}"), ("clamp", "ON"))

_RIGOL_BURST: Final = (
    ("trigger_source", "MAN"),
    ("burst_mode", "TRIG"),
    ("cycles", "{cycles}"),
    ("burst_phase", "{phase}"),
)

_DG1000Z: Final = Dialect(
    name="rigol-dg1000z",
    maker="(?i)rigol technologies.*",
    model=r"DG10\d2Z",
    one_channel="$.",
    port=5555,
    settings={**_RIGOL_SETTINGS, **_IDLE},
    basics=_BASICS,
    burst=(*_RIGOL_BURST, ("idle", "CENTER"), ("burst", "ON")),
    align=(":SOUR1:PHAS:INIT",),
    # Off and on again: what is left of a burst must not go on when the output is next on.
    abort=(":SOUR{n}:BURS OFF", ":SOUR{n}:BURS ON"),
    cycles_max=500_000,
    rests_at_phase=False,
)

_DG800: Final = replace(
    _DG1000Z,
    name="rigol-dg800",
    model=r"DG8\d\d",
    one_channel=r"DG8\d1",
    settings={**_RIGOL_SETTINGS, **_IDLE, **_RIGOL_CLAMP},
    basics=(*_UNCLAMPED, *_BASICS),
    burst=(*_RIGOL_BURST, ("idle", "CENTER"), ("burst", "ON"), *_CLAMPED),
)

_DG2000: Final = replace(_DG800, name="rigol-dg2000", model=r"DG2\d\d2", one_channel="$.")

_DG4000: Final = replace(
    _DG1000Z,
    name="rigol-dg4000",
    model=r"DG4\d\d2",
    settings={
        **_RIGOL_SETTINGS,
        "load": Setting(":OUTP{n}:IMP {v}", ":OUTP{n}:IMP?"),
    },
    burst=(*_RIGOL_BURST, ("burst", "ON")),
    # It has no setting for the idle level.
    rests_at_phase=True,
)

_KEYSIGHT_33500B: Final = Dialect(
    name="keysight-33500b",
    maker="(?i)(agilent|keysight) technologies",
    model=r"335\d\dB",
    one_channel=r"335\d[13579]B",
    port=5025,
    settings={
        "output": Setting("OUTP{n} {v}", "OUTP{n}?", "switch"),
        "load": Setting("OUTP{n}:LOAD {v}", "OUTP{n}:LOAD?"),
        "function": Setting("SOUR{n}:FUNC {v}", "SOUR{n}:FUNC?", "word"),
        "frequency": Setting("SOUR{n}:FREQ {v}", "SOUR{n}:FREQ?"),
        "unit": Setting("SOUR{n}:VOLT:UNIT {v}", "SOUR{n}:VOLT:UNIT?", "word"),
        "amplitude": Setting("SOUR{n}:VOLT {v}", "SOUR{n}:VOLT?"),
        "offset": Setting("SOUR{n}:VOLT:OFFS {v}", "SOUR{n}:VOLT:OFFS?"),
        "phase": Setting("SOUR{n}:PHAS {v}", "SOUR{n}:PHAS?"),
        "burst": Setting("SOUR{n}:BURS:STAT {v}", "SOUR{n}:BURS:STAT?", "switch"),
        "burst_mode": Setting("SOUR{n}:BURS:MODE {v}", "SOUR{n}:BURS:MODE?", "word"),
        "cycles": Setting("SOUR{n}:BURS:NCYC {v}", "SOUR{n}:BURS:NCYC?"),
        "burst_phase": Setting("SOUR{n}:BURS:PHAS {v}", "SOUR{n}:BURS:PHAS?"),
        "trigger_source": Setting("TRIG{n}:SOUR {v}", "TRIG{n}:SOUR?", "word"),
        "clamp": Setting("SOUR{n}:VOLT:LIM:STAT {v}", "SOUR{n}:VOLT:LIM:STAT?", "switch"),
        "clamp_high": Setting("SOUR{n}:VOLT:LIM:HIGH {v}", "SOUR{n}:VOLT:LIM:HIGH?"),
        "clamp_low": Setting("SOUR{n}:VOLT:LIM:LOW {v}", "SOUR{n}:VOLT:LIM:LOW?"),
    },
    basics=(*_UNCLAMPED, *_BASICS),
    burst=(
        ("trigger_source", "BUS"),
        ("burst_mode", "TRIG"),
        ("cycles", "{cycles}"),
        ("burst_phase", "{phase}"),
        ("burst", "ON"),
        *_CLAMPED,
    ),
    amplitude_min="SOUR{n}:VOLT? MIN",
    amplitude_max="SOUR{n}:VOLT? MAX",
    align=("PHAS:SYNC",),
    abort=("ABOR",),
    cycles_max=99_999,
    rests_at_phase=True,
)

DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.name: dialect for dialect in (_DG800, _DG1000Z, _DG2000, _DG4000, _KEYSIGHT_33500B)
}


def dialect_of(maker: str, model: str) -> Dialect | None:
    """Return the dialect of an instrument by the first two fields of its identity, or None."""
    for dialect in DIALECTS.values():
        if re.fullmatch(dialect.maker, maker) and re.fullmatch(dialect.model, model):
            return dialect
    return None
