"""The MLflow endpoint that the recorder serves in a pod: whether it is there, and how the training finds it. Pure."""

from collections.abc import Collection
from typing import Any

from assay.api.objects import Raw

#: On the pod's localhost. Ports that programs choose for themselves begin at 32768.
PORT = 16577
#: A template that sets one of these logs to a server of its own, or knows where it wants to log.
OWN = frozenset({"MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"})
_CHOSEN = ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
#: The Run's own experiment at the endpoint.
_EXPERIMENT = "1"


def served(run: Raw, pod: Raw) -> bool:
    """Whether the pod has the endpoint.

    In the network of the node, localhost is shared with other pods and programs, so there is none.
    """
    wanted = ((run["spec"].get("collect") or {}).get("mlflow")) is not False
    return wanted and not pod.get("hostNetwork")


def run_id(run: Raw) -> str:
    """Return the id of the Run at the endpoint: its UID without dashes, as MLflow writes ids."""
    return str(run["metadata"]["uid"]).replace("-", "")


def variables(run: Raw, taken: Collection[Any]) -> list[Raw]:
    """Return the variables with which MLflow's clients find the endpoint and the run.

    ``taken`` are names that the template sets: an experiment that it names stays.
    """
    # Not MLFLOW_EXPERIMENT_NAME: a script that calls set_experiment() sets the id for its subprocesses, and clients
    # refuse a name that contradicts it.
    values = {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{PORT}",
        "MLFLOW_RUN_ID": run_id(run),
        **({} if any(name in taken for name in _CHOSEN) else {"MLFLOW_EXPERIMENT_ID": _EXPERIMENT}),
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def recorder_variables(points: int | None) -> list[Raw]:
    """Return the variables of the recorder. ``points`` can be read back; None: the recorder's default."""
    values = {"ASSAY_MLFLOW_PORT": PORT} | ({} if points is None else {"ASSAY_MLFLOW_POINTS": points})
    return [{"name": name, "value": str(value)} for name, value in values.items()]
