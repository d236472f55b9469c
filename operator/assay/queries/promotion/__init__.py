"""Queries about promotion: the requirements of an alias, and what an approver sees."""
