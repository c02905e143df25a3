"""Protects a service of one's own: who signed a request, and may they do this?

For ASGI (`AsgiMiddleware`) and WSGI (`WsgiMiddleware`). Both receive a request whole,
tell the broker what came over the wire with the hash of the body, and let the request
through only when the answer is yes; the application then finds its `Principal`. Nothing
but the standard library is needed, and no other part of the broker.

The wire format is that of ``POST /decisions``: docs/services.md.
"""

from broker.client.answers import BrokerAway, Principal
from broker.client.asgi import AsgiMiddleware
from broker.client.decisions import DecisionClient
from broker.client.wsgi import WsgiMiddleware

__all__ = [
    "AsgiMiddleware",
    "BrokerAway",
    "DecisionClient",
    "Principal",
    "WsgiMiddleware",
]
