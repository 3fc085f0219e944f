"""Traces of current: what is refused, and what is read out of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.delivered import DeliveredCurrent, measure_sine, sine_current
from tacs.errors import InputError


@settings(max_examples=60, deadline=None)
@given(
    frequency_hz=st.floats(4.0, 40.0),
    current_peak_ma=st.floats(0.05, 4.0),
    phase=st.floats(0.0, 6.28),
    offset_ma=st.floats(-0.5, 0.5),
    seconds=st.floats(1.3, 3.0),
)
def test_a_sine_is_read_as_it_is(
    frequency_hz: float, current_peak_ma: float, phase: float, offset_ma: float, seconds: float
) -> None:
    times_s = np.arange(round(seconds * 1000)) * 1e-3
    samples_ma = current_peak_ma * np.sin(2 * np.pi * frequency_hz * times_s + phase) + offset_ma
    sine = measure_sine(samples_ma, 1000.0)
    assert sine.frequency_hz == pytest.approx(frequency_hz, abs=0.01)
    assert sine.current_peak_ma == pytest.approx(current_peak_ma, rel=0.002)


def test_the_strongest_of_two_sines_is_read() -> None:
    times_s = np.arange(4000) / 2000.0
    samples_ma = np.sin(2 * np.pi * 10 * times_s) + 0.3 * np.sin(2 * np.pi * 23 * times_s)
    sine = measure_sine(samples_ma, 2000.0)
    assert sine.frequency_hz == pytest.approx(10.0, abs=0.01)
    assert sine.current_peak_ma == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("samples_ma", [np.zeros(2000), np.full(2000, 1.5), np.ones(3), np.ones(1)])
def test_nothing_alternating_reads_as_nothing(samples_ma) -> None:
    assert measure_sine(samples_ma, 1000.0).current_peak_ma == pytest.approx(0.0, abs=1e-9)


def test_sine_current_ramps_and_returns() -> None:
    current = sine_current(10.0, 1.5, 10.0, ramp_s=2.0, electrodes={"F3": 1, "F4": 1, "Cz": -2})
    assert current.electrodes == ("F3", "F4", "Cz")
    assert current.duration_s == 10.0
    assert np.abs(current.samples_ma.sum(axis=0)).max() < 1e-12
    hold = np.abs(current.samples_ma[:, 2000:8000]).max(axis=1)
    assert hold == pytest.approx([1.5, 1.5, 3.0], rel=1e-3)
    assert np.abs(current.samples_ma[0, 900:1000]).max() == pytest.approx(0.75, rel=0.05)
    assert current.flow_s == pytest.approx((0.001, 10.0), abs=0.002)
    assert sine_current(1.0, 0.0, 10.0).flow_s is None


def test_reading_between_samples() -> None:
    current = DeliveredCurrent(np.array([[0.0, 1.0, 0.5], [0.0, -1.0, -0.5]]), 1000.0, ("Oz", "Cz"))
    read = current.at(np.array([0.0, 0.0005, 0.001, 0.00175, 0.5]))
    assert read[0] == pytest.approx([0.0, 0.5, 1.0, 0.625, 0.5])
    assert read[1] == pytest.approx(-read[0])
    single = DeliveredCurrent(np.array([0.7]), 1000.0)
    assert single.at(np.array([0.0, 1.0])) == pytest.approx([0.7, 0.7])


@pytest.mark.parametrize(
    ("samples_ma", "sfreq_hz", "electrodes", "says"),
    [
        (np.ones(100), 999.0, (), "at least 1000"),
        (np.ones(100), float("nan"), (), "at least 1000"),
        (np.full(100, np.nan), 1000.0, (), "NaN"),
        (np.ones((2, 100)), 1000.0, ("Oz",), "one row per electrode"),
        (np.ones((2, 100)), 1000.0, (), "one row per electrode"),
        (np.ones(100), 1000.0, ("Oz",), "one row per electrode"),
        (np.ones(0), 1000.0, (), "one row per electrode"),
        (np.ones((1, 100)), 1000.0, ("Oz",), "return one too"),
    ],
)
def test_bad_traces_are_refused(samples_ma, sfreq_hz, electrodes, says) -> None:
    with pytest.raises(InputError, match=says):
        DeliveredCurrent(samples_ma, sfreq_hz, electrodes)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((0.0, 1.0, 10.0), "positive"),
        ((float("nan"), 1.0, 10.0), "positive"),
        ((10.0, -1.0, 10.0), "current of 0 or more"),
        ((10.0, 1.0, 0.0), "frequency above 0"),
        ((10.0, 1.0, 400.0), "below 250 Hz"),
    ],
)
def test_bad_sines_are_refused(arguments, says) -> None:
    with pytest.raises(InputError, match=says):
        sine_current(*arguments)


def test_ramps_longer_than_the_current_are_refused() -> None:
    with pytest.raises(InputError, match="both ramps"):
        sine_current(10.0, 1.0, 10.0, ramp_s=6.0)
