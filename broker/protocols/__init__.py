"""Specifications the broker speaks; pure, and each stands alone.

``shapes`` is what the protocols of AWS's service models share.
"""
