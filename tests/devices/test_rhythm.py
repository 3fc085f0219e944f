"""The oscillator against theory: rest, locking, echo, response to current."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from devices.rhythm import (
    Rhythm,
    driven_moments,
    entrained_plv,
    integrate,
    locking_half_width_hz,
    phase_memory_s,
    rest_plv,
)

N = 80
DURATION_S = 60.0
SPIN_STEPS = 3000
KEEP = 5


def simulate(
    current_peak_ma: float, size: float = 1.0, n: int = N
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Return states of n rhythms driven at 10 Hz after 3 s of settling, and the times."""
    rng = np.random.default_rng(11)
    n_steps = SPIN_STEPS + round(DURATION_S * 1000)
    drive_ma = current_peak_ma * np.cos(2 * np.pi * 10 * np.arange(n_steps) * 1e-3)
    start = np.exp(2j * np.pi * rng.random(n))
    states, _ = integrate(
        start, Rhythm(), n_steps, rng, drive_ma=drive_ma, size=size, keep_every=KEEP
    )
    times_s = np.arange(len(states)) * KEEP * 1e-3
    return states[SPIN_STEPS // KEEP :], times_s[SPIN_STEPS // KEEP :]


def mean_plv(
    states: NDArray[np.complex128], times_s: NDArray[np.float64], reference_hz: float
) -> float:
    factors = states / np.abs(states) * np.exp(-2j * np.pi * reference_hz * times_s)[:, None]
    return float(np.abs(factors.mean(axis=0)).mean())


@pytest.fixture(scope="module")
def rest() -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    return simulate(0.0, n=300)


def test_rest_has_the_reference_envelope_and_the_exact_power(rest) -> None:
    envelope = np.abs(rest[0])
    assert np.mean(envelope.std(axis=0) / envelope.mean(axis=0)) == pytest.approx(0.36, abs=0.01)
    exact = driven_moments(Rhythm(), 0.0)
    assert exact.plv == 0.0
    assert np.mean(envelope**2) == pytest.approx(exact.power, rel=0.01)


def test_rest_spectrum_peaks_at_the_rhythm(rest) -> None:
    states, _ = rest
    power = np.mean(np.abs(np.fft.fft(states, axis=0)) ** 2, axis=1)
    freqs_hz = np.fft.fftfreq(len(states), KEEP * 1e-3)
    near = np.abs(freqs_hz - 10.0) < 1.5
    assert np.average(freqs_hz[near], weights=power[near]) == pytest.approx(10.0, abs=0.03)


@pytest.mark.parametrize("detuning_hz", [0.0, 1.0, 3.0])
def test_rest_plv_has_the_floor_of_the_formula(rest, detuning_hz: float) -> None:
    expected = rest_plv(Rhythm(), DURATION_S, detuning_hz)
    assert mean_plv(*rest, 10.0 + detuning_hz) == pytest.approx(expected, rel=0.20)


def test_floor_formula_values() -> None:
    floor = [rest_plv(Rhythm(), 60.0, d) for d in (0.0, 1.0, 3.0)]
    assert floor == pytest.approx([0.091, 0.041, 0.015], abs=0.0006)
    assert [rest_plv(Rhythm(), t) for t in (20.0, 120.0, 300.0)] == pytest.approx(
        [0.158, 0.065, 0.041], abs=0.001
    )


def test_phase_only_locking_values() -> None:
    plv = [entrained_plv(Rhythm(), i) for i in (0.5, 1.0, 2.0, 4.0)]
    assert plv == pytest.approx([0.079, 0.157, 0.303, 0.535], abs=0.0006)


@pytest.mark.parametrize(("current_peak_ma", "plv"), [(1.0, 0.179), (2.0, 0.338), (4.0, 0.585)])
def test_locking_under_a_matched_current(current_peak_ma: float, plv: float) -> None:
    measured = mean_plv(*simulate(current_peak_ma), 10.0)
    assert measured == pytest.approx(plv, abs=0.03)
    # 60 s carry the floor besides the locking; the two add in quadrature.
    exact = driven_moments(Rhythm(), current_peak_ma).plv
    assert measured == pytest.approx(np.hypot(exact, rest_plv(Rhythm(), DURATION_S)), abs=0.02)


def test_a_small_rhythm_answers_more_than_a_large_one() -> None:
    # The exact stationary density gives 51.0, 18.4, 5.3 and 1.4 %; the noise is common to all runs.
    at_rest = np.mean(np.abs(simulate(0.0)[0]) ** 2)
    gains = []
    for size in (0.25, 0.5, 1.0, 2.0):
        states, _ = simulate(2.0, size)
        gains.append(np.mean(np.abs(states) ** 2) / at_rest - 1.0)
        exact = driven_moments(Rhythm(), 2.0, size).power / driven_moments(Rhythm(), 0.0).power
        assert gains[-1] == pytest.approx(exact - 1.0, abs=0.01)
    assert gains[0] > gains[1] > gains[2] > gains[3] > 0.005


@pytest.mark.parametrize("current_peak_ma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_locking_region_has_the_half_width_of_theory(current_peak_ma: float, side: int) -> None:
    expected_hz = locking_half_width_hz(Rhythm(), current_peak_ma)
    assert expected_hz == pytest.approx(0.159155 * current_peak_ma, rel=1e-5)
    detunings_hz = np.linspace(0.8, 1.2, 41) * expected_hz
    n_steps = round(20_000 / current_peak_ma) + 20_000
    times_s = np.arange(n_steps) * 1e-3
    drive_hz = 10.0 + side * detunings_hz
    drive_ma = current_peak_ma * np.cos(2 * np.pi * np.outer(times_s, drive_hz))
    states, _ = integrate(
        np.ones(41, complex), Rhythm(), n_steps, None, drive_ma=drive_ma, keep_every=10
    )
    late = slice(len(states) // 3, None)
    turns = states[late] * np.exp(-2j * np.pi * np.outer(times_s[::10][late], drive_hz))
    phase = np.unwrap(np.angle(turns), axis=0)
    locked = np.ptp(phase, axis=0) < np.pi / 2
    assert locked[0]
    assert not locked[-1]
    assert detunings_hz[locked].max() == pytest.approx(expected_hz, rel=0.10)


@pytest.mark.parametrize("fwhm_hz", [0.5, 1.0, 2.0])
def test_echo_fades_with_the_phase_memory(fwhm_hz: float) -> None:
    rhythm = Rhythm(fwhm_hz=fwhm_hz)
    tau_s = phase_memory_s(rhythm)
    rng = np.random.default_rng(5)
    n_on, n_off = 2000, round(1000 * tau_s)
    drive_ma = 4.0 * np.cos(2 * np.pi * 10 * np.arange(n_on + n_off) * 1e-3)
    drive_ma[n_on:] = 0.0
    start = np.exp(2j * np.pi * rng.random(3000))
    states, _ = integrate(start, rhythm, n_on + n_off, rng, drive_ma=drive_ma, keep_every=10)
    echo = states[n_on // 10 :]
    itpc = np.abs(np.mean(echo / np.abs(echo), axis=1))
    slope_per_s = np.polyfit(np.arange(len(itpc)) * 0.01, np.log(itpc), 1)[0]
    assert -1.0 / slope_per_s == pytest.approx(tau_s, rel=0.30)


def test_without_noise_the_cycle_turns_exactly() -> None:
    states, end = integrate(np.ones(1, complex), Rhythm(peak_hz=9.7), 50_000, None, keep_every=1000)
    assert np.abs(np.abs(states) - 1.0).max() < 1e-9
    assert end[0] == pytest.approx(np.exp(2j * np.pi * 9.7 * 50.0), abs=1e-7)


def test_two_stretches_are_one_and_many_are_each() -> None:
    coupling = np.array([[0.0, 1.0], [0.5, 0.0]])
    start = np.array([1.0, 1j])

    def run(n_steps: int, begin: NDArray[np.complex128], rng: np.random.Generator):
        return integrate(begin, Rhythm(), n_steps, rng, coupling_per_s=coupling, keep_every=4)

    whole, end = run(3000, start, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    first, middle = run(1200, start, rng)
    second, last = run(1800, middle, rng)
    assert np.abs(np.concatenate([first, second]) - whole).max() < 1e-9
    assert np.abs(last - end).max() < 1e-9
    both, _ = integrate(
        np.stack([start, start]),
        Rhythm(),
        3000,
        [np.random.default_rng(2), np.random.default_rng(1)],
        frequency_hz=np.full((3000, 2, 1), 10.0) - np.array([[1.0], [0.0]]),
        coupling_per_s=np.stack([3.0 * coupling, coupling]),
        keep_every=4,
    )
    assert np.abs(both[:, 1] - whole).max() < 1e-9


def test_coupling_locks_sources_together() -> None:
    locking = []
    for g in (0.0, 0.5, 2.0):
        coupling = g * (1.0 - np.eye(2))
        states, _ = integrate(
            np.ones((40, 2), complex),
            Rhythm(),
            20_000,
            np.random.default_rng(3),
            coupling_per_s=coupling,
            keep_every=10,
        )
        late = states[200:]
        cross = late[..., 0] * late[..., 1].conj()
        locking.append(float(np.abs(np.mean(cross / np.abs(cross)))))
    assert locking[0] < 0.05
    assert locking[0] + 0.08 < locking[1] < locking[2] - 0.15
