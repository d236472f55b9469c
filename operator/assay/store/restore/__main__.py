"""`python -m assay.store.restore NAMESPACE`: rebuild the manifests of a namespace from the store and the audit trail.

Reads the store (ASSAY_STORE_*, ASSAY_AUDIT_BUCKET) and writes YAML. It applies nothing and needs no cluster.
Exit codes: 0 success, 1 the trail is not intact and nothing was written, 2 invalid usage or input, 3 the store did not
answer.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from assay.api import names
from assay.store import clock
from assay.store.audit import AuditSettings, Head, Report, verify_store
from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from assay.store.errors import ConfigError, StoreError
from assay.store.restore.gathering import restore
from assay.store.restore.manifests import Restored
from assay.store.restore.text import write

_APPROVALS = (
    "Approvals are not included: people must give them again under their own names. Until then the policies in force",
    "block the aliases. Soak times start over, and an alias can be rolled back only to versions that it points to",
    "after the restore.",
    "To apply this file, you need the right to create these kinds and the verbs delegate (for the owners) and bind.",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        return _restore(chosen)
    except (ConfigError, ValueError, OSError) as error:
        return _complain(str(error), 2)
    except StoreError as error:
        return _complain(str(error), 3)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m assay.store.restore", description=__doc__)
    parser.add_argument("namespace")
    parser.add_argument("--to", type=Path, metavar="FILE", help="output file (default: standard output)")
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="SEQUENCE:SHA256",
        help="a known head of the trail, or @FILE; repeatable",
    )
    parser.add_argument("--damaged", action="store_true", help="continue although the trail is not intact")
    return parser


def _restore(chosen: argparse.Namespace) -> int:
    config = StoreConfig.from_environment(os.environ)
    store, trail = ObjectStore(config), AuditSettings.from_environment(os.environ).store(config)
    report = verify_store(trail, chosen.namespace, [_expected(text) for text in chosen.expect])
    wrong = _wrong(report)
    for line in wrong:
        _complain(line, 0)
    if wrong and not chosen.damaged:
        return _complain("nothing was written; --damaged continues anyway", 1)
    found = restore(store, trail, chosen.namespace)
    _write(write(found, [*_head(report, wrong, expected=bool(chosen.expect)), *_APPROVALS]), chosen.to)
    for line in found.left_out:
        _complain(f"left out: {line}", 0)
    return _complain(_counted(found), 0)


def _wrong(report: Report) -> list[str]:
    """The problems of the trail, one per line."""
    if not report.records:
        return [f"audit trail of {report.namespace}: there is none"]
    found = [f"{finding.kind}: {finding.message}" for finding in report.findings]
    return [f"audit trail of {report.namespace}: NOT INTACT", *found] if found else []


def _head(report: Report, wrong: list[str], *, expected: bool) -> list[str]:
    """The lines at the top of the file: the sources of the manifests and the state of the trail."""
    if wrong:
        state = ["WARNING: these manifests are based on a trail that is not intact. Review every line.", *wrong]
    else:
        state = ["The trail is intact."]
        state += [] if expected else ["Without --expect, missing records at the end of the trail cannot be detected."]
    made = f"Rebuilt at {clock.now()} from the store and the audit trail of {report.namespace}, head {report.head}."
    return [made, *state]


def _counted(found: Restored) -> str:
    kinds = (names.PROMOTION_POLICY, names.MODEL_VERSION, names.MODEL_ALIAS)
    return ", ".join(f"{kind}: {found.count(kind)}" for kind in kinds) + f"; left out: {len(found.left_out)}"


def _write(text: str, where: Path | None) -> None:
    if where is None:
        sys.stdout.write(text)
    else:
        where.write_text(text, encoding="utf-8")


def _expected(text: str) -> Head:
    return Head.parse(Path(text[1:]).read_text(encoding="ascii") if text.startswith("@") else text)


def _complain(line: str, code: int) -> int:
    sys.stderr.write(line + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
