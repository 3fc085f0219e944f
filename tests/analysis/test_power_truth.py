"""Planted changes of the virtual patient's rhythm, found again in three minutes of EEG.

`benchmarks/power.py` does the same with 20 patients, and with backgrounds that change alone.
"""

from __future__ import annotations

import numpy as np

from analysis.outcome import compare
from devices.patient import VirtualPatient, ln_power_ratio
from devices.truth import PatientTruth


def test_the_planted_log_ratio_is_recovered() -> None:
    errors, held = [], 0
    for seed in range(4):
        truth = PatientTruth.draw(seed)
        patient = VirtualPatient(truth, seed, channels=("O1", "Oz", "O2", "Pz"), sfreq_hz=125.0)
        pre = patient.record(180.0)
        patient.stimulate(1200.0, 1.0, truth.peak_hz, electrodes={"Oz": 1.0, "Cz": -1.0})
        post = patient.record(180.0)
        planted = ln_power_ratio(*patient.recordings)["occipital"]
        assert planted > 0.25
        found = compare(pre, post, peak_hz=truth.peak_hz, picks=["O1", "Oz", "O2"], discard_s=0.0)
        assert found.power.adjusted.ln_ratio is not None
        assert found.power.adjusted.interval_ln is not None
        errors.append(found.power.adjusted.ln_ratio - planted)
        low, high = found.power.adjusted.interval_ln
        held += low <= planted <= high
        assert found.direction == "increase"
        assert found.power.verdict == "oscillation"
    assert abs(np.mean(errors)) < 0.05
    assert np.max(np.abs(errors)) < 0.15
    assert held >= 3
