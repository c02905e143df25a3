"""Accounts and IAM entities; the durable truth."""
