"""AWS's two JSON protocols, compiled from service models that come as plain mappings.

``rest-json`` names an operation by method and path, ``awsJson1.1`` by the header
``X-Amz-Target``; both carry JSON. Nothing here knows an account or a policy.
"""

from broker.protocols.json_api.fault import JsonFault
from broker.protocols.json_api.rest import RestCall, RestService
from broker.protocols.json_api.target import TargetService

__all__ = ["JsonFault", "RestCall", "RestService", "TargetService"]
