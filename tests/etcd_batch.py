"""Sends what stands in a file to the etcd of this network namespace, in large transactions.

    python etcd_batch.py requestPut FILE            a line is a key and its value
    python etcd_batch.py requestDeleteRange FILE    a line is the first key and the one after the last

All as base64. ``tests.generated`` runs it inside a local cluster. Standard library only.
"""

import json
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

_URL = "http://127.0.0.1:2379/v3/kv/txn"
#: As many operations, and bytes of base64, as etcd takes in one transaction.
_BATCH, _BYTES = 128, 1_200_000
_FIELDS = {"requestPut": ("key", "value"), "requestDeleteRange": ("key", "rangeEnd")}


def main(operation: str, path: Path) -> None:
    """Send them all."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with path.open() as lines:
        for batch in _batches(lines):
            wanted = [dict(zip(_FIELDS[operation], line.split(), strict=True)) for line in batch]
            body = json.dumps({"success": [{operation: each} for each in wanted]}).encode()
            with opener.open(urllib.request.Request(_URL, data=body), timeout=60) as answer:
                assert json.load(answer)["succeeded"]


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    room = _BYTES
    for line in lines:
        if batch and (len(batch) == _BATCH or len(line) > room):
            yield batch
            batch, room = [], _BYTES
        batch.append(line)
        room -= len(line)
    if batch:
        yield batch


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
