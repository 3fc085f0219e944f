"""Many spoiled inputs at one parser, and what came of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.fuzz.mutator import Mutator
from tests.fuzz.targets import Accepted, Target


@dataclass(slots=True)
class Outcome:
    """What came of a campaign; the first input of each of five defects is kept."""

    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    uncaught: int = 0
    longest_bytes: int = 0
    examples: list[str] = field(default_factory=list)

    def keep(self, data: bytes, error: BaseException) -> None:
        """Keep the input where no earlier one failed in the same way."""
        what = f"{type(error).__name__}: {error!s:.80}"
        if len(self.examples) < 5 and not any(text.startswith(what) for text in self.examples):
            self.examples.append(f"{what} on {data!r:.600}")


def judge(target: Target, data: bytes, outcome: Outcome) -> None:
    """Give one input to a target and count what it does with it."""
    outcome.inputs += 1
    try:
        target.parse(data)
    except target.allowed:
        outcome.refused += 1
    except Accepted as error:
        outcome.accepted += 1
        outcome.keep(data, error)
    except Exception as error:
        outcome.uncaught += 1
        outcome.keep(data, error)


def seeded(target: Target, n: int, seed: int) -> Outcome:
    """Run a campaign of ``n`` inputs of the seeded mutator."""
    outcome = Outcome()
    mutator = Mutator(target.seeds(), target.tokens, seed)
    for _ in range(n):
        data = mutator.next()
        outcome.longest_bytes = max(outcome.longest_bytes, len(data))
        judge(target, data, outcome)
    return outcome


def given(target: Target, inputs: Iterable[bytes]) -> Outcome:
    """Run a campaign of given inputs."""
    outcome = Outcome()
    for data in inputs:
        judge(target, data, outcome)
    return outcome
