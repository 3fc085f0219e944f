"""Pages of `tacs serve` at the size of a clinic: server time, median and p99.

A data set of N patients with 30 sessions each is made (`benchmarks.store`), a real server started
on it, and every page's data asked for over HTTP, by one person, one after the other: the list of
patients, timelines and calendars of patients drawn at random, alerts, the audit trail, and a rating
entered. The first answer of each is told apart: it reads and verifies everything.

    python -m benchmarks.page [--patients N] [--asked N] [--seed S] [--json FILE]

50 patients by default; `--patients 1000` is the full campaign.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.store import SESSIONS, make

PORT = 8971


class Page:
    """One person at the page."""

    def __init__(self, token: str) -> None:
        self.link = http.client.HTTPConnection("127.0.0.1", PORT, timeout=600)
        self.headers = {
            "Origin": f"http://127.0.0.1:{PORT}",
            "Content-Type": "application/json",
        }
        answer, told = self.ask("POST", "/api/v1/login", {"token": token})
        self.headers["X-CSRF-Token"] = told["csrf"]
        self.headers["Cookie"] = answer.getheader("set-cookie", "").split(";")[0]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[Any, Any]:
        """One request; its answer and what it says."""
        text = None if body is None else json.dumps(body)
        self.link.request(method, path, body=text, headers=self.headers)
        answer = self.link.getresponse()
        told = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {told[:200]!r}")
        return answer, json.loads(told) if told[:1] in b"[{" else told

    def seconds(self, method: str, path: str, body: Any = None) -> float:
        """How long an answer takes."""
        begun_s = time.perf_counter()
        self.ask(method, path, body)
        return time.perf_counter() - begun_s


def campaign(folder: Path, patients: int, asked: int, seed: int) -> dict[str, Any]:
    """Make the data set, start the server, and ask."""
    dataset = folder / "data"
    make(dataset, patients, seed, 4)
    command = [sys.executable, "-m", "tacs", "serve", str(dataset), "--port", str(PORT)]
    server = subprocess.Popen(
        [*command, "--role", "AB=operator"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    try:
        assert server.stderr is not None
        token = ""
        while not token:
            line = server.stderr.readline()
            if not line:
                raise RuntimeError("the server ended")
            found = re.search(r"#token=(\S+)", line)
            token = found.group(1) if found else ""
        page, rng = Page(token), random.Random(seed)

        def person() -> str:
            return f"P{rng.randrange(patients):04d}"

        rating = {"scale": "phq9", "items": {str(n): 1 for n in range(1, 9)} | {"9": 0}}
        asks = {
            "patients": lambda: ("GET", "/api/v1/patients"),
            "timeline": lambda: ("GET", f"/api/v1/patients/{person()}/timeline"),
            "calendar": lambda: ("GET", f"/api/v1/patients/{person()}/calendar"),
            "alerts": lambda: ("GET", "/api/v1/alerts"),
            "audit trail": lambda: ("GET", "/api/v1/audit"),
            "a rating entered": lambda: ("POST", f"/api/v1/patients/{person()}/ratings", rating),
        }
        told: dict[str, Any] = {"patients": patients, "sessions": patients * SESSIONS}
        print(f"{'page':18}{'first s':>9}{'median s':>10}{'p99 s':>8}{'n':>6}")
        for name, one in asks.items():
            first = page.seconds(*one())
            rest = [page.seconds(*one()) for _ in range(asked)]
            told[name] = {"first_s": first, "median_s": float(np.median(rest)),
                          "p99_s": float(np.quantile(rest, 0.99)), "n": asked}  # fmt: skip
            print(
                f"{name:18}{first:9.2f}{told[name]['median_s']:10.3f}{told[name]['p99_s']:8.3f}"
                f"{asked:6}",
                flush=True,
            )
        return told
    finally:
        server.terminate()
        server.wait(30)


def main() -> int:
    """Run it and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--asked", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tacs-page-") as name:
        os.environ["TACS_SITE_DIR"] = str(Path(name) / "site")
        found = campaign(Path(name), given.patients, given.asked, given.seed)
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
