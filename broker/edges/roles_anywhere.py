"""IAM Roles Anywhere: its operations by rest-json, at paths of the origin's root.

``CreateSession`` is proved by a certificate, everything else by an ordinary signature.

Source: botocore's rolesanywhere model; IAM Roles Anywhere User Guide, "CreateSession";
iam-rolesanywhere-session and AWS's credential helper, which name the ARNs in the query.
"""

from collections.abc import Mapping
from typing import Any

from broker import errors
from broker.actions.registry import Registry, unsupported_action
from broker.edges.rest_api import RestApi, naming
from broker.model.request import Door, Params
from broker.pipeline import Pipeline
from broker.protocols.json_api import RestCall, RestService

PATHS = (
    "/trustanchors",
    "/trustanchor",
    "/profiles",
    "/profile",
    "/crls",
    "/crl",
    "/subjects",
    "/subject",
    "/TagResource",
    "/UntagResource",
    "/ListTagsForResource",
    "/put-notifications-settings",
    "/reset-notifications-settings",
)
"""How its paths begin; the one of ``CreateSession`` is a door."""

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_SIGNED_BYTES_MAX = 450_000
"""Room for the longest revocation list, in base64, once the signature is verified."""

_CREATE_SESSION = "CreateSession"
_ARNS = frozenset({"profileArn", "roleArn", "trustAnchorArn"})
_IN_QUERY = frozenset(f"{name}InQuery" for name in _ARNS)

_fault_name = naming(
    {
        errors.AccessDenied: "AccessDeniedException",
        errors.ExpiredToken: "ExpiredTokenException",
        errors.IncompleteSignature: "IncompleteSignatureException",
        errors.InternalFailure: "InternalServerException",
        errors.InvalidClientTokenId: "UnrecognizedClientException",
        errors.InvalidIdentityToken: "AccessDeniedException",
        errors.LimitExceeded: "ServiceQuotaExceededException",
        errors.MissingAuthenticationToken: "MissingAuthenticationTokenException",
        errors.NoSuchEntity: "ResourceNotFoundException",
        errors.ServiceUnavailable: "ServiceUnavailableException",
        errors.SignatureDoesNotMatch: "InvalidSignatureException",
        errors.Throttling: "ThrottlingException",
        errors.UnsupportedOperation: "UnsupportedOperationException",
        errors.UpstreamOutcomeUnknown: errors.UpstreamOutcomeUnknown.code,
        errors.UpstreamRefused: errors.UpstreamRefused.code,
        errors.UpstreamUnavailable: "ServiceUnavailableException",
    },
    "ValidationException",
)


class RolesAnywhereApi:
    """The service's operations."""

    def __init__(
        self, pipeline: Pipeline, registry: Registry, service: RestService
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._service = service

    def api(self) -> RestApi:
        """What answers at its paths."""
        operations = dict.fromkeys(self._service.operations, self._perform)
        return RestApi(
            self._service,
            "",
            operations,
            _fault_name,
            longer={
                name: _SIGNED_BYTES_MAX
                for name in operations
                if name != _CREATE_SESSION
            },
        )

    async def _perform(self, call: RestCall, request_id: str) -> Mapping[str, Any]:
        name, operation = self._service.name, call.operation
        request = self._pipeline.receive(call.raw, request_id, Door.API, _fault_name)
        action = self._registry.find(name, operation)
        if action is None:
            return await self._pipeline.perform(
                request, unsupported_action(name, operation), dict
            )
        reader = self._service.reader(operation)

        def read() -> Params:
            params = reader(call)
            return _with_arns(params) if operation == _CREATE_SESSION else params

        return await self._pipeline.perform(request, action, read)


def _with_arns(params: Params) -> Params:
    """The ARNs of the query in their places: each comes once, there or in the body."""
    if params.keys() >= _ARNS and _IN_QUERY.isdisjoint(params):
        return params  # all in the body, as most clients have them
    result = dict(params)
    for name in sorted(_ARNS):
        in_query = result.pop(f"{name}InQuery", None)
        if (name in result) == (in_query is not None):
            raise errors.ValidationError(
                f"Give {name} once, in the query or in the body."
            )
        result.setdefault(name, in_query)
    return result
