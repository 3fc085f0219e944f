"""The phase engine on a live source with dropouts: the virtual patient, on the virtual clock."""

from __future__ import annotations

import numpy as np

from analysis.phase import fit
from analysis.phase_choice import circular_sd
from analysis.phase_targets import PhaseTarget
from analysis.phase_wiener import offline
from devices.eeg_patient import PatientEEG
from devices.patient import VirtualPatient
from devices.truth import PatientTruth
from tacs.clock import VirtualClock

CHANNELS = ("O1", "Oz", "O2", "Cz")
WEIGHTS = (0.5, 1.0, 0.5, -2.0)
DROPS = ((10.0, 0.1), (20.0, 1.0), (30.0, 10.0))


def test_a_patient_is_followed_through_dropouts() -> None:
    patient = VirtualPatient(PatientTruth(peak_hz=10.4), 5, channels=CHANNELS)
    rate = patient.sfreq_hz
    rest_uv = patient.samples_uv(round(130 * rate), eyes="closed")
    engine = fit(rest_uv, rate, horizon_s=0.02, weights=WEIGHTS)
    assert engine.choice is not None
    assert abs(engine.choice.model.frequency_hz - 10.4) < 0.6
    target = PhaseTarget(3.0, horizon_s=0.02, refractory_s=0.5)
    clock = VirtualClock()
    source = PatientEEG(patient, clock, chunk=10, drops=DROPS)
    waits: list[str] = []
    planned, late, phases, ends, signal, gaps = [], 0, [], [], [], 0
    with source:
        while clock.now_s() < 60.0:
            block = source.read(0.1)
            if not len(block):
                continue
            gaps += block.missing > 0
            estimate = engine.update(block)
            if block.missing:
                waits.append(estimate.reason)
                assert not estimate.valid
            decided = target.decide(estimate, float(block.times_s[-1]), clock.now_s())
            if decided.at_s is not None:
                planned.append(decided.at_s)
                late += decided.at_s < clock.now_s()
            signal.append(np.array(WEIGHTS) @ block.signal_uv)
            if estimate.valid and block.times_s[-1] > 45.0:
                phases.append(estimate.phase_rad)
                ends.append(sum(piece.size for piece in signal) - 1 + 5)
    assert gaps == len(DROPS)
    assert all("samples are missing" in why for why in waits)
    assert late == 0
    assert len(planned) > 40
    assert np.min(np.diff(planned)) >= 0.5
    whole = np.concatenate(signal)
    known = offline(engine.choice.model, whole, rate)
    kept = [(p, e) for p, e in zip(phases, ends, strict=True) if e < whole.size - 2 * rate]
    error = [p - np.angle(known[e]) for p, e in kept]
    assert len(kept) > 200
    expected = engine.choice.circular_sd_rad[engine.choice.method]
    assert 0.7 * expected < circular_sd(np.array(error)) < 1.3 * expected
