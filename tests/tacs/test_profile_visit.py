"""A visit's protocol, its table, and the listener that fills it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.profile_blocks import read_blocks
from analysis.profile_visits import Visit
from tacs.clock import VirtualClock
from tacs.driver import find_driver
from tacs.errors import InputError, LinkLost, RecordError, SourceOver
from tacs.guardian import Telemetry
from tacs.played import Played
from tacs.profile_blocks import Planned, RunPlan
from tacs.profile_listener import VisitListener
from tacs.profile_visit import (
    Train,
    first_train_s,
    loop_rad,
    phase_refusal,
    train_table,
    visit_of,
    visit_protocol,
)
from tacs.session import State
from tacs.waveform import Waveform
from tests.tacs.made import montage_data, protocol

DRIVE = Visit(2, "drive", 8.5, 1.0, 20, 2.0, 1.5)
SHAM = Visit(3, "sham", 10.5, 1.0, 20, 2.0, 1.5)


def plan(**changes: Any) -> RunPlan:
    blocks = (
        Planned(8.5, 1.0, "drive"), Planned(10.5, 2.0, "sham"), Planned(12.5, 2.0, "drive"),
    )  # fmt: skip
    data = {"peak_hz": 10.5, "trains": 20, **changes}
    return RunPlan("electrical", blocks, 2.0, 1.5, data)


# -- protocol -------------------------------------------------------------------------------------


def test_a_visit_s_protocol_is_the_base_with_its_frequency_and_its_trains():
    base = protocol(montage=montage_data(("Oz", "Cz", 1.0), ("F3", "Cz", 0.5, 90.0)))
    made = visit_protocol(base, DRIVE, 0.5)
    assert (made.frequency_hz, made.waveform, made.n_trains) == (8.5, "tacs", 20)
    assert made.trains is not None
    assert made.trains.to_data() == {
        "on_s": 2.0, "off_s": 1.5, "edge_s": 0.5, "settle_s": 10.0, "count": 20,
        "start": "schedule", "steps": [], "order": "fixed",
    }  # fmt: skip
    assert [loop.current_peak_ma for loop in made.montage.loops] == [0.5, 0.25]
    assert (made.ramp_up_s, made.ramp_down_s) == (base.ramp_up_s, base.ramp_down_s)
    assert made.individual == base.individual
    # Run-in of 40.5 s, twenty trains with their gaps, room for a ramp-down.
    assert made.duration_s == pytest.approx(40.5 + 70.0 + 15.0)
    assert first_train_s(made) == pytest.approx(42.0)
    rises = [s.start_s for s in Waveform(made).segments if s.kind == "train_rise"]
    assert rises[0] == pytest.approx(first_train_s(made))
    assert len(rises) == 20
    assert loop_rad(made) == pytest.approx(-0.5 * math.pi)


def test_edges_and_run_in_of_the_base_protocol_are_kept_and_its_retuning_is_not():
    trains = {"on_s": 8.0, "off_s": 4.0, "edge_s": 0.8, "settle_s": 20.0, "start": "request"}
    base = protocol(trains=trains, retune={"within_hz": 1.0}, duration_s=300.0)
    made = visit_protocol(base, DRIVE, 1.0)
    assert made.trains is not None
    assert (made.trains.edge_s, made.trains.settle_s, made.trains.on_s) == (0.8, 20.0, 2.0)
    assert made.trains.start == "schedule"
    assert made.retune is None


def test_sham_has_the_ramps_only_and_its_trains_begin_behind_them():
    made = visit_protocol(protocol(), SHAM, 1.0)
    assert (made.waveform, made.sham_plateau_s, made.frequency_hz) == ("active_sham", 0.0, 10.5)
    assert first_train_s(made) == pytest.approx(30.0 + 15.0 + 1.5)
    last_s = first_train_s(made) + 19 * 3.5 + 2.0
    assert last_s <= made.duration_s
    kinds = {s.kind for s in Waveform(made).segments}
    assert kinds == {"ramp_up", "ramp_down", "silent"}


@pytest.mark.parametrize(
    ("base", "word"),
    [
        (protocol(blinding={"label": "A"}), "blinded session has no trains"),
        (protocol(waveform="passive_sham"), "is a sham"),
    ],
)
def test_a_base_protocol_that_no_visit_can_be_made_of(base: Any, word: str):
    with pytest.raises(InputError, match=word):
        visit_protocol(base, DRIVE, 1.0)


def test_a_plan_gives_visits_and_their_share_of_the_current():
    assert visit_of(plan(), 1) == (Visit(1, "drive", 8.5, 1.0, 20, 2.0, 1.5), 0.5)
    assert visit_of(plan(), 2) == (Visit(2, "sham", 10.5, 2.0, 20, 2.0, 1.5), 1.0)
    for number in (0, 4):
        with pytest.raises(InputError, match="visits 1 to 3"):
            visit_of(plan(), number)
    with pytest.raises(InputError, match="number of trains"):
        visit_of(plan(trains="many"), 1)
    with pytest.raises(InputError, match="has no visits"):
        visit_of(RunPlan("photic", plan().blocks, 2.0, 1.5, {}), 1)


def test_a_device_whose_trains_have_no_known_phase_is_refused_with_the_reason():
    assert phase_refusal(find_driver("synthpal").capabilities) == ""
    assert phase_refusal(find_driver("nidaq").capabilities) == ""
    assert "begins its cycle anew" in phase_refusal(find_driver("scpi").capabilities)
    assert "cannot play trains" in phase_refusal(find_driver("nic2").capabilities)


def test_the_table_is_what_the_analysis_reads(tmp_path: Path):
    rows = [
        Train(number=3, frequency_hz=10.27, level_ma=1.0, kind="sham", start_s=1.25, stop_s=3.25,
              phase_rad=-2.5, group="visit3")
    ]  # fmt: skip
    path = tmp_path / "t.tsv"
    path.write_text(train_table(rows))
    (block,) = read_blocks(path)
    assert (block.frequency_hz, block.level, block.kind, block.order) == (10.27, 1.0, "sham", 3)
    assert (block.start_s, block.stop_s, block.phase_rad, block.group) == (
        1.25, 3.25, -2.5, "visit3",
    )  # fmt: skip


# -- the listener ---------------------------------------------------------------------------------

START_S, HZ, FS = 100.0, 10.0, 250.0


class Source:
    """EEG that a test brings in stretches; `error` in place of the next one."""

    def __init__(self) -> None:
        self.info = type("Info", (), {"sfreq_hz": FS, "source": "made", "channels": ("Oz",)})()
        self.blocks: list[Any] = []
        self.error: Exception | None = None
        self.at_s = START_S

    def bring(self, seconds: float, *, missing: int = 0, jump: bool = False) -> None:
        self.at_s += missing / FS
        times_s = self.at_s + np.arange(round(seconds * FS)) / FS
        self.at_s = float(times_s[-1]) + 1.0 / FS
        self.blocks.append(Block(times_s, missing, jump))

    def read(self, timeout_s: float = 0.0) -> Any:
        if self.blocks:
            return self.blocks.pop(0)
        if self.error is not None:
            raise self.error
        return Block(np.empty(0), 0, False)


class Block:
    def __init__(self, times_s: Any, missing: int, restarted: bool) -> None:
        self.times_s, self.missing, self.restarted = times_s, missing, restarted
        self.signal_uv = np.zeros((1, len(times_s)))

    def __len__(self) -> int:
        return len(self.times_s)


class Recorder:
    def __init__(self) -> None:
        self.n, self.marks, self.full = 0, list[Any](), False

    def write(self, block: Any) -> None:
        if self.full:
            raise RecordError("the disk is full")
        self.n += len(block)

    def mark(self, text: str, start_s: float, stop_s: float | None = None) -> None:
        self.marks.append((text, start_s, stop_s))


class Ear:
    """A listener with what it needs, on a clock that the test moves."""

    def __init__(self, visit: Visit = DRIVE, **changes: Any) -> None:
        self.clock = VirtualClock(START_S)
        self.source, self.recorder = Source(), Recorder()
        self.put: list[str] = []
        self.said: list[str] = []
        self.kept: list[int] = []
        options: dict[str, Any] = {
            "visit": visit, "level_ma": 1.0, "first_s": 2.0, "loop_rad": -0.5 * math.pi,
            "reaction_s": 0.0, "eeg_delay_s": 0.0, "put": self.put.append,
            "keep": lambda rows: self.kept.append(len(rows)), "say": self.said.append,
        }  # fmt: skip
        self.listener = VisitListener(
            self.source,
            self.clock,
            self.recorder,
            **{**options, **changes},  # type: ignore[arg-type]
        )

    def tell(self, state: State, at_s: float, trains: int, **played: float | None) -> None:
        """Have the guardian tell something at a session time; the sine began at 0."""
        began = Played(
            started_s=START_S, tuned_s=START_S, cycles=0.0, frequency_hz=HZ,
            **{k: None if v is None else START_S + v for k, v in played.items()},  # type: ignore[arg-type]
        )  # fmt: skip
        self.listener.hear(
            Telemetry(
                state=state,
                elapsed_s=at_s,
                duration_s=100.0,
                level=0.0,
                measured_ma=None,
                impedance_kohm=None,
                cause="",
                played=began,
                trains=trains,
            )
        )

    def train(self, number: int, from_s: float, lasts_s: float = 2.0) -> None:
        before = {"fallen_s": from_s - 1.5, "risen_s": from_s - 3.5}
        self.tell(State.TRAIN_RISE, from_s, number, **before)
        self.tell(State.TRAIN_ON, from_s + 0.5, number, **{**before, "risen_s": from_s})
        over = {"risen_s": from_s, "fallen_s": from_s + lasts_s}
        self.tell(State.BETWEEN_TRAINS, from_s + lasts_s, number, **over)

    def pass_to(self, at_s: float, *, eeg: bool = True, **about: Any) -> bool:
        """Let time pass, and EEG come up to it."""
        if eeg:
            lost_s = about.get("missing", 0) / FS
            self.source.bring(START_S + at_s - self.source.at_s - lost_s, **about)
        self.clock.wait(START_S + at_s)
        return self.listener.step()


def test_a_train_is_a_row_on_the_recording_s_time_with_the_sine_s_phase():
    ear = Ear()
    ear.train(1, 10.033)
    ear.pass_to(13.0)
    assert ear.listener.rows == []  # its gap is not recorded yet
    ear.pass_to(14.0)
    (row,) = ear.listener.rows
    assert (row.number, row.frequency_hz, row.level_ma, row.kind) == (1, HZ, 1.0, "drive")
    assert (row.start_s, row.stop_s) == (pytest.approx(10.033), pytest.approx(12.033))
    assert row.phase_rad == pytest.approx(2 * math.pi * 0.33 - 0.5 * math.pi)
    assert row.group == "visit2"
    assert ear.recorder.marks == [
        ("current on", pytest.approx(10.033), None),
        ("current on", pytest.approx(10.033), pytest.approx(12.033)),
    ]
    assert ear.kept == [1]
    assert ear.recorder.n == 3500


def test_a_queue_and_late_stamps_move_the_row_and_keep_its_phase_right():
    ear = Ear(reaction_s=0.16, eeg_delay_s=0.02)
    ear.train(1, 10.0)
    ear.pass_to(15.0)
    (row,) = ear.listener.rows
    assert (row.start_s, row.stop_s) == (pytest.approx(10.18), pytest.approx(12.18))
    # The current begins at 10.16 s of the session, and is seen 20 ms later.
    assert row.phase_rad == pytest.approx(
        math.remainder(2 * math.pi * 1.6 - 0.5 * math.pi, 2 * math.pi)
    )


@pytest.mark.parametrize(
    ("at_s", "jump", "lost"),
    [(11.0, False, 0), (12.5, False, 1), (11.0, True, 1), (13.9, False, 0)],
    ids=["in the train", "in the gap", "time jumped", "after the gap"],
)
def test_a_gap_of_the_eeg_costs_the_train_whose_read_it_is_in(at_s: float, jump: bool, lost: int):
    ear = Ear()
    ear.train(1, 10.0)
    ear.pass_to(at_s)
    ear.source.bring(0.02, missing=5, jump=jump)
    ear.pass_to(16.0)
    assert ear.listener.counts.lost_to_gaps == lost
    assert len(ear.listener.rows) == 1 - lost


def test_a_train_that_was_cut_and_one_beyond_the_recording_are_counted():
    ear = Ear()
    ear.train(1, 10.0, lasts_s=1.2)  # a pause
    ear.train(2, 20.0)
    ear.tell(State.TRAIN_ON, 24.5, 3, risen_s=24.0, fallen_s=22.0)
    ear.tell(State.STOPPED, 25.8, 3, risen_s=24.0, fallen_s=22.0)
    ear.pass_to(22.5)
    ear.listener.finish()
    assert ear.listener.counts.to_dict() == {
        "planned": 20, "given": 3, "in_table": 0, "lost_to_gaps": 0, "cut_short": 2,
        "not_recorded": 1,
    }  # fmt: skip


def test_current_that_a_stop_ended_is_marked_and_that_of_a_fault_up_to_the_end():
    ear = Ear()
    ear.tell(State.RAMP_UP, 5.0, 0, risen_s=5.0)
    ear.pass_to(8.0)
    ear.tell(State.STOPPED, 9.0, 0, risen_s=5.0)
    ear.pass_to(12.0)
    ear.pass_to(13.0)
    assert ear.recorder.marks[-1] == ("current on", pytest.approx(5.0), pytest.approx(9.0))
    other = Ear()
    other.tell(State.RAMP_UP, 5.0, 0, risen_s=5.0)
    other.tell(State.FAULT, 6.0, 0, risen_s=5.0)
    other.pass_to(12.0)
    assert other.recorder.marks == [("current on", pytest.approx(5.0), None)]


def test_sham_has_virtual_trains_at_their_times():
    ear = Ear(SHAM)
    for at_s in np.arange(0.0, 12.0, 0.5).tolist():
        ear.tell(State.BETWEEN_TRAINS, at_s, 0, risen_s=0.0, fallen_s=1.5)
    ear.pass_to(12.0)
    assert [(r.start_s, r.stop_s, r.kind) for r in ear.listener.rows] == [
        (pytest.approx(s), pytest.approx(s + 2.0), "sham") for s in (2.0, 5.5)
    ]
    assert ear.listener.counts.given == 3
    assert ear.recorder.marks == []


def test_eeg_that_stays_away_ends_the_current_and_then_the_session():
    ear = Ear()
    ear.tell(State.TRAIN_ON, 1.0, 1, risen_s=0.5)
    assert ear.pass_to(1.0)
    assert ear.pass_to(2.9, eeg=False)
    assert ear.put == []
    assert ear.pass_to(3.1, eeg=False)
    assert ear.pass_to(4.0, eeg=False)
    assert ear.put == ["pause:no EEG for 2 s"]
    assert ear.pass_to(6.0, missing=800)
    assert ear.said[-1] == "EEG is back; r resumes"
    assert not ear.pass_to(16.1, eeg=False)
    assert ear.put[-1].startswith("stop:the EEG is lost (made: no new sample for 10 s)")
    assert not ear.listener.step()


@pytest.mark.parametrize(
    "error", [LinkLost("made: unplugged"), SourceOver("over"), RecordError("the disk is full")]
)
@pytest.mark.parametrize("waits", [False, True])
def test_a_source_or_a_disk_that_is_gone_stops_the_session(error: Exception, waits: bool):
    ear = Ear()
    step: Callable[[], bool] = ear.listener.step
    if waits:
        step = lambda: ear.listener.wait_and_step(0.1)  # noqa: E731
    ear.source.bring(1.0)
    if isinstance(error, RecordError):
        ear.recorder.full = True
    else:
        ear.source.error = error
    assert not step()
    assert len(ear.put) == 1
    assert ear.put[0].startswith("stop:the EEG is lost")
    assert ear.listener.ended
