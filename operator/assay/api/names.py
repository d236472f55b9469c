"""Every name that Assay writes into a cluster: API group, labels, annotations, condition types and reasons.

They stand in one place because other people's tools match on them. Nothing here may compute anything
beyond joining two names.
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

# Labels: on the Runs of an experiment, and on the Jobs, pods and Secrets of a run.
LABEL_EXPERIMENT: Final = f"{GROUP}/experiment"
LABEL_RUN: Final = f"{GROUP}/run"
LABEL_RUN_UID: Final = f"{GROUP}/run-uid"
LABEL_INDEX: Final = f"{GROUP}/index"
#: What links objects to each other: the operator writes these, and nobody else (policy assay-links).
LINK_LABELS: Final = (LABEL_RUN, LABEL_RUN_UID, LABEL_EXPERIMENT, LABEL_INDEX)
# On a ModelVersion, beside those of its run.
LABEL_MODEL: Final = f"{GROUP}/model"
# On a ModelVersion: an alias points to it (only the operator writes it); it is hidden and can be bound no more.
LABEL_BOUND: Final = f"{GROUP}/bound"
# On a ModelVersion: an alias can go back to it (only the operator writes it).
LABEL_TARGET: Final = f"{GROUP}/rollback-target"
LABEL_ARCHIVED: Final = f"{GROUP}/archived"

# Annotations.
ANNOTATION_PARAMETERS: Final = f"{GROUP}/parameters"
ANNOTATION_SUSPENDED_BY: Final = f"{GROUP}/suspended-by"
# `<alias>.approval.assay.dev/<id>` on a ModelVersion; the value's first line is `<digest> <username>`.
APPROVAL_SUFFIX: Final = f".approval.{GROUP}/"
# On a ModelAlias: `<version> <username>`, further lines say why.
ANNOTATION_ROLLBACK: Final = f"{GROUP}/rollback-requested"
# On a ModelAlias: who has written its spec as it is, filled in by the API server; nobody can write another name.
ANNOTATION_MOVED_BY: Final = f"{GROUP}/moved-by"
# On a PromotionPolicy: who has written its spec as it is, filled in by the API server.
ANNOTATION_CHANGED_BY: Final = f"{GROUP}/changed-by"
# On a Namespace, "true": an alias that no policy holds moves without an approval.
ANNOTATION_OPEN: Final = f"{GROUP}/open-by-default"
# On a Namespace: prefixes (s3://bucket/path/) beyond its own that its ModelVersions may name, separated by spaces.
ANNOTATION_ALLOWED_PREFIXES: Final = f"{GROUP}/allowed-prefixes"
# On a Namespace: service accounts, besides the default one, that its runs may have, separated by spaces.
ANNOTATION_RUN_ACCOUNTS: Final = f"{GROUP}/run-service-accounts"
# On a Deployment or StatefulSet: `<model>.<alias>`. What the operator then sets bears the names below.
ANNOTATION_SERVE: Final = f"{GROUP}/serve"
SERVED_PREFIX: Final = f"{GROUP}/served-"
FETCH_CONTAINER: Final = "assay-fetch-model"
MODEL_VOLUME: Final = "assay-model"
MODEL_CREDENTIALS_VOLUME: Final = "assay-model-credentials"
MODEL_VARIABLES: Final = ("MODEL_PATH", "MODEL_NAME", "MODEL_VERSION")
# The init containers of a training pod that fetch its data sets: this one, and with a number behind it one a Secret.
FETCH_DATA_CONTAINER: Final = "assay-fetch-data"

# The resources for RBAC that exist as no objects.
VIRTUAL_ALIASES: Final = "aliases"
VIRTUAL_USERS: Final = "users"
VIRTUAL_MODELS: Final = "models"

# Where the operator lives unless its configuration names another namespace, and its service account there.
DEFAULT_NAMESPACE: Final = "assay-system"
SERVICE_ACCOUNT: Final = "assay-operator"
# On the ValidatingAdmissionPolicy of this name, which everyone may read: the namespace that the operator lives in.
ANNOTATION_OPERATOR_NAMESPACE: Final = f"{GROUP}/operator-namespace"
STATUS_POLICY: Final = "assay-status"
# In the operator's namespace: the end of every audit trail.
AUDIT_HEADS: Final = "assay-audit-heads"


def operator_user(namespace: str) -> str:
    """The API server's name for the operator that lives in a namespace."""
    return f"system:serviceaccount:{namespace}:{SERVICE_ACCOUNT}"


#: What has to be installed for anything to be gated; see charts/assay/policies.
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
        "versions",
    )
)

#: Set by tools on the objects that they manage; a child that carried them would be taken for theirs.
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
BOUND: Final = "Bound"
HELD: Final = "Held"
DEGRADED: Final = "Degraded"
STALLED: Final = "Stalled"

# Reason of an object of any kind that cannot be reconciled.
CANNOT_BE_RECONCILED: Final = "CannotBeReconciled"
# Reasons of a run that waits.
WAITING_FOR_JOB: Final = "WaitingForJob"
WAITING_FOR_POD: Final = "WaitingForPod"
PODS_REFUSED: Final = "PodsRefused"
UNSCHEDULABLE: Final = "Unschedulable"
STARTING: Final = "Starting"
FETCHING_DATA: Final = "FetchingData"
RETRYING: Final = "Retrying"
# Reasons of a run that goes on.
TRAINING: Final = "Training"
RECORDING: Final = "Recording"
STORE_UNREACHABLE: Final = "StoreUnreachable"
# Reasons of a run that ended.
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
# Reasons of the record.
NOT_YET: Final = "NotYet"
VERIFIED: Final = "Verified"
MANIFEST_MISSING: Final = "ManifestMissing"
FILES_MISSING: Final = "FilesMissing"
# Reasons of a run's recipe, and of a rerun.
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
# Reasons of a signature.
NO_KEY: Final = "NoKey"
KEY_UNUSABLE: Final = "KeyUnusable"
KEY_UNKNOWN: Final = "KeyUnknown"
SIGNATURE_INVALID: Final = "SignatureInvalid"
# Reasons of an experiment.
RUNS_ACTIVE: Final = "RunsActive"
ALL_RUNS_FINISHED: Final = "AllRunsFinished"
TARGET_REACHED: Final = "TargetReached"
TOO_MANY_FAILED_RUNS: Final = "TooManyFailedRuns"
INVALID_SEARCH: Final = "InvalidSearch"
SUSPENDED_BY_SPEC: Final = "SuspendedBySpec"
NOT_SUSPENDED: Final = "NotSuspended"
JOB_SUSPENDED: Final = "JobSuspended"
# Reasons of a registration.
INVALID_EXPRESSION: Final = "InvalidExpression"
NO_RUN_QUALIFIES: Final = "NoRunQualifies"
REGISTRATION_LIMIT: Final = "RegistrationLimitReached"
REGISTRATION_REFUSED: Final = "RegistrationRefused"
# Reasons of a version.
COPYING: Final = "Copying"
DIGEST_MISMATCH: Final = "DigestMismatch"
SOURCE_MISSING: Final = "SourceMissing"
NOT_ENTITLED: Final = "NotEntitled"
RUN_MISMATCH: Final = "RunMismatch"
FROM_RUN: Final = "FromRun"
CLAIMED: Final = "Claimed"
LABELLED: Final = "Labelled"
NOT_LABELLED: Final = "NotLabelled"
# Reasons of an alias.
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
# Reasons of a policy.
COMPILED: Final = "Compiled"
CANNOT_BE_READ: Final = "CannotBeRead"
