"""Numbers held against requirements, and the verdict that follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tacs.scenarios.bench import Bench

__all__ = ["Evidence", "Figure", "Outcome", "Row", "Verdict"]

Outcome = Literal["pass", "caught", "not_detectable", "not_applicable", "skipped", "fail"]
Figure = float | int | str | None
SHOWN_CHARACTERS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of one scenario.

    Parameters
    ----------
    outcome : str
        ``pass``; ``caught`` by a named monitor; ``not_detectable`` on this rig, and shown before
        arming; ``not_applicable``; ``skipped``; ``fail``.
    monitor : str or None
        The rule that caught it.
    figures, bounds : mapping of str
        What was measured or counted, and what it was held against.
    reason : str
        What a person should know; of a failure, every requirement that was missed.
    """

    outcome: Outcome
    monitor: str | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)
    bounds: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How a scenario is run.

    Parameters
    ----------
    run : callable
        From a bench to a verdict.
    needs : tuple of str
        Faults that the emulator must know.
    monitor : str
        Why the scenario does not exist without a current monitor; empty where it does.
    processes : bool
        Whether it needs processes of their own on the real clock: seconds, not milliseconds.
    without_host : bool
        Whether the device has to end the current without its host in it.
    """

    run: Callable[[Bench], Verdict]
    needs: tuple[str, ...] = ()
    monitor: str = ""
    processes: bool = False
    without_host: bool = False


class Evidence:
    """Collect what a scenario showed; a requirement that a number misses makes it fail."""

    def __init__(self) -> None:
        self.figures: dict[str, Figure] = {}
        self.bounds: dict[str, str] = {}
        self.problems: list[str] = []
        self.monitor: str | None = None

    def note(self, name: str, value: float | int | str | None) -> None:
        """Show a figure that nothing is required of."""
        self.figures[name] = _rounded(value)

    def at_most(self, name: str, value: float | None, limit: float) -> None:
        """Require a number that is not larger; one that is missing or NaN is."""
        self._require(name, value, f"<= {limit:g}", value is not None and value <= limit)

    def at_least(self, name: str, value: float | None, limit: float) -> None:
        """Require a number that is not smaller; one that is missing or NaN is."""
        self._require(name, value, f">= {limit:g}", value is not None and value >= limit)

    def equal(self, name: str, value: Figure, wanted: Figure) -> None:
        """Require this and nothing else."""
        self._require(name, value, f"= {wanted}", value == wanted)

    def contains(self, name: str, text: str, wanted: str) -> None:
        """Require words in a text."""
        found = wanted in text
        self._require(name, wanted if found else _clipped(text), f"has {wanted!r}", found)

    def shown_before_arming(self, cautions: str, *words: str) -> None:
        """Require that the operator is told, in some of these words, what cannot be detected."""
        listed = cautions.partition("not detectable on this rig:")[2]
        told = any(word in listed for word in words)
        self.equal("shown_before_arming", "yes" if told else "no", "yes")

    def verdict(
        self, reason: str = "", *, outcome: Outcome = "pass", monitor: str | None = None
    ) -> Verdict:
        """Return the outcome where every requirement was met, else ``fail`` and why."""
        problems = self.problems if self.bounds else ["nothing was held against a requirement"]
        if problems:
            return Verdict(
                outcome="fail",
                figures=self.figures,
                bounds=self.bounds,
                reason="; ".join([*problems, *([reason] if reason else [])]),
            )
        caught = monitor or self.monitor
        if caught is not None and outcome == "pass":
            outcome = "caught"
        return Verdict(
            outcome=outcome,
            monitor=caught,
            figures=self.figures,
            bounds=self.bounds,
            reason=reason,
        )

    def _require(self, name: str, value: Figure, bound: str, met: bool) -> None:
        shown = _rounded(value)
        self.figures[name], self.bounds[name] = shown, bound
        if not met:
            self.problems.append(f"{name} is {shown}, required {bound}")


def _clipped(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _rounded(value: Figure) -> Figure:
    """A figure that JSON can hold."""
    if isinstance(value, bool) or not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else str(value)
