"""Find the individual alpha peak of a recording, with an interval, and draw it.

Give the path of your own recording as the first argument; without one, a virtual patient's is used.
"""

import sys
import tempfile
from pathlib import Path

import analysis
from devices.participant import VirtualParticipant

if len(sys.argv) > 1:
    raw = analysis.read_raw(sys.argv[1])
else:
    raw = VirtualParticipant(seed=1).record(120.0)

peak = analysis.find_peak(raw)
print(peak.status, peak.frequency_hz, peak.ci95_hz)
for line in [*peak.reasons, *peak.warnings]:
    print("-", line)

figure = Path(tempfile.mkdtemp()) / "peak.png"
peak.plot().savefig(figure)
print("figure:", figure)
