"""Replay marks and audit; append-only, in the directory's database."""
