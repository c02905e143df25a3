"""The AWS Query protocol, compiled from service models that come as plain mappings."""
