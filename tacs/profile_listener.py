"""The ear of a visit: records EEG while trains are given, and writes down where each was.

It records every sample, follows what the guardian tells of the sine and of the level, and turns the
times of both into seconds of the recording. It gives no current: all that it can ask for is that
current ends, where EEG stays away.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from analysis.live import LiveWindow, channel_states
from analysis.marks import CURRENT_ON
from analysis.profile_visits import Visit
from tacs.clock import Clock
from tacs.eeg import EEGBlock, EEGStream
from tacs.errors import LinkLost, RecordError, SourceOver, TacsError
from tacs.guardian import Telemetry
from tacs.profile_blocks import Timeline
from tacs.profile_visit import Train
from tacs.session import TERMINAL, State
from tacs.transitions import IN_TRAIN

if TYPE_CHECKING:
    from tacs.eeg_record import StreamRecorder

__all__ = ["STALE_S", "TrainCounts", "VisitListener"]

STALE_S: Final = 2.0  # EEG this old: the current is ramped down
GONE_S: Final = 10.0  # EEG this old: the session is stopped
STATE_S: Final = 60.0
SHORT_S: Final = 0.2  # a train that is shorter by more than this was cut


@dataclass(slots=True)
class TrainCounts:
    """What became of the trains.

    Parameters
    ----------
    planned, given : int
        By the plan, and begun; of sham, virtual ones that were due.
    in_table : int
        That can be read.
    lost_to_gaps : int
        With a gap of the EEG in the train's read, or a jump of its time.
    cut_short : int
        Ended by a pause or a stop.
    not_recorded : int
        That the recording does not reach.
    """

    planned: int
    given: int = 0
    in_table: int = 0
    lost_to_gaps: int = 0
    cut_short: int = 0
    not_recorded: int = 0

    def to_dict(self) -> dict[str, int]:
        """Return plain JSON types."""
        return {name: getattr(self, name) for name in self.__slots__}


class VisitListener:
    """Records EEG beside a session with trains.

    Parameters
    ----------
    source : EEGStream
        Open.
    clock : Clock
        Of the session.
    recorder : StreamRecorder
        Begun; whoever made it finishes it.
    visit : Visit
        What is to be given.
    level_ma : float
        Current of a train, zero-to-peak.
    first_s : float
        Of sham: session time of the first virtual train.
    loop_rad : float
        Phase of the current when its programme begins.
    reaction_s : float
        From a command to the current, of a device with a queue.
    eeg_delay_s : float
        By how much the stamps of the EEG are late.
    put : callable
        Takes messages for the guardian.
    keep : callable
        Given all rows whenever one was added.
    say : callable
        Told what a person should know.
    """

    def __init__(
        self,
        source: EEGStream,
        clock: Clock,
        recorder: StreamRecorder,
        *,
        visit: Visit,
        level_ma: float,
        first_s: float,
        loop_rad: float,
        reaction_s: float,
        eeg_delay_s: float,
        put: Callable[[str], None],
        keep: Callable[[Sequence[Train]], None],
        say: Callable[[str], None],
    ) -> None:
        self._source, self._clock, self._recorder = source, clock, recorder
        self._visit, self._level_ma, self._first_s = visit, level_ma, first_s
        self._loop_rad, self._reaction_s, self._delay_s = loop_rad, reaction_s, eeg_delay_s
        self._put, self._keep, self._say = put, keep, say
        self._time = Timeline(source.info.sfreq_hz)
        self._window = LiveWindow(source.info.channels, source.info.sfreq_hz, STATE_S)
        self._heard: deque[Telemetry] = deque()
        self._told: Telemetry | None = None
        self._noted = 0
        self._pending: deque[tuple[int, float, float]] = deque()
        self._marks: deque[tuple[float, float | None]] = deque()
        self._flowing_s: float | None = None  # when the current that flows began
        self._paused = False
        self._sample_s = clock.now_s()
        self.first_sample_s = math.nan  # on the session's clock
        self.rows: list[Train] = []
        self.counts = TrainCounts(visit.trains)
        self.ended = ""
        self.trace: list[str] = []
        self.looked_s = clock.now_s()

    @property
    def seconds(self) -> float:
        """Length of the recording so far."""
        return self._time.seconds

    def bad_channels(self) -> list[str]:
        """Return the channels that were not good in the last minute, with why."""
        info = self._source.info
        seen = self._window.latest(min(STATE_S, self.seconds))
        states = channel_states(seen, info.sfreq_hz, info.channels)
        return [f"{x.channel} {x.state}" for x in states if x.state != "good"]

    # -- what comes in ----------------------------------------------------------------------------

    def hear(self, told: Telemetry) -> None:
        """Take what the guardian tells; any thread may."""
        self._heard.append(told)

    def step(self) -> bool:
        """Record what has come and note what was told; False once the source is gone."""
        self.looked_s = self._clock.now_s()
        while self._heard:
            self._note(self._heard.popleft())
        if self.ended:
            return False
        try:
            while len(block := self._source.read(0.0)):
                self._take(block)
            self._flush()
        except SourceOver:
            self._end("the EEG recording is over")
        except (LinkLost, RecordError) as exc:
            self._end(str(exc))
        else:
            self._watch_the_source()
        return not self.ended

    def wait_and_step(self, at_most_s: float) -> bool:
        """Wait for a block, and step; for the machine's clock."""
        try:
            self._take(self._source.read(at_most_s))
        except RecordError as exc:
            self._end(str(exc))
        except (SourceOver, LinkLost):
            pass  # the step meets the same, and says it
        return self.step()

    def finish(self) -> None:
        """Note what is still to be noted; what the recording does not reach is left out."""
        while self._heard:
            self._note(self._heard.popleft())
        try:
            self._flush()
        except TacsError as exc:  # the recording itself has still to be kept
            self._end(str(exc))
        self.counts.not_recorded += len(self._pending)
        self._pending.clear()

    def mark(self, text: str, start_s: float, stop_s: float) -> None:
        """Mark a stretch of the recording."""
        self._recorder.mark(text, start_s, stop_s)

    def _take(self, block: EEGBlock) -> None:
        if not len(block):
            return
        self._recorder.write(block)
        if math.isnan(self.first_sample_s):
            self.first_sample_s = float(block.times_s[0])
        self._time.add(block)
        self._window.add(block.signal_uv, missing=block.missing, restarted=block.restarted)
        self._sample_s = float(block.times_s[-1])
        if self._paused:
            self._paused = False
            self._say("EEG is back; r resumes")

    def _watch_the_source(self) -> None:
        """Have current end where EEG stays away."""
        silent_s = self._clock.now_s() - self._sample_s
        if silent_s > GONE_S:
            self._end(f"{self._source.info.source}: no new sample for {GONE_S:g} s")
        elif silent_s > STALE_S and not self._paused and self._running:
            self._paused = True
            self._put(f"pause:no EEG for {STALE_S:g} s")
            self._say(f"no EEG for {STALE_S:g} s: the current is ramped down")

    @property
    def _running(self) -> bool:
        return self._told is not None and self._told.state not in {*TERMINAL, State.PAUSED}

    def _end(self, why: str) -> None:
        self.ended = why
        self._put(f"stop:the EEG is lost ({why})")

    # -- what the guardian told -------------------------------------------------------------------

    def _note(self, told: Telemetry) -> None:
        """Note current and trains from one telemetry."""
        self._told, played = told, told.played
        if played is None:
            return
        self._note_current(told)
        if self._visit.kind == "sham":
            self._note_virtual(played.started_s, played.started_s + told.elapsed_s)
            return
        self.counts.given = told.trains
        over = told.state not in IN_TRAIN and told.trains > self._noted
        if not over or played.risen_s is None or played.fallen_s is None:
            return
        self._noted = told.trains
        lasted_s = played.fallen_s - played.risen_s
        if lasted_s > self._visit.on_s - SHORT_S:
            self._pending.append((told.trains, played.risen_s, played.fallen_s))
        else:
            # Negative where a stop ended it: the level was not brought to zero by a command.
            self.counts.cut_short += 1

    def _note_virtual(self, started_s: float, now_s: float) -> None:
        """Note the virtual trains of sham that are over."""
        visit = self._visit
        while self._noted < visit.trains:
            from_s = started_s + self._first_s + self._noted * (visit.on_s + visit.off_s)
            if now_s < from_s + visit.on_s:
                return
            self._noted += 1
            self.counts.given += 1
            self._pending.append((self._noted, from_s, from_s + visit.on_s))

    def _note_current(self, told: Telemetry) -> None:
        """Note a stretch with current, in pairs of beginning and end."""
        played = told.played
        if played is None or played.risen_s is None:
            return
        if self._flowing_s is None and told.state not in TERMINAL:
            if played.fallen_s is None or played.risen_s > played.fallen_s:
                self._flowing_s = played.risen_s
                self._marks.append((played.risen_s, None))
            return
        if self._flowing_s is None:
            return
        if played.fallen_s is not None and played.fallen_s > self._flowing_s:
            self._marks.append((self._flowing_s, played.fallen_s))
        elif told.state in {State.STOPPED, State.DONE}:
            self._marks.append((self._flowing_s, played.started_s + told.elapsed_s))
        else:
            return  # after a fault nobody knows: it is marked up to the end
        self._flowing_s = None

    # -- on the time of the recording -------------------------------------------------------------

    def _at(self, time_s: float) -> float | None:
        """Second of the recording of an instant; None where it is not recorded yet."""
        return self._time.at(time_s + self._reaction_s + self._delay_s)

    def _flush(self) -> None:
        """Write marks and rows that the recording has reached."""
        while self._marks:
            begin_s, end_s = self._marks[0]
            # What is queued may begin a tick sooner than its delay says: from the command on.
            start_s = self._time.at(begin_s + self._delay_s)
            stop_s = None if end_s is None else self._at(end_s)
            if start_s is None or (end_s is not None and stop_s is None):
                break
            self._marks.popleft()
            self._recorder.mark(CURRENT_ON, max(start_s, 0.0), stop_s)
        added = False
        while self._pending:
            number, from_s, to_s = self._pending[0]
            if self._at(to_s + self._visit.off_s) is None:
                break
            self._pending.popleft()
            added = self._add(number, from_s, to_s) or added
        if added:
            self._keep(self.rows)

    def _add(self, number: int, from_s: float, to_s: float) -> bool:
        """Add a train's row, where it can be read; return whether it can."""
        start_s, stop_s = self._at(from_s), self._at(to_s)
        played = None if self._told is None else self._told.played
        if start_s is None or stop_s is None or played is None:
            return False
        read_to_s = stop_s + self._visit.off_s
        if self._time.missing(stop_s, read_to_s) or self._time.jumped(start_s, read_to_s):
            self.counts.lost_to_gaps += 1
            return False
        phase_rad = self._loop_rad + played.phase_rad(from_s + self._reaction_s)
        self.rows.append(
            Train(
                number=number,
                frequency_hz=played.frequency_hz,
                level_ma=self._level_ma,
                kind=self._visit.kind,
                start_s=start_s,
                stop_s=stop_s,
                phase_rad=math.remainder(phase_rad, 2.0 * math.pi),
                group=f"visit{self._visit.visit}",
            )
        )
        self.counts.in_table += 1
        return True
