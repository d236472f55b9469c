import asyncio
from typing import cast

import pytest
from prometheus_client import REGISTRY

from assay.controllers import metrics
from assay.store.aio import AsyncStore
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, RecordError, StoreUnavailable

pytestmark = pytest.mark.unit

Told = list[tuple[str, float, BaseException | None]]


class Bucket:
    def read(self, key: str) -> bytes:
        if key == "lost":
            raise StoreUnavailable("no answer")
        return key.encode()


async def test_each_operation_is_observed_with_its_name_and_exception() -> None:
    told: Told = []
    bucket = Bucket()
    store = AsyncStore(cast(ObjectStore, bucket), 1, lambda *what: told.append(what))
    assert await store.run(bucket.read, "a") == b"a"
    with pytest.raises(StoreUnavailable, match="no answer"):
        await store.run(bucket.read, key="lost")
    assert await store.compute(len, "abc") == 3
    store.close()
    assert [(name, type(error)) for name, _, error in told] == [
        ("Bucket.read", type(None)),
        ("Bucket.read", StoreUnavailable),
    ]
    assert all(0 <= seconds < 60 for _, seconds, _ in told)


async def test_without_an_observer_nothing_is_reported() -> None:
    bucket = Bucket()
    store = AsyncStore(cast(ObjectStore, bucket), 1)
    assert await asyncio.gather(*(store.run(bucket.read, key) for key in "ab")) == [b"a", b"b"]
    store.close()


@pytest.mark.parametrize(
    ("error", "counted"),
    [(StoreUnavailable("x"), 1), (NotFound("x"), 0), (RecordError("x"), 0), (ValueError("x"), 0), (None, 0)],
)
def test_only_failures_of_the_store_are_counted_as_errors(error: Exception | None, counted: int) -> None:
    operation = f"operation_{type(error).__name__}"
    metrics.store_operation(operation, 0.1, error)
    labels = {"operation": operation, "error": type(error).__name__}
    found = REGISTRY.get_sample_value("assay_store_errors_total", labels)
    assert (found or 0) == counted
    seconds = REGISTRY.get_sample_value("assay_store_operation_duration_seconds_count", {"operation": operation})
    assert seconds == 1
