"""Container images from this checkout, as archives in the cache, without Docker and without a registry.

Builds the project's real Dockerfiles with buildah on a Debian + Python base that mmdebstrap makes from the
packages of the host's own apt sources. An archive is named after a hash of everything that goes in, so
asking for it again costs nothing. Where buildah cannot run but Docker can, Docker builds the same files on
their default base. This module starts no cluster and loads no image anywhere.

    python -m tests.cluster.images            both images; prints the archives' paths
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import paths, pipconfig
from tests.cluster.errors import ClusterError

REPOSITORY = paths.CHECKOUT
BASE_PACKAGES = ("python3-minimal", "python3-venv", "python-is-python3", "ca-certificates", "libstdc++6")
BASE_NAME = "localhost/assay-base"
KEEP_ARCHIVES = 3
STORAGE_LIMIT_MB = {"overlay": 4000, "vfs": 12_000}

# apt's sources, keys and proxies serve the making of the base only; documentation serves nobody in a pod.
MMDEBSTRAP = (
    "mmdebstrap", "--variant=essential", f"--include={','.join(BASE_PACKAGES)}",
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("man", "doc", "locale", "info")),
    '--customize-hook=rm -rf "$1"/etc/apt/sources.list* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/var/log/*',
    '--customize-hook=truncate --size=0 "$1"/etc/resolv.conf "$1"/etc/hostname',
)  # fmt: skip
BASE_DOCKERFILE = """\
FROM scratch
ADD base.tar /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin
"""


@dataclass(frozen=True)
class Image:
    """What an image is called, and the files that decide what is in it.

    `inputs` are paths relative to `context`: files, or folders that count with all their files.
    """

    name: str
    context: Path
    inputs: tuple[str, ...]

    @property
    def reference(self) -> str:
        """The name that manifests use."""
        return f"localhost/{self.name}:dev"


ASSAY = Image(
    "assay",
    REPOSITORY,
    ("Dockerfile", ".dockerignore", ".locks", "pyproject.toml", "README.md", "LICENSE", "operator"),
)
QUICKSTART = Image(
    "assay-quickstart",
    REPOSITORY / "examples" / "quickstart",
    ("Dockerfile", ".dockerignore", "requirements.txt", "train.py", "serve.py"),
)


MLFLOW = Image(
    "assay-mlflow",
    REPOSITORY / "examples" / "mlflow",
    ("Dockerfile", ".dockerignore", "requirements.txt", "train.py", "grid_search.py"),
)

TENSORBOARD = Image(
    "assay-tensorboard",
    REPOSITORY / "examples" / "tensorboard",
    ("Dockerfile", ".dockerignore", "requirements.txt", "train.py"),
)


def assay_image(engine: str = "auto") -> Path:
    """Archive of `localhost/assay:dev`: the operator and the recorder."""
    return build(ASSAY, engine)


def quickstart_image(engine: str = "auto") -> Path:
    """Archive of `localhost/assay-quickstart:dev`: the training script and the server of examples/quickstart."""
    return build(QUICKSTART, engine)


def mlflow_image(engine: str = "auto") -> Path:
    """Archive of `localhost/assay-mlflow:dev`: the scripts of examples/mlflow with MLflow's client."""
    return build(MLFLOW, engine)


def tensorboard_image(engine: str = "auto") -> Path:
    """Archive of `localhost/assay-tensorboard:dev`: the script of examples/tensorboard with tensorboardX."""
    return build(TENSORBOARD, engine)


def build(image: Image, engine: str = "auto") -> Path:
    """Build `image` unless the cache has it; return the archive (docker-archive format, uncompressed).

    `engine` is `buildah`, `docker` or `auto`. Raises ClusterError.
    """
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock"):
        builder = _builder(engine, folder)
        key = content_hash(image.context, image.inputs, (builder.base_key(), image.reference))
        archive = folder / f"{image.name}-{key}.tar"
        if not archive.exists():
            _build_archive(image, builder, archive)
        os.utime(archive)
        prune(folder, image.name, KEEP_ARCHIVES)
    return archive


def cache() -> Path:
    """Where archives, bases and layers are kept between checkouts."""
    return paths.cache() / "images"


def content_hash(context: Path, inputs: Iterable[str], extra: Iterable[str] = ()) -> str:
    """Twelve hex digits over names, modes and bytes of the inputs; compiled Python does not count."""
    digest = hashlib.sha256()
    for text in extra:
        digest.update(f"{text}\0".encode())
    for path in sorted(path for name in inputs for path in _files(context / name)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        executable = path.stat().st_mode & 0o100
        digest.update(f"{path.relative_to(context)}\0{executable}\0{content}\0".encode())
    return digest.hexdigest()[:12]


def prune(folder: Path, name: str, keep: int) -> None:
    """Delete all but the `keep` most recently used archives of one image."""
    pattern = re.compile(re.escape(name) + r"-[0-9a-f]{12}\.tar")
    archives = [path for path in folder.iterdir() if pattern.fullmatch(path.name)]
    for old in sorted(archives, key=lambda path: path.stat().st_mtime, reverse=True)[keep:]:
        old.unlink()


class Buildah:
    """Builds in a chroot, as root, with a store of its own in the cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        driver = _storage_driver(folder)
        self.limit_mb = STORAGE_LIMIT_MB[driver]
        self.storage = folder / f"storage-{driver}"
        self.options = ["--root", str(self.storage), "--runroot", str(folder / f"run-{driver}"),
                        "--storage-driver", driver]  # fmt: skip

    def base_key(self) -> str:
        """Changes when the base has to be made anew."""
        sources = "".join(path.read_text() for path in apt_sources())
        return hashlib.sha256("\n".join((*MMDEBSTRAP, BASE_DOCKERFILE, suite(), sources)).encode()).hexdigest()[:12]

    def build(self, image: Image, archive: Path, log: Path) -> None:
        """Run the Dockerfile and write the archive."""
        self._forget_when_large()
        base = self._base(log)
        with tempfile.TemporaryDirectory() as secrets:
            self._bud(
                image.reference, image.context, log,
                "--layers", *pipconfig.secret_options(Path(secrets)),
                "--build-arg", f"BASE_IMAGE={base}", "--file", str(image.context / "Dockerfile"),
            )  # fmt: skip
        target = f"docker-archive:{archive}:{image.reference}"
        _run(["buildah", *self.options, "push", image.reference, target], log)

    def _base(self, log: Path) -> str:
        """Name of the Debian + Python image in this store; made when it is not there."""
        reference = f"{BASE_NAME}:{self.base_key()}"
        present = subprocess.run(["buildah", *self.options, "inspect", "--type", "image", reference],
                                 capture_output=True, check=False)  # fmt: skip
        if present.returncode == 0:
            return reference
        say("making the Debian + Python base (about 20 s)")
        with tempfile.TemporaryDirectory(dir=self.folder) as work:
            tarball = Path(work) / "base.tar"
            _run([*MMDEBSTRAP, *_apt_proxies(), suite(), str(tarball), *map(str, apt_sources())], log)
            (Path(work) / "Dockerfile").write_text(BASE_DOCKERFILE)
            self._bud(reference, Path(work), log)
        return reference

    def _bud(self, reference: str, context: Path, log: Path, *options: str) -> None:
        command = ["buildah", *self.options, "bud", "--isolation", "chroot", "--pull-never",
                   "--tag", reference, *options, str(context)]  # fmt: skip
        _run(command, log)

    def _forget_when_large(self) -> None:
        """Layers of old builds cannot be told from those still needed: start over beyond a limit."""
        if not self.storage.exists():
            return
        usage = subprocess.run(["du", "-smx", self.storage], capture_output=True, text=True, check=False).stdout
        if int(usage.split()[0]) <= self.limit_mb:
            return
        say(f"layer cache is beyond {self.limit_mb} MB, starting over")
        for mount in reversed(_mounts_below(self.storage)):
            subprocess.run(["umount", mount], check=False)
        shutil.rmtree(self.storage)


class Docker:
    """Builds on the Dockerfiles' default base, for machines that have Docker (and for kind)."""

    def base_key(self) -> str:
        """The base is whatever the Dockerfile names; its text is already part of the hash."""
        return "docker"

    def build(self, image: Image, archive: Path, log: Path) -> None:
        """Run the Dockerfile and write the archive."""
        with tempfile.TemporaryDirectory() as secrets:
            options = pipconfig.secret_options(Path(secrets))
            volumes = options.index("--volume") if "--volume" in options else len(options)
            command = ["docker", "build", "--tag", image.reference, *options[:volumes], str(image.context)]
            _run(command, log)
        _run(["docker", "save", "--output", str(archive), image.reference], log)


def suite() -> str:
    """Code name of the host's Debian-like release, e.g. `bookworm`. Raises ClusterError."""
    text = Path("/etc/os-release").read_text()
    found = re.search(r'^VERSION_CODENAME="?([a-z]+)', text, re.MULTILINE)
    if not found:
        raise ClusterError("/etc/os-release names no VERSION_CODENAME: a Debian-like host is needed")
    return found[1]


def apt_sources() -> list[Path]:
    """The host's apt source files that serve its own release (others are third parties' packages)."""
    main, folder = Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d")
    parts = sorted(path for path in folder.glob("*") if path.suffix in (".list", ".sources"))
    own = re.compile(rf"^(?:deb\s.*|Suites:.*)\s{suite()}(?:\s|$)", re.MULTILINE)
    found = [path for path in [main, *parts] if path.is_file() and own.search(path.read_text())]
    if not found:
        raise ClusterError(f"no apt source for {suite()} in /etc/apt: mmdebstrap needs one")
    return found


def say(text: str) -> None:
    """One line of progress; standard output belongs to the result."""
    print(f"[images] {text}", file=sys.stderr, flush=True)


def _builder(engine: str, folder: Path) -> Buildah | Docker:
    missing = [tool for tool in ("buildah", "mmdebstrap") if not shutil.which(tool)]
    if engine != "docker" and not missing and os.geteuid() == 0:
        return Buildah(folder)
    if engine != "buildah" and _docker_works():
        return Docker()
    if engine == "docker":
        raise ClusterError("`docker info` fails: start Docker, or build with buildah as root")
    needed = [f"apt-get install {' '.join(missing)}"] if missing else []
    needed += [] if os.geteuid() == 0 else ["run as root (buildah works in a chroot)"]
    raise ClusterError(f"images cannot be built here: {', and '.join(needed)}; or start Docker")


def _docker_works() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def _build_archive(image: Image, builder: Buildah | Docker, archive: Path) -> None:
    say(f"building {image.reference}")
    started = time.monotonic()
    log = archive.with_name(f"{image.name}.log")
    log.write_text("")
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    builder.build(image, partial, log)
    partial.rename(archive)
    size = archive.stat().st_size / 1e6
    say(f"built {image.reference}: {size:.0f} MB in {time.monotonic() - started:.0f} s")


def _run(command: Sequence[str], log: Path) -> None:
    with log.open("a") as output:
        output.write(f"$ {' '.join(command)}\n")
        output.flush()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise ClusterError(f"{Path(command[0]).name} ended with {done.returncode}; its output is in {log}:\n{tail}")


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for found in path.rglob("*"):
        if found.is_file() and "__pycache__" not in found.parts and found.suffix not in (".pyc", ".pyo"):
            yield found


def _storage_driver(folder: Path) -> str:
    """`overlay` where the cache's file system allows it; vfs copies every layer, ten times slower."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        parts = {name: Path(work) / name for name in ("lower", "upper", "work", "merged")}
        for part in parts.values():
            part.mkdir()
        options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
        tried = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, parts["merged"]],
                               capture_output=True, check=False)  # fmt: skip
        if tried.returncode:
            return "vfs"
        subprocess.run(["umount", parts["merged"]], check=True)
    return "overlay"


def _apt_proxies() -> list[str]:
    shown = subprocess.run(["apt-config", "dump", "Acquire::http", "Acquire::https"],
                           capture_output=True, text=True, check=False).stdout  # fmt: skip
    return [f"--aptopt={line}" for line in shown.splitlines() if re.match(r'Acquire::https?\S* ".+";', line)]


def _mounts_below(folder: Path) -> list[str]:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted(mount for mount in mounts if Path(mount).is_relative_to(folder))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Build the named images (default: all) and print where their archives are."""
    known = {image.name: image for image in (ASSAY, QUICKSTART, MLFLOW, TENSORBOARD)}
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.images", description="build the images")
    parser.add_argument("names", nargs="*", choices=[*known, []], metavar="name", help=f"of: {', '.join(known)}")
    parser.add_argument("--engine", choices=["auto", "buildah", "docker"], default="auto")
    args = parser.parse_args(argv)
    unknown = set(args.names) - set(known)
    if unknown:
        parser.error(f"no such image: {', '.join(sorted(unknown))}")
    try:
        for name in args.names or known:
            print(build(known[name], args.engine))
    except ClusterError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
