"""The requests that clients send first, and a clear error for everything that is not supported."""

from __future__ import annotations

from assay.recorder.collectors.mlflow.entities import Raw
from assay.recorder.collectors.mlflow.errors import MlflowError
from assay.recorder.collectors.mlflow.handlers.requests import Call, Route

#: The API that is served. Clients compare it with the versions that they need.
VERSION = "3.17.0"
#: Words in the paths of areas that are not supported.
_AREAS = {
    "traces": "traces",
    "trace": "traces",
    "assessments": "assessments",
    "scorers": "scorers",
    "scorer": "scorers",
    "datasets": "evaluation data sets",
    "gateway": "the gateway",
    "prompts": "prompts",
    "prompt-optimization": "prompt optimization",
    "issues": "issues",
    "review-queues": "review queues",
    "label-schemas": "review queues",
    "webhooks": "webhooks",
    "workspaces": "workspaces",
    "graphql": "GraphQL",
    "jobs": "jobs",
}


async def server_info(_: Call) -> Raw:
    """Capabilities: no presigned addresses, no workspaces."""
    return {
        "store_type": "AssayRecorder",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
    }


def not_there(method: str, path: str) -> MlflowError:
    """The error for an endpoint that is not served."""
    area = next((_AREAS[part] for part in path.strip("/").split("/") if part in _AREAS), None)
    if area:
        return MlflowError(
            "NOT_IMPLEMENTED",
            f"Assay records runs, metrics, artifacts and models of MLflow, but not {area} ({path[:300]})",
        )
    return MlflowError("ENDPOINT_NOT_FOUND", f"No API found for '{method} {path[:300]}'")


ROUTES = (Route("GET", "/mlflow/server-info", server_info),)
