from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assay.recorder.collectors.mlflow.limits import Limits
from tests.unit.recorder.mlflow.endpoint import Endpoint


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Endpoint]]:
    served = []

    def start(**limits: int) -> Endpoint:
        served.append(Endpoint(tmp_path / str(len(served)), Limits(**limits)))
        return served[-1]

    yield start
    for each in served:
        each.close()
        assert each.failures == []


@pytest.fixture
def endpoint(serve: Callable[..., Endpoint]) -> Endpoint:
    return serve()
