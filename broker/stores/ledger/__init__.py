"""Replay marks, revocations and audit; append-only, in the directory's database."""
