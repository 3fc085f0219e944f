"""The campaigns on the real clock: what they take for the truth, and how they count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("benchmarks.live_sessions", reason="benchmarks are not here")

from benchmarks import kill, stop_latency
from benchmarks.live_sessions import Kept, Place, TrialError, Witness, side_by_side, spread
from devices.emulators.oscilloscope import Oscilloscope
from tacs.dataset import SessionPaths

BEGAN_S = 100.0


def two_seconds(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """One milliampere for two seconds: two millicoulomb."""
    on = (times_s >= BEGAN_S + 1.0) & (times_s < BEGAN_S + 3.0)
    return np.array([1.0, -1.0])[:, None] * on


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.make(tmp_path / "place")


@pytest.fixture
def paths(place: Place) -> SessionPaths:
    return SessionPaths.of(place.folder / "data", "K0001", "01")


@pytest.fixture
def scope(paths: SessionPaths) -> Oscilloscope:
    return Oscilloscope(paths.oscilloscope, ("Oz", "Cz"), BEGAN_S, two_seconds)


def test_what_flowed_is_known_of_a_session_that_ended_before_its_kill(
    place: Place, paths: SessionPaths, scope: Oscilloscope
) -> None:
    """Its trace is not where it was written any more: that was taken for no current."""
    see = Witness(place, "K0001")
    assert see.look()
    scope.close(BEGAN_S + 5.0, clean=True)
    paths.trace.parent.mkdir(parents=True)
    paths.oscilloscope.replace(paths.trace)
    charge_c, quiet_s = see.seen(BEGAN_S + 6.0)
    assert charge_c == pytest.approx(2e-3)
    assert quiet_s == pytest.approx(-3.0)


def test_the_time_to_quiet_is_that_of_the_last_loud_sample(
    place: Place, scope: Oscilloscope
) -> None:
    see = Witness(place, "K0001")
    scope.close(BEGAN_S + 5.0, clean=True)
    assert see.seen(BEGAN_S + 2.5)[1] == pytest.approx(0.5)


def test_what_is_not_closed_is_no_truth(place: Place, scope: Oscilloscope) -> None:
    see = Witness(place, "K0001")
    scope.run_to(BEGAN_S + 15.0)
    assert not see.whole
    with pytest.raises(TrialError, match="did not close its file"):
        see.seen(BEGAN_S)
    scope.close(BEGAN_S + 15.0, clean=True)
    assert see.whole


def test_without_an_oscilloscope_there_is_no_witness(place: Place) -> None:
    see = Witness(place, "K0001")
    assert not see.look()
    assert not see.whole


def killed(**changes: Any) -> dict[str, Any]:
    return {
        "name": "K0001", "after_s": 3.0, "hidden": False, "had_record": True, "started": True,
        "ended_before": False, "verifies": True, "outcome": "interrupted", "lost_s": 0.1,
        "true_c": 2e-3, "booked_c": 2e-3, "source": "measured", "quiet_s": 1.5, **changes,
    }  # fmt: skip


def test_doses_too_low_are_counted_apart_from_those_too_high() -> None:
    found = kill.summary(
        [
            killed(),
            killed(booked_c=1e-3),
            killed(booked_c=4e-3),
            killed(source="upper bound", booked_c=1e-3),
            killed(source="upper bound", booked_c=3e-3),
            killed(ended_before=True, outcome="done", lost_s=None, quiet_s=None),
            {"name": "K0002", "after_s": 1.0, "hidden": True, "failed": "no guardian came"},
        ]
    )
    assert (found["kills"], found["started"], found["ended_before_the_kill"]) == (7, 6, 1)
    assert found["failed"] == {"no guardian came": 1}
    assert (found["measured_below_truth"], found["bound_below_truth"]) == (1, 1)
    assert found["measured_error_c"]["max"] == pytest.approx(2e-3)
    assert found["bound_excess_c"]["max"] == pytest.approx(1e-3)
    assert found["lost_s"]["n"] == 5


def test_a_session_that_was_quiet_before_is_no_fast_stop() -> None:
    cause = "operator stop"
    results = [
        {"cause": cause, "quiet_s": quiet_s, "outcome": "stopped"} for quiet_s in (0.7, 1.3, -2.0)
    ]
    results += [{"cause": cause, "failed": "no guardian came"}, {"cause": "link loss"}]
    found = stop_latency.row(cause, results)
    assert (found["n"], found["quiet_before"], found["over_limit"]) == (2, 1, 1)
    assert (found["median_s"], found["max_s"]) == (1.0, 1.3)
    assert "stopped 3" in stop_latency.line(found)
    assert "–" in stop_latency.line(stop_latency.row("overcurrent", results))


def test_results_are_on_disk_before_the_campaign_ends(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    kept = Kept(file, lambda results: {"n": len(results)})

    def third() -> dict[str, Any]:
        raise KeyboardInterrupt

    trials = [lambda: {"k": 0}, lambda: {"k": 1}, third]
    with pytest.raises(KeyboardInterrupt):
        side_by_side(trials, 1, kept.add)
    assert json.loads(file.read_text())["trials"][0] == {"k": 0}
    assert kept.write() == {"n": 2}
    assert json.loads(file.read_text()) == {"n": 2, "trials": [{"k": 0}, {"k": 1}]}


def test_a_spread_of_nothing_has_no_figures() -> None:
    assert spread([]) == {"n": 0, "median": None, "p99": None, "max": None}
    assert spread([1.0, 2.0, 3.0])["median"] == 2.0
