"""A folder of results of ``tacs compare --json`` as a table of a trial.

Whose result a file is stands in its name, as in BIDS (``sub-01_ses-02_arm-sham.json``; the arm may
be the name of the folder instead), or in a table with a column `file`, which is the way for blinded
trials: the arm is then known to the statistician alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.group_records import read_records

__all__ = ["PRIMARY", "CompareOutputs", "read_outputs"]

PRIMARY = "power.ln_ratio"
_ENTITY = re.compile(r"(?:^|[_/])(sub|ses|arm)-([A-Za-z0-9]+)")


@dataclass(frozen=True, slots=True)
class CompareOutputs:
    """Results of several sessions.

    Parameters
    ----------
    source : str
        Folder.
    records : tuple of dict
        Rows of a table: subject, arm, session where known, outcomes.
    channels : tuple of dict of str to float
        ln ratio of each channel of each result; empty where a result has none.
    files : tuple of str
        Names of the files.
    """

    source: str
    records: tuple[dict[str, Any], ...]
    channels: tuple[dict[str, float], ...]
    files: tuple[str, ...]


def read_outputs(
    folder: str | Path, table: str | Path | None = None, outcomes: Sequence[str] = (PRIMARY,)
) -> CompareOutputs:
    """Read the results of a trial.

    Parameters
    ----------
    folder : path
        Folder with the JSON files, in it or below.
    table : path, optional
        Table with the columns subject, arm, file and, where there are several, session; files are
        relative to the folder. Without it, names tell.
    outcomes : sequence of str
        Numbers to take, by their keys joined by dots.

    Returns
    -------
    CompareOutputs

    Raises
    ------
    AnalysisError
        A file is not such a result, has no such number, or it is not clear whose it is.
    """
    root = Path(folder)
    if not root.is_dir():
        raise AnalysisError(f"{root}: no such folder")
    listed = _from_names(root) if table is None else _from_table(root, table)
    records: list[dict[str, Any]] = []
    channels: list[dict[str, float]] = []
    for path, keys in listed:
        data = _result(path)
        numbers = {name: _number(path, data, name) for name in outcomes}
        records.append({**keys, **numbers})
        channels.append(_channels(data))
    names = tuple(str(path.relative_to(root)) for path, _ in listed)
    return CompareOutputs(str(root), tuple(records), tuple(channels), names)


def _from_names(root: Path) -> list[tuple[Path, dict[str, str]]]:
    """Files and what their names say."""
    found: list[tuple[Path, dict[str, str]]] = []
    for path in sorted(root.rglob("*.json")):
        inside = path.relative_to(root)
        entities = dict(_ENTITY.findall(str(inside.with_suffix(""))))
        if "sub" not in entities:
            raise AnalysisError(
                f"{path}: whose result? Name it sub-ID[_ses-ID][_arm-NAME].json, or give a table "
                "with the columns subject, arm, file"
            )
        folders = [part for part in inside.parts[:-1] if not part.startswith(("sub-", "ses-"))]
        arm = entities.get("arm") or (folders[0] if folders else "")
        keys = {"subject": entities["sub"]}
        if arm:
            keys["arm"] = arm
        if "ses" in entities:
            keys["session"] = entities["ses"]
        found.append((path, keys))
    if not found:
        raise AnalysisError(f"{root}: no .json files of `tacs compare --json`")
    if len({tuple(keys) for _, keys in found}) > 1:
        full = max((keys for _, keys in found), key=len)
        path, less = next((p, k) for p, k in found if set(k) != set(full))
        lacking = ", ".join(sorted(set(full) - set(less))) or ", ".join(
            sorted(set(less) - set(full))
        )
        raise AnalysisError(f"{path}: other files name their {lacking}, this one does not")
    return found


def _from_table(root: Path, table: str | Path) -> list[tuple[Path, dict[str, str]]]:
    """Files and what a table says of them."""
    records = read_records(table)
    if "file" not in records[0][1]:
        there = ", ".join(records[0][1])
        raise AnalysisError(
            f"{table}: no column 'file' (result of tacs compare, relative to {root}); there are "
            f"{there}"
        )
    found = []
    for line, record in records:
        path = root / record["file"]
        if not path.is_file():
            raise AnalysisError(f"{table}, line {line}: {path}: no such file")
        found.append((path, {key: value for key, value in record.items() if key != "file"}))
    return found


def _result(path: Path) -> dict[str, Any]:
    """One result, checked to be of tacs compare."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise AnalysisError(f"{path}: not a JSON file ({exc})") from exc
    if not isinstance(data, dict) or not isinstance(data.get("power"), dict):
        raise AnalysisError(f"{path}: not a result of `tacs compare --json` (it has no 'power')")
    return data


def _number(path: Path, data: dict[str, Any], name: str) -> float | None:
    """A number inside a result; None where the result says there is none."""
    value: Any = data
    walked: list[str] = []
    for key in name.split("."):
        if not isinstance(value, dict) or key not in value:
            there = sorted(value) if isinstance(value, dict) else []
            where = ".".join(walked) or "the result"
            raise AnalysisError(
                f"{path}: no {name!r}; {where} has {', '.join(map(str, there)) or 'no parts'}"
            )
        value = value[key]
        walked.append(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise AnalysisError(f"{path}: {name!r} is not a number")
    return float(value)


def _channels(data: dict[str, Any]) -> dict[str, float]:
    """Ln ratio of each channel."""
    table = data["power"].get("per_channel")
    if not isinstance(table, dict):
        return {}
    return {
        str(name): float(entry["ln_ratio"])
        for name, entry in table.items()
        if isinstance(entry, dict) and isinstance(entry.get("ln_ratio"), int | float)
    }
