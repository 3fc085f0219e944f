"""What a StimJim measured at the two peaks of one period, as currents and impedance of its loops.

The firmware measures at the crest (90°) and at the trough (270°) of the sine of the lowest driven
channel. Half the difference of both is the zero-to-peak current without its offset, half their sum
the offset. Another channel is at its own peaks then only where it runs in phase or opposite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from devices.stimjim_lines import CURRENT_MODE, Measurement, SineTrain

__all__ = ["Peaks", "peaks_of"]

CREST: Final = 90
TROUGH: Final = 270
CURRENT_MIN_UA: Final = 10.0  # below, a resistance is made of steps of the converter
VOLTAGE_MAX_MV: Final = 9000.0  # from here on it is the output's ceiling (firmware's README)


@dataclass(frozen=True, slots=True)
class Peaks:
    """One channel.

    Parameters
    ----------
    current_peak_ma : float
        Zero-to-peak.
    offset_ua : float
        Direct current in it.
    voltage_peak_v : float or None
        Zero-to-peak.
    impedance_kohm : float or None
        Of the loop; None where the current is too small or the voltage at its ceiling.
    """

    current_peak_ma: float
    offset_ua: float
    voltage_peak_v: float | None
    impedance_kohm: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Return plain JSON types, rounded to what the converter can tell."""
        return {k: None if v is None else round(v, 4) for k, v in asdict(self).items()}


def peaks_of(measured: Mapping[int, Measurement], train: SineTrain) -> dict[int, Peaks]:
    """Return what was measured of each channel, counted from 1.

    Parameters
    ----------
    measured : mapping of int to Measurement
        By point.
    train : SineTrain
        What played.

    Returns
    -------
    dict of int to Peaks
        Without channels that were not measured at both of their peaks.
    """
    if not {CREST, TROUGH} <= set(measured):
        return {}
    driven = [i for i, mode in enumerate((train.mode0, train.mode1)) if mode == CURRENT_MODE]
    phases = (train.phase0_mdeg, train.phase1_mdeg)
    found = {}
    for i in driven:
        if (phases[i] - phases[driven[0]]) % 180_000:
            continue  # measured elsewhere in its cycle
        crest_ua, trough_ua = (measured[point].currents_ua[i] for point in (CREST, TROUGH))
        crest_mv, trough_mv = (measured[point].voltages_mv[i] for point in (CREST, TROUGH))
        if crest_ua is None or trough_ua is None:
            continue
        peak_ua = abs(crest_ua - trough_ua) / 2.0
        voltage_mv = impedance_kohm = None
        if crest_mv is not None and trough_mv is not None:
            voltage_mv = abs(crest_mv - trough_mv) / 2.0
            ceiling = max(abs(crest_mv), abs(trough_mv)) >= VOLTAGE_MAX_MV
            if peak_ua >= CURRENT_MIN_UA and not ceiling:
                impedance_kohm = voltage_mv / peak_ua
        found[i + 1] = Peaks(
            current_peak_ma=peak_ua / 1000.0,
            offset_ua=(crest_ua + trough_ua) / 2.0,
            voltage_peak_v=None if voltage_mv is None else voltage_mv / 1000.0,
            impedance_kohm=impedance_kohm,
        )
    return found
