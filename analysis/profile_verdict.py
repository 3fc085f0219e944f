"""What a profile may say: verdict, curve, what it could have found, whether it is individual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.profile_blocks import UNDER_CURRENT, Mode
from analysis.profile_curve import Lorentzian, Measured, fit_lorentzian
from analysis.profile_locking import BlockLocking
from analysis.profile_permutation import Answer, split_half
from analysis.profile_rest import RestLine
from analysis.profile_result import Reliability, Verdict

__all__ = ["ALPHA", "detectable_of", "reliability_of", "resonance_of", "verdict_of"]

ALPHA = 0.05
LEAST_FREQUENCIES = 5
ONE_SESSION = (
    "one session does not tell this person from others: two visits of several people do "
    "(tacs profile compare)"
)


def verdict_of(
    rows: Sequence[Answer], p: float, sham: Sequence[Answer]
) -> tuple[Verdict, list[str]]:
    """Response where some frequency is beyond chance and beyond what sham shows there."""
    beyond = [row for row in rows if row.p < ALPHA and row.response > 0.0]
    if p >= ALPHA or not beyond:
        return "no_response", []
    at = {row.frequency_hz: row for row in sham}
    answering = [row for row in sham if row.p < ALPHA]
    warnings = [
        f"sham answers at {row.frequency_hz:g} Hz (p {row.p:.4f}): something at this frequency was "
        "on without the drive"
        for row in answering
    ]
    clear = [
        row
        for row in beyond
        if row.frequency_hz not in at
        or at[row.frequency_hz].p >= ALPHA
        or row.low > at[row.frequency_hz].high
    ]
    return ("response" if clear else "undetermined"), warnings


def resonance_of(
    measured: Measured, verdict: Verdict, rest: RestLine | None, mode: Mode
) -> tuple[dict[float, Lorentzian], str]:
    """Curve of every level with enough frequencies, or why there is none."""
    if verdict != "response":
        return {}, "no response that is beyond chance and sham"
    if mode == "electrical":
        return {}, f"gaps give an echo alone: {UNDER_CURRENT}"
    curves = {}
    for level in np.unique(measured.level).tolist():
        part = measured.only(measured.level == level)
        if np.unique(part.frequency_hz).size >= LEAST_FREQUENCIES:
            curves[level] = fit_lorentzian(part, width_hz=None if rest is None else rest.fwhm_hz)
    few = f"fewer than {LEAST_FREQUENCIES} frequencies at every level"
    return curves, "" if curves else few


def detectable_of(found: Sequence[BlockLocking], n_frequencies: int) -> float:
    """Locking that a typical block shows with power 0.8 at the sweep's corrected level."""
    from scipy.stats import chi2, ncx2

    ratio = float(chi2.ppf(1.0 - ALPHA / n_frequencies, 2))
    grid = np.linspace(0.0, 60.0, 601)
    away = float(grid[np.searchsorted(ncx2.sf(ratio, 2, np.maximum(grid, 1e-9)), 0.8)])
    null = float(np.median([one.null for one in found]))
    return float(min(1.0, np.sqrt(0.5 * away * null)))


def reliability_of(
    measured: Measured, verdict: Verdict, rng: np.random.Generator, n_draws: int
) -> Reliability:
    """Whether repeated blocks agree; one session never makes a profile individual."""
    halves = split_half(measured, rng, n_draws)
    if halves is None:
        return Reliability(False, f"fewer than four frequencies were repeated; {ONE_SESSION}")
    r, p, n = halves
    agree = f"the halves of {n} frequencies agree within this session (r {r:.2f}, p {p:.4f})"
    if verdict != "response":
        return Reliability(False, "no response to call individual", False, r, p)
    if p >= ALPHA or r < 0.7:
        return Reliability(False, f"{agree}, which is not enough; {ONE_SESSION}", False, r, p)
    return Reliability(False, f"{agree}; {ONE_SESSION}", True, r, p)
