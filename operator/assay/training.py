"""For training code, optional: `from assay import log`. No dependencies; outside of a run's pod it does nothing.

    log(step=3, loss=0.4)            one line of /assay/metrics.jsonl; for any names: log({"val/f1": 0.8}, step=3)
    log.artifact("plots/roc.png")    a copy of a file or folder below /assay/artifacts
    log.param("learning_rate", 0.1)  a parameter of the run; the default outside of a pod

A shell script does the same with `echo`. Several threads, forked processes and ranks may log at once: a line is one
write. Ranks above 0 put their number before the names. A full disk never fails the training.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The rank of a process, as torchrun, Open MPI, Slurm and Horovod set it.
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "HOROVOD_RANK")
_NOTHING: Any = object()


class Log:
    """`log` itself: call it, or one of its methods."""

    def __call__(self, metrics: Mapping[str, Any] | None = None, /, *, step: float | None = None, **more: Any) -> None:
        """Record values of metrics at a step: numbers, or scalars of numpy, torch, jax or TensorFlow.

        Raises TypeError for a value that is not a number.
        """
        values = {name: _number(name, value) for name, value in {**(metrics or {}), **more}.items()}
        folder = _folder()
        if folder is None:
            return
        prefix = _rank()
        fields: dict[str, Any] = {} if step is None else {"step": _number("step", step)}
        fields |= {"timestamp": round(time.time(), 3)} | {prefix + name: value for name, value in values.items()}
        _append(folder / "metrics.jsonl", json.dumps(fields) + "\n")

    def artifact(self, path: str | os.PathLike[str], name: str = "") -> None:
        """Copy a file or a folder to the run's artifacts, by default under its own name.

        Raises FileNotFoundError if it does not exist, and ValueError for a name that leads out of the artifacts.
        """
        source, folder = Path(path), _folder()
        relative = Path(name or source.resolve().name)
        if relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"invalid name of an artifact: {name!r}: use a relative path without '..'")
        if not source.exists():
            raise FileNotFoundError(f"{source} does not exist, so it cannot be recorded as an artifact")
        if folder is None:
            return
        try:
            _copy(source, folder / "artifacts" / relative)
        except OSError as error:
            warnings.warn(f"assay: the artifact {source} is not recorded: {error}", stacklevel=2)

    def param(self, name: str, default: Any = _NOTHING) -> Any:
        """Return a parameter of the run. Raises KeyError if the run has none of that name and there is no default."""
        folder = _folder()
        if folder is not None:
            try:
                found = json.loads((folder / "params.json").read_text())
            except FileNotFoundError:
                found = {}
            if name in found:
                return found[name]
        if default is _NOTHING:
            raise KeyError(f"the run has no parameter {name}: add it to spec.parameters, or pass a default")
        return default


log = Log()
artifact = log.artifact
param = log.param


def _folder() -> Path | None:
    """Return /assay in a pod of a run; None elsewhere. The operator sets ASSAY_RUN."""
    return Path(os.environ.get("ASSAY_DIR") or "/assay") if os.environ.get("ASSAY_RUN") else None


def _rank() -> str:
    """Return what begins the names of metrics: "" for rank 0 and without ranks."""
    for variable in _RANKS:
        rank = os.environ.get(variable, "")
        if rank.isdecimal():
            return f"rank{int(rank)}/" if int(rank) else ""
    return ""


def _number(name: str, value: Any) -> float:
    """Return a value as an int or float. Scalars of other libraries have the method `item`, or convert to float."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, bool | str | bytes) or value is None:
        raise TypeError(f"{name} is {value!r}: a metric must be a number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is of the type {type(value).__name__}: a metric must be a number") from None


def _append(file: Path, line: str) -> None:
    """Append a line with one write, which Linux does not mix with those of other processes."""
    try:
        fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)
    except OSError as error:
        warnings.warn(f"assay: metrics are not recorded: {file}: {error.strerror}", stacklevel=3)


def _copy(source: Path, target: Path) -> None:
    """Copy a file as a whole, or a folder with its files, so that no half-written file is recorded."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
        return
    with tempfile.NamedTemporaryFile(dir=target.parent.parent, prefix=".assay-", delete=False) as draft:
        try:
            with source.open("rb") as data:
                shutil.copyfileobj(data, draft)
            draft.close()
            Path(draft.name).chmod(0o644)
            Path(draft.name).replace(target)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
