"""Which channels lie under or beside an electrode that carried current.

Gel that spreads to a neighbour joins the two (a bridge), and skin that carried current goes on
changing its potential and impedance for minutes. What such a channel shows after stimulation may
be the electrode's and not the brain's: it is measured, named, and has no say in a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.channels import montage_name, normal_name
from analysis.errors import AnalysisError

Array = NDArray[np.float64]

# The four next 10-10 positions are 29 to 39 mm away, those across 44 mm and more; a 5 x 7 cm sponge
# reaches 25 to 43 mm from its middle.
RADIUS_MM = 40.0


@dataclass(frozen=True, slots=True)
class Touched:
    """Channels under and beside stimulation electrodes.

    Parameters
    ----------
    under : tuple of str
        Channels that carry the name of a stimulation electrode.
    beside : tuple of str
        Others within `radius_mm` of one.
    unplaced : tuple of str
        Stimulation electrodes whose place is unknown: their neighbours cannot be told.
    radius_mm : float
        Distance, straight through the head, between the middles of the electrodes.
    """

    under: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()
    radius_mm: float = RADIUS_MM

    @property
    def channels(self) -> tuple[str, ...]:
        """All that have no say in a verdict."""
        return (*self.under, *self.beside)

    def kept(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of `names` that are neither under nor beside."""
        return tuple(name for name in names if name not in self.channels)

    def region(
        self, names: tuple[str, ...], warnings: list[str]
    ) -> tuple[tuple[str, ...], str | None]:
        """Channels of a region that have a say, and why there is no verdict where none has.

        Parameters
        ----------
        names : tuple of str
            Channels of the region.
        warnings : list of str
            Grows where nothing remains.

        Returns
        -------
        names : tuple of str
            Those that remain, or all where none does: they are measured all the same.
        no_verdict : str or None
            The reason for none.
        """
        kept = self.kept(names)
        if kept:
            return kept, None
        reason = "every channel of the region lies under or beside a stimulation electrode"
        warnings.append(f"no verdict: {reason}; choose channels further away")
        return names, reason

    def warnings(self) -> list[str]:
        """What must be said, one line each."""
        found = []
        if self.channels:
            parts = []
            if self.under:
                parts.append(f"{', '.join(self.under)} carried current")
            if self.beside:
                verb = "lies" if len(self.beside) == 1 else "lie"
                parts.append(
                    f"{', '.join(self.beside)} {verb} within {self.radius_mm:g} mm of an electrode "
                    "that did"
                )
            found.append(
                f"{'; '.join(parts)}: gel and polarised skin may change the recording, left out of "
                f"the verdicts ({len(self.channels)} of the channels)"
            )
        if self.unplaced:
            found.append(
                f"the place of {', '.join(self.unplaced)} on the head is unknown: channels beside "
                "could not be left out"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "under": list(self.under),
            "beside": list(self.beside),
            "unplaced": list(self.unplaced),
            "radius_mm": self.radius_mm,
            "n_excluded": len(self.channels),
        }


def touched_channels(
    stimulated: Sequence[str], channels: Sequence[str], *, radius_mm: float = RADIUS_MM
) -> Touched:
    """Find the channels under and beside stimulation electrodes.

    Parameters
    ----------
    stimulated : sequence of str
        Names of the stimulation electrodes.
    channels : sequence of str
        Names of the channels.
    radius_mm : float
        Channels whose middle is at most this far from that of a stimulation electrode are beside
        it; 0 for those of the same name alone.

    Returns
    -------
    Touched
        The channels, in their order.

    Raises
    ------
    AnalysisError
        If `radius_mm` is not a number of 0 or more.

    Notes
    -----
    Places are those of the 10-05 template. The default takes in the four immediate neighbours of
    the 10-10 system and none across; with 10-20 caps, whose electrodes are 56 mm and more apart,
    it takes in the electrode itself alone.
    """
    if not (np.isfinite(radius_mm) and radius_mm >= 0.0):
        raise AnalysisError(f"radius_mm is {radius_mm:g}: give 0 or more millimetres")
    places = _places_mm()
    usual = [normal_name(name) for name in stimulated]
    normal = {name: normal_name(name) for name in channels}
    under = tuple(name for name in channels if normal[name] in usual)
    placed = [places[name] for name in usual if name in places]
    beside = tuple(
        name
        for name in channels
        if name not in under
        and normal[name] in places
        and any(np.linalg.norm(places[normal[name]] - place) <= radius_mm for place in placed)
    )
    return Touched(
        under=under,
        beside=beside,
        unplaced=tuple(name for name in usual if name not in places),
        radius_mm=radius_mm,
    )


@cache
def _places_mm() -> dict[str, Array]:
    """Places of the 10-05 electrodes on the template head."""
    import mne

    montage = mne.channels.make_standard_montage(montage_name())
    return {
        name: np.asarray(place) * 1e3 for name, place in montage.get_positions()["ch_pos"].items()
    }
