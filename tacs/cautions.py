"""What an operator must know before arming, short of a refusal."""

from __future__ import annotations

import math

from tacs.capabilities import Capabilities
from tacs.limits import CURRENT_DENSITY_CAUTION_A_M2, PHOSPHENE_BAND_HZ
from tacs.protocol import Protocol
from tacs.rig import Rig
from tacs.safety_device import retuned_hz

__all__ = ["cautions"]


def _phosphenes_hz(protocol: Protocol) -> list[float]:
    """Frequencies of a session in the band of phosphenes; of a range, the one that it may reach."""
    low_hz, high_hz = PHOSPHENE_BAND_HZ
    played_hz = [protocol.frequency_hz]
    if protocol.retune is None:
        played_hz += retuned_hz(protocol)
    elif not low_hz <= protocol.frequency_hz <= high_hz:
        lowest_hz, highest_hz = retuned_hz(protocol)
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
