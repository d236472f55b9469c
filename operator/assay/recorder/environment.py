"""environment.json: the environment of a training container. Captured once, in the background.

Installed packages are read from the training container's image, if the pod mounts it for the recorder. The rest comes
from the recorder's own view of the node and from the operator. If the capture fails, the record lists the problem.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from assay.recorder.log import Log
from assay.recorder.shipper import dump

_NICEST = 19
_SAVED = "environment.json"


class Environment:
    """The capture for one pod. Call `run` in a separate thread and `finish` at the end.

    `described` is JSON text in which the operator describes the training container.
    """

    def __init__(
        self, image: Path, described: str, node: str, spool: Path, put: Callable[[bytes], None], log: Log
    ) -> None:
        self._image = image
        self._described = _parse(described)
        self._node = node
        self._saved = spool / _SAVED
        self._put = put
        self._log = log
        self._lock = threading.Lock()
        self._known = threading.Event()
        self._data = b""
        self._shipped = False

    def run(self) -> None:
        """Capture and upload. Raises only what `put` raises."""
        if not self._decide(self._load()):
            with suppress(OSError, AttributeError):  # of this thread only; not all systems support it
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICEST)
            try:
                found = self._capture()
            except Exception as error:  # the image is untrusted: report any error
                found = self._without(f"the image could not be read: {type(error).__name__}: {error}"[:300])
            if self._decide(dump(found)):
                self._save()
        self._ship()

    def finish(self, patience: float) -> bytes:
        """Upload the record unless that is done, and return it. Raises what `put` raises.

        Waits at most `patience` seconds for a capture that is still reading the image.
        """
        if not self._known.wait(patience):
            self._decide(dump(self._without("the training ended before the image was read")))
        self._ship()
        return self._data

    def _decide(self, data: bytes) -> bool:
        """Make this the record unless there is one. Returns False if `data` is empty."""
        with self._lock:
            if data and not self._data:
                self._data = data
                self._known.set()
            return bool(data)

    def _ship(self) -> None:
        if not self._shipped:
            self._put(self._data)
            self._shipped = True

    def _capture(self) -> dict[str, Any]:
        why = self._described.get("unseen")
        if why:
            return self._without(f"the image was not mounted: {why}"[:500])
        # Imported here: not needed before the recorder is running.
        from assay.recorder.image import Budget, Image
        from assay.recorder.packages import installed

        image = Image(str(self._image), Budget())
        if not image.mounted:
            return self._without("the image was not mounted, although the pod requests it")
        found = installed(image)
        self._log.info("captured the environment from the image", packages=len(found.packages), python=found.python)
        return self._record("image", [found.problem] if found.problem else []) | {
            "os": found.os,
            "python": found.python,
            "prefixes": [
                {"name": each.name, "python": each.python, "packages": len(each.packages)} for each in found.prefixes
            ],
            "packages": found.packages,
            "conda": found.conda,
            "cuda": found.cuda,
            "closed": image.closed[:20],
        }

    def _without(self, problem: str) -> dict[str, Any]:
        """The record without data from the image."""
        return self._record("recorder", [problem])

    def _record(self, source: str, problems: list[str]) -> dict[str, Any]:
        from assay.recorder.hardware import hardware

        described = self._described
        return {
            "version": 1,
            "source": source,
            "problems": problems,
            "container": described.get("container", ""),
            "image": described.get("image", ""),
            "variables": described.get("variables", []),
            "variables_from": described.get("variables_from", []),
            "hardware": hardware(described, self._node),
        }

    def _load(self) -> bytes:
        """The record that the recorder captured before it was restarted; b"" if there is none."""
        with suppress(OSError):
            return self._saved.read_bytes()
        return b""

    def _save(self) -> None:
        temporary = self._saved.with_suffix(".new")
        with suppress(OSError):  # disk full: after a restart the image is read again
            temporary.write_bytes(self._data)
            temporary.replace(self._saved)


def _parse(text: str) -> Mapping[str, Any]:
    """The operator's description of the training container; {} if there is none."""
    with suppress(ValueError):
        found = json.loads(text)
        return found if isinstance(found, dict) else {}
    return {}
