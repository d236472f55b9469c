"""The audit trail: one function an event, one recorder for all trails."""
