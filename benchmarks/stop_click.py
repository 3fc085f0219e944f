"""From a click on STOP in the browser to below 50 µA on the oscilloscope.

Chromium, the web server, the guardian and the emulator are processes of their own, as for a person.
The time is counted from before the mouse is told to move until the last sample of 50 µA or more:
what the browser's driver takes is part of it. `--busy` has an analysis run in another process all
the while.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.live_sessions import Busy, Kept, Place, TrialError, Witness, now_s, spread

LIMIT_S = 1.0
ENDED_WITHIN_S = 30.0


def analyse() -> None:
    """What a page of a course or a report asks for, again and again."""
    import numpy as np

    from analysis.spectrum import fit_spectrum, segment_spectra

    rng = np.random.default_rng(1)
    signal = rng.standard_normal((16, 250 * 60))
    while True:
        found = segment_spectra(signal, 250.0, fmin_hz=1.0, fmax_hz=45.0)
        with contextlib.suppress(Exception):
            fit_spectrum(found.freqs_hz, found.mean().mean(axis=0))


@contextlib.contextmanager
def server(place: Place) -> Iterator[str]:
    """`tacs serve` in a process of its own; the operator's link."""
    process = subprocess.Popen(
        [
            sys.executable, "-P", "-m", "tacs", "serve", str(place.folder / "data"), "--port", "0",
            "--protocols", str(place.folder), "--device", "emulated:synthpal",
        ],
        stderr=subprocess.PIPE, text=True, env=place.environment,
    )  # fmt: skip
    try:
        for line in process.stderr or ():
            if found := re.search(r"http://\S+", line):
                yield found[0]
                break
        else:
            raise TrialError("the server did not start")
    finally:
        process.terminate()
        process.wait(30.0)
        if process.stderr is not None:
            process.stderr.close()


def trial(page: Any, place: Place, name: str, after_s: float) -> dict[str, Any]:
    """One session, one click."""
    page.get_by_label("Patient", exact=True).fill(name)
    page.get_by_label("Session", exact=True).fill("01")
    page.get_by_role("button", name="Check", exact=True).click()
    words = page.locator("code").first.inner_text()
    page.get_by_label("Type to arm").fill(words)
    page.get_by_role("button", name="Arm", exact=True).click()
    page.get_by_role("button", name="Start: current will flow").click()
    see = Witness(place, name)
    due_s = place.started_s(name) + after_s
    box = page.locator("#stop").bounding_box()
    see.look_until(due_s)
    since_s = now_s()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.get_by_role("button", name="Another session").wait_for()
    if not see.await_whole(ENDED_WITHIN_S):
        raise TrialError("the oscilloscope did not close its file")
    _, quiet_s = see.seen(since_s)
    end = place.lines(name)[-1]["data"]
    page.get_by_role("button", name="Another session").click()
    return {"quiet_s": round(quiet_s, 4), "outcome": end["outcome"], "cause": end["cause"]}


def series(folder: Path, number: int, runs: int, seed: int, kept: Kept) -> None:
    """One server, one browser, one session after the other."""
    from playwright.sync_api import Error, sync_playwright

    rng = random.Random(f"{seed}/{number}")
    place = Place.make(folder, duration_s=30.0)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    arguments = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    with server(place) as link, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page()
        page.goto(link)
        page.get_by_role("link", name="Session").click()
        for k in range(runs):
            name, after_s = f"W{number}S{k:04d}", rng.uniform(1.0, 7.0)
            try:
                found = trial(page, place, name, after_s)
            except (TrialError, Error) as exc:
                found = {"failed": str(exc).splitlines()[0]}
                page.reload()
            kept.add({"name": name, "after_s": round(after_s, 3), **found})
            shutil.rmtree(place.source(name), ignore_errors=True)
            (place.folder / f"witness-{name}.tsv.gz").unlink(missing_ok=True)
        browser.close()


def summary(results: Any) -> dict[str, Any]:
    """Over every click that a session was stopped by."""
    fine = [r for r in results if "failed" not in r]
    times = [r["quiet_s"] for r in fine]
    return {
        **{f"{k}_s" if k != "n" else k: v for k, v in spread(times).items()},
        "over_limit": sum(t > LIMIT_S for t in times),
        "failed": len(results) - len(fine),
        "not_stopped_by_it": sum("STOP on the page" not in r["cause"] for r in fine),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--at-once", type=int, default=2, help="servers, each with a browser")
    parser.add_argument("--busy", action="store_true", help="an analysis runs beside it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="written while the trials run, with every trial")
    options = parser.parse_args()
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        sys.exit("Chromium is not installed (Debian: apt install chromium)")
    kept, busy, began_s = Kept(options.json, summary), Busy(), now_s()
    beside = multiprocessing.get_context("spawn").Process(target=analyse, daemon=True)
    if options.busy:
        beside.start()
    share = [len(range(w, options.runs, options.at_once)) for w in range(options.at_once)]
    with tempfile.TemporaryDirectory(prefix="tacs-") as root:
        with ThreadPoolExecutor(options.at_once) as pool:
            jobs = [
                pool.submit(series, Path(root) / f"w{w}", w, runs, options.seed, kept)
                for w, runs in enumerate(share)
                if runs
            ]
            for job in jobs:
                job.result()
    if options.busy:
        beside.terminate()
        beside.join()
    found = kept.write()
    times = [found[key] for key in ("median_s", "p99_s", "max_s")]
    print("STOP clicked    n   median      p99      max   limit  over  failed  by something else")
    print(
        f"{'busy' if options.busy else 'idle':<12} {found['n']:>4} "
        + " ".join("      –" if t is None else f"{t:>7.3f}s" for t in times)
        + f" {LIMIT_S:>6.2f}s {found['over_limit']:>5} {found['failed']:>7} "
        f"{found['not_stopped_by_it']:>18}"
    )
    print(
        f"{options.at_once} sessions at once; machine busy {busy.percent()} % "
        f"for {now_s() - began_s:.0f} s"
    )


if __name__ == "__main__":
    main()
