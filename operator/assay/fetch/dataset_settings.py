"""Settings that the operator passes in the environment of the init containers that fetch a run's data sets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.fetch.errors import SettingsError
from assay.fetch.settings import digest, number, required
from assay.store.config import StoreConfig, is_endpoint
from assay.store.limits import MAX_DATASETS
from assay.store.locations import parse

VARIABLE = "ASSAY_FETCH_DATASETS"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9_.]*[a-z0-9])?")


@dataclass(frozen=True)
class Dataset:
    """One data set. `digest` is "" if none was declared."""

    name: str
    uri: str
    digest: str = ""

    @property
    def by_web(self) -> bool:
        """Whether it is fetched from a web server."""
        return self.uri.startswith("https://")


@dataclass(frozen=True)
class Source:
    """Store settings from a Secret of the namespace. The operator's own store supplies missing ones."""

    endpoint: str
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    ca: str = field(default="", repr=False)

    def store_config(self, bucket: str) -> StoreConfig:
        """The configuration of a client for a bucket."""
        return StoreConfig(
            endpoint=self.endpoint,
            region=self.region,
            bucket=bucket,
            access_key=self.access_key,
            secret_key=self.secret_key,
            session_token=self.session_token,
            ca_pem=self.ca,
        )


@dataclass(frozen=True)
class DatasetSettings:
    """What to fetch, and the destination. Each data set goes to `directory`/<name>; `report` lists the digests.

    The keys of `source` are used if it is set, otherwise the credentials that the operator issued, in the file
    `credentials`. Requests are retried until the store has not answered for `retry_seconds`.
    """

    datasets: tuple[Dataset, ...]
    directory: Path
    report: Path
    credentials: Path
    source: Source | None = None
    retry_seconds: float = 120.0
    workers: int = 8

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> DatasetSettings:
        """Read the ASSAY_* variables. Raises SettingsError."""
        datasets = _datasets(required(env, VARIABLE))
        directory = Path(required(env, "ASSAY_FETCH_DIR"))
        if not directory.is_absolute() or ".." in directory.parts or directory == Path("/"):
            raise SettingsError(f"ASSAY_FETCH_DIR is {str(directory)!r}: it must be a folder")
        return cls(
            datasets=datasets,
            directory=directory,
            report=Path(required(env, "ASSAY_FETCH_REPORT")),
            credentials=Path(env.get("ASSAY_CREDENTIALS") or "/var/run/assay/store/datasets.json"),
            source=_source(env, keys=not all(each.by_web for each in datasets)),
            retry_seconds=number(env, "ASSAY_FETCH_RETRY_SECONDS", 120, 1, 86_400),
            workers=number(env, "ASSAY_FETCH_WORKERS", 8, 1, 32),
        )


def _datasets(text: str) -> tuple[Dataset, ...]:
    try:
        found = tuple(Dataset(each["name"], each["uri"], each.get("digest") or "") for each in json.loads(text))
        names = {each.name for each in found if _NAME.fullmatch(each.name)}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise SettingsError(f"{VARIABLE} is not a list of data sets") from None
    if not 1 <= len(found) == len(names) <= MAX_DATASETS:
        raise SettingsError(f"{VARIABLE}: it must list 1 to {MAX_DATASETS} data sets with distinct, valid names")
    for each in found:
        _check(each)
    return found


def _check(dataset: Dataset) -> None:
    where = f"{VARIABLE}: data set {dataset.name}"
    if dataset.digest:
        digest(where, dataset.digest)
    if dataset.by_web and not dataset.digest:
        raise SettingsError(f"{where}: a data set from an https:// address needs a digest")
    if not dataset.by_web:
        try:
            parse(dataset.uri)
        except ValueError as error:
            raise SettingsError(f"{where}: {error}") from None


def _source(env: Mapping[str, str], *, keys: bool) -> Source | None:
    """Read the variables from the Secret that ASSAY_SOURCE names; None if it names no Secret."""
    secret = env.get("ASSAY_SOURCE", "").strip()
    if not secret:
        return None
    own = _of_secret(env, secret, "ENDPOINT", "endpoint")
    return Source(
        endpoint=_endpoint(own, secret) if own else env.get("ASSAY_FETCH_ENDPOINT", "").strip(),
        region=_of_secret(env, secret, "REGION", "region")
        or ("" if own else env.get("ASSAY_FETCH_REGION", "").strip())
        or "us-east-1",
        access_key=_of_secret(env, secret, "ACCESS_KEY", "accessKey", needed=keys),
        secret_key=_of_secret(env, secret, "SECRET_KEY", "secretKey", needed=keys),
        session_token=_of_secret(env, secret, "SESSION_TOKEN", "sessionToken"),
        ca=_of_secret(env, secret, "CA", "ca") or ("" if own else env.get("ASSAY_FETCH_CA", "")),
    )


def _of_secret(env: Mapping[str, str], secret: str, name: str, key: str, *, needed: bool = False) -> str:
    # A value that was put into a Secret from a file often ends with a newline.
    value = env.get(f"ASSAY_SOURCE_{name}", "").strip()
    if needed and not value:
        raise SettingsError(f"the Secret {secret} has no value at the key {key}")
    return value


def _endpoint(value: str, secret: str) -> str:
    if not is_endpoint(value):
        raise SettingsError(
            f"the Secret {secret} has an invalid value at the key endpoint: use a URL such as "
            "https://store.example.com:9000"
        )
    return value.rstrip("/")
