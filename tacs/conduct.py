"""One whole session in this process: ledger, record, device, guardian, trace, data set.

The order is the safety argument. Everything that can refuse is asked before the port is opened;
the record exists before the first byte is sent; the whole dose is reserved in the ledger before
arming; whatever happens after that, the record is closed and the dose is booked, here or by
``tacs recover``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from typing import Protocol as Shape

from tacs.anchors import anchor, record_breaches
from tacs.bids import SessionPaths, ensure_dataset
from tacs.blinded_record import BlindedRecord
from tacs.blinding import SiteStudy, load_study, resolve
from tacs.by_hand import sheet_of
from tacs.checking import Setup, check
from tacs.clock import Clock, Inbox, moment_now, utc_now
from tacs.closing import Closing
from tacs.double_entry import Entry
from tacs.driver import (
    AttendedDevice,
    Driver,
    EmulatedDevice,
    TraceInfo,
    find_emulator,
)
from tacs.errors import InputError, SafetyRefusal, TacsError
from tacs.guard import GuardedDriver
from tacs.guardian import Guardian, Telemetry, kernel_plan
from tacs.hand_guardian import HandGuardian
from tacs.judge import Judge
from tacs.ledger import Ledger
from tacs.monitor import find_monitor
from tacs.people import Readiness, session_ready
from tacs.protocol import Protocol
from tacs.readiness import refusals
from tacs.record import RecordWriter, canonical
from tacs.run_record import RunRecord
from tacs.safety import cautions
from tacs.session import Session
from tacs.session_request import SessionRequest
from tacs.signals import MessageBox, signals_to
from tacs.watcher import Watcher
from tacs.waveform import Waveform

__all__ = ["Conduct"]


class SessionInbox(Inbox, MessageBox, Shape):
    """An inbox that signal handlers of this process may fill too."""


@dataclass(kw_only=True)
class Conduct:
    """The steps of one session, in order; see :func:`tacs.runner.run` for what is given."""

    protocol: Protocol
    setup: Setup
    paths: SessionPaths
    clock: Clock
    faults: tuple[str, ...]
    confirm: Callable[[str, Sequence[str]], None] | None
    inbox: SessionInbox
    watch: Callable[[Telemetry], None] | None
    operator_lease: bool
    titrate: bool = False
    operator: str = ""
    role: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    people: bool = False
    settings: tuple[Entry, ...] = ()
    planned: Protocol | None = None
    study: SiteStudy | None = None
    writer: Callable[[Path], RecordWriter] = RecordWriter
    attach: Callable[[EmulatedDevice], object] | None = None
    emulated: EmulatedDevice | None = None
    warnings: list[str] = field(default_factory=list)
    zero_s: float = 0.0
    began: datetime = field(default_factory=utc_now)

    @classmethod
    def of(
        cls,
        request: SessionRequest,
        *,
        clock: Clock,
        inbox: SessionInbox,
        confirm: Callable[[str, Sequence[str]], None] | None = None,
        watch: Callable[[Telemetry], None] | None = None,
        operator_lease: bool = False,
        attach: Callable[[EmulatedDevice], object] | None = None,
    ) -> Conduct:
        """Check a request once more, and claim its place in the data set.

        Raises
        ------
        SafetyRefusal
            A limit is broken; nothing was opened.
        InputError
            The session has a record already, or bad usage.
        """
        setup = request.setup
        if breaches := refusals(request):
            raise SafetyRefusal(breaches)
        if not setup.device.emulated and confirm is None:
            raise InputError("arming a real device needs a confirmation (--confirm SUBJECT:HASH)")
        study, protocol = None, request.protocol
        if protocol.blinding is not None:
            study = load_study(protocol.blinding.label, setup.site)
            protocol = resolve(
                study,
                request.subject,
                request.stratum or None,
                protocol,
                emulated=setup.device.emulated,
            )
        paths = SessionPaths.of(ensure_dataset(request.dataset), request.subject, request.session)
        paths.claim()
        return cls(
            protocol=protocol,
            planned=request.protocol,
            study=study,
            setup=setup,
            paths=paths,
            clock=clock,
            faults=request.faults,
            confirm=confirm,
            inbox=inbox,
            watch=watch,
            operator_lease=operator_lease,
            attach=attach,
            titrate=request.titrate,
            operator=request.operator,
            role=request.role,
            overrides=request.overrides,
            people=request.people,
            settings=request.settings,
        )

    def run(self) -> RunRecord:
        """Open, record, arm, run, measure, book."""
        driver = self._open()
        watcher = self._watcher()
        self.zero_s = self.clock.now_s()
        try:
            if isinstance(self.emulated, AttendedDevice):
                self.emulated.attendant.set_up(self.settings[0].settings)
            self.paths.keep_copies(self._planned, self.setup.rig)
            record = self._new_record()
        except TacsError:
            driver.close()
            raise
        with record:
            self._first_line(record)
            key = record.head
            by_hand = not self.setup.capabilities.machine_verified
            guardian = (HandGuardian if by_hand else Guardian)(
                lambda journal: GuardedDriver.of(
                    driver, self.protocol, self.setup.rig, self.setup.limits, journal
                ),
                kernel_plan(
                    self.protocol,
                    self.setup.limits,
                    self.setup.capabilities,
                    operator_lease=self.operator_lease,
                    titrate=self.titrate,
                    history=self._ledger().history(self.paths.subject, utc_now()),
                ),
                self.clock,
                record,
                self._attended(self.watch),
                watcher=watcher,
                zero_s=self.zero_s,
            )
            armed = False
            try:
                identity, achieved = guardian.prepare()
                self._confirm(identity.model)
                with signals_to(self.inbox):
                    self._reserve(key)
                    armed = True
                    guardian.arm()
                    session = guardian.run(self.inbox)
            except BaseException as exc:
                self._give_up(record, driver, key, armed=armed, error=exc)
                raise
            found = Closing(
                protocol=self.protocol,
                planned=self._planned,
                study=self.study,
                setup=self.setup,
                paths=self.paths,
                clock=self.clock,
                zero_s=self.zero_s,
                began=self.began,
                warnings=self.warnings,
            ).close(
                record,
                guardian,
                session,
                key,
                achieved.frequency_hz,
                self._finish_emulator(),
                self._titration(guardian, session),
            )
        return self._anchored(found)

    @property
    def _planned(self) -> Protocol:
        """The protocol that anybody may see; of a blinded session it is the active one."""
        return self.planned or self.protocol

    # -- before ---------------------------------------------------------------------------------

    def _new_record(self) -> RecordWriter:
        if self.study is None:
            return self.writer(self.paths.record)
        return BlindedRecord(
            self.paths.record, planned=self._planned, public_key=self.study.sealing_key
        )

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
            if self.attach is not None:
                self.attach(self.emulated)
            return setup.driver.over(self.emulated.transport, setup.rig)
        rig_file = self.paths.keep_rig(setup.rig)
        self.emulated = emulator.as_process(rig_file, contacts, trace, self.faults)
        return setup.driver.open(self.emulated.address, setup.rig, self.clock)

    def _attended(
        self, watch: Callable[[Telemetry], None] | None
    ) -> Callable[[Telemetry], None] | None:
        """Have the scripted person of an emulated device hear what the operator is told."""
        if not isinstance(self.emulated, AttendedDevice):
            return watch
        attendant = self.emulated.attendant

        def both(telemetry: Telemetry) -> None:
            for word in attendant.hear(telemetry.word, self.clock.now_s()):
                self.inbox.put(word)
            if watch is not None:
                watch(telemetry)

        return both

    def _watcher(self) -> Watcher | None:
        """The rig's current monitor; of an emulated rig, the emulator's."""
        rig, protocol = self.setup.rig, self.protocol
        if rig is None or rig.monitor is None:
            return None
        kind = find_monitor(rig.monitor.device)
        inputs = {item.input: item.electrode for item in rig.monitor.inputs}
        if self.emulated is None:
            monitor = kind.open(rig.monitor.address or "", inputs, self.clock)
        elif self.clock.virtual:
            monitor = kind.over(self.emulated.monitor_transport, inputs)
        else:
            monitor = kind.open(self.emulated.monitor_address or "", inputs, self.clock)
        waveform = Waveform(protocol)
        judge = Judge(
            self.setup.limits,
            {name: waveform.peak_ma(name) for name in waveform.electrodes},
            protocol.frequency_hz,
            frame_s=kind.capabilities.frame_s,
            soft_stop_s=self.setup.capabilities.soft_stop_s,
            battery_min=rig.monitor.battery_min,
            edges=protocol.n_trains > 0 and not protocol.is_sham,
        )
        return Watcher(monitor, judge, self.clock)

    def _first_line(self, record: RecordWriter) -> None:
        setup, limits = self.setup, dict(self.setup.limits)
        self.warnings += cautions(self._planned, setup.capabilities, setup.rig)
        by_hand = self._set_by_hand()
        self.began = utc_now()
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
                "operator": self.operator,
                "role": self.role,
                "overrides": dict(self.overrides),
                "titrate": self.titrate,
                "people": self._people(),
                "faults": list(self.faults),
                "protocol": self.protocol.to_data(),
                "protocol_sha256": self.protocol.sha256(),
                "rig": None if setup.rig is None else setup.rig.to_data(),
                "limits": limits,
                "limits_set_by": dict(setup.limits.set_by),
                "limits_sha256": hashlib.sha256(canonical(limits).encode()).hexdigest(),
                "capabilities": setup.capabilities.to_dict(),
                "cautions": list(self.warnings),
                **by_hand,
            },
            sync=True,
        )

    def _set_by_hand(self) -> dict[str, Any]:
        """Of a device that a person sets: what was asked for, and what two people read back."""
        rig = self.setup.rig
        if self.setup.capabilities.machine_verified or rig is None:
            return {}
        names = {entry.by.casefold() for entry in self.settings}
        if len(names) < len(self.settings):
            self.warnings.append("both entries of the settings were typed by the same person")
        return {
            "machine_verified": False,
            "sheet": sheet_of(self.protocol, rig).to_dict(),
            "settings": [entry.to_data() for entry in self.settings],
        }

    def _people(self) -> dict[str, Any]:
        """What was relied on of screening, consent and checks, by the hashes of its entries."""
        ready = self._readiness(())
        self.warnings += ready.cautions
        return {
            "required": self.people,
            "journal_head": ready.journal_head,
            "entries": dict(ready.entries),
        }

    def _readiness(self, required: Collection[str]) -> Readiness:
        return session_ready(
            self.paths.dataset,
            subject=self.paths.subject,
            session=self.paths.session,
            now=utc_now(),
            required=required,
            consent_version=self.setup.consent_version,
            age_limit_y=self.setup.limits["age_y"],
        )

    def _confirm(self, model: str) -> None:
        if self.setup.device.emulated or self.confirm is None:
            return
        words = f"{self.paths.subject}:{self._planned.sha256()[:8]}"
        self.confirm(words, [f"connected: {model}", *self.warnings])

    def _reserve(self, key: str) -> None:
        """Reserve the dose; the limits are looked at once more, under the ledger's lock."""

        def refuse() -> None:
            found = check(
                self._planned,
                self.setup,
                subject=self.paths.subject,
                dataset=self.paths.dataset,
            )
            found += record_breaches(
                self.paths.dataset,
                self.paths.subject,
                self.setup.site,
                emulated=self.setup.device.emulated,
            )
            found += self._readiness(self.setup.people if self.people else ()).breaches
            if breaches := [b for b in found if b.limit not in self.overrides]:
                raise SafetyRefusal(breaches)

        self._ledger().reserve(
            key,
            subject=self.paths.subject,
            session=self.paths.session,
            dataset=self.paths.dataset,
            protocol=self._planned,
            now=moment_now(),
            refuse=refuse,
        )

    # -- after ----------------------------------------------------------------------------------

    def _finish_emulator(self) -> TraceInfo | None:
        if self.emulated is None:
            return None
        info = self.emulated.finish()
        if info is None:
            self.warnings.append("the emulator's oscilloscope left no trace")
        return info

    def _anchored(self, found: RunRecord) -> RunRecord:
        """Keep the closed record's head in the site's folder too, and on the operator's paper."""
        try:
            text = anchor(found.record, self.setup.site)
        except TacsError as exc:
            return replace(found, warnings=(*found.warnings, str(exc)))
        return replace(found, record_anchor=text)

    def _titration(self, guardian: Guardian, session: Session) -> dict[str, float] | None:
        """Thresholds that were marked, and the current that was accepted, in mA."""
        if not self.titrate:
            return None
        montage = self.protocol.montage
        full_ma = max(montage.current_peak_ma(e.name) for e in montage.electrodes)
        levels = {**guardian.marks, "tolerated": session.ceiling}
        return {name: round(level * full_ma, 4) for name, level in levels.items()}

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
