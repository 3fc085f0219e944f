"""From a peak to a checked protocol, and what a protocol looks like that breaks limits."""

from pathlib import Path

import analysis
import tacs
from devices.participant import VirtualParticipant
from tacs.protocol import Protocol
from tacs.waveform import Waveform

peak = analysis.find_peak(VirtualParticipant(seed=1).record(120.0))
protocol = tacs.plan(peak, "posterior-alpha", rig="emulated-synthpal")
print(f"{protocol.name}: {protocol.frequency_hz} Hz for {protocol.duration_s / 60:.0f} min")

waveform = Waveform(protocol)
print("current a minute in:", waveform.electrode_currents_ma(60.01))
print(f"charge at Oz: {waveform.rectified_charge_c('Oz'):.2f} C")
print("breaches:", tacs.check(protocol, "emulated:synthpal"))

bad = Protocol.from_toml(Path(__file__).parent / "protocols" / "six-breaches.toml")
for breach in tacs.check(bad, "emulated:synthpal"):
    print("-", breach)
