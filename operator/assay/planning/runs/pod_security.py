"""Pod security: what the pod template of a Run may request, whoever wrote it. Pure.

The operator launches Jobs in its own name. A cluster policy that looks at the creator of a pod sees the Job controller,
and the operator behind it. Therefore the levels `baseline` and `restricted` of Kubernetes' Pod Security Standards apply
to the template itself. One rule is added: a pod runs as the namespace's default service account, or as one that the
platform team has allowed for runs. charts/assay/policies/pod-security.yaml has the same rules; this module also
applies them where that policy is not installed.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from assay.api import names
from assay.api.objects import Raw

BASELINE, RESTRICTED, OFF = "baseline", "restricted", "off"
LEVELS = (BASELINE, RESTRICTED, OFF)
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_LISTS = ("containers", "initContainers", "ephemeralContainers")
# fmt: off
_CAPABILITIES = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
))
# fmt: on
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
# fmt: off
_SYSCTLS = frozenset((
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
))
_VOLUMES = frozenset((
    "name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
    "projected", "secret",
))
# fmt: on


def refusal(run: Raw, level: str, accounts: Iterable[str] = ()) -> str:
    """Return why the Job of a raw Run is not created; "" if its template complies with the level.

    ``accounts`` are the service accounts, besides `default`, that the namespace allows for runs.
    """
    if level == OFF:
        return ""
    pod = _map(_map(_map(run["spec"].get("job")).get("template")).get("spec"))
    found = next(_faults(pod, level, frozenset(accounts)), "")
    return f"spec.job.template: {found}; runs.podSecurity of this cluster is {level}" if found else ""


def account_of(run: Raw) -> str:
    """Return the service account in the pod template of a raw Run; "default" if it sets none."""
    pod = _map(_map(_map(run["spec"].get("job")).get("template")).get("spec"))
    named = pod.get("serviceAccountName") or pod.get("serviceAccount")
    return str(named or "default")


def allowed_accounts(annotations: Raw) -> list[str]:
    """Return the service accounts that a namespace's annotations allow for runs."""
    return str(annotations.get(names.ANNOTATION_RUN_ACCOUNTS, "")).split()


def _faults(pod: Raw, level: str, accounts: frozenset[str]) -> Iterator[str]:
    yield from _pod_faults(pod, accounts)
    for each in _containers(pod):
        yield from (f"container {each.get('name')}: {fault}" for fault in _container_faults(each))
    if level == RESTRICTED:
        yield from _restricted_faults(pod)


def _pod_faults(pod: Raw, accounts: frozenset[str]) -> Iterator[str]:
    yield from (f"{field} is not allowed" for field in _HOST_NAMESPACES if pod.get(field))
    for volume in _list(pod.get("volumes")):
        if "hostPath" in volume:
            yield f"volume {volume.get('name')}: hostPath is not allowed"
    for field in ("serviceAccountName", "serviceAccount"):
        named = pod.get(field)
        if named and named != "default" and named not in accounts:
            yield (
                f"the service account {named} is not allowed: use the namespace's default one, or have the platform "
                f"team name it in the namespace's annotation {names.ANNOTATION_RUN_ACCOUNTS}"
            )
    security = _map(pod.get("securityContext"))
    yield from _context_faults(security)
    for sysctl in _list(security.get("sysctls")):
        if sysctl.get("name") not in _SYSCTLS:
            yield f"the sysctl {sysctl.get('name')} is not allowed"


def _container_faults(container: Raw) -> Iterator[str]:
    security = _map(container.get("securityContext"))
    if security.get("privileged"):
        yield "privileged is not allowed"
    added = _map(security.get("capabilities")).get("add") or []
    if more := sorted(str(each) for each in added if each not in _CAPABILITIES):
        yield f"the added capabilities {', '.join(more)} are not allowed"
    if any(port.get("hostPort") for port in _list(container.get("ports"))):
        yield "hostPort is not allowed"
    if security.get("procMount") not in (None, "", "Default"):
        yield "procMount is not allowed"
    yield from _context_faults(security)


def _context_faults(security: Raw) -> Iterator[str]:
    """Yield the faults in the security context of a pod or a container."""
    if _map(security.get("windowsOptions")).get("hostProcess"):
        yield "windowsOptions.hostProcess is not allowed"
    selinux = _map(security.get("seLinuxOptions"))
    if selinux.get("type", "") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield "these seLinuxOptions are not allowed"
    for field in ("seccompProfile", "appArmorProfile"):
        if _map(security.get(field)).get("type") == "Unconfined":
            yield f"{field} Unconfined is not allowed"


def _restricted_faults(pod: Raw) -> Iterator[str]:
    for volume in _list(pod.get("volumes")):
        if other := sorted(volume.keys() - _VOLUMES):
            yield f"volume {volume.get('name')}: {other[0]} is not allowed"
    whole = _map(pod.get("securityContext"))
    if whole.get("runAsUser") == 0:
        yield "runAsUser 0 is not allowed"
    for container in _containers(pod):
        name, own = container.get("name"), _map(container.get("securityContext"))
        capabilities = _map(own.get("capabilities"))
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"container {name}: allowPrivilegeEscalation has to be false"
        if own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True:
            yield f"container {name}: runAsNonRoot has to be true"
        if own.get("runAsUser") == 0:
            yield f"container {name}: runAsUser 0 is not allowed"
        if _map(own.get("seccompProfile", whole.get("seccompProfile"))).get("type") not in (
            "RuntimeDefault",
            "Localhost",
        ):
            yield f"container {name}: seccompProfile has to be RuntimeDefault or Localhost"
        if "ALL" not in (capabilities.get("drop") or []) or set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
            yield f"container {name}: capabilities has to drop ALL, and may add NET_BIND_SERVICE"


def _containers(pod: Raw) -> Iterator[Raw]:
    for field in _LISTS:
        yield from _list(pod.get(field))


def _map(value: Any) -> Raw:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Raw]:
    """Return the objects of a list. A template may contain anything until the API server has validated the Job."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
