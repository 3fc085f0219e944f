"""The rig's current monitor and the judge of what it measures, as the guardian uses them."""

from __future__ import annotations

import contextlib
import math
import secrets
from typing import Any

from tacs.clock import Clock
from tacs.errors import DeviceError, SafetyRefusal
from tacs.judge import Finding, Judge
from tacs.monitor import Monitor

__all__ = ["Watcher"]

FIRST_S = 2.0  # by then every kind of frame has come, or the monitor does not work
ROUND_S = 0.05


class Watcher:
    """A monitor and its judge.

    Parameters
    ----------
    monitor : Monitor
        Not yet connected.
    judge : Judge
        Of this session.
    clock : Clock
        Of the session.
    """

    def __init__(self, monitor: Monitor, judge: Judge, clock: Clock) -> None:
        self._monitor = monitor
        self.judge = judge
        self._clock = clock

    def begin(self) -> dict[str, Any]:
        """Connect, start measuring, and hold the contacts against the limits of a start.

        Returns
        -------
        dict
            What the instrument says of itself, and the first measurement.

        Raises
        ------
        SafetyRefusal
            A contact or the battery does not allow a start.
        DeviceError
            The monitor does not answer or does not measure.
        """
        identity = self._monitor.connect()
        self._monitor.start(secrets.randbits(64))
        until_s = self._clock.now_s() + FIRST_S
        while not self.judge.ready and self._clock.now_s() < until_s:
            now_s = self._clock.now_s() + ROUND_S
            self._clock.wait(now_s)
            self.judge.take(self._monitor.poll(now_s), self._monitor.counts, now_s)
        if not self.judge.ready:
            raise DeviceError(
                f"the current monitor {identity.model} sent no complete measurement within "
                f"{FIRST_S:g} s; check its leads and its link"
            )
        if breaches := self.judge.start_breaches():
            raise SafetyRefusal(breaches)
        return {"model": identity.model, "firmware": identity.firmware, **self.summary()}

    def look(self, now_s: float) -> list[Finding]:
        """Judge what the monitor sent since the last look.

        Raises
        ------
        DeviceError
            The link to the monitor is gone.
        """
        return self.judge.take(self._monitor.poll(now_s), self._monitor.counts, now_s)

    def summary(self) -> dict[str, Any]:
        """Return the measurement for the record: plain JSON types."""
        counts = self._monitor.counts
        return {
            "current_peak_ma": {n: round(v, 4) for n, v in self.judge.measured_ma().items()},
            "impedance_kohm": {
                n: "open" if math.isinf(v) else round(v, 2)
                for n, v in self.judge.impedance_kohm().items()
            },
            "charge_c": {
                n: {"net": round(net, 9), "rectified": round(rectified, 6)}
                for n, (net, rectified) in self.judge.charges_c().items()
            },
            "frames": {
                "accepted": counts.accepted,
                "corrupted": counts.corrupted,
                "lost": counts.lost,
                "duplicated": counts.duplicated,
                "reordered": counts.reordered,
                "foreign": counts.foreign,
            },
        }

    def close(self) -> None:
        """Stop measuring and release the port."""
        with contextlib.suppress(DeviceError):
            self._monitor.stop()
        with contextlib.suppress(DeviceError):
            self._monitor.close()
