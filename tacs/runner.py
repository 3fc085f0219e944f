"""One whole session: limits, ledger, record, device, guardian, trace, data set.

The order is the safety argument. Everything that can refuse is asked before the port is opened;
the record exists before the first byte is sent; the whole dose is reserved in the ledger before
arming; whatever happens after that, the record is closed and the dose is booked, here or by
``tacs recover``.
"""

from __future__ import annotations

import hashlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from tacs.bids import SessionPaths, ensure_dataset, store_trace
from tacs.checking import Setup, check, prepare
from tacs.clock import Clock, MonotonicClock, QueueInbox, VirtualClock, utc_now
from tacs.dose import Delivered, measure, quiet_after_s, read_trace
from tacs.driver import (
    Driver,
    EmulatedDevice,
    TraceInfo,
    find_emulator,
)
from tacs.errors import InputError, RecordError, SafetyRefusal, TacsError
from tacs.guard import GuardedDriver
from tacs.guardian import Guardian, Telemetry, kernel_plan
from tacs.ledger import Dose, Ledger, dose_at_level
from tacs.protocol import Protocol
from tacs.record import RecordWriter, canonical
from tacs.safety import cautions
from tacs.session import Session, State
from tacs.waveform import Waveform

__all__ = ["RunRecord", "run"]

OUTCOMES = {State.DONE: "done", State.STOPPED: "stopped", State.FAULT: "fault"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What became of a session.

    Parameters
    ----------
    outcome : str
        ``done``, ``stopped``, ``fault`` or ``interrupted``.
    cause : str
        Why it stopped or failed; empty when it ended as planned.
    delivered : Delivered
        Measured where something measured it, else as commanded.
    blinded : bool
        Whether what was delivered must not be shown.
    quiet_after_stop_s : float or None
        From the stop to below 50 µA on the trace; None where nothing stopped it or no trace is.
    record, trace : Path or None
        On disk.
    subject, session : str
        Whose.
    warnings : tuple of str
        What an operator should know.
    kernel : Session
        The state machine's last state.
    """

    outcome: str
    cause: str
    delivered: Delivered
    blinded: bool
    quiet_after_stop_s: float | None
    record: Path
    trace: Path | None
    subject: str
    session: str
    warnings: tuple[str, ...]
    kernel: Session = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs run``; what was delivered is null when blinded."""
        quiet = self.quiet_after_stop_s
        return {
            "outcome": self.outcome,
            "cause": self.cause,
            "delivered": None if self.blinded else self.delivered.to_dict(),
            "quiet_after_stop_s": None if self.blinded or quiet is None else round(quiet, 4),
            "record": str(self.record),
            "trace": None if self.trace is None else str(self.trace),
            "subject": self.subject,
            "session": self.session,
            "warnings": list(self.warnings),
        }


def run(
    protocol: Protocol,
    device: str | Setup,
    *,
    subject: str,
    session: str,
    dataset: str | Path,
    clock: str = "real",
    faults: Sequence[str] = (),
    confirm: Callable[[str, Sequence[str]], None] | None = None,
    inbox: QueueInbox | None = None,
    watch: Callable[[Telemetry], None] | None = None,
    operator_lease: bool = False,
) -> RunRecord:
    """Run one session from the checks to the data set.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    device : str or Setup
        As :func:`prepare` takes it, or what it returned.
    subject, session : str
        BIDS labels.
    dataset : path
        BIDS data set; created where there is none.
    clock : {"real", "virtual"}
        The virtual clock is for emulated devices only.
    faults : sequence of str
        ``NAME[@SECONDS][=VALUE]``, for emulated devices only.
    confirm : callable, optional
        Called before a real device is armed, with the words to be typed (``SUBJECT:HASH``) and
        the cautions; it returns or raises. A real device without it is refused.
    inbox : QueueInbox, optional
        Where the operator side leaves messages; signals of this process arrive there too.
    watch : callable, optional
        Given telemetry after every tick.
    operator_lease : bool
        Whether the operator side must send ``alive`` at least once a second.

    Returns
    -------
    RunRecord

    Raises
    ------
    InputError
        Bad usage, no such device, a device that is busy, a session that has a record already.
    SafetyRefusal
        A limit is broken; nothing was opened.
    TacsError
        The device failed before it was armed; the record says how.
    """
    setup = prepare(device) if isinstance(device, str) else device
    if clock not in {"real", "virtual"}:
        raise InputError(f"clock {clock!r}: must be real or virtual")
    if clock == "virtual" and not setup.device.emulated:
        raise InputError("the virtual clock is for emulated devices; a real one needs --clock real")
    if faults and not setup.device.emulated:
        raise InputError("--fault is for emulated devices only")
    if breaches := check(protocol, setup, subject=subject):
        raise SafetyRefusal(breaches)
    if not setup.device.emulated and confirm is None:
        raise InputError("arming a real device needs a confirmation (--confirm SUBJECT:HASH)")
    paths = SessionPaths.of(ensure_dataset(dataset), subject, session)
    paths.claim()
    return _Run(
        protocol=protocol,
        setup=setup,
        paths=paths,
        clock=VirtualClock() if clock == "virtual" else MonotonicClock(),
        faults=tuple(faults),
        confirm=confirm,
        inbox=inbox or QueueInbox(),
        watch=watch,
        operator_lease=operator_lease,
    ).run()


@dataclass(kw_only=True)
class _Run:
    """The steps of one session, in order."""

    protocol: Protocol
    setup: Setup
    paths: SessionPaths
    clock: Clock
    faults: tuple[str, ...]
    confirm: Callable[[str, Sequence[str]], None] | None
    inbox: QueueInbox
    watch: Callable[[Telemetry], None] | None
    operator_lease: bool
    emulated: EmulatedDevice | None = None
    warnings: list[str] = field(default_factory=list)
    zero_s: float = 0.0

    def run(self) -> RunRecord:
        """Open, record, arm, run, measure, book."""
        driver = self._open()
        self.zero_s = self.clock.now_s()
        try:
            self.paths.keep_copies(self.protocol, self.setup.rig)
            record = RecordWriter(self.paths.record)
        except TacsError:
            driver.close()
            raise
        with record:
            self._first_line(record)
            key = record.head
            guardian = Guardian(
                lambda journal: GuardedDriver.of(
                    driver, self.protocol, self.setup.rig, self.setup.limits, journal
                ),
                kernel_plan(
                    self.protocol,
                    self.setup.limits,
                    self.setup.capabilities,
                    operator_lease=self.operator_lease,
                ),
                self.clock,
                record,
                self.watch,
                zero_s=self.zero_s,
            )
            armed = False
            try:
                identity, achieved = guardian.prepare()
                self._confirm(identity.model)
                with _signals_to(self.inbox):
                    self._reserve(key)
                    armed = True
                    guardian.arm()
                    session = guardian.run(self.inbox)
            except BaseException as exc:
                self._give_up(record, driver, key, armed=armed, error=exc)
                raise
            return self._close(record, guardian, session, key, achieved.frequency_hz)

    # -- before ---------------------------------------------------------------------------------

    def _open(self) -> Driver:
        """Open the port; of an emulated device, start the emulator first."""
        setup = self.setup
        if not setup.device.emulated:
            return setup.driver.open(setup.device.address, setup.rig, self.clock)
        emulator = find_emulator(setup.device.driver)
        if setup.rig is None:
            raise InputError(f"no rig ships for emulated:{setup.device.driver}; give --rig")
        contacts = [e.name for e in self.protocol.montage.electrodes]
        trace = self.paths.oscilloscope
        if self.clock.virtual:
            self.emulated = emulator.in_memory(setup.rig, self.clock, contacts, trace, self.faults)
            return setup.driver.over(self.emulated.transport, setup.rig)
        rig_file = self.paths.keep_rig(setup.rig)
        self.emulated = emulator.as_process(rig_file, contacts, trace, self.faults)
        return setup.driver.open(self.emulated.address, setup.rig, self.clock)

    def _first_line(self, record: RecordWriter) -> None:
        setup, limits = self.setup, dict(self.setup.limits)
        self.warnings += cautions(self.protocol, setup.capabilities)
        record.append(
            "session",
            0.0,
            {
                "suite": version("tacs-suite"),
                "subject": self.paths.subject,
                "session": self.paths.session,
                "device": setup.device.driver,
                "address": setup.device.address,
                "emulated": setup.device.emulated,
                "clock": "virtual" if self.clock.virtual else "real",
                "clock_zero_s": self.zero_s,
                "faults": list(self.faults),
                "protocol": self.protocol.to_data(),
                "protocol_sha256": self.protocol.sha256(),
                "rig": None if setup.rig is None else setup.rig.to_data(),
                "limits": limits,
                "limits_set_by": dict(setup.limits.set_by),
                "limits_sha256": hashlib.sha256(canonical(limits).encode()).hexdigest(),
                "capabilities": setup.capabilities.to_dict(),
                "cautions": list(self.warnings),
            },
            sync=True,
        )

    def _confirm(self, model: str) -> None:
        if self.setup.device.emulated or self.confirm is None:
            return
        words = f"{self.paths.subject}:{self.protocol.sha256()[:8]}"
        self.confirm(words, [f"connected: {model}", *self.warnings])

    def _reserve(self, key: str) -> None:
        """Reserve the dose; the limits are looked at once more, under the ledger's lock."""

        def refuse() -> None:
            if breaches := check(self.protocol, self.setup, subject=self.paths.subject):
                raise SafetyRefusal(breaches)

        self._ledger().reserve(
            key,
            subject=self.paths.subject,
            session=self.paths.session,
            dataset=self.paths.dataset,
            protocol=self.protocol,
            now=utc_now(),
            refuse=refuse,
        )

    # -- after ----------------------------------------------------------------------------------

    def _close(
        self,
        record: RecordWriter,
        guardian: Guardian,
        session: Session,
        key: str,
        achieved_hz: float,
    ) -> RunRecord:
        """Measure what was delivered, close the record, book the dose, fill the data set."""
        info = self._finish_emulator()
        commanded = self._commanded(session, achieved_hz)
        delivered, quiet_s = commanded, None
        if info is not None:
            trace = read_trace(info.path, len(info.columns))
            delivered = measure(trace, info.columns, info.sampling_frequency_hz)
            if session.cause:
                since_s = session.stopping_since_s - info.start_s
                quiet_s = quiet_after_s(trace, info.sampling_frequency_hz, since_s)
                if quiet_s is None:
                    self.warnings.append("THE CURRENT DID NOT END; disconnect the electrodes")
        if guardian.journal.problem:
            self.warnings.append(
                f"the record failed during the session: {guardian.journal.problem}"
            )
        outcome = OUTCOMES[session.state]
        try:
            record.append(
                "end",
                self.clock.now_s() - self.zero_s,
                {
                    "outcome": outcome,
                    "cause": session.cause,
                    "delivered": delivered.to_dict(),
                    "commanded": commanded.to_dict(),
                    "quiet_after_stop_s": quiet_s,
                },
                sync=True,
            )
        except RecordError as exc:
            self.warnings.append(f"the record could not be closed: {exc}; run `tacs recover`")
        else:
            dose = self._dose(session, delivered)
            self._ledger().book(key, dose=dose, outcome=outcome, ended=utc_now(), head=record.head)
        trace_path = None
        if info is not None:
            try:
                trace_path = store_trace(self.paths, info, session.started_s, self.protocol)
            except TacsError as exc:
                self.warnings.append(f"{exc}; it stays at {info.path}")
        return RunRecord(
            outcome=outcome,
            cause=session.cause,
            delivered=delivered,
            blinded=self.protocol.blinding is not None,
            quiet_after_stop_s=quiet_s,
            record=self.paths.record,
            trace=trace_path,
            subject=self.paths.subject,
            session=self.paths.session,
            warnings=tuple(self.warnings),
            kernel=session,
        )

    def _finish_emulator(self) -> TraceInfo | None:
        if self.emulated is None:
            return None
        info = self.emulated.finish()
        if info is None:
            self.warnings.append("the emulator's oscilloscope left no trace")
        return info

    def _commanded(self, session: Session, achieved_hz: float) -> Delivered:
        waveform, top = Waveform(self.protocol), session.top_level
        peaks = {name: top * waveform.peak_ma(name) for name in waveform.electrodes}
        dose = dose_at_level(
            self.protocol, session.current_on_s, session.level_seconds, "commanded"
        )
        return Delivered(
            duration_s=session.current_on_s,
            frequency_hz=achieved_hz if top > 0.0 else None,
            current_peak_ma=max(peaks.values()),
            electrodes=peaks,
            rectified_charge_c=dose.rectified_charge_c,
            mean_ma=dict.fromkeys(peaks, 0.0),
            balance_ma=0.0,
            source="commanded",
        )

    def _dose(self, session: Session, delivered: Delivered) -> Dose:
        """The dose to book: of a sham, that of the active arm up to the same instant."""
        if self.protocol.is_sham:
            elapsed_s = max(session.tick_s - session.started_s, 0.0)
            return dose_at_level(self.protocol, elapsed_s, elapsed_s, "commanded")
        return Dose(
            current_on_s=delivered.duration_s,
            rectified_charge_c=delivered.rectified_charge_c,
            basis=delivered.source,
        )

    def _give_up(
        self, record: RecordWriter, driver: Driver, key: str, *, armed: bool, error: BaseException
    ) -> None:
        """Close what an error before, or a defect during, the session left open."""
        outcome = "interrupted" if armed else "refused"
        data = {"outcome": outcome, "cause": str(error) or type(error).__name__, "delivered": None}
        try:
            driver.close()
        except TacsError as exc:
            data["closing"] = str(exc)
        try:
            self._finish_emulator()
        except TacsError as exc:
            data["trace"] = str(exc)
        if not armed:
            # After arming the record is left open on purpose: `tacs recover` measures the dose.
            record.append("end", 0.0, data, sync=True)

    def _ledger(self) -> Ledger:
        return Ledger(self.setup.site, emulated=self.setup.device.emulated)


@contextmanager
def _signals_to(inbox: QueueInbox) -> Iterator[None]:
    """Turn the signals that would end this process into a stop of the session."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        inbox.put(f"stop:{signal.Signals(number).name}")

    names = [n for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n)]
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
