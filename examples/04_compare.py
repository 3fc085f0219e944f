"""Compare power and connectivity before and after, with known truth beside the estimate."""

import math

import numpy as np

import analysis
from devices.participant import VirtualParticipant

patient = VirtualParticipant(seed=3)
before = patient.record(180.0)
times_s = np.arange(0.0, 1200.0, 1e-3)
peak = analysis.find_peak(before)
assert peak.frequency_hz is not None
sine = np.sin(2 * np.pi * peak.frequency_hz * times_s)
patient.receive(np.vstack([sine, -sine]), 1000.0, ("Oz", "Cz"))
after = patient.record(180.0)

outcome = analysis.compare(before, after, peak_hz=peak.frequency_hz)
true_percent = 100 * math.expm1(patient.truth()["occipital_ln_ratio"])
print(outcome.summary)
print(f"true change of the occipital rhythm: {true_percent:+.0f} %")
