"""What one cluster is made of: written by LocalCluster before it starts the supervisor, read by both."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import paths
from tests.cluster.kubeconfig import Kubeconfigs
from tests.cluster.network import Subnets
from tests.cluster.pki import Pki
from tests.cluster.store import StoreEndpoint

NODE = "assay-node"


@dataclass(frozen=True)
class Spec:
    """One cluster. `programs` maps the name of a program to its absolute path."""

    name: str
    network: int
    programs: dict[str, str]
    with_node: bool
    root_access_key: str
    root_secret_key: str
    operator_access_key: str
    operator_secret_key: str
    admission: tuple[str, ...] = ()

    @property
    def subnets(self) -> Subnets:
        return Subnets(self.network)

    @property
    def server(self) -> str:
        return f"https://{self.subnets.node}:6443"

    @property
    def store_endpoint(self) -> str:
        return f"http://{self.subnets.node}:9000"

    @property
    def store(self) -> StoreEndpoint:
        return StoreEndpoint(
            self.store_endpoint,
            self.operator_access_key,
            self.operator_secret_key,
            self.root_access_key,
            self.root_secret_key,
        )

    @property
    def cgroup(self) -> str:
        """The cgroup below which all pods are, in every hierarchy."""
        return f"/assay-{self.name}"

    @property
    def folder(self) -> Path:
        """The cluster's folder, as the host sees it."""
        return paths.clusters() / self.name

    def kubeconfigs(self, folder: Path) -> Kubeconfigs:
        return Kubeconfigs(self.server, Pki(folder / "pki"))

    def save(self) -> None:
        path = self.folder / "spec.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> "Spec":
        return cls(**json.loads((folder / "spec.json").read_text()))
