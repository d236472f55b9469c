"""Where the local cluster keeps its files: in one cache outside of the checkout, which `make clean` spares.

    cache/tools/<module>-<hash>/    programs built from tests/cluster/tools, or fetched
    cache/clusters/<name>/          everything of one running cluster; gone when it stops
    cache/logs/<name>/              one file a component; the logs of the last clusters are kept

This module only names places. It creates nothing.
"""

import os
from pathlib import Path

TOOLS_SOURCE = Path(__file__).parent / "tools"
CHECKOUT = Path(__file__).parents[2]

# Inside of the cluster's own mount namespace its folders are always found here. Paths in configuration files
# are therefore the same for every cluster, and sockets stay below the 108 characters that Linux allows.
INSIDE = Path("/run/assay")
INSIDE_LOGS = Path("/run/assay-logs")


def cache() -> Path:
    """The folder that holds everything; `XDG_CACHE_HOME` moves it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "assay"


def tools() -> Path:
    """One folder for each version of each built or fetched tool."""
    return cache() / "tools"


def clusters() -> Path:
    """One folder for each cluster that is up."""
    return cache() / "clusters"


def logs(name: str) -> Path:
    """The log folder of the cluster `name`."""
    return cache() / "logs" / name
