"""What a check of a recording has to say, under a stable name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["note", "warning", "refusal"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about a recording.

    Parameters
    ----------
    name : str
        Stable machine-readable name, such as ``muscle``.
    severity : {"note", "warning", "refusal"}
        A note changes nothing and is only kept; a warning is to be read; a refusal makes the
        recording unusable.
    text : str
        One line: what is seen and what to do about it.
    channels : tuple of str
        Channels concerned.
    share : float or None
        Share of the time concerned, 0 to 1.
    count : int or None
        Number of samples, channels or pairs concerned.
    """

    name: str
    severity: Severity
    text: str
    channels: tuple[str, ...] = ()
    share: float | None = None
    count: int | None = None

    @property
    def line(self) -> str:
        """The finding in one line that begins with its name."""
        return f"{self.name}: {self.text}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "name": self.name,
            "severity": self.severity,
            "text": self.text,
            "channels": list(self.channels),
            "share": self.share,
            "count": self.count,
        }


def listed(items: list[str] | tuple[str, ...], most: int = 8) -> str:
    """The first items in words, and how many more there are.

    Parameters
    ----------
    items : sequence of str
        What to list.
    most : int
        How many to name.

    Returns
    -------
    str
        Comma-separated.
    """
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
