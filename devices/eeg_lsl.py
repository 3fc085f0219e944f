"""EEG over the Lab Streaming Layer: nearly every amplifier, and NIC2's other way out.

MNE-LSL, which brings liblsl with it, is an extra and is imported when a stream is opened, not
before. Stamps are taken as they were sent and put on the session's clock by LSL's own measurement
of the offset between the two computers; smoothing is left to :mod:`devices.eeg_clock`, because
liblsl's own would hide what is missing.

References
----------
Kothe et al. (2025), *Imaging Neuroscience* 3, "The lab streaming layer for synchronized multimodal
recording".
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from devices.eeg import STALE_S, EEGInfo, EEGSource, Pulled, channel_rows, microvolts_per
from tacs.clock import Clock
from tacs.errors import DeviceNotFound, InputError, LinkLost

__all__ = ["LslEEG", "lsl_library", "lsl_to_session_s"]

LISTEN_S: Final = 2.0  # for other streams of the same description
OPEN_S: Final = 5.0
CHUNK: Final = 8192
LOOKS: Final = 5
KIND: Final = "EEG"


class LslEEG(EEGSource):
    """A stream of type EEG on the local network.

    Parameters
    ----------
    clock : Clock
        Real time.
    name, source_id : str, optional
        Which stream, where there are several.
    channels : sequence of str, optional
        Which channels, in that order; all of type EEG where left out.
    unit : str, optional
        Of the numbers, where the stream does not say; one that says otherwise is refused.
    wait_s : float
        How long to look for the stream.
    stale_after_s : float
        See :class:`devices.eeg.EEGSource`.
    """

    has_own_clock = True

    def __init__(
        self,
        clock: Clock,
        *,
        name: str | None = None,
        source_id: str | None = None,
        channels: Sequence[str] | None = None,
        unit: str | None = None,
        wait_s: float = 5.0,
        stale_after_s: float = STALE_S,
    ) -> None:
        super().__init__(clock, stale_after_s=stale_after_s)
        self._wanted = {"name": name, "source_id": source_id}
        self._channels = channels
        self._unit = unit
        self._wait_s = wait_s
        self._lsl: Any = None
        self._inlet: Any = None
        self._rows: list[int] = []
        self._correction_s = 0.0

    @property
    def _called(self) -> str:
        said = [f"{key} {value!r}" for key, value in self._wanted.items() if value]
        return f"LSL stream of type {KIND}{' with ' if said else ''}{' and '.join(said)}"

    def _open(self) -> EEGInfo:
        if self._session.virtual:
            raise InputError("an LSL stream is read in real time; use --clock real")
        lsl = self._lsl = lsl_library()
        found = self._found(lsl)
        where = f"LSL stream {found.name!r} on {found.hostname or 'an unknown host'}"
        if str(found.dtype) in ("string", "<class 'str'>"):
            raise InputError(f"{where}: it carries text, not numbers")
        if not found.sfreq > 0.0:
            raise InputError(f"{where}: it has no steady rate, which EEG has")
        try:
            inlet = self._inlet = lsl.StreamInlet(found, max_buffered=60, recover=True)
            inlet.open_stream(timeout=OPEN_S)
            said = inlet.get_sinfo(timeout=OPEN_S)
            self._correction_s = float(inlet.time_correction(timeout=OPEN_S))
        except (RuntimeError, OSError, ValueError) as exc:
            self._close()
            raise DeviceNotFound(f"{where}: cannot be opened ({exc})") from exc
        try:
            return self._described(where, found, said)
        except InputError:
            self._close()
            raise

    def _found(self, lsl: Any) -> Any:
        """The one stream that fits; a source_id is one stream's, a name may be that of several."""
        enough = 1 if self._wanted["source_id"] else 64
        until_s = self._session.now_s() + self._wait_s
        while True:
            left_s = until_s - self._session.now_s()
            listen_s = min(LISTEN_S, max(left_s, 0.1))
            streams = lsl.resolve_streams(listen_s, minimum=enough, **self._wanted)
            fitting = [stream for stream in streams if stream.stype.upper() == KIND]
            if fitting or left_s <= 0.0:
                break
        if not fitting:
            others = sorted(f"{s.name!r} ({s.stype})" for s in lsl.resolve_streams(LISTEN_S))
            raise DeviceNotFound(
                f"no {self._called} within {self._wait_s:g} s; streams here: "
                f"{', '.join(others) or 'none'}"
            )
        if len(fitting) > 1:
            told = ", ".join(sorted(f"{s.name!r} (source_id {s.source_id!r})" for s in fitting))
            raise InputError(f"{len(fitting)} streams are a {self._called}; say which: {told}")
        return fitting[0]

    def _described(self, where: str, found: Any, said: Any) -> EEGInfo:
        """What the stream gives, as its description says."""
        n = found.n_channels
        names = said.get_channel_names() or [f"channel {i + 1}" for i in range(n)]
        kinds = said.get_channel_types() or [KIND] * n
        units = said.get_channel_units() or [None] * n
        eeg = [i for i, kind in enumerate(kinds) if (kind or KIND).upper() == KIND]
        rows = channel_rows(where, [names[i] for i in eeg], self._channels)
        self._rows = [eeg[row] for row in rows]
        return EEGInfo(
            source=where,
            channels=tuple(names[i] for i in self._rows),
            sfreq_hz=float(found.sfreq),
            uv_per_unit=tuple(self._worth(where, names[i], units[i]) for i in self._rows),
            left_out=tuple(name for i, name in enumerate(names) if i not in self._rows),
        )

    def _worth(self, where: str, name: str, unit: str | None) -> float:
        """Microvolts of a channel's number 1."""
        stated = unit if unit and unit.lower() not in ("none", "na", "n/a") else None
        if stated is None and self._unit is None:
            raise InputError(f"{where}: channel {name} has no unit; say it (unit='µV')")
        if stated is None or self._unit is None:
            return microvolts_per(str(stated or self._unit))
        if microvolts_per(stated) != microvolts_per(self._unit):
            raise InputError(
                f"{where}: channel {name} says its unit is {stated!r} and {self._unit!r} was given"
            )
        return microvolts_per(stated)

    def _pull(self, timeout_s: float) -> Pulled | None:
        inlet, lsl = self._inlet, self._lsl
        if inlet is None or lsl is None:
            raise LinkLost(f"{self.info.source}: the stream was closed")
        try:
            samples, stamps_s = inlet.pull_chunk(timeout=0.0, max_samples=CHUNK)
            if not len(stamps_s) and timeout_s > 0.0:
                one, stamp_s = inlet.pull_sample(timeout=timeout_s)
                if stamp_s is None:
                    return None
                rest, rest_s = inlet.pull_chunk(timeout=0.0, max_samples=CHUNK)
                samples = np.concatenate([np.atleast_2d(one), rest.reshape(-1, len(one))])
                stamps_s = np.concatenate([[stamp_s], rest_s])
        except (RuntimeError, OSError) as exc:
            raise LinkLost(f"{self.info.source}: the stream is gone ({exc})") from exc
        if not len(stamps_s):
            return None
        # While the other computer does not answer, its clock is taken to run on as it did.
        with contextlib.suppress(RuntimeError, OSError):
            self._correction_s = float(inlet.time_correction(timeout=OPEN_S))
        return Pulled(
            samples=np.asarray(samples)[:, self._rows],
            stamps_s=np.asarray(stamps_s, dtype=np.float64),
            offset_s=self._correction_s + lsl_to_session_s(self._session, lsl),
        )

    def _close(self) -> None:
        if self._inlet is not None:
            with contextlib.suppress(RuntimeError, OSError):
                self._inlet.close_stream()
            self._inlet = None


def lsl_library() -> Any:
    """Import MNE-LSL."""
    try:
        import mne_lsl.lsl
    except ImportError as exc:
        raise InputError(
            "EEG over the Lab Streaming Layer needs MNE-LSL; install it with "
            "pip install 'tacs-suite[live]'"
        ) from exc
    return mne_lsl.lsl


def lsl_to_session_s(clock: Clock, lsl: Any) -> float:
    """Session's clock minus LSL's clock of this computer, from the quickest of some looks."""
    looks = []
    for _ in range(LOOKS):
        before_s, lsl_s = clock.now_s(), float(lsl.local_clock())
        after_s = clock.now_s()
        looks.append((after_s - before_s, 0.5 * (before_s + after_s) - lsl_s))
    return min(looks)[1]
