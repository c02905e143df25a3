"""The samples ask the same broker as `broker.client`."""

from tests.unit.client.conftest import broker

__all__ = ["broker"]
