"""Temporary credentials: what they hold, how they are sealed, when they end."""
