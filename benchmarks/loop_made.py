"""A loop on the virtual patient, on the virtual clock, with the truth kept: for measuring loops.

The guardian, the kernel, the driver and the emulated stimulator are those of every session; the
patient feels the current that the emulated stimulator makes, sample by sample, and its true phase
is kept. The current is looked at on the oscilloscope, not where it was commanded.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tacs.conduct
from devices.delivered import DeliveredCurrent
from devices.eeg_patient import PatientEEG
from devices.patient import VirtualPatient
from devices.truth import Node, PatientTruth
from tacs.checking import prepare
from tacs.loop_plan import LoopPlan
from tacs.loop_session import LoopResult, Prescribed, run_loop
from tacs.protocol import Protocol

Array = NDArray[np.float64]

SFREQ_HZ = 500.0
CHUNK = 5
TRACE_HZ = 1000.0


class TruthEEG(PatientEEG):
    """EEG of the virtual patient that keeps the true phase at the begin of every stretch."""

    def __init__(self, patient: VirtualPatient, clock: Any, **options: Any) -> None:
        super().__init__(patient, clock, **options)
        self.times_s: list[float] = []
        self.angles: list[float] = []

    def _take(self, n: int) -> Array:
        parts = []
        while n > 0:
            k = min(n, CHUNK)
            self.times_s.append(self._start_s + self._n_taken * self._step_s)
            self.angles.append(float(np.angle(self._patient._sources._state[0])))  # noqa: SLF001
            parts.append(super()._take(k))
            self._n_taken += k
            n -= k
        taken = np.concatenate(parts)
        self._n_taken -= len(taken)
        return taken

    def phase_at(self, times_s: Array) -> Array:
        """True phase, not wrapped."""
        return np.interp(times_s, self.times_s, np.unwrap(self.angles))


@dataclass(frozen=True, slots=True)
class MadeLoop:
    """A loop's session and its truth.

    Parameters
    ----------
    result : LoopResult
        What the loop says.
    eeg : TruthEEG
        With the true phase.
    trace_s, trace_ma : ndarray
        Oscilloscope: times on the session's clock, and current out of the first electrode.
    record, log : list of dict
        Lines of the run record, and of the loop's log.
    errors_rad : ndarray
        Of every valid estimate, predicted minus true phase at its horizon.
    """

    result: LoopResult
    eeg: TruthEEG
    trace_s: Array
    trace_ma: Array
    record: list[dict[str, Any]]
    log: list[dict[str, Any]]
    errors_rad: Array


def protocol_data(**changes: Any) -> dict[str, Any]:
    """A protocol with trains on request, as raw data."""
    electrodes = [
        {"name": name, "area_cm2": 25.0, "material": "conductive_rubber_paste"}
        for name in ("Oz", "Cz")
    ]
    data: dict[str, Any] = {
        "name": "loop",
        "waveform": "tacs",
        "frequency_hz": 10.0,
        "duration_s": 150.0,
        "ramp_up_s": 30.0,
        "ramp_down_s": 15.0,
        "fallback_note": "for a benchmark",
        "montage": {
            "electrodes": electrodes,
            "loops": [{"source": "Oz", "sink": "Cz", "current_peak_ma": 1.0}],
        },
        "trains": {
            "on_s": 2.0,
            "off_s": 3.0,
            "edge_s": 0.5,
            "settle_s": 10.0,
            "start": "request",
        },
        "retune": {"within_hz": 1.5},
        "expected_effect": {
            "direction": "increase",
            "measure": "alpha power",
            "region": "posterior",
        },
    }
    for key, value in changes.items():
        if value is None:
            data.pop(key, None)
        else:
            data[key] = value
    return data


@contextlib.contextmanager
def _kept_emulator() -> Iterator[list[Any]]:
    """Keep the emulator that the session makes, so that the patient can feel its current."""
    kept: list[Any] = []
    find = tacs.conduct.find_emulator

    def finding(name: str) -> Any:
        emulator = find(name)

        class Kept:
            def __getattr__(self, attribute: str) -> Any:
                return getattr(emulator, attribute)

            def in_memory(self, *args: Any) -> Any:
                kept.append(emulator.in_memory(*args))
                return kept[-1]

        return Kept()

    tacs.conduct.find_emulator = finding
    try:
        yield kept
    finally:
        tacs.conduct.find_emulator = find


@contextlib.contextmanager
def own_site(folder: str) -> Iterator[None]:
    """Keep the sessions of a benchmark out of the site's ledger."""
    before = os.environ.get("TACS_SITE_DIR")
    os.environ["TACS_SITE_DIR"] = str(Path(folder) / "site")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("TACS_SITE_DIR")
        else:
            os.environ["TACS_SITE_DIR"] = before


def run_made(
    plan: LoopPlan,
    *,
    seed: int,
    fwhm_hz: float = 0.2,
    peak_hz: float = 10.2,
    feels: bool = True,
    artefact_uv_per_ma: float = 5000.0,
    drops: Sequence[tuple[float, float]] = (),
    protocol: dict[str, Any] | None = None,
    truth: dict[str, Any] | None = None,
) -> MadeLoop:
    """Run a session with a loop on a virtual patient with one source under Oz.

    Parameters
    ----------
    plan : LoopPlan
        What the loop is set to.
    seed : int
        Of the patient.
    fwhm_hz, peak_hz : float
        Of the rhythm.
    feels : bool
        Whether current reaches the brain and the amplifier.
    artefact_uv_per_ma : float
        At the electrode.
    drops : sequence of (float, float)
        Dropouts of EEG, after its opening.
    protocol, truth : dict, optional
        Changes of the protocol's data, and of what is true of the patient.
    """
    node = Node("source", "Oz", 1, 1.0)
    made = PatientTruth(
        peak_hz=peak_hz,
        fwhm_hz=fwhm_hz,
        nodes=(node,),
        coupling_per_s=(),
        artefact_uv_per_ma=artefact_uv_per_ma,
        **(truth or {}),
    )
    patient = VirtualPatient(made, seed, sfreq_hz=SFREQ_HZ, channels=["Oz", "Pz", "Fz"])
    held: list[TruthEEG] = []
    errors: list[tuple[float, float]] = []
    seen: list[tuple[Array, Array]] = []
    with (
        _kept_emulator() as emulators,
        tempfile.TemporaryDirectory() as folder,
        own_site(folder),
    ):

        def current(begin_s: float, end_s: float) -> DeliveredCurrent | None:
            if not emulators:
                return None
            bench = emulators[0].bench
            n = max(round((end_s - begin_s) * TRACE_HZ), 1)
            if bench.firmware.first_start_s is None:
                return None
            bench.advance(end_s)
            times_s = begin_s + np.arange(n) / TRACE_HZ
            rows = np.asarray(bench._currents_ma(times_s))  # noqa: SLF001
            seen.append((times_s, rows[0]))
            if not feels:
                return None
            return DeliveredCurrent(rows, TRACE_HZ, bench.electrodes.contacts)

        def eeg(clock: Any) -> TruthEEG:
            held.append(TruthEEG(patient, clock, current=current, drops=drops, chunk=CHUNK))
            return held[0]

        def prepared(loop: Any, learned: Any) -> None:
            update = loop._engine.update  # noqa: SLF001

            def noting(block: Any) -> Any:
                estimate = update(block)
                if estimate.valid and len(block):
                    at_s = float(block.times_s[-1]) + loop._engine.horizon_s  # noqa: SLF001
                    errors.append((at_s, estimate.phase_rad))
                return estimate

            loop._engine.update = noting  # noqa: SLF001

        result = run_loop(
            plan,
            eeg,
            subject="made",
            session="loop",
            dataset=Path(folder) / "dataset",
            clock="virtual",
            prescribed=Prescribed(
                protocol=Protocol.from_data(protocol_data(**(protocol or {})), "made"),
                setup=prepare("emulated:synthpal"),
                options={},
            ),
            prepared=prepared,
        )
        return _kept(result, held[0], errors, seen)


def _kept(
    result: LoopResult,
    eeg: TruthEEG,
    errors: list[tuple[float, float]],
    seen: list[tuple[Array, Array]],
) -> MadeLoop:
    if result.record is None:
        raise ValueError("no session")
    record = [json.loads(x) for x in Path(result.record.record).read_text().splitlines()]
    log = [json.loads(x) for x in result.log.read_text().splitlines()]
    times = np.array(errors) if errors else np.zeros((0, 2))
    off = times[:, 1] - eeg.phase_at(times[:, 0])
    return MadeLoop(
        result=result,
        eeg=eeg,
        trace_s=np.concatenate([t for t, _ in seen]),
        trace_ma=np.concatenate([x for _, x in seen]),
        record=record,
        log=log,
        errors_rad=np.angle(np.exp(1j * off)),
    )


def circular(angles_rad: Array) -> tuple[float, float]:
    """Circular mean and standard deviation, degrees."""
    mean = np.mean(np.exp(1j * angles_rad))
    return (
        float(np.degrees(np.angle(mean))),
        float(np.degrees(math.sqrt(-2.0 * math.log(max(abs(mean), 1e-300))))),
    )


def train_phases(made: MadeLoop) -> tuple[Array, Array, Array]:
    """Begin of every train, its frequency and its phase there, as the oscilloscope saw them."""
    flows = np.abs(made.trace_ma) > 0.02
    edges = np.flatnonzero(flows)
    if not edges.size:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    splits = np.flatnonzero(np.diff(edges) > 0.5 * TRACE_HZ)
    first = np.concatenate([[edges[0]], edges[splits + 1]])
    begins, hz, phases = [], [], []
    retunes = [
        (x["t_s"], x["data"]["value"])
        for x in made.record
        if x["kind"] == "request" and x["data"]["asked"] == "retune" and x["data"]["granted"]
    ]
    zero_s = float(made.record[0]["data"]["clock_zero_s"])
    for i in first[1:]:  # the first is the run-in
        at_s = made.trace_s[i]
        top = slice(i + 600, i + 1400)
        x = made.trace_ma[top]
        if x.size < 800:
            continue
        known = [value for t, value in retunes if t + zero_s <= at_s + 0.05]
        frequency = round(known[-1], 2) if known else 10.0
        t = made.trace_s[top] - at_s
        basis = np.stack([np.cos(2 * np.pi * frequency * t), np.sin(2 * np.pi * frequency * t)])
        c, s = np.linalg.lstsq(basis.T, x, rcond=None)[0]
        begins.append(at_s)
        hz.append(frequency)
        phases.append(math.atan2(-s, c))
    return np.array(begins), np.array(hz), np.array(phases)
