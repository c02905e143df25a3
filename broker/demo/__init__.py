"""The demo: its identity provider and seed data."""
