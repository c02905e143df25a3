"""Puts the broker together: settings become stores, services and an application."""
