"""Requests as enforcement points describe them, and what they mean to a service.

A library in itself, pure: `definition` is what an account declares of a service,
`paths` the one rule by which a request's path names a resource, `mapping` the way from
a request to an action and a resource, `forwarded` reads the headers in which
proxies describe the request that they ask about, and `s3` knows what S3's requests mean.
"""

from broker.protocols.enforcement.definition import (
    RESERVED,
    SIGNED_CHUNKS,
    DefinitionRejected,
    ServiceDefinition,
    parse_definition,
    parse_new_definition,
)
from broker.protocols.enforcement.forwarded import ClientRequest, read_forwarded
from broker.protocols.enforcement.mapping import ActionOnResource, CompiledService
from broker.protocols.enforcement.paths import RequestAmbiguous, resource_path

__all__ = [
    "RESERVED",
    "SIGNED_CHUNKS",
    "ActionOnResource",
    "ClientRequest",
    "CompiledService",
    "DefinitionRejected",
    "RequestAmbiguous",
    "ServiceDefinition",
    "parse_definition",
    "parse_new_definition",
    "read_forwarded",
    "resource_path",
]
