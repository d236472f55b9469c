"""The operator's configuration, from environment variables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.planning.job import JobSettings
from assay.planning.serving import ServingSettings
from assay.store.audit.settings import AuditSettings
from assay.store.config import ConfigError, StoreConfig


@dataclass(frozen=True)
class Settings:
    """Everything that can be configured. Times are in seconds."""

    store: StoreConfig
    job: JobSettings
    serving: ServingSettings
    #: Namespaces to serve; empty: all.
    namespaces: tuple[str, ...] = ()
    metrics_port: int = 9095
    #: How often the live summaries of running runs are read from the store.
    observe_seconds: float = 10.0
    #: How many requests to the API server may be under way at once.
    api_concurrency: int = 20
    store_workers: int = 8
    #: Where the operator itself lives; it keeps the ends of the audit trails there.
    namespace: str = "assay-system"
    audit: AuditSettings = field(default_factory=AuditSettings)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read ASSAY_* variables; ConfigError names the variable that is missing or wrong."""
        image = environment.get("ASSAY_IMAGE", "")
        if not image:
            raise ConfigError("ASSAY_IMAGE is not set: it is the image that the recorder in training pods runs from")
        return cls(
            store=StoreConfig.from_environment(environment),
            job=JobSettings(
                image=image,
                pull_policy=environment.get("ASSAY_IMAGE_PULL_POLICY", "IfNotPresent"),
                grace_seconds=_whole(environment, "ASSAY_GRACE_SECONDS", 120),
                **_resources(environment),
            ),
            serving=ServingSettings(image, environment.get("ASSAY_IMAGE_PULL_POLICY", "IfNotPresent")),
            namespaces=tuple(environment.get("ASSAY_NAMESPACES", "").replace(",", " ").split()),
            metrics_port=_whole(environment, "ASSAY_METRICS_PORT", 9095, least=0, most=65535),
            observe_seconds=_number(environment, "ASSAY_OBSERVE_SECONDS", 10.0, least=0.1),
            api_concurrency=_whole(environment, "ASSAY_API_CONCURRENCY", 20, most=1000),
            store_workers=_whole(environment, "ASSAY_STORE_WORKERS", 8, most=256),
            namespace=environment.get("ASSAY_NAMESPACE", "").strip() or "assay-system",
            audit=AuditSettings.from_environment(environment),
        )


def _whole(environment: Mapping[str, str], name: str, default: int, *, least: int = 1, most: int = 2**31 - 1) -> int:
    """Return a whole number from ``least`` to ``most``."""
    text = environment.get(name, "") or str(default)
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not least <= value <= most:
        raise ConfigError(f"{name} is {text!r}: it must be a whole number from {least} to {most}")
    return value


def _number(environment: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    text = environment.get(name, "") or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not least <= value < float("inf"):
        raise ConfigError(f"{name} is {text!r}: it must be a number of {least:g} or more")
    return value


def _resources(environment: Mapping[str, str]) -> dict[str, dict[str, object]]:
    text = environment.get("ASSAY_RECORDER_RESOURCES", "")
    if not text:
        return {}
    try:
        resources = json.loads(text)
    except ValueError:
        resources = None
    if not isinstance(resources, dict):
        raise ConfigError('ASSAY_RECORDER_RESOURCES must be JSON such as {"limits": {"memory": "512Mi"}}')
    return {"resources": resources}
