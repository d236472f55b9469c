"""`python -m assay.signing keygen|keys|verify`: create a key pair, list key ids, verify a signature.

`verify` takes files or `s3://` addresses in the store that the ASSAY_STORE_* variables configure.
Exit codes: 0 success, 1 verification failed, 2 invalid usage or input, 3 the store did not answer.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from assay.signing.checking import Report, verify
from assay.signing.errors import KeyUnusable, SigningError
from assay.signing.keygen import make_keys
from assay.signing.keys import Keyring, key_id, public_pem, read_public
from assay.signing.settings import KEY, PUBLIC_KEYS
from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from assay.store.errors import ConfigError, StoreError
from assay.store.limits import MAX_MANIFEST_BYTES
from assay.store.models import parse_uri


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        code: int = chosen.command(chosen)
    except (ConfigError, KeyUnusable, ValueError, OSError) as error:
        return _complain(str(error), 2)
    except SigningError as error:
        return _complain(f"NOT VERIFIED: {error}", 1)
    except StoreError as error:
        return _complain(str(error), 3)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m assay.signing", description=__doc__)
    commands = parser.add_subparsers(required=True)
    found = commands.add_parser("keygen", help=f"write {KEY} and {PUBLIC_KEYS} to a folder")
    found.add_argument("folder", type=Path)
    found.add_argument("--rotate", action="store_true", help="replace the existing key")
    found.set_defaults(command=_keygen)
    found = commands.add_parser("keys", help="show the ids of public keys")
    found.add_argument("file", type=Path)
    found.add_argument(
        "--pem", metavar="ID", help="print the key with this id as PEM, for tools that take a single key"
    )
    found.set_defaults(command=_keys)
    found = commands.add_parser("verify", help="verify a model's bundle or a run's provenance")
    found.add_argument("signature", help="a file, or s3://<bucket>/<key>")
    found.add_argument("--keys", type=Path, required=True, metavar="FILE", help="the public keys to trust")
    found.add_argument(
        "--model", type=Path, metavar="PATH", help="the model's folder or file; all of its bytes are verified"
    )
    found.add_argument("--manifest", type=Path, metavar="FILE", help="the run's manifest.json")
    found.add_argument("--json", action="store_true", help="print the report as JSON, including the statement")
    found.set_defaults(command=_verify)
    return parser


def _keygen(chosen: argparse.Namespace) -> int:
    try:
        made = make_keys(chosen.folder, rotate=chosen.rotate)
    except FileExistsError:
        return _complain(f"{chosen.folder / KEY} already exists: use --rotate to replace it", 2)
    _print(f"{chosen.folder / KEY}: the key {made}")
    return 0


def _keys(chosen: argparse.Namespace) -> int:
    keys = {key_id(key): key for key in read_public(chosen.file)}
    if chosen.pem is None:
        sys.stdout.writelines(f"{key}\n" for key in keys)
    elif chosen.pem in keys:
        sys.stdout.write(public_pem(keys[chosen.pem]).decode())
    else:
        return _complain(f"{chosen.file} has no key {chosen.pem}", 2)
    return 0


def _verify(chosen: argparse.Namespace) -> int:
    keys = read_public(chosen.keys)
    if not keys:
        raise ValueError(f"{chosen.keys} holds no public key")
    report = verify(Keyring.of(None, keys), _read(chosen.signature), chosen.model, chosen.manifest)
    if chosen.json:
        _print(json.dumps(report._asdict()))
    else:
        _print_report(report, chosen)
    return 0


def _print_report(report: Report, chosen: argparse.Namespace) -> None:
    _print(f"verified: {report.kind} of {', '.join(report.names)} ({report.digest})")
    _print(f"  signed with the key {report.key}")
    if report.statement:
        run = report.statement["predicate"]["buildDefinition"]["externalParameters"]["metadata"]
        details = report.statement["predicate"]["runDetails"]
        _print(f"  made by run {run['namespace']}/{run['name']} ({details['metadata']['invocationId']})")
        for each in report.statement["predicate"]["buildDefinition"]["resolvedDependencies"]:
            digest = ", ".join(f"{kind}:{value}" for kind, value in each.get("digest", {}).items())
            _print(f"  from {each['name']} {each['uri']} ({digest or 'no digest'})")
    if chosen.model is None:
        _print("the model's bytes were not verified: pass them with --model")


def _read(signature: str) -> bytes:
    if not signature.startswith("s3://"):
        return Path(signature).read_bytes()
    bucket, key = parse_uri(signature)
    config = StoreConfig.from_environment(os.environ | {"ASSAY_STORE_BUCKET": bucket})
    return ObjectStore(config).get_bytes(key, MAX_MANIFEST_BYTES)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


def _complain(line: str, code: int) -> int:
    sys.stderr.write(line + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
