"""Questions of auditors: the trail, the history of an alias, and lineage."""
