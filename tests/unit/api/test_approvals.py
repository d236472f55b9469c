"""Approvals are read exactly as the admission policy compares them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.api.approvals import Approval, RollbackRequest, groups_line, read_approval, read_rollback, rollback_text

pytestmark = pytest.mark.unit

KEY = "champion.approval.assay.dev/1"
DIGEST = "sha256:" + "1" * 64


@given(st.text(min_size=1).filter(lambda user: "\n" not in user), st.text())
def test_usernames_and_comments_round_trip(user: str, comment: str) -> None:
    approval = Approval("champion", "1", DIGEST, user, comment)
    assert read_approval(KEY, f"{DIGEST} {user}\n{comment}") == approval
    assert read_rollback(f"12 {user}\n{comment}") == RollbackRequest(12, user, comment)
    request = RollbackRequest(12, user, comment, generation=7)
    assert read_rollback(rollback_text(request)) == request


@pytest.mark.parametrize("separator", ["\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_a_line_feed_ends_the_first_line(separator: str) -> None:
    """Else a user called `rita<separator>x` could sign as `rita`."""
    found = read_approval(KEY, f"{DIGEST} rita{separator}x")
    assert found is not None
    assert found.approver == f"rita{separator}x"


def test_spaces_around_a_name_belong_to_it() -> None:
    found = read_approval(KEY, f"{DIGEST}  rita ")
    assert found is not None
    assert found.approver == " rita "


@pytest.mark.parametrize(
    "key",
    [
        "Champion.approval.assay.dev/1",
        "digits.champion.approval.assay.dev/1",
        "approval.assay.dev/1",
        ".approval.assay.dev/1",
        "champion.approval.assay.dev/",
        "champion-.approval.assay.dev/1",
        f"{'a' * 41}.approval.assay.dev/1",
        "champion.approval.assay.dev/1\n",
    ],
)
def test_invalid_approval_names_are_ignored(key: str) -> None:
    assert read_approval(key, f"{DIGEST} rita") is None


@pytest.mark.parametrize(
    "value", ["", DIGEST, f"{DIGEST} ", f"{DIGEST} \nrita", f"{DIGEST[:-1]} rita", f" {DIGEST} rita"]
)
def test_values_without_digest_and_approver_are_ignored(value: str) -> None:
    assert read_approval(KEY, value) is None


@pytest.mark.parametrize("value", ["", "rita", "0 rita", "01 rita", "-1 rita", "1 ", "1\nrita", "12345678901 rita"])
def test_invalid_rollback_requests_are_ignored(value: str) -> None:
    assert read_rollback(value) is None


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        ([], ""),
        (["system:authenticated"], ""),
        (["risk", "system:authenticated", "eu"], "groups: risk,eu"),
        (["oncall, and more", "eu\nadmins", "eu"], "groups: eu"),
        (["g" * 2048], "groups: " + "g" * 2048),
        (["g" * 2049], ""),
    ],
)
def test_the_groups_of_an_approver_are_a_line_of_their_own(groups: list[str], line: str) -> None:
    assert groups_line(groups) == line
    value = "\n".join(filter(None, [f"{DIGEST} rita", line, "looks good\ngroups: admins"]))
    said = read_approval("champion.approval.assay.dev/1", value)
    assert said is not None
    assert ",".join(said.groups) == line.removeprefix("groups: ")
    assert (said.approver, said.comment) == ("rita", "looks good\ngroups: admins")
