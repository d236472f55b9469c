"""Lineage: a graph from workloads and aliases over versions and runs to code, images and datasets."""

from __future__ import annotations

from dataclasses import dataclass, field

from assay.api import evidence, names
from assay.api.errors import RequestFailed
from assay.api.objects import Raw
from assay.api.resources import DEPLOYMENTS, MODEL_ALIASES, MODEL_VERSIONS, RUNS, STATEFUL_SETS, Resource
from assay.queries import references
from assay.queries.access import Access
from assay.queries.runs.recorded import Located

_WORKLOADS: dict[str, Resource] = {"deployment": DEPLOYMENTS, "statefulset": STATEFUL_SETS}


_SHORT = {"deploy": "deployment", "deployments": "deployment", "sts": "statefulset", "statefulsets": "statefulset"}


@dataclass(frozen=True)
class Node:
    """One thing, such as a version. ``id`` is unique in its graph; ``facts`` are strings by name, for display."""

    id: str
    kind: str
    name: str
    facts: dict[str, str] = field(default_factory=dict)


@dataclass
class Graph:
    """Nodes in the order of discovery, and edges (from, relation, to), from workloads towards data."""

    root: str = ""
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, node: Node, above: str = "", relation: str = "") -> str:
        """Add a node, unless it exists, and the edge that leads to it. Returns its id."""
        self.nodes.setdefault(node.id, node)
        edge = (above, relation, node.id)
        if above and edge not in self.edges:
            self.edges.append(edge)
        self.root = self.root or node.id
        return node.id

    def below(self, node: str) -> list[tuple[str, str]]:
        """Return the outgoing edges of a node as relations and ids."""
        return [(relation, to) for above, relation, to in self.edges if above == node]


def trace(access: Access, text: str) -> Graph:
    """Return the graph that starts at a workload (deployment/NAME), alias, version or run. Raises AssayError."""
    graph = Graph()
    kind, slash, name = text.partition("/")
    kind = _SHORT.get(kind, kind)
    if slash and kind in _WORKLOADS:
        _workload(access, graph, kind, name)
    elif references.version_name(text):
        _version(access, graph, references.version(access, text))
    elif references.alias_name(text):
        _alias(access, graph, references.alias(access, text))
    else:
        _of_run(access, graph, text)
    return graph


def around_run(access: Access, located: Located) -> Graph:
    """Return the graph around a run: its ingredients, its versions, and where they are live. Raises AssayError."""
    graph = Graph()
    root = _run(graph, located.run, archived=located.archived)
    uid = located.run["metadata"]["uid"]
    for each in access.objects(MODEL_VERSIONS):
        if (each["spec"].get("run") or {}).get("uid") == uid:
            name = each["metadata"]["name"]
            node = graph.add(Node(f"version/{name}", "version", name, _texts(_brief(each))), root, "became")
            _live(access, graph, node, each)
    return graph


def around_version(access: Access, version: Raw) -> Graph:
    """Return the graph around a raw ModelVersion: its origin, and where it is live. Raises AssayError."""
    graph = Graph()
    _version(access, graph, version)
    _live(access, graph, graph.root, version)
    return graph


def _live(access: Access, graph: Graph, node: str, version: Raw) -> None:
    """Add the aliases that point to a version, and the workloads that follow them."""
    for alias in access.objects(MODEL_ALIASES):
        status, name = alias.get("status") or {}, alias["metadata"]["name"]
        if status.get("boundVersion") == version["spec"]["version"] and _same_model(alias, version):
            facts = _texts({"phase": status.get("phase"), "since": status.get("boundAt")})
            _serving(graph, graph.add(Node(f"alias/{name}", "alias", name, facts), node, "live as"), status)


def _serving(graph: Graph, node: str, status: Raw) -> None:
    for each in status.get("serving") or []:
        served = {"version": f"v{each.get('version')}", "ready": "yes" if each.get("ready") else "no"}
        kind = each["kind"].lower()
        graph.add(Node(f"{kind}/{each['name']}", kind, each["name"], served), node, "served by")


def _workload(access: Access, graph: Graph, kind: str, name: str) -> None:
    body = access.kube.get(_WORKLOADS[kind], access.namespace, name)
    annotations = body["metadata"].get("annotations") or {}
    follows = annotations.get(names.ANNOTATION_SERVE)
    if not follows:
        hint = f"`kubectl annotate {kind} {name} {names.ANNOTATION_SERVE}=MODEL.ALIAS` makes it follow an alias"
        raise RequestFailed(f"{kind} {name} does not follow an alias", hint=hint)
    status = body.get("status") or {}
    facts = {"ready": f"{status.get('readyReplicas') or 0}/{body['spec'].get('replicas', 1)}"}
    above = graph.add(Node(f"{kind}/{name}", kind, name, facts))
    _alias(access, graph, references.alias(access, follows), above)


def _alias(access: Access, graph: Graph, body: Raw, above: str = "") -> None:
    status, spec = body.get("status") or {}, body["spec"]
    live = status.get("boundVersion")
    bound: Raw = next((each for each in reversed(status.get("history") or []) if not each.get("to")), {})
    facts = {"phase": status.get("phase"), "since": status.get("boundAt"), "by": bound.get("actor")}
    if live != spec["version"]:
        facts["requested"] = f"v{spec['version']}"
    name = body["metadata"]["name"]
    node = graph.add(Node(f"alias/{name}", "alias", name, _texts(facts)), above, "follows")
    if not above:
        _serving(graph, node, status)
    if live:
        _version(
            access, graph, references.version(access, f"{spec['model']}.v{live}"), node, status.get("boundDigest", "")
        )


def _version(access: Access, graph: Graph, body: Raw, above: str = "", bound: str = "") -> None:
    spec, status, name = body["spec"], body.get("status") or {}, body["metadata"]["name"]
    true = {each["type"] for each in status.get("conditions") or [] if each["status"] == "True"}
    facts = {
        "digest": spec["artifact"]["digest"],
        "phase": status.get("phase"),
        "owner": spec.get("owner"),
        "live under": ", ".join(status.get("aliases") or []),
        "evidence": ", ".join(each for each in evidence.CONDITIONS if each in true),
    }
    if bound and bound != spec["artifact"]["digest"]:
        facts["bound digest"] = bound
    node = graph.add(Node(f"version/{name}", "version", name, _texts(facts)), above, "is")
    for each in status.get("approvals") or []:
        if each.get("valid"):
            facts = {"for": each["alias"], "since": each["since"]}
            person = Node(f"approval/{name}/{each['alias']}/{each['id']}", "approval", each["approver"], facts)
            graph.add(person, node, "approved by")
    _made_of(access, graph, node, body)


def _made_of(access: Access, graph: Graph, node: str, body: Raw) -> None:
    """Add the origin of a version: its run from the cluster, otherwise the provenance that the version has."""
    reference = body["spec"].get("run")
    provenance = (body.get("status") or {}).get("provenance") or body["spec"].get("provenance") or {}
    if reference is None:
        _ingredients(graph, node, provenance)
        return
    run = access.kube.find(RUNS, access.namespace, reference["name"])
    if run is not None and run["metadata"]["uid"] == reference["uid"]:
        _run(graph, run, node)
        return
    facts = _texts({"uid": reference["uid"], "experiment": reference.get("experiment"), "state": "not in the cluster"})
    gone = graph.add(Node(f"run/{reference['name']}", "run", reference["name"], facts), node, "made by")
    _ingredients(graph, gone, provenance)


def _of_run(access: Access, graph: Graph, text: str) -> None:
    """Start the graph at a run, with its versions and the aliases that point to them."""
    run = references.run(access, text)
    uid = run["metadata"]["uid"]
    made = [each for each in access.objects(MODEL_VERSIONS) if (each["spec"].get("run") or {}).get("uid") == uid]
    root = _run(graph, run)
    for each in made:
        name = each["metadata"]["name"]
        below = graph.add(Node(f"version/{name}", "version", name, _texts(_brief(each))), root, "became")
        for alias in access.objects(MODEL_ALIASES):
            if (alias.get("status") or {}).get("boundVersion") == each["spec"]["version"] and _same_model(alias, each):
                graph.add(
                    Node(f"alias/{alias['metadata']['name']}", "alias", alias["metadata"]["name"]), below, "live as"
                )


def _brief(body: Raw) -> Raw:
    return {"digest": body["spec"]["artifact"]["digest"], "phase": (body.get("status") or {}).get("phase")}


def _same_model(alias: Raw, version: Raw) -> bool:
    return bool(alias["spec"]["model"] == version["spec"]["model"])


def _run(graph: Graph, body: Raw, above: str = "", *, archived: bool = False) -> str:
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    facts = {
        "uid": metadata["uid"],
        "phase": status.get("phase"),
        "owner": spec.get("owner"),
        "completed": status.get("completionTime"),
        "state": "archived" if archived else "",
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
    """Add code, images, datasets and parameters; ``found`` has the fields of a Provenance."""
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
