"""Watch the admission policies: all shipped policies must be present, bound and unchanged.

The operator does not enforce the policies; they hold while it is down. It reports faults in ``/readyz``, in
``assay_admission_policies_faulty``, and in its log.
"""

import logging
from pathlib import Path

import yaml

from assay.api.objects import Raw
from assay.api.resources import ADMISSION_BINDINGS, ADMISSION_POLICIES, MUTATING_BINDINGS, MUTATING_POLICIES
from assay.controllers import metrics
from assay.kube.aio import Kube
from assay.kube.errors import ApiError
from assay.planning import policy_guard
from assay.planning.policy_guard import Fault
from assay.store.config import ConfigError

log = logging.getLogger(__name__)

_RESOURCES = {
    policy_guard.POLICY: ADMISSION_POLICIES,
    policy_guard.BINDING: ADMISSION_BINDINGS,
    policy_guard.MUTATING_POLICY: MUTATING_POLICIES,
    policy_guard.MUTATING_BINDING: MUTATING_BINDINGS,
}
_SHOWN = 5


def read(file: str) -> list[Raw]:
    """Return the shipped manifests; without a file, the minimum that must exist.

    Raises ConfigError if the file cannot be read or contains no admission policies.
    """
    if not file:
        return policy_guard.least()
    try:
        found = [each for each in yaml.safe_load_all(Path(file).read_text(encoding="utf-8")) if each]
        manifests = [each for each in found if each["kind"] in _RESOURCES and each["metadata"]["name"]]
    except (OSError, ValueError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"ASSAY_POLICIES_FILE: {file} does not hold admission policies: {error}") from None
    if not manifests:
        raise ConfigError(f"ASSAY_POLICIES_FILE: {file} holds no admission policy")
    return manifests


class PolicyWatch:
    """Compares the policies and remembers the last result, which is kept while the API server does not answer.

    ``file`` is read each time, because an upgrade of the chart replaces it.

    ``required`` decides whether the gauge shows faults. A cluster without policies on purpose needs no alert.
    """

    def __init__(self, kube: Kube, file: str, *, required: bool) -> None:
        self._kube = kube
        self._file = file
        self._required = required
        self._said = ""
        self._looked = False

    async def look(self) -> str:
        """Return what is wrong with the policies; "" if they are as shipped. Never raises."""
        try:
            shipped = read(self._file)
            kinds = sorted({each["kind"] for each in shipped})
            found = {kind: [each async for each in self._kube.list(_RESOURCES[kind], "")] for kind in kinds}
        except (ApiError, ConfigError) as error:
            if isinstance(error, ApiError) and not error.refused and self._looked:
                log.warning("the admission policies cannot be listed now: %s", error)
                return self._said
            wrong = f"cannot be checked: {error}"
        else:
            self._looked = True
            wrong = self._told(shipped, policy_guard.faults(shipped, found))
        if wrong and wrong != self._said:
            log.warning("admission policies: %s", wrong)
        elif self._said and not wrong:
            log.info("the admission policies match the chart again")
        self._said = wrong
        return wrong

    def _told(self, shipped: list[Raw], faults: list[Fault]) -> str:
        faulty = {(each.kind, each.name) for each in faults} if self._required else set()
        metrics.POLICIES_FAULTY.clear()
        for each in shipped:
            identity = each["kind"], each["metadata"]["name"]
            metrics.POLICIES_FAULTY.labels(*identity).set(identity in faulty)
        said = [str(each) for each in faults[:_SHOWN]]
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        return "; ".join([*said, *more])
