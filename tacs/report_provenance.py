"""Where every number of a report comes from: files, hashes, versions, checks, methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tacs.dataset import SessionPaths
from tacs.errors import InputError
from tacs.ledger import Ledger, site_folder
from tacs.record import read_record
from tacs.report_page import versions
from tacs.report_peak import SignalFile
from tacs.report_record import RecordView, file_sha256

__all__ = ["METHODS", "Check", "FileRow", "Provenance", "provenance"]

METHODS: Sequence[tuple[str, str, str]] = (
    (
        "Individual peak",
        "Hann windows of 4 s, half overlapping; background and bumps by maximum likelihood; "
        "interval from the profile of the likelihood.",
        "Corcoran et al. 2018, Psychophysiology 55:e13064",
    ),
    (
        "Aperiodic part",
        "Exponent of the 1/f background, and power over it, by fooof.",
        "Donoghue et al. 2020, Nat Neurosci 23:1655-1665",
    ),
    (
        "Spectra",
        "Averaged periodograms.",
        "Welch 1967, IEEE Trans Audio Electroacoust 15:70-73",
    ),
    (
        "Interval of a power change",
        "Stationary block bootstrap in each recording, stretched for few blocks and for slow "
        "fluctuation of power.",
        "Politis and Romano 1994, J Am Stat Assoc 89:1303-1313",
    ),
    (
        "Imaginary coherence",
        "Mean over pairs of channels of its absolute value.",
        "Nolte et al. 2004, Clin Neurophysiol 115:2292-2307",
    ),
    (
        "Debiased weighted phase lag index, squared",
        "Mean over pairs of channels.",
        "Vinck et al. 2011, NeuroImage 55:1548-1565",
    ),
    (
        "Interval of a connectivity change",
        "Jackknife over blocks of epochs; for several measures at once by the largest of them.",
        "Künsch 1989, Ann Stat 17:1217-1241; Hothorn et al. 2008, Biom J 50:346-363",
    ),
    (
        "Connectivity matched for power",
        "The recording in which the rhythm stands higher above the background gets more of its own "
        "background, from beside the band, until both have the same signal-to-noise ratio.",
        "Ratio of each channel: DerSimonian and Laird 1986, Control Clin Trials 7:177-188",
    ),
    (
        "Current and dose",
        "Zero-to-peak milliampere; total injected current ½·Σ|i|; density I/A; "
        "rectified charge ∫|i|dt.",
        "Antal et al. 2026, Clin Neurophysiol 184:2111436",
    ),
    (
        "Electrode names",
        "Sites of the 10-10 system.",
        "Nuwer 2018, Clin Neurophysiol 129(5):1103",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """One file that the report rests on."""

    role: str
    path: str
    sha256: str | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was verified; ``ok`` is None where it could not be."""

    what: str
    ok: bool | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Files, checks and versions of one session's report."""

    files: tuple[FileRow, ...]
    checks: tuple[Check, ...]
    versions: tuple[tuple[str, str], ...]
    recorded_with: str | None


def provenance(
    paths: SessionPaths,
    record: RecordView | None,
    signals: Sequence[SignalFile],
    *,
    withheld: bool,
    site: Path | None = None,
) -> Provenance:
    """Collect the provenance of one session's report.

    Parameters
    ----------
    paths : SessionPaths
        Of the session.
    record : RecordView or None
        Its record.
    signals : sequence of SignalFile
        Its recordings.
    withheld : bool
        A blinded session: files that tell the arm are left out.
    site : Path, optional
        The site's folder, with the ledger; this computer's by default.
    """
    root = paths.dataset
    words = {"pre": "EEG before", "post": "EEG after"}
    files = [
        FileRow(
            role=words[file.recording.when],
            path=_relative(file.recording.path, root),
            sha256=file.sha256,
            note=file.problem or _origin(file),
        )
        for file in signals
    ]
    if record is not None:
        files.append(_file("run record", record.path, root, record.sha256))
    if not withheld:
        files += [
            _file(role, path, root)
            for role, path in (
                ("protocol as run", paths.protocol),
                ("rig as used", paths.rig),
                ("delivered current", paths.trace),
            )
            if path.is_file()
        ]
    return Provenance(
        files=tuple(files),
        checks=() if record is None else _checks(record, site, withheld=withheld),
        versions=versions(),
        recorded_with=None if record is None else record.first.get("suite"),
    )


def _origin(file: SignalFile) -> str:
    """What the hash covers, and the file that it was imported from."""
    source = file.quality.get("source_sha256")
    if source is None:
        return "hash of the file with its companion files"
    if source == file.sha256:
        return "hash of the file with its companion files; the same as that of the imported file"
    return f"hash of the file with its companion files; imported from a file with sha256 {source}"


def _checks(record: RecordView, site: Path | None, *, withheld: bool) -> tuple[Check, ...]:
    """Everything that can be verified of a record."""
    what = "Chain of the record"
    if record.problem is None:
        # How many lines a record has depends on the arm.
        count = "every line verifies" if withheld else f"all {len(record.lines)} lines verify"
        chain = Check(what=what, ok=True, text=count)
    else:
        problem = "a line does not verify" if withheld else record.problem
        text = f"{problem}; only what stands before was used"
        chain = Check(what=what, ok=False, text=text)
    found = [chain, _ledger_check(record, site)]
    if record.head is not None:
        found.append(Check(what="Head of the record", ok=None, text=record.head))
    if record.first:
        misfits = record.misfits
        found.append(
            Check(
                what="Protocol and limits in the record",
                ok=not misfits,
                text="; ".join(misfits) or "fit their hashes",
            )
        )
        if not withheld:
            found.append(
                Check(
                    what="Hash of the protocol", ok=None, text=str(record.first["protocol_sha256"])
                )
            )
        found.append(
            Check(what="Hash of the limits", ok=None, text=str(record.first["limits_sha256"]))
        )
    return tuple(found)


def _ledger_check(record: RecordView, site: Path | None) -> Check:
    """Hold the head against the one that the site's ledger kept: it shows a tail that was cut."""
    what = "Head against the site's ledger"
    if not record.lines or "emulated" not in record.first:
        return Check(what=what, ok=None, text="not possible: the first line does not verify")
    path = Ledger(site or site_folder(), emulated=bool(record.first["emulated"])).path
    try:
        lines, problem = read_record(path) if path.exists() else ([], None)
    except InputError as exc:
        return Check(what=what, ok=None, text=f"the ledger cannot be read: {exc}")
    key = record.lines[0].hash
    of_session = [x for x in lines if x.data.get("key") == key]
    booked = [x for x in of_session if x.kind == "book"]
    if of_session and not booked:
        return Check(what=what, ok=None, text="the ledger holds this session as open")
    if not booked:
        why = f" (the ledger does not verify: {problem})" if problem else ""
        return Check(what=what, ok=None, text=f"this computer's ledger has no such session{why}")
    if booked[-1].data.get("record_head") == record.head:
        return Check(what=what, ok=True, text="the same")
    return Check(
        what=what,
        ok=False,
        text="the ledger kept another head: lines are missing at the end of the record, or it was "
        "rewritten",
    )


def _file(role: str, path: Path, root: Path, sha256: str | None = None) -> FileRow:
    try:
        digest = sha256 or file_sha256(path)
    except OSError as exc:
        return FileRow(
            role=role, path=_relative(path, root), sha256=None, note=f"cannot be read: {exc}"
        )
    return FileRow(role=role, path=_relative(path, root), sha256=digest)


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name
