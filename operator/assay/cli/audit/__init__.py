"""The commands for auditors: lineage, history, and the audit trail."""
