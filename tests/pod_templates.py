"""Pod templates that runs may not have by default, for the tests of the policy and of the operator's own check."""

import copy
from typing import Any

Raw = dict[str, Any]

PLAIN: Raw = {"restartPolicy": "Never", "containers": [{"name": "train", "image": "train"}]}


def pod(fields: Raw | None = None, container: Raw | None = None, where: str = "containers") -> Raw:
    """Return a pod spec with some fields more, and with fields more in a container of this list."""
    found = copy.deepcopy(PLAIN) | copy.deepcopy(fields or {})
    if container is not None:
        changed = {"name": "changed", "image": "train", **copy.deepcopy(container)}
        found[where] = [*found.get(where, []), changed]
    return found


def secure(**security: Any) -> Raw:
    """Return a container's fields with this security context."""
    return {"securityContext": security}


#: What `baseline` forbids, by a name.
FORBIDDEN: dict[str, Raw] = {
    "host-network": pod({"hostNetwork": True}),
    "host-pid": pod({"hostPID": True}),
    "host-ipc": pod({"hostIPC": True}),
    "host-path": pod({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}),
    "empty-host-path": pod({"volumes": [{"name": "fine", "emptyDir": {}}, {"name": "host", "hostPath": {}}]}),
    "privileged": pod(container=secure(privileged=True)),
    "privileged-init": pod(container=secure(privileged=True), where="initContainers"),
    "capability": pod(container=secure(capabilities={"add": ["CHOWN", "SYS_ADMIN"]})),
    "every-capability": pod(container=secure(capabilities={"add": ["ALL"]})),
    "capability-init": pod(container=secure(capabilities={"add": ["NET_ADMIN"]}), where="initContainers"),
    "host-port": pod(container={"ports": [{"containerPort": 80, "hostPort": 80}]}),
    "proc-mount": pod(container=secure(procMount="Unmasked")),
    "seccomp-pod": pod({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
    "seccomp": pod(container=secure(seccompProfile={"type": "Unconfined"})),
    "apparmor": pod(container=secure(appArmorProfile={"type": "Unconfined"})),
    "selinux-type": pod({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}),
    "selinux-user": pod(container=secure(seLinuxOptions={"user": "system_u"})),
    "sysctl": pod({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}),
    "host-process": pod({"securityContext": {"windowsOptions": {"hostProcess": True}}}),
    "service-account": pod({"serviceAccountName": "deployer"}),
    "service-account-by-its-old-name": pod({"serviceAccount": "deployer"}),
}
#: What it does not.
ALLOWED: dict[str, Raw] = {
    "plain": PLAIN,
    "default-account": pod({"serviceAccountName": "default"}),
    "said-not-to": pod({"hostNetwork": False, "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}),
    "usual-capability": pod(container=secure(capabilities={"add": ["CHOWN"], "drop": ["ALL"]}, privileged=False)),
    "root": pod({"securityContext": {"runAsUser": 0, "sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}),
    "volumes": pod({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "secret": {"secretName": "mine"}}]}),
}
#: What `restricted` asks for.
RESTRICTED = pod(
    {"containers": [], "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}},
    secure(allowPrivilegeEscalation=False, capabilities={"drop": ["ALL"]}),
)


def weakened() -> dict[str, Raw]:
    """Return what `restricted` forbids beside `baseline`, by a name: one thing less than it asks for."""
    found = {"plain": PLAIN, "volume": RESTRICTED | {"volumes": [{"name": "a", "nfs": {"server": "a", "path": "/"}}]}}
    for name in ("runAsNonRoot", "seccompProfile"):
        found[name] = copy.deepcopy(RESTRICTED)
        del found[name]["securityContext"][name]
    for name in ("allowPrivilegeEscalation", "capabilities"):
        found[f"container-{name}"] = copy.deepcopy(RESTRICTED)
        del found[f"container-{name}"]["containers"][0]["securityContext"][name]
    found["root"] = copy.deepcopy(RESTRICTED)
    found["root"]["containers"][0]["securityContext"]["runAsUser"] = 0
    found["overridden"] = copy.deepcopy(RESTRICTED)
    found["overridden"]["containers"][0]["securityContext"]["runAsNonRoot"] = False
    found["added"] = copy.deepcopy(RESTRICTED)
    found["added"]["containers"][0]["securityContext"]["capabilities"]["add"] = ["CHOWN"]
    return found
