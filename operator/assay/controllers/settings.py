"""The operator's configuration, from environment variables."""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.api import names
from assay.planning.runs import pod_security
from assay.planning.runs.datasets import StoreAddress
from assay.planning.runs.job import JobSettings
from assay.planning.serving.injection import ServingSettings
from assay.signing.settings import SigningSettings
from assay.store.audit.settings import AuditSettings
from assay.store.config import ConfigError, StoreConfig
from assay.store.limits import MAX_FILES, MAX_RUN_BYTES, MAX_RUN_FILES


@dataclass(frozen=True)
class Settings:
    """The operator's settings. Times are in seconds."""

    store: StoreConfig
    job: JobSettings
    serving: ServingSettings
    #: Namespaces to serve; empty: all.
    namespaces: tuple[str, ...] = ()
    metrics_port: int = 9095
    #: Whether a scraper needs the right to get /metrics in this cluster.
    metrics_authentication: bool = False
    #: How often the live summaries of running runs are read from the store.
    observe_seconds: float = 10.0
    #: How often expired runs and artifacts are removed.
    retention_seconds: float = 60.0
    #: How often the logs of running containers are read.
    log_seconds: float = 30.0
    #: Whether the training container's image is mounted in the recorder: `auto` (if all nodes can), `always`, `never`.
    capture_image: str = "auto"
    #: How often the containers' resource usage is read from kubelets; 0: never.
    system_seconds: float = 15.0
    #: CA file for the kubelets' certificates; empty: the CA of the API server.
    kubelet_ca_file: str = ""
    #: Maximum number of concurrent requests to the API server.
    api_concurrency: int = 20
    store_workers: int = 8
    #: The operator's own namespace. The heads of the audit trails are stored there.
    namespace: str = names.DEFAULT_NAMESPACE
    #: The operator's username in the API server; empty: the chart's service account in that namespace.
    user_name: str = ""
    #: Name of the Lease that the operator must hold to work; empty: there is only one operator.
    lease: str = ""
    #: Holder identity in the Lease: the pod's name.
    identity: str = ""
    #: Pod Security level for the pod templates of runs: `baseline`, `restricted` or `off`.
    pod_security: str = pod_security.BASELINE
    #: Whether readiness requires the admission policies.
    require_policies: bool = False
    #: File with the shipped manifests of the admission policies; empty: only their names are known.
    policies_file: str = ""
    audit: AuditSettings = field(default_factory=AuditSettings)
    signing: SigningSettings = field(default_factory=SigningSettings)

    @property
    def user(self) -> str:
        """The operator's username in the API server: the actor of its own actions."""
        return self.user_name or names.operator_user(self.namespace)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the ASSAY_* variables. Raises ConfigError that names the missing or invalid variable."""
        image = environment.get("ASSAY_IMAGE", "")
        if not image:
            raise ConfigError("ASSAY_IMAGE is not set: it is the image that the recorder in training pods runs from")
        store = StoreConfig.from_environment(environment)
        return cls(
            store=store,
            job=JobSettings(
                image=image,
                pull_policy=environment.get("ASSAY_IMAGE_PULL_POLICY", "IfNotPresent"),
                grace_seconds=_whole(environment, "ASSAY_GRACE_SECONDS", 120),
                max_files=_whole(environment, "ASSAY_RUN_MAX_FILES", MAX_RUN_FILES, most=MAX_FILES),
                max_bytes=_whole(environment, "ASSAY_RUN_MAX_BYTES", MAX_RUN_BYTES, most=1 << 60),
                store=StoreAddress(store.run_endpoint or store.endpoint, store.region, store.authorities()),
                **_resources(environment),
            ),
            serving=ServingSettings(image, environment.get("ASSAY_IMAGE_PULL_POLICY", "IfNotPresent")),
            namespaces=tuple(environment.get("ASSAY_NAMESPACES", "").replace(",", " ").split()),
            metrics_port=_whole(environment, "ASSAY_METRICS_PORT", 9095, least=0, most=65535),
            metrics_authentication=_one_of(environment, "ASSAY_METRICS_AUTHENTICATION", ("false", "true")) == "true",
            observe_seconds=_number(environment, "ASSAY_OBSERVE_SECONDS", 10.0, least=0.1),
            retention_seconds=_number(environment, "ASSAY_RETENTION_SECONDS", 60.0, least=0.1),
            log_seconds=_number(environment, "ASSAY_LOG_SECONDS", 30.0, least=0.5),
            capture_image=_one_of(environment, "ASSAY_CAPTURE_IMAGE", ("auto", "always", "never")),
            system_seconds=_system_seconds(environment),
            kubelet_ca_file=environment.get("ASSAY_KUBELET_CA_FILE", "").strip(),
            api_concurrency=_whole(environment, "ASSAY_API_CONCURRENCY", 20, most=1000),
            store_workers=_whole(environment, "ASSAY_STORE_WORKERS", 8, most=256),
            namespace=environment.get("ASSAY_NAMESPACE", "").strip() or names.DEFAULT_NAMESPACE,
            user_name=environment.get("ASSAY_USER", "").strip(),
            lease=environment.get("ASSAY_LEASE", "").strip(),
            identity=environment.get("ASSAY_POD", "").strip() or f"{socket.gethostname()}-{os.getpid()}",
            pod_security=_one_of(environment, "ASSAY_POD_SECURITY", pod_security.LEVELS),
            require_policies=_one_of(environment, "ASSAY_REQUIRE_POLICIES", ("false", "true")) == "true",
            policies_file=environment.get("ASSAY_POLICIES_FILE", "").strip(),
            audit=AuditSettings.from_environment(environment),
            signing=SigningSettings.from_environment(environment),
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


def _one_of(environment: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    """Return one of the words; the first one if the variable is not set."""
    text = environment.get(name, "") or words[0]
    if text not in words:
        raise ConfigError(f"{name} is {text!r}: it must be {', '.join(words[:-1])} or {words[-1]}")
    return text


def _system_seconds(environment: Mapping[str, str]) -> float:
    if environment.get("ASSAY_SYSTEM_SECONDS", "").strip() in ("0", "0.0"):
        return 0.0
    return _number(environment, "ASSAY_SYSTEM_SECONDS", 15.0, least=1)


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
