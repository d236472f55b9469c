"""Turns functions into pages: the user and the query in, a template and its values out; errors become pages as well."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from assay.api.errors import InvalidRequest
from assay.kube.errors import ApiError
from assay.server.answers import KNOWN, explained
from assay.server.pages import assets, shown
from assay.server.person import NotSignedIn, Person, person_of
from assay.server.state import State

logger = logging.getLogger(__name__)

#: The user names that are known by the hash of their credentials, so that not each page asks for its own.
_users: dict[str, str] = {}
_MOST_USERS = 1000
_LONGEST_FORM = 100_000


@dataclass(frozen=True)
class Visit:
    """One request of a page. ``path`` has the values of the address, ``form`` the fields of a POST.

    ``everywhere``: the page is about all namespaces; the person's own is that of its links.
    """

    person: Person
    path: dict[str, str]
    query: QueryParams
    state: State
    form: dict[str, str] = field(default_factory=dict)
    everywhere: bool = False

    @property
    def namespace(self) -> str:
        """The namespace of the page."""
        return self.person.namespace

    def link(self, *parts: object) -> str:
        """Return the address of a page of this namespace."""
        return shown.path("n", self.namespace, *parts)

    def table(self, suffix: str = "") -> str:
        """Return the address of the table of runs that this page is, or of the same as a file."""
        return shown.path(f"runs{suffix}") if self.everywhere else self.link(f"runs{suffix}")

    def events(self, kind: str, *pairs: tuple[str, object]) -> str:
        """Return the address of a stream of events of this namespace."""
        return shown.query(shown.path("api", "v1", "namespaces", self.namespace, "events", kind), pairs)


@dataclass(frozen=True)
class Page:
    """What a page shows: a template and its values.

    ``events`` is the address of the stream that says when to ask for the page again. ``live``: without the stream, it
    asks every few seconds.
    """

    template: str
    title: str
    values: dict[str, Any] = field(default_factory=dict)
    section: str = ""
    status: int = 200
    live: bool = False
    events: str = ""


def page(
    path: str, answers: Callable[[Visit], Page | Response], *, method: str = "GET", everywhere: bool = False
) -> Route:
    """Return the route of a page below /n/{namespace}, or of all namespaces. ``answers`` runs in a thread."""

    async def endpoint(request: Request) -> Response:
        person = person_of(request)
        person = person.within(request.path_params.get("namespace", person.namespace))
        visit = Visit(
            person, request.path_params, request.query_params, request.app.state.shared, everywhere=everywhere
        )
        if method == "POST":
            try:
                visit = replace(visit, form=await _form(request))
            except InvalidRequest as error:
                return await run_in_threadpool(_rendered, of_error(error), visit)
        return await run_in_threadpool(_answer, visit, answers)

    return Route(path if everywhere else f"/n/{{namespace}}{path}", endpoint, methods=[method])


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form. Raises InvalidRequest."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise InvalidRequest("the body must be application/x-www-form-urlencoded")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            raise InvalidRequest("the form is too long")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise InvalidRequest("the form is malformed") from None


def _answer(visit: Visit, answers: Callable[[Visit], Page | Response]) -> Response:
    try:
        found = answers(visit)
        return found if isinstance(found, Response) else _rendered(found, visit)
    except KNOWN as error:
        return _rendered(of_error(error), visit)
    except Exception as error:
        logger.exception("cannot show a page")
        return _rendered(of_error(error), visit)


def of_error(error: Exception) -> Page:
    """Return the page of an error."""
    status, message, hint = explained(error)
    return Page("error.html", "Error", {"message": message, "hint": hint, "number": status}, status=status)


def wants_page(request: Request) -> bool:
    """Whether a browser asks for a page, rather than a program for data."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


def refused(error: NotSignedIn, sign_in: str = "") -> Response:
    """Return the page for a browser without a user. ``sign_in`` is where to sign in, if there is such a page."""
    return _html(of_error(error), {"sign_in": sign_in, "visit": None, "user": "", "notes": []})


def unknown(_: Request) -> Response:
    """Return the page for an address that does not exist."""
    values = {"message": "this page does not exist", "hint": "", "number": 404}
    return _html(Page("error.html", "Not found", values, status=404), {"visit": None, "user": "", "notes": []})


def _rendered(found: Page, visit: Visit) -> Response:
    return _html(found, {"visit": visit, "user": user_of(visit.person), "notes": visit.person.notes})


def _html(found: Page, more: dict[str, Any]) -> Response:
    text = environment().get_template(found.template).render(
        {"page": found, "title": found.title, "static": assets.PREFIX, **more, **found.values}
    )  # fmt: skip
    # A lone surrogate, which JSON allows, cannot be encoded.
    return HTMLResponse(text.encode(errors="replace"), found.status)


def user_of(person: Person) -> str:
    """Return the user's name, "" if the API server does not tell."""
    if person.key not in _users:
        try:
            name = person.kube.whoami()
        except ApiError:
            return ""
        while len(_users) >= _MOST_USERS:
            _users.pop(next(iter(_users)))
        _users[person.key] = name
    return _users[person.key]


@cache
def environment() -> jinja2.Environment:
    """Return the templates. All values are escaped, and a name that does not exist is an error."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"value": shown.value, "duration": shown.duration, "age": shown.age, "size": shown.size}
    found.globals["query"] = shown.query
    return found
