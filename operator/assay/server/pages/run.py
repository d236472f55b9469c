"""One run: what it was given, how it went, its curves, its files and its log."""

from __future__ import annotations

from typing import Any, Final

from assay.api import names
from assay.api.objects import Raw
from assay.api.run_status import TERMINAL
from assay.planning.runs import recipe
from assay.planning.runs.recipe import containers_of, digests_of
from assay.queries.audit import lineage as graphs
from assay.queries.files import listing
from assay.queries.files.listing import Stored
from assay.queries.logs import following
from assay.queries.runs import attempts, recorded, rows
from assay.server.pages import files, lineage, parts, previews, shown
from assay.server.pages.site import Page, Visit

#: Files that the table lists, and of those the artifacts that the page shows.
_FILES, _SHOWN = 500, 24
#: Metrics that the recorder and the operator measure of the pod.
_SYSTEM: Final = "system/"
#: What each phase means, where the operator has no message.
_WORDS: Final = {
    "Pending": "The run waits for its pod.",
    "Running": "The run is training.",
    "Suspended": "The run is suspended.",
    "Succeeded": "The run has finished.",
    "Failed": "The run has failed.",
}


def one(visit: Visit) -> Page:
    """Show one run."""
    located = recorded.locate(visit.person, visit.path["run"])
    run = located.run
    (row,) = rows.timed([located.row])
    name, status = row["name"], run.get("status") or {}
    stored = parts.attempt(visit, lambda: listing.find(visit.person, name))
    found = _files(stored.found, visit) if stored.found else []
    ongoing = row["phase"] not in TERMINAL
    values = {
        "row": row,
        "words": status.get("message") or _WORDS.get(row["phase"], ""),
        "facts": _facts(row, run),
        "metrics": _metrics(row),
        "drawn": [each["name"] for each in _metrics(row) if not each["name"].startswith(_SYSTEM)],
        "system": [name for name in sorted(row["metrics"]) if name.startswith(_SYSTEM)],
        "axes": ["step", "relative", "time", *row["metrics"]],
        "conditions": status.get("conditions") or [],
        "warnings": list(filter(None, [*(status.get("recorder") or {}).get("warnings", []), attempts.other_pods(run)])),
        "files": found,
        "images": [each for each in found if each["artifact"] and each["kind"] == "image"][:_SHOWN],
        "texts": [each for each in found if each["artifact"] and each["kind"] in ("text", "matrix")][:_SHOWN],
        "stored": stored,
        "log": parts.attempt(visit, lambda: following.tail(visit.person, run)),
        "log_address": shown.path("api", "v1", "namespaces", visit.namespace, "runs", name, "log"),
        "recipe": _recipe(run, visit.namespace),
        "ongoing": ongoing,
        "usage": _usage(run, visit, ongoing),
        "curves": shown.path("api", "v1", "namespaces", visit.namespace, "curves"),
        "experiment": visit.link("experiments", row["experiment"]) if row["experiment"] else "",
        "lineage": parts.attempt(
            visit, lambda: lineage.picture(graphs.around_run(visit.person, located), visit.namespace)
        ),
    }
    events = visit.events("runs", ("run", name), ("points", "1")) if ongoing else ""
    return Page("run.html", name, values, "runs", live=ongoing, events=events)


def _facts(row: rows.RunRow, run: Raw) -> list[tuple[str, Any]]:
    spec, status = run["spec"], run.get("status") or {}
    source, record = row["source"], status.get("record") or {}
    digests = digests_of(status)
    found: list[tuple[str, Any]] = [
        ("Owner", row["owner"]),
        ("Seed", row["seed"]),
        ("Source", source.get("repository")),
        ("Revision", source.get("revision")),
    ]
    found += [
        (f"Image of {each.get('name')}", digests.get(str(each.get("name"))) or each.get("image"))
        for each in containers_of(spec)
    ]
    found += [
        (f"Data set {name}", " ".join(filter(None, (each.get("version"), each.get("digest")))))
        for name, each in row["datasets"].items()
    ]
    found += [
        ("Model", row["model"].get("digest")),
        ("Model's size", row["model"].get("size")),
        ("Record", record.get("uri")),
        ("CPU seconds", (status.get("usage") or {}).get("cpuSeconds")),
        ("Peak memory, bytes", (status.get("usage") or {}).get("maxMemoryBytes")),
        ("UID", row["uid"]),
    ]
    return [(title, value) for title, value in found if value not in (None, "")]


def _usage(run: Raw, visit: Visit, ongoing: bool) -> dict[str, str]:
    """Return where the samples of CPU and memory are, "" if there are none, and why."""
    usage = (run.get("status") or {}).get("usage") or {}
    address = shown.path("api", "v1", "namespaces", visit.namespace, "runs", run["metadata"]["name"], "system")
    return {"address": address if ongoing or usage.get("samples") else "", "message": usage.get("message") or ""}


def _metrics(row: rows.RunRow) -> list[dict[str, Any]]:
    """Return the summaries, the objective first."""
    first = (row["objective"] or {}).get("metric")
    names = sorted(row["metrics"], key=lambda name: (name != first, name))
    return [{"name": name, "objective": name == first, **row["metrics"][name]} for name in names]


def _recipe(run: Raw, namespace: str) -> dict[str, Any]:
    """Return whether the run can be repeated, why not, and the commands that do it."""
    name, ended = run["metadata"]["name"], (run.get("status") or {}).get("phase") in TERMINAL
    status, _, message = recipe.condition_of(run) if ended else ("Unknown", "", "The run has not ended.")
    known = {each["type"]: each for each in (run.get("status") or {}).get("conditions") or []}
    return {
        "status": status,
        "reasons": list(filter(None, message.removeprefix("not reproducible: ").split("; "))),
        "reproduced": known.get(names.REPRODUCED),
        "commands": [
            (f"assay rerun {name} -n {namespace}", "runs it again from the recipe"),
            (f"assay rerun {name} -n {namespace} --wait", "the same, and says whether the result is reproduced"),
            (f"assay rerun {name} -n {namespace} --dry-run", "only checks whether that is possible"),
        ],
    }


def _files(stored: Stored, visit: Visit) -> list[dict[str, Any]]:
    """Return the artifacts first, then the other files of the record."""
    ours = {file.path for file in stored.artifact_files}
    ordered = sorted(stored.files, key=lambda file: (file.path not in ours, file.path))
    return [
        {
            "path": stored.shown(file.path),
            "size": file.size,
            "sha256": file.sha256,
            "expired": file.expired,
            "link": files.address(visit, stored.name, "files", file.path),
            "show": files.address(visit, stored.name, "show", file.path),
            # Of the other files, such as metrics and manifests, the page has the contents already.
            "kind": "" if file.expired else previews.kind_of(file.path),
            "artifact": file.path in ours,
        }
        for file in ordered[:_FILES]
    ]
