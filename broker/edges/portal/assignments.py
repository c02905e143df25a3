"""``/sso``: the accounts and roles of a sign-in, and credentials for them.

Source: botocore's sso model; recorded texts of AWS's clients.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.actions.registry import Registry
from broker.edges.rest_api import RestApi, naming
from broker.errors import (
    AccessDenied,
    ExpiredToken,
    InternalFailure,
    InvalidClientTokenId,
    NoSuchEntity,
    ServiceUnavailable,
    Throttling,
    UpstreamOutcomeUnknown,
    UpstreamRefused,
    UpstreamUnavailable,
)
from broker.model.request import Door
from broker.pipeline import Pipeline
from broker.proofs.portal import PortalScheme
from broker.protocols.json_api import RestCall, RestService
from broker.sessions.portal import OpenPortal, PortalSessions

PREFIX = "/sso"
_SERVICE = "sso"
_TOKEN = b"x-amz-sso_bearer_token"
_OVER = "Session token not found or invalid"
_NOT_SENT = (
    "the request has no header x-amz-sso_bearer_token; a proxy may drop it (nginx does"
    " without underscores_in_headers on)"
)
_OPERATIONS = ("ListAccounts", "ListAccountRoles", "GetRoleCredentials", "Logout")

_fault_name = naming(
    {
        InvalidClientTokenId: "UnauthorizedException",
        AccessDenied: "ForbiddenException",
        NoSuchEntity: "ResourceNotFoundException",
        Throttling: "TooManyRequestsException",
        ExpiredToken: "UnauthorizedException",
        ServiceUnavailable: "ServiceUnavailableException",
        InternalFailure: "InternalServerException",
        UpstreamOutcomeUnknown: UpstreamOutcomeUnknown.code,
        UpstreamRefused: UpstreamRefused.code,
        UpstreamUnavailable: UpstreamUnavailable.code,
    },
    "InvalidRequestException",
)


class PortalApi:
    """The portal's operations."""

    def __init__(
        self,
        pipeline: Pipeline,
        registry: Registry,
        sessions: PortalSessions,
        service: RestService,
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._sessions = sessions
        self._service = service

    def api(self) -> RestApi:
        """What answers below ``/sso``."""
        operations = dict.fromkeys(_OPERATIONS, self._perform)
        return RestApi(self._service, PREFIX, operations, _fault_name)

    async def _perform(self, call: RestCall, request_id: str) -> Mapping[str, Any]:
        token = call.raw.find_header(_TOKEN) or ""
        found: list[OpenPortal] = []

        async def find(now: datetime) -> OpenPortal | None:
            if not token:
                raise InvalidClientTokenId(_OVER, detail=_NOT_SENT)
            try:
                portal = await self._sessions.find_by_token(token, now)
            except ExpiredToken as error:
                raise InvalidClientTokenId(_OVER, detail=error.detail) from error
            if portal is None:
                raise InvalidClientTokenId(_OVER, detail="no such access token")
            found.append(portal)
            return portal

        reader = self._service.reader(call.operation)
        result = await self._pipeline.perform(
            self._pipeline.receive(call.raw, request_id, Door.PORTAL, _fault_name),
            self._registry.get(_SERVICE, call.operation),
            lambda: reader(call),
            PortalScheme(find),
        )
        if call.operation == "Logout":
            await self._sessions.forget(found[0].handle)
        return result
