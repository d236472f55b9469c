"""What kopf reads through our session: watches whose lines arrive in any pieces, and credentials that were refused."""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import kopf
import pytest

from assay.controllers.runtime import kopf_session
from assay.kube.shallow import CUT

pytestmark = pytest.mark.unit


class Stream:
    """A response that arrives in pieces."""

    def __init__(self, text: bytes, size: int) -> None:
        self.pieces = [text[at : at + size] for at in range(0, len(text), size)]

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        """Yield the pieces."""
        for piece in self.pieces:
            yield piece


@pytest.mark.parametrize("size", [1, 7, 500, 100_000])
@pytest.mark.parametrize("end", [b"\n", b""])
async def test_lines_are_cut_one_by_one_however_they_arrive(size: int, end: bytes) -> None:
    deep = b'{"type": "ADDED", "object": ' + b"[" * 3000 + b"]" * 3000 + b"}"
    plain = '{"type": "BOOKMARK", "object": "é"}'.encode()
    stream = kopf_session._Lines(cast(Any, Stream(plain + b"\n" + deep + b"\n" + plain + end, size)))
    first, second, third = b"".join([piece async for piece in stream.iter_chunked(1)]).splitlines()
    assert first == third == plain
    assert CUT in json.dumps(json.loads(second))


async def test_credentials_that_were_refused_are_recognized() -> None:
    """Kopf would otherwise try the same token without end."""
    infos = [kopf.ConnectionInfo(server="https://api", token=token) for token in ("old", "old", "new")]
    first, again, other = found = [kopf_session.of(info) for info in infos]
    assert first == again
    assert first != other
    for each in found:
        await each.aiohttp_session.close()
