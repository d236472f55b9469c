"""What we have Argo CD know of our kinds: where its files are, and the patch of its ConfigMap that is made of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from assay.api import names
from assay.api.crd import KINDS
from tests.argocd.lua import script_of

Raw = dict[str, Any]
CHART = Path(__file__).resolve().parents[2] / "charts/assay"
FOLDER = CHART / "argocd/resource_customizations" / names.GROUP
CONFIG_MAP = CHART / "argocd/argocd-cm.yaml"

_HEADER = """\
# Generated from resource_customizations/ by `python -m tests.argocd`. Do not edit.
# kubectl -n argocd patch configmap argocd-cm --type=merge --patch-file argocd-cm.yaml
"""


@dataclass(frozen=True)
class Customization:
    """The folder of one kind, laid out as Argo CD's own resource_customizations are."""

    kind: str

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return FOLDER / self.kind

    @property
    def health(self) -> str:
        """The health check."""
        return script_of(self.folder)

    @property
    def discovery(self) -> str:
        """What says which actions there are; "" when there are none."""
        path = self.folder / "actions/discovery.lua"
        return path.read_text() if path.exists() else ""

    @property
    def actions(self) -> dict[str, str]:
        """The script of each action, by its name."""
        found = sorted(self.folder.glob("actions/*/action.lua"))
        return {path.parent.name: path.read_text() for path in found}

    def data(self) -> dict[str, str]:
        """Return its entries of argocd-cm."""
        known = {f"resource.customizations.health.{names.GROUP}_{self.kind}": self.health}
        if self.discovery:
            definitions = [{"name": name, "action.lua": script} for name, script in self.actions.items()]
            text = _yaml({"discovery.lua": self.discovery, "definitions": definitions})
            known[f"resource.customizations.actions.{names.GROUP}_{self.kind}"] = text
        return known


def customizations() -> list[Customization]:
    """Return that of every kind."""
    return [Customization(kind.kind) for kind in KINDS]


def config_map() -> str:
    """Return the text of argocd-cm.yaml."""
    data = {key: value for each in customizations() for key, value in each.data().items()}
    return _HEADER + _yaml({"data": data})


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
