"""Ratings as BIDS phenotype files: one table a scale, one row a person, with its sidecar.

BIDS wants each person once in such a table. The ratings of a person therefore stand side by side,
in the order of time: ``r01_day``, ``r01_total``, ``r01_item_01``, … then ``r02_day`` and so on; who
has fewer than others has n/a there.

A projection like the store: made again from the journal each time, thrown away at will. No dates:
days count from each person's first session. Item text stands in a sidecar only where the licence
of the scale allows it.

References
----------
BIDS 1.11.1, phenotypic and assessment data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tacs.bids_stimulation import note_scores
from tacs.dataset import write_json
from tacs.errors import InputError
from tacs.files import write_text
from tacs.projection import Projection, project
from tacs.scales import Scale, all_scales, load_scale
from tacs.tables import MISSING, table_text

__all__ = ["Phenotype", "write_phenotype"]

GENERATED = "tacs-suite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phenotype:
    """What was written.

    Parameters
    ----------
    files : tuple of Path
        Tables and sidecars.
    rows : mapping of str to int
        By scale, how many ratings.
    removed : tuple of Path
        Of scales that nobody has a rating on any more.
    """

    files: tuple[Path, ...]
    rows: Mapping[str, int]
    removed: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "files": [str(path) for path in self.files],
            "rows": dict(self.rows),
            "removed": [str(path) for path in self.removed],
        }


def write_phenotype(dataset: str | Path, *, site: Path | None = None) -> Phenotype:
    """Write the ratings that hold below ``phenotype``.

    Parameters
    ----------
    dataset : path
        The data set.
    site : Path, optional
        The site's folder; :func:`tacs.sitelog.site_folder` where left out.

    Returns
    -------
    Phenotype
        A rating that a later entry corrects is left out.

    Raises
    ------
    InputError
        No such data set, a file that cannot be written, or one of another maker in the way.
    RecordError
        The journal does not verify.
    """
    tables, folder = project(dataset, site=site), Path(dataset) / "phenotype"
    starts = _starts(tables)
    held = [row for row in tables.rows("ratings") if row["corrected_by"] is None]
    names = sorted({str(row["scale"]) for row in held})
    items: dict[str, dict[int, Any]] = {}
    for row in tables.rows("rating_items"):
        items.setdefault(str(row["entry"]), {})[int(str(row["item"]))] = row["answer"]
    ours = {path.stem for path in folder.glob("*.json") if _is_ours(path)}
    for name in names:
        for path in (folder / f"{name}.tsv", folder / f"{name}.json"):
            if path.exists() and name not in ours:
                raise InputError(f"{path}: was not made by the suite; move it away")
    files: list[Path] = []
    counts: dict[str, int] = {}
    for name in names:
        scale = load_scale(name)
        mine = sorted(
            (row for row in held if row["scale"] == name),
            key=lambda row: (str(row["subject"]), str(row["at_utc"]), str(row["entry"])),
        )
        people: dict[str, list[dict[str, str]]] = {}
        for row in mine:
            rating = _rating(scale, row, items.get(str(row["entry"]), {}), starts)
            people.setdefault(str(row["subject"]), []).append(rating)
        counts[name] = len(mine)
        path, most = folder / f"{name}.tsv", max(len(ratings) for ratings in people.values())
        write_text(path, _tsv(people, most))
        write_json(path.with_suffix(".json"), _sidecar(scale, most))
        files += [path, path.with_suffix(".json")]
    removed = []
    for name in sorted(ours - set(names)):
        for path in (folder / f"{name}.tsv", folder / f"{name}.json"):
            if path.exists():
                path.unlink()
                removed.append(path)
    _note_sessions(Path(dataset), held)
    return Phenotype(files=tuple(files), rows=counts, removed=tuple(removed))


def _note_sessions(dataset: Path, held: Sequence[Mapping[str, Any]]) -> None:
    """Total scores of ratings that belong to a session, in the tables of sessions."""
    ours = {f"{name}_total" for name in all_scales()}
    ours |= {f"{row['scale']}_total" for row in held}
    scores: dict[str, dict[str, dict[str, str]]] = {}
    described: dict[str, dict[str, Any]] = {}
    for row in sorted(held, key=lambda one: (str(one["at_utc"]), str(one["entry"]))):
        if row["session"] is None or row["total"] is None:
            continue
        subject, column = str(row["subject"]), f"{row['scale']}_total"
        # The latest one of a session, where there are several; the phenotype table has all.
        scores.setdefault(subject, {}).setdefault(str(row["session"]), {})[column] = _cell(
            row["total"]
        )
        described.setdefault(subject, {})[column] = {
            "LongName": load_scale(str(row["scale"])).title,
            "Description": "Total score of the latest rating that belongs to the session",
            "Derivative": True,
        }
    people = {path.name.removeprefix("sub-") for path in dataset.glob("sub-*") if path.is_dir()}
    for subject in sorted(people | set(scores)):
        note_scores(dataset, subject, scores.get(subject, {}), ours)
        sidecar = dataset / f"sub-{subject}" / f"sub-{subject}_sessions.json"
        told = _described(sidecar)
        kept = {name: value for name, value in told.items() if name not in ours}
        wanted = {**kept, **described.get(subject, {})}
        if wanted != told:
            write_json(sidecar, wanted)


def _described(path: Path) -> dict[str, Any]:
    """What a sidecar says, nothing where there is none."""
    if not path.exists():
        return {}
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as exc:
        raise InputError(f"{path}: cannot be read as JSON; mend or remove it") from exc
    if not isinstance(told, dict):
        raise InputError(f"{path}: must be one JSON object; mend or remove it")
    return told


def _starts(tables: Projection) -> dict[str, datetime]:
    """First session of everybody, or first rating where there is none."""
    found: dict[str, datetime] = {}
    for table, column in (("sessions", "began_utc"), ("ratings", "at_utc")):
        first: dict[str, datetime] = {}
        for row in tables.rows(table):
            if row[column] is not None and row.get("outcome") != "refused":
                at, name = datetime.fromisoformat(str(row[column])), str(row["subject"])
                first[name] = min(at, first.get(name, at))
        found = {**first, **found}
    return found


def _rating(
    scale: Scale, row: Mapping[str, Any], answers: Mapping[int, Any], starts: Mapping[str, datetime]
) -> dict[str, str]:
    """The columns of one rating, without their number."""
    zero, at = starts[str(row["subject"])], datetime.fromisoformat(str(row["at_utc"]))
    session = row["session"]
    remission = {None: MISSING, 0: "no", 1: "yes"}[row["in_remission"]]
    return {
        "session": MISSING if session is None else f"ses-{session}",
        "day": f"{(at - zero).total_seconds() / 86400.0:.2f}",
        **{f"item_{item.number:02d}": _cell(answers.get(item.number)) for item in scale.items},
        "total": _cell(row["total"]),
        "prorated": "yes" if row["prorated"] else "no",
        "band": _cell(row["band"]),
        "in_remission": remission,
        "rater_role": str(row["role"]),
        "rater_blinded": str(row["rater_blinded"]),
    }


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    return f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())


def _tsv(people: Mapping[str, list[dict[str, str]]], most: int) -> str:
    """One row a person, as many groups of columns as the person with most ratings has."""
    names = list(next(iter(people.values()))[0])
    groups = [f"r{number:02d}_{name}" for number in range(1, most + 1) for name in names]
    rows = []
    for subject, ratings in people.items():
        filled = [*ratings, *([dict.fromkeys(names, MISSING)] * (most - len(ratings)))]
        cells = [rating[name] for rating in filled for name in names]
        rows.append([f"sub-{subject}", str(len(ratings)), *cells])
    return table_text(["participant_id", "n_ratings", *groups], rows)


def _sidecar(scale: Scale, most: int) -> dict[str, Any]:
    """What the tool is, and every column of every rating."""
    columns = _columns(scale)
    return {
        "MeasurementToolMetadata": {
            "Description": f"{scale.title}; {scale.source}; licence of the items: {scale.licence}",
        },
        "GeneratedBy": GENERATED,
        "n_ratings": {"Description": "Ratings of this person, side by side in the order of time"},
        **{
            f"r{number:02d}_{name}": text
            for number in range(1, most + 1)
            for name, text in columns.items()
        },
    }


def _columns(scale: Scale) -> dict[str, Any]:
    """Description of the columns; item text only where the licence lets it be shipped."""
    yes_no = {"yes": "yes", "no": "no"}
    described: dict[str, Any] = {
        "session": {"Description": "Session that the rating belongs to; n/a where none"},
        "day": {
            "Description": "From the person's first session, or first rating where there is none",
            "Units": "day",
        },
    }
    for item in scale.items:
        text = f": {item.text}" if item.text else ""
        described[f"item_{item.number:02d}"] = {
            "Description": f"Item {item.number}{text}",
            "Minimum": item.minimum,
            "Maximum": item.maximum,
        }
    missing = scale.missing
    described["total"] = {
        "Description": f"Sum of the items; missing items: {missing.rule} ({missing.source})",
        "Derivative": True,
        "Minimum": scale.total_minimum,
        "Maximum": scale.total_maximum,
    }
    described["prorated"] = {
        "Description": "Whether the mean of the answered items stands for a missing one",
        "Derivative": True,
        "Levels": yes_no,
    }
    described["band"] = {"Description": "Range that the total lies in", "Derivative": True}
    if scale.bands is not None:
        described["band"]["Levels"] = {
            level.name: f"from {level.start}" for level in scale.bands.levels
        }
    described["in_remission"] = {
        "Description": "By the rule of the scale file; n/a where it has none",
        "Derivative": True,
        "Levels": yes_no,
    }
    described["rater_role"] = {"Description": "As what the rating was entered"}
    described["rater_blinded"] = {
        "Description": "Whether the rater was blind to the arm",
        "Levels": {**yes_no, "unknown": "not known"},
    }
    return described


def _is_ours(path: Path) -> bool:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.get("GeneratedBy") == GENERATED
