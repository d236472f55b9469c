"""What the recorder and the fetch cost a pod before they do anything: CPU time until the store has been asked once.

Both run in the image's own files as in a pod, with credentials for a store that refuses every connection. By then all
libraries that talk to a store are loaded, its certificates too. Counted is the whole process, every thread, user and
system. The floor is the same interpreter doing nothing.
"""

import os
import statistics
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from assay.store import layout
from assay.store.credentials import Credentials
from tests import rootfs
from tests.cluster import images

ROUNDS = 9
#: A port that nothing listens on.
STORE = Credentials("https://127.0.0.1:9", "us-east-1", "assay", "access", "secret")
_RUN = layout.run_prefix("bench", "e", "r", str(uuid.UUID(int=0)))
_RECORDER = {
    "ASSAY_POD": "r-pod",
    "ASSAY_PREFIX": layout.intake_prefix(_RUN, "r-pod"),
    "ASSAY_DIR": f"{rootfs.VOLUME}/assay",
    "ASSAY_SPOOL": f"{rootfs.VOLUME}/spool",
}
_FETCH = {
    "ASSAY_FETCH_PREFIX": layout.model_prefix("bench", "digits", 1),
    "ASSAY_FETCH_DIGEST": f"sha256:{0:064}",
    "ASSAY_FETCH_DIR": f"{rootfs.VOLUME}/model",
}


async def measure() -> dict[str, float]:
    """Return recorder_startup_cpu_ms and fetch_startup_cpu_ms, medians, and each as a multiple of the floor."""
    with tempfile.TemporaryDirectory() as folder:
        image = rootfs.unpack(images.assay_image(), Path(folder))
        floors, recorders, fetches = [], [], []
        for _ in range(ROUNDS):
            floors.append(_cpu_ms(image, ["python", "-c", "pass"], {}, ""))
            recorders.append(_cpu_ms(image, ["python", "-m", "assay.recorder"], _RECORDER, "the store does not take"))
            fetches.append(_cpu_ms(image, ["python", "-m", "assay.fetch"], _FETCH, "trying again in"))
    floor, recorder, fetch = (statistics.median(times) for times in (floors, recorders, fetches))
    return {
        "recorder_startup_ratio": recorder / floor,
        "fetch_startup_ratio": fetch / floor,
        "recorder_startup_cpu_ms": recorder,
        "fetch_startup_cpu_ms": fetch,
        "python_startup_cpu_ms": floor,
    }


def _cpu_ms(image: rootfs.Unpacked, argv: Sequence[str], environment: Mapping[str, str], until: str) -> float:
    """CPU time of a process until it has said `until`, or has ended by itself where that is empty."""
    with tempfile.TemporaryDirectory() as folder:
        volume = _volume(Path(folder))
        process = image.start(argv, volume, {"ASSAY_CREDENTIALS": f"{rootfs.VOLUME}/credentials.json", **environment})
        assert process.stdout is not None
        with process.stdout as output:
            said = []
            for line in output:
                said.append(line)
                if until and until in line:
                    process.kill()
                    break
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != (-9 if until else 0):
        raise RuntimeError(f"{argv[-1]} ended with {process.returncode}: {''.join(said)}")
    return 1000 * (usage.ru_utime + usage.ru_stime)


def _volume(folder: Path) -> Path:
    """A pod's volume: the credentials, and place for the rest."""
    credentials = folder / "credentials.json"
    credentials.write_text(STORE.to_json())
    for path in (folder, credentials):
        os.chown(path, rootfs.USER, rootfs.USER)
    return folder
