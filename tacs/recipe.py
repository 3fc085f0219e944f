"""Recipes: reusable prescriptions without a person, each a data file with its evidence.

A recipe states waveform, montage, timing, how the frequency follows from the individual peak, the
predicted direction, and the evidence for and against. Those that ship are in ``tacs/recipes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tacs.errors import InputError
from tacs.files import StrictModel
from tacs.protocol import ExpectedEffect, Montage, Protocol
from tacs.trains import Trains

__all__ = [
    "GRADES",
    "Evidence",
    "FrequencyRule",
    "Recipe",
    "Reference",
    "load_recipe",
    "recipes",
]

INTERVAL_WIDTH_MAX_HZ = 2.0
"""Widest 95 % interval of a peak that is still called individual: the true peak is then within
about 1 Hz of the frequency played, half of the 2 Hz at which a matched effect was lost."""

GRADES: Mapping[str, str] = {
    "A": "two or more positive randomised trials",
    "B": "one positive randomised trial",
    "C": "pilot, secondary or correlational results",
    "A/N": "two or more positive randomised trials, and published null results against it",
    "B/N": "one positive randomised trial, and published null results against it",
    "C/N": "pilot, secondary or correlational results, and published null results against it",
    "sham": "a control condition: no effect is claimed",
}

Frequency = Annotated[float, Field(gt=0.0)]


class FrequencyRule(StrictModel):
    """How the frequency follows from the individual peak, all in hertz."""

    rule: Literal["match", "offset", "fixed"]
    band_hz: tuple[Frequency, Frequency] = Field(description="band that the recipe is about")
    offset_hz: float | None = Field(default=None, description="rule offset: added to the peak")
    fixed_hz: Frequency | None = Field(default=None, description="rule fixed: the frequency")
    tolerance_hz: Frequency = Field(
        default=0.05, description="largest distance of the frequency played from the one meant"
    )
    interval_width_max_hz: Frequency = Field(
        default=INTERVAL_WIDTH_MAX_HZ, description="widest 95 % interval of the peak"
    )

    @classmethod
    def rule_problems(cls, data: Mapping[str, Any]) -> list[str]:
        """List fields that the rule needs and lacks, or has and does not use."""
        rule = data.get("rule")
        problems = []
        for name, owner in (("offset_hz", "offset"), ("fixed_hz", "fixed")):
            present = data.get(name) is not None
            if rule == owner and not present:
                problems.append(f"frequency_rule.{name}: missing; the rule is {owner!r}")
            if rule in ("match", "offset", "fixed") and rule != owner and present:
                problems.append(f"frequency_rule.{name}: only the rule {owner!r} has one")
        band = data.get("band_hz")
        if isinstance(band, list) and len(band) == 2:
            low, high = band
            if all(type(edge) in (int, float) for edge in band) and not low < high:
                problems.append(f"frequency_rule.band_hz: {low} is not below {high}")
        return problems


class Evidence(StrictModel):
    """How well the predicted effect is supported."""

    grade: Literal["A", "B", "C", "A/N", "B/N", "C/N", "sham"]
    note: str = Field(min_length=1, description="what was found, in how many people")


class Reference(StrictModel):
    """One source."""

    text: str = Field(min_length=1)
    doi: str | None = Field(default=None, pattern=r"^10\.\d{4,9}/\S+$")
    n: int | None = Field(default=None, ge=1, description="participants")
    finding: Literal["for", "against", "mixed"]


class Recipe(StrictModel):
    """A reusable prescription without a person: everything of a protocol but the frequency."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str = Field(min_length=1)
    modality: Literal["tACS"]
    purpose: str = Field(min_length=1)
    disorder: str | None = None
    sham_of: str | None = Field(default=None, description="recipe whose control arm this is")
    waveform: Literal["tacs", "active_sham", "passive_sham"]
    duration_s: float = Field(gt=0.0, description="ramps included")
    ramp_up_s: float = Field(gt=0.0)
    ramp_down_s: float = Field(gt=0.0)
    sham_plateau_s: float | None = Field(default=None, ge=0.0)
    trains: Trains | None = Field(default=None, description="current in trains; else without gaps")
    executable: bool = Field(description="false for an entry that documents and must not be run")
    published_dose: str = Field(min_length=1)
    frequency_rule: FrequencyRule
    montage: Montage
    expected_effect: ExpectedEffect
    evidence: Evidence
    conflicts: tuple[str, ...] = Field(min_length=1, description="what speaks against it")
    references: tuple[Reference, ...] = Field(min_length=1)
    contraindications: tuple[str, ...] = Field(min_length=1)

    @classmethod
    def problems_between(cls, data: Mapping[str, Any]) -> list[str]:
        """List what the frequency rule lacks and what the protocol made from it would break."""
        rule = data.get("frequency_rule")
        problems = FrequencyRule.rule_problems(rule) if isinstance(rule, Mapping) else []
        return [*problems, *Protocol.problems_between(data)]

    def to_dict(self) -> dict[str, Any]:
        """Return what ``tacs recipes`` lists, as plain JSON types."""
        rule = self.frequency_rule
        return {
            "name": self.name,
            "title": self.title,
            "disorder": self.disorder,
            "purpose": self.purpose,
            "modality": self.modality,
            "waveform": self.waveform,
            "sham": self.waveform != "tacs",
            "sham_of": self.sham_of,
            "executable": self.executable,
            "frequency_rule": rule.rule,
            "band_hz": list(rule.band_hz),
            "fixed_hz": rule.fixed_hz,
            "duration_s": self.duration_s,
            "trains": None if self.trains is None else self.trains.to_data(),
            "electrodes_peak_ma": {
                e.name: self.montage.current_peak_ma(e.name) for e in self.montage.electrodes
            },
            "evidence": self.evidence.grade,
            "evidence_meaning": GRADES[self.evidence.grade],
            "evidence_note": self.evidence.note,
            "expected_direction": self.expected_effect.direction,
            "expected_measure": self.expected_effect.measure,
            "expected_region": self.expected_effect.region,
            "published_dose": self.published_dose,
            "conflicts": list(self.conflicts),
            "contraindications": list(self.contraindications),
            "references": [r.model_dump(mode="json") for r in self.references],
        }


def recipes() -> dict[str, Recipe]:
    """Return the recipes that come with the suite, by name."""
    return {name: Recipe.from_toml(path) for name, path in _shipped().items()}


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a shipped recipe by its name, or a recipe file.

    Raises
    ------
    InputError
        No such recipe and no such file.
    FileProblems
        The file breaks the model; every problem is listed.
    """
    shipped = _shipped()
    if str(name_or_path) in shipped:
        return Recipe.from_toml(shipped[str(name_or_path)])
    if not Path(name_or_path).exists():
        raise InputError(
            f"{name_or_path}: no such recipe and no such file; shipped recipes: "
            f"{', '.join(shipped)} (`tacs recipes` describes them)"
        )
    return Recipe.from_toml(name_or_path)


def _shipped() -> dict[str, Path]:
    """Recipe files that come with the suite."""
    folder = Path(str(resources.files("tacs"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}
