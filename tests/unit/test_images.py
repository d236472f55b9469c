"""Decisions around image builds: what counts as a change, what is kept, which of pip's settings go in."""

import os
from pathlib import Path

import pytest

from tests.cluster import images, pipconfig

pytestmark = pytest.mark.unit


def _write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_hash_depends_only_on_content_name_and_base(tmp_path: Path) -> None:
    _write(tmp_path / "operator" / "a.py", "1")
    first = images.content_hash(tmp_path, ["operator"], ["base"])

    _write(tmp_path / "operator" / "__pycache__" / "a.cpython-311.pyc", "compiled")
    _write(tmp_path / "unrelated.txt", "x")
    os.utime(tmp_path / "operator" / "a.py", (1, 1))
    assert images.content_hash(tmp_path, ["operator"], ["base"]) == first

    assert images.content_hash(tmp_path, ["operator"], ["another base"]) != first
    _write(tmp_path / "operator" / "a.py", "2")
    changed = images.content_hash(tmp_path, ["operator"], ["base"])
    assert changed != first
    (tmp_path / "operator" / "a.py").rename(tmp_path / "operator" / "b.py")
    assert images.content_hash(tmp_path, ["operator"], ["base"]) not in (first, changed)


def test_every_input_of_an_image_exists() -> None:
    for image in (images.ASSAY, images.QUICKSTART):
        for name in image.inputs:
            assert (image.context / name).exists(), f"{image.name}: {name}"


def test_only_the_most_recently_used_archives_of_a_name_are_kept(tmp_path: Path) -> None:
    for age in range(5):
        archive = _write(tmp_path / f"assay-{age:012x}.tar")
        os.utime(archive, (1000 - age, 1000 - age))
    other = _write(tmp_path / "assay-quickstart-000000000000.tar")
    os.utime(other, (1, 1))

    images.prune(tmp_path, "assay", keep=3)

    kept = {f"assay-{age:012x}.tar" for age in range(3)}
    assert {path.name for path in tmp_path.iterdir()} == kept | {other.name}


def test_pip_settings_of_files_and_variables_reach_the_build_as_secrets(tmp_path: Path) -> None:
    _write(tmp_path / ".config" / "pip" / "pip.conf", "[global]\nindex-url = https://one.test/\ntimeout = 5\n")
    bundle = _write(tmp_path / "bundle.crt", "certificates")
    secrets = tmp_path / "secrets"
    secrets.mkdir()

    options = pipconfig.secret_options(
        secrets,
        {
            "HOME": str(tmp_path),
            "PIP_INDEX_URL": "https://user:password@two.test/",
            "PIP_CERT": str(bundle),
            "PIP_TARGET": "/elsewhere",
            "PIP_FIND_LINKS": str(tmp_path / "absent"),
        },
    )

    config = (secrets / "pip.conf").read_text()
    assert "index-url = https://user:password@two.test/" in config
    assert "timeout = 5" in config
    assert "cert = /run/secrets/ca.pem" in config
    assert "target" not in config
    assert "find-links" not in config
    assert (secrets / "ca.pem").read_text() == "certificates"
    assert secrets.stat().st_mode & 0o077 == 0
    assert not any("password" in option for option in options)
    assert [option.split(",")[0] for option in options if option.startswith("id=")] == [
        "id=ca.pem",
        "id=pip.conf",
    ]


def test_a_local_folder_of_wheels_is_mounted_for_the_build(tmp_path: Path) -> None:
    wheel = _write(tmp_path / "wheels" / "some.whl")
    folder = str(wheel.parent)
    secrets = tmp_path / "secrets"
    secrets.mkdir()

    environment = {"HOME": str(tmp_path), "PIP_FIND_LINKS": f"file://{folder} https://links.test/"}
    options = pipconfig.secret_options(secrets, environment)

    assert options[-2:] == ["--volume", f"{folder}:{folder}:ro"]
    assert "https://links.test/" in (secrets / "pip.conf").read_text()


def test_missing_tools_are_reported_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(images.ClusterError, match=r"apt-get install buildah mmdebstrap.*or start Docker"):
        images.assay_image()


def test_a_failing_build_names_its_log_and_quotes_its_end(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    with pytest.raises(images.ClusterError, match=r"sh ended with 3.*build\.log:\n.*\nno such package"):
        images._run(["sh", "-c", "echo no such package >&2; exit 3"], log)
