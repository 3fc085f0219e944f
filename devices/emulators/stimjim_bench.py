"""An emulated StimJim on its bench: what its outputs are wired to, and its faults."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from devices.emulators.bench import DeviceBench
from devices.emulators.common_faults import (
    ELECTRODE_FAULTS,
    LINK_FAULTS,
    MONITOR_FAULTS,
    STIMULATOR_FAULTS,
)
from devices.emulators.faults import FaultKind, count, nothing, number, one_of
from devices.emulators.stimjim_firmware import Firmware
from tacs.rig import Rig

__all__ = ["FAULTS", "StimjimBench"]


class StimjimBench(DeviceBench[Firmware]):
    """A StimJim that measures what flows; see :class:`devices.emulators.bench.DeviceBench`."""

    def __init__(
        self,
        rig: Rig,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        now_s: float,
    ) -> None:
        super().__init__(Firmware(now_s), FAULTS, rig, contacts, trace, faults, now_s)
        self._channels = {wired.channel: wired for wired in rig.channels}
        self.firmware.load = self._at_terminals

    def _at_terminals(self, channel: int, current_ma: float, time_s: float) -> tuple[float, float]:
        """Voltage and current of an output, mV and µA; at its voltage limit where it is open."""
        wired = self._channels.get(channel + 1)
        if wired is None:
            return 0.0, 0.0
        outputs = self.electrodes.generator_outputs
        kohm = sum(
            self.electrodes.impedance_kohm(name, time_s)
            for name in (wired.positive, wired.negative)
        )
        if wired.channel not in outputs or not math.isfinite(kohm):
            return math.copysign(1000.0 * wired.compliance_v, current_ma) * bool(current_ma), 0.0
        # Of this loop alone: what the others pass through a shared electrode is not in its sense.
        driven = {n: np.array([current_ma if n == wired.channel else 0.0]) for n in outputs}
        currents_ma = self.electrodes.currents_ma(np.array([time_s]), driven)
        current_ua = 1000.0 * float(currents_ma[self.electrodes.contacts.index(wired.positive), 0])
        return current_ua * kohm, current_ua


def _set_stock(bench: StimjimBench, how: str, now_s: float) -> None:
    bench.firmware.stock = True
    bench.firmware.banner = how == "banner"


def _set_protocol(bench: StimjimBench, protocol: int, now_s: float) -> None:
    bench.firmware.protocol = protocol


def _set_clock(bench: StimjimBench, ppm: float, now_s: float) -> None:
    bench.firmware.ratio = 1.0 + 1e-6 * ppm


def _drop_start(bench: StimjimBench, n: int, now_s: float) -> None:
    bench.firmware.drop_starts = n


def _alter(bench: StimjimBench, n: int, now_s: float) -> None:
    bench.firmware.alter = n


def _chatter(bench: StimjimBench, n: int, now_s: float) -> None:
    bench.firmware.chatter = n


def _long_line(bench: StimjimBench, value: None, now_s: float) -> None:
    bench.firmware.tell("# " + 1500 * "x" + "\n")


FIRMWARE_FAULTS: Mapping[str, FaultKind[StimjimBench]] = {
    "wrong_firmware": FaultKind(
        "stock StimJim firmware answers from power-on; VALUE is quiet, or banner where it restarts "
        "when its port is opened",
        _set_stock,
        one_of("quiet", "banner"),
        "quiet",
        timed=False,
    ),
    "wrong_version": FaultKind(
        "the firmware says from power-on that it speaks protocol VALUE",
        _set_protocol,
        count,
        timed=False,
    ),
    "clock_ppm": FaultKind(
        "the device's clock is VALUE millionths fast from power-on, slow where negative",
        _set_clock,
        number,
        timed=False,
    ),
    "drop_start": FaultKind(
        "the next VALUE starts are dropped with a warning, as by a busy engine",
        _drop_start,
        count,
        "1",
    ),
    "alter_train": FaultKind(
        "the next VALUE trains are stored with a frequency 1 Hz higher", _alter, count, "1"
    ),
    "chatter": FaultKind(
        "before each of the next VALUE replies come a comment, a warning and a measurement",
        _chatter,
        count,
        "1",
    ),
    "long_line": FaultKind("a comment of 1500 bytes comes unasked", _long_line, nothing, ""),
}

FAULTS: Mapping[str, FaultKind[StimjimBench]] = {
    **ELECTRODE_FAULTS,
    **STIMULATOR_FAULTS,
    **FIRMWARE_FAULTS,
    **LINK_FAULTS,
    **MONITOR_FAULTS,
}
