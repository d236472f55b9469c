"""What the demonstration prints, as pure functions from Kubernetes objects (parsed JSON) to text. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Raw = Mapping[str, Any]
ORDER = ("running", "pending", "suspended", "failed")


def progress(experiment: Raw) -> str:
    """One line: how many runs are done, what the others do, the best one so far."""
    status = experiment.get("status") or {}
    if "progress" not in status:
        return "waiting for the operator"
    runs = status.get("runs") or {}
    counts = [f"{runs[phase]} {phase}" for phase in ORDER if runs.get(phase)]
    parts = [f"{status['progress']} runs finished", *counts]
    best = status.get("best")
    if best:
        metric = experiment["spec"]["objective"]["metric"]
        parts.append(f"best {metric} {number(best['value'])} ({assignments(experiment, best.get('parameters') or {})})")
    return ", ".join(parts)


def sort_runs(runs: Iterable[Raw], objective: Raw) -> list[Raw]:
    """Best first by the objective; a run without a value of it is worse than any other."""
    sign = -1 if objective["direction"] == "maximize" else 1

    def key(run: Raw) -> tuple[bool, float, str]:
        value = result(run, objective["metric"])
        return (value is None, sign * (value or 0.0), run["metadata"]["name"])

    return sorted(runs, key=key)


def result(run: Raw, metric: str) -> float | None:
    """The best value of a metric in a run, or its last where no best is told; None without any."""
    summary = ((run.get("status") or {}).get("metrics") or {}).get(metric) or {}
    value = summary.get("best", summary.get("last"))
    return None if value is None else float(value)


def assignments(experiment: Raw, values: Mapping[str, Any]) -> str:
    """Parameters in a sentence, in the experiment's order: `learning_rate 0.1, depth 3`."""
    return ", ".join(f"{name} {number(values[name])}" for name in _ordered(experiment, values))


def number(value: Any) -> str:
    """Up to four significant digits; anything but a float as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def next_steps(exports: Sequence[str], version: Raw, alias: str, best: str, other: str) -> str:
    """What the demonstration ends with: what makes a shell ready, and commands to try in it, two spaces indented."""
    name, model = version["metadata"]["name"], version["spec"]["model"]
    experiment = version["spec"]["run"]["experiment"]
    parts = {
        "Next steps. Prepare a shell:": exports,
        "Explore the runs:": (
            f"assay runs -e {experiment} --where 'metrics.val_accuracy.last > 0.95'",
            f"assay compare {best} {other}",
            f"assay curves {best} {other} --metric train_loss --metric val_loss --log-y",
            f"assay artifacts ls {best}",
            f"kubectl describe run {best}",
        ),
        f"You ({version['spec']['owner']}) trained {name}, so somebody else has to approve it. Approve it as rita:": (
            f"assay why {model}.{alias}",
            f"assay approve {name} --for {alias} --as rita --yes",
            "assay models",
        ),
        "Use the model, and see where it comes from:": (
            f"assay pull {name} {name.replace('.', '-')}",
            f"assay lineage {name}",
        ),
        "Look behind the scenes:": (
            "kubectl get experiments,runs,modelversions,modelaliases,jobs,pods",
            "kubectl -n assay-system logs deployment/assay-operator",
        ),
        "See the experiment in a browser (this prints the address of its page):": (f"assay ui {experiment}",),
    }
    blocks = ["\n".join((title, *(f"  {command}" for command in commands))) for title, commands in parts.items()]
    return "\n\n".join((*blocks, "The cluster keeps running until `make demo-down`."))


def _ordered(experiment: Raw, names: Iterable[str]) -> list[str]:
    """Names of parameters in the order in which the experiment has them; others after, by name."""
    known = [parameter["name"] for parameter in experiment["spec"].get("parameters") or []]
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))
