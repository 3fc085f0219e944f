"""What may be concluded for one patient: what speaks against a verdict, and many measures at once.

Three things that no interval of band power covers are looked for in the recordings themselves: slow
fluctuation (`analysis.fluctuation`), another state of arousal (`analysis.arousal`), and a line that
is no rhythm (`analysis.residual`). Where one is found, the direction is withheld and it is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from analysis.arousal import ArousalChange, arousal_change
from analysis.cluster_change import ClusterChange, cluster_change
from analysis.connectivity_change import ConnectivityChange
from analysis.family import Measure, correct
from analysis.pairing import Pair
from analysis.power import RecordingSpectra, percent_of_ln
from analysis.power_change import PowerChange
from analysis.residual import Residual, residual_lines
from analysis.shift import PeakShift
from analysis.statistics import NEEDS, Direction

Prediction = Literal["as predicted", "opposite", "none"]

PRIMARY = "power"
_SHORT = {
    "arousal": "arousal was not the same",
    "residual_line": "a line in the band is no rhythm",
}
LINE_BAND_HZ = 1.0
LINE_VERDICT = "residual line, not oscillation"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why nothing is concluded.

    Parameters
    ----------
    code : {"slow_fluctuation", "arousal", "residual_line"}
        For programs.
    text : str
        One line for the reader.
    """

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Inference:
    """What speaks against a verdict, and the family of measures.

    Parameters
    ----------
    reasons : tuple of Reason
        What was found against one; empty where nothing was.
    family : tuple of Measure
        Every measure, the primary first.
    arousal : ArousalChange
        Signs of another state.
    residual : Residual
        Lines in the band.
    clusters : ClusterChange
        Where over channels and frequencies power differs, or why that was not asked.
    """

    reasons: tuple[Reason, ...]
    family: tuple[Measure, ...]
    arousal: ArousalChange
    residual: Residual
    clusters: ClusterChange

    @property
    def withheld(self) -> bool:
        """Whether p values and corrected statements are withheld."""
        return bool(self.reasons)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "withheld": self.withheld,
            "reasons": [{"code": one.code, "text": one.text} for one in self.reasons],
            "primary": PRIMARY,
            "two_sided": True,
            "correction": "Holm over the family; simultaneous intervals by Bonferroni",
            "family": [one.to_dict() for one in self.family],
            "arousal": self.arousal.to_dict(),
            "residual": self.residual.to_dict(),
            "clusters": self.clusters.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Judgement:
    """What `judge` hands back.

    Parameters
    ----------
    power : PowerChange
        The change, its p and verdict withheld where something speaks against them.
    direction : {"increase", "decrease", "none", "undetermined"}
        Direction.
    inference : Inference
        All of it.
    summary : str or None
        One sentence where the direction was withheld, else None.
    warnings : tuple of str
        The reasons, and lines too small to matter.
    """

    power: PowerChange
    direction: Direction
    inference: Inference
    summary: str | None
    warnings: tuple[str, ...]


def judge(
    pair: Pair,
    power: PowerChange,
    spectra: tuple[RecordingSpectra, RecordingSpectra],
    shift: PeakShift,
    connectivity: ConnectivityChange | None,
    center_hz: float,
) -> Judgement:
    """Say what may be concluded from a pair of recordings.

    Parameters
    ----------
    pair : Pair
        The prepared recordings.
    power : PowerChange
        Change of band power.
    spectra : (RecordingSpectra, RecordingSpectra)
        Spectra before and after.
    shift : PeakShift
        Change of the peak.
    connectivity : ConnectivityChange or None
        Change of connectivity, if there is one.
    center_hz : float
        Centre of the band.

    Returns
    -------
    Judgement
        Direction, reasons, corrected measures.

    Notes
    -----
    *Slow fluctuation* leaves the direction to the interval, which is then wide. *Arousal* and a
    *residual line* that moves the region's log ratio by 0.02 or more make the direction
    undetermined whatever the interval. Each of the three withholds p values. A band of 1 Hz or less
    asks for a line, such as what a flicker evokes: there a line is told and bars nothing.
    """
    arousal = arousal_change(
        *spectra, power.raw.weights, shift, center_hz, dozing=(_dozing(pair, 0), _dozing(pair, 1))
    )
    residual = residual_lines(
        ((pair.before_uv, pair.bad_before), (pair.after_uv, pair.bad_after)),
        pair.sfreq_hz,
        power.band_hz,
        pair.channels,
        power.region,
        (power.pre_uv2, power.post_uv2),
    )
    line_bars = residual.matters and power.band_hz[1] - power.band_hz[0] > LINE_BAND_HZ
    reasons = []
    if power.raw.fluctuation.slow:
        reasons.append(Reason("slow_fluctuation", _slow_text(power)))
    if not pair.identical:
        if arousal.differs:
            reasons.append(Reason("arousal", arousal.text))
        if line_bars:
            reasons.append(Reason("residual_line", residual.text))
    barred = [one for one in reasons if one.code != "slow_fluctuation"]
    if barred:
        told = " and ".join(_SHORT[one.code] for one in barred)
        raw = replace(power.raw, p=None, p_reason=f"no p value: {told}")
        verdict = LINE_VERDICT if line_bars else power.verdict
        power = replace(power, raw=raw, verdict=verdict)
    warnings = [one.text for one in barred]
    if residual.lines and not line_bars:
        warnings.append(residual.text)
    return Judgement(
        power=power,
        direction="undetermined" if barred else power.direction,
        inference=Inference(
            tuple(reasons),
            _family(power, shift, connectivity, reasons),
            arousal,
            residual,
            cluster_change(pair, power, spectra, barred=_declined(barred)),
        ),
        summary=_summary(power, barred[0].text) if barred else None,
        warnings=tuple(warnings),
    )


def prediction_of(expected: str | None, direction: Direction) -> Prediction | None:
    """Label a direction by what the protocol predicts; it has no part in the test.

    Parameters
    ----------
    expected : {"increase", "decrease", "none"} or None
        Prediction.
    direction : {"increase", "decrease", "none", "undetermined"}
        What was found.

    Returns
    -------
    {"as predicted", "opposite", "none"} or None
        "opposite" is a change other than the predicted one, "none" no change where one was
        predicted; None without a prediction or a direction.
    """
    if expected is None or direction == "undetermined":
        return None
    if direction == expected:
        return "as predicted"
    return "none" if direction == "none" else "opposite"


def _dozing(pair: Pair, side: int) -> bool:
    """Whether the quality check of one recording found drowsy spans."""
    return any(one.name == "drowsiness" for one in pair.sources[side].judge().findings)


def _declined(barred: Sequence[Reason]) -> str | None:
    """Reason to decline the cluster test."""
    return f"declined: {' and '.join(_SHORT[one.code] for one in barred)}" if barred else None


def _slow_text(power: PowerChange) -> str:
    """Slow fluctuation in words."""
    found = power.raw.fluctuation
    return (
        f"power fluctuates slowly by itself (probability {found.slow_probability:.2f}, "
        f"autocorrelation time about {found.autocorrelation_time_s:.0f} s): the interval allows "
        f"for drift between the recordings; {NEEDS}, or pairs without stimulation"
    )


def _summary(power: PowerChange, reason: str) -> str:
    """One sentence about a change whose direction is withheld."""
    low, high = (percent_of_ln(value) for value in power.raw.interval_ln)
    change = percent_of_ln(power.raw.ln_ratio)
    return (
        f"{power.band_hz[0]:.1f}-{power.band_hz[1]:.1f} Hz power was {abs(change):.0f} % "
        f"{'higher' if change >= 0.0 else 'lower'} after than before (95 % interval {low:+.0f} to "
        f"{high:+.0f} %), but no change of the rhythm is concluded: {reason}."
    )


def _family(
    power: PowerChange,
    shift: PeakShift,
    connectivity: ConnectivityChange | None,
    reasons: Sequence[Reason],
) -> tuple[Measure, ...]:
    """Every measure with its corrected interval and p, which any reason withholds."""
    found = [
        Measure(PRIMARY, "ln ratio", power.raw.ln_ratio, power.raw.interval_ln),
        Measure("adjusted power", "ln ratio", power.adjusted.ln_ratio, power.adjusted.interval_ln),
    ]
    for name, metric in {} if connectivity is None else connectivity.metrics.items():
        found.append(Measure(str(name), "1", metric.matched_change, metric.ci95_matched_change))
    found.append(Measure("peak shift", "Hz", shift.shift_hz, shift.ci95_hz))
    return correct(found, withheld=bool(reasons))
