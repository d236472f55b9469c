"""The rooms of the package: no circle of imports, and no floor with more modules than a reader can take in."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
#: Modules side by side in one folder.
MOST = 30


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(OPERATOR).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted((OPERATOR / "assay").rglob("*.py"))}


def imported(path: Path) -> set[str]:
    """Return the modules of the package that a module imports, anywhere in it: lazily, or for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{each.name}" for each in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return found & MODULES.keys()


def without_packages(modules: set[str]) -> set[str]:
    """Leave out the package of a module that is imported from it: its ``__init__`` imports nothing."""
    return {each for each in modules if not any(other.startswith(f"{each}.") for other in modules)}


def test_no_imports_form_a_circle() -> None:
    graph = {name: without_packages(imported(path)) - {name} for name, path in MODULES.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"imports form a circle: {' → '.join(error.args[1])}")
    assert len(order) == len(MODULES)


def test_no_folder_has_too_many_modules() -> None:
    folders: dict[Path, int] = {}
    for path in MODULES.values():
        folders[path.parent] = folders.get(path.parent, 0) + 1
    crowded = {str(folder.relative_to(OPERATOR)): count for folder, count in folders.items() if count > MOST}
    assert not crowded, "move modules into subfolders"
