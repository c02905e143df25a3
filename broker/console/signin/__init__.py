"""Signing in and out: from the proof of identity to the console session."""
