"""The end of a session: measure, close the record, book the dose, fill the data set.

Of a blinded session nothing that is left in the clear depends on the arm: the dose is booked as if
every arm were the active one, at a time that follows from the plan or the stop, and the trace is
sealed for the statistician.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from tacs.bids import SessionPaths, store_trace
from tacs.bids_stimulation import note_session
from tacs.blinded_record import BlindedRecord
from tacs.blinding import SiteStudy
from tacs.checking import Setup
from tacs.clock import Clock, moment_now, utc_now
from tacs.dose import Delivered, at_least, is_whole, measure, quiet_after_s, read_trace
from tacs.driver import TraceInfo
from tacs.errors import RecordError, TacsError
from tacs.frequencies import several_of
from tacs.guardian import Guardian
from tacs.hand_guardian import HandGuardian
from tacs.ledger import Dose, Ledger, as_active, dose_at_level
from tacs.protocol import Protocol
from tacs.record import RecordWriter, read_record
from tacs.run_record import RunRecord
from tacs.sealed_trace import seal_trace
from tacs.session import Session, State
from tacs.waveform import Waveform

__all__ = ["Closing"]

OUTCOMES = {State.DONE: "done", State.STOPPED: "stopped", State.FAULT: "fault"}
GRID_S = 0.5  # a blinded session's times are told on this grid
NOT_ENDED = "THE CURRENT DID NOT END; disconnect the electrodes"
NOT_WHOLE = "the trace of the current is not whole; an upper bound of the dose was booked"


@dataclass(kw_only=True)
class Closing:
    """What has to be known of a session to close it.

    Parameters
    ----------
    protocol, planned : Protocol
        As played, and as anybody may see it; the same where nothing is blinded.
    study : SiteStudy or None
        Of a blinded session.
    setup : Setup
        Device, limits, site.
    paths : SessionPaths
        In the data set.
    clock : Clock
        Of the session.
    zero_s : float
        Clock time that the record's times count from.
    began : datetime
        Wall-clock time of the first line.
    warnings : list of str
        So far; those of the closing are added.
    """

    protocol: Protocol
    planned: Protocol
    study: SiteStudy | None
    setup: Setup
    paths: SessionPaths
    clock: Clock
    zero_s: float
    began: datetime
    warnings: list[str]

    def close(
        self,
        record: RecordWriter,
        guardian: Guardian,
        session: Session,
        key: str,
        achieved_hz: float,
        info: TraceInfo | None,
        titration: dict[str, float] | None,
    ) -> RunRecord:
        """Close a session; the device is silent, or was told to be."""
        if isinstance(record, BlindedRecord):
            # The arms fall silent some hundredths of a second apart: nobody sees that.
            self.clock.wait(self.zero_s + record.closing_s)
        commanded = self._commanded(session, achieved_hz, guardian)
        delivered, quiet_s = self._measured(session, info, commanded)
        if self._may_retune:
            commanded, delivered = self._with_frequencies(commanded, delivered)
        if guardian.journal.problem:
            self.warnings.append(
                f"the record failed during the session: {guardian.journal.problem}"
            )
        outcome = OUTCOMES[session.state]
        end = {
            "outcome": outcome,
            "cause": session.cause,
            "delivered": delivered.to_dict(),
            "commanded": commanded.to_dict(),
            "quiet_after_stop_s": quiet_s,
            "titration": titration,
            "loop": None if self.clock.virtual else guardian.timer.to_dict(),
        }
        if session.plan.trains.course:
            end["trains"] = {
                "planned": len(session.plan.trains.course),
                "begun": session.trains,
                "refused_requests": guardian.refused,
            }
        try:
            record.append("end", self.clock.now_s() - self.zero_s, end, sync=True)
        except RecordError as exc:
            self.warnings.append(f"the record could not be closed: {exc}; run `tacs recover`")
        else:
            self._book(record, session, key, delivered, outcome)
        try:
            note_session(self.paths)
        except TacsError as exc:
            self.warnings.append(str(exc))
        trace = self._keep_trace(session, info)
        hidden = self.study is not None
        return RunRecord(
            outcome=outcome,
            cause=self._open_cause() if hidden else session.cause,
            delivered=None if hidden else delivered,
            blinded=hidden,
            quiet_after_stop_s=None if hidden else quiet_s,
            record=self.paths.record,
            trace=None if hidden else trace,
            subject=self.paths.subject,
            session=self.paths.session,
            warnings=tuple(self.warnings),
            record_head=record.head,
            titration=titration,
            machine_verified=self.setup.capabilities.machine_verified,
        )

    def _measured(
        self, session: Session, info: TraceInfo | None, commanded: Delivered
    ) -> tuple[Delivered, float | None]:
        """What was delivered, and how long after a stop it was quiet, as far as a trace tells."""
        if info is None:
            return commanded, None
        trace = read_trace(info.path, len(info.columns))
        delivered = measure(
            trace,
            info.columns,
            info.sampling_frequency_hz,
            carrier_hz=self.protocol.carrier_hz,
            gap_s=self.protocol.gap_s,
        )
        since_s = session.stopping_since_s if session.cause else session.tick_s
        quiet_s = quiet_after_s(trace, info.sampling_frequency_hz, since_s - info.start_s)
        if quiet_s is None:
            self.warnings.append(NOT_ENDED)
            delivered = at_least(self._in_full(commanded), delivered)
        if not is_whole(info, trace):
            self.warnings.append(NOT_WHOLE)
            return at_least(commanded, delivered), None
        return delivered, quiet_s if session.cause else None

    @property
    def _may_retune(self) -> bool:
        """Whether there can have been several frequencies; never in a blinded session."""
        trains = self.protocol.trains
        sweeps = trains is not None and bool(trains.steps)
        return self.study is None and (sweeps or self.protocol.retune is not None)

    def _with_frequencies(self, *doses: Delivered) -> list[Delivered]:
        """The same with every frequency that flowed, as the record has it."""
        try:
            lines, _ = read_record(self.paths.record, allow_torn_tail=True)
        except TacsError as exc:
            self.warnings.append(f"which frequencies there were is not known: {exc}")
            return [replace(dose, frequency_hz=None) for dose in doses]
        several = several_of(lines)
        return [dose.of_several(several) for dose in doses]

    def _in_full(self, commanded: Delivered) -> Delivered:
        """The dose of the whole protocol: nobody knows when the current will have ended."""
        whole = Waveform(as_active(self.protocol))
        dose = dose_at_level(
            self.protocol, whole.current_on_s, whole.full_current_equivalent_s, "upper bound"
        )
        charge_c = dose.rectified_charge_c
        return replace(commanded, duration_s=dose.current_on_s, rectified_charge_c=charge_c)

    def _open_cause(self) -> str:
        """The cause as the open record tells it."""
        lines, _ = read_record(self.paths.record)
        return str(lines[-1].data.get("cause", "")) if lines else ""

    def _book(
        self, record: RecordWriter, session: Session, key: str, delivered: Delivered, outcome: str
    ) -> None:
        ended = utc_now()
        if isinstance(record, BlindedRecord):
            ended = self.began + timedelta(seconds=record.closing_s)
        Ledger(self.setup.site, emulated=self.setup.device.emulated).book(
            key,
            dose=self._dose(session, delivered),
            outcome=outcome,
            ended=ended,
            head=record.head,
            now=moment_now(),
        )

    def _dose(self, session: Session, delivered: Delivered) -> Dose:
        """The dose to book: of a sham, that of the active arm up to the same instant."""
        if self.study is None and not self.protocol.is_sham:
            return Dose(
                current_on_s=delivered.duration_s,
                rectified_charge_c=delivered.rectified_charge_c,
                basis=delivered.source,
            )
        elapsed_s = max(session.tick_s - session.started_s, 0.0)
        if self.study is not None:
            whole_s = self.planned.duration_s
            on_grid_s = GRID_S * math.ceil(elapsed_s / GRID_S)
            elapsed_s = whole_s if session.state is State.DONE else min(on_grid_s, whole_s)
        return dose_at_level(self.planned, elapsed_s, elapsed_s, "commanded")

    def _keep_trace(self, session: Session, info: TraceInfo | None) -> Path | None:
        """Put the trace into the data set, or seal it."""
        if info is None:
            return None
        try:
            if self.study is None:
                return store_trace(self.paths, info, session.started_s, self.protocol)
            seal_trace(self.study, self.planned, info)
        except TacsError as exc:
            self.warnings.append(f"{exc}; it stays at {info.path}")
        return None

    def _commanded(self, session: Session, achieved_hz: float, guardian: Guardian) -> Delivered:
        waveform, top = Waveform(self.protocol), session.top_level
        on_s, level_seconds, source = session.current_on_s, session.level_seconds, "commanded"
        if isinstance(guardian, HandGuardian):
            if guardian.asked_s is not None and guardian.silent_s is None:
                self.warnings.append(
                    "NOBODY CONFIRMED THAT THE DEVICE IS SILENT; take the electrode leads off"
                )
            if session.state is not State.DONE and guardian.unseen_s > 0.0:
                # What a person started and stopped may have been at full current all the while.
                on_s = min(on_s + guardian.unseen_s, self.protocol.duration_s)
                level_seconds = min(
                    level_seconds + guardian.unseen_s, waveform.full_current_equivalent_s
                )
                top, source = 1.0, "upper bound"
        peaks = {name: top * waveform.peak_ma(name) for name in waveform.electrodes}
        dose = dose_at_level(self.protocol, on_s, level_seconds, source)
        return Delivered(
            duration_s=on_s,
            frequency_hz=achieved_hz if top > 0.0 else None,
            current_peak_ma=max(peaks.values()),
            electrodes=peaks,
            rectified_charge_c=dose.rectified_charge_c,
            mean_ma=dict.fromkeys(peaks, 0.0),
            balance_ma=0.0,
            source=source,
        )
