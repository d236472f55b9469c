"""Reading the components' logs when something went wrong."""

import re
from pathlib import Path

LINES = 3
# klog, containerd, CoreDNS, etcd, MinIO
_ERROR = re.compile(
    r'^[EF]\d{4} |level=(error|fatal)|^\[ERROR\]|"level":"(error|fatal|panic)"|^(API|Error|FATAL)\b|^panic:'
)


def sizes(folder: Path) -> dict[str, int]:
    """How long every log is now, in bytes."""
    return {log.name: log.stat().st_size for log in folder.glob("*.log")}


def troubles(folder: Path, problem: str, since: dict[str, int]) -> str:
    """Name the log folder, the problem that the supervisor saw, and the last errors of each log after `since`."""
    lines = [f"logs of the cluster: {folder}", *([problem] if problem else [])]
    for log in sorted(folder.glob("*.log")):
        content = log.read_bytes()[since.get(log.name, 0) :].decode(errors="replace")
        found = [line for line in content.splitlines() if _ERROR.search(line)]
        lines += [f"{log.name}: {line[:300]}" for line in found[-LINES:]]
    return "\n".join(lines)
