"""The cluster from a shell: `python -m tests.cluster --help` lists the commands."""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from tests.cluster import builds, local, packages
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster

ELSEWHERE = {"demo": "tests.cluster.demo", "images": "tests.cluster.images"}


def up(name: str) -> None:
    """Start the cluster and leave it running."""
    cluster = LocalCluster(name)
    if not cluster.running():
        began = time.monotonic()
        cluster.start(detached=True)
        print(f"The cluster {name} is ready after {time.monotonic() - began:.1f} s.")
    status(name)


def down(name: str) -> None:
    """Stop the cluster and remove everything but its logs."""
    cluster = LocalCluster(name)
    was_up = cluster.running()
    cluster.stop()
    local.sweep()
    print(f"The cluster {name} {'is stopped' if was_up else 'was not up'}. Logs: {cluster.logs}")


def status(name: str) -> None:
    """Show what is running, and how to reach it."""
    for other in local.names():
        print(f"{other}: {LocalCluster(other).state['phase']}")
    cluster = LocalCluster(name)
    if not cluster.running():
        print(f"The cluster {name} is not up.")
        return
    for component, state in cluster.state["components"].items():
        print(f"  {component:24} {state}")
    store = cluster.store
    print(f"  export KUBECONFIG={cluster.kubeconfig}")
    print(f"  object store  {store.endpoint} (keys: `python -m tests.cluster store`)")
    print(f"  logs          {cluster.logs}")


def store(name: str) -> None:
    """Print the variables with which the operator reaches the store, as shell assignments."""
    for variable, value in LocalCluster(name).store.environment().items():
        print(f"export {variable}={value}")


def build(name: str) -> None:
    """Build the programs, so that the next start is quick."""
    del name
    builds.ensure()
    builds.argocd()
    builds.oauth2_proxy()
    builds.oidc_provider()


def install(name: str) -> None:
    """Install the packages that are missing (Debian, as root)."""
    del name
    packages.install(packages.BROWSER | packages.GITOPS)


def load(name: str, archive: Path) -> None:
    """Import the images of an OCI or Docker archive into the node."""
    LocalCluster(name).load_image(archive)


COMMANDS = {"up": up, "down": down, "status": status, "store": store, "build": build, "packages": install}


def main(argv: list[str]) -> int:
    if argv and argv[0] in ELSEWHERE:
        return int(import_module(ELSEWHERE[argv[0]]).main(argv[1:]) or 0)
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="A real Kubernetes on this machine.")
    parser.add_argument("--name", default="assay", help="the cluster's name (default: assay)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for word, function in COMMANDS.items():
        commands.add_parser(word, help=(function.__doc__ or "").rstrip("."))
    loading = commands.add_parser("load", help=(load.__doc__ or "").rstrip("."))
    loading.add_argument("archive", type=Path, help="such as one of `docker save`")
    commands.add_parser("images", help="Build the container images")
    commands.add_parser("demo", help="Start the cluster, install Assay, run the quickstart")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "load":
            load(arguments.name, arguments.archive)
        else:
            COMMANDS[arguments.command](arguments.name)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
