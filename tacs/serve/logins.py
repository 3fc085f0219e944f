"""Logins: a token for once, a cookie for the day, and a token against forged requests.

Everything is kept in memory: a new server knows nobody. Tokens and cookies are compared by hash, so
that what is stored opens nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tacs.errors import InputError
from tacs.forms import text_problem
from tacs.serve.roles import ROLES, Role

__all__ = ["Login", "Logins", "Person", "people_of"]

VALID_S = 12.0 * 3600.0
MOST_LOGINS = 64


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may log in.

    Parameters
    ----------
    name : str
        As it stands in journals and records.
    role : str
        One of :data:`tacs.serve.roles.ROLES`.
    """

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Login:
    """A person who is logged in, and the token that each change must carry."""

    person: Person
    csrf: str
    until_s: float
    key: str


@dataclass(slots=True)
class Logins:
    """Who may come in, and who is in.

    Parameters
    ----------
    now_s : callable
        Monotonic time.
    """

    now_s: Callable[[], float]
    _tokens: dict[str, Person] = field(default_factory=dict)
    _in: dict[str, Login] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def invite(self, person: Person) -> str:
        """Return a token that lets a person in once."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens[_hash(token)] = person
        return token

    def enter(self, token: str) -> tuple[str, Login] | None:
        """Take a token; return the cookie and the login, or None where it is used or unknown."""
        with self._lock:
            # Taken out whether or not anything follows: a token is good for one look.
            person = self._tokens.pop(_hash(token), None)
            if person is None or len(self._in) >= MOST_LOGINS:
                return None
            cookie = secrets.token_urlsafe(32)
            key = _hash(cookie)
            login = Login(person, secrets.token_urlsafe(32), self.now_s() + VALID_S, key)
            self._in[key] = login
        return cookie, login

    def of(self, cookie: str | None) -> Login | None:
        """Return who a cookie belongs to, or None."""
        if not cookie or len(cookie) > 200:
            return None
        with self._lock:
            key = _hash(cookie)
            login = self._in.get(key)
            if login is not None and login.until_s <= self.now_s():
                del self._in[key]
                return None
        return login

    def holds(self, key: str) -> bool:
        """Whether a login is still one."""
        with self._lock:
            login = self._in.get(key)
            return login is not None and login.until_s > self.now_s()

    def leave(self, login: Login) -> None:
        """End a login."""
        with self._lock:
            self._in.pop(login.key, None)


def people_of(told: Sequence[str]) -> list[Person]:
    """Return the people of ``NAME=ROLE``, or one operator where nobody is named.

    Raises
    ------
    InputError
        No such role, a name twice, or one that no journal would take.
    """
    found: list[Person] = []
    for text in told or ("operator=operator",):
        name, equals, role = (part.strip() for part in text.rpartition("="))
        known = [r for r in ROLES if r == role]
        if not equals or not name or not known:
            raise InputError(
                f"--role {text[:60]!r}: write NAME=ROLE, ROLE one of {', '.join(ROLES)}"
            )
        if problem := text_problem(name, 80):
            raise InputError(f"--role {text[:60]!r}: the name {problem}")
        if name.casefold() in {person.name.casefold() for person in found}:
            raise InputError(f"--role {text[:60]!r}: {name} is named twice; one role each")
        found.append(Person(name, known[0]))
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
