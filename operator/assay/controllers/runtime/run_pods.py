"""What serves the pods of runs: the reader of their logs, the nodes that they run on, and their resource usage."""

from dataclasses import dataclass, field

from assay.controllers.runtime.nodes import Nodes
from assay.controllers.tracking.kubelets import Kubelets
from assay.controllers.tracking.logs import LogReader
from assay.controllers.tracking.usage import Usage


@dataclass
class RunPods:
    """One for the whole operator."""

    logs: LogReader
    #: Whether nodes can mount images as volumes.
    nodes: Nodes
    #: The source of ``usage``.
    kubelets: Kubelets
    usage: Usage
    #: UIDs of runs whose live summary is to be read at their next reconcile.
    observe: set[str] = field(default_factory=set)
