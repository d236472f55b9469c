"""All routes of the pages."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from assay.server.pages import (
    alias,
    assets,
    audit,
    compare,
    experiments,
    files,
    models,
    moving,
    run,
    runs,
    shown,
)
from assay.server.pages.site import page
from assay.server.person import person_of


def _home(request: Request) -> Response:
    namespace = request.query_params.get("namespace") or person_of(request).namespace
    return RedirectResponse(shown.path("n", namespace, "runs"), 303)


ROUTES: Sequence[BaseRoute] = (
    Route("/", _home),
    assets.ROUTE,
    page("/runs", runs.table, everywhere=True),
    page("/runs.csv", runs.csv_file, everywhere=True),
    page("/runs.parquet", runs.parquet_file, everywhere=True),
    page("/runs", runs.table),
    page("/runs.csv", runs.csv_file),
    page("/runs.parquet", runs.parquet_file),
    page("/runs/{run}", run.one),
    page("/runs/{run}/files/{path:path}", files.download),
    page("/runs/{run}/show/{path:path}", files.show),
    page("/compare", compare.side_by_side),
    page("/experiments", experiments.every),
    page("/experiments/{experiment}", experiments.one),
    page("/models", models.every),
    page("/models/{model}", models.one),
    page("/models/{model}/versions/{number}", models.version),
    page("/models/{model}/aliases/{alias}", alias.one),
    page("/models/{model}/aliases/{alias}/approve", moving.approve, method="POST"),
    page("/models/{model}/aliases/{alias}/promote", moving.promote, method="POST"),
    page("/models/{model}/aliases/{alias}/rollback", moving.rollback, method="POST"),
    page("/audit", audit.trail_of),
)
