"""The layout of the bucket. Pure functions over names; no I/O.

    runs/<namespace>/<experiment or _>/<run>/<uid>/     the run's prefix; the operator writes these files
        run.json  params.json  status.json  manifest.json  provenance.dsse.json  archived.json  expired.json
        logs/<pod>/<container>/part-00001.log.gz …      the output of a container, see `assay.store.logs`
        logs/<pod>/<container>/restart-<n>/…            its output after the n-th restart
        system/<pod>/part-00001.jsonl.gz …              the resource usage of a pod, see `assay.store.system`
        intake/<pod>/                                   files from a pod; a run's credentials can write only here
        pods/<pod>/                                     the same files after the run, see `assay.store.sealing`
            metrics/part-00001.jsonl.gz …  metrics.parquet  artifacts/…  datasets.json  environment.json
            summary.json  manifest.json

    models/<namespace>/<model>/v<N>/                    the registered bytes; only the operator writes here
        artifact/…  manifest.json
    models/<namespace>/<model>/signatures/v<N>.sig      the signature over them
    models/<namespace>/<model>/                         claims of version numbers, see `assay.store.numbers`
        numbers/<N as 9 digits>.json  passed/<N as 9 digits>.json  claimants/<sha256>/<attempt as 3 digits>.json
    audit/<namespace>/<sequence as 12 digits>.json      the audit trail, see `assay.store.audit`
    expiring/<namespace>/<time>-<uid>.json              archived runs whose artifacts expire, see `assay.store.expiry`
    readers/<namespace>.json                            whose people may read all of this, see `assay.store.tenancy`

Every pod has its own folder, so that a retry never sees the data of the previous attempt. Prefixes do not end with
a slash.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from assay.api.objects import Raw, experiment_of
from assay.store.limits import MAX_KEY_BYTES

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_NO_EXPERIMENT = "_"
_VERSION = re.compile(r"v[1-9][0-9]{0,8}")
_NUMBER = re.compile(r"[0-9]{9}\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOG = re.compile(r"logs/([^/]+)/([^/]+)(?:/restart-([1-9][0-9]{0,8}))?/(?:part-([0-9]{5,9})\.log\.gz|missing\.json)")
_SYSTEM = re.compile(r"system/([^/]+)/part-([0-9]{5,9})\.jsonl\.gz")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_AUDIT_RECORD = re.compile(r"[0-9]{12}\.json")

RUN, PARAMS, MANIFEST, SUMMARY, PARQUET = (
    "run.json",
    "params.json",
    "manifest.json",
    "summary.json",
    "metrics.parquet",
)
# STATUS is a run's final status, ARCHIVED the whole Run after its object was deleted, EXPIRED the deleted artifacts.
STATUS, ARCHIVED, EXPIRED = "status.json", "archived.json", "expired.json"
PROVENANCE = "provenance.dsse.json"  # contains the digest of the manifest, so the manifest does not list it
ARTIFACTS, METRICS, PODS, INTAKE = "artifacts", "metrics", "pods", "intake"
DATASETS = "datasets.json"  # of a pod
ENVIRONMENT = "environment.json"  # of a pod
SYSTEM = "system"
LOGS, LOG_GAPS = "logs", "missing.json"
PRINTED = "printed"
ARTIFACT = "artifact"  # of a registered model
NUMBERS, PASSED, CLAIMANTS = "numbers", "passed", "claimants"  # of a model
SIGNATURES = "signatures"  # of a model
EXPIRING, READERS = "expiring", "readers"
MAX_NUMBER = 10**9 - 1  # of a version


class RunKey(NamedTuple):
    """The parts of a run's prefix. `experiment` is None for a run without an experiment."""

    namespace: str
    experiment: str | None
    run: str
    uid: str


class LogName(NamedTuple):
    """The container of a log. `attempt` is the number of restarts of the container within its pod, from 0."""

    pod: str
    container: str
    attempt: int = 0


class LogFile(NamedTuple):
    """One file of a log: the part with this number, or the list of gaps if `part` is None."""

    name: LogName
    part: int | None


class ModelKey(NamedTuple):
    """The parts of a registered model's prefix. `version` starts at 1."""

    namespace: str
    model: str
    version: int


def run_prefix(namespace: str, experiment: str | None, run: str, uid: str) -> str:
    """Return the prefix of a run. Raises ValueError if a name is not a valid name of a Kubernetes object."""
    names = [namespace, run, uid] + ([experiment] if experiment else [])
    for name in names:
        if not _NAME.fullmatch(name) or ".." in name:
            raise ValueError(f"{name[:300]!r} cannot be part of a run's prefix")
    return f"runs/{namespace}/{experiment or _NO_EXPERIMENT}/{run}/{uid}"


def prefix_of(run: Raw) -> str:
    """Return the prefix of a raw Run. Raises ValueError if a name is not a valid name of a Kubernetes object."""
    metadata = run["metadata"]
    return run_prefix(metadata["namespace"], experiment_of(run), metadata["name"], metadata["uid"])


def counting_pod(run: Raw) -> str:
    """Return the name of the pod whose artifacts and metrics count; "" if a raw Run has not ended or has no such pod.

    For runs that ended before ``status.record.pod`` existed, only the address of the artifacts contains the name.
    """
    record = (run.get("status") or {}).get("record") or {}
    artifacts = str(record.get("artifacts") or "")
    return str(record.get("pod") or artifacts.rstrip("/").removesuffix(f"/{ARTIFACTS}").rpartition("/")[2])


def parse_run_prefix(prefix: str) -> RunKey:
    """Parse a prefix that `run_prefix` made. Raises ValueError for any other text."""
    root, *names = prefix.split("/")
    if root != "runs" or len(names) != 4:
        raise ValueError(f"{prefix[:300]!r} is not the prefix of a run")
    namespace, experiment, run, uid = names
    key = RunKey(namespace, None if experiment == _NO_EXPERIMENT else experiment, run, uid)
    if run_prefix(*key) != prefix:
        raise ValueError(f"{prefix[:300]!r} is not the prefix of a run")
    return key


def intake(run: str) -> str:
    """Return the prefix below which a run's credentials can write."""
    return f"{run}/{INTAKE}"


def pods_prefix(run: str) -> str:
    """Return the prefix of the sealed files of a run's pods. Only the operator writes there."""
    return f"{run}/{PODS}"


def is_pod_name(name: str) -> bool:
    """Return whether this is a valid pod name."""
    return bool(_NAME.fullmatch(name)) and ".." not in name


def pod_prefix(run: str, pod: str) -> str:
    """Return the prefix of one pod of a run. Raises ValueError for an invalid pod name."""
    if not is_pod_name(pod):
        raise ValueError(f"{pod[:300]!r} cannot be the name of a pod")
    return f"{run}/{PODS}/{pod}"


def intake_prefix(run: str, pod: str) -> str:
    """Return the prefix below which a pod of a run writes. Raises ValueError for an invalid pod name."""
    return f"{intake(run)}/{pod_prefix(run, pod).rpartition('/')[2]}"


def parse_pod_prefix(prefix: str) -> tuple[RunKey, str]:
    """Return the run and the pod name of a pod's prefix. Raises ValueError for any other text."""
    return _parse_below(prefix, PODS)


def parse_intake_prefix(prefix: str) -> tuple[RunKey, str]:
    """Parse a prefix that `intake_prefix` made. Raises ValueError for any other text."""
    return _parse_below(prefix, INTAKE)


def _parse_below(prefix: str, folder: str) -> tuple[RunKey, str]:
    run, _, pod = prefix.rpartition(f"/{folder}/")
    key = parse_run_prefix(run)
    if not is_pod_name(pod):
        raise ValueError(f"{prefix[:300]!r} is not the prefix of a pod")
    return key, pod


def log_path(name: LogName) -> str:
    """Return the folder of a log, relative to the run's prefix. Raises ValueError for an invalid name."""
    for part in (name.pod, name.container):
        if not _NAME.fullmatch(part) or ".." in part:
            raise ValueError(f"{part[:300]!r} cannot be the name of a pod or a container")
    restart = f"/restart-{name.attempt}" if name.attempt else ""
    return f"{LOGS}/{name.pod}/{name.container}{restart}"


def log_part(name: LogName, number: int) -> str:
    """Return the path of a part (from 1) of a log, relative to the run's prefix."""
    return f"{log_path(name)}/part-{number:05d}.log.gz"


def printed_part(name: LogName, number: int) -> str:
    """Return the path of the points in a part of a log, relative to the run's prefix. Raises ValueError."""
    log_path(name)  # validates the names
    restart = f".{name.attempt}" if name.attempt else ""
    return f"{PRINTED}/{name.pod}/{name.container}{restart}/part-{number:05d}.jsonl.gz"


def parse_log_file(path: str) -> LogFile | None:
    """Return which file of a log a path below a run's prefix is; None if it is not a log file."""
    found = _LOG.fullmatch(path)
    if not found:
        return None
    pod, container, attempt, part = found.groups()
    return LogFile(LogName(pod, container, int(attempt or 0)), int(part) if part else None)


def system_part(pod: str, number: int) -> str:
    """Return the path of a part (from 1) of a pod's resource usage, relative to the run's prefix.

    Raises ValueError for an invalid pod name.
    """
    if not _NAME.fullmatch(pod) or ".." in pod:
        raise ValueError(f"{pod[:300]!r} cannot be the name of a pod")
    return f"{SYSTEM}/{pod}/part-{number:05d}.jsonl.gz"


def parse_system_part(path: str) -> tuple[str, int] | None:
    """Parse a path that `system_part` made; None for any other path."""
    found = _SYSTEM.fullmatch(path)
    return (found[1], int(found[2])) if found else None


def model_prefix(namespace: str, model: str, version: int) -> str:
    """Return the prefix of one version of a model. Raises ValueError for an invalid name or number."""
    if not _VERSION.fullmatch(f"v{version}"):
        raise ValueError(f"{version} cannot be the number of a version")
    return f"{_model(namespace, model)}/v{version}"


def _model(namespace: str, model: str) -> str:
    for name in (namespace, model):
        if not _NAME.fullmatch(name) or ".." in name:
            raise ValueError(f"{name[:300]!r} cannot be part of a model's prefix")
    return f"models/{namespace}/{model}"


def parse_model_prefix(prefix: str) -> ModelKey:
    """Parse a prefix that `model_prefix` made. Raises ValueError for any other text."""
    root, *names = prefix.split("/")
    if root != "models" or len(names) != 3 or not _VERSION.fullmatch(names[2]):
        raise ValueError(f"{prefix[:300]!r} is not the prefix of a model's version")
    key = ModelKey(names[0], names[1], int(names[2][1:]))
    model_prefix(*key)
    return key


def signature_key(namespace: str, model: str, version: int) -> str:
    """Return the key of the signature over one version.

    It is outside of the version's prefix, because only files that the manifest lists may be there. Raises ValueError
    for an invalid name or number.
    """
    above, _, number = model_prefix(namespace, model, version).rpartition("/")
    return f"{above}/{SIGNATURES}/{number}.sig"


def number_prefix(namespace: str, model: str, folder: str = NUMBERS) -> str:
    """Return the prefix of the claims (NUMBERS or PASSED) of a model's version numbers.

    Raises ValueError for an invalid name.
    """
    return f"{_model(namespace, model)}/{folder}"


def number_name(number: int) -> str:
    """Return the file name of a claim. Raises ValueError for an invalid version number."""
    if not 1 <= number <= MAX_NUMBER:
        raise ValueError(f"{number} cannot be the number of a version")
    return f"{number:09d}.json"


def parse_number_name(name: str) -> int | None:
    """Parse a name that `number_name` made; None for any other name."""
    return int(name[:9]) if name.isascii() and _NUMBER.fullmatch(name) and int(name[:9]) else None


def claimant_key(namespace: str, model: str, sha256: str, attempt: int) -> str:
    """Return the key of a claimant's attempt (from 0) to claim a number. Raises ValueError for an invalid attempt."""
    if not _SHA256.fullmatch(sha256) or not 0 <= attempt < 1000:
        raise ValueError(f"{attempt} of {sha256[:100]!r} cannot be an attempt of a claimant")
    return f"{_model(namespace, model)}/{CLAIMANTS}/{sha256}/{attempt:03d}.json"


def audit_prefix(namespace: str) -> str:
    """Return the prefix of a namespace's audit trail. Raises ValueError for an invalid namespace."""
    if not _NAME.fullmatch(namespace) or ".." in namespace:
        raise ValueError(f"{namespace[:300]!r} cannot be a namespace")
    return f"audit/{namespace}"


def audit_name(sequence: int) -> str:
    """Return the file name of an audit record. Raises ValueError if the number does not fit into 12 digits."""
    if not 0 <= sequence < 10**12:
        raise ValueError(f"{sequence} cannot be the number of an audit record")
    return f"{sequence:012d}.json"


def parse_audit_name(name: str) -> int | None:
    """Parse a name that `audit_name` made; None for any other name."""
    return int(name[:12]) if name.isascii() and _AUDIT_RECORD.fullmatch(name) and int(name[:12]) else None


def is_artifact(path: str) -> bool:
    """Return whether a path, relative to a run's prefix, is an artifact of one of its pods."""
    parts = path.split("/", 3)
    return len(parts) == 4 and parts[0] == PODS and parts[2] == ARTIFACTS


def expiring_prefix(namespace: str) -> str:
    """Return the prefix that lists a namespace's archived runs whose artifacts expire.

    Raises ValueError for an invalid namespace.
    """
    if not _NAME.fullmatch(namespace) or ".." in namespace:
        raise ValueError(f"{namespace[:300]!r} cannot be a namespace")
    return f"{EXPIRING}/{namespace}"


def readers(namespace: str) -> str:
    """Return the key of the note that a namespace has no records of an earlier one of its name.

    Raises ValueError for an invalid namespace.
    """
    if not _NAME.fullmatch(namespace) or ".." in namespace:
        raise ValueError(f"{namespace[:300]!r} cannot be a namespace")
    return f"{READERS}/{namespace}.json"


def expiring_name(due: str, uid: str) -> str:
    """Return the file name of an archived run below `expiring_prefix`.

    `due` is RFC 3339 in UTC to the second, so names sort by time. Raises ValueError for an invalid time or UID.
    """
    if not _TIME.fullmatch(due) or not _NAME.fullmatch(uid):
        raise ValueError(f"{due[:100]!r} and {uid[:300]!r} cannot be a time and a UID")
    return f"{due.replace('-', '').replace(':', '')}-{uid}.json"


def part_path(number: int) -> str:
    """Return the path of the metrics part with this number (from 1), relative to the pod's prefix."""
    return f"{METRICS}/part-{number:05d}.jsonl.gz"


def artifact_path(relative: str) -> str:
    """Return the path of an artifact, relative to the pod's prefix. Raises ValueError for an invalid path."""
    check_path(relative)
    return f"{ARTIFACTS}/{relative}"


def check_path(path: str) -> None:
    """Raise ValueError with the reason unless `path` is a plain relative path that a store accepts."""
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError("not a plain relative path")
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise ValueError("the name has control characters")
    encode(path)


def encode(path: str) -> bytes:
    """Return the UTF-8 bytes of a key. Raises ValueError if the name is not UTF-8."""
    try:
        return path.encode()
    except UnicodeEncodeError:
        raise ValueError("the name is not UTF-8") from None


def key(prefix: str, path: str) -> str:
    """Return the full key of a path below a prefix. Raises ValueError if a store does not accept it."""
    check_path(path)
    full = f"{prefix}/{path}"
    size = len(encode(full))
    if size > MAX_KEY_BYTES:
        raise ValueError(f"the key would have {size} bytes, and a store holds {MAX_KEY_BYTES}")
    return full
