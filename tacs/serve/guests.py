"""What the routes ask of a request: who it is, and whether they may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import HTTPException, Request

from tacs.serve.logins import Login
from tacs.serve.models import Problem
from tacs.serve.roles import Right, may

__all__ = ["REFUSALS", "guest", "needs", "place_of", "worker_of"]

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "A value that cannot be used"},
    401: {"model": Problem, "description": "Nobody is logged in"},
    403: {"model": Problem, "description": "Another site's request, or not this role's business"},
    404: {"model": Problem, "description": "There is no such thing"},
    405: {"model": Problem, "description": "Another method"},
    409: {"model": Problem, "description": "Refused by a limit, or by what is running"},
    413: {"model": Problem, "description": "Too large"},
    415: {"model": Problem, "description": "Not JSON"},
    421: {"model": Problem, "description": "Asked under a name that is not this server's"},
    422: {"model": Problem, "description": "Not of the documented shape"},
}


def guest(request: Request) -> Login:
    """Return who is logged in; the gate has looked at the cookie."""
    login: Login | None = getattr(request.state, "login", None)
    if login is None:
        raise HTTPException(401, "log in first, with the link that the terminal shows")
    return login


def needs(right: Right) -> Callable[[Request], Login]:
    """Return what lets only roles with a right in."""

    def checked(request: Request) -> Login:
        login = guest(request)
        if not may(login.person.role, right):
            raise HTTPException(403, f"the role {login.person.role} may not do this ({right})")
        return login

    return checked


def place_of(request: Request) -> Any:
    """Return what the server serves."""
    return request.app.state.place


def worker_of(request: Request) -> Any:
    """Return the server's worker process."""
    return request.app.state.worker
