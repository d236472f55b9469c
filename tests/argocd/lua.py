"""Runs the Lua of health checks and resource actions in what Argo CD leaves of Lua 5.1.

Scripts that come from a ConfigMap get no string library, so none of ours may need it. Objects go in and out as JSON
does: a null is absent, and an empty table comes back as an empty list, which Argo CD mends with the object it had.
"""

from pathlib import Path
from typing import Any

from lupa import lua51

Raw = dict[str, Any]

#: The values that Argo CD takes for a health; any other becomes Unknown.
HEALTH = ("Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown")

# What its interpreter opens beside the language itself: base, table, package, and of os what cannot reach out.
_SANDBOX = """
getmetatable("").__index = nil
os = {time = os.time, date = os.date}
for _, name in ipairs({"string", "math", "io", "debug", "coroutine", "python", "dofile", "loadfile", "jit"}) do
  _G[name] = nil
end
for name in pairs(package.loaded) do
  if name ~= "table" and name ~= "_G" then package.loaded[name] = nil end
end
package.path, package.cpath = "", ""
"""


class ScriptError(Exception):
    """A script that fails, or returns what Argo CD cannot use."""


def health(script: str, body: Raw) -> Raw:
    """Return ``{status}`` or ``{status, message}`` as a health check sees the object."""
    found = run(script, body)
    if not isinstance(found, dict) or found.get("status") not in HEALTH or not set(found) <= {"status", "message"}:
        raise ScriptError(f"not a health: {found!r}")
    if not isinstance(found.get("message", ""), str):
        raise ScriptError(f"a message is text: {found!r}")
    # In Go an absent text and an empty one are the same.
    return {key: value for key, value in found.items() if value != ""}


def actions(script: str, body: Raw) -> dict[str, Raw]:
    """Return what the discovery says of each action: whether it is disabled, and how it looks."""
    found = run(script, body)
    return {} if found == [] else {name: details or {} for name, details in found.items()}


def act(script: str, body: Raw) -> Raw:
    """Return the object as an action leaves it."""
    found = run(script, body)
    if not isinstance(found, dict):
        raise ScriptError(f"not an object: {found!r}")
    mended: Raw = _mended(found, body)
    return mended


def create(script: str, body: Raw) -> list[Raw]:
    """Return the objects that an action makes. What is empty in them stays the list that it became."""
    found = run(script, body)
    if not isinstance(found, list) or any(each.get("operation") != "create" for each in found):
        raise ScriptError(f"not a list of objects to create: {found!r}")
    return [each["resource"] for each in found]


def run(script: str, body: Raw) -> Any:
    """Return what a script returns when ``obj`` is the object."""
    runtime = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    runtime.execute(_SANDBOX)
    runtime.globals()["obj"] = _to_lua(runtime, body)
    try:
        return _from_lua(runtime.execute(script))
    except lua51.LuaError as error:
        raise ScriptError(str(error)) from error


def script_of(folder: Path, name: str = "health.lua") -> str:
    """Return a script of a kind's folder."""
    return (folder / name).read_text()


def _to_lua(runtime: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return runtime.table_from({key: _to_lua(runtime, item) for key, item in value.items() if item is not None})
    if isinstance(value, list):
        return runtime.table_from([_to_lua(runtime, item) for item in value])
    return value


def _from_lua(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    items = dict(value.items())
    if list(items) == list(range(1, len(items) + 1)):
        return [_from_lua(item) for item in items.values()]
    if not all(isinstance(key, str) for key in items):
        raise ScriptError(f"neither a list nor an object: {list(items)}")
    return {key: _from_lua(item) for key, item in items.items()}


def _mended(new: Any, old: Any) -> Any:
    """Return the new value with its empty lists as the empty objects that they were."""
    if new == [] and isinstance(old, dict):
        return old
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _mended(value, old.get(key)) for key, value in new.items()}
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [_mended(item, before) for item, before in zip(new, old, strict=True)]
    return new
