"""Issues credentials for pods: temporary (STS AssumeRole), or static where the store has no STS.

A session policy limits temporary credentials. The credentials of a run can only write below the run's `intake/`. The
credentials of a registered model, and those of a run's data sets, can only read and list the objects below its prefix.
Those of a namespace's people can read and list what Assay keeps of the namespace.
All runs share the same static credentials, whose rights the store's administrator sets.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

import urllib3
from minio.credentials.credentials import Credentials as SigningKeys
from minio.signer import sign_v4_sts
from minio.time import to_amz_date

from assay.store import layout
from assay.store.client import http_pool
from assay.store.config import MIN_STS_SECONDS, StoreConfig
from assay.store.errors import StoreDenied, StoreError
from assay.store.faults import error_document, http_fault, translate
from assay.store.locations import Location

MAX_POLICY_CHARS = 2048  # the limit of both AWS and MinIO
_MAX_FIELD_CHARS = 65536
#: Characters of a key that a policy reads as a pattern or a variable; a question mark matches any one character.
_LITERAL = re.compile(r"[*?$\\]")


@dataclass(frozen=True)
class Credentials:
    """The address and keys that a pod uses for the store. `expires` is None for static keys; `ca` is PEM text or ""."""

    endpoint: str
    region: str
    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    expires: datetime | None = None
    ca: str = field(default="", repr=False)

    def to_json(self) -> str:
        """Return the text for the Secret's key `credentials.json`."""
        return json.dumps(asdict(self) | {"expires": self.expires.isoformat() if self.expires else None})

    @classmethod
    def from_json(cls, text: str | bytes) -> Credentials:
        """Parse the output of `to_json`. Raises ValueError, which never quotes the text."""
        try:
            found = json.loads(text)
            values = {f.name: found[f.name] for f in fields(cls) if f.name in found}
            expires = values.pop("expires", None)
            for name, value in values.items():
                _check_field(name, value)
            return cls(**values, expires=datetime.fromisoformat(expires) if expires else None)
        except (ValueError, TypeError, KeyError):
            raise ValueError("not credentials as Assay writes them") from None

    def store_config(self) -> StoreConfig:
        """Return the configuration of an ObjectStore that uses these credentials."""
        return StoreConfig(
            endpoint=self.endpoint,
            region=self.region,
            bucket=self.bucket,
            access_key=self.access_key,
            secret_key=self.secret_key,
            session_token=self.session_token,
            ca_pem=self.ca,
        )


def _check_field(name: str, value: object) -> None:
    if not isinstance(value, str) or len(value) > _MAX_FIELD_CHARS:
        raise TypeError(name)


def issue_run_credentials(config: StoreConfig, run_prefix: str) -> Credentials:
    """Issue credentials for the pods of one run. Blocks for one request.

    Raises StoreUnavailable, StoreDenied, StoreError; ValueError if `run_prefix` is not the prefix of a run.
    """
    layout.parse_run_prefix(run_prefix)
    return _issue(config, session_policy(config.bucket, run_prefix))


def issue_model_credentials(config: StoreConfig, model_prefix: str, ttl: timedelta | None = None) -> Credentials:
    """Issue credentials for the pods that serve one version of a model. Blocks for one request.

    They are valid for `ttl` (at least the store's minimum of 15 minutes), or as long as those of a run. In static
    mode they are the keys of runs, which must then be able to read `models/`. Raises the errors of
    `issue_run_credentials`.
    """
    layout.parse_model_prefix(model_prefix)
    return _issue(replace(config, sts_duration=ttl or config.sts_duration), read_policy(config.bucket, model_prefix))


def issue_read_credentials(config: StoreConfig, namespace: str, audit_bucket: str = "") -> Credentials | None:
    """Issue credentials that can read the records, models and audit trail of a namespace; None in static mode.

    `audit_bucket` is "" if the trail is in the store's bucket. Blocks for one request. Raises the errors of
    `issue_run_credentials`.
    """
    if not config.sts:
        return None
    # People and the server use the operator's address of the store, not the one of pods.
    return _issue(replace(config, run_endpoint=""), namespace_policy(config.bucket, namespace, audit_bucket))


def namespace_policy(bucket: str, namespace: str, audit_bucket: str = "") -> str:
    """Return the policy that allows reading and listing what Assay keeps of a namespace, nothing else."""
    trail = f"{layout.audit_prefix(namespace)}/*"
    folders = {bucket: [f"runs/{namespace}/*", f"models/{namespace}/*"]}
    folders.setdefault(audit_bucket or bucket, []).append(trail)
    objects = [f"arn:aws:s3:::{each}/{folder}" for each, patterns in folders.items() for folder in patterns]
    listing = [_listing(each, patterns) for each, patterns in folders.items()]
    return _policy(f"the namespace {namespace}", [_reading(objects), *listing])


def issue_dataset_credentials(config: StoreConfig, places: Mapping[str, Location]) -> str:
    """Issue credentials that can read the data sets of one run; return them, with their names, as a Secret's text.

    Makes one request per policy; a policy covers as many data sets as fit. In static mode they are the keys of runs,
    which must then be able to read the data sets. Raises the errors of `issue_run_credentials`.
    """
    issued = [
        {"names": names, "credentials": json.loads(_issue(config, policy).to_json())}
        for names, policy in dataset_policies(places)
    ]
    return json.dumps(issued)


def dataset_credentials(text: str | bytes, name: str) -> Credentials:
    """Return one data set's credentials from such a text. Raises ValueError, which never quotes the text."""
    try:
        found = next((each["credentials"] for each in json.loads(text) if name in each["names"]), None)
    except (ValueError, TypeError, KeyError):
        raise ValueError("not credentials as Assay writes them") from None
    if found is None:
        raise ValueError(f"no credentials for the data set {name}")
    return Credentials.from_json(json.dumps(found))


def dataset_policies(places: Mapping[str, Location]) -> list[tuple[list[str], str]]:
    """Return the policies that allow reading and listing the data sets, each with the names of its data sets.

    Raises ValueError if the address of a single data set is too long for one policy.
    """
    found: list[tuple[list[str], str]] = []
    for name, place in sorted(places.items()):
        names = [*found[-1][0], name] if found else [name]
        try:
            policy = _dataset_policy({each: places[each] for each in names})
        except ValueError:
            names, policy = [name], _dataset_policy({name: place})
            found.append((names, policy))
        else:
            found[-1:] = [(names, policy)]
    return found


def _dataset_policy(places: Mapping[str, Location]) -> str:
    literal = {name: Location(place.bucket, _LITERAL.sub("?", place.key)) for name, place in places.items()}
    objects = sorted({f"arn:aws:s3:::{place.bucket}/{key}" for place in literal.values() for key in _readable(place)})
    folders: dict[str, set[str]] = {}
    for place in literal.values():
        folders.setdefault(place.bucket, set()).add(f"{place.folder}*")
    listing = [_listing(bucket, sorted(prefixes)) for bucket, prefixes in sorted(folders.items())]
    return _policy(f"the data sets {', '.join(places)}", [_reading(objects), *listing])


def _readable(place: Location) -> Iterable[str]:
    return (f"{place.folder}*",) if place.is_folder else (place.key, f"{place.folder}*")


def _reading(resources: list[str]) -> dict[str, object]:
    return {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": resources}


def _listing(bucket: str, patterns: list[str]) -> dict[str, object]:
    return {
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}"],
        "Condition": {"StringLike": {"s3:prefix": patterns}},
    }


def _issue(config: StoreConfig, policy: str) -> Credentials:
    if not config.sts:
        return _credentials(config, config.run_access_key, config.run_secret_key, "", None)
    found = _assume_role(config, policy)
    expires = datetime.fromisoformat(found["Expiration"])
    return _credentials(
        config, found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], expires.astimezone(UTC)
    )


def session_policy(bucket: str, run_prefix: str) -> str:
    """Return the policy of a run's credentials: write and abort uploads below `intake/`, nothing else."""
    actions = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resource = f"arn:aws:s3:::{bucket}/{layout.intake(run_prefix)}/*"
    return _policy(run_prefix, [{"Effect": "Allow", "Action": actions, "Resource": [resource]}])


def read_policy(bucket: str, model_prefix: str) -> str:
    """Return the policy of a model's credentials: read and list below its prefix, nothing else."""
    objects = [f"arn:aws:s3:::{bucket}/{model_prefix}/*"]
    return _policy(model_prefix, [_reading(objects), _listing(bucket, [f"{model_prefix}/*"])])


def _policy(prefix: str, statements: list[dict[str, object]]) -> str:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(text) > MAX_POLICY_CHARS:
        raise ValueError(f"the session policy for {prefix} has {len(text)} characters, more than stores accept")
    return text


def _credentials(
    config: StoreConfig, access_key: str, secret_key: str, token: str, expires: datetime | None
) -> Credentials:
    return Credentials(
        endpoint=config.run_endpoint or config.endpoint,
        region=config.region,
        bucket=config.bucket,
        access_key=access_key,
        secret_key=secret_key,
        session_token=token,
        expires=expires,
        ca=config.authorities(),
    )


def _assume_role(config: StoreConfig, policy: str) -> dict[str, str]:
    """Request credentials that `policy` limits from the STS endpoint. Returns the fields of the response."""
    endpoint = config.sts_endpoint or config.endpoint

    def message(reason: str) -> str:
        return f"{endpoint} AssumeRole: {reason}"

    body = urlencode(_question(config, policy))
    pool = http_pool(config)
    try:
        response = pool.request("POST", endpoint + "/", body=body, headers=_signed(config, endpoint, body))
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise translate(error, message) from None
    finally:
        pool.clear()
    if response.status != 200:
        raise _refusal(response.status, response.data, message(""))
    return _answer(response.data, message("the answer is not an AssumeRoleResponse"))


def _question(config: StoreConfig, policy: str) -> dict[str, str]:
    question = {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "DurationSeconds": str(max(MIN_STS_SECONDS, int(config.sts_duration.total_seconds()))),
        "Policy": policy,
    }
    if config.role_arn:
        question |= {"RoleArn": config.role_arn, "RoleSessionName": "assay"}
    return question


def _signed(config: StoreConfig, endpoint: str, body: str) -> dict[str, str]:
    """Return the signed headers of the request. minio's own provider cannot request less than an hour."""
    now = datetime.now(UTC)
    url = urlsplit(endpoint + "/")
    default_port = {"http": 80, "https": 443}[url.scheme] == url.port
    headers = sign_v4_sts(
        method="POST",
        url=url,
        region=config.region,
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Host": (url.hostname or "") if default_port else url.netloc,
            "X-Amz-Date": to_amz_date(now),
        },
        credentials=SigningKeys(access_key=config.access_key, secret_key=config.secret_key),
        content_sha256=hashlib.sha256(body.encode()).hexdigest(),
        date=now,
    )
    return {name: str(value) for name, value in headers.items()}


def _refusal(status: int, body: bytes, where: str) -> StoreError:
    fault = http_fault(status, body, lambda reason: where + reason)
    code, _ = error_document(body)
    if isinstance(fault, StoreDenied) or code in ("AccessDenied", "InvalidParameterValue"):
        hint = "; the operator's key must belong to a user of the store (service accounts cannot AssumeRole)"
        return type(fault)(f"{fault}{hint}")
    return fault


def _answer(body: bytes, error: str) -> dict[str, str]:
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 (the response of our own store)
    except ElementTree.ParseError:
        raise StoreError(error) from None
    found = {re.sub(r"^\{.*\}", "", element.tag): element.text or "" for element in root.iter()}
    if not all(found.get(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")):
        raise StoreError(error)
    return found
