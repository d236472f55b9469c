"""Build the init containers that fetch a Run's data sets to /assay/data before the training starts.

One container fetches all data sets that need issued credentials or none. Each Secret that the Run names has a container
of its own, so that no container sees the credentials of another. ``entitlement`` decides what a namespace may read.
"""

import json
from dataclasses import dataclass

from assay.api import names
from assay.api.objects import Raw
from assay.api.uris import decoded

FOLDER = "/assay/data"
VOLUME, _VOLUME_CREDENTIALS = "assay-data", "assay-data-credentials"
CREDENTIALS_KEY = "datasets.json"
_CREDENTIALS = "/var/run/assay/store"
_REPORT_FOLDER, _REPORT = "/var/lib/assay", "datasets.json"
#: A folder of the recorder's volume, where the training container cannot write.
_REPORT_SUBPATH = "datasets"
#: Exit codes of `python -m assay.fetch`, and the reasons that they give a run. A new pod would fail in the same way.
REASONS = {4: names.DATASET_MISMATCH, 5: names.DATASET_MISSING}
FATAL_CODES = (2, *REASONS)
#: The keys of a Secret that a Run names: key, variable, and whether s3:// requires it.
_KEYS = (
    ("accessKey", "ACCESS_KEY", True),
    ("secretKey", "SECRET_KEY", True),
    ("sessionToken", "SESSION_TOKEN", False),
    ("endpoint", "ENDPOINT", False),
    ("region", "REGION", False),
    ("ca", "CA", False),
)
#: Kubernetes' limit of rules in a podFailurePolicy.
_MAX_RULES = 20


@dataclass(frozen=True)
class StoreAddress:
    """The operator's store as pods reach it; the default for Secrets without an address. ``ca`` is PEM or empty."""

    endpoint: str = ""
    region: str = ""
    ca: str = ""


@dataclass(frozen=True)
class Group:
    """The data sets that one container fetches. ``secret`` is the name of their Secret, "" for none."""

    container: str
    secret: str
    datasets: tuple[Raw, ...]

    @property
    def issued(self) -> bool:
        """Whether the group needs credentials issued by the operator."""
        return not self.secret and any(from_store(each) for each in self.datasets)


def is_fetch(container: str) -> bool:
    """Whether a container of a training pod fetches data sets."""
    return container.startswith(names.FETCH_DATA_CONTAINER)


def is_final(pod: Raw) -> bool:
    """Whether a pod has failed because of its data sets in a way that every other pod of the Job would."""
    status = pod.get("status") or {}
    ended = [
        (each.get("state") or {}).get("terminated") or {}
        for each in status.get("initContainerStatuses") or []
        if is_fetch(each["name"])
    ]
    return status.get("phase") == "Failed" and any(each.get("exitCode") in FATAL_CODES for each in ended)


def from_store(dataset: Raw) -> bool:
    """Whether a raw data set has an s3:// address."""
    return str(dataset["uri"]).startswith("s3://")


def secret_of(dataset: Raw) -> str:
    """Return the name of a raw data set's Secret, "" for none."""
    return (dataset.get("secretRef") or {}).get("name") or ""


def unnamed(run: Raw) -> list[Raw]:
    """Return the data sets of a raw Run with an s3:// address and without a Secret."""
    return [each for each in run["spec"].get("datasets") or [] if from_store(each) and not secret_of(each)]


def groups(run: Raw) -> list[Group]:
    """Return the data sets grouped by container. Raises ValueError for a data set that cannot be fetched."""
    found: dict[str, list[Raw]] = {}
    for dataset in run["spec"].get("datasets") or []:
        _check(dataset)
        found.setdefault(secret_of(dataset), []).append(dataset)
    secrets = sorted(secret for secret in found if secret)
    numbered = [(f"{names.FETCH_DATA_CONTAINER}-{index}", secret) for index, secret in enumerate(secrets, 1)]
    first = [(names.FETCH_DATA_CONTAINER, "")] if "" in found else []
    return [Group(container, secret, tuple(found[secret])) for container, secret in (*first, *numbered)]


def _check(dataset: Raw) -> None:
    """Raise ValueError for an invalid data set. The schema has the same rules, but the object may be older."""
    where = f"spec.datasets[{dataset['name']}]"
    if not from_store(dataset) and not str(dataset["uri"]).startswith("https://"):
        raise ValueError(f"{where}: the address {dataset['uri'][:200]} must begin with s3:// or https://")
    if from_store(dataset) and any(part in (".", "..") for part in decoded(dataset["uri"]).split("/")):
        raise ValueError(f"{where}: no part of the address {dataset['uri'][:200]} may be '.' or '..'")
    if not from_store(dataset) and not dataset.get("digest"):
        raise ValueError(f"{where}: a data set from an https:// address needs a digest")


def volumes(fetched: list[Group], secret: str) -> list[Raw]:
    """Return the volumes that the pod needs. ``secret`` is the name of the run's own Secret."""
    found: list[Raw] = [{"name": VOLUME, "emptyDir": {}}] if fetched else []
    if any(group.issued for group in fetched):
        items = [{"key": CREDENTIALS_KEY, "path": CREDENTIALS_KEY}]
        found.append({"name": _VOLUME_CREDENTIALS, "secret": {"secretName": secret, "items": items}})
    return found


def mount() -> Raw:
    """Return the volume mount for the user's containers."""
    return {"name": VOLUME, "mountPath": FOLDER, "readOnly": True}


def covers(path: str) -> bool:
    """Whether a mount at this path would hide data sets."""
    return path == FOLDER or path.startswith(f"{FOLDER}/")


def container(group: Group, frame: Raw, spool: str, store: StoreAddress) -> Raw:
    """Return the container that fetches a group. It mounts the volumes of ``volumes`` and the recorder's ``spool``.

    ``frame`` has the fields that all of Assay's containers share.
    """
    requests = [{key: each[key] for key in ("name", "uri", "digest") if each.get(key)} for each in group.datasets]
    env = {
        "ASSAY_FETCH_DATASETS": json.dumps(requests, ensure_ascii=False),
        "ASSAY_FETCH_DIR": FOLDER,
        "ASSAY_FETCH_REPORT": f"{_REPORT_FOLDER}/{_REPORT}",
        **({"ASSAY_CREDENTIALS": f"{_CREDENTIALS}/{CREDENTIALS_KEY}"} if group.issued else {}),
        **(_address(store) | {"ASSAY_SOURCE": group.secret} if group.secret else {}),
    }
    needed = any(map(from_store, group.datasets))
    mounts: list[Raw] = [
        {"name": VOLUME, "mountPath": FOLDER},
        {"name": spool, "mountPath": _REPORT_FOLDER, "subPath": _REPORT_SUBPATH},
        *([{"name": _VOLUME_CREDENTIALS, "mountPath": _CREDENTIALS, "readOnly": True}] if group.issued else []),
    ]
    # Kubernetes expands $(…) in values.
    plain = [{"name": name, "value": value.replace("$", "$$")} for name, value in env.items()]
    return {
        **frame,
        "name": group.container,
        "command": ["python", "-m", "assay.fetch"],
        "env": [*plain, *(_keys(group.secret, needed=needed) if group.secret else [])],
        "volumeMounts": [*mounts, *frame["volumeMounts"]],
    }


def _address(store: StoreAddress) -> dict[str, str]:
    found = {"ENDPOINT": store.endpoint, "REGION": store.region, "CA": store.ca}
    return {f"ASSAY_FETCH_{name}": value for name, value in found.items() if value}


def _keys(secret: str, *, needed: bool) -> list[Raw]:
    """Return a Secret's keys as variables. If the Secret or a required key is missing, the kubelet reports it."""
    return [
        {
            "name": f"ASSAY_SOURCE_{name}",
            "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": not (always and needed)}},
        }
        for key, name, always in _KEYS
    ]


def fail_fast(job_spec: Raw, fetched: list[Group]) -> None:
    """Add failure rules to the Job's spec, in place: the Job fails at once if a new pod would fail in the same way.

    A Job with such rules replaces a pod only after the pod has ended, which on a lost node is never. The rules are
    therefore added only to a Job that does so anyway; the operator ends the others (``is_final``). Adds at most as many
    rules as the policy has room for. Kubernetes supports such rules only for restartPolicy Never.
    """
    policy = job_spec.get("podFailurePolicy") or {}
    theirs = (policy.get("rules") or []) if isinstance(policy, dict) else None
    restarts = job_spec["template"]["spec"].get("restartPolicy") != "Never"
    waits = bool(policy) or job_spec.get("podReplacementPolicy") == "Failed"
    if restarts or not waits or not isinstance(theirs, list):
        return
    ours = [
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": group.container, "operator": "In", "values": list(FATAL_CODES)},
        }
        for group in fetched
    ]
    room = max(0, _MAX_RULES - len(theirs))
    if ours[:room]:
        job_spec["podFailurePolicy"] = {**policy, "rules": [*ours[:room], *theirs]}
