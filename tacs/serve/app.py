"""The application: routes, pages and errors behind the gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from tacs import __version__
from tacs.clock import MonotonicClock
from tacs.errors import RecordError, SafetyRefusal, TacsError
from tacs.serve.channel import live
from tacs.serve.console import console
from tacs.serve.desk import ConsoleError, Desk
from tacs.serve.entering import entering
from tacs.serve.gate import Gate, cookie_name
from tacs.serve.guests import REFUSALS, guest
from tacs.serve.logins import VALID_S, Logins
from tacs.serve.models import Done, Me, Token
from tacs.serve.place import Place, Worker
from tacs.serve.reading import reading
from tacs.serve.roles import RIGHTS
from tacs.serve.strip import Strip

__all__ = ["make_app"]

TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
who = APIRouter(prefix="/api/v1", responses=REFUSALS, tags=["who"])


def make_app(place: Place, logins: Logins, port: int) -> Gate:
    """Return the whole application.

    Parameters
    ----------
    place : Place
        What is served.
    logins : Logins
        Who may come in.
    port : int
        That the server listens on.
    """

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        app.state.strip.begin()
        yield
        app.state.desk.close()
        app.state.strip.close()
        app.state.worker.close()

    app = FastAPI(
        title="tacs serve",
        version=__version__,
        description="The local page's HTTP API. Research use only. Not a medical device. Log in "
        "with the link that the terminal shows; every POST carries Origin and X-CSRF-Token.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        lifespan=living,
        redirect_slashes=False,
    )
    state = app.state
    state.place, state.logins, state.port = place, logins, port
    state.worker, state.strip = Worker(), Strip(place.eeg)
    state.desk = Desk(place, MonotonicClock().now_s)
    state.channels = {}
    for router in (who, reading, entering, console, live):
        app.include_router(router)
    _pages(app)
    app.add_exception_handler(TacsError, _refused)
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(RequestValidationError, _shapeless)
    return Gate(app, port=port, logins=logins)


@who.post("/login")
def login(request: Request, response: Response, token: Token) -> Me:
    """Exchange the link's token, once, for a cookie."""
    entered = request.app.state.logins.enter(token.token)
    if entered is None:
        raise HTTPException(401, "this link was used already or is not known; ask for a new one")
    cookie, made = entered
    response.set_cookie(
        cookie_name(request.app.state.port), cookie, max_age=int(VALID_S), httponly=True,
        samesite="strict", path="/",
    )  # fmt: skip
    request.state.login = made
    return me(request)


@who.post("/logout")
def logout(request: Request, response: Response) -> Done:
    """Log out; the terminal shows a new link for this person."""
    made = guest(request)
    state = request.app.state
    state.logins.leave(made)
    response.delete_cookie(cookie_name(state.port), path="/")
    renewed = getattr(state, "renewed", None)
    if renewed is not None:
        renewed(made.person)
    return Done()


@who.get("/me")
def me(request: Request) -> Me:
    """Show who is logged in, with the token that changes must carry."""
    made = guest(request)
    place: Place = request.app.state.place
    return Me(
        name=made.person.name,
        role=made.person.role,
        rights=sorted(RIGHTS[made.person.role]),
        csrf=made.csrf,
        dataset=place.dataset.resolve().name,
        version=__version__,
        eeg=bool(place.eeg),
    )


def _pages(app: FastAPI) -> None:
    """Serve the files of the page, each by its own name: no path of a request is ever opened."""
    folder = Path(str(resources.files("tacs"))) / "serve" / "static"
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix in TYPES
    }

    def page(path: str = "index.html") -> Response:
        if path not in files:
            raise HTTPException(404, "no such page")
        kind = TYPES[files[path].suffix]
        return Response(files[path].read_bytes(), media_type=f"{kind}; charset=utf-8")

    app.add_api_route("/", lambda: page(), methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/static/{path:path}", page, methods=["GET", "HEAD"], include_in_schema=False)


def _refused(request: Request, exc: Exception) -> JSONResponse:
    body: dict[str, Any] = {"error": str(exc)}
    status = 500 if type(exc) is TacsError else 400
    if isinstance(exc, SafetyRefusal):
        status, body["breaches"] = 409, [breach.to_dict() for breach in exc.breaches]
    elif isinstance(exc, ConsoleError | RecordError):
        status = 409
    return JSONResponse(body, status)


def _http(request: Request, exc: Exception) -> JSONResponse:
    status = exc.status_code if isinstance(exc, StarletteHTTPException) else 500
    headers = exc.headers if isinstance(exc, StarletteHTTPException) else None
    return JSONResponse({"error": str(getattr(exc, "detail", exc))}, status, headers)


def _shapeless(request: Request, exc: Exception) -> JSONResponse:
    errors = exc.errors() if isinstance(exc, RequestValidationError) else []
    lines = [f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in errors]
    return JSONResponse({"error": "\n".join(lines)[:4000]}, 422)
