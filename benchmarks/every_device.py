"""The same individualized 20-minute session on every emulated device, judged by its oscilloscope.

    python -m benchmarks.every_device [DRIVER …] [--peak-hz 10.27] [--json FILE]

Planned, achieved and measured: frequency, largest electrode current, rectified charge. A device
whose grid is too coarse for the peak shows its refusal first, and then the session with the
difference accepted on purpose; one whose compliance is too small for the recipe's current shows
that refusal, and then the largest current that it may play.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from analysis.peak import PeakEstimate
from benchmarks.conformance import table
from tacs.checking import prepare
from tacs.driver import installed
from tacs.errors import TacsError
from tacs.planning import Plan, make_plan
from tacs.runner import run
from tacs.waveform import Waveform

RECIPE = "posterior-alpha"
CURRENTS_MA = (None, 0.5, 0.3, 0.2, 0.1)


def made_peak(frequency_hz: float, now: datetime) -> PeakEstimate:
    """A peak that was found yesterday, with its interval."""
    return PeakEstimate(
        status="found",
        frequency_hz=frequency_hz,
        ci95_hz=(frequency_hz - 0.12, frequency_hz + 0.12),
        center_of_gravity_hz=frequency_hz,
        prominence_db=10.0,
        n_channels_used=9,
        channels=("O1", "Oz", "O2"),
        seconds_used=120.0,
        aperiodic_exponent=1.1,
        warnings=(),
        reasons=(),
        subject="P01",
        recording="rest.edf",
        recording_sha256="0" * 64,
        measured_at=(now - timedelta(days=1)).isoformat(),
        recorded_at=None,
        method="made",
    )


def planned(name: str, peak: PeakEstimate, now: datetime, told: list[str]) -> Plan:
    """Plan until no limit objects; every refusal on the way is told."""
    setup = prepare(f"emulated:{name}")
    for current_ma in CURRENTS_MA:
        for accepted in (None, "the only stimulator in the room"):
            try:
                made = make_plan(
                    peak,
                    RECIPE,
                    now=now,
                    subject="P01",
                    rig=setup.rig,
                    capabilities=setup.capabilities,
                    current_peak_ma=current_ma,
                    grid_accepted=accepted,
                )
            except TacsError as exc:
                told.append(str(exc))
                continue
            hard = [b for b in made.breaches if b.limit != "host_loss"]
            told += [str(b) for b in made.breaches]
            if not hard:
                return made
    raise SystemExit(f"{name}: nothing can be planned: {'; '.join(told)}")


def session(name: str, peak_hz: float, folder: Path) -> dict[str, Any]:
    """Plan and run one session; return the figures."""
    now, told = datetime.now(UTC), []
    plan = planned(name, made_peak(peak_hz, now), now, told)
    setup = prepare(f"emulated:{name}")
    endless = any("host_loss" in text for text in told)
    record = run(
        plan.protocol,
        setup,
        subject="P01",
        session="01",
        dataset=folder / name,
        clock="virtual",
        operator="benchmark",
        overrides={"host_loss": "an emulator"} if endless else {},
    )
    waveform = Waveform(plan.protocol)
    got = record.delivered
    names = waveform.electrodes
    return {
        "outcome": record.outcome,
        "peak_hz": peak_hz,
        "planned_hz": plan.frequency_hz,
        "achieved_hz": plan.achieved_frequency_hz,
        "measured_hz": None if got is None else got.frequency_hz,
        "planned_ma": max(waveform.peak_ma(n) for n in names),
        "measured_ma": None if got is None else got.current_peak_ma,
        "planned_c": max(waveform.rectified_charge_c(n) for n in names),
        "measured_c": None if got is None else max(got.rectified_charge_c.values()),
        "mean_ua": None if got is None else 1e3 * max(abs(v) for v in got.mean_ma.values()),
        "note": plan.protocol.fallback_note or "",
        "refused": told,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drivers", nargs="*", help="all that have an emulator where left out")
    parser.add_argument("--peak-hz", type=float, default=10.27)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = options.drivers or sorted(installed("tacs.emulators"))
    rows = [
        ["device", "outcome", "peak", "planned", "achieved", "measured Hz", "planned mA",
         "measured mA", "planned C", "measured C", "mean µA"]
    ]  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="tacs-devices-") as folder:
        for name in names:
            os.environ["TACS_SITE_DIR"] = f"{folder}/site-{name}"  # each has a ledger of its own
            one = found[name] = session(name, options.peak_hz, Path(folder))
            rows.append(
                [name, one["outcome"]]
                + [f"{one[k]:.{digits}f}" if one[k] is not None else "-" for k, digits in (
                    ("peak_hz", 2), ("planned_hz", 2), ("achieved_hz", 3), ("measured_hz", 4),
                    ("planned_ma", 3), ("measured_ma", 4), ("planned_c", 4), ("measured_c", 4),
                    ("mean_ua", 4))]
            )  # fmt: skip
    print(table(rows))
    for name, one in found.items():
        for text in dict.fromkeys(one["refused"]):
            print(f"{name}, refused: {text}")
        if one["note"]:
            print(f"{name}, accepted: {one['note']}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
