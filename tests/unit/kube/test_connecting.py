"""Which kubeconfig the operator's client connects with, as kubectl would choose it."""

import json
from pathlib import Path

import pytest

from assay.kube.aio import Kube
from assay.store.config import ConfigError

pytestmark = pytest.mark.unit


def _write(path: Path, server: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {"name": "x", "cluster": {"server": server}}
    context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
    user = {"name": "x", "user": {"token": "none"}}
    content = {"clusters": [named], "contexts": [context], "users": [user], "current-context": "x"}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **content}))
    return path


async def _server(kubeconfig: str | None = None) -> str:
    kube = Kube(1)
    await kube.connect(kubeconfig)
    try:
        return str(kube._client.configuration.host)
    finally:
        await kube.close()


async def test_the_variable_is_read_when_connecting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for name in ("one", "two"):
        monkeypatch.setenv("KUBECONFIG", str(_write(tmp_path / name, f"https://{name}.example.com")))
        assert await _server() == f"https://{name}.example.com"
    other = _write(tmp_path / "other", "https://other.example.com")
    assert await _server(str(other)) == "https://other.example.com"


@pytest.mark.parametrize("value", [None, ""])
async def test_without_the_variable_the_file_at_home_is_read(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("KUBECONFIG", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="set KUBECONFIG, or run inside a cluster"):
        await _server()
    _write(tmp_path / ".kube/config", "https://home.example.com")
    assert await _server() == "https://home.example.com"
