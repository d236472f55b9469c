"""The operator's configuration, from environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.api import names
from assay.controllers.environment import OperatorEnvironment
from assay.planning.runs import pod_security
from assay.planning.runs.datasets import StoreAddress
from assay.planning.runs.job import JobSettings
from assay.planning.serving.injection import ServingSettings
from assay.signing.settings import SigningSettings
from assay.store.audit.settings import AuditSettings
from assay.store.config import StoreConfig


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
        given = OperatorEnvironment.read(environment)
        store = StoreConfig.from_environment(environment)
        return cls(
            store=store,
            job=JobSettings(
                image=given.image,
                pull_policy=given.image_pull_policy,
                grace_seconds=given.grace_seconds,
                max_files=given.run_max_files,
                max_bytes=given.run_max_bytes,
                mlflow_points=given.run_mlflow_points,
                store=StoreAddress(store.run_endpoint or store.endpoint, store.region, store.authorities()),
                resources=given.recorder_resources,
                recorder=given.recorder.settings(),
                standby_requests=given.recorder_standby_requests,
                fetch=given.fetch.settings(),
            ),
            serving=ServingSettings(given.image, given.image_pull_policy, fetch=given.fetch.settings()),
            namespaces=given.namespaces,
            metrics_port=given.metrics_port,
            metrics_authentication=given.metrics_authentication,
            observe_seconds=given.observe_seconds,
            retention_seconds=given.retention_seconds,
            log_seconds=given.log_seconds,
            capture_image=given.capture_image,
            system_seconds=given.system_seconds,
            kubelet_ca_file=given.kubelet_ca_file,
            api_concurrency=given.api_concurrency,
            store_workers=given.store_workers,
            namespace=given.namespace,
            user_name=given.user,
            lease=given.lease,
            identity=given.pod,
            pod_security=given.pod_security,
            require_policies=given.require_policies,
            policies_file=given.policies_file,
            audit=AuditSettings.from_environment(environment),
            signing=SigningSettings.from_environment(environment),
        )
