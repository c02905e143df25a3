"""Signing in and out: every way to prove who one is, up to the console session."""
