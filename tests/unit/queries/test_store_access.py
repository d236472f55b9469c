"""Where people's keys for the store come from, and that they are read again before they expire."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from assay.api.errors import AssayError, InvalidRequest, PermissionDenied
from assay.api.objects import Raw
from assay.kube.errors import ApiError
from assay.kube.sync import Kube
from assay.queries import store_access
from assay.queries.access import Access

KEYS = {"endpoint": "https://s3.example.com/", "bucket": "b", "accessKey": "a", "secretKey": "s"}


class Secrets:
    """Plays the API server: Secrets by name, and names that may not be read."""

    def __init__(self, *, refused: tuple[str, ...] = (), **texts: dict[str, str]) -> None:
        self.texts, self.refused, self.asked = texts, refused, 0

    def find(self, _: object, __: str, name: str) -> Raw | None:
        self.asked += 1
        if name in self.refused:
            raise ApiError(403, "Forbidden", f"cannot get {name}")
        found = self.texts.get(name.removeprefix("assay-"))
        data = {
            key: base64.b64encode(text.encode(errors="surrogateescape")).decode() for key, text in (found or {}).items()
        }
        return None if found is None else {"data": data}


def find(secrets: Secrets) -> store_access.StoreAddress:
    return store_access.from_secrets(cast(Kube, secrets), "team")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_access, "_REPLACING_SECONDS", 0.0)
    for name in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY"):
        monkeypatch.delenv(f"ASSAY_STORE_{name}", raising=False)


def soon(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


@pytest.mark.parametrize("refused", [(), ("assay-store",)])
def test_the_operators_keys_are_used_without_a_secret_of_the_platform_team(refused: tuple[str, ...]) -> None:
    found = find(Secrets(read={**KEYS, "sessionToken": "t", "expires": soon(30)}, refused=refused))
    assert (found.config.session_token, found.config.endpoint) == ("t", "https://s3.example.com")


def test_keys_that_somebody_made_come_first() -> None:
    assert find(Secrets(store={**KEYS, "accessKey": "made"}, read=KEYS)).config.access_key == "made"


@pytest.mark.parametrize(
    ("secrets", "kind", "text"),
    [
        (Secrets(), InvalidRequest, "no store is configured"),
        (Secrets(refused=("assay-store", "assay-read")), ApiError, "cannot get assay-read"),
        (Secrets(refused=("assay-store",)), ApiError, "cannot get assay-store"),
        (Secrets(read={"problem": "too old"}), PermissionDenied, "the operator issues no store keys: too old"),
        (Secrets(read={**KEYS, "expires": soon(-1)}), PermissionDenied, "expired at "),
        (Secrets(read={"endpoint": "x"}), PermissionDenied, "has no accessKey and no secretKey"),
        (Secrets(store={**KEYS, "expires": "2026-01-01T00:00:00"}), PermissionDenied, "expired at 2026"),
        (Secrets(store={**KEYS, "expires": "tomorrow"}), PermissionDenied, "expires in the Secret .* is 'tomorrow'"),
        (Secrets(store={**KEYS, "ca": "\udcff"}), PermissionDenied, "ca in the Secret assay-store .* is no text"),
    ],
    ids=["none", "refused", "only-the-first", "problem", "expired", "incomplete", "no-zone", "no-time", "no-text"],
)  # fmt: skip
def test_without_keys_the_reason_is_given(secrets: Secrets, kind: type[AssayError], text: str) -> None:
    with pytest.raises(kind, match=text):
        find(secrets)


def test_a_secret_that_is_being_replaced_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = Secrets()
    monkeypatch.setattr(store_access.time, "sleep", lambda _: secrets.texts.update(read=KEYS))
    assert find(secrets).config.access_key == "a"


def test_keys_are_read_again_before_they_expire() -> None:
    """A command may follow a run for longer than its keys live."""
    secrets = Secrets(read={**KEYS, "expires": soon(1.05)})
    access = Access(namespace_option="team")
    access.__dict__["kube"] = cast(Any, secrets)
    first = access.store
    assert access.store is first
    secrets.texts["read"] = {**KEYS, "accessKey": "next", "expires": soon(60)}
    access._connected = access._connected and (
        access._connected[0]._replace(expires=datetime.now(UTC)),
        access._connected[1],
    )
    assert access.store.config.access_key == access.trail_store.config.access_key == "next"
    asked = secrets.asked
    assert access.store is access.store
    assert secrets.asked == asked


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"ca": "MIIB"}, "certificate"), ({"ca": "é"}, "ASCII"), ({"region": "eu west"}, "region eu west")],
)
def test_a_store_that_cannot_be_used_says_why(wrong: dict[str, str], text: str) -> None:
    access = Access(namespace_option="team")
    access.__dict__["kube"] = cast(Any, Secrets(store={**KEYS, **wrong}))
    with pytest.raises(PermissionDenied, match=f"https://s3.example.com cannot be used: .*{text}"):
        _ = access.store
