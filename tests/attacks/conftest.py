"""The attack tests' world: the policies in force, the operator not running, and people with little rights."""

import secrets
from collections.abc import Iterator

import pytest

from tests import registry
from tests.attackers import PERSONAS, Realm
from tests.cluster.waiting import wait_for
from tests.registry import Cluster


@pytest.fixture(scope="session")
def realm(control_plane: Cluster) -> Iterator[Realm]:
    """A namespace with the personas in it, shared by the tests of this folder."""
    registry.install_policies(control_plane)
    name = f"attacks-{secrets.token_hex(4)}"
    realm = Realm(control_plane, name, f"{name}-other")
    control_plane.create_namespace(realm.namespace)
    control_plane.create_namespace(realm.other)
    realm.admin("apply", "--server-side", "--filename", str(PERSONAS))
    wait_for("the roles to be in force", lambda: _asked(realm) == "yes", seconds=30)
    yield realm
    control_plane.delete_namespace(realm.namespace)
    control_plane.delete_namespace(realm.other)


def _asked(realm: Realm) -> str:
    """Whether the last binding of personas.yaml is known: bindings become known in their order."""
    return realm.act("almighty", "auth", "can-i", "delete", "runs.assay.dev").said.strip()
