"""Sessions as the NIBS-BIDS proposal (BEP037, version 6.3) describes them.

The proposal is not part of released BIDS: the files lie in ``nibs/`` folders, which
``.bidsignore`` names. The current is zero-to-peak; one row is one session. A blinded session is
exported as it was planned for everybody, and nothing in its row differs between the arms. What the
record does not say is left out or ``n/a``, and every omission is told.

References
----------
NIBS-BIDS 6.3, https://github.com/nigelrogasch/nibs-bids, commit 77de0bd (2026-07-20).
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tacs.bids_stimulation import impedances
from tacs.dataset import SessionPaths, find_records, write_json
from tacs.errors import InputError
from tacs.files import write_text
from tacs.frequencies import several_in_words, several_of
from tacs.protocol import Loop, Protocol
from tacs.record import Line, read_record
from tacs.tables import table_text

__all__ = ["SPEC", "NibsExport", "export_nibs"]

SPEC = "6.3"
COLUMNS = (
    "nibs_event_id", "nibs_type", "stimulator_id", "nibs_element_id", "stimulus_shape",
    "stimulus_intensity", "intensity_scaling", "intensity_reference", "stimulus_duration",
    "frequency", "starting_phase", "stimulus_description", "contact_impedance",
    "measured_current_intensity", "status", "status_description", "stimulus_validation",
    "tacs_ramp_up", "tacs_ramp_down",
)  # fmt: skip
MATERIALS = {
    "conductive_rubber_paste": ("conductive rubber", "paste"),
    "rubber_saline_sponge": ("conductive rubber", "saline sponge"),
    "ag_agcl_gel": ("Ag/AgCl", "gel"),
    "hydrogel": ("n/a", "hydrogel"),
    "other": ("n/a", "n/a"),
}
DELIMITED = {"Delimiter": "|"}
DESCRIBED: Mapping[str, Mapping[str, str]] = {
    "nibs_event_id": {"Description": "One session of stimulation"},
    "nibs_type": {"Description": "Kind of stimulation"},
    "stimulator_id": {"Description": "See StimulatorSet"},
    "nibs_element_id": {"Description": "See ElementSet, in the order of intensity", **DELIMITED},
    "stimulus_shape": {"Description": "Sinusoid, or Custom where stimulus_description says what"},
    "stimulus_intensity": {
        "Description": "Zero-to-peak current at each element at the phase of starting_phase, as a "
        "part of intensity_scaling; positive out of the element. They sum to 0.",
        "Units": "1",
        **DELIMITED,
    },
    "intensity_scaling": {"Description": "Current that an intensity of 1 is, zero-to-peak",
                          "Units": "mA"},
    "intensity_reference": {"Description": "absolute: the current itself"},
    "stimulus_duration": {"Description": "From first to last current, ramps included, as planned",
                          "Units": "s"},
    "frequency": {"Description": "Of the sine; of a modulated carrier, of its envelope; n/a where "
                  "there were several, which stimulus_description has",
                  "Units": "Hz"},
    "starting_phase": {"Description": "Phase of each element's sine at the start; the sign of an "
                       "element is in its intensity", "Units": "deg", **DELIMITED},
    "stimulus_description": {"Description": "In words"},
    "contact_impedance": {"Description": "Last reading before the current began", "Units": "kOhm",
                          **DELIMITED},
    "measured_current_intensity": {"Description": "Largest zero-to-peak current measured at each "
                                   "element", "Units": "mA", **DELIMITED},
    "status": {"Description": "done, stopped, fault or interrupted"},
    "status_description": {"Description": "Not exported: may hold free text"},
    "stimulus_validation": {"Description": "verified where the current was measured, not_verified "
                            "where it is as commanded, unknown where it is not to be told"},
    "tacs_ramp_up": {"Description": "Linear rise of the amplitude to the full current, within "
                     "stimulus_duration; the proposal has ramps for rectangles only", "Units": "s"},
    "tacs_ramp_down": {"Description": "Linear fall of the amplitude to zero, within "
                       "stimulus_duration", "Units": "s"},
}  # fmt: skip
EVENT_COLUMNS = {
    "onset": {"Description": "From the start of the session's record", "Units": "s"},
    "duration": {"Description": "As planned, ramps included", "Units": "s"},
    "nibs_event_id": {"Description": "Row of the _nibs.tsv"},
    "nibs_position_id": {"Description": "Rows of the _markers.tsv", "Delimiter": "|"},
}
MARKER_COLUMNS = {
    "nibs_position_id": {"Description": "One place on the scalp"},
    "nibs_element_id": {"Description": "See ElementSet of the _nibs.json"},
    "position_label": {"Description": "Name in the 10-10 system"},
    **{
        f"element_centre_{axis}": {"Description": "Not measured: n/a", "Units": "mm"}
        for axis in "xyz"
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NibsExport:
    """What was exported.

    Parameters
    ----------
    path : Path
        The new data set.
    files : tuple of str
        Below it.
    sessions : int
        How many were exported.
    left_out : tuple of str
        What was not, and why.
    """

    path: Path
    files: tuple[str, ...]
    sessions: int
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs export nibs-bids``."""
        return {
            "path": str(self.path),
            "spec": SPEC,
            "sessions": self.sessions,
            "files": list(self.files),
            "left_out": list(self.left_out),
        }


def export_nibs(dataset: str | Path, out: str | Path, *, spec: str = SPEC) -> NibsExport:
    """Write every session of a data set in the layout of the NIBS-BIDS proposal.

    Parameters
    ----------
    dataset : path
        The data set.
    out : path
        New folder, made whole or not at all.
    spec : str
        Version of the proposal; 6.3 is the only one known.

    Raises
    ------
    InputError
        Another version, nothing to export, or the folder is not empty or cannot be written.
    """
    if spec != SPEC:
        raise InputError(f"--spec {spec!r}: only version {SPEC} of the proposal is known")
    root, records = Path(out), find_records(dataset)
    if not records:
        raise InputError(f"{dataset}: has no session that was recorded; nothing to export")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root}: is not an empty folder; give a new one with --out")
    told: list[_Session] = []
    left: list[str] = []
    for paths in records:
        where = f"sub-{paths.subject} ses-{paths.session}"
        try:
            found = _Session.of(paths)
        except (InputError, KeyError, TypeError, ValueError) as exc:
            left.append(f"{where}: its record cannot be used ({exc})")
            continue
        told.append(found)
        left += [f"{where}: {text}" for text in found.left_out()]
    if not told:
        raise InputError(f"{dataset}: no record of a session can be used; {left[0]}")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".nibs-", dir=root.parent) as name:
            stage = Path(name) / "set"
            files = [file for one in told for file in one.write(stage)]
            _write_root(stage, [one.paths.subject for one in told])
            if root.exists():  # empty, as was looked at above
                root.rmdir()
            os.replace(stage, root)
    except OSError as exc:
        raise InputError(f"{root}: cannot be made ({exc})") from exc
    return NibsExport(
        path=root,
        files=("dataset_description.json", ".bidsignore", "participants.tsv", *files),
        sessions=len(told),
        left_out=tuple(left),
    )


@dataclass(frozen=True, slots=True)
class _Session:
    """One session: what its record says."""

    paths: SessionPaths
    protocol: Protocol
    lines: Sequence[Line]
    delivered: Mapping[str, Any] | None

    @classmethod
    def of(cls, paths: SessionPaths) -> _Session:
        lines, problem = read_record(paths.record, allow_torn_tail=True)
        if problem is not None:
            raise InputError(problem)
        if not lines or lines[0].kind != "session":
            raise InputError("it has no first line")
        protocol = Protocol.from_data(lines[0].data["protocol"], "protocol")
        end = lines[-1].data if lines[-1].kind == "end" else {}
        return cls(paths, protocol, lines, end.get("delivered"))

    @property
    def blinded(self) -> bool:
        return self.protocol.blinding is not None

    @property
    def outcome(self) -> str:
        end = self.lines[-1]
        return str(end.data.get("outcome")) if end.kind == "end" else "interrupted"

    def left_out(self) -> list[str]:
        told = ["positions: not measured, labels only", "the current trace: stays in the data set"]
        if self.protocol.trains is not None:
            told.append("trains one by one: stimulus_description has them, events.tsv of the set")
        if self.blinded:
            told.append("arm, current as delivered, impedances: the session is blinded")
        elif self.delivered is None or self.delivered.get("source") != "measured":
            told.append("measured current: nothing measured it")
        if not self.blinded and not self._impedances():
            told.append("contact impedance: nothing in the record reads it by electrode")
        return told

    def _impedances(self) -> dict[str, float]:
        names = {e.name for e in self.protocol.montage.electrodes}
        found = {} if self.blinded else impedances(self.lines)
        return {k: v[0] for k, v in found.items() if k in names and v[0] is not None}

    def write(self, root: Path) -> list[str]:
        """Write the files; return their names below the root."""
        stem = f"{self.paths.stem}_task-tacs"
        folder = self.paths.relative / "nibs"
        files: dict[str, Any] = {
            f"{stem}_nibs.tsv": table_text(COLUMNS, [self._row()]),
            f"{stem}_nibs.json": self._sidecar(),
            f"{stem}_markers.tsv": table_text(
                tuple(MARKER_COLUMNS),
                [(f"pos-{e.name}", e.name, e.name, "n/a", "n/a", "n/a")
                 for e in self.protocol.montage.electrodes],
            ),
            f"{stem}_markers.json": MARKER_COLUMNS,
            f"{stem}_coordsystem.json": {
                "NIBSCoordinateSystem": "Other",
                "NIBSCoordinateUnits": "n/a",
                "NIBSCoordinateSystemDescription": "Positions were not measured; labels are of the "
                "10-10 system.",
            },
            f"{stem}_events.tsv": table_text(tuple(EVENT_COLUMNS), self._events()),
            f"{stem}_events.json": EVENT_COLUMNS,
        }  # fmt: skip
        for name, content in files.items():
            path = root / folder / name
            write_text(path, content) if isinstance(content, str) else write_json(path, content)
        return [(folder / name).as_posix() for name in files]

    def _events(self) -> list[tuple[str, ...]]:
        started = [x for x in self.lines if x.kind == "intent" and x.data.get("verb") == "start"]
        places = "|".join(f"pos-{e.name}" for e in self.protocol.montage.electrodes)
        length = _num(self.protocol.duration_s)
        return [(_num(round(x.t_s, 3)), length, "tacs", places) for x in started[:1]]

    def _row(self) -> tuple[str, ...]:
        plan, names = self.protocol, [e.name for e in self.protocol.montage.electrodes]
        loops = plan.montage.loops
        top = max(x.current_peak_ma for x in loops)
        sine = plan.waveform == "tacs" and len({x.phase_deg for x in loops}) == 1
        shared = {name: _at_start(loops, name) / top for name in names}
        read, several = self._impedances(), several_of(self.lines)
        got = self.delivered if not self.blinded else None
        source = None if got is None else got.get("source")
        measured = got.get("electrodes", {}) if got is not None and source == "measured" else {}
        return (
            "tacs",
            "tES",
            "stimulator",
            "|".join(names),
            "Sinusoid" if sine and plan.trains is None and not several else "Custom",
            "|".join(_num(shared[name]) for name in names) if sine else "n/a",
            _num(top) if sine else "n/a",
            "absolute",
            _num(plan.duration_s),
            _num(None if several else plan.frequency_hz),
            "|".join(_num(loops[0].phase_deg) for _ in names) if sine else "n/a",
            _in_words(plan) + (f"; played at {several_in_words(several)}" if several else ""),
            "|".join(_num(read.get(name)) for name in names) if read else "n/a",
            "|".join(_num(measured.get(name)) for name in names) if measured else "n/a",
            self.outcome,
            "n/a",
            "unknown" if self.blinded or source is None else
            {"measured": "verified"}.get(str(source), "not_verified"),
            _num(plan.ramp_up_s),
            _num(plan.ramp_down_s),
        )  # fmt: skip

    def _sidecar(self) -> dict[str, Any]:
        first = self.lines[0].data
        identity = next(
            (x.data for x in self.lines if x.kind == "answer" and x.data.get("verb") == "connect"),
            {},
        )
        stimulator: dict[str, Any] = {"StimulatorID": "stimulator"}
        model = str(identity.get("model") or first.get("device") or "")
        if model:
            stimulator["ManufacturerModelName"] = model
        if identity.get("firmware"):
            stimulator["SoftwareVersion"] = str(identity["firmware"])
        return {
            "NIBSDescription": _in_words(self.protocol),
            "TaskName": "tacs",
            "ConcurrentModalities": [],
            "Emulated": first.get("emulated") is True,
            "StimulatorSet": [stimulator],
            "ElementSet": [self._element(e.name) for e in self.protocol.montage.electrodes],
            **{name: dict(DESCRIBED[name]) for name in COLUMNS},
        }

    def _element(self, name: str) -> dict[str, Any]:
        contact = next(e for e in self.protocol.montage.electrodes if e.name == name)
        material, medium = MATERIALS[contact.material]
        sources = {x.source for x in self.protocol.montage.loops}
        sinks = {x.sink for x in self.protocol.montage.loops}
        role = "other" if name in sources & sinks else "anode" if name in sources else "return"
        return {
            "ElementID": name,
            "ElementType": "electrode",
            "ElectrodeRole": role,
            "ElectrodeSize": {
                "Value": contact.area_cm2,
                "Units": "cm^2",
                "Description": "area of the contact",
            },
            "Material": material,
            "ElectrodeContactMedium": medium,
        }


def _at_start(loops: Sequence[Loop], name: str) -> float:
    """Sum of the loops' amplitudes at an electrode, positive out of it, in mA."""
    out = math.fsum(x.current_peak_ma for x in loops if x.source == name)
    return out - math.fsum(x.current_peak_ma for x in loops if x.sink == name)


def _in_words(plan: Protocol) -> str:
    """What was planned, the same in every arm of a blinded study."""
    loops = ", ".join(
        f"{x.source} to {x.sink} {x.current_peak_ma:g} mA at {x.phase_deg:g} deg"
        for x in plan.montage.loops
    )
    carrier = "" if plan.carrier_hz is None else f" on a carrier of {plan.carrier_hz:g} Hz"
    arm = "; as planned, the arm is blinded" if plan.blinding is not None else ""
    return (
        f"{plan.waveform} {plan.frequency_hz:g} Hz{carrier}: {loops}, zero-to-peak"
        f"{_trains(plan)}{arm}"
    )


def _trains(plan: Protocol) -> str:
    """The trains in words; the proposal's pattern columns know no run-in and no edges."""
    trains = plan.trains
    if trains is None:
        return ""
    steps = ", ".join(f"{x.frequency_hz:g} Hz at {x.level:g}" for x in trains.steps)
    return (
        f"; after {trains.run_in_s(plan.ramp_up_s):g} s of run-in at most {plan.n_trains} trains "
        f"of {trains.on_s:g} s, {trains.off_s:g} s apart at least, edges {trains.edge_s:g} s in "
        f"them{f', in turn {steps} ({trains.order})' if steps else ''}"
    )


def _write_root(root: Path, subjects: Sequence[str]) -> None:
    write_json(
        root / "dataset_description.json",
        {
            "Name": "tACS sessions, NIBS-BIDS proposal 6.3",
            "BIDSVersion": "1.11.1",
            "DatasetType": "raw",
            "GeneratedBy": [{"Name": "tacs-suite", "Version": version("tacs-suite")}],
        },
    )
    write_text(root / ".bidsignore", "**/nibs\n")
    write_text(
        root / "README",
        "Sessions of tACS in the layout of the NIBS-BIDS proposal (BEP037) 6.3, which is not part "
        "of released BIDS. Currents are zero-to-peak milliampere.\n",
    )
    people = [(f"sub-{name}",) for name in dict.fromkeys(subjects)]
    write_text(root / "participants.tsv", table_text(("participant_id",), people))


def _num(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.6g}"
