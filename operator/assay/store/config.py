"""Reads the store's address and credentials from environment variables. No error or repr contains a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from assay.store.errors import ConfigError

__all__ = ["ConfigError", "StoreConfig"]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MIN_STS_SECONDS, MAX_STS_SECONDS, DEFAULT_STS_SECONDS = 900, 604_800, 3_600


@dataclass(frozen=True)
class StoreConfig:
    """An S3-compatible store and its credentials.

    `endpoint` is a URL; its scheme selects TLS. `ca_file` and `ca_pem` add trusted certificates to the public
    ones. `run_endpoint` is the address that pods use. With `sts` pods get temporary credentials, otherwise the
    static `run_access_key` and `run_secret_key`.
    """

    endpoint: str
    region: str = "us-east-1"
    bucket: str = "assay"
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    ca_file: str = ""
    ca_pem: str = field(default="", repr=False)
    sts: bool = True
    sts_duration: timedelta = timedelta(seconds=DEFAULT_STS_SECONDS)
    sts_endpoint: str = ""
    role_arn: str = ""
    run_endpoint: str = ""
    run_access_key: str = field(default="", repr=False)
    run_secret_key: str = field(default="", repr=False)

    @property
    def secure(self) -> bool:
        """Whether the endpoint uses TLS."""
        return urlsplit(self.endpoint).scheme == "https"

    @property
    def host(self) -> str:
        """The host of the endpoint, with its port if the endpoint has one."""
        return urlsplit(self.endpoint).netloc

    def authorities(self) -> str:
        """Return the extra certificates as PEM text; "" if there are none. Raises ConfigError."""
        if self.ca_pem or not self.ca_file:
            return self.ca_pem
        try:
            return Path(self.ca_file).read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise ConfigError(f"ASSAY_STORE_CA_FILE: cannot read certificates from {self.ca_file}: {error}") from None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> StoreConfig:
        """Read the ASSAY_STORE_* variables. Raises ConfigError, which names the variable."""
        env = _Environment(environment)
        sts = env.choice("CREDENTIALS_MODE", "sts", ("sts", "static")) == "sts"
        endpoint = env.url("ENDPOINT", required=True)
        return cls(
            endpoint=endpoint,
            region=env.text("REGION", "us-east-1"),
            bucket=env.bucket("BUCKET", "assay"),
            access_key=env.required("ACCESS_KEY"),
            secret_key=env.required("SECRET_KEY"),
            ca_file=env.text("CA_FILE"),
            sts=sts,
            sts_duration=timedelta(seconds=env.seconds("STS_SECONDS", DEFAULT_STS_SECONDS)),
            sts_endpoint=env.url("STS_ENDPOINT") or endpoint,
            role_arn=env.text("ROLE_ARN"),
            run_endpoint=env.url("RUN_ENDPOINT") or endpoint,
            run_access_key="" if sts else env.required("RUN_ACCESS_KEY"),
            run_secret_key="" if sts else env.required("RUN_SECRET_KEY"),
        )


class _Environment:
    """Reads and checks variables with the common prefix. Each check raises ConfigError."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def text(self, name: str, default: str = "") -> str:
        return self._variables.get(f"ASSAY_STORE_{name}", "").strip() or default

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise ConfigError(f"ASSAY_STORE_{name} is not set")
        return value

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise ConfigError(f"ASSAY_STORE_{name} is {value!r}: it must be {' or '.join(choices)}")
        return value

    def seconds(self, name: str, default: int) -> int:
        text = self.text(name, str(default))
        value = int(text) if text.isascii() and text.isdigit() else -1
        if not MIN_STS_SECONDS <= value <= MAX_STS_SECONDS:
            raise ConfigError(
                f"ASSAY_STORE_{name} is {text!r}: it must be a number of seconds, "
                f"{MIN_STS_SECONDS} to {MAX_STS_SECONDS}"
            )
        return value

    def bucket(self, name: str, default: str) -> str:
        value = self.text(name, default)
        if not _BUCKET.fullmatch(value):
            raise ConfigError(f"ASSAY_STORE_{name} is {value!r}: not the name of a bucket")
        return value

    def url(self, name: str, *, required: bool = False) -> str:
        value = self.required(name) if required else self.text(name)
        if value:
            _check_endpoint(f"ASSAY_STORE_{name}", value)
        return value.rstrip("/")


def _check_endpoint(variable: str, value: str) -> None:
    if not is_endpoint(value):
        shown = re.sub(r"//[^/@]*@", "//…@", value)
        raise ConfigError(f"{variable} is {shown!r}: it must be like https://store.example.com:9000, without a path")


def is_endpoint(value: str) -> bool:
    """Return whether this is the address of a store: a scheme, a host, an optional port and nothing else."""
    try:
        url = urlsplit(value)
        fine = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
    return fine and url.path in ("", "/") and not url.query and not url.fragment and url.username is None
