"""environment.json: what a training container runs in. Captured once, beside everything else, and never waited for.

What is installed is read from the training container's image, when the pod has it mounted for the recorder; the rest
is what the recorder sees itself and what it was told. A capture that fails is a record that says so.
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
    """The capture of one pod. `run` is for a thread of its own, `finish` for the end."""

    def __init__(self, image: Path, told: str, node: str, spool: Path, put: Callable[[bytes], None], log: Log) -> None:
        self._image = image
        self._told = _parse(told)
        self._node = node
        self._saved = spool / _SAVED
        self._put = put
        self._log = log
        self._lock = threading.Lock()
        self._known = threading.Event()
        self._data = b""
        self._shipped = False

    def run(self) -> None:
        """Capture and ship. Raises what `put` raises, and nothing else."""
        if not self._decide(self._load()):
            with suppress(OSError, AttributeError):  # of this thread alone, where the system has that
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICEST)
            try:
                found = self._capture()
            except Exception as error:  # whatever an image can do to us: it is said, and nothing more
                found = self._without(f"the image could not be read: {type(error).__name__}: {error}"[:300])
            if self._decide(dump(found)):
                self._save()
        self._ship()

    def finish(self, patience: float) -> bytes:
        """Ship it, if that has not been done. Gives what lies in the store. Raises what `put` raises.

        An image that is still being read is waited for so many seconds.
        """
        if not self._known.wait(patience):
            self._decide(dump(self._without("the training ended before the image was read")))
        self._ship()
        return self._data

    def _decide(self, data: bytes) -> bool:
        """Make this the record, unless there is one already. False when there is nothing to decide for."""
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
        why = self._told.get("unseen")
        if why:
            return self._without(f"the image was not mounted: {why}"[:500])
        # Imported here: nothing of this is needed before the recorder is up.
        from assay.recorder.image import Budget, Image
        from assay.recorder.packages import installed

        image = Image(str(self._image), Budget())
        if not image.mounted:
            return self._without("the image was not mounted, although the pod asks for it")
        found = installed(image)
        self._log.info("the image was looked at", packages=len(found.packages), python=found.python)
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
        """The record when the image was not looked at."""
        return self._record("recorder", [problem])

    def _record(self, source: str, problems: list[str]) -> dict[str, Any]:
        from assay.recorder.hardware import hardware

        told = self._told
        return {
            "version": 1,
            "source": source,
            "problems": problems,
            "container": told.get("container", ""),
            "image": told.get("image", ""),
            "variables": told.get("variables", []),
            "variables_from": told.get("variables_from", []),
            "hardware": hardware(told, self._node),
        }

    def _load(self) -> bytes:
        """What an earlier life of this recorder has found."""
        with suppress(OSError):
            return self._saved.read_bytes()
        return b""

    def _save(self) -> None:
        temporary = self._saved.with_suffix(".new")
        with suppress(OSError):  # a full disk: the next life looks again
            temporary.write_bytes(self._data)
            temporary.replace(self._saved)


def _parse(told: str) -> Mapping[str, Any]:
    """What the operator says of the training container; {} when it says nothing."""
    with suppress(ValueError):
        found = json.loads(told)
        return found if isinstance(found, dict) else {}
    return {}
