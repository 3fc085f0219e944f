"""Filling in a form at a terminal, or from a file: plain prompts, review, signature, draft.

Prompts go to standard error, answers are read a line at a time from standard input. Every answer is
kept in a draft as soon as it is given, so that leaving, a closed terminal or a crash loses nothing;
the draft is gone when the signed form is in the journal.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from tacs.errors import FileProblems, InputError
from tacs.files import read_toml, write_text
from tacs.forms import Completed, Form, Item, Value, text_problem
from tacs.journal import NAME_MAX_LENGTH, ROLES

__all__ = ["Draft", "Signed", "Terminal", "fill", "read_answers", "sign_as"]

DRAFT_KEPT_H = 12.0  # an answer about the last 24 hours is not one of yesterday
ANSWERS_MAX_BYTES = 256 * 1024
KEYS = {"b": "back", "q": "leave", "?": "help"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A completed form and who signed it.

    Parameters
    ----------
    completed : Completed
        The answers.
    operator, role : str
        Who, and as what.
    method : str
        ``"typed"`` at a terminal, or ``"answers file"``.
    """

    completed: Completed
    operator: str
    role: str
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Return what the journal keeps."""
        return {**self.completed.to_dict(), "signed": self.method}


class _LeftError(Exception):
    """The person at the terminal left, or the input ended."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Answers of a form that is not signed yet.

    Parameters
    ----------
    path : Path
        Where they are kept, readable by their owner only.
    """

    path: Path

    @classmethod
    def of(cls, dataset: str | Path, form: str, *labels: str | None) -> Draft:
        """Name the draft of a form in a data set.

        Parameters
        ----------
        dataset : path
            The data set.
        form : str
            Its id.
        labels : str or None
            Participant, session, time: whatever tells two drafts of one form apart.
        """
        name = "_".join(["form-" + form, *(label for label in labels if label)])
        return cls(Path(dataset) / "sourcedata" / "tacs" / ".drafts" / f"{name}.json")

    def load(self, form: Form, now: datetime) -> tuple[dict[str, Value], str]:
        """Return the answers that can be gone on with, and what to tell about them.

        Parameters
        ----------
        form : Form
            As it is asked now; a draft of other questions is left out.
        now : datetime
            Time zone aware; a draft of yesterday is left out.
        """
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            saved = datetime.fromisoformat(data["saved"])
            age = now - saved
            answers, same = dict(data["answers"]), data["form_sha256"] == form.sha256()
        except FileNotFoundError:
            return {}, ""
        except (OSError, ValueError, KeyError, TypeError):
            return {}, f"the draft {self.path} cannot be read; the form begins anew"
        if not same:
            return {}, "there is a draft of other questions; the form begins anew"
        if not timedelta(minutes=-5) <= age <= timedelta(hours=DRAFT_KEPT_H):
            return {}, f"there is a draft of {saved:%Y-%m-%d}, too old; the form begins anew"
        kept: dict[str, Value] = {}
        for question in form.questions:
            value, _ = question.check(answers.get(question.id))
            if value is not None:
                kept[question.id] = value
        return kept, f"going on with the draft of {saved:%Y-%m-%d %H:%M %Z}"

    def save(self, form: Form, answers: Mapping[str, Value], now: datetime) -> None:
        """Keep the answers so far.

        Raises
        ------
        InputError
            They cannot be written.
        """
        data = {
            "form_sha256": form.sha256(),
            "saved": now.isoformat(timespec="seconds"),
            "answers": dict(answers),
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.parent.chmod(0o700)
        except OSError as exc:
            raise InputError(f"{self.path}: cannot be written ({exc.strerror})") from exc
        write_text(self.path, json.dumps(data, ensure_ascii=False) + "\n")

    def clear(self) -> None:
        """Remove the draft; the folder goes with the last one."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            self.path.parent.rmdir()


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where answers are read and prompts are written.

    Parameters
    ----------
    source, out : text stream
        Standard input and standard error.
    """

    source: TextIO
    out: TextIO

    def say(self, text: str = "", indent: str = "") -> None:
        """Write a paragraph, wrapped to the width of the terminal."""
        width = max(min(shutil.get_terminal_size().columns, 96) - 1, 30)
        lines = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
        self.out.write("\n".join(lines) + "\n")

    def ask(self, prompt: str) -> str:
        """Write a prompt and read a line.

        Raises
        ------
        _LeftError
            The input ended or was interrupted.
        """
        self.out.write(prompt)
        self.out.flush()
        try:
            line = self.source.readline()
        except (KeyboardInterrupt, UnicodeDecodeError):
            line = ""
        if not line:
            self.out.write("\n")
            raise _LeftError
        return line.strip()


def fill(
    form: Form,
    terminal: Terminal,
    *,
    now: datetime,
    draft: Draft | None = None,
    operator: str = "",
    role: str = "",
    roles: Sequence[str] = ROLES,
) -> Signed:
    """Ask a form, show the answers for review, and have them signed.

    Parameters
    ----------
    form : Form
        The questions.
    terminal : Terminal
        Where they are asked.
    now : datetime
        Time zone aware, for the draft.
    draft : Draft, optional
        Where answers are kept until the form is signed; the caller clears it once the form is
        in the journal. Without one nothing is kept.
    operator, role : str
        Who signs; asked for where empty.
    roles : sequence of str
        Roles that may sign.

    Raises
    ------
    InputError
        The person left or the input ended; the draft stays. Or the name or role is refused.
    """
    if operator or role:
        _checked_signature(operator or "-", role or roles[0], roles)
    entry = _Entry(form, terminal, now, draft)
    try:
        entry.start()
        while True:
            entry.ask_open()
            if entry.review():
                signed = _sign(terminal, operator, role, roles)
                if signed is not None:
                    break
    except _LeftError:
        raise InputError(_left_message(form, entry, draft)) from None
    return Signed(
        completed=form.answer(entry.given()),
        operator=signed[0].strip(),
        role=signed[1],
        method="typed",
    )


def read_answers(path: str | Path) -> dict[str, Any]:
    """Read answers from a TOML or JSON file: one ``item = answer`` a line, no tables.

    Raises
    ------
    InputError
        Missing, unreadable, too large, or neither.
    """
    try:
        if Path(path).stat().st_size > ANSWERS_MAX_BYTES:
            raise InputError(f"{path}: is larger than any form; give a file of answers")
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc
    if Path(path).suffix.lower() != ".json":
        return read_toml(path)
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise FileProblems(str(path), [f"is not valid JSON: {exc}"]) from exc
    if not isinstance(data, dict):
        raise FileProblems(str(path), ["must be an object of items and answers"])
    return data


def sign_as(
    form: Form,
    answers: Mapping[str, Any],
    where: str,
    *,
    operator: str,
    role: str,
    roles: Sequence[str] = ROLES,
) -> Signed:
    """Hold answers from a file against a form, signed by whoever is named.

    Parameters
    ----------
    form : Form
        The questions.
    answers : mapping
        From :func:`read_answers`.
    where : str
        The file, for the messages.
    operator, role : str
        Who answers for them.
    roles : sequence of str
        Roles that may sign.

    Raises
    ------
    FileProblems
        Answers that the form does not take, all of them listed.
    InputError
        Name or role is missing or refused.
    """
    _checked_signature(operator, role, roles)
    completed = form.answer(answers, where)
    return Signed(completed=completed, operator=operator.strip(), role=role, method="answers file")


@dataclass(slots=True)
class _Entry:
    """A form while it is being filled in."""

    form: Form
    terminal: Terminal
    now: datetime
    draft: Draft | None
    answers: dict[str, Value] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def given(self) -> dict[str, Value]:
        """The answers to what is asked; an answer to a question that fell away is left out."""
        asked = {question.id for question in self.asked()}
        return {name: value for name, value in self.answers.items() if name in asked}

    def asked(self) -> list[Item]:
        """The questions that are asked, given the answers so far."""
        return self.form.asked(self.answers)

    def start(self) -> None:
        """Say what the form is, and take up the draft."""
        form, say = self.form, self.terminal.say
        say()
        say(f"{form.title} (form {form.id}, version {form.version})")
        if form.intro:
            say(form.intro)
        say("Keys: " + ", ".join(f"{key} {what}" for key, what in KEYS.items()) + "; "
            "in a text write /b, /q, /?")  # fmt: skip
        if self.draft is not None:
            self.answers, told = self.draft.load(form, self.now)
            self.done = list(self.answers)
            if told:
                say(told)

    def ask_open(self) -> None:
        """Ask until every question that is asked has been seen."""
        while True:
            open_ones = [q for q in self.asked() if q.id not in self.done]
            if not open_ones:
                return
            if self._ask(open_ones[0]):
                self.done.append(open_ones[0].id)

    def review(self) -> bool:
        """Show every answer; True where they are to be signed."""
        say, asked = self.terminal.say, self.asked()
        say()
        say("Review")
        width = max(len(question.title) for question in asked)
        for number, question in enumerate(asked, 1):
            value = self.answers.get(question.id)
            told = _told(question, value)
            say(
                f"{'!' if told else ' '} {number:>2}  {question.title:<{width}}  "
                f"{question.worded(value)}{f'  ({told})' if told else ''}"
            )
        while True:
            typed = self.terminal.ask("a number changes that answer, s signs, q leaves > ").lower()
            if typed == "s":
                return True
            if typed == "q":
                raise _LeftError
            if typed.isdecimal() and 1 <= int(typed) <= len(asked):
                self.done.remove(asked[int(typed) - 1].id)
                return False
            self.terminal.say(f"a number from 1 to {len(asked)}, s or q")

    def _ask(self, question: Item) -> bool:
        """Ask one question until it is answered, or step back; True where it is done."""
        asked, say = self.asked(), self.terminal.say
        say()
        say(f"{asked.index(question) + 1}/{len(asked)}  {question.text}")
        if question.choices:
            say(", ".join(question.worded(choice.value) for choice in question.choices), "   ")
        while True:
            typed = self.terminal.ask(f"   {_prompt(question, self.answers.get(question.id))} > ")
            key = _key(question, typed)
            if key == "q":
                raise _LeftError
            if key == "b":
                self._step_back(asked, question)
                return False
            if key == "?":
                say(question.help or f"the answer is {question.expected()}", "   ")
            elif not typed and (question.id in self.answers or not question.required):
                return True
            else:
                value, problem = question.typed(typed)
                if value is not None and value != "":
                    self._keep(question, value)
                    return True
                say(f"{question.title}: {problem or 'is empty'}", "   ")

    def _keep(self, question: Item, value: Value) -> None:
        self.answers[question.id] = value
        if self.draft is not None:
            self.draft.save(self.form, self.answers, self.now)
        if value in question.hard_block and question.alert:
            self.terminal.say(f"! {question.alert}", "   ")

    def _step_back(self, asked: Sequence[Item], question: Item) -> None:
        place = asked.index(question)
        if place == 0:
            self.terminal.say("this is the first question", "   ")
        elif asked[place - 1].id in self.done:
            self.done.remove(asked[place - 1].id)


def _prompt(question: Item, value: Value | None) -> str:
    """What can be typed, and what Enter keeps."""
    short = "y/n/u" if question.type == "yes_no_unknown" else question.expected()
    if value is not None:
        return f"{short} [Enter: {question.worded(value)}]"
    return short if question.required else f"{short} [Enter: none]"


def _key(question: Item, typed: str) -> str:
    """The command that was typed; in a free text only with a slash in front."""
    if typed.startswith("/") and typed[1:].lower() in KEYS:
        return typed[1:].lower()
    return typed.lower() if typed.lower() in KEYS and question.type != "text" else ""


def _told(question: Item, value: Value | None) -> str:
    """What an answer means for the session, in a few words."""
    if value in question.hard_block:
        return "blocks until an investigator has decided"
    if value in question.blocks:
        return "not cleared"
    return "caution" if value in question.cautions else ""


def _sign(
    terminal: Terminal, operator: str, role: str, roles: Sequence[str]
) -> tuple[str, str] | None:
    """Have the answers signed; None where the person goes back to the review."""
    while not operator:
        typed = terminal.ask("who signs, name or code > ")
        problem = _name_problem(typed)
        if problem:
            terminal.say(f"the name {problem}")
        else:
            operator = typed
    while not role:
        typed = terminal.ask(f"role ({', '.join(roles)}) > ").lower()
        if typed in roles:
            role = typed
        else:
            terminal.say(f"one of {', '.join(roles)}")
    terminal.say(f"{operator}, {role}: these are the answers that were given.")
    if terminal.ask("type yes to sign > ").lower() == "yes":
        return operator, role
    terminal.say("not signed")
    return None


def _checked_signature(operator: str, role: str, roles: Sequence[str]) -> None:
    """Refuse a name or a role that cannot sign."""
    problems = []
    if problem := _name_problem(operator):
        problems.append(f"--operator: {problem}; a name or a code says who signs")
    if role not in roles:
        one_of = "one of " if len(roles) > 1 else ""
        problems.append(f"--role: must be {one_of}{', '.join(roles)}, not {role!r}")
    if problems:
        raise FileProblems("signature", problems)


def _name_problem(name: str) -> str:
    return (text_problem(name, NAME_MAX_LENGTH) or "") if name.strip() else "is missing"


def _left_message(form: Form, entry: _Entry, draft: Draft | None) -> str:
    told = f"form {form.id} was left unsigned"
    if draft is None or not entry.answers:
        return f"{told}; nothing was kept, run the command again to begin anew"
    return (
        f"{told}; {len(entry.answers)} answer(s) are kept for {DRAFT_KEPT_H:g} h in "
        f"{draft.path}; run the command again to go on"
    )
