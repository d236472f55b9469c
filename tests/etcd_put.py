"""Puts what stands in a file into the etcd of this network namespace: key and value a line, as base64.

``tests.generated`` runs it inside a local cluster. Standard library only.
"""

import json
import sys
import urllib.request
from itertools import islice
from pathlib import Path

_URL = "http://127.0.0.1:2379/v3/kv/txn"
#: As many operations as etcd takes in one transaction.
_BATCH = 128


def main(path: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with path.open() as lines:
        while batch := list(islice(lines, _BATCH)):
            puts = [dict(zip(("key", "value"), line.split(), strict=True)) for line in batch]
            body = json.dumps({"success": [{"requestPut": put} for put in puts]}).encode()
            with opener.open(urllib.request.Request(_URL, data=body), timeout=60) as answer:
                assert json.load(answer)["succeeded"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
