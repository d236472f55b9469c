"""What each family of reconcilers needs, as protocols. ``Context`` satisfies all of them; a unit test supplies fakes.

A reconciler names the narrowest protocol that covers what it and its helpers use.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

from assay.api.objects import Raw
from assay.api.resources import Resource
from assay.controllers.runtime.model_cache import ModelCache
from assay.controllers.runtime.queue import Key
from assay.controllers.runtime.registry_state import RegistryState
from assay.controllers.runtime.tracking_cache import TrackingCache
from assay.controllers.settings import Settings
from assay.planning.runs.facts import PodFacts
from assay.signing.keys import Keys
from assay.store.audit import Appended, AuditEvent
from assay.store.client import ObjectStore
from assay.store.layout import LogName

P = ParamSpec("P")
T = TypeVar("T")


# Services


class ObjectApi(Protocol):
    """The objects of the cluster. ``assay.kube.aio.Kube`` describes each method."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Raw | None:
        """Return an object, None if it does not exist."""

    def list(
        self,
        resource: Resource,
        namespace: str,
        selector: str = "",
        *,
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[Raw]:
        """Yield the objects of a kind."""

    async def create(self, resource: Resource, namespace: str, body: Raw, *, strict: bool = False) -> Raw | None:
        """Create an object; None if one with that name exists. With ``strict``, no unknown field is allowed."""

    async def post_part(self, resource: Resource, namespace: str, name: str, part: str, body: Raw) -> Raw:
        """Create a subresource."""

    async def merge_patch(
        self, resource: Resource, namespace: str, name: str, patch: Raw, part: str = ""
    ) -> Raw | None:
        """Patch an object or its subresource; None if it does not exist."""

    async def strategic_patch(self, resource: Resource, namespace: str, name: str, patch: Raw) -> Raw:
        """Patch a built-in object with a strategic merge patch."""

    async def apply(self, resource: Resource, namespace: str, name: str, body: Raw) -> Raw:
        """Apply an object server-side."""

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "") -> None:
        """Delete an object, unless it is gone already or has another UID."""


class EventSink(Protocol):
    """Posts events on objects."""

    def post(self, body: Raw, reason: str, message: str, *, warning: bool = False) -> None:
        """Post an event. Never raises."""


class AuditSink(Protocol):
    """Records events in the audit trail."""

    async def record(self, event: AuditEvent) -> Appended:
        """Record an event, once."""


class Queue(Protocol):
    """Takes requests for reconciles."""

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Request a reconcile in ``delay`` seconds."""


class Store(Protocol):
    """Runs blocking functions of the object store."""

    @property
    def blocking(self) -> ObjectStore:
        """The client to pass to the functions."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function. Raises what it raises."""


class RunLogs(Protocol):
    """The logs of runs."""

    def finished(self, run: Raw, pods: Sequence[PodFacts]) -> bool:
        """Whether the logs have been read to their end."""

    def whole(self, run: Raw) -> frozenset[LogName]:
        """Return the logs that were read completely."""

    def forget(self, run: Raw) -> None:
        """Drop what is known of a run's logs."""


class RunNodes(Protocol):
    """Whether nodes can mount images as volumes."""

    @property
    def unseen(self) -> str:
        """Why pods get no image volume, "" if they do."""

    @property
    def abandoned(self) -> Collection[str]:
        """UIDs of Jobs whose pods cannot be created with an image volume."""

    def abandon(self, job_uid: str, problem: str) -> None:
        """Remember such a Job."""


class RunUsage(Protocol):
    """What the containers of runs use."""

    async def finish(self, run: Raw) -> None:
        """Write the last samples of a run."""

    def why_not(self, run: Raw) -> str:
        """Return why a run has no samples."""


class PodsOfRuns(Protocol):
    """What reconcilers use of ``RunPods``."""

    @property
    def logs(self) -> RunLogs:
        """The logs of runs."""

    @property
    def nodes(self) -> RunNodes:
        """Whether nodes can mount images."""

    @property
    def usage(self) -> RunUsage:
        """What containers use."""

    @property
    def observe(self) -> set[str]:
        """UIDs of runs whose live summary is to be read."""


# Single parts


class _Kube(Protocol):
    @property
    def kube(self) -> ObjectApi: ...


class _Store(Protocol):
    @property
    def store(self) -> Store: ...


class _Settings(Protocol):
    @property
    def settings(self) -> Settings: ...


class _Tracking(Protocol):
    @property
    def tracking(self) -> TrackingCache: ...


class _Models(Protocol):
    @property
    def models(self) -> ModelCache: ...


class _Queue(Protocol):
    @property
    def queue(self) -> Queue: ...


class _Events(Protocol):
    @property
    def events(self) -> EventSink: ...


class _Audit(Protocol):
    @property
    def audit(self) -> AuditSink: ...


class _Keys(Protocol):
    @property
    def keys(self) -> Keys: ...


class _Registry(Protocol):
    @property
    def registry(self) -> RegistryState: ...


class _Pods(Protocol):
    @property
    def pods(self) -> PodsOfRuns: ...


class _Debounce(Protocol):
    @property
    def debounce(self) -> float: ...


class _Ingest(Protocol):
    @property
    def ingest(self) -> Callable[[dict[str, Any]], object]: ...


# Helpers that several families share. No protocol inherits from another: what has the parts satisfies it.


class TenancyParts(_Kube, _Store, _Settings, Protocol):
    """To decide which data a namespace may use."""


class CredentialParts(_Kube, _Store, _Settings, Protocol):
    """To write the Secrets of runs and served versions."""


class ReadKeyParts(_Kube, _Store, _Settings, _Tracking, _Models, Protocol):
    """To write the Secrets with keys for readers."""


class KnownModelParts(_Kube, _Models, _Ingest, Protocol):
    """To read and write objects of the registry, and keep the cache up to date."""


class ApprovalParts(_Kube, _Models, _Ingest, _Audit, _Registry, Protocol):
    """To take approvals into the status of a version."""


class SigningParts(_Store, _Queue, _Keys, _Registry, Protocol):
    """To sign versions and verify their signatures."""


class ServedVersionParts(_Kube, _Store, _Settings, _Models, _Ingest, Protocol):
    """To give a served version its credentials."""


class AdoptionParts(_Store, Protocol):
    """To read the records of an earlier Experiment."""


class RegisterRunParts(_Kube, _Store, _Models, _Ingest, _Events, _Registry, Protocol):
    """To register the model of a run as a version."""


# Families


class AliasParts(_Kube, _Store, _Settings, _Models, _Ingest, _Queue, _Events, _Audit, _Keys, _Registry, Protocol):
    """For ModelAliases."""


class WorkloadParts(_Kube, _Store, _Settings, _Models, _Ingest, _Queue, _Events, _Registry, Protocol):
    """For workloads that follow an alias."""


class VersionParts(_Kube, _Store, _Settings, _Models, _Ingest, _Queue, _Events, _Audit, _Keys, _Registry, Protocol):
    """For ModelVersions."""

    @property
    def copies(self) -> Store:
        """For copies of models."""


class PolicyParts(_Kube, _Models, _Ingest, _Events, _Audit, Protocol):
    """For PromotionPolicies."""


class EnrolmentParts(
    _Kube, _Store, _Settings, _Tracking, _Models, _Ingest, _Queue, _Events, _Audit, _Registry, Protocol
):
    """To register the models of runs and experiments."""


class ExperimentParts(
    _Kube, _Store, _Settings, _Tracking, _Models, _Ingest, _Queue, _Events, _Audit, _Registry, Protocol
):
    """For Experiments."""


class JobParts(_Kube, _Store, _Settings, _Tracking, _Models, _Pods, Protocol):
    """For the Jobs of runs."""


class RunParts(
    _Kube,
    _Store,
    _Settings,
    _Tracking,
    _Models,
    _Ingest,
    _Queue,
    _Events,
    _Audit,
    _Keys,
    _Registry,
    _Pods,
    _Debounce,
    Protocol,
):
    """For Runs."""


class RetentionParts(_Kube, _Store, _Settings, _Tracking, _Models, _Events, Protocol):
    """To remove data that has expired."""


class WakeParts(_Tracking, _Models, _Queue, _Debounce, Protocol):
    """To turn changes of objects into requests for reconciles."""


class DefectParts(_Kube, _Tracking, _Models, _Ingest, Protocol):
    """To report that an object cannot be reconciled."""
