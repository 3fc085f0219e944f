"""Back-to-back sessions on the real clock, for hours: loop period, memory, samples.

    python -m benchmarks.soak [--hours 2] [--minutes 40] [--json FILE]

Every session has another emulated subject. The guardian's resident memory is read every
second; its slope is that of the time with current, and what it takes to close the session
afterwards (the trace is read once) is told apart. The loop period comes from the record's last
line; the oscilloscope's samples are counted against the time between its first and its last.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.live_sessions import Place, now_s, warm_up
from tacs.protocol import Protocol

LIMITS = (
    "session_duration_min = 40.0\ndaily_duration_min = 60.0\nrectified_charge_session_c = 4.8\n"
)


def resident_kib(pid: int) -> float:
    """Resident memory of a process in KiB; NaN where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return float("nan")
    return float(next((t.split()[1] for t in status.splitlines() if t.startswith("VmRSS")), "nan"))


def session(place: Place, name: str) -> dict[str, object]:
    """One session, watched."""
    front = place.begin(name)
    started_s = place.started_s(name)
    guardian = place.guardian(name, front)
    memory: list[tuple[float, float]] = []
    while front.running:
        memory.append((now_s() - started_s, resident_kib(guardian.pid)))
        front.wait(1.0)
    guardian.wait(10.0)
    guardian.close()
    end = next(x for x in place.lines(name) if x["kind"] == "end")["data"]
    times_s, kib = np.array([m for m in memory if np.isfinite(m[1])]).T
    delivered = end["delivered"]
    playing = times_s < delivered["duration_s"]
    settled = (times_s > 60.0) & playing
    slope = (
        np.polyfit(times_s[settled] / 3600.0, kib[settled], 1)[0] if settled.sum() > 3 else np.nan
    )
    eeg = place.folder / "data" / f"sub-{name}" / "ses-01" / "eeg"
    with gzip.open(next(eeg.glob("*_stim.tsv.gz"))) as file:
        n_samples = sum(1 for _ in file)
    return {
        "outcome": end["outcome"],
        "loop": end["loop"],
        "memory_mib": [round(float(kib[0]) / 1024, 2), round(float(kib[playing].max()) / 1024, 2)],
        "memory_at_closing_mib": [round(float(x) / 1024, 2) for x in kib[~playing]],
        "largest_rise_kib": [
            round(float(np.diff(kib[playing]).max())),
            round(float(times_s[1:][playing[1:]][np.diff(kib[playing]).argmax()])),
        ],
        "memory_slope_kib_per_h": round(float(slope), 1),
        "delivered_s": delivered["duration_s"],
        "frequency_hz": delivered["frequency_hz"],
        "samples": n_samples,
        "statuses": sum(1 for x in place.lines(name) if x["data"].get("verb") == "status"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warm_up()
    n = max(round(options.hours * 60.0 / options.minutes), 1)
    rows = []
    with tempfile.TemporaryDirectory(prefix="tacs-") as name:
        place = Place.make(Path(name) / "soak", 60.0 * options.minutes)
        site = place.folder / "site" / "site.toml"
        site.write_text(site.read_text() + LIMITS)
        file = place.folder / "protocol.toml"
        Protocol.from_toml(file).to_toml(file)
        for i in range(n):
            rows.append(session(place, f"SOAK{i:02d}"))
            print(json.dumps(rows[-1]), flush=True)
            if options.json:
                options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
