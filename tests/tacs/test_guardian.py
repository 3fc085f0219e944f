"""The guardian over the real driver and the emulated device, judged by the oscilloscope."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.synthpal import SynthPal
from tacs.clock import QueueInbox, VirtualClock
from tacs.dose import read_trace
from tacs.driver import find_emulator
from tacs.errors import LinkLost, RecordError
from tacs.guard import GuardedDriver
from tacs.guardian import Guardian, kernel_plan
from tacs.limits import effective_limits
from tacs.record import RecordWriter, read_record, verify_record
from tacs.rig import load_rig
from tacs.session import State
from tacs.waveform import Waveform
from tests.tacs.made import protocol as made_protocol
from tests.tacs.rehearsal import RATE_HZ, Rehearsal, rehearse

SHORT = made_protocol(duration_s=60.0)


def envelope(result: Rehearsal) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Largest magnitude in each tenth of a second: one whole cycle at 10 Hz and more."""
    size = np.abs(result.trace[0])
    n = len(size) // 100
    return size[: n * 100].reshape(n, 100).max(axis=1)


def test_a_session_is_delivered_as_prescribed(tmp_path: Path):
    result = rehearse(SHORT, tmp_path)
    assert (result.session.state, result.session.cause) == (State.DONE, "")
    got = result.delivered
    assert got.frequency_hz == pytest.approx(10.27, abs=0.005)
    assert got.current_peak_ma == pytest.approx(1.0, rel=0.01)
    assert got.current_peak_ma <= 1.0
    assert abs(got.mean_ma["Oz"]) < 0.001
    assert got.balance_ma < 1e-9
    assert result.trace[:, -1].tolist() == [0.0, 0.0]
    expected_c = Waveform(SHORT).rectified_charge_c("Oz")
    assert got.rectified_charge_c["Oz"] == pytest.approx(expected_c, rel=0.01)
    size = envelope(result)
    top = int(np.argmax(size > 0.999 * size.max()))
    last = len(size) - 1 - int(np.argmax(size[::-1] > 0.999 * size.max()))
    # 50 steps a second of 1/1500 each: within a step, and within the sine's sampling, monotone.
    assert np.all(np.diff(size[:top]) > -2e-3)
    assert np.all(np.diff(size[last:]) < 2e-3)


def test_the_current_follows_the_waveform_that_was_planned(tmp_path: Path):
    result = rehearse(SHORT, tmp_path)
    times_s = result.start_s - result.session.started_s + np.arange(result.trace.shape[1]) / RATE_HZ
    # The device starts when the start command has reached it, a millisecond or so later.
    errors_ma = [
        np.abs(result.trace - Waveform(SHORT).sample(times_s - lag_s)).max()
        for lag_s in np.arange(0.0, 0.002, 0.0001)
    ]
    # A ramp-down step (1/750 mA), a DAC step, and a DAC sample held for 1/9736 of a cycle.
    assert min(errors_ma) < 0.0035


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path):
    def intents(folder: str) -> list[tuple[float, Mapping[str, Any]]]:
        (tmp_path / folder).mkdir()
        result = rehearse(SHORT, tmp_path / folder, script=[(40.0, "stop:x")])
        lines, problem = read_record(result.record)
        assert problem is None
        return [(line.t_s, line.data) for line in lines if line.kind == "intent"]

    assert intents("a") == intents("b")


@pytest.mark.parametrize("at_s", [0.2, 10.0, 35.0, 50.0], ids=["start", "ramp", "hold", "down"])
def test_a_stop_ends_the_current_within_a_second(tmp_path: Path, at_s: float):
    result = rehearse(SHORT, tmp_path, script=[(at_s, "stop:the operator")])
    assert (result.session.state, result.session.cause) == (State.STOPPED, "the operator")
    quiet_s = result.quiet_after_s(at_s)
    assert quiet_s is not None
    assert quiet_s <= 0.85
    after = envelope(result)[round((at_s + result.session.started_s - result.start_s) * 10) + 1 :]
    assert np.all(np.diff(after) <= 2e-3)


def test_eleven_stops_are_one_stop(tmp_path: Path):
    script = [(20.0 + i / 100, "stop:click") for i in range(11)]
    result = rehearse(SHORT, tmp_path, script=script)
    lines, _ = read_record(result.record)
    stops = [line for line in lines if line.data.get("verb") == "soft_stop"]
    assert result.session.state is State.STOPPED
    assert len(stops) == 1


def test_pause_and_resume(tmp_path: Path):
    protocol = made_protocol(duration_s=180.0)
    result = rehearse(protocol, tmp_path, script=[(40.0, "pause"), (70.0, "resume")])
    assert result.session.state is State.DONE
    size = envelope(result)
    offset = round((result.session.started_s - result.start_s) * 10)
    assert size[offset + 560 : offset + 695].max() == 0.0
    assert size[offset + 1010 : offset + 1100].min() > 0.99
    assert result.trace.shape[1] / RATE_HZ < 185.0


def test_an_unknown_message_is_a_stop(tmp_path: Path):
    result = rehearse(SHORT, tmp_path, script=[(35.0, "louder")])
    assert result.session.state is State.STOPPED
    assert "unknown message" in result.session.cause


@pytest.mark.parametrize(
    "fault",
    ["link_loss@35", "comm_failure@35", "reboot@35", "refuse@20", "drop_reply@35", "garbage@35"],
)
def test_a_device_or_link_that_fails_is_a_fault_and_the_current_ends(tmp_path: Path, fault: str):
    result = rehearse(SHORT, tmp_path, faults=[fault])
    assert result.session.state is State.FAULT
    assert result.session.cause
    at_s = float(fault.partition("@")[2])
    quiet_s = result.quiet_after_s(at_s)
    assert quiet_s is not None
    assert quiet_s <= 2.9  # half a second until it is noticed or one lease, and the ramps
    lines, problem = read_record(result.record)
    assert problem is None
    assert lines[-1].kind in {"state", "intent", "note", "answer"}


def test_every_change_is_written_before_it_is_sent(tmp_path: Path):
    result = rehearse(SHORT, tmp_path)
    lines, problem = read_record(result.record)
    assert problem is None
    states = [line.data["to"] for line in lines if line.kind == "state"]
    assert states == [
        "connected", "checked", "armed", "ramp_up", "hold", "ramp_down", "done",
    ]  # fmt: skip
    levels = [line.data["level"] for line in lines if line.data.get("verb") == "set_level"]
    assert len(levels) == pytest.approx(1500 + 750, abs=1)
    assert max(levels) == 1.0


class FullDisk(RecordWriter):
    """A disk that fills up after a number of bytes, and has a reserve."""

    room = 60_000

    def _write(self, payload: bytes) -> None:
        self.room -= len(payload)
        if self.room < 0 and self._reserve.exists():
            raise OSError(28, "No space left on device")
        super()._write(payload)


def test_a_full_disk_stops_the_session_and_the_stop_is_recorded(tmp_path: Path):
    result = rehearse(SHORT, tmp_path, writer=FullDisk)
    assert result.session.state is State.STOPPED
    assert "No space left" in result.session.cause
    assert verify_record(result.record) is None
    lines, _ = read_record(result.record)
    stop = next(line for line in lines if line.data.get("verb") == "soft_stop")
    quiet_s = result.quiet_after_s(stop.t_s - result.session.started_s)
    assert quiet_s is not None
    assert quiet_s <= 0.85


class DeadDisk(RecordWriter):
    """A disk that takes nothing more after a number of bytes, reserve or not."""

    room = 60_000

    def append(self, kind: str, t_s: float, data: Mapping[str, Any], *, sync: bool) -> None:
        self.room -= 200
        if self.room < 0:
            raise RecordError("the disk is gone")
        super().append(kind, t_s, data, sync=sync)


def test_a_dead_disk_cannot_keep_the_current_on(tmp_path: Path):
    result = rehearse(SHORT, tmp_path, writer=DeadDisk)
    assert result.session.state in {State.STOPPED, State.FAULT}
    assert result.trace[:, -1].tolist() == [0.0, 0.0]
    assert result.delivered.duration_s < 10.0
    assert verify_record(result.record) is None


MESSAGES = st.sampled_from(["stop:a", "pause", "resume", "alive", "fault:b", "nonsense"])


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 45.0), MESSAGES), max_size=5))
def test_whatever_the_operator_does_no_sample_exceeds_the_protocol(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[float, str]]
):
    protocol = made_protocol(duration_s=50.0)
    result = rehearse(protocol, tmp_path_factory.mktemp("any"), script=script)
    assert np.abs(result.trace).max() <= 1.0
    assert result.trace[:, -1].tolist() == [0.0, 0.0]
    assert result.trace.shape[1] / RATE_HZ <= 50.0 + 3.0
    assert verify_record(result.record) is None


class RefusesTheStopLine(RecordWriter):
    """A disk that is full just when the line that says ``stopping`` is to be written."""

    def _write(self, payload: bytes) -> None:
        if b'"to":"stopping"' in payload and self._reserve.exists():
            raise OSError(28, "No space left on device")
        super()._write(payload)


def test_a_stop_is_sent_although_its_own_line_cannot_be_written(tmp_path: Path):
    result = rehearse(
        SHORT, tmp_path, script=[(35.0, "stop:the operator")], writer=RefusesTheStopLine
    )
    assert result.session.state is State.STOPPED
    quiet_s = result.quiet_after_s(35.0)
    assert quiet_s is not None
    assert quiet_s <= 0.85
    assert verify_record(result.record) is None


class CountsSyncs(RecordWriter):
    """A record that remembers which lines waited for the disk."""

    waited: ClassVar[list[str]] = []

    def append(self, kind: str, t_s: float, data: Mapping[str, Any], *, sync: bool) -> None:
        if sync:
            self.waited.append(f"{kind} {data.get('to', data.get('verb', ''))}")
        super().append(kind, t_s, data, sync=sync)


def test_a_stop_does_not_wait_for_the_disk(tmp_path: Path):
    CountsSyncs.waited.clear()
    rehearse(SHORT, tmp_path, script=[(35.0, "stop:the operator")], writer=CountsSyncs)
    assert CountsSyncs.waited[-1] == "state stopped"
    assert "state stopping" not in CountsSyncs.waited
    assert "intent soft_stop" not in CountsSyncs.waited


def test_while_a_session_runs_nothing_waits_for_the_disk(tmp_path: Path):
    """What matters is on disk before current can flow; from then on a thread sees to it."""
    CountsSyncs.waited.clear()
    trains = {"on_s": 2.0, "off_s": 1.5, "edge_s": 0.5, "settle_s": 10.0, "count": 2}
    plan = made_protocol(duration_s=150.0, trains=trains, retune={"within_hz": 1.0})
    retune = 'retune:{"frequency_hz": 10.5, "reason": "x"}'
    script = [(35.0, retune), (43.0, "pause"), (50.0, "resume")]
    result = rehearse(plan, tmp_path, script=script, writer=CountsSyncs)
    assert (result.session.state, result.session.trains) == (State.DONE, 2)
    assert [x for x in CountsSyncs.waited if x.startswith(("state", "intent"))] == [
        "intent connect", "state connected", "intent configure", "state checked", "state armed",
        "state ramp_up", "intent start", "state done",
    ]  # fmt: skip


@pytest.mark.parametrize("fault", ["refuse@20", "refuse@35", "drop_reply@20", "comm_failure@20"])
def test_nothing_of_a_step_is_sent_after_the_stop_that_cut_it_short(tmp_path: Path, fault: str):
    result = rehearse(SHORT, tmp_path, faults=[fault])
    lines, _ = read_record(result.record)
    verbs = [line.data["verb"] for line in lines if line.kind == "intent"]
    stop = min(verbs.index(v) for v in ("soft_stop", "emergency_stop") if v in verbs)
    assert not {"set_level", "extend_lease", "start", "set_frequency"} & set(verbs[stop:])


def test_a_full_disk_at_any_line_renews_no_lease_after_the_stop(tmp_path: Path):
    for room in range(20_000, 60_000, 4_000):
        folder = tmp_path / str(room)
        folder.mkdir()
        disk = type("Disk", (FullDisk,), {"room": room})
        result = rehearse(SHORT, folder, writer=disk)
        lines, problem = read_record(result.record)
        assert problem is None
        verbs = [line.data["verb"] for line in lines if line.kind == "intent"]
        assert "soft_stop" in verbs
        assert "extend_lease" not in verbs[verbs.index("soft_stop") :]


class Pumped(SynthPal):
    """Writes down when it had its turn, and fails at a time."""

    fails_s = float("inf")
    turns: ClassVar[list[float]] = []

    def pump(self, now_s: float) -> None:
        type(self).turns.append(now_s)
        if now_s >= self.turns[0] + self.fails_s:
            raise LinkLost("the stream ran dry")


def test_the_driver_gets_its_turn_at_every_tick_and_no_more_once_it_is_over(tmp_path: Path):
    class Kept(Pumped):
        turns: ClassVar[list[float]] = []

    result = rehearse(SHORT, tmp_path, driver_class=Kept)
    assert result.session.state is State.DONE
    steps = np.diff(Kept.turns)
    assert steps.max() <= 0.04 + 1e-9
    assert Kept.turns[-1] - Kept.turns[0] == pytest.approx(60.8, abs=0.1)  # with the stop ramp


def test_a_driver_that_fails_in_its_turn_ends_the_session_at_once(tmp_path: Path):
    class Fails(Pumped):
        turns: ClassVar[list[float]] = []
        fails_s = 35.0

    result = rehearse(SHORT, tmp_path, driver_class=Fails)
    assert (result.session.state, result.session.cause) == (State.FAULT, "the stream ran dry")
    quiet_s = result.quiet_after_s(35.0)
    assert quiet_s is not None
    assert quiet_s < 0.25
    assert len([t for t in Fails.turns if t > Fails.turns[0] + 35.0]) <= 1


@pytest.mark.parametrize("stop_fails", [False, True], ids=["", "the stop fails too"])
def test_a_defect_leaves_no_current_and_no_open_device(tmp_path: Path, stop_fails: bool):
    """As with a device whose stop takes several commands, sent one after the other."""
    asked: list[str] = []

    class Defective(SynthPal):
        turns = 0

        def pump(self, now_s: float) -> None:
            self.turns += 1
            if self.turns > 1000:
                raise ZeroDivisionError("a defect")

        def emergency_stop(self) -> None:
            asked.append("emergency stop")
            if stop_fails:
                raise ZeroDivisionError("another defect")

        def close(self) -> None:
            asked.append("close")
            super().close()

    clock, rig = VirtualClock(), load_rig("emulated-synthpal")
    device = find_emulator("synthpal").in_memory(
        rig, clock, ["Oz", "Cz"], tmp_path / "scope.tsv.gz", []
    )
    driver = Defective.over(device.transport, rig)
    limits = effective_limits()
    with RecordWriter(tmp_path / "record.jsonl") as record:
        guardian = Guardian(
            lambda journal: GuardedDriver.of(driver, SHORT, rig, limits, journal),
            kernel_plan(SHORT, limits, driver.capabilities),
            clock,
            record,
        )
        guardian.prepare()
        guardian.arm()
        began_s = clock.now_s()
        with pytest.raises(ZeroDivisionError, match="a defect"):
            guardian.run(QueueInbox([]))
        failed_s = clock.now_s() - began_s
    assert asked == ["emergency stop", "close"]
    info = device.finish()
    assert info is not None
    trace = read_trace(info.path, len(info.columns))
    size = np.abs(trace).max(axis=0)
    assert size.max() > 0.5
    last_s = info.start_s + np.flatnonzero(size > 0.05)[-1] / info.sampling_frequency_hz - began_s
    assert last_s < failed_s + 1.0  # by the close's own stop, not by the lease and its ramp: 1.8 s
