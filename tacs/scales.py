"""Rating scales as data: items, scoring, missing items, bands, and the limits of a change.

A scale is a TOML file; those that ship are in ``tacs/scales_data``, a site adds its own in the
folder ``scales`` of the site's folder. Every number stands with its source and whether somebody of
the suite read it there. Item text ships only where the licence allows it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from tacs.errors import InputError
from tacs.files import StrictModel
from tacs.sitelog import site_folder

__all__ = [
    "Band",
    "Bands",
    "Meaningful",
    "Missing",
    "ReliableChange",
    "Remission",
    "Response",
    "Scale",
    "ScaleItem",
    "Subscale",
    "all_scales",
    "load_scale",
]

ID = r"^[a-z][a-z0-9_]{0,31}$"


class Sourced(StrictModel):
    """Numbers with where they come from."""

    source: str = Field(min_length=1)
    read_at_source: bool = Field(description="whether somebody read the number there")
    note: str = ""


class ScaleItem(StrictModel):
    """One item: its number, its range, and from which answer on it raises an alert."""

    number: int = Field(ge=1, le=200)
    minimum: int = Field(ge=0, le=100)
    maximum: int = Field(ge=1, le=100)
    alert_at: int | None = Field(default=None, description="suicidality: this answer or higher")
    text: str = Field(default="", max_length=400)


class Subscale(StrictModel):
    """A sum of some items."""

    id: str = Field(pattern=ID)
    items: tuple[int, ...] = Field(min_length=1)


class Missing(Sourced):
    """What becomes of a total with missing items: none, or the mean of the others."""

    rule: Literal["none", "prorate"]
    most_missing: int = Field(default=0, ge=0)


class Band(StrictModel):
    """Totals from here on have this name."""

    start: int = Field(alias="from")
    name: str = Field(min_length=1, max_length=40)


class Bands(Sourced):
    """Names of ranges of the total."""

    levels: tuple[Band, ...] = Field(min_length=2)


class Response(Sourced):
    """How large an improvement is a response: in percent, or in points."""

    percent: float | None = Field(default=None, gt=0.0, le=100.0)
    partial_percent: float | None = Field(default=None, gt=0.0, lt=100.0)
    points: float | None = Field(default=None, gt=0.0)


class Remission(Sourced):
    """The highest total in remission, or the highest answer to some of the items."""

    maximum: int | None = None
    also_used: tuple[int, ...] = ()
    items: tuple[int, ...] = ()
    item_maximum: int | None = None


class ReliableChange(Sourced):
    """Inputs of the reliable change index, or a published number of points."""

    sd: float | None = Field(default=None, gt=0.0)
    reliability: float | None = Field(default=None, gt=0.0, lt=1.0)
    points: float | None = Field(default=None, gt=0.0)
    also_used: tuple[float, ...] = ()


class Meaningful(Sourced):
    """A change that somebody has called meaningful."""

    name: str = Field(min_length=1, max_length=60)
    points: float | None = Field(default=None, gt=0.0)
    percent: float | None = Field(default=None, gt=0.0, le=100.0)


class Scale(StrictModel):
    """A rating scale; a higher total is worse."""

    schema_version: Literal[1] = 1
    id: str = Field(pattern=ID)
    version: str = Field(min_length=1, max_length=20)
    title: str = Field(min_length=1, max_length=80)
    about: str = Field(min_length=1, max_length=60, description="what it rates")
    rater: Literal["self", "clinician"]
    total_minimum: int
    total_maximum: int
    source: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    item_text: Literal["shipped", "licensed"]
    asked: str = ""
    anchors: tuple[str, ...] = Field(default=(), description="names of the answers, from the least")
    percent_floor: int = Field(
        default=0, description="subtracted from a total before a percentage of it is taken"
    )
    items: tuple[ScaleItem, ...] = Field(min_length=1, max_length=200)
    subscales: tuple[Subscale, ...] = ()
    missing: Missing
    bands: Bands | None = None
    response: Response | None = None
    remission: Remission | None = None
    reliable_change: ReliableChange | None = None
    meaningful: tuple[Meaningful, ...] = ()

    @classmethod
    def problems_between(cls, data: Mapping[str, Any]) -> list[str]:
        """List what the parts of a scale say against each other."""
        try:
            return _between(data)
        except (AttributeError, KeyError, TypeError, ValueError):
            return []  # a part has a wrong shape, which is a problem of its own

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the items, in order."""
        return tuple(item.number for item in self.items)

    @functools.cached_property
    def digest(self) -> str:
        """Hash of the content, taken once."""
        return self.sha256()

    def item(self, number: int) -> ScaleItem | None:
        """Return an item by its number."""
        # Items are numbered from 1 without gaps.
        return self.items[number - 1] if 1 <= number <= len(self.items) else None

    def band(self, total: float) -> str | None:
        """Return the name of the range that a total lies in; None where the scale has no bands."""
        if self.bands is None:
            return None
        return [level.name for level in self.bands.levels if level.start <= total][-1]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a scale file; its name is its id.

        Raises
        ------
        InputError
            Missing, unreadable, or under another name.
        FileProblems
            It breaks the model; every problem is listed.
        """
        scale = cls.from_toml(path)
        if scale.id != path.stem:
            raise InputError(f"{path}: holds the scale {scale.id!r}; name the file {scale.id}.toml")
        return scale


def all_scales() -> dict[str, Scale]:
    """Return every scale by its id, those that ship first.

    Raises
    ------
    InputError
        A file of the site cannot be used, or takes the name of a scale that ships.
    """
    return {name: load_scale(name) for name in (*_shipped(), *_own())}


def load_scale(name: str) -> Scale:
    """Return a scale by its id.

    Parameters
    ----------
    name : str
        Of a scale that ships, or of the site's folder; upper and lower case, hyphens, underscores
        and spaces do not matter (``PHQ-9`` is ``phq9``, ``BDI-II`` is ``bdi2``).

    Raises
    ------
    InputError
        There is none of this name, or the site has one of a name that ships.
    FileProblems
        The site's file breaks the model.
    """
    shipped, own = _shipped(), _own()
    both = sorted(shipped.keys() & own.keys())
    if both:
        raise InputError(
            f"{own[both[0]]}: {both[0]} ships with the suite; give your own scale another id"
        )
    name = _id_of(name, [*shipped, *own])
    if name in shipped:
        return _shipped_scale(name)
    if name not in own:
        raise InputError(
            f"scale {name!r}: no such scale; there are: {', '.join([*shipped, *own])}; your own "
            f"go into {site_folder() / 'scales'}"
        )
    return Scale.read(own[name])


def _id_of(name: str, known: Sequence[str]) -> str:
    """The id that a name as papers write it stands for; the name itself where it is none."""
    if name in known:
        return name
    plain = _plain(name)
    found = [one for one in known if _plain(one) == plain]
    return found[0] if len(found) == 1 else name


def _plain(name: str) -> str:
    plain = re.sub(r"[-_ ]", "", name).lower()
    return {"bdiii": "bdi2"}.get(plain, plain)


@functools.cache
def _shipped_scale(name: str) -> Scale:
    return Scale.read(_shipped()[name])


@functools.cache
def _shipped() -> dict[str, Path]:
    folder = Path(str(resources.files("tacs"))) / "scales_data"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _own() -> dict[str, Path]:
    return {path.stem: path for path in sorted((site_folder() / "scales").glob("*.toml"))}


def _between(data: Mapping[str, Any]) -> list[str]:
    """What the parts say against each other; raises where one has a wrong shape."""
    items = data["items"]
    numbers = [item["number"] for item in items]
    problems = []
    if numbers != list(range(1, len(numbers) + 1)):
        problems.append("items: must be numbered 1, 2, 3 and so on, without gaps")
    for item in items:
        where = f"items[{item['number'] - 1}]"
        low, high = item["minimum"], item["maximum"]
        if not low < high:
            problems.append(f"{where}: maximum must be more than minimum")
        elif item.get("alert_at") is not None and not low < item["alert_at"] <= high:
            problems.append(f"{where}: alert_at must lie above {low} and at most at {high}")
        if bool(item.get("text")) != (data["item_text"] == "shipped"):
            problems.append(f"{where}: text stands in the file exactly where item_text is shipped")
        if data.get("anchors") and len(data["anchors"]) != high - low + 1:
            problems.append(f"{where}: {len(data['anchors'])} anchors do not name {low} to {high}")
    lowest, highest = (sum(i[end] for i in items) for end in ("minimum", "maximum"))
    if (data["total_minimum"], data["total_maximum"]) != (lowest, highest):
        problems.append(
            f"total_minimum, total_maximum: the items add up to {lowest} to {highest}, not "
            f"{data['total_minimum']} to {data['total_maximum']}"
        )
    if not data.get("percent_floor", 0) <= lowest:
        problems.append(f"percent_floor: must be at most the lowest total, {lowest}")
    parts = [(f"subscales[{n}]", s["items"]) for n, s in enumerate(data.get("subscales", []))]
    remission, response = data.get("remission"), data.get("response")
    if remission is not None:
        parts.append(("remission", remission.get("items", [])))
        by_items = bool(remission.get("items"))
        if by_items != (remission.get("item_maximum") is not None) or by_items == (
            remission.get("maximum") is not None
        ):
            problems.append("remission: needs either maximum, or items and item_maximum")
    for where, wanted in parts:
        unknown = [n for n in wanted if n not in numbers]
        if unknown or len(set(wanted)) != len(wanted):
            problems.append(f"{where}: items must be numbers of the scale, each once")
    if response is not None and (response.get("percent") is None) == (
        response.get("points") is None
    ):
        problems.append("response: needs either percent or points")
    change = data.get("reliable_change")
    if change is not None:
        inputs = (change.get("sd") is not None, change.get("reliability") is not None)
        if len(set(inputs)) != 1 or inputs[0] == (change.get("points") is not None):
            problems.append("reliable_change: needs either sd and reliability, or points")
    for number, row in enumerate(data.get("meaningful", [])):
        if (row.get("points") is None) == (row.get("percent") is None):
            problems.append(f"meaningful[{number}]: needs either points or percent")
    bands = data.get("bands")
    if bands is not None:
        starts = [level["from"] for level in bands["levels"]]
        if starts != sorted(set(starts)) or starts[0] != lowest or starts[-1] > highest:
            problems.append(f"bands: must rise from {lowest}, the lowest total")
    missing = data["missing"]
    if (missing["rule"] == "prorate") != (missing.get("most_missing", 0) > 0):
        problems.append("missing: most_missing belongs to the rule prorate, and is 1 or more there")
    ids = [s["id"] for s in data.get("subscales", [])]
    if len(set(ids)) != len(ids) or any(not re.fullmatch(ID, str(i)) for i in ids):
        problems.append("subscales: every one needs an id of its own")
    return problems
