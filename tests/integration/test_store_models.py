"""Registered bytes on a real store: copied by the store, verified byte by byte, written once; and who may read them."""

import hashlib
import json
import subprocess
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from assay.store import copying, layout
from assay.store import models as models_module
from assay.store.client import ObjectStore
from assay.store.credentials import issue_model_credentials
from assay.store.errors import NotFound, RecordError, StoreDenied, StoreError, StoreUnavailable
from assay.store.models import RegisteredModel, copy_model, read_model, source_of_uri, verify_model
from assay.store.records import RunIdentity
from tests.cluster.waiting import wait_for
from tests.registered import FILES, Trained
from tests.s3 import BUCKET, S3Server

pytestmark = pytest.mark.integration

OTHER = "sha256:" + "0" * 64


@pytest.fixture
def trained(minio: S3Server) -> Trained:
    return Trained(minio.store())


def test_a_folder_is_copied_and_verified(s3: S3Server) -> None:
    trained = Trained(s3.store())
    source = trained.source()
    run = RunIdentity(namespace=trained.namespace, name="r", uid="u", experiment="e")

    def copied() -> RegisteredModel:
        return copy_model(trained.store, source, trained.namespace, "digits", 1, source.digest, run)

    # As the operator does, again after an error of the store: rclone answers 500 when two files come into a new folder
    # at the same moment and one of them finds the folder replaced.
    made = wait_for("the copy", copied, seconds=20)
    assert made.prefix == f"models/{trained.namespace}/digits/v1"
    assert made.uri == f"s3://{BUCKET}/{made.prefix}/"
    assert (made.files, made.bytes) == (len(FILES), sum(map(len, FILES.values())))
    assert (made.manifest.run, made.manifest.path, made.manifest.digest) == (run, "artifact", source.digest)
    assert made.manifest.source == f"s3://{BUCKET}/{trained.pod}/artifacts/model"
    for path, data in FILES.items():
        assert trained.store.get_bytes(f"{made.prefix}/artifact/{path}", 1 << 20) == data
    written = trained.store.get_bytes(f"{made.prefix}/manifest.json", 1 << 20)
    assert made.manifest_digest == "sha256:" + hashlib.sha256(written).hexdigest()
    assert verify_model(trained.store, made.prefix, deep=True) == made


def test_the_digest_equals_that_of_sha256sum(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("model")
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    script = "find . -type f -printf '%P\\0' | xargs -0 sha256sum | LC_ALL=C sort | sha256sum"
    said = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert trained.register().manifest.digest == "sha256:" + said.split()[0]


def test_a_single_file(trained: Trained) -> None:
    made = trained.register("model.pkl")
    assert made.manifest.path == "artifact/model.pkl"
    assert made.manifest.digest == "sha256:" + hashlib.sha256(b"single").hexdigest()
    assert verify_model(trained.store, made.prefix, deep=True) == made


def test_large_files_are_copied_in_parts(minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "COPY_PART_BYTES", 5 << 20)
    data = hashlib.shake_256(b"large").digest((12 << 20) + 7)
    trained = Trained(minio.store(), {"large": data, "exact": data[: 5 << 20]})
    made = trained.register()
    assert trained.store.digest(f"{made.prefix}/artifact/large") == (len(data), hashlib.sha256(data).hexdigest())


def test_registering_again_changes_nothing(trained: Trained) -> None:
    first = trained.register()
    assert trained.register() == first
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: trained.register(version=2).manifest_digest, range(4))) == {
            verify_model(trained.store, f"models/{trained.namespace}/digits/v2").manifest_digest
        }


def test_other_bytes_than_expected_are_refused_before_anything_is_copied(trained: Trained) -> None:
    source = trained.source()
    with pytest.raises(RecordError, match=f"expected the digest {OTHER}, found {source.digest}"):
        copy_model(trained.store, source, trained.namespace, "digits", 1, OTHER)
    assert list(trained.store.list(f"models/{trained.namespace}/")) == []


def test_a_version_is_never_given_other_bytes(trained: Trained) -> None:
    made = trained.register()
    other = trained.source("model.pkl")
    with pytest.raises(RecordError, match="holds another model: expected the digest") as caught:
        copy_model(trained.store, other, trained.namespace, "digits", 1, other.digest)
    assert other.digest in str(caught.value)
    assert made.manifest.digest in str(caught.value)
    assert verify_model(trained.store, made.prefix, deep=True) == made


def test_a_source_that_was_changed_after_it_was_recorded(trained: Trained) -> None:
    source = trained.source()
    key = f"{trained.pod}/artifacts/model/weights.bin"
    trained.store.put_bytes(key, b"W" + FILES["weights.bin"][1:])
    with pytest.raises(
        RecordError, match="was changed after it was recorded: expected 100000 bytes with sha256"
    ) as caught:
        copy_model(trained.store, source, trained.namespace, "digits", 1, source.digest)
    assert key in str(caught.value)
    with pytest.raises(RecordError, match="is missing: the model is not registered"):
        verify_model(trained.store, f"models/{trained.namespace}/digits/v1")


class Breaks(ObjectStore):
    """A store that fails at the n-th request of a kind that changes something."""

    after = 0

    def copy(self, key: str, bucket: str, source: str) -> None:
        self._count()
        super().copy(key, bucket, source)

    def create(self, *args: object, **kwargs: object) -> None:
        self._count()
        super().create(*args, **kwargs)  # type: ignore[arg-type]

    def _count(self) -> None:
        self.after -= 1
        if self.after == 0:
            raise StoreUnavailable("broken on purpose")


@pytest.mark.parametrize("after", range(1, len(FILES) + 2))
def test_an_interrupted_copy_is_continued(minio: S3Server, trained: Trained, after: int) -> None:
    store = Breaks(minio.config())
    source = trained.source()
    store.after = after
    with pytest.raises(StoreUnavailable):
        copy_model(store, source, trained.namespace, "digits", 1, source.digest)
    with pytest.raises(RecordError, match="not registered"):
        verify_model(store, f"models/{trained.namespace}/digits/v1")
    made = copy_model(store, source, trained.namespace, "digits", 1, source.digest)
    assert verify_model(store, made.prefix, deep=True) == made


def test_remains_of_another_attempt_are_replaced(trained: Trained) -> None:
    prefix = f"models/{trained.namespace}/digits/v1/artifact"
    trained.store.put_bytes(f"{prefix}/weights.bin", b"W" * len(FILES["weights.bin"]))
    trained.store.put_bytes(f"{prefix}/left-over", b"x")
    made = trained.register()
    assert verify_model(trained.store, made.prefix, deep=True) == made


# Sources by URI


def test_a_pods_artifact_is_known_by_its_uri(trained: Trained) -> None:
    for path in ("model", "model/", "model.pkl"):
        found = source_of_uri(trained.store, f"s3://{BUCKET}/{trained.pod}/artifacts/{path}")
        assert found == trained.source(path.rstrip("/"))


@pytest.mark.parametrize("path", ["model", "model.pkl"])
def test_a_registered_model_is_a_source(trained: Trained, path: str) -> None:
    made = trained.register(path)
    source = source_of_uri(trained.store, made.uri)
    assert source.digest == made.manifest.digest
    again = copy_model(trained.store, source, "elsewhere-" + trained.namespace, "digits", 7, source.digest)
    assert again.manifest.digest == made.manifest.digest
    assert [entry.path for entry in again.manifest.files] == [entry.path for entry in made.manifest.files]


@pytest.mark.parametrize("path", ["up/model", "up/model/config"])
def test_files_without_a_manifest_in_another_bucket(minio: S3Server, trained: Trained, path: str) -> None:
    other = minio.store(bucket=f"b-{uuid.uuid4()}")
    other.put_bytes("up/model/config", b"1")
    other.put_bytes("up/model/deep/weights", b"22")
    source = source_of_uri(trained.store, f"s3://{other.config.bucket}/{path}")
    assert source.digest == ""
    with pytest.raises(RecordError, match=f"expected the digest {OTHER}, found sha256:") as caught:
        copy_model(trained.store, source, trained.namespace, "digits", 1, OTHER)
    found = str(caught.value).rpartition(" ")[2]
    made = copy_model(trained.store, source, trained.namespace, "digits", 1, found)
    assert verify_model(trained.store, made.prefix, deep=True) == made


@pytest.mark.parametrize("uri", ["", "x", "s3://", "s3://b", "s3://b/", "http://b/x", "s3://b/../x", "s3://b/a//b"])
def test_invalid_uris_are_refused(trained: Trained, uri: str) -> None:
    with pytest.raises(ValueError, match=r"s3://|plain relative path"):
        source_of_uri(trained.store, uri)


def test_a_uri_without_files_is_not_found(trained: Trained) -> None:
    with pytest.raises(NotFound, match="there is no such file or folder"):
        source_of_uri(trained.store, f"s3://{BUCKET}/nowhere/at/all")
    with pytest.raises(NotFound):
        trained.source("none")
    with pytest.raises(RecordError, match="not registered"):
        source_of_uri(trained.store, f"s3://{BUCKET}/models/{trained.namespace}/digits/v9")


# Tampering


def change(trained: Trained, prefix: str) -> None:
    trained.store.put_bytes(f"{prefix}/artifact/weights.bin", b"W" + FILES["weights.bin"][1:])


def shorten(trained: Trained, prefix: str) -> None:
    trained.store.put_bytes(f"{prefix}/artifact/weights.bin", b"w")


def remove(trained: Trained, prefix: str) -> None:
    trained.store.delete(f"{prefix}/artifact/empty")


def add(trained: Trained, prefix: str) -> None:
    trained.store.put_bytes(f"{prefix}/artifact/added", b"")


def rewrite(trained: Trained, prefix: str, **changes: object) -> None:
    found = json.loads(trained.store.get_bytes(f"{prefix}/manifest.json", 1 << 20))
    trained.store.put_bytes(f"{prefix}/manifest.json", json.dumps(found | changes).encode())


def drop_from_manifest(trained: Trained, prefix: str) -> None:
    rewrite(trained, prefix, files=[e.model_dump() for e in read_model(trained.store, prefix).manifest.files[1:]])


def rename(trained: Trained, prefix: str) -> None:
    rewrite(trained, prefix, number=2)


def climb(trained: Trained, prefix: str) -> None:
    files = [e.model_dump() for e in read_model(trained.store, prefix).manifest.files]
    rewrite(trained, prefix, files=[files[0] | {"path": "artifact/../../x"}, *files[1:]])


def spoil(trained: Trained, prefix: str) -> None:
    rewrite(trained, prefix, digest="x")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change, "weights.bin: expected the sha256 "),
        (shorten, "weights.bin: expected 100000 bytes, found 1"),
        (remove, "artifact/empty is missing in the store"),
        (add, "artifact/added is not in the manifest: 1 file(s) were added"),
        (drop_from_manifest, "over the files that it lists"),
        (rename, "is the manifest of another model"),
        (climb, "not a plain relative path"),
        (spoil, "is not a valid ModelManifest: digest"),
    ],
)
def test_damage_is_found_and_named(trained: Trained, damage: Callable[[Trained, str], None], message: str) -> None:
    prefix = trained.register().prefix
    damage(trained, prefix)
    with pytest.raises(RecordError) as caught:
        verify_model(trained.store, prefix, deep=True)
    assert message in str(caught.value)
    assert prefix in str(caught.value)


@pytest.mark.parametrize(
    "prefix", ["models", "runs/a/b/c", "models/ns/m/v0", "models/ns/m/1", "models/ns/../v1", "models/ns/m/v1/"]
)
def test_invalid_model_prefixes_are_refused(trained: Trained, prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        verify_model(trained.store, prefix)
    with pytest.raises(ValueError, match="prefix"):
        issue_model_credentials(trained.store.config, prefix)


# Credentials of one model


@pytest.fixture(scope="module")
def two(minio: S3Server) -> tuple[Trained, str, str, ObjectStore]:
    trained = Trained(minio.store())
    mine, other = trained.register(version=1).prefix, trained.register(version=11).prefix
    issued = issue_model_credentials(minio.config(), mine, timedelta(minutes=15))
    assert issued.expires is not None
    assert timedelta(seconds=800) < issued.expires - datetime.now(UTC) <= timedelta(seconds=905)
    return trained, mine, other, ObjectStore(issued.store_config())


def test_model_credentials_read_and_list_their_model(two: tuple[Trained, str, str, ObjectStore]) -> None:
    _, mine, _, reader = two
    assert verify_model(reader, mine, deep=True).manifest.model == "digits"
    assert len(list(reader.list(mine + "/"))) == len(FILES) + 1


VERBS: dict[str, Callable[[ObjectStore, str], object]] = {
    "read": lambda store, key: store.get_bytes(key, 1 << 20),
    "stat": lambda store, key: store.stat(key),
    "list": lambda store, key: list(store.list(key)),
    "write": lambda store, key: store.put_bytes(key, b"forged"),
    "create": lambda store, key: store.create(key + "-new", b"forged"),
    "delete": lambda store, key: store.delete(key),
    "parts": lambda store, key: store.begin_upload(key),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "path", ["{other}/manifest.json", "{pod}/manifest.json", "{mine}1/x", "models/", "audit/x/000000000001.json"]
)
def test_model_credentials_grant_no_access_elsewhere(
    two: tuple[Trained, str, str, ObjectStore], verb: str, path: str
) -> None:
    trained, mine, other, reader = two
    with pytest.raises(StoreDenied):
        VERBS[verb](reader, path.format(mine=mine, other=other, pod=trained.pod))


@pytest.mark.parametrize("verb", ["write", "create", "delete", "parts"])
def test_model_credentials_cannot_write(two: tuple[Trained, str, str, ObjectStore], verb: str) -> None:
    trained, mine, _, reader = two
    with pytest.raises(StoreDenied):
        VERBS[verb](reader, f"{mine}/artifact/weights.bin")
    verify_model(trained.store, mine, deep=True)


def test_model_credentials_cannot_copy_files_out(two: tuple[Trained, str, str, ObjectStore]) -> None:
    trained, mine, _, reader = two
    with pytest.raises(StoreError):
        reader.copy(f"{mine}/artifact/copy", BUCKET, f"{trained.pod}/manifest.json")


def test_the_policy_of_the_longest_names_fits() -> None:
    from assay.store.credentials import MAX_POLICY_CHARS, read_policy

    assert len(read_policy("b" * 63, layout.model_prefix("n" * 63, "m" * 253, 999_999_999))) <= MAX_POLICY_CHARS


def test_a_model_has_a_bounded_number_of_files(minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = minio.store(bucket=f"b-{uuid.uuid4()}")
    for number in range(4):
        store.put_bytes(f"up/{number}", b"")
    monkeypatch.setattr(models_module, "MAX_FILES", 3)
    with pytest.raises(RecordError, match="more than 3 files"):
        source_of_uri(store, f"s3://{store.config.bucket}/up")
