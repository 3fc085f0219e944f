"""The limits table: default, hard ceiling, unit and source of each, and how limits compose.

The effective limit is the strictest of those that apply: the least of the maxima, the greatest of
the minima. Without a site file the defaults hold. A site file moves a value towards its hard
ceiling, never past it; a participant file may only tighten; a device's own limit counts too. The
ceilings change only with a release, and a test holds each literal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from tacs.errors import FileProblems
from tacs.files import StrictModel

__all__ = ["LIMITS", "EffectiveLimits", "Limit", "ParticipantFile", "SiteFile", "effective_limits"]

ANTAL_2026 = "Antal et al. 2026, Clin Neurophysiol 184:2111436"
ANTAL_2017 = "Antal et al. 2017, doi 10.1016/j.clinph.2017.06.001"
BIKSON_2016 = "Bikson et al. 2016, PMC5007190"
BIKSON_2019 = "Bikson et al. 2019, PMC6851475 Table 2"
JACKSON_2017 = "Jackson et al. 2017, PMC5969807"
STARSTIM = "Starstim programming interface"
SUITE = "tacs-suite, engineering judgement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One row of the table.

    Parameters
    ----------
    name : str
        Ends in the unit where there is one.
    sense : {"max", "min"}
        Whether values must not exceed it or must reach it.
    default, ceiling : float
        Day-one value, and the value that no file can go past.
    unit, source, meaning : str
        For the breach, the report and ``tacs limits``.
    """

    name: str
    sense: Literal["max", "min"]
    default: float
    ceiling: float
    unit: str
    source: str
    meaning: str

    def allows(self, value: float, limit: float) -> bool:
        """Whether a value respects a limit of this sense; NaN never does."""
        return value <= limit if self.sense == "max" else value >= limit

    def stricter(self, a: float, b: float) -> float:
        """Return the stricter of two limits; NaN is refused by whoever builds limits."""
        return min(a, b) if self.sense == "max" else max(a, b)


def _table(*rows: tuple[str, str, float, float, str, str, str]) -> dict[str, Limit]:
    """Rows as name, sense, default, ceiling, unit, meaning, source."""
    table = {}
    for name, sense, default, ceiling, unit, meaning, source in rows:
        table[name] = Limit(
            name=name,
            sense="max" if sense == "max" else "min",
            default=default,
            ceiling=ceiling,
            unit=unit,
            source=source,
            meaning=meaning,
        )
    return table


# fmt: off
LIMITS: Mapping[str, Limit] = _table(
    # current
    ("electrode_current_peak_ma", "max", 1.0, 2.0, "mA", "worst-case peak at an electrode", f"{STARSTIM}: 2000 µA per channel"),
    ("total_injected_current_peak_ma", "max", 2.0, 4.0, "mA", "half of the sum over electrodes", f"{ANTAL_2026}: up to 4 mA"),
    ("current_balance_residual_ma", "max", 0.01, 0.05, "mA", "sum over electrodes at any instant", f"Kirchhoff's law; {SUITE}"),
    ("commanded_dc_offset_ma", "max", 0.0, 0.0, "mA", "mean commanded current", f"{BIKSON_2019}: no DC bias"),
    ("measured_dc_offset_ma", "max", 0.05, 0.1, "mA", "one-second mean that stops a session", f"IEC 60601-1 auxiliary current; {SUITE}"),
    ("current_density_peak_a_m2", "max", 6.5, 10.0, "A/m²", "peak current over contact area", f"half of the 20 A/m² of {JACKSON_2017} and IEC 60601-2-10"),
    ("electrode_area_cm2", "min", 3.14, 1.0, "cm²", "contact area", f"small gel electrode; {SUITE}"),
    # waveform
    ("frequency_lowest_hz", "min", 0.5, 0.1, "Hz", "slower is nearly direct current", SUITE),
    ("frequency_highest_hz", "max", 100.0, 150.0, "Hz", "fastest sine", f"{STARSTIM}: 150 Hz"),
    ("frequency_error_hz", "max", 0.05, 0.5, "Hz", "device's frequency against the prescribed one", SUITE),
    ("ramp_up_shortest_s", "min", 30.0, 5.0, "s", "ramp-up", f"{BIKSON_2019}: 15 to 30 s"),
    ("ramp_up_longest_s", "max", 60.0, 60.0, "s", "ramp-up", SUITE),
    ("ramp_down_shortest_s", "min", 15.0, 2.0, "s", "normal ramp-down", f"{BIKSON_2019}; {SUITE}"),
    ("envelope_slew_ma_per_s", "max", 0.2, 1.0, "mA/s", "rise of the envelope at an electrode", SUITE),
    ("train_edge_s", "min", 0.5, 0.25, "s", "edge of a train at an amplitude already tolerated", SUITE),
    ("train_envelope_slew_ma_per_s", "max", 2.0, 4.0, "mA/s", "rise of a train's edge", SUITE),
    ("train_tolerated_s", "min", 10.0, 5.0, "s", "time at full current before a train may rise by its edge", SUITE),
    ("train_duty_cycle", "max", 0.8, 0.95, "of a period", "time with current in one period of trains", SUITE),
    ("retune_step_hz", "max", 0.5, 2.0, "Hz", "one change of the frequency while a session runs", SUITE),
    ("retune_interval_s", "min", 1.0, 0.5, "s", "from one change of the frequency to the next", SUITE),
    ("amplitude_step_ma", "max", 0.1, 0.25, "mA", "one change of the full current", "titration in 100 µA steps"),
    ("parameter_transition_s", "min", 1.0, 0.1, "s", "time of one change of the full current", f"{STARSTIM}: 100 ms"),
    ("phase_jump_rad", "max", 0.0, 0.0, "rad", "jump while more than 50 µA flow", SUITE),
    # stopping
    ("soft_stop_s", "max", 0.8, 2.0, "s", "operator's stop, to zero", SUITE),
    ("emergency_stop_s", "max", 0.1, 0.25, "s", "emergency stop, to below 50 µA", f"{STARSTIM}; {SUITE}"),
    ("lease_ttl_s", "max", 1.0, 2.0, "s", "current ends by itself after this silence", "openpilot panda heartbeat, tightened"),
    ("heartbeat_period_s", "max", 0.25, 0.5, "s", "renewal of the lease", SUITE),
    # dose
    ("session_duration_min", "max", 20.0, 40.0, "min", "current on, in one session", f"{BIKSON_2016}: up to 40 min"),
    ("daily_duration_min", "max", 40.0, 60.0, "min", "current on, in any 24 h", f"{ANTAL_2026}: up to 60 min per day"),
    ("rectified_charge_session_c", "max", 3.1, 4.8, "C", "per electrode and session", "ActivaDose dose limit 80 mA·min"),
    ("rectified_charge_day_c", "max", 4.8, 7.2, "C", "per electrode in any 24 h", f"{BIKSON_2016}: 7.2 C, a DC figure"),
    ("inter_session_interval_h", "min", 18.0, 12.0, "h", "since the end of the last session", f"{BIKSON_2019}: 18 to 26 h; Carvalho et al. 2018: 12 h"),
    ("sessions_per_course", "max", 30.0, 36.0, "sessions", "sessions within 90 days", "FL-100 course of 36 sessions (PMA P230024)"),
    ("sessions_per_day", "max", 1.0, 2.0, "sessions", "sessions in any 24 h; two need the accelerated flag", f"{ANTAL_2026}: up to 60 min per day; {SUITE}"),
    ("accelerated_interval_h", "min", 4.0, 4.0, "h", "between the two sessions of an accelerated day", SUITE),
    # measured while it runs
    ("overcurrent_ratio", "max", 1.1, 1.1, "ratio", "measured peak over commanded peak", SUITE),
    ("undercurrent_ratio", "min", 0.8, 0.5, "ratio", "measured peak over commanded peak", SUITE),
    ("monitor_stale_s", "max", 0.5, 1.0, "s", "silence or sameness of a current monitor", "oref0 stale-data rule, scaled"),
    # contact
    ("impedance_start_kohm", "max", 10.0, 20.0, "kΩ", "per contact before a session", "published tACS-EEG practice"),
    ("impedance_run_warn_kohm", "max", 20.0, 50.0, "kΩ", "per contact, warning", SUITE),
    ("impedance_run_stop_kohm", "max", 50.0, 55.0, "kΩ", "per contact, ramp-down", "stimulator cut-off near 55 kΩ"),
    ("impedance_step_ratio", "max", 2.0, 3.0, "ratio", "change within 2 s", SUITE),
    ("compliance_use", "max", 0.8, 0.9, "of V max", "current × impedance of the loop", "ActivaDose resistance limit"),
    # information
    ("peak_age_d", "max", 30.0, 365.0, "days", "age of the peak that the frequency comes from", SUITE),
    ("eeg_stale_s", "max", 0.5, 2.0, "s", "closed loop without fresh EEG", "oref0 stale-data rule, scaled"),
    ("clock_future_s", "max", 0.1, 1.0, "s", "data from the future", "oref0, scaled"),
    ("discomfort_pause_nrs", "max", 6.0, 7.0, "0-10", "a rating that reaches it pauses", SUITE),
    ("discomfort_stop_nrs", "max", 7.0, 7.0, "0-10", "a rating that reaches it stops", SUITE),
    ("age_y", "min", 18.0, 18.0, "years", "age of the participant", SUITE),
)
# fmt: on

CURRENT_DENSITY_CAUTION_A_M2 = 2.0  # typical clinical level, Jackson et al. 2017
PHOSPHENE_BAND_HZ = (
    8.0,
    40.0,
)  # threshold lowest at 16 Hz, Evans et al. 2019, doi 10.1002/bem.22209


class SiteFile(StrictModel):
    """A site's own limits, each between its default and its hard ceiling."""

    site: str = Field(min_length=1)
    approved_by: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    limits: dict[str, float]
    consent_version: str | None = Field(
        default=None, min_length=1, description="version of the consent sheet in use"
    )
    people: tuple[str, ...] | None = Field(
        default=None,
        description="what must be in the journal before a real device is armed; all where left out",
    )


class ParticipantFile(StrictModel):
    """Limits of one participant; they may only be stricter than the site's."""

    subject: str = Field(pattern=r"^[A-Za-z0-9+]{1,32}$")
    limits: dict[str, float]


@dataclass(frozen=True, slots=True)
class EffectiveLimits(Mapping[str, float]):
    """The limits in force, each with the file or table that set it."""

    values_by_name: Mapping[str, float]
    set_by: Mapping[str, str]

    def __getitem__(self, name: str) -> float:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def source(self, name: str) -> str:
        """Return where the limit in force comes from."""
        where = self.set_by[name]
        return LIMITS[name].source if where == "default" else f"{where}; {LIMITS[name].source}"


def effective_limits(
    site_file: str | Path | None = None, participant_file: str | Path | None = None
) -> EffectiveLimits:
    """Compose the table, a site file and a participant file into the limits in force.

    Parameters
    ----------
    site_file : path, optional
        See :class:`SiteFile`.
    participant_file : path, optional
        See :class:`ParticipantFile`.

    Raises
    ------
    FileProblems
        An unknown limit, a site value past its ceiling, or a participant value that loosens.
    """
    values = {name: limit.default for name, limit in LIMITS.items()}
    set_by = dict.fromkeys(LIMITS, "default")
    if site_file is not None:
        site = SiteFile.from_toml(site_file)
        problems = _unknown(site.limits)
        for name, value in site.limits.items():
            limit = LIMITS.get(name)
            if limit is None:
                continue
            if not limit.allows(value, limit.ceiling) or not math.isfinite(value):
                bound = "at most" if limit.sense == "max" else "at least"
                problems.append(
                    f"limits.{name}: {value:g} {limit.unit} is past the hard ceiling; "
                    f"{bound} {limit.ceiling:g} {limit.unit} ({limit.source})"
                )
            values[name], set_by[name] = value, f"site file {Path(site_file).name}"
        if problems:
            raise FileProblems(str(site_file), problems)
    if participant_file is not None:
        participant = ParticipantFile.from_toml(participant_file)
        problems = _unknown(participant.limits)
        for name, value in participant.limits.items():
            limit = LIMITS.get(name)
            if limit is None:
                continue
            if not limit.allows(value, values[name]):
                problems.append(
                    f"limits.{name}: {value:g} {limit.unit} is looser than the "
                    f"{values[name]:g} {limit.unit} in force; a participant file may only tighten"
                )
            else:
                values[name], set_by[name] = (
                    value,
                    f"participant file {Path(participant_file).name}",
                )
        if problems:
            raise FileProblems(str(participant_file), problems)
    return EffectiveLimits(values, set_by)


def _unknown(limits: Mapping[str, float]) -> list[str]:
    """Problems of names that the table does not have."""
    return [
        f"limits.{name}: no such limit; `tacs limits` lists them"
        for name in limits
        if name not in LIMITS
    ]
