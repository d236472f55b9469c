"""`python -m assay.fetch` for data sets, as a process against real servers: what was declared, or nothing."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import ssl
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from minio.minioadmin import MinioAdmin

from assay.store.client import ObjectStore
from assay.store.credentials import dataset_credentials, issue_dataset_credentials
from assay.store.digests import bytes_digest, folder_digest
from assay.store.errors import StoreDenied
from assay.store.locations import parse
from tests.cluster.waiting import wait_for
from tests.s3 import S3Server, admin, wait_until

pytestmark = pytest.mark.integration

PROXY_FREE = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
FILES = {"train.csv": b"1,2\n" * 20_000, "deep/er/labels.json": b"{}", "a b/%ü+&#": b"odd", "empty": b""}
OTHER = "sha256:" + "0" * 64


def digest_of(files: dict[str, bytes]) -> str:
    return folder_digest((path, hashlib.sha256(data).hexdigest()) for path, data in files.items())


class Data:
    """A prefix of a bucket with a folder, a file and a neighbour in it, and an init container that may read it."""

    def __init__(self, server: S3Server, folder: Path) -> None:
        self.server = server
        self.store = server.store()
        self.prefix = f"data-{uuid.uuid4()}"
        self.put("digits", FILES)
        self.store.put_bytes(f"{self.prefix}/single.csv", b"single")
        self.store.put_bytes(f"{self.prefix}/digits-secret", b"a neighbour")
        self.directory = folder / "data"
        self.directory.mkdir(parents=True)
        self.report = folder / "datasets.json"
        self.message = folder / "termination-log"
        self.credentials = folder / "credentials.json"

    def put(self, name: str, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            self.store.put_bytes(f"{self.prefix}/{name}/{path}", data)

    def uri(self, path: str) -> str:
        return f"s3://{self.store.config.bucket}/{self.prefix}/{path}"

    def issue(self, *datasets: dict[str, str]) -> None:
        places = {each["name"]: parse(each["uri"]) for each in datasets if each["uri"].startswith("s3://")}
        config = self.server.config(sts_duration=timedelta(minutes=15))
        self.credentials.write_text(issue_dataset_credentials(config, places))

    def start(self, *datasets: dict[str, str], **changes: str) -> subprocess.Popen[str]:
        environment = PROXY_FREE | {
            "ASSAY_FETCH_DATASETS": json.dumps(datasets),
            "ASSAY_FETCH_DIR": str(self.directory),
            "ASSAY_FETCH_REPORT": str(self.report),
            "ASSAY_CREDENTIALS": str(self.credentials),
            "ASSAY_TERMINATION_LOG": str(self.message),
            "ASSAY_FETCH_RETRY_SECONDS": "3",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "assay.fetch"],
            env=environment | changes,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, code: int, *datasets: dict[str, str], **changes: str) -> str:
        """Issue credentials for the data sets, run it, expect its exit code, and give its last line."""
        if "ASSAY_SOURCE" not in changes:
            self.issue(*datasets)
        process = self.start(*datasets, **changes)
        log, _ = process.communicate(timeout=120)
        assert process.returncode == code, log
        if code:
            assert self.message.read_text() == log.splitlines()[-1]
        return log.splitlines()[-1]

    def content(self, name: str) -> dict[str, bytes]:
        root = self.directory / name
        found = (path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}

    def told(self) -> dict[str, tuple[str, int, int]]:
        """What the report says: digest, bytes and files by name."""
        found = json.loads(self.report.read_text())["datasets"]
        return {each["name"]: (each["digest"], each["bytes"], each["files"]) for each in found}


@pytest.fixture
def data(minio: S3Server, tmp_path: Path) -> Data:
    return Data(minio, tmp_path)


def test_a_folder_is_fetched_verified_read_only_and_reported(data: Data) -> None:
    declared = {"name": "digits", "uri": data.uri("digits/"), "digest": digest_of(FILES)}
    said = data.run(0, declared)
    assert data.content("digits") == FILES
    assert f"{digest_of(FILES)} verified" in said
    assert data.told() == {"digits": (digest_of(FILES), sum(map(len, FILES.values())), 4)}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (data.directory / "digits").rglob("*") if path.is_file()}
    folders = {stat.S_IMODE((data.directory / path).stat().st_mode) for path in ("digits", "digits/deep/er")}
    assert (modes, folders) == ({0o444}, {0o555})
    assert stat.S_IMODE(data.report.stat().st_mode) == 0o644


def test_the_digest_is_found_out_where_none_is_declared(data: Data) -> None:
    said = data.run(0, {"name": "digits", "uri": data.uri("digits")}, {"name": "one", "uri": data.uri("single.csv")})
    assert data.content("digits") == FILES
    assert data.content("one") == {"single.csv": b"single"}
    assert bytes_digest(b"single") in said
    assert data.told() == {"digits": (digest_of(FILES), 80_005, 4), "one": (bytes_digest(b"single"), 6, 1)}


def test_a_folder_with_one_file_is_not_treated_as_a_file(data: Data) -> None:
    data.put("one", {"single.csv": b"single"})
    data.run(0, {"name": "folder", "uri": data.uri("one/"), "digest": digest_of({"single.csv": b"single"})})
    said = data.run(4, {"name": "again", "uri": data.uri("one/"), "digest": bytes_digest(b"single")})
    assert f"expected the digest {bytes_digest(b'single')}, found {digest_of({'single.csv': b'single'})}" in said


@pytest.mark.parametrize("path", ["my data/50%/#1/$x {a}+&.csv", "my%20data/50%25/%231/%24x%20%7Ba%7D%2B%26.csv"])
def test_a_key_has_a_plain_and_an_encoded_form(data: Data, path: str) -> None:
    data.put("odd", {"my data/50%/#1/$x {a}+&.csv": b"1"})
    data.run(0, {"name": "file", "uri": data.uri(f"odd/{path}")}, {"name": "folder", "uri": data.uri("odd/my%20data")})
    assert data.content("file") == {"$x {a}+&.csv": b"1"}
    assert data.content("folder") == {"50%/#1/$x {a}+&.csv": b"1"}


@pytest.mark.parametrize("path", ["digits/", "digits", "single.csv"])
def test_data_with_a_wrong_digest_never_appears(data: Data, path: str) -> None:
    found = bytes_digest(b"single") if path == "single.csv" else digest_of(FILES)
    said = data.run(4, {"name": "d", "uri": data.uri(path), "digest": OTHER})
    assert said == f"data set d: {data.uri(path)}: expected the digest {OTHER}, found {found}"
    assert list(data.directory.iterdir()) == []
    assert not data.report.exists()


@pytest.mark.parametrize("change", ["changed", "added", "removed", "renamed"])
def test_every_change_of_a_folder_is_detected(data: Data, change: str) -> None:
    key = f"{data.prefix}/digits/train.csv"
    if change in ("removed", "renamed"):
        data.store.delete(key)
    if change == "changed":
        data.store.put_bytes(key, b"9" + FILES["train.csv"][1:])
    if change in ("added", "renamed"):
        data.store.put_bytes(f"{data.prefix}/digits/train2.csv", FILES["train.csv"])
    said = data.run(4, {"name": "digits", "uri": data.uri("digits/"), "digest": digest_of(FILES)})
    assert f"expected the digest {digest_of(FILES)}, found sha256:" in said


def test_a_wrong_data_set_also_stops_those_after_it(data: Data) -> None:
    right = {"name": "one", "uri": data.uri("single.csv"), "digest": bytes_digest(b"single")}
    data.run(4, right, {"name": "two", "uri": data.uri("digits/"), "digest": OTHER}, {**right, "name": "three"})
    assert set(data.told()) == {"one"}
    assert sorted(path.name for path in data.directory.iterdir()) == ["one"]


@pytest.mark.parametrize("path", ["nothing", "nothing/", "digit", "single.csv/"])
def test_a_missing_data_set_is_reported(data: Data, path: str) -> None:
    assert data.run(5, {"name": "d", "uri": data.uri(path)}) == (
        f"data set d: there is nothing at {data.uri(path)}, or the credentials cannot read it"
    )


def test_a_restarted_container_verifies_existing_data_without_the_store(data: Data) -> None:
    asked = [{"name": "digits", "uri": data.uri("digits/")}, {"name": "one", "uri": data.uri("single.csv")}]
    data.run(0, *asked)
    before = data.told()
    process = data.start(*asked, ASSAY_CREDENTIALS="/nowhere")
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert log.count("already present and verified") == 2
    assert data.told() == before


def test_damaged_files_are_fetched_again(data: Data) -> None:
    asked = {"name": "digits", "uri": data.uri("digits/")}
    data.run(0, asked)
    file = data.directory / "digits/train.csv"
    file.chmod(0o644)
    file.write_bytes(b"9" + FILES["train.csv"][1:])
    data.run(0, asked)
    assert data.content("digits") == FILES


def test_the_report_of_an_earlier_container_is_kept(data: Data) -> None:
    data.run(0, {"name": "digits", "uri": data.uri("digits/")})
    data.run(0, {"name": "one", "uri": data.uri("single.csv")})
    assert set(data.told()) == {"digits", "one"}


@pytest.mark.parametrize("key", ["digits//train.csv", "digits/..", "digits/train.csv/below"])
def test_names_that_no_file_can_have_are_refused(key: str) -> None:
    from assay.fetch.datasets import _check_targets
    from assay.fetch.errors import FetchError

    with pytest.raises(FetchError):
        _check_targets([*FILES, key.removeprefix("digits/")])


def test_the_markers_of_empty_folders_are_no_files(data: Data) -> None:
    data.store.put_bytes(f"{data.prefix}/digits/marker/", b"")
    data.run(0, {"name": "digits", "uri": data.uri("digits/"), "digest": digest_of(FILES)})


# What the credentials can do


def test_issued_credentials_read_only_the_data_sets(data: Data, minio: S3Server) -> None:
    asked = [{"name": "digits", "uri": data.uri("digits")}, {"name": "one", "uri": data.uri("single.csv")}]
    data.issue(*asked)
    pod = ObjectStore(dataset_credentials(data.credentials.read_bytes(), "digits").store_config())
    assert pod.get_bytes(f"{data.prefix}/digits/train.csv", 1 << 20) == FILES["train.csv"]
    assert pod.get_bytes(f"{data.prefix}/single.csv", 100) == b"single"
    assert len(list(pod.list(f"{data.prefix}/digits/"))) == 4
    for key in (f"{data.prefix}/digits-secret", f"{data.prefix}/single.csvx", "runs/x", "models/x"):
        with pytest.raises(StoreDenied):
            pod.get_bytes(key, 100)
    for prefix in (f"{data.prefix}/", f"{data.prefix}/digits-", "", "runs/"):
        with pytest.raises(StoreDenied):
            list(pod.list(prefix))
    for key in (f"{data.prefix}/digits/new", f"{data.prefix}/digits/train.csv"):
        with pytest.raises(StoreDenied):
            pod.put_bytes(key, b"forged")
        with pytest.raises(StoreDenied):
            pod.delete(key)


def test_many_data_sets_share_few_policies(data: Data) -> None:
    asked = [{"name": f"d{number}", "uri": data.uri(f"many/{number:03}.csv")} for number in range(64)]
    for number in range(64):
        data.store.put_bytes(f"{data.prefix}/many/{number:03}.csv", str(number).encode())
    data.run(0, *asked)
    assert len(json.loads(data.credentials.read_text())) < 16
    assert {name: data.content(name) for name in ("d0", "d63")} == {"d0": {"000.csv": b"0"}, "d63": {"063.csv": b"63"}}
    assert len(data.told()) == 64


def test_another_bucket_of_the_store(data: Data, minio: S3Server) -> None:
    other = ObjectStore(minio.config(bucket=f"b-{uuid.uuid4()}"))
    other.ensure_bucket()
    other.put_bytes("x/file", b"elsewhere")
    data.run(0, {"name": "d", "uri": f"s3://{other.config.bucket}/x/"})
    assert data.content("d") == {"file": b"elsewhere"}


def test_a_data_set_without_credentials_is_not_fetched(data: Data) -> None:
    data.issue({"name": "one", "uri": data.uri("single.csv")})
    process = data.start({"name": "digits", "uri": data.uri("digits/")})
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 3, log
    assert "no credentials for the data set digits" in log


# A Secret of the namespace


@pytest.fixture
def stranger(data: Data, minio: S3Server) -> tuple[str, str]:
    """A user of the store who can read this test's data, and has nothing to do with Assay."""
    key, secret = f"user-{uuid.uuid4().hex[:8]}", "stranger-secret"
    owner: MinioAdmin = admin(minio)
    owner.user_add(key, secret)
    bucket = data.store.config.bucket
    statements = [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{bucket}/{data.prefix}/digits/*"]},
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{bucket}"]},
    ]
    owner.policy_add(key, policy={"Version": "2012-10-17", "Statement": statements})
    owner.policy_set(key, user=key)
    return key, secret


def of_secret(minio: S3Server, keys: tuple[str, str], **more: str) -> dict[str, str]:
    named = {"ASSAY_SOURCE": "my-keys", "ASSAY_SOURCE_ACCESS_KEY": keys[0], "ASSAY_SOURCE_SECRET_KEY": keys[1] + "\n"}
    return named | {"ASSAY_FETCH_ENDPOINT": minio.endpoint} | more


def test_the_keys_of_a_secret_are_used(data: Data, minio: S3Server, stranger: tuple[str, str]) -> None:
    asked = {"name": "digits", "uri": data.uri("digits/"), "digest": digest_of(FILES)}
    data.run(0, asked, **of_secret(minio, stranger))
    assert data.content("digits") == FILES


def test_the_endpoint_of_a_secret_is_used(data: Data, minio: S3Server, stranger: tuple[str, str]) -> None:
    changes = of_secret(
        minio, stranger, ASSAY_SOURCE_ENDPOINT=minio.endpoint, ASSAY_FETCH_ENDPOINT="http://127.0.0.1:1"
    )
    data.run(0, {"name": "digits", "uri": data.uri("digits/")}, **changes)
    assert data.content("digits") == FILES


def test_the_keys_of_a_secret_grant_no_further_access(data: Data, minio: S3Server, stranger: tuple[str, str]) -> None:
    said = data.run(5, {"name": "d", "uri": data.uri("single.csv")}, **of_secret(minio, stranger))
    assert "there is nothing at" in said
    said = data.run(3, {"name": "d", "uri": data.uri("digits/")}, **of_secret(minio, (stranger[0], "wrong")))
    assert "denied" in said.lower() or "SignatureDoesNotMatch" in said
    assert stranger[1] not in said


def test_a_secret_without_keys_is_named(data: Data, minio: S3Server) -> None:
    said = data.run(2, {"name": "d", "uri": data.uri("digits/")}, **of_secret(minio, ("", "x")))
    assert said == "the Secret my-keys has no value at the key accessKey"


# The web


class Web:
    """An https server with files, some of them behind redirects."""

    def __init__(self, folder: Path) -> None:
        self.files = {"/digits.csv": os.urandom(3 << 20)}
        self.redirects: dict[str, str] = {}
        self.cut: list[int] = []  # after so many bytes an answer breaks off, the first ones
        self.asked: list[str] = []
        certificate, key = folder / "web.crt", folder / "web.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        self.ca = certificate.read_text()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"https://localhost:{self._server.server_address[1]}"

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, wanted = self.path.partition("?")[0], self.headers.get("Range", "")
                web.asked.append(wanted)
                if path in web.redirects:
                    self.send_response(302)
                    self.send_header("Location", web.redirects[path])
                    self.end_headers()
                    return
                if path not in web.files:
                    self.send_error(404)
                    return
                self._send(web.files[path], wanted)

            def _send(self, data: bytes, wanted: str) -> None:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                start, end = (int(first), int(last or len(data) - 1)) if wanted else (0, len(data) - 1)
                part = data[start : end + 1]
                self.send_response(206 if wanted else 200)
                self.send_header("Content-Length", str(len(part)))
                if wanted:
                    self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
                self.end_headers()
                cut = web.cut.pop(0) if web.cut and len(part) > 1 else len(part)
                self.wfile.write(part[:cut])

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def close(self) -> None:
        self._server.shutdown()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    server = Web(tmp_path)
    yield server
    server.close()


def trusted(web: Web) -> dict[str, str]:
    return {"ASSAY_SOURCE": "authorities", "ASSAY_SOURCE_CA": web.ca}


def from_web(web: Web, path: str, digest: str = "") -> dict[str, str]:
    return {"name": "d", "uri": web.address + path, "digest": digest or bytes_digest(web.files["/digits.csv"])}


def test_a_file_from_the_web_is_verified(data: Data, web: Web) -> None:
    data.run(0, from_web(web, "/digits.csv?signature=hush"), **trusted(web))
    assert data.content("d") == {"digits.csv": web.files["/digits.csv"]}
    assert data.told() == {"d": (bytes_digest(web.files["/digits.csv"]), 3 << 20, 1)}
    assert "hush" not in data.report.read_text()


def test_a_file_from_the_web_that_is_not_as_declared(data: Data, web: Web) -> None:
    said = data.run(4, from_web(web, "/digits.csv?signature=hush", OTHER), **trusted(web))
    found = bytes_digest(web.files["/digits.csv"])
    assert said == f"data set d: {web.address}/digits.csv: expected the digest {OTHER}, found {found}"
    assert list(data.directory.iterdir()) == []


def test_an_interrupted_download_is_resumed(data: Data, web: Web) -> None:
    web.cut = [1 << 20, 1 << 20]
    data.run(0, from_web(web, "/digits.csv"), **trusted(web), ASSAY_FETCH_RETRY_SECONDS="20")
    assert data.content("d") == {"digits.csv": web.files["/digits.csv"]}
    starts = [int(wanted[6:-1]) for wanted in web.asked if wanted.endswith("-")]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1]


def test_redirects_are_followed_by_https_alone(data: Data, web: Web) -> None:
    web.redirects = {"/here": "/there", "/there": f"{web.address}/digits.csv", "/plain": "http://localhost/x",
                     "/round": "/round"}  # fmt: skip
    data.run(0, from_web(web, "/here"), **trusted(web))
    assert data.content("d") == {"here": web.files["/digits.csv"]}
    assert "which is not https" in data.run(1, {**from_web(web, "/plain"), "name": "e"}, **trusted(web))
    assert "more than 5 redirects" in data.run(1, {**from_web(web, "/round"), "name": "e"}, **trusted(web))


def test_a_missing_url_is_reported(data: Data, web: Web) -> None:
    assert data.run(5, from_web(web, "/nothing"), **trusted(web)).endswith(f"there is nothing at {web.address}/nothing")


def test_a_server_with_an_untrusted_certificate_is_refused(data: Data, web: Web) -> None:
    said = data.run(3, from_web(web, "/digits.csv"))
    assert "certificate verify failed" in said


# Trouble


def test_a_data_set_larger_than_the_free_space_is_refused(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.fetch import datasets
    from assay.fetch.dataset_settings import Dataset, DatasetSettings
    from assay.fetch.errors import FetchError

    asked = {"name": "digits", "uri": data.uri("digits/")}
    data.issue(asked)
    settings = DatasetSettings((Dataset(**asked),), data.directory, data.report, data.credentials)
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(datasets.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match=r"no room for the data sets: they need 80005 bytes, and .* has 100 free"):
        datasets.fetch_datasets(settings, lambda _: None)
    assert list(data.directory.iterdir()) == []


def test_fetching_survives_a_killed_store(own_minio: S3Server, tmp_path: Path) -> None:
    data = Data(own_minio, tmp_path)
    large = {f"part-{number}": os.urandom(16 << 20) for number in range(6)}
    data.put("large", large)
    asked = [{"name": "open", "uri": data.uri("large/")}]
    data.issue(*asked)
    process = data.start(*asked, ASSAY_FETCH_RETRY_SECONDS="60")
    partial = data.directory / ".open.partial"
    wait_until(
        lambda: partial.exists() and sum(file.stat().st_size for file in partial.iterdir()) > 8 << 20, "some has come"
    )
    own_minio.kill()
    own_minio.start()
    log, _ = process.communicate(timeout=90)
    assert process.returncode == 0, log
    assert "trying again in" in log
    assert data.content("open") == large
    assert data.told()["open"][0] == digest_of(large)


@pytest.mark.parametrize("size", [48, 256])
def test_a_file_that_is_replaced_meanwhile_is_never_half_old_and_half_new(
    own_minio: S3Server, tmp_path: Path, size: int
) -> None:
    data = Data(own_minio, tmp_path)
    old, new = bytes(size << 20), b"1" * (size << 20)
    data.store.put_bytes(f"{data.prefix}/large", old)
    asked = {"name": "open", "uri": data.uri("large")}
    data.issue(asked)
    process = data.start(asked, ASSAY_FETCH_RETRY_SECONDS="60")
    target = data.directory / ".open.partial/large"
    wait_until(lambda: target.exists() and target.stat().st_size > 1 << 20, "some has come")
    own_minio.kill()
    own_minio.start()

    def put() -> bool:
        data.store.put_bytes(f"{data.prefix}/large", new)
        return True

    # A store that has just started may answer a large request too late on a busy machine.
    wait_for("the store to take the new file", put, seconds=60)
    log, _ = process.communicate(timeout=180)
    if process.returncode == 0:
        assert data.content("open")["large"] in (old, new)
    else:
        assert log.splitlines()[-1] == f"data set open: {data.uri('large')} was changed while it was read"
        assert list(data.directory.iterdir()) == []


@pytest.mark.parametrize("declared", [True, False])
def test_a_large_file_is_fetched_in_parts_even_when_the_store_is_killed(
    own_minio: S3Server, tmp_path: Path, declared: bool
) -> None:
    data = Data(own_minio, tmp_path)
    content = os.urandom((200 << 20) + 7)
    data.store.put_bytes(f"{data.prefix}/large", content)
    asked = {"name": "open", "uri": data.uri("large"), **({"digest": bytes_digest(content)} if declared else {})}
    data.issue(asked)
    process = data.start(asked, ASSAY_FETCH_RETRY_SECONDS="60")
    target = data.directory / ".open.partial/large"
    wait_until(lambda: target.exists() and target.stat().st_blocks * 512 > 8 << 20, "some has come")
    own_minio.kill()
    own_minio.start()
    log, _ = process.communicate(timeout=120)
    assert process.returncode == 0, log
    assert data.content("open") == {"large": content}
    assert data.told() == {"open": (bytes_digest(content), len(content), 1)}
    said = data.run(4, {**asked, "name": "other", "digest": OTHER})
    assert f"expected the digest {OTHER}, found {bytes_digest(content)}" in said


def test_memory_does_not_grow_with_the_data(data: Data) -> None:
    data.store.put_bytes(f"{data.prefix}/large", os.urandom(256 << 20))
    peaks = {}
    for path in ("single.csv", "large"):
        asked = {"name": "d", "uri": data.uri(path)}
        data.issue(asked)
        data.report.unlink(missing_ok=True)
        with data.start(asked) as process:
            _, _, usage = os.wait4(process.pid, 0)
        peaks[path] = usage.ru_maxrss
    assert peaks["large"] - peaks["single.csv"] < 64 << 10, peaks


def test_fetching_fails_when_the_store_stays_down(own_minio: S3Server, tmp_path: Path) -> None:
    data = Data(own_minio, tmp_path)
    asked = {"name": "digits", "uri": data.uri("digits/")}
    data.issue(asked)
    own_minio.kill()
    process = data.start(asked)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 3, log
    assert data.message.read_text().startswith("data set digits: gave up after 3 s: ")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("x", "ASSAY_FETCH_DATASETS is not a list of data sets"),
        ("[]", "ASSAY_FETCH_DATASETS: it must list 1 to 64 data sets with distinct, valid names"),
        (
            '[{"name": "../x", "uri": "s3://abc/x"}]',
            "ASSAY_FETCH_DATASETS: it must list 1 to 64 data sets with distinct, valid names",
        ),
        ('[{"name": "d", "uri": "s3://abc/../x"}]', "is not an address of the form s3://<bucket>/<key>"),
        ('[{"name": "d", "uri": "gs://abc/x"}]', "is not an address of the form s3://<bucket>/<key>"),
        ('[{"name": "d", "uri": "https://h/x"}]', "a data set from an https:// address needs a digest"),
        ('[{"name": "d", "uri": "s3://abc/x", "digest": "md5:x"}]', "it must be sha256: and 64 hexadecimal digits"),
    ],
)
def test_wrong_settings_are_named(data: Data, asked: str, message: str) -> None:
    process = data.start(ASSAY_FETCH_DATASETS=asked)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 2, log
    assert message in log
