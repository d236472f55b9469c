"""What the pod uses beside CPU and memory, which the operator samples: network, disk, and NVIDIA GPUs, as `system/…`.

The recorder shares the network of the pod and the volume /assay. It sees a GPU only if the node shows it to all
containers of the pod; the package nvidia-ml-py is imported only then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay.recorder.collectors.protocol import Position, Surroundings
from assay.recorder.collectors.sampling import Sampler

SECONDS = 10.0
_NETWORK = Path("/proc/net/dev")
_MEBIBYTE = 1 << 20


def sampler(surroundings: Surroundings, position: Position) -> Sampler:
    """Open the samples of the pod."""
    gpus = _gpus()

    def sample() -> Mapping[str, float]:
        return {**network(_NETWORK.read_text()), **disk(str(surroundings.directory)), **gpus()}

    return Sampler("system", sample, surroundings.clock, SECONDS, position)


def network(text: str) -> dict[str, float]:
    """Return the bytes of all interfaces but the loopback, from the text of /proc/net/dev."""
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() != "lo" and len(fields) > 8:
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return {"system/network_received_bytes": float(received), "system/network_sent_bytes": float(sent)}


def disk(folder: str) -> dict[str, float]:
    """Return how much of the file system of a folder is used and free, in bytes."""
    found = os.statvfs(folder)
    return {
        "system/disk_used_bytes": float((found.f_blocks - found.f_bfree) * found.f_frsize),
        "system/disk_free_bytes": float(found.f_bavail * found.f_frsize),
    }


def _gpus() -> Callable[[], dict[str, float]]:
    """Return the function that samples all GPUs; one that returns nothing where no GPU is visible."""
    if not Path("/dev/nvidiactl").exists():
        return dict
    try:
        import pynvml  # type: ignore[import-untyped]

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # no driver, no library, no right: as without a GPU
        return dict
    return lambda: {name: value for at, handle in enumerate(handles) for name, value in _gpu(pynvml, at, handle)}


def _gpu(nvml: Any, at: int, handle: Any) -> list[tuple[str, float]]:
    """Return what one GPU reports. Not every model reports everything."""
    questions: dict[str, Callable[[], float]] = {
        "utilization_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "memory_used_mib": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used / _MEBIBYTE,
        "power_watts": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "temperature_celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
    }
    found = []
    for name, ask in questions.items():
        try:
            found.append((f"system/gpu{at}_{name}", float(ask())))
        except nvml.NVMLError:
            continue
    return found
