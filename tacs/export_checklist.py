"""What a reporting checklist asks of a session, as far as its record says it.

A topic that nothing in the data set answers is listed as missing and left for a person: nothing is
inferred. The topics are files, ``tacs/checklists_data``, in words of our own.

References
----------
Nejati et al. 2025, *Nat Protoc*, doi:10.1038/s41596-025-01259-0: RATES. Ekhtiari et al. 2022, *Nat
Protoc* 17, 596: ContES.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from tacs.bids_stimulation import impedances
from tacs.dataset import SessionPaths, find_recordings, find_records
from tacs.errors import InputError
from tacs.files import read_toml
from tacs.frequencies import several_in_words, several_of
from tacs.journal import Journal
from tacs.protocol import Protocol
from tacs.record import Line, read_record
from tacs.tables import MISSING, read_table
from tacs.waveform import Waveform

__all__ = ["KINDS", "Checklist", "Item", "fill_checklist"]

KINDS = ("rates", "contes")


@dataclass(frozen=True, slots=True)
class Item:
    """One topic.

    Parameters
    ----------
    group, topic : str
        Of the checklist, in own words.
    answer : str or None
        From the record; None where nothing says it.
    source : str
        Where the answer is from; empty where it is missing.
    """

    group: str
    topic: str
    answer: str | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """A checklist of one session.

    Parameters
    ----------
    kind, title, source : str
        Which one, and where it was published.
    subject, session : str
        Of which session.
    items : tuple of Item
        In its order.
    """

    kind: str
    title: str
    source: str
    subject: str
    session: str
    items: tuple[Item, ...]

    @property
    def missing(self) -> tuple[Item, ...]:
        """Topics that the record does not answer."""
        return tuple(item for item in self.items if item.answer is None)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs export checklist``."""
        return {
            "kind": self.kind,
            "title": self.title,
            "source": self.source,
            "subject": self.subject,
            "session": self.session,
            "answered": len(self.items) - len(self.missing),
            "missing": [f"{x.group}: {x.topic}" for x in self.missing],
            "items": [
                {"group": x.group, "topic": x.topic, "answer": x.answer, "source": x.source}
                for x in self.items
            ],
        }

    def to_markdown(self) -> str:
        """Return it as a document; missing topics say so and are listed again at the end."""
        lines = [
            f"# {self.title}",
            "",
            f"Participant {self.subject}, session {self.session}. Topics by the groups of "
            f"{self.source}, in own words and not item by item; the published form has the items. "
            f"{len(self.items) - len(self.missing)} of {len(self.items)} topics are answered by "
            "the record. Research use only.",
        ]
        group = ""
        for item in self.items:
            if item.group != group:
                group = item.group
                lines += ["", f"## {group}", "", "| topic | answer | from |", "|---|---|---|"]
            told = "**missing**" if item.answer is None else _cell(item.answer)
            lines.append(f"| {item.topic} | {told} | {item.source} |")
        lines += ["", "## Missing", "", *(f"- {x.group}: {x.topic}" for x in self.missing)]
        return "\n".join(lines) + "\n"


def fill_checklist(dataset: str | Path, subject: str, session: str, kind: str) -> Checklist:
    """Answer the topics of a checklist from what the data set says of a session.

    Parameters
    ----------
    dataset : path
        The data set.
    subject, session : str
        BIDS labels.
    kind : {"rates", "contes"}
        Which checklist.

    Raises
    ------
    InputError
        There is no such checklist or session, or its record does not verify.
    """
    if kind not in KINDS:
        raise InputError(f"--kind {kind!r}: must be {' or '.join(KINDS)}")
    paths = SessionPaths.of(dataset, subject, session)
    records = find_records(dataset)
    if not any(x.record == paths.record for x in records):
        raise InputError(f"{paths.record}: no such session; nothing to report")
    lines, problem = read_record(paths.record, allow_torn_tail=True)
    if problem is not None or not lines or lines[0].kind != "session":
        raise InputError(f"{paths.record}: cannot be used ({problem or 'it has no first line'})")
    facts = _facts(paths, lines, records)
    asked = read_toml(str(resources.files("tacs") / "checklists_data" / f"{kind}.toml"))
    items = []
    for item in asked["items"]:
        answer, source = facts.get(item.get("fact", ""), ("", ""))
        items.append(Item(item["group"], item["topic"], answer or None, source if answer else ""))
    return Checklist(
        kind=kind,
        title=asked["title"],
        source=asked["source"],
        subject=subject,
        session=session,
        items=tuple(items),
    )


def _facts(
    paths: SessionPaths, lines: Sequence[Line], records: Sequence[SessionPaths]
) -> dict[str, tuple[str, str]]:
    """Everything that is known, each with where it is from; an empty answer is not known."""
    first = lines[0].data
    plan = Protocol.from_data(first["protocol"], str(paths.record))
    told: dict[str, dict[str, str]] = {
        "protocol": _planned(plan),
        "rig": _rig(first),
        "run record": _ran(lines, plan),
        "journal": _journal(paths),
        "participants.tsv": _person(paths),
        "data set": _among(paths, lines[0], records),
    }
    return {name: (value, where) for where, facts in told.items() for name, value in facts.items()}


def _planned(plan: Protocol) -> dict[str, str]:
    wave, contacts = Waveform(plan), plan.montage.electrodes
    peaks = {e.name: wave.peak_ma(e.name) for e in contacts}
    arm = " (as planned; the arm is blinded)" if plan.blinding is not None else ""
    carrier = (
        "" if plan.carrier_hz is None else f", envelope of a carrier of {plan.carrier_hz:g} Hz"
    )
    phases = [f"{x.source} to {x.sink} {x.phase_deg:g} deg" for x in plan.montage.loops]
    density = {e.name: 10.0 * peaks[e.name] / e.area_cm2 for e in contacts}
    individual = ""
    if plan.individual is not None:
        low, high = plan.individual.ci95_hz
        individual = (
            f"individual peak {plan.individual.peak_hz:.2f} Hz (95 % interval {low:.2f} to "
            f"{high:.2f}), {plan.individual.method}"
        )
    elif plan.fallback_note:
        individual = f"fixed: {plan.fallback_note}"
    sham = ""
    if plan.is_sham:
        sham = plan.waveform
        if plan.sham_plateau_s is not None:
            sham += f", {plan.sham_plateau_s:g} s at full current"
    effect = plan.expected_effect
    return {
        "waveform": f"{plan.waveform}{arm}",
        "frequency": f"{plan.frequency_hz:g} Hz{carrier}",
        "individual": individual,
        "amplitude": _each(peaks, "mA") + ", zero-to-peak" + arm,
        "phase": ", ".join(phases),
        "duration": f"{plan.duration_s:g} s, ramps included",
        "ramps": f"{plan.ramp_up_s:g} s up, {plan.ramp_down_s:g} s down, linear",
        "total_current": f"{plan.montage.total_injected_peak_ma:g} mA zero-to-peak{arm}",
        "n_electrodes": str(len(contacts)),
        "positions": ", ".join(e.name for e in contacts) + " (10-10 system)",
        "electrode_area": _each({e.name: e.area_cm2 for e in contacts}, "cm²"),
        "electrode_material": ", ".join(
            dict.fromkeys(e.material.replace("_", " ") for e in contacts)
        ),
        "current_density": _each(density, "A/m²") + ", peak",
        "loops": ", ".join(f"{x.source} to {x.sink}" for x in plan.montage.loops),
        "sham": sham,
        "blinding": f"the arm is blinded, study {plan.blinding.label}" if plan.blinding else "",
        "expected_effect": f"{effect.direction} of {effect.measure}, {effect.region}",
    }  # fmt: skip


def _rig(first: Mapping[str, Any]) -> dict[str, str]:
    rig = first.get("rig") or {}
    wired = [*(rig.get("channels") or ()), *(rig.get("outputs") or ())]
    days = sorted({str(x["calibration"]["calibrated_on"]) for x in wired if x.get("calibration")})
    volts = sorted({float(x["compliance_v"]) for x in wired if "compliance_v" in x})
    return {
        "calibration": ", ".join(days),
        "compliance": ", ".join(f"{x:g} V" for x in volts),
    }


def _ran(lines: Sequence[Line], plan: Protocol) -> dict[str, str]:
    first, blinded = lines[0].data, plan.blinding is not None
    connect = [x.data for x in lines if x.kind == "answer" and x.data.get("verb") == "connect"]
    identity = connect[0] if connect else {}
    end = lines[-1].data if lines[-1].kind == "end" else {}
    got = None if blinded else end.get("delivered")
    measured = got if isinstance(got, Mapping) and got.get("source") == "measured" else None
    read = {} if blinded else impedances(lines)
    can = first.get("capabilities") or {}
    outcome = str(end.get("outcome", "interrupted"))
    paused = sum(1 for x in lines if x.kind == "state" and x.data.get("to") == "paused")
    charge = got.get("rectified_charge_c") if isinstance(got, Mapping) else None
    several = several_in_words(several_of(lines))
    return {
        **({"frequency": f"{several}; planned {plan.frequency_hz:g} Hz"} if several else {}),
        "device_model": str(identity.get("model") or ""),
        "device_firmware": str(identity.get("firmware") or ""),
        "device_channels": str(can.get("n_channels") or ""),
        "device_output": str(can.get("output") or ""),
        "emulated": "yes: a rehearsal, nobody was stimulated" if first.get("emulated") else "no",
        "suite": f"tacs-suite {first['suite']}" if first.get("suite") else "",
        "impedance_before": _each({k: v[0] for k, v in read.items() if v[0] is not None}, "kΩ"),
        "impedance_max": _each({k: v[1] for k, v in read.items()}, "kΩ"),
        "measured": "" if measured is None else
        f"{_each(measured['electrodes'], 'mA')} zero-to-peak, {measured['duration_s']:g} s",
        "offset": "" if measured is None else
        _each(measured["mean_ma"], "mA") + " on average, measured",
        "charge": "" if charge is None else f"{charge:.3g} C rectified, {got['source']}",  # type: ignore[index]
        "outcome": outcome,
        "pauses": "none" if not paused and end and not blinded else f"{paused}" if paused else "",
        "operator_role": str(first.get("role") or ""),
        "limits": f"table sha256 {str(first.get('limits_sha256', ''))[:12]}"
        if first.get("limits_sha256") else "",
        "began": lines[0].utc,
    }  # fmt: skip


def _journal(paths: SessionPaths) -> dict[str, str]:
    """What was entered about the person, and of this session."""
    entries = Journal(paths.dataset).current(subject=paths.subject)
    facts: dict[str, str] = {}
    for kind in ("screening", "consent"):
        found = [x for x in entries if x.kind == kind]
        facts[kind] = f"entered {found[-1].utc[:10]}" if found else ""
    here = [x for x in entries if x.session == paths.session]
    effects = [x for x in here if x.kind == "adverse_effects"]
    facts["adverse_effects"] = (
        f"asked {len(effects)} times, answers in the journal" if effects else ""
    )
    ratings = [x for x in here if x.kind == "discomfort"]
    facts["discomfort"] = f"rated {len(ratings)} times, ratings in the journal" if ratings else ""
    return facts


def _person(paths: SessionPaths) -> dict[str, str]:
    for told in read_table(paths.dataset / "participants.tsv")[1]:
        if told.get("participant_id") == f"sub-{paths.subject}":
            known = {k: v for k, v in told.items() if v not in {"", MISSING}}
            hand = known.get("handedness") or known.get("hand", "")
            age = f"{known['age']} years" if "age" in known else ""
            return {"age": age, "sex": known.get("sex", ""), "handedness": hand}
    return {}


def _among(paths: SessionPaths, first: Line, records: Sequence[SessionPaths]) -> dict[str, str]:
    """Where the session stands among those of the person."""
    times = []
    for other in records:
        if other.subject == paths.subject and other.record != paths.record:
            lines, _ = read_record(other.record, allow_torn_tail=True)
            times += [datetime.fromisoformat(lines[0].utc)] if lines else []
    now = datetime.fromisoformat(first.utc)
    before = [at for at in times if at < now]
    recordings = find_recordings(paths.dataset, paths.subject, paths.session)
    hours = (now - max(before)).total_seconds() / 3600.0 if before else 0.0
    return {
        "session_number": f"{len(before) + 1} of {len(times) + 1} in this data set",
        "earlier_sessions": f"{len(before)} in this data set; others are not known"
        if before
        else "",
        "interval": f"{hours:.1f} h" if before else "",
        "recordings": ", ".join(f"{x.when} ({x.task})" for x in recordings),
    }


def _each(values: Mapping[str, float], unit: str) -> str:
    """Values by electrode."""
    return ", ".join(f"{name} {float(value):.4g} {unit}" for name, value in values.items())


def _cell(text: str) -> str:
    """Text of a cell: it must not end one, nor be markup."""
    plain = " ".join(text.split())
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
