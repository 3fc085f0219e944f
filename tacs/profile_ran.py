"""What became of a visit of a response profile: where it is written, what it says of its times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.io import load_recording
from analysis.profile import READ_S
from analysis.profile_alignment import align_trains
from analysis.profile_blocks import Block, same_end
from analysis.profile_echo import detectable_locking, may_report_echo
from analysis.profile_visits import Visit
from tacs.bids import Imported
from tacs.dataset import SessionPaths, task_label
from tacs.profile_listener import TrainCounts
from tacs.profile_visit import Train
from tacs.protocol import Protocol
from tacs.run_record import RunRecord

__all__ = ["RanVisit", "VisitPlaces", "alignment_of", "artefact_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitPlaces:
    """Where a visit is written.

    Parameters
    ----------
    dataset : Path
        BIDS data set.
    subject, session, task : str
        Labels.
    """

    dataset: Path
    subject: str
    session: str
    task: str

    @property
    def paths(self) -> SessionPaths:
        """Of the session."""
        return SessionPaths.of(self.dataset, self.subject, self.session)

    @property
    def table(self) -> Path:
        """The table of trains."""
        return self._beside("blocks.tsv")

    @property
    def result(self) -> Path:
        """What became of the visit."""
        return self._beside("profile.json")

    def _beside(self, ending: str) -> Path:
        stem = self.paths.recording_stem(task_label(self.task), "during")
        return self.paths.source / f"{stem}_{ending}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RanVisit:
    """What became of a visit.

    Parameters
    ----------
    visit : Visit
        What was planned.
    protocol : Protocol
        What was given to the guardian.
    record : RunRecord or None
        Of the session; None where it ended in the rest before.
    recording : Imported or None
        The EEG; None where not one sample came.
    table : Path or None
        The rows that can be read.
    trains : tuple of Train
        Those rows.
    counts : TrainCounts
        What became of the others.
    rest_s : float
        Recorded at rest.
    alignment : dict
        How the times of EEG and current go together, and what is not known of it.
    timing : dict
        Of the source.
    eeg_ended : str
        Why EEG ended before the session, if it did.
    warnings : tuple of str
        What the recording's own artefact says against the table.
    """

    visit: Visit
    protocol: Protocol
    record: RunRecord | None
    recording: Imported | None
    table: Path | None
    trains: tuple[Train, ...]
    counts: TrainCounts
    rest_s: float
    alignment: dict[str, Any]
    timing: dict[str, Any]
    eeg_ended: str
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs profile run`` in mode electrical."""
        n = len(self.trains)
        session = {} if self.record is None else self.record.to_dict()
        return {
            **session,
            "mode": "electrical",
            "visit": self.visit.to_dict(),
            "frequency_hz": self.trains[0].frequency_hz if n else None,
            "trains": self.counts.to_dict(),
            "detectable_plv": detectable_locking(n) if n else None,
            "may_report_echo": n > 0 and may_report_echo(n),
            "rest_s": round(self.rest_s, 3),
            "recording": None if self.recording is None else str(self.recording.path),
            "table": None if self.table is None else str(self.table),
            "alignment": self.alignment,
            "timing": self.timing,
            "eeg_ended": self.eeg_ended,
            "warnings": [*session.get("warnings", ()), *self.warnings],
        }


def artefact_of(
    done: Imported | None, rows: Sequence[Train], protocol: Protocol, visit: Visit
) -> tuple[dict[str, Any] | None, list[str]]:
    """Hold the table against the recording's own artefact; what it says, and warnings."""
    if done is None or protocol.trains is None or not rows:
        return None, []
    try:
        raw = load_recording(done.path).raw
    except AnalysisError as exc:
        return None, [f"the table was not held against the recording: {exc}"]
    blocks = [
        Block(r.frequency_hz, r.level_ma, r.kind, r.start_s, r.stop_s, r.number, r.phase_rad)
        for r in rows
    ]
    alike = same_end(blocks) if len(blocks) > 1 and visit.kind == "drive" else ""
    told = [alike] if alike else []
    found = align_trains(raw, blocks, protocol.trains.edge_s, visit.off_s)
    if found is None:
        return None, told
    return found.to_dict(), [*told, *found.warnings(READ_S[0])]


def alignment_of(
    visit: Visit, eeg_delay_s: float | None, at_rest: dict[str, Any]
) -> dict[str, Any]:
    """How the times of EEG and current go together, and what is not known of it."""
    jitter_s, read_s = at_rest["jitter_s"], at_rest["delay_s"]
    return {
        "eeg_delay_ms": 0.0 if eeg_delay_s is None else round(1e3 * eeg_delay_s, 3),
        "eeg_delay_from": "the source's own stamps" if eeg_delay_s is None else "--eeg-delay",
        "stamps_have_link_delay": at_rest["offset_has_delay"],
        "stamp_jitter_ms": None if jitter_s is None else round(1e3 * jitter_s, 3),
        "delay_at_rest_ms": None if read_s is None else round(1e3 * read_s, 3),
        "eeg_clock_drift_ppm": at_rest["clock_drift_ppm"],
        "device_clock_ppm": None,
        "turn_deg_per_min_and_ppm": round(360.0 * visit.frequency_hz * 60.0 * 1e-6, 4),
        "not_known": "the device's own clock (20 ppm turn 10 Hz by 4 degrees a minute), and any "
        "constant delay of the amplifier beyond eeg_delay_ms: it turns all trains alike, which "
        "changes no locking, but it moves the reads",
    }
