"""Assay: experiments, runs and governed model versions as Kubernetes resources.

The folder above this package has no ``__init__.py`` on purpose: a package named ``operator`` on the
import path would shadow the standard library's module of that name.
"""

from assay.training import artifact, log, param

__all__ = ["artifact", "log", "param"]
__version__ = "0.1.0"
