"""Regions of the head by electrode names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from analysis.channels import normal_name
from analysis.errors import AnalysisError, UnusableRecording
from analysis.pairing import Pair

REGIONS = {
    "all": r".",
    "posterior": r"(?:P|PO|O)(?:z|\d{1,2})h?$",
    "frontal": r"(?:Fp|AF|F)(?:z|\d{1,2})h?$",
    "left frontal": r"(?:Fp|AF|F)\d?[13579]h?$",
    "right frontal": r"(?:Fp|AF|F)\d?[02468]h?$",
    "central": r"(?:FC|C|CP)(?:z|\d{1,2})h?$",
    "temporal": r"(?:FT|T|TP)\d{1,2}h?$",
}
_REGION_LIST = ", ".join(REGIONS)


def region_channels(region: str, channels: Sequence[str]) -> tuple[str, ...]:
    """Channels of a named region.

    Parameters
    ----------
    region : str
        One of `REGIONS`; case, spaces, hyphens and underscores do not matter.
    channels : sequence of str
        10-05 names to choose from.

    Returns
    -------
    tuple of str
        Those in the region, possibly none.

    Raises
    ------
    AnalysisError
        If the region is unknown.
    """
    key = re.sub(r"[\s_-]+", " ", region.strip().lower())
    if key not in REGIONS:
        raise AnalysisError(f"region {region!r} is unknown: give channels or one of {_REGION_LIST}")
    pattern = re.compile(REGIONS[key], re.IGNORECASE)
    return tuple(name for name in channels if pattern.match(name))


def choose_region(
    pair: Pair, picks: Sequence[str] | None, region: Any, warnings: list[str]
) -> tuple[str, ...]:
    """Channels whose mean power is the primary outcome.

    Parameters
    ----------
    pair : Pair
        The prepared recordings.
    picks : sequence of str or None
        Channels asked for; they come first.
    region : str or sequence of str or None
        Region of the protocol, by name or by its channels.
    warnings : list of str
        Grows where bad channels were asked for, or no posterior one has a known name.

    Returns
    -------
    tuple of str
        Good channels; without `picks` and `region` the posterior ones, or all.

    Raises
    ------
    AnalysisError
        If a name is unknown.
    UnusableRecording
        If none of the channels is good in both recordings.
    """
    wanted: list[str] | None = None
    if picks is not None:
        wanted = [picks] if isinstance(picks, str) else [str(name) for name in picks]
    elif region is not None and not isinstance(region, str):
        wanted = [str(name) for name in region]
    if wanted is None:
        found = region_channels(region or "posterior", pair.channels)
        if not found and region is not None:
            raise UnusableRecording(f"no good channel in both recordings lies in region {region!r}")
        if not found:
            warnings.append("no parietal or occipital channel by name: all channels were used")
        return found or pair.channels
    named = [name if name in pair.channels else normal_name(name) for name in wanted]
    known = {*pair.channels, *pair.bad}
    unknown = [name for name in named if name not in known]
    if unknown or not named:
        raise AnalysisError(
            f"no channel {', '.join(unknown) or '(none given)'} in both recordings; "
            f"they share {', '.join([*pair.channels, *pair.bad])}"
        )
    kept = tuple(dict.fromkeys(name for name in named if name in pair.channels))
    if not kept:
        raise UnusableRecording(f"every channel asked for is bad: {', '.join(named)}")
    if len(kept) < len(set(named)):
        left = [name for name in named if name not in kept]
        warnings.append(f"asked for, but bad in one of the recordings: {', '.join(left)}")
    return kept
