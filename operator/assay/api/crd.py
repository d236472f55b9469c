"""The CustomResourceDefinitions: a model's schema with names, columns and rules around it."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from assay.api import names
from assay.api.common import rule
from assay.api.experiment import ExperimentSpec, ExperimentStatus
from assay.api.modelalias import ModelAliasSpec, ModelAliasStatus
from assay.api.modelversion import ModelVersionSpec, ModelVersionStatus
from assay.api.promotionpolicy import PromotionPolicySpec, PromotionPolicyStatus
from assay.api.run import RunSpec
from assay.api.run_status import RunStatus
from assay.api.schema import structural, without_defaults

_DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


def _column(name: str, path: str, kind: str, description: str, priority: int = 0) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | ({"priority": priority} if priority else {})


def _label(longest: int, why: str) -> dict[str, str]:
    return rule(
        f"size(self.metadata.name) <= {longest} && self.metadata.name.matches('{_DNS_LABEL}')",
        f"a name has at most {longest} lower-case letters, digits and '-', {why}",
    )


@dataclass(frozen=True)
class Kind:
    """One custom resource: its names, models, printer columns, and the rule for object names."""

    kind: str
    plural: str
    short: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[dict[str, Any], ...]
    longest_name: int
    name_rule: dict[str, str]
    selectable: tuple[str, ...] = ()

    def crd(self) -> dict[str, Any]:
        """Return the CustomResourceDefinition as a plain object, ready for YAML."""
        version: dict[str, Any] = {
            "name": names.VERSION,
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": self._schema()},
            "subresources": {"status": {}},
            "additionalPrinterColumns": list(self.columns),
        }
        if self.selectable:
            version["selectableFields"] = [{"jsonPath": path} for path in self.selectable]
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{names.GROUP}"},
            "spec": {
                "group": names.GROUP,
                "scope": "Namespaced",
                "names": {
                    "kind": self.kind,
                    "listKind": f"{self.kind}List",
                    "plural": self.plural,
                    "singular": self.kind.lower(),
                    "shortNames": [self.short],
                    "categories": [names.CATEGORY],
                },
                "versions": [version],
            },
        }

    def _schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "description": self.description,
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string", "description": "Always assay.dev/v1alpha1."},
                "kind": {"type": "string", "description": f"Always {self.kind}."},
                # The API server has its own description of metadata and refuses another one.
                "metadata": {
                    "type": "object",
                    "properties": {"name": {"type": "string", "maxLength": 253, "description": "Name of the object."}},
                },
                "spec": without_defaults(structural(self.spec)),
                "status": structural(self.status),
            },
            "x-kubernetes-validations": [self.name_rule],
        }


_AGE = _column("Age", ".metadata.creationTimestamp", "date", "When the object was created.")

EXPERIMENT = Kind(
    kind=names.EXPERIMENT,
    plural="experiments",
    short="exp",
    description="An Experiment searches for good parameters: it has an objective, a search space and a "
    "template for runs.",
    spec=ExperimentSpec,
    status=ExperimentStatus,
    columns=(
        _column("Phase", ".status.phase", "string", "Pending, Running, Suspended, Succeeded or Failed."),
        _column("Progress", ".status.progress", "string", "Finished runs of all runs."),
        _column("Running", ".status.runs.running", "integer", "Running runs."),
        _column("Failed", ".status.runs.failed", "integer", "Runs that failed."),
        _column("Metric", ".spec.objective.metric", "string", "The objective's metric."),
        _column("Best", ".status.best.display", "string", "The best value so far."),
        _column("Best-Run", ".status.best.run", "string", "The run with the best value."),
        _column("Duration", ".status.duration", "string", "From the first launch to the end of the last run."),
        _AGE,
    ),
    # A run's name is the experiment's, '-' and up to five digits; see RUN.
    longest_name=50,
    name_rule=_label(50, "because the names of its runs and of their pods are made from it"),
)

RUN = Kind(
    kind=names.RUN,
    plural="runs",
    short="run",
    description="A Run is one training: parameters, code, data and pod template, and the result.",
    spec=RunSpec,
    status=RunStatus,
    columns=(
        _column("Phase", ".status.phase", "string", "Pending, Running, Suspended, Succeeded or Failed."),
        _column("Reason", ".status.reason", "string", "Reason for the phase."),
        _column("Metric", ".spec.objective.metric", "string", "The objective's metric."),
        _column("Value", ".status.objective", "string", "The objective's best value."),
        _column("Duration", ".status.duration", "string", "From start to end."),
        _column("Record", ".status.record.complete", "boolean", "Whether the record is complete."),
        _column("Message", ".status.message", "string", "Explanation of the phase.", priority=1),
        _column("Record-URI", ".status.record.uri", "string", "The run's record in the store.", priority=1),
        # A table with this column shows which Runs changed, at a tenth of the cost of listing the objects.
        _column("Resource-Version", ".metadata.resourceVersion", "string", "Changes with every write.", priority=1),
        _AGE,
    ),
    # The Job has the same name. Its pods' host names add an index of up to five digits and have at most 63 characters.
    longest_name=57,
    name_rule=_label(57, "because the host names of its pods are made from it"),
)

MODEL_VERSION = Kind(
    kind=names.MODEL_VERSION,
    plural="modelversions",
    short="mv",
    description="A ModelVersion is one registered artifact: its digest, its provenance and its approvals.",
    spec=ModelVersionSpec,
    status=ModelVersionStatus,
    columns=(
        _column("Phase", ".status.phase", "string", "Pending, Ready, Failed or Archived."),
        _column("Aliases", ".status.aliases", "string", "Aliases that point to the version."),
        _column("Owner", ".spec.owner", "string", "Owner of the version."),
        _column("Run", ".spec.run.name", "string", "The run that made the version."),
        _column("Digest", ".spec.artifact.digest", "string", "Digest of the bytes.", priority=1),
        _column("Message", ".status.message", "string", "Explanation of the phase.", priority=1),
        _AGE,
    ),
    # Model, ".v" and ten digits.
    longest_name=62,
    # The name contains the version, so a version number is unique within a namespace without another check.
    name_rule=rule(
        "self.metadata.name == '%s.v%d'.format([self.spec.model, self.spec.version])",
        "a ModelVersion is named <model>.v<version>, after its spec",
    ),
    selectable=(".spec.model",),
)

MODEL_ALIAS = Kind(
    kind=names.MODEL_ALIAS,
    plural="modelaliases",
    short="alias",
    description="A ModelAlias is a named pointer to one version of a model. The spec has the requested "
    "version, the status the live one.",
    spec=ModelAliasSpec,
    status=ModelAliasStatus,
    columns=(
        _column("Phase", ".status.phase", "string", "Pending, Held, Bound or Degraded."),
        _column("Wanted", ".spec.version", "integer", "The requested version."),
        _column("Live", ".status.boundVersion", "integer", "The live version."),
        _column("Message", ".status.message", "string", "What the alias is waiting for."),
        _AGE,
    ),
    # Model, a dot, alias.
    longest_name=91,
    name_rule=rule(
        "self.metadata.name == '%s.%s'.format([self.spec.model, self.spec.alias])",
        "a ModelAlias is named <model>.<alias>, after its spec",
    ),
    selectable=(".spec.model", ".spec.alias"),
)

PROMOTION_POLICY = Kind(
    kind=names.PROMOTION_POLICY,
    plural="promotionpolicies",
    short="policy",
    description="A PromotionPolicy defines what a version needs before an alias may point to it.",
    spec=PromotionPolicySpec,
    status=PromotionPolicyStatus,
    columns=(
        _column("Mode", ".status.inForce.mode", "string", "Enforce or Warn."),
        _column("Models", ".status.inForce.match.models", "string", "The models that the policy applies to."),
        _column("Aliases", ".status.inForce.match.aliases", "string", "The aliases that the policy applies to."),
        _column("Approvals", ".status.inForce.approvals.required", "integer", "Number of distinct approvers."),
        _column(
            "Ready",
            '.status.conditions[?(@.type=="Ready")].status',
            "string",
            "Whether the policy is valid and its gates compile.",
        ),
        _column("Message", ".status.message", "string", "What is wrong with the policy.", priority=1),
        _AGE,
    ),
    longest_name=63,
    name_rule=_label(63, "because it is shown in one line with others"),
)

KINDS = (EXPERIMENT, RUN, MODEL_VERSION, MODEL_ALIAS, PROMOTION_POLICY)
