"""Which made recordings `benchmarks.peak` runs on, and the seed of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.made import EXPONENTS, GENERATORS, SNR_LOG10, Case, draw

PARTS = ("accuracy", "absent", "coverage", "split", "peers", "cost")
APART_HZ = (1.5, 2.5)
SECOND_HEIGHT = 0.7


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: how many recordings of which kinds, and the peers beside ours.

    Of `per_cell`, every cell of SNR and length gets all, every pair of neighbours half, every cell
    without a rhythm and of another generator a quarter; the peers get `recordings` with a rhythm
    and as many without.
    """

    seed: int = 1
    per_cell: int = 100
    recordings: int = 500
    timed: int = 12
    peers: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS
    jobs: int = 1
    snrs: tuple[str, ...] = tuple(SNR_LOG10)
    durations_s: tuple[float, ...] = (30.0, 60.0, 120.0, 300.0)
    exponents: tuple[float, ...] = EXPONENTS
    knees_hz: tuple[float, ...] = (4.0, 8.0, 15.0)
    generators: tuple[str, ...] = GENERATORS[1:]

    def share(self, part: int) -> int:
        """One of `part` of the recordings of a cell, rounded up."""
        return -(-self.per_cell // part)

    def seeds(self, part: str, n: int, cell: int = 0) -> Iterator[int]:
        """Seeds of one cell; more recordings keep the earlier ones."""
        first = ((self.seed * len(PARTS) + PARTS.index(part)) * 1000 + cell) * 100_000
        return iter(range(first, first + n))


def present_cases(plan: Plan, generator: str = "gauss") -> Iterator[Case]:
    """Cells of SNR and length with one rhythm."""
    own = generator == "gauss"
    part, n = ("accuracy", plan.per_cell) if own else ("coverage", plan.share(4))
    cells = [(snr, duration_s) for snr in plan.snrs for duration_s in plan.durations_s]
    for place, (snr, duration_s) in enumerate(cells):
        for seed in plan.seeds(part, n, 100 * GENERATORS.index(generator) + place):
            yield draw(seed, with_peak=True, snr=snr, duration_s=duration_s, generator=generator)


def absent_cases(plan: Plan, *, knee: bool) -> Iterator[Case]:
    """Cells of length and exponent, or of length and knee, without a rhythm."""
    for i, duration_s in enumerate(plan.durations_s):
        for j, value in enumerate(plan.knees_hz if knee else plan.exponents):
            for seed in plan.seeds("absent", plan.share(4), 100 * knee + 10 * i + j):
                kind = {"knee_hz" if knee else "exponent": value}
                yield draw(seed, with_peak=False, duration_s=duration_s, **kind)


def split_cases(plan: Plan) -> Iterator[Case]:
    """Cells of SNR and length with two rhythms in the band, the second at 70 % of the height."""
    cells = [(s, d) for s in plan.snrs for d in plan.durations_s if s != "low" and d >= 60.0]
    for place, (snr, duration_s) in enumerate(cells):
        for seed in plan.seeds("split", plan.share(2), place):
            case = draw(seed, with_peak=True, snr=snr, duration_s=duration_s)
            rng = np.random.default_rng([seed, 2])
            apart = float(rng.uniform(*APART_HZ))
            sides = [s for s in (1.0, -1.0) if 7.5 <= (case.peak_hz or 0.0) + s * apart <= 12.75]
            second = (float(rng.choice(sides)) * apart, SECOND_HEIGHT)
            yield draw(seed, with_peak=True, snr=snr, duration_s=duration_s, second=second)


def peer_cases(plan: Plan) -> Iterator[Case]:
    """Recordings of every kind, with and without a rhythm in turn."""
    for seed in plan.seeds("peers", plan.recordings):
        yield draw(seed, with_peak=True)
        yield draw(seed, with_peak=False)
