"""`make demo`: start a local cluster, install Assay from the chart, run examples/quickstart, and show the result.

The demonstration is glue around other modules. It reads the cluster with kubectl and shows results with `assay`, as a
user would, and leaves behind a namespace in which every command of the documentation works.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from helm_python import HelmError

from tests.cluster import calls, charting, images, packages, paths, people, rendering
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.shell import run
from tests.cluster.waiting import wait_for

CLUSTER, NAMESPACE, EXPERIMENT, MODEL, ALIAS = "assay", "demo", "digits", "digits", "champion"
MANIFEST = paths.CHECKOUT / "examples" / "quickstart" / "experiment.yaml"
PATIENCE_SECONDS = 900
REGISTRATION_SECONDS = 60
#: The largest size, in characters, of what is shown in a terminal.
WIDTH, HEIGHT = 100, 18

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
        print(f"\nerror: Helm: {error}\n`make demo-down` removes the cluster.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The cluster keeps running; `make demo-down` stops it.", file=sys.stderr)
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
        self._say(f"the namespace {NAMESPACE}: roles for {', '.join(people.ROLES)}, and a read-only key for the store")
        people.set_up(self.release, NAMESPACE)
        self._write_user_files()
        old = ("delete", "experiment", EXPERIMENT, "--ignore-not-found", "--cascade=foreground", "--timeout=120s")
        if self._kubectl(*old, timeout=130).strip():
            self._say("removed the experiment of the previous demo; its records and model versions stay")
        self._say(f"kubectl apply -f {MANIFEST.relative_to(paths.CHECKOUT)}")
        self._kubectl("apply", "-f", str(MANIFEST))

    def watch(self) -> Raw:
        """Show what happens until the experiment has ended, and return it."""
        shown = trouble = ""
        seen: Raw = {}

        def ended() -> bool:
            nonlocal shown, seen, trouble
            seen = calls.one(self.cluster, NAMESPACE, "experiment", EXPERIMENT)
            line = rendering.progress(seen)
            if line != shown:
                self._say(line)
                shown = line
            phase = (seen.get("status") or {}).get("phase")
            trouble = self.release.trouble()
            return phase in ("Succeeded", "Failed") or bool(trouble)

        wait_for("end of the experiment", ended, seconds=PATIENCE_SECONDS, every=0.5, saw=lambda: shown)
        if trouble:
            raise ClusterError(f"the operator exited unexpectedly: {trouble}")
        return seen

    def report(self, experiment: Raw) -> int:
        """Show the result with `assay`, and what to try next; return the exit code."""
        objective = experiment["spec"]["objective"]
        self._show(f"assay runs -e {EXPERIMENT} --sort {objective['metric']}")
        status = experiment["status"]
        if status["phase"] != "Succeeded":
            print(f"\nerror: the experiment has failed: {status.get('message')}\nlogs:  {self.cluster.logs}")
            return 1
        best, *_, worst = self._ranking(objective)
        self._show(f"assay curves {best} {worst}")
        version = self._registered(best)
        name = version["metadata"]["name"]
        print(f"\n{best} is registered as {name}. Ask for it to go live as {MODEL}.{ALIAS}:", flush=True)
        self._show(f"assay promote {MODEL} {ALIAS} {version['spec']['version']} --no-wait")
        print()
        print(rendering.next_steps(self._exports(), version, ALIAS, best, worst), flush=True)
        return 0

    # Parts of the report

    def _show(self, command: str) -> None:
        """Run a command as the user would, with its output on the user's own terminal. Raises ClusterError."""
        print(f"\n$ {command}", flush=True)
        code = subprocess.run(shlex.split(command), env=self._environment(), check=False).returncode
        if code:
            raise ClusterError(f"`{command}` ended with exit code {code}")

    def _ranking(self, objective: Raw) -> list[str]:
        """Return the names of the runs that have a value of the objective, the best first."""
        runs = calls.many(self.cluster, NAMESPACE, "runs", f"assay.dev/experiment={EXPERIMENT}")
        ranked = rendering.sort_runs(runs, objective)
        return [run["metadata"]["name"] for run in ranked if rendering.result(run, objective["metric"]) is not None]

    def _registered(self, run: str) -> Raw:
        """Wait until the best run is a version of the model whose bytes are copied and verified, and return that."""
        uid = calls.one(self.cluster, NAMESPACE, "run", run)["metadata"]["uid"]
        found: Raw = {}

        def ready() -> bool:
            nonlocal found
            found = next(iter(calls.many(self.cluster, NAMESPACE, "modelversions", f"assay.dev/run-uid={uid}")), {})
            return (found.get("status") or {}).get("phase") == "Ready"

        wait_for(f"the version of {MODEL} from run {run}", ready, seconds=REGISTRATION_SECONDS, saw=lambda: found)
        return found

    def _exports(self) -> list[str]:
        """Return what makes a shell the user's: kubectl and assay for this cluster and namespace."""
        return [f"export KUBECONFIG={_shown(self._kubeconfig)}", f"export PATH={_shown(self._programs)}:$PATH"]

    def _environment(self) -> dict[str, str]:
        """Return the environment of such a shell, and the size of what is shown in it."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
        width = min(shutil.get_terminal_size((WIDTH, 0)).columns, WIDTH)
        return {
            **others,
            "KUBECONFIG": str(self._kubeconfig),
            "PATH": os.pathsep.join((str(self._programs), os.environ["PATH"])),
            "COLUMNS": str(width),
            "LINES": str(HEIGHT),
        }

    # The cluster

    @property
    def _folder(self) -> Path:
        """Notes of the demonstration; gone with the cluster."""
        folder = self.cluster.folder / "demo"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def _kubeconfig(self) -> Path:
        return self._folder / "kubeconfig"

    @property
    def _programs(self) -> Path:
        return self._folder / "bin"

    def _write_user_files(self) -> None:
        """Write a kubeconfig that is set to the demonstration's namespace, and a folder with kubectl and assay."""
        shutil.copy(self.cluster.kubeconfig, self._kubeconfig)
        context = ("set-context", "--current", f"--namespace={NAMESPACE}")
        run(self.cluster.spec.programs["kubectl"], f"--kubeconfig={self._kubeconfig}", "config", *context)
        self._programs.mkdir(exist_ok=True)
        scripts = Path(sys.executable).parent
        targets = {name: scripts / name for name in ("assay", "kubectl-assay", "kubectl_complete-assay")}
        for name, target in {**targets, "kubectl": Path(self.cluster.spec.programs["kubectl"])}.items():
            link = self._programs / name
            link.unlink(missing_ok=True)
            link.symlink_to(target)

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

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:5.1f} s] {text}", flush=True)


def _shown(path: Path) -> str:
    """The path as one types it in the checkout."""
    if path.is_relative_to(paths.CHECKOUT):
        return str(path.relative_to(paths.CHECKOUT))
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
