"""Running a profile: the plan's blocks in its order, recorded while they run.

Nothing here drives a person: a block begins when its mark comes, which whoever drives sends. A
virtual patient is driven here. Time is that of the recording's samples, not of their arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from tacs.clock import Clock, Inbox, utc_now
from tacs.eeg import EEGStream
from tacs.eeg_watch import plain_timing
from tacs.errors import InputError, LinkLost, SourceOver
from tacs.marks import Mark, Marks
from tacs.profile_blocks import Planned, Ran, RunPlan, Timeline

if TYPE_CHECKING:
    from tacs.eeg_record import StreamRecorder

__all__ = ["ProfileRun", "RanProfile"]

POLL_S: Final = 0.1
POLL_VIRTUAL_S: Final = 1.0
GONE_S: Final = 10.0
STATE_S: Final = 60.0
MOST_MISSING: Final = 0.01  # of a block
SHORT_GAP: Final = 0.9  # of the gap that was planned
NO_BEGINNING: Final = frozenset({"stop", "end", "off"})
Ending = Literal["done", "stopped", "over", "stale", "lost", "no mark", "marks gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RanProfile:
    """What was run.

    Parameters
    ----------
    source, marks : str
        What the EEG and the beginnings came from.
    ended : {"done", "stopped", "over", "stale", "lost", "no mark", "marks gone"}
        Why it ended.
    why : str
        In words, where it was not meant to.
    rows : tuple of Ran
        Every block, the unusable ones too.
    left : int
        Blocks of the plan without a usable row.
    ignored : tuple of str
        Marks that began nothing, with why.
    timing : dict
        Of the source.
    """

    source: str
    marks: str
    ended: Ending
    why: str
    rows: tuple[Ran, ...]
    left: int
    ignored: tuple[str, ...]
    timing: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "source": self.source,
            "marks": self.marks,
            "ended": self.ended,
            "why": self.why,
            "blocks": [row.to_dict() for row in self.rows],
            "blocks_left": self.left,
            "ignored_marks": list(self.ignored),
            "timing": self.timing,
        }


class _EndedError(Exception):
    """The run is over before the plan is."""

    def __init__(self, ended: Ending, why: str = "") -> None:
        super().__init__(why)
        self.ended: Ending = ended
        self.why = why


class ProfileRun:
    """Runs a plan on a live source.

    Parameters
    ----------
    source : EEGStream
        Opened here, and closed.
    clock : Clock
        Of the session.
    marks : Marks
        Says when each block began.
    plan : RunPlan
        What to run.
    say : callable
        Told what is happening and what to do.
    done : callable
        Given all rows after every block.
    drive : callable, optional
        Drives the source itself (a virtual patient): frequency, level, from and until, and the
        onsets of a jittered block.
    recorder : StreamRecorder, optional
        Gets every sample; whoever made it finishes it.
    picks : sequence of str, optional
        Channels that must be good; all by default, of which one is enough.
    patience_s : float
        How long a mark may take.
    """

    def __init__(
        self,
        source: EEGStream,
        clock: Clock,
        marks: Marks,
        plan: RunPlan,
        *,
        say: Callable[[str], None],
        done: Callable[[Sequence[Ran]], None] = lambda rows: None,
        drive: Callable[[float, float, float, float, Sequence[float]], None] | None = None,
        recorder: StreamRecorder | None = None,
        picks: Sequence[str] | None = None,
        patience_s: float = 600.0,
    ) -> None:
        self._source, self._clock, self._marks, self._plan = source, clock, marks, plan
        self._say, self._done, self._drive = say, done, drive
        self._recorder, self._picks, self._patience_s = recorder, picks, patience_s
        self._poll_s = POLL_VIRTUAL_S if clock.virtual else POLL_S
        self._inbox: Inbox | None = None
        self._rows: list[Ran] = []
        self._ignored: list[str] = []
        self._waiting: list[Mark] = []
        self._no_more = ""
        self._free_from_s = 0.0

    def run(self, inbox: Inbox | None = None) -> RanProfile:
        """Run until the plan, the source or somebody ends it.

        Parameters
        ----------
        inbox : Inbox, optional
            Any message in it ends the run; what was recorded stays.

        Raises
        ------
        InputError, DeviceNotFound
            Source or marks cannot be opened, or a channel is not there.
        """
        from analysis.live import LiveWindow

        self._inbox = inbox
        info = self._source.open()
        ended: Ending = "done"
        why = ""
        try:
            if missing := [name for name in self._picks or () if name not in info.channels]:
                raise InputError(
                    f"{info.source}: no channel {missing[0]}; there are {', '.join(info.channels)}"
                )
            called = self._marks.open()
            self._time = Timeline(info.sfreq_hz)
            self._window_s = min(STATE_S, self._plan.seconds)
            self._window = LiveWindow(info.channels, info.sfreq_hz, self._window_s)
            self._opened_s = self._clock.now_s()
            if self._recorder is not None:
                self._recorder.begin(info, utc_now())
            todo = [(block, True) for block in self._plan.blocks]
            try:
                while todo:
                    block, again = todo.pop(0)
                    if self._block(block, len(todo)) or not again:
                        continue
                    # Rest is that before the sweep: it cannot wait for the end.
                    first = block.kind == "rest"
                    self._say(f"{block.words}: will be repeated {'now' if first else 'at the end'}")
                    todo.insert(0 if first else len(todo), (block, False))
                self._until(self._free_from_s + self._plan.gap_s, "rest after the last block")
            except _EndedError as over:
                ended, why = over.ended, over.why
            timing = plain_timing(self._source.timing)
        finally:
            self._marks.close()
            self._source.close()
        usable = sum(not row.problem for row in self._rows)
        if ended == "over" and usable == len(self._plan.blocks):
            ended = "done"
        return RanProfile(
            source=info.source,
            marks=called,
            ended=ended,
            why=why,
            rows=tuple(self._rows),
            left=len(self._plan.blocks) - usable,
            ignored=tuple(self._ignored),
            timing=timing,
        )

    def _block(self, block: Planned, after: int) -> bool:
        """Run one block; return whether it can be used."""
        order = len(self._rows) + 1
        name = f"block {order} of {order + after}"
        lasts_s = self._plan.length_s(block)
        if block.kind != "rest":
            self._until(self._free_from_s + self._plan.gap_s, "no drive", or_mark=True)
        if self._drive is None:
            self._say(f"{name}: {block.words}, {lasts_s:g} s; {block.ask} now, and mark it")
        start_s = self._began(block, name)
        stop_s = start_s + lasts_s
        self._say(f"{name}: {block.words} from {start_s:.2f} s on")
        try:
            self._until(stop_s, "")
        finally:
            if self._drive is None and block.kind in {"drive", "jitter"}:
                self._say(f"{name}: end the drive")
        row = self._told(block, order, start_s, stop_s)
        self._rows.append(row)
        self._free_from_s = stop_s
        good = f"{len(row.bad)} channels not good" if row.bad else "all channels good"
        lost = f"{row.missing} samples missing" if row.missing else "none missing"
        self._say(
            f"{name}: over; {good}{': ' if row.bad else ''}{', '.join(row.bad[:4])}; {lost}"
            + (f"; NOT USABLE: {row.problem}" if row.problem else "")
        )
        if order > 1 and block.kind != "rest" and row.gap_s < SHORT_GAP * self._plan.gap_s:
            self._say(f"{name}: only {row.gap_s:.1f} s without drive before it")
        self._done(self._rows)
        return not row.problem

    def _told(self, block: Planned, order: int, start_s: float, stop_s: float) -> Ran:
        """How a block went."""
        from analysis.live import channel_states

        info = self._source.info
        lasts_s = self._plan.length_s(block)
        seen = self._window.latest(min(lasts_s, self._window_s))
        states = channel_states(seen, info.sfreq_hz, info.channels)
        asked = [x for x in states if self._picks is None or x.channel in self._picks]
        bad = [x for x in asked if x.state != "good"]
        missing = self._time.missing(start_s, stop_s)
        problem = ""
        if self._time.jumped(start_s, stop_s):
            problem = "the source's time jumped"
        elif missing > MOST_MISSING * lasts_s * info.sfreq_hz:
            problem = f"{missing} samples missing"
        elif bad and (self._picks is not None or len(bad) == len(asked)):
            problem = f"{bad[0].channel} {bad[0].state}"
        return Ran(
            planned=block, order=order, start_s=start_s, stop_s=stop_s,
            gap_s=start_s - self._free_from_s, missing=missing,
            bad=tuple(f"{x.channel} {x.state}" for x in bad), problem=problem,
        )  # fmt: skip

    def _began(self, block: Planned, name: str) -> float:
        """Wait for the mark of a block; return its second of the recording."""
        if self._drive is not None:
            return self._begin(block)
        until_s = self._clock.now_s() + self._patience_s
        while True:
            self._collect()
            while self._waiting:
                mark = self._waiting[0]
                if (at_s := self._due(mark)) is None:
                    break
                self._waiting.pop(0)
                if why := self._unfit(mark, at_s, block):
                    self._ignored.append(f"mark {mark.text!r} at {at_s:.2f} s: {why}")
                    self._say(f"{name}: {self._ignored[-1]}")
                    continue
                return at_s
            if not self._waiting:
                if self._no_more:
                    raise _EndedError("marks gone", self._no_more)
                if self._clock.now_s() > until_s:
                    raise _EndedError("no mark", f"no mark within {self._patience_s:g} s")
            self._step()

    def _collect(self) -> None:
        """Take the marks that have come; once no more will come, remember why."""
        if self._no_more:
            return
        try:
            self._waiting += self._marks.collect()
        except LinkLost as exc:
            self._no_more = str(exc)

    def _due(self, mark: Mark) -> float | None:
        """Return a mark's second of the recording; None where that is not recorded yet."""
        at_s = mark.time_s if mark.in_recording else self._time.at(mark.time_s)
        return None if at_s is None or at_s > self._time.seconds else at_s

    def _begin(self, block: Planned) -> float:
        """Begin the drive; return its second of the recording."""
        now_s = self._clock.now_s()
        if self._drive is not None and block.kind in {"drive", "jitter"}:
            onsets_s = self._plan.onsets_s(block)
            self._drive(
                block.frequency_hz, block.level, now_s, now_s + self._plan.seconds, onsets_s
            )
        while (at_s := self._time.at(now_s)) is None:
            self._step()
        return at_s

    def _unfit(self, mark: Mark, at_s: float, block: Planned) -> str:
        """Why a mark does not begin a block; empty where it does."""
        text = mark.text.lower()
        if text in NO_BEGINNING:
            return "an end"
        if at_s < self._free_from_s:
            return "within the block before" if self._rows else "before the recording"
        return block.unfit(text)

    def _until(self, stop_s: float, what: str, *, or_mark: bool = False) -> None:
        """Record up to a second of the recording, or until a mark is due."""
        left_s = stop_s - self._time.seconds
        if what and left_s > 1.0:
            self._say(f"{what}: {left_s:.0f} s")
        while self._time.seconds < stop_s:
            if or_mark and self._drive is None:
                self._collect()
                if self._waiting and self._due(self._waiting[0]) is not None:
                    return
                if self._no_more and not self._waiting:
                    return  # whoever looks for the mark says it
            self._step()

    def _step(self) -> None:
        """Take what has come, and wait a little."""
        now_s = self._clock.now_s()
        if self._clock.wait(now_s + self._poll_s, self._inbox):
            raise _EndedError("stopped", "ended by hand")
        try:
            while len(block := self._source.read(0.0)):
                if self._recorder is not None:
                    self._recorder.write(block)
                self._time.add(block)
                self._window.add(block.signal_uv, missing=block.missing, restarted=block.restarted)
        except SourceOver as exc:
            raise _EndedError("over", "the recording is over") from exc
        except LinkLost as exc:
            raise _EndedError("lost", str(exc)) from exc
        silent_s = min(self._source.age_s, self._clock.now_s() - self._opened_s)
        if silent_s > GONE_S:
            raise _EndedError(
                "stale", f"{self._source.info.source}: no new sample for {GONE_S:g} s"
            )
