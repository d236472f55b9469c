from typing import Any

import pytest

from assay.api import names
from assay.controllers.runtime import model_cache
from assay.controllers.runtime.model_cache import DEPLOYMENT, STATEFUL_SET, ModelCache, asks_for, carries, concerns
from assay.controllers.runtime.queue import Key
from tests.unit.controllers.registry_objects import alias, policy, version, workload

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
V1, CHAMPION = Key("ModelVersion", "ml", "digits.v1"), Key("ModelAlias", "ml", "digits.champion")
WEB = Key("Deployment", "ml", "web")


def filled(*bodies: Raw) -> ModelCache:
    found = ModelCache()
    for body in bodies:
        assert found.upsert(body)
    return found


def names_of(bodies: list[Raw]) -> list[str]:
    return sorted(body["metadata"]["name"] for body in bodies)


def test_cache_keys_match_the_objects() -> None:
    for body, key in ((version(), V1), (alias(), CHAMPION), (workload(), WEB)):
        assert model_cache.key_of(body) == key
    assert model_cache.alias_place("ml", "digits", "champion") == CHAMPION[1:3]
    assert model_cache.version_place("ml", "digits", 1) == V1[1:3]


# What is seen


def test_the_cache_keeps_the_newest_state_of_an_object() -> None:
    found = filled(version(), version(1, 3, phase="Ready"))
    assert not found.upsert(version(1, 2, phase="Pending")), "an older state is news"
    assert not found.upsert(version(1, 3, phase="Ready")), "the same state is news"
    assert (found.get(V1) or {})["status"] == {"phase": "Ready"}


def test_a_deleted_object_is_not_restored_by_a_late_write() -> None:
    found = filled(version())
    found.forget(version(1, 2))
    assert found.get(V1) is None
    assert not found.upsert(version(1, 3)), "the answer to a late write brings it back"
    assert found.upsert(version(1, 4, uid="new"))


def test_the_object_that_took_the_name_of_a_deleted_one_stays() -> None:
    found = filled(alias(uid="old"), alias(uid="new", resource_version=5))
    found.forget(alias(uid="old", resource_version=4))
    assert (found.get(CHAMPION) or {})["metadata"]["uid"] == "new"
    assert list(found.known(names.MODEL_ALIAS)) == ["new"]


def test_deleting_an_unknown_object_is_ignored() -> None:
    found = ModelCache()
    for body in (version(), alias(), policy(), workload()):
        found.forget(body)
        assert found.known(body["kind"]) == {}


def test_kinds_are_kept_apart() -> None:
    both = filled(workload(uid="a"), workload(uid="b", kind=STATEFUL_SET))
    assert list(both.known(DEPLOYMENT)) == ["a"]
    assert list(both.known(STATEFUL_SET)) == ["b"]


# Workloads


def test_an_unrelated_workload_is_not_cached() -> None:
    found = ModelCache()
    assert not found.upsert(workload(asks=None))
    assert list(found.workloads()) == []


def test_a_workload_is_cached_while_it_carries_a_served_version() -> None:
    found = filled(workload(carried=("digits", "1")), workload(asks=None, carried=("digits", "1"), resource_version=2))
    assert names_of(list(found.workloads())) == ["web"]
    assert found.upsert(workload(asks=None, resource_version=3)), "that it follows no more is news once"
    assert not found.upsert(workload(asks=None, resource_version=4))
    assert list(found.workloads()) == []
    assert found.upsert(workload(resource_version=5))


@pytest.mark.parametrize("asks", ["champion", "digits.champion.x", "Digits.champion", "", "digits.v1 ", "a" * 3000])
def test_a_workload_with_an_invalid_alias_is_cached_and_follows_none(asks: str) -> None:
    body = workload(asks=asks)
    assert concerns(body), "it has to be told"
    assert asks_for(body) is None
    found = filled(body)
    assert found.followers("ml", "digits", "champion") == []


@pytest.mark.parametrize("text", ["", "0", "01", "-1", "1.0", " 1", "1\n", "one", "²", "٣", "9" * 10, "9" * 5000])
def test_an_invalid_served_version_is_ignored(text: str) -> None:
    """Anybody may write annotations on a workload of their own; an operator that dies of one starts no more."""
    body = workload(asks=None, carried=("digits", text))
    assert carries(body) is None
    assert not filled(workload("other")).upsert(body)


def test_a_workload_without_annotations_is_read() -> None:
    body = workload(asks=None)
    body["metadata"]["annotations"] = body["spec"]["template"]["metadata"] = None
    assert (concerns(body), carries(body), asks_for(body)) == (False, None, None)


def test_followers_are_those_of_the_alias_in_its_namespace_by_name() -> None:
    found = filled(
        workload("web"),
        workload("api"),
        workload("set", kind=STATEFUL_SET),
        workload("elsewhere", namespace="other"),
        workload("staging", "digits.staging"),
        workload("letters", "letters.champion"),
        workload("left", None, ("digits", "1")),
    )
    followers = found.followers("ml", "digits", "champion")
    assert [body["metadata"]["name"] for body in followers] == ["api", "web", "set"]


def test_the_bytes_of_a_version_are_needed_while_pods_may_fetch_them() -> None:
    bound, other = alias(boundVersion=2), alias("staging", boundVersion=3)
    found = filled(bound, other, workload(carried=("digits", "1")), workload("next", "digits.staging"))
    assert [found.serves("ml", "digits", number) for number in (1, 2, 3, 4)] == [True, True, True, False]
    assert not found.serves("other", "digits", 1)
    assert not found.serves("ml", "letters", 1)
    assert not filled(alias(boundVersion=1)).serves("ml", "digits", 1), "nobody follows"
    assert not filled(workload()).serves("ml", "digits", 1), "there is no alias"
    assert not filled(workload(), alias()).serves("ml", "digits", 1), "it points to nothing yet"


# Versions and aliases


def test_versions_and_aliases_are_found_by_model_and_namespace() -> None:
    found = filled(
        *(version(number) for number in (1, 9, 10)),
        version(40, model="digits-v2"),
        version(50, namespace="other", uid="o"),
        alias(),
        alias("staging"),
        alias(model="letters"),
        alias("canary", namespace="other"),
    )
    assert names_of(found.versions_of("ml", "digits")) == ["digits.v1", "digits.v10", "digits.v9"]
    assert names_of(found.aliases_of("ml", "digits")) == ["digits.champion", "digits.staging"]
    assert names_of(found.aliases_of("ml")) == ["digits.champion", "digits.staging", "letters.champion"]
    assert (found.highest("ml", "digits"), found.highest("other", "digits"), found.highest("ml", "none")) == (10, 50, 0)


def test_a_run_has_made_the_version_that_names_its_uid() -> None:
    def of_run(number: int, uid: str, **more: Any) -> Raw:
        return version(number, run={"name": "r", "uid": uid}, **more)

    found = filled(of_run(3, "a"), of_run(2, "a"), of_run(1, "b"), version(7), of_run(1, "a", model="letters"))
    assert found.version_of_run("ml", "digits", "a") == of_run(2, "a")
    assert found.version_of_run("ml", "digits", "c") is None
    assert found.version_of_run("other", "digits", "a") is None
