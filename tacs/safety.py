"""The one set of predicates: called when planning, when arming and on every command.

Every predicate lists all breaches; nothing is clipped. Comparisons are written so that NaN fails.
Formulas (SI inside, all for a zero-to-peak sine): total injected current ``½·Σ|i|``; density
``I/A``; rectified charge ``(2/π)·I·T``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from tacs.capabilities import Capabilities
from tacs.history import DAY_S, DoseHistory, PastSession
from tacs.limits import (
    CURRENT_DENSITY_CAUTION_A_M2,
    LIMITS,
    PHOSPHENE_BAND_HZ,
    EffectiveLimits,
)
from tacs.protocol import Protocol
from tacs.rig import Rig
from tacs.waveform import Waveform
from tacs.wiring import wire

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


_TABLES = {"loops": "[[channels]], one per loop", "electrodes": "[[outputs]], one per electrode"}
CLOCKS_DIFFER_D = 5.0 / 1440.0  # two computers' clocks may differ by minutes
COURSE_S = 90.0 * DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One limit that was broken.

    Parameters
    ----------
    limit : str
        Name of the limit.
    value, allowed : float or str
        What was asked for and what is allowed.
    unit, source : str
        Of the limit.
    where : str
        Electrode, loop or field.
    """

    limit: str
    value: float | str
    allowed: float | str
    unit: str
    source: str
    where: str = ""

    def __str__(self) -> str:
        value, allowed = (
            f"{v:.4g}" if isinstance(v, float) else str(v) for v in (self.value, self.allowed)
        )
        if value == allowed:
            value, allowed = repr(self.value), repr(self.allowed)
        bound = ""
        if self.limit in LIMITS:
            bound = "at most " if LIMITS[self.limit].sense == "max" else "at least "
        where = f" ({self.where})" if self.where else ""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.limit}{where}: {value}{unit}, allowed {bound}{allowed}{unit} [{self.source}]"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "limit": self.limit,
            "value": _json_number(self.value),
            "allowed": _json_number(self.allowed),
            "unit": self.unit,
            "source": self.source,
            "where": self.where,
            "message": str(self),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """One limit of a protocol with the value against it, whether broken or not."""

    limit: str
    value: float
    allowed: float
    unit: str
    source: str
    where: str

    @property
    def ok(self) -> bool:
        """Whether the limit is respected; NaN is not."""
        return LIMITS[self.limit].allows(self.value, self.allowed)

    @property
    def used(self) -> float:
        """Share of the limit that is used, 0 to 1 where respected."""
        sense = LIMITS[self.limit].sense
        top, bottom = (self.value, self.allowed) if sense == "max" else (self.allowed, self.value)
        return top / bottom if bottom else (0.0 if not top else math.inf)


def _json_number(value: float | str) -> float | str:
    return value if isinstance(value, str) or math.isfinite(value) else str(value)


def _margin(limits: EffectiveLimits, name: str, value: float, where: str) -> Margin:
    return Margin(
        limit=name,
        value=value,
        allowed=limits[name],
        unit=LIMITS[name].unit,
        source=limits.source(name),
        where=where,
    )


def _broken(all_margins: list[Margin]) -> list[Breach]:
    return [
        Breach(
            limit=m.limit,
            value=m.value,
            allowed=m.allowed,
            unit=m.unit,
            source=m.source,
            where=m.where,
        )
        for m in all_margins
        if not m.ok
    ]


def _current_margins(
    limits: EffectiveLimits, peaks_ma: Mapping[str, float], areas_cm2: Mapping[str, float]
) -> list[Margin]:
    """Peak, density and total of the worst-case electrode currents."""
    found = []
    for name, peak_ma in peaks_ma.items():
        found.append(_margin(limits, "electrode_current_peak_ma", peak_ma, name))
        # mA/cm² to A/m²; over an area that nobody stated it is no number, and breaks the limit.
        density = 10.0 * peak_ma / areas_cm2.get(name, math.nan)
        found.append(_margin(limits, "current_density_peak_a_m2", density, name))
    total_ma = 0.5 * sum(peaks_ma.values())
    found.append(_margin(limits, "total_injected_current_peak_ma", total_ma, "montage"))
    return found


def _frequency_margins(limits: EffectiveLimits, frequency_hz: float) -> list[Margin]:
    return [
        _margin(limits, "frequency_lowest_hz", frequency_hz, "frequency"),
        _margin(limits, "frequency_highest_hz", frequency_hz, "frequency"),
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
        found.append(_margin(limits, "envelope_slew_ma_per_s", slew / 1.01, name))
    for name, slew in (edge_slews_ma_per_s or {}).items():
        found.append(_margin(limits, "train_envelope_slew_ma_per_s", slew / 1.01, name))
    if retune_hz is not None:
        found.append(_margin(limits, "retune_step_hz", retune_hz, "frequency"))
    if lease_s is not None:
        found.append(_margin(limits, "lease_ttl_s", lease_s, "lease"))
    return _broken(found)


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
    found += [_margin(limits, "electrode_area_cm2", area, name) for name, area in areas_cm2.items()]
    found += _frequency_margins(limits, protocol.frequency_hz)
    if protocol.carrier_hz is not None:
        found.append(_margin(limits, "frequency_highest_hz", protocol.carrier_hz, "carrier"))
    found += [
        _margin(limits, "ramp_up_shortest_s", protocol.ramp_up_s, "ramp_up_s"),
        _margin(limits, "ramp_up_longest_s", protocol.ramp_up_s, "ramp_up_s"),
        _margin(limits, "ramp_down_shortest_s", protocol.ramp_down_s, "ramp_down_s"),
    ]
    for name, peak_ma in peaks_ma.items():
        slew = peak_ma / protocol.ramp_up_s
        found.append(_margin(limits, "envelope_slew_ma_per_s", slew, name))
    found += _train_margins(protocol, limits, peaks_ma)
    if protocol.retune is not None:
        for edge_hz in (-protocol.retune.within_hz, protocol.retune.within_hz):
            found += _frequency_margins(limits, protocol.frequency_hz + edge_hz)
    found.append(_margin(limits, "session_duration_min", protocol.duration_s / 60.0, "duration_s"))
    for name in peaks_ma:
        charge_c = waveform.rectified_charge_c(name)
        found.append(_margin(limits, "rectified_charge_session_c", charge_c, name))
    return found


def _train_margins(
    protocol: Protocol, limits: EffectiveLimits, peaks_ma: Mapping[str, float]
) -> list[Margin]:
    """Edges, run-in, gaps and frequencies of trains."""
    trains = protocol.trains
    if trains is None:
        return []
    found = [
        _margin(limits, "train_edge_s", trains.edge_s, "trains.edge_s"),
        _margin(limits, "train_tolerated_s", trains.settle_s, "trains.settle_s"),
        _margin(limits, "train_duty_cycle", trains.duty_cycle, "trains.on_s, trains.off_s"),
    ]
    for name, peak_ma in peaks_ma.items():
        slew = peak_ma / trains.edge_s
        found.append(_margin(limits, "train_envelope_slew_ma_per_s", slew, name))
    for step in trains.steps:
        found += _frequency_margins(limits, step.frequency_hz)
    return found


def protocol_breaches(protocol: Protocol, limits: EffectiveLimits) -> list[Breach]:
    """List every limit that a protocol breaks by itself."""
    return _broken(margins(protocol, limits))


def device_breaches(
    protocol: Protocol,
    capabilities: Capabilities,
    rig: Rig | None,
    limits: EffectiveLimits,
    *,
    today: date,
    emulated: bool,
) -> list[Breach]:
    """List what a device and its rig cannot do of a protocol.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    capabilities : Capabilities
        Declared by the driver.
    rig : Rig or None
        What is wired to what; a voltage source cannot do without.
    limits : EffectiveLimits
        In force.
    today : date
        For the calibration's expiry.
    emulated : bool
        Whether the device is an emulated one; an emulated rig on a real device is refused.

    Returns
    -------
    list of Breach
    """
    name = capabilities.name
    declared = f"declared by the driver {name}"
    breaches: list[Breach] = []

    def refuse(limit: str, value: float | str, allowed: float | str, unit: str, where: str) -> None:
        breaches.append(
            Breach(
                limit=limit, value=value, allowed=allowed, unit=unit, source=declared, where=where
            )
        )

    waveform = "tacs" if protocol.carrier_hz is None else "am_tacs"
    if waveform not in capabilities.waveforms:
        playable = ", ".join(capabilities.waveforms)
        refuse("device_waveform", waveform, playable, "", f"{name} cannot play it")
    retuned_hz = _retuned_hz(protocol)
    carriers_hz = () if protocol.carrier_hz is None else (protocol.carrier_hz,)
    for played_hz in (protocol.frequency_hz, *carriers_hz, *retuned_hz):
        if not played_hz >= capabilities.frequency_min_hz:
            refuse("device_frequency_min_hz", played_hz, capabilities.frequency_min_hz, "Hz", name)
        if not played_hz <= capabilities.frequency_max_hz:
            refuse("device_frequency_max_hz", played_hz, capabilities.frequency_max_hz, "Hz", name)
    error_hz = max(
        abs(capabilities.achieved_frequency_hz(wanted_hz) - wanted_hz)
        for wanted_hz in (protocol.frequency_hz, *retuned_hz)
    )
    if retuned_hz and capabilities.frequency_change == "stop_first":
        what = "trains.steps" if protocol.retune is None else "retune"
        refuse("device_frequency_change", "stop_first", "phase_continuous", "",
               f"{what}: {name} cannot change its frequency in a session")  # fmt: skip
    if protocol.trains is not None and capabilities.no_trains:
        refuse("device_trains", "trains", "no trains", "", f"{name}: {capabilities.no_trains}")
    elif protocol.trains is not None and not (
        protocol.trains.edge_s >= capabilities.train_edge_min_s
    ):
        refuse("device_train_edge_s", protocol.trains.edge_s, capabilities.train_edge_min_s, "s",
               f"{name} cannot follow a steeper edge")  # fmt: skip
    if not protocol.duration_s <= capabilities.play_duration_max_s:
        refuse(
            "device_duration_s", protocol.duration_s, capabilities.play_duration_max_s, "s", name
        )
    if not math.isfinite(capabilities.host_loss_worst_case_s):
        refuse("host_loss", "current that would not end", "current that ends by itself", "s",
               f"{capabilities.on_host_loss}; --override host_loss=REASON is recorded")  # fmt: skip
    found = [
        _margin(limits, "frequency_error_hz", error_hz, name),
        _margin(limits, "soft_stop_s", capabilities.soft_stop_s, name),
        _margin(limits, "emergency_stop_s", capabilities.emergency_stop_s, name),
    ]
    if rig is None:
        what = "a voltage source" if capabilities.output == "voltage" else "a current source"
        refuse("rig", "no rig file", "a rig file", "", f"{name} is {what}; what is wired to it?")
        return breaches + _broken(found)
    if rig.device != name:
        refuse("rig", rig.device, name, "", f"rig {rig.name!r} is for another device")
    if rig.emulated and not emulated:
        refuse("rig", "emulated", "a calibrated rig", "", f"rig {rig.name!r} on a real device")
    wiring = wire(protocol.montage, rig)
    for problem in wiring.problems:
        refuse("wiring", problem, "one isolated channel per loop", "", "montage")
    kind = "electrodes" if rig.outputs else "loops"
    if kind != capabilities.wiring:
        refuse("wiring", kind, capabilities.wiring, "",
               f"rig {rig.name!r}: {name} needs {_TABLES[capabilities.wiring]}")  # fmt: skip
    wired_to = [*(c.channel for c in rig.channels), *(o.channel for o in rig.outputs)]
    for missing in [number for number in wired_to if number > capabilities.n_channels]:
        refuse("channel", float(missing), float(capabilities.n_channels), "", f"rig {rig.name!r}")
    if capabilities.phase_step_deg is None and wiring.channels and not wiring.phases_agree:
        refuse(
            "phase_deg",
            ", ".join(f"{w.name} {w.phase_deg:g}°" for w in wiring.channels),
            "one phase on all channels",
            "",
            f"{name} has no phase setting; for opposite phase swap the two leads in the rig",
        )
    if rig.monitor is not None and protocol.carrier_hz is not None:
        refuse("monitor", "am_tacs", "tacs", "",
               "what the rig's monitor measures is judged as a sine")  # fmt: skip
    if rig.monitor is not None and not today <= rig.monitor.calibration.expires_on:
        breaches.append(
            Breach(
                limit="calibration_expiry",
                value=today.isoformat(),
                allowed=rig.monitor.calibration.expires_on.isoformat(),
                unit="",
                source=f"rig {rig.name}",
                where="monitor; have the current monitor calibrated again",
            )
        )
    for wired in wiring.channels:
        channel, at, current_ma = wired.wired, wired.name, wired.current_peak_ma
        source = f"rig {rig.name}"
        bounds = [("rig_current_max_ma", current_ma, wired.current_max_ma, "mA")]
        if capabilities.output == "voltage":
            volts, input_max_v = wired.amplitude_v, wired.input_max_v
            if volts is None or input_max_v is None:
                refuse("rig", "a channel without gain_ma_per_v or input_max_v", "both", "",
                       f"rig {rig.name!r}, channel {wired.channel}; tacs calibrate measures the "
                       f"gain")  # fmt: skip
                continue
            bounds += [
                ("rig_input_max_v", volts, input_max_v, "V"),
                ("device_amplitude_v", volts, capabilities.amplitude_max_v, "V"),
            ]
        for limit, value, allowed, unit in bounds:
            if not value <= allowed:
                breaches.append(
                    Breach(
                        limit=limit,
                        value=value,
                        allowed=allowed,
                        unit=unit,
                        source=source,
                        where=at,
                    )
                )
        if not today <= channel.calibration.expires_on:
            breaches.append(
                Breach(
                    limit="calibration_expiry",
                    value=today.isoformat(),
                    allowed=channel.calibration.expires_on.isoformat(),
                    unit="",
                    source=source,
                    where=f"channel {channel.channel}; calibrate the gain again",
                )
            )
        # Every contact at the highest impedance that a session may start with.
        loop_kohm = len(wired.electrodes) * limits["impedance_start_kohm"]
        use = current_ma * loop_kohm / wired.compliance_v
        found.append(_margin(limits, "compliance_use", use, at))
    return breaches + _broken(found)


def _retuned_hz(protocol: Protocol) -> tuple[float, ...]:
    """Frequencies that a session may change to: of every step, or the ends of a stated range."""
    if protocol.retune is not None:
        within_hz = protocol.retune.within_hz
        return (protocol.frequency_hz - within_hz, protocol.frequency_hz + within_hz)
    return () if protocol.trains is None else tuple(s.frequency_hz for s in protocol.trains.steps)


def person_breaches(
    protocol: Protocol,
    limits: EffectiveLimits,
    *,
    subject: str | None,
    history: DoseHistory,
    now: datetime,
    accelerated: bool = False,
) -> list[Breach]:
    """List what speaks against this protocol for this person now.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    limits : EffectiveLimits
        In force.
    subject : str or None
        The participant; None leaves out what needs one.
    history : DoseHistory
        From the site's ledger.
    now : datetime
        Time zone aware.
    accelerated : bool
        Whether the participant's course is an accelerated one: two sessions a day where the site's
        limits allow them.

    Returns
    -------
    list of Breach

    Notes
    -----
    Without the flag a session of the day before does not count for today once the whole interval
    has passed since, though it may have begun less than 24 h ago: appointments at nine and at half
    past eight the next morning are one a day. With it, 24 h are 24 h.
    """
    breaches: list[Breach] = []
    found: list[Margin] = []
    individual = protocol.individual
    if individual is not None:
        if subject is not None and individual.subject != subject:
            breaches.append(
                Breach(
                    limit="peak_subject",
                    value=individual.subject or "a person not named in the peak",
                    allowed=subject,
                    unit="",
                    source="a peak belongs to a person",
                    where="individual.subject; estimate the peak of this participant "
                    "(tacs peak --subject)",
                )
            )
        age_d = (now - datetime.fromisoformat(individual.measured_at)).total_seconds() / 86400.0
        found.append(_margin(limits, "peak_age_d", age_d, "individual.measured_at"))
        if not age_d >= -CLOCKS_DIFFER_D:
            breaches.append(
                Breach(
                    limit="peak_measured_at",
                    value=individual.measured_at,
                    allowed=f"not after {now.isoformat(timespec='seconds')}",
                    unit="",
                    source="a peak from the future would never expire",
                    where="individual.measured_at; set the clocks right",
                )
            )
    if subject is not None:
        waveform = Waveform(protocol)
        on_min = history.current_on_24h_min + protocol.current_on_s / 60.0
        found.append(_margin(limits, "daily_duration_min", on_min, f"subject {subject}"))
        before = history.rectified_charge_24h_c or {}
        for electrode in waveform.electrodes:
            charge_c = before.get(electrode, 0.0) + waveform.rectified_charge_c(electrode)
            where = f"subject {subject}, {electrode}"
            found.append(_margin(limits, "rectified_charge_day_c", charge_c, where))
        found += _spacing_margins(limits, history, now, subject, accelerated=accelerated)
        count = float(history.sessions_90d + 1)
        found.append(_margin(limits, "sessions_per_course", count, f"subject {subject}"))
        breaches += standing_breaches(subject, history, limits, now, accelerated=accelerated)
    return breaches + _broken(found)


def _spacing_margins(
    limits: EffectiveLimits,
    history: DoseHistory,
    now: datetime,
    subject: str,
    *,
    accelerated: bool,
) -> list[Margin]:
    """Interval since the last session, and sessions of the day."""
    interval = _interval_limit(accelerated)
    gap_s, today, last = history.gap_s(now), history.sessions_24h, history.last_session_end
    found = []
    if last is not None:
        where = f"subject {subject}, last session ended {last:%Y-%m-%d %H:%M %Z}"
        if (now - last).total_seconds() - gap_s > CLOCKS_DIFFER_D * DAY_S:
            where += "; the wall clock went forward by more than the time that has passed since"
        found.append(_margin(limits, interval, gap_s / 3600.0, where))
    # Not accelerated, the last session is a matter of the interval alone.
    if accelerated or today > 1 or not limits["sessions_per_day"] >= 1.0:
        where = f"subject {subject}, {today} began in the last 24 h"
        if accelerated and limits["sessions_per_day"] < 2.0:
            where += "; two a day need sessions_per_day = 2 in the site file"
        allowed = limits if accelerated else _one_a_day(limits)
        found.append(_margin(allowed, "sessions_per_day", today + 1.0, where))
    return found


def _interval_limit(accelerated: bool) -> str:
    return "accelerated_interval_h" if accelerated else "inter_session_interval_h"


def _one_a_day(limits: EffectiveLimits) -> EffectiveLimits:
    """The limits without what the site allows accelerated courses only."""
    daily = LIMITS["sessions_per_day"].stricter(limits["sessions_per_day"], 1.0)
    return EffectiveLimits({**limits, "sessions_per_day": daily}, limits.set_by)


def standing_breaches(
    subject: str,
    history: DoseHistory,
    limits: EffectiveLimits,
    now: datetime,
    *,
    accelerated: bool = False,
) -> list[Breach]:
    """List what somebody has to look at: open, unknown, lost entries, copies, a clock set back.

    Parameters
    ----------
    subject : str
        The participant.
    history : DoseHistory
        From the site's ledger.
    limits : EffectiveLimits
        In force.
    now : datetime
        Time zone aware.
    accelerated : bool
        See :func:`person_breaches`.
    """
    breaches = []

    def refuse(limit: str, value: str, allowed: str, source: str, cure: str) -> None:
        breaches.append(
            Breach(
                limit=limit,
                value=value,
                allowed=allowed,
                unit="",
                source=source,
                where=f"subject {subject}; {cure}",
            )
        )

    for session in history.open_sessions:
        refuse(
            "open_session",
            session,
            "none",
            "the dose of an interrupted session is unknown until it is closed",
            "run `tacs recover` on its data set",
        )
    for session in history.unknown_sessions:
        refuse(
            "unknown_session",
            session,
            "none",
            "the data set holds a session of this subject which this site's ledger does not know",
            "book it with `tacs ledger adopt` on the data set",
        )
    for conflict in history.conflicts:
        refuse(
            "ledger_conflict",
            conflict,
            "none",
            "two computers that write their own copies of a ledger do not see each other's doses",
            "book what is missing with `tacs ledger adopt` on the other copy",
        )
    doubt_s, wait_h = history.since_doubt_s, max(24.0, limits[_interval_limit(accelerated)])
    if doubt_s is not None and not doubt_s >= wait_h * 3600.0:
        left_s = wait_h * 3600.0 - (doubt_s if math.isfinite(doubt_s) else 0.0)
        until = now + timedelta(seconds=left_s + 59.0)  # the minute that is told has passed by then
        refuse(
            "ledger_renewed",
            f"{doubt_s / 3600.0:.1f} h",
            f"at least {wait_h:g} h since a lost entry of the ledger may have been made",
            "it may have been this participant's, who must not get a second dose by it",
            f"wait until {until:%Y-%m-%d %H:%M %Z}",
        )
    latest = history.latest_entry
    if latest is not None and not (now - latest).total_seconds() >= -CLOCKS_DIFFER_D * DAY_S:
        refuse(
            "clock_backwards",
            now.isoformat(timespec="seconds"),
            f"not before the ledger's latest entry, {latest.isoformat(timespec='seconds')}",
            "a clock that is set back must not open a new day",
            "set the computer's clock right; where it is right and was wrong before, "
            "run `tacs ledger clock`",
        )
    return breaches


def waits_s(
    limits: EffectiveLimits,
    history: DoseHistory,
    now: datetime,
    *,
    accelerated: bool = False,
    protocol: Protocol | None = None,
) -> dict[str, float]:
    """Return how long a participant has still to wait, by limit.

    Parameters
    ----------
    limits : EffectiveLimits
        In force.
    history : DoseHistory
        From the site's ledger, at ``now``.
    now : datetime
        Time zone aware.
    accelerated : bool
        See :func:`person_breaches`.
    protocol : Protocol, optional
        With one, the time and the charge of the day are looked at too.

    Returns
    -------
    dict of str to float
        Seconds by name of limit, those above 0 only; infinity where no waiting helps, or none is
        known to. After the longest of them :func:`person_breaches` finds none of these limits
        broken.
    """
    interval = _interval_limit(accelerated)
    counting = [s for s in history.sessions if s.counts]
    daily = limits["sessions_per_day"] - 1.0
    if not accelerated and daily >= 0.0:
        daily = 1.0  # the last session, which the interval is for
    found = {
        interval: limits[interval] * 3600.0 - history.gap_s(now),
        "sessions_per_day": _until_room([(s.since_start_s, 1.0) for s in counting], daily, DAY_S),
        "sessions_per_course": _until_room(
            [(s.since_end_s, 1.0) for s in counting], limits["sessions_per_course"] - 1.0, COURSE_S
        ),
    }
    if protocol is not None:
        room_min = limits["daily_duration_min"] - protocol.current_on_s / 60.0
        found["daily_duration_min"] = _until_room(
            [(s.since_end_s, s.current_on_s / 60.0) for s in history.sessions], room_min, DAY_S
        )
        waveform = Waveform(protocol)
        found["rectified_charge_day_c"] = max(
            _until_room(
                [(s.since_end_s, s.rectified_charge_c.get(name, 0.0)) for s in history.sessions],
                limits["rectified_charge_day_c"] - waveform.rectified_charge_c(name),
                DAY_S,
            )
            for name in waveform.electrodes
        )
    # Up to the next whole second, so that rounding cannot leave a hair of it.
    return {
        name: float(math.ceil(wait)) if math.isfinite(wait) else math.inf
        for name, wait in found.items()
        if not wait <= 0.0
    }


def _until_room(items: Iterable[tuple[float, float]], room: float, window_s: float) -> float:
    """Seconds until what is younger than the window adds up to no more than the room.

    ``items`` are (age in seconds, amount).
    """
    if not room >= 0.0:
        return math.inf
    # Nobody can tell when an age that is no number will have passed.
    aged = ((-math.inf if math.isnan(age_s) else age_s, amount) for age_s, amount in items)
    oldest_first = sorted((item for item in aged if item[0] < window_s), reverse=True)
    wait_s = 0.0
    for leaving, (age_s, _) in enumerate(oldest_first):
        if math.fsum(amount for _, amount in oldest_first[leaving:]) <= room:
            break
        wait_s = window_s - age_s
    return wait_s


def _phosphenes_hz(protocol: Protocol) -> list[float]:
    """Frequencies of a session in the band of phosphenes; of a range, the one that it may reach."""
    low_hz, high_hz = PHOSPHENE_BAND_HZ
    played_hz = [protocol.frequency_hz]
    if protocol.retune is None:
        played_hz += _retuned_hz(protocol)
    elif not low_hz <= protocol.frequency_hz <= high_hz:
        lowest_hz, highest_hz = _retuned_hz(protocol)
        played_hz.append(min(max(low_hz, lowest_hz), highest_hz))
    return sorted({hz for hz in played_hz if low_hz <= hz <= high_hz})


def cautions(
    protocol: Protocol, capabilities: Capabilities | None = None, rig: Rig | None = None
) -> list[str]:
    """List what an operator must know before arming, short of a refusal."""
    found = []
    frontal = [e.name for e in protocol.montage.electrodes if e.name.startswith(("Fp", "AF", "F"))]
    seen_hz = _phosphenes_hz(protocol)
    if seen_hz and frontal and not protocol.is_sham:
        found.append(
            f"phosphenes are likely at {', '.join(f'{hz:g}' for hz in seen_hz)} Hz with frontal "
            f"electrodes "
            f"({', '.join(frontal)}): warn the participant (Evans et al. 2019)"
        )
    for electrode in protocol.montage.electrodes:
        density = 10.0 * protocol.montage.current_peak_ma(electrode.name) / electrode.area_cm2
        if density > CURRENT_DENSITY_CAUTION_A_M2:
            found.append(
                f"{electrode.name}: {density:.1f} A/m² is above the typical clinical level of "
                f"{CURRENT_DENSITY_CAUTION_A_M2:g} A/m²"
            )
    if protocol.trains is not None and not protocol.is_sham:
        trains = protocol.trains
        found.append(
            f"{protocol.n_trains} trains of {trains.on_s:g} s"
            + (" at most, each on request" if trains.start == "request" else "")
            + f", at least {trains.off_s:g} s apart: each rises within {trains.edge_s:g} s, once "
            f"the full current was held for {trains.settle_s:g} s"
        )
    if protocol.fallback_note:
        what = "individualized" if protocol.individual is None else "at the individual peak"
        found.append(f"not {what}: {protocol.fallback_note}")
    if capabilities is not None:
        if not capabilities.verified:
            found.append(f"the driver {capabilities.name} has not been verified on hardware")
        longest_s = capabilities.after_host_loss_s(protocol.duration_s)
        bound = f"at most {longest_s:g} s" if math.isfinite(longest_s) else "WITHOUT END"
        found.append(f"if this computer dies: {capabilities.on_host_loss} ({bound})")
        if not capabilities.machine_verified:
            found.append(
                f"{capabilities.name}: a person sets, starts and stops the device; nothing that it "
                f"does is verified by a machine"
            )
        if not capabilities.level_control:
            found.append(
                f"{capabilities.name} runs the whole envelope by itself: there is no pause, and a "
                f"stop is "
                + (f"a ramp of {capabilities.soft_stop_s:g} s" if capabilities.soft_stop
                   else "a step to zero")
            )  # fmt: skip
        monitored = rig is not None and rig.monitor is not None
        missed = capabilities.not_detectable_monitored if monitored else capabilities.not_detectable
        if missed:
            found.append(f"not detectable on this rig: {'; '.join(missed)}")
    return found
