"""What a platform team sets for the containers that Assay adds to pods: resources, user, pull secrets, labels."""

from dataclasses import dataclass, field
from typing import Literal

from assay.api import names
from assay.api.objects import Raw

#: The cluster sets the user, as OpenShift does from the namespace's range.
UNSET = "unset"


@dataclass(frozen=True)
class Injected:
    """The settings of one kind of container: the recorder's or the fetch's."""

    #: None: Assay's own.
    resources: Raw | None = None
    #: A user ID; "auto": Assay's choice; "unset": none, so that the image, the pod or the cluster decides.
    run_as_user: int | Literal["auto", "unset"] = "auto"
    #: Further fields of the container's security context. They replace Assay's.
    security_context: Raw = field(default_factory=dict)
    #: Names of Secrets in the pod's namespace.
    pull_secrets: tuple[str, ...] = ()
    #: Labels and annotations of the pod. The template's own win.
    pod_labels: dict[str, str] = field(default_factory=dict)
    pod_annotations: dict[str, str] = field(default_factory=dict)

    def secured(self, ours: Raw) -> Raw:
        """Return a security context with these settings."""
        if self.run_as_user == "auto":
            return {**ours, **self.security_context}
        kept = {name: value for name, value in ours.items() if name not in ("runAsUser", "runAsGroup")}
        user = {} if self.run_as_user == UNSET else {"runAsUser": self.run_as_user}
        return {**kept, **user, **self.security_context}

    def dress(self, template: Raw) -> None:
        """Add the pull secrets, labels and annotations to a pod template, in place."""
        pod, metadata = template["spec"], template["metadata"]
        known = {each.get("name") for each in pod.get("imagePullSecrets") or []}
        if more := [{"name": name} for name in self.pull_secrets if name not in known]:
            pod["imagePullSecrets"] = [*(pod.get("imagePullSecrets") or []), *more]
        metadata["labels"] = {**self._labels(), **(metadata.get("labels") or {})}
        metadata["annotations"] = {**self.pod_annotations, **(metadata.get("annotations") or {})}

    def _labels(self) -> dict[str, str]:
        return {name: value for name, value in self.pod_labels.items() if name not in names.LINK_LABELS}
