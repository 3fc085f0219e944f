"""The store at the size of a clinic: N patients with 30 sessions each, in SQLite and PostgreSQL.

What it prints, in one run: how long the tables of a data set take to make (every record verified,
and again with unchanged records taken as they were), importing them into either database, whether
the rows are the same one by one, the p99 of the queries that a page makes (the list of patients,
one patient's timeline), two programs writing at once, and what is left where a program is killed
in the middle of writing (`kill -9` of a rebuild, and of entries into the journal).

The data set is made, with short run records: a record of a real session of 20 min has about 9000
lines and 2.3 MB. What verifying one of those takes is measured beside, as `--record-lines`.

    python -m benchmarks.store [--patients N] [--queries N] [--seed S] [--json FILE]

50 patients by default; `--patients 1000` is the full campaign (30 000 sessions). PostgreSQL is
taken from Debian's folder, started in a folder of its own; where there is none, it is left out
with one line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SESSIONS = 30
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RATED_EVERY = 5
PROTOCOL = {
    "name": "made", "waveform": "tacs", "frequency_hz": 10.27, "duration_s": 1200.0,
    "ramp_up_s": 30.0, "ramp_down_s": 15.0,
    "montage": {
        "electrodes": [
            {"name": name, "area_cm2": 25.0, "material": "conductive_rubber_paste"}
            for name in ("Oz", "Cz")
        ],
        "loops": [{"source": "Oz", "sink": "Cz", "current_peak_ma": 1.0}],
    },
    "expected_effect": {
        "direction": "increase", "measure": "alpha power", "region": "posterior",
    },
}  # fmt: skip


class _Now:
    def __init__(self) -> None:
        self.at = START


def make(dataset: Path, patients: int, seed: int, record_lines: int) -> None:
    """Write the data set: records, peaks, outcomes, ratings and forms, on made days."""
    from tacs.clock import pretended_calendar
    from tacs.dataset import SessionPaths, ensure_dataset
    from tacs.journal import Journal, NewEntry
    from tacs.protocol import Protocol
    from tacs.ratings import new_rating
    from tacs.record import RecordWriter
    from tacs.scales import load_scale

    rng, now = random.Random(seed), _Now()
    ensure_dataset(dataset)
    protocol = Protocol.from_data(PROTOCOL, "made")
    scale, book = load_scale("phq9"), Journal(dataset)
    first = {
        "protocol": protocol.to_data(), "protocol_sha256": protocol.sha256(), "emulated": True,
        "device": "synthpal", "operator": "AB", "role": "operator",
    }  # fmt: skip
    delivered = {
        "duration_s": 1199.9, "frequency_hz": 10.27, "current_peak_ma": 0.9998,
        "electrodes": {"Oz": 0.9998, "Cz": 0.9998}, "rectified_charge_c": 0.75,
        "source": "measured",
    }  # fmt: skip
    drafts: list[NewEntry] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(pretended_calendar(lambda: now.at))
        for call in ("fsync", "fdatasync"):  # what is measured is not how the data set was made
            stack.enter_context(mock.patch.object(os, call, return_value=None))
        for person in range(patients):
            subject = f"P{person:04d}"
            iaf = rng.gauss(10.0, 0.9)
            for number in range(SESSIONS):
                label = f"{number + 1:02d}"
                now.at = START + timedelta(days=number, minutes=person % 60)
                paths = SessionPaths.of(dataset, subject, label)
                with RecordWriter(paths.record) as writer:
                    body = {"subject": subject, "session": label, **first}
                    writer.append("session", 0.0, body, sync=False)
                    for line in range(record_lines):
                        writer.append("renew", 1.0 + line / 7.5, {"level": 1.0}, sync=False)
                    end = {"outcome": "done", "cause": "", "delivered": delivered}
                    writer.append("end", 1201.0, end, sync=False)
                _results(paths, rng, iaf, now.at)
                if number % RATED_EVERY == 0:
                    level = max(0.0, 2.2 - 0.05 * number)
                    answers = {
                        item: min(3, max(0, round(rng.gauss(level, 0.6)))) for item in range(1, 9)
                    }
                    drafts.append(
                        new_rating(
                            scale,
                            answers | {9: int(rng.random() < 0.02)},
                            subject=subject,
                            at=now.at,
                            now=now.at,
                            operator="AB",
                            role="rater",
                            session=label,
                            rater_blinded="yes",
                            method="made",
                            corrects=None,
                        )
                    )
                drafts.append(
                    NewEntry(
                        kind="adverse_effects",
                        data={
                            "form": "adverse_effects",
                            "version": "1",
                            "when": "after",
                            "answers": {"tingling": 2, "serious": "no"},
                        },
                        subject=subject,
                        session=label,
                        operator="AB",
                        role="operator",
                    )
                )
        book.append_all(drafts)


def _results(paths: Any, rng: random.Random, iaf_hz: float, at: datetime) -> None:
    """What `tacs peak` and `tacs compare` leave, as far as the tables read it."""
    peak_hz, change = iaf_hz + rng.gauss(0.0, 0.15), rng.gauss(0.15, 0.1)
    paths.derivatives.mkdir(parents=True, exist_ok=True)
    percent = [100.0 * (float(np.exp(change + d)) - 1.0) for d in (-0.1, 0.0, 0.1)]
    paths.peak.write_text(
        json.dumps(
            {
                "status": "found", "frequency_hz": peak_hz,
                "ci95_hz": [peak_hz - 0.1, peak_hz + 0.1], "band_hz": [7.0, 13.0],
                "prominence_db": 12.0, "replication": False, "method": "made",
                "measured_at": at.isoformat(), "recording_sha256": "0" * 64,
            }
        )
    )  # fmt: skip
    paths.outcome.write_text(
        json.dumps(
            {
                "power": {
                    "ln_ratio": change, "percent": percent[1],
                    "ci95_percent": [percent[0], percent[2]], "p": None, "band_hz": [8.3, 12.3],
                    "adjusted": {"ln_ratio": change},
                },
                "connectivity": {"imcoh": {"power_matched_change": 0.01}},
                "direction": "increase", "peak_shift_hz": 0.01,
            }
        )
    )  # fmt: skip


@contextlib.contextmanager
def postgres() -> Iterator[str | None]:
    """The URL of a server of our own, or None."""
    import pytest

    from tests.tacs.postgres import serve

    server = serve()
    try:
        url: str | None = next(server)
    except pytest.skip.Exception as exc:
        print(f"PostgreSQL left out: {exc}")
        url = None
    try:
        yield url
    finally:
        server.close()  # type: ignore[attr-defined]


LIST = """
SELECT s.subject, COUNT(e.session), MAX(e.began_utc),
 (SELECT r.total FROM tacs_ratings r WHERE r.subject = s.subject AND r.corrected_by IS NULL
  ORDER BY r.at_utc DESC LIMIT 1),
 (SELECT COUNT(*) FROM tacs_alerts a WHERE a.subject = s.subject AND a.acknowledged_by IS NULL)
FROM tacs_subjects s LEFT JOIN tacs_sessions e ON e.subject = s.subject
GROUP BY s.subject ORDER BY s.subject
"""
TIMELINE = ("sessions", "peaks", "doses", "outcomes", "after_effects", "decisions", "ratings",
            "alerts", "forms", "courses", "course_events")  # fmt: skip


def queries(url: str, patients: int, count: int, seed: int) -> dict[str, float]:
    """p50 and p99 in milliseconds of what a page asks."""
    import sqlalchemy as sa

    from tacs.store import store_url

    rng = random.Random(seed)
    engine = sa.create_engine(store_url(url))
    found: dict[str, list[float]] = {"list": [], "timeline": []}
    try:
        with engine.connect() as connection:
            for number in range(count):
                began = time.perf_counter()
                if number % 10 == 0:
                    rows = connection.execute(sa.text(LIST)).all()
                    if len(rows) != patients:
                        raise SystemExit(f"the list holds {len(rows)} of {patients} patients")
                    found["list"].append(time.perf_counter() - began)
                    began = time.perf_counter()
                subject = f"P{rng.randrange(patients):04d}"
                for table in TIMELINE:
                    connection.execute(
                        sa.text(f"SELECT * FROM tacs_{table} WHERE subject = :s"), {"s": subject}
                    ).all()
                found["timeline"].append(time.perf_counter() - began)
    finally:
        engine.dispose()
    return {
        f"{name}_p{part}_ms": 1000.0 * float(np.percentile(times, part))
        for name, times in found.items()
        for part in (50, 99)
    }


def _run(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )


REBUILD = "import sys; from tacs.store import rebuild; rebuild(sys.argv[1], sys.argv[2])"
DYING = """
import os, signal, sys
from tacs import store
insert = store.sa.insert
def dying(table):
    if table.name == 'tacs_ratings':
        os.kill(os.getpid(), signal.SIGKILL)
    return insert(table)
store.sa.insert = dying
store.rebuild(sys.argv[1], sys.argv[2])
"""
ENTERING = """
import sys
from tacs.clock import utc_now
from tacs.ratings import rate
from tacs.scales import load_scale
scale, number = load_scale('phq9'), 0
while number < int(sys.argv[3]):
    rate(sys.argv[1], scale, {n: 1 for n in range(1, 9)} | {9: 0}, subject=sys.argv[2],
         at=utc_now(), now=utc_now(), operator=sys.argv[2], role='rater', method='made')
    number += 1
    print(number, flush=True)
"""


def two_writers(dataset: Path, url: str) -> dict[str, Any]:
    """Two rebuilds at once: both end well, and the rows are those of the data set."""
    from tacs.projection import project
    from tacs.store import read_store

    began = time.perf_counter()
    running = [_run(REBUILD, str(dataset), url) for _ in range(2)]
    told = [one.communicate()[1] for one in running]
    wall_s = time.perf_counter() - began
    codes = [one.returncode for one in running]
    if codes != [0, 0]:
        raise SystemExit(f"two writers: {codes} {told}")
    return {
        "wall_s": wall_s,
        "equal": read_store(dataset, url).tables == project(dataset).tables,
    }


def killed(dataset: Path, url: str) -> bool:
    """Whether a rebuild that is killed halfway leaves the rows that were there."""
    from tacs.store import read_store

    before = read_store(dataset, url).tables
    one = _run(DYING, str(dataset), url)
    one.communicate()
    if one.returncode != -signal.SIGKILL:
        raise SystemExit(f"the rebuild was to be killed and ended with {one.returncode}")
    return read_store(dataset, url).tables == before


def journal_writers(folder: Path, entries: int, kills: int) -> dict[str, Any]:
    """Two programs enter ratings at once; others are killed. The chain verifies, none is lost."""
    from tacs.dataset import ensure_dataset
    from tacs.journal import Journal

    dataset = ensure_dataset(folder / "journal")
    began = time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ENTERING, str(dataset), name, str(entries)], cwd=ROOT,
            stdout=subprocess.PIPE, text=True,
        )
        for name in ("A", "B")
    ]  # fmt: skip
    for one in running:
        one.communicate()
    wall_s = time.perf_counter() - began
    by = [sum(e.subject == name for e in Journal(dataset).entries()) for name in ("A", "B")]
    told = 0
    for number in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", ENTERING, str(dataset), "C", "1000000"], cwd=ROOT,
            stdout=subprocess.PIPE, text=True,
        ) as one:  # fmt: skip
            assert one.stdout is not None
            last = 0
            for _ in range(3 + number % 4):
                last = int(one.stdout.readline())
            one.kill()
            rest = one.stdout.read().split()
            told += int(rest[-1]) if rest and rest[-1].isdecimal() else last
    there = sum(e.subject == "C" for e in Journal(dataset).entries())  # raises where it is broken
    return {
        "entries_each": entries, "there": by, "wall_s": wall_s, "kills": kills,
        "acknowledged_before_kills": told, "there_after_kills": there,
        "ok": by == [entries, entries] and told <= there <= told + kills,
    }  # fmt: skip


def timed(what: Callable[[], Any]) -> tuple[Any, float]:
    """Result and wall time in seconds."""
    began = time.perf_counter()
    return what(), time.perf_counter() - began


def one_record(folder: Path, lines: int) -> dict[str, float]:
    """A record as long as one of a real session: verified, and taken by the hash of its bytes."""
    from tacs.projection import project

    dataset = folder / "long"
    global SESSIONS
    kept, SESSIONS = SESSIONS, 1
    try:
        make(dataset, 1, 0, lines)
    finally:
        SESSIONS = kept
    _, first_s = timed(lambda: project(dataset, "P0000"))
    _, again_s = timed(lambda: project(dataset, "P0000"))
    record = next(dataset.glob("sourcedata/tacs/sub-*/ses-*/*_record.jsonl"))
    return {
        "lines": lines, "megabytes": record.stat().st_size / 1e6, "verified_s": first_s,
        "unchanged_s": again_s,
    }  # fmt: skip


def campaign(folder: Path, patients: int, count: int, seed: int, lines: int) -> dict[str, Any]:
    """Everything, as a dictionary."""
    from tacs.projection import project
    from tacs.store import read_store, rebuild

    dataset = folder / "data"
    _, made_s = timed(lambda: make(dataset, patients, seed, 4))
    print(f"{patients} patients x {SESSIONS} sessions made in {made_s:.1f} s")
    found: dict[str, Any] = {"patients": patients, "sessions": patients * SESSIONS}
    projection, first_s = timed(lambda: project(dataset))
    again, again_s = timed(lambda: project(dataset))
    _, one_s = timed(lambda: project(dataset, "P0000"))
    rows = sum(len(table) for table in projection.tables.values())
    found["tables"] = {
        "rows": rows, "verified_s": first_s, "unchanged_s": again_s, "one_patient_s": one_s,
        "equal": again.tables == projection.tables,
    }  # fmt: skip
    print(
        f"tables: {rows} rows; every record verified {first_s:.1f} s, unchanged {again_s:.1f} s, "
        f"one patient {one_s:.2f} s"
    )
    found["record"] = one_record(folder, lines)
    print(
        f"a record of {lines} lines ({found['record']['megabytes']:.1f} MB): verified "
        f"{found['record']['verified_s']:.2f} s, unchanged {found['record']['unchanged_s']:.3f} s"
    )
    with postgres() as server:
        urls = {"sqlite": f"sqlite:///{folder / 'store.sqlite'}"}
        if server is not None:
            urls["postgresql"] = server
        for name, url in urls.items():
            found[name] = _database(dataset, url, projection, patients, count, seed, rebuild,
                                    read_store)  # fmt: skip
            one = found[name]
            print(
                f"{name}: rebuilt {one['import_s']:.1f} s (tables included), again "
                f"{one['rebuild_s']:.1f} s, rows equal {one['equal']}; list p99 "
                f"{one['list_p99_ms']:.1f} ms, timeline p99 {one['timeline_p99_ms']:.1f} ms "
                f"(n {count}); two writers {one['two_writers']['wall_s']:.1f} s, equal "
                f"{one['two_writers']['equal']}; killed: old rows {one['killed_keeps_old']}"
            )
    found["journal"] = journal_writers(folder, 100, 10)
    print(f"journal: {found['journal']}")
    found["ok"] = (
        found["tables"]["equal"]
        and found["journal"]["ok"]
        and all(
            found[name]["equal"]
            and found[name]["two_writers"]["equal"]
            and found[name]["killed_keeps_old"]
            for name in urls
        )
    )
    return found


def _database(
    dataset: Path,
    url: str,
    projection: Any,
    patients: int,
    count: int,
    seed: int,
    rebuild: Callable[..., Any],
    read_store: Callable[..., Any],
) -> dict[str, Any]:
    made, import_s = timed(lambda: rebuild(dataset, url))
    stored, read_s = timed(lambda: read_store(dataset, url))
    again, rebuild_s = timed(lambda: rebuild(dataset, url))
    return {
        "import_s": import_s,
        "read_s": read_s,
        "rebuild_s": rebuild_s,
        "equal": stored.tables == projection.tables and made.digest == again.digest,
        **queries(url, patients, count, seed),
        "two_writers": two_writers(dataset, url),
        "killed_keeps_old": killed(dataset, url),
    }


def main() -> int:
    """Run the campaign and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record-lines", type=int, default=9000)
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tacs-store-") as name:
        os.environ["TACS_SITE_DIR"] = str(Path(name) / "site")
        found = campaign(Path(name), given.patients, given.queries, given.seed, given.record_lines)
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
