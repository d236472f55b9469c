"""Event handlers: update the caches from watches and listings, and enqueue the affected objects."""

from collections.abc import Callable

from assay.api import names
from assay.api.objects import Raw
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.model_cache import (
    WORKLOADS,
    KnownNamespace,
    alias_place,
    asks_for,
    carries,
    key_of,
    version_place,
)
from assay.controllers.runtime.parts import WakeParts
from assay.controllers.runtime.queue import Key
from assay.controllers.runtime.tracking_cache import place, run_key

DELETED_RUN, DELETED_VERSION, DELETED_POLICY = "DeletedRun", "DeletedVersion", "DeletedPolicy"
#: The annotations of a namespace that affect its aliases.
_TELLING = (names.ANNOTATION_OPEN,)


class EventHandlers:
    """Turns objects from watches and listings into keys of the work queue."""

    def __init__(self, context: WakeParts, read_logs: Callable[[Raw], None] = lambda _: None) -> None:
        self._context = context
        self._read_logs = read_logs
        self._add = context.queue.add
        self._saw = {
            names.EXPERIMENT: self._ingest_experiment,
            names.RUN: self._ingest_run,
            "Job": self._ingest_job,
            "Pod": self._ingest_pod,
            names.MODEL_VERSION: self._ingest_version,
            names.MODEL_ALIAS: self._ingest_alias,
            names.PROMOTION_POLICY: self._ingest_policy,
            **dict.fromkeys(WORKLOADS, self._ingest_workload),
        }
        self._lost = {
            names.EXPERIMENT: context.tracking.forget_experiment,
            names.RUN: self._forget_run,
            "Job": self._forget_job,
            "Pod": self._forget_pod,
            names.MODEL_VERSION: self._forget_version,
            names.MODEL_ALIAS: self._forget_alias,
            names.PROMOTION_POLICY: self._forget_policy,
            **dict.fromkeys(WORKLOADS, self._forget_workload),
        }

    def everything(self) -> None:
        """Enqueue every object that may need a reconcile. Call it after the caches are filled."""
        tracking, registry = self._context.tracking, self._context.models
        for experiment in tracking.experiments.values():
            self._add(Key(names.EXPERIMENT, *place(experiment)))
        for run in tracking.active_runs.values():
            self._add(Key(names.RUN, *place(run)))
        for kind in (names.PROMOTION_POLICY, names.MODEL_VERSION, names.MODEL_ALIAS, *WORKLOADS):
            for body in registry.known(kind).values():
                self._add(key_of(body))

    def ingest(self, body: Raw) -> None:
        """Upsert an object that was created or changed."""
        self._saw[body["kind"]](body)

    def forget(self, body: Raw) -> None:
        """Remove a deleted object."""
        self._lost[body["kind"]](body)

    # Tracking

    def _ingest_experiment(self, body: Raw) -> None:
        tracking = self._context.tracking
        before = tracking.experiments_by_uid.get(body["metadata"]["uid"])
        if not tracking.upsert_experiment(body):
            return
        if before is not None and before["spec"].get("suspend") != body["spec"].get("suspend"):
            for run in tracking.active_runs.values():
                if tracking.experiment_uid(run) == body["metadata"]["uid"]:
                    self._add(Key(names.RUN, *place(run)))
        self._add(Key(names.EXPERIMENT, *place(body)))

    def _ingest_run(self, body: Raw) -> None:
        before = self._context.tracking.active_runs.get(place(body))
        if self._context.tracking.upsert_run(body):
            if before is not None and before["metadata"]["uid"] != body["metadata"]["uid"]:
                self._forget_run(before)
            self._enqueue_experiment(body)
            if place(body) in self._context.tracking.active_runs:
                self._add(Key(names.RUN, *place(body)))

    def _forget_run(self, body: Raw) -> None:
        tracking = self._context.tracking
        experiment = tracking.experiment_uid(body)
        tracking.forget_run(body)
        tracking.forget_experiment_runs(experiment)
        self._enqueue(tracking.experiments_by_uid.get(experiment))
        if body["metadata"]["uid"] in tracking.deleted_runs:
            self._add(Key(DELETED_RUN, *place(body), body["metadata"]["uid"]))

    def _enqueue_experiment(self, run: Raw) -> None:
        self._enqueue(self._context.tracking.experiment_of(run))

    def _enqueue(self, experiment: Raw | None) -> None:
        if experiment is not None:
            self._add(Key(names.EXPERIMENT, *place(experiment)), delay=self._context.debounce)

    def _ingest_job(self, body: Raw) -> None:
        if self._context.tracking.upsert_job(body):
            self._add(run_key(body))

    def _forget_job(self, body: Raw) -> None:
        self._context.tracking.forget_job(body)
        self._add(run_key(body))

    def _ingest_pod(self, body: Raw) -> None:
        if self._context.tracking.upsert_pod(body):
            self._add(run_key(body))
        self._read_logs(body)

    def _forget_pod(self, body: Raw) -> None:
        self._context.tracking.forget_pod(body)
        self._add(run_key(body))
        self._read_logs(body)

    # The registry

    def _ingest_version(self, body: Raw) -> None:
        registry, namespace = self._context.models, body["metadata"]["namespace"]
        before = registry.get(key_of(body))
        if not registry.upsert(body):
            return
        self._add(key_of(body))
        replaced = self._replaced(before, body)
        if replaced is not None:
            self._record_deletion(DELETED_VERSION, replaced)
        is_new = before is None or replaced is not None
        if is_new:
            self._enqueue_aliases(namespace, body["spec"]["model"], body["spec"]["version"])
        experiment = (body["spec"].get("run") or {}).get("experiment")
        if is_new and experiment:
            self._add(Key(names.EXPERIMENT, namespace, experiment))

    def _forget_version(self, body: Raw) -> None:
        registry = self._context.models
        known = registry.known(names.MODEL_VERSION).get(body["metadata"]["uid"])
        registry.forget(body)
        if known is not None:
            self._record_deletion(DELETED_VERSION, known)
            self._enqueue_aliases(body["metadata"]["namespace"], known["spec"]["model"])

    def _replaced(self, before: Raw | None, body: Raw) -> Raw | None:
        """Return the object whose name a new one took before its deletion was seen, and forget it; None without one."""
        if before is None or before["metadata"]["uid"] == body["metadata"]["uid"]:
            return None
        self._context.models.forget(before)
        return before

    def _record_deletion(self, kind: str, body: Raw) -> None:
        uid = body["metadata"]["uid"]
        self._context.models.deleted[uid] = body
        self._add(Key(kind, *place(body), uid))

    def _ingest_alias(self, body: Raw) -> None:
        registry = self._context.models
        before = registry.aliases.get(place(body))
        if not registry.upsert(body):
            return
        self._add(key_of(body))
        replaced = self._replaced(before, body)
        if replaced is not None:
            registry.remember(replaced, now())
        moved = _bound(before) != _bound(body)
        if moved or before is None:
            self._enqueue_blocked(before, body)
            self._enqueue_followers(body)
            self._enqueue_soaking(body)

    def _forget_alias(self, body: Raw) -> None:
        registry = self._context.models
        known = registry.known(names.MODEL_ALIAS).get(body["metadata"]["uid"])
        registry.forget(body)
        if known is not None:
            registry.remember(known, now())
            self._enqueue_blocked(known)
            self._enqueue_followers(known)

    def _enqueue_blocked(self, *aliases: Raw | None) -> None:
        """Enqueue the versions that an alias points to or pointed to."""
        for alias in aliases:
            if alias is None:
                continue
            history = (alias.get("status") or {}).get("history") or []
            for version in {_bound(alias), *(binding["version"] for binding in history)} - {None}:
                where = version_place(alias["metadata"]["namespace"], alias["spec"]["model"], version)
                self._add(Key(names.MODEL_VERSION, *where))

    def _enqueue_followers(self, alias: Raw) -> None:
        spec = alias["spec"]
        for body in self._context.models.followers(alias["metadata"]["namespace"], spec["model"], spec["alias"]):
            self._add(key_of(body))

    def _enqueue_soaking(self, alias: Raw) -> None:
        """Enqueue the model's other aliases: a policy may require that a version has held this alias for some time."""
        for body in self._context.models.aliases_of(alias["metadata"]["namespace"], alias["spec"]["model"]):
            if body["metadata"]["name"] != alias["metadata"]["name"]:
                self._add(key_of(body))

    def _enqueue_aliases(self, namespace: str, model: str = "", wanted: int | None = None) -> None:
        """Enqueue all aliases, the aliases of a model, or those that request one version of it."""
        for body in self._context.models.aliases_of(namespace, model):
            if wanted in (None, body["spec"]["version"]):
                self._add(key_of(body))

    def _ingest_policy(self, body: Raw) -> None:
        before = self._context.models.get(key_of(body))
        if self._context.models.upsert(body):
            self._add(key_of(body))
            replaced = self._replaced(before, body)
            if replaced is not None:
                self._record_deletion(DELETED_POLICY, replaced)
            if before is None or before["spec"] != body["spec"]:
                self._enqueue_aliases(body["metadata"]["namespace"])

    def _forget_policy(self, body: Raw) -> None:
        registry = self._context.models
        known = registry.known(names.PROMOTION_POLICY).get(body["metadata"]["uid"])
        registry.forget(body)
        if known is not None:
            self._record_deletion(DELETED_POLICY, known)
        self._enqueue_aliases(body["metadata"]["namespace"])

    def _ingest_workload(self, body: Raw) -> None:
        registry = self._context.models
        before = registry.get(key_of(body))
        if not registry.upsert(body):
            return
        self._add(key_of(body))
        if before is not None and carries(before) != carries(body):
            self._enqueue_carried(before)
        for asked in {asks_for(each) for each in (before, body) if each is not None}:
            if before is None or asks_for(before) != asks_for(body):
                self._enqueue_alias(body, asked)

    def _forget_workload(self, body: Raw) -> None:
        known = self._context.models.get(key_of(body))
        self._context.models.forget(body)
        self._add(key_of(body))
        if known is not None:
            self._enqueue_carried(known)
            self._enqueue_alias(known, asks_for(known))

    def _enqueue_carried(self, before: Raw) -> None:
        """Enqueue the version that a workload carried: it may be unused now."""
        carried = carries(before)
        if carried is not None:
            self._add(Key(names.MODEL_VERSION, *version_place(before["metadata"]["namespace"], *carried)))

    def _enqueue_alias(self, workload: Raw, asked: tuple[str, str] | None) -> None:
        if asked is not None:
            self._add(Key(names.MODEL_ALIAS, *alias_place(workload["metadata"]["namespace"], *asked)))

    def ingest_namespace(self, body: Raw) -> None:
        """Update what is known of a namespace, and enqueue its aliases if its annotations changed."""
        namespaces, metadata = self._context.models.namespaces, body["metadata"]
        name, annotations = metadata["name"], metadata.get("annotations") or {}
        found = KnownNamespace(metadata["uid"], {key: annotations[key] for key in _TELLING if key in annotations})
        before = namespaces.get(name, KnownNamespace())
        namespaces[name] = found
        if before.annotations != found.annotations:
            self._enqueue_aliases(name)

    def forget_namespace(self, name: str) -> None:
        """Remove a deleted namespace. Its aliases were deleted before it."""
        self._context.models.namespaces.pop(name, None)


def _bound(alias: Raw | None) -> int | None:
    return ((alias or {}).get("status") or {}).get("boundVersion")
