"""The one set of predicates: called when planning, when arming and on every command.

Every predicate lists all breaches; nothing is clipped. Comparisons are written so that NaN fails.
Formulas (SI inside, all for a zero-to-peak sine): total injected current ``½·Σ|i|``; density
``I/A``; rectified charge ``(2/π)·I·T``.

Here is what a protocol and a command are held against by themselves. What a device cannot do is in
:mod:`tacs.safety_device`, what speaks against it for a person in :mod:`tacs.safety_person`, what an
operator must know in :mod:`tacs.cautions`; all of it is imported from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tacs.breach import Breach, Margin, broken, margin_of
from tacs.cautions import cautions
from tacs.history import DoseHistory, PastSession
from tacs.limits import EffectiveLimits
from tacs.protocol import Protocol
from tacs.safety_device import device_breaches
from tacs.safety_person import person_breaches, standing_breaches, waits_s
from tacs.waveform import Waveform

__all__ = [
    "Breach",
    "DoseHistory",
    "Margin",
    "PastSession",
    "cautions",
    "command_breaches",
    "device_breaches",
    "margins",
    "person_breaches",
    "protocol_breaches",
    "standing_breaches",
    "waits_s",
]


def _current_margins(
    limits: EffectiveLimits, peaks_ma: Mapping[str, float], areas_cm2: Mapping[str, float]
) -> list[Margin]:
    """Peak, density and total of the worst-case electrode currents."""
    found = []
    for name, peak_ma in peaks_ma.items():
        found.append(margin_of(limits, "electrode_current_peak_ma", peak_ma, name))
        # mA/cm² to A/m²; over an area that nobody stated it is no number, and breaks the limit.
        density = 10.0 * peak_ma / areas_cm2.get(name, math.nan)
        found.append(margin_of(limits, "current_density_peak_a_m2", density, name))
    total_ma = 0.5 * sum(peaks_ma.values())
    found.append(margin_of(limits, "total_injected_current_peak_ma", total_ma, "montage"))
    return found


def _frequency_margins(limits: EffectiveLimits, frequency_hz: float) -> list[Margin]:
    return [
        margin_of(limits, "frequency_lowest_hz", frequency_hz, "frequency"),
        margin_of(limits, "frequency_highest_hz", frequency_hz, "frequency"),
    ]


def command_breaches(
    limits: EffectiveLimits,
    *,
    peaks_ma: Mapping[str, float] | None = None,
    areas_cm2: Mapping[str, float] | None = None,
    frequency_hz: float | None = None,
    slews_ma_per_s: Mapping[str, float] | None = None,
    edge_slews_ma_per_s: Mapping[str, float] | None = None,
    retune_hz: float | None = None,
    lease_s: float | None = None,
) -> list[Breach]:
    """Check one command: only what it sets is looked at.

    Parameters
    ----------
    limits : EffectiveLimits
        In force.
    peaks_ma, areas_cm2 : mapping of str to float, optional
        Worst-case peak at each electrode, and contact areas; a peak without its area is a breach.
    frequency_hz : float, optional
        Frequency.
    slews_ma_per_s : mapping of str to float, optional
        Rise of the envelope at each electrode.
    edge_slews_ma_per_s : mapping of str to float, optional
        The same in a train, up to a level that was tolerated.
    retune_hz : float, optional
        Size of a change of the frequency.
    lease_s : float, optional
        Time after which current ends by itself.

    Returns
    -------
    list of Breach
        Empty where every limit is respected.
    """
    found: list[Margin] = []
    if peaks_ma is not None:
        found += _current_margins(limits, peaks_ma, areas_cm2 or {})
    if frequency_hz is not None:
        found += _frequency_margins(limits, frequency_hz)
    for name, slew in (slews_ma_per_s or {}).items():
        # A host that ticks late makes up for it in one step: allow a hundredth of the limit.
        found.append(margin_of(limits, "envelope_slew_ma_per_s", slew / 1.01, name))
    for name, slew in (edge_slews_ma_per_s or {}).items():
        found.append(margin_of(limits, "train_envelope_slew_ma_per_s", slew / 1.01, name))
    if retune_hz is not None:
        found.append(margin_of(limits, "retune_step_hz", retune_hz, "frequency"))
    if lease_s is not None:
        found.append(margin_of(limits, "lease_ttl_s", lease_s, "lease"))
    return broken(found)


def margins(protocol: Protocol, limits: EffectiveLimits) -> list[Margin]:
    """Hold a protocol against every limit that it can be held against by itself.

    Parameters
    ----------
    protocol : Protocol
        The prescription; a sham is held to the same limits as the current it states.
    limits : EffectiveLimits
        In force.

    Returns
    -------
    list of Margin
        In the order of the table, one per limit and electrode.
    """
    waveform = Waveform(protocol)
    montage = protocol.montage
    peaks_ma = {e.name: montage.current_peak_ma(e.name) for e in montage.electrodes}
    areas_cm2 = {e.name: e.area_cm2 for e in montage.electrodes}
    found = _current_margins(limits, peaks_ma, areas_cm2)
    found += [
        margin_of(limits, "electrode_area_cm2", area, name) for name, area in areas_cm2.items()
    ]
    found += _frequency_margins(limits, protocol.frequency_hz)
    if protocol.carrier_hz is not None:
        found.append(margin_of(limits, "frequency_highest_hz", protocol.carrier_hz, "carrier"))
    found += [
        margin_of(limits, "ramp_up_shortest_s", protocol.ramp_up_s, "ramp_up_s"),
        margin_of(limits, "ramp_up_longest_s", protocol.ramp_up_s, "ramp_up_s"),
        margin_of(limits, "ramp_down_shortest_s", protocol.ramp_down_s, "ramp_down_s"),
    ]
    for name, peak_ma in peaks_ma.items():
        slew = peak_ma / protocol.ramp_up_s
        found.append(margin_of(limits, "envelope_slew_ma_per_s", slew, name))
    found += _train_margins(protocol, limits, peaks_ma)
    if protocol.retune is not None:
        for edge_hz in (-protocol.retune.within_hz, protocol.retune.within_hz):
            found += _frequency_margins(limits, protocol.frequency_hz + edge_hz)
    found.append(
        margin_of(limits, "session_duration_min", protocol.duration_s / 60.0, "duration_s")
    )
    for name in peaks_ma:
        charge_c = waveform.rectified_charge_c(name)
        found.append(margin_of(limits, "rectified_charge_session_c", charge_c, name))
    return found


def _train_margins(
    protocol: Protocol, limits: EffectiveLimits, peaks_ma: Mapping[str, float]
) -> list[Margin]:
    """Edges, run-in, gaps and frequencies of trains."""
    trains = protocol.trains
    if trains is None:
        return []
    found = [
        margin_of(limits, "train_edge_s", trains.edge_s, "trains.edge_s"),
        margin_of(limits, "train_tolerated_s", trains.settle_s, "trains.settle_s"),
        margin_of(limits, "train_duty_cycle", trains.duty_cycle, "trains.on_s, trains.off_s"),
    ]
    for name, peak_ma in peaks_ma.items():
        slew = peak_ma / trains.edge_s
        found.append(margin_of(limits, "train_envelope_slew_ma_per_s", slew, name))
    for step in trains.steps:
        found += _frequency_margins(limits, step.frequency_hz)
    return found


def protocol_breaches(protocol: Protocol, limits: EffectiveLimits) -> list[Breach]:
    """List every limit that a protocol breaks by itself."""
    return broken(margins(protocol, limits))
