"""``tacs demo``: the whole chain on a virtual patient and an emulated stimulator.

Nothing here is special to the demonstration but the patient: each stage is the public function that
its own command calls, and each reads what the stage before left in the data set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs.analyses import compare_recordings, estimate_peak
from tacs.bids import import_recording
from tacs.checking import prepare
from tacs.clock import utc_now
from tacs.dataset import SessionPaths, write_json
from tacs.dose import read_trace
from tacs.errors import InputError, NoAnswer, RecordError, SafetyRefusal
from tacs.matching import is_split
from tacs.planning import make_plan
from tacs.report import write_report
from tacs.runner import run

if TYPE_CHECKING:
    from analysis.estimate import PeakEstimate

__all__ = ["free_folder", "run_demo"]

RECIPE = "posterior-alpha"
DEVICE = "emulated:synthpal"
SUBJECT, SESSION = "demo", "01"
REST_S, GAP_S = 240.0, 120.0


def free_folder(parent: Path) -> Path:
    """Return ``tacs-demo``, or the first of ``tacs-demo-2``, … that is not there yet."""
    folder, number = parent / "tacs-demo", 1
    while folder.exists():
        number += 1
        folder = parent / f"tacs-demo-{number}"
    return folder


def run_demo(folder: Path, seed: int, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the chain.

    Parameters
    ----------
    folder : Path
        Made for it; an earlier demonstration there is refused, not overwritten.
    seed : int
        Draws the virtual patient.
    say : callable
        Told what is happening.

    Returns
    -------
    dict
        The summary of each stage, truth beside estimate, and the report's path.

    Raises
    ------
    TacsError
        Whatever a stage refuses.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; give another folder with --out")
    clinic, dataset, site = folder / "clinic", folder / "dataset", folder / "site"
    clinic.mkdir(parents=True)
    patient = entry_points(group="tacs.patients")["virtual"].load()(seed)

    say(f"1 record: {REST_S:.0f} s of resting EEG, eyes closed, of virtual patient {seed}")
    before = _import(patient.record(REST_S), clinic / "before.edf", dataset, "pre")

    say("2 find: the individual peak")
    peak = estimate_peak(before, band_hz=(7.0, 13.0), subject=SUBJECT)
    paths = SessionPaths.of(dataset, SUBJECT, SESSION)
    write_json(paths.peak, peak.to_dict())
    say(f"  {_told(peak)}")

    say(f"3 plan and check: recipe {RECIPE} on {DEVICE}")
    setup = prepare(DEVICE, site=site)
    made = make_plan(
        peak, RECIPE, rig=setup.rig, limits=setup.limits, subject=SUBJECT, now=utc_now()
    )
    if made.breaches:
        raise SafetyRefusal(made.breaches)
    protocol_file = folder / "protocol.toml"
    made.protocol.to_toml(protocol_file, comment="\n".join(made.reasons))

    say(f"4 stimulate: {made.protocol.duration_s / 60:.0f} min on the virtual clock")
    record = run(
        made.protocol, setup, subject=SUBJECT, session=SESSION, dataset=dataset, clock="virtual"
    )
    got = record.delivered
    if got is None:
        raise RecordError(f"{record.record}: says nothing of what was delivered")
    say(f"  {record.outcome}; delivered {got.current_peak_ma:.3f} mA at {got.frequency_hz:.3f} Hz")
    if record.trace is not None:
        columns = tuple(got.electrodes)
        patient.receive(read_trace(record.trace, len(columns)), 1000.0, columns)

    say(f"5 record again, {GAP_S / 60:.0f} min later, and compare")
    patient.wait(GAP_S)
    after = _import(patient.record(REST_S), clinic / "after.edf", dataset, "post")
    outcome = compare_recordings(
        before, after, peak_hz=peak.frequency_hz, protocol_file=protocol_file
    )
    write_json(paths.outcome, outcome.to_dict())

    say("6 report")
    report = write_report(dataset, SUBJECT, SESSION, site=site)
    return _summary(
        patient.truth(), peak.to_dict(), made.to_dict(), record.to_dict(), outcome, report
    )


def _told(peak: PeakEstimate) -> str:
    """The peak in words; refuse what the recipe cannot be planned from."""
    if peak.status != "found" or peak.frequency_hz is None:
        raise NoAnswer(f"no individual peak: {'; '.join(peak.reasons)}; try another --seed")
    if is_split(peak):
        both = " and ".join(f"{hz:.2f} Hz" for hz in sorted(p.frequency_hz for p in peak.peaks))
        raise NoAnswer(
            f"the rhythm is split, {both}, and has no interval: the demonstration plans with one "
            "peak; try another --seed"
        )
    if peak.ci95_hz is None:
        raise NoAnswer(f"the peak, {peak.frequency_hz:.2f} Hz, has no interval; try another --seed")
    low, high = peak.ci95_hz
    return f"{peak.frequency_hz:.2f} Hz, 95 % interval {low:.2f}-{high:.2f}"


def _import(raw: Any, file: Path, dataset: Path, when: str) -> Path:
    """Write a recording as a clinic's EDF file, and bring it into the data set."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EDF rounds to 16 bits, which MNE points out
        raw.export(file, overwrite=False, verbose="ERROR")
    imported = import_recording(
        file, dataset, subject=SUBJECT, session=SESSION, when=when, task="rest-closed"
    )
    return Path(imported.path)


def _summary(
    truth: dict[str, float],
    peak: dict[str, Any],
    plan: dict[str, Any],
    session: dict[str, Any],
    outcome: Any,
    report: Path,
) -> dict[str, Any]:
    """Truth and estimate side by side, and what each stage said."""
    power = outcome.to_dict()["power"]
    low, high = peak["ci95_hz"]
    delivered = session["delivered"]
    true_percent = 100.0 * math.expm1(truth["occipital_ln_ratio"])
    rhythm = power["adjusted"]
    text = "\n".join(
        [
            "                      truth      estimate",
            f"peak                  {truth['peak_hz']:5.2f} Hz   {peak['frequency_hz']:5.2f} Hz "
            f"({low:.2f} to {high:.2f})",
            f"change of the rhythm  {true_percent:+5.0f} %    {_percent(rhythm)}",
            f"band power on the scalp              {_percent(power)}",
            f"frequency             {plan['achieved_frequency_hz']:5.2f} Hz   "
            f"{delivered['frequency_hz']:.3f} Hz on the oscilloscope",
            "(the rhythm is read over the background; band power on the scalp holds both)",
            outcome.summary,
            f"report: {report}",
        ]
    )
    return {
        "truth": {"peak_hz": truth["peak_hz"], "power_percent": true_percent},
        "peak": peak,
        "plan": {k: v for k, v in plan.items() if k != "protocol"},
        "session": session,
        "outcome": outcome.to_dict(),
        "report": str(report),
        "text": text,
    }


def _percent(change: dict[str, Any]) -> str:
    """A change in percent with its interval."""
    if change["percent"] is None:
        return f"not known: {change['reason']}"
    interval = change["ci95_percent"]
    told = "no valid interval" if interval is None else "{:+.0f} to {:+.0f} %".format(*interval)
    return f"{change['percent']:+5.0f} % ({told})"
