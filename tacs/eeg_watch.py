"""Watching live EEG: peak, quality and timing, again and again, and a recording of it meanwhile.

The peak is that of the latest stretch, found by the same rules as in a recording
(:func:`analysis.peak.find_peak`). On the machine's clock it is looked for in a thread of its own,
so that reading goes on; on a virtual clock in turn, so that two runs are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from tacs.clock import Clock, Inbox, utc_now
from tacs.eeg import EEGStream
from tacs.errors import InputError, LinkLost, NoAnswer, SourceOver

if TYPE_CHECKING:
    from analysis.estimate import PeakEstimate
    from analysis.live import ChannelState, LiveWindow
    from tacs.eeg_record import StreamRecorder

__all__ = ["Snapshot", "View", "WatchPlan", "Watched", "watch"]

POLL_S: Final = 0.1
LEAST_S: Final = 10.0  # of signal before a peak is looked for
STATE_S: Final = 10.0  # that the state of a channel is judged by
Ending = Literal["time", "stopped", "over", "stale", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPlan:
    """How to watch.

    Parameters
    ----------
    seconds : float
        How long; 0 until somebody ends it or the source does.
    window_s : float
        The stretch that the peak is looked for in, 30 to 600 s.
    every_s : float
        From one look to the next, 1 to 60 s.
    gone_s : float
        Without a new sample, after which watching ends.
    band_hz : (float, float)
        Where the peak may lie.
    picks : sequence of str or None
        Channels of the region; as :func:`analysis.peak.find_peak` chooses where left out.
    subject : str or None
        Whose EEG it is.

    Raises
    ------
    InputError
        A number out of its range.
    """

    seconds: float = 0.0
    window_s: float = 120.0
    every_s: float = 5.0
    gone_s: float = 10.0
    band_hz: tuple[float, float] = (7.0, 13.0)
    picks: Sequence[str] | None = None
    subject: str | None = None

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("seconds", self.seconds, 0.0, 86_400.0),
            ("window", self.window_s, 30.0, 600.0),
            ("every", self.every_s, 1.0, 60.0),
            ("gone", self.gone_s, 1.0, 600.0),
        ):
            if not low <= value <= high:
                raise InputError(f"{name} {value:g} s: write {low:g} to {high:g} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is known at one look.

    Parameters
    ----------
    elapsed_s : float
        Since watching began.
    estimate : PeakEstimate or None
        The latest peak; None before there is enough signal.
    states : tuple of ChannelState
        What each channel is like.
    timing : Any
        Of the source (:class:`devices.eeg.Timing`).
    have_s : float
        Signal in the window.
    stale : bool
        Whether nothing new comes.
    """

    elapsed_s: float
    estimate: PeakEstimate | None
    states: tuple[ChannelState, ...]
    timing: Any
    have_s: float
    stale: bool


class View(Protocol):
    """What shows the snapshots."""

    def show(self, now: Snapshot) -> None:
        """Show one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The end of it.

    Parameters
    ----------
    source : str
        What was watched.
    ended : {"time", "stopped", "over", "stale", "lost"}
        Why it ended: time is up, somebody ended it, the recording that was played is over, nothing
        came any more, the link is gone.
    why : str
        In words, where it was not meant to end.
    watched_s : float
        How long.
    window_s : float
        The stretch behind the estimate, at most.
    estimate : PeakEstimate
        Of the latest stretch.
    states : tuple of ChannelState
        Of the last ten seconds.
    timing : dict
        Of the source, plain JSON types.
    """

    source: str
    ended: Ending
    why: str
    watched_s: float
    window_s: float
    estimate: PeakEstimate
    states: tuple[ChannelState, ...]
    timing: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs watch``: the peak's keys, ``live`` and ``timing``."""
        return {
            **self.estimate.to_dict(),
            "live": {
                "source": self.source,
                "ended": self.ended,
                "why": self.why,
                "watched_s": round(self.watched_s, 3),
                "window_s": self.window_s,
                "signal": [state.to_dict() for state in self.states],
            },
            "timing": self.timing,
        }


def watch(
    source: EEGStream,
    clock: Clock,
    plan: WatchPlan,
    *,
    view: View,
    inbox: Inbox | None = None,
    recorder: StreamRecorder | None = None,
) -> Watched:
    """Watch a source until it ends, time is up or somebody ends it.

    Parameters
    ----------
    source : EEGStream
        Opened here, and closed.
    clock : Clock
        Of the session.
    plan : WatchPlan
        How.
    view : View
        Is shown every look.
    inbox : Inbox, optional
        Any message in it ends watching.
    recorder : StreamRecorder, optional
        Gets every block as it comes; whoever made it finishes it.

    Raises
    ------
    NoAnswer
        Not even four seconds came.
    LinkLost
        Nor will more come: the source is gone or silent.
    InputError, DeviceNotFound
        The source cannot be opened.
    """
    from analysis.channels import normal_name
    from analysis.live import LiveWindow, channel_states

    info = source.open()
    try:
        known = {*info.channels, *map(normal_name, info.channels)}
        if missing := [name for name in plan.picks or () if normal_name(name) not in known]:
            raise InputError(
                f"{info.source}: no channel {missing[0]}; there are {', '.join(info.channels)}"
            )
        window = LiveWindow(info.channels, info.sfreq_hz, plan.window_s)
        if recorder is not None:
            recorder.begin(info, utc_now())
        with _Search(plan, in_turn=clock.virtual) as search:
            begun_s = clock.now_s()
            look_s = begun_s + plan.every_s
            ended: Ending | None = None
            why, due = "", False
            while ended is None:
                ended, why = _take(source, window, recorder)
                now_s = clock.now_s()
                silent_s = min(source.age_s, now_s - begun_s)
                if ended is None and silent_s > plan.gone_s:
                    ended = "stale"
                    why = f"{info.source}: no new sample for {plan.gone_s:g} s"
                if ended is None and plan.seconds and now_s - begun_s >= plan.seconds:
                    ended = "time"
                if ended is None and now_s >= look_s:
                    look_s += plan.every_s * math.ceil((now_s - look_s + 1e-9) / plan.every_s)
                    search.begin(window)
                    due = True
                if ended is None and due and not search.busy:
                    due = False
                    latest = window.latest(STATE_S)
                    view.show(
                        Snapshot(
                            elapsed_s=now_s - begun_s,
                            estimate=search.latest(),
                            states=channel_states(latest, info.sfreq_hz, info.channels),
                            timing=source.timing,
                            have_s=window.seconds,
                            stale=source.stale,
                        )
                    )
                if ended is None and clock.wait(now_s + POLL_S, inbox):
                    ended = "stopped"
        watched_s = clock.now_s() - begun_s
        timing = plain_timing(source.timing)
    finally:
        source.close()
    estimate = _peak(window, plan)
    if estimate is None:
        if why:
            raise LinkLost(why)
        raise NoAnswer(f"{info.source}: only {window.seconds:.1f} s came in {watched_s:g} s")
    return Watched(
        source=info.source,
        ended=ended,
        why=why,
        watched_s=watched_s,
        window_s=plan.window_s,
        estimate=estimate,
        states=channel_states(window.latest(STATE_S), info.sfreq_hz, info.channels),
        timing=timing,
    )


def plain_timing(timing: Any) -> dict[str, Any]:
    """Return a source's timing as plain JSON types; what is not known is null."""
    plain = {key: _finite(value) for key, value in asdict(timing).items()}
    plain["gaps"] = [{"at_s": at_s, "n_samples": int(n)} for at_s, n in timing.gaps]
    return plain


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _take(
    source: EEGStream, window: LiveWindow, recorder: StreamRecorder | None
) -> tuple[Ending | None, str]:
    """Take everything that has come; say whether that was the end."""
    try:
        while len(block := source.read(0.0)):
            if recorder is not None:
                recorder.write(block)
            window.add(block.signal_uv, missing=block.missing, restarted=block.restarted)
    except SourceOver:
        return "over", ""
    except LinkLost as exc:
        return "lost", str(exc)
    return None, ""


def _peak(window: LiveWindow, plan: WatchPlan) -> PeakEstimate | None:
    from analysis.peak import find_peak

    if window.seconds < 4.0:
        return None
    return find_peak(window.raw(), band_hz=plan.band_hz, picks=plan.picks, subject=plan.subject)


class _Search:
    """Looks for the peak, in turn or in a thread of its own; one at a time."""

    def __init__(self, plan: WatchPlan, *, in_turn: bool) -> None:
        self._plan = plan
        self._pool = None if in_turn else ThreadPoolExecutor(1, thread_name_prefix="peak")
        self._running: Future[PeakEstimate | None] | None = None
        self._found: PeakEstimate | None = None

    def begin(self, window: LiveWindow) -> None:
        """Look, unless a look is under way."""
        if window.seconds < LEAST_S:
            return
        if self._pool is None:
            self._found = _peak(window, self._plan)
        elif not self.busy:
            self.latest()
            self._running = self._pool.submit(_peak, window.copy(), self._plan)

    @property
    def busy(self) -> bool:
        """Whether a look is under way."""
        return self._running is not None and not self._running.done()

    def latest(self) -> PeakEstimate | None:
        """Return the latest that was found."""
        if self._running is not None and self._running.done():
            self._found, self._running = self._running.result(), None
        return self._found

    def __enter__(self) -> _Search:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
