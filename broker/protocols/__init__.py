"""Specifications the broker speaks; pure, and each stands alone."""
