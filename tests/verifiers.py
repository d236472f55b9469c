"""What others verify with: the packages model-signing, securesystemslib and in-toto-attestation. None of it is ours."""

import json
from pathlib import Path
from typing import Any

import model_signing
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey


def model_signing_verify(model: Path, signature: Path, public_key: Path) -> None:
    """Verify a model's folder with the OpenSSF's package. Raises whatever it raises."""
    config = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    config.verify(model, signature)


def open_envelope(data: bytes, public_keys: dict[str, bytes]) -> dict[str, Any]:
    """Verify a DSSE envelope with securesystemslib, by PEM keys with their ids; return the payload."""
    envelope = Envelope.from_dict(json.loads(data))
    keys = [SSlibKey.from_crypto(load_pem_public_key(pem), name) for name, pem in public_keys.items()]  # type: ignore[arg-type]
    envelope.verify(list(keys), 1)
    assert envelope.payload_type == "application/vnd.in-toto+json"
    found: dict[str, Any] = json.loads(envelope.payload)
    return found


def read_provenance(statement: dict[str, Any]) -> tuple[Any, Any]:
    """Read a statement and its predicate by in-toto's own schemas, which refuse every field that they do not know."""
    parsed = json_format.ParseDict(statement, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    predicate = json_format.ParseDict(json_format.MessageToDict(parsed.predicate), provenance_pb2.Provenance())
    return parsed, predicate
