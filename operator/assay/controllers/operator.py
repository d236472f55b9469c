"""Wires kopf to the work queue: event handlers update the cache and enqueue keys."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

import kopf

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import NAMESPACES
from assay.api.run_status import CredentialsStatus
from assay.controllers import metrics, tracing
from assay.controllers.audit.recorder import Auditor
from assay.controllers.health import Health
from assay.controllers.registry import aliases, policies, versions, workloads
from assay.controllers.runtime import defects, gauges, kopf_session, resync
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.context import Context
from assay.controllers.runtime.events import Events
from assay.controllers.runtime.handlers import DELETED_POLICY, DELETED_RUN, DELETED_VERSION, EventHandlers
from assay.controllers.runtime.leader import Leadership
from assay.controllers.runtime.model_cache import DEPLOYMENT, STATEFUL_SET, ModelCache, key_of
from assay.controllers.runtime.nodes import Nodes
from assay.controllers.runtime.policy_watch import PolicyWatch
from assay.controllers.runtime.queue import Key, WorkQueue
from assay.controllers.runtime.run_pods import RunPods
from assay.controllers.runtime.tracking_cache import TrackingCache, place
from assay.controllers.scrapers import Scrapers
from assay.controllers.settings import Settings
from assay.controllers.tracking import experiments, runs
from assay.controllers.tracking.credentials import stale
from assay.controllers.tracking.kubelets import Kubelets
from assay.controllers.tracking.logs import LogReader
from assay.controllers.tracking.read_keys import ReadKeys
from assay.controllers.tracking.retention import Retainer
from assay.controllers.tracking.usage import Usage
from assay.kube.aio import Kube
from assay.kube.errors import ApiError
from assay.signing.keys import Keys
from assay.store.aio import AsyncStore
from assay.store.client import ObjectStore

log = logging.getLogger(__name__)

_WORKERS = 50
#: Maximum number of concurrent model copies.
_COPIES = 2
#: Maximum number of log parts that are written or searched concurrently.
_LOG_WORKERS = 4
_RESYNC_SECONDS = 600.0
#: How often the admission policies are checked, and namespaces read that cannot be watched.
_POLICY_SECONDS = 30.0


RECONCILERS: dict[str, Callable[[Context, Key], Awaitable[None]]] = {
    names.EXPERIMENT: experiments.reconcile,
    names.RUN: runs.reconcile,
    DELETED_RUN: runs.close_deleted,
    names.MODEL_VERSION: versions.reconcile,
    DELETED_VERSION: versions.forget,
    DELETED_POLICY: policies.forget,
    names.MODEL_ALIAS: aliases.reconcile,
    names.PROMOTION_POLICY: policies.reconcile,
    DEPLOYMENT: workloads.reconcile,
    STATEFUL_SET: workloads.reconcile,
}


class Operator:
    """One operator process: its context, event handlers and background tasks."""

    def __init__(self, settings: Settings, health: Health) -> None:
        self.settings = settings
        self.health = health
        self.registry = kopf.OperatorRegistry()
        self._tasks: list[asyncio.Task[None]] = []
        self.context: Context
        self.handlers: EventHandlers
        self._gauges: gauges.Gauges
        self._policies: PolicyWatch
        self._register()

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Run until stopped."""
        await kopf.operator(
            registry=self.registry,
            settings=_kopf_settings(clusterwide=not self.settings.namespaces),
            standalone=True,
            # By default kopf looks up the user's name, and a container's user may have none.
            identity=cast(Any, self.settings.identity),
            clusterwide=not self.settings.namespaces,
            namespaces=self.settings.namespaces,
            stop_flag=stop,
        )

    # Wiring

    def _register(self) -> None:
        kopf.on.login(registry=self.registry)(_login)
        kopf.on.startup(registry=self.registry)(self._start)
        kopf.on.cleanup(registry=self.registry)(self._stop)
        for prefix, plural in resync.RESOURCES:
            self._watch(prefix, plural)
        if not self.settings.namespaces:  # otherwise the operator may only get each one by name
            kopf.on.event("", "v1", "namespaces", id="queue-namespaces", registry=self.registry)(self._ingest_namespace)

    def _watch(self, prefix: str, plural: str) -> None:
        """Watch a resource: update the cache on each event, and enqueue the affected keys."""
        group, version = prefix.removeprefix("/apis/").split("/") if prefix.startswith("/apis/") else ("", "v1")
        labels: dict[str, Any] = {names.LABEL_RUN_UID: kopf.PRESENT} if plural in ("jobs", "pods") else {}

        async def event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 — kopf's name
            raw = resync.plain(dict(body))
            if type == "DELETED":
                self.handlers.forget(raw)
            else:
                self.handlers.ingest(raw)

        kopf.on.event(group, version, plural, id=f"queue-{plural}", registry=self.registry, labels=labels or None)(
            event
        )

    async def _ingest_namespace(self, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 — kopf's name
        if type == "DELETED":
            self.handlers.forget_namespace(body["metadata"]["name"])
        else:
            self.handlers.ingest_namespace(dict(body))

    async def _start(self, **_: Any) -> None:
        settings = self.settings
        kube = Kube(settings.api_concurrency, metrics.count_request, tracing.request)
        await kube.connect()
        store = AsyncStore(ObjectStore(settings.store), settings.store_workers, self._store_operation)
        queue = WorkQueue(self._reconcile, _WORKERS)
        keys = Keys(settings.signing)
        tracking = TrackingCache()
        self.context = Context(
            settings,
            kube,
            store,
            tracking,
            ModelCache(),
            queue,
            Events(kube),
            Auditor(
                kube, store, settings.audit.store(settings.store), settings.audit.retention, settings.namespace, keys
            ),
            self._store(_COPIES),
            self._run_pods(kube, store, tracking, queue),
            keys=keys,
        )
        self.handlers = EventHandlers(self.context, self.context.pods.logs.wake)
        self.context.ingest = self.handlers.ingest
        self._gauges = gauges.Gauges(self.context.tracking, self.context.models)
        self._policies = PolicyWatch(kube, settings.policies_file, required=settings.require_policies)
        await self.context.audit.load()
        await self.context.pods.nodes.look()
        # Fill the cache before any reconcile: without its runs, a sweep would look unlaunched.
        self.health.checks |= {"objects": "are being listed", "store": "has not answered yet"}
        await resync.fill(kube, self._watched(), settings.namespaces)
        self.health.checks["objects"] = ""
        self._gauges.begin()
        await self._check_policies()
        await self._look_at_namespaces()
        self.handlers.everything()
        queue.start()
        self.context.pods.logs.start()
        self._tasks = [
            asyncio.create_task(self._ensure_bucket(), name="bucket"),
            asyncio.create_task(self._observe(), name="observer"),
            asyncio.create_task(self._resync(), name="stock"),
            asyncio.create_task(self._look_around(), name="policies"),
            asyncio.create_task(Retainer(self.context).keep(), name="retention"),
            asyncio.create_task(ReadKeys(self.context).keep(), name="read keys"),
            asyncio.create_task(self.context.audit.keep(), name="heads"),
            asyncio.create_task(self.context.pods.nodes.keep(), name="nodes"),
            asyncio.create_task(self.context.pods.usage.keep(self.context.tracking), name="usage"),
        ]
        log.info(self.context.keys.state())
        log.info("ready: store %s, bucket %s", settings.store.endpoint, settings.store.bucket)

    def _run_pods(self, kube: Kube, store: AsyncStore, tracking: TrackingCache, queue: WorkQueue) -> RunPods:
        settings = self.settings
        logs = LogReader(kube, self._store(_LOG_WORKERS), tracking, settings.log_seconds, queue.add)
        kubelets = Kubelets(kube, settings.namespace, settings.kubelet_ca_file)
        nodes, usage = Nodes(kube, settings.capture_image), Usage(kubelets, store, settings.system_seconds)
        return RunPods(logs, nodes, kubelets, usage)

    def _store(self, workers: int) -> AsyncStore:
        return AsyncStore(ObjectStore(self.settings.store), workers, _store_operation)

    def _store_operation(self, operation: str, seconds: float, error: BaseException | None) -> None:
        _store_operation(operation, seconds, error)
        self.health.store_answered(operation, error)

    def _watched(self) -> tuple[resync.Watched, ...]:
        return resync.watched(self.context.tracking, self.context.models)

    async def _stop(self, **_: Any) -> None:
        for task in self._tasks:
            task.cancel()
        self._gauges.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.context.queue.stop()
        await self.context.pods.logs.stop()
        await self.context.pods.usage.flush()
        await self.context.audit.flush()
        await self.context.pods.kubelets.close()
        await self.context.kube.close()
        self.context.store.close()
        self.context.copies.close()

    async def _reconcile(self, key: Key) -> None:
        run = self.context.tracking.active_runs.get((key.namespace, key.name)) if key.kind == names.RUN else None
        with tracing.reconcile(key, key.uid or (run["metadata"]["uid"] if run else "")):
            try:
                await RECONCILERS[key.kind](self.context, key)
            except Exception as error:  # the queue retries; the object shows the error
                await defects.report(self.context, key, error)
                raise

    # Background tasks

    async def _ensure_bucket(self) -> None:
        """Create the bucket, and retry until it exists. The store may start later than the operator."""
        delay = 1.0
        while True:
            try:
                await self.context.store.run(self.context.store.blocking.ensure_bucket)
            except Exception as error:  # log any error and retry
                self.health.checks["store"] = str(error)
                log.warning("the bucket cannot be ensured, retrying in %.0f s: %s", delay, error)
                await asyncio.sleep(delay)
                delay = min(60.0, delay * 2)
            else:
                self.health.checks["store"] = ""
                return

    async def _check_policies(self) -> None:
        """Compare the admission policies with the shipped ones: without them, nothing is gated."""
        wrong = await self._policies.look()
        self.health.checks["policies"] = wrong if self.settings.require_policies else ""

    async def _look_at_namespaces(self) -> None:
        """Read the configured namespaces, which the operator cannot watch."""
        for name in self.settings.namespaces:
            try:
                found = await self.context.kube.get(NAMESPACES, "", name)
            except ApiError as error:
                log.warning("cannot read the namespace %s: %s", name, error)
            else:
                if found is None:
                    self.handlers.forget_namespace(name)
                else:
                    self.handlers.ingest_namespace(found)

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(_POLICY_SECONDS)
            await self._check_policies()
            await self._look_at_namespaces()

    async def _observe(self) -> None:
        """Requeue running runs to read their live metrics, and runs and versions whose credentials are about to expire.

        Requeue all versions when the signing keys change. Finished runs cost nothing.
        """
        keys = self.context.keys.state()
        while True:
            await asyncio.sleep(self.settings.observe_seconds)
            if keys != (keys := self.context.keys.state()):
                log.info(keys)
                for version in self.context.models.versions.values():
                    self.context.queue.add(key_of(version))
            tracking = self.context.tracking
            for run in list(tracking.active_runs.values()):
                status = run.get("status") or {}
                if status.get("phase") == "Running":
                    self.context.pods.observe.add(run["metadata"]["uid"])
                    self.context.queue.add(Key(names.RUN, *place(run)))
                elif self._expiring(status):
                    self.context.queue.add(Key(names.RUN, *place(run)))
            for version in self.context.models.versions.values():
                if self._expiring(version.get("status") or {}):
                    self.context.queue.add(key_of(version))

    async def _resync(self) -> None:
        """Find objects that were deleted while a watch was broken."""
        while True:
            await asyncio.sleep(_RESYNC_SECONDS)
            try:
                found = await resync.gone(self.context.kube, self._watched(), self.settings.namespaces)
            except ApiError as error:
                log.warning("cannot resync: %s", error)
                continue
            for kind, body in found:
                self.handlers.forget({**body, "kind": kind})

    def _expiring(self, status: Raw) -> bool:
        found = status.get("credentials")
        if not found:
            return False
        return stale(CredentialsStatus.model_validate(found), self.settings.store.sts_duration, now())


def _store_operation(operation: str, seconds: float, error: BaseException | None) -> None:
    metrics.store_operation(operation, seconds, error)
    tracing.store_operation(operation, seconds, error)


class _NoDiffs(kopf.DiffBaseStorage):
    """Disables kopf's diffs. The operator does not use them, and kopf would copy every object on every event."""

    def build(self, *, body: kopf.Body, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None


async def _login(**kwargs: Any) -> kopf_session.Session | None:
    """Log in as the pod's service account in a cluster, else with the kubeconfig, as our own client does."""
    found = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
    return kopf_session.of(found) if found else None


def _kopf_settings(*, clusterwide: bool) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # Scanning for new kinds and namespaces requires cluster-wide rights.
    settings.scanning.disabled = not clusterwide
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
    """Run one operator until the process is stopped. If a Lease is configured, acquire it first."""
    health = Health(settings.metrics_port, Scrapers() if settings.metrics_authentication else None)
    await health.start()
    try:
        with contextlib.suppress(asyncio.CancelledError):
            if settings.lease:
                await _lead(settings, health)
            else:
                await Operator(settings, health).run()
    finally:
        await health.stop()


async def _lead(settings: Settings, health: Health) -> None:
    """Wait for the Lease, then run the operator while it is held. A process that loses it exits."""
    kube = Kube(1, metrics.count_request)
    await kube.connect()
    leadership = Leadership(kube, settings.namespace, settings.lease, settings.identity)
    health.checks["lease"] = ""
    try:
        if not await _unless_stopped(leadership.acquire()):
            log.info("stopped while waiting for the Lease")
            return
        renewing = asyncio.create_task(leadership.hold(_stop_at_once), name="lease")
        try:
            await Operator(settings, health).run()
        finally:
            renewing.cancel()
            await leadership.release()
    finally:
        await kube.close()


async def _unless_stopped(work: Coroutine[Any, Any, None]) -> bool:
    """Do it and return True; return False if the process is asked to end first. Process 1 has no default handlers."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    ends = (signal.SIGTERM, signal.SIGINT)
    for each in ends:
        loop.add_signal_handler(each, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return False
    finally:
        for each in ends:
            loop.remove_signal_handler(each)
    return True


def _stop_at_once() -> None:
    """Exit without cleanup: once another process has the Lease, this one must not write anything."""
    log.error("lost the Lease: exiting")
    os._exit(3)
