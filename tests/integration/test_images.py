"""The images as they are shipped: small, without a trace of the machine that built them, and not root."""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import images, pipconfig

pytestmark = pytest.mark.integration


@dataclass
class Archive:
    """A docker-archive: its configuration, and its layers' members from the base upwards."""

    path: Path

    @property
    def manifest(self) -> dict[str, Any]:
        with tarfile.open(self.path) as archive:
            return json.load(archive.extractfile("manifest.json"))[0]  # type: ignore[arg-type]

    @property
    def config(self) -> dict[str, Any]:
        with tarfile.open(self.path) as archive:
            return json.load(archive.extractfile(self.manifest["Config"]))  # type: ignore[arg-type]

    def layers(self) -> Iterator[tarfile.TarFile]:
        with tarfile.open(self.path) as archive:
            for name in self.manifest["Layers"]:
                with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                    yield layer

    def files(self) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
        for layer in self.layers():
            for member in layer:
                yield "/" + member.name.removeprefix("./").rstrip("/"), member, layer


@pytest.fixture(scope="module", params=["assay", "assay-quickstart"])
def archive(request: pytest.FixtureRequest) -> Archive:
    build = {"assay": images.assay_image, "assay-quickstart": images.quickstart_image}[request.param]
    return Archive(build("buildah"))


def test_second_build_is_the_cached_archive(archive: Archive) -> None:
    before = archive.path.stat().st_ino
    name = archive.path.name.rsplit("-", 1)[0]
    again = images.assay_image("buildah") if name == "assay" else images.quickstart_image("buildah")
    assert again == archive.path
    assert again.stat().st_ino == before


def test_it_has_the_name_of_the_manifests_and_is_not_root(archive: Archive) -> None:
    name = archive.path.name.rsplit("-", 1)[0]
    assert archive.manifest["RepoTags"] == [f"localhost/{name}:dev"]
    assert archive.config["config"]["User"] == "65532:65532"


def test_nothing_of_the_hosts_package_settings_is_left(archive: Archive) -> None:
    """No file, and not one line of pip.conf, in any layer or in the configuration and its history."""
    environment = json.dumps(archive.config)
    for word in ("PIP_", "SSL_CERT", "CA_BUNDLE", "pip.conf", "ca.pem", "secrets", "proxy"):
        assert word not in environment

    left = [name for name, member, _ in archive.files() if _of_the_host(name, member)]
    assert left == []


def test_no_layer_holds_a_certificate_that_only_the_host_trusts(archive: Archive) -> None:
    bundle = pipconfig.ca_bundle({}, {})
    assert bundle, "the host has no CA bundle"
    host = _certificates(bundle.read_bytes())
    shipped: set[bytes] = set()
    candidates = (".pem", ".crt", ".conf")
    for name, member, layer in archive.files():
        if member.isfile() and name.endswith(candidates):
            shipped |= _certificates(layer.extractfile(member).read())  # type: ignore[union-attr]
    distribution = set().union(*(_certificates(path.read_bytes()) for path in _of_the_distribution()))
    assert shipped, "the base ships the distribution's certificates"
    assert not (shipped & (host - distribution))


def test_no_pip_and_no_compiler_are_shipped_with_the_operator() -> None:
    archive = Archive(images.assay_image("buildah"))
    names = {name for name, _, _ in archive.files()}
    assert not [name for name in names if name.startswith("/opt/build") or name.endswith(("/bin/gcc", "/bin/cc"))]
    assert not [name for name in names if name.startswith("/opt/assay") and "/site-packages/pip/" in name]


def test_the_operators_code_is_compiled_and_adds_less_than_250_mb() -> None:
    archive = Archive(images.assay_image("buildah"))
    sizes = {name: member.size for name, member, _ in archive.files() if name.startswith("/opt/assay")}
    assert sum(sizes.values()) < 250e6
    assert [name for name in sizes if "/site-packages/assay/__pycache__/__init__." in name]


def _of_the_host(name: str, member: tarfile.TarInfo) -> bool:
    if name in ("/etc/resolv.conf", "/etc/hostname"):
        return member.size > 0
    homes = re.match(r"/(root|home/[^/]+)/\.(config|cache|pip|netrc)", name)
    return bool(homes) or name.startswith(("/run/secrets", "/etc/apt/sources", "/etc/pip.conf"))


def _of_the_distribution() -> list[Path]:
    return sorted(Path("/usr/share/ca-certificates").rglob("*.crt"))


def _certificates(text: bytes) -> set[bytes]:
    """The encoded bodies in a PEM file, without line breaks."""
    bodies = [part.split(b"-----END", 1)[0] for part in text.split(b"-----BEGIN CERTIFICATE-----")[1:]]
    return {b"".join(body.split()) for body in bodies}
