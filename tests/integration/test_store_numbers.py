"""Version numbers on a real store: each to one claimant, whatever races, dies or is deleted."""

import multiprocessing
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.store import layout, numbers
from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from assay.store.errors import RecordError, StoreError, StoreUnavailable
from assay.store.models import source_of_uri
from assay.store.numbers import Claim, allocate, claim, last_number
from tests.registered import Trained
from tests.s3 import S3Server

pytestmark = pytest.mark.integration


@pytest.fixture
def namespace() -> str:
    return f"ns-{uuid.uuid4()}"


@pytest.fixture
def store(minio: S3Server) -> ObjectStore:
    return minio.store()


def claimed(store: ObjectStore, namespace: str) -> dict[int, str]:
    """The claimants by number, as the store has them."""
    prefix = layout.number_prefix(namespace, "digits") + "/"
    records = [Claim.model_validate_json(store.get_bytes(info.key, 4096)) for info in store.list(prefix)]
    assert [layout.number_name(record.number) for record in records] == [
        info.key.removeprefix(prefix) for info in store.list(prefix)
    ]
    return {record.number: record.claimant for record in records}


def test_numbers_grow_and_a_claim_is_found_again(s3: S3Server, namespace: str) -> None:
    store = s3.store()
    assert [allocate(store, namespace, "digits", f"run/{n}") for n in "abc"] == [1, 2, 3]
    assert [allocate(store, namespace, "digits", f"run/{n}", above=40) for n in "abc"] == [1, 2, 3]
    assert allocate(store, namespace, "digits", "run/d", above=40) == 41
    assert allocate(store, namespace, "digits", "run/e") == 42
    assert allocate(store, namespace, "other", "run/a") == 1
    assert claimed(store, namespace) == {1: "run/a", 2: "run/b", 3: "run/c", 41: "run/d", 42: "run/e"}


def test_a_manually_chosen_number_is_reserved(s3: S3Server, namespace: str) -> None:
    store = s3.store()
    assert claim(store, namespace, "digits", 7, "manifest/x") == "manifest/x"
    assert claim(store, namespace, "digits", 7, "manifest/y") == "manifest/x"
    assert claim(store, namespace, "digits", 7, "manifest/x") == "manifest/x"
    assert allocate(store, namespace, "digits", "run/a") == 8
    assert claim(store, namespace, "digits", 3, "manifest/z") == "manifest/z"
    assert claim(store, namespace, "digits", 8, "run/a") == "run/a"
    assert claim(store, namespace, "digits", 8, "manifest/z") == "run/a"


def test_a_claimant_gets_another_number_when_the_name_is_taken(s3: S3Server, namespace: str) -> None:
    store = s3.store()
    assert allocate(store, namespace, "digits", "run/a") == 1
    assert claim(store, namespace, "digits", 1, "manifest/x") == "run/a"
    assert [allocate(store, namespace, "digits", "run/a", 1, {1}) for _ in range(2)] == [2, 2]
    assert allocate(store, namespace, "digits", "run/a") == 2
    assert claim(store, namespace, "digits", 1, "manifest/x") == "manifest/x"
    assert claim(store, namespace, "digits", 1, "manifest/y") == "manifest/x"
    assert claim(store, namespace, "digits", 1, "run/a") == "manifest/x"
    assert claim(store, namespace, "digits", 2, "manifest/y") == "run/a"
    assert allocate(store, namespace, "digits", "run/a", 0, {1, 2, 9}) == 10


def test_deleting_the_bytes_frees_no_number(minio: S3Server) -> None:
    trained = Trained(minio.store())
    store, namespace = trained.store, trained.namespace
    number = allocate(store, namespace, "digits", "run/a")
    made = trained.register(version=number)
    for info in list(store.list(made.prefix + "/")):
        store.delete(info.key)
    assert allocate(store, namespace, "digits", "run/b") == number + 1
    assert claim(store, namespace, "digits", number, "run/c") == "run/a"


def test_concurrent_threads_get_distinct_numbers(s3: S3Server, namespace: str) -> None:
    store = s3.store()

    def ten(thread: int) -> list[int]:
        return [allocate(store, namespace, "digits", f"run/{thread}-{turn}") for turn in range(10)]

    with ThreadPoolExecutor(20) as pool:
        found = [number for each in pool.map(ten, range(20)) for number in each]
    assert sorted(found) == list(range(1, 201))
    assert len(set(claimed(store, namespace).values())) == 200


class Book:
    """Who has which number, by the rules and without a store."""

    def __init__(self) -> None:
        self.holders: dict[int, str] = {}
        self.tried: dict[str, int] = {}
        self.given_up: set[int] = set()

    def allocate(self, claimant: str, again: bool) -> int:
        if again and claimant in self.tried:
            self.given_up.add(self.tried.pop(claimant))
        if claimant not in self.tried:
            self.tried[claimant] = max(self.holders, default=0) + 1
            self.holders[self.tried[claimant]] = claimant
        return self.tried[claimant]

    def claim(self, number: int, claimant: str) -> str:
        if number in self.given_up and self.holders[number] != claimant:
            self.given_up.discard(number)
            self.holders[number] = claimant
        return self.holders.setdefault(number, claimant)


allocations = st.tuples(st.sampled_from(["run/a", "run/b", "run/c"]), st.booleans())
claims = st.tuples(st.integers(1, 6), st.sampled_from(["manifest/x", "manifest/y", "run/a"]))


@settings(max_examples=25)
@given(st.lists(allocations | claims, max_size=12))
def test_number_allocation_agrees_with_the_model(minio: S3Server, asked: list[tuple[Any, Any]]) -> None:
    store, namespace, book = minio.store(), f"ns-{uuid.uuid4()}", Book()
    for first, second in asked:
        if isinstance(first, str):
            taken = {book.tried[first]} if second and first in book.tried else ()
            found = allocate(store, namespace, "digits", first, 0, taken)
            assert found == book.allocate(first, second)
        else:
            assert claim(store, namespace, "digits", first, second) == book.claim(first, second)


def _allocate_many(config: StoreConfig, namespace: str, names: list[str], path: str) -> None:
    store = ObjectStore(config)
    found = [allocate(store, namespace, "digits", name) for name in names]
    with open(path, "w") as file:  # noqa: PTH123
        file.write(" ".join(map(str, found)))


@pytest.mark.parametrize("same", [False, True])
def test_concurrent_processes_get_distinct_numbers(
    minio: S3Server, store: ObjectStore, namespace: str, same: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    context = multiprocessing.get_context("forkserver")
    names = [[f"run/{0 if same else worker}-{turn}" for turn in range(40)] for worker in range(2)]
    work = partial(_allocate_many, minio.config(), namespace)
    workers = [context.Process(target=work, args=(mine, str(folder / f"{n}"))) for n, mine in enumerate(names)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    first, second = ([int(word) for word in (folder / str(n)).read_text().split()] for n in range(2))
    if same:
        assert first == second
        assert len(set(first)) == 40
    else:
        assert len({*first, *second}) == 80
    owners = claimed(store, namespace)
    assert [owners[number] for number in first + second] == names[0] + names[1]


class Dies(ObjectStore):
    """A store whose n-th request from now on is carried out or not, and never answered."""

    left = -1
    carried_out = False
    writes = 0

    def _dies(self) -> bool:
        self.left -= 1
        return self.left == 0

    def create(self, *args: object, **kwargs: object) -> None:
        dies = self._dies()
        if not dies or self.carried_out:
            super().create(*args, **kwargs)  # type: ignore[arg-type]
            self.writes += 1
        if dies:
            raise StoreUnavailable("the answer was lost")

    def get_bytes(self, key: str, limit: int) -> bytes:
        if self._dies():
            raise StoreUnavailable("the answer was lost")
        return super().get_bytes(key, limit)


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("meanwhile", ["nothing", "allocated", "chosen"])
def test_an_interrupted_claimant_gets_exactly_one_number(
    minio: S3Server, namespace: str, carried_out: bool, meanwhile: str
) -> None:
    for step in range(1, 30):
        store, other, model = Dies(minio.config()), minio.store(), f"m{step}"
        allocate(other, namespace, model, "run/before")
        store.left, store.carried_out = step, carried_out
        try:
            assert allocate(store, namespace, model, "run/a") == 2
        except StoreUnavailable:
            pass
        else:
            break
        others = {1: "run/before"}
        if meanwhile == "allocated":
            others[allocate(other, namespace, model, "run/b")] = "run/b"
        if meanwhile == "chosen":
            others[2] = claim(other, namespace, model, 2, "manifest/x")
        mine = allocate(other, namespace, model, "run/a")
        assert mine not in others or others[mine] == "run/a"
        assert [allocate(other, namespace, model, "run/a") for _ in range(3)] == [mine] * 3
        # Nothing that was claimed is lost: the numbers are without a hole.
        prefix = layout.number_prefix(namespace, model) + "/"
        assert len(list(other.list(prefix))) == len({*others, mine}) == last_number(other, namespace, model)
    else:
        pytest.fail("it never came to an end")
    assert step > 4


def test_recovery_is_cheap_however_many_claims_there_are(
    minio: S3Server, store: ObjectStore, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (*range(1, 1500), 90_000):
        key = f"{layout.number_prefix(namespace, 'digits')}/{layout.number_name(number)}"
        data = Claim(number=number, claimant=f"run/{number}", claimed="2026-01-01T00:00:00Z").to_json()
        if number % 10 == 0 or number > 1490:
            store.put_bytes(key, data)
    requests: list[str] = []

    def counted(method: str) -> Callable[..., object]:
        original = getattr(ObjectStore, method)

        def call(self: ObjectStore, *args: object, **kwargs: object) -> object:
            requests.append(method)
            return original(self, *args, **kwargs)

        return call

    for method in ("get_bytes", "create", "list"):
        monkeypatch.setattr(ObjectStore, method, counted(method))
    assert allocate(store, namespace, "digits", "run/new") == 90_001
    assert len(requests) < 50
    requests.clear()
    assert allocate(store, namespace, "digits", "run/newer", above=90_001) == 90_002
    assert requests == ["get_bytes", "list", "create", "get_bytes", "create"]
    requests.clear()
    assert allocate(store, namespace, "digits", "run/newer", above=90_001) == 90_002
    assert requests == ["get_bytes"] * 3


def test_an_unreadable_claim_yields_no_number(store: ObjectStore, namespace: str) -> None:
    assert allocate(store, namespace, "digits", "run/a") == 1
    key = f"{layout.number_prefix(namespace, 'digits')}/{layout.number_name(1)}"
    store.put_bytes(key, b"{}")
    for ask in (
        lambda: allocate(store, namespace, "digits", "run/a"),
        lambda: claim(store, namespace, "digits", 1, "x"),
    ):
        with pytest.raises(RecordError, match=f"{key} cannot be read: the holder of the number is unknown"):
            ask()
    assert allocate(store, namespace, "digits", "run/b") == 2


def test_the_last_version_number_is_reported(store: ObjectStore, namespace: str) -> None:
    assert claim(store, namespace, "digits", layout.MAX_NUMBER, "manifest/x") == "manifest/x"
    with pytest.raises(StoreError, match=f"no version number is left, {layout.MAX_NUMBER} is taken"):
        allocate(store, namespace, "digits", "run/a")
    for number in (0, layout.MAX_NUMBER + 1):
        with pytest.raises(ValueError, match="cannot be the number of a version"):
            claim(store, namespace, "digits", number, "manifest/x")


def test_claims_are_not_accepted_as_models(store: ObjectStore, namespace: str) -> None:
    assert allocate(store, namespace, "digits", "run/a") == 1
    for path in ("numbers", f"numbers/{layout.number_name(1)}", "claimants"):
        with pytest.raises(ValueError, match="is not the prefix of a model's version"):
            source_of_uri(store, f"s3://{store.config.bucket}/models/{namespace}/digits/{path}")


def test_many_attempts_end(store: ObjectStore, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "ATTEMPTS", 2)
    assert allocate(store, namespace, "digits", "run/a") == 1
    assert allocate(store, namespace, "digits", "run/a", taken={1}) == 2
    with pytest.raises(StoreUnavailable, match="other claimants keep winning"):
        allocate(store, namespace, "digits", "run/a", taken={1, 2})
