"""The ASSAY_* variables of the operator's process, each with its default and its limits.

The variables of the store, the audit trail and the signing keys are read where those are built: other processes read
them too.
"""

import json
import os
import socket
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict

from assay.api import names
from assay.planning.injected import Injected
from assay.planning.runs.job import DEFAULT_RESOURCES, STANDBY_REQUESTS
from assay.store.errors import ConfigError
from assay.store.limits import MAX_FILES, MAX_MLFLOW_POINTS, MAX_RUN_BYTES, MAX_RUN_FILES

PREFIX = "ASSAY_"

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(allow_inf_nan=False)]


class InjectedValues(BaseModel):
    """The chart's values ``recorder`` or ``fetch``."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    resources: dict[str, object] | None = None
    run_as_user: Annotated[int, Field(ge=0)] | Literal["auto", "unset"] = "auto"
    security_context: dict[str, object] = {}
    image_pull_secrets: tuple[str, ...] = ()
    pod_labels: dict[str, str] = {}
    pod_annotations: dict[str, str] = {}

    def settings(self) -> Injected:
        """Return them as settings for the pods."""
        return Injected(
            resources=self.resources or None,
            run_as_user=self.run_as_user,
            security_context=self.security_context,
            pull_secrets=self.image_pull_secrets,
            pod_labels=self.pod_labels,
            pod_annotations=self.pod_annotations,
        )


class OperatorEnvironment(BaseSettings):
    """The operator's variables, without their prefix. An empty variable counts as not set. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, str_strip_whitespace=True)

    image: str = Field(description="it is the image that the recorder in training pods runs from")
    image_pull_policy: str = "IfNotPresent"
    grace_seconds: int = Field(default=120, ge=1, le=2**31 - 1)
    run_max_files: int = Field(default=MAX_RUN_FILES, ge=1, le=MAX_FILES)
    run_max_bytes: int = Field(default=MAX_RUN_BYTES, ge=1, le=1 << 60)
    run_mlflow_points: int = Field(default=MAX_MLFLOW_POINTS, ge=0, le=100_000_000)
    recorder: Annotated[InjectedValues, NoDecode] = InjectedValues()
    recorder_resources: Annotated[dict[str, object], NoDecode] = DEFAULT_RESOURCES
    recorder_standby_requests: Annotated[dict[str, object], NoDecode] = STANDBY_REQUESTS
    fetch: Annotated[InjectedValues, NoDecode] = InjectedValues()
    namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    metrics_port: Port = 9095
    metrics_authentication: bool = False
    observe_seconds: Seconds = Field(default=10, ge=0.1)
    retention_seconds: Seconds = Field(default=60, ge=0.1)
    log_seconds: Seconds = Field(default=30, ge=0.5)
    capture_image: Literal["auto", "always", "never"] = "auto"
    system_seconds: Seconds = 15
    kubelet_ca_file: str = ""
    api_concurrency: int = Field(default=20, ge=1, le=1000)
    store_workers: int = Field(default=8, ge=1, le=256)
    namespace: str = names.DEFAULT_NAMESPACE
    user: str = ""
    lease: str = ""
    pod: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    pod_security: Literal["baseline", "restricted", "off"] = "baseline"
    require_policies: bool = False
    policies_file: str = ""

    @field_validator("namespaces", mode="before")
    @classmethod
    def _names(cls, text: object) -> object:
        return tuple(text.replace(",", " ").split()) if isinstance(text, str) else text

    @field_validator("recorder", "recorder_resources", "recorder_standby_requests", "fetch", mode="before")
    @classmethod
    def _object(cls, text: object) -> object:
        try:
            found = json.loads(text) if isinstance(text, str) else text
        except ValueError:
            found = None
        if not isinstance(found, dict | InjectedValues):
            # TRY004: pydantic turns a ValueError into its own error, and a TypeError it does not.
            raise ValueError('it must be JSON such as {"limits": {"memory": "512Mi"}}')  # noqa: TRY004
        return found

    @field_validator("system_seconds")
    @classmethod
    def _at_most_every_second(cls, value: float) -> float:
        if value and value < 1:
            raise ValueError("it must be 0 or a number of 1 or more")
        return value

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "OperatorEnvironment":
        """Check the variables of an environment. Raises ConfigError that names the missing or invalid variable."""
        source = EnvSettingsSource(cls)
        source.env_vars = {name.lower(): text for name, text in environment.items() if text.strip()}
        try:
            return cls.model_validate(source())
        except ValidationError as error:
            raise ConfigError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    """Return what is wrong with the first invalid variable."""
    first = error.errors()[0]
    field = str(first["loc"][0])
    name = PREFIX + field.upper()
    if first["type"] == "missing":
        return f"{name} is not set: {OperatorEnvironment.model_fields[field].description}"
    problem = first["msg"].removeprefix("Value error, ").replace("Input should", "it must")
    return f"{name} is {first['input']!r}: {problem}"
