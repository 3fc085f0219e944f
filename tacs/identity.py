"""Two identifiers, typed again before arming: whether the right person sits in the chair.

A participant's identifiers are kept as hashes of pairs, salted and slow to compute. That keeps them
out of casual sight and out of search results; it does not make them anonymous, because few birth
years and initials are possible. They are personal data like the rest of the data set.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from tacs.errors import FileProblems
from tacs.journal import Entry, Journal
from tacs.safety import Breach

__all__ = ["AGE_TOLD_UP_TO_Y", "check_identifiers", "enrolled", "identifier_data", "youngest_age_y"]

AGE_TOLD_UP_TO_Y = 25  # whether somebody is of age is kept, not how old
RULE = "two identifiers before a treatment"
SUBJECT = "subject"


def identifier_data(subject: str, answers: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return what the journal keeps of a participant's identifiers: no identifier itself.

    Parameters
    ----------
    subject : str
        BIDS label; it counts as an identifier of its own.
    answers : mapping
        Of the form ``identifiers``.
    now : datetime
        Time zone aware, for the age.

    Raises
    ------
    FileProblems
        No identifier was given, or the year of birth cannot be.
    """
    values = _values(subject, answers)
    problems = []
    if len(values) < 2:
        problems.append("give at least one of year of birth, initials and house number")
    age_y = youngest_age_y(answers, now)
    if age_y is not None and not 0 <= age_y <= 120:
        problems.append(f"birth_year: {answers['birth_year']} cannot be the year of birth")
    if problems:
        raise FileProblems("identifiers", problems)
    salt = secrets.token_bytes(16)
    return {
        "identifiers": sorted(values),
        "salt": salt.hex(),
        "pairs": {f"{a}+{b}": _hash(salt, values, a, b) for a, b in _pairs(values)},
        "age_at_least_y": None if age_y is None else min(age_y, AGE_TOLD_UP_TO_Y),
    }


def youngest_age_y(answers: Mapping[str, Any], now: datetime) -> int | None:
    """Return the youngest that somebody can be, in whole years; None without a year of birth.

    Parameters
    ----------
    answers : mapping
        Of the form ``identifiers``.
    now : datetime
        Today.
    """
    born = answers.get("birth_year")
    if born is None:
        return None
    return int(now.year - born - (answers.get("birthday_passed") != "yes"))


def enrolled(dataset: str | Path, subject: str) -> Entry | None:
    """Return the entry with a participant's identifiers, or None.

    Raises
    ------
    RecordError
        The journal does not verify.
    """
    found = Journal(dataset).current("identifiers", subject)
    return found[-1] if found else None


def check_identifiers(
    dataset: str | Path, subject: str, answers: Mapping[str, Any]
) -> list[Breach]:
    """Hold identifiers that were typed again against those of a participant.

    Parameters
    ----------
    dataset : path
        BIDS data set.
    subject : str
        The participant who is about to be stimulated.
    answers : mapping
        At least two of ``subject``, ``birth_year``, ``initials``, ``house_number``.

    Returns
    -------
    list of Breach
        Empty where all that were typed belong to this participant. Of two that do not match, which
        one is wrong cannot be told: only their pair is kept.

    Raises
    ------
    RecordError
        The journal does not verify.
    """
    entry = enrolled(dataset, subject)
    if entry is None:
        return [
            _breach(
                "identifiers",
                "none kept",
                "two that can be typed again",
                f"subject {subject}; run `tacs identify --enrol`",
            )
        ]
    data = entry.data
    values = _values(str(answers.get(SUBJECT, "")), answers)
    asked = [name for name in values if name in data["identifiers"]]
    if len(asked) < 2:
        return [
            _breach(
                "identifiers",
                f"{len(asked)} typed",
                "two",
                f"subject {subject}; kept are {', '.join(data['identifiers'])}",
            )
        ]
    salt = bytes.fromhex(data["salt"])
    wrong = [
        f"{a} and {b}"
        for a, b in _pairs(asked)
        if not hmac.compare_digest(_hash(salt, values, a, b), data["pairs"][f"{a}+{b}"])
    ]
    if not wrong:
        return []
    return [
        _breach(
            "identifiers",
            f"{wrong[0]} do not match",
            f"those of subject {subject}",
            "the wrong participant is loaded or sits in the chair, or one was typed wrong; "
            "do not go on before that is known",
        )
    ]


def _breach(limit: str, value: str, allowed: str, where: str) -> Breach:
    return Breach(limit=limit, value=value, allowed=allowed, unit="", source=RULE, where=where)


def _values(subject: str, answers: Mapping[str, Any]) -> dict[str, str]:
    """Identifiers in one spelling; empty ones left out."""
    initials = unicodedata.normalize("NFKD", str(answers.get("initials", ""))).casefold()
    number = str(answers.get("house_number", "")).casefold()
    values = {
        SUBJECT: subject.strip(),
        "birth_year": str(answers.get("birth_year", "")),
        "initials": "".join(sign for sign in initials if sign.isalpha()),
        "house_number": "".join(number.split()),
    }
    return {name: value for name, value in values.items() if value}


def _pairs(names: Mapping[str, str] | list[str]) -> list[tuple[str, str]]:
    return list(combinations(sorted(names), 2))


def _hash(salt: bytes, values: Mapping[str, str], a: str, b: str) -> str:
    secret = f"{a}={values[a]}\0{b}={values[b]}".encode()
    return hashlib.scrypt(secret, salt=salt, n=2**14, r=8, p=1, dklen=32).hex()
