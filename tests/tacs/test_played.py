"""What the guardian tells of the sine that is played, and of where each train was."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacs.clock import QueueInbox
from tacs.dose import read_trace
from tacs.driver import find_driver
from tacs.guardian import Telemetry
from tacs.played import Played, PlayedTrack, begin_rad
from tacs.runner import run
from tests.tacs.made import protocol


def told(track):
    return track.told(ready=True)


def test_cycles_run_on_through_every_change_without_a_jump():
    track = PlayedTrack()
    assert told(track) is None
    track.tuned(1.0, 11.0)
    assert told(track) is None
    track.began(100.0, 100.01, 10.0)
    track.tuned(102.01, 10.5)
    track.tuned(104.01, 9.5)
    now = told(track)
    assert now.cycles == pytest.approx(2.0 * 10.0 + 2.0 * 10.5)
    assert (now.started_s, now.tuned_s, now.frequency_hz) == (100.0, 104.01, 9.5)
    assert now.phase_rad(104.01 + 0.25 / 9.5) == pytest.approx(0.5 * math.pi)


def test_it_survives_the_way_to_the_front_end():
    track = PlayedTrack()
    track.began(100.0, 100.01, 10.0)
    assert Played.from_dict(told(track).to_dict()) == told(track)
    track.levelled(0.1, 101.0, 101.01)
    assert Played.from_dict(told(track).to_dict()) == told(track)
    assert Played.from_dict(None) is None


def test_a_stretch_of_current_is_from_the_first_level_sent_to_zero_answered():
    track = PlayedTrack()
    track.levelled(0.0, 1.0, 1.01)
    track.began(2.0, 2.0, 10.0)
    assert (told(track).risen_s, told(track).fallen_s) == (None, None)
    for level, at_s in ((0.0, 3.0), (0.1, 4.0), (1.0, 5.0), (0.2, 6.0), (0.0, 7.0), (0.0, 8.0)):
        track.levelled(level, at_s, at_s + 0.01)
    assert (told(track).risen_s, told(track).fallen_s) == (4.0, 7.01)


def test_only_a_sine_that_runs_on_through_gaps_has_a_phase_that_is_known():
    declared = {n: find_driver(n).capabilities.train_phase for n in ("synthpal", "nidaq", "scpi")}
    assert declared == {"synthpal": "runs_on", "nidaq": "runs_on", "scpi": "unknown"}


def trains_and_trace(
    device: str, folder: Path, **changes: Any
) -> tuple[list[tuple[float, float]], Played, Any, Any]:
    """Begin and end of every train as told, the sine, and the oscilloscope's time and current."""
    found: dict[int, tuple[float, float]] = {}
    last: list[Telemetry] = []

    def watch(now: Telemetry) -> None:
        last.append(now)
        played = now.played
        if now.state.value == "between_trains" and now.trains and played is not None:
            assert played.risen_s is not None
            assert played.fallen_s is not None
            found.setdefault(now.trains, (played.risen_s, played.fallen_s))

    trains = {"on_s": 2.0, "off_s": 1.5, "edge_s": 0.5, "settle_s": 10.0, "count": 6}
    done = run(
        protocol(**{"duration_s": 70.0, "trains": trains, "frequency_hz": 10.27, **changes}),
        f"emulated:{device}", subject="a", session="1", dataset=folder, clock="virtual",
        watch=watch,
    )  # fmt: skip
    assert done.outcome == "done"
    assert done.trace is not None
    about = json.loads(Path(str(done.trace).replace(".tsv.gz", ".json")).read_text())
    played = next(x.played for x in reversed(last) if x.played is not None)
    current_ma = read_trace(done.trace, len(about["Columns"]))[about["Columns"].index("Oz")]
    times_s = played.started_s + about["StartTime"] + np.arange(len(current_ma)) / 1000.0
    return list(found.values()), played, times_s, current_ma


@pytest.mark.parametrize(
    ("device", "changes"),
    [("synthpal", {}), ("nidaq", {}), ("nidaq", {"waveform": "am_tacs", "carrier_hz": 90.0})],
    ids=["synthpal", "nidaq", "envelope"],
)
def test_every_train_is_where_and_at_the_phase_that_the_oscilloscope_shows(
    tmp_path: Path, device: str, changes: dict[str, Any]
):
    trains, played, times_s, current_ma = trains_and_trace(device, tmp_path / "d", **changes)
    delay_s = find_driver(device).capabilities.reaction_s
    assert len(trains) == 6
    begin = begin_rad(protocol(**changes))
    for from_s, to_s in trains:
        flows = np.flatnonzero(
            (np.abs(current_ma) > 1e-3) & (times_s > from_s - 0.5) & (times_s < to_s + 0.5)
        )
        # The first millisecond with current is in the first tick of the edge; none is after.
        assert -0.025 < times_s[flows[0]] - (from_s + delay_s) < 0.06
        assert -0.06 < times_s[flows[-1]] - (to_s + delay_s) < 0.005
        top = (times_s > from_s + delay_s + 0.6) & (times_s < from_s + delay_s + 1.4)
        turns = np.exp(-2j * np.pi * played.frequency_hz * (times_s[top] - from_s))
        seen = np.abs(current_ma[top]) if changes else current_ma[top]
        window = np.hanning(top.sum())
        seen_rad = np.angle(((seen - seen.mean()) * turns * window).sum())
        off = math.remainder(seen_rad - begin - played.phase_rad(from_s), 2.0 * math.pi)
        assert abs(math.degrees(off)) < 4.0


def test_what_is_in_a_queue_is_played_with_the_frequency_that_it_was_made_with():
    track = PlayedTrack(reaction_s=0.16)
    track.began(100.0, 100.01, 10.0)
    track.tuned(102.01, 10.5)
    now = told(track)
    assert now.cycles == pytest.approx(10.0 * 2.16)
    assert now.tuned_s == pytest.approx(102.17)


@pytest.mark.parametrize("device", ["synthpal", "nidaq"])
def test_after_a_new_frequency_the_phase_is_still_the_oscilloscope_s(tmp_path: Path, device: str):
    last: list[Telemetry] = []
    script = [
        (35.0, 'retune:{"frequency_hz": 10.67}'),
        (36.5, 'retune:{"frequency_hz": 11.07}'),
    ]
    done = run(
        protocol(duration_s=70.0, retune={"within_hz": 1.0}, frequency_hz=10.27),
        f"emulated:{device}", subject="a", session="1", dataset=tmp_path / "d", clock="virtual",
        inbox=QueueInbox(script), watch=last.append,
    )  # fmt: skip
    assert done.trace is not None
    about = json.loads(Path(str(done.trace).replace(".tsv.gz", ".json")).read_text())
    played = next(x.played for x in reversed(last) if x.played is not None)
    current_ma = read_trace(done.trace, len(about["Columns"]))[about["Columns"].index("Oz")]
    times_s = played.started_s + about["StartTime"] + np.arange(len(current_ma)) / 1000.0
    full = (times_s > played.started_s + 40.0) & (times_s < played.started_s + 42.0)
    turns = np.exp(-2j * np.pi * played.frequency_hz * (times_s[full] - times_s[full][0]))
    seen_rad = np.angle((current_ma[full] * turns * np.hanning(full.sum())).sum())
    told_rad = begin_rad(protocol()) + played.phase_rad(times_s[full][0])
    off_deg = math.degrees(math.remainder(seen_rad - told_rad, 2.0 * math.pi))
    # Two steps of 0.4 Hz, each 0.16 s late, would be 46 degrees. A queue that is filled once a tick
    # is known to 20 ms: 5.8 degrees.
    assert abs(off_deg) < 0.8 * 360.0 * 0.02
