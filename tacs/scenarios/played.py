"""A device played by hand: the guarded driver on an emulator in memory, without a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tacs.clock import VirtualClock
from tacs.dose import read_trace
from tacs.driver import EmulatedDevice, find_emulator
from tacs.errors import InputError
from tacs.guard import GuardedDriver

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tacs.scenarios.bench import Bench

__all__ = ["Played"]

TICK_S = 0.02


class _NoJournal:
    """Nothing is written down."""

    def intent(self, verb: str, data: Mapping[str, Any], *, sync: bool) -> None:
        """Keep nothing."""

    def answer(self, verb: str, data: Mapping[str, Any]) -> None:
        """Keep nothing."""


class Played:
    """One device on the virtual clock.

    Parameters
    ----------
    bench : Bench
        With an emulated device.
    label : str
        Names its trace.

    Attributes
    ----------
    guard : GuardedDriver
        Of the bench's protocol, configured and idle.
    rate_hz : float
        Of the oscilloscope.
    """

    rate_hz = 1000.0

    def __init__(self, bench: Bench, label: str) -> None:
        self._bench, setup = bench, bench.setup
        if setup.rig is None:
            raise InputError(f"{setup.device}: needs a rig")
        self._protocol = bench.protocol()
        self._clock = VirtualClock()
        contacts = [e.name for e in self._protocol.montage.electrodes]
        self.device: EmulatedDevice = find_emulator(setup.device.driver).in_memory(
            setup.rig, self._clock, contacts, bench.folder / f"{label}.tsv.gz", []
        )
        self.guard = self._guarded()
        self.guard.connect()
        self.guard.configure()
        self._level = 0.0
        self._started_s = self._clock.now_s()
        self._leased_s = self._started_s

    @property
    def now_s(self) -> float:
        """Clock time; the oscilloscope's first sample is at 0."""
        return self._clock.now_s()

    def play_to(self, level: float) -> None:
        """Start, and step the level up as fast as the limits allow."""
        lease_s = self._bench.setup.limits["lease_ttl_s"]
        self.guard.start(lease_s, self.now_s)
        self._started_s = self._leased_s = self.now_s
        slew = self._bench.setup.limits["envelope_slew_ma_per_s"] / self._bench.current_ma
        while self._level < level:
            self._level = min(self._level + 0.95 * slew * TICK_S, level)
            self._tick()

    def hold(self, for_s: float) -> None:
        """Go on as it is, with the lease renewed."""
        until_s = self.now_s + for_s
        while self.now_s < until_s:
            self._tick()

    def pass_time(self, for_s: float) -> None:
        """Let time pass, and let the driver do what is due; nothing is renewed."""
        until_s = self.now_s + for_s
        while self.now_s < until_s:
            self._clock.wait(self.now_s + TICK_S)
            self.guard.pump(self.now_s)

    def connect_again(self) -> None:
        """Forget the driver, and connect another one to the same device."""
        self.guard = self._guarded()
        self.guard.connect()

    def end(self) -> NDArray[np.float64]:
        """Stop, close, and return what the oscilloscope saw, shape (n_electrodes, n_samples)."""
        self.guard.soft_stop()
        self.pass_time(self._bench.soft_stop_s + 0.5)
        self.guard.close()
        info = self.device.finish()
        if info is None:
            raise InputError("the oscilloscope left no trace")
        return read_trace(info.path, len(info.columns))

    def _guarded(self) -> GuardedDriver:
        setup = self._bench.setup
        driver = setup.driver.over(self.device.transport, setup.rig)
        return GuardedDriver.of(driver, self._protocol, setup.rig, setup.limits, _NoJournal())

    def _tick(self) -> None:
        self._clock.wait(self.now_s + TICK_S)
        now_s = self.now_s
        if self._level != self.guard.level:
            self.guard.set_level(self._level, now_s)
        if now_s - self._leased_s >= 0.25 - 1e-9:
            self._leased_s = now_s
            elapsed_s = now_s - self._started_s
            self.guard.extend_lease(elapsed_s, self._bench.setup.limits["lease_ttl_s"])
        self.guard.pump(now_s)
