"""The record is what the folder was at the end: links, sockets, private files, deleted files."""

from typing import Any

import pytest

from tests.objects import Objects, run

pytestmark = pytest.mark.e2e

Raw = dict[str, Any]


def _as_image_user(manifest: Raw) -> Raw:
    """Return a manifest whose template names no user: the image does."""
    del manifest["spec"]["job"]["template"]["spec"]["securityContext"]
    return manifest


def _artifacts(objects: Objects, ended: Raw) -> set[str]:
    pod = ended["status"]["record"]["pod"]
    start = f"pods/{pod}/artifacts/"
    files = {entry["path"] for entry in objects.read_json(ended, "manifest.json")["files"]}
    return {path.removeprefix(start) for path in files if path.startswith(start)}


def test_a_folder_with_links_sockets_and_private_files_is_recorded(objects: Objects) -> None:
    script = """
        import shutil, socket
        old = artifacts / 'model/c'
        old.mkdir(parents=True)
        old.joinpath('w').write_text('old')
        time.sleep(12)  # longer than the recorder waits for a file to settle
        shutil.rmtree(artifacts / 'model')
        private = artifacts / 'model'
        private.mkdir(mode=0o700)
        os.chmod(private, 0o700)
        private.joinpath('w').write_text('new')
        os.chmod(private / 'w', 0o600)
        os.symlink('model/w', artifacts / 'last.ckpt')
        os.symlink('/assay/artifacts/model', artifacts / 'latest')
        os.symlink('/etc/passwd', artifacts / 'out')
        os.symlink('gone', artifacts / 'dangling')
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(artifacts / 'socket'))
        log(step=0, score=1)
    """
    objects.apply(_as_image_user(run("untidy", script, model={"path": "model"})))
    ended = objects.wait_phase("run", "untidy", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    assert _artifacts(objects, ended) == {"model/w", "last.ckpt", "latest/w"}
    assert ended["status"]["model"]["size"] == len("new")
    warning = str(ended["status"]["recorder"]["warnings"])
    assert "is left out; 2 more entries are left out" in warning, warning


def test_an_end_cut_off_by_the_grace_period_is_reported(objects: Objects) -> None:
    manifest = run("cut", "log(step=0, score=1)")
    spec = manifest["spec"]["job"]["template"]["spec"]
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"
    sidecar = {**spec["containers"][0], "name": "proxy", "restartPolicy": "Always", "command": ["python", "-c", deaf]}
    spec |= {"terminationGracePeriodSeconds": 5, "initContainers": [sidecar]}
    objects.apply(manifest)
    ended = objects.wait_phase("run", "cut", "Succeeded", "Failed")
    if ended["status"]["phase"] == "Failed":  # two seconds are left: a quick recorder needs no more
        message = ended["status"]["message"]
        assert "container proxy needed" in message
        assert "grace period of 5 s" in message
