"""Lost samples by the numbers of packages, on numbers as boards send them."""

from __future__ import annotations

import numpy as np
import pytest

from devices.eeg_clock import SampleClock
from devices.eeg_packages import PackageCounter

RATE_HZ = 250.0


def stream(
    n: int, *, around: int = 256, per: int = 1, step: int = 1, jitter_s: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and stamps of samples of which none is missing."""
    numbers = (np.arange(n) // per * step % around).astype(float)
    rng = np.random.default_rng(3)
    return numbers, np.arange(n) / RATE_HZ + rng.normal(0.0, jitter_s, n)


def counted(numbers: np.ndarray, stamps_s: np.ndarray, kept: np.ndarray) -> np.ndarray:
    counter = PackageCounter(numbers[:200], RATE_HZ)
    assert counter.usable
    return counter.lost(numbers[kept], stamps_s[kept])


@pytest.mark.parametrize(
    ("around", "per", "step"), [(256, 1, 1), (256, 12, 1), (65536, 4, 1), (256, 1, 2), (200, 2, 1)]
)
def test_nothing_is_missing_where_nothing_is(around: int, per: int, step: int) -> None:
    numbers, stamps_s = stream(3000, around=around, per=per, step=step, jitter_s=0.01)
    assert not counted(numbers, stamps_s, np.arange(3000)).any()


@pytest.mark.parametrize("n_lost", [1, 5, 255, 256, 257, 700])
def test_every_lost_sample_is_counted(n_lost: int) -> None:
    numbers, stamps_s = stream(3000, jitter_s=0.01)
    kept = np.concatenate([np.arange(1000), np.arange(1000 + n_lost, 3000)])
    lost = counted(numbers, stamps_s, kept)
    assert lost[1000] == n_lost
    assert lost.sum() == n_lost


def test_lost_packages_of_several_samples() -> None:
    numbers, stamps_s = stream(3000, per=12)
    kept = np.concatenate([np.arange(1200), np.arange(1236, 3000)])
    lost = counted(numbers, stamps_s, kept)
    assert lost[1200] == 36
    assert lost.sum() == 36


@pytest.mark.parametrize(
    "numbers",
    [
        np.zeros(500),
        np.full(500, np.nan),
        np.random.default_rng(1).integers(0, 256, 500).astype(float),
        np.arange(20.0),
    ],
)
def test_numbers_without_a_rule_are_not_used(numbers: np.ndarray) -> None:
    assert not PackageCounter(numbers, RATE_HZ).usable


def test_the_clock_goes_on_by_what_was_counted() -> None:
    placed = SampleClock(RATE_HZ, lossless=True)
    stamps_s = np.arange(1000) / RATE_HZ
    lost = np.zeros(1000, dtype=np.int64)
    kept = np.concatenate([np.arange(600), np.arange(603, 1000)])
    lost[603] = 3
    runs = placed.place(stamps_s[kept], lost[kept])
    assert [(run.first, run.missing) for run in runs] == [(0, 0), (603, 3)]
    assert (placed.n_samples, placed.n_missing, placed.n_gaps) == (997, 3, 1)
    assert runs[1].times_s == pytest.approx(stamps_s[603:], abs=1e-6)


def test_a_late_chunk_of_numbered_packages_is_no_gap() -> None:
    placed = SampleClock(RATE_HZ, lossless=True)
    stamps_s = np.arange(1000) / RATE_HZ
    late_s = stamps_s + np.where(np.arange(1000) // 10 == 60, 0.2, 0.0)
    nothing = np.zeros(10, dtype=np.int64)
    runs = [run for k in range(0, 1000, 10) for run in placed.place(late_s[k : k + 10], nothing)]
    assert sum(run.missing for run in runs) == 0
    assert placed.n_gaps == 0
