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
from analysis.profile_jitter import JITTER_SD, jitter_onsets_s
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
REST = (("open", 120.0), ("closed", 180.0))  # before the sweep of a person
MOST_EXTRA = 10
MOST_R, DRAWS = 0.3, 200

Row = tuple[str, float, float]  # kind, frequency in Hz (0 in sham), level


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
    order_kind : tuple of str
        What each is: drive, sham, anchor (a repeat at the person's own frequency) or jitter.
    jitter_sd : float
        Of the periods of a jittered block, over the mean period.
    order_jitter_seed : tuple of int
        Of the periods of each jittered block; 0 for others.
    order_r : float
        How far frequency, or distance from the person's own, goes with the position.
    rest : tuple of (str, float)
        Eyes (open, closed) and seconds of the rest before the blocks.
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
    order_kind: tuple[str, ...] = ()
    jitter_sd: float = 0.0
    order_jitter_seed: tuple[int, ...] = ()
    order_r: float = 0.0
    rest: tuple[tuple[str, float], ...] = ()

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
            "order_kind": list(self.order_kind),
            "order_r": self.order_r,
            "order_jitter_seed": list(self.order_jitter_seed),
            "jitter_sd": self.jitter_sd,
            "jitter": self._jittered(),
            "rest": [{"eyes": eyes, "seconds": seconds} for eyes, seconds in self.rest],
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

    def _jittered(self) -> list[dict[str, Any]]:
        """Onsets of every jittered block, for what drives."""
        rows = zip(self.order_kind, self.order_hz, self.order_jitter_seed, strict=True)
        return [
            {
                "position": place,
                "frequency_hz": hz,
                "onsets_s": [
                    round(onset, 6)
                    for onset in jitter_onsets_s(hz, self.seconds_per_block, self.jitter_sd, seed)
                ],
            }
            for place, (kind, hz, seed) in enumerate(rows, start=1)
            if kind == "jitter"
        ]


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
    anchors: int | None = None,
    jittered: int | None = None,
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
    anchors : int, optional
        Repeats at the person's own frequency and the highest level, spread over the session: they
        tell order from frequency. 2 for photic, else 0; none for trains.
    jittered : int, optional
        Blocks of jittered drive at the person's own frequency. 3 for photic, else 0; none for
        trains.
    seed : int
        Of the order. In mode electrical persons with consecutive seeds go through the visits in
        orders that balance each other (:func:`analysis.profile_visits.latin_row`); else an order
        is drawn anew until neither frequency nor distance from the person's own goes with the
        position (r of 0.3 at most), or the best of 200 is taken.

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
    n_anchors = (2 if mode == "photic" else 0) if anchors is None else anchors
    n_jitter = (3 if mode == "photic" else 0) if jittered is None else jittered
    positive = {"peak_hz": peak_hz, "fwhm_hz": fwhm_hz, "seconds_per_block": on_s}
    wrong = [f"{k} {v:g}" for k, v in positive.items() if not 0.0 < v < math.inf]
    wrong += [f"expected_plv {expected_plv:g}"] if not 0.0 < expected_plv < 1.0 else []
    wrong += [f"repeats {repeats}"] if repeats < 1 else []
    wrong += [f"level {v:g}" for v in levels if not 0.0 < v < math.inf]
    wrong += ["no level"] if not levels else []
    wrong += ["the same level twice"] if len(set(levels)) < len(levels) else []
    wrong += [f"trains {n}"] if electrical and n < 2 else []
    wrong += [f"anchors {n_anchors}"] if not 0 <= n_anchors <= MOST_EXTRA else []
    wrong += [f"jittered {n_jitter}"] if not 0 <= n_jitter <= MOST_EXTRA else []
    wrong += ["anchors or jitter in trains"] if electrical and (n_anchors or n_jitter) else []
    wrong += [] if peak_hz > 3.5 or electrical else [f"peak_hz {peak_hz:g} (a sweep needs 3.5)"]
    if wrong:
        raise AnalysisError(f"plan of a profile: out of range: {', '.join(wrong)}")
    tau_s = 1.0 / (math.pi * fwhm_hz)
    offsets = TRAINS_HZ if electrical else SWEEP_HZ
    rng = np.random.default_rng(seed)
    highest, lowest = max(levels), min(levels)
    sweep = [("drive", round(peak_hz + d, 3), level) for level in levels for d in offsets]
    sweep += [("sham", 0.0, highest)] if sham else []
    extra = [("jitter", round(peak_hz, 3), highest)] * n_jitter
    anchor = [("anchor", round(peak_hz, 3), highest)] * n_anchors
    if electrical:
        order = [sweep[i] for turn in range(repeats) for i in latin_row(len(sweep), seed + turn)]
        order_r = 0.0
    else:
        order, order_r = _order(sweep, extra, anchor, repeats, peak_hz, rng)
    seeds = tuple(
        1000 * seed + place if kind == "jitter" else 0
        for place, (kind, _, _) in enumerate(order, start=1)
    )
    rest = REST if mode == "photic" else ()
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
        minutes = (len(order) * (on_s + gap_s) + sum(lasts for _, lasts in rest)) / 60.0
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
    if not electrical and order_r > MOST_R:
        warnings.append(
            f"frequency goes with the position (r {order_r:.2f}): order and carry-over cannot be "
            "told from resonance"
        )
    if not electrical and n_anchors < 2 and repeats < 2:
        warnings.append("fewer than two anchors: order is told by the model of the curve alone")
    if not sham:
        warnings.append("no sham: nothing tells a response from what is there without the drive")
    if mode == "photic":
        warnings.append(
            "photic: screen for photosensitivity first"
            + ("" if n_jitter else "; add jittered flicker as control")
        )
    if repeats * len(offsets) * len(levels) * on_s > 3600.0 and not electrical:
        warnings.append(f"{minutes:.0f} min in one visit: arousal drifts; spread it over visits")
    return ProfilePlan(
        mode, peak_hz, tuple(hz for _, hz, _ in order), tuple(v for _, _, v in order), on_s, gap_s,
        n, minutes, asked, needed, min(1.0, detectable), seed, tuple(warnings),
        tuple(kind for kind, _, _ in order), JITTER_SD if n_jitter else 0.0, seeds, order_r, rest,
    )  # fmt: skip


def _order(
    sweep: Sequence[Row],
    extra: Sequence[Row],
    anchors: Sequence[Row],
    repeats: int,
    peak_hz: float,
    rng: np.random.Generator,
) -> tuple[list[Row], float]:
    """Order of the blocks, and how far frequency goes with the position in it."""
    best: list[Row] = []
    least = math.inf
    for _ in range(DRAWS):
        order = [sweep[i] for _ in range(repeats) for i in rng.permutation(len(sweep))]
        for row in extra:
            order.insert(int(rng.integers(0, len(order) + 1)), row)
        for i, row in enumerate(anchors):
            # One in each of equal parts; the first and the last third where there are two.
            n_parts = 3 if len(anchors) == 2 else len(anchors)
            part = 2 * i if len(anchors) == 2 else i
            edges = np.linspace(0, len(order) + 1, n_parts + 1).astype(int)
            order.insert(int(rng.integers(edges[part], max(edges[part] + 1, edges[part + 1]))), row)
        r = _order_r(order, peak_hz)
        if r < least:
            best, least = order, r
        if least <= MOST_R:
            break
    return best, least


def _order_r(order: Sequence[Row], peak_hz: float) -> float:
    """Larger of two correlations with the position: of the frequency, and of its distance."""
    place = np.array([i for i, row in enumerate(order) if row[0] in ("drive", "anchor")])
    hz = np.array([row[1] for row in order if row[0] in ("drive", "anchor")])
    found = [0.0]
    for value in (hz, np.abs(hz - peak_hz)):
        if np.ptp(value) > 1e-9 and place.size > 2:
            found.append(abs(float(np.corrcoef(place, value)[0, 1])))
    return max(found)
