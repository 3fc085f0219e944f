"""The connectivity benchmark on little: it compares like with like, and says what is short."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

pytest.importorskip("benchmarks.connectivity", reason="benchmarks are not here")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("mne_connectivity")

from analysis.connectivity import MEASURES
from benchmarks import connectivity as bench

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.filterwarnings("ignore")
def test_the_same_question_is_asked_of_both() -> None:
    epochs = bench.made(5, 3, 12)
    for mode in bench.MODES:
        peer = bench.theirs(epochs, MEASURES, mode)
        found = bench.ours(epochs, MEASURES, mode, compiled=False)
        assert bench.apart(found, peer) <= 1e-12
        other = bench.ours(epochs * 2.0 + epochs[:, ::-1], MEASURES, mode, compiled=False)
        assert bench.apart(other, peer) > 1e-3


def test_goals_are_met_or_named(capsys: pytest.CaptureFixture[str]) -> None:
    report = bench.Report()
    assert report.goal("fast", 11.0, 10.0, least_of=True) == "met"
    assert report.goal("slow", 9.0, 10.0, least_of=True) == "SHORT"
    assert report.goal("large", 2.0, 1.5, least_of=False) == "SHORT"
    assert report.short == ["slow: 9, goal 10", "large: 2, goal 1.5"]


def test_the_floor_counts_what_must_be_done() -> None:
    machine = bench.Machine(gflops=50.0, gbytes_per_s=25.0)
    one, memory, words = bench.floor_s(machine, 64, 1)
    assert one == pytest.approx((0.16896 + 0.0585446) / 50.0, rel=1e-3)
    assert memory == pytest.approx(30.72e6 / 25e9)
    assert "0.169 GFLOP of bins" in words
    assert bench.floor_s(machine, 64, 7)[0] > 5.0 * one


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_worker_says_its_memory_or_why_it_failed() -> None:
    task = {"name": "numpy", "mode": "fourier", "measures": ["coh"], "channels": 4, "seed": 1}
    command = [sys.executable, "-m", "benchmarks.connectivity", "--worker", json.dumps(task)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert 0.0 <= said["memory_mb"] < 200.0
    assert said["seconds"] > 0.0
