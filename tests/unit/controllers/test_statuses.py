import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.api import resources
from assay.controllers.runtime import statuses
from assay.controllers.runtime.queue import Requeue
from assay.kube import aio

pytestmark = pytest.mark.unit

Raw = dict[str, Any]

keys = st.sampled_from(["a", "b", "c", "d"])
# A status has no nulls: to_dict leaves them out. In a merge patch a null means: remove.
values = st.recursive(
    st.booleans() | st.integers(0, 3) | st.text(max_size=2) | st.floats(0, 1),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=4)


def merge_patch(target: Any, patch: Any) -> Any:
    """The pseudo code of RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


@given(objects, objects)
def test_the_difference_turns_the_old_into_the_new(old: Raw, new: Raw) -> None:
    before = copy.deepcopy((old, new))
    assert merge_patch(old, statuses.difference(old, new)) == new
    assert (old, new) == before


@given(objects)
def test_equal_statuses_have_no_difference(one: Raw) -> None:
    assert statuses.difference(one, copy.deepcopy(one)) == {}


@given(objects, objects)
def test_a_difference_names_only_what_differs(old: Raw, new: Raw) -> None:
    patch = statuses.difference(old, new)
    assert not {name for name in patch if name in old and name in new and old[name] == new[name]}


def test_one_changed_condition_replaces_the_whole_list() -> None:
    old = {"phase": "Running", "runs": {"running": 1, "failed": 0}, "conditions": [1, 2]}
    new = {"phase": "Running", "runs": {"running": 2, "failed": 0}, "conditions": [1, 3], "best": {"run": "a"}}
    assert statuses.difference(old, new) == {"runs": {"running": 2}, "conditions": [1, 3], "best": {"run": "a"}}


class Server:
    """Stands in for the API server where it refuses: what a real one does is tested with a real one."""

    def __init__(self, answer: Raw | aio.ApiError | None = None, fresh: Raw | None = None) -> None:
        self.answer, self.fresh, self.patches = answer, fresh, list[Any]()

    async def merge_patch(self, *request: Any) -> Raw | None:
        self.patches.append(request)
        if isinstance(self.answer, aio.ApiError):
            raise self.answer
        return self.answer

    async def get(self, *_: Any) -> Raw | None:
        return self.fresh


BODY: Raw = {
    "metadata": {"namespace": "team", "name": "a", "uid": "u", "resourceVersion": "7"},
    "status": {"phase": "Pending", "message": "wait"},
}


async def write(server: Server, status: Raw, seen: list[Raw] | None = None) -> Raw | None:
    found: Any = server
    return await statuses.write(found, resources.RUNS, BODY, status, (seen if seen is not None else []).append)


async def test_an_unchanged_status_is_not_written() -> None:
    server = Server()
    assert await write(server, dict(BODY["status"])) is BODY
    assert server.patches == []


async def test_a_changed_status_is_written_over_what_was_read() -> None:
    server = Server(answer={"new": "body"})
    assert await write(server, {"phase": "Running"}) == {"new": "body"}
    assert server.patches == [
        (
            resources.RUNS,
            "team",
            "a",
            {
                "metadata": {"resourceVersion": "7", "uid": "u"},
                "status": {"phase": "Running", "message": None},
            },
            "status",
        )
    ]


async def test_writing_the_status_of_a_deleted_object_returns_none() -> None:
    assert await write(Server(answer=None), {"phase": "Running"}) is None


async def test_a_conflict_returns_the_current_object_and_requeues() -> None:
    conflict = aio.ApiError(409, "Conflict", "the object has been modified")
    fresh, seen = {"metadata": {"resourceVersion": "8"}}, list[Raw]()
    with pytest.raises(Requeue, match="the object has been modified"):
        await write(Server(answer=conflict, fresh=fresh), {"phase": "Running"}, seen)
    assert seen == [fresh]
    with pytest.raises(Requeue):
        await write(Server(answer=conflict), {"phase": "Running"}, seen)
    assert seen == [fresh], "one that is gone by now is not shown"


async def test_other_refusals_are_errors() -> None:
    refusal = aio.ApiError(422, "Invalid", "status.phase: Unsupported value")
    with pytest.raises(aio.ApiError) as caught:
        await write(Server(answer=refusal), {"phase": "Running"})
    assert caught.value.permanent
