"""Wires kopf to the work queue: what changes is taken into the cache, and its key put into the queue."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import kopf
from prometheus_client import start_http_server

from assay.api import names
from assay.api.run import TERMINAL, CredentialsStatus
from assay.controllers import experiments, inventory, metrics, runs
from assay.controllers.context import Context, now
from assay.controllers.credentials import stale
from assay.controllers.events import Events
from assay.controllers.kube import EXPERIMENTS, JOBS, PODS, RUNS, ApiError, Kube, Resource
from assay.controllers.queue import Key, WorkQueue
from assay.controllers.settings import Settings
from assay.controllers.world import World, experiment_uid, place, run_key
from assay.store.aio import AsyncStore
from assay.store.client import ObjectStore

log = logging.getLogger(__name__)

Raw = dict[str, Any]
_DELETED_RUN = "DeletedRun"
_WORKERS = 50
_STOCK_SECONDS = 600.0


class Operator:
    """One operator process: its context, its handlers, its background tasks."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = kopf.OperatorRegistry()
        self._tasks: list[asyncio.Task[None]] = []
        self.context: Context
        self._register()

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Run until stopped."""
        await kopf.operator(
            registry=self.registry,
            settings=_kopf_settings(),
            standalone=True,
            clusterwide=not self.settings.namespaces,
            namespaces=self.settings.namespaces,
            stop_flag=stop,
        )

    # Wiring

    def _register(self) -> None:
        kopf.on.login(registry=self.registry)(_login)
        kopf.on.startup(registry=self.registry)(self._start)
        kopf.on.cleanup(registry=self.registry)(self._stop)
        selector = {names.LABEL_RUN_UID: kopf.PRESENT}
        self._watch((names.GROUP, names.VERSION, "experiments"), {}, self._saw_experiment, self._lost_experiment)
        self._watch((names.GROUP, names.VERSION, "runs"), {}, self._saw_run, self._lost_run)
        self._watch(("batch", "v1", "jobs"), selector, self._saw_job, self._lost_job)
        self._watch(("", "v1", "pods"), selector, self._saw_pod, self._lost_pod)

    def _watch(
        self,
        resource: tuple[str, str, str],
        labels: dict[str, Any],
        saw: Callable[[Raw], Any],
        lost: Callable[[Raw], Any],
    ) -> None:
        """Call ``saw`` for each object that exists or changes, ``lost`` for each that is deleted."""
        plural = resource[2]

        async def event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 — kopf's name
            raw = _plain(body)
            key = lost(raw) if type == "DELETED" else saw(raw)
            if key is not None:
                self.context.queue.add(key)

        kopf.on.event(*resource, id=f"queue-{plural}", registry=self.registry, labels=labels or None)(event)

    async def _start(self, **_: Any) -> None:
        settings = self.settings
        kube = Kube(settings.api_concurrency)
        await kube.connect()
        store = AsyncStore(ObjectStore(settings.store), settings.store_workers)
        queue = WorkQueue(self._reconcile, _WORKERS)
        self.context = Context(settings, kube, store, World(), queue, Events(kube))
        if settings.metrics_port:
            start_http_server(settings.metrics_port)
        # No reconcile may see half a world: a sweep whose runs are not yet known would look unlaunched.
        await inventory.fill(kube, self.context.world, settings.namespaces)
        for experiment in self.context.world.experiments.values():
            queue.add(Key(names.EXPERIMENT, *place(experiment)))
        for run in self.context.world.active_runs.values():
            queue.add(Key(names.RUN, *place(run)))
        queue.start()
        self._tasks = [
            asyncio.create_task(self._ensure_bucket(), name="bucket"),
            asyncio.create_task(self._observe(), name="observer"),
            asyncio.create_task(self._take_stock(), name="stock"),
        ]
        log.info("ready: store %s, bucket %s", settings.store.endpoint, settings.store.bucket)

    async def _stop(self, **_: Any) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.context.queue.stop()
        await self.context.kube.close()
        self.context.store.close()

    async def _reconcile(self, key: Key) -> None:
        match key.kind:
            case names.EXPERIMENT:
                await experiments.reconcile(self.context, key)
            case names.RUN:
                await runs.reconcile(self.context, key)
            case _:
                await runs.close_deleted(self.context, key)

    # What is seen

    def _saw_experiment(self, body: Raw) -> Key | None:
        world = self.context.world
        before = world.experiments_by_uid.get(body["metadata"]["uid"])
        if not world.see_experiment(body):
            return None
        if before is not None and before["spec"].get("suspend") != body["spec"].get("suspend"):
            for run in world.active_runs.values():
                if experiment_uid(run) == body["metadata"]["uid"]:
                    self.context.queue.add(Key(names.RUN, *place(run)))
        return Key(names.EXPERIMENT, *place(body))

    def _lost_experiment(self, body: Raw) -> None:
        self.context.world.lose_experiment(body)

    def _saw_run(self, body: Raw) -> Key | None:
        if not self.context.world.see_run(body):
            return None
        self._wake_experiment(body)
        return Key(names.RUN, *place(body)) if place(body) in self.context.world.active_runs else None

    def _lost_run(self, body: Raw) -> Key | None:
        self.context.world.lose_run(body)
        self.context.world.forget_experiment_runs(experiment_uid(body))
        self._wake_experiment(body)
        if body["metadata"]["uid"] in self.context.world.deleted_runs:
            return Key(_DELETED_RUN, *place(body), body["metadata"]["uid"])
        return None

    def _wake_experiment(self, run: Raw) -> None:
        experiment = self.context.world.experiments_by_uid.get(experiment_uid(run))
        if experiment is not None:
            self.context.queue.add(Key(names.EXPERIMENT, *place(experiment)), delay=self.context.settle)

    def _saw_job(self, body: Raw) -> Key | None:
        return run_key(body) if self.context.world.see_job(body) else None

    def _lost_job(self, body: Raw) -> Key:
        self.context.world.lose_job(body)
        return run_key(body)

    def _saw_pod(self, body: Raw) -> Key | None:
        return run_key(body) if self.context.world.see_pod(body) else None

    def _lost_pod(self, body: Raw) -> Key:
        self.context.world.lose_pod(body)
        return run_key(body)

    # In the background

    async def _ensure_bucket(self) -> None:
        """Create the bucket. The store may come up after the operator: until then every run waits for it anyway."""
        delay = 1.0
        while True:
            try:
                await self.context.store.run(self.context.store.blocking.ensure_bucket)
            except Exception as error:  # whatever it is, it is said, and tried again
                log.warning("the bucket cannot be ensured, again in %.0f s: %s", delay, error)
                await asyncio.sleep(delay)
                delay = min(60.0, delay * 2)
            else:
                return

    async def _observe(self) -> None:
        """Walk the runs that go on: read their live metrics, refresh their credentials. Finished runs cost nothing."""
        while True:
            await asyncio.sleep(self.settings.observe_seconds)
            world = self.context.world
            for run in list(world.active_runs.values()):
                status = run.get("status") or {}
                if status.get("phase") == "Running":
                    self.context.observe.add(run["metadata"]["uid"])
                    self.context.queue.add(Key(names.RUN, *place(run)))
                elif self._expiring(status):
                    self.context.queue.add(Key(names.RUN, *place(run)))
            phases = world.phases()
            for phase in ("Pending", "Running", "Suspended", *TERMINAL):
                metrics.RUNS.labels(phase).set(phases.count(phase))
            metrics.EXPERIMENTS.set(len(world.experiments))

    async def _take_stock(self) -> None:
        """Find what was deleted unseen, while a watch was broken."""
        lost: dict[Resource, Callable[[Raw], Key | None]] = {
            EXPERIMENTS: self._lost_experiment,
            RUNS: self._lost_run,
            JOBS: self._lost_job,
            PODS: self._lost_pod,
        }
        while True:
            await asyncio.sleep(_STOCK_SECONDS)
            try:
                found = await inventory.gone(self.context.kube, self.context.world, self.settings.namespaces)
            except ApiError as error:
                log.warning("cannot take stock: %s", error)
                continue
            for resource, body in found:
                key = lost[resource](body)
                if key is not None:
                    self.context.queue.add(key)

    def _expiring(self, status: Raw) -> bool:
        found = status.get("credentials")
        if not found:
            return False
        return stale(CredentialsStatus.model_validate(found), self.settings.store.sts_duration, now())


class _NoDiffs(kopf.DiffBaseStorage):
    """Nothing here asks kopf what changed, and it would copy every object at every event to find out."""

    def build(self, *, body: kopf.Body, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Sign in as the pod's service account inside a cluster, else by the kubeconfig, as our own client does."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _plain(body: kopf.Body) -> Raw:
    """Return the raw object without its managed fields, which are half of its size."""
    raw: Raw = dict(body)
    raw["metadata"] = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    return raw


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.watching.server_timeout = 540
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.watching.label_selectors["batch", "v1", "jobs"] = names.LABEL_RUN_UID
    settings.watching.label_selectors["", "v1", "pods"] = names.LABEL_RUN_UID
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = (1, 2, 5, 10)
    settings.persistence.finalizer = f"{names.GROUP}/operator"
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.execution.max_workers = 2
    return settings


async def main(settings: Settings) -> None:
    """Run one operator until the process is told to stop."""
    with contextlib.suppress(asyncio.CancelledError):
        await Operator(settings).run()
