"""Reconcilers of the registry: versions, aliases, policies and the workloads that follow an alias."""
