"""The exception tree of the suite, in one place.

::

    TacsError                       every error the suite raises on purpose; one line for a person
    ├── InputError                  bad file, bad value, bad usage                         exit 2
    │   ├── FileProblems            a settings file, every problem listed at once          exit 2
    │   ├── DeviceNotFound          no such driver, port or emulator                       exit 2
    │   └── DeviceBusy              somebody else holds the device                         exit 2
    ├── NoAnswer                    the recording does not support an answer               exit 3
    ├── SafetyRefusal               a limit refused it, every breach listed                exit 4
    ├── AlertOpen                   a rating raised an alert that nobody acknowledged      exit 4
    ├── RecordError                 a record cannot be written, or does not verify         exit 5
    └── DeviceError                 the device or the link, once a session has begun       exit 5
        ├── LinkLost                the link is gone
        │   └── SourceOver          a recording that is played is over
        ├── DeviceRefused           the device answered that it will not
        ├── ProtocolViolation       the device answered something that its protocol forbids
        └── UncertainDelivery       a command was sent and its fate is unknown: counts as energised

Foreign errors are mapped to these at the boundary where they arise, with ``raise … from exc``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tacs.safety import Breach


class TacsError(Exception):
    """Base of every error that the suite raises on purpose."""

    exit_code = 5


class InputError(TacsError):
    """A file, a value or a call that cannot be used; says where and how to mend it."""

    exit_code = 2


class FileProblems(InputError):
    """A settings file with problems, all of them listed.

    Parameters
    ----------
    where : str
        The file.
    problems : sequence of str
        One line each.
    """

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{where}: {problem}" for problem in self.problems))


class DeviceNotFound(InputError):
    """No such driver, port or emulator."""


class DeviceBusy(InputError):
    """Another program holds the device."""


class NoAnswer(TacsError):
    """The recording does not support an answer."""

    exit_code = 3


class SafetyRefusal(TacsError):
    """Refused by at least one limit.

    Parameters
    ----------
    breaches : sequence of Breach
        Every limit that was broken.
    """

    exit_code = 4

    def __init__(self, breaches: Sequence[Breach]) -> None:
        self.breaches = tuple(breaches)
        super().__init__("\n".join(str(breach) for breach in self.breaches))


class AlertOpen(TacsError):
    """A rating is kept, and raised an alert that nobody has acknowledged yet."""

    exit_code = 4


class RecordError(TacsError):
    """A record that cannot be written, or that does not verify."""


class DeviceError(TacsError):
    """The device or its link failed."""


class LinkLost(DeviceError):
    """The link to the device is gone."""


class SourceOver(LinkLost):
    """A recording that is played as if it came live is over."""


class DeviceRefused(DeviceError):
    """The device answered that it will not do what was asked; nothing changed in it."""


class ProtocolViolation(DeviceError):
    """The device answered something that its protocol forbids."""


class UncertainDelivery(DeviceError):
    """A command was sent and nobody knows whether it arrived: the device counts as energised."""
