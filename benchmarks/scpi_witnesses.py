"""QCoDeS's drivers for waveform generators against the emulated instruments, over a real socket.

They were written by others for the real instruments. What they set is held against what the
oscilloscope on the emulated output saw. QCoDeS pulls in some 600 MB (PyArrow, Dask, Jupyter
widgets), so that it is not among the packages that the tests install:

    python -m venv /tmp/witness && /tmp/witness/bin/pip install . qcodes pyvisa-py
    /tmp/witness/bin/python -m benchmarks.scpi_witnesses
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from devices.emulators.scpi import EmulatedScpi
from tacs.clock import MonotonicClock
from tacs.dose import read_trace
from tacs.rig import load_rig

GAIN_MA_PER_V = 2.0
FREQUENCY_HZ = 10.27


class Emulated:
    """An instrument in a process of its own, and what its oscilloscope saw."""

    def __init__(self, dialect: str, folder: Path) -> None:
        rig = load_rig("emulated-scpi").model_copy(update={"options": {"dialect": dialect}})
        path = folder / f"{dialect}.toml"
        rig.to_toml(path)
        self.process = EmulatedScpi().as_process(
            path, ["Oz", "Cz", "F3"], folder / f"{dialect}.tsv.gz", []
        )
        port = self.process.address.rpartition(":")[2]
        self.address = f"TCPIP0::127.0.0.1::{port}::SOCKET"

    def trace(self) -> dict[str, np.ndarray]:
        info = self.process.finish()
        assert info is not None
        samples = read_trace(info.path, len(info.columns))
        return dict(zip(info.columns, np.asarray(samples), strict=True))


def measured(samples: np.ndarray) -> tuple[float, float]:
    """Largest current, mA, and frequency, Hz, of what flowed."""
    flowing = np.flatnonzero(samples)
    if not len(flowing):
        return 0.0, 0.0
    part = samples[flowing[0] : flowing[-1] + 1]
    ups = np.flatnonzero((part[:-1] <= 0.0) & (part[1:] > 0.0))
    if len(ups) < 3:
        return float(np.abs(part).max()), 0.0
    at = ups + part[ups] / (part[ups] - part[ups + 1])
    return float(np.abs(part).max()), 1000.0 * (len(at) - 1) / float(at[-1] - at[0])


@contextlib.contextmanager
def instrument(kind: Callable[..., Any], address: str) -> Iterator[Any]:
    """Open one of QCoDeS's drivers, quietly."""
    with contextlib.redirect_stdout(io.StringIO()):
        found = kind("witness", address, visalib="@py", terminator="\n", timeout=3)
    try:
        yield found
    finally:
        found.close()


def wait(seconds: float) -> None:
    clock = MonotonicClock()
    clock.wait(clock.now_s() + seconds)


def dg1062(emulated: Emulated) -> None:
    from qcodes.instrument_drivers.rigol import RigolDG1062

    with instrument(RigolDG1062, emulated.address) as rigol:
        channel = rigol.ch1
        channel.impedance("HighZ")
        channel.apply(waveform="SIN", freq=FREQUENCY_HZ, ampl=0.5, offset=0, phase=0)
        assert channel.current_waveform()["freq"] == FREQUENCY_HZ
        assert channel.impedance() == "HighZ"
        burst = channel.burst
        burst.source("MAN")
        burst.mode("TRIG")
        burst.ncycles(10)
        burst.idle("CENTER")
        burst.on("ON")
        assert (burst.source(), burst.mode(), int(burst.ncycles())) == ("MAN", "TRIG", 10)
        channel.state("ON")
        burst.trigger()
        wait(1.5)
        assert rigol.ask("SYST:ERR?").startswith("0,")
        channel.state("OFF")


def dg4000(emulated: Emulated) -> None:
    from qcodes.instrument_drivers.rigol import RigolDG4000

    with instrument(RigolDG4000, emulated.address) as rigol:
        rigol.ch1_output_impedance("infinity")
        rigol.ch1_sinusoid(FREQUENCY_HZ, 0.5, 0.0, 0.0)
        assert rigol.ch1_frequency() == FREQUENCY_HZ
        assert rigol.ch1_output_impedance() == "infinity"
        rigol.ch1_align_phase()
        rigol.ch1_output_enabled(True)
        wait(1.5)
        assert rigol.get_error().startswith("0,")
        rigol.ch1_output_enabled(False)


def keysight(emulated: Emulated) -> None:
    from qcodes.instrument_drivers.Keysight import Keysight33522B

    with instrument(Keysight33522B, emulated.address) as generator:
        generator.write("OUTP1:LOAD INF")
        channel = generator.ch1
        channel.function_type("SIN")
        channel.frequency(FREQUENCY_HZ)
        channel.amplitude_unit("VPP")
        channel.amplitude(0.5)
        channel.offset(0.0)
        channel.trigger_source("BUS")
        channel.burst_mode("N Cycle")
        channel.burst_ncycles(10)
        channel.burst_state("ON")
        assert channel.frequency() == FREQUENCY_HZ
        assert channel.burst_ncycles() == 10
        channel.output("ON")
        generator.force_trigger()
        wait(1.5)
        assert generator.error() == (0, "No error")
        channel.output("OFF")


WITNESSES: tuple[tuple[str, str, Callable[[Emulated], None]], ...] = (
    ("QCoDeS RigolDG1062", "rigol-dg1000z", dg1062),
    ("QCoDeS RigolDG4000", "rigol-dg4000", dg4000),
    ("QCoDeS Keysight33522B", "keysight-33500b", keysight),
)


def main() -> int:
    """Print one line per client; the exit code is how many disagreed."""
    warnings.simplefilter("ignore")
    try:
        import qcodes
    except ImportError:
        print("skipped: QCoDeS is not installed (pip install qcodes pyvisa-py)")
        return 0
    print(f"QCoDeS {qcodes.__version__}; 0.5 Vpp at {GAIN_MA_PER_V:g} mA/V is 0.5 mA zero-to-peak")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, dialect, drive in WITNESSES:
            emulated = Emulated(dialect, Path(folder))
            try:
                drive(emulated)
                problem = ""
            except Exception as exc:  # whatever a foreign client raises
                problem = f"; {type(exc).__name__}: {exc}"
            peak_ma, frequency_hz = measured(emulated.trace()["Oz"])
            right = abs(peak_ma - 0.5) < 2e-3 and abs(frequency_hz - FREQUENCY_HZ) < 0.01
            wrong += not (right and not problem)
            verdict = "agrees" if right and not problem else "DISAGREES"
            print(f"{name:24} {peak_ma:.4f} mA {frequency_hz:8.4f} Hz  {verdict}{problem}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
