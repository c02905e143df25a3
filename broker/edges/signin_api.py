"""AWS Sign-In's operations, by rest-json, at paths of the origin's root.

``CreateOAuth2Token`` is answered by `broker.edges.oauth`. The others are refused by
name, once the caller is proved where the operation takes a signature.

Four operations share ``/v1/token``: the query tells them apart.

Source: botocore's signin model.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from broker import errors
from broker.actions.registry import unsupported_action
from broker.edges.rest_api import Operation, RestApi, naming
from broker.model.request import Door
from broker.pipeline import Pipeline
from broker.protocols.json_api import RestCall, RestService

_WORDS = {
    "AccessDeniedException": "INSUFFICIENT_PERMISSIONS",
    "ValidationException": "INVALID_REQUEST",
}
"""OAuth's ``error`` where it is not the exception's name in other letters."""

fault_name = naming(
    {
        errors.AccessDenied: "AccessDeniedException",
        errors.ExpiredToken: "ExpiredTokenException",
        errors.IncompleteSignature: "IncompleteSignatureException",
        errors.InternalFailure: "InternalServerException",
        errors.MalformedInput: "ValidationException",
        errors.MalformedQueryString: "ValidationException",
        errors.RequestEntityTooLarge: "ValidationException",
        errors.ValidationError: "ValidationException",
        errors.InvalidClientTokenId: "UnrecognizedClientException",
        errors.MissingAuthenticationToken: "MissingAuthenticationTokenException",
        errors.ServiceUnavailable: "InternalServerException",
        errors.SignatureDoesNotMatch: "InvalidSignatureException",
        errors.Throttling: "TooManyRequestsError",
    },
)


class SigninApi:
    """The service's operations."""

    def __init__(
        self, pipeline: Pipeline, service: RestService, create_token: Operation
    ) -> None:
        self._pipeline = pipeline
        self._service = service
        self._create_token = create_token

    def api(self) -> RestApi:
        """What answers at its paths."""
        operations: dict[str, Operation] = {
            name: self._refuse
            for name in self._service.operations
            if self._service.is_signed(name)
        }
        operations["CreateOAuth2Token"] = self._create_token
        return RestApi(self._service, "", operations, fault_name, words=_WORDS)

    @property
    def paths(self) -> Iterable[str]:
        """Where its operations stand."""
        return map(self._service.path, self._service.operations)

    async def _refuse(self, call: RestCall, request_id: str) -> Mapping[str, Any]:
        request = self._pipeline.receive(call.raw, request_id, Door.API, fault_name)
        action = unsupported_action(self._service.name, call.operation)
        return await self._pipeline.perform(request, action, dict)
