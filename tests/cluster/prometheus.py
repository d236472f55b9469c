"""Prometheus, as Debian packages it, for tests of metrics, rules and dashboards.

The package is unpacked and not installed: installing it would start a server.
"""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import paths
from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for
from tests.ports import free_port

PACKAGE = "prometheus"


def program(name: str) -> Path:
    """`prometheus` or `promtool`: from PATH, or from Debian's package, which is fetched once."""
    found = shutil.which(name)
    return Path(found) if found else _unpacked() / "usr/bin" / name


def _unpacked() -> Path:
    folder = paths.tools() / f"debian-{PACKAGE}"
    if not folder.exists():
        print(f"cluster: fetching Debian's {PACKAGE}", flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
            unpacked = Path(draft) / "unpacked"
            _run("dpkg-deb", "-x", str(_download(Path(draft))), str(unpacked))
            with contextlib.suppress(OSError):  # another process was faster
                unpacked.rename(folder)
    return folder


def _download(folder: Path) -> Path:
    """Return the package file. The lists of packages are updated when apt does not know it, or no longer has it."""
    if shutil.which("apt-get") is None:
        raise ClusterError(f"no apt-get here; install {PACKAGE} by other means")
    try:
        _run("apt-get", "download", "-q", PACKAGE, folder=folder)
    except ClusterError:
        _run("apt-get", "update", "-qq")
        _run("apt-get", "download", "-q", PACKAGE, folder=folder)
    return next(folder.glob(f"{PACKAGE}_*.deb"))


def _run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-1000:]}")
    return done.stdout


def fetch() -> None:
    """Have both programs, so that no test waits for the network."""
    for name in ("prometheus", "promtool"):
        program(name)


def check_rules(rules: Mapping[str, Any], folder: Path) -> str:
    """Have promtool check alerts, given as a rules file has them; raises ClusterError with what it finds."""
    return _promtool("check", "rules", str(_written(folder / "rules.yaml", rules)))


def try_rules(rules: Mapping[str, Any], tests: Mapping[str, Any], folder: Path) -> str:
    """Have promtool run unit tests of alerts; raises ClusterError with what is not as expected."""
    _written(folder / "rules.yaml", rules)
    return _promtool("test", "rules", str(_written(folder / "tests.yaml", {"rule_files": ["rules.yaml"], **tests})))


def _written(path: Path, content: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False))
    return path


def _promtool(*words: str) -> str:
    return _run(str(program("promtool")), *words)


class Prometheus:
    """One server that scrapes one address every second. Use as a context manager."""

    def __init__(self, port: int, **labels: str) -> None:
        self._target, self._labels = f"127.0.0.1:{port}", labels
        self._url = f"http://127.0.0.1:{free_port()}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression at this moment; raises ClusterError for one that cannot be evaluated."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def names(self) -> set[str]:
        """Return the names of all series that an expression may name, also of those that have no value yet."""
        found: set[str] = set()
        for each in self._get("targets/metadata"):
            name, kind = each["metric"], each["type"]
            found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
        return found

    def _get(self, path: str, **query: str) -> Any:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ClusterError(f"{query}: {json.load(error).get('error')}") from None

    def _has_scraped(self) -> bool:
        targets = self._get("targets")["activeTargets"]
        return bool(targets) and all(each["health"] == "up" for each in targets)

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="assay-prometheus-") as name:
            folder = Path(name)
            target = {"targets": [self._target], "labels": self._labels}
            scrape = {"job_name": "assay-operator", "honor_labels": True, "static_configs": [target]}
            config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
            _written(folder / "prometheus.yml", config)
            command = [
                str(program("prometheus")),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={self._url.removeprefix('http://')}",
            ]
            log = folder / "log"
            with log.open("wb") as said:
                process = subprocess.Popen(command, stdout=said, stderr=said, cwd=folder)
            try:
                wait_for("Prometheus to scrape", self._has_scraped, saw=lambda: log.read_text()[-2000:])
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)

    def __enter__(self) -> "Prometheus":
        self._life = contextlib.ExitStack()
        self._life.enter_context(self._running())
        return self

    def __exit__(self, *_: object) -> None:
        self._life.close()


def series(expression: str) -> set[str]:
    """Return the names of Assay's and the process's series in an expression."""
    return set(re.findall(r"\b(?:assay|process)_\w+", expression))
