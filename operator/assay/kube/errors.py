"""The error of the Kubernetes API, for the operator and for users."""

from assay.api.errors import AssayError

_HINTS = {
    0: "is the cluster running? `kubectl cluster-info` uses the same kubeconfig",
    401: "authenticate again; `kubectl auth whoami` shows your user name in the cluster",
    403: "`kubectl auth can-i --list` shows your rights; docs/personas.md lists the roles",
}


class ApiError(AssayError):
    """A failed request. ``status`` is the HTTP code, 0 without a response; ``reason`` is that of the API server."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message, hint=_HINTS.get(status, ""))
        self.status, self.reason = status, reason

    @property
    def permanent(self) -> bool:
        """Whether retrying the same request is pointless: it is invalid or forbidden."""
        return self.status in (400, 403, 405, 413, 422)
