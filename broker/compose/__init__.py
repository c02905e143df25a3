"""Puts the broker together: settings become stores, services and an application.

The only place that knows which implementation stands behind which name: `storage` opens
the stores, `installation` what every process needs, `services` makes all that a worker
has, `app` puts the entry points over it. Nothing is decided here.
"""
