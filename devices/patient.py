"""The virtual patient: EEG with known truth that answers to the current it is given.

Each source is a noisy limit cycle (:mod:`devices.rhythm`) that the delivered current pushes
while it flows, and whose power the delivered current changes for an hour or so
(:mod:`devices.aftereffect`). The scalp (:mod:`devices.head`, :mod:`devices.scalp_noise`) adds
background, sensor noise, blinks, muscle and, under current, the stimulation artefact. Nothing is
told to the patient but the trace of the current: what was commanded does not matter to it.

A patient has a clock of its own that recording, receiving current and waiting move on. Two
recordings in a row are one recording cut in two.

The model contains the effects that it is meant to help test and no others; it proves that a chain
measures what is there, not that tACS works. The sensitivity to current and the after-effect are
assumed, not calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.aftereffect import AfterEffect, Eyes
from devices.delivered import DeliveredCurrent, sine_current
from devices.head import CHANNELS, Head, make_raw
from devices.scalp_noise import Background, Blinks, BodyRhythm
from devices.sources import Advanced, Sources, Stretch, advance_together, run_recordings
from devices.truth import Node, PatientState, PatientTruth, RecordingTruth, ln_power_ratio
from tacs.errors import InputError

__all__ = [
    "Node",
    "PatientState",
    "PatientTruth",
    "RecordingTruth",
    "VirtualPatient",
    "ln_power_ratio",
]

Array = NDArray[np.float64]

_STEP_HZ = 1000.0
_SLICE_S = 10.0
_FEED_S = 60.0
_SFREQ_RANGE_HZ = (100.0, 20000.0)
_SEEDS = ("rhythm", "wander", "background", "blinks", "body")


class _Slice(NamedTuple):
    """Part of a recording: signal (n_times, n_channels), mean peak, mean power per node."""

    signal_uv: Array
    peak_hz: float
    power: Array


class VirtualPatient:
    """A patient made of equations, seeded.

    Parameters
    ----------
    truth : PatientTruth
        What is true of the patient.
    seed : int
        Seed of everything random; the same truth, seed and calls give the same data.
    channels : sequence of str
        EEG channels, 10-10 names.
    sfreq_hz : float
        Sampling rate of the EEG, 100 to 20000.

    Raises
    ------
    InputError
        If a channel is not a 10-10 site, or rate or seed are out of range.
    """

    def __init__(
        self,
        truth: PatientTruth,
        seed: int,
        *,
        channels: Sequence[str] = CHANNELS,
        sfreq_hz: float = 250.0,
    ) -> None:
        if not _SFREQ_RANGE_HZ[0] <= sfreq_hz <= _SFREQ_RANGE_HZ[1]:
            raise InputError(
                f"virtual patient: EEG at {sfreq_hz:g} Hz, allowed are {_SFREQ_RANGE_HZ[0]:g} to "
                f"{_SFREQ_RANGE_HZ[1]:g} Hz"
            )
        if not isinstance(seed, int) or seed < 0:
            raise InputError(f"virtual patient: seed {seed!r}, give a whole number of 0 or more")
        self.truth = truth
        self.channels = tuple(channels)
        self.sfreq_hz = float(sfreq_hz)
        self._head = Head(self.channels, [node.site for node in truth.nodes])
        self._steps_per_sample = math.ceil(_STEP_HZ / self.sfreq_hz - 1e-9)
        self._step_s = 1.0 / (self.sfreq_hz * self._steps_per_sample)
        seeds = dict(zip(_SEEDS, np.random.SeedSequence(seed).spawn(len(_SEEDS)), strict=True))
        self._sources = Sources(truth, self._step_s, seeds["rhythm"], seeds["wander"])
        self._background = Background(
            self.channels,
            self.sfreq_hz,
            exponent=truth.aperiodic_exponent,
            aperiodic_uv=truth.aperiodic_uv,
            sensor_noise_uv=truth.sensor_noise_uv,
            emg_uv=truth.emg_uv,
            seed=seeds["background"],
        )
        self._blinks = Blinks(self.channels, truth.blinks_per_min, truth.blink_uv, seeds["blinks"])
        self._body = BodyRhythm(seeds["body"])
        self._effects = [
            AfterEffect(truth.after_effect, truth.peak_hz, truth.fwhm_hz) for _ in truth.nodes
        ]
        self._coupling = np.array(truth.coupling_per_s or np.zeros((len(truth.nodes),) * 2))
        self._directions = np.array([node.direction for node in truth.nodes])
        self._recordings: list[RecordingTruth] = []
        self._time_s = 0.0
        self._settle(self._sources.memory_s, truth.size("closed"), None)

    @property
    def time_s(self) -> float:
        """Patient time: seconds recorded, stimulated and waited so far."""
        return self._time_s

    @property
    def recordings(self) -> tuple[RecordingTruth, ...]:
        """The truth behind every recording made, in order."""
        return tuple(self._recordings)

    def truth_now(self) -> PatientState:
        """Return what is true at this moment."""
        return PatientState(
            time_s=self._time_s,
            peak_hz=self._sources.peak_hz,
            w=self._per_node(self._w(self._time_s)),
            power_change=self._per_node(self._change(self._time_s)),
            coupling_per_s=tuple(tuple(row) for row in self._coupling_now().tolist()),
        )

    def record(
        self, duration_s: float, *, eyes: Eyes = "closed", current: DeliveredCurrent | None = None
    ) -> Any:
        """Record EEG, with or without current flowing.

        Parameters
        ----------
        duration_s : float
            Length.
        eyes : {"closed", "open"}
            State.
        current : DeliveredCurrent, optional
            Current delivered meanwhile, as long as the recording. It pushes the rhythm, adds its
            artefact, and leaves its after-effect.

        Returns
        -------
        mne.io.RawArray
            Volts, template positions set, annotated with the state and the time under current.

        Raises
        ------
        InputError
            If the length or the current cannot be used.
        """
        return run_recordings([self.recording(duration_s, eyes=eyes, current=current)])[0]

    def recording(
        self, duration_s: float, *, eyes: Eyes = "closed", current: DeliveredCurrent | None = None
    ) -> Generator[Stretch, Advanced, Any]:
        """Record in steps: ask for each stretch of the sources, return the recording at the end.

        For :func:`devices.cohort.record_together`; :meth:`record` does it at once.

        Parameters
        ----------
        duration_s, eyes, current
            As in :meth:`record`.

        Yields
        ------
        Stretch
            What to advance; send the outcome.

        Returns
        -------
        mne.io.RawArray
            The recording.
        """
        _check_duration("recording", duration_s)
        n_times = round(duration_s * self.sfreq_hz)
        if n_times < 1:
            raise InputError(f"recording of {duration_s:g} s holds no sample: record longer")
        signal_uv = yield from self._signal(n_times, duration_s, eyes, current)
        notes = [(0.0, n_times / self.sfreq_hz, f"eyes {eyes}")]
        flow_s = None if current is None else current.flow_s
        if flow_s is not None:
            notes.append((flow_s[0], flow_s[1] - flow_s[0], "current on"))
        return make_raw(signal_uv, self.channels, self.sfreq_hz, notes)

    def samples_uv(
        self, n_times: int, *, eyes: Eyes = "closed", current: DeliveredCurrent | None = None
    ) -> Array:
        """Record a number of samples, without a recording made of them; for live use.

        Parameters
        ----------
        n_times : int
            How many.
        eyes, current
            As in :meth:`record`.

        Returns
        -------
        ndarray, shape (n_channels, n_times)
            Microvolts.
        """
        if n_times < 1:
            raise InputError(f"{n_times} samples: ask for one or more")
        signal_uv: Array = run_recordings(
            [self._signal(n_times, n_times / self.sfreq_hz, eyes, current)]
        )[0]
        return signal_uv

    def _signal(
        self, n_times: int, duration_s: float, eyes: Eyes, current: DeliveredCurrent | None
    ) -> Generator[Stretch, Advanced, Array]:
        """Microvolts of a recording, shape (n_channels, n_times), and its truth noted."""
        _check_eyes(eyes)
        if current is not None and abs(current.duration_s - duration_s) > 1.5 / current.sfreq_hz:
            raise InputError(
                f"the current trace lasts {current.duration_s:g} s and the recording "
                f"{duration_s:g} s: give a trace of the same length"
            )
        start_s = self._time_s
        per_slice = round(_SLICE_S * self.sfreq_hz)
        slices = []
        for first in range(0, n_times, per_slice):
            n = min(per_slice, n_times - first)
            slices.append((yield from self._record_slice(start_s, first, n, eyes, current)))
        lengths = [len(piece.signal_uv) for piece in slices]
        power = np.average([piece.power for piece in slices], axis=0, weights=lengths)
        self._recordings.append(
            RecordingTruth(
                start_s=start_s,
                duration_s=n_times / self.sfreq_hz,
                eyes=eyes,
                peak_hz=float(np.average([p.peak_hz for p in slices], weights=lengths)),
                power=self._per_node(power),
                under_current=current is not None and current.flow_s is not None,
            )
        )
        return np.concatenate([piece.signal_uv for piece in slices]).T

    def receive(self, current: DeliveredCurrent, *, eyes: Eyes = "open") -> None:
        """Let current act without recording EEG.

        The after-effect follows the whole trace; the phase of the rhythm, which forgets within a
        second, follows its last seconds.

        Parameters
        ----------
        current : DeliveredCurrent
            Delivered current; consecutive traces continue each other's trains.
        eyes : {"open", "closed"}
            State.
        """
        _check_eyes(eyes)
        for from_s in np.arange(0.0, current.duration_s, _FEED_S).tolist():
            to_s = min(from_s + _FEED_S, current.duration_s)
            self._feed(current, from_s, to_s, self._time_s, eyes)
        self._time_s += current.duration_s
        self._settle(current.duration_s, self.truth.size(eyes), current)

    def stimulate(
        self,
        duration_s: float,
        current_peak_ma: float,
        frequency_hz: float,
        *,
        ramp_s: float = 0.0,
        electrodes: Mapping[str, float] | None = None,
        eyes: Eyes = "open",
    ) -> None:
        """Receive the current of an ideal stimulator.

        Parameters
        ----------
        duration_s, current_peak_ma, frequency_hz, ramp_s, electrodes
            As in :func:`devices.delivered.sine_current`.
        eyes : {"open", "closed"}
            State.
        """
        current = sine_current(
            duration_s, current_peak_ma, frequency_hz, ramp_s=ramp_s, electrodes=electrodes
        )
        self.receive(current, eyes=eyes)

    def wait(self, duration_s: float, *, eyes: Eyes = "open") -> None:
        """Let time pass: the after-effect fades, drift and wander go on.

        Parameters
        ----------
        duration_s : float
            Seconds.
        eyes : {"open", "closed"}
            State.
        """
        _check_duration("wait", duration_s)
        _check_eyes(eyes)
        self._time_s += duration_s
        self._settle(duration_s, self.truth.size(eyes), None)

    def _per_node(self, values: Array) -> dict[str, float]:
        """Values under the names of the nodes."""
        names = [node.name for node in self.truth.nodes]
        return dict(zip(names, values.tolist(), strict=True))

    def _w(self, time_s: float) -> Array:
        """After-effect of every node."""
        return np.array([effect.at(time_s) for effect in self._effects])

    def _change(self, time_s: float) -> Array:
        """Factor on every node's power: after-effect and drift."""
        drift = 1.0 + self.truth.drift_per_min * time_s / 60.0
        if drift <= 0.0:
            raise InputError(
                f"virtual patient: a drift of {self.truth.drift_per_min:g} per min leaves no power "
                f"after {time_s / 60.0:.0f} min; choose a smaller drift or a shorter session"
            )
        return np.asarray((1.0 + self._w(time_s)) ** self._directions * drift)

    def _coupling_now(self) -> Array:
        """Coupling matrix, plasticity included."""
        change = (1.0 + self._w(self._time_s)) ** self._directions - 1.0
        pairs = 0.5 * (change[:, None] + change[None, :])
        return np.asarray(self._coupling * (1.0 + self.truth.plasticity * pairs))

    def _feed(
        self, current: DeliveredCurrent, from_s: float, to_s: float, start_s: float, eyes: Eyes
    ) -> None:
        """Let part of a trace that began at ``start_s`` act on the after-effect of every node."""
        first, last = (round(edge_s * current.sfreq_hz) for edge_s in (from_s, to_s))
        drives_ma = self._head.drive_ma(current.samples_ma[..., first:last], current.electrodes)
        begin_s = start_s + first / current.sfreq_hz
        for effect, drive_ma in zip(self._effects, drives_ma, strict=True):
            effect.feed(drive_ma, current.sfreq_hz, begin_s, eyes)

    def _settle(self, elapsed_s: float, size: float, current: DeliveredCurrent | None) -> None:
        """Bring rhythm, wander and blinks to the end of a stretch that nobody recorded."""
        window_s = min(elapsed_s, self._sources.memory_s)
        if elapsed_s > window_s:
            self._sources.skip(elapsed_s - window_s)
        n_steps = max(1, round(window_s / self._step_s))
        stretch = Stretch(
            sources=self._sources,
            n_steps=n_steps,
            drive_ma=self._drive_ma(current, elapsed_s - window_s, n_steps),
            size=size * np.sqrt(self._change(self._time_s)),
            coupling_per_s=self._coupling_now(),
            keep_every=n_steps,
        )
        advance_together([stretch])
        self._blinks.skip_to(self._time_s)

    def _drive_ma(
        self, current: DeliveredCurrent | None, from_s: float, n_steps: int
    ) -> Array | None:
        """Current at every source on the integration grid, from ``from_s`` into the trace on."""
        if current is None:
            return None
        times_s = from_s + self._step_s * np.arange(n_steps, dtype=np.float64)
        samples_ma = current.at(np.asarray(times_s, dtype=np.float64))
        return self._head.drive_ma(samples_ma, current.electrodes).T

    def _record_slice(
        self,
        start_s: float,
        first: int,
        n: int,
        eyes: Eyes,
        current: DeliveredCurrent | None,
    ) -> Generator[Stretch, Advanced, _Slice]:
        """Record samples ``first`` to ``first + n`` of a recording that began at ``start_s``."""
        from_s, to_s = first / self.sfreq_hz, (first + n) / self.sfreq_hz
        before = self._change(self._time_s)
        if current is not None:
            self._feed(current, from_s, to_s, start_s, eyes)
        self._time_s = start_s + to_s
        n_steps = n * self._steps_per_sample
        share = (np.arange(n_steps) / n_steps)[:, None]
        power = before + share * (self._change(self._time_s) - before)
        power *= self.truth.size(eyes) ** 2
        advanced = yield Stretch(
            sources=self._sources,
            n_steps=n_steps,
            drive_ma=self._drive_ma(current, from_s, n_steps),
            size=np.sqrt(power),
            coupling_per_s=self._coupling_now(),
            keep_every=self._steps_per_sample,
        )
        scale_uv = self.truth.amplitude_uv * np.array([node.weight for node in self.truth.nodes])
        sources_uv = scale_uv * np.sqrt(power[:: self._steps_per_sample]) * advanced.states.real
        signal_uv = sources_uv @ self._head.patterns.T + self._background.take(n)
        elapsed_s = np.arange(first, first + n, dtype=np.float64) / np.float64(self.sfreq_hz)
        blinks_uv = self._blinks.take(start_s + elapsed_s)
        if eyes == "open":
            signal_uv += blinks_uv
        if current is not None:
            seen_ma = self._head.artefact_ma(current.at(elapsed_s), current.electrodes)
            gain_uv = 1.0 + self.truth.artefact_modulation * self._body.at(start_s + elapsed_s)
            signal_uv += (self.truth.artefact_uv_per_ma * gain_uv * seen_ma).T
        return _Slice(signal_uv, advanced.peak_hz, power.mean(axis=0))


def _check_duration(what: str, duration_s: float) -> None:
    """Refuse a length that is not a positive number."""
    if not 0.0 < duration_s < math.inf:
        raise InputError(f"{what} of {duration_s:g} s: give a positive number of seconds")


def _check_eyes(eyes: str) -> None:
    """Refuse a state that the patient does not know."""
    if eyes not in ("open", "closed"):
        raise InputError(f"eyes {eyes!r}: write 'open' or 'closed'")
