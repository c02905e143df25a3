"""The terminal edge: one module a command."""
