"""AWS Sign-In's operations, by rest-json, at paths of the origin's root.

``CreateOAuth2Token`` is answered by `broker.edges.oauth`. What no action answers is
refused by name, once the caller is proved where the operation takes a signature.

Four operations share ``/v1/token``: the query tells them apart.

Source: botocore's signin model.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from broker import errors
from broker.actions.registry import Registry, unsupported_action
from broker.edges.rest_api import Operation, RestApi, naming
from broker.model.arn import owner_arn
from broker.model.audit import AuditRecord
from broker.model.request import Door
from broker.model.session_arn import session_arn
from broker.pipeline import Pipeline
from broker.protocols.json_api import RestCall, RestService
from broker.sessions.listing import ListedSession

_WORDS = {
    "AccessDeniedException": "INSUFFICIENT_PERMISSIONS",
    "ResourceNotFoundException": "RESOURCE_NOT_FOUND",
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
        errors.NoSuchEntity: "ResourceNotFoundException",
        errors.ServiceUnavailable: "InternalServerException",
        errors.SignatureDoesNotMatch: "InvalidSignatureException",
        errors.Throttling: "TooManyRequestsError",
    },
)


class SigninApi:
    """The service's operations."""

    def __init__(
        self,
        pipeline: Pipeline,
        registry: Registry,
        service: RestService,
        create_token: Operation,
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._service = service
        self._create_token = create_token

    def api(self) -> RestApi:
        """What answers at its paths."""
        operations: dict[str, Operation] = {
            name: self._perform
            for name in self._service.operations
            if self._service.is_signed(name)
        }
        operations["CreateOAuth2Token"] = self._create_token
        return RestApi(self._service, "", operations, fault_name, words=_WORDS)

    @property
    def paths(self) -> Iterable[str]:
        """Where its operations stand."""
        return map(self._service.path, self._service.operations)

    async def _perform(self, call: RestCall, request_id: str) -> Mapping[str, Any]:
        name, operation = self._service.name, call.operation
        request = self._pipeline.receive(call.raw, request_id, Door.API, fault_name)
        action = self._registry.find(name, operation)
        if action is None:
            return await self._pipeline.perform(
                request, unsupported_action(name, operation), dict
            )
        reader = self._service.reader(operation)
        result = await self._pipeline.perform(request, action, lambda: reader(call))
        show = _SHOWN.get(operation)
        return result if show is None else show(result, request.region)


def _show_list(result: Mapping[str, Any], region: str) -> Mapping[str, Any]:
    return {
        "items": [_show(listed, region) for listed in result["Sessions"]],
        "nextToken": result["NextToken"] or None,
    }


def _show_one(result: Mapping[str, Any], region: str) -> Mapping[str, Any]:
    """A session with what the call that made it was like; a client says it of itself."""
    listed: ListedSession = result["Session"]
    minted: AuditRecord | None = result["Minted"]
    record, client = listed.record, listed.record.client
    made_from = record.lineage.ancestors[-1:]
    agent = minted.user_agent if minted and client is None else ""
    issued_in = minted.region if minted and client is None else ""
    return {
        **_show(listed, region),
        "lastUsedAt": client.used_at or None if client else None,
        "issuedInRegion": (client.region if client else issued_in) or None,
        "userAgent": (client.agent if client else agent) or None,
        "originSessionArn": next(
            (
                session_arn(region, each.account, each.access_key_id, each.mint_id)
                for each in made_from
            ),
            None,
        ),
    }


def _show(listed: ListedSession, region: str) -> Mapping[str, Any]:
    record = listed.record
    owner = owner_arn(record.principal_arn)
    client_id = record.client.client_id if record.client else ""
    return {
        "sessionArn": session_arn(
            region, record.account, record.access_key_id, record.mint_id
        ),
        "principalArn": owner,
        "role": owner if ":role/" in owner else None,
        "status": listed.status,
        "issuedAt": record.issued_at_ms // 1000,
        "expiresAt": record.expires_at,
        "clientId": client_id or None,
        "clientType": "CLI" if client_id else None,
    }


_SHOWN: Mapping[str, Callable[[Mapping[str, Any], str], Mapping[str, Any]]] = {
    "ListSessions": _show_list,
    "GetSession": _show_one,
}
"""What puts results of actions that the console shares into the API's shapes."""
