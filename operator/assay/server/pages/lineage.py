"""Places a lineage graph for its picture, from data on the left to workloads on the right, and lists it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from assay.queries.audit.lineage import Graph, Node
from assay.server.pages import shown

_COLUMNS: Final = {
    **dict.fromkeys(("data", "code", "image", "parameters", "experiment"), 0),
    **dict.fromkeys(("run", "approval"), 1),
    "version": 2,
    "alias": 3,
}
_LAST: Final = 4
#: Sizes in units of the picture: about pixels.
WIDTH, HEIGHT = 196, 46
_GAP_X, _GAP_Y, _LETTERS = 44, 14, 24
#: What the picture shows at most; the list has the rest.
_MOST_NODES: Final = 60


@dataclass(frozen=True)
class Box:
    """A node in the picture. ``link`` is its page, "" without one; ``leads`` are the names of what is right of it."""

    kind: str
    name: str
    label: str
    facts: str
    link: str
    x: int
    y: int
    leads: str
    root: bool


@dataclass(frozen=True)
class Picture:
    """Boxes, the lines between them as paths of SVG, and the size of all."""

    boxes: list[Box]
    lines: list[str]
    width: int
    height: int


def picture(graph: Graph, namespace: str) -> Picture:
    """Return the picture of a graph whose pages are in a namespace."""
    columns: dict[int, list[Node]] = {}
    for node in list(graph.nodes.values())[:_MOST_NODES]:
        columns.setdefault(_COLUMNS.get(node.kind, _LAST), []).append(node)
    tallest = max(map(len, columns.values()))
    places: dict[str, tuple[int, int]] = {}
    # Columns without nodes take no room.
    for at, column in enumerate(sorted(columns)):
        nodes = columns[column]
        first = (tallest - len(nodes)) * (HEIGHT + _GAP_Y) // 2
        for row, node in enumerate(nodes):
            places[node.id] = at * (WIDTH + _GAP_X), first + row * (HEIGHT + _GAP_Y)
    ahead = _ahead(graph)
    boxes = [_box(graph, graph.nodes[each], namespace, *place, ahead) for each, place in places.items()]
    pairs = [(places[a], places[b]) for a, found in ahead.items() for b in found if a in places and b in places]
    lines = [_line(*a, *b) for a, b in pairs]
    return Picture(boxes, lines, len(columns) * (WIDTH + _GAP_X) - _GAP_X, tallest * (HEIGHT + _GAP_Y) - _GAP_Y)


def _ahead(graph: Graph) -> dict[str, list[str]]:
    """Return what is right of each node: edges lead from origins to workloads, whoever found them."""
    found: dict[str, list[str]] = {}
    for above, _, below in graph.edges:
        column = {each: _COLUMNS.get(graph.nodes[each].kind, _LAST) for each in (above, below)}
        left, right = (above, below) if column[above] < column[below] else (below, above)
        found.setdefault(left, []).append(right)
    return found


def _box(graph: Graph, node: Node, namespace: str, x: int, y: int, ahead: dict[str, list[str]]) -> Box:
    name = node.name or ", ".join(f"{key} {value}" for key, value in node.facts.items())
    label = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
    facts = ", ".join(f"{key} {value}" for key, value in node.facts.items()) if node.name else ""
    leads = ", ".join(graph.nodes[each].name for each in ahead.get(node.id, []))
    return Box(node.kind, name, label, facts, _link(node, namespace), x, y, leads, node.id == graph.root)


def _line(ax: int, ay: int, bx: int, by: int) -> str:
    x, y, to_x, to_y = ax + WIDTH, ay + HEIGHT // 2, bx, by + HEIGHT // 2
    middle = (x + to_x) // 2
    return f"M{x} {y} C{middle} {y} {middle} {to_y} {to_x} {to_y}"


def _link(node: Node, namespace: str) -> str:
    model, _, rest = node.name.rpartition(".")
    parts: dict[str, tuple[str, ...]] = {
        "run": ("runs", node.name),
        "experiment": ("experiments", node.name),
        "version": ("models", model, "versions", rest.removeprefix("v")),
        "alias": ("models", model, "aliases", rest),
    }
    return shown.path("n", namespace, *parts[node.kind]) if node.kind in parts else ""
