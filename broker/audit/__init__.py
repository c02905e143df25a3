"""What happened, to whom, by whom and why: one record a call, never a secret."""
