"""Objects of the registry as watches show them: with a namespace, a UID and a resourceVersion."""

from typing import Any

from assay.controllers.runtime.model_cache import DEPLOYMENT
from tests import registry

Raw = dict[str, Any]


def seen(body: Raw, resource_version: int = 1, *, uid: str = "", namespace: str = "ml", **status: Any) -> Raw:
    """Return an object as it was at a resourceVersion."""
    metadata = body["metadata"]
    known = {"namespace": namespace, "uid": uid or f"uid-{metadata['name']}", "resourceVersion": str(resource_version)}
    return {**body, "metadata": {**metadata, **known}, **({"status": status} if status else {})}


def version(
    number: int = 1, resource_version: int = 1, *, model: str = "digits", run: Raw | None = None, **more: Any
) -> Raw:
    """Return a ModelVersion."""
    spec = {"run": run} if run else {}
    return seen(registry.model_version(model, number, namespace="ml", **spec), resource_version, **more)


def alias(
    name: str = "champion", wanted: int = 1, resource_version: int = 1, *, model: str = "digits", **more: Any
) -> Raw:
    """Return a ModelAlias; give ``boundVersion`` to have it point to something."""
    return seen(registry.model_alias(model, name, wanted), resource_version, **more)


def policy(resource_version: int = 1, **spec: Any) -> Raw:
    """Return a PromotionPolicy."""
    body = {"apiVersion": "assay.dev/v1alpha1", "kind": "PromotionPolicy", "metadata": {"name": "p"}, "spec": spec}
    return seen(body, resource_version)


def workload(
    name: str = "web",
    asks: str | None = "digits.champion",
    carried: tuple[str, str] | None = None,
    resource_version: int = 1,
    *,
    kind: str = DEPLOYMENT,
    **more: Any,
) -> Raw:
    """Return a workload that follows an alias, or none, and whose pods fetch a version, or none."""
    marks = {"assay.dev/served-model": carried[0], "assay.dev/served-version": carried[1]} if carried else {}
    annotations = {} if asks is None else {"assay.dev/serve": asks}
    body = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"template": {"metadata": {"annotations": marks}, "spec": {"containers": []}}},
    }
    return seen(body, resource_version, **more)
