"""The audit trail: one function per event, and one recorder for all trails."""
