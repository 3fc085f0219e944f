"""What a trace says was delivered."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacs.dose import measure, quiet_after_s, read_trace
from tacs.waveform import Waveform
from tests.tacs.made import protocol as made_protocol

RATE_HZ = 1000.0


@settings(max_examples=25, deadline=None)
@given(st.floats(1.0, 45.0), st.floats(0.05, 2.0))
def test_frequency_peak_and_charge_of_a_session(frequency_hz: float, current_ma: float):
    protocol = made_protocol(
        frequency_hz=frequency_hz,
        duration_s=60.0,
        montage={
            "electrodes": [
                {"name": "Oz", "area_cm2": 25.0, "material": "hydrogel"},
                {"name": "Cz", "area_cm2": 25.0, "material": "hydrogel"},
            ],
            "loops": [{"source": "Oz", "sink": "Cz", "current_peak_ma": current_ma}],
        },
    )
    waveform = Waveform(protocol)
    trace = waveform.sample(np.arange(0.0, 61.0, 1.0 / RATE_HZ))
    got = measure(trace, waveform.electrodes, RATE_HZ)
    assert got.frequency_hz == pytest.approx(frequency_hz, abs=1e-3)
    # At 1 kHz a 45 Hz sine is sampled within 8.1° of its crest: 1 % low at worst.
    assert current_ma * 0.98 <= got.current_peak_ma <= current_ma * (1 + 1e-9)
    assert got.rectified_charge_c["Oz"] == pytest.approx(
        waveform.rectified_charge_c("Oz"), rel=5e-3
    )
    assert got.balance_ma < 1e-12
    # Half a cycle more of one sign than of the other, at most, over a minute.
    assert abs(got.mean_ma["Oz"]) <= current_ma / (math.pi * frequency_hz * 55.0)
    # Less than 1 µA is silence: that much of the two ramps, and a cycle at either end.
    unheard_s = (30.0 + 15.0) * 0.001 / current_ma + 2.0 / frequency_hz
    assert 60.0 - unheard_s <= got.duration_s <= 60.0


def test_silence_is_nothing_delivered():
    got = measure(np.zeros((2, 5000)), ("Oz", "Cz"), RATE_HZ)
    assert got.to_dict()["duration_s"] == 0.0
    assert got.frequency_hz is None
    assert got.current_peak_ma == 0.0


def test_an_empty_trace_is_nothing_delivered():
    got = measure(np.zeros((2, 0)), ("Oz", "Cz"), RATE_HZ)
    assert (got.duration_s, got.current_peak_ma, got.frequency_hz) == (0.0, 0.0, None)


def test_direct_current_shows_in_the_mean():
    times_s = np.arange(0.0, 10.0, 1.0 / RATE_HZ)
    signal = np.sin(2 * math.pi * 10.0 * times_s) + 0.1
    got = measure(np.vstack([signal, -signal]), ("Oz", "Cz"), RATE_HZ)
    assert got.mean_ma["Oz"] == pytest.approx(0.1, abs=1e-3)


def test_time_to_quiet():
    times_s = np.arange(0.0, 10.0, 1.0 / RATE_HZ)
    envelope = np.clip((6.0 - times_s) / 1.0, 0.0, 1.0)
    trace = np.vstack([envelope, -envelope])
    assert quiet_after_s(trace, RATE_HZ, 5.0) == pytest.approx(0.95, abs=2e-3)
    assert quiet_after_s(trace * 0.01, RATE_HZ, 5.0) == 0.0
    assert quiet_after_s(np.ones((2, 100)), RATE_HZ, 0.0) is None


def write_trace(path: Path, blocks: list[str]) -> None:
    path.write_bytes(b"".join(gzip.compress(block.encode(), mtime=0) for block in blocks))


def test_a_trace_is_read_across_members_and_up_to_where_it_was_cut(tmp_path: Path):
    path = tmp_path / "t.tsv.gz"
    write_trace(path, ["0.1\t-0.1\n0.2\t-0.2\n", "0.3\t-0.3\n"])
    assert read_trace(path, 2).tolist() == [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]
    path.write_bytes(path.read_bytes()[:-9])
    assert read_trace(path, 2)[0, :2].tolist() == [0.1, 0.2]
    path.write_bytes(b"")
    assert read_trace(path, 2).shape == (2, 0)


@pytest.mark.parametrize(("frequency_hz", "carrier_hz"), [(10.27, 80.0), (6.0, 97.3), (1.5, 60.0)])
def test_the_frequency_of_a_modulated_carrier_is_its_envelopes(
    frequency_hz: float, carrier_hz: float
):
    made = made_protocol(
        waveform="am_tacs", carrier_hz=carrier_hz, frequency_hz=frequency_hz, duration_s=90.0
    )
    waveform = Waveform(made)
    trace = waveform.sample(np.arange(0.0, 91.0, 1.0 / RATE_HZ))
    got = measure(trace, waveform.electrodes, RATE_HZ, carrier_hz=carrier_hz)
    assert got.frequency_hz == pytest.approx(frequency_hz, abs=2e-3)
    assert got.rectified_charge_c["Oz"] == pytest.approx(
        waveform.rectified_charge_c("Oz"), rel=5e-3
    )
