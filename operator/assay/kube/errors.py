"""The error of the Kubernetes API, for the operator and for users."""

import re

from assay.api.errors import AssayError

#: What the API server says of a refusal by a policy or a webhook, whichever HTTP code it has.
_ADMISSION = re.compile(r"admission webhook .* denied the request|denied request: ", re.DOTALL)

_HINTS = {
    0: "is the cluster running? `kubectl cluster-info` uses the same kubeconfig",
    401: "authenticate again; `kubectl auth whoami` shows your user name in the cluster",
    403: "`kubectl auth can-i --list` shows your rights; docs/personas.md lists the roles",
}


class ApiError(AssayError):
    """A failed request. ``status`` is the HTTP code, 0 without a response; ``reason`` is that of the API server."""

    def __init__(self, status: int, reason: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint or _HINTS.get(status, ""))
        self.status, self.reason = status, reason

    @property
    def refused(self) -> bool:
        """Whether the API server refused the request for its content or for the user's rights."""
        return self.status in (400, 403, 405, 413, 422)

    @property
    def permanent(self) -> bool:
        """Whether retrying the same request is pointless: its content is invalid.

        Rights, quotas and admission policies change, and an API server that is starting answers 403 until it has loaded
        them. Such a refusal is not permanent.
        """
        return self.refused and self.status != 403 and not _ADMISSION.search(self.message)
