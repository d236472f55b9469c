"""What all requests of one server share. It holds nothing of a user, except under the hash of their credentials."""

from __future__ import annotations

from dataclasses import dataclass

from assay.server.runs import Runs


@dataclass
class State:
    """The shared parts of one server."""

    runs: Runs
