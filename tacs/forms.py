"""Forms: questions with rules, each form a data file, and the answers held against it.

A form says of every item what kind of answer it takes, which answers do not clear it and which of
those block until an investigator has looked. The forms that ship are in ``tacs/forms_data``; the
rules are read from there whenever a session is about to be armed.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from tacs.errors import FileProblems, InputError
from tacs.files import StrictModel

__all__ = [
    "Choice",
    "Completed",
    "Condition",
    "Form",
    "Item",
    "Scale",
    "load_form",
    "shipped_form",
    "shipped_forms",
    "text_problem",
]

TEXT_MAX_LENGTH = 500
YES_NO_UNKNOWN = ("yes", "no", "unknown")
ID = r"^[a-z][a-z0-9_]{0,39}$"
TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

Value = str | int | float
Key = str | int


def text_problem(text: str, max_length: int = TEXT_MAX_LENGTH) -> str | None:
    """Return what is wrong with a free text, or None.

    Parameters
    ----------
    text : str
        One line: control characters, line separators and signs that turn the direction of writing
        can hide or forge what a reader sees.
    max_length : int
        In characters.
    """
    if len(text) > max_length:
        return f"is {len(text)} characters long; at most {max_length}"
    if text.isprintable():  # the common case, in one look
        return None
    for sign in text:
        if unicodedata.category(sign) in {"Cc", "Cs", "Cn", "Zl", "Zp"} or sign in TURNING:
            return f"holds the control character U+{ord(sign):04X}; type one line of plain text"
    return None


class Choice(StrictModel):
    """One answer that can be chosen; a number is its score."""

    value: Key
    text: str = Field(min_length=1)


class Scale(StrictModel):
    """Choices that several items share."""

    text: str = Field(default="", description="the question, where it follows up on an item")
    choices: tuple[Choice, ...] = Field(min_length=2)
    when: tuple[str, ...] = Field(default=(), description="asked at these times only")


class Condition(StrictModel):
    """An item is asked only where an earlier one has one of these answers."""

    item: str
    values: tuple[Key, ...] = Field(min_length=1)


class Item(StrictModel):
    """One question."""

    id: str = Field(pattern=ID)
    title: str = Field(min_length=1, max_length=40, description="short name, for lists")
    text: str = Field(min_length=1, max_length=400)
    type: Literal["yes_no_unknown", "choice", "integer", "number", "text", "date"]
    required: bool = True
    help: str = ""
    alert: str = Field(default="", description="shown at once after an answer that hard-blocks")
    daily: bool = Field(default=False, description="holds for the day only")
    second_person: bool = Field(
        default=False, description="whoever overrides it is not who took the form"
    )
    blocks: tuple[Key, ...] = Field(default=(), description="answers that do not clear the item")
    hard_block: tuple[Key, ...] = Field(
        default=(), description="answers that a later form alone does not take back"
    )
    cautions: tuple[Key, ...] = Field(default=(), description="answers to be told before arming")
    when: tuple[str, ...] = Field(default=(), description="asked at these times only")
    asked_if: Condition | None = None
    scale: str | None = Field(default=None, description="choices of this scale of the form")
    follow_up: str | None = Field(
        default=None, description="scale asked after any answer but the first"
    )
    choices: tuple[Choice, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    max_length: int = Field(default=TEXT_MAX_LENGTH, ge=1, le=2000)
    pattern: str | None = None
    pattern_says: str = ""

    @property
    def values(self) -> tuple[Key, ...]:
        """Every answer that can be chosen; empty where the answer is free."""
        return YES_NO_UNKNOWN if self.type == "yes_no_unknown" else _values_of(self.choices)

    @property
    def clear(self) -> tuple[Key, ...]:
        """Answers that clear the item."""
        return tuple(v for v in self.values if v not in self.blocks)

    def expected(self) -> str:
        """Say which answers are taken."""
        if self.values:
            return _either(self.values)
        if self.type == "date":
            return "a date as YYYY-MM-DD"
        if self.type == "text":
            return self.pattern_says or "a text"
        noun = "a whole number" if self.type == "integer" else "a number"
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            return f"{noun} from {low:g} to {high:g}"
        return noun

    def check(self, value: Any) -> tuple[Value | None, str]:
        """Return the answer as it is kept, or None and what is wrong with it.

        Parameters
        ----------
        value : object
            As TOML or JSON gives it.
        """
        wrong = f"must be {self.expected()}, not {_shown(value)}"
        if self.values:
            same = [v for v in self.values if type(v) is type(value) and v == value]
            return (same[0], "") if same else (None, wrong)
        if self.type == "date":
            return _checked_date(value, wrong)
        if self.type == "text":
            return self._checked_text(value, wrong)
        whole = type(value) is int
        if not whole and not (self.type == "number" and type(value) is float):
            return None, wrong
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        if not (low <= value <= high and math.isfinite(value)):
            return None, wrong
        return (value if self.type == "integer" else float(value)), ""

    def typed(self, text: str) -> tuple[Value | None, str]:
        """Return the answer that was typed, or None and what is wrong with it.

        Parameters
        ----------
        text : str
            One key for yes, no and unknown; the beginning of a choice; else a value.
        """
        text = text.strip()
        if self.type == "yes_no_unknown":
            known = [v for v in YES_NO_UNKNOWN if text and v.startswith(text.lower())]
            return self.check(known[0] if known else text)
        if self.type == "choice":
            begun = [v for v in self.values if text and str(v).lower().startswith(text.lower())]
            same = [v for v in begun if str(v).lower() == text.lower()]
            return self.check(same[0] if same else begun[0] if len(begun) == 1 else text)
        if self.type == "integer" and re.fullmatch(r"[+-]?[0-9]{1,15}", text):
            return self.check(int(text))
        if self.type == "number" and re.fullmatch(r"[+-]?[0-9]{1,15}([.,][0-9]{0,15})?", text):
            return self.check(float(text.replace(",", ".")))
        return self.check(text)

    def worded(self, value: Value | None) -> str:
        """Return an answer in words."""
        if value is None:
            return "–"
        words = [c.text for c in self.choices if c.value == value]
        return f"{value} {words[0]}" if words and str(value) != words[0] else str(value)

    def _checked_text(self, value: Any, wrong: str) -> tuple[Value | None, str]:
        if not isinstance(value, str):
            return None, wrong
        value = unicodedata.normalize("NFC", value.strip())
        problem = text_problem(value, self.max_length)
        if problem is not None:
            return None, problem
        if not value and self.required:
            return None, "is empty"
        if value and self.pattern is not None and not re.fullmatch(self.pattern, value):
            return None, wrong
        return value, ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A form with its answers.

    Parameters
    ----------
    form, version : str
        Which form.
    form_sha256 : str
        Of its content.
    answers : mapping
        By item, in the form's order; items that were not asked or were skipped are left out.
    """

    form: str
    version: str
    form_sha256: str
    answers: Mapping[str, Value]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "form": self.form,
            "version": self.version,
            "form_sha256": self.form_sha256,
            "answers": dict(self.answers),
        }


class Form(StrictModel):
    """A questionnaire or a checklist."""

    schema_version: Literal[1] = 1
    id: str = Field(pattern=ID)
    version: str = Field(min_length=1, max_length=20)
    language: str = Field(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")
    title: str = Field(min_length=1)
    intro: str = ""
    source: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    times: tuple[str, ...] = Field(default=(), description="when it is filled in, where it matters")
    scales: dict[str, Scale] = Field(default_factory=dict)
    items: tuple[Item, ...] = Field(min_length=1)

    @classmethod
    def problems_between(cls, data: Mapping[str, Any]) -> list[str]:
        """List what items say of each other, of the scales and of their own answers."""
        items, scales = data.get("items"), data.get("scales", {})
        times = data.get("times", [])
        if not isinstance(items, list) or not isinstance(scales, Mapping):
            return []
        problems: list[str] = []
        seen: list[str] = []
        for number, item in enumerate(items):
            if isinstance(item, Mapping):
                where = f"items[{number}] ({item.get('id')})"
                problems += [f"{where}: {p}" for p in _item_problems(item, seen, scales, times)]
                seen.append(str(item.get("id")))
                if item.get("follow_up") is not None:
                    seen.append(f"{item.get('id')}_{item.get('follow_up')}")
        return problems

    @property
    def questions(self) -> tuple[Item, ...]:
        """Every item with its choices filled in, each followed by its follow-up."""
        found: list[Item] = []
        for item in self.items:
            if item.scale is not None:
                item = item.model_copy(update={"choices": self.scales[item.scale].choices})
            found.append(item)
            if item.follow_up is not None:
                found.append(self._follow_up(item, item.follow_up))
        return tuple(found)

    def question(self, name: str) -> Item | None:
        """Return a question by its id."""
        return next((q for q in self.questions if q.id == name), None)

    def part(self, *, daily: bool, name: str | None = None, title: str | None = None) -> Self:
        """Return the items that hold for the day only, or the others, as a form.

        Parameters
        ----------
        daily : bool
            Which of the two.
        name, title : str, optional
            Id and title of the part; those of the whole by default.
        """
        items = tuple(item for item in self.items if item.daily is daily)
        update = {"items": items, "id": name or self.id, "title": title or self.title}
        return self.model_copy(update=update)

    def at(self, when: str) -> Self:
        """Return the form as it is asked at one of its times.

        Raises
        ------
        InputError
            The form has no such time.
        """
        if when not in self.times:
            raise InputError(f"when {when!r}: must be {_either(self.times)}")
        items = []
        for item in self.items:
            if item.when and when not in item.when:
                continue
            later = None if item.follow_up is None else self.scales[item.follow_up].when
            if later and when not in later:
                item = item.model_copy(update={"follow_up": None})
            items.append(item)
        return self.model_copy(update={"items": tuple(items)})

    def asked(self, answers: Mapping[str, Value]) -> list[Item]:
        """Return the questions that are asked, given the answers so far."""
        return [q for q in self.questions if _is_asked(q, answers)]

    def answer(self, answers: Mapping[str, Any], where: str = "") -> Completed:
        """Hold answers against the form.

        Parameters
        ----------
        answers : mapping
            By item, as TOML or JSON gives them.
        where : str
            Named in front of each problem; the form by default.

        Raises
        ------
        FileProblems
            One line for each item that is unknown, missing, or has a value that it does not take.
        """
        problems: list[str] = []
        kept: dict[str, Value] = {}
        names = [q.id for q in self.questions]
        for name in answers:
            if name not in names:
                close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
                hint = (
                    f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(names)}"
                )
                problems.append(f"{name}: no such item{hint}")
        for question in self.questions:
            given = question.id in answers
            if not _is_asked(question, {**answers, **kept}):
                asked_if = question.asked_if
                if given and asked_if is not None and asked_if.item in kept:
                    problems.append(
                        f"{question.id}: is asked only where {asked_if.item} is "
                        f"{_either(asked_if.values)}; leave it out"
                    )
            elif given:
                value, problem = question.check(answers[question.id])
                if value is None:
                    problems.append(f"{question.id}: {problem}")
                elif value != "":
                    kept[question.id] = value
            elif question.required:
                problems.append(f"{question.id}: missing; {question.expected()}")
        if problems:
            raise FileProblems(where or f"form {self.id}", problems)
        return Completed(
            form=self.id, version=self.version, form_sha256=self.sha256(), answers=kept
        )

    def _follow_up(self, item: Item, scale: str) -> Item:
        choices = self.scales[scale].choices
        return Item(
            id=f"{item.id}_{scale}",
            title=f"– {scale}"[:40],
            text=f"{item.title}: {self.scales[scale].text}",
            type="choice",
            required=item.required,
            scale=scale,
            choices=choices,
            asked_if=Condition(item=item.id, values=item.values[1:]),
        )


def shipped_forms() -> dict[str, Form]:
    """Return the forms that come with the suite, by id."""
    return {name: shipped_form(name) for name in _shipped()}


@functools.cache
def shipped_form(name: str) -> Form:
    """Return a form that comes with the suite.

    Raises
    ------
    InputError
        No such form.
    """
    return load_form(name)


def load_form(name_or_path: str | Path) -> Form:
    """Read a shipped form by its id, or a form file.

    Raises
    ------
    InputError
        No such form and no such file.
    FileProblems
        The file breaks the model; every problem is listed.
    """
    shipped = _shipped()
    if str(name_or_path) in shipped:
        return Form.from_toml(shipped[str(name_or_path)])
    if not Path(name_or_path).exists():
        raise InputError(
            f"{name_or_path}: no such form and no such file; shipped forms: {', '.join(shipped)}"
        )
    return Form.from_toml(name_or_path)


def _folder() -> Path:
    return Path(str(resources.files("tacs"))) / "forms_data"


def _shipped() -> dict[str, Path]:
    """Form files that come with the suite."""
    return {path.stem: path for path in sorted(_folder().glob("*.toml"))}


def _is_asked(item: Item, answers: Mapping[str, Any]) -> bool:
    condition = item.asked_if
    return condition is None or answers.get(condition.item) in condition.values


def _values_of(choices: Sequence[Choice]) -> tuple[Key, ...]:
    return tuple(choice.value for choice in choices)


def _either(values: Sequence[Any]) -> str:
    """List alternatives in words."""
    words = [str(value) for value in values]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _shown(value: Any) -> str:
    """A value as a message shows it: short, and without control characters."""
    shown = ascii(value) if isinstance(value, str) and text_problem(value) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


def _checked_date(value: Any, wrong: str) -> tuple[Value | None, str]:
    if isinstance(value, date):
        value = value.isoformat()
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return None, wrong
    try:
        return date.fromisoformat(value).isoformat(), ""
    except ValueError:
        return None, wrong


def _item_problems(
    item: Mapping[str, Any],
    seen: Sequence[str],
    scales: Mapping[str, Any],
    times: Sequence[str],
) -> list[str]:
    """What is wrong between the fields of one item and what stands before it."""
    problems = []
    if item.get("id") in seen:
        problems.append("this id stands twice")
    for field in ("scale", "follow_up"):
        if item.get(field) is not None and item[field] not in scales:
            problems.append(f"{field} {item[field]!r}: no such scale")
    own, shared = item.get("choices"), scales.get(str(item.get("scale")))
    if item.get("type") == "choice" and bool(own) == bool(shared):
        problems.append("a choice needs either choices or a scale")
    if item.get("type") != "choice" and (own or item.get("scale") or item.get("follow_up")):
        problems.append("only a choice has choices, a scale or a follow-up")
    if own or shared:
        rows = own or (shared.get("choices", []) if isinstance(shared, Mapping) else [])
        values = [row.get("value") for row in rows if isinstance(row, Mapping)]
    else:
        values = list(YES_NO_UNKNOWN) if item.get("type") == "yes_no_unknown" else []
    for field in ("blocks", "hard_block", "cautions"):
        for value in item.get(field) or ():
            if value not in values:
                problems.append(f"{field}: {value!r} is not an answer of this item")
    if not set(map(str, item.get("hard_block") or ())) <= set(map(str, item.get("blocks") or ())):
        problems.append("hard_block: what hard-blocks stands under blocks, too")
    condition = item.get("asked_if")
    if isinstance(condition, Mapping) and condition.get("item") not in seen:
        problems.append(f"asked_if: {condition.get('item')!r} is not an item before this one")
    problems += [
        f"when: {time!r} is not one of the form's times"
        for time in item.get("when") or ()
        if time not in times
    ]
    if item.get("type") in {"integer", "number"} and not (
        isinstance(item.get("minimum"), int | float)
        and isinstance(item.get("maximum"), int | float)
    ):
        problems.append("a number needs minimum and maximum")
    try:
        re.compile(str(item.get("pattern") or ""))
    except re.error as exc:
        problems.append(f"pattern: is not a regular expression ({exc})")
    return problems
