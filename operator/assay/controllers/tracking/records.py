"""Close a run's record: verify what its pods left in the store, and write a manifest of the whole run.

These functions block; call them through ``AsyncStore.run``. Closing a record again gives the same record.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from assay.api import names
from assay.api.objects import Raw
from assay.api.run_status import RunStatus
from assay.controllers.runtime.tracking_cache import place
from assay.controllers.tracking import captured
from assay.controllers.tracking.captured import Captured
from assay.controllers.tracking.refused import Refused
from assay.planning.conditions import parse_time
from assay.store import layout, printed, sealing
from assay.store.client import ObjectStore
from assay.store.clock import now
from assay.store.errors import NotFound, RecordError
from assay.store.layout import LogName, prefix_of
from assay.store.limits import MAX_FILES, MAX_PODS
from assay.store.logs import LogFiles, log_files
from assay.store.records import DatasetRecord, FileEntry, MissingEntry, PodManifest, PodRecord, RunManifest, Summary
from assay.store.verify import model_digest, read_datasets, read_summary, verify_pod

Outcome = Literal["Succeeded", "Failed", "Deleted"]

#: run.json, params.json and status.json.
_OWN_FILES = 3


@dataclass(frozen=True)
class Closed:
    """The record of an ended run. ``problem`` is (reason, message) if the record is incomplete, else None."""

    outcome: Outcome
    problem: tuple[str, str] | None
    manifest_digest: str
    files: int
    bytes: int
    #: The pod whose artifacts and metrics count; "" if no pod left anything.
    pod: str
    summary: Summary | None
    model_digest: str = ""
    model_size: int = 0
    datasets: tuple[DatasetRecord, ...] = ()
    #: Missing parts of the logs, as far as known.
    missing: tuple[MissingEntry, ...] = ()
    captured: Captured = field(default_factory=Captured)
    #: The other pods that recorded points, with their number, oldest first.
    elsewhere: tuple[tuple[str, int], ...] = ()


@dataclass
class _Pods:
    """The pods' valid manifests by name, and the problems of pods without one."""

    whole: dict[str, PodManifest] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return sorted(self.whole.keys() | self.broken.keys())


class NoPrefix(Refused):
    """A run whose labels or name do not form a valid prefix in the store."""

    reason = names.INVALID_LABEL


def check_prefix(run: Raw) -> None:
    """Raise NoPrefix unless the record of a Run has a valid prefix in the store."""
    try:
        prefix_of(run)
    except ValueError as error:
        where = f"metadata.labels[{names.LABEL_EXPERIMENT}], metadata.name"
        raise NoPrefix(f"{where}: {error}; lower-case letters, digits, dashes and single dots can") from None


def open_record(store: ObjectStore, run: Raw) -> None:
    """Write the run's recipe and parameters before its first pod can start."""
    prefix = prefix_of(run)
    metadata = {key: value for key, value in run["metadata"].items() if key != "managedFields"}
    recipe = {**run, "metadata": metadata}
    recipe.pop("status", None)
    store.put_bytes(f"{prefix}/{layout.RUN}", _json(recipe), "application/json")
    parameters = run["spec"].get("parameters") or {}
    store.put_bytes(f"{prefix}/{layout.PARAMS}", _json(parameters), "application/json")


def close_record(
    store: ObjectStore,
    run: Raw,
    outcome: Outcome,
    reason: str,
    succeeded: Sequence[str],
    last: str,
    final: Callable[[Closed], RunStatus] | None = None,
    logs_read: Collection[LogName] | None = None,
    died: Mapping[str, str] | None = None,
) -> Closed:
    """Verify the record of a run whose Job has ended, and write its manifest.

    ``succeeded`` contains the succeeded pods in order of completion index; ``last`` is the newest pod. ``final``
    returns the run's final status. The record contains that status, so the status cannot contain the manifest's
    digest. ``logs_read`` contains the logs that were read to their end; None if unknown. ``died`` says how recorders
    ended, by pod, to explain an incomplete record. If the Job succeeded but the record is incomplete, the outcome is
    Failed. Raises StoreError.
    """
    prefix = prefix_of(run)
    # From here on, read only what the run's credentials cannot write.
    sealing.seal(store, prefix)
    pods = _read_pods(store, prefix, {*succeeded, *([last] if last else [])})
    # If no pod was seen to succeed (it may be gone already), the newest pod must have left its record.
    problem = _problem(pods, succeeded or [name for name in [last] if name], died or {})
    counts = _pod_that_counts(pods, succeeded, last)
    digest, size, missing = _model(run, pods.whole.get(counts)) if outcome == "Succeeded" else ("", 0, None)
    if outcome == "Succeeded":
        problem = problem or missing
        if problem:
            outcome, reason = "Failed", problem[0]
    summary = pods.whole[counts].summary if counts in pods.whole else _summary(store, prefix, counts)
    summary = _with_printed(store, run, counts, summary)
    datasets = _datasets(store, run, counts, pods.whole.get(counts))
    logs = _logs(store, run, pods, logs_read)
    seen = captured.read(store, prefix, counts, pods.whole.get(counts))
    closed = Closed(outcome, problem, "", 0, 0, counts, summary, digest, size, datasets, tuple(logs.missing), seen)
    closed = replace(closed, elsewhere=_elsewhere(store, prefix, pods, counts))
    if final is not None:
        store.put_bytes(f"{prefix}/{layout.STATUS}", _recorded_status(final(closed)), "application/json")
    manifest = _manifest(store, run, outcome, reason, pods, logs, seen)
    data = manifest.to_json()
    store.put_bytes(f"{prefix}/{layout.MANIFEST}", data, "application/json")
    return replace(
        closed,
        manifest_digest="sha256:" + hashlib.sha256(data).hexdigest(),
        files=len(manifest.files),
        bytes=sum(entry.size for entry in manifest.files),
    )


def _recorded_status(status: RunStatus) -> bytes:
    """Return the content of status.json: the final status of a run without its credentials."""
    return _json(status.model_copy(update={"credentials": None}).to_dict())


def _datasets(store: ObjectStore, run: Raw, pod: str, manifest: PodManifest | None) -> tuple[DatasetRecord, ...]:
    """Return the data sets that a pod has read. Unreadable or contradictory entries are left out."""
    if manifest is None or not run["spec"].get("datasets"):
        return ()
    declared = {each["name"]: each.get("digest") for each in run["spec"]["datasets"]}
    try:
        found = read_datasets(store, layout.pod_prefix(prefix_of(run), pod), manifest)
    except RecordError:
        return ()
    agreed = {each.name: each for each in found if declared.get(each.name, "unknown") in (None, each.digest)}
    return tuple(agreed[name] for name in declared if name in agreed)


def _logs(store: ObjectStore, run: Raw, pods: _Pods, logs_read: Collection[LogName] | None) -> LogFiles:
    """Return the log files of a run's pods, as far as the manifest has room for them."""
    attempts = (run.get("status") or {}).get("attempts") or []
    begun = [attempt["pod"] for attempt in attempts if attempt.get("startTime")]
    room = MAX_FILES - _OWN_FILES - sum(len(manifest.files) + 1 for manifest in pods.whole.values())
    return log_files(store, prefix_of(run), begun, logs_read, room)


def live_summary(store: ObjectStore, run: Raw, pod: str) -> Summary | None:
    """Return the last summary of a pod's recorder; None if there is none or it cannot be read."""
    if not pod:
        return None
    try:
        found = read_summary(store, layout.intake_prefix(prefix_of(run), pod))
    except RecordError:
        found = None
    return _with_printed(store, run, pod, found)


def _with_printed(store: ObjectStore, run: Raw, pod: str, summary: Summary | None) -> Summary | None:
    """Return a summary with the metrics that the pod printed, if the run collects them."""
    if not pod or not (run["spec"].get("collect") or {}).get("stdout"):
        return summary
    try:
        return printed.summary(store, prefix_of(run), pod, summary)
    except RecordError:
        return summary


def said_at(summary: Summary | None) -> datetime | None:
    """Return when a recorder wrote a summary, by the recorder's clock; None if unknown."""
    try:
        said = parse_time(summary.updated) if summary else None
    except ValueError:
        return None
    return said if said and said.tzinfo else None


def _summary(store: ObjectStore, prefix: str, pod: str) -> Summary | None:
    if not pod:
        return None
    try:
        return read_summary(store, layout.pod_prefix(prefix, pod))
    except RecordError:
        return None


def _elsewhere(store: ObjectStore, prefix: str, pods: _Pods, counts: str) -> tuple[tuple[str, int], ...]:
    """Return the other pods that recorded points: attempts before the one that counts, or workers beside it."""
    found = []
    for name in pods.names:
        if name != counts:
            summary = pods.whole[name].summary if name in pods.whole else _summary(store, prefix, name)
            if summary is not None and summary.points:
                found.append((summary.updated, name, summary.points))
    return tuple((name, points) for _, name, points in sorted(found))


def _read_pods(store: ObjectStore, prefix: str, expected: set[str]) -> _Pods:
    """Verify the manifest of every pod that left something in the store or should have."""
    start = layout.pods_prefix(prefix) + "/"
    found = {info.key.removeprefix(start).split("/", 1)[0] for info in store.list(start)} - expected
    others = sorted(filter(layout.is_pod_name, found))[: max(0, MAX_PODS - len(expected))]
    pods = _Pods()
    files = 0
    # The expected pods come first: files of other pods must not take their room.
    for name in [*sorted(expected), *others]:
        try:
            manifest = verify_pod(store, layout.pod_prefix(prefix, name))
        except RecordError as error:
            pods.broken[name] = str(error)
            continue
        files += len(manifest.files) + 1
        if files > MAX_FILES - _OWN_FILES:
            files -= len(manifest.files) + 1
            pods.broken[name] = f"the run would have more than {MAX_FILES} files"
        else:
            pods.whole[name] = manifest
    return pods


def _problem(pods: _Pods, counting: Sequence[str], died: Mapping[str, str]) -> tuple[str, str] | None:
    """Return why the record of the pods that count is incomplete; None if it is complete."""
    if not counting and not pods.whole:
        return names.MANIFEST_MISSING, "no pod has left a complete record in the store"
    for name in counting:
        if name in pods.broken:
            why = died.get(name) or pods.broken[name]
            return names.MANIFEST_MISSING, f"the record of pod {name} is not complete: {why}"
        lost = pods.whole[name].missing
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            return names.FILES_MISSING, f"pod {name}: {lost[0].path} was not recorded: {lost[0].reason}{more}"
    return None


def _pod_that_counts(pods: _Pods, succeeded: Sequence[str], last: str) -> str:
    """Return the first succeeded pod, else the newest pod, else the pod with the newest record."""
    for name in (*succeeded[:1], last):
        if name:
            return name
    newest = sorted(pods.whole.values(), key=lambda manifest: manifest.finished)
    return newest[-1].pod if newest else next(iter(pods.names), "")


def _model(run: Raw, manifest: PodManifest | None) -> tuple[str, int, tuple[str, str] | None]:
    """Return digest and size of the run's model, or the reason why there is none."""
    path = (run["spec"].get("model") or {}).get("path")
    if not path or manifest is None:
        return "", 0, None
    where = f"{layout.ARTIFACTS}/{path}"
    try:
        digest = model_digest(manifest.files, where)
    except NotFound:
        return (
            "",
            0,
            (
                names.FILES_MISSING,
                f"the run left no model at /assay/artifacts/{path}, which spec.model.path names",
            ),
        )
    size = sum(e.size for e in manifest.files if e.path == where or e.path.startswith(where + "/"))
    return digest, size, None


def _manifest(
    store: ObjectStore, run: Raw, outcome: Outcome, reason: str, pods: _Pods, logs: LogFiles, seen: Captured
) -> RunManifest:
    prefix = prefix_of(run)
    files: list[FileEntry] = []
    for own in (layout.RUN, layout.PARAMS, layout.STATUS):
        try:
            size, sha256 = store.digest(f"{prefix}/{own}")
        except NotFound:
            continue
        files.append(FileEntry(path=own, size=size, sha256=sha256))
    records = [PodRecord(name=name, complete=False) for name in pods.broken]
    for name, manifest in pods.whole.items():
        base = f"{layout.PODS}/{name}"
        size, sha256 = store.digest(f"{prefix}/{base}/{layout.MANIFEST}")
        files.append(FileEntry(path=f"{base}/{layout.MANIFEST}", size=size, sha256=sha256))
        files += [FileEntry(path=f"{base}/{e.path}", size=e.size, sha256=e.sha256) for e in manifest.files]
        records.append(PodRecord(name=name, complete=True, manifest_sha256=sha256))
    files += logs.files
    files += seen.files[: max(0, MAX_FILES - len(files))]
    namespace, name = place(run)
    return RunManifest(
        namespace=namespace,
        name=name,
        uid=run["metadata"]["uid"],
        experiment=(run["metadata"].get("labels") or {}).get(names.LABEL_EXPERIMENT, ""),
        outcome=outcome,
        reason=reason[:500],
        pods=sorted(records, key=lambda record: record.name),
        files=files,
        missing=logs.missing,
        written=now(),
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()
