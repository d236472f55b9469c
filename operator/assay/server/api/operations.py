"""Declares the operations of the API. Routes and the OpenAPI document are made from the same table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from assay.api.errors import InvalidRequest
from assay.server.answers import as_json
from assay.server.freshness import LIVE, PATTERN
from assay.server.person import Person, person_of
from assay.server.state import State

PREFIX = "/api/v1"


class Query(BaseModel):
    """The query parameters of an operation. A field that is a list can be repeated."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", populate_by_name=True)


class Nothing(Query):
    """No query parameters."""


class Fresh(Query):
    """How current the answer has to be."""

    fresh: str = Field(LIVE, pattern=PATTERN, description="live, now, or a resource version to wait for.")


@dataclass(frozen=True)
class Call:
    """One call of an operation: who makes it, the path's values, and what the server shares among calls.

    ``resume`` is the ID of the last event that a client of a stream has.
    """

    person: Person
    path: dict[str, str]
    state: State
    resume: str = ""


@dataclass(frozen=True)
class Operation:
    """One operation. ``answers`` runs in a thread and returns a value of the type ``answer``, or a Response.

    ``body`` is the type of the JSON body of a write. ``content`` is the media type of the answer; for a stream of
    events, ``answer`` is the type of each event's data.
    """

    name: str
    path: str
    summary: str
    answers: Callable[..., Any]
    answer: type
    query: type[Query] = Nothing
    method: str = "GET"
    body: type[BaseModel] | None = None
    content: str = "application/json"

    def route(self) -> Route:
        """Return the route of the operation."""

        async def endpoint(request: Request) -> Response:
            person = person_of(request)
            namespace = request.path_params.get("namespace", "")
            call = Call(
                person.within(namespace) if namespace else person, request.path_params, request.app.state.shared,
                request.headers.get("last-event-id", "")[:200],
            )  # fmt: skip
            query = parsed(self.query, request)
            if isinstance(query, Fresh):
                call = replace(call, person=replace(call.person, fresh=query.fresh))
            arguments: list[Any] = [call, query]
            if self.body is not None:
                arguments.append(await _body(self.body, request))
            return await run_in_threadpool(self._answer, *arguments)

        return Route(PREFIX + self.path, endpoint, methods=[self.method], name=self.name)

    def _answer(self, *arguments: Any) -> Response:
        found = self.answers(*arguments)
        return found if isinstance(found, Response) else as_json(found)


def routes(*tables: Sequence[Operation]) -> list[Route]:
    """Return the routes of tables of operations."""
    return [operation.route() for table in tables for operation in table]


def parsed(kind: type[Query], request: Request) -> Query:
    """Return the query parameters of a request. Raises InvalidRequest."""
    values: dict[str, Any] = {}
    for name in request.query_params:
        field = kind.model_fields.get(name)
        several = field is not None and "list" in str(field.annotation)
        found = request.query_params.getlist(name)
        if len(found) > 1 and not several:
            raise InvalidRequest(f"the query parameter {name} is repeated")
        values[name] = found if several else found[0]
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _invalid("query parameter", error) from None


async def _body(kind: type[BaseModel], request: Request) -> BaseModel:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise InvalidRequest("the body must be application/json")
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise _invalid("field", error) from None


def _invalid(what: str, error: ValidationError) -> InvalidRequest:
    found = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(each) for each in found["loc"])
    return InvalidRequest(f"invalid {what} {name}: {found['msg']}", hint="/api/v1/openapi.json describes the API")
