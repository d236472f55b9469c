"""The hardware of a pod's node, as its containers can see it: processor, memory, kernel, GPUs.

Reads the kernel's files. The numbers describe the node, not the resources that the pod may use.
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


def hardware(described: Mapping[str, Any], node: str, proc: Path = Path("/proc")) -> dict[str, Any]:
    """The hardware section of the record. `described` has the container's `requests`, `limits` and `gpus`."""
    return {
        "node": node,
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "cpu": {"model": _processor(_text(proc / "cpuinfo")), "cores": os.cpu_count() or 0},
        "memory_bytes": _memory(_text(proc / "meminfo")),
        "requests": described.get("requests") or {},
        "limits": described.get("limits") or {},
        "gpus": _gpus(described, proc / "driver" / "nvidia"),
    }


def _gpus(described: Mapping[str, Any], driver: Path) -> dict[str, Any]:
    """The requested GPUs and those of the node; `seen` is None if this container cannot see a driver."""
    version = re.search(r"Kernel Module(?: for \S+)?\s+(\d[\d.]*)", _text(driver / "version"))
    models: list[str] = []
    with suppress(OSError):
        for folder in sorted((driver / "gpus").iterdir())[:_MAX_GPUS]:
            found = re.search(r"^Model:\s*(\S.*?)\s*$", _text(folder / "information"), re.MULTILINE)
            models += [_plain(found[1])] if found else []
    seen = {"seen": models, "driver": version[1][:_MAX_CHARS]} if version else {"seen": None}
    return {"requested": described.get("gpus") or {}, **seen}


def _processor(cpuinfo: str) -> str:
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in cpuinfo.splitlines())}
    arm = " ".join(f"{key[4:]} {fields[key]}" for key in ("CPU implementer", "CPU part") if key in fields)
    return _plain(fields.get("model name") or fields.get("Model") or fields.get("cpu") or arm)


def _memory(meminfo: str) -> int:
    found = re.search(r"^MemTotal:\s+(\d{1,15}) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _text(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return file.read(_MAX_BYTES).decode("utf-8", "replace")
    return ""


def _plain(text: str) -> str:
    return " ".join(text.split())[:_MAX_CHARS]
