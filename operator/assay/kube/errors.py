"""The one error of the Kubernetes API, for the operator and for people."""

from assay.api.errors import AssayError

_HINTS = {
    0: "is the cluster running? `kubectl cluster-info` uses the same kubeconfig",
    401: "sign in again, then `kubectl auth whoami` shows which user the cluster sees",
    403: "`kubectl auth can-i --list` shows what you may do; docs/personas.md lists the roles",
}


class ApiError(AssayError):
    """The API server refused a request. ``status`` is the HTTP code, 0 without an answer; ``reason`` its own word."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message, hint=_HINTS.get(status, ""))
        self.status, self.reason = status, reason

    @property
    def permanent(self) -> bool:
        """Whether the same request would be refused again: the object is invalid or forbidden, not the moment wrong."""
        return self.status in (400, 403, 405, 413, 422)
