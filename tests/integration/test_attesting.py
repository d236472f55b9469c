"""A run whose provenance can be signed, cannot be, or cannot be written: its condition, on a real store."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assay.api.run_status import RunStatus
from assay.controllers.tracking import provenance
from assay.signing import stored
from assay.signing.keygen import make_keys
from assay.signing.keys import Keys
from assay.signing.settings import SigningSettings
from assay.store.aio import AsyncStore
from assay.store.client import ObjectStore
from assay.store.errors import StoreUnavailable
from tests.s3 import S3Server, add_user
from tests.unit.planning.objects import at, run

pytestmark = pytest.mark.integration

DIGEST = "sha256:" + "a" * 64
PREFIX = "runs/team/sweep/sweep-0/uid-sweep-0"
RUN = run(model={"path": "model"})


class Attesting:
    """An operator's store and keys, and nothing else of it."""

    def __init__(self, server: S3Server, folder: Path) -> None:
        self.folder = folder
        self.settings = SigningSettings(str(folder / "signing.key"), str(folder / "public-keys.pem"))
        self.keys = Keys(self.settings)
        self.store = AsyncStore(server.store())

    async def attest(self, store: AsyncStore | None = None, **status: Any) -> tuple[str, str, str]:
        """Return the condition Signed of a run that has ended; empty when it has none."""
        settings = SimpleNamespace(signing=self.settings)
        context: Any = SimpleNamespace(settings=settings, keys=self.keys, store=store or self.store)
        ended = {
            "phase": "Succeeded",
            "startTime": at(0),
            "completionTime": at(9),
            "model": {"path": "model", "digest": DIGEST, "size": 1},
            "record": {"uri": f"s3://assay/{PREFIX}/", "manifestDigest": DIGEST},
            **status,
        }
        found = await provenance.attest(context, RUN, RunStatus.model_validate(ended))
        return next(((c.status, c.reason, c.message) for c in found.conditions if c.type == "Signed"), ("", "", ""))


@pytest.fixture
async def operator(minio: S3Server, tmp_path: Path) -> AsyncIterator[Attesting]:
    operator = Attesting(minio, tmp_path)
    yield operator
    operator.store.close()


async def test_a_run_that_left_a_model_is_signed(operator: Attesting) -> None:
    key = make_keys(operator.folder)
    assert await operator.attest() == ("True", "Verified", f"s3://assay/{PREFIX}/provenance.dsse.json, key {key}")
    opened = stored.check_provenance(operator.store.blocking, operator.keys.current(), PREFIX)
    definition = opened.statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["spec"] == RUN["spec"]


@pytest.mark.parametrize("status", [{"model": None}, {"phase": "Failed"}], ids=["no model", "failed"])
async def test_a_run_without_a_model_has_nothing_to_sign(operator: Attesting, status: dict[str, Any]) -> None:
    make_keys(operator.folder)
    assert await operator.attest(**status) == ("", "", "")


async def test_a_run_without_a_key_reports_it(operator: Attesting) -> None:
    assert await operator.attest() == ("False", "NoKey", "the operator has no signing key")


async def test_an_unreadable_key_is_reported(operator: Attesting) -> None:
    (operator.folder / "signing.key").write_text("garbage")
    status, reason, message = await operator.attest()
    assert (status, reason) == ("False", "KeyUnusable")
    assert "signing.key holds no private key in PEM" in message


async def test_a_store_refusal_is_reported_and_does_not_fail_the_run(operator: Attesting, minio: S3Server) -> None:
    make_keys(operator.folder)
    add_user(minio, "assay-reader", "assay-reader-secret", "readonly")
    refusing = AsyncStore(ObjectStore(minio.config(access_key="assay-reader", secret_key="assay-reader-secret")))
    status, reason, message = await operator.attest(refusing)
    refusing.close()
    assert (status, reason) == ("False", "SignatureInvalid")
    assert "provenance.dsse.json" in message


async def test_signing_waits_for_an_unreachable_store(operator: Attesting) -> None:
    make_keys(operator.folder)
    config = operator.store.blocking.config
    away = AsyncStore(ObjectStore(type(config)(**{**vars(config), "endpoint": "http://127.0.0.1:9"})))
    with pytest.raises(StoreUnavailable):
        await operator.attest(away)
    away.close()
