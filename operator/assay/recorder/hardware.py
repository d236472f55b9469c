"""The machine that a pod runs on, as its containers can see it: processor, memory, kernel, GPUs.

Reads the kernel's own files. The numbers are the node's, not what the pod may use of it.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_MAX_BYTES = 256 << 10
_MAX_GPUS = 64
_MAX_CHARS = 200


def hardware(told: Mapping[str, Any], node: str, proc: Path = Path("/proc")) -> dict[str, Any]:
    """What the record says of the hardware. `told` has the container's `requests`, `limits` and `gpus`."""
    return {
        "node": node,
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "cpu": {"model": _processor(_text(proc / "cpuinfo")), "cores": os.cpu_count() or 0},
        "memory_bytes": _memory(_text(proc / "meminfo")),
        "requests": told.get("requests") or {},
        "limits": told.get("limits") or {},
        "gpus": _gpus(told, proc / "driver" / "nvidia"),
    }


def _gpus(told: Mapping[str, Any], driver: Path) -> dict[str, Any]:
    """Requested ones, and those of the node; `seen` is None where this container cannot see any driver."""
    version = re.search(r"Kernel Module(?: for \S+)?\s+(\d[\d.]*)", _text(driver / "version"))
    models: list[str] = []
    with suppress(OSError):
        for folder in sorted((driver / "gpus").iterdir())[:_MAX_GPUS]:
            found = re.search(r"^Model:\s*(\S.*?)\s*$", _text(folder / "information"), re.MULTILINE)
            models += [_plain(found[1])] if found else []
    seen = {"seen": models, "driver": version[1][:_MAX_CHARS]} if version else {"seen": None}
    return {"requested": told.get("gpus") or {}, **seen}


def _processor(cpuinfo: str) -> str:
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in cpuinfo.splitlines())}
    arm = " ".join(f"{key[4:]} {said[key]}" for key in ("CPU implementer", "CPU part") if key in said)
    return _plain(said.get("model name") or said.get("Model") or said.get("cpu") or arm)


def _memory(meminfo: str) -> int:
    found = re.search(r"^MemTotal:\s+(\d{1,15}) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _text(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return file.read(_MAX_BYTES).decode("utf-8", "replace")
    return ""


def _plain(text: str) -> str:
    return " ".join(text.split())[:_MAX_CHARS]
