"""Stages of the example: the same commits in several namespaces, each under other settings of Argo CD.

All Applications of a `Stages` read one repository, so that one push serves every combination of settings.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.argocd.real import Application, Repository
from tests.cluster.argocd import CONTROLLER, ArgoCd
from tests.cluster.waiting import wait_for
from tests.integration.test_registry import Models

Raw = dict[str, Any]
GITOPS = Path(__file__).resolve().parents[2] / "examples/gitops"
ALIAS, POLICY = "digits.champion", "digits-release"
SSD, SSA = "ServerSideDiff=true", "ServerSideApply=true"
#: Compare options and sync options. The first is the example's.
SETTINGS: dict[str, tuple[str, list[str]]] = {
    "server-side diff, server-side apply": (SSD, [SSA]),
    "server-side diff, client-side apply": (SSD, []),
    "default diff, server-side apply": ("", [SSA]),
    "default diff, client-side apply": ("", []),
}
EXAMPLE = next(iter(SETTINGS))
#: What the example's Applications do by themselves.
AUTOMATED: Raw = {"automated": {"prune": True, "selfHeal": True}, "retry": {"limit": 5, "refresh": True}}


class Stage:
    """One namespace with two registered versions of digits, and the Application that says which is live."""

    def __init__(self, stages: "Stages", settings: str) -> None:
        self.settings = settings
        self.namespace = f"stage-{secrets.token_hex(3)}"
        cluster = stages.argo_cd.cluster
        cluster.create_namespace(self.namespace)
        self.models = Models(cluster, self.namespace)
        self.application = Application(stages.argo_cd, self.namespace)

    def register(self, *versions: int) -> None:
        """Have versions registered; return at once."""
        self.models.store.ensure_bucket()
        for version in versions:
            provenance = {"metrics": {"val_accuracy": {"last": 0.9 + version / 100}}}
            self.models.register("digits", version, b"v%d" % version, provenance=provenance)

    def approve(self, version: int, *people: str) -> None:
        """Have people approve a version, unless they have."""
        name = f"digits.v{version}"
        given = self.models.get("modelversion", name)["metadata"].get("annotations", {})
        for user in people or ("rita", "rolf"):
            if f"champion.approval.assay.dev/{user}" not in given:
                self.models.approve(name, "champion", user, user)

    def alias(self) -> Raw:
        """Return the alias."""
        return self.models.get("modelalias", ALIAS)

    def live(self, version: int, seconds: float = 40) -> Raw:
        """Wait until a version is live."""
        return self.models.alias(ALIAS, f"v{version}", lambda o: o["status"].get("boundVersion") == version, seconds)

    def shows(self, message: str, seconds: float = 40) -> Raw:
        """Wait until the alias says something."""
        return self.models.alias(ALIAS, message, lambda o: o["status"].get("message") == message, seconds)


class Stages:
    """The example's repository, and a Stage for each of the settings."""

    def __init__(
        self,
        argo_cd: ArgoCd,
        folder: Path,
        settings: tuple[str, ...] = (),
        *,
        kinds: Sequence[Raw] = (),
        rules: Sequence[Raw] = (),
    ) -> None:
        """`kinds` are permitted in the AppProject, and `rules` in the namespaces, beside those of the example."""
        self.argo_cd = argo_cd
        self._kinds, self._rules = list(kinds), list(rules)
        self._others: list[Application] = []
        self.name = f"models-{secrets.token_hex(3)}"
        self.repository = Repository(argo_cd, folder, self.name, GITOPS / "models")
        self._trust()
        self.stages = [Stage(self, each) for each in settings or SETTINGS]
        for stage in self.stages:
            stage.register(1, 2)
        argo_cd.apply(self._project())
        for stage in self.stages:
            text = (GITOPS / "rbac.yaml").read_text().replace("ml-prod", stage.namespace)
            argo_cd.cluster.kubectl("apply", "-f", "-", stdin=text)
            options, sync = SETTINGS[stage.settings]
            self._allow(stage)
            more: Raw = {"project": self.name, "options": options, "sync": sync, "policy": AUTOMATED}
            argo_cd.apply(stage.application.body(self.repository, "digits/prod", stage.namespace, **more))

    def _trust(self) -> None:
        """The versions here come from no run, so the policy has to trust what they say of themselves."""
        required = "approvals: {required: 2}"
        trusting = f"{required}\n  evidence: {{provenanceVerified: false}}"
        self.repository.change("digits/prod/policy.yaml", required, trusting, "these versions come from elsewhere")

    def _project(self) -> Raw:
        found: Raw = yaml.safe_load((GITOPS / "argocd/project.yaml").read_text())
        found["metadata"]["name"] = self.name
        (destination,) = found["spec"]["destinations"]
        (account,) = found["spec"]["destinationServiceAccounts"]
        spaces = [stage.namespace for stage in self.stages]
        return {
            **found,
            "spec": {
                **found["spec"],
                "sourceRepos": [self.repository.url],
                "namespaceResourceWhitelist": [*found["spec"]["namespaceResourceWhitelist"], *self._kinds],
                "destinations": [{**destination, "namespace": each} for each in spaces],
                "destinationServiceAccounts": [{**account, "namespace": each} for each in spaces],
            },
        }

    def _allow(self, stage: Stage) -> None:
        """Give Argo CD's account more rights in a namespace."""
        if self._rules:
            role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "more"}}
            stage.models.apply({**role, "rules": self._rules})
            account = f"--serviceaccount={stage.namespace}:assay-deployer"
            controller = f"--serviceaccount=argocd:{CONTROLLER}"
            stage.models.kubectl("create", "rolebinding", "more", "--role=more", account, controller)

    def also(self, application: Application) -> None:
        """Have another Application removed at the end."""
        self._others.append(application)

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)

    def refresh(self) -> None:
        """Have every Application look at Git, as after the webhook of a Git server."""
        for stage in self.stages:
            stage.application.ask_to_refresh()

    def every(self, what: str, holds: Callable[[Stage], Any], seconds: float = 60) -> None:
        """Wait until something holds in every stage."""
        left = list(self.stages)

        def probe() -> bool:
            left[:] = [stage for stage in left if not _holds(stage, holds)]
            return not left

        saw = lambda: {stage.settings: stage.application.summary() for stage in left}  # noqa: E731
        wait_for(f"{what} in every stage", probe, seconds=seconds, saw=saw)

    def close(self) -> None:
        """Remove the Applications and the namespaces."""
        for other in self._others:
            other.delete()
        for stage in self.stages:
            stage.application.delete()
            self.argo_cd.cluster.delete_namespace(stage.namespace)


def _holds(stage: Stage, holds: Callable[[Stage], Any]) -> bool:
    try:
        return bool(holds(stage))
    except KeyError:  # not there yet
        return False
