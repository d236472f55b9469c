"""What is seen is taken into the cache, and what that concerns is put into the queue. Nothing is done here."""

from collections.abc import Callable

from assay.api import names
from assay.api.objects import Raw
from assay.controllers.runtime.context import Context, now
from assay.controllers.runtime.model_cache import WORKLOADS, alias_place, asks_for, carries, key_of, version_place
from assay.controllers.runtime.queue import Key
from assay.controllers.runtime.tracking_cache import experiment_uid, place, run_key

DELETED_RUN, DELETED_VERSION, DELETED_POLICY = "DeletedRun", "DeletedVersion", "DeletedPolicy"
#: What of a namespace decides about its aliases.
_TELLING = (names.ANNOTATION_OPEN,)


class Wakes:
    """Turns what watches and listings show into keys of the work queue."""

    def __init__(self, context: Context, read_logs: Callable[[Raw], None] = lambda _: None) -> None:
        self._context = context
        self._read_logs = read_logs
        self._add = context.queue.add
        self._saw = {
            names.EXPERIMENT: self._saw_experiment,
            names.RUN: self._saw_run,
            "Job": self._saw_job,
            "Pod": self._saw_pod,
            names.MODEL_VERSION: self._saw_version,
            names.MODEL_ALIAS: self._saw_alias,
            names.PROMOTION_POLICY: self._saw_policy,
            **dict.fromkeys(WORKLOADS, self._saw_workload),
        }
        self._lost = {
            names.EXPERIMENT: context.world.lose_experiment,
            names.RUN: self._lost_run,
            "Job": self._lost_job,
            "Pod": self._lost_pod,
            names.MODEL_VERSION: self._lost_version,
            names.MODEL_ALIAS: self._lost_alias,
            names.PROMOTION_POLICY: self._lost_policy,
            **dict.fromkeys(WORKLOADS, self._lost_workload),
        }

    def everything(self) -> None:
        """Queue all that may have something to do, once everything is known."""
        world, registry = self._context.world, self._context.registry
        for experiment in world.experiments.values():
            self._add(Key(names.EXPERIMENT, *place(experiment)))
        for run in world.active_runs.values():
            self._add(Key(names.RUN, *place(run)))
        for kind in (names.PROMOTION_POLICY, names.MODEL_VERSION, names.MODEL_ALIAS, *WORKLOADS):
            for body in registry.known(kind).values():
                self._add(key_of(body))

    def saw(self, body: Raw) -> None:
        """Take in an object that exists or has changed."""
        self._saw[body["kind"]](body)

    def lost(self, body: Raw) -> None:
        """Take in that an object was deleted."""
        self._lost[body["kind"]](body)

    # Tracking

    def _saw_experiment(self, body: Raw) -> None:
        world = self._context.world
        before = world.experiments_by_uid.get(body["metadata"]["uid"])
        if not world.see_experiment(body):
            return
        if before is not None and before["spec"].get("suspend") != body["spec"].get("suspend"):
            for run in world.active_runs.values():
                if experiment_uid(run) == body["metadata"]["uid"]:
                    self._add(Key(names.RUN, *place(run)))
        self._add(Key(names.EXPERIMENT, *place(body)))

    def _saw_run(self, body: Raw) -> None:
        if self._context.world.see_run(body):
            self._wake_experiment(body)
            if place(body) in self._context.world.active_runs:
                self._add(Key(names.RUN, *place(body)))

    def _lost_run(self, body: Raw) -> None:
        world = self._context.world
        world.lose_run(body)
        world.forget_experiment_runs(experiment_uid(body))
        self._wake_experiment(body)
        if body["metadata"]["uid"] in world.deleted_runs:
            self._add(Key(DELETED_RUN, *place(body), body["metadata"]["uid"]))

    def _wake_experiment(self, run: Raw) -> None:
        experiment = self._context.world.experiments_by_uid.get(experiment_uid(run))
        if experiment is not None:
            self._add(Key(names.EXPERIMENT, *place(experiment)), delay=self._context.settle)

    def _saw_job(self, body: Raw) -> None:
        if self._context.world.see_job(body):
            self._add(run_key(body))

    def _lost_job(self, body: Raw) -> None:
        self._context.world.lose_job(body)
        self._add(run_key(body))

    def _saw_pod(self, body: Raw) -> None:
        if self._context.world.see_pod(body):
            self._add(run_key(body))
        self._read_logs(body)

    def _lost_pod(self, body: Raw) -> None:
        self._context.world.lose_pod(body)
        self._add(run_key(body))
        self._read_logs(body)

    # The registry

    def _saw_version(self, body: Raw) -> None:
        registry, namespace = self._context.registry, body["metadata"]["namespace"]
        is_new = registry.get(key_of(body)) is None
        if not registry.see(body):
            return
        self._add(key_of(body))
        if is_new:
            self._wake_aliases(namespace, body["spec"]["model"], body["spec"]["version"])
        experiment = (body["spec"].get("run") or {}).get("experiment")
        if is_new and experiment:
            self._add(Key(names.EXPERIMENT, namespace, experiment))

    def _lost_version(self, body: Raw) -> None:
        registry = self._context.registry
        known = registry.known(names.MODEL_VERSION).get(body["metadata"]["uid"])
        registry.lose(body)
        if known is not None:
            registry.deleted[body["metadata"]["uid"]] = known
            self._add(Key(DELETED_VERSION, *place(body), body["metadata"]["uid"]))
            self._wake_aliases(body["metadata"]["namespace"], known["spec"]["model"])

    def _saw_alias(self, body: Raw) -> None:
        registry = self._context.registry
        before = registry.aliases.get(place(body))
        if not registry.see(body):
            return
        self._add(key_of(body))
        moved = _bound(before) != _bound(body)
        if moved or before is None:
            self._wake_held(before, body)
            self._wake_followers(body)
            self._wake_those_that_soak(body)

    def _lost_alias(self, body: Raw) -> None:
        registry = self._context.registry
        known = registry.aliases.get(place(body))
        registry.lose(body)
        if known is not None:
            registry.remember(known, now())
            self._wake_held(known)
            self._wake_followers(known)

    def _wake_held(self, *aliases: Raw | None) -> None:
        """Wake the versions that an alias points to or pointed to."""
        for alias in aliases:
            version = _bound(alias)
            if alias is not None and version is not None:
                where = version_place(alias["metadata"]["namespace"], alias["spec"]["model"], version)
                self._add(Key(names.MODEL_VERSION, *where))

    def _wake_followers(self, alias: Raw) -> None:
        spec = alias["spec"]
        for body in self._context.registry.followers(alias["metadata"]["namespace"], spec["model"], spec["alias"]):
            self._add(key_of(body))

    def _wake_those_that_soak(self, alias: Raw) -> None:
        """Wake the model's other aliases: a policy may ask that a version has held this one for a time."""
        for body in self._context.registry.aliases_of(alias["metadata"]["namespace"], alias["spec"]["model"]):
            if body["metadata"]["name"] != alias["metadata"]["name"]:
                self._add(key_of(body))

    def _wake_aliases(self, namespace: str, model: str = "", wanted: int | None = None) -> None:
        """Wake all aliases, those of a model, or those that want one version of it."""
        for body in self._context.registry.aliases_of(namespace, model):
            if wanted in (None, body["spec"]["version"]):
                self._add(key_of(body))

    def _saw_policy(self, body: Raw) -> None:
        before = self._context.registry.get(key_of(body))
        if self._context.registry.see(body):
            self._add(key_of(body))
            if before is None or before["spec"] != body["spec"]:
                self._wake_aliases(body["metadata"]["namespace"])

    def _lost_policy(self, body: Raw) -> None:
        registry, uid = self._context.registry, body["metadata"]["uid"]
        known = registry.known(names.PROMOTION_POLICY).get(uid)
        registry.lose(body)
        if known is not None:
            registry.deleted[uid] = known
            self._add(Key(DELETED_POLICY, *place(body), uid))
        self._wake_aliases(body["metadata"]["namespace"])

    def _saw_workload(self, body: Raw) -> None:
        registry = self._context.registry
        before = registry.get(key_of(body))
        if not registry.see(body):
            return
        self._add(key_of(body))
        if before is not None and carries(before) != carries(body):
            self._wake_carried(before)
        for asked in {asks_for(each) for each in (before, body) if each is not None}:
            if before is None or asks_for(before) != asks_for(body):
                self._wake_alias(body, asked)

    def _lost_workload(self, body: Raw) -> None:
        known = self._context.registry.get(key_of(body))
        self._context.registry.lose(body)
        self._add(key_of(body))
        if known is not None:
            self._wake_carried(known)
            self._wake_alias(known, asks_for(known))

    def _wake_carried(self, before: Raw) -> None:
        """Wake the version that a workload carried: perhaps nobody needs it any more."""
        carried = carries(before)
        if carried is not None:
            self._add(Key(names.MODEL_VERSION, *version_place(before["metadata"]["namespace"], *carried)))

    def _wake_alias(self, workload: Raw, asked: tuple[str, str] | None) -> None:
        if asked is not None:
            self._add(Key(names.MODEL_ALIAS, *alias_place(workload["metadata"]["namespace"], *asked)))

    def saw_namespace(self, body: Raw) -> None:
        """A namespace's annotations say what its aliases need."""
        namespaces, name = self._context.registry.namespaces, body["metadata"]["name"]
        annotations = body["metadata"].get("annotations") or {}
        telling = {key: annotations[key] for key in _TELLING if key in annotations}
        if namespaces.get(name, {}) != telling:
            namespaces[name] = telling
            self._wake_aliases(name)


def _bound(alias: Raw | None) -> int | None:
    return ((alias or {}).get("status") or {}).get("boundVersion")
