"""Design of a response profile: how much of it the noise demands, and what it could not find.

Locking that is there is found with power 0.8 where ``n R² = 4.8`` (Rayleigh): n trains, or
``T/(2 tau)`` independent stretches of a rhythm whose phase memory is ``tau = 1/(pi FWHM)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.profile_blocks import Mode
from analysis.profile_echo import POWER_80, may_report_echo, too_few_for_echo
from analysis.profile_visits import (
    EDGE_S,
    HOURS_BETWEEN,
    RECORDINGS,
    REST_S,
    Visit,
    edge_share,
    latin_row,
    visits_of,
)

__all__ = ["SWEEP_HZ", "TRAINS_HZ", "ProfilePlan", "plan_profile"]

SWEEP_HZ = (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)
TRAINS_HZ = (-2.0, 0.0, 2.0)
ECHO_READ_S = 0.2
GAP_S = 60.0  # between blocks
TRAIN_GAP_S = 1.5


@dataclass(frozen=True, slots=True)
class ProfilePlan:
    """A design and what it can detect.

    Parameters
    ----------
    mode : {"photic", "electrical", "virtual"}
        What drives.
    peak_hz : float
        The person's own frequency; that of the virtual reference in sham.
    order_hz : tuple of float
        Frequencies in the order to run them; sham is 0. Of mode electrical one for each visit.
    order_level : tuple of float
        Level of each.
    seconds_per_block : float
        On-time of a continuous block, or a train.
    gap_s : float
        Without drive between blocks, or trains.
    trains : int
        Trains per frequency; 0 for continuous blocks.
    minutes : float
        Length of it all, gaps included.
    expected_plv : float
        Locking that the design is asked to find (for trains: 0.2 s after the end, to which they
        fall by an edge of 0.5 s).
    needed : float
        Trains, or seconds per block, for a power of 0.8.
    detectable_plv : float
        Locking found with a power of 0.8.
    seed : int
        Of the order; of mode electrical the row of a Williams square.
    warnings : tuple of str
        What the design cannot do.
    """

    mode: Mode
    peak_hz: float
    order_hz: tuple[float, ...]
    order_level: tuple[float, ...]
    seconds_per_block: float
    gap_s: float
    trains: int
    minutes: float
    expected_plv: float
    needed: float
    detectable_plv: float
    seed: int
    warnings: tuple[str, ...]

    @property
    def visits(self) -> tuple[Visit, ...]:
        """Of mode electrical; none else."""
        if not self.trains:
            return ()
        return visits_of(
            self.order_hz, self.order_level, self.peak_hz, self.trains, self.seconds_per_block,
            self.gap_s,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        electrical: dict[str, Any] = {}
        if self.trains:
            electrical = {
                "visits": [visit.to_dict() for visit in self.visits],
                "hours_between_visits": HOURS_BETWEEN,
                "rest_s": REST_S,
                "recordings": [one.to_dict() for one in RECORDINGS],
            }
        return {
            "mode": self.mode,
            "peak_hz": self.peak_hz,
            "order_hz": list(self.order_hz),
            "order_level": list(self.order_level),
            "seconds_per_block": self.seconds_per_block,
            "gap_s": self.gap_s,
            "trains": self.trains,
            "minutes": self.minutes,
            "expected_plv": self.expected_plv,
            "needed": self.needed,
            "needed_unit": "trains" if self.trains else "s",
            "detectable_plv": self.detectable_plv,
            "detects": self.detectable_plv <= self.expected_plv,
            "seed": self.seed,
            "warnings": list(self.warnings),
            **electrical,
        }


def plan_profile(
    mode: Mode,
    peak_hz: float,
    *,
    expected_plv: float = 0.16,
    fwhm_hz: float = 1.0,
    seconds_per_block: float | None = None,
    trains: int | None = None,
    repeats: int = 1,
    levels: Sequence[float] = (1.0,),
    sham: bool = True,
    seed: int = 0,
) -> ProfilePlan:
    """Plan a profile.

    Parameters
    ----------
    mode : {"photic", "electrical", "virtual"}
        Continuous blocks of 120 s at nine frequencies, or trains of 2 s on and 1.5 s off at three.
    peak_hz : float
        The person's own frequency.
    expected_plv : float
        Locking expected while driven at the highest level (0.16: 1 mA in the reference model, an
        assumption); at lower levels it is taken to be less in proportion.
    fwhm_hz : float
        Width of the rhythm's line at rest.
    seconds_per_block : float, optional
        120 for continuous blocks, 2 for trains.
    trains : int, optional
        Per frequency (electrical; 190).
    repeats : int
        Of the whole sweep; two allow a split-half reliability.
    levels : sequence of float
        Of the drive, mA or any unit; three give a locking region.
    sham : bool
        Whether a block of sham is part of it.
    seed : int
        Of the order. In mode electrical persons with consecutive seeds go through the visits in
        orders that balance each other (:func:`analysis.profile_visits.latin_row`).

    Returns
    -------
    ProfilePlan

    Raises
    ------
    AnalysisError
        If a value makes no sense.
    """
    if mode not in ("photic", "electrical", "virtual"):
        raise AnalysisError(f"mode {mode!r}: give photic, electrical or virtual")
    electrical = mode == "electrical"
    on_s = (2.0 if electrical else 120.0) if seconds_per_block is None else seconds_per_block
    n = (190 if trains is None else trains) if electrical else 0
    positive = {"peak_hz": peak_hz, "fwhm_hz": fwhm_hz, "seconds_per_block": on_s}
    wrong = [f"{k} {v:g}" for k, v in positive.items() if not 0.0 < v < math.inf]
    wrong += [f"expected_plv {expected_plv:g}"] if not 0.0 < expected_plv < 1.0 else []
    wrong += [f"repeats {repeats}"] if repeats < 1 else []
    wrong += [f"level {v:g}" for v in levels if not 0.0 < v < math.inf]
    wrong += ["no level"] if not levels else []
    wrong += ["the same level twice"] if len(set(levels)) < len(levels) else []
    wrong += [f"trains {n}"] if electrical and n < 2 else []
    wrong += [] if peak_hz > 3.5 or electrical else [f"peak_hz {peak_hz:g} (a sweep needs 3.5)"]
    if wrong:
        raise AnalysisError(f"plan of a profile: out of range: {', '.join(wrong)}")
    tau_s = 1.0 / (math.pi * fwhm_hz)
    offsets = TRAINS_HZ if electrical else SWEEP_HZ
    rng = np.random.default_rng(seed)
    highest, lowest = max(levels), min(levels)
    order: list[tuple[float, float]] = []
    for turn in range(repeats):
        sweep = [(round(peak_hz + d, 3), level) for level in levels for d in offsets]
        sweep += [(0.0, highest)] if sham else []
        row = latin_row(len(sweep), seed + turn) if electrical else rng.permutation(len(sweep))
        order += [sweep[i] for i in row]
    warnings = []
    gap_s = TRAIN_GAP_S if electrical else GAP_S
    if electrical:
        asked = expected_plv * edge_share(EDGE_S, tau_s) * math.exp(-ECHO_READ_S / tau_s)
        needed = POWER_80 / asked**2
        detectable = math.sqrt(POWER_80 / n)
        minutes = len(order) * n * (on_s + gap_s) / 60.0
        if detectable > asked:
            warnings.append(
                f"{n} trains find locking of {min(detectable, 1.0):.2f} with power 0.8, "
                f"{asked:.2f} is expected 0.2 s after the end: {math.ceil(needed)} trains needed; "
                "an echo must not be reported as absent from this design"
            )
        if not may_report_echo(n):
            warnings.append(too_few_for_echo(n))
        warnings.append(
            "electrical: no resonance curve from EEG under current; gaps are read after the "
            "amplifier has settled (measure it on a phantom); one frequency or sham per visit, "
            f"visits {HOURS_BETWEEN:g} h apart"
        )
    else:
        asked = expected_plv
        needed = POWER_80 * 2.0 * tau_s / asked**2
        detectable = math.sqrt(POWER_80 * 2.0 * tau_s / on_s)
        minutes = len(order) * (on_s + gap_s) / 60.0
        if detectable > asked:
            warnings.append(
                f"blocks of {on_s:g} s find locking of {min(detectable, 1.0):.2f} with power 0.8, "
                f"{asked:.2f} is expected: {math.ceil(needed)} s needed"
            )
    if lowest < highest and detectable > asked * lowest / highest:
        short = ", ".join(f"{v:g}" for v in levels if detectable > asked * v / highest)
        warnings.append(
            f"at level {short} a single block or frequency is too short to be found (locking in "
            "proportion to the level); only all levels together say something there"
        )
    if repeats < 2:
        warnings.append("no repeats: the profile cannot be called individual (needs two)")
    if not sham:
        warnings.append("no sham: nothing tells a response from what is there without the drive")
    if mode == "photic":
        warnings.append(
            "photic: screen for photosensitivity first; add jittered flicker as control"
        )
    if repeats * len(offsets) * len(levels) * on_s > 3600.0 and not electrical:
        warnings.append(f"{minutes:.0f} min in one visit: arousal drifts; spread it over visits")
    return ProfilePlan(
        mode, peak_hz, tuple(hz for hz, _ in order), tuple(v for _, v in order), on_s, gap_s, n,
        minutes, asked, needed, min(1.0, detectable), seed,
        tuple(warnings),
    )  # fmt: skip
