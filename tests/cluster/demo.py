"""`make demo`: a local cluster, Assay on it by the checkout's chart, and examples/quickstart, from nothing to a result.

Everything here is glue around parts that stand elsewhere. It reads what happens as a user does, with kubectl.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from helm_python import HelmError

from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from tests.cluster import charting, images, packages, paths, rendering
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for

CLUSTER, NAMESPACE, EXPERIMENT = "assay", "demo", "digits"
MANIFEST = paths.CHECKOUT / "examples" / "quickstart" / "experiment.yaml"
PATIENCE_SECONDS = 900

Raw = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; 0 when the experiment has succeeded."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster demo", description="Run examples/quickstart.")
    parser.add_argument("--name", default=CLUSTER, help=f"the cluster's name (default: {CLUSTER})")
    demo = Demo(LocalCluster(parser.parse_args(argv).name))
    try:
        demo.prepare()
        demo.launch()
        return demo.report(demo.watch())
    except ClusterError as error:
        print(f"\nerror: {error}\nlogs:  {demo.cluster.logs}", file=sys.stderr)
        return 1
    except HelmError as error:
        print(f"\nerror: Helm: {error}\n`make demo-down` takes all of it away.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What is up stays up; `make demo-down` stops it.", file=sys.stderr)
        return 130


class Demo:
    """One demonstration on a detached cluster, which stays up when it ends."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.began = time.monotonic()

    @cached_property
    def release(self) -> charting.Release:
        """Assay in the cluster, which has to be up by then."""
        return charting.Release(self.cluster)

    # Steps

    def prepare(self) -> None:
        """Bring everything to the point where an Experiment can be applied; quick when most is there."""
        packages.install()
        if self.cluster.running():
            self._say("the cluster is up already")
        else:
            self._say("starting the cluster")
            self.cluster.start(detached=True)
        self._say("container images")
        assay = images.assay_image()
        self._load(images.ASSAY, assay)
        self._load(images.QUICKSTART, images.quickstart_image())
        self._install(assay)

    def launch(self) -> None:
        """Apply the experiment, after removing the one of an earlier demonstration."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        self.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
        old = ("delete", "experiment", EXPERIMENT, "--ignore-not-found", "--cascade=foreground", "--timeout=120s")
        if self._kubectl(*old, timeout=130).strip():
            self._say("removed the experiment of last time (its records stay in the store)")
        self._say(f"kubectl apply -f {MANIFEST.relative_to(paths.CHECKOUT)}")
        self._kubectl("apply", "-f", str(MANIFEST))

    def watch(self) -> Raw:
        """Show what happens until the experiment has ended, and return it."""
        shown = trouble = ""
        seen: Raw = {}

        def ended() -> bool:
            nonlocal shown, seen, trouble
            seen = self._get("experiment", EXPERIMENT)
            line = rendering.progress(seen)
            if line != shown:
                self._say(line)
                shown = line
            phase = (seen.get("status") or {}).get("phase")
            trouble = self.release.trouble()
            return phase in ("Succeeded", "Failed") or bool(trouble)

        wait_for("end of the experiment", ended, seconds=PATIENCE_SECONDS, every=0.5, saw=lambda: shown)
        if trouble:
            raise ClusterError(f"the operator has ended by itself: {trouble}")
        return seen

    def report(self, experiment: Raw) -> int:
        """Print the result and what to try next; return the exit code."""
        selector = f"--selector=assay.dev/experiment={EXPERIMENT}"
        runs = self._get("runs", selector)["items"]
        print(f"\n{rendering.run_table(experiment, runs)}\n")
        status = experiment["status"]
        best = next((run for run in runs if run["metadata"]["name"] == (status.get("best") or {}).get("run")), None)
        if best:
            self._report_best(experiment, best)
        self._report_next(best or runs[0])
        if status["phase"] != "Succeeded":
            print(f"\nerror: the experiment has failed: {status.get('message')}\nlogs:  {self.cluster.logs}")
            return 1
        return 0

    # Parts of the report

    def _report_best(self, experiment: Raw, run: Raw) -> None:
        metric = experiment["spec"]["objective"]["metric"]
        value = rendering.number(rendering.result(run, metric))
        chosen = rendering.assignments(experiment, rendering.parameters(run))
        print(f"Best run:   {run['metadata']['name']}, {metric} {value} with {chosen}")
        record = run["status"].get("record") or {}
        uri = record.get("artifacts") or record.get("uri", "")
        print(f"Artifacts:  {uri}")
        for path, size in self._artifacts(uri):
            print(f"              {path} ({rendering.size(size)})")
        print("Copy them:  (any S3 client does; this one came with `make setup`)")
        rclone = _shown(Path(sys.executable).with_name("rclone"))
        print(f"  {rclone} --config {_shown(self._rclone_config())} copy \\")
        print(f"    store:{uri.removeprefix('s3://')} best-run")

    def _report_next(self, run: Raw) -> None:
        kubectl = "kubectl" if shutil.which("kubectl") else _shown(Path(self.cluster.spec.programs["kubectl"]))
        print("\nThe cluster stays up until `make demo-down`. Next:\n")
        print(f"  export KUBECONFIG={_shown(self.cluster.kubeconfig)}")
        print(f"  {kubectl} -n {NAMESPACE} get experiments,runs,jobs,pods")
        print(f"  {kubectl} -n {NAMESPACE} describe run {run['metadata']['name']}")
        print(f"  {kubectl} -n {self.release.namespace} logs deployment/{charting.DEPLOYMENT}")
        print(f"  {kubectl} explain experiment.spec.search")

    def _artifacts(self, uri: str) -> Iterable[tuple[str, int]]:
        store = ObjectStore(StoreConfig.from_environment(self.cluster.store.environment()))
        prefix = uri.removeprefix(f"s3://{self.cluster.store.bucket}/").rstrip("/") + "/"
        return sorted((info.key.removeprefix(prefix), info.size) for info in store.list(prefix))

    def _rclone_config(self) -> Path:
        """A configuration in which `store:` is the cluster's object store. It holds the keys."""
        store = self.cluster.store
        settings = {
            "type": "s3",
            "provider": "Other",
            "endpoint": store.endpoint,
            "region": store.region,
            "access_key_id": store.access_key,
            "secret_access_key": store.secret_key,
        }
        lines = ["[store]", *(f"{name} = {value}" for name, value in settings.items()), ""]
        path = self._folder / "rclone.conf"
        path.touch(mode=0o600)
        path.write_text("\n".join(lines))
        return path

    # The cluster

    @property
    def _folder(self) -> Path:
        """Notes of the demonstration; gone with the cluster."""
        folder = self.cluster.folder / "demo"
        folder.mkdir(exist_ok=True)
        return folder

    def _load(self, image: images.Image, archive: Path) -> None:
        """Import an archive, unless this very one was imported before."""
        note = self._folder / image.name
        if note.exists() and note.read_text() == archive.name:
            return
        self._say(f"importing {image.reference} into the node")
        self.cluster.load_image(archive)
        note.write_text(archive.name)

    def _install(self, archive: Path) -> None:
        """Install the chart, or upgrade it. The annotation has the operator replaced when the image is another one."""
        verb = "upgrade" if self.release.installed() else "install"
        if verb == "install":
            self._say(f"the namespace {self.release.namespace}, and a Secret {charting.SECRET} with the store's keys")
        values = {"podAnnotations": {"build": archive.stem}}
        self._say(self.release.command(verb, **values))
        if verb == "install":
            self.release.install(**values)
        else:
            self.release.upgrade(**values)
        self._say("the operator is ready")

    def _kubectl(self, *argv: str, timeout: float = 60) -> str:
        return self.cluster.kubectl("-n", NAMESPACE, *argv, timeout=timeout)

    def _get(self, *what: str) -> Raw:
        return dict(json.loads(self._kubectl("get", *what, "--output=json")))

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:5.1f} s] {text}", flush=True)


def _shown(path: Path) -> str:
    """The path as one types it in the checkout."""
    if path.is_relative_to(paths.CHECKOUT):
        return str(path.relative_to(paths.CHECKOUT))
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
