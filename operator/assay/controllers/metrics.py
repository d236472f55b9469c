"""The operator's Prometheus metrics, named by Prometheus' conventions.

``gauges`` has the metrics of existing objects: runs by phase, aliases and their versions. No label value is a run's
name, or a name that training code can choose. docs/metrics.md lists all metrics; a test compares the two.
"""

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from assay.api import names
from assay.store.errors import AlreadyExists, NotFound, StoreError

# Drop the extra series with each counter's creation time: it doubles the number of series, and nothing uses it.
disable_created_metrics()  # type: ignore[no-untyped-call]

#: Errors of the store that are expected answers. They are not counted as errors.
ANSWERS = (NotFound, AlreadyExists)

READY = Gauge("assay_ready", "1 when a check of /readyz passes, by check.", ["check"])
POLICIES_FAULTY = Gauge(
    "assay_admission_policies_faulty",
    "1 for an admission policy or binding that is missing or was changed, else 0; by its kind and name.",
    ["kind", "policy"],
)

RECONCILE_SECONDS = Histogram(
    "assay_reconcile_duration_seconds",
    "Time of one reconcile, by kind.",
    ["kind"],
    buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
RECONCILE_ERRORS = Counter("assay_reconcile_errors", "Reconciles that failed and are retried, by kind.", ["kind"])
QUEUE_DEPTH = Gauge("assay_queue_depth", "Objects waiting for a reconcile.")
QUEUE_AGE = Histogram(
    "assay_queue_wait_seconds",
    "Time an object waited in the queue for its reconcile.",
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 5, 30, 120),
)
LOG_PODS = Gauge("assay_log_pods", "Pods whose logs are being read.")
LOG_AGE = Histogram(
    "assay_log_wait_seconds",
    "Delay between the time a pod's logs were due and the time they were read.",
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 5, 30, 120),
)
LOG_BYTES = Counter("assay_log_bytes", "Bytes of stored logs, before compression.")
LOG_GAPS = Counter("assay_log_gaps", "Known gaps in logs.")
LAUNCH_SECONDS = Histogram(
    "assay_run_launch_seconds",
    "Time from the creation of a Run to that of its Job.",
    buckets=(1, 2, 3, 5, 10, 30, 60, 300),
)
RUNS_ENDED = Counter("assay_runs_ended", "Runs that ended, by phase and reason.", ["phase", "reason"])
RECORDED_BYTES = Counter("assay_recorded_bytes", "Bytes in the records of runs that ended: files of their manifests.")
RUNS_CREATED = Counter("assay_runs_created", "Runs created for experiments.")
RUNS_ARCHIVED = Counter("assay_runs_archived", "Archived runs: the object was deleted and the record kept.")
ARTIFACTS_EXPIRED = Counter("assay_artifacts_expired", "Runs whose artifacts were deleted.")
API_REQUESTS = Counter("assay_api_requests", "Requests to the API server, watches not included.", ["method"])
STORE_SECONDS = Histogram(
    "assay_store_operation_duration_seconds",
    "Time of one operation on the object store.",
    ["operation"],
    buckets=(0.005, 0.02, 0.1, 0.5, 1, 5, 30, 120),
)
STORE_ERRORS = Counter("assay_store_errors", "Operations on the object store that failed.", ["operation", "error"])
MODEL_BYTES = Counter("assay_model_registered_bytes", "Bytes of models that were registered.")
POLICY_VERDICTS = Counter("assay_policy_verdicts", "Promotion decisions for aliases, by result.", ["result"])
AUDIT_RECORDS = Counter("assay_audit_records", "Records appended to the audit trail, by action.", ["action"])
AUDIT_ERRORS = Counter("assay_audit_errors", "Audit events that could not be recorded and are retried.", ["error"])
AUDIT_DOUBT = Gauge(
    "assay_audit_doubt", "1 when the end of a namespace's trail differs from what the operator wrote.", ["namespace"]
)
AUDIT_EXCLUSIVE = Gauge(
    "assay_audit_exclusive", "0 when the store allows two writers to fork a namespace's trail.", ["namespace"]
)
AUDIT_LOCKED = Gauge(
    "assay_audit_locked", "1 when new records of a namespace's trail are protected by an object lock.", ["namespace"]
)
AUDIT_HEADS_PENDING = Gauge("assay_audit_heads_pending", "Trail heads not yet written to the ConfigMap.")

# Create the series that alerts use at 0: Prometheus sees no increase when a series first appears at 1.
RUNS_ENDED.labels("Failed", names.RECORD_INCOMPLETE)
POLICY_VERDICTS.labels("allowed")
POLICY_VERDICTS.labels("held")


def count_request(method: str) -> None:
    """Count one request to the API server."""
    API_REQUESTS.labels(method).inc()


def store_operation(operation: str, seconds: float, error: BaseException | None) -> None:
    """Count one operation on the store; ``error`` is the exception it raised. Called in the store's threads."""
    STORE_SECONDS.labels(operation).observe(seconds)
    if isinstance(error, StoreError) and not isinstance(error, ANSWERS):
        STORE_ERRORS.labels(operation, type(error).__name__).inc()
