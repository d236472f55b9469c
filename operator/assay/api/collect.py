"""spec.collect: where a run's metrics come from, besides /assay/metrics.jsonl, which is always read."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from assay.api.common import Model, rule, rules


class TensorBoard(Model):
    """Event files of TensorBoard."""

    path: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=1024,
            description="Folder in the training containers where the code writes event files, e.g. /logs. If omitted, "
            "event files below /assay are read.",
            json_schema_extra=rules(
                rule(
                    "self.startsWith('/') && size(self) > 1 && !self.split('/').exists(part, part == '..')",
                    "path is an absolute path without '..'",
                )
            ),
        ),
    ] = None


class Stdout(Model):
    """Lines that the training containers print."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        json_schema_extra=rules(
            rule(
                "(self.format == 'regex') == has(self.pattern)",
                "format regex needs a pattern, and the other formats have none",
            ),
        ),
    )

    format: Annotated[
        Literal["json", "keyValue", "regex"],
        Field(
            description="How metrics are read: json, one object a line as in metrics.jsonl; keyValue, pairs such as "
            "loss=0.5 and loss: 0.5; regex, the named groups of pattern."
        ),
    ]
    pattern: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=1024,
            description="Regular expression in the syntax of RE2. Its named groups are metrics; the group step is "
            "the step.",
        ),
    ] = None


class Prometheus(Model):
    """The metrics endpoint of a training container."""

    port: Annotated[int, Field(ge=1, le=65535, description="Port on the pod's localhost.")]
    path: Annotated[
        str, Field(min_length=1, max_length=1024, pattern=r"^/[^\s#]*$", description="Path of the endpoint.")
    ] = "/metrics"


class Collect(Model):
    """Where a run's metrics come from, besides /assay/metrics.jsonl."""

    mlflow: Annotated[
        bool, Field(description="Whether the pod has an MLflow endpoint on localhost, to which clients log by default.")
    ] = True
    tensorboard: Annotated[TensorBoard | None, Field(description="Where event files of TensorBoard are.")] = None
    stdout: Annotated[Stdout | None, Field(description="Read metrics from the containers' output.")] = None
    prometheus: Annotated[Prometheus | None, Field(description="Scrape a metrics endpoint.")] = None
    system: Annotated[
        bool,
        Field(description="Whether the pod's network, disk and NVIDIA GPUs are recorded, as system/…."),
    ] = False
