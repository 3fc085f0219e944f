"""Strict settings files: TOML in and out, every problem of a file named at once."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tacs.errors import FileProblems, InputError

__all__ = ["StrictModel", "read_toml", "write_text"]

UNITS = {
    "_hz": "hertz",
    "_s": "seconds",
    "_ma": "milliampere, zero-to-peak where the name says peak",
    "_deg": "degrees",
    "_cm2": "square centimetres",
    "_v": "volts",
    "_kohm": "kiloohm",
    "_ma_per_v": "milliampere per volt",
}


class StrictModel(BaseModel):
    """A frozen model that refuses unknown keys, wrong types, NaN and infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, str_strip_whitespace=True
    )

    @classmethod
    def problems_between(cls, data: Mapping[str, Any]) -> list[str]:
        """List the problems between fields of raw data; the data may be wrong in any way."""
        return []

    @classmethod
    def from_data(cls, data: Mapping[str, Any], where: str) -> Self:
        """Build from plain data, listing every problem at once.

        Parameters
        ----------
        data : mapping
            Plain data as TOML or JSON gives it.
        where : str
            Named in front of each problem, usually the file.

        Raises
        ------
        FileProblems
            With one line per problem.
        """
        between = cls.problems_between(data)
        problems: list[str] = []
        model: Self | None = None
        try:
            # JSON mode of the strict validator: arrays are tuples, numbers stay numbers.
            model = cls.model_validate_json(json.dumps(data, default=str))
        except ValidationError as exc:
            # The whole-model check joins the same problems into one error: keep the single lines.
            problems = [
                _sentence(cls, dict(error))
                for error in exc.errors()
                if (error["loc"] or not between) and not _only_counts_the_bad(dict(error))
            ]
        problems += between
        if problems or model is None:
            raise FileProblems(where, problems)
        return model

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read from a TOML file.

        Raises
        ------
        InputError
            The file is missing or unreadable.
        FileProblems
            The file is not TOML, or it breaks the model; every problem is listed.
        """
        return cls.from_data(read_toml(path), str(path))

    def to_data(self) -> dict[str, Any]:
        """Return plain JSON types; unset optional values are left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_toml(self, path: str | Path, *, comment: str = "") -> None:
        """Write a TOML file.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        import tomli_w

        head = "".join(f"# {line}\n" for line in comment.splitlines())
        data = self.model_dump(mode="json", exclude_none=True, by_alias=True)  # as a file has it
        write_text(path, head + tomli_w.dumps(data))

    def sha256(self) -> str:
        """Hash of the content, independent of the file's layout and comments."""
        text = json.dumps(self.to_data(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file into plain data.

    Raises
    ------
    InputError
        Missing, unreadable, not a file, or not text.
    FileProblems
        Not TOML.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file") from exc
    except IsADirectoryError as exc:
        raise InputError(f"{path}: is a folder; give a TOML file") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: is not a text file; give a TOML file") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise FileProblems(str(path), [f"is not valid TOML: {exc}"]) from exc


def write_text(path: str | Path, text: str) -> None:
    """Write a small text file whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written; a file that was there before is untouched.
    """
    path = Path(path)
    draft = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({exc.strerror})") from exc


def _sentence(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    """One pydantic error as one line: where, what, how to mend it."""
    location: Sequence[str | int] = error["loc"]
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".")
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        return f"{where}: unknown key{_suggestion(_fields_at(model, location[:-1]), location[-1])}"
    if kind == "missing":
        return f"{where}: missing{_unit_hint(str(location[-1]) if location else '')}"
    if kind == "finite_number":
        return f"{where}: must be a finite number, not {value}"
    if kind in _EXPECTED:
        return f"{where}: must be {_EXPECTED[kind]}, not {value!r}"
    if kind == "too_short":
        return f"{where}: needs at least {error['ctx']['min_length']} entries"
    bound = {
        "greater_than": "more than {gt}",
        "greater_than_equal": "at least {ge}",
        "less_than": "less than {lt}",
        "less_than_equal": "at most {le}",
    }.get(kind)
    if bound:
        return f"{where}: must be {bound.format(**error['ctx'])}, not {value}"
    if kind == "literal_error":
        return f"{where}: must be {error['ctx']['expected']}, not {value!r}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _only_counts_the_bad(error: Mapping[str, Any]) -> bool:
    """Whether a list is "too short" only because its entries have problems of their own."""
    entries = error.get("input")
    return (
        error["type"] == "too_short"
        and isinstance(entries, list)
        and len(entries) >= error["ctx"]["min_length"]
    )


_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list in brackets",
    "list_type": "a list in brackets",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
}


def _unit_hint(name: str) -> str:
    """Say the unit of a field whose name ends in one."""
    for suffix in sorted(UNITS, key=len, reverse=True):
        if name.endswith(suffix):
            return f" ({UNITS[suffix]})"
    return ""


def _suggestion(fields: Sequence[str], key: str | int) -> str:
    """Name the field that was probably meant."""
    name = str(key)
    with_unit = [field for field in fields if field.startswith(f"{name}_")]
    if with_unit:
        return f"; the unit is missing: write {with_unit[0]}{_unit_hint(with_unit[0])}"
    close = difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]}{_unit_hint(close[0])}?"
    return f"; known here: {', '.join(fields)}" if fields else ""


def _fields_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Field names of the model that stands at a location inside another."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            return []
        current = _model_within(field.annotation)
    return list(getattr(current, "model_fields", {}))


def _model_within(annotation: Any) -> Any:
    """The model class inside an annotation such as tuple[Loop, ...] or Loop | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _model_within(argument)) is not None:
            return found
    return None
