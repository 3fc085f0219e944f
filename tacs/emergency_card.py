"""The emergency card: what to do when a participant has a seizure or faints."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field

from tacs.files import StrictModel

__all__ = ["CardSection", "EmergencyCard", "emergency_card"]


class CardSection(StrictModel):
    """One emergency: its signs and the steps."""

    title: str
    signs: str
    steps: tuple[str, ...] = Field(min_length=1)


class EmergencyCard(StrictModel):
    """What to do when a participant has a seizure or faints."""

    schema_version: Literal[1] = 1
    title: str
    version: str
    first: str
    to_fill_in: tuple[str, ...]
    sections: tuple[CardSection, ...] = Field(min_length=1)
    afterwards: tuple[str, ...]
    source: str

    def text(self, width: int = 78) -> str:
        """Return the card as plain text to print and pin up.

        Parameters
        ----------
        width : int
            Of a line, in characters.
        """

        def numbered(steps: Sequence[str]) -> list[str]:
            return [
                textwrap.fill(
                    step, width, initial_indent=f"{number:>2}. ", subsequent_indent="    "
                )
                for number, step in enumerate(steps, 1)
            ]

        lines = [self.title.upper(), textwrap.fill(self.first, width), ""]
        lines += [f"{label}: {'_' * 30}" for label in self.to_fill_in]
        for section in self.sections:
            lines += ["", section.title.upper(), textwrap.fill(section.signs, width)]
            lines += numbered(section.steps)
        lines += ["", "AFTERWARDS", *numbered(self.afterwards), ""]
        lines.append(textwrap.fill(f"Version {self.version}. {self.source}", width))
        return "\n".join(lines)


def emergency_card() -> EmergencyCard:
    """Return the emergency card that comes with the suite."""
    return EmergencyCard.from_toml(
        Path(str(resources.files("tacs"))) / "forms_data" / "cards" / "emergency.toml"
    )
