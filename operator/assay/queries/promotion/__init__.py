"""Questions about promotion: what an alias needs, and what an approver sees."""
