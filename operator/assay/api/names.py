"""Every name that Assay writes into a cluster: API group, labels, annotations, condition types and reasons.

They are in one place because other tools match on them. This module only joins names and computes nothing else.
"""

from typing import Final

GROUP: Final = "assay.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "assay"

EXPERIMENT: Final = "Experiment"
RUN: Final = "Run"
MODEL_VERSION: Final = "ModelVersion"
MODEL_ALIAS: Final = "ModelAlias"
PROMOTION_POLICY: Final = "PromotionPolicy"

# Labels on the Runs of an experiment, and on the Jobs, pods and Secrets of a run.
LABEL_EXPERIMENT: Final = f"{GROUP}/experiment"
LABEL_RUN: Final = f"{GROUP}/run"
LABEL_RUN_UID: Final = f"{GROUP}/run-uid"
LABEL_INDEX: Final = f"{GROUP}/index"
#: The labels that link objects to each other. Only the operator writes them (policy assay-links).
LINK_LABELS: Final = (LABEL_RUN, LABEL_RUN_UID, LABEL_EXPERIMENT, LABEL_INDEX)
# On a ModelVersion, in addition to the labels of its run.
LABEL_MODEL: Final = f"{GROUP}/model"
# On a ModelVersion: LABEL_BOUND means that an alias points to it (only the operator writes it). LABEL_ARCHIVED, below,
# means that it is hidden and cannot be bound.
LABEL_BOUND: Final = f"{GROUP}/bound"
# On a ModelVersion: an alias can roll back to it (only the operator writes it).
LABEL_TARGET: Final = f"{GROUP}/rollback-target"
LABEL_ARCHIVED: Final = f"{GROUP}/archived"

# Annotations.
ANNOTATION_PARAMETERS: Final = f"{GROUP}/parameters"
#: What people write about a Run. Nothing is decided by it.
ANNOTATION_NOTE: Final = f"{GROUP}/note"
ANNOTATION_SUSPENDED_BY: Final = f"{GROUP}/suspended-by"
#: Its value if the Job was resumed by something else than the operator, and was suspended again.
SUSPENDED_AGAIN: Final = "Experiment-Again"
# `<alias>.approval.assay.dev/<id>` on a ModelVersion; the value's first line is `<digest> <username>`.
APPROVAL_SUFFIX: Final = f".approval.{GROUP}/"
# On a ModelAlias: `<version> <username>`; further lines give the reason.
ANNOTATION_ROLLBACK: Final = f"{GROUP}/rollback-requested"
# On a ModelAlias: the user who wrote its current spec. The API server fills it in; nobody can write another name.
ANNOTATION_MOVED_BY: Final = f"{GROUP}/moved-by"
# On a PromotionPolicy: the user who wrote its current spec. The API server fills it in.
ANNOTATION_CHANGED_BY: Final = f"{GROUP}/changed-by"
# On a Namespace: "true" lets an alias that no policy matches move without an approval.
ANNOTATION_OPEN: Final = f"{GROUP}/open-by-default"
# On a Namespace: prefixes (s3://bucket/path/), besides its own, that its ModelVersions may use, separated by spaces.
ANNOTATION_ALLOWED_PREFIXES: Final = f"{GROUP}/allowed-prefixes"
# On a Namespace: service accounts, besides the default one, that its runs may use, separated by spaces.
ANNOTATION_RUN_ACCOUNTS: Final = f"{GROUP}/run-service-accounts"
# On a Deployment or StatefulSet: `<model>.<alias>`. The operator then adds parts with the names below.
ANNOTATION_SERVE: Final = f"{GROUP}/serve"
SERVED_PREFIX: Final = f"{GROUP}/served-"
RECORDER_CONTAINER: Final = "assay-recorder"
#: Completes the record if the recorder is killed when the kubelet does not restart it any more.
STANDBY_CONTAINER: Final = "assay-recorder-standby"
FETCH_CONTAINER: Final = "assay-fetch-model"
MODEL_VOLUME: Final = "assay-model"
MODEL_CREDENTIALS_VOLUME: Final = "assay-model-credentials"
MODEL_VARIABLES: Final = ("MODEL_PATH", "MODEL_NAME", "MODEL_VERSION")
# The init container of a training pod that fetches its data sets. Each Secret adds one with a number after this name.
FETCH_DATA_CONTAINER: Final = "assay-fetch-data"

#: The Secret of a namespace with the store keys for its people. Only the operator writes it.
READ_SECRET: Final = "assay-read"  # noqa: S105 - its name

# Resources that exist only in RBAC rules, never as objects.
VIRTUAL_ALIASES: Final = "aliases"
VIRTUAL_USERS: Final = "users"
VIRTUAL_MODELS: Final = "models"

# The operator's default namespace, and its service account there.
DEFAULT_NAMESPACE: Final = "assay-system"
SERVICE_ACCOUNT: Final = "assay-operator"
# On the ValidatingAdmissionPolicy STATUS_POLICY, which everyone may read: the operator's namespace.
ANNOTATION_OPERATOR_NAMESPACE: Final = f"{GROUP}/operator-namespace"
STATUS_POLICY: Final = "assay-status"
# ConfigMap in the operator's namespace with the head of every audit trail.
AUDIT_HEADS: Final = "assay-audit-heads"


def operator_user(namespace: str) -> str:
    """The API server's name for the operator that lives in a namespace."""
    return f"system:serviceaccount:{namespace}:{SERVICE_ACCOUNT}"


#: The admission policies that must be installed for the gates to hold; see charts/assay/policies.
ADMISSION_POLICIES: Final = frozenset(
    f"assay-{name}"
    for name in (
        "aliases",
        "approvals",
        "credentials",
        "datasets",
        "deletion",
        "exec",
        "links",
        "namespaces",
        "nobodys-deputy",
        "owner",
        "pod-security",
        "pods",
        "promotion",
        "rollouts",
        "secrets",
        "serving",
        "status",
        "templates",
        "versions",
    )
)

#: Tools set these on the objects that they manage. A tool would claim a child object that had them.
TRACKING_PREFIXES: Final = ("argocd.argoproj.io/", "app.kubernetes.io/instance", "kubectl.kubernetes.io/")

FIELD_MANAGER: Final = "assay-operator"

# Condition types.
COMPLETE: Final = "Complete"
FAILED: Final = "Failed"
SUSPENDED: Final = "Suspended"
STARTED: Final = "Started"
RECORDED: Final = "Recorded"
READY: Final = "Ready"
ARTIFACT_VERIFIED: Final = "ArtifactVerified"
PROVENANCE_VERIFIED: Final = "ProvenanceVerified"
REPRODUCIBLE: Final = "Reproducible"
REPRODUCED: Final = "Reproduced"
SIGNED: Final = "Signed"
ARCHIVED: Final = "Archived"
REGISTERED: Final = "Registered"
OBJECTIVE_RECORDED: Final = "ObjectiveRecorded"
PARAMETERS_MATCH: Final = "ParametersMatch"
BOUND: Final = "Bound"
HELD: Final = "Held"
DEGRADED: Final = "Degraded"
STALLED: Final = "Stalled"

# The reason of an object of any kind that cannot be reconciled.
CANNOT_BE_RECONCILED: Final = "CannotBeReconciled"
# Reasons for a pending run.
WAITING_FOR_JOB: Final = "WaitingForJob"
WAITING_FOR_POD: Final = "WaitingForPod"
LAUNCH_REFUSED: Final = "LaunchRefused"
PODS_REFUSED: Final = "PodsRefused"
FAILED_MOUNT: Final = "FailedMount"
UNSCHEDULABLE: Final = "Unschedulable"
STARTING: Final = "Starting"
FETCHING_DATA: Final = "FetchingData"
#: Why a run is Pending as a part of its normal start; every other reason needs somebody's attention.
NORMAL_WAITS: Final = frozenset({WAITING_FOR_JOB, WAITING_FOR_POD, STARTING, FETCHING_DATA})
RETRYING: Final = "Retrying"
# Reasons for a running run.
TRAINING: Final = "Training"
RECORDING: Final = "Recording"
STORE_UNREACHABLE: Final = "StoreUnreachable"
# Reasons for a finished run.
JOB_COMPLETE: Final = "JobComplete"
INVALID_TEMPLATE: Final = "InvalidTemplate"
INVALID_LABEL: Final = "InvalidLabel"
POD_SECURITY: Final = "PodSecurity"
NAME_TAKEN: Final = "NameTaken"
JOB_DELETED: Final = "JobDeleted"
RECORD_INCOMPLETE: Final = "RecordIncomplete"
OOM_KILLED: Final = "OOMKilled"
DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
NON_ZERO_EXIT: Final = "NonZeroExit"
POD_LOST: Final = "PodLost"
DATASET_MISMATCH: Final = "DatasetMismatch"
DATASET_MISSING: Final = "DatasetMissing"
DATASET_UNAVAILABLE: Final = "DatasetUnavailable"
JOB_FAILED: Final = "JobFailed"
# Reasons for the state of a record.
NOT_YET: Final = "NotYet"
VERIFIED: Final = "Verified"
MANIFEST_MISSING: Final = "ManifestMissing"
FILES_MISSING: Final = "FilesMissing"
# Reasons for the state of what the training code reports.
OBJECTIVE_FOUND: Final = "ObjectiveFound"
OBJECTIVE_MISSING: Final = "ObjectiveMissing"
VALUES_REJECTED: Final = "ValuesRejected"
NOT_FINITE: Final = "NotFinite"
PARAMETERS_AGREE: Final = "ParametersAgree"
PARAMETERS_DIFFER: Final = "ParametersDiffer"
# Reasons for the state of a recipe, and of a rerun.
RECIPE_KNOWN: Final = "RecipeKnown"
RECIPE_INCOMPLETE: Final = "RecipeIncomplete"
SAME_MODEL: Final = "SameModel"
METRICS_AGREE: Final = "MetricsAgree"
METRICS_DIFFER: Final = "MetricsDiffer"
MODEL_DIFFERS: Final = "ModelDiffers"
NOTHING_TO_COMPARE: Final = "NothingToCompare"
RECIPE_DIFFERS: Final = "RecipeDiffers"
NOT_SUCCEEDED: Final = "NotSucceeded"
ORIGINAL_MISSING: Final = "OriginalMissing"
ORIGINAL_NOT_SUCCEEDED: Final = "OriginalNotSucceeded"
# Reasons for a signature.
NO_KEY: Final = "NoKey"
KEY_UNUSABLE: Final = "KeyUnusable"
KEY_UNKNOWN: Final = "KeyUnknown"
SIGNATURE_INVALID: Final = "SignatureInvalid"
# Reasons for an experiment.
RUNS_ACTIVE: Final = "RunsActive"
ALL_RUNS_FINISHED: Final = "AllRunsFinished"
TARGET_REACHED: Final = "TargetReached"
TOO_MANY_FAILED_RUNS: Final = "TooManyFailedRuns"
INVALID_SEARCH: Final = "InvalidSearch"
SUSPENDED_BY_SPEC: Final = "SuspendedBySpec"
NOT_SUSPENDED: Final = "NotSuspended"
JOB_SUSPENDED: Final = "JobSuspended"
JOB_RESUMED: Final = "JobResumed"
# Reasons for a registration.
INVALID_EXPRESSION: Final = "InvalidExpression"
NO_RUN_QUALIFIES: Final = "NoRunQualifies"
REGISTRATION_LIMIT: Final = "RegistrationLimitReached"
REGISTRATION_REFUSED: Final = "RegistrationRefused"
# Reasons for a version.
COPYING: Final = "Copying"
DIGEST_MISMATCH: Final = "DigestMismatch"
SOURCE_MISSING: Final = "SourceMissing"
NOT_ENTITLED: Final = "NotEntitled"
RUN_MISMATCH: Final = "RunMismatch"
FROM_RUN: Final = "FromRun"
CLAIMED: Final = "Claimed"
LABELLED: Final = "Labelled"
NOT_LABELLED: Final = "NotLabelled"
# Reasons for an alias.
VERSION_MISSING: Final = "VersionMissing"
REQUIREMENTS_UNMET: Final = "RequirementsUnmet"
REQUIREMENTS_MET: Final = "RequirementsMet"
ROLLED_BACK: Final = "RolledBack"
CANNOT_SERVE: Final = "CannotServe"
ROLLOUT_FAILED: Final = "RolloutFailed"
ROLLOUT_IN_PROGRESS: Final = "RolloutInProgress"
SERVING: Final = "Serving"
NOTHING_FOLLOWS: Final = "NothingFollows"
NOTHING_BOUND: Final = "NothingBound"
# Reasons for a policy.
COMPILED: Final = "Compiled"
CANNOT_BE_READ: Final = "CannotBeRead"
