"""A National Instruments card through the package nidaqmx: the few calls of it that we use.

Not verified on hardware. The order of calls follows the documentation: the timer is started before
anything of the device is reserved (else -201477), the buffer is filled before the start, and a task
is stopped before its samples are replaced.

References
----------
NI-DAQmx Python API, ``nidaqmx`` 1.7 (MIT), package ``nidaqmx`` on PyPI.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from devices.nidaq_backend import EXPIRED, UNDERFLOWS, CardInfo, CardState, card_error
from devices.nidaq_options import Options, output_names, watchdog_device
from tacs.clock import Clock
from tacs.errors import DeviceNotFound, InputError

__all__ = ["NiCard"]

NO_WAIT_S: Final = 0.0  # a write that finds no room is an error, never a wait
HOLD_TIMEOUT_S: Final = 1.0


class NiCard:
    """One card, through ``nidaqmx``.

    Parameters
    ----------
    address : str
        Outputs as NI MAX shows them, ``Dev1/ao0:1``; output 1 is the first of them.
    options : Options
        Of the rig.
    clock : Clock
        Real time.

    Raises
    ------
    InputError
        The address names no outputs.
    DeviceNotFound
        The package or the NI-DAQmx driver is not installed.
    """

    def __init__(self, address: str, options: Options, clock: Clock) -> None:
        self.address = address
        self._outputs = output_names(address)
        self._options = options
        self._clock = clock
        self._task: Any = None
        self._writer: Any = None
        self._timer: Any = None
        self._starts = 0
        self._timer_device = watchdog_device(options, self._outputs)
        if clock.virtual:
            raise InputError(f"{address}: a virtual clock cannot wait for a card; use --clock real")
        try:
            self._ni: Any = importlib.import_module("nidaqmx")
            self._constants: Any = importlib.import_module("nidaqmx.constants")
            self._types: Any = importlib.import_module("nidaqmx.types")
            self._system: Any = importlib.import_module("nidaqmx.system")
            self._watchdog: Any = importlib.import_module("nidaqmx.system.watchdog")
            self._writers: Any = importlib.import_module("nidaqmx.stream_writers")
        except ImportError as exc:
            raise DeviceNotFound(
                f"{address}: the package nidaqmx is not installed; pip install 'tacs-suite[nidaq]' "
                f"and NI's driver NI-DAQmx (an emulated card is written emulated:nidaq)"
            ) from exc

    def identify(self) -> CardInfo:
        """Ask who it is, and unlock outputs that an expired timer has locked."""
        with self._asking("identify"):
            device = self._system.Device(self._outputs[0].split("/")[0])
            there = {name.lower() for name in device.ao_physical_chans.channel_names}
            if missing := [name for name in self._outputs if name.lower() not in there]:
                raise DeviceNotFound(
                    f"{self.address}: the card has no output {missing[0]}; it has "
                    f"{', '.join(sorted(there)) or 'none'}"
                )
            info = CardInfo(
                product=device.product_type,
                serial=f"{device.serial_num:08X}",
                n_outputs=len(self._outputs),
                details={"outputs": list(self._outputs), "rate_max_hz": device.ao_max_rate},
            )
        if self._options.timed:
            with self._asking("unlock"):
                timer = self._watchdog.WatchdogTask(
                    self._timer_device, timeout=self._options.watchdog_s
                )
                try:
                    timer.clear_expiration()
                finally:
                    timer.close()
        return info

    def prepare(self, limits_v: Mapping[int, float], rate_hz: float, buffer_samples: int) -> None:
        """Set up a generation on some outputs; nothing plays."""
        self.release()
        with self._asking("prepare"):
            self._task = self._ni.Task()
            self._add_outputs(self._task, limits_v)
            self._task.timing.cfg_samp_clk_timing(
                rate_hz,
                sample_mode=self._constants.AcquisitionType.CONTINUOUS,
                samps_per_chan=buffer_samples,
            )
            stream = self._task.out_stream
            stream.regen_mode = self._constants.RegenerationMode.DONT_ALLOW_REGENERATION
            stream.output_buf_size = buffer_samples
            self._task.control(self._constants.TaskMode.TASK_VERIFY)
            actual_hz = self._task.timing.samp_clk_rate
            if abs(actual_hz - rate_hz) > 1e-6 * rate_hz:
                self.release()
                raise InputError(
                    f"{self.address}: the card's clock makes {actual_hz:.9g} samples a second of "
                    f"the {rate_hz:g} asked for; write options.sample_rate_hz that divides its "
                    f"time base"
                )
            self._writer = self._writers.AnalogMultiChannelWriter(stream, auto_start=False)

    def write(self, volts: NDArray[np.float64]) -> None:
        """Append samples."""
        with self._asking("write"):
            data = np.ascontiguousarray(volts, dtype=np.float64)
            self._running.write_many_sample(data, timeout=NO_WAIT_S)

    def start(self) -> None:
        """Let the sample clock run."""
        with self._asking("start"):
            self._task.start()
        self._starts += 1

    def state(self) -> CardState:
        """Ask how far it is."""
        try:
            running = not self._task.is_task_done()
            generated = int(self._task.out_stream.total_samp_per_chan_generated)
            return CardState(running, generated, starts=self._starts)
        except self._ni.errors.DaqError as exc:
            if exc.error_code in UNDERFLOWS:
                return CardState(False, None, exc.error_code, self._starts, self._expired())
            if exc.error_code in EXPIRED:
                return CardState(False, None, 0, self._starts, expired=True)
            raise card_error(f"{self.address}: state", exc.error_code, str(exc)) from exc

    def _expired(self) -> bool:
        """Whether the timer ran out; asked only when something is wrong."""
        try:
            return self._timer is not None and bool(self._timer.expired)
        except self._ni.errors.Error:
            return False

    def finish(self, volts: NDArray[np.float64]) -> None:
        """Append samples, or play them by themselves where it ran dry."""
        if self.state().running:
            self.write(volts)
        else:
            self.replace(volts)

    def replace(self, volts: NDArray[np.float64]) -> None:
        """Drop what has not been played and play this instead."""
        with contextlib.suppress(self._ni.errors.Error):
            self._task.stop()  # a task that ran dry says so once more
        self.write(volts)
        self.start()

    def release(self) -> None:
        """End the generation; the outputs stay at their last value."""
        task, self._task, self._writer = self._task, None, None
        if task is not None:
            with contextlib.suppress(self._ni.errors.Error):
                task.stop()
            with contextlib.suppress(self._ni.errors.Error):
                task.close()

    def hold(self, volts: Mapping[int, float]) -> None:
        """Set outputs to a value at once, by a task without a clock."""
        self.release()
        with self._asking("hold"), self._ni.Task() as task:
            self._add_outputs(
                task, {n: max(abs(v), self._options.range_v) for n, v in volts.items()}
            )
            writer = self._writers.AnalogMultiChannelWriter(task.out_stream, auto_start=True)
            values = np.array([volts[number] for number in sorted(volts)], dtype=np.float64)
            writer.write_one_sample(values, timeout=HOLD_TIMEOUT_S)

    def watch(self, timeout_s: float) -> None:
        """Start the timer; anything of ours that holds the device is released before."""
        self.unwatch()
        self.release()
        with self._asking("watchdog"):
            self._timer = self._watchdog.WatchdogTask(self._timer_device, timeout=timeout_s)
            if self._options.watchdog:
                kind = self._constants.WatchdogAOExpirState.VOLTAGE
                self._timer.cfg_watchdog_ao_expir_states(
                    [self._types.AOExpirationState(name, 0.0, kind) for name in self._outputs]
                )
            if self._options.interlock is not None:
                low = self._types.DOExpirationState(
                    self._options.interlock, self._constants.Level.LOW
                )
                self._timer.cfg_watchdog_do_expir_states([low])
            self._timer.start()

    def feed(self) -> None:
        """Start the timer anew."""
        if self._timer is not None:
            with self._asking("watchdog"):
                self._timer.reset_timer()

    def unwatch(self) -> None:
        """Stop the timer."""
        timer, self._timer = self._timer, None
        if timer is not None:
            with contextlib.suppress(self._ni.errors.Error):
                timer.clear_expiration()
            with contextlib.suppress(self._ni.errors.Error):
                timer.stop()
            with contextlib.suppress(self._ni.errors.Error):
                timer.close()

    def enable(self, on: bool) -> None:
        """Set the interlock line; it stays when its task is closed."""
        if self._options.interlock is None:
            return
        with self._asking("interlock"), self._ni.Task() as task:
            task.do_channels.add_do_chan(self._options.interlock)
            writer = self._writers.DigitalSingleChannelWriter(task.out_stream, auto_start=True)
            writer.write_one_sample_one_line(on, timeout=HOLD_TIMEOUT_S)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._clock.wait(self._clock.now_s() + seconds)

    def close(self) -> None:
        """Release everything. Safe to repeat, and never raises."""
        self.release()
        self.unwatch()

    @property
    def _running(self) -> Any:
        if self._writer is None:
            raise InputError(f"{self.address}: nothing was prepared")
        return self._writer

    def _add_outputs(self, task: Any, limits_v: Mapping[int, float]) -> None:
        """Outputs in ascending order, each with the largest volts that the card may be given."""
        for number in sorted(limits_v):
            if number > len(self._outputs):
                raise InputError(
                    f"{self.address}: names {len(self._outputs)} outputs and the rig has a channel "
                    f"{number}"
                )
            limit_v = limits_v[number]
            channel = task.ao_channels.add_ao_voltage_chan(
                self._outputs[number - 1], min_val=-limit_v, max_val=limit_v
            )
            if self._options.idle_output == "zero_volts":
                channel.ao_idle_output_behavior = self._constants.AOIdleOutputBehavior.ZERO_VOLTS

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Map NI's errors to the suite's."""
        try:
            yield
        except self._ni.errors.DaqNotFoundError as exc:
            raise DeviceNotFound(
                f"{self.address}: NI's driver NI-DAQmx is not installed on this computer; the "
                f"package nidaqmx needs it"
            ) from exc
        except self._ni.errors.DaqError as exc:
            raise card_error(f"{self.address}: {what}", exc.error_code, str(exc)) from exc
