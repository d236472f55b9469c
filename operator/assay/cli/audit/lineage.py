"""From what is served back to the data: one graph of workloads, aliases, versions, runs, code, images and data sets.

Reads objects only. A run that is gone from the cluster is shown as its version knows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from assay.api import names
from assay.api.resources import DEPLOYMENTS, MODEL_ALIASES, MODEL_VERSIONS, RUNS, STATEFUL_SETS, Resource
from assay.cli.errors import CliError
from assay.cli.session import Session
from assay.queries import references

Raw = dict[str, Any]

_WORKLOADS: dict[str, Resource] = {"deployment": DEPLOYMENTS, "statefulset": STATEFUL_SETS}
_SHORT = {"deploy": "deployment", "deployments": "deployment", "sts": "statefulset", "statefulsets": "statefulset"}


@dataclass(frozen=True)
class Node:
    """One thing, such as a version. ``id`` is unique in its graph; ``facts`` are texts by name, for people."""

    id: str
    kind: str
    name: str
    facts: dict[str, str] = field(default_factory=dict)


@dataclass
class Graph:
    """Nodes in the order in which they were found, and edges (from, relation, to): from what is served to the data."""

    root: str = ""
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, node: Node, above: str = "", relation: str = "") -> str:
        """Add a node, once, and the edge that leads to it. Returns its id."""
        self.nodes.setdefault(node.id, node)
        edge = (above, relation, node.id)
        if above and edge not in self.edges:
            self.edges.append(edge)
        self.root = self.root or node.id
        return node.id

    def below(self, node: str) -> list[tuple[str, str]]:
        """The relations of a node to others, and their ids."""
        return [(relation, to) for above, relation, to in self.edges if above == node]


def trace(session: Session, text: str) -> Graph:
    """Return the graph that begins with a workload (deployment/NAME), an alias, a version or a run. Raises CliError."""
    graph = Graph()
    kind, slash, name = text.partition("/")
    kind = _SHORT.get(kind, kind)
    if slash and kind in _WORKLOADS:
        _workload(session, graph, kind, name)
    elif references.version_name(text):
        _version(session, graph, references.version(session, text))
    elif references.alias_name(text):
        _alias(session, graph, references.alias(session, text))
    else:
        _of_run(session, graph, text)
    return graph


def _workload(session: Session, graph: Graph, kind: str, name: str) -> None:
    body = session.kube.get(_WORKLOADS[kind], session.namespace, name)
    annotations = body["metadata"].get("annotations") or {}
    follows = annotations.get(names.ANNOTATION_SERVE)
    if not follows:
        hint = f"`kubectl annotate {kind} {name} {names.ANNOTATION_SERVE}=MODEL.ALIAS` has it follow an alias"
        raise CliError(f"{kind} {name} serves no alias", hint=hint)
    status = body.get("status") or {}
    facts = {"ready": f"{status.get('readyReplicas') or 0}/{body['spec'].get('replicas', 1)}"}
    above = graph.add(Node(f"{kind}/{name}", kind, name, facts))
    _alias(session, graph, references.alias(session, follows), above)


def _alias(session: Session, graph: Graph, body: Raw, above: str = "") -> None:
    status, spec = body.get("status") or {}, body["spec"]
    live = status.get("boundVersion")
    bound: Raw = next((each for each in reversed(status.get("history") or []) if not each.get("to")), {})
    facts = {"phase": status.get("phase"), "since": status.get("boundAt"), "by": bound.get("actor")}
    if live != spec["version"]:
        facts["wanted"] = f"v{spec['version']}"
    name = body["metadata"]["name"]
    node = graph.add(Node(f"alias/{name}", "alias", name, _texts(facts)), above, "follows")
    if not above:
        for each in status.get("serving") or []:
            served = {"version": f"v{each.get('version')}", "ready": "yes" if each.get("ready") else "no"}
            kind = each["kind"].lower()
            graph.add(Node(f"{kind}/{each['name']}", kind, each["name"], served), node, "served by")
    if live:
        _version(
            session, graph, references.version(session, f"{spec['model']}.v{live}"), node, status.get("boundDigest", "")
        )


def _version(session: Session, graph: Graph, body: Raw, above: str = "", bound: str = "") -> None:
    spec, status, name = body["spec"], body.get("status") or {}, body["metadata"]["name"]
    true = {each["type"] for each in status.get("conditions") or [] if each["status"] == "True"}
    facts = {
        "digest": spec["artifact"]["digest"],
        "phase": status.get("phase"),
        "owner": spec.get("owner"),
        "live under": ", ".join(status.get("aliases") or []),
        "evidence": ", ".join(each for each in _EVIDENCE if each in true),
    }
    if bound and bound != spec["artifact"]["digest"]:
        facts["but bound was"] = bound
    node = graph.add(Node(f"version/{name}", "version", name, _texts(facts)), above, "is")
    for each in status.get("approvals") or []:
        if each.get("valid"):
            facts = {"for": each["alias"], "since": each["since"]}
            person = Node(f"approval/{name}/{each['alias']}/{each['id']}", "approval", each["approver"], facts)
            graph.add(person, node, "approved by")
    _made_of(session, graph, node, body)


_EVIDENCE = (names.ARTIFACT_VERIFIED, names.PROVENANCE_VERIFIED, names.REPRODUCIBLE, names.SIGNED)


def _made_of(session: Session, graph: Graph, node: str, body: Raw) -> None:
    """Add what a version was made from: its run as it is now, else what the version says."""
    reference = body["spec"].get("run")
    provenance = (body.get("status") or {}).get("provenance") or body["spec"].get("provenance") or {}
    if reference is None:
        _ingredients(graph, node, provenance)
        return
    run = session.kube.find(RUNS, session.namespace, reference["name"])
    if run is not None and run["metadata"]["uid"] == reference["uid"]:
        _run(graph, run, node)
        return
    facts = _texts({"uid": reference["uid"], "experiment": reference.get("experiment"), "state": "not in the cluster"})
    gone = graph.add(Node(f"run/{reference['name']}", "run", reference["name"], facts), node, "made by")
    _ingredients(graph, gone, provenance)


def _of_run(session: Session, graph: Graph, text: str) -> None:
    """Begin with the versions of a run, where it has any."""
    run = references.run(session, text)
    uid = run["metadata"]["uid"]
    made = [
        each
        for each in session.kube.list(MODEL_VERSIONS, session.namespace)
        if (each["spec"].get("run") or {}).get("uid") == uid
    ]
    root = _run(graph, run)
    for each in made:
        name = each["metadata"]["name"]
        below = graph.add(Node(f"version/{name}", "version", name, _texts(_brief(each))), root, "became")
        for alias in session.kube.list(MODEL_ALIASES, session.namespace):
            if (alias.get("status") or {}).get("boundVersion") == each["spec"]["version"] and _same_model(alias, each):
                graph.add(
                    Node(f"alias/{alias['metadata']['name']}", "alias", alias["metadata"]["name"]), below, "live as"
                )


def _brief(body: Raw) -> Raw:
    return {"digest": body["spec"]["artifact"]["digest"], "phase": (body.get("status") or {}).get("phase")}


def _same_model(alias: Raw, version: Raw) -> bool:
    return bool(alias["spec"]["model"] == version["spec"]["model"])


def _run(graph: Graph, body: Raw, above: str = "") -> str:
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    facts = {
        "uid": metadata["uid"],
        "phase": status.get("phase"),
        "owner": spec.get("owner"),
        "completed": status.get("completionTime"),
    }
    node = graph.add(Node(f"run/{metadata['name']}", "run", metadata["name"], _texts(facts)), above, "made by")
    experiment = (metadata.get("labels") or {}).get(names.LABEL_EXPERIMENT)
    if experiment:
        graph.add(Node(f"experiment/{experiment}", "experiment", experiment), node, "of")
    found = {each["name"]: each["digest"] for each in status.get("datasets") or []}
    datasets = [each | {"digest": found.get(each["name"]) or each.get("digest")} for each in spec.get("datasets") or []]
    _ingredients(graph, node, {**spec, "datasets": datasets, "images": status.get("images") or []})
    return node


def _ingredients(graph: Graph, above: str, found: Raw) -> None:
    """Add code, images, data sets and parameters; ``found`` has the fields of a Provenance."""
    source = found.get("source")
    if source:
        facts = {"revision": source.get("revision"), "path": source.get("path")}
        facts |= {"dirty": "yes"} if source.get("dirty") else {}
        graph.add(Node(f"code/{source['repository']}", "code", source["repository"], _texts(facts)), above, "from")
    for each in found.get("images") or []:
        facts = {"digest": each.get("digest")}
        graph.add(Node(f"image/{each['image']}", "image", each["image"], _texts(facts)), above, "in")
    for each in found.get("datasets") or []:
        facts = {"uri": each.get("uri"), "version": each.get("version"), "digest": each.get("digest")}
        graph.add(Node(f"data/{each['name']}", "data", each["name"], _texts(facts)), above, "trained on")
    parameters = found.get("parameters") or {}
    if parameters or found.get("seed") is not None:
        facts = {name: str(value) for name, value in sorted(parameters.items())}
        facts |= {} if found.get("seed") is None else {"seed": str(found["seed"])}
        graph.add(Node(f"parameters/{above}", "parameters", "", facts), above, "with")


def _texts(facts: Raw) -> dict[str, str]:
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


# How it looks


def document(graph: Graph) -> Raw:
    """The graph as JSON: ``root``, ``nodes`` (id, kind, name, facts), ``edges`` (from, relation, to)."""
    nodes = [
        {"id": each.id, "kind": each.kind, "name": each.name, "facts": each.facts} for each in graph.nodes.values()
    ]
    edges = [{"from": above, "relation": relation, "to": to} for above, relation, to in graph.edges]
    return {"root": graph.root, "nodes": nodes, "edges": edges}


def text(graph: Graph) -> str:
    """The graph as a tree of lines."""
    return "\n".join(_tree(graph, graph.root, "", "", ""))


def _tree(graph: Graph, at: str, relation: str, lead: str, indent: str) -> Iterator[str]:
    node = graph.nodes[at]
    facts = "  ".join(f"{name}={_brief_text(value)}" for name, value in node.facts.items())
    yield lead + " ".join(filter(None, [relation, node.kind, node.name, f" {facts}" if facts else ""]))
    below = graph.below(at)
    for number, (how, to) in enumerate(below):
        last = number == len(below) - 1
        yield from _tree(graph, to, how, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  "))


def _brief_text(value: str) -> str:
    """A digest by its first digits: as many as tell apart what one namespace has."""
    head, found, digits = value.partition("sha256:")
    return f"{head}sha256:{digits[:12]}…" if found and len(digits) == 64 else value


def dot(graph: Graph) -> str:
    """The graph for Graphviz."""
    lines = [f"  {_quoted(each.id)} [label={_quoted(_label(each))}];" for each in graph.nodes.values()]
    lines += [f"  {_quoted(a)} -> {_quoted(b)} [label={_quoted(how)}];" for a, how, b in graph.edges]
    return "\n".join(["digraph lineage {", '  node [shape=box, fontname="sans-serif"];', *lines, "}"])


def mermaid(graph: Graph) -> str:
    """The graph for Mermaid, as Markdown pages show it."""
    number = {at: f"n{index}" for index, at in enumerate(graph.nodes)}
    lines = [f'  {number[each.id]}["{_escaped(_label(each))}"]' for each in graph.nodes.values()]
    lines += [f"  {number[a]} -->|{how}| {number[b]}" for a, how, b in graph.edges]
    return "\n".join(["flowchart TD", *lines])


def _label(node: Node) -> str:
    facts = [f"{name}: {_brief_text(value)}" for name, value in node.facts.items()]
    return "\n".join([f"{node.kind} {node.name}".strip(), *facts])


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _escaped(value: str) -> str:
    for character, code in {"&": "&amp;", '"': "&quot;", "<": "&lt;", ">": "&gt;"}.items():
        value = value.replace(character, code)
    return value.replace("\n", "<br/>")
