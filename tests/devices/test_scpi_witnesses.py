"""Clients that others wrote drive the emulated instruments over a real socket.

What they believe to have set is on the oscilloscope. The clients of QCoDeS do the same in
``benchmarks/scpi_witnesses.py``; they pull in too much to be installed for the tests.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from devices.emulators.scpi import EmulatedScpi
from devices.emulators.server import EmulatorProcess
from tacs.clock import MonotonicClock
from tests.devices.bench import Trace, read_trace
from tests.devices.scpi_session import rig_for

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs, at import
    pymeasure = pytest.importorskip(
        "pymeasure.instruments.agilent.agilent33500", reason="PyMeasure is not installed"
    )
    pytest.importorskip("pyvisa_py", reason="pyvisa-py is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[EmulatorProcess]:
    rig = tmp_path / "rig.toml"
    rig_for("keysight-33500b").to_toml(rig)
    emulator = EmulatedScpi().as_process(rig, ["Oz", "Cz", "F3"], tmp_path / "scope.tsv.gz", [])
    yield emulator
    emulator.finish()


@pytest.fixture
def generator(process: EmulatorProcess):
    port = process.address.rpartition(":")[2]
    found = pymeasure.Agilent33500(
        f"TCPIP0::127.0.0.1::{port}::SOCKET",
        visa_library="@py",
        read_termination="\n",
        write_termination="\n",
        timeout=2000,
    )
    yield found
    found.adapter.close()


def seen(process: EmulatorProcess, generator) -> Trace:
    generator.adapter.close()
    info = process.finish()
    assert info is not None
    return read_trace(info)


def frequency_hz(samples: np.ndarray) -> float:
    ups = np.flatnonzero((samples[:-1] <= 0.0) & (samples[1:] > 0.0))
    crossings = ups + samples[ups] / (samples[ups] - samples[ups + 1])
    return 1000.0 * (len(crossings) - 1) / float(crossings[-1] - crossings[0])


def test_pymeasure_reads_back_what_it_set(generator):
    assert generator.id.startswith("Agilent Technologies,33522B")
    channel = generator.ch_2
    channel.output_load = "INF"
    channel.shape, channel.frequency, channel.amplitude_unit = "SIN", 10.27, "VPP"
    channel.amplitude, channel.offset, channel.phase = 0.5, 0.1, 90.0
    channel.burst_state, channel.burst_mode, channel.burst_ncycles = True, "TRIG", 1234
    assert (channel.shape, channel.amplitude_unit) == ("SIN", "VPP")
    assert channel.frequency == pytest.approx(10.27)
    assert (channel.amplitude, channel.offset, channel.phase) == (0.5, 0.1, 90.0)
    assert (channel.burst_state, channel.burst_mode) == (True, "TRIG")
    assert channel.burst_ncycles == 1234
    assert float(channel.output_load) == 9.9e37
    assert channel.output is False
    assert generator.check_errors() == []


def test_pymeasure_plays_a_sine(process: EmulatorProcess, generator):
    clock = MonotonicClock()
    for channel, peak_v in ((generator.ch_1, 0.25), (generator.ch_2, 0.5)):
        channel.output_load = "INF"
        channel.shape, channel.frequency, channel.amplitude = "SIN", 10.27, 2 * peak_v
        channel.output = True
    generator.phase_sync()
    began_s = clock.now_s()
    clock.wait(began_s + 1.5)
    ended_s = clock.now_s()
    generator.ch_1.output = False
    generator.ch_2.output = False
    trace = seen(process, generator)
    oz, f3 = (trace.between(began_s + 0.1, ended_s, name) for name in ("Oz", "F3"))
    assert np.abs(oz).max() == pytest.approx(0.5, abs=1e-3)  # 0.25 V at 2 mA/V
    assert f3 == pytest.approx(2.0 * oz, abs=1e-3)
    assert frequency_hz(oz) == pytest.approx(10.27, abs=0.005)
    assert not trace.between(ended_s + 0.1, np.inf).any()


def test_pymeasure_plays_a_burst_that_ends_by_itself(process: EmulatorProcess, generator):
    clock = MonotonicClock()
    channel = generator.ch_1
    channel.output_load = "INF"
    channel.shape, channel.frequency, channel.amplitude = "SIN", 10.0, 1.0
    generator.trigger_source = "BUS"
    channel.burst_mode, channel.burst_ncycles, channel.burst_state = "TRIG", 8, True
    channel.output = True
    generator.trigger()
    began_s = clock.now_s()
    clock.wait(began_s + 1.2)
    assert channel.output is True
    assert generator.check_errors() == []
    channel.output = False
    oz = seen(process, generator).currents_ma["Oz"]
    flowing = np.flatnonzero(oz)
    assert flowing[-1] - flowing[0] == pytest.approx(800, abs=3)
    assert np.abs(oz).max() == pytest.approx(1.0, abs=1e-3)


def test_pymeasure_is_told_of_errors(generator):
    generator.write("SOUR1:FUNC SINE")
    generator.write("FROB 1")
    codes = [int(error[0]) for error in generator.check_errors()]
    assert codes == [-224, -113]
