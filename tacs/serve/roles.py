"""Who may do what on the page; asked on the server for every route."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["JOURNAL_ROLE", "RIGHTS", "ROLES", "Right", "Role", "may"]

Role = Literal["operator", "rater", "unblinded-statistician", "read-only"]
Right = Literal[
    "read",  # people, calendars, ratings, alerts
    "dose",  # what was delivered, and what the EEG did: kept from raters
    "audit",
    "rate",
    "fill",  # screening, checks, unwanted effects
    "acknowledge",
    "report",
    "run",
    "arms",
]
ROLES: tuple[Role, ...] = get_args(Role)
# A STOP is no right: everybody has it.
RIGHTS: dict[Role, frozenset[Right]] = {
    "operator": frozenset(
        {"read", "dose", "audit", "rate", "fill", "acknowledge", "report", "run"}
    ),
    "rater": frozenset({"read", "rate", "acknowledge"}),
    "unblinded-statistician": frozenset({"read", "dose", "audit", "report", "arms"}),
    "read-only": frozenset({"read", "dose", "audit"}),
}
JOURNAL_ROLE: dict[Role, str] = {
    "operator": "operator",
    "rater": "rater",
    "unblinded-statistician": "statistician",
    "read-only": "monitor",
}


def may(role: Role, right: Right) -> bool:
    """Whether a role has a right."""
    return right in RIGHTS[role]
