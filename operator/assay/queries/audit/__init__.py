"""Queries for auditors: the audit trail, the history of an alias, and lineage."""
