"""The conformance matrix: every emulated driver, every check, with the figures that count.

    python -m benchmarks.conformance [DRIVER …] [--json FILE]

A driver that fails a check makes the exit code 1.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tacs.driver import find_driver, installed
from tacs.verify_device import verify_device

SHORT = {
    "pass": "pass",
    "not_applicable": "n/a",
    "not_detectable": "n/d",
    "skipped": "skip",
    "fail": "FAIL",
}
# What is shown of a driver: check, figure, heading, digits.
FIGURES = (
    ("frequency", "error_mhz", "frequency error (mHz)", 4),
    ("frequency", "grid_hz", "off the grid (Hz)", 3),
    ("ramp", "slew_ma_per_s", "worst slew (mA/s)", 3),
    ("ramp", "step_ma", "largest step (mA)", 4),
    ("no direct current", "mean_ma", "mean (mA)", 5),
    ("balance", "sum_ma", "sum (mA)", 4),
    ("soft stop", "quiet_s_hold", "soft stop (s)", 3),
    ("emergency stop", "quiet_s_hold", "emergency stop (s)", 3),
    ("unplugged", "quiet_s_in_hold", "quiet after the link (s)", 2),
    ("phase", "phase_error_deg", "phase error (deg)", 2),
)


def table(rows: list[list[str]]) -> str:
    """Lay out rows in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drivers", nargs="*", help="all that have an emulator where left out")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = options.drivers or sorted(installed("tacs.emulators"))
    by_hand = [name for name in names if not find_driver(name).capabilities.machine_verified]
    names = [name for name in names if name not in by_hand]
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        verification = verify_device(f"emulated:{name}", parts=("conformance",))
        found[name] = {check.name: check.to_dict() for check in verification.conformance}
    checks = list(next(iter(found.values())))
    print(
        table(
            [["check", *names]]
            + [
                [check, *(SHORT[found[name][check]["outcome"]] for name in names)]
                for check in checks
            ]
        )
    )
    for name in by_hand:
        print(f"{name}: a person works it, and nothing of it is verified by a machine")
    print()
    rows = [["figure", *names]]
    for check, figure, heading, digits in FIGURES:
        values = [found[name][check]["figures"].get(figure) for name in names]
        rows.append(
            [
                heading,
                *(f"{v:.{digits}f}" if isinstance(v, float) else str(v or "-") for v in values),
            ]
        )
    print(table(rows))
    failed = [
        f"{name}, {check}: {row['reason']}"
        for name, checked in found.items()
        for check, row in checked.items()
        if row["outcome"] == "fail"
    ]
    print("\n".join(["", *failed]) if failed else "")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
