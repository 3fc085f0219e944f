"""A stream on a card: the queue, where it stands, and how it ends."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.nidaq_backend import Card, CardState, expired_text, fault_text
from devices.nidaq_options import Options
from devices.nidaq_stream import Stream
from tacs.errors import DeviceError, DeviceRefused, TacsError, UncertainDelivery

__all__ = ["BUFFER_S", "QUEUE_S", "RESTART_S", "TAIL_S", "Player", "Progress"]

QUEUE_S: Final = 0.16  # ahead of what is being played: four ticks of 40 ms
RESTART_S: Final = 0.02  # of the emergency stop, for the card to be stopped and started again
TAIL_S: Final = 0.2  # zeros after a stop, so that its end is asked about before they run out
BUFFER_S: Final = 2.0
LAST_STEP_S: Final = 0.02
STILL_S: Final = 0.2  # a sample clock that stands still for so long has failed
CLOSE_EVERY_S: Final = 0.02
CLOSE_GRACE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream is.

    Parameters
    ----------
    played : int
        Samples of it.
    queued_s : float
        What the card still has.
    over : bool
        Whether it was ended, and its zeros were played.
    """

    played: int
    queued_s: float
    over: bool


class Player:
    """Keep a card's queue filled from a stream, and end it.

    Parameters
    ----------
    card : Card
        The card.
    options : Options
        Of the rig.
    outputs : iterable of int
        All outputs of the rig; those that play nothing are kept at 0 V.
    soft_stop_s, emergency_stop_s : float
        From the command to zero current; set with every programme.
    """

    def __init__(self, card: Card, options: Options, outputs: Iterable[int]) -> None:
        self.card = card
        self.soft_stop_s = 0.0
        self.emergency_stop_s = 0.0
        self._options = options
        self._outputs = tuple(outputs)
        self._queue = round(QUEUE_S * options.sample_rate_hz)
        self._stream: Stream | None = None
        self._level = 0.0
        self._base = self._next_base = 0  # first sample of this generation, and of the next one
        self._starts: int | None = None  # of the card, as it said last
        self._silent_from: int | None = None  # from this sample on all is zero, once it ends
        self._in_emergency = False
        self._moved = (0, math.nan)  # samples played, and when that last changed
        self._clock_failed = False

    @property
    def playing(self) -> bool:
        """Whether a stream was begun, and its end has not been confirmed."""
        return self._stream is not None

    def prepare(self, limits_v: Mapping[int, float]) -> None:
        """Have the card set a generation up on some outputs, each up to its largest volts."""
        rate_hz = self._options.sample_rate_hz
        self.card.prepare(limits_v, rate_hz, round(BUFFER_S * rate_hz))

    def begin(self, stream: Stream, limits_v: Mapping[int, float]) -> None:
        """Start a stream at level 0, and the card's timer."""
        if self._options.timed:
            # Before anything of ours holds the card: else it has no timer to give.
            self.card.watch(self._options.watchdog_s)
        self.prepare(limits_v)
        self.card.write(stream.block(self._queue, 0.0))
        if self._options.timed:
            self.card.feed()
        self.card.enable(True)
        self._level, self._base, self._next_base, self._starts = 0.0, 0, 0, None
        self._moved, self._clock_failed = (0, math.nan), False
        self._silent_from, self._in_emergency = None, False
        self._stream = stream
        self.card.start()

    def set_level(self, level: float) -> None:
        """Have the end of the queue reach a level.

        Raises
        ------
        DeviceRefused
            It is ending, or was never begun.
        """
        if self._stream is None or self._silent_from is not None:
            raise DeviceRefused(f"{self.card.address}: no level can be set, the outputs are ending")
        self._level = level

    def retune(self, frequency_hz: float) -> None:
        """Change the frequency from the end of the queue on."""
        if self._stream is not None:
            self._stream.retune(frequency_hz)

    def pump(self, now_s: float) -> None:
        """Fill the queue up and feed the card's timer.

        Raises
        ------
        DeviceError
            The card ran dry, its clock stands still, its timer ran out, or it does not answer.
        """
        if self._stream is None:
            return
        state = self.card.state()
        played = self._played(state)
        if self._over(played):
            return  # the next question about its state lets the card go
        self._refuse(state)
        self._watch_the_clock(played, now_s)
        n = played + self._queue - self._stream.position
        if n > 0:
            self.card.write(self._stream.block(n, self._level))
        if self._options.timed:
            self.card.feed()

    def progress(self) -> Progress:
        """Ask how far it is; once it is over, let the card go.

        Raises
        ------
        DeviceError
            As :meth:`pump`.
        """
        if self._stream is None:
            return Progress(0, 0.0, over=True)
        state = self.card.state()
        played = self._played(state)
        queued_s = (self._stream.position - played) / self._options.sample_rate_hz
        if not self._over(played):
            self._refuse(state)
            return Progress(played, queued_s, over=False)
        self.card.enable(False)
        self.card.release()
        if self._options.timed:
            self.card.unwatch()
        self._stream = None
        return Progress(played, queued_s, over=True)

    def soft_stop(self) -> None:
        """Append the whole ramp; never slows an end that is under way."""
        stream = self._stream
        if stream is None or self._silent_from is not None:
            return
        # Where the host has come down to zero by itself, what is left is the step of its last tick.
        ramp_s = LAST_STEP_S if self._level == 0.0 else self.soft_stop_s - QUEUE_S
        self.card.finish(self._ending(stream, ramp_s))

    def emergency_stop(self) -> None:
        """Drop the queue and ramp down from what is being played.

        Raises
        ------
        TacsError
            It could not be delivered, and setting the outputs to 0 V at once could not either.
        """
        stream = self._stream
        if stream is None or self._in_emergency:
            return
        try:
            self._stop_at_once(stream)
        except TacsError:
            self.silence()
        self._in_emergency = True

    def silence(self) -> None:
        """End whatever the card plays and set every output of the rig to 0 V at once."""
        for end in (self.card.release, self.card.unwatch):
            with contextlib.suppress(TacsError):
                end()
        self.card.hold(dict.fromkeys(self._outputs, 0.0))
        self.card.enable(False)
        self._stream = None

    def leave_silent(self) -> None:
        """Soft stop where it plays, wait for the zeros, and set the outputs to 0 V for good.

        Raises
        ------
        TacsError
            The stop was not confirmed; the outputs were set to 0 V instead, if they could be.
        """
        if self._stream is not None:
            self._moved = (0, math.nan)
            try:
                self.soft_stop()
                stop_s = self.soft_stop_s
                if self._in_emergency:
                    stop_s = self.emergency_stop_s + QUEUE_S
                self._wait_until_over(stop_s + CLOSE_GRACE_S)
            except TacsError:
                self.silence()
                raise
        self.silence()

    def _wait_until_over(self, longest_s: float) -> None:
        """Ask until the zeros were played, keeping the queue filled meanwhile."""
        for tick in range(math.ceil(longest_s / CLOSE_EVERY_S)):
            if self.progress().over:
                return
            self.pump(tick * CLOSE_EVERY_S)
            self.card.wait(CLOSE_EVERY_S)
        raise UncertainDelivery(
            f"{self.card.address}: the stop was not played in {longest_s:g} s; the outputs were "
            f"set to 0 V instead"
        )

    def _over(self, played: int) -> bool:
        return self._silent_from is not None and played > self._silent_from

    def _played(self, state: CardState) -> int:
        """How many samples of the stream were played; a card that ran dry has played them all."""
        if self._starts is not None and state.starts != self._starts:
            self._base = self._next_base
        self._starts = state.starts
        if state.generated is not None:
            return self._base + state.generated
        return self._stream.position if state.fault and self._stream is not None else self._base

    def _refuse(self, state: CardState) -> None:
        """Raise what a session cannot go on with."""
        if state.expired:
            raise DeviceError(expired_text(self.card.address))
        if state.fault:
            raise DeviceError(fault_text(self.card.address, state.fault))
        if not state.running or state.generated is None:
            raise DeviceError(
                f"{self.card.address}: the card plays no more although nobody stopped it; was it "
                f"reset?"
            )

    def _watch_the_clock(self, played: int, now_s: float) -> None:
        """A sample clock that stands still holds a direct current, and no code tells of it."""
        before, since_s = self._moved
        if played != before or math.isnan(since_s):
            self._moved = (played, now_s)
        elif now_s - since_s > STILL_S:
            self._clock_failed = True
            raise DeviceError(
                f"{self.card.address}: the card's sample clock stands still; its outputs hold "
                f"their value, which is a direct current"
            )

    def _stop_at_once(self, stream: Stream) -> None:
        """Ramp down from what is being played now; where nobody knows that, from the queue's end.

        The ramp is phase-continuous either way. A card that ran dry holds the last sample of the
        queue, so that the ramp begins there.
        """
        if self._clock_failed:
            raise DeviceError(f"{self.card.address}: without a sample clock no ramp is played")
        state = self._state_if_told()
        if state is not None:
            if state.expired or not (state.running or state.fault):
                self._refuse(state)  # nothing is being played: what is left is to set it to 0 V
            stream.take_up(min(self._played(state), stream.position))
        samples = self._ending(stream, self.emergency_stop_s - RESTART_S)
        if state is None:
            self.card.finish(samples)
        else:
            self.card.replace(samples)
        self._moved = (0, math.nan)

    def _state_if_told(self) -> CardState | None:
        """Where the card stands; None where it does not say.

        An earlier stop that it did not answer is told apart from its silence by asking once more.
        """
        for _ in range(2):
            with contextlib.suppress(UncertainDelivery):
                return self.card.state()
        return None

    def _ending(self, stream: Stream, ramp_s: float) -> NDArray[np.float64]:
        """A ramp from the stream's place to zero, and zeros; from then on there is nothing else."""
        self._next_base = stream.position
        ramp = stream.block(self._samples(ramp_s), 0.0)
        self._silent_from, self._level = stream.position, 0.0
        return np.hstack([ramp, stream.block(self._samples(TAIL_S), 0.0)])

    def _samples(self, seconds: float) -> int:
        """Whole samples in a time, none more."""
        return max(math.floor(seconds * self._options.sample_rate_hz + 1e-9), 1)
