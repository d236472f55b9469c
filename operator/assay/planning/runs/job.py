"""Run → batch/v1 Job: the user's template plus the recorder and the /assay volume.

The user's own parts stay unchanged. Assay adds labels, an annotation, five volumes, one native sidecar, the /assay
mounts and the PARAM_ variables; for data sets also init containers and volumes. A name that the template already uses
is an error and is never overwritten.
"""

import copy
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from assay.api import names
from assay.api.common import Scalar
from assay.api.objects import Raw
from assay.planning.injected import Injected
from assay.planning.runs import capture, checks, collecting, datasets, mlflow
from assay.planning.runs.checks import InvalidTemplate
from assay.planning.runs.datasets import StoreAddress
from assay.planning.runs.template import ASSAY_DIR
from assay.planning.search.space import check_names

RECORDER, STANDBY = names.RECORDER_CONTAINER, names.STANDBY_CONTAINER
_VOLUME_RUN, _VOLUME_SPOOL = "assay-run", "assay-recorder"
_VOLUME_PARAMETERS, _VOLUME_STORE, _VOLUME_NO_TOKEN = "assay-params", "assay-store", "assay-no-token"
_SPOOL = "/var/lib/assay"
_CREDENTIALS = "/var/run/assay/store"
_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 — a path, not a secret
CREDENTIALS_KEY = "credentials.json"
NONROOT = 65532
#: A shorter grace period in the template is raised to this.
MIN_GRACE_SECONDS = 10
DEFAULT_RESOURCES: Raw = {"requests": {"cpu": "25m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
STANDBY_REQUESTS: Raw = {"cpu": "1m", "memory": "16Mi"}


@dataclass(frozen=True)
class JobSettings:
    """The operator's settings for Jobs."""

    image: str
    pull_policy: str = "IfNotPresent"
    #: Grace period in seconds for the rest of the recorder's upload if the template sets none.
    grace_seconds: int = 120
    #: What the recorder and the fetches of data sets request, unless ``recorder`` and ``fetch`` say otherwise.
    resources: Raw = field(default_factory=lambda: copy.deepcopy(DEFAULT_RESOURCES))
    recorder: Injected = field(default_factory=Injected)
    fetch: Injected = field(default_factory=Injected)
    #: What the recorder's standby requests while it sleeps. It has the recorder's limits.
    standby_requests: Raw = field(default_factory=lambda: copy.deepcopy(STANDBY_REQUESTS))
    store: StoreAddress = field(default_factory=StoreAddress)
    #: Maximum number and total bytes of recorded artifacts per pod; 0: the recorder's default.
    max_files: int = 0
    max_bytes: int = 0
    #: Maximum number of points that MLflow clients can read back in their pod; None: the recorder's default.
    mlflow_points: int | None = None


def secret_name(run: Raw) -> str:
    """Return the name of the Secret with the run's store credentials."""
    # The UID makes the name unique, so replacing and deleting the Secret is safe without ever reading one.
    return f"assay-run-{run['metadata']['uid']}"


def build_job(
    run: Raw,
    record_prefix: str,
    settings: JobSettings,
    *,
    suspended_by: str = "",
    unseen: str = capture.NOT_ASKED,
    metrics: Collection[str] = (),
) -> Raw:
    """Return the Job of a Run.

    ``run`` is the raw object; ``record_prefix`` is the run's prefix in the store without a trailing slash.
    ``suspended_by`` names what suspends the Job; "" if nothing does. ``unseen`` says why the training container's image
    cannot be mounted for the recorder; "" if it can. ``metrics`` are summarised in any case. Raises
    InvalidTemplate with a message of one sentence for users.
    """
    metadata, spec = run["metadata"], run["spec"]
    checks.check_shape(spec["job"]["template"])
    checks.check_own_pods(spec["job"])
    job_spec = copy.deepcopy(spec["job"])
    # The operator sets it after the run is recorded: until then the Job's pods are evidence.
    job_spec.pop("ttlSecondsAfterFinished", None)
    if suspended_by:
        job_spec["suspend"] = True
    fetched = _fetched(run)
    _decorate(job_spec["template"], run, record_prefix, settings, fetched)
    _show_image(job_spec["template"]["spec"], unseen)
    _tell_recorder(job_spec["template"]["spec"], "ASSAY_METRICS", list(metrics))
    _tell_recorder(job_spec["template"]["spec"], "ASSAY_COLLECT", spec.get("collect"))
    if folder := collecting.folder_of(run):
        collecting.share_folder(job_spec["template"]["spec"], folder, ASSAY_DIR)
    datasets.fail_fast(job_spec, fetched)
    annotations = {names.ANNOTATION_SUSPENDED_BY: suspended_by} if suspended_by else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": {**inheritable(metadata.get("labels")), **run_labels(run)},
            **({"annotations": annotations} if annotations else {}),
            "ownerReferences": [owner_reference(run)],
        },
        "spec": job_spec,
    }


def owner_reference(owner: Raw) -> Raw:
    """Return the controller reference to one of Assay's objects."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def inheritable(labels: dict[str, str] | None) -> dict[str, str]:
    """Return the labels or annotations that a child may inherit: all except those that tools use to track objects."""
    return {k: v for k, v in (labels or {}).items() if not k.startswith(names.TRACKING_PREFIXES)}


def run_labels(run: Raw) -> dict[str, str]:
    """Return the labels of every object that belongs to a Run."""
    metadata = run["metadata"]
    labels = {names.LABEL_RUN: metadata["name"], names.LABEL_RUN_UID: metadata["uid"]}
    experiment = (metadata.get("labels") or {}).get(names.LABEL_EXPERIMENT)
    return labels | ({names.LABEL_EXPERIMENT: experiment} if experiment else {})


def as_text(value: Scalar) -> str:
    """Return a parameter's value as an environment variable: strings unquoted, everything else as JSON."""
    return value if isinstance(value, str) else _as_json(value)


def _as_json(value: Scalar) -> str:
    """Return a value as JSON that YAML readers read alike: 1e-05 is a number in JSON, but a string in YAML 1.1."""
    text = json.dumps(value)
    mantissa, e, exponent = text.partition("e")
    whole = isinstance(value, float) and mantissa.removeprefix("-").isdigit()
    return f"{mantissa}.0e{exponent}" if whole and e else text


def _parameter_variables(parameters: dict[str, Scalar]) -> dict[str, str]:
    """Return the environment variables of the parameters, as the container must see them.

    Shells cannot read a variable whose name contains a hyphen or a dot. Such a parameter also has one with underscores,
    unless another parameter has that name.
    """
    exact = {f"PARAM_{name}": as_text(value) for name, value in parameters.items()}
    plain = {re.sub(r"[-.]", "_", name): text for name, text in exact.items()}
    return {**plain, **exact}


def _parameters_file(parameters: dict[str, Scalar]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {_as_json(parameters[name])}" for name in sorted(parameters)) + "}"


def _fetched(run: Raw) -> list[datasets.Group]:
    try:
        return datasets.groups(run)
    except ValueError as error:
        raise InvalidTemplate(str(error)) from None


def _decorate(
    template: Raw, run: Raw, record_prefix: str, settings: JobSettings, fetched: list[datasets.Group]
) -> None:
    """Add Assay's parts to the pod template in place."""
    parameters = run["spec"].get("parameters") or {}
    try:
        check_names(parameters, "spec.parameters")
    except ValueError as error:
        raise InvalidTemplate(str(error)) from None
    metadata = template["metadata"] = template.get("metadata") or {}
    own = {key: value for key, value in (metadata.get("labels") or {}).items() if key not in names.LINK_LABELS}
    metadata["labels"] = {**own, **run_labels(run)}
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        names.ANNOTATION_PARAMETERS: _parameters_file(parameters),
    }
    pod = template["spec"]
    checks.check_free(pod, with_data=bool(fetched))
    written = pod.get("terminationGracePeriodSeconds")
    # Without any time the recorder could not finish, and a pod that was killed at once would have no record.
    grace = settings.grace_seconds if written is None else max(written, MIN_GRACE_SECONDS)
    pod["terminationGracePeriodSeconds"] = grace
    pod["volumes"] = [*(pod.get("volumes") or []), *_volumes(run), *datasets.volumes(fetched, secret_name(run))]
    with_mlflow = mlflow.served(run, pod)
    for container in [*(pod.get("initContainers") or []), *pod["containers"]]:
        _equip(container, run, parameters, with_mlflow)
        if fetched:
            container["volumeMounts"].append(datasets.mount())
    recorder = _recorder(_frame(pod, settings, settings.recorder), record_prefix, grace, settings)
    if settings.recorder.run_as_user == "auto" and not settings.recorder.security_context:
        recorder["securityContext"] = _as_reader(recorder["securityContext"], pod)
    recorder["env"] += mlflow.recorder_variables(settings.mlflow_points) if with_mlflow else []
    frame = _frame(pod, settings, settings.fetch)
    fetches = [datasets.container(group, frame, _VOLUME_SPOOL, settings.store) for group in fetched]
    settings.recorder.dress(template)
    if fetches:
        settings.fetch.dress(template)
    # The recorder comes before the fetches, so that a pod whose data fails verification also has a record. The standby
    # comes before the recorder, because the kubelet stops sidecars in reverse order.
    pod["initContainers"] = [_standby(recorder, settings), recorder, *fetches, *(pod.get("initContainers") or [])]


def _show_image(pod: Raw, unseen: str) -> None:
    """Describe the training container to the recorder, and mount its image there unless ``unseen`` is set."""
    standby, recorder = pod["initContainers"][:2]
    standby["env"] += capture.variables(pod, unseen or "the recorder was killed before it had read the image")
    recorder["env"] += capture.variables(pod, unseen)
    volumes = [] if unseen else capture.volumes(pod)
    if volumes:
        pod["volumes"] += volumes
        recorder["volumeMounts"].append(capture.mount())


def _tell_recorder(pod: Raw, variable: str, value: Any) -> None:
    """Pass a value to the recorder and its standby as JSON, unless it is empty."""
    if value:
        # Kubernetes expands $(NAME) in the values of variables.
        text = json.dumps(value, ensure_ascii=False).replace("$", "$$")
        for container in pod["initContainers"][:2]:  # the recorder and its standby
            container["env"].append({"name": variable, "value": text})


def _volumes(run: Raw) -> list[Raw]:
    field_path = f"metadata.annotations['{names.ANNOTATION_PARAMETERS}']"
    return [
        {"name": _VOLUME_RUN, "emptyDir": {}},
        {"name": _VOLUME_SPOOL, "emptyDir": {}},
        {
            "name": _VOLUME_PARAMETERS,
            "downwardAPI": {"items": [{"path": "params.json", "fieldRef": {"fieldPath": field_path}}]},
        },
        {
            "name": _VOLUME_STORE,
            # Only this key: the Secret may also contain credentials for data sets.
            "secret": {"secretName": secret_name(run), "items": [{"key": CREDENTIALS_KEY, "path": CREDENTIALS_KEY}]},
        },
        {"name": _VOLUME_NO_TOKEN, "emptyDir": {"medium": "Memory", "sizeLimit": "4Ki"}},
    ]


def _equip(container: Raw, run: Raw, parameters: dict[str, Scalar], with_mlflow: bool) -> None:
    """Add the /assay volume and the parameters to a user's container. Its own variables come last and win."""
    metadata = run["metadata"]
    # Kubernetes expands $(…) in values, and $$ to $.
    variables = {name: text.replace("$", "$$") for name, text in _parameter_variables(parameters).items()}
    env = [{"name": name, "value": text} for name, text in variables.items()]
    env.append({"name": "ASSAY_RUN", "value": metadata["name"]})
    env.append({"name": "ASSAY_RUN_UID", "value": metadata["uid"]})
    experiment = (metadata.get("labels") or {}).get(names.LABEL_EXPERIMENT)
    if experiment:
        env.append({"name": "ASSAY_EXPERIMENT", "value": experiment})
    if run["spec"].get("seed") is not None:
        env.append({"name": "ASSAY_SEED", "value": str(run["spec"]["seed"])})
    own = container.get("env") or []
    taken = {variable.get("name") for variable in own}
    if with_mlflow and not taken & mlflow.OWN:
        env += mlflow.variables(run, taken)
    container["env"] = [variable for variable in env if variable["name"] not in taken] + own
    container["volumeMounts"] = [
        *(container.get("volumeMounts") or []),
        {"name": _VOLUME_RUN, "mountPath": ASSAY_DIR},
        {
            "name": _VOLUME_PARAMETERS,
            "mountPath": f"{ASSAY_DIR}/params.json",
            "subPath": "params.json",
            "readOnly": True,
        },
    ]


def _frame(pod: Raw, settings: JobSettings, injected: Injected) -> Raw:
    """Return what all of Assay's containers in a pod have in common."""
    security = {
        "runAsNonRoot": True,
        "runAsUser": _user(pod) or NONROOT,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "resources": settings.resources if injected.resources is None else injected.resources,
        "securityContext": injected.secured(security),
        # An empty volume covers the mount path of the service account token: these containers get no token.
        "volumeMounts": [{"name": _VOLUME_NO_TOKEN, "mountPath": _TOKEN, "readOnly": True}],
    }


def _recorder(frame: Raw, record_prefix: str, grace: int, settings: JobSettings) -> Raw:
    env = {
        "ASSAY_PREFIX": f"{record_prefix}/intake/$(ASSAY_POD)",
        "ASSAY_DIR": ASSAY_DIR,
        "ASSAY_SPOOL": _SPOOL,
        "ASSAY_CREDENTIALS": f"{_CREDENTIALS}/{CREDENTIALS_KEY}",
        "ASSAY_GRACE_SECONDS": str(grace),
        **({"ASSAY_MAX_FILES": str(settings.max_files)} if settings.max_files else {}),
        **({"ASSAY_MAX_BYTES": str(settings.max_bytes)} if settings.max_bytes else {}),
        # The root file system is read-only, so temporary files go to the spool.
        "TMPDIR": _SPOOL,
        "HOME": _SPOOL,
    }
    return {
        **frame,
        "name": RECORDER,
        "restartPolicy": "Always",
        "command": ["python", "-m", "assay.recorder"],
        "env": [
            {"name": "ASSAY_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            *({"name": name, "value": value} for name, value in env.items()),
        ],
        # The kubelet starts the training only after this hook, because its first line may write an artifact.
        "lifecycle": {"postStart": {"exec": {"command": ["mkdir", "-p", "-m", "0777", f"{ASSAY_DIR}/artifacts"]}}},
        "volumeMounts": [
            {"name": _VOLUME_RUN, "mountPath": ASSAY_DIR},
            {"name": _VOLUME_SPOOL, "mountPath": _SPOOL},
            {"name": _VOLUME_STORE, "mountPath": _CREDENTIALS, "readOnly": True},
            *frame["volumeMounts"],
        ],
    }


def _standby(recorder: Raw, settings: JobSettings) -> Raw:
    """Return the recorder's standby: the same container, which sleeps until the recorder has ended."""
    asked = {"requests": settings.standby_requests, "limits": recorder["resources"].get("limits")}
    return {
        **{key: value for key, value in copy.deepcopy(recorder).items() if key != "lifecycle"},
        "name": STANDBY,
        "command": ["python", "-m", "assay.recorder.standby"],
        "resources": {key: value for key, value in asked.items() if value},
    }


def _user(pod: Raw) -> int | None:
    """Return the user ID that all of the template's containers run as; None if it is not known, or differs."""
    everywhere = (pod.get("securityContext") or {}).get("runAsUser")
    users = {(c.get("securityContext") or {}).get("runAsUser", everywhere) for c in pod["containers"]}
    user = users.pop() if len(users) == 1 else None
    return user if isinstance(user, int) and not isinstance(user, bool) else None


def _may_be_root(pod: Raw) -> bool:
    """Whether the template lets a container run as root."""
    contexts = [pod, *pod["containers"], *(pod.get("initContainers") or [])]
    return not any((each.get("securityContext") or {}).get("runAsNonRoot") for each in contexts)


def _as_reader(security: Raw, pod: Raw) -> Raw:
    """Return the recorder's security context: it must read files that are private to the training (mode 0600).

    It runs as the user of the training. If the template does not tell which that is, because the image does, it runs as
    root with the one capability to read any file of its volumes. Pod security "baseline" allows this; a template for
    "restricted" has runAsNonRoot.
    """
    if _user(pod) or not _may_be_root(pod):
        return security
    return {
        **{name: value for name, value in security.items() if name != "runAsNonRoot"},
        "runAsUser": 0,
        "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]},
    }
