"""Sources of EEG by their names: what the entry-point group ``tacs.eeg`` provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from devices.aftereffect import Eyes
from devices.eeg import EEGSource
from devices.patient import VirtualPatient
from devices.truth import PatientTruth
from tacs.clock import Clock
from tacs.errors import InputError

__all__ = ["BRAINFLOW", "LSL", "NIC2", "REPLAY", "VIRTUAL", "NamedKind"]

T = TypeVar("T")


class _Options:
    """Options of one source; each is taken once, and none may be left over."""

    def __init__(self, form: str, given: Mapping[str, str]) -> None:
        self._form = form
        self._given = dict(given)
        self._known: list[str] = []

    def take(self, key: str, convert: Callable[[str], T]) -> T | None:
        """Return an option, or None where it was not given."""
        self._known.append(key)
        if key not in self._given:
            return None
        text = self._given.pop(key)
        try:
            return convert(text)
        except ValueError as exc:
            raise InputError(f"{self._form}: {key}={text} cannot be used ({exc})") from exc

    def rest(self) -> dict[str, str]:
        """Return what is left, and take it."""
        left, self._given = self._given, {}
        return left

    def done(self) -> None:
        """Refuse what is left."""
        if self._given:
            raise InputError(
                f"{self._form}: no option {next(iter(self._given))!r}; there are "
                f"{', '.join(self._known)}"
            )


@dataclass(frozen=True)
class NamedKind:
    """A kind of source, for :class:`tacs.eeg.SourceKind`.

    Parameters
    ----------
    form, about : str
        How it is written, and what it is.
    virtual : bool
        Whether it runs on a virtual clock.
    build : callable
        Makes a source from address, options and clock.
    marks : callable, optional
        Makes a stream of marks (:class:`tacs.marks.Marks`) from address and clock.
    """

    form: str
    about: str
    virtual: bool
    build: Callable[[str, _Options, Clock], EEGSource]
    marks: Callable[[str, Clock], Any] | None = None

    def make(self, address: str, options: Mapping[str, str], clock: Clock) -> EEGSource:
        """Return the source, not yet open.

        Raises
        ------
        InputError
            An option that it has not, or a value that cannot be used.
        """
        return self.build(address, _Options(self.form, options), clock)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _yes(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise ValueError("write yes or no")
    return text == "yes"


def _drops(text: str) -> list[tuple[float, float]]:
    """Read ``AT+FOR,AT+FOR``."""
    found = []
    for part in text.split(","):
        at, plus, lasts = part.partition("+")
        if not plus:
            raise ValueError("write SECONDS+DURATION, separated by commas")
        found.append((float(at), float(lasts)))
    return found


def _sine(text: str) -> tuple[float, float]:
    hz, comma, uv = text.partition(",")
    if not comma:
        raise ValueError("write HZ,MICROVOLTS")
    return float(hz), float(uv)


def _lsl(address: str, options: _Options, clock: Clock) -> EEGSource:
    from devices.eeg_lsl import LslEEG

    source = LslEEG(
        clock,
        name=address or None,
        source_id=options.take("source_id", str),
        channels=options.take("channels", _names),
        unit=options.take("unit", str),
        wait_s=options.take("wait_s", float) or 5.0,
    )
    options.done()
    return source


def _brainflow(address: str, options: _Options, clock: Clock) -> EEGSource:
    from devices.eeg_brainflow import BrainFlowEEG

    channels, names = options.take("channels", _names), options.take("names", _names)
    unit = options.take("unit", str) or "µV"
    return BrainFlowEEG(
        clock, address, parameters=options.rest(), channels=channels, names=names, unit=unit
    )


def _nic2(address: str, options: _Options, clock: Clock) -> EEGSource:
    from devices.eeg_nic2 import Nic2EEG

    electrodes = options.take("electrodes", _names)
    uv_per_count = options.take("uv_per_count", float)
    known_sine = options.take("known_sine", _sine)
    options.done()
    if not electrodes:
        raise InputError("nic2: name the device's channels (electrodes=C3,C4,…), in NIC's order")
    return Nic2EEG(
        address, clock, electrodes=electrodes, uv_per_count=uv_per_count, known_sine=known_sine
    )


def _paced(options: _Options) -> dict[str, Any]:
    """Return what every source takes that is paced by the session's clock."""
    return {
        "drops": options.take("drops", _drops) or (),
        "clock_ppm": options.take("clock_ppm", float) or 0.0,
        "chunk": options.take("chunk", int) or 1,
    }


def _replay(address: str, options: _Options, clock: Clock) -> EEGSource:
    from devices.eeg_replay import FileEEG

    channels, loops = options.take("channels", _names), options.take("loops", _yes)
    paced = _paced(options)
    options.done()
    return FileEEG(address, clock, channels=channels, loops=bool(loops), **paced)


def _virtual(address: str, options: _Options, clock: Clock) -> EEGSource:
    from devices.eeg_patient import PatientEEG

    if not address.isdigit():
        raise InputError(f"virtual:{address}: write a whole number of 0 or more, the seed")
    seed = int(address)
    state = options.take("eyes", str) or "closed"
    peak_hz = options.take("peak_hz", float)
    sfreq_hz = options.take("sfreq_hz", float) or 250.0
    size = options.take("size", float)
    artefact_uv = options.take("artefact_uv", float)
    more = {
        "sensitivity_per_s_ma": options.take("sensitivity", float),
        "fwhm_hz": options.take("fwhm_hz", float),
    }
    paced = _paced(options)
    options.done()
    eyes: dict[str, Eyes] = {"closed": "closed", "open": "open"}
    if state not in eyes:
        raise InputError(f"virtual:SEED: eyes={state}: write closed or open")
    changes = {} if peak_hz is None else {"peak_hz": peak_hz}
    if size is not None:
        changes |= {"eyes_closed_gain": size, "eyes_open_gain": size}
    if artefact_uv is not None:
        changes["artefact_uv_per_ma"] = artefact_uv
    changes |= {name: value for name, value in more.items() if value is not None}
    patient = VirtualPatient(PatientTruth.draw(seed, **changes), seed, sfreq_hz=sfreq_hz)
    return PatientEEG(patient, clock, eyes=eyes[state], **paced)


def _lsl_marks(address: str, clock: Clock) -> Any:
    from devices.marks_lsl import LslMarks

    return LslMarks(clock, name=address)


LSL = NamedKind(
    "lsl:NAME", "a stream on the network (Lab Streaming Layer)", False, _lsl, _lsl_marks
)
BRAINFLOW = NamedKind("brainflow:BOARD[?key=value]", "a board of BrainFlow", False, _brainflow)
NIC2 = NamedKind("nic2:HOST?electrodes=…", "NIC2's EEG stream", False, _nic2)
REPLAY = NamedKind("replay:FILE", "a recording, as if it came live", True, _replay)
VIRTUAL = NamedKind("virtual:SEED", "the virtual patient", True, _virtual)
