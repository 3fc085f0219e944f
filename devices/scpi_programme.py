"""What a waveform generator is given for one session, and what it must hold afterwards.

Milliampere become volts here: amplitudes are peak-to-peak on the wire, limits zero-to-peak.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from devices.analog import Chain
from devices.scpi_dialects import Dialect
from devices.scpi_link import Question, question
from tacs.driver import Program
from tacs.errors import InputError, ProtocolViolation

__all__ = [
    "CYCLE_MARGIN_S",
    "STEP_MAX_LEVEL",
    "STEP_PERIOD_S",
    "Check",
    "Programme",
    "refuse_steep",
    "volts",
]

BURST_MARGIN_S: Final = 0.7  # the last lease of a session reaches 0.5 s past its end
CYCLE_MARGIN_S: Final = 0.75  # with the way of the trigger
STEP_PERIOD_S: Final = (
    0.02  # one step at every tick; an instrument that is slower falls behind, and is told
)
STEP_MAX_LEVEL: Final = 0.01
RELATIVE: Final = 1e-6  # seven digits come back
ABSOLUTE: Final = {"offset": 1e-4, "clamp_high": 2e-3, "clamp_low": 2e-3, "burst_phase": 0.05}
CLAMP_SHARE: Final = 1.02
CLAMP_ABOVE_V: Final = 0.002
WATCHED: Final = ("burst", "amplitude", "frequency", "offset", "cycles", "clamp")


@dataclass(frozen=True, slots=True)
class Check:
    """A setting that must be what it was set to."""

    question: Question
    expected: Any
    tolerance: float
    what: str

    def hold_against(self, answer: Any) -> None:
        """Compare with what the instrument holds.

        Raises
        ------
        ProtocolViolation
            It holds something else.
        """
        if isinstance(self.expected, float):
            same = answer == self.expected or abs(answer - self.expected) <= self.tolerance
        else:
            same = answer == self.expected
        if not same:
            raise ProtocolViolation(f"{self.what} was set to {self.expected} and is {answer}")


@dataclass(slots=True, kw_only=True)
class Programme:
    """One session on one instrument.

    Parameters
    ----------
    dialect : Dialect
        Of the instrument.
    where : str
        Its address, for messages.
    chains : mapping of int to Chain
        What is behind each channel in use.
    currents_peak_ma, phases_deg : mapping of int to float
        Zero-to-peak current and start phase.
    frequency_hz : float
        On the grid.
    duration_s : float
        Of the session.
    step : float
        Largest step of the level.
    rest_uv : dict of int to int
        Smallest amplitude of each channel, microvolts peak-to-peak, once the instrument said it.

    Raises
    ------
    InputError
        The session has no length, or is too long for one burst.
    """

    dialect: Dialect
    where: str
    chains: Mapping[int, Chain]
    currents_peak_ma: Mapping[int, float]
    phases_deg: Mapping[int, float]
    frequency_hz: float
    duration_s: float
    step: float
    rest_uv: dict[int, int] = field(default_factory=dict)
    cycles: int = field(init=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.duration_s) and self.duration_s > 0.0):
            raise InputError(
                f"the session lasts {self.duration_s} s; a burst needs a length, which the "
                f"envelope gives"
            )
        self.cycles = self.cycles_for(self.duration_s)
        most = self.dialect.cycles_max
        if self.cycles > most:
            longest_s = most / self.frequency_hz - BURST_MARGIN_S
            raise InputError(
                f"{self.duration_s:g} s at {self.frequency_hz:g} Hz are {self.cycles} cycles; "
                f"{self.dialect.name} plays {most} in one burst, which is {longest_s:.0f} s at "
                f"this frequency"
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """Those in use."""
        return tuple(sorted(self.chains))

    @property
    def reaches_s(self) -> float:
        """Seconds from the start to which the burst reaches at least."""
        return self.duration_s + BURST_MARGIN_S

    def cycles_for(self, left_s: float) -> int:
        """Return the cycles of a burst that lasts for the rest of the session and a little more."""
        return math.ceil((max(left_s, 0.0) + BURST_MARGIN_S) * self.frequency_hz - 1e-9)

    def begin(self, left_s: float) -> tuple[list[str], list[Check]]:
        """Return the lines that give the burst its length, and what must be read back."""
        self.cycles = self.cycles_for(left_s)
        setting = self.dialect.settings["cycles"]
        lines = [setting.set.format(n=n, v=self.cycles) for n in self.channels]
        return lines, [self._check("cycles", n, self.cycles) for n in self.channels]

    def step_to(self, level: float) -> tuple[list[str], list[Check]]:
        """Return the lines that set a level, and what must be read back."""
        uv = self.amplitudes_uv(level)
        return self.amplitude_lines(uv), [self._check("amplitude", n, uv[n] / 1e6) for n in uv]

    def amplitudes_uv(self, level: float) -> dict[int, int]:
        """Return microvolts peak-to-peak of each channel: down to the grid, or the smallest."""
        return {
            n: max(
                self.chains[n].amplitude_uv_pp(level * self.currents_peak_ma[n]),
                self.rest_uv.get(n, 0),
            )
            for n in self.channels
        }

    def amplitude_lines(self, amplitudes_uv: Mapping[int, int]) -> list[str]:
        """Return the commands that set amplitudes."""
        setting = self.dialect.settings["amplitude"]
        return [setting.set.format(n=n, v=volts(uv)) for n, uv in amplitudes_uv.items()]

    def settings(
        self, items: Iterable[tuple[str, str]], n: int, full_uv: int
    ) -> Iterator[tuple[str, str]]:
        """Fill the values of a dialect's list in, for one channel."""
        peak_v = full_uv / 2e6
        high_v = math.ceil(round((CLAMP_SHARE * peak_v + CLAMP_ABOVE_V) * 1e3, 6)) / 1e3
        values = {
            "frequency": f"{self.frequency_hz:.6f}",
            "phase": f"{self.phases_deg[n]:.1f}",
            "cycles": str(self.cycles),
            "high": f"{high_v:.3f}",
            "low": f"{-high_v:.3f}",
        }
        for name, value in items:
            yield name, value.format(**values)

    def checks(self, n: int, full_uv: int) -> list[Check]:
        """Return everything that one channel must hold before the start, the output's state too."""
        made = dict(
            self.settings((*self.dialect.basics, *self.dialect.burst), n, full_uv),
            amplitude=volts(self.rest_uv[n]),
            output="OFF",
        )
        return [self._check(name, n, value) for name, value in made.items()]

    def check(self, turn: int, level: float) -> Check:
        """Return the setting whose turn it is to be looked at while it plays."""
        names = [name for name in WATCHED if name in self.dialect.settings]
        turns = list(itertools.product(names, self.channels))
        name, n = turns[turn % len(turns)]
        made = {
            "burst": "ON",
            "amplitude": volts(self.amplitudes_uv(level)[n]),
            "frequency": f"{self.frequency_hz:.6f}",
            "offset": "0",
            "cycles": str(self.cycles),
            "clamp": "ON",
        }
        return self._check(name, n, made[name])

    def _check(self, name: str, n: int, value: Any) -> Check:
        setting = self.dialect.settings[name]
        expected: Any = value
        if setting.kind == "number":
            expected = math.inf if value == "INF" else float(value)
        elif setting.kind == "switch":
            expected = value == "ON"
        tolerance = 0.0
        if isinstance(expected, float) and math.isfinite(expected):
            tolerance = max(ABSOLUTE.get(name, 0.0), RELATIVE * abs(expected))
        what = f"{self.where}: channel {n}: {name.replace('_', ' ')}"
        return Check(question(setting, n), expected, tolerance, what)


def volts(uv: int) -> str:
    """Return microvolts as volts with four decimals; all grids are of 100 µV or its multiples."""
    return f"{uv / 1e6:.4f}"


def refuse_steep(program: Program, step: float, largest_ma: float) -> None:
    """Refuse an envelope that steps cannot follow.

    Raises
    ------
    InputError
        A ramp is too short.
    """
    steepest = step / STEP_PERIOD_S
    for (from_s, from_level), (to_s, to_level) in itertools.pairwise(program.envelope):
        rise, span_s = abs(to_level - from_level), to_s - from_s
        if not rise <= steepest * span_s + 1e-9:
            raise InputError(
                f"a ramp of {span_s:g} s to {max(from_level, to_level) * largest_ma:g} mA is too "
                f"steep to be stepped (at most {step * largest_ma * 1e3:.3g} µA, 1 % of the full "
                f"current, every {STEP_PERIOD_S * 1e3:g} ms); make it {rise / steepest:.1f} s or "
                f"longer"
            )
