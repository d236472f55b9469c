"""Analyses a training script: its options, the metrics that it writes, and the path of its model.

The script is parsed, never run. What its text does not determine is omitted rather than guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["float", "int", "str", "flag", "other"]
Value = float | int | str | bool

_KINDS: dict[str, Kind] = {"float": "float", "int": "int", "str": "str", "bool": "flag"}
_NO_METRICS = {"step", "epoch", "time", "timestamp"}
_LOOKUPS = {"get", "getenv"}


@dataclass(frozen=True)
class Option:
    """One option of the script. `flag` is its command-line flag, "" if it is only read from the environment."""

    name: str
    flag: str
    kind: Kind
    default: Value | None = None
    choices: tuple[Value, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Script:
    """The findings. `model` is the artifact that looks like the model, "" if there is none."""

    options: tuple[Option, ...]
    metrics: tuple[str, ...]
    model: str
    recorded: bool


def read(text: str) -> Script:
    """Analyse a script. Raises SyntaxError."""
    tree = ast.parse(text)
    options: dict[str, Option] = {}
    for option in (*_options(tree), *_typed(tree), *_variables(tree)):
        options.setdefault(option.name, option)
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    recorded = any("metrics.jsonl" in text for text in texts)
    return Script(tuple(options.values()), tuple(_metrics(tree)) if recorded else (), _model(tree, texts), recorded)


# Options: argparse and click declare them with calls, typer with the signature of a function


def _options(tree: ast.AST) -> Iterator[Option]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in ("add_argument", "option"):
            flags = [each for each in map(_text, node.args) if each and each.startswith("-")]
            long = next((flag for flag in flags if flag.startswith("--")), flags[0] if flags else "")
            if long:
                yield _option(long, {each.arg: each.value for each in node.keywords if each.arg})


def _option(flag: str, given: dict[str, ast.expr]) -> Option:
    default = _value(given.get("default"))
    switched = _text(given.get("action")) in ("store_true", "store_false") or _value(given.get("is_flag")) is True
    kind = "flag" if switched or "/" in flag else _kind(given.get("type"), default)
    name = flag.partition("/")[0].lstrip("-").replace("-", "_")
    choices = _values(given.get("choices")) or _values(_choice(given.get("type")))
    return Option(name, flag, kind, default, choices, required=_value(given.get("required")) is True)


def _choice(kind: ast.expr | None) -> ast.expr | None:
    """Return the list in click.Choice([…])."""
    return kind.args[0] if isinstance(kind, ast.Call) and _called(kind) == "Choice" and kind.args else None


def _typed(tree: ast.AST) -> Iterator[Option]:
    """Yield the parameters of functions that typer runs."""
    run = {_name(each.args[0]) for each in _calls(tree) if _called(each) == "run" and each.args}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (node.name in run or any(map(_is_command, node.decorator_list))):
            yield from _parameters(node)


def _is_command(decorator: ast.expr) -> bool:
    # Commands of click declare their options with decorators.
    return (
        isinstance(decorator, ast.Call)
        and _called(decorator) == "command"
        and not _name(decorator.func).startswith("click")
    )


def _parameters(function: ast.FunctionDef) -> Iterator[Option]:
    arguments = [*function.args.args, *function.args.kwonlyargs]
    missing = len(function.args.args) - len(function.args.defaults)
    defaults = [*[None] * missing, *function.args.defaults, *function.args.kw_defaults]
    for argument, given in zip(arguments, defaults, strict=True):
        wrapped = isinstance(given, ast.Call) and _called(given) == "Option" and given.args
        default = _value(given.args[0] if isinstance(given, ast.Call) and wrapped else given)
        annotation = argument.annotation
        if isinstance(annotation, ast.Subscript) and _name(annotation.value).endswith("Annotated"):
            annotation = annotation.slice.elts[0] if isinstance(annotation.slice, ast.Tuple) else annotation.slice
        if given is not None:
            yield Option(argument.arg, "--" + argument.arg.replace("_", "-"), _kind(annotation, default), default)


def _variables(tree: ast.AST) -> Iterator[Option]:
    """Yield parameters that are read from the environment: os.environ["PARAM_lr"], os.getenv("PARAM_lr", 0.1)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and (name := _text(node.slice)).startswith("PARAM_"):
            yield Option(name.removeprefix("PARAM_"), "", "other")
        elif isinstance(node, ast.Call) and _called(node) in _LOOKUPS and node.args:
            name, default = _text(node.args[0]), _number(_value(node.args[1]) if len(node.args) > 1 else None)
            if name.startswith("PARAM_"):
                yield Option(name.removeprefix("PARAM_"), "", _kind(None, default), default)


def _number(value: Value | None) -> Value | None:
    """Convert a default of an environment variable to a number if it is one."""
    for kind in (int, float):
        try:
            return kind(value) if isinstance(value, str) else value
        except ValueError:
            continue
    return value


# Metrics: the keys of dictionaries that are written as JSON


def _metrics(tree: ast.AST) -> list[str]:
    loops = dict(_loops(tree))
    written = [each.args[0] for each in _calls(tree) if _called(each) == "dumps" and each.args]
    names = {_name(each) for each in written if isinstance(each, ast.Name)}
    dictionaries = [each for each in written if isinstance(each, ast.Dict)]
    keys: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if _name(target) in names and isinstance(node.value, ast.Dict):
                dictionaries.append(node.value)
            if isinstance(target, ast.Subscript) and _name(target.value) in names:
                keys.append(target.slice)
    keys = [*(key for each in dictionaries for key in each.keys), *keys]
    found = dict.fromkeys(name for key in keys for name in _formatted(key, loops))
    return [name for name in found if name not in _NO_METRICS]


def _loops(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Yield loop variables and the literal strings they iterate over."""
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple | ast.List):
            if isinstance(node.target, ast.Name):
                yield node.target.id, [text for each in node.iter.elts if (text := _text(each))]
            elif isinstance(node.target, ast.Tuple):
                rows = [each.elts for each in node.iter.elts if isinstance(each, ast.Tuple | ast.List)]
                for index, name in enumerate(node.target.elts):
                    yield _name(name), [text for row in rows if index < len(row) and (text := _text(row[index]))]


def _formatted(key: ast.expr | None, loops: dict[str, list[str]]) -> list[str]:
    """Return the text of a key; for an f-string all possible texts, [] if they are unknown."""
    if not isinstance(key, ast.JoinedStr):
        return [_text(key)] if _text(key) else []
    found = [""]
    for part in key.values:
        inside = part.value if isinstance(part, ast.FormattedValue) else part
        choices = loops.get(_name(inside), []) if isinstance(part, ast.FormattedValue) else [_text(part)]
        found = [before + choice for before in found for choice in choices]
    return found


def _model(tree: ast.AST, texts: list[str]) -> str:
    """Return the path after artifacts/: in a string, or as `artifacts / "model"`."""
    for text in texts:
        below = text.partition("artifacts/")[2].partition("/")[0]
        if "model" in below:
            return below
    divided = (node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div))
    found = [_text(node.right) for node in divided if ast.unparse(node.left).strip("'").endswith("artifacts")]
    return next((name for name in found if "model" in name), "")


# Nodes


def _calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _called(node: ast.Call) -> str:
    return _name(node.func).rpartition(".")[2]


def _name(node: ast.expr | None) -> str:
    """Return a dotted name; "" for any other expression."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _value(node: ast.expr | None) -> Value | None:
    """Return a literal number, string or boolean, None for anything else."""
    try:
        found = ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None
    return found if isinstance(found, bool | int | float | str) else None


def _values(node: ast.expr | None) -> tuple[Value, ...]:
    found = [_value(each) for each in node.elts] if isinstance(node, ast.List | ast.Tuple) else []
    return tuple(each for each in found if each is not None)


def _kind(annotation: ast.expr | None, default: Value | None) -> Kind:
    if annotation is not None:
        return _KINDS.get(_name(annotation), "other")
    return _KINDS.get(type(default).__name__, "other")
