"""From a peak and a recipe to a checked protocol, with every reason written down.

Nothing falls back silently: without an individual peak there is no plan, unless the recipe's rule
is ``fixed`` or somebody names a frequency and a reason for it; both end up in the protocol's
``fallback_note``. A number that must not be used (outside the band, too uncertain, too
old, somebody else's) is a breach beside the breaches of the current limits, all listed at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs.by_hand import hand_breaches
from tacs.capabilities import Capabilities
from tacs.clock import utc_now
from tacs.driver import find_driver
from tacs.errors import InputError, SafetyRefusal
from tacs.hand_panel import Panel
from tacs.limits import EffectiveLimits, effective_limits
from tacs.matching import (
    FrequencyChoice,
    accept_grid,
    choose_frequency,
    frequency_breaches,
    grid_reason,
    peak_doubts,
    provisional_doubts,
    recording_age_reasons,
    tongue_reason,
)
from tacs.protocol import Montage, Protocol
from tacs.recipe import GRADES, Recipe, load_recipe, recipes
from tacs.rig import Rig, load_rig
from tacs.safety import (
    Breach,
    DoseHistory,
    cautions,
    device_breaches,
    person_breaches,
    protocol_breaches,
)

if TYPE_CHECKING:
    from analysis.peak import PeakEstimate

__all__ = ["Plan", "Recipe", "load_recipe", "make_plan", "plan", "read_peak", "recipes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A protocol, everything that speaks against it, and why it is as it is.

    Parameters
    ----------
    protocol : Protocol
        To be written and run only where ``breaches`` is empty.
    recipe : Recipe
        What it was made from.
    frequency_hz, achieved_frequency_hz : float
        Asked for, and what the device's grid makes of it; equal where no rig was named.
    breaches : tuple of Breach
        Every limit that is broken.
    cautions, reasons : tuple of str
        What an operator must know, and one line for every choice.
    """

    protocol: Protocol
    recipe: Recipe
    frequency_hz: float
    achieved_frequency_hz: float
    breaches: tuple[Breach, ...]
    cautions: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether no limit is broken."""
        return not self.breaches

    def blinded(self, label: str) -> Plan:
        """Return the same plan under an opaque code of the arm.

        Raises
        ------
        InputError
            Not a label of letters and digits.
        """
        data = {**self.protocol.to_data(), "blinding": {"label": label}}
        return replace(self, protocol=Protocol.from_data(data, "blinding label"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "frequency_hz": self.frequency_hz,
            "achieved_frequency_hz": self.achieved_frequency_hz,
            "ok": self.ok,
            "breaches": [breach.to_dict() for breach in self.breaches],
            "cautions": list(self.cautions),
            "reasons": list(self.reasons),
            "recipe": self.recipe.name,
            "fallback_note": self.protocol.fallback_note,
            "protocol_sha256": self.protocol.sha256(),
            "protocol": self.protocol.to_data(),
        }


def read_peak(path: str | Path) -> PeakEstimate:
    """Read a peak as ``tacs peak --json`` wrote it.

    Raises
    ------
    InputError
        Missing, unreadable, not strict JSON, or not a peak.
    """
    from analysis.errors import AnalysisError
    from analysis.peak import PeakEstimate

    cure = "write it with `tacs peak RECORDING --json > PEAK.json`"
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such peak file; {cure}") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: is not a text file; {cure}") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc
    try:
        data = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
        return PeakEstimate.from_dict(data)
    except AnalysisError as exc:
        raise InputError(f"{path}: {exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{path}: is not JSON ({' '.join(str(exc).split())}); {cure}") from exc


def plan(peak: PeakEstimate | None, recipe: Recipe | str | Path, **options: Any) -> Protocol:
    """Plan a protocol; refuse where any limit is broken.

    Parameters
    ----------
    peak : PeakEstimate or None
        The individual peak; None only where the recipe's frequency is fixed.
    recipe : Recipe, str or path
        A recipe, the name of a shipped one, or a file.
    **options
        As for :func:`make_plan`; ``now`` is the wall clock where left out.

    Returns
    -------
    Protocol

    Raises
    ------
    NoAnswer
        There is no individual peak, or two.
    SafetyRefusal
        With every breach.
    """
    options.setdefault("now", utc_now())
    made = make_plan(peak, recipe, **options)
    if made.breaches:
        raise SafetyRefusal(made.breaches)
    return made.protocol


def make_plan(
    peak: PeakEstimate | None,
    recipe: Recipe | str | Path,
    *,
    now: datetime,
    subject: str | None = None,
    rig: Rig | str | Path | None = None,
    capabilities: Capabilities | None = None,
    limits: EffectiveLimits | None = None,
    current_peak_ma: float | None = None,
    frequency_hz: float | None = None,
    fallback_note: str | None = None,
    grid_accepted: str | None = None,
) -> Plan:
    """Make a protocol and list everything that speaks against it.

    Parameters
    ----------
    peak : PeakEstimate or None
        The individual peak; None only where the frequency is fixed.
    recipe : Recipe, str or path
        A recipe, the name of a shipped one, or a file.
    now : datetime
        Time zone aware; for the ages of peak and calibration.
    subject : str, optional
        Who the protocol is for; the peak must be this person's.
    rig : Rig, str or path, optional
        Adds the device's grid and the limits of device and rig.
    capabilities : Capabilities, optional
        Of the device; looked up from the rig's driver where left out.
    limits : EffectiveLimits, optional
        In force; the defaults where left out.
    current_peak_ma : float, optional
        Zero-to-peak current of every loop instead of the recipe's, in mA.
    frequency_hz : float, optional
        Frequency instead of the one that the rule gives; needs ``fallback_note``.
    fallback_note : str, optional
        Why the frequency is not the individual one.
    grid_accepted : str, optional
        Why the frequency that a device of a coarse grid can play is taken instead of the
        individual one.

    Returns
    -------
    Plan
        Its protocol is to be used only where ``breaches`` is empty.

    Raises
    ------
    NoAnswer
        The rule needs an individual peak and the recording has none, or two.
    SafetyRefusal
        The rule needs an individual peak and this one reproduces a publication and has no
        interval: there is nothing to make a protocol of.
    InputError
        The rule needs a peak and none was given, the arguments contradict each other, or a file
        cannot be read.

    Notes
    -----
    The frequency is the peak rounded to 0.01 Hz; a device with a coarser grid plays the nearest
    frequency it has, and both numbers are kept.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    limits = effective_limits() if limits is None else limits
    if rig is not None and not isinstance(rig, Rig):
        rig = load_rig(rig)
    if capabilities is None and rig is not None:
        capabilities = find_driver(rig.device).capabilities_on(rig)
    if (frequency_hz is None) != (fallback_note is None):
        raise InputError(
            "a frequency that is not the individual one and the reason for it go together: "
            "give both or neither"
        )
    choice = choose_frequency(peak, recipe, frequency_hz, fallback_note)
    if grid_accepted is not None:
        choice = accept_grid(choice, capabilities, grid_accepted)
    montage, current_reason = _montage(recipe, current_peak_ma)
    protocol = _protocol(recipe, choice, montage)
    achieved_hz, by_hand = choice.frequency_hz, list[Breach]()
    if capabilities is not None:
        achieved_hz = capabilities.achieved_frequency_hz(choice.frequency_hz)
    grid = grid_reason(choice.frequency_hz, achieved_hz, capabilities)
    if capabilities is not None and rig is not None and not capabilities.machine_verified:
        panel = Panel.of(rig)
        achieved_hz = panel.frequency_hz(panel.frequency(choice.frequency_hz))
        by_hand = hand_breaches(protocol, rig, limits)
        grid = f"{panel.device_name} is set by hand to {achieved_hz:g} Hz"

    breaches = _recipe_breaches(recipe)
    breaches += frequency_breaches(peak, recipe, choice, achieved_hz, subject)
    breaches += protocol_breaches(protocol, limits)
    if capabilities is not None:
        breaches += device_breaches(
            protocol,
            capabilities,
            rig,
            limits,
            today=now.date(),
            emulated=rig is not None and rig.emulated,
        )
    breaches += by_hand
    breaches += person_breaches(protocol, limits, subject=subject, history=DoseHistory(), now=now)

    reasons = [choice.reason, grid]
    if choice.individual is not None:
        reasons.append(tongue_reason(montage))
        reasons += recording_age_reasons(peak, now, limits["peak_age_d"])
        reasons += [] if peak is None else provisional_doubts(peak)
    reasons += [current_reason, f"published dose, for comparison: {recipe.published_dose}"]
    effect = recipe.expected_effect
    reasons.append(
        f"predicted: {effect.direction} of {effect.measure}, {effect.region.replace('_', ' ')}; "
        f"evidence {recipe.evidence.grade}: {GRADES[recipe.evidence.grade]}"
    )
    warned: list[str] = []
    if peak is not None and choice.individual is not None:
        warned = [*peak_doubts(peak), *(f"of the peak: {text}" for text in peak.warnings)]
    return Plan(
        protocol=protocol,
        recipe=recipe,
        frequency_hz=choice.frequency_hz,
        achieved_frequency_hz=achieved_hz,
        breaches=tuple(breaches),
        cautions=(*cautions(protocol, capabilities), *warned),
        reasons=tuple(reasons),
    )


def _montage(recipe: Recipe, current_peak_ma: float | None) -> tuple[Montage, str]:
    """The recipe's montage, or the same with another current in every loop."""
    stated = ", ".join(
        f"{loop.current_peak_ma:g} mA {loop.source}-{loop.sink}" for loop in recipe.montage.loops
    )
    if current_peak_ma is None:
        return recipe.montage, f"current zero-to-peak as in the recipe: {stated}"
    loops = [
        {**loop.model_dump(mode="json"), "current_peak_ma": current_peak_ma}
        for loop in recipe.montage.loops
    ]
    montage = Montage.from_data(
        {**recipe.montage.model_dump(mode="json"), "loops": loops}, "current_peak_ma"
    )
    return montage, (
        f"{current_peak_ma:g} mA zero-to-peak in every loop was asked for; the recipe has {stated}"
    )


def _protocol(recipe: Recipe, choice: FrequencyChoice, montage: Montage) -> Protocol:
    """The protocol of a choice."""
    data: dict[str, Any] = {
        "name": f"{recipe.title}, {choice.frequency_hz:g} Hz",
        "recipe": recipe.name,
        "waveform": recipe.waveform,
        "frequency_hz": choice.frequency_hz,
        "duration_s": recipe.duration_s,
        "ramp_up_s": recipe.ramp_up_s,
        "ramp_down_s": recipe.ramp_down_s,
        "sham_plateau_s": recipe.sham_plateau_s,
        "montage": montage.model_dump(mode="json"),
        "expected_effect": recipe.expected_effect.model_dump(mode="json"),
        "trains": None if recipe.trains is None else recipe.trains.to_data(),
        "individual": choice.individual,
        "fallback_note": choice.fallback_note,
    }
    return Protocol.from_data(data, f"plan of {recipe.name}")


def _recipe_breaches(recipe: Recipe) -> list[Breach]:
    """Refuse an entry that only documents."""
    if recipe.executable:
        return []
    return [
        Breach(
            limit="executable",
            value="a reference entry",
            allowed="an executable recipe",
            unit="",
            source=f"recipe {recipe.name}",
            where=recipe.published_dose,
        )
    ]


def _refuse_constant(text: str) -> None:
    """Refuse NaN and infinity, which JSON does not have."""
    raise ValueError(f"{text} is not a JSON number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice in one object."""
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a key stands twice")
    return data
