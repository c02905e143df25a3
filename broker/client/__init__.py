"""Protects a service of one's own: who signed a request, and may they do this?

`AsgiMiddleware` receives a request whole, tells the broker what came over the wire with
the hash of the body, and lets the request through only when the answer is yes; the
application then finds its `Principal`. Nothing but the standard library is needed, and
no other part of the broker. ``samples/protected`` has the same for WSGI.

The wire format is that of ``POST /decisions``: docs/services.md.
"""

from broker.client.answers import BrokerAway, Principal
from broker.client.asgi import AsgiMiddleware
from broker.client.decisions import DecisionClient

__all__ = ["AsgiMiddleware", "BrokerAway", "DecisionClient", "Principal"]
