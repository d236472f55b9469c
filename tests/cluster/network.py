"""Addresses of a cluster, and the one cable between it and the host.

Every cluster has a /16 of its own, derived from its name, so that two can be up at the same time:

    10.N.0.1        the host's end of the cable
    10.N.0.2        the node: API server, object store, DNS
    10.N.64.0/18    pods
    10.N.128.0/20   Services

The host routes pods and Services through the node, so a test reaches what a pod reaches, at the same address.
Nothing of the host's firewall or sysctls is touched; everything vanishes with the network namespace.
"""

import hashlib
import ipaddress
import json
from dataclasses import dataclass

from tests.cluster.errors import ClusterError
from tests.cluster.shell import run

FIRST, COUNT = 64, 128


@dataclass(frozen=True)
class Subnets:
    """The addresses of the cluster with number `number` (64 to 191)."""

    number: int

    @property
    def whole(self) -> str:
        return f"10.{self.number}.0.0/16"

    @property
    def host(self) -> str:
        return f"10.{self.number}.0.1"

    @property
    def node(self) -> str:
        return f"10.{self.number}.0.2"

    @property
    def pods(self) -> str:
        return f"10.{self.number}.64.0/18"

    @property
    def services(self) -> str:
        return f"10.{self.number}.128.0/20"

    @property
    def kubernetes_service(self) -> str:
        return f"10.{self.number}.128.1"

    @property
    def dns_service(self) -> str:
        return f"10.{self.number}.128.10"

    @property
    def link(self) -> str:
        """The name of the host's end of the cable."""
        return f"assay{self.number}"


def choose(name: str) -> Subnets:
    """The first free /16, counted from one that the name decides. Raises ClusterError when all are in use.

    The caller holds a lock until `connect` has made the routes, which is how others see that it is taken.
    """
    taken = _routed_networks()
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    for offset in range(COUNT):
        subnets = Subnets(FIRST + (start + offset) % COUNT)
        whole = ipaddress.IPv4Network(subnets.whole)
        if not any(whole.overlaps(network) for network in taken):
            return subnets
    raise ClusterError(f"no free network between 10.{FIRST}.0.0 and 10.{FIRST + COUNT - 1}.255.255")


def _routed_networks() -> list[ipaddress.IPv4Network]:
    routes = json.loads(run("ip", "-json", "-4", "route", "show", "table", "all") or "[]")
    return [
        ipaddress.IPv4Network(route["dst"], strict=False)
        for route in routes
        if route.get("dst", "default") != "default"
    ]


def connect(subnets: Subnets, host_namespace: int) -> None:
    """Join this network namespace with the host's, given an open file descriptor of the latter."""
    on_host = ("nsenter", f"--net=/proc/self/fd/{host_namespace}")

    def host(*argv: str) -> None:
        run(*on_host, "ip", *argv, pass_fds=[host_namespace])

    host("link", "add", subnets.link, "type", "veth", "peer", "name", "eth0", "netns", "1")
    host("address", "add", f"{subnets.host}/30", "dev", subnets.link)
    host("link", "set", subnets.link, "up")
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{subnets.node}/30", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    run("ip", "route", "add", "default", "via", subnets.host)
    host("route", "add", subnets.pods, "via", subnets.node)
    host("route", "add", subnets.services, "via", subnets.node)
