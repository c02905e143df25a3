"""Authenticates callers; one module for each scheme of proof."""
