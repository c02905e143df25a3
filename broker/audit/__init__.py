"""The audit trail: one record per call, saying who did what and why, never a secret."""
