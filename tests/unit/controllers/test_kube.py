import pytest

from assay.api.resources import RUNS
from assay.kube.aio import Kube
from assay.kube.errors import ApiError

pytestmark = pytest.mark.unit

#: As a Run's name these would lead to something else: clients take ".." for the folder above.
NAMES = ["../../other/runs/theirs", "..", ".", "a/b", "%2e%2e"]


@pytest.mark.parametrize("name", NAMES)
async def test_invalid_object_names_are_never_requested(name: str) -> None:
    kube = Kube(1)  # not connected: a request would fail
    assert await kube.get(RUNS, "team", name) is None
    assert await kube.get(RUNS, name, "run") is None
    assert await kube.merge_patch(RUNS, "team", name, {}) is None
    await kube.delete(RUNS, "team", name)
    with pytest.raises(ApiError) as caught:
        await kube.apply(RUNS, "team", name, {})
    assert caught.value.status == 404
