"""The instruments that the emulator can be: what each says, takes and refuses, as data.

Written down from the programming guides a second time, apart from the driver's tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

__all__ = ["MODELS", "Model"]

MHZ = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One instrument.

    Parameters
    ----------
    identity : str
        Answer to ``*IDN?``.
    family : {"rigol", "keysight"}
        Whose command tree it has.
    amplitude_at_start_vpp : float
        After power-on and ``*RST``, into 50 Ω.
    smallest_emf_vpp : float
        Smallest amplitude, open circuit.
    largest_emf_vpp : tuple of (float, float)
        Largest open-circuit amplitude up to a frequency, in ascending order.
    cycles_max : int
        Of one burst, triggered by hand or bus.
    limit : {"VOLL", "LIM", ""}
        Commands of its voltage limit; empty where it has none.
    limit_clips : bool
        Whether a setting beyond the limit is cut down to it, and not refused.
    idle_setting : bool
        Whether the level before and after a burst can be set.
    load_words : tuple of str
        Mnemonics for the load.
    infinite : str
        How an infinite load is answered.
    """

    identity: str
    family: str
    amplitude_at_start_vpp: float
    smallest_emf_vpp: float
    largest_emf_vpp: tuple[tuple[float, float], ...]
    cycles_max: int
    limit: str = ""
    limit_clips: bool = False
    idle_setting: bool = True
    load_words: tuple[str, ...] = ("LOAD", "IMPedance")
    infinite: str = "9.900000E+37"

    @property
    def rigol(self) -> bool:
        """Whether it is one of Rigol's."""
        return self.family == "rigol"

    def number(self, value: float) -> str:
        """Format a number as this instrument answers it."""
        return f"{value:.6E}" if self.rigol else f"{value:+.8E}"

    def switch(self, on: bool) -> str:
        """Format a state as this instrument answers it."""
        if self.rigol:
            return "ON" if on else "OFF"
        return "1" if on else "0"

    def error(self, code: int, text: str) -> str:
        """Format an entry of the error queue."""
        return f'{code},"{text}"' if self.rigol else f'{code:+d},"{text}"'


_DG1000Z = Model(
    identity="Rigol Technologies,DG1062Z,DG1ZA000000000,00.01.14",
    family="rigol",
    amplitude_at_start_vpp=5.0,
    smallest_emf_vpp=0.002,
    largest_emf_vpp=((10 * MHZ, 20.0), (30 * MHZ, 10.0), (60 * MHZ, 5.0)),
    cycles_max=1_000_000,
)

MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "rigol-dg1000z": _DG1000Z,
        "rigol-dg800": replace(
            _DG1000Z,
            identity="Rigol Technologies,DG822,DG8A0000000000,00.02.06",
            largest_emf_vpp=((10 * MHZ, 20.0), (25 * MHZ, 10.0)),
            limit="VOLL",
        ),
        "rigol-dg2000": replace(
            _DG1000Z,
            identity="RIGOL TECHNOLOGIES,DG2052,DG2A0000000000,00.02.06",
            largest_emf_vpp=((20 * MHZ, 20.0), (50 * MHZ, 10.0)),
            limit="VOLL",
        ),
        "rigol-dg4000": replace(
            _DG1000Z,
            identity="Rigol Technologies,DG4062,DG4A0000000000,00.01.14",
            largest_emf_vpp=((20 * MHZ, 20.0), (60 * MHZ, 10.0)),
            idle_setting=False,
            infinite="INFINITY",
        ),
        "keysight-33500b": Model(
            identity="Agilent Technologies,33522B,MY00000000,4.00-1.19-2.00-58-00",
            family="keysight",
            amplitude_at_start_vpp=0.1,
            smallest_emf_vpp=0.002,
            largest_emf_vpp=((30 * MHZ, 20.0),),
            cycles_max=99_999,
            limit="LIM",
            limit_clips=True,
            idle_setting=False,
            load_words=("LOAD",),
            infinite="+9.90000000E+37",
        ),
    }
)
