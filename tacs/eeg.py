"""Live EEG as the suite sees it: sources by name, from the entry-point group ``tacs.eeg``.

A source is named ``KIND:ADDRESS`` or ``KIND:ADDRESS?key=value&key=value``. The contract of a source
is described where they are made, :mod:`devices.eeg`; here stands what its users rely on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tacs.clock import Clock
from tacs.driver import installed
from tacs.errors import DeviceNotFound, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "EEGBlock",
    "EEGDescription",
    "EEGStream",
    "SourceKind",
    "SourceName",
    "feel",
    "open_source",
]

GROUP = "tacs.eeg"


class EEGDescription(Protocol):
    """What a source gives."""

    @property
    def source(self) -> str:
        """What it is."""

    @property
    def channels(self) -> tuple[str, ...]:
        """EEG channels, in the order of the rows."""

    @property
    def sfreq_hz(self) -> float:
        """Nominal rate."""


class EEGBlock(Protocol):
    """Some samples without a gap between them."""

    @property
    def signal_uv(self) -> NDArray[np.float64]:
        """Microvolts, shape (n_channels, n_samples)."""

    @property
    def times_s(self) -> NDArray[np.float64]:
        """When each was taken, on the session's clock."""

    @property
    def missing(self) -> int:
        """How many samples are missing directly before it."""

    @property
    def restarted(self) -> bool:
        """Whether the source's time jumped before it."""

    def __len__(self) -> int:
        """Return the number of samples."""


class EEGStream(Protocol):
    """A live source of EEG."""

    @property
    def info(self) -> EEGDescription:
        """What it gives, once it is open."""

    @property
    def timing(self) -> Any:
        """How it keeps time: a dataclass (:class:`devices.eeg.Timing`)."""

    @property
    def age_s(self) -> float:
        """Time since the newest sample was taken; infinite before the first."""

    @property
    def stale(self) -> bool:
        """Whether nothing new has come for too long."""

    def open(self) -> Any:
        """Begin."""

    def read(self, timeout_s: float = 0.0) -> EEGBlock:
        """Return what has come since the last time, up to the next gap."""

    def close(self) -> None:
        """Let go of the source."""


class SourceKind(Protocol):
    """What the entry-point group ``tacs.eeg`` provides.

    Attributes
    ----------
    form : str
        How a source of this kind is written, such as ``lsl:NAME``.
    about : str
        What it is, in a few words.
    virtual : bool
        Whether it runs on a virtual clock.
    """

    form: str
    about: str
    virtual: bool

    def make(self, address: str, options: Mapping[str, str], clock: Clock) -> EEGStream:
        """Return the source, not yet open."""


@dataclass(frozen=True, slots=True)
class SourceName:
    """A source as the command line names it.

    Parameters
    ----------
    kind, address : str
        Before and after the first colon.
    options : mapping of str to str
        What stands after the question mark.
    """

    kind: str
    address: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> SourceName:
        """Take a source's name apart.

        Raises
        ------
        InputError
            It has no such form.
        """
        kind, colon, rest = text.partition(":")
        if not kind or not colon:
            raise InputError(f"EEG source {text!r}: write KIND:ADDRESS; there are {_told()}")
        address, mark, tail = rest.rpartition("?")
        if not mark or "=" not in tail:
            address, tail = rest, ""
        options: dict[str, str] = {}
        for word in tail.split("&") if tail else []:
            key, equals, value = word.partition("=")
            if not key or not equals:
                raise InputError(f"EEG source {text!r}: {word!r} is no key=value")
            if key in options:
                raise InputError(f"EEG source {text!r}: {key} stands there twice")
            options[key] = value
        return cls(kind, address, options)


def open_source(text: str, clock: Clock) -> EEGStream:
    """Return the source of a name, not yet open.

    Parameters
    ----------
    text : str
        ``lsl:NAME``, ``brainflow:BOARD?serial_port=/dev/ttyUSB0``, ``nic2:HOST?…``,
        ``replay:FILE``, ``virtual:SEED``, or a kind that another package brings.
    clock : Clock
        Of the session.

    Raises
    ------
    InputError
        The name has no such form, an option is unknown, or the kind needs a real clock.
    DeviceNotFound
        There is no such kind; the message lists those there are.
    """
    name = SourceName.parse(text)
    points = installed(GROUP)
    if name.kind not in points:
        raise DeviceNotFound(f"no EEG source of kind {name.kind!r}; there are {_told()}")
    kind: SourceKind = points[name.kind].load()
    if clock.virtual and not kind.virtual:
        raise InputError(f"{text}: is read in real time; use --clock real")
    return kind.make(name.address, name.options, clock)


def feel(source: EEGStream, device: Any) -> bool:
    """Have a virtual patient feel what an emulated device delivers.

    Parameters
    ----------
    source : EEGStream
        One that is no virtual patient is left as it is.
    device : EmulatedDevice
        In this process.

    Returns
    -------
    bool
        Whether there was somebody to feel it.
    """
    feels, delivered = getattr(source, "feel", None), getattr(device, "delivered", None)
    if feels is None or delivered is None:
        return False
    feels(delivered)
    return True


def _told() -> str:
    """Return the forms of all kinds, for a message."""
    return ", ".join(point.load().form for _, point in sorted(installed(GROUP).items()))
