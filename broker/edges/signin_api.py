"""AWS Sign-In's operations, by rest-json, at paths of the origin's root.

``CreateOAuth2Token`` is the pages' (`broker.console.signin.token_endpoint`). The others
are refused by name, once the caller is proved where the operation takes a signature.

Four operations share ``/v1/token``: the query tells them apart.

Source: botocore's signin model.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from broker import errors
from broker.actions.registry import unsupported_action
from broker.edges.api import QUERY_BYTES_MAX
from broker.edges.rest_api import RestApi, naming
from broker.model.request import Door
from broker.pipeline import Pipeline
from broker.protocols.json_api import RestCall, RestService

_OF_PAGES = "CreateOAuth2Token"

_fault_name = naming(
    {
        errors.AccessDenied: "AccessDeniedException",
        errors.ExpiredToken: "ExpiredTokenException",
        errors.IncompleteSignature: "IncompleteSignatureException",
        errors.InternalFailure: "InternalServerException",
        errors.InvalidClientTokenId: "UnrecognizedClientException",
        errors.MissingAuthenticationToken: "MissingAuthenticationTokenException",
        errors.ServiceUnavailable: "ServiceUnavailableException",
        errors.SignatureDoesNotMatch: "InvalidSignatureException",
        errors.Throttling: "TooManyRequestsError",
    },
)


class SigninApi:
    """The service's operations that are not a page's."""

    def __init__(self, pipeline: Pipeline, service: RestService) -> None:
        self._pipeline = pipeline
        self._service = service

    def api(self) -> RestApi:
        """What answers at its places."""
        operations = {
            name: self._refuse
            for name in self._service.operations
            if self._service.is_signed(name)
        }
        return RestApi(self._service, "", operations, _fault_name)

    @property
    def places(self) -> list[str]:
        """Where its operations stand: a path, with what a query must say after ``?``."""
        return [
            self._service.place(name)
            for name in self._service.operations
            if name != _OF_PAGES
        ]

    async def _refuse(self, call: RestCall, request_id: str) -> Mapping[str, Any]:
        request = self._pipeline.receive(call.raw, request_id, Door.API, _fault_name)
        action = unsupported_action(self._service.name, call.operation)
        return await self._pipeline.perform(request, action, dict)


def places_of(path: str, query: bytes) -> list[str]:
    """The places that a request may mean: its path with each pair of its query."""
    if not query or len(query) > QUERY_BYTES_MAX:
        return []
    try:
        pairs = parse_qsl(query.decode("ascii"))
    except ValueError:
        return []
    return [f"{path}?{name}={value}" for name, value in pairs]
