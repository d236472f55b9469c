"""Detects what is installed in an image from its files: Pythons, packages, conda packages, CUDA, the distribution.

It imports and runs nothing from the image. Files that it does not understand are left out; no image makes it fail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from assay.recorder.image import Folder, Image, TooMuch
from assay.store.limits import MAX_PACKAGES, MAX_PREFIXES

#: Most images have their packages here. These folders are read first, because others may be huge.
_FIRST = ("opt", "usr")
_LEAVES = ("site-packages", "dist-packages")
#: Large folders in which no packages are installed.
_CLOSED_PATHS = frozenset({
    *("proc", "sys", "dev", "run", "tmp", "boot", "media", "mnt"),
    *("usr/share", "usr/src", "usr/include", "var/lib", "var/cache", "var/log"),
})  # fmt: skip
#: Caches of package managers hold packages that are not installed.
_CLOSED_NAMES = frozenset({".cache", ".git", "__pycache__", "node_modules", "conda-meta"})
_METADATA_BYTES = 8 << 10
_HEAD_BYTES = 64 << 10
_DATABASE_BYTES = 4 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[!-~]{1,100}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_PYTHON = re.compile(r"\d+\.\d+(?:\.\d+)?")
_PLACE = re.compile(r"[!-~]{1,200}")
_LIBRARY = re.compile(
    r"(?:(?P<prefix>.+)/)?lib(?:64|32)?/(?:python|pypy)(?P<python>\d+(?:\.\d+)?)/(?:site|dist)-packages"
)
_CONDA = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.json")
_CUDNN = re.compile(r"libcudnn\.so\.(\d+\.\d+\.\d+)")
_CUDA_FOLDERS = ("usr/local/cuda", "opt/cuda")
_LIBRARY_FOLDERS = (
    *("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64"),
    *("usr/local/cuda/lib64", "usr/local/cuda/targets/x86_64-linux/lib"),
)


@dataclass
class Prefix:
    """A folder in which packages are installed, such as /usr/local or a virtual environment."""

    name: str
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)


@dataclass
class Installed:
    """The result. `problem` is the reason why it may be incomplete, "" if it is complete."""

    os: dict[str, str] = field(default_factory=dict)
    prefixes: list[Prefix] = field(default_factory=list)
    conda: dict[str, str] = field(default_factory=dict)
    cuda: dict[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def python(self) -> str:
        """The version of the Python that has the most packages; "" if there is none."""
        return self.prefixes[0].python if self.prefixes else ""

    @property
    def packages(self) -> dict[str, str]:
        """Version by name. If a package is installed in several versions, each version with its prefix."""
        places: dict[str, dict[str, str]] = {}
        for prefix in self.prefixes:
            for name, version in prefix.packages.items():
                places.setdefault(name, {}).setdefault(version, prefix.name)
        return {name: _versions(places[name]) for name in sorted(places)[:MAX_PACKAGES]}


def installed(image: Image) -> Installed:
    """Detect everything that is installed in an image."""
    found = Installed()
    prefixes: dict[str, Prefix] = {}
    for step in (_surroundings, _places, _pythons):
        try:
            step(image, found, prefixes)
        except TooMuch as error:
            found.problem = found.problem or f"the image was not read completely: {error}"
    used = [prefix for prefix in prefixes.values() if prefix.packages] or list(prefixes.values())
    found.prefixes = sorted(used, key=lambda prefix: (-len(prefix.packages), prefix.name))[:MAX_PREFIXES]
    found.conda = dict(sorted(found.conda.items())[:MAX_PACKAGES])
    return found


def _surroundings(image: Image, found: Installed, _: dict[str, Prefix]) -> None:
    found.os = _distribution(image)
    found.cuda = _cuda(image)


def _places(image: Image, found: Installed, prefixes: dict[str, Prefix]) -> None:
    for start in (*_FIRST, ""):
        for folder in image.walk(_enter, start):
            _look(image, folder, prefixes, found.conda)


def _pythons(image: Image, found: Installed, prefixes: dict[str, Prefix]) -> None:
    for prefix in prefixes.values():
        prefix.python = _python(image, prefix, found.conda)


def _enter(folder: Folder, name: str) -> bool:
    """Whether packages may be installed below the subfolder `name` of `folder`."""
    if folder.path.rpartition("/")[2] in _LEAVES or name in _CLOSED_NAMES or (not folder.path and name in _FIRST):
        return False
    return f"{folder.path}/{name}".lstrip("/") not in _CLOSED_PATHS and not (
        name == "pkgs" and "conda-meta" in folder.folders
    )


def normal(name: str) -> str:
    """A package's normalized name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _versions(places: dict[str, str]) -> str:
    if len(places) == 1:
        return next(iter(places))
    return ", ".join(f"{version} ({place})" for version, place in places.items())[:400]


# Packages


def _look(image: Image, folder: Folder, prefixes: dict[str, Prefix], conda: dict[str, str]) -> None:
    """Add the packages that are installed in one folder."""
    if "conda-meta" in folder.folders:
        conda |= _conda(image.names(f"{folder.path}/conda-meta"))
    inside = folder.path.rpartition("/")[2] in _LEAVES
    metadata = [(name, f"{folder.path}/{name}/METADATA") for name in folder.folders if name.endswith(".dist-info")]
    metadata += [(name, f"{folder.path}/{name}/PKG-INFO") for name in folder.folders if name.endswith(".egg-info")]
    metadata += [(name, f"{folder.path}/{name}") for name in folder.others if name.endswith(".egg-info")]
    if not metadata and not inside:
        return
    library = _LIBRARY.fullmatch(folder.path)
    name = "/" + ((library["prefix"] or "") if library else folder.path)
    if _PLACE.fullmatch(name) is None or (name not in prefixes and len(prefixes) >= 10 * MAX_PREFIXES):
        return
    prefix = prefixes.setdefault(name, Prefix(name))
    prefix.python = prefix.python or (library["python"] if library else "")
    for entry, path in metadata:
        package = _package(image, entry, path)
        if package and len(prefix.packages) < MAX_PACKAGES:
            prefix.packages.setdefault(*package)


def _package(image: Image, entry: str, path: str) -> tuple[str, str] | None:
    """Name and version of one package, from its metadata or else from the name of the metadata's folder."""
    fields = _header(image.read(path, _METADATA_BYTES).decode("utf-8", "replace"))
    called = entry.rpartition(".")[0].split("-")
    name, version = fields.get("name", called[0]), fields.get("version", called[1] if len(called) > 1 else "")
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        return None
    origin = _origin(image, path.rpartition("/")[0]) if entry.endswith(".dist-info") else ""
    return normal(name), version + origin


def _header(text: str) -> dict[str, str]:
    """The fields before the first empty line by lower-case name. The first occurrence of a field counts."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _origin(image: Image, folder: str) -> str:
    """The origin of a package that was not installed from a release: the commit, and "editable". Never the URL."""
    data = _object(image.read(f"{folder}/direct_url.json", _HEAD_BYTES))
    commit = _part(data, "vcs_info").get("commit_id")
    known = isinstance(commit, str) and _COMMIT.fullmatch(commit)
    editable = _part(data, "dir_info").get("editable") is True
    return (f" (commit {commit})" if known else "") + (" (editable)" if editable else "")


def _conda(names: Iterable[str]) -> dict[str, str]:
    found = (_CONDA.fullmatch(name) for name in names)
    return {
        each["name"]: f"{each['version']}={each['build']}"
        for each in found
        if each and _NAME.fullmatch(each["name"]) and _VERSION.fullmatch(each["version"] + each["build"])
    }


# Python


def _python(image: Image, prefix: Prefix, conda: dict[str, str]) -> str:
    """The version of the Python of a prefix, as exact as its files allow."""
    minor = prefix.python if "." in prefix.python else _default_minor(image, prefix)
    candidates = [_virtual(image, prefix), _built(image, prefix, minor), _packaged(image, prefix, minor)]
    candidates.append(conda.get("python", "").partition("=")[0])
    exact = (each for each in candidates if each == minor or each.startswith(f"{minor}.") or not minor)
    return next((each for each in exact if each), minor)


def _default_minor(image: Image, prefix: Prefix) -> str:
    """The minor version that `python3` points to, for a prefix whose minor versions share one library folder."""
    program = (image.resolve(f"{prefix.name}/bin/python3") or "").rpartition("/python")[2]
    return program if _PYTHON.fullmatch(program) else prefix.python


def _virtual(image: Image, prefix: Prefix) -> str:
    lines = image.read(f"{prefix.name}/pyvenv.cfg", _HEAD_BYTES).decode("utf-8", "replace").splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    found = _PYTHON.match(fields.get("version_info") or fields.get("version") or "")
    return found[0] if found else ""


def _built(image: Image, prefix: Prefix, minor: str) -> str:
    header = image.read(f"{prefix.name}/include/python{minor}/patchlevel.h", _HEAD_BYTES).decode("utf-8", "replace")
    found = re.search(r'#define\s+PY_VERSION\s+"(\d+\.\d+\.\d+)', header)
    return found[1] if found else ""


def _packaged(image: Image, prefix: Prefix, minor: str) -> str:
    """The version of Debian's or Alpine's Python package. It is installed in /usr and also serves /usr/local."""
    if not minor or not (prefix.name in ("/usr", "/usr/local") or prefix.name.startswith("/usr/lib")):
        return ""
    debian = (b"Package: ", (f"python{minor}-minimal", f"python{minor}"), b"Version: ")
    for path, (key, names, value) in (
        ("var/lib/dpkg/status", debian),
        ("lib/apk/db/installed", (b"P:", ("python3",), b"V:")),
    ):
        version = _record(image.read(path, _DATABASE_BYTES), key, [name.encode() for name in names], value)
        found = _PYTHON.match(version.decode("utf-8", "replace"))
        if found:
            return found[0]
    return ""


def _record(database: bytes, key: bytes, names: list[bytes], value: bytes) -> bytes:
    """A field of the first record with one of these names; b"" if there is none. Records end with an empty line."""
    inside = False
    for line in database.splitlines():
        if line.startswith(key):
            inside = line.removeprefix(key) in names
        elif inside and line.startswith(value):
            return line.removeprefix(value)
        inside = inside and bool(line)
    return b""


# The distribution, and CUDA


def _distribution(image: Image) -> dict[str, str]:
    text = image.read("etc/os-release", _HEAD_BYTES).decode("utf-8", "replace")
    fields = dict(
        re.findall(r"""^(ID|VERSION_ID|PRETTY_NAME)=["']?([ -!#-&(-~]{1,200}?)["']?\s*$""", text, re.MULTILINE)
    )
    known = {"name": fields.get("PRETTY_NAME", ""), "id": fields.get("ID", ""), "version": fields.get("VERSION_ID", "")}
    return {key: value for key, value in known.items() if value}


def _cuda(image: Image) -> dict[str, str]:
    """The versions of the CUDA toolkit and of cuDNN, if they are not installed as Python or conda packages."""
    found: dict[str, str] = {}
    for folder in _CUDA_FOLDERS:
        newer = _part(_object(image.read(f"{folder}/version.json", _HEAD_BYTES)), "cuda").get("version")
        older = re.search(rb"CUDA Version ([\d.]+)", image.read(f"{folder}/version.txt", _HEAD_BYTES))
        version = newer if isinstance(newer, str) else (older[1].decode() if older else "")
        if _VERSION.fullmatch(version):
            found.setdefault("toolkit", version)
    for folder in _LIBRARY_FOLDERS:
        versions = [match[1] for match in map(_CUDNN.fullmatch, image.names(folder)) if match]
        if versions:
            found.setdefault("cudnn", max(versions))
    return found


def _object(data: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        found = json.loads(data)
        return found if isinstance(found, dict) else {}
    return {}


def _part(owner: dict[str, Any], name: str) -> dict[str, Any]:
    found = owner.get(name)
    return found if isinstance(found, dict) else {}
