"""As whom the command line acts: kubectl's rules for --as, --as-group and the `as` fields of a kubeconfig."""

from typing import Any

import pytest

from assay.api.errors import InvalidRequest
from assay.cli.errors import USAGE, exit_code
from assay.kube import impersonation

pytestmark = pytest.mark.unit

KNOWN = {
    "token": "t",
    "as": "dora",
    "as-groups": ["ml", "vision"],
    "as-uid": "42",
    "as-user-extra": {"Reason/of": ["on call", "jürgen"]},
}


@pytest.mark.parametrize(
    ("user", "groups", "known", "sent"),
    [
        ("", (), {"token": "t"}, []),
        ("", (), {"as": "dora"}, [("Impersonate-User", "dora")]),
        ("rita", (), {}, [("Impersonate-User", "rita")]),
        ("rita", ("risk",), {"as": "dora", "as-groups": ["ml"]}, [("User", "rita"), ("Group", "risk")]),
        ("rita", (), {"as": "dora", "as-groups": ["ml"]}, [("User", "rita"), ("Group", "ml")]),
        ("", ("risk",), {"as": "dora"}, [("User", "dora"), ("Group", "risk")]),
        ("jürgen", (), {}, [("User", "jürgen".encode().decode("latin-1"))]),
    ],
)
def test_options_override_the_kubeconfig(
    user: str, groups: tuple[str, ...], known: dict[str, Any], sent: list[tuple[str, str]]
) -> None:
    wanted = [(f"Impersonate-{name.removeprefix('Impersonate-')}", value) for name, value in sent]
    assert list(impersonation.headers(user, groups, known).iteritems()) == wanted


def test_all_impersonation_fields_of_a_kubeconfig_are_sent() -> None:
    found = impersonation.headers("", (), KNOWN)
    assert found.getlist("Impersonate-Group") == ["ml", "vision"]
    assert found["Impersonate-Uid"] == "42"
    assert found.getlist("Impersonate-Extra-reason%2Fof") == ["on call", "jürgen".encode().decode("latin-1")]


def test_groups_require_a_user() -> None:
    with pytest.raises(InvalidRequest) as refused:
        impersonation.headers("", ("ml",), {})
    assert exit_code(refused.value) == USAGE
