"""The schema of a Job that `assay validate` ships: the API server's own, without descriptions.

python -m tests.job_schema FILE      write it, from the API server's answer in FILE
(kubectl get --raw /openapi/v3/apis/batch/v1)
"""

import json
import sys
from pathlib import Path
from typing import Any

from assay.cli.manifests import jobs

Raw = dict[str, Any]
ROOT = "io.k8s.api.batch.v1.JobSpec"
#: Types that take numbers and texts alike.
_OPEN = ("Quantity", "IntOrString")


def compact(document: Raw) -> Raw:
    """Return the definitions that a JobSpec needs, by their last name, each with what a check needs."""
    known, found, waiting = document["components"]["schemas"], {}, [ROOT]
    while waiting:
        name = waiting.pop()
        if _short(name) in found:
            continue
        found[_short(name)] = _node(known[name], waiting) if _short(name) not in _OPEN else {}
    return dict(sorted(found.items()))


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _node(node: Raw, waiting: list[str]) -> Raw:
    reference = node.get("$ref") or next((each["$ref"] for each in node.get("allOf", [])), "")
    if reference:
        waiting.append(reference.rpartition("/")[2])
        return {"$ref": _short(reference)}
    found = {key: node[key] for key in ("type", "enum", "required") if key in node}
    if node.get("format") == "date-time":
        found["format"] = "date-time"
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            found[key] = _node(node[key], waiting)
    if "properties" in node:
        found["properties"] = {name: _node(each, waiting) for name, each in sorted(node["properties"].items())}
    return found


def written(document: Raw) -> str:
    """Return the text of the file."""
    return json.dumps(compact(document), indent=0, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    jobs.FILE.write_text(written(json.loads(Path(sys.argv[1]).read_text())))
