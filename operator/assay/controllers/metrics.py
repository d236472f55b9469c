"""Prometheus metrics of the operator, by Prometheus' naming conventions."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILE_SECONDS = Histogram(
    "assay_reconcile_duration_seconds",
    "Time of one reconcile, by kind.",
    ["kind"],
    buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
RECONCILE_ERRORS = Counter("assay_reconcile_errors", "Reconciles that failed and are retried, by kind.", ["kind"])
QUEUE_DEPTH = Gauge("assay_queue_depth", "Objects that wait for a reconcile.")
QUEUE_AGE = Histogram(
    "assay_queue_wait_seconds",
    "Time that an object waited for its reconcile.",
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 5, 30, 120),
)
LOG_PODS = Gauge("assay_log_pods", "Pods whose logs are being read.")
LOG_AGE = Histogram(
    "assay_log_wait_seconds",
    "Time that a pod waited for its logs to be read once they were due.",
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 5, 30, 120),
)
LOG_BYTES = Counter("assay_log_bytes", "Bytes of logs that were kept, before compression.")
LOG_GAPS = Counter("assay_log_gaps", "Places in logs where something is known to be missing.")
RUNS = Gauge("assay_runs", "Runs that exist, by phase.", ["phase"])
EXPERIMENTS = Gauge("assay_experiments", "Experiments that exist.")
RUNS_ENDED = Counter("assay_runs_ended", "Runs that ended, by phase and reason.", ["phase", "reason"])
RUNS_CREATED = Counter("assay_runs_created", "Runs created for experiments.")
RUNS_ARCHIVED = Counter("assay_runs_archived", "Runs whose objects were removed, their records kept.")
ARTIFACTS_EXPIRED = Counter("assay_artifacts_expired", "Runs whose artifacts were deleted.")
API_REQUESTS = Counter("assay_api_requests", "Requests to the API server, watches not included.", ["method"])
STORE_SECONDS = Histogram(
    "assay_store_operation_duration_seconds",
    "Time of one operation on the object store.",
    ["operation"],
    buckets=(0.005, 0.02, 0.1, 0.5, 1, 5, 30, 120),
)
STORE_ERRORS = Counter("assay_store_errors", "Operations on the object store that failed.", ["operation", "error"])
AUDIT_RECORDS = Counter("assay_audit_records", "Records appended to the audit trail, by action.", ["action"])
AUDIT_ERRORS = Counter("assay_audit_errors", "Events that could not be recorded and are told again.", ["error"])
AUDIT_DOUBT = Gauge(
    "assay_audit_doubt", "1 when the end of a namespace's trail is not as the operator had left it.", ["namespace"]
)
AUDIT_EXCLUSIVE = Gauge(
    "assay_audit_exclusive", "0 when the store lets two writers fork a namespace's trail.", ["namespace"]
)
AUDIT_LOCKED = Gauge(
    "assay_audit_locked", "1 when new records of a namespace's trail are protected by an object lock.", ["namespace"]
)
AUDIT_HEADS_PENDING = Gauge("assay_audit_heads_pending", "Ends of trails that the ConfigMap does not hold yet.")
