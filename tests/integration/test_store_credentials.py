"""What the credentials of a run can do on a real store: write below their own run's `pods/`, and nothing else."""

import io
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from minio.credentials import StaticProvider
from minio.minioadmin import MinioAdmin

from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from assay.store.credentials import Credentials, issue_run_credentials
from assay.store.errors import StoreDenied, StoreError
from tests.s3 import BUCKET, S3Server

pytestmark = pytest.mark.integration


class Runs:
    """Two runs with a record each, and a store as a pod of the first one has it."""

    def __init__(self, server: S3Server) -> None:
        self.operator = server.store()
        self.config = server.config(sts_duration=timedelta(seconds=900))
        self.mine, self.other = (layout.run_prefix("ns", "e", "r", str(uuid.uuid4())) for _ in range(2))
        for run in (self.mine, self.other):
            for path in ("manifest.json", "params.json", "pods/p/summary.json", "intake/p/summary.json"):
                self.operator.put_bytes(f"{run}/{path}", b"original")
        self.issued = issue_run_credentials(self.config, self.mine)
        self.pod = ObjectStore(Credentials.from_json(self.issued.to_json()).store_config())

    def untouched(self) -> bool:
        keys = [f"{self.other}/{p}" for p in ("manifest.json", "params.json", "pods/p/summary.json")]
        keys += [f"{self.mine}/{p}" for p in ("manifest.json", "params.json", "pods/p/summary.json")]
        return all(self.operator.get_bytes(key, 100) == b"original" for key in keys)


@pytest.fixture(scope="module")
def runs(minio: S3Server) -> Runs:
    return Runs(minio)


def test_a_pod_can_write_its_record(runs: Runs) -> None:
    runs.pod.put_bytes(f"{runs.mine}/intake/p/summary.json", b"new")
    runs.pod.put_bytes(f"{runs.mine}/intake/p/artifacts/a b/%ü+", b"new")
    data = bytes(20 << 20)
    sent = runs.pod.put_file(f"{runs.mine}/intake/p/artifacts/large", io.BytesIO(data), len(data))
    assert sent == runs.operator.digest(f"{runs.mine}/intake/p/artifacts/large")
    upload = runs.pod.begin_upload(f"{runs.mine}/intake/p/artifacts/dropped")
    runs.pod.upload_part(f"{runs.mine}/intake/p/artifacts/dropped", upload, 1, data)
    runs.pod.abort_upload(f"{runs.mine}/intake/p/artifacts/dropped", upload)


def write(runs: Runs, key: str) -> None:
    runs.pod.put_bytes(key, b"forged")


def create(runs: Runs, key: str) -> None:
    runs.pod.create(key, b"forged")


def write_parts(runs: Runs, key: str) -> None:
    runs.pod.put_file(key, io.BytesIO(bytes(9 << 20)), 9 << 20)


def read(runs: Runs, key: str) -> None:
    runs.pod.get_bytes(key, 100)


def stat(runs: Runs, key: str) -> None:
    runs.pod.stat(key)


def delete(runs: Runs, key: str) -> None:
    runs.pod.delete(key)


def list_keys(runs: Runs, key: str) -> None:
    list(runs.pod.list(key))


def copy(runs: Runs, key: str) -> None:
    from minio.commonconfig import CopySource

    with runs.pod._faults(key):
        runs.pod._client.copy_object(BUCKET, f"{runs.mine}/intake/p/copy", CopySource(BUCKET, key))


OUTSIDE = [
    *("{other}/intake/p/summary.json", "{other}/pods/p/summary.json", "{other}/manifest.json"),
    *("{mine}/manifest.json", "{mine}/params.json", "{mine}/pods/p/summary.json"),
    *("{mine}/intakex", "{mine}/intake/../manifest.json", "runs/", "elsewhere", "models/x"),
]


@pytest.mark.parametrize("key", OUTSIDE)
@pytest.mark.parametrize("verb", [write, create, write_parts, read, stat, delete, list_keys, copy])
def test_a_pod_has_no_access_outside_its_prefix(runs: Runs, verb: Callable[[Runs, str], None], key: str) -> None:
    key = key.format(mine=runs.mine, other=runs.other)
    if "/../" in key:
        with pytest.raises(StoreError):
            verb(runs, key)
    else:
        with pytest.raises(StoreDenied):
            verb(runs, key)
    assert runs.untouched()


@pytest.mark.parametrize("verb", [read, stat, delete, list_keys, copy])
def test_a_pod_can_only_write_inside(runs: Runs, verb: Callable[[Runs, str], None]) -> None:
    with pytest.raises(StoreDenied):
        verb(runs, f"{runs.mine}/intake/p/summary.json")


def test_a_pod_cannot_reach_other_buckets(runs: Runs, minio: S3Server) -> None:
    other = ObjectStore(minio.config(bucket=f"b-{uuid.uuid4()}"))
    other.ensure_bucket()
    pod = ObjectStore(
        StoreConfig(**{**vars(runs.pod.config), "bucket": other.config.bucket})  # type: ignore[arg-type]
    )
    with pytest.raises(StoreDenied):
        pod.put_bytes(f"{runs.mine}/intake/p/x", b"")
    with pytest.raises(StoreDenied):
        ObjectStore(StoreConfig(**{**vars(runs.pod.config), "bucket": f"n-{uuid.uuid4()}"})).ensure_bucket()


def test_run_credentials_expire_as_requested(runs: Runs) -> None:
    assert runs.issued.expires is not None
    left = runs.issued.expires - datetime.now(UTC)
    assert timedelta(seconds=800) < left <= timedelta(seconds=905)


def test_a_forged_session_token_is_denied(runs: Runs) -> None:
    config = runs.issued.store_config()
    for change in (
        {"session_token": ""},
        {"session_token": config.session_token[:-4] + "AAAA"},
        {"secret_key": "x" * 40},
    ):
        forged = ObjectStore(StoreConfig(**{**vars(config), **change}))
        with pytest.raises(StoreDenied):
            forged.put_bytes(f"{runs.mine}/intake/p/x", b"")


def test_a_service_account_is_refused_with_the_reason(minio: S3Server) -> None:
    user = StaticProvider(minio.access_key, minio.secret_key)
    own = MinioAdmin(endpoint=minio.endpoint.removeprefix("http://"), credentials=user, secure=False)
    own.add_service_account(access_key="service-account", secret_key="service-account-secret")
    config = minio.config(access_key="service-account", secret_key="service-account-secret")
    ObjectStore(config).put_bytes("service-account-works", b"")
    with pytest.raises(StoreDenied, match="service accounts cannot AssumeRole"):
        issue_run_credentials(config, layout.run_prefix("ns", None, "r", "u"))


def test_a_store_without_sts_is_reported(rclone: S3Server) -> None:
    with pytest.raises(StoreError, match="AssumeRole") as caught:
        issue_run_credentials(rclone.config(), layout.run_prefix("ns", None, "r", "u"))
    assert rclone.secret_key not in str(caught.value)


def test_static_credentials_work_on_a_store_without_sts(rclone: S3Server) -> None:
    rclone.store()
    keys = {"run_access_key": rclone.access_key, "run_secret_key": rclone.secret_key}
    run = layout.run_prefix("ns", None, "r", str(uuid.uuid4()))
    issued = issue_run_credentials(rclone.config(sts=False, **keys), run)
    ObjectStore(issued.store_config()).put_bytes(f"{run}/intake/p/x", b"")


def test_wrong_keys_are_refused_without_being_shown(minio: S3Server) -> None:
    issue = partial(issue_run_credentials, run_prefix=layout.run_prefix("ns", None, "r", "u"))
    for change in ({"secret_key": "wrong-secret"}, {"access_key": "nobody-key"}):
        with pytest.raises(StoreDenied) as caught:
            issue(minio.config(**change))
        assert "wrong-secret" not in str(caught.value)
        assert "nobody-key" not in str(caught.value)
