"""`assay lineage`: a graph from workloads and aliases over versions and runs to code, images and data.

Reads only objects of the cluster. A deleted run is shown with what its version recorded about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer

from assay.api.objects import Raw
from assay.cli.session import Session
from assay.queries.audit import lineage as queries
from assay.queries.audit.lineage import Graph, Node


class Drawing(StrEnum):
    """How a graph is printed."""

    TEXT = "text"
    DOT = "dot"
    MERMAID = "mermaid"
    JSON = "json"
    YAML = "yaml"


# Formats


def document(graph: Graph) -> Raw:
    """Return the graph as JSON: ``root``, ``nodes`` (id, kind, name, facts), ``edges`` (from, relation, to)."""
    nodes = [
        {"id": each.id, "kind": each.kind, "name": each.name, "facts": each.facts} for each in graph.nodes.values()
    ]
    edges = [{"from": above, "relation": relation, "to": to} for above, relation, to in graph.edges]
    return {"root": graph.root, "nodes": nodes, "edges": edges}


def text(graph: Graph) -> str:
    """Return the graph as an indented tree."""
    return "\n".join(_tree(graph, graph.root, "", "", ""))


def _tree(graph: Graph, at: str, relation: str, lead: str, indent: str) -> Iterator[str]:
    node = graph.nodes[at]
    facts = "  ".join(f"{name}={_brief_text(value)}" for name, value in node.facts.items())
    kind = "" if node.kind == "approval" else node.kind  # "approved by rita", not "approved by approval rita"
    yield lead + " ".join(filter(None, [relation, kind, node.name, f" {facts}" if facts else ""]))
    below = graph.below(at)
    for number, (how, to) in enumerate(below):
        last = number == len(below) - 1
        yield from _tree(graph, to, how, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  "))


def _brief_text(value: str) -> str:
    """Shorten a digest to its first 12 digits, enough to distinguish those of a namespace."""
    head, found, digits = value.partition("sha256:")
    return f"{head}sha256:{digits[:12]}…" if found and len(digits) == 64 else value


def dot(graph: Graph) -> str:
    """Return the graph in the language of Graphviz."""
    lines = [f"  {_quoted(each.id)} [label={_quoted(_label(each))}];" for each in graph.nodes.values()]
    lines += [f"  {_quoted(a)} -> {_quoted(b)} [label={_quoted(how)}];" for a, how, b in graph.edges]
    return "\n".join(["digraph lineage {", '  node [shape=box, fontname="sans-serif"];', *lines, "}"])


def mermaid(graph: Graph) -> str:
    """Return the graph in the language of Mermaid, which Markdown pages render."""
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


def command(
    session: Session,
    what: Annotated[str, typer.Argument(help="deployment/NAME, statefulset/NAME, alias, version or run.")],
    output: Annotated[Drawing, typer.Option("--output", "-o", help="Output format.")] = Drawing.TEXT,
) -> None:
    """Show the lineage of a workload, alias, version or run, down to code, image and data."""
    from assay.cli.output import printing

    graph = queries.trace(session, what)
    if output in (Drawing.JSON, Drawing.YAML):
        printing.document(document(graph), output.value)
        return
    drawn = {Drawing.TEXT: text, Drawing.DOT: dot, Drawing.MERMAID: mermaid}[output](graph)
    printing.write("\n".join(printing.clean(line) for line in drawn.split("\n")))
