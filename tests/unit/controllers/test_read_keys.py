"""When the operator replaces the keys for readers, and for which namespaces it issues any."""

import asyncio
import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from assay.api.objects import Raw
from assay.api.resources import NAMESPACES, SECRETS
from assay.controllers.runtime.model_cache import KnownNamespace
from assay.controllers.tracking import read_keys
from assay.controllers.tracking.read_keys import ReadKeys
from assay.kube.errors import ApiError
from assay.store.credentials import Credentials
from assay.store.errors import StoreUnavailable
from tests import registry
from tests.unit.controllers.fakes import SETTINGS, Parts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Clock:
    """The operator's time, and an issuer of numbered keys."""

    def __init__(self) -> None:
        self.now, self.parts, self.issued = NOW, Parts(), 0
        self.keys = ReadKeys(self.parts)
        self.parts.store.answers = {"noted_namespaces": [], "inherits": False}
        self.use("team")

    def use(self, namespace: str, uid: str = "") -> None:
        """Let a new namespace have an experiment."""
        self.create(namespace, uid or f"uid-{namespace}")
        body = registry.experiment("digits")
        body["metadata"] |= {"namespace": namespace, "uid": f"e-{namespace}", "resourceVersion": "1"}
        self.parts.tracking.upsert_experiment(body)

    def create(self, namespace: str, uid: str) -> None:
        """Create a namespace, or replace it with a new one; the operator's watch has seen it."""
        metadata = {"name": namespace, "uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.parts.kube.put(NAMESPACES, {"metadata": metadata})
        self.parts.models.namespaces[namespace] = KnownNamespace(uid)

    def look(self, after: timedelta = timedelta(0)) -> None:
        """Look at all namespaces, some time later."""
        self.now += after
        self.issued += 1
        expires = self.now + HOUR
        issued = Credentials("https://s3", "eu-1", "assay", f"key-{self.issued}", "secret", "token", expires)
        self.parts.store.answers["issue_read_credentials"] = issued
        asyncio.run(self.keys.look())

    def key(self, namespace: str = "team") -> str:
        """The access key that readers find, "" without a Secret."""
        return self.texts(namespace).get("accessKey", "")

    def texts(self, namespace: str = "team") -> dict[str, str]:
        """All that readers find."""
        found: Raw = asyncio.run(self.parts.kube.get(SECRETS, namespace, "assay-read")) or {"data": {}}
        return {name: base64.b64decode(text).decode() for name, text in found["data"].items()}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(read_keys, "now", lambda: found.now)
    return found


def test_keys_are_replaced_when_half_of_their_lifetime_is_over(clock: Clock) -> None:
    clock.look()
    assert clock.key() == "key-1"
    assert clock.texts()["expires"] == (NOW + HOUR).isoformat()
    clock.look(timedelta(minutes=29))
    assert clock.key() == "key-1"
    clock.look(timedelta(minutes=1))
    assert clock.key() == "key-3"


def test_each_namespace_has_its_own(clock: Clock) -> None:
    clock.look()
    clock.use("other")
    clock.look()
    assert (clock.key(), clock.key("other")) == ("key-1", "key-2")


def test_a_failure_leaves_the_keys_and_is_tried_again_soon(clock: Clock) -> None:
    clock.look()
    clock.parts.store.answers["inherits"] = StoreUnavailable("down")
    clock.look(timedelta(minutes=30))
    assert clock.key() == "key-1"
    clock.parts.store.answers["inherits"] = False
    clock.parts.kube.refusals["create", "secrets"] = ApiError(403, "Forbidden", "being terminated")
    clock.look(timedelta(minutes=1))
    clock.look(timedelta(minutes=1))
    assert clock.key() == "key-4"


def test_the_reason_for_no_keys_is_readable(clock: Clock) -> None:
    clock.parts.store.answers["inherits"] = True
    clock.look()
    assert list(clock.texts()) == ["problem"]
    clock.parts.store.answers["inherits"] = False
    clock.look(timedelta(minutes=1))
    assert clock.key() == "key-2"


def test_a_namespace_whose_objects_are_gone_keeps_its_readers(clock: Clock) -> None:
    """Its archived runs and its audit trail remain."""
    clock.parts.tracking.experiments.clear()
    clock.parts.store.answers["noted_namespaces"] = ["team", "deleted"]
    clock.look()
    assert (clock.key(), clock.key("deleted")) == ("key-1", "")
    assert "create secrets assay-read" in clock.parts.journal


def test_a_namespace_that_was_deleted_and_created_again_is_another_one(clock: Clock) -> None:
    clock.look()
    clock.parts.tracking.experiments.clear()
    asyncio.run(clock.parts.kube.delete(NAMESPACES, "", "team"))
    asyncio.run(clock.parts.kube.delete(SECRETS, "team", "assay-read"))
    clock.look()
    clock.parts.tracking = type(clock.parts.tracking)()
    clock.use("team", "uid-new")
    clock.parts.store.answers["inherits"] = True
    clock.look()
    assert list(clock.texts()) == ["problem"]


def test_a_namespace_that_was_created_again_between_two_looks_is_another_one(clock: Clock) -> None:
    clock.look()
    asyncio.run(clock.parts.kube.delete(SECRETS, "team", "assay-read"))
    clock.create("team", "uid-new")
    clock.parts.store.answers["inherits"] = True
    clock.look()
    assert list(clock.texts()) == ["problem"]
    clock.look()
    assert clock.parts.journal.count("create secrets assay-read") == 2, "the new one is known now"


def test_keys_to_old_records_are_not_for_a_namespace_created_while_they_were_issued(clock: Clock) -> None:
    clock.look()
    asyncio.run(clock.parts.kube.delete(SECRETS, "team", "assay-read"))
    clock.parts.store.before["issue_read_credentials"] = lambda: clock.create("team", "uid-new")
    clock.look(HOUR)
    assert clock.texts() == {}
    clock.parts.store.answers["inherits"] = True
    clock.look()
    assert list(clock.texts()) == ["problem"]


def test_a_namespace_that_is_being_deleted_gets_no_keys(clock: Clock) -> None:
    """The API server would refuse to create the Secret."""
    clock.parts.kube.change(NAMESPACES, "", "team", {"metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z"}})
    clock.look()
    assert "create secrets assay-read" not in clock.parts.journal


def test_an_operator_for_some_namespaces_leaves_others_alone(clock: Clock) -> None:
    clock.parts.settings = replace(SETTINGS, namespaces=("team",))
    clock.parts.store.answers["noted_namespaces"] = ["foreign"]
    clock.parts.kube.put(
        NAMESPACES, {"metadata": {"name": "foreign", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    )
    clock.look()
    assert (clock.key(), clock.key("foreign")) == ("key-1", "")


def test_a_store_without_sts_gives_no_keys(clock: Clock) -> None:
    clock.parts.settings = replace(SETTINGS, store=replace(SETTINGS.store, sts=False))
    asyncio.run(clock.keys.keep())
    assert clock.key() == ""
