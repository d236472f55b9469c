"""The images as they are shipped: small, without a trace of the machine that built them, and not root."""

import json
import re
import tarfile
from pathlib import Path

import pytest

from assay import __version__
from tests.cluster import images, pipconfig
from tests.rootfs import Archive

pytestmark = pytest.mark.integration


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


def test_the_image_has_the_name_used_in_manifests_and_is_not_root(archive: Archive) -> None:
    name = archive.path.name.rsplit("-", 1)[0]
    assert archive.manifest["RepoTags"] == [f"localhost/{name}:dev"]
    assert archive.config["config"]["User"] == "65532:65532"


def test_no_package_settings_of_the_host_remain(archive: Archive) -> None:
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


def test_no_file_reveals_the_package_sources_of_the_host(archive: Archive, tmp_path: Path) -> None:
    """Packages can note the address that they were installed from, and addresses hold passwords."""
    pipconfig.secret_options(tmp_path)
    words = re.findall(rb"\S*/\S+", (tmp_path / "pip.conf").read_bytes())
    assert b"/run/secrets/ca.pem" in words
    members = ((name, member, layer) for name, member, layer in archive.files() if member.isfile())
    contents = ((name, layer.extractfile(member).read()) for name, member, layer in members)  # type: ignore[union-attr]
    assert [name for name, content in contents for word in words if word in content] == []


@pytest.fixture(scope="module")
def assay() -> Archive:
    return Archive(images.assay_image("buildah"))


def test_no_pip_and_no_compiler_are_shipped_with_the_operator(assay: Archive) -> None:
    names = {name for name, _, _ in assay.files()}
    assert [name for name in names if re.search(r"/s?bin/python3\.\d+$", name)], "names look as expected"
    tools = r"/s?bin/([\w-]+-)?(gcc|g\+\+|cc|c\+\+|cpp|clang|ld|as|make|rustc|cargo|git|curl|wget)(-[\d.]+)?$"
    assert [name for name in names if re.search(tools, name)] == []
    assert [name for name in names if re.match(r"/opt/assay/.*/(pip|setuptools|hatchling)(/|-[\d.]+)", name)] == []
    assert [name for name in names if re.match(r"/opt/assay/bin/(pip|assay|kubectl)", name)] == []


def test_the_command_line_is_no_part_of_the_image(assay: Archive) -> None:
    own = [name for name, _, _ in assay.files() if "/site-packages/assay/" in name]
    assert [name for name in own if name.endswith("/assay/controllers/tracking/runs.py")]
    assert [name for name in own if "/assay/cli" in name] == []


def test_the_operators_code_is_compiled_and_adds_less_than_320_mb(assay: Archive) -> None:
    sizes = {name: member.size for name, member, _ in assay.files() if name.startswith("/opt/assay")}
    assert sum(sizes.values()) < 320e6
    assert [name for name in sizes if "/site-packages/assay/__pycache__/__init__." in name]


def test_no_files_are_added_outside_the_assay_folder(assay: Archive) -> None:
    base, *added = ([member.name.strip("./") for member in layer] for layer in assay.layers())
    assert "opt/assay" not in base
    assert len(added) == 2
    assert {name for layer in added for name in layer if not name.startswith("opt/assay/")} == {"opt", "opt/assay"}


def test_the_image_labels_describe_the_image(assay: Archive) -> None:
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in assay.config["config"]["Labels"].items()
        if name.startswith("org.opencontainers.image.")
    }
    assert labels.pop("description")
    assert re.fullmatch(re.escape(images.BASE_NAME) + ":[0-9a-f]{12}", labels.pop("base.name"))
    assert labels == {
        "title": "assay",
        "licenses": "Apache-2.0",
        "version": __version__,
        "revision": "unknown",
        "created": "1970-01-01T00:00:00Z",
    }


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
