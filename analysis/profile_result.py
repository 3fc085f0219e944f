"""What a response profile found: a frozen result, its JSON and its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from analysis.profile_arnold import ArnoldMap
from analysis.profile_blocks import Mode
from analysis.profile_controls import JitterControl
from analysis.profile_curve import Adjusted, Lorentzian
from analysis.profile_echo import Echo
from analysis.profile_permutation import Answer, Covariates, MaxTest
from analysis.profile_rest import RestLine
from analysis.profile_state import StateCovariate

__all__ = ["Reliability", "ResponseProfile"]

Verdict = Literal["response", "no_response", "undetermined"]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Whether the profile repeats, and whether it may be called individual.

    Parameters
    ----------
    individual : bool
        False from one session alone: that a curve repeats within a session does not show that it
        tells this person from others. Visits of several people do (`analysis.profile_reliability`).
    reason : str
        Why, or why not.
    repeatable : bool or None
        Whether the halves of this session agree; None where too little was repeated.
    split_half_r, p : float or None
        Spearman-Brown corrected correlation of the halves, permutation p; None without repeats.
    """

    individual: bool
    reason: str
    repeatable: bool | None = None
    split_half_r: float | None = None
    p: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class ResponseProfile:
    """How a rhythm answered to a drive, with its null.

    Parameters
    ----------
    mode : {"photic", "electrical", "virtual"}
        What drove, and what was read.
    verdict : {"response", "no_response", "undetermined"}
        By permutation with the maximum over frequencies; undetermined where sham answers too.
    test : MaxTest
        The permutation.
    sham_test : MaxTest or None
        The same of the sham blocks, every drive frequency as a virtual reference.
    detectable_plv : float
        Locking that a block would have shown with power 0.8: what "no response" leaves open.
    answers, sham_answers : tuple of Answer
        Per level and frequency.
    resonance : dict of float to Lorentzian
        By level; empty without a response or with too few frequencies.
    resonance_reason : str
        Why there is none.
    adjusted : Adjusted or None
        Centre of the highest level with order and carry-over in the model.
    arnold : ArnoldMap or None
        Locking region over the levels.
    arnold_reason : str
        Why there is none.
    echoes : tuple of Echo
        Decay after the drive's end, per frequency and level.
    after_effect : tuple of dict
        ln power ratio after/before each block, less sham.
    exploratory : dict
        Leakage to twice and half the drive, change of exponent and of complexity; no part of the
        verdict.
    rest : RestLine or None
        The undriven line.
    baseline : tuple of dict
        The line in the rest before the sweep, eyes by eyes.
    jitter : JitterControl or None
        Jittered blocks; no part of the verdict.
    anchors : tuple of dict
        Blocks of repeated frequencies in the order they ran.
    state : StateCovariate
        Response over the rhythm's power before each block; exploratory.
    tolerance : dict or None
        Frequency tolerance at rest.
    covariates : Covariates or None
        Order and carry-over.
    reliability : Reliability
        Whether it may be called individual.
    channels : tuple of str
        Read.
    bands_hz : dict of float to (float, float)
        Band of the phasors by drive frequency.
    design : dict
        What ran in which order, and the virtual references.
    seed : int
        Of the permutations.
    warnings : tuple of str
        What a reader must know.
    """

    mode: Mode
    verdict: Verdict
    test: MaxTest
    sham_test: MaxTest | None
    detectable_plv: float
    answers: tuple[Answer, ...]
    sham_answers: tuple[Answer, ...]
    resonance: dict[float, Lorentzian]
    resonance_reason: str
    adjusted: Adjusted | None
    arnold: ArnoldMap | None
    arnold_reason: str
    echoes: tuple[Echo, ...]
    after_effect: tuple[dict[str, Any], ...]
    exploratory: dict[str, Any]
    rest: RestLine | None
    baseline: tuple[dict[str, Any], ...]
    jitter: JitterControl | None
    anchors: tuple[dict[str, Any], ...]
    state: StateCovariate
    tolerance: dict[str, Any] | None
    covariates: Covariates | None
    reliability: Reliability
    channels: tuple[str, ...]
    bands_hz: dict[float, tuple[float, float]]
    design: dict[str, Any]
    seed: int
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        echoes = []
        for echo in self.echoes:
            ratio, ends = None, None
            if self.rest is not None and echo.tau_ci95_s is not None:
                memory_s = self.rest.memory_s
                ratio = None if echo.tau_s is None else echo.tau_s / memory_s
                ends = [None if v is None else v / memory_s for v in echo.tau_ci95_s]
            more = {"tau_over_memory": ratio, "tau_over_memory_ci95": ends}
            echoes.append({**echo.to_dict(), **more})
        return {
            "mode": self.mode,
            "verdict": self.verdict,
            "p": self.test.p,
            "n_permutations": self.test.n_draws,
            "sham_p": None if self.sham_test is None else self.sham_test.p,
            "detectable_plv": self.detectable_plv,
            "curve": [a.to_dict() for a in self.answers],
            "sham_curve": [a.to_dict() for a in self.sham_answers],
            "resonance": [
                {"level": level, **curve.to_dict()} for level, curve in self.resonance.items()
            ],
            "resonance_reason": self.resonance_reason or None,
            "adjusted": None if self.adjusted is None else self.adjusted.to_dict(),
            "arnold": None if self.arnold is None else self.arnold.to_dict(),
            "arnold_reason": self.arnold_reason or None,
            "echo": echoes,
            "after_effect": list(self.after_effect),
            "exploratory": {**self.exploratory, "state": self.state.to_dict()},
            "rest": None if self.rest is None else self.rest.to_dict(),
            "baseline": list(self.baseline),
            "jitter": None if self.jitter is None else self.jitter.to_dict(),
            "anchors": list(self.anchors),
            "frequency_tolerance": self.tolerance,
            "covariates": None if self.covariates is None else self.covariates.to_dict(),
            "reliability": self.reliability.to_dict(),
            "channels": list(self.channels),
            "bands_hz": {f"{hz:g}": list(band) for hz, band in self.bands_hz.items()},
            "design": self.design,
            "seed": self.seed,
            "warnings": list(self.warnings),
        }

    def plot(self) -> Any:
        """Draw the curve, its null and the verdict."""
        from analysis.figures_profile import plot_profile

        return plot_profile(self)
