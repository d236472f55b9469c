"""What the demonstration prints, as pure functions from Kubernetes objects (parsed JSON) to text. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Raw = Mapping[str, Any]
ORDER = ("running", "pending", "suspended", "failed")


def progress(experiment: Raw) -> str:
    """One line: how many runs are done, what the others do, the best one so far."""
    status = experiment.get("status") or {}
    if "progress" not in status:
        return "the operator has not seen the experiment yet"
    runs = status.get("runs") or {}
    counts = [f"{runs[phase]} {phase}" for phase in ORDER if runs.get(phase)]
    parts = [f"{status['progress']} runs finished", *counts]
    best = status.get("best")
    if best:
        metric = experiment["spec"]["objective"]["metric"]
        parts.append(f"best {metric} {number(best['value'])} ({assignments(experiment, best.get('parameters') or {})})")
    return ", ".join(parts)


def run_table(experiment: Raw, runs: Iterable[Raw]) -> str:
    """The runs, best first; those without a value of the objective at the end."""
    objective = experiment["spec"]["objective"]
    ordered = sort_runs(runs, objective)
    names = _ordered(experiment, {name for run in ordered for name in parameters(run)})
    header = ["RUN", *map(str.upper, names), objective["metric"].upper(), "DURATION", "PHASE"]
    rows = [_row(run, names, objective["metric"]) for run in ordered]
    return table([header, *rows])


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


def parameters(run: Raw) -> Mapping[str, Any]:
    """The run's parameters by name."""
    return run["spec"].get("parameters") or {}


def assignments(experiment: Raw, values: Mapping[str, Any]) -> str:
    """Parameters in a sentence, in the experiment's order: `learning_rate 0.1, depth 3`."""
    return ", ".join(f"{name} {number(values[name])}" for name in _ordered(experiment, values))


def number(value: Any) -> str:
    """Up to four significant digits; anything but a float as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def size(count: int) -> str:
    """Bytes for people: `327 kB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(run: Raw, names: Sequence[str], metric: str) -> list[str]:
    status = run.get("status") or {}
    value = result(run, metric)
    chosen = [number(parameters(run).get(name, "")) for name in names]
    shown = "" if value is None else f"{value:.4f}"
    return [run["metadata"]["name"], *chosen, shown, status.get("duration") or "", _phase(status)]


def _phase(status: Raw) -> str:
    phase, reason = str(status.get("phase") or "Pending"), status.get("reason")
    return f"{phase} ({reason})" if phase == "Failed" and reason else phase


def _ordered(experiment: Raw, names: Iterable[str]) -> list[str]:
    """Names of parameters in the order in which the experiment has them; others after, by name."""
    known = [parameter["name"] for parameter in experiment["spec"].get("parameters") or []]
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))
